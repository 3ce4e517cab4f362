package page

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A day that was read is one of the calendar, and is read again from what it prints.
func FuzzDate(f *testing.F) {
	for _, seed := range []string{"", "2026-12-07", "7.12.2026", "30/02/2026", "1.1.1", "99999.1.1", "..", "7 12 2026"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, code := parseDate(text)
		if (code == "") == d.Zero() {
			t.Fatalf("%q: %v and %q", text, d, code)
		}
		if code != "" {
			return
		}
		if at := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC); at.Day() != d.Day || at.Month() != d.Month {
			t.Errorf("%q: %v is no day", text, d)
		}
		if again, code := parseDate(d.String()); again != d || code != "" {
			t.Errorf("%q: %v is read again as %v %q", text, d, again, code)
		}
	})
}

// An amount that was read is what its digits say, and is read again from what it prints.
func FuzzCents(f *testing.F) {
	for _, seed := range []string{"", "29,40", "1.234,50", "1,234.50", ",", "1..2", "€", "1 234", "0000000000000000001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cents, code := parseCents(text)
		if code != "" {
			if cents != 0 {
				t.Errorf("%q: %d and %q", text, cents, code)
			}
			return
		}
		if cents < 0 || cents > maxCents {
			t.Fatalf("%q: %d", text, cents)
		}
		for _, point := range []string{",", "."} {
			if again, code := parseCents(fmt.Sprintf("%d%s%02d", cents/100, point, cents%100)); again != cents || code != "" {
				t.Errorf("%q: %d is read again as %d %q", text, cents, again, code)
			}
		}
		digits := strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, text)
		if said := strings.TrimLeft(digits, "0"); said != strings.TrimLeft(fmt.Sprint(cents), "0") && said+"00" != fmt.Sprint(cents) && strings.Trim(said, "0") != "" {
			t.Errorf("%q: %d", text, cents)
		}
	})
}
