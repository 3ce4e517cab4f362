package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// post is PostgreSQL. Statements are prepared by the driver, once a connection.
type post struct {
	db     *sql.DB
	config *pgx.ConnConfig
}

const postConnections = 16

func (db *DB) openPostgres(address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return fmt.Errorf("database: %w", err) // without the password
	}
	config.RuntimeParams["application_name"] = "ciglio-portal"
	p := post{db: stdlib.OpenDB(*config), config: config}
	p.db.SetMaxOpenConns(postConnections)
	p.db.SetMaxIdleConns(postConnections)
	p.db.SetConnMaxIdleTime(5 * time.Minute)
	db.engine, db.read = p, p.db
	return nil
}

func (p post) begin(ctx context.Context) (transaction, error) {
	return p.beginAt(ctx, sql.LevelSerializable)
}

func (p post) beginUnder(ctx context.Context) (transaction, error) {
	return p.beginAt(ctx, sql.LevelReadCommitted)
}

func (p post) beginAt(ctx context.Context, level sql.IsolationLevel) (transaction, error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return postTx{tx, conn, ctx}, nil
}

// postTx is a transaction and the connection that is its alone.
type postTx struct {
	tx   *sql.Tx
	conn *sql.Conn
	life context.Context // when it ends, the transaction does
}

func (t postTx) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, text, args...)
}

func (t postTx) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, text, args...)
}

// send has all statements on the way before the first answer is read. It goes by the
// context of the transaction: the connection may be out of it when that has ended.
func (t postTx) send(_ context.Context, b *Batch) error {
	return t.conn.Raw(func(conn any) error {
		queue := &pgx.Batch{}
		for i := range b.items {
			item := &b.items[i]
			q := queue.Queue(item.text, item.args...)
			if item.each == nil {
				q.Exec(func(tag pgconn.CommandTag) error {
					b.changed += tag.RowsAffected()
					return nil
				})
				continue
			}
			q.Query(func(rows pgx.Rows) error {
				defer rows.Close()
				for rows.Next() {
					if err := item.each(rows); err != nil {
						return err
					}
				}
				return rows.Err()
			})
		}
		return conn.(*stdlib.Conn).Conn().SendBatch(t.life, queue).Close()
	})
}

func (t postTx) commit(ctx context.Context) error {
	defer t.conn.Close() // gives it back
	if ctx.Err() != nil {
		return t.tx.Commit() // which rolls back
	}
	err := t.tx.Commit()
	if err != nil && errors.Is(post{}.sort(err), ErrAgain) && !refused(err) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

// rollback is done already when the context has ended.
func (t postTx) rollback(context.Context) error {
	defer t.conn.Close()
	if err := t.tx.Rollback(); !errors.Is(err, sql.ErrTxDone) && !lost(err) {
		return err
	}
	return nil
}

func (p post) view(ctx context.Context, _ *sql.DB) (*sql.Tx, error) {
	return p.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func (p post) query(ctx context.Context, _ *sql.DB, text string, args []any) (*sql.Rows, error) {
	return p.db.QueryContext(ctx, text, args...)
}

func (p post) sort(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && e.Code == "23505": // unique_violation
		return fmt.Errorf("%w: %w", ErrThere, err)
	case refused(err), lost(err):
		return fmt.Errorf("%w: %w", ErrAgain, err)
	}
	return err
}

// refused reports whether the database has rolled back a transaction that may
// succeed when it comes again.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return true
	}
	return false
}

// lost reports whether there is no connection, or none any more.
func lost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "57P01", "57P02", "57P03", "25P03": // admin_shutdown, crash_shutdown, cannot_connect_now, idle_in_transaction_session_timeout
			return true
		}
		return strings.HasPrefix(e.Code, "08") // connection_exception
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return network || connecting || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

func (p post) now() string { return `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)` }

// schemaLock is a number that this program alone takes advisory locks by.
const schemaLock = 0x6369676c696f // "ciglio"

// A step that waits for a table lets nobody else at it, so it waits for short.
const stepPatience = `SET LOCAL lock_timeout = '5s'`

// beginStep sees what others have done until it has the lock, so it is READ
// COMMITTED.
func (p post) beginStep(ctx context.Context) (transaction, error) {
	tx, err := p.beginAt(ctx, sql.LevelReadCommitted)
	if err != nil {
		return nil, err
	}
	if _, err = tx.exec(ctx, `SELECT pg_advisory_xact_lock($1)`, []any{int64(schemaLock)}); err == nil {
		_, err = tx.exec(ctx, stepPatience, nil)
	}
	if err != nil {
		return nil, errors.Join(err, tx.rollback(ctx))
	}
	return tx, nil
}

func (p post) share() string { return ` FOR SHARE` }

func (p post) patience(parameter string) string {
	return `set_config('idle_in_transaction_session_timeout', CAST(` + parameter + ` AS TEXT), true)`
}

func (p post) alone() bool { return false }

// tell is no part of a transaction: PostgreSQL lets one that tells commit at a time.
func (p post) tell(ctx context.Context, name string) error {
	_, err := p.db.ExecContext(ctx, `SELECT pg_notify($1, '')`, name)
	return err
}

// listen holds a connection of its own. What was told while there was none nobody
// knows, so a new one wakes.
func (p post) listen(ctx context.Context, name string, wake func()) {
	for ctx.Err() == nil {
		p.hear(ctx, name, wake)
		wait(ctx, time.Second)
	}
}

func (p post) hear(ctx context.Context, name string, wake func()) {
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err != nil {
		return // whoever listens looks by itself, too
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{name}.Sanitize()); err != nil {
		return
	}
	wake()
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
		wake()
	}
}

func (p post) columns() string {
	return `SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`
}

func (p post) catalogue() catalogue {
	const key = `SELECT a.attname FROM pg_constraint c
		CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(number, place)
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
		WHERE c.contype = 'p' AND c.conrelid = to_regclass(quote_ident($1)) ORDER BY k.place`
	return catalogue{
		tables: `SELECT table_name::text FROM information_schema.tables
			WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name::text`,
		columns: `SELECT column_name::text, data_type::text FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`,
		key: key,
		refers: `SELECT DISTINCT r.relname::text FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid
			WHERE c.contype = 'f' AND c.conrelid = to_regclass(quote_ident($1))`,
	}
}

// load inserts all rows by one statement, whose parameters are the columns.
func (p post) load(ctx context.Context, tx *Tx, table Table, rows [][]any) error {
	var args []any
	var arrays []string
	for i, c := range table.Columns {
		var array any
		switch c.Kind {
		case Bytes:
			array = column[[]byte](rows, i)
			arrays = append(arrays, fmt.Sprintf("$%d::bytea[]", i+1))
		case Integer:
			array = column[*int64](rows, i)
			arrays = append(arrays, fmt.Sprintf("$%d::bigint[]", i+1))
		case Text:
			array = column[*string](rows, i)
			arrays = append(arrays, fmt.Sprintf("$%d::text[]", i+1))
		}
		args = append(args, array)
	}
	_, err := tx.Exec(ctx, `INSERT INTO `+quoted(table.Name)+` (`+table.names()+`) SELECT * FROM unnest(`+strings.Join(arrays, ", ")+`)`, args...)
	return err
}

// column is one of the columns of rows; the zero value is NULL.
func column[T any](rows [][]any, i int) []T {
	all := make([]T, len(rows))
	for n, row := range rows {
		switch to := any(&all[n]).(type) {
		case *[]byte:
			*to, _ = row[i].([]byte)
		case **int64:
			if v, ok := row[i].(int64); ok {
				*to = &v
			}
		case **string:
			if v, ok := row[i].(string); ok {
				*to = &v
			}
		}
	}
	return all
}

func (p post) close() error { return nil } // read is the same pool
