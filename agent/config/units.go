package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Length is a length in millimetres, written as "12.4km", "15m" or "850mm".
type Length int64

// Frequency is a frequency in hertz, written as "24.125GHz".
type Frequency int64

// Angle is an angle in thousandths of a degree, written as "22.5deg".
type Angle int64

// Size is a number of bytes, written as "20GiB" or "512MiB".
type Size int64

// Coordinate is a latitude or longitude in 1e-7 degrees, written as
// "44.4949deg": seven decimals are about a centimetre.
type Coordinate int32

// A unit is a suffix and the number of base units it stands for.
type unit struct {
	suffix string
	scale  int64
}

// The units of each type, the largest first.
var (
	lengths     = []unit{{"km", 1e6}, {"m", 1e3}, {"mm", 1}}
	frequencies = []unit{{"GHz", 1e9}, {"MHz", 1e6}, {"kHz", 1e3}, {"Hz", 1}}
	angles      = []unit{{"deg", 1e3}}
	sizes       = []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
	coordinates = []unit{{"deg", 1e7}}
	headings    = []unit{{"deg", 1}}
)

// parse reads a decimal number with one of the units, exactly: a value that is
// not a whole number of base units is an error, never rounded.
func parse(what, text string, units []unit) (int64, error) {
	text = strings.TrimSpace(text)
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for _, u := range units {
		if text[len(number):] == u.suffix {
			n, err := decimal(strings.TrimSpace(number), u.scale)
			if err != nil {
				return 0, fmt.Errorf("%s %q: %w", what, text, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s %q: want a number with unit %s", what, text, units[0].suffix)
}

func decimal(number string, scale int64) (int64, error) {
	digits, negative := strings.CutPrefix(number, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if whole == "" || dotted && fraction == "" || len(fraction) > 9 {
		return 0, fmt.Errorf("not a decimal number")
	}
	w, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || w > uint64(math.MaxInt64/scale)-1 {
		return 0, fmt.Errorf("not a number in range")
	}
	var parts int64
	if fraction != "" {
		f, err := strconv.ParseUint(fraction, 10, 63)
		if err != nil {
			return 0, fmt.Errorf("not a decimal number")
		}
		power := int64(1)
		for range fraction {
			power *= 10
		}
		// f < 1e9 and scale ≤ 2^30: the product fits.
		if int64(f)*scale%power != 0 {
			return 0, fmt.Errorf("finer than can be kept")
		}
		parts = int64(f) * scale / power
	}
	n := int64(w)*scale + parts
	if negative {
		n = -n
	}
	return n, nil
}

// format writes n in the largest unit in which it is a whole number, with
// decimals where there is but one unit.
func format(n int64, units []unit) string {
	for _, u := range units {
		if n%u.scale == 0 {
			return strconv.FormatInt(n/u.scale, 10) + u.suffix
		}
	}
	u := units[len(units)-1]
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	width := len(strconv.FormatInt(u.scale, 10)) - 1
	text := fmt.Sprintf("%s%d.%0*d", sign, n/u.scale, width, n%u.scale)
	return strings.TrimRight(text, "0") + u.suffix
}

// UnmarshalText reads a length of at most 10,000 km that is not negative.
func (l *Length) UnmarshalText(text []byte) error {
	n, err := bounded("length", string(text), lengths, 0, 1e10)
	*l = Length(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (l Length) MarshalText() ([]byte, error) { return []byte(format(int64(l), lengths)), nil }

// Metres returns l in metres.
func (l Length) Metres() float64 { return float64(l) / 1000 }

// UnmarshalText reads a frequency from 1 Hz to 1,000 GHz.
func (f *Frequency) UnmarshalText(text []byte) error {
	n, err := bounded("frequency", string(text), frequencies, 1, 1e12)
	*f = Frequency(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (f Frequency) MarshalText() ([]byte, error) {
	return []byte(format(int64(f), frequencies)), nil
}

// UnmarshalText reads an angle from -90 to 90 degrees.
func (a *Angle) UnmarshalText(text []byte) error {
	n, err := bounded("angle", string(text), angles, -90e3, 90e3)
	*a = Angle(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (a Angle) MarshalText() ([]byte, error) { return []byte(format(int64(a), angles)), nil }

// UnmarshalText reads a size that is not negative.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := bounded("size", string(text), sizes, 0, math.MaxInt64)
	*s = Size(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(format(int64(s), sizes)), nil }

// UnmarshalText reads a coordinate from -180 to 180 degrees.
func (c *Coordinate) UnmarshalText(text []byte) error {
	n, err := bounded("coordinate", string(text), coordinates, -180e7, 180e7)
	*c = Coordinate(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (c Coordinate) MarshalText() ([]byte, error) {
	return []byte(format(int64(c), coordinates)), nil
}

// Heading is a heading in whole degrees from north, 0 to 359, written "180deg".
type Heading uint16

// UnmarshalText reads a heading.
func (a *Heading) UnmarshalText(text []byte) error {
	n, err := bounded("heading", string(text), headings, 0, 359)
	*a = Heading(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (a Heading) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%ddeg", a), nil }

// A Lane is a strip of road between two distances from the sensor across the
// road in millimetres, positive to the right of someone who looks along the beam.
type Lane struct{ Left, Right int32 }

// Lanes are those of a road, lane 1 first, written "1.2m..4.7m, 4.7m..8.2m".
type Lanes []Lane

// UnmarshalText reads up to 16 lanes within 50 m of the sensor.
func (l *Lanes) UnmarshalText(text []byte) error {
	*l = nil
	if len(text) == 0 {
		return nil
	}
	for strip := range strings.SplitSeq(string(text), ",") {
		from, to, ok := strings.Cut(strip, "..")
		if !ok {
			return fmt.Errorf("lane %q: want two lengths, such as 1.2m..4.7m", strings.TrimSpace(strip))
		}
		left, err := bounded("lane", from, lengths, -50e3, 50e3)
		if err != nil {
			return err
		}
		right, err := bounded("lane", to, lengths, -50e3, 50e3)
		if err != nil {
			return err
		}
		if left >= right {
			return fmt.Errorf("lane %q: want the left edge first", strings.TrimSpace(strip))
		}
		*l = append(*l, Lane{int32(left), int32(right)})
	}
	if len(*l) > 16 {
		return fmt.Errorf("%d lanes: want at most 16", len(*l))
	}
	for i, a := range *l {
		for j, b := range (*l)[:i] {
			if a.Left < b.Right && b.Left < a.Right {
				return fmt.Errorf("lanes %d and %d overlap: which of them a vehicle is in must be clear", j+1, i+1)
			}
		}
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l Lanes) MarshalText() ([]byte, error) {
	strips := make([]string, len(l))
	for i, s := range l {
		strips[i] = format(int64(s.Left), lengths) + ".." + format(int64(s.Right), lengths)
	}
	return []byte(strings.Join(strips, ", ")), nil
}

func bounded(what, text string, units []unit, low, high int64) (int64, error) {
	n, err := parse(what, text, units)
	if err != nil {
		return 0, err
	}
	if n < low || n > high {
		return 0, fmt.Errorf("%s %q: want %s to %s", what, text, format(low, units), format(high, units))
	}
	return n, nil
}
