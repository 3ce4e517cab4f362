package portal

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/internal/mtls"
	"ciglio/portal/ca"
)

func loadOwn(dir string) (*tls.Certificate, error) {
	f := brokerFiles(dir, mtls.Files{})
	text, err := os.ReadFile(f.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := loadKey(f.Key)
	if err != nil {
		return nil, err
	}
	return mtls.Identity(text, key)
}

// TestAnInterruptedChangeOfTheBrokersCertificateEnds leaves the key in its place and
// the certificate not.
func TestAnInterruptedChangeOfTheBrokersCertificateEnds(t *testing.T) {
	dir, start := t.TempDir(), time.Now()
	folder := CAFolder(dir)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{start, start.AddDate(4, 0, 0)} {
		if _, err := brokerCertificate(folder, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(folder, nextBrokerKeyName), filepath.Join(folder, brokerKeyName)); err != nil {
		t.Fatal(err)
	}
	if _, err := loadOwn(dir); err == nil {
		t.Fatal("the certificate is of the key")
	}
	text, err := brokerCertificate(folder, start.AddDate(4, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	own, err := loadOwn(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ReadCertificate(text); err != nil || !c.Equal(own.Leaf) {
		t.Errorf("the broker is given %v, %v", c, err)
	}
}

// TestTheBrokerIsGivenTheNextInTime runs the daily command with no centre that ever
// asks Mosquitto.
func TestTheBrokerIsGivenTheNextInTime(t *testing.T) {
	dir, to, start := t.TempDir(), t.TempDir(), time.Now()
	if _, err := ca.Create(CAFolder(dir), start); err != nil {
		t.Fatal(err)
	}
	given := func(at time.Time) (n int, restart bool) {
		t.Helper()
		restart, err := WriteMosquitto(dir, to, []string{"localhost"}, at)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(to, brokerCertName))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(text, []byte("BEGIN CERTIFICATE")), restart
	}
	authority, err := ca.Open(CAFolder(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		at      time.Time
		given   int
		restart bool
	}{
		{"first", start, 1, true},
		{"the day after", start.AddDate(0, 0, 1), 1, false},
		{"in the last third", start.AddDate(3, 6, 0), 2, true},
		{"the day after that", start.AddDate(3, 6, 1), 2, false},
		{"in the last month", start.AddDate(4, 11, 0), 2, false},
	} {
		if n, restart := given(row.at); n != row.given || restart != row.restart {
			t.Errorf("%s: given %d, start anew: %v; want %d, %v", row.name, n, restart, row.given, row.restart)
		}
	}
	before, err := loadOwn(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Rotate(start.AddDate(4, 11, 1)); err != nil {
		t.Fatal(err)
	}
	if n, restart := given(start.AddDate(4, 11, 1)); n != 2 || !restart {
		t.Errorf("with another authority: given %d, start anew: %v", n, restart)
	}
	if n, restart := given(start.AddDate(5, 1, 0)); n != 1 || !restart {
		t.Errorf("when the one before has ended: given %d, start anew: %v", n, restart)
	}
	if after, err := loadOwn(dir); err != nil || after.Leaf.Equal(before.Leaf) {
		t.Errorf("shows the one that has ended: %v", err)
	}
}

// TestWhatEndsSoonIsOnTheOverview looks at a centre at several times.
func TestWhatEndsSoonIsOnTheOverview(t *testing.T) {
	dir := t.TempDir()
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0", MQTT: "tls://127.0.0.1:0", Names: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	now := time.Now()
	for _, row := range []struct {
		name string
		at   time.Time
		want []string
	}{
		{"all is well", now, nil},
		{"the list was renewed two days ago", now.AddDate(0, 0, 2), nil},
		{"the list was renewed four days ago", now.AddDate(0, 0, 4), []string{"list of revoked"}},
		{"the list has ended", now.AddDate(0, 0, 31), []string{"The list of revoked certificates ended"}},
		{"the server's certificate was to be renewed", now.AddDate(0, 0, 64), []string{"list", "broker and enrolment ends"}},
		{"the authority ends in five months", now.Add(ca.AuthorityLife - 150*day), []string{"list", "broker and enrolment", "The authority for TLS ends"}},
		{"the key ends in two months", now.Add(centreValid - 60*day), []string{"key by which receipts", "list", "broker and enrolment", "authority"}},
		{"all has ended", now.Add(centreValid + day), []string{"receipts are signed ended", "list", "broker and enrolment", "TLS ended"}},
	} {
		got := strings.Join(p.terms.warnings(row.at), "\n")
		if n := strings.Count(got, "\n") + 1; got != "" && n != len(row.want) || got == "" && len(row.want) > 0 {
			t.Errorf("%s: %q", row.name, got)
		}
		for _, want := range row.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", row.name, got, want)
			}
		}
	}
	// A file that cannot be read is told on the page as long as it is so.
	if err := os.WriteFile(filepath.Join(CAFolder(dir), ca.ServerName), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.officers.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/", nil))
	if !bytes.Contains(w.Body.Bytes(), []byte("Certificates cannot be read, those before stay in use")) {
		t.Errorf("the overview does not say so:\n%s", w.Body)
	}
}
