package session

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Settings are what was read back from a sensor, by name.
type Settings map[string]string

// Text returns the settings as lines of a name and a value, in order of the lines.
// Of a value 40 bytes count, and of its spaces one.
func (s Settings) Text() []byte {
	lines := make([]string, 0, len(s))
	for _, name := range slices.Collect(maps.Keys(s)) {
		lines = append(lines, fmt.Sprintf("%s %.40s\n", name, strings.Join(strings.Fields(s[name]), " ")))
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

// Compare returns an error unless the sensor has what it was set to. Numbers
// are compared as such, and the sensor may say a unit behind one.
func (s *Session) Compare(name, got, want string) error {
	if same(got, want) {
		return nil
	}
	return s.Errorf("%s is %.40s, want %s", name, got, want)
}

func same(got, want string) bool {
	w, err := strconv.ParseFloat(want, 64)
	if err != nil {
		return got == want
	}
	g, err := strconv.ParseFloat(strings.TrimRight(got, " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/"), 64)
	return err == nil && g == w
}

// Model returns an error unless the sensor is the model that is configured.
func (s *Session) Model(said, want string) error {
	if strings.EqualFold(said, want) {
		return nil
	}
	return s.Errorf("the sensor says it is an %.40q, the configuration an %s", said, want)
}

// Serial returns an error unless the sensor is the one that is configured, or any
// will do.
func (s *Session) Serial(said, want string) error {
	if want == "" || said == want {
		return nil
	}
	return s.Errorf("the sensor's serial number is %.40q, the configuration's %q", said, want)
}
