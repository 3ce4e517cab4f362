package law_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"ciglio/portal/law"
)

func italy(t testing.TB) *law.Law {
	t.Helper()
	l, err := law.Italy()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func day(t testing.TB, text string) law.Day {
	t.Helper()
	d, err := law.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func moment(t testing.TB, text string) (m law.Moment) {
	t.Helper()
	if text == "" {
		return m
	}
	quoted, _ := json.Marshal(text)
	if err := json.Unmarshal(quoted, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func rome(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func code(err error) string {
	var e *law.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// TestSanction holds bands, classes, night, and which row prices a day.
func TestSanction(t *testing.T) {
	const noon = "2026-05-05T12:00:00+02:00"
	for _, c := range []struct {
		id               string
		limit, indicated int
		class            law.Class
		at               string
		want             string
	}{
		{"V33", 130, 148, law.Car, noon, "142(8) 173.00 694.00 points 3 reducible"},
		{"V35", 50, 56, law.Car, "2023-08-05T12:00:00+02:00", "142(7) 42.00 173.00 points 0 reducible"},
		{"V22 night", 50, 56, law.Car, "2026-05-05T23:00:00+02:00", "142(7) 56.00 230.67 points 0 reducible night"},
		{"excess of 10 is paragraph 7", 50, 65, law.Car, noon, "142(7) 42.00 173.00 points 0 reducible"},
		{"excess of 11", 50, 66, law.Car, noon, "142(8) 173.00 694.00 points 3 reducible"},
		{"V34 excess of 10.1", 130, 147, law.Car, noon, "142(7) 42.00 173.00 points 0 reducible"}, // 139.65
		{"excess of 40", 50, 95, law.Car, noon, "142(8) 173.00 694.00 points 3 reducible"},
		{"excess of 41", 50, 96, law.Car, noon, "142(9) 543.00 2170.00 points 6"},
		{"excess of 40.25", 90, 137, law.Car, noon, "142(9) 543.00 2170.00 points 6"}, // 130.15
		{"excess of 60.7", 70, 138, law.Car, noon, "142(9-bis) 845.00 3382.00 points 10"},
		{"night of paragraph 8", 90, 120, law.Car, "2026-05-05T22:00:01+02:00", "142(8) 230.67 925.33 points 3 reducible night"},
		{"22:00 is not after", 90, 120, law.Car, "2026-05-05T22:00:00+02:00", "142(8) 173.00 694.00 points 3 reducible"},
		{"a moment after 22:00", 90, 120, law.Car, "2026-05-05T22:00:00.001+02:00", "142(8) 230.67 925.33 points 3 reducible night"},
		{"06:59:59", 90, 120, law.Car, "2026-05-05T06:59:59+02:00", "142(8) 230.67 925.33 points 3 reducible night"},
		{"07:00 is not before", 90, 120, law.Car, "2026-05-05T07:00:00+02:00", "142(8) 173.00 694.00 points 3 reducible"},
		{"night of the winter", 90, 120, law.Car, "2026-01-05T21:00:01Z", "142(8) 230.67 925.33 points 3 reducible night"},
		{"a lorry pays twice", 80, 100, law.Lorry, noon, "142(8) 346.00 1388.00 points 3 reducible doubled"},
		{"a lorry by night", 80, 100, law.Lorry, "2026-05-05T23:00:00+02:00", "142(8) 461.33 1850.67 points 3 reducible doubled night"},
		{"a motorcycle does not", 80, 100, law.Motorcycle, noon, "142(8) 173.00 694.00 points 3 reducible"},
		{"2012 knows no reduction", 80, 100, law.Car, "2012-05-05T12:00:00+02:00", "142(8) 159.00 639.00 points 3"},
		{"2014", 80, 100, law.Car, "2014-05-05T12:00:00+02:00", "142(8) 168.00 674.00 points 3 reducible"},
		{"2019", 80, 100, law.Car, "2019-05-05T12:00:00+02:00", "142(8) 173.00 695.00 points 3 reducible"},
		{"last second of 2020", 80, 100, law.Car, "2020-12-31T22:59:59Z", "142(8) 230.67 926.67 points 3 reducible night"},
		{"first second of 2021", 80, 100, law.Car, "2020-12-31T23:00:00Z", "142(8) 230.67 925.33 points 3 reducible night"},
		{"C68 last second of 2026", 80, 100, law.Car, "2026-12-31T23:59:59+01:00", "142(8) 230.67 925.33 points 3 reducible night"},
		{"C68 2027 has no row", 80, 100, law.Car, "2027-01-01T00:00:00+01:00", "sanction.no_table"},
		{"2010 has none", 80, 100, law.Car, "2010-12-31T23:00:00+01:00", "sanction.no_table"},
		{"no excess", 50, 55, law.Car, noon, "violation.none"},
		{"class", 50, 70, "sledge", noon, "violation.class"},
		{"limit", 53, 70, law.Car, noon, "violation.limit"},
		{"speed", 50, -1, law.Car, noon, "violation.speed"},
	} {
		t.Run(c.id, func(t *testing.T) {
			s, err := italy(t).Sanction(law.Violation{Limit: c.limit, Indicated: c.indicated, Class: c.class, Instant: rome(t, c.at)})
			got := fmt.Sprintf("%s %v %v points %d", s.Article, s.Minimum, s.Maximum, s.Points)
			for _, f := range []struct {
				is   bool
				word string
			}{{s.Reducible, " reducible"}, {s.Doubled, " doubled"}, {s.Night, " night"}} {
				if f.is {
					got += f.word
				}
			}
			if err != nil {
				got = code(err)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestRepeated prices the second violation within a year in a built-up area.
func TestRepeated(t *testing.T) {
	v := law.Violation{Limit: 50, Indicated: 70, Class: law.Car, Instant: rome(t, "2026-05-05T12:00:00+02:00"), Repeated: true}
	if s, err := italy(t).Sanction(v); err != nil || s.Minimum != 22000 || s.Maximum != 88000 {
		t.Errorf("got %+v, %v", s, err)
	}
	v.Indicated = 60
	if _, err := italy(t).Sanction(v); code(err) != "violation.repeated" {
		t.Errorf("paragraph 7: %v", err)
	}
	v.Indicated, v.Instant = 70, rome(t, "2024-12-13T12:00:00+01:00")
	if _, err := italy(t).Sanction(v); code(err) != "sanction.no_table" {
		t.Errorf("the day before: %v", err)
	}
}

// TestV36 finds the first shown speed that is fined at each limit.
func TestV36(t *testing.T) {
	limits := []int{50, 60, 70, 80, 90, 100, 110, 120, 130, 150}
	for i, want := range []int{56, 66, 76, 86, 96, 106, 116, 127, 137, 158} {
		for shown := limits[i]; ; shown++ {
			_, err := italy(t).Sanction(law.Violation{Limit: limits[i], Indicated: shown, Class: law.Car, Instant: rome(t, "2026-05-05T12:00:00+02:00")})
			if err == nil {
				if shown != want {
					t.Errorf("limit %d: first fined %d, want %d", limits[i], shown, want)
				}
				break
			}
		}
	}
}

// TestPrices holds the worked examples of sums.
func TestPrices(t *testing.T) {
	for _, c := range []struct {
		id                      string
		minimum, maximum, costs law.Cents
		reducible               bool
		want                    string
	}{
		{"V21", 4200, 17300, 645, true, "35.85 48.45 92.95"},
		{"V22", 4200, 17300, 0, true, "29.40 42.00 86.50"},
		{"V22 night", 5600, 23067, 0, true, "39.20 56.00 115.34"},
		{"V26", 16300, 65200, 0, true, "114.10 163.00 326.00"},
		{"V27", 4100, 16900, 0, true, "28.70 41.00 84.50"},
		{"V28", 16800, 67400, 0, true, "117.60 168.00 337.00"},
		{"V29", 4000, 15000, 0, false, "0.00 40.00 75.00"},
		{"126-bis", 29100, 116600, 0, true, "203.70 291.00 583.00"},
		{"night of paragraph 8", 23067, 92533, 0, true, "161.47 230.67 462.67"},
	} {
		t.Run(c.id, func(t *testing.T) {
			p, err := italy(t).Prices(law.Facts{Minimum: c.minimum, Maximum: c.maximum, Costs: c.costs, Reducible: c.reducible})
			if got := fmt.Sprintf("%v %v %v", p.Reduced, p.Minimum, p.After); err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
	for _, f := range []law.Facts{{}, {Minimum: 100, Maximum: 99}, {Minimum: 100, Maximum: 200, Costs: -1}, {Minimum: -5, Maximum: 5}} {
		if _, err := italy(t).Prices(f); code(err) != "amounts.range" {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// TestDueAtTheEdges asks around each last second.
func TestDueAtTheEdges(t *testing.T) {
	for _, c := range []struct{ id, served, at, want string }{
		{"C26 winter, last second", "2026-12-01", "2026-12-07T22:59:59Z", "35.85 reduced until 2026-12-07T23:59:59+01:00"},
		{"C26 winter, next", "2026-12-01", "2026-12-07T23:00:00Z", "48.45 minimum until 2027-01-30T23:59:59+01:00"},
		{"C26 summer, last second", "2026-07-01", "2026-07-06T21:59:59Z", "35.85 reduced until 2026-07-06T23:59:59+02:00"},
		{"C26 summer, next", "2026-07-01", "2026-07-06T22:00:00Z", "48.45 minimum until 2026-08-31T23:59:59+02:00"},
		{"C27 the night in October", "2026-10-20", "2026-10-25T22:59:59Z", "35.85 reduced until 2026-10-26T23:59:59+01:00"},
		{"C27 the night in March", "2027-03-22", "2027-03-27T22:59:59Z", "35.85 reduced until 2027-03-27T23:59:59+01:00"},
		{"after all", "2026-07-01", "2026-08-31T22:00:00Z", "92.95 title"},
		{"before service", "2026-07-01", "2026-06-01T22:00:00Z", "35.85 reduced until 2026-07-06T23:59:59+02:00"},
	} {
		t.Run(c.id, func(t *testing.T) {
			f := law.Facts{Minimum: 4200, Maximum: 17300, Costs: 645, Reducible: true, Served: day(t, c.served)}
			d, err := italy(t).Due(f, rome(t, c.at))
			got := fmt.Sprintf("%v %s", d.Cents(), d.Band)
			if !d.Until.IsZero() {
				got += " until " + d.Until.Format(time.RFC3339)
			}
			if err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
	if _, err := italy(t).Due(law.Facts{Minimum: 4200, Maximum: 17300}, time.Now()); code(err) != "due.not_served" {
		t.Errorf("not served: %v", err)
	}
}

func TestV39(t *testing.T) {
	l := italy(t)
	for _, c := range []struct {
		each              []int
		novice, suspended bool
		want              int
	}{
		{[]int{3}, false, false, 3}, {[]int{3}, true, false, 6}, {[]int{10}, true, false, 15}, {[]int{10}, true, true, 20},
		{[]int{10, 6}, false, false, 15}, {[]int{10, 6}, false, true, 16}, {[]int{3, 3}, false, false, 6},
	} {
		if got := l.Points(c.each, c.novice, c.suspended); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestLiable holds who answers with the driver.
func TestLiable(t *testing.T) {
	p := func(titles ...law.Title) (out []law.Party) {
		for _, title := range titles {
			out = append(out, law.Party{Title: title})
		}
		return out
	}
	for _, c := range []struct {
		id      string
		parties []law.Party
		c       law.Circumstances
		want    string
	}{
		{"owner", p(law.Owner), law.Circumstances{}, "[owner]"},
		{"joint owners", p(law.JointOwner, law.JointOwner), law.Circumstances{}, "[joint owner joint owner]"},
		{"trailer", p(law.TrailerOwner), law.Circumstances{}, "[trailer owner]"},
		{"usufruct", p(law.Owner, law.Usufructuary), law.Circumstances{}, "[usufructuary]"},
		{"leasing", p(law.Owner, law.Lessee), law.Circumstances{}, "[lessee]"},
		{"hired by a lessee", p(law.Owner, law.Lessee, law.Hirer), law.Circumstances{}, "[hirer]"},
		{"holder", p(law.Owner, law.Holder), law.Circumstances{}, "[holder]"},
		{"foreign plate", p(law.Resident), law.Circumstances{}, "[resident]"},
		{"minor", []law.Party{{Title: law.Owner, Minor: true}}, law.Circumstances{}, "[owner] guardian"},
		{"deceased", []law.Party{{Title: law.Owner, Deceased: true}}, law.Circumstances{}, "[] nobody deceased"},
		{"one of two deceased", []law.Party{{Title: law.JointOwner, Deceased: true}, {Title: law.JointOwner}}, law.Circumstances{}, "[joint owner]"},
		{"theft", p(law.Owner), law.Circumstances{Theft: true}, "[] nobody theft"},
		{"cloned", p(law.Owner), law.Circumstances{Cloned: true, Theft: true}, "[] ask cloned"},
		{"diplomatic", p(law.Owner), law.Circumstances{Diplomatic: true}, "[] ask diplomatic"},
		{"nobody found", nil, law.Circumstances{}, "[] ask unknown"},
	} {
		t.Run(c.id, func(t *testing.T) {
			l := law.Liable(c.parties, c.c)
			titles := []law.Title{}
			for _, party := range l.Parties {
				titles = append(titles, party.Title)
			}
			got := fmt.Sprint(titles)
			if l.Guardian {
				got += " guardian"
			}
			if l.Nobody != "" {
				got += " nobody " + string(l.Nobody)
			}
			if l.Ask != "" {
				got += " ask " + string(l.Ask)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
