package database

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors of leases.
var (
	// ErrHeld says that another holds the lease.
	ErrHeld = errors.New("held by another")
	// ErrLost says that the term of a lease is over.
	ErrLost = errors.New("the lease is lost")
)

// A Lease is a name that one holder has for a time. The zero Lease is none.
type Lease struct {
	Name   string
	Holder string
	// Term rises each time the lease begins anew, also for the same holder.
	Term int64
	// Until is when the holder stops to trust it, by its own clock.
	Until time.Time
}

const acquireLease = `INSERT INTO leases (name, holder, term, ends) VALUES ($1, $2, 1, COALESCE(CAST($4 AS BIGINT), {now}) + CAST($3 AS BIGINT))
	ON CONFLICT (name) DO UPDATE SET
		holder = excluded.holder,
		term = leases.term + CASE WHEN leases.holder = excluded.holder AND leases.ends > COALESCE(CAST($4 AS BIGINT), {now}) THEN 0 ELSE 1 END,
		ends = excluded.ends
	WHERE leases.holder = excluded.holder OR leases.ends <= COALESCE(CAST($4 AS BIGINT), {now})
	RETURNING term`

// Acquire takes a lease for a span, or prolongs it by that from now on. A holder
// is one life of one process: no other ever has its name. The error wraps
// [ErrHeld] while another has the lease. A term that has risen means that what was
// done under the one before may have been done by another since.
func (db *DB) Acquire(ctx context.Context, name, holder string, span time.Duration) (Lease, error) {
	// Seen from before it is asked for, and less than the database grants.
	l := Lease{Name: name, Holder: holder, Until: time.Now().Add(span - span/4)}
	err := db.Update(ctx, func(tx *Tx) error {
		var now any
		if db.clock != nil {
			now = db.clock().UnixMicro()
		}
		text := strings.ReplaceAll(acquireLease, "{now}", db.engine.now())
		return tx.Row(ctx, text, []any{name, holder, span.Microseconds(), now}, &l.Term)
	})
	switch {
	case errors.Is(err, ErrAbsent):
		return Lease{}, fmt.Errorf("lease %s: %w", name, ErrHeld)
	case err != nil:
		return Lease{}, err
	}
	return l, nil
}

const releaseLease = `UPDATE leases SET ends = 0 WHERE name = $1 AND holder = $2 AND term = $3`

// Release gives a lease back before its end.
func (db *DB) Release(ctx context.Context, l Lease) error {
	return db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, releaseLease, l.Name, l.Holder, l.Term)
		return err
	})
}

const holdLease = `SELECT 1 FROM leases WHERE name = $1 AND holder = $2 AND term = $3 AND ends > 0`

// Holds fails with [ErrLost] unless the lease is still the holder's. What the
// transaction changes is changed under the lease: when another takes it before the
// commit and works on the same, one of the two transactions fails.
func (t *Tx) Holds(ctx context.Context, l Lease) error {
	var one int
	err := t.Row(ctx, holdLease, []any{l.Name, l.Holder, l.Term}, &one)
	if errors.Is(err, ErrAbsent) {
		return fmt.Errorf("lease %s: %w", l.Name, ErrLost)
	}
	return err
}
