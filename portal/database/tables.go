package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Table is one of the tables of rooms, for whoever copies all of them.
type Table struct {
	Name    string
	Columns []Column
	key     []string // of its primary key
}

// A Column of a [Table].
type Column struct {
	Name string
	Kind Kind
}

// A Kind is what a column holds beside NULL.
type Kind string

// The kinds: a row of [DB.Rows] has []byte, int64 and string of them, or nil.
const (
	Bytes   Kind = "bytes"
	Integer Kind = "integer"
	Text    Kind = "text"
)

// kinds are by the names of both engines.
var kinds = map[string]Kind{"bytea": Bytes, "bigint": Integer, "text": Text}

// own are the tables that are not copied: those of this package, which are of one
// database alone, and what was there before them.
var own = []string{"schema_steps", "leases", "transfers", "schema_version"}

// ErrOccupied says that a database that was to be filled holds something else.
var ErrOccupied = errors.New("holds something already")

// ErrUnfinished says that a database is being filled, or that this was interrupted:
// it lacks rows.
var ErrUnfinished = errors.New("is not filled whole: end the restore or migration that was begun")

// Tables lists the tables of rooms, each behind those that it refers to.
func (db *DB) Tables(ctx context.Context) ([]Table, error) {
	names, err := texts(ctx, db, db.engine.catalogue().tables)
	if err != nil {
		return nil, err
	}
	var all []Table
	after := map[string][]string{}
	for _, name := range names {
		if slices.Contains(own, name) {
			continue
		}
		t := Table{Name: name}
		rows, err := db.Query(ctx, db.engine.catalogue().columns, name)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var c Column
			var kind string
			if err := rows.Scan(&c.Name, &kind); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			if c.Kind = kinds[strings.ToLower(kind)]; c.Kind == "" {
				return nil, errors.Join(fmt.Errorf("table %s: column %s is of type %s, which is not copied", name, c.Name, kind), rows.Close())
			}
			t.Columns = append(t.Columns, c)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
		if t.key, err = texts(ctx, db, db.engine.catalogue().key, name); err != nil {
			return nil, err
		}
		if len(t.key) == 0 {
			return nil, fmt.Errorf("table %s: no primary key", name)
		}
		if after[name], err = texts(ctx, db, db.engine.catalogue().refers, name); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return inOrder(all, after)
}

// inOrder puts each table behind those that it refers to.
func inOrder(tables []Table, after map[string][]string) ([]Table, error) {
	var ordered []Table
	placed := map[string]bool{}
	for len(ordered) < len(tables) {
		before := len(ordered)
		for _, t := range tables {
			ready := !slices.ContainsFunc(after[t.Name], func(n string) bool { return n != t.Name && !placed[n] })
			if !placed[t.Name] && ready {
				placed[t.Name] = true
				ordered = append(ordered, t)
			}
		}
		if len(ordered) == before {
			return nil, errors.New("tables refer to each other in a circle")
		}
	}
	return ordered, nil
}

// texts reads a query of one column.
func texts(ctx context.Context, r Reader, text string, args ...any) ([]string, error) {
	rows, err := r.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// A catalogue has the queries by which an engine tells of its tables.
type catalogue struct {
	tables, columns, key, refers string
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// names are the columns of a table, as SQL has them.
func (t Table) names() string {
	var all []string
	for _, c := range t.Columns {
		all = append(all, quoted(c.Name))
	}
	return strings.Join(all, ", ")
}

// Rows calls yield for each row of a table, in the order of its primary key, which is
// that of this engine, from the row number skip on. The row is valid until yield
// returns.
func (t *Tx) Rows(ctx context.Context, table Table, skip int64, yield func(row []any) error) error {
	var key []string
	for _, k := range table.key {
		key = append(key, quoted(k))
	}
	text := `SELECT ` + table.names() + ` FROM ` + quoted(table.Name) + ` ORDER BY ` + strings.Join(key, ", ")
	rows, err := t.Query(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	row, into := make([]any, len(table.Columns)), make([]any, len(table.Columns))
	for i := range row {
		into[i] = &row[i]
	}
	for n := int64(0); rows.Next(); n++ {
		if n < skip {
			continue
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, c := range table.Columns {
			if row[i], err = plain(c, row[i]); err != nil {
				return fmt.Errorf("table %s: %w", table.Name, err)
			}
		}
		if err := yield(row); err != nil {
			return err
		}
	}
	return t.db.sort(rows.Err())
}

// plain makes a value what its column's kind says. SQLite keeps what it was given: an
// empty text stands in columns of bytes. Text is made such as both engines take.
func plain(c Column, v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		if c.Kind == Integer {
			return v, nil
		}
	case []byte:
		switch c.Kind {
		case Bytes:
			return append([]byte{}, v...), nil // never nil, which is NULL
		case Text:
			return sound(string(v)), nil
		}
	case string:
		switch c.Kind {
		case Bytes:
			return []byte(v), nil
		case Text:
			return sound(v), nil
		}
	}
	return nil, fmt.Errorf("column %s: %T in one of %s", c.Name, v, c.Kind)
}

func sound(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Steps returns how many steps of each owner the schema has.
func (db *DB) Steps(ctx context.Context) (map[string]int, error) {
	rows, err := db.Query(ctx, `SELECT owner, MAX(step) FROM schema_steps GROUP BY owner`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	steps := map[string]int{}
	for rows.Next() {
		var owner string
		var step int
		if err := rows.Scan(&owner, &step); err != nil {
			return nil, err
		}
		steps[owner] = step
	}
	return steps, rows.Err()
}

// The transfer that fills a database has a row with an empty name, done 1 at its end,
// and one a table with the rows that are there.
const (
	selectTransfer = `SELECT source, done FROM transfers WHERE name = ''`
	insertTransfer = `INSERT INTO transfers (name, source, done) VALUES ('', $1, 0)`
	endTransfer    = `UPDATE transfers SET done = 1 WHERE name = '' AND source = $1`
	selectLoaded   = `SELECT done FROM transfers WHERE name = $1`
	upsertLoaded   = `INSERT INTO transfers (name, source, done) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET done = excluded.done`
)

// Fill begins to fill a database of no rows, or goes on where that was interrupted:
// until [DB.Filled], nobody else can open it. Source names what it is filled from;
// the error wraps [ErrOccupied] when it was begun from another one, or the tables of a
// room have rows. It reports whether all is there already.
func (db *DB) Fill(ctx context.Context, source string) (done bool, err error) {
	tables, err := db.Tables(ctx)
	if err != nil {
		return false, err
	}
	err = db.Update(ctx, func(tx *Tx) error {
		var from string
		var ended int
		switch err := tx.Row(ctx, selectTransfer, nil, &from, &ended); {
		case err == nil && from != source:
			return fmt.Errorf("the database %w: from %s", ErrOccupied, from)
		case err == nil:
			done = ended == 1
			return nil
		case !errors.Is(err, ErrAbsent):
			return err
		}
		for _, t := range tables {
			var one int
			if err := tx.Row(ctx, `SELECT 1 FROM `+quoted(t.Name)+` LIMIT 1`, nil, &one); err == nil {
				return fmt.Errorf("the database %w: rows of %s", ErrOccupied, t.Name)
			} else if !errors.Is(err, ErrAbsent) {
				return err
			}
		}
		_, err := tx.Exec(ctx, insertTransfer, source)
		return err
	})
	return done, err
}

// Filling reports whether a database was begun to be filled from a source.
func (db *DB) Filling(ctx context.Context, source string) (bool, error) {
	var from string
	var done int
	err := db.Row(ctx, selectTransfer, nil, &from, &done)
	if errors.Is(err, ErrAbsent) {
		return false, nil
	}
	return err == nil && from == source, err
}

// Loaded returns how many rows of a table have been loaded.
func (db *DB) Loaded(ctx context.Context, table string) (n int64, err error) {
	err = db.Row(ctx, selectLoaded, []any{table}, &n)
	if errors.Is(err, ErrAbsent) {
		return 0, nil
	}
	return n, err
}

// Load appends rows to a table of a database that is being filled, in one transaction,
// behind the rows that [DB.Loaded] counts.
func (db *DB) Load(ctx context.Context, source string, table Table, before int64, rows [][]any) error {
	return db.Update(ctx, func(tx *Tx) error {
		var n int64
		switch err := tx.Row(ctx, selectLoaded, []any{table.Name}, &n); {
		case errors.Is(err, ErrAbsent):
			// What a step of the schema has put there is among the rows. A table that a step
			// has sealed refuses this even where there is nothing.
			var one int
			err := tx.Row(ctx, `SELECT 1 FROM `+quoted(table.Name)+` LIMIT 1`, nil, &one)
			if err == nil {
				_, err = tx.Exec(ctx, `DELETE FROM `+quoted(table.Name))
			}
			if err != nil && !errors.Is(err, ErrAbsent) {
				return err
			}
		case err != nil:
			return err
		}
		if n != before {
			return fmt.Errorf("table %s: %d rows are loaded, not %d: another loads it", table.Name, n, before)
		}
		if err := db.engine.load(ctx, tx, table, rows); err != nil {
			return fmt.Errorf("table %s: behind row %d: %w", table.Name, before, err)
		}
		_, err := tx.Exec(ctx, upsertLoaded, table.Name, source, before+int64(len(rows)))
		return err
	})
}

// Filled ends what [DB.Fill] has begun.
func (db *DB) Filled(ctx context.Context, source string) error {
	return db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, endTransfer, source)
		return err
	})
}

// unfinished fails when the database is being filled.
func (db *DB) unfinished(ctx context.Context) error {
	var source string
	var done int
	err := db.Row(ctx, selectTransfer, nil, &source, &done)
	switch {
	case errors.Is(err, ErrAbsent):
		return nil
	case err == nil && done == 0:
		return fmt.Errorf("the database %w (%s)", ErrUnfinished, source)
	}
	return err
}
