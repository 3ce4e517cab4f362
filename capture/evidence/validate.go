package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// String names the kind as it is written in documents and in JSON.
func (k Kind) String() string {
	switch k {
	case KindViolation:
		return "violation"
	case KindHeartbeat:
		return "heartbeat"
	case KindBoot:
		return "boot"
	case KindClockStep:
		return "clock step"
	case KindCalibration:
		return "calibration"
	case KindConfiguration:
		return "configuration"
	case KindKeyChange:
		return "key change"
	case KindEviction:
		return "eviction"
	case KindTamper:
		return "tamper"
	case KindOperator:
		return "operator"
	case KindShutdown:
		return "shutdown"
	case KindSelfTest:
		return "self-test"
	case KindTest:
		return "test"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// CleanText returns s as the format accepts it in a body: valid UTF-8, control
// characters and what is not seen turned into spaces, cut to [MaxBodyText] bytes. It is meant for
// words that come from elsewhere, such as the message of an error.
func CleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		if hidden(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > MaxBodyText {
		s = strings.ToValidUTF8(s[:MaxBodyText], "")
	}
	return s
}

// Printable reports whether a record can hold s as a text of 1 to most bytes that
// must not be empty.
func Printable(s string, most int) bool {
	return s != "" && len(s) <= most && printable([]byte(s))
}

// Validate reports the first field that is out of range, missing or not allowed
// for the kind of record. A record that validates can be sealed, unless it is
// longer than [MaxRecord].
func (r *Record) Validate() error {
	_, err := r.Marshal()
	return err
}

// Marshal returns the payload of the record: deterministic CBOR. Times are
// written in whole microseconds, calibration's NotAfter in whole seconds, and
// what is finer is dropped. It returns an error for a record that does not
// validate.
func (r *Record) Marshal() ([]byte, error) {
	b, err := encode(r.fields)
	if err == nil {
		err = r.rules()
	}
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return b, nil
}

// Unmarshal reads a payload. It accepts only what [Record.Marshal] writes, byte
// for byte; an error is a [DecodeError] or names the rule that the record
// breaks. Times are in UTC. The record shares no memory with payload.
func Unmarshal(payload []byte) (*Record, error) {
	if len(payload) > MaxRecord {
		return nil, fmt.Errorf("record: %w: %d bytes, want at most %d", ErrTooLarge, len(payload), MaxRecord)
	}
	r := &Record{}
	if err := decode(payload, r.fields); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	again, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, errors.New("record: a second spelling of the same content")
	}
	return r, nil
}

// rules checks what binds several fields together.
func (r *Record) rules() error {
	fields := BodyFields(r.Kind)
	if fields == nil && r.Kind != KindViolation {
		return fmt.Errorf("kind %d: %w: not a kind of profile 1", r.Kind, ErrRange)
	}
	measured := r.Kind.Measured()
	for _, part := range []struct {
		name             string
		present          bool
		required, denied bool
	}{
		{"site", r.Site != nil, measured, false},
		{"meas", r.Measurement != nil, measured, !measured},
		{"frames", r.Frames != nil, measured, !measured},
		{"trace", r.Trace != nil, measured, !measured},
		{"cal", r.Calibration != nil, measured, false},
		{"body", r.Body != nil, fields != nil, fields == nil},
	} {
		if part.required && !part.present {
			return fmt.Errorf("%s: %w: %v needs it", part.name, ErrMissingKey, r.Kind)
		}
		if part.denied && part.present {
			return fmt.Errorf("%s: %w: %v must not have it", part.name, ErrKind, r.Kind)
		}
	}
	switch {
	case (r.Seq == 1) != r.Prev.IsZero():
		return fmt.Errorf("prev: %w: zero in the first record of an epoch and in no other", ErrRange)
	case r.CounterClass == 0 && r.CounterValue != 0:
		return fmt.Errorf("counter: %w: a value without a counter", ErrRange)
	case !slices.Contains([]string{"file", "tpm2", "se"}, r.Key.Class):
		return fmt.Errorf("key class %q: %w: want file, tpm2 or se", r.Key.Class, ErrRange)
	case measured && r.Configuration.ID == "":
		return fmt.Errorf("cfg statement id: %w: empty, and %v needs it", ErrRange, r.Kind)
	case r.Calibration != nil && r.Calibration.ID == "":
		return fmt.Errorf("cal statement id: %w: empty", ErrRange)
	}
	if r.Measurement != nil && r.Measurement.Second != nil {
		if err := r.Measurement.Second.rules(); err != nil {
			return err
		}
	}
	return r.frameRules()
}

// rules checks that a speed of contacts, and no other, says what it follows from.
func (s *Second) rules() error {
	c := s.Contacts
	switch {
	case s.Method == MethodContacts && c == nil:
		return fmt.Errorf("second contacts: %w: method %d needs them", ErrMissingKey, s.Method)
	case s.Method != MethodContacts && c != nil:
		return fmt.Errorf("second contacts: %w: method %d has none", ErrRange, s.Method)
	case c == nil:
		return nil
	case len(c.Marks) != len(c.Positions):
		return fmt.Errorf("contacts marks_ns: %w: of %d contacts, want %d", ErrRange, len(c.Marks), len(c.Positions))
	}
	for i := range c.Positions {
		switch {
		case i > 0 && c.Positions[i] <= c.Positions[i-1]:
			return fmt.Errorf("contacts positions_mm: %w: want the nearest first", ErrRange)
		case len(c.Marks[i]) != len(c.Marks[0]):
			return fmt.Errorf("contacts marks_ns: %w: %d at contact %d, want %d", ErrRange, len(c.Marks[i]), i+1, len(c.Marks[0]))
		}
	}
	return nil
}

// frameRules checks that the frames are pictures before, one at, and after the
// photo position, in this order.
func (r *Record) frameRules() error {
	order := []string{"before", "photo", "after"}
	stage, photos := 0, 0
	for i, p := range r.Frames {
		at := slices.Index(order, p.Role)
		if at < stage {
			return fmt.Errorf("frame %d role %q: %w: want before, then one photo, then after", i+1, p.Role, ErrRange)
		}
		if stage = at; p.Role == "photo" {
			photos++
		}
		switch p.MediaType {
		case "image/jpeg", "image/jpeg;source=yuyv", "image/jpeg;source=uyvy", "image/jpeg;source=grey":
		default:
			return fmt.Errorf("frame %d media %q: %w: want image/jpeg, with no source but yuyv, uyvy or grey", i+1, p.MediaType, ErrRange)
		}
	}
	if r.Frames != nil && photos != 1 {
		return fmt.Errorf("frames: %w: %d with role photo, want one", ErrRange, photos)
	}
	return nil
}
