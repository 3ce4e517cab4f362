package device

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
)

// A moodySigner is an evidence key that fails, or does not come back.
type moodySigner struct {
	Signer
	failing atomic.Bool
	hung    atomic.Pointer[chan struct{}] // until it is closed
}

func (s *moodySigner) Sign(m evidence.ToBeSigned) ([64]byte, error) {
	if hung := s.hung.Load(); hung != nil {
		<-*hung
	}
	if s.failing.Load() {
		return [64]byte{}, errors.New("key: input/output error")
	}
	return s.Signer.Sign(m)
}

func TestStoreThatFailsClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		key := &moodySigner{Signer: r.recorder.signer}
		r.recorder.signer = key
		r.start(t)
		key.failing.Store(true)
		if o := r.pass(speeding()); len(o.Reasons) != 1 || o.Reasons[0] != sensor.ReasonStoreFault {
			t.Errorf("reasons %v, want a fault of the store", o.Reasons)
		}
		causes := r.Gate()
		if len(causes) != 1 || causes[0].Code != "store_fault" || !strings.Contains(causes[0].Words, "cannot be stored") {
			t.Errorf("gate %v, want it closed by the store", causes)
		}
		key.failing.Store(false)
		time.Sleep(inOrder + 2*time.Second) // not at the next heartbeat, an hour later
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("not recorded when the store works again: %v", o.Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What a new start may recover is no reason to run on without storing.
func TestDamagedStoreEndsTheDevice(t *testing.T) {
	for _, c := range []struct {
		why string
		try func(r *rig)
	}{
		{"at a violation", func(r *rig) {
			p := speeding()
			p.End = r.clock.Now().Add(-300 * time.Millisecond)
			p.Start = p.End.Add(-3 * time.Second)
			p.Trace.First, p.Trace.Last = p.Start, p.End
			r.sensor.passages <- p
		}},
		{"at a heartbeat", func(*rig) { time.Sleep(time.Hour) }},
	} {
		t.Run(c.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.start(t)
				time.Sleep(10 * time.Second)
				segments, err := filepath.Glob(filepath.Join(r.dir, "segments", "*.db"))
				if err != nil || len(segments) != 1 {
					t.Fatal(segments, err)
				}
				if err := os.Truncate(segments[0], 8192); err != nil {
					t.Fatal(err)
				}
				c.try(r)
				time.Sleep(5 * time.Second)
				if err := r.stop(); !errors.Is(err, outbox.ErrDamaged) {
					t.Errorf("the device ended with %v, want it to say that the store is damaged", err)
				}
			})
		})
	}
}

func TestHousekeepingThatHangsIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(fakeManager)
		r := newRig(t, func(r *rig) { r.manager = m })
		key := &moodySigner{Signer: r.recorder.signer}
		r.recorder.signer = key
		r.start(t)
		m.waited()
		hung := make(chan struct{})
		key.hung.Store(&hung)
		time.Sleep(time.Hour + 2*lookTurn) // the next heartbeat does not come back
		if waited := m.waited(); waited <= watchdog {
			t.Errorf("the manager waited %v at most, and restarts nothing", waited)
		}
		if !strings.Contains(m.status(), "not looked at itself") {
			t.Errorf("status %q", m.status())
		}
		key.hung.Store(nil)
		close(hung)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A board without a battery for its clock, before it has reached a time server.
func TestClockBeforeEveryRuleDiscards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.clock.step(time.Until(time.Unix(86400, 0)))
		r.start(t)
		for _, speed := range []sensor.Speed{30_00, 92_50} {
			p := speeding()
			p.Speed = speed
			if o := r.pass(p); o.Record != nil || len(o.Reasons) != 1 || o.Reasons[0] != sensor.ReasonClock {
				t.Errorf("%v: %v, want it discarded by the clock", speed, o.Reasons)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFullOutboxRefusesAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Outbox.Quota, r.config.Outbox.Reserve = 9<<20, 5<<20 })
		r.start(t)
		if o := r.pass(speeding()); !slices.Equal(o.Reasons, []sensor.Reason{sensor.ReasonGate}) {
			t.Fatalf("reasons %v, want the gate: no room", o.Reasons)
		}
		before := len(r.records(t))
		time.Sleep(3 * time.Hour)
		if after := len(r.records(t)); after != before+3 {
			t.Errorf("%d heartbeats in three hours, want 3", after-before)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A store that has no room even for the start must not keep the device from
// sending what is in it. The start is recorded when there is room again.
func TestStartWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Outbox.Quota, r.config.Outbox.Reserve = 1, 0 })
		r.start(t)
		if causes := r.Gate(); len(causes) != 1 || causes[0].Code != "store_full" {
			t.Errorf("gate %v, want it closed: no room", causes)
		}
		if o := r.pass(speeding()); o.Record != nil {
			t.Error("recorded before the start was")
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if n := len(r.records(t)); n != 0 {
			t.Errorf("%d records in a store without room", n)
		}
	})
}

// What is settled keeps no violation out, although retention would keep it and the
// next look at what it lets go of is an hour away.
func TestSettledRecordsMakeRoomAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a day of pictures")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.config.Outbox.Quota, r.config.Outbox.Reserve, r.config.Outbox.Retention = 5<<20, 256<<10, 30*24*time.Hour
		})
		r.start(t)
		full := func() bool {
			return slices.ContainsFunc(r.Gate(), func(c trust.Cause) bool { return c.Code == "store_full" })
		}
		large := speeding()
		large.Trace.Data = bytes.Repeat([]byte("raw"), 30_000)
		for n := 0; !full() && n < 100; n++ {
			r.pass(large)
		}
		time.Sleep(24 * time.Hour) // the next day's heartbeats begin another segment
		if !full() {
			t.Error("the store is not full, or what is not settled has made room")
		}
		receipt := &evidence.Receipt{Device: r.id, UTC: time.Now(), LogRoot: evidence.Hash{1}}
		for i, s := range r.records(t) {
			receipt.Entries = append(receipt.Entries, evidence.ReceiptEntry{Epoch: s.Record.Epoch, Seq: s.Record.Seq, ID: s.ID, Index: uint64(i)})
			receipt.LogSize++
		}
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		centre, err := evidence.NewSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := evidence.SealReceipt(receipt, centre)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.outbox.Settle(sealed); err != nil {
			t.Fatal(err)
		}
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("not recorded: %v", o.Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
