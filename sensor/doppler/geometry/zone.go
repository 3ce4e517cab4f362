package geometry

import (
	"math"
	"slices"

	"ciglio/internal/robust"
	"ciglio/sensor"
	"ciglio/sensor/doppler/lines"
)

// measure finds the zone and the mean speed in it.
func (g *Gauge) measure(readings []lines.Reading, p geometry, w *Measurement) {
	from, to := g.zone(p)
	g.mean(readings, from, to, p, w)
	f, ok := g.fit(p)
	w.Fitted = ok
	if ok && slices.Equal(w.Reasons, []sensor.Reason{sensor.ReasonTooFewReadings}) {
		g.short(readings, p, f, w)
	} else if ok && len(w.Reasons) == 0 && f.speed > w.Speed {
		speed, sure := g.bounded(f, p, from, to)
		if !sure {
			w.Reasons = append(w.Reasons, sensor.ReasonUncertain)
			return
		}
		f.speed = speed
		// Half of what the angle adds counts as not known.
		w.Deficit = (f.speed - w.Speed) / f.speed / 2
		w.Speed, w.Noise, w.Near = f.speed, max(f.u, w.Noise), w.Near+(p.x0-f.x0)/g.Hop*w.Back()
		w.Change = 0
	} else if !ok {
		// Long vehicles reflect from several places, whose closest points differ.
		g.farther(readings, from, p, w)
		if len(w.Reasons) == 0 && w.Deficit > max(mostHidden, leastHidden/w.Speed) {
			w.Reasons = append(w.Reasons, sensor.ReasonUncertain)
		}
		w.Deficit = max(w.Deficit, unfitted)
	}
	slices.Sort(w.Reasons)
}

// short measures a vehicle that was too weak to be followed as far as where the
// cosine hardly matters, but whose geometry f is known at every instant: what counts
// is the whole stretch that the geometry explains.
func (g *Gauge) short(readings []lines.Reading, p geometry, f course, w *Measurement) {
	from := g.until(fitNear*f.tau - f.x0)
	to := g.until(fitWay/p.top + g.x[p.bend])
	if to-from < shortN || float64(readings[0].Frame)*g.Hop < shortStart {
		return
	}
	v := *w
	g.mean(readings, from, to, p, &v)
	for _, r := range v.Reasons {
		if r != sensor.ReasonTooFewReadings && r != sensor.ReasonAcceleration && r != sensor.ReasonUncertain {
			return
		}
	}
	if float64(to-from) < minDensity*float64(v.To-v.From) || f.speed < v.Speed {
		return
	}
	speed, sure := g.bounded(f, p, from, to)
	if !sure {
		return
	}
	v.Reasons, f.speed = nil, speed
	v.Speed, v.Noise, v.Near, v.Change = f.speed, 2*f.u, w.Near+(p.x0-f.x0)/g.Hop*w.Back(), 0
	v.Deficit = max(unfitted, (f.speed-g.m[to-1])/f.speed/2)
	*w = v
}

// bounded returns the speed that a course may state of the values from … to, and
// whether it may state one. What a vehicle that leaves gains in speed looks like what
// the angle gives back, so unless it is known to have held its speed nothing is stated
// more than a little above what was read: no reading is higher than the speed. Where
// the course says that still more is missing, it is not known how much.
func (g *Gauge) bounded(f course, p geometry, from, to int) (float64, bool) {
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
func (g *Gauge) farther(readings []lines.Reading, from int, p geometry, w *Measurement) {
	if len(w.Reasons) > 0 || g.gained(from, p, w) {
		return
	}
	for least := math.Inf(1); ; least = angleChange * w.Change {
		from = g.until(g.x[from]+longest/p.top) - 1
		v := *w
		g.mean(readings, from, g.grow(from, g.m[from]), p, &v)
		if len(v.Reasons) > 0 || v.Speed <= w.Speed || v.Change >= min(least, MostChange*v.Speed) {
			return
		}
		*w = v
		if w.Change < stillChange*w.Speed {
			return
		}
	}
}

// gained reports whether the speed in the zone from the value at from on changes by more
// than the angle can let it under which the front of a long vehicle is seen: then the
// vehicle itself changes its speed, and had another one farther out.
func (g *Gauge) gained(from int, p geometry, w *Measurement) bool {
	front := (g.x[from]+p.x0)*p.top - longest // m along the road
	if front <= 0 {
		return false
	}
	back := front + float64(w.To-w.From)*g.Hop*w.Speed
	offset := p.tau * p.top
	angle := back/math.Hypot(back, offset) - front/math.Hypot(front, offset)
	return w.Change*math.Sqrt(12) > angleMost*angle*w.Speed
}

// zone returns the stretch nearest to the closest point in which the cosine
// hardly matters.
func (g *Gauge) zone(p geometry) (from, to int) {
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
func (g *Gauge) grow(from int, level float64) int {
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
func (g *Gauge) mean(readings []lines.Reading, from, to int, p geometry, w *Measurement) {
	w.Reasons, w.Readings = nil, 0
	var clipped, line, tonal int
	var t, sum, tt, deficit, level float64
	good := g.scratch[:0]
	for i := from; i < to; i++ {
		r := &readings[g.source[i]]
		if r.Clipped {
			clipped++
			continue
		}
		if r.Line {
			line++
			continue
		}
		if r.Tonal {
			tonal++
		}
		good = append(good, g.v[i])
		t, tt = t+g.x[i], tt+g.x[i]*g.x[i]
		deficit += 1 - p.cosine(g.x[i])
		level += float64(r.Level)
		sum++
	}
	n := to - from
	w.tonal = 3*tonal > n
	a, b := readings[g.source[from]].Frame, readings[g.source[to-1]].Frame
	w.From, w.To, w.Tau = min(a, b), max(a, b), p.tau/g.Hop
	if sum == 0 {
		good, sum, level = append(good, g.m[from]), 1, g.l[from]
	}
	w.Readings = len(good)
	if clipped > n/2 {
		w.Reasons = append(w.Reasons, sensor.ReasonClipped)
	}
	if line > n/2 {
		w.Reasons = append(w.Reasons, sensor.ReasonInterference)
	}
	width := g.x[to-1] - g.x[from]
	w.Deficit, w.Level = deficit/sum, level/sum
	g.scratch = good
	good = append(g.good[:0], good...)
	slices.Sort(good)
	var spread float64
	w.Speed, spread = robust.Mean(good)
	scatter := 0.0
	if rough := g.rough[:0]; n > 0 {
		for i := from; i < to; i++ {
			rough = append(rough, math.Abs(g.v[i]-g.m[i]))
		}
		scatter = g.median(rough) / robust.PerSigma
	}
	if len(w.Reasons) == 0 && (len(good) < MinZoneN || float64(n) < zoneFill*float64(w.To-w.From) || width < min(minZone, 0.7*maxZoneWay/w.Speed) || width*w.Speed < minZoneWay ||
		w.Deficit > maxDeficit || scatter > maxScatter*w.Speed+g.MPS) {
		w.Reasons = append(w.Reasons, sensor.ReasonTooFewReadings)
	}
	// Frames overlap by three quarters and the window weighs their middles: one
	// reading in three is independent.
	w.Noise = spread / math.Sqrt(max(sum/3, 1))
	slope := 0.0
	if d := sum*tt - t*t; d > 1e-9 {
		var tv, v float64
		for i := from; i < to; i++ {
			if r := &readings[g.source[i]]; !r.Clipped && !r.Line {
				// What the angle takes away is no acceleration.
				dv := max(-3*spread, min(3*spread, g.v[i]+w.Speed*(1-p.cosine(g.x[i])-w.Deficit)-w.Speed))
				tv, v = tv+g.x[i]*dv, v+dv
			}
		}
		slope = (sum*tv - t*v) / d
	}
	w.Change = math.Abs(slope) * width / math.Sqrt(12)
	if len(w.Reasons) == 0 && math.Abs(slope) > g.acceleration {
		w.Reasons = append(w.Reasons, sensor.ReasonAcceleration)
	}
	if len(w.Reasons) == 0 && (w.Noise > maxNoise*w.Speed || w.Change > maxChange*w.Speed) {
		w.Reasons = append(w.Reasons, sensor.ReasonUncertain)
	}
}
