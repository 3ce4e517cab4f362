// Package mtlstest makes authorities and certificates for tests, good ones and bad.
package mtlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ciglio/internal/mtls"
)

// An Authority issues certificates.
type Authority struct {
	Key         *ecdsa.PrivateKey
	Certificate *x509.Certificate

	t       testing.TB
	serials int64
	lists   int64
}

// NewAuthority makes one, of a year around now.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, Key: NewKey(t), serials: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(0, -6, 0), NotAfter: time.Now().AddDate(0, 6, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.Certificate = a.sign(template, template, &a.Key.PublicKey, a.Key)
	return a
}

// NewKey makes a key on P-256.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *Authority) sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// An End is a certificate and its key.
type End struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// Client issues a device's certificate of an hour around now, changed by change.
func (a *Authority) Client(name string, change ...func(*x509.Certificate)) End {
	return a.issue(name, x509.ExtKeyUsageClientAuth, change...)
}

// Server issues a broker's certificate for 127.0.0.1 and localhost.
func (a *Authority) Server(change ...func(*x509.Certificate)) End {
	return a.issue("localhost", x509.ExtKeyUsageServerAuth, append([]func(*x509.Certificate){func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}}, change...)...)
}

func (a *Authority) issue(name string, use x509.ExtKeyUsage, change ...func(*x509.Certificate)) End {
	a.t.Helper()
	return a.IssueTo(NewKey(a.t), name, use, change...)
}

// IssueTo issues a certificate for a key that is there.
func (a *Authority) IssueTo(key crypto.Signer, name string, use x509.ExtKeyUsage, change ...func(*x509.Certificate)) End {
	a.t.Helper()
	a.serials++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serials), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	for _, c := range change {
		c(template)
	}
	return End{key, a.sign(template, a.Certificate, key.Public(), a.Key)}
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return certificatePEM(a.Certificate) }

// List is the authority's list of what it has revoked, for 30 days, each a longer one.
func (a *Authority) List(revoked ...End) []byte {
	a.t.Helper()
	a.lists++
	l := &x509.RevocationList{Number: big.NewInt(a.lists), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().AddDate(0, 0, 30)}
	for _, e := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: e.Certificate.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.Certificate, a.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// PEM is the certificate.
func (e End) PEM() []byte { return certificatePEM(e.Certificate) }

// Write writes what an end believes and shows into a new folder.
func (e End) Write(t testing.TB, authority ...[]byte) mtls.Files {
	t.Helper()
	dir := t.TempDir()
	files := mtls.Files{Authority: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "own.crt"), Key: filepath.Join(dir, "own.key")}
	e.Rewrite(t, files, authority...)
	return files
}

// Rewrite replaces the files, each in one step.
func (e End) Rewrite(t testing.TB, files mtls.Files, authority ...[]byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(e.Key)
	if err != nil {
		t.Fatal(err)
	}
	var authorities []byte
	for _, a := range authority {
		authorities = append(authorities, a...)
	}
	for path, text := range map[string][]byte{
		files.Authority: authorities, files.Certificate: e.PEM(), files.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// LoadKey reads a key that Write wrote.
func LoadKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, os.ErrInvalid
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return parsed.(crypto.Signer), nil
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
