package isys4001

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ciglio/sensor"
)

// frames reads testdata/frames.txt: the bytes of each frame by its description.
func frames(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		digits, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		_, name, _ = strings.Cut(strings.TrimSpace(name), "  ")
		all[strings.TrimSpace(name)] = b
	}
	return all
}

func TestFrames(t *testing.T) {
	all := frames(t)
	if len(all) != 15 {
		t.Fatalf("%d frames in testdata, want 15", len(all))
	}
	for name, b := range all {
		f, err := ParseFrame(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Delimiter == sd2 {
			if again := AppendFrame(nil, f.To, f.From, f.Function, f.Data...); !bytes.Equal(again, b) {
				t.Errorf("%s: written again as %x", name, again)
			}
		}
		// Any one wrong bit is found.
		for i := range 8 * len(b) {
			bad := bytes.Clone(b)
			bad[i/8] ^= 1 << (i % 8)
			if g, err := ParseFrame(bad); err == nil {
				t.Errorf("%s: bit %d may be wrong: %+v", name, i, g)
			}
		}
		for n := range b {
			if _, err := ParseFrame(b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are enough", name, n, len(b))
			}
		}
	}
}

func TestLists(t *testing.T) {
	all := frames(t)
	for name, want := range map[string]List{
		"list without targets":                                         {Output: 1},
		"list of an overdriven input":                                  {Output: 1, Clipped: true},
		"the same without targets":                                     {Output: 1},
		"and of an overdriven input":                                   {Output: 1, Clipped: true},
		"one target: 60 dB, 28.00 m/s, 40.00 m, -2.50 degrees":         {Output: 1, Targets: []Target{{600, 28000, 40000, -250}}},
		"one target: 60.00 dB, -27.671 m/s, 40.000000 m, 2.50 degrees": {Output: 1, Targets: []Target{{600, -27671, 40000, 250}}},
	} {
		f, err := ParseFrame(all[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if l, err := ParseList(f, nil); err != nil || !reflect.DeepEqual(l, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, l, err, want)
		}
	}
}

func TestListsThatNoSensorGives(t *testing.T) {
	for name, data := range map[string][]byte{
		"no number of targets":             {1},
		"output 0":                         {0, 0},
		"output 4":                         {4, 0},
		"36 targets":                       append([]byte{1, 36}, make([]byte, 36*narrowTarget)...),
		"a target without its bytes":       {1, 1},
		"bytes without a target":           {1, 0, 0},
		"an overdriven input with targets": {1, 0xFF, 0, 0, 0, 0, 0, 0, 0},
		"327 m/s":                          {1, 1, 60, 0x7F, 0xFF, 0, 10, 0, 0},
		"-327 m/s":                         {1, 1, 60, 0x80, 0x00, 0, 10, 0, 0},
	} {
		if l, err := ParseList(Frame{Delimiter: sd2, Function: fcTargets, Data: data}, nil); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if _, err := ParseList(Frame{Delimiter: sd2, Function: fcName, Data: []byte{1, 0}}, nil); err == nil {
		t.Error("a name is a list")
	}
}

func TestPlayback(t *testing.T) {
	all := frames(t)
	one := all["one target: 60 dB, 28.00 m/s, 40.00 m, -2.50 degrees"]
	p := NewPlayback(bytes.NewReader(slices.Concat(
		all["ask for a list in 32-bit form"], one, all["list without targets"], []byte("\x68\xff"), one[:9], one,
		all["list of an overdriven input"], all["list without targets"], one, one,
	)), PlaybackOptions{})
	want := sensor.Reading{
		Speed: 10080, Direction: sensor.Approaching, Range: 40000, Angle: -250, Level: 600,
		Flags: sensor.FlagRange | sensor.FlagAngle,
	}
	for n, row := range []struct {
		readings []sensor.Reading
		lost     bool
	}{
		{[]sensor.Reading{want}, false}, {nil, false}, {[]sensor.Reading{want}, true},
		{[]sensor.Reading{{Flags: sensor.FlagClipped}}, true}, {nil, false},
		{[]sensor.Reading{want}, false}, // and the list that comes twice once
	} {
		c, err := p.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := sensor.Mono(n) * sensor.Mono(period)
		if c.At != at || c.Lost != row.lost || len(c.Readings) != len(row.readings) {
			t.Errorf("cycle %d: %+v", n, c)
			continue
		}
		for k, want := range row.readings {
			got := c.Readings[k]
			if len(got.Raw) == 0 {
				t.Errorf("cycle %d: no bytes", n)
			}
			got.Raw, want.At = nil, at
			if !reflect.DeepEqual(got, want) {
				t.Errorf("cycle %d: %+v, want %+v", n, got, want)
			}
		}
	}
	if _, err := p.Next(t.Context()); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if c := p.Tally(); c.Used != 6 || c.Clipped != 1 || c.Repeated != 1 || c.Unused != 1 || c.Bytes != 11 {
		t.Errorf("%+v", c)
	}
}

func FuzzPlayback(f *testing.F) {
	for _, b := range frames(f) {
		f.Add(b)
	}
	list := AppendFrame(nil, master, defaultAddress, fcTargets, 1, 1, 60, 0x0A, 0xF0, 0x0F, 0xA0, 0xFF, 0x06)
	f.Fuzz(func(t *testing.T, garbage []byte) {
		p := NewPlayback(bytes.NewReader(slices.Concat(garbage, make([]byte, maxFrame), list)), PlaybackOptions{})
		var last []sensor.Reading
		for {
			c, err := p.Next(t.Context())
			if err != nil {
				break
			}
			if len(c.Readings) > MaxTargets {
				t.Errorf("%d readings", len(c.Readings))
			}
			for _, r := range c.Readings {
				if r.Speed < 0 || r.Speed > 30_000 || r.Has(sensor.FlagRange) && r.Range <= 0 {
					t.Errorf("%+v", r)
				}
			}
			last = append(last[:0], c.Readings...)
		}
		if p.Tally().Repeated == 0 && (len(last) != 1 || last[0].Speed != 10080) {
			t.Errorf("behind the garbage: %+v", last)
		}
	})
}
