package law

import (
	"time"

	"ciglio/internal/easter"
)

// A Term is the name of a span that begins with service.
type Term string

// The terms of the addressee. Notify and NotifyAbroad are the office's.
const (
	Reduced      Term = "reduced"       // pay 30 % less: art. 202(1)
	Minimum      Term = "minimum"       // pay the least: art. 202(1)
	Prefect      Term = "prefect"       // appeal to the prefect: art. 203(1)
	Judge        Term = "judge"         // appeal to the judge of peace: art. 204-bis
	Order        Term = "order"         // pay what the prefect commands: art. 204
	Plan         Term = "plan"          // ask for instalments: art. 202-bis(4)
	Driver       Term = "driver"        // say who drove: art. 126-bis(2)
	Notify       Term = "notify"        // hand over for service: art. 201(1)
	NotifyAbroad Term = "notify abroad" // to who lives abroad
)

type term struct {
	span
	Name      string `toml:"name"`
	Days      int    `toml:"days"`
	Saturday  bool   `toml:"saturday"`
	Suspended bool   `toml:"suspended"`
	Source    string `toml:"source"`
}

type suspension struct {
	From   int    `toml:"from"` // year
	Until  int    `toml:"until"`
	First  date   `toml:"first"`
	Last   date   `toml:"last"`
	Source string `toml:"source"`
}

type holiday struct {
	Day  date `toml:"day"`
	From int  `toml:"from"` // year
}

// Holiday reports whether a day is a Sunday or a national holiday. Feasts of a patron
// move no term.
func (l *Law) Holiday(d Day) bool {
	if d.Weekday() == time.Sunday || d == Date(easter.Sunday(d.year).Date()).Add(1) {
		return true
	}
	for _, h := range l.holidays {
		if d.year >= h.From && d == h.Day.in(d.year) {
			return true
		}
	}
	return false
}

func (l *Law) suspended(d Day) bool {
	for _, s := range l.suspensions {
		if d.year >= s.From && (s.Until == 0 || d.year <= s.Until) && !d.Before(s.First.in(d.year)) && !s.Last.in(d.year).Before(d) {
			return true
		}
	}
	return false
}

// LastDay returns the last day of a term that begins on a day, which does not count:
// holidays within the term count, a last day on a holiday moves to the next day that is
// none (art. 155 c.p.c., art. 2963 c.c.), for the judge past Saturdays too. Code:
// term.no_row.
func (l *Law) LastDay(name Term, begin Day) (Day, error) {
	for _, t := range l.terms {
		if t.Name == string(name) && t.on(begin) {
			return l.count(t, begin), nil
		}
	}
	return Day{}, no("term.no_row", "%s: no row for %v", name, begin)
}

func (l *Law) count(t term, begin Day) Day {
	last := begin
	for n := 0; n < t.Days; {
		last = last.Add(1)
		if !t.Suspended || !l.suspended(last) {
			n++
		}
	}
	for l.Holiday(last) || t.Saturday && last.Weekday() == time.Saturday {
		last = last.Add(1)
	}
	return last
}

// moved returns the next day that is no holiday, from d on.
func (l *Law) moved(d Day) Day {
	for l.Holiday(d) {
		d = d.Add(1)
	}
	return d
}

type creditRow struct {
	From   Day    `toml:"from"`
	Grace  int    `toml:"grace"`
	Source string `toml:"source"`
}

// Credited reports whether a payment that was due on a last day and came on the day of
// its credit frees the debtor. Cash and postal account have no grace.
func (l *Law) Credited(last, credit Day, cash bool) bool {
	if !cash && !credit.Before(l.credit.From) {
		last = last.Add(l.credit.Grace)
	}
	return !last.Before(credit)
}

type prefectRow struct {
	ByOffice  int    `toml:"by_office"`
	ByPrefect int    `toml:"by_prefect"`
	Notify    int    `toml:"notify"`
	Source    string `toml:"source"`
}

// PrefectOrder returns the last day for the prefect's order on an appeal that the office,
// or the prefect, received on a day: after it the appeal counts as upheld. A hearing that
// was asked for stops the days from the invitation to the day of the hearing: art. 204(1-ter).
func (l *Law) PrefectOrder(received Day, byOffice bool, hearing int) Day {
	days := l.prefect.ByPrefect
	if byOffice {
		days = l.prefect.ByOffice
	}
	return received.Add(days + hearing)
}

// PrefectNotice returns the last day to notify an order of a day: art. 204(2).
func (l *Law) PrefectNotice(order Day) Day { return order.Add(l.prefect.Notify) }
