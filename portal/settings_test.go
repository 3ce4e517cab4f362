package portal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ciglio/internal/mtls"
	"ciglio/portal"
	"ciglio/portal/blob"
)

// TestConfiguration reads files: all that is printed, all keys with values, and what must
// not be taken.
func TestConfiguration(t *testing.T) {
	read := func(text string) (portal.Options, error) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "centre.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return portal.ReadOptions(path)
	}
	var printed, errs bytes.Buffer
	if code := portal.Main([]string{"config"}, &printed, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	plain := portal.Options{Listen: portal.DefaultListen, MQTT: portal.DefaultMQTT, Roles: []string{"intake", "log", "officers"}, Shards: []string{portal.DefaultShard}, Takeover: 10 * time.Second, Names: []string{}}
	for name, text := range map[string]string{"printed": printed.String(), "empty": ""} {
		if o, err := read(text); err != nil || !reflect.DeepEqual(o, plain) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	full := `centre = { dir = "d" }
roles = { run = ["log", "intake"], shards = ["7", "8"], takeover = "1m" }
pages = { listen = "a:1", certificate = "c", key = "k", allow_remote = true }
citizens = { listen = "f:5", certificate = "cc", key = "ck" }
mqtt = { listen = "b:2", broker = "tls://x:3", authority = "A", certificate = "C", key = "K", log = "L" }
enrolment = { listen = "e:4", names = ["n", "m"] }
database = { url = "postgres://p/q" }
blobs = { endpoint = "https://s", bucket = "t", region = "r" }
log = { witnesses = "w" }
`
	want := portal.Options{
		Dir: "d", Roles: []string{"log", "intake"}, Shards: []string{"7", "8"}, Takeover: time.Minute, Listen: "a:1", Pages: portal.PagesTLS{Certificate: "c", Key: "k"}, AllowRemote: true,
		Citizens: "f:5", CitizensTLS: portal.PagesTLS{Certificate: "cc", Key: "ck"},
		MQTT: "b:2", Broker: "tls://x:3", BrokerFiles: mtls.Files{Authority: "A", Certificate: "C", Key: "K"}, BrokerLog: "L",
		EST: "e:4", Names: []string{"n", "m"}, Database: "postgres://p/q", S3: &blob.S3Options{Endpoint: "https://s", Bucket: "t", Region: "r"}, Witnesses: "w",
	}
	if o, err := read(full); err != nil || !reflect.DeepEqual(o, want) {
		t.Errorf("full: %+v, %v", o, err)
	}
	for text, says := range map[string]string{
		"dir = \"d\"":                       "unknown key dir",
		"[centre]\nDir = \"d\"":             "unknown key centre.Dir",
		"[pages]\nallow_remote = \"yes\"":   "allow_remote",
		"[centre]\nshard = \"0\"":           "unknown key centre.shard",
		"[roles]\ntakeover = \"0s\"":        "roles.takeover",
		"[roles]\ntakeover = \"soon\"":      "roles.takeover",
		"[blobs]\nbucket = \"b\"":           "blobs.endpoint is missing",
		"[blobs]\nendpoint = \"https://b\"": "blobs.bucket is missing",
		"[centre":                           "line 1",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	if _, err := portal.ReadOptions(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

// TestFlagsOverrideTheConfiguration starts with a file and a flag that is wrong: it is the
// flag that counts.
func TestFlagsOverrideTheConfiguration(t *testing.T) {
	dir := newCentre(t)
	path := filepath.Join(t.TempDir(), "centre.toml")
	if err := os.WriteFile(path, []byte("[centre]\ndir = \""+dir+"\"\n[pages]\nlisten = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := portal.Main([]string{"serve", "--config", path, "--listen", "0.0.0.0:0"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "address 0.0.0.0:0") {
		t.Errorf("%d: %s", code, errs.String())
	}
	errs.Reset()
	if code := portal.Main([]string{"serve", "--config", path, "--dir", filepath.Join(dir, "none")}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "none") {
		t.Errorf("%d: %s", code, errs.String())
	}
	errs.Reset()
	if code := portal.Main([]string{"law"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), "ciglio-portal law ask") {
		t.Errorf("%d: %s", code, errs.String())
	}
}
