// Package notify tells the service manager how the program does: the protocol
// of sd_notify(3), datagrams of KEY=VALUE lines to the socket that the manager
// named in the environment.
//
// A nil *Socket is that of a program which no manager started. Its methods do
// nothing. A Socket is safe for concurrent use.
package notify

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// What a program tells. Status takes a text.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status returns the line that says in words what the program does. Line breaks
// would begin another assignment and become spaces.
func Status(words string) string {
	return "STATUS=" + strings.Join(strings.Fields(words), " ")
}

// A Socket is the way to the service manager.
type Socket struct {
	address  string
	watchdog time.Duration
}

// FromEnvironment returns the socket that the environment names; nil when it
// names none. pid is that of the program: a watchdog meant for another process
// is not ours to feed.
func FromEnvironment(getenv func(string) string, pid int) (*Socket, error) {
	address := getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil, nil
	}
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET %q: want a path or an abstract name", address)
	}
	s := &Socket{address: address}
	if usec := getenv("WATCHDOG_USEC"); usec != "" {
		n, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || n <= 0 || n > int64(24*time.Hour/time.Microsecond) {
			return nil, fmt.Errorf("WATCHDOG_USEC %q: want microseconds, at most a day", usec)
		}
		if of := getenv("WATCHDOG_PID"); of == "" || of == strconv.Itoa(pid) {
			s.watchdog = time.Duration(n) * time.Microsecond
		}
	}
	return s, nil
}

// Watchdog returns how long the manager waits for [Alive] before it takes the
// program for hung; 0 when it does not wait.
func (s *Socket) Watchdog() time.Duration {
	if s == nil {
		return 0
	}
	return s.watchdog
}

// patience bounds a Send whose manager does not read.
const patience = time.Second

// Send tells all of the lines at once.
func (s *Socket) Send(lines ...string) error {
	if s == nil {
		return nil
	}
	// Package net takes a leading @ for an abstract name, as the manager does. A
	// connection of its own each time reaches a manager that was started anew.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}
