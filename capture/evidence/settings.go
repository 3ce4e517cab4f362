package evidence

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ciglio/sensor"
)

// settings is what a configuration statement states, as far as records are
// compared with it: quoted values and instants by section and key. The first of
// two counts.
type settings map[string]string

var (
	settingSection = regexp.MustCompile(`^[ \t]*\[([a-z_]+)\][ \t]*(?:#.*)?$`)
	settingValue   = regexp.MustCompile(`^[ \t]*([a-z_]+)[ \t]*=[ \t]*"([^"\\]*)"[ \t]*(?:#.*)?$`)
	settingInstant = regexp.MustCompile(`^[ \t]*([a-z_]+)[ \t]*=[ \t]*([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2}))[ \t]*(?:#.*)?$`)
	settingSpeed   = regexp.MustCompile(`^([0-9]{1,4})(?:\.([0-9]{1,2}))? ?km/h$`)
	settingTime    = regexp.MustCompile(`^([0-9]{1,6})(us|µs|ms|s)$`)
)

// readSettings reads the lines of a statement that hold a section, a quoted value
// or an instant with its zone, and passes over all others, and a mark of the order
// of bytes.
func readSettings(statement []byte) settings {
	if statement == nil {
		return nil
	}
	s, section := settings{}, ""
	for line := range strings.SplitSeq(strings.TrimPrefix(string(statement), "\ufeff"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if m := settingSection.FindStringSubmatch(line); m != nil {
			section = m[1]
			continue
		}
		m := settingValue.FindStringSubmatch(line)
		if m == nil {
			m = settingInstant.FindStringSubmatch(line)
		}
		if m != nil {
			if key := section + "." + m[1]; s[key] == "" {
				s[key] = m[2]
			}
		}
	}
	return s
}

func (s settings) text(section, key string) (string, bool) {
	v := s[section+"."+key]
	return v, v != ""
}

func (s settings) speed(section, key string) (sensor.Speed, bool) {
	m := settingSpeed.FindStringSubmatch(s[section+"."+key])
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1] + (m[2] + "00")[:2])
	return sensor.Speed(n), err == nil
}

func (s settings) duration(section, key string) (time.Duration, bool) {
	m := settingTime.FindStringSubmatch(s[section+"."+key])
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	unit := map[string]time.Duration{"us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond, "s": time.Second}[m[2]]
	return time.Duration(n) * unit, err == nil
}

// instant returns a date and time with its zone.
func (s settings) instant(section, key string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s[section+"."+key])
	return t, err == nil
}

// certified compares a record of a measurement with what its calibration statement
// states, and says what does not fit: a device that measures has checked the same, so no genuine record fails.
func (r *Record) certified(s settings) *Said {
	if !r.Kind.Measured() {
		return nil
	}
	for _, same := range []struct{ section, key, code, got string }{
		{"", "id", "calibration.id", r.Calibration.ID},
		{"", "sensor_serial", "calibration.sensor", r.Trace.Serial},
		{"approval", "words", "calibration.approval", r.Calibration.Approval},
		{"decree", "words", "calibration.decree", r.Calibration.Decree},
	} {
		if stated, there := s.text(same.section, same.key); there && stated != same.got {
			return doubt(true, same.code, "stated", stated, "recorded", same.got)
		}
	}
	for _, section := range []string{"", "approval", "decree", "register"} {
		key := "from"
		if section == "" {
			key = "not_before"
		}
		if from, stated := s.instant(section, key); stated && r.UTC.Before(from) {
			return doubt(true, "calibration.not_yet", "what", Term(cmp.Or(section, "calibration")), "from", from)
		}
		if to, stated := s.instant(section, "to"); stated && r.UTC.After(to) {
			return doubt(true, "calibration.over", "what", Term(cmp.Or(section, "calibration")), "to", to)
		}
	}
	if end, stated := s.instant("", "not_after"); stated && !end.Equal(r.Calibration.NotAfter) {
		return doubt(true, "calibration.until", "stated", end, "recorded", r.Calibration.NotAfter)
	}
	most, stated := s.speed("", "uncertainty")
	return doubt(stated && r.Measurement.Uncertainty > most, "calibration.uncertainty", "most", most, "u", r.Measurement.Uncertainty)
}
