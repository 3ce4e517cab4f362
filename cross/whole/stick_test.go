package whole

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	"ciglio/cross/statement"
	p "ciglio/internal/provisioning"
	"ciglio/portal/keys"
)

// A socketOfSticks is where folders are plugged in as sticks.
type socketOfSticks struct {
	mu    sync.Mutex
	in    string // folder of the stick that is in; "" for none
	n     int
	event chan struct{}
}

func (s *socketOfSticks) plug(folder string) {
	s.mu.Lock()
	s.in, s.n = folder, s.n+1
	s.mu.Unlock()
	select {
	case s.event <- struct{}{}:
	default:
	}
}

func (s *socketOfSticks) Disks() ([]helper.Disk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in == "" {
		return nil, nil
	}
	return []helper.Disk{{Device: "/dev/sda", Times: fmt.Sprint(s.n)}}, nil
}

func (s *socketOfSticks) Open(context.Context, helper.Disk) (helper.Stick, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return folderStick(s.in), nil
}

func (s *socketOfSticks) Wait(ctx context.Context) {
	select {
	case <-s.event:
	case <-ctx.Done():
	}
}

// A folderStick is a stick whose files are those of a folder.
type folderStick string

func (s folderStick) Kind() string { return "vfat" }
func (s folderStick) Close() error { return nil }

func (s folderStick) List(context.Context) (list []stick.Entry, err error) {
	err = filepath.WalkDir(string(s), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(string(s), path)
		list = append(list, stick.Entry{Name: filepath.ToSlash(name), Size: info.Size()})
		return err
	})
	return list, err
}

func (s folderStick) Read(_ context.Context, name string, _ int64) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(s), name))
}

func (s folderStick) Put(_ context.Context, name string, content []byte) error {
	return os.WriteFile(filepath.Join(string(s), name), content, 0o600)
}

// TestASticksStory has the programs as they are delivered: a device connected to its
// centre by TLS, beside a road that is played. Its calibration has expired. A stick
// brings a new one, and it measures again; a site statement lowers the limit, and the
// record says so; a state with which it cannot start is taken back; an order of the
// centre comes over the network and is answered, and an officer's takes evidence out.
func TestASticksStory(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds three programs and waits for vehicles")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	dir, bin := t.TempDir(), programs(t)
	said := new(output)
	defer func() {
		if t.Failed() {
			t.Logf("%s", said)
		}
	}()
	try := func(name string, args ...string) (string, error) {
		var errs bytes.Buffer
		c := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		c.Dir, c.Stderr = dir, &errs
		out, err := c.Output()
		if err != nil {
			err = fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, &errs)
		}
		return string(out), err
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := try(name, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	start := func(name string, args ...string) io.Reader {
		t.Helper()
		c := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		c.WaitDelay = 20 * time.Second
		c.Dir, c.Stderr = dir, said
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cancel(); c.Wait() })
		return out
	}
	until := func(what string, met func() bool) {
		t.Helper()
		for !met() {
			select {
			case <-ctx.Done():
				t.Fatalf("waited in vain: %s\n%s", what, said)
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	write := func(name string, content []byte) string {
		t.Helper()
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if err == nil {
			err = os.WriteFile(name, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return name
	}

	// The centre, by TLS.
	run("ciglio-portal", "init", "--dir", "centre")
	const device = "c1000000000000000000000000000012"
	id, _ := evidence.ParseDeviceID(device)
	run("ciglio-portal", "officer", "--dir", "centre", "--key", "officer.key")
	core := regexp.MustCompile(`core_id ([0-9a-f]{64})`).FindStringSubmatch(run("ciglio", "version"))
	if core == nil {
		t.Fatal("ciglio version names no core")
	}
	camera, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	picture := camera.Addr().String()
	camera.Close()
	configured := func(broker, est string) {
		write("ciglio.toml", fmt.Appendf(nil, `[device]
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
limit = "70km/h"
direction = "unknown"
[sensor]
driver = "iqframe"
port = %q
model = "simulated radar"
serial = "SIM-0001"
maximum = "130km/h"
[camera]
driver = "http"
url = "http://%s/video.mjpeg"
model = "simulated camera"
serial = "SIM-1"
latency = "40ms"
slot = "512KiB"
[clock]
source = "simulated"
[uplink]
broker = %q
enrolment = %q
trust = %q
ca = %q
certificate = %q
[provision]
helper = %q
`, device, dir, dir+"/evidence.key", dir+"/device.crt", dir+"/calibration.toml", dir+"/radar", picture, broker, est, dir+"/trust.pem", dir+"/ca.pem", dir+"/uplink.crt", dir+"/sticks"))
	}
	configured("tls://localhost:1", "https://localhost:1")
	run("ciglio", "key", "show", "--config", "ciglio.toml") // makes the keys
	run("ciglio-portal", "enrol", "--dir", "centre", "--device", device, "--cert", "device.crt")
	var serving struct{ Pages, MQTT, EST string }
	if err := json.NewDecoder(start("ciglio-portal", "serve", "--dir", "centre", "--json", "--listen", "127.0.0.1:0", "--mqtt", "tls://127.0.0.1:0", "--est", "127.0.0.1:0", "--name", "localhost")).Decode(&serving); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	port := func(address string) string {
		address = strings.TrimPrefix(strings.TrimPrefix(address, "tls://"), "https://")
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	configured("tls://localhost:"+port(serving.MQTT), "https://localhost:"+port(serving.EST))
	code := regexp.MustCompile(`\b[A-Z0-9]{4,}(-[A-Z0-9]{4,})+\b`).FindString(run("ciglio-portal", "enrol", "--dir", "centre", "--device", device, "--code"))
	believed, err := os.ReadFile(dir + "/centre/ca/believed.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(believed)
	authority := sha256.Sum256(block.Bytes)
	run("ciglio", "key", "enrol", "--code", code, "--authority", hex.EncodeToString(authority[:]), "--config", "ciglio.toml")
	trust, err := os.ReadFile(dir + "/centre/trust.pem")
	if err != nil {
		t.Fatal(err)
	}
	write("trust.pem", trust)

	// Who signs what is brought.
	root, err := keys.Load(dir + "/centre/root.key")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	roles, signers := fmt.Sprintf("institution = \"example\"\ncentre = %q\n", identity.Recipient()), map[p.Role]evidence.Signer{p.Root: root}
	for _, role := range []p.Role{p.Laboratory, p.Operator, p.Officer} {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		spki, err := evidence.EncodeKey(&private.PublicKey)
		if err == nil {
			signers[role], err = evidence.NewSigner(private)
		}
		if err != nil {
			t.Fatal(err)
		}
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"desk\"\nkey = %q\nnot_before = \"2020-01-01T00:00:00Z\"\nnot_after = \"2099-12-31T23:59:59Z\"\n", role, base64.StdEncoding.EncodeToString(spki))
	}
	now := time.Now().UTC().Truncate(time.Second)
	bundle := func(kind p.Kind, version uint64, files ...p.File) []byte {
		t.Helper()
		b, err := p.Make(p.Statement{Kind: kind, Version: version, Institution: "example", Devices: []evidence.DeviceID{id},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}, files)
		for _, role := range p.Kinds()[kind].Signers {
			if err == nil {
				b, err = b.Sign(signers[role])
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes
	}
	calibrated := func(from, to time.Time) []byte {
		return statement.Calibration{ID: "DESK", Serial: "SIM-0001", Core: words(core[1]), From: from, To: to, Checked: now.AddDate(0, -1, 0)}.Text()
	}
	year := func(y int) time.Time { return time.Date(now.Year()+y, 1, 1, 0, 0, 0, 0, time.UTC) }
	placed := func(frames int, limit string) []byte {
		return fmt.Appendf(nil, `[site]
id = "DESK-2"
version = 1
road = "SP 14 (simulated)"
position = "12.4km"
latitude = "44.6949deg"
longitude = "11.2426deg"
heading = "90deg"
direction = "unknown"
photo_range = "20m"
frames = %d
[decree]
words = "none: simulated road"
from = 2020-01-01
[[limit]]
speed = %q
`, frames, limit)
	}

	// The device, with a calibration that has expired, in a road that is played.
	write("calibration.toml", calibrated(year(-2), year(0).Add(-time.Second)))
	socket, sticks := dir+"/sticks", &socketOfSticks{event: make(chan struct{}, 1)}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go helper.Serve(ctx, l, sticks, slog.New(slog.DiscardHandler))
	start("ciglio-demo", "roadside", "--radar", dir+"/radar", "--camera", picture)
	until("radar", func() bool { _, err := os.Lstat(dir + "/radar"); return err == nil })
	start("ciglio", "run", "--config", "ciglio.toml")
	var state struct {
		Site struct {
			ID    string
			Limit string
		}
		Calibration struct{ ID string }
		Uplink      struct{ Connected bool }
		Health      struct {
			Measuring bool
			Reasons   []struct{ Code, Words string }
		}
	}
	status := func() bool {
		state.Health.Reasons = nil
		out, _ := try("ciglio", "status", "--json", "--config", "ciglio.toml") // it fails while the device does not measure
		return json.Unmarshal([]byte(out), &state) == nil
	}
	// One thing alone keeps the device from measuring, and it is the calibration.
	until("the calibration alone closes the gate", func() bool {
		return status() && len(state.Health.Reasons) == 1 && state.Health.Reasons[0].Code == "calibration_expired" && state.Uplink.Connected
	})
	plug := func(files map[string][]byte) (receipt string, folder string) {
		t.Helper()
		folder = t.TempDir()
		for name, content := range files {
			path := filepath.Join(folder, name)
			err := os.MkdirAll(filepath.Dir(path), 0o700)
			if err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		sticks.plug(folder)
		until("receipt", func() bool {
			found, _ := filepath.Glob(folder + "/receipt-*.txt")
			if len(found) == 0 {
				return false
			}
			text, err := os.ReadFile(found[0])
			receipt = string(text)
			return err == nil && receipt != ""
		})
		return receipt, folder
	}
	record := func(kind string, after int) (number int) {
		t.Helper()
		until("a settled record of kind "+kind, func() bool {
			out, _ := try("ciglio", "outbox", "list", "--dir", "outbox")
			for _, line := range strings.Split(out, "\n") {
				if f := strings.Fields(line); len(f) > 4 && f[3] == kind && f[4] == "settled" {
					if _, err := fmt.Sscan(f[1], &number); err == nil && number > after {
						return true
					}
				}
			}
			return false
		})
		return number
	}

	// A stick brings the new calibration.
	receipt, folder := plug(map[string][]byte{
		"t.ciglio": bundle(p.Trust, 1, p.File{Name: "trust.pem", Content: trust}, p.File{Name: "roles.toml", Content: []byte(roles)}),
		"c.ciglio": bundle(p.Calibration, 1, p.File{Name: "calibration.toml", Content: calibrated(year(0), year(1).Add(-time.Second))}, p.File{Name: "certificate.pdf", Content: []byte("%PDF-1.7\n")}),
	})
	if !strings.Contains(receipt, "calibration version 1 is in force") {
		t.Fatalf("%s", receipt)
	}
	for _, left := range []string{"request-c1000000.cose", "journal-c1000000.txt"} {
		if text, err := os.ReadFile(filepath.Join(folder, left)); err != nil || len(text) == 0 {
			t.Errorf("the stick takes no %s away: %v", left, err)
		}
	}
	until("it measures again", func() bool { return status() && state.Health.Measuring })
	first := record("test", 0)

	// A site statement says another limit, and the record the same.
	if receipt, _ = plug(map[string][]byte{"s.ciglio": bundle(p.Site, 1, p.File{Name: "site.toml", Content: placed(3, "60km/h")})}); !strings.Contains(receipt, "site version 1 is in force") {
		t.Fatalf("%s", receipt)
	}
	until("it measures at the new site", func() bool { return status() && state.Health.Measuring && state.Site.ID == "DESK-2" })
	second := record("test", first+1)
	for number, limit := range map[int]string{first: `"limit":"70.00 km/h"`, second: `"limit":"60.00 km/h"`} {
		run("ciglio", "outbox", "export", "--dir", "outbox", "--out", "records", fmt.Sprint(number))
		file := fmt.Sprintf("records/1-%d.zip", number)
		run("ciglio", "verify", "--trust", "trust.pem", file)
		if out := strings.ReplaceAll(run("ciglio", "inspect", file), `": `, `":`); !strings.Contains(out, limit) {
			t.Errorf("record %d has no %s:\n%s", number, limit, out)
		}
	}

	// A state with which the device cannot be built.
	if receipt, _ = plug(map[string][]byte{"s.ciglio": bundle(p.Site, 2, p.File{Name: "site.toml", Content: placed(9, "50km/h")})}); strings.Contains(receipt, "site version 2 is in force") || !strings.Contains(receipt, "site version 1") {
		t.Errorf("%s", receipt)
	}
	until("it measures as before", func() bool { return status() && state.Health.Measuring && state.Site.ID == "DESK-2" })

	// An order of the centre, over the network, answered in the chain and on the page.
	run("ciglio-portal", "order", "--dir", "centre", "--device", device, "--kind", "status")
	until("the answer on the device's page", func() bool {
		answer, err := http.Get("http://" + strings.TrimPrefix(serving.Pages, "http://") + "/devices/" + device)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		page, err := io.ReadAll(answer.Body)
		_, orders, there := strings.Cut(string(page), `id="orders"`)
		return err == nil && there && strings.Contains(orders, "/records/")
	})

	// An officer's order takes evidence out, and nobody but the centre reads it.
	run("ciglio-portal", "order", "--dir", "centre", "--device", device, "--kind", "export", "--key", "officer.key", "--reason", "inspection",
		"--from", fmt.Sprint(first), "--to", fmt.Sprint(first), "--recipient", identity.Recipient().String(), "--out", "export.order")
	order, err := os.ReadFile(dir + "/export.order")
	if err != nil {
		t.Fatal(err)
	}
	receipt, folder = plug(map[string][]byte{"orders/export.order": order})
	parts, _ := filepath.Glob(folder + "/evidence-*.age.*")
	if len(parts) == 0 {
		t.Fatalf("no evidence on the stick: %s", receipt)
	}
	var readers []io.Reader
	for _, part := range parts {
		content, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, bytes.NewReader(content))
	}
	plain, err := age.Decrypt(io.MultiReader(readers...), identity)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(plain)
	h, err := archive.Next()
	if err != nil || h.Name != fmt.Sprintf("1-%d.zip", first) {
		t.Fatalf("%+v, %v", h, err)
	}
	content, err := io.ReadAll(archive)
	if _, end := archive.Next(); err != nil || !errors.Is(end, io.EOF) {
		t.Errorf("%v, %v", err, end)
	}
	run("ciglio", "verify", "--trust", "trust.pem", write("taken/1.zip", content))
}

// words is a text that prints itself.
type words string

func (w words) String() string { return string(w) }
