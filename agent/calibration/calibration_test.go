package calibration

import (
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

const statement = `
id = "A-117"
version = 2
sensor_serial = "IPS-0042"
not_before = 2026-01-10T00:00:00Z
not_after = 2027-01-09T23:59:59Z
uncertainty = "1km/h"
[approval]
words = "D.D. n. 1234 del 10/01/2026"
from = 2026-01-10T00:00:00Z
to = 2030-01-10T00:00:00Z
[decree]
words = "Decreto del Prefetto n. 56/2026"
from = 2026-01-01T00:00:00Z
[register]
words = "n. 789"
from = 2026-01-01T00:00:00Z
`

func TestParse(t *testing.T) {
	c, err := Parse([]byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != "A-117" || c.Version != 2 || c.Serial != "IPS-0042" || c.Uncertainty != sensor.KmH ||
		c.Decree.Words != "Decreto del Prefetto n. 56/2026" || !c.Decree.To.IsZero() ||
		!c.Approval.To.Equal(time.Date(2030, 1, 10, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("read as %+v", c)
	}
}

func TestBadStatementsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "version", "verison", "verison"},
		{"no serial", `sensor_serial = "IPS-0042"`, "", "sensor_serial"},
		{"no end", "not_after = 2027-01-09T23:59:59Z", "", "not_after"},
		{"negative version", "version = 2", "version = -2", "version"},
		{"unit missing", `"1km/h"`, `"1"`, "km/h"},
		{"too long", "[approval]", "#" + strings.Repeat("x", MaxSize) + "\n[approval]", "bytes"},
		{"end finer than a second", "23:59:59Z", "23:59:59.5Z", "second"},
		{"end before the beginning", "2027-01-09T23:59:59Z", "2026-01-09T23:59:59Z", "not_after: lies before"},
		{"a permit that ends before it begins", "2030-01-10T00:00:00Z", "2026-01-09T23:59:59Z", "approval.to: lies before"},
		{"a permit that was always in force", "\nfrom = 2026-01-01T00:00:00Z", "", "decree.from: missing"},
		{"an end in two spellings, of which either could count", "[approval]", "Not_After = 2036-06-01T00:00:00Z\n[approval]", "unknown key Not_After"},
		{"a permit's key in another spelling", "words = \"n. 789\"", "words = \"n. 789\"\nFrom = 2020-01-01T00:00:00Z", "unknown key register.From"},
		{"no uncertainty is allowed, or none is stated", `"1km/h"`, `"0km/h"`, "uncertainty: want more"},
		{"an end that no record holds", "2027-01-09T23:59:59Z", "9999-12-31T23:59:59-01:00", "not_after: want 1970 to 9999"},
		{"beginning in nobody's time zone", "not_before = 2026-01-10T00:00:00Z", "not_before = 2026-01-10T00:00:00", "time zone"},
		{"end in nobody's time zone, with a space", "2027-01-09T23:59:59Z", "2027-01-09 23:59:59", "time zone"},
		{"permit in nobody's time zone", "to = 2030-01-10T00:00:00Z", "to = 2030-01-10T00:00:00", "time zone"},
		{"functional check at an instant", "[approval]", "[functional_check]\nwords = \"x\"\non = 2026-01-10T00:00:00Z\n[approval]", "want a day"},
		{"functional check without its day", "[approval]", "[functional_check]\nwords = \"x\"\n[approval]", "functional_check: want words and on"},
		{"core that is none", "[approval]", "cores = [\"12\"]\n[approval]", "cores"},
		{"core in capitals", "[approval]", "cores = [\"" + strings.Repeat("AB", 32) + "\"]\n[approval]", "cores"},
		{"id that no record holds", "A-117", strings.Repeat("A", 65), "id: want"},
		{"words that no record holds", "n. 789", strings.Repeat("n", 257), "register.words"},
		{"words with a control character", "n. 789", "n.\\u0007", "register.words"},
	} {
		_, err := Parse([]byte(strings.Replace(statement, c.from, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to name %q", c.name, err, c.want)
		}
	}
}

func TestAStatementOfDays(t *testing.T) {
	c, err := Parse([]byte(`id = "A-117"
version = 3
sensor_serial = "S1"
cores = ["` + strings.Repeat("ab", 32) + `", "` + strings.Repeat("0c", 32) + `"]
not_before = 2026-03-29
not_after = 2026-10-25
[functional_check]
words = "verbale n. 12"
on = 2028-02-29
`))
	if err != nil {
		t.Fatal(err)
	}
	if !c.NotBefore.Equal(time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)) || !c.NotAfter.Equal(time.Date(2026, 10, 25, 22, 59, 59, 0, time.UTC)) {
		t.Errorf("in force from %v to %v", c.NotBefore, c.NotAfter)
	}
	if len(c.Cores) != 2 || c.Cores[0][0] != 0xab || c.Cores[1][31] != 0x0c {
		t.Errorf("cores %x", c.Cores)
	}
	if c.Functional.Words != "verbale n. 12" || !c.Functional.LastDay().Equal(time.Date(2029, 2, 28, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("functional check %+v, until %v", c.Functional, c.Functional.LastDay())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(statement))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := Parse(text); err == nil && (c.Serial == "" || c.NotAfter.IsZero()) {
			t.Errorf("half a statement was accepted: %+v", c)
		}
	})
}
