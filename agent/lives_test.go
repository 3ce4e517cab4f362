package agent

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/agent/diag"
	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// A memoryStick is a stick, and the machine that it is plugged into once.
type memoryStick struct {
	files map[string][]byte
	put   chan string // names of what was written, and "closed"
}

func (m *memoryStick) Disks() ([]helper.Disk, error) {
	return []helper.Disk{{Device: "/dev/sda", Times: "1"}}, nil
}
func (m *memoryStick) Open(context.Context, helper.Disk) (helper.Stick, error) { return m, nil }
func (m *memoryStick) Wait(ctx context.Context)                                { <-ctx.Done() }
func (m *memoryStick) Kind() string                                            { return "vfat" }
func (m *memoryStick) List(context.Context) (list []stick.Entry, err error) {
	for name, content := range m.files {
		list = append(list, stick.Entry{Name: name, Size: int64(len(content))})
	}
	return list, nil
}
func (m *memoryStick) Read(_ context.Context, name string, _ int64) ([]byte, error) {
	return m.files[name], nil
}
func (m *memoryStick) Put(_ context.Context, name string, content []byte) error {
	if strings.HasPrefix(name, "receipt") && strings.HasSuffix(name, ".txt") {
		m.put <- string(content)
	}
	return nil
}
func (m *memoryStick) Close() error { return nil }

// A safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A device from the box waits for a stick, starts with what it brings in the same
// process, and has it in its chain; a second stick brings the next life.
func TestAStickBringsTheFirstLifeAndTheNext(t *testing.T) {
	dir := t.TempDir()
	device := evidence.DeviceID{1}
	root, rootSigner := testKeyOf(t, "root"), signerOf(t, "root")
	roles, signers := "institution = \"example\"\n", []evidence.Signer{}
	for _, role := range []p.Role{p.Laboratory, p.Operator, p.Officer} {
		spki, err := evidence.EncodeKey(&testKeyOf(t, string(role)).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, signerOf(t, string(role)))
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"desk\"\nkey = %q\nnot_before = \"2020-01-01T00:00:00Z\"\nnot_after = \"2099-12-31T23:59:59Z\"\n", role, base64.StdEncoding.EncodeToString(spki))
	}
	register, err := evidence.SealRegister(&evidence.Register{Sequence: 1, Issued: time.Now()}, rootSigner)
	if err != nil {
		t.Fatal(err)
	}
	bundle := func(kind p.Kind, version uint64, by []evidence.Signer, files ...p.File) []byte {
		t.Helper()
		now := time.Now().UTC().Truncate(time.Second)
		b, err := p.Make(p.Statement{Kind: kind, Version: version, Institution: "example", Devices: []evidence.DeviceID{device},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}, files)
		for _, s := range by {
			if err == nil {
				b, err = b.Sign(s)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes
	}
	calibrated := func(version uint64) []byte {
		text := fmt.Sprintf("id = \"A-117\"\nversion = %d\nsensor_serial = \"S\"\nnot_before = 2026-01-01T00:00:00Z\nnot_after = 2099-12-31T23:59:59Z\n", version)
		return bundle(p.Calibration, version, signers, p.File{Name: "calibration.toml", Content: []byte(text)}, p.File{Name: "certificate.pdf", Content: []byte("%PDF-1.7\n")})
	}
	placed := bundle(p.Site, 1, signers[1:], p.File{Name: "site.toml", Content: []byte("[site]\nid = \"SP14-12\"\nversion = 1\nroad = \"SP 14\"\nlatitude = \"44.4949deg\"\n" +
		"direction = \"approaching\"\nphoto_range = \"20m\"\nframes = 3\n[decree]\nwords = \"none\"\nfrom = 2026-01-01\n[[limit]]\nspeed = \"70km/h\"\n")})
	trust := bundle(p.Trust, 1, []evidence.Signer{rootSigner},
		p.File{Name: "trust.pem", Content: evidence.EncodeTrust(&root.PublicKey, register.Bytes)}, p.File{Name: "roles.toml", Content: []byte(roles)})

	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := port.Addr().String()
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ciglio.toml")
	text := fmt.Sprintf("[device]\nid = %q\ndir = %q\nkey = %q\ncertificate = %q\ncalibration = %q\n[provision]\nroot = %q\nhelper = %q\n"+
		"[clock]\nsource = \"simulated\"\n"+
		"[sensor]\npath = %q\nmodel = \"m\"\nserial = \"S\"\n[camera]\nurl = \"http://127.0.0.1:1/x\"\nmodel = \"m\"\nserial = \"s\"\nlatency = \"40ms\"\n[uplink]\nbroker = \"tcp://127.0.0.1:1\"\ntrust = %q\n[console]\nlisten = %q\n",
		device, dir, filepath.Join(dir, "e.key"), filepath.Join(dir, "d.crt"), filepath.Join(dir, "none.toml"), rootSigner.KeyID(), socket, filepath.Join(dir, "none"), filepath.Join(dir, "none.pem"), address)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	log := new(safeBuffer)
	waits := &awaited{words: []byte("not provisioned"), seen: make(chan struct{})}
	listens := &awaited{words: []byte("console listens"), seen: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, c, slog.New(slog.NewTextHandler(io.MultiWriter(log, waits, listens), nil)), diag.NewTail(1<<10))
	}()
	// A stick that is quicker than the start would be found installed by the first life.
	select {
	case <-waits.seen:
	case err := <-served:
		t.Fatalf("the service ended: %v\n%s", err, log)
	case <-time.After(2 * time.Minute):
		t.Fatalf("it does not wait for a stick\n%s", log)
	}
	// Before the first stick there is one page, which says what is missing.
	select {
	case <-listens.seen:
	case <-time.After(2 * time.Minute):
		t.Fatalf("it shows no page\n%s", log)
	}
	answer, err := http.Get("http://" + address + "/login")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(page), "Il dispositivo aspetta una chiavetta") || strings.Contains(string(page), device.String()) ||
		strings.Count(string(page), "<h3>") != 3 {
		t.Errorf("before the first stick: %v\n%s", err, page)
	}
	m := &memoryStick{map[string][]byte{"t.ciglio": trust, "c.ciglio": calibrated(1)}, make(chan string, 4)}
	use := func(want string) {
		t.Helper()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		inner, stop := context.WithCancel(ctx)
		go func() { defer close(ended); helper.ServeConn(inner, conn, m) }()
		select {
		case got := <-m.put:
			if !strings.Contains(got, want) {
				t.Errorf("receipt %q, want %q", got, want)
			}
		case err := <-served:
			t.Fatalf("the service ended: %v\n%s", err, log)
		case <-time.After(2 * time.Minute):
			t.Fatalf("no receipt\n%s", log)
		}
		stop()
		<-ended
	}
	use("calibration version 1 is in force")
	m.files = map[string][]byte{"c.ciglio": calibrated(2), "s.ciglio": placed}
	use("calibration version 2 is in force")
	cancel()
	if err := <-served; err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	if !strings.Contains(log.String(), "site=\"\"") || !strings.Contains(log.String(), "site=SP14-12") || strings.Count(log.String(), "device starts") != 2 {
		t.Errorf("want a life without a site and one with it\n%s", log)
	}
	state, err := openProvisioned(c, device)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if left := state.Pending(); len(left) != 0 || state.Trial() {
		t.Errorf("not in the chain: %+v", left)
	}
	var out, errs bytes.Buffer
	if code := Main([]string{"outbox", "list", "--dir", outboxDir(c)}, &out, &errs); code != 0 || strings.Count(out.String(), "operator") != 6 { // four installed, and the second start finds another calibration and another site
		t.Errorf("%s%s", out.String(), errs.String())
	}
}

// awaited closes seen when a line with the words is written. Only one line is written
// at a time, and whole.
type awaited struct {
	words []byte
	once  sync.Once
	seen  chan struct{}
}

func (a *awaited) Write(line []byte) (int, error) {
	if bytes.Contains(line, a.words) {
		a.once.Do(func() { close(a.seen) })
	}
	return len(line), nil
}
