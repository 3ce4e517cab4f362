package doppler

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

func TestSigmaOfALineIsItsScatter(t *testing.T) {
	const n, rate, blocks = 512, 20_000, 1500
	for _, cplx := range []bool{true, false} {
		e, err := NewEstimator(Format{Rate: rate, Complex: cplx}, n)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(3, 4))
		for _, db := range []float64{0, 10, 20} {
			var square, stated float64
			for range blocks {
				bins := 10 + rng.Float64()*200
				noise := math.Pow(10, -db/10)
				if !cplx {
					noise /= 2
				}
				i, q := sine(rng, n, bins, 0, noise, cplx)
				lines := e.Lines(nil, i, q)
				if len(lines) == 0 {
					t.Fatalf("no line at %v dB a sample", db)
				}
				off := lines[0].Hz - bins*rate/n
				square += off * off
				stated += lines[0].Sigma * lines[0].Sigma
			}
			rms, sigma := math.Sqrt(square/blocks), math.Sqrt(stated/blocks)
			// Cramér-Rao: var(ω) ≥ 6/(SNR·n·(n²-1)), twice that for a real line
			// of the same signal-to-noise ratio.
			bound := math.Sqrt(6/math.Pow(10, db/10)/n/(n*n-1)) * rate / (2 * math.Pi)
			if !cplx {
				bound *= math.Sqrt2
			}
			if rms > 1.5*bound {
				t.Errorf("complex %v, %v dB: %.3f Hz is %.2f times the bound", cplx, db, rms, rms/bound)
			}
			if math.Abs(sigma/rms-1) > 0.15 {
				t.Errorf("complex %v, %v dB: stated %.3f Hz, scatter %.3f Hz", cplx, db, sigma, rms)
			}
		}
	}
}
