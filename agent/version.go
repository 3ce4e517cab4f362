package agent

import (
	_ "embed"
	"encoding/hex"
	"fmt"
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
	var h evidence.Hash
	b, err := hex.DecodeString(strings.TrimSpace(coreID))
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("core_id of this program is damaged: %q", coreID)
	}
	return evidence.Hash(b), nil
}
