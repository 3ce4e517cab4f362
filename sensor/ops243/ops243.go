// Package ops243 drives the Doppler radar OPS243-A of OmniPreSense, and the
// Doppler half of the OPS243-C.
//
// What it keeps true: [Open] sets every setting that bears on a speed, reads it
// back and compares; no report is used that was printed with other settings than
// those; a sensor that has started anew, and so has lost its settings, is an
// error and not a slower road. The sensor's own angle correction is switched off
// and read back as off: that correction is made once, in package track. A line
// that is not well formed is counted and shown by [sensor.Cycle.Lost], never an
// error and never a reading. Memory is bounded.
//
// The caller gives the connection and closes it after an error. A [Radar] has
// one user at a time; its Counters and Identity may be read by any.
//
// # The line
//
// Text lines that end in CR LF, 8 bits, no parity, by USB or UART (19,200 baud
// until set otherwise). A command is a few letters; those with a number end with
// LF, and the others may. Replies and reports share the line, so one may come
// between the others. There is no check sum: over USB the bus has its own, over
// a UART a changed digit cannot be told (Options.USB).
//
//	{"Units":"m-per-sec"}                                a reply
//	{"unit":"mps","time":"105.031","magnitude":"212.50","speed":"17.40"}
//	{"unit":"mps","time":"105.093","magnitude":["98.2","31.0"],"speed":["-20.10","17.35"]}
//	3689529.139,27.34419,-3.45624                        time, magnitude, speed
//	{"I":[2047,2101,1998, … ]}                           one block: first I,
//	{"Q":[2055,1990,2103, … ]}                           then Q
//
// Worked example: the fourth line, recorded from a sensor, says that 3,689,529.139
// s after its start it saw 3.45624 m/s = 12.442464 km/h, negative and so
// receding: the reading is 12.44 km/h, at a level of 20·log10 27.34419 = 28.7 dB.
//
// # Rate, block and highest speed
//
// The sensor takes N samples, transforms them and reports, and then takes the
// next; the blocks do not join. With the wavelength λ = c/24.125 GHz = 12.427 mm
// the highest speed is rate·λ/4 and the step between speeds rate·λ/2N. A faster
// vehicle folds: at 10,000 a second 130 km/h reads as 94 km/h of the other
// direction. So the default is never kept.
//
//	command  samples/s  highest    step with N = 1,024
//	SX, S1   10,000     112 km/h   0.22 km/h, the sensor's default
//	S2       20,000     224 km/h   0.44 km/h
//	SL       50,000     559 km/h   1.09 km/h
//	SC       100,000    1,118 km/h 2.18 km/h
//
// N is 1,024 (S>) for reports and 512 (S<) for samples, whose lines are found to
// a small part of that step by [doppler.Estimator]. Instants are those at which
// a line began to arrive, less half a block: the speed is that of the block's
// middle. What the sensor takes to compute is not known and not taken off.
//
// # Sources, and what could not be confirmed
//
// The maker's user manual UM-003-A (commands ??, ?P, ?V, ?U, U., S., O., R., B.,
// P., I. and their replies), its sample programs on GitHub
// (omnipresense/python_processor: positive is approaching; rolling_buffer: 12-bit
// samples about the middle, I + jQ turning forwards is leaving; OPS241A_NodeInterface:
// names of replies; Matlab: OT, OJ, OU and the fields of a report), and public
// users of the API note AN-010 revisions Q to AD (^?, ^/+, ^/-, ?N, K-, Y-, GS,
// lists in reports of several objects). AN-010 itself was not at hand. Not
// confirmed: that I and Q are of the same instants; the form of the zero that BZ
// prints, for which every spelling of zero and an empty line are taken; that K-,
// Y- and GS are known to old firmware, which are sent and not read back; the name
// that an OPS243-C gives itself. The range reports of the OPS243-C come from
// other chirps than its speeds, and nothing says that both are of one vehicle:
// they are switched off, counted when they come, and never joined to a speed.
// The sensor's object reports (OC) state a maximum and are not used either.
package ops243

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

// A Mode says what the sensor is to send.
type Mode uint8

// The modes.
const (
	JSON Mode = iota // reports of up to four objects, with unit, time and magnitude
	CSV              // reports of one object: time, magnitude, speed
	Raw              // blocks of samples; 5 KiB each, so USB or 230,400 baud
)

// String returns the mode's name in the settings.
func (m Mode) String() string { return [...]string{"json", "csv", "raw"}[min(m, Raw)] }

// Options say what is expected of the sensor and how to set it. The zero value
// works.
type Options struct {
	Model  string // "OPS243-A" or "OPS243-C"; "" for either
	Serial string // serial number or board id; "" for any
	Mode   Mode
	Rate   int // samples a second: 20,000, 50,000 or 100,000; 0 for 20,000
	// Carrier is the transmit frequency in Hz, for samples only: reports are
	// in m/s already. 0 means 24.125 GHz.
	Carrier int64
	// USB says that the connection is the sensor's own USB port, whose packets
	// are checked. Otherwise its identity is marked as unchecked.
	USB bool
}

const (
	// quiet is how long a sensor that reports may say nothing before it is asked
	// whether it is there. With BZ it prints something for every block, some ten
	// times a second; firmware that does not know BZ is silent on an empty road,
	// and a track must not wait for its end.
	quiet = 300 * time.Millisecond
	// patience is how long an answer to that may take.
	patience = time.Second
	// rawPatience is how long the lines of a block may take: 1 s at 57,600 baud.
	rawPatience = 2 * time.Second
	// inARow is how many lines in a row may be something else than the sensor was
	// set to send. Noise spoils some; a sensor that has started anew spoils all.
	inARow = 10
)

// A Radar is an OPS243 in operation. It implements [sensor.Feed].
type Radar struct {
	line     *session.Session
	identity sensor.Identity
	mode     Mode
	half     time.Duration // half a block
	size     int
	blocks   *blocks // with Raw

	lost     bool // a line since the last cycle was dropped
	refused  int  // lines in a row that are not what was set
	uptime   time.Duration
	last     sensor.Mono
	i        []int // of the block whose Q is awaited
	iAt      sensor.Mono
	readings []sensor.Reading
}

// Step returns the step of the speeds that the sensor reports by itself at a
// sampling rate: one line of its transform of 1,024 samples, rounded up. Zero
// values mean those of [Options]. Speeds from raw samples have no step to speak
// of.
func Step(rate int, carrier int64) sensor.Speed {
	rate, carrier = cmp.Or(rate, 20_000), cmp.Or(carrier, defaultCarrier)
	return sensor.Speed(math.Ceil(float64(rate) / 1024 * speedOfLight / 2 / float64(carrier) * 360))
}

// Open sets the sensor, reads its settings back and compares them. It takes some
// seconds at most, and fails with a message that says which it looks like: no
// answer, a wrong speed of the line, another model, another setting. It does not
// close the connection.
func Open(ctx context.Context, c sensor.Conn, clock sensor.Clock, o Options) (*Radar, error) {
	if o.Rate == 0 {
		o.Rate = 20_000
	}
	if o.Carrier == 0 {
		o.Carrier = defaultCarrier
	}
	size := 1024
	if o.Mode == Raw {
		size = 512
	}
	r := &Radar{
		line: session.Open(c, clock.Now, protocol()), mode: o.Mode, size: size,
		half: time.Duration(size) * time.Second / time.Duration(2*o.Rate),
		last: math.MinInt64,
	}
	if _, err := rateCommand(o.Rate); err != nil {
		return nil, err
	}
	if o.Mode > Raw {
		return nil, fmt.Errorf("ops243: mode %d is none of the sensor's", o.Mode)
	}
	if o.Mode == Raw {
		b, err := newBlocks(o.Rate, size, o.Carrier)
		if err != nil {
			return nil, err
		}
		r.blocks = b
	}
	if err := r.prepare(ctx, o); err != nil {
		return nil, err
	}
	r.lost, r.refused, r.i = false, 0, nil
	return r, nil
}

// Identity implements [sensor.Feed].
func (r *Radar) Identity() sensor.Identity { return r.identity }

// Tally implements [sensor.Tallied].
func (r *Radar) Tally() sensor.Tally { return r.line.Tally() }

// Next implements [sensor.Feed].
func (r *Radar) Next(ctx context.Context) (sensor.Cycle, error) {
	wait := quiet
	if r.mode == Raw {
		wait = rawPatience
	}
	asked, before := false, r.line.Tally()
	for {
		l, f, err := r.next(ctx, wait)
		switch {
		case errors.Is(err, framing.ErrSilence) && !asked && r.mode != Raw:
			asked, wait = true, patience
			if err := r.line.Send([]byte("?P\n")); err != nil {
				return sensor.Cycle{}, err
			}
			continue
		case errors.Is(err, framing.ErrSilence):
			return sensor.Cycle{}, r.line.Silent("report", wait, before)
		case err != nil:
			return sensor.Cycle{}, err
		}
		at := max(f.First.Add(-r.half), r.last)
		cycle, ok, err := r.use(&l, at, f.Bytes)
		if err != nil {
			return sensor.Cycle{}, err
		}
		if ok || asked && l.Kind == Reply {
			cycle.At, cycle.Lost = max(cycle.At, at), r.lost
			r.last, r.lost = cycle.At, false
			return cycle, nil
		}
	}
}

// use makes a cycle of a line, if it is one.
func (r *Radar) use(l *Line, at sensor.Mono, raw []byte) (sensor.Cycle, bool, error) {
	switch {
	case l.Kind == Blank && r.mode != Raw:
		r.refused = 0
		return sensor.Cycle{At: at}, true, nil
	case l.Kind == Speeds && r.mode != Raw:
		return r.report(l, at, raw)
	case l.Kind == Speeds, (l.Kind == I || l.Kind == Q) && r.mode != Raw:
		return sensor.Cycle{}, false, r.refuse()
	case l.Kind == I || l.Kind == Q:
		return r.block(l, at)
	}
	r.line.Count.Unused.Add(1)
	return sensor.Cycle{}, false, nil
}

func (r *Radar) report(l *Line, at sensor.Mono, raw []byte) (sensor.Cycle, bool, error) {
	r.readings = targets(r.readings[:0], l, at, framing.Trim(raw))
	// The zero of BZ may have neither time nor form.
	if len(r.readings) > 0 && (!l.Timed || l.Plain != (r.mode == CSV)) {
		return sensor.Cycle{}, false, r.refuse()
	}
	if l.Unit != "" && l.Unit != "mps" {
		return sensor.Cycle{}, false, fmt.Errorf("ops243: a report in %s, set is mps: the sensor has other settings now", l.Unit)
	}
	if l.Timed {
		if l.Uptime < r.uptime {
			return sensor.Cycle{}, false, fmt.Errorf("ops243: the sensor has started anew: its time went from %v back to %v", r.uptime, l.Uptime)
		}
		r.uptime = l.Uptime
	}
	r.refused = 0
	r.line.Count.Used.Add(1)
	c := sensor.Cycle{At: at, Readings: r.readings}
	if l.Timed {
		c.Own = l.Uptime
	}
	return c, true, nil
}

// refuse counts a line that is not what the sensor was set to send.
func (r *Radar) refuse() error {
	r.line.Count.Broken.Add(1)
	r.lost, r.i = true, nil
	if r.refused++; r.refused >= inARow {
		return fmt.Errorf("ops243: %d lines in a row are not what the sensor was set to send: "+
			"it has started anew with other settings, or the line is disturbed", r.refused)
	}
	return nil
}

func (r *Radar) block(l *Line, at sensor.Mono) (sensor.Cycle, bool, error) {
	if l.Kind == I {
		if r.i != nil {
			r.orphan()
		}
		r.i, r.iAt = l.Samples, at
		return sensor.Cycle{}, false, nil
	}
	i := r.i
	r.i = nil
	if len(i) != r.size || len(l.Samples) != r.size {
		r.orphan()
		return sensor.Cycle{}, false, nil
	}
	r.refused = 0
	r.readings = r.blocks.readings(r.readings[:0], r.iAt, i, l.Samples)
	r.line.Count.Used.Add(1)
	return sensor.Cycle{At: r.iAt, Readings: r.readings}, true, nil
}

func (r *Radar) orphan() {
	r.line.Count.Missing.Add(1)
	r.lost = true
}

// next returns the next well-formed line.
func (r *Radar) next(ctx context.Context, wait time.Duration) (l Line, frame framing.Frame, err error) {
	err = r.line.Await(ctx, wait, func(f framing.Frame) (bool, error) {
		var bad error
		if l, bad = ParseLine(f.Bytes); bad != nil {
			return false, r.refuse()
		}
		frame, r.lost = f, r.lost || f.Lost
		return true, nil
	})
	return l, frame, err
}
