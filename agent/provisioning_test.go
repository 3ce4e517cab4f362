package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
)

// From two empty desks to an installed state: the root, the laboratory and the
// operator each make a key; a trust bundle and a calibration are made, signed one
// desk after the other, inspected, and installed on a device that knew nothing but
// the fingerprint of the root.
func TestADeskProvisionsADevice(t *testing.T) {
	if testing.Short() {
		t.Skip("short: passphrases, which are slow to try by design")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Main(args, &out, &errs); code != want {
			t.Fatalf("ciglio %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	write("phrase", "correct horse battery staple\n")
	write("wrong", "another\n")
	roles := "institution = \"example\"\n"
	for _, role := range []string{"laboratory", "operator"} {
		line := run(0, "provision", "key", "--out", role+".key", "--passphrase", "phrase")
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"desk\"\n%snot_before = \"2020-01-01T00:00:00Z\"\nnot_after = \"2099-12-31T23:59:59Z\"\n", role, line)
	}
	run(1, "provision", "key", "--out", "operator.key", "--passphrase", "phrase") // never replaced
	write("roles.toml", roles)
	root := testKeyOf(t, "root")
	if err := writeDeskKey("root.key", "phrase", root); err != nil {
		t.Fatal(err)
	}
	signer, err := readDeskKey("root.key", "phrase")
	if err != nil {
		t.Fatal(err)
	}
	register, err := evidence.SealRegister(&evidence.Register{Sequence: 1, Issued: time.Now()}, signer)
	if err != nil {
		t.Fatal(err)
	}
	write("trust.pem", string(evidence.EncodeTrust(&root.PublicKey, register.Bytes)))
	year := time.Now().UTC().Year()
	write("calibration.toml", fmt.Sprintf("id = \"A-117\"\nversion = 1\nsensor_serial = \"S\"\nnot_before = %d-01-01T00:00:00Z\nnot_after = %d-12-31T23:59:59Z\n", year, year))
	write("certificate.pdf", "%PDF-1.7\n")
	const id = "00112233445566778899aabbccddeeff"
	common := []string{"--institution", "example", "--devices", id, "--to", fmt.Sprintf("%d-12-31T23:59:59Z", year+1)}
	run(0, append(append([]string{"provision", "make", "--kind", "trust", "--version", "1", "--out", "t.ciglio"}, common...), "trust.pem", "roles.toml")...)
	run(0, append(append([]string{"provision", "make", "--kind", "calibration", "--version", "1", "--out", "c.ciglio"}, common...), "calibration.toml", "certificate.pdf")...)
	run(1, append(append([]string{"provision", "make", "--kind", "calibration", "--version", "1", "--out", "x.ciglio"}, common...), "certificate.pdf", "calibration.toml")...)
	sign := func(key, bundle string) {
		t.Helper()
		run(0, "provision", "sign", "--key", key, "--passphrase", "phrase", bundle)
	}
	sign("root.key", "t.ciglio")
	run(1, "provision", "sign", "--key", "laboratory.key", "--passphrase", "wrong", "c.ciglio")
	sign("laboratory.key", "c.ciglio")
	run(1, "provision", "sign", "--key", "laboratory.key", "--passphrase", "phrase", "c.ciglio") // twice
	if out := run(1, "provision", "inspect", "--trust", "t.ciglio", "c.ciglio"); !strings.Contains(out, "it is signed by laboratory") {
		t.Errorf("%s", out)
	}
	config := fmt.Sprintf("[device]\nid = %q\ndir = %q\nkey = %q\ncertificate = %q\n[provision]\nroot = %q\n[site]\nid = \"X\"\nroad = \"X\"\nlatitude = \"44deg\"\nlongitude = \"11deg\"\nlimit = \"70km/h\"\n"+
		"[sensor]\npath = \"x\"\nmodel = \"m\"\nserial = \"S\"\n[camera]\nurl = \"http://127.0.0.1/x\"\nmodel = \"m\"\nserial = \"s\"\nlatency = \"40ms\"\n[uplink]\ntrust = %q\n",
		id, dir, filepath.Join(dir, "e.key"), filepath.Join(dir, "d.crt"), signer.KeyID(), filepath.Join(dir, "none.pem"))
	write("ciglio.toml", config)
	if out := run(1, "provision", "apply", "--config", "ciglio.toml", "t.ciglio", "c.ciglio"); !strings.Contains(out, "a signature is missing") {
		t.Errorf("%s", out)
	}
	sign("operator.key", "c.ciglio")
	if out := run(0, "provision", "inspect", "--trust", "t.ciglio", "c.ciglio"); !strings.Contains(out, "complete") {
		t.Errorf("%s", out)
	}
	if out := run(0, "provision", "apply", "--config", "ciglio.toml", "c.ciglio", "t.ciglio"); strings.Count(out, "is installed") != 2 {
		t.Errorf("%s", out)
	}
	if out := run(0, "provision", "apply", "--config", "ciglio.toml", "c.ciglio"); !strings.Contains(out, "installed already") {
		t.Errorf("%s", out)
	}
}
