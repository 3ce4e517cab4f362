package doppler

import (
	"math"
	"slices"

	"ciglio/internal/robust"
	"ciglio/sensor"
)

// measure finds the zone and the mean speed in it.
func (g *gauge) measure(readings []reading, p geometry, w *verdict) {
	from, to := g.zone(p)
	g.mean(readings, from, to, p, w)
	f, ok := g.fit(p)
	w.fitted = ok
	if ok && slices.Equal(w.reasons, []sensor.Reason{sensor.ReasonTooFewReadings}) {
		g.short(readings, p, f, w)
	} else if ok && len(w.reasons) == 0 && f.speed > w.speed {
		speed, sure := g.bounded(f, p, from, to)
		if !sure {
			w.reasons = append(w.reasons, sensor.ReasonUncertain)
			return
		}
		f.speed = speed
		// Half of what the angle adds counts as not known.
		w.deficit = (f.speed - w.speed) / f.speed / 2
		w.speed, w.noise, w.near = f.speed, max(f.u, w.noise), w.near+(p.x0-f.x0)/g.hop*w.back()
		w.change = 0
	} else if !ok {
		// Long vehicles reflect from several places, whose closest points differ.
		g.farther(readings, from, p, w)
		if len(w.reasons) == 0 && w.deficit > max(mostHidden, leastHidden/w.speed) {
			w.reasons = append(w.reasons, sensor.ReasonUncertain)
		}
		w.deficit = max(w.deficit, unfitted)
	}
	slices.Sort(w.reasons)
}

// short measures a vehicle that was too weak to be followed as far as where the
// cosine hardly matters, but whose geometry f is known at every instant: what counts
// is the whole stretch that the geometry explains.
func (g *gauge) short(readings []reading, p geometry, f course, w *verdict) {
	from := g.until(fitNear*f.tau - f.x0)
	to := g.until(fitWay/p.top + g.x[p.bend])
	if to-from < shortN || float64(readings[0].frame)*g.hop < shortStart {
		return
	}
	v := *w
	g.mean(readings, from, to, p, &v)
	for _, r := range v.reasons {
		if r != sensor.ReasonTooFewReadings && r != sensor.ReasonAcceleration && r != sensor.ReasonUncertain {
			return
		}
	}
	if float64(to-from) < minDensity*float64(v.to-v.from) || f.speed < v.speed {
		return
	}
	speed, sure := g.bounded(f, p, from, to)
	if !sure {
		return
	}
	v.reasons, f.speed = nil, speed
	v.speed, v.noise, v.near, v.change = f.speed, 2*f.u, w.near+(p.x0-f.x0)/g.hop*w.back(), 0
	v.deficit = max(unfitted, (f.speed-g.m[to-1])/f.speed/2)
	*w = v
}

// bounded returns the speed that a course may state of the values from … to, and
// whether it may state one. What a vehicle that leaves gains in speed looks like what
// the angle gives back, so unless it is known to have held its speed nothing is stated
// more than a little above what was read: no reading is higher than the speed. Where
// the course says that still more is missing, it is not known how much.
func (g *gauge) bounded(f course, p geometry, from, to int) (float64, bool) {
	most := (1 + angleGain) * slices.Max(g.m[from:to])
	if f.speed <= most || g.held(f, p, from, to) {
		return f.speed, true
	}
	return most, f.speed < (1+angleLost)*most
}

// farther measures in a zone that begins a long vehicle's length beyond the one at
// from, if the track has it. The closest point that a track tells is that of the
// last place that reflects: when a lorry's rear is at the near end of the zone, its
// front is beside the sensor, under an angle that hides speed and never adds any.
// So a vehicle that was faster farther out, and held its speed there, is measured
// there. One that brakes does not hold it, and is measured where it is near.
//
// Where the track leaves one place of the vehicle for another before the zone, its
// offset is told too small, and the angle goes on to matter. Then the speed still
// rises, by less and less, as the cosine does, and the zone moves out again. The speed
// of one that brakes would rise by as much again.
func (g *gauge) farther(readings []reading, from int, p geometry, w *verdict) {
	if len(w.reasons) > 0 {
		return
	}
	for least := math.Inf(1); ; least = angleChange * w.change {
		from = g.until(g.x[from]+longest/p.top) - 1
		v := *w
		g.mean(readings, from, g.grow(from, g.m[from]), p, &v)
		if len(v.reasons) > 0 || v.speed <= w.speed || v.change >= min(least, mostChange*v.speed) {
			return
		}
		*w = v
		if w.change < stillChange*w.speed {
			return
		}
	}
}

// zone returns the stretch nearest to the closest point in which the cosine
// hardly matters.
func (g *gauge) zone(p geometry) (from, to int) {
	reach := g.until(g.x[p.bend] + maxZoneWay/p.top)
	top := p.bend
	for i := p.bend; i < reach; i++ {
		if g.m[i] > g.m[top] {
			top = i
		}
	}
	from = g.until(nearCosine*p.tau-p.x0) - 1
	if top <= from {
		// A vehicle that was never faster than here gained speed on the way: the
		// cosine can only hide speed.
		for from = top; from > 0 && g.m[from-1] >= topBand*g.m[top]; {
			from--
		}
	}
	return from, g.grow(from, max(g.m[from], g.m[min(top, len(g.m)-1)]))
}

// grow returns the end of the stretch that begins at from and stays within the
// band about level.
func (g *gauge) grow(from int, level float64) int {
	limit := g.x[from] + min(maxZoneWay/level, maxZone)
	end := from + 1
	for i := from; i < len(g.x) && g.x[i] <= limit; i++ {
		if math.Abs(g.m[i]-level) <= zoneBand*level {
			end = i + 1
		} else if g.x[i]-g.x[end-1] > zoneDip {
			break
		}
	}
	return end
}

// mean sets the speed of w to the robust mean over the values from … to.
func (g *gauge) mean(readings []reading, from, to int, p geometry, w *verdict) {
	w.reasons, w.readings = nil, 0
	var clipped, line, tonal int
	var t, sum, tt, deficit, level float64
	good := g.scratch[:0]
	for i := from; i < to; i++ {
		r := &readings[g.source[i]]
		if r.clipped {
			clipped++
			continue
		}
		if r.line {
			line++
			continue
		}
		if r.tonal {
			tonal++
		}
		good = append(good, g.v[i])
		t, tt = t+g.x[i], tt+g.x[i]*g.x[i]
		deficit += 1 - p.cosine(g.x[i])
		level += float64(r.level)
		sum++
	}
	n := to - from
	w.tonal = 3*tonal > n
	a, b := readings[g.source[from]].frame, readings[g.source[to-1]].frame
	w.from, w.to, w.tau = min(a, b), max(a, b), p.tau/g.hop
	if sum == 0 {
		good, sum, level = append(good, g.m[from]), 1, g.l[from]
	}
	w.readings = len(good)
	if clipped > n/2 {
		w.reasons = append(w.reasons, sensor.ReasonClipped)
	}
	if line > n/2 {
		w.reasons = append(w.reasons, sensor.ReasonInterference)
	}
	width := g.x[to-1] - g.x[from]
	w.deficit, w.level = deficit/sum, level/sum
	g.scratch = good
	good = append(g.good[:0], good...)
	slices.Sort(good)
	var spread float64
	w.speed, spread = robust.Mean(good)
	scatter := 0.0
	if rough := g.rough[:0]; n > 0 {
		for i := from; i < to; i++ {
			rough = append(rough, math.Abs(g.v[i]-g.m[i]))
		}
		scatter = g.median(rough) / robust.PerSigma
	}
	if len(w.reasons) == 0 && (len(good) < minZoneN || float64(n) < zoneFill*float64(w.to-w.from) || width < min(minZone, 0.7*maxZoneWay/w.speed) || width*w.speed < minZoneWay ||
		w.deficit > maxDeficit || scatter > maxScatter*w.speed+g.mps) {
		w.reasons = append(w.reasons, sensor.ReasonTooFewReadings)
	}
	// Frames overlap by three quarters and the window weighs their middles: one
	// reading in three is independent.
	w.noise = spread / math.Sqrt(max(sum/3, 1))
	slope := 0.0
	if d := sum*tt - t*t; d > 1e-9 {
		var tv, v float64
		for i := from; i < to; i++ {
			if r := &readings[g.source[i]]; !r.clipped && !r.line {
				// What the angle takes away is no acceleration.
				dv := max(-3*spread, min(3*spread, g.v[i]+w.speed*(1-p.cosine(g.x[i])-w.deficit)-w.speed))
				tv, v = tv+g.x[i]*dv, v+dv
			}
		}
		slope = (sum*tv - t*v) / d
	}
	w.change = math.Abs(slope) * width / math.Sqrt(12)
	if len(w.reasons) == 0 && math.Abs(slope) > g.acceleration {
		w.reasons = append(w.reasons, sensor.ReasonAcceleration)
	}
	if len(w.reasons) == 0 && (w.noise > maxNoise*w.speed || w.change > maxChange*w.speed) {
		w.reasons = append(w.reasons, sensor.ReasonUncertain)
	}
}
