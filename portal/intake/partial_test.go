package intake_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/intake"
	"ciglio/portal/portaltest"
	"ciglio/uplink/wire"
)

// spool opens the spool of a folder, with blobs beside it.
func spool(t *testing.T, dir string) *intake.Spool {
	t.Helper()
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := intake.OpenSpool(filepath.Join(dir, "partial"), blobs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// confirm reports whether a whole blob lies beside the spool of a folder.
func confirm(t *testing.T, dir string, hash evidence.Hash, length uint64) bool {
	t.Helper()
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := blobs.Confirm(t.Context(), hash, length)
	return whole && err == nil
}

// partial opens the partial blob of a device and returns its chunks with it.
func partial(t *testing.T, s *intake.Spool, d *portaltest.Device, blob []byte) (*intake.Partial, []wire.Chunk) {
	t.Helper()
	p, err := s.Open(d.ID, sha256.Sum256(blob), uint64(len(blob)))
	if err != nil {
		t.Fatal(err)
	}
	var chunks []wire.Chunk
	for i := range wire.ChunkCount(uint64(len(blob))) {
		chunks = append(chunks, wire.CutChunk(sha256.Sum256(blob), blob, i))
	}
	return p, chunks
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
			s := spool(t, dir)
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
			if err := p.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			hash := evidence.Hash(sha256.Sum256(blob))
			if !confirm(t, dir, hash, uint64(length)) || confirm(t, dir, hash, uint64(length)-1) {
				t.Error("the blob is not under its name")
			}
		})
	}
}

// After a sync has failed the next one may succeed without what was lost.
func TestBlobThatCannotBeSyncedComesAgain(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := spool(t, dir)
	p, chunks := partial(t, s, d, make([]byte, 100))
	if err := p.Put(chunks[0]); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "partial", d.ID.String()+"-"+chunks[0].Blob.String())
	if err := errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)); err != nil { // has the bytes, and no sync
		t.Fatal(err)
	}
	if err := p.Finish(t.Context()); err == nil {
		t.Fatal("finished without a sync")
	}
	if p.Whole() {
		t.Error("what could not be synced is kept")
	}
	if err := errors.Join(p.Put(chunks[0]), p.Finish(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestUnwantedPartialsAreDropped(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := t.TempDir()
	s := spool(t, dir)
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
	if err := s.Keep(func(id evidence.DeviceID, h evidence.Hash) bool {
		return id == d.ID && h == sha256.Sum256(keep)
	}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "partial"))
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
