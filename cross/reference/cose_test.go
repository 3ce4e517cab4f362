package reference_test

import (
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"testing"

	"github.com/veraison/go-cose"

	"ciglio/capture/evidence"
)

// vectors is the folder of the files that every verifier must judge alike.
const vectors = "../../capture/evidence/testdata/"

func readVector(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(vectors + name + ".cose")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deviceKey is the key with which the vectors were sealed.
func deviceKey(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	pem, err := os.ReadFile(vectors + "trust.pem")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := evidence.ParseTrust(pem)
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.Open(readVector(t, "valid/heartbeat"))
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := trust.DeviceKey(s.Record.Device, s.Record.Epoch, s.KeyID, s.Record.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// goCOSE verifies a record as another library does.
func goCOSE(t *testing.T, key *ecdsa.PublicKey, b []byte) error {
	t.Helper()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(b); err != nil {
		return err
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, key)
	if err != nil {
		t.Fatal(err)
	}
	return m.Verify(nil, v)
}

// TestAnotherLibraryVerifiesOurs shows that a record is ordinary COSE.
func TestAnotherLibraryVerifiesOurs(t *testing.T) {
	key := deviceKey(t)
	files, err := filepath.Glob(vectors + "valid/*.cose")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d records of all kinds: %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := goCOSE(t, key, b); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestStricterThanALibrary shows why the codec is our own: all of this passes a good
// library, its signature verified, and is refused here.
func TestStricterThanALibrary(t *testing.T) {
	key := deviceKey(t)
	for _, name := range []string{"unprotected-entry", "unprotected-kid", "signature-high-s", "kid-missing", "header-extra",
		"payload-length-not-minimal", "integer-not-minimal", "missing-key", "null", "float"} {
		b := readVector(t, "invalid/"+name)
		if err := goCOSE(t, key, b); err != nil {
			t.Errorf("%s: go-cose refuses it now: %v", name, err)
		}
		if _, err := evidence.Open(b); err == nil {
			t.Errorf("%s: was opened", name)
		}
	}
}
