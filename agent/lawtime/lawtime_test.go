package lawtime_test

import (
	"testing"
	"time"

	"ciglio/agent/lawtime"
	"ciglio/internal/strict"
)

func TestADayIsThatAtTheSite(t *testing.T) {
	for text, want := range map[string][2]string{ // first and last instant
		"2026-01-10":                {"2026-01-09T23:00:00Z", "2026-01-10T22:59:59Z"},
		"2026-07-10":                {"2026-07-09T22:00:00Z", "2026-07-10T21:59:59Z"},
		"2026-03-29":                {"2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"}, // 23 hours long
		"2026-10-25":                {"2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"}, // 25 hours long
		"2028-02-29":                {"2028-02-28T23:00:00Z", "2028-02-29T22:59:59Z"},
		"2026-12-31":                {"2026-12-30T23:00:00Z", "2026-12-31T22:59:59Z"},
		"2026-01-10T08:00:00+01:00": {"2026-01-10T07:00:00Z", "2026-01-10T07:00:00Z"},
		"2026-01-10T08:00:00Z":      {"2026-01-10T08:00:00Z", "2026-01-10T08:00:00Z"},
	} {
		var v struct {
			B lawtime.Begin `toml:"b"`
			E lawtime.End   `toml:"e"`
		}
		if _, err := strict.Decode("b = "+text+"\ne = "+text, &v); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := [2]string{v.B.UTC().Format(time.RFC3339), v.E.UTC().Format(time.RFC3339)}; got != want {
			t.Errorf("%s lasts from %s to %s, want %s to %s", text, got[0], got[1], want[0], want[1])
		}
	}
}

func TestWhatIsNoDayIsRefused(t *testing.T) {
	for _, text := range []string{"2026-01-10T08:00:00", "08:00:00", "\"2026-01-10\"", "20260110", "true", "9999-12-31", "2026-02-30"} {
		var v struct {
			B lawtime.Begin `toml:"b"`
		}
		if _, err := strict.Decode("b = "+text, &v); err == nil {
			t.Errorf("%s is read as %v", text, v.B)
		}
	}
	var v struct {
		D lawtime.Day `toml:"d"`
	}
	if _, err := strict.Decode("d = 2026-01-10T00:00:00Z", &v); err == nil {
		t.Error("an instant passes for a day")
	}
	if _, err := strict.Decode("d = 2026-01-10", &v); err != nil || !v.D.Equal(time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, %v", v.D, err)
	}
}
