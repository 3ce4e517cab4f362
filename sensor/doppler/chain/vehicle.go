package chain

import (
	"math"
	"slices"

	"ciglio/sensor"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
)

const (
	behindWay    = 18.0 // m behind the closest point of what leaves, in which parts of it are
	againstReach = 3.5  // times the offset, the same for lines that would go the other way
	roughDeficit = 0.1  // beyond which a track without a speed says nothing of others
	besideTime   = 1.0  // s between the closest points of a vehicle and of its weaker lines

	// Another vehicle in the beam must not be overlooked, since the wrong one
	// could be accused; one too many costs no more than a record.
	TargetTime = 0.3  // s that another track must share to count as a target
	minTarget  = 0.8  // s that it must last itself
	goOn       = 0.2  // s after the end of a track: what is still there then is not part of it
	wheelReach = 5.0  // times the offset, the distance along the road in which wheels are heard
	wheelWay   = 16.0 // m from the closest point at which wheels are heard, at most
	wheelTime  = 0.4  // s about the closest point in which wheels are heard, at least
	HoldTime   = 0.36 // s from the end of a track until its passage leaves: only then can it be seen what goes on without it
	afterTime  = 0.5  // s after the end of what approaches in which nothing of it is left
	KeepTime   = 60   // s for which an ended track is remembered
)

// A Vehicle is what is remembered of an ended track.
type Vehicle struct {
	first, last int64
	audible     bool          // it was as loud as one in the beam, and
	heard       [2]int64      // from which frame to which; else those of all of the track
	root        lines.Reading // first of the track
	real        bool          // the line is no tone and has few gaps
	judged      bool          // it passed the sensor: Measured holds
	Measured    geometry.Measurement
	known       geometry.Measurement // of another part of it, by a geometry that is known
	Targets     int
	f, level    float64         // last of them, in bins and dB
	top         float64         // bins, the plateau
	trail       []waypoint      // its way
	pieces      []lines.Reading // the first of each track that it was joined from
	Line        []Point         // what was read, when somebody observes
}

// finish judges a track that has ended and gives out its passage. A reason of 0
// means that it ended by itself.
func (c *Chain) finish(t *lines.Track, reason sensor.Reason) {
	r := t.Readings
	v := Vehicle{first: t.First(), last: t.Last(), root: r[0], real: c.real(r), top: c.gauge.Top(r), trail: trail(r)}
	v.heard[0], v.heard[1], v.audible = c.audible(r)
	if !v.audible {
		v.heard = [2]int64{v.first, v.last}
	}
	if 5*t.Ghosts > 3*t.Watched { // a harmonic or an image of another vehicle
		return
	}
	if reason == 0 {
		c.keep(r)
	}
	w, passed := c.gauge.Judge(r)
	switch {
	case reason != 0:
		if !passed && !c.wanders(r) {
			return
		}
		if !passed {
			w = c.gauge.Cut(r)
		}
		if !slices.Contains(w.Reasons, reason) {
			w.Reasons = append(w.Reasons, reason)
			slices.Sort(w.Reasons)
		}
	case !passed, w.Slant && !w.Nearer && !w.Farther: // or a piece of the way, far from the sensor
		c.remember(v)
		return
	case c.part(w), c.wheels(t, v.trail, w), len(w.Reasons) > 0 && c.accompanied(w):
		c.remember(v)
		return
	}
	v.judged, v.Measured = true, w
	v.Targets = c.others(t, w)
	if c.Complex && c.gauge.Jumps(r) { // from one vehicle's line to another's
		v.Targets++
	}
	v.f, v.level = t.F, t.Level
	if c.observed {
		v.Line = c.points(r)
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
func (c *Chain) crowded(v Vehicle) bool {
	if v.Measured.AtEnd && c.Complex {
		return false
	}
	f, weaker := v.f, float64(lines.GhostLevel)
	if v.Measured.AtEnd {
		f = v.Measured.Speed / c.gauge.MPS
	}
	if !c.Complex { // what leaves grows weaker than what has left
		weaker = math.Inf(1)
	}
	for _, k := range c.follower.Tracks {
		if share := k.F / f; k.Confirmed && k.First() < v.last && share > 0.8 && share < 1.25 && k.Level > v.level-weaker {
			return true
		}
	}
	return false
}

// give decides on the passage of a vehicle, unless a held part of it was better.
// It leaves when holdTime is over.
//
// Of the parts of one vehicle that all tell a speed, one of which the geometry is known
// lends its speed to the last. Who shared the beam counts as that one has seen it.
func (c *Chain) give(v Vehicle) {
	for _, h := range c.held {
		a, b := &h.Measured, &v.Measured
		switch {
		case !c.together(*a, *b):
		case len(a.Reasons) < len(b.Reasons):
			v = h
		case len(a.Reasons) == 0 && len(b.Reasons) == 0 && a.Fitted && !b.Fitted:
			v.known = *a
			v.known.First, v.known.Last, v.Targets = min(a.First, b.First), b.Last, max(v.Targets, h.Targets)
		}
	}
	c.remember(v)
	c.leaving = append(c.leaving, v)
}

// leave gives out the passages that were held long enough, or all.
func (c *Chain) leave(all bool) {
	for i := 0; i < len(c.leaving); {
		v := c.leaving[i]
		if !all && (float64(c.number-v.last)*c.gauge.Hop < HoldTime || c.undecided(v)) {
			i++
			continue
		}
		c.leaving = slices.Delete(c.leaving, i, i+1)
		v.Targets = max(v.Targets, c.beyond(v)) + c.before(&v)
		if v.Targets == 0 && c.company(&v) {
			v.Targets = 1
		}
		if v.known.Fitted {
			v.Measured = v.known
		}
		c.Out = append(c.Out, v)
	}
}

// settle gives out held vehicles that no track continues any longer.
func (c *Chain) settle() {
	for i := 0; i < len(c.held); {
		v := c.held[i]
		given := c.part(v.Measured) || c.wheels(nil, v.trail, v.Measured)
		if !given && (c.continued(nil, v.Measured) || c.crowded(v)) {
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
func (c *Chain) wanders(r []lines.Reading) bool {
	if float64(len(r))*c.gauge.Hop < geometry.MinTrack {
		return false
	}
	low, high := r[0].F, r[0].F
	for _, x := range r {
		low, high = min(low, x.F), max(high, x.F)
	}
	return high-low > 3
}

// passes reports whether a track that goes on is a vehicle's already.
func (c *Chain) passes(t *lines.Track) bool {
	_, ok := c.gauge.Judge(t.Readings)
	return ok
}

// part reports whether a vehicle of this measurement was given out already.
func (c *Chain) part(w geometry.Measurement) bool {
	for _, v := range c.recent {
		if v.judged && c.together(v.Measured, w) {
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
// vehicle of its own, which I and Q can tell. So is what passed elsewhere.
func (c *Chain) wheels(t *lines.Track, own []waypoint, w geometry.Measurement) bool {
	apart := func(other []waypoint, v geometry.Measurement) bool {
		return c.Complex && c.ranBeside(other, own, v, 0, math.MaxInt64) > TargetTime && c.ranBeside(other, own, w, 0, math.MaxInt64) > TargetTime
	}
	of := func(v geometry.Measurement, stronger float64, alive bool) bool {
		if v.Sign != w.Sign || w.Speed > 2.3*v.Speed || len(v.Reasons) > 0 && v.Deficit > roughDeficit || c.elsewhere(&w, &v) {
			return false
		}
		reach := wheelReach * v.Tau
		around := math.Abs(float64(w.From)-v.Near) < reach && math.Abs(float64(w.To)-v.Near) < reach
		beside := v.AtEnd == w.AtEnd && math.Abs(v.Near-w.Near)*c.gauge.Hop < besideTime
		// Of what leaves, a part that came later and is gone before the rest.
		behind := alive && !v.AtEnd && !w.AtEnd && w.Near > v.Near && (w.Near-v.Near)*c.gauge.Hop*v.Speed < behindWay
		// A real signal does not tell what comes from what goes.
		against := v.AtEnd != w.AtEnd && (alive && around && stronger > -lines.GhostLevel || !alive && v.Last > w.Last &&
			math.Abs(float64(w.From)-v.Near) < againstReach*v.Tau && math.Abs(float64(w.To)-v.Near) < againstReach*v.Tau)
		return stronger > lines.GhostLevel && (around || beside) || behind || against
	}
	for _, v := range c.recent {
		if v.judged && of(v.Measured, v.Measured.Level-w.Level, false) && !apart(v.trail, v.Measured) {
			return true
		}
	}
	for _, k := range c.follower.Tracks {
		if t == nil || k == t || !k.Confirmed {
			continue
		}
		if v, ok := c.gauge.Judge(k.Readings); ok && of(v, stronger(k.Readings, t.Readings, w), true) && !apart(trail(k.Readings), v) {
			return true
		}
	}
	return false
}

// stronger returns by how many dB a track lies above another in the zone of the
// other.
func stronger(a, b []lines.Reading, w geometry.Measurement) float64 {
	var sum, n float64
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].Frame < b[k].Frame || a[i].Frame < w.From:
			i++
			continue
		case a[i].Frame > b[k].Frame:
			k++
			continue
		case a[i].Frame > w.To:
			i = len(a)
			continue
		}
		sum, n = sum+float64(a[i].Level-b[k].Level), n+1
		i++
		k++
	}
	if n < geometry.MinZoneN {
		return math.Inf(-1)
	}
	return sum / n
}

// accompanied reports whether another track goes on. A piece without a zone is
// then more likely one of its wheels or reflections than a vehicle, and so is
// one that lasts for a few metres only.
func (c *Chain) accompanied(w geometry.Measurement) bool {
	if float64(w.Last-w.First)*c.gauge.Hop*w.Speed < VehicleLength {
		return true
	}
	for _, k := range c.follower.Tracks {
		if k.Confirmed && k.First() <= w.Last {
			return true
		}
	}
	return false
}

// continued reports whether another track goes on with the same vehicle.
func (c *Chain) continued(t *lines.Track, w geometry.Measurement) bool {
	for _, k := range c.follower.Tracks {
		if k == t || !k.Confirmed || k.First() > w.Last {
			continue
		}
		if v, ok := c.gauge.Judge(k.Readings); ok && c.together(v, w) {
			return true
		}
	}
	return false
}

// remember keeps a track for as long as it can matter.
func (c *Chain) remember(v Vehicle) {
	oldest := v.last - int64(KeepTime/c.gauge.Hop)
	c.recent = slices.DeleteFunc(c.recent, func(o Vehicle) bool { return o.last < oldest })
	c.recent = append(c.recent, v)
}
