package easter

import (
	"testing"
	"time"
)

// TestSunday compares with the dates of the Pontifical ephemeris for years whose
// Easter is the earliest, the latest, and those of law.md.
func TestSunday(t *testing.T) {
	for year, want := range map[int]string{
		1818: "03-22", 1943: "04-25", 2000: "04-23", 2008: "03-23", 2011: "04-24", 2019: "04-21", 2024: "03-31", 2025: "04-20",
		2026: "04-05", 2027: "03-28", 2028: "04-16", 2038: "04-25", 2285: "03-22",
	} {
		if got := Sunday(year); got.Format("01-02") != want || got.Weekday() != time.Sunday {
			t.Errorf("%d: %v", year, got)
		}
	}
	for year := 1583; year < 4100; year++ {
		e := Sunday(year)
		if e.Weekday() != time.Sunday || e.Before(time.Date(year, 3, 22, 0, 0, 0, 0, time.UTC)) || e.After(time.Date(year, 4, 25, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("%d: %v", year, e)
		}
	}
}
