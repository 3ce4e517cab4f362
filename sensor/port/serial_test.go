//go:build linux

package port

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/uart"

	"ciglio/sensor/sensortest/pty"
)

func newPTY(t *testing.T) *pty.PTY {
	t.Helper()
	p, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func open(t *testing.T, name string) *Port {
	t.Helper()
	p, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func dial(t *testing.T, name string, baud int) *Conn {
	t.Helper()
	c, err := Dial(name, baud, "none")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// speed returns what the line is set to, as its other end sees it.
func speed(t *testing.T, p *pty.PTY) (baud uint32) {
	t.Helper()
	raw, err := p.Master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		var set *unix.Termios
		if set, err = unix.IoctlGetTermios(int(fd), unix.TCGETS); err != nil {
			return
		}
		for b, code := range named {
			if set.Cflag&unix.CBAUD == code {
				baud = b
			}
		}
		if set.Cflag&unix.CBAUD == unix.BOTHER {
			set, err = unix.IoctlGetTermios(int(fd), unix.TCGETS2)
			baud = set.Ospeed
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return baud
}

func TestEveryByteArrivesAsItIs(t *testing.T) {
	line := newPTY(t)
	c := dial(t, line.Name, 115200)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	got := make([]byte, len(all))
	if _, err := line.Master.Write(all); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("read % x, %v", got, err)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	clear(got)
	if _, err := io.ReadFull(line.Master, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("the sensor read % x, %v", got, err)
	}
}

func TestPseudoTerminalIsKnown(t *testing.T) {
	if c := dial(t, newPTY(t).Name, 9600); !c.Pseudo() {
		t.Error("a pseudo-terminal passes for a line")
	}
	for _, name := range []string{"/dev/null", "/dev/ptmx"} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if IsPseudo(f) {
			t.Errorf("%s passes for a pseudo-terminal", name)
		}
	}
}

func TestConnectOnce(t *testing.T) {
	line := newPTY(t)
	p := open(t, line.Name)
	if _, err := p.Connect(9600*physic.Hertz, uart.OneHalf, uart.NoParity, uart.NoFlow, 8); err == nil {
		t.Fatal("one and a half stop bits were accepted")
	}
	c, err := p.Connect(9600*physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8)
	if err != nil {
		t.Fatalf("after an error: %v", err)
	}
	if _, err := p.Connect(9600*physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8); err == nil {
		t.Error("connected twice")
	}
	if p.String() != line.Name || c.String() != line.Name {
		t.Errorf("port %q, connection %q, want %q", p, c, line.Name)
	}
}

func TestTheLowerSpeedIsTaken(t *testing.T) {
	for _, c := range []struct {
		name           string
		before, driver physic.Frequency
		after          physic.Frequency
		want           uint32
	}{
		{"no limit", 0, 115200 * physic.Hertz, 0, 115200},
		{"limit below the sensor", 9600 * physic.Hertz, 115200 * physic.Hertz, 0, 9600},
		{"limit above the sensor", 115200 * physic.Hertz, 19200 * physic.Hertz, 0, 19200},
		{"limit set later", 0, 115200 * physic.Hertz, 57600 * physic.Hertz, 57600},
		{"limit raised later", 9600 * physic.Hertz, 115200 * physic.Hertz, physic.MegaHertz, 115200},
		{"part of a baud is dropped", 0, 19200*physic.Hertz + physic.Hertz/2, 0, 19200},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := newPTY(t)
			p := open(t, line.Name)
			limit := func(f physic.Frequency) {
				if f != 0 {
					if err := p.LimitSpeed(f); err != nil {
						t.Fatal(err)
					}
				}
			}
			limit(c.before)
			if _, err := p.Connect(c.driver, uart.One, uart.NoParity, uart.NoFlow, 8); err != nil {
				t.Fatal(err)
			}
			limit(c.after)
			if got := speed(t, line); got != c.want {
				t.Errorf("%d bauds, want %d", got, c.want)
			}
		})
	}
}

func TestAnySpeed(t *testing.T) {
	line := newPTY(t)
	c, err := Dial(line.Name, 250_001, "none")
	if errors.Is(err, syscall.ENOSYS) {
		t.Skip("termios2, and so a speed without a name, is not emulated here")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := speed(t, line); got != 250_001 {
		t.Errorf("%d bauds", got)
	}
}

func TestSpeedsOutsideTheRangeAreRefused(t *testing.T) {
	p := open(t, newPTY(t).Name)
	for _, f := range []physic.Frequency{0, -physic.Hertz, 49 * physic.Hertz, 2 * physic.GigaHertz} {
		if err := p.LimitSpeed(f); err == nil {
			t.Errorf("limit %v accepted", f)
		}
		if _, err := p.Connect(f, uart.One, uart.NoParity, uart.NoFlow, 8); err == nil {
			t.Errorf("speed %v accepted", f)
		}
	}
}

// A pseudo-terminal drops parity, as some adapters do, and tells nobody.
func TestParityThatIsNotDoneIsAnError(t *testing.T) {
	p := open(t, newPTY(t).Name)
	_, err := p.Connect(9600*physic.Hertz, uart.One, uart.Even, uart.NoFlow, 8)
	for _, parity := range []string{"odd", "mark"} {
		if _, err := Dial(newPTY(t).Name, 9600, parity); err == nil || !strings.Contains(err.Error(), "parity") {
			t.Errorf("%s: error %v", parity, err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "parity") {
		t.Errorf("error %v", err)
	}
}

func TestReadEndsFromOutside(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Conn, *pty.PTY) error
		want error
	}{
		{"a deadline", func(c *Conn, _ *pty.PTY) error { return c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"Close", func(c *Conn, _ *pty.PTY) error { return c.Close() }, os.ErrClosed},
		{"an adapter is unplugged", func(_ *Conn, p *pty.PTY) error { return p.Hangup() }, ErrUnplugged},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := newPTY(t)
			conn := dial(t, line.Name, 9600)
			ended := make(chan error)
			go func() {
				_, err := conn.Read(make([]byte, 1))
				ended <- err
			}()
			if err := c.end(conn, line); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestDeadlineCanBeLifted(t *testing.T) {
	line := newPTY(t)
	c := dial(t, line.Name, 9600)
	c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Time{})
	line.Master.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestUnpluggedForGood(t *testing.T) {
	line := newPTY(t)
	c := dial(t, line.Name, 9600)
	line.Hangup()
	for range 2 {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrUnplugged) {
			t.Errorf("read: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, ErrUnplugged) {
			t.Errorf("write: %v", err)
		}
	}
	if err := c.port.LimitSpeed(4800 * physic.Hertz); !errors.Is(err, ErrUnplugged) {
		t.Errorf("speed: %v", err)
	}
	if want := "serial port " + line.Name + ": unplugged"; c.port.fault(io.EOF).Error() != want {
		t.Errorf("%q, want %q", c.port.fault(io.EOF), want)
	}
}

// A sensor that does not read holds a writer only until its deadline.
func TestWriteEndsAtItsDeadline(t *testing.T) {
	c := dial(t, newPTY(t).Name, 9600)
	c.SetWriteDeadline(time.Unix(1, 0))
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestOneOwner(t *testing.T) {
	line := newPTY(t)
	p := open(t, line.Name)
	if other, err := Open(line.Name); !errors.Is(err, ErrBusy) {
		t.Fatalf("a second owner: %v, %v", other, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, line.Name)
}

func TestWhatIsNoSerialPort(t *testing.T) {
	dir := t.TempDir()
	plain := dir + "/file"
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := dir + "/pipe"
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{plain, pipe, "/dev/null"} {
		if p, err := Open(name); err == nil || !strings.Contains(err.Error(), "not a serial port") || strings.Count(err.Error(), name) != 1 {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if _, err := Open(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

func TestConnectDropsWhatCameBefore(t *testing.T) {
	line := newPTY(t)
	p := open(t, line.Name)
	line.Master.Write([]byte("old"))
	c, err := p.Connect(9600*physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8)
	if err != nil {
		t.Fatal(err)
	}
	line.Master.Write([]byte("new"))
	b := make([]byte, 9)
	if n, err := c.(*Conn).Read(b); string(b[:n]) != "new" {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

func TestTx(t *testing.T) {
	line := newPTY(t)
	c := dial(t, line.Name, 9600)
	line.Master.Write([]byte("four"))
	r := make([]byte, 4)
	if err := c.Tx([]byte("FOUR"), r); err != nil || string(r) != "four" {
		t.Errorf("%q, %v", r, err)
	}
	if _, err := io.ReadFull(line.Master, r); err != nil || string(r) != "FOUR" {
		t.Errorf("the sensor got %q, %v", r, err)
	}
	if err := c.Tx([]byte("three"), r); err == nil {
		t.Error("full duplex of five and four bytes")
	}
	if err := c.Tx(make([]byte, c.MaxTxSize()+1), nil); err == nil {
		t.Error("more than MaxTxSize")
	}
}

func TestLineErrors(t *testing.T) {
	if n := unsafe.Sizeof(counters{}); n != 80 {
		t.Errorf("struct serial_icounter_struct has 80 bytes, ours %d", n)
	}
	if e, ok := dial(t, newPTY(t).Name, 9600).LineErrors(); ok {
		t.Errorf("a pseudo-terminal counts %+v", e)
	}
}
