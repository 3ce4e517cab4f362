package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"ciglio/capture/evidence"
	"ciglio/portal/broker"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// everyone is a register with every device.
func everyone(evidence.DeviceID) bool { return true }

// run serves a broker until the test ends.
func run(t *testing.T) *broker.Broker { return runWith(t, everyone) }

// runWith serves a broker for the devices of a register.
func runWith(t *testing.T, known func(evidence.DeviceID) bool) *broker.Broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return runOn(t, l, known)
}

func runOn(t *testing.T, l net.Listener, known func(evidence.DeviceID) bool) *broker.Broker {
	t.Helper()
	return runLogging(t, l, known, nil)
}

func runLogging(t *testing.T, l net.Listener, known func(evidence.DeviceID) bool, log *slog.Logger) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Options{Listener: l, Shard: portaltest.Shard, Known: known, Log: log})
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
	})
	return b
}

func dial(t *testing.T, o mqtt.Options, so uplink.SessionOptions) (uplink.Session, error) {
	t.Helper()
	d, err := mqtt.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Dial(t.Context(), so)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// device connects as a device does.
func device(t *testing.T, b *broker.Broker, so uplink.SessionOptions) (uplink.Session, error) {
	t.Helper()
	return dial(t, mqtt.Options{Broker: "tcp://" + b.Addr().String()}, so)
}

func mqttOptions(b *broker.Broker) mqtt.Options { return mqtt.Options{Open: b.Dial} }

// centre connects as the intake does.
func centre(t *testing.T, b *broker.Broker, handle func(uplink.Message)) uplink.Session {
	t.Helper()
	s, err := dial(t, mqttOptions(b), uplink.SessionOptions{
		ClientID: "centre", Subscribe: []string{wire.Filter(portaltest.Shard, wire.WhatRecord), wire.Filter(portaltest.Shard, wire.WhatState)},
		Handle: handle,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeviceKeepsToItsOwnTopics(t *testing.T) {
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	b := run(t)
	got := make(chan uplink.Message, 100)
	c := centre(t, b, func(m uplink.Message) { got <- m })
	own := wire.Topic(portaltest.Shard, d.ID, wire.WhatRecord)
	for _, row := range []struct {
		name, topic string
	}{
		{"another device", wire.Topic(portaltest.Shard, other.ID, wire.WhatRecord)},
		{"another shard", wire.Topic("else", d.ID, wire.WhatRecord)},
		{"a receipt", wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt)},
		{"a command to another", wire.Topic(portaltest.Shard, other.ID, wire.WhatCommand)},
		{"another system", "home/door"},
	} {
		s, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-s.Publish(uplink.Message{Topic: row.topic, Payload: []byte("x")}):
			if err == nil {
				t.Errorf("%s: published", row.name)
			}
		case <-s.Done():
		}
	}
	for _, row := range []struct {
		name, filter string
		allowed      bool
	}{
		{"its receipts", wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt), true},
		{"its commands", wire.Topic(portaltest.Shard, d.ID, wire.WhatCommand), true},
		{"its own records", own, false},
		{"another's receipts", wire.Topic(portaltest.Shard, other.ID, wire.WhatReceipt), false},
		{"everyone's receipts", wire.Filter(portaltest.Shard, wire.WhatReceipt), false},
		{"everything", "#", false},
		{"the broker's own", "$SYS/#", false},
		{"a shared subscription", "$share/g/" + own, false},
	} {
		if _, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String(), Subscribe: []string{row.filter}}); (err == nil) != row.allowed {
			t.Errorf("subscription to %s: %v", row.name, err)
		}
	}
	for _, row := range []struct {
		name    string
		options uplink.SessionOptions
	}{
		{"no device id", uplink.SessionOptions{ClientID: "ciglio-portal-0"}},
		{"no id", uplink.SessionOptions{}},
		{"a last will for another device", uplink.SessionOptions{ClientID: d.ID.String(),
			Will: &uplink.Message{Topic: wire.Topic(portaltest.Shard, other.ID, wire.WhatState)}}},
		{"a last will that stays", uplink.SessionOptions{ClientID: d.ID.String(), Will: &uplink.Message{Topic: own, Retained: true}}},
	} {
		if _, err := device(t, b, row.options); err == nil {
			t.Errorf("connected with %s", row.name)
		}
	}
	// What the centre sends arrives, and what the device sends.
	heard := make(chan uplink.Message, 1)
	s, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String(),
		Subscribe: []string{wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt)}, Handle: func(m uplink.Message) { heard <- m }})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-s.Publish(uplink.Message{Topic: own, Payload: []byte("good")}); err != nil {
		t.Fatal(err)
	}
	if m := <-got; string(m.Payload) != "good" {
		t.Errorf("the first message to arrive is %q", m.Payload)
	}
	if err := <-c.Publish(uplink.Message{Topic: wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt), Payload: []byte("receipt")}); err != nil {
		t.Fatal(err)
	}
	if m := <-heard; string(m.Payload) != "receipt" {
		t.Errorf("heard %q", m.Payload)
	}
}

func TestLastWillTellsTheCentre(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := run(t)
	got := make(chan uplink.Message, 10)
	centre(t, b, func(m uplink.Message) { got <- m })
	will := uplink.Message{Topic: wire.Topic(portaltest.Shard, d.ID, wire.WhatState), Payload: []byte("lost"), Retained: true}
	var raw net.Conn
	open := func(ctx context.Context) (net.Conn, error) {
		var err error
		raw, err = (&net.Dialer{}).DialContext(ctx, "tcp", b.Addr().String())
		return raw, err
	}
	if _, err := dial(t, mqtt.Options{Open: open}, uplink.SessionOptions{ClientID: d.ID.String(), Will: &will}); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	if m := <-got; string(m.Payload) != "lost" {
		t.Errorf("got %q", m.Payload)
	}
}

// While the centre is slow the devices wait; nothing that was acknowledged is
// dropped, and no more than the bound is held.
func TestSlowCentreHoldsDevicesBack(t *testing.T) {
	const devices, each = 8, 400
	b := run(t)
	gate, got := make(chan bool), make(chan string, devices*each)
	var acknowledged, taken atomic.Int64
	centre(t, b, func(m uplink.Message) {
		<-gate
		taken.Add(1)
		got <- m.Topic + string(m.Payload[:8])
	})
	all := make(chan error, devices*each)
	for i := range devices {
		d := portaltest.NewDevice(t, fmt.Sprint(i))
		s, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()})
		if err != nil {
			t.Fatal(err)
		}
		for n := range each {
			ack := s.Publish(uplink.Message{
				Topic:   wire.Topic(portaltest.Shard, d.ID, wire.WhatRecord),
				Payload: append(fmt.Appendf(nil, "%08d", n), make([]byte, 9000)...),
			})
			go func() {
				err := <-ack
				// Those taken after this is read only make the bound easier to keep.
				if behind := acknowledged.Add(1) - taken.Load(); err == nil && behind > broker.MaxBehind {
					err = fmt.Errorf("%d messages acknowledged that the centre has not taken", behind)
				}
				all <- err
			}()
		}
	}
	for n := range devices * each {
		if n == 20 {
			close(gate) // the centre has taken nothing so far
		}
		if err := <-all; err != nil {
			t.Error(err)
		}
	}
	seen := make(map[string]bool)
	for range devices * each {
		seen[<-got] = true
	}
	if len(seen) != devices*each {
		t.Errorf("%d messages arrived, want %d", len(seen), devices*each)
	}
}

// Nothing is acknowledged while there is nobody to take it.
func TestNothingIsAcknowledgedWithoutTheCentre(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := run(t)
	s, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	ack := s.Publish(uplink.Message{Topic: wire.Topic(portaltest.Shard, d.ID, wire.WhatRecord), Payload: []byte("early")})
	got := make(chan uplink.Message, 1)
	centre(t, b, func(m uplink.Message) { got <- m })
	if m := <-got; string(m.Payload) != "early" {
		t.Errorf("got %q", m.Payload)
	}
	if err := <-ack; err != nil {
		t.Error(err)
	}
}

func TestDialAfterTheEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Listener: l, Shard: portaltest.Shard, Known: everyone})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Dial(t.Context()); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("dial = %v, want ErrClosed", err)
	}
}

// A faultyListener fails once, and its first connection takes no deadline.
type faultyListener struct {
	net.Listener
	accepted int
}

type deadConn struct{ net.Conn }

func (deadConn) SetDeadline(time.Time) error { return errors.New("no deadline") }

func (l *faultyListener) Accept() (net.Conn, error) {
	l.accepted++
	if l.accepted == 1 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	c, err := l.Listener.Accept()
	if err == nil && l.accepted == 2 {
		return deadConn{c}, nil
	}
	return c, err
}

// The machine may be out of descriptors for a moment.
func TestDevicesConnectAfterAFailedAccept(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := runOn(t, &faultyListener{Listener: l}, everyone)
	if _, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()}); err == nil {
		t.Error("connected on a connection that takes no deadline")
	}
	if _, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()}); err != nil {
		t.Error(err)
	}
}

// raw opens a session of a device and publishes one record without waiting for
// its acknowledgement.
func raw(t *testing.T, b *broker.Broker, d *portaltest.Device, payload string) {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	connect := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 4, Connect: packets.ConnectParams{
		ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 60, ClientIdentifier: d.ID.String(), WillFlag: true, WillQos: 1,
		WillTopic: wire.Topic(portaltest.Shard, d.ID, wire.WhatState), WillPayload: []byte("lost " + payload),
	}}
	publish := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 4, PacketID: 1,
		TopicName: wire.Topic(portaltest.Shard, d.ID, wire.WhatRecord), Payload: []byte(payload)}
	var out bytes.Buffer
	if err := errors.Join(connect.ConnectEncode(&out), publish.PublishEncode(&out)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	connack := make([]byte, 4)
	if _, err := io.ReadFull(c, connack); err != nil || connack[3] != 0 {
		t.Fatalf("CONNACK %x, %v", connack, err)
	}
}

// A device that connects again and again while the centre takes nothing leaves
// nothing behind, and the last wills of its ended sessions do not come late.
func TestEndedSessionsLeaveTheBroker(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := run(t)
	before := runtime.NumGoroutine()
	const sessions = 100
	for n := range sessions {
		raw(t, b, d, fmt.Sprint(n))
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+10 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines more after %d sessions of one device", runtime.NumGoroutine()-before, sessions)
		}
		time.Sleep(time.Millisecond)
	}
	got := make(chan uplink.Message, 2*sessions)
	centre(t, b, func(m uplink.Message) { got <- m })
	if m := <-got; string(m.Payload) != fmt.Sprint(sessions-1) {
		t.Errorf("got %q, want the record of the last session", m.Payload)
	}
}
