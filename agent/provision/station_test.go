package provision

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// A fakeStick has its files in memory, and may fail or change while it is read.
type fakeStick struct {
	files  map[string][]byte
	list   error    // of List
	folder []string // names of folders that cannot be listed
	read   error    // of Read
	bad    []string // names of files that cannot be read
	put    error    // of Put
	opens  error    // of Open
	onRead func(name string, content []byte) []byte

	mu     sync.Mutex
	wrote  map[string][]byte
	closed int
}

func (s *fakeStick) Kind() string { return "vfat" }

func (s *fakeStick) List(context.Context) ([]stick.Entry, error) {
	var list []stick.Entry
	for name, content := range s.files {
		list = append(list, stick.Entry{Name: name, Size: int64(len(content))})
	}
	for _, name := range s.folder {
		list = append(list, stick.Entry{Name: name, Err: "input/output error"})
	}
	slices.SortFunc(list, func(a, b stick.Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, s.list
}

func (s *fakeStick) Read(_ context.Context, name string, limit int64) ([]byte, error) {
	content, ok := s.files[name]
	if s.onRead != nil {
		content = s.onRead(name, content)
	}
	switch {
	case s.read != nil:
		return nil, s.read
	case slices.Contains(s.bad, name):
		return nil, errors.New("input/output error")
	case !ok:
		return nil, fs.ErrNotExist
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("%s: %w", name, stick.ErrLimit)
	}
	return content, nil
}

func (s *fakeStick) Put(_ context.Context, name string, content []byte) error {
	if s.put != nil {
		return s.put
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrote == nil {
		s.wrote = map[string][]byte{}
	}
	s.wrote[name] = bytes.Clone(content)
	return nil
}

func (s *fakeStick) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// A fakeMachine has the sticks that are plugged in.
type fakeMachine struct {
	mu     sync.Mutex
	in     []helper.Disk
	sticks map[helper.Disk]*fakeStick
	n      int
	event  chan struct{}
}

func newMachine() *fakeMachine {
	return &fakeMachine{sticks: map[helper.Disk]*fakeStick{}, event: make(chan struct{}, 1)}
}

func (m *fakeMachine) plug(s *fakeStick) helper.Disk {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	d := helper.Disk{Device: "/dev/sda", Times: fmt.Sprint(m.n)}
	m.in, m.sticks[d] = append(m.in, d), s
	m.tell()
	return d
}

func (m *fakeMachine) tell() {
	select {
	case m.event <- struct{}{}:
	default:
	}
}

func (m *fakeMachine) pull(d helper.Disk) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in = slices.DeleteFunc(m.in, func(o helper.Disk) bool { return o == d })
	m.tell()
}

func (m *fakeMachine) Disks() ([]helper.Disk, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.in), nil
}

func (m *fakeMachine) Open(_ context.Context, d helper.Disk) (helper.Stick, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sticks[d]
	if s.opens != nil {
		return nil, s.opens
	}
	return s, nil
}

func (m *fakeMachine) Wait(ctx context.Context) {
	select {
	case <-m.event:
	case <-ctx.Done():
	}
}

// A stand is a station with its helper, and a device that starts with anything.
type stand struct {
	*fakeMachine
	store   *Store
	station *Station
	signals chan Signal
	noted   []evidence.Act
	starts  error // why it does not start
	noteErr error
}

func newStand(t *testing.T, s *Store) *stand { return newStandWith(t, s, func(*StationOptions) {}) }

func newStandWith(t *testing.T, s *Store, change func(*StationOptions)) *stand {
	st := &stand{fakeMachine: newMachine(), store: s, signals: make(chan Signal, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	o := StationOptions{
		Store: s, Device: mine, Signer: newSigner(t, "device"), Log: slog.New(slog.DiscardHandler),
		Show: func(sig Signal) { st.signals <- sig },
		Connect: func(ctx context.Context) (Sticks, error) {
			ours, theirs := net.Pipe()
			go helper.ServeConn(ctx, theirs, st.fakeMachine)
			return helper.NewClient(ours), nil
		},
		Restart: func(context.Context) error {
			if _, err := s.Start(); err != nil {
				return err
			}
			if st.starts != nil {
				return errors.Join(st.starts, s.RollBack(st.starts.Error()))
			}
			return s.Started()
		},
		Note: func(_ string, a evidence.Act) error {
			if st.noteErr != nil {
				return st.noteErr
			}
			st.noted = append(st.noted, a)
			return nil
		},
	}
	change(&o)
	st.station = NewStation(o)
	ended := make(chan error)
	go func() { ended <- st.station.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return st
}

// use plugs a stick in, waits for what the light says, and pulls it out.
func (st *stand) use(t *testing.T, s *fakeStick) Signal {
	t.Helper()
	d := st.plug(s)
	last := Busy
	for last == Busy || last == Idle {
		select {
		case last = <-st.signals:
		case <-time.After(time.Minute):
			t.Fatal("the light says nothing")
		}
	}
	st.pull(d)
	for sig := range st.signals {
		if sig == Idle {
			break
		}
	}
	return last
}

// receipt returns what the device has written to the stick, verified.
func (s *fakeStick) receipt(t *testing.T) Receipt {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, content := range s.wrote {
		if path.Ext(name) != ".cose" {
			continue
		}
		m, err := evidence.OpenMessage(ReceiptType, helper.MaxPut, content)
		if err == nil {
			err = m.Verify(&newKey(t, "device").PublicKey)
		}
		var r Receipt
		if err == nil {
			err = json.Unmarshal(m.Payload, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		if text := s.wrote[strings.TrimSuffix(name, ".cose")+".txt"]; !strings.Contains(string(text), r.Words) {
			t.Errorf("%s: the words are not in %q", name, text)
		}
		return r
	}
	return Receipt{Outcome: "no receipt"}
}

func stickOf(files ...[]byte) *fakeStick {
	s := &fakeStick{files: map[string][]byte{}}
	for i, f := range files {
		s.files[fmt.Sprintf("b%d.ciglio", i)] = f
	}
	return s
}

func TestASticksLife(t *testing.T) {
	s := open(t, t.TempDir())
	st := newStand(t, s)
	first := stickOf(trustBundle(t, 1), calibrationBundle(t, 1))
	first.files["holiday.jpg"], first.files["._b0.ciglio"], first.files["Trash/old.ciglio"] = []byte("x"), []byte("x"), []byte("x")
	if sig := st.use(t, first); sig != Good {
		t.Fatalf("light %d: %+v", sig, first.receipt(t))
	}
	r := first.receipt(t)
	if r.Outcome != outcomeInstalled || len(r.Changes) != 2 || len(r.Files) != 2 || len(r.Force) != 2 || r.Device != mine.String() {
		t.Errorf("%+v", r)
	}
	if first.closed == 0 {
		t.Error("not unmounted")
	}
	again := stickOf(trustBundle(t, 1), calibrationBundle(t, 1))
	if sig := st.use(t, again); sig != Good || again.receipt(t).Outcome != outcomeNothing {
		t.Errorf("the same stick: light %d, %+v", sig, again.receipt(t))
	}
	// One without a bundle must not look as if all that it brought were in force.
	none := stickOf()
	none.files["photos/c.ciglio"] = calibrationBundle(t, 2)
	if sig := st.use(t, none); sig != Bad || none.receipt(t).Outcome != outcomeNothing || len(st.noted) != 0 {
		t.Errorf("a stick without a bundle: light %d, %+v", sig, none.receipt(t))
	}
	// One that cannot be written to is taken all the same.
	locked := stickOf(calibrationBundle(t, 2))
	locked.put = errors.New("vfat for writing: the stick is read-only")
	if sig := st.use(t, locked); sig != Good || version(t, s, p.Calibration) != 2 {
		t.Errorf("a locked stick: light %d", sig)
	}
	st.starts = errors.New("sensor.serial: another one")
	bad := stickOf(calibrationBundle(t, 3))
	if sig := st.use(t, bad); sig != Bad || bad.receipt(t).Reason != p.NoStart || version(t, s, p.Calibration) != 2 {
		t.Errorf("a state that does not start: light %d, %+v", sig, bad.receipt(t))
	}
	if len(st.noted) != 1 || st.noted[0].Outcome != "refused" || st.noted[0].Code != "provision" {
		t.Errorf("noted %+v", st.noted)
	}
	// Where no device runs, a refusal waits for the chain.
	st.noteErr = errors.New("no device runs")
	before := len(s.Pending())
	st.use(t, bad)
	if pending := s.Pending(); len(pending) != before+1 || pending[before].What != Refused {
		t.Errorf("pending %+v", pending)
	}
	for _, e := range s.Pending() {
		words, act := e.Act()
		if words == "" || act.Actor == "" || len(act.Subject) > evidence.MaxText {
			t.Errorf("%+v", act)
		}
	}
}

func TestTwoSticksOneAfterTheOther(t *testing.T) {
	s := open(t, t.TempDir())
	st := newStand(t, s)
	a, b := stickOf(trustBundle(t, 1)), stickOf(calibrationBundle(t, 1))
	first := st.plug(a)
	second := st.plug(b)
	for range 2 {
		for sig := range st.signals {
			if sig == Good {
				break
			}
			if sig == Bad {
				t.Fatal("refused")
			}
		}
	}
	if version(t, s, p.Trust) != 1 || version(t, s, p.Calibration) != 1 {
		t.Error("not both")
	}
	st.pull(first)
	st.pull(second)
}

// Every bad stick is refused in words, nothing changes, the receipt says why, and
// the next good one is taken.
func TestBadSticks(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	install(t, s, trustBundle(t, 5), calibrationBundle(t, 5))
	start(t, s)
	st := newStand(t, s)
	good := calibrationBundle(t, 6)
	pdf := p.File{Name: "certificate.pdf", Content: []byte("%PDF-1.7\n")}
	one := func(content []byte) *fakeStick { return stickOf(content) }
	change := func(f func(*p.Statement)) *fakeStick {
		stmt := p.Statement{Kind: p.Calibration, Version: 6, Institution: "example", Devices: []evidence.DeviceID{mine}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
		f(&stmt)
		return one(signed(t, stmt, signersOf(stmt.Kind), p.File{Name: "calibration.toml", Content: calibrationText(6)}, pdf))
	}
	by := func(names ...string) *fakeStick {
		return one(signed(t, p.Statement{Kind: p.Calibration, Version: 6, Institution: "example", Devices: []evidence.DeviceID{mine}, NotBefore: now, NotAfter: now},
			names, p.File{Name: "calibration.toml", Content: calibrationText(6)}, pdf))
	}
	text := func(s string) *fakeStick {
		return one(bundle(t, p.Calibration, 6, p.File{Name: "calibration.toml", Content: []byte(s)}, pdf))
	}
	flip := func(at int) []byte {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		return bad
	}
	failing := func(f func(*fakeStick)) *fakeStick {
		s := one(good)
		f(s)
		return s
	}
	many := stickOf()
	for i := range maxFiles + 1 {
		many.files[fmt.Sprintf("x%d.ciglio", i)] = good
	}
	type row struct {
		name  string
		stick *fakeStick
		want  p.Reason
	}
	rows := []row{
		{"empty file", one([]byte{}), p.Truncated},
		{"a byte", one([]byte{0}), p.NoBundle},
		{"zeros, as a file whose sectors were never written", one(make([]byte, 4096)), p.NoBundle},
		{"ones, as erased flash", one(bytes.Repeat([]byte{0xff}, 4096)), p.NoBundle},
		{"a text", one([]byte("Dear technician, please install this.\n")), p.NoBundle},
		{"a page saved by a browser", one([]byte("<!DOCTYPE html><html></html>")), p.NoBundle},
		{"a bare envelope", one([]byte(`{"payloadType":"application/vnd.ciglio.provision.v1+json"}`)), p.NoBundle},
		{"a byte order mark before it", one(append([]byte("\xef\xbb\xbf"), good...)), p.NoBundle},
		{"line ends changed by a mail program", one(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n"))), p.NoBundle},
		{"two bundles in one file", one(append(bytes.Clone(good), good...)), p.Malformed},
		{"a byte more", one(append(bytes.Clone(good), '\n')), p.Malformed},
		{"cut off in its first line", one(good[:10]), p.Truncated},
		{"cut off in its envelope", one(good[:100]), p.Truncated},
		{"cut off at the envelope's end", one(good[:len(good)-len(calibrationText(6))-9]), p.Truncated},
		{"cut off in a member", one(good[:len(good)-1]), p.Truncated},
		{"a bit in the length", one(flip(17)), ""}, // any refusal
		{"a bit in the payload type", one(flip(40)), ""},
		{"a bit in the payload", one(flip(120)), ""},
		{"a bit in a signature", one(flip(bytes.LastIndex(good, []byte(`"sig"`)) + 10)), p.BadSignature},
		{"a bit in the statement", one(flip(len(good) - 40)), p.Damaged},
		{"a bit in the certificate", one(flip(len(good) - 2)), p.Damaged},
		{"another device's and nothing else broken", change(func(s *p.Statement) {
			s.Devices[0] = evidence.DeviceID{9}
			s.Institution = "elsewhere"
			s.AllDevices, s.Devices = true, nil
		}), p.Foreign},
		{"expired", change(func(s *p.Statement) { s.NotBefore, s.NotAfter = now.AddDate(0, -2, 0), now.AddDate(0, -1, 0) }), p.Expired},
		{"not yet", change(func(s *p.Statement) { s.NotBefore, s.NotAfter = now.AddDate(0, 1, 0), now.AddDate(0, 2, 0) }), p.TooEarly},
		{"the version that is installed, other content", change(func(s *p.Statement) { s.Version = 5 }), p.Older},
		{"an older version", one(calibrationBundle(t, 4)), p.Older},
		{"the first version ever", one(calibrationBundle(t, 1)), p.Older},
		{"an older trust", one(trustBundle(t, 4)), p.Older},
		{"unsigned", by(), p.HalfSigned},
		{"signed by the laboratory alone", by("laboratory"), p.HalfSigned},
		{"signed by the operator alone", by("operator"), p.HalfSigned},
		{"signed by the supplier for the laboratory", by("operator", "supplier"), p.HalfSigned},
		{"signed by the officer for the operator", by("laboratory", "officer"), p.HalfSigned},
		{"signed by the root for the laboratory", by("operator", "root"), p.HalfSigned},
		{"signed by two strangers", by("x", "y"), p.HalfSigned},
		{"signed by the device itself", by("device", "operator"), p.HalfSigned},
		{"a statement that is no TOML", text("id = "), p.BadContent},
		{"a statement that is empty of meaning", text("\n"), p.BadContent},
		{"a statement with an unknown key", text(string(calibrationText(6)) + "speed = 1\n"), p.BadContent},
		{"a statement without a time zone", text(strings.Replace(string(calibrationText(6)), "00:00Z", "00:00", 1)), p.BadContent},
		{"a statement whose end lies before its beginning", text(strings.Replace(string(calibrationText(6)), "2027", "2025", 1)), p.BadContent},
		{"a statement of version 0", text(string(calibrationText(0))), p.BadContent},
		{"a statement that is larger than a record", nil, ""},
		{"a trust file that is none", one(bundle(t, p.Trust, 6, p.File{Name: "trust.pem", Content: []byte("x")}, p.File{Name: "roles.toml", Content: []byte("institution = \"example\"\n")})), p.BadContent},
		{"a trust bundle by the operator", one(signed(t, p.Statement{Kind: p.Trust, Version: 6, Institution: "example", AllDevices: true, NotBefore: now, NotAfter: now},
			[]string{"operator"}, p.File{Name: "trust.pem", Content: []byte("x")}, p.File{Name: "roles.toml", Content: []byte("x")})), p.HalfSigned},
		{"a kind that this program cannot use", one(bundle(t, p.Software, 1, p.File{Name: "software.toml", Content: []byte("x")}, p.File{Name: "ciglio", Content: []byte("x")})), p.UnknownKind},
		{"rules of a future program", one(bundle(t, p.Rules, 1, p.File{Name: "rules.toml", Content: []byte("schema = 2\n")})), p.BadContent},
		{"a site that is none", one(bundle(t, p.Site, 1, p.File{Name: "site.toml", Content: []byte("x = 1")})), p.BadContent},
		{"an extract of the register that is none", one(bundle(t, p.Register, 1, p.File{Name: "register.toml", Content: []byte("x")})), p.BadContent},
		{"two versions of a kind", stickOf(good, calibrationBundle(t, 7)), p.TwoOfAKind},
		{"good and older together", stickOf(good, trustBundle(t, 4)), p.Older},
		{"good and garbage together", stickOf(good, []byte("garbage that is long enough")), p.NoBundle},
		{"good trust and half-signed calibration", stickOf(trustBundle(t, 6), by("operator").files["b0.ciglio"]), p.HalfSigned},
		{"more bundles than any technician has", many, p.TooLarge},
		{"a folder named as a bundle", failing(func(s *fakeStick) { s.read = errors.New("b0.ciglio: no file") }), p.Unreadable},
		{"no file system", failing(func(s *fakeStick) { s.opens = stick.ErrFormat }), "-"},
		{"a broken file system", failing(func(s *fakeStick) { s.opens = errors.New("vfat: the file system is broken") }), "-"},
		{"dead when it is opened", failing(func(s *fakeStick) { s.opens = stick.ErrStalled }), "-"},
		{"a folder that cannot be read", failing(func(s *fakeStick) { s.list = errors.New("input/output error") }), p.Unreadable},
		{"folders without end", failing(func(s *fakeStick) { s.list = stick.ErrLimit }), p.Unreadable},
		{"pulled out while it is listed", failing(func(s *fakeStick) { s.list = stick.ErrGone }), p.Unreadable},
		{"a bad sector", failing(func(s *fakeStick) { s.read = errors.New("input/output error") }), p.Unreadable},
		{"pulled out while it is read", failing(func(s *fakeStick) { s.read = stick.ErrGone; s.put = stick.ErrGone }), "-"},
		{"dead while it is read", failing(func(s *fakeStick) { s.read = stick.ErrStalled; s.put = stick.ErrStalled }), "-"},
		{"a file that grows while it is read", failing(func(s *fakeStick) {
			s.onRead = func(_ string, c []byte) []byte { return append(bytes.Clone(c), 'x') }
		}), p.Unreadable},
		{"a file that shrinks while it is read", failing(func(s *fakeStick) {
			s.onRead = func(_ string, c []byte) []byte { return c[:len(c)-1] }
		}), p.Truncated},
		{"a file that is swapped for an older one while it is read", failing(func(s *fakeStick) {
			old := calibrationBundle(t, 4)
			s.onRead = func(string, []byte) []byte { return old }
		}), p.Older},
		{"a file that is swapped for another of the same length", failing(func(s *fakeStick) {
			s.onRead = func(string, []byte) []byte { return flip(len(good) - 40) }
		}), p.Damaged},
		{"a file that is gone when it is read", failing(func(s *fakeStick) {
			s.onRead = func(string, []byte) []byte { delete(s.files, "b0.ciglio"); return nil }
		}), ""},
		{"full, and half-signed", func() *fakeStick { s := by("operator"); s.put = errors.New("no space left on device"); return s }(), "-"},
	}
	large := bytes.Repeat([]byte("#"), 13<<10)
	if _, err := p.Make(p.Statement{Kind: p.Calibration, Version: 6, Institution: "example", AllDevices: true, NotBefore: now, NotAfter: now},
		[]p.File{{Name: "calibration.toml", Content: large}, pdf}); reason(err) != p.TooLarge {
		t.Errorf("a desk makes a statement that is too large: %v", err)
	}
	before := stateOf(t, dir)
	used := 0
	for _, row := range rows {
		if row.stick == nil {
			continue
		}
		used++
		sig := st.use(t, row.stick)
		r := row.stick.receipt(t)
		if sig != Bad {
			t.Errorf("%s: light %d, %s: %s", row.name, sig, r.Outcome, r.Words)
		}
		if row.want != "-" && (r.Outcome != outcomeRefused || row.want != "" && r.Reason != row.want || r.Words == "") {
			t.Errorf("%s: %s %s: %s, want %s", row.name, r.Outcome, r.Reason, r.Words, row.want)
		}
		if after := stateOf(t, dir); after != before {
			t.Fatalf("%s: something has changed:\n%s\n%s", row.name, before, after)
		}
	}
	t.Logf("%d bad sticks", used)
	if used < 60 {
		t.Errorf("only %d bad sticks", used)
	}
	if len(st.noted) != used {
		t.Errorf("%d refusals noted of %d", len(st.noted), used)
	}
	if sig := st.use(t, one(good)); sig != Good || version(t, s, p.Calibration) != 6 {
		t.Errorf("the good one after all that: light %d", sig)
	}
}

// Of a stick that is read in part, what was read and needs nothing else is in force;
// what was not read is named in the receipt and in the chain.
func TestAStickThatIsReadInPart(t *testing.T) {
	const bad = "x.ciglio"
	site := bundle(t, p.Site, 1, p.File{Name: "site.toml", Content: []byte("never read")})
	for _, row := range []struct {
		name    string
		trusted bool // a trust bundle is installed
		files   map[string][]byte
		bad     []string
		want    map[p.Kind]uint64
		outcome string
		passed  []string
		orders  []string
	}{
		{"one of two bundles", true, map[string][]byte{"c.ciglio": calibrationBundle(t, 2), bad: site}, []string{bad}, map[p.Kind]uint64{p.Calibration: 2}, outcomePart, nil, nil},
		{"all of them", true, map[string][]byte{"c.ciglio": calibrationBundle(t, 2), bad: site}, []string{bad, "c.ciglio"}, map[p.Kind]uint64{p.Calibration: 0}, outcomeRefused, nil, nil},
		{"the trust bundle that the others need", false, map[string][]byte{"c.ciglio": calibrationBundle(t, 2), bad: trustBundle(t, 1)}, []string{bad}, map[p.Kind]uint64{p.Calibration: 0, p.Trust: 0}, outcomePart, []string{"c.ciglio"}, nil},
		{"a newer trust bundle", true, map[string][]byte{"c.ciglio": calibrationBundle(t, 2), bad: trustBundle(t, 9)}, []string{bad}, map[p.Kind]uint64{p.Calibration: 2, p.Trust: 1}, outcomePart, nil, nil},
		{"and another is damaged", true, map[string][]byte{"c.ciglio": append(calibrationBundle(t, 2), 'x'), bad: site}, []string{bad}, map[p.Kind]uint64{p.Calibration: 0}, outcomeRefused, nil, nil},
		{"an order between others", true, map[string][]byte{"orders/1.order": []byte("1"), "orders/2.order": []byte("2"), "orders/3.order": []byte("3")}, []string{"orders/2.order"}, nil, outcomePart, []string{"orders/3.order"}, []string{"1"}},
		{"the folder of bundles", true, map[string][]byte{"c.ciglio": calibrationBundle(t, 2), "orders/1.order": []byte("1")}, []string{"Ciglio/"}, map[p.Kind]uint64{p.Calibration: 2}, outcomePart, []string{"orders/1.order"}, nil},
		{"the folder of orders", true, map[string][]byte{"c.ciglio": calibrationBundle(t, 2)}, []string{"orders/"}, map[p.Kind]uint64{p.Calibration: 2}, outcomePart, nil, nil},
		{"the end of a folder of orders", true, map[string][]byte{"ciglio/orders/1.order": []byte("1"), "orders/2.order": []byte("2")}, []string{"orders/"}, nil, outcomePart, []string{"orders/2.order"}, []string{"1"}},
		{"the only folder", true, nil, []string{"ciglio/"}, map[p.Kind]uint64{p.Calibration: 0}, outcomeRefused, nil, nil},
		{"a bundle beside orders", true, map[string][]byte{"c.ciglio": calibrationBundle(t, 2), bad: site, "orders/1.order": []byte("1")}, []string{bad}, map[p.Kind]uint64{p.Calibration: 2}, outcomePart, []string{"orders/1.order"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			if row.trusted {
				install(t, s, trustBundle(t, 1))
				start(t, s)
			}
			var ordered []string
			st := newStandWith(t, s, func(o *StationOptions) {
				o.Order = func(b []byte, _ Put) (evidence.Act, error) {
					ordered = append(ordered, string(b))
					return evidence.Act{Outcome: "done"}, nil
				}
			})
			in := &fakeStick{files: row.files}
			for _, name := range row.bad {
				if strings.HasSuffix(name, "/") {
					in.folder = append(in.folder, name)
				} else {
					in.bad = append(in.bad, name)
				}
			}
			if sig := st.use(t, in); sig != Bad {
				t.Errorf("light %d", sig)
			}
			r := in.receipt(t)
			if r.Outcome != row.outcome || len(r.Unread) != len(row.bad) || !slices.Equal(ordered, row.orders) {
				t.Errorf("orders %q, receipt %+v", ordered, r)
			}
			if row.outcome == outcomePart && (r.Reason != p.Unreadable || !strings.Contains(r.Words, row.bad[0])) {
				t.Errorf("%s: %s", r.Reason, r.Words)
			}
			var passed []string
			for _, f := range r.Passed {
				passed = append(passed, f.Name)
			}
			if !slices.Equal(passed, row.passed) {
				t.Errorf("passed over %q", r.Passed)
			}
			for kind, v := range row.want {
				if have := s.Versions()[kind]; have != v {
					t.Errorf("%s version %d is in force, want %d", kind, have, v)
				}
			}
			if len(st.noted) != 1 || st.noted[0].Outcome != "refused" {
				t.Errorf("noted %+v", st.noted)
			}
		})
	}
	// A folder that is nobody's business is nobody's business here either.
	s := open(t, t.TempDir())
	other := stickOf(trustBundle(t, 1), calibrationBundle(t, 1))
	other.folder = []string{"photos/"}
	if sig := newStand(t, s).use(t, other); sig != Good || len(other.receipt(t).Unread) != 0 {
		t.Errorf("light %d", sig)
	}
	// What is dead is not asked again and again.
	s = open(t, t.TempDir())
	st := newStand(t, s)
	asked := 0
	dead := stickOf(trustBundle(t, 1), calibrationBundle(t, 1))
	dead.read = stick.ErrStalled
	dead.onRead = func(_ string, b []byte) []byte { asked++; return b }
	if sig := st.use(t, dead); sig != Bad || asked != 1 || len(dead.receipt(t).Unread) != 2 {
		t.Errorf("light %d, asked %d times", sig, asked)
	}
}

// stateOf returns the names and hashes of all that is installed.
func stateOf(t *testing.T, dir string) (all string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all += f.Name() + " " + hashOf(content) + "\n"
	}
	return all
}

// A lampPin keeps how the lamp is driven.
type lampPin struct {
	gpiotest.Pin
	mu  sync.Mutex
	log []string
	at  time.Time
}

func (l *lampPin) Out(level gpio.Level) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, fmt.Sprintf("%v@%v", level, time.Since(l.at)))
	return nil
}

func TestTheLamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := &lampPin{at: time.Now()}
		light := NewLight(pin)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- light.Run(ctx) }()
		for _, s := range []Signal{Busy, Good, Bad, Idle} {
			light.Show(s)
			time.Sleep(1500 * time.Millisecond)
		}
		cancel()
		<-ended
		got := strings.Join(pin.log, " ")
		for _, want := range []string{
			"High@0s Low@100ms High@200ms",                               // busy: five a second
			"High@1.5s High@3s Low@3.15s High@3.3s Low@3.45s High@4.45s", // good: steady; refused: twice, then a pause
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: want %s", got, want)
			}
		}
		if !strings.HasSuffix(got, "Low@4.5s Low@6s") {
			t.Errorf("%s: not left off", got)
		}
	})
}
