package csr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
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

// Counters say what a Radar has seen.
type Counters struct {
	Reports int64
	Broken  int64 // directions without a possible speed
	Dropped int64 // bytes that are part of no report
}

// A Radar is one sensor in operation. It implements [sensor.Feed]. Counters may
// be called by any goroutine.
type Radar struct {
	conn     sensor.Conn
	clock    sensor.Clock
	scanner  *framing.Scanner
	judge    framing.Judge // the one of the state that the radar is in
	identity sensor.Identity
	last     sensor.Mono
	reading  [1]sensor.Reading
	reports  atomic.Int64
}

// Open sets the radar up, reads its settings back and waits for its first
// reports. It takes at most nine seconds,
// and one when the radar is silent. The caller closes c, also when
// Open fails.
func Open(ctx context.Context, c sensor.Conn, clock sensor.Clock, o Options) (*Radar, error) {
	r := &Radar{conn: c, clock: clock, judge: judgeAnswer}
	r.scanner = framing.NewScanner(c, clock.Now, maxFrame, func(b []byte) (int, framing.Verdict) { return r.judge(b) })
	settings, err := r.setUp(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(settings.Version, o.Version) {
		return nil, fmt.Errorf("csr: the sensor's software is %q, the configuration's %q", settings.Version, o.Version)
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	r.judge = judgeReport
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
		return fmt.Errorf("csr: %s: the sensor answers % x", name, answer)
	}
	return nil
}

// ask sends a command and returns the answer, valid until the next call.
func (r *Radar) ask(ctx context.Context, name string, command ...byte) ([]byte, error) {
	before := r.scanner.Counters().Dropped
	for range tries {
		r.scanner.Clear()
		if _, err := r.conn.Write(append(append([]byte{begin}, command...), end)); err != nil {
			return nil, fmt.Errorf("csr: %s: %w", name, err)
		}
		f, err := r.scan(ctx, answerTime)
		if err == nil {
			return f.Bytes, nil
		}
		if !errors.Is(err, framing.ErrSilence) {
			return nil, fmt.Errorf("csr: %s: %w", name, err)
		}
	}
	r.scanner.Clear()
	if r.scanner.Counters().Dropped > before {
		return nil, fmt.Errorf("csr: %s: bytes but no answer: wrong speed of the line, or another sensor?", name)
	}
	return nil, fmt.Errorf("csr: %s: no answer: no power, or a broken line?", name)
}

// listen waits for a run of reports.
func (r *Radar) listen(ctx context.Context, s Settings) error {
	until := r.clock.Now().Add(listenTime)
	for n := 0; n < agreed; {
		if r.clock.Now() > until {
			return errors.New("csr: reports with garbage between them: wrong speed of the line, or another sensor?")
		}
		f, err := r.scan(ctx, silence)
		if errors.Is(err, framing.ErrSilence) {
			return fmt.Errorf("csr: no reports after set-up: set the work mode to continuous with the maker's program (mode 0x%02x)", s.Mode)
		}
		if err != nil {
			return fmt.Errorf("csr: %w", err)
		}
		if f.Lost {
			n = 0
		}
		n++
	}
	return nil
}

func (r *Radar) scan(ctx context.Context, patience time.Duration) (framing.Frame, error) {
	var f framing.Frame
	err := framing.Within(ctx, r.conn, patience, func() (err error) {
		f, err = r.scanner.Scan()
		return err
	})
	return f, err
}

// Identity implements [sensor.Feed].
func (r *Radar) Identity() sensor.Identity { return r.identity }

// Counters returns what has been seen so far.
func (r *Radar) Counters() Counters {
	c := r.scanner.Counters()
	return Counters{Reports: r.reports.Load(), Broken: c.Broken, Dropped: c.Dropped}
}

// Next implements [sensor.Feed]. It returns an error when the radar is silent
// for a second, or has started anew and so lost its settings.
func (r *Radar) Next(ctx context.Context) (sensor.Cycle, error) {
	dropped := r.scanner.Counters().Dropped
	f, err := r.scan(ctx, silence)
	switch {
	case errors.Is(err, framing.ErrSilence) && r.scanner.Counters().Dropped > dropped:
		return sensor.Cycle{}, fmt.Errorf("csr: bytes but no report for %v", silence)
	case errors.Is(err, framing.ErrSilence):
		return sensor.Cycle{}, fmt.Errorf("csr: no report for %v", silence)
	case errors.Is(err, io.EOF): // which is for recordings
		return sensor.Cycle{}, errors.New("csr: the connection has ended")
	case err != nil:
		return sensor.Cycle{}, err
	}
	report, err := Parse(f.Bytes)
	if err != nil {
		return sensor.Cycle{}, errors.New("csr: the sensor has started anew")
	}
	r.reports.Add(1)
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
	scanner *framing.Scanner
	at      sensor.Mono
	anew    bool // the radar has started anew since the last report
	reading [1]sensor.Reading
	reports atomic.Int64
}

// NewPlayback reads reports from r. It reads nothing yet.
func NewPlayback(r io.Reader) *Playback {
	return &Playback{scanner: framing.NewScanner(r, func() sensor.Mono { return 0 }, maxFrame, judgeReport)}
}

// Identity implements [sensor.Feed].
func (p *Playback) Identity() sensor.Identity { return sensor.Identity{Model: "CSR", Unchecked: true} }

// Counters returns what has been seen so far. It is safe for concurrent use.
func (p *Playback) Counters() Counters {
	c := p.scanner.Counters()
	return Counters{Reports: p.reports.Load(), Broken: c.Broken, Dropped: c.Dropped}
}

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
		report, err := Parse(f.Bytes)
		if err != nil {
			p.anew = true
			continue
		}
		p.reports.Add(1)
		c := cycle(&p.reading, report, p.at, f)
		c.Anew, p.anew = p.anew, false
		p.at = p.at.Add(interval)
		return c, nil
	}
}
