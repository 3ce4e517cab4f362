// Package durabletest cuts the power of a disk.
package durabletest

import (
	"bytes"
	"errors"
	"io"
	"os"

	"ciglio/internal/durable"
)

// ErrCut is why a step of a [Cut] fails.
var ErrCut = errors.New("power cut")

// A Cut is a disk whose power is cut at a step, or that fails in that step alone.
// Nothing is lost of what was written and not synced.
type Cut struct {
	At       int  // the step, from 1; none that is negative
	Half     bool // the step that is cut has been done in part, or whole
	Recovers bool // it fails once and works again

	Step int // how many were begun
	dead bool
}

var _ durable.Disk = (*Cut)(nil)

// next counts a step, and reports whether it is done and whether it fails.
func (d *Cut) next() (does, fails bool) {
	if d.dead {
		return false, true
	}
	d.Step++
	if d.Step == d.At {
		d.dead = !d.Recovers
		return d.Half, true
	}
	return true, false
}

func (d *Cut) do(f func() error) error {
	does, fails := d.next()
	if does {
		if err := f(); err != nil {
			return err
		}
	}
	if fails {
		return ErrCut
	}
	return nil
}

// Prepare implements [durable.Disk].
func (d *Cut) Prepare(path string, mode os.FileMode, write func(io.Writer) error) (temp string, err error) {
	does, fails := d.next()
	if !does {
		return "", ErrCut
	}
	if fails { // half of it is there, and nobody knows its name
		var text bytes.Buffer
		if err := write(&text); err != nil {
			return "", err
		}
		_, err := durable.Prepare(path, mode, func(w io.Writer) error {
			_, err := w.Write(text.Bytes()[:text.Len()/2])
			return err
		})
		return "", errors.Join(ErrCut, err)
	}
	return durable.Prepare(path, mode, write)
}

// SyncFile implements [durable.Disk].
func (d *Cut) SyncFile(string) error { return d.do(func() error { return nil }) }

// Rename implements [durable.Disk].
func (d *Cut) Rename(temp, path string) error {
	return d.do(func() error { return os.Rename(temp, path) })
}

// SyncFolder implements [durable.Disk].
func (d *Cut) SyncFolder(string) error { return d.do(func() error { return nil }) }

// Remove implements [durable.Disk].
func (d *Cut) Remove(path string) error { return d.do(func() error { return os.Remove(path) }) }
