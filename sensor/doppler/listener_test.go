package doppler

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestEighthsAreTheLogarithm(t *testing.T) {
	for _, c := range []struct {
		why   string
		ratio float32
		want  uint8
	}{
		{"below the noise", 0.1, 0},
		{"the noise", 1, 0},
		{"an octave", 2, 8},
		{"9 dB", 8, 24},
		{"between", 3, 12},
		{"30 octaves", 1 << 30, 240},
		{"more than fits", 1e30, 255},
		{"infinite", float32(math.Inf(1)), 255},
	} {
		if got := eighths(c.ratio); got != c.want {
			t.Errorf("%s: eighths(%g) = %d, want %d", c.why, c.ratio, got, c.want)
		}
	}
}

// listen fills a listener with frames of noise to which signal may add.
func listen(frames int64, signal func(frame int64, power []float32)) *listener {
	const bins = 512
	hop := 12800 * time.Microsecond
	d := newDetector(2*bins, true, 8, 450, hop)
	for k := range d.local {
		d.local[k], d.background[k] = 1, 1
	}
	l := newListener(d, hop.Seconds())
	random := rand.New(rand.NewPCG(1, 2))
	power := make([]float32, 2*bins)
	for n := range frames {
		for k := range power {
			power[k] = float32(random.ExpFloat64())
		}
		signal(n, power)
		l.add(d, power, n)
	}
	return l
}

func TestNoiseIsNoLine(t *testing.T) {
	l := listen(80*60, func(int64, []float32) {}) // a minute, of frames that do not overlap
	if len(l.lines) > 1 {
		t.Errorf("%d lines in noise: %v", len(l.lines), l.lines)
	}
}

func TestFaintLineIsHeard(t *testing.T) {
	const bin = 130
	random := rand.New(rand.NewPCG(3, 4))
	l := listen(400, func(n int64, power []float32) {
		if n >= 100 && n < 300 {
			power[512+bin] += float32(4 * random.ExpFloat64()) // 6 dB in the mean, and often gone
		}
	})
	heard := 0
	for _, f := range l.lines {
		if f.f == bin {
			heard++
			if f.frame < 100-window/2 || f.frame > 300+window/2 || f.image > companyImage {
				t.Errorf("%+v", f)
			}
		}
	}
	if heard < 20 {
		t.Errorf("heard in %d windows of 25", heard)
	}
}

func TestSilenceIsNoLine(t *testing.T) {
	d := newDetector(1024, true, 8, 450, 12800*time.Microsecond)
	l, power := newListener(d, 0.0128), make([]float32, 1024)
	for n := range int64(200) {
		l.add(d, power, n)
	}
	if len(l.lines) > 0 {
		t.Errorf("%d lines in a signal of zeros", len(l.lines))
	}
}

func TestHostileSpectraAreBounded(t *testing.T) {
	l := listen(6000, func(n int64, power []float32) {
		for k := range power {
			if k%7 == int(n/64%7) {
				power[k] = 100
			}
		}
	})
	windows := int(l.keep)/partFrames + 1
	if len(l.lines) > windows*faintMost {
		t.Errorf("%d lines of %d windows", len(l.lines), windows)
	}
}
