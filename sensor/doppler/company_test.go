package doppler_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// passagesOf drives a road through the chain.
func passagesOf(t *testing.T, s simulate.Scenario) []sensor.Passage {
	t.Helper()
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	source, err := doppler.NewSource(road.Unpaced(0), doppler.Options{Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Passage
	for {
		p, err := source.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestCompanyThatIsNoTrack lets a vehicle pass beside one that no track shows,
// and then without it. Each row is a road on which nothing else told of the
// other.
func TestCompanyThatIsNoTrack(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	const near, far = 1, 2
	vehicle := func(class simulate.Class, kmh sensor.Speed, d sensor.Direction, lane int, passing time.Duration) simulate.Vehicle {
		return simulate.Vehicle{Class: class, Speed: kmh, Direction: d, Lane: lane, Passing: passing}
	}
	for _, c := range []struct {
		why           string
		seeds         []uint64
		radar         simulate.Radar
		vehicle, with simulate.Vehicle
	}{
		{
			"a motorcycle beside a lorry", []uint64{1, 3, 4}, simulate.Radar{},
			vehicle(simulate.Lorry, 80_00, sensor.Approaching, near, 9*time.Second),
			vehicle(simulate.Motorcycle, 96_00, sensor.Approaching, far, 9100*time.Millisecond),
		},
		{
			"one comes while one goes, without Q", []uint64{1, 3, 4, 6, 7}, simulate.Radar{Real: true},
			vehicle(simulate.Car, 119_58, sensor.Receding, far, 9*time.Second),
			vehicle(simulate.Car, 73_40, sensor.Approaching, near, 12590*time.Millisecond),
		},
		{
			"one of the same speed follows, 31 m behind, both go", []uint64{1, 2, 3, 4}, simulate.Radar{},
			vehicle(simulate.Van, 93_31, sensor.Receding, near, 9*time.Second),
			vehicle(simulate.Car, 93_40, sensor.Receding, near, 10210*time.Millisecond),
		},
		{
			"one of the same speed is 38 m behind, both come", []uint64{1, 2, 3, 4}, simulate.Radar{},
			vehicle(simulate.Car, 67_55, sensor.Approaching, near, 9*time.Second),
			vehicle(simulate.Car, 67_98, sensor.Approaching, near, 11040*time.Millisecond),
		},
	} {
		t.Run(c.why, func(t *testing.T) {
			at := sensor.Mono(c.vehicle.Passing)
			for _, seed := range c.seeds {
				s := simulate.Scenario{Seed: seed, Duration: 18 * time.Second, Radar: c.radar, Vehicles: []simulate.Vehicle{c.vehicle}}
				alone := 0
				for _, p := range passagesOf(t, s) {
					if p.Valid() && p.Targets == 0 {
						alone++
					}
				}
				if alone != 1 {
					t.Errorf("seed %d: %d valid passages of the vehicle when it is alone", s.Seed, alone)
				}
				s.Vehicles = append(s.Vehicles, c.with)
				for _, p := range passagesOf(t, s) {
					if p.Valid() && p.Targets == 0 && p.Start < at && p.End > at-sensor.Mono(time.Second) {
						t.Errorf("seed %d: taken for alone: %v %v from %.2f to %.2f s", s.Seed, p.Speed, p.Direction, p.Start.Seconds(), p.End.Seconds())
					}
					if p.Valid() && p.Targets == 0 && p.Start > at-sensor.Mono(time.Second) && p.Start < at+sensor.Mono(time.Second) {
						t.Errorf("seed %d: taken for alone: %v %v from %.2f to %.2f s", s.Seed, p.Speed, p.Direction, p.Start.Seconds(), p.End.Seconds())
					}
				}
			}
		})
	}
}

// TestTonesAreNoCompany lets lone vehicles pass among constant lines that began
// with the recording, so that the background does not know them yet.
func TestTonesAreNoCompany(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, hz := range []float64{1480, 4797, -6200, 9300} {
		s := simulate.Scenario{
			Seed: 3, Duration: 18 * time.Second,
			Radar:    simulate.Radar{Tones: []simulate.Tone{{Hz: hz, Level: -52}}},
			Vehicles: []simulate.Vehicle{{Speed: 70_00, Direction: sensor.Approaching, Lane: 1, Passing: 8 * time.Second}},
		}
		all := passagesOf(t, s)
		if len(all) != 1 || !all[0].Valid() || all[0].Targets != 0 {
			t.Errorf("a tone of %g Hz: %v", hz, all)
		}
	}
}
