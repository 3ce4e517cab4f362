package device

import (
	"maps"
	"sync"

	"ciglio/sensor"
)

// Counts is what the device has seen since it was started.
type Counts struct {
	Passages   uint64                   `json:"passages"`   // vehicles with a speed
	Violations uint64                   `json:"violations"` // records of violations, or of tests that stand for one
	Discarded  map[sensor.Reason]uint64 `json:"discarded"`  // tracks that gave no evidence, by reason
}

// A tally counts what became of passages. It is safe for concurrent use.
type tally struct {
	mu sync.Mutex
	so Counts
}

func (t *tally) count(o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.Passage.Valid() {
		t.so.Passages++
	}
	if o.Record != nil {
		t.so.Violations++
	}
	for _, r := range o.Reasons {
		if t.so.Discarded == nil {
			t.so.Discarded = map[sensor.Reason]uint64{}
		}
		t.so.Discarded[r]++
	}
}

// counts returns a copy.
func (t *tally) counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.so
	c.Discarded = make(map[sensor.Reason]uint64, len(t.so.Discarded))
	maps.Copy(c.Discarded, t.so.Discarded)
	return c
}
