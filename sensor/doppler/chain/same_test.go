package chain

import (
	"testing"

	"ciglio/sensor"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
)

// TestEachRuleOfOneVehicle gives each rule the case of its name, in which it alone
// holds, and one beside it, in which none does. Frames are 12.5 ms, speeds 20 m/s,
// so that 40 frames are 10 m.
func TestEachRuleOfOneVehicle(t *testing.T) {
	c := &Chain{Complex: true, gauge: geometry.NewGauge(0.0125, 0.1, 1, 0, true)}
	cases := map[string]struct {
		same, apart func(a, b *geometry.Measurement)
	}{
		"a piece without a speed": {
			func(_, b *geometry.Measurement) {
				b.Near, b.Reasons = 1200, []sensor.Reason{sensor.ReasonTooFewReadings}
			},
			func(_, b *geometry.Measurement) {
				b.Near, b.Reasons = 1260, []sensor.Reason{sensor.ReasonTooFewReadings}
			},
		},
		"one stretch of one line": {
			func(_, b *geometry.Measurement) { b.From, b.To, b.Speed = 710, 890, 20.1 },
			func(_, b *geometry.Measurement) { b.From, b.To, b.Speed = 710, 890, 20.5 },
		},
		"inside a longer one of its speed": {
			func(_, b *geometry.Measurement) { b.First, b.Last, b.From, b.To, b.Speed = 100, 900, 100, 300, 20.3 },
			func(_, b *geometry.Measurement) { b.First, b.Last, b.From, b.To, b.Speed = 100, 1100, 100, 300, 20.3 },
		},
		"two tails of one line": {
			func(a, b *geometry.Measurement) { b.Root, b.Last = a.Root, 1040 },
			func(a, b *geometry.Measurement) { b.Root, b.Last = a.Root, 1060 },
		},
		"a stub of what leaves": {
			func(a, b *geometry.Measurement) {
				a.AtEnd, b.AtEnd, a.Speed, a.Last, b.Near = false, false, 16, 1100, 1050
			},
			func(a, b *geometry.Measurement) {
				a.AtEnd, b.AtEnd, a.Speed, a.Last, b.Near = false, false, 16, 1200, 1050
			},
		},
		"the ways to and from the sensor": {
			func(_, b *geometry.Measurement) { b.AtEnd, b.Near = false, 1010 },
			func(_, b *geometry.Measurement) { b.AtEnd, b.Near = false, 1030 },
		},
		"parts within a vehicle's length": {
			func(_, b *geometry.Measurement) { b.Near = 1040 },
			func(_, b *geometry.Measurement) { b.Near, b.Speed = 1040, 17 },
		},
		"another place of a long body": {
			func(_, b *geometry.Measurement) { b.Near, b.Strength = 1060, -12 },
			func(_, b *geometry.Measurement) { b.Near, b.Strength = 1060, -8 },
		},
	}
	for _, r := range sameVehicle {
		x, ok := cases[r.name]
		if !ok || r.numbers == "" {
			t.Errorf("%s: a case %t, numbers from %q", r.name, ok, r.numbers)
			continue
		}
		for _, same := range []bool{true, false} {
			a := geometry.Measurement{First: 0, Last: 1000, Near: 1000, AtEnd: true, Sign: 1, Speed: 20, From: 700, To: 900, Root: lines.Reading{Frame: 0, F: 100}}
			b := geometry.Measurement{First: 2000, Last: 3000, Near: 3000, AtEnd: true, Sign: 1, Speed: 20, From: 2700, To: 2900, Root: lines.Reading{Frame: 2000, F: 100}}
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

// TestD09_TwoKnownSpeedsAreTwoVehicles gives two measurements 9 m apart whose speeds
// differ by 7 %, as parts of one vehicle may where the angle is not known. Where one
// geometry explains each, both speeds are known, and they are two vehicles.
func TestD09_TwoKnownSpeedsAreTwoVehicles(t *testing.T) {
	c := &Chain{Complex: true, gauge: geometry.NewGauge(0.0125, 0.1, 1, 0, true)}
	for _, fitted := range []bool{false, true} {
		a := geometry.Measurement{Last: 1000, Near: 1000, AtEnd: true, Sign: 1, Speed: 20, From: 700, To: 900, Fitted: fitted}
		b := geometry.Measurement{First: 10, Last: 1010, Near: 1036, AtEnd: true, Sign: 1, Speed: 21.4, From: 710, To: 910, Fitted: fitted, Root: lines.Reading{Frame: 10}}
		if got := c.together(a, b); got == fitted {
			t.Errorf("both geometries known %t: one vehicle: %t", fitted, got)
		}
	}
}

// TestKnownGeometryLendsItsSpeed gives two tails of one vehicle's line, of which the
// earlier one's geometry is known. Its speed is told, over all of the line, and whoever
// either of them saw in the beam counts.
func TestKnownGeometryLendsItsSpeed(t *testing.T) {
	for _, known := range []bool{true, false} {
		c := New(UsualPace, 20_000, true, 1024, sensor.SpeedOfLight/(2*24.125e9), 0, false)
		root := lines.Reading{F: 100}
		h := geometry.Measurement{Last: 1000, Near: 1000, AtEnd: true, Sign: 1, Speed: 20, From: 700, To: 900, Fitted: known, Root: root}
		v := geometry.Measurement{Last: 1040, Near: 1040, AtEnd: true, Sign: 1, Speed: 19.7, From: 740, To: 940, Root: root}
		c.held = []Vehicle{{last: 1000, judged: true, Measured: h, Targets: 1}}
		c.give(Vehicle{last: 1040, judged: true, Measured: v})
		c.held = nil
		c.leave(true)
		want, targets := 19.7, 0
		if known {
			want, targets = 20, 1
		}
		if len(c.Out) != 1 || c.Out[0].Measured.Speed != want || c.Out[0].Measured.Last != 1040 || c.Out[0].Targets != targets {
			t.Errorf("geometry known %t: %+v, want %g m/s and %d other targets", known, c.Out, want, targets)
		}
	}
}
