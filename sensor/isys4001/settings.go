package isys4001

import (
	"bytes"
	"cmp"
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
	// Others have other scales or, as the iSYS-4003, fold at 45 km/h.
	want := cmp.Or(o.Model, "iSYS-4001")
	if o.Model != "" || !strings.EqualFold(name, "iSYS-4002") {
		if err := r.line.Model(name, want); err != nil {
			return err
		}
	}
	if _, err := r.ask(ctx, "stopping the measurement", tries, fcAcquire, 0, 1); err != nil {
		return err
	}
	r.settings = settings()
	read := session.Settings{"form_bits": fmt.Sprint(r.form), "address": fmt.Sprint(r.address)}
	for i := range r.settings {
		s := &r.settings[i]
		if read[s.name], err = r.apply(ctx, s); err != nil {
			return err
		}
	}
	r.identity = sensor.Identity{Model: name, Serial: o.Serial, Settings: read.Text(), Separates: true}
	_, err = r.ask(ctx, "starting the measurement", tries, fcAcquire, 0, 0)
	return err
}

// apply writes a setting, reads it back and compares, and returns its text.
func (r *Radar) apply(ctx context.Context, s *setting) (string, error) {
	if s.set {
		_, err := r.ask(ctx, "setting "+s.name, tries, s.write, s.output, s.address, byte(s.value>>8), byte(s.value))
		if errors.Is(err, errRefused) && s.optional {
			s.set = false
		} else if err != nil {
			return "", err
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
		return "", r.line.Compare(s.name, fmt.Sprint(got), fmt.Sprint(s.value))
	}
	s.value = got
	return fmt.Sprint(got), nil
}

// value reads a setting.
func (r *Radar) value(ctx context.Context, s *setting) (uint16, error) {
	f, err := r.ask(ctx, "reading "+s.name, tries, s.read, s.output, s.address)
	if err != nil {
		return 0, err
	}
	frame, err := ParseFrame(f.Bytes)
	if err != nil || len(frame.Data) != 2 {
		return 0, r.line.Errorf("reading %s: an answer of %d bytes, want 2", s.name, len(frame.Data))
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
		err = r.line.Errorf("%s is %d and was %d: the sensor has started anew, or was set by another", s.name, got, s.value)
	}
	return err
}

// hello asks the sensor who it is. It is the first thing asked, and so says what
// is wrong with the line.
func (r *Radar) hello(ctx context.Context) (string, error) {
	f, err := r.ask(ctx, "name", tries, fcName)
	if err != nil {
		return "", err
	}
	frame, err := ParseFrame(f.Bytes)
	return string(bytes.Trim(frame.Data, " \x00")), err
}

// ask puts a question until the sensor has answered us with its function, or
// refused.
func (r *Radar) ask(ctx context.Context, name string, times int, function byte, data ...byte) (framing.Frame, error) {
	return r.line.Ask(ctx, session.Question{
		Name: name, Bytes: AppendFrame(make([]byte, 0, 16), r.address, master, function, data...), Tries: times,
		Sort: func(f framing.Frame) (session.Kind, error) {
			frame, err := ParseFrame(f.Bytes)
			switch {
			case err != nil || frame.To != master || frame.From != r.address:
				return session.Other, nil
			case frame.Function == function:
				return session.Answer, nil
			case frame.Function == fcFailed:
				return session.Answer, errRefused
			}
			return session.Other, nil
		},
	})
}

// protocol is what package session needs to know of a sensor of the address.
func protocol(address byte) session.Protocol {
	return session.Protocol{
		Name: "isys4001", Size: maxFrame, Judge: judge, Answer: answerTime, Tries: tries, Quiet: true,
		Check: "check sum is wrong", From: fmt.Sprintf(" of address %#02x", address),
	}
}
