//go:build linux

package port

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestLinksForEveryTarget builds a program of serial port, input lines and
// periph's own SPI and I²C, without cgo.
func TestLinksForEveryTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four programs; not repeated as an ARM program")
	}
	for _, target := range [][]string{
		{"GOARCH=arm", "GOARM=6"}, {"GOARCH=arm", "GOARM=7"}, {"GOARCH=arm64"}, {"GOARCH=amd64"},
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(t.TempDir(), "link"), "./testdata/link")
		build.Env = append(append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0"), target...)
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", target, err, out)
		}
	}
}
