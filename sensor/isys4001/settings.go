package isys4001

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
)

const (
	// answerTime is how long an answer is waited for. The sensor takes up to a
	// cycle, and its distributor waits as long.
	answerTime = 300 * time.Millisecond
	// tries is how often a question is put.
	tries = 3
)

// A setting is one value of the sensor.
type setting struct {
	name            string
	read, write     byte // function codes
	output, address byte
	value           uint16
	set             bool // wanted; otherwise only recorded
	optional        bool // not known to older firmware
}

// settings returns what is set and what is only recorded. The limits are those
// of the sensor, so that it filters nothing that a vehicle can be.
func settings() []setting {
	out := func(name string, address byte, value uint16) setting {
		return setting{name: name, read: fcReadOut, write: fcWriteOut, output: 1, address: address, value: value, set: true}
	}
	return []setting{
		{name: "frequency_channel", read: fcRead, address: 0x04},
		{name: "range_150m", read: fcRead, write: fcWrite, address: 0x10, value: 1, set: true, optional: true},
		out("range_min_dm", 0x08, 0),
		out("range_max_dm", 0x09, 1500),
		{name: "signal_min_ddb", read: fcReadOut, output: 1, address: 0x0A},
		{name: "signal_max_ddb", read: fcReadOut, output: 1, address: 0x0B},
		out("speed_min_dmps", 0x0C, 10),
		out("speed_max_dmps", 0x0D, 694), // 250 km/h
		out("direction", 0x0E, 3),
		out("filter", 0x15, 0),
		out("filter_signal", 0x16, 0),
	}
}

// errRefused says that the sensor answered a command with a failure.
var errRefused = errors.New("the sensor refuses it")

// prepare brings the sensor into its state, and r.identity to what it says.
func (r *Radar) prepare(ctx context.Context, o Options) error {
	name, err := r.hello(ctx)
	if err != nil {
		return err
	}
	if err := checkModel(name, o.Model); err != nil {
		return err
	}
	if _, _, err := r.ask(ctx, tries, fcAcquire, 0, 1); err != nil {
		return fmt.Errorf("isys4001: stopping the measurement: %w", err)
	}
	r.settings = settings()
	lines := []string{fmt.Sprintf("form_bits %d\n", r.form), fmt.Sprintf("address %d\n", r.address)}
	for i := range r.settings {
		s := &r.settings[i]
		text, err := r.apply(ctx, s)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%s %s\n", s.name, text))
	}
	slices.Sort(lines)
	r.identity = sensor.Identity{
		Model: name, Serial: o.Serial, Settings: []byte(strings.Join(lines, "")), Separates: true,
	}
	if _, _, err := r.ask(ctx, tries, fcAcquire, 0, 0); err != nil {
		return fmt.Errorf("isys4001: starting the measurement: %w", err)
	}
	return nil
}

// apply writes a setting, reads it back and compares, and returns its text.
func (r *Radar) apply(ctx context.Context, s *setting) (string, error) {
	if s.set {
		_, _, err := r.ask(ctx, tries, s.write, s.output, s.address, byte(s.value>>8), byte(s.value))
		if errors.Is(err, errRefused) && s.optional {
			s.set = false
		} else if err != nil {
			return "", fmt.Errorf("isys4001: setting %s: %w", s.name, err)
		}
	}
	got, err := r.value(ctx, s)
	switch {
	case errors.Is(err, errRefused) && s.optional && !s.set:
		s.read = 0 // not to be read again
		return "unknown", nil
	case err != nil:
		return "", err
	case s.set && got != s.value:
		return "", fmt.Errorf("isys4001: %s is %d, want %d", s.name, got, s.value)
	}
	s.value = got
	return fmt.Sprint(got), nil
}

// value reads a setting.
func (r *Radar) value(ctx context.Context, s *setting) (uint16, error) {
	f, _, err := r.ask(ctx, tries, s.read, s.output, s.address)
	if err != nil {
		return 0, fmt.Errorf("isys4001: reading %s: %w", s.name, err)
	}
	frame, err := ParseFrame(f.Bytes)
	if err != nil || len(frame.Data) != 2 {
		return 0, fmt.Errorf("isys4001: reading %s: an answer of %d bytes, want 2", s.name, len(frame.Data))
	}
	return uint16(frame.Data[0])<<8 | uint16(frame.Data[1]), nil
}

// checkOne reads the next setting again.
func (r *Radar) checkOne(ctx context.Context) error {
	s := &r.settings[r.check%len(r.settings)]
	r.check++
	if s.read == 0 {
		return nil
	}
	got, err := r.value(ctx, s)
	if err == nil && got != s.value {
		err = fmt.Errorf("isys4001: %s is %d and was %d: the sensor has started anew, or was set by another", s.name, got, s.value)
	}
	return err
}

// hello asks the sensor who it is. It is the first thing asked, and so says what
// is wrong with the line.
func (r *Radar) hello(ctx context.Context) (string, error) {
	f, _, err := r.ask(ctx, tries, fcName)
	if errors.Is(err, framing.ErrSilence) {
		switch c := r.scanner.Counters(); {
		case c.Frames == 0 && c.Dropped == 0:
			return "", errors.New("isys4001: the sensor sends nothing: no power, a wrong port, its wire is open, or the line has another speed")
		case c.Frames == 0:
			return "", errors.New("isys4001: bytes come and make no sense: is this the speed of the line, and an iSYS-4001?")
		}
		return "", fmt.Errorf("isys4001: frames come, and no answer of address %#02x in time: is it the sensor's?", r.address)
	}
	if err != nil {
		return "", err
	}
	frame, err := ParseFrame(f.Bytes)
	return string(bytes.Trim(frame.Data, " \x00")), err
}

// checkModel refuses what is not the model: others have other scales or, as the
// iSYS-4003, fold at 45 km/h.
func checkModel(name, want string) error {
	if want == "" {
		if strings.EqualFold(name, "iSYS-4001") || strings.EqualFold(name, "iSYS-4002") {
			return nil
		}
		want = "iSYS-4001"
	}
	if !strings.EqualFold(name, want) {
		return fmt.Errorf("isys4001: the sensor says it is an %.40q, the configuration an %s", name, want)
	}
	return nil
}

// ask puts a question until it is answered, and returns the answer with the
// instant at which it began to come.
func (r *Radar) ask(ctx context.Context, times int, function byte, data ...byte) (framing.Frame, sensor.Mono, error) {
	question := AppendFrame(make([]byte, 0, 16), r.address, master, function, data...)
	var err error
	for n := range times {
		if n > 0 {
			// The late answer to the last question must not be taken for that to
			// the next.
			if err := r.quiet(ctx); err != nil {
				return framing.Frame{}, 0, err
			}
		}
		r.scanner.Clear()
		if _, err := r.conn.Write(question); err != nil {
			return framing.Frame{}, 0, fmt.Errorf("isys4001: %w", err)
		}
		var f framing.Frame
		f, err = r.answer(ctx, function)
		if !errors.Is(err, framing.ErrSilence) {
			return f, f.First, err
		}
	}
	if times == 1 {
		if err := r.quiet(ctx); err != nil {
			return framing.Frame{}, 0, err
		}
	}
	return framing.Frame{}, 0, err
}

// answer waits for a frame of the sensor to us with the function.
func (r *Radar) answer(ctx context.Context, function byte) (f framing.Frame, err error) {
	err = framing.Within(ctx, r.conn, answerTime, func() error {
		for {
			if f, err = r.scanner.Scan(); err != nil {
				// What looked like the beginning of a long frame may have been
				// garbage, with the answer behind it.
				if errors.Is(err, os.ErrDeadlineExceeded) && r.scanner.Resync() {
					continue
				}
				return err
			}
			frame, err := ParseFrame(f.Bytes)
			switch {
			case err != nil || frame.To != master || frame.From != r.address:
				r.counted.others.Add(1) // our own echo on a two-wire line, or another's
			case frame.Function == function:
				return nil
			case frame.Function == fcFailed:
				return errRefused
			default:
				r.counted.others.Add(1)
			}
		}
	})
	return f, err
}

// quiet reads what still comes until nothing has come for the time of an answer,
// or for some times as long.
func (r *Radar) quiet(ctx context.Context) error {
	for range tries {
		r.scanner.Clear()
		err := framing.Within(ctx, r.conn, answerTime, func() error {
			_, err := r.scanner.Scan()
			return err
		})
		if errors.Is(err, framing.ErrSilence) {
			return nil
		}
		if err != nil {
			return err
		}
		r.counted.others.Add(1)
	}
	return nil
}
