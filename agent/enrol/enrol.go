// Package enrol gets a device its TLS certificate from the centre and renews it,
// by Enrollment over Secure Transport (RFC 7030), and installs certificates that
// came by another way.
//
// What it keeps true: a certificate is installed only when it is of the device's own
// TLS key, names the device and nothing else, and an authority that the device
// believes has issued it for clients; a renewed one only after the centre has taken
// it in a handshake. Until then the old one stays. Whom the device believes grows
// only by what such an authority says over a connection that it vouches for, by a
// fingerprint that a person has compared, or by a signed bundle.
//
// A Client is for one goroutine at a time.
package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	"ciglio/uplink/wire"
)

// What a centre says to a device. The errors of a [Client] wrap them.
var (
	ErrCode     = errors.New("the one-time code does not count, or there is none")
	ErrRefused  = errors.New("the centre refuses the request")
	ErrRevoked  = errors.New("the centre has revoked this device's certificate: it must be enrolled anew")
	ErrStranger = errors.New("nothing says whom to believe: give the authority's fingerprint, or bring its certificate by stick")
)

// A WaitError says that the centre will answer later, as when a person has to look
// at the request first.
type WaitError struct{ After time.Duration }

// Error says how long to wait.
func (e *WaitError) Error() string {
	return fmt.Sprintf("the centre has not decided yet: ask again after %v", e.After)
}

// Paths of the centre. The last is our own.
const (
	pathAuthorities = "/.well-known/est/cacerts"
	pathEnrol       = "/.well-known/est/simpleenroll"
	pathRenew       = "/.well-known/est/simplereenroll"
	pathEvidence    = "/ciglio/v1/evidence-key"
)

// Limits of an exchange.
const (
	exchangeTime = 60 * time.Second
	maxAnswer    = 64 << 10 // bytes
	maxWait      = 24 * time.Hour
	public       = 0o644 // mode of the files: certificates are no secret
)

// Options of a Client. All but Dial and Now are needed.
type Options struct {
	URL         string // of the centre's enrolment, https://host:port
	Device      evidence.DeviceID
	Key         crypto.Signer // the TLS key
	Authority   string        // file of whom the device believes; see [mtls.ParseAuthority]
	Certificate string        // file of the device's certificate
	// Dial opens connections; nil for the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Now  func() time.Time // nil for the system's
}

// A Client enrols one device.
type Client struct {
	o    Options
	base *url.URL
}

// New checks the options. It opens nothing.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q: want https://host:port and nothing else", o.URL)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: exchangeTime}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{o, &url.URL{Scheme: "https", Host: u.Host}}, nil
}

// Request returns the PKCS #10 request of a TLS key, DER: the device's id, and
// nothing else.
func Request(key crypto.Signer, device evidence.DeviceID) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: device.String()}, SignatureAlgorithm: x509.ECDSAWithSHA256,
	}, key)
}

// Believe asks the centre for its authorities and installs them if one of them has
// the given SHA-256 of its certificate, DER, which a person has compared: the
// bootstrap of RFC 7030 section 4.1.1. It does nothing where the device already
// believes somebody.
func (c *Client) Believe(ctx context.Context, fingerprint evidence.Hash) error {
	if _, err := os.Stat(c.o.Authority); err == nil {
		return nil
	}
	// Nothing secret goes out over this connection, and nothing that comes in counts
	// but by its fingerprint.
	config := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
	all, err := c.certificates(ctx, config, http.MethodGet, pathAuthorities, nil, "")
	if err != nil {
		return err
	}
	for _, one := range all {
		if sha256.Sum256(one.Raw) == fingerprint {
			return c.installAuthority(encode(one))
		}
	}
	return fmt.Errorf("%s: no authority with the fingerprint %v", c.base, fingerprint)
}

// Enrol gets the device's first certificate for a one-time code and installs it.
func (c *Client) Enrol(ctx context.Context, code string) (*x509.Certificate, error) {
	return c.obtain(ctx, pathEnrol, &tls.Certificate{}, code)
}

// Renew gets another certificate for the one installed and, when the centre takes it
// in a handshake, installs it.
func (c *Client) Renew(ctx context.Context) (*x509.Certificate, error) {
	_, own, err := c.installed()
	if err != nil {
		return nil, err
	}
	return c.obtain(ctx, pathRenew, own, "")
}

// Propose sends a sealed request with the evidence key, for the root to enter. The
// one-time code says who asks.
func (c *Client) Propose(ctx context.Context, request []byte, code string) error {
	config, err := c.config(&tls.Certificate{})
	if err != nil {
		return err
	}
	_, _, err = c.exchange(ctx, config, http.MethodPost, pathEvidence, wire.ContentRequest, request, code)
	return err
}

// Refresh asks the centre for its authorities and installs those that are new
// beside those that the device believes already.
func (c *Client) Refresh(ctx context.Context) error {
	config, err := c.config(&tls.Certificate{})
	if err != nil {
		return err
	}
	all, err := c.certificates(ctx, config, http.MethodGet, pathAuthorities, nil, "")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.o.Authority)
	if err != nil {
		return err
	}
	more := bytes.Clone(text)
	for _, one := range all {
		if one.IsCA && !bytes.Contains(more, encode(one)) {
			more = append(more, encode(one)...)
		}
	}
	if bytes.Equal(more, text) {
		return nil
	}
	return c.installAuthority(more)
}

// obtain asks for a certificate, showing own, tries it and installs it.
func (c *Client) obtain(ctx context.Context, path string, own *tls.Certificate, code string) (*x509.Certificate, error) {
	config, err := c.config(own)
	if err != nil {
		return nil, err
	}
	request, err := Request(c.o.Key, c.o.Device)
	if err != nil {
		return nil, err
	}
	all, err := c.certificates(ctx, config, http.MethodPost, path, request, code)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%s: gave %d certificates, want the one that was asked for", c.base, len(all))
	}
	text := encode(all[0])
	fresh, err := check(text, c.authority, c.o.Device, c.o.Key, c.o.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.base, err)
	}
	// The centre must take it, before the device gives up what works.
	if config, err = c.config(fresh); err != nil {
		return nil, err
	}
	if _, err := c.certificates(ctx, config, http.MethodGet, pathAuthorities, nil, ""); err != nil {
		return nil, fmt.Errorf("the new certificate does not work, the old one stays: %w", err)
	}
	return fresh.Leaf, durable.WriteFile(c.o.Certificate, text, public)
}

// check reads a certificate, PEM, and verifies what this package keeps true of the
// one that is installed.
func check(text []byte, authority func() (*mtls.Authority, error), device evidence.DeviceID, key crypto.Signer, now time.Time) (*tls.Certificate, error) {
	own, err := mtls.Identity(text, key)
	if err != nil {
		return nil, err
	}
	name, err := mtls.Name(own.Leaf)
	if err != nil {
		return nil, err
	}
	if name != device.String() {
		return nil, fmt.Errorf("certificate of %q, not of device %v", name, device)
	}
	a, err := authority()
	if err != nil {
		return nil, err
	}
	chain := make([]*x509.Certificate, len(own.Certificate))
	for i, der := range own.Certificate {
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	if err := counts(a, chain, now); err != nil {
		return nil, err
	}
	return own, nil
}

// An uncountedError is that of a certificate that no end with these authorities
// would take.
type uncountedError struct{ *mtls.Refusal }

func (e uncountedError) Error() string { return e.Of("with it the device") }
func (e uncountedError) Unwrap() error { return e.Refusal }

// counts says whether a certificate counts by what its authorities have issued and
// revoked.
func counts(a *mtls.Authority, chain []*x509.Certificate, now time.Time) error {
	err := a.Verify(chain, now)
	if r, ok := errors.AsType[*mtls.Refusal](err); ok {
		err = uncountedError{r}
	}
	if err != nil {
		return fmt.Errorf("certificate of %q: %w", chain[0].Subject.CommonName, err)
	}
	return nil
}

func (c *Client) authority() (*mtls.Authority, error) {
	text, err := os.ReadFile(c.o.Authority)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrStranger
	}
	if err != nil {
		return nil, err
	}
	return mtls.ParseAuthority(text)
}

func (c *Client) installed() (*mtls.Authority, *tls.Certificate, error) {
	return mtls.Files{Authority: c.o.Authority, Certificate: c.o.Certificate}.Load(func(string) (crypto.Signer, error) { return c.o.Key, nil })
}

// config is that of a connection to a centre that the device believes, to which it
// shows own; the empty certificate is none.
func (c *Client) config(own *tls.Certificate) (*tls.Config, error) {
	a, err := c.authority()
	if err != nil {
		return nil, err
	}
	config := a.Client(own)
	config.Time = c.o.Now
	return config, nil
}

// certificates does an exchange whose answer is certificates.
func (c *Client) certificates(ctx context.Context, config *tls.Config, method, path string, request []byte, code string) ([]*x509.Certificate, error) {
	var body []byte
	if request != nil {
		body = base64.StdEncoding.AppendEncode(nil, request)
	}
	kind, answer, err := c.exchange(ctx, config, method, path, "application/pkcs10", body, code)
	if err != nil {
		return nil, err
	}
	if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/pkcs7-mime" {
		return nil, fmt.Errorf("%s%s: answers with %q, want application/pkcs7-mime", c.base, path, kind)
	}
	der, err := base64.StdEncoding.Strict().DecodeString(strings.TrimRight(string(answer), "\r\n"))
	if err != nil {
		return nil, fmt.Errorf("%s%s: its answer is not base64", c.base, path)
	}
	all, err := parseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", c.base, path, err)
	}
	return all, nil
}

// exchange sends one request over a connection of its own.
func (c *Client) exchange(ctx context.Context, config *tls.Config, method, path, contentType string, body []byte, code string) (kind string, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	config.ServerName, config.NextProtos = c.base.Hostname(), []string{"http/1.1"}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := c.o.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return mtls.Connect(ctx, raw, config)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	q, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	if method == http.MethodPost {
		q.Header.Set("Content-Type", contentType)
		if contentType == "application/pkcs10" {
			q.Header.Set("Content-Transfer-Encoding", "base64")
		}
	}
	if code != "" {
		q.SetBasicAuth(c.o.Device.String(), code)
	}
	r, err := client.Do(q)
	if err != nil {
		return "", nil, refusal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err != nil {
		return "", nil, refusal(err)
	}
	if len(b) > maxAnswer {
		return "", nil, fmt.Errorf("%s%s: an answer of more than %d bytes", c.base, path, maxAnswer)
	}
	switch {
	case r.StatusCode == http.StatusOK:
		return r.Header.Get("Content-Type"), b, nil
	case r.StatusCode == http.StatusAccepted && path == pathEvidence:
		return "", nil, nil // the root decides, and the register says so
	case r.StatusCode == http.StatusAccepted || r.StatusCode == http.StatusServiceUnavailable:
		after, err := retryAfter(r.Header.Get("Retry-After"), c.o.Now())
		if err != nil {
			return "", nil, fmt.Errorf("%s%s: %w", c.base, path, err)
		}
		return "", nil, &WaitError{after}
	case r.StatusCode == http.StatusUnauthorized:
		return "", nil, ErrCode
	}
	return "", nil, fmt.Errorf("%w: %s: %s", ErrRefused, r.Status, words(b))
}

// refusal names what the other end of a handshake did not like.
func refusal(err error) error {
	why := mtls.Explain(err)
	switch {
	case why == nil:
		return err
	case why.Cause == mtls.SaysRevoked:
		return fmt.Errorf("%w (%w)", ErrRevoked, why)
	}
	return why
}

// retryAfter reads the seconds, or the date, after which to ask again.
func retryAfter(text string, now time.Time) (time.Duration, error) {
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	} else {
		return 0, fmt.Errorf("Retry-After %q: want seconds or a date", text)
	}
	return min(max(after, time.Second), maxWait), nil
}

// words are the first line of what a centre says, printable.
func words(b []byte) string {
	line, _, _ := strings.Cut(string(b[:min(len(b), 256)]), "\n")
	return evidence.CleanText(strings.TrimSpace(line))
}

// installAuthority puts whom the device believes in its place.
func (c *Client) installAuthority(text []byte) error {
	if _, err := mtls.ParseAuthority(text); err != nil {
		return fmt.Errorf("%s: %w", c.o.Authority, err)
	}
	return durable.WriteFile(c.o.Authority, text, public)
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Install installs certificates that came in a signed bundle: PEM, the device's own
// first, then the authorities that it is to believe from now on, then their lists of
// what they have revoked. Nothing is written unless all of it is good.
func Install(text []byte, authorityPath, certificatePath string, device evidence.DeviceID, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	own, rest, err := split(text)
	if err != nil {
		return nil, err
	}
	fresh, err := check(own, func() (*mtls.Authority, error) { return mtls.ParseAuthority(rest) }, device, key, now)
	if err != nil {
		return nil, err
	}
	// A device that believes a new authority and shows an old certificate is refused,
	// and can be asked; the other way round it would hear nobody.
	if err := durable.WriteFile(authorityPath, rest, public); err != nil {
		return nil, err
	}
	return fresh.Leaf, durable.WriteFile(certificatePath, own, public)
}

// CheckBundle is the check of certificates that come in a bundle, as far as it needs
// neither the device's key nor its clock: see [Install]. One that the bundle's own
// lists revoke, or that none of its authorities has issued, is refused.
func CheckBundle(text []byte) error {
	own, rest, err := split(text)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(own)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("certificates: the first: %w", err)
	}
	name, err := mtls.Name(leaf)
	if err != nil {
		return fmt.Errorf("certificates: the first: %w", err)
	}
	if _, err := evidence.ParseDeviceID(name); err != nil {
		return fmt.Errorf("certificates: the first is of %q: want one of a device", name)
	}
	a, err := mtls.ParseAuthority(rest)
	if err != nil {
		return err
	}
	err = counts(a, []*x509.Certificate{leaf}, time.Now())
	if r, ok := errors.AsType[*mtls.Refusal](err); ok && (r.Cause == mtls.Expired || r.Cause == mtls.NotYetValid) {
		return nil // a matter of the device's clock
	}
	return err
}

// split parts the device's certificate from what follows.
func split(text []byte) (own, rest []byte, err error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, nil, errors.New("certificates: want the device's own first, PEM")
	}
	if len(bytes.TrimSpace(rest)) == 0 {
		return nil, nil, errors.New("certificates: want the authorities behind the device's own")
	}
	return pem.EncodeToMemory(block), rest, nil
}

// Newer reports whether the device's certificate in a bundle began later than one
// that is in its place, PEM both. What is in its place and no certificate is older.
func Newer(bundle, there []byte) bool {
	begins := func(text []byte) time.Time {
		block, _ := pem.Decode(text)
		if block == nil {
			return time.Time{}
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}
		}
		return c.NotBefore
	}
	return begins(bundle).After(begins(there))
}
