package notify_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/agent/notify"
)

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestManagerHears(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@ciglio-notify-test-%d", os.Getpid())} {
		manager := listen(t, address)
		s, err := notify.FromEnvironment(environment(map[string]string{"NOTIFY_SOCKET": address}), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(notify.Ready, notify.Status("gate closed:\nself_test")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1024)
		n, err := manager.Read(b)
		if want := "READY=1\nSTATUS=gate closed: self_test"; err != nil || string(b[:n]) != want {
			t.Errorf("%s: the manager hears %q, %v, want %q", address, b[:n], err, want)
		}
		manager.Close()
		if err := s.Send(notify.Alive); err == nil {
			t.Errorf("%s: no error though nobody listens", address)
		}
	}
}

// A manager that does not read must not stop the program.
func TestFullSocketIsAnError(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	listen(t, address)
	s, err := notify.FromEnvironment(environment(map[string]string{"NOTIFY_SOCKET": address}), 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 { // more than any kernel queues
		if err = s.Send(notify.Alive); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("no error from a socket that nobody reads")
	}
}

func TestEnvironment(t *testing.T) {
	const pid = 42
	for _, test := range []struct {
		name     string
		vars     map[string]string
		watchdog time.Duration
		none     bool
		bad      bool
	}{
		{name: "no manager", none: true},
		{name: "no watchdog", vars: map[string]string{"NOTIFY_SOCKET": "/run/n"}},
		{name: "watchdog", vars: map[string]string{"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "30000000"}, watchdog: 30 * time.Second},
		{name: "ours", vars: map[string]string{"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "42"}, watchdog: time.Millisecond},
		{name: "of another", vars: map[string]string{"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "43"}},
		{name: "relative", vars: map[string]string{"NOTIFY_SOCKET": "run/n"}, bad: true},
		{name: "no number", vars: map[string]string{"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30s"}, bad: true},
		{name: "never", vars: map[string]string{"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "0"}, bad: true},
		{name: "overflow", vars: map[string]string{"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "9223372036854775807"}, bad: true},
	} {
		s, err := notify.FromEnvironment(environment(test.vars), pid)
		if (err != nil) != test.bad || (s == nil) != (test.none || test.bad) || s.Watchdog() != test.watchdog {
			t.Errorf("%s: socket %v, watchdog %v, %v", test.name, s != nil, s.Watchdog(), err)
		}
	}
	var none *notify.Socket
	if err := none.Send(notify.Ready); err != nil {
		t.Error(err)
	}
}
