package record_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
)

func TestMain(m *testing.M) { portaltest.Main(m) }

func open(t *testing.T, dir string) *record.Store {
	t.Helper()
	s, err := record.OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
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
	}
}

func TestFailedUpdateLeavesNothing(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	s := open(t, t.TempDir())
	failure := errors.New("stop")
	err := s.Update(t.Context(), func(tx *record.Tx) error {
		return errors.Join(tx.Seen(d.ID, time.Now()), failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if _, err := s.Device(t.Context(), d.ID); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("device: %v, want not found", err)
	}
}

func TestBlobIsHashedWhenRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	blob := []byte("a picture")
	hash := evidence.Hash(sha256.Sum256(blob))
	if err := s.Blobs().Put(t.Context(), hash, blob); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(t.Context(), hash); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("before any transaction names it: %v", err)
	}
	if err := s.Update(t.Context(), func(tx *record.Tx) error { return tx.Blob(hash, uint64(len(blob)), time.Now()) }); err != nil {
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
		if _, err := s.Blob(t.Context(), hash); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("%q: %v, want damaged", bad, err)
		}
	}
}

// Hashes come in the order in which they are asked for, however many.
func TestHashesOfTheLog(t *testing.T) {
	s := portaltest.OpenStore(t, t.TempDir())
	t.Cleanup(func() { s.Close() })
	const all = 600
	stored := make([]tlog.Hash, all)
	for i := range stored {
		stored[i] = sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	}
	if err := s.Update(t.Context(), func(tx *record.Tx) error { return tx.LogHashes(0, stored) }); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 2, 3, 255, 256, 257, 599} {
		positions := make([]int64, n)
		for i := range positions {
			positions[i] = int64((i*7 + 3) % all)
		}
		if n > 2 {
			positions[2] = positions[0]
		}
		got, err := s.Hashes(t.Context()).ReadHashes(positions)
		if err != nil || len(got) != n {
			t.Fatalf("%d hashes: %d, %v", n, len(got), err)
		}
		for i, p := range positions {
			if got[i] != stored[p] {
				t.Fatalf("%d hashes: number %d is another", n, i)
			}
		}
	}
	if _, err := s.Hashes(t.Context()).ReadHashes([]int64{1, all, 2}); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
}
