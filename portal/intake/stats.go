package intake

import (
	"sync/atomic"
)

// Stats counts since New.
type Stats struct {
	Connected bool
	Messages  uint64 // of any kind
	All       Counts
	Measured  Counts // violations and tests among them
	Again     uint64 // records that were already stored

	Receipts uint64 // sealed
	Haves    uint64 // answers that say what is missing
	Chunks   uint64 // stored
	Blobs    uint64 // complete

	Equivocations uint64
	Unanswered    uint64 // answers that the end of the intake overtook
	Answering     int64  // answers that wait for the broker
	Waiting       int64  // messages and changes that wait for the store
	Held          int64  // records dated ahead, whose receipt waits until then
	Failed        uint64 // transactions that failed
	Failing       bool   // the store takes nothing, or nothing is settled
	Refused       map[Reason]uint64
}

// Counts follows records on their way.
type Counts struct {
	Received uint64 // well-formed records, each time they came
	Verified uint64 // stored as evidence for the first time
	Settled  uint64 // receipted for the first time
}

type counters struct {
	connected, failing                       atomic.Bool
	messages, again, receipts, haves         atomic.Uint64
	chunks, blobs, equivocations, unanswered atomic.Uint64
	failed, registerErrors                   atomic.Uint64
	held                                     atomic.Int64
	received, verified, settled              atomic.Uint64
	receivedMeas, verifiedMeas, settledMeas  atomic.Uint64
}

// count adds one to all, and to measured when the record is a measured one.
func count(all, measured *atomic.Uint64, is bool) {
	all.Add(1)
	if is {
		measured.Add(1)
	}
}

// Stats returns the counts so far.
func (in *Intake) Stats() Stats {
	c := &in.stats
	waiting := len(in.writer.ops)
	for _, l := range in.lanes {
		waiting += len(l.jobs)
	}
	return Stats{
		Connected:     c.connected.Load() && in.answers.open.Load(),
		Messages:      c.messages.Load(),
		All:           Counts{c.received.Load(), c.verified.Load(), c.settled.Load()},
		Measured:      Counts{c.receivedMeas.Load(), c.verifiedMeas.Load(), c.settledMeas.Load()},
		Again:         c.again.Load(),
		Receipts:      c.receipts.Load(),
		Haves:         c.haves.Load(),
		Chunks:        c.chunks.Load(),
		Blobs:         c.blobs.Load(),
		Equivocations: c.equivocations.Load(),
		Unanswered:    c.unanswered.Load(),
		Answering:     in.answers.waiting.Load(),
		Waiting:       int64(waiting),
		Held:          c.held.Load(),
		Failed:        c.failed.Load(),
		Failing:       c.failing.Load(),
		Refused:       in.refused.counts(),
	}
}
