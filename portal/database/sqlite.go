package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ciglio/internal/durable"
)

const lockName = "lock"

// lite is SQLite. One connection writes.
type lite struct {
	db    *sql.DB
	conn  *sql.Conn
	turn  chan struct{} // holds one token: whose it is uses conn and stmts
	stmts map[string]*sql.Stmt

	mu    sync.Mutex
	reads map[string]*sql.Stmt

	ears ears
}

func (db *DB) openSQLite(path string) (err error) {
	folder := filepath.Dir(path)
	if db.lock, err = LockFile(path); err != nil {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if _, err := os.Stat(name); name != path && errors.Is(err, os.ErrNotExist) {
			continue // made with the mode of the database
		}
		if err := private(name); err != nil {
			return err
		}
	}
	l := &lite{turn: make(chan struct{}, 1), stmts: make(map[string]*sql.Stmt), reads: make(map[string]*sql.Stmt)}
	db.engine = l
	if l.db, err = openFile(path, "busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)"); err != nil {
		return err
	}
	l.db.SetMaxOpenConns(1)
	if l.conn, err = l.db.Conn(context.Background()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	l.turn <- struct{}{}
	if db.read, err = openFile(path, "busy_timeout(10000)", "query_only(1)"); err != nil {
		return err
	}
	db.read.SetMaxOpenConns(8)
	db.read.SetMaxIdleConns(8)
	// The file itself may be new.
	return durable.SyncFolder(folder)
}

// LockFile keeps everybody from opening a file of SQLite, until the lock is closed. The
// error wraps [ErrLocked] when another has it open.
func LockFile(path string) (*os.File, error) {
	folder := filepath.Dir(path)
	lock, err := durable.Lock(filepath.Join(folder, lockName))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("store %s: %w", folder, ErrLocked)
	}
	return lock, err
}

func openFile(path string, pragmas ...string) (*sql.DB, error) {
	// The first word of a relative path would be taken for a host.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	options := url.Values{"_pragma": pragmas}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String())
}

// private makes a file that may exist already one that only its owner can read.
// SQLite makes its other files with the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// readSQLite opens a file that is there, beside whoever has it open.
func (db *DB) readSQLite(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	read, err := openFile(path, "busy_timeout(10000)", "query_only(1)")
	if err != nil {
		return err
	}
	read.SetMaxOpenConns(4)
	db.engine, db.read = &lite{reads: make(map[string]*sql.Stmt)}, read
	return nil
}

func (l *lite) begin(ctx context.Context) (transaction, error) {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if _, err := (liteTx{l}).exec(ctx, `BEGIN IMMEDIATE`, nil); err != nil {
		l.turn <- struct{}{}
		return nil, err
	}
	return liteTx{l}, nil
}

// liteTx is the transaction of whoever has the turn.
type liteTx struct{ *lite }

// stmt returns the statement of a text, prepared when it is first used.
func (t liteTx) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := t.stmts[text]; s != nil {
		return s, nil
	}
	s, err := t.conn.PrepareContext(ctx, text)
	if err == nil {
		t.stmts[text] = s
	}
	return s, err
}

func (t liteTx) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	s, err := t.stmt(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (t liteTx) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	s, err := t.stmt(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// send runs one statement after the other.
func (t liteTx) send(ctx context.Context, b *Batch) error {
	for i := range b.items {
		item := &b.items[i]
		if item.each == nil {
			result, err := t.exec(ctx, item.text, item.args)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			b.changed += n
			continue
		}
		rows, err := t.query(ctx, item.text, item.args)
		if err != nil {
			return err
		}
		for err == nil && rows.Next() {
			err = item.each(rows)
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (t liteTx) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return errors.Join(err, t.rollback(context.WithoutCancel(ctx)))
	}
	ctx = context.WithoutCancel(ctx) // half a commit is none
	if _, err := t.exec(ctx, `COMMIT`, nil); err != nil {
		t.rollback(ctx) // it may have ended by itself
		return err
	}
	t.turn <- struct{}{}
	return nil
}

func (t liteTx) rollback(ctx context.Context) error {
	_, err := t.exec(ctx, `ROLLBACK`, nil)
	t.turn <- struct{}{}
	return err
}

func (l *lite) view(ctx context.Context, read *sql.DB) (*sql.Tx, error) {
	return read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
}

func (l *lite) query(ctx context.Context, read *sql.DB, text string, args []any) (*sql.Rows, error) {
	l.mu.Lock()
	s := l.reads[text]
	l.mu.Unlock()
	if s == nil {
		var err error
		if s, err = read.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
		l.mu.Lock()
		if first := l.reads[text]; first != nil {
			defer s.Close()
			s = first
		} else {
			l.reads[text] = s
		}
		l.mu.Unlock()
	}
	return s.QueryContext(ctx, args...)
}

func (l *lite) sort(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return fmt.Errorf("%w: %w", ErrThere, err)
		}
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w: %w", ErrAgain, err)
		}
	}
	return err
}

func (l *lite) now() string { return `CAST(unixepoch('subsec') * 1000000 AS INTEGER)` }

// beginUnder is begin: one writes at a time.
func (l *lite) beginUnder(ctx context.Context) (transaction, error) { return l.begin(ctx) }

func (l *lite) share() string { return "" }

// patience asks for nothing: a transaction ends with its process.
func (l *lite) patience(parameter string) string { return `CAST(` + parameter + ` AS TEXT)` }

func (l *lite) alone() bool { return true }

func (l *lite) tell(_ context.Context, name string) error {
	l.ears.tell(name)
	return nil
}

func (l *lite) listen(ctx context.Context, name string, wake func()) { l.ears.listen(ctx, name, wake) }

// beginStep is begin: the transaction has the only lock there is.
func (l *lite) beginStep(ctx context.Context) (transaction, error) { return l.begin(ctx) }

func (l *lite) columns() string { return `SELECT COUNT(*) FROM pragma_table_info($1)` }

func (l *lite) catalogue() catalogue {
	return catalogue{
		tables:  `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name`,
		columns: `SELECT name, type FROM pragma_table_info($1) ORDER BY cid`,
		key:     `SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk`,
		refers:  `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`,
	}
}

func (l *lite) load(ctx context.Context, tx *Tx, table Table, rows [][]any) error {
	values := make([]string, len(table.Columns))
	for i := range values {
		values[i] = fmt.Sprintf("$%d", i+1)
	}
	text := `INSERT INTO ` + quoted(table.Name) + ` (` + table.names() + `) VALUES (` + strings.Join(values, ", ") + `)`
	for _, row := range rows {
		if _, err := tx.Exec(ctx, text, row...); err != nil {
			return err
		}
	}
	return nil
}

func (l *lite) close() error {
	var errs []error
	for _, s := range l.reads {
		errs = append(errs, s.Close())
	}
	for _, s := range l.stmts {
		errs = append(errs, s.Close())
	}
	if l.conn != nil {
		errs = append(errs, l.conn.Close())
	}
	if l.db != nil {
		errs = append(errs, l.db.Close())
	}
	return errors.Join(errs...)
}
