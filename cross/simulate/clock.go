package simulate

import (
	"time"

	"ciglio/sensor"
)

// Clock is a [sensor.Clock] without error, for simulations. It follows package
// time, and so the fake time of testing/synctest.
type Clock struct {
	start time.Time
	base  sensor.Mono
}

var _ sensor.Clock = (*Clock)(nil)

// NewClock returns a clock whose monotonic reading is base now.
func NewClock(base sensor.Mono) *Clock { return &Clock{start: time.Now(), base: base} }

// Now implements [sensor.Clock].
func (c *Clock) Now() sensor.Mono { return c.base.Add(time.Since(c.start)) }

// Pair implements [sensor.Clock].
func (c *Clock) Pair() (sensor.Mono, time.Time) {
	elapsed := time.Since(c.start)
	return c.base.Add(elapsed), c.start.Round(0).Add(elapsed).UTC()
}

// State implements [sensor.Clock]: source "simulated", synchronised, with an
// uncertainty of 1 ms.
func (c *Clock) State() (sensor.ClockState, error) {
	return sensor.ClockState{Source: "simulated", Synchronised: true, Uncertainty: time.Millisecond}, nil
}
