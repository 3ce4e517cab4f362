// Package store keeps what the centre has received: records, blobs, receipts,
// statements and the hashes of the log, in one directory.
//
//	portal.db      SQL: SQLite in WAL mode, synchronous FULL
//	blobs/ab/cdef… each blob under its SHA-256, written once, never changed
//	partial/       blobs of which only some chunks have come
//	lock           held by the one process that writes
//
// A blob is on disk, synced and under its final name before the transaction
// that names it. After a power cut there may be a blob that no transaction
// names; it is harmless, and taken up when a record asks for it again. What
// [Store.Update] has returned nil for is on disk.
//
// There is one writer at a time. Everything else is safe for concurrent use.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver of database/sql that open names

	"ciglio/internal/durable"
)

// ErrLocked is returned when another process has the directory open.
var ErrLocked = errors.New("the store is open in another process")

// ErrNotFound says that the store does not have what was asked for.
var ErrNotFound = errors.New("not in the store")

// ErrDamaged says that stored bytes no longer have the hash they are stored
// under.
var ErrDamaged = errors.New("stored bytes are damaged")

const (
	databaseName = "portal.db"
	blobFolder   = "blobs"
	partFolder   = "partial"
	lockName     = "lock"
)

// A Store is an open directory.
type Store struct {
	dir   string
	lock  *os.File
	write *sql.DB // one connection
	read  *sql.DB
	stmts statements
}

// Open opens the store in dir and makes what is missing in it.
func Open(dir string) (s *Store, err error) {
	s = &Store{dir: dir}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	if err := s.makeFolders(); err != nil {
		return s, err
	}
	s.lock, err = durable.Lock(filepath.Join(dir, lockName))
	if errors.Is(err, durable.ErrLocked) {
		return s, fmt.Errorf("store %s: %w", dir, ErrLocked)
	}
	if err != nil {
		return s, err
	}
	path := filepath.Join(dir, databaseName)
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if _, err := os.Stat(name); name != path && errors.Is(err, os.ErrNotExist) {
			continue // made with the mode of the database
		}
		if err := private(name); err != nil {
			return s, err
		}
	}
	if s.write, err = open(path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)"},
	}); err != nil {
		return s, err
	}
	s.write.SetMaxOpenConns(1)
	if err := migrate(s.write); err != nil {
		return s, fmt.Errorf("store %s: %w", path, err)
	}
	if s.read, err = open(path, url.Values{"_pragma": {"busy_timeout(10000)", "query_only(1)"}}); err != nil {
		return s, err
	}
	s.read.SetMaxOpenConns(8)
	s.read.SetMaxIdleConns(8)
	if err := s.prepare(); err != nil {
		return s, fmt.Errorf("store %s: %w", path, err)
	}
	// The database file itself may be new.
	return s, durable.SyncFolder(dir)
}

func open(path string, options url.Values) (*sql.DB, error) {
	// The first word of a relative path would be taken for a host.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String())
}

// migrate brings the schema to the present version, each step a transaction.
func migrate(db *sql.DB) error {
	if _, err := db.Exec(`CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)`); err != nil {
		return err
	}
	var version int
	if err := db.QueryRow(`SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("schema version %d is newer than this program's %d", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		for _, text := range migrations[version] {
			if _, err = tx.Exec(text); err != nil {
				break
			}
		}
		if err == nil {
			_, err = tx.Exec(`INSERT INTO schema_version (version) VALUES ($1)`, version+1)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("schema version %d: %w", version+1, err), tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// makeFolders makes every folder that a blob can lie in, so that storing a blob
// syncs one folder only.
func (s *Store) makeFolders() error {
	if err := os.MkdirAll(filepath.Join(s.dir, partFolder), 0o700); err != nil {
		return err
	}
	blobs := filepath.Join(s.dir, blobFolder)
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return err
	}
	made := false
	for i := range 256 {
		err := os.Mkdir(filepath.Join(blobs, fmt.Sprintf("%02x", i)), 0o700)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		made = made || err == nil
	}
	if !made {
		return nil
	}
	return errors.Join(durable.SyncFolder(blobs), durable.SyncFolder(s.dir))
}

// Close ends the store. Nothing is lost without it.
func (s *Store) Close() error {
	var errs []error
	errs = append(errs, s.stmts.close())
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Update runs fn in one transaction and commits it. When fn or the commit
// fails, nothing of it remains. Updates run one after the other.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(&Tx{ctx: ctx, tx: tx, stmts: &s.stmts}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Check asks the database whether it can be read, for health pages.
func (s *Store) Check(ctx context.Context) error {
	var version int
	return s.read.QueryRowContext(ctx, `SELECT MAX(version) FROM schema_version`).Scan(&version)
}
