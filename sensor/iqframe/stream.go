package iqframe

import (
	"context"
	"errors"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/framing"
	"ciglio/sensor/session"
)

// silence is how long a sensor may give no block: many blocks, so that a busy
// machine is not taken for a dead sensor.
const silence = time.Second

// Reader is a byte stream whose reads can be ended from outside, such as a
// serial port, a pipe or an [SPI] reader.
type Reader = session.Reader

// A Stream is the signal of one sensor. It implements [doppler.Stream]. Its Tally
// may be read by any goroutine, the rest has one user at a time.
type Stream struct {
	rate  int
	line  *session.Session
	block Block
	i, q  []float32
	clock framing.SampleClock

	begun    bool
	next     uint64 // index of the pair after the last one returned
	sequence uint32 // of the block after the last one returned
}

// protocol is what package session needs to know. Nothing is asked.
func protocol() session.Protocol {
	return session.Protocol{Name: "iqframe", Size: maxFrame, Judge: judge}
}

// NewStream reads frames from r. The sensor must sample at the given rate of
// pairs a second, 8,000 to 200,000. NewStream reads nothing yet.
func NewStream(r Reader, rate int, clock sensor.Clock) (*Stream, error) {
	if rate < minRate || rate > maxRate {
		return nil, rateError(rate)
	}
	return &Stream{rate: rate, line: session.Open(r, clock.Now, protocol())}, nil
}

// Format implements [doppler.Stream].
func (s *Stream) Format() doppler.Format { return doppler.Format{Rate: s.rate, Complex: true} }

// Tally implements [sensor.Tallied].
func (s *Stream) Tally() sensor.Tally { return s.line.Tally() }

// Next implements [doppler.Stream]. When no new block has come for a second, or
// the sensor samples at another rate, it returns an error and may be called
// again; the next block then begins anew, whatever its index.
func (s *Stream) Next(ctx context.Context) (b doppler.Block, err error) {
	before := s.Tally()
	err = s.line.Await(ctx, silence, func(f framing.Frame) (bool, error) {
		if err := s.block.Decode(f.Bytes); err != nil {
			return false, err
		}
		if s.block.Rate != s.rate {
			return false, s.line.Errorf("the sensor samples %d pairs a second, the configuration says %d", s.block.Rate, s.rate)
		}
		if !s.accept() {
			return false, nil
		}
		at, err := s.clock.At(s.block.Index, len(s.block.I), f.First)
		if err != nil {
			return false, s.line.Errorf("%w", err)
		}
		b = s.signal(at)
		return true, nil
	})
	if err != nil && ctx.Err() == nil {
		s.begun = false
	}
	if errors.Is(err, framing.ErrSilence) {
		err = s.line.Silent("block", silence, before)
	}
	return b, err
}

// accept reports whether the block is a new one. The first block of a firmware
// that was started anew is new at any time.
func (s *Stream) accept() bool {
	b := &s.block
	restarted := b.Sequence == 0 && b.Index == 0
	if s.begun && b.Index < s.next && !restarted {
		s.line.Count.Repeated.Add(1)
		return false
	}
	if missing := b.Sequence - s.sequence; s.begun && !restarted && missing < 1<<31 {
		s.line.Count.Missing.Add(int64(missing))
	}
	if !s.begun || restarted || b.Index-s.next > uint64(s.rate) {
		s.clock = framing.NewSampleClock(s.rate)
	}
	s.begun, s.next, s.sequence = true, b.Index+uint64(len(b.I)), b.Sequence+1
	return true
}

// signal turns the block into what package doppler takes.
func (s *Stream) signal(at sensor.Mono) doppler.Block {
	b := &s.block
	s.line.Count.Used.Add(1)
	if b.Clipped {
		s.line.Count.Clipped.Add(1)
	}
	s.i, s.q = scale(s.i[:0], b.I), scale(s.q[:0], b.Q)
	return doppler.Block{Index: b.Index, At: at, I: s.i, Q: s.q, Clipped: b.Clipped}
}

func scale(dst []float32, samples []int16) []float32 {
	for _, v := range samples {
		dst = append(dst, float32(v)/32768)
	}
	return dst
}
