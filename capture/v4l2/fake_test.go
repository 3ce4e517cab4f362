//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A device is a camera and its driver as they look through ioctl. Requests are
// known by number and size, as by the kernel; unknown ones are ENOTTY.
type device struct {
	t       testing.TB
	absent  error // what opening gives
	driver  string
	bus     string
	caps    uint32
	layout  layout // of struct v4l2_buffer
	format  func(picture) picture
	stride  uint32
	size    uint32 // of a buffer
	rate    func(numerator, denominator uint32) (uint32, uint32)
	count   uint32 // of buffers
	fails   map[uint32]error
	frames  chan shot
	gone    chan struct{}
	opened  int
	holders int // that have not closed
	mapped  int // buffers that are
	running bool
	hostile bool // what is queued may be nonsense
}

// A shot is a frame as the driver gives it.
type shot struct {
	data     []byte
	used     int // 0 for the length of data
	stamp    time.Duration
	sequence uint32
	flags    uint32
}

func newDevice(t testing.TB, l layout) *device {
	d := &device{
		t: t, driver: "uvcvideo", bus: "usb-0000:00:14.0-1", caps: capCapture | capStreaming, layout: l,
		format: func(p picture) picture { return p }, size: 1 << 16, count: buffers,
		rate:   func(n, d uint32) (uint32, uint32) { return n, d },
		frames: make(chan shot, 64), gone: make(chan struct{}), fails: map[uint32]error{},
	}
	t.Cleanup(func() {
		if d.holders != 0 || d.mapped != 0 || d.running {
			t.Errorf("left behind: %d open, %d buffers mapped, running %t", d.holders, d.mapped, d.running)
		}
	})
	return d
}

func (d *device) open(string) (node, error) {
	if d.absent != nil {
		return nil, d.absent
	}
	d.opened++
	d.holders++
	return &fakeNode{device: d}, nil
}

// unplug takes the camera away, plug puts it back.
func (d *device) unplug() { d.absent = os.ErrNotExist; close(d.gone) }

func (d *device) plug() { d.gone, d.absent = make(chan struct{}), nil }

// A fakeNode is one opening of a device.
type fakeNode struct {
	*device
	queued       []uint32
	memory       [][]byte
	rate1, rate2 uint32
}

func (n *fakeNode) control(request uint32, arg []byte) error {
	if size := int(request >> 16 & 0x3fff); size != len(arg) {
		n.t.Errorf("request %#x of %d bytes with %d", request, size, len(arg))
	}
	select {
	case <-n.gone:
		return unix.ENODEV
	default:
	}
	if err := n.fails[request]; err != nil {
		return err
	}
	l := n.layout
	switch request {
	case reqQueryCap:
		copy(arg, n.driver)
		copy(arg[16:], "HD Camera")
		copy(arg[48:], n.bus)
		put32(arg, 84, n.caps|capDeviceCaps)
		put32(arg, 88, n.caps)
	case l.reqSetFormat():
		got := n.format(l.readFormat(arg))
		if got.stride == 0 {
			got.stride = n.stride
		}
		got.size = n.size
		l.putFormat(arg, got)
	case reqSetParm:
		num, den, _ := readInterval(arg)
		n.rate1, n.rate2 = n.rate(num, den)
	case reqGetParm:
		putInterval(arg, n.rate1, n.rate2)
		put32(arg, 4, capInterval)
	case reqBuffers:
		putRequest(arg, n.count)
		for range n.count {
			n.memory = append(n.memory, make([]byte, n.size))
		}
	case l.reqQueryBuffer():
		index := get32(arg, 0)
		put32(arg, l.offset, index<<12)
		put32(arg, l.length, n.size)
	case l.reqQueue():
		index := get32(arg, 0)
		if slices.Contains(n.queued, index) || int64(index) >= int64(len(n.memory)) {
			if !n.hostile {
				n.t.Errorf("buffer %d queued twice or none", index)
			}
			return unix.EINVAL
		}
		n.queued = append(n.queued, index)
		for i := range n.memory[index] { // it is the kernel's again
			n.memory[index][i] = 0xee
		}
	case reqStreamOn:
		n.running = true
	case reqStreamOff:
		n.running = false
	default:
		return unix.ENOTTY
	}
	return nil
}

func (n *fakeNode) await(ctx context.Context, request uint32, arg []byte, within time.Duration) error {
	l := n.layout
	if request != l.reqDequeue() || len(arg) != l.buffer {
		n.t.Errorf("waits for request %#x", request)
	}
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.gone:
		n.running = false
		return unix.ENODEV
	case <-late.C:
		return os.ErrDeadlineExceeded
	case s := <-n.frames:
		if len(n.queued) == 0 {
			n.t.Error("no buffer is queued")
			return unix.EIO
		}
		index := n.queued[0]
		n.queued = n.queued[1:]
		clear(n.memory[index])
		used := copy(n.memory[index], s.data)
		if s.used != 0 {
			used = s.used
		}
		l.putBuffer(arg, index)
		put32(arg, 8, uint32(used))
		put32(arg, 12, s.flags)
		sec, usec := s.stamp/time.Second, s.stamp%time.Second/time.Microsecond
		put32(arg, l.seconds, uint32(sec)) // little-endian: the low half
		put32(arg, l.micros, uint32(usec))
		put32(arg, l.sequence, s.sequence)
		return nil
	}
}

func (n *fakeNode) mmap(offset uint32, length int) ([]byte, error) {
	if err := n.fails[0]; err != nil {
		return nil, err
	}
	n.mapped++
	return n.memory[offset>>12][:length:length], nil
}

func (n *fakeNode) munmap(b []byte) error {
	if !slices.ContainsFunc(n.memory, func(m []byte) bool { return bytes.Equal(m, b) }) {
		n.t.Error("unmaps what was not mapped")
	}
	n.mapped--
	return nil
}

func (n *fakeNode) close() error {
	n.holders--
	return nil
}
