package board_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"testing"

	"ciglio/agent/config"
	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
)

// TestKeysInTheTPMOfABoard has the program make its keys in a TPM behind the
// kernel's driver and resource manager, and find them again.
func TestKeysInTheTPMOfABoard(t *testing.T) {
	boardtest.Need(t, boardtest.All)
	if _, err := exec.LookPath("swtpm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: install it with make deps", err)
		}
		t.Skipf("%v: install it with make deps", err)
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	tpm := exec.CommandContext(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=tcp,port="+port, "--flags", "not-need-init,startup-clear")
	if err := tpm.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { tpm.Process.Kill(); tpm.Wait() }()
	program, err := board.Build(t.Context(), "arm-7", "ciglio/agent/cmd/ciglio")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Device.ID, c.Device.Dir, c.Device.TPM = "c1000000000000000000000000000009", "/keys", "auto"
	c.Device.Key, c.Device.Certificate, c.Uplink.Certificate = "/keys/evidence.key", "/keys/device.crt", "/keys/uplink.crt"
	c.Site.ID, c.Site.Road, c.Site.Latitude, c.Site.Limit = "site", "SP 1", 45e7, 5000
	c.Sensor.Model, c.Sensor.Serial = "radar", "1"
	text, err := c.AppendText(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := withTests(t, "arm64")
	o.Files["/bin/ciglio"], o.Texts, o.Modules = program, map[string]string{"/etc/ciglio.toml": string(text)}, []string{"tpm_vtpm_proxy"}
	b := boardtest.Start(t, o)
	onBoard(t, b, "TestTPM", "-address="+net.JoinHostPort(guest.HostAddress, port))
	wait(t, b, "tpm: number 0")
	type view struct {
		Class string `json:"class"`
		KeyID string `json:"kid"`
	}
	var before struct {
		Evidence view `json:"evidence_key"`
		TLS      view `json:"tls_key"`
	}
	after := before
	for _, into := range []any{&before, &after} {
		if err := json.Unmarshal([]byte(boardtest.Run(t, b, "ciglio", "key", "show", "--config", "/etc/ciglio.toml", "--json")), into); err != nil {
			t.Fatal(err)
		}
	}
	if before != after || before.Evidence.Class != "tpm2" || before.TLS.Class != "tpm2" {
		t.Errorf("first %+v, then %+v", before, after)
	}
	boardtest.Run(t, b, "ciglio", "key", "request", "--config", "/etc/ciglio.toml", "--out", "/keys/request.cose")
}
