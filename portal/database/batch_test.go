package database_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
)

func TestBatchRunsInOrder(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		const ask = `SELECT value, text, CAST(NULL AS BIGINT) FROM counters WHERE name = $1`
		var changed int64
		var seen []int64
		var text []byte
		err := db.Update(t.Context(), func(tx *database.Tx) (err error) {
			seen = nil
			look := func(r database.Row) error {
				var n int64
				var none *int64
				err := r.Scan(&n, &text, &none)
				if seen = append(seen, n); none != nil {
					t.Error("a column without a value has one")
				}
				return err
			}
			var b database.Batch
			b.Exec(`UPDATE counters SET value = $2, text = $3 WHERE name = $1`, "a", 7, []byte("\xff\x00"))
			b.Query(ask, []any{"a"}, look)
			b.Exec(`UPDATE counters SET value = value + 1`)
			b.Exec(set, "nobody", 1)
			b.Query(ask, []any{"a"}, look)
			b.Query(ask, []any{"nobody"}, look)
			changed, err = tx.Send(t.Context(), &b)
			return err
		})
		if err != nil || changed != 2 || len(seen) != 2 || seen[0] != 7 || seen[1] != 8 || string(text) != "\xff\x00" {
			t.Errorf("%d changed, saw %d, %q: %v", changed, seen, text, err)
		}
	})
}

func TestFailedBatchLeavesNothing(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		err := db.Update(t.Context(), func(tx *database.Tx) error {
			var b database.Batch
			b.Exec(set, "a", 7)
			b.Exec(`INSERT INTO counters (name, value) VALUES ('a', 1)`)
			b.Exec(set, "a", 8)
			_, err := tx.Send(t.Context(), &b)
			return err
		})
		if !errors.Is(err, database.ErrThere) || value(t, db, "a") != 0 {
			t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
		}
		failure := errors.New("stop")
		err = db.Update(t.Context(), func(tx *database.Tx) error {
			var b database.Batch
			b.Exec(set, "a", 9)
			b.Query(`SELECT 1`, nil, func(database.Row) error { return failure })
			_, err := tx.Send(t.Context(), &b)
			return err
		})
		if !errors.Is(err, failure) || value(t, db, "a") != 0 {
			t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
		}
	})
}

// Who takes a lease waits for the transaction that is under way under it, and the next
// of the holder before changes nothing.
func TestWhoTakesALeaseWaits(t *testing.T) {
	databasetest.Need(t) // of SQLite there is one transaction at a time
	var now atomic.Int64
	now.Store(1)
	address := databasetest.PostgreSQL.Address(t)
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	db := databasetest.Open(t, address, database.Options{Clock: clock})
	other := databasetest.Open(t, address, database.Options{Clock: clock}) // as of another process
	if err := db.Migrate(t.Context(), "test", counters); err != nil {
		t.Fatal(err)
	}
	one, err := db.Acquire(t.Context(), "log", "one", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now.Add(3600)
	taken := make(chan error, 1)
	err = db.Under(t.Context(), one, func(tx *database.Tx) error {
		go func() {
			_, err := other.Acquire(context.WithoutCancel(t.Context()), "log", "two", time.Minute)
			taken <- err
		}()
		select {
		case err := <-taken:
			t.Errorf("taken while a transaction was under way: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		_, err := tx.Exec(t.Context(), set, "a", 7)
		return err
	})
	if err := errors.Join(err, <-taken); err != nil || value(t, db, "a") != 7 {
		t.Fatalf("%v, and the value is %d", err, value(t, db, "a"))
	}
	err = db.Under(t.Context(), one, func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), set, "a", 8)
		return err
	})
	if !errors.Is(err, database.ErrLost) || value(t, db, "a") != 7 {
		t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
	}
}

// A process that stands still within a transaction, or whose machine has gone without a
// word, keeps nobody from its lease for longer than that lasts, and then changes nothing.
func TestWhoStandsStillIsNotWaitedFor(t *testing.T) {
	databasetest.Need(t) // of SQLite there is one process
	address := databasetest.PostgreSQL.Address(t)
	db := databasetest.Open(t, address, database.Options{})
	other := databasetest.Open(t, address, database.Options{})
	if err := db.Migrate(t.Context(), "test", counters); err != nil {
		t.Fatal(err)
	}
	const span = 500 * time.Millisecond
	one, err := db.Acquire(t.Context(), "log", "one", span)
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	err = db.Under(t.Context(), one, func(tx *database.Tx) error {
		if tries++; tries == 1 {
			short, cancel := context.WithTimeout(t.Context(), 20*span)
			defer cancel()
			for err := database.ErrHeld; errors.Is(err, database.ErrHeld); time.Sleep(span / 8) {
				if _, err = other.Acquire(short, "log", "two", time.Minute); err != nil && !errors.Is(err, database.ErrHeld) {
					t.Fatal(err)
				}
			}
		}
		_, err := tx.Exec(t.Context(), set, "a", 7)
		return err
	})
	if !errors.Is(err, database.ErrLost) || value(t, db, "a") != 0 {
		t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
	}
}

// One works, another waits, and takes over when the first has ended or was lost.
func TestOneWorksAtATime(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		const span = 400 * time.Millisecond
		failed := func(err error) { t.Error(err) }
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan database.Lease, 1)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			db.While(ctx, "log", span, failed, func(ctx context.Context, l database.Lease) {
				first <- l
				<-ctx.Done()
			})
		}()
		l := <-first
		if _, err := db.Acquire(t.Context(), "log", "another", span); !errors.Is(err, database.ErrHeld) {
			t.Errorf("%v, want ErrHeld", err)
		}
		for end := time.Now().Add(2 * span); time.Now().Before(end); time.Sleep(span / 8) {
			if err := db.Under(t.Context(), l, func(*database.Tx) error { return nil }); err != nil {
				t.Fatalf("not prolonged: %v", err)
			}
		}
		if e == databasetest.PostgreSQL { // which others may have open
			if err := db.Update(t.Context(), func(tx *database.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE leases SET term = term + 1`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if again := <-first; again.Term <= l.Term {
				t.Errorf("began anew with term %d after %d", again.Term, l.Term)
			}
		}
		cancel()
		<-ended
		if _, err := db.Acquire(t.Context(), "log", "another", span); err != nil {
			t.Errorf("not given back: %v", err)
		}
	})
}

func TestWhoListensIsTold(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		heard, ended := make(chan struct{}, 100), make(chan struct{})
		go func() {
			defer close(ended)
			db.Listen(ctx, "log/1", func() { heard <- struct{}{} })
		}()
		<-heard // it listens
		if err := errors.Join(db.Tell(ctx, "another"), db.Tell(ctx, "log/1")); err != nil {
			t.Fatal(err)
		}
		<-heard
		cancel()
		<-ended
		if len(heard) != 0 {
			t.Errorf("told %d times more", len(heard))
		}
	})
}
