package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// A Disk does the steps that change a folder, each by itself, so that a test can cut
// the power at any of them.
type Disk interface {
	Prepare(path string, mode os.FileMode, write func(io.Writer) error) (temp string, err error)
	SyncFile(path string) error
	Rename(temp, path string) error // and nothing more
	SyncFolder(path string) error
	Remove(path string) error
}

// Real is the machine's own [Disk].
type Real struct{}

var _ Disk = Real{}

// Prepare is [Prepare].
func (Real) Prepare(path string, mode os.FileMode, write func(io.Writer) error) (string, error) {
	return Prepare(path, mode, write)
}

// SyncFile is [SyncFile].
func (Real) SyncFile(path string) error { return SyncFile(path) }

// Rename is [os.Rename].
func (Real) Rename(temp, path string) error { return os.Rename(temp, path) }

// SyncFolder is [SyncFolder].
func (Real) SyncFolder(path string) error { return SyncFolder(path) }

// Remove is [os.Remove].
func (Real) Remove(path string) error { return os.Remove(path) }

// WriteOn is [Write] on a disk.
func WriteOn(d Disk, path string, mode os.FileMode, write func(io.Writer) error) error {
	temp, err := d.Prepare(path, mode, write)
	if err != nil {
		return err
	}
	if err = d.SyncFile(temp); err == nil {
		err = d.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, d.Remove(temp))
	}
	return d.SyncFolder(filepath.Dir(path))
}
