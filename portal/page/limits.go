package page

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound how often one address asks: so many requests a second, and so many at
// once before that counts.
type Limits struct {
	PerSecond float64
	Burst     int
}

// limitsOf are those of the layouts: people who work with the pages all day may share an
// address.
var limitsOf = map[Layout]Limits{Staff: {PerSecond: 100, Burst: 1000}, Public: {PerSecond: 20, Burst: 200}}

// maxAddresses bounds how many are remembered: some megabytes.
const maxAddresses = 1 << 16

// A rate counts requests by address (the generic cell rate algorithm): it keeps when each
// has used up what it asked for. The machine itself
// is not counted: a proxy on it, which all come through, has limits of its own.
type rate struct {
	every, burst time.Duration

	mu  sync.Mutex
	all map[netip.Addr]time.Time
}

func newRate(l Limits) *rate {
	every := time.Duration(float64(time.Second) / l.PerSecond)
	return &rate{every: every, burst: every * time.Duration(l.Burst), all: map[netip.Addr]time.Time{}}
}

// take reports whether one more request may be answered.
func (r *rate) take(remote string, now time.Time) bool {
	address := whose(remote)
	if !address.IsValid() || address.IsLoopback() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	until := r.all[address]
	if until.Before(now) {
		until = now
	}
	if until = until.Add(r.every); until.Sub(now) > r.burst {
		return false
	}
	if len(r.all) >= maxAddresses {
		r.forget(now)
	}
	r.all[address] = until
	return true
}

// whose is the address that counts for one: of IPv6 a network of 64 bits is, since whoever
// has an address there has all of them. What is no address with a port is the zero one.
func whose(remote string) netip.Addr {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	address := from.Addr().Unmap().WithZone("")
	if address.Is6() && !address.IsLoopback() {
		network, _ := address.Prefix(64)
		address = network.Addr()
	}
	return address
}

// forget drops who has used up nothing; if that is nobody, all: those who ask too often
// get one more burst. The caller holds mu.
func (r *rate) forget(now time.Time) {
	for address, until := range r.all {
		if !until.After(now) {
			delete(r.all, address)
		}
	}
	if len(r.all) >= maxAddresses {
		clear(r.all)
	}
}

// maxConnections is how many there are at most to one host.
const maxConnections = 1024

// connections bounds those to the pages: one more ends another, of the address that
// has most. One that waits for something from its client, or has asked for nothing
// yet, goes before one that is being answered, and the oldest first.
type connections struct {
	mu    sync.Mutex
	order uint64
	all   map[net.Conn]*connection
	from  map[netip.Addr]int // by whose they are
}

type connection struct {
	address netip.Addr
	order   uint64
	waiting bool
}

func newConnections() *connections {
	return &connections{all: make(map[net.Conn]*connection), from: make(map[netip.Addr]int)}
}

// changed is the server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	var out net.Conn
	c.mu.Lock()
	c.order++
	x := c.all[conn]
	switch {
	case state == http.StateNew:
		x = &connection{address: whose(conn.RemoteAddr().String()), order: c.order, waiting: true}
		c.all[conn] = x
		c.from[x.address]++
		if len(c.all) > maxConnections {
			out = c.worst(conn)
			c.forget(out)
		}
	case x == nil: // it had to go
	case state == http.StateIdle, state == http.StateActive:
		x.order, x.waiting = c.order, state == http.StateIdle
	default:
		c.forget(conn)
	}
	c.mu.Unlock()
	if out != nil {
		go out.Close() // who reads nothing has TLS wait five seconds for its last word, and all who want to connect with it
	}
}

// forget takes a connection off the lists. The caller holds mu.
func (c *connections) forget(conn net.Conn) {
	x := c.all[conn]
	delete(c.all, conn)
	if c.from[x.address]--; c.from[x.address] == 0 {
		delete(c.from, x.address)
	}
}

// worst is the connection that has to go for a new one. The caller holds mu, and
// there are others.
func (c *connections) worst(than net.Conn) (worst net.Conn) {
	var least *connection
	for conn, x := range c.all {
		if conn != than && (least == nil || c.before(x, least)) {
			worst, least = conn, x
		}
	}
	return worst
}

// before reports whether x has to go before y.
func (c *connections) before(x, y *connection) bool {
	if n := cmp.Compare(c.from[x.address], c.from[y.address]); n != 0 {
		return n > 0
	}
	if x.waiting != y.waiting {
		return x.waiting
	}
	return x.order < y.order
}
