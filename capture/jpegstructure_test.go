package capture

import (
	"bytes"
	"image"
	"image/jpeg"
	"runtime"
	"strings"
	"testing"
	"time"
)

// segment returns a marker segment.
func segment(mark byte, data ...byte) []byte {
	return append([]byte{0xFF, mark, byte((len(data) + 2) >> 8), byte(len(data) + 2)}, data...)
}

// assembled returns a JPEG with tables of one code each, a frame header and what
// is given between it and the end.
func assembled(process byte, width, height int, components []byte, parts ...[]byte) []byte {
	header := append([]byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), byte(len(components))}, make([]byte, 3*len(components))...)
	for i, sampling := range components {
		header[6+3*i], header[7+3*i] = byte(i+1), sampling
	}
	b := append(fakeTables(), segment(process, header...)...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return append(b, 0xFF, markEOI)
}

// scanOf returns a scan of components from first to last, of those coefficients
// and bits, and so many zero bytes of codes.
func scanOf(from, to, first, last, bits byte, coded int) []byte {
	header := []byte{to - from + 1}
	for c := from; c <= to; c++ {
		header = append(header, c, 0)
	}
	return append(segment(markSOS, append(header, first, last, bits)...), make([]byte, coded)...)
}

func joined(n int, part func(i int) []byte) []byte {
	var b []byte
	for i := range n {
		b = append(b, part(i)...)
	}
	return b
}

// progressive returns the scans of one component as encoders write them: three
// bits of it in turn.
func progressive(coded int) []byte {
	return bytes.Join([][]byte{
		scanOf(1, 1, 0, 0, 0x02, coded), scanOf(1, 1, 1, 5, 0x02, coded), scanOf(1, 1, 6, 63, 0x02, coded),
		scanOf(1, 1, 0, 0, 0x21, coded), scanOf(1, 1, 1, 63, 0x21, coded),
		scanOf(1, 1, 0, 0, 0x10, coded), scanOf(1, 1, 1, 63, 0x10, coded),
	}, nil)
}

func restarts(n int) []byte {
	return joined(n, func(i int) []byte { return []byte{0, 0xFF, markRST0 + byte(i&7)} })
}

func TestH11_StructuresWithinTheirLimitsPass(t *testing.T) {
	grey, colour := []byte{0x11}, []byte{0x22, 0x11, 0x11}
	interval := segment(markDRI, 0, 1)
	tests := []struct {
		name string
		data []byte
	}{
		{"baseline in one scan", assembled(markSOF0, 64, 64, colour, scanOf(1, 3, 0, 63, 0, 40))},
		{"baseline in three", assembled(markSOF0, 64, 64, colour, scanOf(1, 1, 0, 63, 0, 40), scanOf(2, 2, 0, 63, 0, 40), scanOf(3, 3, 0, 63, 0, 40))},
		{"extended sequential", assembled(markSOF0+1, 64, 64, grey, scanOf(1, 1, 0, 63, 0, 40))},
		{"progressive", assembled(markSOF2, 64, 64, grey, progressive(10))},
		{"a restart behind each unit but the last", assembled(markSOF0, 64, 64, grey, interval, scanOf(1, 1, 0, 63, 0, 1), restarts(63), []byte{0})},
		{"and behind the last", assembled(markSOF0, 64, 64, grey, interval, scanOf(1, 1, 0, 63, 0, 1), restarts(64), []byte{0})},
		{"segments of other programs", assembled(markSOF0, 64, 64, grey, joined(255, func(int) []byte { return segment(markAPP0+2, 1, 2, 3) }), scanOf(1, 1, 0, 63, 0, 40))},
		{"the most pixels", assembled(markSOF0, 8192, 4880, grey, scanOf(1, 1, 0, 63, 0, 200_000))},
		{"the shortest codes", assembled(markSOF0, 64, 64, grey, scanOf(1, 1, 0, 63, 0, 16))},
		{"the shortest progressive codes", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 0, 0, 8))},
	}
	for _, test := range tests {
		if _, _, length, err := InspectJPEG(test.data); err != nil || length != len(test.data) {
			t.Errorf("%s: %d of %d bytes, %v", test.name, length, len(test.data), err)
		}
	}
}

// What would keep a decoder busy, or fill its memory, is refused by its markers.
func TestH11_CostlyStructuresAreRefusedUndecoded(t *testing.T) {
	grey, colour := []byte{0x11}, []byte{0x22, 0x11, 0x11}
	interval := segment(markDRI, 0, 1)
	whole := scanOf(1, 1, 0, 63, 0, 40)
	fine := func(i int) []byte { // each coefficient and bit by itself, as the letter allows
		return scanOf(1, 1, byte(1+i/2), byte(1+i/2), []byte{0x01, 0x10}[i%2], 0)
	}
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"thousands of baseline scans", "second scan", assembled(markSOF0, 64, 64, grey, joined(5000, func(int) []byte { return whole }))},
		{"thousands of progressive scans of one bit", "a second time", assembled(markSOF2, 64, 64, grey, joined(5000, func(int) []byte { return scanOf(1, 1, 0, 0, 0, 8) }))},
		{"a refinement over and over", "a second time", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 0, 0x01, 8), scanOf(1, 1, 1, 63, 0x01, 8),
			joined(5000, func(int) []byte { return scanOf(1, 1, 1, 63, 0x10, 1) }))},
		{"a refinement of what has not begun", "out of turn", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 0, 0, 8), scanOf(1, 1, 1, 63, 0x10, 1))},
		{"a refinement that leaves a bit out", "out of turn", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 0, 3, 8), scanOf(1, 1, 0, 0, 0x10, 8))},
		{"a refinement of two bits at once", "bit 0 after 2", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 0, 2, 8), scanOf(1, 1, 0, 0, 0x20, 8))},
		{"a scan for each coefficient", "more than 32 scans", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 0, 0, 8), joined(126, fine))},
		{"mean and others in one progressive scan", "coefficients 0 to 63", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 0, 63, 0, 40))},
		{"thousands of restarts without an interval", "without an interval", assembled(markSOF0, 64, 64, grey, whole, restarts(5000))},
		{"thousands of restarts", "5000 restart markers in 64 units", assembled(markSOF0, 64, 64, grey, interval, whole, restarts(5000))},
		{"restarts out of turn", "out of turn", assembled(markSOF0, 64, 64, grey, interval, whole, []byte{0xFF, markRST0 + 3, 0})},
		{"255 components", "255 components", assembled(markSOF0, 64, 64, make([]byte, 255), whole)},
		{"four components", "4 components", assembled(markSOF0, 64, 64, []byte{0x11, 0x11, 0x11, 0x11}, whole)},
		{"samples without number", "sampled", assembled(markSOF0, 64, 64, []byte{0xFF}, whole)},
		{"samples of nothing", "sampled", assembled(markSOF0, 64, 64, []byte{0x10}, whole)},
		{"a unit of 48 blocks", "unit of 48 blocks", assembled(markSOF0, 64, 64, []byte{0x44, 0x44, 0x44}, scanOf(1, 3, 0, 63, 0, 400))},
		{"a huge picture in few bytes", "no code is so short", assembled(markSOF0, 8000, 5000, grey, whole)},
		{"a huge progressive one", "no code is so short", assembled(markSOF2, 8000, 5000, colour, scanOf(1, 3, 0, 0, 0, 1000))},
		{"more pixels than any camera", "are more than", assembled(markSOF0, 8192, 8192, grey, whole)},
		{"one component of three", "no scan of component 2", assembled(markSOF0, 64, 64, colour, scanOf(1, 1, 0, 63, 0, 100))},
		{"details without a mean", "no scan of component 1", assembled(markSOF2, 64, 64, grey, scanOf(1, 1, 1, 63, 0, 40))},
		{"thousands of comments", "more than 512 segments", assembled(markSOF0, 64, 64, grey, joined(5000, func(int) []byte { return segment(markCOM) }), whole)},
		{"thousands of segments of other programs", "more than 512 segments", assembled(markSOF0, 64, 64, grey, joined(5000, func(int) []byte { return segment(markAPP0 + 1) }), whole)},
		{"thousands of tables", "more than 512 segments", assembled(markSOF0, 64, 64, grey, joined(5000, func(int) []byte { return segment(markDQT) }), whole)},
		{"thousands of intervals", "more than 512 segments", assembled(markSOF0, 64, 64, grey, joined(5000, func(int) []byte { return interval }), whole)},
		{"more codes than there are", "more Huffman codes", assembled(markSOF0, 64, 64, grey, segment(markDHT, append([]byte{0, 3}, make([]byte, 18)...)...), whole)},
		{"a table cut short", "Huffman codes", assembled(markSOF0, 64, 64, grey, segment(markDHT, 0, 1), whole)},
		{"a quantisation table cut short", "quantisation table", assembled(markSOF0, 64, 64, grey, segment(markDQT, 0, 1), whole)},
		{"arithmetic coding", "arithmetic coding", assembled(0xC9, 64, 64, grey, whole)},
		{"progressive arithmetic coding", "arithmetic coding", assembled(0xCA, 64, 64, grey, whole)},
		{"conditioning of arithmetic coding", "arithmetic coding", assembled(markSOF0, 64, 64, grey, segment(markDAC, 0, 0), whole)},
		{"lossless", "lossless coding", assembled(0xC3, 64, 64, grey, whole)},
		{"hierarchical", "hierarchical coding", assembled(markSOF0, 64, 64, grey, segment(markDHP, 0), whole)},
		{"hierarchical frames", "hierarchical coding", assembled(0xC5, 64, 64, grey, whole)},
		{"expanded", "hierarchical coding", assembled(markSOF0, 64, 64, grey, segment(markEXP, 0x11), whole)},
		{"lines counted later", "number of lines", assembled(markSOF0, 64, 64, grey, whole, segment(markDNL, 0, 64))},
		{"a JPEG-LS header", "no place", assembled(0xF7, 64, 64, grey, whole)},
		{"twelve bits", "12 bits", bytes.Replace(assembled(markSOF0+1, 64, 64, grey, whole), []byte{0xFF, 0xC1, 0, 11, 8}, []byte{0xFF, 0xC1, 0, 11, 12}, 1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, _, _, err := InspectJPEG(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			// An error of its own, and no memory by what the picture claims.
			if n := testing.AllocsPerRun(5, func() { _, _, _, _ = InspectJPEG(test.data) }); n > 10 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// What passes costs a decoder no more than its size allows.
func TestH11_WhatPassesDecodesInBounds(t *testing.T) {
	passed, decoded := 0, 0
	hostile(t, func(name string, b []byte) {
		w, h, _, err := InspectJPEG(b)
		if err != nil {
			return
		}
		passed++
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		if _, err := jpeg.Decode(bytes.NewReader(b)); err == nil {
			decoded++
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		// Three components of one byte, and four more bytes each of a progressive one.
		if most := uint64(15*(w+64)*(h+64) + 1<<20); after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%s: %d bytes allocated for %d by %d pixels", name, after.TotalAlloc-before.TotalAlloc, w, h)
		}
		if took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	})
	if passed == 0 || decoded == 0 {
		t.Errorf("%d passed, %d decoded", passed, decoded)
	}
	t.Logf("%d passed, %d of them decoded", passed, decoded)
}

func TestD15_PictureWithoutItsTablesIsRefusedBySuchWords(t *testing.T) {
	good := encoded(t, image.NewYCbCr(image.Rect(0, 0, 64, 64), image.YCbCrSubsampleRatio420))
	luma := bytes.Index(good, []byte{0xFF, markDHT})
	cut := func(from, n int) []byte { return append(bytes.Clone(good[:from]), good[from+n:]...) }
	empty := append(bytes.Clone(good[:2]), append(segment(markDHT), without(good, markDHT)[2:]...)...)
	none := append(bytes.Clone(good[:2]), append(segment(markDHT, make([]byte, 17)...), without(good, markDHT)[2:]...)...)
	chrominance := func() []byte { // the DHT segment of the encoder holds four tables; leave two
		size := int(good[luma+2])<<8 | int(good[luma+3])
		first := 4 + 17 + 12 + 17 + 162
		short := cut(luma+first, size+2-first)
		short[luma+2], short[luma+3] = byte((first-2)>>8), byte(first-2)
		return short
	}()
	for _, test := range []struct {
		name, want string
		data       []byte
	}{
		{"none at all", "without Huffman tables", without(good, markDHT)},
		{"a segment without any", "without Huffman tables", empty},
		{"a table without codes", "without Huffman tables", none},
		{"none of the colours", "without Huffman tables", chrominance},
		{"no quantisation", "without quantisation tables", without(good, markDQT)},
	} {
		if _, _, err := CheckJPEG(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		r := NewRing(2, 1<<16)
		err := r.Put(Frame{Number: 5, At: 1, MediaType: "image/jpeg", Data: test.data})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "flagged by the camera") {
			t.Errorf("%s: the ring says %v, want %q", test.name, err, test.want)
		}
	}
}

func TestD13_LengthOfThePictureIsItsOwn(t *testing.T) {
	good := encoded(t, image.NewGray(image.Rect(0, 0, 33, 17)))
	for _, behind := range []string{"", "\x00\x00\x00", "GET /", "\xff\xd8\xff", "\xff\xd9", "\r\n"} {
		b := append(bytes.Clone(good), behind...)
		if w, h, length, err := InspectJPEG(b); err != nil || length != len(good) || w != 33 || h != 17 {
			t.Errorf("%q behind the end: %d bytes of %d by %d, %v; want %d", behind, length, w, h, err, len(good))
		}
	}
}
