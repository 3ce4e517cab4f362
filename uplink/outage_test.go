package uplink

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.net.down = errors.New("no route to host")
		start := time.Now()
		l.run()
		rest(time.Hour)
		// 1 s doubling to 2 minutes, more or less a half.
		if l.net.dials < 20 || l.net.dials > 80 {
			t.Errorf("%d attempts in an hour", l.net.dials)
		}
		s := l.sender.Snapshot()
		if s.Connected || !s.Since.Equal(start) || !strings.Contains(s.Trouble, "no route to host") {
			t.Errorf("snapshot %+v", s)
		}
		l.net.cut(nil)
		rest(4 * time.Minute)
		if !l.sender.Snapshot().Connected {
			t.Error("not connected")
		}
		// After progress it begins with a second again.
		for range 5 {
			before := l.net.dialled()
			l.net.last().end(errors.New("reset"))
			rest(1600 * time.Millisecond)
			if n := l.net.dialled(); n != before+1 {
				t.Errorf("%d sessions after a second, want %d", n, before+1)
			}
		}
		l.stop()
		if n := strings.Count(l.log.String(), "\n"); n > 13 {
			t.Errorf("%d log lines for 13 changes of state:\n%s", n, l.log)
		}
	})
}

// TestWeekWithoutNetwork has a store that grows while nobody answers.
func TestWeekWithoutNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("short: thousands of records")
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.run()
		synctest.Wait()
		l.net.cut(errors.New("no carrier"))
		for range 7 * 24 * 30 { // one every two minutes
			rest(2 * time.Minute)
			l.store.add()
		}
		if n := l.net.dials; n > 7*24*60 {
			t.Errorf("%d attempts in a week", n)
		}
		l.net.cut(nil)
		rest(5 * time.Minute)
		if n := l.store.unsettled(); n != 0 {
			t.Errorf("%d of %d records without receipt", n, len(l.store.records))
		}
		for id, n := range l.centre.records {
			if n != 1 {
				t.Errorf("record %v arrived %d times", id, n)
			}
		}
		l.stop()
	})
}

// TestMemoryDoesNotGrowWithTheBacklog compares what a sender holds of 2,000 and
// of 200,000 records that wait.
func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("short: thousands of records")
	}
	held := func(n int) (grown int64) {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			l.centre.mute = true
			l.net.centre = nil
			for range n {
				l.store.add()
			}
			before := heap()
			l.run()
			rest(24 * time.Hour)
			grown = heap() - before
			if s := l.sender.Snapshot(); s.Records != MaxRecords {
				t.Errorf("%d records sent, want %d", s.Records, MaxRecords)
			}
			l.stop()
		})
		return grown
	}
	few, many := held(2000), held(200_000)
	t.Logf("holds %d KB of 2,000 records and %d KB of 200,000", few>>10, many>>10)
	if many > 4<<20 { // it would be 20 MB and more if it held them all
		t.Errorf("holds %d bytes of 200,000 records", many)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools kept for the first one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSilentCentreForSomeRecords has a centre that never answers the first 1,500
// records, more than may wait: the others get through all the same.
func TestSilentCentreForSomeRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("short: thousands of records")
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		for range 1600 {
			l.store.add()
		}
		refused := func(m Message) bool {
			return strings.HasSuffix(m.Topic, "/record") && m.Payload[20] < 1500>>8 // the first 1,280
		}
		centre := l.centre
		l.net.publish = func(_ *fakeSession, _ int, m Message) error {
			l.net.centre = centre
			if refused(m) {
				l.net.centre = nil
			}
			return nil
		}
		l.run()
		rest(24 * time.Hour)
		if n := l.store.unsettled(); n != 1279 {
			t.Errorf("%d records without receipt, want the 1,279 that get none", n)
		}
		l.net.change(func() { refused = func(Message) bool { return false } }) // the centre is mended
		rest(24 * time.Hour)
		if n := l.store.unsettled(); n != 0 {
			t.Errorf("%d records without receipt after the centre was mended", n)
		}
		l.stop()
	})
}

func TestBrokerThatNeverAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		first := true
		l.net.publish = func(_ *fakeSession, n int, m Message) error {
			if first && strings.HasSuffix(m.Topic, "/record") {
				first = false
				return errLost
			}
			return nil
		}
		l.store.add()
		l.run()
		rest(ackPatience - time.Second)
		if n := l.net.dialled(); n != 1 {
			t.Errorf("%d sessions", n)
		}
		rest(time.Minute)
		if n := l.net.dialled(); n != 2 || l.store.unsettled() != 0 {
			t.Errorf("%d sessions, %d unsettled", n, l.store.unsettled())
		}
		l.stop()
	})
}

func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.store.fails = errors.New("input/output error")
		for range 3 {
			l.store.add()
		}
		l.store.damaged[Key{1, 2}] = true
		l.run()
		rest(time.Hour)
		if s := l.sender.Snapshot(); len(s.Alarms) != 1 || s.Alarms[0].Code != "outbox_unreadable" || !s.Connected {
			t.Errorf("snapshot %+v", s)
		}
		if n := l.store.unlisted; n > 361 {
			t.Errorf("store asked %d times in an hour", n)
		}
		l.store.mu.Lock()
		l.store.fails = nil
		l.store.mu.Unlock()
		rest(time.Minute)
		s := l.sender.Snapshot()
		if l.store.unsettled() != 1 || len(s.Alarms) != 1 || s.Alarms[0].Code != "record_unreadable" {
			t.Errorf("%d unsettled, want the damaged one; snapshot %+v", l.store.unsettled(), s)
		}
		// A receipt that the store cannot take is asked for again.
		l.store.mu.Lock()
		l.store.settles = errors.New("read-only file system")
		l.store.mu.Unlock()
		l.store.add()
		rest(time.Minute)
		if s := l.sender.Snapshot(); l.store.unsettled() != 2 || len(s.Alarms) != 2 {
			t.Errorf("%d unsettled, snapshot %+v", l.store.unsettled(), s)
		}
		l.store.mu.Lock()
		l.store.settles = nil
		l.store.mu.Unlock()
		rest(15 * time.Minute)
		if n := l.store.unsettled(); n != 1 {
			t.Errorf("%d unsettled after the store was mended", n)
		}
		l.stop()
	})
}

func TestRunIsForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.run()
		l.stop()
		if err := l.sender.Run(t.Context()); err == nil {
			t.Error("ran twice")
		}
	})
}
