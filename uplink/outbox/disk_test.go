package outbox

import (
	"errors"
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
