// Package intake takes what the devices of a shard send, verifies all of it, stores it
// and answers: with what is still missing of a record, and with the receipts that the
// sequencer has sealed for those that are whole, until the broker has acknowledged them.
//
// What it keeps true: nothing that is not signed by a key of the register is
// ever stored as evidence; a record is said to be whole only when everything it speaks
// of is on disk; everything a device sends may come twice, late, or in another order
// and has the same effect; a bad message is counted by its [Reason], kept for
// inspection in bounded number, and stops nothing.
//
// Messages of one device are handled in the order in which they came, those of
// several devices in parallel. One goroutine writes: it takes what has gathered
// while the last transaction was being synced and makes it the next one, under the
// lease of the shard: of two intakes that take themselves for the only one, the first
// changes nothing any more.
package intake

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
	"ciglio/portal/orders"
	"ciglio/portal/record"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A Register says which keys count. [*ciglio/portal/register.File] is one.
type Register interface {
	Trust() *evidence.Trust
	Known(evidence.DeviceID) bool
	// Refresh looks whether there is a newer register.
	Refresh() error
}

// Options of an Intake. All but Quota, Orders, Now and Log are needed.
type Options struct {
	Store    *record.Store
	Lease    database.Lease // of the shard
	Spool    string         // folder of blobs of which only some chunks have come; made
	Register Register
	Signer   evidence.Signer // of commands
	Dialer   uplink.Dialer
	ClientID string // of the session with the broker
	Shard    string
	Quota    Quota        // of each device; zero for the default
	Orders   *orders.Book // what devices are to do; nil for nothing
	// Now is the time by which records and their keys are judged; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger // nil: nothing is logged
}

// Limits of what one device may have the centre keep while its blobs are coming.
const (
	MaxIncomplete      = 2048      // records
	MaxIncompleteBytes = 512 << 20 // bytes of the blobs they announce
)

const (
	lanes      = 32 // goroutines that verify
	laneDepth  = 16 // messages waiting for each
	writeDepth = 1024
	firstDelay = time.Second
	maxDelay   = time.Minute
)

// An Intake is created by [New] and works while [Intake.Run] does.
type Intake struct {
	o        Options
	lanes    []*lane
	seed     maphash.Seed
	spool    *Spool
	writer   *writer
	answers  *answers
	receipts *receipts
	refused  *refusals
	stats    counters
}

// New prepares an intake: it reads how far the store is.
func New(ctx context.Context, o Options) (*Intake, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := wire.CheckShard(o.Shard); err != nil {
		return nil, err
	}
	spool, err := OpenSpool(o.Spool, o.Store.Blobs())
	if err != nil {
		return nil, err
	}
	in := &Intake{o: o, seed: maphash.MakeSeed(), spool: spool}
	in.o.Quota = o.Quota.orDefault()
	if o.Now == nil {
		in.o.Now = time.Now
	}
	in.answers = newAnswers()
	in.receipts = newReceipts(in)
	in.writer = newWriter(in)
	if in.refused, err = newRefusals(ctx, in); err != nil {
		return nil, err
	}
	for range lanes {
		in.lanes = append(in.lanes, &lane{
			in: in, jobs: make(chan job, laneDepth), devices: make(map[evidence.DeviceID]*device),
		})
	}
	return in, in.resume(ctx)
}

// resume takes up the records that waited for blobs when the last run ended.
func (in *Intake) resume(ctx context.Context) error {
	records, err := in.o.Store.AllIncomplete(ctx, in.o.Shard)
	if err != nil {
		return err
	}
	for _, r := range records {
		l := in.lane(r.Device)
		d := l.device(r.Device)
		sealed, blobs, err := blobsStored(r)
		if err != nil {
			// It was good when it was stored. The device sends it again.
			in.o.Log.Error("stored record is damaged", "record", r.ID.String(), "device", r.Device.String(), "error", err)
			continue
		}
		missing, found, err := l.missing(ctx, d, sealed, blobs)
		if errors.Is(err, errLength) || errors.Is(err, errReuse) {
			in.o.Log.Warn("stored record is never whole", "record", r.ID.String(), "device", r.Device.String(), "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			in.writer.early = append(in.writer.early, &settleOp{records: []settling{{id: r.ID, blobs: found, whole: true}}})
			continue
		}
		d.announce(r.ID, blobs, missing)
	}
	return in.spool.Keep(func(d evidence.DeviceID, h evidence.Hash) bool {
		_, wanted := in.lane(d).device(d).blobs[h]
		return wanted
	})
}

// blobsStored returns the blobs of a record as the store has it.
func blobsStored(r *record.Record) (*evidence.Sealed, map[evidence.Hash]uint64, error) {
	sealed, err := evidence.Open(r.Bytes)
	if err != nil {
		return nil, nil, err
	}
	if sealed.ID != r.ID {
		return nil, nil, record.ErrDamaged
	}
	blobs, err := blobsOf(sealed.Record)
	return sealed, blobs, err
}

func (in *Intake) lane(d evidence.DeviceID) *lane {
	return in.lanes[maphash.Bytes(in.seed, d[:])%lanes]
}

// Run takes messages until ctx ends, over one session after the other. When it
// returns, every message taken has been dealt with and every goroutine has
// ended. It returns nil when ctx has ended.
func (in *Intake) Run(ctx context.Context) error {
	var verifying, writing, answering, counting, ordering, sending sync.WaitGroup
	work := context.WithoutCancel(ctx) // what is in hand is finished
	counts, stop := context.WithCancel(work)
	defer stop()
	answering.Go(func() { in.unsaid(in.answers.run(ctx, in)) })
	writing.Go(func() { in.writer.run(work) })
	sending.Go(func() { in.receipts.run(ctx) })
	counting.Go(func() { in.refused.run(counts) })
	counting.Go(func() { in.refused.tally.Run(counts) })
	for _, l := range in.lanes {
		verifying.Go(func() { l.run(work) })
	}
	if book := in.o.Orders; book != nil {
		d := &dispatcher{in: in, book: book, sent: make(map[evidence.Hash]dispatch), known: make(map[evidence.Hash]bool)}
		ordering.Go(func() { d.run(ctx) })
	}
	in.receive(ctx)
	ordering.Wait()
	sending.Wait()
	// Each stage ends when the one before it has.
	for _, l := range in.lanes {
		close(l.jobs)
	}
	verifying.Wait()
	stop()
	counting.Wait()
	in.refused.save()
	close(in.writer.ops)
	writing.Wait()
	in.answers.close()
	answering.Wait()
	return nil
}

// unsaid notes answers that nobody will give: devices ask again.
func (in *Intake) unsaid(n int64) {
	if n > 0 {
		in.stats.unanswered.Add(uint64(n))
		in.o.Log.Warn("answers were left unsaid", "answers", n)
	}
}

// receive takes messages until ctx ends.
func (in *Intake) receive(ctx context.Context) {
	options := uplink.SessionOptions{ClientID: in.o.ClientID, Handle: in.handle}
	for _, what := range wire.Whats() {
		if what.FromDevice() {
			options.Subscribe = append(options.Subscribe, wire.Filter(in.o.Shard, what))
		}
	}
	in.keep(ctx, "messages", options, func(session uplink.Session) bool {
		in.stats.connected.Store(true)
		defer in.stats.connected.Store(false)
		select {
		case <-session.Done():
		case <-ctx.Done():
		}
		return false
	})
}

// keep holds a session with the broker for serve, and opens it anew when it is
// lost, until ctx ends or serve has finished. Close waits for the message in hand.
func (in *Intake) keep(ctx context.Context, what string, options uplink.SessionOptions, serve func(uplink.Session) (finished bool)) {
	delay, lost := firstDelay, false
	for ctx.Err() == nil {
		began := time.Now()
		session, err := in.o.Dialer.Dial(ctx, options)
		if err == nil {
			if lost {
				in.o.Log.Info("broker is back", "for", what)
			}
			lost = false
			finished := serve(session)
			err = session.Err()
			if cerr := session.Close(); err == nil {
				err = cerr
			}
			if finished {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		if !lost {
			in.o.Log.Warn("broker is lost", "for", what, "error", err)
			lost = true
		}
		if time.Since(began) > maxDelay {
			delay = firstDelay
		}
		select {
		case <-time.After(delay + time.Duration((rand.Float64()-0.5)*0.4*float64(delay))):
		case <-ctx.Done():
		}
		delay = min(2*delay, maxDelay)
	}
}

// handle gives a message to the lane of its device. It blocks while the lane is
// full, so that the broker holds back and nothing is dropped.
func (in *Intake) handle(m uplink.Message) {
	in.stats.messages.Add(1)
	shard, dev, what, err := wire.ParseTopic(m.Topic)
	if err != nil || shard != in.o.Shard || !what.FromDevice() {
		if err == nil {
			err = errors.New("not a topic that this intake subscribes to")
		}
		in.refused.add(refusal{reason: ReasonTopic, topic: m.Topic, err: err, payload: m.Payload})
		return
	}
	if !in.o.Register.Known(dev) {
		in.refresh()
		if !in.o.Register.Known(dev) {
			in.refused.add(refusal{reason: ReasonUnknownDevice, topic: m.Topic, payload: m.Payload,
				err: errors.New("no key of this device is in the register")})
			return
		}
	}
	in.lane(dev).jobs <- job{device: dev, what: what, topic: m.Topic, payload: m.Payload}
}

// refresh looks for a newer register because of a device or key that the one in
// use does not have.
func (in *Intake) refresh() {
	if err := in.o.Register.Refresh(); err != nil {
		in.stats.registerErrors.Add(1)
		if in.stats.registerErrors.Load() == 1 {
			in.o.Log.Error("device register refused", "error", err)
		}
	}
}
