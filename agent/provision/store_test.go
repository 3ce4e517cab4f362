package provision

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/internal/durable/durabletest"
	p "ciglio/internal/provisioning"
)

var (
	now  = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	mine = evidence.DeviceID{1}
)

func newKey(t testing.TB, name string) *ecdsa.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func newSigner(t testing.TB, name string) evidence.Signer {
	t.Helper()
	s, err := evidence.NewSigner(newKey(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signersOf are the names of the keys that sign a kind here: they are those of the
// roles.
func signersOf(k p.Kind) (names []string) {
	for _, r := range p.Kinds()[k].Signers {
		names = append(names, string(r))
	}
	return names
}

func bundle(t testing.TB, kind p.Kind, version uint64, files ...p.File) []byte {
	t.Helper()
	return signed(t, p.Statement{
		Kind: kind, Version: version, Institution: "example", Devices: []evidence.DeviceID{mine},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}, signersOf(kind), files...)
}

func signed(t testing.TB, s p.Statement, names []string, files ...p.File) []byte {
	t.Helper()
	b, err := p.Make(s, files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if b, err = b.Sign(newSigner(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes
}

func trustBundle(t testing.TB, version uint64) []byte {
	t.Helper()
	root, public := newSigner(t, "root"), &newKey(t, "root").PublicKey
	register, err := evidence.SealRegister(&evidence.Register{Sequence: version, Issued: now}, root)
	if err != nil {
		t.Fatal(err)
	}
	roles := "institution = \"example\"\n"
	for _, r := range []p.Role{p.Laboratory, p.Operator, p.Officer, p.Supplier} {
		spki, err := evidence.EncodeKey(&newKey(t, string(r)).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"one\"\nkey = %q\nnot_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2026-12-31T23:59:59Z\"\n",
			r, base64.StdEncoding.EncodeToString(spki))
	}
	return bundle(t, p.Trust, version, p.File{Name: "trust.pem", Content: evidence.EncodeTrust(public, register.Bytes)}, p.File{Name: "roles.toml", Content: []byte(roles)})
}

func calibrationText(version uint64) []byte {
	return fmt.Appendf(nil, "id = \"A-117\"\nversion = %d\nsensor_serial = \"IPS-0042\"\nnot_before = 2026-01-10T00:00:00Z\nnot_after = 2027-01-09T23:59:59Z\n", version)
}

func calibrationBundle(t testing.TB, version uint64) []byte {
	t.Helper()
	return bundle(t, p.Calibration, version, p.File{Name: "calibration.toml", Content: calibrationText(version)}, p.File{Name: "certificate.pdf", Content: []byte("%PDF-1.7\n")})
}

func options(t testing.TB) Options {
	t.Helper()
	root := newSigner(t, "root")
	checks := Known("amd64")
	delete(checks, p.Software) // as by a program that does not know that kind yet
	return Options{Device: mine, Checks: checks, Now: func() time.Time { return now }, Root: root.KeyID()}
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	return openWith(t, dir, options(t))
}

func openWith(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func install(t testing.TB, s *Store, files ...[]byte) {
	t.Helper()
	if err := tryInstall(s, files...); err != nil {
		t.Fatal(err)
	}
}

func tryInstall(s *Store, files ...[]byte) error {
	var named []Named
	for i, f := range files {
		named = append(named, Named{fmt.Sprintf("%d.ciglio", i), f})
	}
	plan, err := s.Plan(named)
	if err != nil {
		return err
	}
	return s.Install(plan)
}

// version returns which version of a kind is in force; 0 for none.
func version(t testing.TB, s *Store, k p.Kind) uint64 {
	t.Helper()
	b, err := s.Current(k)
	if errors.Is(err, ErrNotInstalled) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Version
}

func reason(err error) p.Reason {
	var r *p.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		return p.Reason("other: " + err.Error())
	}
	return ""
}

func start(t testing.TB, s *Store) {
	t.Helper()
	if back, err := s.Start(); back || err != nil {
		t.Fatal(back, err)
	}
	if err := s.Started(); err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstBox(t *testing.T) {
	s := open(t, t.TempDir())
	if err := tryInstall(s, calibrationBundle(t, 1)); reason(err) != p.NoAnchor {
		t.Errorf("a calibration before any trust: %v", err)
	}
	// One stick brings all, in whatever order its files stand.
	install(t, s, calibrationBundle(t, 1), trustBundle(t, 1))
	if version(t, s, p.Trust) != 1 || version(t, s, p.Calibration) != 1 {
		t.Error("not installed")
	}
	b, err := s.Current(p.Calibration)
	if err != nil || !bytes.Equal(b.Text(), calibrationText(1)) {
		t.Errorf("%v", err)
	}
	pending := s.Pending()
	if len(pending) != 2 || pending[0].Kind != p.Trust || pending[1].By != "laboratory one, operator one" || pending[1].Old != "" || pending[1].New == "" {
		t.Errorf("pending %+v", pending)
	}
	if err := s.Recorded(1); err != nil {
		t.Fatal(err)
	}
	if pending := s.Pending(); len(pending) != 1 || pending[0].Kind != p.Calibration {
		t.Errorf("pending %+v", pending)
	}
}

func TestAStateIsOnTrialUntilTheDeviceHasStarted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	install(t, s, trustBundle(t, 1), calibrationBundle(t, 1))
	start(t, s)
	install(t, s, calibrationBundle(t, 2))
	if !s.Trial() {
		t.Error("no trial")
	}
	if err := tryInstall(s, calibrationBundle(t, 3)); reason(err) != p.Busy {
		t.Errorf("another during the trial: %v", err)
	}
	// It ends three times while it starts, as when its power is cut or it crashes.
	for range 3 {
		if back, err := s.Start(); back || err != nil {
			t.Fatal(back, err)
		}
		s.Close()
		s = open(t, dir)
		if version(t, s, p.Calibration) != 2 {
			t.Error("gone too early")
		}
	}
	if back, err := s.Start(); !back || err != nil {
		t.Fatal(back, err)
	}
	if version(t, s, p.Calibration) != 1 || s.Trial() {
		t.Error("not rolled back")
	}
	last := s.Pending()[len(s.Pending())-1]
	if last.What != RolledBack || last.OldVersion != 2 || last.NewVersion != 1 || !strings.Contains(last.Why, "ended 3 times") {
		t.Errorf("%+v", last)
	}
	if err := tryInstall(s, calibrationBundle(t, 2)); reason(err) != p.NoStart {
		t.Errorf("the same again, by a stick that was left plugged in: %v", err)
	}
	if plan, err := s.PlanAgain([]Named{{"x", calibrationBundle(t, 2)}}); err != nil || len(plan.Events) != 1 {
		t.Errorf("the same again, by hand: %v", err)
	}
	install(t, s, calibrationBundle(t, 3))
	if err := s.RollBack("the device cannot be built"); err != nil {
		t.Fatal(err)
	}
	install(t, s, calibrationBundle(t, 4))
	start(t, s)
	if err := s.RollBack("too late"); err != nil || version(t, s, p.Calibration) != 4 {
		t.Errorf("a state that is in force was rolled back: %v", err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 4 { // lock, state, trust, calibration
		t.Errorf("left behind: %v", files)
	}
}

func TestAStickIsTakenWholeOrNotAtAll(t *testing.T) {
	s := open(t, t.TempDir())
	install(t, s, trustBundle(t, 1), calibrationBundle(t, 5))
	start(t, s)
	foreign, err := p.Make(p.Statement{
		Kind: p.Calibration, Version: 9, Institution: "elsewhere", Devices: []evidence.DeviceID{{7}}, NotBefore: now, NotAfter: now,
	}, []p.File{{Name: "calibration.toml", Content: []byte("x")}, {Name: "certificate.pdf", Content: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	bad := bundle(t, p.Calibration, 6, p.File{Name: "calibration.toml", Content: []byte("id = 3")}, p.File{Name: "certificate.pdf", Content: []byte("x")})
	for _, row := range []struct {
		name  string
		files [][]byte
		want  p.Reason
		plans int
	}{
		{"one good, one old", [][]byte{trustBundle(t, 2), calibrationBundle(t, 4)}, p.Older, 0},
		{"one good, one cut off", [][]byte{calibrationBundle(t, 6), trustBundle(t, 2)[:500]}, p.Truncated, 0},
		{"one good, one that cannot be used", [][]byte{trustBundle(t, 2), bad}, p.BadContent, 0},
		{"two of a kind", [][]byte{calibrationBundle(t, 6), calibrationBundle(t, 7)}, p.TwoOfAKind, 0},
		{"the same twice", [][]byte{calibrationBundle(t, 6), calibrationBundle(t, 6)}, "", 1},
		{"one good, one for another device", [][]byte{foreign.Bytes, calibrationBundle(t, 6)}, "", 1},
		{"what is installed already", [][]byte{trustBundle(t, 1), calibrationBundle(t, 5)}, "", 0},
		{"another of the same version", [][]byte{bundle(t, p.Calibration, 5, p.File{Name: "calibration.toml", Content: calibrationText(8)}, p.File{Name: "certificate.pdf", Content: []byte("x")})}, p.Older, 0},
		{"a kind that this program does not know", [][]byte{bundle(t, p.Software, 1, p.File{Name: "software.toml", Content: []byte("x")}, p.File{Name: "ciglio", Content: []byte("x")})}, p.UnknownKind, 0},
		{"nothing", nil, "", 0},
	} {
		var named []Named
		for i, f := range row.files {
			named = append(named, Named{fmt.Sprint(i), f})
		}
		plan, err := s.Plan(named)
		if reason(err) != row.want || err == nil && len(plan.Events) != row.plans {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	if version(t, s, p.Trust) != 1 || version(t, s, p.Calibration) != 5 {
		t.Error("a plan changed something")
	}
}

func TestWhatIsDamagedOnFlashIsSaid(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	install(t, s, trustBundle(t, 1), calibrationBundle(t, 1))
	start(t, s)
	e, _ := find(s.state.Installed, p.Calibration)
	path := filepath.Join(dir, e.file())
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Current(p.Calibration); err == nil || errors.Is(err, ErrNotInstalled) {
		t.Errorf("damaged: %v", err)
	}
	install(t, s, calibrationBundle(t, 2)) // a new one mends it
	start(t, s)
	if version(t, s, p.Calibration) != 2 {
		t.Error("not mended")
	}
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, options(t)); err == nil {
		t.Error("half a state was taken for none")
	}
	if _, err := Open(dir, options(t)); err == nil || errors.Is(err, durable.ErrLocked) {
		t.Errorf("the lock stays: %v", err)
	}
	// Without its state the device would not know how far versions have come, and take
	// an older stick.
	if err := os.Remove(filepath.Join(dir, "state.json")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Open(dir, options(t)); err == nil || !strings.Contains(err.Error(), "missing, and bundles are there") {
			t.Errorf("a state that is lost: %v", err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*"+p.Extension)); err != nil || len(left) == 0 {
		t.Errorf("the bundles are gone with it: %v, %v", left, err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(dir, options(t)); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("%v", err)
	}
}

// The power is cut at each step of installing, starting, confirming and rolling
// back, before the step is done and after: what the next start finds is the old
// state or the new one, whole, and what was told to have failed did not come.
func TestThePowerIsCutAtEachStep(t *testing.T) {
	trust1, both := trustBundle(t, 1), [][]byte{trustBundle(t, 2), calibrationBundle(t, 2)}
	next := [][]byte{trustBundle(t, 3), calibrationBundle(t, 3)}
	base := t.TempDir()
	s := open(t, base)
	install(t, s, trust1, calibrationBundle(t, 1))
	start(t, s)
	if err := s.Recorded(len(s.Pending())); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, act := range []struct {
		name string
		do   func(*Store) error
		want string // versions that may be found
	}{
		{"install", func(s *Store) error { return tryInstall(s, both...) }, "1 2"},
		{"install and start", func(s *Store) error {
			if err := tryInstall(s, both...); err != nil {
				return err
			}
			if _, err := s.Start(); err != nil {
				return err
			}
			return s.Started()
		}, "1 2"},
		{"install and roll back", func(s *Store) error {
			if err := tryInstall(s, both...); err != nil {
				return err
			}
			return s.RollBack("test")
		}, "1 2"},
	} {
		steps := 0
		for _, mode := range []struct{ half, recovers bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			for at := 1; ; at++ {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				disk := &durabletest.Cut{At: at, Half: mode.half, Recovers: mode.recovers}
				o := options(t)
				o.disk = disk
				s := openWith(t, dir, o)
				before := version(t, s, p.Calibration)
				err := act.do(s)
				if disk.Step < at {
					if err != nil {
						t.Fatalf("%s without a fault: %v", act.name, err)
					}
					s.Close()
					break
				}
				steps++
				inMemory := version(t, s, p.Calibration)
				s.Close()
				o.disk = &durabletest.Cut{At: -1}
				s = openWith(t, dir, o)
				c, tr := version(t, s, p.Calibration), version(t, s, p.Trust)
				if c != tr || !strings.Contains(act.want, fmt.Sprint(c)) {
					t.Errorf("%s, cut at step %d %+v: trust %d, calibration %d", act.name, at, mode, tr, c)
				}
				if mode.recovers && c != inMemory {
					t.Errorf("%s, a fault at step %d %+v: version %d in memory, %d on flash", act.name, at, mode, inMemory, c)
				}
				if act.name == "install" && err != nil && mode.recovers && c != before {
					t.Errorf("%s: told to have failed at step %d %+v, and came into force", act.name, at, mode)
				}
				if c == 2 && len(s.Pending()) != 2 {
					t.Errorf("%s, cut at step %d %+v: installed and not told of: %+v", act.name, at, mode, s.Pending())
				}
				// It goes on from here.
				if s.Trial() {
					start(t, s)
				}
				if c == 1 {
					install(t, s, next...)
					start(t, s)
					if version(t, s, p.Calibration) != 3 {
						t.Errorf("%s, cut at step %d %+v: takes nothing any more", act.name, at, mode)
					}
				}
				if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
					t.Errorf("%s, cut at step %d %+v: left behind %v", act.name, at, mode, left)
				}
				s.Close()
			}
		}
		t.Logf("%s: %d faults", act.name, steps)
		if steps < 4*12 {
			t.Errorf("%s: only %d faults", act.name, steps)
		}
	}
}
