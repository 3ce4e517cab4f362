package spectrum

import "math"

// A Refiner finds the frequency of a line whose place is known to about a fifth
// of a bin: the maximum of the power under a Hamming window, by one step of
// Newton's method on its logarithm. In white noise its standard deviation is 1.28 times the
// Cramér-Rao bound, while the side-lobes of other lines lie 43 dB down. A line
// whose frequency changes evenly is unwound first, so that a vehicle that
// brakes is measured as well as one that does not.
type Refiner struct {
	n      int
	window []float32 // Hamming, of sum 1
	t      []float32 // samples from the middle of the frame
	unit   float64   // variance of the frequency in bins², times the SNR of a sample
}

// NewRefiner returns a Refiner for frames of n samples.
func NewRefiner(n int) *Refiner {
	r := &Refiner{n: n, window: make([]float32, n), t: make([]float32, n)}
	var tt, ttw float64 // Σ t²w and Σ t²w²
	for k := range n {
		w := (0.54 - 0.46*math.Cos(2*math.Pi*(float64(k)+0.5)/float64(n))) / 0.54 / float64(n)
		t := float64(k) - float64(n-1)/2
		r.window[k], r.t[k] = float32(w), float32(t)
		tt, ttw = tt+t*t*w, ttw+t*t*w*w
	}
	bins := float64(n) / (2 * math.Pi)
	r.unit = ttw / (2 * tt * tt) * bins * bins
	return r
}

// Sigma returns the standard deviation of a frequency in bins at a power ratio
// of the line to the noise of one sample.
func (r *Refiner) Sigma(snr float64) float64 { return math.Sqrt(r.unit / snr) }

// Refine returns the frequency in bins and the power of the line near f, whose
// frequency grows by rate bins from the start of the frame to its end. Q is nil
// for a real signal. The frequency returned is that at the middle of the frame.
func (r *Refiner) Refine(i, q []float32, f, rate float64) (float64, float64) {
	// The phasor e^(-j·phase) turns by step, and step by twist, each sample.
	step := 2 * math.Pi * f / float64(r.n)
	twist := 2 * math.Pi * rate / float64(r.n) / float64(r.n)
	t0 := float64(r.t[0])
	sin, cos := math.Sincos(-(step*t0 + twist/2*t0*t0))
	c, s := cos, sin
	sin, cos = math.Sincos(-(step + twist*(t0+0.5)))
	dc, ds := cos, sin
	sin, cos = math.Sincos(-twist)
	var s0r, s0i, s1r, s1i, s2r, s2i float64
	i, t := i[:len(r.window)], r.t[:len(r.window)]
	for k, w := range r.window {
		a, b := float64(i[k]*w), 0.0
		if q != nil {
			b = float64(q[k] * w)
		}
		re, im := a*c-b*s, a*s+b*c
		u := float64(t[k])
		s0r, s0i = s0r+re, s0i+im
		re, im = re*u, im*u
		s1r, s1i = s1r+re, s1i+im
		s2r, s2i = s2r+re*u, s2i+im*u
		c, s = c*dc-s*ds, c*ds+s*dc
		dc, ds = dc*cos-ds*sin, dc*sin+ds*cos
	}
	// With S = Σ x·w·e^(-jφ), S' = -jΣ t… and S" = -Σ t²…: slope and curvature
	// of ln|S|², which is nearly a parabola.
	power := s0r*s0r + s0i*s0i
	slope := 2 * (s0r*s1i - s0i*s1r) / power
	curve := 2*(s1r*s1r+s1i*s1i-s0r*s2r-s0i*s2i)/power - slope*slope
	if !(curve < 0) {
		return f, power
	}
	const most = 0.6 // bins: farther away lies another line
	off := -slope / curve
	bins := off * float64(r.n) / (2 * math.Pi)
	if !(math.Abs(bins) <= most) {
		return f, power
	}
	return f + bins, power * math.Exp(slope*off/2)
}
