//go:build linux

package stick

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a machine on which a mounted stick is the folder as it is.
type fake struct {
	hang     chan struct{} // mounting waits for it; nil: it does not
	hangRead chan struct{} // the last read of a file waits for it; nil: it does not
	err      error         // of mounting
	pulled   bool
	mounts   []mode
	tree     map[string][]string // folder: devices mounted there, the newest last
	detached atomic.Int64
	bad      []string // folders that cannot be opened
	half     string   // a folder that fails behind what is in it
}

func (f *fake) find(_ context.Context, disk string) (string, string, error) {
	return disk + "1", "vfat", nil
}

func (f *fake) gone(string) bool { return f.pulled }

func (f *fake) mount(device, dir, _ string, m mode) error {
	if f.hang != nil {
		<-f.hang
	}
	f.mounts = append(f.mounts, m)
	if f.err != nil {
		return f.err
	}
	if f.tree == nil {
		f.tree = map[string][]string{}
	}
	f.tree[dir] = append(f.tree[dir], device)
	return nil
}

func (f *fake) unmount(dir string) error {
	f.detached.Add(1)
	if there := f.tree[dir]; len(there) > 1 {
		f.tree[dir] = there[:len(there)-1]
	} else {
		delete(f.tree, dir)
	}
	return nil
}

func (f *fake) open(root *os.Root, name string) (fs.File, error) {
	if len(f.bad) > 0 && slices.Contains(f.bad, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	file, err := kernel{}.open(root, name)
	if err == nil && name == f.half {
		return halfFolder{file.(fs.ReadDirFile)}, nil
	}
	if err != nil || f.hangRead == nil {
		return file, err
	}
	return hangingFile{file, f.hangRead}, nil
}

// halfFolder fails behind what is in it.
type halfFolder struct{ fs.ReadDirFile }

func (f halfFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	all, err := f.ReadDirFile.ReadDir(n)
	if err == io.EOF {
		err = syscall.EIO
	}
	return all, err
}

// hangingFile hangs before it says that nothing more follows.
type hangingFile struct {
	fs.File
	hang chan struct{}
}

func (f hangingFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	if err == io.EOF {
		<-f.hang
	}
	return n, err
}

func openFake(t *testing.T, f *fake) (*Stick, error) {
	return openFakeAt(t, f, "/dev/sda", t.TempDir())
}

func openFakeAt(t *testing.T, f *fake, disk, dir string) (*Stick, error) {
	return open(t.Context(), &Stick{device: disk, dir: dir, patience: 20 * time.Second, system: f})
}

// newFake returns an open stick with these files, and a machine around it.
func newFake(t *testing.T, files ...string) (*Stick, *fake) {
	t.Helper()
	f := new(fake)
	s, err := openFake(t, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s, f
}

func TestStickThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{hang: make(chan struct{})}
		began := time.Now()
		_, err := openFake(t, f)
		if !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), "stick /dev/sda: does not answer") {
			t.Errorf("a stick that hangs: %v", err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("given up after %v", took)
		}
		close(f.hang) // the kernel lets go at last, and the mount succeeds
		synctest.Wait()
		if f.detached.Load() != 1 {
			t.Error("what was mounted late stays mounted")
		}
	})
}

func TestLateEndOfADeadStickLeavesTheNextOneMounted(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
	}{
		{"it is mounted after all", nil},
		{"its mount fails at last", syscall.EIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{hang: make(chan struct{})}
				dir := t.TempDir()
				if _, err := openFakeAt(t, f, "/dev/sda", dir); !errors.Is(err, ErrStalled) {
					t.Fatalf("a stick that hangs: %v", err)
				}
				synctest.Wait()
				dead := f.hang
				f.hang = nil
				next, err := openFakeAt(t, f, "/dev/sdb", dir)
				if err != nil {
					t.Fatal(err)
				}
				f.err = c.err
				close(dead) // the kernel lets go of the first one
				synctest.Wait()
				if there := f.tree[next.dir]; len(f.tree) != 1 || !slices.Equal(there, []string{"/dev/sdb1"}) {
					t.Errorf("mounted %v, want /dev/sdb1 alone", f.tree)
				}
			})
		})
	}
}

func TestReadThatWasGivenUpEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, "a")
		f.hangRead = make(chan struct{})
		if _, err := s.Read(t.Context(), "a", 1); !errors.Is(err, ErrStalled) {
			t.Fatalf("a read that hangs: %v", err)
		}
		close(f.hangRead) // the last read succeeds at last
		synctest.Wait()
		if b, err := s.Read(t.Context(), "a", 1); err != nil || string(b) != "a" {
			t.Errorf("the next read: %q, %v", b, err)
		}
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t)
		f.hang = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := s.Put(ctx, "receipt", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call without time: %v", err)
		}
		if _, err := s.List(t.Context()); !errors.Is(err, ErrStalled) {
			t.Errorf("a call while another one hangs: %v", err)
		}
		if err := s.Close(); !errors.Is(err, ErrStalled) {
			t.Errorf("close while a call hangs: %v", err)
		}
		before := f.detached.Load()
		close(f.hang)
		synctest.Wait()
		if f.detached.Load() == before {
			t.Error("not taken out when the kernel let go")
		}
	})
}

func TestSlowStickThatMovesIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t)
		err := s.do(t.Context(), func(_ context.Context, alive func()) error {
			for range 10 {
				time.Sleep(19 * time.Second)
				alive()
			}
			return nil
		})
		if err != nil {
			t.Errorf("a slow stick: %v", err)
		}
	})
}

func TestListAndRead(t *testing.T) {
	s, f := newFake(t, "bundle/site.toml", "a")
	list, err := s.List(t.Context())
	if err != nil || !slices.Equal(list, []Entry{{Name: "a", Size: 1}, {Name: "bundle/site.toml", Size: 16}}) {
		t.Errorf("list = %v, %v", list, err)
	}
	if b, err := s.Read(t.Context(), "bundle/site.toml", 16); err != nil || string(b) != "bundle/site.toml" {
		t.Errorf("read %q, %v", b, err)
	}
	if !slices.Equal(f.mounts, []mode{readOnly}) {
		t.Errorf("mounted %v: reading must not write", f.mounts)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestFolderOfAStickGoesWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		dir := filepath.Join(t.TempDir(), "sticks", "here") // made by Open
		folders := func(when string, want int) {
			t.Helper()
			if got, err := os.ReadDir(dir); err != nil || len(got) != want {
				t.Errorf("%s: %v, %v, want %d folders", when, got, err, want)
			}
		}
		a, err := openFakeAt(t, f, "/dev/sda", dir)
		if err != nil {
			t.Fatal(err)
		}
		b, err := openFakeAt(t, f, "/dev/sdb", dir)
		if err != nil {
			t.Fatal(err)
		}
		folders("two sticks", 2)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		folders("one is closed", 1)
		f.hang = make(chan struct{})
		if err := b.Put(t.Context(), "receipt", nil); !errors.Is(err, ErrStalled) {
			t.Errorf("a stick that hangs: %v", err)
		}
		if err := b.Close(); !errors.Is(err, ErrStalled) {
			t.Errorf("close while a call hangs: %v", err)
		}
		folders("the other one is closed and hangs", 1)
		f.err = syscall.EIO
		close(f.hang)
		synctest.Wait()
		folders("it was let go", 0)
		if _, err := openFakeAt(t, f, "/dev/sdc", dir); !errors.Is(err, syscall.EIO) {
			t.Errorf("a stick that cannot be mounted: %v", err)
		}
		folders("one that cannot be mounted", 0)
	})
}

func TestWhatAStickMayNotDo(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := newFake(t, "large")
	if err := os.Symlink(outside, filepath.Join(s.dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(s.dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(s.dir, strings.Repeat("z/", maxDepth+2))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, name, want string }{
		{"a link out of the stick", "link", "escapes"},
		{"a pipe that nobody writes to", "pipe", "no file"},
		{"a folder", "z", "no file"},
		{"a path out of the stick", "../secret", "escapes"},
		{"more than was asked for", "large", "more than is allowed"},
		{"nothing", "nothing", "no such file"},
	} {
		if b, err := s.Read(t.Context(), c.name, 4); err == nil || len(b) != 0 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v, want %q", c.what, b, err, c.want)
		}
	}
	if list, err := s.List(t.Context()); !errors.Is(err, ErrLimit) || len(list) != 1 || list[0].Name != "large" {
		t.Errorf("folders without end: %v, %v", list, err)
	}
	if err := s.Put(t.Context(), "../receipt", nil); err == nil {
		t.Error("a receipt outside of the stick")
	}
}

// A folder nested a thousand deep hides nothing that lies elsewhere on the stick,
// whether its name comes first or last.
func TestH13_AFolderWithoutEndHidesNothingElse(t *testing.T) {
	for _, deep := range []string{"a/", "z/", "bundle/a/"} {
		s, _ := newFake(t, "bundle/calibration.toml", "bundle/site.toml", "readme")
		at := s.dir
		for _, name := range strings.Split(strings.TrimSuffix(deep+strings.Repeat("d/", 1000), "/"), "/") {
			// One at a time: the whole path is longer than the kernel takes.
			if err := os.Mkdir(filepath.Join(at, name), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				if len(at) > 3000 {
					break
				}
				t.Fatal(err)
			}
			at = filepath.Join(at, name)
		}
		list, err := s.List(t.Context())
		var names []string
		for _, e := range list {
			names = append(names, e.Name)
		}
		if !errors.Is(err, ErrLimit) || !slices.Equal(names, []string{"bundle/calibration.toml", "bundle/site.toml", "readme"}) {
			t.Errorf("%s: %v, %v", deep, names, err)
		}
	}
}

// What of a stick can be listed is, and what cannot is named; without its root there is
// nothing.
func TestAFolderThatCannotBeListedIsNamed(t *testing.T) {
	s, f := newFake(t, "a", "ciglio/b", "ciglio/orders/c", "orders/d", "z/e")
	f.bad, f.half = []string{"ciglio/orders"}, "orders"
	list, err := s.List(t.Context())
	var all []string
	for _, e := range list {
		if (e.Err != "") != strings.Contains(e.Err, "input/output error") {
			t.Errorf("%s: %q", e.Name, e.Err)
		}
		if e.Err != "" {
			e.Name += "!"
		}
		all = append(all, e.Name)
	}
	if want := []string{"a", "ciglio/b", "ciglio/orders/!", "orders/d", "orders/!", "z/e"}; err != nil || !slices.Equal(all, want) {
		t.Errorf("%q, %v, want %q", all, err, want)
	}
	f.bad = []string{"."}
	if list, err := s.List(t.Context()); !errors.Is(err, syscall.EIO) || len(list) > 0 {
		t.Errorf("no root: %v, %v", list, err)
	}
}

// manyFiles returns as many names, the same in each run.
func manyFiles(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%05d", i)
	}
	return names
}

func TestListIsInOrderOfNamesInEachFolder(t *testing.T) {
	s, _ := newFake(t, append(manyFiles(2*batch+1), "00001.d/b", "00001.d/a", "00001.d.txt", "empty/folder/z")...)
	var want []Entry
	err := fs.WalkDir(os.DirFS(s.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			want = append(want, Entry{Name: name, Size: int64(len(name))})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context()); err != nil || !slices.Equal(list, want) {
		t.Errorf("list = %v, %v, want %v", list, err, want)
	}
}

func TestLargeFolderIsReadInBatchesUpToTheLimit(t *testing.T) {
	s, _ := newFake(t, manyFiles(4*batch+1)...)
	root, err := s.root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct {
		name                string
		limit, found, reads int
		want                error
	}{
		{"all", 4*batch + 1, 4*batch + 1, 6, nil}, // the last one finds nothing
		{"one too many", 4 * batch, 4 * batch, 5, ErrLimit},
		{"far too many", batch - 1, batch - 1, 1, ErrLimit},
		{"nothing more is allowed", 0, 0, 1, ErrLimit},
	} {
		reads := 0
		found, err := (&Stick{system: kernel{}}).readFolder(t.Context(), root, ".", c.limit, func() { reads++ })
		if !errors.Is(err, c.want) || len(found) != c.found || reads != c.reads {
			t.Errorf("%s: %d found in %d reads, %v; want %d in %d, %v", c.name, len(found), reads, err, c.found, c.reads, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if found, err := (&Stick{system: kernel{}}).readFolder(ctx, root, ".", maxEntries, cancel); !errors.Is(err, context.Canceled) || len(found) != batch {
		t.Errorf("%d found, %v, though the context ended after the first batch", len(found), err)
	}
}

func TestLimitOfEntriesIsThatOfAllFolders(t *testing.T) {
	s, _ := newFake(t, "a/1", "a/2", "b/1", "c")
	if err := os.Symlink("c", filepath.Join(s.dir, "b", "link")); err != nil { // counts, and is no file
		t.Fatal(err)
	}
	all := []Entry{{Name: "a/1", Size: 3}, {Name: "a/2", Size: 3}, {Name: "b/1", Size: 3}, {Name: "c", Size: 1}}
	for _, c := range []struct {
		name  string
		limit int
		list  []Entry
		want  error
	}{
		{"as many as are allowed", 7, all, nil},
		{"too many in a second folder", 5, all[:2], ErrLimit},
		{"too many in the first folder", 3, nil, ErrLimit},
	} {
		list, err := s.list(t.Context(), c.limit, func() {})
		if !errors.Is(err, c.want) || !slices.Equal(list, c.list) {
			t.Errorf("%s: %v, %v, want %v, %v", c.name, list, err, c.list, c.want)
		}
	}
	s, _ = newFake(t, manyFiles(3)...)
	list, err := s.list(t.Context(), 2, func() {})
	if !errors.Is(err, ErrLimit) || len(list) != 2 || list[0].Name >= list[1].Name {
		t.Errorf("files of a folder with too many: %v, %v, want two of them, in order", list, err)
	}
}

func TestPutMountsForWritingOnlyMeanwhile(t *testing.T) {
	s, f := newFake(t)
	if err := s.Put(t.Context(), "receipt.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.mounts, []mode{readOnly, readWrite, readOnly}) {
		t.Errorf("mounted %v", f.mounts)
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, "receipt.json")); err != nil || string(b) != "{}" {
		t.Errorf("receipt = %q, %v", b, err)
	}
}

func TestNothingIsReadWhereNothingIsMounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			hang chan struct{} // of mounting
			want error
		}{
			{"Put says that it could not mount again", nil, syscall.EUCLEAN},
			{"Put was given up, and could not mount again later", make(chan struct{}), ErrStalled},
		} {
			s, f := newFake(t, "file of our own folder")
			f.hang, f.err = c.hang, syscall.EUCLEAN
			if err := s.Put(t.Context(), "receipt", nil); !errors.Is(err, c.want) {
				t.Fatalf("%s: %v", c.name, err)
			}
			if c.hang != nil {
				close(c.hang)
			}
			lost := func(call string, err error) {
				t.Helper()
				if !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "stick /dev/sda1: not mounted any more") {
					t.Errorf("%s: %s: %v", c.name, call, err)
				}
			}
			list, err := s.List(t.Context())
			lost("List", err)
			if len(list) != 0 {
				t.Errorf("%s: list = %v", c.name, list)
			}
			_, err = s.Read(t.Context(), "file of our own folder", 100)
			lost("Read", err)
			lost("Put", s.Put(t.Context(), "receipt", nil))
			if err := s.Close(); err != nil {
				t.Errorf("%s: Close: %v", c.name, err)
			}
		}
	})
}

func TestPutThatFailsLeavesTheStickMounted(t *testing.T) {
	s, _ := newFake(t, "a", "receipt/in a folder of its name")
	if err := s.Put(t.Context(), "receipt", nil); err == nil {
		t.Error("a file took the place of a folder")
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("list = %v, %v", list, err)
	}
}

func TestErrorSaysThatTheStickIsGone(t *testing.T) {
	s, f := newFake(t)
	f.pulled = true
	_, err := s.Read(t.Context(), "a", 1)
	if !errors.Is(err, ErrGone) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a stick that is gone: %v", err)
	}
}

func TestIdentify(t *testing.T) {
	head := func(at int, b ...byte) []byte {
		h := make([]byte, 4096)
		copy(h[at:], b)
		return h
	}
	fat := head(510, 0x55, 0xAA)
	copy(fat, "\xEB\x3C\x90mkfs.fat\x00\x02")
	partitions := head(510, 0x55, 0xAA)
	ntfs := append([]byte(nil), fat...)
	copy(ntfs[3:], "NTFS    ")
	for _, c := range []struct {
		name string
		head []byte
		want string
	}{
		{"ext4", head(1080, 0x53, 0xEF), "ext4"},
		{"exfat", head(3, []byte("EXFAT   ")...), "exfat"},
		{"vfat", fat, "vfat"},
		{"a partition table", partitions, ""},
		{"NTFS, which begins as FAT does", ntfs, ""},
		{"nothing", head(0), ""},
	} {
		if got, err := identify(c.head); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// A stick that was a file system as a whole before it was divided has the mark of
// both; one whose partitions say nothing may still be one.
func TestPartitionsComeFirst(t *testing.T) {
	ext4 := make([]byte, 4096)
	ext4[1080], ext4[1081] = 0x53, 0xEF
	fat := make([]byte, 4096)
	copy(fat, "\xEB\x3C\x90mkfs.fat\x00\x02")
	fat[510], fat[511] = 0x55, 0xAA
	empty := make([]byte, 4096)
	for _, c := range []struct {
		name         string
		heads        map[string][]byte // by device
		device, kind string
		err          error
	}{
		{"no partition", map[string][]byte{"sda": fat}, "sda", "vfat", nil},
		{"the first one", map[string][]byte{"sda": empty, "sda1": ext4}, "sda1", "ext4", nil},
		{"over an older file system", map[string][]byte{"sda": fat, "sda1": empty, "sda2": ext4}, "sda2", "ext4", nil},
		{"none that is known, but the disk is", map[string][]byte{"sda": fat, "sda1": empty}, "sda", "vfat", nil},
		{"nothing that is known", map[string][]byte{"sda": empty, "sda1": empty}, "sda", "", ErrFormat},
		{"a partition that cannot be read", map[string][]byte{"sda": fat, "sda1": nil}, "sda1", "", syscall.EIO},
	} {
		head := func(device string) ([]byte, error) {
			if h := c.heads[device]; h != nil {
				return h, nil
			}
			return nil, syscall.EIO
		}
		parts := func() []string {
			all := slices.Sorted(maps.Keys(c.heads))
			return all[1:]
		}
		device, kind, err := findIn("sda", head, parts)
		if device != c.device || kind != c.kind || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %s, %q, %v; want %s, %q, %v", c.name, device, kind, err, c.device, c.kind, c.err)
		}
	}
}

func TestDisksAreThoseOnUSB(t *testing.T) {
	sys := t.TempDir()
	disk := func(name, bus string, parts ...string) {
		t.Helper()
		dir := filepath.Join(sys, "devices", bus, name)
		for _, p := range append(parts, ".") {
			if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
				t.Fatal(err)
			}
			if p != "." {
				if err := os.WriteFile(filepath.Join(dir, p, "partition"), []byte("1\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "size"), []byte("2048\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(sys, "block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("../devices", bus, name), filepath.Join(sys, "block", name)); err != nil {
			t.Fatal(err)
		}
	}
	disk("mmcblk0", "mmc0", "mmcblk0p1")
	disk("sda", "usb1/1-1", "sda1", "sda2")
	disk("sdb", "usb1/1-2")
	got, err := disks(sys)
	if want := []string{"/dev/sda", "/dev/sdb"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("disks = %v, %v, want %v", got, err, want)
	}
	if got, want := partitions(sys, "sda"), []string{"/dev/sda1", "/dev/sda2"}; !slices.Equal(got, want) {
		t.Errorf("partitions = %v, want %v", got, want)
	}
}
