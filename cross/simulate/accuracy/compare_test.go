package main

import (
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// twoVehicles is a road with one vehicle that is alone, one that meets another,
// and that other: at 10, 30 and 31 s.
func twoVehicles(t *testing.T) (Road, []simulate.Truth) {
	t.Helper()
	s := simulate.Scenario{Duration: time.Minute, Vehicles: []simulate.Vehicle{
		{Speed: 70 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 10 * time.Second},
		{Speed: 60 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 30 * time.Second},
		{Speed: 80 * sensor.KmH, Direction: sensor.Approaching, Lane: 2, Passing: 31 * time.Second},
	}}
	return Road{Class: "test", Scenario: s}, newRoad(s).Truth()
}

func TestFaultsAreSeen(t *testing.T) {
	r, truth := twoVehicles(t)
	// A perfect sensor, which the rows below spoil.
	perfect := func() []sensor.Passage {
		var all []sensor.Passage
		for i, v := range truth {
			p := sensor.Passage{Start: sensor.Mono(v.Enter), End: sensor.Mono(v.Passing), Speed: v.Speed, Direction: v.Direction}
			if i > 0 {
				p.Targets = 1
			}
			all = append(all, p)
		}
		return all
	}
	for _, c := range []struct {
		why   string
		spoil func([]sensor.Passage) []sensor.Passage
		kind  string // of the only fault; empty for none
		fates [3]Fate
	}{
		{"all as it should be", func(p []sensor.Passage) []sensor.Passage { return p }, "", [3]Fate{Found, Marked, Marked}},
		{"1 km/h too much is allowed", func(p []sensor.Passage) []sensor.Passage { p[0].Speed += 100; return p }, "", [3]Fate{Found, Marked, Marked}},
		{"more is wrong", func(p []sensor.Passage) []sensor.Passage { p[0].Speed += 101; return p }, wrongSpeed, [3]Fate{Found, Marked, Marked}},
		{"less is wrong as well", func(p []sensor.Passage) []sensor.Passage { p[0].Speed -= 101; return p }, wrongSpeed, [3]Fate{Found, Marked, Marked}},
		{"a wrong speed is no other vehicle", func(p []sensor.Passage) []sensor.Passage { p[0].Speed = 200 * sensor.KmH; return p }, wrongSpeed, [3]Fate{Found, Marked, Marked}},
		{"the other was not counted", func(p []sensor.Passage) []sensor.Passage { p[1].Targets = 0; return p }, wrongVehicle, [3]Fate{Found, Found, Marked}},
		{"the speed of the other", func(p []sensor.Passage) []sensor.Passage {
			p[1].Speed, p[1].Targets = p[2].Speed, 0
			return p
		}, wrongVehicle, [3]Fate{Found, Found, Marked}},
		{"a wrong speed that accuses nobody", func(p []sensor.Passage) []sensor.Passage { p[1].Speed += 1000; return p }, "", [3]Fate{Found, Marked, Marked}},
		{"two passages of one vehicle", func(p []sensor.Passage) []sensor.Passage { return append(p, p[0]) }, twice, [3]Fate{Found, Marked, Marked}},
		{"a piece of its way counts once more", func(p []sensor.Passage) []sensor.Passage {
			far := p[0]
			far.End = far.Start + 1e9
			return append(p, far)
		}, twice, [3]Fate{Found, Marked, Marked}},
		{"the second is discarded", func(p []sensor.Passage) []sensor.Passage {
			second := p[0]
			second.Reasons = []sensor.Reason{sensor.ReasonClipped}
			return append(p, second)
		}, "", [3]Fate{Found, Marked, Marked}},
		{"nobody was there", func(p []sensor.Passage) []sensor.Passage {
			return append(p, sensor.Passage{Start: 45e9, End: 48e9, Speed: 50 * sensor.KmH})
		}, invented, [3]Fate{Found, Marked, Marked}},
		{"the other direction is nobody", func(p []sensor.Passage) []sensor.Passage { p[0].Direction = sensor.Receding; return p }, invented, [3]Fate{Missed, Marked, Marked}},
		{"an unknown direction fits", func(p []sensor.Passage) []sensor.Passage { p[0].Direction = sensor.DirectionUnknown; return p }, "", [3]Fate{Found, Marked, Marked}},
		{"missed", func(p []sensor.Passage) []sensor.Passage { return p[1:] }, "", [3]Fate{Missed, Marked, Marked}},
		{"discarded", func(p []sensor.Passage) []sensor.Passage {
			p[0].Reasons = []sensor.Reason{sensor.ReasonTooFewReadings}
			return p
		}, "", [3]Fate{Discarded, Marked, Marked}},
	} {
		t.Run(c.why, func(t *testing.T) {
			got := compare(r, truth, c.spoil(perfect()))
			if c.kind == "" && len(got.Faults) > 0 || c.kind != "" && (len(got.Faults) != 1 || got.Faults[0].Kind != c.kind) {
				t.Errorf("faults %v, want %q", got.Faults, c.kind)
			}
			if len(got.Outcomes) != 3 {
				t.Fatalf("%d outcomes", len(got.Outcomes))
			}
			for i, want := range c.fates {
				if got.Outcomes[i].Fate != want {
					t.Errorf("vehicle %d: fate %d, want %d", i, got.Outcomes[i].Fate, want)
				}
			}
		})
	}
}

// TestChangingSpeedIsComparedWhereItIsMeasured says which speeds a vehicle that
// brakes may be given: those near the sensor, not those of its whole way.
func TestChangingSpeedIsComparedWhereItIsMeasured(t *testing.T) {
	s := simulate.Scenario{Duration: time.Minute, Vehicles: []simulate.Vehicle{{
		Speed: 50 * sensor.KmH, Direction: sensor.Approaching, Lane: 1, Passing: 30 * time.Second,
		Phases: []simulate.Phase{{From: -6 * time.Second, Until: 0, Acceleration: -2}},
	}}}
	v := newRoad(s).Truth()[0]
	p := sensor.Passage{Start: sensor.Mono(v.Enter), End: sensor.Mono(v.Passing)}
	got := measuredOn(p, v)
	// 6 m and 46.5 m before the closest point it drove 53.0 and 70.1 km/h.
	if got.slowest < 5290 || got.slowest > 5320 || got.fastest < 6970 || got.fastest > 7010 {
		t.Errorf("from %v to %v", got.slowest, got.fastest)
	}
	if got.off(60*sensor.KmH) != 0 || got.off(got.fastest+30) != 30 || got.off(got.slowest-30) != -30 {
		t.Error("what lies beyond is the error")
	}
}

func TestFiguresOfErrors(t *testing.T) {
	var r Result
	for i := range 1000 {
		o := Outcome{Fate: Found, Error: 0.1, Passage: sensor.Passage{Budget: sensor.Budget{Noise: 5}}}
		if i < 2 { // two in a thousand: the 99.9 % quantile is the smaller of them
			o.Error = -0.9 - 0.1*float64(i)
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	all := r.tallyOf()
	if got := all.figures(); got != "| +0.098 | 0.047 | 0.90 | 99.8 % |" {
		t.Errorf("figures %s", got)
	}
}
