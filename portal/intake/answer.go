package intake

import (
	"sync"

	"ciglio/uplink"
)

// answers publishes receipts and commands. It never makes its callers wait: the
// session that brings messages must not stand still because the broker takes no
// answers. What is dropped is answered again when the device asks again.
type answers struct {
	stats *counters
	queue chan uplink.Message

	mu      sync.Mutex
	session uplink.Session // nil while there is none
}

// unacknowledged is how many answers may be on their way to the broker.
const unacknowledged = 256

func newAnswers(stats *counters) *answers {
	return &answers{stats: stats, queue: make(chan uplink.Message, answerDepth)}
}

func (a *answers) attach(s uplink.Session) {
	a.mu.Lock()
	a.session = s
	a.mu.Unlock()
}

func (a *answers) send(m uplink.Message) {
	select {
	case a.queue <- m:
	default:
		a.stats.unanswered.Add(1)
	}
}

func (a *answers) close() { close(a.queue) }

func (a *answers) run() {
	type sent struct {
		ack  <-chan error
		done <-chan struct{}
	}
	window := make([]sent, 0, unacknowledged)
	for m := range a.queue {
		if len(window) == cap(window) {
			select {
			case <-window[0].ack:
			case <-window[0].done:
			}
			window = append(window[:0], window[1:]...)
		}
		a.mu.Lock()
		session := a.session
		a.mu.Unlock()
		if session == nil {
			a.stats.unanswered.Add(1)
			continue
		}
		window = append(window, sent{session.Publish(m), session.Done()})
	}
}
