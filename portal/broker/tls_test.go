package broker_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
	"ciglio/internal/mtls/mtlstest"
	"ciglio/portal/broker"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// A journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// take returns what was written since it was last called, and waits for words.
func (j *journal) take(t *testing.T, words string) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		j.mu.Lock()
		text := j.text.String()
		if strings.Contains(text, words) {
			j.text.Reset()
			j.mu.Unlock()
			return text
		}
		j.mu.Unlock()
		if time.Now().After(end) {
			t.Errorf("the log has no %q:\n%s", words, text)
			return text
		}
	}
}

// An encrypted broker, what it believes and shows, and what it logs.
type encrypted struct {
	*broker.Broker
	files   mtls.Files
	journal *journal
}

func (e encrypted) url() string { return "tls://" + e.Addr().String() }

// runTLS serves a broker of TLS. With a new one for each test nothing is tallied.
func runTLS(t *testing.T, server mtlstest.End, known func(evidence.DeviceID) bool, authority ...[]byte) encrypted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := encrypted{files: server.Write(t, authority...), journal: new(journal)}
	log := slog.New(slog.NewTextHandler(e.journal, nil))
	source, err := mtls.NewSource(e.files, mtlstest.LoadKey, log)
	if err != nil {
		t.Fatal(err)
	}
	if e.Broker, err = broker.New(broker.Options{Listener: l, Shard: portaltest.Shard, Known: known, TLS: source.Get, Log: log}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// as is a device's way to a broker: what it believes and shows.
func as(t *testing.T, url string, own mtlstest.End, authority ...[]byte) mqtt.Options {
	t.Helper()
	files := own.Write(t, authority...)
	return mqtt.Options{Broker: url, TLS: func() (*tls.Config, error) {
		a, own, err := files.Load(mtlstest.LoadKey)
		if err != nil {
			return nil, err
		}
		return a.Client(own), nil
	}}
}

func days(from, to int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, from), time.Now().AddDate(0, 0, to)
	}
}

func uses(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

// TestBadCertificatesAreRefusedAtBothEnds shows to the dialer and to the broker
// what they must not take, and wants the cause in the device's error and in the
// centre's journal.
func TestBadCertificatesAreRefusedAtBothEnds(t *testing.T) {
	d, stranger := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "stranger")
	ours, next, theirs := mtlstest.NewAuthority(t, "ours"), mtlstest.NewAuthority(t, "next"), mtlstest.NewAuthority(t, "theirs")
	namesake := mtlstest.NewAuthority(t, "ours")
	known := func(id evidence.DeviceID) bool { return id == d.ID }
	id := d.ID.String()
	good, server := ours.Client(id), ours.Server()
	revoked, revokedServer := ours.Client(id), ours.Server()
	otherKey := mtlstest.End{Key: mtlstest.NewKey(t), Certificate: good.Certificate}
	between := func(change func(*x509.Certificate)) mtlstest.End { // an authority below ours
		return ours.Client("between", func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
			change(c)
		})
	}
	long := good
	for _, row := range []struct {
		name    string
		device  mtlstest.End
		server  mtlstest.End
		devices []byte // whom the broker believes; nil for ours
		servers []byte // whom the device believes; nil for ours
		says    string // by the device; empty where it is let in
		journal string // by the centre
	}{
		{name: "all is good", device: good, server: server},
		{name: "the device's has expired", device: ours.Client(id, days(-20, -10)), server: server,
			says: "refuses our certificate: it is expired or not valid yet", journal: "that has expired"},
		{name: "it expired a second ago", device: ours.Client(id, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), server: server,
			says: "refuses our certificate: it is expired", journal: "that has expired"},
		{name: "it is not valid yet", device: ours.Client(id, days(10, 20)), server: server,
			says: "refuses our certificate: it is expired or not valid yet", journal: "that is not valid yet"},
		{name: "it ends before it begins", device: ours.Client(id, days(10, -10)), server: server,
			says: "refuses our certificate", journal: "shows a certificate"},
		{name: "it is of another authority", device: theirs.Client(id), server: server,
			says: "of an authority that it does not know", journal: "of another authority"},
		{name: "of another authority of the same name", device: namesake.Client(id), server: server,
			says: "refuses our certificate", journal: "of another authority"},
		{name: "it signed itself", device: selfSigned(t, id), server: server,
			says: "of an authority that it does not know", journal: "of another authority"},
		{name: "it is revoked", device: revoked, server: server, devices: append(ours.PEM(), ours.List(revoked)...),
			says: "it is revoked, or not one that it takes", journal: "device=" + id},
		{name: "revoked by the older of two lists", device: revoked, server: server, devices: bytes.Join([][]byte{ours.PEM(), ours.List(revoked), ours.List()}, nil),
			says: "it is revoked", journal: "that is revoked"},
		{name: "the number is revoked by another authority", device: good, server: server,
			devices: bytes.Join([][]byte{ours.PEM(), theirs.PEM(), theirs.List(good)}, nil)},
		{name: "it is a server's", device: ours.Client(id, uses(x509.ExtKeyUsageServerAuth)), server: server,
			says: "refuses our certificate", journal: "for another use"},
		{name: "it is for signing code", device: ours.Client(id, uses(x509.ExtKeyUsageCodeSigning)), server: server,
			says: "refuses our certificate", journal: "for another use"},
		{name: "it names a device that the register has not", device: ours.Client(stranger.ID.String()), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "it names no device", device: ours.Client("door"), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "its name is in capitals", device: ours.Client(strings.ToUpper(id)), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "its name ends in a blank", device: ours.Client(id + " "), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "it has a NUL in its name", device: ours.Client(id + "\x00"), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "it names nobody", device: ours.Client(""), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "its id is a further name only", device: ours.Client("door", func(c *x509.Certificate) { c.DNSNames = []string{id} }), server: server,
			says: "not one that it takes", journal: "of another name"},
		{name: "two common names, the device's first", device: ours.Client("", func(c *x509.Certificate) {
			c.RawSubject = names(t, id, "door")
		}), server: server, says: "not one that it takes", journal: "of another name"},
		{name: "two common names, the device's last", device: ours.Client("", func(c *x509.Certificate) {
			c.RawSubject = names(t, "door", id)
		}), server: server, says: "not one that it takes", journal: "of another name"},
		{name: "a critical extension that nobody knows", device: ours.Client(id, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), server: server, says: "refuses our certificate", journal: "cannot be verified"},
		{name: "another key is held than the certificate's", device: otherKey, server: server, says: "of another key than the one here"},
		{name: "it is of 20 KiB", device: ours.Client(id, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: bytes.Repeat([]byte{1}, 20<<10)}}
		}), server: server, says: "", journal: "more bytes for its handshake"},
		{name: "by an authority that may not issue", device: below(t, between(func(c *x509.Certificate) { c.IsCA = false }), id), server: server,
			says: "refuses our certificate", journal: "shows a certificate"},
		{name: "the authority is changed and the broker believes both", device: next.Client(id), server: server, devices: append(ours.PEM(), next.PEM()...)},
		{name: "the authority is changed and the broker does not know", device: next.Client(id), server: server,
			says: "of an authority that it does not know", journal: "of another authority"},

		{name: "the server's has expired", device: good, server: ours.Server(days(-20, -10)), says: "that has expired (ended "},
		{name: "the server's is not valid yet", device: good, server: ours.Server(days(10, 20)), says: "this machine's clock must be right"},
		{name: "the server is another authority's", device: good, server: theirs.Server(), says: "of another authority"},
		{name: "the server is of another authority of that name", device: good, server: namesake.Server(), says: "of another authority"},
		{name: "the server is a device", device: good, server: ours.Client(id, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} }), says: "another"},
		{name: "the server's is revoked", device: good, server: revokedServer, servers: append(ours.PEM(), ours.List(revokedServer)...), says: "that is revoked (on "},
		{name: "the server is of another name", device: good, server: ours.Server(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere"}, nil }), says: "of another name"},
		{name: "the server is of another address", device: good, server: ours.Server(func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 2}} }), says: "of another name"},
		{name: "the server has its name as common name only", device: good, server: ours.Server(func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = "127.0.0.1", nil, nil
		}), says: "of another name"},
		{name: "the server signed itself", device: good, server: selfSigned(t, "localhost"), says: "of another authority"},
		{name: "the server's authority has followed ours", device: good, server: next.Server(), says: "of another authority"},
		{name: "and the device believes both", device: good, server: next.Server(), servers: append(ours.PEM(), next.PEM()...)},
		{name: "the server's of 20 KiB", device: good, server: ours.Server(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: bytes.Repeat([]byte{1}, 20<<10)}}
		}), says: "more bytes for its handshake"},
		{name: "all is still good", device: long, server: server},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.devices == nil {
				row.devices = ours.PEM()
			}
			if row.servers == nil {
				row.servers = ours.PEM()
			}
			b := runTLS(t, row.server, known, row.devices)
			_, err := dial(t, as(t, b.url(), row.device, row.servers), uplink.SessionOptions{ClientID: id})
			switch {
			case row.says == "" && row.journal == "" && err != nil:
				t.Fatal(err)
			case (row.says != "" || row.journal != "") && (err == nil || !strings.Contains(err.Error(), row.says)):
				t.Errorf("the device says %v, want %q", err, row.says)
			}
			if row.journal != "" {
				b.journal.take(t, row.journal)
			}
		})
	}
}

// selfSigned is a certificate of nobody.
func selfSigned(t *testing.T, name string) mtlstest.End {
	t.Helper()
	key := mtlstest.NewKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return mtlstest.End{Key: key, Certificate: c}
}

// below is a certificate that another certificate's holder has issued.
func below(t *testing.T, by mtlstest.End, name string) mtlstest.End {
	t.Helper()
	a := mtlstest.NewAuthority(t, "unused")
	a.Certificate, a.Key = by.Certificate, by.Key.(*ecdsa.PrivateKey)
	return a.Client(name)
}

// names is a subject of several common names.
func names(t *testing.T, all ...string) []byte {
	t.Helper()
	name := pkix.Name{}
	for _, n := range all {
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: []int{2, 5, 4, 3}, Value: n})
	}
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestBadHandshakesAreRefused knocks with bytes that are no good handshake, and
// wants the cause in the journal, a bounded answer and a device beside it that is
// served.
func TestBadHandshakesAreRefused(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	ours := mtlstest.NewAuthority(t, "ours")
	id := d.ID.String()
	good := ours.Client(id)
	hello := clientHello(t, &tls.Config{ServerName: "localhost"})
	config := func(change func(*tls.Config)) func(net.Conn) error {
		return func(c net.Conn) error {
			o := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{good.Certificate.Raw}, PrivateKey: good.Key}}}
			change(o)
			if len(o.Certificates) > 0 { // whatever the broker asks for
				o.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &o.Certificates[0], nil }
			}
			s := tls.Client(c, o)
			if err := s.Handshake(); err != nil {
				return err
			}
			_, err := s.Read(make([]byte, 1))
			return err
		}
	}
	send := func(parts ...[]byte) func(net.Conn) error {
		return func(c net.Conn) error {
			for _, p := range parts {
				if _, err := c.Write(p); err != nil {
					return err
				}
			}
			if half, ok := c.(*net.TCPConn); ok {
				half.CloseWrite()
			}
			_, err := io.Copy(io.Discard, c)
			return err
		}
	}
	chain := make([][]byte, 0, 64)
	for range cap(chain) {
		chain = append(chain, good.Certificate.Raw)
	}
	for _, row := range []struct {
		name    string
		knock   func(net.Conn) error
		journal string
	}{
		{"plain MQTT", send([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 30, 0, 0}), "speaks no TLS"},
		{"HTTP", send([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), "speaks no TLS"},
		{"SSH", send([]byte("SSH-2.0-OpenSSH_9.2\r\n")), "speaks no TLS"},
		{"zeros", send(make([]byte, 4096)), "speaks no TLS"},
		{"SSL 2", send([]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}), "speaks no TLS"},
		{"TLS 1.2", config(func(o *tls.Config) { o.MaxVersion = tls.VersionTLS12 }), "speaks no TLS 1.3"},
		{"TLS 1.2 with renegotiation", config(func(o *tls.Config) { o.MaxVersion, o.Renegotiation = tls.VersionTLS12, tls.RenegotiateFreelyAsClient }), "speaks no TLS 1.3"},
		{"TLS 1.0", config(func(o *tls.Config) { o.MinVersion, o.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }), "speaks no TLS 1.3"},
		{"no certificate", config(func(o *tls.Config) { o.Certificates = nil }), "shows no certificate"},
		{"a certificate whose key it does not hold", config(func(o *tls.Config) {
			o.Certificates[0].PrivateKey = liar{good.Key.Public(), mtlstest.NewKey(t)}
		}), "does not hold the key"},
		{"bytes for a certificate", config(func(o *tls.Config) { o.Certificates[0].Certificate = [][]byte{{1, 2, 3}} }), "malformed certificate"},
		{"an empty certificate", config(func(o *tls.Config) { o.Certificates[0].Certificate = [][]byte{{}} }), "malformed certificate"},
		{"a truncated certificate", config(func(o *tls.Config) { o.Certificates[0].Certificate = [][]byte{good.Certificate.Raw[:100]} }), "malformed certificate"},
		{"bytes behind the certificate", config(func(o *tls.Config) {
			o.Certificates[0].Certificate = [][]byte{append(bytes.Clone(good.Certificate.Raw), 0)}
		}), "malformed certificate"},
		{"garbage behind it in the chain", config(func(o *tls.Config) { o.Certificates[0].Certificate = [][]byte{good.Certificate.Raw, {9}} }), "malformed certificate"},
		{"a chain of 64", config(func(o *tls.Config) { o.Certificates[0].Certificate = chain }), "more bytes for its handshake"},
		{"an RSA key of 16,384 bits", config(func(o *tls.Config) {
			o.Certificates[0] = tls.Certificate{Certificate: [][]byte{hugeRSA(t, ours)}, PrivateKey: good.Key}
		}), "malformed certificate"},
		{"a protocol that is not MQTT, by ALPN", config(func(o *tls.Config) { o.NextProtos = []string{"h2"}; o.Certificates = nil }), "shows no certificate"},
		{"a hello cut short", send(hello[:60]), "ends the connection in the handshake"},
		{"a hello without its last byte", send(hello[:len(hello)-1]), "ends the connection in the handshake"},
		{"nothing behind the hello", send(hello), "ends the connection in the handshake"},
		{"the hello twice", send(hello, hello), "speaks no TLS"},
		{"garbage behind the hello", send(hello, bytes.Repeat([]byte{0x17, 3, 3, 0, 4, 1, 2, 3, 4}, 4)), "breaks the protocol"},
		{"a record larger than any", send([]byte{0x16, 3, 1, 0xff, 0xff}, make([]byte, 1000)), "speaks no TLS"},
		{"a message of 16 MB announced", send([]byte{0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff}), "breaks the protocol"},
		{"records without anything in them", send(bytes.Repeat([]byte{0x16, 3, 1, 0, 0}, 200)), "breaks the protocol"},
		{"an alert", send([]byte{0x15, 3, 1, 0, 2, 2, 40}), "refuses the handshake"},
		{"a hello in fragments of a byte, cut short", send(fragments(hello[5:], 200)...), "ends the connection in the handshake"},
		{"application data at once", send([]byte{0x17, 3, 3, 0, 1, 0}), "speaks no TLS"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := runTLS(t, ours.Server(), everyone, ours.PEM())
			c, err := net.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if err := row.knock(c); err == nil && strings.HasPrefix(row.name, "TLS") {
				t.Error("was taken")
			}
			if text := b.journal.take(t, "client refused"); !strings.Contains(text, row.journal) {
				t.Errorf("the journal says %s, want %q", text, row.journal)
			}
			if _, err := dial(t, as(t, b.url(), good, ours.PEM()), uplink.SessionOptions{ClientID: id}); err != nil {
				t.Errorf("a good device after it: %v", err)
			}
		})
	}
}

// liar signs with another key than the one that it says.
type liar struct {
	public crypto.PublicKey
	crypto.Signer
}

func (l liar) Public() crypto.PublicKey { return l.public }

func hugeRSA(t *testing.T, by *mtlstest.Authority) []byte {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 16383)
	n.SetBit(n, 0, 1)
	template := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "huge"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, &rsa.PublicKey{N: n, E: 65537}, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func fragments(b []byte, most int) (all [][]byte) {
	for _, x := range b[:most] {
		all = append(all, []byte{0x16, 3, 1, 0, 1, x})
	}
	return all
}

// clientHello is the first message of a good client.
func clientHello(t *testing.T, o *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	go tls.Client(near, o).Handshake()
	defer near.Close()
	b := make([]byte, 1<<14)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestClientHelloFloodIsBounded has a thousand strangers say hello and no more:
// memory stays bounded, and a device is let in meanwhile.
func TestClientHelloFloodIsBounded(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	ours := mtlstest.NewAuthority(t, "ours")
	b := runTLS(t, ours.Server(), everyone, ours.PEM())
	hello := clientHello(t, &tls.Config{ServerName: "localhost"})
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 1000 {
		c, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
	}
	// On a slow machine the device's hello may be the oldest when the next stranger comes, and
	// is ended for it. A device tries again, and so does this one while strangers wait.
	tries := 1
	for {
		_, err := dial(t, as(t, b.url(), ours.Client(d.ID.String()), ours.PEM()), uplink.SessionOptions{ClientID: d.ID.String()})
		if err == nil {
			break
		}
		if tries++; tries > 20 {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&during)
	grown := int64(during.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("a device was let in at try %d; the heap grew by %d KiB", tries, grown>>10)
	if grown > 64<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// TestAnIDMustBeTheCertificates has a device say that it is another, and speak on
// another's topic.
func TestAnIDMustBeTheCertificates(t *testing.T) {
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	ours := mtlstest.NewAuthority(t, "ours")
	b := runTLS(t, ours.Server(), everyone, ours.PEM())
	options := as(t, b.url(), ours.Client(d.ID.String()), ours.PEM())
	if _, err := dial(t, options, uplink.SessionOptions{ClientID: other.ID.String()}); err == nil {
		t.Error("a device may connect as another")
	}
	if text := b.journal.take(t, "its id is not that of its certificate"); !strings.Contains(text, d.ID.String()) {
		t.Errorf("the journal does not say who did so: %s", text)
	}
	s, err := dial(t, options, uplink.SessionOptions{ClientID: d.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	s.Publish(uplink.Message{Topic: wire.Topic(portaltest.Shard, other.ID, wire.WhatRecord), Payload: []byte("x")})
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Error("who speaks on another's topic stays connected")
	}
	if text := b.journal.take(t, "topic refused"); !strings.Contains(text, d.ID.String()) {
		t.Errorf("the journal does not say who did so: %s", text)
	}
}

// TestCertificatesChangeWhileSessionsLast changes what both ends have, and wants
// sessions to end that count no more, and no others.
func TestCertificatesChangeWhileSessionsLast(t *testing.T) {
	one, two := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "two")
	ours, next := mtlstest.NewAuthority(t, "ours"), mtlstest.NewAuthority(t, "next")
	b := runTLS(t, ours.Server(), everyone, ours.PEM())
	lost, kept := ours.Client(one.ID.String()), ours.Client(two.ID.String())
	both := append(ours.PEM(), next.PEM()...)
	first, err := dial(t, as(t, b.url(), lost, both), uplink.SessionOptions{ClientID: one.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	second, err := dial(t, as(t, b.url(), kept, both), uplink.SessionOptions{ClientID: two.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	next.Server().Rewrite(t, b.files, ours.PEM(), ours.List(lost), next.PEM())
	broker.Recheck(b.Broker, time.Now())
	select {
	case <-first.Done():
	case <-time.After(10 * time.Second):
		t.Error("the session of a revoked certificate lasts")
	}
	b.journal.take(t, "it shows a certificate that is revoked")
	select {
	case <-second.Done():
		t.Errorf("the session of a good certificate has ended: %v", second.Err())
	default:
	}
	if _, err := dial(t, as(t, b.url(), next.Client(one.ID.String()), both), uplink.SessionOptions{ClientID: one.ID.String()}); err != nil {
		t.Error("with a new certificate:", err)
	}
	// What cannot be read changes nothing.
	if err := os.WriteFile(b.files.Certificate, []byte("-----BEGIN CERTIFICATE-----\nhalf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, as(t, b.url(), next.Client(one.ID.String()), both), uplink.SessionOptions{ClientID: one.ID.String()}); err != nil {
		t.Error("after a bad file:", err)
	}
	b.journal.take(t, "certificates refused, those before stay in use")
	// At the end of its certificate a session ends.
	broker.Recheck(b.Broker, time.Now().Add(2*time.Hour))
	select {
	case <-second.Done():
	case <-time.After(10 * time.Second):
		t.Error("the session of an expired certificate lasts")
	}
	b.journal.take(t, "it shows a certificate that has expired")
}

// TestAListThatEndedEndsSessions has the centre without a new list of what is
// revoked: whom the old one does not name may be revoked since.
func TestAListThatEndedEndsSessions(t *testing.T) {
	one := portaltest.NewDevice(t, "one")
	ours := mtlstest.NewAuthority(t, "ours")
	b := runTLS(t, ours.Server(), everyone, ours.PEM(), ours.List())
	own := ours.Client(one.ID.String(), func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, 90) })
	session, err := dial(t, as(t, b.url(), own, ours.PEM()), uplink.SessionOptions{ClientID: one.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	broker.Recheck(b.Broker, time.Now().AddDate(0, 0, 29))
	select {
	case <-session.Done():
		t.Fatal("the session ends before the list")
	default:
	}
	broker.Recheck(b.Broker, time.Now().AddDate(0, 0, 31))
	select {
	case <-session.Done():
	case <-time.After(10 * time.Second):
		t.Error("the session lasts longer than the list")
	}
	b.journal.take(t, "the list of revoked certificates here has ended")
}

// TestRevokedBetweenHandshakeAndConnect has a device take its time with its CONNECT,
// while its certificate is revoked and the sessions are looked through.
func TestRevokedBetweenHandshakeAndConnect(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	ours := mtlstest.NewAuthority(t, "ours")
	judged := make(chan struct{}, 8)
	b := runTLS(t, ours.Server(), func(evidence.DeviceID) bool {
		judged <- struct{}{}
		return true
	}, ours.PEM())
	own := ours.Client(d.ID.String())
	options := as(t, b.url(), own, ours.PEM())
	config, err := options.TLS()
	if err != nil {
		t.Fatal(err)
	}
	config.ServerName = "127.0.0.1"
	c, err := tls.Dial("tcp", b.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-judged // by its handshake
	ours.Server().Rewrite(t, b.files, ours.PEM(), ours.List(own))
	broker.Recheck(b.Broker, time.Now())
	id := d.ID.String()
	connect := append([]byte{0x10, byte(10 + 2 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	if _, err := c.Write(connect); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil { // the CONNACK
		t.Fatal(err)
	}
	broker.Recheck(b.Broker, time.Now())
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the session of a revoked certificate lasts: %v", err)
	}
}

// TestSilentStrangersGo has one say nothing, and one stop in the handshake.
func TestSilentStrangersGo(t *testing.T) {
	ours := mtlstest.NewAuthority(t, "ours")
	server := ours.Server()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		authority, err := mtls.ParseAuthority(ours.PEM())
		if err != nil {
			t.Fatal(err)
		}
		own, err := mtls.Identity(server.PEM(), server.Key)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		_, err = mtls.NewAcceptor(func() *tls.Config { return authority.Server(own, nil) }).Accept(ctx, far)
		if r := mtls.Explain(err); r == nil || r.Cause != mtls.TooSlow || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
