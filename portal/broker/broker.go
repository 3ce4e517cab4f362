// Package broker is the MQTT broker that the centre carries within itself, so
// that a small installation needs no other program.
//
// It lets a device publish and receive under its own topics only: the client id
// must be the device id. It speaks MQTT 3.1.1 with clean sessions and keeps
// nothing. The centre's own client comes through [Broker.Dial] and no port.
//
// A message of a device is acknowledged only while the centre's client is
// there, and only while that client is not too far behind: until then the device
// waits on its connection. So nothing that was acknowledged is dropped for want
// of room, and memory is bounded. It may still be lost when the process ends:
// only a receipt settles a record.
package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"ciglio/uplink/wire"
)

// Limits of the broker.
const (
	MaxPacket  = 64 << 10 // bytes of a packet
	MaxClients = 10_000
	MaxBehind  = 512 // messages that the centre's client has not acknowledged

	connectTime  = 10 * time.Second // from connection to CONNECT
	acceptDelay  = 100 * time.Millisecond
	maxKeepAlive = 20 * 60 // seconds

	deviceListener = "devices"
	centreListener = "centre"
)

// ErrClosed is returned by Dial when the broker has ended.
var ErrClosed = errors.New("the broker has ended")

// Options of a Broker.
type Options struct {
	Listener net.Listener // where devices connect; the broker closes it
	Shard    string       // the one shard that devices may use
	Log      *slog.Logger // nil: nothing is logged
}

// A Broker works while [Broker.Run] does.
type Broker struct {
	server  *mqtt.Server
	hook    *hook
	devices *listener
	centre  *listener
	inner   *inner
}

// New prepares a broker.
func New(o Options) (*Broker, error) {
	if err := wire.CheckShard(o.Shard); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = MaxPacket
	capabilities.MaximumClients = MaxClients
	capabilities.MinimumProtocolVersion = 4
	capabilities.MaximumQos = 1
	capabilities.SharedSubAvailable = 0
	capabilities.TopicAliasMaximum = 0
	capabilities.MaximumInflight = 8 * MaxBehind
	capabilities.MaximumClientWritesPending = 4 * MaxBehind
	// Retained messages stay as long as the process.
	capabilities.MaximumMessageExpiryInterval = 0
	b := &Broker{
		server: mqtt.New(&mqtt.Options{
			Capabilities: capabilities,
			// The server logs whole packets; the hook logs what matters.
			Logger:                   slog.New(slog.DiscardHandler),
			ClientNetReadBufferSize:  16 << 10,
			ClientNetWriteBufferSize: 16 << 10,
			SysTopicResendInterval:   3600,
		}),
		hook: newHook(o.Shard, o.Log),
	}
	b.inner = newInner(o.Listener.Addr())
	b.devices, b.centre = watch(o.Listener, o.Log), watch(b.inner, o.Log)
	return b, errors.Join(
		b.server.AddHook(b.hook, nil),
		b.server.AddListener(listeners.NewNet(deviceListener, b.devices)),
		b.server.AddListener(listeners.NewNet(centreListener, b.centre)),
	)
}

// Addr is where devices connect.
func (b *Broker) Addr() net.Addr { return b.devices.Addr() }

// Run serves until ctx ends. When it returns, every connection is closed.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return err
	}
	<-ctx.Done()
	b.hook.close()
	err := errors.Join(b.devices.shut(), b.centre.shut())
	if cerr := b.server.Close(); err == nil {
		err = cerr
	}
	return err
}

// Dial opens a connection of the centre itself: it may publish and subscribe
// everything.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) { return b.inner.dial(ctx) }

// A listener knows its open connections and bounds how long each may take to
// say who it is. It accepts until it is closed, whatever fails in between.
type listener struct {
	net.Listener
	log *slog.Logger

	mu    sync.Mutex
	conns map[*conn]bool
	ended bool
}

type conn struct {
	net.Conn
	from *listener
}

func watch(l net.Listener, log *slog.Logger) *listener {
	return &listener{Listener: l, log: log, conns: make(map[*conn]bool)}
}

// Accept returns an error only when the listener is closed: the server never
// calls it again after one.
func (l *listener) Accept() (net.Conn, error) {
	failing := false
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			if l.isEnded() || errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			if !failing { // the machine may be out of descriptors
				failing = true
				l.log.Error("broker accepts no connection", "error", err)
			}
			time.Sleep(acceptDelay)
			continue
		}
		// The server sets a new deadline once the client has said who it is.
		if raw.SetDeadline(time.Now().Add(connectTime)) != nil {
			raw.Close() // it has gone already
			continue
		}
		if failing {
			l.log.Info("broker accepts connections again")
		}
		return l.keep(raw)
	}
}

func (l *listener) isEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// keep notes an open connection.
func (l *listener) keep(raw net.Conn) (net.Conn, error) {
	c := &conn{Conn: raw, from: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errors.Join(ErrClosed, raw.Close())
	}
	l.conns[c] = true
	return c, nil
}

func (c *conn) Close() error {
	c.from.mu.Lock()
	delete(c.from.conns, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// Close closes the listener, once; the server calls it again.
func (l *listener) Close() error {
	l.mu.Lock()
	ended := l.ended
	l.ended = true
	l.mu.Unlock()
	if ended {
		return nil
	}
	return l.Listener.Close()
}

// shut closes the listener and every connection.
func (l *listener) shut() error {
	err := l.Close()
	l.mu.Lock()
	open := l.conns
	l.conns = make(map[*conn]bool)
	l.mu.Unlock()
	for c := range open {
		c.Conn.Close()
	}
	return err
}

// inner is a listener within the process.
type inner struct {
	addr  net.Addr
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newInner(addr net.Addr) *inner {
	return &inner{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (i *inner) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case i.conns <- theirs:
		return ours, nil
	case <-i.ended:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (i *inner) Accept() (net.Conn, error) {
	select {
	case c := <-i.conns:
		return c, nil
	case <-i.ended:
		return nil, net.ErrClosed
	}
}

func (i *inner) Addr() net.Addr { return i.addr }

func (i *inner) Close() error {
	i.once.Do(func() { close(i.ended) })
	return nil
}
