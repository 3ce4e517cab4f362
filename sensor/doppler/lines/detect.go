package lines

import (
	"math"
	"slices"
	"time"
)

const (
	// A line is followed while it stands this far above the noise, and a new
	// one is taken up from birthSNR on. Noise alone crosses the latter in one
	// bin of sixty million.
	followSNR = 7.1  // 8.5 dB
	birthSNR  = 17.9 // 12.5 dB

	// The noise of a bin is the median of every second one of blockBins bins
	// about it, since the window makes neighbours alike. The ninth of sixteen
	// exponentially distributed powers is 1/8 + 1/9 + … + 1/16 times their mean.
	blockBins  = 32
	medianMean = 0.788

	// The background of each bin is its mean power over learnTime, in which no
	// frame counts for more than learnClip times the mean: a vehicle that
	// passes does not raise it, a tone that stays does.
	learnTime     = 30 * time.Second
	learnClip     = 3
	startClip     = 3 // the same, of the local noise, until startTime has passed
	startTime     = 2 * time.Second
	LowestBin     = 4 // the window's width keeps the constant part out
	guardBins     = 3 // about a vehicle's line, in which nothing is learned
	MaxPeaks      = 40
	lineExcess    = 4        // a background so many times that of its neighbours
	harmonicShare = 1.0 / 16 // 12 dB
	lineReach     = 5        // so many bins away is a constant line
)

// A Peak is a line in the spectrum of one frame.
type Peak struct {
	F     float32 // in bins from frequency 0, negative for receding
	snr   float32 // power over noise and background
	level float32 // dB of the power about the line, that of the whole vehicle
	own   float32 // dB of the power of the line alone
	power float32 // of the line
	image float32 // power at the mirror frequency
	line  bool    // too close to a constant line to be measured
	tonal bool    // with the harmonics of a sound
	taken bool
}

// A Detector finds the peaks of each frame.
type Detector struct {
	complex    bool
	Zero       int // bin of frequency 0
	low, high  int // first and last bin of interest, as distance from zero
	background []float32
	Local      []float32
	blocks     []float32
	frozen     []bool
	frames     int     // learned from
	slow       float32 // share of a frame in the background
	start      int     // frames of startTime
	block      [blockBins / 2]float32
}

func NewDetector(bins int, cplx bool, low, high int, hop time.Duration) *Detector {
	d := &Detector{
		complex:    cplx,
		low:        low,
		high:       high,
		background: make([]float32, bins),
		Local:      make([]float32, bins),
		blocks:     make([]float32, bins/blockBins),
		frozen:     make([]bool, bins),
		slow:       float32(hop.Seconds() / learnTime.Seconds()),
		start:      int(startTime / hop),
	}
	if cplx {
		d.Zero = bins / 2
	}
	return d
}

// noise sets d.local to the noise about each bin: the median of each block of
// bins, of which the middle one of three neighbours counts, joined by straight
// lines. A vehicle fills a few bins of a block and does not move its median.
func (d *Detector) noise(power []float32) {
	for b := range d.blocks {
		from := power[b*blockBins : (b+1)*blockBins]
		for i := range d.block {
			d.block[i] = from[2*i]
		}
		d.blocks[b] = median32(&d.block) / medianMean
	}
	last := len(d.blocks) - 1
	previous := middle(d.blocks[0], d.blocks[min(1, last)], d.blocks[min(2, last)])
	for i := range blockBins / 2 {
		d.Local[i] = previous
	}
	for b := 1; b <= last; b++ {
		here := d.blocks[b]
		if b < last {
			here = middle(d.blocks[b-1], here, d.blocks[b+1])
		}
		at := (b-1)*blockBins + blockBins/2
		step := (here - previous) / blockBins
		for i := range blockBins {
			d.Local[at+i] = previous + step*float32(i)
		}
		previous = here
	}
	for i := len(d.Local) - blockBins/2; i < len(d.Local); i++ {
		d.Local[i] = previous
	}
}

// Find appends the peaks of one frame to peaks, which has room for maxPeaks:
// the strongest ones when there are more.
func (d *Detector) Find(power []float32, peaks []Peak) []Peak {
	d.noise(power)
	peaks = d.side(power, peaks, 1)
	if d.complex {
		peaks = d.side(power, peaks, -1)
	}
	return peaks
}

func (d *Detector) side(power []float32, peaks []Peak, sign int) []Peak {
	for m := d.low; m <= d.high; m++ {
		k := d.Zero + sign*m
		p := power[k]
		ref := max(d.Local[k], d.background[k])
		if p < followSNR*ref || p < power[k-1] || p <= power[k+1] || p < power[k-2] || p <= power[k+2] {
			continue
		}
		n := Peak{F: float32(k-d.Zero) + interpolate(power[k-1], p, power[k+1]), snr: p / ref}
		if len(peaks) < cap(peaks) {
			peaks = append(peaks, n)
			continue
		}
		weakest := 0
		for i := range peaks {
			if peaks[i].snr < peaks[weakest].snr {
				weakest = i
			}
		}
		if peaks[weakest].snr < n.snr {
			peaks[weakest] = n
		}
	}
	return peaks
}

// Describe completes the peaks. The level counts all power within 6 % of the
// line, since near the closest point each part of a vehicle has its own speed.
func (d *Detector) Describe(power []float32, peaks []Peak) {
	for i := range peaks {
		p := &peaks[i]
		k := d.Zero + int(math.Round(float64(p.F)))
		wide := max(3, int(math.Abs(float64(p.F))*0.06))
		var sum float32
		for j := max(k-wide, 0); j <= min(k+wide, len(power)-1); j++ {
			sum += max(power[j]-d.background[j], 0)
		}
		p.level = decibel(sum)
		p.power = power[k]
		p.own = decibel(power[k-1] + power[k] + power[k+1])
		if d.complex {
			p.image = power[2*d.Zero-k]
		}
		p.tonal = d.harmonic(power, p, 2) || d.harmonic(power, p, 3)
		for j := k - 2; j <= k+2; j++ {
			if d.isLine(j) && power[k] < 10*d.background[j] {
				p.line = true
			}
		}
	}
}

// harmonic reports whether a line has a strong multiple. The echo of one body
// is a sine: its multiples come from distortion only and lie far below.
func (d *Detector) harmonic(power []float32, p *Peak, order float64) bool {
	k := d.Zero + int(math.Round(order*float64(p.F)))
	if k < 3 || k+3 >= len(power) {
		return false
	}
	most := slices.Max(power[k-2 : k+3])
	return most > harmonicShare*p.power && most > birthSNR*max(d.Local[k], d.background[k])
}

// isLine reports whether a bin's background stands out from its neighbours'.
func (d *Detector) isLine(k int) bool {
	if k < lineReach || k+lineReach >= len(d.background) {
		return false
	}
	return d.background[k] > lineExcess*max(d.background[k-lineReach], d.background[k+lineReach])
}

// Learn takes a frame into the background, except in frozen bins.
func (d *Detector) Learn(power []float32) {
	d.frames++
	if d.frames <= d.start {
		share := 1 / float32(d.frames)
		for k, p := range power {
			if !d.frozen[k] {
				d.background[k] += share * (min(p, startClip*d.Local[k]) - d.background[k])
			}
		}
		return
	}
	for k, p := range power {
		if !d.frozen[k] {
			d.background[k] += d.slow * (min(p, learnClip*d.background[k]) - d.background[k])
		}
	}
}

// Freeze keeps the background about a line from learning in the next frame.
func (d *Detector) Freeze(f float64, frozen bool) {
	k := d.Zero + int(math.Round(f))
	for j := max(k-guardBins, 0); j <= min(k+guardBins, len(d.frozen)-1); j++ {
		d.frozen[j] = frozen
	}
}

// Adopt makes a constant line part of the background at once.
func (d *Detector) Adopt(power []float32, f float64) {
	k := d.Zero + int(math.Round(f))
	for j := max(k-guardBins, 0); j <= min(k+guardBins, len(power)-1); j++ {
		d.background[j] = max(d.background[j], power[j])
	}
}

// interpolate returns where between -½ and ½ bin the top of the parabola
// through the logarithms of three powers lies. The Hann window's line is so
// close to a Gaussian that the error stays below 0.02 bins.
func interpolate(a, b, c float32) float32 {
	la, lb, lc := log2(a), log2(b), log2(c)
	curve := la - 2*lb + lc
	if !(curve < 0) {
		return 0
	}
	return max(-0.5, min(0.5, (la-lc)/(2*curve)))
}

func log2(v float32) float32 { return float32(math.Log2(float64(max(v, 1e-30)))) }

func decibel(power float32) float32 { return 3.0103 * log2(power) }

func middle(a, b, c float32) float32 { return max(min(a, b), min(max(a, b), c)) }

// median32 returns the upper median of half a block, which it reorders.
func median32(v *[blockBins / 2]float32) float32 {
	const wanted = len(v) / 2
	low, high := 0, len(v)-1
	for low < high {
		pivot, i, j := v[(low+high)/2], low, high
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case wanted <= j:
			high = j
		case wanted >= i:
			low = i
		default:
			return v[wanted]
		}
	}
	return v[wanted]
}
