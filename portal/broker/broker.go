// Package broker is the MQTT broker that the centre carries within itself, so
// that a small installation needs no other program.
//
// It lets in devices of the register alone, and a device publish and receive
// under its own topics only: the client id must be the device id, and where
// connections are encrypted the common name of its certificate. It speaks MQTT
// 3.1.1 with clean sessions and QoS 1, and keeps nothing but the newest state and
// profile of each device. The centre's own clients come through [Broker.Dial] and
// no port.
//
// Connections that have not said who they are are few and cheap, and never stand
// in the way of a device's.
//
// A message of a device is acknowledged only while the centre's client is
// there, and only while that client is not too far behind: until then the device
// waits on its connection. Devices that wait are served in turn, one message
// each. So nothing that was acknowledged is dropped for want of room, memory is
// bounded, and a device that floods does not push another aside. A message may
// still be lost when the process ends: only a receipt settles a record.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
	"ciglio/uplink/wire"
)

// Limits of the broker.
const (
	MaxPacket    = 64 << 10 // bytes of a packet
	MaxBehind    = 512      // messages that the centre's client has not acknowledged
	MaxStrangers = 1024     // connections that have not said who they are

	maxFromAddress = 256                  // of those, from one address
	maxConnect     = wire.MaxJSON + 2<<10 // bytes of a CONNECT: a last will and names

	recheckTime  = time.Minute      // between two looks at the sessions' certificates
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
	// Known says whether the register has a device. It is called for every
	// connection, by several goroutines.
	Known func(evidence.DeviceID) bool
	// TLS has devices connect by TLS 1.3 with certificates whose common name is
	// their id. It is asked for every connection, and once a minute for those that
	// are there. nil: connections are plain, and devices are whom they say.
	TLS     func() (*mtls.Authority, *tls.Certificate)
	Readers Readers
	Log     *slog.Logger // nil: nothing is logged
}

// A Broker works while [Broker.Run] does.
type Broker struct {
	server *mqtt.Server
	hook   *hook
	gate   *gate
	inner  *inner
}

// New prepares a broker.
func New(o Options) (*Broker, error) {
	if err := wire.CheckShard(o.Shard); err != nil {
		return nil, err
	}
	if o.Known == nil {
		return nil, errors.New("broker: no register is given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = MaxPacket
	capabilities.MaximumClients = math.MaxInt64 // the register bounds them
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
	b.gate = newGate(o.Listener, o.Known, newEncrypted(o.TLS, o.Known), b.hook)
	b.inner = newInner(o.Listener.Addr())
	err := errors.Join(
		b.server.AddHook(b.hook, nil),
		b.server.AddListener(b.gate),
		b.server.AddListener(listeners.NewNet(centreListener, b.inner)),
	)
	if o.Readers.Listener != nil {
		b.hook.readers = o.Readers
		err = errors.Join(err, b.server.AddListener(listeners.NewNet(readerListener, knocks{o.Readers.Listener})))
	}
	return b, err
}

// Addr is where devices connect.
func (b *Broker) Addr() net.Addr { return b.gate.l.Addr() }

// Dropped counts messages to devices that were dropped because a device took
// them too slowly. It asks again.
func (b *Broker) Dropped() uint64 { return b.hook.dropped.Load() }

// Run serves until ctx ends. When it returns, every connection is closed.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return err
	}
	var watching sync.WaitGroup
	if b.gate.tls != nil {
		watching.Go(func() { b.watch(ctx) })
	}
	b.hook.tally.Run(ctx)
	watching.Wait()
	b.hook.close()
	err := errors.Join(b.gate.shut(), b.inner.Close())
	b.gate.work.Wait()
	if cerr := b.server.Close(); err == nil {
		err = cerr
	}
	b.hook.tally.Flush()
	return err
}

// watch ends sessions whose certificate counts no more.
func (b *Broker) watch(ctx context.Context) {
	tick := time.NewTicker(recheckTime)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			b.gate.recheck(now)
		case <-ctx.Done():
			return
		}
	}
}

// Dial opens a connection of the centre itself: it may publish and subscribe
// everything.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) { return b.inner.dial(ctx) }

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
		// The server sets a new deadline once the client has said who it is.
		return c, c.SetDeadline(time.Now().Add(connectTime))
	case <-i.ended:
		return nil, net.ErrClosed
	}
}

func (i *inner) Addr() net.Addr { return i.addr }

func (i *inner) Close() error {
	i.once.Do(func() { close(i.ended) })
	return nil
}
