package device

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// A usbCamera is a USB camera (UVC 1.0) that gives JPEGs, at the far end of a
// USB/IP connection: the board's kernel takes it for one on a hub of its own and
// drives it with uvcvideo. Each picture is one bulk payload.
type usbCamera struct {
	pictures [][]byte // in turn
	width    int
	height   int
	interval time.Duration

	mu      sync.Mutex
	conn    net.Conn
	waiting []transfer // for the next picture, in order
	sent    int        // pictures
}

// A transfer is one that the kernel waits for.
type transfer struct {
	number uint32
	length int
}

// maxPayload is the longest bulk payload, header and picture.
const maxPayload = 128 << 10

// Messages of USB/IP (Documentation/usb/usbip_protocol.rst), of 48 bytes,
// big-endian.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	messageSize = 48
	statusStall = -32  // EPIPE
	statusGone  = -104 // ECONNRESET
)

// serve plays the camera on conn until it breaks.
func (c *usbCamera) serve(conn net.Conn) error {
	c.mu.Lock()
	c.conn, c.waiting = conn, nil
	c.mu.Unlock()
	stop := make(chan struct{})
	var running sync.WaitGroup
	defer running.Wait()
	defer close(stop)
	running.Go(func() { c.film(stop) })
	message := make([]byte, messageSize)
	for {
		if _, err := io.ReadFull(conn, message); err != nil {
			return err
		}
		field := func(i int) uint32 { return binary.BigEndian.Uint32(message[4*i:]) }
		number, in, endpoint, length := field(1), field(3) == 1, field(4), int(field(6))
		switch field(0) {
		case cmdSubmit:
			if length < 0 || length > 1<<20 {
				return fmt.Errorf("transfer of %d bytes", length)
			}
			var out []byte
			if !in {
				out = make([]byte, length)
				if _, err := io.ReadFull(conn, out); err != nil {
					return err
				}
			}
			if endpoint != 0 {
				c.mu.Lock()
				c.waiting = append(c.waiting, transfer{number, length})
				c.mu.Unlock()
				continue
			}
			answer, status := c.control(message[40:48])
			if !in {
				answer, length = nil, len(out)
			}
			c.mu.Lock()
			err := c.reply(number, status, answer[:min(len(answer), length)], length)
			c.mu.Unlock()
			if err != nil {
				return err
			}
		case cmdUnlink:
			c.mu.Lock()
			status := 0
			if i := slices.IndexFunc(c.waiting, func(t transfer) bool { return t.number == field(5) }); i >= 0 {
				c.waiting, status = slices.Delete(c.waiting, i, i+1), statusGone
			}
			err := c.send(retUnlink, number, status, 0, nil)
			c.mu.Unlock()
			if err != nil {
				return err
			}
		default:
			return fmt.Errorf("message %d", field(0))
		}
	}
}

// reply ends a transfer with data, or of as many bytes that came. The caller
// holds mu.
func (c *usbCamera) reply(number uint32, status int, data []byte, came int) error {
	if data != nil || status != 0 {
		came = len(data)
	}
	return c.send(retSubmit, number, status, came, data)
}

func (c *usbCamera) send(command, number uint32, status, length int, data []byte) error {
	b := make([]byte, messageSize, messageSize+len(data))
	for i, v := range []uint32{command, number, 0, 0, 0, uint32(status), uint32(length)} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
	_, err := c.conn.Write(append(b, data...))
	return err
}

// film gives a picture at each interval to the transfers that wait for it. One
// for which too few wait is skipped, as by a camera whose memory is full.
func (c *usbCamera) film(stop chan struct{}) {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		picture := c.pictures[c.sent%len(c.pictures)]
		const endOfHeader, endOfFrame = 0x80, 0x02
		payload := append([]byte{2, endOfHeader | endOfFrame | byte(c.sent&1)}, picture...)
		need := 0
		for left := len(payload); left >= 0 && need < len(c.waiting); need++ {
			left -= c.waiting[need].length
			if left < 0 {
				break
			}
		}
		if need < len(c.waiting) {
			for _, t := range c.waiting[:need+1] { // the last one is short, which ends the payload
				n := min(t.length, len(payload))
				if c.reply(t.number, 0, payload[:n:n], n) != nil {
					break
				}
				payload = payload[n:]
			}
			c.waiting = slices.Delete(c.waiting, 0, need+1)
			c.sent++
		}
		c.mu.Unlock()
	}
}

// unplug takes the camera off its hub.
func (c *usbCamera) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.Close()
}

// control answers a request to endpoint 0.
func (c *usbCamera) control(setup []byte) (answer []byte, status int) {
	kind, request, value := setup[0], setup[1], binary.LittleEndian.Uint16(setup[2:])
	const toHost, class = 0x80, 0x60
	switch {
	case kind&class != 0 && kind&toHost != 0:
		switch request {
		case 0x81, 0x82, 0x83, 0x87: // current, least, largest, default
			return c.probe(), 0
		case 0x85: // length
			return []byte{byte(len(c.probe())), 0}, 0
		case 0x86: // GET and SET are there
			return []byte{3}, 0
		}
	case kind&toHost == 0: // what there is to set has one value only
		return nil, 0
	case request == 6 && value>>8 == 1:
		return deviceDescriptor(), 0
	case request == 6 && value>>8 == 2:
		return c.configuration(), 0
	case request == 0:
		return []byte{0, 0}, 0
	}
	return nil, statusStall
}

// probe is the negotiation that has one outcome (UVC 1.0, table 4-47).
func (c *usbCamera) probe() []byte {
	b := make([]byte, 26)
	b[0], b[2], b[3] = 1, 1, 1 // the interval is fixed; format 1, size 1
	binary.LittleEndian.PutUint32(b[4:], uint32(c.interval/100))
	binary.LittleEndian.PutUint32(b[18:], maxPayload)
	binary.LittleEndian.PutUint32(b[22:], maxPayload)
	return b
}

func deviceDescriptor() []byte {
	return []byte{18, 1, 0, 2, 0xef, 2, 1, 64, 0x6b, 0x1d, 0x02, 0x01, 0, 1, 0, 0, 0, 1}
}

// configuration is a camera in its simplest form: one terminal for the sensor, one for
// the stream, one format, one size, one interval.
func (c *usbCamera) configuration() []byte {
	le16 := func(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
	le32 := func(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
	descriptor := func(parts ...[]byte) []byte {
		b := append([]byte{0}, bytes.Join(parts, nil)...)
		b[0] = byte(len(b))
		return b
	}
	const special, endpoint = 0x24, 0x81
	input := descriptor([]byte{special, 2, 1}, le16(0x201), []byte{0, 0}, le16(0), le16(0), le16(0), []byte{2}, le16(0))
	output := descriptor([]byte{special, 3, 2}, le16(0x101), []byte{0, 1, 0})
	header := descriptor([]byte{special, 1}, le16(0x100), le16(13+len(input)+len(output)), le32(1e6), []byte{1, 1})

	bits := 8 * maxPayload * int(time.Second/c.interval)
	frame := descriptor([]byte{special, 7, 1, 0}, le16(c.width), le16(c.height), le32(bits), le32(bits), le32(maxPayload),
		le32(int(c.interval/100)), []byte{1}, le32(int(c.interval/100)))
	format := descriptor([]byte{special, 6, 1, 1, 0, 1, 0, 0, 0, 0})
	stream := descriptor([]byte{special, 1, 1}, le16(14+len(format)+len(frame)), []byte{endpoint, 0, 2, 0, 0, 0, 1, 0})

	all := bytes.Join([][]byte{
		descriptor([]byte{11, 0, 2, 0x0e, 3, 0, 0}),
		descriptor([]byte{4, 0, 0, 0, 0x0e, 1, 0, 0}), header, input, output,
		descriptor([]byte{4, 1, 0, 1, 0x0e, 2, 0, 0}), stream, format, frame,
		descriptor([]byte{5, endpoint, 2}, le16(512), []byte{0}),
	}, nil)
	return append(descriptor([]byte{2}, le16(9+len(all)), []byte{2, 1, 0, 0x80, 50}), all...)
}

// plugCamera lets the board's kernel have the camera on its virtual hub.
func (r *rig) plugCamera(c *usbCamera) {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	defer l.Close()
	came := make(chan net.Conn, 1)
	go func() {
		if conn, err := l.Accept(); err == nil {
			came <- conn
		}
		close(came)
	}()
	r.attach(l.Addr().(*net.TCPAddr).Port)
	conn := <-came
	if conn == nil {
		r.t.Fatal("the board did not connect")
	}
	var serving sync.WaitGroup
	serving.Go(func() { c.serve(conn) }) // until it is unplugged
	r.t.Cleanup(func() { conn.Close(); serving.Wait() })
}
