// Package tally keeps a log readable when the same thing happens a million
// times: the first line about it is written at once, and from then on one line a
// [Period] that says how often it happened again.
//
// What it keeps true: every event is in a line or in the count of one; the number
// of lines a period is bounded by [MaxKeys], whatever happens and whoever causes
// it. What is said of more keys than that is counted together.
//
// A Tally is safe for concurrent use. [Tally.Run] writes the counts; without it
// they are written by [Tally.Flush] alone.
package tally

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Period is how often counts are written. MaxKeys is how many things are told
// apart in one.
const (
	Period  = time.Minute
	MaxKeys = 256
)

// A Key names what happens.
type Key struct {
	Level   slog.Level
	Message string // constant
	Device  string // empty when it is no device of the register
	Reason  string
}

// overflow counts what no key was left for.
var overflow = Key{Level: slog.LevelWarn, Message: "many things happened too often to tell them apart"}

// A Tally counts. [New] makes one.
type Tally struct {
	log *slog.Logger

	mu   sync.Mutex
	keys map[Key]*count
}

// A count is what is known of a key in this period.
type count struct {
	again uint64 // beyond the line that was written
	since time.Time
}

// New returns a Tally that writes to log.
func New(log *slog.Logger) *Tally { return &Tally{log: log, keys: make(map[Key]*count)} }

// Add notes an event. The args are attributes of its line, if it is the first of
// its key in the period.
func (t *Tally) Add(k Key, args ...any) {
	if t.again(k) {
		return
	}
	t.log.Log(context.Background(), k.Level, k.Message, append(k.attributes(), args...)...)
}

// again counts an event and reports whether that is all to do.
func (t *Tally) again(k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.keys[k]
	if c == nil && len(t.keys) >= MaxKeys {
		k = overflow
		c = t.keys[k]
		if c == nil {
			c = &count{since: time.Now()}
			t.keys[k] = c // one more than MaxKeys, once
		}
	}
	if c == nil {
		t.keys[k] = &count{since: time.Now()}
		return false
	}
	c.again++
	return true
}

func (k Key) attributes() []any {
	var all []any
	if k.Device != "" {
		all = append(all, "device", k.Device)
	}
	if k.Reason != "" {
		all = append(all, "reason", k.Reason)
	}
	return all
}

// Flush writes the counts gathered since the last one, and begins a new period.
func (t *Tally) Flush() {
	type line struct {
		Key
		count
	}
	var lines []line
	now := time.Now()
	t.mu.Lock()
	for k, c := range t.keys {
		if c.again == 0 {
			delete(t.keys, k) // the next one is news
			continue
		}
		lines = append(lines, line{k, *c})
		*c = count{since: now}
	}
	t.mu.Unlock()
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Reason, b.Reason))
	})
	for _, l := range lines {
		t.log.Log(context.Background(), l.Level, l.Message, append(l.attributes(), "times_more", l.again, "since", l.since.UTC())...)
	}
}

// Run writes counts every [Period] until ctx ends, and once more then.
func (t *Tally) Run(ctx context.Context) {
	tick := time.NewTicker(Period)
	defer tick.Stop()
	defer t.Flush()
	for {
		select {
		case <-tick.C:
			t.Flush()
		case <-ctx.Done():
			return
		}
	}
}
