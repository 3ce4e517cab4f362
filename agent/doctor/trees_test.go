package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"ciglio/capture/v4l2"
	"ciglio/sensor"
	"ciglio/sensor/port"
)

var update = flag.Bool("update", false, "rewrite the golden verdicts")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // 1772366400

// readTree makes a fake machine of a text archive: "-> TARGET" is a link,
// "! MODE UID GID" a device file or a file without content, "d MODE UID GID" a
// folder; all else is a file of root's.
func readTree(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	owned := func(uid, gid uint32) *syscall.Stat_t { return &syscall.Stat_t{Uid: uid, Gid: gid} }
	for _, f := range archive.Files {
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if tree[dir] == nil {
				tree[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, Sys: owned(0, 0)}
			}
		}
		text := strings.TrimSuffix(string(f.Data), "\n")
		file := &fstest.MapFile{Data: []byte(text), Mode: 0o644, Sys: owned(0, 0)}
		var mode, uid, gid uint32
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			file.Data, file.Mode = []byte(target), fs.ModeSymlink|0o777
		} else if n, _ := fmt.Sscanf(text, "! %o %d %d", &mode, &uid, &gid); n == 3 {
			*file = fstest.MapFile{Mode: fs.FileMode(mode), Sys: owned(uid, gid)}
		} else if n, _ := fmt.Sscanf(text, "d %o %d %d", &mode, &uid, &gid); n == 3 {
			*file = fstest.MapFile{Mode: fs.ModeDir | fs.FileMode(mode), Sys: owned(uid, gid)}
		}
		tree[f.Name] = file
	}
	return tree
}

// fakeProbes answer as they are told.
type fakeProbes struct {
	chips   map[string]port.Chip
	clock   sensor.ClockState
	space   Space
	flush   Flush
	cameras map[string]v4l2.Description
	err     error // of all
}

func (p fakeProbes) Chip(name string, offsets []int) (port.Chip, error) {
	c := p.chips[name]
	c.Infos = slices.DeleteFunc(slices.Clone(c.Infos), func(l port.LineInfo) bool { return !slices.Contains(offsets, l.Offset) })
	for _, o := range offsets {
		if o >= c.Lines {
			return port.Chip{}, fmt.Errorf("%w %d", port.ErrNoLine, o)
		}
	}
	return c, p.err
}
func (p fakeProbes) Line(name string) (string, int, error) {
	for chip, c := range p.chips {
		for _, l := range c.Infos {
			if l.Name == name {
				return chip, l.Offset, nil
			}
		}
	}
	if strings.HasPrefix(name, "gpiochip") {
		return port.FindLine(name)
	}
	return "", 0, fmt.Errorf("pin %s: %w in this machine", name, port.ErrNoLine)
}
func (p fakeProbes) Clock() (sensor.ClockState, error)            { return p.clock, p.err }
func (p fakeProbes) Space(string) (Space, error)                  { return p.space, p.err }
func (p fakeProbes) Flush(context.Context, string) (Flush, error) { return p.flush, p.err }
func (p fakeProbes) Camera(name string) (v4l2.Description, error) { return p.cameras[name], p.err }
func (p fakeProbes) failing(err error) fakeProbes                 { p.err = err; return p }
func synchronised(offset, u time.Duration) sensor.ClockState {
	return sensor.ClockState{Source: "adjtimex", Synchronised: true, Offset: offset, Uncertainty: u}
}

// A fakeMachine is a tree with the answers of its kernel and what is asked of it.
type fakeMachine struct {
	name    string
	machine Machine
	subject Subject
	probes  fakeProbes
}

func fakeMachines(t *testing.T) []fakeMachine {
	all := []fakeMachine{
		{
			name:    "raspberrypi4",
			machine: Machine{Arch: "arm64"},
			subject: Subject{
				Configured: true, Port: "/dev/serial0", Pins: []string{"GPIO17", "GPIO27"}, Camera: "/dev/v4l/by-id/usb-Camera-video-index0", Picture: v4l2.Mode{Code: "mjpeg", Width: 1280, Height: 720},
				Dir: "/var/lib/ciglio", Key: "/var/lib/ciglio/evidence.key", Quota: 20 << 30, Reserve: 64 << 20, ClockBound: 100 * time.Millisecond,
			},
			probes: fakeProbes{
				chips: map[string]port.Chip{
					"gpiochip0": {Label: "pinctrl-bcm2711", Lines: 58, Infos: []port.LineInfo{
						{Offset: 17, Name: "GPIO17", Used: true, Consumer: "ciglio"}, {Offset: 27, Name: "GPIO27"}}},
					"gpiochip1": {Label: "raspberrypi-exp-gpio", Lines: 8},
				},
				clock: synchronised(40*time.Microsecond, 120*time.Microsecond),
				space: Space{Free: 25 << 30, Size: 26 << 30, FreeInodes: 1_700_000, Inodes: 1_703_936},
				flush: Flush{64, 2100 * time.Microsecond, 3400 * time.Microsecond, 41 * time.Millisecond, false},
				cameras: map[string]v4l2.Description{"/dev/video0": {Card: "See3CAM_CU27", Driver: "uvcvideo", Streams: true,
					Modes: []v4l2.Mode{{Code: "MJPG", Width: 1920, Height: 1080}, {Code: "MJPG", Width: 1280, Height: 720}, {Code: "YUYV", Width: 1920, Height: 1080}}}},
			},
		},
		{
			name:    "beaglebone",
			machine: Machine{Arch: "arm", Env: []string{"GOMEMLIMIT=400MiB"}},
			subject: Subject{
				Configured: true, Port: "/dev/ttyS0", Pins: []string{"gpiochip0-30", "gpiochip1-16", "gpiochip1-17", "gpiochip4-2", "P9_12"}, Camera: "/dev/video0",
				Dir: "/data/ciglio", Key: "/data/ciglio/evidence.key", Quota: 20 << 30, Reserve: 64 << 20, ClockBound: 100 * time.Millisecond,
			},
			probes: fakeProbes{
				chips: map[string]port.Chip{"gpiochip1": {Label: "gpio-32-63", Lines: 32, Infos: []port.LineInfo{
					{Offset: 16, Name: "P9_15", Output: true}, {Offset: 17, Name: "P9_23", Used: true, Consumer: "cape"}}}},
				clock: synchronised(0, 80*time.Millisecond),
				space: Space{Free: 40 << 20, Size: 3 << 30, FreeInodes: 12, Inodes: 240_000},
				flush: Flush{64, 40 * time.Microsecond, 60 * time.Microsecond, 900 * time.Microsecond, true},
			},
		},
		{
			name:    "server",
			machine: Machine{Arch: "amd64", UID: 1000, GIDs: []int{1000}},
			subject: Subject{Dir: "/var/lib/ciglio", Key: "/var/lib/ciglio/evidence.key", Quota: 20 << 30, Reserve: 64 << 20},
			probes: fakeProbes{
				clock: synchronised(0, 300*time.Microsecond),
				space: Space{Free: 400 << 30, Size: 900 << 30},
				flush: Flush{64, 18 * time.Microsecond, 25 * time.Microsecond, 300 * time.Microsecond, false},
			},
		},
	}
	for i := range all {
		m := &all[i]
		m.machine.Root, m.machine.Now, m.machine.Probes = readTree(t, m.name), now, m.probes
	}
	return all
}

// TestVerdictsOnWholeMachines compares every line with one that was reviewed.
func TestVerdictsOnWholeMachines(t *testing.T) {
	for _, m := range fakeMachines(t) {
		var got strings.Builder
		for _, l := range Examine(t.Context(), m.machine, m.subject) {
			fmt.Fprintf(&got, "%v %s: %s: %s\n", l.Verdict, l.Check, l.Thing, l.Fact)
			if (l.Verdict == Pass) != (l.Hint == "") {
				t.Errorf("%s: %+v: a line has a hint unless it passes", m.name, l)
			}
			if l.Hint != "" {
				fmt.Fprintf(&got, "     hint: %s\n", l.Hint)
			}
		}
		golden := "testdata/" + m.name + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", m.name, got.String(), want)
		}
	}
}

// faultFS fails for one name and notes all that were asked for.
type faultFS struct {
	fs.FS
	name string
	err  error

	mu    *sync.Mutex
	asked map[string]bool
}

func (f faultFS) check(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[name] = true
	if name == f.name {
		return &fs.PathError{Op: op, Path: name, Err: f.err}
	}
	return nil
}

func (f faultFS) Open(name string) (fs.File, error) {
	if err := f.check("open", name); err != nil {
		return nil, err
	}
	return f.FS.Open(name)
}

func (f faultFS) Stat(name string) (fs.FileInfo, error) {
	if err := f.check("stat", name); err != nil {
		return nil, err
	}
	return fs.Stat(f.FS, name)
}

func (f faultFS) ReadLink(name string) (string, error) {
	if err := f.check("readlink", name); err != nil {
		return "", err
	}
	return fs.ReadLink(f.FS, name)
}

func (f faultFS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.check("lstat", name); err != nil {
		return nil, err
	}
	return fs.Lstat(f.FS, name)
}

// TestErrorAtEachFile fails each file that an examination asks for, in turn. No
// check falls silent, and an objection does not vanish because what it came from
// cannot be read: the check still objects.
func TestErrorAtEachFile(t *testing.T) {
	for _, m := range fakeMachines(t) {
		tree := m.machine.Root
		run := func(name string, err error) ([]Line, map[string]bool) {
			f := faultFS{FS: tree, name: name, err: err, mu: new(sync.Mutex), asked: map[string]bool{}}
			m.machine.Root = f
			return Examine(t.Context(), m.machine, m.subject), f.asked
		}
		base, asked := run("", nil)
		if len(asked) < 50 {
			t.Fatalf("%s: only %d files asked for", m.name, len(asked))
		}
		worst := func(lines []Line) map[string]Verdict {
			w := map[string]Verdict{}
			for _, l := range lines {
				w[l.Check] = max(w[l.Check], l.Verdict)
				if l.Verdict != Pass && l.Hint == "" {
					t.Errorf("%s: no hint: %+v", m.name, l)
				}
			}
			return w
		}
		before := worst(base)
		for name := range asked {
			for _, err := range []error{syscall.EIO, fs.ErrPermission, fs.ErrNotExist} {
				after, _ := run(name, err)
				got := worst(after)
				for check, v := range before {
					now, spoke := got[check]
					hidden := strings.HasPrefix(name, "proc/") && strings.Trim(strings.Split(name, "/")[1], "0123456789") == ""
					switch {
					case !spoke && check != "camera":
						t.Errorf("%s: %s: %v: check %s says nothing", m.name, name, err, check)
					case v > Pass && now == Pass && err != fs.ErrNotExist && !hidden:
						t.Errorf("%s: %s: %v: check %s objects no more", m.name, name, err, check)
					}
				}
			}
		}
	}
}

// TestErrorOfEachProbe: a kernel that refuses is no pass.
func TestErrorOfEachProbe(t *testing.T) {
	for _, m := range fakeMachines(t) {
		for _, err := range []error{syscall.EIO, fs.ErrPermission, errors.New("odd")} {
			m.machine.Probes = m.probes.failing(err)
			bad := map[string]bool{}
			for _, l := range Examine(t.Context(), m.machine, m.subject) {
				bad[l.Check] = bad[l.Check] || l.Verdict != Pass
			}
			for _, check := range []string{"clock", "space", "flush"} {
				if !bad[check] {
					t.Errorf("%s: %v: check %s passes", m.name, err, check)
				}
			}
			if m.subject.Configured && !(bad["gpio"] && bad["camera"]) {
				t.Errorf("%s: %v: lines or camera pass: %v", m.name, err, bad)
			}
		}
	}
}

func TestNaturalOrder(t *testing.T) {
	names := []string{"tty10", "tty2", "tty1", "ttyS0", "video0"}
	slices.SortFunc(names, natural)
	if got := strings.Join(names, " "); got != "tty1 tty2 tty10 ttyS0 video0" {
		t.Error(got)
	}
}
