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
	"strings"
	"sync"
	"sync/atomic"
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

// connect is the CONNECT of a client that leaves a retained last will.
func connect(id, topic string) []byte {
	var out bytes.Buffer
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 4, Connect: packets.ConnectParams{
		ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 60, ClientIdentifier: id,
		WillFlag: true, WillQos: 1, WillRetain: true, WillTopic: topic, WillPayload: make([]byte, 1000),
	}}
	if err := pk.ConnectEncode(&out); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func publish(topic string, qos byte, retain bool, payload []byte) []byte {
	var out bytes.Buffer
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: retain}, ProtocolVersion: 4, PacketID: uint16(qos), TopicName: topic, Payload: payload}
	if err := pk.PublishEncode(&out); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// open dials the broker, writes b and returns the connection.
func open(t *testing.T, b *broker.Broker, bytes []byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Write(bytes) // which may have been ended already
	return c
}

// reset ends a connection without a goodbye.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// heap is the memory in use once goroutines that end have ended.
func heap(t *testing.T, goroutines int) uint64 {
	t.Helper()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > goroutines {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, want %d", runtime.NumGoroutine(), goroutines)
		}
		time.Sleep(time.Millisecond)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers held
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// patience is how long a test waits for what comes at once on a machine that has
// nothing else to do.
const patience = 2 * time.Minute

// only is a register with these devices.
func only(devices ...*portaltest.Device) func(evidence.DeviceID) bool {
	return func(id evidence.DeviceID) bool {
		for _, d := range devices {
			if d.ID == id {
				return true
			}
		}
		return false
	}
}

// Whatever strangers do with connections, the memory comes back and a device of
// the register gets in at once.
func TestH01_StrangersLeaveNothingBehind(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	stateOf := func(id string) string { return "ciglio/v1/" + portaltest.Shard + "/" + id + "/state" }
	invented := func(n int) string { return fmt.Sprintf("%032x", n+1) }
	const many = 2000
	for _, row := range []struct {
		name string
		own  bool                                                 // under the device's id
		bad  func(t *testing.T, b *broker.Broker, n int) net.Conn // kept open when not nil
	}{
		{"reset right after CONNECT under invented ids", false, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			reset(open(t, b, connect(invented(n), stateOf(invented(n)))))
			return nil
		}},
		{"reset right after CONNECT under the device's id", true, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			reset(open(t, b, connect(d.ID.String(), stateOf(d.ID.String()))))
			return nil
		}},
		{"idle under invented ids", false, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			return open(t, b, connect(invented(n), stateOf(invented(n))))
		}},
		{"retained messages of invented ids", false, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			c := open(t, b, connect(invented(n), stateOf(invented(n))))
			c.Write(publish(stateOf(invented(n)), 1, true, make([]byte, 10_000)))
			return c
		}},
		{"no CONNECT", false, func(t *testing.T, b *broker.Broker, n int) net.Conn { return open(t, b, nil) }},
		{"half a CONNECT", false, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			return open(t, b, connect(invented(n), stateOf(invented(n)))[:900])
		}},
		{"a CONNECT of 200 MB", false, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			return open(t, b, []byte{packets.Connect << 4, 0x80, 0x80, 0x80, 0x60, 0, 4, 'M', 'Q', 'T', 'T'})
		}},
		{"another protocol", false, func(t *testing.T, b *broker.Broker, n int) net.Conn {
			return open(t, b, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := runWith(t, only(d))
			c := centre(t, b, func(uplink.Message) {})
			if s, err := device(t, b, uplink.SessionOptions{ClientID: d.ID.String()}); err != nil {
				t.Fatal(err)
			} else {
				s.Close()
			}
			time.Sleep(50 * time.Millisecond)
			goroutines := runtime.NumGoroutine()
			before := heap(t, goroutines)
			var left []net.Conn
			for n := range many {
				if c := row.bad(t, b, n); c != nil {
					left = append(left, c)
				}
			}
			var s uplink.Session
			for late := time.Now().Add(patience); ; {
				var err error
				if s, err = device(t, b, uplink.SessionOptions{ClientID: d.ID.String()}); err == nil {
					if err = <-s.Publish(d.Message(wire.WhatRecord, []byte("honest"))); err == nil {
						break
					}
					s.Close()
				}
				// Those under its own id may still come behind it, and end it.
				if !row.own || time.Now().After(late) {
					t.Fatalf("the device is not let in beside them: %v", err)
				}
			}
			if n := runtime.NumGoroutine(); n > goroutines+broker.MaxStrangers+20 {
				t.Errorf("%d goroutines while %d strangers are connected", n, len(left))
			}
			s.Close()
			for _, c := range left {
				reset(c)
			}
			clear(left)
			if after := heap(t, goroutines); after > before+500_000 {
				t.Errorf("%d bytes more are in use than before", after-before)
			}
			if c.Err() != nil {
				t.Errorf("the centre's session: %v", c.Err())
			}
		})
	}
}

// Ids that are not in the register are told so at CONNECT.
func TestH01_InventedIDIsRefusedAtConnect(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := runWith(t, only(d))
	stranger := portaltest.NewDevice(t, "stranger")
	c := open(t, b, connect(stranger.ID.String(), wire.Topic(portaltest.Shard, stranger.ID, wire.WhatState)))
	defer c.Close()
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(answer, []byte{0x20, 2, 0, 5}) {
		t.Errorf("answer %x, %v, want CONNACK with code 5 and the end", answer, err)
	}
}

// lines passes on what is written to it.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// The connections that have said nothing are bounded, and the oldest go first.
func TestH01_SilentConnectionsMakeRoom(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := make(lines, 4096)
	b := runLogging(t, listener, only(), slog.New(slog.NewTextHandler(log, nil)))
	first := open(t, b, nil)
	defer first.Close()
	for range broker.MaxStrangers {
		defer open(t, b, nil).Close()
	}
	first.SetReadDeadline(time.Now().Add(patience))
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("the oldest connection: %v, want its end", err)
	}
	// A silent connection ends by itself in time: this one had to go before.
	select {
	case line := <-log:
		if !strings.Contains(line, "too many connections") {
			t.Errorf("the log says %q", line)
		}
	case <-time.After(patience):
		t.Error("no connection had to go")
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// One device floods with QoS 0, as does a stranger: the device beside them has
// every record delivered and hears every receipt.
func TestH02_FloodOfQoS0TakesNothingFromOthers(t *testing.T) {
	honest, flooder, stranger := portaltest.NewDevice(t, "honest"), portaltest.NewDevice(t, "flooder"), portaltest.NewDevice(t, "stranger")
	b := runWith(t, only(honest, flooder))
	flood(t, b, honest, func(ctx context.Context, at func(*portaltest.Device, byte)) {
		at(flooder, 0)
		at(stranger, 0)
	})
}

// The same with QoS 1, and without ever reading an acknowledgement.
func TestH02_FloodOfQoS1TakesNothingFromOthers(t *testing.T) {
	honest, flooder, second := portaltest.NewDevice(t, "honest"), portaltest.NewDevice(t, "flooder"), portaltest.NewDevice(t, "second")
	b := runWith(t, only(honest, flooder, second))
	flood(t, b, honest, func(ctx context.Context, at func(*portaltest.Device, byte)) {
		at(flooder, 1)
		at(second, 1)
	})
}

// flood has an honest device send records and hear receipts while others flood.
func flood(t *testing.T, b *broker.Broker, honest *portaltest.Device, begin func(context.Context, func(*portaltest.Device, byte))) {
	const records = 400
	ctx, cancel := context.WithCancel(t.Context())
	var flooding sync.WaitGroup
	defer flooding.Wait()
	defer cancel()
	receiptTopic := wire.Topic(portaltest.Shard, honest.ID, wire.WhatReceipt)
	answers := make(chan uplink.Message, 10*records)
	centre(t, b, func(m uplink.Message) {
		time.Sleep(20 * time.Microsecond) // verifying takes its time
		if m.Topic == wire.Topic(portaltest.Shard, honest.ID, wire.WhatRecord) {
			answers <- uplink.Message{Topic: receiptTopic, Payload: m.Payload}
		}
	})
	answering, err := dial(t, mqttOptions(b), uplink.SessionOptions{ClientID: "centre-answers"})
	if err != nil {
		t.Fatal(err)
	}
	flooding.Go(func() {
		for {
			select {
			case m := <-answers:
				<-answering.Publish(m)
			case <-ctx.Done():
				return
			}
		}
	})
	var flooded atomic.Int64
	begin(ctx, func(d *portaltest.Device, qos byte) {
		flooding.Go(func() {
			topic := wire.Topic(portaltest.Shard, d.ID, wire.WhatRecord)
			burst := bytes.Repeat(publish(topic, qos, false, []byte("ten bytes.")), 200)
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", b.Addr().String())
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				c.Write(connect(d.ID.String(), wire.Topic(portaltest.Shard, d.ID, wire.WhatState)))
				for {
					if _, err := c.Write(burst); err != nil {
						break
					}
					flooded.Add(200)
				}
				stop()
				c.Close()
			}
		})
	})
	heard := make(chan string, records)
	s, err := device(t, b, uplink.SessionOptions{ClientID: honest.ID.String(), Subscribe: []string{receiptTopic},
		Handle: func(m uplink.Message) { heard <- string(m.Payload) }})
	if err != nil {
		t.Fatal(err)
	}
	for flooded.Load() < 2000 { // it has begun
		time.Sleep(time.Millisecond)
	}
	go func() {
		for n := range records {
			if err := <-s.Publish(honest.Message(wire.WhatRecord, fmt.Append(nil, n))); err != nil {
				t.Errorf("record %d: %v", n, err)
				return
			}
		}
	}()
	got := make(map[string]bool)
	late := time.After(patience)
	for len(got) < records {
		select {
		case m := <-heard:
			got[m] = true
		case <-late:
			t.Fatalf("%d of %d records were delivered and answered while %d messages flooded", len(got), records, flooded.Load())
		}
	}
}

// Many sessions of one device begin in the same moment. One is left, and that one
// hears the centre.
func TestH09_SessionsOfOneMomentLeaveOneThatHears(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := runWith(t, only(d))
	c := centre(t, b, func(uplink.Message) {})
	topic := wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt)
	for round := range 5 {
		heard := make(chan string, 1000)
		sessions := make(chan uplink.Session, 20)
		var dialling sync.WaitGroup
		for range cap(sessions) {
			dialling.Go(func() {
				dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + b.Addr().String()})
				if err != nil {
					t.Error(err)
					return
				}
				// One that another has replaced by then is no error.
				s, err := dialer.Dial(t.Context(), uplink.SessionOptions{ClientID: d.ID.String(), Subscribe: []string{topic},
					Handle: func(m uplink.Message) { heard <- string(m.Payload) }})
				if err == nil {
					sessions <- s
				}
			})
		}
		dialling.Wait()
		close(sessions)
		var live []uplink.Session
		deadline := time.Now().Add(patience)
		var all []uplink.Session
		for s := range sessions {
			all = append(all, s)
		}
		for len(all) > 0 {
			live = live[:0]
			for _, s := range all {
				select {
				case <-s.Done():
				default:
					live = append(live, s)
				}
			}
			if len(live) <= 1 || time.Now().After(deadline) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if len(live) != 1 {
			t.Fatalf("round %d: %d sessions are left, want one", round, len(live))
		}
		if err := <-live[0].Publish(d.Message(wire.WhatRecord, []byte("x"))); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if err := <-c.Publish(uplink.Message{Topic: topic, Payload: fmt.Append(nil, "answer", round)}); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-heard:
			if m != fmt.Sprint("answer", round) {
				t.Errorf("heard %q", m)
			}
		case <-time.After(patience):
			t.Fatalf("round %d: the session that is left hears nothing", round)
		}
		for _, s := range all {
			s.Close()
		}
	}
}
