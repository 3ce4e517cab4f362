package intake

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
	"ciglio/portal/record"
)

// maxBatch is how many operations make one transaction at most.
const maxBatch = 512

// An op is one change to the store. It is applied within a transaction that it
// may share with others, and again by itself when that one failed: it must not
// change anything outside the round.
type op interface {
	apply(*round) error
	// ended is called when the transaction has been committed, or has failed.
	ended(*round, error)
}

// A sitter is an op of a record: its seat is read together with others.
type sitter interface{ seat() record.Seat }

// The writer applies operations in the order in which they come.
type writer struct {
	in      *Intake
	ops     chan op
	early   []op   // from before the start
	arrival uint64 // the last that was given
	salt    uint64 // of arrivals: no other process has it, as good as surely
	stale   bool   // there may be larger arrivals in the store
	failing stake  // zero while the store takes what comes
}

func newWriter(in *Intake) *writer {
	return &writer{in: in, stale: true, salt: rand.Uint64N(1 << saltBits), ops: make(chan op, writeDepth)}
}

// An arrival is the microseconds since 1970 of a record's arrival, or one more than the
// arrival before, and behind them some bits that tell processes apart.
const saltBits = 10

func (w *writer) nextArrival(last uint64) uint64 {
	return max(last>>saltBits+1, uint64(time.Now().UnixMicro()))<<saltBits | w.salt
}

// A stake is what hangs on a transaction. The store is taken to work again when
// one goes through on which no less hangs than on the one that failed: a report
// may find room where a record does not.
type stake int

const (
	stakeReport stake = 1 + iota
	stakeRecord
)

func (w *writer) run(ctx context.Context) {
	w.commit(ctx, w.early)
	w.early = nil
	var batch []op
	for first := range w.ops {
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

// commit applies the operations in one transaction. If that fails, each gets
// one of its own, so that none can take others with it.
func (w *writer) commit(ctx context.Context, batch []op) {
	if len(batch) == 0 {
		return
	}
	r, err := w.try(ctx, batch)
	if err != nil && len(batch) > 1 && !errors.Is(err, database.ErrLost) {
		for _, o := range batch {
			w.commit(ctx, []op{o})
		}
		return
	}
	w.note(r.stake, err)
	for _, o := range batch {
		o.ended(r, err)
	}
	if err != nil {
		return
	}
	if r.whole {
		// Who is not told looks by itself.
		w.in.o.Store.Database().Tell(ctx, record.TellWhole)
	}
	w.in.receipts.askedAgain(r.again)
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

// try is one transaction.
func (w *writer) try(ctx context.Context, batch []op) (*round, error) {
	r := &round{in: w.in, stake: stakeReport} // of one that does not begin
	var seats []record.Seat
	for _, o := range batch {
		if o, ok := o.(sitter); ok {
			seats = append(seats, o.seat())
		}
	}
	// In one order, or two could wait for each other.
	slices.SortFunc(seats, func(a, b record.Seat) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	err := w.in.o.Store.Under(ctx, w.in.o.Lease, func(tx *record.Tx) error { // which may come again
		if w.stale {
			counts, err := tx.Counts()
			if err != nil {
				return err
			}
			w.arrival = max(w.arrival, counts.Arrivals)
		}
		w.stale = true // until it is committed
		r = &round{
			in: w.in, tx: tx, stake: stakeReport, now: w.in.o.Now().UTC().Truncate(time.Microsecond), arrival: w.arrival,
			seen: make(map[evidence.DeviceID]bool), again: make(map[evidence.Hash]bool),
		}
		// A device is this transaction's from here on: one that another shard has as well,
		// since it has moved, gets its next neighbour only when this is known.
		for _, s := range seats {
			if err := r.see(s.Device); err != nil {
				return err
			}
		}
		if err := tx.Foresee(seats...); err != nil {
			return err
		}
		for _, o := range batch {
			if err := o.apply(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.arrival, w.stale = r.arrival, false
	}
	return r, err
}

// A round is what one transaction gathers.
type round struct {
	in      *Intake
	tx      *record.Tx
	stake   stake
	now     time.Time
	arrival uint64
	seen    map[evidence.DeviceID]bool
	whole   bool                   // a record may be numbered
	again   map[evidence.Hash]bool // receipts to be sent again
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

// complete has a record numbered that is whole.
func (r *round) complete(id evidence.Hash) error {
	r.whole = true
	r.stake = max(r.stake, stakeRecord)
	return r.tx.Whole(id, r.in.o.Shard)
}

// answerAgain has a receipt sent that may have been sent before.
func (r *round) answerAgain(receipt evidence.Hash) error {
	if r.again[receipt] {
		return nil
	}
	r.again[receipt] = true
	return r.tx.Send(receipt, r.in.o.Shard, r.now)
}
