package roadside

import (
	"sync/atomic"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// A roadClock stands still until it is started: the road must not begin while
// the landscape is still being painted. It is safe for concurrent use.
type roadClock struct {
	base    sensor.Mono
	running atomic.Pointer[simulate.Clock]
}

func (c *roadClock) start() { c.running.Store(simulate.NewClock(c.base)) }

// Now, Pair and State make it a [sensor.Clock].
func (c *roadClock) Now() sensor.Mono {
	if r := c.running.Load(); r != nil {
		return r.Now()
	}
	return c.base
}

func (c *roadClock) Pair() (sensor.Mono, time.Time) {
	if r := c.running.Load(); r != nil {
		return r.Pair()
	}
	return c.base, time.Now()
}

func (c *roadClock) State() (sensor.ClockState, error) {
	return simulate.NewClock(c.base).State()
}
