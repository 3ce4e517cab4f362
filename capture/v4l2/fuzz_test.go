//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/capture"
)

// FuzzKernelAnswers lets a driver answer anything: a frame is what the contract
// says or there is none, and nothing is left behind.
func FuzzKernelAnswers(f *testing.F) {
	f.Add([]byte{}, uint8(0), false)
	f.Add(bytes.Repeat([]byte{1}, 900), uint8(1), true)
	f.Add(bytes.Repeat([]byte{0xff}, 900), uint8(2), true)
	f.Fuzz(func(t *testing.T, answers []byte, which uint8, raw bool) {
		l := []layout{layout64, layoutARM, layout386, layoutTime32}[which%4]
		d := newDevice(t, l)
		d.hostile = true
		o := plainOptions()
		if raw {
			o.Format = YUYV
		}
		c := newCamera(t, d, o)
		d.frames <- shot{data: jpegOf(t, 1), stamp: time.Second, flags: monoExposed}
		open := c.open
		c.open = func(path string) (node, error) {
			n, err := open(path)
			return &hostileNode{n.(*fakeNode), &answers}, err
		}
		frame, err := c.Next(t.Context())
		if err != nil {
			return
		}
		if !frame.Damaged && (frame.At > c.clock.Now() || frame.At <= 0) {
			t.Errorf("at %v", time.Duration(frame.At))
		}
		if _, _, length, err := capture.InspectJPEG(frame.Data); err == nil && length != len(frame.Data) {
			t.Errorf("%d bytes of a picture of %d", len(frame.Data), length)
		}
	})
}

// A hostileNode spoils what the kernel fills in.
type hostileNode struct {
	*fakeNode
	answers *[]byte
}

func (n *hostileNode) spoil(arg []byte) {
	for i := range arg {
		if len(*n.answers) == 0 {
			return
		}
		arg[i] ^= (*n.answers)[0]
		*n.answers = (*n.answers)[1:]
	}
}

func (n *hostileNode) control(request uint32, arg []byte) error {
	err := n.fakeNode.control(request, arg)
	if request != reqStreamOn && request != reqStreamOff && request != n.layout.reqQueue() {
		n.spoil(arg)
	}
	return err
}

func (n *hostileNode) await(ctx context.Context, request uint32, arg []byte, within time.Duration) error {
	err := n.fakeNode.await(ctx, request, arg, within)
	n.spoil(arg)
	return err
}

func (n *hostileNode) mmap(offset uint32, length int) ([]byte, error) {
	if int(offset>>12) >= len(n.memory) || length > len(n.memory[offset>>12]) {
		return nil, unix.EINVAL
	}
	return n.fakeNode.mmap(offset, length)
}
