// Package rawiq reads the signal of a Doppler radar from a byte stream of
// 16-bit little-endian pairs I, Q without framing: what a sound card, an ADC
// driver or a named pipe delivers.
//
// The stream has no check sum and no sample index, so a lost byte is not seen.
// It serves on a transport that keeps order and loses nothing.
package rawiq

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/doppler"
	"ciglio/sensor/framing"
)

// Reader is a byte stream whose reads can be ended from outside, such as an
// [os.File] of a pipe or a [net.Conn].
type Reader interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

const (
	// blockTime is the length of one block.
	blockTime = 20 * time.Millisecond
	// silence is how long a sensor may give nothing: many blocks, so that a
	// busy machine is not taken for a dead sensor.
	silence = time.Second
)

// A Stream is the signal of one sensor. It implements [doppler.Stream].
type Stream struct {
	r       Reader
	clock   sensor.Clock
	rate    int
	bytes   []byte
	i, q    []float32
	index   uint64
	instant framing.SampleClock
}

// NewStream reads pairs from r at the given rate a second, 8,000 to 200,000. It
// reads nothing yet.
func NewStream(r Reader, rate int, clock sensor.Clock) (*Stream, error) {
	if rate < 8_000 || rate > 200_000 {
		return nil, fmt.Errorf("raw I/Q: %d pairs a second, want 8,000 to 200,000", rate)
	}
	n := int(int64(rate) * int64(blockTime) / int64(time.Second))
	return &Stream{
		r: r, clock: clock, rate: rate,
		bytes: make([]byte, 4*n), i: make([]float32, n), q: make([]float32, n),
		instant: framing.NewSampleClock(rate),
	}, nil
}

// Format implements [doppler.Stream].
func (s *Stream) Format() doppler.Format { return doppler.Format{Rate: s.rate, Complex: true} }

// Next implements [doppler.Stream]. When no sample has come for a second, or
// fewer or more come than the rate says, it returns an error, and may be called
// again: the next bytes then begin a pair, as those of a writer that was started
// anew do. A pair that is cut off at the end of the stream is dropped. Instants
// are those of a [framing.SampleClock]: late by the least delay of the
// transport, and no later when this program was held up for a while.
func (s *Stream) Next(ctx context.Context) (doppler.Block, error) {
	// Before the AfterFunc, which must have the last word. A reader that has no
	// deadlines, or is closed, says so when it is read.
	s.r.SetReadDeadline(time.Now().Add(silence))
	stop := context.AfterFunc(ctx, func() { s.r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := io.ReadFull(s.r, s.bytes)
	pairs := n / 4
	if pairs == 0 {
		if ctx.Err() != nil {
			return doppler.Block{}, ctx.Err()
		}
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		s.instant = framing.NewSampleClock(s.rate)
		if os.IsTimeout(err) {
			err = fmt.Errorf("raw I/Q: no samples for %v", silence)
		}
		return doppler.Block{}, err
	}
	at, err := s.instant.At(s.index, pairs, s.clock.Now())
	if err != nil {
		s.instant = framing.NewSampleClock(s.rate)
		return doppler.Block{}, fmt.Errorf("raw I/Q: %w", err)
	}
	for k := range pairs {
		s.i[k] = float32(int16(binary.LittleEndian.Uint16(s.bytes[4*k:]))) / 32768
		s.q[k] = float32(int16(binary.LittleEndian.Uint16(s.bytes[4*k+2:]))) / 32768
	}
	b := doppler.Block{Index: s.index, At: at, I: s.i[:pairs], Q: s.q[:pairs]}
	s.index += uint64(pairs)
	return b, nil
}
