// Package isys4001 drives the 24 GHz radars iSYS-4001 (RS-232) and iSYS-4002
// (RS-485) of InnoSenT: lists of up to 35 targets with speed, range and angle,
// about 13 times a second.
//
// What it keeps true: [Open] stops the sensor, sets it, reads every setting back
// and compares, and starts it; in operation one setting a second is read again,
// so that a sensor that has started anew is an error. A list counts only when
// its delimiters, both of its lengths and its check sum are right. A list that
// is sent twice is not taken for two measurements. Memory is bounded.
//
// The caller gives the connection, 115,200 baud by default, 8 bits, no parity, and closes it
// after an error. A [Radar] has one user at a time; its Counters and Identity may
// be read by any.
//
// # The line
//
// The sensor speaks when it is asked. Frames follow the old PROFIBUS FDL; numbers
// have the high byte first. FCS is the sum modulo 256 of the bytes from DA to the
// last before it.
//
//	68 LE LE 68 DA SA FC data… FCS 16   LE counts DA to the last byte of data
//	A2 DA SA FC data… FCS 16            without a length
//	10 DA SA FC FCS 16                  without data
//
// DA and SA are the addresses of receiver and sender: 01 ours, 80 the sensor's
// until set otherwise. FC says what is asked, and is that of the answer; FD means
// that the sensor could not do it.
//
//	D0                      name of the device             answer: the name
//	D1 00 00 / D1 00 01     start / stop the measurement   answer without data
//	D2 00 p                 read a sensor setting          answer: 2 bytes
//	D3 00 p hi lo           write one                      answer without data
//	D4 o p                  read a setting of output o     answer: 2 bytes
//	D5 o p hi lo            write one                      answer without data
//	DA o 10 / DA o 20       target list of output o in 16-bit / 32-bit form
//
// Settings of an output: 08, 09 least and greatest range in dm; 0A, 0B signal in
// tenths of dB; 0C, 0D speed in dm/s; 0E direction, 3 for both; 15, 16 the filter
// that makes one target of all, 0 for none. Sensor settings: 04 the frequency
// channel, 10 the range, 0 to 50 m and 1 to 150 m.
//
// A list is o, the number of targets, and the targets. The number FF stands for
// an overdriven input, and no targets follow. In 16-bit form, framed with a
// length, a target is signal (1 byte, dB), velocity (0.01 m/s), range (0.01 m)
// and angle (0.01°), two bytes each, signed. In 32-bit form, framed without a
// length, it is signal (2 bytes, 0.01 dB), velocity (0.001 m/s), range (1 µm) and
// angle (0.01°), four bytes each, signed.
//
// Worked example, computed by hand: asked by
//
//	68 05 05 68 80 01 DA 01 10 6C 16
//
// the sensor answers
//
//	68 0C 0C 68 01 80 DA 01 01 3C 0A F0 0F A0 FF 06 47 16
//
// 60 dB, 0x0AF0 = 2,800 cm/s = 28 m/s = 100.80 km/h approaching, 0x0FA0 = 40.00 m
// away, 0xFF06 = −2.50°.
//
// # Sources, and what could not be confirmed
//
// InnoSenT's "serial interface protocol" (revisions 11 and 22) was not at hand.
// The layout is taken from three public users of the sensor who agree:
// KB-Sensor-Mart/iSYS4001 (an Arduino library of a distributor, with commands,
// settings, acknowledgements and the 75 ms cycle), InnoSenT's decoder of target
// lists as quoted there and by others, and a traffic sign controller that reads
// the name, settings and 16-bit lists. Each frame has one check sum, FCS, in both
// forms of the list; the second safeguard of the form with a length is the
// repeated length. Not confirmed: that FCS of the form A2 covers the same bytes as
// in the others, which no public code verifies and FDL defines so; the sign of the
// velocity, by which that controller pairs positive with a falling range; the
// side of positive angles; the age of a list, at most a cycle; the function
// by which a serial number is read, so that Options.Serial is taken as it is.
package isys4001

import (
	"bytes"
	"context"
	"errors"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

// Options say what is expected of the sensor. The zero value works.
type Options struct {
	Model   string // "iSYS-4001" or "iSYS-4002"; "" for either
	Serial  string // by the label: the sensor cannot be asked
	Address byte   // of the sensor; 0 for 0x80
	Narrow  bool   // lists in 16-bit form, half as long
}

const (
	// period is the sensor's cycle.
	period = 75 * time.Millisecond
	// patience is how long the lists may fail to come, or to change while there
	// are targets.
	patience = 2 * time.Second
	// again is how often a setting is read again.
	again = time.Second
)

// A Radar is an iSYS-4001 in operation. It implements [sensor.Feed].
type Radar struct {
	line     *session.Session
	clock    sensor.Clock
	address  byte
	form     byte // 0x10 or 0x20
	identity sensor.Identity
	settings []setting

	lost     bool
	asked    time.Time // when the last list was asked for
	changed  sensor.Mono
	checked  sensor.Mono // when the last setting was read again
	check    int         // which is next
	last     sensor.Mono
	previous []byte
	targets  []Target
	readings []sensor.Reading
}

// Open sets the sensor, reads its settings back, compares them and starts the
// measurement. It takes some seconds at most, and fails with a message that says
// which it looks like: no answer, a wrong speed of the line, another model,
// another setting. It does not close the connection.
func Open(ctx context.Context, c sensor.Conn, clock sensor.Clock, o Options) (*Radar, error) {
	if o.Address == 0 {
		o.Address = defaultAddress
	}
	r := &Radar{
		line:  session.Open(c, clock.Now, protocol(o.Address)),
		clock: clock, address: o.Address, form: 0x20,
		previous: make([]byte, 0, maxFrame),
		targets:  make([]Target, 0, MaxTargets), readings: make([]sensor.Reading, 0, MaxTargets),
	}
	if o.Narrow {
		r.form = 0x10
	}
	if err := r.prepare(ctx, o); err != nil {
		return nil, err
	}
	now := clock.Now()
	r.changed, r.checked, r.last, r.lost = now, now, now, false
	return r, nil
}

// Identity implements [sensor.Feed].
func (r *Radar) Identity() sensor.Identity { return r.identity }

// Tally implements [sensor.Tallied].
func (r *Radar) Tally() sensor.Tally { return r.line.Tally() }

// Next implements [sensor.Feed].
func (r *Radar) Next(ctx context.Context) (sensor.Cycle, error) {
	if r.clock.Now().Sub(r.checked) >= again {
		if err := r.checkOne(ctx); err != nil {
			return sensor.Cycle{}, err
		}
		r.checked = r.clock.Now()
	}
	before := r.line.Tally()
	for {
		if err := r.pause(ctx); err != nil {
			return sensor.Cycle{}, err
		}
		f, err := r.ask(ctx, "", 1, fcTargets, 1, r.form)
		switch {
		case errors.Is(err, framing.ErrSilence):
			r.lost = true
			if r.clock.Now().Sub(r.last) > patience {
				return sensor.Cycle{}, r.line.Silent("list", patience, before)
			}
			continue
		case errors.Is(err, errRefused):
			return sensor.Cycle{}, r.line.Errorf("the sensor does not measure: it has started anew, or was stopped by another")
		case err != nil:
			return sensor.Cycle{}, err
		}
		r.lost = r.lost || f.Lost
		cycle, ok, err := r.use(f.Bytes, f.First)
		if err != nil {
			return sensor.Cycle{}, err
		}
		if ok {
			cycle.Lost, r.lost = r.lost, false
			return cycle, nil
		}
	}
}

// use makes a cycle of a frame with a list.
func (r *Radar) use(raw []byte, at sensor.Mono) (sensor.Cycle, bool, error) {
	f, err := ParseFrame(raw)
	if err != nil {
		return sensor.Cycle{}, false, err // the judge and the parser agree, so this is ours
	}
	l, err := ParseList(f, r.targets[:0])
	if err != nil || l.Output != 1 || (f.Delimiter == sd3) != (r.form == 0x20) {
		r.line.Count.Broken.Add(1)
		r.lost = true
		if at.Sub(r.last) > patience {
			return sensor.Cycle{}, false, r.line.Errorf("no list in the form asked for has come for %v", patience)
		}
		return sensor.Cycle{}, false, nil
	}
	if len(l.Targets) > 0 && bytes.Equal(raw, r.previous) {
		r.line.Count.Repeated.Add(1)
		if at.Sub(r.changed) > patience {
			return sensor.Cycle{}, false, r.line.Errorf("the list of targets has not changed for %v", patience)
		}
		return sensor.Cycle{}, false, nil
	}
	r.previous = append(r.previous[:0], raw...)
	at = max(at, r.last)
	r.changed, r.last = at, at
	r.readings = readings(&r.line.Count, r.readings[:0], l, at, raw)
	r.lost = r.lost || l.Clipped
	return sensor.Cycle{At: at, Readings: r.readings}, true, nil
}

// readings appends the targets of a list as readings. An overdriven input gives
// one reading that has neither speed nor direction, with the flag; since it hid
// the targets, such a cycle is also marked as lost.
func readings(c *session.Count, dst []sensor.Reading, l List, at sensor.Mono, raw []byte) []sensor.Reading {
	c.Used.Add(1)
	if l.Clipped {
		c.Clipped.Add(1)
		return append(dst, sensor.Reading{At: at, Flags: sensor.FlagClipped, Raw: raw})
	}
	for _, t := range l.Targets {
		r := sensor.Reading{
			At: at, Range: t.Range, Angle: t.Angle, Level: t.Level,
			Flags: sensor.FlagAngle, Raw: raw,
		}
		if t.Range > 0 {
			r.Flags |= sensor.FlagRange
		}
		switch {
		case t.Velocity > 0:
			r.Direction, r.Speed = sensor.Approaching, sensor.SpeedFromMMPS(int64(t.Velocity))
		case t.Velocity < 0:
			r.Direction, r.Speed = sensor.Receding, sensor.SpeedFromMMPS(-int64(t.Velocity))
		default:
			continue // stands still
		}
		dst = append(dst, r)
	}
	return dst
}

// pause waits until the sensor has had a cycle since the last list was asked for.
func (r *Radar) pause(ctx context.Context) error {
	wait := time.Until(r.asked.Add(period))
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	r.asked = time.Now()
	return ctx.Err()
}
