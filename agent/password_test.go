package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/agent/config"
	"ciglio/sensor/clock"
)

func TestD14_PasswordComesFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "camera.password")
	c := config.Default()
	c.Camera.URL, c.Camera.User, c.Camera.Password = "http://camera/", "op", path
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		want       string // "" for a good one
	}{
		{"one line", "s3cret\n", 0o600, ""},
		{"no line end", "s3cret", 0o640, ""},
		{"a line end of Windows", "s3cret\r\n", 0o400, ""},
		{"open to all", "s3cret\n", 0o644, "chmod o="},
		{"empty", "", 0o600, "want one line"},
		{"two lines", "s3cret\nmore\n", 0o600, "want one line"},
		{"too long", strings.Repeat("s3cret", 1000), 0o600, "want one line"},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		if password, err := readPassword(path); err == nil && password != "s3cret" {
			t.Errorf("%s: %q", test.name, password)
		}
		_, err := newCamera(c, new(clock.System), slog.New(slog.DiscardHandler))
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := newCamera(c, new(clock.System), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
}

func TestD14_PrintedAddressHoldsNoPassword(t *testing.T) {
	for _, address := range []string{"http://op:s3cret@camera/video", "http://op:s3cret@cam%zz/", "http://op:s3c%ret@camera/"} {
		if got := redacted(address); strings.Contains(got, "s3c") || !strings.Contains(got, "cam") {
			t.Errorf("%s becomes %s", address, got)
		}
	}
	for _, address := range []string{"", "http://camera/video", "http://op@camera/video?x=1"} {
		if got := redacted(address); got != address {
			t.Errorf("%s becomes %s", address, got)
		}
	}
}
