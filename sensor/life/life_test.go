package life

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ciglio/sensor"
)

const rate = 20_000

// A played signal is what a radar in order shows, and what a test does to it.
type player struct {
	random *rand.Rand
	level  float64 // of the noise of each channel
	n      int
}

func newPlayer() *player { return &player{random: rand.New(rand.NewPCG(1, 2)), level: 0.02} }

// second returns the next second; change may alter each pair, n counting pairs.
func (p *player) second(change func(n int, i, q float64) (float64, float64)) (i, q []float32) {
	quantise := func(x float64) float32 {
		return float32(min(max(math.Round(x/step), -32768), 32767) * step)
	}
	for range rate {
		x, y := p.level*p.random.NormFloat64(), p.level*p.random.NormFloat64()
		if change != nil {
			x, y = change(p.n, x, y)
		}
		i, q = append(i, quantise(x)), append(q, quantise(y))
		p.n++
	}
	return i, q
}

// push gives m a second in blocks as a driver has them.
func push(m *Monitor, i, q []float32) {
	const block = 400
	for k := 0; k < len(i); k += block {
		m.Push(i[k:k+block], q[k:k+block])
	}
}

// feed gives m the next second.
func (p *player) feed(m *Monitor, change func(n int, i, q float64) (float64, float64)) {
	i, q := p.second(change)
	push(m, i, q)
}

func codes(all []sensor.Finding) (codes []string) {
	for _, f := range all {
		codes = append(codes, f.Code)
	}
	return codes
}

// vehicle is the echo of one with the given strength and speed in Hz, which is
// heard all the while.
func vehicle(strength, hz float64) func(int, float64, float64) (float64, float64) {
	return func(n int, i, q float64) (float64, float64) {
		// Its speed changes a little, as any does.
		phase := 2 * math.Pi * (hz*float64(n)/rate + 3*math.Sin(2*math.Pi*float64(n)/rate/7))
		return i + strength*math.Cos(phase), q + strength*math.Sin(phase)
	}
}

// What a radar delivers that lives and does not work, and what one in order
// delivers on any road.
func TestD05_SignalWithoutLifeIsNamed(t *testing.T) {
	var before [16]float64
	delayed := func(n int, i float64) float64 {
		late := before[n%len(before)]
		before[n%len(before)] = i
		return late
	}
	lowpass := 0.0
	tape := make([][2]float64, 3*rate)
	random := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name    string
		change  func(n int, i, q float64) (float64, float64)
		want    string // code
		words   string
		seconds int // until it is found, at most
	}{
		{"in order: a quiet road", nil, "", "", 0},
		{"in order: a vehicle", vehicle(0.1, 3000), "", "", 0},
		{"in order: a strong vehicle that goes away", vehicle(0.6, -4400), "", "", 0},
		{"in order: a vehicle beyond full scale for a second and a half", func(n int, i, q float64) (float64, float64) {
			if n/rate%6 == 3 || n/(rate/2)%12 == 8 {
				return vehicle(3, 2500)(n, i, q)
			}
			return i, q
		}, "", "", 0},
		{"in order: broad wheels beside the radar, every other second", func(n int, i, q float64) (float64, float64) {
			if n/rate%2 == 0 {
				for k := range 40 { // lines over the whole band, of one sign
					i, q = vehicle(0.02, 200+230*float64(k))(n, i, q)
				}
			}
			return i, q
		}, "", "", 0},
		{"in order: mains in both channels alike", func(n int, i, q float64) (float64, float64) {
			hum := 0.0
			for k := range 8 {
				hum += 0.05 * math.Sin(2*math.Pi*50*float64(k+1)*float64(n)/rate)
			}
			return i + hum, q + hum
		}, "", "", 0},
		{"in order: an offset of a tenth, and a channel 2 dB weaker", func(_ int, i, q float64) (float64, float64) { return i + 0.1, 0.8*q - 0.1 }, "", "", 0},
		{"in order: a vehicle ten times too strong for a second", func(n int, i, q float64) (float64, float64) {
			if n%(10*rate) > rate {
				return i, q
			}
			return vehicle(10, 2500)(n, i, q)
		}, "", "", 0},
		{"in order: a converter that sees little noise", func(_ int, i, q float64) (float64, float64) { return i * 1e-3, q * 1e-3 }, "", "", 0},

		{"all zero", func(int, float64, float64) (float64, float64) { return 0, 0 }, CodeDead, "I and Q do not change, they stay at zero", 1},
		{"at the rail", func(int, float64, float64) (float64, float64) { return 1, 1 }, CodeDead, "they stay at the rail", 1},
		{"at the other rail", func(int, float64, float64) (float64, float64) { return -1, -1 }, CodeDead, "they stay at the rail", 1},
		{"one constant", func(int, float64, float64) (float64, float64) { return 0.25, 0.25 }, CodeDead, "they stay at 0.250 of full scale", 1},
		{"two constants", func(int, float64, float64) (float64, float64) { return 0.25, -0.5 }, CodeDead, "0.250 of full scale and -0.500", 1},
		{"I is dead", func(_ int, _, q float64) (float64, float64) { return 0, q }, CodeDead, "I does not change", 1},
		{"Q is dead", func(_ int, i, _ float64) (float64, float64) { return i, 0 }, CodeDead, "Q does not change", 1},
		{"Q has only the converter's noise", func(_ int, i, _ float64) (float64, float64) { return i, 0.4 * step * random.NormFloat64() }, CodeNoise, "Q has noise of", 2},

		{"Q equal to I", func(_ int, i, _ float64) (float64, float64) { return i, i }, CodeCopy, "I and Q show one signal", 2},
		{"Q equal to -I", func(_ int, i, _ float64) (float64, float64) { return i, -i }, CodeCopy, "one signal", 2},
		{"Q equal to I, on a busy road", func(n int, i, q float64) (float64, float64) {
			i, _ = vehicle(0.3, 3000)(n, i, q)
			return i, i
		}, CodeCopy, "one signal", 2},
		{"Q equal to I, 3 dB weaker and 16 samples late", func(n int, i, _ float64) (float64, float64) { return i, 0.7 * delayed(n, i) }, CodeCopy, "one signal", 2},
		{"a mono signal with a little noise of its own in both", func(_ int, i, q float64) (float64, float64) { return i, i + 0.2*q }, CodeCopy, "one signal", 2},
		{"Q is I behind a filter", func(_ int, i, _ float64) (float64, float64) {
			lowpass += 0.7 * (i - lowpass)
			return i, lowpass
		}, CodeCopy, "one signal", 2},

		{"noise far too small", func(_ int, i, q float64) (float64, float64) { return i * 5e-4, q * 5e-4 }, CodeNoise, "I has noise of", 2},
		{"noise far too big", func(_ int, i, q float64) (float64, float64) { return i * 12, q * 12 }, CodeNoise, "I has noise of", 2},
		{"one channel 10 dB weaker", func(_ int, i, q float64) (float64, float64) { return i, q * 0.3 }, CodeBalance, "dB against Q", 2},
		{"a level near the rail", func(_ int, i, q float64) (float64, float64) { return i + 0.7, q }, CodeLevel, "the level of I is 0.70", 2},
		{"overdriven for ever", vehicle(20, 900), CodeOverdriven, "at full scale", 2},
		{"one buffer again and again", func(n int, i, q float64) (float64, float64) {
			if n%512 == 0 {
				random = rand.New(rand.NewPCG(5, 6))
			}
			return 0.02 * random.NormFloat64(), 0.02 * random.NormFloat64()
		}, CodeRepeats, "again and again", 1},
		{"a buffer of 3 s again and again", func(n int, i, q float64) (float64, float64) {
			if n < len(tape) {
				tape[n] = [2]float64{i, q}
			}
			pair := tape[n%len(tape)]
			return pair[0], pair[1]
		}, CodeRepeats, "every 3000 ms", 4},
		{"a pattern whose start comes again in itself", func(n int, _, _ float64) (float64, float64) {
			return 0.01 * float64((n+1)%5/4), 0
		}, CodeDead, "Q does not change", 1},
		{"such a pattern in both", func(n int, _, _ float64) (float64, float64) {
			return 0.01 * float64((n+1)%5/4), 0.02 * float64((n+1)%5/4)
		}, CodeRepeats, "again and again", 1},
		{"Q equal to I, 50 ms late", func(n int, i, _ float64) (float64, float64) {
			tape[n%rate][0] = i
			return i, tape[(n+rate-1000)%rate][0]
		}, CodeCopy, "in Q 50 ms later", 2},
		{"I equal to -Q, 1 s late", func(n int, _, q float64) (float64, float64) {
			tape[n%rate][0] = q
			return -tape[(n+1)%rate][0], q
		}, CodeCopy, "in I 1000 ms later", 3},
		{"mains alone", func(n int, _, _ float64) (float64, float64) { return vehicle(0.3, 50)(n%400, 0, 0) }, CodeRepeats, "every 20 ms", 2},
		{"only a tone", func(n int, _, _ float64) (float64, float64) { return vehicle(0.1, 1000.37)(n, 0, 0) }, CodeNoise, "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, m := newPlayer(), NewMonitor(rate, Normal{})
			for second := 1; second <= 60; second++ {
				p.feed(m, c.change)
				found := m.Findings()
				switch {
				case c.want == "" && len(found) > 0:
					t.Fatalf("second %d: %v", second, found)
				case c.want != "" && len(found) > 0 && (len(found) != 1 || found[0].Code != c.want || !strings.Contains(found[0].Words(), c.words)):
					t.Fatalf("second %d: %v, want %s", second, found, c.want)
				case c.want != "" && len(found) == 0 && second >= c.seconds:
					t.Fatalf("second %d: nothing was found", second)
				}
				if second > 12 && c.want != "" {
					break
				}
			}
		})
	}
}

// A stream that always loses some of its samples hides nothing.
func TestD05_SignalThatAlwaysLosesSamples(t *testing.T) {
	for name, change := range map[string]func(int, float64, float64) (float64, float64){
		"":        nil,
		CodeDead:  func(int, float64, float64) (float64, float64) { return 0, 0 },
		CodeCopy:  func(_ int, i, _ float64) (float64, float64) { return i, i },
		CodeNoise: func(_ int, i, q float64) (float64, float64) { return 12 * i, 12 * q },
	} {
		for _, blocks := range []int{1, 5, 40} { // of 20 ms, from loss to loss
			p, m := newPlayer(), NewMonitor(rate, Normal{})
			for range 5 {
				i, q := p.second(change)
				for k := 0; k < rate; k += 400 {
					if k/400%blocks == 0 {
						m.Break()
					}
					m.Push(i[k:k+400], q[k:k+400])
				}
			}
			want := name
			if blocks == 1 && name != CodeDead {
				want = "" // there is no stretch of 1,024
			}
			if got := strings.Join(codes(m.Findings()), "+"); got != want {
				t.Errorf("lost after each %d blocks: found %q, want %q", blocks, got, want)
			}
		}
	}
}

// A signal that breaks in the middle is found within seconds, by one code alone,
// and is in order again within seconds.
func TestD05_SignalThatBreaksAndComesBack(t *testing.T) {
	for name, change := range map[string]func(int, float64, float64) (float64, float64){
		CodeDead:  func(int, float64, float64) (float64, float64) { return 0, 0 },
		CodeCopy:  func(_ int, i, _ float64) (float64, float64) { return i, i },
		CodeNoise: func(_ int, i, q float64) (float64, float64) { return 12 * i, 12 * q },
	} {
		p, m := newPlayer(), NewMonitor(rate, Normal{})
		play := func(seconds int, change func(int, float64, float64) (float64, float64)) (sets []string) {
			for range seconds {
				p.feed(m, change)
				if set := strings.Join(codes(m.Findings()), "+"); len(sets) == 0 || sets[len(sets)-1] != set {
					sets = append(sets, set)
				}
			}
			return sets
		}
		if got := play(30, nil); !slices.Equal(got, []string{""}) {
			t.Errorf("%s: before: %q", name, got)
		}
		got := play(12, change)
		if got[len(got)-1] != name || len(got) > 2 || len(got) == 2 && got[0] != "" {
			t.Errorf("%s: found %q", name, got)
		}
		if got = play(12, nil); got[len(got)-1] != "" || len(got) > 2 {
			t.Errorf("%s: afterwards %q", name, got)
		}
	}
}

// The site's own normal is learnt over time in order, and kept.
func TestD05_NoiseIsComparedWithTheSitesOwn(t *testing.T) {
	// Seconds as the monitor has them, without the samples.
	quiet := Reading{LevelI: 0.01, LevelQ: -0.02, NoiseI: -34, NoiseQ: -35}
	var n Normal
	var p period
	for s := range 6 * quarter {
		r := quiet
		r.NoiseI += math.Sin(float64(s)) // dB
		good := s/quarter != 1           // the second quarter of an hour is out of order
		if s/quarter == 1 {
			r.NoiseI, good = 0, s%10 != 0
		}
		if _, known := n.Reading(); known && s < 5*quarter-1 {
			t.Fatalf("known after %d s", s)
		}
		p.add(r, good, &n)
	}
	usual, known := n.Reading()
	if !known || n.Len() != 5 || math.Abs(usual.NoiseI+34) > 0.1 || usual.NoiseQ != -35 || usual.LevelI != 0.01 {
		t.Fatalf("normal %+v, %t, of %d values", usual, known, n.Len())
	}
	kept, err := ParseNormal(n.Text("radar S1 20000"), "radar S1 20000")
	if again, known := kept.Reading(); err != nil || !known || math.Abs(again.NoiseI-usual.NoiseI) > 0.01 {
		t.Errorf("kept %+v, %v", again, err)
	}
	if other, err := ParseNormal(n.Text("radar S1 20000"), "radar S2 20000"); err != nil || other.Len() != 0 {
		t.Errorf("another sensor's: %d values, %v", other.Len(), err)
	}
	for name, text := range map[string]string{
		"empty": "", "no head": "1 2 3 4\n", "no number": head + "\nx\n0 0 a b\n",
		"no finite number": head + "\nx\n0 0 NaN -30\n", "out of range": head + "\nx\n2 0 -30 -30\n",
	} {
		if _, err := ParseNormal([]byte(text), "x"); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, c := range []struct {
		name  string
		level float64
		want  []string
	}{
		{"as it was", 0.02, nil},
		{"10 dB less", 0.0063, nil},
		{"16 dB less", 0.0032, []string{CodeNoise}},
		{"13 dB more", 0.09, []string{CodeNoise}},
	} {
		player, m := newPlayer(), NewMonitor(rate, kept)
		player.level = c.level
		for range 3 {
			player.feed(m, nil)
		}
		if got := codes(m.Findings()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.name, m.Findings())
		}
	}
}

// Most values of a day are needed to move a normal.
func TestNormalForgetsAfterADay(t *testing.T) {
	var n Normal
	for range 3 * mostValues {
		n.learn(Reading{NoiseI: -34})
	}
	for range mostValues/2 - 1 {
		n.learn(Reading{NoiseI: -20})
	}
	if r, _ := n.Reading(); r.NoiseI != -34 {
		t.Errorf("noise %v, want that of most of the day", r.NoiseI)
	}
	for range 2 {
		n.learn(Reading{NoiseI: -20})
	}
	if r, _ := n.Reading(); r.NoiseI != -20 || n.Len() != mostValues {
		t.Errorf("noise %v of %d values", r.NoiseI, n.Len())
	}
}

func FuzzNormal(f *testing.F) {
	f.Add(head + "\nx\n0.1 -0.1 -34.00 -35.00\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNormal([]byte(text), "x")
		if again, err2 := ParseNormal(n.Text("x"), "x"); err == nil && (err2 != nil || again.Len() != n.Len()) {
			t.Errorf("%q: read again: %v", text, err2)
		}
	})
}

func BenchmarkMonitor(b *testing.B) {
	p, m := newPlayer(), NewMonitor(rate, Normal{})
	i, q := p.second(nil)
	b.ReportAllocs()
	for b.Loop() {
		push(m, i, q)
	}
}
