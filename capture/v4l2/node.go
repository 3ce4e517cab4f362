//go:build linux

package v4l2

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A node is a device node at the border to the kernel. One goroutine uses it.
type node interface {
	// control makes an ioctl that does not wait. arg is the struct it takes and
	// fills in.
	control(request uint32, arg []byte) error

	// await makes an ioctl as soon as it need not wait. It returns ctx.Err() when
	// ctx ends before, and os.ErrDeadlineExceeded after the given time.
	await(ctx context.Context, request uint32, arg []byte, within time.Duration) error

	// mmap maps a buffer for reading, munmap gives it back.
	mmap(offset uint32, length int) ([]byte, error)
	munmap(b []byte) error

	close() error
}

// openNode opens the device at path.
func openNode(path string) (node, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	return &kernelNode{fd: fd, path: path, ioctl: ioctl}, nil
}

// retry calls f until no signal interrupts it.
func retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// A kernelNode is a node of the kernel's.
type kernelNode struct {
	fd    int
	path  string
	ioctl func(fd int, request uint32, arg []byte) error
	// file owns fd once await was called. Not before: a camera that does not
	// stream yet answers a poll with an error, which Go's poller would keep.
	file *os.File
	raw  syscall.RawConn
}

func ioctl(fd int, request uint32, arg []byte) error {
	_, err := retry(func() (struct{}, error) {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(unsafe.SliceData(arg))))
		if errno != 0 {
			return struct{}{}, errno
		}
		return struct{}{}, nil
	})
	return err
}

func (n *kernelNode) control(request uint32, arg []byte) error { return n.ioctl(n.fd, request, arg) }

func (n *kernelNode) await(ctx context.Context, request uint32, arg []byte, within time.Duration) error {
	if n.file == nil {
		n.file = os.NewFile(uintptr(n.fd), n.path)
		var err error
		if n.raw, err = n.file.SyscallConn(); err != nil {
			return err
		}
	}
	if err := n.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		n.file.SetReadDeadline(time.Unix(1, 0)) // it has worked a moment ago
		close(ended)
	})
	var inner error
	err := n.raw.Read(func(fd uintptr) bool {
		inner = n.ioctl(int(fd), request, arg)
		return inner != unix.EAGAIN
	})
	if !stop() {
		<-ended
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		}
	}
	switch {
	case err == nil:
		return inner
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	// The poller says that the device is in error. The device itself says in
	// which.
	if inner := n.ioctl(n.fd, request, arg); inner != unix.EAGAIN {
		return inner
	}
	return unix.EIO
}

func (n *kernelNode) mmap(offset uint32, length int) ([]byte, error) {
	return unix.Mmap(n.fd, int64(offset), length, unix.PROT_READ, unix.MAP_SHARED)
}

func (n *kernelNode) munmap(b []byte) error { return unix.Munmap(b) }

func (n *kernelNode) close() error {
	if n.file != nil {
		return n.file.Close()
	}
	return unix.Close(n.fd)
}
