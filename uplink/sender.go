package uplink

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// What a sender keeps to. docs/mqtt.md tells them to other parties.
const (
	Window     = 20      // messages published and not acknowledged
	MaxRecords = 1000    // records sent and not receipted
	MaxBytes   = 8 << 20 // their bytes, chunks included

	firstWait = 10 * time.Minute // for a receipt, before a record is sent again
	lastWait  = 6 * time.Hour    // to which that doubles; also between two looks at the whole store
	// firstSilence is how long the centre must have answered nothing before a
	// second session is ended for that; it doubles to lastWait.
	firstSilence = time.Hour
	// patience is how often a record is sent before it gives up its place to
	// one that waits; it comes again at the next look at the whole store.
	patience = 4

	firstBackOff = time.Second     // before the next session
	lastBackOff  = 2 * time.Minute // to which that doubles

	healthEvery = time.Minute
	healthGap   = time.Second      // between two reports, however much changes
	ackPatience = 5 * time.Minute  // without any acknowledgement while some are due
	farewell    = 2 * time.Second  // for the last message of a session that ends in good order
	storeRetry  = 10 * time.Second // after the store has failed to list its records
	pageSize    = 64               // records listed at once

	// MaxWanted is how many records may wait to be sent on request.
	MaxWanted = 4096
)

// SenderOptions tell a Sender what to send and where to.
type SenderOptions struct {
	Store  Store
	Dialer Dialer
	Device evidence.DeviceID
	Shard  string
	// CentreKey returns the key of the centre that the register names with kid
	// and holds in force at the given time.
	CentreKey func(kid evidence.Hash, at time.Time) (*ecdsa.PublicKey, error)
	// Boot names the run of the kernel. Sequence numbers of state and health
	// begin behind Sequence, which must grow from one start of the program to
	// the next within a boot: the seconds since boot do.
	Boot     wire.BootID
	Sequence uint64
	// Health returns the device's report; the Sender fills in its Head, Boot,
	// Sequence and Uplink and adds its own alarms. Nil for no reports. It is
	// called by the goroutine that sends and must not wait.
	Health func() wire.Health
	// Profile returns the device's profile, and false when there is none yet.
	// The Sender fills in its Head. Nil for none. It must not wait.
	Profile func() (wire.Profile, bool)
	// Order takes what came as an order for this device, with nothing of it verified.
	// It is called by the goroutine that receives and must not wait; nil for a device
	// that takes no orders.
	Order func(b []byte)
	// Log may be nil.
	Log *slog.Logger
}

// A Sender carries records from a store to the centre until the centre has
// receipted each of them, over sessions that may end at any moment.
//
// Records go out oldest first: the record, then the chunks of its blobs. At most
// Window messages wait for the broker's acknowledgement, and at most MaxRecords
// records of MaxBytes for the centre's receipt; a single larger record goes when
// no other waits. Nothing but a receipt settles a record, whatever the broker
// acknowledged. A record without one is sent again, alone and without its
// chunks, in each new session and after 10 minutes, doubling to 6 hours, ± 20 %;
// then the centre says what it lacks of the blobs, and only that follows.
//
// A record that the centre says it does not take is kept, sent again when the
// centre says so, and an alarm until then. A session over which the centre
// answers nothing, though a record was sent more than once, is ended and opened
// anew: the broker may have taken the answers elsewhere.
//
// A message that is unacknowledged when the connection drops, three times
// running, is sent alone, after others have gone through; when it takes the
// connection with it three times more, its record is set aside with an alarm,
// and the others go on. While nothing at all goes through, nothing is set aside.
//
// Memory does not depend on how many records wait in the store.
type Sender struct {
	o        SenderOptions
	log      *slog.Logger
	topic    map[wire.What]string
	refresh  chan struct{}
	counters counters
	changes  changes
	status   atomic.Pointer[status]
	running  atomic.Bool
	sequence uint64 // of sessions
	reports  uint64 // of health

	notTakenYet map[Key]bool // records that the centre has refused

	mu     sync.Mutex
	asked  []Item // by Resend, for the goroutine that sends; guarded by mu
	length int    // of all that was asked for and is not in flight; guarded by mu

	ledger   // what is sent and waits for a receipt
	suspects // messages that may have ended a session
}

// counters count since New.
type counters struct {
	sessions, published, acknowledged, resent, receipts, settled, refused, setAside, unreadable atomic.Uint64
	records, bytes, messages                                                                    atomic.Int64 // at present
}

// NewSender checks the options. It starts nothing.
func NewSender(o SenderOptions) (*Sender, error) {
	if err := wire.CheckShard(o.Shard); err != nil {
		return nil, err
	}
	switch {
	case o.Store == nil || o.Dialer == nil || o.CentreKey == nil:
		return nil, errors.New("uplink: a store, a dialer and the centre's keys are needed")
	case o.Device == evidence.DeviceID{} || o.Boot == wire.BootID{}:
		return nil, errors.New("uplink: device id and boot id are needed")
	}
	s := &Sender{
		o: o, log: o.Log, topic: map[wire.What]string{}, refresh: make(chan struct{}, 1),
		notTakenYet: map[Key]bool{},
		ledger:      newLedger(o.Store), suspects: newSuspects(), sequence: o.Sequence, reports: o.Sequence,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, w := range wire.Whats() {
		s.topic[w] = wire.Topic(o.Shard, o.Device, w)
	}
	s.status.Store(&status{since: time.Now(), trouble: "not started"})
	return s, nil
}

// Refresh makes the Sender report health and profile at once, and look through
// the whole store: call it when something in a report has changed, or when
// records were released that had been set aside. It never waits.
func (s *Sender) Refresh() {
	select {
	case s.refresh <- struct{}{}:
	default:
	}
}

// Resend sends records once more, whatever the store says of them, behind what is in
// flight and before what waits. The centre answers each as any other: with a receipt
// or with what it lacks. What is asked for lives until the program ends. It returns
// an error, and asks for nothing, when more than [MaxWanted] would wait.
func (s *Sender) Resend(items []Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.length+len(items) > MaxWanted {
		return fmt.Errorf("uplink: %d records wait to be sent again, %d more are too many", s.length, len(items))
	}
	s.asked = append(s.asked, items...)
	s.length += len(items)
	s.Refresh()
	return nil
}

// want takes what Resend was asked for.
func (s *Sender) want() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = append(s.wanted, s.asked...)
	s.asked, s.length = nil, len(s.wanted)
}

// Run sends until ctx is done, then says goodbye to the broker and returns nil.
// It has joined every goroutine it started. It may be called once.
func (s *Sender) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return errors.New("uplink: Run was called before")
	}
	backOff := firstBackOff
	for ctx.Err() == nil {
		progress, err := s.session(ctx)
		if ctx.Err() != nil {
			break
		}
		s.setStatus(false, err)
		if progress {
			backOff = firstBackOff
		}
		select {
		case <-ctx.Done():
		case <-time.After(jitter(backOff, 0.5)):
		}
		backOff = min(2*backOff, lastBackOff)
	}
	s.setStatus(false, errStopped)
	return nil
}

// session opens one session and serves it until it ends. It reports whether the
// broker acknowledged anything that counts as progress.
func (s *Sender) session(ctx context.Context) (progress bool, err error) {
	s.sequence++
	will, err := s.state(false, wire.ReasonLost)
	if err != nil {
		return false, err
	}
	r := &run{Sender: s, gone: make(chan struct{}), events: make(chan event)}
	r.session, err = s.o.Dialer.Dial(ctx, SessionOptions{
		ClientID:  s.o.Device.String(),
		Will:      &Message{Topic: s.topic[wire.WhatState], Payload: will, Retained: true},
		Subscribe: []string{s.topic[wire.WhatReceipt], s.topic[wire.WhatCommand]},
		Handle:    r.handle,
	})
	if err != nil {
		close(r.gone)
		return false, fmt.Errorf("no session: %w", err)
	}
	s.counters.sessions.Add(1)
	s.setStatus(true, nil)
	err = r.serve(ctx)
	close(r.gone) // before Close, which waits for Handle
	if e := r.session.Close(); err == nil {
		err = e
	}
	r.settleAccounts(err)
	return r.progress, err
}

// jitter returns d, more or less by up to the given part of it.
func jitter(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 - part + 2*part*rand.Float64()))
}
