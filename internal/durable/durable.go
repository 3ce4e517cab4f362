// Package durable writes files that a power cut leaves whole, old or new, and
// takes the locks of stores.
//
// What it keeps true: a file of the name that was asked for is there whole and on
// disk when a function returns without error. Until then it is written under
// another name in the same folder, which is synced before it is renamed, as is the
// folder behind it. A file that is left under the other name, .new- and digits,
// by a power cut has never held anything.
//
// A sync that failed is an error for good: the next one may succeed without what
// this one lost.
package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Write puts what write writes in the place of the file at path, which need not
// exist.
func Write(path string, mode os.FileMode, write func(io.Writer) error) error {
	temp, err := Prepare(path, mode, write)
	if err != nil {
		return err
	}
	return Place(temp, path)
}

// WriteFile is [Write] of bytes.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// unfinished begins the name of a file that is not in its place yet.
const unfinished = ".new-"

// Unfinished reports whether a file of that name was on its way to its place. Where
// nobody writes, a power cut has left it, and it may be deleted.
func Unfinished(name string) bool { return strings.HasPrefix(name, unfinished) }

// private is the mode of a file that [os.CreateTemp] makes.
const private os.FileMode = 0o600

// Prepare writes a file beside path, to be given to [Place], and syncs nothing.
func Prepare(path string, mode os.FileMode, write func(io.Writer) error) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*")
	if err != nil {
		return "", err
	}
	err = write(f)
	if err == nil && mode != private { // which a stick's file system may refuse
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// Place syncs a file that was written and puts it in the place of the one at
// path, in the same folder. When that fails, the file is removed.
func Place(temp, path string) error {
	if err := SyncFile(temp); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return Rename(temp, path)
}

// Rename gives a file that is on disk another name in its folder. When that
// fails, the file is removed.
func Rename(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return SyncFolder(filepath.Dir(path))
}

// Create writes a new file, readable for its owner only. A file that exists is
// never touched: the error then wraps [os.ErrExist]. Errors name the fact without
// the path.
func Create(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*")
	if err != nil {
		return errors.Unwrap(err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// Nothing is replaced, and the file has one name at any moment: a second
		// one, left by a power cut, would survive whoever deletes the first.
		err = unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncFolder(filepath.Dir(path))
}

// ReadAtMost reads a file, which is an error when it is longer than so many bytes.
func ReadAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return text, err
}

// A Mark tells one version of a file from another, as long as each is put in its
// place by [Write]: by its time, its size and its inode.
type Mark struct {
	mtime time.Time
	size  int64
	inode uint64
}

// MarkOf looks at the file at path.
func MarkOf(path string) (Mark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Mark{}, err
	}
	m := Mark{mtime: info.ModTime(), size: info.Size()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		m.inode = s.Ino
	}
	return m, nil
}

// SyncFile makes the bytes of a file durable.
func SyncFile(path string) error { return sync(path) }

// SyncDisk makes all that was written to the file system of a folder durable, by
// whomever: it costs one wait for however many files. Linux tells of errors since
// version 5.8.
func SyncDisk(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: folder, Err: err}
	}
	return nil
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error { return sync(path) }

func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ErrLocked says that another process has a lock.
var ErrLocked = errors.New("in use by another process")

// Lock takes the lock file at path for this process, and makes it where it is
// missing. It returns an error that wraps [ErrLocked] when another has it. Closing
// the file frees the lock, and so does the end of the process.
func Lock(path string) (*os.File, error) { return lock(path, unix.LOCK_EX|unix.LOCK_NB) }

// Wait is [Lock], and waits until the other has freed it.
func Wait(path string) (*os.File, error) { return lock(path, unix.LOCK_EX) }

// WaitFolder is [Wait] with the folder itself for the lock: who may read a folder may
// take it, whoever else has, and it leaves no file behind.
func WaitFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return take(f, unix.LOCK_EX)
}

func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, private)
	if err != nil {
		return nil, err
	}
	return take(f, how)
}

func take(f *os.File, how int) (*os.File, error) {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
}
