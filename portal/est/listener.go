package est

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ciglio/internal/mtls"
	"ciglio/portal/tally"
)

// Limits of connections, whether their handshake is through or not: the broker's
// descriptors are of the same process.
const (
	handshakeTime  = 10 * time.Second
	maxConnections = 256
	maxFromAddress = 64
	acceptDelay    = 100 * time.Millisecond
)

// A listener gives connections whose handshake is through, and tells why others
// are refused. One more than it takes ends the oldest of the address that has most;
// one more than an address may have, that address's oldest.
type listener struct {
	net.Listener
	server   *Server
	acceptor *mtls.Acceptor
	ready    chan net.Conn
	ctx      context.Context
	end      context.CancelFunc
	work     sync.WaitGroup

	mu    sync.Mutex
	order uint64
	all   int
	from  map[string][]*slot // connections by address, the oldest first
}

func newListener(l net.Listener, s *Server) *listener {
	k := &listener{Listener: l, server: s, acceptor: mtls.NewAcceptor(s.config), ready: make(chan net.Conn), from: make(map[string][]*slot)}
	k.ctx, k.end = context.WithCancel(context.Background())
	k.work.Add(1)
	return k
}

func (k *listener) serve() {
	defer k.work.Done()
	for {
		raw, err := k.Listener.Accept()
		if err != nil {
			if k.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(acceptDelay) // the machine may be out of descriptors
			continue
		}
		c, out := k.enter(raw)
		if out != nil {
			k.server.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "client refused", Reason: "too many connections from its address"}, "remote", out.RemoteAddr().String())
			out.Close()
		}
		k.work.Go(func() { k.shake(c) })
	}
}

// A slot is a connection that is counted.
type slot struct {
	net.Conn
	order uint64
	leave func() // once
}

// addressOf is whom a connection is counted to: an IPv4 address, or an IPv6 network
// of 64 bits, which is what one customer has.
func addressOf(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	address := at.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	network, err := address.WithZone("").Prefix(64)
	if err != nil {
		return address.String()
	}
	return network.String()
}

// enter counts a connection. It returns one that has to go for it, if there are too
// many, which is counted no more.
func (k *listener) enter(raw net.Conn) (in, out *slot) {
	address := addressOf(raw.RemoteAddr())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.order++
	in = &slot{Conn: raw, order: k.order}
	in.leave = sync.OnceFunc(func() { k.forget(address, in) })
	k.from[address] = append(k.from[address], in)
	k.all++
	if n := len(k.from[address]); n > maxFromAddress {
		out = k.from[address][0]
	} else if k.all > maxConnections {
		most := 0
		for _, some := range k.from {
			if len(some) > most || len(some) == most && some[0].order < out.order {
				most, out = len(some), some[0]
			}
		}
	}
	return in, out
}

func (k *listener) forget(address string, s *slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	some := slices.DeleteFunc(k.from[address], func(one *slot) bool { return one == s })
	if k.from[address] = some; len(some) == 0 {
		delete(k.from, address)
	}
	k.all--
}

// Close closes the connection, which is counted no more.
func (s *slot) Close() error {
	defer s.leave()
	return s.Conn.Close()
}

// CloseWrite ends what this end says.
func (s *slot) CloseWrite() error {
	half, ok := s.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

func (k *listener) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(k.ctx, handshakeTime)
	defer cancel()
	c, err := k.acceptor.Accept(ctx, raw)
	if err != nil {
		var r *mtls.Refusal
		if errors.As(err, &r) && k.ctx.Err() == nil {
			k.server.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "client refused", Reason: "it " + string(r.Cause)}, "remote", raw.RemoteAddr().String())
		}
		return
	}
	select {
	case k.ready <- c:
	case <-k.ctx.Done():
		c.Close()
	}
}

// Accept returns the next connection whose handshake is through.
func (k *listener) Accept() (net.Conn, error) {
	select {
	case c := <-k.ready:
		return c, nil
	case <-k.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener and every handshake.
func (k *listener) Close() error {
	k.end()
	return k.Listener.Close()
}
