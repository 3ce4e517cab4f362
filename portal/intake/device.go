package intake

import (
	"slices"

	"ciglio/capture/evidence"
	"ciglio/portal/store"
)

// A device is what a lane remembers of a device: the records that wait for
// blobs. The store has the same; a new run reads it from there.
type device struct {
	id      evidence.DeviceID
	blobs   map[evidence.Hash]*blob
	records map[evidence.Hash]map[evidence.Hash]bool // by record, the blobs it waits for
	bytes   uint64                                   // of the blobs waited for
}

// A blob is one that at least one record waits for.
type blob struct {
	length  uint64
	records []evidence.Hash
	partial *store.Partial // nil until it is needed
}

func (l *lane) device(id evidence.DeviceID) *device {
	d := l.devices[id]
	if d == nil {
		d = &device{
			id:      id,
			blobs:   make(map[evidence.Hash]*blob),
			records: make(map[evidence.Hash]map[evidence.Hash]bool),
		}
		l.devices[id] = d
	}
	return d
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

// announce notes that a record waits for blobs. Announcing it again changes
// nothing.
func (d *device) announce(record evidence.Hash, missing map[evidence.Hash]uint64) {
	if _, announced := d.records[record]; announced {
		return
	}
	waiting := make(map[evidence.Hash]bool)
	for hash, length := range missing {
		b := d.blobs[hash]
		if b == nil {
			b = &blob{length: length}
			d.blobs[hash] = b
			d.bytes += length
		}
		b.records = append(b.records, record)
		waiting[hash] = true
	}
	d.records[record] = waiting
}

// complete notes that a blob is stored and returns the records that wait for
// nothing any more.
func (d *device) complete(hash evidence.Hash) (whole []evidence.Hash) {
	b := d.blobs[hash]
	for _, id := range b.records {
		delete(d.records[id], hash)
		if len(d.records[id]) == 0 {
			delete(d.records, id)
			whole = append(whole, id)
		}
	}
	delete(d.blobs, hash)
	d.bytes -= b.length
	return whole
}

// abandoned takes a record off the blobs it waits for and returns those that no
// other record waits for.
func (d *device) abandoned(record evidence.Hash) (alone []evidence.Hash) {
	for hash := range d.records[record] {
		b := d.blobs[hash]
		if len(b.records) == 1 {
			alone = append(alone, hash)
			continue
		}
		b.records = slices.DeleteFunc(b.records, func(id evidence.Hash) bool { return id == record })
	}
	return alone
}
