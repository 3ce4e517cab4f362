package doppler

import (
	"math"
	"slices"

	"ciglio/internal/robust"
	"ciglio/sensor"
)

const (
	behindWay    = 18.0 // m behind the closest point of what leaves, in which parts of it are
	againstReach = 3.5  // times the offset, the same for lines that would go the other way
	roughDeficit = 0.1  // beyond which a track without a speed says nothing of others
	besideTime   = 1.0  // s between the closest points of a vehicle and of its weaker lines

	imageShare = 0.8 // of the strong readings that must have 10 dB of image rejection

	// Another vehicle in the beam must not be overlooked, since the wrong one
	// could be accused; one too many costs no more than a record.
	targetTime = 0.3  // s that another track must share to count as a target
	minTarget  = 0.8  // s that it must last itself
	goOn       = 0.2  // s after the end of a track: what is still there then is not part of it
	wheelReach = 5.0  // times the offset, the distance along the road in which wheels are heard
	wheelWay   = 16.0 // m from the closest point at which wheels are heard, at most
	wheelTime  = 0.4  // s about the closest point in which wheels are heard, at least
	holdTime   = 0.36 // s from the end of a track until its passage leaves: only then can it be seen what goes on without it
	afterTime  = 0.5  // s after the end of what approaches in which nothing of it is left
	keepTime   = 60   // s for which an ended track is remembered
)

// A vehicle is what is remembered of an ended track.
type vehicle struct {
	first, last int64
	root        reading // first of the track
	real        bool    // the line is no tone and has few gaps
	judged      bool    // it passed the sensor: verdict holds
	verdict     verdict
	targets     int
	f, level    float64 // last of them, in bins and dB
	top         float64 // bins, the plateau
	trail       []mark  // its way
	line        []Point // what was read, when somebody observes
}

// finish judges a track that has ended and gives out its passage. A reason of 0
// means that it ended by itself.
func (c *chain) finish(t *track, reason sensor.Reason) {
	r := t.readings
	v := vehicle{first: t.first(), last: t.last(), root: r[0], real: c.real(r), top: c.gauge.top(r), trail: trail(r)}
	if 5*t.ghosts > 3*t.watched { // a harmonic or an image of another vehicle
		return
	}
	w, passed := c.gauge.judge(r)
	switch {
	case reason != 0:
		if !passed && !c.wanders(r) {
			return
		}
		if !passed {
			w = c.cut(r)
		}
		if !slices.Contains(w.reasons, reason) {
			w.reasons = append(w.reasons, reason)
			slices.Sort(w.reasons)
		}
	case !passed, w.slant && !w.nearer && !w.farther: // or a piece of the way, far from the sensor
		c.remember(v)
		return
	case c.part(w), c.wheels(t, v.trail, w), len(w.reasons) > 0 && c.accompanied(w):
		c.remember(v)
		return
	}
	v.judged, v.verdict = true, w
	v.targets = c.others(t, w)
	if c.complex && c.gauge.jumps(r) { // from one vehicle's line to another's
		v.targets++
	}
	v.f, v.level = t.f, t.level
	if c.observed {
		v.line = c.points(r)
	}
	if reason == 0 && (c.continued(t, w) || c.crowded(v)) {
		c.held = append(c.held, v)
		return
	}
	c.give(v)
}

// crowded reports whether a track ended while a line about as strong went on
// beside it. Which of them tells the vehicle's speed shows when that one ends.
// Where the sign of the frequency tells what approaches from what leaves, that
// happens only to what leaves.
func (c *chain) crowded(v vehicle) bool {
	if v.verdict.atEnd && c.complex {
		return false
	}
	f, weaker := v.f, float64(ghostLevel)
	if v.verdict.atEnd {
		f = v.verdict.speed / c.gauge.mps
	}
	if !c.complex { // what leaves grows weaker than what has left
		weaker = math.Inf(1)
	}
	for _, k := range c.tracker.tracks {
		if share := k.f / f; k.confirmed && k.first() < v.last && share > 0.8 && share < 1.25 && k.level > v.level-weaker {
			return true
		}
	}
	return false
}

// give decides on the passage of a vehicle, unless a held part of it was better.
// It leaves when holdTime is over.
func (c *chain) give(v vehicle) {
	for _, h := range c.held {
		if len(h.verdict.reasons) < len(v.verdict.reasons) && c.together(h.verdict, v.verdict) {
			v = h
		}
	}
	c.remember(v)
	c.leaving = append(c.leaving, v)
}

// leave gives out the passages that were held long enough, or all.
func (c *chain) leave(all bool) {
	for i := 0; i < len(c.leaving); {
		v := c.leaving[i]
		if !all && (float64(c.number-v.last)*c.gauge.hop < holdTime || c.undecided(v)) {
			i++
			continue
		}
		c.leaving = slices.Delete(c.leaving, i, i+1)
		v.targets = max(v.targets, c.beyond(v)) + c.before(&v)
		if v.targets == 0 && c.company(&v) {
			v.targets = 1
		}
		c.out = append(c.out, v)
	}
}

// settle gives out held vehicles that no track continues any longer.
func (c *chain) settle() {
	for i := 0; i < len(c.held); {
		v := c.held[i]
		given := c.part(v.verdict) || c.wheels(nil, v.trail, v.verdict)
		if !given && (c.continued(nil, v.verdict) || c.crowded(v)) {
			i++
			continue
		}
		c.held = slices.Delete(c.held, i, i+1)
		if !given {
			c.give(v)
		}
	}
}

// wanders reports whether an interrupted track changed in frequency, as
// vehicles do.
func (c *chain) wanders(r []reading) bool {
	if float64(len(r))*c.gauge.hop < minTrack {
		return false
	}
	low, high := r[0].f, r[0].f
	for _, x := range r {
		low, high = min(low, x.f), max(high, x.f)
	}
	return high-low > 3
}

// cut is the verdict on an interrupted track.
func (c *chain) cut(r []reading) verdict {
	w := verdict{first: r[0].frame, last: r[len(r)-1].frame, sign: 1, readings: len(r)}
	if r[0].f < 0 {
		w.sign = -1
	}
	c.gauge.unfold(r, true)
	slices.Sort(c.gauge.v)
	w.speed, w.noise = robust.Mean(c.gauge.v)
	return w
}

// passes reports whether a track that goes on is a vehicle's already.
func (c *chain) passes(t *track) bool {
	_, ok := c.gauge.judge(t.readings)
	return ok
}

// part reports whether a vehicle of this verdict was given out already.
func (c *chain) part(w verdict) bool {
	for _, v := range c.recent {
		if v.judged && c.together(v.verdict, w) {
			return true
		}
	}
	return false
}

// wheels reports whether all that a track tells was told around the closest
// point of a stronger vehicle, or whether both have the same one: the wheels of
// a vehicle turn at every speed from zero to twice its own.
//
// What ran beside the stronger one before, steadily at another frequency, is a
// vehicle of its own, which I and Q can tell.
func (c *chain) wheels(t *track, own []mark, w verdict) bool {
	apart := func(other []mark, v verdict) bool {
		return c.complex && c.ranBeside(other, own, v) > targetTime && c.ranBeside(other, own, w) > targetTime
	}
	of := func(v verdict, stronger float64, alive bool) bool {
		if v.sign != w.sign || w.speed > 2.3*v.speed || len(v.reasons) > 0 && v.deficit > roughDeficit {
			return false
		}
		reach := wheelReach * v.tau
		around := math.Abs(float64(w.from)-v.near) < reach && math.Abs(float64(w.to)-v.near) < reach
		beside := v.atEnd == w.atEnd && math.Abs(v.near-w.near)*c.gauge.hop < besideTime
		// Of what leaves, a part that came later and is gone before the rest.
		behind := alive && !v.atEnd && !w.atEnd && w.near > v.near && (w.near-v.near)*c.gauge.hop*v.speed < behindWay
		// A real signal does not tell what comes from what goes.
		against := v.atEnd != w.atEnd && (alive && around && stronger > -ghostLevel || !alive && v.last > w.last &&
			math.Abs(float64(w.from)-v.near) < againstReach*v.tau && math.Abs(float64(w.to)-v.near) < againstReach*v.tau)
		return stronger > ghostLevel && (around || beside) || behind || against
	}
	for _, v := range c.recent {
		if v.judged && of(v.verdict, v.verdict.level-w.level, false) && !apart(v.trail, v.verdict) {
			return true
		}
	}
	for _, k := range c.tracker.tracks {
		if t == nil || k == t || !k.confirmed {
			continue
		}
		if v, ok := c.gauge.judge(k.readings); ok && of(v, stronger(k.readings, t.readings, w), true) && !apart(trail(k.readings), v) {
			return true
		}
	}
	return false
}

// stronger returns by how many dB a track lies above another in the zone of the
// other.
func stronger(a, b []reading, w verdict) float64 {
	var sum, n float64
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].frame < b[k].frame || a[i].frame < w.from:
			i++
			continue
		case a[i].frame > b[k].frame:
			k++
			continue
		case a[i].frame > w.to:
			i = len(a)
			continue
		}
		sum, n = sum+float64(a[i].level-b[k].level), n+1
		i++
		k++
	}
	if n < minZoneN {
		return math.Inf(-1)
	}
	return sum / n
}

// accompanied reports whether another track goes on. A piece without a zone is
// then more likely one of its wheels or reflections than a vehicle, and so is
// one that lasts for a few metres only.
func (c *chain) accompanied(w verdict) bool {
	if float64(w.last-w.first)*c.gauge.hop*w.speed < vehicleLength {
		return true
	}
	for _, k := range c.tracker.tracks {
		if k.confirmed && k.first() <= w.last {
			return true
		}
	}
	return false
}

// continued reports whether another track goes on with the same vehicle.
func (c *chain) continued(t *track, w verdict) bool {
	for _, k := range c.tracker.tracks {
		if k == t || !k.confirmed || k.first() > w.last {
			continue
		}
		if v, ok := c.gauge.judge(k.readings); ok && c.together(v, w) {
			return true
		}
	}
	return false
}

// remember keeps a track for as long as it can matter.
func (c *chain) remember(v vehicle) {
	oldest := v.last - int64(keepTime/c.gauge.hop)
	c.recent = slices.DeleteFunc(c.recent, func(o vehicle) bool { return o.last < oldest })
	c.recent = append(c.recent, v)
}
