// Package keys holds the two private keys of the centre, the root that signs
// the device register and the key that signs receipts, as files.
//
// A key file is PEM with one PKCS #8 P-256 key, readable by its owner only.
// [Load] refuses one that others may read. Signatures are ES256 as the evidence
// format wants them: deterministic (RFC 6979) and low-s, so that signing the
// same bytes twice gives the same bytes.
//
// A Key is immutable and safe for concurrent use.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// ErrExposed is wrapped by the error of [Load] when others than the owner may
// read the file.
var ErrExposed = errors.New("others may read it")

// ErrMissing is wrapped by the error of [Load] when there is no such file.
var ErrMissing = errors.New("is not there")

const pemType = "PRIVATE KEY"

// A Key signs. It implements [evidence.Signer].
type Key struct {
	evidence.Signer
	private *ecdsa.PrivateKey
	spki    []byte
}

var _ evidence.Signer = (*Key)(nil)

// Generate makes a new key.
func Generate() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return fromPrivate(private)
}

func fromPrivate(private *ecdsa.PrivateKey) (*Key, error) {
	spki, err := evidence.EncodeKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	signer, err := evidence.NewSigner(private)
	if err != nil {
		return nil, err
	}
	return &Key{Signer: signer, private: private, spki: spki}, nil
}

// Load reads the key file at path.
func Load(path string) (*Key, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("key %s: %w", path, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s: %w (mode %04o, want 0600)", path, ErrExposed, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(rest) != 0 {
		return nil, fmt.Errorf("key %s: not one PEM block of type %s", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key %s: not a P-256 key", path)
	}
	return fromPrivate(private)
}

// Create writes the key to a new file at path, whole and on disk or not at all.
// It never replaces a file: the error then wraps [os.ErrExist].
func (k *Key) Create(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	if err := durable.Create(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})); err != nil {
		return fmt.Errorf("key %s: %w", path, err)
	}
	return nil
}

// LoadOrCreate is [Load] of the key file at path, which is made where it is missing.
func LoadOrCreate(path string) (*Key, error) {
	k, err := Load(path)
	if errors.Is(err, ErrMissing) {
		if k, err = Generate(); err == nil {
			err = k.Create(path)
		}
	}
	return k, err
}

// Public returns the public key.
func (k *Key) Public() *ecdsa.PublicKey { return &k.private.PublicKey }

// CryptoSigner returns the key for use with TLS and certificates.
func (k *Key) CryptoSigner() crypto.Signer { return k.private }

// SPKI returns the public key as SubjectPublicKeyInfo, DER. The caller must not
// change it.
func (k *Key) SPKI() []byte { return k.spki }
