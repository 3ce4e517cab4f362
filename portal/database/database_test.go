package database_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

// counters is the schema of these tests.
var counters = []database.Step{{SQL: []string{
	`CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL, text BYTEA)`,
	`INSERT INTO counters (name, value) VALUES ('a', 0)`,
}}}

// open opens a new database with counters.
func open(t *testing.T, e databasetest.Engine) *database.DB {
	t.Helper()
	db := databasetest.Open(t, e.Address(t), database.Options{})
	if err := db.Migrate(t.Context(), "test", counters); err != nil {
		t.Fatal(err)
	}
	return db
}

func value(t *testing.T, db *database.DB, name string) int {
	t.Helper()
	var n int
	if err := db.Row(t.Context(), `SELECT value FROM counters WHERE name = $1`, []any{name}, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

const set = `UPDATE counters SET value = $2 WHERE name = $1`

func TestFailedUpdateLeavesNothing(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		failure := errors.New("stop")
		err := db.Update(t.Context(), func(tx *database.Tx) error {
			if n, err := tx.Exec(t.Context(), set, "a", 7); err != nil || n != 1 {
				t.Errorf("changed %d rows: %v", n, err)
			}
			return failure
		})
		if !errors.Is(err, failure) || value(t, db, "a") != 0 {
			t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
		}
	})
}

func TestPanicRollsBack(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			db.Update(t.Context(), func(tx *database.Tx) error {
				tx.Exec(t.Context(), set, "a", 7)
				panic("stop")
			})
		}()
		if n := value(t, db, "a"); n != 0 {
			t.Errorf("the value is %d", n)
		}
		// Nothing is held: the next one goes on.
		if err := db.Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), set, "a", 8)
			return err
		}); err != nil || value(t, db, "a") != 8 {
			t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
		}
	})
}

func TestErrorsAreSorted(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		const insert = `INSERT INTO counters (name, value) VALUES ($1, 1)`
		err := db.Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), insert, "a")
			return err
		})
		if !errors.Is(err, database.ErrThere) {
			t.Errorf("second row of a key: %v, want ErrThere", err)
		}
		var n int
		if err := db.Row(t.Context(), `SELECT value FROM counters WHERE name = $1`, []any{"b"}, &n); !errors.Is(err, database.ErrAbsent) {
			t.Errorf("no row: %v, want ErrAbsent", err)
		}
		err = db.Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO counters (name) VALUES ('c')`)
			return err
		})
		if err == nil || errors.Is(err, database.ErrThere) || errors.Is(err, database.ErrAgain) {
			t.Errorf("NULL where none may be: %v, want neither there nor again", err)
		}
	})
}

// What a device says may be no UTF-8: a column of bytes takes it.
func TestBytesOfAnyKind(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		want := "\x00\xff{}"
		if err := db.Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE counters SET text = $1`, []byte(want))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := db.Row(t.Context(), `SELECT text FROM counters`, nil, &got); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Each goroutine reads and writes back one more: none is lost.
func TestUpdatesThatMeetAreTriedAgain(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		const goroutines, each = 4, 10
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				for range each {
					for {
						err := db.Update(t.Context(), func(tx *database.Tx) error {
							var n int
							if err := tx.Row(t.Context(), `SELECT value FROM counters WHERE name = $1`, []any{"a"}, &n); err != nil {
								return err
							}
							_, err := tx.Exec(t.Context(), set, "a", n+1)
							return err
						})
						if err == nil {
							break
						}
						if !errors.Is(err, database.ErrAgain) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		all.Wait()
		if n := value(t, db, "a"); n != goroutines*each {
			t.Errorf("the value is %d, want %d", n, goroutines*each)
		}
	})
}

func TestViewSeesOneState(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		if err := db.View(t.Context(), func(tx *database.Tx) error {
			for i := range 2 {
				var n int
				if err := tx.Row(t.Context(), `SELECT value FROM counters WHERE name = 'a'`, nil, &n); err != nil {
					return err
				}
				if n != 0 {
					t.Errorf("read %d: %d", i, n)
				}
				if err := db.Update(t.Context(), func(tx *database.Tx) error {
					_, err := tx.Exec(t.Context(), set, "a", 9)
					return err
				}); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(t.Context(), set, "a", 10); err == nil {
				t.Error("a view wrote")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := value(t, db, "a"); n != 9 {
			t.Errorf("the value is %d", n)
		}
	})
}

func TestCallerThatGivesUpLeavesNothing(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Update(ctx, func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, set, "a", 7)
			cancel()
			return err
		})
		if err == nil || value(t, db, "a") != 0 {
			t.Errorf("%v, and the value is %d", err, value(t, db, "a"))
		}
		if err := db.Update(ctx, func(*database.Tx) error { t.Error("ran"); return nil }); err == nil {
			t.Error("no error of a context that has ended")
		}
		if err := db.Update(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), set, "a", 8)
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

// A server that dies in the middle of a transaction takes it along; the next try
// finds it back.
func TestServerThatCrashesIsWaitedFor(t *testing.T) {
	databasetest.Need(t)
	db := open(t, databasetest.PostgreSQL)
	tries := 0
	err := db.Update(t.Context(), func(tx *database.Tx) error {
		tries++
		if _, err := tx.Exec(t.Context(), `UPDATE counters SET value = value + 1 WHERE name = 'a'`); err != nil {
			return err
		}
		if tries == 1 {
			databasetest.Restart(t)
		}
		_, err := tx.Exec(t.Context(), `UPDATE counters SET value = value + 1 WHERE name = 'a'`)
		return err
	})
	if n := value(t, db, "a"); err != nil || n != 2 || tries < 2 {
		t.Errorf("%v after %d tries, and the value is %d", err, tries, n)
	}
}

func TestStepsComeOnceFromManyPrograms(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		address := e.Address(t)
		first := databasetest.Open(t, address, database.Options{})
		programs := []*database.DB{first, first}
		if e == databasetest.PostgreSQL {
			programs[1] = databasetest.Open(t, address, database.Options{})
		}
		var all sync.WaitGroup
		for _, db := range programs {
			all.Go(func() {
				if err := db.Migrate(t.Context(), "test", counters); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// The program before and the program after work on the same tables, each after
// the other; one that cannot is refused.
func TestSchemaOfAnotherProgram(t *testing.T) {
	adds := append(counters[:1:1], database.Step{SQL: []string{`ALTER TABLE counters ADD COLUMN more BIGINT NOT NULL DEFAULT 0`}})
	breaks := append(adds[:2:2], database.Step{SQL: []string{`ALTER TABLE counters DROP COLUMN text`}, Needs: 2})
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		for _, row := range []struct {
			name  string
			steps []database.Step
			want  error
		}{
			{"a step that adds", adds, nil},
			{"the program before", counters, nil},
			{"a step that takes away", breaks, nil},
			{"the program before", adds, nil},
			{"the one before that", counters, database.ErrNewer},
			{"the newest", breaks, nil},
		} {
			if err := db.Migrate(t.Context(), "test", row.steps); !errors.Is(err, row.want) {
				t.Errorf("%s: %v, want %v", row.name, err, row.want)
			}
		}
		// Of another owner nothing is known.
		if err := db.Migrate(t.Context(), "other", []database.Step{{SQL: []string{`CREATE TABLE others (id BIGINT)`}}}); err != nil {
			t.Error(err)
		}
	})
}

func TestStepThatFailsLeavesNothing(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := open(t, e)
		bad := append(counters[:1:1], database.Step{SQL: []string{`CREATE TABLE half (id BIGINT)`, `CREATE nothing`}})
		if err := db.Migrate(t.Context(), "test", bad); err == nil || !strings.Contains(err.Error(), "test: step 2") {
			t.Errorf("%v, want the step named", err)
		}
		good := append(counters[:1:1], database.Step{SQL: []string{`CREATE TABLE half (id BIGINT)`}})
		if err := db.Migrate(t.Context(), "test", good); err != nil {
			t.Error(err)
		}
	})
}

func TestVersionsOfBeforeOwnersAreAdopted(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := databasetest.Open(t, e.Address(t), database.Options{})
		if err := db.Adopt(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		old := []database.Step{{SQL: []string{`CREATE TABLE schema_version (version BIGINT NOT NULL)`, `INSERT INTO schema_version VALUES (1)`}}}
		if err := db.Migrate(t.Context(), "old", old); err != nil {
			t.Fatal(err)
		}
		steps := []database.Step{{SQL: []string{`not executed`}}, {SQL: []string{`CREATE TABLE second (id BIGINT)`}}}
		for range 2 {
			if err := errors.Join(db.Adopt(t.Context(), "test"), db.Migrate(t.Context(), "test", steps)); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestLease(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		now := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
		db := databasetest.Open(t, e.Address(t), database.Options{Clock: func() time.Time { return now }})
		const span = time.Minute
		one, err := db.Acquire(t.Context(), "log", "one", span)
		if err != nil || one.Term != 1 {
			t.Fatalf("%+v, %v", one, err)
		}
		// Trusted for less than it was granted.
		if left := time.Until(one.Until); left > span-span/4 || left < span/4 {
			t.Errorf("trusted for %v of %v", left, span)
		}
		holds := func(l database.Lease) error {
			return db.Update(t.Context(), func(tx *database.Tx) error { return tx.Holds(t.Context(), l) })
		}
		if _, err := db.Acquire(t.Context(), "log", "two", span); !errors.Is(err, database.ErrHeld) {
			t.Errorf("the lease of another: %v, want ErrHeld", err)
		}
		if other, err := db.Acquire(t.Context(), "mail", "two", span); err != nil || other.Term != 1 {
			t.Errorf("another lease: %+v, %v", other, err)
		}
		now = now.Add(span - time.Second)
		if again, err := db.Acquire(t.Context(), "log", "one", span); err != nil || again.Term != 1 || holds(again) != nil {
			t.Errorf("prolonged: %+v, %v", again, err)
		}
		now = now.Add(span) // from then
		two, err := db.Acquire(t.Context(), "log", "two", span)
		if err != nil || two.Term != 2 || holds(two) != nil {
			t.Errorf("after its end: %+v, %v", two, err)
		}
		if err := holds(one); !errors.Is(err, database.ErrLost) {
			t.Errorf("the holder before: %v, want ErrLost", err)
		}
		if err := db.Release(t.Context(), one); err != nil || holds(two) != nil {
			t.Error("the holder before gave back what is not its own")
		}
		if err := db.Release(t.Context(), two); err != nil || !errors.Is(holds(two), database.ErrLost) {
			t.Error("given back, and still held")
		}
		three, err := db.Acquire(t.Context(), "log", "two", span)
		if err != nil || three.Term != 3 {
			t.Errorf("anew: %+v, %v", three, err)
		}
		now = now.Add(span)
		if four, err := db.Acquire(t.Context(), "log", "two", span); err != nil || four.Term != 4 {
			t.Errorf("the same holder after its end: %+v, %v", four, err)
		}
	})
}

// The database's own clock is one: a lease lasts as long as it says, roughly.
func TestLeaseByTheClockOfTheDatabase(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := databasetest.Open(t, e.Address(t), database.Options{})
		if _, err := db.Acquire(t.Context(), "log", "one", time.Hour); err != nil {
			t.Fatal(err)
		}
		var ends int64
		if err := db.Row(t.Context(), `SELECT ends FROM leases`, nil, &ends); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(time.UnixMicro(ends)); left < 59*time.Minute || left > 61*time.Minute {
			t.Errorf("ends in %v", left)
		}
		if _, err := db.Acquire(t.Context(), "log", "two", time.Hour); !errors.Is(err, database.ErrHeld) {
			t.Errorf("%v, want ErrHeld", err)
		}
	})
}

// Two that ask at once: one has it.
func TestLeaseHasOneHolder(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		db := databasetest.Open(t, e.Address(t), database.Options{})
		var all sync.WaitGroup
		terms := make(chan int64, 8)
		for i := range cap(terms) {
			all.Go(func() {
				l, err := db.Acquire(t.Context(), "log", fmt.Sprint(i), time.Hour)
				switch {
				case err == nil:
					terms <- l.Term
				case !errors.Is(err, database.ErrHeld) && !errors.Is(err, database.ErrAgain):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(terms) != 1 || <-terms != 1 {
			t.Errorf("%d holders", len(terms)+1)
		}
	})
}

func TestSecondProcessIsRefused(t *testing.T) {
	address := databasetest.SQLite.Address(t)
	db := databasetest.Open(t, address, database.Options{})
	if _, err := database.Open(t.Context(), address, database.Options{}); !errors.Is(err, database.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	databasetest.Open(t, address, database.Options{})
}

// A folder may be named as people name it: SQLite gets it inside a URI.
func TestFolderNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"centre", "./a", "with space", "per%20cent", "question?mode=memory", "hash#1", "città"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "portal.db")
		db := databasetest.Open(t, path, database.Options{})
		if err := db.Migrate(t.Context(), "test", counters); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info, err)
		}
		c, err := database.OpenRead(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if n := value(t, c, "a"); n != 0 {
			t.Errorf("a reader says %d", n)
		}
		c.Close()
	}
}

// A password is in no error.
func TestPasswordIsNotPrinted(t *testing.T) {
	for _, address := range []string{"postgres://u:secret@127.0.0.1:1/x?connect_timeout=1", "postgres://u:secret@127.0.0.1:x/x"} {
		_, err := database.Open(t.Context(), address, database.Options{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}
