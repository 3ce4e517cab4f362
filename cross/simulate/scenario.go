package simulate

import (
	"fmt"
	"math"
	"time"

	"ciglio/sensor"
)

// A Scenario is what happens on a simulated road.
type Scenario struct {
	Title    string // one line
	About    string // what the scenario shows
	Seed     uint64
	Duration time.Duration // of the road; a stream ends there
	Vehicles []Vehicle
	Flows    []Flow // random traffic, drawn by the seed
	Radar    Radar
	Rain     *Rain        // nil for none
	Plants   *Vegetation  // moving in the wind; nil for none
	Contacts []Contacts   // in the road, for [Road.Edges]
	Readings CycleOptions // how good a radar with range and angle is, for [Road.Cycles]
	// Ideal leaves the echoes as geometry and range law make them: no fading,
	// no wheels, no noise, no weather, no tones, no imbalance. The converter
	// stays.
	Ideal bool
}

// Radar says where the radar stands and what it is.
type Radar struct {
	Carrier   int64     // transmit frequency in Hz; 0 means 24.125 GHz
	Rate      int       // samples or I/Q pairs a second; 0 means 20,000
	Real      bool      // one channel only: the real part of the signal, without direction
	Bits      int       // of the converter, 8 to 16; 0 means 16
	Lanes     []float64 // lateral distance of each lane's middle in metres, to the right; nil means 3.0 and 6.4
	Height    float64   // of the radar above the reflecting point in metres; 0 means 1.2
	Angle     float64   // of the beam from the road, in degrees to the right
	Tilt      float64   // of the beam below the horizontal, in degrees
	Beamwidth float64   // between the half-power directions, in degrees; 0 means 50
	Gain      float64   // of the receiver, added to the usual one, in dB; 20 makes near vehicles clip
	Noise     float64   // added to the usual noise, in dB: less signal-to-noise ratio
	Corner    float64   // below it 1/f noise exceeds white noise, in Hz; 0 means 250, negative means none
	Tones     []Tone    // constant lines; nil means the usual one of 7.9 kHz
	Mains     []Tone    // lines of the supply, alike in I and Q; nil means the usual ones of 50 Hz
	Imbalance *Imbalance
}

// A Tone is a constant line in the signal.
type Tone struct {
	Hz    float64
	Level float64 // dB of full scale
}

// Imbalance is the difference between the two channels. It puts a mirror image
// of every line at its negative frequency, below it by about
// 6 dB − 20·lg √(g² + φ²), with ln of the gain g and φ in radians. A radar
// without one has 0.68 dB and 4.6°, 25 dB of rejection.
type Imbalance struct {
	Gain  float64 // of Q against I, in dB
	Phase float64 // of Q beyond a right angle, in degrees
}

// Rain is a broad hump at low speeds.
type Rain struct {
	Level  float64      // of the whole hump, dB of full scale
	Speed  sensor.Speed // of its middle
	Away   bool         // the drops recede
	Spread sensor.Speed // standard deviation of the speeds
}

// Vegetation is grass and branches that move in the wind, around 0 Hz.
type Vegetation struct {
	Level  float64      // of all of it, dB of full scale
	Spread sensor.Speed // standard deviation of the speeds
}

// The usual values of a radar.
var (
	usualLanes     = []float64{3.0, 6.4}
	usualTones     = []Tone{{toneHz, toneLevel}}
	usualMains     = []Tone{{50, -58}, {100, -52}, {150, -58}, {300, -55}}
	usualImbalance = Imbalance{0.68, 4.6}
)

// fill replaces what is not given.
func (r *Radar) fill() {
	if r.Carrier == 0 {
		r.Carrier = 24_125_000_000
	}
	if r.Rate == 0 {
		r.Rate = usualRate
	}
	if r.Bits == 0 {
		r.Bits = 16
	}
	if r.Lanes == nil {
		r.Lanes = usualLanes
	}
	if r.Height == 0 {
		r.Height = 1.2
	}
	if r.Beamwidth == 0 {
		r.Beamwidth = 50
	}
	if r.Corner == 0 {
		r.Corner = 250
	}
	if r.Tones == nil {
		r.Tones = usualTones
	}
	if r.Mains == nil {
		r.Mains = usualMains
	}
	if r.Imbalance == nil {
		r.Imbalance = &usualImbalance
	}
}

// A scenario is bounded, so that a wrong one costs neither memory nor time.
const (
	maxLanes    = 8
	maxVehicles = 1_000_000
	maxTones    = 32
	maxPhases   = 16
	gantry      = 3.0 // m: a lane below the radar needs at least this height
)

// within reports whether x is a number from low to high.
func within(x, low, high float64) bool { return x >= low && x <= high }

func (s *Scenario) check() error {
	switch {
	case s.Duration <= 0:
		return fmt.Errorf("duration %v: want more than nothing", s.Duration)
	case s.Duration > 366*24*time.Hour:
		return fmt.Errorf("duration %v: want at most a year", s.Duration)
	case len(s.Vehicles) > maxVehicles:
		return fmt.Errorf("%d vehicles: want at most %d", len(s.Vehicles), maxVehicles)
	}
	if err := s.Radar.check(); err != nil {
		return err
	}
	for i := range s.Vehicles {
		if err := s.Vehicles[i].check(len(s.Radar.Lanes)); err != nil {
			return fmt.Errorf("vehicle %d: %w", i+1, err)
		}
	}
	for i, c := range s.Contacts {
		if err := c.check(len(s.Radar.Lanes)); err != nil {
			return fmt.Errorf("contacts %d: %w", i+1, err)
		}
	}
	if err := s.Readings.check(); err != nil {
		return fmt.Errorf("readings: %w", err)
	}
	if r := s.Rain; r != nil {
		switch {
		case !within(r.Level, -120, 0):
			return fmt.Errorf("rain: level %g dB: want -120 to 0", r.Level)
		case r.Speed < 0 || r.Speed > 60*sensor.KmH:
			return fmt.Errorf("rain: speed %v: want up to 60 km/h", r.Speed)
		case r.Spread < sensor.KmH/10 || r.Spread > 30*sensor.KmH:
			return fmt.Errorf("rain: spread %v: want 0.1 to 30 km/h", r.Spread)
		}
	}
	if p := s.Plants; p != nil {
		switch {
		case !within(p.Level, -120, 0):
			return fmt.Errorf("vegetation: level %g dB: want -120 to 0", p.Level)
		case p.Spread < 1 || p.Spread > 10*sensor.KmH:
			return fmt.Errorf("vegetation: spread %v: want 0.01 to 10 km/h", p.Spread)
		}
	}
	return nil
}

func (r *Radar) check() error {
	switch {
	case r.Carrier < 1e9 || r.Carrier > 1e11:
		return fmt.Errorf("carrier %d Hz: want 1 to 100 GHz", r.Carrier)
	case r.Rate < 8000 || r.Rate > 200_000:
		return fmt.Errorf("rate %d Hz: want 8000 to 200000", r.Rate)
	case r.Bits < 8 || r.Bits > 16:
		return fmt.Errorf("converter of %d bits: want 8 to 16", r.Bits)
	case !(r.Height > 0 && r.Height <= 20):
		return fmt.Errorf("height %g m: want up to 20", r.Height)
	case !within(r.Angle, -80, 80):
		return fmt.Errorf("angle %g°: want -80 to 80", r.Angle)
	case !within(r.Tilt, -45, 80):
		return fmt.Errorf("tilt %g°: want -45 to 80", r.Tilt)
	case !within(r.Beamwidth, 3, 90):
		return fmt.Errorf("beam width %g°: want 3 to 90", r.Beamwidth)
	case !within(r.Gain, -60, 60):
		return fmt.Errorf("gain %g dB: want -60 to 60", r.Gain)
	case !within(r.Noise, -60, 60):
		return fmt.Errorf("noise %g dB: want -60 to 60", r.Noise)
	case !(r.Corner <= 2000):
		return fmt.Errorf("corner %g Hz: want up to 2000", r.Corner)
	case !within(r.Imbalance.Gain, -6, 6):
		return fmt.Errorf("gain imbalance %g dB: want -6 to 6", r.Imbalance.Gain)
	case !within(r.Imbalance.Phase, -45, 45):
		return fmt.Errorf("phase imbalance %g°: want -45 to 45", r.Imbalance.Phase)
	case len(r.Lanes) < 1 || len(r.Lanes) > maxLanes:
		return fmt.Errorf("%d lanes: want 1 to %d", len(r.Lanes), maxLanes)
	case len(r.Tones) > maxTones || len(r.Mains) > maxTones:
		return fmt.Errorf("%d tones and %d mains lines: want at most %d", len(r.Tones), len(r.Mains), maxTones)
	}
	for i, y := range r.Lanes {
		if !within(y, -50, 50) {
			return fmt.Errorf("lane %d at %g m: want -50 to 50", i+1, y)
		}
		if math.Abs(y) < 1 && r.Height < gantry {
			return fmt.Errorf("lane %d at %g m: want 1 m from a radar that is lower than %g m", i+1, y, gantry)
		}
	}
	for _, tones := range [2][]Tone{r.Tones, r.Mains} {
		for _, tone := range tones {
			if !within(tone.Hz, -100_000, 100_000) || !within(tone.Level, -160, 0) {
				return fmt.Errorf("tone of %g Hz and %g dB: want up to 100 kHz and -160 to 0 dB", tone.Hz, tone.Level)
			}
		}
	}
	return nil
}

func (v *Vehicle) check(lanes int) error {
	switch {
	case v.Speed < minSpeed || v.Speed > maxSpeed:
		return fmt.Errorf("speed %v: want %v to %v", v.Speed, minSpeed, maxSpeed)
	case v.Direction != sensor.Approaching && v.Direction != sensor.Receding:
		return fmt.Errorf("direction %v: want approaching or receding", v.Direction)
	case v.Lane < 1 || v.Lane > lanes:
		return fmt.Errorf("lane %d: want 1 to %d", v.Lane, lanes)
	case int(v.Class) >= len(kinds):
		return fmt.Errorf("%v is unknown", v.Class)
	case !within(v.Reflection, -30, 30):
		return fmt.Errorf("reflection %g dB: want -30 to 30", v.Reflection)
	case v.Passing.Abs() > 2*366*24*time.Hour:
		return fmt.Errorf("passing %v: want within two years", v.Passing)
	case len(v.Phases) > maxPhases || len(v.Changes) > maxPhases:
		return fmt.Errorf("%d phases, %d changes: want at most %d", len(v.Phases), len(v.Changes), maxPhases)
	}
	for _, p := range v.Phases {
		switch {
		case p.From < -time.Hour || p.Until > time.Hour || p.From >= p.Until:
			return fmt.Errorf("phase from %v until %v: want an interval within an hour of passing", p.From, p.Until)
		case !within(p.Acceleration, -12, 12):
			return fmt.Errorf("acceleration %g m/s²: want -12 to 12", p.Acceleration)
		}
	}
	for _, c := range v.Changes {
		switch {
		case c.From.Abs() > time.Hour:
			return fmt.Errorf("change of lane at %v: want within an hour of passing", c.From)
		case c.Over < time.Second || c.Over > 20*time.Second:
			return fmt.Errorf("change of lane over %v: want 1s to 20s", c.Over)
		case c.Lane < 1 || c.Lane > lanes:
			return fmt.Errorf("change to lane %d: want 1 to %d", c.Lane, lanes)
		}
	}
	return nil
}
