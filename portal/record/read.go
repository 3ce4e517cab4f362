package record

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
	"ciglio/sensor"
)

const selectRecord = `SELECT id, device, epoch, seq, kind, utc, received, prev, link, chain, state, disputed, arrival, log_index, receipt, bytes, backdated FROM records`

func scanRecord(row *sql.Rows) (*Record, error) {
	var r Record
	var id, device, prev, link, receipt []byte
	var epoch, seq, utc, received, arrival int64
	var index sql.NullInt64
	err := row.Scan(&id, &device, &epoch, &seq, &r.Kind, &utc, &received, &prev, &link, &r.Chain, &r.State, &r.Disputed, &arrival, &index, &receipt, &r.Bytes, &r.Backdated)
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

func one(ctx context.Context, r database.Reader, id evidence.Hash) (*Record, error) {
	found, err := list(ctx, r, selectRecord+` WHERE id = $1`, []any{id[:]}, scanRecord)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Record returns one record; the error wraps [ErrNotFound] when there is none.
func (s *Store) Record(ctx context.Context, id evidence.Hash) (*Record, error) {
	return one(ctx, s.db, id)
}

const selectRecordAt = `SELECT id FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`

// RecordAt returns the id of the record at a place in a device's chain; the
// error wraps [ErrNotFound] when there is none.
func (s *Store) RecordAt(ctx context.Context, device evidence.DeviceID, epoch, seq uint64) (evidence.Hash, error) {
	var id []byte
	if err := s.db.Row(ctx, selectRecordAt, []any{device[:], int64(epoch), int64(seq)}, &id); err != nil {
		return evidence.Hash{}, err
	}
	return evidence.Hash(id), nil
}

const selectSenders = `SELECT record FROM sent WHERE sha256 = $1`

// Senders returns the records that a blob was sent for.
func (s *Store) Senders(ctx context.Context, hash evidence.Hash) ([]evidence.Hash, error) {
	return list(ctx, s.db, selectSenders, []any{hash[:]}, scanHash)
}

func scanHash(rows *sql.Rows) (evidence.Hash, error) {
	var b []byte
	if err := rows.Scan(&b); err != nil {
		return evidence.Hash{}, err
	}
	return evidence.Hash(b), nil
}

// A Query selects records. What is asked of a place, a speed or a state finds records
// that have columns: those that a program before them has stored are found without.
type Query struct {
	Device   *evidence.DeviceID // nil for every device
	Measured bool               // only violations and tests
	From, To time.Time          // only those made from the one until before the other; zero for no bound
	Road     string             // only those on the road of just this name; "" for all
	Over     sensor.Speed       // only those whose assessed speed is at least this; 0 for all
	State    *State             // nil for every state
	Before   uint64             // only those that arrived before; 0 for no bound
	After    uint64             // only those that arrived after: how far back to look
	Limit    int
}

// text is the statement of q, and its parameters.
func (q Query) text() (string, []any) {
	text, args := selectRow+` WHERE 1 = 1`, []any{}
	where := func(condition string, arg any) {
		args = append(args, arg)
		text += ` AND ` + condition + parameter(len(args))
	}
	order := ` ORDER BY arrival`
	if q.Device != nil {
		where(`device = `, q.Device[:])
	}
	if q.Measured {
		text += ` AND measured = 1`
	}
	if !q.From.IsZero() {
		if !q.Measured {
			text += ` AND measured IN (0, 1)` // which the index begins with
		}
		where(`utc >= `, q.From.UnixMicro())
		where(`utc < `, q.To.UnixMicro())
		order = ` ORDER BY +arrival` // a day is found by its index, and has an end
	}
	if q.Road != "" {
		where(`road = `, []byte(q.Road))
	}
	if q.Over > 0 {
		where(`assessed >= `, int64(q.Over))
	}
	if q.State != nil {
		where(`state = `, int64(*q.State))
	}
	if q.Before > 0 {
		where(`arrival < `, int64(q.Before))
	}
	if q.After > 0 {
		where(`arrival > `, int64(q.After))
	}
	args = append(args, q.Limit)
	return text + order + ` DESC LIMIT ` + parameter(len(args)), args
}

// Back returns the arrival n records before another, of those that measure or of all;
// 0 when there are not so many. It costs n entries of an index.
func (s *Store) Back(ctx context.Context, measured bool, before uint64, n int) (uint64, error) {
	text, args := `SELECT arrival FROM records WHERE 1 = 1`, []any{n}
	if measured {
		text += ` AND measured = 1`
	}
	if before > 0 {
		text, args = text+` AND arrival < $2`, append(args, int64(before))
	}
	var arrival int64
	err := s.db.Row(ctx, text+` ORDER BY arrival DESC LIMIT 1 OFFSET $1`, args, &arrival)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return uint64(arrival), err
}

// A Row is a record as lists show it.
type Row struct {
	ID         evidence.Hash
	Device     evidence.DeviceID
	Epoch, Seq uint64
	Kind       evidence.Kind
	UTC        time.Time
	State      State
	Disputed   bool
	Arrival    uint64
	Place      *Place // nil when the record names none
	Speeds     *Speeds
	// Damaged says that the stored bytes are not the record's. A list looks at
	// bytes only of a record that a program before has stored without columns.
	Damaged bool
}

// A Place is where a record was made.
type Place struct {
	Road     string
	Position uint32 // metres from the start of the road
}

// Speeds are those of a record that measures, in hundredths of km/h.
type Speeds struct{ Measured, Assessed, Limit sensor.Speed }

const selectRow = `SELECT id, device, epoch, seq, kind, utc, state, disputed, arrival, road, position, speed, assessed, speed_limit,
	CASE WHEN listed = 1 THEN NULL ELSE bytes END FROM records`

func scanRow(row *sql.Rows) (*Row, error) {
	var r Row
	var id, device, road, unlisted []byte
	var utc int64
	var position, speed, assessed, limit sql.NullInt64
	err := row.Scan(&id, &device, &r.Epoch, &r.Seq, &r.Kind, &utc, &r.State, &r.Disputed, &r.Arrival, &road, &position, &speed, &assessed, &limit, &unlisted)
	if err != nil {
		return nil, err
	}
	copy(r.ID[:], id)
	copy(r.Device[:], device)
	r.UTC = instant(utc)
	if position.Valid {
		r.Place = &Place{Road: string(road), Position: uint32(position.Int64)}
	}
	if speed.Valid {
		r.Speeds = &Speeds{sensor.Speed(speed.Int64), sensor.Speed(assessed.Int64), sensor.Speed(limit.Int64)}
	}
	if unlisted != nil {
		r.open(unlisted)
	}
	return &r, nil
}

// open fills in what has no column.
func (r *Row) open(bytes []byte) {
	sealed, err := evidence.Open(bytes)
	if r.Damaged = err != nil || sealed.ID != r.ID; r.Damaged {
		return
	}
	if site := sealed.Record.Site; site != nil {
		r.Place = &Place{site.Road, site.Position}
	}
	if m := sealed.Record.Measurement; m != nil {
		r.Speeds = &Speeds{m.Speed, m.Assessed, m.Limit}
	}
}

// List returns the records of q, the newest arrival first.
func (s *Store) List(ctx context.Context, q Query) ([]*Row, error) {
	text, args := q.text()
	return list(ctx, s.db, text, args, scanRow)
}

func parameter(n int) string { return "$" + strconv.Itoa(n) }

const (
	whereIncompleteOf = ` WHERE device = $1 AND state = 0 AND due IS NULL ORDER BY arrival`
	// There is an index of those of state 0.
	whereIncomplete = ` WHERE state = 0 AND due IS NULL AND (shard = $1 OR shard IS NULL) ORDER BY device, arrival`
)

// Incomplete returns the records of a device that wait for blobs.
func (s *Store) Incomplete(ctx context.Context, device evidence.DeviceID) ([]*Record, error) {
	return s.records(ctx, selectRecord+whereIncompleteOf, device[:])
}

// AllIncomplete returns every record of a shard that waits for blobs, by device.
func (s *Store) AllIncomplete(ctx context.Context, shard string) ([]*Record, error) {
	return s.records(ctx, selectRecord+whereIncomplete, shard)
}

func (s *Store) records(ctx context.Context, text string, args ...any) ([]*Record, error) {
	return list(ctx, s.db, text, args, scanRecord)
}

const selectStatement = `SELECT bytes FROM statements WHERE sha256 = $1`

// Statement returns a calibration or configuration statement by its hash.
func (s *Store) Statement(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	var b []byte
	err := s.db.Row(ctx, selectStatement, []any{hash[:]}, &b)
	return b, err
}

// Receipt returns a sealed receipt by its hash.
func (s *Store) Receipt(ctx context.Context, hash evidence.Hash) ([]byte, error) {
	var b []byte
	err := s.db.Row(ctx, selectReceipt, []any{hash[:]}, &b)
	return b, err
}

const selectLogHash = `SELECT hash FROM log_hashes WHERE position = $1`

// hashesAtOnce is how many hashes one statement reads: those of a tile.
const hashesAtOnce = 256

// selectLogHashes is the statement for up to n positions. It has as many parameters as the
// next power of two: so there are few statements.
func selectLogHashes(n int) (text string, parameters int) {
	parameters = 1
	for parameters < n {
		parameters *= 2
	}
	names := make([]string, parameters)
	for i := range names {
		names[i] = parameter(i + 1)
	}
	return `SELECT position, hash FROM log_hashes WHERE position IN (` + strings.Join(names, ", ") + `)`, parameters
}

// Hashes reads the log's tree. It sees what was committed when it is called.
func (s *Store) Hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(positions []int64) ([]tlog.Hash, error) {
		found := make(map[int64]tlog.Hash, len(positions))
		for part := range slices.Chunk(positions, hashesAtOnce) {
			text, parameters := selectLogHashes(len(part))
			args := make([]any, parameters)
			for i := range args {
				args[i] = part[min(i, len(part)-1)]
			}
			_, err := list(ctx, s.db, text, args, func(rows *sql.Rows) (position int64, err error) {
				var b []byte
				if err = rows.Scan(&position, &b); err == nil {
					h := tlog.Hash{}
					copy(h[:], b)
					found[position] = h
				}
				return position, err
			})
			if err != nil {
				return nil, err
			}
		}
		hashes := make([]tlog.Hash, len(positions))
		for i, p := range positions {
			h, ok := found[p]
			if !ok {
				return nil, fmt.Errorf("hash %d of the log: %w", p, ErrNotFound)
			}
			hashes[i] = h
		}
		return hashes, nil
	})
}

// Hashes is that of [Store].
func (t *Tx) Hashes() tlog.HashReader {
	return tlog.HashReaderFunc(func(positions []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(positions))
		for i, p := range positions {
			var b []byte
			if err := t.row(selectLogHash, []any{p}, &b); err != nil {
				return nil, err
			}
			copy(hashes[i][:], b)
		}
		return hashes, nil
	})
}

// An asker answers a question that has one row.
type asker interface {
	Row(ctx context.Context, text string, args []any, into ...any) error
}

// Row is that of [database.Reader], with what the transaction has changed before.
func (t *Tx) Row(_ context.Context, text string, args []any, into ...any) error {
	return t.row(text, args, into...)
}

const selectLogEntries = `SELECT id FROM records WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index`

// LogEntries returns the ids of the records that the log holds from one index to another,
// which is excluded, in order.
func (s *Store) LogEntries(ctx context.Context, from, to uint64) ([]evidence.Hash, error) {
	return list(ctx, s.db, selectLogEntries, []any{int64(from), int64(to)}, scanHash)
}

// Counts says how far the store has come.
type Counts struct {
	LogSize  uint64 // complete
	Arrivals uint64 // largest arrival number given
}

const selectCounts = `SELECT COALESCE((SELECT MAX(log_index) + 1 FROM records), 0), COALESCE((SELECT MAX(arrival) FROM records), 0)`

// Counts reads how far the store has come, for a writer that starts: two entries of
// indexes.
func (s *Store) Counts(ctx context.Context) (Counts, error) { return counts(ctx, s.db) }

// Counts is that of [Store].
func (t *Tx) Counts() (Counts, error) { return counts(t.ctx, t) }

const selectLogSize = `SELECT COALESCE(MAX(log_index) + 1, 0) FROM records`

// LogSize is how many entries the log has.
func (t *Tx) LogSize() (size uint64, err error) {
	err = t.row(selectLogSize, nil, &size)
	return size, err
}

func counts(ctx context.Context, r asker) (Counts, error) {
	var size, arrivals int64
	err := r.Row(ctx, selectCounts, nil, &size, &arrivals)
	return Counts{LogSize: uint64(size), Arrivals: uint64(arrivals)}, err
}

// Settled returns how many records are complete: the size of the log.
func (s *Store) Settled(ctx context.Context) (uint64, error) {
	c, err := s.Counts(ctx)
	return c.LogSize, err
}

const selectQuarantined = `SELECT device, MAX(number) + 1 FROM quarantine WHERE day = $1 GROUP BY device`

// Quarantined returns how many refused messages of a day are kept by device.
func (s *Store) Quarantined(ctx context.Context, day int64) (map[evidence.DeviceID]int, error) {
	counts := make(map[evidence.DeviceID]int)
	_, err := list(ctx, s.db, selectQuarantined, []any{day}, func(rows *sql.Rows) (n int, err error) {
		var device []byte
		if err = rows.Scan(&device, &n); err == nil {
			counts[evidence.DeviceID(device)] = n
		}
		return n, err
	})
	return counts, err
}

const selectRefused = `SELECT device, number, received, topic, reason, detail, bytes FROM quarantine`

// Refused returns the newest refused messages, of one device or of all.
func (s *Store) Refused(ctx context.Context, device *evidence.DeviceID, limit int) ([]*Refused, error) {
	text, args := selectRefused, []any{limit}
	if device != nil {
		text, args = text+` WHERE device = $2`, append(args, device[:])
	}
	return list(ctx, s.db, text+` ORDER BY received DESC LIMIT $1`, args, func(rows *sql.Rows) (*Refused, error) {
		var r Refused
		var device []byte
		var received int64
		if err := rows.Scan(&device, &r.Number, &received, &r.Topic, &r.Reason, &r.Detail, &r.Bytes); err != nil {
			return nil, err
		}
		copy(r.Device[:], device)
		r.Received = instant(received)
		return &r, nil
	})
}

// A RefusalCount says how often the centre has refused something of a device.
type RefusalCount struct {
	Reason      string
	Messages    uint64
	First, Last time.Time
}

const selectRefusals = `SELECT reason, messages, first_at, last_at FROM refusals WHERE device = $1 ORDER BY last_at DESC, reason`

// RefusalCounts returns those of a device, ever, the newest first.
func (s *Store) RefusalCounts(ctx context.Context, device evidence.DeviceID) ([]RefusalCount, error) {
	return list(ctx, s.db, selectRefusals, []any{device[:]}, func(rows *sql.Rows) (c RefusalCount, err error) {
		var first, last int64
		err = rows.Scan(&c.Reason, &c.Messages, &first, &last)
		c.First, c.Last = instant(first), instant(last)
		return c, err
	})
}

// A Span is the sequence numbers From to To of one epoch.
type Span struct{ Epoch, From, To uint64 }

// Each gap ends before a record that has no predecessor.
const selectSpans = `SELECT epoch, seq, COALESCE((SELECT MAX(b.seq) FROM records b
		WHERE b.device = records.device AND b.epoch = records.epoch AND b.seq < records.seq), 0)
	FROM records WHERE device = $1 AND chain = 0 ORDER BY epoch DESC, seq DESC LIMIT $2`

// MissingSpans returns the numbers of a device's chain that have not come though
// later ones have, the newest first.
func (s *Store) MissingSpans(ctx context.Context, device evidence.DeviceID, limit int) ([]Span, error) {
	return list(ctx, s.db, selectSpans, []any{device[:], limit}, func(rows *sql.Rows) (Span, error) {
		var epoch, seq, last uint64
		err := rows.Scan(&epoch, &seq, &last)
		return Span{Epoch: epoch, From: last + 1, To: seq - 1}, err
	})
}

// Totals is what waits, is set aside or is missing, of all devices.
type Totals struct {
	Incomplete  uint64 // records that wait for blobs
	Unnumbered  uint64 // records that wait for their number in the log, or for their time
	Unsent      uint64 // receipts that the broker has not acknowledged
	SetAside    uint64 // records that are never receipted
	Missing     uint64 // sequence numbers that never came though later ones have
	Quarantined uint64 // messages kept because they were refused
}

const selectTotals = `SELECT (SELECT COUNT(*) FROM records WHERE state = 0 AND due IS NULL), (SELECT COUNT(*) FROM records WHERE state = 0 AND due IS NOT NULL),
	(SELECT COUNT(*) FROM sending), (SELECT COUNT(*) FROM records WHERE state = 2),
	COALESCE((SELECT SUM(CASE WHEN highest - stored > 1000000000000 THEN 1000000000000 ELSE highest - stored END) FROM chains), 0),
	(SELECT COUNT(*) FROM quarantine)`

// Totals reads them. It costs as much as there are of them, and devices.
func (s *Store) Totals(ctx context.Context) (Totals, error) {
	var t Totals
	err := s.db.Row(ctx, selectTotals, nil, &t.Incomplete, &t.Unnumbered, &t.Unsent, &t.SetAside, &t.Missing, &t.Quarantined)
	return t, err
}
