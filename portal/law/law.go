// Package law is what the Codice della strada (D.Lgs. 30 April 1992 no. 285) says about
// a violation of a speed limit: sanction, reductions, terms, points, who is liable.
//
// It is pure: facts in, answers out, no clock, no files but the table it is built with,
// and every function may be called at the same time from anywhere. What changes with
// time stands in the rows of italy.toml, each with its days in force and its source. A
// date without a row gets no answer, an [Error] says so by code.
//
// Amounts are whole cents. Days are civil days in Italy ([evidence.SiteTime]); an instant
// is turned into its day there, and a day ends at the last second before midnight there.
package law

import (
	_ "embed"
	"fmt"
	"sync"
)

//go:embed italy.toml
var italy string

// Italy returns the law of this program.
var Italy = sync.OnceValues(func() (*Law, error) { return Parse(italy) })

// Cents are euro cents.
type Cents int64

// String prints euro with a point: 230.67.
func (c Cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// share returns c × of / by, rounded to the cent, halves up. c is not negative.
func share(c Cents, of, by int64) Cents {
	return Cents((int64(c)*of*2 + by) / (by * 2))
}

// An Error says by code what cannot be said, and about what in English. Codes are
// listed in docs/law.md.
type Error struct{ Code, About string }

func (e *Error) Error() string {
	if e.About == "" {
		return e.Code
	}
	return e.Code + ": " + e.About
}

func no(code, format string, a ...any) error {
	return &Error{Code: code, About: fmt.Sprintf(format, a...)}
}
