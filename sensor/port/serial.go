//go:build linux

package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/uart"

	"ciglio/sensor"
)

var (
	// ErrUnplugged says that the device of a port has gone.
	ErrUnplugged = errors.New("unplugged")
	// ErrBusy says that another program, or another part of this one, has the port.
	ErrBusy = errors.New("in use by another program")
)

// A Port is a serial port of this machine, open for one owner.
type Port struct {
	name string
	f    *os.File

	mu    sync.Mutex
	limit physic.Frequency // of LimitSpeed; 0 for none
	conn  *Conn            // nil until Connect
}

// Open opens the serial port of that device file, such as "/dev/ttyUSB0" or a
// link of /dev/serial/by-id. It does not wait for a carrier and sets nothing.
func Open(name string) (*Port, error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(name, flags, 0)
	switch {
	case err == unix.EBUSY:
		return nil, fmt.Errorf("serial port %s: %w", name, ErrBusy)
	case err != nil:
		return nil, fmt.Errorf("serial port %s: %w", name, err)
	}
	p := &Port{name: name, f: os.NewFile(uintptr(fd), name)}
	if err := p.claim(); err != nil {
		p.f.Close()
		return nil, fmt.Errorf("serial port %s: %w", name, err)
	}
	return p, nil
}

// claim makes this the only owner. TIOCEXCL keeps out who is not root, flock
// also root, if it asks.
func (p *Port) claim() error {
	if err := p.f.SetDeadline(time.Time{}); err != nil {
		return errors.New("not a serial port: its reads cannot be ended")
	}
	return p.control(func(fd int) error {
		switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); {
		case err == unix.EWOULDBLOCK:
			return ErrBusy
		case err != nil:
			return err
		}
		switch err := unix.IoctlSetInt(fd, unix.TIOCEXCL, 0); {
		case err == unix.ENOTTY || err == unix.EINVAL:
			return errors.New("not a serial port")
		default:
			return err
		}
	})
}

// control calls f with the descriptor, which stays in the runtime's poller.
func (p *Port) control(f func(fd int) error) error {
	raw, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// String returns the name that the port was opened by.
func (p *Port) String() string { return p.name }

// Close releases the port and ends what blocks on it with [os.ErrClosed].
func (p *Port) Close() error {
	p.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) }) // fails when it has gone
	return p.f.Close()
}

// LimitSpeed implements [uart.PortCloser]. f is rounded down to whole bauds, at
// least 50. A connection that exists already changes its speed, if need be.
func (p *Port) LimitSpeed(f physic.Frequency) error {
	if err := checkSpeed(f); err != nil {
		return fmt.Errorf("serial port %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = f
	if p.conn == nil {
		return nil
	}
	return p.set(p.conn.line)
}

// Connect implements [uart.Port]: it sets the line, drops what was received
// before, and returns a [*Conn]. The speed is the lower one of f and the limit,
// rounded down to whole bauds. It takes one or two stop bits, no, even or odd
// parity, seven or eight bits, and no flow control or that of the lines RTS and
// CTS. After an error it may be called again, after success it may not.
func (p *Port) Connect(f physic.Frequency, stop uart.Stop, parity uart.Parity, flow uart.Flow, bits int) (conn.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		return nil, fmt.Errorf("serial port %s: connected already", p.name)
	}
	if err := checkSpeed(f); err != nil {
		return nil, fmt.Errorf("serial port %s: %w", p.name, err)
	}
	l := line{speed: f, stop: stop, parity: parity, flow: flow, bits: bits}
	if err := p.set(l); err != nil {
		return nil, err
	}
	if err := p.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }); err != nil {
		return nil, p.fault(err)
	}
	p.conn = &Conn{port: p, line: l}
	return p.conn, nil
}

// set brings the line into the state l at no more than the limited speed.
func (p *Port) set(l line) error {
	if p.limit != 0 {
		l.speed = min(l.speed, p.limit)
	}
	t, err := l.termios()
	if err == nil {
		err = p.control(func(fd int) error { return apply(fd, t) })
	}
	return p.fault(err)
}

// fault names the port, and tells the device that has gone from other faults.
// Deadlines and the end by Close stay as they are.
func (p *Port) fault(err error) error {
	switch {
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed):
		return err
	case err == io.EOF || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("serial port %s: %w", p.name, ErrUnplugged)
	}
	var inner *os.PathError
	if errors.As(err, &inner) {
		err = inner.Err // its text has the name, too
	}
	return fmt.Errorf("serial port %s: %w", p.name, err)
}

// Pseudo reports whether the port is a pseudo-terminal, see [IsPseudo].
func (c *Conn) Pseudo() bool { return IsPseudo(c.port.f) }

// IsPseudo reports whether an open file is a pseudo-terminal: behind it is a
// program, and no sensor on a line.
func IsPseudo(f syscall.Conn) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	pseudo := false
	raw.Control(func(fd uintptr) {
		var s unix.Stat_t
		if unix.Fstat(int(fd), &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFCHR {
			major := unix.Major(uint64(s.Rdev)) // of BSD, and of Unix98: Linux's list of devices
			pseudo = major == 3 || major >= 136 && major <= 143
		}
	})
	return pseudo
}

// Dial opens a port with eight bits a byte, one stop bit and no flow control.
// Parity is "none", "even" or "odd".
func Dial(name string, baud int, parity string) (*Conn, error) {
	known := map[string]uart.Parity{"none": uart.NoParity, "even": uart.Even, "odd": uart.Odd}
	kind, ok := known[parity]
	if !ok {
		return nil, fmt.Errorf("serial port %s: parity %q: want none, even or odd", name, parity)
	}
	p, err := Open(name)
	if err != nil {
		return nil, err
	}
	c, err := p.Connect(physic.Frequency(baud)*physic.Hertz, uart.One, kind, uart.NoFlow, 8)
	if err != nil {
		p.Close()
		return nil, err
	}
	return c.(*Conn), nil
}

// A Conn is a connected port. It is a [conn.Conn] and a [sensor.Conn].
type Conn struct {
	port *Port
	line line
}

var (
	_ uart.PortCloser = (*Port)(nil)
	_ conn.Conn       = (*Conn)(nil)
	_ conn.Limits     = (*Conn)(nil)
	_ sensor.Conn     = (*Conn)(nil)
)

// String returns the name of the port.
func (c *Conn) String() string { return c.port.name }

// Duplex implements [conn.Conn].
func (c *Conn) Duplex() conn.Duplex { return conn.Full }

// MaxTxSize implements [conn.Limits]: no more than the kernel keeps of what
// comes while the bytes of [Conn.Tx] go out.
func (c *Conn) MaxTxSize() int { return 4096 }

// Tx implements [conn.Conn]: it writes w, then reads until r is full. Where both
// are given they must be of the same length.
func (c *Conn) Tx(w, r []byte) error {
	switch {
	case len(w) != 0 && len(r) != 0 && len(w) != len(r):
		return fmt.Errorf("serial port %s: %d bytes to write and %d to read at the same time", c, len(w), len(r))
	case max(len(w), len(r)) > c.MaxTxSize():
		return fmt.Errorf("serial port %s: %d bytes at once, at most %d", c, max(len(w), len(r)), c.MaxTxSize())
	}
	if len(w) > 0 {
		if _, err := c.Write(w); err != nil {
			return err
		}
	}
	for len(r) > 0 {
		n, err := c.Read(r)
		if err != nil {
			return err
		}
		r = r[n:]
	}
	return nil
}

// Read returns what has come, at least one byte. It ends with an error that
// wraps [os.ErrDeadlineExceeded], [os.ErrClosed] or [ErrUnplugged].
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.port.f.Read(b)
	return n, c.port.fault(err)
}

// Write hands b to the kernel, which sends it at the speed of the line. It waits
// for room; while the sensor holds the line by its flow control, until the
// deadline.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.port.f.Write(b)
	return n, c.port.fault(err)
}

// SetReadDeadline ends reads at t, those under way, too; the zero time never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.port.fault(c.port.f.SetReadDeadline(t)) }

// SetWriteDeadline does the same for writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.port.fault(c.port.f.SetWriteDeadline(t)) }

// Close closes the port.
func (c *Conn) Close() error { return c.port.Close() }

// LineErrors is [sensor.LineErrors].
type LineErrors = sensor.LineErrors

// LineErrors returns the counters, and false when the kernel's driver has none.
// Counters wrap; only what they grew by says something.
func (c *Conn) LineErrors() (e LineErrors, ok bool) {
	err := c.port.control(func(fd int) (err error) {
		e, err = lineErrors(fd)
		return err
	})
	return e, err == nil
}
