// Package key holds the device's evidence key: the P-256 key that seals its
// records.
//
// A key is made on the device, never leaves it and is never replaced in place:
// [Create] refuses to overwrite. This package holds keys in a file; what keeps
// the file from being copied is the file system's owner and mode, which [Load]
// insists on.
//
// A [Key] is safe for concurrent use.
package key

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// What [Load] refuses.
var (
	ErrExposed = errors.New("others than its owner may read or write it")
	ErrFormat  = errors.New("not a P-256 private key in PKCS#8 PEM")
)

// pemType is the type of the one PEM block in a key file.
const pemType = "PRIVATE KEY"

// maxFile is more than any P-256 key file takes, in bytes.
const maxFile = 4096

// A Key is an evidence key. It implements [evidence.Signer]; its signatures are
// deterministic (RFC 6979), so they need no randomness.
type Key struct {
	evidence.Signer
	private *ecdsa.PrivateKey
}

// Create makes a new key and writes it to path, readable for its owner only. The
// file and its folder are synced when it returns. A file that exists is never
// touched: the error then wraps [os.ErrExist].
func Create(path string) (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	// A device with half a key would never start again.
	if err := durable.Create(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})); err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return wrap(path, private)
}

// Load reads the key that [Create] wrote. It refuses, with [ErrExposed], a file
// that anyone but its owner may read or write, and with [ErrFormat] anything but
// one P-256 key.
func Load(path string) (*Key, error) {
	private, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return wrap(path, private)
}

func read(path string) (*ecdsa.PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: not a plain file", ErrFormat)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%w: mode %04o, want 0600", ErrExposed, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(bytes.TrimSpace(rest)) != 0 {
		return nil, ErrFormat
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || private.Curve != elliptic.P256() {
		return nil, ErrFormat
	}
	return private, nil
}

func wrap(path string, private *ecdsa.PrivateKey) (*Key, error) {
	signer, err := evidence.NewSigner(private)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return &Key{Signer: signer, private: private}, nil
}

// Class says what holds the key, as records state it: "file".
func (k *Key) Class() string { return "file" }

// Public returns the public half.
func (k *Key) Public() *ecdsa.PublicKey { return &k.private.PublicKey }

// CryptoSigner returns the key for use with a root's certificates and TLS.
func (k *Key) CryptoSigner() crypto.Signer { return k.private }
