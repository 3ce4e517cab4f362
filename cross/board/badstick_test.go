package board_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
)

// What comes of a stick beside the reasons of package provisioning.
const (
	applied = "applied"   // the good bundle on it is in force
	partly  = "partly"    // the same, and another file on it is named as unreadable
	nothing = "no bundle" // was found on it
	silence = "silence"   // the kernel has no disk there
)

// A badStick is an image with something wrong about it.
type badStick struct {
	name  string
	image func(good []byte) []byte // with a bundle that the device would take
	want  string
	stick board.Stick // without its image
	short bool        // in the short selection
}

// A stand is a board whose station takes sticks, with the bundles for it.
type stand struct {
	*board.Board
	t       *testing.T
	station *board.Process
	version int    // of the calibration that is in force
	image   string // file of the stick that is or was in
}

func (s *stand) read(name string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Share, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *stand) good() []byte { return s.read(fmt.Sprintf("calibration-%d.ciglio", s.version+1)) }

func (s *stand) write(image []byte) board.Stick {
	s.t.Helper()
	s.image = filepath.Join(s.t.TempDir(), "stick")
	if err := os.WriteFile(s.image, image, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return board.Stick{Image: s.image}
}

// judge holds what the station says of a stick against what is wanted.
func (s *stand) judge(line, want string) {
	s.t.Helper()
	light, version, text := "bad", s.version, fmt.Sprintf("%q:%q", "reason", want)
	switch want {
	case applied:
		light, version, text = "good", s.version+1, fmt.Sprintf("calibration version %d is in force", s.version+1)
	case partly:
		version, text = s.version+1, fmt.Sprintf("calibration version %d is in force", s.version+1)
	case nothing:
		text = "brings no bundle"
	}
	for _, part := range []string{
		fmt.Sprintf("outcome: %s; calibration %d, trust 1, whole; lamp %s;", light, version, map[string]string{"good": "on", "bad": "flashes"}[light]), text,
	} {
		if !strings.Contains(line, part) {
			s.t.Errorf("%s; want %s: %s", line, want, part)
		}
	}
	if _, after, ok := strings.Cut(line, "calibration "); ok { // the next one goes on from what is in force
		number, _, _ := strings.Cut(after, ",")
		if n, err := strconv.Atoi(number); err == nil {
			s.version = n
		}
	}
}

// outcome waits for what comes of a stick, no longer than a technician would.
func (s *stand) outcome(since time.Time) string {
	s.t.Helper()
	line := wait(s.t, s.Board, "station: outcome: ")
	if took := time.Since(since); took > 50*time.Second {
		s.t.Errorf("took %v", took)
	}
	return line
}

func (s *stand) pull() {
	s.t.Helper()
	unplug(s.t, s.Board)
	if line := wait(s.t, s.Board, "station: idle"); !strings.Contains(line, "lamp off") {
		s.t.Error(line)
	}
}

// TestStickStation plugs one bad stick after the other into a board whose station,
// helper and kernel are real. Of each comes a refusal with its reason or the good rest
// in force, in time, and never half a state.
func TestStickStation(t *testing.T) {
	effort := boardtest.Need(t, boardtest.Short)
	b := boardtest.Start(t, withTests(t, "arm-7"))
	rows := badSticks(t)
	n := rounds(effort, 1, 4, 20)
	versions := 5 + n // of the first stick, the two and the last, one to spare, and those whose receipt is cut short
	for _, row := range rows {
		if row.want == applied && (row.short || effort > boardtest.Short) {
			versions++
		}
	}
	bundles := onBoard(t, b, "TestBundles", "-versions="+strconv.Itoa(versions))
	wait(t, b, "bundles: signed")
	good(t, bundles)

	events := onBoard(t, b, "TestEvents")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := board.Blank(empty, 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][2]string{{"events: listens", "events: sees it"}, {"events: deaf", "events: looked"}} {
		wait(t, b, words[0])
		plug(t, b, board.Stick{Image: empty})
		wait(t, b, words[1])
		unplug(t, b)
	}
	good(t, events)

	s := &stand{Board: b, t: t}
	first := newFAT()
	d := first.root()
	d.file("trust.ciglio", s.read("trust.ciglio"))
	d.folder("Ciglio", 8).file("calibration.ciglio", s.good())
	// It is in before the station starts: no event tells of it.
	plug(t, b, s.write(first.b))
	s.station = onBoard(t, b, "TestStation", "-patience=20s")
	mount := wait(t, b, "station: takes")
	for _, option := range []string{" vfat ", "ro,", "nosuid", "nodev", "noexec"} {
		if !strings.Contains(mount, option) {
			t.Errorf("mounted %s, want %s", mount, option)
		}
	}
	s.judge(s.outcome(time.Now()), applied)
	s.pull()
	if t.Failed() {
		t.FailNow()
	}

	kinds := map[string]string{} // image of a good stick, with the receipt
	used := 0
	for _, row := range rows {
		if effort == boardtest.Short && !row.short {
			continue
		}
		used++
		ok := t.Run(row.name, func(t *testing.T) {
			s.t = t
			in := s.write(row.image(s.good()))
			in.ReadOnly, in.BadSector = row.stick.ReadOnly, row.stick.BadSector
			began := time.Now()
			plug(t, b, in)
			t.Cleanup(func() {
				if t.Failed() {
					b.Unplug(context.Background()) // fails where it was pulled out; else the next one needs its place
				}
			})
			if row.want == silence {
				time.Sleep(3 * time.Second) // longer than the station takes to look by itself
				unplug(t, b)
				return
			}
			line := s.outcome(began)
			s.judge(line, row.want)
			s.pull()
			t.Logf("%v: %s", time.Since(began).Round(100*time.Millisecond), line)
			if kind, ok := strings.CutPrefix(row.name, "good "); ok {
				keep := filepath.Join(filepath.Dir(filepath.Dir(empty)), kind)
				if err := os.Rename(s.image, keep); err != nil {
					t.Fatal(err)
				}
				kinds[kind] = keep
			}
		})
		if !ok && b.Err() != nil {
			t.FailNow()
		}
	}
	s.t = t
	for name, test := range map[string]func(*stand, int){"pulled out while it is read": (*stand).pulledWhileRead, "pulled out while the receipt is written": (*stand).pulledWhileWritten,
		"swapped while it is read": (*stand).swapped} {
		for i := range n {
			used++
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				s.t = t
				test(s, i)
			})
		}
	}
	used += 2
	t.Run("two sticks", func(t *testing.T) {
		s.t = t
		s.two()
	})
	s.t = t
	last := newFAT()
	last.root().file("last.ciglio", s.good())
	began := time.Now()
	plug(t, b, s.write(last.b))
	s.judge(s.outcome(began), applied)
	s.pull()
	if err := s.station.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	good(t, s.station)
	for kind, image := range kinds {
		p := onBoard(t, b, "TestReceipts")
		plug(t, b, board.Stick{Image: image})
		if line := wait(t, b, "receipt: "); !strings.Contains(line, kind+" installed, 1 files") {
			t.Errorf("receipt on %s: %s", kind, line)
		}
		good(t, p)
		unplug(t, b)
	}
	if len(kinds) == 0 {
		t.Error("no receipt was read")
	}
	good(t, onBoard(t, b, "TestKernelIsWell"))
	if effort >= boardtest.All && used < 60 {
		t.Errorf("%d bad sticks", used)
	}
	if !t.Failed() {
		boardtest.Figure(t, *update, "bad sticks that the station of the device has answered", fmt.Sprintf("%d, on one board, each refused by name or its good rest in force", used))
	}
}

// large returns a stick with a bundle of 1 MiB, at a rate at which it takes seconds.
func (s *stand) large(version int) (fat []byte, at, size int) {
	f := newFAT()
	bundle := s.read(fmt.Sprintf("large-%d.ciglio", version))
	cluster := f.root().file("large.ciglio", bundle)
	return f.b, clusterAt(cluster), len(bundle)
}

// until waits for the stick's traffic.
func (s *stand) until(written bool, bytes int64) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r, w, err := s.StickTraffic(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if written && w >= bytes || !written && r >= bytes {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d bytes read and %d written, want %d", r, w, bytes)
		}
	}
}

func (s *stand) pulledWhileRead(i int) {
	image, _, size := s.large(901)
	in := s.write(image)
	in.Rate = 400 << 10
	began := time.Now()
	plug(s.t, s.Board, in)
	s.until(false, int64(size)/8*int64(1+i%7))
	unplug(s.t, s.Board)
	line := s.outcome(began)
	s.judge(line, "unreadable")
	wait(s.t, s.Board, "station: idle")
	s.t.Log(line)
}

func (s *stand) pulledWhileWritten(i int) {
	f := newFAT()
	f.root().file("good.ciglio", s.good())
	in := s.write(f.b)
	in.Rate = 100 << 10
	began := time.Now()
	plug(s.t, s.Board, in)
	s.until(true, int64(1+2000*i))
	unplug(s.t, s.Board)
	line := s.outcome(began)
	s.judge(line, applied)
	wait(s.t, s.Board, "station: idle")
	s.t.Log(line)
}

// swapped changes the sectors of the stick to those of another bundle of the same size
// while they are read, as a stick with a processor of its own may do. What was read of
// both is neither.
func (s *stand) swapped(i int) {
	image, at, size := s.large(901)
	other := s.read("large-902.ciglio")
	if len(other) != size {
		s.t.Fatalf("%d and %d bytes", len(other), size)
	}
	in := s.write(image)
	in.Rate = 400 << 10
	began := time.Now()
	plug(s.t, s.Board, in)
	s.until(false, int64(size)/8*int64(2+i%4))
	f, err := os.OpenFile(s.image, os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(other, int64(at)); err != nil {
		s.t.Fatal(err)
	}
	line := s.outcome(began)
	s.judge(line, "damaged")
	s.pull()
	s.t.Log(line)
}

// two has a stick plugged in while another one is in: each is taken, one after the
// other, and the one that is plugged in later need not wait for the first to go.
func (s *stand) two() {
	began := time.Now()
	for range 2 {
		f := newFAT()
		f.root().file("good.ciglio", s.good())
		plug(s.t, s.Board, s.write(f.b))
		s.judge(s.outcome(began), applied)
	}
	s.pull()
	s.pull()
}

// name255 is a name as long as one may be.
func name255() string { return strings.Repeat("n", 255-len(".ciglio")) + ".ciglio" }

// noise returns bytes of no meaning, the same in each run.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// badSticks is the table.
func badSticks(t *testing.T) (rows []badStick) {
	le := binary.LittleEndian
	short := func(name, want string, image func(good []byte) []byte) {
		rows = append(rows, badStick{name: name, image: image, want: want, short: true})
	}
	row := func(name, want string, image func(good []byte) []byte) {
		rows = append(rows, badStick{name: name, image: image, want: want})
	}
	// onFAT has the good bundle on a FAT, and lets it be spoiled.
	onFAT := func(change func(f *fat, d *fatDir, cluster int)) func(good []byte) []byte {
		return func(good []byte) []byte {
			f := newFAT()
			d := f.root()
			cluster := d.file("good.ciglio", good)
			change(f, d, cluster)
			return f.b
		}
	}
	// asFAT has it as a single entry that is not what it seems.
	asFAT := func(entry func(f *fat, d *fatDir, good []byte)) func(good []byte) []byte {
		return func(good []byte) []byte {
			f := newFAT()
			entry(f, f.root(), good)
			return f.b
		}
	}
	plain := onFAT(func(*fat, *fatDir, int) {})

	// FAT.
	short("good vfat", applied, plain)
	rows = append(rows,
		badStick{"locked", plain, applied, board.Stick{ReadOnly: true}, true},
		badStick{"a bad sector in the bundle", plain, "unreadable", board.Stick{BadSector: int64(clusterAt(2)/sectorSize) + 3}, false},
		badStick{"a bad sector in the table", plain, "unreadable", board.Stick{BadSector: fatAt / sectorSize}, false},
		badStick{"a bad sector in the root folder", plain, nothing, board.Stick{BadSector: fatRootAt / sectorSize}, false},
		badStick{"a bad boot sector", plain, "unreadable", board.Stick{BadSector: 1}, false})
	short("full", applied, onFAT(func(f *fat, _ *fatDir, _ int) {
		for c := f.next; c < fatLength/2; c++ {
			f.set(c, fatEnd)
		}
	}))
	short("a loop in the bundle's chain", "damaged", onFAT(func(f *fat, _ *fatDir, c int) { f.set(c+2, c) }))
	row("a cluster that follows itself, and a size of 60 MB", "unreadable", asFAT(func(f *fat, d *fatDir, good []byte) {
		c := f.put(good)
		f.set(c, c)
		d.entry("good.ciglio", 0, c, 60<<20)
	}))
	row("a chain that ends early", "unreadable", onFAT(func(f *fat, _ *fatDir, c int) { f.set(c+1, fatEnd) }))
	row("a chain into what is free", "unreadable", onFAT(func(f *fat, _ *fatDir, c int) { f.set(c+1, 0) }))
	row("a chain off the stick", "unreadable", onFAT(func(f *fat, _ *fatDir, c int) { f.set(c+1, 0xFFEF) }))
	row("a chain through a bad cluster", "unreadable", onFAT(func(f *fat, _ *fatDir, c int) { f.set(c+1, 0xFFF7) }))
	row("no first cluster", "no_bundle", asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0, 0, len(good)) }))
	row("a first cluster off the stick", "unreadable", asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0, 0xFFE0, len(good)) }))
	row("two files that share their clusters", applied, onFAT(func(f *fat, d *fatDir, c int) {
		size := int(le.Uint32(f.b[d.at-4:]))
		d.entry("twin.ciglio", 0, c, size)
	}))
	row("two files that share half their clusters", partly, func(good []byte) []byte {
		f := newFAT()
		d := f.root()
		a := d.file("a.ciglio", good)
		b := d.file("b.ciglio", good)
		f.set(b+1, a+3)
		return f.b
	})
	row("a size of 4 GiB", "too_large", asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0, f.put(good), 1<<32-1) }))
	row("a size of 64 MiB on a stick of 16", "unreadable", asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0, f.put(good), 64<<20) }))
	row("a size of 0", "truncated", asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0, f.put(good), 0) }))
	row("a byte less than there is", "truncated", asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0, f.put(good), len(good)-1) }))
	short("a folder in itself", "unreadable", onFAT(func(f *fat, d *fatDir, _ int) {
		in := d.folder("photos", 8)
		in.entry("photos", fatFolder, in.cluster, 0)
	}))
	row("two folders in each other", "unreadable", onFAT(func(f *fat, d *fatDir, _ int) {
		a := d.folder("a", 8)
		b := a.folder("b", 8)
		b.entry("a", fatFolder, a.cluster, 0)
	}))
	row("a folder whose clusters run in a circle", "unreadable", onFAT(func(f *fat, d *fatDir, _ int) {
		in := d.folder("photos", 4)
		for range 20 {
			in.entry("x", 0, 0, 0)
		}
		f.set(in.cluster+3, in.cluster)
	}))
	row("a folder that begins in the bundle", "unreadable", onFAT(func(f *fat, d *fatDir, c int) { d.entry("photos", fatFolder, c, 0) }))
	row("the bundle's name is a folder's", nothing, asFAT(func(f *fat, d *fatDir, _ []byte) { d.folder("good.ciglio", 8) }))
	row("ten folders in each other", applied, onFAT(func(f *fat, d *fatDir, _ int) {
		for range 10 {
			d = d.folder("deeper", 8)
		}
	}))
	row("thirty folders in each other", "unreadable", onFAT(func(f *fat, d *fatDir, _ int) {
		for range 30 {
			d = d.folder("deeper", 8)
		}
	}))
	row("300 other files", applied, onFAT(func(f *fat, d *fatDir, _ int) {
		in := d.folder("photos", 40)
		for i := range 300 {
			in.entry(fmt.Sprintf("P%04d.JPG", i), 0, 0, 0)
		}
	}))
	row("17 bundles", "too_large", asFAT(func(f *fat, d *fatDir, good []byte) {
		for i := range 17 {
			d.file(fmt.Sprintf("%d.ciglio", i), good)
		}
	}))
	row("a hidden bundle of the system", applied, asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0x27, f.put(good), len(good)) }))
	row("a label with a bundle's name", nothing, asFAT(func(f *fat, d *fatDir, good []byte) { d.entry("good.ciglio", 0x08, f.put(good), len(good)) }))
	row("a long name whose sum is wrong", nothing, asFAT(func(f *fat, d *fatDir, good []byte) {
		from := d.at
		d.file("good.ciglio", good)
		f.b[from+13]++
	}))
	row("a name with a slash", "unreadable", asFAT(func(f *fat, d *fatDir, good []byte) { d.file("../good.ciglio", good) }))
	row("a name of half a pair", nothing, asFAT(func(f *fat, d *fatDir, good []byte) {
		d.long(append([]uint16{0xD800}, utf16.Encode([]rune(".ciglio"))...), 0, f.put(good), len(good))
	}))
	row("a name with control characters", applied, asFAT(func(f *fat, d *fatDir, good []byte) { d.file("a\x1b[2J\nb\r.ciglio", good) }))
	row("a name of 255 characters", applied, asFAT(func(f *fat, d *fatDir, good []byte) { d.file(name255(), good) }))
	row("names that differ in case only", applied, asFAT(func(f *fat, d *fatDir, good []byte) {
		d.file("good.ciglio", good)
		d.file("GOOD.CIGLIO", []byte("something else"))
	}))
	for name, c := range map[string]struct {
		want   string
		change func(b []byte)
	}{
		"sectors of 0 bytes":                    {"unreadable", func(b []byte) { le.PutUint16(b[11:], 0) }},
		"clusters of 3 sectors":                 {"unreadable", func(b []byte) { b[13] = 3 }},
		"no tables":                             {"unreadable", func(b []byte) { b[16] = 0 }},
		"nothing reserved":                      {"unreadable", func(b []byte) { le.PutUint16(b[14:], 0) }},
		"tables longer than the stick":          {"unreadable", func(b []byte) { le.PutUint16(b[22:], 0xFFFF) }},
		"no signature in the boot sector":       {"unreadable", func(b []byte) { b[510] = 0 }},
		"no boot sector":                        {"unreadable", func(b []byte) { clear(b[:512]) }},
		"tables of ones":                        {"unreadable", func(b []byte) { copy(b[fatAt:fatRootAt], bytes.Repeat([]byte{0xFF}, 2*fatLength)) }},
		"a root folder of noise":                {"unreadable", func(b []byte) { copy(b[fatRootAt:], noise(fatRootLen)) }},
		"the name of another system, as NTFS's": {"unreadable", func(b []byte) { copy(b[3:], "NTFS    ") }},
	} {
		row(name, c.want, onFAT(func(f *fat, _ *fatDir, _ int) { c.change(f.b) }))
	}
	row("cut off behind the bundle", applied, func(good []byte) []byte { return plain(good)[:1<<20] })
	row("cut off in the bundle", "malformed", func(good []byte) []byte { return plain(good)[:clusterAt(4)] })
	row("cut off in the tables", nothing, func(good []byte) []byte { return plain(good)[:20*sectorSize] })
	row("a single sector", "unreadable", func(good []byte) []byte { return plain(good)[:sectorSize] })
	row("no sector", silence, func([]byte) []byte { return nil })
	row("noise", "unreadable", func([]byte) []byte { return noise(1 << 20) })
	row("zeros", "unreadable", func([]byte) []byte { return make([]byte, 1<<20) })

	// exFAT.
	onExFAT := func(change func(x *exfat, set []byte)) func(good []byte) []byte {
		return func(good []byte) []byte {
			x := newExFAT(t)
			set := x.file("good.ciglio", good)
			change(x, set)
			return x.b
		}
	}
	asExFAT := func(spoil func(x *exfat, stream []byte)) func(good []byte) []byte {
		return func(good []byte) []byte {
			x := newExFAT(t)
			x.file("good.ciglio", good, func(set []byte) { spoil(x, set[32:64]) })
			return x.b
		}
	}
	short("good exfat", applied, onExFAT(func(*exfat, []byte) {}))
	row("exFAT, the boot sum is wrong", "unreadable", onExFAT(func(x *exfat, _ []byte) { x.b[11*sectorSize] ^= 1 }))
	row("exFAT, the bundle's entries have another sum", applied, onExFAT(func(x *exfat, set []byte) { set[2] ^= 1 }))
	row("exFAT, a size of 2^60", "unreadable", asExFAT(func(_ *exfat, s []byte) { le.PutUint64(s[24:], 1<<60); le.PutUint64(s[8:], 1<<60) }))
	row("exFAT, more is valid than there is", applied, asExFAT(func(_ *exfat, s []byte) { le.PutUint64(s[8:], 1<<40) }))
	row("exFAT, nothing of it is valid", "no_bundle", asExFAT(func(_ *exfat, s []byte) { le.PutUint64(s[8:], 0) }))
	row("exFAT, a first cluster off the stick", "truncated", asExFAT(func(_ *exfat, s []byte) { le.PutUint32(s[20:], 1<<30) }))
	row("exFAT, a loop in the chain", "unreadable", asExFAT(func(x *exfat, s []byte) {
		s[1] = 1 // by the table
		c := int(le.Uint32(s[20:]))
		x.chain(c, c)
		le.PutUint64(s[8:], 1<<20)
		le.PutUint64(s[24:], 1<<20)
	}))
	row("exFAT, a folder in itself", "unreadable", onExFAT(func(x *exfat, _ []byte) { x.entries("photos", fatFolder, x.root, x.cluster) }))
	row("exFAT, no table of capitals", applied, onExFAT(func(x *exfat, _ []byte) {
		for at := x.place(x.root); x.b[at] != 0; at += 32 {
			if x.b[at] == 0x82 {
				x.b[at+4] ^= 1 // its sum
			}
		}
	}))
	row("exFAT, no table of what is in use", "unreadable", onExFAT(func(x *exfat, _ []byte) {
		for at := x.place(x.root); x.b[at] != 0; at += 32 {
			if x.b[at] == 0x81 {
				x.b[at] = 1
			}
		}
	}))
	row("exFAT, left without being let go of", applied, onExFAT(func(x *exfat, _ []byte) { x.b[106] |= 2 }))
	row("exFAT, cut off", "unreadable", func(good []byte) []byte { return onExFAT(func(*exfat, []byte) {})(good)[:64<<10] })

	// ext4.
	on4 := func(fill func(dir string, good []byte), commands ...string) func(good []byte) []byte {
		return func(good []byte) []byte { return ext4(t, func(dir string) { fill(dir, good) }, commands...) }
	}
	put := func(dir, name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	one := func(dir string, good []byte) { put(dir, "good.ciglio", good) }
	link := func(dir, to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	short("good ext4", applied, on4(one))
	short("ext4, a link to the device's own state", applied, on4(func(dir string, good []byte) {
		one(dir, good)
		link(dir, "/tmp/device/state.json", "state.ciglio")
		link(dir, "../../../tmp/device/state.json", "up.ciglio")
	}))
	row("ext4, a link to the bundle", nothing, on4(func(dir string, good []byte) {
		put(dir, "good", good)
		link(dir, "good", "good.ciglio")
	}))
	row("ext4, a link to itself", applied, on4(func(dir string, good []byte) {
		one(dir, good)
		link(dir, "loop.ciglio", "loop.ciglio")
	}))
	row("ext4, its folder is a link to the memory", applied, on4(func(dir string, good []byte) {
		one(dir, good)
		link(dir, "/proc/self", "ciglio")
	}))
	row("ext4, devices with a bundle's name", applied, on4(one, "mknod disk.ciglio b 254 0", "mknod zero.ciglio c 1 5", "mknod pipe.ciglio p"))
	row("ext4, the bundle is of root and runs as root", applied, on4(one, "sif good.ciglio mode 0106755", "sif good.ciglio uid 0"))
	row("ext4, nobody may read the bundle", applied, on4(one, "sif good.ciglio mode 0100000", "sif good.ciglio uid 4711"))
	row("ext4, one file with two names", applied, on4(one, "ln good.ciglio twin.ciglio"))
	row("ext4, a folder in itself", "unreadable", on4(one, "mkdir photos", "link photos photos/photos"))
	row("ext4, names that differ in case only", "no_bundle", on4(func(dir string, good []byte) {
		put(dir, "a.ciglio", good)
		put(dir, "A.ciglio", noise(1000))
	}))
	row("ext4, a name that is no UTF-8", "unreadable", on4(func(dir string, good []byte) { put(dir, "\xff\xfe.ciglio", good) }))
	row("ext4, a name with control characters", applied, on4(func(dir string, good []byte) { put(dir, "a\x1b[2J\nb.ciglio", good) }))
	row("ext4, a bundle of 1 GiB that is a hole", "too_large", on4(one, "sif good.ciglio size 1073741824"))
	row("ext4, a bundle of 60 MiB that is a hole", "no_bundle", on4(func(dir string, _ []byte) {
		put(dir, "hole.ciglio", nil)
		if err := os.Truncate(filepath.Join(dir, "hole.ciglio"), 60<<20); err != nil {
			t.Fatal(err)
		}
	}))
	row("ext4, two of 60 MiB", "too_large", on4(func(dir string, _ []byte) {
		for _, name := range []string{"a.ciglio", "b.ciglio"} {
			put(dir, name, nil)
			if err := os.Truncate(filepath.Join(dir, name), 60<<20); err != nil {
				t.Fatal(err)
			}
		}
	}))
	row("ext4, the bundle's inode is empty", "unreadable", on4(one, "clri good.ciglio"))
	spoilt := func(change func(b []byte)) func(good []byte) []byte {
		return func(good []byte) []byte {
			b := on4(one)(good)
			change(b)
			return b
		}
	}
	const super = 1024
	row("ext4, another magic number", "unreadable", spoilt(func(b []byte) { b[super+56] ^= 1 }))
	row("ext4, the superblock has another sum", "unreadable", spoilt(func(b []byte) { b[super+0x3FC] ^= 1 }))
	row("ext4, a feature of the future", "unreadable", spoilt(func(b []byte) { b[super+0x63] ^= 0x80 }))
	row("ext4, no group descriptors", "unreadable", spoilt(func(b []byte) { clear(b[2*super:][:super]) }))
	row("ext4, no inodes", "unreadable", spoilt(func(b []byte) {
		block := 1024 << le.Uint32(b[super+24:])
		clear(b[int(le.Uint32(b[max(block, 2*super)+8:]))*block:][:16<<10])
	}))
	row("ext4, a bit of a folder", "unreadable", func(good []byte) []byte { return replace(t, on4(one)(good), "good.ciglio", "gOod.ciglio") })
	row("ext4, a bit of the bundle", "damaged", func(good []byte) []byte { return replace(t, on4(one)(good), "%PDF-1.7\n", "%PDF-1.8\n") })
	row("ext4, cut off", "unreadable", func(good []byte) []byte { return on4(one)(good)[:256<<10] })

	// Tables of partitions.
	const length = fatSize / sectorSize
	fat := mbrPart{0x06, partAt, length}
	row("in the first partition", applied, func(good []byte) []byte { return withMBR(plain(good), fat) })
	row("in the fourth", applied, func(good []byte) []byte { return withMBR(plain(good), mbrPart{}, mbrPart{}, mbrPart{}, fat) })
	row("a partition twice", applied, func(good []byte) []byte { return withMBR(plain(good), fat, fat) })
	row("a partition that begins off the stick", "unreadable", func(good []byte) []byte { return withMBR(plain(good), mbrPart{0x06, 1 << 30, length}) })
	row("a partition longer than the stick", applied, func(good []byte) []byte { return withMBR(plain(good), mbrPart{0x06, partAt, 1 << 31}) })
	row("extended partitions in a circle", "unreadable", func(good []byte) []byte {
		disk := withMBR(plain(good), mbrPart{0x05, partAt, length})
		copy(disk[partAt*sectorSize:], disk[:sectorSize])
		le.PutUint32(disk[partAt*sectorSize+446+8:], 0)
		return disk
	})
	row("a table without partitions", "unreadable", func([]byte) []byte { return withMBR(make([]byte, 1<<20)) })
	short("a GPT", applied, func(good []byte) []byte { return withGPT(plain(good)) })
	row("a GPT whose first half is broken", "unreadable", func(good []byte) []byte {
		disk := withGPT(plain(good))
		disk[sectorSize+16] ^= 1
		return disk
	})
	row("a GPT whose halves are broken", "unreadable", func(good []byte) []byte {
		disk := withGPT(plain(good))
		disk[sectorSize+16] ^= 1
		disk[len(disk)-sectorSize+16] ^= 1
		return disk
	})
	return rows
}
