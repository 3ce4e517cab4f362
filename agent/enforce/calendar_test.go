package enforce

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata"

	"ciglio/sensor"
)

func site(t testing.TB, limits ...Limit) Calendar {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return Calendar{Zone: zone, Limits: limits}
}

func TestHolidays(t *testing.T) {
	c := site(t)
	c.Patron = Date{6, 24}
	for day, want := range map[string]bool{
		"2026-01-01": true, "2026-01-06": true, "2026-04-05": true, "2026-04-06": true, "2026-04-07": false, "2027-03-29": true,
		"2026-04-25": true, "2026-05-01": true, "2026-06-02": true, "2026-08-15": true, "2025-10-04": false, "2026-10-04": true, "2027-10-04": true,
		"2026-11-01": true, "2026-11-02": false, "2026-12-08": true, "2026-12-25": true, "2026-12-26": true, "2026-12-24": false, "2026-06-24": true,
		"2028-02-29": false,
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.holiday(at); got != want {
			t.Errorf("%s: holiday %t", day, got)
		}
	}
}

func TestLimitsByTheCalendar(t *testing.T) {
	night := Limit{Speed: 5000, From: 22 * 60, To: 7 * 60}
	second := Limit{Speed: 6000, From: 2 * 60, To: 3 * 60}
	school := Limit{Speed: 3000, Days: Working, From: 7*60 + 30, To: 8*60 + 30}
	feast := Limit{Speed: 4000, Days: Holiday}
	monday := Limit{Speed: 3500, Days: Monday}
	lane2 := Limit{Speed: 9000, Lanes: []int{2}}
	lorry := Limit{Speed: 6000, Class: 3}
	works := Limit{Speed: 2000, First: time.Date(2026, 6, 10, 0, 0, 0, 0, time.UTC), Last: time.Date(2026, 6, 12, 0, 0, 0, 0, time.UTC)}
	base := Limit{Speed: 7000}
	for _, c := range []struct {
		name   string
		limits []Limit
		at     string
		lane   int
		class  uint8
		want   sensor.Speed
	}{
		{"no limit at all", nil, "2026-06-01T12:00:00+02:00", 0, 0, 0},
		{"one limit", []Limit{base}, "2026-06-01T12:00:00+02:00", 0, 0, 7000},
		{"last instant before the night", []Limit{night, base}, "2026-06-01T21:59:59.999999999+02:00", 0, 0, 7000},
		{"first instant of the night", []Limit{night, base}, "2026-06-01T22:00:00+02:00", 0, 0, 5000},
		{"midnight is in it", []Limit{night, base}, "2026-06-02T00:00:00+02:00", 0, 0, 5000},
		{"its last instant", []Limit{night, base}, "2026-06-02T06:59:59.999999999+02:00", 0, 0, 5000},
		{"its end", []Limit{night, base}, "2026-06-02T07:00:00+02:00", 0, 0, 7000},
		{"the hour that comes twice, the first time", []Limit{second, base}, "2026-10-25T02:30:00+02:00", 0, 0, 6000},
		{"the second time", []Limit{second, base}, "2026-10-25T02:30:00+01:00", 0, 0, 6000},
		{"behind both", []Limit{second, base}, "2026-10-25T03:00:00+01:00", 0, 0, 7000},
		{"the hour that does not come: before it", []Limit{second, base}, "2026-03-29T01:59:59+01:00", 0, 0, 7000},
		{"the hour that does not come: behind it", []Limit{second, base}, "2026-03-29T03:00:00+02:00", 0, 0, 7000},
		{"a working day", []Limit{school, base}, "2026-06-01T08:00:00+02:00", 0, 0, 3000},
		{"Saturday is one", []Limit{school, base}, "2026-06-06T08:00:00+02:00", 0, 0, 3000},
		{"Sunday is none", []Limit{school, base}, "2026-06-07T08:00:00+02:00", 0, 0, 7000},
		{"a holiday is none", []Limit{school, base}, "2026-06-02T08:00:00+02:00", 0, 0, 7000},
		{"a holiday", []Limit{feast, base}, "2026-06-02T08:00:00+02:00", 0, 0, 4000},
		{"a holiday on a Sunday", []Limit{feast, base}, "2026-11-01T08:00:00+01:00", 0, 0, 4000},
		{"Easter Monday is a Monday, too", []Limit{monday, feast, base}, "2026-04-06T08:00:00+02:00", 0, 0, 3500},
		{"a day in UTC that is another at the site", []Limit{feast, base}, "2026-06-01T22:00:00Z", 0, 0, 4000},
		{"a lane of its own", []Limit{lane2, base}, "2026-06-01T12:00:00+02:00", 2, 0, 9000},
		{"the other lane", []Limit{lane2, base}, "2026-06-01T12:00:00+02:00", 1, 0, 7000},
		{"a lane that is not known has the highest", []Limit{{Speed: 7000, Lanes: []int{1}}, lane2}, "2026-06-01T12:00:00+02:00", 0, 0, 9000},
		{"a lorry", []Limit{lorry, base}, "2026-06-01T12:00:00+02:00", 0, 3, 6000},
		{"a car", []Limit{lorry, base}, "2026-06-01T12:00:00+02:00", 0, 1, 7000},
		{"a class that is not known has the highest", []Limit{lorry, base}, "2026-06-01T12:00:00+02:00", 0, 0, 7000},
		{"a class that is not known, of which one has no limit", []Limit{lorry}, "2026-06-01T12:00:00+02:00", 0, 0, 0},
		{"the day before the works", []Limit{works, base}, "2026-06-09T23:59:59+02:00", 0, 0, 7000},
		{"their first instant", []Limit{works, base}, "2026-06-10T00:00:00+02:00", 0, 0, 2000},
		{"their last", []Limit{works, base}, "2026-06-12T23:59:59+02:00", 0, 0, 2000},
		{"the day after", []Limit{works, base}, "2026-06-13T00:00:00+02:00", 0, 0, 7000},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339Nano, c.at)
			if err != nil {
				t.Fatal(err)
			}
			got, err := site(t, c.limits...).At(at, c.lane, c.class)
			if got.Speed != c.want || (err != nil) != (c.want == 0) {
				t.Errorf("%v, %v, want %v", got.Speed, err, c.want)
			}
		})
	}
}

func TestALimitThatChangesInMidPassage(t *testing.T) {
	c := site(t, Limit{Speed: 5000, From: 22 * 60, To: 7 * 60}, Limit{Speed: 7000})
	ten := time.Date(2026, 6, 1, 22, 0, 0, 0, c.Zone)
	for _, row := range []struct {
		name     string
		from, to time.Duration // from ten o'clock
		want     sensor.Speed
	}{
		{"before it", -5 * time.Second, -1, 7000},
		{"ends as it changes", -5 * time.Second, 0, 0},
		{"in the middle", -5 * time.Second, time.Second, 0},
		{"begins as it changes", 0, 5 * time.Second, 5000},
		{"behind it", time.Second, 5 * time.Second, 5000},
		{"an hour long, over midnight", time.Hour, 3 * time.Hour, 5000},
		{"all night", time.Hour, 9 * time.Hour, 0},
	} {
		got, err := c.Constant(ten.Add(row.from), ten.Add(row.to), 1, 0)
		if got.Speed != row.want || (err != nil) != (row.want == 0) {
			t.Errorf("%s: %v, %v", row.name, got.Speed, err)
		}
	}
	two := site(t, Limit{Speed: 7000, To: 22 * 60}, Limit{Speed: 7000})
	if got, err := two.Constant(ten.Add(-time.Second), ten.Add(time.Second), 1, 0); err != nil || got.Speed != 7000 {
		t.Errorf("two limits of one speed: %v, %v", got, err)
	}
}

func TestAVariableSign(t *testing.T) {
	const second = sensor.Mono(time.Second)
	gone := errors.New("no answer")
	s := NewSign(10*time.Second, 2*time.Second)
	for at := range sensor.Mono(101) { // shows 90 from 1 s on, 70 from 50 s on, is silent from 80 to 90 s
		limit, err := sensor.Speed(9000), error(nil)
		switch {
		case at == 0:
			err = gone
		case at >= 50:
			limit = 7000
		}
		if at < 80 || at >= 90 {
			s.Show(at*second, limit, err)
		}
		now := at * second
		for _, c := range []struct {
			name string
			at   sensor.Mono // the passage ends then, 2 s long
			want sensor.Speed
			err  error
		}{
			{"nothing known", 0, 0, ErrSignUnknown},
			{"within the grace time", 12, 0, ErrSignChanged},
			{"behind the grace time", 13, 9000, nil},
			{"before the change", 49, 9000, nil},
			{"in mid-passage", 51, 0, ErrSignChanged},
			{"within the grace time of the change", 61, 0, ErrSignChanged},
			{"behind it", 62, 7000, nil},
			{"silent for two seconds", 81, 7000, nil},
			{"silent for longer", 82, 0, ErrSignUnknown},
			{"heard again: it may have changed twice", 92, 0, ErrSignChanged},
			{"behind its grace time", 102, 0, nil},
		} {
			if c.at != at {
				continue
			}
			got, _, err := s.Limit(now-2*second, now, now)
			if got != c.want || !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Errorf("%s: %v, %v", c.name, got, err)
			}
		}
	}
	if s.Show(101*second, 0, nil); !errors.Is(s.Known(101*second), ErrSignUnknown) {
		t.Error("a dark sign has a limit")
	}
}
