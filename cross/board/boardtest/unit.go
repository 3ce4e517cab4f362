package boardtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var memoryLimit = regexp.MustCompile(`(?m)^Environment=(GOMEMLIMIT=\S+)$`)

// MemoryLimit returns the environment variable with which the service's unit
// bounds the memory of the Go runtime, so that what is measured is what runs.
func MemoryLimit(t testing.TB) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, "cross", "deb", "files", "ciglio.service")
	unit, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := memoryLimit.FindSubmatch(unit)
	if found == nil {
		t.Fatalf("%s sets no GOMEMLIMIT", name)
	}
	return string(found[1])
}
