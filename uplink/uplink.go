// Package uplink carries sealed records from the outbox to the centre and
// brings back its receipts.
//
// A [Sender] keeps this true: a record is settled by a receipt whose signature
// by a centre of the register was verified, and by nothing else; whatever is
// lost on the way is sent again; memory does not depend on how much waits. The
// caller gives it a [Store] and a [Dialer], runs it, and calls Refresh when a
// report has changed. Refresh and Snapshot may be called by anyone at any time.
//
// This file is the contract with the network: a Dialer opens a [Session] with a
// broker, and package uplink/mqtt is the one that does so in the field.
package uplink

import "context"

// A Message is one publication.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// SessionOptions says how a session presents itself to the broker.
type SessionOptions struct {
	ClientID string
	// Will is what the broker publishes when the session ends without Close;
	// nil for none.
	Will *Message
	// Subscribe lists the topic filters of the session, all at QoS 1.
	Subscribe []string
	// Handle is called for each message received, one after the other, by a
	// goroutine of the session. It may publish, but must neither wait for what it
	// published nor close the session. The payload is its to keep. A message is
	// acknowledged to the broker when Handle has returned.
	Handle func(Message)
}

// Dialer opens sessions. Each Dial is a new, clean session: nothing is kept in
// memory or on disk from one to the next, since the outbox is the only truth.
type Dialer interface {
	// Dial returns when the broker has accepted the session and every
	// subscription, or with the error that prevented it.
	Dial(ctx context.Context, options SessionOptions) (Session, error)
}

// Session is one connection to a broker. It never reconnects by itself. Its
// methods are safe for concurrent use.
type Session interface {
	// Publish sends m at QoS 1. The channel gives one value, then: nil when the
	// broker acknowledged, or the error with which the session ended before it
	// did. A message acknowledged is not a message stored: only a receipt says
	// that.
	Publish(m Message) <-chan error

	// Done is closed when the session has ended.
	Done() <-chan struct{}

	// Err says why the session ended; nil before that and after Close.
	Err() error

	// Close ends the session in good order and returns when all its goroutines
	// have ended. The broker drops the will.
	Close() error
}
