package doppler

import (
	"math"
	"math/rand/v2"
	"testing"

	"ciglio/sensor"
)

// push gives a signal of I/Q pairs at 20 kHz to a processor.
func push(t *testing.T, p *Processor, seconds float64, i, q sound) []sensor.Passage {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 5))
	b := Block{I: make([]float32, 800), Q: make([]float32, 800)}
	var all []sensor.Passage
	for n := 0; n < int(seconds*20000); n += len(b.I) {
		b.Index, b.At = uint64(n), sensor.Mono(n)*50_000
		for k := range b.I {
			at := float64(n+k) / 20000
			b.I[k] = limit(i(at) + 0.003*r.NormFloat64())
			b.Q[k] = limit(q(at) + 0.003*r.NormFloat64())
		}
		if err := p.Push(b); err != nil {
			t.Fatal(err)
		}
		for x, ok := p.Pop(); ok; x, ok = p.Pop() {
			all = append(all, x)
		}
	}
	p.Flush()
	for x, ok := p.Pop(); ok; x, ok = p.Pop() {
		all = append(all, x)
	}
	return all
}

func TestUnequalChannelsAreMadeAlike(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	cars := []car{{kmh: 70, pass: 6, offset: 3}, {kmh: 52, pass: 13, offset: 4}, {kmh: 61, pass: 16, offset: 5, away: true}}
	for _, c := range []struct {
		why         string
		gain, phase float64 // of Q against I, dB and degrees
	}{
		{"equal", 0, 0},
		{"a gain of 1 dB", 1, 0},
		{"a phase of 10°", 0, 10},
		{"the worst that tells directions, 15 dB", 2, 15},
		{"image rejection of 9 dB", 3, 36},
	} {
		t.Run(c.why, func(t *testing.T) {
			i, q := signal(cars...)
			g, phi := math.Pow(10, c.gain/20), c.phase*math.Pi/180
			skewed := func(t float64) float64 { return g * (math.Cos(phi)*q(t) + math.Sin(phi)*i(t)) }
			p, err := NewProcessor(Format{Rate: 20000, Complex: true}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := push(t, p, 26, i, skewed)
			// z' = i + j·g·(q·cosφ + i·sinφ) = z·a + z*·b
			a := complex(1+g*math.Cos(phi), g*math.Sin(phi)) / 2
			b := complex(1-g*math.Cos(phi), g*math.Sin(phi)) / 2
			want := b / complex(real(a), -imag(a))
			have := p.balance.Image()
			left := have - want
			if rejection := -20 * math.Log10(math.Hypot(real(left), imag(left))); rejection < 30 {
				t.Errorf("κ = %.4f, want %.4f: the image is %.1f dB down", have, want, rejection)
			}
			expect(t, got, 0.2, true, cars...)
		})
	}
}

func TestSensorWithOneDeadChannelTellsNoDirection(t *testing.T) {
	c := car{kmh: 70, pass: 6, offset: 3}
	i, _ := signal(c)
	p, err := NewProcessor(Format{Rate: 20000, Complex: true}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := push(t, p, 9, i, func(float64) float64 { return 0 })
	expect(t, got, 0.2, false, c)
}
