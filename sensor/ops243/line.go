package ops243

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"ciglio/sensor"
)

// A Kind says what a [Line] is.
type Kind uint8

// The kinds of lines.
const (
	Blank  Kind = iota // empty, or only spaces and commas: the sensor sees nothing
	Speeds             // a report of speeds
	Range              // a report of ranges, of the FMCW half of an OPS243-C
	I                  // samples of one block, in phase
	Q                  // samples of the same block, in quadrature
	Object             // the sensor's own summary of a vehicle that has passed
	Reply              // an answer, or anything else that is well formed
)

// A Line is what one line of the sensor says.
type Line struct {
	Kind       Kind
	Plain      bool          // bare numbers, not JSON
	Uptime     time.Duration // since the sensor was started, with Timed
	Timed      bool
	Unit       string    // as printed, such as "mps"; "" when the line has none
	Speeds     []float64 // in Unit, positive approaching; the strongest first
	Magnitudes []float64 // of the speeds, on the sensor's linear scale; nil or as many
	Samples    []int     // 0 to 4095
	Values     map[string]string
}

const (
	// maxLine is the longest line: 1,024 samples of four digits, commas, spaces
	// and the key. The sensor's other lines are below 400 bytes.
	maxLine = 8 << 10
	// maxTargets is the most that a report can hold (O=16 of AN-010).
	maxTargets = 16
	// maxSamples is the largest buffer of the sensor.
	maxSamples = 1024
	// adcTop is the highest sample of the 12-bit converter.
	adcTop = 4095
	// maxSpeed is the highest speed taken for one, in hundredths of km/h: the
	// sensor's own end is 1,119 km/h, at 100,000 samples a second.
	maxSpeed = 1200 * float64(sensor.KmH)
)

// ParseLine reads one line, with or without its end. A JSON object, a list of one
// to three bare numbers with or without a unit in quotes before it, and an empty
// line are well formed. It never reads more than its argument, and what it
// returns does not refer to it.
func ParseLine(line []byte) (Line, error) {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) > maxLine:
		return Line{}, fmt.Errorf("ops243: line of %d bytes, the longest has %d", len(line), maxLine)
	case len(bytes.Trim(line, " ,")) == 0:
		return Line{Kind: Blank}, nil
	case line[0] == '{':
		return parseObject(line)
	}
	return parsePlain(string(line))
}

// parsePlain reads time, magnitude and speed: all three, or only the speed.
func parsePlain(text string) (Line, error) {
	fields := strings.Split(text, ",")
	l := Line{Kind: Speeds, Plain: true}
	if first := strings.TrimSpace(fields[0]); len(first) >= 2 && first[0] == '"' && first[len(first)-1] == '"' {
		l.Unit, fields = first[1:len(first)-1], fields[1:]
		if rangeUnit(l.Unit) {
			return Line{Kind: Range, Plain: true, Unit: l.Unit}, nil
		}
	}
	if len(fields) != 1 && len(fields) != 3 {
		return Line{}, fmt.Errorf("ops243: %d fields, want the speed, or time, magnitude and speed", len(fields))
	}
	var numbers [3]float64
	for i, f := range fields {
		v, err := number(strings.TrimSpace(f))
		if err != nil {
			return Line{}, err
		}
		numbers[i] = v
	}
	l.Speeds = numbers[:1:1]
	if len(fields) == 3 {
		l.Timed = true
		if err := l.setUptime(strings.TrimSpace(fields[0])); err != nil {
			return Line{}, err
		}
		l.Magnitudes, l.Speeds = numbers[1:2:2], numbers[2:3:3]
	}
	return l, l.check()
}

// rangeUnit reports whether ranges are printed in the unit.
func rangeUnit(unit string) bool {
	switch unit {
	case "m", "cm", "ft", "in", "yd":
		return true
	}
	return false
}

func parseObject(line []byte) (Line, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return Line{}, fmt.Errorf("ops243: %w", err)
	}
	has := func(key string) bool { _, ok := fields[key]; return ok }
	var l Line
	var err error
	switch {
	case has("classifier") || has("max_speed_mps"):
		l.Kind = Object
		return l, nil
	case has("I"):
		l.Kind = I
		l.Samples, err = samples(fields["I"])
	case has("Q"):
		l.Kind = Q
		l.Samples, err = samples(fields["Q"])
	case has("speed"):
		l, err = parseSpeeds(fields)
	case has("range"):
		l.Kind = Range
	default:
		l.Kind = Reply
		l.Values = make(map[string]string, len(fields))
		for key, raw := range fields {
			l.Values[key] = text(raw)
		}
	}
	return l, err
}

func parseSpeeds(fields map[string]json.RawMessage) (Line, error) {
	l := Line{Kind: Speeds}
	var err error
	if l.Speeds, err = numbers(fields["speed"]); err != nil {
		return Line{}, fmt.Errorf("speed: %w", err)
	}
	if raw, ok := fields["magnitude"]; ok {
		if l.Magnitudes, err = numbers(raw); err != nil {
			return Line{}, fmt.Errorf("magnitude: %w", err)
		}
	}
	if raw, ok := fields["unit"]; ok {
		l.Unit = text(raw)
	}
	if raw, ok := fields["time"]; ok {
		l.Timed = true
		if err := l.setUptime(text(raw)); err != nil {
			return Line{}, err
		}
	}
	// Some firmware prints the speed without its sign, and the direction beside it.
	switch direction := text(fields["direction"]); direction {
	case "":
	case "outbound":
		if len(l.Speeds) == 1 && l.Speeds[0] > 0 {
			l.Speeds[0] = -l.Speeds[0]
		}
	case "inbound":
		if len(l.Speeds) == 1 && l.Speeds[0] < 0 {
			return Line{}, errors.New("ops243: an inbound speed has a negative sign")
		}
	default:
		return Line{}, fmt.Errorf("ops243: direction %q, want inbound or outbound", direction)
	}
	return l, l.check()
}

// check says whether a report of speeds is one that the sensor can give.
func (l *Line) check() error {
	scale, ok := unitScale(l.Unit)
	if !ok {
		return fmt.Errorf("ops243: unit %q is none of the sensor's", l.Unit)
	}
	if l.Magnitudes != nil && len(l.Magnitudes) != len(l.Speeds) {
		return fmt.Errorf("ops243: %d magnitudes for %d speeds", len(l.Magnitudes), len(l.Speeds))
	}
	for _, v := range l.Speeds {
		if math.Abs(v)*scale > maxSpeed {
			return fmt.Errorf("ops243: speed %v is above what the sensor can measure", v)
		}
	}
	for _, m := range l.Magnitudes {
		if m < 0 {
			return fmt.Errorf("ops243: magnitude %v is negative", m)
		}
	}
	return nil
}

// unitScale returns a unit of speed, as reports and replies print it, in hundredths of km/h.
// A report without one is in m/s, which the driver has set and read back.
func unitScale(unit string) (float64, bool) {
	switch unit {
	case "", "mps", "m/s", "m-per-sec":
		return 360, true
	case "kmph", "kmh", "km/h", "km-per-hr":
		return 100, true
	case "mph", "miles-per-hr":
		return 160.9344, true
	case "fps", "ft/s", "ft-per-sec":
		return 109.728, true
	case "cmps", "cm/s", "cm-per-sec":
		return 3.6, true
	}
	return 0, false
}

// speed returns the value of a report, rounded down, and its direction. The sign
// is the maker's: positive approaches.
func (l *Line) speed(n int) (sensor.Speed, sensor.Direction) {
	v := l.Speeds[n]
	scale, _ := unitScale(l.Unit)
	// A printed decimal is not exact in binary: 63.05 would be 63.04.
	s := sensor.Speed(math.Floor(math.Abs(v)*scale + 1e-6))
	switch {
	case v > 0:
		return s, sensor.Approaching
	case v < 0:
		return s, sensor.Receding
	}
	return s, sensor.DirectionUnknown
}

// level returns the magnitude of a report in tenths of a decibel.
func (l *Line) level(n int) int16 {
	if n >= len(l.Magnitudes) || l.Magnitudes[n] <= 0 {
		return 0
	}
	return tenths(20 * math.Log10(l.Magnitudes[n]))
}

func tenths(db float64) int16 { return int16(max(-3000, min(math.Round(10*db), 3000))) }

// setUptime reads seconds with up to nine decimals, exactly.
func (l *Line) setUptime(s string) error {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseUint(whole, 10, 33)
	if err != nil || len(fraction) > 9 {
		return fmt.Errorf("ops243: time %q, want seconds", s)
	}
	l.Uptime = time.Duration(seconds) * time.Second
	if fraction != "" {
		n, err := strconv.ParseUint((fraction + "00000000")[:9], 10, 31)
		if err != nil {
			return fmt.Errorf("ops243: time %q, want seconds", s)
		}
		l.Uptime += time.Duration(n)
	}
	return nil
}

// text returns a JSON value without quotes, "" when there is none.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// number reads a decimal number as the sensor prints it: no exponent, no name.
func number(s string) (float64, error) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && (i > 0 || c != '-') {
			return 0, fmt.Errorf("ops243: %.20q is no number", s)
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("ops243: %.20q is no number", s)
	}
	return v, nil
}

// numbers reads a number, a number in quotes, or a list of either.
func numbers(raw json.RawMessage) ([]float64, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	if len(list) < 1 || len(list) > maxTargets {
		return nil, fmt.Errorf("ops243: %d values, want 1 to %d", len(list), maxTargets)
	}
	values := make([]float64, len(list))
	for i, raw := range list {
		v, err := number(text(raw))
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func samples(raw json.RawMessage) ([]int, error) {
	var values []int
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, fmt.Errorf("ops243: samples: %w", err)
	}
	if len(values) < 1 || len(values) > maxSamples {
		return nil, fmt.Errorf("ops243: %d samples, want 1 to %d", len(values), maxSamples)
	}
	for _, v := range values {
		if v < 0 || v > adcTop {
			return nil, fmt.Errorf("ops243: sample %d lies outside 0 to %d", v, adcTop)
		}
	}
	return values, nil
}
