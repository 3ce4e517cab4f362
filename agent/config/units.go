package config

import (
	"fmt"
	"math"
	"strings"

	"ciglio/internal/strict"
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

// of is a suffix and the number of base units it stands for.
func of(suffix string, scale int64) strict.Unit { return strict.Unit{Suffix: suffix, Scale: scale} }

// The units of each type, the largest first.
var (
	lengths     = []strict.Unit{of("km", 1e6), of("m", 1e3), of("mm", 1)}
	frequencies = []strict.Unit{of("GHz", 1e9), of("MHz", 1e6), of("kHz", 1e3), of("Hz", 1)}
	angles      = []strict.Unit{of("deg", 1e3)}
	sizes       = []strict.Unit{of("GiB", 1<<30), of("MiB", 1<<20), of("KiB", 1<<10), of("B", 1)}
	coordinates = []strict.Unit{of("deg", 1e7)}
	headings    = []strict.Unit{of("deg", 1)}
)

// UnmarshalText reads a length of at most 10,000 km that is not negative.
func (l *Length) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("length", string(text), lengths, 0, 1e10)
	*l = Length(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (l Length) MarshalText() ([]byte, error) { return []byte(strict.Format(int64(l), lengths)), nil }

// Metres returns l in metres.
func (l Length) Metres() float64 { return float64(l) / 1000 }

// UnmarshalText reads a frequency from 1 Hz to 1,000 GHz.
func (f *Frequency) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("frequency", string(text), frequencies, 1, 1e12)
	*f = Frequency(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (f Frequency) MarshalText() ([]byte, error) {
	return []byte(strict.Format(int64(f), frequencies)), nil
}

// UnmarshalText reads an angle from -90 to 90 degrees.
func (a *Angle) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("angle", string(text), angles, -90e3, 90e3)
	*a = Angle(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (a Angle) MarshalText() ([]byte, error) { return []byte(strict.Format(int64(a), angles)), nil }

// UnmarshalText reads a size that is not negative.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("size", string(text), sizes, 0, math.MaxInt64)
	*s = Size(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(strict.Format(int64(s), sizes)), nil }

// UnmarshalText reads a coordinate from -180 to 180 degrees.
func (c *Coordinate) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("coordinate", string(text), coordinates, -180e7, 180e7)
	*c = Coordinate(n)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (c Coordinate) MarshalText() ([]byte, error) {
	return []byte(strict.Format(int64(c), coordinates)), nil
}

// Heading is a heading in whole degrees from north, 0 to 359, written "180deg".
type Heading uint16

// UnmarshalText reads a heading.
func (a *Heading) UnmarshalText(text []byte) error {
	n, err := strict.Bounded("heading", string(text), headings, 0, 359)
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
		left, err := strict.Bounded("lane", from, lengths, -50e3, 50e3)
		if err != nil {
			return err
		}
		right, err := strict.Bounded("lane", to, lengths, -50e3, 50e3)
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
		strips[i] = strict.Format(int64(s.Left), lengths) + ".." + strict.Format(int64(s.Right), lengths)
	}
	return []byte(strings.Join(strips, ", ")), nil
}
