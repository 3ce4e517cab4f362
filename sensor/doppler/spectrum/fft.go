package spectrum

import (
	"math"
	"math/bits"
)

// An fft computes Fourier transforms of n complex values, n a power of two of
// at least 8. It works in place, in single precision, which keeps 140 dB
// between a line and the rounding noise it causes: 24-bit samples lose nothing
// that a radar could use. It allocates nothing after newFFT.
type fft struct {
	n       int
	reverse []int32
	// The twiddle factors of each stage lie one after the other, from the stage
	// of 8 points up.
	cos, sin []float32
}

func newFFT(n int) *fft {
	f := &fft{n: n, reverse: make([]int32, n)}
	shift := 32 - bits.TrailingZeros(uint(n))
	for i := range f.reverse {
		f.reverse[i] = int32(bits.Reverse32(uint32(i)) >> shift)
	}
	for size := 8; size <= n; size *= 2 {
		for k := range size / 2 {
			s, c := math.Sincos(-2 * math.Pi * float64(k) / float64(size))
			f.cos, f.sin = append(f.cos, float32(c)), append(f.sin, float32(s))
		}
	}
	return f
}

// transform replaces re + j·im, whose values the caller has put in
// bit-reversed order, with its spectrum in natural order.
func (f *fft) transform(re, im []float32) {
	n := f.n
	re, im = re[:n], im[:n]
	for i := 0; i+3 < n; i += 4 { // the stages of 2 and 4 points need no products
		r, m := re[i:i+4:i+4], im[i:i+4:i+4]
		ar, ai, br, bi := r[0]+r[1], m[0]+m[1], r[0]-r[1], m[0]-m[1]
		cr, ci, dr, di := r[2]+r[3], m[2]+m[3], r[2]-r[3], m[2]-m[3]
		r[0], m[0], r[2], m[2] = ar+cr, ai+ci, ar-cr, ai-ci
		r[1], m[1], r[3], m[3] = br+di, bi-dr, br-di, bi+dr
	}
	cos, sin := f.cos, f.sin
	for half := 4; half < n; half *= 2 {
		wr, wi := cos[:half], sin[:half]
		for i := 0; i < n; i += 2 * half {
			ar, ai := re[i:i+half], im[i:i+half]
			br, bi := re[i+half:i+2*half], im[i+half:i+2*half]
			ar, ai, br, bi = ar[:len(wr)], ai[:len(wr)], br[:len(wr)], bi[:len(wr)]
			wi := wi[:len(wr)]
			for k := range wr {
				tr := br[k]*wr[k] - bi[k]*wi[k]
				ti := br[k]*wi[k] + bi[k]*wr[k]
				br[k], bi[k] = ar[k]-tr, ai[k]-ti
				ar[k], ai[k] = ar[k]+tr, ai[k]+ti
			}
		}
		cos, sin = cos[half:], sin[half:]
	}
}

// A Spectrum turns frames of samples into power. For a complex signal bin k of
// 0…n-1 holds the frequency (k-n/2)·rate/n; for a real one bin k of 0…n/2-1
// holds k·rate/n. A sine of full scale has the power 1, or 1/4 when real: it
// does not depend on n.
type Spectrum struct {
	n       int
	complex bool
	window  []float32 // Hann, of sum 1
	fft     *fft
	re, im  []float32
	cos     []float32 // of the split of a real spectrum
	sin     []float32
	power   []float32
}

// New returns a Spectrum for frames of n samples, a power of two of at least 16, of a
// complex signal or of a real one.
func New(n int, cplx bool) *Spectrum {
	s := &Spectrum{n: n, complex: cplx, window: make([]float32, n)}
	for i := range s.window {
		s.window[i] = float32((1 - math.Cos(2*math.Pi*float64(i)/float64(n))) / float64(n))
	}
	size := n
	if !cplx {
		size = n / 2
		for k := range size {
			sin, cos := math.Sincos(-2 * math.Pi * float64(k) / float64(n))
			s.cos, s.sin = append(s.cos, float32(cos)), append(s.sin, float32(sin))
		}
	}
	s.fft = newFFT(size)
	s.re, s.im, s.power = make([]float32, size), make([]float32, size), make([]float32, size)
	return s
}

// Size returns the number of samples of a frame.
func (s *Spectrum) Size() int { return s.n }

// Bins returns the number of powers of a frame.
func (s *Spectrum) Bins() int { return len(s.power) }

// NoiseGain returns the power of white noise in a bin over that of a sample.
func (s *Spectrum) NoiseGain() float64 {
	var gain float64
	for _, w := range s.window {
		gain += float64(w) * float64(w)
	}
	return gain
}

// At returns the value of the last complex frame at k bins from frequency 0.
func (s *Spectrum) At(k int) (re, im float32) {
	k &= s.n - 1
	return s.re[k], s.im[k]
}

// Compute returns the power of one frame, valid until the next call. Q is nil for a
// real signal.
func (s *Spectrum) Compute(i, q []float32) []float32 {
	w := s.window
	i = i[:len(w)]
	if s.complex {
		q = q[:len(w)]
		for k, r := range s.fft.reverse {
			s.re[r], s.im[r] = i[k]*w[k], q[k]*w[k]
		}
		s.fft.transform(s.re, s.im)
		half := s.n / 2
		for k := range half { // negative frequencies first
			s.power[k+half] = s.re[k]*s.re[k] + s.im[k]*s.im[k]
			s.power[k] = s.re[k+half]*s.re[k+half] + s.im[k+half]*s.im[k+half]
		}
		return s.power
	}
	// Even samples as the real part and odd ones as the imaginary part need a
	// transform of half the length.
	for k, r := range s.fft.reverse {
		s.re[r], s.im[r] = i[2*k]*w[2*k], i[2*k+1]*w[2*k+1]
	}
	s.fft.transform(s.re, s.im)
	size := len(s.re)
	s.power[0] = (s.re[0] + s.im[0]) * (s.re[0] + s.im[0])
	for k := 1; k < size; k++ {
		m := size - k
		er, ei := (s.re[k]+s.re[m])/2, (s.im[k]-s.im[m])/2
		or, oi := (s.im[k]+s.im[m])/2, (s.re[m]-s.re[k])/2
		xr := er + or*s.cos[k] - oi*s.sin[k]
		xi := ei + or*s.sin[k] + oi*s.cos[k]
		s.power[k] = xr*xr + xi*xi
	}
	return s.power
}
