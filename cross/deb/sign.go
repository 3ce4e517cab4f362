package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checksums returns the SHA-256 of the named files as sha256sum prints them.
func checksums(dir string, names []string) ([]byte, error) {
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), name)
	}
	return []byte(b.String()), nil
}

// sign returns the ECDSA signature over the SHA-256 of a text, as openssl dgst
// -verify takes it. The key is one of P-256 in PKCS #8 PEM. The signature is
// made without chance (RFC 6979): the same text and key give the same bytes.
func sign(keyFile string, text []byte) ([]byte, error) {
	file, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(file)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: want a private key, PKCS #8 PEM", keyFile)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: want a key of the curve P-256", keyFile)
	}
	hash := sha256.Sum256(text)
	return k.Sign(nil, hash[:], crypto.SHA256)
}
