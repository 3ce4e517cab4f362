package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

// Contacts are loops or axle cables across one lane of a road.
type Contacts struct {
	Lane   int       // vehicles in it touch them
	At     []float64 // middle of each, metres along the road, in any order; 1 to 3
	Length float64   // of a loop along the road in metres; 0 means cables, which feel axles
	Jitter time.Duration
}

// A Touch is one edge of a contact's line.
type Touch struct {
	At      time.Duration // from the start of the road
	Contact int           // index in Contacts.At
	On      bool
	Vehicle int    // index in [Road.Truth]; of an Off edge the last that was on
	Axle    int    // from 1; 0 for a loop
	Number  uint32 // of the edge on its line, from 1
}

// Edge returns the touch as the kernel would stamp it on a road that starts at
// origin.
func (t Touch) Edge(origin sensor.Mono) sensor.Edge {
	return sensor.Edge{At: origin.Add(t.At), Rising: t.On}
}

// footprint is the length of a tyre on the road in metres.
const footprint = 0.15

// inLane is how far the middle of a vehicle may lie from a lane's for its
// wheels to touch the contacts there, in metres.
const inLane = 1.6

// Edges returns every edge of the contacts during the road, in order of time.
// Jitter is the standard deviation of each edge. A line that is still on when
// the next axle or vehicle comes gives no edge of it.
func (r *Road) Edges(c Contacts) ([]Touch, error) {
	if err := c.check(len(r.scenario.Radar.Lanes)); err != nil {
		return nil, fmt.Errorf("contacts: %w", err)
	}
	var all []Touch
	for contact := range c.At {
		all = append(all, r.line(c, contact)...)
	}
	slices.SortStableFunc(all, func(a, b Touch) int { return cmp.Compare(a.At, b.At) })
	return all, nil
}

func (c *Contacts) check(lanes int) error {
	switch {
	case c.Lane < 1 || c.Lane > lanes:
		return fmt.Errorf("lane %d: want 1 to %d", c.Lane, lanes)
	case len(c.At) < 1 || len(c.At) > 3:
		return fmt.Errorf("%d places: want 1 to 3", len(c.At))
	case !within(c.Length, 0, 10):
		return fmt.Errorf("loop of %g m: want up to 10", c.Length)
	case c.Jitter < 0 || c.Jitter > 10*time.Millisecond:
		return fmt.Errorf("jitter %v: want up to 10ms", c.Jitter)
	}
	for _, at := range c.At {
		if !within(at, -200, 200) {
			return fmt.Errorf("one at %g m: want -200 to 200", at)
		}
	}
	return nil
}

// line returns the edges of one contact.
func (r *Road) line(c Contacts, contact int) []Touch {
	var raw []Touch
	for i := range r.vehicles {
		raw = r.touches(raw, c, contact, i)
	}
	slices.SortStableFunc(raw, func(a, b Touch) int { return cmp.Compare(a.At, b.At) })
	// The line is on while anything is on it.
	line, on := raw[:0], 0
	for _, t := range raw {
		before := on
		if t.On {
			on++
		} else {
			on--
		}
		if (before > 0) == (on > 0) || t.At < 0 || t.At >= r.scenario.Duration {
			continue
		}
		t.Number = uint32(len(line)) + 1
		line = append(line, t)
	}
	return line
}

// touches appends what one vehicle does to one contact.
func (r *Road) touches(dst []Touch, c Contacts, contact, vehicle int) []Touch {
	k := &kinds[r.vehicles[vehicle].Class]
	if c.Length > 0 {
		return r.touch(dst, c, contact, vehicle, 0, 0, k.length)
	}
	for n, place := range k.axles {
		dst = r.touch(dst, c, contact, vehicle, n+1, place-footprint/2, place+footprint/2)
	}
	return dst
}

// touch appends the on edge when the place front of a vehicle comes to the
// contact, and the off edge when its place back has left it. Places count in
// metres from the front of the vehicle backwards.
func (r *Road) touch(dst []Touch, c Contacts, contact, vehicle, axle int, front, back float64) []Touch {
	v, d := &r.vehicles[vehicle], &r.drives[vehicle]
	at, length, half := c.At[contact], kinds[v.Class].length, float64(c.Length/2)
	// Travelled when a place is at the contact: approaching, the front is the
	// reflecting end; receding, it is a length beyond.
	come, gone := -at-half+front, -at+half+back
	if d.toward > 0 {
		come, gone = at-half-length+front, at+half-length+back
	}
	on, off := d.when(come), d.when(gone)
	if y, _ := d.across((on + off) / 2); math.Abs(y-r.scenario.Radar.Lanes[c.Lane-1]) > inLane {
		return dst
	}
	key := mix(mix(r.scenario.Seed^0x6c6f6f7073) + uint64(vehicle)*golden + uint64(contact*16+axle))
	a, b := gaussians(key, 0)
	jitter := c.Jitter.Seconds()
	passing := v.Passing
	return append(dst,
		Touch{At: passing + instant(on+float64(jitter*a)), Contact: contact, On: true, Vehicle: vehicle, Axle: axle},
		Touch{At: passing + instant(off+float64(jitter*b)), Contact: contact, Vehicle: vehicle, Axle: axle})
}

// instant returns seconds as a duration, to the nearest nanosecond.
func instant(seconds float64) time.Duration { return time.Duration(math.RoundToEven(seconds * 1e9)) }
