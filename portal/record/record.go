// Package record keeps what devices have sent, as rows: records and their chains,
// disputes, receipts, statements, which blob was sent for which record, what was
// refused, and the hashes of the log. Bytes of pictures and traces lie in a
// [blob.Store].
//
// A blob is stored durably before the transaction that names it. After a power
// cut there may be one that no transaction names; it is harmless, and taken up
// when a record asks for it again. What [Store.Update] has returned nil for is on
// disk.
//
// SQL stands above its one function. A list reads columns and opens no record.
package record

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/database"
)

// ErrNotFound says that the store does not have what was asked for.
var ErrNotFound = database.ErrAbsent

// ErrDamaged says that stored bytes no longer have the hash they are stored
// under.
var ErrDamaged = blob.ErrDamaged

// A Store is what devices have sent. It is safe for concurrent use.
type Store struct {
	db    *database.DB
	blobs blob.Store
}

// owner is whose steps those of this package are.
const owner = "record"

// Schema is that of this package, for whoever copies all tables.
func Schema() database.Schema { return database.Schema{Owner: owner, Steps: steps} }

// Open brings the tables to their last step.
func Open(ctx context.Context, db *database.DB, blobs blob.Store) (*Store, error) {
	if err := db.Adopt(ctx, owner); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, owner, steps); err != nil {
		return nil, err
	}
	return &Store{db: db, blobs: blobs}, nil
}

// What lies in the folder of a centre that has all of it on one disk.
const (
	DatabaseName = "portal.db"
	BlobFolder   = "blobs"
)

// OpenFolder opens the store of a centre that has all of it in the folder dir: on
// SQLite, with its blobs beside it. What is missing is made.
func OpenFolder(ctx context.Context, dir string) (*Store, error) {
	blobs, err := blob.OpenFolder(filepath.Join(dir, BlobFolder))
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, filepath.Join(dir, DatabaseName), database.Options{})
	if err != nil {
		return nil, err
	}
	s, err := Open(ctx, db, blobs)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close ends the use of the database. Nothing is lost without it.
func (s *Store) Close() error { return s.db.Close() }

// Blobs returns where the bytes lie.
func (s *Store) Blobs() blob.Store { return s.blobs }

// Database returns the database, for leases and for those who listen.
func (s *Store) Database() *database.DB { return s.db }

// A Tx is one transaction of [Store.Update]. It is valid until the function it
// was given to returns.
//
// What it changes goes to the database with the next question, or at the end: an error
// of it may come later than the call.
type Tx struct {
	ctx     context.Context
	tx      *database.Tx
	pending database.Batch
	seats   map[Seat]*sitting
}

// Update runs fn in one transaction, as [database.DB.Update] does: fn may run
// again, and touches nothing but its transaction.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	return s.db.Update(ctx, run(ctx, fn))
}

// Under runs fn in one transaction under a lease, as [database.DB.Under] does.
func (s *Store) Under(ctx context.Context, l database.Lease, fn func(*Tx) error) error {
	return s.db.Under(ctx, l, run(ctx, fn))
}

func run(ctx context.Context, fn func(*Tx) error) func(*database.Tx) error {
	return func(tx *database.Tx) error {
		t := &Tx{ctx: ctx, tx: tx, seats: make(map[Seat]*sitting)}
		if err := fn(t); err != nil {
			return err
		}
		return t.flush()
	}
}

func (t *Tx) exec(text string, args ...any) error {
	t.pending.Exec(text, args...)
	return nil
}

// flush sends what is pending.
func (t *Tx) flush() error {
	_, err := t.changed()
	return err
}

// changed sends what is pending and returns how many rows that has changed.
func (t *Tx) changed() (int64, error) {
	b := t.pending
	t.pending = database.Batch{}
	return t.tx.Send(t.ctx, &b)
}

func (t *Tx) row(text string, args []any, into ...any) error {
	if err := t.flush(); err != nil {
		return err
	}
	return t.tx.Row(t.ctx, text, args, into...)
}

// all reads all rows of a query of a transaction.
func all[T any](t *Tx, text string, args []any, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	return list(t.ctx, t.tx, text, args, scan)
}

// Check asks the database and the blob store whether they can be read, for health
// pages.
func (s *Store) Check(ctx context.Context) error {
	return errors.Join(s.db.Check(ctx), s.blobs.Check(ctx))
}

const selectBlobLength = `SELECT length FROM blobs WHERE sha256 = $1`

// BlobLength returns the length in bytes of a blob that a transaction names;
// otherwise the error wraps [ErrNotFound].
func (s *Store) BlobLength(ctx context.Context, hash evidence.Hash) (uint64, error) {
	var length int64
	err := s.db.Row(ctx, selectBlobLength, []any{hash[:]}, &length)
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", hash, err)
	}
	return uint64(length), nil
}

// Blob returns the bytes of a blob. They are hashed on the way: the error wraps
// [ErrDamaged] when they are not what was stored, [ErrNotFound] when no
// transaction names the blob.
func (s *Store) Blob(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	length, err := s.BlobLength(ctx, hash)
	if err != nil {
		return nil, err
	}
	return s.blobs.Get(ctx, hash, length)
}

// MapBlob returns a blob that counts for a record: one that was sent for it. The
// bytes are hashed first. The errors are those of [Store.Blob]; a blob that was
// sent for another record alone is not found.
func (s *Store) MapBlob(ctx context.Context, r *Record, hash evidence.Hash) (*blob.Mapped, error) {
	length, err := s.BlobLength(ctx, hash)
	if err != nil {
		return nil, err
	}
	if r.State != Complete {
		senders, err := s.Senders(ctx, hash)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(senders, r.ID) {
			return nil, fmt.Errorf("blob %s: not sent for record %s: %w", hash, r.ID, ErrNotFound)
		}
	}
	return s.blobs.Map(ctx, hash, length)
}

// list reads all rows of a query.
func list[T any](ctx context.Context, r database.Reader, text string, args []any, scan func(*sql.Rows) (T, error)) ([]T, error) {
	rows, err := r.Query(ctx, text, args...)
	return database.Scan(rows, err, scan)
}

// words are text that a column of text takes: what devices say may be anything.
func words(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
