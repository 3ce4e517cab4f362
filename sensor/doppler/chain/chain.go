package chain

import (
	"math"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
	"ciglio/sensor/doppler/spectrum"
)

const (
	overlap = 4 // frames begin a quarter of a frame apart

	settleFrames = 4  // frames between looks at what is held back
	toneFrames   = 16 // frames between looks for tracks that are tones

	lowestSpeed  = 3 / 3.6 // m/s, below which no line is looked for
	highestSpeed = 400 / 3.6

	// A frame counts as clipped when more of its samples touch full scale. A
	// twentieth is a sine 0.3 % too large: its frequency is what it was.
	clippedShare = 0.05
)

// A Pace is a kind of vehicle by its speed. What a vehicle that is eight times
// as slow shows in a frame eight times as long is the same picture, to the bin
// and to the frame. So there is one chain, and it runs at several paces; within
// it, seconds and metres a second are those of the usual pace.
type Pace struct {
	Stretch   float64 // times by which all lasts longer than at the usual pace
	Low, High float64 // m/s, what is given out
	Steady    bool    // of what held its speed alone: with the others the frames are too long
}

// The paces overlap, so that no vehicle falls between two of them. Where two tell
// of one, that with a speed counts, and of two the first: a short frame follows
// the fall of the frequency near the closest point, a long one sees farther.
var (
	SlowPace  = Pace{Stretch: 8, Low: 0.8 / 3.6, High: 22 / 3.6}
	TownPace  = Pace{Stretch: 2, Low: 14 / 3.6, High: 70 / 3.6, Steady: true}
	UsualPace = Pace{Stretch: 1, Low: 9 / 3.6, High: 128 / 3.6}
	FastPace  = Pace{Stretch: 0.5, Low: 122 / 3.6, High: 1000 / 3.6}
	RacePace  = Pace{Stretch: 0.25, Low: 180 / 3.6, High: 1000 / 3.6}
)

// A Chain finds the vehicles of one pace.
type Chain struct {
	Pace
	Complex  bool
	observed bool
	Balance  *spectrum.Balance // taught by this chain; nil when it is not

	decimator *spectrum.Decimator // nil when every sample counts
	spectrum  *spectrum.Spectrum
	detector  *lines.Detector
	listener  *lines.Listener
	refiner   *spectrum.Refiner
	follower  *lines.Follower
	gauge     *geometry.Gauge
	joint     *geometry.Gauge // of what is joined; nil but at the usual pace
	rate      int             // samples or I/Q pairs a second
	Size      int             // values of a frame
	hop       int
	binHz     float64
	Step      int64 // samples of the signal between frames
	Middle    int64 // sample of the signal in the middle of the first frame

	i, q   []float32 // the values of the frame that is being filled
	clip   []uint8   // samples behind each that touch full scale
	filled int
	number int64 // of the next frame since the signal was last whole

	held    []Vehicle // those of which another track still tells
	leaving []Vehicle // those about to be given out
	recent  []Vehicle // those that lately ended
	pieces  []piece   // tracks that may be joined
	Out     []Vehicle // those given out in the last push

	runs []run     // scratch of heardBeside
	own  []float32 // of path
}

// New returns the chain of a pace, for a signal of so many samples or I/Q pairs a
// second. The size is that of a frame of the usual pace, perHz the speed in m/s of
// 1 Hz, and the angle in radians that between the beam and the road. It returns nil when the
// sampling rate shows no speed of this pace.
func New(s Pace, samples int, cplx bool, size int, perHz, angle float64, observed bool) *Chain {
	c := &Chain{Pace: s, Complex: cplx, observed: observed, rate: samples, Size: size}
	rate := float64(samples) // values a second
	if s.Stretch > 1 {
		c.decimator = spectrum.NewDecimator(int(s.Stretch), cplx)
		rate /= s.Stretch
	} else {
		c.Size = int(float64(size) * s.Stretch)
	}
	c.hop = c.Size / overlap
	factor := int64(max(1, s.Stretch)) // samples of the signal behind a value
	c.Step = int64(c.hop) * factor
	c.Middle = int64(c.Size/2) * factor
	if c.decimator != nil {
		c.Middle -= c.decimator.Delay()
	}
	c.binHz = rate / float64(c.Size)
	hop := time.Duration(float64(c.Step) / float64(samples) / s.Stretch * float64(time.Second))
	mps := perHz * c.binHz * s.Stretch
	low := max(lines.LowestBin, int(lowestSpeed/mps))
	high := min(c.Size/2-4, int(highestSpeed/mps))
	if high <= low || float64(high)*mps < s.Low*s.Stretch*1.1 {
		return nil
	}
	c.spectrum = spectrum.New(c.Size, cplx)
	c.detector = lines.NewDetector(c.spectrum.Bins(), cplx, low, high, hop)
	c.listener = lines.NewListener(c.detector, hop.Seconds())
	c.refiner = spectrum.NewRefiner(c.Size)
	c.follower = lines.NewFollower(hop)
	c.gauge = geometry.NewGauge(hop.Seconds(), mps, s.Stretch, angle, cplx)
	if s.Stretch == 1 {
		c.joint = geometry.NewGauge(hop.Seconds()/joinStretch, mps*joinStretch, joinStretch, angle, cplx)
	}
	c.i, c.clip = make([]float32, c.Size), make([]uint8, c.Size)
	if cplx {
		c.q = make([]float32, c.Size)
	}
	return c
}

// Push adds samples and appends to c.Out the vehicles that left.
func (c *Chain) Push(i, q []float32, clip []uint8) {
	c.Out = c.Out[:0]
	if c.decimator != nil {
		i, q, clip = c.decimator.Filter(i, q, clip)
	}
	for len(i) > 0 {
		n := copy(c.i[c.filled:], i)
		copy(c.clip[c.filled:], clip)
		if c.Complex {
			copy(c.q[c.filled:], q)
			q = q[n:]
		}
		i, clip = i[n:], clip[n:]
		c.filled += n
		if c.filled == c.Size {
			c.frame()
			c.filled = copy(c.i, c.i[c.hop:])
			copy(c.q, c.q[min(c.hop, len(c.q)):])
			copy(c.clip, c.clip[c.hop:])
		}
	}
}

// frame does one step of the chain.
func (c *Chain) frame() {
	var clipped float64
	for _, n := range c.clip {
		clipped += float64(n)
	}
	power := c.spectrum.Compute(c.i, c.q)
	f := c.follower.Slot(c.number)
	f.Clipped = clipped > clippedShare*float64(c.Step)*overlap
	f.Peaks = c.detector.Find(power, f.Peaks)
	c.detector.Describe(power, f.Peaks)
	c.listener.Add(c.detector, power, c.number)
	c.follower.Update(f)
	c.refine()
	if c.Balance != nil {
		c.compare()
	}
	for _, t := range c.follower.Ended {
		c.finish(t, 0)
	}
	if len(c.held) > 0 && c.number%settleFrames == 0 {
		c.settle()
	}
	c.leave(false)
	for i := 0; i < len(c.follower.Tracks); i++ {
		t := c.follower.Tracks[i]
		if !t.Confirmed {
			continue
		}
		if c.number%toneFrames == 0 && c.follower.Steady(t) && !c.passes(t) {
			c.detector.Adopt(power, t.F)
			c.follower.Drop(t)
			i--
			continue
		}
		c.detector.Freeze(t.F, true)
	}
	c.detector.Learn(power)
	for _, t := range c.follower.Tracks {
		if t.Confirmed {
			c.detector.Freeze(t.F, false)
		}
	}
	c.number++
}

// refine measures the lines of vehicles in this frame as well as noise allows,
// and as if their frequency did not change within it.
func (c *Chain) refine() {
	for _, t := range c.follower.Tracks {
		if t.Confirmed && t.Misses == 0 {
			r := &t.Readings[len(t.Readings)-1]
			f, _ := c.refiner.Refine(c.i, c.q, float64(r.F), overlap*t.Rate)
			r.F = float32(f)
		}
	}
}

// compare teaches the balance what strong lines show at their mirror frequency.
func (c *Chain) compare() {
	for _, t := range c.follower.Tracks {
		if !t.Confirmed || t.Misses > 0 {
			continue
		}
		if r := &t.Readings[len(t.Readings)-1]; r.SNR >= spectrum.BalanceSNR && !r.Line {
			k := int(math.Round(float64(r.F)))
			re, im := c.spectrum.At(k)
			mirrorRe, mirrorIm := c.spectrum.At(-k)
			c.Balance.Learn(re, im, mirrorRe, mirrorIm)
		}
	}
}

// End ends every track for a reason, 0 for the end of the signal.
func (c *Chain) End(reason sensor.Reason) {
	c.Out = c.Out[:0]
	c.follower.EndAll()
	for _, t := range c.follower.Ended {
		c.finish(t, reason)
	}
	c.settle()
	c.leave(true)
}

// Restart forgets all but the background, for a signal that begins anew.
func (c *Chain) Restart() {
	c.filled, c.number = 0, 0
	c.follower.Restart()
	c.recent, c.pieces = c.recent[:0], c.pieces[:0]
	c.listener.Restart()
	if c.decimator != nil {
		c.decimator.Restart()
	}
}

// At returns the sample in the middle of a frame, counted from the start of the
// signal.
func (c *Chain) At(frame int64) int64 { return frame*c.Step + c.Middle }

// A Point is the frequency of a vehicle's line at one sample.
type Point struct {
	At int64   // counted from the start of the signal
	Hz float64 // positive when it approaches; of a real signal always
}

// points returns what was read of a track.
func (c *Chain) points(readings []lines.Reading) []Point {
	line := make([]Point, len(readings))
	for k, r := range readings {
		line[k] = Point{c.At(r.Frame), float64(r.F) * c.binHz}
	}
	return line
}

// A Departure is a vehicle that a chain gave out, as other chains compare theirs with
// it: in samples from the start of the signal and metres a second.
type Departure struct {
	Near     float64 // the closest point
	Speed    float64
	Sign     int // of the frequency
	atEnd    bool
	fitted   bool
	change   float64 // m/s, of the speed within the zone, standard uncertainty
	From, To int64   // of the track
	// The part of it in which it is as loud as one in the beam.
	HeardFrom, HeardTo int64
}

// Depart returns a vehicle of this chain as others see it.
func (c *Chain) Depart(v *Vehicle) Departure {
	w := &v.Measured
	return Departure{
		Near: c.Place(w.Near), Speed: w.Speed / c.Stretch, Sign: w.Sign, atEnd: w.AtEnd, fitted: w.Fitted, change: w.Change / c.Stretch,
		From: c.At(w.First), To: c.At(w.Last), HeardFrom: c.At(v.heard[0]), HeardTo: c.At(v.heard[1]),
	}
}

// Place returns the sample of an instant between frames.
func (c *Chain) Place(frame float64) float64 { return frame*float64(c.Step) + float64(c.Middle) }
