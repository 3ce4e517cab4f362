package clock

import (
	"context"
	"time"

	"ciglio/sensor"
)

// StepThreshold is the smallest jump of UTC that [Watch] reports. Daemons slew
// smaller errors away; no speed depends on either.
const StepThreshold = 500 * time.Millisecond

// A Step is a jump of UTC against the monotonic clock.
type Step struct {
	At     sensor.Mono   // when it was noticed, at most one interval late
	Before time.Time     // UTC at that instant had there been no jump
	After  time.Time     // UTC at that instant
	Size   time.Duration // After less Before: positive when UTC jumped forward
}

// Watch compares UTC with the monotonic clock at every interval, and calls
// report for each change above [StepThreshold] between two looks, one at a
// time. A machine that was suspended shows as a step, since the monotonic clock
// stood still. It blocks until ctx ends and returns ctx.Err(). The interval is
// positive; one second notices a step soon and costs nothing.
func Watch(ctx context.Context, c sensor.Clock, interval time.Duration, report func(Step)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	mono, utc := c.Pair()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		nextMono, nextUTC := c.Pair()
		expected := utc.Add(nextMono.Sub(mono))
		if size := nextUTC.Sub(expected); size.Abs() > StepThreshold {
			report(Step{At: nextMono, Before: expected, After: nextUTC, Size: size})
		}
		mono, utc = nextMono, nextUTC
	}
}
