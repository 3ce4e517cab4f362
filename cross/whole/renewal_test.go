package whole

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/live"
	"ciglio/cross/statement"
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
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "ciglio/agent/cmd/ciglio")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := new(output)
	defer func() {
		if t.Failed() {
			t.Logf("%s", said)
		}
	}()
	ciglio := func(args ...string) (string, error) {
		var errs bytes.Buffer
		c := exec.CommandContext(ctx, dir+"/ciglio", args...)
		c.Dir, c.Stderr = dir, &errs
		out, err := c.Output()
		if err != nil {
			err = fmt.Errorf("ciglio %s: %w\n%s", strings.Join(args, " "), err, &errs)
		}
		return string(out), err
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := ciglio(args...)
		must(err)
		return out
	}
	until := func(what string, met func() bool) {
		t.Helper()
		for !met() {
			select {
			case <-ctx.Done():
				t.Fatalf("waited in vain: %s", what)
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	beside := func(part func(context.Context) error) (end func()) {
		inner, stop := context.WithCancel(context.WithoutCancel(ctx))
		var running sync.WaitGroup
		running.Go(func() { part(inner) })
		end = func() { stop(); running.Wait() }
		t.Cleanup(end)
		return end
	}

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
	beside(office.Run)
	broker, enrolment := newDoor(t, m.Devices), newDoor(t, office.ESTAddr())
	broker.unlock()

	// The road, where nearly everybody is too fast.
	road, err := simulate.NewRoad(simulate.Traffic(1, 50*sensor.KmH, time.Hour))
	must(err)
	side, err := live.Open(road, dir+"/radar", "127.0.0.1:0")
	must(err)

	// The device, with a certificate of 61 days ago: a third of its 90 days is left.
	const device = "c1000000000000000000000000000013"
	id, err := evidence.ParseDeviceID(device)
	must(err)
	core := regexp.MustCompile(`core_id ([0-9a-f]{64})`).FindStringSubmatch(run("version"))
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	must(os.WriteFile(dir+"/calibration.toml", statement.Calibration{ID: "DESK", Serial: "SIM-0001", Core: words(core[1]), From: day, To: day.AddDate(0, 1, 0), Checked: day}.Text(), 0o600))
	must(os.WriteFile(dir+"/ciglio.toml", fmt.Appendf(nil, `[device]
id = %q
dir = %q
tpm = "none"
key = %q
certificate = %q
calibration = %q
[site]
id = "DESK-1"
road = "SP 14 (simulated)"
position = "12.4km"
latitude = "44.6949deg"
longitude = "11.2426deg"
heading = "90deg"
limit = "30km/h"
direction = "unknown"
[sensor]
driver = "iqframe"
port = %q
model = "simulated radar"
serial = "SIM-0001"
maximum = "90km/h"
[camera]
driver = "http"
url = %q
model = "simulated camera"
serial = "SIM-1"
latency = "%v"
slot = "512KiB"
[clock]
source = "simulated"
[uplink]
broker = %q
enrolment = %q
trust = %q
ca = %q
certificate = %q
tls_key = %q
`, device, dir, dir+"/evidence.key", dir+"/device.crt", dir+"/calibration.toml", dir+"/radar", side.CameraURL(), live.Latency,
		broker.url("tls"), enrolment.url("https"), dir+"/trust.pem", dir+"/ca.pem", dir+"/uplink.crt", dir+"/uplink.key"), 0o600))
	run("key", "show", "--config", "ciglio.toml") // makes the keys
	text, err := os.ReadFile(dir + "/device.crt")
	must(err)
	certificate, err := portal.ReadCertificate(text)
	must(err)
	_, err = portal.Enrol(centre, id, 1, certificate)
	must(err)
	for from, to := range map[string]string{portal.TrustFile(centre): "/trust.pem", own(ca.BelievedName): "/ca.pem"} {
		text, err := os.ReadFile(from)
		must(err)
		must(os.WriteFile(dir+to, text, 0o600))
	}
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

	endOfTraffic := beside(side.Run)
	until("radar", func() bool { _, err := os.Lstat(dir + "/radar"); return err == nil })
	service := exec.CommandContext(ctx, dir+"/ciglio", "run", "--config", "ciglio.toml")
	service.Cancel = func() error { return service.Process.Signal(os.Interrupt) }
	service.WaitDelay = time.Minute
	service.Dir, service.Stderr = dir, said
	must(service.Start())
	ended := make(chan error, 1)
	go func() { ended <- service.Wait() }()
	stop := sync.OnceFunc(func() { service.Process.Signal(os.Interrupt); <-ended })
	t.Cleanup(stop)

	type entry struct {
		Seq             uint64
		Kind, State, ID string
	}
	list := func() (all []entry) {
		out, err := ciglio("outbox", "list", "--json", "--dir", "outbox")
		if err != nil { // the device is writing to it
			return nil
		}
		for d := json.NewDecoder(strings.NewReader(out)); ; {
			var e entry
			if d.Decode(&e) != nil {
				return all
			}
			all = append(all, e)
		}
	}
	vehicles := func() (settled int) {
		for _, e := range list() {
			if e.Kind == "test" && e.State == "settled" {
				settled++
			}
		}
		return settled
	}

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
	connections := func() int { return strings.Count(m.Said(), "as "+device) }
	had := connections()
	broker.cut()
	until("the device connects with the new certificate", func() bool { return connections() > had })
	before = vehicles()
	until("records after that", func() bool { return vehicles() > before })

	// In the end everything is there, once.
	endOfTraffic()
	var all []entry
	until("every record is receipted", func() bool {
		all = list()
		return len(all) > 0 && !slices.ContainsFunc(all, func(e entry) bool { return e.State != "settled" }) && office.Stats().All.Verified == uint64(len(all))
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
