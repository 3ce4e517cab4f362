package page

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

func TestWhoseAnAddressIs(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5000": "192.0.2.1", "[::ffff:192.0.2.1]:5000": "192.0.2.1", "127.0.0.1:5000": "127.0.0.1", "[::1]:5000": "::1",
		"[2001:db8:0:1:2:3:4:5]:5000": "2001:db8:0:1::", "[fe80::1%eth0]:5000": "fe80::",
	} {
		if got := whose(remote); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v, want %s", remote, got, want)
		}
	}
	for _, remote := range []string{"", "@", "pipe", "192.0.2.1"} {
		if got := whose(remote); got.IsValid() {
			t.Errorf("%q: %v", remote, got)
		}
	}
}

// A caller is a connection from an address.
type caller struct {
	net.Conn
	from   net.Addr
	closed chan struct{}
	holds  chan struct{} // closing it waits for this
}

func (c *caller) RemoteAddr() net.Addr { return c.from }
func (c *caller) Close() error {
	close(c.closed)
	<-c.holds
	return nil
}

func call(address string, holds chan struct{}) *caller {
	return &caller{closed: make(chan struct{}), holds: holds, from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 5000))}
}

// One network has all addresses in it: what it opens too much is taken from it. Nobody
// waits for the end of those.
func TestConnectionsOfOneNetworkGoFirst(t *testing.T) {
	all, holds := newConnections(), make(chan struct{})
	defer close(holds)
	reader := call("2001:db8:ffff::1", holds)
	all.changed(reader, http.StateNew) // waits, and is the oldest
	for i := range 2 * maxConnections {
		one := call(fmt.Sprintf("2001:db8::%x", i+1), holds)
		all.changed(one, http.StateNew)
		all.changed(one, http.StateActive)
	}
	select {
	case <-reader.closed:
		t.Error("the reader from elsewhere had to go")
	default:
	}
	if len(all.all) != maxConnections {
		t.Errorf("%d connections, want %d", len(all.all), maxConnections)
	}
}
