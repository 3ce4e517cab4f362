package track

import (
	"math"
	"slices"

	"ciglio/sensor"
)

// speed measures the zone from … to.
func (g *gauge) speed(w *verdict, from, to int, d sensor.Direction) {
	least := fewest
	if g.o.Unchecked {
		least = fewestUnchecked
	}
	g.values.reset()
	var clipped int
	for i := from; i <= to; i++ {
		if g.points[g.index[i]].flags&sensor.FlagClipped != 0 {
			clipped++
			continue
		}
		g.values.add(g.time[i], 0)
	}
	n := len(g.values.x)
	w.readings = n
	w.clipped = clippedShare*clipped > n+clipped
	if w.few = n < least || g.time[to]-g.time[from] < shortest; w.few {
		return
	}
	width := g.values.x[n-1] - g.values.x[0]
	switch w.kind {
	case angled:
		g.byPlace(w, from, to, d)
	case ranged:
		g.byRange(w, from, to)
	default:
		g.byWay(w, from, to)
	}
	g.values.fit(g.o.Step.MPS() / math.Sqrt(12))
	w.speed = g.values.mean
	w.angle *= w.speed
	mean, slope := g.values.deviation()
	w.noise = math.Hypot(mean, g.o.Step.MPS()/math.Sqrt(12))
	steep := math.Abs(g.values.slope)
	if w.kind == crossing { // its angle changes: that is in the budget of the angle
		steep = max(0, steep-2*math.Sqrt(3)*w.angle/width)
	}
	w.change = steep * width / math.Sqrt(12)
	w.accelerates = steep-2*slope > maxAcceleration
	w.scatters = w.noise > maxNoise*w.speed+g.o.Step.MPS() || w.change > maxChange*w.speed
	w.torn = w.kind >= ranged && g.torn(from, to)
	w.few = w.speed*width < shortWay || g.o.Unchecked && g.odd() > n/oddShare
}

// each sets the values of the zone to f, which is given the index.
func (g *gauge) each(from, to int, f func(i int, v float64) float64) {
	k := 0
	for i := from; i <= to; i++ {
		p := &g.points[g.index[i]]
		if p.flags&sensor.FlagClipped == 0 {
			g.values.y = append(g.values.y[:k], f(i, p.speed.MPS()))
			k++
		}
	}
}

// byPlace corrects for an angle that range and angle tell. The place across
// the road is a line through those of the zone. It sets w.angle to a relative
// standard uncertainty, as the others do.
//
// An angle is taken as one on the road. A sensor that compares the phases of two
// antennas measures that to its own axis instead, and is then taken to see the
// vehicle nearer to its axis than it is: in the driver's favour, and what that
// hides counts as uncertainty.
func (g *gauge) byPlace(w *verdict, from, to int, d sensor.Direction) {
	const (
		usual = 0.15 // m/s across the road, of a vehicle that keeps its lane
		most  = 0.5
	)
	g.sides.reset()
	for i := from; i <= to; i++ {
		g.sides.add(g.time[i], g.side[i])
	}
	g.sides.fit(0.02)
	uSide, uDrift := g.sides.deviation()
	drift := g.sides.slope
	if math.Abs(drift) < 2.5*uDrift { // it keeps its lane as far as can be told
		drift, uDrift = 0, min(uDrift, most)
	}
	uDrift = max(uDrift, usual)
	toward := 1.0
	if d == sensor.Approaching {
		toward = -1
	}
	var byTolerance, bySide, byDrift, hidden, n float64
	g.each(from, to, func(i int, v float64) float64 {
		rng := float64(g.points[g.index[i]].rng) / 1000
		y := g.sides.mean + drift*(g.time[i]-g.sides.mid)
		x := math.Sqrt(max(rng*rng-y*y-square(g.geometry.height), square(widest*rng)))
		n++
		hidden += square(y/x) * (1 - g.geometry.ground(rng)/rng) / math.Sqrt(3)
		byTolerance += math.Abs(y) / x * g.geometry.tolerance / math.Sqrt(3)
		bySide += math.Abs(y) / (x * x) * uSide
		byDrift += math.Abs(y) / x * uDrift / max(v, 1)
		return math.Hypot((v*rng-toward*y*drift)/x, drift)
	})
	w.angle = math.Sqrt(square(byTolerance)+square(bySide)+square(byDrift)+square(hidden)) / n
}

// byRange corrects for the smallest angle that a lane can have at the range of
// each reading. What the largest would add is uncertainty, one-sided.
func (g *gauge) byRange(w *verdict, from, to int) {
	var hidden, n float64
	g.each(from, to, func(i int, v float64) float64 {
		rng := float64(g.points[g.index[i]].rng) / 1000
		most := g.geometry.cosine(rng, g.geometry.nearest)
		hidden += most/g.geometry.cosine(rng, g.geometry.farthest) - 1
		n++
		return v / most
	})
	w.angle = hidden / n / math.Sqrt(3)
}

// byWay corrects for the angle of a beam that crosses the road, or for none,
// where the beam looks along it and the vehicle was far away.
func (g *gauge) byWay(w *verdict, from, to int) {
	a := g.geometry
	if w.kind == crossing {
		cos, half := math.Cos(a.angle), a.half+a.tolerance
		g.each(from, to, func(_ int, v float64) float64 { return v / cos })
		off := max(math.Cos(math.Abs(a.angle)-half)-cos, cos-math.Cos(math.Abs(a.angle)+half))
		w.angle = off / cos / math.Sqrt(3)
		return
	}
	var hidden, n float64
	across := math.Hypot(a.farthest, a.height)
	g.each(from, to, func(i int, v float64) float64 {
		hidden += math.Hypot(1, across/g.reach[i]) - 1
		n++
		return v
	})
	w.angle = hidden / n / math.Sqrt(3)
}

// torn reports whether the ranges of the zone tell of another speed than the
// speeds do. It leaves room for what the readings scatter by.
func (g *gauge) torn(from, to int) bool {
	const share = 0.05
	g.sides.reset()
	rate := 0.0
	for i := from; i <= to; i++ {
		p := &g.points[g.index[i]]
		g.sides.add(g.time[i], float64(p.rng)/1000)
		rate += p.speed.MPS() / float64(to-from+1)
	}
	g.sides.fit(0.01)
	_, u := g.sides.deviation()
	return math.Abs(math.Abs(g.sides.slope)-rate) > share*rate+4*u
}

// odd counts the values of the zone that do not fit the others.
func (g *gauge) odd() int {
	limit := max(2*g.o.Step.MPS(), 0.03*g.values.mean)
	n := 0
	for _, off := range g.values.rest {
		if math.Abs(off) > limit {
			n++
		}
	}
	return n
}

// passage judges a track.
func (t *Tracker) passage(k *track) sensor.Passage {
	p := sensor.Passage{Start: k.first, End: k.last, Targets: t.targets(k)}
	known := k.toward + k.away
	if 2*known > k.count {
		p.Direction = sensor.Approaching
		if k.away > k.toward {
			p.Direction = sensor.Receding
		}
	}
	w := t.gauge.measure(k.points, p.Direction)
	p.Photo = w.photo
	p.Speed, p.Lane, p.Readings = sensor.SpeedFromMPS(w.speed), w.lane, w.readings
	uniform := w.speed / math.Sqrt(3) / 1e6
	p.Budget = sensor.Budget{
		Noise:        up(w.noise),
		Angle:        up(w.angle),
		Carrier:      up(uniform * float64(t.o.CarrierTolerance)),
		Clock:        up(uniform * float64(t.o.ClockTolerance)),
		Acceleration: up(w.change),
	}
	for _, c := range []struct {
		is     bool
		reason sensor.Reason
	}{
		{w.crowded || w.torn || k.ever && !t.o.Separates, sensor.ReasonTwoTargets},
		{5*min(k.toward, k.away) > known, sensor.ReasonMixedDirection},
		{w.accelerates, sensor.ReasonAcceleration},
		{w.few, sensor.ReasonTooFewReadings},
		{w.clipped, sensor.ReasonClipped},
		{w.speed*k.last.Sub(k.first).Seconds() > farthest, sensor.ReasonInterference},
		{p.Speed < lowestSpeed || p.Speed > mostSpeed, sensor.ReasonOutOfRange},
		{k.simulated, sensor.ReasonSimulated},
		{w.lost || k.cut && w.kind < ranged && p.Direction != sensor.Approaching, sensor.ReasonLostSamples},
		{w.scatters && !w.few && !w.accelerates, sensor.ReasonUncertain},
		{k.reason != 0, k.reason},
	} {
		if c.is && !slices.Contains(p.Reasons, c.reason) {
			p.Reasons = append(p.Reasons, c.reason)
		}
	}
	slices.Sort(p.Reasons)
	if t.o.KeepTrace {
		p.Trace = trace(k.points)
	}
	return p
}

// up rounds a standard uncertainty in m/s up to the next hundredth of a km/h.
func up(mps float64) sensor.Speed {
	return sensor.Speed(math.Ceil(min(max(mps, 0)*360, float64(math.MaxInt32/4))))
}
