package evidence

import (
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

// Limits of the format, in bytes unless said otherwise.
const (
	MaxRecord    = 16 << 10 // of a whole sealed record
	MaxText      = 256      // of a text
	MaxID        = 64       // of a short one, as the id of a site or statement
	MaxBodyText  = 1024     // of a text in a body
	MaxStatement = 14 << 10 // of a calibration or configuration statement in a body
	MinFrames    = 2        // frames
	MaxFrames    = 5        // frames
	MaxFrame     = 16 << 20 // of one frame
	MaxTrace     = 64 << 20 // of the trace
	maxSpeed     = 99999    // hundredths of km/h
	maxInteger   = math.MaxInt64
)

// fields lists the keys of a record, for both directions.
func (r *Record) fields(f *form) {
	f.constant(1, "v", 1)
	integer(f, 2, "kind", &r.Kind, 1, 99)
	f.fixed(3, "dev", r.Device[:])
	integer(f, 4, "epoch", &r.Epoch, 1, math.MaxInt64)
	integer(f, 5, "seq", &r.Seq, 1, math.MaxInt64)
	f.fixed(6, "prev", r.Prev[:])
	f.fixed(7, "ack", r.Ack[:])
	f.fixed(8, "boot", r.Boot[:])
	integer(f, 9, "mono_ns", &r.Mono, 0, math.MaxInt64)
	f.instant(10, "utc_us", &r.UTC, time.Microsecond)
	f.object(11, "clock", func(f *form) { clockFields(&r.Clock, f) })
	if f.key(12, "counter") {
		counter := []uint64{r.CounterClass, r.CounterValue}
		list(f, "counter", &counter, 2, 2, func(n *uint64, f *form) {
			plainInteger(f, "counter", n, 0, math.MaxInt64)
		})
		if f.decoding && f.err == nil {
			r.CounterClass, r.CounterValue = counter[0], counter[1]
		}
	}
	optionalObject(f, 13, "site", &r.Site, (*Site).fields)
	optionalObject(f, 14, "meas", &r.Measurement, (*Measurement).fields)
	if f.optional(15, "frames", r.Frames != nil) {
		list(f, "frames", &r.Frames, MinFrames, MaxFrames, func(p *Frame, f *form) { f.mapping(p.fields) })
	}
	optionalObject(f, 16, "trace", &r.Trace, (*Trace).fields)
	optionalObject(f, 17, "cal", &r.Calibration, (*Calibration).fields)
	f.object(18, "cfg", r.Configuration.fields)
	f.object(19, "sw", r.Software.fields)
	f.object(20, "key", r.Key.fields)
	if f.optional(21, "body", r.Body != nil) {
		f.mapping(func(f *form) { r.bodyFields(f) })
	}
}

func clockFields(c *sensor.ClockState, f *form) {
	f.text(1, "clock source", &c.Source, 1, MaxID)
	f.flag(2, "clock synchronised", &c.Synchronised)
	integer(f, 3, "clock offset_ns", &c.Offset, math.MinInt64, math.MaxInt64)
	integer(f, 4, "clock u_ns", &c.Uncertainty, 0, math.MaxInt64)
	integer(f, 5, "clock lock_age_ns", &c.LockAge, 0, math.MaxInt64)
}

func (s *Site) fields(f *form) {
	f.text(1, "site id", &s.ID, 1, MaxID)
	f.text(2, "site road", &s.Road, 1, MaxText)
	integer(f, 3, "site position_m", &s.Position, 0, math.MaxUint32)
	integer(f, 4, "site latitude_e7", &s.Latitude, -90e7, 90e7)
	integer(f, 5, "site longitude_e7", &s.Longitude, -180e7, 180e7)
	integer(f, 6, "site heading_deg", &s.Heading, 0, 359)
	integer(f, 7, "site lane", &s.Lane, 0, math.MaxUint8)
}

func (m *Measurement) fields(f *form) {
	speed := func(key int64, name string, s *sensor.Speed) { integer(f, key, name, s, 0, maxSpeed) }
	speed(1, "meas speed", &m.Speed)
	speed(2, "meas indicated", &m.Indicated)
	speed(3, "meas reduction", &m.Reduction)
	speed(4, "meas assessed", &m.Assessed)
	speed(5, "meas limit", &m.Limit)
	f.text(6, "meas rule", &m.Rule, 1, MaxID)
	integer(f, 7, "meas direction", &m.Direction, 0, 2)
	integer(f, 8, "meas class", &m.Class, 0, math.MaxUint8)
	speed(9, "meas u", &m.Uncertainty)
	if f.key(10, "meas budget") {
		b := &m.Budget
		parts := []sensor.Speed{b.Noise, b.Angle, b.Carrier, b.Clock, b.Acceleration}
		list(f, "meas budget", &parts, 5, 5, func(s *sensor.Speed, f *form) {
			plainInteger(f, "meas budget", s, 0, maxSpeed)
		})
		if f.decoding && f.err == nil {
			*b = sensor.Budget{Noise: parts[0], Angle: parts[1], Carrier: parts[2], Clock: parts[3], Acceleration: parts[4]}
		}
	}
	integer(f, 11, "meas targets", &m.Targets, 0, math.MaxUint16)
	integer(f, 12, "meas flags", &m.Flags, 0, 0)
	integer(f, 13, "meas start_ns", &m.Start, 0, math.MaxInt64)
	integer(f, 14, "meas end_ns", &m.End, 0, math.MaxInt64)
	integer(f, 15, "meas photo_ns", &m.Photo, 0, math.MaxInt64)
	optionalObject(f, 16, "meas second", &m.Second, (*Second).fields)
}

func (s *Second) fields(f *form) {
	integer(f, 1, "second method", &s.Method, int64(MethodContacts), int64(MethodDisplacement))
	integer(f, 2, "second speed", &s.Speed, 0, maxSpeed)
	integer(f, 3, "second tolerance", &s.Tolerance, 0, maxSpeed)
	optionalObject(f, 4, "second contacts", &s.Contacts, (*Contacts).fields)
}

func (c *Contacts) fields(f *form) {
	if f.key(1, "contacts positions_mm") {
		list(f, "contacts positions_mm", &c.Positions, 2, 3, func(p *int32, f *form) {
			plainInteger(f, "contacts positions_mm", p, -1e6, 1e6)
		})
	}
	if f.key(2, "contacts marks_ns") {
		list(f, "contacts marks_ns", &c.Marks, 2, 3, func(at *[]sensor.Mono, f *form) {
			list(f, "contacts marks_ns", at, 2, 16, func(m *sensor.Mono, f *form) {
				plainInteger(f, "contacts marks_ns", m, 0, math.MaxInt64)
			})
		})
	}
}

func (p *Frame) fields(f *form) {
	f.text(1, "frame role", &p.Role, 1, MaxID)
	f.text(2, "frame media", &p.MediaType, 1, MaxID)
	f.fixed(3, "frame sha256", p.SHA256[:])
	integer(f, 4, "frame length", &p.Length, 1, MaxFrame)
	integer(f, 5, "frame number", &p.Number, 0, math.MaxInt64)
	integer(f, 6, "frame mono_ns", &p.Mono, 0, math.MaxInt64)
	us := int64(p.Exposure / time.Microsecond)
	if integer(f, 7, "frame exposure_us", &us, 0, 60e6); f.decoding {
		p.Exposure = time.Duration(us) * time.Microsecond
	}
	if f.optional(8, "frame cut", p.Cut != 0) {
		plainInteger(f, "frame cut", &p.Cut, 1, math.MaxUint32)
	}
	if f.optional(10, "frame strobe_ns", p.Strobe != 0) {
		plainInteger(f, "frame strobe_ns", &p.Strobe, 1, math.MaxInt64)
	}
}

func (t *Trace) fields(f *form) {
	f.fixed(1, "trace sha256", t.SHA256[:])
	integer(f, 2, "trace length", &t.Length, 1, MaxTrace)
	f.text(3, "trace format", &t.Format, 1, MaxID)
	f.text(4, "trace model", &t.Model, 1, MaxText)
	f.text(5, "trace serial", &t.Serial, 0, MaxText)
	f.fixed(6, "trace settings", t.Settings[:])
	integer(f, 7, "trace samples", &t.Samples, 0, math.MaxInt64)
	integer(f, 8, "trace first_ns", &t.First, 0, math.MaxInt64)
	integer(f, 9, "trace last_ns", &t.Last, 0, math.MaxInt64)
}

func (s *Statement) fields(f *form) {
	f.text(1, "statement id", &s.ID, 0, MaxID)
	integer(f, 2, "statement version", &s.Version, 0, math.MaxInt64)
	f.fixed(3, "statement sha256", s.SHA256[:])
}

func (c *Calibration) fields(f *form) {
	c.Statement.fields(f)
	f.instant(4, "cal not_after_s", &c.NotAfter, time.Second)
	f.text(5, "cal approval", &c.Approval, 0, MaxText)
	f.text(6, "cal decree", &c.Decree, 0, MaxText)
}

func (s *Software) fields(f *form) {
	f.text(1, "sw version", &s.Version, 1, MaxText)
	f.fixed(2, "sw core_id", s.Core[:])
	f.fixed(3, "sw binary", s.Binary[:])
}

func (k *KeyInfo) fields(f *form) {
	f.fixed(1, "key certificate", k.Certificate[:])
	f.text(2, "key class", &k.Class, 1, MaxID)
}

// A BodyField says what one key of a body holds. All keys of a kind but an act are
// mandatory.
type BodyField struct {
	Key  uint64
	Name string
	Type BodyType
}

// BodyType is the type of a value in a [Body].
type BodyType uint8

// The types of body values and what holds them in Go.
const (
	BodyCount BodyType = iota // uint64
	BodyFlag                  // uint64, 0 or 1
	BodyInt                   // int64
	BodyText                  // string, at most MaxBodyText bytes
	BodyBytes                 // []byte, at most MaxStatement bytes
	BodyHash                  // []byte, 32 bytes
	BodyAct                   // *Act; may be absent
)

// BodyFields returns the keys that a body of kind k has, in ascending order;
// none for a violation and for a kind that does not exist.
func BodyFields(k Kind) []BodyField {
	act := BodyField{bodyAct, "act", BodyAct}
	switch k {
	case KindHeartbeat:
		return []BodyField{
			{1, "passages", BodyCount}, // counted since boot
			{2, "violations", BodyCount},
			{3, "pending", BodyCount},
			{4, "discards", BodyCount},
		}
	case KindBoot:
		return []BodyField{{1, "reason", BodyText}, {2, "clean", BodyFlag}, {3, "recovery", BodyText}}
	case KindClockStep:
		return []BodyField{{1, "step_ns", BodyInt}, {2, "source", BodyText}}
	case KindCalibration, KindConfiguration:
		return []BodyField{{1, "statement", BodyBytes}, {2, "media", BodyText}, act}
	case KindKeyChange:
		return []BodyField{{1, "new_kid", BodyHash}}
	case KindEviction:
		return []BodyField{{1, "from_seq", BodyCount}, {2, "to_seq", BodyCount}}
	case KindTamper:
		return []BodyField{{1, "what", BodyText}, {2, "state", BodyText}}
	case KindOperator:
		return []BodyField{{1, "what", BodyText}, act}
	case KindShutdown:
		return []BodyField{{1, "reason", BodyText}, act}
	case KindSelfTest:
		return []BodyField{{1, "pass", BodyFlag}, {2, "words", BodyText}, act}
	case KindTest:
		return []BodyField{{1, "why", BodyText}}
	}
	return nil
}

// bodyFields encodes or decodes the body as the kind demands.
func (r *Record) bodyFields(f *form) {
	want := BodyFields(r.Kind)
	if f.decoding {
		r.Body = make(Body, len(want))
	}
	for _, w := range want {
		name := "body " + w.Name
		switch w.Type {
		case BodyCount:
			bodyValue(r.Body, w, f, func(p *uint64) { integer(f, int64(w.Key), name, p, 0, math.MaxInt64) })
		case BodyFlag:
			bodyValue(r.Body, w, f, func(p *uint64) { integer(f, int64(w.Key), name, p, 0, 1) })
		case BodyInt:
			bodyValue(r.Body, w, f, func(p *int64) { integer(f, int64(w.Key), name, p, math.MinInt64, math.MaxInt64) })
		case BodyText:
			bodyValue(r.Body, w, f, func(p *string) { f.text(int64(w.Key), name, p, 0, MaxBodyText) })
		case BodyBytes:
			bodyValue(r.Body, w, f, func(p *[]byte) { f.bytes(int64(w.Key), name, p, 1, MaxStatement) })
		case BodyHash:
			bodyValue(r.Body, w, f, func(p *[]byte) { f.bytes(int64(w.Key), name, p, 32, 32) })
		case BodyAct:
			act, _ := r.Body[w.Key].(*Act)
			if optionalObject(f, int64(w.Key), name, &act, (*Act).fields); f.decoding && act != nil {
				r.Body[w.Key] = act
			} else if value, present := r.Body[w.Key]; present && act == nil {
				f.fail(name, fmt.Errorf("%w: %T, want *Act", ErrType, value))
			}
		}
	}
	if key, unknown := unknownKey(r.Body, want); unknown {
		f.fail("body", fmt.Errorf("%w: %d in the body of %v", ErrUnknownKey, key, r.Kind))
	}
}

// unknownKey returns a key of the body that its kind does not have.
func unknownKey(body Body, want []BodyField) (key uint64, unknown bool) {
	for key := range body {
		if !slices.ContainsFunc(want, func(w BodyField) bool { return w.Key == key }) {
			return key, true
		}
	}
	return 0, false
}

// bodyValue moves one value between the body and code, which encodes or decodes
// it.
func bodyValue[T any](body Body, w BodyField, f *form, code func(*T)) {
	var v T
	if !f.decoding {
		got, present := body[w.Key]
		if !present {
			f.fail("body "+w.Name, ErrMissingKey)
			return
		}
		typed, ok := got.(T)
		if !ok {
			f.fail("body "+w.Name, fmt.Errorf("%w: %T, want %T", ErrType, got, v))
			return
		}
		v = typed
	}
	if code(&v); f.decoding && f.err == nil {
		body[w.Key] = v
	}
}
