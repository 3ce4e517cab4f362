package evidence

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"ciglio/sensor"
)

// Kind says what a record is about. The numbers are part of the format.
type Kind uint8

// The kinds of profile 1.
const (
	KindViolation     Kind = 1
	KindHeartbeat     Kind = 2
	KindBoot          Kind = 3
	KindClockStep     Kind = 4
	KindCalibration   Kind = 5
	KindConfiguration Kind = 6
	KindKeyChange     Kind = 7
	KindEviction      Kind = 8
	KindTamper        Kind = 9
	KindOperator      Kind = 10
	KindShutdown      Kind = 11
	KindSelfTest      Kind = 12
	// KindTest has the measurement, frames and trace of a violation that was
	// made without a real camera or sensor. It never accuses anyone.
	KindTest Kind = 99
)

// Measured reports whether records of this kind carry a measurement, frames and
// a trace.
func (k Kind) Measured() bool { return k == KindViolation || k == KindTest }

// DeviceID names one device for its whole life. It is random.
type DeviceID [16]byte

// String returns the id in lower-case hexadecimal, as topics and certificates
// spell it.
func (d DeviceID) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the form of [DeviceID.String].
func (d DeviceID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ParseDeviceID reads the form of [DeviceID.String] and no other.
func ParseDeviceID(text string) (DeviceID, error) {
	var d DeviceID
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(d) || hex.EncodeToString(b) != text {
		return d, fmt.Errorf("device id %q: want 32 lower-case hexadecimal digits", text)
	}
	copy(d[:], b)
	return d, nil
}

// Hash is a SHA-256 value.
type Hash [32]byte

// ParseHash reads the form of [Hash.String] and no other.
func ParseHash(text string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != text {
		return h, fmt.Errorf("SHA-256 %.80q: want 64 lower-case hexadecimal digits", text)
	}
	copy(h[:], b)
	return h, nil
}

// String returns the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the form of [Hash.String].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// IsZero reports whether h is all zero, which stands for "none yet".
func (h Hash) IsZero() bool { return h == Hash{} }

// A Record is the content of one evidence record, profile 1. It is a plain
// value. Site, Calibration, Measurement, Frames, Trace and Body are present or
// absent as the kind demands: see [Record.Validate].
type Record struct {
	Kind   Kind
	Device DeviceID
	Epoch  uint64 // counts the device's evidence keys and stores, from 1
	Seq    uint64 // from 1 without gaps within an epoch
	Prev   Hash   // link of the previous record of the epoch; zero for the first
	Ack    Hash   // hash of the newest receipt; zero when there is none
	Boot   [16]byte
	Mono   sensor.Mono
	UTC    time.Time // microseconds; paired with Mono
	Clock  sensor.ClockState
	// Counter is the hardware counter; class 0 and value 0 when there is none.
	CounterClass, CounterValue uint64

	Site          *Site        // 13
	Measurement   *Measurement // 14
	Frames        []Frame      // 15
	Trace         *Trace       // 16
	Calibration   *Calibration // 17
	Configuration Statement    // 18
	Software      Software     // 19
	Key           KeyInfo      // 20
	Body          Body         // 21
}

// Site says where the device stands (field 13).
type Site struct {
	ID        string
	Road      string // as printed on the notice, such as "SP 14"
	Position  uint32 // metres from the start of the road
	Latitude  int32  // 1e-7 degrees, north positive
	Longitude int32  // 1e-7 degrees, east positive
	Heading   uint16 // degrees from north of the lane's direction of travel, 0 to 359
	Lane      uint8  // from 1; 0 when the site has one lane or the sensor does not tell
}

// Measurement is what was measured and what the law makes of it (field 14).
// Speeds are hundredths of km/h.
type Measurement struct {
	Speed       sensor.Speed // as measured by the primary sensor
	Indicated   sensor.Speed // Speed truncated to whole km/h
	Reduction   sensor.Speed // the legal tolerance
	Assessed    sensor.Speed // Indicated less Reduction
	Limit       sensor.Speed
	Rule        string // id of the rule in the dated table
	Direction   sensor.Direction
	Class       uint8         // vehicle class the limit was taken for; 0 when one limit serves all
	Uncertainty sensor.Speed  // standard uncertainty, k = 1
	Budget      sensor.Budget // its parts
	Second      *Second       // nil when the site has no second sensor
	Targets     uint16        // other vehicles in the beam
	Flags       uint32        // reserved: 0 in profile 1
	Start, End  sensor.Mono   // of the track
	Photo       sensor.Mono   // when the vehicle was at the photo position
}

// The methods of a second speed.
const (
	MethodContacts     uint8 = 1
	MethodDisplacement uint8 = 2 // between two frames
)

// Second is the confirming speed of a second sensor.
type Second struct {
	Method uint8
	Speed  sensor.Speed
	// Tolerance is the difference up to which the two were taken to agree.
	Tolerance sensor.Speed
	Contacts  *Contacts // what the speed follows from; nil of any other method
}

// Contacts is what contacts in the lane saw of the vehicle. Their speed follows
// from it: see [Contacts.Speed].
type Contacts struct {
	// Positions are the calibrated distances of two or three contacts from the
	// sensor along the road, in millimetres, the nearest first.
	Positions []int32
	// Marks are the instants of 2 to 16 marks of the vehicle at each contact, in
	// the order of Positions: of its axles, or of front and rear of its body. They
	// are the stamps that the kernel gave the edges.
	Marks [][]sensor.Mono
}

// longestCrossing is how long a mark may take from the first contact to the last.
const longestCrossing = time.Minute

var errCrossing = fmt.Errorf("what crossed the contacts took more than %v", longestCrossing)

// Speed returns the way from the first contact to the last over the mean time
// that the marks took, rounded down to 0.01 km/h, and which way they went. It is
// an error when they did not all go one way from contact to contact, or a mark
// took more than a minute. The contacts must be of a valid record.
func (c *Contacts) Speed() (sensor.Speed, sensor.Direction, error) {
	last := len(c.Positions) - 1
	direction := sensor.Receding
	if c.Marks[0][0] > c.Marks[last][0] {
		direction = sensor.Approaching
	}
	var sum time.Duration
	for m := range c.Marks[0] {
		for i := range last {
			from, to := c.Marks[i][m], c.Marks[i+1][m]
			if direction == sensor.Approaching {
				from, to = to, from
			}
			if from >= to {
				return 0, 0, errors.New("what crossed the contacts did not go one way")
			}
		}
		took := c.Marks[last][m].Sub(c.Marks[0][m]).Abs()
		if took > longestCrossing {
			return 0, 0, errCrossing
		}
		sum += took
	}
	way := int64(c.Positions[last]) - int64(c.Positions[0])
	return sensor.Speed(min(way*int64(len(c.Marks[0]))*360e6/int64(sum), math.MaxInt32)), direction, nil
}

// Frame names one picture by the hash of its exact bytes (field 15).
type Frame struct {
	Role      string // "before", "photo" or "after"
	MediaType string // "image/jpeg", or the same with a source: see Source
	SHA256    Hash
	Length    uint32
	Number    uint64 // the camera's sequence number
	Mono      sensor.Mono
	Exposure  time.Duration // whole microseconds
	// Cut is how many bytes the camera gave behind the end of the picture. They are
	// no part of it, and neither kept nor hashed. 0 for none.
	Cut uint32
	// Strobe is the kernel's time stamp of the camera's signal that it exposes: of the
	// strobe's return. 0 where none is watched.
	Strobe sensor.Mono
}

// Source returns the layout of the raw picture that the device has compressed:
// "yuyv", "uyvy" or "grey". It is empty when the bytes are the camera's own.
func (f Frame) Source() string {
	_, source, _ := strings.Cut(f.MediaType, ";source=")
	return source
}

// Trace names the raw sensor data of the passage (field 16).
type Trace struct {
	SHA256      Hash
	Length      uint32
	Format      string // media type
	Model       string // of the sensor
	Serial      string
	Settings    Hash // SHA-256 of the settings as read back
	Samples     uint64
	First, Last sensor.Mono
}

// Statement names a signed or sealed text by its hash (field 18).
type Statement struct {
	ID      string
	Version uint64
	SHA256  Hash
}

// Calibration names the calibration certificate in force and the approvals
// (field 17).
type Calibration struct {
	Statement
	NotAfter time.Time // whole seconds
	Approval string    // type approval, as printed on the notice
	Decree   string    // the prefect's decree for the road, as printed
}

// Software says what program made the record (field 19).
type Software struct {
	Version string
	Core    Hash // core_id of the measuring core
	Binary  Hash // SHA-256 of the running executable
}

// KeyInfo says what holds the evidence key (field 20).
type KeyInfo struct {
	Certificate Hash   // SHA-256 of the key's certificate, DER
	Class       string // "file", "tpm2" or "se"
}

// Body is the content of a record that is not a violation (field 21). Which
// keys a kind has is fixed by the format; values are uint64, int64, string or
// []byte.
type Body map[uint64]any
