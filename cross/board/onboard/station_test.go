//go:build linux

package onboard_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ciglio/agent/provision"
	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	"ciglio/cross/board/guest"
	"ciglio/cross/board/writelog"
	p "ciglio/internal/provisioning"
	"ciglio/sensor/port"
)

var (
	state    = flag.String("state", "/tmp/device", "TestStation, TestApply, TestCuts: folder of the device's state")
	versions = flag.Int("versions", 1, "TestBundles: bundles of kind calibration to make")
	every    = flag.Int("every", 1, "TestCuts: takes one cut of so many")
)

// The desk: keys that both its signatures and the device's trust come from.
var (
	noon   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	device = evidence.DeviceID{1}
)

func newKey(t *testing.T, name string) *ecdsa.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func newSigner(t *testing.T, name string) evidence.Signer {
	t.Helper()
	s, err := evidence.NewSigner(newKey(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bundle returns one that the keys of as many roles have signed.
func bundle(t *testing.T, kind p.Kind, version uint64, roles []p.Role, files ...p.File) []byte {
	t.Helper()
	b, err := p.Make(p.Statement{
		Kind: kind, Version: version, Institution: "example", Devices: []evidence.DeviceID{device},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
	}, files)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles {
		if b, err = b.Sign(newSigner(t, string(r))); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes
}

func trustBundle(t *testing.T) []byte {
	t.Helper()
	register, err := evidence.SealRegister(&evidence.Register{Sequence: 1, Issued: noon}, newSigner(t, "root"))
	if err != nil {
		t.Fatal(err)
	}
	roles := "institution = \"example\"\n"
	for _, r := range []p.Role{p.Laboratory, p.Operator} {
		spki, err := evidence.EncodeKey(&newKey(t, string(r)).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"one\"\nkey = %q\nnot_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2026-12-31T23:59:59Z\"\n",
			r, base64.StdEncoding.EncodeToString(spki))
	}
	return bundle(t, p.Trust, 1, p.Kinds()[p.Trust].Signers,
		p.File{Name: "trust.pem", Content: evidence.EncodeTrust(&newKey(t, "root").PublicKey, register.Bytes)}, p.File{Name: "roles.toml", Content: []byte(roles)})
}

// calibrationBundle returns one whose certificate takes so many bytes.
func calibrationBundle(t *testing.T, version uint64, roles []p.Role, size int) []byte {
	t.Helper()
	text := fmt.Sprintf("id = \"A-117\"\nversion = %d\nsensor_serial = \"IPS-0042\"\nnot_before = 2026-01-10T00:00:00Z\nnot_after = 2027-01-09T23:59:59Z\n", version)
	return bundle(t, p.Calibration, version, roles, p.File{Name: "calibration.toml", Content: []byte(text)},
		p.File{Name: "certificate.pdf", Content: append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte{byte(version)}, size)...)})
}

// TestBundles makes, in the shared folder, what the sticks of the host bring.
func TestBundles(t *testing.T) {
	needBoard(t)
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(guest.Share, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	both := p.Kinds()[p.Calibration].Signers
	write("trust.ciglio", trustBundle(t))
	write("half.ciglio", calibrationBundle(t, 900, []p.Role{p.Operator}, 1000))
	for v := range *versions {
		write(fmt.Sprintf("calibration-%d.ciglio", v+1), calibrationBundle(t, uint64(v+1), both, 1000))
	}
	write("large-901.ciglio", calibrationBundle(t, 901, both, 1<<20))
	write("large-902.ciglio", calibrationBundle(t, 902, both, 1<<20))
	fmt.Println("bundles: signed")
}

func openState(t *testing.T, dir string) *provision.Store {
	t.Helper()
	s, err := provision.Open(dir, provision.Options{
		Device: device, Checks: provision.Known(""), Root: newSigner(t, "root").KeyID(), Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inForce says what is in force, and whether all of it can be read and nothing is on
// trial.
func inForce(s *provision.Store) string {
	words := ""
	for _, k := range []p.Kind{p.Calibration, p.Trust} {
		b, err := s.Current(k)
		switch {
		case errors.Is(err, provision.ErrNotInstalled):
			words += fmt.Sprintf("%s 0, ", k)
		case err != nil:
			return "BROKEN: " + err.Error()
		default:
			words += fmt.Sprintf("%s %d, ", k, b.Version)
		}
	}
	if s.Trial() {
		return words + "HALF"
	}
	return words + "whole"
}

// A lines collects what is logged, until it is taken.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return strings.ReplaceAll(strings.TrimSpace(l.b.String()), "\n", " ")
}

// TestStation is the part of a device that takes sticks, with the real helper at the
// other end of a socket, until it is told to end. The device itself starts with
// anything. For each stick it says "station: takes MOUNT", then "station: outcome: …"
// and, when the stick is pulled out, "station: idle"; each with the lamp's level.
func TestStation(t *testing.T) {
	needBoard(t)
	ctx, cancel := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer cancel()
	events, err := stick.ListenForEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var said lines
	log := slog.New(slog.NewJSONHandler(&said, nil))
	var running sync.WaitGroup
	running.Go(func() {
		real := &helper.Real{Dir: sticks, Options: stick.Options{Patience: *patience}, Events: events}
		if err := helper.Serve(ctx, l, real, log); err != nil {
			t.Error(err)
		}
	})
	const lampLine = "gpiochip0-5"
	output, err := port.OpenOutput(lampLine)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Halt()
	lamp := provision.NewLight(output)
	running.Go(func() {
		if err := lamp.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if err = os.MkdirAll("/sys/kernel/debug", 0o755); err == nil {
		err = syscall.Mount("debugfs", "/sys/kernel/debug", "debugfs", 0, "")
	}
	if err != nil && !errors.Is(err, syscall.EBUSY) {
		t.Fatal(err)
	}
	s := openState(t, *state)
	defer s.Close()
	station := provision.NewStation(provision.StationOptions{
		Store: s, Device: device, Signer: newSigner(t, "device"), Log: log,
		Connect: func(ctx context.Context) (provision.Sticks, error) { return helper.Dial(ctx, socket) },
		Restart: func(context.Context) error {
			if _, err := s.Start(); err != nil {
				return err
			}
			return s.Started()
		},
		Note: func(string, evidence.Act) error { return nil },
		Show: func(sig provision.Signal) {
			lamp.Show(sig)
			switch sig {
			case provision.Busy:
				fmt.Printf("station: takes %q\n", mountOf(sticks))
			case provision.Good:
				fmt.Printf("station: outcome: good; %s; lamp %s; %s\n", inForce(s), lampBecomes("on"), said.take())
			case provision.Bad:
				fmt.Printf("station: outcome: bad; %s; lamp %s; %s\n", inForce(s), lampBecomes("flashes"), said.take())
			case provision.Idle:
				fmt.Printf("station: idle; lamp %s\n", lampBecomes("off"))
			}
		},
	})
	fmt.Println("station: waits")
	if err := station.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	running.Wait()
	if left, err := os.ReadDir(sticks); err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
		t.Errorf("sticks left behind: %v, %v", left, err)
	}
}

// mountOf returns how something is mounted below a folder; "" when nothing is.
func mountOf(dir string) string {
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.SplitSeq(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[1], dir+"/") {
			return f[0] + " " + f[2] + " " + f[3]
		}
	}
	return ""
}

// lampBecomes returns what the lamp shows, once that is what is wanted: it is switched
// by another goroutine a moment later.
func lampBecomes(want string) (shows string) {
	for end := time.Now().Add(5 * time.Second); ; {
		if shows = lampShows(); shows == want || time.Now().After(end) {
			return shows
		}
	}
}

// lampShows looks for as long as two flashes take at the level of the one line that
// is an output, as the kernel knows it.
func lampShows() string {
	seen := map[bool]bool{}
	for range 18 {
		text, err := os.ReadFile("/sys/kernel/debug/gpio")
		if err != nil {
			return err.Error()
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.Contains(line, " out ") {
				seen[strings.Contains(line, " out hi")] = true
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	switch {
	case seen[true] && seen[false]:
		return "flashes"
	case seen[true]:
		return "on"
	}
	return "off"
}

// TestReceipts verifies the receipts on the stick that is plugged in, and says them.
func TestReceipts(t *testing.T) {
	needBoard(t)
	at := await(t, func(found []string) bool { return len(found) > 0 })[0]
	s, err := stick.Open(t.Context(), at, sticks, stick.Options{Patience: *patience})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if path.Ext(e.Name) != ".cose" {
			continue
		}
		content, err := s.Read(t.Context(), e.Name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		m, err := evidence.OpenMessage(provision.ReceiptType, helper.MaxPut, content)
		if err == nil {
			err = m.Verify(&newKey(t, "device").PublicKey)
		}
		var r provision.Receipt
		if err == nil {
			err = json.Unmarshal(m.Payload, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		words, err := s.Read(t.Context(), strings.TrimSuffix(e.Name, ".cose")+".txt", 1<<20)
		if err != nil || !bytes.Contains(words, []byte(r.Words)) {
			t.Errorf("%s: %v: %q", e.Name, err, words)
		}
		fmt.Printf("receipt: %s %s, %d files: %s\n", s.Kind(), r.Outcome, len(r.Files), r.Words)
	}
}

// TestEvents says when the kernel has told of a disk, and then, deaf, when looking
// has found one all the same.
func TestEvents(t *testing.T) {
	needBoard(t)
	events, err := stick.ListenForEvents()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("events: listens")
	const long = 40 * time.Second
	began := time.Now()
	events.Wait(t.Context(), long)
	if took := time.Since(began); took >= long {
		t.Errorf("no event within %v", took)
	}
	await(t, func(found []string) bool { return len(found) == 1 })
	fmt.Println("events: sees it")
	await(t, func(found []string) bool { return len(found) == 0 })
	// A socket that says nothing more stands for lost events.
	if err := events.Close(); err != nil {
		t.Fatal(err)
	}
	real := &helper.Real{Dir: sticks, Events: events}
	fmt.Println("events: deaf")
	for {
		disks, err := real.Disks()
		if err != nil {
			t.Fatal(err)
		}
		if len(disks) == 1 && disks[0].Times != "" {
			break
		}
		real.Wait(t.Context())
	}
	fmt.Println("events: looked")
}

// TestApply installs, on the disk whose writes are logged, the first state and then
// another, with a start after each. A file in front of each step lets the log tell
// what was promised by then.
func TestApply(t *testing.T) {
	needBoard(t)
	s := openState(t, *state)
	defer s.Close()
	promise := func(what string) {
		if err := os.WriteFile(filepath.Join(guest.Share, "promise-"+what), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Println("apply:", what)
		waitFor(t, filepath.Join(guest.Share, "seen-"+what))
	}
	take := func(files ...[]byte) {
		var named []provision.Named
		for i, f := range files {
			named = append(named, provision.Named{Name: fmt.Sprint(i), Content: f})
		}
		plan, err := s.Plan(named)
		if err == nil {
			err = s.Install(plan)
		}
		if err == nil {
			_, err = s.Start()
		}
		if err == nil {
			err = s.Started()
		}
		if err == nil {
			err = s.Recorded(len(s.Pending()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	both := p.Kinds()[p.Calibration].Signers
	trust, first, second := trustBundle(t), calibrationBundle(t, 1, both, 1000), calibrationBundle(t, 2, both, 20_000)
	for name, content := range map[string][]byte{"apply-trust": trust, "apply-second": second} { // for TestCuts
		if err := os.WriteFile(filepath.Join(guest.Share, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	promise("nothing")
	take(trust, first)
	promise("first")
	take(second)
	promise("second")
}

func waitFor(t *testing.T, file string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %s", file)
		}
	}
}

// TestCuts makes the disk as each cut of the log in the shared folder may have left it,
// mounts it, which plays the journal back, and opens the device's state: it must be
// one of those that were installed, whole, and none older than was promised.
func TestCuts(t *testing.T) {
	needBoard(t)
	base, err := os.ReadFile(filepath.Join(guest.Share, "base"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(guest.Share, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := writelog.OpenWritten(f)
	if err != nil {
		t.Fatal(err)
	}
	var promised [3]int // entries of the log by then
	text, err := os.ReadFile(filepath.Join(guest.Share, "promised"))
	if err == nil {
		err = json.Unmarshal(text, &promised)
	}
	if err != nil {
		t.Fatal(err)
	}
	states := []string{"calibration 0, trust 0, whole", "calibration 1, trust 1, whole", "calibration 2, trust 1, whole"}
	bundles := []provision.Named{{Name: "trust", Content: mustRead(t, "apply-trust")}, {Name: "calibration", Content: mustRead(t, "apply-second")}}
	cuts, found := 0, map[string]int{}
	for end := promised[0]; end <= len(l.Entries); end++ {
		for i, fate := range fates(uint64(end)) {
			if (end*len(fates(0))+i)%*every != 0 {
				continue
			}
			cuts++
			after := 0
			for after < 2 && promised[after+1] <= end {
				after++
			}
			flushed := l.Flushed(end)
			disk := bytes.Clone(base)
			err := l.Replay(disk, 0, flushed, nil)
			if err == nil {
				err = l.Replay(disk, flushed, end, superblockWhole(l, fate))
			}
			if err != nil {
				t.Fatal(err)
			}
			got, again := afterCut(t, disk, bundles)
			found[got]++
			if at := slices.Index(states, got); at < after {
				t.Errorf("cut after entry %d, fate %d: %q, at least %q was promised", end, i, got, states[after])
			}
			if again != states[2] {
				t.Errorf("cut after entry %d, fate %d: from %q the second does not come into force: %q", end, i, got, again)
			}
		}
	}
	fmt.Printf("cuts, all: %d of %d entries: %v\n", cuts, len(l.Entries), found)
}

// fates are what the disk did with what it had not flushed.
func fates(seed uint64) []writelog.Fate {
	random := func(seed uint64) writelog.Fate { return writelog.Random(rand.New(rand.NewPCG(seed, 1))) }
	return []writelog.Fate{writelog.None, writelog.All, random(seed), random(seed + 1<<32)}
}

// superblockWhole keeps the superblock of ext4 whole, or loses it whole: a half one is
// beyond what mounting repairs (docs/power-cuts.md).
func superblockWhole(l *writelog.Log, fate writelog.Fate) writelog.Fate {
	var kept bool
	return func(entry, sector int) bool {
		const first = 4096 / 512 // sectors, with the superblock among them
		if at := int(l.Entries[entry].Offset/512) + sector; sector == 0 || at >= first {
			kept = fate(entry, sector)
		}
		return kept
	}
}

// afterCut mounts a disk and starts a device on it: it returns what is in force, and
// what is after the second state was brought once more.
func afterCut(t *testing.T, disk []byte, bundles []provision.Named) (got, again string) {
	t.Helper()
	image, at := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "flash")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(image)
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	fmt.Println("cuts: mounts")
	unmount := mountLoop(t, image, at)
	defer unmount()
	s := openState(t, filepath.Join(at, "provisioned"))
	defer s.Close()
	start := func() {
		if back, err := s.Start(); err != nil || back {
			t.Errorf("start: %v, %v", back, err)
		}
		if err := s.Started(); err != nil {
			t.Error(err)
		}
	}
	start()
	got = inForce(s)
	plan, err := s.Plan(bundles)
	if err == nil {
		err = s.Install(plan)
	}
	if err != nil {
		return got, err.Error()
	}
	start()
	return got, inForce(s)
}

// mountLoop mounts an image with ext4.
func mountLoop(t *testing.T, image, at string) (unmount func()) {
	t.Helper()
	const setFile, clearFile, getFree = 0x4C00, 0x4C01, 0x4C82
	ioctl := func(f *os.File, request, argument uintptr) uintptr {
		result, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, argument)
		if errno != 0 {
			t.Fatalf("%s: ioctl %#x: %v", f.Name(), request, errno)
		}
		return result
	}
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	control := open("/dev/loop-control")
	defer control.Close()
	loop := open(fmt.Sprintf("/dev/loop%d", ioctl(control, getFree, 0)))
	file := open(image)
	defer file.Close()
	ioctl(loop, setFile, file.Fd())
	if err := syscall.Mount(loop.Name(), at, "ext4", 0, ""); err != nil {
		t.Fatalf("a disk that was cut off cannot be mounted: %v", err)
	}
	return func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
		ioctl(loop, clearFile, 0)
		loop.Close()
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(guest.Share, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
