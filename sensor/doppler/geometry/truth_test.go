package geometry

import (
	"fmt"
	"math"
	"testing"

	"ciglio/sensor/doppler/lines"
)

// drive returns the readings of a vehicle whose way is known: frames of hop seconds,
// bins of mps metres a second, from 120 m away to the sensor or from there on, with
// an error of the frequency of one sixteenth of a bin, up and down in turn.
func drive(speed, offset, hop, mps float64, approaching bool) []lines.Reading {
	var all []lines.Reading
	n := int64(120 / speed / hop)
	for k := range n {
		x := speed * hop * float64(n-k) // m before the closest point
		if !approaching {
			x = speed * hop * float64(k+1)
		}
		r := math.Hypot(x, offset)
		f := speed * x / r / mps
		f += float64(1-2*(k%2)) / 16
		if !approaching {
			f = -f
		}
		level := float32(-30 - 36*math.Log10(max(r, 3)/10))
		power := float32(math.Pow(10, float64(level)/10))
		all = append(all, lines.Reading{Frame: k + 100, F: float32(f), Level: level, Own: level, SNR: power * 1e6, Power: power, Image: power / 1000})
	}
	return all
}

// TestKnownWayGivesItsSpeed lets vehicles pass whose speed and offset are known. No
// speed may be told that is too high by more than the errors of the readings.
func TestKnownWayGivesItsSpeed(t *testing.T) {
	const hop, mps = 0.0128, 0.1214 // 24.125 GHz, 1,024 samples of 20 kHz
	g := NewGauge(hop, mps, 1, 0, true)
	for _, kmh := range []float64{20, 30, 50, 70, 100, 130} {
		for _, offset := range []float64{2, 4, 7, 12} {
			for _, approaching := range []bool{true, false} {
				t.Run(fmt.Sprintf("%g km/h at %g m, approaching %t", kmh, offset, approaching), func(t *testing.T) {
					w, ok := g.Judge(drive(kmh/3.6, offset, hop, mps, approaching))
					if !ok || len(w.Reasons) > 0 {
						t.Fatalf("no speed: passed %t, %v", ok, w.Reasons)
					}
					if off := w.Speed*3.6/kmh - 1; off > 0.001 || off < -0.008 {
						t.Errorf("%.2f km/h, %.2f %% off", w.Speed*3.6, 100*off)
					}
					if w.AtEnd != approaching || (w.Sign > 0) != approaching {
						t.Errorf("at the end %t, sign %d", w.AtEnd, w.Sign)
					}
				})
			}
		}
	}
}

// TestSteadyLineIsNoVehicle gives a line that never falls, with both signs as a tone
// has it.
func TestSteadyLineIsNoVehicle(t *testing.T) {
	g := NewGauge(0.0128, 0.1214, 1, 0, true)
	readings := drive(20, 4, 0.0128, 0.1214, true)
	for i := range readings {
		readings[i].F, readings[i].Level, readings[i].Image = 160, -30, readings[i].Power
	}
	if w, ok := g.Judge(readings); ok {
		t.Errorf("a tone is a vehicle: %+v", w)
	}
}
