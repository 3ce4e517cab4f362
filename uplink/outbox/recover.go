package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// known is what the store has ever come to, from every witness there is.
type known struct {
	segment uint64 // highest number of a segment
	epoch   uint64 // highest epoch
	expired map[uint64]bool
}

// Open opens the store in dir, which is created if it does not exist, and
// recovers it: see [Outbox.Report] for what was found. It returns [ErrLocked]
// when another process has it, and fails when the folder cannot be written.
func Open(dir string, options Options) (*Outbox, error) {
	options, err := options.defaults()
	if err != nil {
		return nil, err
	}
	err = os.MkdirAll(filepath.Join(dir, "segments"), 0o700)
	if err == nil {
		err = errors.Join(durable.SyncFolder(dir), durable.SyncFolder(filepath.Dir(dir)))
	}
	if err != nil {
		return nil, diskError("outbox "+dir, err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	o := &Outbox{
		library: library{dir: dir, index: index{aside: map[Key]string{}, damaged: map[Key]string{}, lost: map[uint64]*marks{}}},
		options: options, lock: lock, changed: make(chan struct{}),
		known:  known{expired: map[uint64]bool{}},
		commit: func(tx committer) error { return tx.Commit() },
	}
	o.library.source, o.library.quarantined = o, o.recordDamaged
	if err := o.recover(); err != nil {
		_ = errors.Join(o.release(), lock.Close()) // nothing was written that these could lose
		return nil, err
	}
	return o, nil
}

// takeLock takes the lock file of a store for this process.
func takeLock(dir string) (*os.File, error) {
	f, err := durable.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	}
	if err != nil {
		return nil, diskError("outbox "+dir, err)
	}
	return f, nil
}

// recordDamaged notes a quarantined record.
func (o *Outbox) recordDamaged(k Key, cause error) {
	o.mu.Lock()
	o.report.Records = append(o.report.Records, Trouble{fmt.Sprintf("epoch %d number %d", k.Epoch, k.Seq), cause.Error()})
	o.mu.Unlock()
	o.options.Log.Error("outbox record damaged", "epoch", k.Epoch, "seq", k.Seq, "error", cause)
}

// recover brings the store on disk into order and the index into memory.
func (o *Outbox) recover() error {
	found, err := scan(o.dir, o.options.Device)
	if err != nil {
		return err
	}
	o.report.Foreign, o.report.Aside = found.foreign, found.aside
	o.report.Clean = found.clean
	if err := o.removeClean(); err != nil {
		return err
	}
	if err := removeTemporary(o.dir, found.temporary); err != nil {
		return err
	}
	if err := o.putAside(found); err != nil {
		return err
	}
	o.segments, o.ledger = found.segments, found.ledger
	if err := o.recoverState(found); err != nil {
		return err
	}
	o.openTip()
	if err := o.checkSegments(found.clean); err != nil {
		return err
	}
	if err := o.openHead(found); err != nil {
		return err
	}
	if o.report.Rebuilt {
		o.ack = o.lastAck()
	}
	o.report.Missing = o.missing(o.ledger)
	if err := o.keepLedger(); err != nil { // as on a full disk: the one before tells as much
		o.options.Log.Warn("outbox ledger not written", "error", err)
	}
	return nil
}

// removeClean takes the mark of a clean shutdown away, before anything changes.
func (o *Outbox) removeClean() error {
	err := os.Remove(filepath.Join(o.dir, "clean"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.SyncFolder(o.dir)
	}
	if err != nil {
		return diskError("outbox "+o.dir, err)
	}
	return nil
}

// putAside moves what cannot be used to damaged/.
func (o *Outbox) putAside(found *scanned) error {
	for _, b := range found.bad {
		to, err := moveAside(o.dir, b.name, b.cause)
		if err != nil {
			return fmt.Errorf("outbox %s: %w; moving it aside: %w", b.name, b.cause, diskError(o.dir, err))
		}
		o.report.Moved = append(o.report.Moved, Trouble{to, b.cause.Error()})
		o.options.Log.Error("outbox file damaged", "moved", to, "error", b.cause)
	}
	return nil
}

// recoverState makes state.db anew if it is gone, opens it and brings what it
// says into the index.
func (o *Outbox) recoverState(found *scanned) error {
	saved := found.state
	if saved == nil {
		o.report.Fresh = len(found.numbers) == 0 && found.mark == (mark{}) && found.tip == (mark{}) && found.unledgered && !found.stateBad
		o.report.Rebuilt = !o.report.Fresh
		if err := createState(o.dir, o.options.Device); err != nil {
			return err
		}
		saved = &savedState{aside: map[Key]string{}}
	}
	state, err := openState(o.dir)
	if err != nil {
		return err
	}
	o.state, o.ack = state, saved.ack
	saved.apply(&o.index)
	for n := range saved.expired {
		o.known.expired[n] = true
	}
	// A segment that was being dropped when the power went. Its file must be gone
	// for good before the next drop lets state.db forget that it was dropped.
	dir := filepath.Join(o.dir, "segments")
	for _, s := range slices.Clone(o.segments) {
		if !o.known.expired[s.number] {
			continue
		}
		o.remove(s)
		if err := os.Remove(filepath.Join(dir, segmentName(s.number))); err != nil {
			return diskError("segment "+segmentName(s.number), err)
		}
	}
	// Also when none was left: it may have gone without a flush.
	if len(saved.expired) > 0 {
		if err := durable.SyncFolder(dir); err != nil {
			return diskError("outbox "+o.dir, err)
		}
	}
	return nil
}

// checkSegments walks the newest segment and, after an unclean end, lets bbolt
// check it and every other that still has something to be sent.
func (o *Outbox) checkSegments(clean bool) error {
	for i, s := range slices.Clone(o.segments) {
		newest := i == len(o.segments)-1
		if !newest && (clean || s.unsettled() == 0) {
			continue
		}
		name := filepath.Join("segments", segmentName(s.number))
		err := checkFile(filepath.Join(o.dir, name))
		if err == nil && !clean && !s.torn { // bbolt's check does not take a lost meta page
			err = checkBolt(filepath.Join(o.dir, name))
		}
		if err == nil {
			s.checked = true
			continue
		}
		o.markLost(s)
		err = fmt.Errorf("segment %s: %w: %w", segmentName(s.number), ErrDamaged, err)
		if err := o.putAside(&scanned{bad: []badFile{{name, err}}}); err != nil {
			return err
		}
	}
	return nil
}

// openHead finds out where the chain goes on, and opens the newest segment or
// begins one.
func (o *Outbox) openHead(found *scanned) error {
	o.known.segment, o.known.epoch = found.furthest()
	if o.known.segment == 0 && !o.report.Rebuilt {
		o.report.Fresh = true
		return o.roll(Head{Epoch: o.options.Epoch, Next: 1}, "")
	}
	reason := found.headLost(o.segments)
	if reason == "" {
		if err := o.openNewest(); err != nil {
			return err
		}
		if o.options.Epoch > o.known.epoch {
			return o.roll(Head{Epoch: o.options.Epoch, Next: 1}, "")
		}
		return nil
	}
	if found.mark == (mark{}) && found.tip == (mark{}) && found.unledgered {
		// Each segment that is lost without a witness may have begun an epoch.
		for _, n := range found.numbers {
			if len(o.segments) == 0 || n > o.segments[len(o.segments)-1].number {
				o.known.epoch++
			}
		}
	}
	return o.roll(Head{Epoch: max(o.known.epoch+1, o.options.Epoch), Next: 1}, reason)
}

// openNewest opens the newest segment for writing.
func (o *Outbox) openNewest() error {
	s := o.segments[len(o.segments)-1]
	db, err := openActive(filepath.Join(o.dir, "segments", segmentName(s.number)), o.options.SegmentSize)
	if err != nil {
		return diskError("segment "+segmentName(s.number), err)
	}
	o.active = &active{seg: s, db: db}
	o.report.Epoch = s.epoch
	return nil
}

// lastAck returns the newest receipt's hash as the last readable record of the
// chain has it, for when state.db is new.
func (o *Outbox) lastAck() evidence.Hash {
	for _, s := range slices.Backward(o.segments) {
		if s.records() == 0 {
			continue
		}
		b, err := o.Record(at(s.epoch, s.next-1))
		if err != nil {
			break
		}
		if r, err := evidence.Open(b); err == nil {
			return r.Record.Ack
		}
	}
	return evidence.Hash{}
}

// elsewhere implements source: the store reads what it has in use.
func (o *Outbox) elsewhere(Key) *segment { return nil }

// viewState implements source for the library.
func (o *Outbox) viewState(fn func(t tree) error) error {
	o.mu.RLock()
	closed := o.closed
	o.mu.RUnlock()
	if closed {
		return ErrClosed
	}
	return o.state.view(fn)
}

// Close ends the use of the store. What was appended and settled is on flash
// already; Close leaves a mark that the store is in good order, so that the next
// Open need not check it. Closing again does nothing.
func (o *Outbox) Close() error {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.settling.Lock()
	defer o.settling.Unlock()
	doubt := o.resolve()
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.closed = true
	head := o.headLocked()
	orderly := doubt == nil && o.raise == "" // else the mark says what comes next
	o.notify()
	o.mu.Unlock()
	m := mark{o.active.seg.number, head.Epoch, head.Next}
	err := o.release()
	if err == nil && orderly {
		err = writeMark(o.dir, m)
		if err == nil {
			err = writeFile(filepath.Join(o.dir, "clean"), nil)
		}
		if err != nil {
			err = diskError("outbox "+o.dir, err)
		}
	}
	return errors.Join(doubt, err, o.lock.Close())
}

// release closes what is open, but for the lock.
func (o *Outbox) release() error {
	var errs []error
	o.drain.Lock()
	o.drain.close()
	o.drain.Unlock()
	o.handles.Lock()
	defer o.handles.Unlock()
	if o.active != nil {
		errs = append(errs, o.active.db.Close())
		o.active = nil
	}
	if o.state != nil {
		errs = append(errs, o.state.db.Close())
	}
	if o.tip != nil {
		errs = append(errs, o.tip.Close())
	}
	return errors.Join(errs...)
}

// removeTemporary removes files that were on their way to their place when the power
// went. Whoever acknowledges a loss at this moment has one that is: it is gone, or
// waited for.
func removeTemporary(dir string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	lock, err := durable.WaitFolder(dir)
	if err != nil {
		return diskError("outbox "+dir, err)
	}
	defer lock.Close()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return diskError("outbox "+name, err)
		}
	}
	return nil
}
