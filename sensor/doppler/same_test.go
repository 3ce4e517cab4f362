package doppler

import (
	"testing"

	"ciglio/sensor"
)

// TestEachRuleOfOneVehicle gives each rule the case of its name, in which it alone
// holds, and one beside it, in which none does. Frames are 12.5 ms, speeds 20 m/s,
// so that 40 frames are 10 m.
func TestEachRuleOfOneVehicle(t *testing.T) {
	c := &chain{complex: true, gauge: newGauge(0.0125, 0.1, 1, 0, true)}
	cases := map[string]struct{ same, apart func(a, b *verdict) }{
		"a piece without a speed": {
			func(_, b *verdict) { b.near, b.reasons = 1200, []sensor.Reason{sensor.ReasonTooFewReadings} },
			func(_, b *verdict) { b.near, b.reasons = 1260, []sensor.Reason{sensor.ReasonTooFewReadings} },
		},
		"one stretch of one line": {
			func(_, b *verdict) { b.from, b.to, b.speed = 710, 890, 20.1 },
			func(_, b *verdict) { b.from, b.to, b.speed = 710, 890, 20.5 },
		},
		"inside a longer one of its speed": {
			func(_, b *verdict) { b.first, b.last, b.from, b.to, b.speed = 100, 900, 100, 300, 20.3 },
			func(_, b *verdict) { b.first, b.last, b.from, b.to, b.speed = 100, 1100, 100, 300, 20.3 },
		},
		"two tails of one line": {
			func(a, b *verdict) { b.root, b.last = a.root, 1040 },
			func(a, b *verdict) { b.root, b.last = a.root, 1060 },
		},
		"a stub of what leaves": {
			func(a, b *verdict) { a.atEnd, b.atEnd, a.speed, a.last, b.near = false, false, 16, 1100, 1050 },
			func(a, b *verdict) { a.atEnd, b.atEnd, a.speed, a.last, b.near = false, false, 16, 1200, 1050 },
		},
		"the ways to and from the sensor": {
			func(_, b *verdict) { b.atEnd, b.near = false, 1010 },
			func(_, b *verdict) { b.atEnd, b.near = false, 1030 },
		},
		"parts within a vehicle's length": {
			func(_, b *verdict) { b.near = 1040 },
			func(_, b *verdict) { b.near, b.speed = 1040, 17 },
		},
		"another place of a long body": {
			func(_, b *verdict) { b.near, b.strength = 1060, -12 },
			func(_, b *verdict) { b.near, b.strength = 1060, -8 },
		},
	}
	for _, r := range sameVehicle {
		x, ok := cases[r.name]
		if !ok || r.numbers == "" {
			t.Errorf("%s: a case %t, numbers from %q", r.name, ok, r.numbers)
			continue
		}
		for _, same := range []bool{true, false} {
			a := verdict{first: 0, last: 1000, near: 1000, atEnd: true, sign: 1, speed: 20, from: 700, to: 900, root: reading{frame: 0, f: 100}}
			b := verdict{first: 2000, last: 3000, near: 3000, atEnd: true, sign: 1, speed: 20, from: 2700, to: 2900, root: reading{frame: 2000, f: 100}}
			if same {
				x.same(&a, &b)
			} else {
				x.apart(&a, &b)
			}
			for _, other := range sameVehicle {
				if got, want := other.holds(c, &a, &b), same && other.name == r.name; got != want {
					t.Errorf("%s, one vehicle %t: %q holds: %t", r.name, same, other.name, got)
				}
			}
			if c.together(a, b) != same {
				t.Errorf("%s: one vehicle: %t, want %t", r.name, !same, same)
			}
		}
	}
	if len(cases) != len(sameVehicle) {
		t.Errorf("%d cases of %d rules", len(cases), len(sameVehicle))
	}
}

// TestD09_TwoKnownSpeedsAreTwoVehicles gives two verdicts 9 m apart whose speeds
// differ by 7 %, as parts of one vehicle may where the angle is not known. Where one
// geometry explains each, both speeds are known, and they are two vehicles.
func TestD09_TwoKnownSpeedsAreTwoVehicles(t *testing.T) {
	c := &chain{complex: true, gauge: newGauge(0.0125, 0.1, 1, 0, true)}
	for _, fitted := range []bool{false, true} {
		a := verdict{last: 1000, near: 1000, atEnd: true, sign: 1, speed: 20, from: 700, to: 900, fitted: fitted}
		b := verdict{first: 10, last: 1010, near: 1036, atEnd: true, sign: 1, speed: 21.4, from: 710, to: 910, fitted: fitted, root: reading{frame: 10}}
		if got := c.together(a, b); got == fitted {
			t.Errorf("both geometries known %t: one vehicle: %t", fitted, got)
		}
	}
}
