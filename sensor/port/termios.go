//go:build linux

package port

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/uart"
)

// line is the state of a serial line.
type line struct {
	speed  physic.Frequency
	stop   uart.Stop
	parity uart.Parity
	flow   uart.Flow
	bits   int
}

// named are the speeds that have a code of their own. Every driver of the kernel
// and every emulator knows them; any other speed goes by BOTHER.
var named = map[uint32]uint32{
	1200: unix.B1200, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600, 19200: unix.B19200,
	38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200, 230400: unix.B230400,
	460800: unix.B460800, 500000: unix.B500000, 576000: unix.B576000, 921600: unix.B921600,
	1000000: unix.B1000000, 1152000: unix.B1152000, 1500000: unix.B1500000, 2000000: unix.B2000000,
	2500000: unix.B2500000, 3000000: unix.B3000000, 3500000: unix.B3500000, 4000000: unix.B4000000,
}

func checkSpeed(f physic.Frequency) error {
	if f < 50*physic.Hertz || f > physic.GigaHertz {
		return fmt.Errorf("speed %v: want 50Hz (bauds) to 1GHz", f)
	}
	return nil
}

// termios returns l as the kernel spells it: raw, with the receiver on and the
// modem's lines ignored. DTR stays as it is when the port is closed (no HUPCL):
// some sensors start anew when it falls.
func (l line) termios() (*unix.Termios, error) {
	baud := uint32(l.speed / physic.Hertz)
	t := &unix.Termios{Iflag: unix.INPCK, Cflag: unix.CREAD | unix.CLOCAL, Ispeed: baud, Ospeed: baud}
	t.Cc[unix.VMIN] = 1
	if code, ok := named[baud]; ok {
		t.Cflag |= code
	} else {
		t.Cflag |= unix.BOTHER
	}
	switch l.bits {
	case 7:
		t.Cflag |= unix.CS7
	case 8:
		t.Cflag |= unix.CS8
	default:
		return nil, fmt.Errorf("%d bits a byte: want 7 or 8", l.bits)
	}
	switch l.parity {
	case uart.NoParity:
	case uart.Even:
		t.Cflag |= unix.PARENB
	case uart.Odd:
		t.Cflag |= unix.PARENB | unix.PARODD
	default:
		return nil, fmt.Errorf("parity %q: want N, E or O", byte(l.parity))
	}
	switch l.stop {
	case uart.One:
	case uart.Two:
		t.Cflag |= unix.CSTOPB
	default:
		return nil, fmt.Errorf("stop bits %d: want 1 or 2", l.stop)
	}
	switch l.flow {
	case uart.NoFlow:
	case uart.RTSCTS:
		t.Cflag |= unix.CRTSCTS
	default:
		return nil, fmt.Errorf("flow control %v: want none or RTS/CTS", l.flow)
	}
	return t, nil
}

// apply sets the line of fd and reads back what came of it.
func apply(fd int, want *unix.Termios) error {
	get, set := uint(unix.TCGETS), uint(unix.TCSETS)
	if want.Cflag&unix.CBAUD == unix.BOTHER {
		get, set = unix.TCGETS2, unix.TCSETS2
	}
	if err := unix.IoctlSetTermios(fd, set, want); err != nil {
		return err
	}
	got, err := unix.IoctlGetTermios(fd, get)
	if err != nil {
		return err
	}
	return compare(want, got)
}

// compare says what the kernel's driver did not do. A named speed that the
// hardware meets within 2 % keeps its name in the kernel.
func compare(want, got *unix.Termios) error {
	const frame = unix.CSIZE | unix.PARENB | unix.PARODD | unix.CSTOPB | unix.CRTSCTS
	switch {
	case want.Cflag&unix.CBAUD != unix.BOTHER && got.Cflag&unix.CBAUD != want.Cflag&unix.CBAUD:
		return fmt.Errorf("the port does not do %d bauds", want.Ospeed)
	case want.Cflag&unix.CBAUD == unix.BOTHER && 50*(max(int64(got.Ospeed), int64(want.Ospeed))-min(int64(got.Ospeed), int64(want.Ospeed))) > int64(want.Ospeed):
		return fmt.Errorf("the port does %d bauds instead of %d", got.Ospeed, want.Ospeed)
	case (got.Cflag^want.Cflag)&frame != 0:
		return errors.New("the port does not do these bits, parity, stop bits or flow control")
	case got.Iflag != want.Iflag || got.Oflag != want.Oflag || got.Lflag != want.Lflag:
		return errors.New("the port is not raw after it was set so")
	}
	return nil
}

// counters is struct serial_icounter_struct of linux/serial.h.
type counters struct {
	cts, dsr, rng, dcd, rx, tx             int32
	frame, overrun, parity, brk, bufOverun int32
	_                                      [9]int32
}

func lineErrors(fd int) (LineErrors, error) {
	var c counters
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&c))); errno != 0 {
		return LineErrors{}, errno
	}
	return LineErrors{
		Frame: uint32(c.frame), Parity: uint32(c.parity),
		Overrun: uint32(c.overrun) + uint32(c.bufOverun), Break: uint32(c.brk),
	}, nil
}
