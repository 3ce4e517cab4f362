package doppler

import (
	"errors"
	"math"
	"sync/atomic"

	"ciglio/sensor"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
	"ciglio/sensor/doppler/spectrum"
)

// What is wrong with the two channels of a sensor, as [Source.Wiring] tells it.
var (
	ErrSwapped    = errors.New("channels I and Q are swapped, or one of them is inverted: vehicles that come look like such that go")
	ErrOneChannel = errors.New("channels I and Q carry one signal: no direction can be known")
)

const (
	silence    = 1e-30 // no noise is less: of a signal of zeros nothing is known
	imageShare = 0.8   // of the strong readings that must have 10 dB of image rejection

	// Tracks in a row whose sign contradicts the place of their closest point.
	// One may be a piece of something large; the wiring contradicts each.
	contradictions = 3

	// Bins of one block, a part of the spectrum in which a phase error between the
	// channels is one value. Of independent channels the coherence of a block is
	// above blockCoherent once in 800 million.
	coherentBins  = 32
	blockCoherent = 0.8
	mostCoherent  = 0.5 // of the blocks: then the channels are one. Hum and tones fill a few only
	leastCoherent = 0.2 // of the blocks: then they are two again
	lookFrames    = 4   // from one look to the next
	looks         = 3   // of one result, before it is believed; at the start of a signal one is enough
)

// A wiring watches what the two channels of a sensor have to do with each other:
// whether they are two signals, and whether their order is right.
//
// A signal that is copied to both channels, with whatever error of gain and
// phase, shows at each frequency and at its mirror frequency two phases of which
// the sum is the same in all bins of a block. Of two channels with noise of their
// own it is any.
type wiring struct {
	spectrum *spectrum.Spectrum
	i, q     []float32
	filled   int
	skip     int // samples until the next look begins

	one    bool // the channels carry one signal
	second bool // Q is the stronger one of them
	looked int  // number of looks
	votes  int  // in a row for another state than one says

	against atomic.Int32 // tracks in a row of which sign and closest point contradict
	single  atomic.Bool  // one, for other goroutines
}

func newWiring(size int) *wiring {
	return &wiring{spectrum: spectrum.New(size, true), i: make([]float32, size), q: make([]float32, size)}
}

// restart forgets the samples at hand, for a signal that begins anew.
func (w *wiring) restart() { w.filled, w.skip, w.looked, w.votes = 0, 0, 0, 0 }

// add takes samples as the sensor gave them.
func (w *wiring) add(i, q []float32) {
	for len(i) > 0 {
		if w.skip > 0 {
			n := min(w.skip, len(i))
			w.skip -= n
			i, q = i[n:], q[n:]
			continue
		}
		n := copy(w.i[w.filled:], i)
		copy(w.q[w.filled:], q)
		w.filled += n
		i, q = i[n:], q[n:]
		if w.filled == len(w.i) {
			w.look()
			w.filled, w.skip = 0, (lookFrames-1)*len(w.i)
		}
	}
}

// look takes a vote.
func (w *wiring) look() {
	w.spectrum.Compute(w.i, w.q)
	blocks, coherent := 0, 0
	for k := lines.LowestBin; k+coherentBins <= len(w.i)/2; k += coherentBins {
		var re, im, n float64
		for j := k; j < k+coherentBins; j++ {
			a, b := w.spectrum.At(j)
			c, d := w.spectrum.At(-j)
			x, y := float64(a*c-b*d), float64(a*d+b*c)
			if size := math.Hypot(x, y); size > silence {
				re, im, n = re+x/size, im+y/size, n+1
			}
		}
		if n == coherentBins {
			blocks++
			if math.Hypot(re, im) > blockCoherent*n {
				coherent++
			}
		}
	}
	if blocks == 0 { // silence
		return
	}
	w.looked++
	share := float64(coherent) / float64(blocks)
	if !w.one && share > mostCoherent || w.one && share < leastCoherent {
		w.votes++
	} else {
		w.votes = 0
	}
}

// turned reports whether the channels became one or two signals since it was
// asked last.
func (w *wiring) turned() bool {
	if w.votes < looks && (w.votes == 0 || w.looked > 1) {
		return false
	}
	w.one, w.votes = !w.one, 0
	w.single.Store(w.one)
	var i, q float64
	for k := range w.i {
		i, q = i+float64(w.i[k])*float64(w.i[k]), q+float64(w.q[k])*float64(w.q[k])
	}
	w.second = q > i
	return true
}

// judge returns the direction that the sign of a frequency and the place of the
// closest point agree on, and counts where they contradict each other.
func (w *wiring) judge(v *geometry.Measurement) (d sensor.Direction, contradicts bool) {
	switch {
	case v.Image < imageShare || v.Slant && !v.Nearer && !v.Farther:
		return sensor.DirectionUnknown, false
	case v.Slant && v.Farther || !v.Slant && v.AtEnd != (v.Sign > 0):
		return sensor.DirectionUnknown, true
	case v.Sign > 0:
		return sensor.Approaching, false
	}
	return sensor.Receding, false
}

// count takes a passage that is given out.
func (w *wiring) count(contradicts bool) {
	if contradicts {
		w.against.Add(1)
	} else {
		w.against.Store(0)
	}
}

// fault returns what is wrong with the channels, or nil.
func (w *wiring) fault() error {
	switch {
	case w == nil:
		return nil
	case w.single.Load():
		return ErrOneChannel
	case w.against.Load() >= contradictions:
		return ErrSwapped
	}
	return nil
}
