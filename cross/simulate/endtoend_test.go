package simulate_test

import (
	"errors"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// passages runs the Doppler chain over a road.
func passages(t *testing.T, road *simulate.Road) []sensor.Passage {
	t.Helper()
	source, err := doppler.NewSource(road.Unpaced(0), doppler.Options{Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Passage
	for {
		p, err := source.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestTrafficIsMeasured follows the demonstration's road: each lone vehicle
// gives one valid passage with its speed and direction, and no other valid
// passage without other targets comes of it. CIGLIO_SEEDS=n follows n roads
// instead of three.
func TestTrafficIsMeasured(t *testing.T) {
	const limit, duration, tolerance = 70 * sensor.KmH, time.Minute, sensor.KmH / 2
	seeds := 3
	if n, err := strconv.Atoi(os.Getenv("CIGLIO_SEEDS")); err == nil {
		seeds = n
	}
	for seed := 1; seed <= seeds; seed++ {
		road, err := simulate.NewRoad(simulate.Traffic(uint64(seed), limit, duration))
		if err != nil {
			t.Fatal(err)
		}
		all := passages(t, road)
		taken := make([]bool, len(all))
		for _, v := range road.Truth() {
			if !v.Alone {
				continue
			}
			found := 0
			for i, p := range all {
				off := p.Speed - v.Speed
				if !taken[i] && p.Valid() && p.Targets == 0 && p.Direction == v.Direction && off <= tolerance && off >= -tolerance &&
					p.End > sensor.Mono(v.Enter) && p.Start < sensor.Mono(v.Leave) {
					taken[i] = true
					found++
				}
			}
			if found != 1 {
				t.Errorf("seed %d: %v, %v, %v in the beam from %.2f to %.2f s: %d passages, want 1",
					seed, v.Class, v.Speed, v.Direction, v.Enter.Seconds(), v.Leave.Seconds(), found)
			}
		}
		for i, p := range all {
			if !taken[i] && p.Valid() && p.Targets == 0 {
				t.Errorf("seed %d: passage of no lone vehicle: %v, %v, from %.2f to %.2f s", seed, p.Speed, p.Direction, p.Start.Seconds(), p.End.Seconds())
			}
		}
	}
}
