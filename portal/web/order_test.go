package web_test

import (
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/orders"
	"ciglio/portal/portaltest"
	"ciglio/portal/web"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

func TestOrdersShowOnTheDevicesPage(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	book, now := orders.Open(c.Dir), time.Now()
	sign := func(o wire.Order, at time.Time) *orders.Entry {
		t.Helper()
		o.Device = d.ID
		e, err := book.Sign(o, c.Signer, at, time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	sign(wire.Order{Kind: wire.OrderSelfTest}, now.Add(-3*time.Hour))
	answered := sign(wire.Order{Kind: wire.OrderStatus}, now)
	sign(wire.Order{Kind: wire.OrderPause, Reason: "<b>works</b>", Until: now.Add(2 * time.Hour)}, now)
	kid := c.Signer.KeyID()
	record := d.Seal(t, func(r *evidence.Record) {
		r.Kind = evidence.KindOperator
		r.Body = evidence.Body{1: "order: status <script>"}.WithAct(&evidence.Act{Actor: "centre", Role: "centre", Code: "status", Outcome: "done", Signer: &kid, Number: answered.Number})
	})
	profile, err := wire.Profile{Head: wire.Head{Device: wire.Device(d.ID), UTC: now}, Road: "SP 14"}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	messages := []uplink.Message{d.Message(wire.WhatProfile, profile), d.Message(wire.WhatRecord, record.Bytes)}
	s := receive(t, c, messages...)
	s.open(web.Options{Orders: book})
	body := s.get("/devices/" + d.ID.String()).Body.String()
	for _, want := range []string{
		"Expired, not executed", "Waits for the device", "<td>Done</td>", "&lt;b&gt;works&lt;/b&gt;", "status &lt;script&gt;",
		`href="/records/` + record.ID.String(), "has not said that it takes orders",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
