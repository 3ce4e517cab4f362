// Package wav reads and writes PCM sound files in the RIFF/WAVE form, the form
// in which radar signals are recorded and kept as evidence.
//
// A file is "RIFF", a 32-bit little-endian size, "WAVE", and then chunks. A
// chunk is a name of four bytes, a 32-bit little-endian size, and that many
// bytes, with one byte of padding after an odd number of them. A chunk "fmt "
// describes the samples and must come before the chunk "data" that holds them;
// other chunks are skipped. Samples are two's complement integers, little
// endian, of 16 or 24 bits, in frames of one sample for each of one or two
// channels:
//
//	52 49 46 46  28 00 00 00  57 41 56 45              "RIFF" 40 "WAVE"
//	66 6d 74 20  10 00 00 00                           "fmt " 16
//	01 00  02 00  20 4e 00 00  80 38 01 00  04 00  10 00
//	             PCM, 2 channels, 20000 Hz, 80000 bytes/s, 4 bytes a frame, 16 bits
//	64 61 74 61  04 00 00 00                           "data" 4
//	00 40 00 c0                                        one frame: +0.5, -0.5
//
// The reader streams, allocates nothing by a size that it read, and refuses
// what it does not know. Many recorders leave a data chunk that is longer than
// the file when they lose power: [Reader.Read] then returns every whole frame
// that is there, and after them [ErrTruncated] in place of [io.EOF]. The caller
// decides whether such a recording may be used.
//
// Readers and Writers are not safe for concurrent use.
package wav

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrTruncated says that a file ends before the samples that its data chunk
// announces.
var ErrTruncated = errors.New("data chunk is cut short")

// Format describes the samples of a file.
type Format struct {
	Rate     int // frames a second, 1 to 1,000,000
	Channels int // 1 or 2
	Bits     int // of a sample, 16 or 24
}

func (f Format) check() error {
	switch {
	case f.Rate < 1 || f.Rate > 1_000_000:
		return fmt.Errorf("%d frames a second, want 1 to 1000000", f.Rate)
	case f.Channels != 1 && f.Channels != 2:
		return fmt.Errorf("%d channels, want 1 or 2", f.Channels)
	case f.Bits != 16 && f.Bits != 24:
		return fmt.Errorf("%d bits a sample, want 16 or 24", f.Bits)
	}
	return nil
}

func (f Format) frameSize() int { return f.Channels * f.Bits / 8 }

const (
	tagPCM        = 1
	tagExtensible = 0xfffe

	// maxChunks bounds the work that a file of empty chunks can cause.
	maxChunks = 1000
	// openEnd is the size that recorders write when they do not know it yet.
	openEnd = math.MaxUint32
)

// guidPCM follows the sub-format of WAVE_FORMAT_EXTENSIBLE when it is PCM.
const guidPCM = "\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// A Reader reads the samples of one file.
type Reader struct {
	r       *bufio.Reader
	format  Format
	left    uint64 // bytes of the data chunk not yet read
	open    bool   // the data chunk reaches to the end of the file
	clipped uint64
	raw     []byte
}

// NewReader reads up to the first sample. The error says what the file lacks.
func NewReader(r io.Reader) (*Reader, error) {
	w := &Reader{r: bufio.NewReaderSize(r, 32<<10), raw: make([]byte, 12<<10)}
	if err := w.header(); err != nil {
		return nil, fmt.Errorf("wav: %w", err)
	}
	return w, nil
}

func (w *Reader) header() error {
	var head [12]byte
	if _, err := io.ReadFull(w.r, head[:]); err != nil {
		return fmt.Errorf("header: %w", unexpected(err))
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return errors.New("no RIFF WAVE file")
	}
	for range maxChunks {
		var chunk [8]byte
		if _, err := io.ReadFull(w.r, chunk[:]); err != nil {
			return fmt.Errorf("no data chunk: %w", unexpected(err))
		}
		name, size := string(chunk[:4]), binary.LittleEndian.Uint32(chunk[4:])
		switch {
		case name == "data" && w.format.Channels == 0:
			return errors.New("data chunk before the fmt chunk")
		case name == "data":
			w.left, w.open = uint64(size), size == openEnd
			return nil
		case name == "fmt " && w.format.Channels != 0:
			return errors.New("two fmt chunks")
		case name == "fmt ":
			if err := w.readFormat(size); err != nil {
				return fmt.Errorf("fmt chunk: %w", err)
			}
		default:
			n := int64(size) + int64(size&1)
			if _, err := io.CopyN(io.Discard, w.r, n); err != nil {
				return fmt.Errorf("chunk %q: %w", name, unexpected(err))
			}
		}
	}
	return fmt.Errorf("more than %d chunks before the data chunk", maxChunks)
}

func (w *Reader) readFormat(size uint32) error {
	if size < 16 || size > 1024 {
		return fmt.Errorf("%d bytes, want 16 to 1024", size)
	}
	var buf [1024]byte
	b := buf[:size+size&1]
	if _, err := io.ReadFull(w.r, b); err != nil {
		return unexpected(err)
	}
	b = b[:size]
	tag := binary.LittleEndian.Uint16(b)
	rate := binary.LittleEndian.Uint32(b[4:])
	f := Format{
		Rate:     int(min(rate, math.MaxInt32)),
		Channels: int(binary.LittleEndian.Uint16(b[2:])),
		Bits:     int(binary.LittleEndian.Uint16(b[14:])),
	}
	if tag == tagExtensible {
		if len(b) < 40 || string(b[24:40]) != guidPCM {
			return errors.New("extensible format other than PCM")
		}
		if valid := int(binary.LittleEndian.Uint16(b[18:])); valid != f.Bits {
			return fmt.Errorf("%d valid bits of %d", valid, f.Bits)
		}
	} else if tag != tagPCM {
		return fmt.Errorf("format %#04x, want PCM", tag)
	}
	if err := f.check(); err != nil {
		return err
	}
	if align := int(binary.LittleEndian.Uint16(b[12:])); align != f.frameSize() {
		return fmt.Errorf("%d bytes a frame, want %d", align, f.frameSize())
	}
	if bytes := binary.LittleEndian.Uint32(b[8:]); uint64(bytes) != uint64(rate)*uint64(f.frameSize()) {
		return fmt.Errorf("%d bytes a second, want %d", bytes, uint64(rate)*uint64(f.frameSize()))
	}
	w.format = f
	return nil
}

// Format returns the form of the samples.
func (w *Reader) Format() Format { return w.format }

// Clipped returns how many of the samples read so far, of either channel, hold
// the largest or the smallest value there is.
func (w *Reader) Clipped() uint64 { return w.clipped }

// Read fills left, and right when the file has two channels, with the next
// samples, full scale ±1, and returns how many frames it read. A sample of 24
// bits fits a float32 exactly. right is not touched when there is one channel,
// and otherwise must be as long as left. It returns [io.EOF] after the last
// frame, or [ErrTruncated] when the file should have gone on.
func (w *Reader) Read(left, right []float32) (int, error) {
	if w.format.Channels == 2 && len(right) != len(left) {
		return 0, fmt.Errorf("wav: room for %d and %d samples of two channels", len(left), len(right))
	}
	size, n := w.format.frameSize(), 0
	for n < len(left) {
		frames := min(len(left)-n, len(w.raw)/size)
		if !w.open {
			frames = int(min(uint64(frames), w.left/uint64(size)))
		}
		if frames == 0 { // less than a frame is left of the chunk
			if n > 0 {
				return n, nil
			}
			if w.left > 0 {
				return 0, fmt.Errorf("wav: %w within a frame", ErrTruncated)
			}
			return 0, io.EOF
		}
		got, err := io.ReadFull(w.r, w.raw[:frames*size])
		whole := got / size
		for i := range whole {
			f := w.raw[i*size:]
			left[n+i] = w.sample(f)
			if w.format.Channels == 2 {
				right[n+i] = w.sample(f[size/2:])
			}
		}
		n += whole
		if !w.open {
			w.left -= uint64(got)
		}
		switch {
		case err == nil:
		case n > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
			return n, nil // the next call says why there are no more
		case w.open && errors.Is(err, io.EOF):
			return 0, io.EOF
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return 0, fmt.Errorf("wav: %w", ErrTruncated)
		default:
			return n, fmt.Errorf("wav: %w", err)
		}
	}
	return n, nil
}

func (w *Reader) sample(b []byte) float32 {
	if w.format.Bits == 16 {
		v := int16(binary.LittleEndian.Uint16(b))
		if v == math.MaxInt16 || v == math.MinInt16 {
			w.clipped++
		}
		return float32(v) / (1 << 15)
	}
	v := int32(b[0])<<8 | int32(b[1])<<16 | int32(b[2])<<24
	v >>= 8
	if v == 1<<23-1 || v == -1<<23 {
		w.clipped++
	}
	return float32(v) / (1 << 23)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// NewRawReader returns a Reader of samples without a header, up to the end of r.
// f must be what [Format] allows.
func NewRawReader(r io.Reader, f Format) (*Reader, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("wav: %w", err)
	}
	return &Reader{r: bufio.NewReaderSize(r, 32<<10), format: f, open: true, raw: make([]byte, 12<<10)}, nil
}
