// Package trust is the gate: it says whether the device may measure now, and
// why not. It is pure: the caller gathers the facts, Check judges them, and the
// same facts always give the same answer.
//
// No violation is issued while the gate is closed. Every cause is reported, not
// only the first.
package trust

import (
	"fmt"
	"strings"
	"time"

	"ciglio/sensor"
)

// Calibration is the statement that is in force for a device: the calibration
// certificate of its sensor with the approval and the decree under which it may
// be used.
type Calibration struct {
	ID        string
	Version   uint64
	Serial    string // of the sensor it was issued for
	NotBefore time.Time
	NotAfter  time.Time
	Approval  Permit // type approval
	Decree    Permit // the prefect's decree for the road
	Register  Permit // the device's entry in the national register
	// Uncertainty bounds the standard uncertainty that the approval allows for
	// one speed; 0 means no bound.
	Uncertainty sensor.Speed
}

// A Permit is a public act with its time in force.
type Permit struct {
	Words string    // as printed on the notice
	From  time.Time // first instant
	To    time.Time // last instant; zero while without end
}

// Facts is what the device knows of itself at one instant.
type Facts struct {
	At           time.Time
	Calibration  *Calibration // nil when none is installed
	SensorSerial string
	Clock        sensor.ClockState
	ClockError   error            // the time source gave no answer
	ClockBound   time.Duration    // of the site
	SelfTest     []sensor.Finding // what it holds against the device; none when it passed
	OpenSeals    []string         // names of the seals that are open
	Software     error            // nil when the program is the sealed one
	Room         bool             // the outbox can take a violation
}

// A Cause is one reason why the gate is closed. Codes are constant; words name
// the fact.
type Cause struct {
	Code  string `json:"code"`
	Words string `json:"words"`
}

// Check returns every cause for which the device may not measure, in a fixed
// order; none means that it may.
func Check(f Facts) []Cause {
	var causes []Cause
	closed := func(code, format string, args ...any) {
		causes = append(causes, Cause{code, fmt.Sprintf(format, args...)})
	}
	if c := f.Calibration; c == nil {
		closed("calibration_missing", "no calibration is installed")
	} else {
		name := "calibration " + c.ID
		if c.Serial != f.SensorSerial {
			closed("calibration_foreign", "%s: issued for sensor %s, this sensor is %s", name, c.Serial, f.SensorSerial)
		}
		if f.At.Before(c.NotBefore) {
			closed("calibration_early", "%s: in force from %s", name, c.NotBefore.Format(time.DateOnly))
		}
		if f.At.After(c.NotAfter) {
			closed("calibration_expired", "%s: expired %s", name, c.NotAfter.Format(time.DateOnly))
		}
		permit := func(code, name string, p Permit) {
			switch {
			case p.Words == "":
				closed(code, "%s: missing", name)
			case f.At.Before(p.From):
				closed(code, "%s %s: in force from %s", name, p.Words, p.From.Format(time.DateOnly))
			case !p.To.IsZero() && f.At.After(p.To):
				closed(code, "%s %s: ended %s", name, p.Words, p.To.Format(time.DateOnly))
			}
		}
		permit("approval", "type approval", c.Approval)
		permit("decree", "prefect's decree", c.Decree)
		permit("register", "entry in the national register", c.Register)
	}
	switch {
	case f.ClockError != nil:
		closed("clock_unknown", "clock: %v", f.ClockError)
	case !f.Clock.Synchronised && f.Clock.LockAge == 0:
		closed("clock_unsynchronised", "clock: never synchronised")
	case bound(f.Clock) > f.ClockBound:
		closed("clock_bound", "clock: off by up to %v, allowed are %v", bound(f.Clock), f.ClockBound)
	}
	if len(f.SelfTest) > 0 {
		closed("self_test", "self-test: %s", Words(f.SelfTest))
	}
	for _, seal := range f.OpenSeals {
		closed("seal_open", "seal %s: open", seal)
	}
	if f.Software != nil {
		closed("software", "software: %v", f.Software)
	}
	if !f.Room {
		closed("store_full", "outbox: no room for evidence")
	}
	return causes
}

// Words names every finding, in their order.
func Words(findings []sensor.Finding) string {
	words := make([]string, len(findings))
	for i, f := range findings {
		words[i] = f.Words
	}
	return strings.Join(words, "; ")
}

// bound is the offset plus twice the standard uncertainty: what UTC is within
// in 95 of 100 cases.
func bound(c sensor.ClockState) time.Duration {
	return c.Offset.Abs() + 2*c.Uncertainty
}
