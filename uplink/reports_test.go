package uplink

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/uplink/wire"
)

// reports collects what a sender publishes beside records.
type reports struct {
	states   []wire.State
	health   []wire.Health
	profiles []wire.Profile
	at       []time.Time // of health
}

func (r *reports) take(t *testing.T, m Message) {
	var err error
	_, _, what, _ := wire.ParseTopic(m.Topic)
	switch what {
	case wire.WhatState:
		var s wire.State
		s, err = wire.ParseState(m.Payload)
		r.states = append(r.states, s)
	case wire.WhatHealth:
		var h wire.Health
		h, err = wire.ParseHealth(m.Payload)
		r.health, r.at = append(r.health, h), append(r.at, time.Now())
	case wire.WhatProfile:
		var p wire.Profile
		p, err = wire.ParseProfile(m.Payload)
		r.profiles = append(r.profiles, p)
	}
	if err != nil {
		t.Errorf("%s: %v", m.Topic, err)
	}
	if retained := what == wire.WhatState || what == wire.WhatProfile; m.Retained != retained {
		t.Errorf("%s: retained %v, want %v", m.Topic, m.Retained, retained)
	}
}

func TestStateTellsEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(o *SenderOptions) { o.Sequence = 100 })
		var r reports
		l.net.publish = func(_ *fakeSession, _ int, m Message) error { r.take(t, m); return nil }
		l.run()
		rest(time.Minute)
		l.net.last().end(errHangUp)
		rest(time.Minute)
		l.stop()
		if len(r.states) != 3 {
			t.Fatalf("%d states", len(r.states))
		}
		for i, want := range []wire.State{
			{Sequence: 101, Online: true}, {Sequence: 102, Online: true}, {Sequence: 102, Reason: wire.ReasonShutdown},
		} {
			s := r.states[i]
			if s.Sequence != want.Sequence || s.Online != want.Online || s.Reason != want.Reason || s.Boot != testBoot || s.Device != wire.Device(testDevice) {
				t.Errorf("state %d: %+v, want %+v", i, s, want)
			}
		}
		for i, s := range l.net.sessions {
			w := s.options.Will
			will, err := wire.ParseState(w.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if !w.Retained || !strings.HasSuffix(w.Topic, "/state") || will.Online || will.Reason != wire.ReasonLost || will.Sequence != uint64(101+i) {
				t.Errorf("will of session %d: %+v, %+v", i, w, will)
			}
			if s.options.ClientID != testDevice.String() || len(s.options.Subscribe) != 2 {
				t.Errorf("session %d: %+v", i, s.options)
			}
		}
	})
}

func TestHealthEveryMinuteAndAtAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var measuring atomic.Bool
		measuring.Store(true)
		l := newLab(t, func(o *SenderOptions) {
			o.Health = func() wire.Health { return wire.Health{Measuring: measuring.Load(), Software: "1.2.3"} }
			o.Profile = func() (wire.Profile, bool) { return wire.Profile{Road: "SP 14"}, true }
		})
		var r reports
		l.net.publish = func(_ *fakeSession, _ int, m Message) error { r.take(t, m); return nil }
		l.run()
		rest(10*time.Minute + time.Second)
		if len(r.health) != 11 || len(r.profiles) != 1 {
			t.Errorf("%d reports in ten minutes, %d profiles", len(r.health), len(r.profiles))
		}
		measuring.Store(false)
		l.sender.Refresh()
		l.sender.Refresh()
		synctest.Wait()
		if len(r.health) != 12 || r.health[11].Measuring {
			t.Errorf("%d reports after a change", len(r.health))
		}
		for range 100 {
			l.sender.Refresh()
			rest(10 * time.Millisecond)
		}
		rest(time.Second)
		if n := len(r.health); n != 13 && n != 14 {
			t.Errorf("%d reports more in two seconds", n-12)
		}
		// The sender's own trouble is a change as well.
		n := len(r.health)
		l.store.mu.Lock()
		l.store.fails = errHangUp
		l.store.mu.Unlock()
		l.store.add()
		rest(time.Second)
		if len(r.health) != n+1 || len(r.health[n].Alarms) != 1 {
			t.Errorf("%d reports more, alarms %+v", len(r.health)-n, r.health[n].Alarms)
		}
		for i, h := range r.health {
			if h.Sequence != uint64(i+1) || h.Software != "1.2.3" || h.Uplink.Sessions != 1 || h.Boot != testBoot {
				t.Errorf("report %d: %+v", i, h)
			}
		}
		l.stop()
	})
}

// TestReportTooLargeIsLeftOut keeps a report that cannot be sent from holding up
// the records.
func TestReportTooLargeIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(o *SenderOptions) {
			o.Health = func() wire.Health { return wire.Health{Software: strings.Repeat("1", wire.MaxJSON)} }
			o.Profile = func() (wire.Profile, bool) { return wire.Profile{Heading: 400}, true }
		})
		l.store.add()
		l.run()
		rest(time.Hour)
		l.stop()
		if l.store.unsettled() != 0 {
			t.Error("the record was not sent")
		}
		if n := strings.Count(l.log.String(), "uplink report cannot be encoded"); n < 1 || n > 2 {
			t.Errorf("%d log lines:\n%s", n, l.log)
		}
	})
}
