package iqframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/framing"
)

// silence is how long a sensor may give no block: many blocks, so that a busy
// machine is not taken for a dead sensor.
const silence = time.Second

// Reader is a byte stream whose reads can be ended from outside, such as a
// serial port, a pipe or an [SPI] reader.
type Reader interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// Counters say what a [Stream] has seen.
type Counters struct {
	Blocks   int64 // blocks returned
	Lost     int64 // blocks that the sequence shows to be missing
	Repeated int64 // blocks that came before, or too late
	Clipped  int64 // blocks whose input was overdriven
	Broken   int64 // frames whose check failed
	Dropped  int64 // bytes that are part of no frame
}

// A Stream is the signal of one sensor. It implements [doppler.Stream]. Its
// Counters may be read by any goroutine, the rest has one user at a time.
type Stream struct {
	r       Reader
	rate    int
	scanner *framing.Scanner
	block   Block
	i, q    []float32
	clock   framing.SampleClock

	begun    bool
	next     uint64 // index of the pair after the last one returned
	sequence uint32 // of the block after the last one returned

	blocks, lost, repeated, clippedBlocks atomic.Int64
}

// NewStream reads frames from r. The sensor must sample at the given rate of
// pairs a second, 8,000 to 200,000. NewStream reads nothing yet.
func NewStream(r Reader, rate int, clock sensor.Clock) (*Stream, error) {
	if rate < minRate || rate > maxRate {
		return nil, rateError(rate)
	}
	return &Stream{r: r, rate: rate, scanner: framing.NewScanner(r, clock.Now, maxFrame, judge)}, nil
}

// Format implements [doppler.Stream].
func (s *Stream) Format() doppler.Format { return doppler.Format{Rate: s.rate, Complex: true} }

// Counters returns what has been seen so far.
func (s *Stream) Counters() Counters {
	c := s.scanner.Counters()
	return Counters{
		Blocks: s.blocks.Load(), Lost: s.lost.Load(), Repeated: s.repeated.Load(), Clipped: s.clippedBlocks.Load(),
		Broken: c.Broken, Dropped: c.Dropped,
	}
}

// Next implements [doppler.Stream]. When no new block has come for a second, or
// the sensor samples at another rate, it returns an error and may be called
// again; the next block then begins anew, whatever its index.
func (s *Stream) Next(ctx context.Context) (doppler.Block, error) {
	before := s.Counters()
	var b doppler.Block
	err := framing.Within(ctx, s.r, silence, func() error {
		for {
			f, err := s.scanner.Scan()
			if err != nil {
				return err
			}
			if err := s.block.Decode(f.Bytes); err != nil {
				return err
			}
			if s.block.Rate != s.rate {
				return fmt.Errorf("iqframe: the sensor samples %d pairs a second, the configuration says %d", s.block.Rate, s.rate)
			}
			if s.accept() {
				at, err := s.clock.At(s.block.Index, len(s.block.I), f.First)
				if err != nil {
					return fmt.Errorf("iqframe: %w", err)
				}
				b = s.signal(at)
				return nil
			}
		}
	})
	if err == nil {
		return b, nil
	}
	if ctx.Err() == nil {
		s.begun = false
	}
	switch {
	case errors.Is(err, framing.ErrSilence):
		err = s.silent(before)
	case errors.Is(err, io.EOF): // which is for recordings
		err = errors.New("iqframe: the connection has ended")
	}
	return doppler.Block{}, err
}

// silent says what kind of silence it was.
func (s *Stream) silent(before Counters) error {
	now := s.Counters()
	switch {
	case now.Repeated > before.Repeated:
		return fmt.Errorf("iqframe: only blocks that came before for %v", silence)
	case now.Dropped > before.Dropped:
		return fmt.Errorf("iqframe: bytes but no block for %v: wrong speed of the line?", silence)
	}
	return fmt.Errorf("iqframe: no block for %v", silence)
}

// accept reports whether the block is a new one. The first block of a firmware
// that was started anew is new at any time.
func (s *Stream) accept() bool {
	b := &s.block
	restarted := b.Sequence == 0 && b.Index == 0
	if s.begun && b.Index < s.next && !restarted {
		s.repeated.Add(1)
		return false
	}
	if missing := b.Sequence - s.sequence; s.begun && !restarted && missing < 1<<31 {
		s.lost.Add(int64(missing))
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
	s.blocks.Add(1)
	if b.Clipped {
		s.clippedBlocks.Add(1)
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
