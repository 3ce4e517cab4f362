package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"ciglio/portal/database"
)

// ErrDiffers says that a table is not what it was copied from.
var ErrDiffers = errors.New("is not what the source has")

// A Moved table is the same in both databases.
type Moved struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Sum   string `json:"sum"` // see [tally]
}

// Migrate copies all that a centre has to a database and a store of blobs that are
// empty, or where the same was interrupted, and then reads every row and compares. The
// source is only read; nobody may write to it meanwhile. The error is a
// [*record.DamageError] when the source lacks blobs: all else is there.
func Migrate(ctx context.Context, from, to Centre, schemas []database.Schema) (moved []Moved, copied Copied, err error) {
	steps, err := from.DB.Steps(ctx)
	if err != nil {
		return nil, copied, err
	}
	tables, err := from.DB.Tables(ctx)
	if err != nil {
		return nil, copied, err
	}
	sums := map[string]tally{}
	for _, t := range tables {
		if sums[t.Name], err = tallyOf(ctx, from.DB, t); err != nil {
			return nil, copied, err
		}
	}
	// What was begun from another state of the source is another migration.
	source := fmt.Sprintf("migration of the centre of root %s", from.Root)
	for _, t := range tables {
		source += fmt.Sprintf("; %s %v", t.Name, sums[t.Name])
	}
	if err := begin(ctx, to, source, steps, schemas); err != nil {
		return nil, copied, err
	}
	targets, err := to.DB.Tables(ctx)
	if err != nil {
		return nil, copied, err
	}
	for _, t := range tables {
		i := slices.IndexFunc(targets, func(o database.Table) bool { return o.Name == t.Name })
		if i < 0 {
			return nil, copied, fmt.Errorf("table %s: the schema of this program has none", t.Name)
		}
		// The source's order of columns is taken for both, so that rows compare.
		if _, err := match(targets[i], t.Columns); err != nil {
			return nil, copied, err
		}
		target := targets[i]
		target.Columns = t.Columns
		if err := move(ctx, from.DB, to.DB, source, t, target); err != nil {
			return nil, copied, err
		}
		sum, err := tallyOf(ctx, to.DB, target)
		if err != nil {
			return nil, copied, err
		}
		if sum != sums[t.Name] {
			return nil, copied, fmt.Errorf("table %s %w: %v there, %v here", t.Name, ErrDiffers, sum, sums[t.Name])
		}
		moved = append(moved, Moved{t.Name, sum.rows, fmt.Sprintf("%016x%016x%016x%016x", sum.sum[3], sum.sum[2], sum.sum[1], sum.sum[0])})
	}
	copied, bad, err := copyBlobs(ctx, from.Blobs, to.Blobs, namedIn(ctx, from.DB, tables))
	if err != nil {
		return moved, copied, err
	}
	return moved, copied, end(ctx, to, source, schemas, bad)
}

// move copies the rows of a table that are not there yet.
func move(ctx context.Context, from, to *database.DB, source string, t, target database.Table) error {
	l := loader{db: to, source: source, table: target}
	skip, err := to.Loaded(ctx, t.Name)
	if err != nil {
		return err
	}
	l.skip, l.seen = skip, skip
	err = from.View(ctx, func(tx *database.Tx) error {
		return tx.Rows(ctx, t, skip, func(row []any) error { return l.add(ctx, slices.Clone(row)) })
	})
	if err != nil {
		return err
	}
	return l.flush(ctx)
}

// namedIn are the blobs that a database names.
func namedIn(ctx context.Context, db *database.DB, tables []database.Table) iter.Seq2[wanted, error] {
	return func(yield func(wanted, error) bool) {
		ended := errors.New("enough")
		for _, t := range tables {
			if t.Name != blobTable {
				continue
			}
			err := db.View(ctx, func(tx *database.Tx) error {
				return tx.Rows(ctx, t, 0, func(row []any) error {
					w, err := wantedOf(t.Columns, row)
					if err == nil && !yield(w, nil) {
						err = ended
					}
					return err
				})
			})
			if err != nil && !errors.Is(err, ended) {
				yield(wanted{}, err)
			}
		}
	}
}
