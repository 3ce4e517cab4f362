package est

import (
	"context"
	"errors"
	"log/slog"
	"net"
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
// are refused. While there are as many as it takes it accepts none; one more than
// one address may have is closed.
type listener struct {
	net.Listener
	server   *Server
	acceptor *mtls.Acceptor
	ready    chan net.Conn
	slots    chan struct{} // one for each connection, until it is closed
	ctx      context.Context
	end      context.CancelFunc
	work     sync.WaitGroup

	mu   sync.Mutex
	from map[string]int // connections by address
}

func newListener(l net.Listener, s *Server) *listener {
	k := &listener{Listener: l, server: s, acceptor: mtls.NewAcceptor(s.config), ready: make(chan net.Conn), slots: make(chan struct{}, maxConnections), from: make(map[string]int)}
	k.ctx, k.end = context.WithCancel(context.Background())
	k.work.Add(1)
	return k
}

func (k *listener) serve() {
	defer k.work.Done()
	for {
		select {
		case k.slots <- struct{}{}:
		case <-k.ctx.Done():
			return
		}
		raw, err := k.Listener.Accept()
		if err != nil {
			<-k.slots
			if k.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(acceptDelay) // the machine may be out of descriptors
			continue
		}
		c, ok := k.enter(raw)
		if !ok {
			k.server.tally.Add(tally.Key{Level: slog.LevelWarn, Message: "client refused", Reason: "too many connections from its address"}, "remote", raw.RemoteAddr().String())
			raw.Close()
			<-k.slots
			continue
		}
		k.work.Go(func() { k.shake(c) })
	}
}

// A slot is a connection that has one.
type slot struct {
	net.Conn
	leave func() // once
}

// enter counts a connection, which has a slot, unless its address has too many.
func (k *listener) enter(raw net.Conn) (*slot, bool) {
	address, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		address = raw.RemoteAddr().String()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.from[address] == maxFromAddress {
		return nil, false
	}
	k.from[address]++
	return &slot{raw, sync.OnceFunc(func() {
		k.mu.Lock()
		if k.from[address]--; k.from[address] == 0 {
			delete(k.from, address)
		}
		k.mu.Unlock()
		<-k.slots
	})}, true
}

// Close closes the connection and gives its slot to another.
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
