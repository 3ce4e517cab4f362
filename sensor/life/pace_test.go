package life

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"ciglio/sensor"
)

// samples plays a stream whose true rate is off by a share: a block of 20 ms of
// samples as told takes longer or less, and comes with the transport's jitter.
type samples struct {
	pace   *Pace
	random *rand.Rand
	index  uint64
	true   float64 // s since the start
	held   float64 // instant until which the program is held up, s
}

func newSamples() *samples {
	return &samples{pace: NewPace(rate), random: rand.New(rand.NewPCG(1, 2))}
}

// run plays seconds at a rate that is too high by the share off. It returns when a
// finding came first and went last, negative for never.
func (s *samples) run(seconds, off float64) (found, gone float64) {
	found, gone = -1, -1
	const n = rate / 50
	for begin := s.true; s.true < begin+seconds; {
		s.true += n / (rate * (1 + off))
		late := 0.002 + 0.012*s.random.Float64()*s.random.Float64()
		if s.random.IntN(500) == 0 { // the program is held up
			s.held = s.true + 0.8*s.random.Float64()
		}
		s.pace.Push(s.index, n, sensor.Mono(1e9*(5+max(s.true+late, s.held))))
		s.index += n
		switch is := len(s.pace.Findings()) > 0; {
		case is && found < 0:
			found = s.true - begin
		case !is && found >= 0 && gone < found:
			gone = s.true - begin
		case is && gone >= 0:
			gone = -1
		}
	}
	return found, gone
}

func TestD06_PaceIsFound(t *testing.T) {
	for _, c := range []struct {
		off    float64
		within float64 // s; 0 for never
	}{
		{0, 0}, {0.0001, 0}, {-0.0001, 0}, {0.0005, 0}, {-0.0005, 0},
		{0.0015, 16}, {-0.0015, 16}, {0.003, 10}, {-0.003, 10}, {0.01, 5}, {-0.01, 5}, {0.2, 5}, {-0.2, 5},
	} {
		t.Run(fmt.Sprintf("%+.2f %%", 100*c.off), func(t *testing.T) {
			s := newSamples()
			found, gone := s.run(300, c.off)
			if c.within == 0 && found >= 0 || c.within > 0 && (found < 0 || found > c.within || gone >= 0) {
				t.Errorf("from the start: found after %.1f s, gone after %.1f s", found, gone)
			}
			s = newSamples()
			if found, _ := s.run(120, 0); found >= 0 {
				t.Fatalf("in order: found after %.1f s", found)
			}
			found, gone = s.run(300, c.off)
			if c.within == 0 && found >= 0 || c.within > 0 && (found < 0 || found > c.within || gone >= 0) {
				t.Errorf("from then on: found after %.1f s, gone after %.1f s", found, gone)
			}
			if c.within == 0 {
				return
			}
			if s.run(60, 0); len(s.pace.Findings()) > 0 {
				t.Errorf("in order again for a minute: %v", s.pace.Findings())
			}
		})
	}
}

// A rate that drifts away is found once it is off by more than it may.
func TestD06_PaceThatDrifts(t *testing.T) {
	for _, way := range []float64{1, -1} {
		s := newSamples()
		s.run(60, 0)
		off := 0.0
		for len(s.pace.Findings()) == 0 && off < 0.01 {
			off += 0.00005 // each second
			s.run(1, way*off)
		}
		if off < MostPace || off > 2*MostPace {
			t.Errorf("found when it was off by %+.2f %%", 100*way*off)
		}
	}
}

// Nothing that is covered was off by FastPace without being found.
func TestD06_WhatIsCoveredWasInOrder(t *testing.T) {
	for _, off := range []float64{FastPace, -FastPace, 0.01, -0.01} {
		s := newSamples()
		s.run(60, 0)
		turned := sensor.Mono(1e9 * (5 + s.true))
		for len(s.pace.Findings()) == 0 {
			s.run(0.02, off)
			if c := s.pace.Covered(); c > turned {
				t.Fatalf("%+v: covered %v behind the turn, and nothing found", off, c.Sub(turned))
			}
		}
		s.run(5, off)
		if c := s.pace.Covered(); c > turned {
			t.Errorf("%+v: covered %v behind the turn", off, c.Sub(turned))
		}
	}
	s := newSamples()
	s.run(60, 0)
	if behind := sensor.Mono(1e9 * (5 + s.true)).Sub(s.pace.Covered()); behind < 9*time.Second || behind > 11*time.Second {
		t.Errorf("covered up to %v ago", behind)
	}
}

// What was lost and counted changes no pace; what was lost and not counted does.
func TestPaceAndLostSamples(t *testing.T) {
	s := newSamples()
	s.run(30, 0)
	s.index, s.true = s.index+rate/10, s.true+0.1
	if found, _ := s.run(60, 0); found >= 0 {
		t.Errorf("100 ms lost and counted: found after %.1f s", found)
	}
	s.true += 0.1
	if found, _ := s.run(60, 0); found < 0 {
		t.Error("100 ms lost and not counted: nothing was found")
	}
	s = newSamples()
	s.run(30, 0)
	s.index = 0 // a sensor that was started anew
	s.true += 3
	if found, _ := s.run(60, 0); found >= 0 {
		t.Errorf("started anew: found after %.1f s", found)
	}
}
