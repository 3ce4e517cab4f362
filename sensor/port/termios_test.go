//go:build linux

package port

import (
	"testing"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/uart"
)

func TestTermios(t *testing.T) {
	const always = unix.CREAD | unix.CLOCAL
	for _, c := range []struct {
		name string
		line line
		want uint32 // c_cflag; 0 for an error
	}{
		{"the line of most sensors", line{115200 * physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8}, always | unix.B115200 | unix.CS8},
		{"even parity, seven bits", line{9600 * physic.Hertz, uart.One, uart.Even, uart.NoFlow, 7}, always | unix.B9600 | unix.CS7 | unix.PARENB},
		{"odd parity, two stop bits", line{19200 * physic.Hertz, uart.Two, uart.Odd, uart.NoFlow, 8}, always | unix.B19200 | unix.CS8 | unix.PARENB | unix.PARODD | unix.CSTOPB},
		{"the lines RTS and CTS", line{921600 * physic.Hertz, uart.One, uart.NoParity, uart.RTSCTS, 8}, always | unix.B921600 | unix.CS8 | unix.CRTSCTS},
		{"a speed without a name", line{31250 * physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8}, always | unix.BOTHER | unix.CS8},
		{"six bits", line{9600 * physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 6}, 0},
		{"mark parity: no sensor has it", line{9600 * physic.Hertz, uart.One, uart.Mark, uart.NoFlow, 8}, 0},
		{"one and a half stop bits", line{9600 * physic.Hertz, uart.OneHalf, uart.NoParity, uart.NoFlow, 8}, 0},
		{"XON and XOFF would eat bytes of frames", line{9600 * physic.Hertz, uart.One, uart.NoParity, uart.XOnXOff, 8}, 0},
	} {
		got, err := c.line.termios()
		switch {
		case c.want == 0 && err == nil:
			t.Errorf("%s: accepted as %#x", c.name, got.Cflag)
		case c.want != 0 && (err != nil || got.Cflag != c.want):
			t.Errorf("%s: %#x, %v, want %#x", c.name, got.Cflag, err, c.want)
		case c.want != 0 && (got.Iflag != unix.INPCK || got.Oflag != 0 || got.Lflag != 0 || got.Ospeed != uint32(c.line.speed/physic.Hertz)):
			t.Errorf("%s: %+v is not raw at its speed", c.name, got)
		}
	}
}

func TestWhatTheKernelDidNotDoIsAnError(t *testing.T) {
	named, err := line{115200 * physic.Hertz, uart.One, uart.Even, uart.NoFlow, 8}.termios()
	if err != nil {
		t.Fatal(err)
	}
	other, err := line{100_000 * physic.Hertz, uart.One, uart.NoParity, uart.NoFlow, 8}.termios()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		want   *unix.Termios
		change func(*unix.Termios)
		ok     bool
	}{
		{"as asked", named, func(*unix.Termios) {}, true},
		{"another speed by name", named, func(s *unix.Termios) { s.Cflag = s.Cflag&^unix.CBAUD | unix.B9600 }, false},
		{"a speed by number for one by name", named, func(s *unix.Termios) { s.Cflag = s.Cflag&^unix.CBAUD | unix.BOTHER }, false},
		{"2 % too fast", other, func(s *unix.Termios) { s.Ospeed = 102_000 }, true},
		{"2 % too slow", other, func(s *unix.Termios) { s.Ospeed = 98_000 }, true},
		{"more than 2 % too fast", other, func(s *unix.Termios) { s.Ospeed = 102_001 }, false},
		{"more than 2 % too slow", other, func(s *unix.Termios) { s.Ospeed = 97_999 }, false},
		{"no parity", named, func(s *unix.Termios) { s.Cflag &^= unix.PARENB }, false},
		{"seven bits", named, func(s *unix.Termios) { s.Cflag = s.Cflag&^unix.CSIZE | unix.CS7 }, false},
		{"carriage returns translated", named, func(s *unix.Termios) { s.Iflag |= unix.ICRNL }, false},
		{"echo", named, func(s *unix.Termios) { s.Lflag |= unix.ECHO }, false},
	} {
		got := *c.want
		c.change(&got)
		if err := compare(c.want, &got); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
