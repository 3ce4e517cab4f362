package enforce

import (
	"testing"
	"time"

	"ciglio/sensor"
)

func rule(t *testing.T) Rule {
	t.Helper()
	table, err := Italy()
	if err != nil {
		t.Fatal(err)
	}
	r, err := table.On(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAssess(t *testing.T) {
	r := rule(t)
	for _, c := range []struct {
		name                                  string
		measured, limit                       sensor.Speed
		indicated, reduction, assessed, above sensor.Speed
	}{
		{"standing", 0, 50 * sensor.KmH, 0, 500, 0, 0},
		{"below the reduction never goes negative", 3 * sensor.KmH, 50 * sensor.KmH, 300, 500, 0, 0},
		{"50: 55 indicated is still free", 5599, 5000, 5500, 500, 5000, 0},
		{"50: 56 is the first that counts", 5600, 5000, 5600, 500, 5100, 100},
		{"90: 95.99 truncates to 95 and is free", 9599, 9000, 9500, 500, 9000, 0},
		{"90: 96 is the first that counts", 9600, 9000, 9600, 500, 9100, 100},
		{"100 is where both parts are equal", 10000, 9000, 10000, 500, 9500, 500},
		{"101: five per cent takes over", 10100, 9000, 10100, 505, 9595, 595},
		{"130: 136 is still free", 13699, 13000, 13600, 680, 12920, 0},
		{"130: 137 is the first that counts", 13700, 13000, 13700, 685, 13015, 15},
		{"equal to the limit is no violation", 7500, 7000, 7500, 500, 7000, 0},
		{"the fastest value of the type", 1<<31 - 1, 13000, 2147483600, 107374180, 2040109420, 2040096420},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Assess(c.measured, c.limit, r)
			if a.Indicated != c.indicated || a.Reduction != c.reduction || a.Assessed != c.assessed {
				t.Errorf("Assess(%v) = %v less %v is %v, want %v less %v is %v", c.measured,
					a.Indicated, a.Reduction, a.Assessed, c.indicated, c.reduction, c.assessed)
			}
			if got := a.Violation(); got != (c.above > 0) {
				t.Errorf("Violation = %v at %v over the limit", got, c.above)
			}
		})
	}
}

// TestAssessFavoursTheDriver compares every speed up to 400 km/h with exact
// rational arithmetic.
func TestAssessFavoursTheDriver(t *testing.T) {
	r := rule(t)
	for measured := sensor.Speed(0); measured <= 400*sensor.KmH; measured++ {
		a := Assess(measured, 0, r)
		if a.Indicated > measured || measured-a.Indicated >= sensor.KmH {
			t.Fatalf("%v is indicated as %v", measured, a.Indicated)
		}
		if a.Reduction < 5*sensor.KmH || int64(a.Reduction)*100 < int64(a.Indicated)*5 {
			t.Fatalf("%v is reduced by %v only", a.Indicated, a.Reduction)
		}
	}
}

func TestRulesByDate(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	table := Table{{ID: "old", From: day("2000-01-01"), To: day("2009-12-31")}, {ID: "new", From: day("2010-01-01")}}
	rome := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		name, want string
		at         time.Time
	}{
		{"before the first rule", "", time.Date(1999, 12, 31, 23, 59, 59, 0, rome)},
		{"first second of the first day", "old", time.Date(2000, 1, 1, 0, 0, 0, 0, rome)},
		{"last second of the last day", "old", time.Date(2009, 12, 31, 23, 59, 59, 0, rome)},
		{"the day at the site counts, not that of UTC", "new", time.Date(2009, 12, 31, 23, 30, 0, 0, time.UTC).In(rome)},
		{"in force without end", "new", time.Date(2099, 1, 1, 0, 0, 0, 0, rome)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := table.On(c.at)
			if (err != nil) != (c.want == "") || r.ID != c.want {
				t.Errorf("On(%v) = %q, %v, want %q", c.at, r.ID, err, c.want)
			}
		})
	}
}
