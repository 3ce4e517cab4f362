package chain

import (
	"math"

	"ciglio/sensor/doppler/geometry"
)

// Which measurements tell of one vehicle? One place of a vehicle may have several tracks,
// and one vehicle several places. Each rule below holds for a reason of its own; two
// measurements tell of one vehicle when any of them holds.

const (
	VehicleLength = 12.0 // m
	PartTime      = 0.3  // s
	partSpeed     = 0.1  // share
	badTime       = 3.0  // s
	stubWay       = 35.0 // m
	stubSpeed     = 0.75 // share
	InsideSpeed   = 0.02 // share
)

// A rule says when two measurements tell of one vehicle.
type rule struct {
	name    string
	numbers string // where they come from
	holds   func(c *Chain, a, b *geometry.Measurement) bool
}

// sameVehicle is the table of all rules.
var sameVehicle = [...]rule{
	{
		"a piece without a speed",
		"3 s: tried on the roads of docs/accuracy.md. A piece costs a record where it is none, and one vehicle two where it is one.",
		func(c *Chain, a, b *geometry.Measurement) bool {
			return len(b.Reasons) > 0 && c.between(a, b) < badTime
		},
	},
	{
		"one stretch of one line",
		"Seven tenths of the shorter zone within 1 %, a bin at 45 km/h. In a real signal lines that meet swap pieces: a half, 2 %.",
		func(c *Chain, a, b *geometry.Measurement) bool {
			share, alike := int64(7), 0.01
			if !c.Complex {
				share, alike = 5, 0.02
			}
			shared := min(a.To, b.To) - max(a.From, b.From)
			return a.Sign == b.Sign && 10*shared > share*min(a.To-a.From, b.To-b.From) && math.Abs(a.Speed-b.Speed) < alike*a.Speed
		},
	},
	{
		"inside a longer one of its speed",
		"2 %, what places of one body differ by. Of two vehicles at one speed the second stays longer, so that neither is inside.",
		func(_ *Chain, a, b *geometry.Measurement) bool {
			return a.Sign == b.Sign && math.Abs(a.Speed-b.Speed) < InsideSpeed*a.Speed && (around(a, b) || around(b, a))
		},
	},
	{
		"two tails of one line",
		"12 m, the longest rigid vehicle (Directive 96/53/EC). Tails of two vehicles that shared the line end with each one's closest point.",
		func(c *Chain, a, b *geometry.Measurement) bool {
			return a.Root.Frame == b.Root.Frame && a.Root.F == b.Root.F &&
				(a.AtEnd != b.AtEnd || a.AtEnd && c.way(float64(a.Last-b.Last), a) < VehicleLength)
		},
	},
	{
		"a stub of what leaves",
		"18 m, a body of 16.5 m and what its closest points are unsure by; 35 m and three quarters of the speed: tried on the roads of docs/accuracy.md.",
		func(c *Chain, a, b *geometry.Measurement) bool { return c.stub(a, b) || c.stub(b, a) },
	},
	{
		"the ways to and from the sensor",
		"0.3 s: tried on the roads of docs/accuracy.md.",
		func(c *Chain, a, b *geometry.Measurement) bool {
			return partsAlike(a, b) && !oneWay(a, b) && c.between(a, b) < PartTime
		},
	},
	{
		"parts within a vehicle's length",
		"12 m, the longest rigid vehicle (Directive 96/53/EC), or 0.3 s.",
		func(c *Chain, a, b *geometry.Measurement) bool {
			return partsAlike(a, b) && oneWay(a, b) && c.between(a, b) < max(PartTime, VehicleLength/a.Speed)
		},
	},
	{
		"another place of a long body",
		"19 m, road trains have 18.75 (Directive 96/53/EC); 9 dB, the strongest place of a simulated lorry behind its near end.",
		func(c *Chain, a, b *geometry.Measurement) bool {
			return partsAlike(a, b) && oneWay(a, b) && c.way(a.Near-b.Near, a) < bodyLength && math.Abs(a.Strength-b.Strength) > bodyWeaker
		},
	},
}

// together reports whether two measurements tell of one vehicle.
func (c *Chain) together(a, b geometry.Measurement) bool {
	for i := range sameVehicle {
		if sameVehicle[i].holds(c, &a, &b) {
			return true
		}
	}
	return false
}

// between returns the seconds between two closest points.
func (c *Chain) between(a, b *geometry.Measurement) float64 {
	return math.Abs(a.Near-b.Near) * c.gauge.Hop
}

// way returns how far a vehicle goes in so many frames, in metres.
func (c *Chain) way(frames float64, w *geometry.Measurement) float64 {
	return math.Abs(frames) * c.gauge.Hop * w.Speed
}

// partsAlike reports whether two speeds may be those of parts of one vehicle. Where
// one geometry explains each of them, both are known well, and a rigid body has one.
func partsAlike(a, b *geometry.Measurement) bool {
	share := partSpeed
	if a.Fitted && b.Fitted {
		share = InsideSpeed
	}
	return math.Abs(a.Speed-b.Speed) <= share*max(a.Speed, b.Speed)
}

// oneWay reports whether two tracks have their closest points at the same end.
func oneWay(a, b *geometry.Measurement) bool { return a.Sign == b.Sign && a.AtEnd == b.AtEnd }

// stub reports whether a is a line of what leaves, b, that ended before it
// reached the plateau.
func (c *Chain) stub(a, b *geometry.Measurement) bool {
	return !a.AtEnd && !b.AtEnd && a.Sign == b.Sign && a.Last < b.Last && a.Speed < b.Speed && a.Speed > stubSpeed*b.Speed &&
		c.way(a.Near-b.Near, a) < behindWay && c.way(float64(a.Last)-a.Near, a) < stubWay
}

// around reports whether w began before v and ended after it.
func around(w, v *geometry.Measurement) bool {
	return w.First < v.First && w.Last > v.Last
}
