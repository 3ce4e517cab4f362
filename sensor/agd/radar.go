package agd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
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

// A Radar is one sensor in operation. It implements [sensor.Feed]. Tally may be
// called by any goroutine.
type Radar struct {
	line     *session.Session
	clock    sensor.Clock
	cycles   *cycles
	identity sensor.Identity
	last     sensor.Mono  // of the cycle before
	heard    sensor.Mono  // arrival of the last message,
	since    sensor.Tally // and what had come by then
	failed   error
}

// protocol is what package session needs to know.
func (c Check) protocol() session.Protocol {
	return session.Protocol{
		Name: "agd", Size: maxLine, Judge: c.judge, Answer: answerTime, Tries: tries, Check: fmt.Sprintf("check sum is no %v", c),
	}
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
	r := &Radar{line: session.Open(c, clock.Now, o.Check.protocol()), clock: clock}
	r.cycles = newCycles(r.line, o.Check)
	version, err := r.ask(ctx, "AGD", "#AGD")
	if err != nil {
		return nil, err
	}
	model := modelOf(version)
	if !strings.HasPrefix(model, "AGD3") {
		return nil, r.line.Errorf("the sensor says it is %q, no AGD 3xx", version)
	}
	if o.Model != "" {
		if err := r.line.Model(model, o.Model); err != nil {
			return nil, err
		}
	}
	serial, err := r.serial(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.line.Serial(serial, o.Serial); err != nil {
		return nil, err
	}
	read := session.Settings{"check_sum": o.Check.String(), "version": version}
	for _, s := range settings {
		if _, err := r.ask(ctx, "*"+s.name+"="+s.value, "#"+s.name+"="); err != nil {
			return nil, err
		}
		if read[s.key], err = r.ask(ctx, "*"+s.name+"?", "#"+s.name+"?"); err != nil {
			return nil, err
		}
		if err := r.line.Compare(s.name, read[s.key], s.value); err != nil {
			return nil, err
		}
	}
	r.heard = clock.Now()
	r.identity = sensor.Identity{Model: model, Serial: serial, Settings: read.Text(), Separates: true}
	return r, nil
}

// serial asks for the serial number.
func (r *Radar) serial(ctx context.Context) (string, error) {
	answer, err := r.ask(ctx, "*SN?", "#SN?")
	if err != nil {
		return "", err
	}
	serial, sum, checked := strings.Cut(answer, "*")
	if checked && !strings.EqualFold(sum, fmt.Sprintf("%02X", xor([]byte(serial+"*")))) {
		return "", r.line.Errorf("serial number %q: its check sum is wrong", answer)
	}
	if serial == "" {
		return "", r.line.Errorf("the sensor has no serial number")
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
func (r *Radar) ask(ctx context.Context, command, want string) (answer string, err error) {
	_, err = r.line.Ask(ctx, session.Question{Name: command, Bytes: []byte(command + "\r"), Sort: func(f framing.Frame) (session.Kind, error) {
		text := string(framing.Trim(f.Bytes))
		if rest, ok := strings.CutPrefix(text, "#ERROR"); ok {
			return session.Answer, fmt.Errorf("the sensor answers error%s", rest)
		}
		rest, ok := strings.CutPrefix(text, want)
		switch {
		case text == "":
			return session.Nothing, nil
		case !ok:
			return session.Other, nil
		}
		answer = strings.TrimSpace(rest)
		return session.Answer, nil
	}})
	return answer, err
}

// Identity implements [sensor.Feed].
func (r *Radar) Identity() sensor.Identity { return r.identity }

// Tally implements [sensor.Tallied].
func (r *Radar) Tally() sensor.Tally { return r.line.Tally() }

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
		f, err := r.line.Next(ctx, patience)
		switch silent := errors.Is(err, framing.ErrSilence); {
		case silent && r.cycles.open():
			return r.report(r.cycles.take()), nil
		case silent && r.clock.Now().Sub(r.heard) > silence:
			r.failed = r.line.Silent("message", silence, r.since)
			continue
		case silent:
			return r.report(r.cycles.nothing(r.clock.Now())), nil
		case ctx.Err() != nil:
			return sensor.Cycle{}, ctx.Err()
		case err != nil:
			r.failed = err
			continue
		}
		r.heard, r.since = f.Last, r.line.Tally()
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
