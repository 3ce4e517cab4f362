package lines

import (
	"math"
	"slices"
)

const (
	// A window of windowParts times partFrames frames lasts 0.4 s. In it a car at
	// 30 m changes its frequency by less than a bin, and the mean of pure noise
	// stays below faintMean in all but one bin of a million.
	PartFrames  = 8
	windowParts = 4
	Window      = PartFrames * windowParts
	faintMean   = 3.0 // times noise and background
	faintClip   = 8.0 // the same, at which a frame is cut off: what only crosses a bin is no line there
	faintShape  = 1.5 // times the mean of what lies 6 to 9 bins away: else it is a hump, such as rain
	faintMost   = 40  // lines of a window, the lowest frequencies first
	hannThree   = 1.5 // power of a sine under a Hann window in the three bins about it, over that in the greatest

	silence = 1e-30 // noise is never less: a signal of zeros has no lines

	listenTime = 15.0 // s for which lines are remembered
	pastTime   = 12.0 // s for which spectra are
)

// A Faint line stands out of the mean of a window only.
type Faint struct {
	Frame int64   // in the middle of the window
	F     float32 // bins from frequency 0
	Level float32 // dB of its mean power
	Ratio float32 // of its mean power over the noise of a bin
	Image float32 // what stands at the mirror frequency, as a share
}

// A Listener hears the lines of vehicles that are too weak, or fade too much, to
// be followed from frame to frame: what stays at one frequency for a while stands
// out of the noise in the mean. It also keeps the last spectra, for questions
// that arise only once a vehicle has been measured.
type Listener struct {
	first int                   // bin of the spectrum that is 0 here
	sums  [windowParts]struct { // over the frames of a part
		ratio []float32 // of power over noise and background
		power []float32
	}
	mean  []float32 // of the ratios over the window
	Lines []Faint   // oldest first
	keep  int64     // frames of listenTime
	past  [][]uint8 // ratios by frame, modulo its length, in eighths of an octave
}

func NewListener(d *Detector, hop float64) *Listener {
	bins := d.high + faintReach + 1
	l := &Listener{keep: int64(listenTime / hop), past: make([][]uint8, int(pastTime/hop))}
	if d.complex {
		l.first = max(0, d.Zero-bins)
		bins *= 2
	}
	bins = min(bins, len(d.Local)-l.first)
	l.mean = make([]float32, bins)
	for i := range l.sums {
		l.sums[i].ratio, l.sums[i].power = make([]float32, bins), make([]float32, bins)
	}
	for i := range l.past {
		l.past[i] = make([]uint8, bins)
	}
	l.Lines = make([]Faint, 0, int(l.keep)/PartFrames*faintMost/4)
	return l
}

// Add takes a frame. When a part is full, the lines of the window that ends with
// it are taken down.
func (l *Listener) Add(d *Detector, power []float32, number int64) {
	part := &l.sums[number/PartFrames%windowParts]
	if number%PartFrames == 0 {
		clear(part.ratio)
		clear(part.power)
	}
	past := l.past[number%int64(len(l.past))]
	n := len(past)
	power, local, background := power[l.first:l.first+n], d.Local[l.first:l.first+n], d.background[l.first:l.first+n]
	ratios, powers := part.ratio[:n], part.power[:n]
	for k, p := range power {
		ratio := p / max(local[k], background[k], silence)
		past[k] = eighths(ratio)
		ratios[k] += min(ratio, faintClip)
		powers[k] += p
	}
	if number%PartFrames == PartFrames-1 && number >= Window-1 {
		l.find(d, number-Window/2)
	}
}

// eighths returns the logarithm of a ratio in eighths of an octave, 0.38 dB each;
// 0 for what is below 1.
func eighths(ratio float32) uint8 {
	const shift = 23 - 3 // leaves three bits of the fraction
	return uint8(min(math.Float32bits(max(ratio, 1))-127<<23, 255<<shift) >> shift)
}

// find takes down the lines of the window about a frame.
func (l *Listener) find(d *Detector, middle int64) {
	old, _ := slices.BinarySearchFunc(l.Lines, middle-l.keep, func(a Faint, frame int64) int { return int(a.Frame - frame) })
	l.Lines = slices.Delete(l.Lines, 0, old)
	for k := range l.mean {
		var sum float32
		for i := range l.sums {
			sum += l.sums[i].ratio[k]
		}
		l.mean[k] = sum / Window
	}
	most := len(l.Lines) + faintMost
	for m := d.low; m <= d.high; m++ {
		l.look(d, middle, m, most)
		if d.complex {
			l.look(d, middle, -m, most)
		}
	}
}

const faintReach = 9 // bins about a line that are looked at

// look takes down the line at a bin, if there is one.
func (l *Listener) look(d *Detector, middle int64, bin, most int) {
	k := d.Zero + bin - l.first
	m := l.mean
	if k < faintReach || k+faintReach >= len(m) || len(l.Lines) >= most {
		return
	}
	p := m[k]
	if p < faintMean || p < m[k-1] || p <= m[k+1] || p < m[k-2] || p <= m[k+2] {
		return
	}
	var about float32
	for j := 6; j <= faintReach; j++ {
		about += m[k-j] + m[k+j]
	}
	if p < faintShape*about/8 {
		return
	}
	line := Faint{Frame: middle, F: float32(bin)}
	var power float32
	for i := range l.sums {
		s := l.sums[i].power
		power += s[k-1] + s[k] + s[k+1]
	}
	at := l.first + k
	line.Level = decibel(power / Window)
	line.Ratio = (power/Window/max(d.Local[at], d.background[at], silence) - 3) / hannThree
	if mirror := d.Zero - bin - l.first; d.complex && mirror > 0 && mirror+1 < len(m) {
		line.Image = (max(m[mirror-1], m[mirror], m[mirror+1]) - 1) / (p - 1)
	}
	l.Lines = append(l.Lines, line)
}

// Restart forgets the lines, for a signal that begins anew.
func (l *Listener) Restart() { l.Lines = l.Lines[:0] }

// Kept returns of how many frames the spectra are known.
func (l *Listener) Kept() int64 { return int64(len(l.past)) }

// Ratio returns the power over the noise near a frequency in a past frame, in
// eighths of an octave, and whether it is known.
func (l *Listener) Ratio(d *Detector, frame int64, f float64) (int, bool) {
	k := d.Zero + int(math.Round(f)) - l.first
	past := l.past[frame%int64(len(l.past))]
	if k < 1 || k+1 >= len(past) {
		return 0, false
	}
	return int(max(past[k-1], past[k], past[k+1])), true
}
