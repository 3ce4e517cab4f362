package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// MaxJSON is the largest JSON message, in bytes.
const MaxJSON = 16 << 10

// MaxReasons is how many reasons, alarms or discard codes a [Health] may list.
const MaxReasons = 64

// ErrJSON is what the errors of ParseState, ParseHealth and ParseProfile wrap.
var ErrJSON = errors.New("not a message of ciglio")

// BootID names one run of a device's kernel, as the boot field of a record. Its
// text form is 32 lower-case hexadecimal digits.
type BootID [16]byte

// String returns the text form.
func (b BootID) String() string { return hex.EncodeToString(b[:]) }

// MarshalText writes the text form.
func (b BootID) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads the text form and no other.
func (b *BootID) UnmarshalText(text []byte) error {
	d, err := evidence.ParseDeviceID(string(text))
	if err != nil {
		return fmt.Errorf("boot id %.40q: want 32 lower-case hexadecimal digits", text)
	}
	*b = BootID(d)
	return nil
}

// Device is a device id with the text form of topics.
type Device evidence.DeviceID

// MarshalText writes the form of [evidence.DeviceID.String].
func (d Device) MarshalText() ([]byte, error) { return []byte(evidence.DeviceID(d).String()), nil }

// UnmarshalText reads the form of [evidence.ParseDeviceID].
func (d *Device) UnmarshalText(text []byte) error {
	id, err := evidence.ParseDeviceID(string(text))
	*d = Device(id)
	return err
}

// Head is what State, Health and Profile have in common. None of them is
// signed: they inform, and prove nothing.
type Head struct {
	V      uint8     `json:"v"`      // 1
	Device Device    `json:"device"` // must be the topic's
	UTC    time.Time `json:"utc"`    // when it was written; in a last will, when its session began
}

// State says whether a device is connected. It is retained, and the last will
// of every session is the State with Online false.
//
// Within one boot a State with a lower Sequence than one already seen is stale,
// and of two with the same Sequence the one that is not online holds.
type State struct {
	Head
	Boot     BootID `json:"boot"`
	Sequence uint64 `json:"sequence"` // grows with each session of this boot, from 1
	Online   bool   `json:"online"`
	Reason   string `json:"reason,omitempty"` // why it is not online: ReasonShutdown or ReasonLost
}

// Why a device is not online.
const (
	ReasonShutdown = "shutdown" // the device ended the session itself
	ReasonLost     = "lost"     // the broker lost it: the last will
)

// Reason is a code for machines and its words for people.
type Reason struct {
	Code  string `json:"code"`
	Words string `json:"words"`
}

// Health is a device's report about itself, every minute and whenever Measuring,
// Reasons or Alarms change. Counters count since the program was started.
type Health struct {
	Head
	Boot      BootID        `json:"boot"`
	Sequence  uint64        `json:"sequence"` // grows with each report of this boot, from 1
	UptimeS   uint64        `json:"uptime_s"` // seconds since boot
	Software  string        `json:"software"` // version
	Measuring bool          `json:"measuring"`
	Reasons   []Reason      `json:"reasons"`  // why it does not measure, empty when it does
	Alarms    []Reason      `json:"alarms"`   // what needs a person, measuring or not
	Findings  []Reason      `json:"findings"` // what is wrong with its parts, each by its own code
	Counts    HealthCounts  `json:"counts"`
	Days      []HealthDay   `json:"days,omitempty"` // of the site, the newest first
	Sensing   HealthSensing `json:"sensing"`
	Clock     HealthClock   `json:"clock"`
	Outbox    HealthOutbox  `json:"outbox"`
	Uplink    HealthUplink  `json:"uplink"`
}

// HealthCounts is what happened on the road.
type HealthCounts struct {
	Passages   uint64            `json:"passages"`
	Violations uint64            `json:"violations"`
	Discarded  map[string]uint64 `json:"discarded"` // passages by code of docs/discard-reasons.md
}

// MaxDays is how many days a report tells.
const MaxDays = 7

// HealthDay is what became of the passages that ended on one civil day of the site:
// captured are as many as issued, compliant, discarded and pending together.
type HealthDay struct {
	Day         string `json:"day"` // 2026-05-04
	Captured    uint64 `json:"captured"`
	Issued      uint64 `json:"issued"`      // records of violations, or of tests that stand for one
	Compliant   uint64 `json:"compliant"`   // within the limit: nothing is kept of them
	Discarded   uint64 `json:"discarded"`   // for a reason of docs/discard-reasons.md, or interrupted
	Interrupted uint64 `json:"interrupted"` // of the discarded, by a stop or a power cut
	Pending     uint64 `json:"pending"`     // being judged
}

// Difference is what is captured and not accounted for; 0 when all is well.
func (d HealthDay) Difference() int64 {
	return int64(d.Captured - d.Issued - d.Compliant - d.Discarded - d.Pending)
}

// String is the balance of the day.
func (d HealthDay) String() string {
	return fmt.Sprintf("%s: %d captured, %d issued, %d compliant, %d discarded, %d pending", d.Day, d.Captured, d.Issued, d.Compliant, d.Discarded, d.Pending)
}

// HealthSensing is what came from the sensors, and what of it was dropped.
type HealthSensing struct {
	Frames   sensor.Tally   `json:"frames"`   // of the radar's protocol
	Tracks   HealthTracks   `json:"tracks"`   // of a radar that reports targets
	Contacts HealthContacts `json:"contacts"` // of a site that has some
	Pictures HealthPictures `json:"pictures"`
}

// HealthPictures is what the camera gave.
type HealthPictures struct {
	Kept     uint64 `json:"kept"`      // pictures that could have become evidence
	Repeated uint64 `json:"repeated"`  // of them, byte for byte the one before
	Cut      uint64 `json:"cut"`       // of them, with bytes behind their end
	Damaged  uint64 `json:"damaged"`   // flagged by the camera, or no whole picture
	TooLarge uint64 `json:"too_large"` // larger than allowed
	Late     uint64 `json:"late"`      // taken no later than one already kept
	Lost     uint64 `json:"lost"`      // missing by the camera's own count
	Odd      uint64 `json:"odd"`       // parts of a stream that are no picture, or are not marked as one should be
}

// HealthTracks is what became of reported targets on their way to passages.
type HealthTracks struct {
	Cycles    int64 `json:"cycles"`
	Ignored   int64 `json:"ignored"`   // readings that no vehicle of this sensor can have
	Overflow  int64 `json:"overflow"`  // readings and passages beyond what is held
	Backwards int64 `json:"backwards"` // cycles whose instant lies before the last one's
	Gaps      int64 `json:"gaps"`      // vehicles that were seen when cycles stopped coming
	Lone      int64 `json:"lone"`      // the sensor's own verdicts that fit no track
}

// HealthContacts is what the contacts gave.
type HealthContacts struct {
	Edges   uint64 `json:"edges"`
	Bounced uint64 `json:"bounced"` // pulses that came again too soon to be another one
	Spikes  uint64 `json:"spikes"`  // pulses too short for a vehicle
	Lost    uint64 `json:"lost"`    // edges that the kernel lost
	Late    uint64 `json:"late"`    // edges whose instant lies before one already taken
}

// HealthClock is the state of the clock.
type HealthClock struct {
	Source        string `json:"source"`
	Synchronised  bool   `json:"synchronised"`
	OffsetUS      int64  `json:"offset_us"`      // positive when the device's clock is ahead
	UncertaintyUS int64  `json:"uncertainty_us"` // standard uncertainty (k = 1)
	LockAgeS      int64  `json:"lock_age_s"`     // since the source was last locked
}

// HealthOutbox is what waits in the device.
type HealthOutbox struct {
	Records     uint64     `json:"records"`
	Unsettled   uint64     `json:"unsettled"`
	Bytes       uint64     `json:"bytes"`
	RoomBytes   uint64     `json:"room_bytes"`
	Oldest      *time.Time `json:"oldest,omitempty"` // UTC of the oldest unsettled record
	Quarantined uint64     `json:"quarantined"`      // records that cannot be read whole
	SetAside    uint64     `json:"set_aside"`        // records no session survived
	// Unaccounted is how many numbers were given to records that are neither in
	// the store nor settled; with AtLeast there may be more. Missing names the
	// runs they lie in, the first [MaxMissing] of them.
	Unaccounted uint64    `json:"unaccounted"`
	AtLeast     bool      `json:"at_least,omitempty"`
	Missing     []Numbers `json:"missing,omitempty"`
}

// MaxMissing is how many runs a [HealthOutbox] may list.
const MaxMissing = 32

// Numbers is a run of record numbers of one epoch.
type Numbers struct {
	Epoch   uint64 `json:"epoch"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`             // the last that is known of; 0 when From is a guess
	Open    bool   `json:"open,omitempty"` // more may follow than is known of
	Settled uint64 `json:"settled"`        // how many of them have a receipt, where they are missing
}

// Count returns how many numbers the run has, as far as is known.
func (r Numbers) Count() uint64 {
	if r.To < r.From {
		return 0
	}
	return r.To - r.From + 1
}

func (r Numbers) String() string {
	text := fmt.Sprintf("epoch %d number %d", r.Epoch, r.From)
	if r.To > r.From {
		text = fmt.Sprintf("epoch %d numbers %d to %d", r.Epoch, r.From, r.To)
	}
	if r.Open {
		text += " and perhaps more"
	}
	if r.Settled > 0 {
		text += fmt.Sprintf(", %d of them settled", r.Settled)
	}
	return text
}

// HealthUplink is what went over the network.
type HealthUplink struct {
	Sessions     uint64 `json:"sessions"`
	Published    uint64 `json:"published"`    // messages handed to the broker
	Acknowledged uint64 `json:"acknowledged"` // messages the broker acknowledged
	Resent       uint64 `json:"resent"`       // records sent again
	Receipts     uint64 `json:"receipts"`     // receipts accepted
	Settled      uint64 `json:"settled"`      // records they settled
	Refused      uint64 `json:"refused"`      // receipts and commands that were malformed, forged or not for us
}

// Profile says what a device is and where it stands, for the public map. It is
// retained.
type Profile struct {
	Head
	SiteID      string             `json:"site"`
	Road        string             `json:"road"`
	PositionM   uint32             `json:"position_m"`   // metres from the start of the road
	LatitudeE7  int32              `json:"latitude_e7"`  // 1e-7 degrees, north positive
	LongitudeE7 int32              `json:"longitude_e7"` // 1e-7 degrees, east positive
	Heading     uint16             `json:"heading"`      // degrees from north of the lane's direction of travel
	Limit       int32              `json:"limit"`        // hundredths of km/h
	Model       string             `json:"model"`
	Serial      string             `json:"serial"`
	Approval    string             `json:"approval"`
	Decree      string             `json:"decree"`
	Calibration ProfileCalibration `json:"calibration"`
	// Orders says which orders the device takes: 1 for those of this package, absent
	// for a device from before them.
	Orders uint8 `json:"orders,omitempty"`
}

// ProfileCalibration names the calibration certificate in force.
type ProfileCalibration struct {
	ID       string    `json:"id"`
	Version  uint64    `json:"version"`
	NotAfter time.Time `json:"not_after"`
}

// Marshal returns the message. It sets V and rounds UTC to whole milliseconds.
func (s State) Marshal() ([]byte, error) {
	s.Head = s.Head.written()
	return encode(s, s.check())
}

// Marshal returns the message. It sets V and rounds UTC to whole milliseconds.
func (h Health) Marshal() ([]byte, error) {
	h.Head = h.Head.written()
	// An empty list is [] and never null.
	if h.Reasons == nil {
		h.Reasons = []Reason{}
	}
	if h.Alarms == nil {
		h.Alarms = []Reason{}
	}
	if h.Findings == nil {
		h.Findings = []Reason{}
	}
	if h.Counts.Discarded == nil {
		h.Counts.Discarded = map[string]uint64{}
	}
	return encode(h, h.check())
}

// Marshal returns the message. It sets V and rounds UTC to whole milliseconds.
func (p Profile) Marshal() ([]byte, error) {
	p.Head = p.Head.written()
	return encode(p, p.check())
}

// ParseState reads a state message. Keys it does not know are ignored.
func ParseState(b []byte) (State, error) {
	var s State
	err := decode(b, &s)
	if err == nil {
		err = s.check()
	}
	return s, err
}

// ParseHealth reads a health message. Keys it does not know are ignored.
func ParseHealth(b []byte) (Health, error) {
	var h Health
	err := decode(b, &h)
	if err == nil {
		err = h.check()
	}
	return h, err
}

// ParseProfile reads a profile message. Keys it does not know are ignored.
func ParseProfile(b []byte) (Profile, error) {
	var p Profile
	err := decode(b, &p)
	if err == nil {
		err = p.check()
	}
	return p, err
}

func (h Head) written() Head {
	h.V = 1
	h.UTC = h.UTC.UTC().Truncate(time.Millisecond)
	return h
}

func (h Head) check() error {
	switch {
	case h.V != 1:
		return fmt.Errorf("%w: version %d, want 1", ErrJSON, h.V)
	case h.Device == Device{}:
		return fmt.Errorf("%w: no device", ErrJSON)
	case h.UTC.Year() < 1970 || h.UTC.Year() > 2199:
		return fmt.Errorf("%w: utc in the year %d", ErrJSON, h.UTC.Year())
	}
	return nil
}

func (s State) check() error {
	if err := s.Head.check(); err != nil {
		return err
	}
	switch {
	case s.Boot == BootID{}:
		return fmt.Errorf("%w: no boot", ErrJSON)
	case s.Sequence == 0:
		return fmt.Errorf("%w: no sequence", ErrJSON)
	}
	return nil
}

func (h Health) check() error {
	if err := h.Head.check(); err != nil {
		return err
	}
	switch {
	case h.Boot == BootID{}:
		return fmt.Errorf("%w: no boot", ErrJSON)
	case h.Sequence == 0:
		return fmt.Errorf("%w: no sequence", ErrJSON)
	case len(h.Reasons) > MaxReasons || len(h.Alarms) > MaxReasons || len(h.Counts.Discarded) > MaxReasons || len(h.Findings) > MaxReasons || len(h.Outbox.Missing) > MaxMissing || len(h.Days) > MaxDays:
		return fmt.Errorf("%w: a list of more than %d entries", ErrJSON, MaxReasons)
	}
	return nil
}

func (p Profile) check() error {
	if err := p.Head.check(); err != nil {
		return err
	}
	switch {
	case p.LatitudeE7 < -900_000_000 || p.LatitudeE7 > 900_000_000:
		return fmt.Errorf("%w: latitude_e7 %d", ErrJSON, p.LatitudeE7)
	case p.LongitudeE7 < -1_800_000_000 || p.LongitudeE7 > 1_800_000_000:
		return fmt.Errorf("%w: longitude_e7 %d", ErrJSON, p.LongitudeE7)
	case p.Heading > 359:
		return fmt.Errorf("%w: heading %d, want 0 to 359", ErrJSON, p.Heading)
	case p.Limit < 0:
		return fmt.Errorf("%w: limit %d", ErrJSON, p.Limit)
	}
	return nil
}

func encode(v any, bad error) ([]byte, error) {
	if bad != nil {
		return nil, bad
	}
	b, err := json.Marshal(v)
	if err == nil && len(b) > MaxJSON {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrJSON, len(b), MaxJSON)
	}
	return b, err
}

func decode(b []byte, into any) error {
	if len(b) > MaxJSON {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrJSON, len(b), MaxJSON)
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: not UTF-8", ErrJSON)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrJSON, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows the object", ErrJSON)
	}
	return nil
}
