package mqtt

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"

	"ciglio/uplink"
)

// newMochi returns a broker in this process that takes connections by
// EstablishConnection.
func newMochi(t testing.TB) *mochi.Server {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	return server
}

// pipeTo returns an Open that connects to server through a pipe.
func pipeTo(server *mochi.Server) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go server.EstablishConnection("pipe", far)
		return near, nil
	}
}

// scripted returns an Open whose broker end is given to script, packet by
// packet. The script ends the connection by returning an error.
func scripted(script func(net.Conn, packets.ControlPacket) error) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			for {
				p, err := packets.ReadPacket(far)
				if err != nil {
					return
				}
				if err := script(far, p); err != nil {
					return
				}
			}
		}()
		return near, nil
	}
}

var errHangUp = errors.New("script: hang up")

// accept answers CONNECT, SUBSCRIBE and PINGREQ.
func accept(w io.Writer, p packets.ControlPacket) error {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		return packets.NewControlPacket(packets.Connack).Write(w)
	case *packets.SubscribePacket:
		a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		a.MessageID, a.ReturnCodes = p.MessageID, p.Qoss
		return a.Write(w)
	case *packets.PingreqPacket:
		return packets.NewControlPacket(packets.Pingresp).Write(w)
	case *packets.DisconnectPacket:
		return errHangUp
	}
	return nil
}

// acknowledge answers a PUBLISH.
func acknowledge(w io.Writer, p *packets.PublishPacket) error {
	a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	a.MessageID = p.MessageID
	return a.Write(w)
}

func newDialer(t testing.TB, o Options) *Dialer {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dial(t testing.TB, d *Dialer, o uplink.SessionOptions) uplink.Session {
	t.Helper()
	s, err := d.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// within waits for a value of c, in real time for tests that use the network.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}
