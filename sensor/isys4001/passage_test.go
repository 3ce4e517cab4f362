package isys4001

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/emulator"
	"ciglio/sensor"
	"ciglio/sensor/track"
)

// passages drives simulated traffic past emulated sensors, each of which is
// plugged in when the one before has gone, and returns what the whole chain makes
// of it. A sensor goes after pull, if that is not 0.
func passages(t *testing.T, o Options, vehicles []simulate.Vehicle, until, pull time.Duration) (all []sensor.Passage) {
	t.Helper()
	road, err := simulate.NewRoad(simulate.Scenario{Seed: 1, Duration: until, Vehicles: vehicles, Ideal: true})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		clock := simulate.NewClock(0)
		s, err := track.NewSource(func(ctx context.Context) (sensor.Feed, error) {
			here, there := net.Pipe()
			x := &emulator.ISYS4001{}
			served := make(chan error, 1)
			go func() { served <- x.Serve(t.Context(), there) }()
			t.Cleanup(func() { here.Close(); <-served })
			synctest.Wait()
			r, err := Open(ctx, here, clock, o)
			if err != nil {
				return nil, err
			}
			if pull > 0 && time.Since(begun) < pull {
				time.AfterFunc(pull-time.Since(begun), func() { here.Close() })
			}
			opened := time.Since(begun)
			for feed := road.Cycles(simulate.CycleOptions{Every: period}); ; {
				c, err := feed.Next(ctx)
				if err != nil {
					return r, nil
				}
				if time.Duration(c.At) >= opened {
					x.Report(c)
				}
			}
		}, track.Options{Step: 1, Lanes: []track.Lane{{Left: 1000, Right: 4700}, {Left: 4700, Right: 8100}}, Height: 1200})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), until+10*time.Second)
		defer cancel()
		for {
			p, err := s.Next(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err == nil {
				all = append(all, p)
			}
		}
	})
	return all
}

var traffic = []simulate.Vehicle{
	{Speed: 5000, Direction: sensor.Approaching, Lane: 1, Passing: 20 * time.Second},
	{Speed: 13000, Direction: sensor.Approaching, Lane: 1, Passing: 40 * time.Second},
	{Speed: 9000, Direction: sensor.Receding, Lane: 2, Passing: 55 * time.Second},
	{Speed: 11000, Direction: sensor.Approaching, Lane: 1, Passing: 75 * time.Second},
	{Speed: 8000, Direction: sensor.Approaching, Lane: 2, Passing: 75 * time.Second},
}

func TestPassages(t *testing.T) {
	for _, narrow := range []bool{false, true} {
		got := passages(t, Options{Narrow: narrow}, traffic, 90*time.Second, 0)
		if len(got) != len(traffic) {
			t.Fatalf("narrow %v: %d passages, want %d: %+v", narrow, len(got), len(traffic), got)
		}
		for _, p := range got {
			n := slices.IndexFunc(traffic, func(v simulate.Vehicle) bool {
				d := p.Speed - v.Speed
				return p.Direction == v.Direction && d <= 10 && d > -v.Speed/50
			})
			if n < 0 || !p.Valid() {
				t.Errorf("narrow %v: %v %v, %v is none of the vehicles", narrow, p.Speed, p.Direction, p.Reasons)
			}
		}
	}
}

func TestCableThatIsPulledInMidPassageCostsThatPassage(t *testing.T) {
	got := passages(t, Options{}, traffic[:3], 70*time.Second, 18*time.Second)
	if len(got) < 3 {
		t.Fatalf("%d passages, want 3 or more: %+v", len(got), got)
	}
	if !slices.Contains(got[0].Reasons, sensor.ReasonLostSamples) {
		t.Errorf("the passage that was cut: %v, want %v", got[0].Reasons, sensor.ReasonLostSamples)
	}
	for n, p := range got[len(got)-2:] {
		want := traffic[1+n]
		if d := p.Speed - want.Speed; !p.Valid() || p.Direction != want.Direction || d > 10 || d < -want.Speed/50 {
			t.Errorf("after it: %v %v %v, want %v", p.Speed, p.Direction, p.Reasons, want.Speed)
		}
	}
}
