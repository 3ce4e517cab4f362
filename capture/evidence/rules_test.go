package evidence

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBadLawIsRefused(t *testing.T) {
	good := string(law)
	for name, change := range map[string][2]string{
		"unknown key":                  {`"percent"`, `"persent"`},
		"negative share":               {`"percent": 5`, `"percent": -5`},
		"more than all":                {`"percent": 5`, `"percent": 101`},
		"negative flat part":           {`"flat": "5km/h"`, `"flat": "-1km/h"`},
		"no id":                        {`"it-345-2"`, `""`},
		"no first day":                 {`"1993-01-01"`, `""`},
		"a day in another spelling":    {`"1993-01-01"`, `"1/1/1993"`},
		"ends before it begins":        {`"valid_from"`, `"valid_to": "1992-12-31", "valid_from"`},
		"a last day that is none":      {`"valid_from"`, `"valid_to": "31/12/2030", "valid_from"`},
		"no limits":                    {`"step": "5km/h"`, `"step": "0km/h"`},
		"something behind":             {"]\n}\n", "]\n}\n{}"},
		"two rules in force on a day":  {`"rules": [`, `"rules": [{"id": "a", "valid_from": "1990-01-01", "source": "s"},`},
		"two rules on the day between": {`"rules": [`, `"rules": [{"id": "a", "valid_from": "1990-01-01", "valid_to": "1993-01-01", "source": "s"},`},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Fatalf("%s: changes nothing", name)
		}
		if _, err := ParseLaw([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	two := strings.Replace(good, `"rules": [`, `"rules": [{"id": "a", "valid_from": "1990-01-01", "valid_to": "1992-12-31", "source": "s"},`, 1)
	if l, err := ParseLaw([]byte(two)); err != nil || len(l.Rules) != 2 {
		t.Errorf("one rule after the other: %v", err)
	}
}

// TestSiteTime compares the rule of summer time with the machine's own tables.
func TestSiteTime(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Skip("this machine has no table of time zones")
	}
	for at := time.Date(1996, 1, 1, 0, 30, 0, 0, time.UTC); at.Year() < 2100; at = at.Add(time.Hour) {
		if at.Year() > 2037 && at.Month() != time.March && at.Month() != time.October {
			continue
		}
		const layout = "2006-01-02 15:04:05 MST"
		if got, want := SiteTime(at).Format(layout), at.In(rome).Format(layout); got != want {
			t.Fatalf("%v: %s, want %s", at, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	s := readSettings([]byte("limit = \"1km/h\"\n# site\n[site]\r\n# limit = \"2km/h\"\nlimit = \"62.5 km/h\" # as printed\nlimit = \"70km/h\"\n" +
		"[clock]\nbound = \"20ms\"\n[x]\nbound=\"1.5s\"\n odd = 'x'\n\xff = \"y\"\n"))
	if v, ok := s.speed("site", "limit"); v != 6250 || !ok {
		t.Errorf("limit %v, %v", v, ok)
	}
	if v, ok := s.duration("clock", "bound"); v != 20*time.Millisecond || !ok {
		t.Errorf("bound %v, %v", v, ok)
	}
	if v, ok := s.duration("x", "bound"); ok {
		t.Errorf("a bound that is not read: %v", v)
	}
	if v, ok := s.text("x", "odd"); ok {
		t.Errorf("a value in another quotation: %v", v)
	}
}

func FuzzLaw(f *testing.F) {
	f.Add(law)
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLaw(b); err == nil && (len(l.Rules) == 0 || l.Limits.Step <= 0) {
			t.Errorf("half a table was accepted: %+v", l)
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(testConfiguration))
	f.Add([]byte("[clock]\nbound = \"100ms\"\n[sensor]\nmaximum = \"200km/h\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := readSettings(b)
		if v, ok := s.speed("sensor", "maximum"); ok && v < 0 {
			t.Errorf("a negative speed: %v", v)
		}
		if v, ok := s.duration("clock", "bound"); ok && v < 0 {
			t.Errorf("a negative duration: %v", v)
		}
	})
}

// TestEveryVerifierHasTheSameLaw builds the tables of the other two from ours.
func TestEveryVerifierHasTheSameLaw(t *testing.T) {
	l := must(PresentLaw())(t)
	var rules, pages, models []string
	for _, r := range l.Rules {
		last, end := "None", "null"
		if !r.To.IsZero() {
			last = strconv.Quote(r.To.Format(time.DateOnly))
			end = last
		}
		rules = append(rules, fmt.Sprintf("(%q, %q, %s, %d, %d)", r.ID, r.From.Format(time.DateOnly), last, r.Flat, r.Percent))
		pages = append(pages, fmt.Sprintf("%q: [%q, %s, %dn, %dn]", r.ID, r.From.Format(time.DateOnly), end, r.Flat, r.Percent))
	}
	for _, s := range l.Separating {
		models = append(models, strconv.Quote(s.Model))
	}
	names, n := strings.Join(models, ", "), l.Limits
	script := string(must(os.ReadFile("verify.py"))(t))
	for _, want := range []struct{ where, line string }{
		{script, "RULES = [" + strings.Join(rules, ", ") + "]\n"},
		{script, fmt.Sprintf("LEAST, MOST, STEP = %d, %d, %d ", n.Least, n.Most, n.Step)},
		{script, "SEPARATING = (" + names + ")"},
		{string(page), "RULES = { " + strings.Join(pages, ", ") + " }"},
		{string(page), fmt.Sprintf("LIMITS = { least: %dn, most: %dn, step: %dn }", n.Least, n.Most, n.Step)},
		{string(page), "SEPARATING = [" + names + "]"},
	} {
		if !strings.Contains(want.where, want.line) {
			t.Errorf("a verifier lacks %s", want.line)
		}
	}
}
