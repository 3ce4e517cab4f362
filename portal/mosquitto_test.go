package portal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/mtls"
	"ciglio/internal/mtls/mtlstest"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// newMosquitto starts the real one with what the centre in dir writes for it.
func newMosquitto(t *testing.T, dir string) *portaltest.Mosquitto {
	t.Helper()
	return portaltest.NewMosquitto(t, "../docs", func(folder string) error {
		_, err := WriteMosquitto(dir, folder, []string{"127.0.0.1"}, time.Now())
		return err
	})
}

// wait waits for words in a text that grows.
func waitFor(t *testing.T, words string, text func() string) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := text()
		if strings.Contains(got, words) {
			return got
		}
		if time.Now().After(end) {
			t.Errorf("no %q in\n%s", words, got)
			return got
		}
	}
}

// A notebook is a log that a test reads.
type notebook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notebook) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// asDevice is a device's way to a broker.
func asDevice(t *testing.T, url string, own mtlstest.End, believed []byte) *mqtt.Dialer {
	t.Helper()
	files := own.Write(t, believed)
	d, err := mqtt.New(mqtt.Options{Broker: url, TLS: func() (*tls.Config, error) {
		a, own, err := files.Load(mtlstest.LoadKey)
		if err != nil {
			return nil, err
		}
		return a.Client(own), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// asCentre is the centre's way to Mosquitto.
func asCentre(t *testing.T, m *portaltest.Mosquitto, dir string) *mqtt.Dialer {
	t.Helper()
	d, err := mqtt.New(mqtt.Options{Broker: "tls://" + m.Centre, TLS: func() (*tls.Config, error) {
		a, own, err := brokerFiles(dir, mtls.Files{}).Load(loadKey)
		if err != nil {
			return nil, err
		}
		return a.Client(own), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// issued is a certificate of the centre's authority.
func issued(t *testing.T, authority *ca.CA, device evidence.DeviceID) mtlstest.End {
	t.Helper()
	key := mtlstest.NewKey(t)
	code, err := authority.NewCode(device, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := authority.Enrol(device, code, &key.PublicKey, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return mtlstest.End{Key: key, Certificate: c}
}

// TestMosquittoTakesWhomItShould runs the shipped settings: who is let in and who
// is not, in words at both ends, and what one says on another's topic.
func TestMosquittoTakesWhomItShould(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "centre")
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(CAFolder(dir))
	if err != nil {
		t.Fatal(err)
	}
	one, other := portaltest.NewDevice(t, "one").ID, portaltest.NewDevice(t, "other").ID
	good, gone := issued(t, authority, one), issued(t, authority, other)
	if _, err := authority.Revoke(other, time.Now()); err != nil {
		t.Fatal(err)
	}
	m := newMosquitto(t, dir)
	book := new(notebook)
	p, err := New(t.Context(), Options{
		Dir: dir, Listen: "127.0.0.1:0", Broker: "tls://" + m.Centre, BrokerFiles: brokerFiles(dir, mtls.Files{}), BrokerLog: m.Log,
		Log: slog.New(slog.NewTextHandler(book, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.Close()
	}()
	believed, err := os.ReadFile(authority.Believed())
	if err != nil {
		t.Fatal(err)
	}
	theirs := mtlstest.NewAuthority(t, "theirs")
	stored := func(own mtlstest.End, id string, so uplink.SessionOptions) (uplink.Session, error) {
		so.ClientID = id
		s, err := asDevice(t, "tls://"+m.Devices, own, believed).Dial(t.Context(), so)
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
		return s, err
	}
	s, err := stored(good, one.String(), uplink.SessionOptions{Subscribe: []string{wire.Topic("0", one, wire.WhatReceipt)}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "message refused", func() string { // the centre gets it once it has subscribed
		if err := <-s.Publish(uplink.Message{Topic: wire.Topic("0", one, wire.WhatRecord), Payload: []byte("no record")}); err != nil {
			t.Error(err)
		}
		return book.String()
	})
	for _, row := range []struct {
		name    string
		own     mtlstest.End
		says    string
		journal string
	}{
		{"revoked", gone, "refuses our certificate: it is revoked", "certificate verify failed"},
		{"of another authority", theirs.Client(one.String()), "of an authority that it does not know", "certificate verify failed"},
		{"expired", expired(t, dir, one), "refuses our certificate: it is expired or not valid yet", "certificate verify failed"},
	} {
		if _, err := stored(row.own, one.String(), uplink.SessionOptions{}); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", row.name, err, row.says)
		}
		waitFor(t, row.journal, book.String)
	}
	// Mosquitto acknowledges what is said on another's topic, and drops it.
	if err := <-s.Publish(uplink.Message{Topic: wire.Topic("0", other, wire.WhatRecord), Payload: []byte("x")}); err != nil {
		t.Error(err)
	}
	text := waitFor(t, "topic refused", book.String)
	if !strings.Contains(text, `msg="topic refused" device=`+one.String()) {
		t.Errorf("the centre does not say who did so:\n%s", text)
	}
	// It takes any subscription, and delivers what is the device's own.
	third := portaltest.NewDevice(t, "third").ID
	to := func(id evidence.DeviceID) string { return wire.Topic("0", id, wire.WhatReceipt) }
	got := make(chan uplink.Message, 10)
	if _, err := stored(issued(t, authority, third), third.String(), uplink.SessionOptions{Subscribe: []string{"#", "ciglio/#", to(one)},
		Handle: func(m uplink.Message) { got <- m }}); err != nil {
		t.Error(err)
	}
	centre, err := asCentre(t, m, dir).Dial(t.Context(), uplink.SessionOptions{ClientID: "centre"})
	if err != nil {
		t.Fatal(err)
	}
	defer centre.Close()
	for _, id := range []evidence.DeviceID{one, other, third} {
		if err := <-centre.Publish(uplink.Message{Topic: to(id), Payload: []byte("receipt")}); err != nil {
			t.Error(err)
		}
	}
	for m := range got {
		if m.Topic != to(third) {
			t.Errorf("a device got what was said to another: %s", m.Topic)
		} else {
			break // the last, and once only: three filters match, and two may not
		}
	}
	// Whatever it calls itself, it is whom its certificate names: it does not end
	// another's session.
	s2, err := stored(good, one.String(), uplink.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stored(issued(t, authority, third), one.String(), uplink.SessionOptions{}); err != nil {
		t.Error(err)
	}
	select {
	case <-s2.Done():
		t.Error("a device ended the session of another by its id")
	case <-time.After(300 * time.Millisecond):
	}
	// No device comes where the centre does.
	if _, err := asDevice(t, "tls://"+m.Centre, good, believed).Dial(t.Context(), uplink.SessionOptions{ClientID: "ciglio-portal-0"}); err == nil {
		t.Error("a device is let in as the centre")
	}
	// What is revoked later counts once Mosquitto has read it.
	if _, err := authority.Revoke(one, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteMosquitto(dir, m.Folder, []string{"127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	m.Reload()
	time.Sleep(500 * time.Millisecond)
	if _, err := stored(good, one.String(), uplink.SessionOptions{}); err == nil {
		t.Error("after SIGHUP: a revoked certificate is taken")
	}
	if _, err := stored(issued(t, authority, one), one.String(), uplink.SessionOptions{}); err != nil {
		t.Error("after SIGHUP: a new certificate:", err)
	}
	if t.Failed() {
		t.Logf("%s", m.Said())
	}
}

// expired is a certificate of the centre's authority that ended a minute ago.
func expired(t *testing.T, dir string, device evidence.DeviceID) mtlstest.End {
	t.Helper()
	authority, err := ca.Open(CAFolder(dir))
	if err != nil {
		t.Fatal(err)
	}
	all, err := authority.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Load(filepath.Join(CAFolder(dir), fmt.Sprintf("%x-authority.key", all[0].SerialNumber)))
	if err != nil {
		t.Fatal(err)
	}
	by := mtlstest.NewAuthority(t, "unused")
	by.Certificate, by.Key = all[0], key.CryptoSigner().(*ecdsa.PrivateKey)
	return by.Client(device.String(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
}

// TestTheNextCertificateIsShownOnceMosquittoTakesIt makes the one that follows, and
// starts Mosquitto anew with both.
func TestTheNextCertificateIsShownOnceMosquittoTakesIt(t *testing.T) {
	dir := t.TempDir()
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	m := newMosquitto(t, dir)
	folder := CAFolder(dir)
	own, before, err := readBrokerCertificate(filepath.Join(folder, brokerCertName))
	if err != nil {
		t.Fatal(err)
	}
	next, err := makeBrokerCertificate(filepath.Join(folder, nextBrokerCertName), filepath.Join(folder, nextBrokerKeyName), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := &terms{dir: dir}
	try := func() {
		t.Helper()
		d, err := mqtt.New(mqtt.Options{Broker: "tls://" + m.Centre, TLS: func() (*tls.Config, error) {
			a, own, err := brokerFiles(dir, mtls.Files{}).Load(loadKey)
			if err != nil {
				return nil, err
			}
			return p.dialling(a.Client(own)), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Dial(t.Context(), uplink.SessionOptions{ClientID: "centre"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := p.probe(t.Context(), m.Centre, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	try()
	if p.broker.IsZero() || time.Until(p.broker) > ca.ServerLife {
		t.Errorf("the broker's certificate ends on %v", p.broker)
	}
	if _, c, err := readBrokerCertificate(filepath.Join(folder, brokerCertName)); err != nil || !c.Equal(before) {
		t.Fatalf("shows one that Mosquitto was not given: %v", err)
	}
	if err := os.WriteFile(filepath.Join(m.Folder, brokerCertName), append(own, next...), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Restart()
	try()
	if _, c, err := readBrokerCertificate(filepath.Join(folder, brokerCertName)); err != nil || c.Equal(before) {
		t.Errorf("shows the one before still: %v", err)
	}
	try()
}
