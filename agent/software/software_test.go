package software

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	core = evidence.Hash{7}
)

// program returns one for machines of an architecture. What it does stands in it.
func program(architecture, does string) []byte {
	head := map[string]struct {
		class   byte
		machine uint16
		length  int
	}{"armhf": {1, 40, 52}, "arm64": {2, 183, 64}, "amd64": {2, 62, 64}}[architecture]
	b := make([]byte, head.length)
	copy(b, "\x7fELF")
	b[4], b[5], b[6] = head.class, 1, 1
	binary.LittleEndian.PutUint16(b[16:], 2)
	binary.LittleEndian.PutUint16(b[18:], head.machine)
	binary.LittleEndian.PutUint32(b[20:], 1)
	if head.class == 2 {
		binary.LittleEndian.PutUint16(b[52:], 64)
		binary.LittleEndian.PutUint16(b[54:], 56)
		binary.LittleEndian.PutUint16(b[58:], 64)
	} else {
		binary.LittleEndian.PutUint16(b[40:], 52)
		binary.LittleEndian.PutUint16(b[42:], 32)
		binary.LittleEndian.PutUint16(b[46:], 40)
	}
	return append(b, does...)
}

func manifest(architecture string, program []byte) string {
	return fmt.Sprintf("version = \"0.2.0\"\ncore = \"%v\"\narchitecture = %q\nsha256 = \"%x\"\n", core, architecture, sha256.Sum256(program))
}

// A desk holds a key of each role.
type desk struct {
	testing.TB
	keys map[p.Role]*ecdsa.PrivateKey
}

func newDesk(t testing.TB) *desk {
	d := &desk{t, map[p.Role]*ecdsa.PrivateKey{}}
	for _, r := range []p.Role{p.Root, p.Operator, p.Supplier, p.Laboratory} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		d.keys[r] = key
	}
	return d
}

func (d *desk) signer(r p.Role) evidence.Signer {
	s, err := evidence.NewSigner(d.keys[r])
	if err != nil {
		d.Fatal(err)
	}
	return s
}

func (d *desk) bundle(s p.Statement, by []p.Role, files ...p.File) []byte {
	d.Helper()
	s.Institution = "example"
	if s.NotAfter.IsZero() {
		s.NotBefore, s.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
	}
	if len(s.Devices) == 0 {
		s.Devices = []evidence.DeviceID{mine}
	}
	b, err := p.Make(s, files)
	for _, r := range by {
		if err == nil {
			b, err = b.Sign(d.signer(r))
		}
	}
	if err != nil {
		d.Fatal(err)
	}
	return b.Bytes
}

func (d *desk) trust(version uint64) []byte {
	d.Helper()
	register, err := evidence.SealRegister(&evidence.Register{Sequence: version, Issued: now}, d.signer(p.Root))
	if err != nil {
		d.Fatal(err)
	}
	roles := "institution = \"example\"\n"
	for _, r := range []p.Role{p.Operator, p.Supplier, p.Laboratory} {
		spki, err := evidence.EncodeKey(&d.keys[r].PublicKey)
		if err != nil {
			d.Fatal(err)
		}
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"one\"\nkey = %q\nnot_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2026-12-31T23:59:59Z\"\n", r, base64.StdEncoding.EncodeToString(spki))
	}
	return d.bundle(p.Statement{Kind: p.Trust, Version: version}, []p.Role{p.Root},
		p.File{Name: "trust.pem", Content: evidence.EncodeTrust(&d.keys[p.Root].PublicKey, register.Bytes)}, p.File{Name: "roles.toml", Content: []byte(roles)})
}

func (d *desk) software(version uint64, program []byte) []byte {
	d.Helper()
	return d.bundle(p.Statement{Kind: p.Software, Version: version}, []p.Role{p.Operator, p.Supplier}, files("armhf", program)...)
}

func files(architecture string, program []byte) []p.File {
	return []p.File{{Name: "software.toml", Content: []byte(manifest(architecture, program))}, {Name: "ciglio", Content: program}}
}

func TestCheck(t *testing.T) {
	good := program("armhf", "x")
	for name, test := range map[string]struct {
		text    string
		program []byte
		good    bool
	}{
		"good":                        {manifest("armhf", good), good, true},
		"another program":             {manifest("armhf", good), append(bytes.Clone(good), 1), false},
		"for another machine":         {manifest("arm64", program("arm64", "x")), program("arm64", "x"), false},
		"said to be for this machine": {manifest("armhf", program("amd64", "x")), program("amd64", "x"), false},
		"for no known machine":        {manifest("riscv64", good), good, false},
		"a script":                    {manifest("armhf", []byte("#!/bin/sh\n")), []byte("#!/bin/sh\n"), false},
		"half a head":                 {manifest("armhf", good[:30]), good[:30], false},
		"no version":                  {strings.Replace(manifest("armhf", good), "0.2.0", "", 1), good, false},
		"half a core":                 {strings.Replace(manifest("armhf", good), core.String(), "07", 1), good, false},
		"capitals":                    {strings.Replace(manifest("armhf", good), core.String(), strings.Repeat("AB", 32), 1), good, false},
		"an unknown key":              {manifest("armhf", good) + "run = \"x\"\n", good, false},
		"no TOML":                     {"x", good, false},
	} {
		b, err := p.Make(p.Statement{Kind: p.Software, Version: 1, Institution: "example", AllDevices: true, NotBefore: now, NotAfter: now},
			[]p.File{{Name: "software.toml", Content: []byte(test.text)}, {Name: "ciglio", Content: test.program}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Check(b, "armhf"); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A fakeMachine runs the program that is in its place, as that says: see [program].
type fakeMachine struct {
	b        *bench
	restarts int
}

func (m *fakeMachine) does(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		m.b.Fatal(err)
	}
	return string(text[min(len(text), 52):])
}

func (m *fakeMachine) Identity(_ context.Context, program string) (string, string, error) {
	switch m.does(program) {
	case "does not run":
		return "", "", errors.New("exec format error")
	case "another core":
		return "0.2.0", evidence.Hash{8}.String(), nil
	}
	return "0.2.0", core.String(), nil
}

func (m *fakeMachine) Restart(ctx context.Context) error {
	m.restarts++
	does := m.does(m.b.o.Program)
	own, err := hashOf(m.b.o.Program)
	if err != nil {
		m.b.Fatal(err)
	}
	switch does {
	case "crashes":
		return errors.New("exit status 2")
	case "hangs":
		<-ctx.Done()
		return ctx.Err()
	case "silent":
		return nil
	case "another":
		own = evidence.Hash{1}
	}
	q := new(Request)
	if err := read(filepath.Join(m.b.o.Service, Folder, askedName), q); err == nil && does != "old" {
		if err := Say(m.b.o.Service, q.Bundle, own, core); err != nil {
			m.b.Fatal(err)
		}
	}
	return nil
}

// A bench is a machine with a program, a service and a keeper.
type bench struct {
	*desk
	o       Options
	machine *fakeMachine
	old     []byte
}

func newBench(t testing.TB, d *desk) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{desk: d, old: program("armhf", "old")}
	b.TB = t
	b.machine = &fakeMachine{b: b}
	spki, err := evidence.EncodeKey(&d.keys[p.Root].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b.o = Options{
		Dir: filepath.Join(dir, "keeper"), Program: filepath.Join(dir, "bin", "ciglio"), Service: filepath.Join(dir, "service"),
		Device: mine, Root: sha256.Sum256(spki), Architecture: "armhf", Machine: b.machine, Patience: 50 * time.Millisecond,
		Now: func() time.Time { return now },
	}
	for _, one := range []string{b.o.Dir, filepath.Dir(b.o.Program), filepath.Join(b.o.Service, provisioned)} {
		if err := os.MkdirAll(one, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(b.o.Program, b.old, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// ask puts bundles where the service has them, and asks.
func (b *bench) ask(software, trust []byte) *Request {
	b.Helper()
	var names []string
	for _, content := range [][]byte{software, trust} {
		names = append(names, fmt.Sprintf("%x", sha256.Sum256(content)))
		if err := os.WriteFile(filepath.Join(b.o.Service, provisioned, names[len(names)-1]+p.Extension), content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	q, err := Ask(b.o.Service, names[0], names[1])
	if err != nil {
		b.Fatal(err)
	}
	return q
}

func (b *bench) runs() string { return b.machine.does(b.o.Program) }

// whole says that nothing of a trial is left.
func (b *bench) whole(name string) {
	b.Helper()
	for _, dir := range []string{b.o.Dir, filepath.Dir(b.o.Program)} {
		all, err := os.ReadDir(dir)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range all {
			if durable.Unfinished(d.Name()) || d.Name() == trialName || d.Name() == oldName {
				b.Errorf("%s: %s is left in %s", name, d.Name(), dir)
			}
		}
	}
	if info, err := os.Stat(b.o.Program); err != nil || info.Mode().Perm() != 0o755 {
		b.Errorf("%s: the program has mode %v, %v", name, info.Mode(), err)
	}
}

func TestANewProgramStaysOrIsPutBack(t *testing.T) {
	d := newDesk(t)
	for does, want := range map[string]string{
		"new": Installed, "crashes": PutBack, "hangs": PutBack, "silent": PutBack, "another": PutBack, "does not run": Refused, "another core": Refused,
	} {
		b := newBench(t, d)
		q := b.ask(d.software(3, program("armhf", does)), d.trust(2))
		a, err := NewKeeper(b.o).Apply(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", does, err)
		}
		runs := map[bool]string{true: does, false: "old"}[want == Installed]
		if a.Outcome != want || b.runs() != runs || (a.Why == "") != (want == Installed) {
			t.Errorf("%s: %+v; %q runs", does, a, b.runs())
		}
		b.whole(does)
		if restarts := map[string]int{Installed: 1, PutBack: 2, Refused: 0}[want]; b.machine.restarts != restarts {
			t.Errorf("%s: the service was started %d times", does, b.machine.restarts)
		}
		if said, err := Answered(b.o.Dir, q); err != nil || said == nil || *said != *a {
			t.Errorf("%s: the service hears %+v, %v", does, said, err)
		}
		if other, err := Answered(b.o.Dir, &Request{Number: "1"}); err != nil || other != nil {
			t.Errorf("%s: another request is answered with %+v, %v", does, other, err)
		}
		if _, err := os.Stat(filepath.Join(b.o.Service, Folder, RequestName)); err == nil {
			t.Errorf("%s: the request is still there", does)
		}
		// The same again: never where it is older than what is installed.
		if err := Settled(b.o.Service); err != nil {
			t.Fatal(err)
		}
		b.ask(d.software(3, program("armhf", "new")), d.trust(2))
		again, err := NewKeeper(b.o).Apply(t.Context())
		if err != nil || (again.Outcome == Installed) != (want != Installed) {
			t.Errorf("%s, and version 3 again: %+v, %v", does, again, err)
		}
	}
}

func TestTheKeeperBelievesNothingOfTheService(t *testing.T) {
	d, other := newDesk(t), newDesk(t)
	fresh := program("armhf", "new")
	good, trusted := d.software(3, fresh), d.trust(2)
	by := func(roles ...p.Role) []byte {
		return d.bundle(p.Statement{Kind: p.Software, Version: 3}, roles, files("armhf", fresh)...)
	}
	of := func(s p.Statement) []byte {
		s.Kind, s.Version = p.Software, 3
		return d.bundle(s, []p.Role{p.Operator, p.Supplier}, files("armhf", fresh)...)
	}
	file := func(b *bench, content []byte) string {
		return filepath.Join(b.o.Service, provisioned, fmt.Sprintf("%x", sha256.Sum256(content))+p.Extension)
	}
	for name, test := range map[string]struct {
		software, trust []byte
		spoil           func(b *bench)
	}{
		"by another root":                 {other.software(3, fresh), other.trust(2), nil},
		"trust of another root":           {good, other.trust(2), nil},
		"without the supplier":            {by(p.Operator), trusted, nil},
		"without the operator":            {by(p.Supplier), trusted, nil},
		"the laboratory for the supplier": {by(p.Operator, p.Laboratory), trusted, nil},
		"by nobody":                       {by(), trusted, nil},
		"for another device":              {of(p.Statement{Devices: []evidence.DeviceID{{2}}}), trusted, nil},
		"expired":                         {of(p.Statement{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), trusted, nil},
		"too early":                       {of(p.Statement{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}), trusted, nil},
		"for another machine":             {d.bundle(p.Statement{Kind: p.Software, Version: 3}, []p.Role{p.Operator, p.Supplier}, files("arm64", program("arm64", "new"))...), trusted, nil},
		"a trust bundle as software":      {trusted, trusted, nil},
		"a program as the trust":          {good, good, nil},
		"swapped":                         {good, trusted, func(b *bench) { os.WriteFile(file(b, good), trusted, 0o600) }},
		"changed":                         {good, trusted, func(b *bench) { os.WriteFile(file(b, good), append(bytes.Clone(good), 'x'), 0o600) }},
		"gone":                            {good, trusted, func(b *bench) { os.Remove(file(b, good)) }},
		"a link out":                      {good, trusted, func(b *bench) { os.Remove(file(b, good)); os.Symlink("/etc/passwd", file(b, good)) }},
		"a pipe":                          {good, trusted, func(b *bench) { os.Remove(file(b, good)); syscall.Mkfifo(file(b, good), 0o600) }},
		"a folder":                        {good, trusted, func(b *bench) { os.Remove(file(b, good)); os.Mkdir(file(b, good), 0o700) }},
		"too large":                       {good, trusted, func(b *bench) { os.Truncate(file(b, good), p.MaxBundle+1) }},
		"a path in the request":           {good, trusted, func(b *bench) { b.request(`{"format":1,"number":"1","bundle":"../../x","trust":"../x"}`) }},
		"a request of format 2":           {good, trusted, func(b *bench) { b.request(`{"format":2}`) }},
		"no request":                      {good, trusted, func(b *bench) { b.request("x") }},
		"older than what is installed":    {good, trusted, func(b *bench) { b.state(`{"format":1,"version":4,"trust":1}`) }},
		"the same version":                {good, trusted, func(b *bench) { b.state(`{"format":1,"version":3,"trust":1}`) }},
		"by an older trust bundle":        {good, trusted, func(b *bench) { b.state(`{"format":1,"version":1,"trust":3}`) }},
		"its own memory is damaged":       {good, trusted, func(b *bench) { b.state(`{"format":1`) }},
	} {
		b := newBench(t, d)
		b.ask(test.software, test.trust)
		if test.spoil != nil {
			test.spoil(b)
		}
		a, err := NewKeeper(b.o).Apply(t.Context())
		if err != nil || a.Outcome != Refused || a.Why == "" || b.runs() != "old" || b.machine.restarts != 0 {
			t.Errorf("%s: %+v, %v; %q runs", name, a, err, b.runs())
		}
		b.whole(name)
	}
}

func (b *bench) request(text string) {
	if err := os.WriteFile(filepath.Join(b.o.Service, Folder, RequestName), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) state(text string) {
	if err := os.WriteFile(filepath.Join(b.o.Dir, stateName), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

// The power is cut at each step of installing a program that is good, and one that is
// not; then at each step of putting the old one back. What the next start finds is the
// old program, or the new one that has passed, whole and in its place.
func TestThePowerIsCutAtEachStepOfInstalling(t *testing.T) {
	d := newDesk(t)
	trusted := d.trust(2)
	cuts := 0
	for _, does := range []string{"new", "crashes"} {
		bundle := d.software(3, program("armhf", does))
		for _, mode := range []struct{ half, recovers bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			for at := 1; ; at++ {
				b := newBench(t, d)
				b.ask(bundle, trusted)
				disk := &durabletest.Cut{At: at, Half: mode.half, Recovers: mode.recovers}
				o := b.o
				o.disk = disk
				a, err := NewKeeper(o).Apply(t.Context())
				if disk.Step < at {
					break
				}
				cuts++
				name := fmt.Sprintf("%s, cut at step %d %+v", does, at, mode)
				if err == nil && (a.Outcome == Installed) != (b.runs() != "old") {
					t.Errorf("%s: %+v, and %q runs", name, a, b.runs())
				}
				// The machine starts anew, and the power is cut once more.
				for again := 1; again < 40; again += 5 {
					o.disk = &durabletest.Cut{At: again, Half: mode.half}
					_, _ = NewKeeper(o).Recover()
				}
				if _, err := NewKeeper(b.o).Recover(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				b.whole(name)
				var had state
				if err := read(filepath.Join(b.o.Dir, stateName), &had); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: %v", name, err)
				}
				if want := map[bool]string{true: "new", false: "old"}[had.Version == 3]; b.runs() != want {
					t.Errorf("%s: %q runs, version %d is installed", name, b.runs(), had.Version)
				}
				// What was asked for, and was not answered, is done now.
				if _, err := os.Stat(filepath.Join(b.o.Service, Folder, RequestName)); err == nil {
					if a, err := NewKeeper(b.o).Apply(t.Context()); err != nil || does == "new" && b.runs() != "new" || does != "new" && b.runs() != "old" {
						t.Errorf("%s, once more: %+v, %v; %q runs", name, a, err, b.runs())
					}
				}
				b.whole(name)
			}
		}
	}
	t.Logf("%d cuts", cuts)
	if cuts < 100 {
		t.Errorf("only %d cuts", cuts)
	}
}
