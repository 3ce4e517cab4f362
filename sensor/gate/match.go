package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ciglio/sensor"
)

// The ways in which contacts do not confirm a passage.
var (
	ErrNone      = errors.New("no vehicle crossed the contacts when this one must have")
	ErrSeveral   = errors.New("more than one vehicle crossed the contacts when this one must have")
	ErrTaken     = errors.New("the vehicle over the contacts is that of another passage")
	ErrStanding  = errors.New("a contact stayed closed when the vehicle must have crossed it")
	ErrDirection = errors.New("the vehicle over the contacts went the other way")
	ErrNoSpeed   = errors.New("the contacts gave no speed")
	ErrCompany   = errors.New("another vehicle was in the beam, by the contacts")
	ErrUnheard   = errors.New("the contacts have not been heard for long enough to know who was in the beam")
)

// overlap is how long another vehicle must have been in the beam during a track
// to be company. Where the beam begins is not known to a few metres.
const overlap = 250 * time.Millisecond

// farther is how much farther than the passage's own track another vehicle may
// have been seen: its echo is stronger, by up to 7 dB, or the track began late.
const farther = 1.5

// Match returns the one crossing that belongs to a passage, of its lane or, when
// the sensor does not tell that, of all lanes. It waits until the contacts have
// said all about that time, for as long as ctx allows. A crossing belongs to one
// passage only, the first that asks.
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
	var own Crossing
	lanes := g.of(p)
	err = g.until(ctx, lanes, to, func() (done bool, err error) {
		for _, l := range lanes {
			if l.since > from { // its own crossing may be among what is not known
				return true, ErrUnheard
			}
		}
		if !settled(lanes, to) {
			return false, nil
		}
		own, err = pick(lanes, p, from, to)
		return true, err
	})
	return own, err
}

// of returns the lanes in which the vehicle of a passage may have crossed
// contacts. What lies in one lane, as loops do, says nothing of another.
func (g *Gate) of(p sensor.Passage) []*lane {
	across := len(g.lanes) == 1 && g.lanes[0].tracker.s.kind == Axles
	if p.Lane == 0 || across {
		return g.lanes
	}
	return g.lanes[min(p.Lane-1, len(g.lanes)):min(p.Lane, len(g.lanes))]
}

// Alone returns nil when no contact saw another vehicle that was in the beam
// during the track of a passage, and otherwise an error that wraps ErrCompany, or
// ErrNoSpeed where what crossed gave none. Own is the crossing that Match has
// found for the passage. It waits until the contacts have said all about that
// time, for as long as ctx allows. The error is ErrUnheard when what crossed
// before is not known for long enough, as after a start; any other is that of
// Match.
//
// A radar that tells neither range nor angle takes two vehicles of nearly one
// speed for one; loops, one pair in each lane, do not. Where another vehicle was
// follows from its crossing and its speed, and the beam is taken to reach half as
// far again from the sensor as the passage's own track: another's echo may be
// stronger. Of one that is heard from still farther the radar has a line of its
// own. A crossing that gave no speed stands for vehicles of the passage's speed
// that went both ways.
func (g *Gate) Alone(ctx context.Context, p sensor.Passage, own Crossing) error {
	s := g.lanes[0].tracker.s // constant
	b := beam{speed: max(p.Speed.MPS(), slowest), farthest: s.positions[len(s.positions)-1]}
	b.reach = max(farther*b.speed*p.End.Sub(p.Start).Seconds(), b.farthest)
	from := p.Start.Add(-seconds(b.reach / b.speed))
	// Who comes to the contacts later, at the speed of the passage, entered the
	// beam after the track's end.
	to := p.End.Add(seconds((b.reach - b.farthest) / b.speed))
	return g.until(ctx, g.lanes, to, func() (bool, error) {
		for _, l := range g.lanes {
			if l.since > from {
				return true, ErrUnheard
			}
			for _, c := range l.kept {
				from, to := b.inside(c)
				itself := c.Lane == own.Lane && c.First == own.First
				switch {
				case itself || min(to, p.End).Sub(max(from, p.Start)) <= overlap:
				case !c.Valid():
					return true, fmt.Errorf("lane %d at %v: %w: %v", c.Lane, c.First, ErrNoSpeed, c.Reasons[0])
				default:
					return true, fmt.Errorf("lane %d at %v: %w: %v, %v", c.Lane, c.First, ErrCompany, c.Speed, c.Direction)
				}
			}
		}
		return settled(g.lanes, to), nil
	})
}

// A beam is the stretch of road on which a passage was tracked.
type beam struct {
	speed    float64 // of the passage, m/s
	farthest float64 // distance of the farthest contact from the sensor, m
	reach    float64 // m from the sensor
}

// inside returns from when to when the vehicle of a crossing was in the beam.
func (b beam) inside(c Crossing) (from, to sensor.Mono) {
	v := b.speed
	if c.Valid() {
		v = c.Speed.MPS()
	}
	near, far := seconds(b.farthest/v), seconds((b.reach-b.farthest)/v)
	switch {
	case !c.Valid():
		return c.First.Add(-max(near, far)), c.Last.Add(max(near, far))
	case c.Direction == sensor.Approaching:
		return c.First.Add(-far), c.Last.Add(near)
	}
	return c.First.Add(-near), c.Last.Add(far)
}

// until asks, with mu held, whenever the contacts have said something, until
// the answer is there. When ctx ends before, the error says whether something
// stands on the contacts of those lanes since before to.
func (g *Gate) until(ctx context.Context, lanes []*lane, to sensor.Mono, ask func() (done bool, err error)) error {
	for {
		g.mu.Lock()
		changed, err := g.changed, g.fault
		done := err != nil
		if !done {
			done, err = ask()
		}
		standing := slices.ContainsFunc(lanes, func(l *lane) bool { return l.crossed(to) })
		g.mu.Unlock()
		if done {
			return err
		}
		select {
		case <-ctx.Done():
			if standing {
				return ErrStanding
			}
			return fmt.Errorf("the contacts have not said all yet: %w", ctx.Err())
		case <-changed:
		}
	}
}

// expect returns between which instants the near end of a vehicle must have
// been over the farthest contact.
func (g *Gate) expect(p sensor.Passage) (from, to sensor.Mono, err error) {
	s := g.lanes[0].tracker.s // constant
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

// settled reports whether the contacts of lanes have said all about the time
// before to. The caller holds mu.
func settled(lanes []*lane, to sensor.Mono) bool {
	return !slices.ContainsFunc(lanes, func(l *lane) bool { return !l.settled(to) })
}

// pick takes the crossing in the window, if there is exactly one. The caller
// holds mu.
func pick(lanes []*lane, p sensor.Passage, from, to sensor.Mono) (Crossing, error) {
	var found []*Crossing
	against := 0 // vehicles that went the other way
	for _, l := range lanes {
		for i := range l.kept {
			switch c := &l.kept[i]; {
			case c.First > to || c.Last < from:
			case slices.Contains(c.Reasons, sensor.ReasonLostEdge):
				return *c, ErrNoSpeed
			case c.Valid() && c.Direction != p.Direction:
				against++
			default:
				found = append(found, c)
			}
		}
	}
	switch {
	case len(found) > 1:
		return Crossing{}, ErrSeveral
	case len(found) == 0 && against > 0:
		return Crossing{}, ErrDirection
	case len(found) == 0:
		return Crossing{}, ErrNone
	}
	c := found[0]
	near := c.Last
	if p.Direction == sensor.Approaching {
		near = c.First
	}
	switch {
	case !c.Valid():
		return *c, ErrNoSpeed
	case near < from || near > to:
		return Crossing{}, ErrNone
	case c.taken:
		return Crossing{}, ErrTaken
	}
	c.taken = true
	return *c, nil
}
