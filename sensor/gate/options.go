package gate

import (
	"fmt"
	"time"

	"ciglio/sensor"
)

// Kind says what one vehicle leaves at a contact.
type Kind uint8

// The kinds of contacts.
const (
	// Axles: one pulse for each axle. Piezo and treadle cables, light barriers
	// at the height of the hubs.
	Axles Kind = iota
	// Presence: one pulse for the whole vehicle. Inductive loops, light
	// barriers at the height of the body.
	Presence
)

// String returns "axles" or "presence".
func (k Kind) String() string {
	if k == Presence {
		return "presence"
	}
	return "axles"
}

// UnmarshalText reads the form of [Kind.String].
func (k *Kind) UnmarshalText(text []byte) error {
	for _, c := range []Kind{Axles, Presence} {
		if c.String() == string(text) {
			*k = c
			return nil
		}
	}
	return fmt.Errorf("contacts of kind %q: want axles or presence", text)
}

// MarshalText writes the form of [Kind.String].
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Options say where the contacts lie and how well that is known.
type Options struct {
	Kind Kind
	// Positions are the distances of two or three contacts from the sensor,
	// along the road, in millimetres, the nearest first. From the first to the
	// last there are 0.5 m to 50 m.
	Positions []int64
	// DistanceU is the standard uncertainty (k = 1) of the distance between two
	// contacts, in micrometres; 0 means 5 mm.
	DistanceU int64
	// Jitter is the standard uncertainty (k = 1) of the instant of one edge:
	// the contact, its electronics and the interrupt; 0 means 500 µs.
	Jitter time.Duration
	// Maximum is the highest speed that is measured; 0 means 350 km/h. What
	// would be faster is bounce or an error.
	Maximum sensor.Speed
	// Slack is how far along the road, in millimetres, the end of the sensor's
	// track may lie from the vehicle's closest point; 0 means 12 m, see
	// [Gate.Match].
	Slack int64
	// Crossed is told of each crossing that is over; nil for nobody. It must not
	// call the [Gate].
	Crossed func(Crossing)
}

// The physics by which pulses are told from bounce and vehicles from each
// other. Lengths in metres, speeds in metres per second.
const (
	slowest      = 5 / 3.6 // slower than this is a queue
	clockRate    = 600e-6  // of CLOCK_MONOTONIC: a plain oscillator, and the kernel slews it by up to 500 ppm
	hardest      = 6.0     // m/s²: who brakes harder over the contacts gets no speed
	usual        = 3.4     // m/s²: nine of ten drivers brake less, AASHTO's design value
	maxPulses    = 16      // of one vehicle at one contact
	footprintMin = 0.05    // m: a pulse shorter than that of a tyre's contact, or
	bodyMin      = 1.0     // m: of the shortest vehicle's metal, is no vehicle
	bodyMax      = 32.0    // m: the longest road train, 25.25 m, and a long loop
	hubMin       = 0.7     // m between two axles
	hubMax       = 10.0    // m between two axles of one vehicle
	spaceMin     = 0.3     // m: a pulse that comes again after less is the same one
	bodyGap      = 1.0     // m between two vehicles
)

// settings is Options in SI units with every value filled in.
type settings struct {
	kind      Kind
	spanMM    int64
	positions []float64
	span      float64 // from the first contact to the last
	distanceU float64
	jitter    float64 // s
	fastest   float64 // m/s
	slack     float64 // m
	pulseMin  time.Duration
	spaceMin  time.Duration
}

func (o Options) settings() (settings, error) {
	if o.DistanceU == 0 {
		o.DistanceU = 5000
	}
	if o.Jitter == 0 {
		o.Jitter = 500 * time.Microsecond
	}
	if o.Maximum == 0 {
		o.Maximum = 350 * sensor.KmH
	}
	if o.Slack == 0 {
		o.Slack = 12e3
	}
	switch {
	case len(o.Positions) != 2 && len(o.Positions) != 3:
		return settings{}, fmt.Errorf("%d contacts: want two or three", len(o.Positions))
	case o.Kind > Presence:
		return settings{}, fmt.Errorf("contacts of kind %d: want axles or presence", o.Kind)
	case o.DistanceU < 0 || o.DistanceU > 1e6:
		return settings{}, fmt.Errorf("uncertainty of %d µm between contacts: want up to 1 m", o.DistanceU)
	case o.Jitter < 0 || o.Jitter > 50*time.Millisecond:
		return settings{}, fmt.Errorf("jitter %v of an edge: want up to 50ms", o.Jitter)
	case o.Maximum < 20*sensor.KmH || o.Maximum > 500*sensor.KmH:
		return settings{}, fmt.Errorf("maximum %v: want 20 km/h to 500 km/h", o.Maximum)
	case o.Slack < 0 || o.Slack > 100e3:
		return settings{}, fmt.Errorf("slack of %d mm: want up to 100 m", o.Slack)
	}
	s := settings{
		spanMM: o.Positions[len(o.Positions)-1] - o.Positions[0],
		kind:   o.Kind, distanceU: float64(o.DistanceU) / 1e6, jitter: o.Jitter.Seconds(),
		fastest: o.Maximum.MPS(), slack: float64(o.Slack) / 1e3,
	}
	for i, p := range o.Positions {
		if p < -100e3 || p > 100e3 || i > 0 && p < o.Positions[i-1]+200 {
			return settings{}, fmt.Errorf("contact %d at %d mm: want the nearest first, at least 200 mm apart, within 100 m", i+1, p)
		}
		s.positions = append(s.positions, float64(p)/1e3)
	}
	s.span = s.positions[len(s.positions)-1] - s.positions[0]
	if s.span < 0.5 || s.span > 50 {
		return settings{}, fmt.Errorf("%.3f m from the first contact to the last: want 0.5 m to 50 m", s.span)
	}
	shortest := footprintMin
	if o.Kind == Presence {
		shortest = bodyMin
	}
	s.pulseMin, s.spaceMin = seconds(shortest/s.fastest), seconds(spaceMin/s.fastest)
	return s, nil
}

// seconds converts without the risk of an overflow: callers divide lengths of
// at most a kilometre by speeds of at least a metre per second.
func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }
