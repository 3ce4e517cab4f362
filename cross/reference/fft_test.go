package reference_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	godsp "github.com/mjibson/go-dsp/fft"
	"gonum.org/v1/gonum/dsp/fourier"

	"ciglio/sensor/doppler/spectrum"
)

// peers are three ways to the same: the power spectrum of one frame of samples
// under a Hann window, ours in single precision, the others in double.
type peers struct {
	own     *spectrum.Spectrum
	i, q    []float32
	window  []float64
	in, out []complex128
	real    []float64
	complex *fourier.CmplxFFT
	half    *fourier.FFT
	power   []float64
}

func newPeers(n int, cplx bool) *peers {
	p := &peers{own: spectrum.New(n, cplx), i: make([]float32, n), window: make([]float64, n), power: make([]float64, n)}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for k := range p.i {
		p.i[k] = float32(0.3 * rng.NormFloat64())
		p.window[k] = (1 - math.Cos(2*math.Pi*float64(k)/float64(n))) / float64(n)
	}
	if !cplx {
		p.real, p.half, p.out = make([]float64, n), fourier.NewFFT(n), make([]complex128, n/2+1)
		return p
	}
	p.in, p.out, p.complex = make([]complex128, n), make([]complex128, n), fourier.NewCmplxFFT(n)
	p.q = make([]float32, n)
	for k := range p.q {
		p.q[k] = float32(0.3 * rng.NormFloat64())
	}
	return p
}

func (p *peers) ours() []float32 { return p.own.Compute(p.i, p.q) }

// weigh puts the samples under the window, in the form the peers want.
func (p *peers) weigh() {
	if p.q == nil {
		for k, w := range p.window {
			p.real[k] = w * float64(p.i[k])
		}
		return
	}
	for k, w := range p.window {
		p.in[k] = complex(w*float64(p.i[k]), w*float64(p.q[k]))
	}
}

// sum sets the power of the coefficients, in their own order.
func (p *peers) sum(of []complex128) []float64 {
	power := p.power[:len(of)]
	for k, v := range of {
		power[k] = real(v)*real(v) + imag(v)*imag(v)
	}
	return power
}

func (p *peers) gonum() []float64 {
	p.weigh()
	if p.q == nil {
		return p.sum(p.half.Coefficients(p.out, p.real))
	}
	return p.sum(p.complex.Coefficients(p.out, p.in))
}

func (p *peers) goDSP() []float64 {
	p.weigh()
	if p.q == nil {
		return p.sum(godsp.FFTReal(p.real)[:len(p.real)/2+1])
	}
	return p.sum(godsp.FFT(p.in))
}

var peerSizes = []int{256, 512, 1024, 2048, 4096, 8192}

func kind(cplx bool) string {
	if cplx {
		return "complex"
	}
	return "real"
}

func TestPeersAgree(t *testing.T) {
	for _, cplx := range []bool{true, false} {
		for _, n := range peerSizes {
			p := newPeers(n, cplx)
			own := p.ours()
			var mean float64
			for _, v := range own {
				mean += float64(v) / float64(len(own))
			}
			for name, other := range map[string][]float64{"gonum": append([]float64(nil), p.gonum()...), "go-dsp": p.goDSP()} {
				for k := range own {
					at := k
					if cplx { // ours has the negative frequencies first
						at = (k + n/2) % n
					}
					if off := math.Abs(float64(own[k]) - other[at]); off > 1e-5*mean {
						t.Fatalf("%s, %d samples, bin %d: %g, %s has %g", kind(cplx), n, k, own[k], name, other[at])
					}
				}
			}
		}
	}
}

// BenchmarkPeers takes the three in turn, so that what else the machine does
// falls on all alike. The ratios say how many times longer a peer takes.
func BenchmarkPeers(b *testing.B) {
	for _, cplx := range []bool{true, false} {
		for _, n := range peerSizes {
			b.Run(fmt.Sprintf("%s-%d", kind(cplx), n), func(b *testing.B) {
				p := newPeers(n, cplx)
				var own, gonum, goDSP time.Duration
				for b.Loop() {
					start := time.Now()
					p.ours()
					first := time.Now()
					p.gonum()
					second := time.Now()
					p.goDSP()
					own += first.Sub(start)
					gonum += second.Sub(first)
					goDSP += time.Since(second)
				}
				b.ReportMetric(float64(own.Nanoseconds())/float64(b.N), "ns/ours")
				b.ReportMetric(float64(gonum)/float64(own), "gonum/ours")
				b.ReportMetric(float64(goDSP)/float64(own), "go-dsp/ours")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
