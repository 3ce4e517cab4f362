package est_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
	"ciglio/portal/ca"
	"ciglio/portal/est"
	"ciglio/portal/keys"
)

var (
	device = evidence.DeviceID{0xc1, 15: 1}
	other  = evidence.DeviceID{0xc1, 15: 2}
)

func loadKey(path string) (crypto.Signer, error) {
	k, err := keys.Load(path)
	if err != nil {
		return nil, err
	}
	return k.CryptoSigner(), nil
}

// A bench is a server and its authority.
type bench struct {
	ca       *ca.CA
	url      string
	proposed map[evidence.DeviceID][]byte
	evidence *ecdsa.PublicKey
	strange  map[evidence.DeviceID]bool // not in the register
	server   *est.Server
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	authority, err := ca.Create(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Renew([]string{"127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	source, err := mtls.NewSource(mtls.Files{Authority: authority.Believed(), Certificate: filepath.Join(dir, ca.ServerName), Key: filepath.Join(dir, ca.ServerKeyName)}, loadKey, log)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{ca: authority, proposed: make(map[evidence.DeviceID][]byte)}
	server := est.New(est.Options{
		CA: authority, TLS: source.Get, Log: log,
		InForce:       func(d evidence.DeviceID) bool { return !b.strange[d] },
		Waits:         func(d evidence.DeviceID) bool { return b.proposed[d] != nil },
		IsEvidenceKey: func(k *ecdsa.PublicKey) bool { return b.evidence != nil && k.Equal(b.evidence) },
		Propose: func(d evidence.DeviceID, text []byte) error {
			if len(text) == 0 {
				return fmt.Errorf("%w: nothing", ca.ErrRequest)
			}
			b.proposed[d] = text
			return nil
		},
	})
	server.SetDelay(0)
	b.server = server
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "https://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

// client asks as a device does that shows a certificate, or none.
func (b *bench) client(t *testing.T, own *tls.Certificate) *http.Client {
	t.Helper()
	text, err := os.ReadFile(b.ca.Believed())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := mtls.ParseAuthority(text)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS13}
	if own != nil {
		config.Certificates = []tls.Certificate{*own}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request(t testing.TB, d evidence.DeviceID, key crypto.Signer) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: d.String()}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func (b *bench) post(t *testing.T, c *http.Client, path, user, code, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/pkcs10")
	if user != "" {
		r.SetBasicAuth(user, code)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text
}

// certificates reads an answer with openssl.
func certificates(t *testing.T, body []byte) (all []*x509.Certificate) {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "openssl", "pkcs7", "-inform", "DER", "-print_certs")
	c.Stdin = bytes.NewReader(der)
	text, err := c.Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// TestADeviceIsEnrolledAndRenewed is the life of a device's certificates.
func TestADeviceIsEnrolledAndRenewed(t *testing.T) {
	b := newBench(t)
	anyone := b.client(t, nil)
	answer, err := anyone.Get(b.url + est.Root + "cacerts")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if media := answer.Header.Get("Content-Type"); err != nil || answer.StatusCode != 200 || !strings.HasPrefix(media, "application/pkcs7-mime") {
		t.Fatalf("%d %s %v", answer.StatusCode, media, err)
	}
	authorities, err := b.ca.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	if got := certificates(t, body); len(got) != 1 || !got[0].Equal(authorities[0]) {
		t.Errorf("cacerts are %v", got)
	}
	code, err := b.ca.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	status, body := b.post(t, anyone, est.Root+"simpleenroll", device.String(), code, request(t, device, key))
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	first := certificates(t, body)
	if len(first) != 1 || !key.PublicKey.Equal(first[0].PublicKey) {
		t.Fatalf("enrolled with %v", first)
	}
	own := &tls.Certificate{Certificate: [][]byte{first[0].Raw}, PrivateKey: key}
	next := newKey(t)
	status, body = b.post(t, b.client(t, own), est.Root+"simplereenroll", "", "", request(t, device, next))
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if second := certificates(t, body); len(second) != 1 || !next.PublicKey.Equal(second[0].PublicKey) || second[0].SerialNumber.Cmp(first[0].SerialNumber) == 0 {
		t.Errorf("renewed with %v", second)
	}
	if status, body := b.post(t, b.client(t, own), est.EvidenceKey, "", "", "proof"); status != http.StatusAccepted || string(b.proposed[device]) != "proof" {
		t.Errorf("evidence key: %d %s", status, body)
	}
	if _, err := b.ca.Revoke(device, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client(t, own).Post(b.url+est.Root+"simplereenroll", "", strings.NewReader(request(t, device, next))); err == nil {
		t.Error("a revoked certificate is renewed")
	}
}

// issued is the first certificate of a device, for a code.
func (b *bench) issued(t *testing.T, d evidence.DeviceID, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	code, err := b.ca.NewCode(d, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := b.ca.Enrol(d, code, &key.PublicKey, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestRevokedOnAnOpenConnection asks on a connection whose handshake was before.
func TestRevokedOnAnOpenConnection(t *testing.T) {
	b := newBench(t)
	key := newKey(t)
	certificate := b.issued(t, device, key)
	c := b.client(t, &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key})
	reused := false
	ask := func(path, body string) int {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		}), http.MethodPost, b.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	if got := ask(est.Root+"simplereenroll", request(t, device, key)); got != 200 {
		t.Fatalf("in force: %d", got)
	}
	if _, err := b.ca.Revoke(device, time.Now()); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{est.Root + "simplereenroll": request(t, device, key), est.EvidenceKey: "proof"} {
		if got := ask(path, body); got != http.StatusUnauthorized || !reused {
			t.Errorf("revoked: %s: %d, on the same connection %v", path, got, reused)
		}
	}
	if all, err := b.ca.Issued(device, time.Now()); err != nil || len(all) != 2 || len(b.proposed) != 0 {
		t.Errorf("%d certificates, %d keys proposed, %v", len(all), len(b.proposed), err)
	}
}

// from has a client dial from another address of this machine.
func from(c *http.Client, last byte) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}, Timeout: 5 * time.Second}
	c.Transport.(*http.Transport).DialContext = dialer.DialContext
}

// TestOneAddressHasItsShare has strangers open connections from several addresses,
// whose handshake is through, and say nothing, and a device enrol meanwhile from its
// own address, and from one of theirs.
func TestOneAddressHasItsShare(t *testing.T) {
	b := newBench(t)
	config := b.client(t, nil).Transport.(*http.Transport).TLSClientConfig
	ended := make(chan bool, 1000)
	for i := range 5 * 80 {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(10+i%5))}, Timeout: 5 * time.Second}
		c, err := tls.DialWithDialer(dialer, "tcp", strings.TrimPrefix(b.url, "https://"), config)
		if err != nil {
			ended <- true // for another of the strangers
			continue
		}
		defer c.Close()
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err != nil
		}()
	}
	for range 5*80 - 256 {
		if !<-ended {
			t.Error("a silent connection is answered")
		}
	}
	for _, address := range []byte{2, 10} {
		anyone := b.client(t, nil)
		from(anyone, address)
		code, err := b.ca.NewCode(device, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if status, body := b.post(t, anyone, est.Root+"simpleenroll", device.String(), code, request(t, device, newKey(t))); status != 200 {
			t.Errorf("from address %d: %d %s", address, status, body)
		}
	}
}

// TestSlowStrangersHoldNothing has more strangers than requests are worked on send
// their bodies byte by byte, and not to the end.
func TestSlowStrangersHoldNothing(t *testing.T) {
	b := newBench(t)
	anyone := b.client(t, nil)
	config := anyone.Transport.(*http.Transport).TLSClientConfig
	for range 40 {
		c, err := tls.Dial("tcp", strings.TrimPrefix(b.url, "https://"), config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "POST %ssimpleenroll HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: 8000\r\n\r\nAAAA", est.Root,
			base64.StdEncoding.EncodeToString([]byte(device.String()+":x"))); err != nil {
			t.Fatal(err)
		}
	}
	code, err := b.ca.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if status, body := b.post(t, anyone, est.Root+"simpleenroll", device.String(), code, request(t, device, newKey(t))); status != 200 {
		t.Errorf("among the slow ones: %d %s", status, body)
	}
}

// TestAStrangerUsesUpNoCode guesses a device's code from many addresses at once.
func TestAStrangerUsesUpNoCode(t *testing.T) {
	b := newBench(t)
	code, err := b.ca.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, device, newKey(t))
	var guesses sync.WaitGroup
	for i := range byte(4) {
		stranger := b.client(t, nil)
		from(stranger, 20+i)
		guesses.Go(func() {
			for j := range 15 {
				if status, _ := b.post(t, stranger, est.Root+"simpleenroll", device.String(), fmt.Sprintf("%04d-%04d-0000", i, j), good); status != 401 {
					t.Errorf("a guess: %d", status)
				}
			}
		})
	}
	guesses.Wait()
	if status, body := b.post(t, b.client(t, nil), est.Root+"simpleenroll", device.String(), code, good); status != 200 {
		t.Errorf("the code after sixty guesses: %d %s", status, body)
	}
}

// TestAWrongCodeIsAnsweredLater measures nothing: the answer does not come before the
// client gives up, and a right code is answered meanwhile.
func TestAWrongCodeIsAnsweredLater(t *testing.T) {
	b := newBench(t)
	b.server.SetDelay(time.Hour)
	code, err := b.ca.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, device, newKey(t))
	ctx, cancel := context.WithCancel(t.Context())
	var guesses sync.WaitGroup
	for range 20 { // more than are worked on
		guesses.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "POST", b.url+est.Root+"simpleenroll", strings.NewReader(good))
			if err != nil {
				t.Error(err)
				return
			}
			r.SetBasicAuth(device.String(), "2222-2222-2222")
			c := *b.client(t, nil)
			c.Timeout = 0
			answer, err := c.Do(r)
			if err == nil {
				answer.Body.Close()
				t.Errorf("answered at once: %s", answer.Status)
			}
		})
	}
	if status, body := b.post(t, b.client(t, nil), est.Root+"simpleenroll", device.String(), code, good); status != 200 {
		t.Errorf("the right code meanwhile: %d %s", status, body)
	}
	cancel()
	guesses.Wait()
}

// TestWhoIsNotInTheRegisterGetsNoCertificate asks as one who is not in it yet, one who
// has brought his key, and one who is in it no longer.
func TestWhoIsNotInTheRegisterGetsNoCertificate(t *testing.T) {
	b := newBench(t)
	b.strange = map[evidence.DeviceID]bool{device: true}
	code, err := b.ca.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	good, anyone := request(t, device, key), b.client(t, nil)
	if status, body := b.post(t, anyone, est.Root+"simpleenroll", device.String(), code, good); status != http.StatusForbidden || !bytes.Contains(body, []byte("register")) {
		t.Errorf("not in the register: %d %s", status, body)
	}
	if all, err := b.ca.Issued(device, time.Now()); err != nil || len(all) != 0 {
		t.Errorf("%d certificates, %v", len(all), err)
	}
	if status, _ := b.post(t, anyone, est.EvidenceKey, device.String(), code, "proof"); status != http.StatusAccepted {
		t.Errorf("evidence key: %d", status)
	}
	status, body := b.post(t, anyone, est.Root+"simpleenroll", device.String(), code, good)
	if status != 200 {
		t.Fatalf("once its evidence key waits for the root: %d %s", status, body)
	}
	own := &tls.Certificate{Certificate: [][]byte{certificates(t, body)[0].Raw}, PrivateKey: key}
	if status, body := b.post(t, b.client(t, own), est.Root+"simplereenroll", "", "", good); status != http.StatusForbidden {
		t.Errorf("renewal before the root has entered it: %d %s", status, body)
	}
	delete(b.strange, device)
	if status, body := b.post(t, b.client(t, own), est.Root+"simplereenroll", "", "", good); status != 200 {
		t.Errorf("renewal by one of the register: %d %s", status, body)
	}
	b.strange[device] = true
	delete(b.proposed, device)
	for name, c := range map[string]*http.Client{"by its certificate": b.client(t, own), "by its code": anyone} {
		path, user, secret := est.Root+"simplereenroll", "", ""
		if c == anyone {
			path, user, secret = est.Root+"simpleenroll", device.String(), code
		}
		if status, body := b.post(t, c, path, user, secret, good); status != http.StatusForbidden {
			t.Errorf("in the register no longer, %s: %d %s", name, status, body)
		}
	}
}

func TestEnrolmentIsRefused(t *testing.T) {
	b := newBench(t)
	seal := newKey(t)
	b.evidence = &seal.PublicKey
	anyone, id := b.client(t, nil), device.String()
	code, err := b.ca.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, device, newKey(t))
	certificate := b.issued(t, other, seal)
	others := b.client(t, &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: seal})
	const enrol, renew = est.Root + "simpleenroll", est.Root + "simplereenroll"
	var denied []byte
	for _, row := range []struct {
		name             string
		client           *http.Client
		path, user, code string
		body             string
		want             int
	}{
		{"no login", anyone, enrol, "", "", good, 401},
		{"no device", anyone, enrol, "root", code, good, 401},
		{"another device's name", anyone, enrol, other.String(), code, good, 401},
		{"another code", anyone, enrol, id, "AAAA-AAAA-AAAA", good, 401},
		{"another code with a bad request, which nobody is told", anyone, enrol, id, "AAAA-AAAA-AAAA", "?", 401},
		{"renewal without certificate", anyone, renew, id, code, good, 401},
		{"renewal by another device", others, renew, "", "", good, 400},
		{"a request of another device", anyone, enrol, id, code, request(t, other, newKey(t)), 400},
		{"the evidence key", anyone, enrol, id, code, request(t, device, seal), 400},
		{"an empty body", anyone, enrol, id, code, "", 400},
		{"no base64", anyone, enrol, id, code, "-----BEGIN", 400},
		{"base64 of nothing known", anyone, enrol, id, code, "AAAA", 400},
		{"a body of 9 KiB", anyone, enrol, id, code, strings.Repeat("A", 9<<10), 400},
		{"an empty evidence key", anyone, est.EvidenceKey, id, code, "", 400},
		{"an evidence key without login", anyone, est.EvidenceKey, "", "", "x", 401},
		{"keys made by the server", anyone, est.Root + "serverkeygen", id, code, good, 404},
		{"a page", anyone, "/", id, code, "", 404},
	} {
		status, body := b.post(t, row.client, row.path, row.user, row.code, row.body)
		if status != row.want {
			t.Errorf("%s: %d %s, want %d", row.name, status, body, row.want)
		}
		if row.want == 401 {
			if denied != nil && !bytes.Equal(denied, body) {
				t.Errorf("%s: answers differ: %s", row.name, body)
			}
			denied = body
		}
	}
	if status, body := b.post(t, anyone, enrol, id, code, good); status != 200 {
		t.Errorf("the good one after all that: %d %s", status, body)
	}
	if status, _ := b.post(t, anyone, enrol, id, code, request(t, device, newKey(t))); status != 401 {
		t.Errorf("the code for a second key: %d", status)
	}
	if status, body := b.post(t, anyone, enrol, id, code, good); status != 200 {
		t.Errorf("the same key, as the answer was lost: %d %s", status, body)
	}
}

// TestOldTLSIsRefused shows that nobody is served by less than TLS 1.3.
func TestOldTLSIsRefused(t *testing.T) {
	b := newBench(t)
	c := b.client(t, nil)
	config := c.Transport.(*http.Transport).TLSClientConfig
	config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := c.Get(b.url + est.Root + "cacerts"); err == nil {
		t.Error("served by TLS 1.2")
	}
	plain, err := net.Dial("tcp", strings.TrimPrefix(b.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	plain.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(plain, "GET %scacerts HTTP/1.1\r\nHost: x\r\n\r\n", est.Root)
	if answer, err := io.ReadAll(plain); err == nil && bytes.Contains(answer, []byte("HTTP/1.1 200")) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("plain HTTP: %q, %v", answer, err)
	}
}
