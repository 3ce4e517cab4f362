// Package gate measures vehicles by contacts in or across the lane: inductive
// loops, piezo or treadle cables, light barriers. Two or three of them at
// calibrated distances give an independent second speed with its standard
// uncertainty, or say why there is none: [Gate.Match]. Loops in every lane also
// say who else was in the beam of a radar that cannot: [Gate.Alone].
//
// # From edges to a speed
//
// A vehicle leaves the same marks at every contact, in the same order: the
// first edge of each axle at contacts of kind [Axles], front and rear of the
// body at contacts of kind [Presence]. With the distance d from the first
// contact to the last and the times t of the n marks between them,
//
//	v = d / mean(t)
//
// rounded down. Which contact came first gives the direction. With three
// contacts the two partial speeds must agree with each other; the speed comes
// from the outer two.
//
// Edges of all contacts are put in order of the kernel's timestamps and cut into
// crossings where every contact is free and has been for as long as another
// axle of the same vehicle (10 m behind at its speed) may take. What lies in one
// crossing is one vehicle only if every contact saw the same number of pulses
// (exactly one for Presence, at least two for Axles), all marks went the same
// way, no two marks differ in speed by more than three times their uncertainty
// and what braking does in between (6 m/s²), the contacts were closed for
// similar times, and lengths and distances of axles are those of vehicles. Two
// vehicles whose axles lie within 10 m and that drive at nearly one speed are one
// crossing of many axles, whose uncertainty covers both. Anything else has no
// speed; nothing is paired by likelihood.
//
// # Bounce
//
// Two things cannot happen at the highest speed that is measured: a pulse that
// comes again within 0.3 m of way (it is the same pulse), and one shorter than
// 0.05 m (tyre) or 1 m (body) of way (it is a spike and is dropped). Both are
// counted. The first edge of a bouncing pulse counts. An edge that the kernel
// lost, or a level that repeats, leaves the crossing without speed
// ([sensor.ReasonLostEdge]); an instant before one already taken too
// ([sensor.ReasonClock]); equal instants at two contacts leave the direction
// undecided.
//
// # Uncertainty
//
// Standard uncertainty, k = 1, JCGM 100:
//
//	distance      v·u(d)/d
//	timing        v·√2·u(edge)/mean(t)/√n
//	clock         v·600 ppm/√3
//	acceleration  a·T/2/√3, with the time T of the whole crossing and a as first
//	              and last mark show it and twice the uncertainty of that, at
//	              most 3.4 m/s²; but at least the distance of the farthest
//	              mark from v, over √3
//
// Worked example: piezo cables 2.000 m apart, u(d) = 5 mm, u(edge) = 500 µs. A
// car with axles 2.6 m apart crosses the first at 0 ms and 130 ms, the second at
// 100 ms and 230 ms: v = 20 m/s = 72.00 km/h, approaching if the first cable is
// the farther one. Distance 0.18, timing 0.36, clock 0.03, acceleration 0.74:
// U = 0.85 km/h.
//
// Two faults at once that leave equal numbers of pulses, such as a different axle
// missed at each contact, can pass for one slower vehicle; that a second speed
// only confirms, and must agree with the first, stands against it.
//
// Sources: dual loops and their on-times after B. Coifman, Using Dual Loop Speed
// Traps to Identify Detector Errors (Transportation Research Record 1683, 1999);
// every axle measured and compared as fixed piezo cameras do; 3.4 m/s² after
// AASHTO, A Policy on Geometric Design of Highways and Streets.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"ciglio/sensor"
)

// window is how long an edge is held back so that those of other contacts can
// be put before it: far longer than a busy machine takes to hand one over. Every
// step is how often that is looked at.
const (
	window = 200 * time.Millisecond
	step   = 20 * time.Millisecond
)

// How much a Gate keeps of each lane: edges in the window, and crossings that
// passages may still ask for.
const (
	maxHeld = 512
	maxKept = 64
)

// Gate measures live contacts of one or several lanes. Run it in a goroutine;
// every other method is safe for concurrent use.
type Gate struct {
	clock sensor.Clock

	mu      sync.Mutex // guards what follows
	lanes   []*lane
	fault   error         // why a line is gone
	changed chan struct{} // closed when something of the above has changed
}

// lane is the contacts of one lane.
type lane struct {
	number  int // from 1
	lines   []sensor.Edges
	tracker *Tracker
	told    func(Crossing) // of each that is over; nil for nobody
	held    []Event        // in order of their instants
	kept    []Crossing     // in order of their ends
	room    int            // for crossings in kept
	since   sensor.Mono    // what crossed before it is not known
}

// An Event is an edge of one contact, the nearest first, in one lane, both
// counted from 0.
type Event struct {
	Lane, Contact int
	sensor.Edge
}

// New joins the contacts of each lane, one line for each position, whose edges
// count from now on. Lanes are counted from 1 in the order given. It starts
// nothing.
func New(lanes [][]sensor.Edges, clock sensor.Clock, o Options) (*Gate, error) {
	g := &Gate{clock: clock, changed: make(chan struct{})}
	if len(lanes) == 0 {
		return nil, errors.New("gate: no lanes")
	}
	for i, lines := range lanes {
		if len(lines) != len(o.Positions) {
			return nil, fmt.Errorf("gate: %d lines for %d positions", len(lines), len(o.Positions))
		}
		t, err := NewTracker(o)
		if err != nil {
			return nil, fmt.Errorf("gate: %w", err)
		}
		g.lanes = append(g.lanes, &lane{number: i + 1, lines: lines, tracker: t, told: o.Crossed, room: maxKept, since: clock.Now()})
	}
	return g, nil
}

// Recorded returns a Gate that has been told all of a recording: the events of
// the given number of lanes, in order of their instants. It answers at once, and
// is not for Run.
func Recorded(lanes int, events []Event, o Options) (*Gate, error) {
	g, err := New(slices.Repeat([][]sensor.Edges{make([]sensor.Edges, len(o.Positions))}, lanes), eternity{}, o)
	if err != nil {
		return nil, err
	}
	for _, l := range g.lanes {
		l.room = math.MaxInt
	}
	for _, e := range events {
		l := g.lanes[e.Lane]
		l.tracker.Push(e.Contact, e.Edge)
		l.keep()
	}
	for _, l := range g.lanes {
		l.tracker.Flush()
		l.tracker.Advance(math.MaxInt64)
		l.keep()
	}
	return g, nil
}

// eternity is the clock of what has always been heard.
type eternity struct{ sensor.Clock }

func (eternity) Now() sensor.Mono { return math.MinInt64 }

// Run reads the contacts until ctx ends, which gives ctx.Err(), or until one is
// gone, which gives its error, one that wraps io.EOF when recordings have ended.
// From then on Match gives that error. When Run returns, so have its goroutines.
func (g *Gate) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	gone := make(chan error, len(g.lanes)*len(g.lanes[0].lines))
	for _, l := range g.lanes {
		for i, line := range l.lines {
			readers.Go(func() { gone <- g.read(ctx, l, i, line) })
		}
	}
	defer readers.Wait()
	defer cancel()

	tick := time.NewTicker(step)
	defer tick.Stop()
	for ended := 0; ; {
		select {
		case err := <-gone:
			// A recording has ended when every line's has.
			if ended++; errors.Is(err, io.EOF) && ended < cap(gone) {
				continue
			}
			g.fail(err)
			return err
		case <-tick.C:
			g.release(g.clock.Now().Add(-window))
		}
	}
}

func (g *Gate) read(ctx context.Context, l *lane, contact int, line sensor.Edges) error {
	for {
		e, err := line.Next(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("lane %d, contact %d: %w", l.number, contact+1, err)
		}
		g.mu.Lock()
		l.hold(Event{l.number - 1, contact, e})
		g.mu.Unlock()
	}
}

// release takes the edges up to the instant to out of the window.
func (g *Gate) release(to sensor.Mono) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.lanes {
		l.release(to)
	}
	g.wake()
}

func (g *Gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.lanes {
		l.push(len(l.held))
		l.tracker.Flush()
		l.keep()
	}
	g.fault = err
	g.wake()
}

// wake tells who waits that something has changed. The caller holds mu.
func (g *Gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Counters returns what the contacts have given so far.
func (g *Gate) Counters() Counters {
	g.mu.Lock()
	defer g.mu.Unlock()
	var sum Counters
	for _, l := range g.lanes {
		sum.Add(l.tracker.Counters())
	}
	return sum
}

// hold puts an edge in its place by its instant, after those with the same.
func (l *lane) hold(e Event) {
	i := len(l.held)
	for i > 0 && l.held[i-1].At > e.At {
		// Edges of one contact are never put in another order: one whose
		// instant runs backwards is for the tracker to find.
		if l.held[i-1].Contact == e.Contact {
			break
		}
		i--
	}
	l.held = slices.Insert(l.held, i, e)
	if len(l.held) > maxHeld {
		l.push(1)
	}
}

// push hands the n oldest edges to the tracker.
func (l *lane) push(n int) {
	for _, e := range l.held[:n] {
		l.tracker.Push(e.Contact, e.Edge)
	}
	l.held = slices.Delete(l.held, 0, n)
}

func (l *lane) release(to sensor.Mono) {
	n := 0
	for n < len(l.held) && l.held[n].At <= to {
		n++
	}
	l.push(n)
	l.tracker.Advance(to)
	l.keep()
}

// keep fetches what the tracker has finished.
func (l *lane) keep() {
	for c, ok := l.tracker.Pop(); ok; c, ok = l.tracker.Pop() {
		if len(l.kept) == l.room {
			l.since = l.kept[0].Last
			l.kept = slices.Delete(l.kept, 0, 1)
		}
		c.Lane = l.number
		l.kept = append(l.kept, c)
		if l.told != nil {
			l.told(c)
		}
	}
}

// settled reports whether every crossing that may touch a time before to is
// over.
func (l *lane) settled(to sensor.Mono) bool { return l.tracker.now >= to && !l.crossed(to) }

// crossed reports whether a crossing is under way that began before to.
func (l *lane) crossed(to sensor.Mono) bool {
	since, open := l.tracker.Under()
	return open && since <= to
}
