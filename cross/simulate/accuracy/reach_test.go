package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

func TestLeastUncertainty(t *testing.T) {
	of := func(radar simulate.Radar, v simulate.Vehicle) float64 {
		v.Direction, v.Lane, v.Passing = sensor.Approaching, 1, 20*time.Second
		road := newRoad(simulate.Scenario{Duration: 40 * time.Second, Radar: radar, Vehicles: []simulate.Vehicle{v}})
		truth := road.Truth()
		return leastUncertainty(road, 0, &truth[0])
	}
	car := simulate.Vehicle{Speed: 50 * sensor.KmH}
	one, both := of(simulate.Radar{Real: true}, car), of(simulate.Radar{}, car)
	if math.Abs(one/both-math.Sqrt2) > 1e-6 {
		t.Errorf("one channel %g, both %g: want √2 times", one, both)
	}
	for _, c := range []struct {
		name         string
		worse, radar simulate.Radar
		slower       simulate.Vehicle
	}{
		{"a motorcycle at 300 km/h, which is gone soon", simulate.Radar{}, simulate.Radar{}, simulate.Vehicle{Class: simulate.Motorcycle, Speed: 300 * sensor.KmH}},
		{"12 dB more noise", simulate.Radar{Noise: 12}, simulate.Radar{}, car},
		{"a narrow beam, which shows no closest point", simulate.Radar{Beamwidth: 12}, simulate.Radar{}, car},
		{"samples that cannot show the speed", simulate.Radar{Rate: 8000}, simulate.Radar{}, simulate.Vehicle{Speed: 120 * sensor.KmH}},
	} {
		if worse, better := of(c.worse, c.slower), of(c.radar, car); !(worse > better) || !(better > 0) {
			t.Errorf("%s: %g, want more than %g", c.name, worse, better)
		}
	}
}

// TestInverse inverts matrices of information: sums of squares.
func TestInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var m [4][4]float64
		for range 8 {
			var v [4]float64
			for k := range v {
				v[k] = rng.NormFloat64()
			}
			for j := range v {
				for k := range v {
					m[j][k] += v[j] * v[k]
				}
			}
		}
		inv, ok := inverse(m)
		for j := range m {
			for k := range m {
				sum := 0.0
				for i := range m {
					sum += m[j][i] * inv[i][k]
				}
				if want := map[bool]float64{true: 1}[j == k]; !ok || math.Abs(sum-want) > 1e-6 {
					t.Fatalf("%t: element %d, %d of the product is %g", ok, j, k, sum)
				}
			}
		}
	}
	if _, ok := inverse([4][4]float64{}); ok {
		t.Error("nothing has an inverse")
	}
}
