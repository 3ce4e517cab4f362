package mtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A maker is an authority and a certificate of it in files.
type maker struct {
	t         *testing.T
	key       *ecdsa.PrivateKey
	authority *x509.Certificate
	leaf      *x509.Certificate
	files     Files
	lists     int64
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &maker{t: t, key: key, files: Files{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "own.crt"), filepath.Join(dir, "own.key")}}
	m.authority = m.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
	m.leaf = m.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "end"}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, m.authority)
	m.write(m.files.Certificate, "CERTIFICATE", m.leaf.Raw)
	m.list(time.Hour)
	return m
}

func (m *maker) sign(template, parent *x509.Certificate) *x509.Certificate {
	m.t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, m.key.Public(), m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *maker) write(path, kind string, der []byte, before ...byte) {
	m.t.Helper()
	text := append(before, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		m.t.Fatal(err)
	}
}

// list writes the authority with a list that ends after a time and revokes the leaf
// or not.
func (m *maker) list(life time.Duration, revoked ...*x509.Certificate) {
	m.t.Helper()
	m.lists++
	l := &x509.RevocationList{Number: big.NewInt(m.lists), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(life)}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, m.authority, m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(m.files.Authority, "X509 CRL", der, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.authority.Raw})...)
}

func (m *maker) source(log *bytes.Buffer) *Source {
	m.t.Helper()
	s, err := NewSource(m.files, func(string) (crypto.Signer, error) { return m.key, nil }, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// takes says whether a source's list takes the leaf.
func (m *maker) takes(s *Source) error {
	a, _ := s.Get()
	return a.Judge([]*x509.Certificate{m.leaf}, time.Now())
}

func cause(err error) Cause {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Cause
	}
	return ""
}

func TestAReadingThatFailedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := newMaker(t)
		s := m.source(&log)
		failing := true
		s.read = func(path string) ([]byte, error) {
			if failing {
				return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
			}
			return readFile(path)
		}
		m.list(time.Hour, m.leaf)
		for range 3 { // not again before its time
			if err := m.takes(s); err != nil {
				t.Fatalf("while the new list cannot be read: %v", err)
			}
		}
		if s.Trouble() == nil || strings.Count(log.String(), "refused") != 1 {
			t.Errorf("trouble %v, log:\n%s", s.Trouble(), &log)
		}
		time.Sleep(retryTime)
		if err := m.takes(s); err != nil {
			t.Fatal(err)
		}
		failing = false
		if err := m.takes(s); err != nil {
			t.Fatalf("read again at once: %v", err)
		}
		time.Sleep(retryTime)
		if err := m.takes(s); cause(err) != Revoked {
			t.Errorf("once the list can be read: %v, want revoked", err)
		}
		if s.Trouble() != nil || strings.Count(log.String(), "refused") != 1 || strings.Count(log.String(), "certificates read") != 1 {
			t.Errorf("trouble %v, log:\n%s", s.Trouble(), &log)
		}
	})
}

func TestABadCertificateKeepsNoListFromCounting(t *testing.T) {
	var log bytes.Buffer
	m := newMaker(t)
	s := m.source(&log)
	m.write(m.files.Certificate, "CERTIFICATE", []byte("half a certifi"))
	m.list(time.Hour, m.leaf)
	if err := m.takes(s); cause(err) != Revoked {
		t.Errorf("a new list beside a bad certificate: %v, want revoked", err)
	}
	if _, own := s.Get(); own.Leaf.SerialNumber.Int64() != 2 || s.Trouble() == nil {
		t.Errorf("shows %v, trouble %v", own.Leaf.SerialNumber, s.Trouble())
	}
	a, _ := s.Get()
	m.write(m.files.Certificate, "CERTIFICATE", m.leaf.Raw)
	if b, _ := s.Get(); a != b || s.Trouble() != nil {
		t.Errorf("the same authorities are others now; trouble %v", s.Trouble())
	}
	// A list that is not the authority's, or half of one, ends no revocation.
	m.write(m.files.Authority, "CERTIFICATE", m.authority.Raw[:100])
	if err := m.takes(s); cause(err) != Revoked {
		t.Errorf("with half a file: %v, want revoked", err)
	}
}

func TestWhoIsDialledTakesNobodyByAListThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := newMaker(t)
		s := m.source(&log)
		a, _ := s.Get()
		if got, want := a.Until().UTC(), time.Now().Add(time.Hour).UTC(); !got.Equal(want) {
			t.Errorf("until %v, want %v", got, want)
		}
		time.Sleep(time.Hour)
		if err := m.takes(s); err != nil {
			t.Errorf("in the last second: %v", err)
		}
		time.Sleep(time.Second)
		if err := m.takes(s); cause(err) != Unjudged {
			t.Errorf("a second later: %v, want %q", err, Unjudged)
		}
		// A device that was offline for long knows no newer list, and trusts what it has.
		if a, _ := s.Get(); a.Verify([]*x509.Certificate{m.leaf}, time.Now()) != nil {
			t.Error("an end that dials refuses by a list that has ended")
		}
		m.list(time.Hour)
		if err := m.takes(s); err != nil {
			t.Errorf("with a new list: %v", err)
		}
	})
}
