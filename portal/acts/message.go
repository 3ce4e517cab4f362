package acts

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"ciglio/portal/casefile"
	"ciglio/portal/database"
)

// A Message is a call to the outside that an act wants. It is stored in the transaction of
// the act, sent later under its key, and forgotten when it is settled. Its body names rows
// rather than persons: erasure does not look here.
type Message struct {
	Key  casefile.Key // by which the other side knows a second sending
	To   string       // a desk's name for the system outside
	Body []byte
}

const insertMessage = `INSERT INTO act_messages (key, recipient, case_id, number, state, due, tries, reason, body)
	VALUES ($1, $2, $3, $4, 'waiting', $5, 0, '', $6)`

func put(ctx context.Context, tx *database.Tx, id casefile.ID, number int64, at time.Time, m Message) error {
	_, err := tx.Exec(ctx, insertMessage, m.Key[:], m.To, id[:], number, at.UnixMicro(), append([]byte{}, m.Body...))
	if err != nil {
		return fmt.Errorf("message to %s: %w", m.To, err)
	}
	return nil
}

// A Stored message is one that is not settled.
type Stored struct {
	Message
	Case   casefile.ID
	Number int64 // of the act that wants it
	Due    time.Time
	Tries  int64
	Reason string // of the last failure, by code
}

const selectDue = `SELECT key, recipient, case_id, number, due, tries, reason, body FROM act_messages
	WHERE recipient = $1 AND state = 'waiting' AND due <= $2 ORDER BY due, key LIMIT $3`

// Due returns messages to a system that are to be sent now.
func (s *Store) Due(ctx context.Context, r database.Reader, to string, now time.Time, limit int) ([]Stored, error) {
	rows, err := r.Query(ctx, selectDue, to, now.UnixMicro(), limit)
	return database.Scan(rows, err, scanMessage)
}

const selectGivenUp = `SELECT key, recipient, case_id, number, due, tries, reason, body FROM act_messages
	WHERE recipient = $1 AND state = 'given_up' AND (due, key) > ($2, $3) ORDER BY due, key LIMIT $4`

// GivenUp returns messages to a system that nobody sends any more, behind one; nil for the
// first.
func (s *Store) GivenUp(ctx context.Context, r database.Reader, to string, behind *Stored, limit int) ([]Stored, error) {
	due, key := int64(-1), []byte{}
	if behind != nil {
		due, key = behind.Due.UnixMicro(), behind.Key[:]
	}
	rows, err := r.Query(ctx, selectGivenUp, to, due, key, limit)
	return database.Scan(rows, err, scanMessage)
}

func scanMessage(rows *sql.Rows) (m Stored, err error) {
	var key, id []byte
	var due int64
	err = rows.Scan(&key, &m.To, &id, &m.Number, &due, &m.Tries, &m.Reason, &m.Body)
	copy(m.Key[:], key)
	copy(m.Case[:], id)
	m.Due = time.UnixMicro(due).UTC()
	return m, err
}

const deleteMessage = `DELETE FROM act_messages WHERE key = $1`

// Settle forgets a message that arrived, in the transaction of what its answer brings. It
// reports whether it was there: a second answer is no news.
func (s *Store) Settle(ctx context.Context, tx *database.Tx, key casefile.Key) (bool, error) {
	n, err := tx.Exec(ctx, deleteMessage, key[:])
	return n > 0, err
}

const updateFailed = `UPDATE act_messages SET tries = tries + 1, due = $2, reason = $3, state = $4 WHERE key = $1`

// Failed puts a message off until an instant, or gives it up when that is zero.
func (s *Store) Failed(ctx context.Context, tx *database.Tx, m Stored, reason casefile.Code, again time.Time) error {
	state := "waiting"
	if again.IsZero() {
		state, again = "given_up", m.Due
	}
	_, err := tx.Exec(ctx, updateFailed, m.Key[:], again.UnixMicro(), string(reason), state)
	return err
}

const updateRetry = `UPDATE act_messages SET state = 'waiting', due = $2 WHERE key = $1 AND state = 'given_up'`

// Retry has a message that was given up sent again.
func (s *Store) Retry(ctx context.Context, tx *database.Tx, key casefile.Key, now time.Time) error {
	_, err := tx.Exec(ctx, updateRetry, key[:], now.UnixMicro())
	return err
}
