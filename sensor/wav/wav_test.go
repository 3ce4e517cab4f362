package wav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// file joins chunks into a file. A chunk is its name and its bytes.
func file(chunks ...[2]string) []byte {
	var body []byte
	for _, c := range chunks {
		body = append(body, c[0]...)
		body = binary.LittleEndian.AppendUint32(body, uint32(len(c[1])))
		body = append(body, c[1]...)
		if len(c[1])%2 == 1 {
			body = append(body, 0)
		}
	}
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(body)))
	return append(append(out, "WAVE"...), body...)
}

func format(tag uint16, f Format, more string) [2]string {
	b := binary.LittleEndian.AppendUint16(nil, tag)
	b = binary.LittleEndian.AppendUint16(b, uint16(f.Channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.Rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.Rate*f.frameSize()))
	b = binary.LittleEndian.AppendUint16(b, uint16(f.frameSize()))
	b = binary.LittleEndian.AppendUint16(b, uint16(f.Bits))
	return [2]string{"fmt ", string(b) + more}
}

var (
	mono16   = Format{44100, 1, 16}
	stereo16 = Format{20000, 2, 16}
	mono24   = Format{48000, 1, 24}
)

const extension = "\x16\x00\x18\x00\x00\x00\x00\x00" // 22 bytes follow, 24 valid bits, no speakers

// readAll reads to the end, a few frames at a time.
func readAll(r *Reader) (left, right []float32, err error) {
	l, q := make([]float32, 3), make([]float32, 3)
	for {
		n, err := r.Read(l, q)
		left, right = append(left, l[:n]...), append(right, q[:n]...)
		if err != nil {
			return left, right, err
		}
	}
}

func TestSamples(t *testing.T) {
	for _, c := range []struct {
		name    string
		data    []byte
		format  Format
		left    []float32
		right   []float32
		clipped uint64
		end     error
	}{
		{"16 bits", file(format(1, mono16, ""), [2]string{"data", "\x00\x00\x01\x00\xff\xff\x00\x40"}), mono16,
			[]float32{0, 1. / 32768, -1. / 32768, 0.5}, nil, 0, io.EOF},
		{"both ends of 16 bits clip", file(format(1, mono16, ""), [2]string{"data", "\xff\x7f\x00\x80\x01\x80"}), mono16,
			[]float32{32767. / 32768, -1, -32767. / 32768}, nil, 2, io.EOF},
		{"two channels", file(format(1, stereo16, ""), [2]string{"data", "\x00\x40\x00\xc0\x00\x20\x00\x00"}), stereo16,
			[]float32{0.5, 0.25}, []float32{-0.5, 0}, 0, io.EOF},
		{"24 bits fit exactly, odd chunk padded", file(format(1, mono24, ""), [2]string{"data", "\x01\x00\x00\xff\xff\xff\xff\xff\x7f"}), mono24,
			[]float32{1. / (1 << 23), -1. / (1 << 23), 8388607. / (1 << 23)}, nil, 1, io.EOF},
		{"extensible PCM", file(format(0xfffe, mono24, extension+guidPCM), [2]string{"data", "\x00\x00\x40"}), mono24, []float32{0.5}, nil, 0, io.EOF},
		{"unknown chunks of odd length are skipped", file([2]string{"LIST", "odd"}, format(1, mono16, ""), [2]string{"bext", "x"}, [2]string{"data", "\x00\x40"}, [2]string{"id3 ", "later"}), mono16,
			[]float32{0.5}, nil, 0, io.EOF},
		{"no samples", file(format(1, mono16, ""), [2]string{"data", ""}), mono16, nil, nil, 0, io.EOF},
		{"cut short: whole frames", file(format(1, mono16, ""), [2]string{"data", "\x00\x40\x00\x20\x00\x10"})[:12+24+8+5], mono16,
			[]float32{0.5, 0.25}, nil, 0, io.EOF},
		{"chunk ends within a frame", file(format(1, mono16, ""), [2]string{"data", "\x00\x40\x00"}), mono16, []float32{0.5}, nil, 0, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if r.Format() != c.format {
				t.Errorf("format %+v, want %+v", r.Format(), c.format)
			}
			left, right, err := readAll(r)
			if !slices.Equal(left, c.left) {
				t.Errorf("left %v, want %v", left, c.left)
			}
			if c.format.Channels == 2 && !slices.Equal(right, c.right) {
				t.Errorf("right %v, want %v", right, c.right)
			}
			if !errors.Is(err, c.end) || r.Clipped() != c.clipped {
				t.Errorf("end %v, %d clipped, want %v, %d", err, r.Clipped(), c.end, c.clipped)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	data := [2]string{"data", "\x00\x40"}
	huge := file(format(1, mono16, ""), [2]string{"LIST", "x"})
	binary.LittleEndian.PutUint32(huge[len(huge)-6:], 0xfffffff0)
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"empty", nil},
		{"not RIFF", []byte("OggS00000000000000000000")},
		{"RIFX", append([]byte("RIFX"), file(format(1, mono16, ""), data)[4:]...)},
		{"RF64 whose ds64 is too short", append([]byte("RF64"), file([2]string{"ds64", "8 bytes."}, format(1, mono16, ""), data)[4:]...)},
		{"header cut short", file(format(1, mono16, ""), data)[:20]},
		{"no data chunk", file(format(1, mono16, ""))},
		{"data before fmt", file(data, format(1, mono16, ""))},
		{"two fmt chunks", file(format(1, mono16, ""), format(1, mono16, ""), data)},
		{"fmt too short", file([2]string{"fmt ", "\x01\x00"}, data)},
		{"chunk longer than the file", huge},
		{"floating point", file(format(3, mono16, ""), data)},
		{"extensible floating point", file(format(0xfffe, mono24, extension+"\x03"+guidPCM[1:]), data)},
		{"extensible cut short", file(format(0xfffe, mono24, ""), data)},
		{"extensible with 20 valid bits of 24", file(format(0xfffe, mono24, "\x16\x00\x14\x00\x00\x00\x00\x00"+guidPCM), data)},
		{"8 bits", file(format(1, Format{8000, 1, 8}, ""), data)},
		{"32 bits", file(format(1, Format{8000, 1, 32}, ""), data)},
		{"no channels", file(format(1, Format{8000, 0, 16}, ""), data)},
		{"six channels", file(format(1, Format{8000, 6, 16}, ""), data)},
		{"0 Hz", file(format(1, Format{0, 1, 16}, ""), data)},
		{"absurd rate", file(format(1, Format{1 << 30, 1, 16}, ""), data)},
		{"chunks without end", file(slices.Repeat([][2]string{{"JUNK", ""}}, maxChunks+1)...)},
	} {
		if _, err := NewReader(bytes.NewReader(c.data)); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

func TestWrittenIsRead(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, stereo16, 4)
	if err != nil {
		t.Fatal(err)
	}
	left := []float32{0, 0.5, -2, float32(math.NaN())}
	right := []float32{1, -1, float32(math.Inf(1)), 0.25}
	if err := errors.Join(w.Write(left[:1], right[:1]), w.Write(left[1:], right[1:]), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	l, q, err := readAll(r)
	most := float32(32767. / 32768)
	if !slices.Equal(l, []float32{0, 0.5, -1, 0}) || !slices.Equal(q, []float32{most, -1, most, 0.25}) || err != io.EOF {
		t.Errorf("%v %v %v", l, q, err)
	}
}

func TestWriterKeepsItsWord(t *testing.T) {
	w, err := NewWriter(io.Discard, mono16, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]float32, 3), nil); err == nil {
		t.Error("more frames than announced were written")
	}
	if err := w.Close(); err == nil {
		t.Error("a file with too few frames was closed")
	}
	for _, c := range []struct {
		f      Format
		frames int64
	}{{mono24, 1}, {mono16, -1}, {mono16, 1 << 31}, {Format{}, 1}} {
		if _, err := NewWriter(io.Discard, c.f, c.frames); err == nil {
			t.Errorf("%+v with %d frames was accepted", c.f, c.frames)
		}
	}
}

func TestRawHasNoHeader(t *testing.T) {
	r, err := NewRawReader(bytes.NewReader([]byte("\x00\x40\x00\xc0")), stereo16)
	if err != nil {
		t.Fatal(err)
	}
	l, q, err := readAll(r)
	if !slices.Equal(l, []float32{0.5}) || !slices.Equal(q, []float32{-0.5}) || err != io.EOF {
		t.Errorf("%v %v %v", l, q, err)
	}
	if _, err := NewRawReader(nil, Format{}); err == nil {
		t.Error("an empty format was accepted")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(file(format(1, mono16, ""), [2]string{"data", "\x00\x40\x00\x80"}))
	f.Add(file(format(0xfffe, mono24, extension+guidPCM), [2]string{"data", "\x00\x00\x40"}))
	f.Add(file([2]string{"LIST", "odd"}, format(1, stereo16, ""), [2]string{"data", "\x00\x40\x00\x80"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		left, right, err := readAll(r)
		if err == nil {
			t.Fatal("no end")
		}
		if r.Format().Bits != 16 {
			return
		}
		// What was read is written and read again as the same.
		var out bytes.Buffer
		w, err := NewWriter(&out, r.Format(), int64(len(left)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(left, right), w.Close()); err != nil {
			t.Fatal(err)
		}
		again, err := NewReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		l, q, _ := readAll(again)
		if !slices.Equal(l, left) || again.Format() != r.Format() || r.Format().Channels == 2 && !slices.Equal(q, right) {
			t.Error("not the same")
		}
	})
}

// sized is a file of two frames of mono16 whose data chunk says another size, with
// what follows it.
func sized(form string, size uint32, before [][2]string, data, after string) []byte {
	b := file(append(before, format(1, mono16, ""))...)
	copy(b, form)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), size)
	return append(append(b, data...), after...)
}

func ds64(size uint64) [][2]string {
	b := binary.LittleEndian.AppendUint64(make([]byte, 8), size)
	return [][2]string{{"ds64", string(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, size/2), 0))}}
}

func TestD17_SizesThatAreNotTheFiles(t *testing.T) {
	const two = "\x00\x40\x00\x20"
	list := string(file([2]string{"LIST", "INFO"})[12:])
	second := string(file([2]string{"data", two})[12:])
	noPad := file([2]string{"odd ", "abc"}, format(1, mono16, ""), [2]string{"data", two})
	noPad = append(noPad[:12+8+3:12+8+3], noPad[12+8+4:]...)
	for _, c := range []struct {
		name   string
		data   []byte
		frames int
		says   string // "" for nothing to say
	}{
		{"right", sized("RIFF", 4, nil, two, ""), 2, ""},
		{"right, a chunk behind", sized("RIFF", 4, nil, two, list), 2, ""},
		{"0", sized("RIFF", 0, nil, two, ""), 2, "data size is 0x0"},
		{"0, and nothing there", sized("RIFF", 0, nil, "", ""), 0, ""},
		{"0, and a chunk behind: nothing there", sized("RIFF", 0, nil, "", list), 0, ""},
		{"the largest, and a chunk at once: nothing there", sized("RIFF", 0xffffffff, nil, "", list), 0, "nothing was recorded"},
		{"the largest of 31 bits, likewise", sized("RIFF", 0x7fffffff, nil, "", list), 0, "nothing was recorded"},
		{"RF64 that does not know, likewise", sized("RF64", 0xffffffff, ds64(0), "", list), 0, "nothing was recorded"},
		{"a second data chunk", sized("RIFF", 4, nil, two, second), 2, "another data chunk, of 4 bytes, is left out"},
		{"a second data chunk behind another", sized("RIFF", 4, nil, two, list+second), 2, "another data chunk, of 4 bytes, is left out"},
		{"a second data chunk that is cut", sized("RIFF", 4, nil, two, second[:10]), 2, "another data chunk, of 2 bytes, is left out"},
		{"a second data chunk, the first is empty", sized("RIFF", 0, nil, "", list+second), 0, "another data chunk, of 4 bytes, is left out"},
		{"a second data chunk at once, the first of unknown size", sized("RIFF", 0xffffffff, nil, "", second), 0, "another data chunk, of 4 bytes, is left out"},
		{"more chunks than anybody writes", sized("RIFF", 4, nil, two, strings.Repeat("LIST\x00\x00\x00\x00", maxChunks)+second), 2, "was not looked at"},
		{"the largest", sized("RIFF", 0xffffffff, nil, two, ""), 2, "data size is 0xffffffff"},
		{"the largest less a header", sized("RIFF", 0xffffffff-44, nil, two, ""), 2, "data size is 0xffffffd3"},
		{"the largest of 31 bits", sized("RIFF", 0x7fffffff, nil, two, ""), 2, "data size is 0x7fffffff"},
		{"the smallest of 32 bits", sized("RIFF", 0x80000000, nil, two, ""), 2, "data size is 0x80000000"},
		{"larger than the file", sized("RIFF", 1000, nil, two, ""), 2, "996 bytes more than the file"},
		{"larger, and half a frame", sized("RIFF", 1000, nil, two+"x", ""), 2, "1 bytes behind the last whole frame"},
		{"odd", sized("RIFF", 5, nil, two+"x", "\x00"+list), 2, "1 bytes behind the last whole frame"},
		{"odd without padding", sized("RIFF", 5, nil, two+"x", list), 2, "1 bytes behind the last whole frame"},
		{"too small", sized("RIFF", 2, nil, two, ""), 1, "is its data size right?"},
		{"an odd chunk without padding before", noPad, 2, "no byte of padding"},
		{"an odd chunk with padding before", file([2]string{"odd ", "abc"}, format(1, mono16, ""), [2]string{"data", two}), 2, ""},
		{"RF64", sized("RF64", 0xffffffff, ds64(4), two, list), 2, ""},
		{"BW64", sized("BW64", 0xffffffff, ds64(4), two, ""), 2, ""},
		{"RF64, larger than the file", sized("RF64", 0xffffffff, ds64(8), two, ""), 2, "4 bytes more than the file"},
		{"RF64 that does not know", sized("RF64", 0xffffffff, ds64(0), two, ""), 2, "data size is 0xffffffff"},
		{"RF64 of a size in 32 bits", sized("RF64", 4, ds64(0), two, list), 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(c.data))
			if err != nil {
				t.Fatal(err)
			}
			left, _, err := readAll(r)
			if len(left) != c.frames || r.Frames() != uint64(c.frames) || err != io.EOF {
				t.Errorf("%d frames, %d counted, want %d; error %v", len(left), r.Frames(), c.frames, err)
			}
			says := strings.Join(r.Remarks(), "; ")
			if (says == "") != (c.says == "") || !strings.Contains(says, c.says) {
				t.Errorf("says %q, want %q", says, c.says)
			}
			if _, err := r.Read(make([]float32, 3), nil); err != io.EOF || strings.Join(r.Remarks(), "; ") != says {
				t.Errorf("read again: %v, %q", err, r.Remarks())
			}
		})
	}
}
