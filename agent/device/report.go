package device

import (
	"fmt"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// health is the device's report to the centre: what it has seen, what waits,
// and why it does not measure if it does not.
func (d *Device) health() wire.Health { return d.healthOf(d.faults.found()) }

// healthOf is health with these findings.
func (d *Device) healthOf(findings []sensor.Finding) wire.Health {
	counts, store := d.Counts(), d.o.Outbox.Stats()
	h := wire.Health{
		UptimeS:  uint64(d.o.Clock.Now()) / uint64(time.Second),
		Software: d.o.Software.Version,
		Counts: wire.HealthCounts{
			Passages: counts.Passages, Violations: counts.Violations, Discarded: map[string]uint64{},
		},
		Outbox: wire.HealthOutbox{
			Records: store.Records, Unsettled: store.Unsettled, Bytes: uint64(store.Bytes),
			RoomBytes: uint64(store.Room), Quarantined: uint64(store.Damaged), SetAside: uint64(store.SetAside),
		},
	}
	if !store.Oldest.IsZero() {
		h.Outbox.Oldest = &store.Oldest
	}
	for reason, n := range counts.Discarded {
		h.Counts.Discarded[reason.Code()] = n
	}
	for _, cause := range d.gate.found() {
		h.Reasons = append(h.Reasons, wire.Reason(cause))
	}
	h.Measuring = len(h.Reasons) == 0
	for _, f := range findings {
		h.Findings = append(h.Findings, wire.Reason{Code: f.Code, Words: f.Words()})
	}
	h.Sensing = d.sensing()
	tellLosses(&h, d.o.Outbox.Report())
	d.balance.tell(&h)
	if state, err := d.o.Clock.State(); err == nil {
		h.Clock = wire.HealthClock{
			Source: state.Source, Synchronised: state.Synchronised, OffsetUS: state.Offset.Microseconds(),
			UncertaintyUS: state.Uncertainty.Microseconds(), LockAgeS: int64(state.LockAge / time.Second),
		}
	}
	return h
}

// maxAlarms is how many losses of the store the health report tells one by one:
// its message is bounded, and others have something to say as well.
const maxAlarms = 20

// tellLosses adds what the store cannot read, misses or has set aside.
func tellLosses(h *wire.Health, r outbox.Report) {
	h.Outbox.Unaccounted, h.Outbox.AtLeast = r.Unaccounted()
	h.Outbox.Missing = r.Missing[:min(len(r.Missing), wire.MaxMissing)]
	losses := r.Losses()
	for _, l := range losses[:min(len(losses), maxAlarms)] {
		h.Alarms = append(h.Alarms, wire.Reason{Code: l.Code, Words: fmt.Sprintf("%.300s", l)})
	}
	if more := len(losses) - maxAlarms; more > 0 {
		h.Alarms = append(h.Alarms, wire.Reason{Code: outbox.StoreDamaged, Words: fmt.Sprintf("and %d more: ciglio outbox stats names them", more)})
	}
}

// sensing is what came from the sensors and the camera.
func (d *Device) sensing() (s wire.HealthSensing) {
	if d.o.Live != nil {
		s.Frames = d.o.Live.Tally()
		t := d.o.Live.Tracks()
		s.Tracks = wire.HealthTracks{
			Cycles: t.Cycles, Ignored: t.Ignored, Overflow: t.Overflow, Backwards: t.Backwards, Gaps: t.Gaps, Lone: t.LoneFinals,
		}
	}
	if d.o.Second != nil {
		s.Contacts = wire.HealthContacts(d.o.Second.Counters())
	}
	seen := d.ring.Stats()
	s.Pictures = wire.HealthPictures{
		Kept: seen.Stored, Repeated: seen.Repeated, Cut: seen.Cut, Damaged: seen.Damaged, TooLarge: seen.TooLarge, Late: seen.Order, Lost: seen.Lost,
	}
	if c, ok := d.o.Camera.(capture.Counting); ok {
		odd := c.Odd()
		s.Pictures.TooLarge += odd.Large
		s.Pictures.Odd = odd.Types + odd.Empty + odd.Lengths + odd.Boundaries + odd.Between
	}
	return s
}

// profile is what the public map says of the device, once it stands somewhere.
func (d *Device) profile() (wire.Profile, bool) {
	site, identity := d.o.Config.Site, d.o.Source.Identity()
	return wire.Profile{
		SiteID: site.ID, Road: site.Road, PositionM: d.site.Position,
		LatitudeE7: d.site.Latitude, LongitudeE7: d.site.Longitude, Heading: d.site.Heading,
		Limit: int32(site.Limit), Model: identity.Model, Serial: identity.Serial,
		Orders: 1, Approval: d.calibration.Approval.Words, Decree: d.decree().Words,
		Calibration: wire.ProfileCalibration{
			ID: d.calibration.ID, Version: d.calibration.Version, NotAfter: d.calibration.NotAfter,
		},
	}, d.o.Config.Placed()
}
