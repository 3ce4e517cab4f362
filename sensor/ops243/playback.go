package ops243

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
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
//
// A sensor that starts anew says so by its banner, or by a time that goes back
// and goes on from there; one line whose time lies before is a spoilt one. What
// comes then is a part of its own, behind the last report by at least the
// sensor's new time. A part may have another form, which ten lines in a row
// show, and another unit, which the sensor's reply tells.
type Playback struct {
	line     *session.Session
	o        PlaybackOptions
	begun    bool
	lost     bool
	anew     bool // the sensor has, since the last cycle
	banner   bool // and says so itself, since the last report
	last     sensor.Mono
	origin   sensor.Mono   // of the sensor's time
	uptime   time.Duration // of the last report,
	before   time.Duration // and of one that lay before it,
	doubtful bool          // if there was one since
	unit     string        // of reports that print none
	fields   int           // of a plain report, by the first one of the part
	others   int           // reports in a row that have another form
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
	return &Playback{line: session.Replay(r, protocol()), o: o}
}

// Identity implements [sensor.Feed]. A recording does not say which sensor made it.
func (p *Playback) Identity() sensor.Identity {
	return sensor.Identity{Model: "OPS243", Unchecked: true}
}

// Tally implements [sensor.Tallied].
func (p *Playback) Tally() sensor.Tally { return p.line.Tally() }

// Next implements [sensor.Feed].
func (p *Playback) Next(ctx context.Context) (sensor.Cycle, error) {
	for {
		f, err := p.line.Next(ctx, 0)
		if err != nil {
			return sensor.Cycle{}, err
		}
		l, err := ParseLine(f.Bytes)
		if err != nil {
			p.line.Count.Broken.Add(1)
			p.lost, p.i = true, nil
			p.anew = p.anew || bytes.Contains(f.Bytes, []byte("OPS24")) // a banner in words, or behind a line that was cut
			continue
		}
		p.lost = p.lost || f.Lost
		cycle, ok, err := p.use(&l, f.Bytes)
		if err != nil {
			return sensor.Cycle{}, err
		}
		if ok {
			p.line.Count.Used.Add(1)
			cycle.Lost, cycle.Anew = p.lost, p.anew
			p.lost, p.anew = false, false
			return cycle, nil
		}
	}
}

func (p *Playback) use(l *Line, raw []byte) (sensor.Cycle, bool, error) {
	switch l.Kind {
	case Speeds:
		if l.Unit == "" {
			l.Unit = p.unit
		}
		at, ok := sensor.Mono(0), p.formed(l) && l.check() == nil
		if ok {
			at, ok = p.at(l)
		}
		if !ok {
			p.line.Count.Broken.Add(1)
			p.lost = true
			return sensor.Cycle{}, false, nil
		}
		p.readings = targets(p.readings[:0], l, at, framing.Trim(raw))
		return sensor.Cycle{At: at, Readings: p.readings}, true, nil
	case I:
		if p.i != nil {
			p.orphan()
		}
		p.i = l.Samples
		return sensor.Cycle{}, false, nil
	case Q:
		return p.block(l)
	case Reply:
		if unit := l.Values["Units"]; !rangeUnit(unit) {
			p.unit = cmp.Or(unit, p.unit)
		}
		// What the sensor tells of itself when it starts.
		if l.Values["Version"] != "" || l.Values["SamplingRate"] != "" {
			p.anew, p.banner, p.i = true, true, nil
		}
	}
	p.line.Count.Unused.Add(1)
	return sensor.Cycle{}, false, nil
}

// formed reports whether a report has the form of its part. A list in JSON is no
// form of its own.
func (p *Playback) formed(l *Line) bool {
	fields := 1
	if l.Timed {
		fields = 3
	}
	if p.fields != 0 && p.fields != fields {
		if p.others++; p.others < inARow {
			return false
		}
		p.anew = true
	}
	p.fields, p.others = fields, 0
	return true
}

// at returns the instant of a report, and whether it can be one.
func (p *Playback) at(l *Line) (at sensor.Mono, ok bool) {
	switch {
	case !l.Timed && !p.begun:
	case !l.Timed:
		at = p.last.Add(p.o.Interval)
	case l.Uptime < p.uptime && !p.banner && (!p.doubtful || l.Uptime < p.before):
		p.before, p.doubtful = l.Uptime, true
		return 0, false
	default:
		if l.Uptime < p.uptime {
			p.anew, p.origin = true, p.last
		}
		p.uptime, p.doubtful = l.Uptime, false
		at = p.origin.Add(l.Uptime)
	}
	if at < p.last {
		return 0, false // beyond what an instant can be: a spoilt time
	}
	p.begun, p.banner, p.last = true, false, at
	return at, true
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
	at, _ := p.at(l)
	p.readings = p.blocks.readings(p.readings[:0], at, i, l.Samples)
	return sensor.Cycle{At: at, Readings: p.readings}, true, nil
}

func (p *Playback) orphan() {
	p.line.Count.Missing.Add(1)
	p.lost = true
}
