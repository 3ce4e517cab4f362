package broker

import "time"

// Recheck looks at the sessions' certificates now.
func Recheck(b *Broker, now time.Time) { b.gate.recheck(now) }
