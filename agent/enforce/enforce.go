// Package enforce says what the law makes of a measured speed. It is pure:
// integers in, integers out, no clock, no files, and every function may be
// called at the same time from anywhere.
//
// The indicated speed is the measured one truncated to whole km/h. The
// reduction is the larger of a flat part and a share of the indicated speed. A
// violation is an assessed speed, indicated less reduction, above the limit.
// Which flat part and which share is dated data: see rules.toml.
package enforce

import (
	"bytes"
	_ "embed"
	"fmt"
	"time"

	"github.com/BurntSushi/toml"

	"ciglio/sensor"
)

//go:embed rules.toml
var italy []byte

// A Rule is one way to reduce an indicated speed, with its time in force.
type Rule struct {
	ID      string       // as printed in the record
	From    time.Time    // first day, in local time at the site
	To      time.Time    // last day; zero while in force
	Source  string       // the law
	Flat    sensor.Speed // least reduction
	Percent int64        // of the indicated speed, 0 to 100
}

// A Table is the rules in order of their first day, without overlap.
type Table []Rule

// Italy returns the Italian rules.
func Italy() (Table, error) { return ParseTable(italy) }

// ParseTable reads a table as in rules.toml. Unknown keys, rules out of order
// and rules in force on the same day are errors.
func ParseTable(text []byte) (Table, error) {
	var file struct {
		Rule []struct {
			ID        string       `toml:"id"`
			ValidFrom time.Time    `toml:"valid_from"`
			ValidTo   time.Time    `toml:"valid_to"`
			Source    string       `toml:"source"`
			Flat      sensor.Speed `toml:"flat"`
			Percent   int64        `toml:"percent"`
		} `toml:"rule"`
	}
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&file)
	if err != nil {
		return nil, fmt.Errorf("rule table: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("rule table: unknown key %s", unknown[0])
	}
	var table Table
	for i, r := range file.Rule {
		switch {
		case r.ID == "" || r.Source == "" || r.ValidFrom.IsZero():
			return nil, fmt.Errorf("rule table: rule %d lacks its id, source or first day", i+1)
		case r.Flat < 0 || r.Percent < 0 || r.Percent > 100:
			return nil, fmt.Errorf("rule %s: reduction out of range", r.ID)
		case !r.ValidTo.IsZero() && r.ValidTo.Before(r.ValidFrom):
			return nil, fmt.Errorf("rule %s: ends before it begins", r.ID)
		}
		if i > 0 {
			last := table[i-1]
			if last.To.IsZero() || !r.ValidFrom.After(last.To) {
				return nil, fmt.Errorf("rule %s: begins before rule %s has ended", r.ID, last.ID)
			}
		}
		table = append(table, Rule{
			ID: r.ID, From: r.ValidFrom, To: r.ValidTo, Source: r.Source, Flat: r.Flat, Percent: r.Percent,
		})
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("rule table: empty")
	}
	return table, nil
}

// On returns the rule in force at the instant at, by the calendar day at the
// site, which is that of at's location.
func (t Table) On(at time.Time) (Rule, error) {
	year, month, day := at.Date()
	for _, r := range t {
		if date(r.From).After(time.Date(year, month, day, 0, 0, 0, 0, time.UTC)) {
			continue
		}
		if r.To.IsZero() || !time.Date(year, month, day, 0, 0, 0, 0, time.UTC).After(date(r.To)) {
			return r, nil
		}
	}
	return Rule{}, fmt.Errorf("no rule is in force on %s", at.Format(time.DateOnly))
}

func date(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// An Assessment is the way from a measured speed to the one that counts.
type Assessment struct {
	Measured  sensor.Speed
	Indicated sensor.Speed // Measured, truncated to whole km/h
	Reduction sensor.Speed // the legal tolerance
	Assessed  sensor.Speed // Indicated less Reduction, not below 0
	Limit     sensor.Speed
	Rule      string
}

// Assess applies rule to a measured speed.
func Assess(measured, limit sensor.Speed, rule Rule) Assessment {
	indicated := measured.Truncate()
	// A share of whole km/h is a whole number of hundredths: nothing to round.
	share := sensor.Speed(int64(indicated/sensor.KmH) * rule.Percent)
	reduction := max(rule.Flat, share)
	return Assessment{
		Measured:  measured,
		Indicated: indicated,
		Reduction: reduction,
		Assessed:  max(0, indicated-reduction),
		Limit:     limit,
		Rule:      rule.ID,
	}
}

// Violation reports whether the assessed speed exceeds the limit.
func (a Assessment) Violation() bool { return a.Assessed > a.Limit }
