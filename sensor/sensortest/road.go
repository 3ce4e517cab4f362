// Package sensortest simulates the road in front of a speed sensor: vehicles
// that drive by, and the signal that a continuous-wave Doppler radar gives of
// them. The truth is known to the hundredth of a km/h, so it says how well a
// sensor chain measures, and it drives demonstrations without hardware.
//
// # Geometry
//
// The radar stands at the verge, at the origin of the road. The x axis runs
// along the road where the beam looks, in metres; a lane lies at a lateral
// distance y and below the radar by a height. A vehicle moves at constant speed
// and reflects at its near end, the front when it approaches and the rear when
// it recedes; that end has x = 0, the closest point, at [Vehicle.Passing].
//
// # Signal
//
// The phase of an echo is −4π·R/λ with the exact distance R at each sample, so
// that the Doppler shift, the cosine of the angle and their collapse near the
// closest point follow from the geometry. I + jQ has a positive frequency when
// the vehicle approaches, which is the convention of package doppler. On this
// ideal echo lie, unless [Scenario.Ideal] is set: the range law, the beam,
// Rician fading, the wheels, white and 1/f noise, a constant tone, mains lines,
// I/Q imbalance and the steps of a 16-bit converter.
//
// A [Road] is immutable and safe for concurrent use. Each [Stream] has one
// user. The same scenario gives the same samples byte for byte, however they are
// read; processors whose compiler fuses multiplication and addition may differ
// in the last bit of a sample.
package sensortest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

// Class is a kind of vehicle. It decides the size and how strongly it reflects.
type Class uint8

// The classes.
const (
	Car Class = iota
	Van
	Truck
)

// String returns "car", "van" or "truck".
func (c Class) String() string {
	switch c {
	case Van:
		return "van"
	case Truck:
		return "truck"
	}
	return "car"
}

// Size returns the length, width and height of a vehicle of this class, in
// metres.
func (c Class) Size() (length, width, height float64) {
	switch c {
	case Van:
		return 5.6, 2.0, 2.4
	case Truck:
		return 9.5, 2.5, 3.4
	}
	return 4.3, 1.8, 1.48
}

// reflection is the strength of the echo against a car's, in dB.
func (c Class) reflection() float64 {
	switch c {
	case Van:
		return 2
	case Truck:
		return 5
	}
	return 0
}

// A Vehicle drives by at constant speed.
type Vehicle struct {
	Speed     sensor.Speed     // true speed over ground, 5 to 400 km/h
	Direction sensor.Direction // approaching or receding, as the radar sees it
	Lane      int              // from 1, the lane nearest to the radar
	Class     Class
	Passing   time.Duration // from the start of the road to the closest point
}

// Radar says where the radar stands and what it is.
type Radar struct {
	Carrier   int64     // transmit frequency in Hz; 0 means 24.125 GHz
	Rate      int       // I/Q pairs a second; 0 means 20,000
	Lanes     []float64 // lateral distance of each lane's middle in metres; nil means 3.0 and 6.4
	Height    float64   // of the radar above the reflecting point in metres; 0 means 1.2
	Beamwidth float64   // between the half-power directions, in degrees; 0 means 50
	Gain      float64   // added to the usual level, in dB; 20 makes near vehicles clip
}

// A Scenario is what happens on a simulated road.
type Scenario struct {
	Seed     uint64
	Duration time.Duration // of the road; a stream ends there
	Vehicles []Vehicle
	Radar    Radar
	// Ideal leaves the echoes as geometry and range law make them: no fading,
	// no wheels, no noise, no tones, no imbalance. The converter stays.
	Ideal bool
}

const (
	lightSpeed = 299_792_458.0 // m/s

	rangeLaw    = 35.0 // dB a decade of distance, beyond rangeNear
	rangeNear   = 10.0 // m
	backLobe    = 25.0 // dB one way, below the middle of the beam
	carLevel    = 0.06 // amplitude of a car at rangeNear in the middle of the beam; 1 is full scale
	noiseLevel  = 0.028
	detectBand  = 20.0 // Hz: what a Hann window of 75 ms gathers noise from
	detectLevel = 8.0  // dB in that band: above it a vehicle counts as in the beam
	audible     = -14.0
	beamGuard   = 300 * time.Millisecond

	minSpeed = 5 * sensor.KmH
	maxSpeed = 400 * sensor.KmH
	maxReach = 400.0 // m: no echo comes from beyond
)

// A Road is a scenario in motion.
type Road struct {
	scenario Scenario
	vehicles []Vehicle // by passing time
	truth    []Truth   // same order
	signal   []window  // same order: when the echo is generated
	slowest  float64   // m/s
	zones    map[zoneKey]zone
}

// zone is the stretch of road where an echo lies above a level; empty when near
// is beyond far.
type zone struct{ near, far float64 }

type zoneKey struct {
	class Class
	lane  int
	level float64
}

// window is a stretch of time in seconds from the start of the road.
type window struct{ from, to float64 }

// NewRoad checks a scenario and returns its road. The scenario's slices are
// copied.
func NewRoad(s Scenario) (*Road, error) {
	if s.Radar.Carrier == 0 {
		s.Radar.Carrier = 24_125_000_000
	}
	if s.Radar.Rate == 0 {
		s.Radar.Rate = 20_000
	}
	if s.Radar.Lanes == nil {
		s.Radar.Lanes = []float64{3.0, 6.4}
	}
	if s.Radar.Height == 0 {
		s.Radar.Height = 1.2
	}
	if s.Radar.Beamwidth == 0 {
		s.Radar.Beamwidth = 50
	}
	s.Radar.Lanes = slices.Clone(s.Radar.Lanes)
	if err := checkScenario(s); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	r := &Road{scenario: s, vehicles: slices.Clone(s.Vehicles), slowest: maxSpeed.MPS(), zones: map[zoneKey]zone{}}
	s.Vehicles = nil
	slices.SortStableFunc(r.vehicles, func(a, b Vehicle) int { return cmp.Compare(a.Passing, b.Passing) })
	for _, v := range r.vehicles {
		r.slowest = min(r.slowest, v.Speed.MPS())
		echo, _ := r.above(v, audible)
		r.signal = append(r.signal, echo)
	}
	r.truth = r.findTruth()
	return r, nil
}

func checkScenario(s Scenario) error {
	switch {
	case s.Duration <= 0:
		return fmt.Errorf("duration %v: want more than nothing", s.Duration)
	case s.Radar.Carrier < 1e9 || s.Radar.Carrier > 1e11:
		return fmt.Errorf("carrier %d Hz: want 1 to 100 GHz", s.Radar.Carrier)
	case s.Radar.Rate < 8000 || s.Radar.Rate > 200_000:
		return fmt.Errorf("rate %d Hz: want 8000 to 200000", s.Radar.Rate)
	case !(s.Radar.Height > 0 && s.Radar.Height <= 20):
		return fmt.Errorf("height %g m: want up to 20", s.Radar.Height)
	case !(s.Radar.Beamwidth >= 3 && s.Radar.Beamwidth <= 90):
		return fmt.Errorf("beam width %g°: want 3 to 90", s.Radar.Beamwidth)
	case !(math.Abs(s.Radar.Gain) <= 60):
		return fmt.Errorf("gain %g dB: want -60 to 60", s.Radar.Gain)
	}
	for i, y := range s.Radar.Lanes {
		if !(y >= 1 && y <= 50) {
			return fmt.Errorf("lane %d at %g m: want 1 to 50", i+1, y)
		}
	}
	for i, v := range s.Vehicles {
		switch {
		case v.Speed < minSpeed || v.Speed > maxSpeed:
			return fmt.Errorf("vehicle %d: speed %v: want %v to %v", i, v.Speed, minSpeed, maxSpeed)
		case v.Direction != sensor.Approaching && v.Direction != sensor.Receding:
			return fmt.Errorf("vehicle %d: direction %v: want approaching or receding", i, v.Direction)
		case v.Lane < 1 || v.Lane > len(s.Radar.Lanes):
			return fmt.Errorf("vehicle %d: lane %d: want 1 to %d", i, v.Lane, len(s.Radar.Lanes))
		case v.Class > Truck:
			return fmt.Errorf("vehicle %d: class %d is unknown", i, v.Class)
		}
	}
	return nil
}

// Duration returns the length of the scenario.
func (r *Road) Duration() time.Duration { return r.scenario.Duration }

// Radar returns the radar with every value filled in.
func (r *Road) Radar() Radar {
	radar := r.scenario.Radar
	radar.Lanes = slices.Clone(radar.Lanes)
	return radar
}

// A Position is where a vehicle is at some instant.
type Position struct {
	Vehicle
	Index int     // of the vehicle in [Road.Truth]
	X     float64 // of its reflecting end along the road, metres
	Y     float64 // of its middle across the road, metres
}

// Near returns the vehicles whose reflecting end is at most reach metres from
// the closest point at time t after the start of the road, farthest ahead
// first. It appends to dst.
func (r *Road) Near(dst []Position, t time.Duration, reach float64) []Position {
	span := time.Duration(reach / r.slowest * 1e9)
	first, _ := slices.BinarySearchFunc(r.vehicles, t-span, func(v Vehicle, d time.Duration) int { return cmp.Compare(v.Passing, d) })
	start := len(dst)
	for i := first; i < len(r.vehicles) && r.vehicles[i].Passing <= t+span; i++ {
		v := r.vehicles[i]
		if x := v.at(t.Seconds()); math.Abs(x) <= reach {
			dst = append(dst, Position{Vehicle: v, Index: i, X: x, Y: r.scenario.Radar.Lanes[v.Lane-1]})
		}
	}
	slices.SortStableFunc(dst[start:], func(a, b Position) int { return cmp.Compare(b.X, a.X) })
	return dst
}

// at returns x at t seconds after the start of the road.
func (v Vehicle) at(t float64) float64 {
	x := v.Speed.MPS() * (t - v.Passing.Seconds())
	if v.Direction == sensor.Approaching {
		return -x
	}
	return x
}

// power returns the mean power of an echo from x along the road, at distance R,
// in dB of full scale.
func (r *Road) power(v Vehicle, x, distance float64) float64 {
	level := 20*math.Log10(carLevel) + r.scenario.Radar.Gain + v.Class.reflection()
	if distance > rangeNear {
		level -= rangeLaw * math.Log10(distance/rangeNear)
	}
	// A Gaussian beam, 3 dB down at half its width, over an even back lobe.
	off := math.Acos(x/distance) * 180 / math.Pi / r.scenario.Radar.Beamwidth
	beam := math.Pow(10, -1.2*off*off) + math.Pow(10, -backLobe/10)
	return level + 20*math.Log10(beam)
}

// above returns when the echo of v lies above the given signal-to-noise ratio
// in the detection band, the mean taken over the fading.
func (r *Road) above(v Vehicle, snr float64) (window, bool) {
	key := zoneKey{v.Class, v.Lane, snr}
	z, ok := r.zones[key]
	if !ok {
		z = r.zone(v, snr)
		r.zones[key] = z
	}
	if z.near > z.far {
		return window{}, false
	}
	speed, passing := v.Speed.MPS(), v.Passing.Seconds()
	if v.Direction == sensor.Approaching {
		return window{passing - z.far/speed, passing - z.near/speed}, true
	}
	return window{passing + z.near/speed, passing + z.far/speed}, true
}

func (r *Road) zone(v Vehicle, snr float64) zone {
	const step, usualRate = 0.1, 20_000
	level := snr + 20*math.Log10(noiseLevel) + r.scenario.Radar.Gain + 10*math.Log10(detectBand/usualRate)
	z := zone{math.Inf(1), math.Inf(-1)}
	for x := -maxReach; x <= maxReach; x += step {
		if r.power(v, x, math.Hypot(x, r.side(v))) >= level {
			z.near, z.far = min(z.near, x), max(z.far, x)
		}
	}
	return z
}

// side returns the distance of v from the radar at the closest point.
func (r *Road) side(v Vehicle) float64 {
	return math.Hypot(r.scenario.Radar.Lanes[v.Lane-1], r.scenario.Radar.Height)
}
