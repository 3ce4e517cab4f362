package doppler

const (
	balanceSNR  = 100  // power ratio of a line from which its image can be seen
	balanceMost = 0.16 // power ratio of an image that is no vehicle: -8 dB
	balanceGain = 0.02 // share of an image that is taken away a frame
)

// A balance makes the two channels of a sensor alike. Unequal gain and a phase
// other than 90° between them turn z into z + κ·z*, which shows each line a
// second time, at the mirror frequency. There the spectrum is κ times the
// conjugate of the line's, with the same κ for every line; so κ is what strong
// lines and their mirror frequencies have in common, and κ·z* is taken away.
type balance struct {
	re, im       float32 // κ as it is taken away
	newRe, newIm float32 // what was learned since
}

// use puts to use what was learned.
func (b *balance) use() { b.re, b.im = b.newRe, b.newIm }

func (b *balance) apply(i, q []float32) {
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

// learn compares a strong line, given by its value in the spectrum, with the
// value at the mirror frequency.
func (b *balance) learn(re, im, mirrorRe, mirrorIm float32) {
	power := re*re + im*im
	if !(mirrorRe*mirrorRe+mirrorIm*mirrorIm < balanceMost*power) {
		return
	}
	// The mirror is κ·conj(line): κ = mirror·line/|line|².
	b.newRe += balanceGain * (mirrorRe*re - mirrorIm*im) / power
	b.newIm += balanceGain * (mirrorRe*im + mirrorIm*re) / power
}
