package framing

import (
	"time"

	"ciglio/sensor"
)

const (
	window  = 2 * time.Second        // over which the least delay counts
	maxStep = 400 * time.Microsecond // forward, for each window: 200 ppm

	// A sensor whose samples stay so late, or come so much earlier within one
	// window, does not sample at its rate. Both are far from what crystals do,
	// and from the delays of a machine that keeps up.
	maxDelay = 50 * time.Millisecond
	maxAhead = 10 * time.Millisecond
)

// A PaceError says that samples do not come at the rate that they say, or that some
// are lost without being counted.
type PaceError struct{ Fact sensor.Fact }

func (e *PaceError) Error() string { return e.Fact.String() }

// A SampleClock tells the instants of samples that come in blocks, however
// unevenly these arrive: an anchor plus the samples since over the rate. A block
// can come late, never early. One that comes before the anchor says so proves
// the anchor late and moves it back at once; and every 2 s the anchor is moved
// forward by the least delay in them, at most 400 µs, which follows a sample
// clock that is wrong by 200 parts in a million. So an instant is late by the
// least delay on the way, and neither jitter nor a program that was held up for
// a while shows in it.
//
// NewSampleClock makes one; it belongs to one goroutine.
type SampleClock struct {
	rate   int
	begun  bool
	index  uint64        // the anchor is the sample of this index,
	anchor sensor.Mono   // at this instant
	last   sensor.Mono   // instant returned last
	end    sensor.Mono   // of the window
	least  time.Duration // delay in the window so far
	ahead  time.Duration // by which blocks proved the anchor late in the window
	wrong  error         // why the clock cannot be believed
}

// NewSampleClock returns a clock of rate samples a second, more than 0, that
// begins with the first block.
func NewSampleClock(rate int) SampleClock { return SampleClock{rate: rate} }

// At returns the instant of the sample of the given index, the first of n that
// were here in full at the instant came. Indexes do not fall, nor rise by more
// than a second from one call to the next; neither do the instants fall. When
// blocks stay 50 ms late, or come 10 ms earlier within 2 s, samples were lost
// without being counted, or the sensor samples at another rate: a [*PaceError], after
// which the clock is of no more use.
func (c *SampleClock) At(index uint64, n int, came sensor.Mono) (sensor.Mono, error) {
	seen := came.Add(-Span(uint64(n), c.rate))
	if !c.begun {
		// The first window only finds the least delay.
		*c = SampleClock{rate: c.rate, begun: true, index: index, anchor: seen, last: seen, ahead: -window}
		c.open(seen)
		return seen, nil
	}
	// The anchor moves along, so that the span stays short and exact.
	if whole := (index - c.index) / uint64(c.rate); whole > 0 {
		c.index += whole * uint64(c.rate)
		c.anchor = c.anchor.Add(time.Duration(whole) * time.Second)
	}
	told := c.anchor.Add(Span(index-c.index, c.rate))
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
	return c.last, c.wrong
}

func (c *SampleClock) open(at sensor.Mono) { c.end, c.least = at.Add(window), window }

// close ends a window.
func (c *SampleClock) close() {
	switch {
	case c.least > maxDelay:
		c.wrong = &PaceError{sensor.Fact{Key: "sensor_pace_late", Words: "samples come {late} late: the sensor samples more slowly than {rate:bare} a second, or some are lost",
			Args: sensor.Args{"late": c.least, "rate": sensor.PerSecond.Of(float64(c.rate), 0)}}}
	case c.ahead > maxAhead:
		c.wrong = &PaceError{sensor.Fact{Key: "sensor_pace_early", Words: "samples come {early} early within {within}: the sensor samples faster than {rate:bare} a second",
			Args: sensor.Args{"early": c.ahead, "within": window, "rate": sensor.PerSecond.Of(float64(c.rate), 0)}}}
	}
	c.anchor = c.anchor.Add(min(c.least, maxStep))
	c.ahead = 0
}

// Span is the time of that many samples, a second's or a few more, at a rate.
func Span(samples uint64, rate int) time.Duration {
	return time.Duration(samples * uint64(time.Second) / uint64(rate))
}
