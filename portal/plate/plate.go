// Package plate reads registration plates as people type them, and names the national
// formats that a plate fits.
//
// A [Plate] is a personal datum: fmt, slog and JSON show nothing of it, and the one way to
// its characters is [Plate.Reveal]. Typing is forgiven what cannot be seen on a plate
// (spaces, dashes, case, full width). What can be mistaken, 0 for O and 1 for I, is never
// corrected: [Confusions] names it to who types, [Plate.Same] forgives it to who searches.
//
// Everything here is pure and may be called at the same time from anywhere.
package plate

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unique"
)

// MaxLength is the most characters of a plate.
const MaxLength = 14

// marked are the letters with a mark that plates of Germany and Croatia have: BÖ is another
// town than BO.
const marked = "ÄÖÜČĆĐŠŽ"

// A Plate is the characters of a registration plate, A to Z, 0 to 9 and those letters with a
// mark that some countries use, alone. Plates are compared with ==. The zero Plate is none.
type Plate struct{ v unique.Handle[string] }

// hidden is what is shown in place of a plate.
const hidden = "[plate]"

// Reveal returns the characters; empty for the zero Plate.
func (p Plate) Reveal() string {
	if p.Zero() {
		return ""
	}
	return p.v.Value()
}

// Zero reports whether p is no plate.
func (p Plate) Zero() bool { return p == Plate{} }

// String shows nothing.
func (Plate) String() string { return hidden }

// Format shows nothing, whatever the verb.
func (Plate) Format(s fmt.State, _ rune) { fmt.Fprint(s, hidden) }

// LogValue shows nothing.
func (Plate) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText shows nothing.
func (Plate) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// An Error says by code why what was typed is no plate: plate.empty, plate.character,
// plate.length. It holds nothing of what was typed.
type Error struct{ Code string }

func (e *Error) Error() string { return e.Code }

// Parse reads what was typed. The error is an [*Error].
func Parse(typed string) (Plate, error) {
	var text []rune
	for _, r := range typed {
		r = narrow(unicode.ToUpper(r))
		if n := len(text); n > 0 && composed[[2]rune{text[n-1], r}] != 0 {
			text[n-1] = composed[[2]rune{text[n-1], r}]
			continue
		}
		switch {
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(marked, r):
			text = append(text, r)
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r), r == '.', r == '·', r == '*':
		default:
			return Plate{}, &Error{"plate.character"}
		}
	}
	switch {
	case len(text) == 0:
		return Plate{}, &Error{"plate.empty"}
	case len(text) > MaxLength:
		return Plate{}, &Error{"plate.length"}
	}
	return Plate{unique.Make(string(text))}, nil
}

// composed are the marked letters that some systems spell as a letter and a mark.
var composed = map[[2]rune]rune{
	{'A', 0x308}: 'Ä', {'O', 0x308}: 'Ö', {'U', 0x308}: 'Ü',
	{'C', 0x30c}: 'Č', {'C', 0x301}: 'Ć', {'S', 0x30c}: 'Š', {'Z', 0x30c}: 'Ž',
}

// narrow returns the plain form of a full-width letter or digit.
func narrow(r rune) rune {
	if r >= '！' && r <= '～' {
		return r - '！' + '!'
	}
	return r
}

// lookalikes are the characters that a plate's type shows alike.
var lookalikes = strings.NewReplacer("O", "0", "I", "1")

// Same reports whether p and o may be one plate as people read it: 0 and O, 1 and I count
// as the same.
func (p Plate) Same(o Plate) bool {
	return lookalikes.Replace(p.Reveal()) == lookalikes.Replace(o.Reveal())
}

// A Confusion is a character that is perhaps another.
type Confusion struct {
	At      int // in the plate, from 0
	Perhaps byte
}

// Confusions returns the fewest exchanges of 0 and O, 1 and I that make a plate fit a
// format of its country: none when it fits one already, or none would. Where several do
// with as few, those of the first format count.
func Confusions(country string, p Plate) []Confusion {
	if len(Formats(country, p)) > 0 {
		return nil
	}
	text := []byte(p.Reveal())
	var at []int
	for i, c := range text {
		if strings.IndexByte("0O1I", c) >= 0 {
			at = append(at, i)
		}
	}
	var best []Confusion
	for set := 1; set < 1<<len(at); set++ {
		var swaps []Confusion
		tried := append([]byte(nil), text...)
		for bit, i := range at {
			if set>>bit&1 == 1 {
				tried[i] = other(text[i])
				swaps = append(swaps, Confusion{i, tried[i]})
			}
		}
		if (best == nil || len(swaps) < len(best)) && len(formatsOf(country, string(tried))) > 0 {
			best = swaps
		}
	}
	return best
}

func other(c byte) byte {
	switch c {
	case '0':
		return 'O'
	case 'O':
		return '0'
	case '1':
		return 'I'
	}
	return '1'
}
