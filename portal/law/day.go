package law

import (
	"time"

	"ciglio/capture/evidence"
)

// A Day is a civil day in Italy. The zero Day is none.
type Day struct {
	year  int
	month time.Month
	day   int
}

// Date returns a day; as for [time.Date] 31 November is 1 December.
func Date(year int, month time.Month, day int) Day {
	year, month, day = time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Date()
	return Day{year, month, day}
}

// DayOf returns the day in Italy of an instant.
func DayOf(at time.Time) Day { return Date(evidence.SiteTime(at).Date()) }

// ParseDay reads 2026-12-07. A day that does not exist is an error.
func ParseDay(text string) (Day, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Day{}, no("day.malformed", "%q: want a day as 2026-12-07", text)
	}
	return Date(t.Date()), nil
}

// Zero reports whether d is no day.
func (d Day) Zero() bool { return d == Day{} }

// String prints 2026-12-07.
func (d Day) String() string { return d.utc().Format(time.DateOnly) }

// MarshalText prints d as String does.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads d as ParseDay does.
func (d *Day) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDay(string(text))
	return err
}

// Add returns the day n days later, or earlier when n is negative.
func (d Day) Add(n int) Day { return Date(d.year, d.month, d.day+n) }

// Before reports whether d is before o.
func (d Day) Before(o Day) bool { return d.utc().Before(o.utc()) }

// Since returns the days from o to d.
func (d Day) Since(o Day) int { return int(d.utc().Sub(o.utc()) / (24 * time.Hour)) }

// Weekday returns the day of the week.
func (d Day) Weekday() time.Weekday { return d.utc().Weekday() }

// Year returns the year.
func (d Day) Year() int { return d.year }

// Begin returns the first instant of the day in Italy.
func (d Day) Begin() time.Time { return evidence.SiteDay(d.year, d.month, d.day) }

// End returns the last whole second of the day in Italy.
func (d Day) End() time.Time { return evidence.SiteTime(d.Add(1).Begin().Add(-time.Second)) }

func (d Day) utc() time.Time { return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC) }

// A span is the days in which a row is in force. The zero until is open.
type span struct {
	From  Day `toml:"from"`
	Until Day `toml:"until"`
}

func (s span) on(d Day) bool { return !d.Before(s.From) && (s.Until.Zero() || !s.Until.Before(d)) }

// A date is a day of each year, as 08-15.
type date struct {
	month time.Month
	day   int
}

func (d *date) UnmarshalText(text []byte) error {
	t, err := time.Parse("2006-01-02", "2000-"+string(text))
	if err != nil {
		return no("day.malformed", "%q: want a day of the year as 08-15", text)
	}
	_, d.month, d.day = t.Date()
	return nil
}

// in returns the day in a year.
func (d date) in(year int) Day { return Date(year, d.month, d.day) }
