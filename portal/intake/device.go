package intake

import (
	"maps"
	"slices"
	"time"

	"ciglio/capture/evidence"
)

// A device is what a lane remembers of a device: the records that wait for
// blobs. The store has the same; a new run reads it from there.
type device struct {
	id      evidence.DeviceID
	blobs   map[evidence.Hash]*awaited
	records map[evidence.Hash]waiting
	bytes   uint64 // of the blobs waited for

	budget    budget
	heldUntil time.Time // until then what it sends may be more than its quota

	turned []evidence.Hash // blobs of its records that were turned away last
}

// A waiting record is one of which at least one blob is missing.
type waiting struct {
	blobs   map[evidence.Hash]uint64 // all that it names, with their lengths
	missing map[evidence.Hash]bool
}

// An awaited blob is one that at least one record waits for.
type awaited struct {
	length  uint64
	records []evidence.Hash
	partial *Partial // nil until it is needed
}

func (l *lane) device(id evidence.DeviceID) *device {
	d := l.devices[id]
	if d == nil {
		d = &device{
			id:      id,
			blobs:   make(map[evidence.Hash]*awaited),
			records: make(map[evidence.Hash]waiting),
		}
		l.devices[id] = d
	}
	return d
}

// maxTurned bounds the blobs that are known to come behind records that were turned
// away: more than a device has in flight.
const maxTurned = 1024

// turnAway notes the blobs of a record that is not taken. They may be on their way
// behind it, and are no fault of their own.
func (d *device) turnAway(r *evidence.Record) {
	for _, f := range r.Frames {
		d.turned = append(d.turned, f.SHA256)
	}
	if r.Trace != nil {
		d.turned = append(d.turned, r.Trace.SHA256)
	}
	d.turned = slices.Delete(d.turned, 0, max(0, len(d.turned)-maxTurned))
}

// room reports whether the device may announce the missing blobs of a record.
func (d *device) room(record evidence.Hash, missing map[evidence.Hash]uint64) bool {
	if _, announced := d.records[record]; announced {
		return true
	}
	more := uint64(0)
	for hash, length := range missing {
		if _, announced := d.blobs[hash]; !announced {
			more += length
		}
	}
	return len(d.records) < MaxIncomplete && d.bytes+more <= MaxIncompleteBytes
}

// announce notes that a record waits for some of its blobs. Announcing it again
// changes nothing.
func (d *device) announce(record evidence.Hash, blobs, missing map[evidence.Hash]uint64) {
	if _, announced := d.records[record]; announced {
		return
	}
	w := waiting{blobs: blobs, missing: make(map[evidence.Hash]bool)}
	for hash, length := range missing {
		b := d.blobs[hash]
		if b == nil {
			b = &awaited{length: length}
			d.blobs[hash] = b
			d.bytes += length
		}
		b.records = append(b.records, record)
		w.missing[hash] = true
	}
	d.records[record] = w
}

// complete notes that a blob is on disk and returns the operation that names it
// for the records that waited for it, and settles those that wait for nothing any
// more. Of those it names all blobs: the operations before may have failed.
func (d *device) complete(hash evidence.Hash) *settleOp {
	b := d.blobs[hash]
	o := &settleOp{}
	for _, id := range b.records {
		w := d.records[id]
		delete(w.missing, hash)
		part := settling{id: id, blobs: map[evidence.Hash]uint64{hash: b.length}}
		if part.whole = len(w.missing) == 0; part.whole {
			delete(d.records, id)
			maps.Copy(part.blobs, w.blobs)
		}
		o.records = append(o.records, part)
	}
	delete(d.blobs, hash)
	d.bytes -= b.length
	return o
}

// abandoned takes a record off the blobs it waits for and returns those that no
// other record waits for.
func (d *device) abandoned(record evidence.Hash) (alone []evidence.Hash) {
	for hash := range d.records[record].missing {
		b := d.blobs[hash]
		if len(b.records) == 1 {
			alone = append(alone, hash)
			continue
		}
		b.records = slices.DeleteFunc(b.records, func(id evidence.Hash) bool { return id == record })
	}
	return alone
}
