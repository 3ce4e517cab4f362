//go:build linux

package stick

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Events says when it is worth looking for sticks anew: the kernel tells of each
// disk that comes and goes. It may lose such a message, so that [Events.Wait] ends
// after a while without one, too, and what is plugged in is always read from sysfs.
// Only one goroutine may use it.
type Events struct{ socket *os.File }

// ListenForEvents begins to listen. Events from then on are not missed.
func ListenForEvents() (*Events, error) {
	const kernelMessages, all = 15, 1 // NETLINK_KOBJECT_UEVENT, the kernel's own group
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, kernelMessages)
	if err != nil {
		return nil, os.NewSyscallError("kernel events: socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: all}); err != nil {
		return nil, errors.Join(os.NewSyscallError("kernel events: bind", err), syscall.Close(fd))
	}
	return &Events{os.NewFile(uintptr(fd), "kernel events")}, nil
}

// Close stops listening.
func (e *Events) Close() error { return e.socket.Close() }

// Wait returns when a disk has come or gone, after the given time, or when ctx ends.
func (e *Events) Wait(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { e.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			e.socket.SetReadDeadline(time.Time{})
		}
	}()
	message := make([]byte, 8<<10)
	for ctx.Err() == nil {
		n, err := e.socket.Read(message)
		switch {
		case errors.Is(err, syscall.ENOBUFS): // some were lost
			return
		case err != nil:
			<-ctx.Done()
			return
		case ofDisk(message[:n]):
			return
		}
	}
}

// ofDisk reports whether a message of the kernel is about a disk or partition.
func ofDisk(message []byte) bool {
	for field := range bytes.SplitSeq(message, []byte{0}) {
		if string(field) == "SUBSYSTEM=block" {
			return true
		}
	}
	return false
}

// Times tells one stick at a device from the next one: it rises whenever a disk is
// plugged in. It is empty on a kernel that does not count (before 5.15).
func Times(device string) string {
	b, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(device), "diskseq"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
