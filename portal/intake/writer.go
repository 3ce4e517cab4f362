package intake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/log"
	"ciglio/portal/record"
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
	stale   bool  // tree and arrival may not be those of the store
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
			if o := w.due(w.in.o.Now()); o != nil {
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
		next = min(next, at.Sub(w.in.o.Now()))
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
	r := &round{stake: stakeReport}
	err := w.in.o.Store.Update(ctx, func(tx *record.Tx) error { // which may come again
		if w.stale {
			if err := w.load(tx); err != nil {
				return err
			}
		}
		w.stale = true // until it is committed
		r = w.begin(tx)
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
	w.tree, w.arrival, w.stale = r.log.Tree(), r.arrival, false
	maps.Copy(w.held, r.held)
	w.in.stats.held.Store(int64(len(w.held)))
	for _, measured := range r.measured {
		count(&w.in.stats.settled, &w.in.stats.settledMeas, measured)
	}
	w.in.stats.receipts.Add(r.receipts)
	return r, nil
}

// load reads how far the store is.
func (w *writer) load(tx *record.Tx) error {
	counts, err := tx.Counts()
	if err != nil {
		return err
	}
	w.tree, err = log.Load(counts.LogSize, tx.Hashes())
	w.arrival = counts.Arrivals
	return err
}

func (w *writer) begin(tx *record.Tx) *round {
	return &round{
		in: w.in, tx: tx, stake: stakeReport, now: w.in.o.Now().UTC().Truncate(time.Microsecond), arrival: w.arrival, log: w.tree.Begin(),
		seen: make(map[evidence.DeviceID]bool), answered: make(map[evidence.Hash]bool),
		settling: make(map[evidence.DeviceID][]evidence.ReceiptEntry), measured: make(map[evidence.Hash]bool),
		held: make(map[evidence.Hash]time.Time),
	}
}

// A round is what one transaction gathers.
type round struct {
	in       *Intake
	tx       *record.Tx
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
func (r *round) name(id evidence.Hash, blobs map[evidence.Hash]uint64) error {
	for hash, length := range blobs {
		r.stake = max(r.stake, stakeRecord)
		if err := r.tx.Blob(hash, length, r.now); err != nil {
			return err
		}
		if err := r.tx.Sent(hash, id); err != nil {
			return err
		}
	}
	return nil
}

// complete puts a record into the log and on the next receipt of its device. A
// record that is dated ahead waits until then.
func (r *round) complete(rec *record.Record) {
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
func heldUntil(rec *record.Record, now time.Time) time.Time {
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
