package main

import (
	"math"
	"testing"
	"time"

	"ciglio/sensor"
)

// TestWithinOneLine computes for the pairs that are told as one vehicle alone why a
// radar of one antenna cannot tell: their lines lie closer than the longest frames in
// which a vehicle of roads holds its speed resolve, and their closest points within the
// length of one vehicle. The signal is that of one body with two places.
func TestWithinOneLine(t *testing.T) {
	const (
		frame = 0.1024 // s, pace 2 of package doppler at 20,000 samples a second
		hann  = 2.0    // bins: the 6 dB width of a Hann window (Harris 1978)
		body  = 12.0   // m, the longest rigid vehicle (Directive 96/53/EC)
	)
	for _, c := range []struct {
		class string
		seed  uint64
		at    time.Duration // of the closest point of the vehicle that is told
	}{
		{"one speed", 2962881013, 20_450 * time.Millisecond},
		{"one speed", 1291645148, 14_670 * time.Millisecond},
		{"one speed", 3420507499, 33_510 * time.Millisecond},
		{"one speed", 3656592662, 20_900 * time.Millisecond},
		{"one speed", 3656592662, 38_550 * time.Millisecond},
		{"side by side", 840016754, 8_470 * time.Millisecond},
	} {
		r, ok := Replay(c.class, c.seed)
		if !ok {
			t.Fatalf("no class %q", c.class)
		}
		truth := newRoad(r.Scenario).Truth()
		told, near := -1, time.Second
		for i, v := range truth {
			if off := (v.Passing - c.at).Abs(); off < near {
				told, near = i, off
			}
		}
		if told < 0 {
			t.Fatalf("%s, %d: nobody passes at %v", c.class, c.seed, c.at)
		}
		one := truth[told]
		pairs := 0
		for i, v := range truth {
			if i == told || v.Direction != one.Direction || min(v.Leave, one.Leave)-max(v.Enter, one.Enter) < maxOverlap {
				continue
			}
			pairs++
			hz := math.Abs(v.Speed.MPS()-one.Speed.MPS()) * 2 * 24.125e9 / sensor.SpeedOfLight
			apart := (v.Passing - one.Passing).Abs().Seconds() * one.Speed.MPS()
			if hz > hann/frame || apart > body {
				t.Errorf("%s, %d: lines %.1f Hz apart, closest points %.1f m: they can be told apart", c.class, c.seed, hz, apart)
			}
			t.Logf("%s, %d: lines %.1f Hz apart of %.1f, closest points %.1f m", c.class, c.seed, hz, hann/frame, apart)
		}
		if pairs != 1 {
			t.Errorf("%s, %d: %d others in the beam, want 1", c.class, c.seed, pairs)
		}
	}
}
