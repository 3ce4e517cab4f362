package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// newDeviceKey returns an evidence key and its certificate.
func newDeviceKey(t testing.TB, name string) (evidence.Signer, []byte) {
	t.Helper()
	private, signer := newSigner(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(2e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, der
}

// tlsRequest returns a PKCS #10 request.
func tlsRequest(t testing.TB, curve elliptic.Curve, template x509.CertificateRequest) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func named(id evidence.DeviceID) x509.CertificateRequest {
	return x509.CertificateRequest{Subject: pkix.Name{CommonName: id.String()}}
}

func changeTo(t testing.TB, id evidence.DeviceID, epoch uint64, kid evidence.Hash, kind evidence.Kind) []byte {
	t.Helper()
	_, old := newSigner(t)
	body := evidence.Body{1: kid[:]}
	if kind == evidence.KindHeartbeat {
		body = evidence.Body{1: uint64(0), 2: uint64(0), 3: uint64(0), 4: uint64(0)}
	}
	s, err := evidence.Seal(&evidence.Record{
		Kind: kind, Device: id, Epoch: epoch, Seq: 2, Prev: evidence.Hash{1}, UTC: time.Unix(1e9, 0).UTC(),
		Clock: sensor.ClockState{Source: "adjtimex"}, Configuration: evidence.Statement{ID: "none"},
		Software: evidence.Software{Version: "test"}, Key: evidence.KeyInfo{Class: "file"}, Body: body,
	}, old)
	if err != nil {
		t.Fatal(err)
	}
	return s.Bytes
}

func TestRequestProvesBothKeys(t *testing.T) {
	id := evidence.DeviceID{0xc1, 15: 7}
	key, certificate := newDeviceKey(t, id.String())
	good := Request{Device: id, Epoch: 3, Class: "tpm2", Certificate: certificate, TLS: tlsRequest(t, elliptic.P256(), named(id))}
	r, err := SealRequest(&good, key)
	if err != nil {
		t.Fatal(err)
	}
	if r.KeyID != key.KeyID() || r.Epoch != 3 || r.Class != "tpm2" || r.Change != nil || len(strings.Fields(r.Fingerprint.String())) != 8 {
		t.Errorf("request %+v, fingerprint %v", r.Request, r.Fingerprint)
	}
	again, err := SealRequest(&good, key)
	if err != nil || again.Fingerprint != r.Fingerprint {
		t.Errorf("made again with fingerprint %v, %v; had %v", again.Fingerprint, err, r.Fingerprint)
	}
	with := good
	with.Change = changeTo(t, id, 2, key.KeyID(), evidence.KindKeyChange)
	if r, err = SealRequest(&with, key); err != nil || r.Change == nil {
		t.Errorf("with a key change: %v", err)
	}

	other, otherCertificate := newDeviceKey(t, id.String())
	_, foreign := newDeviceKey(t, "another device")
	private, both := newSigner(t) // one key for both
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: id.String()}, NotAfter: time.Unix(2e9, 0)}
	bothCertificate, err1 := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	subject := named(id)
	bothTLS, err2 := x509.CreateCertificateRequest(rand.Reader, &subject, private)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Clone(good.TLS)
	spoiled[len(spoiled)-1] ^= 1
	for _, test := range []struct {
		name string
		by   evidence.Signer
		with func(*Request)
		want string
	}{
		{"sealed by a key that is not the certificate's", other, func(r *Request) {}, "another key"},
		{"the certificate of another key", key, func(r *Request) { r.Certificate = otherCertificate }, "another key"},
		{"the certificate of another device", key, func(r *Request) { r.Certificate = foreign }, "another device"},
		{"no certificate", key, func(r *Request) { r.Certificate = []byte("x") }, "certificate"},
		{"a TLS request whose signature is spoiled", key, func(r *Request) { r.TLS = spoiled }, "TLS request"},
		{"a TLS request of another device", key, func(r *Request) { r.TLS = tlsRequest(t, elliptic.P256(), named(evidence.DeviceID{1})) }, "nothing else"},
		{"a TLS request with more in its subject", key, func(r *Request) {
			c := named(id)
			c.Subject.Organization = []string{"ours"}
			r.TLS = tlsRequest(t, elliptic.P256(), c)
		}, "nothing else"},
		{"a TLS request for a name of its own", key, func(r *Request) {
			c := named(id)
			c.DNSNames = []string{"broker"}
			r.TLS = tlsRequest(t, elliptic.P256(), c)
		}, "more than its name"},
		{"a TLS key on another curve", key, func(r *Request) { r.TLS = tlsRequest(t, elliptic.P384(), named(id)) }, "P-256"},
		{"one key for both", both, func(r *Request) { r.Certificate, r.TLS = bothCertificate, bothTLS }, "is the evidence key"},
		{"no epoch", key, func(r *Request) { r.Epoch = 0 }, "epoch"},
		{"a key change that is a heartbeat", key, func(r *Request) { r.Change = changeTo(t, id, 2, key.KeyID(), evidence.KindHeartbeat) }, "kind"},
		{"a key change to another key", key, func(r *Request) { r.Change = changeTo(t, id, 2, other.KeyID(), evidence.KindKeyChange) }, "another key"},
		{"a key change of another device", key, func(r *Request) {
			r.Change = changeTo(t, evidence.DeviceID{1}, 2, key.KeyID(), evidence.KindKeyChange)
		}, "epoch"},
		{"a key change of the same epoch", key, func(r *Request) { r.Change = changeTo(t, id, 3, key.KeyID(), evidence.KindKeyChange) }, "epoch"},
	} {
		r := good
		test.with(&r)
		if _, err := SealRequest(&r, test.by); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want words %q", test.name, err, test.want)
		}
	}
	if _, err := evidence.SealMessage(evidence.ContentTypeRecord, r.Bytes, key); !errors.Is(err, evidence.ErrNotEncoded) {
		t.Errorf("a request sealed as a record: %v", err)
	}
}

// TestTLSRequestsAreRefused is about the one part of a request that comes over HTTPS, too.
func TestTLSRequestsAreRefused(t *testing.T) {
	id, other := evidence.DeviceID{0xc1, 15: 7}, evidence.DeviceID{1}
	ask := func(curve elliptic.Curve, with func(*x509.CertificateRequest)) []byte {
		c := named(id)
		with(&c)
		return tlsRequest(t, curve, c)
	}
	as := func(subject pkix.Name) []byte {
		return ask(elliptic.P256(), func(c *x509.CertificateRequest) { c.Subject = subject })
	}
	commonName := asn1.ObjectIdentifier{2, 5, 4, 3}
	utf8, err := asn1.MarshalWithParams(id.String(), "utf8")
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := named(id)
	byRSA, err := x509.CreateCertificateRequest(rand.Reader, &c, key)
	if err != nil {
		t.Fatal(err)
	}
	good := as(c.Subject)
	spoiled := bytes.Clone(good)
	spoiled[len(spoiled)-1] ^= 1
	for _, row := range []struct {
		name string
		der  []byte
		want string // "" for one that is taken
	}{
		{"a good one", good, ""},
		{"its name as other programs write it", as(pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: commonName, Value: asn1.RawValue{FullBytes: utf8}}}}), ""},
		{"nothing", nil, "malformed"},
		{"a byte short", good[:len(good)-1], "malformed"},
		{"a byte more", append(bytes.Clone(good), 0), "malformed"},
		{"the signature changed", spoiled, "has not signed it"},
		{"of 5 KiB", make([]byte, 5<<10), "at most 4096"},
		{"another curve", ask(elliptic.P384(), func(*x509.CertificateRequest) {}), "not ECDSA on P-256"},
		{"RSA", byRSA, "not ECDSA on P-256"},
		{"SHA-384", ask(elliptic.P256(), func(c *x509.CertificateRequest) { c.SignatureAlgorithm = x509.ECDSAWithSHA384 }), "want ECDSA with SHA-256"},
		{"no name", as(pkix.Name{}), "0 parts"},
		{"no device's name", as(pkix.Name{CommonName: "door"}), "and nothing else"},
		{"another device's", as(pkix.Name{CommonName: other.String()}), "and nothing else"},
		{"in capitals", as(pkix.Name{CommonName: strings.ToUpper(id.String())}), "and nothing else"},
		{"an organisation, too", as(pkix.Name{CommonName: id.String(), Organization: []string{"x"}}), "2 parts"},
		{"two names", as(pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: commonName, Value: other.String()}, {Type: commonName, Value: id.String()}}}), "2 parts"},
		{"an organisation alone", as(pkix.Name{Organization: []string{id.String()}}), "and nothing else"},
		{"a server's name, too", ask(elliptic.P256(), func(c *x509.CertificateRequest) { c.DNSNames = []string{"x"} }), "more than its name"},
		{"to be an authority", ask(elliptic.P256(), func(c *x509.CertificateRequest) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}
		}), "more than its name"},
	} {
		got, err := ParseTLSRequest(row.der, id)
		switch {
		case row.want == "" && (err != nil || got.Subject.CommonName != id.String()):
			t.Errorf("%s: %v", row.name, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// FuzzTLSRequest shows that whatever is taken is the device's P-256 key and nothing else.
func FuzzTLSRequest(f *testing.F) {
	id := evidence.DeviceID{1}
	f.Add(tlsRequest(f, elliptic.P256(), named(id)))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseTLSRequest(b, id)
		if err != nil {
			return
		}
		if public, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || public.Curve != elliptic.P256() || c.Subject.CommonName != id.String() || len(c.Extensions) > 0 {
			t.Errorf("taken: %v %v", c.Subject, c.PublicKey)
		}
	})
}

func FuzzRequest(f *testing.F) {
	id := evidence.DeviceID{1}
	key, certificate := newDeviceKey(f, id.String())
	r, err := SealRequest(&Request{Device: id, Epoch: 1, Class: "file", Certificate: certificate, TLS: tlsRequest(f, elliptic.P256(), named(id))}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := OpenRequest(b)
		if err != nil {
			if !errors.Is(err, ErrRequest) {
				t.Errorf("error %v", err)
			}
			return
		}
		payload, err := evidence.EncodeForm(r.fields)
		if err != nil || !bytes.Contains(b, payload) || !bytes.Equal(r.Bytes, b) {
			t.Errorf("a second spelling of one request: %v", err)
		}
	})
}
