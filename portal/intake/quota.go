package intake

import (
	"cmp"
	"sync"
	"time"
)

// A Quota bounds what one device may have stored: Records and Bytes at once, and
// from then on as many a second. Bytes are those of records and blobs. A zero
// field means the default.
//
// The defaults let a device that was offline for a month send at once what a busy
// road gives in that time, and hold one that has gone mad to less than 200 GB a
// day.
type Quota struct {
	Records, RecordsPerSecond uint64
	Bytes, BytesPerSecond     uint64
}

// The default quota.
var defaultQuota = Quota{Records: 20_000, RecordsPerSecond: 20, Bytes: 1 << 30, BytesPerSecond: 2 << 20}

func (q Quota) orDefault() Quota {
	return Quota{
		Records: cmp.Or(q.Records, defaultQuota.Records), RecordsPerSecond: cmp.Or(q.RecordsPerSecond, defaultQuota.RecordsPerSecond),
		Bytes: cmp.Or(q.Bytes, defaultQuota.Bytes), BytesPerSecond: cmp.Or(q.BytesPerSecond, defaultQuota.BytesPerSecond),
	}
}

// A budget is what a device has used of its quota. It is safe for concurrent use.
type budget struct {
	mu             sync.Mutex
	at             time.Time
	records, bytes float64 // used
}

// take uses the budget for one record of so many bytes. When there is not enough
// it uses nothing and returns how long there will not be. A record larger than
// the whole quota goes when nothing else was used.
func (b *budget) take(now time.Time, q Quota, bytes uint64) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.at).Seconds(); passed > 0 && !b.at.IsZero() {
		b.records = max(0, b.records-passed*float64(q.RecordsPerSecond))
		b.bytes = max(0, b.bytes-passed*float64(q.BytesPerSecond))
	}
	b.at = now
	over := max((b.records+1-float64(q.Records))/float64(q.RecordsPerSecond),
		min(b.bytes, b.bytes+float64(bytes)-float64(q.Bytes))/float64(q.BytesPerSecond))
	if over > 0 {
		return max(time.Second, time.Duration(over*float64(time.Second)))
	}
	b.records++
	b.bytes += float64(bytes)
	return 0
}

// giveBack undoes a take: nothing new was stored.
func (b *budget) giveBack(bytes uint64) {
	if bytes == 0 {
		return
	}
	b.mu.Lock()
	b.records = max(0, b.records-1)
	b.bytes = max(0, b.bytes-float64(bytes))
	b.mu.Unlock()
}
