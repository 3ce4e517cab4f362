package doppler_test

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// TestSimulatedTraffic drives the simulated road, with its noise, fading,
// wheels, tones and images, through the chain.
func TestSimulatedTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, seed := range []uint64{1, 2} {
		road, err := simulate.NewRoad(simulate.Traffic(seed, 70*sensor.KmH, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		source, err := doppler.NewSource(road.Unpaced(1_000_000_000), doppler.Options{Simulated: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []sensor.Passage
		for {
			p, err := source.Next(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p)
		}
		truth := road.Truth()
		if len(got) != len(truth) {
			t.Errorf("seed %d: %d passages of %d vehicles", seed, len(got), len(truth))
		}
		for _, v := range truth {
			found := 0
			for _, p := range got {
				near := p.End
				if v.Direction == sensor.Receding {
					near = p.Start
				}
				at := time.Duration(near) - time.Second - v.Passing
				if p.Direction != v.Direction || at.Abs() > time.Second || math.Abs(float64(p.Speed-v.Speed)) > 500 {
					continue
				}
				found++
				if !p.Valid() || math.Abs(float64(p.Speed-v.Speed)) > 20 {
					t.Errorf("seed %d: %v: %v, u %v, %v", seed, v.Speed, p.Speed, p.Budget.Total(), p.Reasons)
				}
				if v.Alone && p.Targets != 0 || v.Overlap > time.Second && p.Targets == 0 {
					t.Errorf("seed %d: %v, alone %t, overlap %v: %d other targets", seed, v.Speed, v.Alone, v.Overlap, p.Targets)
				}
			}
			if found != 1 {
				t.Errorf("seed %d: %v %v at %v found %d times", seed, v.Speed, v.Direction, v.Passing, found)
			}
		}
	}
}
