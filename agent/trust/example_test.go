package trust_test

import (
	"fmt"
	"time"

	"ciglio/agent/trust"
	"ciglio/sensor"
)

// The gate names every cause for which a device may not measure, and none when it may.
func ExampleCheck() {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	permit := trust.Permit{Words: "in force", From: now.AddDate(-1, 0, 0)}
	facts := trust.Facts{
		At: now,
		Calibration: &trust.Calibration{
			ID: "A-117", Version: 1, Serial: "S1", NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 11, 0),
			Approval: permit, Decree: permit, Register: permit,
			Cores: [][32]byte{{2}}, Functional: trust.Functional{Words: "in order", On: now.AddDate(0, -1, 0)},
		},
		Core:         [32]byte{2},
		SensorSerial: "S1", Room: true, ClockBound: 100 * time.Millisecond,
		Clock: sensor.ClockState{Source: "adjtimex", Synchronised: true, Uncertainty: time.Millisecond},
	}
	fmt.Println(len(trust.Check(facts)), "causes")
	facts.At, facts.Clock.Synchronised = now.AddDate(1, 0, 0), false
	for _, c := range trust.Check(facts) {
		fmt.Println(c.Code)
	}
	// Output:
	// 0 causes
	// calibration_expired
	// functional_check
	// clock_unsynchronised
}
