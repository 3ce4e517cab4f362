package device

import (
	"fmt"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// A Violation is one of the store as an officer sees it at the device. Tests are
// shown as well, and marked: on a device with simulated parts there is nothing else.
type Violation struct {
	uplink.Key
	ID        evidence.Hash
	Test      bool
	At        time.Time    // local time of the site, of the photo
	Measured  sensor.Speed // as the primary sensor measured it
	Assessed  sensor.Speed // less the legal tolerance
	Limit     sensor.Speed
	Direction sensor.Direction
	Roles     []string // of the frames, in their order: "before", "photo" or "after"
}

// Violations returns the newest violations of the store, the newest first, at most so
// many. Those whose record cannot be read are left out: the store's report names them.
func (d *Device) Violations(most int) ([]Violation, error) {
	var keys []uplink.Key
	for i, err := range d.o.Outbox.All(uplink.Key{}) {
		if err != nil {
			return nil, err
		}
		if i.Kind == evidence.KindViolation || i.Kind == evidence.KindTest {
			if keys = append(keys, i.Key); len(keys) > 2*max(most, 500) {
				keys = slices.Delete(keys, 0, len(keys)-most)
			}
		}
	}
	keys = slices.Delete(keys, 0, max(0, len(keys)-most))
	var all []Violation
	for _, k := range slices.Backward(keys) {
		if v, err := d.Violation(k); err == nil {
			all = append(all, v)
		}
	}
	return all, nil
}

// Violation returns one of the store. The error wraps [outbox.ErrNotFound] when
// there is none under the key.
func (d *Device) Violation(k uplink.Key) (Violation, error) {
	sealed, err := opened(d.o.Outbox, k)
	if err != nil {
		return Violation{}, err
	}
	r := sealed.Record
	if r.Kind != evidence.KindViolation && r.Kind != evidence.KindTest || r.Measurement == nil {
		return Violation{}, fmt.Errorf("record %d of epoch %d is no violation: %w", k.Seq, k.Epoch, outbox.ErrNotFound)
	}
	m := r.Measurement
	v := Violation{Key: k, ID: sealed.ID, Test: r.Kind == evidence.KindTest, At: r.UTC.Add(time.Duration(m.Photo - r.Mono)).In(d.zone),
		Measured: m.Speed, Assessed: m.Assessed, Limit: m.Limit, Direction: m.Direction}
	for _, f := range r.Frames {
		v.Roles = append(v.Roles, f.Role)
	}
	return v, nil
}

// ViolationFrame returns the n-th frame of a violation, from 0, as it was sealed.
// The error wraps [outbox.ErrNotFound] when there is none.
func (d *Device) ViolationFrame(k uplink.Key, n int) ([]byte, error) {
	v, err := d.Violation(k)
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= len(v.Roles) {
		return nil, fmt.Errorf("frame %d of record %d of epoch %d: %w", n, k.Seq, k.Epoch, outbox.ErrNotFound)
	}
	return d.o.Outbox.Blob(k, n)
}
