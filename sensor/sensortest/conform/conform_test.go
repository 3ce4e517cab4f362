package conform_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/sensortest/conform"
	"ciglio/sensor/track"
)

// cut is when the input fails: the first vehicle is in mid-passage.
const cut = 7 * time.Second

func road(t testing.TB) *simulate.Road {
	r, err := simulate.NewRoad(simulate.Scenario{Seed: 3, Duration: 22 * time.Second, Vehicles: []simulate.Vehicle{
		{Speed: 5000, Direction: sensor.Approaching, Lane: 1, Passing: 8 * time.Second},
		{Speed: 6000, Direction: sensor.Approaching, Lane: 1, Passing: 18 * time.Second},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var errUnplugged = errors.New("unplugged")

// A feed is the radar of a road that fails once, or is silent.
type feed struct {
	*simulate.Cycles
	fails  bool
	silent bool
}

func (f *feed) Next(ctx context.Context) (sensor.Cycle, error) {
	if f.silent {
		<-ctx.Done()
		return sensor.Cycle{}, ctx.Err()
	}
	c, err := f.Cycles.Next(ctx)
	if err == nil && f.fails && c.At > sensor.Mono(cut) {
		f.fails = false
		return sensor.Cycle{}, errUnplugged
	}
	return c, err
}

// tracked returns a source of tracks whose every connection is the same feed.
func tracked(t testing.TB, f *feed) sensor.Source {
	f.Cycles = road(t).Cycles(simulate.CycleOptions{SpeedNoise: 20, RangeNoise: 0.2, AngleNoise: 0.3, Missed: 0.02})
	s, err := track.NewSource(func(context.Context) (sensor.Feed, error) { return f, nil },
		track.Options{Step: 10, Height: 1200, KeepTrace: true, Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTrackSource(t *testing.T) {
	conform.Run(t, conform.Subject{
		Whole: func(t testing.TB) sensor.Source { return tracked(t, &feed{}) },
		Broken: func(t testing.TB) (sensor.Source, sensor.Mono) {
			return tracked(t, &feed{fails: true}), sensor.Mono(cut)
		},
		Silent: func(t testing.TB) sensor.Source { return tracked(t, &feed{silent: true}) },
	})
}

// A signal is that of a road that fails once, or is silent.
type signal struct {
	doppler.Stream
	fails  bool
	silent bool
}

func (s *signal) Next(ctx context.Context) (doppler.Block, error) {
	if s.silent {
		<-ctx.Done()
		return doppler.Block{}, ctx.Err()
	}
	b, err := s.Stream.Next(ctx)
	if err == nil && s.fails && b.At > sensor.Mono(cut) {
		s.fails = false
		return doppler.Block{}, errUnplugged
	}
	return b, err
}

func heard(t testing.TB, s *signal) sensor.Source {
	s.Stream = road(t).Unpaced(0)
	source, err := doppler.NewSource(s, doppler.Options{KeepTrace: true, Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestDopplerSource(t *testing.T) {
	conform.Run(t, conform.Subject{
		Whole: func(t testing.TB) sensor.Source { return heard(t, &signal{}) },
		Broken: func(t testing.TB) (sensor.Source, sensor.Mono) {
			return heard(t, &signal{fails: true}), sensor.Mono(cut)
		},
		Silent: func(t testing.TB) sensor.Source { return heard(t, &signal{silent: true}) },
	})
}
