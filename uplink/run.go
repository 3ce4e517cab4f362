package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// errSilent ends a session whose broker takes messages and acknowledges none.
var errSilent = fmt.Errorf("broker acknowledged nothing for %v", ackPatience)

// errUnanswered ends a session over which the centre says nothing: the broker may
// take the device's messages for those of another session of the same device, and
// have its answers go there. It is no fault of what was sent.
var errUnanswered error = unanswered{}

type unanswered struct{}

func (unanswered) Error() string   { return "the centre answers nothing that was sent repeatedly" }
func (unanswered) Timeout() bool   { return true }
func (unanswered) Temporary() bool { return true }

// A run is one session. Everything but handle belongs to the goroutine of Run.
type run struct {
	*Sender
	session Session
	gone    chan struct{} // closed when serve has ended
	events  chan event    // from handle

	inflight []sent    // in the order of publishing
	heard    time.Time // when the broker acknowledged last
	answered time.Time // when the centre answered last, in this session
	alone    bool      // the one message in flight is isolated
	progress bool      // a message of a record was acknowledged, or there was none to send

	online, profile bool      // to be published
	health          time.Time // when to publish it
	reported        time.Time // when health was published last
	told            wire.Profile
	noted           uint64 // changes seen by the last report
}

// sent is a message published and not acknowledged.
type sent struct {
	id     messageID
	flight *flight // nil unless of a record
	result <-chan error
}

// An event is what handle has understood of a message: nothing, if it was
// refused.
type event struct {
	receipt   *evidence.Receipt
	unsettled bool // the store did not settle all of it
	have      *wire.Have
	refused   *wire.Refused
}

// serve works until the session or ctx ends, and returns why.
func (r *run) serve(ctx context.Context) error {
	r.resume()
	r.online, r.profile, r.health, r.heard = true, true, time.Now(), time.Now()
	if r.again.IsZero() {
		r.rewind(time.Now())
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		r.want()
		if r.atEnd && !now.Before(r.again) {
			r.rewind(now)
		}
		if r.deaf(now, r.answered) {
			return errUnanswered
		}
		r.overdue(now)
		blocked := r.fill(now)
		if n := r.changes.count.Load(); n != r.noted {
			r.noted = n
			r.reportSoon(now)
		}
		r.counters.records.Store(int64(len(r.flights)))
		r.counters.bytes.Store(r.bytes)
		r.counters.messages.Store(int64(len(r.inflight)))
		if len(r.inflight) > 0 && now.Sub(r.heard) >= ackPatience {
			return errSilent
		}
		timer.Reset(time.Until(r.next(blocked)))
		var oldest <-chan error // brokers acknowledge in order
		if len(r.inflight) > 0 {
			oldest = r.inflight[0].result
		}
		select {
		case <-ctx.Done():
			r.goodbye()
			return nil
		case <-r.session.Done():
			if err := r.session.Err(); err != nil {
				return err
			}
			return errors.New("session closed")
		case err := <-oldest:
			first := r.inflight[0]
			r.inflight = r.inflight[1:]
			if err != nil {
				// The session has ended, or is about to.
				r.inflight = append([]sent{{first.id, first.flight, given(err)}}, r.inflight...)
				return err
			}
			r.acknowledged(first)
		case e := <-r.events:
			r.take(e)
		case <-r.changed:
			r.atEnd, r.changed = false, nil
		case <-r.refresh:
			r.profile = true
			r.reportSoon(time.Now())
			r.rewind(time.Now())
		case <-timer.C:
		}
	}
}

// given returns a channel that gives err.
func given(err error) <-chan error {
	c := make(chan error, 1)
	c <- err
	return c
}

// next is when something is to be done if nothing happens before. What cannot be
// published before an acknowledgement has come is not waited for.
func (r *run) next(blocked bool) time.Time {
	next := time.Now().Add(lastWait)
	soonest := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	soonest(r.nextDue)
	if r.pause.After(time.Now()) {
		soonest(r.pause)
	}
	if r.atEnd {
		soonest(r.again)
	}
	if !blocked {
		soonest(r.listAt)
	}
	if !blocked && r.o.Health != nil && r.mayReport(wire.WhatHealth) {
		soonest(r.health)
	}
	if len(r.inflight) > 0 {
		soonest(r.heard.Add(ackPatience))
	}
	return next
}

// reportSoon asks for a health report now, or as soon as the last one allows.
func (r *run) reportSoon(now time.Time) {
	if at := r.reported.Add(healthGap); at.After(now) {
		now = at
	}
	if now.Before(r.health) {
		r.health = now
	}
}

// fill publishes while the window has room and there is something to publish.
// It reports whether the next message has to wait for an acknowledgement.
func (r *run) fill(now time.Time) (blocked bool) {
	for len(r.inflight) < Window && !r.alone {
		what := r.report(now)
		if what != "" {
			if r.isolated(messageID{what: what}) && len(r.inflight) > 0 {
				return true
			}
			r.publishReport(what, now)
			continue
		}
		if did, waits := r.record(now); !did {
			return waits
		}
	}
	return true
}

// report says which of state, profile and health is due.
func (r *run) report(now time.Time) wire.What {
	switch {
	case r.online && r.mayReport(wire.WhatState):
		return wire.WhatState
	case r.profile && r.o.Profile != nil && r.mayReport(wire.WhatProfile):
		return wire.WhatProfile
	case r.o.Health != nil && !now.Before(r.health) && r.mayReport(wire.WhatHealth):
		return wire.WhatHealth
	}
	return ""
}

// mayReport says whether one of them is to be published at all; one that is sent
// alone comes after a record has gone through.
func (r *run) mayReport(what wire.What) bool {
	return !r.muted[what] && (r.progress || !r.isolated(messageID{what: what}))
}

// publishReport publishes one of them.
func (r *run) publishReport(what wire.What, now time.Time) {
	var b []byte
	var err error
	switch what {
	case wire.WhatState:
		r.online = false
		b, err = r.state(true, "")
	case wire.WhatProfile:
		r.profile = false
		p, ok := r.o.Profile()
		if p.Head = (wire.Head{}); !ok || p == r.told {
			return
		}
		r.told = p
		p.Head = r.head()
		b, err = p.Marshal()
	case wire.WhatHealth:
		r.reported, r.health = now, now.Add(healthEvery)
		b, err = r.healthReport()
	}
	r.changes.set(r.log, "uplink report cannot be encoded", err, "what", string(what))
	if err != nil {
		return
	}
	id := messageID{what: what}
	r.alone = r.isolated(id)
	r.publish(id, nil, b, what != wire.WhatHealth)
}

func (r *run) publish(id messageID, f *flight, payload []byte, retained bool) {
	if len(r.inflight) == 0 {
		r.heard = time.Now()
	}
	result := r.session.Publish(Message{Topic: r.topic[id.what], Payload: payload, Retained: retained})
	r.inflight = append(r.inflight, sent{id: id, flight: f, result: result})
	r.counters.published.Add(1)
}

// record publishes the next piece of a record. It reports whether it did
// anything, and if not, whether that has to wait for an acknowledgement.
// Messages that are to be sent alone come after others have gone through, or
// when there are no others.
func (r *run) record(now time.Time) (did, waits bool) {
	if now.Before(r.pause) {
		return false, false
	}
	var suspected *flight
	for _, f := range r.queue {
		if !r.isolated(f.next()) {
			r.publishPiece(f)
			return true, false
		}
		if suspected == nil {
			suspected = f
		}
		if r.progress {
			break
		}
	}
	if suspected == nil || !r.progress {
		if listed, err := r.list(now); listed {
			r.changes.set(r.log, "outbox cannot be listed", err)
		}
		// A page of records that are all in flight is read over.
		if r.admit() || len(r.page) == 0 && !r.atEnd && !now.Before(r.listAt) {
			return true, false
		}
	}
	switch {
	case suspected == nil:
		if len(r.flights) == 0 && r.atEnd {
			r.progress = true // there is nothing the broker could refuse
		}
		return false, false
	case len(r.inflight) > 0:
		return false, true
	}
	r.alone = true
	r.publishPiece(suspected)
	return true, false
}

// next is the message that a flight sends next.
func (f *flight) next() messageID {
	id := messageID{what: wire.WhatBlob, key: f.item.Key, piece: f.todo[0]}
	if id.piece == itself {
		id.what = wire.WhatRecord
	}
	return id
}

// publishPiece publishes the next piece of a flight. A record that cannot be
// read is left for a later look through the store.
func (r *run) publishPiece(f *flight) {
	id := f.next()
	var payload []byte
	var err error
	if id.piece == itself {
		payload, err = r.o.Store.Record(id.key)
	} else {
		payload, err = r.o.Store.Chunk(id.key, int(id.piece.blob), int(id.piece.chunk))
	}
	r.changes.set(r.log, "record cannot be read", err, "epoch", id.key.Epoch, "seq", id.key.Seq)
	if err != nil {
		r.counters.unreadable.Add(1)
		r.alone = false
		r.drop(f)
		return
	}
	if id.piece == itself && f.awaiting {
		r.counters.resent.Add(1)
	}
	r.ledger.sent(f)
	r.publish(id, f, payload, false)
}

// acknowledged takes the broker's word for one message. It settles nothing.
func (r *run) acknowledged(m sent) {
	r.counters.acknowledged.Add(1)
	r.heard, r.alone = time.Now(), false
	r.passed(m.id)
	if m.flight != nil {
		r.progress = true
		r.acked(m.flight, r.heard)
	}
}

// take acts on what handle has understood.
func (r *run) take(e event) {
	switch {
	case e.have != nil:
		r.hears()
		r.lacks(e.have)
		return
	case e.refused != nil:
		r.hears()
		r.notTaken(e.refused)
		return
	case e.receipt == nil:
		return
	}
	r.hears()
	if soon := time.Now().Add(firstWait); e.unsettled && r.again.After(soon) {
		r.again = soon // find what is still there, and ask for another receipt
	}
	for _, entry := range e.receipt.Entries {
		key := Key{entry.Epoch, entry.Seq}
		if f := r.flights[key]; f != nil && f.item.ID == entry.ID {
			r.drop(f)
		}
		r.forget(key)
		delete(r.notTakenYet, key)
	}
	if len(r.notTakenYet) == 0 {
		r.changes.set(r.log, eventRefused, nil)
	}
}

// hears notes that the centre answers.
func (r *run) hears() { r.answered, r.silence = time.Now(), 0 }

// maxNotTaken is how many refused records are remembered by name.
const maxNotTaken = 1000

// eventRefused is the alarm of records that the centre does not take.
const eventRefused = "the centre does not take a record"

// notTaken keeps a record back that the centre has refused, and raises the alarm
// until there is a receipt for it.
func (r *run) notTaken(x *wire.Refused) {
	key, ours := r.refused(x, time.Now())
	if !ours || len(r.notTakenYet) >= maxNotTaken {
		return
	}
	r.notTakenYet[key] = true
	r.changes.set(r.log, eventRefused, fmt.Errorf("%s, epoch %d number %d; it is kept", x.Code, key.Epoch, key.Seq))
}

// settleAccounts closes the books of a session that has ended with err: what is
// acknowledged counts, and what is not is suspect, unless the network fell
// silent.
func (r *run) settleAccounts(err error) {
	alone := r.alone
	var timeout net.Error
	silent := err == nil || errors.As(err, &timeout) && timeout.Timeout()
	for _, m := range r.inflight {
		select {
		case e := <-m.result:
			if e == nil {
				r.acknowledged(m)
				continue
			}
		default: // a session that breaks its contract
		}
		if silent || !r.struck(m.id, alone) {
			continue
		}
		if m.flight == nil {
			r.muted[m.id.what] = true
			r.changes.count.Add(1)
			r.log.Warn("uplink report muted", "what", string(m.id.what), "err", err)
			continue
		}
		r.setAside(m, err)
	}
	r.inflight = nil
	r.counters.messages.Store(0)
}

// setAside gives up a record for the time being.
func (r *run) setAside(m sent, reason error) {
	key := m.id.key
	words := fmt.Sprintf("%s message lost the connection %d times: %v", m.id.what, strikesInCompany+strikesAlone, reason)
	if err := r.o.Store.SetAside(key, words); err != nil {
		r.log.Error("record cannot be set aside", "epoch", key.Epoch, "seq", key.Seq, "err", err)
		return
	}
	r.counters.setAside.Add(1)
	r.changes.count.Add(1)
	r.log.Warn("record set aside", "epoch", key.Epoch, "seq", key.Seq, "reason", words)
	r.drop(m.flight)
	r.forget(key)
}

// goodbye tells the broker that the device leaves, and waits a little for its
// answer.
func (r *run) goodbye() {
	b, err := r.state(false, wire.ReasonShutdown)
	if err != nil || r.muted[wire.WhatState] {
		return
	}
	result := r.session.Publish(Message{Topic: r.topic[wire.WhatState], Payload: b, Retained: true})
	select {
	case <-result:
	case <-time.After(farewell):
	}
}
