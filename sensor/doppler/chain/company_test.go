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
