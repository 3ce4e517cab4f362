package ops243

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/track"
)

// passages drives simulated traffic past an emulated sensor, and returns what the
// whole chain makes of it.
func passages(t *testing.T, x *emulator.OPS243, o Options, vehicles []simulate.Vehicle, until time.Duration) (all []sensor.Passage) {
	t.Helper()
	road, err := simulate.NewRoad(simulate.Scenario{Seed: 1, Duration: until, Vehicles: vehicles, Ideal: true})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- x.Serve(t.Context(), there) }()
		synctest.Wait()
		s, err := track.NewSource(func(ctx context.Context) (sensor.Feed, error) {
			r, err := Open(ctx, here, simulate.NewClock(0), o)
			if err != nil {
				return nil, err
			}
			for feed := road.Cycles(simulate.CycleOptions{Every: 60 * time.Millisecond, NoRange: true, NoAngle: true}); ; {
				c, err := feed.Next(ctx)
				if err != nil {
					return r, nil
				}
				for i := range c.Readings {
					c.Readings[i].Level = 400
				}
				x.Report(c)
			}
		}, track.Options{Step: 50})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), until+10*time.Second)
		defer cancel()
		for {
			p, err := s.Next(ctx)
			if err != nil {
				break
			}
			all = append(all, p)
		}
		here.Close()
		<-served
	})
	return all
}

func TestPassages(t *testing.T) {
	vehicles := []simulate.Vehicle{
		{Speed: 5000, Direction: sensor.Approaching, Lane: 1, Passing: 15 * time.Second},
		{Speed: 13000, Direction: sensor.Approaching, Lane: 1, Passing: 30 * time.Second},
		{Speed: 9000, Direction: sensor.Receding, Lane: 2, Passing: 40 * time.Second},
	}
	for _, mode := range []Mode{JSON, CSV, Raw} {
		t.Run(mode.String(), func(t *testing.T) {
			got := passages(t, &emulator.OPS243{}, Options{Mode: mode, USB: true}, vehicles, 55*time.Second)
			if len(got) != len(vehicles) {
				t.Fatalf("%d passages, want %d: %+v", len(got), len(vehicles), got)
			}
			for n, p := range got {
				want := vehicles[n]
				if p.Direction != want.Direction || !p.Valid() || p.Speed > want.Speed || p.Speed < want.Speed-want.Speed/50 {
					t.Errorf("%v, %v, %v; want %v %v, at most 2 %% less", p.Speed, p.Direction, p.Reasons, want.Speed, want.Direction)
				}
			}
		})
	}
}

// The sensor cannot say which of two vehicles in a picture it measured. It says
// that there were two, and that it does not tell them apart.
func TestTwoVehiclesAtOnceAreCounted(t *testing.T) {
	got := passages(t, &emulator.OPS243{}, Options{USB: true}, []simulate.Vehicle{
		{Speed: 9000, Direction: sensor.Approaching, Lane: 1, Passing: 15 * time.Second},
		{Speed: 7000, Direction: sensor.Receding, Lane: 2, Passing: 12 * time.Second},
	}, 30*time.Second)
	if len(got) != 2 {
		t.Fatalf("%d passages, want 2: %+v", len(got), got)
	}
	for _, p := range got {
		if p.Targets != 1 {
			t.Errorf("%v %v with %d others, want 1", p.Speed, p.Direction, p.Targets)
		}
	}
}
