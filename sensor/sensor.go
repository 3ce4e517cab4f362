// Package sensor holds the vocabulary that every speed sensor and every user of
// one shares: instants, speeds, directions, passages and the contract of a
// [Source]. It imports the standard library only, and no driver.
//
// A vehicle in the beam gives readings; the readings of one vehicle make a
// track; a finished track is a [Passage]. Everything below is a plain value and
// may be copied and shared freely.
package sensor

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Mono is an instant of the machine's monotonic clock (CLOCK_MONOTONIC), in
// nanoseconds since boot: the clock of kernel edge and video timestamps. Speeds
// and intervals come from it and from nothing else; UTC says when, never how
// fast.
type Mono int64

// Add returns the instant d after m.
func (m Mono) Add(d time.Duration) Mono { return m + Mono(d) }

// Sub returns the interval from n to m.
func (m Mono) Sub(n Mono) time.Duration { return time.Duration(m - n) }

// Seconds returns m in seconds since boot, for display only.
func (m Mono) Seconds() float64 { return float64(m) / 1e9 }

// Speed is a vehicle speed in hundredths of a kilometre per hour, the
// resolution printed on the evidence. It is never negative: direction of travel
// is a field of its own.
type Speed int32

// KmH is one kilometre per hour.
const KmH Speed = 100

// SpeedOfLight is that in vacuum, in metres per second, exactly.
const SpeedOfLight = 299_792_458.0

// SpeedFromMMPS converts a sensor reading in millimetres per second. It rounds
// down, so that the remainder is always in the driver's favour.
func SpeedFromMMPS(mmps int64) Speed { return Speed(mmps * 36 / 100) }

// SpeedFromMPS converts metres per second. It rounds down, in the driver's
// favour. A negative, infinite or undefined value, which no sensor in order
// reports, gives 0; a value beyond the range of Speed gives the largest Speed.
func SpeedFromMPS(mps float64) Speed {
	hundredths := math.Floor(mps * 360)
	switch {
	case !(hundredths > 0):
		return 0
	case hundredths >= math.MaxInt32:
		return math.MaxInt32
	}
	return Speed(hundredths)
}

// Truncate returns s without its fraction of a kilometre per hour: the speed an
// Italian device indicates.
func (s Speed) Truncate() Speed { return s - s%KmH }

// MPS returns s in metres per second.
func (s Speed) MPS() float64 { return float64(s) / 360 }

// String prints s with its unit and both decimals, as "63.05 km/h".
func (s Speed) String() string {
	sign := ""
	if s < 0 {
		sign, s = "-", -s
	}
	return fmt.Sprintf("%s%d.%02d km/h", sign, s/KmH, s%KmH)
}

// ParseSpeed reads a speed with its unit, such as "70km/h" or "62.5 km/h". More
// than two decimals, a sign and any other unit are errors.
func ParseSpeed(text string) (Speed, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), "km/h")
	if !ok {
		return 0, fmt.Errorf("speed %q: want a number with unit km/h, such as 70km/h", text)
	}
	whole, fraction, dotted := strings.Cut(strings.TrimSpace(number), ".")
	if dotted && (len(fraction) < 1 || len(fraction) > 2) {
		return 0, fmt.Errorf("speed %q: want one or two decimals", text)
	}
	for len(fraction) < 2 {
		fraction += "0"
	}
	n, err := strconv.ParseUint(whole+fraction, 10, 31)
	if err != nil || whole == "" {
		return 0, fmt.Errorf("speed %q: want a number with unit km/h, such as 70km/h", text)
	}
	return Speed(n), nil
}

// UnmarshalText reads the form of [ParseSpeed].
func (s *Speed) UnmarshalText(text []byte) error {
	v, err := ParseSpeed(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// MarshalText writes the shortest form that [ParseSpeed] reads back.
func (s Speed) MarshalText() ([]byte, error) {
	if s%KmH == 0 {
		return fmt.Appendf(nil, "%dkm/h", s/KmH), nil
	}
	return fmt.Appendf(nil, "%d.%02dkm/h", s/KmH, s%KmH), nil
}

// Direction is the way a vehicle moves as the sensor sees it. The numbers are
// those of the evidence record.
type Direction uint8

// The directions. Drivers normalise to them, since vendors disagree on signs.
const (
	DirectionUnknown Direction = 0
	Approaching      Direction = 1
	Receding         Direction = 2
)

// String returns "unknown", "approaching" or "receding".
func (d Direction) String() string {
	switch d {
	case Approaching:
		return "approaching"
	case Receding:
		return "receding"
	}
	return "unknown"
}

// UnmarshalText reads the form of [Direction.String].
func (d *Direction) UnmarshalText(text []byte) error {
	for _, c := range []Direction{DirectionUnknown, Approaching, Receding} {
		if c.String() == string(text) {
			*d = c
			return nil
		}
	}
	return fmt.Errorf("direction %q: want approaching, receding or unknown", text)
}

// MarshalText writes the form of [Direction.String].
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Budget is the standard uncertainty (k = 1) of one passage's speed, by cause,
// in the manner of JCGM 100 (GUM).
type Budget struct {
	Noise        Speed // scatter of the readings about the fit
	Angle        Speed // between the beam and the direction of travel
	Carrier      Speed // transmit frequency of the sensor
	Clock        Speed // sampling clock
	Acceleration Speed // change of speed within the measuring zone
}

// Total returns the root of the summed squares, rounded up: a stated
// uncertainty is never smaller than the computed one.
func (b Budget) Total() Speed {
	var sum float64
	for _, s := range [...]Speed{b.Noise, b.Angle, b.Carrier, b.Clock, b.Acceleration} {
		sum += float64(s) * float64(s)
	}
	return Speed(math.Ceil(math.Sqrt(sum)))
}

// A Trace is the raw material of one passage, in a format that a court expert
// can read without our programs. It goes into the evidence beside the result
// and holds no certified values.
type Trace struct {
	Format  string // media type, such as "audio/wav"
	Data    []byte
	Samples int64 // samples, or I/Q pairs, or readings in Data
	First   Mono  // instant of the first of them
	Last    Mono  // instant of the last of them
}

// A Passage is one vehicle's finished track.
type Passage struct {
	Start, End Mono  // first and last instant of the track
	Speed      Speed // robust mean over the measuring zone; never the maximum
	Budget     Budget
	Direction  Direction
	Lane       int      // from 1; 0 when the sensor does not tell
	Targets    int      // other vehicles in the beam at any time of the track
	Readings   int      // readings the speed rests on
	Reasons    []Reason // why the speed does not stand; empty when it does
	Photo      Mono     // when it was at the photo position; 0 when the source does not know
	Trace      Trace    // empty when the source was told not to keep it
}

// Valid reports whether the speed of this track stands. Whether it may be
// attributed to the vehicle in a picture is decided later.
func (p *Passage) Valid() bool { return len(p.Reasons) == 0 }

// An Identity says which sensor measured and how it was set.
type Identity struct {
	Model    string
	Serial   string
	Settings []byte // canonical text of the settings as read back from the sensor
	// Separates is true when range or angle tells two vehicles in the beam
	// apart. Without it a passage with other targets cannot be attributed.
	Separates bool
	// Simulated is true when no real vehicle was measured. What it measures is
	// sealed as a test, never as a violation.
	Simulated bool
	// Unchecked is true when the wire has no check sum, so that a wrong byte
	// cannot be told from a right one. A passage then counts only with a
	// consistent run of readings and a second speed.
	Unchecked bool
}

// Source is a speed sensor in operation.
type Source interface {
	// Identity returns what the sensor said of itself when it was set up, or
	// before it was reached what is expected of it. It is constant from the first
	// passage on and safe to call at any time.
	Identity() Identity

	// Next blocks until a vehicle has left the beam and returns its passage. It
	// returns ctx.Err() when ctx ends, and io.EOF when a recording has ended.
	// After any other error Next may be called again; a passage that was under
	// way is then lost or returned with a reason, never returned as valid. Only
	// one goroutine may call Next at a time.
	Next(ctx context.Context) (Passage, error)
}

// ClockState says how far UTC could be trusted at an instant.
type ClockState struct {
	Source       string        // "adjtimex", "chrony", "gpsd", or "simulated"
	Synchronised bool          // false in holdover
	Offset       time.Duration // estimated, positive when our clock is ahead
	Uncertainty  time.Duration // standard uncertainty (k = 1)
	LockAge      time.Duration // since the source was last seen locked; 0 when it is, or never was
}

// Bound is what UTC is within in 95 of 100 cases: the offset, either way, plus twice
// the standard uncertainty.
func (s ClockState) Bound() time.Duration { return s.Offset.Abs() + 2*s.Uncertainty }

// Clock reads the two clocks of the machine. Implementations are safe for
// concurrent use.
type Clock interface {
	// Now returns the present instant.
	Now() Mono

	// Pair returns UTC and the monotonic instant at which it was read: UTC is
	// read between two readings of the monotonic clock and paired with their
	// middle. It retries when they lie too far apart.
	Pair() (Mono, time.Time)

	// State asks the time source how good UTC is now.
	State() (ClockState, error)
}
