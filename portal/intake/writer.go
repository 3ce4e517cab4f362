package intake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/log"
	"ciglio/portal/store"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// maxBatch is how many operations make one transaction at most, maxEntries how
// many records one receipt.
const (
	maxBatch   = 512
	maxEntries = 100
)

// An op is one change to the store. It is applied within a transaction that it
// may share with others, and again by itself when that one failed: it must not
// change anything outside the round.
type op interface {
	apply(*round) error
	// ended is called when the transaction has been committed, or has failed.
	ended(*round, error)
}

// The writer applies operations in the order in which they come.
type writer struct {
	in      *Intake
	ops     chan op
	early   []op // from before the start
	tree    log.Tree
	arrival uint64
	failing stake // zero while the store takes what comes
	// held are records that are whole and dated ahead: their receipt must not be
	// older than they are.
	held map[evidence.Hash]time.Time
}

// A stake is what hangs on a transaction. The store is taken to work again when
// one goes through on which no less hangs than on the one that failed: a report
// may find room where a record does not, and a record be stored that cannot be
// receipted.
type stake int

const (
	stakeReport stake = 1 + iota
	stakeRecord
	stakeReceipt
)

func (w *writer) run(ctx context.Context) {
	w.commit(ctx, w.early)
	w.early = nil
	var batch []op
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		due.Reset(w.untilDue())
		var first op
		select {
		case o, ok := <-w.ops:
			if !ok {
				return
			}
			first = o
		case <-due.C:
			if o := w.due(time.Now()); o != nil {
				w.commit(ctx, []op{o})
			}
			continue
		}
		batch = append(batch[:0], first)
		for more := true; more && len(batch) < maxBatch; {
			select {
			case o, ok := <-w.ops:
				if more = ok; ok {
					batch = append(batch, o)
				}
			default:
				more = false
			}
		}
		w.commit(ctx, batch)
	}
}

// untilDue is how long no record that is held falls due.
func (w *writer) untilDue() time.Duration {
	next := time.Hour
	for _, at := range w.held {
		next = min(next, time.Until(at))
	}
	return max(next, 0)
}

// due takes the records that need to be held no longer.
func (w *writer) due(now time.Time) op {
	o := &settleOp{}
	for id, at := range w.held {
		if !now.Before(at) {
			o.records = append(o.records, settling{id: id, whole: true})
			delete(w.held, id)
		}
	}
	w.in.stats.held.Store(int64(len(w.held)))
	if len(o.records) == 0 {
		return nil
	}
	return o
}

// commit applies the operations in one transaction. If that fails, each gets
// one of its own, so that none can take others with it.
func (w *writer) commit(ctx context.Context, batch []op) {
	if len(batch) == 0 {
		return
	}
	r, err := w.try(ctx, batch)
	if err != nil && len(batch) > 1 {
		for _, o := range batch {
			w.commit(ctx, []op{o})
		}
		return
	}
	w.note(r.stake, err)
	for _, o := range batch {
		o.ended(r, err)
	}
	for _, m := range r.answers {
		w.in.answers.send(m)
	}
}

// note counts and logs whether the store takes what comes.
func (w *writer) note(s stake, err error) {
	switch {
	case err != nil:
		w.in.stats.failed.Add(1)
		if w.failing == 0 {
			w.in.o.Log.Error("store takes nothing", "error", err)
		}
		w.failing = max(w.failing, s)
	case w.failing != 0 && s >= w.failing:
		w.failing = 0
		w.in.o.Log.Info("store takes records again")
	}
	w.in.stats.failing.Store(w.failing != 0)
}

// try is one transaction. The round it returns has no answers if it failed.
func (w *writer) try(ctx context.Context, batch []op) (*round, error) {
	r := &round{
		in: w.in, stake: stakeReport, now: time.Now().UTC().Truncate(time.Microsecond), arrival: w.arrival, log: w.tree.Begin(),
		seen: make(map[evidence.DeviceID]bool), answered: make(map[evidence.Hash]bool),
		settling: make(map[evidence.DeviceID][]evidence.ReceiptEntry), measured: make(map[evidence.Hash]bool),
		held: make(map[evidence.Hash]time.Time),
	}
	err := w.in.o.Store.Update(ctx, func(tx *store.Tx) error {
		r.tx = tx
		for _, o := range batch {
			if err := o.apply(r); err != nil {
				return err
			}
		}
		return r.settle()
	})
	if err != nil {
		r.answers = nil
		return r, err
	}
	w.tree, w.arrival = r.log.Tree(), r.arrival
	maps.Copy(w.held, r.held)
	w.in.stats.held.Store(int64(len(w.held)))
	for _, measured := range r.measured {
		count(&w.in.stats.settled, &w.in.stats.settledMeas, measured)
	}
	w.in.stats.receipts.Add(r.receipts)
	return r, nil
}

// A round is what one transaction gathers.
type round struct {
	in       *Intake
	tx       *store.Tx
	stake    stake
	now      time.Time
	arrival  uint64
	log      *log.Batch
	seen     map[evidence.DeviceID]bool
	settling map[evidence.DeviceID][]evidence.ReceiptEntry
	order    []evidence.DeviceID         // of settling
	measured map[evidence.Hash]bool      // the records settled
	held     map[evidence.Hash]time.Time // records that are whole and dated ahead
	answered map[evidence.Hash]bool      // receipts sent again in this round
	receipts uint64
	answers  []uplink.Message
}

func (r *round) see(device evidence.DeviceID) error {
	if r.seen[device] {
		return nil
	}
	r.seen[device] = true
	return r.tx.Seen(device, r.now)
}

// name names blobs that lie on disk and were sent for a stored record.
func (r *round) name(record evidence.Hash, blobs map[evidence.Hash]uint64) error {
	for hash, length := range blobs {
		r.stake = max(r.stake, stakeRecord)
		if err := r.tx.Blob(hash, length, r.now); err != nil {
			return err
		}
		if err := r.tx.Sent(hash, record); err != nil {
			return err
		}
	}
	return nil
}

// complete puts a record into the log and on the next receipt of its device. A
// record that is dated ahead waits until then.
func (r *round) complete(rec *store.Record) {
	if _, twice := r.measured[rec.ID]; twice {
		return
	}
	if at := heldUntil(rec, r.now); at.After(r.now) {
		r.held[rec.ID] = at
		return
	}
	if len(r.settling[rec.Device]) == 0 {
		r.order = append(r.order, rec.Device)
	}
	r.measured[rec.ID] = rec.Kind.Measured()
	r.settling[rec.Device] = append(r.settling[rec.Device], evidence.ReceiptEntry{
		Epoch: rec.Epoch, Seq: rec.Seq, ID: rec.ID, Index: r.log.Append(rec.ID),
	})
}

// heldUntil is when a record may have its receipt, which must not be older than it
// is: at once when that is not after now. Intake refuses a record that is dated
// further ahead than MaxAhead, but the centre's clock may have gone back since. A
// record that does not say when it is waits no longer than that.
func heldUntil(rec *store.Record, now time.Time) time.Time {
	ahead := rec.UTC.Sub(now)
	if ahead > MaxAhead {
		if sealed, err := evidence.Open(rec.Bytes); err == nil && !dated(sealed.Record) {
			return now
		}
	}
	if ahead > 0 {
		return rec.UTC.Add(time.Millisecond)
	}
	return now
}

// settle seals the receipts of the round and stores them with the hashes of the
// log, in the transaction that completes their records.
func (r *round) settle() error {
	if len(r.order) == 0 {
		return nil
	}
	r.stake = stakeReceipt
	// No verifier accepts a receipt of a time at which the key does not count.
	if _, _, err := r.in.o.Register.Trust().CentreKey(r.in.o.Signer.KeyID(), r.now); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	tree := r.log.Tree()
	if err := r.tx.LogHashes(r.log.Hashes()); err != nil {
		return err
	}
	root := tree.Root()
	for _, device := range r.order {
		entries := r.settling[device]
		slices.SortFunc(entries, func(a, b evidence.ReceiptEntry) int {
			return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
		})
		for part := range slices.Chunk(entries, maxEntries) {
			sealed, err := evidence.SealReceipt(&evidence.Receipt{
				Device: device, Entries: part, LogSize: tree.Size(), LogRoot: root, UTC: r.now,
			}, r.in.o.Signer)
			if err != nil {
				return err
			}
			if err := r.tx.Receipt(sealed, r.now); err != nil {
				return err
			}
			for _, e := range part {
				if err := r.tx.Settle(e.ID, e.Index, sealed.Hash); err != nil {
					return err
				}
			}
			r.receipts++
			r.answer(device, sealed.Bytes)
		}
	}
	return nil
}

func (r *round) answer(device evidence.DeviceID, receipt []byte) {
	r.answers = append(r.answers, uplink.Message{
		Topic: wire.Topic(r.in.o.Shard, device, wire.WhatReceipt), Payload: receipt,
	})
}

// answerAgain sends a receipt that was sent before, once a round.
func (r *round) answerAgain(device evidence.DeviceID, receipt evidence.Hash) error {
	if r.answered[receipt] {
		return nil
	}
	r.answered[receipt] = true
	b, err := r.tx.ReceiptBytes(receipt)
	if err != nil {
		return fmt.Errorf("receipt %v: %w", receipt, err)
	}
	r.answer(device, b)
	return nil
}

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

func (o *putOp) apply(r *round) error {
	rec := o.sealed.Record
	o.fresh, o.outcome = false, outcomeFailed
	if err := r.see(rec.Device); err != nil {
		return err
	}
	slot, err := r.tx.At(rec.Device, rec.Epoch, rec.Seq)
	switch {
	case errors.Is(err, store.ErrNotFound):
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
	case slot.State == store.Complete:
		o.outcome = outcomeComplete
		return r.answerAgain(rec.Device, slot.Receipt)
	default:
		if err := r.tx.Mend(o.sealed.ID, o.sealed.Bytes); err != nil {
			return err
		}
	}
	if slot.State == store.Quarantined {
		o.outcome = outcomeDisputed // set aside: no receipt
		return nil
	}
	if err := r.name(o.sealed.ID, o.blobs); err != nil {
		return err
	}
	o.outcome = outcomeIncomplete
	if o.whole {
		o.outcome = outcomeComplete
		r.complete(o.row(r))
	}
	return nil
}

func (o *putOp) row(r *round) *store.Record {
	rec := o.sealed.Record
	return &store.Record{
		ID: o.sealed.ID, Device: rec.Device, Epoch: rec.Epoch, Seq: rec.Seq, Kind: rec.Kind, UTC: rec.UTC,
		Received: r.now, Prev: rec.Prev, Link: o.sealed.Link, Arrival: r.arrival, Bytes: o.sealed.Bytes,
	}
}

func (o *putOp) insert(r *round) error {
	rec := o.sealed.Record
	r.arrival++
	r.stake = max(r.stake, stakeRecord)
	if err := r.tx.Insert(o.row(r)); err != nil {
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
		if errors.Is(err, store.ErrNotFound) {
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
		r.complete(&rec)
	}
	return nil
}

// reuses says what another record was sent with while this one was coming.
func (r *round) reuses(rec *store.Record, blobs map[evidence.Hash]uint64) (reused, err error) {
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
				return nil, fmt.Errorf("record %v: %w: %w", rec.ID, store.ErrDamaged, err)
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
	which  store.Report
	state  wire.State // of a state report
	text   []byte
}

func (o *reportOp) apply(r *round) error {
	if err := r.see(o.device); err != nil {
		return err
	}
	if o.which == store.ReportState {
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
type quarantineOp struct{ store.Refused }

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
