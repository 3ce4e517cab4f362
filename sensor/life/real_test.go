package life

import (
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"testing"

	"ciglio/cross/simulate"
	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/wav"
)

// Real radars, on roads with and without vehicles. The recordings have one
// channel, so noise and level alone can be looked at.
func TestNoiseOfRealRadars(t *testing.T) {
	for _, name := range []string{
		"prius_30mph_hb100", "uct_02_ad620_car_away", "uct_05_car_motorcycle_towards", "uct_06_bus_away",
		"uct_08_2cars_towards", "uct_20kmh_v1", "uct_40kmh_v1",
	} {
		f, err := os.Open(recording.Path(t, "radar/"+name+".wav"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w, err := wav.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		m := NewMonitor(w.Format().Rate, Normal{})
		left, right := make([]float32, 1024), make([]float32, 1024)
		var noises []float64
		for {
			n, err := w.Read(left, right)
			m.Push(left[:n], left[:n])
			if k := len(m.units); k > 0 {
				noises = append(noises, m.units[k-1].NoiseI)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(noises)
		usual := median(noises)
		t.Logf("%-32s noise %.1f dBFS, %.1f to %.1f; level %.4f", name, usual, noises[0], noises[len(noises)-1], m.units[len(m.units)-1].LevelI)
		if usual < 20*math.Log10(leastNoise) || usual > 20*math.Log10(mostNoise) {
			t.Errorf("%s: noise of %.1f dBFS would be a fault", name, usual)
		}
		if noises[0] < usual-noiseFrom || noises[len(noises)-1] > usual+noiseFrom {
			t.Errorf("%s: noise from %.1f to %.1f dBFS about %.1f would be a fault", name, noises[0], noises[len(noises)-1], usual)
		}
		for _, found := range m.Findings() {
			if found.Code != CodeCopy { // which it is
				t.Errorf("%s: %s", name, found.Words())
			}
		}
	}
}

// The simulated roads, with everything that they have on them. Only the amplifier
// of one is set so high that its noise alone fills the converter.
func TestSimulatedRoadsAreInOrder(t *testing.T) {
	for _, name := range simulate.Scenarios() {
		t.Run(name, func(t *testing.T) {
			text, err := simulate.ScenarioFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, err := simulate.ParseScenario(text)
			if err != nil {
				t.Fatal(err)
			}
			road, err := simulate.NewRoad(s)
			if err != nil {
				t.Fatal(err)
			}
			stream := road.Unpaced(0)
			if f := stream.Format(); !f.Complex {
				t.Skip("a real signal has one channel")
			}
			m := NewMonitor(stream.Format().Rate, Normal{})
			var usual []float64
			for {
				b, err := stream.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				m.Push(b.I, b.Q)
				if found := m.Findings(); len(found) > 0 {
					if name == "clipping" && len(found) == 1 && found[0].Code == CodeNoise {
						return
					}
					t.Fatalf("at %v: %v", b.At.Sub(0), found)
				}
				if k := len(m.units); k > 0 {
					usual = append(usual, m.units[k-1].NoiseI)
				}
			}
			if name == "clipping" || len(usual) == 0 {
				t.Fatalf("nothing was found in %d blocks", len(usual))
			}
			slices.Sort(usual)
			t.Logf("noise %.1f dBFS, %.1f to %.1f", median(usual), usual[0], usual[len(usual)-1])
		})
	}
}
