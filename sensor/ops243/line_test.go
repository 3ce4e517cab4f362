package ops243

import (
	"bytes"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/sensortest/recording"
)

func TestParseLine(t *testing.T) {
	for _, row := range []struct {
		name string
		line string
		want Line
	}{
		{"empty: nothing is seen", "\r\n", Line{Kind: Blank}},
		{"a comma, of BC", ",\r\n", Line{Kind: Blank}},
		{"recorded: time, magnitude, speed", "3689529.139,27.34419,-3.45624\n", Line{
			Kind: Speeds, Plain: true, Timed: true, Uptime: 3689529139 * time.Millisecond,
			Speeds: []float64{-3.45624}, Magnitudes: []float64{27.34419},
		}},
		{"speed alone, as the sensor starts", "3.6\n", Line{Kind: Speeds, Plain: true, Speeds: []float64{3.6}}},
		{"with its unit", `"mph",40.5`, Line{Kind: Speeds, Plain: true, Unit: "mph", Speeds: []float64{40.5}}},
		{"a range of the FMCW half", `"m",2.1`, Line{Kind: Range, Plain: true, Unit: "m"}},
		{"JSON with numbers in quotes", `{"unit":"mps","time":"105.031","magnitude":"212.5","speed":"17.4"}`, Line{
			Kind: Speeds, Timed: true, Uptime: 105031 * time.Millisecond, Unit: "mps",
			Speeds: []float64{17.4}, Magnitudes: []float64{212.5},
		}},
		{"JSON with bare numbers", `{"time":105,"magnitude":212.5,"speed":-17.4}`, Line{
			Kind: Speeds, Timed: true, Uptime: 105 * time.Second, Speeds: []float64{-17.4}, Magnitudes: []float64{212.5},
		}},
		{"several objects", `{"magnitude":["98.2","31.0"],"speed":["-20.1","17.35"]}`, Line{
			Kind: Speeds, Speeds: []float64{-20.1, 17.35}, Magnitudes: []float64{98.2, 31},
		}},
		{"direction beside an unsigned speed", `{"speed":0.58,"direction":"outbound","time":105,"tick":135}`, Line{
			Kind: Speeds, Timed: true, Uptime: 105 * time.Second, Speeds: []float64{-0.58},
		}},
		{"direction beside a signed one", `{"speed":"-0.58","direction":"outbound"}`, Line{Kind: Speeds, Speeds: []float64{-0.58}}},
		{"a range in JSON", `{"unit":"m","range":"7.6"}`, Line{Kind: Range}},
		{"samples", `{"I":[2047, 0,4095]}`, Line{Kind: I, Samples: []int{2047, 0, 4095}}},
		{"in quadrature", `{"Q":[1]}`, Line{Kind: Q, Samples: []int{1}}},
		{"a reply", `{"SamplingRate":10000, "resolution":0.0607}`, Line{
			Kind: Reply, Values: map[string]string{"SamplingRate": "10000", "resolution": "0.0607"},
		}},
	} {
		got, err := ParseLine([]byte(row.line))
		if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", row.name, got, err, row.want)
		}
	}
}

func TestParseLineRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"half a report in JSON":              `{"unit":"mps","time":"105.0`,
		"the other half":                     `31","speed":"17.4"}`,
		"two reports without a line between": `{"speed":"1"}{"speed":"2"}`,
		"an alert with a stray quote":        `{"Alert" : "speed above " limit}`,
		"two fields: time or magnitude?":     "27.34419,-3.45624",
		"four fields":                        "1,2,3,4",
		"a negative magnitude":               "1,-2,3",
		"a name for a number":                `{"speed":"NaN"}`,
		"an exponent":                        "1,2,1e3",
		"faster than sound":                  `{"speed":"340"}`,
		"a unit that it does not have":       `{"unit":"knots","speed":"17"}`,
		"inbound with a minus":               `{"speed":"-17","direction":"inbound"}`,
		"a third direction":                  `{"speed":"17","direction":"left"}`,
		"magnitudes for other speeds":        `{"speed":["1","2"],"magnitude":["1"]}`,
		"no speeds":                          `{"speed":[]}`,
		"more objects than it reports":       `{"speed":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}`,
		"a list in a list":                   `{"speed":[[1]]}`,
		"a time with a sign":                 "-1,2,3",
		"a time with ten decimals":           "1.0123456789,2,3",
		"samples beyond 12 bits":             `{"I":[4096]}`,
		"samples that are no numbers":        `{"I":["a"]}`,
		"too many samples":                   `{"I":[1` + strings.Repeat(",1", 1024) + `]}`,
		"noise":                              "\xff\x00\x81{",
		"a line without end":                 strings.Repeat("x", maxLine+1),
	} {
		if l, err := ParseLine([]byte(line)); err == nil {
			t.Errorf("%s: accepted as %+v", name, l)
		}
	}
}

func TestLinesOfTheDocuments(t *testing.T) {
	text, err := os.ReadFile("testdata/manual.txt")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]string{Blank: "blank", Speeds: "speeds", Range: "range", I: "i", Q: "q", Object: "object", Reply: "reply"}
	for entry := range strings.Lines(string(text)) {
		want, line, ok := strings.Cut(entry, "\t")
		if !ok {
			continue
		}
		got := "refused"
		if l, err := ParseLine([]byte(line)); err == nil {
			got = kinds[l.Kind]
		}
		if got != want {
			t.Errorf("%s is %s, want %s", strings.TrimSpace(line), got, want)
		}
	}
}

func TestSpeedsAreRoundedDownAndDirectionsTheMakers(t *testing.T) {
	for _, row := range []struct {
		name string
		line string
		want sensor.Speed
		dir  sensor.Direction
	}{
		{"recorded: 3.45624 m/s is 12.442464 km/h", "3689529.139,27.34419,-3.45624", 1244, sensor.Receding},
		{"63.05 km/h is not 63.04", `"kmph",63.05`, 6305, sensor.Approaching},
		{"27.777 m/s is 99.9972 km/h", "27.777", 9999, sensor.Approaching},
		{"40 mph is 64.37376 km/h", `"mph",40`, 6437, sensor.Approaching},
		{"100 ft/s is 109.728 km/h", `"fps",-100`, 10972, sensor.Receding},
		{"1,000 cm/s is 36 km/h", `"cmps",1000`, 3600, sensor.Approaching},
		{"nothing moves", "0.00", 0, sensor.DirectionUnknown},
	} {
		l, err := ParseLine([]byte(row.line))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if got, dir := l.speed(0); got != row.want || dir != row.dir {
			t.Errorf("%s: %v %v, want %v %v", row.name, got, dir, row.want, row.dir)
		}
	}
	l, err := ParseLine([]byte("1,27.34419,2"))
	if err != nil || l.level(0) != 287 {
		t.Errorf("level %d, %v, want 28.7 dB", l.level(0), err)
	}
}

func TestRecordedLines(t *testing.T) {
	p := NewPlayback(open(t, "serial/ops243a_uptime_magnitude_speed.csv"), PlaybackOptions{})
	cycles := play(t, p)
	if len(cycles) != 9 {
		t.Fatalf("%d cycles, want 9", len(cycles))
	}
	first, last := cycles[0], cycles[8]
	if first.At != sensor.Mono(3689529139*time.Millisecond) || last.At.Sub(first.At) != 1584*time.Millisecond {
		t.Errorf("from %v to %v, want the sensor's own time over 1.584 s", first.At, last.At)
	}
	for n, want := range []sensor.Speed{1244, 829, 1244, 1244, 1036, 898, 1105, 967, 967} {
		r := cycles[n].Readings
		if len(r) != 1 || r[0].Speed != want || r[0].Direction != sensor.Receding || cycles[n].Lost {
			t.Errorf("line %d: %+v, want %v receding", n+1, cycles[n], want)
		}
	}
	if first.Readings[0].Level != 287 {
		t.Errorf("level %d, want 287", first.Readings[0].Level)
	}

	// The sensor's own summary states a maximum: it is read, and no reading.
	p = NewPlayback(open(t, "serial/ops243a_object.jsonl"), PlaybackOptions{})
	if cycles := play(t, p); len(cycles) != 0 {
		t.Errorf("an object report gave %+v", cycles)
	}
	if c := p.Tally(); c.Unused != 1 || c.Broken != 0 {
		t.Errorf("%+v, want one line that is no report", c)
	}
}

func open(t testing.TB, name string) *bytes.Reader {
	t.Helper()
	b, err := os.ReadFile(recording.Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

// play returns the cycles of a recording; their readings are copied.
func play(t testing.TB, f sensor.Feed) (cycles []sensor.Cycle) {
	t.Helper()
	for {
		c, err := f.Next(t.Context())
		if err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			return cycles
		}
		c.Readings = append([]sensor.Reading(nil), c.Readings...)
		cycles = append(cycles, c)
	}
}

func TestPlaybackKeepsToTheFormOfItsFirstReport(t *testing.T) {
	const recorded = "10.0,20,5.5\n3.45\n" + `{"unit":"mps","ti` + "\n11.0,20,5.6\nnoise\n"
	p := NewPlayback(strings.NewReader(recorded), PlaybackOptions{})
	cycles := play(t, p)
	if len(cycles) != 2 || cycles[0].Lost || !cycles[1].Lost {
		t.Fatalf("%+v, want two cycles, the second behind a loss", cycles)
	}
	if c := p.Tally(); c.Used != 2 || c.Broken != 3 {
		t.Errorf("%+v", c)
	}
}

func TestPlaybackOfASensorThatStartedAnew(t *testing.T) {
	const banner = `{"Product":"OPS243"}` + "\n" + `{"Version":"1.3.1"}` + "\n"
	for _, row := range []struct {
		name, lines string
		at          []time.Duration // of the cycles
		anew        int             // the one behind the start, from 1; 0 for none
		broken      int64
	}{
		{"its time goes back and goes on", "10.0,20,5.5\n1.0,20,5.6\n1.1,20,5.7\n1.2,20,5.7\n", []time.Duration{10e9, 11.1e9, 11.2e9}, 2, 1},
		{"it says so", "10.0,20,5.5\n" + banner + "1.0,20,5.6\n1.1,20,5.7\n", []time.Duration{10e9, 11e9, 11.1e9}, 2, 0},
		{"it says so and was quiet for long", "10.0,20,5.5\n" + banner + "60.0,20,5.6\n", []time.Duration{10e9, 60e9}, 2, 0},
		{"one spoilt time", "10.0,20,5.5\n1.1,20,5.6\n10.2,20,5.7\n", []time.Duration{10e9, 10.2e9}, 0, 1},
		{"twice", "10.0,20,5.5\n1.0,20,5\n" + banner + "0.5,20,5\n0.1,20,5\n0.2,20,5\n", []time.Duration{10e9, 10.5e9, 10.7e9}, 2, 2},
		{"a time that no clock reaches", "8589934591.0,20,5.5\n" + banner + "8589934590.0,20,5.5\n", []time.Duration{8589934591e9}, 0, 1},
		{"without times", "5.5\n" + banner + "5.6\n", []time.Duration{0, 100e6}, 2, 0},
	} {
		p := NewPlayback(strings.NewReader(row.lines), PlaybackOptions{})
		var at []time.Duration
		for n, c := range play(t, p) {
			if at = append(at, time.Duration(c.At)); n+1 == row.anew && !c.Anew || c.Anew && n == 0 {
				t.Errorf("%s: %+v", row.name, c)
			}
		}
		if !slices.Equal(at, row.at) || p.Tally().Broken != row.broken {
			t.Errorf("%s: at %v, want %v; %+v", row.name, at, row.at, p.Tally())
		}
	}
}

func TestPlaybackTakesTheUnitThatTheSensorTells(t *testing.T) {
	p := NewPlayback(strings.NewReader(`{"Units":"km-per-hr"}`+"\n50\n"+`{"Units":"m"}`+"\n50\n"+`{"Units":"furlongs"}`+"\n50\n"), PlaybackOptions{})
	cycles := play(t, p)
	if len(cycles) != 2 || cycles[0].Readings[0].Speed != 5000 || cycles[1].Readings[0].Speed != 5000 || p.Tally().Broken != 1 {
		t.Errorf("%+v, %+v; want 50 km/h twice, and none of a unit that is not known", cycles, p.Tally())
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{
		"3689529.139,27.34419,-3.45624\r\n", `{"unit":"mps","time":"105.031","magnitude":["98.2","31.0"],"speed":["-20.1","17.35"]}`,
		`{"I":[2047,2101]}`, `"kmph",48,-1.3`, `{"classifier" : "object_outbound", "max_speed_mps" : 13.39}`, ",,", "{}",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ParseLine(line)
		if err == nil && l.Kind == Speeds {
			if len(l.Speeds) < 1 || len(l.Speeds) > maxTargets {
				t.Errorf("%d speeds", len(l.Speeds))
			}
			for n, v := range l.Speeds {
				s, d := l.speed(n)
				if math.IsNaN(v) || s < 0 || float64(s) > maxSpeed || (v > 0) != (d == sensor.Approaching) || (v < 0) != (d == sensor.Receding) {
					t.Errorf("%v is %v %v", v, s, d)
				}
				l.level(n)
			}
		}
		// Behind any garbage, ended as a line, a good report is found.
		stream := append(append(bytes.Clone(line), '\n'), "4294967295.9,20,5.5\n4294967295.9,20,5.5\n"...)
		p := NewPlayback(bytes.NewReader(stream), PlaybackOptions{})
		found := false
		for {
			c, err := p.Next(t.Context())
			if err != nil {
				break
			}
			found = len(c.Readings) == 1 && c.Readings[0].Speed == 1980
		}
		if !found && p.fields != 1 && p.unit == "" {
			t.Errorf("the report behind %q was not found", line)
		}
	})
}
