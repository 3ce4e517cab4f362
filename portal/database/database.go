// Package database runs SQL on SQLite or PostgreSQL: transactions that are tried
// again where they met another, the schema of every room, and leases. It knows no
// table but its own. README.md says what the SQL may contain.
//
// A DB is safe for concurrent use. What [DB.Update] has returned nil for is on
// disk.
package database

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"time"
)

// Errors that every error of this package is sorted by.
var (
	// ErrAbsent says that there is no such row.
	ErrAbsent = errors.New("not there")
	// ErrThere says that a row with this key is there already.
	ErrThere = errors.New("there already")
	// ErrAgain says that the same may succeed later: another transaction was in
	// the way, or the connection was lost and nothing was committed.
	ErrAgain = errors.New("not possible at the moment")
	// ErrUnknown says that the connection was lost during the commit: it may have
	// happened or not.
	ErrUnknown = errors.New("whether it was committed is not known")
	// ErrLocked says that another process has the file open.
	ErrLocked = errors.New("the store is open in another process")
)

// maxTries is how often [DB.Update] tries, firstPause how long it waits at most
// after the first time; each further pause may be twice as long, to maxPause.
const (
	maxTries   = 10
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// Options of a DB.
type Options struct {
	// Clock is the clock of leases; nil for the database's own. Tests give one.
	Clock func() time.Time
	// Filling opens a database that is being filled, which nobody else can.
	Filling bool
}

// A DB is an open database.
type DB struct {
	engine engine
	clock  func() time.Time
	read   *sql.DB
	lock   *os.File // of SQLite's folder
	life   string   // holder of the leases that this one takes
}

// An engine is what the two do each in its own way.
type engine interface {
	// begin begins a transaction that writes.
	begin(context.Context) (transaction, error)
	// beginUnder begins one that a lease parts from others that write.
	beginUnder(context.Context) (transaction, error)
	// view begins one that reads.
	view(context.Context, *sql.DB) (*sql.Tx, error)
	// query reads outside of a transaction.
	query(ctx context.Context, read *sql.DB, text string, args []any) (*sql.Rows, error)
	// sort wraps an error in those of this package.
	sort(error) error
	// now is SQL for the database's clock, in microseconds since 1970 UTC.
	now() string
	// share is SQL that has others wait with changes of the rows of a query.
	share() string
	// patience is SQL, a text, that has the database end the transaction when nothing
	// comes for so many milliseconds, which a parameter has as text.
	patience(parameter string) string
	// alone reports whether no other process can have the database open.
	alone() bool
	// tell wakes those who listen to a name, in every process.
	tell(ctx context.Context, name string) error
	// listen calls wake when a name was told, until ctx ends.
	listen(ctx context.Context, name string, wake func())
	// beginStep begins one for a step of a schema: others wait with theirs until
	// it ends.
	beginStep(context.Context) (transaction, error)
	// seal is SQL that makes a table's rows ones that are kept as they are.
	seal(table string) []string
	// columns is a query for the number of columns of a table named by $1.
	columns() string
	catalogue() catalogue
	// load inserts rows of a table.
	load(ctx context.Context, tx *Tx, table Table, rows [][]any) error
	close() error
}

// A transaction is one that writes.
type transaction interface {
	exec(ctx context.Context, text string, args []any) (sql.Result, error)
	query(ctx context.Context, text string, args []any) (*sql.Rows, error)
	send(context.Context, *Batch) error
	commit(context.Context) error
	rollback(context.Context) error
}

// Open opens the database at an address: a URL of PostgreSQL ("postgres://…"), or
// the path of a file of SQLite, which is made where it is missing and then open
// in this process alone. The password of a URL is better kept in the file that
// the engine's own programs use (PGPASSFILE): errors do not print it.
func Open(ctx context.Context, address string, o Options) (*DB, error) {
	db := &DB{clock: o.Clock, life: rand.Text()}
	var err error
	if IsURL(address) {
		err = db.openPostgres(address)
	} else {
		err = db.openSQLite(address)
	}
	if err == nil {
		err = db.Check(ctx)
	}
	if err == nil {
		err = db.Migrate(ctx, "database", steps)
	}
	if err == nil && !o.Filling {
		err = db.unfinished(ctx)
	}
	if err == nil && db.engine.alone() {
		err = db.endLeases(ctx) // of processes that were killed
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// OpenRead opens a database to be read only, with the schema that it has. A file of
// SQLite may be open in a running process.
func OpenRead(ctx context.Context, address string) (*DB, error) {
	db := &DB{}
	var err error
	if IsURL(address) {
		err = db.openPostgres(address)
	} else {
		err = db.readSQLite(address)
	}
	if err == nil {
		err = db.Check(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// IsURL reports whether an address is one of PostgreSQL.
func IsURL(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// Close ends the use of the database. Nothing is lost without it.
func (db *DB) Close() error {
	var errs []error
	if db.engine != nil {
		errs = append(errs, db.engine.close())
	}
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Check asks the database whether it answers.
func (db *DB) Check(ctx context.Context) error {
	var one int
	return db.Row(ctx, `SELECT 1`, nil, &one)
}

// A Reader reads: a [DB] what was committed when it is asked, a [Tx] what it sees.
type Reader interface {
	// Query returns rows, which the caller closes. It may hold a connection
	// until then.
	Query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	// Row reads the one row of a query into variables. The error wraps
	// [ErrAbsent] when there is none.
	Row(ctx context.Context, text string, args []any, into ...any) error
}

var _, _ Reader = (*DB)(nil), (*Tx)(nil)

// Query is that of [Reader].
func (db *DB) Query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := db.engine.query(ctx, db.read, text, args)
	return rows, db.sort(err)
}

// Row is that of [Reader].
func (db *DB) Row(ctx context.Context, text string, args []any, into ...any) error {
	return row(ctx, db, db, text, args, into)
}

// A Tx is one transaction. It is valid until the function it was given to
// returns, and used by one goroutine at a time.
type Tx struct {
	db *DB
	transaction
	read *sql.Tx // instead, of one that only reads
}

// Query is that of [Reader].
func (t *Tx) Query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	var rows *sql.Rows
	var err error
	if t.read != nil {
		rows, err = t.read.QueryContext(ctx, text, args...)
	} else {
		rows, err = t.query(ctx, text, args)
	}
	return rows, t.db.sort(err)
}

// Row is that of [Reader].
func (t *Tx) Row(ctx context.Context, text string, args []any, into ...any) error {
	return row(ctx, t.db, t, text, args, into)
}

// Exec changes rows and returns how many.
func (t *Tx) Exec(ctx context.Context, text string, args ...any) (changed int64, err error) {
	if t.read != nil {
		return 0, errors.New("a transaction that only reads")
	}
	result, err := t.exec(ctx, text, args)
	if err != nil {
		return 0, t.db.sort(err)
	}
	return result.RowsAffected()
}

func row(ctx context.Context, db *DB, r Reader, text string, args, into []any) error {
	rows, err := r.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return db.sort(err)
		}
		return ErrAbsent
	}
	return db.sort(errors.Join(rows.Scan(into...), rows.Close()))
}

func (db *DB) sort(err error) error {
	if err == nil || errors.Is(err, ErrAbsent) || errors.Is(err, ErrThere) || errors.Is(err, ErrAgain) {
		return err
	}
	return db.engine.sort(err)
}

// Scan reads all rows of a query by scan, which is called for each.
func Scan[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// View runs fn in a transaction that reads: all of it sees the same.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	tx, err := db.engine.view(ctx, db.read)
	if err != nil {
		return db.sort(err)
	}
	defer tx.Rollback() // which ends a transaction that has changed nothing
	return fn(&Tx{db: db, read: tx})
}

// Update runs fn in one transaction and commits it. When fn or the commit fails,
// nothing of it remains. Where the error is one of [ErrAgain] it is tried again,
// so fn touches nothing but its transaction. A panic rolls back and goes on.
// Updates of one file run one after the other.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return db.update(ctx, db.engine.begin, fn)
}

func (db *DB) update(ctx context.Context, begin func(context.Context) (transaction, error), fn func(*Tx) error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := db.try(ctx, begin, fn)
		if err == nil || !errors.Is(err, ErrAgain) || errors.Is(err, ErrUnknown) || try == maxTries || ctx.Err() != nil {
			return err
		}
		wait := time.NewTimer(time.Duration(mathrand.Float64() * float64(pause)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

func (db *DB) try(ctx context.Context, begin func(context.Context) (transaction, error), fn func(*Tx) error) (err error) {
	begun, err := begin(ctx)
	if err != nil {
		return db.sort(err)
	}
	ended := false
	defer func() {
		if ended {
			return
		}
		// The caller's context may have ended: the transaction does not outlive it.
		if rerr := begun.rollback(context.WithoutCancel(ctx)); rerr != nil && err != nil {
			err = fmt.Errorf("%w (and it cannot be rolled back: %v)", err, rerr)
		}
	}()
	if err := fn(&Tx{db: db, transaction: begun}); err != nil {
		return db.sort(err)
	}
	ended = true
	return db.sort(begun.commit(ctx))
}
