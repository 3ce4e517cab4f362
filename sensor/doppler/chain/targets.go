package chain

import (
	"math"
	"slices"

	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
)

// A waypoint is a reading in a trail, which holds every fourth.
type waypoint struct {
	frame int64
	f     float32
}

const (
	trailStep       = 4
	trailBins       = 4       // by which the lines of two vehicles differ at least
	contradictFlat  = 1 / 3.6 // m/s, and
	contradictShare = 0.01    // of the speed, by which two chains must differ to contradict each other
	changes         = 3.0     // times the change of speed within the zones that is left out of it
	opinionWay      = 0.5     // times the pace's bounds, to which its opinion of a speed counts
	SameSpeed       = 0.06    // share within which two chains tell of one speed
	otherTarget     = 0.3     // s for which another chain's vehicle must share the beam
	trailPart       = 0.015   // of the frequency, the same: one long vehicle's lines differ less
)

func trail(readings []lines.Reading) []waypoint {
	t := make([]waypoint, 0, len(readings)/trailStep+1)
	for i := 0; i < len(readings); i += trailStep {
		t = append(t, waypoint{readings[i].Frame, readings[i].F})
	}
	return t
}

// real reports whether a line has few gaps and is not as steady as a tone.
func (c *Chain) real(r []lines.Reading) bool {
	frames := r[len(r)-1].Frame - r[0].Frame + 1
	dense := 6
	if c.Complex {
		dense = 4
	}
	return float64(frames)*c.gauge.Hop >= minTarget && 10*len(r) >= dense*int(frames) && !lines.Steady(r)
}

// others counts the vehicles in the beam now that ran beside a track that has
// just ended. A vehicle is rigid: far from the sensor all of it has one
// frequency, so what runs beside it at another is no part of it.
func (c *Chain) others(t *lines.Track, w geometry.Measurement) int {
	n := 0
	from, to, ok := c.audible(t.Readings)
	if !ok {
		from, to = t.First(), t.Last()
	}
	for _, k := range c.follower.Tracks {
		if k == t || !c.target(k) {
			continue
		}
		first, last, ok := c.audible(k.Readings)
		if ok && c.apart(k.Readings, t.Readings, w, max(from, first), min(to, last)) > TargetTime {
			n++
		}
	}
	return n
}

// beyond counts the vehicles in the beam now that were there with v and go on
// after its end, or passed elsewhere.
func (c *Chain) beyond(v Vehicle) int {
	n := 0
	for _, k := range c.follower.Tracks {
		if !c.target(k) {
			continue
		}
		first, last, ok := c.audible(k.Readings)
		if !ok || first > v.last {
			continue
		}
		if !c.goesOn(k, v) { // faded for the moment, or it has just ended
			w, ok := c.gauge.Judge(k.Readings)
			if ok && c.elsewhere(&w, &v.Measured) && float64(min(v.heard[1], last)-max(v.heard[0], first))*c.gauge.Hop > TargetTime {
				n++
			}
			continue
		}
		if v.Measured.AtEnd && float64(k.Last()-v.last)*c.gauge.Hop > c.after(k, &v) {
			n++
			continue
		}
		if float64(v.heard[1]-first)*c.gauge.Hop <= TargetTime {
			continue
		}
		if w, ok := c.gauge.Judge(k.Readings); !ok || !c.together(w, v.Measured) {
			n++
		}
	}
	return n
}

// elsewhere reports whether w tells of a vehicle of its own: a geometry explains all of
// it, whose speed is another than v's, and it passed where no wheel and no other place of
// v's body does. Where v's geometry is known too, so is at which end of it the rest lies.
func (c *Chain) elsewhere(w, v *geometry.Measurement) bool {
	if !w.Fitted || len(w.Reasons) > 0 || partsAlike(w, v) {
		return false
	}
	behind := (v.Near - w.Near) * v.Back() * c.gauge.Hop * v.Speed // m beyond the near end
	return math.Abs(behind) > bodyLength || v.Fitted && behind < -bodyBefore
}

// after returns for how many seconds after the end of what approaches a track may
// go on that is the rest of it.
func (c *Chain) after(k *lines.Track, v *Vehicle) float64 {
	w := &v.Measured
	if last := k.Readings[len(k.Readings)-1]; w.Strength-k.Own > bodyWeaker && c.within(last.Frame, float64(last.F), w) {
		return max(afterTime, bodyLength/w.Speed)
	}
	return afterTime
}

// goesOn reports whether a track that was there with v is there without it.
func (c *Chain) goesOn(k *lines.Track, v Vehicle) bool {
	return k.Misses <= 2 && k.First() <= v.last && float64(k.Last()-v.last)*c.gauge.Hop > goOn
}

// undecided reports whether a track goes on of which it will show whether it is
// another vehicle: behind one of the same speed, a vehicle has a line of its own
// only when the first is past.
func (c *Chain) undecided(v Vehicle) bool {
	for _, k := range c.follower.Tracks {
		if k.Confirmed && c.goesOn(k, v) && v.Measured.AtEnd && (k.F > 0) == (v.f > 0) &&
			(float64(k.Last()-k.First())*c.gauge.Hop < minTarget || float64(k.Last()-v.last)*c.gauge.Hop <= c.after(k, &v)) {
			return true
		}
	}
	return false
}

// target reports whether a track in progress may be a vehicle of its own.
func (c *Chain) target(k *lines.Track) bool {
	return k.Confirmed && 5*k.Ghosts <= 3*k.Watched && c.real(k.Readings)
}

// apart returns for how many seconds two tracks ran side by side, at different
// frequencies and not around the closest point of one, where its wheels are, between
// two frames.
func (c *Chain) apart(a, b []lines.Reading, w geometry.Measurement, from, to int64) float64 {
	n := 0
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].Frame < b[k].Frame:
			i++
			continue
		case a[i].Frame > b[k].Frame:
			k++
			continue
		}
		if a[i].Frame >= from && a[i].Frame <= to && math.Abs(float64(a[i].F-b[k].F)) > 4 && !c.amidWheels(a[i].Frame, w) && !c.within(a[i].Frame, float64(a[i].F), &w) {
			n++
		}
		i++
		k++
	}
	return float64(n) * c.gauge.Hop
}

func (c *Chain) amidWheels(frame int64, w geometry.Measurement) bool {
	reach := wheelReach * w.Tau
	if c.Complex { // of a real signal, the far lines of both ways look alike
		reach = min(reach, wheelWay/w.Speed/c.gauge.Hop)
	}
	return math.Abs(float64(frame)-w.Near) < max(wheelTime/c.gauge.Hop, reach)
}

// before counts the vehicles that were in the beam during a track and have
// left it.
func (c *Chain) before(own *Vehicle) int {
	n, w := 0, own.Measured
	for _, v := range c.held {
		if v.audible && !c.together(v.Measured, w) && float64(min(v.heard[1], own.heard[1])-max(v.heard[0], own.heard[0]))*c.gauge.Hop >= TargetTime {
			n++
		}
	}
	for i := range c.recent {
		v := &c.recent[i]
		if !v.audible || own.madeOf(v.root) {
			continue
		}
		from, to := max(v.heard[0], own.heard[0]), min(v.heard[1], own.heard[1])
		if c.Complex && v.real && c.ranBeside(v.trail, own.trail, w, from, to) > TargetTime {
			n++
			continue
		}
		if v.judged {
			if !c.together(v.Measured, w) && float64(to-from)*c.gauge.Hop >= TargetTime {
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
		if v.real && !c.inside(v.trail, &w) && (v.root.Frame != w.Root.Frame || v.root.F != w.Root.F) && float64(to-from)*c.gauge.Hop >= TargetTime {
			n++
		}
	}
	return n
}

// inside reports whether most of a trail may be another place of a body.
func (c *Chain) inside(trail []waypoint, w *geometry.Measurement) bool {
	n, all := 0, 0
	for _, m := range trail {
		if m.frame < w.First || m.frame > w.Last {
			continue
		}
		if all++; c.within(m.frame, float64(m.f), w) {
			n++
		}
	}
	return 4*n > 3*all
}

// ranBeside returns for how many seconds two trails ran side by side, at
// different frequencies and not around the closest point of w, between two frames.
func (c *Chain) ranBeside(a, b []waypoint, w geometry.Measurement, from, to int64) float64 {
	n, k := 0, 0
	for _, m := range a {
		for k < len(b) && b[k].frame < m.frame-trailStep/2 {
			k++
		}
		if k == len(b) {
			break
		}
		if m.frame >= from && m.frame <= to && b[k].frame <= m.frame+trailStep/2 && math.Abs(float64(m.f-b[k].f)) > max(trailBins, trailPart*math.Abs(float64(m.f))) &&
			!c.amidWheels(m.frame, w) && !c.within(m.frame, float64(m.f), &w) {
			n += trailStep
		}
	}
	return float64(n) * c.gauge.Hop
}

// Beside counts the vehicles of this chain's own pace that shared the beam with
// one that another chain has given out.
func (c *Chain) Beside(d *Departure) int {
	shared := func(first, last int64, f float64) bool {
		speed := math.Abs(f) * c.gauge.MPS / c.Stretch
		if speed < c.Low || speed > c.High || math.Abs(speed-d.Speed) < SameSpeed*d.Speed {
			return false
		}
		from, to := float64(max(c.At(first), d.HeardFrom)), float64(min(c.At(last), d.HeardTo))
		if wheels := wheelWay / d.Speed * float64(c.rate); d.atEnd {
			to = min(to, d.Near-wheels)
		} else {
			from = max(from, d.Near+wheels)
		}
		return to-from >= otherTarget*max(1, c.Stretch)*float64(c.rate)
	}
	n := 0
	for _, v := range c.recent {
		if v.audible && (v.judged || v.real && c.Stretch <= 1 && c.Complex) && shared(v.heard[0], v.heard[1], v.top) {
			n++
		}
	}
	for _, k := range c.follower.Tracks {
		if c.Stretch <= 1 && c.Complex && c.target(k) && shared(k.First(), k.Last(), c.gauge.Top(k.Readings)) {
			n++
		}
	}
	return n
}

// Follows reports whether a track of this chain that was not given out yet is in part
// the line that another chain has given out.
func (c *Chain) Follows(d *Departure) bool {
	line := func(first, last int64, top float64, forwards bool) bool {
		from, to := c.At(first), c.At(last)
		return forwards == (d.Sign > 0) && math.Abs(top*c.gauge.MPS/c.Stretch-d.Speed) < SameSpeed*d.Speed &&
			float64(min(to, d.To)-max(from, d.From)) > TargetTime*c.Stretch*float64(c.rate)
	}
	ended := func(v Vehicle) bool { return line(v.first, v.last, v.top, v.Measured.Sign > 0) }
	return slices.ContainsFunc(c.leaving, ended) || slices.ContainsFunc(c.held, ended) ||
		slices.ContainsFunc(c.follower.Tracks, func(k *lines.Track) bool {
			return k.Confirmed && line(k.First(), k.Last(), c.gauge.Top(k.Readings), k.F > 0)
		})
}

// Contradicts reports whether a track of this chain tells another speed of the same
// vehicle, more than 1 km/h and 1 % away. What changed its speed is measured at other
// places by other frames, and may differ by as much.
func (c *Chain) Contradicts(d *Departure) bool {
	if d.Speed < c.Low*(1-opinionWay) || d.Speed > c.High*(1+opinionWay) {
		return false
	}
	other := func(w *geometry.Measurement) bool {
		speed := w.Speed / c.Stretch
		off := math.Abs(speed - d.Speed)
		if speed < d.Speed && !(w.Fitted && d.fitted) { // the angle only ever hides speed
			return false
		}
		near := c.Place(w.Near)
		return len(w.Reasons) == 0 && !w.Slant && w.Sign == d.Sign && w.AtEnd == d.atEnd &&
			math.Abs(near-d.Near) < PartTime*float64(c.rate) && off < partSpeed*d.Speed && off > max(contradictFlat, contradictShare*d.Speed)+changes*(w.Change/c.Stretch+d.change)
	}
	for i := range c.recent {
		if v := &c.recent[i]; v.judged && other(&v.Measured) {
			return true
		}
	}
	for _, k := range c.follower.Tracks {
		if k.Confirmed {
			if w, ok := c.gauge.Judge(k.Readings); ok && other(&w) {
				return true
			}
		}
	}
	return false
}
