package doppler

import "math"

// Which verdicts tell of one vehicle? One place of a vehicle may have several tracks,
// and one vehicle several places. Each rule below holds for a reason of its own; two
// verdicts tell of one vehicle when any of them holds.

const (
	vehicleLength = 12.0 // m
	partTime      = 0.3  // s
	partSpeed     = 0.1  // share
	badTime       = 3.0  // s
	stubWay       = 35.0 // m
	stubSpeed     = 0.75 // share
	insideSpeed   = 0.02 // share
)

// A rule says when two verdicts tell of one vehicle.
type rule struct {
	name    string
	numbers string // where they come from
	holds   func(c *chain, a, b *verdict) bool
}

// sameVehicle is the table of all rules.
var sameVehicle = [...]rule{
	{
		"a piece without a speed",
		"3 s: tried on the roads of docs/accuracy.md. A piece costs a record where it is none, and one vehicle two where it is one.",
		func(c *chain, a, b *verdict) bool { return len(b.reasons) > 0 && c.between(a, b) < badTime },
	},
	{
		"one stretch of one line",
		"Seven tenths of the shorter zone within 1 %, a bin at 45 km/h. In a real signal lines that meet swap pieces: a half, 2 %.",
		func(c *chain, a, b *verdict) bool {
			share, alike := int64(7), 0.01
			if !c.complex {
				share, alike = 5, 0.02
			}
			shared := min(a.to, b.to) - max(a.from, b.from)
			return a.sign == b.sign && 10*shared > share*min(a.to-a.from, b.to-b.from) && math.Abs(a.speed-b.speed) < alike*a.speed
		},
	},
	{
		"inside a longer one of its speed",
		"2 %, what places of one body differ by. Of two vehicles at one speed the second stays longer, so that neither is inside.",
		func(_ *chain, a, b *verdict) bool {
			return a.sign == b.sign && math.Abs(a.speed-b.speed) < insideSpeed*a.speed && (a.around(b) || b.around(a))
		},
	},
	{
		"two tails of one line",
		"12 m, the longest rigid vehicle (Directive 96/53/EC). Tails of two vehicles that shared the line end with each one's closest point.",
		func(c *chain, a, b *verdict) bool {
			return a.root.frame == b.root.frame && a.root.f == b.root.f &&
				(a.atEnd != b.atEnd || a.atEnd && c.way(float64(a.last-b.last), a) < vehicleLength)
		},
	},
	{
		"a stub of what leaves",
		"18 m, a body of 16.5 m and what its closest points are unsure by; 35 m and three quarters of the speed: tried on the roads of docs/accuracy.md.",
		func(c *chain, a, b *verdict) bool { return c.stub(a, b) || c.stub(b, a) },
	},
	{
		"the ways to and from the sensor",
		"0.3 s: tried on the roads of docs/accuracy.md.",
		func(c *chain, a, b *verdict) bool {
			return partsAlike(a, b) && !oneWay(a, b) && c.between(a, b) < partTime
		},
	},
	{
		"parts within a vehicle's length",
		"12 m, the longest rigid vehicle (Directive 96/53/EC), or 0.3 s.",
		func(c *chain, a, b *verdict) bool {
			return partsAlike(a, b) && oneWay(a, b) && c.between(a, b) < max(partTime, vehicleLength/a.speed)
		},
	},
	{
		"another place of a long body",
		"19 m, road trains have 18.75 (Directive 96/53/EC); 9 dB, the strongest place of a simulated lorry behind its near end.",
		func(c *chain, a, b *verdict) bool {
			return partsAlike(a, b) && oneWay(a, b) && c.way(a.near-b.near, a) < bodyLength && math.Abs(a.strength-b.strength) > bodyWeaker
		},
	},
}

// together reports whether two verdicts tell of one vehicle.
func (c *chain) together(a, b verdict) bool {
	for i := range sameVehicle {
		if sameVehicle[i].holds(c, &a, &b) {
			return true
		}
	}
	return false
}

// between returns the seconds between two closest points.
func (c *chain) between(a, b *verdict) float64 { return math.Abs(a.near-b.near) * c.gauge.hop }

// way returns how far a vehicle goes in so many frames, in metres.
func (c *chain) way(frames float64, w *verdict) float64 {
	return math.Abs(frames) * c.gauge.hop * w.speed
}

// partsAlike reports whether two speeds may be those of parts of one vehicle. Where
// one geometry explains each of them, both are known well, and a rigid body has one.
func partsAlike(a, b *verdict) bool {
	share := partSpeed
	if a.fitted && b.fitted {
		share = insideSpeed
	}
	return math.Abs(a.speed-b.speed) <= share*max(a.speed, b.speed)
}

// oneWay reports whether two tracks have their closest points at the same end.
func oneWay(a, b *verdict) bool { return a.sign == b.sign && a.atEnd == b.atEnd }

// stub reports whether a is a line of what leaves, b, that ended before it
// reached the plateau.
func (c *chain) stub(a, b *verdict) bool {
	return !a.atEnd && !b.atEnd && a.sign == b.sign && a.last < b.last && a.speed < b.speed && a.speed > stubSpeed*b.speed &&
		c.way(a.near-b.near, a) < behindWay && c.way(float64(a.last)-a.near, a) < stubWay
}

// around reports whether w began before v and ended after it.
func (w *verdict) around(v *verdict) bool { return w.first < v.first && w.last > v.last }
