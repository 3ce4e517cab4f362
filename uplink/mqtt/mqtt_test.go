package mqtt

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"ciglio/uplink"
)

func TestOptionsAreChecked(t *testing.T) {
	open := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"nothing at all", Options{}, "broker"},
		{"no port", Options{Broker: "tcp://host"}, "and nothing else"},
		{"a scheme we do not speak", Options{Broker: "ws://host:80"}, "want tcp://"},
		{"a password in the address, which would reach a log", Options{Broker: "tcp://u:p@host:1"}, "and nothing else"},
		{"tls without a configuration", Options{Broker: "tls://host:1"}, "go together"},
		{"a configuration without tls", Options{Broker: "tcp://host:1", TLS: func() (*tls.Config, error) { return nil, nil }}, "go together"},
		{"half a second of keep-alive", Options{Open: open, KeepAlive: time.Second / 2}, "keep-alive"},
		{"more messages than there are packet ids", Options{Open: open, MaxPending: 65536}, "pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "u:p") {
				t.Errorf("error %v, want one with %q and no password", err, c.want)
			}
		})
	}
}

// TestConnectPacket checks what the broker is told: version 3.1.1, a clean
// session, keep-alive and will.
func TestConnectPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connects := make(chan packets.ConnectPacket, 1)
		d := newDialer(t, Options{Username: "u", Password: "p", Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
			if c, ok := p.(*packets.ConnectPacket); ok {
				connects <- *c
			}
			return accept(w, p)
		})})
		s := dial(t, d, uplink.SessionOptions{ClientID: "id", Will: &uplink.Message{Topic: "w", Payload: []byte("gone"), Retained: true}})
		c := <-connects
		if c.ProtocolName != "MQTT" || c.ProtocolVersion != 4 || !c.CleanSession || c.Keepalive != 30 || c.ClientIdentifier != "id" {
			t.Errorf("CONNECT %v", c.String())
		}
		if !c.WillFlag || c.WillQos != 1 || !c.WillRetain || c.WillTopic != "w" || string(c.WillMessage) != "gone" {
			t.Errorf("will of CONNECT %v", c.String())
		}
		if c.Username != "u" || string(c.Password) != "p" {
			t.Errorf("user %q, password %q", c.Username, c.Password)
		}
		s.Close()
	})
}

func TestPublishAndHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newMochi(t)
		defer server.Close()
		d := newDialer(t, Options{Open: pipeTo(server)})
		got := make(chan string, 200)
		busy := false
		var answerer uplink.Session
		answerer = dial(t, d, uplink.SessionOptions{ClientID: "b", Subscribe: []string{"question/+", "other"}, Handle: func(m uplink.Message) {
			if busy {
				t.Error("Handle is called by two at once")
			}
			busy = true
			defer func() { busy = false }()
			answerer.Publish(uplink.Message{Topic: "answer", Payload: append([]byte("re "), m.Payload...)})
		}})
		asker := dial(t, d, uplink.SessionOptions{ClientID: "a", Subscribe: []string{"answer"}, Handle: func(m uplink.Message) { got <- string(m.Payload) }})
		const n = 100 // more than the queue of messages received
		var acks []<-chan error
		for i := range n {
			acks = append(acks, asker.Publish(uplink.Message{Topic: "question/1", Payload: fmt.Appendf(nil, "%d", i)}))
		}
		for i, ack := range acks {
			if err := <-ack; err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		for i := range n {
			select {
			case m := <-got:
				if m != fmt.Sprintf("re %d", i) {
					t.Fatalf("answer %d is %q", i, m)
				}
			case <-asker.Done():
				t.Fatalf("answer %d: %v", i, asker.Err())
			case <-answerer.Done():
				t.Fatalf("answer %d: %v", i, answerer.Err())
			}
		}
		asker.Close()
		answerer.Close()
		if asker.Err() != nil || answerer.Err() != nil {
			t.Errorf("after Close: %v, %v", asker.Err(), answerer.Err())
		}
	})
}

// TestSlowHandlerHoldsUpNothing sends more messages than wait for Handle, which
// takes longer for each than a ping may.
func TestSlowHandlerHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = receivedQueue / 2
		d := newDialer(t, Options{Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
			if p, ok := p.(*packets.PublishPacket); ok {
				for i := range n {
					m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
					m.Qos, m.TopicName, m.MessageID = 1, "a", uint16(i+1)
					m.Write(w)
				}
				return acknowledge(w, p)
			}
			return accept(w, p)
		})})
		handled := 0
		s := dial(t, d, uplink.SessionOptions{ClientID: "id", Subscribe: []string{"a"}, Handle: func(m uplink.Message) {
			time.Sleep(time.Minute)
			handled++
		}})
		start := time.Now()
		if err := <-s.Publish(uplink.Message{Topic: "t"}); err != nil || time.Since(start) > time.Second {
			t.Errorf("acknowledged after %v, %v", time.Since(start), err)
		}
		time.Sleep((n + 1) * time.Minute)
		synctest.Wait()
		if handled != n || s.Err() != nil {
			t.Errorf("%d of %d messages handled, %v", handled, n, s.Err())
		}
		s.Close()
	})
}

// TestUnacknowledgedMessagesEndWithAnError is what paho's reconnecting client
// gets wrong.
func TestUnacknowledgedMessagesEndWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		d := newDialer(t, Options{Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
			if p, ok := p.(*packets.PublishPacket); ok {
				if n++; n == 1 {
					return acknowledge(w, p)
				}
				if n == 20 {
					return errHangUp
				}
			}
			return accept(w, p)
		})})
		s := dial(t, d, uplink.SessionOptions{ClientID: "id"})
		var acks []<-chan error
		for range 25 {
			acks = append(acks, s.Publish(uplink.Message{Topic: "t", Payload: []byte("p")}))
		}
		for i, ack := range acks {
			if err := <-ack; (err == nil) != (i == 0) {
				t.Errorf("message %d: %v", i, err)
			}
		}
		<-s.Done()
		if s.Err() == nil {
			t.Error("the session does not say why it ended")
		}
		if err := <-s.Publish(uplink.Message{Topic: "t"}); err == nil {
			t.Error("published in a session that has ended")
		}
		s.Close()
		if s.Err() == nil {
			t.Error("Close took the reason away")
		}
	})
}

func TestSilentBrokerIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name    string
		publish bool
		within  time.Duration
		want    string
	}{
		// Keep-alive 30 s and 10 s for the answer, checked every 5 s.
		{"idle: no answer to the ping", false, 55 * time.Second, "pingresp"},
		{"sending: the write times out", true, 31 * time.Second, "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var far net.Conn
				d := newDialer(t, Options{Open: func(context.Context) (net.Conn, error) {
					var near net.Conn
					near, far = net.Pipe()
					go func() {
						p, _ := packets.ReadPacket(far)
						accept(far, p)
						for !c.publish { // swallow everything
							if _, err := far.Read(make([]byte, 100)); err != nil {
								return
							}
						}
					}()
					return near, nil
				}})
				s := dial(t, d, uplink.SessionOptions{ClientID: "id"})
				start := time.Now()
				var acks []<-chan error
				if c.publish {
					for range 20 {
						acks = append(acks, s.Publish(uplink.Message{Topic: "t", Payload: make([]byte, 60000)}))
					}
				}
				<-s.Done()
				if took := time.Since(start); took > c.within {
					t.Errorf("noticed after %v, want %v", took, c.within)
				}
				var timeout net.Error
				if err := s.Err(); err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("reason %v, want a timeout with %q", err, c.want)
				}
				for _, ack := range acks {
					if err := <-ack; err == nil {
						t.Error("acknowledged by a broker that reads nothing")
					}
				}
				closing := time.Now()
				s.Close()
				if took := time.Since(closing); took > handOver {
					t.Errorf("Close took %v", took)
				}
				far.Close()
			})
		})
	}
}

// TestSlowNetworkIsNotAFailure sends for longer than paho is willing to wait
// for its own goroutines.
func TestSlowNetworkIsNotAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]int{}
		d := newDialer(t, Options{Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
			if p, ok := p.(*packets.PublishPacket); ok {
				time.Sleep(20 * time.Second)
				seen[string(p.Payload)]++
				return acknowledge(w, p)
			}
			return accept(w, p)
		})})
		s := dial(t, d, uplink.SessionOptions{ClientID: "id"})
		var acks []<-chan error
		for i := range 5 {
			acks = append(acks, s.Publish(uplink.Message{Topic: "t", Payload: []byte{byte('a' + i)}}))
		}
		for i, ack := range acks {
			if err := <-ack; err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		for m, n := range seen {
			if n != 1 {
				t.Errorf("message %q was sent %d times", m, n)
			}
		}
		s.Close()
	})
}

func TestDialFails(t *testing.T) {
	refuse := func(code byte) func(context.Context) (net.Conn, error) {
		return scripted(func(w net.Conn, p packets.ControlPacket) error {
			a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			a.ReturnCode = code
			a.Write(w)
			return nil
		})
	}
	for _, c := range []struct {
		name string
		open func(context.Context) (net.Conn, error)
		want string
	}{
		{"no network", func(context.Context) (net.Conn, error) { return nil, errors.New("no route to host") }, "no route to host"},
		{"not authorised", refuse(5), "not Authorized"},
		{"a code paho takes for success", refuse(77), "code 77"},
		{"hangs up at once", scripted(func(net.Conn, packets.ControlPacket) error { return errHangUp }), "EOF"},
		{"says nothing", scripted(func(net.Conn, packets.ControlPacket) error { return nil }), "deadline exceeded"},
		{"no SUBACK", scripted(func(w net.Conn, p packets.ControlPacket) error {
			if _, ok := p.(*packets.SubscribePacket); ok {
				return nil
			}
			return accept(w, p)
		}), "deadline exceeded"},
		{"refuses the subscription", scripted(func(w net.Conn, p packets.ControlPacket) error {
			if s, ok := p.(*packets.SubscribePacket); ok {
				s.Qoss[0] = 0x80
			}
			return accept(w, p)
		}), "refused"},
		{"answers with more codes than filters, at which paho panics", scripted(func(w net.Conn, p packets.ControlPacket) error {
			if s, ok := p.(*packets.SubscribePacket); ok {
				s.Qoss = make([]byte, 9)
			}
			return accept(w, p)
		}), errProtocol.Error()},
		{"claims a packet of 256 MB", scripted(func(w net.Conn, p packets.ControlPacket) error {
			w.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
			return nil
		}), errProtocol.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDialer(t, Options{Open: c.open})
				start := time.Now()
				s, err := d.Dial(t.Context(), uplink.SessionOptions{ClientID: "id", Subscribe: []string{"a"}})
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("session %v, error %v, want %q", s, err, c.want)
				}
				if took := time.Since(start); took > 31*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestDialIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, Options{Open: scripted(func(net.Conn, packets.ControlPacket) error { return nil })})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := d.Dial(ctx, uplink.SessionOptions{ClientID: "id"}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

// TestHostileBroker sends packets at which paho would panic, allocate without
// bound or take the wrong turn, in the middle of a good session.
func TestHostileBroker(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet []byte
	}{
		{"a packet of 256 MB", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}},
		{"a length of five bytes", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}},
		{"SUBACK with too many codes", []byte{0x90, 5, 0, 1, 1, 1, 1}},
		{"SUBACK with too few codes", []byte{0x90, 2, 0, 1}},
		{"PUBLISH shorter than its topic", []byte{0x32, 4, 0, 9, 'a', 'b'}},
		{"PUBLISH without packet id", []byte{0x32, 3, 0, 1, 'a'}},
		{"PUBLISH of nothing", []byte{0x30, 0}},
		{"PUBLISH with QoS 3", []byte{0x36, 5, 0, 1, 'a', 0, 1}},
		{"a second CONNACK", []byte{0x20, 2, 0, 0}},
		{"CONNECT, which only clients send", []byte{0x10, 0}},
		{"type 0", []byte{0, 0}},
		{"type 15", []byte{0xf0, 0}},
		{"PUBACK without packet id", []byte{0x40, 0}},
		{"PINGRESP with a body", []byte{0xd0, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDialer(t, Options{Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
					if _, ok := p.(*packets.PublishPacket); ok {
						w.Write(c.packet)
					}
					return accept(w, p)
				})})
				s := dial(t, d, uplink.SessionOptions{ClientID: "id", Subscribe: []string{"a"}})
				if err := <-s.Publish(uplink.Message{Topic: "t"}); !errors.Is(err, errProtocol) {
					t.Errorf("error %v, want %v", err, errProtocol)
				}
				s.Close()
			})
		})
	}
}

func TestStrayAcknowledgementsDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, Options{Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
			if p, ok := p.(*packets.PublishPacket); ok {
				w.Write([]byte{0x40, 2, 0xff, 0xff}) // for nothing
				acknowledge(w, p)
				return acknowledge(w, p) // twice
			}
			return accept(w, p)
		})})
		s := dial(t, d, uplink.SessionOptions{ClientID: "id"})
		for range 3 {
			if err := <-s.Publish(uplink.Message{Topic: "t"}); err != nil {
				t.Error(err)
			}
		}
		s.Close()
	})
}

func TestPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t, Options{MaxPending: 3, Open: scripted(func(w net.Conn, p packets.ControlPacket) error { return accept(w, p) })})
		s := dial(t, d, uplink.SessionOptions{ClientID: "id"})
		for range 3 {
			s.Publish(uplink.Message{Topic: "t"})
		}
		if err := <-s.Publish(uplink.Message{Topic: "t"}); !errors.Is(err, ErrPending) {
			t.Errorf("error %v, want ErrPending", err)
		}
		s.Close()
	})
}

func TestBrokerDropsTheWillAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newMochi(t)
		defer server.Close()
		d := newDialer(t, Options{Open: pipeTo(server)})
		wills := make(chan string, 10)
		watcher := dial(t, d, uplink.SessionOptions{ClientID: "w", Subscribe: []string{"will/+"}, Handle: func(m uplink.Message) {
			wills <- m.Topic
		}})
		var raw net.Conn
		cut := newDialer(t, Options{Open: func(ctx context.Context) (net.Conn, error) {
			c, err := pipeTo(server)(ctx)
			raw = c
			return c, err
		}})
		dies := dial(t, cut, uplink.SessionOptions{ClientID: "a", Will: &uplink.Message{Topic: "will/a", Payload: []byte("gone")}})
		ends := dial(t, d, uplink.SessionOptions{ClientID: "b", Will: &uplink.Message{Topic: "will/b", Payload: []byte("gone")}})
		ends.Close()
		raw.Close()
		<-dies.Done()
		dies.Close()
		if w := <-wills; w != "will/a" {
			t.Errorf("first will %q", w)
		}
		synctest.Wait()
		if len(wills) != 0 {
			t.Errorf("the will of a session closed in good order: %q", <-wills)
		}
		watcher.Close()
	})
}

// TestSessionsLeaveNothingBehind relies on the bubble: it fails when a
// goroutine outlives the test.
func TestSessionsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 50 {
			n := 0
			d := newDialer(t, Options{Open: scripted(func(w net.Conn, p packets.ControlPacket) error {
				if _, ok := p.(*packets.PublishPacket); ok {
					if n++; n > i%7 {
						return errHangUp
					}
					w.Write([]byte{0x30, 3, 0, 1, 'a'})
				}
				return accept(w, p)
			})})
			s := dial(t, d, uplink.SessionOptions{ClientID: "id", Subscribe: []string{"a"}, Handle: func(m uplink.Message) {
				time.Sleep(time.Minute)
			}})
			for range 20 {
				s.Publish(uplink.Message{Topic: "t", Payload: bytes.Repeat([]byte{1}, 1000)})
			}
			if i%2 == 0 {
				<-s.Done()
			}
			s.Close()
		}
	})
}
