package enforce

import (
	"fmt"
	"slices"
	"time"

	"ciglio/internal/easter"
	"ciglio/sensor"
)

// A Calendar is the limits of a site in the order in which they are asked: of those
// that hold for a lane at an instant the first counts.
//
// Hours and days are those on the clocks at the site. When summer ends, the hour from
// two to three comes twice, and a limit of that hour holds both times; when it begins,
// that hour does not come. A limit from 22:00 to 07:00 holds on the days it names
// from midnight to 07:00 and from 22:00 to midnight: each instant is of its own day.
type Calendar struct {
	Zone   *time.Location
	Limits []Limit
	Patron Date // a local holiday of each year; zero for none
}

// A Limit is a speed limit with where and when it holds. What is left out does not
// restrict it.
type Limit struct {
	Speed    sensor.Speed
	Class    uint8 // of vehicles; 0 for all
	Lanes    []int // from 1
	Days     Days
	From, To int       // minutes after midnight, To exclusive; equal for the whole day
	First    time.Time // first day, as midnight UTC
	Last     time.Time // last day
}

// A Date is a day of each year.
type Date struct {
	Month time.Month
	Day   int
}

// Days is a set of kinds of days; 0 stands for all. The names of the week mean the
// days of the calendar, whatever is celebrated.
type Days uint16

// Kinds of days. Working days are Monday to Saturday but for holidays; holidays are
// Sundays and the feasts of law (as the panels under Italian signs mean them).
const (
	Sunday Days = 1 << iota
	Monday
	Tuesday
	Wednesday
	Thursday
	Friday
	Saturday
	Working
	Holiday
)

// has reports whether the set has a day.
func (d Days) has(weekday time.Weekday, holiday bool) bool {
	kind := Working
	if holiday || weekday == time.Sunday {
		kind = Holiday
	}
	return d == 0 || d&(1<<weekday|kind) != 0
}

// At returns the limit that holds for a lane, 0 for one that the sensor does not
// tell, and a class of vehicles, 0 for one that is not known. Of a class or lane that
// is not known the highest limit counts of those that hold for any: so nobody is
// accused by another's limit.
func (c Calendar) At(at time.Time, lane int, class uint8) (Limit, error) {
	var found *Limit
	for _, lane := range c.lanes(lane) {
		for _, class := range c.classes(class) {
			i := slices.IndexFunc(c.Limits, func(l Limit) bool { return c.holds(l, at, lane, class) })
			if i < 0 {
				return Limit{}, fmt.Errorf("no limit for lane %d, class %d at %s", lane, class, at.In(c.Zone).Format(time.RFC3339))
			}
			if l := c.Limits[i]; found == nil || l.Speed > found.Speed {
				found = &l
			}
		}
	}
	return *found, nil
}

// lanes returns the lanes that one may be: itself, or each that has a limit of its
// own, and any other.
func (c Calendar) lanes(lane int) []int {
	if lane > 0 {
		return []int{lane}
	}
	all := []int{0}
	for _, l := range c.Limits {
		all = append(all, l.Lanes...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > 1 { // a limit of all lanes holds for each of them, too
		all = all[1:]
	}
	return all
}

func (c Calendar) classes(class uint8) []uint8 {
	if class > 0 {
		return []uint8{class}
	}
	all := []uint8{0}
	for _, l := range c.Limits {
		all = append(all, l.Class)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c Calendar) holds(l Limit, at time.Time, lane int, class uint8) bool {
	at = at.In(c.Zone)
	year, month, day := at.Date()
	today := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	minute := 60*at.Hour() + at.Minute()
	within := l.From == l.To || l.From < l.To && minute >= l.From && minute < l.To || l.From > l.To && (minute >= l.From || minute < l.To)
	return within &&
		(l.Class == 0 || l.Class == class) &&
		(len(l.Lanes) == 0 || slices.Contains(l.Lanes, lane)) &&
		!today.Before(l.First) && (l.Last.IsZero() || !today.After(l.Last)) &&
		l.Days.has(at.Weekday(), c.holiday(today))
}

// Constant returns the limit that holds for a lane and class from one instant to
// another, or an error when none does, or it changes in between. Two limits of one
// speed are one.
func (c Calendar) Constant(from, to time.Time, lane int, class uint8) (Limit, error) {
	first, err := c.At(from, lane, class)
	if err != nil {
		return Limit{}, err
	}
	// Limits change on whole minutes of the clock at the site.
	for at := from; at.Before(to); {
		at = at.Truncate(time.Minute).Add(time.Minute)
		if at.After(to) {
			break
		}
		next, err := c.At(at, lane, class)
		if err != nil {
			return Limit{}, err
		}
		if next.Speed != first.Speed {
			return Limit{}, fmt.Errorf("the limit changes from %v to %v at %s", first.Speed, next.Speed, at.In(c.Zone).Format(time.RFC3339))
		}
	}
	return first, nil
}

// Range returns the lowest and the highest limit of the calendar.
func (c Calendar) Range() (least, most sensor.Speed) {
	for i, l := range c.Limits {
		if i == 0 || l.Speed < least {
			least = l.Speed
		}
		most = max(most, l.Speed)
	}
	return least, most
}

// holiday reports whether a day, midnight UTC, is a feast: national ones by law, of
// 4 October since 2026 (law 151/2025), Easter Monday as computed, and the patron's.
func (c Calendar) holiday(day time.Time) bool {
	year, month, d := day.Date()
	date := Date{month, d}
	switch date {
	case Date{1, 1}, Date{1, 6}, Date{4, 25}, Date{5, 1}, Date{6, 2}, Date{8, 15}, Date{11, 1}, Date{12, 8}, Date{12, 25}, Date{12, 26}:
		return true
	case Date{10, 4}:
		return year >= 2026 || date == c.Patron
	}
	sunday := easter.Sunday(year)
	return date == c.Patron || day.Equal(sunday) || day.Equal(sunday.AddDate(0, 0, 1))
}
