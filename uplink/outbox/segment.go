package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

var errSegmentFull = errors.New("segment is full")

func isFull(err error) bool { return errors.Is(err, bolterrors.ErrMaxSizeReached) }

// tree is a bbolt file at one moment, read through bbolt or page by page.
type tree interface {
	// value returns what key has in the bucket that path leads to, or nil. It
	// may be used until the tree is gone, and must not be changed.
	value(key []byte, path ...[]byte) ([]byte, error)
}

// boltTree is a tree read through bbolt.
type boltTree struct{ tx *bolt.Tx }

func (t boltTree) value(key []byte, path ...[]byte) ([]byte, error) {
	b := t.tx.Bucket(path[0])
	for _, name := range path[1:] {
		if b == nil {
			return nil, nil
		}
		b = b.Bucket(name)
	}
	if b == nil {
		return nil, nil
	}
	return b.Get(key), nil
}

// guard runs fn and turns a panic or a fault in a mapping into an error that
// wraps ErrDamaged. fn must not start goroutines that could fault.
func guard(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return fn()
}

// update runs fn in a transaction and commits it. When fn or the commit faults,
// bbolt's own Update reads the free list to give the transaction up, and keeps
// its lock for ever when that page faults too; Rollback reads nothing. What is
// left is a fault in a meta page, which bbolt reads under its locks in Begin.
func update(db *bolt.DB, fn func(tx *bolt.Tx) error) error {
	return guard(func() error {
		tx, err := db.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after a commit there is nothing to roll back
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// diskError names what the disk said about a file.
func diskError(name string, err error) error {
	said := func(no ...syscall.Errno) bool {
		for _, n := range no {
			// bbolt loses the type of an error in growing a file.
			if errors.Is(err, n) || strings.HasSuffix(err.Error(), n.Error()) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, ErrReadOnly):
		return err
	case said(syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG):
		return fmt.Errorf("%w: disk: %s: %w", ErrFull, name, err)
	case said(syscall.EROFS, syscall.EACCES, syscall.EPERM):
		return fmt.Errorf("%w: %s: %w", ErrReadOnly, name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// freeDisk returns how many bytes the file system of dir has for us.
func freeDisk(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 1 << 62 // what we cannot know does not keep us from trying
	}
	return int64(min(st.Bavail, 1<<40)) * int64(st.Bsize)
}

func segmentName(n uint64) string { return fmt.Sprintf("%08d.db", n) }

// active is the newest segment, open for writing.
type active struct {
	seg   *segment
	db    *bolt.DB
	reads atomic.Uint32
}

func (a *active) name() string { return "segment " + segmentName(a.seg.number) }

func (a *active) view(fn func(t tree) error) error {
	return guard(func() error { return a.db.View(func(tx *bolt.Tx) error { return fn(boltTree{tx}) }) })
}

// has reports whether the record is there, as far as the system's memory tells.
func (a *active) has(seq uint64) bool {
	found := false
	err := a.view(func(t tree) error {
		v, err := t.value(number(seq), bucketRecords)
		found = v != nil
		return err
	})
	return err == nil && found
}

// size returns how many bytes of the file are in use.
func (a *active) size() (n int64) {
	_ = guard(func() error {
		return a.db.View(func(tx *bolt.Tx) error { n = tx.Size(); return nil })
	})
	return n
}

// allocation is how far a segment file grows at a time.
func allocation(segmentSize int) int { return min(16<<20, segmentSize/16) }

// capacity is how many bytes of records and blobs an empty segment takes.
func capacity(segmentSize int) int64 {
	return int64(segmentSize-allocation(segmentSize)) - 128<<10
}

// onDisk estimates the pages that a record with chunks of size bytes takes.
func onDisk(size int64) int64 { return size + size/16 + 64<<10 }

// openActive opens a segment for writing. The whole map is reserved at once, so
// that a writer never waits for readers.
func openActive(path string, segmentSize int) (*bolt.DB, error) {
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, PageSize: pageSize, MaxSize: segmentSize, InitialMmapSize: segmentSize,
			FreelistType: bolt.FreelistMapType, NoStatistics: true,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = allocation(segmentSize)
	return db, nil
}

// create makes a new, empty segment under its final name.
func (o *Outbox) create(ab about) (*active, error) {
	dir := filepath.Join(o.dir, "segments")
	path := filepath.Join(dir, segmentName(ab.number))
	temp := path + ".new"
	_ = os.Remove(temp)
	db, err := openActive(temp, o.options.SegmentSize)
	if err != nil {
		return nil, err
	}
	err = update(db, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(bucketSegment)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(bucketRecords); err != nil {
			return err
		}
		if _, err := tx.CreateBucket(bucketBlobs); err != nil {
			return err
		}
		return b.Put(keyAbout, ab.encode())
	})
	if err == nil {
		err = durable.Rename(temp, path)
	}
	if err != nil {
		_ = db.Close()
		_ = os.Remove(temp)
		return nil, err
	}
	a := &active{db: db, seg: &segment{
		number: ab.number, epoch: ab.epoch, firstSeq: ab.first, prev: ab.prev, created: ab.created,
		next: ab.first, head: ab.prev,
	}}
	a.seg.size = a.size()
	return a, nil
}

// rollOver begins a new segment when the active one is of another UTC day, has
// no room for size bytes more, or when a new epoch is due.
func (o *Outbox) rollOver(size int64) error {
	o.mu.RLock()
	raise, epoch := o.raise, o.known.epoch+1
	seg := o.active.seg
	head := o.headLocked()
	o.mu.RUnlock()
	y, m, d := o.options.Now().UTC().Date()
	cy, cm, cd := seg.created.Date()
	switch {
	case raise != "":
		return o.roll(Head{Epoch: epoch, Next: 1}, raise)
	case seg.records() == 0:
		return nil
	case y != cy || m != cm || d != cd, seg.size+onDisk(size) > capacity(o.options.SegmentSize):
		return o.roll(head, "")
	}
	return nil
}

// roll makes a new active segment that continues with head. o.writing is held,
// or the outbox is not shared yet.
func (o *Outbox) roll(head Head, raised string) error {
	a, err := o.create(about{
		device: o.options.Device, number: o.known.segment + 1, epoch: head.Epoch,
		first: head.Next, prev: head.Prev, created: o.options.Now().UTC(),
	})
	if err != nil {
		return diskError("segment "+segmentName(o.known.segment+1), err)
	}
	o.handles.Lock()
	old := o.active
	if old != nil {
		old.seg.checked = false // it is opened again for reading, perhaps after weeks
	}
	o.active = a
	o.handles.Unlock()

	o.mu.Lock()
	var before *segment
	if n := len(o.segments); n > 0 {
		before = o.segments[n-1]
	}
	o.ledger.begin(before, account{a.seg.number, head.Epoch, head.Next, head.Next, true})
	o.segments = append(o.segments, a.seg)
	o.known.segment, o.known.epoch = a.seg.number, max(o.known.epoch, head.Epoch)
	if o.raise == raised { // else a receipt has said so since, and the next record obeys
		o.raise = ""
	}
	o.report.Epoch = head.Epoch
	if raised != "" {
		o.report.Raised = raised
	}
	o.mu.Unlock()

	// More witnesses, beside the file itself: without them the store is as good,
	// only the loss of the file would not be seen.
	if err := errors.Join(o.markNewest(mark{a.seg.number, head.Epoch, head.Next}), o.keepLedger()); err != nil {
		o.options.Log.Warn("outbox mark not written", "error", err)
	}
	if raised != "" {
		o.options.Log.Error("outbox epoch raised", "epoch", head.Epoch, "reason", raised)
	}
	if old != nil {
		if err := old.db.Close(); err != nil {
			o.options.Log.Warn("outbox segment not closed", "segment", old.seg.number, "error", err)
		}
	}
	return nil
}

// markNewest writes down how far the store has come, unless a receipt is ahead of
// that: then the mark is the receipt's, until the next record has obeyed it.
func (o *Outbox) markNewest(m mark) error {
	o.marking.Lock()
	defer o.marking.Unlock()
	o.mu.RLock()
	ahead := o.raise != ""
	o.mu.RUnlock()
	if ahead {
		return nil
	}
	return errors.Join(writeMark(o.dir, m), o.state.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketState).Put(keyMark, []byte(m.String()))
	}))
}

// drain is the one older segment that is open, for reading. Readers of older
// segments take turns.
type drain struct {
	sync.Mutex
	seg   *segment
	db    *bolt.DB
	reads atomic.Uint32
}

// close lets go of the segment. The mutex is held.
func (d *drain) close() {
	if d.db != nil {
		_ = d.db.Close() // opened for reading: nothing to lose
		d.seg, d.db = nil, nil
	}
}

// view implements source for the library.
func (o *Outbox) view(s *segment, fn func(t tree) error) error {
	o.handles.RLock()
	if o.active != nil && o.active.seg == s {
		defer o.handles.RUnlock()
		return read(o.active.db, &o.active.reads, fn)
	}
	open := o.active != nil
	o.handles.RUnlock()
	if !open {
		return ErrClosed
	}

	o.drain.Lock()
	defer o.drain.Unlock()
	if o.drain.seg != s {
		o.drain.close()
		if err := o.openDrain(s); err != nil {
			return err
		}
	}
	return read(o.drain.db, &o.drain.reads, fn)
}

// letGoEvery is after how many reads, of mostly one chunk each, the pages of a
// segment are let go of: 8 MB.
const letGoEvery = 128

// read looks into a segment. What is read stays in the kernel's cache, but not in
// the memory of this program, which would otherwise hold the whole segment once
// that has been sent.
func read(db *bolt.DB, reads *atomic.Uint32, fn func(t tree) error) error {
	return guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			if reads.Add(1)%letGoEvery == 0 {
				defer letGo(tx)
			}
			return fn(boltTree{tx})
		})
	})
}

// letGo takes the pages of a transaction's file out of this program's memory;
// whoever needs one gets it again from the file. The transaction keeps the file
// mapped where it is.
func letGo(tx *bolt.Tx) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}

// openDrain opens an older segment for reading; before the first time its
// structure is walked, since bbolt may not survive a damaged one.
func (o *Outbox) openDrain(s *segment) error {
	path := filepath.Join(o.dir, "segments", segmentName(s.number))
	if !s.checked {
		if err := checkFile(path); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("segment %s: %w", segmentName(s.number), ErrNotFound)
			}
			return o.lose(s, err)
		}
		s.checked = true
	}
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, ReadOnly: true, PageSize: pageSize, NoStatistics: true,
			FreelistType: bolt.FreelistMapType,
		})
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("segment %s: %w", segmentName(s.number), ErrNotFound)
	}
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, ErrDamaged) {
		return o.lose(s, err) // since it was walked
	}
	if err != nil {
		return diskError("segment "+segmentName(s.number), err)
	}
	o.drain.seg, o.drain.db = s, db
	return nil
}

// lose moves a segment aside that turned out damaged while the store was open.
func (o *Outbox) lose(s *segment, cause error) error {
	cause = fmt.Errorf("segment %s: %w: %w", segmentName(s.number), ErrDamaged, cause)
	to, err := moveAside(o.dir, filepath.Join("segments", segmentName(s.number)), cause)
	if err != nil {
		return errors.Join(cause, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.markLost(s)
	o.report.Moved = append(o.report.Moved, Trouble{to, cause.Error()})
	o.report.Missing = o.missing(o.ledger)
	o.options.Log.Error("outbox segment damaged", "moved", to, "error", cause)
	return cause
}

// checkFile walks the structure of a bbolt file without bbolt.
func checkFile(path string) error {
	return readPages(path, func(p *pageFile) error { return p.check() })
}

// checkBolt lets bbolt check a file whose structure has been walked.
func checkBolt(path string) error {
	return guard(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true, PreLoadFreelist: true, PageSize: pageSize})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bolt.Tx) error {
			var found error
			for err := range tx.Check() { // to the end, or its goroutine would stay
				if found == nil {
					found = err
				}
			}
			return found
		})
	})
}

// inspectSegment reads what a segment file says about itself, and how far its
// records go.
func inspectSegment(path string, device evidence.DeviceID) (s *segment, err error) {
	err = readPages(path, func(p *pageFile) error {
		b, err := p.value(keyAbout, bucketSegment)
		if err != nil {
			return err
		}
		ab, err := parseAbout(b)
		if err != nil {
			return err
		}
		if ab.device != device {
			return fmt.Errorf("segment of device %v", ab.device)
		}
		s = &segment{
			number: ab.number, epoch: ab.epoch, firstSeq: ab.first, prev: ab.prev, created: ab.created,
			next: ab.first, head: ab.prev, size: int64(p.meta.pages) * pageSize, torn: !p.whole,
		}
		return p.ends(s)
	})
	return s, err
}

// ends finds the first and the last record of a segment.
func (f *pageFile) ends(s *segment) error {
	root, err := f.open(bucketRecords)
	if err != nil {
		return err
	}
	if root == nil {
		return errors.New("no bucket of records")
	}
	for i, pick := range []func(*page) (int, error){first, last} {
		leaf, e, err := f.find(root, pick)
		if err != nil {
			return err
		}
		if leaf == nil {
			return nil
		}
		k, err := leaf.key(e)
		if err != nil {
			return err
		}
		seq, ok := parseNumber(k)
		if !ok || i == 0 && seq != s.firstSeq || seq < s.firstSeq || seq-s.firstSeq >= f.meta.pages*pageSize/entryHead {
			return fmt.Errorf("record with key %x in a segment that begins with %d", k, s.firstSeq)
		}
		if i == 1 {
			v, err := leaf.value(e)
			if err != nil {
				return err
			}
			s.next = seq + 1
			if last, err := parseEntry(v); err != nil {
				s.headless = fmt.Errorf("record %d, the last: %w", seq, err)
			} else {
				s.head = last.link
			}
		}
	}
	return nil
}
