package portaltest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ciglio/portal/blob"
	"ciglio/portal/blob/blobtest"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/record"
)

// Servers reports whether tests of the centre run on PostgreSQL and an S3 store:
// CIGLIO_STORES=servers. Otherwise they run on SQLite and a folder.
func Servers() bool { return os.Getenv("CIGLIO_STORES") == "servers" }

// OnOneDisk skips a test of what only SQLite or a folder has.
func OnOneDisk(t testing.TB, why string) {
	t.Helper()
	if Servers() {
		t.Skip(why)
	}
}

// Main runs the tests of a package that uses [OpenStore], and ends the servers.
func Main(m *testing.M) {
	code := m.Run()
	databasetest.Stop()
	blobtest.Stop()
	os.Exit(code)
}

// Stores says where the store of a centre is.
type Stores struct {
	Database string          // address of [database.Open]
	S3       *blob.S3Options // nil for a folder
}

var (
	storesMu sync.Mutex
	stores   = map[string]Stores{}
)

// StoresOf says where the store of the centre in dir is. That of servers is made
// when it is first asked for, and ends with the test.
func StoresOf(t testing.TB, dir string) Stores {
	t.Helper()
	if !Servers() {
		return Stores{Database: filepath.Join(dir, record.DatabaseName)}
	}
	storesMu.Lock()
	defer storesMu.Unlock()
	s, known := stores[dir]
	if !known {
		sum := sha256.Sum256([]byte(dir))
		bucket := blobtest.Bucket(t)
		s = Stores{Database: databasetest.Create(t, "centre"+hex.EncodeToString(sum[:12])), S3: &bucket}
		stores[dir] = s
		t.Cleanup(func() {
			storesMu.Lock()
			defer storesMu.Unlock()
			delete(stores, dir)
		})
	}
	return s
}

// OpenStore opens the store of the centre in dir.
func OpenStore(t testing.TB, dir string) *record.Store {
	t.Helper()
	s, err := TryStore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TryStore is [OpenStore] that may fail.
func TryStore(t testing.TB, dir string) (*record.Store, error) {
	t.Helper()
	at := StoresOf(t, dir)
	if at.S3 == nil {
		return record.OpenFolder(t.Context(), dir)
	}
	blobs, err := blob.OpenS3(t.Context(), *at.S3)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(t.Context(), at.Database, database.Options{})
	if err != nil {
		return nil, err
	}
	s, err := record.Open(t.Context(), db, blobs)
	if err != nil {
		db.Close()
	}
	return s, err
}

// Execute changes the database of the centre in dir behind its back.
func Execute(t testing.TB, dir, text string, args ...any) {
	t.Helper()
	databasetest.Execute(t, StoresOf(t, dir).Database, text, args...)
}
