package broker

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// A gate is where devices connect. Where connections are encrypted, the certificate
// says which device it is, and the CONNECT must say the same. It reads the CONNECT of a connection itself
// and lets only those on to the server that name a device of the register and
// speak as they should.
//
// Until then a connection is a stranger's and costs little. There are at most
// MaxStrangers, of one address at most maxFromAddress: one more ends the one that
// has been silent longest, of the address that has most. So a device that says
// at once who it is gets in, whoever else knocks. A device has one session: the
// next begins when the one before has ended and left nothing.
type gate struct {
	l     net.Listener
	known func(evidence.DeviceID) bool
	tls   *encrypted // nil: connections are plain
	hook  *hook

	mu        sync.Mutex
	ended     bool
	order     uint64
	strangers map[*stranger]bool
	from      map[string]int // strangers by address
	sessions  map[evidence.DeviceID]*session
	work      sync.WaitGroup
}

// A stranger is a connection that has not said who it is.
type stranger struct {
	net.Conn
	address string
	order   uint64
}

func newGate(l net.Listener, known func(evidence.DeviceID) bool, e *encrypted, h *hook) *gate {
	return &gate{l: l, known: known, tls: e, hook: h,
		strangers: make(map[*stranger]bool), from: make(map[string]int), sessions: make(map[evidence.DeviceID]*session)}
}

// The server calls these.
func (g *gate) Init(*slog.Logger) error   { return nil }
func (g *gate) ID() string                { return deviceListener }
func (g *gate) Address() string           { return g.l.Addr().String() }
func (g *gate) Protocol() string          { return g.l.Addr().Network() }
func (g *gate) Close(_ listeners.CloseFn) { g.shut() }

// Serve accepts until the gate is shut, whatever fails in between.
func (g *gate) Serve(establish listeners.EstablishFn) {
	failing := false
	for {
		raw, err := g.l.Accept()
		if err != nil {
			if g.isEnded() || errors.Is(err, net.ErrClosed) {
				return
			}
			if !failing { // the machine may be out of descriptors
				failing = true
				g.hook.log.Error("broker accepts no connection", "error", err)
			}
			time.Sleep(acceptDelay)
			continue
		}
		if failing {
			failing = false
			g.hook.log.Info("broker accepts connections again")
		}
		s, ok := g.enter(raw)
		if !ok {
			continue
		}
		go func() {
			defer g.work.Done()
			g.receive(s, establish)
		}()
	}
}

func (g *gate) isEnded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended
}

// enter takes a connection up as a stranger's, and ends another if there are too
// many. The caller calls work.Done when it is done with it.
func (g *gate) enter(raw net.Conn) (*stranger, bool) {
	if raw.SetDeadline(time.Now().Add(connectTime)) != nil {
		raw.Close() // it has gone already
		return nil, false
	}
	s := &stranger{Conn: raw, address: host(raw.RemoteAddr())}
	g.mu.Lock()
	if g.ended {
		g.mu.Unlock()
		raw.Close()
		return nil, false
	}
	g.work.Add(1)
	g.order++
	s.order = g.order
	g.strangers[s] = true
	g.from[s.address]++
	var out *stranger
	if len(g.strangers) > MaxStrangers || g.from[s.address] > maxFromAddress {
		out = g.worst(s)
		g.forget(out)
	}
	g.mu.Unlock()
	if out != nil {
		out.Close()
		g.hook.refuse("", "too many connections that do not say who they are")
	}
	return s, true
}

// worst is the connection that has to go for a new one: the oldest of the
// address that has most.
func (g *gate) worst(than *stranger) *stranger {
	worst := than
	for s := range g.strangers {
		if c := cmp.Compare(g.from[s.address], g.from[worst.address]); c > 0 || c == 0 && s.order < worst.order {
			worst = s
		}
	}
	return worst
}

func host(a net.Addr) string {
	name, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return name
}

// forget takes a stranger off the lists. The caller holds mu.
func (g *gate) forget(s *stranger) {
	if !g.strangers[s] {
		return
	}
	delete(g.strangers, s)
	if g.from[s.address]--; g.from[s.address] == 0 {
		delete(g.from, s.address)
	}
}

// receive reads a stranger's CONNECT and serves the device that it names.
func (g *gate) receive(s *stranger, establish listeners.EstablishFn) {
	conn, shown, err := g.tls.accept(s.Conn, g.known)
	var head []byte
	var device evidence.DeviceID
	if err == nil {
		head, device, err = g.knock(conn, shown)
	}
	g.mu.Lock()
	g.forget(s)
	g.mu.Unlock()
	var refused *refusal
	if errors.As(err, &refused) {
		g.hook.refuse(refused.device, refused.reason)
		if refused.code != 0 {
			conn.Write([]byte{packets.Connack << 4, 2, 0, refused.code})
		}
	}
	if err != nil { // or it went, or never spoke
		if conn != nil {
			conn.Close()
		}
		s.Close()
		return
	}
	g.serve(device, newSession(conn, head, shown), establish)
}

// A refusal is why a CONNECT is not taken. The device is named when the register
// has it.
type refusal struct {
	device, reason string
	code           byte // of the CONNACK; 0 for none
}

func (r *refusal) Error() string { return r.reason }

// The codes of a CONNACK that refuses.
const (
	codeVersion = 1
	codeID      = 2
	codeNotYou  = 5
)

// knock reads a CONNECT and returns its bytes and the device it names, which must
// be the one of the certificates that were shown, if any.
func (g *gate) knock(conn net.Conn, shown *shown) (head []byte, device evidence.DeviceID, err error) {
	head, err = readPacket(conn, maxConnect)
	if err != nil {
		return nil, device, err
	}
	if head[0] != packets.Connect<<4 {
		return nil, device, &refusal{reason: "its first packet is no CONNECT", code: codeVersion}
	}
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}}
	body := head[2:]
	for i := 1; head[i] >= 0x80; i++ {
		body = body[1:]
	}
	if err := pk.ConnectDecode(bytes.Clone(body)); err != nil {
		return nil, device, &refusal{reason: "its CONNECT is malformed", code: codeVersion}
	}
	c := pk.Connect
	device, err = evidence.ParseDeviceID(c.ClientIdentifier)
	if err != nil {
		return nil, device, &refusal{reason: "its id is no device id", code: codeID}
	}
	if shown != nil && shown.device != device {
		return nil, device, &refusal{shown.device.String(), "its id is not that of its certificate", codeNotYou}
	}
	if !g.known(device) {
		return nil, device, &refusal{reason: "its id is not in the register", code: codeNotYou}
	}
	refuse := func(reason string) error { return &refusal{device.String(), reason, codeNotYou} }
	switch {
	case pk.ProtocolVersion != 4 || !c.Clean:
		err = refuse("not MQTT 3.1.1 with a clean session")
	case c.WillFlag && (!g.hook.mayPublish(c.ClientIdentifier, c.WillTopic) || c.WillRetain && !retainable(c.WillTopic)):
		err = refuse("its last will is for another topic than its own")
	case c.WillFlag && (c.WillQos != 1 || len(c.WillPayload) > wire.MaxJSON):
		err = refuse("its last will is not of QoS 1, or larger than a message of state")
	}
	return head, device, err
}

// readPacket reads one whole packet of at most limit bytes, and nothing behind.
func readPacket(r io.Reader, limit int) ([]byte, error) {
	packet := make([]byte, 2, 64)
	if _, err := io.ReadFull(r, packet); err != nil {
		return nil, err
	}
	length := int(packet[1] & 0x7f)
	for shift := 7; packet[len(packet)-1] >= 0x80; shift += 7 {
		if shift > 21 {
			return nil, &refusal{reason: "its CONNECT is malformed", code: codeVersion}
		}
		packet = append(packet, 0)
		if _, err := io.ReadFull(r, packet[len(packet)-1:]); err != nil {
			return nil, err
		}
		length |= int(packet[len(packet)-1]&0x7f) << shift
	}
	if length > limit {
		return nil, &refusal{reason: fmt.Sprintf("its CONNECT is larger than %d bytes", limit), code: codeVersion}
	}
	at := len(packet)
	packet = slices.Grow(packet, length)[:at+length]
	_, err := io.ReadFull(r, packet[at:])
	return packet, err
}

// A session is the connection of a device. The server reads its CONNECT as if
// nobody had before.
type session struct {
	net.Conn
	head  []byte        // not yet read by the server
	shown *shown        // nil: the connection is plain
	done  chan struct{} // closed when the server has let go of it

	once       sync.Once
	gone       chan struct{} // closed when it is closed
	superseded chan struct{} // closed when the device has a newer one
	answered   bool
}

func newSession(c net.Conn, head []byte, by *shown) *session {
	return &session{Conn: c, head: head, shown: by,
		done: make(chan struct{}), gone: make(chan struct{}), superseded: make(chan struct{})}
}

// Close closes the connection.
func (s *session) Close() error {
	s.once.Do(func() { close(s.gone) })
	return s.Conn.Close()
}

func (s *session) Read(b []byte) (int, error) {
	if len(s.head) > 0 {
		n := copy(b, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	return s.Conn.Read(b)
}

// Write hides that the CONNACK could not be written: the server would keep the
// client of a connection that was reset by then. Its next read fails.
func (s *session) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if !s.answered {
		s.answered = true
		return len(b), nil
	}
	return n, err
}

// serve has the server serve a device, after the device's session before, unless
// a newer one comes meanwhile.
func (g *gate) serve(device evidence.DeviceID, s *session, establish listeners.EstablishFn) {
	defer close(s.done)
	defer s.Close()
	g.mu.Lock()
	before := g.sessions[device]
	g.sessions[device] = s
	ended := g.ended
	g.mu.Unlock()
	if before != nil {
		close(before.superseded)
		before.Close()
		<-before.done
	}
	if !ended && g.isPresent(device, s) {
		establish(deviceListener, s) // the hook has said why it ended
	}
	g.mu.Lock()
	if g.sessions[device] == s {
		delete(g.sessions, device)
	}
	g.mu.Unlock()
}

// isPresent reports whether the session is the device's newest.
func (g *gate) isPresent(device evidence.DeviceID, s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[device] == s && !g.ended
}

// recheck ends the sessions whose certificate counts no more.
func (g *gate) recheck(now time.Time) {
	type ended struct {
		*session
		device evidence.DeviceID
		reason string
	}
	var all []ended
	check := g.tls.recheck(now)
	g.mu.Lock()
	for device, s := range g.sessions {
		if r := check(s.shown); r != nil {
			all = append(all, ended{s, device, string(r.Cause)})
		}
	}
	g.mu.Unlock()
	for _, e := range all {
		g.hook.end(e.device.String(), e.reason)
		e.Close()
	}
}

// shut closes the listener and every connection.
func (g *gate) shut() error {
	g.mu.Lock()
	first := !g.ended
	g.ended = true
	for s := range g.strangers {
		s.Close()
	}
	for _, s := range g.sessions {
		s.Close()
	}
	g.mu.Unlock()
	if !first {
		return nil
	}
	return g.l.Close()
}
