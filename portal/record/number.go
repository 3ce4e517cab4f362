package record

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
)

// This file has what stands between a record that is whole and a receipt that was sent.

// What is told ([database.DB.Tell]) after the commit that it is about.
const (
	TellWhole    = "ciglio_whole"    // records may be numbered
	TellReceipts = "ciglio_receipts" // receipts are to be sent
)

const updateWhole = `UPDATE records SET due = 0, shard = $2 WHERE id = $1 AND state = 0 AND due IS NULL`

// Whole notes that no blob of an incomplete record is missing, and by which shard its
// receipt is to be sent: it may be numbered.
func (t *Tx) Whole(id evidence.Hash, shard string) error { return t.exec(updateWhole, id[:], shard) }

const selectUnnumbered = `SELECT id, device, epoch, seq, kind, utc, shard FROM records
	WHERE state = 0 AND due IS NOT NULL AND due <= $1 ORDER BY due, arrival LIMIT $2`

// Unnumbered returns records that are whole and not in the log, and wait for no later
// instant than now: the first that came, without Bytes.
func (t *Tx) Unnumbered(now time.Time, limit int) ([]*Record, error) {
	return all(t, selectUnnumbered, []any{now.UnixMicro(), limit}, func(rows *sql.Rows) (*Record, error) {
		var r Record
		var id, device []byte
		var utc int64
		if err := rows.Scan(&id, &device, &r.Epoch, &r.Seq, &r.Kind, &utc, &r.Shard); err != nil {
			return nil, err
		}
		copy(r.ID[:], id)
		copy(r.Device[:], device)
		r.UTC = instant(utc)
		return &r, nil
	})
}

const updateDue = `UPDATE records SET due = $2 WHERE id = $1 AND state = 0`

// PutOff has a record that is whole wait for an instant.
func (t *Tx) PutOff(id evidence.Hash, until time.Time) error {
	return t.exec(updateDue, id[:], until.UnixMicro())
}

const selectPutOff = `SELECT COUNT(*), COALESCE(MIN(due), 0) FROM records WHERE state = 0 AND due IS NOT NULL AND due > 0`

// PutOff says how many records wait for an instant, and the first of these; it is zero
// when none does.
func (s *Store) PutOff(ctx context.Context) (records int64, first time.Time, err error) {
	var due int64
	err = s.db.Row(ctx, selectPutOff, nil, &records, &due)
	return records, instant(due), err
}

// A Settled record has its number in the log and its receipt, which is stored.
type Settled struct {
	ID      evidence.Hash
	Index   uint64
	Receipt evidence.Hash
}

const updateSettled = `UPDATE records SET state = 1, log_index = $2, receipt = $3 WHERE id = $1 AND state = 0`

// Settle makes whole records complete. When one has been disputed meanwhile, the error
// wraps [database.ErrAgain].
func (t *Tx) Settle(records []Settled) error {
	if err := t.flush(); err != nil {
		return err
	}
	for _, s := range records {
		if err := t.exec(updateSettled, s.ID[:], int64(s.Index), s.Receipt[:]); err != nil {
			return err
		}
	}
	changed, err := t.changed()
	if err == nil && changed != int64(len(records)) {
		err = fmt.Errorf("%d of %d records were set aside: %w", int64(len(records))-changed, len(records), database.ErrAgain)
	}
	return err
}

const upsertSending = `INSERT INTO sending (receipt, shard, since, asked) VALUES ($1, $2, $3, 1)
	ON CONFLICT (receipt) DO UPDATE SET shard = excluded.shard, asked = sending.asked + 1`

// Send has a stored receipt sent by a shard. It may be asked for again at any time.
func (t *Tx) Send(receipt evidence.Hash, shard string, now time.Time) error {
	return t.exec(upsertSending, receipt[:], shard, now.UnixMicro())
}

// An Unsent receipt is one that the broker has not acknowledged.
type Unsent struct {
	Receipt evidence.Hash
	Device  evidence.DeviceID
	Bytes   []byte
	Since   time.Time
	Asked   int64 // how often
}

const selectSending = `SELECT sending.receipt, receipts.device, receipts.bytes, sending.since, sending.asked
	FROM sending JOIN receipts ON receipts.hash = sending.receipt
	WHERE sending.shard = $1 AND (sending.since, sending.receipt) > ($2, $3)
	ORDER BY sending.since, sending.receipt LIMIT $4`

// Unsent returns receipts to be sent by a shard, those that wait longest first, behind
// one; nil for the first.
func (s *Store) Unsent(ctx context.Context, shard string, behind *Unsent, limit int) ([]*Unsent, error) {
	since, receipt := int64(-1), []byte{}
	if behind != nil {
		since, receipt = behind.Since.UnixMicro(), behind.Receipt[:]
	}
	return list(ctx, s.db, selectSending, []any{shard, since, receipt, limit}, func(rows *sql.Rows) (*Unsent, error) {
		var u Unsent
		var receipt, device []byte
		var since int64
		if err := rows.Scan(&receipt, &device, &u.Bytes, &since, &u.Asked); err != nil {
			return nil, err
		}
		copy(u.Receipt[:], receipt)
		copy(u.Device[:], device)
		u.Since = time.UnixMicro(since).UTC()
		return &u, nil
	})
}

const deleteSending = `DELETE FROM sending WHERE receipt = $1 AND asked = $2`

// ReceiptSent ends the waiting of a receipt, unless it was asked for again meanwhile.
func (t *Tx) ReceiptSent(receipt evidence.Hash, asked int64) error {
	return t.exec(deleteSending, receipt[:], asked)
}

const upsertCheckpoint = `INSERT INTO checkpoints (id, size, signed) VALUES (1, $1, $2)
	ON CONFLICT (id) DO UPDATE SET size = excluded.size, signed = excluded.signed WHERE excluded.size >= checkpoints.size`

// PutCheckpoint keeps a published checkpoint of a log of so many entries, for those who
// serve it, unless a larger one is there.
func (s *Store) PutCheckpoint(ctx context.Context, size int64, signed []byte) error {
	return s.db.Update(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, upsertCheckpoint, size, signed)
		return err
	})
}

const selectCheckpoint = `SELECT signed FROM checkpoints WHERE id = 1`

// Checkpoint returns the newest that was published; nil when none was.
func (s *Store) Checkpoint(ctx context.Context) (signed []byte, err error) {
	if err = s.db.Row(ctx, selectCheckpoint, nil, &signed); errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return signed, err
}
