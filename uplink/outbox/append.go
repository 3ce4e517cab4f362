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

// Prepared is what of a violation can be made before its place in the chain is
// known: its blobs, hashed and cut into chunk messages.
type Prepared struct {
	// Blobs describes the blobs in the order given; the record is to name these
	// hashes and lengths.
	Blobs []BlobInfo

	refs    []blobRef // the same, out of the caller's reach
	chunks  [][][]byte
	cutting sync.WaitGroup // chunks are being made
	size    int64
	buffer  *[]byte // holds the chunks; nil when they have been stored
}

// buffers keeps the memory of the chunks of a violation for the next one.
type buffers struct{ sync.Pool }

func (b *buffers) take(size int) *[]byte {
	if p, ok := b.Get().(*[]byte); ok && cap(*p) >= size {
		return p
	}
	p := make([]byte, size+size/8)
	return &p
}

// Prepare hashes blobs, and begins to cut them into messages, on as many
// processors as there are. It takes no lock. The blobs must not be changed before
// AppendPrepared has returned. The error wraps [ErrMismatch] when a blob is empty
// or larger than 64 MiB, and [ErrTooLarge].
func (o *Outbox) Prepare(blobs ...[]byte) (*Prepared, error) {
	p := &Prepared{Blobs: make([]BlobInfo, len(blobs)), refs: make([]blobRef, len(blobs)), chunks: make([][][]byte, len(blobs))}
	for i, b := range blobs {
		if len(b) == 0 || len(b) > wire.MaxBlob {
			return nil, fmt.Errorf("%w: blob %d has %d bytes, want 1 to %d", ErrMismatch, i, len(b), wire.MaxBlob)
		}
		n := wire.ChunkCount(uint64(len(b)))
		p.Blobs[i] = BlobInfo{Length: uint64(len(b)), Chunks: n}
		p.size += int64(len(b) + n*wire.ChunkHeader)
	}
	if p.size > capacity(o.options.SegmentSize)-onDisk(0) {
		return nil, fmt.Errorf("%w: blobs of %d bytes, a segment takes %d", ErrTooLarge, p.size, capacity(o.options.SegmentSize)-onDisk(0))
	}
	p.buffer = o.buffers.take(int(p.size))
	var hashing sync.WaitGroup
	for i, b := range blobs {
		hashing.Go(func() { p.Blobs[i].SHA256 = sha256.Sum256(b) })
	}
	hashing.Wait()
	rest := (*p.buffer)[:0]
	for i, b := range blobs {
		own := len(b) + p.Blobs[i].Chunks*wire.ChunkHeader
		space := rest[:0:own]
		rest = rest[own:own:cap(rest)]
		hash := p.Blobs[i].SHA256
		p.refs[i] = blobRef{hash, uint32(len(b))}
		p.cutting.Go(func() { p.chunks[i] = cut(hash, b, space) })
	}
	return p, nil
}

// cut makes the messages of one blob, in the given space.
func cut(hash evidence.Hash, blob, space []byte) [][]byte {
	messages := make([][]byte, wire.ChunkCount(uint64(len(blob))))
	for i := range messages {
		from := len(space)
		space = wire.AppendChunk(space, wire.CutChunk(hash, blob, i))
		messages[i] = space[from:len(space):len(space)]
	}
	return messages
}

// Append stores one record with its blobs, in one transaction, and returns when
// it is on flash. seal is called at most once, with what the record must carry;
// it must not call the outbox. The blobs are the record's frames in order and
// then its trace, exactly as the record names them.
//
// When Append returns an error nothing is stored, and a record that seal has
// made must be thrown away, as its number will be given again: but see
// [ErrUncertain]. The error wraps [ErrFull], [ErrTooLarge], [ErrReadOnly],
// [ErrMismatch], [ErrUncertain], [ErrClosed], the error of seal or that of the
// disk.
func (o *Outbox) Append(seal func(Head) (*evidence.Sealed, error), blobs ...[]byte) (*evidence.Sealed, error) {
	p, err := o.Prepare(blobs...)
	if err != nil {
		return nil, err
	}
	return o.AppendPrepared(seal, p)
}

// AppendPrepared is [Outbox.Append] of blobs that [Outbox.Prepare] has hashed
// already. What is prepared can be used once, whatever comes of it.
func (o *Outbox) AppendPrepared(seal func(Head) (*evidence.Sealed, error), p *Prepared) (*evidence.Sealed, error) {
	o.writing.Lock()
	defer o.writing.Unlock()
	if p.buffer == nil {
		return nil, fmt.Errorf("%w: blobs prepared for another record", ErrMismatch)
	}
	defer func() {
		p.cutting.Wait()
		o.buffers.Put(p.buffer)
		p.buffer, p.chunks = nil, nil
	}()
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
	p.cutting.Wait()
	if err := o.store(s, p); err != nil {
		return nil, err
	}
	return s, nil
}

// fits checks what the caller has sealed.
func (o *Outbox) fits(s *evidence.Sealed, head Head, p *Prepared) error {
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
// full.
func (o *Outbox) store(s *evidence.Sealed, p *Prepared) error {
	err := o.write(s, p)
	if errors.Is(err, errSegmentFull) {
		if err = o.roll(o.Head(), ""); err == nil {
			err = o.write(s, p)
		}
	}
	return err
}

// write commits a record to the active segment and makes it visible.
func (o *Outbox) write(s *evidence.Sealed, p *Prepared) error {
	a := o.active
	err := guard(func() error {
		tx, err := a.db.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after a commit there is nothing to roll back
		if err := put(tx, s, p); err != nil {
			return err
		}
		return o.commit(tx)
	})
	switch {
	case err == nil:
		o.admit(s)
		return nil
	case isFull(err):
		return errSegmentFull
	}
	if a.has(s.Record.Seq) {
		// The pages are on flash and so, as far as the system's memory tells,
		// is the commit: only the last sync failed. Another commit makes
		// certain of it, or not.
		o.doubt = s
		if err := o.resolve(); err != nil {
			return err
		}
		if o.Head().Next > s.Record.Seq {
			return nil
		}
	}
	return diskError(a.name(), err)
}

// put adds a record and its chunks to a transaction.
func put(tx *bolt.Tx, s *evidence.Sealed, p *Prepared) error {
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
		defer func() { _ = tx.Rollback() }() // after a commit there is nothing to roll back
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
	seg := o.active.seg
	seg.next = s.Record.Seq + 1
	seg.head = s.Link
	seg.size = o.active.size()
	o.ledger.took(seg.epoch, seg.next)
	o.notify()
	m := mark{seg.number, seg.epoch, seg.next}
	o.mu.Unlock()
	o.writeTip(m)
}
