package doppler

import (
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

const (
	// A frame is the shortest power of two of samples that lasts longer than
	// this: 11 Hz or less between bins, a quarter of a km/h at 24 GHz, while a
	// car that brakes hard stays within a few bins.
	minFrame = 32 * time.Millisecond
	overlap  = 4 // frames begin a quarter of a frame apart

	settleFrames = 4  // frames between looks at what is held back
	toneFrames   = 16 // frames between looks for tracks that are tones

	lowestSpeed  = 3 / 3.6 // m/s, below which no line is looked for
	lowestBin    = 4       // the window's width keeps the constant part out
	highestSpeed = 320 / 3.6

	// A frame counts as clipped when more of its samples touch full scale. A
	// twentieth is a sine 0.3 % too large: its frequency is what it was.
	clippedShare = 0.05
)

// A Processor finds passages in a signal. It is not safe for concurrent use.
type Processor struct {
	format  Format
	options Options

	spectrum *spectrum
	detector *detector
	tracker  *tracker
	gauge    *gauge
	tape     *tape
	size     int // samples of a frame
	hop      int
	binHz    float64

	i, q    []float32 // the samples of the frame that is being filled
	clip    []bool
	filled  int
	started bool
	next    uint64 // index of the next sample
	number  int64  // of the next frame since the signal was last whole
	origin  uint64 // index of the first sample of frame 0
	clock   clock

	held    []vehicle // those of which another track still tells
	leaving []vehicle // those whose passage is about to be given out
	recent  []vehicle // those that lately ended
	done    []sensor.Passage
}

// A clock relates sample numbers to instants, block by block.
type clock struct {
	index uint64
	at    sensor.Mono
}

// NewProcessor returns a Processor for a signal of the given format.
func NewProcessor(f Format, o Options) (*Processor, error) {
	o = o.withDefaults()
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Processor{format: f, options: o, size: 512}
	for time.Duration(p.size)*time.Second/time.Duration(f.Rate) < minFrame {
		p.size *= 2
	}
	p.hop = p.size / overlap
	p.binHz = float64(f.Rate) / float64(p.size)
	angle := float64(o.Angle) / 1000 * math.Pi / 180
	perHz := speedOfLight / (2 * float64(o.Carrier) * math.Cos(angle)) // m/s
	hop := time.Duration(p.hop) * time.Second / time.Duration(f.Rate)
	p.spectrum = newSpectrum(p.size, f.Complex)
	bin := func(speed float64) int { return int(speed / (perHz * p.binHz)) }
	low := max(lowestBin, bin(lowestSpeed))
	high := min(p.size/2-4, bin(highestSpeed))
	if high <= low {
		return nil, fmt.Errorf("doppler: %d samples a second show no speed at a carrier of %d Hz", f.Rate, o.Carrier)
	}
	p.detector = newDetector(len(p.spectrum.power), f.Complex, low, high, hop)
	p.tracker = newTracker(hop)
	p.gauge = newGauge(float64(p.hop)/float64(f.Rate), perHz*p.binHz)
	p.i, p.clip = make([]float32, p.size), make([]bool, p.size)
	if f.Complex {
		p.q = make([]float32, p.size)
	}
	if o.KeepTrace {
		p.tape = newTape(f)
	}
	return p, nil
}

// Settings returns what the result depends on, as canonical text of one
// "name = value" a line.
func (p *Processor) Settings() []byte {
	return fmt.Appendf(nil, "rate_hz = %d\ncomplex = %t\nframe = %d\ncarrier_hz = %d\ncarrier_tolerance_ppm = %d\nclock_tolerance_ppm = %d\nangle_mdeg = %d\nangle_tolerance_mdeg = %d\n",
		p.format.Rate, p.format.Complex, p.size, p.options.Carrier, p.options.CarrierTolerance, p.options.ClockTolerance, p.options.Angle, p.options.AngleTolerance)
}

// Push adds samples. The Block is not kept. Samples that are no numbers count
// as clipped. When samples are missing before the Block, Push does what
// [Processor.Break] does first.
func (p *Processor) Push(b Block) error {
	if p.format.Complex && len(b.I) != len(b.Q) || !p.format.Complex && b.Q != nil {
		return fmt.Errorf("doppler: block %d: %d samples of I and %d of Q", b.Index, len(b.I), len(b.Q))
	}
	if !p.started || b.Index != p.next {
		p.Break()
		p.started, p.next, p.origin = true, b.Index, b.Index
		if p.tape != nil {
			p.tape.restart(b.Index)
		}
	}
	p.clock = clock{index: b.Index, at: b.At}
	for at := 0; at < len(b.I); {
		n := min(len(b.I)-at, p.size-p.filled)
		p.take(p.i[p.filled:p.filled+n], b.I[at:at+n], p.clip[p.filled:p.filled+n], false)
		if p.format.Complex {
			p.take(p.q[p.filled:p.filled+n], b.Q[at:at+n], p.clip[p.filled:p.filled+n], true)
		}
		for k := range p.clip[p.filled : p.filled+n] {
			p.clip[p.filled+k] = p.clip[p.filled+k] || b.Clipped
		}
		if p.tape != nil {
			p.tape.write(p.i[p.filled:p.filled+n], p.q, p.filled)
		}
		p.filled += n
		at += n
		p.next += uint64(n)
		if p.filled == p.size {
			p.frame()
			p.filled = copy(p.i, p.i[p.hop:])
			copy(p.q, p.q[min(p.hop, len(p.q)):])
			copy(p.clip, p.clip[p.hop:])
		}
	}
	return nil
}

// take copies samples and marks those that touch full scale.
func (p *Processor) take(to, from []float32, clip []bool, more bool) {
	for k, v := range from {
		c := more && clip[k]
		if !(v < clipLevel && v > -clipLevel) {
			c = true
			if !(v <= 1) {
				v = 1
			}
			if v < -1 {
				v = -1
			}
		}
		to[k], clip[k] = v, c
	}
}

// frame does one step of the chain.
func (p *Processor) frame() {
	var clipped float64
	for _, c := range p.clip {
		if c {
			clipped++
		}
	}
	power := p.spectrum.compute(p.i, p.q)
	f := p.tracker.slot(p.number)
	f.clipped = clipped > clippedShare*float64(p.size)
	f.peaks = p.detector.find(power, f.peaks)
	p.detector.describe(power, f.peaks)
	p.tracker.update(f)
	for _, t := range p.tracker.ended {
		p.finish(t, 0)
	}
	if len(p.held) > 0 && p.number%settleFrames == 0 {
		p.settle()
	}
	p.leave(false)
	for i := 0; i < len(p.tracker.tracks); i++ {
		t := p.tracker.tracks[i]
		if !t.confirmed {
			continue
		}
		if p.number%toneFrames == 0 && p.tracker.steady(t) && !p.passes(t) {
			p.detector.adopt(power, t.f)
			p.tracker.drop(t)
			i--
			continue
		}
		p.detector.freeze(t.f, true)
	}
	p.detector.learn(power)
	for _, t := range p.tracker.tracks {
		if t.confirmed {
			p.detector.freeze(t.f, false)
		}
	}
	p.number++
}

// Break says that the signal was interrupted. Passages under way end with
// [sensor.ReasonLostSamples].
func (p *Processor) Break() {
	p.end(sensor.ReasonLostSamples)
	p.started, p.filled, p.number = false, 0, 0
	for i := range p.tracker.history {
		p.tracker.history[i].number = -1
	}
	p.recent = p.recent[:0]
}

// Flush says that the signal has ended. A vehicle whose measuring zone is
// complete is a passage.
func (p *Processor) Flush() { p.end(0) }

func (p *Processor) end(reason sensor.Reason) {
	p.tracker.endAll()
	for _, t := range p.tracker.ended {
		p.finish(t, reason)
	}
	p.settle()
	p.leave(true)
}

// Pop returns the oldest finished passage that was not returned yet.
func (p *Processor) Pop() (sensor.Passage, bool) {
	if len(p.done) == 0 {
		return sensor.Passage{}, false
	}
	first := p.done[0]
	p.done = slices.Delete(p.done, 0, 1)
	return first, true
}

// instant returns when the middle of a frame was.
func (p *Processor) instant(frame int64) sensor.Mono {
	sample := int64(p.origin) + frame*int64(p.hop) + int64(p.size/2)
	return p.clock.at + sensor.Mono(p.span(sample-int64(p.clock.index)))
}

// span returns how long n samples last.
func (p *Processor) span(n int64) time.Duration {
	whole, rest := n/int64(p.format.Rate), n%int64(p.format.Rate)
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(p.format.Rate)
}
