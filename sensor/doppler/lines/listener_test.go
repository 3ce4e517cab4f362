package lines

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
func listen(frames int64, signal func(frame int64, power []float32)) *Listener {
	const bins = 512
	hop := 12800 * time.Microsecond
	d := NewDetector(2*bins, true, 8, 450, hop)
	for k := range d.Local {
		d.Local[k], d.background[k] = 1, 1
	}
	l := NewListener(d, hop.Seconds())
	random := rand.New(rand.NewPCG(1, 2))
	power := make([]float32, 2*bins)
	for n := range frames {
		for k := range power {
			power[k] = float32(random.ExpFloat64())
		}
		signal(n, power)
		l.Add(d, power, n)
	}
	return l
}

func TestNoiseIsNoLine(t *testing.T) {
	l := listen(80*60, func(int64, []float32) {}) // a minute, of frames that do not overlap
	if len(l.Lines) > 1 {
		t.Errorf("%d lines in noise: %v", len(l.Lines), l.Lines)
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
	for _, f := range l.Lines {
		if f.F == bin {
			heard++
			if f.Frame < 100-Window/2 || f.Frame > 300+Window/2 || f.Image > 0.3 {
				t.Errorf("%+v", f)
			}
		}
	}
	if heard < 20 {
		t.Errorf("heard in %d windows of 25", heard)
	}
}

// TestLineIsAsStrongAsItIs lets a line fade that is far over the level at which a frame
// is cut off: its ratio is that of its mean power, all of which the three bins hold.
func TestLineIsAsStrongAsItIs(t *testing.T) {
	const bin, over = 130, 40
	random := rand.New(rand.NewPCG(5, 6))
	l := listen(2000, func(_ int64, power []float32) {
		p := float32(over * random.ExpFloat64())
		power[512+bin] += p
		power[512+bin-1] += p / 4
		power[512+bin+1] += p / 4
	})
	var sum, n float32
	for _, f := range l.Lines {
		if f.F == bin {
			sum, n = sum+f.Ratio, n+1
		}
	}
	if n < 100 || math.Abs(float64(sum/n-over)) > over/20 {
		t.Errorf("%.1f over the noise in %g windows, want %d", sum/n, n, over)
	}
}

func TestSilenceIsNoLine(t *testing.T) {
	d := NewDetector(1024, true, 8, 450, 12800*time.Microsecond)
	l, power := NewListener(d, 0.0128), make([]float32, 1024)
	for n := range int64(200) {
		l.Add(d, power, n)
	}
	if len(l.Lines) > 0 {
		t.Errorf("%d lines in a signal of zeros", len(l.Lines))
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
	windows := int(l.keep)/PartFrames + 1
	if len(l.Lines) > windows*faintMost {
		t.Errorf("%d lines of %d windows", len(l.Lines), windows)
	}
}
