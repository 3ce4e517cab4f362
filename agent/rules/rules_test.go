package rules_test

import (
	"strings"
	"testing"
	"time"

	"ciglio/agent/rules"
	"ciglio/sensor"
)

const good = `schema = 1
version = 3
[[rule]]
id = "it-345-2"
valid_from = 1993-01-01
valid_to = 2026-12-31
source = "D.P.R. 495/1992, art. 345, comma 2"
flat = "5km/h"
percent = 5
[[rule]]
id = "it-2027-1"
valid_from = 2027-01-01
source = "a law of the future"
flat = "7km/h"
percent = 7
`

func TestDocument(t *testing.T) {
	d, err := rules.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, rome)
	for at, want := range map[time.Time]string{midnight.Add(-1): "it-345-2", midnight: "it-2027-1"} {
		if r, err := d.Table.On(at); err != nil || r.ID != want {
			t.Errorf("on %v: %s, %v", at, r.ID, err)
		}
	}
	if r, _ := d.Table.On(midnight); r.Reduction(200*sensor.KmH) != 14*sensor.KmH || r.Reduction(50*sensor.KmH) != 7*sensor.KmH {
		t.Error("the new rule takes something else off")
	}
	if _, err := d.Table.On(time.Date(1992, 12, 31, 0, 0, 0, 0, rome)); err == nil {
		t.Error("there is a rule before the first")
	}
	sealed := string(d.Sealed([]byte("a = 1\n")))
	if !strings.HasPrefix(sealed, "a = 1\n") || !strings.Contains(sealed, "[rules]\nversion = 3\nsha256 = \""+d.SHA256.String()+"\"\n") {
		t.Error(sealed)
	}
	if none := (*rules.Document)(nil); string(none.Sealed([]byte("a"))) != "a" {
		t.Error("the program's own rules are named")
	}
}

func TestBadDocuments(t *testing.T) {
	for name, change := range map[string][2]string{
		"of another schema":              {"schema = 1", "schema = 2\nformula = \"x\""},
		"of no schema":                   {"schema = 1\n", ""},
		"of version 0":                   {"version = 3", "version = 0"},
		"an unknown key":                 {"percent = 7", "percent = 7\nfactor = 2"},
		"no rule":                        {"[[rule]]", "[[rules]]"},
		"the known one is missing":       {`"it-345-2"`, `"it-345-3"`},
		"the known one takes less off":   {`flat = "5km/h"`, `flat = "4km/h"`},
		"the known one takes more off":   {"percent = 5", "percent = 6"},
		"the known one begins elsewhere": {"1993-01-01", "1994-01-01"},
		"two of one id":                  {"it-2027-1", "it-345-2"},
		"an overlap":                     {"valid_to = 2026-12-31", "valid_to = 2027-01-01"},
		"one without end before another": {"valid_to = 2026-12-31\n", ""},
		"an end before the beginning":    {"2026-12-31", "1992-12-31"},
		"a day that is an instant":       {"valid_from = 2027-01-01", "valid_from = 2027-01-01T00:00:00Z"},
		"half a km/h":                    {"7km/h", "7.5km/h"},
		"below nothing":                  {"percent = 7", "percent = -7"},
		"more than half":                 {"percent = 7", "percent = 51"},
		"nothing off":                    {"flat = \"7km/h\"\npercent = 7", "flat = \"0km/h\"\npercent = 0"},
		"no source":                      {"a law of the future", ""},
		"an id of another kind":          {"it-2027-1", "it\\u0000"},
		"too large":                      {"schema = 1", "# " + strings.Repeat("x", rules.MaxSize) + "\nschema = 1"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Errorf("%s: changes nothing", name)
		}
		if d, err := rules.Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, d)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := rules.Parse(text)
		if err != nil {
			return
		}
		for i, r := range d.Table {
			if r.ID == "" || r.Reduction(100*sensor.KmH) <= 0 || i > 0 && !r.From.After(d.Table[i-1].To) {
				t.Errorf("%+v", d.Table)
			}
		}
	})
}
