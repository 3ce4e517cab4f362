package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// headerSize is the length of what comes before the first sample.
const headerSize = 44

// A Writer writes one file of 16-bit samples. The number of frames is part of
// the header, so it is given first, and [Writer.Close] checks it.
type Writer struct {
	w        io.Writer
	channels int
	left     int64
	buf      []byte
	err      error
}

// NewWriter writes the header of a file of the given number of frames, in which
// f.Bits is 16.
func NewWriter(w io.Writer, f Format, frames int64) (*Writer, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("wav: %w", err)
	}
	if f.Bits != 16 {
		return nil, fmt.Errorf("wav: %d bits a sample, can write 16", f.Bits)
	}
	size := int64(f.frameSize())
	if frames < 0 || frames > (openEnd-headerSize)/size {
		return nil, fmt.Errorf("wav: %d frames do not fit a file", frames)
	}
	h := make([]byte, 0, headerSize)
	h = append(h, "RIFF"...)
	h = binary.LittleEndian.AppendUint32(h, uint32(headerSize-8+frames*size))
	h = append(h, "WAVEfmt "...)
	h = binary.LittleEndian.AppendUint32(h, 16)
	h = binary.LittleEndian.AppendUint16(h, tagPCM)
	h = binary.LittleEndian.AppendUint16(h, uint16(f.Channels))
	h = binary.LittleEndian.AppendUint32(h, uint32(f.Rate))
	h = binary.LittleEndian.AppendUint32(h, uint32(f.Rate*int(size)))
	h = binary.LittleEndian.AppendUint16(h, uint16(size))
	h = binary.LittleEndian.AppendUint16(h, 16)
	h = append(h, "data"...)
	h = binary.LittleEndian.AppendUint32(h, uint32(frames*size))
	if _, err := w.Write(h); err != nil {
		return nil, fmt.Errorf("wav: %w", err)
	}
	return &Writer{w: w, channels: f.Channels, left: frames}, nil
}

// Write writes samples of full scale ±1, rounded to the nearest and limited to
// what 16 bits hold; what is no number becomes 0. right is ignored when there
// is one channel, and otherwise must be as long as left.
func (w *Writer) Write(left, right []float32) error {
	if w.err != nil {
		return w.err
	}
	if w.channels == 2 && len(right) != len(left) {
		return fmt.Errorf("wav: %d and %d samples of two channels", len(left), len(right))
	}
	if int64(len(left)) > w.left {
		return errors.New("wav: more frames than announced")
	}
	w.buf = w.buf[:0]
	for i, v := range left {
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(pcm16(v)))
		if w.channels == 2 {
			w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(pcm16(right[i])))
		}
	}
	w.left -= int64(len(left))
	if _, err := w.w.Write(w.buf); err != nil {
		w.err = fmt.Errorf("wav: %w", err)
	}
	return w.err
}

// Close reports whether the file is whole. It does not close what it writes to.
func (w *Writer) Close() error {
	if w.err == nil && w.left != 0 {
		w.err = fmt.Errorf("wav: %d frames fewer than announced", w.left)
	}
	return w.err
}

func pcm16(v float32) int16 {
	switch s := math.Round(float64(v) * (1 << 15)); {
	case math.IsNaN(s):
		return 0
	case s >= math.MaxInt16:
		return math.MaxInt16
	case s <= math.MinInt16:
		return math.MinInt16
	default:
		return int16(s)
	}
}
