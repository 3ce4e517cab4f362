package main

import (
	"math"
	"slices"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

const (
	// boundNoise is the standard uncertainty, as a share of the speed, beyond which
	// package doppler states no speed.
	boundNoise = 0.015

	// wrongSigmas is how many standard uncertainties a speed may lie off before it is
	// wrong, so that 3 of 1,000 are.
	wrongSigmas = 2.97

	// boundWay is the road over which the phase of an echo is taken to hold together: as
	// far as a vehicle goes in the longest frame of package doppler at its pace. That is
	// generous, for it fades anew every half metre. What is heard of different stretches
	// tells frequencies only.
	boundWay = 2.5 // m
)

// outOfReach holds for vehicles of which no unbiased estimator that reads frequencies
// could state a speed within boundNoise.
func outOfReach(o *Outcome) bool { return !(o.Best <= boundNoise) }

// neverSure holds for vehicles of which every such estimator would be off by more than
// 1 km/h and 1 % more often than in 3 of 1,000 passages.
func neverSure(o *Outcome) bool {
	return !(o.Best*wrongSigmas <= max(mostShare, float64(mostOff)/float64(o.Truth.Speed)))
}

// bound fills in Best of the vehicles that were alone.
func bound(road *simulate.Road, outcomes []Outcome) {
	truth := road.Truth()
	for i := range outcomes {
		o := &outcomes[i]
		for k := range truth {
			if v := &truth[k]; o.Truth.Alone && v.Passing == o.Truth.Passing && v.Lane == o.Truth.Lane {
				o.Best = leastUncertainty(road, k, v)
			}
		}
	}
}

// leastUncertainty returns the bound of Cramér and Rao for the speed of a vehicle, as a
// share of it and at the instant of its way at which it is known best; infinite where
// the way tells nothing.
//
// What is known of a passage is a path aside: the speed v at the closest point, the
// acceleration a, the instant t0 of the closest point and the offset d are not, so that
// the radial speed after τ = t − t0 is ṡ·s/√(s² + d²) with s = vτ + aτ²/2. Stretches of
// boundWay, each of unknown phase, tell a frequency with the variance of Rife and
// Boorstyn 1974, 6/((2π)²·(S/N)·T³), where S is the mean power of the echo and N the
// white noise in 1 Hz; without Q twice that. Their information adds up. Fading, noise of
// other kinds, clipping and long bodies are left out: the bound is lower than what a
// device could reach, never higher.
func leastUncertainty(road *simulate.Road, index int, v *simulate.Truth) float64 {
	radar := road.Radar()
	speed := v.Speed.MPS()
	_, y := v.PlaceAt(v.Passing)
	offset := math.Hypot(y, radar.Height)
	carrier := float64(radar.Carrier)
	perHz := sensor.SpeedOfLight / (2 * carrier)
	most := float64(radar.Rate) / 2 // Hz that the samples show
	// Unknown are the logarithms of v and d, t0 in d/v and a in v²/d: numbers of one size.
	radial := func(tau float64, by [4]float64) float64 {
		w, d := speed*(1+by[0]), offset*(1+by[1])
		x := tau - by[2]*offset/speed
		a := by[3] * speed * speed / offset
		s := w*x + a*x*x/2
		return (w + a*x) * s / math.Hypot(s, d)
	}
	step := time.Duration(boundWay / speed * 1e9)
	var information [4][4]float64
	var seen []simulate.Target
	first, last := math.Inf(1), math.Inf(-1)
	for at := v.Enter; at < v.Leave; at += step {
		seen = road.Targets(seen[:0], at)
		tau := (at - v.Passing).Seconds()
		for _, t := range seen {
			if t.Vehicle != index || math.Abs(t.Speed)/perHz > most {
				continue
			}
			ratio := math.Pow(10, (t.Level-road.NoiseDensity())/10)
			length := step.Seconds()
			variance := 6 / (4 * math.Pi * math.Pi * ratio * length * length * length) * perHz * perHz
			if radar.Real {
				variance *= 2
			}
			var d [4]float64
			for k := range d {
				const by = 1e-5
				var up, down [4]float64
				up[k], down[k] = by, -by
				d[k] = (radial(tau, up) - radial(tau, down)) / (2 * by)
			}
			for j := range d {
				for k := range d {
					information[j][k] += d[j] * d[k] / variance
				}
			}
			first, last = min(first, tau), max(last, tau)
		}
	}
	covariance, ok := inverse(information)
	if !ok {
		return math.Inf(1)
	}
	// Of v + aτ, where its variance is least.
	grow := speed / offset
	tau := min(max(-covariance[0][3]/covariance[3][3]/grow, first), last)
	x := tau * grow
	return math.Sqrt(covariance[0][0] + 2*x*covariance[0][3] + x*x*covariance[3][3])
}

// inverse returns the inverse of a matrix that is symmetric and positive definite, by
// Gauss and Jordan.
func inverse(m [4][4]float64) (inverse [4][4]float64, ok bool) {
	for k := range inverse {
		inverse[k][k] = 1
	}
	for k := range m {
		pivot := m[k][k]
		if !(pivot > 0) {
			return inverse, false
		}
		for j := range m {
			m[k][j] /= pivot
			inverse[k][j] /= pivot
		}
		for i := range m {
			if share := m[i][k]; i != k {
				for j := range m {
					m[i][j] -= share * m[k][j]
					inverse[i][j] -= share * inverse[k][j]
				}
			}
		}
	}
	return inverse, true
}

// writeReach tells which of the vehicles that were alone and are not found could have
// been found.
func (r *Result) writeReach(p *printer) {
	p.print("\n## Within reach\n\n%s", reach)
	row := func(name string, conditions ...func(*Outcome) bool) {
		conditions = append(conditions, byItself)
		all, out := r.tallyOf(conditions...), r.tallyOf(append(slices.Clone(conditions), outOfReach)...)
		unsure := r.tallyOf(append(slices.Clone(conditions), neverSure)...)
		if all.vehicles == 0 {
			return
		}
		lost := all.vehicles - all.found - (unsure.vehicles - unsure.found)
		p.print("| %s | %d | %d, %s | %d, %s | %d | %d |\n", name, all.vehicles, out.vehicles, percent(out.vehicles, all.vehicles),
			unsure.vehicles, percent(unsure.vehicles, all.vehicles), all.found, lost)
	}
	for _, name := range r.classNames() {
		row(name, func(o *Outcome) bool { return o.Class == name })
	}
	for _, c := range simulate.Classes() {
		row("every "+c.String(), func(o *Outcome) bool { return o.Truth.Class == c })
	}
	row("all")
}

const reach = `Of the vehicles that were alone in the beam: of how many no unbiased estimator could
state a speed with a standard uncertainty of 1.5 % or less, which is where the chain
refuses. It is the bound of Cramér and Rao on the time in which the echo lies above
the level at which a vehicle counts as in the beam, with the offset, the closest point
and an even change of speed unknown, for frequencies read over 2.5 m of road, as far
as the longest frames of the chain reach. Fading, rain, tones, clipping and long bodies are
left out, so more may be out of reach, not fewer. *Never sure* are those of which such
an estimator would be wrong, off by more than 1 km/h and 1 %, more often than in 3 of
1,000 passages: none that is wrong less often can state them all. *In reach, not found*
leaves those out.

| | alone | out of reach | never sure | found | in reach, not found |
| --- | ---: | ---: | ---: | ---: | ---: |
`
