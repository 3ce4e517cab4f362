package doppler_test

import (
	"math"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// TestLongVehiclesAreMeasuredWhereTheirAngleIsSmall drives lorries and buses, whose
// closest point is that of their last reflecting place, past the sensor. No speed
// may be lost to the angle under which the rest of them was seen.
func TestLongVehiclesAreMeasuredWhereTheirAngleIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	s, err := simulate.ReadScenario("long-vehicles")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for seed := range uint64(12) {
		s.Seed = seed
		road, err := simulate.NewRoad(s)
		if err != nil {
			t.Fatal(err)
		}
		source, err := doppler.NewSource(road.Unpaced(0), doppler.Options{Simulated: true})
		if err != nil {
			t.Fatal(err)
		}
		for p, err := source.Next(t.Context()); err == nil; p, err = source.Next(t.Context()) {
			if !p.Valid() || p.Targets > 0 {
				continue
			}
			off := math.Inf(1)
			for _, v := range road.Truth() {
				if p.Direction == v.Direction && p.End >= sensor.Mono(v.Enter) && p.Start <= sensor.Mono(v.Leave) {
					off = float64(p.Speed-v.Speed) / float64(v.Speed)
				}
			}
			if math.Abs(off) > 0.013 {
				t.Errorf("seed %d: %v %v from %.2f to %.2f s, %.1f %% off", seed, p.Speed, p.Direction, p.Start.Seconds(), p.End.Seconds(), 100*off)
			}
			found++
		}
	}
	if found < 24 {
		t.Errorf("%d speeds of 48 vehicles", found)
	}
}

// TestLorryWhoseLineLeavesOnePlaceForAnother drives lone lorries whose track goes
// from their rear to their front before it is measured, so that their path looks
// nearer than it is. The angle that goes on to matter is waited out.
func TestLorryWhoseLineLeavesOnePlaceForAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range []struct {
		speed     sensor.Speed
		direction sensor.Direction
		radar     simulate.Radar
		seed      uint64
	}{
		{96_23, sensor.Approaching, simulate.Radar{}, 5003},
		{96_23, sensor.Approaching, simulate.Radar{Real: true}, 5003},
		{108_19, sensor.Receding, simulate.Radar{Real: true}, 5011},
	} {
		told := 0
		for n := range uint64(4) {
			s := simulate.Scenario{Seed: c.seed + n, Radar: c.radar, Duration: 18 * time.Second, Vehicles: []simulate.Vehicle{
				{Class: simulate.Lorry, Speed: c.speed, Direction: c.direction, Lane: 2, Passing: 7860 * time.Millisecond},
			}}
			for _, p := range passagesOf(t, s) {
				if !p.Valid() || p.Targets > 0 {
					continue
				}
				told++
				if off := math.Abs(float64(p.Speed-c.speed)) / float64(c.speed); off > 0.01 {
					t.Errorf("seed %d: %.2f %% off: %s", s.Seed, 100*off, say(p))
				}
			}
		}
		if told < 3 {
			t.Errorf("%v, one channel %t: %d speeds of 4 lorries", c.speed, c.radar.Real, told)
		}
	}
}
