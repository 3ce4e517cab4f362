package clock

import (
	"context"
	"sync"
	"time"

	"ciglio/sensor"
)

// StepThreshold is the smallest jump of UTC that a [Watcher] finds. Daemons slew
// smaller errors away; no speed depends on either.
const StepThreshold = 500 * time.Millisecond

// A Step is a jump of UTC against the monotonic clock.
type Step struct {
	At     sensor.Mono   // when it was noticed
	Before time.Time     // UTC at that instant had there been no jump
	After  time.Time     // UTC at that instant
	Size   time.Duration // After less Before: positive when UTC jumped forward
}

// A Watcher finds jumps of UTC between two looks at a clock. A machine that was
// suspended shows as one, since the monotonic clock stood still. It is safe for
// concurrent use.
type Watcher struct {
	clock sensor.Clock

	mu   sync.Mutex
	mono sensor.Mono // of the last look
	utc  time.Time
	last sensor.Mono // of the last jump; 0 when there was none
}

// NewWatcher looks at c for the first time.
func NewWatcher(c sensor.Clock) *Watcher {
	w := &Watcher{clock: c}
	w.mono, w.utc = c.Pair()
	return w
}

// Look returns the jump since the last look, if there was one.
func (w *Watcher) Look() (Step, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mono, utc := w.clock.Pair()
	s := Step{At: mono, Before: w.utc.Add(mono.Sub(w.mono)), After: utc, Size: w.off(mono, utc)}
	jumped := s.Size.Abs() > StepThreshold
	if jumped {
		w.last = mono
	}
	w.mono, w.utc = mono, utc
	return s, jumped
}

// off returns how far a pair is from where the last look would have it.
func (w *Watcher) off(mono sensor.Mono, utc time.Time) time.Duration {
	return utc.Sub(w.utc.Add(mono.Sub(w.mono)))
}

// Jumped reports whether UTC has jumped since an instant: between two looks, or
// between the last one and a pair of the clock that was read since.
func (w *Watcher) Jumped(since, mono sensor.Mono, utc time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last != 0 && w.last >= since || w.off(mono, utc).Abs() > StepThreshold
}

// Run looks at every interval, and calls report for each jump, one at a time. It
// blocks until ctx ends and returns ctx.Err(). The interval is positive; one second
// notices a jump soon and costs nothing.
func (w *Watcher) Run(ctx context.Context, interval time.Duration, report func(Step)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if s, jumped := w.Look(); jumped {
			report(s)
		}
	}
}
