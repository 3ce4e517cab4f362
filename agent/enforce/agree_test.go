package enforce

import (
	"math"
	"testing"

	"ciglio/sensor"
)

func TestTolerance(t *testing.T) {
	contacts, frames := Tolerance{Flat: 2 * sensor.KmH, Percent: 3}, Tolerance{Percent: 10}
	for _, c := range []struct {
		name          string
		t             Tolerance
		primary, want sensor.Speed
	}{
		{"contacts, flat at 50", contacts, 5000, 200},
		{"contacts, flat just below the crossing", contacts, 6699, 200},
		{"contacts, both are 2.00 at 66.67", contacts, 6667, 200},
		{"contacts, the share counts from 67", contacts, 6700, 201},
		{"contacts at 130", contacts, 13000, 390},
		{"the share is rounded down", contacts, 13033, 390},
		{"frames", frames, 9250, 925},
		{"frames have no flat part", frames, 1500, 150},
		{"frames, rounded down", frames, 9259, 925},
		{"none at no speed", frames, 0, 0},
		{"no overflow at the end of the type", Tolerance{Percent: 100}, math.MaxInt32, math.MaxInt32},
	} {
		if got := c.t.Of(c.primary); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAgree(t *testing.T) {
	for _, c := range []struct {
		name                       string
		primary, second, tolerance sensor.Speed
		want                       bool
	}{
		{"the same", 9250, 9250, 277, true},
		{"the last that agrees below", 9250, 8973, 277, true},
		{"the first that does not below", 9250, 8972, 277, false},
		{"the last that agrees above", 9250, 9527, 277, true},
		{"the first that does not above", 9250, 9528, 277, false},
		{"no tolerance, the same", 9250, 9250, 0, true},
		{"no tolerance, a hundredth off", 9250, 9249, 0, false},
		{"no second speed, however wide the tolerance", 100, 0, 200, false},
		{"a negative second speed", 100, -50, 200, false},
		{"no primary speed", 0, 100, 200, false},
		{"a negative tolerance", 9250, 9250, -1, false},
		{"no overflow", math.MaxInt32, 1, 100, false},
	} {
		if got := Agree(c.primary, c.second, c.tolerance); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
