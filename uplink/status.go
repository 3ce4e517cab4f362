package uplink

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/uplink/wire"
)

// Snapshot is what a Sender knows at one moment. Counters count since its start.
type Snapshot struct {
	Connected bool
	Since     time.Time // of the present state
	Trouble   string    // why it is not connected

	wire.HealthUplink
	SetAside   uint64 // records set aside
	Unreadable uint64 // records or chunks the store could not read

	Records  int   // sent and not receipted
	Bytes    int64 // of those records
	Messages int   // published and not acknowledged
	Alarms   []wire.Reason
}

type status struct {
	connected bool
	since     time.Time
	trouble   string
}

// Snapshot may be called at any time, by anyone.
func (s *Sender) Snapshot() Snapshot {
	c, st := &s.counters, s.status.Load()
	return Snapshot{
		Connected: st.connected, Since: st.since, Trouble: st.trouble,
		HealthUplink: s.traffic(), SetAside: c.setAside.Load(), Unreadable: c.unreadable.Load(),
		Records: int(c.records.Load()), Bytes: c.bytes.Load(), Messages: int(c.messages.Load()),
		Alarms: s.alarms(),
	}
}

func (s *Sender) traffic() wire.HealthUplink {
	c := &s.counters
	return wire.HealthUplink{
		Sessions: c.sessions.Load(), Published: c.published.Load(), Acknowledged: c.acknowledged.Load(), Resent: c.resent.Load(),
		Receipts: c.receipts.Load(), Settled: c.settled.Load(), Refused: c.refused.Load(),
	}
}

// alarms are the Sender's own.
func (s *Sender) alarms() []wire.Reason {
	var a []wire.Reason
	if n := s.counters.setAside.Load(); n > 0 {
		a = append(a, wire.Reason{Code: "set_aside", Words: fmt.Sprintf("%d records set aside: the connection did not survive them", n)})
	}
	if n := s.counters.unreadable.Load(); n > 0 {
		a = append(a, wire.Reason{Code: "record_unreadable", Words: fmt.Sprintf("the outbox could not read a record %d times", n)})
	}
	for _, c := range []struct{ event, code string }{
		{"outbox cannot be listed", "outbox_unreadable"},
		{"uplink message refused", "message_refused"},
		{"receipt not settled", "receipt_not_settled"},
		{eventRefused, "refused_by_centre"},
	} {
		if err := s.changes.get(c.event); err != nil {
			a = append(a, wire.Reason{Code: c.code, Words: fmt.Sprintf("%s: %.200v", c.event, err)})
		}
	}
	return a
}

// errStopped is why there is no session once Run has ended.
var errStopped = errors.New("stopped")

// setStatus notes whether there is a session, and logs each change once.
func (s *Sender) setStatus(connected bool, err error) {
	old := s.status.Load()
	st := &status{connected: connected, since: old.since, trouble: ""}
	if err != nil {
		st.trouble = err.Error()
	}
	if connected != old.connected {
		st.since = time.Now()
	}
	s.status.Store(st)
	switch {
	case connected && !old.connected:
		s.log.Info("uplink connected", "session", s.sequence)
	case !connected && errors.Is(err, errStopped):
		s.log.Info("uplink stopped", "session", s.sequence)
	case !connected && old.connected:
		s.log.Warn("uplink lost", "session", s.sequence, "err", err)
	case !connected && old.trouble == "not started":
		s.log.Warn("uplink not connected", "err", err)
	}
}

func (s *Sender) head() wire.Head {
	return wire.Head{Device: wire.Device(s.o.Device), UTC: time.Now()}
}

func (s *Sender) state(online bool, reason string) ([]byte, error) {
	return wire.State{Head: s.head(), Boot: s.o.Boot, Sequence: s.sequence, Online: online, Reason: reason}.Marshal()
}

func (s *Sender) healthReport() ([]byte, error) {
	h := s.o.Health()
	s.reports++
	h.Head, h.Boot, h.Sequence, h.Uplink = s.head(), s.o.Boot, s.reports, s.traffic()
	h.Alarms = append(h.Alarms[:len(h.Alarms):len(h.Alarms)], s.alarms()...)
	return h.Marshal()
}

// changes remembers the present error of each thing that can go wrong, so that
// a change is logged and a repetition is not.
type changes struct {
	count  atomic.Uint64 // of changes
	mu     sync.Mutex
	states map[string]*condition
}

type condition struct {
	err    error
	logged time.Time
}

// set notes the outcome of an event. It logs a change, but no more than one a
// minute, since whoever sends us messages could make it change with each.
func (c *changes) set(log *slog.Logger, event string, err error, attrs ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.states[event]
	if s == nil {
		if err == nil {
			return
		}
		if c.states == nil {
			c.states = map[string]*condition{}
		}
		s = &condition{}
		c.states[event] = s
	}
	change := (err == nil) != (s.err == nil)
	s.err = err
	if !change {
		return
	}
	c.count.Add(1)
	if now := time.Now(); now.Sub(s.logged) >= time.Minute {
		s.logged = now
		if err != nil {
			log.Warn(event, append(attrs, "err", err)...)
		} else {
			log.Info(event + " no more")
		}
	}
}

// get returns the present error of an event.
func (c *changes) get(event string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.states[event]; s != nil {
		return s.err
	}
	return nil
}
