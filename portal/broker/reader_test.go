package broker_test

import (
	"context"
	"net"
	"testing"

	"ciglio/portal/broker"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// TestReadersReadEverythingAndWriteNothing connects as programs of others do.
func TestReadersReadEverythingAndWriteNothing(t *testing.T) {
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	b, err := broker.New(broker.Options{Listener: listeners[0], Shard: portaltest.Shard, Known: everyone,
		Readers: broker.Readers{Listener: listeners[1], Name: "reader", Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", listeners[1].Addr().String()); err == nil {
			t.Error("the readers' address is open after the end")
		}
	})
	reader := func(name, password string, o uplink.SessionOptions) (uplink.Session, error) {
		return dial(t, mqtt.Options{Broker: "tcp://" + listeners[1].Addr().String(), Username: name, Password: password}, o)
	}
	d := portaltest.NewDevice(t, "one")
	own := wire.Topic(portaltest.Shard, d.ID, wire.WhatRecord)
	state := wire.Topic(portaltest.Shard, d.ID, wire.WhatState)
	received := make(chan uplink.Message, 100)
	c := centre(t, b, func(m uplink.Message) { received <- m })
	// A reader that calls itself as the device or the centre does takes nothing
	// from them.
	s, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan uplink.Message, 100)
	for _, id := range []string{d.ID.String(), "centre", "mosq-1"} {
		if _, err := reader("reader", "secret", uplink.SessionOptions{ClientID: id, Subscribe: []string{wire.Root + "/#"},
			Handle: func(m uplink.Message) { heard <- m }}); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-s.Publish(uplink.Message{Topic: own, Payload: []byte("record")}); err != nil {
		t.Fatal(err)
	}
	receipt := wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt)
	if err := <-c.Publish(uplink.Message{Topic: receipt, Payload: []byte("receipt")}); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for range 6 {
		count[string((<-heard).Payload)]++
	}
	if count["record"] != 3 || count["receipt"] != 3 {
		t.Errorf("three readers heard %v", count)
	}
	for _, topic := range []string{own, state, receipt, "home/door"} {
		w, err := reader("reader", "secret", uplink.SessionOptions{ClientID: "writer"})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-w.Publish(uplink.Message{Topic: topic, Payload: []byte("forged"), Retained: true}):
			if err == nil {
				t.Errorf("%s: published by a reader", topic)
			}
		case <-w.Done():
		}
	}
	if err := <-s.Publish(uplink.Message{Topic: own, Payload: []byte("last")}); err != nil {
		t.Fatal(err)
	}
	for m := range received {
		if string(m.Payload) == "forged" {
			t.Error("a reader's message came to the centre")
		}
		if string(m.Payload) == "last" {
			break
		}
	}
	for name, row := range map[string]struct {
		name, password string
		options        uplink.SessionOptions
	}{
		"no name":                {"", "", uplink.SessionOptions{ClientID: "x"}},
		"a wrong name":           {"root", "secret", uplink.SessionOptions{ClientID: "x"}},
		"a wrong password":       {"reader", "secret2", uplink.SessionOptions{ClientID: "x"}},
		"no password":            {"reader", "", uplink.SessionOptions{ClientID: "x"}},
		"a last will":            {"reader", "secret", uplink.SessionOptions{ClientID: "x", Will: &uplink.Message{Topic: state}}},
		"a wish for all topics":  {"reader", "secret", uplink.SessionOptions{ClientID: "x", Subscribe: []string{"#"}}},
		"a wish for the $SYS":    {"reader", "secret", uplink.SessionOptions{ClientID: "x", Subscribe: []string{"$SYS/#"}}},
		"a shared subscription":  {"reader", "secret", uplink.SessionOptions{ClientID: "x", Subscribe: []string{"$share/g/" + wire.Root + "/#"}}},
		"the name of the device": {d.ID.String(), "", uplink.SessionOptions{ClientID: d.ID.String()}},
	} {
		if _, err := reader(row.name, row.password, row.options); err == nil {
			t.Errorf("connected with %s", name)
		}
	}
}
