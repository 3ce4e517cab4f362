package simulate

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"ciglio/sensor"
)

// signalOf returns the samples of a road from one instant to another.
func signalOf(t *testing.T, r *Road, from, to time.Duration) []complex128 {
	t.Helper()
	s := r.Unpaced(0)
	var z []complex128
	for {
		b, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return z
		}
		if err != nil {
			t.Fatal(err)
		}
		for n := range b.I {
			if at := b.At.Add(time.Duration(n) * 50 * time.Microsecond); at >= sensor.Mono(from) && at < sensor.Mono(to) {
				z = append(z, complex(float64(b.I[n]), float64(b.Q[n])))
			}
		}
	}
}

// density returns the power density at a frequency, in full scale squared per
// Hz: the mean over Hann windows of the given length.
func density(z []complex128, hz, rate float64, length int) float64 {
	sum, windows := 0.0, 0
	for from := 0; from+length <= len(z); from += length / 2 {
		var re, im, weight float64
		for n := range length {
			w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(n)/float64(length))
			s, c := math.Sincos(-2 * math.Pi * math.Mod(hz*float64(n)/rate, 1))
			x, y := real(z[from+n])*w, imag(z[from+n])*w
			re, im, weight = re+x*c-y*s, im+x*s+y*c, weight+w*w
		}
		sum += (re*re + im*im) / weight / rate
		windows++
	}
	return sum / float64(windows)
}

// frequency returns the mean frequency of a clean signal from the turning of
// its phase.
func frequency(z []complex128, rate float64) float64 {
	turned := 0.0
	for n := 1; n < len(z); n++ {
		p := z[n] * complex(real(z[n-1]), -imag(z[n-1]))
		turned += math.Atan2(imag(p), real(p))
	}
	return turned / 2 / math.Pi / float64(len(z)-1) * rate
}

func mustRoad(t testing.TB, s Scenario) *Road {
	t.Helper()
	r, err := NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDopplerFollowsTheGeometry(t *testing.T) {
	const limit = 0.35 // Hz: the shift changes within the window
	tests := []struct {
		name      string
		speed     sensor.Speed
		direction sensor.Direction
		lane      int
		before    time.Duration // time to or since the closest point
	}{
		{"far and approaching: positive", 7000, sensor.Approaching, 1, 2 * time.Second},
		{"far and receding: negative", 7000, sensor.Receding, 2, 2 * time.Second},
		{"near, where the cosine has begun to fall", 7000, sensor.Approaching, 1, 600 * time.Millisecond},
		{"far lane, larger angle", 9100, sensor.Approaching, 2, 800 * time.Millisecond},
		{"walking pace", 600, sensor.Receding, 1, 4 * time.Second},
		{"fast, near half the sampling rate", 20000, sensor.Approaching, 1, 700 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := Vehicle{Speed: test.speed, Direction: test.direction, Lane: test.lane, Passing: 5 * time.Second}
			r := mustRoad(t, Scenario{Duration: 10 * time.Second, Vehicles: []Vehicle{v}, Ideal: true})
			at := v.Passing - test.before
			sign := 1.0
			if test.direction == sensor.Receding {
				at, sign = v.Passing+test.before, -1
			}
			got := frequency(signalOf(t, r, at-10*time.Millisecond, at+10*time.Millisecond), 20_000)
			x := v.Speed.MPS() * test.before.Seconds()
			y := []float64{3.0, 6.4}[test.lane-1]
			cosine := x / math.Sqrt(x*x+y*y+1.2*1.2)
			want := sign * 2 * v.Speed.MPS() * cosine * 24.125e9 / 299_792_458
			if math.Abs(got-want) > limit {
				t.Errorf("frequency %.2f Hz, want %.2f", got, want)
			}
		})
	}
}

func TestEchoFallsWithDistance(t *testing.T) {
	v := Vehicle{Speed: 3600, Direction: sensor.Receding, Lane: 1, Passing: 0}
	r := mustRoad(t, Scenario{Duration: 20 * time.Second, Vehicles: []Vehicle{v}, Ideal: true, Radar: Radar{Gain: 20}})
	level := func(at time.Duration) float64 {
		z := signalOf(t, r, at, at+20*time.Millisecond)
		sum := 0.0
		for _, s := range z {
			sum += real(s)*real(s) + imag(s)*imag(s)
		}
		return 10 * math.Log10(sum/float64(len(z)))
	}
	// 30 m and 150 m, both nearly in the middle of the beam.
	if got := (level(3*time.Second) - level(15*time.Second)) / math.Log10(5); math.Abs(got-rangeLaw) > 1 {
		t.Errorf("one decade of distance takes %.1f dB, want about %.0f", got, rangeLaw)
	}
}

func TestSignalDoesNotDependOnHowItIsRead(t *testing.T) {
	r := mustRoad(t, Traffic(7, 70*sensor.KmH, 6*time.Second))
	whole := make([]float32, 2*6*20_000)
	i, q := whole[:len(whole)/2], whole[len(whole)/2:]
	r.Unpaced(0).read(i, q)
	s := r.Unpaced(0)
	for at, size := 0, 1; at < len(i); size = size*7%1999 + 1 {
		n := min(size, len(i)-at)
		pi, pq := make([]float32, n), make([]float32, n)
		s.read(pi, pq)
		for k := range n {
			if pi[k] != i[at+k] || pq[k] != q[at+k] {
				t.Fatalf("sample %d read in a block of %d differs", at+k, size)
			}
		}
		at += n
	}
}

func TestSeedChangesTheNoise(t *testing.T) {
	a := signalOf(t, mustRoad(t, Scenario{Seed: 1, Duration: time.Second}), 0, time.Second)
	b := signalOf(t, mustRoad(t, Scenario{Seed: 2, Duration: time.Second}), 0, time.Second)
	same := 0
	for n := range a {
		if a[n] == b[n] {
			same++
		}
	}
	if same > len(a)/100 {
		t.Errorf("%d of %d samples alike", same, len(a))
	}
}

func TestNoiseHasItsLevels(t *testing.T) {
	z := signalOf(t, mustRoad(t, Scenario{Seed: 3, Duration: 30 * time.Second}), 0, 30*time.Second)
	white := noiseLevel * noiseLevel / 20_000
	tests := []struct {
		name   string
		hz     float64
		want   float64 // full scale squared per Hz
		within float64 // dB
	}{
		{"white, positive side", 2500, white, 0.8},
		{"white, negative side", -4700, white, 0.8},
		{"corner: twice the white noise", 250, 2 * white, 1.5},
		{"1/f a decade below the corner", 25, 11 * white, 2.5},
		{"1/f between the mains lines", 200, white * (1 + 250.0/200), 1.5},
		{"little left above the corner", 1000, 1.2 * white, 0.8},
	}
	for _, test := range tests {
		got := density(z, test.hz, 20_000, 4096)
		if off := 10 * math.Log10(got/test.want); math.Abs(off) > test.within {
			t.Errorf("%s: %.2f dB off the density wanted, allowed %.1f", test.name, off, test.within)
		}
	}
	for _, line := range []float64{toneHz, 100, 300} {
		if over := 10 * math.Log10(density(z, line, 20_000, 4096)/density(z, line+20, 20_000, 4096)); over < 6 {
			t.Errorf("line at %.0f Hz stands %.1f dB over the floor, want 6", line, over)
		}
	}
}

func TestImageIsRejectedByItsLevel(t *testing.T) {
	g := newGenerator(mustRoad(t, Scenario{Duration: time.Second}))
	const hz = 20_000 * 16.0 / chunk
	var line, image complex128
	for n := range chunk {
		s, c := math.Sincos(2 * math.Pi * hz * float64(n) / 20_000)
		g.i[n], g.q[n] = c, s
	}
	g.unbalance()
	for n := range chunk {
		s, c := math.Sincos(2 * math.Pi * hz * float64(n) / 20_000)
		z := complex(g.i[n], g.q[n])
		line += z * complex(c, -s)
		image += z * complex(c, s)
	}
	ratio := 20 * math.Log10(math.Hypot(real(line), imag(line))/math.Hypot(real(image), imag(image)))
	if math.Abs(ratio-25) > 0.1 {
		t.Errorf("image %.2f dB below its line, want 25", ratio)
	}
}

func TestFadingIsRician(t *testing.T) {
	f := newFading(42, 0, 0)
	const n = 40_000
	var mean, power, far float64
	var re, im []float64
	for k := range n {
		a, b := f.at(float64(k) * 0.05)
		re, im = append(re, a), append(im, b)
		mean += a / n
		power += (a*a + b*b) / n
	}
	if math.Abs(power-1) > 0.05 {
		t.Errorf("mean power %.3f, want 1", power)
	}
	if k := mean * mean / (power - mean*mean); math.Abs(k-ricianK) > 0.4 {
		t.Errorf("K = %.2f, want %.0f", k, ricianK)
	}
	const lag = 16 // 0.8 m
	for k := lag; k < n; k++ {
		far += ((re[k]-mean)*(re[k-lag]-mean) + im[k]*im[k-lag]) / n
	}
	if c := far / (power - mean*mean); math.Abs(c) > 0.25 {
		t.Errorf("correlation over 0.8 m = %.2f, want it gone", c)
	}
}

func TestWheelsLieBelowTheBody(t *testing.T) {
	for _, class := range []Class{Car, Truck, Motorcycle} {
		v := Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 2 * time.Second, Class: class}
		g := newGenerator(mustRoad(t, Scenario{Duration: 4 * time.Second, Vehicles: []Vehicle{v}}))
		var e echo
		e.begin(g.road, 0)
		var body, wheels float64
		for n := range 80 { // chunks, 12.8 ms and 0.26 m each, from 24 m on
			e.add(g, v.Passing.Seconds()-1.2+float64(n)*chunk/20_000)
			if x := e.x[0]; x < 3 || x > 9 {
				continue
			}
			clear(g.i[:])
			clear(g.q[:])
			e.addWheels(g)
			for n := range chunk {
				wheels += g.i[n]*g.i[n] + g.q[n]*g.q[n]
			}
			body += chunk * math.Pow(10, (g.road.beam.power(e.x[0], e.y[0])+v.reflection())/10)
		}
		if below := 10 * math.Log10(body/wheels); math.Abs(below-wheelLevel) > 2.5 {
			t.Errorf("%v: wheels %.1f dB below the body, want about %.0f", class, below, wheelLevel)
		}
	}
}

func TestOnlyGainMakesClipping(t *testing.T) {
	clipped := func(gain float64) int {
		s := Traffic(5, 70*sensor.KmH, 20*time.Second)
		s.Radar.Gain = gain
		n := 0
		for _, z := range signalOf(t, mustRoad(t, s), 0, 20*time.Second) {
			if math.Abs(real(z)) > 0.9999 || math.Abs(imag(z)) > 0.9999 {
				n++
			}
		}
		return n
	}
	if n := clipped(0); n != 0 {
		t.Errorf("%d samples clip at the usual level", n)
	}
	if n := clipped(24); n == 0 {
		t.Error("no sample clips 24 dB above the usual level")
	}
}

func TestScenarioIsChecked(t *testing.T) {
	good := Vehicle{Speed: 5000, Direction: sensor.Approaching, Lane: 1}
	tests := []struct {
		name string
		make func(*Scenario)
	}{
		{"no duration", func(s *Scenario) { s.Duration = 0 }},
		{"vehicle that stands", func(s *Scenario) { s.Vehicles[0].Speed = 0 }},
		{"no direction", func(s *Scenario) { s.Vehicles[0].Direction = sensor.DirectionUnknown }},
		{"lane that is not there", func(s *Scenario) { s.Vehicles[0].Lane = 3 }},
		{"unknown class", func(s *Scenario) { s.Vehicles[0].Class = 9 }},
		{"rate of audio telephony", func(s *Scenario) { s.Radar.Rate = 4000 }},
		{"carrier in MHz by mistake", func(s *Scenario) { s.Radar.Carrier = 24_125 }},
		{"height that is not a number", func(s *Scenario) { s.Radar.Height = math.NaN() }},
		{"lane under the radar", func(s *Scenario) { s.Radar.Lanes = []float64{0} }},
	}
	for _, test := range tests {
		s := Scenario{Duration: time.Second, Vehicles: []Vehicle{good}}
		test.make(&s)
		if _, err := NewRoad(s); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
}

func TestNearGivesPlaces(t *testing.T) {
	r := mustRoad(t, Scenario{Duration: time.Minute, Vehicles: []Vehicle{
		{Speed: 3600, Direction: sensor.Receding, Lane: 2, Passing: 8 * time.Second},
		{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 12 * time.Second},
		{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 40 * time.Second},
	}})
	got := r.Near(nil, 10*time.Second, 100)
	if len(got) != 2 || math.Abs(got[0].X-40) > 1e-9 || got[0].Index != 1 || got[0].Y != 3.0 ||
		math.Abs(got[1].X-20) > 1e-9 || got[1].Index != 0 || got[1].Y != 6.4 {
		t.Errorf("near = %+v, want the second at 40 m and the first at 20 m", got)
	}
}
