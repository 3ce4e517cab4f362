// Package capture holds the contract of a camera and the ring of frames from
// which the shots of a violation are taken. It imports the root of sensor and no
// camera driver.
//
// The bytes of a [Frame] are the camera's own: what is sealed is what the camera
// gave, never a picture that was decoded and encoded again. Of a camera that gives
// raw pictures they are what its driver made of one, once, and the media type says
// so.
package capture

import (
	"context"
	"time"

	"ciglio/sensor"
)

// A Frame is one camera picture.
type Frame struct {
	Number    uint64        // the camera's own sequence number; a gap is a lost frame
	At        sensor.Mono   // start of exposure
	Exposure  time.Duration // 0 when the camera does not tell
	MediaType string        // "image/jpeg", or "image/jpeg;source=yuyv" and so on of a raw picture
	Damaged   bool          // the camera or its driver flagged an error; Flaw may say which
	Flaw      string        // in words; "" when there is nothing to say
	Data      []byte        // the camera's original bytes, or the JPEG of its raw picture
	// Cut is how many bytes the camera gave behind the end of the picture, which are
	// not in Data. They are no part of a JPEG picture, and no fault of the camera.
	Cut int
}

// Info says which camera took the frames.
type Info struct {
	Model  string
	Serial string
	// Test is true when the frames do not come from a camera on a road. Records
	// with such frames are sealed as kind test, never as a violation.
	Test bool
}

// Camera is a camera in operation.
type Camera interface {
	// Info is safe to call at any time. It is constant but for Test, which may
	// become true, never false again: before Next returns the first frame of a
	// camera that turned out to be a simulated one.
	Info() Info

	// Next blocks until the camera has taken a frame and returns it. The bytes
	// of the frame are only valid until the next call. It returns ctx.Err()
	// when ctx ends and io.EOF when a recording has ended; after any other
	// error Next may be called again. Only one goroutine may call Next at a
	// time.
	Next(ctx context.Context) (Frame, error)
}

// Odd counts what a camera sent beside pictures in order, since the program was
// started. All of it was passed over, and ended nothing.
type Odd struct {
	Types      uint64 // parts of another type, such as a text between pictures
	Empty      uint64 // parts without a picture
	Lengths    uint64 // lengths that are none, or contradict each other or the picture
	Boundaries uint64 // parts that began without a boundary
	Between    uint64 // times that something else stood between two parts
	Large      uint64 // pictures that were larger than allowed
}

// A Counting camera counts what it passes over. Odd is safe to call at any time.
type Counting interface {
	Odd() Odd
}

// A Shot is one frame taken out of the ring for a violation: an owned copy with
// the role it plays in the evidence.
type Shot struct {
	Role  string // "before", "photo" or "after"
	Frame Frame
	// Strobe is the kernel's time stamp of the camera's signal that it exposed this
	// frame; 0 where none is watched.
	Strobe sensor.Mono
}
