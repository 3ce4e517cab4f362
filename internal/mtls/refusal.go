package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// A Cause is why one end does not take the other, in words that can follow "the
// other end". There are as many as are listed here.
type Cause string

// The causes. Those that begin with "refuses" were said by the other end.
const (
	NotTLS      Cause = "speaks no TLS"
	OldVersion  Cause = "speaks no TLS 1.3"
	NoneGiven   Cause = "shows no certificate"
	Malformed   Cause = "shows a malformed certificate"
	Expired     Cause = "shows a certificate that has expired"
	NotYetValid Cause = "shows a certificate that is not valid yet"
	Foreign     Cause = "shows a certificate of another authority"
	OtherUse    Cause = "shows a certificate for another use"
	OtherName   Cause = "shows a certificate of another name"
	Revoked     Cause = "shows a certificate that is revoked"
	BadChain    Cause = "shows a certificate that cannot be verified"
	Unjudged    Cause = "cannot be judged: the list of revoked certificates here has ended"
	NotHolder   Cause = "does not hold the key of its certificate"
	TooLarge    Cause = "needs more bytes for its handshake than are allowed"
	TooSlow     Cause = "takes too long for its handshake"
	Ended       Cause = "ends the connection in the handshake"
	Broken      Cause = "breaks the protocol"

	SaysExpired   Cause = "refuses our certificate: it is expired or not valid yet"
	SaysForeign   Cause = "refuses our certificate: it is of an authority that it does not know"
	SaysRevoked   Cause = "refuses our certificate: it is revoked"
	SaysBad       Cause = "refuses our certificate: it is revoked, or not one that it takes"
	SaysNone      Cause = "refuses a connection without certificate"
	SaysVersion   Cause = "refuses TLS 1.3"
	SaysOtherwise Cause = "refuses the handshake"
)

// A Refusal is why a handshake failed.
type Refusal struct {
	Cause  Cause
	Detail string // a date, a name, an alert; may be empty
	Shown  string // the common name of the certificate that was shown; nobody has proved to hold it
	Err    error  // what was found; may be nil
}

// Error says the cause and its detail.
func (r *Refusal) Error() string { return r.Of("the other end") }

// Of says the cause and its detail of one end, such as "the device".
func (r *Refusal) Of(end string) string {
	if r.Detail == "" {
		return end + " " + string(r.Cause)
	}
	return end + " " + string(r.Cause) + " (" + r.Detail + ")"
}

// Unwrap returns what was found.
func (r *Refusal) Unwrap() error { return r.Err }

// Timeout reports whether the other end was silent.
func (r *Refusal) Timeout() bool { return r.Cause == TooSlow }

// Temporary is part of [net.Error].
func (r *Refusal) Temporary() bool { return false }

// said has the causes of the alerts by which an end refuses the other. crypto/tls
// gives them as text alone.
var said = map[string]Cause{
	"tls: expired certificate":            SaysExpired,
	"tls: unknown certificate authority":  SaysForeign,
	"tls: revoked certificate":            SaysRevoked,
	"tls: bad certificate":                SaysBad,
	"tls: unknown certificate":            SaysBad,
	"tls: unsupported certificate":        SaysBad,
	"tls: access denied":                  SaysBad,
	"tls: certificate required":           SaysNone,
	"tls: protocol version not supported": SaysVersion,
}

// Explain returns the [*Refusal] that an error of a handshake, or of the first read
// after it, stands for: only then does a client of TLS 1.3 learn that it was
// refused. It returns nil for the error of a connection that was lost without a
// word of TLS.
func Explain(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		cause, known := said[op.Err.Error()]
		if !known {
			cause = SaysOtherwise
		}
		return &Refusal{Cause: cause, Detail: strings.TrimPrefix(op.Err.Error(), "tls: "), Err: err}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return &Refusal{Cause: NotTLS, Err: err}
	}
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return explainCertificate(v)
	}
	if err == nil {
		return nil
	}
	// The rest crypto/tls says in words alone.
	for _, known := range []struct {
		words string
		cause Cause
	}{
		{"unsupported versions", OldVersion},
		{"unsupported protocol version", OldVersion},
		{"server selected TLS 1.3 in a renegotiation", Broken},
		{"didn't provide a certificate", NoneGiven},
		{"failed to parse", Malformed},
		{"RSA key larger than", Malformed},
		{"unsupported public key", Malformed},
		{"invalid signature by the", NotHolder},
		{"certificate used with invalid signature algorithm", NotHolder},
	} {
		if strings.Contains(err.Error(), known.words) {
			return &Refusal{Cause: known.cause, Err: err}
		}
	}
	if strings.HasPrefix(err.Error(), "tls: ") || strings.HasPrefix(err.Error(), "local error: tls: ") {
		return &Refusal{Cause: Broken, Detail: strings.TrimPrefix(strings.TrimPrefix(err.Error(), "local error: "), "tls: "), Err: err}
	}
	return nil
}

// explainHandshake is [Explain] of an error before the handshake was through,
// where silence and an end are a cause, too.
func explainHandshake(err error) error {
	if r := Explain(err); r != nil {
		return r
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return &Refusal{Cause: TooSlow, Err: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Refusal{Cause: Ended, Err: err}
	}
	return err
}

func explainCertificate(v *tls.CertificateVerificationError) *Refusal {
	r := &Refusal{Cause: BadChain, Detail: v.Err.Error(), Err: v}
	if len(v.UnverifiedCertificates) > 0 {
		r.Shown = v.UnverifiedCertificates[0].Subject.CommonName
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](v.Err); ok {
		r.Cause, r.Detail = Foreign, ""
		return r
	}
	if h, ok := errors.AsType[x509.HostnameError](v.Err); ok {
		r.Cause, r.Detail = OtherName, strings.TrimPrefix(h.Error(), "x509: ")
		return r
	}
	invalid, ok := errors.AsType[x509.CertificateInvalidError](v.Err)
	if !ok {
		return r
	}
	switch invalid.Reason {
	case x509.Expired:
		// Both ends of the validity are one reason.
		if strings.Contains(invalid.Detail, "is before") {
			r.Cause, r.Detail = NotYetValid, "from "+invalid.Cert.NotBefore.UTC().Format(time.DateTime)+" UTC; this machine's clock must be right"
		} else {
			r.Cause, r.Detail = Expired, "ended "+invalid.Cert.NotAfter.UTC().Format(time.DateTime)+" UTC"
		}
	case x509.IncompatibleUsage:
		r.Cause, r.Detail = OtherUse, ""
	}
	return r
}
