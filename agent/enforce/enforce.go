// Package enforce says what the law makes of a measured speed. It is pure:
// integers in, integers out, no clock, no files, and every function may be
// called at the same time from anywhere.
//
// The indicated speed is the measured one truncated to whole km/h. The
// reduction is the larger of a flat part and a share of the indicated speed. A
// violation is an assessed speed, indicated less reduction, above the limit.
// Which flat part and which share is dated data, shared with the verifiers: see
// capture/evidence/rules.json.
package enforce

import (
	"fmt"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// A Rule is one way to reduce an indicated speed, with its time in force.
type Rule = evidence.Rule

// A Table is the rules in order of their first day, without overlap.
type Table []Rule

// Italy returns the Italian rules: those by which every verifier judges.
func Italy() (Table, error) {
	law, err := evidence.PresentLaw()
	return law.Rules, err
}

// On returns the rule in force at the instant at, by the calendar day at the
// site, which is that of at's location.
func (t Table) On(at time.Time) (Rule, error) {
	for _, r := range t {
		if r.On(at) {
			return r, nil
		}
	}
	return Rule{}, fmt.Errorf("no rule is in force on %s", at.Format(time.DateOnly))
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
	reduction := rule.Reduction(indicated)
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
