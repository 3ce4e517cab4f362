package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"ciglio/capture/evidence"
)

// ContentRequest is the content type in the protected header of a request.
const ContentRequest = "application/vnd.ciglio.request.v1+cbor"

// MaxRequest is the largest request, in bytes, signature included.
const MaxRequest = 32 << 10

// Limits of what a request holds, in bytes.
const (
	maxRequestCertificate = 2 << 10
	maxRequestTLS         = 4 << 10
)

// ErrRequest is what the errors of this file wrap.
var ErrRequest = errors.New("not a request")

// A Request asks the centre to enrol a device: its evidence key in the register,
// which the root signs, and its TLS key with the authority for connections. The
// evidence key seals it, under a content type of its own, and so proves that the
// device has it; the signature of the certificate request in it proves the same of
// the TLS key.
//
// That it comes from the device which it names, nobody can know from the request:
// who enrols compares the fingerprint with the one that the technician reads from
// the device.
type Request struct {
	Device evidence.DeviceID
	Epoch  uint64 // that the key is to begin
	Class  string // what holds the evidence key: "file" or "tpm2"
	// Certificate is the evidence key's own, X.509 DER, which names the device.
	Certificate []byte
	// TLS is a PKCS #10 request, DER, of the TLS key, which names the device and
	// nothing else.
	TLS []byte
	// Change is the sealed record of kind key change in which the evidence key of the
	// epoch before names this one; empty where that key is lost, or there was none.
	Change []byte
}

// fields lists the payload, a map; docs/mqtt.cddl has it in CDDL.
func (r *Request) fields(m *evidence.Form) {
	epoch := int64(r.Epoch)
	m.Constant(1, "version", 1)
	m.Fixed(2, "device", r.Device[:])
	m.Integer(3, "epoch", &epoch, 1, math.MaxInt64)
	m.Text(4, "class", &r.Class, 1, evidence.MaxID)
	m.Bytes(5, "certificate", &r.Certificate, 1, maxRequestCertificate)
	m.Bytes(6, "tls", &r.TLS, 1, maxRequestTLS)
	m.Bytes(7, "change", &r.Change, 0, evidence.MaxRecord)
	r.Epoch = uint64(epoch)
}

// A SealedRequest is a request that proves both of its keys.
type SealedRequest struct {
	Request
	KeyID       evidence.Hash // of the evidence key
	Evidence    *x509.Certificate
	TLS         *x509.CertificateRequest
	Change      *evidence.Sealed // nil when there is none; whose key sealed it, the register says
	Fingerprint Fingerprint
	Bytes       []byte
}

// SealRequest validates and seals a request.
func SealRequest(r *Request, s evidence.Signer) (*SealedRequest, error) {
	payload, err := evidence.EncodeForm(r.fields)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	b, err := evidence.SealMessage(ContentRequest, payload, s)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return OpenRequest(b)
}

// OpenRequest reads a request in its one spelling and checks all that it says of
// itself: that the evidence key of its certificate sealed it, that the TLS key signed
// its part and is another one, that both name the device, and that a key change names
// this key and the epoch before. Its errors wrap [ErrRequest].
func OpenRequest(b []byte) (*SealedRequest, error) {
	r, err := openRequest(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return r, nil
}

func openRequest(b []byte) (*SealedRequest, error) {
	m, err := evidence.OpenMessage(ContentRequest, MaxRequest, b)
	if err != nil {
		return nil, err
	}
	r := &SealedRequest{KeyID: m.KeyID, Bytes: m.Bytes}
	if err := evidence.DecodeForm(m.Payload, r.Request.fields); err != nil {
		return nil, err
	}
	name := r.Device.String()
	if r.Evidence, err = x509.ParseCertificate(r.Request.Certificate); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	pub, ok := r.Evidence.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("certificate: its key is not on P-256")
	}
	if got := r.Evidence.Subject.CommonName; got != name {
		return nil, fmt.Errorf("certificate: of %q, not of device %s", got, name)
	}
	if err := m.Verify(pub); err != nil {
		return nil, err
	}
	if r.TLS, err = ParseTLSRequest(r.Request.TLS, r.Device); err != nil {
		return nil, err
	}
	tls, err := evidence.KeyID(r.TLS.PublicKey.(*ecdsa.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("TLS request: %w", err)
	}
	if tls == r.KeyID {
		return nil, errors.New("TLS request: its key is the evidence key, which signs nothing but evidence")
	}
	if len(r.Request.Change) > 0 {
		if r.Change, err = evidence.Open(r.Request.Change); err != nil {
			return nil, fmt.Errorf("key change: %w", err)
		}
		c := r.Change.Record
		named, _ := c.Body[1].([]byte)
		switch {
		case c.Kind != evidence.KindKeyChange:
			return nil, fmt.Errorf("key change: a record of kind %v", c.Kind)
		case c.Device != r.Device || c.Epoch >= r.Epoch:
			return nil, fmt.Errorf("key change: of device %v epoch %d, want an epoch of %v before %d", c.Device, c.Epoch, r.Device, r.Epoch)
		case !bytes.Equal(named, r.KeyID[:]):
			return nil, errors.New("key change: names another key")
		}
	}
	r.Fingerprint = RequestFingerprint(r.Device, r.Epoch, r.KeyID, tls)
	return r, nil
}

// MaxTLSRequest is how long the request for a TLS certificate may be, in bytes of DER.
const MaxTLSRequest = 4 << 10

// ParseTLSRequest reads the request of a device for a TLS certificate, PKCS #10 in DER:
// on its way by stick and over HTTPS alike. It takes one with a P-256 key that has signed
// it with SHA-256, whose subject is the device's id as common name alone, and that asks
// for nothing else.
func ParseTLSRequest(der []byte, device evidence.DeviceID) (*x509.CertificateRequest, error) {
	refuse := func(format string, a ...any) (*x509.CertificateRequest, error) {
		return nil, fmt.Errorf("TLS request: "+format, a...)
	}
	if len(der) > MaxTLSRequest {
		return refuse("%d bytes, want at most %d", len(der), MaxTLSRequest)
	}
	c, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return refuse("malformed: %w", err)
	}
	public, ok := c.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || public.Curve != elliptic.P256():
		return refuse("its key is not ECDSA on P-256")
	case c.SignatureAlgorithm != x509.ECDSAWithSHA256:
		return refuse("signed by %v, want ECDSA with SHA-256", c.SignatureAlgorithm)
	case c.CheckSignature() != nil:
		return refuse("its key has not signed it")
	case len(c.Extensions) > 0:
		return refuse("asks for more than its name")
	case len(c.Subject.Names) != 1:
		return refuse("its subject has %d parts, want CN=%v and nothing else", len(c.Subject.Names), device)
	case c.Subject.CommonName != device.String():
		return refuse("of %q, want CN=%v and nothing else", c.Subject, device)
	}
	return c, nil
}

// A Fingerprint is what two people compare on the phone: 128 bits that only one pair
// of keys of a device has.
type Fingerprint [16]byte

// RequestFingerprint returns the fingerprint of a request: the first half of
// SHA-256("ciglio/request/v1" || 0x00 || device || epoch, 8 bytes || key id of the
// evidence key || key id of the TLS key). It stays the same when a request is made
// again.
func RequestFingerprint(device evidence.DeviceID, epoch uint64, evidenceKey, tlsKey evidence.Hash) Fingerprint {
	b := append([]byte("ciglio/request/v1\x00"), device[:]...)
	b = binary.BigEndian.AppendUint64(b, epoch)
	b = append(append(b, evidenceKey[:]...), tlsKey[:]...)
	sum := sha256.Sum256(b)
	return Fingerprint(sum[:16])
}

// String returns eight groups of four hexadecimal digits.
func (f Fingerprint) String() string {
	var b []byte
	for i := 0; i < len(f); i += 2 {
		if i > 0 {
			b = append(b, ' ')
		}
		b = hex.AppendEncode(b, f[i:i+2])
	}
	return string(b)
}
