package intake

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/record"
	"ciglio/uplink/wire"
)

// This file has the operations that the writer applies, one for each kind of message.

type outcome int

const (
	outcomeFailed     outcome = iota // nothing is stored, nothing is answered
	outcomeComplete                  // a receipt is the answer
	outcomeIncomplete                // blobs are missing
	outcomeDisputed                  // another record has its place: no answer
	outcomeBackdated                 // its key has expired and it goes back in time: not stored
)

// putOp stores a verified record.
type putOp struct {
	sealed *evidence.Sealed
	topic  string
	blobs  map[evidence.Hash]uint64 // on disk, to be named
	whole  bool                     // no blob is missing
	done   chan outcome             // nil when nobody waits

	expired bool    // its key has, since
	cost    uint64  // of budget
	budget  *budget // nil for none

	outcome outcome
	fresh   bool
	first   evidence.Hash // of a dispute
}

func (o *putOp) seat() record.Seat {
	rec := o.sealed.Record
	return record.Seat{Device: rec.Device, Epoch: rec.Epoch, Seq: rec.Seq}
}

func (o *putOp) apply(r *round) error {
	rec := o.sealed.Record
	o.fresh, o.outcome = false, outcomeFailed
	if err := r.see(rec.Device); err != nil {
		return err
	}
	slot, err := r.tx.At(o.seat())
	switch {
	case errors.Is(err, record.ErrNotFound):
		if o.expired {
			if back, err := r.tx.GoesBack(o.row(r)); err != nil || back {
				o.outcome = outcomeBackdated
				return err
			}
		}
		if err := o.insert(r); err != nil {
			return err
		}
		o.fresh = true
	case err != nil:
		return err
	case slot.ID != o.sealed.ID:
		o.outcome, o.first = outcomeDisputed, slot.ID
		return r.tx.Dispute(slot.ID, o.row(r))
	case slot.Disputed:
		o.outcome = outcomeDisputed
		return nil
	case slot.State == record.Complete:
		o.outcome = outcomeComplete
		return r.answerAgain(slot.Receipt)
	default:
		if err := r.tx.Mend(o.sealed.ID, o.sealed.Bytes); err != nil {
			return err
		}
	}
	if slot.State == record.Quarantined {
		o.outcome = outcomeDisputed // set aside: no receipt
		return nil
	}
	if err := r.name(o.sealed.ID, o.blobs); err != nil {
		return err
	}
	o.outcome = outcomeIncomplete
	if !o.whole {
		return nil
	}
	o.outcome = outcomeComplete
	if o.fresh {
		r.whole = true // and stored so
		return nil
	}
	return r.complete(o.sealed.ID)
}

func (o *putOp) row(r *round) *record.Record {
	rec := o.sealed.Record
	return &record.Record{
		ID: o.sealed.ID, Device: rec.Device, Epoch: rec.Epoch, Seq: rec.Seq, Kind: rec.Kind, UTC: rec.UTC,
		Received: r.now, Prev: rec.Prev, Link: o.sealed.Link, Shard: r.in.o.Shard, Arrival: r.arrival, Bytes: o.sealed.Bytes, Content: rec,
	}
}

func (o *putOp) insert(r *round) error {
	rec := o.sealed.Record
	r.arrival = r.in.writer.nextArrival(r.arrival)
	r.stake = max(r.stake, stakeRecord)
	if err := r.tx.Insert(o.row(r), o.whole); err != nil {
		return err
	}
	switch rec.Kind {
	case evidence.KindHeartbeat:
		at := rec.UTC
		if at.After(r.now) {
			at = r.now // the device's clock is ahead
		}
		return r.tx.Heartbeat(rec.Device, at)
	case evidence.KindCalibration, evidence.KindConfiguration:
		text, _ := rec.Body[1].([]byte)
		media, _ := rec.Body[2].(string)
		return r.tx.Statement(sha256.Sum256(text), o.sealed.ID, media, text)
	}
	return nil
}

func (o *putOp) ended(r *round, err error) {
	rec := o.sealed.Record
	stats := &r.in.stats
	switch {
	case err != nil:
		o.outcome = outcomeFailed
	case o.outcome == outcomeDisputed && !o.first.IsZero():
		stats.equivocations.Add(1)
		// Not through the writer's own channel: this is the writer.
		r.in.refused.alarm(refusal{device: rec.Device, reason: ReasonEquivocation, topic: o.topic,
			err: fmt.Errorf("record %v: epoch %d number %d is record %v already", o.sealed.ID, rec.Epoch, rec.Seq, o.first)})
	case o.fresh:
		count(&stats.verified, &stats.verifiedMeas, rec.Kind.Measured())
	default:
		stats.again.Add(1)
	}
	if o.budget != nil && !o.fresh {
		o.budget.giveBack(o.cost)
	}
	if o.done != nil {
		o.done <- o.outcome
	}
}

// settleOp names blobs that lie on disk and completes records that waited for
// nothing else.
type settleOp struct {
	records []settling
	reused  []refusal // of records that another was sent with
}

// settling is a record and the blobs that were sent for it.
type settling struct {
	id    evidence.Hash
	blobs map[evidence.Hash]uint64
	whole bool // it waits for nothing more
}

func (o *settleOp) apply(r *round) error {
	o.reused = nil
	for _, s := range o.records {
		rec, err := r.tx.Waiting(s.id)
		if errors.Is(err, record.ErrNotFound) {
			continue // disputed in the meantime
		}
		if err != nil {
			return err
		}
		if err := r.name(s.id, s.blobs); err != nil {
			return err
		}
		if !s.whole {
			continue
		}
		reused, err := r.reuses(&rec, s.blobs)
		if err != nil {
			return err
		}
		if reused != nil {
			o.reused = append(o.reused, refusal{device: rec.Device, reason: ReasonReuse, err: reused})
			if err := r.tx.SetAside(s.id); err != nil {
				return err
			}
			continue
		}
		if err := r.complete(s.id); err != nil {
			return err
		}
	}
	return nil
}

// reuses says what another record was sent with while this one was coming.
func (r *round) reuses(rec *record.Record, blobs map[evidence.Hash]uint64) (reused, err error) {
	for hash := range blobs {
		others, err := r.tx.SentElsewhere(hash, rec.ID)
		if err != nil {
			return nil, err
		}
		for _, id := range others {
			other, err := r.tx.Record(id)
			if err != nil {
				return nil, err
			}
			sealed, err := evidence.Open(rec.Bytes)
			if err != nil {
				return nil, fmt.Errorf("record %v: %w: %w", rec.ID, record.ErrDamaged, err)
			}
			if !mayShare(sealed.Record, other, hash) {
				return fmt.Errorf("record %v: blob %v %w: %v of device %v", rec.ID, hash, errReuse, id, other.Device), nil
			}
		}
	}
	return nil, nil
}

func (o *settleOp) ended(r *round, err error) {
	if err != nil {
		return
	}
	for _, reused := range o.reused {
		r.in.refused.alarm(reused) // not through the writer's own channel: this is the writer
	}
}

// reportOp keeps the newest state, health or profile of a device.
type reportOp struct {
	device evidence.DeviceID
	which  record.Report
	state  wire.State // of a state report
	text   []byte
}

func (o *reportOp) apply(r *round) error {
	if err := r.see(o.device); err != nil {
		return err
	}
	if o.which == record.ReportState {
		text, err := r.tx.State(o.device)
		if err != nil {
			return err
		}
		if known, err := wire.ParseState(text); err == nil && stale(o.state, known) {
			return nil
		}
	}
	return r.tx.Report(o.device, o.which, o.text, r.now)
}

// stale reports whether a state is older than the one known. A last will has the
// sequence of the session that it ends, and may come after the next has begun.
// The same state again is not stale: the broker has just confirmed it.
func stale(s, known wire.State) bool {
	return s.Boot == known.Boot && (s.Sequence < known.Sequence || s.Sequence == known.Sequence && !known.Online)
}

func (o *reportOp) ended(*round, error) {}

// quarantineOp keeps a refused message.
type quarantineOp struct{ record.Refused }

func (o *quarantineOp) apply(r *round) error {
	if o.Device != (evidence.DeviceID{}) {
		if err := r.see(o.Device); err != nil { // so that it has a page
			return err
		}
	}
	return r.tx.Quarantine(&o.Refused)
}

func (o *quarantineOp) ended(*round, error) {}

// countOp adds to how often something of a device was refused.
type countOp struct {
	counted map[refusedKey]uint64
	now     time.Time
}

func (o *countOp) apply(r *round) error {
	for key, n := range o.counted {
		if key.device != (evidence.DeviceID{}) {
			if err := r.see(key.device); err != nil {
				return err
			}
		}
		if err := r.tx.Refusals(key.device, string(key.reason), n, o.now); err != nil {
			return err
		}
	}
	return nil
}

func (o *countOp) ended(*round, error) {}
