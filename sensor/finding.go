package sensor

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Finding is one thing that is wrong with a part of the device, as a look at it
// found it. While one stands, nothing is recorded.
type Finding struct {
	Code  string // of the kind, lower case: a record is made when the set of codes changes
	About string // what the facts are told of, in English; "" where they say it. Catalogues have it under the code
	Facts []Fact // in the order in which they are told
}

// A Fact is one sentence of a finding: a key, under which catalogues have it in the
// reader's language, and its arguments. Terminal, log and record tell it in English:
// [Fact.String] makes both from the same arguments.
type Fact struct {
	Key   string // "" where a program or a part speaks for itself: [Told]
	Words string // in English; {name} stands for an argument, {name:bare} for one without its unit
	Args  Args
}

// Args are the arguments of a fact by name. Each is a string, a [Term], an int, a
// time.Duration, a [Speed], a [Direction] or a [Figure].
type Args map[string]any

// A Term is a word that catalogues may translate: what a switch or gauge is called.
type Term string

// Told returns the facts of what a program or a part says of itself: an error, in the
// words that it has.
func Told(words string) []Fact { return []Fact{{Words: words}} }

// String tells the fact in English.
func (f Fact) String() string {
	if f.Args == nil {
		return f.Words
	}
	var b strings.Builder
	for rest := f.Words; ; {
		before, inside, _ := strings.Cut(rest, "{")
		name, after, closed := strings.Cut(inside, "}")
		if !closed {
			return b.String() + rest
		}
		b.WriteString(before)
		name, bare := strings.CutSuffix(name, ":bare")
		switch v := f.Args[name].(type) {
		case nil:
			b.WriteString("{" + name + "}") // which a test excludes
		case Figure:
			b.WriteString(v.number())
			if !bare {
				b.WriteString(v.Unit.english())
			}
		default:
			fmt.Fprint(&b, v)
		}
		rest = after
	}
}

// Words tells the finding in English, in one line.
func (f Finding) Words() string {
	words := make([]string, len(f.Facts))
	for i, fact := range f.Facts {
		words[i] = fact.String()
	}
	all := strings.Join(words, ", ")
	switch {
	case f.About == "":
		return all
	case all == "":
		return f.About
	}
	return f.About + ": " + all
}

// String is the code and the words.
func (f Finding) String() string { return f.Code + ": " + f.Words() }

// A Unit is that of a figure.
type Unit uint8

// The units of figures.
const (
	Ratio Unit = iota // of a whole, or of full scale: 0 to 1
	Percent
	Decibels
	FullScale // decibels of full scale
	Degrees   // of an angle
	Metres
	Milliseconds
	Seconds
	PerSecond
	Pixels
	Volts
	Millivolts
	Celsius
)

// Sign returns the sign of the unit as people of every language read it behind a
// number, with the blank that belongs there; "" for a ratio.
func (u Unit) Sign() string {
	return [...]string{"", " %", " dB", " dBFS", "°", " m", " ms", " s", "/s", " px", " V", " mV", " °C"}[u]
}

// english is the sign in English sentences: there voltage and temperature are written as
// in the settings.
func (u Unit) english() string {
	switch u {
	case Volts:
		return "V"
	case Millivolts:
		return "mV"
	case Celsius:
		return "degC"
	}
	return u.Sign()
}

// A Figure is Value times ten to the power of -Decimals, in its unit. All its decimals
// are told.
type Figure struct {
	Value    int64
	Decimals int // 0 to 9
	Unit     Unit
	Plus     bool // what is not negative is told with a plus
}

// Of returns v in the unit, rounded to so many decimals, 0 to 9. What no int64 holds,
// and what is no number, becomes the largest or the least of them.
func (u Unit) Of(v float64, decimals int) Figure {
	f := Figure{Decimals: decimals, Unit: u}
	text := strconv.FormatFloat(v, 'f', decimals, 64) // rounds as decimals are written
	n, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	switch {
	case err == nil:
		f.Value = n
	case v < 0:
		f.Value = math.MinInt64
	default:
		f.Value = math.MaxInt64
	}
	return f
}

// Difference returns v as [Unit.Of], told with its sign.
func (u Unit) Difference(v float64, decimals int) Figure {
	f := u.Of(v, decimals)
	f.Plus = true
	return f
}

// Thousandths returns n thousandths of the unit without decimals that are zero; what is
// no whole number of volts in millivolts, as settings are written.
func (u Unit) Thousandths(n int64) Figure {
	if u == Volts && n%1000 != 0 {
		return Figure{Value: n, Unit: Millivolts}
	}
	f := Figure{Value: n, Decimals: 3, Unit: u}
	for f.Decimals > 0 && f.Value%10 == 0 {
		f.Value, f.Decimals = f.Value/10, f.Decimals-1
	}
	return f
}

// number is the figure without its unit, as it is written in English.
func (f Figure) number() string {
	digits, sign := strconv.FormatInt(f.Value, 10), ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		digits, sign = rest, "-"
	} else if f.Plus {
		sign = "+"
	}
	if f.Decimals <= 0 {
		return sign + digits
	}
	if missing := f.Decimals + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	at := len(digits) - f.Decimals
	return sign + digits[:at] + "." + digits[at:]
}

// String is the figure with its unit, as it is written in English.
func (f Figure) String() string { return f.number() + f.Unit.english() }
