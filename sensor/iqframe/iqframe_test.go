package iqframe_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"ciglio/sensor/iqframe"
)

// exampleFrame is that of the package comment, whose CRC is from a program that is
// not ours.
func exampleFrame(t testing.TB) []byte {
	b, err := hex.DecodeString("434951a5" + "01" + "00" + "0200" + "07000000" + "401f0000" + "4001000000000000" + "004000c0" + "ff7f0080" + "d1d6e06b")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWorkedExample(t *testing.T) {
	frame := exampleFrame(t)
	want := iqframe.Block{Sequence: 7, Rate: 8000, Index: 320, I: []int16{0x4000, 32767}, Q: []int16{-0x4000, -32768}}
	var b iqframe.Block
	if err := b.Decode(frame); err != nil || !same(b, want) {
		t.Errorf("%+v, %v", b, err)
	}
	got, err := want.Encode(nil)
	if err != nil || !bytes.Equal(got, frame) {
		t.Errorf("% x, %v", got, err)
	}
}

func same(a, b iqframe.Block) bool {
	return a.Clipped == b.Clipped && a.Sequence == b.Sequence && a.Rate == b.Rate && a.Index == b.Index && slices.Equal(a.I, b.I) && slices.Equal(a.Q, b.Q)
}

func TestDecodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"another sync word":      func(b []byte) []byte { b[0]++; return b },
		"another version":        func(b []byte) []byte { b[4] = 2; return b },
		"a flag that is not one": func(b []byte) []byte { b[5] = 2; return b },
		"no pairs":               func(b []byte) []byte { b[6] = 0; return b },
		"too many pairs":         func(b []byte) []byte { b[7] = 0x7f; return b },
		"more pairs than bytes":  func(b []byte) []byte { b[6] = 3; return b },
		"an absurd rate":         func(b []byte) []byte { b[15] = 1; return b },
		"a sample's bit":         func(b []byte) []byte { b[25] ^= 1; return b },
		"a bit of the sum":       func(b []byte) []byte { b[35] ^= 1; return b },
		"half":                   func(b []byte) []byte { return b[:20] },
		"nothing":                func(b []byte) []byte { return nil },
		"a byte more":            func(b []byte) []byte { return append(b, 0) },
	} {
		var b iqframe.Block
		if err := b.Decode(spoil(exampleFrame(t))); err == nil {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, b := range map[string]iqframe.Block{
		"no pairs":        {Rate: 8000},
		"too many pairs":  {Rate: 8000, I: make([]int16, 1025), Q: make([]int16, 1025)},
		"more I than Q":   {Rate: 8000, I: make([]int16, 2), Q: make([]int16, 1)},
		"too low a rate":  {Rate: 7999, I: make([]int16, 1), Q: make([]int16, 1)},
		"too high a rate": {Rate: 200_001, I: make([]int16, 1), Q: make([]int16, 1)},
	} {
		if out, err := b.Encode([]byte("x")); err == nil || string(out) != "x" {
			t.Errorf("%s: %q", name, out)
		}
	}
}

func TestPlaybackOfTheRecordedBytes(t *testing.T) {
	data, err := os.ReadFile("testdata/blocks.bin")
	if err != nil {
		t.Fatal(err)
	}
	p, err := iqframe.NewPlayback(bytes.NewReader(data))
	if err != nil || p.Format().Rate != 8000 || !p.Format().Complex {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, want := range []struct {
		index   uint64
		first   float32
		clipped bool
	}{{0, 0.5, false}, {2, 32767.0 / 32768, true}, {6, 3.0 / 32768, false}} { // the block from 4 on is broken
		b, err := p.Next(t.Context())
		if err != nil || b.Index != want.index || b.I[0] != want.first || b.Clipped != want.clipped || int64(b.At) != int64(want.index)*125_000 || len(b.Q) != 2 {
			t.Errorf("%+v, %v, want %+v", b, err, want)
		}
	}
	if _, err := p.Next(t.Context()); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if c := p.Tally(); c.Used != 3 || c.Missing != 1 || c.Repeated != 1 || c.Clipped != 1 || c.Broken == 0 || c.Bytes == 0 {
		t.Errorf("%+v", c)
	}
}

func TestPlaybackWithoutFrames(t *testing.T) {
	for _, data := range []string{"", "CIQ\xa5", strings.Repeat("CIQ\xa5\x01\x00", 1000)} {
		if _, err := iqframe.NewPlayback(strings.NewReader(data)); !errors.Is(err, iqframe.ErrNoFrames) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
}

// The firmware was started anew in the middle, and later sampled at another rate.
func TestPlaybackThroughAStart(t *testing.T) {
	var data []byte
	add := func(b iqframe.Block) {
		t.Helper()
		b.I, b.Q = make([]int16, 80), make([]int16, 80)
		var err error
		if data, err = b.Encode(data); err != nil {
			t.Fatal(err)
		}
	}
	add(iqframe.Block{Rate: 8000, Sequence: 1000, Index: 80_000})
	add(iqframe.Block{Rate: 8000, Sequence: 1001, Index: 80_080})
	add(iqframe.Block{Rate: 8000})
	add(iqframe.Block{Rate: 8000, Sequence: 1, Index: 80})
	add(iqframe.Block{Rate: 8000, Sequence: 2, Index: 1 << 62}) // a gap of ages
	add(iqframe.Block{Rate: 9000, Sequence: 3, Index: 1<<62 + 80})
	p, err := iqframe.NewPlayback(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for k, index := range []uint64{80_000, 80_080, 0, 80, 1 << 62} {
		b, err := p.Next(t.Context())
		if err != nil || b.Index != index || int64(b.At) != int64(k)*10e6 {
			t.Errorf("block %d: index %d at %d, %v", k, b.Index, b.At, err)
		}
	}
	if _, err := p.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "from 8000 to 9000") {
		t.Errorf("another rate: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(exampleFrame(f))
	f.Add([]byte("CIQ\xa5\x01\x00\x00\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b iqframe.Block
		if b.Decode(data) == nil {
			again, err := b.Encode(nil)
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("% x is also % x, %v", data, again, err)
			}
		}
		// A stream of anything gives blocks in order, and the one behind it is
		// found.
		good := exampleFrame(t)
		p, err := iqframe.NewPlayback(io.MultiReader(bytes.NewReader(data), bytes.NewReader(good)))
		if err != nil {
			t.Fatalf("% x hid the frame behind it: %v", data, err)
		}
		last := int64(-1)
		for {
			b, err := p.Next(t.Context())
			if err != nil {
				return
			}
			if int64(b.At) < last || len(b.I) == 0 || len(b.I) != len(b.Q) {
				t.Errorf("% x: %+v", data, b)
			}
			last = int64(b.At)
		}
	})
}
