//go:build linux

package stick

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mode says what a stick is mounted for.
type mode int

const (
	readOnly mode = iota
	readWrite
)

// system is what the kernel does for us. Each call may hang.
type system interface {
	find(ctx context.Context, disk string) (device, kind string, err error)
	mount(device, dir, kind string, m mode) error
	unmount(dir string) error
	open(root *os.Root, name string) (fs.File, error) // to read; reading may hang too
	gone(device string) bool                          // does not hang
}

// kernel is the system of this machine.
type kernel struct{}

func (kernel) mount(device, dir, kind string, m mode) error {
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOATIME)
	data := "errors=remount-ro"
	if m == readOnly {
		flags |= syscall.MS_RDONLY
		if kind == "ext4" {
			data += ",noload" // the journal stays as it is, and the stick unwritten
		}
	}
	if err := syscall.Mount(device, dir, kind, flags, data); err != nil {
		switch {
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EROFS):
			return fmt.Errorf("%s for writing: the stick is read-only: %w", kind, err)
		case errors.Is(err, syscall.ENODEV):
			return fmt.Errorf("%s: this kernel has no driver for it: %w", kind, err)
		case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EUCLEAN), errors.Is(err, syscall.EBADMSG):
			return fmt.Errorf("%s: the file system is broken: %w", kind, err)
		}
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

func (kernel) unmount(dir string) error {
	const doNotFollowLinks = 8 // UMOUNT_NOFOLLOW
	err := syscall.Unmount(dir, syscall.MNT_DETACH|doNotFollowLinks)
	if err == syscall.EINVAL {
		return nil // nothing is mounted there, which is what was wanted
	}
	return err
}

// open does not wait for somebody to write to a pipe: what it is shows after.
func (kernel) open(root *os.Root, name string) (fs.File, error) {
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// gone reports whether the device is no more. Errors of a stick that is pulled
// out come a moment before the kernel has taken it out of its books.
func (kernel) gone(device string) bool {
	books := filepath.Join("/sys/class/block", filepath.Base(device))
	const moment, pause = 500 * time.Millisecond, 10 * time.Millisecond
	for end := time.Now().Add(moment); ; time.Sleep(pause) {
		if _, err := os.Stat(books); errors.Is(err, os.ErrNotExist) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// find looks at the partitions of a disk, which the kernel knows once the disk has
// been opened, and then at the disk as a whole: a table of partitions may lie over
// what is left of an older file system.
func (k kernel) find(ctx context.Context, disk string) (device, kind string, err error) {
	return findIn(disk, func(device string) ([]byte, error) { return readHead(ctx, device) },
		func() []string { return partitions("/sys", filepath.Base(disk)) })
}

func findIn(disk string, head func(device string) ([]byte, error), parts func() []string) (device, kind string, err error) {
	whole, err := head(disk)
	if err != nil {
		return disk, "", err
	}
	for _, device := range parts() {
		part, err := head(device)
		if err != nil {
			return device, "", err
		}
		if kind, err := identify(part); err == nil {
			return device, kind, nil
		}
	}
	kind, err = identify(whole)
	return disk, kind, err
}

// readHead returns the first 4 KiB of a device. A disk shows in the device
// folder a moment before it can be opened.
func readHead(ctx context.Context, device string) ([]byte, error) {
	const moment, pause = 2 * time.Second, 10 * time.Millisecond
	f, err := os.Open(device)
	for end := time.Now().Add(moment); errors.Is(err, syscall.ENXIO) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(pause)
		f, err = os.Open(device)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 4096)
	if _, err := io.ReadFull(f, head); err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	return head, nil // what a smaller disk does not have is zero
}

// identify tells a file system by its first 4 KiB: ext4 by the magic number of
// its superblock at 1080, as of ext2 and ext3, which the same driver reads;
// exFAT by the name at 3; FAT by the signature at 510, a jump at 0 and a sector of
// 512 to 4096 bytes.
func identify(head []byte) (string, error) {
	const superblock = 1024
	magic := binary.LittleEndian.Uint16(head[superblock+56:])
	sector := binary.LittleEndian.Uint16(head[11:])
	switch {
	case bytes.Equal(head[3:11], []byte("EXFAT   ")):
		return "exfat", nil
	case magic == 0xEF53:
		return "ext4", nil
	case bytes.Equal(head[3:11], []byte("NTFS    ")): // else it looks like FAT
	case head[510] == 0x55 && head[511] == 0xAA && (head[0] == 0xEB || head[0] == 0xE9) &&
		slices.Contains([]uint16{512, 1024, 2048, 4096}, sector):
		return "vfat", nil
	}
	return "", ErrFormat
}

// Disks returns the device of every USB stick that is plugged in, such as
// /dev/sda.
func Disks() ([]string, error) { return disks("/sys") }

func disks(sys string) ([]string, error) {
	all, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, d := range all {
		target, err := os.Readlink(filepath.Join(sys, "block", d.Name()))
		if err != nil || !strings.Contains(target, "/usb") {
			continue
		}
		// A card reader without a card is a disk of size 0.
		if size, err := os.ReadFile(filepath.Join(sys, "block", d.Name(), "size")); err == nil && strings.TrimSpace(string(size)) != "0" {
			found = append(found, "/dev/"+d.Name())
		}
	}
	return found, nil
}

// partitions returns the devices of a disk's partitions.
func partitions(sys, disk string) (found []string) {
	parts, _ := filepath.Glob(filepath.Join(sys, "block", disk, disk+"*", "partition"))
	for _, p := range parts {
		found = append(found, "/dev/"+filepath.Base(filepath.Dir(p)))
	}
	return found
}
