//go:build linux

// Package v4l2 drives cameras that the Linux kernel has a driver for: USB cameras
// (UVC), and others whose driver gives pictures in one plane and lets the interval
// between them be set, by Video4Linux2 streaming into buffers of the kernel.
// Drivers of a board's own camera interface seldom do both.
//
// A frame of format [MJPEG] holds the bytes that the camera sent, up to the end of
// the picture; what the kernel gives behind that, as padding of the buffer, is
// counted in the frame. A frame of a raw format is compressed here, once, and its media type says so:
// "image/jpeg;source=yuyv". What is set of a camera is read back and compared; a
// camera that does otherwise gives no frames.
//
// # Time of exposure
//
// The kernel stamps each frame. Only stamps of CLOCK_MONOTONIC are accepted. From
// a stamp the configured latency is subtracted: the time from the start of
// exposure to the event that the driver stamps, as measured at the installation
// with a clock in the picture. A driver that says that it stamps the end of the
// frame needs one, else its frames are refused with [ErrStamp]. One that says
// that it stamps the start of exposure may have one: the driver of USB cameras
// says so, and stamps the arrival of the first packet.
//
// A frame that waits in the kernel while Next is not called keeps its stamp; when
// no buffer is free the kernel drops frames, which shows as a gap in the numbers.
//
// # Cameras that come and go
//
// A camera that is not there, is unplugged or falls silent is an error of
// [Camera.Next], which opens the device anew when it is called again. Numbers go
// on from one opening to the next.
//
// A camera that the kernel only simulates (vivid, vimc, v4l2loopback, and USB
// gadgets on a controller of software) gives frames that are marked by
// [capture.Info].Test.
//
// A Camera has one user at a time, but for Info.
package v4l2

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ciglio/capture"
	"ciglio/sensor"
)

const (
	// MaxLatency is the largest latency that can be configured.
	MaxLatency = 2 * time.Second

	silence = 5 * time.Second // without a frame, the camera is gone
	backOff = time.Second     // from a failure to the next opening
	buffers = 4               // asked of the kernel
)

// The errors of [Camera.Next], wrapped with what happened. Next may be called
// again and then opens the device anew.
var (
	ErrOpen    = errors.New("no camera")                        // not there, in use, or no camera
	ErrSetting = errors.New("camera does not take its setting") // size, format or interval
	ErrLost    = errors.New("camera lost")                      // unplugged, or failed
	ErrSilent  = errors.New("camera gives no frames")           // for 5 s
	ErrStamp   = errors.New("camera's time stamp is no use")    // of another clock or event
)

// Options says which camera it is and how it is set. Path, Format, size and
// Interval are needed.
type Options struct {
	// Path of the device, such as "/dev/video0"; best a link of /dev/v4l/by-id.
	Path string
	// Model and Serial are what the records say. An empty Model is "camera".
	Model, Serial string
	Format        Format
	// Width and Height of the pictures, 16 to [capture.MaxDimension].
	Width, Height int
	// Interval from one frame to the next, 5 ms to 1 s. The camera must do it to
	// one in a hundred.
	Interval time.Duration
	// Latency from the start of exposure to the kernel's stamp, 0 to [MaxLatency].
	Latency time.Duration
	// Log is told which camera gives frames, once for each opening; nil for nobody.
	Log *slog.Logger
}

// A Camera is a camera with a driver in the kernel, a [capture.Camera].
type Camera struct {
	options Options
	clock   sensor.Clock
	open    func(path string) (node, error)
	layouts []layout // to try

	simulated atomic.Bool
	stream    *stream     // nil while the device is closed
	failed    bool        // the last attempt or stream did
	retryAt   sensor.Mono // not before then, when failed
	next      uint64      // number of the next frame, when none is lost
	data      []byte      // of the frame last returned
}

var _ capture.Camera = (*Camera)(nil)

// New checks the options and returns the camera. The device is opened by the
// first Next.
func New(clock sensor.Clock, o Options) (*Camera, error) {
	switch {
	case o.Path == "":
		return nil, errors.New("camera: no device")
	case o.Format.code() == 0:
		return nil, fmt.Errorf("camera format %q: want one of %v", o.Format, Formats())
	case min(o.Width, o.Height) < 16 || max(o.Width, o.Height) > capture.MaxDimension || o.Width%2 != 0:
		return nil, fmt.Errorf("camera picture of %dx%d: want 16 to %d each way, and an even width", o.Width, o.Height, capture.MaxDimension)
	case o.Interval < 5*time.Millisecond || o.Interval > time.Second:
		return nil, fmt.Errorf("camera interval %v: want 5ms to 1s", o.Interval)
	case o.Latency < 0 || o.Latency > MaxLatency:
		return nil, fmt.Errorf("camera latency %v: want 0 to %v", o.Latency, MaxLatency)
	}
	if o.Model == "" {
		o.Model = "camera"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Camera{options: o, clock: clock, open: openNode, layouts: layouts()}, nil
}

// Info implements [capture.Camera]. Test is false until the device was opened,
// and true from the first frame of a simulated camera on, also after another was
// plugged in.
func (c *Camera) Info() capture.Info {
	return capture.Info{Model: c.options.Model, Serial: c.options.Serial, Test: c.simulated.Load()}
}

// Next implements [capture.Camera]. It opens the device when it is closed, and
// waits for a second before that when the last attempt failed. The wait ends with
// ctx.
func (c *Camera) Next(ctx context.Context) (capture.Frame, error) {
	if err := ctx.Err(); err != nil {
		return capture.Frame{}, err
	}
	if c.stream == nil {
		if err := c.wait(ctx); err != nil {
			return capture.Frame{}, err
		}
		s, err := c.start()
		if err != nil {
			c.fail()
			return capture.Frame{}, fmt.Errorf("%s: %w", c.options.Path, err)
		}
		c.stream = s
	}
	f, err := c.frame(ctx)
	switch {
	case err == nil && !c.stream.told:
		c.failed, c.stream.told = false, true
		c.tell(c.stream)
	case err == nil:
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		c.fail()
		err = fmt.Errorf("%s: %w", c.options.Path, err)
	}
	return f, err
}

// Close closes the device.
func (c *Camera) Close() error {
	c.drop()
	return nil
}

// wait waits until the next attempt to open the device is due.
func (c *Camera) wait(ctx context.Context) error {
	pause := c.retryAt.Sub(c.clock.Now())
	if !c.failed || pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (c *Camera) fail() {
	c.drop()
	c.failed, c.retryAt = true, c.clock.Now().Add(backOff)
}

// drop gives the device up. What it says to that is of no use: it may have gone.
func (c *Camera) drop() {
	if c.stream != nil {
		c.stream.stop()
		c.stream = nil
	}
}

// frame takes the next frame of the stream.
func (c *Camera) frame(ctx context.Context) (capture.Frame, error) {
	s := c.stream
	b, err := s.dequeue(ctx)
	if err != nil {
		return capture.Frame{}, err
	}
	damaged := b.flags&flagError != 0
	at, err := c.exposed(b)
	if err != nil && !damaged { // not every driver stamps what it gives up
		return capture.Frame{}, err
	}
	f := capture.Frame{Number: c.number(b.sequence), At: at, MediaType: c.options.Format.mediaType(), Damaged: damaged}
	if damaged {
		f.Flaw = "flagged by the camera's driver"
	}
	raw := s.memory[b.index]
	if int64(b.used) > int64(len(raw)) {
		return capture.Frame{}, fmt.Errorf("%w: %d bytes in a buffer of %d", ErrLost, b.used, len(raw))
	}
	raw = raw[:b.used]
	if s.compressor == nil {
		c.data = append(c.data[:0], raw...)
		f.Data = c.data
	} else if need := s.compressor.need(); len(raw) < need {
		f.Damaged, f.Flaw = true, cmp.Or(f.Flaw, fmt.Sprintf("%d bytes of a raw picture of %d", len(raw), need))
	} else if !f.Damaged {
		s.compressor.take(raw)
	}
	// The kernel has its buffer back before the picture is looked at.
	if err := s.queue(b.index); err != nil {
		return capture.Frame{}, err
	}
	switch {
	case s.compressor == nil:
		// What is no picture is the ring's to refuse, by its own words.
		if _, _, length, err := capture.InspectJPEG(f.Data); err == nil {
			f.Data, f.Cut = f.Data[:length], len(f.Data)-length
		}
	case !f.Damaged:
		if f.Data, err = s.compressor.compress(); err != nil {
			return capture.Frame{}, err
		}
	}
	return f, nil
}

// number continues the numbers of the frames with the kernel's, which begin anew
// with each opening and may be those of 2^32 frames later.
func (c *Camera) number(sequence uint32) uint64 {
	s := c.stream
	ahead := sequence - s.expected // in a stream without losses 0
	if int32(ahead) < 0 {          // a driver that does not count
		ahead = 0
	}
	s.expected = sequence + 1
	n := c.next + uint64(ahead)
	c.next = n + 1
	return n
}

// exposed returns when the exposure of a frame began.
func (c *Camera) exposed(b buffer) (sensor.Mono, error) {
	at := sensor.Mono(b.stamp).Add(-c.options.Latency)
	source := b.flags & flagSourceMask
	switch {
	case b.flags&flagStampMask != flagStampMono:
		return 0, fmt.Errorf("not of the monotonic clock (flags %#x): %w", b.flags, ErrStamp)
	case source != flagSourceEnd && source != flagSourceExposed:
		return 0, fmt.Errorf("neither start of exposure nor end of frame (flags %#x): %w", b.flags, ErrStamp)
	case source == flagSourceEnd && c.options.Latency == 0:
		return 0, fmt.Errorf("it is of the end of the frame, and the latency from the start of exposure is not configured: %w", ErrStamp)
	case at <= 0:
		return 0, fmt.Errorf("exposure before the system's start: %w", ErrStamp)
	case at > c.clock.Now():
		return 0, fmt.Errorf("exposure in the future: %w", ErrStamp)
	}
	return at, nil
}

// A stream is an open device that takes pictures.
type stream struct {
	node       node
	layout     layout
	arg        []byte   // struct v4l2_buffer
	memory     [][]byte // of the buffers, by index
	streaming  bool
	who        capability
	told       bool        // the log was
	expected   uint32      // the kernel's number of the next frame
	compressor *compressor // nil for MJPEG
}

// start opens the device, sets it and lets it take pictures.
func (c *Camera) start() (s *stream, err error) {
	n, err := c.open(c.options.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, missing(err))
	}
	s = &stream{node: n}
	defer func() {
		if err != nil {
			s.stop()
			s = nil
		}
	}()
	who, err := s.identify()
	if err != nil {
		return s, err
	}
	picture, err := c.set(s)
	if err != nil {
		return s, err
	}
	if c.options.Format.Raw() {
		s.compressor = newCompressor(c.options.Format, c.options.Width, c.options.Height, int(picture.stride))
	}
	if err := s.allocate(c.layouts, picture); err != nil {
		return s, err
	}
	if err := s.run(); err != nil {
		return s, err
	}
	if s.who = who; simulated(who) {
		c.simulated.Store(true)
	}
	return s, nil
}

// tell logs which camera gives frames.
func (c *Camera) tell(s *stream) {
	o := c.options
	o.Log.Info("camera gives pictures", "path", o.Path, "card", s.who.card, "driver", s.who.driver, "bus", s.who.bus,
		"format", string(o.Format), "width", o.Width, "height", o.Height, "interval", o.Interval, "simulated", simulated(s.who))
}

// identify asks the device what it is.
func (s *stream) identify() (capability, error) {
	b := make([]byte, sizeCapability)
	if err := s.node.control(reqQueryCap, b); err != nil {
		if err == unix.ENOTTY || err == unix.EINVAL || err == unix.ENOSYS { // the last one in an emulator
			err = errors.New("not a video device")
		}
		return capability{}, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	who := readCapability(b)
	switch {
	case who.caps&capCapture == 0 && who.caps&capPlanes != 0:
		return who, fmt.Errorf("%w: %q gives pictures in several planes, which is not understood here", ErrOpen, who.card)
	case who.caps&capCapture == 0 || who.caps&capStreaming == 0:
		return who, fmt.Errorf("%w: %q streams no pictures: a camera may have several devices", ErrOpen, who.card)
	}
	return who, nil
}

// simulated reports whether a device is one of software.
func simulated(who capability) bool {
	switch who.driver {
	case "vivid", "vimc", "v4l2 loopback", "akvcam":
		return true
	}
	return strings.HasPrefix(who.bus, "usb-dummy_hcd") || strings.HasPrefix(who.bus, "usb-vhci_hcd")
}

// set sets format and interval, and reads both back.
func (c *Camera) set(s *stream) (picture, error) {
	o := c.options
	want := picture{width: uint32(o.Width), height: uint32(o.Height), code: o.Format.code(), field: fieldNone}
	// Of all layouts of this machine struct v4l2_format is the same.
	l := c.layouts[0]
	b := make([]byte, l.format)
	l.putFormat(b, want)
	if err := s.node.control(l.reqSetFormat(), b); err != nil {
		if err == unix.EBUSY {
			return picture{}, fmt.Errorf("%w: in use by another program", ErrOpen)
		}
		return picture{}, fmt.Errorf("%w: %s of %dx%d: %w", ErrSetting, o.Format, o.Width, o.Height, err)
	}
	got := l.readFormat(b)
	switch {
	case got.code != want.code || got.width != want.width || got.height != want.height:
		return got, fmt.Errorf("%w: %s of %dx%d, it gives %s of %dx%d", ErrSetting, o.Format, o.Width, o.Height, fourCC(got.code), got.width, got.height)
	case got.field != fieldNone:
		return got, fmt.Errorf("%w: whole pictures, it gives fields (%d)", ErrSetting, got.field)
	case o.Format.Raw() && got.stride == 0:
		got.stride = uint32(o.Format.line(o.Width))
	case o.Format.Raw() && (int(got.stride) < o.Format.line(o.Width) || got.stride > 1<<16):
		return got, fmt.Errorf("%w: lines of %d pixels in %d bytes", ErrSetting, o.Width, got.stride)
	}
	return got, c.setInterval(s)
}

func (c *Camera) setInterval(s *stream) error {
	want := c.options.Interval
	b := make([]byte, sizeParm)
	putInterval(b, uint32(want/time.Microsecond), 1e6)
	err := s.node.control(reqSetParm, b)
	if err == nil {
		putInterval(b, 0, 0)
		err = s.node.control(reqGetParm, b)
	}
	if err != nil {
		return fmt.Errorf("%w: interval: %w", ErrSetting, err)
	}
	numerator, denominator, ok := readInterval(b)
	if !ok || denominator == 0 {
		return fmt.Errorf("%w: it has no interval that can be set", ErrSetting)
	}
	got := time.Duration(float64(numerator) / float64(denominator) * 1e9)
	if (got - want).Abs() > want/100 {
		return fmt.Errorf("%w: interval %v, it gives %v", ErrSetting, want, got)
	}
	return nil
}

// fourCC spells a code of a format in quotes.
func fourCC(code uint32) string { return strconv.Quote(spell(code)) }

// spell spells a code of a format.
func spell(code uint32) string {
	return string(bytes.TrimSpace([]byte{byte(code), byte(code >> 8), byte(code >> 16), byte(code >> 24)}))
}

// allocate has the kernel make buffers and maps them. It finds out which of the
// layouts the kernel knows.
func (s *stream) allocate(all []layout, p picture) error {
	b := make([]byte, sizeRequest)
	putRequest(b, buffers)
	if err := s.node.control(reqBuffers, b); err != nil {
		if err == unix.EBUSY {
			err = errors.New("in use by another program")
		}
		return fmt.Errorf("%w: buffers: %w", ErrOpen, err)
	}
	count := get32(b, 0)
	if count < 2 || count > 32 {
		return fmt.Errorf("%w: %d buffers, want %d", ErrOpen, count, buffers)
	}
	for index := range count {
		var got buffer
		var err error
		for _, l := range all {
			s.layout, s.arg = l, make([]byte, l.buffer)
			l.putBuffer(s.arg, index)
			if err = s.node.control(l.reqQueryBuffer(), s.arg); err != unix.ENOTTY {
				got = l.readBuffer(s.arg)
				all = []layout{l}
				break
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("%w: buffer %d: %w", ErrOpen, index, err)
		case got.length == 0 || got.length > 256<<20 || s.compressor != nil && int64(got.length) < int64(s.compressor.need()):
			return fmt.Errorf("%w: buffer of %d bytes for pictures of %d", ErrOpen, got.length, p.size)
		}
		m, err := s.node.mmap(got.offset, int(got.length))
		if err != nil {
			return fmt.Errorf("%w: buffer %d: %w", ErrOpen, index, err)
		}
		s.memory = append(s.memory, m)
	}
	return nil
}

// run gives all buffers to the kernel and starts the camera.
func (s *stream) run() error {
	for index := range s.memory {
		if err := s.queue(uint32(index)); err != nil {
			return err
		}
	}
	b := make([]byte, sizeInt)
	put32(b, 0, typeCapture)
	if err := s.node.control(reqStreamOn, b); err != nil {
		return fmt.Errorf("%w: start: %w", ErrLost, err)
	}
	s.streaming = true
	return nil
}

func (s *stream) queue(index uint32) error {
	s.layout.putBuffer(s.arg, index)
	if err := s.node.control(s.layout.reqQueue(), s.arg); err != nil {
		return lost(err)
	}
	return nil
}

// dequeue waits for a buffer that is full.
func (s *stream) dequeue(ctx context.Context) (buffer, error) {
	s.layout.putBuffer(s.arg, 0)
	err := s.node.await(ctx, s.layout.reqDequeue(), s.arg, silence)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		return buffer{}, fmt.Errorf("%w: none for %v", ErrSilent, silence)
	case err != nil && ctx.Err() != nil:
		return buffer{}, ctx.Err()
	case err != nil:
		return buffer{}, lost(err)
	}
	b := s.layout.readBuffer(s.arg)
	if int64(b.index) >= int64(len(s.memory)) {
		return b, fmt.Errorf("%w: buffer %d of %d", ErrLost, b.index, len(s.memory))
	}
	return b, nil
}

func lost(err error) error {
	if err == unix.ENODEV {
		return fmt.Errorf("%w: unplugged", ErrLost)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// stop ends the stream and gives everything back. Errors are those of a device
// that has gone.
func (s *stream) stop() {
	if s.streaming {
		b := make([]byte, sizeInt)
		put32(b, 0, typeCapture)
		s.node.control(reqStreamOff, b)
	}
	for _, m := range s.memory {
		s.node.munmap(m)
	}
	s.node.close()
}

// missing says which cameras there are, when the one asked for is not there.
func missing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	here, _ := filepath.Glob("/dev/video*") // the pattern is good
	if len(here) == 0 {
		return fmt.Errorf("%w; this machine has none", err)
	}
	return fmt.Errorf("%w; this machine has %s", err, strings.Join(here, ", "))
}
