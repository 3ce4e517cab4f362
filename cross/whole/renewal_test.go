package whole

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/live"
	"ciglio/internal/mtls"
	"ciglio/internal/mtls/mtlstest"
	"ciglio/portal"
	"ciglio/portal/ca"
	"ciglio/portal/keys"
	"ciglio/portal/portaltest"
	"ciglio/sensor"
)

// A door is on the way to a server: what comes while it is shut waits in front of it,
// and what has gone through can be cut off.
type door struct {
	net.Listener
	to string

	mu   sync.Mutex
	open chan struct{} // closed while the door is open
	in   []net.Conn
}

// newDoor returns one that is shut.
func newDoor(t *testing.T, to string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, to: to, open: make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { d.pass(t.Context(), c) })
		}
	})
	t.Cleanup(func() { l.Close(); d.cut(); all.Wait() })
	return d
}

func (d *door) pass(ctx context.Context, from net.Conn) {
	defer from.Close()
	select {
	case <-d.open:
	case <-ctx.Done():
		return
	}
	to, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer to.Close()
	d.mu.Lock()
	d.in = append(d.in, from, to)
	d.mu.Unlock()
	go func() { io.Copy(to, from); to.Close() }()
	io.Copy(from, to)
}

func (d *door) unlock() { close(d.open) }

// cut ends every connection that is through.
func (d *door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.in {
		c.Close()
	}
	d.in = nil
}

// url is how a device reaches the door, by the name that is in the certificates.
func (d *door) url(scheme string) string {
	_, port, _ := net.SplitHostPort(d.Addr().String())
	return scheme + "://localhost:" + port
}

// believed writes for Mosquitto whom it believes, with one certificate revoked.
func believed(t *testing.T, centre, folder string, revoked *x509.Certificate) {
	t.Helper()
	authority, err := ca.Open(portal.CAFolder(centre))
	if err != nil {
		t.Fatal(err)
	}
	all, err := authority.Authorities()
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Load(filepath.Join(portal.CAFolder(centre), fmt.Sprintf("%x-authority.key", all[0].SerialNumber)))
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(nil, &x509.RevocationList{
		Number: big.NewInt(time.Now().Unix()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: revoked.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)}},
	}, all[0], key.CryptoSigner())
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: all[0].Raw}), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})...)
	if err := os.WriteFile(filepath.Join(folder, ca.BelievedName), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCertificateIsRenewedWhileRecordsFlow has a device beside a simulated road, with
// a certificate that is in the last third of its life, and Debian's Mosquitto between
// it and its centre. Records flow before the renewal, during it and after it; then the
// old certificate is revoked and the connection cut. Every record reaches the centre
// once, and is receipted.
func TestCertificateIsRenewedWhileRecordsFlow(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds a program and waits for vehicles")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	u := newUnit(ctx, t)
	dir, must, until := u.dir, u.must, u.until

	// The centre, Mosquitto, and the doors between them and the device.
	centre := dir + "/centre"
	_, err := portal.Init(centre)
	must(err)
	// Its authority is of two months ago, as the device's certificate will be.
	then := time.Now().AddDate(0, 0, -61)
	must(os.RemoveAll(portal.CAFolder(centre)))
	authority, err := ca.Create(portal.CAFolder(centre), then.AddDate(0, 0, -1))
	must(err)
	names := []string{"localhost", "127.0.0.1"}
	must(authority.Renew(names, time.Now())) // its lists, too
	m := portaltest.NewMosquitto(t, "../../docs", func(folder string) error {
		_, err := portal.WriteMosquitto(centre, folder, names, time.Now())
		return err
	})
	own := func(name string) string { return filepath.Join(portal.CAFolder(centre), name) }
	office, err := portal.New(ctx, portal.Options{
		Dir: centre, Listen: "127.0.0.1:0", EST: "127.0.0.1:0", Names: names, Broker: "tls://" + m.Centre, BrokerLog: m.Log,
		BrokerFiles: mtls.Files{Authority: own(ca.BelievedName), Certificate: own("centre.crt"), Key: own("centre.key")},
	})
	must(err)
	t.Cleanup(func() { office.Close() })
	u.beside(office.Run)
	broker, enrolment := newDoor(t, m.Devices), newDoor(t, office.ESTAddr())
	broker.unlock()

	// The road, where nearly everybody is too fast.
	road, err := simulate.NewRoad(simulate.Traffic(1, 50*sensor.KmH, time.Hour))
	must(err)
	side, err := live.Open(road, dir+"/radar", "127.0.0.1:0")
	must(err)

	// The device, with a certificate of 61 days ago: a third of its 90 days is left.
	u.configure("30km/h", "90km/h", fmt.Sprintf(`url = %q
model = "simulated camera"
serial = "SIM-1"
latency = "%v"
slot = "512KiB"
`, side.CameraURL(), live.Latency), fmt.Sprintf(`broker = %q
enrolment = %q
ca = %q
certificate = %q
tls_key = %q
`, broker.url("tls"), enrolment.url("https"), dir+"/ca.pem", dir+"/uplink.crt", dir+"/uplink.key"))
	u.enter(centre)
	text, err := os.ReadFile(own(ca.BelievedName))
	must(err)
	must(os.WriteFile(dir+"/ca.pem", text, 0o600))
	id, err := evidence.ParseDeviceID(unitID)
	must(err)
	tlsKey, err := mtlstest.LoadKey(dir + "/uplink.key")
	must(err)
	code, err := authority.NewCode(id, then)
	must(err)
	old, err := authority.Enrol(id, code, tlsKey.Public().(*ecdsa.PublicKey), then)
	must(err)
	must(os.WriteFile(dir+"/uplink.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Raw}), 0o600))
	installed := func() *x509.Certificate {
		text, err := os.ReadFile(dir + "/uplink.crt")
		must(err)
		c, err := portal.ReadCertificate(text)
		must(err)
		return c
	}

	endOfTraffic := u.beside(side.Run)
	u.start()
	vehicles := func() int { return len(u.vehicles()) }

	// Before: records flow under the old certificate. The door of the enrolment is shut.
	until("records under the old certificate", func() bool { return vehicles() >= 2 })
	if c := installed(); !c.Equal(old) {
		t.Fatalf("renewed before it could be: serial %x", c.SerialNumber)
	}
	// During: the certificate is renewed, and the session goes on.
	before := vehicles()
	enrolment.unlock()
	until("another certificate", func() bool { return !installed().Equal(old) })
	fresh := installed()
	if !fresh.NotBefore.After(old.NotBefore) || fresh.NotAfter.Before(time.Now().Add(ca.DeviceLife-time.Hour)) || fresh.SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Errorf("from %v to %v, before it %v to %v", fresh.NotBefore, fresh.NotAfter, old.NotBefore, old.NotAfter)
	}
	until("records after the renewal", func() bool { return vehicles() > before })

	// After: with the old one nobody comes to the broker, and the device does.
	believed(t, centre, m.Folder, old)
	m.Reload()
	dial := func(c *x509.Certificate) error {
		text, err := os.ReadFile(dir + "/ca.pem")
		must(err)
		a, err := mtls.ParseAuthority(text)
		must(err)
		config := a.Client(&tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: tlsKey})
		config.ServerName = "localhost"
		conn, err := tls.Dial("tcp", m.Devices, config)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		_, err = conn.Read(make([]byte, 1)) // Mosquitto says nothing to whom it takes
		if errors, ok := err.(net.Error); ok && errors.Timeout() {
			return nil
		}
		return err
	}
	until("the old certificate is refused", func() bool { return dial(old) != nil })
	connections := func() int { return strings.Count(m.Said(), "as "+unitID) }
	had := connections()
	broker.cut()
	until("the device connects with the new certificate", func() bool { return connections() > had })
	before = vehicles()
	until("records after that", func() bool { return vehicles() > before })

	// In the end everything is there, once.
	endOfTraffic()
	var all []kept
	until("every record is receipted", func() bool {
		all = u.list()
		return len(all) > 0 && !slices.ContainsFunc(all, func(k kept) bool { return !k.settled() }) && office.Stats().All.Verified == uint64(len(all))
	})
	for i, e := range all {
		if e.Seq != uint64(i)+1 {
			t.Errorf("record %d in place %d", e.Seq, i+1)
		}
		answer, err := http.Get("http://" + office.Addr() + "/records/" + e.ID)
		must(err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("record %d is settled, and the centre answers %d", e.Seq, answer.StatusCode)
		}
	}
	s := office.Stats()
	if s.All.Settled != uint64(len(all)) || s.Equivocations != 0 || len(s.Refused) != 0 {
		t.Errorf("%d records on the device; at the centre %+v", len(all), s)
	}
	t.Logf("%d records, %d of vehicles, over two certificates", len(all), vehicles())
}
