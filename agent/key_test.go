package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/agent/config"
	"ciglio/capture/evidence"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// newPerson writes the configuration of a device and returns it with the file.
func newPerson(t *testing.T) (*person, string) {
	t.Helper()
	c := config.Default()
	dir := t.TempDir()
	c.Device.ID = "c1000000000000000000000000000009"
	c.Device.Dir, c.Device.Key, c.Device.Certificate, c.Device.TPM = dir, dir+"/evidence.key", dir+"/device.crt", "none"
	c.Site.ID, c.Site.Road, c.Site.Latitude, c.Site.Limit = "site", "SP 1", 45e7, 5000
	c.Sensor.Model, c.Sensor.Serial, c.Sensor.Angle = "radar", "1", 0
	c.Clock.Source = "simulated"
	c.Outbox.Quota = 200 << 20
	text, err := c.AppendText(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ciglio.toml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = config.Load(path, nil); err != nil {
		t.Fatal(err)
	}
	id, err := evidence.ParseDeviceID(c.Device.ID)
	if err != nil {
		t.Fatal(err)
	}
	return &person{c: c, id: id}, path
}

// command runs a command that must be good and reads its JSON.
func runJSON(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var out, errs bytes.Buffer
	if exit := Main(append(args, "--json"), &out, &errs); exit != exitGood {
		t.Fatalf("%v: exit %d: %s", args, exit, &errs)
	}
	var v map[string]any
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("%v: %v: %s", args, err, &out)
	}
	return v
}

func TestKeyChangeBeginsTheNextEpoch(t *testing.T) {
	p, path := newPerson(t)
	shown := runJSON(t, "key", "show", "--config", path)
	old := shown["evidence_key"].(map[string]any)["kid"].(string)
	request := filepath.Join(t.TempDir(), "request.cose")
	if made := runJSON(t, "key", "request", "--config", path, "--out", request); made["fingerprint"] != shown["request_fingerprint"] || len(made["fingerprint"].(string)) != 39 {
		t.Errorf("fingerprints %v and %v", made["fingerprint"], shown["request_fingerprint"])
	}
	open := func() *wire.SealedRequest {
		t.Helper()
		b, err := os.ReadFile(request)
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.OpenRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := open(); r.Epoch != 1 || r.KeyID.String() != old || r.Change != nil {
		t.Errorf("request of epoch %d, key %v, change %v", r.Epoch, r.KeyID, r.Change)
	}
	changed := runJSON(t, "key", "change", "--config", path)
	if changed["epoch"] != 2.0 || changed["kid"] == old || changed["vouched"] != true {
		t.Errorf("change %v", changed)
	}
	if again := runJSON(t, "key", "show", "--config", path); again["epoch"] != 2.0 || again["evidence_key"].(map[string]any)["kid"] != changed["kid"] {
		t.Errorf("after the change %v", again)
	}
	runJSON(t, "key", "request", "--config", path, "--out", request)
	if r := open(); r.Epoch != 2 || r.Change == nil || r.Change.KeyID.String() != old {
		t.Errorf("request of epoch %d, change %+v", r.Epoch, r.Change)
	}
	// The next record begins the epoch.
	store, err := outbox.Open(outboxDir(p.c), outbox.Options{Device: p.id, Epoch: epoch(p.c), Quota: int64(p.c.Outbox.Quota), Reserve: int64(p.c.Outbox.Reserve)})
	if err != nil {
		t.Fatal(err)
	}
	if h := store.Head(); h.Epoch != 2 || h.Next != 1 {
		t.Errorf("head %+v", h)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.c.Device.Key); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if exit := Main([]string{"key", "change", "--config", path}, &out, &errs); exit != exitFailed || !strings.Contains(errs.String(), "--lost") {
		t.Errorf("without the old key: exit %d, %s", exit, &errs)
	}
	lost := runJSON(t, "key", "change", "--lost", "--config", path)
	if lost["epoch"] != 3.0 || lost["vouched"] != false {
		t.Errorf("change after a loss %v", lost)
	}
}

// A power cut at any step leaves the old key with its epoch or the new one with the
// next, and never one with the other's.
func TestPowerCutInAKeyChange(t *testing.T) {
	p, path := newPerson(t)
	runJSON(t, "key", "show", "--config", path)
	old := map[string][]byte{}
	for _, f := range []string{p.c.Device.Key, p.c.Device.Certificate} {
		old[f] = readFile(t, f)
	}
	changed := runJSON(t, "key", "change", "--config", path)
	fresh := map[string][]byte{}
	for _, f := range []string{p.c.Device.Key, p.c.Device.Certificate, epochPath(p.c)} {
		fresh[f] = readFile(t, f)
	}
	key, certificate := p.c.Device.Key, p.c.Device.Certificate
	for _, test := range []struct {
		name  string
		files map[string][]byte
		epoch float64
	}{
		{"before the new key", map[string][]byte{key: old[key], certificate: old[certificate]}, 1},
		{"before its certificate", map[string][]byte{key: old[key], certificate: old[certificate], nextPath(key): fresh[key]}, 1},
		{"before the epoch", map[string][]byte{key: old[key], certificate: old[certificate], nextPath(key): fresh[key], nextPath(certificate): fresh[certificate]}, 1},
		{"before the key is in its place", map[string][]byte{key: old[key], certificate: old[certificate], nextPath(key): fresh[key], nextPath(certificate): fresh[certificate], epochPath(p.c): fresh[epochPath(p.c)]}, 2},
		{"before the certificate is in its place", map[string][]byte{key: fresh[key], certificate: old[certificate], nextPath(certificate): fresh[certificate], epochPath(p.c): fresh[epochPath(p.c)]}, 2},
		{"after it all", map[string][]byte{key: fresh[key], certificate: fresh[certificate], epochPath(p.c): fresh[epochPath(p.c)]}, 2},
	} {
		for _, f := range []string{key, certificate, nextPath(key), nextPath(certificate), epochPath(p.c)} {
			if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if text, ok := test.files[f]; ok {
				if err := os.WriteFile(f, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		shown := runJSON(t, "key", "show", "--config", path)
		kid := shown["evidence_key"].(map[string]any)["kid"]
		if shown["epoch"] != test.epoch || (kid == changed["kid"]) != (test.epoch == 2) {
			t.Errorf("%s: epoch %v with key %v, want epoch %v", test.name, shown["epoch"], kid, test.epoch)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEpochFileIsReadStrictly(t *testing.T) {
	p, _ := newPerson(t)
	for _, text := range []string{"", "epoch 0 key " + strings.Repeat("a", 64) + "\n", "epoch 2 key ab\n", "two\n"} {
		if err := os.WriteFile(epochPath(p.c), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := finishChange(p.c); err == nil {
			t.Errorf("%q: was read", text)
		}
	}
	if err := os.WriteFile(epochPath(p.c), fmt.Appendf(nil, "epoch 7 key %064d\n", 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := finishChange(p.c); err != nil || epoch(p.c) != 7 {
		t.Errorf("epoch %d, %v", epoch(p.c), err)
	}
}
