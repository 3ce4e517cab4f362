package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ciglio/internal/strict"
	"ciglio/sensor"
)

// Second says what gives the second speed, which must agree with the sensor's.
type Second struct {
	Method       string        `toml:"method" doc:"none, contacts, or frames: displacement between the pictures of a violation"`
	Flat         sensor.Speed  `toml:"flat" doc:"the two speeds may differ by the larger of this and the percentage; both 0: 2km/h and 3 for contacts, 10 percent for frames"`
	Percent      int           `toml:"percent" doc:"of the sensor's speed"`
	Pins         string        `toml:"pins" doc:"contacts: two or three input lines, the nearest contact first, as the board calls them, \"GPIO17 GPIO27\", or by chip and line, \"gpiochip0-17\"; of several lanes, lane 1 first, with ; between them"`
	Pull         string        `toml:"pull" doc:"contacts: up, down or none; empty for what the board has"`
	Kind         string        `toml:"kind" doc:"contacts: axles (cables) or presence (loops)"`
	Positions    Lengths       `toml:"positions" doc:"contacts: calibrated distance of each from the sensor along the road, the nearest first"`
	DistanceU    Length        `toml:"distance_uncertainty" doc:"contacts: standard uncertainty of the distance between two of them"`
	Jitter       time.Duration `toml:"jitter" doc:"contacts: standard uncertainty of the instant of an edge"`
	Picture      Picture       `toml:"picture" doc:"frames: width and height of the camera's pictures in pixels, such as 1600x900"`
	Marks        Marks         `toml:"marks" doc:"frames: 4 to 16 marks on the ground, each pixels from the left and from the top, = metres ahead of the camera's foot and to its right: 812.5,640=10m,1.2m; …"`
	MarkU        Length        `toml:"mark_uncertainty" doc:"frames: standard uncertainty of a mark's place on the ground"`
	CameraHeight Length        `toml:"camera_height" doc:"frames: of the lens above the road"`
	IntervalU    time.Duration `toml:"interval_uncertainty" doc:"frames: standard uncertainty of the time between two pictures"`
}

func defaultSecond() Second {
	return Second{
		Method: "none", Kind: "axles", DistanceU: 5, Jitter: 500 * time.Microsecond,
		MarkU: 20, IntervalU: 2 * time.Millisecond,
	}
}

// tolerance states what Flat and Percent leave open, so that what is printed and
// sealed is what is used.
func (s *Second) tolerance() {
	if s.Flat != 0 || s.Percent != 0 {
		return
	}
	switch s.Method {
	case "contacts":
		s.Flat, s.Percent = 2*sensor.KmH, 3
	case "frames":
		s.Percent = 10
	}
}

// LanePins returns the names of the input lines of each lane.
func (s *Second) LanePins() [][]string {
	var lanes [][]string
	for lane := range strings.SplitSeq(s.Pins, ";") {
		lanes = append(lanes, strings.Fields(lane))
	}
	return lanes
}

// validate reports every value with which the method cannot work, at a site with
// so many frames of a violation, and lanes that the sensor tells, 0 for none. What
// no other package checks is checked here.
func (s *Second) validate(faults *Faults, frames, told int) {
	contacts, pictures := s.Method == "contacts", s.Method == "frames"
	if contacts {
		s.validateContacts(faults, told)
	}
	for _, need := range []struct {
		key string
		ok  bool
		say string
	}{
		{"method", contacts || pictures || s.Method == "none", "want none, contacts or frames"},
		{"flat", s.Flat <= 10*sensor.KmH, "want at most 10km/h"},
		{"percent", s.Percent >= 0 && s.Percent <= 20, "want 0 to 20"},
		{"pull", slices.Contains([]string{"", "up", "down", "none"}, s.Pull), "want up, down or none"},
		{"kind", s.Kind == "axles" || s.Kind == "presence", "want axles or presence"},
		{"distance_uncertainty", s.DistanceU > 0 && s.DistanceU <= 1000, "want 1mm to 1m"},
		{"jitter", s.Jitter > 0 && s.Jitter <= 50*time.Millisecond, "want more than 0s and at most 50ms"},
		{"picture", !pictures || s.Picture != Picture{}, "missing"},
		{"marks", !pictures || len(s.Marks) >= 4, "want 4 to 16"},
		{"mark_uncertainty", s.MarkU > 0 && s.MarkU <= 1000, "want 1mm to 1m"},
		{"camera_height", !pictures || s.CameraHeight >= 1e3 && s.CameraHeight <= 20e3, "want 1m to 20m"},
		{"interval_uncertainty", s.IntervalU > 0 && s.IntervalU <= time.Second, "want more than 0s and at most 1s"},
	} {
		if !need.ok {
			faults.Add("second."+need.key, need.say)
		}
	}
	if pictures && frames < 3 {
		faults.Add("site.frames", "want at least 3 with second.method = \"frames\"")
	}
}

// validateContacts looks at pins and positions of contacts. Loops lie in one lane
// each; a cable may lie across all.
func (s *Second) validateContacts(faults *Faults, told int) {
	lanes := s.LanePins()
	seen := map[string]bool{}
	for i, pins := range lanes {
		if len(pins) != 2 && len(pins) != 3 {
			faults.Add("second.pins", fmt.Sprintf("%d in lane %d, want two or three", len(pins), i+1))
		}
		if len(pins) != len(s.Positions) {
			faults.Add("second.positions", fmt.Sprintf("%d, want one for each of the %d pins of lane %d", len(s.Positions), len(pins), i+1))
		}
		for _, pin := range pins {
			if seen[pin] {
				faults.Add("second.pins", fmt.Sprintf("%s twice", pin))
			}
			seen[pin] = true
		}
	}
	across := len(lanes) == 1 && s.Kind == "axles"
	switch {
	case len(lanes) > 8:
		faults.Add("second.pins", fmt.Sprintf("%d lanes, want at most 8", len(lanes)))
	case told != 0 && told != len(lanes) && !across:
		faults.Add("second.pins", fmt.Sprintf("%d lanes, want the %d of sensor.lanes", len(lanes), told))
	}
	for i, p := range s.Positions {
		if p > 100e3 || i > 0 && p < s.Positions[i-1]+200 {
			faults.Add("second.positions", "want the nearest first, at least 20cm apart, up to 100m away")
		}
	}
}

// Lengths are up to 16 lengths, written "10m 12m".
type Lengths []Length

// UnmarshalText reads lengths.
func (l *Lengths) UnmarshalText(text []byte) error {
	*l = nil
	for _, field := range strings.Fields(string(text)) {
		var one Length
		if err := one.UnmarshalText([]byte(field)); err != nil {
			return err
		}
		if *l = append(*l, one); len(*l) > 16 {
			return fmt.Errorf("lengths: want at most 16")
		}
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l Lengths) MarshalText() ([]byte, error) {
	fields := make([]string, len(l))
	for i, one := range l {
		fields[i] = strict.Format(int64(one), lengths)
	}
	return []byte(strings.Join(fields, " ")), nil
}

// Picture is the size of a picture in pixels, written "1600x900"; nothing when
// both are 0.
type Picture struct{ Width, Height int }

// UnmarshalText reads a size of at most 8192 pixels each way.
func (p *Picture) UnmarshalText(text []byte) error {
	*p = Picture{}
	if len(text) == 0 {
		return nil
	}
	w, h, ok := strings.Cut(string(text), "x")
	width, err1 := strconv.ParseUint(w, 10, 14)
	height, err2 := strconv.ParseUint(h, 10, 14)
	if !ok || err1 != nil || err2 != nil || width < 1 || height < 1 || width > 8192 || height > 8192 {
		return fmt.Errorf("picture %q: want width and height in pixels, such as 1600x900", text)
	}
	*p = Picture{int(width), int(height)}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p Picture) MarshalText() ([]byte, error) {
	if p == (Picture{}) {
		return nil, nil
	}
	return fmt.Appendf(nil, "%dx%d", p.Width, p.Height), nil
}

// A Mark is a place on the ground in the picture, in hundredths of a pixel, and
// on the road, in millimetres from the foot of the camera.
type Mark struct{ X, Y, Along, Across int32 }

// Marks are up to 16 marks, written "812.5,640=10m,1.2m; …".
type Marks []Mark

var hundredths = []strict.Unit{of("", 100)}

// UnmarshalText reads marks within 8192 pixels and 200 m.
func (m *Marks) UnmarshalText(text []byte) error {
	*m = nil
	for one := range strings.SplitSeq(string(text), ";") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		mark, err := parseMark(one)
		if err != nil {
			return fmt.Errorf("mark %q: %w", one, err)
		}
		if *m = append(*m, mark); len(*m) > 16 {
			return fmt.Errorf("marks: want at most 16")
		}
	}
	return nil
}

func parseMark(text string) (Mark, error) {
	pixels, metres, ok := strings.Cut(text, "=")
	x, y, ok1 := strings.Cut(pixels, ",")
	along, across, ok2 := strings.Cut(metres, ",")
	if !ok || !ok1 || !ok2 {
		return Mark{}, errors.New("want it as 812.5,640=10m,1.2m")
	}
	var m Mark
	for _, p := range []struct {
		to        *int32
		what      string
		text      string
		units     []strict.Unit
		low, high int64
	}{
		{&m.X, "pixel", x, hundredths, 0, 819200}, {&m.Y, "pixel", y, hundredths, 0, 819200},
		{&m.Along, "length", along, lengths, -200e3, 200e3}, {&m.Across, "length", across, lengths, -200e3, 200e3},
	} {
		n, err := strict.Bounded(p.what, p.text, p.units, p.low, p.high)
		if err != nil {
			return Mark{}, err
		}
		*p.to = int32(n)
	}
	return m, nil
}

// MarshalText writes what UnmarshalText reads.
func (m Marks) MarshalText() ([]byte, error) {
	all := make([]string, len(m))
	for i, k := range m {
		all[i] = strict.Format(int64(k.X), hundredths) + "," + strict.Format(int64(k.Y), hundredths) + "=" +
			strict.Format(int64(k.Along), lengths) + "," + strict.Format(int64(k.Across), lengths)
	}
	return []byte(strings.Join(all, "; ")), nil
}
