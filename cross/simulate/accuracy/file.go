package main

import (
	"fmt"
	"strconv"
	"strings"

	"ciglio/cross/simulate"
)

// AppendFile appends the scenario file of a road, which gives the same road
// when [simulate.ParseScenario] reads it.
func (r Road) AppendFile(b []byte) []byte {
	s := r.Scenario
	b = fmt.Appendf(b, "title = %q\nabout = %q\nseed = %d\nduration = %q\n\n[radar]\n", s.Title, s.About, s.Seed, s.Duration)
	unit := func(name string, v float64, unit string) {
		if v != 0 {
			b = fmt.Appendf(b, "%s = %q\n", name, decimal(v)+unit)
		}
	}
	unit("carrier", float64(s.Radar.Carrier), "Hz")
	unit("rate", float64(s.Radar.Rate), "Hz")
	if s.Radar.Real {
		b = append(b, "output = \"real\"\n"...)
	}
	unit("height", s.Radar.Height, "m")
	unit("angle", s.Radar.Angle, "deg")
	unit("tilt", s.Radar.Tilt, "deg")
	unit("beam_width", s.Radar.Beamwidth, "deg")
	unit("gain", s.Radar.Gain, "dB")
	unit("noise", s.Radar.Noise, "dB")
	if u := s.Radar.Imbalance; u != nil {
		b = fmt.Appendf(b, "gain_imbalance = \"%sdB\"\nphase_imbalance = \"%sdeg\"\n", decimal(u.Gain), decimal(u.Phase))
	}
	b = appendTones(b, "tones", s.Radar.Tones)
	b = appendTones(b, "mains", s.Radar.Mains)
	if s.Rain != nil {
		direction := "approaching"
		if s.Rain.Away {
			direction = "receding"
		}
		b = fmt.Appendf(b, "\n[rain]\nlevel = \"%sdB\"\nspeed = %q\nspread = %q\ndirection = %q\n",
			decimal(s.Rain.Level), text(s.Rain.Speed), text(s.Rain.Spread), direction)
	}
	if s.Plants != nil {
		b = fmt.Appendf(b, "\n[vegetation]\nlevel = \"%sdB\"\nspread = %q\n", decimal(s.Plants.Level), text(s.Plants.Spread))
	}
	for _, at := range s.Radar.Lanes {
		b = fmt.Appendf(b, "\n[[lane]]\nat = \"%sm\"\n", decimal(at))
	}
	for _, v := range s.Vehicles {
		b = appendVehicle(b, v)
	}
	for _, f := range s.Flows {
		var shares []string
		for _, part := range f.Shares {
			shares = append(shares, fmt.Sprintf("%s = %d", part.Class, part.Parts))
		}
		b = fmt.Appendf(b, "\n[[traffic]]\nlane = %d\ndirection = %q\nflow = \"%s/h\"\nspeed = %q\nspread = %q\nleast = %q\nshares = { %s }\n",
			f.Lane, f.Direction, decimal(f.PerHour), text(f.Speed), text(f.Spread), text(f.Least), strings.Join(shares, ", "))
	}
	return b
}

func appendTones(b []byte, name string, tones []simulate.Tone) []byte {
	if tones == nil {
		return b
	}
	b = append(b, name+" = [\n"...)
	for _, t := range tones {
		b = fmt.Appendf(b, "  { frequency = \"%sHz\", level = \"%sdB\" },\n", decimal(t.Hz), decimal(t.Level))
	}
	return append(b, "]\n"...)
}

func appendVehicle(b []byte, v simulate.Vehicle) []byte {
	b = fmt.Appendf(b, "\n[[vehicle]]\nclass = %q\nspeed = %q\ndirection = %q\nlane = %d\npassing = %q\n",
		v.Class, text(v.Speed), v.Direction, v.Lane, v.Passing)
	for i, p := range v.Phases {
		b = fmt.Appendf(b, "%s{ from = %q, until = %q, acceleration = \"%sm/s2\" }", opening("phases", i), p.From, p.Until, decimal(p.Acceleration))
	}
	b = closing(b, len(v.Phases))
	for i, c := range v.Changes {
		b = fmt.Appendf(b, "%s{ from = %q, over = %q, lane = %d }", opening("changes", i), c.From, c.Over, c.Lane)
	}
	return closing(b, len(v.Changes))
}

// opening is what stands before element i of a list.
func opening(name string, i int) string {
	if i == 0 {
		return name + " = ["
	}
	return ", "
}

func closing(b []byte, n int) []byte {
	if n > 0 {
		b = append(b, "]\n"...)
	}
	return b
}

// decimal spells a number so that it reads back as the same, without an
// exponent.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func text(v interface{ MarshalText() ([]byte, error) }) string {
	b, err := v.MarshalText()
	if err != nil {
		panic("accuracy: " + err.Error()) // every value can be spelled
	}
	return string(b)
}
