// Package sequencer gives records their numbers in the log. It takes those that intakes
// have committed as whole, of all shards, appends them to the log, seals their receipts,
// and leaves these in a table until they are sent.
//
// One process at a time does so, under a lease of the database; others wait to take over.
// What a batch changes is one transaction that also asks whether the lease is still held:
// one that comes late, from a process that had the lease before, changes nothing. Nothing
// is only in memory: whoever takes over reads how far the log is.
package sequencer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
	"ciglio/portal/log"
	"ciglio/portal/record"
)

// A Register says which keys count. [*ciglio/portal/register.File] is one.
type Register interface {
	Trust() *evidence.Trust
}

// Options of a Sequencer. Store, Register and Signer are needed.
type Options struct {
	Store    *record.Store
	Register Register
	Signer   evidence.Signer // of receipts
	// Span is how long after the death of one process another takes over at the latest; 0
	// means DefaultSpan.
	Span time.Duration
	// Held is asked before the first record that this process numbers, and again after a
	// failure: nothing is numbered while it fails. It says that the log is what was
	// published of it; nil for nothing.
	Held func(context.Context) error
	// Leading runs in a goroutine of its own while this process has the lease, until its
	// context ends; nil for nothing.
	Leading func(context.Context)
	// Now is the time that receipts bear; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger // nil: nothing is logged
}

// DefaultSpan is [Options.Span] when it is 0.
const DefaultSpan = 10 * time.Second

const (
	maxBatch   = 1000 // records of a transaction
	maxEntries = 100  // records of a receipt
	// lookEvery is how often it is looked for records that nobody told of, and
	// failurePause how long a store that takes nothing is left alone.
	lookEvery    = 5 * time.Second
	failurePause = 100 * time.Millisecond
)

// MaxAhead is how far a record may be dated ahead of its arrival. Its receipt waits until
// then.
const MaxAhead = 2 * time.Minute

// A Sequencer works while [Sequencer.Run] does.
type Sequencer struct {
	o    Options
	wake chan struct{}

	// Used by the goroutine that leads only.
	tree  log.Tree
	stale bool // tree may not be that of the store

	leading, failing                    atomic.Bool
	settled, measured, receipts, failed atomic.Uint64
	held                                atomic.Int64
}

// New prepares a sequencer.
func New(o Options) *Sequencer {
	if o.Span == 0 {
		o.Span = DefaultSpan
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sequencer{o: o, wake: make(chan struct{}, 1)}
}

// Stats counts what this process has done since New.
type Stats struct {
	Leading  bool   // this process has the lease
	Settled  uint64 // records numbered and receipted
	Measured uint64 // violations and tests among them
	Receipts uint64 // sealed
	Failed   uint64 // transactions that failed
	Failing  bool   // nothing is numbered
	Held     int64  // records dated ahead, whose receipt waits until then
}

// Stats returns the counts so far.
func (s *Sequencer) Stats() Stats {
	return Stats{
		Leading: s.leading.Load(), Settled: s.settled.Load(), Measured: s.measured.Load(), Receipts: s.receipts.Load(),
		Failed: s.failed.Load(), Failing: s.failing.Load(), Held: s.held.Load(),
	}
}

// Run numbers records whenever this process has the lease, until ctx ends. Before it
// returns, what is whole by then is numbered, and every goroutine has ended.
func (s *Sequencer) Run(ctx context.Context) {
	db := s.o.Store.Database()
	var listening sync.WaitGroup
	listening.Go(func() { db.Listen(ctx, record.TellWhole, s.ring) })
	db.While(ctx, "log", s.o.Span, func(err error) {
		s.o.Log.Error("the lease of the log cannot be asked for", "error", err)
	}, s.lead)
	listening.Wait()
}

func (s *Sequencer) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// lead numbers until ctx ends or the lease is lost.
func (s *Sequencer) lead(ctx context.Context, l database.Lease) {
	s.o.Log.Info("numbers the log", "term", l.Term)
	s.leading.Store(true)
	defer s.leading.Store(false)
	var beside sync.WaitGroup
	if s.o.Leading != nil {
		beside.Go(func() { s.o.Leading(ctx) })
	}
	defer beside.Wait()
	s.stale = true
	work := context.WithoutCancel(ctx) // what is in hand is finished
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		n, err := s.batch(work, l)
		if errors.Is(err, database.ErrLost) {
			break
		}
		s.note(err)
		pause := s.untilNext(work, err)
		if err == nil && n == maxBatch {
			continue
		}
		timer.Reset(pause)
		wake := s.wake
		if err != nil {
			wake = nil
		}
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	for n := 1; n > 0; { // what was whole when it ended
		var err error
		if n, err = s.batch(work, l); !errors.Is(err, database.ErrLost) {
			s.note(err)
		}
	}
	s.failing.Store(false) // it is another's to tell
	s.held.Store(0)
	s.o.Log.Info("numbers the log no more", "term", l.Term)
}

// untilNext is how long at most nothing is to be done, and counts what is held.
func (s *Sequencer) untilNext(ctx context.Context, err error) time.Duration {
	if err != nil {
		return failurePause
	}
	if s.held.Load() == 0 {
		return lookEvery
	}
	held, first, err := s.o.Store.PutOff(ctx)
	if err != nil {
		return lookEvery
	}
	s.held.Store(held)
	if held == 0 {
		return lookEvery
	}
	return min(lookEvery, max(0, first.Sub(s.o.Now())))
}

// note counts and logs whether records are numbered.
func (s *Sequencer) note(err error) {
	if err != nil {
		s.failed.Add(1)
	}
	if before := s.failing.Swap(err != nil); err != nil && !before {
		s.o.Log.Error("nothing is numbered", "error", err)
	} else if err == nil && before {
		s.o.Log.Info("records are numbered again")
	}
}

// batch numbers what is whole, and returns how many records it was.
func (s *Sequencer) batch(ctx context.Context, l database.Lease) (int, error) {
	if s.stale && s.o.Held != nil {
		if err := s.o.Held(ctx); err != nil {
			return 0, err
		}
	}
	var r *round
	err := s.o.Store.Under(ctx, l, func(tx *record.Tx) error { // which may come again
		if s.stale {
			size, err := tx.LogSize()
			if err != nil {
				return err
			}
			if s.tree, err = log.Load(size, tx.Hashes()); err != nil {
				return err
			}
		}
		s.stale = true // until it is committed
		r = &round{o: &s.o, tx: tx, now: s.o.Now().UTC().Truncate(time.Microsecond), log: s.tree.Begin()}
		records, err := tx.Unnumbered(r.now, maxBatch)
		if err != nil {
			return err
		}
		return r.number(records)
	})
	if err != nil {
		return 0, err
	}
	s.tree, s.stale = r.log.Tree(), false
	s.settled.Add(uint64(len(r.settled)))
	s.measured.Add(r.measured)
	s.receipts.Add(r.receipts)
	s.held.Add(r.held)
	if r.receipts > 0 {
		// Who is not told looks by itself.
		s.o.Store.Database().Tell(ctx, record.TellReceipts)
	}
	return len(r.settled) + int(r.held), nil
}

// A round is what one transaction does.
type round struct {
	o   *Options
	tx  *record.Tx
	now time.Time
	log *log.Batch

	settled  []record.Settled
	measured uint64
	receipts uint64
	held     int64
}

// A mailbox is where a receipt goes.
type mailbox struct {
	device evidence.DeviceID
	shard  string
}

// number appends records to the log and seals their receipts.
func (r *round) number(records []*record.Record) error {
	entries := make(map[mailbox][]evidence.ReceiptEntry)
	var order []mailbox
	for _, rec := range records {
		until, err := r.heldUntil(rec)
		if err != nil {
			return err
		}
		if until.After(r.now) {
			r.held++
			if err := r.tx.PutOff(rec.ID, until); err != nil {
				return err
			}
			continue
		}
		to := mailbox{rec.Device, rec.Shard}
		if len(entries[to]) == 0 {
			order = append(order, to)
		}
		if rec.Kind.Measured() {
			r.measured++
		}
		entries[to] = append(entries[to], evidence.ReceiptEntry{Epoch: rec.Epoch, Seq: rec.Seq, ID: rec.ID, Index: r.log.Append(rec.ID)})
	}
	if len(order) == 0 {
		return nil
	}
	// No verifier accepts a receipt of a time at which the key does not count.
	if _, _, err := r.o.Register.Trust().CentreKey(r.o.Signer.KeyID(), r.now); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	if err := r.tx.LogHashes(r.log.Hashes()); err != nil {
		return err
	}
	for _, to := range order {
		if err := r.seal(to, entries[to]); err != nil {
			return err
		}
	}
	return r.tx.Settle(r.settled)
}

// seal seals the receipts of a device.
func (r *round) seal(to mailbox, entries []evidence.ReceiptEntry) error {
	slices.SortFunc(entries, func(a, b evidence.ReceiptEntry) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
	})
	tree := r.log.Tree()
	for part := range slices.Chunk(entries, maxEntries) {
		sealed, err := evidence.SealReceipt(&evidence.Receipt{
			Device: to.device, Entries: part, LogSize: tree.Size(), LogRoot: tree.Root(), UTC: r.now,
		}, r.o.Signer)
		if err != nil {
			return err
		}
		if err := errors.Join(r.tx.Receipt(sealed, r.now), r.tx.Send(sealed.Hash, to.shard, r.now)); err != nil {
			return err
		}
		for _, e := range part {
			r.settled = append(r.settled, record.Settled{ID: e.ID, Index: e.Index, Receipt: sealed.Hash})
		}
		r.receipts++
	}
	return nil
}

// heldUntil is when a record may have its receipt, which must not be older than it
// is: at once when that is not after now. Intake refuses a record that is dated
// further ahead than MaxAhead, but the centre's clock may have gone back since. A
// record that does not say when it is waits no longer than that.
func (r *round) heldUntil(rec *record.Record) (time.Time, error) {
	if rec.UTC.Sub(r.now) > MaxAhead {
		full, err := r.tx.Record(rec.ID)
		if err != nil {
			return time.Time{}, err
		}
		rec = full
	}
	return HeldUntil(rec, r.now), nil
}

// HeldUntil is when a record may have its receipt: at once when that is not after now.
// Of a record that is dated ahead by more than MaxAhead it looks at Bytes.
func HeldUntil(rec *record.Record, now time.Time) time.Time {
	ahead := rec.UTC.Sub(now)
	if ahead > MaxAhead {
		if sealed, err := evidence.Open(rec.Bytes); err == nil && !Dated(sealed.Record) {
			return now
		}
	}
	if ahead > 0 {
		return rec.UTC.Add(time.Millisecond)
	}
	return now
}

// Dated reports whether a record says when it is: one that accuses somebody, or
// of a clock that is synchronised. A device that has just started may not know
// the date yet; what it seals then accuses nobody, and the chain needs it.
func Dated(r *evidence.Record) bool { return r.Kind.Measured() || r.Clock.Synchronised }
