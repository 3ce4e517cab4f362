package sensor

import (
	"math"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for _, test := range []struct {
		name string
		f    Figure
		want string
	}{
		{"rounded as decimals are", Decibels.Of(-71.25, 1), "-71.2 dB"},
		{"no decimals", Metres.Of(99.5, 0), "100 m"},
		{"less than one", Seconds.Of(0.048, 2), "0.05 s"},
		{"rounded to nothing has no sign", Degrees.Of(-0.01, 1), "0.0°"},
		{"a difference that is none", Degrees.Difference(-0.01, 1), "+0.0°"},
		{"a difference", Decibels.Difference(3, 1), "+3.0 dB"},
		{"a negative one", Pixels.Difference(-12.6, 0), "-13 px"},
		{"no whole volts", Volts.Thousandths(9800), "9800mV"},
		{"thousandths that are whole", Celsius.Thousandths(-20_000), "-20degC"},
		{"zero", Volts.Thousandths(0), "0V"},
		{"all thousandths", Celsius.Thousandths(-1), "-0.001degC"},
		{"no zeros behind", Celsius.Thousandths(21_500), "21.5degC"},
		{"more than any", Ratio.Of(math.Inf(1), 0), "9223372036854775807"},
		{"less than any", Ratio.Of(-1e30, 0), "-9223372036854775808"},
		{"no number", Ratio.Of(math.NaN(), 0), "9223372036854775807"},
	} {
		if got := test.f.String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestFindingsInEnglish(t *testing.T) {
	slow := Fact{Key: "k", Words: "{n} of {way} at {v}: {now}, usually {usual:bare}, for {since} ({name}, {part})", Args: Args{
		"n": 2, "way": Receding, "v": 50 * KmH, "now": Decibels.Of(1, 1), "usual": Decibels.Of(2, 1), "since": 90 * time.Second, "name": "{n}", "part": Term("door"),
	}}
	const said = "2 of receding at 50.00 km/h: 1.0 dB, usually 2.0, for 1m30s ({n}, door)"
	for _, test := range []struct {
		name string
		f    Finding
		want string
	}{
		{"a fact", Finding{Facts: []Fact{slow}}, said},
		{"facts about something", Finding{About: "radar", Facts: []Fact{slow, {Words: "deaf"}}}, "radar: " + said + ", deaf"},
		{"nothing but what it is about", Finding{About: "not done yet"}, "not done yet"},
		{"what a part says is not read", Finding{Facts: Told("open {x}: no such file")}, "open {x}: no such file"},
		{"an argument that is not there", Finding{Facts: []Fact{{Words: "a {x} b", Args: Args{}}}}, "a {x} b"},
		{"a brace that is not closed", Finding{Facts: []Fact{{Words: "a {x", Args: Args{}}}}, "a {x"},
	} {
		if got := test.f.Words(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
