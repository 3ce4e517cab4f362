package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/record"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A job is one message of a device that the register knows.
type job struct {
	device  evidence.DeviceID
	what    wire.What
	topic   string
	payload []byte
}

// A lane handles the messages of some devices, one after the other.
type lane struct {
	in      *Intake
	jobs    chan job
	devices map[evidence.DeviceID]*device
}

func (l *lane) run(ctx context.Context) {
	for j := range l.jobs {
		var refused *refusal
		switch j.what {
		case wire.WhatRecord:
			refused = l.record(ctx, j)
		case wire.WhatBlob:
			refused = l.chunk(ctx, j)
		default:
			refused = l.report(j)
		}
		if refused != nil {
			refused.device, refused.topic, refused.payload = j.device, j.topic, j.payload
			l.in.refused.add(*refused)
		}
	}
}

func refuse(reason Reason, err error) *refusal { return &refusal{reason: reason, err: err} }

// told are the reasons for which a device is told that its record is not taken.
func (r Reason) told() bool {
	switch r {
	case ReasonReuse, ReasonAhead, ReasonBackdated, ReasonHeldBack, ReasonQuota: // its signature is good
		return true
	}
	return false
}

// record takes a record and answers it.
func (l *lane) record(ctx context.Context, j job) *refusal {
	refused, sealed := l.take(ctx, j)
	if refused == nil || sealed == nil {
		return refused
	}
	l.device(j.device).turnAway(sealed.Record)
	if refused.reason.told() {
		refused.record = sealed.ID
	}
	return refused
}

// take takes a record, and returns it as far as it is one.
func (l *lane) take(ctx context.Context, j job) (*refusal, *evidence.Sealed) {
	sealed, err := evidence.Open(j.payload)
	if err != nil {
		return refuse(ReasonMalformed, err), nil
	}
	r := sealed.Record
	if r.Device != j.device {
		return refuse(ReasonOtherDevice, fmt.Errorf("record %v: of device %v", sealed.ID, r.Device)), sealed
	}
	count(&l.in.stats.received, &l.in.stats.receivedMeas, r.Kind.Measured())
	expired, refused := l.verify(sealed)
	if refused != nil {
		return refused, sealed
	}
	blobs, err := blobsOf(r)
	if err != nil {
		return refuse(ReasonMalformed, fmt.Errorf("record %v: %w", sealed.ID, err)), sealed
	}
	d := l.device(j.device)
	now := l.in.o.Now()
	if ahead := r.UTC.Sub(now); ahead > MaxAhead && sequencer.Dated(r) {
		return refuse(ReasonAhead, fmt.Errorf("record %v: its instant %s is %v ahead of its arrival", sealed.ID, r.UTC.Format(time.RFC3339), ahead.Round(time.Second))), sealed
	}
	missing, found, err := l.missing(ctx, d, sealed, blobs)
	if errors.Is(err, errLength) {
		return refuse(ReasonMalformed, fmt.Errorf("record %v: %w", sealed.ID, err)), sealed
	}
	if errors.Is(err, errReuse) {
		return refuse(ReasonReuse, fmt.Errorf("record %v: %w", sealed.ID, err)), sealed
	}
	if err != nil {
		return refuse(ReasonStoreUnable, err), sealed
	}
	if err := l.reconcile(d, sealed.ID, missing); err != nil {
		return refuse(ReasonStoreUnable, err), sealed
	}
	cost := uint64(len(sealed.Bytes))
	for _, length := range missing {
		cost += length
	}
	if wait := d.budget.take(now, l.in.o.Quota, cost); wait > 0 {
		if _, err := l.in.o.Store.Record(ctx, sealed.ID); err != nil {
			d.heldUntil = now.Add(wait)
			refused := refuse(ReasonHeldBack, fmt.Errorf("record %v: the device stores more than its quota", sealed.ID))
			refused.wait = wait
			return refused, sealed
		}
		cost = 0 // it is stored already
	}
	put := &putOp{sealed: sealed, blobs: found, whole: len(missing) == 0, topic: j.topic, expired: expired, cost: cost, budget: &d.budget}
	if put.whole && len(d.records) == 0 && !expired {
		l.in.writer.ops <- put // which answers by itself
		return nil, sealed
	}
	if !put.whole && !d.room(sealed.ID, missing) {
		put.budget.giveBack(cost)
		return refuse(ReasonQuota, fmt.Errorf("record %v: the device has %d records of %d bytes that wait for blobs",
			sealed.ID, len(d.records), d.bytes)), sealed
	}
	put.done = make(chan outcome, 1)
	l.in.writer.ops <- put
	switch <-put.done {
	case outcomeDisputed:
		d.turnAway(r)
		return l.forget(d, put.first), sealed
	case outcomeBackdated:
		return refuse(ReasonBackdated, fmt.Errorf("record %v: its key has expired, and its instant %s is before that of the record before", sealed.ID, r.UTC.Format(time.RFC3339))), sealed
	case outcomeIncomplete:
		d.announce(sealed.ID, blobs, missing)
	default:
		return nil, sealed
	}
	// A blob whose last chunk came just before the power went is whole already.
	for hash := range missing {
		if refused := l.finish(ctx, d, hash); refused != nil {
			return refused, sealed
		}
	}
	return l.answerHave(d, sealed.ID), sealed
}

// reconcile ends the waiting of a device's record for blobs that are not missing
// any more, since they lay on disk.
func (l *lane) reconcile(d *device, id evidence.Hash, missing map[evidence.Hash]uint64) error {
	for hash := range d.records[id].missing {
		if _, waits := missing[hash]; waits {
			continue
		}
		if err := l.drop(d, hash); err != nil {
			return err
		}
		l.in.writer.ops <- d.complete(hash)
	}
	return nil
}

// forget ends the waiting of a record that is never going to be receipted.
func (l *lane) forget(d *device, id evidence.Hash) *refusal {
	for _, hash := range d.abandoned(id) {
		if err := l.drop(d, hash); err != nil {
			return refuse(ReasonStoreUnable, err)
		}
		d.complete(hash)
	}
	delete(d.records, id)
	return nil
}

// drop throws away what has come of a blob.
func (l *lane) drop(d *device, hash evidence.Hash) error {
	if err := l.open(d, hash); err != nil {
		return err
	}
	return d.blobs[hash].partial.Drop()
}

// verify checks that the register vouches for the record's key and that the key
// signed the record. It reports whether the key has expired since.
func (l *lane) verify(sealed *evidence.Sealed) (expired bool, refused *refusal) {
	r := sealed.Record
	now := l.in.o.Now()
	find := func(at time.Time) error {
		trust := l.in.o.Register.Trust()
		pub, entry, err := trust.DeviceKey(r.Device, r.Epoch, sealed.KeyID, at)
		if err != nil {
			return err
		}
		if entry.Revoked != nil && !now.Before(*entry.Revoked) {
			// The holder of a stolen key can date a record back.
			return fmt.Errorf("record %v: %w and the record came after", sealed.ID, evidence.ErrRevoked)
		}
		if late := now.Sub(entry.NotAfter); late > 0 {
			expired = true
			if late > MaxLate {
				return fmt.Errorf("record %v: %w: it expired %d days before the record came", sealed.ID, evidence.ErrNotValid, int(late.Hours()/24))
			}
		}
		return sealed.Verify(pub)
	}
	err := find(r.UTC)
	if errors.Is(err, evidence.ErrUnknownSigner) {
		l.in.refresh()
		err = find(r.UTC)
	}
	if errors.Is(err, evidence.ErrNotValid) && !sequencer.Dated(r) {
		err = find(now)
	}
	for _, c := range []struct {
		err    error
		reason Reason
	}{
		{evidence.ErrUnknownSigner, ReasonUnknownKey},
		{evidence.ErrForeignKey, ReasonForeignKey},
		{evidence.ErrNotValid, ReasonKeyNotValid},
		{evidence.ErrRevoked, ReasonRevoked},
	} {
		if errors.Is(err, c.err) {
			return expired, refuse(c.reason, err)
		}
	}
	if err != nil {
		return expired, refuse(ReasonSignature, err)
	}
	return expired, nil
}

// errLength says that a record gives a blob another length than it has, or than
// another record of the device that waits for it.
var errLength = errors.New("known with another length")

// errReuse says that a record names what another record was sent with.
var errReuse = errors.New("was sent for another record")

// missing returns which of the blobs of a device's record have not been sent for
// it, and which were and lie on disk although no transaction names them: power
// was cut between the two. The error wraps errReuse when another record has sent
// one of them.
func (l *lane) missing(ctx context.Context, d *device, sealed *evidence.Sealed, blobs map[evidence.Hash]uint64) (missing, found map[evidence.Hash]uint64, err error) {
	missing, found = make(map[evidence.Hash]uint64), make(map[evidence.Hash]uint64)
	asked, announced := false, false
	for hash, length := range blobs {
		if b := d.blobs[hash]; b != nil && b.length != length {
			return nil, nil, fmt.Errorf("blob %v of %d bytes: %w, %d", hash, length, errLength, b.length)
		}
		have, err := l.in.o.Store.BlobLength(ctx, hash)
		switch {
		case err == nil && have != length:
			return nil, nil, fmt.Errorf("blob %v of %d bytes: %w, %d", hash, length, errLength, have)
		case err != nil && !errors.Is(err, record.ErrNotFound):
			return nil, nil, err
		}
	}
	for hash, length := range blobs {
		senders, err := l.in.o.Store.Senders(ctx, hash)
		if err != nil {
			return nil, nil, err
		}
		if slices.Contains(senders, sealed.ID) {
			continue
		}
		if b := d.blobs[hash]; b != nil {
			senders = append(senders, b.records...)
		}
		for _, other := range senders {
			if other == sealed.ID {
				continue
			}
			first, err := l.in.o.Store.Record(ctx, other)
			if err != nil {
				return nil, nil, err
			}
			if !mayShare(sealed.Record, first, hash) {
				return nil, nil, fmt.Errorf("blob %v %w: %v of device %v", hash, errReuse, other, first.Device)
			}
		}
		missing[hash] = length
		if len(senders) > 0 {
			continue
		}
		// Only who has announced the blob before can have sent it.
		if !asked {
			_, err := l.in.o.Store.Record(ctx, sealed.ID)
			if err != nil && !errors.Is(err, record.ErrNotFound) {
				return nil, nil, err
			}
			asked, announced = true, err == nil
		}
		if !announced {
			continue
		}
		whole, err := l.in.o.Store.Blobs().Confirm(ctx, hash, length)
		if err != nil {
			return nil, nil, err
		}
		if whole {
			delete(missing, hash)
			found[hash] = length
		}
	}
	return missing, found, nil
}

// mayShare reports whether a record may name a blob that another one was sent
// with: it has to send it as well. Two events of one moment may have an exposure
// in common, and what is sealed as a test accuses nobody: a camera that plays
// files repeats itself. Nothing else is in two records.
func mayShare(r *evidence.Record, other *record.Record, hash evidence.Hash) bool {
	sealed, err := evidence.Open(other.Bytes)
	if err != nil || sealed.Record.Device != r.Device {
		return false
	}
	if r.Kind == evidence.KindTest && sealed.Record.Kind == evidence.KindTest {
		return true
	}
	if sealed.Record.Epoch != r.Epoch || sealed.Record.Boot != r.Boot || r.Trace != nil && r.Trace.SHA256 == hash {
		return false
	}
	for _, f := range r.Frames {
		if f.SHA256 == hash && !slices.ContainsFunc(sealed.Record.Frames, func(g evidence.Frame) bool {
			return g.SHA256 == hash && g.Number == f.Number && g.Mono == f.Mono
		}) {
			return false
		}
	}
	return true
}

// blobsOf returns the hashes and lengths of what a record names, each once. A
// record that gives one hash two lengths is an error.
func blobsOf(r *evidence.Record) (map[evidence.Hash]uint64, error) {
	blobs := make(map[evidence.Hash]uint64)
	add := func(hash evidence.Hash, length uint32) error {
		if have, twice := blobs[hash]; twice && have != uint64(length) {
			return fmt.Errorf("blob %v: %d bytes and %d bytes", hash, have, length)
		}
		blobs[hash] = uint64(length)
		return nil
	}
	for _, f := range r.Frames {
		if err := add(f.SHA256, f.Length); err != nil {
			return nil, err
		}
	}
	if r.Trace != nil {
		return blobs, add(r.Trace.SHA256, r.Trace.Length)
	}
	return blobs, nil
}

// chunk stores a piece of a blob that a record waits for.
func (l *lane) chunk(ctx context.Context, j job) *refusal {
	c, err := wire.ParseChunk(j.payload)
	if err != nil {
		return refuse(ReasonChunk, err)
	}
	d := l.device(j.device)
	b, ok := d.blobs[c.Blob]
	if !ok {
		switch have, err := l.in.o.Store.Blobs().Stat(ctx, c.Blob); {
		case err == nil && have == c.Total:
			return nil // came again after the blob was whole
		case err != nil && !errors.Is(err, blob.ErrAbsent):
			return refuse(ReasonStoreUnable, err)
		}
		if l.in.o.Now().Before(d.heldUntil) {
			l.in.refused.count(j.device, ReasonHeldBack) // its record was
			return nil
		}
		if slices.Contains(d.turned, c.Blob) {
			l.in.refused.count(j.device, ReasonBehind)
			return nil
		}
		return refuse(ReasonUnannounced, fmt.Errorf("blob %v: no verified record of the device waits for it", c.Blob))
	}
	if c.Total != b.length {
		return refuse(ReasonChunkLength, fmt.Errorf("blob %v: chunk of a blob of %d bytes, the record says %d", c.Blob, c.Total, b.length))
	}
	if err := l.open(d, c.Blob); err != nil {
		return refuse(ReasonStoreUnable, err)
	}
	if err := b.partial.Put(c); err != nil {
		return refuse(ReasonStoreUnable, err)
	}
	l.in.stats.chunks.Add(1)
	return l.finish(ctx, d, c.Blob)
}

// open takes up what is on disk of a blob.
func (l *lane) open(d *device, hash evidence.Hash) (err error) {
	if b := d.blobs[hash]; b.partial == nil {
		b.partial, err = l.in.spool.Open(d.id, hash, b.length)
	}
	return err
}

// finish stores a blob for good when all its chunks have come, and lets the
// writer settle the records that waited for nothing else.
func (l *lane) finish(ctx context.Context, d *device, hash evidence.Hash) *refusal {
	b, ok := d.blobs[hash]
	if !ok {
		return nil
	}
	if err := l.open(d, hash); err != nil {
		return refuse(ReasonStoreUnable, err)
	}
	if !b.partial.Whole() {
		return nil
	}
	if err := b.partial.Finish(ctx); err != nil {
		if errors.Is(err, blob.ErrDamaged) {
			return refuse(ReasonBlobDamaged, err)
		}
		return refuse(ReasonStoreUnable, err)
	}
	l.in.stats.blobs.Add(1)
	l.in.writer.ops <- d.complete(hash)
	return nil
}

// answerHave says what is there of the blobs that a record still waits for.
func (l *lane) answerHave(d *device, id evidence.Hash) *refusal {
	w, ok := d.records[id]
	if !ok {
		return nil // complete in the meantime: the receipt answers
	}
	have := wire.Have{Device: d.id, ID: id}
	for hash := range w.missing {
		b := d.blobs[hash]
		ranges := b.partial.Ranges()
		have.Blobs = append(have.Blobs, wire.HaveBlob{SHA256: hash, Ranges: ranges[:min(len(ranges), wire.MaxRanges)]})
	}
	payload, err := have.Marshal()
	if err == nil {
		payload, err = evidence.SealMessage(wire.ContentCommand, payload, l.in.o.Signer)
	}
	if err != nil {
		return refuse(ReasonStoreUnable, err)
	}
	l.in.stats.haves.Add(1)
	l.in.answers.send(uplink.Message{Topic: wire.Topic(l.in.o.Shard, d.id, wire.WhatCommand), Payload: payload})
	return nil
}

// report takes a state, health or profile message: the newest of each is kept,
// of states by their own count.
func (l *lane) report(j job) *refusal {
	var head wire.Head
	var err error
	o := &reportOp{device: j.device, text: j.payload}
	switch j.what {
	case wire.WhatState:
		o.state, err = wire.ParseState(j.payload)
		head, o.which = o.state.Head, record.ReportState
	case wire.WhatHealth:
		var h wire.Health
		h, err = wire.ParseHealth(j.payload)
		head, o.which = h.Head, record.ReportHealth
	case wire.WhatProfile:
		var p wire.Profile
		p, err = wire.ParseProfile(j.payload)
		head, o.which = p.Head, record.ReportProfile
	}
	if err != nil {
		return refuse(ReasonReport, err)
	}
	if evidence.DeviceID(head.Device) != j.device {
		return refuse(ReasonOtherDevice, fmt.Errorf("%s of device %v", j.what, evidence.DeviceID(head.Device)))
	}
	l.in.writer.ops <- o
	return nil
}
