package database

import "context"

// A Batch is statements of one transaction that go to the database together: on
// PostgreSQL they cost one journey, not one each. They run in order. The zero Batch is
// empty.
type Batch struct {
	items   []item
	changed int64
}

type item struct {
	text string
	args []any
	each func(Row) error // nil for one that returns no rows
}

// A Row is one row of an answer. Numbers are read into integers, BYTEA into []byte;
// what may be NULL into a pointer to one, or into []byte.
type Row interface{ Scan(into ...any) error }

// Exec adds a statement that changes rows.
func (b *Batch) Exec(text string, args ...any) {
	b.items = append(b.items, item{text: text, args: args})
}

// Query adds a question. Each is called for every row of its answer.
func (b *Batch) Query(text string, args []any, each func(Row) error) {
	b.items = append(b.items, item{text, args, each})
}

// Len is how many statements it holds.
func (b *Batch) Len() int { return len(b.items) }

// Send runs a batch and returns how many rows its statements have changed. After an
// error the transaction is good for nothing more.
func (t *Tx) Send(ctx context.Context, b *Batch) (changed int64, err error) {
	if b.Len() == 0 {
		return 0, nil
	}
	b.changed = 0
	err = t.db.sort(t.send(ctx, b))
	return b.changed, err
}
