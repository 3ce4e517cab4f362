// Package intake takes what devices send, verifies all of it, stores it and
// answers: with a signed receipt for every record that is stored with all its
// blobs and stands in the log, with what is still missing for every other.
//
// What it keeps true: nothing that is not signed by a key of the register is
// ever stored as evidence; no receipt leaves before everything it speaks of is
// on disk; everything a device sends may come twice, late, or in another order
// and has the same effect; a bad message is counted by its [Reason], kept for
// inspection in bounded number, and stops nothing.
//
// Messages of one device are handled in the order in which they came, those of
// several devices in parallel. One goroutine writes: it takes what has gathered
// while the last transaction was being synced and makes it the next one, with
// one receipt a device.
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
	"ciglio/portal/log"
	"ciglio/portal/store"
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

// Options of an Intake. All but Log are needed.
type Options struct {
	Store    *store.Store
	Register Register
	Signer   evidence.Signer // of receipts and commands
	Dialer   uplink.Dialer
	ClientID string // of the session with the broker
	Shard    string
	Log      *slog.Logger // nil: nothing is logged
}

// Limits of what one device may have the centre keep while its blobs are coming.
const (
	MaxIncomplete      = 2048      // records
	MaxIncompleteBytes = 512 << 20 // bytes of the blobs they announce
)

const (
	lanes       = 32 // goroutines that verify
	laneDepth   = 16 // messages waiting for each
	writeDepth  = 1024
	answerDepth = 4096
	firstDelay  = time.Second
	maxDelay    = time.Minute
)

// An Intake is created by [New] and works while [Intake.Run] does.
type Intake struct {
	o       Options
	lanes   []*lane
	seed    maphash.Seed
	writer  *writer
	answers *answers
	refused *refusals
	stats   counters
}

// New prepares an intake: it reads how far the store is.
func New(ctx context.Context, o Options) (*Intake, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := wire.CheckShard(o.Shard); err != nil {
		return nil, err
	}
	counts, err := o.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	tree, err := log.Load(counts.LogSize, o.Store.Hashes(ctx))
	if err != nil {
		return nil, err
	}
	in := &Intake{o: o, seed: maphash.MakeSeed()}
	in.answers = newAnswers(&in.stats)
	in.writer = &writer{
		in: in, tree: tree, arrival: counts.Arrivals,
		ops: make(chan op, writeDepth),
	}
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
	records, err := in.o.Store.AllIncomplete(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		l := in.lane(r.Device)
		d := l.device(r.Device)
		blobs, err := blobsStored(r)
		if err != nil {
			// It was good when it was stored. The device sends it again.
			in.o.Log.Error("stored record is damaged", "record", r.ID.String(), "device", r.Device.String(), "error", err)
			continue
		}
		missing, found, err := l.missing(ctx, d, blobs)
		if errors.Is(err, errLength) {
			in.o.Log.Warn("stored record is never whole", "record", r.ID.String(), "device", r.Device.String(), "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			in.writer.early = append(in.writer.early, &settleOp{ids: []evidence.Hash{r.ID}, blobs: found})
			continue
		}
		d.announce(r.ID, blobs, missing)
	}
	return in.o.Store.DropPartials(func(d evidence.DeviceID, h evidence.Hash) bool {
		_, wanted := in.lane(d).device(d).blobs[h]
		return wanted
	})
}

// blobsStored returns the blobs of a record as the store has it.
func blobsStored(r *store.Record) (map[evidence.Hash]uint64, error) {
	sealed, err := evidence.Open(r.Bytes)
	if err != nil {
		return nil, err
	}
	if sealed.ID != r.ID {
		return nil, store.ErrDamaged
	}
	return blobsOf(sealed.Record)
}

func (in *Intake) lane(d evidence.DeviceID) *lane {
	return in.lanes[maphash.Bytes(in.seed, d[:])%lanes]
}

// Run takes messages until ctx ends, over one session after the other. When it
// returns, every message taken has been dealt with and every goroutine has
// ended. It returns nil when ctx has ended.
func (in *Intake) Run(ctx context.Context) error {
	var verifying, writing, answering sync.WaitGroup
	work := context.WithoutCancel(ctx) // what is in hand is finished
	answering.Go(in.answers.run)
	writing.Go(func() { in.writer.run(work) })
	for _, l := range in.lanes {
		verifying.Go(func() { l.run(work) })
	}
	in.connect(ctx)
	// Each stage ends when the one before it has.
	for _, l := range in.lanes {
		close(l.jobs)
	}
	verifying.Wait()
	close(in.writer.ops)
	writing.Wait()
	in.answers.close()
	answering.Wait()
	return nil
}

// connect holds a session with the broker until ctx ends.
func (in *Intake) connect(ctx context.Context) {
	options := uplink.SessionOptions{ClientID: in.o.ClientID, Handle: in.handle}
	for _, what := range wire.Whats() {
		if what.FromDevice() {
			options.Subscribe = append(options.Subscribe, wire.Filter(in.o.Shard, what))
		}
	}
	delay, lost := firstDelay, false
	for ctx.Err() == nil {
		began := time.Now()
		session, err := in.o.Dialer.Dial(ctx, options)
		if err == nil {
			if lost {
				in.o.Log.Info("broker is back")
			}
			lost = false
			in.stats.connected.Store(true)
			in.answers.attach(session)
			select {
			case <-session.Done():
				err = session.Err()
			case <-ctx.Done():
			}
			in.answers.attach(nil)
			in.stats.connected.Store(false)
			// Close waits for the message in hand.
			if cerr := session.Close(); err == nil {
				err = cerr
			}
		}
		if ctx.Err() != nil {
			return
		}
		if !lost {
			in.o.Log.Warn("broker is lost", "error", err)
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
