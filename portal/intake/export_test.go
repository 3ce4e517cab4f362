package intake

import (
	"context"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/orders"
)

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

// A Dispatcher sends orders when a test says so.
type Dispatcher struct{ d dispatcher }

// NewDispatcher returns one of the intake, which must be running and have no orders
// that it sends by itself.
func NewDispatcher(in *Intake, book *orders.Book) *Dispatcher {
	return &Dispatcher{dispatcher{in: in, book: book, sent: make(map[evidence.Hash]dispatch), known: make(map[evidence.Hash]bool)}}
}

// Look sends what is due at a time.
func (d *Dispatcher) Look(ctx context.Context, now time.Time) error { return d.d.look(ctx, now) }
