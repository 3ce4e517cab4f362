package portaltest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/keys"
	"ciglio/portal/register"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A Centre is the directory of a centre with devices enrolled, and its keys.
type Centre struct {
	Dir    string
	Root   *keys.Key
	Signer *keys.Key
}

// NewCentre makes a centre.
func NewCentre(t testing.TB, devices ...*Device) *Centre {
	t.Helper()
	c := &Centre{Dir: t.TempDir()}
	for _, k := range []struct {
		into **keys.Key
		name string
	}{{&c.Root, "root.key"}, {&c.Signer, "centre.key"}} {
		key, err := keys.Generate()
		if err == nil {
			err = key.Create(filepath.Join(c.Dir, k.name))
		}
		if err != nil {
			t.Fatal(err)
		}
		*k.into = key
	}
	entry := evidence.RegisterEntry{
		Role: evidence.RoleCentre, Key: c.Signer.SPKI(),
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if err := register.Create(c.Dir, c.Root, entry, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		c.Enrol(t, d)
	}
	return c
}

// Enrol adds a device.
func (c *Centre) Enrol(t testing.TB, d *Device) {
	t.Helper()
	if _, err := register.Add(c.Dir, c.Root, d.ID, d.Epoch, d.Certificate, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// A Broker is a [uplink.Dialer] whose sessions a test holds in its hand.
type Broker struct {
	mu      sync.Mutex
	session *session // that messages are delivered to
	answers *session // that only publishes
	dialled int
	refuse  error
	ready   chan struct{} // closed and replaced with each session
	sent    chan uplink.Message
}

// NewBroker returns a broker that keeps up to 65,536 messages published.
func NewBroker() *Broker {
	return &Broker{ready: make(chan struct{}), sent: make(chan uplink.Message, 1<<16)}
}

type session struct {
	broker *Broker
	handle func(uplink.Message)
	done   chan struct{}
	once   sync.Once
	busy   sync.Mutex // held while handle runs
	err    error
}

// Dial opens a session.
func (b *Broker) Dial(ctx context.Context, o uplink.SessionOptions) (uplink.Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(o.Subscribe) == 0 {
		if b.refuse != nil {
			return nil, b.refuse
		}
		b.answers = &session{broker: b, done: make(chan struct{})}
		return b.answers, nil
	}
	b.dialled++
	if b.refuse != nil {
		return nil, b.refuse
	}
	b.session = &session{broker: b, handle: o.Handle, done: make(chan struct{})}
	close(b.ready)
	b.ready = make(chan struct{})
	return b.session, nil
}

// Refuse has every Dial fail from now on, or not when err is nil.
func (b *Broker) Refuse(err error) {
	b.mu.Lock()
	b.refuse = err
	b.mu.Unlock()
}

// Dialled counts the calls of Dial for a session that subscribes.
func (b *Broker) Dialled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dialled
}

// Deliver hands messages to the session, waiting for one if there is none.
func (b *Broker) Deliver(messages ...uplink.Message) {
	for _, m := range messages {
		b.mu.Lock()
		s, ready := b.session, b.ready
		b.mu.Unlock()
		for s == nil {
			<-ready
			b.mu.Lock()
			s, ready = b.session, b.ready
			b.mu.Unlock()
		}
		s.busy.Lock()
		s.handle(m)
		s.busy.Unlock()
	}
}

// Drop ends the sessions as a lost connection does.
func (b *Broker) Drop() {
	b.mu.Lock()
	both := []*session{b.session, b.answers}
	b.session, b.answers = nil, nil
	b.mu.Unlock()
	for _, s := range both {
		if s != nil {
			s.end(errors.New("connection lost"))
		}
	}
}

// Published returns what the centre publishes, in order.
func (b *Broker) Published() <-chan uplink.Message { return b.sent }

// An Answer is what the centre said to a device.
type Answer struct {
	Receipt *evidence.SealedReceipt
	Have    *wire.Have
	Refused *wire.Refused
}

// Next returns the next answer published, and fails the test when its signature
// is not the centre's.
func (b *Broker) Next(t testing.TB, c *Centre) (evidence.DeviceID, Answer) {
	t.Helper()
	return c.Read(t, <-b.sent)
}

// Read reads an answer and checks its signature.
func (c *Centre) Read(t testing.TB, m uplink.Message) (evidence.DeviceID, Answer) {
	t.Helper()
	_, device, what, err := wire.ParseTopic(m.Topic)
	if err != nil {
		t.Fatal(err)
	}
	if what == wire.WhatReceipt {
		receipt, err := evidence.OpenReceipt(m.Payload)
		if err == nil {
			err = receipt.Verify(c.Signer.Public())
		}
		if err != nil {
			t.Fatal(err)
		}
		return device, Answer{Receipt: receipt}
	}
	command, err := wire.OpenCommand(m.Payload)
	if err == nil {
		err = command.Verify(c.Signer.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	return device, Answer{Have: command.Have, Refused: command.Refused}
}

// Publish keeps m for [Broker.Published].
func (s *session) Publish(m uplink.Message) <-chan error {
	ack := make(chan error, 1)
	select {
	case <-s.done:
		ack <- errors.New("session ended")
	case s.broker.sent <- m:
		ack <- nil
	}
	return ack
}

func (s *session) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
	})
}

func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

func (s *session) Close() error {
	s.end(nil)
	s.broker.mu.Lock()
	if s.broker.session == s {
		s.broker.session = nil
	}
	s.broker.mu.Unlock()
	s.busy.Lock() // the message in hand
	defer s.busy.Unlock()
	return nil
}
