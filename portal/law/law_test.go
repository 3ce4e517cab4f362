package law_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/portal/law"
	"ciglio/sensor/sensortest/recording"
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

// TestLastDay holds the worked examples of terms that begin with service.
func TestLastDay(t *testing.T) {
	for _, c := range []struct {
		id    string
		term  law.Term
		begin string
		want  string
	}{
		{"V01 Christmas, and a Saturday is no holiday", law.Reduced, "2025-12-20", "2025-12-27"},
		{"V02 1 May and a Sunday within count", law.Reduced, "2026-04-29", "2026-05-04"},
		{"V03", law.Reduced, "2018-12-14", "2018-12-19"},
		{"V04", law.Reduced, "2018-12-20", "2018-12-27"},
		{"V05 Tuesday 2, Sunday 7", law.Reduced, "2019-07-02", "2019-07-08"},
		{"V06 2026", law.Reduced, "2026-09-15", "2026-09-21"},
		{"V06 2025", law.Reduced, "2025-09-15", "2025-09-20"},
		{"V07 begin on a holiday", law.Reduced, "2021-01-01", "2021-01-07"},
		{"V08", law.Reduced, "2019-01-23", "2019-01-28"},
		{"V10 August counts", law.Prefect, "2026-07-20", "2026-09-18"},
		{"V11 31 days more", law.Judge, "2023-07-13", "2023-09-12"},
		{"V12 begin in August", law.Judge, "2026-08-12", "2026-09-30"},
		{"V37", law.Reduced, "2026-12-01", "2026-12-07"},
		{"V40 Saint Francis, 2027", law.Reduced, "2027-09-29", "2027-10-05"},
		{"V40 Saint Francis, a Sunday", law.Reduced, "2026-09-29", "2026-10-05"},
		{"V40 sixty days to it", law.Minimum, "2026-08-05", "2026-10-05"},
		{"V41", law.Notify, "2026-09-01", "2026-11-30"},
		{"4 October 2025 was none", law.Reduced, "2025-09-29", "2025-10-04"},
		{"Easter Monday", law.Reduced, "2026-04-01", "2026-04-07"},
		{"Easter Sunday moves past Monday", law.Reduced, "2026-03-31", "2026-04-07"},
		{"judge: a Saturday moves", law.Judge, "2026-04-16", "2026-05-18"},
		{"prefect: a Saturday stays", law.Prefect, "2026-03-17", "2026-05-16"},
		{"judge: Saturday, Sunday, both", law.Judge, "2026-10-02", "2026-11-02"},
		{"judge: 31 August", law.Judge, "2026-08-31", "2026-09-30"},
		{"judge: the last days of July", law.Judge, "2026-07-31", "2026-09-30"},
		{"judge: 30 days end on 31 July", law.Judge, "2026-07-01", "2026-07-31"},
		{"judge: until 15 September before 2015", law.Judge, "2014-08-12", "2014-10-15"},
		{"judge: 60 days before October 2011", law.Judge, "2010-01-04", "2010-03-05"},
		{"2 June was none in 2000", law.Minimum, "2000-04-03", "2000-06-02"},
		{"notify abroad", law.NotifyAbroad, "2026-01-05", "2026-12-31"},
	} {
		t.Run(c.id, func(t *testing.T) {
			got, err := italy(t).LastDay(c.term, day(t, c.begin))
			if err != nil || got != day(t, c.want) {
				t.Errorf("%s from %s = %v, %v, want %s", c.term, c.begin, got, err, c.want)
			}
		})
	}
	if _, err := italy(t).LastDay(law.Judge, day(t, "1999-12-31")); code(err) != "term.no_row" {
		t.Errorf("before the rows = %v", err)
	}
}

// TestServed holds the worked examples of the day of service.
func TestServed(t *testing.T) {
	for _, c := range []struct {
		id                                   string
		channel                              law.Channel
		delivered, stored, collected, viewed string
		want, rule                           string
	}{
		{"V13", law.SendPEC, "2025-12-01", "", "", "2025-12-05", "2025-12-05", "send.viewed"},
		{"V14", law.SendPEC, "2025-12-01", "", "", "", "2025-12-08", "send.pec_seventh_day"},
		{"V15", law.SendPaper, "2025-12-01", "", "", "2025-12-05", "2025-12-05", "send.viewed"},
		{"V16", law.SendPaper, "2025-12-01", "", "", "", "2025-12-11", "send.paper_tenth_day"},
		{"V17", law.SendPaper, "", "2025-11-21", "", "", "2025-12-11", "send.storage_tenth_day"},
		{"V18", law.SendPaper, "2025-12-03", "", "", "", "2025-12-13", "send.paper_tenth_day"},
		{"V19", law.SendPEC, "2025-12-01T21:05:00+01:00", "", "", "", "2025-12-09", "send.pec_seventh_day"},
		{"at 21:00 it is not after", law.SendPEC, "2025-12-01T21:00:00+01:00", "", "", "", "2025-12-08", "send.pec_seventh_day"},
		{"in UTC", law.SendPEC, "2026-07-01T19:00:01Z", "", "", "", "2026-07-09", "send.pec_seventh_day"},
		{"V37", law.PEC, "2026-12-01T23:10:00+01:00", "", "", "", "2026-12-01", "pec.delivered"},
		{"V37 read later", law.PEC, "2026-12-01T23:10:00+01:00", "", "", "2026-12-05", "2026-12-01", "pec.delivered"},
		{"PEC, read before", law.PEC, "2026-12-01", "", "", "2026-11-30", "", "service.contradictory"},
		{"PEC, read and never delivered", law.PEC, "", "", "", "2026-11-30", "", "service.open"},
		{"midnight is the next day", law.PEC, "2026-11-30T23:00:00Z", "", "", "", "2026-12-01", "pec.delivered"},
		{"viewed too late", law.SendPEC, "2025-12-01", "", "", "2025-12-09", "2025-12-08", "send.pec_seventh_day"},
		{"viewed on the very day", law.SendPEC, "2025-12-01", "", "", "2025-12-08", "2025-12-08", "send.pec_seventh_day"},
		{"viewed, delivered never", law.SendPaper, "", "", "", "2025-12-05", "2025-12-05", "send.viewed"},
		{"box full", law.SendPECFailed, "2025-12-01", "", "", "", "2025-12-16", "send.failed_fifteenth_day"},
		{"box full, viewed", law.SendPECFailed, "2025-12-01", "", "", "2025-12-10", "2025-12-10", "send.viewed"},
		{"hand", law.Hand, "2025-12-07", "", "", "", "2025-12-07", "hand.delivered"},
		{"post", law.Post, "2025-12-06", "", "", "", "2025-12-06", "post.delivered"},
		{"post, collected", law.Post, "", "2025-12-01", "2025-12-04", "", "2025-12-04", "post.collected"},
		{"post, collected on the tenth day", law.Post, "", "2025-12-01", "2025-12-11", "", "2025-12-11", "post.collected"},
		{"post, collected on the eleventh", law.Post, "", "2025-12-01", "2025-12-12", "", "2025-12-11", "post.storage_tenth_day"},
		{"post, left there", law.Post, "", "2025-12-01", "", "", "2025-12-11", "post.storage_tenth_day"},
		{"SEND, collected", law.SendPaper, "", "2025-12-01", "2025-12-04", "", "2025-12-14", "send.paper_tenth_day"},
		{"nothing yet", law.Post, "", "", "", "", "", "service.open"},
		{"pigeon", "pigeon", "2025-12-01", "", "", "", "", "service.channel"},
		{"hand, stored", law.Hand, "2025-12-01", "2025-12-02", "", "", "", "service.contradictory"},
		{"post, viewed", law.Post, "2025-12-01", "", "", "2025-12-02", "", "service.contradictory"},
		{"delivered and stored", law.Post, "2025-12-01", "2025-12-02", "", "", "", "service.contradictory"},
		{"collected, not stored", law.Post, "", "", "2025-12-02", "", "", "service.contradictory"},
		{"collected before", law.Post, "", "2025-12-03", "2025-12-02", "", "", "service.contradictory"},
	} {
		t.Run(c.id, func(t *testing.T) {
			got, err := law.Service{
				Channel: c.channel, Delivered: moment(t, c.delivered), Stored: moment(t, c.stored),
				Collected: moment(t, c.collected), Viewed: moment(t, c.viewed),
			}.Served()
			switch {
			case c.want == "" && code(err) != c.rule:
				t.Errorf("error = %v, want %s", err, c.rule)
			case c.want != "" && (err != nil || got.Day != day(t, c.want) || got.Rule != c.rule):
				t.Errorf("served = %v by %s, %v, want %s by %s", got.Day, got.Rule, err, c.want, c.rule)
			}
		})
	}
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

// TestV30 frees a debtor whose credit came two days late.
func TestV30(t *testing.T) {
	l, last := italy(t), day(t, "2026-12-07")
	for _, c := range []struct {
		credit string
		cash   bool
		want   bool
	}{{"2026-12-07", true, true}, {"2026-12-08", true, false}, {"2026-12-09", false, true}, {"2026-12-10", false, false}} {
		if got := l.Credited(last, day(t, c.credit), c.cash); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if l.Credited(day(t, "2016-03-01"), day(t, "2016-03-02"), false) {
		t.Error("grace before the law")
	}
}

// TestV09 holds the prefect's days.
func TestV09(t *testing.T) {
	l := italy(t)
	if last := l.PrefectOrder(day(t, "2006-10-19"), true, 0); last.Before(day(t, "2007-02-07")) || last != day(t, "2007-04-17") {
		t.Errorf("last day of the order %v", last)
	}
	if last := l.PrefectNotice(day(t, "2007-02-07")); last.Before(day(t, "2007-04-18")) || last != day(t, "2007-07-07") {
		t.Errorf("last day of its notice %v", last)
	}
	if got := l.PrefectOrder(day(t, "2026-01-01"), false, 10); got != day(t, "2026-08-09") {
		t.Errorf("by the prefect, with a hearing: %v", got)
	}
}

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

// TestV38 and V39: the driver's data and points.
func TestDriverDuty(t *testing.T) {
	l, served := italy(t), day(t, "2026-01-12")
	filed := law.Appeal{Filed: day(t, "2026-02-02")}
	lost := law.Appeal{Filed: filed.Filed, Decided: day(t, "2026-06-01")}
	invited := lost
	invited.Invited = day(t, "2026-07-01")
	won := lost
	won.Upheld = true
	for _, c := range []struct {
		id       string
		appeal   *law.Appeal
		circular bool
		duty     law.Duty
		last     string
	}{
		{"no appeal", nil, false, law.DutyRuns, "2026-03-13"},
		{"V38 pending", &filed, false, law.DutySuspended, ""},
		{"V38 lost", &lost, false, law.DutyInvite, ""},
		{"V38 invited", &invited, false, law.DutyRuns, "2026-08-31"},
		{"V38 won", &won, false, law.DutyOver, ""},
		{"by the circular", &filed, true, law.DutyRuns, "2026-03-13"},
	} {
		duty, last, err := l.DriverDuty(served, c.appeal, c.circular)
		if err != nil || duty != c.duty || c.last != "" && last != day(t, c.last) || c.last == "" && !last.Zero() {
			t.Errorf("%s: %s %v, %v", c.id, duty, last, err)
		}
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

// TestHolidays compares twenty years with a list that was computed elsewhere.
func TestHolidays(t *testing.T) {
	dir := os.Getenv("CIGLIO_SPECS")
	if dir == "" {
		dir = filepath.Join(filepath.Dir(recording.Dir()), "specs")
	}
	f, err := os.Open(filepath.Join(dir, "italy", "holidays-2020-2040.csv"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("set CIGLIO_SPECS to the folder of specifications: ", err)
		}
		t.Skip("set CIGLIO_SPECS to the folder of specifications: ", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, r := range rows[1:] {
		listed[r[0]] = true
	}
	for d := day(t, "2020-01-01"); d.Year() <= 2040; d = d.Add(1) {
		want := listed[d.String()] || d.Weekday() == time.Sunday
		if got := italy(t).Holiday(d); got != want {
			t.Errorf("%v: holiday %v, want %v", d, got, want)
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
