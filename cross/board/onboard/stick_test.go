//go:build linux

package onboard_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ciglio/agent/stick"
	"ciglio/cross/board/onboard"
)

var (
	rounds   = flag.Int("rounds", 1, "TestStick: sticks to wait for")
	patience = flag.Duration("patience", 5*time.Second, "TestStick: with a stick that does not move")
	within   = flag.Duration("within", time.Minute, "TestStick: time for each stick")
	files    = flag.Int("files", 0, "TestStick: files to put on it first")
	size     = flag.Int("size", 256<<10, "TestStick: bytes of each file")
)

// TestStick uses one stick after another as the device does, each until it is
// pulled out. For each it says a line "stick: outcome: …" with what came of it.
func TestStick(t *testing.T) {
	needBoard(t)
	for range *rounds {
		fmt.Println("stick: waits")
		device := await(t, func(found []string) bool { return len(found) > 0 })[0]
		fmt.Println("stick: sees", device)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), *within)
		text := "good: "
		found, err := use(ctx, device)
		cancel()
		if err != nil {
			text = "error: "
			if errors.Is(err, errWrong) {
				text = "WRONG: "
			}
			found += "; " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		fmt.Printf("stick: outcome: %s%s [%v]\n", text, found, time.Since(began).Round(time.Millisecond))
		await(t, func(found []string) bool { return len(found) == 0 })
	}
	// Of a stick that was dead the kernel lets go a moment after it is pulled out.
	var left []os.DirEntry
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var err error
		if left, err = os.ReadDir(sticks); err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("%s: sticks left behind: %v", sticks, left)
}

// sticks is the folder below which each stick is mounted at one of its own.
const sticks = "/run/stick"

// await waits until the sticks that are plugged in are as they should be.
func await(t *testing.T, right func([]string) bool) []string {
	for {
		found, err := stick.Disks()
		if err != nil {
			t.Fatal(err)
		}
		if right(found) {
			return found
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var errWrong = errors.New("not what was written")

// use writes what it is told to, then lists the stick and copies all of it.
func use(ctx context.Context, device string) (did string, err error) {
	s, err := stick.Open(ctx, device, sticks, stick.Options{Patience: *patience})
	if err != nil {
		return "not opened", err
	}
	defer func() {
		if e := s.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close: %w", e))
		}
	}()
	did = s.Kind()
	for i := range *files {
		name := fmt.Sprintf("file-%03d", i)
		if err := s.Put(ctx, name, onboard.Pattern(name, *size)); err != nil {
			return fmt.Sprintf("%s, %d put", did, i), err
		}
	}
	list, err := s.List(ctx)
	did = fmt.Sprintf("%s, %d listed", did, len(list))
	whole := 0
	for _, e := range list {
		fmt.Printf("stick: reads %s\n", e.Name)
		got, e2 := s.Read(ctx, e.Name, 64<<20)
		if e2 != nil {
			err = errors.Join(err, e2)
			if ctx.Err() != nil || errors.Is(e2, stick.ErrGone) || errors.Is(e2, stick.ErrStalled) {
				break
			}
			continue
		}
		whole++
		if !bytes.Equal(got, onboard.Pattern(e.Name, int(e.Size))) {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.Name, errWrong))
		}
	}
	return fmt.Sprintf("%s, %d read", did, whole), err
}

// TestKernelIsWell looks for what the kernel says when it is not.
func TestKernelIsWell(t *testing.T) {
	needBoard(t)
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Each read gives one message; the last one is followed by none in time.
	if err := f.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 16<<10)
	for {
		n, err := f.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"BUG:", "Oops", "WARNING:", "Call trace", "blocked for more than", "rcu: INFO"} {
			if bytes.Contains(buffer[:n], []byte(bad)) {
				t.Errorf("%s", buffer[:n])
			}
		}
	}
}
