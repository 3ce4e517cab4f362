// Package recording finds the shared recordings that tests measure against.
// They are real data of other people, kept beside the repository and never in
// it.
package recording

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the folder of the shared recordings: $CIGLIO_DATA, or
// shared/data beside the repository, which it looks for upwards from the
// working folder.
func Dir() string {
	if dir := os.Getenv("CIGLIO_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "..", "shared", "data")
}

// Path returns the path of one recording, named with slashes. When it is
// missing the test fails if CI is "true", and is skipped with its reason
// elsewhere.
func Path(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Dir(), filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("recording %s is missing: set CIGLIO_DATA to the folder of recordings", name)
		}
		t.Skipf("recording %s is missing: set CIGLIO_DATA to the folder of recordings", name)
	}
	return path
}
