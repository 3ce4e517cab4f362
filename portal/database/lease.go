package database

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
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

	span time.Duration
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
	l := Lease{Name: name, Holder: holder, Until: time.Now().Add(span - span/4), span: span}
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

const holdLease = `SELECT {patience} FROM leases WHERE name = $1 AND holder = $2 AND term = $3 AND ends > 0{share}`

// Holds fails with [ErrLost] unless the lease is still the holder's. What the
// transaction changes is changed under the lease: whoever takes it waits until the
// transaction has ended. One whose process says nothing for the span of the lease, since
// it stands still or its machine has gone, the database ends.
func (t *Tx) Holds(ctx context.Context, l Lease) error {
	var patience string
	text := strings.NewReplacer("{share}", t.db.engine.share(), "{patience}", t.db.engine.patience("$4")).Replace(holdLease)
	ms := min(l.span.Milliseconds(), math.MaxInt32)
	err := t.Row(ctx, text, []any{l.Name, l.Holder, l.Term, strconv.FormatInt(ms, 10)}, &patience)
	if errors.Is(err, ErrAbsent) {
		return fmt.Errorf("lease %s: %w", l.Name, ErrLost)
	}
	return err
}

// Under runs fn as [DB.Update] does, under a lease: it fails with [ErrLost] unless the
// lease is the holder's, and whoever takes the lease waits for its end. Transactions
// under other leases go on beside it, and what they commit is seen from one statement
// to the next: fn writes back nothing that it has read but what the lease guards.
func (db *DB) Under(ctx context.Context, l Lease, fn func(*Tx) error) error {
	return db.update(ctx, db.engine.beginUnder, func(tx *Tx) error {
		if err := tx.Holds(ctx, l); err != nil {
			return err
		}
		return fn(tx)
	})
}

const endLeases = `UPDATE leases SET ends = 0 WHERE ends > 0`

func (db *DB) endLeases(ctx context.Context) error {
	return db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, endLeases)
		return err
	})
}

// forEver is the span of a lease that ends with its process.
const forEver = 100 * 365 * 24 * time.Hour

// While runs work whenever this process has the lease of a name, until ctx ends: it
// waits while another has it, prolongs it until work returns, and gives it back then.
// The context of work ends when the lease is lost or ctx ends; what work then has in
// hand it may finish, since [DB.Under] tells whether the lease is still there. Another
// process takes the lease of one that was killed after span. When the lease cannot be
// asked for, failed is called, once until it can.
func (db *DB) While(ctx context.Context, name string, span time.Duration, failed func(error), work func(context.Context, Lease)) {
	if db.engine.alone() {
		span = forEver // nobody else can ask
	}
	failing := false
	for ctx.Err() == nil {
		l, err := db.Acquire(ctx, name, db.life, span)
		if err == nil {
			db.keep(ctx, l, span, work)
			failing = false
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if held := errors.Is(err, ErrHeld); !held && !failing {
			failed(err)
			failing = true
		} else if held {
			failing = false
		}
		wait(ctx, span/4)
	}
}

// keep runs work and prolongs its lease.
func (db *DB) keep(ctx context.Context, l Lease, span time.Duration, work func(context.Context, Lease)) {
	held, lose := context.WithCancel(ctx)
	defer lose()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(held, l)
	}()
	beyond := context.WithoutCancel(ctx) // work may still have something in hand
	tick := time.NewTicker(span / 4)
	defer tick.Stop()
	for until := l.Until; ; {
		select {
		case <-done:
			short, cancel := context.WithTimeout(beyond, span)
			defer cancel()
			db.Release(short, l) // or it ends by itself
			return
		case <-tick.C:
		}
		asking, cancel := context.WithDeadline(beyond, until)
		again, err := db.Acquire(asking, l.Name, l.Holder, span)
		cancel()
		switch {
		case err == nil && again.Term == l.Term:
			until = again.Until
		case err == nil, errors.Is(err, ErrHeld), !time.Now().Before(until):
			lose()
			<-done
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
