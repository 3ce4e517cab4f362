package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestH12_ExportedBundlesAreTheirOwners exports into a new folder and into one that
// was there, under an umask that hides nothing.
func TestH12_ExportedBundlesAreTheirOwners(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := newKeptStore(t, 2)
	there := filepath.Join(t.TempDir(), "there")
	if err := os.Mkdir(there, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		out    string
		folder os.FileMode
		warns  bool
	}{{filepath.Join(t.TempDir(), "new"), 0o700, false}, {there, 0o777, true}} {
		code, said, errs := runCommand("outbox", "export", "--dir", s.dir, "--out", test.out, "2")
		bundle, err := os.Stat(strings.TrimSpace(said))
		if code != 0 || err != nil || bundle.Mode().Perm() != 0o600 {
			t.Errorf("exit %d, %v, %v\n%s%s", code, bundle, err, said, errs)
		}
		folder, err := os.Stat(test.out)
		if err != nil || folder.Mode().Perm() != test.folder || strings.Contains(errs, "open to others, who may read and change") != test.warns {
			t.Errorf("%s: %v, %v\n%s", test.out, folder.Mode(), err, errs)
		}
	}
}
