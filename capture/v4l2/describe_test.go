//go:build linux

package v4l2

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A toldNode answers a description's questions of a device that it holds open.
type toldNode struct {
	*fakeNode
	modes   []Mode
	endless bool // never says that a format or size was the last
}

func (n toldNode) control(request uint32, arg []byte) error {
	var formats []string
	for _, m := range n.modes {
		if !slices.Contains(formats, m.Code) {
			formats = append(formats, m.Code)
		}
	}
	index := int(get32(arg, 0))
	switch request {
	case reqEnumFormats:
		if get32(arg, 4) != typeCapture || !n.endless && index >= len(formats) {
			return unix.EINVAL
		}
		copy(arg[44:48], formats[index%len(formats)])
		return nil
	case reqEnumSizes:
		var of []Mode
		for _, m := range n.modes {
			if m.Code == string(arg[4:8]) {
				of = append(of, m)
			}
		}
		if !n.endless && index >= len(of) || of[0].Width == 0 {
			return unix.EINVAL
		}
		m := of[index%len(of)]
		if m.Range { // stepwise: least and most and step of each
			for i, v := range []int{3, 16, m.Width, 2, 16, m.Height, 2} {
				put32(arg, 8+4*i, uint32(v))
			}
			return nil
		}
		for i, v := range []int{sizeDiscrete, m.Width, m.Height} {
			put32(arg, 8+4*i, uint32(v))
		}
		return nil
	}
	return n.fakeNode.control(request, arg)
}

func TestDescribesWhatACameraHas(t *testing.T) {
	modes := []Mode{{"MJPG", 1920, 1080, false}, {"MJPG", 1280, 720, false}, {"YUYV", 2592, 1944, true}, {"UYVY", 0, 0, false}}
	d := newDevice(t, layout64)
	got, err := describe("/dev/video0", func(path string) (node, error) {
		n, err := d.open(path)
		return toldNode{fakeNode: n.(*fakeNode), modes: modes}, err
	})
	if err != nil || got.Card != "HD Camera" || got.Driver != "uvcvideo" || !got.Streams || got.Simulated || !slices.Equal(got.Modes, modes) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		f             Format
		width, height int
		want          bool
	}{
		{MJPEG, 1280, 720, true}, {MJPEG, 1024, 768, false}, {YUYV, 640, 480, true}, {YUYV, 4096, 480, false}, {GREY, 640, 480, false}, {UYVY, 640, 480, true},
	} {
		if got.Has(c.f, c.width, c.height) != c.want {
			t.Errorf("%s of %dx%d: %t", c.f, c.width, c.height, !c.want)
		}
	}
	if !(Description{Streams: true}).Has(MJPEG, 1280, 720) {
		t.Error("a device that names no modes says no")
	}
}

func TestDescriptionsEnd(t *testing.T) {
	d := newDevice(t, layout64)
	d.driver = "vivid"
	got, err := describe("/dev/video0", func(path string) (node, error) {
		n, err := d.open(path)
		return toldNode{fakeNode: n.(*fakeNode), modes: []Mode{{"MJPG", 640, 480, false}}, endless: true}, err
	})
	if err != nil || len(got.Modes) != mostFormats*mostSizes || !got.Simulated {
		t.Errorf("%d modes, %v", len(got.Modes), err)
	}
}

func TestDescribesWhatIsNoCamera(t *testing.T) {
	d := newDevice(t, layout64)
	d.caps = 0x00a00000 // metadata
	if got, err := describe("/dev/video1", d.open); err != nil || got.Streams || len(got.Modes) != 0 {
		t.Errorf("metadata: %+v, %v", got, err)
	}
	d.fails[reqQueryCap] = unix.ENOTTY
	if got, err := describe("/dev/null", d.open); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("no video device: %+v, %v", got, err)
	}
	if _, err := Describe("/dev/null"); err == nil {
		t.Error("/dev/null is a camera")
	}
	if _, err := Describe("/dev/video-none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
}
