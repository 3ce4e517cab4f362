// Package gate measures vehicles by contacts in or across the lane: inductive
// loops, piezo or treadle cables, light barriers. Two or three of them at
// calibrated distances give an independent second speed with its standard
// uncertainty, or say why there is none.
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

// How much a Gate keeps: edges in the window, and crossings that passages may
// still ask for.
const (
	maxHeld = 512
	maxKept = 64
)

// Gate measures live contacts. Run it in a goroutine; every other method is safe
// for concurrent use.
type Gate struct {
	lines []sensor.Edges
	clock sensor.Clock

	mu      sync.Mutex // guards what follows
	tracker *Tracker
	held    []contactEdge // in order of their instants
	kept    []Crossing    // in order of their ends
	fault   error         // why a line is gone
	changed chan struct{} // closed when something of the above has changed
}

type contactEdge struct {
	sensor.Edge
	contact int
}

// New joins one line for each position. It starts nothing.
func New(lines []sensor.Edges, clock sensor.Clock, o Options) (*Gate, error) {
	if len(lines) != len(o.Positions) {
		return nil, fmt.Errorf("gate: %d lines for %d positions", len(lines), len(o.Positions))
	}
	t, err := NewTracker(o)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	return &Gate{lines: lines, clock: clock, tracker: t, changed: make(chan struct{})}, nil
}

// Run reads the contacts until ctx ends, which gives ctx.Err(), or until one is
// gone, which gives its error, one that wraps io.EOF when recordings have ended.
// From then on Match gives that error. When Run returns, so have its goroutines.
func (g *Gate) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	gone := make(chan error, len(g.lines))
	for i, l := range g.lines {
		readers.Go(func() { gone <- g.read(ctx, i, l) })
	}
	defer readers.Wait()
	defer cancel()

	tick := time.NewTicker(step)
	defer tick.Stop()
	for ended := 0; ; {
		select {
		case err := <-gone:
			// A recording has ended when every line's has.
			if ended++; errors.Is(err, io.EOF) && ended < len(g.lines) {
				continue
			}
			g.fail(err)
			return err
		case <-tick.C:
			g.release(g.clock.Now().Add(-window))
		}
	}
}

func (g *Gate) read(ctx context.Context, contact int, l sensor.Edges) error {
	for {
		e, err := l.Next(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("contact %d: %w", contact+1, err)
		}
		g.hold(contactEdge{e, contact})
	}
}

// hold puts an edge in its place by its instant, after those with the same.
func (g *Gate) hold(e contactEdge) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := len(g.held)
	for i > 0 && g.held[i-1].At > e.At {
		// Edges of one contact are never put in another order: one whose
		// instant runs backwards is for the tracker to find.
		if g.held[i-1].contact == e.contact {
			break
		}
		i--
	}
	g.held = slices.Insert(g.held, i, e)
	if len(g.held) > maxHeld {
		g.push(1)
	}
}

// push hands the n oldest edges to the tracker. The caller holds mu.
func (g *Gate) push(n int) {
	for _, e := range g.held[:n] {
		g.tracker.Push(e.contact, e.Edge)
	}
	g.held = slices.Delete(g.held, 0, n)
}

// release takes the edges up to the instant to out of the window.
func (g *Gate) release(to sensor.Mono) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for n < len(g.held) && g.held[n].At <= to {
		n++
	}
	g.push(n)
	g.tracker.Advance(to)
	g.keep()
}

// keep fetches what the tracker has finished and wakes who waits for it. The
// caller holds mu.
func (g *Gate) keep() {
	for c, ok := g.tracker.Pop(); ok; c, ok = g.tracker.Pop() {
		if len(g.kept) == maxKept {
			g.kept = slices.Delete(g.kept, 0, 1)
		}
		g.kept = append(g.kept, c)
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *Gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.push(len(g.held))
	g.tracker.Flush()
	g.fault = err
	g.keep()
}

// Counters returns what the contacts have given so far.
func (g *Gate) Counters() Counters {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracker.Counters()
}

// The ways in which contacts do not confirm a passage.
var (
	ErrNone      = errors.New("no vehicle crossed the contacts when this one must have")
	ErrSeveral   = errors.New("more than one vehicle crossed the contacts when this one must have")
	ErrStanding  = errors.New("a contact stayed closed when the vehicle must have crossed it")
	ErrDirection = errors.New("the vehicle over the contacts went the other way")
	ErrNoSpeed   = errors.New("the contacts gave no speed")
)

// Match returns the one crossing that belongs to a passage. It waits until the
// contacts have said all about that time, for as long as ctx allows.
//
// The track of a vehicle that approaches ends beside the sensor, that of one
// that recedes begins there, so the near end of the vehicle was over the
// farthest contact, at distance x, at End − x/v or Start + x/v, with the
// passage's own speed v. The end of a track may lie off the closest point by
// [Options.Slack]: the crossing must be there within Slack/v of that instant.
//
// The error is one of those above when no crossing, or more than one, lies
// there, or the one that does has another direction or no speed: the crossing
// with its reasons is then returned beside ErrNoSpeed. Any other error is that
// of ctx or of a contact that is gone.
func (g *Gate) Match(ctx context.Context, p sensor.Passage) (Crossing, error) {
	from, to, err := g.expect(p)
	if err != nil {
		return Crossing{}, err
	}
	for {
		g.mu.Lock()
		done, changed, fault := g.settled(to), g.changed, g.fault
		g.mu.Unlock()
		switch {
		case fault != nil:
			return Crossing{}, fault
		case done:
			return g.pick(p, from, to)
		}
		select {
		case <-ctx.Done():
			if since, open := g.under(); open && since <= to {
				return Crossing{}, ErrStanding
			}
			return Crossing{}, ctx.Err()
		case <-changed:
		}
	}
}

func (g *Gate) under() (sensor.Mono, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracker.Under()
}

// expect returns between which instants the near end of a vehicle must have
// been over the farthest contact.
func (g *Gate) expect(p sensor.Passage) (from, to sensor.Mono, err error) {
	s := g.tracker.s // constant
	v := p.Speed.MPS()
	if v < slowest || p.Direction == sensor.DirectionUnknown {
		return 0, 0, fmt.Errorf("%v %v: %w", p.Speed, p.Direction, ErrNone)
	}
	way := seconds(s.positions[len(s.positions)-1] / v)
	at := p.Start.Add(way)
	if p.Direction == sensor.Approaching {
		at = p.End.Add(-way)
	}
	slack := seconds(s.slack / v)
	return at.Add(-slack), at.Add(slack), nil
}

// settled reports whether every crossing that may touch a time before to is
// over. The caller holds mu.
func (g *Gate) settled(to sensor.Mono) bool {
	since, open := g.tracker.Under()
	return g.tracker.now >= to && !(open && since <= to)
}

// pick returns the crossing in the window, if there is exactly one.
func (g *Gate) pick(p sensor.Passage, from, to sensor.Mono) (Crossing, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []Crossing
	for _, c := range g.kept {
		if c.First <= to && c.Last >= from {
			found = append(found, c)
		}
	}
	for _, c := range found {
		if slices.Contains(c.Reasons, sensor.ReasonLostEdge) {
			return c, ErrNoSpeed
		}
	}
	switch {
	case len(found) == 0:
		return Crossing{}, ErrNone
	case len(found) > 1:
		return Crossing{}, ErrSeveral
	}
	c := found[0]
	near := c.Last
	if p.Direction == sensor.Approaching {
		near = c.First
	}
	switch {
	case !c.Valid():
		return c, ErrNoSpeed
	case c.Direction != p.Direction:
		return Crossing{}, ErrDirection
	case near < from || near > to:
		return Crossing{}, ErrNone
	}
	return c, nil
}
