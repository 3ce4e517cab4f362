package doppler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const (
	boundSize, boundRate = 1024, 20_000

	boundGoal   = 1.5 // times the bound, from 0 to 20 dB a sample
	outlierBins = 1.0 // farther off than this, or without any line
)

// A trial is a number of blocks with one line each, at a random frequency and
// phase in white noise.
type trial struct {
	rms      float64 // Hz, of the blocks that are no outliers
	bound    float64 // Hz
	outliers float64 // share of the blocks
}

// monteCarlo measures blocks of the given signal-to-noise ratio of one sample,
// in dB: power of the line over power of the noise. The bound is Cramér and
// Rao's (Rife and Boorstyn 1974): no unbiased estimator of the frequency f in
// one block of n samples, of which phase and amplitude are unknown, has less
// variance than
//
//	6·rate² / ((2π)²·SNR·n·(n²−1))
//
// for I and Q, and twice that for a real signal of the same ratio.
func monteCarlo(t testing.TB, cplx bool, db float64, blocks int) trial {
	e, err := NewEstimator(Format{Rate: boundRate, Complex: cplx}, boundSize)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(blocks), math.Float64bits(db)))
	snr := math.Pow(10, db/10)
	noise, n := 1/snr, float64(boundSize)
	bound := 6 * boundRate * boundRate / (4 * math.Pi * math.Pi * snr * n * (n*n - 1))
	if !cplx {
		noise, bound = noise/2, 2*bound // the power of a real line is half its amplitude's square
	}
	var square, good float64
	var lines []Line
	for range blocks {
		bins := 10 + rng.Float64()*(n/2-20)
		if cplx && rng.IntN(2) == 0 {
			bins = -bins
		}
		i, q := sine(rng, boundSize, bins, 0, noise, cplx)
		lines = e.Lines(lines[:0], i, q)
		if len(lines) == 0 || math.Abs(lines[0].Hz*n/boundRate-bins) > outlierBins {
			continue
		}
		off := lines[0].Hz - bins*boundRate/n
		square += off * off
		good++
	}
	return trial{rms: math.Sqrt(square / good), bound: math.Sqrt(bound), outliers: 1 - good/float64(blocks)}
}

func TestNearTheBound(t *testing.T) {
	blocks := 1000
	if testing.Short() {
		blocks = 200
	}
	for _, cplx := range []bool{true, false} {
		for _, db := range []float64{0, 10, 20} {
			r := monteCarlo(t, cplx, db, blocks)
			if r.rms > boundGoal*r.bound || r.outliers > 0 {
				t.Errorf("%s, %g dB: %.4f Hz, %.2f times the bound, outliers %g", kind(cplx), db, r.rms, r.rms/r.bound, r.outliers)
			}
		}
		// Of 1,000 blocks one outlier is the goal; two are no proof against it.
		if r := monteCarlo(t, cplx, -10, blocks); r.outliers > 2.5/float64(blocks) {
			t.Errorf("%s, -10 dB: outliers %g", kind(cplx), r.outliers)
		}
	}
}

// BenchmarkBound prints the scatter of one block's frequency beside what physics
// allows.
func BenchmarkBound(b *testing.B) {
	for _, cplx := range []bool{true, false} {
		for _, db := range []float64{-10, 0, 5, 10, 20} {
			b.Run(fmt.Sprintf("%s%+gdB", kind(cplx), db), func(b *testing.B) {
				var r trial
				for b.Loop() {
					r = monteCarlo(b, cplx, db, 4000)
				}
				b.ReportMetric(1000*r.rms, "mHz-rms")
				b.ReportMetric(1000*r.bound, "mHz-bound")
				b.ReportMetric(r.rms/r.bound, "rms/bound")
				b.ReportMetric(100*r.outliers, "%outliers")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func kind(cplx bool) string {
	if cplx {
		return "complex"
	}
	return "real"
}
