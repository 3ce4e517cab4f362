package doppler

import (
	"math"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler/spectrum"
)

const (
	// A frame of the usual pace is the shortest power of two of samples that
	// lasts longer than this: 11 Hz or less between bins, a quarter of a km/h at
	// 24 GHz, while a car that brakes hard stays within a few bins.
	minFrame = 32 * time.Millisecond
	overlap  = 4 // frames begin a quarter of a frame apart

	settleFrames = 4  // frames between looks at what is held back
	toneFrames   = 16 // frames between looks for tracks that are tones

	lowestSpeed  = 3 / 3.6 // m/s, below which no line is looked for
	lowestBin    = 4       // the window's width keeps the constant part out
	highestSpeed = 400 / 3.6

	// A frame counts as clipped when more of its samples touch full scale. A
	// twentieth is a sine 0.3 % too large: its frequency is what it was.
	clippedShare = 0.05
)

// A pace is a kind of vehicle by its speed. What a vehicle that is eight times
// as slow shows in a frame eight times as long is the same picture, to the bin
// and to the frame. So there is one chain, and it runs at several paces; within
// it, seconds and metres a second are those of the usual pace.
type pace struct {
	stretch   float64 // times by which all lasts longer than at the usual pace
	low, high float64 // m/s, what is given out
	steady    bool    // of what held its speed alone: with the others the frames are too long
}

// The paces overlap, so that no vehicle falls between two of them. Where two tell
// of one, that with a speed counts, and of two the first: a short frame follows
// the fall of the frequency near the closest point, a long one sees farther.
var (
	slowPace  = pace{stretch: 8, low: 0.8 / 3.6, high: 22 / 3.6}
	townPace  = pace{stretch: 2, low: 14 / 3.6, high: 70 / 3.6, steady: true}
	usualPace = pace{stretch: 1, low: 9 / 3.6, high: 128 / 3.6}
	fastPace  = pace{stretch: 0.5, low: 122 / 3.6, high: 1000 / 3.6}
	racePace  = pace{stretch: 0.25, low: 180 / 3.6, high: 1000 / 3.6}
)

// A chain finds the vehicles of one pace.
type chain struct {
	pace
	complex  bool
	observed bool
	balance  *balance // taught by this chain; nil when it is not

	decimator *spectrum.Decimator // nil when every sample counts
	spectrum  *spectrum.Spectrum
	detector  *detector
	listener  *listener
	refiner   *spectrum.Refiner
	tracker   *tracker
	gauge     *gauge
	size      int // values of a frame
	hop       int
	binHz     float64
	step      int64 // samples of the signal between frames
	middle    int64 // sample of the signal in the middle of the first frame

	i, q   []float32 // the values of the frame that is being filled
	clip   []uint8   // samples behind each that touch full scale
	filled int
	number int64 // of the next frame since the signal was last whole

	held    []vehicle // those of which another track still tells
	leaving []vehicle // those about to be given out
	recent  []vehicle // those that lately ended
	out     []vehicle // those given out in the last push

	runs []run     // scratch of heardBeside
	own  []float32 // of path
}

// newChain returns the chain of a pace. The size is that of a frame of the
// usual pace, perHz the speed in m/s of 1 Hz. It returns nil when the sampling
// rate shows no speed of this pace.
func newChain(s pace, f Format, size int, perHz, angle float64, observed bool) *chain {
	c := &chain{pace: s, complex: f.Complex, observed: observed, size: size}
	rate := float64(f.Rate) // values a second
	if s.stretch > 1 {
		c.decimator = spectrum.NewDecimator(int(s.stretch), f.Complex)
		rate /= s.stretch
	} else {
		c.size = int(float64(size) * s.stretch)
	}
	c.hop = c.size / overlap
	factor := int64(max(1, s.stretch)) // samples of the signal behind a value
	c.step = int64(c.hop) * factor
	c.middle = int64(c.size/2) * factor
	if c.decimator != nil {
		c.middle -= c.decimator.Delay()
	}
	c.binHz = rate / float64(c.size)
	hop := time.Duration(float64(c.step) / float64(f.Rate) / s.stretch * float64(time.Second))
	mps := perHz * c.binHz * s.stretch
	low := max(lowestBin, int(lowestSpeed/mps))
	high := min(c.size/2-4, int(highestSpeed/mps))
	if high <= low || float64(high)*mps < s.low*s.stretch*1.1 {
		return nil
	}
	c.spectrum = spectrum.New(c.size, f.Complex)
	c.detector = newDetector(c.spectrum.Bins(), f.Complex, low, high, hop)
	c.listener = newListener(c.detector, hop.Seconds())
	c.refiner = spectrum.NewRefiner(c.size)
	c.tracker = newTracker(hop)
	c.gauge = newGauge(hop.Seconds(), mps, s.stretch, angle, f.Complex)
	c.i, c.clip = make([]float32, c.size), make([]uint8, c.size)
	if f.Complex {
		c.q = make([]float32, c.size)
	}
	return c
}

// push adds samples and appends to c.out the vehicles that left.
func (c *chain) push(i, q []float32, clip []uint8) {
	c.out = c.out[:0]
	if c.decimator != nil {
		i, q, clip = c.decimator.Filter(i, q, clip)
	}
	for len(i) > 0 {
		n := copy(c.i[c.filled:], i)
		copy(c.clip[c.filled:], clip)
		if c.complex {
			copy(c.q[c.filled:], q)
			q = q[n:]
		}
		i, clip = i[n:], clip[n:]
		c.filled += n
		if c.filled == c.size {
			c.frame()
			c.filled = copy(c.i, c.i[c.hop:])
			copy(c.q, c.q[min(c.hop, len(c.q)):])
			copy(c.clip, c.clip[c.hop:])
		}
	}
}

// frame does one step of the chain.
func (c *chain) frame() {
	var clipped float64
	for _, n := range c.clip {
		clipped += float64(n)
	}
	power := c.spectrum.Compute(c.i, c.q)
	f := c.tracker.slot(c.number)
	f.clipped = clipped > clippedShare*float64(c.step)*overlap
	f.peaks = c.detector.find(power, f.peaks)
	c.detector.describe(power, f.peaks)
	c.listener.add(c.detector, power, c.number)
	c.tracker.update(f)
	c.refine()
	if c.balance != nil {
		c.compare()
	}
	for _, t := range c.tracker.ended {
		c.finish(t, 0)
	}
	if len(c.held) > 0 && c.number%settleFrames == 0 {
		c.settle()
	}
	c.leave(false)
	for i := 0; i < len(c.tracker.tracks); i++ {
		t := c.tracker.tracks[i]
		if !t.confirmed {
			continue
		}
		if c.number%toneFrames == 0 && c.tracker.steady(t) && !c.passes(t) {
			c.detector.adopt(power, t.f)
			c.tracker.drop(t)
			i--
			continue
		}
		c.detector.freeze(t.f, true)
	}
	c.detector.learn(power)
	for _, t := range c.tracker.tracks {
		if t.confirmed {
			c.detector.freeze(t.f, false)
		}
	}
	c.number++
}

// refine measures the lines of vehicles in this frame as well as noise allows,
// and as if their frequency did not change within it.
func (c *chain) refine() {
	for _, t := range c.tracker.tracks {
		if t.confirmed && t.misses == 0 {
			r := &t.readings[len(t.readings)-1]
			f, _ := c.refiner.Refine(c.i, c.q, float64(r.f), overlap*t.rate)
			r.f = float32(f)
		}
	}
}

// compare teaches the balance what strong lines show at their mirror frequency.
func (c *chain) compare() {
	for _, t := range c.tracker.tracks {
		if !t.confirmed || t.misses > 0 {
			continue
		}
		if r := &t.readings[len(t.readings)-1]; r.snr >= balanceSNR && !r.line {
			k := int(math.Round(float64(r.f)))
			re, im := c.spectrum.At(k)
			mirrorRe, mirrorIm := c.spectrum.At(-k)
			c.balance.learn(re, im, mirrorRe, mirrorIm)
		}
	}
}

// end ends every track for a reason, 0 for the end of the signal.
func (c *chain) end(reason sensor.Reason) {
	c.out = c.out[:0]
	c.tracker.endAll()
	for _, t := range c.tracker.ended {
		c.finish(t, reason)
	}
	c.settle()
	c.leave(true)
}

// restart forgets all but the background, for a signal that begins anew.
func (c *chain) restart() {
	c.filled, c.number = 0, 0
	for i := range c.tracker.history {
		c.tracker.history[i].number = -1
	}
	c.recent = c.recent[:0]
	c.listener.lines = c.listener.lines[:0]
	if c.decimator != nil {
		c.decimator.Restart()
	}
}

// at returns the sample in the middle of a frame, counted from the start of the
// signal.
func (c *chain) at(frame int64) int64 { return frame*c.step + c.middle }

// points returns what was read of a track, in hertz.
func (c *chain) points(readings []reading) []Point {
	line := make([]Point, len(readings))
	for k, r := range readings {
		line[k] = Point{At: sensor.Mono(c.at(r.frame)), Hz: float64(r.f) * c.binHz}
	}
	return line
}
