package evidence

import (
	"fmt"
	"strings"
	"time"

	"ciglio/sensor"
)

// A Fact is one thing that a record says, in the words, numbers and roundings in
// which every verifier and every page says it.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Facts returns what a record says, in the order in which it is shown. Speeds have
// two decimals, as they are sealed; uncertainties are standard ones (k = 1); times
// are local times of the site, with UTC beside them; positions on the road are
// kilometres with three decimals; numbers of records and pictures count from one.
func Facts(r *Record) []Fact {
	var facts []Fact
	add := func(name, format string, args ...any) {
		facts = append(facts, Fact{name, fmt.Sprintf(format, args...)})
	}
	add("kind", "%v", r.Kind)
	add("time", "%s", Moment(r.UTC))
	if s := r.Site; s != nil {
		lane := ""
		if s.Lane > 0 {
			lane = fmt.Sprintf(", lane %d", s.Lane)
		}
		add("place", "%s%s", Place(s.Road, s.Position), lane)
		add("position", "%s, %s", Degrees(s.Latitude, "N", "S"), Degrees(s.Longitude, "E", "W"))
	}
	if m := r.Measurement; m != nil {
		add("measured", "%v", m.Speed)
		add("uncertainty", "%s", Uncertainty(m.Uncertainty))
		add("indicated", "%v", m.Indicated)
		add("reduction", "%v", m.Reduction)
		add("assessed", "%v", m.Assessed)
		add("limit", "%v", m.Limit)
		add("rule", "%s", m.Rule)
		add("direction", "%v", m.Direction)
		add("other targets", "%d", m.Targets)
		if s := m.Second; s != nil {
			add("second speed", "%v by %s", s.Speed, Method(s.Method))
		}
	}
	add("clock", "%s", ClockWords(r.Clock))
	if c := r.Calibration; c != nil {
		add("calibration", "%s, version %d, until %s", c.ID, c.Version, Moment(c.NotAfter))
		add("approval", "%s", orNone(c.Approval))
		add("decree", "%s", orNone(c.Decree))
	}
	add("device", "%v", r.Device)
	add("record", "number %d of epoch %d", r.Seq, r.Epoch)
	add("software", "%s", r.Software.Version)
	return facts
}

// Moment prints an instant: local time of the site, and UTC. Fractions are those
// of the record.
func Moment(t time.Time) string {
	layout := "2006-01-02 15:04:05"
	if t.Nanosecond() != 0 {
		layout += ".000000"
	}
	return SiteTime(t).Format(layout+" MST") + " (" + t.UTC().Format(layout) + " UTC)"
}

// Place prints a position on a road, such as "SP 14, km 12.340".
func Place(road string, metres uint32) string {
	return fmt.Sprintf("%s, km %d.%03d", road, metres/1000, metres%1000)
}

// Degrees prints 1e-7 degrees without the rounding of a float, such as
// "46.0667000° N".
func Degrees(e7 int32, plus, minus string) string {
	side, v := plus, int64(e7)
	if v < 0 {
		side, v = minus, -v
	}
	return fmt.Sprintf("%d.%07d° %s", v/1e7, v%1e7, side)
}

// Uncertainty prints a standard uncertainty.
func Uncertainty(u sensor.Speed) string { return u.String() + " (standard uncertainty, k = 1)" }

// Method names how a second speed was measured.
func Method(m uint8) string {
	if m == MethodContacts {
		return "contacts"
	}
	return "pictures"
}

// ClockWords says how good the clock was.
func ClockWords(c sensor.ClockState) string {
	state := "synchronised"
	if !c.Synchronised {
		state = fmt.Sprintf("in holdover for %d s", c.LockAge/time.Second)
	}
	return fmt.Sprintf("%s (%s), standard uncertainty (k = 1) %s", state, c.Source, milliseconds(c.Uncertainty))
}

// Offset prints when a picture was taken, seen from the photo position, rounded to
// 0.1 ms.
func Offset(d time.Duration) string {
	tenths := (d.Abs() + 50*time.Microsecond) / (100 * time.Microsecond)
	ms := fmt.Sprintf("%d.%d ms", tenths/10, tenths%10)
	switch {
	case d < 0:
		return ms + " before the photo position"
	case d > 0:
		return ms + " after the photo position"
	}
	return "at the photo position"
}

func orNone(s string) string {
	if strings.TrimSpace(s) == "" {
		return "none"
	}
	return s
}

// milliseconds prints a duration in milliseconds with three decimals, cut off.
func milliseconds(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d.%03d ms", us/1000, us%1000)
}
