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

// Limits of connections whose handshake is under way.
const (
	handshakeTime = 10 * time.Second
	maxHandshakes = 256
	acceptDelay   = 100 * time.Millisecond
)

// A listener gives connections whose handshake is through, and tells why others
// are refused. While as many as it takes are under way it accepts none.
type listener struct {
	net.Listener
	server   *Server
	acceptor *mtls.Acceptor
	ready    chan net.Conn
	slots    chan struct{}
	ctx      context.Context
	end      context.CancelFunc
	work     sync.WaitGroup
}

func newListener(l net.Listener, s *Server) *listener {
	k := &listener{Listener: l, server: s, acceptor: mtls.NewAcceptor(s.config), ready: make(chan net.Conn), slots: make(chan struct{}, maxHandshakes)}
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
		k.work.Go(func() {
			defer func() { <-k.slots }()
			k.shake(raw)
		})
	}
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
