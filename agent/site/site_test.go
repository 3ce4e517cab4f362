package site

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"ciglio/agent/config"
	"ciglio/agent/enforce"
	"ciglio/sensor"
)

const good = `[site]
id = "SP46-7"
version = 4
road = "SP 46"
position = "7.7km"
latitude = "41.4000deg"
longitude = "12.9000deg"
heading = "135deg"
direction = "approaching"
photo_range = "20m"
frames = 3
lanes = "1.2m..4.7m, 4.7m..8.2m"
patron = "11-14"
[decree]
words = "Decreto del Prefetto n. 56/2026"
from = 2026-01-01
[functional_check]
words = "verbale n. 12"
on = 2026-01-10
[variable_sign]
source = "gantry 12"
grace = "30s"
[[limit]]
speed = "50km/h"
hours = "22:00-07:00"
days = ["working", "sun"]
lanes = [1, 2]
class = 3
first = 2026-06-01
last = 2026-09-30
[[limit]]
speed = "70km/h"
[[sign]]
words = "controllo elettronico della velocità"
position = "6.7km"
`

const settings = `[device]
id = "00112233445566778899aabbccddeeff"
[site]
id = "OLD"
road = "SP 1"
latitude = "44deg"
limit = "90km/h"
[sensor]
model = "M1"
serial = "S1"
`

func TestParse(t *testing.T) {
	s, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := enforce.Limit{
		Speed: 5000, Class: 3, Lanes: []int{1, 2}, Days: enforce.Working | enforce.Sunday, From: 22 * 60, To: 7 * 60,
		First: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Last: time.Date(2026, 9, 30, 0, 0, 0, 0, time.UTC),
	}
	if l := s.Calendar.Limits[0]; l.Speed != want.Speed || l.Class != want.Class || l.Days != want.Days || l.From != want.From || l.To != want.To ||
		!l.First.Equal(want.First) || !l.Last.Equal(want.Last) || len(l.Lanes) != 2 {
		t.Errorf("%+v, want %+v", l, want)
	}
	if s.Calendar.Patron != (enforce.Date{Month: 11, Day: 14}) || s.Variable.Grace != 30*time.Second || s.Functional.Words != "verbale n. 12" {
		t.Errorf("%+v", s)
	}
	if !s.Decree.From.Equal(time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC)) || !s.Decree.To.IsZero() {
		t.Errorf("decree %+v", s.Decree)
	}
}

func TestASiteTakesThePlaceOfTheSettings(t *testing.T) {
	s, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse([]byte(settings), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(c); err != nil {
		t.Fatal(err)
	}
	if c.Site.ID != "SP46-7" || c.Site.Version != 4 || c.Site.Limit != 50*sensor.KmH || len(c.Sensor.Lanes) != 2 || c.Site.TimeZone != "Europe/Rome" {
		t.Errorf("%+v", c.Site)
	}
	sealed, err := s.Sealed(c)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(sealed); !strings.HasPrefix(text, good) || strings.Count(text, "[site]") != 1 || !strings.Contains(text, "[sensor]") || !strings.Contains(text, "[clock]") || strings.Contains(text, "\nlimit = ") {
		t.Errorf("sealed as\n%s", text)
	}
	if len(sealed) > 12<<10 {
		t.Errorf("%d bytes do not fit a record", len(sealed))
	}
	s.site.Road = ""
	if err := s.Apply(c); err == nil || !strings.Contains(err.Error(), "site.road") {
		t.Errorf("half a site is applied: %v", err)
	}
}

func TestBadSitesAreRefused(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "frames", "pictures", "unknown key site.pictures"},
		{"no version", "version = 4\n", "", "site.version"},
		{"no decree", `words = "Decreto del Prefetto n. 56/2026"`, "", "decree.words"},
		{"decree without its day", "from = 2026-01-01\n", "", "decree.from"},
		{"decree that ends before it begins", "from = 2026-01-01\n", "from = 2026-01-01\nto = 2025-12-31\n", "decree.to"},
		{"check without its day", "on = 2026-01-10\n", "", "functional_check"},
		{"no such day", `"11-14"`, `"02-30"`, "there is no 02-30"},
		{"day first", `"11-14"`, `"14-11"`, "site.patron"},
		{"grace without unit", `"30s"`, `"30"`, "grace"},
		{"no grace", `"30s"`, `"0s"`, "grace"},
		{"no such limit", `"70km/h"`, `"72km/h"`, "limit 2: speed"},
		{"a limit of nothing", `"50km/h"`, `"0km/h"`, "limit 1: speed"},
		{"no limit without condition", `speed = "70km/h"`, "speed = \"70km/h\"\nlanes = [1]", "limit 2: it is the last"},
		{"lane twice", "[1, 2]", "[2, 2]", "lanes"},
		{"lane 0", "[1, 2]", "[0, 2]", "lanes"},
		{"day twice", `"working", "sun"`, `"sun", "sun"`, "days"},
		{"a day that is none", `"sun"`, `"dom"`, "days"},
		{"hours of no length", "22:00-07:00", "22:00-22:00", "hours"},
		{"hours behind midnight", "22:00-07:00", "22:00-24:01", "hours"},
		{"hours of 25", "22:00-07:00", "25:00-07:00", "hours"},
		{"season backwards", "2026-09-30", "2026-05-30", "last"},
		{"class beyond", "class = 3", "class = 256", "class"},
		{"sign without words", `"controllo elettronico della velocità"`, `""`, "sign 1"},
		{"too long", "[decree]", "#" + strings.Repeat("x", MaxSize) + "\n[decree]", "bytes"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: nothing to replace", c.name)
		}
		if _, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good), int64(0))
	f.Fuzz(func(t *testing.T, text []byte, at int64) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if _, err := s.Calendar.At(time.Unix(at%1e11, 0), 0, 0); err != nil {
			t.Errorf("a site without a limit at %d: %v", at, err)
		}
	})
}
