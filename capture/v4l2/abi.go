//go:build linux

package v4l2

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strconv"
	"time"
)

// A layout is what differs from one architecture to the next in the structs of
// <linux/videodev2.h>: where their fields lie, in bytes from the start. The
// structs are written and read field by field, since Go lays out 64-bit fields
// otherwise than the C of 32-bit ARM does.
type layout struct {
	format int // size of struct v4l2_format
	pix    int // and in it: of struct v4l2_pix_format

	buffer   int // size of struct v4l2_buffer, and in it:
	seconds  int // timestamp.tv_sec
	micros   int // timestamp.tv_usec
	width    int // bytes of each of the two
	sequence int
	memory   int
	offset   int // m.offset
	length   int
}

// The layouts. Where pointers have 32 bits there are two of struct v4l2_buffer,
// whose ioctls differ by its size: with seconds of 64 bits, which kernels know
// from 5.6 on, and with seconds of 32 bits, which kernels may be built without.
var (
	layout64     = layout{208, 8, 88, 24, 32, 8, 56, 60, 64, 72} // amd64, arm64
	layoutARM    = layout{204, 4, 80, 24, 32, 8, 56, 60, 64, 68}
	layout386    = layout{204, 4, 76, 20, 28, 8, 52, 56, 60, 64}
	layoutTime32 = layout{204, 4, 68, 20, 24, 4, 44, 48, 52, 56}
)

// layouts returns those to try on this machine, the best first.
func layouts() []layout {
	switch {
	case strconv.IntSize == 64:
		return []layout{layout64}
	case runtime.GOARCH == "386":
		return []layout{layout386, layoutTime32}
	}
	return []layout{layoutARM, layoutTime32}
}

// Sizes of the structs that are the same everywhere.
const (
	sizeCapability = 104
	sizeParm       = 204
	sizeRequest    = 20
	sizeInt        = 4
)

// ioctl request numbers (asm-generic/ioctl.h): two bits of direction, 14 of the
// size of the argument, the letter of the subsystem and a number.
const (
	ioWrite = 1 << 30
	ioRead  = 2 << 30
	ioVideo = 'V' << 8

	reqQueryCap  = ioRead | sizeCapability<<16 | ioVideo // number 0
	reqBuffers   = ioRead | ioWrite | sizeRequest<<16 | ioVideo | 8
	reqStreamOn  = ioWrite | sizeInt<<16 | ioVideo | 18
	reqStreamOff = ioWrite | sizeInt<<16 | ioVideo | 19
	reqGetParm   = ioRead | ioWrite | sizeParm<<16 | ioVideo | 21
	reqSetParm   = ioRead | ioWrite | sizeParm<<16 | ioVideo | 22
)

func (l layout) reqSetFormat() uint32   { return ioRead | ioWrite | uint32(l.format)<<16 | ioVideo | 5 }
func (l layout) reqQueryBuffer() uint32 { return ioRead | ioWrite | uint32(l.buffer)<<16 | ioVideo | 9 }
func (l layout) reqQueue() uint32       { return ioRead | ioWrite | uint32(l.buffer)<<16 | ioVideo | 15 }
func (l layout) reqDequeue() uint32     { return ioRead | ioWrite | uint32(l.buffer)<<16 | ioVideo | 17 }

// Values of <linux/videodev2.h>.
const (
	typeCapture = 1 // V4L2_BUF_TYPE_VIDEO_CAPTURE
	memoryMMAP  = 1
	fieldNone   = 1 // whole pictures, not interlaced

	capCapture    = 0x1        // V4L2_CAP_VIDEO_CAPTURE
	capPlanes     = 0x1000     // V4L2_CAP_VIDEO_CAPTURE_MPLANE
	capStreaming  = 0x04000000 // V4L2_CAP_STREAMING
	capDeviceCaps = 0x80000000 // device_caps is filled in
	capInterval   = 0x1000     // V4L2_CAP_TIMEPERFRAME

	flagError         = 0x40
	flagStampMask     = 0xe000
	flagStampMono     = 0x2000
	flagSourceMask    = 0x70000
	flagSourceEnd     = 0
	flagSourceExposed = 0x10000 // V4L2_BUF_FLAG_TSTAMP_SRC_SOE
)

func get32(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }

func put32(b []byte, at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }

// text is a field of chars that ends at its first zero.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// A capability is struct v4l2_capability.
type capability struct {
	driver, card, bus string
	caps              uint32 // of this device node
}

func readCapability(b []byte) capability {
	c := capability{text(b[:16]), text(b[16:48]), text(b[48:80]), get32(b, 84)}
	if c.caps&capDeviceCaps != 0 {
		c.caps = get32(b, 88)
	}
	return c
}

// A picture is what matters of struct v4l2_pix_format.
type picture struct {
	width, height uint32
	code          uint32 // V4L2_PIX_FMT_
	field         uint32
	stride        uint32 // bytes from one line to the next; of raw formats only
	size          uint32 // of the largest picture, in bytes
}

func (l layout) putFormat(b []byte, p picture) {
	clear(b)
	put32(b, 0, typeCapture)
	for i, v := range []uint32{p.width, p.height, p.code, p.field, p.stride, p.size} {
		put32(b, l.pix+4*i, v)
	}
}

func (l layout) readFormat(b []byte) picture {
	at := func(i int) uint32 { return get32(b, l.pix+4*i) }
	return picture{at(0), at(1), at(2), at(3), at(4), at(5)}
}

// putInterval writes struct v4l2_streamparm with the time from one frame to the
// next as a fraction of a second.
func putInterval(b []byte, numerator, denominator uint32) {
	clear(b)
	put32(b, 0, typeCapture)
	put32(b, 12, numerator)
	put32(b, 16, denominator)
}

// readInterval returns what putInterval wrote, and whether the device can set it.
func readInterval(b []byte) (numerator, denominator uint32, ok bool) {
	return get32(b, 12), get32(b, 16), get32(b, 4)&capInterval != 0
}

// putRequest writes struct v4l2_requestbuffers.
func putRequest(b []byte, count uint32) {
	clear(b)
	put32(b, 0, count)
	put32(b, 4, typeCapture)
	put32(b, 8, memoryMMAP)
}

// A buffer is what matters of struct v4l2_buffer.
type buffer struct {
	index, used, flags uint32
	stamp              time.Duration // of the clock that flags names
	sequence           uint32
	offset, length     uint32 // where mmap finds it
}

func (l layout) putBuffer(b []byte, index uint32) {
	clear(b)
	put32(b, 0, index)
	put32(b, 4, typeCapture)
	put32(b, l.memory, memoryMMAP)
}

func (l layout) readBuffer(b []byte) buffer {
	number := func(at int) int64 {
		if l.width == 4 {
			return int64(int32(get32(b, at)))
		}
		return int64(binary.NativeEndian.Uint64(b[at:]))
	}
	return buffer{
		index: get32(b, 0), used: get32(b, 8), flags: get32(b, 12),
		stamp:    time.Duration(number(l.seconds))*time.Second + time.Duration(number(l.micros))*time.Microsecond,
		sequence: get32(b, l.sequence), offset: get32(b, l.offset), length: get32(b, l.length),
	}
}
