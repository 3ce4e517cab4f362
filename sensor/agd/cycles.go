package agd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

const (
	maxTargets = 100 // in one cycle: those that two digits tell apart
	day        = 86400_00
	hour       = 3600_00
)

// cycles gathers the targets of one time.
type cycles struct {
	line  *session.Session
	check Check
	// recorded says that instants of arrival are not known, and that the cycles
	// go on when the radar has started anew.
	recorded bool
	hand     targets     // being gathered
	next     targets     // its first target, once hand is full
	time     int         // of the radar's clock, of the last target,
	came     sensor.Mono // when it came
	begun    bool
	lost     bool // something was, since the last target
}

// targets are those of one time, with the bytes they came from.
type targets struct {
	time     int
	at       sensor.Mono
	lost     bool // something was, before one of them
	anew     bool // the radar has started anew before them
	readings []sensor.Reading
	raw      []byte
}

func newCycles(line *session.Session, check Check) *cycles {
	c := &cycles{line: line, check: check}
	for _, t := range []*targets{&c.hand, &c.next} {
		t.readings = make([]sensor.Reading, 0, maxTargets)
		t.raw = make([]byte, 0, maxTargets*maxMessage)
	}
	return c
}

func (c *cycles) open() bool { return len(c.hand.readings) > 0 }

// take returns the cycle at hand, valid until the next add.
func (c *cycles) take() sensor.Cycle {
	t := c.hand
	c.hand, c.next = c.next, c.hand
	c.next.readings, c.next.raw = c.next.readings[:0], c.next.raw[:0]
	return sensor.Cycle{At: t.at, Own: hundredths(t.time), Readings: t.readings, Lost: t.lost, Anew: t.anew}
}

// nothing returns the cycle of a radar that sees nothing.
func (c *cycles) nothing(at sensor.Mono) sensor.Cycle {
	lost := c.lost
	c.lost = false
	return sensor.Cycle{At: at, Lost: lost}
}

// add takes a frame that came at an instant. It reports whether the cycle at hand
// is complete.
func (c *cycles) add(f framing.Frame, at sensor.Mono) (done bool, err error) {
	c.lost = c.lost || f.Lost
	if f.Bytes[0] != stx {
		if len(framing.Trim(f.Bytes)) > 0 {
			c.line.Count.Unused.Add(1)
		}
		return false, nil
	}
	m, err := Parse(f.Bytes, c.check)
	switch {
	case errors.Is(err, ErrMPH) && c.recorded && c.begun && c.restarted(m.Time, at): // and was not yet set
		c.line.Count.Broken.Add(1)
		c.lost = true
		return false, nil
	case errors.Is(err, ErrMPH), errors.Is(err, ErrUnknown):
		return false, err
	case err != nil: // a check sum of eight bits lets some garbage through
		c.line.Count.Broken.Add(1)
		c.lost = true
		return false, nil
	case m.Kind != Target:
		c.line.Count.Unused.Add(1)
		return false, nil
	}
	anew := c.begun && c.restarted(m.Time, at)
	if back := c.time - m.Time; anew && !c.recorded {
		return false, fmt.Errorf("agd: the sensor's clock went back by %d.%02d s: it was started anew", back/100, back%100)
	}
	c.begun, c.time, c.came = true, m.Time, at
	c.line.Count.Used.Add(1)
	to := &c.hand
	if c.open() && !c.hand.takes(m) {
		to, done = &c.next, true
	}
	to.add(m, at, f.Bytes, c.lost)
	to.anew = to.anew || anew
	c.lost = false
	return done, nil
}

// restarted reports whether the radar's clock says that it has started anew: it
// goes back, and not since a day has ended. A day ends where the time until then
// has passed here, too, or in a recording where it is less than an hour.
func (c *cycles) restarted(now int, at sensor.Mono) bool {
	forward := (now - c.time + day) % day
	switch {
	case now >= c.time:
		return false
	case c.recorded:
		return forward > hour
	}
	passed := at.Sub(c.came)
	return hundredths(forward) > passed+passed/1000+5*time.Second
}

// takes reports whether the target is another one of the same time.
func (t *targets) takes(m Message) bool {
	for k := range t.readings {
		if t.readings[k].Target == m.Track {
			return false
		}
	}
	return m.Time == t.time && len(t.readings) < maxTargets
}

func (t *targets) add(m Message, at sensor.Mono, raw []byte, lost bool) {
	if len(t.readings) == 0 {
		t.time, t.at, t.lost, t.anew = m.Time, at, false, false
	}
	t.lost = t.lost || lost
	from := len(t.raw)
	t.raw = append(t.raw, raw...)
	r := sensor.Reading{
		At: t.at, Speed: m.Speed, Direction: m.Direction, Range: int32(m.Range), Angle: int32(m.Angle), Level: int16(m.Level),
		Target: m.Track, Flags: sensor.FlagRange | sensor.FlagAngle, Raw: t.raw[from:],
	}
	if m.Simulated {
		r.Flags |= sensor.FlagSimulated
	}
	t.readings = append(t.readings, r)
}

// A Playback is what a radar sent, from a recording. It implements
// [sensor.Feed]. Its clock is that of the radar and starts at 0 with the first
// target.
type Playback struct {
	line     *session.Session
	cycles   *cycles
	begun    bool
	time     int         // of the radar's clock, of the cycle before
	at       sensor.Mono // of the cycle before
	quiet    bool        // it had no readings
	complete bool        // the cycle at hand is
	ended    error
}

// NewPlayback reads messages with check sums of the given kind from r. It reads
// nothing yet.
func NewPlayback(r io.Reader, check Check) *Playback {
	line := session.Replay(r, check.protocol())
	c := newCycles(line, check)
	c.recorded = true
	return &Playback{line: line, cycles: c}
}

// Identity implements [sensor.Feed].
func (p *Playback) Identity() sensor.Identity { return sensor.Identity{Model: "AGD", Separates: true} }

// Tally implements [sensor.Tallied].
func (p *Playback) Tally() sensor.Tally { return p.line.Tally() }

// Next implements [sensor.Feed].
func (p *Playback) Next(ctx context.Context) (sensor.Cycle, error) {
	for done := p.complete; !done; {
		if p.ended != nil {
			return sensor.Cycle{}, p.ended
		}
		f, err := p.line.Next(ctx, 0)
		if ctx.Err() != nil {
			return sensor.Cycle{}, ctx.Err()
		}
		if err == nil {
			done, err = p.cycles.add(f, 0)
		}
		if err != nil {
			p.ended = err
			done = p.cycles.open()
		}
	}
	return p.cycle(), nil
}

// cycle returns the cycle at hand at its instant of the radar's clock. When the
// radar was silent for longer before it, it saw nothing: a cycle of its own.
func (p *Playback) cycle() sensor.Cycle {
	time := p.cycles.hand.time
	gap := hundredths((time - p.time + day) % day)
	if p.cycles.hand.anew && p.time-time < day/2 {
		gap = 2 * idle // at least; nothing says more
	}
	if p.complete = p.begun && !p.quiet && gap > idle; p.complete {
		p.quiet = true
		return sensor.Cycle{At: p.at.Add(idle)} // what was lost shows in the next
	}
	if p.begun {
		p.at = p.at.Add(gap)
	}
	p.begun, p.time, p.quiet = true, time, false
	c := p.cycles.take()
	c.At = p.at
	for k := range c.Readings {
		c.Readings[k].At = p.at
	}
	return c
}

func hundredths(n int) time.Duration { return time.Duration(n) * 10 * time.Millisecond }
