package sensor

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

func TestSpeedRoundsDown(t *testing.T) {
	for _, c := range []struct {
		name string
		got  Speed
		want Speed
	}{
		{"one metre per second is 3.6 km/h", SpeedFromMMPS(1000), 360},
		{"fraction goes to the driver", SpeedFromMMPS(19_999), 7199},
		{"the same in metres per second", SpeedFromMPS(19.9999), 7199},
		{"just below a hundredth", SpeedFromMPS(math.Nextafter(0.0125, 0)), 4},
		{"a negative value is no speed", SpeedFromMPS(-3), 0},
		{"an undefined value is no speed", SpeedFromMPS(math.NaN()), 0},
		{"an infinite value does not wrap", SpeedFromMPS(math.Inf(1)), math.MaxInt32},
		{"indicated speed has no fraction", Speed(9599).Truncate(), 9500},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestParseSpeed(t *testing.T) {
	for text, want := range map[string]Speed{
		"70km/h": 7000, "62.5 km/h": 6250, " 0.05km/h": 5, "130.00km/h": 13000, "0km/h": 0,
	} {
		got, err := ParseSpeed(text)
		if err != nil || got != want {
			t.Errorf("%q = %v, %v, want %v", text, got, err, want)
		}
		form, _ := got.MarshalText()
		if back, err := ParseSpeed(string(form)); err != nil || back != got {
			t.Errorf("%q prints as %s, which reads as %v, %v", text, form, back, err)
		}
	}
	for _, text := range []string{"", "70", "70 mph", "km/h", "-5km/h", "+5km/h", "70.km/h", ".5km/h", "70.125km/h", "7e1km/h", "99999999999km/h", "70,5km/h"} {
		if got, err := ParseSpeed(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestBudgetTotalIsNeverSmaller(t *testing.T) {
	if got := (Budget{Noise: 3, Angle: 4}).Total(); got != 5 {
		t.Errorf("3 and 4 make %d, want 5", got)
	}
	if got := (Budget{Noise: 1, Clock: 1}).Total(); got != 2 {
		t.Errorf("1 and 1 make %d, want √2 rounded up", got)
	}
}

func TestReasonsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/discard-reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, r := range Reasons() {
		line := fmt.Sprintf("| %d | `%s` | %s |\n", r, r.Code(), r)
		if !strings.Contains(string(doc), line) {
			t.Errorf("docs/discard-reasons.md lacks the line %s", line)
		}
		if codes[r.Code()] {
			t.Errorf("code %s stands twice", r.Code())
		}
		codes[r.Code()] = true
	}
}
