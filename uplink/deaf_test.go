package uplink

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/uplink/wire"
)

// The broker has replaced the session in the same moment in which it began: it
// acknowledges what the device sends, and the answers go elsewhere. Pings are
// answered, so nothing else ends the session.
func TestH09_SessionWithoutAnswersIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.centre.mute = true
		l.store.add(blob(1, 100))
		l.store.add()
		l.run()
		rest(15 * time.Minute)
		if n := l.net.dialled(); n != 1 {
			t.Fatalf("%d sessions after a quarter of an hour: what was sent once may still be answered", n)
		}
		l.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		// Answers reach every session but the first.
		l.net.publish = func(s *fakeSession, _ int, m Message) error {
			l.centre.mute = s == l.net.sessions[0]
			return nil
		}
		l.store.add(blob(1, 100))
		l.store.add()
		l.run()
		rest(time.Hour)
		if n := l.store.unsettled(); n != 0 {
			t.Errorf("%d records without a receipt after an hour on a session that carries no answers", n)
		}
		if n := l.net.dialled(); n != 2 {
			t.Errorf("%d sessions, want two", n)
		}
		if !strings.Contains(l.log.String(), errUnanswered.Error()) {
			t.Errorf("the log does not say why:\n%s", l.log)
		}
		if s := l.sender.Snapshot(); s.SetAside != 0 {
			t.Errorf("%d records set aside", s.SetAside)
		}
		l.stop()
	})
}

// A centre that is away is no reason to connect without end.
func TestH09_CentreThatIsAwayIsWaitedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("short: thousands of records are sent again and again for a week")
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.centre.mute = true
		for range 3 * MaxRecords {
			l.store.add()
		}
		l.run()
		rest(7 * 24 * time.Hour)
		if n := l.net.dialled(); n < 3 || n > 40 {
			t.Errorf("%d sessions in a week", n)
		}
		l.stop()
	})
}

// A centre that answers something is heard.
func TestH09_CentreThatAnswersKeepsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		// One record is never answered, and others are, every minute.
		l.net.publish = func(_ *fakeSession, _ int, m Message) error {
			l.centre.mute = strings.HasSuffix(m.Topic, "/record") && string(m.Payload) == string(l.store.bytes(Key{1, 1}))
			return nil
		}
		l.store.add()
		l.run()
		for range 6 * 60 {
			l.store.add()
			rest(time.Minute)
		}
		if n := l.net.dialled(); n != 1 {
			t.Errorf("%d sessions, want one: the centre answers", n)
		}
		l.stop()
	})
}

// What the centre refuses is kept, sent no more until its time, and an alarm.
func TestH10_RefusedRecordsWait(t *testing.T) {
	for _, row := range []struct {
		code    string
		holdAll bool
	}{{wire.RefusedHeldBack, true}, {"clock_ahead", false}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			const wait = 30 * time.Minute
			first := l.store.add(blob(1, 3*wire.ChunkData))
			began := time.Now()
			sent := 0
			refuse := func(s *fakeSession, m Message) {
				b, err := wire.SealRefused(&wire.Refused{Device: testDevice, ID: l.store.get(first).item.ID, Code: row.code, Wait: wait}, l.centre.signer)
				if err != nil {
					t.Error(err)
				}
				s.inbox <- Message{Topic: l.sender.topic[wire.WhatCommand], Payload: b}
			}
			l.net.publish = func(s *fakeSession, _ int, m Message) error {
				l.centre.mute = strings.HasSuffix(m.Topic, "/blob") && time.Since(began) < wait
				if strings.HasSuffix(m.Topic, "/record") && string(m.Payload) == string(l.store.bytes(first)) && time.Since(began) < wait {
					sent++
					l.centre.mute = true
					refuse(s, m)
				}
				return nil
			}
			l.run()
			rest(time.Minute)
			alarm := false
			for _, a := range l.sender.Snapshot().Alarms {
				alarm = alarm || a.Code == "refused_by_centre" && strings.Contains(a.Words, row.code)
			}
			if !alarm {
				t.Errorf("%s: alarms %v", row.code, l.sender.Snapshot().Alarms)
			}
			l.store.add()
			rest(10 * time.Minute)
			if want := map[bool]int{true: 2, false: 1}[row.holdAll]; l.store.unsettled() != want {
				t.Errorf("%s: %d records wait, want %d", row.code, l.store.unsettled(), want)
			}
			l.net.last().end(errHangUp) // a new session changes nothing
			rest(10 * time.Minute)
			if sent != 1 {
				t.Errorf("%s: sent %d times before its time", row.code, sent)
			}
			rest(20 * time.Minute)
			if n := l.store.unsettled(); n != 0 {
				t.Errorf("%s: %d records wait after the time has passed", row.code, n)
			}
			if a := l.sender.Snapshot().Alarms; len(a) != 0 {
				t.Errorf("%s: alarms %v when all is settled", row.code, a)
			}
			l.stop()
		})
	}
}
