package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
)

var (
	now    = time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	device = evidence.DeviceID{0xc1, 15: 1}
	other  = evidence.DeviceID{0xc1, 15: 2}
)

func newCA(t *testing.T) *CA {
	t.Helper()
	c, err := Create(filepath.Join(t.TempDir(), "ca"), now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func believed(t *testing.T, c *CA) *mtls.Authority {
	t.Helper()
	text, err := os.ReadFile(c.Believed())
	if err != nil {
		t.Fatal(err)
	}
	a, err := mtls.ParseAuthority(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Device issues a certificate for the TLS key of a device, with neither code nor
// certificate: as [CA.Enrol] and [CA.Follow] do it for one that had the right.
func (c *CA) Device(device evidence.DeviceID, public *ecdsa.PublicKey, now time.Time) (certificate *x509.Certificate, err error) {
	err = c.locked(func() error {
		s, err := c.readWithKey()
		if err != nil {
			return err
		}
		certificate, err = c.device(s, device, public, now)
		return err
	})
	return certificate, err
}

func issue(t *testing.T, c *CA, d evidence.DeviceID, at time.Time) *x509.Certificate {
	t.Helper()
	certificate, err := c.Device(d, &newKey(t).PublicKey, at)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestWhatIsIssuedIsForOneDevice(t *testing.T) {
	c := newCA(t)
	got := issue(t, c, device, now)
	if name, err := mtls.Name(got); err != nil || name != device.String() || got.IsCA || got.KeyUsage != x509.KeyUsageDigitalSignature ||
		len(got.ExtKeyUsage) != 1 || got.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || got.NotAfter.Sub(now) != DeviceLife ||
		len(got.DNSNames)+len(got.IPAddresses) != 0 {
		t.Errorf("issued %+v, %v", got, err)
	}
	if err := believed(t, c).Verify([]*x509.Certificate{got}, now); err != nil {
		t.Error(err)
	}
	if all, err := c.Issued(device, now); err != nil || len(all) != 1 || !all[0].Equal(got) {
		t.Errorf("kept %v, %v", all, err)
	}
	authorities, err := c.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Device(device, authorities[0].PublicKey.(*ecdsa.PublicKey), now); !errors.Is(err, ErrRequest) {
		t.Errorf("the authority's own key: %v", err)
	}
}

func TestRevokedIsRevokedForGood(t *testing.T) {
	c := newCA(t)
	first, second, others := issue(t, c, device, now), issue(t, c, device, now), issue(t, c, other, now)
	if n, err := c.Revoke(device, now); err != nil || n != 2 {
		t.Fatalf("%d revoked, %v", n, err)
	}
	for at := now; at.Before(now.Add(60 * 24 * time.Hour)); at = at.Add(20 * 24 * time.Hour) {
		if err := c.Renew(nil, at); err != nil {
			t.Fatal(err)
		}
		a := believed(t, c)
		for _, gone := range []*x509.Certificate{first, second} {
			if r := mtls.Explain(a.Verify([]*x509.Certificate{gone}, at)); r == nil || r.Cause != mtls.Revoked {
				t.Errorf("at %v: %v", at, r)
			}
		}
		if err := a.Verify([]*x509.Certificate{others}, at); err != nil {
			t.Errorf("another device at %v: %v", at, err)
		}
		s, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if l := s.lists[0]; at.After(l.NextUpdate) || at.Sub(l.ThisUpdate) > listRenewal+backdated {
			t.Errorf("at %v the list is of %v, until %v", at, l.ThisUpdate, l.NextUpdate)
		}
	}
	if err := believed(t, c).Verify([]*x509.Certificate{issue(t, c, device, now)}, now); err != nil {
		t.Errorf("a certificate after the revocation: %v", err)
	}
}

func TestOneAuthorityFollowsAnother(t *testing.T) {
	c := newCA(t)
	before := issue(t, c, device, now)
	revoked := issue(t, c, other, now)
	if err := c.Rotate(now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	after := issue(t, c, device, now.Add(time.Hour))
	if _, err := c.Revoke(other, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	a := believed(t, c)
	for _, good := range []*x509.Certificate{before, after} {
		if err := a.Verify([]*x509.Certificate{good}, now.Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if err := a.Verify([]*x509.Certificate{revoked}, now.Add(time.Hour)); err == nil {
		t.Error("what the older one issued cannot be revoked")
	}
	if err := c.Retire(now.Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	a = believed(t, c)
	if err := a.Verify([]*x509.Certificate{after}, now.Add(2*time.Hour)); err != nil {
		t.Error(err)
	}
	if r := mtls.Explain(a.Verify([]*x509.Certificate{before}, now.Add(2*time.Hour))); r == nil || r.Cause != mtls.Foreign {
		t.Errorf("of an authority that has ended: %v", r)
	}
}

func TestServersCertificateIsRenewedInTime(t *testing.T) {
	c := newCA(t)
	read := func() *x509.Certificate {
		text, err := os.ReadFile(c.path(ServerName))
		if err != nil {
			t.Fatal(err)
		}
		all, _, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	names := []string{"centre.example.it", "10.0.0.1"}
	var last *x509.Certificate
	for _, step := range []struct {
		name  string
		at    time.Time
		names []string
		do    func() error
		anew  bool
	}{
		{"the first", now, names, nil, true},
		{"an hour later", now.Add(time.Hour), names, nil, false},
		{"a day before a third is left", now.Add(ServerLife*2/3 - 24*time.Hour), names, nil, false},
		{"with a third left", now.Add(ServerLife*2/3 + time.Second), names, nil, true},
		{"with another name", now.Add(ServerLife * 3 / 4), []string{"centre.example.it"}, nil, true},
		{"by another authority", now.Add(ServerLife * 3 / 4), []string{"centre.example.it"}, func() error { return c.Rotate(now.Add(ServerLife * 3 / 4)) }, true},
		{"after it was damaged", now.Add(ServerLife * 3 / 4), []string{"centre.example.it"}, func() error { return os.WriteFile(c.path(ServerName), []byte("x"), 0o600) }, true},
	} {
		if step.do != nil {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Renew(step.names, step.at); err != nil {
			t.Fatal(step.name, err)
		}
		got := read()
		if anew := last == nil || !got.Equal(last); anew != step.anew {
			t.Errorf("%s: made anew: %v", step.name, anew)
		}
		last = got
	}
	for _, bad := range [][]string{{""}, {"-x"}, {"a b"}, {"x/y"}, make([]string, 17), {"*.example.it"}} {
		if err := c.Renew(bad, now); err == nil && len(bad) > 0 {
			t.Errorf("a server named %q", bad)
		}
	}
	if ip := last.IPAddresses; len(ip) != 0 && !ip[0].Equal(net.IPv4(10, 0, 0, 1)) {
		t.Error(ip)
	}
}

func TestCodesCountOnce(t *testing.T) {
	c := newCA(t)
	code, err := c.NewCode(device, now)
	if err != nil {
		t.Fatal(err)
	}
	key, another := &newKey(t).PublicKey, &newKey(t).PublicKey
	for _, step := range []struct {
		name   string
		device evidence.DeviceID
		code   string
		key    *ecdsa.PublicKey
		at     time.Duration
		good   bool
	}{
		{"of a device that has none", other, code, key, 0, false},
		{"another code", device, "2222-2222-2222", key, 0, false},
		{"none", device, "", key, 0, false},
		{"its own, as typed", device, " " + strings.ToLower(code), key, 0, true},
		{"again, as the answer was lost", device, code, key, time.Hour, true},
		{"again for another key", device, code, another, time.Hour, false},
		{"a minute before it ends", device, code, key, CodeLife - time.Minute, true},
		{"at its end", device, code, key, CodeLife, false},
	} {
		_, err := c.Enrol(step.device, step.code, step.key, now.Add(step.at))
		if (err == nil) != step.good || err != nil && !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if _, err := c.Revoke(device, now); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enrol(device, code, key, now.Add(time.Hour)); !errors.Is(err, ErrCode) {
		t.Errorf("a revoked device by the code of before: %v", err)
	}
	next, err := c.NewCode(device, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckCode(device, code, now); !errors.Is(err, ErrCode) {
		t.Errorf("the code before a new one: %v", err)
	}
	for range 100 {
		if err := c.CheckCode(device, "wrong", now); !errors.Is(err, ErrCode) {
			t.Fatal(err)
		}
	}
	if err := c.CheckCode(device, next, now); err != nil {
		t.Errorf("after a hundred wrong ones, by whomever: %v", err)
	}
	if err := c.CheckCode(device, next, now.Add(-time.Hour)); !errors.Is(err, ErrCode) {
		t.Errorf("a code made by a clock an hour ahead: %v", err)
	}
	text, err := os.ReadFile(c.codePath(device))
	if err != nil || strings.Contains(string(text), strings.ReplaceAll(next, "-", "")) || strings.Contains(string(text), next) {
		t.Errorf("the folder holds %s, %v", text, err)
	}
}

func TestOpenNeedsAnAuthority(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoCA) {
		t.Error(err)
	}
	c := newCA(t)
	if _, err := Create(c.dir, now); !errors.Is(err, os.ErrExist) {
		t.Errorf("an authority may be replaced: %v", err)
	}
}

// TestWhatWasRevokedIsNotForgotten takes away what is believed, whole and in part,
// and looks that nobody who was revoked is believed again.
func TestWhatWasRevokedIsNotForgotten(t *testing.T) {
	for _, row := range []struct {
		name string
		harm func([]byte) []byte // nil: the file is gone
	}{
		{"gone", func([]byte) []byte { return nil }},
		{"cut behind the authority", func(b []byte) []byte { return b[:strings.Index(string(b), "-----BEGIN X509")] }},
		{"cut within the list", func(b []byte) []byte { return b[:len(b)-80] }},
		{"empty", func([]byte) []byte { return []byte{} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCA(t)
			gone := issue(t, c, device, now)
			if _, err := c.Revoke(device, now); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(c.Believed())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(c.Believed()); err != nil {
				t.Fatal(err)
			}
			if text = row.harm(text); text != nil {
				if err := os.WriteFile(c.Believed(), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Renew(nil, now.Add(time.Hour)); !errors.Is(err, ErrNoList) {
				t.Errorf("renewed: %v", err)
			}
			if _, err := c.Device(other, &newKey(t).PublicKey, now); !errors.Is(err, ErrNoList) {
				t.Errorf("issued: %v", err)
			}
			// The way out, as the error has it.
			if err := c.Rotate(now); !errors.Is(err, ErrNoList) {
				t.Errorf("rotated: %v", err)
			}
			if err := c.Retire(now); err != nil {
				t.Fatal(err)
			}
			if err := believed(t, c).Verify([]*x509.Certificate{gone}, now); err == nil {
				t.Error("the revoked one is believed")
			}
			if err := believed(t, c).Verify([]*x509.Certificate{issue(t, c, other, now)}, now); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAListFromTheFutureIsRenewed has the clock wrong for a while.
func TestAListFromTheFutureIsRenewed(t *testing.T) {
	c := newCA(t)
	for _, at := range []time.Time{now.Add(1000 * 24 * time.Hour), now.Add(time.Hour)} {
		if err := c.Renew(nil, at); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.read()
	if err != nil || s.lists[0].ThisUpdate.After(now.Add(time.Hour)) {
		t.Errorf("the list is of %v, %v", s.lists[0].ThisUpdate, err)
	}
}
