package intake_test

import (
	"bytes"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/orders"
	"ciglio/portal/portaltest"
	"ciglio/uplink/wire"
)

// TestOrdersReachADeviceThatIsThere follows one order from the command to its answer.
func TestOrdersReachADeviceThatIsThere(t *testing.T) {
	d, old := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "old")
	b := start(t, portaltest.NewCentre(t, d, old))
	book := orders.Open(b.centre.Dir)
	dispatcher := intake.NewDispatcher(b.intake, book)
	now := time.Now()
	e, err := book.Sign(wire.Order{Device: d.ID, Kind: wire.OrderStatus}, b.centre.Signer, now, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	late, err := book.Sign(wire.Order{Device: d.ID, Kind: wire.OrderSelfTest}, b.centre.Signer, now.Add(-2*time.Hour), time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	// It goes on a stick.
	if _, err := book.Sign(wire.Order{Device: d.ID, Kind: wire.OrderExport, Epoch: 1, From: 1, To: 1, Reason: "inspection", Recipient: "age1"}, b.centre.Signer, now, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := book.Sign(wire.Order{Device: old.ID, Kind: wire.OrderStatus}, b.centre.Signer, now, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	looked := func(at time.Time, want ...[]byte) {
		t.Helper()
		if err := dispatcher.Look(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			m := <-b.Published()
			if m.Topic != wire.Topic(portaltest.Shard, d.ID, wire.WhatCommand) || !bytes.Equal(m.Payload, w) || m.Retained {
				t.Errorf("sent %q, %d bytes", m.Topic, len(m.Payload))
			}
		}
		select {
		case m := <-b.Published():
			t.Errorf("sent %q too", m.Topic)
		case <-time.After(50 * time.Millisecond):
		}
	}
	sequence := uint64(0)
	report := func(d *portaltest.Device, online bool, takes uint8) {
		t.Helper()
		sequence++
		head := wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}
		state, err := wire.State{Head: head, Boot: wire.BootID{1}, Sequence: sequence, Online: online}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		profile, err := wire.Profile{Head: head, Road: "SP 14", Orders: takes}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b.Deliver(d.Message(wire.WhatState, state), d.Message(wire.WhatProfile, profile))
		waitFor(t, func() bool {
			dev, err := b.store.Device(t.Context(), d.ID)
			return err == nil && bytes.Equal(dev.State, state) && bytes.Equal(dev.Profile, profile)
		})
	}
	looked(now) // never heard
	report(old, true, 0)
	looked(now) // one that would not know what it is
	report(d, false, 1)
	looked(now) // not there
	report(d, true, 1)
	looked(now, e.Bytes)
	looked(now.Add(time.Minute)) // it was sent
	looked(now.Add(15*time.Minute), e.Bytes)
	report(d, false, 1)
	report(d, true, 1)
	looked(now.Add(16*time.Minute), e.Bytes) // another session
	looked(now.Add(2 * time.Hour))           // too late
	kid := b.centre.Signer.KeyID()
	answer := d.Seal(t, func(r *evidence.Record) {
		r.Kind = evidence.KindOperator
		r.Body = evidence.Body{1: "order 1: status"}.WithAct(&evidence.Act{Actor: "centre", Role: "centre", Code: "status", Outcome: "done", Signer: &kid, Number: e.Number})
	})
	b.Deliver(sealedMessage(d, answer))
	b.receipt()
	looked(now.Add(50 * time.Minute)) // answered
	acts, err := intake.Acts(t.Context(), b.store, d.ID)
	if err != nil || len(acts) != 1 {
		t.Fatalf("%d acts, %v", len(acts), err)
	}
	if state, a := e.State(now, intake.Answers(e, acts)); state != orders.Done || a.Record != answer.ID {
		t.Errorf("%s by %+v", state, a)
	}
	if state, _ := late.State(now, intake.Answers(late, acts)); state != orders.Expired {
		t.Errorf("yesterday's is %s", state)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not come")
}
