package whole

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTechnicianPage does what docs/technician.md says, as it stands but for its
// ports: from the box to the first record, with a stick that is refused on the way.
func TestTechnicianPage(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds three programs and waits for vehicles")
	}
	for _, name := range []string{"make", "python3", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	text, err := os.ReadFile("../../docs/technician.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, m := range regexp.MustCompile(`\]\((technician/[^)]+)\)`).FindAllStringSubmatch(page, -1) {
		if _, err := os.Stat("../../docs/" + m[1]); err != nil {
			t.Errorf("a picture of the page: %v", err)
		}
	}
	// What a block must have shown, by words that are in it.
	shows := map[string]string{
		"truncated stick":       "the bundle is cut off",
		"tail -n +3":            "calibration version 1 is in force",
		"ciglio console code":   "opens one session",
		"/login":                "FIELD-1",
		"ciglio key enrol":      "compare on the phone",
		"ciglio-portal request": "compared on the phone",
		"until ciglio outbox":   "settled",
		"ciglio status":         "connected",
		"ciglio verify":         "TEST, not evidence of a violation",
		"ciglio journal":        "provision",
	}
	t.Parallel()
	programs(t) // make programs finds them made
	d := newDesk(t)
	var fingerprints []string
	for _, b := range blocks(withFreePorts(t, page)) {
		out := d.do(b, 4*time.Minute)
		for in, want := range shows {
			if strings.Contains(b.text, in) {
				delete(shows, in)
				if !strings.Contains(out, want) {
					t.Errorf("%s\ndoes not show %q:\n%s", b.text, want, out)
				}
			}
		}
		if strings.Contains(b.text, "key enrol") || strings.Contains(b.text, "ciglio-portal request") {
			fingerprints = append(fingerprints, regexp.MustCompile(`(?:[0-9a-f]{4} ){7}[0-9a-f]{4}`).FindString(out))
		}
	}
	for in := range shows {
		t.Errorf("the page has no block with %q", in)
	}
	if len(fingerprints) != 2 || fingerprints[0] == "" || fingerprints[0] != fingerprints[1] {
		t.Errorf("what technician and office compare: %q", fingerprints)
	}
	if t.Failed() {
		d.tell()
	}
}
