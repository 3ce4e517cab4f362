package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/framing"
)

// A Kind says what a frame is to the question that was put.
type Kind uint8

// The kinds.
const (
	Answer  Kind = iota // the answer
	Other               // good, and another's or a report
	Unfit               // not of the protocol's form
	Nothing             // says nothing, not even that a sensor is there
)

// A Question is asked of the sensor.
type Question struct {
	Name  string // what is asked for, in errors; "" when the driver names it
	Bytes []byte
	Wait  time.Duration // for the answer; 0 means the protocol's
	Tries int           // 0 means the protocol's
	// Sort says what a frame is. An error, such as that of a refusal, ends the
	// question.
	Sort func(framing.Frame) (Kind, error)
}

// sampleSize is how many bytes an error shows of what came.
const sampleSize = 8

// maxSent is how many commands may wait for their echo.
const maxSent = 8

// asking is what came since a question was put for the first time.
type asking struct {
	came   int64 // bytes
	sample []byte
	echoed int // bytes of echoes
	given  int // bytes given up, at most: beginnings of frames that did not go on
	half   bool
	others int64
	unfit  int64
}

// A sampler reads the line and keeps what came first.
type sampler struct {
	r io.Reader
	a *asking
}

func (s *sampler) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.a.came += int64(n)
	if room := sampleSize - len(s.a.sample); room > 0 {
		s.a.sample = append(s.a.sample, b[:min(n, room)]...)
	}
	return n, err
}

// Send writes a command.
func (s *Session) Send(command []byte) error {
	if err := s.send(command); err != nil {
		return s.Errorf("%w", err)
	}
	return nil
}

func (s *Session) send(command []byte) error {
	w, ok := s.line.(io.Writer)
	if !ok {
		return errors.New("the line goes one way")
	}
	if s.echoes || !s.answered {
		s.sent = append(s.sent[max(0, len(s.sent)-maxSent+1):], command)
	}
	// One that takes nothing would hold the driver up for ever.
	if d, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok {
		d.SetWriteDeadline(time.Now().Add(s.p.Answer))
	}
	_, err := w.Write(command)
	return err
}

// Ask puts a question until it is answered, and returns the answer, valid until
// the next call. It returns a [NoAnswer] when none has come.
func (s *Session) Ask(ctx context.Context, q Question) (framing.Frame, error) {
	wait, tries := q.Wait, q.Tries
	if wait == 0 {
		wait = s.p.Answer
	}
	if tries == 0 {
		tries = s.p.Tries
	}
	s.asked = asking{sample: s.asked.sample[:0]}
	before := s.scanner.Counters()
	for range tries {
		f, err := s.once(ctx, q, wait)
		if !errors.Is(err, framing.ErrSilence) {
			if err == nil && !s.echoes {
				s.sent = nil
			}
			s.answered = s.answered || err == nil
			switch {
			case err == nil || ctx.Err() != nil:
			case q.Name != "":
				err = s.Errorf("%s: %w", q.Name, err)
			default:
				err = s.Errorf("%w", err)
			}
			return f, err
		}
		s.asked.half = s.asked.half || s.scanner.Pending() > 0 || s.asked.given > 0
		if s.p.Quiet {
			if err := s.quiet(ctx); err != nil {
				return framing.Frame{}, err
			}
		}
	}
	return framing.Frame{}, s.noAnswer(q.Name, before)
}

func (s *Session) once(ctx context.Context, q Question, wait time.Duration) (answer framing.Frame, err error) {
	if !s.p.Streams {
		s.giveUp()
	}
	if err := s.send(q.Bytes); err != nil {
		return answer, err
	}
	err = s.await(ctx, wait, func(f framing.Frame) (bool, error) {
		kind, err := q.Sort(f)
		switch kind {
		case Other:
			s.asked.others++
			s.Count.Unused.Add(1)
		case Unfit:
			s.asked.unfit++
			s.Count.Broken.Add(1)
		}
		answer = f
		return kind == Answer, err
	})
	return answer, err
}

// giveUp drops what has come and was not returned.
func (s *Session) giveUp() {
	s.asked.given += s.scanner.Pending()
	s.scanner.Clear()
}

// quiet reads what still comes until nothing has come for the time of an answer,
// or for some times as long: the late answer to one question must not be taken
// for that to the next.
func (s *Session) quiet(ctx context.Context) error {
	for range s.p.Tries {
		s.giveUp()
		_, err := s.Next(ctx, s.p.Answer)
		if errors.Is(err, framing.ErrSilence) {
			return nil
		}
		if err != nil {
			return err
		}
		s.asked.others++
		s.Count.Unused.Add(1)
	}
	return nil
}

// A Fault says what a line looks like on which no answer comes.
type Fault uint8

// The faults.
const (
	Silence Fault = iota // nothing comes
	Echo                 // what is sent, and nothing else
	Noise                // bytes that make no sense
	Half                 // the beginning of an answer
	Check                // frames whose check fails
	Deaf                 // good frames, and no answer
)

// A NoAnswer is the error of a question that was not answered. It wraps
// [framing.ErrSilence].
type NoAnswer struct {
	Fault    Fault
	Question string // "" when it has no name
	Sample   []byte // the first bytes that came
	Answered bool   // another question was, before
	Spoilt   uint32 // bytes without stop bit or of the wrong parity since the session began, where the port counts them
	p        *Protocol
}

// lineErrors returns those of the port, zero where it counts none.
func (s *Session) lineErrors() (e sensor.LineErrors) {
	if c, ok := s.line.(interface {
		LineErrors() (sensor.LineErrors, bool)
	}); ok {
		e, _ = c.LineErrors()
	}
	return e
}

// noAnswer says what it looks like.
func (s *Session) noAnswer(question string, before framing.Counters) error {
	a, now := &s.asked, s.scanner.Counters()
	broken := now.Broken - before.Broken
	dropped := now.Dropped - before.Dropped - int64(a.given)
	line := s.lineErrors()
	e := &NoAnswer{
		Question: question, Sample: bytes.Clone(a.sample), Answered: s.answered, p: &s.p,
		Spoilt: line.Frame - s.errors.Frame + line.Parity - s.errors.Parity,
	}
	switch {
	case a.came == 0:
		e.Fault = Silence
	case a.came == int64(a.echoed):
		e.Fault = Echo
	case a.others > a.unfit: // a line of noise may read as a number
		e.Fault = Deaf
	case a.half && broken == 0 && dropped <= 0 && a.unfit == 0:
		e.Fault = Half
	case broken > 0 && s.p.Check != "":
		e.Fault = Check
	default:
		e.Fault = Noise
	}
	return fmt.Errorf("%s: %w", s.p.Name, e)
}

// Error says what it looks like, and what to look at.
func (e *NoAnswer) Error() string {
	text := "no answer" + e.p.From
	if e.Question != "" {
		text = e.Question + ": " + text
	}
	switch {
	case e.Fault == Silence && e.Answered:
		return text + ", nothing comes any more: power or cable lost?"
	case e.Fault == Deaf && e.Answered:
		return text + ", but other messages: does the sensor know the question?"
	}
	switch e.Fault {
	case Silence:
		return text + ", nothing comes: no power, a wrong port, or a broken wire?"
	case Echo:
		return text + ", only what is sent comes back: no power, or transmit and receive joined?"
	case Deaf:
		return text + ", but other messages: a broken wire towards the sensor, or another sensor's line?"
	case Half:
		text += ", half a one comes and no more"
	case Check:
		text += ", but messages whose " + e.p.Check
	default:
		text += ", but bytes that make no sense"
	}
	text += fmt.Sprintf(" (%s): another speed or parity of the line, or another sensor?", e.sample())
	if e.Spoilt > 0 {
		text += fmt.Sprintf(" The port has counted %d bytes of another speed or parity.", e.Spoilt)
	}
	return text
}

// sample returns the first bytes that came, as text when they are some.
func (e *NoAnswer) sample() string {
	for _, b := range bytes.TrimSpace(e.Sample) {
		if b < ' ' || b > '~' {
			return fmt.Sprintf("% x", e.Sample)
		}
	}
	return fmt.Sprintf("%q", e.Sample)
}

// Unwrap returns [framing.ErrSilence].
func (e *NoAnswer) Unwrap() error { return framing.ErrSilence }
