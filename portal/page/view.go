package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ciglio/internal/catalogue"
)

// A View is what every page knows: whose language it speaks, and where it stands. The
// view of a page embeds it. It belongs to one request and one goroutine.
type View struct {
	host  *Host
	words catalogue.Words
	typed url.Values // of a form that is shown again
	path  string
	query url.Values
}

// contextKey is that of the reader in the context of a request.
type contextKey struct{}

// reader is what the host knows of who asks.
type reader struct {
	host  *Host
	words catalogue.Words
}

func readerOf(r *http.Request) reader {
	one, ok := r.Context().Value(contextKey{}).(reader)
	if !ok {
		panic("page: a request that came to no host")
	}
	return one
}

func zoneOf(r *http.Request) *time.Location { return readerOf(r).host.o.Zone }

// NewView returns what the page of a request knows. What was typed into a form is shown
// again.
func NewView(r *http.Request) View { return readerOf(r).host.view(r) }

func (h *Host) view(r *http.Request) View {
	v := View{host: h, words: h.words.Match("", ""), path: r.URL.Path, query: r.URL.Query()}
	if one, ok := r.Context().Value(contextKey{}).(reader); ok {
		v.words = one.words
	}
	if r.Method == http.MethodPost {
		v.typed = r.PostForm
	}
	return v
}

// with returns r with what the host knows of its reader.
func (h *Host) with(r *http.Request, words catalogue.Words) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, reader{h, words}))
}

// T makes a text of the catalogue in the reader's language. Arguments follow in pairs, a
// name and a value.
func (v View) T(key string, pairs ...any) (string, error) { return v.words.Text(key, pairs...) }

// Say is T for the program: a text whose key is among [Room.Codes]. A fault is logged,
// and leaves the key rather than no page.
func (v View) Say(key string, pairs ...any) string {
	text, err := v.words.Text(key, pairs...)
	if err != nil {
		v.host.o.Log.Error("text failed", "host", v.host.o.Name, "error", err)
		return key
	}
	return text
}

// Knows reports whether there is a text of a key: what devices say may be anything.
func (v View) Knows(key string) bool {
	_, ok := v.host.words.Arguments(key)
	return ok
}

// Lang is the tag of the page's language, such as de.
func (v View) Lang() string { return v.words.Language() }

// HostName is the name of the host, on every page.
func (v View) HostName() string { return v.Say(v.host.o.Title) }

// A MenuItem is a page of the menu, or another language.
type MenuItem struct {
	Path, Words, Lang string
	Here              bool
}

// Menu is the pages of the host's menu.
func (v View) Menu() (all []MenuItem) {
	for _, link := range v.host.o.Menu {
		here := link.Path == v.path || link.Path != "/" && strings.HasPrefix(v.path, link.Path+"/")
		all = append(all, MenuItem{Path: link.Path, Words: v.Say(link.Words), Here: here})
	}
	return all
}

// ownNames are the languages by their own names: a reader finds theirs in any other.
var ownNames = map[string]string{"it": "Italiano", "en": "English", "de": "Deutsch"}

// languageField is the field of a query that chooses a language.
const languageField = "lang"

// Choices are the languages in which the page may be read, each with its address.
func (v View) Choices() (all []MenuItem) {
	for _, tag := range Languages {
		query := url.Values{}
		for name, values := range v.query {
			query[name] = values
		}
		query.Set(languageField, tag)
		all = append(all, MenuItem{Path: address(v.path, query.Encode()), Words: ownNames[tag], Lang: tag, Here: tag == v.Lang()})
	}
	return all
}

// FormKey is a new key for a form of the page: see [Input.Key]. A form that is shown
// again keeps its own.
func (v View) FormKey() string {
	in := Input{values: v.typed}
	if key := in.Key(); key != "" {
		return key
	}
	return newKey()
}

func (v View) spell(kind catalogue.Type, value any) string {
	text, err := v.words.Spell(kind, value)
	if err != nil {
		panic(err) // the types are those of this package
	}
	return text
}

// Day writes a civil day: 1 March 2026.
func (v View) Day(d Date) string {
	return v.spell(catalogue.Day, time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC))
}

// DayOf writes the civil day of an instant at the place.
func (v View) DayOf(t time.Time) string { return v.spell(catalogue.Day, t.In(v.host.o.Zone)) }

// Instant writes an instant in the time of the place, to the second: 1 March 2026, 14:05:09.
func (v View) Instant(t time.Time) string { return v.spell(catalogue.Instant, t.In(v.host.o.Zone)) }

// short are the layouts of [View.Short].
var short = map[string]string{"it": "02/01/2006 15:04:05", "en": "2 Jan 2006 15:04:05", "de": "02.01.2006 15:04:05"}

// Short writes an instant for lists: 01.03.2026 14:05:09.
func (v View) Short(t time.Time) string { return t.In(v.host.o.Zone).Format(short[v.Lang()]) }

// ISO writes an instant for programs: the datetime of a time element.
func (v View) ISO(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Money writes an amount of euro in hundredths.
func (v View) Money(cents int64) string { return v.spell(catalogue.Money, catalogue.Cents(cents)) }

// Count writes a whole number.
func (v View) Count(n int) string { return v.spell(catalogue.Count, n) }

// Decimal writes units of ten to the power of -decimals, all of them.
func (v View) Decimal(units int64, decimals int) string {
	return v.spell(catalogue.Decimal, catalogue.Number{Value: units, Decimals: decimals})
}

// Decimals takes every digit after the point from a value of a text's argument of type
// number: what [View.T] wants.
func Decimals(units int64, decimals int) catalogue.Number {
	return catalogue.Number{Value: units, Decimals: decimals}
}

// A Wrong is a fault in words, with where on the page it is.
type Wrong struct{ Field, Words string }

// A Summary is all that is wrong with a form, for the block "errors".
type Summary struct {
	View
	List []Wrong
}

// Faults puts what is wrong in words.
func (v View) Faults(faults Faults) Summary {
	s := Summary{View: v}
	for _, f := range faults {
		s.List = append(s.List, Wrong{f.Field, v.Say(f.Code, f.Args...)})
	}
	return s
}

// A Field is one of a form, for the blocks "field", "area", "choice" and "file".
type Field struct {
	View
	Name, Label, Hint string
	Type, Mode        string // of the input element, and its keyboard
	Complete          string // what browsers may fill in; off if empty
	Value             string
	Wrong             string // in words; "" when nothing is
	Optional          bool
	Options           []Option
	Most              int // characters; 0: no bound
}

// An Option is one of a choice.
type Option struct {
	Value, Words string
	Chosen       bool
}

// Field is a line of text. Its value is what was typed, or empty.
func (v View) Field(name, label string, faults Faults) Field {
	f := Field{View: v, Name: name, Label: label, Type: "text", Value: v.typed.Get(name), Complete: "off"}
	for _, fault := range faults {
		if fault.Field == name && f.Wrong == "" {
			f.Wrong = v.Say(fault.Code, fault.Args...)
		}
	}
	return f
}

// DayField is a civil day.
func (v View) DayField(name, label string, faults Faults) Field {
	f := v.Field(name, label, faults)
	f.Type = "date"
	return f.asDay()
}

// asDay writes the value of a field of days as browsers want it.
func (f Field) asDay() Field {
	if f.Value != "" {
		if d, wrong := parseDate(f.Value); wrong == "" {
			f.Value = d.String()
		} else {
			f.Type = "text" // a field of days would show nothing of what was typed
		}
	}
	return f
}

// InstantField is a local time.
func (v View) InstantField(name, label string, faults Faults) Field {
	f := v.Field(name, label, faults)
	f.Type = "datetime-local"
	return f
}

// MoneyField is an amount of euro.
func (v View) MoneyField(name, label string, faults Faults) Field {
	f := v.Field(name, label, faults)
	f.Mode = "decimal"
	return f
}

// NumberField is a whole number.
func (v View) NumberField(name, label string, faults Faults) Field {
	f := v.Field(name, label, faults)
	f.Mode = "numeric"
	return f
}

// FileField is a file.
func (v View) FileField(name, label string, faults Faults) Field {
	f := v.Field(name, label, faults)
	f.Type = "file"
	return f
}

// With returns the field with a value, where nothing was typed.
func (f Field) With(value string) Field {
	if !f.typed.Has(f.Name) {
		f.Value = value
	}
	if f.Type == "date" {
		return f.asDay()
	}
	return f
}

// Tell returns the field with a hint.
func (f Field) Tell(hint string) Field { f.Hint = hint; return f }

// MayBeEmpty returns the field as one that need not be filled.
func (f Field) MayBeEmpty() Field { f.Optional = true; return f }

// AtMost returns the field with a bound on its characters.
func (f Field) AtMost(most int) Field { f.Most = most; return f }

// Filled returns the field with what browsers may fill in, in the words of the HTML
// standard, such as "email".
func (f Field) Filled(what string) Field { f.Complete = what; return f }

// Among returns the field as a choice; that whose value the field has is chosen.
func (f Field) Among(options []Option) Field {
	f.Options = nil
	for _, o := range options {
		o.Chosen = o.Value == f.Value
		f.Options = append(f.Options, o)
	}
	return f
}

// Describe names what belongs to the input: ids of its hint and of what is wrong.
func (f Field) Describe() string {
	var all []string
	if f.Hint != "" {
		all = append(all, f.Name+"-hint")
	}
	if f.Wrong != "" {
		all = append(all, f.Name+"-wrong")
	}
	return strings.Join(all, " ")
}

// A Pager leads to other pages of a list, by the keys at which they begin, for the block
// "pager". Empty addresses are none.
type Pager struct {
	View
	First, Next string
}

// Pager is the block that leads on.
func (v View) Pager(first, next string) Pager { return Pager{v, first, next} }

// String keeps a view out of logs.
func (v View) String() string { return fmt.Sprintf("view of %s", v.path) }
