package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
)

func (s *Store) queryRow(ctx context.Context, stmt *sql.Stmt, args []any, into ...any) error {
	err := stmt.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

const selectRecord = `SELECT id, device, epoch, seq, kind, utc, received, prev, link, chain, state, disputed, arrival, log_index, receipt, bytes, backdated FROM records`

type scanner interface{ Scan(...any) error }

func scanRecord(row scanner) (*Record, error) {
	var r Record
	var id, device, prev, link, receipt []byte
	var epoch, seq, utc, received, arrival int64
	var index sql.NullInt64
	err := row.Scan(&id, &device, &epoch, &seq, &r.Kind, &utc, &received, &prev, &link, &r.Chain, &r.State, &r.Disputed, &arrival, &index, &receipt, &r.Bytes, &r.Backdated)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	copy(r.ID[:], id)
	copy(r.Device[:], device)
	copy(r.Prev[:], prev)
	copy(r.Link[:], link)
	copy(r.Receipt[:], receipt)
	r.Epoch, r.Seq, r.Arrival, r.LogIndex = uint64(epoch), uint64(seq), uint64(arrival), uint64(index.Int64)
	r.UTC, r.Received = instant(utc), instant(received)
	return &r, nil
}

// instant reads a stored time; 0 stands for none.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Record returns one record; the error wraps [ErrNotFound] when there is none.
func (s *Store) Record(ctx context.Context, id evidence.Hash) (*Record, error) {
	return scanRecord(s.stmts.record.QueryRowContext(ctx, id[:]))
}

// RecordAt returns the id of the record at a place in a device's chain; the
// error wraps [ErrNotFound] when there is none.
func (s *Store) RecordAt(ctx context.Context, device evidence.DeviceID, epoch, seq uint64) (evidence.Hash, error) {
	var id []byte
	if err := s.queryRow(ctx, s.stmts.atRead, []any{device[:], int64(epoch), int64(seq)}, &id); err != nil {
		return evidence.Hash{}, err
	}
	return evidence.Hash(id), nil
}

// Senders returns the records that a blob was sent for.
func (s *Store) Senders(ctx context.Context, hash evidence.Hash) ([]evidence.Hash, error) {
	rows, err := s.stmts.senders.QueryContext(ctx, hash[:])
	if err != nil {
		return nil, err
	}
	return scanHashes(rows)
}

func scanHashes(rows *sql.Rows) ([]evidence.Hash, error) {
	defer rows.Close()
	var all []evidence.Hash
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		all = append(all, evidence.Hash(b))
	}
	return all, rows.Err()
}

// A Query selects records.
type Query struct {
	Device   *evidence.DeviceID // nil for every device
	Measured bool               // only violations and tests
	Before   uint64             // only those that arrived before; 0 for no bound
	Limit    int
}

// Records returns the records of q, the newest arrival first.
func (s *Store) Records(ctx context.Context, q Query) ([]*Record, error) {
	text, args := selectRecord+` WHERE 1 = 1`, []any{}
	if q.Device != nil {
		text, args = text+` AND device = $1`, append(args, q.Device[:])
	}
	if q.Measured {
		text += ` AND measured = 1`
	}
	if q.Before > 0 {
		args = append(args, int64(q.Before))
		text += ` AND arrival < ` + parameter(len(args))
	}
	args = append(args, q.Limit)
	return s.records(ctx, text+` ORDER BY arrival DESC LIMIT `+parameter(len(args)), args...)
}

func parameter(n int) string { return "$" + string(rune('0'+n)) }

// Incomplete returns the records of a device that wait for blobs.
func (s *Store) Incomplete(ctx context.Context, device evidence.DeviceID) ([]*Record, error) {
	return s.records(ctx, selectRecord+` WHERE device = $1 AND state = 0 ORDER BY arrival`, device[:])
}

// AllIncomplete returns every record that waits for blobs.
func (s *Store) AllIncomplete(ctx context.Context) ([]*Record, error) {
	return s.records(ctx, selectRecord+` WHERE state = 0 ORDER BY arrival`)
}

func (s *Store) records(ctx context.Context, text string, args ...any) ([]*Record, error) {
	rows, err := s.read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records []*Record
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

// Statement returns a calibration or configuration statement by its hash.
func (s *Store) Statement(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	var b []byte
	err := s.queryRow(ctx, s.stmts.statementText, []any{hash[:]}, &b)
	return b, err
}

// Receipt returns a sealed receipt by its hash.
func (s *Store) Receipt(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	var b []byte
	err := s.queryRow(ctx, s.stmts.readReceipt, []any{hash[:]}, &b)
	return b, err
}

// Hashes reads the log's tree. It sees what was committed when it is called.
func (s *Store) Hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(positions []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(positions))
		for i, p := range positions {
			var b []byte
			if err := s.queryRow(ctx, s.stmts.readLogHash, []any{p}, &b); err != nil {
				return nil, err
			}
			copy(hashes[i][:], b)
		}
		return hashes, nil
	})
}

// Counts says how far the store has come.
type Counts struct {
	Records  uint64 // stored, complete or not
	LogSize  uint64 // complete
	Arrivals uint64 // largest arrival number given
}

// Counts reads the totals, for a writer that starts.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	var records, size, arrivals int64
	err := s.read.QueryRowContext(ctx,
		`SELECT COUNT(*), COUNT(log_index), COALESCE(MAX(arrival), 0) FROM records`).Scan(&records, &size, &arrivals)
	c.Records, c.LogSize, c.Arrivals = uint64(records), uint64(size), uint64(arrivals)
	return c, err
}

// Settled returns how many records are complete: the size of the log. Unlike
// [Store.Counts] it reads one entry of an index.
func (s *Store) Settled(ctx context.Context) (uint64, error) {
	var n int64
	err := s.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(log_index) + 1, 0) FROM records`).Scan(&n)
	return uint64(n), err
}

// Quarantined returns how many refused messages of a day are kept by device.
func (s *Store) Quarantined(ctx context.Context, day int64) (map[evidence.DeviceID]int, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT device, MAX(number) + 1 FROM quarantine WHERE day = $1 GROUP BY device`, day)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := make(map[evidence.DeviceID]int)
	for rows.Next() {
		var device []byte
		var n int
		if err := rows.Scan(&device, &n); err != nil {
			return nil, err
		}
		counts[evidence.DeviceID(device)] = n
	}
	return counts, rows.Err()
}

// Refused returns the newest refused messages, of one device or of all.
func (s *Store) Refused(ctx context.Context, device *evidence.DeviceID, limit int) ([]*Refused, error) {
	text, args := `SELECT device, number, received, topic, reason, detail, bytes FROM quarantine`, []any{limit}
	if device != nil {
		text, args = text+` WHERE device = $2`, append(args, device[:])
	}
	rows, err := s.read.QueryContext(ctx, text+` ORDER BY received DESC LIMIT $1`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*Refused
	for rows.Next() {
		var r Refused
		var device []byte
		var received int64
		if err := rows.Scan(&device, &r.Number, &received, &r.Topic, &r.Reason, &r.Detail, &r.Bytes); err != nil {
			return nil, err
		}
		copy(r.Device[:], device)
		r.Received = instant(received)
		all = append(all, &r)
	}
	return all, rows.Err()
}

// A RefusalCount says how often the centre has refused something of a device.
type RefusalCount struct {
	Reason      string
	Messages    uint64
	First, Last time.Time
}

// RefusalCounts returns those of a device, ever, the newest first.
func (s *Store) RefusalCounts(ctx context.Context, device evidence.DeviceID) ([]RefusalCount, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT reason, messages, first_at, last_at FROM refusals
		WHERE device = $1 ORDER BY last_at DESC, reason`, device[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []RefusalCount
	for rows.Next() {
		var c RefusalCount
		var first, last int64
		if err := rows.Scan(&c.Reason, &c.Messages, &first, &last); err != nil {
			return nil, err
		}
		c.First, c.Last = instant(first), instant(last)
		all = append(all, c)
	}
	return all, rows.Err()
}

// A Span is the sequence numbers From to To of one epoch.
type Span struct{ Epoch, From, To uint64 }

// MissingSpans returns the numbers of a device's chain that have not come though
// later ones have, the newest first.
func (s *Store) MissingSpans(ctx context.Context, device evidence.DeviceID, limit int) ([]Span, error) {
	// Each gap ends before a record that has no predecessor.
	rows, err := s.read.QueryContext(ctx, `SELECT epoch, seq, COALESCE((SELECT MAX(b.seq) FROM records b
			WHERE b.device = records.device AND b.epoch = records.epoch AND b.seq < records.seq), 0)
		FROM records WHERE device = $1 AND chain = 0 ORDER BY epoch DESC, seq DESC LIMIT $2`, device[:], limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Span
	for rows.Next() {
		var epoch, seq, last uint64
		if err := rows.Scan(&epoch, &seq, &last); err != nil {
			return nil, err
		}
		all = append(all, Span{Epoch: epoch, From: last + 1, To: seq - 1})
	}
	return all, rows.Err()
}

// Totals is what waits, is set aside or is missing, of all devices.
type Totals struct {
	Incomplete  uint64 // records that wait for blobs, or for their time
	SetAside    uint64 // records that are never receipted
	Missing     uint64 // sequence numbers that never came though later ones have
	Quarantined uint64 // messages kept because they were refused
}

// Totals reads them. It costs as much as there are of them, and devices.
func (s *Store) Totals(ctx context.Context) (Totals, error) {
	var t Totals
	err := s.read.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM records WHERE state = 0), (SELECT COUNT(*) FROM records WHERE state = 2),
		COALESCE((SELECT SUM(CASE WHEN highest - stored > 1000000000000 THEN 1000000000000 ELSE highest - stored END) FROM chains), 0),
		(SELECT COUNT(*) FROM quarantine)`).Scan(&t.Incomplete, &t.SetAside, &t.Missing, &t.Quarantined)
	return t, err
}
