package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/database"
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

// Backup writes a consistent copy of the store of [OpenFolder] in dir, which may be open in a
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
	if _, err := os.Stat(filepath.Join(dir, DatabaseName)); err != nil {
		return err
	}
	copied := filepath.Join(dest, DatabaseName)
	// The database first: every blob it names is stored already and stays.
	if err := database.Copy(ctx, filepath.Join(dir, DatabaseName), copied); err != nil {
		return err
	}
	blobs, err := blob.OpenFolder(filepath.Join(dest, BlobFolder))
	if err != nil {
		return err
	}
	db, err := database.OpenCopy(copied)
	if err != nil {
		return err
	}
	defer db.Close()
	from, err := blob.OpenFolder(filepath.Join(dir, BlobFolder))
	if err != nil {
		return err
	}
	bad, err := copyBlobs(ctx, db, from, blobs)
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

const selectBlobs = `SELECT sha256, length FROM blobs`

// copyBlobs copies all that can be read, and returns what is wrong with the others.
func copyBlobs(ctx context.Context, db *database.DB, from, to blob.Folder) (bad map[evidence.Hash]error, err error) {
	rows, err := db.Query(ctx, selectBlobs)
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
		switch err := from.Copy(ctx, to, evidence.Hash(hash), uint64(length)); {
		case errors.Is(err, ErrDamaged):
			bad[evidence.Hash(hash)] = err
		case err != nil:
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return bad, to.Sync()
}

const selectToExamine = `SELECT id, device, epoch, seq, state, bytes FROM records ORDER BY device, epoch, seq`

// examine looks at every record of a copy, and names what is wrong with it and
// which records name a bad blob.
func examine(ctx context.Context, db *database.DB, bad map[evidence.Hash]error) (things []string, err error) {
	rows, err := db.Query(ctx, selectToExamine)
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
			var length int64
			switch err := db.Row(ctx, selectBlobLength, []any{hash[:]}, &length); {
			case errors.Is(err, ErrNotFound):
				things = append(things, fmt.Sprintf("%s: %s: blob %v missing", name, what, hash))
			case err != nil:
				return nil, err
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
