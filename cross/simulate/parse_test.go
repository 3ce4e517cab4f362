package simulate

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

func TestEveryScenarioIsARoad(t *testing.T) {
	names := Scenarios()
	for _, name := range []string{
		"single", "platoon", "overtaking", "motorcycle-beside-lorry", "meeting", "rain", "clutter", "clipping", "weak",
		"mains-and-tones", "acceleration", "eight-lanes", "motorway-350", "walking-pace",
	} {
		if !slices.Contains(names, name) {
			t.Errorf("no scenario %s", name)
		}
	}
	for _, name := range names {
		s, err := ReadScenario(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Title == "" || s.About == "" {
			t.Errorf("%s: no title or nothing about it", name)
		}
		r, err := NewRoad(s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		seen := 0
		for _, v := range r.Truth() {
			if v.Enter < v.Leave && v.Leave > 0 && v.Enter < r.Duration() {
				seen++
			}
		}
		if seen == 0 {
			t.Errorf("%s: no vehicle can be seen", name)
		}
	}
}

func TestScenarioFileSaysWhatItSays(t *testing.T) {
	s, err := ParseScenario([]byte(`
seed = 9
duration = "1m30s"
[radar]
carrier = "24.125GHz"
rate = "48kHz"
output = "real"
bits = 12
corner = "0Hz"
tones = []
gain_imbalance = "1.5dB"
[[lane]]
at = "-350cm"
direction = "receding"
[[lane]]
at = "4m"
direction = "approaching"
[[vehicle]]
class = "lorry"
speed = "88.5km/h"
passing = "12s"
reflection = "-3dB"
phases = [{ from = "-2s", until = "1s", acceleration = "-1.5m/s2" }]
changes = [{ from = "1s", over = "4s", lane = 2 }]
[[traffic]]
lane = 2
flow = "600/h"
speed = "90km/h"
spread = "5km/h"
shares = { bus = 1, car = 3 }
`))
	if err != nil {
		t.Fatal(err)
	}
	r := s.Radar
	if s.Seed != 9 || s.Duration != 90*time.Second || r.Carrier != 24_125_000_000 || r.Rate != 48_000 || !r.Real || r.Bits != 12 ||
		r.Corner >= 0 || r.Tones == nil || len(r.Tones) != 0 || r.Mains != nil || *r.Imbalance != (Imbalance{Gain: 1.5}) ||
		!slices.Equal(r.Lanes, []float64{-3.5, 4}) {
		t.Errorf("radar and road: %+v", s)
	}
	v := s.Vehicles[0]
	if v.Class != Lorry || v.Speed != 8850 || v.Direction != sensor.Receding || v.Lane != 1 || v.Passing != 12*time.Second || v.Reflection != -3 ||
		v.Phases[0] != (Phase{-2 * time.Second, time.Second, -1.5}) || v.Changes[0] != (Change{time.Second, 4 * time.Second, 2}) {
		t.Errorf("vehicle: %+v", v)
	}
	f := s.Flows[0]
	if f.Lane != 2 || f.Direction != sensor.Approaching || f.PerHour != 600 || f.Speed != 9000 || !slices.Equal(f.Shares, []Share{{Car, 3}, {Bus, 1}}) {
		t.Errorf("traffic: %+v", f)
	}
}

func TestScenarioFileIsRefused(t *testing.T) {
	const car = "[[vehicle]]\nspeed = \"70km/h\"\npassing = \"4s\"\n"
	tests := []struct{ name, text, want string }{
		{"unknown key at the top", "duration = \"8s\"\nspeed = \"3km/h\"\n", "unknown key speed"},
		{"unknown key in a section", "duration = \"8s\"\n[radar]\nhight = \"3m\"\n", "unknown key radar.hight"},
		{"unknown key of a vehicle", "duration = \"8s\"\n" + car + "colour = \"red\"\n", "unknown key vehicle.colour"},
		{"unknown key of a phase", "duration = \"8s\"\n" + car + "phases = [{ form = \"3s\" }]\n", "unknown key vehicle.phases.form"},
		{"no unit", "duration = \"8s\"\n[radar]\nheight = \"3\"\n", `length "3": want a decimal number with its unit, such as 3.5m`},
		{"a number without quotes", "duration = \"8s\"\n[radar]\nheight = 3\n", `length "3": want`},
		{"wrong unit", "duration = \"8s\"\n[radar]\ncarrier = \"24m\"\n", `frequency "24m": want`},
		{"not a number", "duration = \"8s\"\n[radar]\ngain = \"NaNdB\"\n", `level "NaNdB": want`},
		{"hexadecimal", "duration = \"8s\"\n[radar]\ngain = \"0x10dB\"\n", `level "0x10dB": want`},
		{"zero where 0 would mean the usual", "duration = \"8s\"\n[radar]\nheight = \"0m\"\n", "height 0: want more than 0"},
		{"no duration", car, "duration 0s: want more than nothing"},
		{"no passing", "duration = \"8s\"\n[[vehicle]]\nspeed = \"70km/h\"\n", "vehicle 1: no key passing"},
		{"no speed", "duration = \"8s\"\n[[vehicle]]\npassing = \"7s\"\n", "vehicle 1: speed 0.00 km/h: want 1.00 km/h to 400.00 km/h"},
		{"a lane that is not there", "duration = \"8s\"\n" + car + "lane = 3\ndirection = \"receding\"\n", "vehicle 1: lane 3: want 1 to 2"},
		{"too fast", "duration = \"8s\"\n[[vehicle]]\nspeed = \"401km/h\"\npassing = \"4s\"\n", "vehicle 1: speed 401.00 km/h: want"},
		{"brakes to a stop", "duration = \"8s\"\n" + car + "phases = [{ from = \"0s\", until = \"5s\", acceleration = \"-5m/s2\" }]\n", "vehicle 1: -20.0 km/h at 5.00 s"},
		{"two phases at once", "duration = \"8s\"\n" + car + "phases = [{ from = \"0s\", until = \"2s\", acceleration = \"1m/s2\" }, { from = \"1s\", until = \"3s\", acceleration = \"1m/s2\" }]\n", "vehicle 1: two phases of acceleration at 1s"},
		{"unknown class", "duration = \"8s\"\n" + car + "class = \"tank\"\n", `class "tank": want car, van`},
		{"unknown share", "duration = \"8s\"\n[[traffic]]\nspeed = \"70km/h\"\nflow = \"9/h\"\nshares = { tank = 1 }\n", `class "tank": want car, van`},
		{"more than the gaps leave room for", "duration = \"8s\"\n[[traffic]]\nspeed = \"70km/h\"\nflow = \"9000/h\"\n", "traffic 1: 9000 vehicles an hour"},
		{"no TOML", "duration = 8s", "line 1: "},
		{"nine lanes", "duration = \"8s\"\n" + strings.Repeat("[[lane]]\nat = \"4m\"\n", 9), "9 lanes: want 1 to 8"},
	}
	for _, test := range tests {
		_, err := ParseScenario([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %q", test.name, err)
		}
	}
}

// FuzzScenario finds that what the parser accepts is a road that can be driven.
func FuzzScenario(f *testing.F) {
	for _, name := range Scenarios() {
		text, err := ScenarioFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScenario(text)
		if err != nil || s.Duration > time.Minute {
			return
		}
		s.Duration = min(s.Duration, 300*time.Millisecond)
		for _, flow := range s.Flows {
			if flow.PerHour > 1e6 {
				return
			}
		}
		r, err := NewRoad(s)
		if err != nil {
			if len(s.Flows) == 0 {
				t.Fatalf("the parser accepts what is no road: %v", err)
			}
			return // its times lie beyond the shorter road
		}
		stream := r.Unpaced(0)
		for {
			if _, err := stream.Next(t.Context()); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range s.Contacts {
			if _, err := r.Edges(c); err != nil {
				t.Fatal(err)
			}
		}
		cycles := r.Cycles(s.Readings)
		for {
			if _, err := cycles.Next(t.Context()); err != nil {
				break
			}
		}
	})
}
