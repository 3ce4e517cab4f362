package evidence

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ciglio/sensor"
)

// What a verifier says is a code with arguments, the same in all three. The sentence
// comes from a catalogue of each language, words_it.json, words_en.json and
// words_de.json: a JSON object of one text a code. verify.html and verify.py hold the
// same texts, written into them from these files by the tests.
//
// A text holds its arguments as {name:form}. The form says what the argument must be
// and how it is written:
//
//	text      string        as the record has it
//	detail    Detail        what a parser found, in English, each verifier in its own words
//	names     Names         each in quotes, what is not seen as a question mark
//	term      Term          the text term.VALUE of the language
//	number    Number        342, an ordinal: no separators
//	count     Count         96,000; chooses between the texts "one" and "other" of a code
//	speed     sensor.Speed  63.05 km/h
//	hash      Hash, DeviceID  in lower-case hexadecimal
//	instant   time.Time     2026-03-01 14:05:09 UTC
//	moment    time.Time     2026-03-01 15:05:09 CET (2026-03-01 14:05:09 UTC)
//	day       time.Time     2026-03-01, the calendar day at the site
//	span      time.Duration 250 ms, in the largest unit of s, ms, µs, ns that needs no fraction
//	ms        time.Duration 0.250 ms, cut off
//	tenths    time.Duration 119.9 ms, rounded
//	seconds   time.Duration 42 s, cut off
//	km        Metres        12.340
//	latitude  Degrees7      46.0667000° N
//	longitude Degrees7      11.1166000° E
//
// Italian and German have a decimal comma, and a point (German, Italian) in counts of
// five digits or more. Dates are those of ISO 8601 in every language.

// A Said is what a check found: a code, such as times.photo, and its arguments by
// name. Both are part of the profile: a code is never given another meaning.
type Said struct {
	Code string `json:"code"`
	Args Args   `json:"args,omitempty"`
}

// Args are arguments by name. Their types are those above.
type Args map[string]any

// Types of arguments that no other package has.
type (
	Detail   string   // what a parser said, in English; two verifiers may say it otherwise
	Term     string   // one word of a closed list, such as "approaching"
	Names    []string // of files, as they were given
	Number   uint64   // an ordinal: of a record, a picture, a place
	Count    uint64   // how many
	Metres   uint32   // on a road
	Degrees7 int32    // 1e-7 degrees
)

func said(code string, pairs ...any) Said {
	s := Said{Code: code}
	for i := 0; i+1 < len(pairs); i += 2 {
		if s.Args == nil {
			s.Args = Args{}
		}
		s.Args[pairs[i].(string)] = pairs[i+1]
	}
	return s
}

// MarshalJSON writes each argument as an object of its type and value, such as
// {"limit": {"speed": 5000}}: text, detail and term as they are; names a list of what
// is shown of each; number, count and metres; speed in hundredths of km/h; hash in hexadecimal; instant in
// microseconds since 1970 UTC; span in nanoseconds; degrees in 1e-7 degrees.
func (a Args) MarshalJSON() ([]byte, error) {
	all := map[string]map[string]any{}
	for name, value := range a {
		kind := typeOf(value)
		switch v := value.(type) {
		case time.Time:
			value = v.UnixMicro()
		case time.Duration:
			value = v.Nanoseconds()
		case sensor.Speed:
			value = int64(v)
		case Names:
			shown := make([]string, len(v))
			for i, n := range v {
				shown[i] = seen(n)
			}
			value = shown
		}
		if kind == "" {
			return nil, fmt.Errorf("argument %s: %T has no type", name, value)
		}
		all[name] = map[string]any{kind: value}
	}
	return json.Marshal(all)
}

// typeOf names the type of an argument; "" for what can be none.
func typeOf(value any) string {
	switch value.(type) {
	case string:
		return "text"
	case Detail:
		return "detail"
	case Names:
		return "names"
	case Term:
		return "term"
	case Number:
		return "number"
	case Count:
		return "count"
	case sensor.Speed:
		return "speed"
	case Hash, DeviceID:
		return "hash"
	case time.Time:
		return "instant"
	case time.Duration:
		return "span"
	case Metres:
		return "metres"
	case Degrees7:
		return "degrees"
	}
	return ""
}

// formOf names the type that a form of a text takes.
func formOf(form string) (kind string, known bool) {
	switch form {
	case "text", "detail", "names", "term", "number", "count", "speed", "hash", "instant", "span":
		return form, true
	case "moment", "day":
		return "instant", true
	case "ms", "tenths", "seconds":
		return "span", true
	case "km":
		return "metres", true
	case "latitude", "longitude":
		return "degrees", true
	}
	return "", false
}

// A Language is one in which verifiers speak.
type Language string

// The languages.
const (
	Italian Language = "it"
	English Language = "en"
	German  Language = "de"
)

// Languages returns all, that of the law first.
func Languages() []Language { return []Language{Italian, English, German} }

// LanguageOf returns the language of a tag or of a locale, such as de-AT or
// it_IT.UTF-8, and whether there is one.
func LanguageOf(tag string) (Language, bool) {
	primary := strings.ToLower(tag)
	if end := strings.IndexAny(primary, "-_.@"); end >= 0 {
		primary = primary[:end]
	}
	if slices.Contains(Languages(), Language(primary)) {
		return Language(primary), true
	}
	return English, false
}

// In returns the sentence in a language. A code that the catalogue does not have,
// or arguments that are not those of its text, give the code and what is known, so
// that nothing is lost; the tests allow none.
func (s Said) In(l Language) string {
	text, err := catalogue(l).spell(s)
	if err == nil {
		return text
	}
	var b strings.Builder
	b.WriteString(s.Code)
	for _, name := range slices.Sorted(maps.Keys(s.Args)) {
		fmt.Fprintf(&b, " %s=%v", name, s.Args[name])
	}
	return b.String()
}

// Words is the English sentence.
func (s Said) Words() string { return s.In(English) }

// Error is the English sentence without its stop: what a record is doubted for.
func (s *Said) Error() string { return strings.TrimSuffix(s.Words(), ".") }

// Word returns the text of a code without arguments, such as "check.device key".
func (l Language) Word(code string) string { return Said{Code: code}.In(l) }

// words are the texts of a language.
type words struct {
	language Language
	texts    map[string]sentence
}

// A sentence is the text of one code. one stands in place of other for a count of 1; "" for
// none.
type sentence struct{ one, other string }

// UnmarshalJSON reads a string, or an object of one and other.
func (t *sentence) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &t.other) == nil {
		return nil
	}
	var two struct{ One, Other string }
	if err := json.Unmarshal(b, &two); err != nil {
		return err
	}
	if two.One == "" || two.Other == "" {
		return errors.New("want a text, or one and other")
	}
	t.one, t.other = two.One, two.Other
	return nil
}

//go:embed words_it.json words_en.json words_de.json
var wordFiles embed.FS

// catalogues are read once, from what was compiled in.
var catalogues = sync.OnceValue(func() map[Language]words {
	all := map[Language]words{}
	for _, l := range Languages() {
		w := words{language: l}
		file, err := wordFiles.ReadFile("words_" + string(l) + ".json")
		if err == nil {
			err = json.Unmarshal(file, &w.texts)
		}
		if err != nil {
			panic("evidence: words of " + string(l) + ": " + err.Error())
		}
		all[l] = w
	}
	return all
})

func catalogue(l Language) words {
	if w, ok := catalogues()[l]; ok {
		return w
	}
	return catalogues()[English]
}

var errNoText = errors.New("no text takes these arguments")

// spell makes the sentence.
func (w words) spell(s Said) (string, error) {
	t, ok := w.texts[s.Code]
	if !ok {
		return "", errNoText
	}
	pattern := t.other
	if t.one != "" && slices.ContainsFunc(slices.Collect(maps.Values(s.Args)), func(v any) bool { return v == Count(1) }) {
		pattern = t.one
	}
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(pattern, "{")
		b.WriteString(plain)
		if !found {
			return b.String(), nil
		}
		argument, after, _ := strings.Cut(rest, "}")
		name, form, _ := strings.Cut(argument, ":")
		value := s.Args[name]
		if kind, known := formOf(form); !known || typeOf(value) != kind {
			return "", errNoText
		}
		b.WriteString(w.write(form, value))
		pattern = after
	}
}

// write writes an argument, whose type is that of the form.
func (w words) write(form string, value any) string {
	switch v := value.(type) {
	case string:
		return v
	case Detail:
		return string(v)
	case Term:
		if t, ok := w.texts["term."+string(v)]; ok {
			return t.other
		}
		return string(v)
	case Names:
		shown := make([]string, len(v))
		for i, n := range v {
			shown[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(seen(n)) + `"`
		}
		return strings.Join(shown, ", ")
	case Number:
		return strconv.FormatUint(uint64(v), 10)
	case Count:
		return w.count(uint64(v))
	case sensor.Speed:
		return w.point(v.String())
	case Hash:
		return v.String()
	case DeviceID:
		return v.String()
	case Metres:
		return w.point(fmt.Sprintf("%d.%03d", v/1000, v%1000))
	case Degrees7:
		if form == "latitude" {
			return w.point(Degrees(int32(v), "N", "S"))
		}
		return w.point(Degrees(int32(v), "E", "W"))
	case time.Time:
		switch form {
		case "moment":
			return Moment(v)
		case "day":
			return SiteTime(v).Format(time.DateOnly)
		}
		return day(v)
	case time.Duration:
		switch form {
		case "ms":
			return w.point(milliseconds(v))
		case "tenths":
			return w.point(tenths(v))
		case "seconds":
			return fmt.Sprintf("%d s", v/time.Second)
		}
		return span(v)
	}
	return ""
}

// point writes the decimal point of the language.
func (w words) point(text string) string {
	if w.language == English {
		return text
	}
	return strings.Replace(text, ".", ",", 1)
}

// count writes digits in groups of three, from five on.
func (w words) count(n uint64) string {
	digits, separator := strconv.FormatUint(n, 10), byte('.')
	if w.language == English {
		separator = ','
	}
	if len(digits) < 5 {
		return digits
	}
	var b []byte
	for i := range len(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b = append(b, separator)
		}
		b = append(b, digits[i])
	}
	return string(b)
}

// span writes a duration in the largest unit that needs no fraction.
func span(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d%unit.of == 0 {
			return fmt.Sprintf("%d %s", d/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%d ns", int64(d))
}

// seen returns what is shown of a name: its first 80 characters, what is not seen as
// a question mark.
func seen(name string) string {
	runes := []rune(name)
	runes = runes[:min(len(runes), 80)]
	for i, r := range runes {
		if hidden(r) {
			runes[i] = '?'
		}
	}
	return string(runes)
}
