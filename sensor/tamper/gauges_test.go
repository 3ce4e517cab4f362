package tamper

import (
	"errors"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
)

// on returns a bus that plays back what the data sheets say.
func on(t *testing.T, ops ...i2ctest.IO) Bus {
	p := &i2ctest.Playback{Ops: ops, DontPanic: true}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() (i2c.Bus, error) { return p, nil }
}

// The rows are those of table 6-2 of TI's data sheet of the TMP102 (SBOS397).
func TestTMP102(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  [2]byte
		want int64
	}{
		{"a warm day", [2]byte{0x19, 0x00}, 25_000},
		{"a sixteenth of a degree, cut off", [2]byte{0x00, 0x10}, 62},
		{"freezing", [2]byte{0x00, 0x00}, 0},
		{"a winter's night", [2]byte{0xE7, 0x00}, -25_000},
		{"a cabinet in the sun", [2]byte{0x50, 0x00}, 80_000},
	} {
		read := Temperature(on(t,
			i2ctest.IO{Addr: 0x48, W: []byte{1}, R: []byte{0x60, 0xA0}},
			i2ctest.IO{Addr: 0x48, W: []byte{1, 0x60, 0xA0}},
			i2ctest.IO{Addr: 0x48, W: []byte{0}, R: c.raw[:]},
		), "tmp102", 0x48)
		if got, err := read(); err != nil || got != c.want {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}

func TestINA219(t *testing.T) {
	read := Supply(on(t,
		i2ctest.IO{Addr: 0x40, W: []byte{5, 0x10, 0x62}},
		i2ctest.IO{Addr: 0x40, W: []byte{0, 0x1F, 0xFF}},
		i2ctest.IO{Addr: 0x40, W: []byte{1}, R: []byte{0x00, 0x64}},
		i2ctest.IO{Addr: 0x40, W: []byte{2}, R: []byte{0x5D, 0xC2}}, // 3000 x 4 mV
		i2ctest.IO{Addr: 0x40, W: []byte{4}, R: []byte{0x00, 0x00}},
		i2ctest.IO{Addr: 0x40, W: []byte{3}, R: []byte{0x00, 0x00}},
	), 0x40)
	if got, err := read(); err != nil || got != 12_000 {
		t.Errorf("%d, %v, want 12 V", got, err)
	}
}

// A bus that is not there at the start is tried again.
func TestABusThatComesLater(t *testing.T) {
	gone := errors.New("no such bus")
	good := on(t,
		i2ctest.IO{Addr: 0x48, W: []byte{1}, R: []byte{0x60, 0xA0}},
		i2ctest.IO{Addr: 0x48, W: []byte{1, 0x60, 0xA0}},
		i2ctest.IO{Addr: 0x48, W: []byte{0}, R: []byte{0x19, 0x00}},
	)
	there := false
	bus := func() (i2c.Bus, error) {
		if !there {
			return nil, gone
		}
		return good()
	}
	read := Temperature(bus, "tmp102", 0x48)
	if _, err := read(); !errors.Is(err, gone) || !strings.Contains(err.Error(), "tmp102 at address 0x48") {
		t.Errorf("%v", err)
	}
	there = true
	if got, err := read(); err != nil || got != 25_000 {
		t.Errorf("%d, %v", got, err)
	}
	supply := Supply(func() (i2c.Bus, error) { return nil, gone }, 0x40)
	if _, err := supply(); !errors.Is(err, gone) {
		t.Errorf("supply: %v", err)
	}
}

func TestASensorThatDoesNotAnswer(t *testing.T) {
	nobody := func() (i2c.Bus, error) { return &i2ctest.Playback{DontPanic: true}, nil }
	for _, model := range append(Thermometers(), "lm75") {
		if v, err := Temperature(nobody, model, 0x76)(); err == nil {
			t.Errorf("%s: %d", model, v)
		}
	}
	if v, err := Supply(nobody, 0x40)(); err == nil {
		t.Errorf("supply: %d", v)
	}
}
