// Package session is the conversation of a driver with its sensor over a serial
// line, and the replay of what a sensor sent, for all drivers alike.
//
// A driver gives a [Protocol] and keeps what only it knows: what a frame says, the
// commands, what makes a cycle. The [Session] asks with a deadline and as often as
// the protocol says, passes over the echo of a two-wire line, tells in words what
// a line looks like on which no answer comes ([NoAnswer]) or on which the sensor
// falls silent, compares what was read back with what was set, and counts what
// became of all that came ([sensor.Tally]).
//
// What it keeps true: every wait has an end, and ends with its context; the memory
// is fixed; bytes that are no frame are counted and never an error; a frame is
// valid until the next call. A line that ends in operation is an error, and never
// the end of a recording.
//
// The driver's user gives the connection and closes it. A session belongs to one
// goroutine; its Tally may be read by any.
package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
)

// Reader is a line that is listened to: a [sensor.Conn], or less.
type Reader interface {
	io.Reader
	framing.Deadliner
}

// A Protocol is what the drivers differ in.
type Protocol struct {
	Name  string // of the driver: every error begins with it
	Size  int    // bytes of the longest frame
	Judge framing.Judge

	Answer time.Duration // how long an answer may take
	Tries  int           // how often a question is put
	// Streams says that reports come at any time, one of which may be on its way
	// when a question is put. Otherwise what has begun to come is dropped then.
	Streams bool
	// Quiet says that the sensor speaks only when it is asked, and that an answer
	// does not name its question. Before one is put again, the line must be quiet.
	Quiet bool
	Check string // what fails in a broken frame, such as "check sum is no crc8"; "" when nothing is checked
	From  string // whose answer is awaited, such as " of address 0x80"; "" when there is one
}

// Count is where a driver counts the frames that a session gave it.
type Count struct {
	Used, Clipped, Unused, Broken, Repeated, Missing atomic.Int64
}

// A Session is one sensor's line, or its recording.
type Session struct {
	Count   Count
	p       Protocol
	line    Reader // nil when it is replayed
	scanner *framing.Scanner

	errors sensor.LineErrors // of the port, when the session began

	sent     [][]byte // whose echoes may come
	echoes   bool     // they do
	answered bool     // a question was, so that it is known whether they do
	asked    asking
}

// Open begins the session on a line. It sends and reads nothing.
func Open(line Reader, now func() sensor.Mono, p Protocol) *Session {
	s := &Session{p: p, line: line}
	s.scanner = framing.NewScanner(&sampler{line, &s.asked}, now, p.Size, s.judge)
	s.errors = s.lineErrors()
	return s
}

// Replay begins one on a recording. Its frames have no instants.
func Replay(r io.Reader, p Protocol) *Session {
	return &Session{p: p, scanner: framing.NewScanner(r, func() sensor.Mono { return 0 }, p.Size, p.Judge)}
}

// judge passes over the echoes of what was sent.
func (s *Session) judge(b []byte) (int, framing.Verdict) {
	for k, q := range s.sent {
		n := min(len(b), len(q))
		switch {
		case !bytes.Equal(b[:n], q[:n]):
		case n < len(q):
			return 0, framing.More
		default:
			s.sent, s.echoes = s.sent[k+1:], true
			s.asked.echoed += n
			return n, framing.Pass
		}
	}
	return s.p.Judge(b)
}

// Judge puts another judge in the place of the protocol's.
func (s *Session) Judge(j framing.Judge) { s.p.Judge = j }

// Tally says what became of what came. It is safe for concurrent use.
func (s *Session) Tally() sensor.Tally {
	c, n := s.scanner.Counters(), &s.Count
	return sensor.Tally{
		Used: n.Used.Load(), Clipped: n.Clipped.Load(), Unused: n.Unused.Load(), Broken: n.Broken.Load() + c.Broken,
		Repeated: n.Repeated.Load(), Missing: n.Missing.Load(), Bytes: c.Dropped,
	}
}

// Errorf returns an error that begins with the driver's name.
func (s *Session) Errorf(format string, a ...any) error {
	return fmt.Errorf("%s: %w", s.p.Name, fmt.Errorf(format, a...))
}

// Await gives frames to use until it is done or fails, and returns its error, or
// ctx.Err(), or what ended the line. In operation it returns an error that wraps
// [framing.ErrSilence] when that takes longer than the patience; a recording ends
// with io.EOF.
func (s *Session) Await(ctx context.Context, patience time.Duration, use func(framing.Frame) (done bool, err error)) error {
	err := s.await(ctx, patience, use)
	if errors.Is(err, errEnded) {
		return s.Errorf("%w", err)
	}
	return err
}

var errEnded = errors.New("the connection has ended")

func (s *Session) await(ctx context.Context, patience time.Duration, use func(framing.Frame) (done bool, err error)) error {
	given := s.asked.given
	read := func() error {
		for {
			if s.line == nil && ctx.Err() != nil {
				return ctx.Err()
			}
			f, err := s.scanner.Scan()
			// Where the sensor only answers, what looked like the beginning of a
			// long frame may have been noise, with the answer behind it.
			if n := s.scanner.Pending(); s.p.Quiet && errors.Is(err, os.ErrDeadlineExceeded) && s.scanner.Resync() {
				s.asked.given = max(s.asked.given, given+n)
				continue
			}
			if err != nil {
				return err
			}
			if done, err := use(f); done || err != nil {
				return err
			}
		}
	}
	if s.line == nil {
		return read()
	}
	err := framing.Within(ctx, s.line, patience, read)
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return err
}

// Next returns the next frame, as [Session.Await] does.
func (s *Session) Next(ctx context.Context, patience time.Duration) (frame framing.Frame, err error) {
	err = s.Await(ctx, patience, func(f framing.Frame) (bool, error) {
		frame = f
		return true, nil
	})
	return frame, err
}

// Silent says how the line is silent on which no such thing has come for a time,
// since the tally was before.
func (s *Session) Silent(what string, d time.Duration, before sensor.Tally) error {
	switch now := s.Tally(); {
	case now.Repeated > before.Repeated:
		return s.Errorf("only %ss that came before for %v", what, d)
	case now.Bytes > before.Bytes || now.Broken > before.Broken || s.scanner.Pending() > 0:
		return s.Errorf("bytes but no %s for %v: wrong speed of the line, or a disturbed one?", what, d)
	}
	return s.Errorf("no %s for %v: the sensor has fallen silent", what, d)
}
