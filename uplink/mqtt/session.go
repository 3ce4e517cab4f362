package mqtt

import (
	"errors"
	"fmt"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"ciglio/uplink"
)

// handOver is how long paho may take to take over a message before it is
// offered again. It bounds how long a session takes to end, not how long the
// network may take.
const handOver = 5 * time.Second

// receivedQueue is how many messages may wait for Handle.
const receivedQueue = 32

// A session is one paho client and one connection. Beside paho's, it has four
// goroutines: one hands messages to paho, one calls Handle, one acknowledges
// what Handle has seen, one waits for the end; and one for each message that
// waits for its acknowledgement.
//
// Reading never waits for writing, or a broker that reads no more until it has
// written (mochi does so) and its client would wait for each other.
type session struct {
	conn      *conn
	client    paho.Client
	connected bool // CONNACK has come
	handle    func(uplink.Message)
	pending   int // limit of waiting
	inbox     chan paho.Message
	lost      chan error    // paho's reason for a loss, at most one
	done      chan struct{} // closed when the session has ended, err being set

	mu      sync.Mutex
	wake    sync.Cond // outbox or owed have grown, or ending is set
	ending  bool
	err     error
	waiting int // messages not acknowledged
	outbox  []outgoing
	owed    []uint16 // packet ids of messages handled and not acknowledged

	goroutines sync.WaitGroup
}

type outgoing struct {
	message uplink.Message
	result  chan<- error
}

func newSession(c *conn, handle func(uplink.Message), o Options) *session {
	s := &session{
		conn: c, handle: handle, pending: o.MaxPending,
		inbox: make(chan paho.Message, receivedQueue), lost: make(chan error, 1), done: make(chan struct{}),
	}
	s.wake.L = &s.mu
	return s
}

// connect waits for CONNACK and SUBACK.
func (s *session) connect(filters []string) error {
	t := s.client.Connect()
	<-t.Done()
	if err := t.Error(); err != nil {
		return err
	}
	s.connected = true
	if len(filters) == 0 {
		return nil
	}
	wanted := make(map[string]byte, len(filters))
	for _, f := range filters {
		wanted[f] = 1
	}
	if len(wanted) != len(filters) {
		return errors.New("subscriptions: the same filter twice")
	}
	sub := s.client.SubscribeMultiple(wanted, nil).(*paho.SubscribeToken)
	select {
	case <-sub.Done():
	case <-s.conn.failed:
		return s.conn.err
	}
	if err := sub.Error(); err != nil {
		// Of a connection that has failed paho says only that it is lost.
		select {
		case <-s.conn.failed:
			if !errors.Is(s.conn.err, errClosed) {
				return s.conn.err
			}
		default:
		}
		return err
	}
	for filter, code := range sub.Result() {
		if code > 2 {
			return fmt.Errorf("subscription %q refused", filter)
		}
	}
	return nil
}

// discard ends a session that has not started.
func (s *session) discard() {
	s.conn.Close()
	close(s.done)
	if s.connected {
		s.stopClient()
	}
}

func (s *session) start() {
	s.goroutines.Go(s.send)
	s.goroutines.Go(s.deliver)
	s.goroutines.Go(s.acknowledge)
	s.goroutines.Go(s.watch)
}

// received is called by paho, in order. It waits when Handle is slower than the
// broker.
func (s *session) received(m paho.Message) {
	select {
	case s.inbox <- m:
	case <-s.conn.failed:
	}
}

// deliver calls Handle for one message after the other.
func (s *session) deliver() {
	for {
		select {
		case <-s.done:
			return
		case m := <-s.inbox:
			if s.handle != nil {
				s.handle(uplink.Message{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained()})
			}
			if m.Qos() > 0 {
				s.mu.Lock()
				s.owed = append(s.owed, m.MessageID())
				s.wake.Broadcast()
				s.mu.Unlock()
			}
		}
	}
}

// acknowledge sends a PUBACK for each message that Handle has seen. paho's own
// would be written by whoever calls for it, and wait for the network.
func (s *session) acknowledge() {
	var b []byte
	for {
		s.mu.Lock()
		for len(s.owed) == 0 && !s.ending {
			s.wake.Wait()
		}
		if s.ending {
			s.mu.Unlock()
			return
		}
		b = b[:0]
		for _, id := range s.owed {
			b = append(b, packets.Puback<<4, 2, byte(id>>8), byte(id))
		}
		s.owed = s.owed[:0]
		s.mu.Unlock()
		s.conn.Write(b) // the connection remembers a failure
	}
}

// Publish queues m and returns at once.
func (s *session) Publish(m uplink.Message) <-chan error {
	result := make(chan error, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ending:
		result <- s.ended()
	case s.waiting >= s.pending:
		result <- ErrPending
	default:
		s.waiting++
		s.outbox = append(s.outbox, outgoing{message: m, result: result})
		s.wake.Broadcast()
	}
	return result
}

// send hands the queued messages to paho. paho's Publish may wait for other
// packets, so nobody else calls it.
func (s *session) send() {
	for {
		s.mu.Lock()
		for len(s.outbox) == 0 && !s.ending {
			s.wake.Wait()
		}
		if s.ending {
			rest := s.outbox
			s.outbox = nil
			s.mu.Unlock()
			for _, o := range rest {
				s.finish(o, s.ended())
			}
			return
		}
		o := s.outbox[0]
		s.outbox[0] = outgoing{}
		s.outbox = s.outbox[1:]
		s.mu.Unlock()
		s.sendOne(o)
	}
}

// sendOne gives one message to paho, which refuses to wait longer than
// handOver when the network is slow: then it is offered again, until the
// session ends. A message that was refused was not sent.
func (s *session) sendOne(o outgoing) {
	for {
		t := s.client.Publish(o.message.Topic, 1, o.message.Retained, o.message.Payload)
		select {
		case <-t.Done():
		default:
			s.goroutines.Go(func() { s.await(t, o) })
			return
		}
		if t.Error() == nil { // acknowledged already
			s.finish(o, nil)
			return
		}
		select {
		case <-s.done:
			s.finish(o, s.ended())
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// await waits for the acknowledgement of one message. paho completes a token
// without error for a PUBACK only; a token that the end of the session overtakes
// may never complete.
func (s *session) await(t paho.Token, o outgoing) {
	select {
	case <-t.Done():
	case <-s.done:
	}
	select {
	case <-t.Done():
		if t.Error() == nil {
			s.finish(o, nil)
			return
		}
	default:
	}
	// The error is the session's: wait for its name.
	<-s.done
	s.finish(o, s.ended())
}

func (s *session) finish(o outgoing, err error) {
	s.mu.Lock()
	s.waiting--
	s.mu.Unlock()
	o.result <- err
}

// watch waits for the first failure of the connection, joins paho, which first
// takes what has been received, and ends the session.
func (s *session) watch() {
	<-s.conn.failed
	s.stopClient()
	err := s.conn.err
	if errors.Is(err, errClosed) {
		// paho closed the connection, and says why; or Close did.
		select {
		case lost := <-s.lost:
			err = silence{lost}
		case <-s.done:
		case <-time.After(time.Second):
		}
	}
	s.end(err)
}

// silence is a loss that paho found by itself, which it does in one case: the
// broker did not answer a ping. It is a timeout like those of the network.
type silence struct{ error }

func (silence) Timeout() bool   { return true }
func (silence) Temporary() bool { return false }
func (s silence) Unwrap() error { return s.error }

// end marks the session as ended. The first reason stays.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.ending, s.err = true, err
		close(s.done)
		s.wake.Broadcast()
	}
}

// ended is the error of a message that the end of the session overtook.
func (s *session) ended() error {
	if s.err != nil {
		return fmt.Errorf("session ended before the broker acknowledged: %w", s.err)
	}
	return errors.New("session closed before the broker acknowledged")
}

// stopClient closes the connection and returns when paho's goroutines have
// ended: Disconnect waits for whatever is ending the client already.
func (s *session) stopClient() {
	s.conn.Close()
	s.client.Disconnect(uint(time.Minute / time.Millisecond))
}

func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session for its user at once, then says goodbye to the broker,
// if that still listens within a second.
func (s *session) Close() error {
	s.end(nil)
	s.client.Disconnect(uint(time.Second / time.Millisecond))
	s.conn.Close()
	s.goroutines.Wait()
	return nil
}

// nothing is the store of a client that keeps nothing: a session ends with its
// connection.
type nothing struct{}

func (nothing) Open()                             {}
func (nothing) Put(string, packets.ControlPacket) {}
func (nothing) Get(string) packets.ControlPacket  { return nil }
func (nothing) All() []string                     { return nil }
func (nothing) Del(string)                        {}
func (nothing) Close()                            {}
func (nothing) Reset()                            {}
