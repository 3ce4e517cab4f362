package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/capture/evidence"
)

// TestFullAndReadOnlyFileSystem uses a small file system of its own, which takes
// root. Without, the limit on file sizes in the other test has to do.
func TestFullAndReadOnlyFileSystem(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=6m"); err != nil {
		t.Skip("mounting a file system:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	b := &bed{TB: t, dir: filepath.Join(mount, "outbox"), now: noon, device: newSigner(t), centre: newSigner(t)}
	b.options = Options{Device: device, SegmentSize: MinSegmentSize, Reserve: 1 << 20, Now: func() time.Time { return b.now }}
	b.open()
	defer func() { b.shut() }()

	blobs := childBlobs(1)
	var all []stored
	for {
		s, err := b.tryViolate(evidence.KindTest, blobs...)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stored{s, blobs})
	}
	if len(all) < 8 || b.Room(true) || !b.Room(false) {
		t.Errorf("full after %d records, room %v and %v", len(all), b.Room(true), b.Room(false))
	}
	all = append(all, stored{Sealed: b.beat()}) // the reserve

	// Somebody else takes the rest, to the last page.
	ballast := filepath.Join(mount, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for page := make([]byte, pageSize); err == nil; {
		_, err = f.Write(page)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryBeat(); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want %v", err, ErrFull)
	}
	before := b.Stats()
	s, err := b.AppendPrepared(nil, &Prepared{}) // not even tried
	if s != nil || !errors.Is(err, ErrMismatch) {
		t.Error(s, err)
	}
	// Past the check of free space, the disk itself says no.
	for range 30 {
		b.writing.Lock()
		s, err := evidence.Seal(heartbeat(b.Head(), noon), b.device)
		if err == nil {
			err = b.store(s, &Prepared{})
		}
		b.writing.Unlock()
		if err == nil {
			all = append(all, stored{Sealed: s})
			continue
		}
		if !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("error %v, want %v", err, ErrFull)
		}
	}
	if n := b.verify(all); n != len(all) || b.Stats().Records < before.Records {
		t.Errorf("%d of %d records whole", n, len(all))
	}
	b.crash()
	b.open() // a full disk does not keep the store from opening
	if n := b.verify(all); n != len(all) {
		t.Errorf("%d of %d records whole", n, len(all))
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	all = append(all, stored{Sealed: b.beat()})

	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", mount, "tmpfs", unix.MS_REMOUNT|flags, "size=6m"); err != nil {
			t.Skip("a file system with open files cannot be made read-only here:", err)
		}
	}
	b.shut()
	remount(unix.MS_RDONLY)
	if _, err := Open(b.dir, b.options); !errors.Is(err, ErrReadOnly) {
		t.Errorf("error %v, want %v", err, ErrReadOnly)
	}
	v, err := OpenView(b.dir, device)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.verifyView(v, all); n != len(all) {
		t.Errorf("%d of %d records whole in the view", n, len(all))
	}
	remount(0)
	b.open()
	b.beat()
}

// TestFileCutWhileMapped truncates a segment that is mapped: reading past the
// end is a fault of the processor, and must stay an error.
func TestFileCutWhileMapped(t *testing.T) {
	b := newBed(t)
	blobs := childBlobs(1)
	lost := b.violate(evidence.KindTest, blobs...)
	b.now = noon.AddDate(0, 0, 1)
	kept := b.violate(evidence.KindTest, blobs...)
	b.holds(lost, blobs...) // opens it for reading
	truncate(t, segmentPath(b.dir, 1), 2*pageSize)
	if _, err := b.Record(key(lost)); !errors.Is(err, ErrDamaged) {
		t.Errorf("record: error %v", err)
	}
	if _, err := b.Blob(key(lost), 0); !errors.Is(err, ErrDamaged) {
		t.Errorf("blob: error %v", err)
	}
	items, err := b.Unsettled(Key{}, 10)
	if err != nil || len(items) != 1 || items[0].ID != kept.ID {
		t.Errorf("offered %+v, error %v", items, err)
	}
	b.holds(kept, blobs...)
	b.beat()
}

// TestStateCutWhileMapped truncates state.db, which is mapped: no receipt can be
// stored any more, but every call returns, however often it is tried.
func TestStateCutWhileMapped(t *testing.T) {
	for _, kept := range []int64{2, 3, 4, 6} { // other pages are left each time: the free list's may be
		t.Run(fmt.Sprint(kept, " pages left"), func(t *testing.T) {
			b := newBed(t)
			var all []*evidence.Sealed
			for range 12 {
				all = append(all, b.beat())
			}
			for _, s := range all[:6] { // each moves the pages in use
				b.settle(s)
			}
			truncate(t, filepath.Join(b.dir, stateName), kept*pageSize)
			for i, s := range all[6:9] {
				err := b.returns(fmt.Sprint("Settle ", i+1), func() error {
					_, err := b.Settle(b.receipt(s))
					return err
				})
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("time %d: error %v, want %v", i+1, err, ErrDamaged)
				}
			}
			if st := b.Stats(); st.Unsettled != 6 {
				t.Errorf("%d unsettled, want 6", st.Unsettled)
			}
			err := b.returns("Append", func() error { _, err := b.tryBeat(); return err })
			if err != nil {
				t.Errorf("a record does not need state.db: %v", err)
			}
			if err := b.returns("Close", b.Close); err != nil {
				t.Error(err)
			}
			b.Outbox = nil
		})
	}
}

// TestSegmentCutWhileInDoubt truncates the newest segment when its last commit is
// in doubt: the commit that is to make certain of it faults. Whether the record
// is there stays unknown, but every call returns.
func TestSegmentCutWhileInDoubt(t *testing.T) {
	b := newBed(t)
	b.beat()
	fail := failing{after: 1}
	b.commit = func(tx committer) error {
		if fail.after == 0 {
			truncate(t, segmentPath(b.dir, 1), 2*pageSize)
		}
		return fail.commit(tx)
	}
	for i := range 3 {
		err := b.returns(fmt.Sprint("Append ", i+1), func() error { _, err := b.tryBeat(); return err })
		if !errors.Is(err, ErrUncertain) || !errors.Is(err, ErrDamaged) {
			t.Errorf("time %d: error %v, want %v and %v", i+1, err, ErrUncertain, ErrDamaged)
		}
	}
	if err := b.returns("Close", b.Close); !errors.Is(err, ErrUncertain) {
		t.Errorf("close: error %v, want %v", err, ErrUncertain)
	}
	b.Outbox = nil
}
