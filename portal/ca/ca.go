// Package ca is the centre's authority for TLS. It is online, and so it issues
// nothing that evidence hangs on: certificates by which a device, a broker or the
// centre says who it is on a connection. Evidence keys are entered in the device
// register, by the root.
//
// What it keeps true, by its code: a device's certificate is for clients, has the
// device's id for its one name, holds a P-256 key that the device has proved to
// hold, and ends after [DeviceLife]; a server's is for servers; no certificate is
// an authority's. Every certificate is on disk before it is given away, so that
// [CA.Revoke] finds them all. What was revoked is never forgotten in silence: an
// authority that has issued and whose list is not there signs no other list.
//
// One authority follows another: after [CA.Rotate] both are believed, and the
// newer issues; [CA.Retire] ends the older. What is believed, with all that was
// revoked, is one file, [BelievedName], for brokers, servers and devices.
//
// All lives in a folder. Programs may work in it at once: each act takes its lock,
// reads the folder anew, and writes each file whole or not at all. A CA is safe for
// concurrent use.
package ca

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/keys"
)

// How long certificates and lists are valid.
const (
	AuthorityLife = 5 * 365 * 24 * time.Hour
	DeviceLife    = 90 * 24 * time.Hour
	ServerLife    = 90 * 24 * time.Hour
	ListLife      = 30 * 24 * time.Hour // after which brokers refuse everyone
	listRenewal   = 24 * time.Hour
	backdated     = 5 * time.Minute // for devices whose clock is a little behind
)

// The files of the folder that others read.
const (
	BelievedName  = "believed.pem" // authorities and what they have revoked
	ServerName    = "server.crt"
	ServerKeyName = "server.key"

	authorityName    = "authority.crt" // the issuing one first, PEM
	authorityKeyName = "authority.key"
	issuedName       = "issued"
	lockName         = "ca.lock"
)

var (
	// ErrRequest says that a request asks for what is not issued.
	ErrRequest = errors.New("certificate request")
	// ErrRight says that the certificate that a device has shown counts no more.
	ErrRight = errors.New("the certificate that was shown does not count")
	// ErrNoList says that what an authority has revoked is not known.
	ErrNoList = errors.New("what the authority has revoked is lost")
	// ErrNoCA says that a folder is no authority's.
	ErrNoCA = errors.New("holds no authority for TLS")
)

// A CA is the authority in a folder.
type CA struct{ dir string }

// Create makes an authority in a new folder, or ends what an interrupted Create
// has begun.
func Create(dir string, now time.Time) (*CA, error) {
	if err := os.MkdirAll(filepath.Join(dir, issuedName), 0o700); err != nil {
		return nil, err
	}
	c := &CA{dir}
	return c, c.locked(func() error {
		if _, err := os.Lstat(c.path(authorityName)); errors.Is(err, fs.ErrNotExist) {
			return c.found(nil, now)
		}
		if _, err := os.Lstat(c.path(BelievedName)); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("authority in %s: %w", dir, fs.ErrExist), err)
		}
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		return c.renewLists(s, now, nil, false)
	})
}

// Open opens the authority in a folder. The error wraps [ErrNoCA] when it holds
// none.
func Open(dir string) (*CA, error) {
	c := &CA{dir}
	_, err := c.read()
	return c, err
}

func (c *CA) path(name string) string { return filepath.Join(c.dir, name) }

// Believed is the path of the file that says whom to believe.
func (c *CA) Believed() string { return c.path(BelievedName) }

func (c *CA) locked(act func() error) error {
	lock, err := durable.Wait(c.path(lockName))
	if err != nil {
		return err
	}
	defer lock.Close()
	return act()
}

// state is what the folder holds.
type state struct {
	authorities []*x509.Certificate // the issuing one first
	lists       []*x509.RevocationList
	signer      crypto.Signer // of the issuing one
}

func (c *CA) read() (*state, error) {
	s := new(state)
	text, err := os.ReadFile(c.path(authorityName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %s: %w", c.dir, ErrNoCA)
	}
	if err != nil {
		return nil, err
	}
	if s.authorities, _, err = parse(text); err != nil || len(s.authorities) == 0 {
		return nil, fmt.Errorf("%s: %w", c.path(authorityName), cmp.Or(err, errors.New("no certificate")))
	}
	if text, err = os.ReadFile(c.path(BelievedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, s.lists, err = parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path(BelievedName), err)
	}
	return s, nil
}

func parse(text []byte) (certificates []*x509.Certificate, lists []*x509.RevocationList, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certificates = append(certificates, c)
		case "X509 CRL":
			l, err := x509.ParseRevocationList(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			lists = append(lists, l)
		}
	}
	return certificates, lists, nil
}

// readWithKey is read, with the key of the issuing authority.
func (c *CA) readWithKey() (*state, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	k, err := keys.Load(c.keyPath(s.authorities[0]))
	if err != nil {
		return nil, err
	}
	if !k.Public().Equal(s.authorities[0].PublicKey) {
		return nil, fmt.Errorf("%s: not the key of the authority", c.keyPath(s.authorities[0]))
	}
	s.signer = k.CryptoSigner()
	return s, nil
}

// keyPath is where the key of an authority lies: under its serial number, so that
// one that follows replaces none.
func (c *CA) keyPath(authority *x509.Certificate) string {
	return c.path(fmt.Sprintf("%x-%s", authority.SerialNumber, authorityKeyName))
}

// found makes an authority that goes before those that are there.
func (c *CA) found(before *state, now time.Time) error {
	key, err := keys.Generate()
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("Ciglio TLS %s", key.KeyID().String()[:12])},
		NotBefore: now.Add(-backdated).UTC().Truncate(time.Second), NotAfter: now.Add(AuthorityLife).UTC().Truncate(time.Second),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key.CryptoSigner())
	if err != nil {
		return err
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if err := key.Create(c.keyPath(authority)); err != nil {
		return err
	}
	next := &state{authorities: []*x509.Certificate{authority}, signer: key.CryptoSigner()}
	if before != nil {
		next.authorities = append(next.authorities, before.authorities...)
		next.lists = before.lists
	}
	if err := durable.WriteFile(c.path(authorityName), certificatePEM(next.authorities...), 0o600); err != nil {
		return err
	}
	return c.renewLists(next, now, nil, true)
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

// renewLists writes what is believed, with a new list of each authority that adds
// some certificates to what it has revoked.
func (c *CA) renewLists(s *state, now time.Time, add []*x509.Certificate, always bool) error {
	text := certificatePEM(s.authorities...)
	for _, a := range s.authorities {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-backdated).UTC(), NextUpdate: now.Add(ListLife).UTC()}
		had := listOf(s.lists, a)
		if had != nil {
			l.Number = new(big.Int).Add(had.Number, big.NewInt(1))
			l.RevokedCertificateEntries = had.RevokedCertificateEntries
		} else if err := c.neverIssued(a); err != nil {
			return err
		}
		// One from the future is of a clock that was wrong: nobody takes it.
		fresh := had != nil && !now.Before(had.ThisUpdate) && now.Before(had.ThisUpdate.Add(listRenewal))
		for _, r := range add {
			if bytes.Equal(r.AuthorityKeyId, a.SubjectKeyId) && !contains(l, r.SerialNumber) {
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: now.UTC()})
				fresh = false
			}
		}
		if fresh && !always {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: had.Raw})...)
			continue
		}
		key, err := keys.Load(c.keyPath(a))
		if err != nil {
			return err
		}
		der, err := x509.CreateRevocationList(rand.Reader, l, a, key.CryptoSigner())
		if err != nil {
			return err
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	_, lists, err := parse(text)
	if err != nil {
		return err
	}
	s.lists = lists
	if had, err := os.ReadFile(c.path(BelievedName)); err == nil && bytes.Equal(had, text) {
		return nil
	}
	return durable.WriteFile(c.path(BelievedName), text, 0o600)
}

// neverIssued returns an error that wraps [ErrNoList] if an authority has issued a
// certificate: it had a list by then, in which it may stand.
func (c *CA) neverIssued(a *x509.Certificate) error {
	paths, err := filepath.Glob(c.path(filepath.Join(issuedName, "*", "*.pem")))
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		some, _, err := parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, issued := range some {
			if bytes.Equal(issued.AuthorityKeyId, a.SubjectKeyId) {
				return fmt.Errorf("%s: no list of %q: %w: restore the file from a backup of the keys, or let another authority follow and retire this one",
					c.path(BelievedName), a.Subject.CommonName, ErrNoList)
			}
		}
	}
	return nil
}

func listOf(lists []*x509.RevocationList, a *x509.Certificate) *x509.RevocationList {
	for _, l := range lists {
		if bytes.Equal(l.AuthorityKeyId, a.SubjectKeyId) {
			return l
		}
	}
	return nil
}

func contains(l *x509.RevocationList, serial *big.Int) bool {
	return slices.ContainsFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 })
}

// Revoke revokes every certificate of a device, with its one-time code, and returns
// how many are in force by date. The device can be given another by a new code.
func (c *CA) Revoke(device evidence.DeviceID, now time.Time) (n int, err error) {
	err = c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		all, err := c.Issued(device, now)
		if err != nil {
			return err
		}
		n = len(all)
		if err := c.renewLists(s, now, all, false); err != nil {
			return err
		}
		// A code that was used counts on for the same key, and whoever has the device
		// has that key.
		return c.dropCode(device)
	})
	return n, err
}

// Rotate makes the authority that issues from now on. Those before are believed
// until [CA.Retire]: give every device what is believed now, and each of them a new
// certificate, which happens by itself within [DeviceLife].
func (c *CA) Rotate(now time.Time) error {
	return c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		if len(s.authorities) > 3 {
			return fmt.Errorf("authority: %d are believed already: retire those before", len(s.authorities))
		}
		return c.found(s, now)
	})
}

// Retire ends every authority but the one that issues. Certificates that they have
// issued count no more.
func (c *CA) Retire(now time.Time) error {
	return c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		s.authorities = s.authorities[:1]
		if err := durable.WriteFile(c.path(authorityName), certificatePEM(s.authorities[0]), 0o600); err != nil {
			return err
		}
		if err := c.renewLists(s, now, nil, false); err != nil {
			return err
		}
		// Of those before, those that an interrupted Retire has left, and those of a
		// Rotate that was interrupted before its authority was one.
		keyFiles, err := filepath.Glob(c.path("*-" + authorityKeyName))
		if err != nil {
			return err
		}
		for _, path := range keyFiles {
			if path == c.keyPath(s.authorities[0]) {
				continue
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		return durable.SyncFolder(c.dir)
	})
}

// Authorities returns the certificates that are believed, the issuing one first.
func (c *CA) Authorities() ([]*x509.Certificate, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	return s.authorities, nil
}

func certificatePEM(all ...*x509.Certificate) (text []byte) {
	for _, c := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}
