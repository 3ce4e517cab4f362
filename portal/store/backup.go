package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// A DamageError names everything that a copy lacks, or holds damaged. It wraps
// [ErrDamaged].
type DamageError struct{ Things []string }

// Error counts the things and names each on a line of its own.
func (e *DamageError) Error() string {
	return fmt.Sprintf("missing or damaged in the copy: %d\n%s", len(e.Things), strings.Join(e.Things, "\n"))
}

// Unwrap returns [ErrDamaged].
func (e *DamageError) Unwrap() error { return ErrDamaged }

// Backup writes a consistent copy of the store in dir, which may be open in a
// running process, to the new or empty folder dest. Blobs that have come only in
// part are left out: their devices send them again. So are those that are lost,
// damaged or unreadable. Then every record of the copy is looked at. What is wrong
// is named in a [*DamageError], records with the blobs they lack, and all the rest
// is copied.
func Backup(ctx context.Context, dir, dest string) error {
	if err := os.MkdirAll(dest, 0o700); err != nil {
		return err
	}
	left, err := os.ReadDir(dest)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("backup folder %s: not empty", dest)
	}
	if _, err := os.Stat(filepath.Join(dir, databaseName)); err != nil {
		return err
	}
	copied := filepath.Join(dest, databaseName)
	if err := private(copied); err != nil {
		return err
	}
	// The database first: every blob it names is on disk already and stays.
	if err := copyDatabase(ctx, filepath.Join(dir, databaseName), copied); err != nil {
		return err
	}
	backup := &Store{dir: dest}
	if err := backup.makeFolders(); err != nil {
		return err
	}
	db, err := open(copied, url.Values{"_pragma": {"query_only(1)"}})
	if err != nil {
		return err
	}
	defer db.Close()
	bad, err := copyBlobs(ctx, db, filepath.Join(dir, blobFolder), filepath.Join(dest, blobFolder))
	if err != nil {
		return err
	}
	things, err := examine(ctx, db, bad)
	if err != nil {
		return err
	}
	if len(things) > 0 {
		return &DamageError{things}
	}
	return nil
}

func copyDatabase(ctx context.Context, from, to string) error {
	db, err := open(from, url.Values{"_pragma": {"busy_timeout(10000)"}})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, to); err != nil {
		return fmt.Errorf("%s: %w", databaseName, err)
	}
	return durable.SyncFile(to)
}

// copyBlobs copies all that can be read, and returns what is wrong with the others.
func copyBlobs(ctx context.Context, db *sql.DB, from, to string) (bad map[evidence.Hash]error, err error) {
	rows, err := db.QueryContext(ctx, `SELECT sha256, length FROM blobs`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	bad = map[evidence.Hash]error{}
	for rows.Next() {
		var hash []byte
		var length int64
		if err := rows.Scan(&hash, &length); err != nil {
			return nil, err
		}
		switch err := copyBlob(from, to, evidence.Hash(hash), uint64(length)); {
		case errors.Is(err, ErrDamaged):
			bad[evidence.Hash(hash)] = err
		case err != nil:
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range 256 {
		if err := durable.SyncFolder(filepath.Join(to, fmt.Sprintf("%02x", i))); err != nil {
			return nil, err
		}
	}
	return bad, durable.SyncFolder(to)
}

// examine looks at every record of a copy, and names what is wrong with it and
// which records name a bad blob.
func examine(ctx context.Context, db *sql.DB, bad map[evidence.Hash]error) (things []string, err error) {
	known, err := db.PrepareContext(ctx, `SELECT COUNT(*) FROM blobs WHERE sha256 = $1`)
	if err != nil {
		return nil, err
	}
	defer known.Close()
	rows, err := db.QueryContext(ctx, `SELECT id, device, epoch, seq, state, bytes FROM records ORDER BY device, epoch, seq`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	named := map[evidence.Hash]bool{}
	for rows.Next() {
		var id, device, raw []byte
		var epoch, seq uint64
		var state State
		if err := rows.Scan(&id, &device, &epoch, &seq, &state, &raw); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("device %x epoch %d number %d", device, epoch, seq)
		s, err := evidence.Open(raw)
		if err == nil && s.ID != evidence.Hash(id) {
			err = fmt.Errorf("it is record %v", s.ID)
		}
		if err != nil {
			things = append(things, fmt.Sprintf("%s: record %x damaged: %v", name, id, err))
			continue
		}
		for what, hash := range blobsOf(s.Record) {
			if err := bad[hash]; err != nil {
				named[hash] = true
				things = append(things, fmt.Sprintf("%s: %s: %v", name, what, err))
				continue
			}
			if state != Complete {
				continue
			}
			var n int
			if err := known.QueryRowContext(ctx, hash[:]).Scan(&n); err != nil {
				return nil, err
			}
			if n == 0 {
				things = append(things, fmt.Sprintf("%s: %s: blob %v missing", name, what, hash))
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var others []string
	for hash, err := range bad {
		if !named[hash] {
			others = append(others, fmt.Sprintf("no record: %v", err))
		}
	}
	slices.Sort(others)
	return append(things, others...), nil
}

// blobsOf yields what each blob of a record is, and its hash.
func blobsOf(r *evidence.Record) func(yield func(what string, hash evidence.Hash) bool) {
	return func(yield func(string, evidence.Hash) bool) {
		for i, f := range r.Frames {
			if !yield(fmt.Sprintf("frame %d", i+1), f.SHA256) {
				return
			}
		}
		if r.Trace != nil {
			yield("trace", r.Trace.SHA256)
		}
	}
}
