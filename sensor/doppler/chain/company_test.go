package chain

import (
	"testing"

	"ciglio/sensor"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
)

// TestFaintLineIsCompany lets a listener hear a line beside a vehicle's for a second
// of the usual pace. What the usual frames hear is company however faint it is; of what
// longer ones hear, what is as loud as a vehicle in the beam.
func TestFaintLineIsCompany(t *testing.T) {
	for _, c := range []struct {
		why   string
		pace  Pace
		ratio float32 // of its power over the noise of a bin
		want  bool
	}{
		{"usual frames hear no one who is not in the beam", UsualPace, 2, true},
		{"twice as long: 7 dB in 20 Hz", TownPace, 5.5, true},
		{"twice as long: 4 dB in 20 Hz", TownPace, 3.4, false},
		{"eight times as long: 4 dB in 20 Hz, half of it in the line", SlowPace, 6.9, false},
		{"eight times as long: 7 dB in 20 Hz, half of it in the line", SlowPace, 13.7, true},
	} {
		chain := New(c.pace, 20_000, true, 1024, sensor.SpeedOfLight/(2*24.125e9), 0, false)
		v := Vehicle{Measured: geometry.Measurement{First: 0, Last: 600, Near: 600, AtEnd: true, Sign: 1, Speed: 20, Tau: 20, Level: 10}}
		for n := range int64(600 / trailStep) {
			v.trail = append(v.trail, waypoint{n * trailStep, 200})
		}
		for at := int64(100); at < 180; at += lines.PartFrames {
			chain.listener.Lines = append(chain.listener.Lines, lines.Faint{Frame: at, F: 240, Level: float32(at % 16), Ratio: c.ratio})
		}
		if got := chain.heardBeside(&v); got != c.want {
			t.Errorf("%s: company %t, want %t", c.why, got, c.want)
		}
	}
}

// TestElsewhere gives measurements beside one of 20 m/s that passed in frame 1000.
func TestElsewhere(t *testing.T) {
	c := New(UsualPace, 20_000, true, 1024, sensor.SpeedOfLight/(2*24.125e9), 0, false)
	frames := func(way float64) float64 { return way / 20 / c.gauge.Hop }
	for _, x := range []struct {
		why  string
		w    geometry.Measurement
		v    bool // its geometry is known
		want bool
	}{
		{"twice a known speed, passed with it: a wheel", geometry.Measurement{Speed: 40, Near: 1000, Fitted: true}, true, false},
		{"the same, 10 m behind the front that came: a wheel", geometry.Measurement{Speed: 40, Near: 1000 + frames(10), Fitted: true}, true, false},
		{"the same, 10 m before it", geometry.Measurement{Speed: 40, Near: 1000 - frames(10), Fitted: true}, true, true},
		{"a known speed 3 % away from a known one, 25 m behind", geometry.Measurement{Speed: 20.6, Near: 1000 + frames(25), Fitted: true}, true, true},
		{"a known speed 1 % away", geometry.Measurement{Speed: 20.2, Near: 1000 + frames(40), Fitted: true}, true, false},
		{"twice a speed that is not known, 10 m before it", geometry.Measurement{Speed: 40, Near: 1000 - frames(10), Fitted: true}, false, false},
		{"twice the speed, passed 25 m behind it", geometry.Measurement{Speed: 40, Near: 1000 + frames(25), Fitted: true}, false, true},
		{"the same, by no geometry", geometry.Measurement{Speed: 40, Near: 1000 + frames(25)}, false, false},
		{"the same, without a zone", geometry.Measurement{Speed: 40, Near: 1000 + frames(25), Fitted: true, Reasons: []sensor.Reason{sensor.ReasonTooFewReadings}}, false, false},
	} {
		v := geometry.Measurement{Speed: 20, Near: 1000, AtEnd: true, Fitted: x.v}
		if got := c.elsewhere(&x.w, &v); got != x.want {
			t.Errorf("%s: elsewhere %t, want %t", x.why, got, x.want)
		}
	}
}
