package gate

import (
	"math"

	"ciglio/sensor"
)

// Budget is the standard uncertainty (k = 1) of a crossing's speed, by cause.
type Budget struct {
	Distance     sensor.Speed // between the contacts, as calibrated
	Timing       sensor.Speed // jitter of the edges
	Clock        sensor.Speed // rate of the clock
	Acceleration sensor.Speed // change of speed between the contacts
}

// Total returns the root of the summed squares, rounded up.
func (b Budget) Total() sensor.Speed {
	var sum float64
	for _, s := range [...]sensor.Speed{b.Distance, b.Timing, b.Clock, b.Acceleration} {
		sum += float64(s) * float64(s)
	}
	return sensor.Speed(math.Ceil(math.Sqrt(sum)))
}

// A leg is one mark of the vehicle on its way between two contacts: an axle, or
// the front or the rear of its body.
type leg struct {
	speed  float64 // m/s
	u      float64 // m/s, of jitter and distance
	middle float64 // s after the first edge
}

// crossing makes one of the pulses of a quiet-to-quiet stretch.
func (t *Tracker) crossing() Crossing {
	c := Crossing{First: t.first, Last: t.last, Reasons: t.spoilt}
	if len(c.Reasons) > 0 {
		return c
	}
	reason := t.measure(&c)
	if reason != 0 {
		c.Speed, c.U, c.Budget, c.Marks = 0, 0, Budget{}, nil
		c.Reasons = []sensor.Reason{reason}
	}
	return c
}

// measure fills in a crossing, or returns why it has no speed.
func (t *Tracker) measure(c *Crossing) sensor.Reason {
	s, n := &t.s, len(t.lines[0].pulses)
	for _, l := range t.lines {
		if len(l.pulses) != n || n == 0 {
			return sensor.ReasonTooFewReadings
		}
	}
	c.Axles = n
	switch {
	case s.kind == Presence && n > 1:
		return sensor.ReasonTwoTargets
	case s.kind == Axles && n < 2:
		return sensor.ReasonTooFewReadings
	}
	legs, partial, reason := t.legs(c)
	if reason != 0 {
		return reason
	}
	if !agree(legs) || !agree(partial) {
		return sensor.ReasonAcceleration
	}
	var times float64
	for _, g := range legs {
		times += s.span / g.speed
	}
	mean := times / float64(len(legs)) // seconds from the first contact to the last
	v := s.span / mean
	if v < slowest || v > s.fastest {
		return sensor.ReasonOutOfRange
	}
	if !t.plausible(v) {
		return sensor.ReasonTwoTargets
	}
	c.Marks = t.stamps()
	c.Speed = speedOf(t.s.spanMM, c.Marks)
	c.Budget = Budget{
		Distance:     up(v * s.distanceU / s.span),
		Timing:       up(v * s.jitter * math.Sqrt2 / mean / math.Sqrt(float64(len(legs)))),
		Clock:        up(v * clockRate / math.Sqrt(3)),
		Acceleration: up(max(t.acceleration(legs)/2, spread(legs, v)) / math.Sqrt(3)),
	}
	c.U = c.Budget.Total()
	return 0
}

// speedOf returns the speed by the instants of marks at contacts, as a [Crossing]
// has it: the way from the first contact to the last, in millimetres, over the mean
// time, rounded down to 0.01 km/h, in integers, so that everyone who has the stamps
// gets the same. Marks are as in [Crossing.Marks], and time lies between the first
// contact and the last.
func speedOf(way int64, marks [][]sensor.Mono) sensor.Speed {
	last := len(marks) - 1
	var time int64 // sum over all marks, ns
	for m, at := range marks[0] {
		time += int64(marks[last][m].Sub(at).Abs())
	}
	// 50 m, 16 axles: less than 2⁶³ by far.
	return sensor.Speed(way * int64(len(marks[0])) * 360e6 / time)
}

// stamps returns the marks at each contact.
func (t *Tracker) stamps() [][]sensor.Mono {
	all := make([][]sensor.Mono, len(t.lines))
	for i := range all {
		for m := range t.marks() {
			all[i] = append(all[i], t.mark(i, m))
		}
	}
	return all
}

// up converts metres per second, rounding up: an uncertainty is never stated
// smaller than it is.
func up(mps float64) sensor.Speed { return sensor.Speed(math.Ceil(mps * 360)) }

// legs returns the way of each mark over the whole span and, with three
// contacts, over its two parts. It sets the direction.
func (t *Tracker) legs(c *Crossing) (whole, parts []leg, reason sensor.Reason) {
	last := len(t.lines) - 1
	for m := range t.marks() {
		for i := range last {
			step := t.mark(i+1, m).Sub(t.mark(i, m))
			d := sensor.Receding
			if step < 0 {
				d = sensor.Approaching
			}
			switch {
			case step == 0:
				return nil, nil, sensor.ReasonDirectionUndecided
			case c.Direction == sensor.DirectionUnknown:
				c.Direction = d
			case c.Direction != d:
				c.Direction = sensor.DirectionUnknown
				return nil, nil, sensor.ReasonMixedDirection
			}
			parts = append(parts, t.leg(i, i+1, m))
		}
		whole = append(whole, t.leg(0, last, m))
	}
	return whole, parts, 0
}

// marks is how many marks one vehicle leaves at each contact.
func (t *Tracker) marks() int {
	if t.s.kind == Presence {
		return 2
	}
	return len(t.lines[0].pulses)
}

// mark returns when mark m was at a contact.
func (t *Tracker) mark(contact, m int) sensor.Mono {
	p := t.lines[contact].pulses
	if t.s.kind == Axles {
		return p[m].rise
	}
	if m == 0 {
		return p[0].rise
	}
	return p[0].fall
}

func (t *Tracker) leg(from, to, m int) leg {
	a, b := t.mark(from, m).Sub(t.first).Seconds(), t.mark(to, m).Sub(t.first).Seconds()
	way, time := t.s.positions[to]-t.s.positions[from], math.Abs(b-a)
	v := way / time
	return leg{
		speed:  v,
		u:      v * math.Hypot(t.s.jitter*math.Sqrt2/time, t.s.distanceU/way),
		middle: (a + b) / 2,
	}
}

// agree reports whether one vehicle can have driven all legs: no two differ by
// more than three times their uncertainty and what brakes can do in between.
func agree(legs []leg) bool {
	for i, a := range legs {
		for _, b := range legs[:i] {
			if math.Abs(a.speed-b.speed) > 3*math.Hypot(a.u, b.u)+hardest*math.Abs(a.middle-b.middle) {
				return false
			}
		}
	}
	return true
}

// plausible reports whether the pulses are those of one vehicle at speed v: its
// length, the distances between its axles, and how long each contact was
// closed.
func (t *Tracker) plausible(v float64) bool {
	for i := range t.lines[0].pulses {
		shortest, longest := math.Inf(1), 0.0
		for _, l := range t.lines {
			p := l.pulses[i]
			shortest, longest = min(shortest, p.length().Seconds()), max(longest, p.length().Seconds())
			if t.s.kind == Axles && i > 0 {
				hub := p.rise.Sub(l.pulses[i-1].rise).Seconds() * v
				if hub < hubMin || hub > hubMax {
					return false
				}
			}
		}
		switch {
		case t.s.kind == Presence && (shortest*v < bodyMin || longest*v > bodyMax):
			return false
		case t.s.kind == Axles && longest > 2*shortest+4*t.s.jitter:
			return false
		}
	}
	return true
}

// spread returns how far the farthest leg lies from the speed of all.
func spread(legs []leg, v float64) (most float64) {
	for _, g := range legs {
		most = max(most, math.Abs(g.speed-v))
	}
	return most
}

// acceleration returns a bound on how much the speed has changed, in metres per
// second, from the first mark at the first contact to the last at the last: by
// what the marks show and twice the uncertainty of that, or by what is usual on
// roads if that is less.
func (t *Tracker) acceleration(legs []leg) float64 {
	a, b := legs[0], legs[len(legs)-1]
	timing := func(l leg) float64 { return l.speed * l.speed * t.s.jitter * math.Sqrt2 / t.s.span }
	apart := math.Abs(b.middle - a.middle)
	way := (t.s.span/a.speed+t.s.span/b.speed)/2 + apart
	bound := usual
	if apart > 0 {
		bound = min(usual, (math.Abs(b.speed-a.speed)+2*math.Hypot(timing(a), timing(b)))/apart)
	}
	return bound * way
}
