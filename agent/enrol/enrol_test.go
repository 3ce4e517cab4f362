package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
	"ciglio/internal/mtls/mtlstest"
	"ciglio/uplink/wire"
)

var device = evidence.DeviceID{0xc1, 15: 9}

// A centre is a double of the centre's enrolment that holds clients to the letter of
// RFC 7030.
type centre struct {
	*httptest.Server
	t         *testing.T
	authority *mtlstest.Authority

	mu       sync.Mutex
	believes *mtls.Authority
	code     string
	answer   func(w http.ResponseWriter) bool // takes the next request to enrol, if it says so
	change   func(*x509.Certificate)          // of what is issued
	key      crypto.PublicKey                 // issued to, if not the one that asks
	proposed [][]byte
}

func newCentre(t *testing.T) *centre {
	c := &centre{t: t, authority: mtlstest.NewAuthority(t, "authority"), code: "ABCD"}
	var err error
	if c.believes, err = mtls.ParseAuthority(c.authority.PEM()); err != nil {
		t.Fatal(err)
	}
	own := c.authority.Server()
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	c.Server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		s := c.believes.Server(&tls.Certificate{Certificate: [][]byte{own.Certificate.Raw}, PrivateKey: own.Key}, nil)
		s.ClientAuth = tls.VerifyClientCertIfGiven
		if verify := s.VerifyConnection; verify != nil {
			s.VerifyConnection = func(state tls.ConnectionState) error {
				if len(state.PeerCertificates) == 0 {
					return nil
				}
				return verify(state)
			}
		}
		return s, nil
	}}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *centre) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	name, code, basic := r.BasicAuth()
	shown := ""
	if len(r.TLS.VerifiedChains) > 0 {
		shown = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/est/cacerts":
		c.give(w, c.authority.Certificate)
	case "POST /.well-known/est/simpleenroll", "POST /.well-known/est/simplereenroll":
		if c.answer != nil && c.answer(w) {
			return
		}
		again := strings.HasSuffix(r.URL.Path, "simplereenroll")
		if again && shown != device.String() || !again && (!basic || name != device.String() || code != c.code) {
			w.Header().Set("WWW-Authenticate", `Basic realm="est"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Content-Type") != "application/pkcs10" || r.Header.Get("Content-Transfer-Encoding") != "base64" {
			c.t.Errorf("headers %v", r.Header)
		}
		der, err := base64.StdEncoding.DecodeString(string(body))
		if err != nil {
			c.t.Errorf("body %q: %v", body, err)
		}
		asked, err := wire.ParseTLSRequest(der, device)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		change := c.change
		if change == nil {
			change = func(*x509.Certificate) {}
		}
		var to crypto.PublicKey = asked.PublicKey
		if c.key != nil {
			to = c.key
		}
		c.give(w, c.authority.IssueTo(publicHalf{to}, device.String(), x509.ExtKeyUsageClientAuth, change).Certificate)
	case "POST /ciglio/v1/evidence-key":
		if shown == "" && code != c.code {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c.proposed = append(c.proposed, body)
		w.WriteHeader(http.StatusAccepted)
	default:
		http.NotFound(w, r)
	}
}

// publicHalf is a key that is somewhere else.
type publicHalf struct{ public crypto.PublicKey }

func (p publicHalf) Public() crypto.PublicKey { return p.public }
func (publicHalf) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("not here")
}

// give answers with certificates as RFC 7030 section 4.1.3 has it.
func (c *centre) give(w http.ResponseWriter, all ...*x509.Certificate) {
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
	w.Header().Set("Content-Transfer-Encoding", "base64")
	text := base64.StdEncoding.EncodeToString(degenerate(c.t, all...))
	for ; len(text) > 76; text = text[76:] {
		io.WriteString(w, text[:76]+"\r\n")
	}
	io.WriteString(w, text+"\r\n")
}

// degenerate is a certs-only PKCS #7.
func degenerate(t testing.TB, all ...*x509.Certificate) []byte {
	var raw []byte
	for _, c := range all {
		raw = append(raw, c.Raw...)
	}
	set := asn1.RawValue{FullBytes: []byte{0x31, 0}}
	var p certsOnly
	p.Type = signedData
	p.Content.Version, p.Content.Digests, p.Content.Signers = 1, set, set
	p.Content.Encapsulated.Type = data
	p.Content.Certificates = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: raw}
	der, err := asn1.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// newClient is a client of a device that believes the centre.
func newClient(t *testing.T, c *centre) *Client {
	t.Helper()
	dir := t.TempDir()
	o := Options{URL: strings.Replace(c.URL, "127.0.0.1", "localhost", 1), Device: device, Key: mtlstest.NewKey(t), Authority: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "own.crt")}
	if err := os.WriteFile(o.Authority, c.authority.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	client, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestEnrolThenRenew(t *testing.T) {
	c := newCentre(t)
	d := newClient(t, c)
	if _, err := d.Renew(t.Context()); err == nil {
		t.Error("renewed what is not there")
	}
	if _, err := d.Enrol(t.Context(), "WRONG"); !errors.Is(err, ErrCode) {
		t.Errorf("a wrong code: %v", err)
	}
	if _, err := os.Stat(d.o.Certificate); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a certificate after a refusal: %v", err)
	}
	first, err := d.Enrol(t.Context(), "ABCD")
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, own, err := d.installed()
	if err != nil || !own.Leaf.Equal(second) || first.Equal(second) {
		t.Errorf("installed %v, %v", own, err)
	}
	if err := d.Propose(t.Context(), []byte("request"), "ABCD"); err != nil || string(c.proposed[0]) != "request" {
		t.Errorf("proposed %q, %v", c.proposed, err)
	}
	if err := d.Propose(t.Context(), []byte("request"), "NONE"); !errors.Is(err, ErrCode) {
		t.Errorf("proposed with a wrong code: %v", err)
	}
}

// The old certificate stays whatever comes instead of a new one.
func TestRenewalThatFailsLeavesTheOldCertificate(t *testing.T) {
	c := newCentre(t)
	d := newClient(t, c)
	if _, err := d.Enrol(t.Context(), "ABCD"); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(d.o.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	other := mtlstest.NewAuthority(t, "another authority")
	plain := func(status int, header, value, body string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
			return true
		}
	}
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter) bool
		change func(*x509.Certificate)
		key    crypto.PublicKey
		want   string
	}{
		{"a person has to look first", plain(202, "Retry-After", "120", ""), nil, nil, "ask again after 2m0s"},
		{"the same, without a time", plain(202, "", "", ""), nil, nil, "Retry-After"},
		{"too busy", plain(503, "Retry-After", "10", ""), nil, nil, "ask again after 10s"},
		{"refused in words", plain(400, "", "", "wrong subject\nand more"), nil, nil, "wrong subject"},
		{"sent elsewhere", plain(302, "Location", "https://elsewhere/", ""), nil, nil, "302"},
		{"a page", plain(200, "Content-Type", "text/html", "hello"), nil, nil, "text/html"},
		{"not base64", plain(200, "Content-Type", "application/pkcs7-mime", "!"), nil, nil, "not base64"},
		{"not PKCS #7", plain(200, "Content-Type", "application/pkcs7-mime", "AAAA"), nil, nil, "PKCS #7"},
		{"an endless answer", plain(200, "Content-Type", "application/pkcs7-mime", strings.Repeat("A", maxAnswer+1)), nil, nil, "more than"},
		{"more certificates than asked for", func(w http.ResponseWriter) bool {
			c.give(w, c.authority.Certificate, c.authority.Certificate)
			return true
		}, nil, nil, "2 certificates"},
		{"one of another authority", func(w http.ResponseWriter) bool {
			c.give(w, other.IssueTo(d.o.Key, device.String(), x509.ExtKeyUsageClientAuth).Certificate)
			return true
		}, nil, nil, "another authority"},
		{"one for another key", nil, nil, mtlstest.NewKey(t).Public(), "another key"},
		{"one for another device", nil, func(c *x509.Certificate) { c.Subject.CommonName = "x" }, nil, "not of device"},
		{"one for servers", nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil, "another use"},
		{"one that has expired", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "expired"},
	} {
		c.mu.Lock()
		c.answer, c.change, c.key = test.answer, test.change, test.key
		c.mu.Unlock()
		if _, err := d.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want words %q", test.name, err, test.want)
		}
		if now, err := os.ReadFile(d.o.Certificate); err != nil || !bytes.Equal(now, old) {
			t.Errorf("%s: the old certificate is gone, %v", test.name, err)
		}
	}
	c.mu.Lock()
	c.answer, c.change, c.key = nil, nil, nil
	c.mu.Unlock()
	if _, err := d.Renew(t.Context()); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestRevocationIsToldInWords(t *testing.T) {
	c := newCentre(t)
	d := newClient(t, c)
	own, err := d.Enrol(t.Context(), "ABCD")
	if err != nil {
		t.Fatal(err)
	}
	believes, err := mtls.ParseAuthority(append(c.authority.PEM(), c.authority.List(mtlstest.End{Certificate: own})...))
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.believes = believes
	c.mu.Unlock()
	_, err = d.Renew(t.Context())
	var refusal *mtls.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("error %v, want one that says revoked", err)
	}
}

func TestWhomTheDeviceBelieves(t *testing.T) {
	c := newCentre(t)
	d := newClient(t, c)
	other := mtlstest.NewAuthority(t, "another authority")
	if err := os.WriteFile(d.o.Authority, other.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	var refusal *mtls.Refusal
	if _, err := d.Enrol(t.Context(), "ABCD"); !errors.As(err, &refusal) || refusal.Cause != mtls.Foreign {
		t.Errorf("a foreign centre: %v", err)
	}
	if err := os.Remove(d.o.Authority); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Enrol(t.Context(), "ABCD"); !errors.Is(err, ErrStranger) {
		t.Errorf("nobody to believe: %v", err)
	}
	if err := d.Believe(t.Context(), evidence.Hash{1}); err == nil {
		t.Error("believes an authority of another fingerprint")
	}
	if err := d.Believe(t.Context(), sha256.Sum256(c.authority.Certificate.Raw)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Enrol(t.Context(), "ABCD"); err != nil {
		t.Errorf("after the fingerprint: %v", err)
	}
	list := c.authority.List()
	if err := os.WriteFile(d.o.Authority, append(c.authority.PEM(), list...), 0o644); err != nil {
		t.Fatal(err)
	}
	next := mtlstest.NewAuthority(t, "the next authority")
	old := c.authority.Certificate
	c.mu.Lock()
	c.authority.Certificate = next.Certificate
	c.mu.Unlock()
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(d.o.Authority)
	if err != nil || !bytes.Contains(text, encode(old)) || !bytes.Contains(text, next.PEM()) || !bytes.Contains(text, list) {
		t.Errorf("believes %s, %v", text, err)
	}
}

func TestRunRenewsWhenDue(t *testing.T) {
	c := newCentre(t)
	d := newClient(t, c)
	c.change = func(x *x509.Certificate) { x.NotAfter = time.Now().Add(10 * time.Minute) } // of an hour before
	first, err := d.Enrol(t.Context(), "ABCD")
	if err != nil {
		t.Fatal(err)
	}
	due := d.Due(first.NotBefore, first.NotAfter)
	if life := first.NotAfter.Sub(first.NotBefore); due.Before(first.NotBefore.Add(life*2/3-life/20)) || due.After(first.NotBefore.Add(life*2/3)) {
		t.Errorf("due %v of a life from %v to %v", due, first.NotBefore, first.NotAfter)
	}
	c.change = nil
	ctx, cancel := context.WithCancel(t.Context())
	log := &stopper{cancel: cancel}
	d.Run(ctx, slog.New(slog.NewTextHandler(log, nil)))
	_, own, err := d.installed()
	if err != nil || own.Leaf.Equal(first) || !strings.Contains(log.String(), "certificate renewed") {
		t.Errorf("installed %v, %v; log %s", own.Leaf.NotAfter, err, log)
	}
}

// stopper ends a run at its first line.
type stopper struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (s *stopper) Write(b []byte) (int, error) {
	s.cancel()
	return s.Buffer.Write(b)
}

func TestInstall(t *testing.T) {
	a := mtlstest.NewAuthority(t, "authority")
	key, other := mtlstest.NewKey(t), mtlstest.NewAuthority(t, "another authority")
	own := a.IssueTo(key, device.String(), x509.ExtKeyUsageClientAuth)
	good := bytes.Join([][]byte{own.PEM(), a.PEM(), a.List()}, nil)
	dir := t.TempDir()
	for _, test := range []struct {
		name   string
		text   []byte
		bundle bool // the check that knows no key takes it
		good   bool
	}{
		{"none", nil, false, false},
		{"no authority", own.PEM(), false, false},
		{"the authority alone", append(a.PEM(), a.List()...), false, false},
		{"a list of another authority", bytes.Join([][]byte{own.PEM(), a.PEM(), other.List()}, nil), false, false},
		{"of another authority", bytes.Join([][]byte{own.PEM(), other.PEM()}, nil), false, false},
		{"revoked by its own list", bytes.Join([][]byte{own.PEM(), a.PEM(), a.List(own)}, nil), false, false},
		{"revoked by the second of its lists", bytes.Join([][]byte{own.PEM(), a.PEM(), a.List(), a.List(own)}, nil), false, false},
		{"another one is revoked", bytes.Join([][]byte{a.Client(device.String()).PEM(), a.PEM(), a.List(own)}, nil), true, false},
		{"expired", bytes.Join([][]byte{a.IssueTo(key, device.String(), x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}).PEM(), a.PEM()}, nil), true, false},
		{"of another key", bytes.Join([][]byte{a.Client(device.String()).PEM(), a.PEM()}, nil), true, false},
		{"of another device", bytes.Join([][]byte{a.IssueTo(key, evidence.DeviceID{2}.String(), x509.ExtKeyUsageClientAuth).PEM(), a.PEM()}, nil), true, false},
		{"of no device", bytes.Join([][]byte{a.IssueTo(key, "centre", x509.ExtKeyUsageClientAuth).PEM(), a.PEM()}, nil), false, false},
		{"all of it", good, true, true},
	} {
		if err := CheckBundle(test.text); (err == nil) != test.bundle {
			t.Errorf("%s: check: %v", test.name, err)
		}
		_, err := Install(test.text, dir+"/ca.pem", dir+"/own.crt", device, key, time.Now())
		if (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || (len(left) == 2) != test.good {
			t.Errorf("%s: left %v, %v", test.name, left, err)
		}
	}
	if Newer(good, own.PEM()) || !Newer(good, []byte("nothing")) || !Newer(a.IssueTo(key, "x", x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) { c.NotBefore = time.Now() }).PEM(), own.PEM()) {
		t.Error("which is newer is told wrongly")
	}
}

func TestNewTakesHTTPSOnly(t *testing.T) {
	for _, url := range []string{"http://centre", "centre:8443", "https://", "https://u:p@centre", "https://centre/est", "https://centre?x"} {
		if _, err := New(Options{URL: url}); err == nil {
			t.Errorf("%s: was taken", url)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	a := mtlstest.NewAuthority(f, "authority")
	f.Add(degenerate(f, a.Certificate))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		if all, err := parseCertificates(der); err == nil && (len(all) == 0 || len(all) > maxCertificates) {
			t.Errorf("%d certificates", len(all))
		}
	})
}
