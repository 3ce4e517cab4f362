package doppler

import (
	"math"
	"slices"
)

// A mark is a reading in a trail, which holds every fourth.
type mark struct {
	frame int64
	f     float32
}

const (
	trailStep = 4
	trailBins = 4     // by which the lines of two vehicles differ at least
	trailPart = 0.015 // of the frequency, the same: one long vehicle's lines differ less
)

func trail(readings []reading) []mark {
	t := make([]mark, 0, len(readings)/trailStep+1)
	for i := 0; i < len(readings); i += trailStep {
		t = append(t, mark{readings[i].frame, readings[i].f})
	}
	return t
}

// real reports whether a line has few gaps and is not as steady as a tone.
func (c *chain) real(r []reading) bool {
	frames := r[len(r)-1].frame - r[0].frame + 1
	dense := 6
	if c.complex {
		dense = 4
	}
	return float64(frames)*c.gauge.hop >= minTarget && 10*len(r) >= dense*int(frames) && !steady(r)
}

// others counts the vehicles in the beam now that ran beside a track that has
// just ended. A vehicle is rigid: far from the sensor all of it has one
// frequency, so what runs beside it at another is no part of it.
func (c *chain) others(t *track, w verdict) int {
	n := 0
	for _, k := range c.tracker.tracks {
		if k != t && c.target(k) && c.apart(k.readings, t.readings, w) > targetTime {
			n++
		}
	}
	return n
}

// beyond counts the vehicles in the beam now that were there with v and go on
// after its end.
func (c *chain) beyond(v vehicle) int {
	n := 0
	for _, k := range c.tracker.tracks {
		if !c.target(k) || !c.goesOn(k, v) {
			continue
		}
		if v.verdict.atEnd && float64(k.last()-v.last)*c.gauge.hop > c.after(k, &v) {
			n++
			continue
		}
		if float64(v.last-k.first())*c.gauge.hop <= targetTime {
			continue
		}
		if w, ok := c.gauge.judge(k.readings); !ok || !c.together(w, v.verdict) {
			n++
		}
	}
	return n
}

// after returns for how many seconds after the end of what approaches a track may
// go on that is the rest of it.
func (c *chain) after(k *track, v *vehicle) float64 {
	w := &v.verdict
	if last := k.readings[len(k.readings)-1]; w.strength-k.own > bodyWeaker && c.within(last.frame, float64(last.f), w) {
		return max(afterTime, bodyLength/w.speed)
	}
	return afterTime
}

// goesOn reports whether a track that was there with v is there without it.
func (c *chain) goesOn(k *track, v vehicle) bool {
	return k.misses <= 2 && k.first() <= v.last && float64(k.last()-v.last)*c.gauge.hop > goOn
}

// undecided reports whether a track goes on of which it will show whether it is
// another vehicle: behind one of the same speed, a vehicle has a line of its own
// only when the first is past.
func (c *chain) undecided(v vehicle) bool {
	for _, k := range c.tracker.tracks {
		if k.confirmed && c.goesOn(k, v) && v.verdict.atEnd && (k.f > 0) == (v.f > 0) &&
			(float64(k.last()-k.first())*c.gauge.hop < minTarget || float64(k.last()-v.last)*c.gauge.hop <= c.after(k, &v)) {
			return true
		}
	}
	return false
}

// target reports whether a track in progress may be a vehicle of its own.
func (c *chain) target(k *track) bool {
	return k.confirmed && 5*k.ghosts <= 3*k.watched && c.real(k.readings)
}

// apart returns for how many seconds two tracks ran side by side, at different
// frequencies and not around the closest point of one, where its wheels are.
func (c *chain) apart(a, b []reading, w verdict) float64 {
	n := 0
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].frame < b[k].frame:
			i++
			continue
		case a[i].frame > b[k].frame:
			k++
			continue
		}
		if math.Abs(float64(a[i].f-b[k].f)) > 4 && !c.amidWheels(a[i].frame, w) && !c.within(a[i].frame, float64(a[i].f), &w) {
			n++
		}
		i++
		k++
	}
	return float64(n) * c.gauge.hop
}

func (c *chain) amidWheels(frame int64, w verdict) bool {
	reach := wheelReach * w.tau
	if c.complex { // of a real signal, the far lines of both ways look alike
		reach = min(reach, wheelWay/w.speed/c.gauge.hop)
	}
	return math.Abs(float64(frame)-w.near) < max(wheelTime/c.gauge.hop, reach)
}

// before counts the vehicles that were in the beam during a track and have
// left it.
func (c *chain) before(own *vehicle) int {
	n, w := 0, own.verdict
	for _, v := range c.held {
		if !c.together(v.verdict, w) && float64(min(v.last, w.last)-max(v.first, w.first))*c.gauge.hop >= targetTime {
			n++
		}
	}
	for i := range c.recent {
		v := &c.recent[i]
		from, to := max(v.first, w.first), min(v.last, w.last)
		if c.complex && v.real && c.ranBeside(v.trail, own.trail, w) > targetTime {
			n++
			continue
		}
		if v.judged {
			if !c.together(v.verdict, w) && float64(to-from)*c.gauge.hop >= targetTime {
				n++
			}
			continue
		}
		for from < to && c.amidWheels(to, w) {
			to--
		}
		for from < to && c.amidWheels(from, w) {
			from++
		}
		if v.real && !c.inside(v.trail, &w) && (v.root.frame != w.root.frame || v.root.f != w.root.f) && float64(to-from)*c.gauge.hop >= targetTime {
			n++
		}
	}
	return n
}

// inside reports whether most of a trail may be another place of a body.
func (c *chain) inside(trail []mark, w *verdict) bool {
	n, all := 0, 0
	for _, m := range trail {
		if m.frame < w.first || m.frame > w.last {
			continue
		}
		if all++; c.within(m.frame, float64(m.f), w) {
			n++
		}
	}
	return 4*n > 3*all
}

// ranBeside returns for how many seconds two trails ran side by side, at
// different frequencies and not around the closest point of w.
func (c *chain) ranBeside(a, b []mark, w verdict) float64 {
	n, k := 0, 0
	for _, m := range a {
		for k < len(b) && b[k].frame < m.frame-trailStep/2 {
			k++
		}
		if k == len(b) {
			break
		}
		if b[k].frame <= m.frame+trailStep/2 && math.Abs(float64(m.f-b[k].f)) > max(trailBins, trailPart*math.Abs(float64(m.f))) &&
			!c.amidWheels(m.frame, w) && !c.within(m.frame, float64(m.f), &w) {
			n += trailStep
		}
	}
	return float64(n) * c.gauge.hop
}

// beside counts the vehicles of this chain's own pace that shared the beam with
// one that another chain has given out.
func (c *chain) beside(d *departure, rate int) int {
	shared := func(first, last int64, f float64) bool {
		speed := math.Abs(f) * c.gauge.mps / c.stretch
		if speed < c.low || speed > c.high || math.Abs(speed-d.speed) < sameSpeed*d.speed {
			return false
		}
		from, to := float64(max(c.at(first), d.from)), float64(min(c.at(last), d.to))
		if wheels := wheelWay / d.speed * float64(rate); d.atEnd {
			to = min(to, d.near-wheels)
		} else {
			from = max(from, d.near+wheels)
		}
		return to-from >= otherTarget*max(1, c.stretch)*float64(rate)
	}
	n := 0
	for _, v := range c.recent {
		if (v.judged || v.real && c.stretch <= 1 && c.complex) && shared(v.first, v.last, v.top) {
			n++
		}
	}
	for _, k := range c.tracker.tracks {
		if c.stretch <= 1 && c.complex && c.target(k) && shared(k.first(), k.last(), c.gauge.top(k.readings)) {
			n++
		}
	}
	return n
}

// follows reports whether a track of this chain that was not given out yet is in part
// the line that another chain has given out.
func (c *chain) follows(d *departure, rate int) bool {
	line := func(first, last int64, top float64, forwards bool) bool {
		from, to := c.at(first), c.at(last)
		return forwards == (d.sign > 0) && math.Abs(top*c.gauge.mps/c.stretch-d.speed) < sameSpeed*d.speed &&
			float64(min(to, d.to)-max(from, d.from)) > targetTime*c.stretch*float64(rate)
	}
	ended := func(v vehicle) bool { return line(v.first, v.last, v.top, v.verdict.sign > 0) }
	return slices.ContainsFunc(c.leaving, ended) || slices.ContainsFunc(c.held, ended) ||
		slices.ContainsFunc(c.tracker.tracks, func(k *track) bool {
			return k.confirmed && line(k.first(), k.last(), c.gauge.top(k.readings), k.f > 0)
		})
}

// contradicts reports whether a track of this chain tells another speed of the same
// vehicle, more than 1 km/h and 1 % away. What changed its speed is measured at other
// places by other frames, and may differ by as much.
func (c *chain) contradicts(d *departure, rate int) bool {
	if d.speed < c.low*(1-opinionWay) || d.speed > c.high*(1+opinionWay) {
		return false
	}
	other := func(w *verdict) bool {
		speed := w.speed / c.stretch
		off := math.Abs(speed - d.speed)
		if speed < d.speed && !(w.fitted && d.fitted) { // the angle only ever hides speed
			return false
		}
		near := w.near*float64(c.step) + float64(c.middle)
		return len(w.reasons) == 0 && !w.slant && w.sign == d.sign && w.atEnd == d.atEnd &&
			math.Abs(near-d.near) < partTime*float64(rate) && off < partSpeed*d.speed && off > max(contradictFlat, contradictShare*d.speed)+changes*(w.change/c.stretch+d.change)
	}
	for i := range c.recent {
		if v := &c.recent[i]; v.judged && other(&v.verdict) {
			return true
		}
	}
	for _, k := range c.tracker.tracks {
		if k.confirmed {
			if w, ok := c.gauge.judge(k.readings); ok && other(&w) {
				return true
			}
		}
	}
	return false
}

// top returns the frequency in bins below which nine of ten readings lie: the
// plateau, whatever the closest point does to the rest.
func (g *gauge) top(readings []reading) float64 {
	g.scratch = g.scratch[:0]
	for i := range readings {
		g.scratch = append(g.scratch, math.Abs(float64(readings[i].f)))
	}
	slices.Sort(g.scratch)
	return g.scratch[len(g.scratch)*9/10]
}
