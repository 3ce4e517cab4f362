package isys4001

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ciglio/sensor/framing"

	"ciglio/sensor"
)

// Delimiters of frames.
const (
	sd1 = 0x10 // without data
	sd2 = 0x68 // with a length
	sd3 = 0xA2 // without a length: target lists in 32-bit form, which may be too long for one
	ed  = 0x16 // ends them all
)

// Function codes.
const (
	fcName     = 0xD0
	fcAcquire  = 0xD1
	fcRead     = 0xD2 // sensor settings
	fcWrite    = 0xD3
	fcReadOut  = 0xD4 // settings of an output
	fcWriteOut = 0xD5
	fcTargets  = 0xDA
	fcFailed   = 0xFD
)

const (
	// master is our address.
	master = 0x01
	// defaultAddress is the sensor's, unless it was set otherwise.
	defaultAddress = 0x80
	// MaxTargets is the most that a list can hold.
	MaxTargets = 35
	// clipping stands for the number of targets when the input was overdriven.
	clipping = 0xFF

	narrowTarget = 7  // bytes of a target in 16-bit form
	wideTarget   = 14 // and in 32-bit form
	// maxFrame is the longest frame: 35 targets in 32-bit form.
	maxFrame = 6 + MaxTargets*wideTarget + 2
)

// A Frame is one message.
type Frame struct {
	Delimiter byte
	To, From  byte // addresses
	Function  byte
	Data      []byte // within the bytes it was parsed from
}

// measure returns the length of the frame that begins with b, and how many bytes
// stand before the addresses; 0 when that needs more bytes, and an error when
// none begins here.
func measure(b []byte) (length, head int, err error) {
	switch b[0] {
	case sd1:
		return 6, 1, nil
	case sd2:
		if len(b) >= 3 && b[1] != b[2] || len(b) >= 2 && (b[1] < 3 || b[1] > 249+3) || len(b) >= 4 && b[3] != sd2 {
			return 0, 0, errors.New("the two lengths differ, or are none")
		}
		if len(b) < 4 {
			return 0, 0, nil
		}
		return int(b[1]) + 6, 4, nil
	case sd3:
		if len(b) >= 4 && b[3] != fcTargets || len(b) >= 6 && b[5] > MaxTargets && b[5] != clipping {
			return 0, 0, errors.New("no target list")
		}
		if len(b) < 6 {
			return 0, 0, nil
		}
		n := int(b[5])
		if b[5] == clipping {
			n = 0
		}
		return 6 + n*wideTarget + 2, 1, nil
	}
	return 0, 0, errors.New("no frame begins like this")
}

// sum is the check sum: the bytes from the address to the data, modulo 256.
func sum(b []byte) (s byte) {
	for _, c := range b {
		s += c
	}
	return s
}

// judge finds frames for package framing.
func judge(b []byte) (int, framing.Verdict) {
	n, head, err := measure(b)
	switch {
	case err != nil:
		return 1, framing.Skip
	case n == 0 || len(b) < n:
		return 0, framing.More
	case b[n-1] != ed || sum(b[head:n-2]) != b[n-2]:
		return 1, framing.Broken
	}
	return n, framing.Good
}

// ParseFrame reads one whole frame and verifies its delimiters, both lengths and
// the check sum.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) == 0 {
		return Frame{}, errors.New("isys4001: no bytes")
	}
	n, head, err := measure(b)
	switch {
	case err != nil:
		return Frame{}, fmt.Errorf("isys4001: %w", err)
	case n == 0 || n != len(b):
		return Frame{}, fmt.Errorf("isys4001: frame of %d bytes has %d", n, len(b))
	case b[n-1] != ed:
		return Frame{}, fmt.Errorf("isys4001: frame ends in %#02x, not %#02x", b[n-1], ed)
	case sum(b[head:n-2]) != b[n-2]:
		return Frame{}, fmt.Errorf("isys4001: check sum %#02x, want %#02x", b[n-2], sum(b[head:n-2]))
	}
	return Frame{Delimiter: b[0], To: b[head], From: b[head+1], Function: b[head+2], Data: b[head+3 : n-2]}, nil
}

// AppendFrame appends a frame with a length to dst. It panics when there is too
// much data for one.
func AppendFrame(dst []byte, to, from, function byte, data ...byte) []byte {
	if len(data) > 249 {
		panic("isys4001: too much data for a frame")
	}
	le := byte(len(data) + 3)
	dst = append(dst, sd2, le, le, sd2)
	body := len(dst)
	dst = append(append(dst, to, from, function), data...)
	return append(dst, sum(dst[body:]), ed)
}

// A Target is one target of a list.
type Target struct {
	Level    int16 // tenths of a decibel
	Velocity int32 // mm/s along the line of sight, positive approaching
	Range    int32 // mm
	Angle    int32 // hundredths of a degree
}

// A List is what the sensor saw in one cycle.
type List struct {
	Output  int  // whose settings filtered it, 1 to 3
	Clipped bool // the input was overdriven: no targets were measured
	Targets []Target
}

// ParseList reads the target list in a frame, and appends its targets to dst.
// The form follows from the delimiter: 32 bits without a length, 16 bits with
// one.
func ParseList(f Frame, dst []Target) (List, error) {
	if f.Function != fcTargets || len(f.Data) < 2 {
		return List{}, fmt.Errorf("isys4001: function %#02x with %d bytes is no target list", f.Function, len(f.Data))
	}
	l := List{Output: int(f.Data[0]), Targets: dst}
	n, data := int(f.Data[1]), f.Data[2:]
	if n == clipping {
		l.Clipped, n = true, 0
	}
	size, parse := narrowTarget, narrow
	if f.Delimiter == sd3 {
		size, parse = wideTarget, wide
	}
	if l.Output < 1 || l.Output > 3 || n > MaxTargets || len(data) != n*size {
		return List{}, fmt.Errorf("isys4001: list of output %d with %d targets in %d bytes", l.Output, n, len(data))
	}
	for k := range n {
		t := parse(data[k*size:])
		if t.Velocity > maxVelocity || t.Velocity < -maxVelocity {
			return List{}, fmt.Errorf("isys4001: target %d moves at %d mm/s, the sensor measures up to %d", k+1, t.Velocity, maxVelocity)
		}
		l.Targets = append(l.Targets, t)
	}
	return l, nil
}

// Step is the step of the sensor's speeds, 0.01 m/s, rounded up.
const Step sensor.Speed = 4

// maxVelocity is 250 km/h, the sensor's end, and a tenth more.
const maxVelocity = 76_400

// narrow reads a target in 16-bit form: dB, cm/s, cm, hundredths of a degree.
func narrow(b []byte) Target {
	return Target{
		Level:    int16(b[0]) * 10,
		Velocity: int32(int16(binary.BigEndian.Uint16(b[1:]))) * 10,
		Range:    int32(int16(binary.BigEndian.Uint16(b[3:]))) * 10,
		Angle:    int32(int16(binary.BigEndian.Uint16(b[5:]))),
	}
}

// wide reads a target in 32-bit form: hundredths of dB, mm/s, µm, hundredths of
// a degree.
func wide(b []byte) Target {
	return Target{
		Level:    int16(binary.BigEndian.Uint16(b)) / 10,
		Velocity: int32(binary.BigEndian.Uint32(b[2:])),
		Range:    int32(binary.BigEndian.Uint32(b[6:])) / 1000,
		Angle:    int32(binary.BigEndian.Uint32(b[10:])),
	}
}
