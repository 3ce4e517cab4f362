package whole

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ciglio/agent/config"
	"ciglio/uplink/wire"
)

// TestDeviceEnrolsAtTheCentre has the programs of both sides meet: a device gets its
// certificate for a one-time code, by the authority's fingerprint alone, and brings its
// evidence key.
func TestDeviceEnrolsAtTheCentre(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	run := func(name string, args ...string) []byte {
		t.Helper()
		var errs bytes.Buffer
		c := exec.CommandContext(ctx, name, args...)
		c.Dir, c.Stderr = dir, &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, &errs)
		}
		return out
	}
	ciglio, portal := programs(t)+"/ciglio", programs(t)+"/ciglio-portal"
	centre := dir + "/centre"
	run(portal, "init", "--dir", centre)

	serving, stop := context.WithCancel(ctx)
	serve := exec.CommandContext(serving, portal, "serve", "--dir", centre, "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--est", "127.0.0.1:0", "--name", "localhost")
	serve.Cancel = func() error { return serve.Process.Signal(os.Interrupt) }
	said := new(output)
	serve.Stderr = said
	stdout, err := serve.StdoutPipe()
	if err == nil {
		err = serve.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); serve.Wait() }()
	address, lines := "", bufio.NewScanner(stdout)
	for address == "" && lines.Scan() {
		if m := regexp.MustCompile(`enrol +https://127\.0\.0\.1(:\d+)/`).FindStringSubmatch(lines.Text()); m != nil {
			address = "https://localhost" + m[1]
		}
	}
	if address == "" {
		t.Fatalf("the centre does not say where to enrol: %s", said)
	}

	const device = "c1000000000000000000000000000009"
	c := config.Default()
	c.Device.ID, c.Device.Dir, c.Device.TPM = device, dir, "none"
	c.Device.Key, c.Device.Certificate = dir+"/evidence.key", dir+"/device.crt"
	c.Uplink.Enrolment, c.Uplink.CA, c.Uplink.Certificate = address, dir+"/ca.pem", dir+"/uplink.crt"
	c.Site.ID, c.Site.Road, c.Site.Latitude, c.Site.Limit = "site", "SP 1", 45e7, 5000
	c.Sensor.Model, c.Sensor.Serial = "radar", "1"
	text, err := c.AppendText(nil)
	if err == nil {
		err = os.WriteFile(dir+"/ciglio.toml", text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`\b[A-Z0-9]{4,}(-[A-Z0-9]{4,})+\b`).Find(run(portal, "enrol", "--dir", centre, "--device", device, "--code"))
	if code == nil {
		t.Fatal("the centre gives no code")
	}
	believed, err := os.ReadFile(centre + "/ca/believed.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(believed)
	sum := sha256.Sum256(block.Bytes)
	var enrolled, shown struct {
		Fingerprint string `json:"fingerprint"`
		Request     string `json:"request_fingerprint"`
		TLS         struct {
			Until *time.Time `json:"certificate_ends"`
		} `json:"tls_key"`
	}
	for _, do := range []struct {
		into any
		args []string
	}{
		{&enrolled, []string{"key", "enrol", "--code", string(code), "--authority", hex.EncodeToString(sum[:])}},
		{&shown, []string{"key", "show"}},
	} {
		if err := json.Unmarshal(run(ciglio, append(do.args, "--config", "ciglio.toml", "--json")...), do.into); err != nil {
			t.Fatal(err)
		}
	}
	if enrolled.Fingerprint == "" || enrolled.Fingerprint != shown.Request || shown.TLS.Until == nil || !shown.TLS.Until.After(time.Now()) {
		t.Errorf("enrolled %+v, shows %+v", enrolled, shown)
	}
	proposed, err := os.ReadFile(centre + "/proposed/" + device + ".request")
	if err != nil {
		t.Fatal(err)
	}
	r, err := wire.OpenRequest(proposed)
	if err != nil || r.Fingerprint.String() != shown.Request {
		t.Errorf("the centre has %v, %v; the device shows %s", r, err, shown.Request)
	}
}
