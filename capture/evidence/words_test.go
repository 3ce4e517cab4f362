package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

// argumentsOf returns the arguments of a text by name, each with its type.
func argumentsOf(t *testing.T, where, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		name, form, _ := strings.Cut(m[1], ":")
		kind, known := formOf(form)
		if !known || !regexp.MustCompile(`^[a-z]+$`).MatchString(name) || all[name] != "" && all[name] != kind {
			t.Errorf("%s: {%s}: want {name:form}", where, m[1])
		}
		all[name] = kind
	}
	return all
}

// taken returns what the text of each code takes, and checks that every language has
// the same codes, taking the same.
func taken(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for _, l := range Languages() {
		texts := catalogue(l).texts
		for code, s := range texts {
			where := fmt.Sprintf("words_%s.json: %s", l, code)
			arguments := argumentsOf(t, where, s.other)
			if all[code] == nil {
				all[code] = arguments
			}
			if !maps.Equal(arguments, all[code]) {
				t.Errorf("%s takes %v, elsewhere %v", where, arguments, all[code])
			}
			counts := 0
			for _, kind := range arguments {
				if kind == "count" {
					counts++
				}
			}
			for name, kind := range argumentsOf(t, where+" of one", s.one) { // "a picture" may do without its number
				if arguments[name] != kind {
					t.Errorf("%s of one takes %s, the other does not", where, name)
				}
			}
			if (s.one != "") != (counts == 1) || counts > 1 {
				t.Errorf("%s: %d counts, so want %d texts", where, counts, counts+1)
			}
			if strings.TrimSpace(s.other) == "" {
				t.Errorf("%s is empty", where)
			}
		}
		if len(texts) < len(all) {
			for code := range all {
				if _, ok := texts[code]; !ok {
					t.Errorf("words_%s.json: %s is missing", l, code)
				}
			}
		}
	}
	return all
}

// TestEveryCodeHasItsWords reads our own source: each code that stands there must be
// in the catalogue of every language and take the arguments that it is given, and
// each text must be of a code that stands there.
func TestEveryCodeHasItsWords(t *testing.T) {
	texts := taken(t)
	used := map[string]bool{}
	code := regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && texts[s] != nil {
					used[s] = true
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			if !slices.Contains([]string{"said", "doubt", "add", "check", "fits", "report"}, name) {
				return true
			}
			at := slices.IndexFunc(call.Args, func(e ast.Expr) bool { s, ok := literal(e); return ok && code.MatchString(s) })
			if at < 0 {
				return true
			}
			key, _ := literal(call.Args[at])
			if texts[key] == nil {
				t.Errorf("%s has no words", key)
				return true
			}
			given := map[string]bool{}
			for i := at + 1; i < len(call.Args); i += 2 {
				if argument, ok := literal(call.Args[i]); ok {
					given[argument] = true
				}
			}
			if name == "report" { // which adds these
				given["device"], given["epoch"], given["seq"] = true, true, true
			}
			if strings.HasPrefix(key, "reuse.") && strings.Contains(key, "_also_") { // built of parts
				return true
			}
			for argument := range texts[key] {
				if !given[argument] {
					t.Errorf("%s takes %s and is not given it", key, argument)
				}
			}
			for argument := range given {
				if texts[key][argument] == "" {
					t.Errorf("%s is given %s and does not take it", key, argument)
				}
			}
			return true
		})
	}
	for key := range texts {
		group, _, _ := strings.Cut(key, ".")
		if !used[key] && !slices.Contains([]string{"term", "fact", "check", "status", "verdict", "report", "still" /* capture/still */, "ui", "format"}, group) {
			t.Errorf("%s is the text of no code", key)
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// TestWordsTakeWhatTheyAreGiven judges every vector in every language: arguments are
// of the types that the texts take, and terms, names of checks and of facts have words.
func TestWordsTakeWhatTheyAreGiven(t *testing.T) {
	texts := taken(t)
	said := func(name string, s Said) {
		t.Helper()
		given := map[string]string{}
		for argument, value := range s.Args {
			given[argument] = typeOf(value)
			if term, ok := value.(Term); ok && texts["term."+string(term)] == nil {
				t.Errorf("%s: %s: the term %q has no words", name, s.Code, term)
			}
		}
		if want, ok := texts[s.Code]; !ok || !maps.Equal(given, want) {
			t.Errorf("%s: %s takes %v, is given %v", name, s.Code, want, given)
		}
		if _, err := json.Marshal(s.Args); err != nil {
			t.Errorf("%s: %s: %v", name, s.Code, err)
		}
	}
	trusts := trustFiles(t)
	for _, v := range vectors(t) {
		verdict := judge(v.data, trusts[v.Trust])
		for _, c := range verdict.Checks {
			said(v.Name, c.Said)
			for _, key := range []string{"check." + c.Name, "status." + c.Status.String(), "verdict." + verdict.Word()} {
				if texts[key] == nil {
					t.Errorf("%s: no words %s", v.Name, key)
				}
			}
		}
		if verdict.Record != nil {
			for _, f := range Facts(verdict.Record.Record) {
				said(v.Name, f.Said)
				if texts["fact."+f.Name] == nil {
					t.Errorf("%s: the fact %s has no name", v.Name, f.Name)
				}
			}
		}
	}
	for _, r := range []string{"before", "photo", "after", "approval", "decree", "register", "calibration", "unknown", "approaching", "receding", "contacts", "pictures"} {
		if texts["term."+r] == nil {
			t.Errorf("the term %s has no words", r)
		}
	}
}

func TestFormsOfArguments(t *testing.T) {
	at := time.Date(2026, 7, 1, 22, 30, 0, 123456000, time.UTC)
	for _, test := range []struct {
		form       string
		value      any
		it, en, de string
	}{
		{"speed", sensor.Speed(6305), "63,05 km/h", "63.05 km/h", "63,05 km/h"},
		{"count", Count(1234567), "1.234.567", "1,234,567", "1.234.567"},
		{"count", Count(1234), "1234", "1234", "1234"},
		{"number", Number(1234567), "1234567", "1234567", "1234567"},
		{"instant", at, "2026-07-01 22:30:00 UTC", "2026-07-01 22:30:00 UTC", "2026-07-01 22:30:00 UTC"},
		{"moment", at, "2026-07-02 00:30:00.123456 CEST (2026-07-01 22:30:00.123456 UTC)", "2026-07-02 00:30:00.123456 CEST (2026-07-01 22:30:00.123456 UTC)", "2026-07-02 00:30:00.123456 CEST (2026-07-01 22:30:00.123456 UTC)"},
		{"day", at, "2026-07-02", "2026-07-02", "2026-07-02"},
		{"span", 250 * time.Millisecond, "250 ms", "250 ms", "250 ms"},
		{"span", 90 * time.Second, "90 s", "90 s", "90 s"},
		{"span", 1500*time.Microsecond + 1, "1500001 ns", "1500001 ns", "1500001 ns"},
		{"ms", 1999 * time.Nanosecond, "0,001 ms", "0.001 ms", "0,001 ms"},
		{"tenths", 1250 * time.Microsecond, "1,3 ms", "1.3 ms", "1,3 ms"},
		{"seconds", 61999 * time.Millisecond, "61 s", "61 s", "61 s"},
		{"km", Metres(12340), "12,340", "12.340", "12,340"},
		{"latitude", Degrees7(-1), "0,0000001° S", "0.0000001° S", "0,0000001° S"},
		{"longitude", Degrees7(111166000), "11,1166000° E", "11.1166000° E", "11,1166000° E"},
		{"term", Term("approaching"), "in avvicinamento", "approaching", "herankommend"},
		{"names", Names{"a\u202e\"b", `c\`}, `"a?\"b", "c\\"`, `"a?\"b", "c\\"`, `"a?\"b", "c\\"`},
		{"hash", DeviceID{1}, "01000000000000000000000000000000", "01000000000000000000000000000000", "01000000000000000000000000000000"},
		{"text", "SP 14 {x}", "SP 14 {x}", "SP 14 {x}", "SP 14 {x}"},
	} {
		kind, known := formOf(test.form)
		if !known || kind != typeOf(test.value) {
			t.Errorf("%s takes %s, a %T is %s", test.form, kind, test.value, typeOf(test.value))
		}
		for l, want := range map[Language]string{Italian: test.it, English: test.en, German: test.de} {
			if got := catalogue(l).write(test.form, test.value); got != want {
				t.Errorf("%s in %s: %q, want %q", test.form, l, got, want)
			}
		}
	}
}

func TestLanguageOf(t *testing.T) {
	for tag, want := range map[string]Language{"it": Italian, "it_IT.UTF-8": Italian, "de-AT": German, "DE": German, "en@euro": English, "C": "", "": "", "italiano": "", "fr_FR": ""} {
		l, ok := LanguageOf(tag)
		if ok != (want != "") || ok && l != want {
			t.Errorf("%q: %s, %v, want %q", tag, l, ok, want)
		}
	}
}

// TestWhatHasNoWordsIsNotLost says a code that no catalogue has.
func TestWhatHasNoWordsIsNotLost(t *testing.T) {
	for _, s := range []Said{said("no.code", "n", Number(3), "a", "b"), said("rule.limit", "limit", Number(5)), said("rule.limit")} {
		if got := s.In(German); !strings.HasPrefix(got, s.Code) || len(s.Args) == 2 && got != "no.code a=b n=3" {
			t.Errorf("%q", got)
		}
	}
}

// TestOneArgumentPicksTheForm has one picture, and several.
func TestOneArgumentPicksTheForm(t *testing.T) {
	if got := said("targets.company", "n", Count(1), "model", "x").In(Italian); !strings.Contains(got, "un altro veicolo era") {
		t.Error(got)
	}
	if got := said("targets.company", "n", Count(12345), "model", "x").In(Italian); !strings.Contains(got, "12.345 altri veicoli") {
		t.Error(got)
	}
}

// The catalogues are written in one way, so that their differences are read easily.
func TestCataloguesArePlain(t *testing.T) {
	for _, l := range Languages() {
		path := "words_" + string(l) + ".json"
		file := must(os.ReadFile(path))(t)
		if bytes.Contains(file, []byte(`\u`)) || !bytes.HasSuffix(file, []byte("}\n")) || bytes.ContainsAny(file, "<>") {
			t.Errorf("%s: escapes, marks of a page, or no end of the last line", path)
		}
	}
}

// TestOthersHoldTheSameWords compares the texts of verify.html and verify.py with the
// catalogues. With -update they are written.
func TestOthersHoldTheSameWords(t *testing.T) {
	for _, other := range []struct {
		file, begin, end string
		without          []string // groups of texts that it never says
	}{
		{"verify.html", "const TEXTS = ", ";\n// end of the texts\n", []string{"chain", "report", "still"}},
		{"verify.py", "TEXTS = ", "\n# end of the texts\n", []string{"chain", "still", "ui"}},
	} {
		var want strings.Builder
		want.WriteString("{\n")
		for i, l := range Languages() {
			fmt.Fprintf(&want, "  %q: {\n", l)
			var texts map[string]json.RawMessage
			if err := json.Unmarshal(must(wordFiles.ReadFile("words_"+string(l)+".json"))(t), &texts); err != nil {
				t.Fatal(err)
			}
			keys := slices.DeleteFunc(slices.Sorted(maps.Keys(texts)), func(key string) bool {
				group, _, _ := strings.Cut(key, ".")
				return slices.Contains(other.without, group)
			})
			for j, key := range keys {
				var line bytes.Buffer
				must(0, json.Compact(&line, texts[key]))(t)
				fmt.Fprintf(&want, "    %q: %s%s\n", key, line.Bytes(), map[bool]string{false: ",", true: ""}[j == len(keys)-1])
			}
			fmt.Fprintf(&want, "  }%s\n", map[bool]string{false: ",", true: ""}[i == len(Languages())-1])
		}
		want.WriteString("}")
		file := string(must(os.ReadFile(other.file))(t))
		before, rest, begins := strings.Cut(file, "\n"+other.begin)
		got, after, ends := strings.Cut(rest, other.end)
		if !begins || !ends {
			t.Fatalf("%s: no place for the texts", other.file)
		}
		if *update && got != want.String() {
			got, file = want.String(), before+"\n"+other.begin+want.String()+other.end+after
			must(0, os.WriteFile(other.file, []byte(file), 0o755))(t)
			if other.file == "verify.html" {
				page = []byte(file)
			}
		}
		if got != want.String() {
			t.Errorf("%s: other texts than words_*.json; run with -update", other.file)
		}
	}
}
