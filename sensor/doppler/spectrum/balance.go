package spectrum

import "math"

const (
	BalanceSNR  = 100  // power ratio of a line from which its image can be seen
	balanceMost = 0.4  // of a line's amplitude, what an image has at most: -8 dB
	balanceGain = 0.02 // share of an image that is taken away a frame
)

// A Balance makes the two channels of a sensor alike. Unequal gain and a phase
// other than 90° between them turn z into z + κ·z*, which shows each line a
// second time, at the mirror frequency. There the spectrum is κ times the
// conjugate of the line's, with the same κ for every line; so κ is what strong
// lines and their mirror frequencies have in common, and κ·z* is taken away.
type Balance struct {
	re, im       float32 // κ as it is taken away
	newRe, newIm float32 // what was learned since
}

// Use puts to use what was learned.
func (b *Balance) Use() { b.re, b.im = b.newRe, b.newIm }

// Image returns κ as it is taken away.
func (b *Balance) Image() complex128 { return complex(float64(b.re), float64(b.im)) }

// Apply takes away what is known of the images.
func (b *Balance) Apply(i, q []float32) {
	if b.re == 0 && b.im == 0 {
		return
	}
	q = q[:len(i)]
	for k, x := range i {
		y := q[k]
		i[k] = x - (b.re*x + b.im*y)
		q[k] = y - (b.im*x - b.re*y)
	}
}

// Learn compares a strong line, given by its value in the spectrum, with the
// value at the mirror frequency. There may also be another vehicle: it has a
// phase of its own, and counts for no more than the largest image would.
func (b *Balance) Learn(re, im, mirrorRe, mirrorIm float32) {
	power := re*re + im*im
	gain := float32(balanceGain)
	if mirror := mirrorRe*mirrorRe + mirrorIm*mirrorIm; mirror > balanceMost*balanceMost*power {
		gain *= balanceMost * float32(math.Sqrt(float64(power/mirror)))
	}
	// The mirror is κ·conj(line): κ = mirror·line/|line|².
	b.newRe += gain * (mirrorRe*re - mirrorIm*im) / power
	b.newIm += gain * (mirrorRe*im + mirrorIm*re) / power
	if size := float32(math.Hypot(float64(b.newRe), float64(b.newIm))); size > balanceMost {
		b.newRe, b.newIm = b.newRe*balanceMost/size, b.newIm*balanceMost/size
	}
}
