package mqtt

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// still is a connection that gives the bytes of a reader.
type still struct {
	net.Conn
	io.Reader
}

func (s still) Read(b []byte) (int, error)      { return s.Reader.Read(b) }
func (s still) SetReadDeadline(time.Time) error { return nil }
func (s still) Close() error                    { return nil }

// FuzzBrokerBytes shows that whatever a broker sends, paho sees packets that it
// can read, in bounded memory.
func FuzzBrokerBytes(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 4, 0, 1, 1, 1, 0x32, 6, 0, 1, 'a', 0, 1, 'b', 0x40, 2, 0, 1, 0xd0, 0})
	f.Add([]byte{0x20, 2, 0, 0, 0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		const filters = 2
		c := newConn(still{Reader: bytes.NewReader(b)}, Options{MaxMessage: 1000}, filters)
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				select {
				case <-c.failed: // the connection found the fault, not paho
				default:
					t.Errorf("paho cannot read a packet that was let through: %v", err)
				}
				break
			}
			if s, ok := p.(*packets.SubackPacket); ok && len(s.ReturnCodes) != filters {
				t.Errorf("SUBACK with %d codes was let through", len(s.ReturnCodes))
			}
		}
		if cap(c.packet) > 4*(1000+packetRoom) {
			t.Errorf("%d bytes allocated for a packet", cap(c.packet))
		}
	})
}

// resetConn is that of a broker that has said why it refuses us, and is gone.
type resetConn struct {
	net.Conn
	said error
}

func (resetConn) Write([]byte) (int, error)        { return 0, syscall.ECONNRESET }
func (c resetConn) Read([]byte) (int, error)       { return 0, c.said }
func (resetConn) SetWriteDeadline(time.Time) error { return nil }
func (resetConn) SetReadDeadline(time.Time) error  { return nil }

func TestRefusalIsReadFromAConnectionThatIsGone(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: unknown certificate authority")}
	for _, row := range []struct {
		name       string
		said, want error
	}{
		{"the broker said why", alert, alert},
		{"it said nothing", io.EOF, syscall.ECONNRESET},
	} {
		c := newConn(resetConn{said: row.said}, Options{WriteTimeout: time.Second}, 0)
		c.Write([]byte("CONNECT"))
		if err := c.failure(); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}
