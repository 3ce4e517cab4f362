package evidence

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

// What a record of a good measurement says of itself fits together. Each row of
// [consistency] is one thing that must fit, with the source of its number; the
// first that does not, fails the check of its name. A device asks the same before
// it seals, see [Record.Doubt], so that no verifier fails what it has sealed.

// Bounds of the table. Each is wider than what our devices do.
const (
	// near is how far the photo position, and what crossed the contacts, may lie
	// from the track: a photo position may be as far as a vehicle at the limit
	// drives in 10 s (site.photo_range).
	near = 10 * time.Second
	// pairNear is how far the pair of clocks may lie from the track.
	pairNear = time.Minute
	// frameNear is how far a picture may lie from the photo position: devices take
	// five at most, 240 ms apart and each within 150 ms of its instant.
	frameNear = 2 * time.Second
	// photoNear is how far the picture of role photo may lie from it.
	photoNear = 250 * time.Millisecond
	// longestExposure blurs a vehicle at 50 km/h by more than 3 m.
	longestExposure = 250 * time.Millisecond
	// widestStrobe is how far the strobe's return may lie outside of the exposure
	// (camera.strobe_bound is at most that): half of what lies between two pictures
	// of the slowest camera.
	widestStrobe = 50 * time.Millisecond
	// longestWay is how far one vehicle is followed: no sensor here reaches half.
	longestWay = 1000 // m
	// clockBound is what offset and twice the standard uncertainty of UTC may come
	// to (clock.bound is at most that).
	clockBound = 100 * time.Millisecond
	// fastest is what sensor.maximum is at most.
	fastest = 350 * sensor.KmH
	// drift is what a clock that nobody steers may gain, at least, as a part of the
	// time since it was: 100 ppm, of a quartz without compensation.
	drift = 10_000 // the inverse
	// fastestCamera is the most pictures in a second (camera.interval is at least 5 ms).
	fastestCamera = 250
	// widestFlat and widestPercent bound the difference up to which a second speed
	// agrees (second.flat, second.percent).
	widestFlat, widestPercent = 10 * sensor.KmH, 20
)

// A claim is what the rows look at.
type claim struct {
	*Record
	law      Law
	settings settings // of the configuration statement; nil when it is not here
}

// A row is one thing that must fit.
type row struct {
	check  string // its check
	name   string
	source string // where its number is from
	broken func(c claim) error
}

// wrong returns an error in the given words when it is so.
func wrong(is bool, format string, args ...any) error {
	if !is {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// consistency returns every row, in the order in which they are asked.
func consistency() []row {
	return []row{
		{"measurement", "indicated", "art. 345: whole km/h, cut off", func(c claim) error {
			m := c.Measurement
			return wrong(m.Indicated != m.Speed.Truncate(), "%v truncated to whole km/h is not %v", m.Speed, m.Indicated)
		}},
		{"measurement", "assessed", "art. 345: indicated less reduction", func(c claim) error {
			m := c.Measurement
			return wrong(m.Assessed != max(m.Indicated-m.Reduction, 0), "%v less %v is not %v", m.Indicated, m.Reduction, m.Assessed)
		}},
		{"measurement", "violation", "art. 142: more than the limit", func(c claim) error {
			m := c.Measurement
			return wrong(c.Kind == KindViolation && m.Assessed <= m.Limit, "%v is not more than the limit of %v, so this is no violation", m.Assessed, m.Limit)
		}},
		{"measurement", "second tolerance", "second.flat and second.percent of the configuration", func(c claim) error {
			s := c.Measurement.Second
			return wrong(s != nil && s.Tolerance > max(widestFlat, sensor.Speed(int64(c.Measurement.Speed)*widestPercent/100)),
				"a second speed that may differ by as much as it does here confirms nothing")
		}},
		{"measurement", "second speed", "docs/evidence.md", func(c claim) error {
			m := c.Measurement
			if m.Second == nil {
				return nil
			}
			if m.Second.Speed <= 0 {
				return errors.New("a second sensor is named, and it has no speed")
			}
			return wrong(max(m.Second.Speed-m.Speed, m.Speed-m.Second.Speed) > m.Second.Tolerance,
				"the second speed of %v differs from %v by more than %v", m.Second.Speed, m.Speed, m.Second.Tolerance)
		}},
		{"measurement", "contacts", "way over time, docs/evidence.md", func(c claim) error { return c.Measurement.contacts() }},
		{"measurement", "possible", "sensor.maximum of the configuration: at most 350 km/h", func(c claim) error {
			return wrong(c.Measurement.Speed > fastest, "%v is beyond every sensor's range, which ends at %v", c.Measurement.Speed, fastest)
		}},

		{"times", "track", "docs/evidence.md", func(c claim) error {
			m := c.Measurement
			return wrong(m.Start >= m.End, "the track ends before it begins, or as it begins")
		}},
		{"times", "way", "1 km: no sensor here reaches half of it", func(c claim) error {
			m := c.Measurement
			return wrong(m.Speed > 0 && int64(m.End.Sub(m.Start)) > longestWay*360e9/int64(m.Speed),
				"in the time of the track a vehicle of %v drives more than %d m", m.Speed, longestWay)
		}},
		{"times", "trace", "docs/evidence.md", func(c claim) error {
			t := c.Trace
			return wrong(t.First > t.Last || t.Samples == 0 || t.Samples > uint64(t.Length),
				"the raw data ends before it begins, holds nothing, or holds more than it has bytes")
		}},
		{"times", "trace and track", "docs/evidence.md", func(c claim) error {
			m, t := c.Measurement, c.Trace
			return wrong(t.First > m.End || t.Last < m.Start, "the raw data is of another time than the track")
		}},
		{"times", "photo", "site.photo_range: 10 s at the limit", func(c claim) error {
			m := c.Measurement
			return wrong(before(m.Photo, m.Start, near) || before(m.End, m.Photo, near), "the photo position lies more than %v from the track", near)
		}},
		{"times", "clocks", "docs/evidence.md", func(c claim) error {
			m := c.Measurement
			return wrong(before(c.Mono, m.End, pairNear) || before(m.End, c.Mono, pairNear), "the clocks were read more than %v from the track", pairNear)
		}},
		{"times", "calibration", "field 17", func(c claim) error {
			return wrong(c.UTC.After(c.Calibration.NotAfter), "calibration %s was in force until %s", c.Calibration.ID, day(c.Calibration.NotAfter))
		}},
		{"times", "marks", "as the photo position", func(c claim) error {
			m := c.Measurement
			if m.Second == nil || m.Second.Contacts == nil {
				return nil
			}
			far := func(mark sensor.Mono) bool { return before(mark, m.Start, near) || before(m.End, mark, near) }
			return wrong(slices.ContainsFunc(slices.Concat(m.Second.Contacts.Marks...), far),
				"what crossed the contacts did so more than %v from the track", near)
		}},
		{"times", "pictures in order", "one camera", func(c claim) error {
			for i := 1; i < len(c.Frames); i++ {
				if last := c.Frames[i-1]; c.Frames[i].Mono <= last.Mono || c.Frames[i].Mono.Sub(last.Mono) < last.Exposure {
					return fmt.Errorf("picture %d was not taken after picture %d", i+1, i)
				}
			}
			return nil
		}},
		{"times", "pictures", "five pictures 240 ms apart, 150 ms off: 2 s", func(c claim) error {
			for i, f := range c.Frames {
				most := frameNear
				if f.Role == "photo" {
					most = photoNear
				}
				if photo := c.Measurement.Photo; before(f.Mono, photo, most) || before(photo, f.Mono, most) {
					return fmt.Errorf("picture %d was taken more than %v from the photo position", i+1, most)
				}
			}
			return nil
		}},
		{"times", "exposure", "250 ms blur a vehicle at 50 km/h by more than 3 m", func(c claim) error {
			for i, f := range c.Frames {
				if f.Exposure > longestExposure {
					return fmt.Errorf("picture %d was exposed for more than %v", i+1, longestExposure)
				}
			}
			return nil
		}},
		{"times", "strobe", "camera.strobe_bound: at most 50 ms", func(c claim) error { return c.strobed(widestStrobe) }},
		{"times", "strobe of each", "one exposure, one return", func(c claim) error {
			for i := 1; i < len(c.Frames); i++ {
				last, f := c.Frames[i-1], c.Frames[i]
				if (last.Strobe == 0) != (f.Strobe == 0) {
					return errors.New("some pictures have the strobe's return, and some have none")
				}
				if f.Strobe != 0 && f.Strobe <= last.Strobe {
					return fmt.Errorf("the strobe's return of picture %d is not after that of picture %d", i+1, i)
				}
			}
			return nil
		}},

		{"clock", "simulated", "only a test may have one", func(c claim) error {
			return wrong(c.Kind == KindViolation && c.Clock.Source == "simulated", "the clock was a simulated one, and this is no test")
		}},
		{"clock", "synchronised", "the gate's rule", func(c claim) error {
			return wrong(!c.Clock.Synchronised && c.Clock.LockAge == 0, "the clock was never synchronised")
		}},
		{"clock", "uncertainty", "a clock is never known exactly", func(c claim) error {
			return wrong(c.Clock.Uncertainty == 0, "the uncertainty of the clock is 0, which no clock has")
		}},
		{"clock", "bound", "clock.bound: at most 100 ms", func(c claim) error {
			offset, u := c.Clock.Offset, c.Clock.Uncertainty
			return wrong(offset > clockBound || offset < -clockBound || u > clockBound || offset.Abs()+2*u > clockBound,
				"the clock may be off by more than %v", clockBound)
		}},
		{"clock", "holdover", "a quartz: 100 ppm of the time since the last lock", func(c claim) error {
			return wrong(!c.Clock.Synchronised && c.Clock.Uncertainty < c.Clock.LockAge/drift,
				"the clock was last synchronised %v before, and its uncertainty is that of one that still is", c.Clock.LockAge)
		}},

		{"counter", "pictures counted", "camera.interval: at least 5 ms", func(c claim) error { return c.counted() }},

		{"direction", "known", "the gate's rule", func(c claim) error {
			return wrong(c.Measurement.Direction == sensor.DirectionUnknown, "which way the vehicle went is unknown")
		}},

		{"targets", "alone", "rules.json: sensors that tell vehicles apart", func(c claim) error {
			return wrong(c.Measurement.Targets > 0 && !c.law.separates(c.Trace.Model),
				"%d other vehicles were in the beam, and sensor %s does not tell vehicles apart", c.Measurement.Targets, c.Trace.Model)
		}},

		{"rule", "in force", "rules.json", func(c claim) error {
			rule, known := c.law.rule(c.Measurement.Rule)
			return wrong(known && !rule.On(SiteTime(c.UTC)), "rule %s was not in force on %s", c.Measurement.Rule, SiteTime(c.UTC).Format(time.DateOnly))
		}},
		{"rule", "reduction", "rules.json", func(c claim) error {
			m := c.Measurement
			rule, known := c.law.rule(m.Rule)
			return wrong(known && m.Reduction != rule.Reduction(m.Speed.Truncate()), "rule %s takes %v off %v, not %v",
				m.Rule, rule.Reduction(m.Speed.Truncate()), m.Speed.Truncate(), m.Reduction)
		}},
		{"rule", "limit", "rules.json", func(c claim) error {
			limit, l := c.Measurement.Limit, c.law.Limits
			return wrong(limit < l.Least || limit > l.Most || limit%l.Step != 0, "there is no limit of %v", limit)
		}},

		{"uncertainty", "stated", "JCGM 100: no measurement is exact", func(c claim) error {
			return wrong(c.Measurement.Uncertainty == 0, "the standard uncertainty is 0, which no measurement has")
		}},
		{"uncertainty", "parts", "JCGM 100, 5.1.2: root of the sum of squares", func(c claim) error {
			m := c.Measurement
			b, u := m.Budget, int64(m.Uncertainty)
			var squares int64
			for _, part := range []sensor.Speed{b.Noise, b.Angle, b.Carrier, b.Clock, b.Acceleration} {
				squares += int64(part) * int64(part)
			}
			return wrong(u*u < squares || squares == 0, "the standard uncertainty of %v is less than its parts give, or has none", m.Uncertainty)
		}},
		{"uncertainty", "below the reduction", "art. 345: the reduction includes the tolerance of the instrument", func(c claim) error {
			m := c.Measurement
			return wrong(2*int64(m.Uncertainty) > int64(m.Reduction), "twice the standard uncertainty of %v is more than the reduction of %v",
				m.Uncertainty, m.Reduction)
		}},

		{"settings", "limit", "site.limit of the configuration", func(c claim) error {
			limit, stated := c.settings.speed("site", "limit")
			return wrong(stated && limit != c.Measurement.Limit, "the configuration has a limit of %v, the record %v", limit, c.Measurement.Limit)
		}},
		{"settings", "site", "site.id of the configuration", func(c claim) error {
			id, stated := c.settings.text("site", "id")
			return wrong(stated && id != c.Site.ID, "the configuration is of another site than %s", c.Site.ID)
		}},
		{"settings", "direction", "site.direction of the configuration", func(c claim) error {
			d, stated := c.settings.text("site", "direction")
			return wrong(stated && d != "unknown" && d != c.Measurement.Direction.String(),
				"the configuration has the direction %s, the record %v", d, c.Measurement.Direction)
		}},
		{"settings", "range", "sensor.maximum of the configuration", func(c claim) error {
			most, stated := c.settings.speed("sensor", "maximum")
			return wrong(stated && c.Measurement.Speed > most, "%v is beyond the sensor's range, which ends at %v", c.Measurement.Speed, most)
		}},
		{"settings", "second", "second.method of the configuration", func(c claim) error {
			method, stated := c.settings.text("second", "method")
			number, known := map[string]uint8{"none": 0, "contacts": MethodContacts, "frames": MethodDisplacement}[method]
			got := uint8(0)
			if s := c.Measurement.Second; s != nil {
				got = s.Method
			}
			return wrong(stated && known && number != got, "the configuration has the second speed by %s, the record has another or none", method)
		}},
		{"settings", "clock", "clock.bound of the configuration", func(c claim) error {
			bound, stated := c.settings.duration("clock", "bound")
			offset, u := c.Clock.Offset.Abs(), c.Clock.Uncertainty
			return wrong(stated && (offset > bound || u > bound || offset+2*u > bound), "the clock may be off by more than the configuration's %v", bound)
		}},
		{"settings", "strobe", "camera.strobe_return and camera.strobe_bound of the configuration", func(c claim) error {
			_, watched := c.settings.text("camera", "strobe_return")
			if watched && slices.ContainsFunc(c.Frames, func(f Frame) bool { return f.Strobe == 0 }) {
				return errors.New("the configuration watches the strobe's return, and a picture has none")
			}
			bound, stated := c.settings.duration("camera", "strobe_bound")
			if !stated {
				return nil
			}
			return c.strobed(bound)
		}},

		{"software", "named", "field 19", func(c claim) error {
			return wrong(c.Software.Core.IsZero() || c.Software.Binary.IsZero(), "the record does not say which measuring core made it")
		}},
	}
}

// Doubt returns the first thing in a record of a violation or a test that
// contradicts a good measurement, nil when there is none. configuration and
// calibration are the statements in force, nil for none; what they state is compared
// too. A device asks before it
// seals: what raises a doubt no verifier passes. A rule that the table does not
// know raises none.
func (r *Record) Doubt(configuration, calibration []byte) error {
	if !r.Kind.Measured() {
		return nil
	}
	law, err := PresentLaw()
	if err != nil {
		return err
	}
	c := claim{r, law, readSettings(configuration)}
	for _, row := range consistency() {
		if err := row.broken(c); err != nil {
			return fmt.Errorf("%s: %w", row.check, err)
		}
	}
	if err := r.certified(readSettings(calibration)); err != nil {
		return fmt.Errorf("calibration: %w", err)
	}
	return nil
}

// doubts asks the rows of one check.
func doubts(check string, c claim) error {
	for _, row := range consistency() {
		if row.check == check {
			if err := row.broken(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// contacts checks that a second speed follows from what the contacts saw.
func (m *Measurement) contacts() error {
	s := m.Second
	if s == nil || s.Contacts == nil {
		return nil
	}
	speed, direction, err := s.Contacts.Speed()
	switch {
	case err != nil:
		return err
	case direction != m.Direction:
		return fmt.Errorf("what crossed the contacts was %v, the vehicle %v", direction, m.Direction)
	case speed != s.Speed:
		return fmt.Errorf("what the contacts saw gives %v, not %v", speed, s.Speed)
	}
	return nil
}

// counted checks the camera's own numbers of the pictures: they ascend, no faster
// than a camera can, and evenly. Where pictures i and j of the first and the last
// are N numbers and T apart, the number of each lies no further from N·t/T than
// half of that and two.
func (c claim) counted() error {
	first, last := c.Frames[0], c.Frames[len(c.Frames)-1]
	for i := 1; i < len(c.Frames); i++ {
		a, b := c.Frames[i-1], c.Frames[i]
		if b.Number <= a.Number {
			return fmt.Errorf("the camera's count does not go up from picture %d to picture %d", i, i+1)
		}
		// Times beyond an hour are failed by the check of times, and would overflow.
		apart, whole := b.Mono.Sub(a.Mono), last.Mono.Sub(first.Mono)
		if apart <= 0 || whole <= 0 || whole > time.Hour {
			continue
		}
		n, all := b.Number-a.Number, last.Number-first.Number
		if all > math.MaxInt32 || n > fastestCamera*uint64(apart)/uint64(time.Second)+1 {
			return fmt.Errorf("from picture %d to picture %d the camera counted %d, faster than a camera is", i, i+1, n)
		}
		even := all * uint64(apart) / uint64(whole)
		if n > even+even/2+2 || n+even/2+2 < even {
			return fmt.Errorf("from picture %d to picture %d the camera counted %d, and %d would be even", i, i+1, n, even)
		}
	}
	return nil
}

// strobed checks that the strobe's return of each picture that has one lies within
// its exposure, as far as bound allows.
func (c claim) strobed(bound time.Duration) error {
	for i, f := range c.Frames {
		if f.Strobe != 0 && (before(f.Strobe, f.Mono, bound) || before(f.Mono, f.Strobe, f.Exposure+bound)) {
			return fmt.Errorf("the strobe's return of picture %d lies more than %v outside of its exposure", i+1, bound)
		}
	}
	return nil
}

// before reports whether a lies more than margin before b. Instants are never
// negative, so the difference cannot overflow.
func before(a, b sensor.Mono, margin time.Duration) bool { return b.Sub(a) > margin }
