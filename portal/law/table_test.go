package law_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ciglio/portal/law"
)

// TestV23 to V25: several within an hour, by a row that says how.
func TestSeveral(t *testing.T) {
	text, err := os.ReadFile("italy.toml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := law.Parse(strings.Replace(string(text), `rule = "ask the office"`, `rule = "least of sum and most serious by four thirds"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	down, err := law.Parse(strings.NewReplacer(`rule = "ask the office"`, `rule = "least of sum and most serious by four thirds"`, `"half up"`, `"down"`).Replace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	first := rome(t, "2026-05-05T12:00:00+02:00")
	for _, c := range []struct {
		id     string
		law    *law.Law
		minima []law.Cents
		after  time.Duration
		want   string
	}{
		{"V23", l, []law.Cents{17300, 17300}, 30 * time.Minute, "230.67"},
		{"V23 rounded down", down, []law.Cents{17300, 17300}, 30 * time.Minute, "230.66"},
		{"V24", l, []law.Cents{30000, 20000}, time.Hour, "400.00"},
		{"V25", l, []law.Cents{30000, 5000}, time.Hour, "350.00"},
		{"a second too far", l, []law.Cents{30000, 5000}, time.Hour + time.Second, "several.too_far"},
		{"C67 not settled", italy(t), []law.Cents{30000, 5000}, time.Hour, "several.ask_office"},
		{"one", l, []law.Cents{30000}, 0, "several.none"},
	} {
		t.Run(c.id, func(t *testing.T) {
			sum, err := c.law.Several(first, first.Add(c.after), c.minima)
			got := sum.String()
			if err != nil {
				got = code(err)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	before := rome(t, "2024-12-13T12:00:00+01:00")
	if _, err := l.Several(before, before, []law.Cents{1, 2}); code(err) != "several.no_row" {
		t.Errorf("before the law: %v", err)
	}
}

// TestV20 is the price of service by SEND.
func TestV20(t *testing.T) {
	if got := italy(t).SendCosts(100, nil, 22); got != 200 {
		t.Errorf("digital only: %v", got)
	}
	if got := italy(t).SendCosts(100, []law.Cents{795, 5}, 22); got != 1176 {
		t.Errorf("with letters: %v", got)
	}
}

// TestV31 refuses by silence.
func TestV31(t *testing.T) {
	refused, payable := italy(t).PlanSilence(day(t, "2026-01-12"))
	if refused != day(t, "2026-04-12") || payable != day(t, "2026-05-12") {
		t.Errorf("refused %v, payable until %v", refused, payable)
	}
}

// TestInstalments holds amounts and incomes.
func TestInstalments(t *testing.T) {
	for _, c := range []struct {
		id                string
		sanction, income  law.Cents
		relatives, number int
		code              string
	}{
		{"V32", 54300, 0, 0, 5, ""},
		{"V32 2,000", 200000, 0, 0, 12, ""},
		{"V32 2,000.01", 200001, 0, 0, 20, ""},
		{"V32 5,000.01", 500001, 0, 0, 50, ""},
		{"V42", 23067, 1372689, 3, 2, ""},
		{"V42 a cent more", 23067, 1372690, 3, 0, "plan.income"},
		{"200 is not above", 20000, 0, 0, 0, "plan.amount"},
		{"200.01", 20001, 0, 0, 2, ""},
		{"7,000", 700000, 0, 0, 60, ""},
	} {
		t.Run(c.id, func(t *testing.T) {
			n, err := italy(t).Instalments(c.sanction, c.income, c.relatives)
			if n != c.number || err == nil != (c.code == "") || err != nil && code(err) != c.code {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	for _, n := range []int{1, 3, 12, 60} {
		parts, sum := law.Split(54301, n), law.Cents(0)
		for i, p := range parts {
			sum += p
			if i > 0 && p > parts[0] {
				t.Errorf("instalment %d is larger than the first", i)
			}
		}
		if sum != 54301 || len(parts) != n {
			t.Errorf("%d instalments sum to %v", len(parts), sum)
		}
	}
}

// TestSurcharge adds a tenth for each whole half year.
func TestSurcharge(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     law.Cents
	}{
		{"2026-03-01", "2026-08-31", 0}, {"2026-03-01", "2026-09-01", 865}, {"2026-03-01", "2027-03-01", 1730},
		{"2026-08-31", "2027-02-27", 0}, {"2026-08-31", "2027-02-28", 865},
	} {
		if got := italy(t).Surcharge(8650, day(t, c.from), day(t, c.to)); got != c.want {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// TestRates recomputes each row from the one before (V43): every limit of a row comes out
// of its rate, and the check of a new table finds a limit that does not.
func TestRates(t *testing.T) {
	l := italy(t)
	before := map[string][2]int64{}
	computed := 0
	for _, row := range l.Sanctions {
		for article, limits := range row.Euro {
			if old, ok := before[article]; ok && row.Rate != nil {
				computed++
				if got := [2]int64{row.Rate.Update(old[0]), row.Rate.Update(old[1])}; got != limits {
					t.Errorf("%s %s: %v by %v, printed %v", row.ID, article, got, row.Rate, limits)
				}
			}
			before[article] = limits
		}
	}
	if computed != 20 {
		t.Errorf("computed %d rows, want 20", computed)
	}

	table := func(c8 int, rate string) string {
		return fmt.Sprintf("[[sanctions]]\nid = \"test-2027\"\nfrom = \"2027-01-01\"\nsource = \"a test\"\n%s\neuro = { \"142(7)\" = [49, 203], \"142(8)\" = [%d, 815], \"142(9)\" = [638, 2550], \"142(9-bis)\" = [993, 3974] }\n", rate, c8)
	}
	differences, computed, err := l.CheckUpdate(table(203, `rate = "+17.5%"`))
	if err != nil || len(differences) != 0 || computed != 8 {
		t.Errorf("a true table: %v, %d, %v", differences, computed, err)
	}
	differences, _, err = l.CheckUpdate(table(204, `rate = "+17.5%"`))
	if err != nil || len(differences) != 1 || differences[0] != (law.Difference{Article: "142(8)", Limit: "least", Printed: 204, Wants: 203}) {
		t.Errorf("a false table: %v, %v", differences, err)
	}
	for _, bad := range []string{"", "[[sanctions]]", table(203, ""), table(203, `rate = "+17.5"`), strings.Replace(table(203, `rate = "+17.5%"`), "2027", "2026", 2), strings.Replace(table(203, `rate = "+17.5%"`), "142(8)", "142(80)", 1)} {
		if _, _, err := l.CheckUpdate(bad); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}

// TestParseRefuses holds tables that must not count.
func TestParseRefuses(t *testing.T) {
	text, err := os.ReadFile("italy.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`until = "2026-12-31"` + "\n" + `source = "DM 31`, `until = "2020-12-31"` + "\n" + `source = "DM 31`},
		{`until = "2020-12-31"` + "\n" + `source = "DM 27`, `until = "2021-01-01"` + "\n" + `source = "DM 27`},
		{`"142(7)" = [42, 173], "142(8)" = [173, 694]`, `"142(7)" = [420, 173], "142(8)" = [173, 694]`},
		{`rate = "-0.2%"`, `rate = "minus"`},
		{`rounding = "half up"`, `rounding = "up"`},
		{`percent = 30`, `percent = 130`},
		{`days = 5`, `days = 0`},
		{`[late]`, `[later]`},
		{`rule = "ask the office"`, `rule = "sum"`},
		{`income = "10628.16"`, `income = "10628.1"`},
		{`first = "08-01"`, `first = "13-01"`},
		{`over = 10`, `over = 70`},
	} {
		changed := strings.Replace(string(text), c[0], c[1], 1)
		if changed == string(text) {
			t.Fatalf("%q is not in the table", c[0])
		}
		if _, err := law.Parse(changed); err == nil {
			t.Errorf("taken with %q", c[1])
		}
	}
}
