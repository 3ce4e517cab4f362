// Package simulate simulates the road in front of a speed sensor: vehicles
// that drive by, the signal that a continuous-wave Doppler radar gives of them,
// the targets of a radar with range and angle, and the edges of contacts in the
// road. The truth is known to the hundredth of a km/h, so it says how well a
// sensor chain measures, and it drives demonstrations without hardware.
// Scenarios are Go values or files, see [ParseScenario] and docs/simulator.md.
//
// # Geometry
//
// The radar stands at the origin of the road. The x axis runs along the road
// where the beam looks, y to the right of it, both in metres; a lane lies at a
// lateral distance y and below the radar by a height. The beam may be turned
// from the x axis. A vehicle reflects at its near end, the front when it
// approaches and the rear when it recedes; that end has x = 0, the closest
// point, at [Vehicle.Passing], and the body lies beyond it. Long bodies reflect
// at further places. Acceleration is piecewise constant and lane changes follow
// a smooth path.
//
// # Signal
//
// The phase of an echo is −4π·R/λ with the distance R, so that the Doppler
// shift, the cosine of the angle and their collapse near the closest point
// follow from the geometry. R is exact every 8 samples and interpolated by a
// parabola between them; for every speed that half the sampling rate can show
// and lanes 3 m away or more, the phase is off by less than 0.3 milliradians.
// I + jQ has a positive frequency when the vehicle approaches, which is the
// convention of package doppler. On this ideal echo lie, unless
// [Scenario.Ideal] is set: the range law, the beam, Rician fading, the wheels,
// white and 1/f noise, rain, moving vegetation, constant tones, mains lines and
// I/Q imbalance. The steps and the ends of the converter always lie on it.
//
// # One seed, one road
//
// A [Road] is immutable and safe for concurrent use. Each [Stream] and each
// [Cycles] has one user. The same scenario gives the same samples, cycles,
// edges and truth byte for byte, on every processor and however they are read:
// the arithmetic uses no operation whose rounding is the processor's choice.
package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

const (
	lightSpeed = sensor.SpeedOfLight

	rangeLaw    = 35.0 // dB a decade of distance, beyond rangeNear
	rangeNear   = 10.0 // m
	backLobe    = 25.0 // dB one way, below the middle of the beam
	carLevel    = 0.06 // amplitude of a car at rangeNear in the middle of the beam; 1 is full scale
	noiseLevel  = 0.028
	usualRate   = 20_000
	detectBand  = 20.0 // Hz: what a Hann window of 75 ms gathers noise from
	detectLevel = 8.0  // dB in that band: above it a vehicle counts as in the beam
	audible     = -14.0
	beamGuard   = 300 * time.Millisecond

	minSpeed = 1 * sensor.KmH
	maxSpeed = 400 * sensor.KmH
	maxReach = 400.0 // m: no echo comes from beyond
)

// A Road is a scenario in motion.
type Road struct {
	scenario Scenario
	beam     beam
	vehicles []Vehicle // by passing time
	drives   []drive   // same order
	truth    []Truth   // same order
	heard    []window  // same order: when the echo is generated
	byHeard  []int     // vehicles by the start of their echo
	slowest  float64   // m/s
	zones    map[zoneKey]zone
}

// zone is the stretch of road where an echo lies above a level; empty when near
// is beyond far.
type zone struct{ near, far float64 }

type zoneKey struct {
	class      Class
	lane       int
	reflection float64
	level      float64
}

// window is a stretch of time in seconds from the start of the road.
type window struct{ from, to float64 }

// NewRoad checks a scenario, draws its random traffic and returns its road. The
// scenario's slices are copied.
func NewRoad(s Scenario) (*Road, error) {
	s.Radar.fill()
	s.Radar.Lanes = slices.Clone(s.Radar.Lanes)
	s.Vehicles = slices.Clone(s.Vehicles)
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	r := &Road{scenario: s, beam: newBeam(s.Radar), slowest: maxSpeed.MPS(), zones: map[zoneKey]zone{}}
	vehicles, err := s.expand()
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	r.scenario.Vehicles = nil
	slices.SortStableFunc(vehicles, func(a, b Vehicle) int { return cmp.Compare(a.Passing, b.Passing) })
	r.vehicles = vehicles
	r.drives = make([]drive, len(vehicles))
	r.heard = make([]window, len(vehicles))
	r.byHeard = make([]int, len(vehicles))
	for i, v := range vehicles {
		d, err := newDrive(v, s.Radar.Lanes)
		if err != nil {
			return nil, fmt.Errorf("scenario: vehicle that passes at %v: %w", v.Passing, err)
		}
		for _, l := range d.legs {
			r.slowest = min(r.slowest, l.v)
		}
		r.drives[i], r.byHeard[i] = d, i
		r.heard[i], _ = r.above(v, &r.drives[i], audible)
	}
	slices.SortStableFunc(r.byHeard, func(a, b int) int { return cmp.Compare(r.heard[a].from, r.heard[b].from) })
	r.truth = r.findTruth()
	return r, nil
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
	start := len(dst)
	for i := range r.around(t, reach) {
		d, since := &r.drives[i], (t - r.vehicles[i].Passing).Seconds()
		if x := d.x(since); math.Abs(x) <= reach {
			y, _ := d.across(since)
			dst = append(dst, Position{Vehicle: r.vehicles[i], Index: i, X: x, Y: y})
		}
	}
	slices.SortStableFunc(dst[start:], func(a, b Position) int { return cmp.Compare(b.X, a.X) })
	return dst
}

// around yields the vehicles that may be within reach at time t.
func (r *Road) around(t time.Duration, reach float64) func(yield func(int) bool) {
	span := time.Duration(reach / r.slowest * 1e9)
	first, _ := slices.BinarySearchFunc(r.vehicles, t-span, func(v Vehicle, d time.Duration) int { return cmp.Compare(v.Passing, d) })
	return func(yield func(int) bool) {
		for i := first; i < len(r.vehicles) && r.vehicles[i].Passing <= t+span; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// beam is the direction of the radar's beam and its width.
type beam struct {
	x, y, z float64 // unit vector; z points down
	width   float64 // degrees
	height  float64
	level   float64 // of a car at rangeNear in its middle, dB of full scale
}

func newBeam(r Radar) beam {
	sa, ca := degrees(r.Angle)
	st, ct := degrees(r.Tilt)
	return beam{x: ca * ct, y: sa * ct, z: st, width: r.Beamwidth, height: r.Height, level: float64(2*decibels(carLevel)) + r.Gain}
}

// power returns the mean power of a car's echo from a place, in dB of full
// scale.
func (b *beam) power(x, y float64) float64 {
	distance := hypot3(x, y, b.height)
	level := b.level
	if distance > rangeNear {
		level -= float64(rangeLaw / 10 * decibels(distance/rangeNear))
	}
	// A Gaussian beam, 3 dB down at half its width, over an even back lobe.
	cosine := float64(float64(x*b.x)+float64(y*b.y)) + float64(b.height*b.z)
	cosine = min(max(cosine/distance, -1), 1)
	off := atan2(math.Sqrt(1-float64(cosine*cosine)), cosine) / b.width
	lobe := amplitude(float64(-24*off*off)) + amplitude(-2*backLobe)
	return level + float64(2*decibels(lobe))
}

// reflection returns what a vehicle's near end reflects against a car's, in dB.
func (v *Vehicle) reflection() float64 { return kinds[v.Class].reflection + v.Reflection }

// threshold returns the mean level of an echo with the given signal-to-noise
// ratio in the detection band.
func (r *Road) threshold(snr float64) float64 {
	radar := &r.scenario.Radar
	return snr + float64(2*decibels(noiseLevel)) + radar.Gain + radar.Noise + decibels(detectBand/usualRate)
}

// NoiseDensity returns the white noise of the receiver in a band of 1 Hz, in dB of full
// scale. A [Target]'s level less it is the ratio of its power to that.
func (r *Road) NoiseDensity() float64 { return r.threshold(0) - decibels(detectBand) }

// above returns when the echo of v lies above the given signal-to-noise ratio
// in the detection band, the mean taken over the fading.
func (r *Road) above(v Vehicle, d *drive, snr float64) (window, bool) {
	var z zone
	if len(d.bends) > 0 {
		z = r.zone(v, d, snr)
	} else {
		key := zoneKey{v.Class, v.Lane, v.Reflection, snr}
		known, ok := r.zones[key]
		if !ok {
			known = r.zone(v, d, snr)
			r.zones[key] = known
		}
		z = known
	}
	if z.near > z.far {
		return window{}, false
	}
	passing := v.Passing.Seconds()
	if d.toward < 0 {
		return window{passing + d.when(-z.far), passing + d.when(-z.near)}, true
	}
	return window{passing + d.when(z.near), passing + d.when(z.far)}, true
}

// zone looks at the near end and at every further scattering centre, by the
// place of the near end.
func (r *Road) zone(v Vehicle, d *drive, snr float64) zone {
	const steps = 4000 // of 0.1 m
	level := r.threshold(snr) - v.reflection()
	k := &kinds[v.Class]
	z := zone{math.Inf(1), math.Inf(-1)}
	for n := -steps; n <= steps; n++ {
		x := float64(float64(n) * (maxReach / steps))
		y := d.y
		if len(d.bends) > 0 {
			y, _ = d.across(d.when(d.toward * x))
		}
		heard := r.beam.power(x, y) >= level
		for _, c := range k.body {
			if heard {
				break
			}
			heard = r.beam.power(x+float64(c.place*k.length), y)+c.level >= level
		}
		if heard {
			z.near, z.far = min(z.near, x), max(z.far, x)
		}
	}
	return z
}
