package simulate

import (
	"math"
	"testing"
	"time"

	"ciglio/sensor"
)

// quiet is a radar without tones, mains and 1/f noise, and with little noise.
func quiet() Radar {
	return Radar{Noise: -50, Corner: -1, Tones: []Tone{}, Mains: []Tone{}, Imbalance: &Imbalance{}}
}

// spectrum returns mean and standard deviation of the frequencies in a signal,
// from its correlation over a few samples, and its power in dB of full scale.
func spectrum(z []complex128, rate float64) (mean, spread, level float64) {
	const lag = 3
	var power float64
	var r complex128
	for n := lag; n < len(z); n++ {
		power += real(z[n])*real(z[n]) + imag(z[n])*imag(z[n])
		r += z[n] * complex(real(z[n-lag]), -imag(z[n-lag]))
	}
	step := 2 * math.Pi * lag / rate
	mean = math.Atan2(imag(r), real(r)) / step
	spread = math.Sqrt(-2*math.Log(math.Hypot(real(r), imag(r))/power)) / step
	return mean, spread, 10 * math.Log10(power/float64(len(z)-lag))
}

func TestRainAndVegetationHaveTheirSpectrum(t *testing.T) {
	const perKmH = 2 * 24.125e9 / lightSpeed / 3.6 // Hz
	for _, test := range []struct {
		name                string
		rain                *Rain
		plants              *Vegetation
		mean, spread, level float64 // km/h, km/h, dB
	}{
		{"rain that falls towards the radar", &Rain{Level: -30, Speed: 1400, Spread: 600}, nil, 14, 6, -30},
		{"rain that the wind takes away", &Rain{Level: -24, Speed: 1000, Spread: 300, Away: true}, nil, -10, 3, -24},
		{"vegetation", nil, &Vegetation{Level: -26, Spread: 100}, 0, 1, -26},
	} {
		s := Scenario{Seed: 2, Duration: 20 * time.Second, Radar: quiet(), Rain: test.rain, Plants: test.plants}
		mean, spread, level := spectrum(signalOf(t, mustRoad(t, s), 0, s.Duration), 20_000)
		if math.Abs(mean/perKmH-test.mean) > 0.3 || math.Abs(spread/perKmH/test.spread-1) > 0.15 || math.Abs(level-test.level) > 1 {
			t.Errorf("%s: %.1f ± %.1f km/h at %.1f dB; want %g ± %g at %g", test.name,
				mean/perKmH, spread/perKmH, level, test.mean, test.spread, test.level)
		}
	}
}

func TestImbalanceRejectsAsTheFormulaSays(t *testing.T) {
	for _, test := range []struct {
		name        string
		gain, phase float64
		want        float64 // dB
	}{
		{"a good radar", 0.2, 1.5, 35.0},
		{"the usual one", 0.68, 4.6, 25.0},
		{"a bad one", 2.2, 14, 15.2},
		{"gain alone", 1, 0, 24.8},
		{"phase alone", 0, 10, 21.1},
	} {
		radar := quiet()
		radar.Imbalance = &Imbalance{test.gain, test.phase}
		g := newGenerator(mustRoad(t, Scenario{Duration: time.Second, Radar: radar}))
		var line, image complex128
		for n := range chunk {
			g.i[n], g.q[n] = math.Cos(2*math.Pi*16*float64(n)/chunk), math.Sin(2*math.Pi*16*float64(n)/chunk)
		}
		g.unbalance()
		for n := range chunk {
			s, c := math.Sincos(2 * math.Pi * 16 * float64(n) / chunk)
			z := complex(g.i[n], g.q[n])
			line += z * complex(c, -s)
			image += z * complex(c, s)
		}
		got := 20 * math.Log10(math.Hypot(real(line), imag(line))/math.Hypot(real(image), imag(image)))
		ln, phi := test.gain/20*math.Ln10, test.phase*math.Pi/180
		formula := 6.02 - 20*math.Log10(math.Sqrt(ln*ln+phi*phi))
		if math.Abs(got-test.want) > 0.2 || math.Abs(got-formula) > 0.2 {
			t.Errorf("%s: %.2f dB of rejection, want %.1f, by the formula %.2f", test.name, got, test.want, formula)
		}
	}
}

func TestConverterHasItsSteps(t *testing.T) {
	s := Traffic(1, 70*sensor.KmH, 3*time.Second)
	s.Radar.Bits = 10
	fine := 0
	for _, z := range signalOf(t, mustRoad(t, s), 0, s.Duration) {
		for _, x := range [2]float64{real(z), imag(z)} {
			if x*512 != math.Round(x*512) || x < -1 || x > 511.0/512 {
				t.Fatalf("sample %g is no step of 10 bits", x)
			}
			if x != 0 {
				fine++
			}
		}
	}
	if fine == 0 {
		t.Error("nothing but zeros")
	}
}

func TestRealOutputIsTheRealPart(t *testing.T) {
	s := Traffic(3, 70*sensor.KmH, 3*time.Second)
	both := mustRoad(t, s).Unpaced(0)
	s.Radar.Real = true
	one := mustRoad(t, s).Unpaced(0)
	if one.Format().Complex || !both.Format().Complex {
		t.Errorf("formats %+v and %+v", one.Format(), both.Format())
	}
	for {
		a, errA := one.Next(t.Context())
		b, errB := both.Next(t.Context())
		if errA != nil || errB != nil {
			if (errA == nil) != (errB == nil) {
				t.Errorf("the two end at different places: %v, %v", errA, errB)
			}
			return
		}
		if a.Q != nil || len(a.I) != len(b.I) {
			t.Fatalf("block of %d and %d samples", len(a.I), len(a.Q))
		}
		for n := range a.I {
			if a.I[n] != b.I[n] {
				t.Fatalf("sample %d is %g, want %g", n, a.I[n], b.I[n])
			}
		}
	}
}

func TestNoiseIsAsAsked(t *testing.T) {
	level := func(r Radar) float64 {
		r.Corner, r.Tones, r.Mains = -1, []Tone{}, []Tone{}
		s := Scenario{Seed: 4, Duration: 2 * time.Second, Radar: r}
		_, _, level := spectrum(signalOf(t, mustRoad(t, s), 0, s.Duration), float64(max(r.Rate, 20_000)))
		return level
	}
	usual := level(Radar{})
	for _, test := range []struct {
		name  string
		radar Radar
		more  float64
	}{
		{"10 dB more noise", Radar{Noise: 10}, 10},
		{"the receiver amplifies its noise", Radar{Gain: -6}, -6},
		{"five times the band", Radar{Rate: 100_000}, 7},
	} {
		// signalOf takes the time of a sample for 50 µs; the power needs none.
		if got := level(test.radar) - usual; math.Abs(got-test.more) > 0.2 {
			t.Errorf("%s: %.2f dB more, want %g", test.name, got, test.more)
		}
	}
}

func TestDopplerFollowsAcceleration(t *testing.T) {
	v := Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 6 * time.Second,
		Phases: []Phase{{From: -4 * time.Second, Until: -time.Second, Acceleration: 3}}}
	s := Scenario{Duration: 7 * time.Second, Vehicles: []Vehicle{v}, Ideal: true}
	r := mustRoad(t, s)
	for _, at := range []time.Duration{2500 * time.Millisecond, 3500 * time.Millisecond, 4700 * time.Millisecond, 5200 * time.Millisecond} {
		got := frequency(signalOf(t, r, at-5*time.Millisecond, at+5*time.Millisecond), 20_000)
		want := r.target(0, at).Speed * 2 * 24.125e9 / lightSpeed
		if math.Abs(got-want) > 0.5 {
			t.Errorf("at %v: %.2f Hz, want %.2f", at, got, want)
		}
	}
}

func TestFasterThanTheSamplesShowIsGone(t *testing.T) {
	radar := quiet()
	radar.Gain, radar.Noise = 20, -60
	v := Vehicle{Speed: 25000, Direction: sensor.Approaching, Lane: 1, Passing: 2 * time.Second}
	r := mustRoad(t, Scenario{Duration: 4 * time.Second, Vehicles: []Vehicle{v}, Radar: radar})
	_, _, level := spectrum(signalOf(t, r, 1300*time.Millisecond, 1700*time.Millisecond), 20_000)
	if level > -60 {
		t.Errorf("%.1f dB of a line beyond half the sampling rate", level)
	}
}

// TestLongVehiclesReflectAtSeveralPlaces finds the trailer of a lorry when its
// front has passed the radar.
func TestLongVehiclesReflectAtSeveralPlaces(t *testing.T) {
	level := func(class Class) float64 {
		v := Vehicle{Speed: 5400, Direction: sensor.Approaching, Lane: 1, Passing: 2 * time.Second, Class: class}
		r := mustRoad(t, Scenario{Duration: 4 * time.Second, Vehicles: []Vehicle{v}, Ideal: true})
		_, _, level := spectrum(signalOf(t, r, 2300*time.Millisecond, 2700*time.Millisecond), 20_000)
		return level
	}
	if lorry, car := level(Lorry), level(Car); lorry < car+10 {
		t.Errorf("behind its front a lorry gives %.1f dB, a car %.1f", lorry, car)
	}
}
