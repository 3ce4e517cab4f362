package law_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/portal/law"
	"ciglio/sensor/sensortest/recording"
)

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
