package store

import (
	"context"
	"database/sql"
	"errors"
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
	Arrival   uint64        // order of arrival at the centre, from 1
	LogIndex  uint64        // valid when Complete
	Receipt   evidence.Hash // valid when Complete
	Bytes     []byte
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

// A Tx is one transaction of [Store.Update]. It is valid until the function it
// was given to returns.
type Tx struct {
	ctx   context.Context
	tx    *sql.Tx
	stmts *statements
}

func (t *Tx) exec(stmt *sql.Stmt, args ...any) error {
	_, err := t.tx.StmtContext(t.ctx, stmt).ExecContext(t.ctx, args...)
	return err
}

func (t *Tx) queryRow(stmt *sql.Stmt, args []any, into ...any) error {
	err := t.tx.StmtContext(t.ctx, stmt).QueryRowContext(t.ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// Seen makes sure that the device has a row and notes when it was last heard.
func (t *Tx) Seen(device evidence.DeviceID, now time.Time) error {
	return t.exec(t.stmts.seen, device[:], now.UnixMicro())
}

// A Slot is what the store has under one (device, epoch, seq).
type Slot struct {
	ID       evidence.Hash
	State    State
	Disputed bool
	Receipt  evidence.Hash // zero unless Complete
}

// At returns what is stored under a place in a device's chain; the error wraps
// [ErrNotFound] when nothing is.
func (t *Tx) At(device evidence.DeviceID, epoch, seq uint64) (Slot, error) {
	var s Slot
	var id, receipt []byte
	err := t.queryRow(t.stmts.at, []any{device[:], int64(epoch), int64(seq)}, &id, &s.State, &s.Disputed, &receipt)
	if err != nil {
		return s, err
	}
	copy(s.ID[:], id)
	copy(s.Receipt[:], receipt)
	return s, nil
}

// Insert stores a verified record as incomplete and links it with its
// neighbours. Of r, Chain, State, Disputed, LogIndex and Receipt are ignored;
// Arrival must be larger than that of every record before.
func (t *Tx) Insert(r *Record) error {
	chain, unlinked, broken := Unlinked, 0, 0
	link, before, err := t.link(r.Device, r.Epoch, r.Seq-1)
	switch {
	case r.Seq == 1 && r.Prev.IsZero(), err == nil && link == r.Prev:
		chain = Linked
	case r.Seq == 1, err == nil:
		chain, broken = Broken, 1
	case errors.Is(err, ErrNotFound):
		unlinked = 1
	default:
		return err
	}
	back := err == nil && backdated(r.Kind, r.UTC.UnixMicro(), before)
	var id, prev []byte
	var next Chain
	var kind evidence.Kind
	var after int64
	err = t.queryRow(t.stmts.next, []any{r.Device[:], int64(r.Epoch), int64(r.Seq + 1)}, &id, &prev, &next, &kind, &after)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && next == Unlinked {
		unlinked--
		if next = Linked; evidence.Hash(prev) != r.Link {
			next = Broken
			broken++
		}
		if err := t.exec(t.stmts.setChain, id, int64(next)); err != nil {
			return err
		}
	}
	if err == nil && backdated(kind, after, r.UTC.UnixMicro()) {
		if err := t.exec(t.stmts.backdated, id); err != nil {
			return err
		}
	}
	if err := t.exec(t.stmts.insert, r.ID[:], r.Device[:], int64(r.Epoch), int64(r.Seq), int64(r.Kind),
		boolean(r.Kind.Measured()), r.UTC.UnixMicro(), r.Received.UnixMicro(), int64(r.Arrival),
		r.Prev[:], r.Link[:], int64(chain), r.Bytes, boolean(back)); err != nil {
		return fmt.Errorf("record %s: %w", r.ID, err)
	}
	return t.exec(t.stmts.chain, r.Device[:], int64(r.Epoch), int64(r.Seq), unlinked, broken)
}

// GoesBack reports whether a record not yet stored would be [Record.Backdated].
func (t *Tx) GoesBack(r *Record) (bool, error) {
	_, before, err := t.link(r.Device, r.Epoch, r.Seq-1)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && backdated(r.Kind, r.UTC.UnixMicro(), before), err
}

// Mend puts the bytes of an incomplete record back where they are damaged.
func (t *Tx) Mend(id evidence.Hash, bytes []byte) error {
	return t.exec(t.stmts.mend, id[:], bytes)
}

// link returns the link hash and the instant of the record at a place.
func (t *Tx) link(device evidence.DeviceID, epoch, seq uint64) (hash evidence.Hash, utc int64, err error) {
	var link []byte
	if seq == 0 {
		return hash, 0, ErrNotFound
	}
	err = t.queryRow(t.stmts.link, []any{device[:], int64(epoch), int64(seq)}, &link, &utc)
	copy(hash[:], link)
	return hash, utc, err
}

// Heartbeat notes the instant of a device's heartbeat when it is the newest.
func (t *Tx) Heartbeat(device evidence.DeviceID, utc time.Time) error {
	return t.exec(t.stmts.heartbeat, device[:], utc.UnixMicro())
}

// Settle makes an incomplete record complete. The receipt must be stored.
func (t *Tx) Settle(id evidence.Hash, index uint64, receipt evidence.Hash) error {
	return t.exec(t.stmts.settle, id[:], int64(index), receipt[:])
}

// Waiting returns place, kind, instant and bytes of a record that is incomplete;
// the error wraps [ErrNotFound] when there is no such record or it is not.
func (t *Tx) Waiting(id evidence.Hash) (Record, error) {
	r := Record{ID: id}
	var device []byte
	var utc int64
	err := t.queryRow(t.stmts.waiting, []any{id[:]}, &device, &r.Epoch, &r.Seq, &r.Kind, &utc, &r.Bytes)
	copy(r.Device[:], device)
	r.UTC = instant(utc)
	return r, err
}

// SetAside makes an incomplete record one that is never receipted.
func (t *Tx) SetAside(id evidence.Hash) error { return t.exec(t.stmts.setAside, id[:]) }

// Blob names a blob that lies durably in the blob folder.
func (t *Tx) Blob(hash evidence.Hash, length uint64, now time.Time) error {
	return t.exec(t.stmts.blob, hash[:], int64(length), now.UnixMicro())
}

// Sent notes that a blob, which is named, was sent for a stored record.
func (t *Tx) Sent(hash, record evidence.Hash) error { return t.exec(t.stmts.sent, hash[:], record[:]) }

// SentElsewhere returns the records other than this one that a blob was sent for.
func (t *Tx) SentElsewhere(hash, record evidence.Hash) ([]evidence.Hash, error) {
	rows, err := t.tx.StmtContext(t.ctx, t.stmts.sentElsewhere).QueryContext(t.ctx, hash[:], record[:])
	if err != nil {
		return nil, err
	}
	return scanHashes(rows)
}

// Record returns one record; the error wraps [ErrNotFound] when there is none.
func (t *Tx) Record(id evidence.Hash) (*Record, error) {
	return scanRecord(t.tx.StmtContext(t.ctx, t.stmts.recordIn).QueryRowContext(t.ctx, id[:]))
}

// Refusals adds to how many messages of a device the centre has refused for a
// reason.
func (t *Tx) Refusals(device evidence.DeviceID, reason string, messages uint64, now time.Time) error {
	return t.exec(t.stmts.refusal, device[:], reason, int64(messages), now.UnixMicro())
}

// Statement stores the text that a calibration or configuration record
// carries, under the hash by which other records name it.
func (t *Tx) Statement(hash, record evidence.Hash, media string, text []byte) error {
	return t.exec(t.stmts.statement, hash[:], record[:], media, text)
}

// Receipt stores a sealed receipt.
func (t *Tx) Receipt(r *evidence.SealedReceipt, now time.Time) error {
	return t.exec(t.stmts.receipt, r.Hash[:], r.Receipt.Device[:], now.UnixMicro(), int64(r.Receipt.LogSize), r.Bytes)
}

// ReceiptBytes returns a stored receipt.
func (t *Tx) ReceiptBytes(hash evidence.Hash) ([]byte, error) {
	var b []byte
	err := t.queryRow(t.stmts.receiptBytes, []any{hash[:]}, &b)
	return b, err
}

// LogHashes appends hashes of the log's tree; the first has the given position.
func (t *Tx) LogHashes(first int64, hashes []tlog.Hash) error {
	for i, h := range hashes {
		if err := t.exec(t.stmts.logHash, first+int64(i), h[:]); err != nil {
			return err
		}
	}
	return nil
}

// MaxEquivocations is how many contradicting records of one device are kept;
// more are only counted by the caller.
const MaxEquivocations = 1000

// Dispute notes that a device has signed other, a second record for the place
// of first. The first is never receipted from now on if it was not yet.
func (t *Tx) Dispute(first evidence.Hash, other *Record) error {
	if err := t.exec(t.stmts.dispute, first[:]); err != nil {
		return err
	}
	var kept int
	if err := t.queryRow(t.stmts.disputes, []any{other.Device[:]}, &kept); err != nil {
		return err
	}
	if kept >= MaxEquivocations {
		return nil
	}
	return t.exec(t.stmts.equivocation, other.ID[:], other.Device[:], int64(other.Epoch), int64(other.Seq),
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

// Report replaces a report of a device that has been seen.
func (t *Tx) Report(device evidence.DeviceID, which Report, text []byte, now time.Time) error {
	stmt := map[Report]*sql.Stmt{
		ReportState:   t.stmts.setState,
		ReportHealth:  t.stmts.setHealth,
		ReportProfile: t.stmts.setProfile,
	}[which]
	return t.exec(stmt, device[:], string(text), now.UnixMicro())
}

// State returns the state report of a device that has been seen; empty when none
// came.
func (t *Tx) State(device evidence.DeviceID) ([]byte, error) {
	var text []byte
	err := t.queryRow(t.stmts.state, []any{device[:]}, &text)
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

// Quarantine keeps a refused message and drops those of more than 90 days ago.
func (t *Tx) Quarantine(r *Refused) error {
	day := Day(r.Received)
	if r.Number == 0 {
		if err := t.exec(t.stmts.expire, day-90); err != nil {
			return err
		}
	}
	payload := append([]byte{}, r.Bytes...) // never nil, which is NULL
	return t.exec(t.stmts.quarantine, r.Device[:], day, r.Number, r.Received.UnixMicro(), r.Topic, r.Reason, r.Detail, payload)
}

// Day numbers days since 1970 UTC.
func Day(t time.Time) int64 { return t.Unix() / 86400 }

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
