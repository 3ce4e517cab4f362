// Package catalogue reads the texts of a program in several languages.
//
// What it keeps true: every language has the same keys, and under each key the
// same arguments of the same types; a text is made of arguments of just these
// names and types or not at all. So a reader never sees a key, a hole or half of
// a sentence, and a gap stops the start.
//
// # Format
//
// One TOML file a language, named by it: it.toml, en.toml, de.toml. A section is a
// subject, and the key of a text is section.name; sections may lie in sections:
//
//	[gate]
//	open = "The device measures."
//	clock = "Clock off by up to {off:span}; allowed are {bound:span}."
//
//	[gate.ends]
//	one = "Calibration ends in {days:count} day"
//	other = "Calibration ends in {days:count} days"
//
//	[gate.seal]
//	open = "A seal is open."
//
// Braces hold an argument by name and type; "{{" is a brace. In a section a table of
// "one" and "other" is one text, gate.ends: its single argument of type count says which
// stands, by the rule that Italian, English and German share for whole numbers:
// "one" for 1, "other" for all else.
//
//	text     string             as it is
//	count    int, uint64        12.400 or 12,400
//	number   Number             12,50 or 12.50
//	money    Cents              1.234,50 € or €1,234.50
//	quantity Quantity           12,5 dB or 12.5 dB
//	span     time.Duration      2 h 5 min, 3 ms
//	day      time.Time          1 March 2026, of its own zone
//	instant  time.Time          1 March 2026, 14:05:09
//
// A [Set] never changes and is safe for concurrent use.
package catalogue

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"

	"ciglio/internal/strict"
)

// A Type is what an argument must be.
type Type string

// The types of arguments.
const (
	Text    Type = "text"
	Count   Type = "count"
	Decimal Type = "number"
	Money   Type = "money"
	Measure Type = "quantity"
	Span    Type = "span"
	Day     Type = "day"
	Instant Type = "instant"
)

var errNoText = errors.New("no such text")

// A Set is the texts of a program in all its languages.
type Set struct {
	languages []string // the first is the default
	entries   map[string]map[string]entry
	arguments map[string]map[string]Type
}

// An entry is one text in one language.
type entry struct {
	one, other message
	by         string // the argument of type count that chooses; "" where there is one form
}

// A message is what stands before each argument, and the argument. The last one
// may have none.
type message []part

type part struct {
	before string
	name   string
	kind   Type
}

// A Part is a folder with a file of each language. Before the keys of its texts
// stands its prefix and a dot, where it has one.
type Part struct {
	Prefix string
	Folder fs.FS
}

// Read reads a file of each language, such as it.toml, in the folder. The first
// language is the one of a reader who wants none of them. The error names every
// gap.
func Read(folder fs.FS, languages ...string) (*Set, error) {
	return ReadParts([]Part{{Folder: folder}}, languages...)
}

// ReadParts reads several folders as [Read] does one. No two have a key in common.
func ReadParts(parts []Part, languages ...string) (*Set, error) {
	s := &Set{languages: languages, entries: map[string]map[string]entry{}, arguments: map[string]map[string]Type{}}
	for _, language := range languages {
		if _, ok := spellings[language]; !ok {
			return nil, fmt.Errorf("catalogue: no language %q", language)
		}
		s.entries[language] = map[string]entry{}
		for _, part := range parts {
			if err := s.add(part, language); err != nil {
				return nil, fmt.Errorf("catalogue: %w", err)
			}
		}
	}
	var faults []error
	for _, key := range s.Keys() {
		for _, language := range languages {
			e, ok := s.entries[language][key]
			switch {
			case !ok:
				faults = append(faults, fmt.Errorf("catalogue: %s.toml: %s is missing", language, key))
			case !maps.Equal(e.arguments(), s.arguments[key]):
				faults = append(faults, fmt.Errorf("catalogue: %s.toml: %s takes %s, elsewhere %s", language, key, list(e.arguments()), list(s.arguments[key])))
			}
		}
	}
	return s, errors.Join(faults...)
}

// add reads the texts of a part in one language.
func (s *Set) add(part Part, language string) error {
	name := language + ".toml"
	text, err := fs.ReadFile(part.Folder, name)
	if err != nil {
		return err
	}
	var sections map[string]map[string]any
	if err := strict.Known(string(text), &sections); err != nil { // a map has a place for every key
		return fmt.Errorf("%s: %w", name, err)
	}
	for section, values := range sections {
		if part.Prefix != "" {
			section = part.Prefix + "." + section
		}
		if err := s.section(section, values, language); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// section takes up the texts of a section and of those in it.
func (s *Set) section(section string, values map[string]any, language string) error {
	for name, value := range values {
		key := section + "." + name
		if inner, ok := value.(map[string]any); ok && inner["one"] == nil && inner["other"] == nil {
			if err := s.section(key, inner, language); err != nil {
				return err
			}
			continue
		}
		e, err := read(value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if _, twice := s.entries[language][key]; twice {
			return fmt.Errorf("%s: is there twice", key)
		}
		s.entries[language][key] = e
		if s.arguments[key] == nil {
			s.arguments[key] = e.arguments()
		}
	}
	return nil
}

// read reads one text, or its two forms.
func read(value any) (e entry, err error) {
	forms, two := value.(map[string]any)
	if !two {
		e.other, err = readForm(value)
		return e, err
	}
	for form := range forms {
		if form != "one" && form != "other" {
			return e, fmt.Errorf("form %q: want one and other", form)
		}
	}
	if e.one, err = readForm(forms["one"]); err != nil {
		return e, fmt.Errorf("one: %w", err)
	}
	if e.other, err = readForm(forms["other"]); err != nil {
		return e, fmt.Errorf("other: %w", err)
	}
	all := e.other.arguments()
	for name, kind := range all {
		switch {
		case kind != Count:
		case e.by != "":
			return e, errors.New("two arguments of type count: which one says how many?")
		default:
			e.by = name
		}
	}
	if e.by == "" {
		return e, errors.New("two forms, and no argument of type count that chooses")
	}
	for name, kind := range e.one.arguments() { // "one day" may do without its number
		if all[name] != kind {
			return e, fmt.Errorf("one: {%s:%s} is not in other", name, kind)
		}
	}
	return e, nil
}

func readForm(value any) (message, error) {
	text, ok := value.(string)
	if !ok || strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("%v: want a text", value)
	}
	return readMessage(text)
}

// readMessage takes a text apart.
func readMessage(text string) (m message, err error) {
	var before strings.Builder
	for rest := text; ; {
		plain, inside, found := strings.Cut(rest, "{")
		before.WriteString(plain)
		if !found {
			return append(m, part{before: before.String()}), nil
		}
		if after, brace := strings.CutPrefix(inside, "{"); brace {
			before.WriteByte('{')
			rest = after
			continue
		}
		argument, after, closed := strings.Cut(inside, "}")
		name, kind, typed := strings.Cut(argument, ":")
		if !closed || !typed || name == "" || !slices.Contains([]Type{Text, Count, Decimal, Measure, Money, Span, Day, Instant}, Type(kind)) {
			return nil, fmt.Errorf("%q: want {name:type}", "{"+argument)
		}
		if t, twice := m.arguments()[name]; twice && t != Type(kind) {
			return nil, fmt.Errorf("{%s} has two types", name)
		}
		m = append(m, part{before.String(), name, Type(kind)})
		before.Reset()
		rest = after
	}
}

func (m message) arguments() map[string]Type {
	all := map[string]Type{}
	for _, p := range m {
		if p.name != "" {
			all[p.name] = p.kind
		}
	}
	return all
}

func (e entry) arguments() map[string]Type { return e.other.arguments() }

// list spells arguments for a person.
func list(arguments map[string]Type) string {
	if len(arguments) == 0 {
		return "no arguments"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(arguments)) {
		all = append(all, "{"+name+":"+string(arguments[name])+"}")
	}
	return strings.Join(all, " ")
}

// Keys returns the keys of all texts, sorted.
func (s *Set) Keys() []string { return slices.Sorted(maps.Keys(s.arguments)) }

// Arguments returns the arguments of a text and whether there is one.
func (s *Set) Arguments(key string) (map[string]Type, bool) {
	arguments, ok := s.arguments[key]
	return maps.Clone(arguments), ok
}

// Missing yields each language, and the keys of those used that it lacks.
func (s *Set) Missing(used ...[]string) iter.Seq2[string, string] {
	return func(yield func(language, key string) bool) {
		for _, language := range s.languages {
			for _, key := range slices.Concat(used...) {
				if _, ok := s.entries[language][key]; !ok && !yield(language, key) {
					return
				}
			}
		}
	}
}

// In returns the texts of one language, that of a reader who chose it by name;
// false when there is no such language.
func (s *Set) In(language string) (Words, bool) {
	return Words{s, language}, slices.Contains(s.languages, language)
}

// Words are the texts in one language.
type Words struct {
	set      *Set
	language string
}

// Language is the tag of the language, such as de.
func (w Words) Language() string { return w.language }

// Spell writes one value as a text writes its argument of that type.
func (w Words) Spell(kind Type, value any) (string, error) {
	text, _, err := w.spell(kind, value)
	return text, err
}

// Text makes the text of a key. Its arguments follow in pairs, a name and a value.
// A key that is not there, and an argument that is missing, too much or of
// another type, is an error.
func (w Words) Text(key string, pairs ...any) (string, error) {
	e, ok := w.set.entries[w.language][key]
	if !ok {
		return "", fmt.Errorf("catalogue: %s.toml: %s: %w", w.language, key, errNoText)
	}
	fail := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("catalogue: %s: %s", key, fmt.Sprintf(format, args...))
	}
	if len(pairs)%2 != 0 {
		return fail("%d arguments: want pairs of a name and a value", len(pairs))
	}
	wanted, form := e.arguments(), e.other
	spelled := make(map[string]string, len(wanted))
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		kind, known := wanted[name]
		if _, twice := spelled[name]; !known || twice {
			return fail("argument %v: want %s", pairs[i], list(wanted))
		}
		text, single, err := w.spell(kind, pairs[i+1])
		if err != nil {
			return fail("argument %s: %v", name, err)
		}
		spelled[name] = text
		if name == e.by && single {
			form = e.one
		}
	}
	if len(spelled) != len(wanted) {
		return fail("%d of %d arguments: want %s", len(spelled), len(wanted), list(wanted))
	}
	var b strings.Builder
	for _, p := range form {
		b.WriteString(p.before)
		b.WriteString(spelled[p.name])
	}
	return b.String(), nil
}
