//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// The sizes and offsets are those that gcc 12 gives for <linux/videodev2.h> of
// Linux 6.1 on each architecture, with 64-bit and with 32-bit seconds.
func TestLayoutsAreTheKernels(t *testing.T) {
	for name, row := range map[string]struct {
		got, want layout
		dequeue   uint32
	}{
		"amd64, arm64":     {layout64, layout{format: 208, pix: 8, buffer: 88, seconds: 24, micros: 32, width: 8, sequence: 56, memory: 60, offset: 64, length: 72}, 0xc0585611},
		"arm, _TIME_BITS":  {layoutARM, layout{format: 204, pix: 4, buffer: 80, seconds: 24, micros: 32, width: 8, sequence: 56, memory: 60, offset: 64, length: 68}, 0xc0505611},
		"386, _TIME_BITS":  {layout386, layout{format: 204, pix: 4, buffer: 76, seconds: 20, micros: 28, width: 8, sequence: 52, memory: 56, offset: 60, length: 64}, 0xc04c5611},
		"arm, 386, 32 bit": {layoutTime32, layout{format: 204, pix: 4, buffer: 68, seconds: 20, micros: 24, width: 4, sequence: 44, memory: 48, offset: 52, length: 56}, 0xc0445611},
	} {
		if row.got != row.want || row.got.reqDequeue() != row.dequeue {
			t.Errorf("%s: %+v, %#x; want %+v, %#x", name, row.got, row.got.reqDequeue(), row.want, row.dequeue)
		}
	}
	for name, row := range map[string][2]uint32{
		"VIDIOC_QUERYCAP":        {reqQueryCap, 0x80685600},
		"VIDIOC_S_FMT, 64":       {layout64.reqSetFormat(), 0xc0d05605},
		"VIDIOC_S_FMT, 32":       {layoutARM.reqSetFormat(), 0xc0cc5605},
		"VIDIOC_ENUM_FMT":        {reqEnumFormats, 0xc0405602},
		"VIDIOC_ENUM_FRAMESIZES": {reqEnumSizes, 0xc02c564a},
		"VIDIOC_REQBUFS":         {reqBuffers, 0xc0145608},
		"VIDIOC_QUERYBUF, 64":    {layout64.reqQueryBuffer(), 0xc0585609},
		"VIDIOC_QBUF, arm":       {layoutARM.reqQueue(), 0xc050560f},
		"VIDIOC_STREAMON":        {reqStreamOn, 0x40045612},
		"VIDIOC_STREAMOFF":       {reqStreamOff, 0x40045613},
		"VIDIOC_G_PARM":          {reqGetParm, 0xc0cc5615},
		"VIDIOC_S_PARM":          {reqSetParm, 0xc0cc5616},
		"V4L2_PIX_FMT_YUYV":      {YUYV.code(), 0x56595559},
		"V4L2_PIX_FMT_UYVY":      {UYVY.code(), 0x59565955},
		"V4L2_PIX_FMT_GREY":      {GREY.code(), 0x59455247},
		"V4L2_PIX_FMT_MJPEG":     {MJPEG.code(), 0x47504a4d},
	} {
		if row[0] != row[1] {
			t.Errorf("%s is %#x, want %#x", name, row[0], row[1])
		}
	}
	want := map[string][]layout{"386": {layout386, layoutTime32}, "arm": {layoutARM, layoutTime32}, "amd64": {layout64}, "arm64": {layout64}}[runtime.GOARCH]
	if !slices.Equal(layouts(), want) {
		t.Errorf("on %s: %v", runtime.GOARCH, layouts())
	}
}

// each runs a test with every layout, also those of other machines.
func each(t *testing.T, f func(t *testing.T, l layout)) {
	all := map[string]layout{"64": layout64, "arm": layoutARM, "386": layout386, "time32": layoutTime32}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, all[name]) }) })
	}
}

// base is the instant at which the tests' clock begins.
const base = sensor.Mono(100 * time.Second)

// plainOptions are of a small MJPEG camera.
func plainOptions() Options {
	return Options{Path: "/dev/video0", Model: "X-1", Serial: "7", Format: MJPEG, Width: 64, Height: 48, Interval: 40 * time.Millisecond}
}

func newCamera(t testing.TB, d *device, o Options) *Camera {
	t.Helper()
	c, err := New(simulate.NewClock(base), o)
	if err != nil {
		t.Fatal(err)
	}
	c.open, c.layouts = d.open, []layout{d.layout}
	t.Cleanup(func() { c.Close() })
	return c
}

const (
	monoEnd     = flagStampMono | flagSourceEnd
	monoExposed = flagStampMono | flagSourceExposed
)

// jpegOf returns a small JPEG with its number in it, so that each differs.
func jpegOf(t testing.TB, number int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range m.Pix {
		m.Pix[i] = byte(i*7 + number*31)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func next(t testing.TB, c *Camera) capture.Frame {
	t.Helper()
	f, err := c.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestJPEGsKeepTheirBytes(t *testing.T) {
	each(t, func(t *testing.T, l layout) {
		d := newDevice(t, l)
		c := newCamera(t, d, plainOptions())
		padded := append(jpegOf(t, 4), 0, 0, 0) // the padding is cut and counted
		for i, data := range [][]byte{jpegOf(t, 0), jpegOf(t, 1), jpegOf(t, 2), jpegOf(t, 3), padded, jpegOf(t, 5), jpegOf(t, 6)} {
			d.frames <- shot{data: data, stamp: 99*time.Second + time.Duration(i)*1234*time.Microsecond, sequence: uint32(i), flags: monoExposed}
			f := next(t, c)
			if !bytes.Equal(append(bytes.Clone(f.Data), make([]byte, f.Cut)...), data) || (f.Cut > 0) != (i == 4) || f.MediaType != "image/jpeg" || f.Damaged || f.Number != uint64(i) ||
				f.At != sensor.Mono(99*time.Second+time.Duration(i)*1234*time.Microsecond) {
				t.Errorf("frame %d: number %d at %v, %s, damaged %t", i, f.Number, time.Duration(f.At), f.MediaType, f.Damaged)
			}
		}
		if i := c.Info(); i != (capture.Info{Model: "X-1", Serial: "7"}) {
			t.Errorf("info = %+v", i)
		}
		if d.opened != 1 {
			t.Errorf("opened %d times", d.opened)
		}
	})
}

func TestLatencyIsSubtracted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		o := plainOptions()
		o.Latency = 35 * time.Millisecond
		c := newCamera(t, d, o)
		for _, flags := range []uint32{monoEnd, monoExposed} {
			d.frames <- shot{data: jpegOf(t, 1), stamp: 99 * time.Second, flags: flags}
			if f := next(t, c); f.At != sensor.Mono(98965*time.Millisecond) {
				t.Errorf("flags %#x: at %v", flags, time.Duration(f.At))
			}
		}
	})
}

func TestStampsThatAreNoUse(t *testing.T) {
	for _, row := range []struct {
		name  string
		stamp time.Duration
		flags uint32
		say   string
	}{
		{"clock unknown", 99 * time.Second, 0, "not of the monotonic clock"},
		{"copied from elsewhere", 99 * time.Second, 0x4000 | flagSourceExposed, "not of the monotonic clock"},
		{"of the end, with no latency", 99 * time.Second, monoEnd, "latency"},
		{"of another event", 99 * time.Second, flagStampMono | 0x20000, "neither"},
		{"not stamped at all", 0, monoExposed, "before the system's start"},
		{"of the future", 101 * time.Second, monoExposed, "future"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDevice(t, layout64)
				c := newCamera(t, d, plainOptions())
				d.frames <- shot{data: jpegOf(t, 1), stamp: row.stamp, flags: row.flags}
				_, err := c.Next(t.Context())
				if !errors.Is(err, ErrStamp) || !strings.Contains(err.Error(), row.say) {
					t.Errorf("error %v, want %v with %q", err, ErrStamp, row.say)
				}
			})
		})
	}
}

func TestFlawsShow(t *testing.T) {
	whole := jpegOf(t, 1)
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		c := newCamera(t, d, plainOptions())
		for i, row := range []struct {
			name    string
			s       shot
			damaged bool
		}{
			{"flagged by the driver", shot{data: whole, flags: monoExposed | flagError}, true},
			{"flagged and not stamped", shot{flags: monoExposed | flagError}, true},
			{"cut, which the ring sees", shot{data: whole[:len(whole)-2], flags: monoExposed}, false},
			{"empty, likewise", shot{flags: monoExposed}, false},
			{"whole", shot{data: whole, flags: monoExposed}, false},
		} {
			row.s.sequence = uint32(i)
			if !strings.Contains(row.name, "not stamped") {
				row.s.stamp = time.Second
			}
			d.frames <- row.s
			if f := next(t, c); f.Damaged != row.damaged || f.Number != uint64(i) {
				t.Errorf("%s: frame %d damaged %t", row.name, f.Number, f.Damaged)
			}
		}
	})
}

func TestGapsAreKept(t *testing.T) {
	for _, row := range []struct {
		name            string
		sequences, want []uint64
	}{
		{"none", []uint64{0, 1, 2}, []uint64{0, 1, 2}},
		{"lost", []uint64{0, 3, 4, 9}, []uint64{0, 3, 4, 9}},
		{"lost at the start", []uint64{5, 6}, []uint64{5, 6}},
		{"a driver that does not count", []uint64{0, 0, 0}, []uint64{0, 1, 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDevice(t, layout64)
				c := newCamera(t, d, plainOptions())
				for i, s := range row.sequences {
					d.frames <- shot{data: jpegOf(t, 1), sequence: uint32(s), stamp: time.Second, flags: monoExposed}
					if f := next(t, c); f.Number != row.want[i] {
						t.Errorf("sequence %d: number %d, want %d", s, f.Number, row.want[i])
					}
				}
			})
		})
	}
	t.Run("2^32 frames", func(t *testing.T) {
		c := &Camera{stream: &stream{expected: 1<<32 - 1}, next: 1<<32 - 1}
		for i, s := range []uint32{1<<32 - 1, 0, 2} {
			if n := c.number(s); n != []uint64{1<<32 - 1, 1 << 32, 1<<32 + 2}[i] {
				t.Errorf("sequence %d: number %d", s, n)
			}
		}
	})
}

// scene is a raw picture of one format with the values that it holds.
func scene(f Format, width, height, stride int) (raw []byte, luma, cb, cr func(x, y int) int) {
	luma = func(x, y int) int { return 40 + 2*x + y }
	cb = func(x, y int) int { return 90 + x/2 }
	cr = func(x, y int) int { return 170 - x/2 }
	raw = bytes.Repeat([]byte{0xee}, stride*height)
	for y := range height {
		for x := range width {
			switch chroma := cb(x, y); {
			case f == GREY:
				raw[y*stride+x] = byte(luma(x, y))
			case f == YUYV:
				raw[y*stride+2*x] = byte(luma(x, y))
				if x%2 == 1 {
					chroma = cr(x, y)
				}
				raw[y*stride+2*x+1] = byte(chroma)
			default:
				raw[y*stride+2*x+1] = byte(luma(x, y))
				if x%2 == 1 {
					chroma = cr(x, y)
				}
				raw[y*stride+2*x] = byte(chroma)
			}
		}
	}
	return raw, luma, cb, cr
}

func TestRawPicturesAreCompressedOnceAndSaySo(t *testing.T) {
	for _, format := range []Format{YUYV, UYVY, GREY} {
		for _, padding := range []int{0, 24} {
			t.Run(fmt.Sprintf("%s, %d bytes between lines", format, padding), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const width, height = 64, 48
					d := newDevice(t, layout64)
					o := plainOptions()
					o.Format = format
					stride := format.line(width) + padding
					d.stride = uint32(stride)
					c := newCamera(t, d, o)
					raw, luma, cb, cr := scene(format, width, height, stride)
					d.frames <- shot{data: raw, stamp: time.Second, flags: monoExposed}
					d.frames <- shot{data: raw[:len(raw)-padding-1], sequence: 1, stamp: 2 * time.Second, flags: monoExposed}
					f := next(t, c)
					if f.MediaType != "image/jpeg;source="+string(format) || f.Damaged {
						t.Fatalf("%s, damaged %t", f.MediaType, f.Damaged)
					}
					ring := capture.NewRing(2, 1<<16)
					if err := ring.Put(f); err != nil {
						t.Error(err)
					}
					m, err := jpeg.Decode(bytes.NewReader(f.Data))
					if err != nil {
						t.Fatal(err)
					}
					near := func(what string, x, y int, got byte, want int) {
						if d := int(got) - want; d < -4 || d > 4 {
							t.Errorf("%s at %d, %d is %d, want %d", what, x, y, got, want)
						}
					}
					for y := 1; y < height; y += 5 {
						for x := 1; x < width; x += 7 {
							if format == GREY {
								near("grey", x, y, m.(*image.Gray).GrayAt(x, y).Y, luma(x, y))
								continue
							}
							p := m.(*image.YCbCr).YCbCrAt(x, y)
							near("Y", x, y, p.Y, luma(x, y))
							near("Cb", x, y, p.Cb, cb(x, y))
							near("Cr", x, y, p.Cr, cr(x, y))
						}
					}
					if f := next(t, c); !f.Damaged || f.Data != nil {
						t.Errorf("a picture cut short: damaged %t, %d bytes", f.Damaged, len(f.Data))
					}
				})
			})
		}
	}
}

func TestSettingsAreReadBack(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*device)
		want  error
		say   string
	}{
		{"another size", func(d *device) { d.format = func(p picture) picture { p.width = 32; return p } }, ErrSetting, `it gives "MJPG" of 32x48`},
		{"another format", func(d *device) { d.format = func(p picture) picture { p.code = YUYV.code(); return p } }, ErrSetting, `it gives "YUYV"`},
		{"fields", func(d *device) { d.format = func(p picture) picture { p.field = 4; return p } }, ErrSetting, "fields"},
		{"another interval", func(d *device) { d.rate = func(_, _ uint32) (uint32, uint32) { return 1, 30 } }, ErrSetting, "interval 40ms, it gives 33.3"},
		{"no interval", func(d *device) { d.rate = func(_, _ uint32) (uint32, uint32) { return 1, 0 } }, ErrSetting, "no interval"},
		{"interval refused", func(d *device) { d.fails[reqSetParm] = unix.ENOTTY }, ErrSetting, "interval"},
		{"format refused", func(d *device) { d.fails[d.layout.reqSetFormat()] = unix.EINVAL }, ErrSetting, "mjpeg of 64x48"},
		{"in use", func(d *device) { d.fails[d.layout.reqSetFormat()] = unix.EBUSY }, ErrOpen, "in use by another program"},
		{"buffers in use", func(d *device) { d.fails[reqBuffers] = unix.EBUSY }, ErrOpen, "in use by another program"},
		{"one buffer", func(d *device) { d.count = 1 }, ErrOpen, "1 buffers"},
		{"no video device", func(d *device) { d.fails[reqQueryCap] = unix.ENOTTY }, ErrOpen, "not a video device"},
		{"not for pictures", func(d *device) { d.caps = capStreaming | 0x800000 }, ErrOpen, "streams no pictures"},
		{"in several planes", func(d *device) { d.caps = capStreaming | capPlanes }, ErrOpen, "several planes"},
		{"no memory", func(d *device) { d.fails[0] = unix.ENOMEM }, ErrOpen, "buffer 0"},
		{"does not start", func(d *device) { d.fails[reqStreamOn] = unix.ENOSPC }, ErrLost, "start"},
		{"queue refused", func(d *device) { d.fails[d.layout.reqQueue()] = unix.EINVAL }, ErrLost, "invalid"},
		{"not there", func(d *device) { d.absent = os.ErrNotExist }, ErrOpen, "this machine has"},
		{"not allowed", func(d *device) { d.absent = unix.EACCES }, ErrOpen, "permission denied"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDevice(t, layout64)
				c := newCamera(t, d, plainOptions())
				row.spoil(d)
				_, err := c.Next(t.Context())
				if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.say) || !strings.Contains(err.Error(), "/dev/video0") {
					t.Errorf("error %v, want %v with %q", err, row.want, row.say)
				}
				if d.holders != 0 {
					t.Error("still open")
				}
			})
		})
	}
	for name, spoil := range map[string]func(*device){
		"lines that overlap":     func(d *device) { d.stride = 100 },
		"buffers that are small": func(d *device) { d.size = 64*48*2 - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDevice(t, layout64)
				o := plainOptions()
				o.Format = YUYV
				spoil(d)
				if _, err := newCamera(t, d, o).Next(t.Context()); err == nil {
					t.Error("accepted")
				}
			})
		})
	}
}

func TestOlderKernelsAreUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layoutTime32)
		c := newCamera(t, d, plainOptions())
		c.layouts = []layout{layoutARM, layoutTime32}
		d.frames <- shot{data: jpegOf(t, 1), stamp: 98765432 * time.Microsecond, flags: monoExposed}
		if f := next(t, c); f.At != sensor.Mono(98765432*time.Microsecond) {
			t.Errorf("at %v", time.Duration(f.At))
		}
	})
}

func TestUnpluggedAndPluggedInAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		d.absent = os.ErrNotExist // at the start
		c := newCamera(t, d, plainOptions())
		began := c.clock.Now()
		for range 3 {
			if _, err := c.Next(t.Context()); !errors.Is(err, ErrOpen) {
				t.Fatalf("error %v, want %v", err, ErrOpen)
			}
		}
		if waited := c.clock.Now().Sub(began); waited != 2*backOff {
			t.Errorf("three attempts took %v, want %v", waited, 2*backOff)
		}
		d.plug()
		d.frames <- shot{data: jpegOf(t, 1), stamp: time.Second, flags: monoExposed}
		next(t, c)
		d.frames <- shot{data: jpegOf(t, 1), stamp: time.Second, flags: monoExposed, sequence: 1}
		next(t, c)
		time.AfterFunc(time.Second, d.unplug)
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "/dev/video0: camera lost: unplugged") {
			t.Errorf("error %v, want %v", err, ErrLost)
		}
		if d.holders != 0 {
			t.Error("the device that has gone is still open")
		}
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrOpen) {
			t.Errorf("error %v, want %v", err, ErrOpen)
		}
		d.plug()
		d.frames <- shot{data: jpegOf(t, 2), stamp: 3 * time.Second, flags: monoExposed}
		if f := next(t, c); f.Number != 2 || !bytes.Equal(f.Data, jpegOf(t, 2)) {
			t.Errorf("back with frame %d", f.Number)
		}
	})
}

func TestSilentCameraIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		c := newCamera(t, d, plainOptions())
		began := c.clock.Now()
		if _, err := c.Next(t.Context()); !errors.Is(err, ErrSilent) || c.clock.Now().Sub(began) != silence {
			t.Errorf("after %v: %v", c.clock.Now().Sub(began), err)
		}
	})
}

func TestWaitsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		c := newCamera(t, d, plainOptions())
		short := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		if _, err := c.Next(short()); err != context.DeadlineExceeded {
			t.Errorf("for a frame: %v", err)
		}
		// The stream goes on.
		d.frames <- shot{data: jpegOf(t, 1), stamp: time.Second, flags: monoExposed}
		if next(t, c); d.opened != 1 {
			t.Errorf("opened %d times", d.opened)
		}
		d.unplug()
		c.Next(t.Context())
		if _, err := c.Next(short()); err != context.DeadlineExceeded {
			t.Errorf("for the next attempt: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Next(ctx); err != context.Canceled {
			t.Errorf("before anything: %v", err)
		}
	})
}

func TestSimulatedCamerasAreMarked(t *testing.T) {
	for _, row := range []struct {
		driver, bus string
		test        bool
	}{
		{"uvcvideo", "usb-xhci-hcd.0-1", false},
		{"unicam", "platform:3f801000.csi", false},
		{"vivid", "platform:vivid-000", true},
		{"vimc", "platform:vimc.0", true},
		{"v4l2 loopback", "platform:v4l2loopback-000", true},
		{"uvcvideo", "usb-dummy_hcd.0-1", true},
		{"uvcvideo", "usb-vhci_hcd.0-1", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDevice(t, layout64)
			d.driver, d.bus = row.driver, row.bus
			c := newCamera(t, d, plainOptions())
			d.frames <- shot{data: jpegOf(t, 1), stamp: time.Second, flags: monoExposed}
			next(t, c)
			if c.Info().Test != row.test {
				t.Errorf("%s on %s: test %t", row.driver, row.bus, c.Info().Test)
			}
			// What was simulated once stays so: older frames may still be used.
			d.unplug()
			c.Next(t.Context())
			d.plug()
			d.driver, d.bus = "uvcvideo", "usb-1"
			d.frames <- shot{data: jpegOf(t, 1), stamp: time.Second, flags: monoExposed}
			next(t, c)
			if c.Info().Test != row.test {
				t.Errorf("%s on %s: test %t after another was plugged in", row.driver, row.bus, c.Info().Test)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no device":         func(o *Options) { o.Path = "" },
		"no format":         func(o *Options) { o.Format = "" },
		"unknown format":    func(o *Options) { o.Format = "rgb3" },
		"no size":           func(o *Options) { o.Width, o.Height = 0, 0 },
		"odd width":         func(o *Options) { o.Width = 641 },
		"huge":              func(o *Options) { o.Height = 8194 },
		"no interval":       func(o *Options) { o.Interval = 0 },
		"interval of hours": func(o *Options) { o.Interval = time.Hour },
		"negative latency":  func(o *Options) { o.Latency = -1 },
		"latency of hours":  func(o *Options) { o.Latency = time.Hour },
	} {
		o := plainOptions()
		spoil(&o)
		if _, err := New(simulate.NewClock(0), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, size := range [][2]int{{640, 480}, {1280, 720}} {
		b.Run(strconv.Itoa(size[0])+"x"+strconv.Itoa(size[1]), func(b *testing.B) {
			c := newCompressor(YUYV, size[0], size[1], 2*size[0])
			raw, _, _, _ := scene(YUYV, size[0], size[1], 2*size[0])
			b.ReportAllocs()
			for b.Loop() {
				c.take(raw)
				if _, err := c.compress(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What the kernel gives behind the picture is no part of it, and no fault.
func TestD13_BytesBehindThePictureAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		c := newCamera(t, d, plainOptions())
		for i, behind := range []string{"", "\x00\x00\x00", "junk!", "\xff\xd8\xff\xe0", "\xff\xd9"} {
			data := jpegOf(t, i)
			d.frames <- shot{data: append(bytes.Clone(data), behind...), stamp: time.Duration(i+1) * time.Second, sequence: uint32(i), flags: monoExposed}
			if f := next(t, c); !bytes.Equal(f.Data, data) || f.Cut != len(behind) || f.Damaged {
				t.Errorf("%q behind: %d bytes of %d, %d cut, damaged %t", behind, len(f.Data), len(data), f.Cut, f.Damaged)
			}
		}
	})
}

// The ring says what is wrong with a picture; only the driver's flag is the camera's.
func TestD15_WordsOfABadPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, layout64)
		c := newCamera(t, d, plainOptions())
		ring := capture.NewRing(2, 1<<16)
		whole := jpegOf(t, 1)
		tables := bytes.Index(whole, []byte{0xFF, 0xC4})
		size := 2 + int(whole[tables+2])<<8 + int(whole[tables+3])
		for i, row := range []struct {
			want  string
			data  []byte
			flags uint32
		}{
			{"without Huffman tables", append(bytes.Clone(whole[:tables]), whole[tables+size:]...), monoExposed},
			{"ends before the end of the picture", whole[:len(whole)-2], monoExposed},
			{"no start of image", nil, monoExposed},
			{"flagged by the camera's driver", whole, monoExposed | flagError},
		} {
			d.frames <- shot{data: row.data, stamp: time.Duration(i+1) * time.Second, sequence: uint32(i), flags: row.flags}
			if err := ring.Put(next(t, c)); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the ring says %v, want %q", err, row.want)
			}
		}
	})
}
