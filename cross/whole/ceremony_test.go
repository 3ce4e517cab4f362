package whole

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCeremonyPage does what docs/ceremony.md says, as it stands: a root apart, a
// centre, a device, and each change of a key.
func TestCeremonyPage(t *testing.T) {
	for _, name := range []string{"openssl", "python3"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	page, err := os.ReadFile("../../docs/ceremony.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	d := newDesk(t)
	bin := filepath.Join(d.home, "bin")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "filippo.io/age/cmd/age-keygen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bin += ":" + programs(t)
	var done int
	for _, b := range blocks(string(page)) {
		if b.terminal == "every" {
			b.text = "export PATH=" + bin + ":$PATH\n"
		}
		out := d.do(b, time.Minute)
		done++
		if strings.Contains(b.text, "provision-inspect") && (!strings.Contains(out, "signatures  complete") || !strings.Contains(out, "Laboratory 12")) {
			t.Errorf("the trust bundle: %s", out)
		}
		if strings.Contains(b.text, "authority --dir ~/centre\n") && !strings.Contains(out, "issues, until") {
			t.Errorf("after the restore: %s", out)
		}
	}
	if done < 12 {
		t.Errorf("the page has %d steps", done)
	}
	for path, want := range map[string]bool{"centre/root.key": false, "centre/centre.key": true, "centre/trust.pem": true, "root/root.key": true, "mosquitto/server.crt": true} {
		if _, err := os.Stat(filepath.Join(d.home, path)); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	// What is there is a centre: it opens its register, its keys and its store.
	out := d.do(block{text: `timeout -s INT 5 ciglio-portal serve --dir ~/centre --listen 127.0.0.1:0 --mqtt tls://127.0.0.1:0 --name localhost --est 127.0.0.1:0 || test $? = 124
`}, time.Minute)
	if !strings.Contains(out, "broker tls://127.0.0.1:") || !strings.Contains(out, "enrol  https://127.0.0.1:") || strings.Contains(out, "no receipt can be given") {
		t.Errorf("the centre that was restored:\n%s", out)
	}
}
