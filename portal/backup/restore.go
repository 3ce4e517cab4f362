package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/blob"
	"ciglio/portal/database"
	"ciglio/portal/record"
)

// ErrDamagedCopy says that a copy is not what was written.
var ErrDamagedCopy = errors.New("the copy is damaged")

// ErrNoCopy says that there is no whole copy.
var ErrNoCopy = errors.New("no whole copy")

// A Restoring is a copy that is put back.
type Restoring struct {
	Name     string
	Manifest *Manifest
	sum      string
	dest     string
}

// Find finds a copy in a folder by its name, or the newest whole one. Every file of
// it is hashed, but for the blobs.
func Find(ctx context.Context, dest, name string) (*Restoring, error) {
	whole, broken, err := Copies(dest)
	if err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(broken, name):
		return nil, fmt.Errorf("folder %s: %w: %s was interrupted", dest, ErrNoCopy, name)
	case name != "" && !slices.Contains(whole, name), len(whole) == 0:
		return nil, fmt.Errorf("folder %s: %w %s; whole are %q, interrupted %q", dest, ErrNoCopy, name, whole, broken)
	case name == "":
		name = whole[len(whole)-1]
	}
	r := &Restoring{Name: name, dest: dest}
	if r.Manifest, r.sum, err = read(dest, name); err != nil {
		return nil, err
	}
	for _, f := range r.Manifest.Tables {
		if err := r.same(ctx, r.table(f.Name), f); err != nil {
			return nil, err
		}
	}
	for _, f := range r.Manifest.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			return nil, fmt.Errorf("%w: file %q", ErrDamagedCopy, f.Name)
		}
		if err := r.same(ctx, filepath.Join(r.Files(), filepath.FromSlash(f.Name)), f); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Restoring) same(ctx context.Context, path string, f File) error {
	have, err := sumFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamagedCopy, err)
	}
	if have.Bytes != f.Bytes || have.SHA256 != f.SHA256 {
		return fmt.Errorf("%w: %s: %d bytes of hash %s, the manifest says %d of %s", ErrDamagedCopy, path, have.Bytes, have.SHA256, f.Bytes, f.SHA256)
	}
	return ctx.Err()
}

func (r *Restoring) table(name string) string {
	return filepath.Join(r.dest, copyFolder, r.Name, tableFolder, name+ending)
}

// Files is the folder of what was kept beside the database.
func (r *Restoring) Files() string {
	return filepath.Join(r.dest, copyFolder, r.Name, filesFolder)
}

// source names the copy for whoever asks what a database is filled from.
func (r *Restoring) source() string { return "copy " + r.Name + " " + r.sum }

// Fill puts the copy into a database and a store of blobs that are empty, or where the
// same was interrupted. Schemas are those of the program. The error is a
// [*record.DamageError] when the copy lacks blobs, then or now: it names the records,
// and all the rest is there.
func (r *Restoring) Fill(ctx context.Context, to Centre, schemas []database.Schema) (Copied, error) {
	source := r.source()
	if err := begin(ctx, to, source, r.Manifest.Steps, schemas); err != nil {
		return Copied{}, err
	}
	tables, err := to.DB.Tables(ctx)
	if err != nil {
		return Copied{}, err
	}
	for _, f := range r.Manifest.Tables {
		i := slices.IndexFunc(tables, func(t database.Table) bool { return t.Name == f.Name })
		if i < 0 {
			return Copied{}, fmt.Errorf("table %s: the schema of this program has none", f.Name)
		}
		if err := r.load(ctx, to.DB, tables[i], f); err != nil {
			return Copied{}, err
		}
	}
	from, err := blob.OpenFolder(filepath.Join(r.dest, blobFolder))
	if err != nil {
		return Copied{}, err
	}
	copied, bad, err := copyBlobs(ctx, from, to.Blobs, namedBy(r.table(blobTable)))
	if err != nil {
		return copied, err
	}
	return copied, end(ctx, to, source, schemas, bad)
}

// load loads the rows of a table that are not there yet. Columns of the file that
// stand in another order in this engine are put in theirs.
func (r *Restoring) load(ctx context.Context, db *database.DB, t database.Table, f File) error {
	l := loader{db: db, source: r.source(), table: t}
	var err error
	if l.skip, err = db.Loaded(ctx, t.Name); err != nil {
		return err
	}
	var places []int
	h, err := readRows(r.table(t.Name), func(columns []database.Column, row []any) error {
		if places == nil {
			if places, err = match(t, columns); err != nil {
				return err
			}
		}
		ordered := make([]any, len(row))
		for i, from := range places {
			ordered[i] = row[from]
		}
		return l.add(ctx, ordered)
	})
	if err == nil {
		err = l.flush(ctx)
	}
	if err == nil && (h.Table != t.Name || l.seen != f.Rows || l.skip != f.Rows) {
		err = fmt.Errorf("%w: table %s: %d rows of %q, the manifest says %d", ErrDamagedCopy, t.Name, l.seen, h.Table, f.Rows)
	}
	return err
}

// match finds where each column of a table is among others, which must be the same.
func match(t database.Table, columns []database.Column) (places []int, err error) {
	for _, c := range t.Columns {
		i := slices.Index(columns, c)
		if i < 0 {
			return nil, fmt.Errorf("table %s: no column %s of %s", t.Name, c.Name, c.Kind)
		}
		places = append(places, i)
	}
	if len(columns) != len(places) {
		return nil, fmt.Errorf("table %s: %d columns, the schema of this program has %d", t.Name, len(columns), len(places))
	}
	return places, nil
}

// begin takes an empty database and an empty store of blobs, or those where the same was
// interrupted, and brings the schema to where that of the source is.
func begin(ctx context.Context, to Centre, source string, steps map[string]int, schemas []database.Schema) error {
	for owner, n := range steps {
		if i := slices.IndexFunc(schemas, func(s database.Schema) bool { return s.Owner == owner }); owner != "database" && (i < 0 || n > len(schemas[i].Steps)) {
			return fmt.Errorf("schema of %s: %w: step %d", owner, database.ErrNewer, n)
		}
	}
	have, err := to.DB.Steps(ctx)
	if err != nil {
		return err
	}
	begun, err := to.DB.Filling(ctx, source)
	if err != nil {
		return err
	}
	for _, s := range schemas {
		if !begun && have[s.Owner] > steps[s.Owner] {
			return fmt.Errorf("the database %w: step %d of the schema of %s, and the source is at %d: give an empty one", database.ErrOccupied, have[s.Owner], s.Owner, steps[s.Owner])
		}
	}
	if !begun {
		none := errors.New("holds blobs")
		err := to.Blobs.Each(ctx, func(hash evidence.Hash, _ uint64) error { return fmt.Errorf("%w: %v", none, hash) })
		if errors.Is(err, none) {
			return fmt.Errorf("the store of blobs %w: %w", database.ErrOccupied, err)
		}
		if err != nil {
			return err
		}
	}
	if _, err := to.DB.Fill(ctx, source); err != nil {
		return err
	}
	for _, s := range schemas {
		if n := steps[s.Owner]; n > 0 {
			if err := to.DB.Migrate(ctx, s.Owner, s.Steps[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// end says that the database is whole, brings the schema to its last step, and names
// the records that lack blobs.
func end(ctx context.Context, to Centre, source string, schemas []database.Schema, bad map[evidence.Hash]error) error {
	if err := to.DB.Filled(ctx, source); err != nil {
		return err
	}
	for _, s := range schemas { // which whoever opens it does as well
		if err := to.DB.Migrate(ctx, s.Owner, s.Steps); err != nil {
			return err
		}
	}
	if len(bad) == 0 {
		return nil
	}
	things, err := record.Examine(ctx, to.DB, bad)
	if err != nil {
		return err
	}
	return &record.DamageError{Things: things}
}

// PutFiles copies the files of the copy into a folder, where none of them is, or the
// same.
func (r *Restoring) PutFiles(dir string) error {
	for _, f := range r.Manifest.Files {
		text, err := os.ReadFile(filepath.Join(r.Files(), filepath.FromSlash(f.Name)))
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := durable.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
