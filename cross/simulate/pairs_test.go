package simulate_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// TestOneOfAPairIsNeverTakenForAlone lets vehicles pass in pairs, closely behind
// or against each other, and accepts no valid passage without other targets: it
// could accuse the wrong one.
func TestOneOfAPairIsNeverTakenForAlone(t *testing.T) {
	const pairs, apart = 40, 9 * time.Second
	random := rand.New(rand.NewPCG(3, 14))
	s := simulate.Scenario{Seed: 5, Duration: (pairs + 1) * apart}
	for i := range pairs {
		first := simulate.Vehicle{
			Speed: sensor.Speed(5000 + random.IntN(8000)), Direction: sensor.Approaching, Lane: 1,
			Class: simulate.Class(random.IntN(3)), Passing: time.Duration(i+1) * apart,
		}
		second := first
		second.Class = simulate.Class(random.IntN(3))
		if random.IntN(3) == 0 {
			second.Direction, second.Lane = sensor.Receding, 2
			second.Passing += time.Duration(random.IntN(1000)-1500) * time.Millisecond
		} else {
			second.Passing += time.Duration(float64(random.IntN(900))*1e6 + 20/first.Speed.MPS()*1e9)
		}
		second.Speed += sensor.Speed(random.IntN(1600) - 300)
		s.Vehicles = append(s.Vehicles, first, second)
	}
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	all, wrong := passages(t, road), 0
	for _, v := range road.Truth() {
		const seen = 800 * time.Millisecond // less is little to go by
		if v.Alone || v.Overlap < seen {
			continue
		}
		for _, p := range all {
			if p.Valid() && p.Targets == 0 && p.Direction == v.Direction && (p.Speed-v.Speed).MPS() < 0.5 && (v.Speed-p.Speed).MPS() < 0.5 &&
				p.End > sensor.Mono(v.Enter) && p.Start < sensor.Mono(v.Leave) {
				wrong++
				t.Errorf("%v, %v, lane %d, in the beam from %.2f to %.2f s, %.2f s of them with another: taken for alone",
					v.Class, v.Speed, v.Lane, v.Enter.Seconds(), v.Leave.Seconds(), v.Overlap.Seconds())
			}
		}
	}
	t.Logf("%d passages of %d vehicles, %d wrongly alone", len(all), len(s.Vehicles), wrong)
}
