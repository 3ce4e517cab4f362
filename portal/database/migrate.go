package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A Step of a schema is one transaction. One that has shipped never changes.
type Step struct {
	SQL []string
	// Sealed are tables of it whose rows are neither updated nor deleted by anybody: the
	// engine refuses it.
	Sealed []string
	// Needs is how many steps of its owner a program must know to work on what
	// this one leaves: 0 for a step that only adds, so that the program before
	// goes on working beside the new one.
	Needs int
}

// A Schema is the steps of an owner.
type Schema struct {
	Owner string
	Steps []Step
}

// ErrNewer says that the schema is of a program that this one cannot work beside.
var ErrNewer = errors.New("the schema is newer than this program")

const createSteps = `CREATE TABLE IF NOT EXISTS schema_steps (
	owner TEXT NOT NULL,
	step  BIGINT NOT NULL,
	needs BIGINT NOT NULL,
	PRIMARY KEY (owner, step)
)`

// Databases of before there were owners have a table with one column.
const adoptSteps = `INSERT INTO schema_steps (owner, step, needs) SELECT $1, version, 0 FROM schema_version
	WHERE version > 0 ON CONFLICT (owner, step) DO NOTHING`

// steps are those of this package.
var steps = []Step{{SQL: []string{`CREATE TABLE leases (
	name   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	term   BIGINT NOT NULL,
	ends   BIGINT NOT NULL
)`}}, {SQL: []string{`CREATE TABLE transfers (
	name   TEXT PRIMARY KEY,
	source TEXT NOT NULL,
	done   BIGINT NOT NULL
)`}}}

const lastStep = `SELECT COALESCE(MAX(step), 0), COALESCE(MAX(needs), 0) FROM schema_steps WHERE owner = $1`

const addStep = `INSERT INTO schema_steps (owner, step, needs) VALUES ($1, $2, $3)`

// Migrate brings the tables of an owner to its last step. Several programs may do
// so at once, and others work meanwhile. The error wraps [ErrNewer] when a step
// that is there already needs a program that knows more.
func (db *DB) Migrate(ctx context.Context, owner string, steps []Step) error {
	for done := false; !done; {
		err := db.update(ctx, db.engine.beginStep, func(tx *Tx) error {
			if _, err := tx.Exec(ctx, createSteps); err != nil {
				return err
			}
			last, needs := 0, 0
			if err := tx.Row(ctx, lastStep, []any{owner}, &last, &needs); err != nil {
				return err
			}
			if needs > len(steps) {
				return fmt.Errorf("schema of %s: %w: step %d needs a program that knows %d, this one knows %d", owner, ErrNewer, last, needs, len(steps))
			}
			if done = last >= len(steps); done {
				return nil
			}
			texts := slices.Clone(steps[last].SQL)
			for _, table := range steps[last].Sealed {
				texts = append(texts, tx.db.engine.seal(table)...)
			}
			for _, text := range texts {
				if _, err := tx.Exec(ctx, text); err != nil {
					return fmt.Errorf("schema of %s: step %d: %w", owner, last+1, err)
				}
			}
			_, err := tx.Exec(ctx, addStep, owner, last+1, steps[last].Needs)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Adopt takes the versions of a database of before there were owners for steps of
// this one. It comes before [DB.Migrate] of the owner, and does nothing elsewhere.
func (db *DB) Adopt(ctx context.Context, owner string) error {
	return db.update(ctx, db.engine.beginStep, func(tx *Tx) error {
		var columns int
		if err := tx.Row(ctx, db.engine.columns(), []any{"schema_version"}, &columns); err != nil || columns == 0 {
			return err
		}
		_, err := tx.Exec(ctx, adoptSteps, owner)
		return err
	})
}
