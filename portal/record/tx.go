package record

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ciglio/capture/evidence"
)

// State says how far the centre is with a record. The numbers are stored.
type State int64

// The states of a record.
const (
	Incomplete  State = 0 // verified, but a blob is missing
	Complete    State = 1 // in the log and receipted
	Quarantined State = 2 // disputed before it was complete: never receipted
)

// Chain says how a record fits its predecessor. The numbers are stored.
type Chain int64

// The states of a link.
const (
	Unlinked Chain = 0 // the predecessor is missing
	Linked   Chain = 1
	Broken   Chain = 2 // the predecessor is there and is not the one named
)

// A Record is one stored record.
type Record struct {
	ID       evidence.Hash
	Device   evidence.DeviceID
	Epoch    uint64
	Seq      uint64
	Kind     evidence.Kind
	UTC      time.Time
	Received time.Time
	Prev     evidence.Hash
	Link     evidence.Hash
	Chain    Chain
	State    State
	// Disputed is true when the device has signed another record with the same
	// epoch and sequence number.
	Disputed bool
	// Backdated is true when the record's instant is more than [ClockBack] before
	// that of the record before it, and no record of a clock step or start says why.
	Backdated bool
	Shard     string        // by which it came; empty from a program that knew none
	Arrival   uint64        // order of arrival at the centre; numbers are left out
	LogIndex  uint64        // valid when Complete
	Receipt   evidence.Hash // valid when Complete
	Bytes     []byte
	// Content is what Bytes say, for [Tx.Insert]; nil of a record that was read.
	Content *evidence.Record
}

// ClockBack is how far the instant of a record may lie before that of the record
// before it in the chain. An event is sealed when it is over, and others may have
// been sealed meanwhile.
const ClockBack = 2 * time.Minute

// backdated reports whether a record at utc goes back in time behind one at
// before for no reason that its kind gives.
func backdated(kind evidence.Kind, utc, before int64) bool {
	return kind != evidence.KindClockStep && kind != evidence.KindBoot && before-utc > ClockBack.Microseconds()
}

const upsertDevice = `INSERT INTO devices (id, first_seen, last_seen, heartbeat, state, state_at, health, health_at, profile, profile_at)
	VALUES ($1, $2, $2, 0, '', 0, '', 0, '', 0) ON CONFLICT (id) DO UPDATE SET last_seen = excluded.last_seen`

// Seen makes sure that the device has a row and notes when it was last heard.
func (t *Tx) Seen(device evidence.DeviceID, now time.Time) error {
	return t.exec(upsertDevice, device[:], now.UnixMicro())
}

const updateChain = `UPDATE records SET chain = $2 WHERE id = $1`

const updateBackdated = `UPDATE records SET backdated = 1 WHERE id = $1`

const insertRecord = `INSERT INTO records (id, device, epoch, seq, kind, measured, utc, received, arrival, prev, link, chain, state, disputed, bytes, backdated,
		listed, road, position, speed, assessed, speed_limit, shard, due)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, $13, $14, 1, $15, $16, $17, $18, $19, $20, $21)`

const upsertChain = `INSERT INTO chains (device, epoch, highest, stored, unlinked, broken) VALUES ($1, $2, $3, 1, $4, $5)
	ON CONFLICT (device, epoch) DO UPDATE SET
		highest = CASE WHEN excluded.highest > chains.highest THEN excluded.highest ELSE chains.highest END,
		stored = chains.stored + 1,
		unlinked = chains.unlinked + excluded.unlinked,
		broken = chains.broken + excluded.broken`

// Insert stores a verified record that is not complete, and links it with its
// neighbours. Whole says that no blob of it is missing: it may be numbered. Of r, Chain,
// State, Disputed, LogIndex and Receipt are ignored; Content is what it says, and no
// other record has its Arrival.
func (t *Tx) Insert(r *Record, whole bool) error {
	here := Seat{r.Device, r.Epoch, r.Seq}
	before, err := t.seat(here.beside(-1))
	if err != nil {
		return err
	}
	next, err := t.seat(here.beside(1))
	if err != nil {
		return err
	}
	chain, unlinked, broken := Unlinked, 0, 0
	switch {
	case r.Seq == 1 && r.Prev.IsZero(), before.there && before.link == r.Prev:
		chain = Linked
	case r.Seq == 1, before.there:
		chain, broken = Broken, 1
	default:
		unlinked = 1
	}
	back := before.there && backdated(r.Kind, r.UTC.UnixMicro(), before.utc)
	if next.there && next.chain == Unlinked {
		unlinked--
		if next.chain = Linked; next.prev != r.Link {
			next.chain = Broken
			broken++
		}
		if err := t.exec(updateChain, next.ID[:], int64(next.chain)); err != nil {
			return err
		}
	}
	if next.there && backdated(next.kind, next.utc, r.UTC.UnixMicro()) {
		if err := t.exec(updateBackdated, next.ID[:]); err != nil {
			return err
		}
	}
	t.seats[here] = &sitting{Slot: Slot{ID: r.ID}, there: true, prev: r.Prev, link: r.Link, chain: chain, kind: r.Kind, utc: r.UTC.UnixMicro()}
	var road []byte // nil is NULL, as are the others
	var position, speed, assessed, limit any
	if site := r.Content.Site; site != nil {
		road, position = append([]byte{}, site.Road...), int64(site.Position)
	}
	if m := r.Content.Measurement; m != nil {
		speed, assessed, limit = int64(m.Speed), int64(m.Assessed), int64(m.Limit)
	}
	var due any
	if whole {
		due = int64(0)
	}
	if err := t.exec(insertRecord, r.ID[:], r.Device[:], int64(r.Epoch), int64(r.Seq), int64(r.Kind),
		boolean(r.Kind.Measured()), r.UTC.UnixMicro(), r.Received.UnixMicro(), int64(r.Arrival),
		r.Prev[:], r.Link[:], int64(chain), r.Bytes, boolean(back), road, position, speed, assessed, limit, r.Shard, due); err != nil {
		return fmt.Errorf("record %s: %w", r.ID, err)
	}
	return t.exec(upsertChain, r.Device[:], int64(r.Epoch), int64(r.Seq), unlinked, broken)
}

// GoesBack reports whether a record not yet stored would be [Record.Backdated].
func (t *Tx) GoesBack(r *Record) (bool, error) {
	before, err := t.seat(Seat{r.Device, r.Epoch, r.Seq - 1})
	return err == nil && before.there && backdated(r.Kind, r.UTC.UnixMicro(), before.utc), err
}

const updateBytes = `UPDATE records SET bytes = $2 WHERE id = $1 AND state = 0 AND bytes <> $2`

// Mend puts the bytes of an incomplete record back where they are damaged.
func (t *Tx) Mend(id evidence.Hash, bytes []byte) error {
	return t.exec(updateBytes, id[:], bytes)
}

const updateHeartbeat = `UPDATE devices SET heartbeat = $2 WHERE id = $1 AND heartbeat < $2`

// Heartbeat notes the instant of a device's heartbeat when it is the newest.
func (t *Tx) Heartbeat(device evidence.DeviceID, utc time.Time) error {
	return t.exec(updateHeartbeat, device[:], utc.UnixMicro())
}

const selectWaiting = `SELECT device, epoch, seq, kind, utc, bytes FROM records WHERE id = $1 AND state = 0`

// Waiting returns place, kind, instant and bytes of a record that is incomplete;
// the error wraps [ErrNotFound] when there is no such record or it is not.
func (t *Tx) Waiting(id evidence.Hash) (Record, error) {
	r := Record{ID: id}
	var device []byte
	var utc int64
	err := t.row(selectWaiting, []any{id[:]}, &device, &r.Epoch, &r.Seq, &r.Kind, &utc, &r.Bytes)
	copy(r.Device[:], device)
	r.UTC = instant(utc)
	return r, err
}

const updateSetAside = `UPDATE records SET state = 2 WHERE id = $1 AND state = 0`

// SetAside makes an incomplete record one that is never receipted.
func (t *Tx) SetAside(id evidence.Hash) error {
	t.forget(id)
	return t.exec(updateSetAside, id[:])
}

const insertBlob = `INSERT INTO blobs (sha256, length, received) VALUES ($1, $2, $3) ON CONFLICT (sha256) DO NOTHING`

// Blob names a blob that lies durably in the blob folder.
func (t *Tx) Blob(hash evidence.Hash, length uint64, now time.Time) error {
	return t.exec(insertBlob, hash[:], int64(length), now.UnixMicro())
}

const insertSent = `INSERT INTO sent (sha256, record) VALUES ($1, $2) ON CONFLICT (sha256, record) DO NOTHING`

// Sent notes that a blob, which is named, was sent for a stored record.
func (t *Tx) Sent(hash, record evidence.Hash) error { return t.exec(insertSent, hash[:], record[:]) }

const selectSentElsewhere = `SELECT record FROM sent WHERE sha256 = $1 AND record <> $2`

// SentElsewhere returns the records other than this one that a blob was sent for.
func (t *Tx) SentElsewhere(hash, record evidence.Hash) ([]evidence.Hash, error) {
	return all(t, selectSentElsewhere, []any{hash[:], record[:]}, scanHash)
}

// Record returns one record; the error wraps [ErrNotFound] when there is none.
func (t *Tx) Record(id evidence.Hash) (*Record, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	return one(t.ctx, t.tx, id)
}

const upsertRefusal = `INSERT INTO refusals (device, reason, messages, first_at, last_at) VALUES ($1, $2, $3, $4, $4)
	ON CONFLICT (device, reason) DO UPDATE SET messages = refusals.messages + excluded.messages, last_at = excluded.last_at`

// Refusals adds to how many messages of a device the centre has refused for a
// reason.
func (t *Tx) Refusals(device evidence.DeviceID, reason string, messages uint64, now time.Time) error {
	return t.exec(upsertRefusal, device[:], reason, int64(messages), now.UnixMicro())
}

const insertStatement = `INSERT INTO statements (sha256, record, media, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256) DO NOTHING`

// Statement stores the text that a calibration or configuration record
// carries, under the hash by which other records name it.
func (t *Tx) Statement(hash, record evidence.Hash, media string, text []byte) error {
	return t.exec(insertStatement, hash[:], record[:], []byte(media), text)
}

const insertReceipt = `INSERT INTO receipts (hash, device, created, log_size, bytes) VALUES ($1, $2, $3, $4, $5)`

// Receipt stores a sealed receipt.
func (t *Tx) Receipt(r *evidence.SealedReceipt, now time.Time) error {
	return t.exec(insertReceipt, r.Hash[:], r.Receipt.Device[:], now.UnixMicro(), int64(r.Receipt.LogSize), r.Bytes)
}

const selectReceipt = `SELECT bytes FROM receipts WHERE hash = $1`

// ReceiptBytes returns a stored receipt.
func (t *Tx) ReceiptBytes(hash evidence.Hash) ([]byte, error) {
	var b []byte
	err := t.row(selectReceipt, []any{hash[:]}, &b)
	return b, err
}

const insertLogHash = `INSERT INTO log_hashes (position, hash) VALUES ($1, $2)`

// LogHashes appends hashes of the log's tree; the first has the given position.
func (t *Tx) LogHashes(first int64, hashes []tlog.Hash) error {
	for i, h := range hashes {
		if err := t.exec(insertLogHash, first+int64(i), h[:]); err != nil {
			return err
		}
	}
	return nil
}

// MaxEquivocations is how many contradicting records of one device are kept;
// more are only counted by the caller.
const MaxEquivocations = 1000

const updateDisputed = `UPDATE records SET disputed = 1, state = CASE WHEN state = 0 THEN 2 ELSE state END WHERE id = $1`

const countEquivocations = `SELECT COUNT(*) FROM equivocations WHERE device = $1`

const insertEquivocation = `INSERT INTO equivocations (id, device, epoch, seq, first_id, received, bytes)
	VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`

// Dispute notes that a device has signed other, a second record for the place
// of first. The first is never receipted from now on if it was not yet.
func (t *Tx) Dispute(first evidence.Hash, other *Record) error {
	t.forget(first)
	if err := t.exec(updateDisputed, first[:]); err != nil {
		return err
	}
	var kept int
	if err := t.row(countEquivocations, []any{other.Device[:]}, &kept); err != nil {
		return err
	}
	if kept >= MaxEquivocations {
		return nil
	}
	return t.exec(insertEquivocation, other.ID[:], other.Device[:], int64(other.Epoch), int64(other.Seq),
		first[:], other.Received.UnixMicro(), other.Bytes)
}

// A Report is the newest of one kind of unsigned message of a device.
type Report string

// The reports.
const (
	ReportState   Report = "state"
	ReportHealth  Report = "health"
	ReportProfile Report = "profile"
)

// setReport has a text for each report: a column is no parameter.
var setReport = map[Report]string{
	ReportState:   `UPDATE devices SET state = $2, state_at = $3 WHERE id = $1`,
	ReportHealth:  `UPDATE devices SET health = $2, health_at = $3 WHERE id = $1`,
	ReportProfile: `UPDATE devices SET profile = $2, profile_at = $3 WHERE id = $1`,
}

// Report replaces a report of a device that has been seen.
func (t *Tx) Report(device evidence.DeviceID, which Report, text []byte, now time.Time) error {
	return t.exec(setReport[which], device[:], append([]byte{}, text...), now.UnixMicro()) // never nil, which is NULL
}

const selectState = `SELECT state FROM devices WHERE id = $1`

// State returns the state report of a device that has been seen; empty when none
// came.
func (t *Tx) State(device evidence.DeviceID) ([]byte, error) {
	var text []byte
	err := t.row(selectState, []any{device[:]}, &text)
	return text, err
}

// A Refused message is one that was not taken, kept for whoever looks into it.
type Refused struct {
	Device   evidence.DeviceID // zero when it came from no known device
	Number   int               // of this device on this day, from 0
	Received time.Time
	Topic    string
	Reason   string
	Detail   string
	Bytes    []byte
}

const deleteQuarantine = `DELETE FROM quarantine WHERE day < $1`

const insertQuarantine = `INSERT INTO quarantine (device, day, number, received, topic, reason, detail, bytes)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (device, day, number) DO NOTHING`

// Quarantine keeps a refused message and drops those of more than 90 days ago.
func (t *Tx) Quarantine(r *Refused) error {
	day := Day(r.Received)
	if r.Number == 0 {
		if err := t.exec(deleteQuarantine, day-90); err != nil {
			return err
		}
	}
	payload := append([]byte{}, r.Bytes...) // never nil, which is NULL
	return t.exec(insertQuarantine, r.Device[:], day, r.Number, r.Received.UnixMicro(), words(r.Topic), r.Reason, words(r.Detail), payload)
}

// Day numbers days since 1970 UTC.
func Day(t time.Time) int64 { return t.Unix() / 86400 }

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
