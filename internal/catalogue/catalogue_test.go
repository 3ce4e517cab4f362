package catalogue

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"text/template/parse"
	"time"
)

const (
	italian = `
[gate]
open = "Il dispositivo misura."
clock = "Orologio: errore fino a {off:span}, ammesso {bound:span}"
of = "{name:text}: rumore {q:quantity}, {v:number} km/h, {n:count} passaggi, dal {from:day}, ultimo {at:instant} {{sic}"
[gate.ends]
one = "La taratura scade tra un giorno"
other = "La taratura scade tra {days:count} giorni"
`
	english = `
[gate]
open = "The device measures."
clock = "Clock off by up to {off:span}, allowed are {bound:span}"
of = "{name:text}: noise {q:quantity}, {v:number} km/h, {n:count} passages, from {from:day}, last {at:instant} {{sic}"
[gate.ends]
one = "Calibration ends in {days:count} day"
other = "Calibration ends in {days:count} days"
`
	german = `
[gate]
open = "Das Gerät misst."
clock = "Uhr: Abweichung bis {off:span}, erlaubt {bound:span}"
of = "{name:text}: Rauschen {q:quantity}, {v:number} km/h, {n:count} Durchfahrten, ab {from:day}, zuletzt {at:instant} {{sic}"
[gate.ends]
one = "Die Eichung endet in einem Tag"
other = "Die Eichung endet in {days:count} Tagen"
`
)

func folder(it, en, de string) fstest.MapFS {
	return fstest.MapFS{"it.toml": {Data: []byte(it)}, "en.toml": {Data: []byte(en)}, "de.toml": {Data: []byte(de)}}
}

func set(t *testing.T) *Set {
	t.Helper()
	s, err := Read(folder(italian, english, german), "it", "en", "de")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTexts(t *testing.T) {
	at := time.Date(2026, 3, 1, 14, 5, 9, 0, time.UTC)
	for _, test := range []struct {
		name, language, key string
		pairs               []any
		want                string
	}{
		{"no argument", "de", "gate.open", nil, "Das Gerät misst."},
		{"one has its own form", "en", "gate.ends", []any{"days", 1}, "Calibration ends in 1 day"},
		{"one without its number", "it", "gate.ends", []any{"days", uint64(1)}, "La taratura scade tra un giorno"},
		{"none is other", "en", "gate.ends", []any{"days", 0}, "Calibration ends in 0 days"},
		{"many", "de", "gate.ends", []any{"days", 41}, "Die Eichung endet in 41 Tagen"},
		{"in any order", "en", "gate.clock", []any{"bound", 100 * time.Millisecond, "off", 3 * time.Millisecond}, "Clock off by up to 3 ms, allowed are 100 ms"},
		{"every type in Italian, the first of a month", "it", "gate.of",
			[]any{"name", "{x}", "v", Number{-5, 2}, "q", Quantity{Number{-715, 1}, true, " dB"}, "n", 1234567, "from", at, "at", at}, "{x}: rumore −71,5 dB, −0,05 km/h, 1.234.567 passaggi, dal 1º marzo 2026, ultimo 1º marzo 2026, 14:05:09 {sic}"},
		{"every type in German", "de", "gate.of",
			[]any{"name", "A", "v", Number{1234567, 1}, "q", Quantity{Number{2000, 3}, true, "°"}, "n", 1234, "from", at, "at", at}, "A: Rauschen +2,000°, 123.456,7 km/h, 1234 Durchfahrten, ab 1. März 2026, zuletzt 1. März 2026, 14:05:09 {sic}"},
		{"every type in English", "en", "gate.of",
			[]any{"name", "A", "v", Number{70, 0}, "q", Quantity{Number{20, 0}, false, " %"}, "n", -12345, "from", at, "at", at}, "A: noise 20 %, 70 km/h, −12,345 passages, from 1 March 2026, last 1 March 2026, 14:05:09 {sic}"},
	} {
		w, ok := set(t).In(test.language)
		if !ok {
			t.Fatalf("no %s", test.language)
		}
		got, err := w.Text(test.key, test.pairs...)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestWrongArgumentsMakeNoText(t *testing.T) {
	for _, test := range []struct {
		name, key string
		pairs     []any
		want      string
	}{
		{"no such key", "gate.shut", nil, "gate.shut: no such text"},
		{"one missing", "gate.clock", []any{"off", time.Second}, "1 of 2 arguments"},
		{"one too much", "gate.open", []any{"off", time.Second}, "argument off: want no arguments"},
		{"twice", "gate.clock", []any{"off", time.Second, "off", time.Second}, "argument off"},
		{"another type", "gate.ends", []any{"days", "41"}, "argument days: string is no count"},
		{"another name", "gate.ends", []any{"hours", 41}, "argument hours: want {days:count}"},
		{"a name without its value", "gate.ends", []any{"days"}, "want pairs"},
		{"a name that is none", "gate.ends", []any{41, "days"}, "argument 41"},
		{"a value that is none", "gate.ends", []any{"days", nil}, "is no count"},
	} {
		w, _ := set(t).In("en")
		if got, err := w.Text(test.key, test.pairs...); err == nil || got != "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q, %v, want an error with %q", test.name, got, err, test.want)
		}
	}
}

func TestGapsStopTheStart(t *testing.T) {
	without := func(text, line string) string { return strings.Replace(text, line, "", 1) }
	for _, test := range []struct{ name, en, de, want string }{
		{"a key that German lacks", english, without(german, `open = "Das Gerät misst."`), "de.toml: gate.open is missing"},
		{"a key that only German has", english, german + "[other]\nkey = \"x\"\n", "it.toml: other.key is missing"},
		{"another argument", strings.ReplaceAll(english, "{bound:span}", "{limit:span}"), german, "en.toml: gate.clock takes {limit:span} {off:span}, elsewhere {bound:span} {off:span}"},
		{"another type", strings.ReplaceAll(english, "{bound:span}", "{bound:text}"), german, "en.toml: gate.clock takes {bound:text}"},
		{"an argument without type", strings.ReplaceAll(english, "{bound:span}", "{bound}"), german, `gate.clock: "{bound": want {name:type}`},
		{"a type that is none", strings.ReplaceAll(english, "{bound:span}", "{bound:speed}"), german, "want {name:type}"},
		{"a section in a section that German lacks", english + "[gate.seal]\nopen = \"x\"\n", german, "it.toml: gate.seal.open is missing"},
		{"a brace that stays open", strings.ReplaceAll(english, "{bound:span}", "{bound:span"), german, "want {name:type}"},
		{"one name of two types", strings.ReplaceAll(english, "{bound:span}", "{off:text}"), german, "{off} has two types"},
		{"an empty text", strings.ReplaceAll(english, "The device measures.", " "), german, "gate.open:  : want a text"},
		{"a number for a text", strings.ReplaceAll(english, `"The device measures."`, "3"), german, "gate.open: 3: want a text"},
		{"a third form", english + "few = \"x\"\n", german, `gate.ends: form "few"`},
		{"a form too few", without(english, `one = "Calibration ends in {days:count} day"`), german, "gate.ends: one:"},
		{"two forms without a count", strings.ReplaceAll(english, "{days:count}", "{days:text}"), german, "no argument of type count"},
		{"two counts", strings.ReplaceAll(english, "{days:count} days", "{days:count} days {n:count}"), german, "two arguments of type count"},
		{"an argument of one that other lacks", strings.ReplaceAll(english, "{days:count} day\"", "{day:text} day\""), german, "one: {day:text} is not in other"},
		{"no TOML", english + "[", german, "en.toml: toml: line"},
	} {
		if _, err := Read(folder(italian, test.en, test.de), "it", "en", "de"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := Read(folder(italian, english, german), "it", "fr"); err == nil {
		t.Error("a language without spelling was read")
	}
	if _, err := Read(fstest.MapFS{}, "it"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestPartsHaveTheirOwnKeys(t *testing.T) {
	nested := "[ends]\nday.unreal = \"no such day\"\nday.of = {one = \"{n:count} day\", other = \"{n:count} days\"}\n"
	part := folder(nested, nested, nested)
	s, err := ReadParts([]Part{{Folder: folder(italian, english, german)}, {"desk", part}}, "it", "en", "de")
	if err != nil {
		t.Fatal(err)
	}
	w, _ := s.In("de")
	if got, err := w.Text("desk.ends.day.of", "n", 2); err != nil || got != "2 days" {
		t.Errorf("text = %q, %v", got, err)
	}
	if got, err := w.Text("gate.open"); err != nil || got != "Das Gerät misst." {
		t.Errorf("text = %q, %v", got, err)
	}
	var missing []string
	for language, key := range s.Missing([]string{"desk.ends.day.unreal", "desk.none"}, []string{"gate.shut"}) {
		missing = append(missing, language+" "+key)
	}
	if want := "it desk.none, it gate.shut, en desk.none, en gate.shut, de desk.none, de gate.shut"; strings.Join(missing, ", ") != want {
		t.Errorf("missing = %q, want %s", missing, want)
	}
	if _, err := ReadParts([]Part{{"desk", part}, {"desk", part}}, "it"); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one key of two parts: %v", err)
	}
}

func TestMoney(t *testing.T) {
	for _, test := range []struct {
		language string
		cents    Cents
		want     string
	}{
		{"it", 2940, "29,40\u00a0€"}, {"en", 1234567, "€12,345.67"}, {"de", 5, "0,05\u00a0€"}, {"en", -100, "−€1.00"}, {"it", -1, "−0,01\u00a0€"},
	} {
		w, _ := set(t).In(test.language)
		if got, err := w.Spell(Money, test.cents); err != nil || got != test.want {
			t.Errorf("%d in %s: %q, %v, want %q", test.cents, test.language, got, err, test.want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct{ name, choice, accept, want string }{
		{"nothing said", "", "", "it"},
		{"a region", "", "de-AT,de;q=0.9,en;q=0.8", "de"},
		{"the best by weight", "", "en;q=0.5, de;q=0.7, it;q=0.1", "de"},
		{"the first of equals", "", "en, de", "en"},
		{"a foreign one before", "", "fr, en;q=0.3", "en"},
		{"none that is here", "", "fr, *", "it"},
		{"refused", "", "it;q=0, de;q=0.1", "de"},
		{"chosen by name", "en", "de", "en"},
		{"a choice that is none", "xx", "de", "de"},
		{"a weight that is none", "", "de;q=x, en;q=0.2", "en"},
		{"a weight that is no number", "", "de;q=NaN, en;q=0.2", "en"},
		{"a header without end", "", strings.Repeat("fr,", 1e6) + "de", "it"},
	} {
		if got := set(t).Match(test.choice, test.accept).Language(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 µs", 999: "0 µs", 41 * time.Microsecond: "41 µs", 3 * time.Millisecond: "3 ms", 59*time.Second + 999*time.Millisecond: "59 s",
		2 * time.Minute: "2 min", 90 * time.Second: "1 min 30 s", 2*time.Hour + 59*time.Second: "2 h", 26*time.Hour + 5*time.Minute: "26 h 5 min",
		-3 * time.Millisecond: "−3 ms", -1 << 63: "−2562047 h 47 min",
	} {
		if got := span(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}

// A text of any bytes is read whole or refused, and what was read prints itself.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{"", "plain", "{a:text}", "{{a:text}", "{a:text}{a:text}", "{", "{}", "{a:}", "{:text}", "x{a:count}y{b:span"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := readMessage(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, p := range m {
			b.WriteString(strings.ReplaceAll(p.before, "{", "{{"))
			if p.name != "" {
				b.WriteString("{" + p.name + ":" + string(p.kind) + "}")
			}
		}
		if b.String() != text {
			t.Errorf("%q was read as %q", text, b.String())
		}
	})
}

func TestUses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"right", `{{.T "gate.open"}}{{if .X}}{{$.T "gate.ends" "days" .Days}}{{else}}{{with .Y}}{{printf (.T "gate.open")}}{{end}}{{end}}`, ""},
		{"of a part of the view", `{{range .Rows}}{{.View.T "gate.open"}}{{end}}`, ""},
		{"no method of that name", `{{.Title "gate.shut"}}`, ""},
		{"no such key", `{{.T "gate.shut"}}`, "no such text"},
		{"no such key in a branch", `{{range .X}}{{else}}{{$.T "gate.shut"}}{{end}}`, "no such text"},
		{"a key that is computed", `{{.T .Key}}`, "no literal"},
		{"an argument missing", `{{.T "gate.ends"}}`, "want {days:count}"},
		{"an argument of another name", `{{.T "gate.ends" "hours" .X}}`, "want {days:count}"},
		{"a name without its value", `{{.T "gate.ends" "days"}}`, "want {days:count}"},
		{"an argument too much", `{{.T "gate.open" "days" 1}}`, "want no arguments"},
		{"handed to another template", `{{template "x" (.T "gate.shut")}}`, "no such text"},
	} {
		tree, err := parse.Parse("page", test.text, "", "", map[string]any{"printf": 1})
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		faults := errors.Join(set(t).Uses(tree["page"], used)...)
		if test.want == "" && faults != nil || test.want != "" && (faults == nil || !strings.Contains(faults.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, faults, test.want)
		}
	}
	if got := set(t).Unused(map[string]bool{"gate.open": true, "gate.of": true, "gate.clock": true}); len(got) != 1 || got[0] != "gate.ends" {
		t.Errorf("unused = %v", got)
	}
}
