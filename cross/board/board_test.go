package board_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
)

var update = flag.Bool("update", false, "write the figures measured into docs/board.md")

// withTests returns options of a board with the tests of package onboard.
func withTests(t *testing.T, arch string) board.Options {
	t.Helper()
	program, err := board.BuildTest(t.Context(), arch, "ciglio/cross/board/onboard")
	if err != nil {
		t.Fatal(err)
	}
	return board.Options{Arch: arch, Files: map[string]string{"/bin/onboard": program}}
}

// onBoard starts one test of package onboard.
func onBoard(t *testing.T, b *board.Board, test string, flags ...string) *board.Process {
	t.Helper()
	p, err := b.Go(guest.Command{Args: append([]string{"onboard", "-test.run=^" + test + "$", "-test.timeout=24h"}, flags...)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wait returns the next line of the board with that text.
func wait(t *testing.T, b *board.Board, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	line, err := b.Wait(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// good waits for the end of a test on the board, which must have passed.
func good(t *testing.T, p *board.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if r, err := p.Wait(ctx); err != nil || r.Code != 0 {
		t.Fatalf("%v: %v\n%s", p, err, r.Stdout)
	}
}

func TestBoardRunsPrograms(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	for _, arch := range []string{"arm-7", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			program, err := board.Build(t.Context(), arch, "ciglio/agent/cmd/ciglio")
			if err != nil {
				t.Fatal(err)
			}
			b := boardtest.Start(t, board.Options{
				Arch: arch, Files: map[string]string{"/bin/ciglio": program},
				Commands: []guest.Command{{Args: []string{"ciglio", "help"}}},
			})
			if r, err := b.Commands[0].Wait(t.Context()); err != nil || r.Code != 0 || !strings.Contains(string(r.Stdout), "ciglio run") {
				t.Errorf("what was to start with the board ended with %d, %v: %s", r.Code, err, r.Stdout)
			}
			boardtest.Figure(t, *update, "ready after power on, "+arch, b.Started.Round(100*time.Millisecond).String()+" by the clock of the host")
			if out := boardtest.Run(t, b, "ciglio", "version"); !strings.Contains(out, "linux/"+strings.TrimSuffix(arch, "-7")) {
				t.Errorf("version says %q", out)
			}
			if r, err := b.Run(t.Context(), "ciglio", "no-such-command"); err != nil || r.Code != 2 || !strings.Contains(string(r.Stderr), "no command") {
				t.Errorf("wrong use ended with %d, %v: %s", r.Code, err, r.Stderr)
			}
			if _, err := b.Run(t.Context(), "/bin/nothing"); err == nil || !strings.Contains(err.Error(), "/bin/nothing") {
				t.Errorf("a program that is not there: %v", err)
			}
			if err := b.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := b.Err(); !errors.Is(err, board.ErrOff) {
				t.Errorf("ended with %v", err)
			}
			if _, err := b.Run(t.Context(), "ciglio"); !errors.Is(err, board.ErrOff) {
				t.Errorf("a command for a board that is off: %v", err)
			}
		})
	}
}

func TestRadarIsASerialPort(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	b := boardtest.Start(t, withTests(t, "arm-7"))
	p := onBoard(t, b, "TestEcho")
	wait(t, b, "echo: listening")
	radar := bufio.NewReader(b.Radar())
	for _, line := range []string{"ops243", strings.Repeat("x", 300), "end"} {
		fmt.Fprintln(b.Radar(), line)
		if back, err := radar.ReadString('\n'); err != nil || back != strings.ToUpper(line)+"\n" {
			t.Errorf("%q came back as %q, %v", line, back, err)
		}
	}
	good(t, p)
}

func TestDiskOutlivesACut(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	o := withTests(t, "arm-7")
	image := filepath.Join(t.TempDir(), "flash")
	if err := board.Format(t.Context(), image, "ext4", 64<<20); err != nil {
		t.Fatal(err)
	}
	o.Disks = []board.Disk{{Image: image, Mount: "/var/lib/ciglio"}}
	b := boardtest.Start(t, o)
	p := onBoard(t, b, "TestPut", "-file=/var/lib/ciglio/record", "-text=kept")
	wait(t, b, "put: flushed")
	b.Cut()
	if err := b.Err(); !errors.Is(err, board.ErrCut) {
		t.Errorf("ended with %v", err)
	}
	if _, err := p.Wait(t.Context()); err != nil && !errors.Is(err, board.ErrCut) {
		t.Errorf("the process ended with %v", err)
	}
	b = boardtest.Start(t, o)
	good(t, onBoard(t, b, "TestGet", "-file=/var/lib/ciglio/record"))
	wait(t, b, "get: kept")
}

func TestNetworkIsCutAndJoined(t *testing.T) {
	boardtest.Need(t, boardtest.Short)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := boardtest.Start(t, withTests(t, "arm-7"))
	_, number, _ := net.SplitHostPort(l.Addr().String())
	p := onBoard(t, b, "TestDial", "-address="+net.JoinHostPort(guest.HostAddress, number))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	next := func(within time.Duration) (string, error) {
		c.SetReadDeadline(time.Now().Add(within))
		return r.ReadString('\n')
	}
	echo := func() {
		t.Helper()
		line, err := next(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, line)
		wait(t, b, "dial: "+strings.TrimSpace(line))
	}
	echo()
	first, err := next(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CutNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, first)
	if line, err := next(2 * time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without network came %q, %v", line, err)
	}
	if strings.Contains(b.Console(), "dial: "+first) {
		t.Error("a line came through without network")
	}
	if err := b.JoinNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait(t, b, "dial: "+strings.TrimSpace(first))
	echo()
	if _, err := next(time.Minute); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "end\n")
	good(t, p)
}

// TestBoardDiesWithItsTest kills the process that started a board, which must
// not leave QEMU behind.
func TestBoardDiesWithItsTest(t *testing.T) {
	const child = "CIGLIO_BOARD_CHILD"
	boardtest.Need(t, boardtest.Short)
	if os.Getenv(child) != "" {
		b := boardtest.Start(t, board.Options{})
		fmt.Println("share:", b.Share)
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBoardDiesWithItsTest$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var share string
	for s := bufio.NewScanner(out); share == "" && s.Scan(); {
		share, _ = strings.CutPrefix(s.Text(), "share: ")
		if share == s.Text() {
			share = ""
		}
	}
	if share == "" || len(running(t, share)) != 1 {
		t.Errorf("with its test alive the board %q has processes %v", share, running(t, share))
	}
	cmd.Process.Kill()
	cmd.Wait() // it was killed: that is no news
	defer os.RemoveAll(filepath.Dir(share))
	for end := time.Now().Add(10 * time.Second); len(running(t, share)) > 0; {
		if time.Now().After(end) {
			t.Fatalf("QEMU outlives its test: processes %v", running(t, share))
		}
	}
}

// running returns the processes whose command line names a folder.
func running(t *testing.T, folder string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if line, _ := os.ReadFile(name); strings.Contains(string(line), "path="+folder) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}
