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
// The forms RF64 and BW64 are read as well: they begin with these letters, and a
// chunk "ds64" holds, after eight bytes, the size of the data in 64 bits.
//
// The reader streams, allocates nothing by a size that it read, and refuses
// what it does not know. It reads every whole frame that is there: a program that
// writes into a pipe, or a recorder that lost power, leaves a size of the data
// that is 0, a largest number, or more than the file has. Then the data reach to
// the end of the file, unless a chunk that is known to follow data begins at once:
// then nothing was recorded. [Reader.Remarks] says where the file is not what its
// sizes say, and names further data chunks, which are not read: the caller decides
// whether such a recording may be used.
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
	"slices"
)

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

	// maxChunks bounds the work that a file of empty chunks can cause, before the
	// data and behind them.
	maxChunks = 1000
	// unknownSize is the least that recorders write for a size that they do not
	// know yet: they take the largest number of 31 or of 32 bits, or one of whole
	// blocks below it.
	unknownSize = 0x7fff0000
	// openEnd is the largest of them, of files that may be longer.
	openEnd = math.MaxUint32
)

// behind are the chunks that are known to follow the data, or an empty data chunk.
var behind = []string{"data", "LIST", "id3 ", "ID3 ", "bext", "iXML", "fact", "cue ", "PEAK", "JUNK", "junk", "DISP", "PAD ", "afsp", "_PMX", "smpl", "inst", "chna", "axml"}

// guidPCM follows the sub-format of WAVE_FORMAT_EXTENSIBLE when it is PCM.
const guidPCM = "\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// A Reader reads the samples of one file.
type Reader struct {
	r       *bufio.Reader
	format  Format
	size    uint64 // bytes of the data chunk
	left    uint64 // of them, not yet read
	wide    uint64 // size of the data as a chunk ds64 has it
	open    bool   // the data chunk reaches to the end of the file
	frames  uint64 // read so far
	remarks []string
	ended   bool
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
	form := string(head[:4])
	if form != "RIFF" && form != "RF64" && form != "BW64" || string(head[8:]) != "WAVE" {
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
			w.begin(size)
			return nil
		case name == "ds64" && form != "RIFF":
			if err := w.readWide(size); err != nil {
				return fmt.Errorf("ds64 chunk: %w", err)
			}
		case name == "fmt " && w.format.Channels != 0:
			return errors.New("two fmt chunks")
		case name == "fmt ":
			if err := w.readFormat(size); err != nil {
				return fmt.Errorf("fmt chunk: %w", err)
			}
		default:
			if _, err := io.CopyN(io.Discard, w.r, int64(size)); err != nil {
				return fmt.Errorf("chunk %q: %w", name, unexpected(err))
			}
			w.pad(size)
		}
	}
	return fmt.Errorf("more than %d chunks before the data chunk", maxChunks)
}

// begin notes how far the data go, as their chunk says.
func (w *Reader) begin(size uint32) {
	next, _ := w.r.Peek(8)
	nothing := len(next) == 8 && slices.Contains(behind, string(next[:4]))
	switch {
	case size == openEnd && w.wide > 0:
		w.size = w.wide
	case nothing && (size == 0 || size >= unknownSize):
		if size > 0 {
			w.remark("its data size is %#x, and the chunk %q follows at once: nothing was recorded", size, next[:4])
		}
	case size == 0 && len(next) == 0: // nothing was recorded
	case size == openEnd || size == 0:
		w.open = true
		w.remark(unknown, size)
	default:
		w.size = uint64(size)
	}
	w.left = w.size
}

const unknown = "its data size is %#x, as of a recorder that does not know it: read to the end of the file"

func (w *Reader) remark(format string, args ...any) {
	w.remarks = append(w.remarks, fmt.Sprintf(format, args...))
}

// pad passes over the byte behind a chunk of odd size. Some programs leave it out:
// then the next chunk's name begins in its place.
func (w *Reader) pad(size uint32) {
	if size%2 == 0 {
		return
	}
	next, _ := w.r.Peek(5)
	if len(next) == 5 && isName(next[:4]) && (!isName(next[1:]) || string(next[:4]) == "fmt " || string(next[:4]) == "data") {
		w.remark("a chunk of odd size has no byte of padding")
		return
	}
	_, _ = w.r.Discard(min(1, len(next))) // at the end the next read says so
}

// isName reports whether b may be the name of a chunk.
func isName(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return b[0] != ' '
}

// readWide reads the chunk of 64-bit sizes.
func (w *Reader) readWide(size uint32) error {
	var b [24]byte
	if size < uint32(len(b)) {
		return fmt.Errorf("%d bytes, want at least %d", size, len(b))
	}
	if _, err := io.ReadFull(w.r, b[:]); err != nil {
		return unexpected(err)
	}
	w.wide = binary.LittleEndian.Uint64(b[8:])
	if _, err := io.CopyN(io.Discard, w.r, int64(size)-int64(len(b))); err != nil {
		return unexpected(err)
	}
	w.pad(size)
	return nil
}

func (w *Reader) readFormat(size uint32) error {
	if size < 16 || size > 1024 {
		return fmt.Errorf("%d bytes, want 16 to 1024", size)
	}
	var buf [1024]byte
	b := buf[:size]
	if _, err := io.ReadFull(w.r, b); err != nil {
		return unexpected(err)
	}
	w.pad(size)
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

// Frames returns how many frames have been read so far.
func (w *Reader) Frames() uint64 { return w.frames }

// Remarks says where the file is not what its sizes say. It is complete once Read
// has returned an error.
func (w *Reader) Remarks() []string { return w.remarks }

// Clipped returns how many of the samples read so far, of either channel, hold
// the largest or the smallest value there is.
func (w *Reader) Clipped() uint64 { return w.clipped }

// Read fills left, and right when the file has two channels, with the next
// samples, full scale ±1, and returns how many frames it read. A sample of 24
// bits fits a float32 exactly. right is not touched when there is one channel,
// and otherwise must be as long as left. It returns [io.EOF] after the last
// frame.
func (w *Reader) Read(left, right []float32) (int, error) {
	if w.format.Channels == 2 && len(right) != len(left) {
		return 0, fmt.Errorf("wav: room for %d and %d samples of two channels", len(left), len(right))
	}
	size, n := w.format.frameSize(), 0
	for n < len(left) && !w.ended {
		frames := min(len(left)-n, len(w.raw)/size)
		if !w.open {
			frames = int(min(uint64(frames), w.left/uint64(size)))
		}
		if frames == 0 { // less than a frame is left of the chunk
			w.end()
			break
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
		w.frames += uint64(whole)
		if !w.open {
			w.left -= uint64(got)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			if rest := got % size; rest > 0 {
				w.remark("%d bytes behind the last whole frame are left out", rest)
			}
			switch {
			case w.open:
			case w.size >= unknownSize:
				w.remark(unknown, w.size)
			default:
				w.remark("its data chunk should hold %d bytes more than the file: read to the end of the file", w.left)
			}
			w.ended = true
		default:
			return n, fmt.Errorf("wav: %w", err)
		}
	}
	if n == 0 && len(left) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// end notes what lies behind the last whole frame of the data chunk.
func (w *Reader) end() {
	w.ended = true
	if w.left > 0 {
		w.remark("%d bytes behind the last whole frame are left out", w.left)
		_, _ = w.r.Discard(int(w.left)) // less than a frame
	}
	w.pad(uint32(w.size & 1))
	if next, _ := w.r.Peek(4); len(next) > 0 && !isName(next) {
		w.remark("what lies behind its data chunk is no chunk and was not read: is its data size right?")
		return
	}
	for range maxChunks {
		var chunk [8]byte
		if n, _ := io.ReadFull(w.r, chunk[:]); n < len(chunk) || !isName(chunk[:4]) {
			return
		}
		name, size := string(chunk[:4]), binary.LittleEndian.Uint32(chunk[4:])
		got, err := io.CopyN(io.Discard, w.r, int64(size))
		if name == "data" {
			w.remark("another data chunk, of %d bytes, is left out: one recording has one", got)
		}
		if err != nil {
			return
		}
		w.pad(size)
	}
	w.remark("what lies behind the %d chunks after its data was not looked at", maxChunks)
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
