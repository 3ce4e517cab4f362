package session

import (
	"sync"

	"ciglio/sensor"
)

// Totals adds up what the connections to one sensor counted, one after the other.
// The zero value works. It is safe for concurrent use.
type Totals struct {
	mu   sync.Mutex
	past sensor.Tally
	now  sensor.Tallied
}

// Follow takes up a new connection, unless it counts nothing, and keeps what the
// one before has counted by now.
func (t *Totals) Follow(connection any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now != nil {
		t.past = t.past.Plus(t.now.Tally())
	}
	t.now, _ = connection.(sensor.Tallied)
}

// Tally implements [sensor.Tallied].
func (t *Totals) Tally() sensor.Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		return t.past
	}
	return t.past.Plus(t.now.Tally())
}
