package recheck

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
)

// The states and links of a record, as its row has them.
const (
	incomplete, complete, setAside = 0, 1, 2
	unlinked, linked, broken       = 0, 1, 2
)

// clockBack is how far a record may go back in time behind the one before.
const clockBack = 2 * time.Minute

const selectRecords = `SELECT id, device, epoch, seq, kind, measured, utc, prev, link, chain, state, disputed, backdated, receipt,
	listed, road, position, speed, assessed, speed_limit, bytes FROM records ORDER BY device, epoch, seq`

// A row of records.
type row struct {
	id, device, prev, link, receipt, road, bytes []byte
	epoch, seq                                   uint64
	kind, measured, utc, chain, state            int64
	disputed, backdated, listed                  int64
	position, speed, assessed, limit             sql.NullInt64
}

func (r *row) scan(rows *sql.Rows) error {
	return rows.Scan(&r.id, &r.device, &r.epoch, &r.seq, &r.kind, &r.measured, &r.utc, &r.prev, &r.link, &r.chain, &r.state, &r.disputed, &r.backdated,
		&r.receipt, &r.listed, &r.road, &r.position, &r.speed, &r.assessed, &r.limit, &r.bytes)
}

// A chain is one epoch of a device, so far.
type chain struct {
	device                            evidence.DeviceID
	epoch, last                       uint64
	link                              []byte
	utc                               int64
	stored, unlinked, broken, highest int64
}

// records computes each from its bytes, and what is left of it in its neighbours.
func (k *checker) records() error {
	rows, err := k.DB.Query(k.ctx, selectRecords)
	if err != nil {
		return err
	}
	defer rows.Close()
	var c *chain
	var receipts lastReceipt
	for rows.Next() {
		var r row
		if err := r.scan(rows); err != nil {
			return err
		}
		k.result.Records++
		device := evidence.DeviceID(r.device)
		if c == nil || c.device != device || c.epoch != r.epoch {
			if err := k.counters(c); err != nil {
				return err
			}
			c = &chain{device: device, epoch: r.epoch}
		}
		if r.seq > c.last+1 {
			k.add(Finding{NumberMissing, device.String(), r.epoch, c.last + 1, r.seq - 1, ""})
		}
		sealed := k.bytes(&r)
		k.place(c, &r, sealed)
		switch r.state {
		case incomplete:
			k.result.Waiting++
		case setAside:
			k.add(of(SetAside, device, r.epoch, r.seq, ""))
		}
		if r.disputed != 0 {
			k.add(of(Disputed, device, r.epoch, r.seq, ""))
		}
		if r.state != complete || sealed == nil {
			continue
		}
		if err := k.named(&r, sealed.Record); err != nil {
			return err
		}
		if err := k.receipted(&r, &receipts); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return k.counters(c)
}

// bytes opens a record, and compares its columns; nil when it cannot be opened.
func (k *checker) bytes(r *row) *evidence.Sealed {
	device := evidence.DeviceID(r.device)
	sealed, err := evidence.Open(r.bytes)
	if err == nil && !bytes.Equal(sealed.ID[:], r.id) {
		err = fmt.Errorf("it is record %v", sealed.ID)
	}
	if err != nil {
		k.add(of(RecordDamaged, device, r.epoch, r.seq, "record %x: %v", r.id, err))
		return nil
	}
	rec := sealed.Record
	if key := k.keys[signer{evidence.RoleDevice, rec.Device, rec.Epoch, sealed.KeyID}]; key == nil {
		k.add(of(Unknown, device, r.epoch, r.seq, "key %v", sealed.KeyID))
	} else if err := sealed.Verify(key); err != nil {
		k.add(of(Signature, device, r.epoch, r.seq, "%v", err))
	}
	wrong := func(name string, have, want any) {
		k.add(of(Column, device, r.epoch, r.seq, "%s is %v, the record says %v", name, have, want))
	}
	same := func(name string, have, want int64) {
		if have != want {
			wrong(name, have, want)
		}
	}
	if rec.Device != device {
		wrong("device", device, rec.Device)
	}
	same("epoch", int64(r.epoch), int64(rec.Epoch))
	same("seq", int64(r.seq), int64(rec.Seq))
	same("kind", r.kind, int64(rec.Kind))
	same("measured", r.measured, number(rec.Kind.Measured()))
	same("utc", r.utc, rec.UTC.UnixMicro())
	if !bytes.Equal(r.prev, rec.Prev[:]) {
		wrong("prev", fmt.Sprintf("%x", r.prev), rec.Prev)
	}
	if !bytes.Equal(r.link, sealed.Link[:]) {
		wrong("link", fmt.Sprintf("%x", r.link), sealed.Link)
	}
	if r.listed == 0 {
		return sealed // by a program before there were such columns
	}
	var position, speed, assessed, limit sql.NullInt64
	road := ""
	if s := rec.Site; s != nil {
		road, position = s.Road, sql.NullInt64{Int64: int64(s.Position), Valid: true}
	}
	if m := rec.Measurement; m != nil {
		speed = sql.NullInt64{Int64: int64(m.Speed), Valid: true}
		assessed = sql.NullInt64{Int64: int64(m.Assessed), Valid: true}
		limit = sql.NullInt64{Int64: int64(m.Limit), Valid: true}
	}
	if string(r.road) != road || (r.road == nil) != (rec.Site == nil) {
		wrong("road", string(r.road), road)
	}
	for _, c := range []struct {
		name       string
		have, want sql.NullInt64
	}{{"position", r.position, position}, {"speed", r.speed, speed}, {"assessed", r.assessed, assessed}, {"speed_limit", r.limit, limit}} {
		if c.have != c.want {
			wrong(c.name, c.have.Int64, c.want.Int64)
		}
	}
	return sealed
}

// place computes how a record fits the one before it.
func (k *checker) place(c *chain, r *row, sealed *evidence.Sealed) {
	link, state := c.link, int64(unlinked)
	before := c.stored > 0 && r.seq == c.last+1
	zero := evidence.Hash{}
	switch {
	case r.seq == 1 && bytes.Equal(r.prev, zero[:]), before && bytes.Equal(r.prev, link):
		state = linked
	case r.seq == 1, before:
		state = broken
		k.add(of(ChainBroken, c.device, r.epoch, r.seq, "it names %x", r.prev))
	}
	switch state {
	case unlinked:
		c.unlinked++
	case broken:
		c.broken++
	}
	if state != r.chain {
		k.add(of(Column, c.device, r.epoch, r.seq, "chain is %d, the records say %d", r.chain, state))
	}
	back := before && r.kind != int64(evidence.KindClockStep) && r.kind != int64(evidence.KindBoot) && c.utc-r.utc > clockBack.Microseconds()
	if number(back) != r.backdated {
		k.add(of(Column, c.device, r.epoch, r.seq, "backdated is %d, the records say %d", r.backdated, number(back)))
	}
	c.stored, c.last, c.highest, c.link, c.utc = c.stored+1, r.seq, int64(r.seq), r.link, r.utc
	if sealed != nil {
		c.link = sealed.Link[:]
	}
}

const selectChain = `SELECT highest, stored, unlinked, broken FROM chains WHERE device = $1 AND epoch = $2`

// counters compares what is counted of a chain that has ended.
func (k *checker) counters(c *chain) error {
	if c == nil {
		return nil
	}
	var highest, stored, loose, bad int64
	err := k.DB.Row(k.ctx, selectChain, []any{c.device[:], int64(c.epoch)}, &highest, &stored, &loose, &bad)
	if err != nil && !errors.Is(err, database.ErrAbsent) {
		return err
	}
	// Records may come while this reads: fewer than there are is wrong, more is not.
	if err != nil || stored < c.stored || highest < c.highest ||
		stored == c.stored && (highest != c.highest || loose != c.unlinked || bad != c.broken) {
		k.add(Finding{Code: Counter, Device: c.device.String(), Epoch: c.epoch, Words: fmt.Sprintf(
			"highest, stored, unlinked, broken are %d, %d, %d, %d; the records say %d, %d, %d, %d",
			highest, stored, loose, bad, c.highest, c.stored, c.unlinked, c.broken)})
	}
	return nil
}

const selectBlob = `SELECT 1 FROM blobs WHERE sha256 = $1`

// named looks for the rows of a record's blobs.
func (k *checker) named(r *row, rec *evidence.Record) error {
	var all []evidence.Hash
	for _, f := range rec.Frames {
		all = append(all, f.SHA256)
	}
	if rec.Trace != nil {
		all = append(all, rec.Trace.SHA256)
	}
	for _, hash := range all {
		var one int
		err := k.DB.Row(k.ctx, selectBlob, []any{hash[:]}, &one)
		if errors.Is(err, database.ErrAbsent) {
			k.add(of(BlobUnnamed, rec.Device, r.epoch, r.seq, "blob %v", hash))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lastReceipt is the one that was opened last: records in order share them.
type lastReceipt struct {
	hash    []byte
	receipt *evidence.Receipt // nil: it cannot be opened
}

const selectReceipt = `SELECT bytes FROM receipts WHERE hash = $1`

// receipted looks for a complete record in its receipt.
func (k *checker) receipted(r *row, last *lastReceipt) error {
	device := evidence.DeviceID(r.device)
	if last.hash == nil || !bytes.Equal(last.hash, r.receipt) {
		var raw []byte
		err := k.DB.Row(k.ctx, selectReceipt, []any{r.receipt}, &raw)
		if err != nil && !errors.Is(err, database.ErrAbsent) {
			return err
		}
		last.hash, last.receipt = r.receipt, nil
		if err == nil {
			if sealed, err := evidence.OpenReceipt(raw); err == nil && bytes.Equal(sealed.Hash[:], r.receipt) {
				last.receipt = sealed.Receipt
			}
		}
	}
	if last.receipt == nil {
		k.add(of(ReceiptMissing, device, r.epoch, r.seq, "receipt %x", r.receipt))
		return nil
	}
	if e, ok := last.receipt.Entry(r.epoch, r.seq); !ok || last.receipt.Device != device || !bytes.Equal(e.ID[:], r.id) {
		k.add(of(ReceiptMissing, device, r.epoch, r.seq, "receipt %x is of other records", r.receipt))
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
