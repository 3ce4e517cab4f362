package agd_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/agd"
)

// The message of the package comment.
const example = "\x0204,01234.56,07,A,063.4,K,042.5,-03.2,180.0,P,071.5*7F\x03"

func TestWorkedExample(t *testing.T) {
	m, err := agd.Parse([]byte(example), agd.CRC8)
	want := agd.Message{
		Kind: agd.Target, Time: 123456, Track: 7, Direction: sensor.Approaching, Speed: 6340, Range: 42500, Angle: -320,
		Bearing: 18000, Level: 715,
	}
	if err != nil || m != want {
		t.Errorf("%+v, %v", m, err)
	}
}

// The check sums below are computed by hand, or by a program that is not ours.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		check   agd.Check
		want    string // in the error; "" when the message is good
	}{
		"exclusive or":              {"\x0204,01234.56,07,A,063.4,K,042.5,-03.2,180.0,P,071.5*7A\x03", agd.XOR, ""},
		"small letters in the sum":  {"\x0204,01234.56,07,A,063.4,K,042.5,-03.2,180.0,P,071.5*7f\x03", agd.CRC8, ""},
		"the other kind of sum":     {example, agd.XOR, "check sum"},
		"one digit of speed other":  {strings.Replace(example, "063.4", "163.4", 1), agd.CRC8, "check sum"},
		"no end":                    {example[:len(example)-1], agd.CRC8, "no message"},
		"only its ends":             {"\x02\x03", agd.CRC8, "no message"},
		"empty text":                {"\x02*00\x03", agd.XOR, "no message"},
		"heartbeat with its time":   {"\x02HB,00012.34*3C\x03", agd.XOR, ""},
		"heartbeat with its frame":  {"\x02HB,00001332*25\x03", agd.XOR, ""},
		"an event of the AGD 342":   {"\x02ES,00001332*39\x03", agd.XOR, "unknown type"},
		"a target without its ends": {"\x0204,1*19\x03", agd.XOR, "unknown type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := agd.Parse([]byte(c.message), c.check)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// xorMessage is a message with the simpler check sum.
func xorMessage(text string) string {
	sum := byte(0)
	for _, c := range []byte(text) {
		sum ^= c
	}
	const digits = "0123456789ABCDEF"
	return "\x02" + text + "*" + string(digits[sum>>4]) + string(digits[sum&15]) + "\x03"
}

func TestFieldsAreOfTheirForm(t *testing.T) {
	const good = "04,01234.56,07,A,063.4,K,042.5,-03.2,180.0,P,071.5"
	for name, c := range map[string]struct {
		from, to string
		good     bool
	}{
		"as it is":                 {"", "", true},
		"receding":                 {",A,", ",R,", true},
		"simulated":                {",A,", ",X,", true},
		"simulated, receding":      {",A,", ",Y,", true},
		"one digit of track":       {",07,", ",7,", true},
		"positive angle":           {"-03.2", "+03.2", true},
		"no way":                   {",A,", ",B,", false},
		"no sign":                  {"-03.2", "003.2", false},
		"sign of a speed":          {"063.4", "-63.4", false},
		"a space for a digit":      {"063.4", " 63.4", false},
		"more digits":              {"063.4", "0063.4", false},
		"a comma for the point":    {"063.4", "063,4", false},
		"hexadecimal":              {"063.4", "0x3.4", false},
		"knots":                    {",K,", ",N,", false},
		"Cartesian":                {",P,", ",C,", false},
		"more than a day":          {"01234.56", "86400.01", false},
		"the end of a day":         {"01234.56", "86400.00", true},
		"beyond the circle":        {"180.0", "360.0", false},
		"three digits of track":    {",07,", ",007,", false},
		"no track":                 {",07,", ",,", false},
		"a digit of another world": {"063.4", "06٣.4", false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := agd.Parse([]byte(xorMessage(strings.Replace(good, c.from, c.to, 1))), agd.XOR)
			if (err == nil) != c.good {
				t.Errorf("%+v, %v", m, err)
			}
			if c.good && m.Simulated != strings.Contains("XY", c.to[min(1, len(c.to)):min(2, len(c.to))]) && strings.HasPrefix(c.to, ",") {
				t.Errorf("simulated: %t", m.Simulated)
			}
		})
	}
	if _, err := agd.Parse([]byte(xorMessage(strings.Replace(good, ",K,", ",M,", 1))), agd.XOR); !errors.Is(err, agd.ErrMPH) {
		t.Errorf("mph: %v", err)
	}
}

// cycles reads a playback to its end.
func cycles(t *testing.T, p *agd.Playback) (all []sensor.Cycle, err error) {
	t.Helper()
	for {
		c, err := p.Next(t.Context())
		if err != nil {
			if _, again := p.Next(t.Context()); again == nil {
				t.Error("a cycle after the end")
			}
			return all, err
		}
		c.Readings = append([]sensor.Reading(nil), c.Readings...)
		for k := range c.Readings {
			c.Readings[k].Raw = bytes.Clone(c.Readings[k].Raw)
		}
		all = append(all, c)
	}
}

func TestPlaybackOfTheRecordedBytes(t *testing.T) {
	data, err := os.ReadFile("testdata/agd350.bin")
	if err != nil {
		t.Fatal(err)
	}
	p := agd.NewPlayback(bytes.NewReader(data), agd.CRC8)
	all, err := cycles(t, p)
	if err != io.EOF {
		t.Fatal(err)
	}
	type seen struct {
		at      time.Duration
		targets string
		lost    bool
	}
	got := []seen{}
	for _, c := range all {
		s := seen{at: time.Duration(c.At), lost: c.Lost}
		for k := range c.Readings {
			r := &c.Readings[k]
			s.targets += string(rune('0' + r.Target))
			if r.Has(sensor.FlagSimulated) {
				s.targets += "!"
			}
			if !r.Has(sensor.FlagRange|sensor.FlagAngle) || r.At != c.At || r.Raw[0] != 2 {
				t.Errorf("reading %+v", r)
			}
		}
		got = append(got, s)
	}
	want := []seen{
		{0, "12", false},                      // two targets of one time
		{50 * time.Millisecond, "1", false},   // midnight between them
		{100 * time.Millisecond, "1", true},   // a message whose sum is wrong before it
		{400 * time.Millisecond, "", false},   // silence for more than 0.3 s
		{1100 * time.Millisecond, "3!", true}, // after garbage and a heartbeat
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("cycle %d: %+v, want %+v", k, got[k], want[k])
		}
	}
	if c := p.Tally(); c.Used != 5 || c.Broken != 3 || c.Unused != 3 || c.Bytes == 0 {
		t.Errorf("%+v", c)
	}
}

func TestPlaybackGoesOnWhereTheRadarBeganAnew(t *testing.T) {
	target := func(time string) string {
		return xorMessage("04," + time + ",07,A,063.4,K,042.5,-03.2,180.0,P,071.5")
	}
	for _, row := range []struct {
		name, before, behind string
		anew                 bool
		at                   time.Duration
	}{
		{"nobody knows when", "00512.30", "00003.10", true, 600 * time.Millisecond},
		{"in the afternoon", "60000.00", "00003.10", true, 26403100 * time.Millisecond},
		{"a day has ended", "86399.90", "00000.10", false, 200 * time.Millisecond},
	} {
		all, err := cycles(t, agd.NewPlayback(strings.NewReader(target(row.before)+target(row.behind)), agd.XOR))
		last := all[len(all)-1]
		if err != io.EOF || last.Anew != row.anew || last.At != sensor.Mono(row.at) || len(last.Readings) != 1 {
			t.Errorf("%s: %+v, %v", row.name, all, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example), false)
	f.Add([]byte("\x02HB,00001332*25\x03"), true)
	f.Fuzz(func(t *testing.T, b []byte, xor bool) {
		check := agd.CRC8
		if xor {
			check = agd.XOR
		}
		m, err := agd.Parse(b, check)
		if err == nil && (m.Speed < 0 || m.Speed > 1000*sensor.KmH || m.Range < 0 || m.Track < 0 || m.Track > 99) {
			t.Errorf("%q: %+v", b, m)
		}
		// A stream of anything gives cycles in order of their instants, and a
		// message behind it is found unless an error came first.
		p := agd.NewPlayback(io.MultiReader(bytes.NewReader(b), strings.NewReader("\r\x03"+example)), agd.CRC8)
		last, found := sensor.Mono(0), false
		for {
			c, err := p.Next(t.Context())
			if err != nil {
				if err == io.EOF && !found && len(b) < 64 {
					t.Errorf("%q hid the message behind it", b)
				}
				return
			}
			if c.At < last {
				t.Errorf("instants %d, %d", last, c.At)
			}
			last = c.At
			for _, r := range c.Readings {
				found = found || string(r.Raw) == example
			}
		}
	})
}
