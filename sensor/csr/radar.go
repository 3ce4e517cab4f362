package csr

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

const (
	interval = 26 * time.Millisecond // of reports in continuous mode

	// answerTime is how long an answer may take: 16 bytes take 17 ms, and the
	// radar is not fast.
	answerTime = 300 * time.Millisecond
	tries      = 3
	// silence is how long a radar in continuous mode may give no report: many
	// reports, so that a busy machine is not taken for a dead radar.
	silence = time.Second
	// agreed is the number of reports in a row, without a byte between them,
	// that show that the speed of the line is right.
	agreed = 8
	// listenTime is how long that may take.
	listenTime = 3 * time.Second
)

// Options say what the configuration expects.
type Options struct {
	Model, Serial string // of the radar, which can tell neither; "" as Model means CSR
	Version       string // what its software version must begin with; "" accepts any
}

// A Radar is one sensor in operation. It implements [sensor.Feed]. Tally may be
// called by any goroutine.
type Radar struct {
	line     *session.Session
	clock    sensor.Clock
	identity sensor.Identity
	last     sensor.Mono
	reading  [1]sensor.Reading
}

// protocol is what package session needs to know of a radar in set-up.
func protocol(judge framing.Judge) session.Protocol {
	return session.Protocol{Name: "csr", Size: maxFrame, Judge: judge, Answer: answerTime, Tries: tries, Quiet: true}
}

// Open sets the radar up, reads its settings back and waits for its first
// reports. It takes at most nine seconds, and two when the radar is silent. The
// caller closes c, also when Open fails.
func Open(ctx context.Context, c sensor.Conn, clock sensor.Clock, o Options) (*Radar, error) {
	r := &Radar{line: session.Open(c, clock.Now, protocol(judgeSetUp)), clock: clock}
	settings, err := r.setUp(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(settings.Version, o.Version) {
		return nil, r.line.Errorf("the sensor's software is %q, the configuration's %q", settings.Version, o.Version)
	}
	if err := settings.check(r.line); err != nil {
		return nil, err
	}
	r.line.Judge(judgeReport)
	if err := r.listen(ctx, settings); err != nil {
		return nil, err
	}
	r.identity = sensor.Identity{Model: cmp.Or(o.Model, "CSR"), Serial: o.Serial, Settings: settings.text(), Unchecked: true}
	return r, nil
}

// setUp sets the data format and reads the settings back.
func (r *Radar) setUp(ctx context.Context) (Settings, error) {
	if err := r.do(ctx, "begin set-up", 0x31, 0x30, 0x30); err != nil {
		return Settings{}, err
	}
	answer, err := r.ask(ctx, "version", 0x3f, 0x30, 0x30)
	if err != nil {
		return Settings{}, err
	}
	version, err := parseVersion(answer)
	if err != nil {
		return Settings{}, err
	}
	if err := r.do(ctx, "data format", 0x38, 0x31, 0x30); err != nil {
		return Settings{}, err
	}
	answer, err = r.ask(ctx, "settings", 0x3d, 0x34, 0x30)
	if err != nil {
		return Settings{}, err
	}
	settings, err := parseSettings(answer)
	if err != nil {
		return Settings{}, err
	}
	settings.Version = version
	return settings, r.do(ctx, "end set-up", 0x32, 0x30, 0x30)
}

// do sends a command and wants to hear that it was done.
func (r *Radar) do(ctx context.Context, name string, command ...byte) error {
	answer, err := r.ask(ctx, name, command...)
	if err != nil {
		return err
	}
	if len(answer) != 5 || answer[2] != '0' {
		return r.line.Errorf("%s: the sensor answers % x", name, answer)
	}
	return nil
}

// ask sends a command and returns the answer, valid until the next call.
func (r *Radar) ask(ctx context.Context, name string, command ...byte) ([]byte, error) {
	f, err := r.line.Ask(ctx, session.Question{
		Name: name, Bytes: append(append([]byte{begin}, command...), end),
		Sort: func(f framing.Frame) (session.Kind, error) {
			if f.Bytes[0] != begin {
				return session.Other, nil
			}
			return session.Answer, nil
		},
	})
	return f.Bytes, err
}

// listen waits for a run of reports.
func (r *Radar) listen(ctx context.Context, s Settings) error {
	until := r.clock.Now().Add(listenTime)
	for n := 0; n < agreed; {
		if r.clock.Now() > until {
			return r.line.Errorf("reports with garbage between them: wrong speed of the line, or another sensor?")
		}
		f, err := r.line.Next(ctx, silence)
		if errors.Is(err, framing.ErrSilence) {
			return r.line.Errorf("no reports after set-up: set the work mode to continuous with the maker's program (mode 0x%02x)", s.Mode)
		}
		if err != nil {
			return err
		}
		if f.Lost {
			n = 0
		}
		n++
	}
	return nil
}

// Identity implements [sensor.Feed].
func (r *Radar) Identity() sensor.Identity { return r.identity }

// Tally implements [sensor.Tallied].
func (r *Radar) Tally() sensor.Tally { return r.line.Tally() }

// Next implements [sensor.Feed]. It returns an error when the radar is silent
// for a second, or has started anew and so lost its settings.
func (r *Radar) Next(ctx context.Context) (sensor.Cycle, error) {
	before := r.line.Tally()
	f, err := r.line.Next(ctx, silence)
	switch {
	case errors.Is(err, framing.ErrSilence):
		return sensor.Cycle{}, r.line.Silent("report", silence, before)
	case err != nil:
		return sensor.Cycle{}, err
	}
	report, err := Parse(f.Bytes)
	if err != nil {
		return sensor.Cycle{}, r.line.Errorf("the sensor has started anew")
	}
	r.line.Count.Used.Add(1)
	r.last = max(r.last, f.First)
	return cycle(&r.reading, report, r.last, f), nil
}

// cycle makes a cycle of a report.
func cycle(reading *[1]sensor.Reading, report Report, at sensor.Mono, f framing.Frame) sensor.Cycle {
	c := sensor.Cycle{At: at, Lost: f.Lost}
	if report.Speed > 0 {
		reading[0] = sensor.Reading{At: at, Speed: report.Speed, Direction: report.Direction, Raw: f.Bytes}
		c.Readings = reading[:]
	}
	return c
}

// A Playback is what a radar in continuous mode and data format 1 sent, from a
// recording. It implements [sensor.Feed]. The bytes tell no time: reports are
// taken to be 26 ms apart, from 0 on.
type Playback struct {
	line    *session.Session
	at      sensor.Mono
	anew    bool // the radar has started anew since the last report
	reading [1]sensor.Reading
}

// NewPlayback reads reports from r. It reads nothing yet.
func NewPlayback(r io.Reader) *Playback {
	return &Playback{line: session.Replay(r, protocol(judgeReport))}
}

// Identity implements [sensor.Feed].
func (p *Playback) Identity() sensor.Identity { return sensor.Identity{Model: "CSR", Unchecked: true} }

// Tally implements [sensor.Tallied].
func (p *Playback) Tally() sensor.Tally { return p.line.Tally() }

// Next implements [sensor.Feed].
func (p *Playback) Next(ctx context.Context) (sensor.Cycle, error) {
	for {
		f, err := p.line.Next(ctx, 0)
		if err != nil {
			return sensor.Cycle{}, err
		}
		report, err := Parse(f.Bytes)
		if err != nil {
			p.line.Count.Unused.Add(1)
			p.anew = true
			continue
		}
		p.line.Count.Used.Add(1)
		c := cycle(&p.reading, report, p.at, f)
		c.Anew, p.anew = p.anew, false
		p.at = p.at.Add(interval)
		return c, nil
	}
}
