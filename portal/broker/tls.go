package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
)

// encrypted is what a gate with TLS has. A nil one is a gate without.
type encrypted struct {
	current  func() (*mtls.Authority, *tls.Certificate)
	acceptor *mtls.Acceptor
}

func newEncrypted(current func() (*mtls.Authority, *tls.Certificate), known func(evidence.DeviceID) bool) *encrypted {
	if current == nil {
		return nil
	}
	return &encrypted{current: current, acceptor: mtls.NewAcceptor(func() *tls.Config {
		authority, own := current()
		return authority.Server(own, func(s tls.ConnectionState) error {
			device, err := deviceOf(s.PeerCertificates[0])
			if err != nil || !known(device) {
				return &mtls.Refusal{Cause: mtls.OtherName, Detail: "no device of the register"}
			}
			return nil
		})
	})}
}

// deviceOf is the device that a certificate names.
func deviceOf(c *x509.Certificate) (evidence.DeviceID, error) {
	name, err := mtls.Name(c)
	if err != nil {
		return evidence.DeviceID{}, err
	}
	return evidence.ParseDeviceID(name)
}

// shown is what a device has shown of itself.
type shown struct {
	device       evidence.DeviceID
	certificates []*x509.Certificate // its own first
	// by is whose word a recheck took for it; nil before the first one: what the
	// handshake had believed may have changed before the session was one.
	by *mtls.Authority
}

// accept does the handshake. The error is a [*refusal], or that of a connection
// that was lost.
func (e *encrypted) accept(raw net.Conn, known func(evidence.DeviceID) bool) (net.Conn, *shown, error) {
	if e == nil {
		return raw, nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	c, err := e.acceptor.Accept(ctx, raw)
	if err != nil {
		var r *mtls.Refusal
		if errors.As(err, &r) {
			err = &refusal{device: named(r, known), reason: "it " + string(r.Cause)}
		}
		return nil, nil, err
	}
	certificates := c.ConnectionState().PeerCertificates
	device, err := deviceOf(certificates[0])
	return c, &shown{device: device, certificates: certificates}, err
}

// named is the device of the register that a refused certificate names; empty when
// there is none.
func named(r *mtls.Refusal, known func(evidence.DeviceID) bool) string {
	device, err := evidence.ParseDeviceID(r.Shown)
	if err != nil || !known(device) {
		return ""
	}
	return device.String()
}

// recheck returns what says whether a session still counts: its certificate may
// have expired, and the authorities or what they revoked may be others now, or no
// longer known. One goroutine calls it.
func (e *encrypted) recheck(now time.Time) func(*shown) *mtls.Refusal {
	authority, _ := e.current()
	ended := !authority.Until().IsZero() && now.After(authority.Until())
	return func(s *shown) *mtls.Refusal {
		if s == nil || s.by == authority && !ended && !now.After(s.certificates[0].NotAfter) {
			return nil
		}
		s.by = authority
		var r *mtls.Refusal
		errors.As(authority.Judge(s.certificates, now), &r)
		return r
	}
}
