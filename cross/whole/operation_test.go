package whole

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestOperationPage does what docs/operation.md says, as it stands but for its ports,
// in whose place free ones are taken: from nothing to settled records with pictures,
// through the embedded broker and through Mosquitto.
func TestOperationPage(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds three programs and waits for vehicles")
	}
	for _, name := range []string{"make", "openssl", "python3", "/usr/sbin/mosquitto"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	page, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	programs(t) // make programs finds them made
	d := newDesk(t)
	var shown, brokers int
	for _, b := range blocks(withFreePorts(t, string(page))) {
		out := d.do(b, 4*time.Minute)
		if strings.Contains(b.text, "ciglio inspect") {
			shown++
			checkShown(t, out)
		}
		if strings.Contains(b.text, "until ciglio outbox list") {
			brokers++
		}
	}
	if shown != 1 || brokers != 2 {
		t.Errorf("the page looks at %d records and waits for %d, want 1 and 2", shown, brokers)
	}
	list := d.do(block{text: "ciglio outbox list --dir ~/device/outbox\n"}, time.Minute)
	if strings.Contains(list, "violation") {
		t.Errorf("a simulated road gave a violation:\n%s", list)
	}
	if t.Failed() {
		d.tell()
	}
}

// checkShown checks the record that the page looks at.
func checkShown(t *testing.T, out string) {
	t.Helper()
	_, text, _ := strings.Cut(out, "\n{")
	var record struct {
		Kind   string
		Clock  struct{ Source string }
		Body   map[string]any
		Frames []any
		Seq    int
	}
	decoder := json.NewDecoder(strings.NewReader("{" + text))
	if err := decoder.Decode(&record); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if record.Kind != "test" || record.Clock.Source != "simulated" || len(record.Frames) < 2 {
		t.Errorf("the record is %+v", record)
	}
	for _, want := range []string{"simulated radar, camera and clock", "-photo.jpg", `"speed_kmh"`, `"valid":true`} {
		if !strings.Contains(strings.ReplaceAll(out, `": `, `":`), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}
