package iqframe

import (
	"fmt"
	"time"

	"ciglio/sensor"
)

const (
	window  = 2 * time.Second        // over which the least delay counts
	maxStep = 400 * time.Microsecond // forward, for each window: 200 ppm

	// A sensor whose blocks stay so late, or come so much earlier within one
	// window, does not sample at its rate. Both are far from what crystals do,
	// and from the delays of a machine that keeps up.
	maxDelay = 50 * time.Millisecond
	maxAhead = 10 * time.Millisecond
)

// A sampleClock tells the instants of pairs from the indexes and arrivals of
// blocks, as the package comment says. The zero value with a rate begins with
// the first block.
type sampleClock struct {
	rate   int
	begun  bool
	index  uint64        // the anchor is the pair of this index,
	anchor sensor.Mono   // at this instant
	last   sensor.Mono   // instant returned last
	end    sensor.Mono   // of the window
	least  time.Duration // delay in the window so far
	ahead  time.Duration // by which blocks proved the anchor late in the window
	wrong  error         // why the clock cannot be believed
}

// at returns the instant of the pair of the given index, the first of n that
// came at an instant. Indexes do not fall.
func (c *sampleClock) at(index uint64, n int, came sensor.Mono) sensor.Mono {
	seen := came.Add(-span(uint64(n), c.rate))
	if !c.begun {
		// The first window only finds the least delay.
		*c = sampleClock{rate: c.rate, begun: true, index: index, anchor: seen, last: seen, ahead: -window}
		c.open(seen)
		return seen
	}
	// The anchor moves along, so that the span stays short and exact.
	if whole := (index - c.index) / uint64(c.rate); whole > 0 {
		c.index += whole * uint64(c.rate)
		c.anchor = c.anchor.Add(time.Duration(whole) * time.Second)
	}
	told := c.anchor.Add(span(index-c.index, c.rate))
	delay := seen.Sub(told)
	if delay < 0 {
		c.anchor = c.anchor.Add(delay)
		c.ahead -= delay
		told, delay = seen, 0
	}
	c.least = min(c.least, delay)
	if seen >= c.end {
		c.close()
		c.open(seen)
	}
	c.last = max(c.last, told)
	return c.last
}

func (c *sampleClock) open(at sensor.Mono) { c.end, c.least = at.Add(window), window }

// close ends a window.
func (c *sampleClock) close() {
	switch {
	case c.least > maxDelay:
		c.wrong = fmt.Errorf("iqframe: blocks come %v late: the sensor samples more slowly than %d pairs a second, or does not count all", c.least, c.rate)
	case c.ahead > maxAhead:
		c.wrong = fmt.Errorf("iqframe: blocks come %v early within %v: the sensor samples faster than %d pairs a second", c.ahead, window, c.rate)
	}
	c.anchor = c.anchor.Add(min(c.least, maxStep))
	c.ahead = 0
}

// span is the time of that many pairs, a second's or a few more.
func span(pairs uint64, rate int) time.Duration {
	return time.Duration(pairs * uint64(time.Second) / uint64(rate))
}
