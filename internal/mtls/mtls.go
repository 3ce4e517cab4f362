// Package mtls is TLS 1.3 with certificates at both ends, as devices, brokers and
// the centre speak it with each other, and the words for why one end does not take
// the other.
//
// What it keeps true: no connection without a certificate of a known authority
// that is in force, meant for this use and not revoked, and at the end that is
// dialled none by a list of what is revoked that has ended; no version but 1.3, and so
// neither renegotiation nor resumption of an older one; no resumption at all, so
// that each connection is judged anew. Files may change between one handshake and
// the next.
//
// Until it has been judged, an end may send [MaxHandshake] bytes and has the time
// that the caller gives it.
package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
)

// MaxHandshake is how many bytes the other end may send in a handshake: a chain of
// three certificates takes less than 4 KiB.
const MaxHandshake = 16 << 10

// lingering is how long an end that was refused may take to read why.
const lingering = time.Second

// Client returns the configuration of an end that dials and shows own. The name of
// the other end is the caller's to set.
func (a *Authority) Client(own *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    a.pool,
		// The answer does not depend on which authorities the other end names: it
		// will say what it does not like.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil },
		VerifyConnection:     func(s tls.ConnectionState) error { return a.check(s.VerifiedChains) },
	}
}

// Server returns the configuration of an end that is dialled and shows own. check
// says whether a client of whom all else is good is taken; nil takes all.
func (a *Authority) Server(own *tls.Certificate, check func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{*own},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              a.pool,
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			err := a.current(time.Now())
			if err == nil {
				err = a.check(s.VerifiedChains)
			}
			if err == nil && check != nil {
				err = check(s)
			}
			if r, ok := errors.AsType[*Refusal](err); ok {
				r.Shown = s.PeerCertificates[0].Subject.CommonName
			}
			return err
		},
	}
}

// Connect does the handshake of an end that has dialled. The error is a [*Refusal]
// when the cause is the other end, and the connection is closed then.
func Connect(ctx context.Context, raw net.Conn, config *tls.Config) (*tls.Conn, error) {
	limited := &limited{Conn: raw, left: MaxHandshake}
	return handshake(ctx, tls.Client(limited, config), limited)
}

func handshake(ctx context.Context, c *tls.Conn, limited *limited) (*tls.Conn, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		linger(limited.Conn)
		if limited.exceeded {
			err = &Refusal{Cause: TooLarge}
		}
		return nil, explainHandshake(err)
	}
	limited.left = -1
	return c, nil
}

// An Acceptor does handshakes of an end that is dialled. Whoever knocks, at most
// half of the machine's processors compute for handshakes; the others wait. It is
// safe for concurrent use.
type Acceptor struct {
	config    func() *tls.Config
	computing chan struct{}
}

// NewAcceptor returns one that asks for the configuration at each handshake.
func NewAcceptor(config func() *tls.Config) *Acceptor {
	return &Acceptor{config: config, computing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Accept does the handshake of a connection. The error is a [*Refusal] when the
// cause is the other end, and the connection is closed then.
func (a *Acceptor) Accept(ctx context.Context, raw net.Conn) (*tls.Conn, error) {
	var done sync.Once
	release := func() {}
	limited := &limited{Conn: raw, left: MaxHandshake, wrote: func() { release() }}
	config := a.config().Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		// From here to the first byte of the answer a handshake costs most.
		select {
		case a.computing <- struct{}{}:
			release = func() { done.Do(func() { <-a.computing }) }
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c, err := handshake(ctx, tls.Server(limited, config), limited)
	release()
	return c, err
}

// linger lets the other end read why it was refused: a connection that is closed
// while bytes of it are unread is reset, and takes the reason with it.
func linger(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingering)) == nil {
		io.CopyN(io.Discard, c, MaxHandshake)
	}
	c.Close()
}

// limited is a connection that gives a bounded number of bytes until the handshake
// is through.
type limited struct {
	net.Conn
	left     int // bytes; -1 for any number
	exceeded bool
	wrote    func()
}

// Read gives what is left of the bytes allowed.
func (l *limited) Read(b []byte) (int, error) {
	if l.left < 0 {
		return l.Conn.Read(b)
	}
	if l.left == 0 {
		l.exceeded = true
		return 0, &Refusal{Cause: TooLarge}
	}
	n, err := l.Conn.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

// Write says that the answer is made.
func (l *limited) Write(b []byte) (int, error) {
	if l.wrote != nil {
		l.wrote()
	}
	return l.Conn.Write(b)
}
