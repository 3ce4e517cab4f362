package key

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/capture/evidence"
)

// An emulator is a TPM of its own: Debian's swtpm, over a socket.
type emulator struct {
	dir, socket string
	process     *exec.Cmd
}

// newEmulator starts a TPM that was never used.
func newEmulator(t *testing.T) *emulator {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: install it with make deps", err)
		}
		t.Skipf("%v: install it with make deps", err)
	}
	e := &emulator{dir: t.TempDir()}
	e.socket = filepath.Join(e.dir, "tpm")
	e.start(t)
	t.Cleanup(func() { e.stop(t, syscall.SIGKILL) })
	return e
}

func (e *emulator) start(t *testing.T) {
	t.Helper()
	os.Remove(e.socket)
	var said bytes.Buffer
	e.process = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+e.dir, "--server", "type=unixio,path="+e.socket,
		"--flags", "not-need-init,startup-clear")
	e.process.Stdout, e.process.Stderr = &said, &said
	if err := e.process.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err := os.Stat(e.socket); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // another process, on the wall clock
	}
	t.Fatalf("swtpm did not start: %s", &said)
}

func (e *emulator) stop(t *testing.T, with syscall.Signal) {
	t.Helper()
	if e.process == nil {
		return
	}
	if err := e.process.Process.Signal(with); err != nil {
		t.Fatal(err)
	}
	e.process.Wait() // its exit status is the signal
	e.process = nil
}

// options are those of a device whose keys are in the emulator.
func (e *emulator) options() Options {
	return Options{Evidence: filepath.Join(e.dir, "evidence.key"), TLS: filepath.Join(e.dir, "tls.key"), TPM: e.socket, Limit: 10 * time.Second}
}

func (e *emulator) keys(t *testing.T) *Keys {
	t.Helper()
	if err := Create(t.Context(), e.options()); err != nil {
		t.Fatal(err)
	}
	return open(t, e.options())
}

func open(t *testing.T, o Options) *Keys {
	t.Helper()
	k, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// seals checks that both keys sign.
func seals(t *testing.T, k *Keys) {
	t.Helper()
	if err := sealed(k); err != nil {
		t.Error(err)
	}
	digest := sha256.Sum256([]byte("handshake"))
	der, err := k.TLS().Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Error(err)
	} else if !ecdsa.VerifyASN1(k.TLS().Public().(*ecdsa.PublicKey), digest[:], der) {
		t.Error("the TLS key's signature does not verify")
	}
}

// sealed seals a heartbeat and verifies it.
func sealed(k *Keys) error {
	s, err := evidence.Seal(heartbeat(k.Evidence().Class()), k.Evidence())
	if err != nil {
		return err
	}
	return s.Verify(k.Evidence().Public())
}

func TestKeysOfATPM(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	for range 8 { // half of them need s turned round
		seals(t, k)
	}
	if k.Evidence().Class() != "tpm2" || k.TLS().Class() != "tpm2" {
		t.Errorf("classes %q, %q", k.Evidence().Class(), k.TLS().Class())
	}
	text, err := os.ReadFile(e.options().Evidence)
	if err != nil || !strings.HasPrefix(string(text), "-----BEGIN TSS2 PRIVATE KEY-----\n") {
		t.Errorf("file %q, %v", text, err)
	}
	k.Close()
	again := open(t, e.options())
	seals(t, again)
	if again.Evidence().KeyID() != k.Evidence().KeyID() || !bytes.Equal(again.TLS().SPKI(), k.TLS().SPKI()) {
		t.Error("opened again with other keys")
	}
}
