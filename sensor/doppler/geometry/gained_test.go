package geometry

import (
	"math"
	"testing"
)

// TestWhatGainedSpeedIsNoLongBody lets the speed in a zone of 30 m that begins 40 m from
// the closest point, 6 m aside, change by shares of the most that the angle of a body
// 16 m nearer allows, and asks the same where such a body would be beside the sensor.
func TestWhatGainedSpeedIsNoLongBody(t *testing.T) {
	const speed, offset, hop = 20.0, 6.0, 0.0128
	angle := 54/math.Hypot(54, offset) - 24/math.Hypot(24, offset)
	for _, c := range []struct {
		why    string
		near   float64 // m from the closest point to the zone
		change float64 // share of the speed, from the near end of the zone to the far one
		want   bool
	}{
		{"steady", 40, 0, false},
		{"the angle of a long body", 40, angle, false},
		{"a little less than counts", 40, 1.49 * angle, false},
		{"a little more", 40, 1.51 * angle, true},
		{"a tenth, beside the front of a long body", 15, 0.1, false},
	} {
		g := NewGauge(hop, 0.12, 1, 0, true)
		g.x = append(g.x, 0)
		w := Measurement{Speed: speed, From: 1000, To: 1000 + int64(math.Round(30/speed/hop)), Change: c.change * speed / math.Sqrt(12)}
		p := geometry{x0: c.near / speed, tau: offset / speed, top: speed}
		if got := g.gained(0, p, &w); got != c.want {
			t.Errorf("%s: gained %t, want %t", c.why, got, c.want)
		}
	}
}
