package outbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// committer is the part of a transaction that may fail in doubt.
type committer interface{ Commit() error }

// prepared is what of a violation can be made before its place in the chain is
// known: the chunk messages of its blobs.
type prepared struct {
	refs   []blobRef
	chunks [][][]byte
	size   int64
}

// prepare hashes the blobs and cuts them into messages, each blob on its own
// processor.
func prepare(blobs [][]byte) (*prepared, error) {
	p := &prepared{refs: make([]blobRef, len(blobs)), chunks: make([][][]byte, len(blobs))}
	for i, b := range blobs {
		if len(b) == 0 || len(b) > wire.MaxBlob {
			return nil, fmt.Errorf("%w: blob %d has %d bytes, want 1 to %d", ErrMismatch, i, len(b), wire.MaxBlob)
		}
		p.size += int64(len(b)) + int64(wire.ChunkCount(uint64(len(b))))*wire.ChunkHeader
	}
	var wg sync.WaitGroup
	for i, b := range blobs {
		wg.Go(func() {
			hash := evidence.Hash(sha256.Sum256(b))
			p.refs[i] = blobRef{hash, uint32(len(b))}
			p.chunks[i] = cut(hash, b)
		})
	}
	wg.Wait()
	return p, nil
}

// cut makes the messages of one blob, in one piece of memory.
func cut(hash evidence.Hash, blob []byte) [][]byte {
	n := wire.ChunkCount(uint64(len(blob)))
	buf := make([]byte, 0, len(blob)+n*wire.ChunkHeader)
	messages := make([][]byte, n)
	for i := range messages {
		from := len(buf)
		buf = wire.AppendChunk(buf, wire.CutChunk(hash, blob, i))
		messages[i] = buf[from:len(buf):len(buf)]
	}
	return messages
}

// Append stores one record with its blobs, in one transaction, and returns when
// it is on flash. seal is called once, with what the record must carry; it must
// not call the outbox. The blobs are the record's frames in order and then its
// trace, exactly as the record names them; they may be changed again when
// Append has returned.
//
// When Append returns an error nothing is stored, and a record that seal has
// made must be thrown away, as its number will be given again: but see
// [ErrUncertain]. The error wraps [ErrFull], [ErrReadOnly], [ErrMismatch],
// [ErrUncertain], [ErrClosed], the error of seal or that of the disk.
func (o *Outbox) Append(seal func(Head) (*evidence.Sealed, error), blobs ...[]byte) (*evidence.Sealed, error) {
	p, err := prepare(blobs)
	if err != nil {
		return nil, err
	}
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.resolve(); err != nil {
		return nil, err
	}
	if o.room(false) < p.size+roomOther { // not even the reserve would do
		return nil, fmt.Errorf("%w: no room for %d bytes", ErrFull, p.size)
	}
	if err := o.rollOver(p.size); err != nil {
		return nil, err
	}
	head := o.Head()
	s, err := seal(head)
	if err != nil {
		return nil, err
	}
	if err := o.fits(s, head, p); err != nil {
		return nil, err
	}
	if err := o.store(s, p); err != nil {
		return nil, err
	}
	return s, nil
}

// fits checks what the caller has sealed.
func (o *Outbox) fits(s *evidence.Sealed, head Head, p *prepared) error {
	r := s.Record
	switch {
	case r.Device != o.options.Device:
		return fmt.Errorf("%w: record of device %v, the store is of %v", ErrMismatch, r.Device, o.options.Device)
	case r.Epoch != head.Epoch || r.Seq != head.Next:
		return fmt.Errorf("%w: record is epoch %d number %d, next is epoch %d number %d", ErrMismatch, r.Epoch, r.Seq, head.Epoch, head.Next)
	case r.Prev != head.Prev:
		return fmt.Errorf("%w: record follows %v, the last one is %v", ErrMismatch, r.Prev, head.Prev)
	case r.Ack != head.Ack:
		return fmt.Errorf("%w: record acknowledges receipt %v, the newest is %v", ErrMismatch, r.Ack, head.Ack)
	}
	named := blobsOf(r)
	if len(named) != len(p.refs) {
		return fmt.Errorf("%w: record names %d blobs, %d were given", ErrMismatch, len(named), len(p.refs))
	}
	for i, b := range p.refs {
		if b != named[i] {
			return fmt.Errorf("%w: blob %d is %v of %d bytes, the record names %v of %d", ErrMismatch, i, b.hash, b.length, named[i].hash, named[i].length)
		}
	}
	if room, need := o.room(r.Kind.Measured()), p.size+roomOther; room < need {
		return fmt.Errorf("%w: %v of %d bytes, room for %d", ErrFull, r.Kind, need, max(0, room))
	}
	return nil
}

// store writes a record into the active segment, or into a new one when that is
// full, and makes it visible.
func (o *Outbox) store(s *evidence.Sealed, p *prepared) error {
	err := o.write(s, p)
	if errors.Is(err, errSegmentFull) {
		if err = o.roll(o.Head(), ""); err == nil {
			err = o.write(s, p)
		}
	}
	if err != nil {
		return err
	}
	o.admit(s)
	return nil
}

// write commits a record to the active segment.
func (o *Outbox) write(s *evidence.Sealed, p *prepared) error {
	a := o.active
	err := guard(func() error {
		tx, err := a.db.Begin(true)
		if err != nil {
			return err
		}
		committed := false
		defer func() {
			if !committed {
				_ = tx.Rollback() // after a failed commit there is nothing left to roll back
			}
		}()
		if err := put(tx, s, p); err != nil {
			return err
		}
		if tx.Size() > 0 {
			err = o.commit(tx)
		}
		committed = err == nil
		return err
	})
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return errSegmentFull
	}
	if a.has(s.Record.Seq) {
		// The pages are on flash and so, as far as the system's memory tells,
		// is the commit: only the last sync failed. Another commit makes
		// certain of it, or not.
		o.doubt = s
		return o.resolve()
	}
	return diskError(a.name(), err)
}

// put adds a record and its chunks to a transaction.
func put(tx *bolt.Tx, s *evidence.Sealed, p *prepared) error {
	records := tx.Bucket(bucketRecords)
	records.FillPercent = 1
	key := number(s.Record.Seq)
	if err := records.Put(key, newEntry(s).encode()); err != nil {
		return err
	}
	if len(p.chunks) == 0 {
		return nil
	}
	all := tx.Bucket(bucketBlobs)
	all.FillPercent = 1
	own, err := all.CreateBucket(key)
	if err != nil {
		return err
	}
	own.FillPercent = 1
	for b, messages := range p.chunks {
		for c, m := range messages {
			if err := own.Put(chunkKey(b, c), m); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve makes certain of a record whose commit failed at its last step, and
// makes it visible if it is there. Until that works nothing can be appended.
func (o *Outbox) resolve() error {
	o.mu.RLock()
	closed := o.closed
	o.mu.RUnlock()
	if closed {
		return ErrClosed
	}
	if o.doubt == nil {
		return nil
	}
	err := guard(func() error {
		tx, err := o.active.db.Begin(true)
		if err != nil {
			return err
		}
		return o.commit(tx)
	})
	s := o.doubt
	if err != nil {
		return fmt.Errorf("%w: epoch %d number %d: %w", ErrUncertain, s.Record.Epoch, s.Record.Seq, diskError(o.active.name(), err))
	}
	o.doubt = nil
	if o.active.has(s.Record.Seq) {
		o.admit(s)
	}
	return nil
}

// admit makes a stored record visible.
func (o *Outbox) admit(s *evidence.Sealed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seg := o.active.seg
	seg.next = s.Record.Seq + 1
	seg.head = s.Link
	seg.size = o.active.size()
	o.notify()
}
