package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/agent/config"
	"ciglio/agent/diag"
	"ciglio/capture/evidence"
	"ciglio/uplink/outbox"
)

// TestDiagHoldsNoSecret plants secrets in all that an archive is made of.
func TestDiagHoldsNoSecret(t *testing.T) {
	dir := t.TempDir()
	store, all := journalled(t)
	if err := os.Rename(store, filepath.Join(dir, "outbox")); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(dir, "camera.password")
	if err := os.WriteFile(password, []byte("PLANTED-camera\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ciglio.toml")
	text := `[device]
dir = "` + dir + `"
id = "00112233445566778899aabbccddeeff"
[site]
id = "PLANTED-camera"
[camera]
url = "http://admin:PLANTED-url@192.168.1.20/video"
user = "admin"
password_file = "` + password + `"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "diag.zip")
	if code, _, errs := runCommand("diag", "collect", "--config", file, "--out", out); code != exitGood {
		t.Fatal(errs)
	}
	b, err := os.ReadFile(out)
	if err != nil || len(b) > maxDiag {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	parts, err := diag.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	var journal string
	for _, p := range parts {
		if bytes.Contains(p.Text, []byte("PLANTED")) {
			t.Errorf("%s holds a secret:\n%s", p.Name, p.Text)
		}
		if p.Name == "journal.txt" {
			journal = string(p.Text)
		}
	}
	for _, want := range []string{"version.json", "configuration.toml", "outbox.json", "machine/meminfo.txt"} {
		if !strings.Contains(diag.Names(parts), want) {
			t.Errorf("%s is missing: %s", want, diag.Names(parts))
		}
	}
	if !strings.Contains(journal, "a stick was applied") || len(all) == 0 {
		t.Errorf("the journal:\n%s", journal)
	}
	if code, _, errs := runCommand("diag", "collect", "--config", file, "--out", out); code != exitFailed || !strings.Contains(errs, out) || !strings.Contains(errs, "hint: --out") {
		t.Errorf("over a file that is there: exit %d, %s", code, errs)
	}
}

// TestDiagAnswersAnOrder holds the answer to the size of one.
func TestDiagAnswersAnOrder(t *testing.T) {
	o, err := outbox.Open(filepath.Join(t.TempDir(), "outbox"), outbox.Options{Device: evidence.DeviceID{1}, SegmentSize: 1 << 20, Reserve: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	tail := diag.NewTail(diagLog)
	for i := range 5000 {
		tail.Write([]byte("level=INFO msg=\"uplink connected\" session=" + strings.Repeat("x", i%40) + " token=PLANTED\n"))
	}
	b, media, err := diagnostics(config.Default(), o, tail)()
	if err != nil || media != "application/zip" || len(b) == 0 || len(b) > evidence.MaxAnswer {
		t.Fatalf("%d bytes of %s, %v", len(b), media, err)
	}
	parts, err := diag.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if bytes.Contains(p.Text, []byte("PLANTED")) {
			t.Errorf("%s holds a secret", p.Name)
		}
	}
	if !strings.Contains(diag.Names(parts), "log.txt") {
		t.Error(diag.Names(parts))
	}
}
