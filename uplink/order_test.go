package uplink

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

func TestResendSendsWhatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		for i := range 4 {
			l.store.add(blob(uint64(i+1), 100))
		}
		l.run()
		synctest.Wait()
		if n := l.store.unsettled(); n != 0 {
			t.Fatalf("%d records without receipt", n)
		}
		// The centre has lost its store.
		l.centre.mu.Lock()
		clear(l.centre.chunks)
		clear(l.centre.records)
		clear(l.centre.done)
		l.centre.log = nil
		l.centre.mu.Unlock()
		items := []Item{l.store.records[1].item, l.store.records[2].item}
		l.net.cut(errHangUp) // asked for while it is not connected
		rest(time.Minute)
		if err := l.sender.Resend(items); err != nil {
			t.Fatal(err)
		}
		l.net.cut(nil)
		rest(10 * time.Minute)
		for i, want := range []bool{false, true, true, false} {
			if id := l.store.records[i].item.ID; l.centre.done[id] != want {
				t.Errorf("record %d: the centre has it whole: %t, want %t; messages %v", i+1, l.centre.done[id], want, l.centre.log)
			}
		}
		sent := len(l.centre.log)
		rest(24 * time.Hour)
		if got := count(l.centre.log[sent:], "record"); got != 0 {
			t.Errorf("%d records more after they were receipted", got)
		}
		if err := l.sender.Resend(make([]Item, MaxWanted+1)); err == nil {
			t.Error("more were taken than may wait")
		}
		l.stop()
	})
}

func count(log []string, what string) (n int) {
	for _, w := range log {
		if w == what {
			n++
		}
	}
	return n
}

func TestOrdersAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got [][]byte
		l := newLab(t, func(o *SenderOptions) { o.Order = func(b []byte) { got = append(got, b) } })
		l.run()
		synctest.Wait()
		now := time.Now()
		order, err := wire.SealOrder(&wire.Order{Device: evidence.DeviceID{9}, Number: 1, Kind: wire.OrderStatus, NotBefore: now, NotAfter: now}, l.centre.signer)
		if err != nil {
			t.Fatal(err)
		}
		l.net.last().inbox <- Message{Topic: wire.Topic(testShard, testDevice, wire.WhatCommand), Payload: order}
		synctest.Wait()
		if len(got) != 1 || !bytes.Equal(got[0], order) || l.sender.Snapshot().Refused != 0 {
			t.Errorf("%d orders, %d refused: whoever takes it judges it", len(got), l.sender.Snapshot().Refused)
		}
		l.net.last().inbox <- Message{Topic: wire.Topic(testShard, testDevice, wire.WhatReceipt), Payload: order}
		synctest.Wait()
		if len(got) != 1 || l.sender.Snapshot().Refused != 1 {
			t.Errorf("on the topic of receipts: %d orders, %d refused", len(got), l.sender.Snapshot().Refused)
		}
		l.stop()
	})
}
