package mqtt

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"ciglio/internal/mtls"
)

// errProtocol is what the errors about a broker's bad packets wrap.
var errProtocol = errors.New("broker breaks the protocol")

// errClosed is the failure of a connection that was closed from this side.
var errClosed = errors.New("connection closed")

// A conn stands between paho and the network. It gives every write its own
// deadline, since paho gives none to acknowledgements and pings; it passes on
// whole, checked packets only, since paho allocates whatever length a broker
// claims and trusts the shape of its answers; and it remembers the first
// failure, since paho does not always report one.
type conn struct {
	net.Conn
	writeTimeout time.Duration
	maxPacket    int // bytes of a packet from the broker
	filters      int // subscriptions, all in one packet

	writing sync.Mutex
	wrote   bool // CONNECT has gone out, and somebody reads

	// Used by paho's one reading goroutine only.
	reader    *bufio.Reader
	packet    []byte // the present packet
	read      int    // how much of it paho has
	connected bool   // CONNACK has come

	once   sync.Once
	err    error         // the first failure, after failed is closed
	failed chan struct{} // closed at the first failure
}

func newConn(c net.Conn, o Options, filters int) *conn {
	return &conn{
		Conn: c, writeTimeout: o.WriteTimeout, maxPacket: o.MaxMessage + packetRoom, filters: filters,
		reader: bufio.NewReaderSize(c, 4096), failed: make(chan struct{}),
	}
}

// packetRoom is what a PUBLISH adds to its payload: header, topic, packet id.
const packetRoom = 512

func (c *conn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.failed)
	})
}

// failure returns the first failure of a connection that has failed or was closed.
func (c *conn) failure() error {
	<-c.failed
	return c.err
}

// Read gives the bytes of the next packet, or of what is left of the present
// one.
func (c *conn) Read(b []byte) (int, error) {
	if c.read == len(c.packet) {
		if err := c.next(); err != nil {
			c.fail(err)
			return 0, err
		}
	}
	n := copy(b, c.packet[c.read:])
	c.read += n
	return n, nil
}

// next reads a whole packet and checks it.
func (c *conn) next() error {
	c.packet, c.read = c.packet[:0], 0
	kind, err := c.reader.ReadByte()
	if err != nil {
		return err
	}
	c.packet = append(c.packet, kind)
	length := 0
	for shift := 0; ; shift += 7 {
		digit, err := c.reader.ReadByte()
		if err != nil {
			return err
		}
		c.packet = append(c.packet, digit)
		length |= int(digit&0x7f) << shift
		if digit&0x80 == 0 {
			break
		}
		if shift == 21 {
			return fmt.Errorf("%w: length of a packet in more than 4 bytes", errProtocol)
		}
	}
	if length > c.maxPacket {
		return fmt.Errorf("%w: packet of %d bytes, want at most %d", errProtocol, length, c.maxPacket)
	}
	head := len(c.packet)
	c.packet = append(c.packet, make([]byte, length)...)
	for at := head; at < len(c.packet); {
		n, err := c.reader.Read(c.packet[at:])
		at += n
		if err != nil {
			return err
		}
	}
	if err := checkPacket(kind, c.packet[head:], c.connected, c.filters); err != nil {
		return err
	}
	c.connected = true
	return nil
}

// checkPacket says what is wrong with a packet for a client that uses QoS 0 and
// 1 only and has sent one SUBSCRIBE at most. It covers every case in which paho
// panics, or takes a refusal for consent.
func checkPacket(kind byte, body []byte, connected bool, filters int) error {
	want := -1
	switch t := kind >> 4; {
	case t == packets.Connack && !connected:
		want = 2
		// paho knows no error for other codes, and goes on as if connected.
		if len(body) == want && body[1] > packets.ErrRefusedNotAuthorised {
			return fmt.Errorf("%w: CONNACK with code %d", errProtocol, body[1])
		}
	case !connected:
		return fmt.Errorf("%w: packet of type %d before CONNACK", errProtocol, t)
	case t == packets.Publish:
		return checkPublish(kind, body)
	case t == packets.Puback:
		want = 2
	case t == packets.Suback:
		// paho indexes its filters by the number of codes.
		want = 2 + filters
	case t == packets.Pingresp:
		want = 0
	default:
		return fmt.Errorf("%w: packet of type %d", errProtocol, t)
	}
	if len(body) != want {
		return fmt.Errorf("%w: packet of type %d with %d bytes, want %d", errProtocol, kind>>4, len(body), want)
	}
	return nil
}

func checkPublish(kind byte, body []byte) error {
	qos := kind >> 1 & 3
	if qos > 1 {
		return fmt.Errorf("%w: PUBLISH with QoS %d", errProtocol, qos)
	}
	need := 2
	if len(body) >= 2 {
		need += int(body[0])<<8 | int(body[1])
	}
	if qos == 1 {
		need += 2
	}
	if len(body) < need {
		return fmt.Errorf("%w: PUBLISH of %d bytes, want at least %d", errProtocol, len(body), need)
	}
	return nil
}

// Write sends b, in the write timeout or not at all.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout))
	n := 0
	if err == nil {
		n, err = c.Conn.Write(b)
	}
	if err != nil {
		if !c.wrote {
			err = c.refusal(err)
		}
		c.fail(err)
	}
	c.wrote = true
	return n, err
}

// refusal returns why the broker does not take the first packet, where it has said
// so: one that refuses our certificate may have closed the connection before, and
// what it said is then still to be read. Nobody reads before the first packet.
func (c *conn) refusal(err error) error {
	if c.Conn.SetReadDeadline(time.Now().Add(c.writeTimeout)) != nil {
		return err
	}
	if _, read := c.Conn.Read(make([]byte, 1)); mtls.Explain(read) != nil {
		return read
	}
	return err
}

// SetDeadline sets the deadline of reads: writes have their own.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing: each write has its own deadline, and paho
// would take it away from a write that is under way.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) Close() error {
	c.fail(errClosed)
	return c.Conn.Close()
}
