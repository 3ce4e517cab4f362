package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"ciglio/capture/evidence"
)

var update = flag.Bool("update", false, "rewrite testdata/tpm.key: the file of a key whose TPM is gone")

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
		if c, err := net.Dial("unix", e.socket); err == nil {
			c.Close()
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
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/tpm.key", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k.Close()
	again := open(t, e.options())
	seals(t, again)
	if again.Evidence().KeyID() != k.Evidence().KeyID() || !bytes.Equal(again.TLS().SPKI(), k.TLS().SPKI()) {
		t.Error("opened again with other keys")
	}
}

func TestTPMThatBeginsAnewIsLoadedAgain(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	seals(t, k)
	for _, with := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		e.stop(t, with)
		if err := sealed(k); err == nil {
			t.Errorf("after %v: a TPM that is not there has signed", with)
		}
		e.start(t)
		seals(t, k)
	}
}

// A TPM that dies between command and answer leaves one error, no signature, and
// works again when it is back.
func TestTPMKilledInMidSignature(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	var sign atomic.Bool
	listen(k, func(command []byte) {
		if code(command) == tpm2.TPMCCSign && sign.Swap(false) {
			if err := e.process.Process.Signal(syscall.SIGSTOP); err != nil { // it takes the command and does not answer
				t.Error(err)
			}
			if err := e.process.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	seals(t, k)
	sign.Store(true)
	if err := sealed(k); err == nil {
		t.Error("a killed TPM has signed")
	}
	e.process.Wait()
	e.process = nil
	e.start(t)
	seals(t, k)
}

// listen calls heard with each command, from a new connection on, before it is sent.
func listen(k *Keys, heard func(command []byte)) {
	inner := k.tpm.dial
	k.tpm.drop()
	k.tpm.dial = func(ctx context.Context) (transport.TPMCloser, error) {
		c, err := inner(ctx)
		if err == nil {
			s := c.(*stream)
			s.ReadWriteCloser = &ear{s.ReadWriteCloser, heard}
		}
		return c, err
	}
}

type ear struct {
	io.ReadWriteCloser
	heard func([]byte)
}

func (e *ear) Write(command []byte) (int, error) {
	e.heard(command)
	return e.ReadWriteCloser.Write(command)
}

func code(command []byte) tpm2.TPMCC { return tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) }

func TestKeysOutliveTheDictionaryLockout(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	if err := errors.Join(k.tpm.connect(t.Context()), k.tpm.tidy(), k.tpm.drop()); err != nil {
		t.Fatal(err)
	}
	lockOut(t, e)
	seals(t, k)
}

// lockOut tries wrong passwords at an object until the TPM refuses to hear more.
func lockOut(t *testing.T, e *emulator) {
	t.Helper()
	conn := must(dial(t.Context(), e.socket))(t)
	defer conn.Close()
	made, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InSensitive:   tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("right")}}},
		InPublic: tpm2.New2B(func() tpm2.TPMTPublic {
			p := keyTemplate()
			p.ObjectAttributes.NoDA = false
			return p
		}()),
	}.Execute(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(conn)
	for range 100 {
		_, err = tpm2.Sign{
			KeyHandle:  tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
			Digest:     tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
			InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
		}.Execute(conn)
		if errors.Is(err, tpm2.TPMRCLockout) {
			return
		}
	}
	t.Fatalf("no lockout: %v", err)
}

func TestClearedTPM(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(k.tpm.conn); err != nil {
		t.Fatal(err)
	}
	if err := sealed(k); !errors.Is(err, ErrCleared) {
		t.Errorf("sign: %v, want %v", err, ErrCleared)
	}
	k.Close()
	if _, err := Open(t.Context(), e.options()); !errors.Is(err, ErrCleared) {
		t.Errorf("open: %v, want %v", err, ErrCleared)
	}
}

func TestAnotherTPM(t *testing.T) {
	e, other := newEmulator(t), newEmulator(t)
	e.keys(t)
	o := e.options()
	o.TPM = other.socket
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrOtherTPM) {
		t.Errorf("%v, want %v", err, ErrOtherTPM)
	}
	o.TPM = filepath.Join(t.TempDir(), "tpm")
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrNoTPM) {
		t.Errorf("%v, want %v", err, ErrNoTPM)
	}
	o.TPM = ""
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("a key of a TPM was opened without one")
	}
}

// TestKeyCannotLeaveTheTPM asks the TPM itself.
func TestKeyCannotLeaveTheTPM(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	h := k.tpm.loaded[k.evidence.signer.e.(*tpmHolder).key]
	read, err := tpm2.ReadPublic{ObjectHandle: h.Handle}.Execute(k.tpm.conn)
	if err != nil {
		t.Fatal(err)
	}
	public, err := read.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	if a := public.ObjectAttributes; !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || a.Decrypt || a.Restricted {
		t.Errorf("attributes %+v", a)
	}
	if _, err := (tpm2.Duplicate{
		ObjectHandle:    tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: tpm2.PasswordAuth(nil)},
		NewParentHandle: tpm2.NamedHandle{Handle: tpm2.TPMRHNull},
		Symmetric:       tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}).Execute(k.tpm.conn); err == nil {
		t.Error("the TPM has exported the key")
	}
}

// TestDigestTravelsEncrypted looks at what passes between program and TPM.
func TestDigestTravelsEncrypted(t *testing.T) {
	e := newEmulator(t)
	k := e.keys(t)
	var sent [][]byte
	listen(k, func(command []byte) { sent = append(sent, bytes.Clone(command)) })
	digest := sha256.Sum256([]byte("handshake"))
	if _, err := k.TLS().Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	signs := 0
	for _, command := range sent {
		if code(command) == tpm2.TPMCCSign {
			signs++
		}
		if bytes.Contains(command, digest[:]) {
			t.Errorf("the digest stands in a command: %x", command)
		}
	}
	if signs != 1 {
		t.Errorf("%d commands sign, want 1", signs)
	}
}

// A scripted answers with codes before it lets commands through.
type scripted struct {
	transport.TPMCloser
	answers []tpm2.TPMRC
	asked   int
}

func (s *scripted) Send(command []byte) ([]byte, error) {
	s.asked++
	if len(s.answers) == 0 {
		return s.TPMCloser.Send(command)
	}
	answer := s.answers[0]
	if s.answers = s.answers[1:]; answer == 0 {
		return s.TPMCloser.Send(command)
	}
	b := []byte{0x80, 0x01, 0, 0, 0, 10}
	return binary.BigEndian.AppendUint32(b, uint32(answer)), nil
}

func TestRetryCodes(t *testing.T) {
	e := newEmulator(t)
	for _, test := range []struct {
		name    string
		answers []tpm2.TPMRC
		good    bool
	}{
		{"busy once", []tpm2.TPMRC{tpm2.TPMRCRetry}, true},
		{"yielded, testing itself, then busy", []tpm2.TPMRC{tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCRetry}, true},
		{"a lockout that ends", []tpm2.TPMRC{tpm2.TPMRCLockout, tpm2.TPMRCLockout}, true},
		{"forgotten what was loaded", []tpm2.TPMRC{tpm2.TPMRCReferenceH0}, true},
		{"a failure, and the same again", []tpm2.TPMRC{tpm2.TPMRCFailure, tpm2.TPMRCFailure}, false},
		{"works again after the failure", nil, true},
	} {
		k := e.keys(t)
		seals(t, k)
		script := &scripted{TPMCloser: k.tpm.conn}
		k.tpm.wire.tpm = script
		script.answers = test.answers
		if !test.good { // nor does it come back
			k.tpm.dial = func(context.Context) (transport.TPMCloser, error) { return nil, tpm2.TPMRCFailure }
		}
		if err := sealed(k); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
		k.Close()
	}
}

// A TPM that never is ready, or never answers, costs one signature its limit.
func TestTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name  string
			holds func(ctx context.Context) ([]byte, error)
			words string
		}{
			{"busy for ever", func(ctx context.Context) ([]byte, error) {
				busy := &scripted{answers: slices.Repeat([]tpm2.TPMRC{tpm2.TPMRCRetry}, 1000)}
				_, err := (&patient{ctx: ctx, tpm: busy}).Send(make([]byte, 10))
				if busy.asked > 60 {
					t.Errorf("asked %d times in 10s", busy.asked)
				}
				return nil, err
			}, "10s"},
			{"no answer", func(context.Context) ([]byte, error) { time.Sleep(time.Hour); return nil, nil }, "no answer for 10s"},
		} {
			private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			k, err := newKey(&slow{fileHolder{private}, test.holds}, newQueue(0), nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = evidence.Seal(heartbeat("tpm2"), k)
			if took := time.Since(began); err == nil || took != 10*time.Second || !errors.Is(err, ErrTime) && !errors.Is(err, tpm2.TPMRCRetry) {
				t.Errorf("%s: %v after %v", test.name, err, took)
			}
			if test.name != "no answer" {
				continue
			}
			// The next waits behind it, and no longer than its own limit.
			if _, err = evidence.Seal(heartbeat("tpm2"), k); !errors.Is(err, ErrTime) || time.Since(began) != 20*time.Second {
				t.Errorf("behind it: %v after %v", err, time.Since(began))
			}
			time.Sleep(time.Hour)
			if len(k.signer.q.busy) != 0 {
				t.Error("its place is still taken after it has ended")
			}
		}
	})
}

// slow is a holder that does something else first.
type slow struct {
	fileHolder
	first func(context.Context) ([]byte, error)
}

func (s *slow) sign(ctx context.Context, digest evidence.Hash) ([]byte, error) {
	if der, err := s.first(ctx); der != nil || err != nil {
		return der, err
	}
	return s.fileHolder.sign(ctx, digest)
}

func TestWrongSignatureIsNeverGivenAway(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := sha256.Sum256([]byte("another message"))
	foreign, err := private.Sign(nil, other[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	zero, err := encodeSignature(new(big.Int), big.NewInt(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"of another message": foreign, "r is zero": zero, "not ASN.1": {1, 2}, "with more behind it": append(bytes.Clone(foreign), 0),
	} {
		h := &slow{fileHolder{private}, func(context.Context) ([]byte, error) { return der, nil }}
		k, err := newKey(h, newQueue(0), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Seal(heartbeat("file"), k); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want %v", name, err, ErrSignature)
		}
	}
}

func TestEvidenceKeySignsItsFormsOnly(t *testing.T) {
	o := Options{Evidence: filepath.Join(t.TempDir(), "evidence.key"), TLS: filepath.Join(t.TempDir(), "tls.key"), Forms: []string{"text/a"}}
	if err := Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	k := open(t, o)
	seals(t, k)
	if _, err := evidence.SealMessage("text/a", nil, k.Evidence()); err != nil {
		t.Errorf("a form of its opener: %v", err)
	}
	for name, sign := range map[string]func() error{
		"another form": func() error { _, err := evidence.SealMessage("text/b", nil, k.Evidence()); return err },
		"a receipt": func() error {
			_, err := evidence.SealMessage(evidence.ContentTypeReceipt, nil, k.Evidence())
			return err
		},
		"an envelope": func() error { _, err := k.Evidence().Sign(evidence.EnvelopeToBeSigned("text/a", nil)); return err },
		"nothing":     func() error { _, err := k.Evidence().Sign(evidence.ToBeSigned{}); return err },
		"a digest by TLS of another hash": func() error {
			_, err := k.TLS().Sign(nil, make([]byte, 48), crypto.SHA384)
			if err != nil {
				err = ErrForm
			}
			return err
		},
	} {
		if err := sign(); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v, want %v", name, err, ErrForm)
		}
	}
	if err := os.WriteFile(o.TLS, must(os.ReadFile(o.Evidence))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "signs nothing but evidence") {
		t.Errorf("one key for both: %v", err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// sealedFile is the file of a key that a TPM holds, from the emulator.
func sealedFile(t testing.TB) []byte {
	return must(os.ReadFile("testdata/tpm.key"))(t)
}

func FuzzKeyFile(f *testing.F) {
	f.Add(sealedFile(f))
	f.Add([]byte("-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n-----BEGIN CIGLIO TPM-----\nMAA=\n-----END CIGLIO TPM-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parse(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		if c.sealed != nil && !bytes.Equal(c.sealed.encode(), text) {
			t.Error("a second spelling of one key file")
		}
	})
}

func TestSealedFileRefused(t *testing.T) {
	good := string(sealedFile(t))
	if c, err := parse([]byte(good)); err != nil || c.sealed == nil {
		t.Fatalf("the good one: %v", err)
	}
	first, second, _ := strings.Cut(good, "-----BEGIN CIGLIO")
	second = "-----BEGIN CIGLIO" + second
	exportable := func() string {
		c, err := parse([]byte(good))
		if err != nil {
			t.Fatal(err)
		}
		k := *c.sealed
		k.public.ObjectAttributes.FixedTPM = false
		return string(k.encode())
	}()
	for name, text := range map[string]string{
		"without the TPM's names": first, "the names alone": second, "the other way round": second + first, "more behind it": good + "x",
		"a line end more": good + "\n", "cut": good[:len(good)-40], "a key that could leave the TPM": exportable,
	} {
		if _, err := parse([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
	}
}
