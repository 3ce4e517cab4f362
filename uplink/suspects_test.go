package uplink

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/uplink/wire"
)

// timeoutError is how a session ends when the network falls silent.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return false }

// TestPoisonIsSetAside has a broker that hangs up whenever it sees one message.
func TestPoisonIsSetAside(t *testing.T) {
	for _, c := range []struct {
		name    string
		records int
		delay   time.Duration
		poison  func(l *lab, m Message) bool
		rest    time.Duration
		want    int // records set aside
	}{
		{"a record among others", 100, 0, func(l *lab, m Message) bool {
			return bytes.Equal(m.Payload, l.store.bytes(Key{1, 37}))
		}, time.Hour, 1},
		{"the oldest record", 100, 0, func(l *lab, m Message) bool {
			return bytes.Equal(m.Payload, l.store.bytes(Key{1, 1}))
		}, time.Hour, 1},
		{"acknowledgements come late: the innocent are unacknowledged as well", 100, 10 * time.Millisecond, func(l *lab, m Message) bool {
			return bytes.Equal(m.Payload, l.store.bytes(Key{1, 37}))
		}, time.Hour, 1},
		{"a chunk", 10, 10 * time.Millisecond, func(l *lab, m Message) bool {
			return bytes.Equal(m.Payload, chunkOf(l, Key{1, 4}, 1))
		}, time.Hour, 1},
		{"three records", 100, 10 * time.Millisecond, func(l *lab, m Message) bool {
			for _, seq := range []uint64{1, 50, 51} {
				if bytes.Equal(m.Payload, l.store.bytes(Key{1, seq})) {
					return true
				}
			}
			return false
		}, time.Hour, 3},
		{"every record: it is the broker, and nothing is set aside", 100, 0, func(l *lab, m Message) bool {
			return strings.HasSuffix(m.Topic, "/record")
		}, 48 * time.Hour, 0},
		{"the only record there is: nothing shows that it is not the broker", 1, 0, func(l *lab, m Message) bool {
			return strings.HasSuffix(m.Topic, "/record")
		}, 48 * time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				l.net.delay = c.delay
				for i := range c.records {
					if strings.Contains(c.name, "chunk") {
						l.store.add(blob(uint64(i), 2*wire.ChunkData))
					} else {
						l.store.add()
					}
				}
				hangs := true
				l.net.publish = func(_ *fakeSession, _ int, m Message) error {
					if hangs && c.poison(l, m) {
						return errHangUp
					}
					return nil
				}
				l.run()
				rest(c.rest)
				s := l.sender.Snapshot()
				if len(l.store.asides) != c.want || s.SetAside != uint64(c.want) {
					t.Fatalf("set aside %v, want %d", l.store.asides, c.want)
				}
				left := c.want
				if c.want == 0 {
					left = c.records
				}
				if n := l.store.unsettled(); n != left {
					t.Errorf("%d records without receipt, want %d", n, left)
				}
				if c.want > 0 {
					if len(s.Alarms) != 1 || s.Alarms[0].Code != "set_aside" || !s.Connected {
						t.Errorf("snapshot %+v", s)
					}
					if n := l.net.dialled(); n > 1+c.want*(strikesInCompany+strikesAlone+1) {
						t.Errorf("%d sessions for %d poisons", n, c.want)
					}
				}
				// The broker is mended, and what was set aside released.
				l.net.change(func() { hangs = false })
				l.store.release()
				l.sender.Refresh()
				rest(10 * time.Minute)
				if n := l.store.unsettled(); n != 0 {
					t.Errorf("%d records without receipt after the broker was mended", n)
				}
				if l.centre.twice != 0 {
					t.Errorf("%d chunks were sent twice", l.centre.twice)
				}
				l.stop()
			})
		})
	}
}

func chunkOf(l *lab, key Key, chunk int) []byte {
	b, err := l.store.Chunk(key, 0, chunk)
	if err != nil {
		l.t.Error(err)
	}
	return b
}

// TestBadNetworkIsNoPoison loses the connection again and again while the same
// message is on its way.
func TestBadNetworkIsNoPoison(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		n    int // sessions lost
	}{
		{"silence, however often", timeoutError{}, 50},
		{"a reset now and then", errors.New("connection reset by peer"), 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				l.net.delay = time.Minute
				for range 30 {
					l.store.add()
				}
				l.run()
				for l.net.dialled() <= c.n {
					rest(10 * time.Second)
					if l.sender.Snapshot().Connected {
						l.net.last().end(c.err)
					}
				}
				l.net.change(func() { l.net.delay = 0 })
				rest(time.Hour)
				if len(l.store.asides) != 0 || l.store.unsettled() != 0 {
					t.Errorf("set aside %v, %d unsettled", l.store.asides, l.store.unsettled())
				}
				l.stop()
			})
		})
	}
}

// TestRefusedReportStopsAlone has a broker that hangs up at health reports.
func TestRefusedReportStopsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(o *SenderOptions) { o.Health = func() wire.Health { return wire.Health{} } })
		for range 10 {
			l.store.add()
		}
		l.net.publish = func(_ *fakeSession, _ int, m Message) error {
			if strings.HasSuffix(m.Topic, "/health") {
				return errHangUp
			}
			return nil
		}
		l.run()
		rest(2 * time.Hour)
		for range 5 {
			l.store.add()
			rest(time.Hour)
		}
		if n := l.store.unsettled(); n != 0 || len(l.store.asides) != 0 {
			t.Errorf("%d unsettled, set aside %v", n, l.store.asides)
		}
		if !l.sender.Snapshot().Connected {
			t.Error("not connected")
		}
		l.stop()
		if !strings.Contains(l.log.String(), "uplink report muted") {
			t.Error("health is still published")
		}
	})
}
