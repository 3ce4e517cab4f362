// Package coreid computes core_id, the identity of the measuring core: what
// approval law ties a device to. All else may change without a new approval.
//
// core_id is the SHA-256 over one line for each of these, in order of the line:
//
//	file <sha256> <path>     each source file of the core's folders: Go files
//	                         that are not tests, and the data they embed
//	go <version>             the go directive of go.mod
//	sum <line of go.sum>     of each module that the core links
package coreid

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Folders is the measuring core: what makes a speed of what a sensor says, decides
// whether it may be measured and is a violation, and writes and verifies the
// record of it. A folder stands for itself and not for those below it, so that a
// new one is part of the core by decision alone.
var Folders = []string{
	"agent/enforce",
	"agent/trust",
	"capture",
	"capture/aim",
	"capture/coarse",
	"capture/displacement",
	"capture/evidence",
	"capture/life",
	"capture/strobe",
	"internal/easter",
	"internal/robust",
	"sensor",
	"sensor/agd",
	"sensor/aim",
	"sensor/clock",
	"sensor/csr",
	"sensor/doppler",
	"sensor/doppler/chain",
	"sensor/doppler/geometry",
	"sensor/doppler/lines",
	"sensor/doppler/spectrum",
	"sensor/framing",
	"sensor/gate",
	"sensor/iqframe",
	"sensor/isys4001",
	"sensor/life",
	"sensor/ops243",
	"sensor/port",
	"sensor/rawiq",
	"sensor/session",
	"sensor/tamper",
	"sensor/track",
	"sensor/wav",
}

// Compute returns core_id of the module at root, in hexadecimal.
func Compute(root string) (string, error) {
	lines, err := sources(root)
	if err != nil {
		return "", err
	}
	more, err := modules(root)
	if err != nil {
		return "", err
	}
	lines = append(lines, more...)
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return hex.EncodeToString(sum[:]), nil
}

// sources returns a line for each source file.
func sources(root string) ([]string, error) {
	var lines []string
	for _, folder := range Folders {
		files, err := os.ReadDir(filepath.Join(root, folder))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			name := path.Join(folder, file.Name())
			if file.IsDir() || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".md") ||
				strings.HasSuffix(name, ".test") { // tests, words, and programs that go test leaves
				continue
			}
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("file %x %s", sha256.Sum256(text), name))
		}
	}
	return lines, nil
}

// modules returns the go line and the sum lines of the modules that the core
// links on the device.
func modules(root string) ([]string, error) {
	goVersion, err := list(root, "-m", "-f", "go {{.GoVersion}}")
	if err != nil {
		return nil, err
	}
	args := []string{"-deps", "-f", "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}"}
	for _, folder := range Folders {
		args = append(args, "./"+folder)
	}
	linked, err := list(root, args...)
	if err != nil {
		return nil, err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return nil, err
	}
	lines := goVersion
	for sum := range strings.Lines(string(sums)) {
		sum = strings.TrimSuffix(sum, "\n")
		if slices.ContainsFunc(linked, func(m string) bool { return strings.HasPrefix(sum, m+" ") }) {
			lines = append(lines, "sum "+sum)
		}
	}
	return lines, nil
}

// list runs go list as for the device, and returns its lines, each once.
func list(root string, args ...string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	lines := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	slices.Sort(lines)
	return slices.Compact(lines), nil
}
