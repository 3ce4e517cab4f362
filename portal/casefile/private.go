package casefile

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"reflect"

	"ciglio/capture/evidence"
	"ciglio/portal/plate"
)

// A Mark says of what kind a field of a body is. Erasure goes by marks.
type Mark string

// The marks. Fields of the first two are commitments.
const (
	MarkPerson Mark = "person"
	MarkPlate  Mark = "plate"
	MarkMoney  Mark = "money"
	MarkPlain  Mark = "plain"
)

// A Commitment stands in an act for a personal value: SHA-256 of the mark, a salt of 32
// random bytes, and the value. Without the salt nobody can try values against it. The zero
// Commitment is of no value.
type Commitment [32]byte

// Zero reports whether there is no value.
func (c Commitment) Zero() bool { return c == Commitment{} }

// A Private is a personal value with what commits to it. It is kept beside the acts, where
// it can be erased. Nothing prints its value.
type Private struct {
	Mark  Mark
	Salt  [32]byte
	Value string
}

// Seal gives a value a salt of its own.
func Seal(mark Mark, value string) Private {
	p := Private{Mark: mark, Value: value}
	rand.Read(p.Salt[:])
	return p
}

// SealPlate seals a plate.
func SealPlate(p plate.Plate) Private { return Seal(MarkPlate, p.Reveal()) }

// Again returns another value under the same salt: its commitment is equal exactly when the
// value is. So two readings of one plate are compared, also after both are erased.
func (p Private) Again(value string) Private {
	p.Value = value
	return p
}

// Commitment returns what stands for the value in an act.
func (p Private) Commitment() (c Commitment) {
	h := sha256.New()
	fmt.Fprintf(h, "ciglio private v1\x00%s\x00", p.Mark)
	h.Write(p.Salt[:])
	h.Write([]byte(p.Value))
	h.Sum(c[:0])
	return c
}

// Commitments returns those that stand in a body, with their marks.
func Commitments(b Body) map[Commitment]Mark {
	all := make(map[Commitment]Mark)
	gather(reflect.ValueOf(b).Elem(), "", all)
	return all
}

func gather(v reflect.Value, mark Mark, all map[Commitment]Mark) {
	switch {
	case v.Type() == reflect.TypeFor[Commitment]():
		if c := v.Interface().(Commitment); !c.Zero() {
			all[c] = mark
		}
	case v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[Case]().PkgPath():
		for i := range v.NumField() {
			gather(v.Field(i), Mark(v.Type().Field(i).Tag.Get("mark")), all)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			gather(v.Index(i), mark, all)
		}
	}
}

// String shows nothing.
func (p Private) String() string { return "[" + string(p.Mark) + "]" }

// Format shows nothing, whatever the verb.
func (p Private) Format(s fmt.State, _ rune) { fmt.Fprint(s, p.String()) }

// LogValue shows nothing.
func (p Private) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText shows nothing.
func (p Private) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// A Person is one whom a register names, as the value of a [Private]. What is not known is
// empty. Nothing prints it.
type Person struct {
	Name       string   `mark:"person"` // as written, given name first, or of the firm
	TaxCode    string   `mark:"person"` // as typed; no two persons are one by it alone
	Address    []string `mark:"person"` // lines, at most 8
	Country    string   `mark:"person"` // ISO 3166-1 in small letters
	PEC        string   `mark:"person"`
	Born       string   `mark:"person"` // as written
	Birthplace string   `mark:"person"`
	Licence    string   `mark:"person"`
}

func (p *Person) fields(m *evidence.Form) {
	m.OptionalText(1, "name", &p.Name, 256)
	m.OptionalText(2, "tax code", &p.TaxCode, 64)
	evidence.FormMaps(m, 3, "address", &p.Address, 0, 8, func(line *string, m *evidence.Form) { m.Text(1, "line", line, 1, 256) })
	m.OptionalText(4, "country", &p.Country, 2)
	m.OptionalText(5, "pec", &p.PEC, 256)
	m.OptionalText(6, "born", &p.Born, 64)
	m.OptionalText(7, "birthplace", &p.Birthplace, 256)
	m.OptionalText(8, "licence", &p.Licence, 64)
}

// Seal encodes and seals a person. The error says which field is too long or holds what is
// not seen.
func (p Person) Seal() (Private, error) {
	b, err := evidence.EncodeForm(p.fields)
	return Seal(MarkPerson, string(b)), err
}

// ParsePerson reads the value of a person that was sealed.
func ParsePerson(value string) (p Person, err error) {
	err = evidence.DecodeForm([]byte(value), p.fields)
	return p, err
}

// Format shows nothing, whatever the verb.
func (Person) Format(s fmt.State, _ rune) { fmt.Fprint(s, "[person]") }

// LogValue shows nothing.
func (Person) LogValue() slog.Value { return slog.StringValue("[person]") }

// MarshalText shows nothing.
func (Person) MarshalText() ([]byte, error) { return []byte("[person]"), nil }
