package doppler

import (
	"fmt"

	"ciglio/sensor"
)

// A Processor finds passages in a signal. It is not safe for concurrent use.
type Processor struct {
	format  Format
	options Options
	done    []sensor.Passage
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
	return &Processor{format: f, options: o}, nil
}

// Settings returns what the result depends on, as canonical text of one
// "name = value" a line.
func (p *Processor) Settings() []byte {
	return fmt.Appendf(nil, "rate_hz = %d\ncomplex = %t\ncarrier_hz = %d\ncarrier_tolerance_ppm = %d\nclock_tolerance_ppm = %d\nangle_mdeg = %d\nangle_tolerance_mdeg = %d\n",
		p.format.Rate, p.format.Complex, p.options.Carrier, p.options.CarrierTolerance, p.options.ClockTolerance, p.options.Angle, p.options.AngleTolerance)
}

// Push adds samples. The Block is not kept.
func (p *Processor) Push(b Block) error {
	if p.format.Complex && len(b.I) != len(b.Q) || !p.format.Complex && b.Q != nil {
		return fmt.Errorf("doppler: block %d: %d samples of I and %d of Q", b.Index, len(b.I), len(b.Q))
	}
	return nil
}

// Break says that the signal was interrupted. Passages under way end with
// [sensor.ReasonLostSamples].
func (p *Processor) Break() {}

// Flush says that the signal has ended.
func (p *Processor) Flush() {}

// Pop returns the oldest finished passage that was not returned yet.
func (p *Processor) Pop() (sensor.Passage, bool) {
	if len(p.done) == 0 {
		return sensor.Passage{}, false
	}
	first := p.done[0]
	p.done = append(p.done[:0], p.done[1:]...)
	return first, true
}
