package evidence

import (
	"errors"
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
	source string              // where its number is from
	broken func(c claim) *Said // what it says instead; nil when it fits
}

// doubt says what does not fit, when it is so. pairs are names and values of the
// arguments of the code.
func doubt(is bool, code string, pairs ...any) *Said {
	if !is {
		return nil
	}
	s := said(code, pairs...)
	return &s
}

// consistency returns every row, in the order in which they are asked.
func consistency() []row {
	return []row{
		{"measurement", "indicated", "art. 345: whole km/h, cut off", func(c claim) *Said {
			m := c.Measurement
			return doubt(m.Indicated != m.Speed.Truncate(), "measurement.indicated", "speed", m.Speed, "indicated", m.Indicated)
		}},
		{"measurement", "assessed", "art. 345: indicated less reduction", func(c claim) *Said {
			m := c.Measurement
			return doubt(m.Assessed != max(m.Indicated-m.Reduction, 0), "measurement.assessed", "indicated", m.Indicated, "reduction", m.Reduction, "assessed", m.Assessed)
		}},
		{"measurement", "violation", "art. 142: more than the limit", func(c claim) *Said {
			m := c.Measurement
			return doubt(c.Kind == KindViolation && m.Assessed <= m.Limit, "measurement.violation", "assessed", m.Assessed, "limit", m.Limit)
		}},
		{"measurement", "second tolerance", "second.flat and second.percent of the configuration", func(c claim) *Said {
			s := c.Measurement.Second
			return doubt(s != nil && s.Tolerance > max(widestFlat, sensor.Speed(int64(c.Measurement.Speed)*widestPercent/100)),
				"measurement.second_tolerance")
		}},
		{"measurement", "second speed", "docs/evidence.md", func(c claim) *Said {
			m := c.Measurement
			if m.Second == nil {
				return nil
			}
			if m.Second.Speed <= 0 {
				return doubt(true, "measurement.second_none")
			}
			return doubt(max(m.Second.Speed-m.Speed, m.Speed-m.Second.Speed) > m.Second.Tolerance,
				"measurement.second_speed", "second", m.Second.Speed, "speed", m.Speed, "tolerance", m.Second.Tolerance)
		}},
		{"measurement", "contacts", "way over time, docs/evidence.md", func(c claim) *Said { return c.Measurement.contacts() }},
		{"measurement", "possible", "sensor.maximum of the configuration: at most 350 km/h", func(c claim) *Said {
			return doubt(c.Measurement.Speed > fastest, "measurement.possible", "speed", c.Measurement.Speed, "most", sensor.Speed(fastest))
		}},

		{"times", "track", "docs/evidence.md", func(c claim) *Said {
			m := c.Measurement
			return doubt(m.Start >= m.End, "times.track")
		}},
		{"times", "way", "1 km: no sensor here reaches half of it", func(c claim) *Said {
			m := c.Measurement
			return doubt(m.Speed > 0 && int64(m.End.Sub(m.Start)) > longestWay*360e9/int64(m.Speed), "times.way", "speed", m.Speed, "metres", Number(longestWay))
		}},
		{"times", "trace", "docs/evidence.md", func(c claim) *Said {
			t := c.Trace
			return doubt(t.First > t.Last || t.Samples == 0 || t.Samples > uint64(t.Length), "times.trace")
		}},
		{"times", "trace and track", "docs/evidence.md", func(c claim) *Said {
			m, t := c.Measurement, c.Trace
			return doubt(t.First > m.End || t.Last < m.Start, "times.trace_and_track")
		}},
		{"times", "photo", "site.photo_range: 10 s at the limit", func(c claim) *Said {
			m := c.Measurement
			return doubt(before(m.Photo, m.Start, near) || before(m.End, m.Photo, near), "times.photo", "near", near)
		}},
		{"times", "clocks", "docs/evidence.md", func(c claim) *Said {
			m := c.Measurement
			return doubt(before(c.Mono, m.End, pairNear) || before(m.End, c.Mono, pairNear), "times.clocks", "near", pairNear)
		}},
		{"times", "calibration", "field 17", func(c claim) *Said {
			return doubt(c.UTC.After(c.Calibration.NotAfter), "times.calibration", "calibration", c.Calibration.ID, "until", c.Calibration.NotAfter)
		}},
		{"times", "marks", "as the photo position", func(c claim) *Said {
			m := c.Measurement
			if m.Second == nil || m.Second.Contacts == nil {
				return nil
			}
			far := func(mark sensor.Mono) bool { return before(mark, m.Start, near) || before(m.End, mark, near) }
			return doubt(slices.ContainsFunc(slices.Concat(m.Second.Contacts.Marks...), far), "times.marks", "near", near)
		}},
		{"times", "pictures in order", "one camera", func(c claim) *Said {
			for i := 1; i < len(c.Frames); i++ {
				if last := c.Frames[i-1]; c.Frames[i].Mono <= last.Mono || c.Frames[i].Mono.Sub(last.Mono) < last.Exposure {
					return doubt(true, "times.pictures_in_order", "n", Number(i+1), "before", Number(i))
				}
			}
			return nil
		}},
		{"times", "pictures", "five pictures 240 ms apart, 150 ms off: 2 s", func(c claim) *Said {
			for i, f := range c.Frames {
				most := frameNear
				if f.Role == "photo" {
					most = photoNear
				}
				if photo := c.Measurement.Photo; before(f.Mono, photo, most) || before(photo, f.Mono, most) {
					return doubt(true, "times.pictures", "n", Number(i+1), "near", most)
				}
			}
			return nil
		}},
		{"times", "exposure", "250 ms blur a vehicle at 50 km/h by more than 3 m", func(c claim) *Said {
			for i, f := range c.Frames {
				if f.Exposure > longestExposure {
					return doubt(true, "times.exposure", "n", Number(i+1), "most", longestExposure)
				}
			}
			return nil
		}},
		{"times", "strobe", "camera.strobe_bound: at most 50 ms", func(c claim) *Said { return c.strobed("times.strobe", widestStrobe) }},
		{"times", "strobe of each", "one exposure, one return", func(c claim) *Said {
			for i := 1; i < len(c.Frames); i++ {
				last, f := c.Frames[i-1], c.Frames[i]
				if (last.Strobe == 0) != (f.Strobe == 0) {
					return doubt(true, "times.strobe_of_some")
				}
				if f.Strobe != 0 && f.Strobe <= last.Strobe {
					return doubt(true, "times.strobe_of_each", "n", Number(i+1), "before", Number(i))
				}
			}
			return nil
		}},

		{"clock", "simulated", "only a test may have one", func(c claim) *Said {
			return doubt(c.Kind == KindViolation && c.Clock.Source == "simulated", "clock.simulated")
		}},
		{"clock", "synchronised", "the gate's rule", func(c claim) *Said {
			return doubt(!c.Clock.Synchronised && c.Clock.LockAge == 0, "clock.synchronised")
		}},
		{"clock", "uncertainty", "a clock is never known exactly", func(c claim) *Said {
			return doubt(c.Clock.Uncertainty == 0, "clock.uncertainty")
		}},
		{"clock", "bound", "clock.bound: at most 100 ms", func(c claim) *Said {
			offset, u := c.Clock.Offset, c.Clock.Uncertainty
			return doubt(offset > clockBound || offset < -clockBound || u > clockBound || offset.Abs()+2*u > clockBound,
				"clock.bound", "bound", clockBound)
		}},
		{"clock", "holdover", "a quartz: 100 ppm of the time since the last lock", func(c claim) *Said {
			return doubt(!c.Clock.Synchronised && c.Clock.Uncertainty < c.Clock.LockAge/drift, "clock.holdover", "age", c.Clock.LockAge)
		}},

		{"counter", "pictures counted", "camera.interval: at least 5 ms", func(c claim) *Said { return c.counted() }},

		{"direction", "known", "the gate's rule", func(c claim) *Said {
			return doubt(c.Measurement.Direction == sensor.DirectionUnknown, "direction.unknown")
		}},

		{"targets", "alone", "rules.json: sensors that tell vehicles apart", func(c claim) *Said {
			return doubt(c.Measurement.Targets > 0 && !c.law.separates(c.Trace.Model),
				"targets.company", "n", Count(c.Measurement.Targets), "model", c.Trace.Model)
		}},

		{"rule", "in force", "rules.json", func(c claim) *Said {
			rule, known := c.law.rule(c.Measurement.Rule)
			return doubt(known && !rule.On(SiteTime(c.UTC)), "rule.in_force", "rule", c.Measurement.Rule, "on", c.UTC)
		}},
		{"rule", "reduction", "rules.json", func(c claim) *Said {
			m := c.Measurement
			rule, known := c.law.rule(m.Rule)
			return doubt(known && m.Reduction != rule.Reduction(m.Speed.Truncate()), "rule.reduction",
				"rule", m.Rule, "takes", rule.Reduction(m.Speed.Truncate()), "off", m.Speed.Truncate(), "reduction", m.Reduction)
		}},
		{"rule", "limit", "rules.json", func(c claim) *Said {
			limit, l := c.Measurement.Limit, c.law.Limits
			return doubt(limit < l.Least || limit > l.Most || limit%l.Step != 0, "rule.limit", "limit", limit)
		}},

		{"uncertainty", "stated", "JCGM 100: no measurement is exact", func(c claim) *Said {
			return doubt(c.Measurement.Uncertainty == 0, "uncertainty.stated")
		}},
		{"uncertainty", "parts", "JCGM 100, 5.1.2: root of the sum of squares", func(c claim) *Said {
			m := c.Measurement
			b, u := m.Budget, int64(m.Uncertainty)
			var squares int64
			for _, part := range []sensor.Speed{b.Noise, b.Angle, b.Carrier, b.Clock, b.Acceleration} {
				squares += int64(part) * int64(part)
			}
			return doubt(u*u < squares || squares == 0, "uncertainty.parts", "u", m.Uncertainty)
		}},
		{"uncertainty", "below the reduction", "art. 345: the reduction includes the tolerance of the instrument", func(c claim) *Said {
			m := c.Measurement
			return doubt(2*int64(m.Uncertainty) > int64(m.Reduction), "uncertainty.below_the_reduction", "u", m.Uncertainty, "reduction", m.Reduction)
		}},

		{"settings", "limit", "site.limit of the configuration", func(c claim) *Said {
			limit, stated := c.settings.speed("site", "limit")
			return doubt(stated && limit != c.Measurement.Limit, "settings.limit", "stated", limit, "limit", c.Measurement.Limit)
		}},
		{"settings", "site", "site.id of the configuration", func(c claim) *Said {
			id, stated := c.settings.text("site", "id")
			return doubt(stated && id != c.Site.ID, "settings.site", "site", c.Site.ID)
		}},
		{"settings", "direction", "site.direction of the configuration", func(c claim) *Said {
			d, stated := c.settings.text("site", "direction")
			return doubt(stated && d != "unknown" && d != c.Measurement.Direction.String(),
				"settings.direction", "direction", Term(c.Measurement.Direction.String()))
		}},
		{"settings", "range", "sensor.maximum of the configuration", func(c claim) *Said {
			most, stated := c.settings.speed("sensor", "maximum")
			return doubt(stated && c.Measurement.Speed > most, "settings.range", "speed", c.Measurement.Speed, "most", most)
		}},
		{"settings", "second", "second.method of the configuration", func(c claim) *Said {
			method, stated := c.settings.text("second", "method")
			number, known := map[string]uint8{"none": 0, "contacts": MethodContacts, "frames": MethodDisplacement}[method]
			got := uint8(0)
			if s := c.Measurement.Second; s != nil {
				got = s.Method
			}
			return doubt(stated && known && number != got, "settings.second", "method", method)
		}},
		{"settings", "clock", "clock.bound of the configuration", func(c claim) *Said {
			bound, stated := c.settings.duration("clock", "bound")
			offset, u := c.Clock.Offset.Abs(), c.Clock.Uncertainty
			return doubt(stated && (offset > bound || u > bound || offset+2*u > bound), "settings.clock", "bound", bound)
		}},
		{"settings", "strobe", "camera.strobe_return and camera.strobe_bound of the configuration", func(c claim) *Said {
			_, watched := c.settings.text("camera", "strobe_return")
			if watched && slices.ContainsFunc(c.Frames, func(f Frame) bool { return f.Strobe == 0 }) {
				return doubt(true, "settings.strobe_none")
			}
			bound, stated := c.settings.duration("camera", "strobe_bound")
			if !stated {
				return nil
			}
			return c.strobed("settings.strobe", bound)
		}},

		{"software", "named", "field 19", func(c claim) *Said {
			return doubt(c.Software.Core.IsZero() || c.Software.Binary.IsZero(), "software.named")
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
		if broken := row.broken(c); broken != nil { // nil of this type is no error
			return broken
		}
	}
	if broken := r.certified(readSettings(calibration)); broken != nil {
		return broken
	}
	return nil
}

// doubts asks the rows of one check, and returns what the first says that does not fit.
func doubts(check string, c claim) *Said {
	for _, row := range consistency() {
		if row.check == check {
			if broken := row.broken(c); broken != nil {
				return broken
			}
		}
	}
	return nil
}

// contacts checks that a second speed follows from what the contacts saw.
func (m *Measurement) contacts() *Said {
	s := m.Second
	if s == nil || s.Contacts == nil {
		return nil
	}
	speed, direction, err := s.Contacts.Speed()
	switch {
	case errors.Is(err, errCrossing):
		return doubt(true, "measurement.contacts_long", "most", longestCrossing)
	case err != nil:
		return doubt(true, "measurement.contacts_way")
	case direction != m.Direction:
		return doubt(true, "measurement.contacts_direction", "seen", Term(direction.String()), "direction", Term(m.Direction.String()))
	case speed != s.Speed:
		return doubt(true, "measurement.contacts_speed", "seen", speed, "second", s.Speed)
	}
	return nil
}

// counted checks the camera's own numbers of the pictures: they ascend, no faster
// than a camera can, and evenly. Where pictures i and j of the first and the last
// are N numbers and T apart, the number of each lies no further from N·t/T than
// half of that and two.
func (c claim) counted() *Said {
	first, last := c.Frames[0], c.Frames[len(c.Frames)-1]
	for i := 1; i < len(c.Frames); i++ {
		a, b := c.Frames[i-1], c.Frames[i]
		if b.Number <= a.Number {
			return doubt(true, "counter.back", "from", Number(i), "to", Number(i+1))
		}
		// Times beyond an hour are failed by the check of times, and would overflow.
		apart, whole := b.Mono.Sub(a.Mono), last.Mono.Sub(first.Mono)
		if apart <= 0 || whole <= 0 || whole > time.Hour {
			continue
		}
		n, all := b.Number-a.Number, last.Number-first.Number
		if all > math.MaxInt32 || n > fastestCamera*uint64(apart)/uint64(time.Second)+1 {
			return doubt(true, "counter.fast", "from", Number(i), "to", Number(i+1), "counted", Number(n))
		}
		even := all * uint64(apart) / uint64(whole)
		if n > even+even/2+2 || n+even/2+2 < even {
			return doubt(true, "counter.uneven", "from", Number(i), "to", Number(i+1), "counted", Number(n), "even", Number(even))
		}
	}
	return nil
}

// strobed checks that the strobe's return of each picture that has one lies within
// its exposure, as far as bound allows.
func (c claim) strobed(code string, bound time.Duration) *Said {
	for i, f := range c.Frames {
		if f.Strobe != 0 && (before(f.Strobe, f.Mono, bound) || before(f.Mono, f.Strobe, f.Exposure+bound)) {
			return doubt(true, code, "n", Number(i+1), "bound", bound)
		}
	}
	return nil
}

// before reports whether a lies more than margin before b. Instants are never
// negative, so the difference cannot overflow.
func before(a, b sensor.Mono, margin time.Duration) bool { return b.Sub(a) > margin }
