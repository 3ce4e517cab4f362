package evidence

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ciglio/sensor"
)

// law is what the law and the sensors say in numbers, as dated data. An entry is
// never changed once a device has used it: a new law is a new entry, and the old
// one gets its last day. verify.html and verify.py hold the same.
//
//go:embed rules.json
var law []byte

// A Rule is one way to reduce an indicated speed, with its time in force: the
// reduction is the larger of a flat part and a share.
type Rule struct {
	ID      string       // as printed in the record
	From    time.Time    // first day at the site, as midnight UTC
	To      time.Time    // last day; zero while in force
	Source  string       // the law
	Flat    sensor.Speed // least reduction
	Percent int64        // of the indicated speed, 0 to 100
}

// Limits says which speed limits there are.
type Limits struct {
	Source            string
	Least, Most, Step sensor.Speed
}

// A Separating sensor tells vehicles in the beam apart, by range or angle. The
// model that a record names begins with this.
type Separating struct{ Model, Source string }

// Law is the table that a record is judged by.
type Law struct {
	Rules      []Rule // in order of their first day, without overlap
	Limits     Limits
	Separating []Separating
}

// PresentLaw returns the table that this program knows.
func PresentLaw() (Law, error) { return ParseLaw(law) }

// ParseLaw reads a table as in rules.json. Unknown keys, rules out of order and
// two rules in force on one day are errors.
func ParseLaw(text []byte) (Law, error) {
	var file struct {
		Rules []struct {
			ID        string       `json:"id"`
			ValidFrom string       `json:"valid_from"`
			ValidTo   string       `json:"valid_to"`
			Source    string       `json:"source"`
			Flat      sensor.Speed `json:"flat"`
			Percent   int64        `json:"percent"`
		} `json:"rules"`
		Limits     Limits       `json:"limits"`
		Separating []Separating `json:"separating"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return Law{}, fmt.Errorf("rule table: %w", err)
	}
	if d.More() {
		return Law{}, errors.New("rule table: something follows it")
	}
	l := Law{Limits: file.Limits, Separating: file.Separating}
	for i, r := range file.Rules {
		rule := Rule{ID: r.ID, Source: r.Source, Flat: r.Flat, Percent: r.Percent}
		var err, late error
		rule.From, err = time.Parse(time.DateOnly, r.ValidFrom)
		if r.ValidTo != "" {
			rule.To, late = time.Parse(time.DateOnly, r.ValidTo)
		}
		switch {
		case r.ID == "" || r.Source == "" || err != nil || late != nil:
			return Law{}, fmt.Errorf("rule table: rule %d lacks its id, source or first day, or a day is not written as 2006-01-02", i+1)
		case r.Flat < 0 || r.Percent < 0 || r.Percent > 100:
			return Law{}, fmt.Errorf("rule %s: reduction out of range", r.ID)
		case !rule.To.IsZero() && rule.To.Before(rule.From):
			return Law{}, fmt.Errorf("rule %s: ends before it begins", r.ID)
		}
		if i > 0 {
			if last := l.Rules[i-1]; last.To.IsZero() || !rule.From.After(last.To) {
				return Law{}, fmt.Errorf("rule %s: begins before rule %s has ended", r.ID, last.ID)
			}
		}
		l.Rules = append(l.Rules, rule)
	}
	if len(l.Rules) == 0 || l.Limits.Step <= 0 || l.Limits.Least <= 0 || l.Limits.Most < l.Limits.Least {
		return Law{}, errors.New("rule table: no rules, or no limits")
	}
	return l, nil
}

// On reports whether the rule is in force at the instant at, by the calendar day
// of at's location, which is that of the site.
func (r Rule) On(at time.Time) bool {
	year, month, day := at.Date()
	today := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return !today.Before(r.From) && (r.To.IsZero() || !today.After(r.To))
}

// Reduction returns what the rule takes off an indicated speed, which is in whole
// km/h: so there is nothing to round.
func (r Rule) Reduction(indicated sensor.Speed) sensor.Speed {
	return max(r.Flat, sensor.Speed(int64(indicated/sensor.KmH)*r.Percent))
}

// rule returns the rule of an id.
func (l Law) rule(id string) (Rule, bool) {
	for _, r := range l.Rules {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

// separates reports whether a sensor of the given model tells vehicles apart.
func (l Law) separates(model string) bool {
	for _, s := range l.Separating {
		if strings.HasPrefix(model, s.Model) {
			return true
		}
	}
	return false
}

// SiteTime returns the instant as the clocks at the site show it: central
// European time, summer time from the last Sunday of March, 01:00 UTC, to that of
// October (directive 2000/84/EC). Profile 1 is for sites in Italy. It needs no
// table of time zones of the machine.
func SiteTime(t time.Time) time.Time {
	t = t.UTC()
	change := func(month time.Month) time.Time {
		last := time.Date(t.Year(), month, 31, 1, 0, 0, 0, time.UTC)
		return last.AddDate(0, 0, -int(last.Weekday()))
	}
	if t.Before(change(time.March)) || !t.Before(change(time.October)) {
		if t.Add(time.Hour).Year() > 9999 { // no verifier can write it: it stays UTC
			return t
		}
		return t.In(time.FixedZone("CET", 3600))
	}
	return t.In(time.FixedZone("CEST", 7200))
}

// SiteDay returns the first instant of a calendar day at the site, by [SiteTime].
func SiteDay(year int, month time.Month, day int) time.Time {
	utc := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if summer := utc.Add(-2 * time.Hour); SiteTime(summer).Hour() == 0 {
		return SiteTime(summer)
	}
	return SiteTime(utc.Add(-time.Hour))
}
