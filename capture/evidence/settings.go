package evidence

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"ciglio/sensor"
)

// settings is what a configuration statement states, as far as records are
// compared with it: quoted values by section and key. The first of two counts.
type settings map[string]string

var (
	settingSection = regexp.MustCompile(`^[ \t]*\[([a-z_]+)\][ \t]*(?:#.*)?$`)
	settingValue   = regexp.MustCompile(`^[ \t]*([a-z_]+)[ \t]*=[ \t]*"([^"\\]*)"[ \t]*(?:#.*)?$`)
	settingSpeed   = regexp.MustCompile(`^([0-9]{1,4})(?:\.([0-9]{1,2}))? ?km/h$`)
	settingTime    = regexp.MustCompile(`^([0-9]{1,6})(us|µs|ms|s)$`)
)

// readSettings reads the lines of a statement that hold a section or a quoted
// value, and passes over all others.
func readSettings(statement []byte) settings {
	if statement == nil {
		return nil
	}
	s, section := settings{}, ""
	for line := range strings.SplitSeq(string(statement), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if m := settingSection.FindStringSubmatch(line); m != nil {
			section = m[1]
		} else if m := settingValue.FindStringSubmatch(line); m != nil {
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
