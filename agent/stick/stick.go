//go:build linux

// Package stick reads what is on a USB stick, and writes small files to it,
// without trusting the stick in anything.
//
// It may be pulled out at any moment, be slow or dead, hold a broken or hostile
// file system, or none. Whatever it does, each call returns: with ctx, or with
// [ErrStalled] when the stick has not moved for its patience. The system call
// that hangs is left behind, one of each stick at most, until the kernel gives
// it up; the next call waits for it first, no longer than for anything else.
//
// A stick is mounted for reading, without set-user-id, devices and programs, and
// without playing its journal back, so that reading writes nothing. A file
// system that finds itself broken must not take the machine with it, though its
// own notes may ask for that (ext4 can ask for a panic): it is told otherwise.
// Links cannot lead out of the stick, and what is neither a file nor a folder is
// not opened.
//
// Mounting needs root, or CAP_SYS_ADMIN. Only one goroutine may use a Stick at a
// time.
package stick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ciglio/internal/durable"
)

// Errors that callers branch on. Each is told with the stick's device.
var (
	ErrGone    = errors.New("pulled out")
	ErrStalled = errors.New("does not answer")
	ErrFormat  = errors.New("no file system that is known here: want vfat, exfat or ext4")
	ErrLimit   = errors.New("more than is allowed")
)

// Limits of what is read off a stick.
const (
	maxEntries = 10_000
	maxDepth   = 16
	chunk      = 64 << 10 // bytes of a file, and
	batch      = 256      // entries of a folder, that a stick must bring within its patience
)

// Options tune a Stick. The zero value works.
type Options struct {
	Patience time.Duration // with a stick that does not move; 0 means 20 s
}

// A Stick is a mounted file system.
type Stick struct {
	device, dir string // dir is the folder it is mounted at
	kind        string // of file system
	patience    time.Duration
	system      system
	left        <-chan struct{} // closed when the call that was left behind is back; nil without one
	lost        error           // why nothing is mounted any more; nil while something is
}

// An Entry is a file on the stick, or what of it could not be listed.
type Entry struct {
	Name string // with slashes, from the stick's root; that of a folder ends with one
	Size int64
	Err  string `json:",omitempty"` // why the folder, or the rest of it, could not be listed; "" for a file
}

// Open mounts the file system on a disk, such as /dev/sda, or of its first
// partition that has one, at a new folder of its own below dir; it makes dir too
// when there is none. After Open has failed, or [Stick.Close], the new folder is
// removed, as soon as the kernel lets go of the stick. A power cut leaves it
// behind: dir is best in memory, below /run.
func Open(ctx context.Context, disk, dir string, o Options) (*Stick, error) {
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	return open(ctx, &Stick{device: disk, dir: dir, patience: o.Patience, system: kernel{}})
}

func open(ctx context.Context, s *Stick) (*Stick, error) {
	// A folder of its own: a mount that comes late, and its end, must not meet the
	// next stick at the same place.
	err := os.MkdirAll(s.dir, 0o700)
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(s.dir, "stick-"); err != nil {
		return nil, err
	}
	var device, kind string
	disk := s.device
	err = s.do(ctx, func(ctx context.Context, alive func()) (err error) {
		if device, kind, err = s.system.find(ctx, disk); err != nil {
			return err
		}
		alive()
		return s.system.mount(device, s.dir, kind, readOnly)
	})
	if err != nil {
		os.Remove(s.dir) // a late mount fails without it; where one was in time, it stays
		s.detachLater()
		return nil, err
	}
	s.device, s.kind = device, kind
	return s, nil
}

// Device returns the device of the file system, such as /dev/sda1.
func (s *Stick) Device() string { return s.device }

// Kind returns the kind of file system: vfat, exfat or ext4.
func (s *Stick) Kind() string { return s.kind }

// Close takes the stick out of the tree, at once even when somebody uses it or
// it is gone, and removes the folder it was mounted at. When the kernel still waits
// for it, the error wraps [ErrStalled], and both happen as soon as the kernel lets
// go. The Stick must not be used after.
func (s *Stick) Close() error {
	err := s.do(context.Background(), func(context.Context, func()) error {
		err := s.system.unmount(s.dir)
		os.Remove(s.dir)
		return err
	})
	s.detachLater()
	return err
}

// detachLater unmounts when the call that was left behind has come back, which
// may have mounted, and removes the folder.
func (s *Stick) detachLater() {
	if left := s.left; left != nil {
		go func() {
			<-left
			s.system.unmount(s.dir) // fails when nothing is mounted
			os.Remove(s.dir)
		}()
	}
}

// root opens the stick's root folder, never that of ours where nothing is
// mounted.
func (s *Stick) root() (*os.Root, error) {
	if s.lost != nil {
		return nil, s.lost
	}
	return os.OpenRoot(s.dir)
}

// List returns the files on the stick, in order. What it found before an error
// it returns too; where folders lie in folders without end, all files that do not
// lie there. A folder that cannot be listed is an entry that says so, behind what was
// found in it, and no error unless it is the root. Of a FAT folder the kernel passes over what it cannot read: who
// needs all files must know their names.
func (s *Stick) List(ctx context.Context) ([]Entry, error) {
	found := make(chan []Entry, 1)
	err := s.do(ctx, func(ctx context.Context, alive func()) error {
		list, err := s.list(ctx, maxEntries, alive)
		found <- list
		return err
	})
	select {
	case list := <-found:
		return list, err
	default:
		return nil, err
	}
}

func (s *Stick) list(ctx context.Context, limit int, alive func()) (list []Entry, err error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	seen := 0
	var deep error // the first folder that is not looked into; all else is listed
	var walk func(folder string) error
	walk = func(folder string) error {
		entries, failed := s.readFolder(ctx, root, folder, limit-seen, alive)
		seen += len(entries)
		bad := ""
		switch {
		case failed == nil || ctx.Err() != nil:
		case failed == ErrLimit:
			failed = fmt.Errorf("%d files and folders: %w", limit+1, ErrLimit)
		case folder != ".":
			failed, bad = nil, failed.Error()
		}
		for _, d := range entries {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			alive()
			switch name := path.Join(folder, d.Name()); {
			case d.IsDir() && failed != nil: // it ends with this folder's own files
			case d.IsDir() && depth(name) > maxDepth:
				if deep == nil {
					deep = fmt.Errorf("%s: folders in folders: %w", name, ErrLimit)
				}
			case d.IsDir():
				if err := walk(name); err != nil {
					return err
				}
			case d.Type().IsRegular():
				info, err := d.Info()
				switch {
				case err == nil:
					list = append(list, Entry{Name: name, Size: info.Size()})
				case folder == ".":
					return errors.Join(failed, err)
				case bad == "":
					bad = err.Error()
				}
			}
		}
		if bad != "" {
			list = append(list, Entry{Name: folder + "/", Err: bad})
		}
		return failed
	}
	err = walk(".")
	return list, errors.Join(err, deep)
}

// readFolder returns what is in a folder, in order, and what it found before an
// error. Of more than limit entries it returns that many and [ErrLimit]: however
// large the folder, it takes no more memory than for those and a batch.
func (s *Stick) readFolder(ctx context.Context, root *os.Root, name string, limit int, alive func()) (found []fs.DirEntry, err error) {
	opened, err := s.system.open(root, name)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	f, ok := opened.(fs.ReadDirFile)
	if !ok {
		return nil, fmt.Errorf("%s: no folder", name)
	}
	for err == nil {
		var some []fs.DirEntry
		some, err = f.ReadDir(batch)
		alive()
		found = append(found, some...)
		if len(found) > limit {
			found, err = found[:limit], ErrLimit
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	slices.SortFunc(found, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if err == io.EOF {
		return found, nil
	}
	return found, err
}

func depth(name string) (n int) {
	for _, c := range name {
		if c == '/' {
			n++
		}
	}
	return n
}

// file opens a plain file of at most limit bytes.
func (s *Stick) file(name string, limit int64) (fs.File, error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := s.system.open(root, name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: no file", name)
	case info.Size() > limit:
		err = fmt.Errorf("%s: %d bytes: %w", name, info.Size(), ErrLimit)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// Read returns what is in a file of at most limit bytes. It is a copy: what the
// stick holds a moment later may be something else.
func (s *Stick) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	read := make(chan []byte, 1)
	err := s.do(ctx, func(ctx context.Context, alive func()) error {
		from, err := s.file(name, limit)
		if err != nil {
			return err
		}
		defer from.Close()
		var content bytes.Buffer
		if err := pour(ctx, &content, from, limit, alive); err != nil {
			return err
		}
		read <- content.Bytes()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-read, nil
}

// pour copies in chunks, so that it ends with ctx, and tells of each.
func pour(ctx context.Context, to io.Writer, from io.Reader, limit int64, alive func()) error {
	buffer := make([]byte, chunk)
	for total := int64(0); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := from.Read(buffer)
		alive()
		if total += int64(n); total > limit {
			return fmt.Errorf("%d bytes: %w", total, ErrLimit)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Put writes a small file, such as a receipt, into the stick's root folder. For
// that the stick is mounted for writing, and for reading again after. The file
// is on the stick, whole, when Put returns without an error. When the stick cannot
// be mounted again, only Close is left: each other call fails from then on.
func (s *Stick) Put(ctx context.Context, name string, content []byte) error {
	if name != filepath.Base(name) || name == "." || name == ".." {
		return s.name(fmt.Errorf("%q: want a name without folder", name))
	}
	content = bytes.Clone(content)
	return s.do(ctx, func(ctx context.Context, alive func()) error {
		if s.lost != nil {
			return s.lost
		}
		if err := s.system.unmount(s.dir); err != nil {
			return err
		}
		err := s.system.mount(s.device, s.dir, s.kind, readWrite)
		alive()
		if err == nil {
			err = durable.Write(filepath.Join(s.dir, name), 0o600, func(to io.Writer) error {
				return pour(ctx, to, bytes.NewReader(content), int64(len(content)), alive)
			})
			alive()
			err = errors.Join(err, s.system.unmount(s.dir))
		}
		if again := s.system.mount(s.device, s.dir, s.kind, readOnly); again != nil {
			s.lost = fmt.Errorf("not mounted any more: %w", again)
		}
		return errors.Join(err, s.lost)
	})
}

// do calls f, which must call alive as it gets on, and returns when f does, when
// ctx ends or when nothing has moved for the stick's patience. In the last two
// cases f may still hang in the kernel: it is left behind, and must touch
// nothing then but its own variables, and s.lost, which belongs to the call that
// is at work. The next call waits for it first.
func (s *Stick) do(ctx context.Context, f func(ctx context.Context, alive func()) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(s.patience, func() { cancel(ErrStalled) })
	defer stalled.Stop()
	if s.left != nil {
		select {
		case <-s.left:
			s.left = nil
		case <-ctx.Done():
			return s.name(context.Cause(ctx))
		}
	}
	ended := make(chan struct{})
	var result error
	go func() {
		defer close(ended)
		result = f(ctx, func() { stalled.Reset(s.patience) })
	}()
	select {
	case <-ended:
		return s.name(result)
	case <-ctx.Done():
		s.left = ended
		return s.name(context.Cause(ctx))
	}
}

// name tells an error with the stick's device, and that it is gone when it is:
// pulled out, it may fail with anything, also with a file that is not there.
func (s *Stick) name(err error) error {
	if err == nil {
		return nil
	}
	for _, own := range []error{ErrStalled, ErrLimit, ErrFormat, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, own) {
			return fmt.Errorf("stick %s: %w", s.device, err)
		}
	}
	if s.system.gone(s.device) {
		return fmt.Errorf("stick %s: %w: %w", s.device, ErrGone, err)
	}
	return fmt.Errorf("stick %s: %w", s.device, err)
}
