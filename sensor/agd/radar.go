package agd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
)

const (
	// answerTime is how long an answer may take.
	answerTime = 500 * time.Millisecond
	tries      = 3
	// heartbeat is the interval of heartbeats, the shortest that the AGD 317
	// allows; silence is two of them and a margin for a busy machine.
	heartbeat = 5 * time.Second
	silence   = 12 * time.Second
	// together is how long the messages of one time may lie apart, and idle how
	// long a radar that sees a target may say nothing of it: shorter than after
	// which package track takes a silent sensor for a lost one.
	together = 20 * time.Millisecond
	idle     = 300 * time.Millisecond
)

// Options say what the configuration expects.
type Options struct {
	Model  string // such as AGD350; "" accepts any AGD3xx
	Serial string // "" accepts any
	Check  Check  // of the messages
}

// Counters say what a Radar has seen.
type Counters struct {
	Targets int64
	Broken  int64 // messages whose check sum or form is wrong
	Other   int64 // messages and lines of no use
	Dropped int64 // bytes that are part of no message
}

// A Radar is one sensor in operation. It implements [sensor.Feed]. Counters may
// be called by any goroutine.
type Radar struct {
	conn     sensor.Conn
	clock    sensor.Clock
	scanner  *framing.Scanner
	cycles   *cycles
	identity sensor.Identity
	last     sensor.Mono // of the cycle before
	heard    sensor.Mono // arrival of the last message
	failed   error
}

// settings are what the driver sets, in the order of their names in the
// canonical text.
var settings = [...]struct{ key, name, value string }{
	{"angle", "ANGLE", "0"},
	{"coordinates", "CT", "P"},
	{"direction", "DIR", "B"},
	{"heartbeat_s", "HBP", "5"},
	{"units", "SU", "K"},
}

// Open sets the radar up and reads its settings back. When the radar is silent
// it fails within two seconds. The caller closes c, also when Open fails.
func Open(ctx context.Context, c sensor.Conn, clock sensor.Clock, o Options) (*Radar, error) {
	r := &Radar{conn: c, clock: clock, cycles: newCycles(o.Check)}
	r.scanner = framing.NewScanner(c, clock.Now, maxLine, o.Check.judge)
	version, err := r.ask(ctx, "AGD", "#AGD")
	if err != nil {
		return nil, err
	}
	model := modelOf(version)
	switch {
	case !strings.HasPrefix(model, "AGD3"):
		return nil, fmt.Errorf("agd: the sensor says it is %q, no AGD 3xx", version)
	case o.Model != "" && o.Model != model:
		return nil, fmt.Errorf("agd: the sensor says it is an %s, the configuration an %s", model, o.Model)
	}
	serial, err := r.serial(ctx)
	if err != nil {
		return nil, err
	}
	if o.Serial != "" && o.Serial != serial {
		return nil, fmt.Errorf("agd: the sensor's serial number is %s, the configuration's %s", serial, o.Serial)
	}
	text := []byte{}
	for k, s := range settings {
		got, err := r.set(ctx, s.name, s.value)
		if err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, "%s %s\n", s.key, got)
		if k == 0 { // the one key between that is not set
			text = fmt.Appendf(text, "check_sum %v\n", o.Check)
		}
	}
	text = fmt.Appendf(text, "version %s\n", version)
	r.heard = clock.Now()
	r.identity = sensor.Identity{Model: model, Serial: serial, Settings: text, Separates: true}
	return r, nil
}

// set sets one value and reads it back.
func (r *Radar) set(ctx context.Context, name, value string) (string, error) {
	if _, err := r.ask(ctx, "*"+name+"="+value, "#"+name+"="); err != nil {
		return "", err
	}
	got, err := r.ask(ctx, "*"+name+"?", "#"+name+"?")
	if err != nil {
		return "", err
	}
	if !same(got, value) {
		return "", fmt.Errorf("agd: %s: want %s, the sensor has %q", name, value, got)
	}
	return got, nil
}

// same reports whether a value that was read back is the wanted one. Numbers may
// have decimals and a unit behind them.
func same(got, want string) bool {
	w, err := strconv.ParseFloat(want, 64)
	if err != nil {
		return got == want
	}
	number := strings.TrimRight(got, " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/")
	g, err := strconv.ParseFloat(number, 64)
	return err == nil && g == w
}

// serial asks for the serial number.
func (r *Radar) serial(ctx context.Context) (string, error) {
	answer, err := r.ask(ctx, "*SN?", "#SN?")
	if err != nil {
		return "", err
	}
	serial, sum, checked := strings.Cut(answer, "*")
	if checked && !strings.EqualFold(sum, fmt.Sprintf("%02X", xor([]byte(serial+"*")))) {
		return "", fmt.Errorf("agd: serial number %q: its check sum is wrong", answer)
	}
	if serial == "" {
		return "", errors.New("agd: the sensor has no serial number")
	}
	return serial, nil
}

// modelOf finds AGD and three digits in the words of a radar.
func modelOf(words string) string {
	for rest := words; ; {
		_, after, ok := strings.Cut(rest, "AGD")
		if !ok {
			return ""
		}
		digits := strings.TrimLeft(after, " -")
		if len(digits) >= 3 && strings.Trim(digits[:3], "0123456789") == "" {
			return "AGD" + digits[:3]
		}
		rest = after
	}
}

// ask sends a command and returns what follows the given beginning of its
// answer.
func (r *Radar) ask(ctx context.Context, command, want string) (string, error) {
	before := r.scanner.Counters()
	for range tries {
		r.scanner.Clear()
		if _, err := r.conn.Write([]byte(command + "\r")); err != nil {
			return "", fmt.Errorf("agd: %s: %w", command, err)
		}
		answer, err := r.answer(ctx, want)
		if err == nil {
			return answer, nil
		}
		if !errors.Is(err, framing.ErrSilence) {
			return "", fmt.Errorf("agd: %s: %w", command, err)
		}
	}
	r.scanner.Clear()
	switch now := r.scanner.Counters(); {
	case now.Frames > before.Frames:
		return "", fmt.Errorf("agd: %s: the sensor does not answer", command)
	case now.Broken > before.Broken:
		return "", fmt.Errorf("agd: %s: messages whose check sum is no %v, and no answer", command, r.cycles.check)
	case now.Dropped > before.Dropped:
		return "", fmt.Errorf("agd: %s: bytes but no answer: wrong speed or parity of the line, or another sensor?", command)
	}
	return "", fmt.Errorf("agd: %s: no answer: no power, or a broken line?", command)
}

// answer waits for a line that begins as wanted.
func (r *Radar) answer(ctx context.Context, want string) (line string, err error) {
	err = framing.Within(ctx, r.conn, answerTime, func() error {
		for {
			f, err := r.scanner.Scan()
			if err != nil {
				return err
			}
			text := string(framing.Trim(f.Bytes))
			if rest, ok := strings.CutPrefix(text, "#ERROR"); ok {
				return fmt.Errorf("the sensor answers error%s", rest)
			}
			if rest, ok := strings.CutPrefix(text, want); ok {
				line = strings.TrimSpace(rest)
				return nil
			}
		}
	})
	return line, err
}

// Identity implements [sensor.Feed].
func (r *Radar) Identity() sensor.Identity { return r.identity }

// Counters returns what has been seen so far.
func (r *Radar) Counters() Counters {
	return r.cycles.counters(r.scanner)
}

// Next implements [sensor.Feed]. A radar that says nothing for 0.3 s sees
// nothing: a cycle without readings. Next returns an error when nothing has come
// for 12 s, when the radar was started anew or reports in other units, or when it
// sends messages that this package does not know.
func (r *Radar) Next(ctx context.Context) (sensor.Cycle, error) {
	for r.failed == nil {
		// From the last cycle on: a heartbeat says nothing of targets, and must
		// not stretch the time.
		patience := max(idle-r.clock.Now().Sub(r.last), time.Millisecond)
		if r.cycles.open() {
			patience = together
		}
		var f framing.Frame
		err := framing.Within(ctx, r.conn, patience, func() (err error) {
			f, err = r.scanner.Scan()
			return err
		})
		switch silent := errors.Is(err, framing.ErrSilence); {
		case silent && r.cycles.open():
			return r.report(r.cycles.take()), nil
		case silent && r.clock.Now().Sub(r.heard) > silence:
			r.failed = fmt.Errorf("agd: no message for %v", silence)
			continue
		case silent:
			return r.report(r.cycles.nothing(r.clock.Now())), nil
		case ctx.Err() != nil:
			return sensor.Cycle{}, ctx.Err()
		case errors.Is(err, io.EOF): // which is for recordings
			r.failed = errors.New("agd: the connection has ended")
			continue
		case err != nil:
			r.failed = err
			continue
		}
		r.heard = f.Last
		done, err := r.cycles.add(f, f.First)
		if done {
			return r.report(r.cycles.take()), nil
		}
		r.failed = err
	}
	if r.cycles.open() { // what was reported before it failed
		return r.report(r.cycles.take()), nil
	}
	return sensor.Cycle{}, r.failed
}

// report keeps instants in order.
func (r *Radar) report(c sensor.Cycle) sensor.Cycle {
	c.At = max(c.At, r.last)
	for k := range c.Readings {
		c.Readings[k].At = c.At
	}
	r.last = c.At
	return c
}
