package ca

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/portal/keys"
)

// This file has what the authority issues: certificates of servers and of devices.

// Renew renews the lists of what is revoked where they are older than a day, and
// the server's certificate for the given names, DNS names or addresses, where it
// has other names, another authority or less than a third of its life. A key that
// is there stays. It is called once an hour by whoever serves.
func (c *CA) Renew(names []string, now time.Time) error {
	return c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		if err := c.renewLists(s, now, nil, false); err != nil || len(names) == 0 {
			return err
		}
		return c.renewServer(s, c.dir, names, now)
	})
}

// Server makes or renews, in another folder, the key and certificate of a server
// of the given names, as [CA.Renew] does in its own, and copies what is believed.
func (c *CA) Server(folder string, names []string, now time.Time) error {
	return c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		if err := c.renewLists(s, now, nil, false); err != nil {
			return err
		}
		believed, err := os.ReadFile(c.path(BelievedName))
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(folder, BelievedName), believed, 0o600); err != nil {
			return err
		}
		return c.renewServer(s, folder, names, now)
	})
}

func (c *CA) renewServer(s *state, folder string, names []string, now time.Time) error {
	if err := checkNames(names); err != nil {
		return err
	}
	path, keyPath := filepath.Join(folder, ServerName), filepath.Join(folder, ServerKeyName)
	if text, err := os.ReadFile(path); err == nil {
		had, _, err := parse(text)
		if err == nil && len(had) > 0 && now.Before(had[0].NotAfter.Add(-ServerLife/3)) && now.After(had[0].NotBefore) &&
			bytes.Equal(had[0].AuthorityKeyId, s.authorities[0].SubjectKeyId) && slices.Equal(namesOf(had[0]), sorted(names)) {
			return nil
		}
	}
	key, err := keys.LoadOrCreate(keyPath)
	if err != nil {
		return err
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, NotAfter: now.Add(ServerLife), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	certificate, err := c.issue(s, template, key.Public(), "server", now)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, certificatePEM(certificate), 0o600)
}

func checkNames(names []string) error {
	if len(names) == 0 || len(names) > 16 {
		return fmt.Errorf("names of the server: %d, want 1 to 16", len(names))
	}
	for _, n := range names {
		if net.ParseIP(n) == nil && !dnsName(n) {
			return fmt.Errorf("name of the server %q: want a host name or an address", n)
		}
	}
	return nil
}

// dnsName reports whether n can be a host's name.
func dnsName(n string) bool {
	if n == "" || len(n) > 253 || n[0] == '-' || n[0] == '.' {
		return false
	}
	for _, r := range n {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return false
		}
	}
	return true
}

func namesOf(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return sorted(all)
}

func sorted(names []string) []string {
	all := slices.Clone(names)
	for i, n := range all {
		if ip := net.ParseIP(n); ip != nil {
			all[i] = ip.String() // in its one spelling, as a certificate gives it back
		}
	}
	slices.Sort(all)
	return all
}

// issue signs a certificate and keeps it under the holder's name before it returns.
func (c *CA) issue(s *state, template *x509.Certificate, public *ecdsa.PublicKey, holder string, now time.Time) (*x509.Certificate, error) {
	authority := s.authorities[0]
	if now.Before(authority.NotBefore) || now.After(authority.NotAfter) {
		return nil, fmt.Errorf("authority %q: valid from %s to %s: rotate it", authority.Subject.CommonName,
			authority.NotBefore.Format(time.DateOnly), authority.NotAfter.Format(time.DateOnly))
	}
	if listOf(s.lists, authority) == nil { // it is there before the first certificate
		if err := c.renewLists(s, now, nil, false); err != nil {
			return nil, err
		}
	}
	var err error
	if template.SerialNumber, err = newSerial(); err != nil {
		return nil, err
	}
	template.NotBefore = now.Add(-backdated).UTC().Truncate(time.Second)
	template.NotAfter = template.NotAfter.UTC().Truncate(time.Second)
	if template.NotAfter.After(authority.NotAfter) {
		template.NotAfter = authority.NotAfter
	}
	template.KeyUsage, template.BasicConstraintsValid, template.IsCA = x509.KeyUsageDigitalSignature, true, false
	der, err := x509.CreateCertificate(rand.Reader, template, authority, public, s.signer)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	folder := c.path(filepath.Join(issuedName, holder))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	return certificate, durable.WriteFile(filepath.Join(folder, fmt.Sprintf("%x.pem", certificate.SerialNumber)), certificatePEM(certificate), 0o600)
}

// Follow issues a certificate for the TLS key of a device that has shown another,
// its own first, and proved to hold its key. What was shown is judged anew, within
// the act: it may have been revoked since the handshake. The error wraps [ErrRight]
// when it counts no more.
func (c *CA) Follow(shown []*x509.Certificate, device evidence.DeviceID, public *ecdsa.PublicKey, now time.Time) (certificate *x509.Certificate, err error) {
	err = c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		if err := c.Counts(shown, now); err != nil {
			return err
		}
		certificate, err = c.device(s, device, public, now)
		return err
	})
	return certificate, err
}

// Counts says whether the certificate that a client has shown, its own first, still
// counts. The error wraps [ErrRight] when it does not.
func (c *CA) Counts(shown []*x509.Certificate, now time.Time) error {
	text, err := os.ReadFile(c.Believed())
	if err != nil {
		return err
	}
	authority, err := mtls.ParseAuthority(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Believed(), err)
	}
	if err := authority.Judge(shown, now); err != nil {
		return fmt.Errorf("%w: %w", ErrRight, err)
	}
	return nil
}

func (c *CA) device(s *state, device evidence.DeviceID, public *ecdsa.PublicKey, now time.Time) (*x509.Certificate, error) {
	for _, a := range s.authorities {
		if public.Equal(a.PublicKey) {
			return nil, fmt.Errorf("%w: device %v: the key is the authority's own", ErrRequest, device)
		}
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: device.String()}, NotAfter: now.Add(DeviceLife), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return c.issue(s, template, public, device.String(), now)
}

// Issued returns the certificates of a device that are still in force by date,
// revoked or not.
func (c *CA) Issued(device evidence.DeviceID, now time.Time) ([]*x509.Certificate, error) {
	folder := c.path(filepath.Join(issuedName, device.String()))
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []*x509.Certificate
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".pem" {
			continue // one that is being written
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		some, _, err := parse(text)
		if err != nil || len(some) != 1 {
			return nil, fmt.Errorf("%s: %w", filepath.Join(folder, e.Name()), cmp.Or(err, errors.New("damaged")))
		}
		if now.Before(some[0].NotAfter) {
			all = append(all, some[0])
		}
	}
	return all, nil
}
