// Package lawtime reads days and instants of statements, as the law counts them:
// a day is that at the site ([evidence.SiteDay]), from its first instant to its
// last whole second.
//
// In a statement each may be written as a day, 2026-01-10, or as an instant with
// its time zone, 2026-01-10T08:00:00+01:00. An instant without one would be another
// on another machine, and is an error.
//
// The types are plain values that package strict decodes into.
package lawtime

import (
	"errors"
	"strings"
	"time"

	"ciglio/capture/evidence"
)

var (
	errInstant = errors.New("want a day, such as 2026-01-10, or date, time and time zone, as 2026-01-10T00:00:00+01:00, or with Z for UTC")
	errDay     = errors.New("want a day, such as 2026-01-10")
	errYear    = errors.New("want a day before the year 9999")
)

// A Begin is the first instant at which something holds. A day stands for its first.
type Begin struct{ time.Time }

// An End is the last instant at which something holds, to a whole second where it
// is written as a day.
type End struct{ time.Time }

// A Day is a calendar day at the site, held as midnight UTC.
type Day struct{ time.Time }

// UnmarshalTOML takes what the decoder has read.
func (b *Begin) UnmarshalTOML(value any) error {
	at, day, err := read(value)
	if b.Time = at; day {
		b.Time = first(at)
	}
	return err
}

// UnmarshalTOML takes what the decoder has read.
func (e *End) UnmarshalTOML(value any) error {
	at, day, err := read(value)
	if e.Time = at; day {
		e.Time = first(at.AddDate(0, 0, 1)).Add(-time.Second)
	}
	return err
}

// UnmarshalTOML takes what the decoder has read.
func (d *Day) UnmarshalTOML(value any) error {
	at, day, err := read(value)
	if !day || err != nil {
		return errDay
	}
	d.Time = at
	return nil
}

func first(day time.Time) time.Time {
	year, month, d := day.Date()
	return evidence.SiteDay(year, month, d)
}

// read returns an instant, or a day as midnight UTC.
func read(value any) (at time.Time, day bool, err error) {
	at, ok := value.(time.Time)
	if !ok {
		return time.Time{}, false, errInstant
	}
	// So the decoder marks what has no offset, and gives it this machine's.
	switch zone := at.Location().String(); {
	case zone == "date-local":
		year, month, d := at.Date()
		at, day = time.Date(year, month, d, 0, 0, 0, 0, time.UTC), true
	case strings.HasSuffix(zone, "-local"):
		return time.Time{}, false, errInstant
	}
	if day && at.Year() == 9999 { // its end is in a year that nothing holds
		return time.Time{}, false, errYear
	}
	return at, day, nil
}
