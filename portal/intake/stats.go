package intake

import (
	"maps"
	"sync/atomic"

	"ciglio/portal/log/sequencer"
)

// Stats counts since New. What the sequencer counts is zero before [Stats.With].
type Stats struct {
	Connected bool
	Messages  uint64 // of any kind
	All       Counts
	Measured  Counts // violations and tests among them
	Again     uint64 // records that were already stored

	Receipts uint64 // sealed, by the sequencer
	Haves    uint64 // answers that say what is missing
	Chunks   uint64 // stored
	Blobs    uint64 // complete

	Equivocations uint64
	Unanswered    uint64 // answers that the end of the intake overtook
	Answering     int64  // answers that wait for the broker
	Waiting       int64  // messages and changes that wait for the store
	Held          int64  // records dated ahead, whose receipt waits until then, says the sequencer
	Failed        uint64 // transactions that failed
	Failing       bool   // the store takes nothing, or nothing is settled
	Refused       map[Reason]uint64
}

// Counts follows records on their way.
type Counts struct {
	Received uint64 // well-formed records, each time they came
	Verified uint64 // stored as evidence for the first time
	Settled  uint64 // numbered and receipted, by the sequencer
}

type counters struct {
	connected, failing                       atomic.Bool
	messages, again, haves                   atomic.Uint64
	chunks, blobs, equivocations, unanswered atomic.Uint64
	failed, registerErrors                   atomic.Uint64
	received, verified                       atomic.Uint64
	receivedMeas, verifiedMeas               atomic.Uint64
}

// With joins the counts of an intake and of a sequencer.
func (s Stats) With(o sequencer.Stats) Stats {
	s.All.Settled, s.Measured.Settled, s.Receipts, s.Held = o.Settled, o.Measured, o.Receipts, o.Held
	s.Failed += o.Failed
	s.Failing = s.Failing || o.Failing
	return s
}

// And adds the counts of two intakes. Connected is that of the second.
func (s Stats) And(o Stats) Stats {
	sum := o
	sum.Messages += s.Messages
	sum.All, sum.Measured = s.All.and(o.All), s.Measured.and(o.Measured)
	sum.Again += s.Again
	sum.Haves += s.Haves
	sum.Chunks += s.Chunks
	sum.Blobs += s.Blobs
	sum.Equivocations += s.Equivocations
	sum.Unanswered += s.Unanswered
	sum.Failed += s.Failed
	sum.Failing = s.Failing || o.Failing
	sum.Answering += s.Answering
	sum.Waiting += s.Waiting
	sum.Refused = maps.Clone(s.Refused)
	if sum.Refused == nil {
		sum.Refused = make(map[Reason]uint64)
	}
	for reason, n := range o.Refused {
		sum.Refused[reason] += n
	}
	return sum
}

// Ended is what is left of the counts of an intake that does no more: nothing waits there,
// and nothing fails.
func (s Stats) Ended() Stats {
	s.Connected, s.Failing, s.Answering, s.Waiting = false, false, 0, 0
	return s
}

func (c Counts) and(o Counts) Counts {
	return Counts{c.Received + o.Received, c.Verified + o.Verified, c.Settled + o.Settled}
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
		All:           Counts{Received: c.received.Load(), Verified: c.verified.Load()},
		Measured:      Counts{Received: c.receivedMeas.Load(), Verified: c.verifiedMeas.Load()},
		Again:         c.again.Load(),
		Haves:         c.haves.Load(),
		Chunks:        c.chunks.Load(),
		Blobs:         c.blobs.Load(),
		Equivocations: c.equivocations.Load(),
		Unanswered:    c.unanswered.Load(),
		Answering:     in.answers.waiting.Load(),
		Waiting:       int64(waiting),
		Failed:        c.failed.Load(),
		Failing:       c.failing.Load(),
		Refused:       in.refused.counts(),
	}
}
