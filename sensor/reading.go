package sensor

import (
	"context"
	"io"
	"time"
)

// A Flag says something about a [Reading] that its numbers do not.
type Flag uint8

// The flags of a reading.
const (
	FlagRange     Flag = 1 << iota // Range holds a value
	FlagAngle                      // Angle holds a value
	FlagClipped                    // the signal exceeded the range of the converter
	FlagSimulated                  // the sensor says that no real vehicle is behind it
	FlagFinal                      // the sensor's own verdict on a vehicle that has passed
)

// A Reading is what a sensor said of one target at one instant.
type Reading struct {
	At        Mono
	Speed     Speed // along the line of sight, before any correction for an angle
	Direction Direction
	Range     int32 // millimetres from the sensor, with FlagRange
	Angle     int32 // hundredths of a degree from the beam's middle, positive to the right, with FlagAngle
	Level     int16 // tenths of a decibel, by the sensor's own scale
	Target    int   // the sensor's own number of the target, from 1; 0 when it has none
	Flags     Flag
	Raw       []byte // the bytes it came from; valid until the next call of Next
}

// Has reports whether every flag of f is set.
func (r *Reading) Has(f Flag) bool { return r.Flags&f == f }

// A Cycle is all that a sensor reported of one instant. One without readings
// says that the sensor works and sees nothing.
type Cycle struct {
	At       Mono
	Own      time.Duration // the instant by the sensor's own clock, which begins anywhere; 0 where it tells none
	Readings []Reading     // valid until the next call of Next
	Lost     bool          // reports before this one are missing: a check sum or a sequence failed, a line was cut
	Anew     bool          // the sensor has started anew since the cycle before: no vehicle's readings go across
}

// Feed is a sensor that reports readings, one cycle at a time. Package track
// makes a [Source] of it.
type Feed interface {
	// Identity returns what the sensor said of itself when it was set up. It is
	// constant for the life of the Feed and safe to call at any time.
	Identity() Identity

	// Next blocks until the sensor has reported the next cycle. It returns
	// ctx.Err() when ctx ends, and io.EOF when a recording has ended. Garbage on
	// the wire is skipped, counted and shown by [Cycle.Lost], never an error. A
	// sensor that starts anew has lost its settings: an error in operation, and in
	// a recording, which goes on, shown by [Cycle.Anew].
	// After an error the Feed is broken: close its connection and set the sensor
	// up anew. Only one goroutine may call Next at a time.
	Next(ctx context.Context) (Cycle, error)
}

// Conn is the connection of a driver to its sensor: a serial port, a
// pseudo-terminal, a pipe. Reads return what has come, at least one byte; a
// deadline ends them with an error that wraps [os.ErrDeadlineExceeded].
type Conn interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// LineErrors counts what went wrong on a serial line since the kernel's driver
// was loaded. The counters wrap; only what they grew by says something.
type LineErrors struct {
	Frame   uint32 // bytes without their stop bit
	Parity  uint32 // bytes of the wrong parity
	Overrun uint32 // times that bytes were lost, in the chip or in the kernel
	Break   uint32 // times that the line was held low
}

// A Tally says what came from a sensor and what became of it. A frame is what the
// sensor's protocol makes one: a message, a line, a block of samples, a list.
type Tally struct {
	Used     int64 `json:"used"`     // frames that became readings or samples
	Clipped  int64 `json:"clipped"`  // those among them whose input was overdriven
	Unused   int64 `json:"unused"`   // good frames that measure nothing: answers, heartbeats, another's
	Broken   int64 `json:"broken"`   // frames that fail their check, or whose form is not the protocol's
	Repeated int64 `json:"repeated"` // frames that came before
	Missing  int64 `json:"missing"`  // frames that a sequence shows to be missing, and halves without the other
	Bytes    int64 `json:"bytes"`    // bytes that are part of no frame
}

// Plus returns the sum of two tallies.
func (t Tally) Plus(u Tally) Tally {
	return Tally{
		Used: t.Used + u.Used, Clipped: t.Clipped + u.Clipped, Unused: t.Unused + u.Unused, Broken: t.Broken + u.Broken,
		Repeated: t.Repeated + u.Repeated, Missing: t.Missing + u.Missing, Bytes: t.Bytes + u.Bytes,
	}
}

// Tallied is a [Feed], a stream of samples or a [Source] that says what became of
// what came, since it was made. Tally is safe for concurrent use.
type Tallied interface{ Tally() Tally }
