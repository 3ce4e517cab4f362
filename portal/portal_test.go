package portal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal"
	"ciglio/portal/blob/blobtest"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/keys"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/portal/register"
	"ciglio/uplink"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/wire"
)

// serve runs a portal on a directory until stop is called or the test ends.
func serve(t *testing.T, dir string) (p *portal.Portal, stop func()) {
	t.Helper()
	return serveWith(t, portal.Options{Dir: dir})
}

func serveWith(t *testing.T, o portal.Options) (p *portal.Portal, stop func()) {
	t.Helper()
	o.Listen, o.MQTT, o.Shards = "127.0.0.1:0", "127.0.0.1:0", []string{portaltest.Shard}
	p, err := portal.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-ended, p.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return p, stop
}

func newCentre(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "centre")
	if _, err := portal.Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// connect opens the session of a device; receipts come on the channel.
func connect(t *testing.T, p *portal.Portal, d *portaltest.Device) (uplink.Session, <-chan *evidence.SealedReceipt) {
	t.Helper()
	dialer, err := mqtt.New(mqtt.Options{Broker: "tcp://" + p.MQTTAddr()})
	if err != nil {
		t.Fatal(err)
	}
	receipts := make(chan *evidence.SealedReceipt, 1000)
	session, err := dialer.Dial(t.Context(), uplink.SessionOptions{
		ClientID:  d.ID.String(),
		Subscribe: []string{wire.Topic(portaltest.Shard, d.ID, wire.WhatReceipt)},
		Handle: func(m uplink.Message) {
			r, err := evidence.OpenReceipt(m.Payload)
			if err != nil {
				t.Error(err)
				return
			}
			receipts <- r
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session, receipts
}

func get(t *testing.T, p *portal.Portal, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Language", "en")
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%s: %s, %v", path, r.Status, err)
	}
	return body
}

// A violation goes over real sockets to the centre and comes out as a bundle
// that verifies, also from a backup taken while the centre runs, and after a
// restart.
func TestViolationFromSocketToBundle(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := newCentre(t)
	p, stop := serve(t, dir)
	// Enrolled while the portal runs.
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	blobs := [][]byte{portaltest.Picture(t, 640, 360, 1), portaltest.Picture(t, 640, 360, 2), portaltest.Bytes(3, 200_000)}
	session, receipts := connect(t, p, d)
	send := func(what wire.What, payload []byte) {
		if err := <-session.Publish(d.Message(what, payload)); err != nil {
			t.Fatal(err)
		}
	}
	send(wire.WhatRecord, d.Statement(t, evidence.KindCalibration, portaltest.Calibration).Bytes)
	send(wire.WhatRecord, d.Statement(t, evidence.KindConfiguration, portaltest.Configuration).Bytes)
	v := d.Violation(t, blobs[:2], blobs[2], nil)
	send(wire.WhatRecord, v.Bytes)
	for _, blob := range blobs {
		for _, m := range d.Chunks(blob) {
			send(wire.WhatBlob, m.Payload)
		}
	}
	for settled := false; !settled; {
		_, settled = (<-receipts).Receipt.Entry(1, v.Record.Seq)
	}
	trust, err := evidence.ParseTrust(get(t, p, "/trust"))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(p *portal.Portal) {
		t.Helper()
		data := get(t, p, "/records/"+v.ID.String()+"/bundle.zip")
		b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range evidence.Verify(b, trust).Checks {
			if c.Status != evidence.Pass && c.Name != "software" && c.Name != "page" { // which nobody checks here
				t.Errorf("%s: %v: %s", c.Name, c.Status, c.Words())
			}
		}
	}
	verify(p)
	if st := p.Stats(); st.All.Settled != 3 || st.Measured.Settled != 1 || len(st.Refused) != 0 {
		t.Errorf("stats = %+v", st)
	}
	if body := get(t, p, "/healthz"); !strings.HasPrefix(string(body), "ok\nanswers_waiting 0\n") {
		t.Errorf("health = %q", body)
	}
	copies := filepath.Join(t.TempDir(), "copies")
	if _, err := portal.Backup(t.Context(), portal.Options{Dir: dir}, copies, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := portal.New(t.Context(), portal.Options{Dir: dir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0"}); !errors.Is(err, database.ErrLocked) {
		t.Errorf("a second portal on the directory: %v", err)
	}
	stop()
	p, stop = serve(t, dir)
	verify(p)
	stop()
	err = filepath.WalkDir(copies, func(path string, e os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".key") {
			t.Errorf("%s is in the backup", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	r, err := portal.Restore(t.Context(), portal.Options{Dir: restored}, portal.RestoreOptions{From: copies, NoNewer: true})
	if err != nil || r.LogSize != 3 || r.Blobs.New != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	copyKeys(t, dir, restored)
	// Of a restore that the power cut short the newest checkpoint may be missing.
	mark := filepath.Join(restored, "restoring")
	if err := os.WriteFile(mark, []byte(r.Copy+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := portal.New(t.Context(), portal.Options{Dir: restored}); !errors.Is(err, portal.ErrRestoring) {
		t.Fatalf("half a centre is opened: %v, %v", p, err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	p, _ = serve(t, restored)
	verify(p)
}

// copyKeys gives a restored centre its private keys.
func copyKeys(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{"centre.key", "log.key"} {
		key, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), key, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The same on PostgreSQL and an S3 store. They have all of it: another centre with
// the same keys, in another folder, shows what the first has received.
func TestViolationOnServers(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := newCentre(t)
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	databasetest.Need(t)
	bucket := blobtest.Bucket(t)
	o := portal.Options{Dir: dir, Database: databasetest.PostgreSQL.Address(t), S3: &bucket}
	p, stop := serveWith(t, o)
	blobs := [][]byte{portaltest.Picture(t, 640, 360, 1), portaltest.Picture(t, 640, 360, 2), portaltest.Bytes(3, 200_000)}
	session, receipts := connect(t, p, d)
	v := d.Violation(t, blobs[:2], blobs[2], nil)
	messages := []uplink.Message{
		d.Message(wire.WhatRecord, d.Statement(t, evidence.KindCalibration, portaltest.Calibration).Bytes),
		d.Message(wire.WhatRecord, d.Statement(t, evidence.KindConfiguration, portaltest.Configuration).Bytes),
		d.Message(wire.WhatRecord, v.Bytes),
	}
	for _, blob := range blobs {
		messages = append(messages, d.Chunks(blob)...)
	}
	for _, m := range messages {
		if err := <-session.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	for settled := false; !settled; {
		_, settled = (<-receipts).Receipt.Entry(1, v.Record.Seq)
	}
	stop()
	elsewhere := t.TempDir()
	if err := os.CopyFS(elsewhere, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	private, err := filepath.Glob(filepath.Join(elsewhere, "*.key"))
	for _, name := range private { // which the copy has opened to others
		err = errors.Join(err, os.Chmod(name, 0o600))
	}
	if err = errors.Join(err, os.RemoveAll(filepath.Join(elsewhere, "partial"))); err != nil {
		t.Fatal(err)
	}
	o.Dir = elsewhere
	p, _ = serveWith(t, o)
	trust, err := evidence.ParseTrust(get(t, p, "/trust"))
	if err != nil {
		t.Fatal(err)
	}
	data := get(t, p, "/records/"+v.ID.String()+"/bundle.zip")
	b, err := evidence.ReadBundle(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range evidence.Verify(b, trust).Checks {
		if c.Status != evidence.Pass && c.Name != "software" && c.Name != "page" { // which nobody checks here
			t.Errorf("%s: %v: %s", c.Name, c.Status, c.Words())
		}
	}
	if files, err := filepath.Glob(filepath.Join(elsewhere, "blobs", "*", "*")); err != nil || len(files) > 0 {
		t.Errorf("blobs in the folder: %v, %v", files, err)
	}
}

// A device is connected to a broker that runs, and what it said to an earlier one
// is not the present.
func TestNobodyIsConnectedAfterARestart(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := newCentre(t)
	if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
		t.Fatal(err)
	}
	shows := func(p *portal.Portal, page, want string) bool {
		return strings.Contains(string(get(t, p, page)), want)
	}
	const connected, not = `<span class="state good">Connected</span>`, `<span class="state bad">Not connected</span>`
	for i := range uint64(2) {
		p, stop := serve(t, dir)
		if i > 0 && (shows(p, "/", connected) || !shows(p, "/", not) || !shows(p, "/devices/"+d.ID.String(), not)) {
			t.Error("after the restart it is connected before it came")
		}
		session, receipts := connect(t, p, d)
		state, err := wire.State{Head: wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}, Boot: wire.BootID{1}, Sequence: i + 1, Online: true}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []uplink.Message{
			{Topic: wire.Topic(portaltest.Shard, d.ID, wire.WhatState), Payload: state, Retained: true},
			d.Message(wire.WhatRecord, d.Heartbeat(t).Bytes),
		} {
			if err := <-session.Publish(m); err != nil {
				t.Fatal(err)
			}
		}
		<-receipts // what came before it is stored
		if !shows(p, "/", connected) {
			t.Error("it came and is not connected")
		}
		stop()
	}
}

func TestOtherMachinesNeedPermission(t *testing.T) {
	dir := newCentre(t)
	for _, o := range []portal.Options{
		{Listen: "0.0.0.0:0", MQTT: "127.0.0.1:0"}, {Listen: "127.0.0.1:0", MQTT: ":0"},
	} {
		o.Dir = dir
		bare := o.MQTT == ":0"
		if p, err := portal.New(t.Context(), o); !errors.Is(err, portal.ErrNotLoopback) || p != nil {
			t.Errorf("%+v: %v, want ErrNotLoopback", o, err)
		}
		o.AllowRemote = true
		p, err := portal.New(t.Context(), o)
		if bare { // a broker that asks nobody is for this machine, whatever is allowed
			if !errors.Is(err, portal.ErrNotLoopback) {
				t.Errorf("%+v: %v, want ErrNotLoopback", o, err)
			}
			o.MQTT, o.Names = "tls://:0", []string{"localhost"}
			p, err = portal.New(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a centre signs with a key that the register does not vouch for today is
// worth nothing.
func TestCentreKeyMustBeInForce(t *testing.T) {
	other, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(dir string) error
		want   error // nil when pages are served all the same
	}{
		{"another key", func(dir string) error {
			path := filepath.Join(dir, "centre.key")
			return errors.Join(os.Remove(path), other.Create(path))
		}, evidence.ErrUnknownSigner},
		{"an expired one", func(dir string) error {
			root, err := keys.Load(filepath.Join(dir, "root.key"))
			if err != nil {
				return err
			}
			centre, err := keys.Load(filepath.Join(dir, "centre.key"))
			if err != nil {
				return err
			}
			end := time.Now().Add(-time.Hour).Truncate(time.Second)
			return errors.Join(os.Remove(portal.TrustFile(dir)), register.Create(dir, root, evidence.RegisterEntry{
				Role: evidence.RoleCentre, Key: centre.SPKI(), NotBefore: end.AddDate(-5, 0, 0), NotAfter: end,
			}, end))
		}, nil},
	} {
		dir := newCentre(t)
		if err := row.change(dir); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		p, err := portal.New(t.Context(), portal.Options{Dir: dir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(&log, nil))})
		if !errors.Is(err, row.want) || (p == nil) != (row.want != nil) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if p != nil {
			if !strings.Contains(log.String(), "no receipt can be given") {
				t.Errorf("%s: %s", row.name, &log)
			}
			p.Close()
		}
	}
}

// A device that started with its clock in another decade made a certificate
// under which nothing would verify.
func TestCertificateOfAnotherTime(t *testing.T) {
	dir := newCentre(t)
	d := portaltest.NewDevice(t, "one")
	for name, from := range map[string]time.Time{
		"expired": time.Now().AddDate(-40, 0, 0), "not yet in force": time.Now().AddDate(1, 0, 0),
	} {
		c := *d.Certificate
		c.NotBefore, c.NotAfter = from, from.AddDate(10, 0, 0)
		if _, err := portal.Enrol(dir, d.ID, 1, &c); !errors.Is(err, register.ErrNotInForce) {
			t.Errorf("%s: %v, want ErrNotInForce", name, err)
		}
	}
}

// One mix-up would spend an epoch of one device and the key of another.
func TestCertificateOfAnotherDevice(t *testing.T) {
	dir := newCentre(t)
	one, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	_, err := portal.Enrol(dir, one.ID, 1, other.Certificate)
	if !errors.Is(err, register.ErrOtherDevice) || !strings.Contains(err.Error(), one.ID.String()) || !strings.Contains(err.Error(), other.ID.String()) {
		t.Errorf("%v, want ErrOtherDevice with both ids", err)
	}
	for _, d := range []*portaltest.Device{one, other} {
		if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
			t.Errorf("nothing was spent: %v", err)
		}
	}
}

// A backup that lacks a lost blob says so and has all the rest.
func TestBackupWithALostBlob(t *testing.T) {
	dir := newCentre(t)
	s, err := portaltest.TryStore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx *record.Tx) error { return tx.Blob(evidence.Hash{1}, 10, time.Now()) })
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	var stdout, stderr bytes.Buffer
	if code := portal.Main([]string{"backup", "--dir", dir, "--to", backup}, &stdout, &stderr); code != 1 ||
		!strings.Contains(stderr.String(), "blob 0100") || !strings.Contains(stderr.String(), "hint: keep the last copy") {
		t.Errorf("exit %d\n%s%s", code, &stdout, &stderr)
	}
	whole, err := filepath.Glob(filepath.Join(backup, "copies", "*", "files", "trust.pem"))
	if err != nil || len(whole) != 1 {
		t.Errorf("%q, %v", whole, err)
	}
}

// A backup that lacks a certificate of the register says so and has all the rest.
func TestBackupWithoutACertificate(t *testing.T) {
	dir := newCentre(t)
	one, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	for _, d := range []*portaltest.Device{one, other} {
		if _, err := portal.Enrol(dir, d.ID, 1, d.Certificate); err != nil {
			t.Fatal(err)
		}
	}
	name := func(d *portaltest.Device) string { return fmt.Sprintf("%x.pem", sha256.Sum256(d.Certificate.Raw)) }
	if err := os.Remove(filepath.Join(dir, "certificates", name(one))); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	var stdout, stderr bytes.Buffer
	if code := portal.Main([]string{"backup", "--dir", dir, "--to", backup}, &stdout, &stderr); code != 1 ||
		!strings.Contains(stderr.String(), fmt.Sprintf("device %v epoch 1", one.ID)) || strings.Contains(stderr.String(), other.ID.String()) {
		t.Errorf("exit %d\n%s%s", code, &stdout, &stderr)
	}
	kept, err := filepath.Glob(filepath.Join(backup, "copies", "*", "files", "certificates", name(other)))
	if err != nil || len(kept) != 1 {
		t.Errorf("%q, %v", kept, err)
	}
}

// A key that is kept elsewhere is no reason to make a centre anew.
func TestHintNamesWhatIsMissing(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	dir := newCentre(t)
	cert := filepath.Join(t.TempDir(), "device.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	enrol := []string{"enrol", "--dir", dir, "--device", d.ID.String(), "--cert", cert}
	serve := []string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}
	backup := []string{"backup", "--dir", dir, "--to", dir + "-copy"}
	for _, row := range []struct {
		name  string
		gone  string // one more with each row
		args  []string
		has   string
		hasno string
	}{
		{"enrol without the root key", "root.key", enrol, "hint: put the key file back", "make a centre"},
		{"serve without the centre's key", "centre.key", serve, "hint: put the key file back", "make a centre"},
		{"backup of a centre without its database", "portal.db", backup, "portal.db", "hint"},
		{"enrol without a centre", "trust.pem", enrol, "hint: make a centre", "key file"},
		{"serve without a centre", "lock", serve, "hint: make a centre", "key file"},
		{"backup of no centre", "certificates", backup, "hint: make a centre", "key file"},
	} {
		if err := os.RemoveAll(filepath.Join(dir, row.gone)); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if code := portal.Main(row.args, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), row.has) || strings.Contains(stderr.String(), row.hasno) {
			t.Errorf("%s: exit %d\n%s%s", row.name, code, &stdout, &stderr)
		}
	}
}

func TestCommands(t *testing.T) {
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	dir := filepath.Join(t.TempDir(), "centre")
	cert := filepath.Join(t.TempDir(), "device.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		args   string
		code   int
		stderr string
	}{
		{"nothing", "", 2, "ciglio-portal init"},
		{"no such command", "begin", 2, "no command"},
		{"init without a directory", "init", 2, "--dir is missing"},
		{"a flag that is none", "init --color", 2, "not defined: -color\nhint: ciglio-portal help init"},
		{"an argument too many", "init --dir " + dir + " more", 2, "more"},
		{"serve before init", "serve --dir " + dir, 1, "hint: make a centre"},
		{"init", "init --json --dir " + dir, 0, ""},
		{"init again", "init --json --dir " + dir, 1, "hint: choose another directory"},
		{"a device id in capitals", "enrol --dir " + dir + " --device " + strings.ToUpper(d.ID.String()) + " --cert " + cert, 2, "hexadecimal"},
		{"a certificate that is none", "enrol --dir " + dir + " --device " + d.ID.String() + " --cert " + dir + "/root.key", 1, "CERTIFICATE"},
		{"a certificate that is not there", "enrol --dir " + dir + " --device " + d.ID.String() + " --cert nowhere", 1, "hint: --cert names"},
		{"a certificate of another device", "enrol --json --dir " + dir + " --device " + other.ID.String() + " --cert " + cert, 1, "hint: --device is"},
		{"enrol", "enrol --json --dir " + dir + " --device " + d.ID.String() + " --cert " + cert, 0, ""},
		{"enrol again", "enrol --json --dir " + dir + " --device " + d.ID.String() + " --cert " + cert, 1, "hint: a device that got a new key"},
		{"serve to the world", "serve --dir " + dir + " --listen 0.0.0.0:0", 1, "--allow-remote"},
		{"backup", "backup --json --dir " + dir + " --to " + dir + "-copy", 0, ""},
		{"backup again", "backup --json --dir " + dir + " --to " + dir + "-copy", 0, ""},
		{"backup among other things", "backup --json --dir " + dir + " --to " + dir, 1, "holds something else"},
		{"restore over a centre", "restore --json --no-newer --from " + dir + "-copy --dir " + dir, 1, "hint: a copy is put where nothing is"},
		{"restore", "restore --json --no-newer --from " + dir + "-copy --dir " + dir + "-restored", 0, ""},
		{"restore from nothing", "restore --json --no-newer --from " + dir + " --dir " + dir + "-other", 1, "no whole copy"},
		{"version", "version --json", 0, ""},
		{"version as a flag", "--version", 0, ""},
		{"help of a command", "help backup", 0, ""},
		{"help of none", "help begin", 2, "hint: ciglio-portal help lists them"},
		{"help", "--help", 0, ""},
	} {
		var stdout, stderr bytes.Buffer
		args := strings.Fields(row.args)
		if code := portal.Main(args, &stdout, &stderr); code != row.code || !strings.Contains(stderr.String(), row.stderr) {
			t.Errorf("%s: exit %d, want %d\n%s%s", row.name, code, row.code, &stdout, &stderr)
		}
		if row.code == 2 && row.args != "" && strings.Count(stderr.String(), "\n") != 2 {
			t.Errorf("%s: want a line and a hint:\n%s", row.name, &stderr)
		}
		if strings.Contains(row.args, "help") && row.code == 0 && (stderr.Len() > 0 || !strings.Contains(stdout.String(), "--dir")) {
			t.Errorf("%s: %s%s", row.name, &stdout, &stderr)
		}
		if strings.Contains(row.args, "--json") && !json.Valid(stdout.Bytes()) {
			t.Errorf("%s: not JSON: %s", row.name, &stdout)
		}
	}
	text, err := os.ReadFile(portal.TrustFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil || trust.Register().Register.Sequence != 2 || len(trust.Register().Register.Entries) != 2 {
		t.Errorf("trust file: %v", err)
	}
}
