package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/track"
)

// A radar in operation that starts anew while a vehicle is in the beam: the
// vehicles before and behind are measured. That one is not, unless the radar tells
// ranges and measures the rest of its way once it is set up anew.
func TestD19_ALiveRadarThatStartsAnew(t *testing.T) {
	for _, r := range radars() {
		if !r.asks {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, device := (&wire{}).join(t)
				x := r.sensor()
				serve(t, x, device)
				clock := simulate.NewClock(0)
				s, err := track.NewSource(func(ctx context.Context) (sensor.Feed, error) { return r.open(ctx, host, clock) }, track.Options{Step: 50})
				if err != nil {
					t.Fatal(err)
				}
				driven := make(chan struct{})
				t.Cleanup(func() { <-driven })
				go func() {
					defer close(driven)
					time.Sleep(10 * time.Second)
					r.drive(t.Context(), x, time.Hour, 80, 2)
					time.Sleep(10 * time.Second)
					r.drive(t.Context(), x, time.Hour+20*time.Second, 80, 35)
					if r.restart != nil {
						r.restart(x)
					}
					r.drive(t.Context(), x, time.Second, 35, 2)
					time.Sleep(30 * time.Second) // while it is noticed and set up anew
					r.drive(t.Context(), x, time.Minute, 80, 2)
				}()
				measured(t, s, 90*time.Second, r.ranged)
			})
		})
	}
	t.Run("iqframe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			host, device := (&wire{}).join(t)
			clock := simulate.NewClock(0)
			s, err := iqframe.NewStream(host, iqRate, clock)
			if err != nil {
				t.Fatal(err)
			}
			driven := make(chan struct{})
			t.Cleanup(func() { <-driven })
			go func() {
				defer close(driven)
				// The second vehicle passes at 20 s.
				samples(19500*time.Millisecond).Serve(t.Context(), device)
				samples(14*time.Second).Serve(t.Context(), device)
			}()
			source, err := doppler.NewSource(s, doppler.Options{})
			if err != nil {
				t.Fatal(err)
			}
			measured(t, source, 40*time.Second, false)
		})
	})
}

// measured wants two valid passages of 72 km/h before the time is over, or three
// where a rest can be measured, none of them longer than a vehicle is in the beam.
func measured(t *testing.T, s sensor.Source, until time.Duration, rest bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), until)
	defer cancel()
	valid, broken := 0, 0
	for {
		p, err := s.Next(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			if valid != 2 && !(rest && valid == 3) {
				t.Errorf("%d valid passages and %d others, want 2 valid ones", valid, broken)
			}
			return
		case err != nil:
			time.Sleep(100 * time.Millisecond)
			continue
		case !p.Valid():
			broken++
			continue
		}
		valid++
		if p.Speed > 7210 || p.Speed < 6900 || p.End.Sub(p.Start) > 8*time.Second || rest && p.End.Sub(p.Start) > 4*time.Second {
			t.Errorf("%v from %.1f to %.1f s", p.Speed, p.Start.Seconds(), p.End.Seconds())
		}
	}
}
