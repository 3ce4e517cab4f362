package roadside

import (
	"context"
	"sync"
	"time"

	"ciglio/agent/device"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// A tracker follows the records of a device until they are settled, and says
// what happens. It is safe for concurrent use.
type tracker struct {
	outbox *outbox.Outbox
	clock  sensor.Clock
	say    func(format string, args ...any)

	mu      sync.Mutex
	follow  []*followed
	waiting int
	changed chan struct{} // closed and replaced when waiting falls
}

type followed struct {
	key     uplink.Key
	id      evidence.Hash
	passage sensor.Passage
	settled sensor.Mono // 0 until then
}

func newTracker(o *outbox.Outbox, clock sensor.Clock, say func(string, ...any)) *tracker {
	return &tracker{outbox: o, clock: clock, say: say, changed: make(chan struct{})}
}

// observe is the device's Observe.
func (t *tracker) observe(o device.Outcome) {
	p := o.Passage
	switch {
	case o.Record != nil:
		r := o.Record.Record
		t.mu.Lock()
		t.follow = append(t.follow, &followed{key: uplink.Key{Epoch: r.Epoch, Seq: r.Seq}, id: o.Record.ID, passage: p})
		t.waiting++
		t.mu.Unlock()
		t.say("%-11s  %12v  ±%v  assessed %v: violation, record %d", p.Direction, p.Speed, 2*p.Budget.Total(), o.Assessment.Assessed, r.Seq)
	case len(o.Reasons) > 0:
		t.say("%-11s  %12v  discarded: %v", p.Direction, p.Speed, o.Reasons[0])
	default:
		t.say("%-11s  %12v  within the limit: counted, nothing stored", p.Direction, p.Speed)
	}
}

// run notes when records are settled, until ctx ends.
func (t *tracker) run(ctx context.Context) error {
	for {
		changed := t.outbox.Changed()
		if err := t.look(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// look finds what has been settled since it last looked: whatever the outbox
// does not list as unsettled any more.
func (t *tracker) look() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == 0 {
		return nil
	}
	unsettled := map[uplink.Key]bool{}
	for after := (uplink.Key{}); ; {
		items, err := t.outbox.Unsettled(after, 1000)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			break
		}
		for _, i := range items {
			unsettled[i.Key] = true
		}
		after = items[len(items)-1].Key
	}
	now, before := t.clock.Now(), t.waiting
	for _, f := range t.follow {
		if f.settled == 0 && !unsettled[f.key] {
			f.settled = now
			t.waiting--
			t.say("%30s record %d settled %v after the vehicle had passed", "", f.key.Seq, now.Sub(f.passage.End).Round(time.Millisecond))
		}
	}
	if t.waiting < before {
		close(t.changed)
		t.changed = make(chan struct{})
	}
	return nil
}

// wait returns when nothing waits for a receipt, or when ctx ends.
func (t *tracker) wait(ctx context.Context) {
	for {
		t.mu.Lock()
		waiting, changed := t.waiting, t.changed
		t.mu.Unlock()
		if waiting == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// records returns the ids of what was recorded, oldest first.
func (t *tracker) records() []evidence.Hash {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []evidence.Hash
	for _, f := range t.follow {
		ids = append(ids, f.id)
	}
	return ids
}

// result returns what was recorded, with times from the start of the road, and
// how long each settled record took.
func (t *tracker) result(origin sensor.Mono) (all []recorded, latencies []time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.follow {
		all = append(all, recorded{
			Key: f.key, ID: f.id, Speed: f.passage.Speed, Direction: f.passage.Direction,
			Start: f.passage.Start.Sub(origin), End: f.passage.End.Sub(origin), Settled: f.settled != 0,
		})
		if f.settled != 0 {
			latencies = append(latencies, f.settled.Sub(f.passage.End))
		}
	}
	return all, latencies
}
