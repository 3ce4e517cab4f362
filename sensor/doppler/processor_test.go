package doppler

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler/spectrum"
	"ciglio/sensor/sensortest/recording"
	"ciglio/sensor/wav"
)

func TestFormatIsChecked(t *testing.T) {
	for _, c := range []struct {
		name    string
		format  Format
		options Options
		ok      bool
	}{
		{"lowest rate", Format{Rate: 8000}, Options{}, true},
		{"highest rate", Format{Rate: 200000, Complex: true}, Options{}, true},
		{"no rate", Format{}, Options{}, false},
		{"negative rate", Format{Rate: -44100}, Options{}, false},
		{"absurd rate", Format{Rate: 1 << 30}, Options{}, false},
		{"carrier too low", Format{Rate: 20000}, Options{Carrier: 24}, false},
		{"negative angle", Format{Rate: 20000}, Options{Angle: -1}, false},
		{"angle across the road", Format{Rate: 20000}, Options{Angle: 90_000}, false},
		{"a photo range beyond the beam", Format{Rate: 20000}, Options{PhotoRange: 200_001}, false},
		{"negative tolerance", Format{Rate: 20000}, Options{CarrierTolerance: -1}, false},
	} {
		if _, err := NewProcessor(c.format, c.options); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// synthetic writes cars as a WAV file of I and Q.
func synthetic(t testing.TB, seconds float64, noise float64, cars ...car) []byte {
	t.Helper()
	i, q := signal(cars...)
	n := int64(seconds * 20000)
	var out bytes.Buffer
	w, err := wav.NewWriter(&out, wav.Format{Rate: 20000, Channels: 2, Bits: 16}, n)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 4))
	bi, bq := make([]float32, n), make([]float32, n)
	for k := range bi {
		at := float64(k) / 20000
		bi[k], bq[k] = float32(i(at)+noise*r.NormFloat64()), float32(q(at)+noise*r.NormFloat64())
	}
	if err := errors.Join(w.Write(bi, bq), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var twoCars = []car{{kmh: 72, pass: 5, offset: 3}, {kmh: 88, pass: 9, offset: 5, away: true}}

func TestPhotoIsWhereTheVehicleWas(t *testing.T) {
	const from = 15.0 // m
	data := synthetic(t, 14, 0.004, twoCars...)
	got := measureWAV(t, bytes.NewReader(data), Options{PhotoRange: 1000 * from}, func() int { return 4096 })
	if len(got) != len(twoCars) {
		t.Fatalf("%d passages", len(got))
	}
	for n, c := range twoCars {
		want := c.pass - from/(c.kmh/3.6)
		if c.away {
			want = c.pass + from/(c.kmh/3.6)
		}
		if off := (got[n].Photo.Seconds() - want) * c.kmh / 3.6; math.Abs(off) > 2.5 {
			t.Errorf("%g km/h: photographed %.2f m from its place", c.kmh, off)
		}
	}
}

func TestBlockSizeChangesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("short: five times the same")
	}
	data := synthetic(t, 14, 0.004, twoCars...)
	o := Options{KeepTrace: true}
	want := measureWAV(t, bytes.NewReader(data), o, func() int { return 4096 })
	if len(want) != 2 {
		t.Fatalf("%d passages, want 2", len(want))
	}
	r := rand.New(rand.NewPCG(7, 7))
	for name, block := range map[string]func() int{
		"one sample":  func() int { return 1 },
		"random":      func() int { return 1 + r.IntN(9000) },
		"one frame":   func() int { return 1024 },
		"the odd one": func() int { return 777 },
	} {
		got := measureWAV(t, bytes.NewReader(data), o, block)
		if len(got) != len(want) {
			t.Errorf("%s: %d passages, want %d", name, len(got), len(want))
			continue
		}
		for i := range got {
			// What the tape held at the end of a trace depends on the blocks.
			got[i].Trace.Data, got[i].Trace.Samples, got[i].Trace.Last = nil, 0, 0
			w := want[i]
			w.Trace.Data, w.Trace.Samples, w.Trace.Last = nil, 0, 0
			if got[i].Speed != w.Speed || got[i].Start != w.Start || got[i].End != w.End || got[i].Budget != w.Budget || got[i].Trace.First != w.Trace.First {
				t.Errorf("%s: %+v, want %+v", name, got[i], w)
			}
		}
	}
}

func TestTraceGivesTheSpeedAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	again := func(t *testing.T, all []sensor.Passage, limit float64, o Options) {
		if len(all) == 0 {
			t.Error("no passage")
		}
		for _, p := range all {
			if d := p.Trace.Last.Sub(p.Trace.First); d > maxTrace || p.Trace.Format != "audio/wav" {
				t.Errorf("trace of %v, format %q", d, p.Trace.Format)
			}
			got := measureWAV(t, bytes.NewReader(p.Trace.Data), o, func() int { return 4096 })
			if !slices.ContainsFunc(got, func(g sensor.Passage) bool {
				return g.Valid() && math.Abs(kmh(g)-kmh(p)) <= limit && g.Direction == p.Direction
			}) {
				t.Errorf("%v at %.2f s: the trace of %v gives %d passages: %+v", p.Speed, p.Start.Seconds(), p.Trace.Last.Sub(p.Trace.First), len(got), got)
			}
		}
	}
	t.Run("synthetic", func(t *testing.T) {
		o := Options{KeepTrace: true}
		again(t, measureWAV(t, bytes.NewReader(synthetic(t, 14, 0.004, twoCars...)), o, func() int { return 512 }), 0.05, o)
	})
	for _, name := range []string{"uct_02_ad620_car_away.wav", "uct_06_bus_away.wav", "uct_08_2cars_towards.wav", "uct_20kmh_v1.wav", "uct_40kmh_v1.wav"} {
		t.Run(name, func(t *testing.T) {
			o := Options{KeepTrace: true, Carrier: 24_000_000_000}
			again(t, measureFile(t, recording.Path(t, "radar/"+name), o, 1000), 0.3, o)
		})
	}
}

func TestClippedZoneIsInvalid(t *testing.T) {
	i, q := signal(car{kmh: 72, pass: 5, offset: 3, level: 30})
	got := feed(t, 9, 0.004, 1, i, q)
	for _, p := range got {
		if p.Valid() {
			t.Errorf("valid: %v", p.Speed)
		}
	}
	if !slices.ContainsFunc(got, func(p sensor.Passage) bool { return slices.Contains(p.Reasons, sensor.ReasonClipped) }) {
		t.Errorf("no passage says that it was clipped: %+v", got)
	}
}

func TestBlocksThatTheSensorCallsOverdrivenAreClipped(t *testing.T) {
	play := newPlayer(9, car{kmh: 72, pass: 5, offset: 3})
	p, err := NewProcessor(play.Format(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := play.Next(t.Context())
		if err != nil {
			break
		}
		b.Clipped = b.Index > 60_000
		if err := p.Push(b); err != nil {
			t.Fatal(err)
		}
	}
	p.Flush()
	x, ok := p.Pop()
	if !ok || !slices.Contains(x.Reasons, sensor.ReasonClipped) {
		t.Errorf("passage %v: %+v", ok, x)
	}
}

func TestSamplesThatAreNoNumbersCountAsClipped(t *testing.T) {
	p, err := NewProcessor(Format{Rate: 20000}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := Block{I: make([]float32, 5000)}
	for k := range b.I {
		b.I[k] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1e30}[k%4]
	}
	if err := p.Push(b); err != nil {
		t.Fatal(err)
	}
	for _, v := range p.i {
		if !(v >= -1 && v <= 1) {
			t.Fatalf("sample %v", v)
		}
	}
	if slices.Contains(p.clip[:5000%pieceSize], 0) {
		t.Error("a sample that is no number does not count as clipped")
	}
}

// A player is a stream of samples in memory with faults.
type player struct {
	i, q   []float32
	at     int
	skipAt int // a gap of 100 samples
	failAt int // an error, once
	err    error
}

func (p *player) Format() Format { return Format{Rate: 20000, Complex: true} }

func (p *player) Next(ctx context.Context) (Block, error) {
	if err := ctx.Err(); err != nil {
		return Block{}, err
	}
	if p.err != nil && p.at >= p.failAt {
		err := p.err
		p.err = nil
		return Block{}, err
	}
	if p.skipAt > 0 && p.at >= p.skipAt {
		p.at, p.skipAt = p.at+100, 0
	}
	n := min(500, len(p.i)-p.at)
	if n <= 0 {
		return Block{}, io.EOF
	}
	b := Block{Index: uint64(p.at), At: sensor.Mono(p.at) * 50_000, I: p.i[p.at : p.at+n], Q: p.q[p.at : p.at+n]}
	p.at += n
	return b, nil
}

func newPlayer(seconds float64, cars ...car) *player {
	i, q := signal(cars...)
	r := rand.New(rand.NewPCG(1, 4))
	p := &player{}
	for k := range int(seconds * 20000) {
		at := float64(k) / 20000
		p.i = append(p.i, float32(i(at)+0.004*r.NormFloat64()))
		p.q = append(p.q, float32(q(at)+0.004*r.NormFloat64()))
	}
	return p
}

func TestInterruptedPassageIsNeverValid(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	fault := errors.New("converter: unplugged")
	for _, c := range []struct {
		name string
		play func(p *player)
	}{
		{"samples lost", func(p *player) { p.skipAt = 85_000 }},
		{"stream failed", func(p *player) { p.failAt, p.err = 85_000, fault }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlayer(14, twoCars...)
			c.play(p)
			s, err := NewSource(p, Options{Simulated: true})
			if err != nil {
				t.Fatal(err)
			}
			var got []sensor.Passage
			failed := 0
			for {
				x, err := s.Next(context.Background())
				if errors.Is(err, io.EOF) {
					break
				}
				if errors.Is(err, fault) {
					failed++
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, x)
			}
			lost := 0
			for _, x := range got {
				if slices.Contains(x.Reasons, sensor.ReasonLostSamples) {
					lost++
				} else if x.Valid() && math.Abs(kmh(x)-88) > 0.3 {
					t.Errorf("%v stands", x.Speed)
				}
			}
			if lost != 1 || c.name == "stream failed" && failed != 1 {
				t.Errorf("%d passages lost, %d failures, want one: %+v", lost, failed, got)
			}
		})
	}
}

func TestPassageComesSoonAfterTheVehicleLeft(t *testing.T) {
	p := newPlayer(14, twoCars...)
	s, err := NewSource(p, Options{Model: "test", Serial: "1", Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		x, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if late := time.Duration(p.at)*50*time.Microsecond - time.Duration(x.End); late > 500*time.Millisecond {
			t.Errorf("%v came %v after its end", x.Speed, late)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
		t.Errorf("Next of a cancelled context: %v", err)
	}
	if _, err := s.Next(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("Next at the end: %v", err)
	}
	if id := s.Identity(); id.Model != "test" || id.Serial != "1" || !id.Simulated || id.Separates || len(id.Settings) == 0 {
		t.Errorf("identity %+v", id)
	}
}

func FuzzProcessor(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint16(20000), true)
	f.Fuzz(func(t *testing.T, data []byte, rate uint16, cplx bool) {
		p, err := NewProcessor(Format{Rate: int(rate), Complex: cplx}, Options{KeepTrace: false})
		if err != nil {
			return
		}
		var b Block
		for len(data) >= 8 {
			n := int(data[0])*16 + 1
			b.Index += uint64(len(b.I)) + uint64(data[1]>>6)
			b.I = make([]float32, n)
			for k := range b.I {
				at := (k*4)%(len(data)-4) + 1
				b.I[k] = math.Float32frombits(uint32(data[at]) | uint32(data[at+1])<<8 | uint32(data[at+2])<<16 | uint32(data[at+3])<<24)
			}
			if b.Q = nil; cplx {
				b.Q = slices.Clone(b.I)
			}
			if err := p.Push(b); err != nil {
				t.Fatal(err)
			}
			data = data[8:]
		}
		p.Flush()
		for x, ok := p.Pop(); ok; x, ok = p.Pop() {
			if x.End < x.Start {
				t.Errorf("passage %+v", x)
			}
		}
	})
}

// BenchmarkRealTime measures how many times faster than real time one core is
// with 20,000 I/Q pairs a second, and beside it the Fourier transforms alone.
func BenchmarkRealTime(b *testing.B) {
	play := newPlayer(14, twoCars...)
	p, err := NewProcessor(play.Format(), Options{KeepTrace: true})
	if err != nil {
		b.Fatal(err)
	}
	const block = 512
	blocks := len(play.i) / block
	index := uint64(0)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		k := n % blocks
		n++
		x := Block{Index: index, At: sensor.Mono(index) * 50_000, I: play.i[k*block : (k+1)*block], Q: play.q[k*block : (k+1)*block]}
		index += block
		if err := p.Push(x); err != nil {
			b.Fatal(err)
		}
		for _, ok := p.Pop(); ok; _, ok = p.Pop() {
		}
	}
	seconds := float64(n) * block / 20000
	whole := b.Elapsed().Seconds()
	b.ReportMetric(seconds/whole, "x-realtime")
	start := time.Now()
	for _, c := range p.chains {
		s := spectrum.New(c.Size, true)
		for range int64(n) * block / c.Step {
			s.Compute(play.i[:c.Size], play.q[:c.Size])
		}
	}
	limit := time.Since(start).Seconds()
	b.ReportMetric(seconds/limit, "x-realtime-fft-alone")
	b.ReportMetric(limit/whole, "share-of-fft")
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p, err := NewProcessor(Format{Rate: 20000, Complex: true}, Options{KeepTrace: true})
	if err != nil {
		t.Fatal(err)
	}
	play := newPlayer(4, car{kmh: 40, pass: 20, offset: 3})
	b := Block{I: play.i[:512], Q: play.q[:512]}
	push := func() {
		b.Index += uint64(len(b.I))
		b.I, b.Q = play.i[b.Index%60000:b.Index%60000+512], play.q[b.Index%60000:b.Index%60000+512]
		if err := p.Push(b); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		push()
	}
	if n := testing.AllocsPerRun(300, push); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
}
