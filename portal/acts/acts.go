// Package acts keeps the acts of cases: appended under a key, never changed, in one
// transaction with the case's projections and with what is to be told outside.
//
// [Store.Add] folds the case, asks casefile whether the act is allowed, and writes it, its
// private values, its messages and every projection, or nothing. A key that is there is no
// error and no second act. The tables of acts are sealed: the engine refuses UPDATE and
// DELETE. Private values lie in a table of their own; an act that erases deletes them.
//
// Acts get their place later, in the order in which they were done, from the one process
// that has the lease: [Store.Place]. Who follows reads behind a cursor of places and misses
// none, whatever order transactions were committed in. Hashes wait in the same rows for the
// log: [Store.Waiting].
//
// A Store is safe for concurrent use. SQL stands above its one function.
package acts

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/casefile"
	"ciglio/portal/database"
	"ciglio/portal/law"
)

// ErrDamaged says that stored acts are not those that were written.
var ErrDamaged = errors.New("damaged")

// A Store is the acts of all cases.
type Store struct {
	db          *database.DB
	projections []Projection
}

// Open brings the tables to their last step. Desks hand in projections of their own, whose
// tables are theirs.
func Open(ctx context.Context, db *database.DB, l *law.Law, desks ...Projection) (*Store, error) {
	if err := db.Migrate(ctx, owner, steps); err != nil {
		return nil, err
	}
	return &Store{db, append(builtin(l), desks...)}, nil
}

// A New is an act to be added.
type New struct {
	Key  casefile.Key
	At   time.Time
	Day  law.Day // as which it counts; zero: that of At
	By   casefile.Actor
	Body casefile.Body
	// Private are the values of the commitments in Body that the case does not have yet.
	Private  []casefile.Private
	Messages []Message
}

const insertAct = `INSERT INTO acts (case_id, number, key, kind, at, hash, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)`

const insertWaiting = `INSERT INTO act_waiting (case_id, number, at, hash) VALUES ($1, $2, $3, $4)`

// Add appends an act to a case and returns the case after it. An act of a case never
// counts before the one before it: At is moved to that. The error is a
// [*casefile.Refusal] when the act is not allowed.
func (s *Store) Add(ctx context.Context, tx *database.Tx, id casefile.ID, n New) (casefile.Case, error) {
	before, err := s.Case(ctx, tx, id)
	if errors.Is(err, database.ErrAbsent) {
		before, err = casefile.New(id), nil
	}
	if err != nil || before.Has(n.Key) {
		return before, err
	}
	at := n.At
	if at.Before(before.At) {
		at = before.At
	}
	act := before.Next(n.Key, at, n.By, n.Body)
	if !n.Day.Zero() {
		act.Day = n.Day
	}
	after, err := before.Apply(act)
	if err != nil {
		return before, err
	}
	b, err := act.Encode()
	if err != nil {
		return before, err
	}
	hash := casefile.HashOf(b)
	_, err = tx.Exec(ctx, insertAct, id[:], act.Number, n.Key[:], string(n.Body.Kind()), act.At.UnixMicro(), hash[:], b)
	if errors.Is(err, database.ErrThere) { // another act of the case was first: fold again
		return before, fmt.Errorf("case %s: act %d: %w", id, act.Number, database.ErrAgain)
	}
	if err == nil {
		_, err = tx.Exec(ctx, insertWaiting, id[:], act.Number, act.At.UnixMicro(), hash[:])
	}
	if err == nil {
		err = s.keep(ctx, tx, id, n)
	}
	if err == nil {
		err = s.project(ctx, tx, before, after)
	}
	for i := 0; err == nil && i < len(n.Messages); i++ {
		err = put(ctx, tx, id, act.Number, act.At, n.Messages[i])
	}
	if err != nil {
		return before, err
	}
	return after, nil
}

const selectActs = `SELECT bytes, hash FROM acts WHERE case_id = $1 ORDER BY number`

// History returns the acts of a case in their order; none when there is no such case. The
// error wraps [ErrDamaged] when one is not what was written.
func (s *Store) History(ctx context.Context, r database.Reader, id casefile.ID) ([]*casefile.Act, error) {
	rows, err := r.Query(ctx, selectActs, id[:])
	return database.Scan(rows, err, func(rows *sql.Rows) (*casefile.Act, error) {
		var b, hash []byte
		if err := rows.Scan(&b, &hash); err != nil {
			return nil, err
		}
		return read(b, hash)
	})
}

func read(b, hash []byte) (*casefile.Act, error) {
	if own := casefile.HashOf(b); !bytes.Equal(own[:], hash) {
		return nil, fmt.Errorf("act %x: %w", hash, ErrDamaged)
	}
	a, err := casefile.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("act %x: %w: %w", hash, ErrDamaged, err)
	}
	return a, nil
}

// Case returns a case as its acts make it. The error wraps [database.ErrAbsent] when there
// is none, [ErrDamaged] when its acts are no chain.
func (s *Store) Case(ctx context.Context, r database.Reader, id casefile.ID) (casefile.Case, error) {
	kept, err := s.History(ctx, r, id)
	if err != nil {
		return casefile.Case{}, err
	}
	if len(kept) == 0 {
		return casefile.Case{}, fmt.Errorf("case %s: %w", id, database.ErrAbsent)
	}
	c, err := casefile.Fold(id, kept)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return c, nil
}

const insertValue = `INSERT INTO act_values (case_id, commitment, mark, salt, value) VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (case_id, commitment) DO NOTHING`

const selectValue = `SELECT 1 FROM act_values WHERE case_id = $1 AND commitment = $2`

const deleteValues = `DELETE FROM act_values WHERE case_id = $1 AND mark = $2`

// keep writes the private values that an act commits to, each of them and nothing else, and
// deletes those that it erases.
func (s *Store) keep(ctx context.Context, tx *database.Tx, id casefile.ID, n New) error {
	committed := casefile.Commitments(n.Body)
	for _, p := range n.Private {
		c := p.Commitment()
		if committed[c] != p.Mark {
			return fmt.Errorf("act %s: a private value that it does not commit to", n.Body.Kind())
		}
		if _, err := tx.Exec(ctx, insertValue, id[:], c[:], string(p.Mark), p.Salt[:], []byte(p.Value)); err != nil {
			return err
		}
	}
	for c := range committed {
		var one int
		err := tx.Row(ctx, selectValue, []any{id[:], c[:]}, &one)
		if errors.Is(err, database.ErrAbsent) {
			return fmt.Errorf("act %s: a commitment without its value", n.Body.Kind())
		}
		if err != nil {
			return err
		}
	}
	if erased, ok := n.Body.(*casefile.Erased); ok {
		for _, e := range erased.What {
			if _, err := tx.Exec(ctx, deleteValues, id[:], string(e.What)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Values are the private values of a case that are not erased.
type Values map[casefile.Commitment]casefile.Private

const selectValues = `SELECT mark, salt, value FROM act_values WHERE case_id = $1`

// Values returns them. Whoever asks enters who looked, and why, before.
func (s *Store) Values(ctx context.Context, r database.Reader, id casefile.ID) (Values, error) {
	rows, err := r.Query(ctx, selectValues, id[:])
	all, err := database.Scan(rows, err, func(rows *sql.Rows) (p casefile.Private, err error) {
		var mark string
		var salt, value []byte
		err = rows.Scan(&mark, &salt, &value)
		p.Mark, p.Value = casefile.Mark(mark), string(value)
		copy(p.Salt[:], salt)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	values := make(Values, len(all))
	for _, p := range all {
		values[p.Commitment()] = p
	}
	return values, nil
}

// A Waiting act has no place yet.
type Waiting struct {
	Case   casefile.ID
	Number int64
	Hash   evidence.Hash
}

const selectWaiting = `SELECT case_id, number, hash FROM act_waiting ORDER BY at, case_id, number LIMIT $1`

// Waiting returns acts that have no place yet, those that were done first before the
// others, of one case always in their order.
func (s *Store) Waiting(ctx context.Context, r database.Reader, limit int) ([]Waiting, error) {
	rows, err := r.Query(ctx, selectWaiting, limit)
	return database.Scan(rows, err, func(rows *sql.Rows) (w Waiting, err error) {
		var id, hash []byte
		err = rows.Scan(&id, &w.Number, &hash)
		copy(w.Case[:], id)
		copy(w.Hash[:], hash)
		return w, err
	})
}

const insertPlace = `INSERT INTO act_places (position, case_id, number) VALUES ($1, $2, $3)`

const deleteWaiting = `DELETE FROM act_waiting WHERE case_id = $1 AND number = $2`

// Put gives waiting acts their places, from first on: their indexes in the log. It comes
// under the lease of who numbers, in the transaction that appends to the log.
func (s *Store) Put(ctx context.Context, tx *database.Tx, waiting []Waiting, first int64) error {
	for i, w := range waiting {
		if _, err := tx.Exec(ctx, insertPlace, first+int64(i), w.Case[:], w.Number); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteWaiting, w.Case[:], w.Number); err != nil {
			return err
		}
	}
	return nil
}

const selectLast = `SELECT COALESCE(MAX(position), -1) FROM act_places`

// Place gives at most limit waiting acts the places after the last one, under a lease, and
// returns how many. It is for a centre whose log takes no acts: see [Store.Put].
func (s *Store) Place(ctx context.Context, lease database.Lease, limit int) (placed int, err error) {
	err = s.db.Update(ctx, func(tx *database.Tx) error {
		if err := tx.Holds(ctx, lease); err != nil {
			return err
		}
		waiting, err := s.Waiting(ctx, tx, limit)
		if err != nil {
			return err
		}
		var last int64
		if err := tx.Row(ctx, selectLast, nil, &last); err != nil {
			return err
		}
		placed = len(waiting)
		return s.Put(ctx, tx, waiting, last+1)
	})
	if err != nil {
		return 0, err
	}
	return placed, nil
}

// A Placed act is one with its place.
type Placed struct {
	Position int64
	*casefile.Act
}

const insertCursor = `INSERT INTO act_cursors (name, position) VALUES ($1, -1) ON CONFLICT (name) DO NOTHING`

const selectCursor = `SELECT position FROM act_cursors WHERE name = $1`

const selectBehind = `SELECT p.position, a.bytes, a.hash FROM act_places p
	JOIN acts a ON a.case_id = p.case_id AND a.number = p.number
	WHERE p.position > $1 ORDER BY p.position LIMIT $2`

const moveCursor = `UPDATE act_cursors SET position = $3 WHERE name = $1 AND position = $2`

// Follow calls work for the acts behind the cursor of a name, at most limit of them, and
// moves the cursor, all in one transaction under a lease: every act is worked on once, by
// one node. It returns how many. Work may run again for the same act and touches nothing
// but its transaction.
func (s *Store) Follow(ctx context.Context, name string, lease database.Lease, limit int, work func(*database.Tx, Placed) error) (done int, err error) {
	err = s.db.Update(ctx, func(tx *database.Tx) error {
		if err := tx.Holds(ctx, lease); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertCursor, name); err != nil {
			return err
		}
		var from int64
		if err := tx.Row(ctx, selectCursor, []any{name}, &from); err != nil {
			return err
		}
		behind, err := behind(ctx, tx, from, limit)
		if done = len(behind); err != nil || done == 0 {
			return err
		}
		for _, p := range behind {
			if err := work(tx, p); err != nil {
				return err
			}
		}
		moved, err := tx.Exec(ctx, moveCursor, name, from, behind[done-1].Position)
		if err == nil && moved == 0 {
			err = fmt.Errorf("cursor %s: %w", name, database.ErrLost)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return done, nil
}

func behind(ctx context.Context, r database.Reader, from int64, limit int) ([]Placed, error) {
	rows, err := r.Query(ctx, selectBehind, from, limit)
	return database.Scan(rows, err, func(rows *sql.Rows) (p Placed, err error) {
		var b, hash []byte
		if err = rows.Scan(&p.Position, &b, &hash); err != nil {
			return p, err
		}
		p.Act, err = read(b, hash)
		return p, err
	})
}
