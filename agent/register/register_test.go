package register

import (
	"strings"
	"testing"
	"time"
)

const good = `version = 7
taken = 2026-11-30T08:00:00+01:00
[[device]]
entity_name = "Provincia di Latina"
entity_code = "p_lt"
approval = "D.D. n. 1234 del 10/01/2026"
type = "fisso"
brand = "Ciglio"
model = "C1"
serial = "IPS-0042"
road = "SP 46"
position = "7.7km"
direction = "Sabaudia"
from = 2026-01-10
to = 2027-01-09
[[device]]
entity_name = "Provincia di Latina"
entity_code = "p_lt"
approval = "D.D. n. 1234 del 10/01/2026"
type = "mobile"
brand = "Ciglio"
model = "C1"
serial = "IPS-0043"
from = 2026-01-10T08:00:00+01:00
`

func TestParse(t *testing.T) {
	r, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if r.Version != 7 || len(r.Rows) != 2 {
		t.Fatalf("%+v", r)
	}
	if row := r.Rows[0]; row.Serial != "IPS-0042" || row.Position != 7700 || row.Words != "p_lt IPS-0042" ||
		!row.From.Equal(time.Date(2026, 1, 9, 23, 0, 0, 0, time.UTC)) || !row.To.Equal(time.Date(2027, 1, 9, 22, 59, 59, 0, time.UTC)) {
		t.Errorf("%+v", row)
	}
	if row := r.Rows[1]; row.Road != "" || !row.To.IsZero() {
		t.Errorf("%+v", row)
	}
	if r, err := Parse([]byte("version = 1\ntaken = 2026-11-30\n")); err != nil || len(r.Rows) != 0 {
		t.Errorf("a register without devices: %v, %v", r, err)
	}
}

func TestBadExtractsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"no version", "version = 7\n", "", "version"},
		{"no day", "taken = 2026-11-30T08:00:00+01:00\n", "", "taken"},
		{"unknown key", "brand", "marca", "unknown key device.marca"},
		{"no serial", `serial = "IPS-0042"`, "", "device 1: serial"},
		{"no approval", `approval = "D.D. n. 1234 del 10/01/2026"`, "", "device 1: approval"},
		{"no first day", "from = 2026-01-10\n", "", "device 1: from"},
		{"ends before it begins", "2027-01-09", "2026-01-09", "device 1: to"},
		{"position without unit", `"7.7km"`, `"7.7"`, "km"},
		{"position without a road", `road = "SP 46"`, "", "without a road"},
		{"control characters", `"fisso"`, `"fi\u0007sso"`, "type"},
		{"too long", "[[device]]", "#" + strings.Repeat("x", MaxSize) + "\n[[device]]", "bytes"},
	} {
		if _, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		for _, row := range r.Rows {
			if row.Serial == "" || row.Words == "" || row.From.IsZero() || !row.To.IsZero() && row.To.Before(row.From) {
				t.Errorf("half a row was accepted: %+v", row)
			}
		}
	})
}
