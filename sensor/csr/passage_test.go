package csr_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"ciglio/sensor"
	"ciglio/sensor/csr"
	"ciglio/sensor/track"
)

// pass is what a radar sends of a vehicle that approaches at 20 m/s and passes
// at 3 m, every so many reports, and then of an empty road.
func pass(every int, noise func(report int) byte) []byte {
	var out []byte
	for k := range 240 {
		metres := 80 - 20*0.026*float64(k)
		if metres < 2 || k%every != 0 {
			out = append(out, 0xf7, 0)
			continue
		}
		out = append(out, 0xf9, byte(20*3.6*metres/math.Hypot(metres, 3))^noise(k))
	}
	return out
}

// Without a check sum only a long and consistent run of readings is a passage.
func TestPassages(t *testing.T) {
	quiet := func(int) byte { return 0 }
	for name, c := range map[string]struct {
		data   []byte
		reason sensor.Reason // 0: the passage is valid
	}{
		"a vehicle":              {pass(1, quiet), 0},
		"hardly seen":            {pass(16, quiet), sensor.ReasonTooFewReadings},
		"one wrong bit":          {pass(1, func(k int) byte { return byte(0x20 * (1 - min(1, (k-120)*(k-120)))) }), 0},
		"every other byte wrong": {pass(1, func(k int) byte { return byte(k%2) * 0x04 }), sensor.ReasonTooFewReadings},
	} {
		t.Run(name, func(t *testing.T) {
			p := csr.NewPlayback(bytes.NewReader(c.data))
			tracker, err := track.NewTracker(track.Options{Unchecked: p.Identity().Unchecked})
			if err != nil {
				t.Fatal(err)
			}
			for {
				cycle, err := p.Next(t.Context())
				if err != nil {
					break
				}
				tracker.Push(cycle)
			}
			tracker.Flush()
			var all []sensor.Passage
			for p, ok := tracker.Pop(); ok; p, ok = tracker.Pop() {
				all = append(all, p)
			}
			valid := slices.DeleteFunc(slices.Clone(all), func(p sensor.Passage) bool { return !p.Valid() })
			for _, p := range all {
				t.Logf("%v ± %v, %v", p.Speed, p.Budget.Total(), p.Reasons)
			}
			if c.reason == 0 && (len(all) != 1 || len(valid) != 1 || valid[0].Speed > 7200 || valid[0].Speed < 7000) || c.reason != 0 && len(valid) > 0 {
				t.Errorf("%d passages, %d valid", len(all), len(valid))
			}
			if c.reason != 0 && !slices.ContainsFunc(all, func(p sensor.Passage) bool { return slices.Contains(p.Reasons, c.reason) }) {
				t.Errorf("none says %v", c.reason)
			}
		})
	}
}
