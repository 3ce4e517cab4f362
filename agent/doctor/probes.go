package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/capture/v4l2"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/sensor/port"
)

// kernelProbes ask the kernel of this machine.
type kernelProbes struct{}

var _ Probes = kernelProbes{}

func (kernelProbes) Chip(name string, offsets []int) (port.Chip, error) {
	return port.Describe(name, offsets)
}

func (kernelProbes) Line(name string) (chip string, offset int, err error) {
	return port.FindLine(name)
}

func (kernelProbes) Clock() (sensor.ClockState, error) { return new(clock.System).State() }

func (kernelProbes) Space(dir string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Space{}, err
	}
	unit := uint64(s.Bsize)
	return Space{Free: s.Bavail * unit, Size: s.Blocks * unit, FreeInodes: s.Ffree, Inodes: s.Files}, nil
}

const (
	flushBlock  = 4 << 10
	flushBlocks = 8
	flushCount  = 64
	flushLeast  = 8 // fewer tell nothing
	flushBudget = 4 * time.Second
)

var errFlush = errors.New("too slow to be measured")

// Flush overwrites the blocks of a new file in turn, each with a flush. The file
// has its place on the disk before, so that what is timed is one write and one
// flush, and no change of the file system's own.
func (kernelProbes) Flush(ctx context.Context, dir string) (f Flush, err error) {
	file, err := os.CreateTemp(dir, ".ciglio-doctor-*")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	block := make([]byte, flushBlocks*flushBlock)
	rand.Read(block) // a disk that compresses gains nothing
	if _, err := file.Write(block); err != nil {
		return f, err
	}
	if err := file.Sync(); err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, flushBudget)
	defer cancel()
	var took []time.Duration
	for i := range flushCount {
		rand.Read(block[:flushBlock])
		start := time.Now()
		if _, err := file.WriteAt(block[:flushBlock], int64(i%flushBlocks)*flushBlock); err != nil {
			return f, err
		}
		if err := fdatasync(file); err != nil {
			return f, err
		}
		took = append(took, time.Since(start))
		if ctx.Err() != nil {
			break
		}
	}
	if len(took) < flushLeast {
		return f, errFlush
	}
	slices.Sort(took)
	f = Flush{Count: len(took), Least: took[0], Median: took[len(took)/2], Most: took[len(took)-1]}
	if strconv.IntSize == 64 { // with less this program cannot say 2040 to the kernel
		far := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := os.Chtimes(file.Name(), far, far); err != nil {
			return f, err
		}
		info, err := file.Stat()
		if err != nil {
			return f, err
		}
		f.Ends = !info.ModTime().Equal(far)
	}
	return f, nil
}

func fdatasync(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sync error
	err = c.Control(func(fd uintptr) {
		for sync = unix.Fdatasync(int(fd)); sync == unix.EINTR; {
			sync = unix.Fdatasync(int(fd))
		}
	})
	return errors.Join(err, sync)
}

func (kernelProbes) Camera(path string) (v4l2.Description, error) { return v4l2.Describe(path) }
