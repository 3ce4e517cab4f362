package emulator

import (
	"context"
	"errors"
	"io"

	"ciglio/sensor/doppler"
	"ciglio/sensor/iqframe"
)

// An IQFrame sends a signal in the frames of package iqframe, as the firmware of
// a microcontroller does. Its fields are set before Serve.
type IQFrame struct {
	Signal doppler.Stream
	Pairs  int // in a block; zero means 200
	// Spoil, if any, may change the frames of a block before they are sent: drop
	// them, repeat them, put noise between them.
	Spoil func(sequence uint32, frame []byte) []byte

	sequence uint32
	index    uint64
	block    iqframe.Block
	frame    []byte
}

// Serve sends the signal until it ends, conn fails or ctx ends. The end of the
// signal is no error. It closes conn when it is an [io.Closer] and ctx ends.
func (x *IQFrame) Serve(ctx context.Context, conn io.ReadWriter) error {
	var l line
	return l.serve(ctx, conn, func() error {
		for {
			b, err := x.Signal.Next(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			for k := range b.I {
				if err := x.pair(conn, b.I[k], b.Q[k], b.Clipped); err != nil {
					return err
				}
			}
		}
	})
}

func (x *IQFrame) pair(w io.Writer, i, q float32, clipped bool) error {
	x.block.I, x.block.Q = append(x.block.I, sample(i)), append(x.block.Q, sample(q))
	x.block.Clipped = x.block.Clipped || clipped
	pairs := x.Pairs
	if pairs == 0 {
		pairs = 200
	}
	if len(x.block.I) < pairs {
		return nil
	}
	x.block.Sequence, x.block.Index, x.block.Rate = x.sequence, x.index, x.Signal.Format().Rate
	var err error
	if x.frame, err = x.block.Encode(x.frame[:0]); err != nil {
		return err
	}
	x.sequence++
	x.index += uint64(len(x.block.I))
	x.block = iqframe.Block{I: x.block.I[:0], Q: x.block.Q[:0]}
	frame := x.frame
	if x.Spoil != nil {
		frame = x.Spoil(x.sequence-1, frame)
	}
	if len(frame) == 0 {
		return nil
	}
	_, err = w.Write(frame)
	return err
}

func sample(v float32) int16 { return int16(max(-32768, min(32767, v*32768))) }
