package isys4001

import (
	"bytes"
	"context"
	"io"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/session"
)

// PlaybackOptions say what a recording does not. The zero value works.
type PlaybackOptions struct {
	Interval time.Duration // between two lists; 0 means the sensor's cycle of 75 ms
}

// A Playback is what a sensor has sent, recorded. It implements [sensor.Feed].
// Lists carry no time: their instants are multiples of the interval. A sensor
// that is asked for its name, set, started or stopped in between, or that
// refuses a command, may have started anew.
type Playback struct {
	line     *session.Session
	interval time.Duration
	lost     bool
	anew     bool // the sensor was set up since the last list
	steps    int64
	previous []byte
	targets  []Target
	readings []sensor.Reading
}

// NewPlayback reads the recorded bytes of a sensor. Frames that are no target
// lists, those of the other side of the line among them, are skipped and counted.
func NewPlayback(r io.Reader, o PlaybackOptions) *Playback {
	if o.Interval == 0 {
		o.Interval = period
	}
	return &Playback{line: session.Replay(r, protocol(defaultAddress)), interval: o.Interval}
}

// Identity implements [sensor.Feed].
func (p *Playback) Identity() sensor.Identity {
	return sensor.Identity{Model: "iSYS-4001", Separates: true}
}

// Tally implements [sensor.Tallied].
func (p *Playback) Tally() sensor.Tally { return p.line.Tally() }

// Next implements [sensor.Feed].
func (p *Playback) Next(ctx context.Context) (sensor.Cycle, error) {
	for {
		raw, err := p.line.Next(ctx, 0)
		if err != nil {
			return sensor.Cycle{}, err
		}
		p.lost = p.lost || raw.Lost
		f, err := ParseFrame(raw.Bytes)
		if err != nil || f.Function != fcTargets || f.To != master {
			p.line.Count.Unused.Add(1)
			p.anew = p.anew || err == nil && setsUp(f.Function)
			continue
		}
		l, err := ParseList(f, p.targets[:0])
		if err != nil {
			p.line.Count.Broken.Add(1)
			p.lost = true
			continue
		}
		p.targets = l.Targets
		at := sensor.Mono(p.steps) * sensor.Mono(p.interval)
		p.steps++
		if len(l.Targets) > 0 && bytes.Equal(raw.Bytes, p.previous) {
			p.line.Count.Repeated.Add(1)
			continue
		}
		p.previous = append(p.previous[:0], raw.Bytes...)
		p.readings = readings(&p.line.Count, p.readings[:0], l, at, raw.Bytes)
		cycle := sensor.Cycle{At: at, Readings: p.readings, Lost: p.lost || l.Clipped, Anew: p.anew}
		p.lost, p.anew = false, false
		return cycle, nil
	}
}

// setsUp reports whether a function is of those by which a sensor is set up, or
// that of a refusal.
func setsUp(function byte) bool {
	switch function {
	case fcName, fcAcquire, fcWrite, fcWriteOut, fcFailed:
		return true
	}
	return false
}
