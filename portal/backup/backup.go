// Package backup copies a centre while it works, puts a copy back, and moves a centre
// to other engines. README.md says what a copy looks like, and why.
//
// A copy is whole when it has its manifest, which is written last: what was interrupted
// is told by its name and never taken for one. The database of a copy is one snapshot;
// the blobs that it names were durable before, and none of them is ever changed, so
// they are copied behind it.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/blob"
	"ciglio/portal/database"
	"ciglio/portal/record"
)

// What lies in a folder of copies.
const (
	blobFolder   = "blobs"
	copyFolder   = "copies"
	tableFolder  = "tables" // of one copy
	filesFolder  = "files"  // of one copy
	manifestName = "manifest.json"
	lockName     = "backup.lock"

	stamp = "20060102T150405.000000Z"
)

// ErrForeign says that a folder holds something else than copies of this centre.
var ErrForeign = errors.New("holds something else than copies of this centre")

// A Centre is what is copied, or filled.
type Centre struct {
	Root  evidence.Hash // the id of its root's key
	DB    *database.DB
	Blobs blob.Store
	// Before and After copy files of the centre's folder into a new one, before and
	// behind the snapshot of the database. An error that wraps [ErrLost] names what
	// is missing, and all else is copied.
	Before, After func(dest string) error
}

// ErrLost is wrapped by errors of what a copy lacks.
var ErrLost = errors.New("missing in the copy")

// A Manifest says what a copy is.
type Manifest struct {
	Version int            `json:"v"` // 1
	Root    string         `json:"root"`
	Began   time.Time      `json:"began"`
	Ended   time.Time      `json:"ended"`
	Steps   map[string]int `json:"steps"`  // of the schema, by owner
	Tables  []File         `json:"tables"` // in the order in which they are loaded
	Files   []File         `json:"files"`
	Blobs   Copied         `json:"blobs"`
	Lacks   []string       `json:"lacks,omitempty"` // what was missing or damaged when it was made
}

// A Report is what [Back] did.
type Report struct {
	Copy        string   `json:"copy"` // its name
	Records     int64    `json:"records"`
	Blobs       Copied   `json:"blobs"`
	Interrupted []string `json:"interrupted,omitempty"` // copies that were never whole, now removed
	Dropped     []string `json:"dropped,omitempty"`     // older ones
	Kept        []string `json:"kept"`                  // all that are whole, the oldest first
}

// Back makes a copy in the folder dest, and keeps the newest copies, so many, this one
// among them. Blobs that are there from earlier copies are not copied again, nor read.
// The error is a [*record.DamageError] when the copy lacks something: it names each,
// and the copy is whole but for that.
func Back(ctx context.Context, c Centre, dest string, keep int) (r Report, err error) {
	if keep < 1 {
		return r, fmt.Errorf("%d copies to keep: at least this one is", keep)
	}
	lock, err := own(dest, c.Root)
	if err != nil {
		return r, err
	}
	defer lock.Close()
	whole, broken, err := Copies(dest)
	if err != nil {
		return r, err
	}
	m := Manifest{Version: 1, Root: c.Root.String(), Began: time.Now().UTC()}
	r.Copy = m.Began.Format(stamp)
	dir := filepath.Join(dest, copyFolder, r.Copy)
	for _, d := range []string{dir, filepath.Join(dir, tableFolder), filepath.Join(dir, filesFolder)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return r, err
		}
	}
	if err := lacks(&m, c.Before(filepath.Join(dir, filesFolder))); err != nil {
		return r, err
	}
	if err := m.write(ctx, c, dir); err != nil {
		return r, err
	}
	to, err := blob.OpenFolder(filepath.Join(dest, blobFolder))
	if err != nil {
		return r, err
	}
	copied, lost, err := copyBlobs(ctx, c.Blobs, to, namedBy(filepath.Join(dir, tableFolder, blobTable+ending)))
	if err != nil {
		return r, err
	}
	m.Blobs = copied
	things, err := record.Examine(ctx, c.DB, lost)
	if err != nil {
		return r, err
	}
	if err := lacks(&m, c.After(filepath.Join(dir, filesFolder))); err != nil {
		return r, err
	}
	m.Lacks = append(things, m.Lacks...)
	if m.Files, err = list(filepath.Join(dir, filesFolder)); err != nil {
		return r, err
	}
	m.Ended = time.Now().UTC()
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return r, err
	}
	// All of the copy before what says that it is whole.
	if err := durable.SyncDisk(dir); err != nil {
		return r, err
	}
	if err := durable.WriteFile(filepath.Join(dir, manifestName), append(text, '\n'), 0o600); err != nil {
		return r, err
	}
	r.Blobs = copied
	for _, t := range m.Tables {
		if t.Name == "records" {
			r.Records = t.Rows
		}
	}
	r.Kept = append(whole, r.Copy)
	for len(r.Kept) > keep {
		r.Dropped, r.Kept = append(r.Dropped, r.Kept[0]), r.Kept[1:]
	}
	r.Interrupted = broken
	for _, name := range slices.Concat(r.Interrupted, r.Dropped) {
		if err := drop(filepath.Join(dest, copyFolder, name)); err != nil {
			return r, err
		}
	}
	if len(m.Lacks) > 0 {
		return r, &record.DamageError{Things: m.Lacks}
	}
	return r, nil
}

// own takes a folder for copies of the centre of a root, and locks it.
func own(dest string, root evidence.Hash) (*os.File, error) {
	if err := os.MkdirAll(dest, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dest)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !slices.Contains([]string{blobFolder, copyFolder, lockName}, e.Name()) {
			return nil, fmt.Errorf("folder %s: %w: %s", dest, ErrForeign, e.Name())
		}
	}
	lock, err := durable.Lock(filepath.Join(dest, lockName))
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", dest, err)
	}
	names, _, err := Copies(dest)
	if err == nil && len(names) > 0 {
		var m *Manifest
		if m, _, err = read(dest, names[len(names)-1]); err == nil && m.Root != root.String() {
			err = fmt.Errorf("folder %s: %w: copies of the centre of root %s", dest, ErrForeign, m.Root)
		}
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(dest, copyFolder), 0o700)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// Copies lists the copies in a folder, the oldest first: those that are whole, and
// those that were interrupted, or are on their way.
func Copies(dest string) (whole, broken []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dest, copyFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		_, err := os.Stat(filepath.Join(dest, copyFolder, e.Name(), manifestName))
		switch {
		case err == nil:
			whole = append(whole, e.Name())
		case errors.Is(err, fs.ErrNotExist):
			broken = append(broken, e.Name())
		default:
			return nil, nil, err
		}
	}
	return whole, broken, nil
}

// drop removes a copy: first what says that it is whole.
func drop(dir string) error {
	if err := os.Remove(filepath.Join(dir, manifestName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.SyncFolder(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// lacks notes what a copy lacks. Any other error is returned.
func lacks(m *Manifest, err error) error {
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, ErrLost):
		return err
	}
	m.Lacks = append(m.Lacks, err.Error())
	return nil
}

// ending is that of files of rows.
const ending = ".jsonl"

// ErrMigrated says that a newer program changed the tables under a copy.
var ErrMigrated = errors.New("the tables of the database were changed meanwhile: copy again")

// write writes the snapshot of the database.
func (m *Manifest) write(ctx context.Context, c Centre, dir string) (err error) {
	if m.Steps, err = c.DB.Steps(ctx); err != nil {
		return err
	}
	tables, err := c.DB.Tables(ctx)
	if err != nil {
		return err
	}
	err = c.DB.View(ctx, func(tx *database.Tx) error {
		for _, t := range tables {
			f, err := writeRows(ctx, filepath.Join(dir, tableFolder, t.Name+ending), t, tx)
			if err != nil {
				return err
			}
			f.Name = t.Name
			m.Tables = append(m.Tables, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Steps are outside of the snapshot.
	steps, err := c.DB.Steps(ctx)
	if err == nil && !maps.Equal(steps, m.Steps) {
		err = ErrMigrated
	}
	return err
}

// list hashes all files below a folder.
func list(dir string) (all []File, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := sumFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		f.Name = filepath.ToSlash(name)
		all = append(all, f)
		return err
	})
	return all, err
}

// read reads a manifest, and returns its SHA-256 as well.
func read(dest, name string) (*Manifest, string, error) {
	path := filepath.Join(dest, copyFolder, name, manifestName)
	text, err := durable.ReadAtMost(path, 256<<20)
	if err != nil {
		return nil, "", err
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	if m.Version != 1 {
		return nil, "", fmt.Errorf("%s: version %d, this program knows 1", path, m.Version)
	}
	sum := sha256.Sum256(text)
	return &m, hex.EncodeToString(sum[:]), nil
}
