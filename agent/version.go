package agent

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"

	"ciglio/capture/evidence"
)

// Version is that of the program as a whole.
const Version = "0.1.0"

//go:embed core_id
var coreID string

// CoreID returns the identity of the measuring core this program was built
// from: see package cross/coreid.
func CoreID() (evidence.Hash, error) {
	h, err := evidence.ParseHash(strings.TrimSpace(coreID))
	if err != nil {
		return h, fmt.Errorf("core_id of this program is damaged: %q", coreID)
	}
	return h, nil
}

// Software identifies the running program, as records say it.
func Software() (evidence.Software, error) {
	path, err := os.Executable()
	if err != nil {
		return evidence.Software{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return evidence.Software{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return evidence.Software{}, err
	}
	core, err := CoreID()
	if err != nil {
		return evidence.Software{}, err
	}
	return evidence.Software{Version: Version, Core: core, Binary: evidence.Hash(h.Sum(nil))}, nil
}
