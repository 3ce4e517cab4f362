package simulate

import (
	"math"
	"testing"
	"time"

	"ciglio/sensor"
)

// TestPhaseIsExactEnough compares the phase of the signal with the distance at
// every sample, at speeds near half the sampling rate.
func TestPhaseIsExactEnough(t *testing.T) {
	tests := []struct {
		name    string
		carrier int64
		rate    int
		speed   sensor.Speed
		lane    float64
		within  float64 // radians
	}{
		{"usual radar, usual speed", 24_125_000_000, 20_000, 7000, 3, 5e-6},
		{"usual radar, fastest that it shows", 24_125_000_000, 20_000, 19500, 3, 1e-4},
		{"fast road", 24_125_000_000, 50_000, 35000, 3, 4e-5},
		{"lane beside the radar", 24_125_000_000, 20_000, 19500, 1.5, 3e-4},
		{"long waves, few samples", 10_525_000_000, 8000, 17500, 3, 5e-4},
		{"very fast sampling", 24_125_000_000, 200_000, 40000, 3, 1e-6},
	}
	for _, test := range tests {
		v := Vehicle{Speed: test.speed, Direction: sensor.Approaching, Lane: 1, Passing: time.Second}
		r := mustRoad(t, Scenario{Duration: 2 * time.Second, Vehicles: []Vehicle{v}, Ideal: true,
			Radar: Radar{Carrier: test.carrier, Rate: test.rate, Lanes: []float64{test.lane}, Gain: 20}})
		g := newGenerator(r)
		var e echo
		e.begin(r, 0)
		worst := 0.0
		for g.next = uint64(test.rate/4) / chunk * chunk; g.next < uint64(test.rate)*5/4; g.next += chunk {
			clear(g.i[:])
			clear(g.q[:])
			e.add(g, float64(g.next)/g.rate)
			for n := range chunk {
				x := v.Speed.MPS() * (float64(g.next+uint64(n))/g.rate - 1)
				turns := g.turnsPerMetre * math.Sqrt(x*x+test.lane*test.lane+1.2*1.2)
				s, c := math.Sincos(2 * math.Pi * (turns - math.Floor(turns)))
				// The signal times the conjugate of exp(−jφ).
				re, im := g.i[n]*c-g.q[n]*s, g.i[n]*s+g.q[n]*c
				if re != 0 || im != 0 {
					worst = max(worst, math.Abs(math.Atan2(im, re)))
				}
			}
		}
		t.Logf("%s: %.2g rad", test.name, worst)
		if worst > test.within || worst == 0 {
			t.Errorf("%s: the phase is off by %.2g rad, allowed %.2g", test.name, worst, test.within)
		}
	}
}
