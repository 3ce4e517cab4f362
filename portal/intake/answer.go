package intake

import (
	"context"
	"sync/atomic"
	"time"

	"ciglio/uplink"
)

// answers publishes receipts and commands over a session of its own: what the
// centre says never waits behind what devices send.
//
// No answer is thrown away while the intake runs. When the broker takes none,
// whoever has one waits; when the session is lost, those that were not acknowledged go
// again over the next.
type answers struct {
	queue   chan letter
	closed  chan struct{} // with queue
	waiting atomic.Int64  // answers not acknowledged by the broker
	open    atomic.Bool   // there is a session

	// Used by the goroutine of run only.
	again  []letter // of the session before
	window []sent   // in order
}

// A letter is an answer.
type letter struct {
	uplink.Message
	taken func() // is called when the broker has acknowledged it; nil: nobody asks
}

// sent is an answer that is on its way to the broker.
type sent struct {
	letter
	ack <-chan error
}

const (
	answerDepth    = 4096 // answers that wait before who has another does
	unacknowledged = 256  // on their way to the broker
	answerPatience = 5 * time.Second
)

func newAnswers() *answers {
	return &answers{queue: make(chan letter, answerDepth), closed: make(chan struct{})}
}

// send takes an answer over.
func (a *answers) send(m uplink.Message) {
	a.waiting.Add(1)
	a.queue <- letter{Message: m}
}

// offer takes an answer over unless ctx ends before there is room.
func (a *answers) offer(ctx context.Context, l letter) bool {
	a.waiting.Add(1)
	select {
	case a.queue <- l:
		return true
	case <-ctx.Done():
		a.waiting.Add(-1)
		return false
	}
}

// close says that nothing more is sent.
func (a *answers) close() {
	close(a.closed)
	close(a.queue)
}

// serve publishes until the session ends, or until everything is acknowledged
// after close.
func (a *answers) serve(s uplink.Session) (finished bool) {
	a.open.Store(true)
	defer a.open.Store(false)
	defer func() {
		var left []letter
		for _, w := range a.window {
			left = append(left, w.letter)
		}
		a.again, a.window = append(left, a.again...), a.window[:0]
	}()
	ended := false
	for {
		if len(a.again) > 0 && len(a.window) < unacknowledged {
			a.publish(s, a.again[0])
			a.again = a.again[1:]
			continue
		}
		if ended && len(a.window) == 0 && len(a.again) == 0 {
			return true
		}
		var next <-chan letter
		if len(a.window) < unacknowledged && !ended {
			next = a.queue
		}
		var oldest <-chan error
		if len(a.window) > 0 {
			oldest = a.window[0].ack
		}
		select {
		case m, ok := <-next:
			if ended = !ok; ok {
				a.publish(s, m)
			}
		case err := <-oldest:
			if err != nil {
				return false
			}
			if taken := a.window[0].taken; taken != nil {
				taken()
			}
			a.window = append(a.window[:0], a.window[1:]...)
			a.waiting.Add(-1)
		case <-s.Done():
			return false
		}
	}
}

func (a *answers) publish(s uplink.Session, l letter) {
	a.window = append(a.window, sent{l, s.Publish(l.Message)})
}

// run holds a session for answers until everything is said after close. When ctx
// has ended it waits answerPatience for a broker that is not there, and as long
// for the last acknowledgements. It returns how many answers are left unsaid.
func (a *answers) run(ctx context.Context, in *Intake) int64 {
	patience, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-patience.Done():
			return
		}
		tick := time.NewTicker(answerPatience)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if !a.open.Load() {
					cancel()
				}
			case <-a.closed:
				time.AfterFunc(answerPatience, cancel)
				return
			case <-patience.Done():
				return
			}
		}
	}()
	finished := false
	in.keep(patience, "answers", uplink.SessionOptions{ClientID: in.o.ClientID + "-answers"}, func(s uplink.Session) bool {
		stop := context.AfterFunc(patience, func() { s.Close() })
		defer stop()
		finished = a.serve(s)
		return finished
	})
	if !finished {
		for range a.queue { // whoever sends must not wait for ever
		}
		return a.waiting.Load()
	}
	return 0
}
