//go:build linux

// Package pty gives tests a serial line without hardware: a pseudo-terminal
// whose one end the test plays as the sensor, while the program under test opens
// the other by its name, as a serial port.
//
// A pseudo-terminal takes any speed and keeps none, has no parity, and counts no
// line errors. It keeps about 4 KiB for a program that does not read.
package pty

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A PTY is one serial line. Its methods are safe for concurrent use.
type PTY struct {
	Master *os.File // the sensor's end; its deadlines work
	Name   string   // the program's end

	slave *os.File // keeps the line up while the program has not opened it
}

// Open returns a new line, raw and without echo.
func Open() (*PTY, error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
	master, err := unix.Open("/dev/ptmx", flags, 0)
	if err != nil {
		return nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	p := &PTY{Master: os.NewFile(uintptr(master), "/dev/ptmx")}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		p.Master.Close()
		return nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	p.Name = "/dev/pts/" + strconv.Itoa(number)
	slave, err := unix.Open(p.Name, flags, 0)
	if err == nil {
		p.slave = os.NewFile(uintptr(slave), p.Name)
		raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B9600}
		raw.Cc[unix.VMIN] = 1
		err = unix.IoctlSetTermios(slave, unix.TCSETS, &raw)
	}
	if err != nil {
		p.Hangup()
		return nil, fmt.Errorf("pseudo-terminal %s: %w", p.Name, err)
	}
	return p, nil
}

// Link makes path a link to the program's end, in place of the one that was
// there: as the names of /dev/serial/by-id lead to the adapter that is plugged in
// now.
func (p *PTY) Link(path string) error {
	next := path + ".new"
	if err := os.Symlink(p.Name, next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Hangup takes the line away as an unplugged adapter does: what blocks on the
// program's end fails, and its name is gone. The name may be given to the next
// PTY.
func (p *PTY) Hangup() error {
	if p.slave != nil {
		p.slave.Close()
	}
	return p.Master.Close()
}

// Close is Hangup, for clean-up.
func (p *PTY) Close() error { return p.Hangup() }
