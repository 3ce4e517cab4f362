package intake

import (
	"time"

	"ciglio/portal/store"
)

// HeldUntil is when a record that is whole may have its receipt.
func HeldUntil(rec *store.Record, now time.Time) time.Time { return heldUntil(rec, now) }

// Drain has a device send records of a size, each again after the wait it is told,
// and returns how long it takes until all are taken.
func Drain(q Quota, records, bytes int) time.Duration {
	q = q.orDefault()
	var b budget
	began := time.Now()
	now := began
	for range records {
		for wait := b.take(now, q, uint64(bytes)); wait > 0; wait = b.take(now, q, uint64(bytes)) {
			now = now.Add(wait + wait/5) // as late as a device comes
		}
	}
	return now.Sub(began)
}

// Simulate has a device send records of a size, one after each interval, and
// counts those taken and held back.
func Simulate(q Quota, records, bytes int, every time.Duration) (taken, held int) {
	q = q.orDefault()
	var b budget
	now := time.Now()
	for range records {
		if b.take(now, q, uint64(bytes)) == 0 {
			taken++
		} else {
			held++
		}
		now = now.Add(every)
	}
	return taken, held
}
