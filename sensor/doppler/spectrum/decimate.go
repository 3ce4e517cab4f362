package spectrum

import "math"

// A Decimator keeps one of so many samples, after a low pass that leaves
// nothing to fold back: 60 dB down from 0.62 of the new sampling rate on.
type Decimator struct {
	factor  int
	taps    []float32
	i, q    []float32 // the last samples, as many as taps, then new ones
	clip    int       // of the samples since the last value
	phase   int       // samples since the last value
	oi, oq  []float32
	oc      []uint8
	complex bool
}

// NewDecimator returns a Decimator that keeps one of factor samples.
func NewDecimator(factor int, cplx bool) *Decimator {
	d := &Decimator{factor: factor, complex: cplx, taps: make([]float32, 8*factor+1)}
	var sum float64
	half := float64(len(d.taps)-1) / 2
	taps := make([]float64, len(d.taps))
	for k := range taps {
		x := float64(k) - half
		w := 0.42 + 0.5*math.Cos(math.Pi*x/half) + 0.08*math.Cos(2*math.Pi*x/half) // Blackman
		s := 1.0
		if x != 0 {
			s = math.Sin(math.Pi*0.8*x/float64(factor)) / (math.Pi * 0.8 * x / float64(factor))
		}
		taps[k] = w * s
		sum += taps[k]
	}
	for k, t := range taps {
		d.taps[k] = float32(t / sum)
	}
	d.Restart()
	return d
}

// Delay returns by how many samples a value stands for an earlier one than the
// first of the samples it is counted with.
func (d *Decimator) Delay() int64 { return int64((len(d.taps)-1)/2 - (d.factor - 1)) }

// Restart forgets the samples at hand, for a signal that begins anew.
func (d *Decimator) Restart() {
	n := len(d.taps) - 1
	d.i = append(d.i[:0], make([]float32, n)...)
	d.q = append(d.q[:0], make([]float32, n)...)
	d.clip, d.phase = 0, 0
}

// Filter returns the values that the samples complete, valid until the next
// call. Clip counts the samples behind each that touch full scale.
func (d *Decimator) Filter(i, q []float32, clip []uint8) ([]float32, []float32, []uint8) {
	before := len(d.taps) - 1
	d.i = append(d.i, i...)
	if d.complex {
		d.q = append(d.q, q...)
	}
	d.oi, d.oq, d.oc = d.oi[:0], d.oq[:0], d.oc[:0]
	for k := range i {
		d.clip += int(clip[k])
		if d.phase++; d.phase < d.factor {
			continue
		}
		d.oi = append(d.oi, d.sum(d.i[k:k+before+1]))
		if d.complex {
			d.oq = append(d.oq, d.sum(d.q[k:k+before+1]))
		}
		d.oc = append(d.oc, uint8(d.clip))
		d.clip, d.phase = 0, 0
	}
	d.i = d.i[:copy(d.i, d.i[len(i):])]
	if d.complex {
		d.q = d.q[:copy(d.q, d.q[len(i):])]
	}
	return d.oi, d.oq, d.oc
}

func (d *Decimator) sum(x []float32) float32 {
	var a, b float32
	taps := d.taps
	x = x[:len(taps)]
	k := 0
	for ; k+1 < len(taps); k += 2 {
		a += taps[k] * x[k]
		b += taps[k+1] * x[k+1]
	}
	return a + b + taps[k]*x[k]
}
