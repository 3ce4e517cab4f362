package gate

import (
	"slices"
	"time"

	"ciglio/sensor"
)

// A Crossing is what the contacts saw from one quiet moment to the next: one
// vehicle, or something that gives no speed and says why in Reasons.
type Crossing struct {
	Lane        int         // from 1; 0 when it does not come from a [Gate]
	First, Last sensor.Mono // first and last edge
	Speed       sensor.Speed
	U           sensor.Speed // standard uncertainty (k = 1), Budget.Total
	Budget      Budget
	Direction   sensor.Direction
	Axles       int // axles, or 1 for a vehicle over contacts of kind Presence
	Reasons     []sensor.Reason

	// Marks are the instants that the speed rests on, of each contact in the
	// order of Options.Positions: of each axle, or of front and rear. They are
	// the kernel's own stamps.
	Marks [][]sensor.Mono

	taken bool // a passage has it
}

// Valid reports whether the crossing has a speed.
func (c *Crossing) Valid() bool { return len(c.Reasons) == 0 }

// Counters say what a [Tracker] has seen. Bounced and Spikes are pulses that
// physics excludes and that were joined or dropped; neither spoils a vehicle.
type Counters struct {
	Edges   uint64
	Bounced uint64 // pulses that came again too soon to be another one
	Spikes  uint64 // pulses too short for a vehicle
	Lost    uint64 // edges that the lines reported lost
	Late    uint64 // edges whose instant lies before one already taken
}

// Add adds o to c.
func (c *Counters) Add(o Counters) {
	c.Edges += o.Edges
	c.Bounced += o.Bounced
	c.Spikes += o.Spikes
	c.Lost += o.Lost
	c.Late += o.Late
}

// A Tracker makes crossings of edges that come in order of their instants. It
// is what a [Gate] runs on, and reads recorded edges without one. Its memory is
// bounded. Not safe for concurrent use.
type Tracker struct {
	s      settings
	lines  []line
	open   bool
	first  sensor.Mono
	last   sensor.Mono
	now    sensor.Mono
	spoilt []sensor.Reason
	done   []Crossing
	counts Counters
}

// line is one contact's input.
type line struct {
	high   bool
	pulses []pulse // at most maxPulses
}

type pulse struct{ rise, fall sensor.Mono }

func (p pulse) length() time.Duration { return p.fall.Sub(p.rise) }

// waiting bounds the crossings that Pop has not fetched yet: at one a second,
// a quarter of an hour.
const waiting = 1024

// NewTracker checks the options.
func NewTracker(o Options) (*Tracker, error) {
	s, err := o.settings()
	if err != nil {
		return nil, err
	}
	t := &Tracker{s: s, lines: make([]line, len(s.positions))}
	for i := range t.lines {
		t.lines[i].pulses = make([]pulse, 0, maxPulses)
	}
	return t, nil
}

// Push takes the next edge of a contact, counted from 0, the nearest. An edge
// older than one already taken spoils the crossing that it falls into.
func (t *Tracker) Push(contact int, e sensor.Edge) {
	t.counts.Edges++
	t.counts.Lost += uint64(e.Lost)
	late := e.At < t.now
	if late {
		t.counts.Late++
		e.At = t.now
	}
	t.Advance(e.At)
	if !t.open {
		t.open, t.first = true, e.At
	}
	t.last = e.At
	if late {
		t.spoil(sensor.ReasonClock)
	}
	l := &t.lines[contact]
	// A level that repeats is an edge lost without the kernel's knowing, or a
	// vehicle that stood there when we came.
	if e.Lost > 0 || e.Rising == l.high {
		t.spoil(sensor.ReasonLostEdge)
	}
	l.high = e.Rising
	if e.Rising {
		t.rise(l, e.At)
	} else if n := len(l.pulses); n > 0 {
		l.pulses[n-1].fall = e.At
	}
}

// rise begins a pulse, or continues the last when no other can have come yet.
func (t *Tracker) rise(l *line, at sensor.Mono) {
	if n := len(l.pulses); n > 0 && at.Sub(l.pulses[n-1].fall) < t.s.spaceMin {
		t.counts.Bounced++
		return
	}
	t.dropSpike(l)
	if len(l.pulses) == maxPulses {
		t.spoil(sensor.ReasonTwoTargets)
		return
	}
	l.pulses = append(l.pulses, pulse{rise: at, fall: at})
}

// dropSpike drops the last pulse when it is over and too short for a vehicle.
func (t *Tracker) dropSpike(l *line) {
	if n := len(l.pulses); n > 0 && l.pulses[n-1].length() < t.s.pulseMin {
		l.pulses = l.pulses[:n-1]
		t.counts.Spikes++
	}
}

func (t *Tracker) spoil(r sensor.Reason) {
	if !slices.Contains(t.spoilt, r) {
		t.spoilt = append(t.spoilt, r)
	}
}

// Advance says that every edge before now has been pushed. A crossing ends when
// all contacts are free and have been for long enough.
func (t *Tracker) Advance(now sensor.Mono) {
	t.now = max(t.now, now)
	if end, ok := t.Quiet(); ok && t.now > end {
		t.close()
	}
}

// Quiet returns when the crossing under way will be over if no edge comes, and
// false when none is under way or a contact is still closed.
func (t *Tracker) Quiet() (sensor.Mono, bool) {
	if !t.open || slices.ContainsFunc(t.lines, func(l line) bool { return l.high }) {
		return 0, false
	}
	return t.last.Add(t.patience()), true
}

// patience is how long after an edge another of the same vehicle may come.
func (t *Tracker) patience() time.Duration {
	near, far := t.lines[0].pulses, t.lines[len(t.lines)-1].pulses
	n := len(near)
	for _, l := range t.lines {
		if len(l.pulses) != n || n == 0 {
			return seconds(t.s.span / slowest) // the slowest is still between the contacts
		}
	}
	gap := hubMax
	if t.s.kind == Presence {
		gap = bodyGap
	}
	speed := t.s.span / max(far[n-1].rise.Sub(near[n-1].rise).Abs().Seconds(), t.s.span/t.s.fastest)
	return max(seconds(gap/max(speed, slowest)), t.s.spaceMin)
}

// Flush ends the crossing under way. What a closed contact may still have said
// is lost, so it then gives no speed.
func (t *Tracker) Flush() {
	if !t.open {
		return
	}
	for i := range t.lines {
		if t.lines[i].high {
			t.spoil(sensor.ReasonLostEdge)
			t.lines[i].high = false
		}
	}
	t.close()
}

func (t *Tracker) close() {
	seen := len(t.spoilt) > 0
	for i := range t.lines {
		t.dropSpike(&t.lines[i])
		seen = seen || len(t.lines[i].pulses) > 0
	}
	if seen {
		if len(t.done) == waiting {
			t.done = slices.Delete(t.done, 0, 1)
		}
		t.done = append(t.done, t.crossing())
	}
	for i := range t.lines {
		t.lines[i].pulses = t.lines[i].pulses[:0]
	}
	t.open, t.spoilt = false, nil
}

// Pop returns the oldest crossing that has not been fetched. Of those that
// nobody fetches, the newest 1,024 are kept.
func (t *Tracker) Pop() (Crossing, bool) {
	if len(t.done) == 0 {
		return Crossing{}, false
	}
	c := t.done[0]
	t.done = slices.Delete(t.done, 0, 1)
	return c, true
}

// Counters returns what has been seen so far.
func (t *Tracker) Counters() Counters { return t.counts }

// Under reports whether a crossing is under way, and since when.
func (t *Tracker) Under() (sensor.Mono, bool) { return t.first, t.open }
