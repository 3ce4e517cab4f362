package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// An EquivocationError says that a receipt names, under a place in our chain,
// another record than the one stored there, or one that was never made: either
// somebody else signs in our name, or this store has been put back to an older
// state. It wraps [ErrEquivocation].
type EquivocationError struct {
	Key    Key
	Ours   evidence.Hash // zero when there is no such record yet
	Theirs evidence.Hash
}

func (e *EquivocationError) Error() string {
	if e.Ours.IsZero() {
		return fmt.Sprintf("%v: epoch %d number %d: received as %v, not made yet", ErrEquivocation, e.Key.Epoch, e.Key.Seq, e.Theirs)
	}
	return fmt.Sprintf("%v: epoch %d number %d: received as %v, stored as %v", ErrEquivocation, e.Key.Epoch, e.Key.Seq, e.Theirs, e.Ours)
}

// Unwrap returns [ErrEquivocation].
func (e *EquivocationError) Unwrap() error { return ErrEquivocation }

// Settle marks the records that the receipt names, and stores the receipt, in
// one transaction that is on flash when Settle returns. The caller has verified
// its signature. It returns how many records it settled: 0 for a receipt that
// only names records settled before, which is not stored.
//
// An entry that names another record than ours settles nothing, and neither
// does one for a record that was dropped or is damaged; the other entries stand. One
// for a record that is missing is believed, as nothing is left to compare it with:
// the loss becomes smaller. The error then holds an [EquivocationError] for each that
// contradicts the chain. After one that names a record of the current epoch
// which was not made yet, the next record begins a new epoch: see [Report].
func (o *Outbox) Settle(receipt *evidence.SealedReceipt) (settled int, err error) {
	r := receipt.Receipt
	if r.Device != o.options.Device {
		return 0, fmt.Errorf("%w: receipt for device %v, the store is of %v", ErrMismatch, r.Device, o.options.Device)
	}
	o.settling.Lock()
	defer o.settling.Unlock()
	due, troubles, err := o.match(r)
	if err != nil {
		return 0, err
	}
	missing := o.settledMissing(r)
	if len(due)+len(missing) > 0 {
		all := missing
		for _, p := range due {
			all = append(all, taken{p.seg.number, p.key})
		}
		if err := o.state.update(func(tx *bolt.Tx) error { return putReceipt(tx, receipt, all) }); err != nil {
			return 0, errors.Join(append(troubles, err)...)
		}
		o.mu.Lock()
		for _, p := range due {
			p.seg.settle(p.key.Seq)
			delete(o.aside, p.key)
		}
		for _, t := range missing {
			o.settleLost(t.segment, t.key.Seq)
			o.report.Missing[o.hole(t.key)].Settled++
		}
		o.ack = receipt.Hash
		o.notify()
		o.mu.Unlock()
	}
	return len(due) + len(missing), errors.Join(troubles...)
}

// hole returns which of the runs that were missing at the start has a number; -1 for
// none. mu is held.
func (o *Outbox) hole(k Key) int {
	return slices.IndexFunc(o.report.Missing, func(m Range) bool { return m.Epoch == k.Epoch && m.From <= k.Seq && k.Seq <= m.To })
}

// taken is a number that a segment has taken, be the segment there or not.
type taken struct {
	segment uint64
	key     Key
}

// settledMissing returns the numbers of the receipt that are missing and had none so
// far.
func (o *Outbox) settledMissing(r *evidence.Receipt) (all []taken) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range r.Entries {
		k := at(e.Epoch, e.Seq)
		if o.find(k) != nil || o.hole(k) < 0 {
			continue
		}
		for _, a := range o.ledger.accounts {
			if a.epoch == k.Epoch && a.first <= k.Seq && k.Seq < a.next && !o.isSettledLost(a.segment, k.Seq) {
				all = append(all, taken{a.segment, k})
			}
		}
	}
	return all
}

// match finds the unsettled records that the receipt's entries name, and the
// entries that contradict the chain.
func (o *Outbox) match(r *evidence.Receipt) (due []place, troubles []error, err error) {
	var places []place
	var ahead mark
	theirs := map[Key]evidence.Hash{}
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil, nil, ErrClosed
	}
	head := o.headLocked()
	for _, e := range r.Entries {
		k := at(e.Epoch, e.Seq)
		if s := o.find(k); s != nil {
			places = append(places, place{s, k})
			theirs[k] = e.ID
		} else if !k.Less(at(head.Epoch, head.Next)) {
			trouble := &EquivocationError{Key: k, Theirs: e.ID}
			troubles = append(troubles, trouble)
			o.known.epoch = max(o.known.epoch, k.Epoch)
			o.raise = trouble.Error()
			ahead = mark{o.known.segment, k.Epoch, k.Seq + 1}
			o.ledger.took(ahead.epoch, ahead.next)
		}
	}
	o.mu.Unlock()
	if ahead != (mark{}) { // should the power go before the next record
		o.marking.Lock()
		err := writeMark(o.dir, ahead)
		o.marking.Unlock()
		if err != nil {
			troubles = append(troubles, diskError("outbox mark", err))
		}
	}

	i := 0
	err = o.entries(places, func(it Listed, damage error) {
		for places[i].key != it.Key { // those of a segment that is gone are skipped
			i++
		}
		p := places[i]
		switch {
		case damage != nil:
		case it.ID != theirs[p.key]:
			troubles = append(troubles, &EquivocationError{Key: p.key, Ours: it.ID, Theirs: theirs[p.key]})
		case !p.seg.isSettled(p.key.Seq): // only Settle changes it
			due = append(due, p)
		}
	})
	return due, troubles, err
}

// putReceipt stores the receipt once, and for each record its number.
func putReceipt(tx *bolt.Tx, receipt *evidence.SealedReceipt, due []taken) error {
	receipts := tx.Bucket(bucketReceipts)
	id, err := receipts.NextSequence()
	if err != nil {
		return err
	}
	n := number(id)
	if err := receipts.Put(n, receipt.Bytes); err != nil {
		return err
	}
	if err := tx.Bucket(bucketReferences).Put(n, number(uint64(len(due)))); err != nil {
		return err
	}
	if err := tx.Bucket(bucketState).Put(keyAck, receipt.Hash[:]); err != nil {
		return err
	}
	for _, p := range due {
		b, err := tx.Bucket(bucketSettled).CreateBucketIfNotExists(number(p.segment))
		if err != nil {
			return err
		}
		b.FillPercent = 0.9
		if err := b.Put(number(p.key.Seq), n); err != nil {
			return err
		}
		if err := tx.Bucket(bucketAside).Delete(placeKey(p.key)); err != nil {
			return err
		}
	}
	return nil
}

// SetAside keeps an unsettled record from being offered by Unsettled until
// [Outbox.Retry], across restarts. The reason is shown by List.
func (o *Outbox) SetAside(k Key, reason string) error {
	o.settling.Lock()
	defer o.settling.Unlock()
	o.mu.RLock()
	s := o.find(k)
	settled := s != nil && s.isSettled(k.Seq)
	o.mu.RUnlock()
	if s == nil || settled {
		return fmt.Errorf("set aside epoch %d number %d: %w among the unsettled", k.Epoch, k.Seq, ErrNotFound)
	}
	err := o.state.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketAside).Put(placeKey(k), []byte(reason)) })
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.aside[k] = reason
	o.mu.Unlock()
	return nil
}

// Retry offers again every record that was set aside, and returns how many.
func (o *Outbox) Retry() (int, error) {
	o.settling.Lock()
	defer o.settling.Unlock()
	o.mu.RLock()
	n := len(o.aside)
	o.mu.RUnlock()
	if n == 0 {
		return 0, nil
	}
	err := o.state.update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(bucketAside); err != nil {
			return err
		}
		_, err := tx.CreateBucket(bucketAside)
		return err
	})
	if err != nil {
		return 0, err
	}
	o.mu.Lock()
	clear(o.aside)
	o.notify()
	o.mu.Unlock()
	return n, nil
}

// Expire drops segments whose records are all settled: those past retention,
// other than the newest, and, while there is no room for a record with a
// measurement, the oldest before their time, and at last the newest, as settled
// records must not keep new ones out. It returns the runs of records dropped, in
// order, also with an error. An unsettled record keeps its whole segment.
func (o *Outbox) Expire(now time.Time) ([]Range, error) {
	dropped, err := o.expire(now)
	if err != nil || o.Room(true) {
		return dropped, err
	}
	// Not before the others have gone: on a full disk they may have to make room
	// for the new segment.
	if ended, err := o.endSettled(); !ended {
		return dropped, err
	}
	more, err := o.expire(now)
	return append(dropped, more...), err
}

// expire drops what can be dropped of the segments before the newest.
func (o *Outbox) expire(now time.Time) ([]Range, error) {
	o.settling.Lock()
	defer o.settling.Unlock()
	var dropped []Range
	for {
		o.mu.RLock()
		var old []*segment
		if !o.closed {
			for _, s := range o.segments[:len(o.segments)-1] {
				if s.unsettled() == 0 && !o.incomplete(s) {
					old = append(old, s)
				}
			}
		}
		o.mu.RUnlock()
		if len(old) == 0 {
			return dropped, nil
		}
		var pick *segment
		for _, s := range old {
			if !now.Before(o.lastTime(s).Add(o.options.Retention)) {
				pick = s
				break
			}
		}
		if pick == nil && !o.Room(true) {
			pick = old[0]
		}
		if pick == nil {
			return dropped, nil
		}
		gone, err := o.drop(pick)
		if gone && pick.records() > 0 {
			dropped = append(dropped, Range{Epoch: pick.epoch, From: pick.firstSeq, To: pick.next - 1})
		}
		if err != nil {
			return dropped, err
		}
	}
}

// endSettled begins a new segment when all of the newest one is settled, so that
// this one can be dropped too, and reports whether it did. It leaves one alone
// that is too small for its room to matter, or every heartbeat would have a
// segment of its own; one with a record of which it is not known whether it is
// stored; and one that the next record ends in any case.
func (o *Outbox) endSettled() (bool, error) {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.RLock()
	ends := false
	if !o.closed && o.doubt == nil && o.raise == "" {
		s := o.active.seg
		ends = s.size > capacity(MinSegmentSize) && s.unsettled() == 0
	}
	head := o.headLocked()
	o.mu.RUnlock()
	if !ends {
		return false, nil
	}
	err := o.roll(head, "")
	return err == nil, err
}

// lastTime returns when the last record of a segment was sealed, or when the
// segment was begun if that cannot be read.
func (o *Outbox) lastTime(s *segment) time.Time {
	if s.last.IsZero() && s.records() > 0 {
		_ = o.entries([]place{{s, at(s.epoch, s.next-1)}}, func(it Listed, err error) {
			if err == nil {
				s.last = it.Time
			}
		})
	}
	if s.last.IsZero() {
		s.last = s.created
	}
	return s.last
}

// drop removes a segment: first from the index and state.db, which then knows
// that it went in good order, then the file. It reports whether the records are
// gone, as they are also when the file could not be removed.
func (o *Outbox) drop(s *segment) (gone bool, err error) {
	o.mu.RLock()
	lowest := o.segments[0].number
	if o.segments[0] == s {
		lowest = o.segments[1].number
	}
	o.mu.RUnlock()
	dir := filepath.Join(o.dir, "segments")
	// A file that could not be removed goes when the store is next opened, if it
	// is known until then that it was dropped.
	for n := range o.known.expired { // only drop changes it
		if n >= lowest {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, segmentName(n))); !errors.Is(err, os.ErrNotExist) {
			lowest = n
		}
	}
	o.marking.Lock()
	o.mu.Lock()
	o.ledger.drop(s.number)
	o.mu.Unlock()
	text := o.nextLedger()
	err = o.state.update(func(tx *bolt.Tx) error {
		if err := forget(tx, s, lowest); err != nil {
			return err
		}
		return tx.Bucket(bucketState).Put(keyLedger, text)
	})
	if err == nil {
		if err := writeFile(filepath.Join(o.dir, "ledger"), text); err != nil { // state.db has it
			o.options.Log.Warn("outbox ledger not written", "error", err)
		}
	}
	o.marking.Unlock()
	if err != nil {
		return false, err
	}
	o.mu.Lock()
	for n := range o.known.expired { // as forget does
		if n < lowest {
			delete(o.known.expired, n)
		}
	}
	o.known.expired[s.number] = true
	o.remove(s)
	for k := range o.damaged {
		if k.Epoch == s.epoch && s.firstSeq <= k.Seq && k.Seq < s.next {
			delete(o.damaged, k)
		}
	}
	o.mu.Unlock()
	o.drain.Lock()
	if o.drain.seg == s {
		o.drain.close()
	}
	o.drain.Unlock()
	if err = os.Remove(filepath.Join(dir, segmentName(s.number))); err == nil {
		err = durable.SyncFolder(dir)
	}
	if err != nil {
		return true, diskError("segment "+segmentName(s.number), err)
	}
	return true, nil
}

// forget removes what state.db has about a segment, and every receipt that no
// other record refers to. It notes that the segment went in good order, which is
// of interest as long as older ones are there, or its own file.
func forget(tx *bolt.Tx, s *segment, lowest uint64) error {
	uses := map[string]uint64{}
	if b := tx.Bucket(bucketSettled).Bucket(number(s.number)); b != nil {
		if err := b.ForEach(func(_, n []byte) error { uses[string(n)]++; return nil }); err != nil {
			return err
		}
		if err := tx.Bucket(bucketSettled).DeleteBucket(number(s.number)); err != nil {
			return err
		}
	}
	references := tx.Bucket(bucketReferences)
	for n, used := range uses {
		key := []byte(n)
		var left uint64
		if v := references.Get(key); len(v) == 8 {
			left = binary.BigEndian.Uint64(v)
		}
		if left > used {
			if err := references.Put(key, number(left-used)); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(references.Delete(key), tx.Bucket(bucketReceipts).Delete(key)); err != nil {
			return err
		}
	}
	expired := tx.Bucket(bucketExpired)
	if err := expired.Put(number(s.number), nil); err != nil {
		return err
	}
	var stale [][]byte
	if err := expired.ForEach(func(k, _ []byte) error {
		if n, ok := parseNumber(k); ok && n < lowest && n != s.number {
			stale = append(stale, append([]byte(nil), k...))
		}
		return nil
	}); err != nil {
		return err
	}
	for _, k := range stale {
		if err := expired.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
