package enforce_test

import (
	"fmt"
	"time"

	"ciglio/agent/enforce"
	"ciglio/sensor"
)

// The law takes 5 % off what the device indicates, and 5 km/h at least.
func ExampleAssess() {
	law, err := enforce.Italy()
	if err != nil {
		fmt.Println(err)
		return
	}
	rule, err := law.On(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, measured := range []sensor.Speed{75_99, 76_00, 130_50} {
		a := enforce.Assess(measured, 70*sensor.KmH, rule)
		fmt.Printf("%v: indicated %v less %v is %v, violation: %t\n", a.Measured, a.Indicated, a.Reduction, a.Assessed, a.Violation())
	}
	// Output:
	// 75.99 km/h: indicated 75.00 km/h less 5.00 km/h is 70.00 km/h, violation: false
	// 76.00 km/h: indicated 76.00 km/h less 5.00 km/h is 71.00 km/h, violation: true
	// 130.50 km/h: indicated 130.00 km/h less 6.50 km/h is 123.50 km/h, violation: true
}
