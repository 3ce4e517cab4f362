package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// pemPrivate is the type of the one PEM block in the file of a key that the file
// holds itself.
const pemPrivate = "PRIVATE KEY"

// maxFile is more than any key file takes, in bytes.
const maxFile = 4096

// CreateFile makes a new evidence key in a file, for a desk or a test: it has no TLS
// key beside it. A file that exists is never touched: the error then wraps
// [os.ErrExist].
func CreateFile(path string) (*Key, error) {
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return LoadFile(path)
}

// LoadFile reads what [CreateFile] wrote.
func LoadFile(path string) (*Key, error) {
	c, err := read(path)
	if err == nil && c.private == nil {
		err = ErrFormat
	}
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return newKey(fileHolder{c.private}, newQueue(0), nil)
}

func createFile(path string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	// A device with half a key would never start again.
	return durable.Create(path, pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}))
}

// read returns what a key file holds that none but its owner may read or write.
func read(path string) (content, error) {
	f, err := os.Open(path)
	if err != nil {
		return content{}, errors.Unwrap(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return content{}, err
	case !info.Mode().IsRegular():
		return content{}, fmt.Errorf("%w: not a plain file", ErrFormat)
	case info.Mode().Perm()&0o077 != 0:
		return content{}, fmt.Errorf("%w: mode %04o, want 0600", ErrExposed, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return content{}, err
	}
	return parse(text)
}

// content is what a key file holds: one of the two.
type content struct {
	private *ecdsa.PrivateKey
	sealed  *sealedKey
}

func parse(text []byte) (content, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return content{}, ErrFormat
	}
	if block.Type == pemSealed {
		sealed, err := parseSealed(text)
		return content{sealed: sealed}, err
	}
	if block.Type != pemPrivate || len(bytes.TrimSpace(rest)) != 0 {
		return content{}, ErrFormat
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || private.Curve != elliptic.P256() {
		return content{}, ErrFormat
	}
	return content{private: private}, nil
}

// A fileHolder holds a key in memory. Its signatures are deterministic (RFC 6979),
// so that they need no randomness.
type fileHolder struct{ private *ecdsa.PrivateKey }

func (h fileHolder) public() *ecdsa.PublicKey { return &h.private.PublicKey }
func (h fileHolder) class() string            { return ClassFile }

func (h fileHolder) sign(_ context.Context, digest evidence.Hash) ([]byte, error) {
	return h.private.Sign(nil, digest[:], crypto.SHA256)
}

// signature is an ECDSA signature in ASN.1.
type signature struct{ R, S *big.Int }

// parseSignature returns r and s, both within 1 to n-1.
func parseSignature(der []byte) (r, s *big.Int, err error) {
	var rs signature
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) != 0 {
		return nil, nil, fmt.Errorf("%w: not ASN.1 of r and s", ErrSignature)
	}
	n := elliptic.P256().Params().N
	if rs.R.Sign() <= 0 || rs.R.Cmp(n) >= 0 || rs.S.Sign() <= 0 || rs.S.Cmp(n) >= 0 {
		return nil, nil, fmt.Errorf("%w: out of range", ErrSignature)
	}
	return rs.R, rs.S, nil
}

func encodeSignature(r, s *big.Int) ([]byte, error) { return asn1.Marshal(signature{r, s}) }
