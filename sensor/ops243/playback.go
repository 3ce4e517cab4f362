package ops243

import (
	"context"
	"fmt"
	"io"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
)

// PlaybackOptions say what a recording does not. The zero value works.
type PlaybackOptions struct {
	// Interval is the time between two reports or blocks without the sensor's
	// time; 0 means 100 ms.
	Interval time.Duration
	Rate     int   // of samples; 0 means 20,000
	Carrier  int64 // in Hz, for samples; 0 means 24.125 GHz
}

// A Playback is what a sensor has sent, recorded. It implements [sensor.Feed].
// Instants are the sensor's own time, or multiples of the interval.
type Playback struct {
	scanner  *framing.Scanner
	o        PlaybackOptions
	counted  counted
	lost     bool
	last     sensor.Mono
	steps    int64
	fields   int // of a plain report, by the first one
	i        []int
	blocks   *blocks
	readings []sensor.Reading
}

// NewPlayback reads the recorded lines of a sensor. A recording in another form
// than its first report, such as the rest of a line, is counted as broken.
func NewPlayback(r io.Reader, o PlaybackOptions) *Playback {
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.Rate == 0 {
		o.Rate = 20_000
	}
	if o.Carrier == 0 {
		o.Carrier = defaultCarrier
	}
	now := func() sensor.Mono { return 0 }
	return &Playback{scanner: framing.NewScanner(r, now, maxLine, framing.Lines(maxLine, false)), o: o}
}

// Identity implements [sensor.Feed]. A recording does not say which sensor made it.
func (p *Playback) Identity() sensor.Identity {
	return sensor.Identity{Model: "OPS243", Unchecked: true}
}

// Counters returns what was seen so far. It is safe for concurrent use.
func (p *Playback) Counters() Counters { return p.counted.read(p.scanner.Counters()) }

// Next implements [sensor.Feed].
func (p *Playback) Next(ctx context.Context) (sensor.Cycle, error) {
	for {
		if err := ctx.Err(); err != nil {
			return sensor.Cycle{}, err
		}
		f, err := p.scanner.Scan()
		if err != nil {
			return sensor.Cycle{}, err
		}
		l, err := ParseLine(f.Bytes)
		if err != nil {
			p.counted.broken.Add(1)
			p.lost, p.i = true, nil
			continue
		}
		p.lost = p.lost || f.Lost
		cycle, ok, err := p.use(&l, f.Bytes)
		if err != nil {
			return sensor.Cycle{}, err
		}
		if ok {
			p.counted.reports.Add(1)
			cycle.Lost, p.lost = p.lost, false
			return cycle, nil
		}
	}
}

func (p *Playback) use(l *Line, raw []byte) (sensor.Cycle, bool, error) {
	switch l.Kind {
	case Speeds:
		// A list in JSON is no form of its own.
		fields := 1
		if l.Timed {
			fields = 3
		}
		if p.fields == 0 {
			p.fields = fields
		}
		if p.fields != fields {
			p.counted.broken.Add(1)
			p.lost = true
			return sensor.Cycle{}, false, nil
		}
		at, err := p.at(l)
		p.readings = targets(p.readings[:0], l, at, framing.Trim(raw))
		return sensor.Cycle{At: at, Readings: p.readings}, err == nil, err
	case I:
		if p.i != nil {
			p.orphan()
		}
		p.i = l.Samples
		return sensor.Cycle{}, false, nil
	case Q:
		return p.block(l)
	}
	p.counted.unused.Add(1)
	return sensor.Cycle{}, false, nil
}

// at returns the instant of a report. A sensor whose time goes back has started
// anew, and nothing says how much later.
func (p *Playback) at(l *Line) (sensor.Mono, error) {
	at := sensor.Mono(p.steps) * sensor.Mono(p.o.Interval)
	p.steps++
	if l.Timed {
		at = sensor.Mono(l.Uptime)
	}
	if at < p.last {
		return 0, fmt.Errorf("ops243: the sensor's time goes from %v back to %v", time.Duration(p.last), l.Uptime)
	}
	p.last = at
	return at, nil
}

func (p *Playback) block(l *Line) (sensor.Cycle, bool, error) {
	i := p.i
	p.i = nil
	if n := len(i); n != len(l.Samples) || n < 64 || n&(n-1) != 0 {
		p.orphan()
		return sensor.Cycle{}, false, nil
	}
	if p.blocks == nil {
		b, err := newBlocks(p.o.Rate, len(i), p.o.Carrier)
		if err != nil {
			return sensor.Cycle{}, false, err
		}
		p.blocks = b
	}
	if len(i) != len(p.blocks.i) {
		p.orphan()
		return sensor.Cycle{}, false, nil
	}
	at, err := p.at(l)
	p.readings = p.blocks.readings(p.readings[:0], at, i, l.Samples)
	return sensor.Cycle{At: at, Readings: p.readings}, err == nil, err
}

func (p *Playback) orphan() {
	p.counted.orphans.Add(1)
	p.lost = true
}
