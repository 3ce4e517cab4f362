package evidence

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Why a sealed message is refused.
var (
	ErrHeader    = errors.New("protected or unprotected header is not the profile's")
	ErrHighS     = errors.New("signature is not in its low-s form")
	ErrSignature = errors.New("signature does not match")
	ErrWrongKey  = errors.New("sealed with another key")
)

// A Signer holds a P-256 key. Implementations say whether they are safe for
// concurrent use.
type Signer interface {
	// KeyID is the SHA-256 of the key's SubjectPublicKeyInfo, DER.
	KeyID() Hash
	// Sign returns the ECDSA signature over the digest of m: r and s, each 32
	// bytes big-endian, with s in the lower half of the group's order. It refuses
	// the zero value.
	Sign(m ToBeSigned) (sig [64]byte, err error)
}

// ToBeSigned is a message on its way to a [Signer]. Only the encoders of this
// package make one, so that a key behind a Signer has no door for bytes or digests
// that come from anywhere else. The zero value is no message.
type ToBeSigned struct {
	contentType string
	digest      Hash
}

// EnvelopeToBeSigned returns what a signature of a DSSE envelope is over: the
// pre-authentication encoding of its payload. Its content type is "DSSEv1 " and the
// payload's, so that it is never one of a COSE message, nor are its bytes.
func EnvelopeToBeSigned(payloadType string, payload []byte) ToBeSigned {
	h := sha256.New()
	fmt.Fprintf(h, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload))
	h.Write(payload)
	return ToBeSigned{"DSSEv1 " + payloadType, Hash(h.Sum(nil))}
}

// ContentType returns the content type of the message; "" of the zero value.
func (m ToBeSigned) ContentType() string { return m.contentType }

// Digest returns the SHA-256 of the message's Sig_structure.
func (m ToBeSigned) Digest() Hash { return m.digest }

// ErrNotEncoded is what a [Signer] says to a [ToBeSigned] that no encoder made.
var ErrNotEncoded = errors.New("not a message of an encoder")

// KeyID returns the identifier of a key: the SHA-256 of its
// SubjectPublicKeyInfo. It fails for any curve but P-256.
func KeyID(pub *ecdsa.PublicKey) (Hash, error) {
	spki, err := EncodeKey(pub)
	return sha256.Sum256(spki), err
}

// EncodeKey returns the SubjectPublicKeyInfo of a P-256 key, DER, 91 bytes.
func EncodeKey(pub *ecdsa.PublicKey) ([]byte, error) {
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, errors.New("key: not an ECDSA key on P-256")
	}
	return x509.MarshalPKIXPublicKey(pub)
}

// ParseKey reads what [EncodeKey] writes and no other spelling.
func ParseKey(spki []byte) (*ecdsa.PublicKey, error) {
	if len(spki) != 91 {
		return nil, fmt.Errorf("key: %d bytes, want the 91 of a P-256 SubjectPublicKeyInfo", len(spki))
	}
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	pub, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("key: not an ECDSA key on P-256")
	}
	again, err := EncodeKey(pub)
	if err == nil && !bytes.Equal(again, spki) {
		err = errors.New("key: a second spelling of a P-256 key")
	}
	return pub, err
}

// NewSigner returns a signer for a P-256 key held by anything that implements
// [crypto.Signer]. It is safe for concurrent use when the key is. For an
// [ecdsa.PrivateKey] signatures are deterministic (RFC 6979), so that a machine
// without good randomness cannot give its key away.
func NewSigner(key crypto.Signer) (Signer, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("key: not an ECDSA key on P-256")
	}
	id, err := KeyID(pub)
	if err != nil {
		return nil, err
	}
	return &signer{key: key, id: id}, nil
}

type signer struct {
	key crypto.Signer
	id  Hash
}

func (s *signer) KeyID() Hash { return s.id }

func (s *signer) Sign(m ToBeSigned) (sig [64]byte, err error) {
	if m.contentType == "" {
		return sig, fmt.Errorf("key %v: %w", s.id, ErrNotEncoded)
	}
	digest := m.Digest()
	der, err := s.key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return sig, fmt.Errorf("key %v: %w", s.id, err)
	}
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) != 0 {
		return sig, fmt.Errorf("key %v: gave a signature that is not ASN.1 of r and s", s.id)
	}
	n := elliptic.P256().Params().N
	if rs.R.Sign() <= 0 || rs.R.Cmp(n) >= 0 || rs.S.Sign() <= 0 || rs.S.Cmp(n) >= 0 {
		return sig, fmt.Errorf("key %v: gave a signature out of range", s.id)
	}
	if high(rs.S) {
		rs.S.Sub(n, rs.S)
	}
	rs.R.FillBytes(sig[:32])
	rs.S.FillBytes(sig[32:])
	return sig, nil
}

// high reports whether s lies in the upper half of the order of P-256. Of the
// two valid values s and n - s only the lower is accepted, so that a signature
// has one spelling.
func high(s *big.Int) bool {
	return s.Cmp(new(big.Int).Rsh(elliptic.P256().Params().N, 1)) > 0
}

// checkSignature verifies sig over tbs, whatever half s lies in.
func checkSignature(pub *ecdsa.PublicKey, tbs []byte, sig [64]byte) bool {
	digest := sha256.Sum256(tbs)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	return ecdsa.Verify(pub, digest[:], r, s)
}

// A SealedMessage is a COSE_Sign1 of the project's one shape (RFC 9052): tag
// 18; protected header exactly {1: -7, 3: content type, 4: kid}; unprotected
// header empty; a payload; a low-s ES256 signature.
type SealedMessage struct {
	ContentType string
	KeyID       Hash
	Payload     []byte
	Bytes       []byte // the whole message

	tbs []byte // ToBeSigned: the Sig_structure
	sig [64]byte
}

// SealMessage signs a payload. contentType is a media type of at most 64
// printable bytes; the payload may be anything. A record is sealed by [Seal] alone, which knows
// what it signs: its content type is refused here.
func SealMessage(contentType string, payload []byte, s Signer) ([]byte, error) {
	if contentType == ContentTypeRecord {
		return nil, fmt.Errorf("message of type %s: %w", contentType, ErrNotEncoded)
	}
	return sealMessage(contentType, payload, s)
}

func sealMessage(contentType string, payload []byte, s Signer) ([]byte, error) {
	header, err := protectedHeader(contentType, s.KeyID())
	if err != nil {
		return nil, err
	}
	sig, err := s.Sign(ToBeSigned{contentType, sha256.Sum256(toBeSigned(header, payload))})
	if err != nil {
		return nil, err
	}
	if high(new(big.Int).SetBytes(sig[32:])) {
		return nil, fmt.Errorf("key %v: %w", s.KeyID(), ErrHighS)
	}
	return appendMessage(header, payload, sig), nil
}

// OpenMessage reads a message of the given content type and at most maxLen
// bytes, and refuses every other shape and spelling. It does not check the
// signature: see [SealedMessage.Verify]. The message shares no memory with b.
func OpenMessage(contentType string, maxLen int, b []byte) (*SealedMessage, error) {
	if len(b) > maxLen {
		return nil, fmt.Errorf("message: %w: %d bytes, want at most %d", ErrTooLarge, len(b), maxLen)
	}
	template, err := protectedHeader(contentType, Hash{})
	if err != nil {
		return nil, err
	}
	m := &SealedMessage{ContentType: contentType, Bytes: bytes.Clone(b)}
	f := &form{decoding: true, buf: m.Bytes}
	if !bytes.HasPrefix(f.buf, []byte{0xd2, 0x84}) { // tag 18, array of 4
		f.fail("message", ErrHeader)
	}
	f.off = 2
	header := f.raw("protected header", majorBytes, nil, 0, maxLen)
	kidAt := len(template) - len(m.KeyID)
	if f.err == nil && (len(header) != len(template) || !bytes.Equal(header[:kidAt], template[:kidAt])) {
		f.fail("protected header", ErrHeader)
	}
	if f.err == nil && (f.off >= len(f.buf) || f.buf[f.off] != 0xa0) {
		f.fail("unprotected header", ErrHeader)
	}
	f.off++
	m.Payload = f.raw("payload", majorBytes, nil, 0, maxLen)
	copy(m.sig[:], f.raw("signature", majorBytes, nil, len(m.sig), len(m.sig)))
	if f.err == nil && f.off != len(f.buf) {
		f.fail("message", ErrTrailing)
	}
	if f.err == nil && high(new(big.Int).SetBytes(m.sig[32:])) {
		f.fail("signature", ErrHighS)
	}
	if f.err != nil {
		return nil, fmt.Errorf("message: %w", f.err)
	}
	copy(m.KeyID[:], header[kidAt:])
	m.tbs = toBeSigned(header, m.Payload)
	return m, nil
}

// Verify checks that the message was sealed with the private half of pub.
func (m *SealedMessage) Verify(pub *ecdsa.PublicKey) error {
	id, err := KeyID(pub)
	switch {
	case err != nil:
		return err
	case id != m.KeyID:
		return fmt.Errorf("%w: key %v, not %v", ErrWrongKey, m.KeyID, id)
	case !checkSignature(pub, m.tbs, m.sig):
		return fmt.Errorf("%w: key %v", ErrSignature, id)
	}
	return nil
}

// hash returns SHA-256(domain || 0x00 || ToBeSigned). Each use has a domain of
// its own, so that a value of one kind is never taken for another.
func (m *SealedMessage) hash(domain string) Hash {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write([]byte{0})
	h.Write(m.tbs)
	return Hash(h.Sum(nil))
}

// protectedHeader encodes {1: -7, 3: contentType, 4: kid}.
func protectedHeader(contentType string, kid Hash) ([]byte, error) {
	return encode(func(f *form) {
		f.constant(1, "alg", -7)
		f.text(3, "content type", &contentType, 1, 64)
		f.fixed(4, "kid", kid[:])
	})
}

// toBeSigned encodes the Sig_structure of RFC 9052 section 4.4, without
// external data.
func toBeSigned(header, payload []byte) []byte {
	b := append([]byte{0x84, 0x6a}, "Signature1"...)
	b = append(appendHead(b, majorBytes, uint64(len(header))), header...)
	b = append(b, 0x40)
	return append(appendHead(b, majorBytes, uint64(len(payload))), payload...)
}

// appendMessage joins the parts of a COSE_Sign1.
func appendMessage(header, payload []byte, sig [64]byte) []byte {
	b := append(appendHead([]byte{0xd2, 0x84}, majorBytes, uint64(len(header))), header...)
	b = append(b, 0xa0)
	b = append(appendHead(b, majorBytes, uint64(len(payload))), payload...)
	return append(append(b, 0x58, 64), sig[:]...)
}
