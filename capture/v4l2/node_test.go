//go:build linux

package v4l2

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/cross/simulate"
)

func TestWhatIsNoCamera(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, jpegOf(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, say := range map[string]string{plain: "not a video device", "/dev/null": "not a video device", dir: "is a directory", filepath.Join(dir, "none"): "no such file"} {
		o := plainOptions()
		o.Path = path
		c, err := New(simulate.NewClock(base), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v, want %q", path, err, say)
		}
		c.Close()
	}
}

// pipeNode is a node in the real poller whose ioctl reads from a pipe.
func pipeNode(t *testing.T) (n *kernelNode, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w = os.NewFile(uintptr(fds[1]), "writer")
	n = &kernelNode{fd: fds[0], path: "pipe", ioctl: func(fd int, _ uint32, arg []byte) error {
		_, err := unix.Read(fd, arg)
		return err
	}}
	t.Cleanup(func() { n.close(); w.Close() })
	return n, w
}

func TestPollerWaits(t *testing.T) {
	n, w := pipeNode(t)
	b := make([]byte, 1)
	if err := n.await(t.Context(), 0, b, time.Millisecond); err != os.ErrDeadlineExceeded {
		t.Errorf("nothing came: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if err := n.await(ctx, 0, b, time.Minute); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	time.AfterFunc(time.Millisecond, func() { w.Write([]byte{7}) })
	if err := n.await(t.Context(), 0, b, time.Minute); err != nil || b[0] != 7 {
		t.Errorf("what came is % x, %v", b, err)
	}
}
