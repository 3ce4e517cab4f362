package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/portaltest"
	"ciglio/portal/store"
	"ciglio/uplink/wire"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// partial opens the partial blob of a device and returns its chunks with it.
func partial(t *testing.T, s *store.Store, d *portaltest.Device, blob []byte) (*store.Partial, []wire.Chunk) {
	t.Helper()
	p, err := s.OpenPartial(d.ID, sha256.Sum256(blob), uint64(len(blob)))
	if err != nil {
		t.Fatal(err)
	}
	var chunks []wire.Chunk
	for i := range wire.ChunkCount(uint64(len(blob))) {
		chunks = append(chunks, wire.CutChunk(sha256.Sum256(blob), blob, i))
	}
	return p, chunks
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// A folder may be named as people name it: SQLite gets it inside a URI.
func TestFolderNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"centre", "./a/b", "with space", "per%20cent", "question?mode=memory", "hash#1", "città"} {
		if err := open(t, dir).Close(); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "portal.db")); err != nil {
			t.Error(err)
		}
		if err := store.Backup(t.Context(), dir, dir+"-copy"); err != nil {
			t.Errorf("backup of %s: %v", dir, err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	setVersion(t, dir, 99)
	if _, err := store.Open(dir); err == nil {
		t.Error("a database of a newer program was opened")
	}
}

func TestFailedUpdateLeavesNothing(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	s := open(t, t.TempDir())
	failure := errors.New("stop")
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.Seen(d.ID, time.Now()), failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if _, err := s.Device(t.Context(), d.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("device: %v, want not found", err)
	}
}

func TestPartialTellsAfterAPowerCutWhatIsThere(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	blob := portaltest.Bytes(1, 3*wire.ChunkData+100)
	length := int64(len(blob))
	full := []wire.Range{{From: 0, To: uint64(length)}}
	for _, row := range []struct {
		name   string
		damage func(*os.File) error
		want   []wire.Range
	}{
		{"nothing happened", func(*os.File) error { return nil }, full},
		{"a chunk's data did not reach the disk", func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, 4096), wire.ChunkData)
			return err
		}, []wire.Range{{From: 0, To: wire.ChunkData}, {From: 2 * wire.ChunkData, To: uint64(length)}}},
		{"an entry of the table did not", func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, 8), length)
			return err
		}, []wire.Range{{From: wire.ChunkData, To: uint64(length)}}},
		{"the table did not", func(f *os.File) error { return f.Truncate(length + 3) }, nil},
		{"finishing was cut off", func(f *os.File) error { return f.Truncate(length) }, full},
		{"the end of the data did not", func(f *os.File) error { return f.Truncate(length - 1) }, nil},
		{"the file is empty", func(f *os.File) error { return f.Truncate(0) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			p, chunks := partial(t, s, d, blob)
			for _, c := range chunks {
				if err := p.Put(c); err != nil {
					t.Fatal(err)
				}
			}
			if !p.Whole() || !slices.Equal(p.Ranges(), full) {
				t.Fatalf("ranges = %v", p.Ranges())
			}
			names, err := filepath.Glob(filepath.Join(dir, "partial", "*"))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			f, err := os.OpenFile(names[0], os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(row.damage(f), f.Close()); err != nil {
				t.Fatal(err)
			}
			p, chunks = partial(t, s, d, blob)
			if !slices.Equal(p.Ranges(), row.want) {
				t.Errorf("ranges = %v, want %v", p.Ranges(), row.want)
			}
			for _, c := range chunks {
				if err := p.Put(c); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Finish(); err != nil {
				t.Fatal(err)
			}
			hash := evidence.Hash(sha256.Sum256(blob))
			if !s.Orphan(hash, uint64(length)) || s.Orphan(hash, uint64(length)-1) {
				t.Error("the blob is not under its name")
			}
		})
	}
}

// A blob whose name may not outlive a power cut is not taken for stored.
func TestOrphanIsDurable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every folder")
	}
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := open(t, dir)
	blob := portaltest.Bytes(1, 100)
	hash := evidence.Hash(sha256.Sum256(blob))
	p, chunks := partial(t, s, d, blob)
	if err := p.Put(chunks[0]); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "blobs", hash.String()[:2])
	if err := os.Chmod(folder, 0o300); err != nil { // a name can be made in it, and not synced
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(folder, 0o700) })
	if err := p.Finish(); err == nil {
		t.Fatal("finished in a folder that cannot be synced")
	}
	if !s.OnDisk(hash, 100) || s.Orphan(hash, 100) {
		t.Error("a name that was never synced is taken for durable")
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if !s.Orphan(hash, 100) {
		t.Error("a whole blob is not taken up")
	}
}

// After a sync has failed the next one may succeed without what was lost.
func TestBlobThatCannotBeSyncedComesAgain(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := open(t, dir)
	p, chunks := partial(t, s, d, make([]byte, 100))
	if err := p.Put(chunks[0]); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "partial", d.ID.String()+"-"+chunks[0].Blob.String())
	if err := errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)); err != nil { // has the bytes, and no sync
		t.Fatal(err)
	}
	if err := p.Finish(); err == nil {
		t.Fatal("finished without a sync")
	}
	if p.Whole() {
		t.Error("what could not be synced is kept")
	}
	if err := errors.Join(p.Put(chunks[0]), p.Finish()); err != nil {
		t.Error(err)
	}
}

func TestBlobIsHashedWhenRead(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := open(t, dir)
	blob := []byte("a picture")
	hash := evidence.Hash(sha256.Sum256(blob))
	p, chunks := partial(t, s, d, blob)
	if err := errors.Join(p.Put(chunks[0]), p.Finish()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(t.Context(), hash); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before any transaction names it: %v", err)
	}
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.Blob(hash, uint64(len(blob)), time.Now()) }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Blob(t.Context(), hash); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("blob = %q, %v", got, err)
	}
	path := filepath.Join(dir, "blobs", hash.String()[:2], hash.String()[2:])
	for _, bad := range []string{"a pictura", "a pict", ""} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Blob(t.Context(), hash); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%q: %v, want damaged", bad, err)
		}
	}
}

// A backup says what is damaged or lost, and has everything else.
func TestBackupTellsDamageAndGoesOn(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := open(t, dir)
	path := func(dir string, hash evidence.Hash) string {
		return filepath.Join(dir, "blobs", hash.String()[:2], hash.String()[2:])
	}
	var hashes []evidence.Hash
	for i := range 12 {
		blob := portaltest.Bytes(uint64(i), 1000)
		hashes = append(hashes, sha256.Sum256(blob))
		p, chunks := partial(t, s, d, blob)
		err := errors.Join(p.Put(chunks[0]), p.Finish(), s.Update(t.Context(), func(tx *store.Tx) error {
			return tx.Blob(hashes[i], uint64(len(blob)), time.Now())
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name   string
		damage func(evidence.Hash) error
		bad    int // of the hashes, from the first
		more   string
	}{
		{"all good", nil, 0, ""},
		{"a blob cut short", func(h evidence.Hash) error { return os.Truncate(path(dir, h), 10) }, 1, ""},
		{"others lost", func(h evidence.Hash) error { return os.Remove(path(dir, h)) }, 8, "in the copy: 8"},
	} {
		for i := range row.bad {
			if err := row.damage(hashes[i]); err != nil {
				t.Fatal(err)
			}
		}
		dest := filepath.Join(t.TempDir(), "copy")
		err := store.Backup(t.Context(), dir, dest)
		if errors.Is(err, store.ErrDamaged) != (row.bad > 0) || err != nil && !strings.Contains(err.Error(), row.more) {
			t.Errorf("%s: %v", row.name, err)
		}
		for _, h := range hashes[:row.bad] {
			if !strings.Contains(err.Error(), h.String()) {
				t.Errorf("%s: %v, want it to name %v", row.name, err, h)
			}
		}
		for i, h := range hashes {
			if _, err := os.Stat(path(dest, h)); (err == nil) != (i >= row.bad) {
				t.Errorf("%s: blob %d in the copy: %v", row.name, i, err)
			}
		}
	}
}

func TestUnwantedPartialsAreDropped(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := open(t, dir)
	keep, drop := []byte("keep"), []byte("drop")
	for _, blob := range [][]byte{keep, drop} {
		p, chunks := partial(t, s, d, blob)
		if err := p.Put(chunks[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "partial", "something else"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.DropPartials(func(id evidence.DeviceID, h evidence.Hash) bool {
		return id == d.ID && h == sha256.Sum256(keep)
	}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "partial"))
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"first", "second"} {
		if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("file = %q, %v", got, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
