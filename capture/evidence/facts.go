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
	Name string // such as "measured"; the text fact.NAME of a language
	Said        // its value
}

// Title returns the name of the fact in a language.
func (f Fact) Title(l Language) string { return l.Word("fact." + f.Name) }

// Value is the value in English.
func (f Fact) Value() string { return f.Words() }

// Facts returns what a record says, in the order in which it is shown. Speeds have
// two decimals, as they are sealed; uncertainties are standard ones (k = 1); times
// are local times of the site, with UTC beside them; positions on the road are
// kilometres with three decimals; numbers of records and pictures count from one.
func Facts(r *Record) []Fact {
	var facts []Fact
	add := func(name, code string, pairs ...any) { facts = append(facts, Fact{name, said(code, pairs...)}) }
	speed := func(name string, v sensor.Speed) { add(name, "value.speed", "speed", v) }
	text := func(name, v string) {
		if strings.TrimSpace(v) == "" {
			add(name, "value.none")
			return
		}
		add(name, "value.text", "text", v)
	}
	add("kind", "value.term", "term", Term(r.Kind.String()))
	add("time", "value.moment", "at", r.UTC)
	if s := r.Site; s != nil {
		if s.Lane > 0 {
			add("place", "value.lane", "road", s.Road, "km", Metres(s.Position), "lane", Number(s.Lane))
		} else {
			add("place", "value.place", "road", s.Road, "km", Metres(s.Position))
		}
		add("position", "value.position", "latitude", Degrees7(s.Latitude), "longitude", Degrees7(s.Longitude))
	}
	if m := r.Measurement; m != nil {
		speed("measured", m.Speed)
		add("uncertainty", "value.uncertainty", "u", m.Uncertainty)
		speed("indicated", m.Indicated)
		speed("reduction", m.Reduction)
		speed("assessed", m.Assessed)
		speed("limit", m.Limit)
		add("rule", "value.text", "text", m.Rule)
		add("direction", "value.term", "term", Term(m.Direction.String()))
		add("other targets", "value.number", "n", Number(m.Targets))
		if s := m.Second; s != nil {
			add("second speed", "value.second", "speed", s.Speed, "method", Term(Method(s.Method)))
		}
	}
	if c := r.Clock; c.Synchronised {
		add("clock", "value.clock", "source", c.Source, "u", c.Uncertainty)
	} else {
		add("clock", "value.holdover", "age", c.LockAge, "source", c.Source, "u", c.Uncertainty)
	}
	if c := r.Calibration; c != nil {
		add("calibration", "value.calibration", "id", c.ID, "version", Number(c.Version), "until", c.NotAfter)
		text("approval", c.Approval)
		text("decree", c.Decree)
	}
	add("device", "value.device", "device", r.Device)
	add("record", "value.record", "seq", Number(r.Seq), "epoch", Number(r.Epoch))
	add("software", "value.text", "text", r.Software.Version)
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

// Method names how a second speed was measured.
func Method(m uint8) string {
	if m == MethodContacts {
		return "contacts"
	}
	return "pictures"
}

// Offset says when a picture was taken, seen from the photo position, rounded to
// 0.1 ms.
func Offset(d time.Duration) Said {
	switch {
	case d < 0:
		return said("offset.before", "by", d.Abs())
	case d > 0:
		return said("offset.after", "by", d)
	}
	return said("offset.at")
}

// tenths prints a duration that is not negative in milliseconds, rounded to 0.1 ms.
func tenths(d time.Duration) string {
	n := (d + 50*time.Microsecond) / (100 * time.Microsecond)
	return fmt.Sprintf("%d.%d ms", n/10, n%10)
}

// milliseconds prints a duration in milliseconds with three decimals, cut off.
func milliseconds(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d.%03d ms", us/1000, us%1000)
}
