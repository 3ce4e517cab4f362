package spectrum

import (
	"math"
	"math/rand/v2"
	"testing"
)

// sine returns a block with one line of amplitude 1 whose frequency grows by
// rate bins over the block, in noise of the given power, scaled to fit the range.
func sine(rng *rand.Rand, n int, bins, rate, noise float64, cplx bool) (i, q []float32) {
	i, q = make([]float32, n), make([]float32, n)
	phase := 2 * math.Pi * rng.Float64()
	sd := math.Sqrt(noise / 2)
	if !cplx {
		sd = math.Sqrt(noise)
	}
	for k := range i {
		t := (float64(k) - float64(n-1)/2) / float64(n)
		s, c := math.Sincos(phase + 2*math.Pi*(bins*t+rate/2*t*t))
		i[k] = float32(0.01 * (c + sd*rng.NormFloat64()))
		q[k] = float32(0.01 * (s + sd*rng.NormFloat64()))
	}
	if !cplx {
		return i, nil
	}
	return i, q
}

func TestRefinedFrequencyIsExactWithoutNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		why   string
		n     int
		rate  float64
		cplx  bool
		limit float64 // bins
	}{
		{"complex", 1024, 0, true, 1e-3},
		{"short", 128, 0, true, 1e-3},
		{"real, far enough from its mirror image", 1024, 0, false, 3e-3},
		{"braking as hard as a car can", 1024, 4, true, 1e-3},
		{"falling fast near the closest point", 1024, -12, true, 2e-2},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := NewRefiner(c.n)
			for range 200 {
				bins := 12 + rng.Float64()*float64(c.n)/4
				i, q := sine(rng, c.n, bins, c.rate, 0, c.cplx)
				got, _ := r.Refine(i, q, bins+0.2*(rng.Float64()-0.5), c.rate)
				if math.Abs(got-bins) > c.limit {
					t.Fatalf("frequency of %.4f bins reads %.5f", bins, got)
				}
			}
		})
	}
}

// TestRefinerIsNearTheBound compares the scatter of the frequency with the least that
// any estimator can have in white noise (Cramér and Rao), also where the frequency
// changes within the frame.
func TestRefinerIsNearTheBound(t *testing.T) {
	const n, frames = 512, 1500
	r := NewRefiner(n)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, rate := range []float64{0, 4} {
		for _, db := range []float64{-10, 0, 10, 20} { // of one sample
			snr := math.Pow(10, db/10)
			var square float64
			for range frames {
				bins := 10 + rng.Float64()*200
				i, q := sine(rng, n, bins, rate, 1/snr, true)
				f, _ := r.Refine(i, q, bins+0.2*(rng.Float64()-0.5), rate)
				square += (f - bins) * (f - bins)
			}
			rms := math.Sqrt(square / frames)
			// var(ω) ≥ 6/(SNR·n·(n²-1)) a sample squared.
			bound := math.Sqrt(6/snr/n/(n*n-1)) * n / (2 * math.Pi)
			if ratio := rms / bound; ratio < 0.95 || ratio > 1.4 {
				t.Errorf("%v dB, %v bins a frame: %.4f bins is %.2f times the bound", db, rate, rms, ratio)
			}
			if sigma := r.Sigma(snr); math.Abs(sigma/rms-1) > 0.1 {
				t.Errorf("%v dB, %v bins a frame: stated %.4f bins, scatter %.4f bins", db, rate, sigma, rms)
			}
		}
	}
}
