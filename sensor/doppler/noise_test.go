package doppler

import (
	"math"
	"math/rand/v2"
	"testing"

	"ciglio/sensor"
)

// A sound writes what it adds to a signal at time t; its state is its own.
type sound func(t float64) float64

// tone is a sine between two instants, with edges of 10 ms.
func tone(hz, level, from, to float64) sound {
	phase := 0.3 * hz
	return func(t float64) float64 {
		if t < from || t > to {
			return 0
		}
		return level * edge(t, from, to, 0.01) * math.Sin(2*math.Pi*hz*t+phase)
	}
}

func edge(t, from, to, width float64) float64 {
	return min(1, (t-from)/width, (to-t)/width)
}

// sweep follows a frequency given as its integral, in turns.
func sweep(turns, level func(t float64) float64) sound {
	return func(t float64) float64 { return level(t) * math.Sin(2*math.Pi*turns(t)) }
}

func constant(v float64) func(float64) float64 { return func(float64) float64 { return v } }

func sum(all ...sound) sound {
	return func(t float64) float64 {
		var v float64
		for _, s := range all {
			v += s(t)
		}
		return v
	}
}

// music is notes of a scale with harmonics, decay and vibrato, one after the
// other and sometimes slurred.
func music(seed uint64, level float64) sound {
	r := rand.New(rand.NewPCG(seed, 1))
	var until, hz, from, phase, last, slur float64
	var before float64
	return func(t float64) float64 {
		if t >= until {
			from, until = t, t+0.1+1.2*r.Float64()
			hz = 196 * math.Pow(2, float64(r.IntN(30))/12)
			slur = 0
			if r.IntN(3) == 0 {
				slur = 0.3 * r.Float64()
			}
			last = before
		}
		f := hz * (1 + 0.01*math.Sin(2*math.Pi*5.5*t))
		if d := t - from; d < slur && last > 0 {
			f = last + (f-last)*d/slur
		}
		before = f
		phase += f * dt
		envelope := math.Exp(-(t - from) * 1.5)
		if hz > 800 { // a swelling one
			envelope = math.Sin(math.Pi * (t - from) / (until - from))
		}
		var v float64
		for h := 1.0; h <= 6; h++ {
			v += math.Sin(2*math.Pi*h*phase) / h
		}
		return level * envelope * v
	}
}

const dt = 1.0 / 20000

// thumps are blows on the housing.
func thumps(seed uint64, level float64) sound {
	r := rand.New(rand.NewPCG(seed, 2))
	next, at, hz := 0.5, -10.0, 60.0
	return func(t float64) float64 {
		if t > next {
			at, next, hz = t, t+0.2+2*r.Float64(), 40+200*r.Float64()
		}
		d := t - at
		return level * math.Exp(-12*d) * math.Sin(2*math.Pi*hz*d)
	}
}

// wind is noise of low frequency that comes and goes.
func wind(seed uint64, level float64) sound {
	r := rand.New(rand.NewPCG(seed, 3))
	var slow, a, b float64
	return func(t float64) float64 {
		slow += dt / 0.5 * (r.NormFloat64()*30 - slow)
		a += 0.05 * (r.NormFloat64() - a)
		b += 0.01 * (a - b)
		return level * (1 + math.Abs(slow)) * (a + 5*b)
	}
}

func hum(seed uint64, level float64) sound {
	return func(t float64) float64 {
		am := 1 + 0.8*math.Sin(2*math.Pi*0.3*t) + 0.3*math.Sin(2*math.Pi*1.7*t)
		f := 50*t + 0.02*math.Sin(2*math.Pi*0.1*t)
		return level * am * (math.Sin(2*math.Pi*f) + 0.7*math.Sin(4*math.Pi*f) + 0.5*math.Sin(6*math.Pi*f) + 0.4*math.Sin(12*math.Pi*f))
	}
}

// feed runs a signal of 20 kHz through a processor and returns the passages.
func feed(t testing.TB, seconds float64, noise float64, seed uint64, i, q sound) []sensor.Passage {
	t.Helper()
	p, err := NewProcessor(Format{Rate: 20000, Complex: q != nil}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 9))
	const block = 1000
	b := Block{I: make([]float32, block)}
	if q != nil {
		b.Q = make([]float32, block)
	}
	var all []sensor.Passage
	for n := 0; n < int(seconds*20000); n += block {
		b.Index, b.At = uint64(n), sensor.Mono(n)*50_000
		for k := range block {
			at := float64(n+k) / 20000
			b.I[k] = limit(i(at) + noise*r.NormFloat64())
			if q != nil {
				b.Q[k] = limit(q(at) + noise*r.NormFloat64())
			}
		}
		if err := p.Push(b); err != nil {
			t.Fatal(err)
		}
		for {
			x, ok := p.Pop()
			if !ok {
				break
			}
			all = append(all, x)
		}
	}
	p.Flush()
	for {
		x, ok := p.Pop()
		if !ok {
			return all
		}
		all = append(all, x)
	}
}

func limit(v float64) float32 {
	return float32(max(-1, min(1, math.Round(v*32768)/32768)))
}

func TestWhatIsNoVehicleGivesNoPassage(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	silence := func(float64) float64 { return 0 }
	siren := func(period, low, high float64) sound {
		mid, half := (low+high)/2, (high-low)/2
		return sweep(func(t float64) float64 {
			return mid*t - half*period/(2*math.Pi)*math.Cos(2*math.Pi*t/period)
		}, constant(0.05))
	}
	for _, c := range []struct {
		name    string
		seconds float64
		noise   float64
		i       sound
	}{
		{"nothing at all", 20, 0, silence},
		{"two minutes of noise", 120, 0.01, silence},
		{"two minutes of faint noise in the last bits", 120, 0.00003, silence},
		{"a tone that is always there", 60, 0.003, tone(1234, 0.1, -1, 100)},
		{"tones switched on and off", 60, 0.003, sum(tone(1500, 0.05, 3, 5), tone(2200, 0.1, 8, 20), tone(900, 0.02, 22, 22.8), tone(3100, 0.2, 30, 33), tone(1000, 0.1, 31, 36))},
		{"tones beside each other that beat", 60, 0.003, sum(tone(1500, 0.05, 3, 30), tone(1512, 0.05, 5, 40), tone(1530, 0.04, 10, 50))},
		{"hum of the mains that swells and ebbs", 60, 0.003, hum(1, 0.1)},
		{"music", 120, 0.003, music(1, 0.1)},
		{"other music", 120, 0.003, music(2, 0.1)},
		{"loud music", 120, 0.003, music(3, 0.6)},
		{"a siren", 60, 0.003, siren(4, 600, 1500)},
		{"a fast siren", 60, 0.003, siren(0.4, 650, 1600)},
		{"blows", 60, 0.003, thumps(1, 0.5)},
		{"wind", 60, 0.003, wind(1, 0.1)},
		{"all of it", 60, 0.003, sum(wind(2, 0.05), thumps(3, 0.1), hum(1, 0.05), music(5, 0.05))},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range feed(t, c.seconds, c.noise, 1, c.i, nil) {
				p.Trace = sensor.Trace{}
				t.Errorf("%.2f-%.2f s: %v u %v %v", p.Start.Seconds(), p.End.Seconds(), p.Speed, p.Budget.Total(), p.Reasons)
			}
		})
	}
}
