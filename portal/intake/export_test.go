package intake

import "time"

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
