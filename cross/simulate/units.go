package simulate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The values of a scenario file. Each is a decimal number with its unit.
type (
	metres       float64
	angle        float64 // degrees
	hertz        float64
	level        float64 // dB
	acceleration float64 // m/s²
	hourly       float64
	interval     time.Duration
)

type unit struct {
	name   string
	factor float64
}

var (
	lengthUnits       = []unit{{"mm", 0.001}, {"cm", 0.01}, {"km", 1000}, {"m", 1}}
	angleUnits        = []unit{{"deg", 1}, {"°", 1}}
	frequencyUnits    = []unit{{"GHz", 1e9}, {"MHz", 1e6}, {"kHz", 1e3}, {"Hz", 1}}
	levelUnits        = []unit{{"dB", 1}}
	accelerationUnits = []unit{{"m/s2", 1}, {"m/s²", 1}}
	hourlyUnits       = []unit{{"/h", 1}}
)

func (v *metres) UnmarshalText(text []byte) error {
	return quantity((*float64)(v), text, "length", "3.5m", lengthUnits)
}

func (v *angle) UnmarshalText(text []byte) error {
	return quantity((*float64)(v), text, "angle", "22deg", angleUnits)
}

func (v *hertz) UnmarshalText(text []byte) error {
	return quantity((*float64)(v), text, "frequency", "24.125GHz", frequencyUnits)
}

func (v *level) UnmarshalText(text []byte) error {
	return quantity((*float64)(v), text, "level", "-6dB", levelUnits)
}

func (v *acceleration) UnmarshalText(text []byte) error {
	return quantity((*float64)(v), text, "acceleration", "1.5m/s2", accelerationUnits)
}

func (v *hourly) UnmarshalText(text []byte) error {
	return quantity((*float64)(v), text, "flow", "900/h", hourlyUnits)
}

func (v *interval) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("interval %q: want a number with its unit, such as 3s, 400ms or 1m30s", text)
	}
	*v = interval(d)
	return nil
}

func quantity(to *float64, text []byte, name, example string, units []unit) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		number = strings.TrimSpace(number)
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.Trim(number, "+-.0123456789") != "" || math.Abs(x*u.factor) > 1e12 {
			break
		}
		*to = x * u.factor
		return nil
	}
	return fmt.Errorf("%s %q: want a decimal number with its unit, such as %s", name, text, example)
}
