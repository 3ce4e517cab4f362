package track_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/track"
)

// A script is a feed whose cycles and failures are written down. It is paced by
// package time.
type script struct {
	identity sensor.Identity
	cycles   []sensor.Cycle
	err      error // after the cycles; nil means that it hangs
	began    time.Time
	next     int
	closed   bool
}

func (s *script) Identity() sensor.Identity { return s.identity }

func (s *script) Next(ctx context.Context) (sensor.Cycle, error) {
	if s.next == 0 {
		s.began = time.Now()
	}
	if s.next == len(s.cycles) {
		if s.err != nil {
			return sensor.Cycle{}, s.err
		}
		<-ctx.Done()
		return sensor.Cycle{}, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return sensor.Cycle{}, ctx.Err()
	case <-time.After(time.Until(s.began.Add(time.Duration(s.cycles[s.next].At - s.cycles[0].At)))):
	}
	s.next++
	return s.cycles[s.next-1], nil
}

func (s *script) Close() error {
	s.closed = true
	return nil
}

var errPulled = errors.New("input/output error")

var radar = sensor.Identity{Model: "R1", Serial: "17", Settings: []byte("rate 20\nunits mps\n"), Separates: true}

// dialer hands out feeds and errors in turn.
func dialer(turns ...any) func(context.Context) (sensor.Feed, error) {
	return func(context.Context) (sensor.Feed, error) {
		if len(turns) == 0 {
			return nil, errors.New("no more turns")
		}
		turn := turns[0]
		turns = turns[1:]
		if err, failed := turn.(error); failed {
			return nil, err
		}
		return turn.(sensor.Feed), nil
	}
}

func newSource(t *testing.T, o track.Options, turns ...any) *track.Source {
	t.Helper()
	s, err := track.NewSource(dialer(turns...), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lone are the cycles of one car that is seen from the second on.
func lone(until time.Duration) []sensor.Cycle {
	return drive(until, car{kmh: 72, side: 3, from: 80, to: 6, start: cycleTime, ranged: true, angled: true})
}

// later moves cycles to a later instant.
func later(c []sensor.Cycle, d time.Duration) []sensor.Cycle {
	c = slices.Clone(c)
	for i := range c {
		c[i].At = c[i].At.Add(d)
		c[i].Readings = slices.Clone(c[i].Readings)
		for k := range c[i].Readings {
			c[i].Readings[k].At = c[i].Readings[k].At.Add(d)
		}
	}
	return c
}

func TestFeedThatFailsInMidPassage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := &script{identity: radar, cycles: lone(2 * time.Second), err: errPulled}
		second := &script{identity: radar, cycles: later(lone(6*time.Second), time.Minute), err: io.EOF}
		var log bytes.Buffer
		o := track.Options{Step: 1, Lanes: oneLane, Log: slog.New(slog.NewTextHandler(&log, nil))}
		s := newSource(t, o, first, errors.New("no such device"), second)
		if _, err := s.Next(t.Context()); !errors.Is(err, errPulled) || !strings.Contains(err.Error(), "R1") {
			t.Errorf("error %v, want the feed's with the name of the sensor", err)
		}
		if !first.closed {
			t.Error("the broken feed was not closed")
		}
		p, err := s.Next(t.Context())
		if err != nil || !slices.Contains(p.Reasons, sensor.ReasonLostSamples) {
			t.Errorf("%+v, %v: want the passage under way with a reason", p, err)
		}
		if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "no such device") {
			t.Errorf("error %v, want that of the dial", err)
		}
		p, err = s.Next(t.Context())
		if err != nil || !p.Valid() || p.Start < sensor.Mono(time.Minute) {
			t.Errorf("%+v, %v: want the valid passage after the sensor is back", p, err)
		}
		for range 2 {
			if _, err := s.Next(t.Context()); err != io.EOF {
				t.Errorf("error %v, want io.EOF", err)
			}
		}
		if n := strings.Count(log.String(), "sensor reached"); n != 2 {
			t.Errorf("%d lines say that the sensor was reached:\n%s", n, log.String())
		}
	})
}

// Whatever the sensor or the configuration says against a measurement stays
// with it, also when the other one does not say so.
func TestIdentityKeepsWhatSpeaksAgainstIt(t *testing.T) {
	for _, c := range []struct {
		name string
		o    track.Options
		feed sensor.Identity
		want sensor.Identity
	}{
		{"nothing", track.Options{}, sensor.Identity{}, sensor.Identity{}},
		{"the sensor is simulated", track.Options{}, sensor.Identity{Simulated: true}, sensor.Identity{Simulated: true}},
		{"the configuration says so", track.Options{Simulated: true}, sensor.Identity{}, sensor.Identity{Simulated: true}},
		{"the wire has no check sum", track.Options{}, sensor.Identity{Unchecked: true}, sensor.Identity{Unchecked: true}},
		{"the configuration says so, too", track.Options{Unchecked: true}, sensor.Identity{}, sensor.Identity{Unchecked: true}},
	} {
		c.feed.Model, c.feed.Serial = "R1", "17"
		s := newSource(t, c.o, &script{identity: c.feed, err: io.EOF})
		if _, err := s.Next(t.Context()); err != io.EOF {
			t.Fatal(err)
		}
		if got := s.Identity(); got.Simulated != c.want.Simulated || got.Unchecked != c.want.Unchecked {
			t.Errorf("%s: simulated %t, unchecked %t", c.name, got.Simulated, got.Unchecked)
		}
	}
}

// A sensor without check sums needs a longer run, also when only it says so.
func TestUncheckedFeedNeedsALongerRun(t *testing.T) {
	for _, unchecked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			id := radar
			id.Unchecked = unchecked
			s := newSource(t, track.Options{Step: 1, Lanes: oneLane},
				&script{identity: id, cycles: drive(5*time.Second, car{kmh: 72, side: 3, from: 34, to: 6, start: time.Second}), err: io.EOF})
			p, err := s.Next(t.Context())
			if err != nil || p.Valid() == unchecked {
				t.Errorf("unchecked %t: %v, %v", unchecked, p.Reasons, err)
			}
		})
	}
}

func TestFeedThatHangsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &script{identity: radar, cycles: lone(2 * time.Second)}
		s := newSource(t, track.Options{Step: 1, Lanes: oneLane}, feed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// It goes on an hour later: the car of then is not that of now.
		feed.cycles = append(feed.cycles, later(lone(6*time.Second), time.Hour)...)
		p, err := s.Next(t.Context())
		if err != nil || !slices.Contains(p.Reasons, sensor.ReasonLostSamples) {
			t.Errorf("%+v, %v: want the passage that was cut", p, err)
		}
		if p, err = s.Next(t.Context()); err != nil || !p.Valid() {
			t.Errorf("%+v, %v: want a valid passage", p, err)
		}
		if err := s.Close(); err != nil || !feed.closed {
			t.Errorf("close: %v", err)
		}
	})
}

func TestAnotherSensorIsRefused(t *testing.T) {
	other := func(change func(*sensor.Identity)) *script {
		id := radar
		change(&id)
		return &script{identity: id, cycles: lone(6 * time.Second), err: io.EOF}
	}
	for _, c := range []struct {
		name   string
		o      track.Options
		change func(*sensor.Identity)
		want   string
	}{
		{"not the model of the configuration", track.Options{Model: "R2"}, func(*sensor.Identity) {}, "sensor R2: the one that answers is a R1"},
		{"not its serial number", track.Options{Serial: "18"}, func(*sensor.Identity) {}, "serial number 17"},
		{"another model after a replug", track.Options{}, func(id *sensor.Identity) { id.Model = "R9" }, "the one that answers is a R9"},
		{"another serial number after a replug", track.Options{}, func(id *sensor.Identity) { id.Serial = "99" }, "serial number 99"},
		{"another setting after a replug", track.Options{}, func(id *sensor.Identity) { id.Settings = []byte("rate 20\nunits kmh\n") }, `"units kmh" was "units mps"`},
		{"one setting less", track.Options{}, func(id *sensor.Identity) { id.Settings = []byte("rate 20\n") }, `"" was "units mps"`},
		{"another ability", track.Options{}, func(id *sensor.Identity) { id.Separates = false }, "abilities"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Lanes, c.o.Step = oneLane, 1
			wrong := other(c.change)
			turns := []any{wrong}
			if c.o.Model == "" && c.o.Serial == "" {
				turns = []any{&script{identity: radar, cycles: lone(time.Second), err: errPulled}, wrong, other(func(*sensor.Identity) {})}
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSource(t, c.o, turns...)
				var said []string
				var valid int
				for {
					p, err := s.Next(t.Context())
					if errors.Is(err, io.EOF) || len(said) == 5 {
						break
					}
					if err != nil {
						said = append(said, err.Error())
					} else if p.Valid() {
						valid++
					}
				}
				if !slices.ContainsFunc(said, func(e string) bool { return strings.Contains(e, c.want) }) {
					t.Errorf("errors %q, want one with %q", said, c.want)
				}
				if !wrong.closed || wrong.next > 0 {
					t.Error("the wrong sensor was read, or left open")
				}
				if len(turns) == 3 && valid != 1 {
					t.Errorf("%d valid passages after the right sensor is back", valid)
				}
			})
		})
	}
}

func TestIdentityNamesSensorAndCorrection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := track.Options{Model: "R1", Simulated: true, Angle: 250, Lanes: oneLane, Step: 1}
		s := newSource(t, o, &script{identity: radar, cycles: lone(6 * time.Second), err: io.EOF})
		if id := s.Identity(); id.Model != "R1" || id.Separates || !id.Simulated {
			t.Errorf("before the sensor was reached: %+v", id)
		}
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		id := s.Identity()
		if id.Serial != "17" || !id.Separates || !id.Simulated {
			t.Errorf("%+v", id)
		}
		text := string(id.Settings)
		for _, want := range []string{"rate 20\n", "units mps\n", "track.angle_cdeg 250\n", "track.angle_corrected here\n", "track.lanes_mm 1000..4500\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("settings lack %q:\n%s", want, text)
			}
		}
		if lines := strings.Split(strings.TrimSpace(text), "\n"); !slices.IsSorted(lines) {
			t.Errorf("settings are not sorted:\n%s", text)
		}
		if _, err := s.Next(t.Context()); err != io.EOF {
			t.Error(err)
		}
		if n := s.Counters().Cycles; n != 121 {
			t.Errorf("%d cycles counted", n)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		o    track.Options
		ok   bool
	}{
		{"nothing set", track.Options{}, true},
		{"turned to the left", track.Options{Angle: -2200}, true},
		{"across the road", track.Options{Angle: 9000}, false},
		{"negative tolerance", track.Options{AngleTolerance: -1}, false},
		{"negative carrier tolerance", track.Options{CarrierTolerance: -1}, false},
		{"negative clock tolerance", track.Options{ClockTolerance: -1}, false},
		{"a beam behind the sensor", track.Options{Beam: 20_000}, false},
		{"a step of 20 km/h", track.Options{Step: 2000}, false},
		{"negative resolution", track.Options{Resolution: track.Resolution{Range: -1}}, false},
		{"a lane from right to left", track.Options{Lanes: []track.Lane{{Left: 4000, Right: 1000}}}, false},
		{"a lane beyond the horizon", track.Options{Lanes: []track.Lane{{Left: 0, Right: 90_000}}}, false},
		{"photographs from behind", track.Options{PhotoRange: -1}, false},
		{"below the road", track.Options{Height: -1}, false},
	} {
		if _, err := track.NewTracker(c.o); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := track.NewSource(nil, c.o); (err == nil) != c.ok {
			t.Errorf("%s: source: %v", c.name, err)
		}
	}
}
