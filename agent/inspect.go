package agent

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// inspect prints the record of a bundle, a folder or a record file as JSON. It
// checks the form of the record, not who sealed it.
func inspect(f flags) action {
	return func(args []string, stdout, stderr io.Writer) int {
		paths, exit, ok := f.parse(args)
		if !ok {
			return exit
		}
		if len(paths) != 1 {
			f.Usage()
			return exitUsage
		}
		b, err := loadBundle(paths[0])
		if err != nil {
			return fail(stderr, fmt.Errorf("%s: %w", paths[0], err), "name a bundle (.zip), a folder or a record")
		}
		s, err := evidence.Open(b.Record)
		if err != nil {
			return fail(stderr, fmt.Errorf("%s: %w", paths[0], err), "ciglio verify tells what else is wrong")
		}
		printJSON(stdout, describe(s))
		return exitGood
	}
}

// The types below are a record as inspect prints it. Speeds are text with their
// unit, positions on Earth decimal text in degrees, instants of UTC RFC 3339
// with microseconds; any other number has its unit at the end of its key, and
// mono_ns and its like count nanoseconds since the device's boot.
type recordJSON struct {
	ID            evidence.Hash     `json:"id"`
	Link          evidence.Hash     `json:"link"`
	KeyID         evidence.Hash     `json:"key_id"`
	Bytes         int               `json:"length_bytes"`
	Kind          string            `json:"kind"`
	Device        evidence.DeviceID `json:"device"`
	Epoch         uint64            `json:"epoch"`
	Seq           uint64            `json:"seq"`
	Prev          evidence.Hash     `json:"prev"`
	Ack           evidence.Hash     `json:"ack"`
	Boot          string            `json:"boot"`
	Mono          sensor.Mono       `json:"mono_ns"`
	UTC           string            `json:"utc"`
	Clock         clockJSON         `json:"clock"`
	Counter       counterJSON       `json:"counter"`
	Site          *siteJSON         `json:"site,omitempty"`
	Measurement   *measurementJSON  `json:"measurement,omitempty"`
	Frames        []frameJSON       `json:"frames,omitempty"`
	Trace         *traceJSON        `json:"trace,omitempty"`
	Calibration   *calibrationJSON  `json:"calibration,omitempty"`
	Configuration statementJSON     `json:"configuration"`
	Software      softwareJSON      `json:"software"`
	Key           keyJSON           `json:"key"`
	Body          map[string]any    `json:"body,omitempty"`
}

type clockJSON struct {
	Source       string        `json:"source"`
	Synchronised bool          `json:"synchronised"`
	Offset       time.Duration `json:"offset_ns"`
	Uncertainty  time.Duration `json:"standard_uncertainty_ns"`
	LockAge      time.Duration `json:"lock_age_ns"`
}

type counterJSON struct {
	Class uint64 `json:"class"`
	Value uint64 `json:"value"`
}

type siteJSON struct {
	ID        string `json:"id"`
	Road      string `json:"road"`
	Position  uint32 `json:"position_m"`
	Latitude  string `json:"latitude"`
	Longitude string `json:"longitude"`
	Heading   uint16 `json:"heading_deg"`
	Lane      uint8  `json:"lane"`
}

type measurementJSON struct {
	Speed       string      `json:"speed"`
	Indicated   string      `json:"indicated"`
	Reduction   string      `json:"reduction"`
	Assessed    string      `json:"assessed"`
	Limit       string      `json:"limit"`
	Rule        string      `json:"rule"`
	Direction   string      `json:"direction"`
	Class       uint8       `json:"vehicle_class"`
	Uncertainty string      `json:"standard_uncertainty"`
	Budget      budgetJSON  `json:"budget"`
	Targets     uint16      `json:"other_targets"`
	Flags       uint32      `json:"flags"`
	Start       sensor.Mono `json:"start_ns"`
	End         sensor.Mono `json:"end_ns"`
	Photo       sensor.Mono `json:"photo_ns"`
	Second      *secondJSON `json:"second,omitempty"`
}

type budgetJSON struct {
	Noise        string `json:"noise"`
	Angle        string `json:"angle"`
	Carrier      string `json:"carrier"`
	Clock        string `json:"clock"`
	Acceleration string `json:"acceleration"`
}

type secondJSON struct {
	Method    string `json:"method"`
	Speed     string `json:"speed"`
	Tolerance string `json:"tolerance"`

	Contacts *contactsJSON `json:"contacts,omitempty"`
}

type contactsJSON struct {
	Positions []int32         `json:"positions_mm"`
	Marks     [][]sensor.Mono `json:"marks_ns"`
}

type frameJSON struct {
	Role      string        `json:"role"`
	MediaType string        `json:"media_type"`
	SHA256    evidence.Hash `json:"sha256"`
	Length    uint32        `json:"length_bytes"`
	Number    uint64        `json:"number"`
	Mono      sensor.Mono   `json:"mono_ns"`
	Exposure  int64         `json:"exposure_us"`
	Cut       uint32        `json:"cut_bytes,omitempty"`
	Strobe    sensor.Mono   `json:"strobe_ns,omitempty"`
}

type traceJSON struct {
	SHA256   evidence.Hash `json:"sha256"`
	Length   uint32        `json:"length_bytes"`
	Format   string        `json:"format"`
	Model    string        `json:"sensor_model"`
	Serial   string        `json:"sensor_serial"`
	Settings evidence.Hash `json:"settings_sha256"`
	Samples  uint64        `json:"samples"`
	First    sensor.Mono   `json:"first_ns"`
	Last     sensor.Mono   `json:"last_ns"`
}

type statementJSON struct {
	ID      string        `json:"id"`
	Version uint64        `json:"version"`
	SHA256  evidence.Hash `json:"sha256"`
}

type calibrationJSON struct {
	statementJSON
	NotAfter string `json:"not_after"`
	Approval string `json:"approval"`
	Decree   string `json:"decree"`
}

type softwareJSON struct {
	Version string        `json:"version"`
	Core    evidence.Hash `json:"core_id"`
	Binary  evidence.Hash `json:"binary_sha256"`
}

type keyJSON struct {
	Certificate evidence.Hash `json:"certificate_sha256"`
	Class       string        `json:"class"`
}

func describe(s *evidence.Sealed) recordJSON {
	r := s.Record
	out := recordJSON{
		ID: s.ID, Link: s.Link, KeyID: s.KeyID, Bytes: len(s.Bytes),
		Kind: r.Kind.String(), Device: r.Device, Epoch: r.Epoch, Seq: r.Seq, Prev: r.Prev, Ack: r.Ack,
		Boot: hex.EncodeToString(r.Boot[:]), Mono: r.Mono, UTC: r.UTC.Format("2006-01-02T15:04:05.000000Z"),
		Clock:         clockJSON(r.Clock),
		Counter:       counterJSON{r.CounterClass, r.CounterValue},
		Configuration: statementJSON(r.Configuration),
		Software:      softwareJSON(r.Software),
		Key:           keyJSON(r.Key),
	}
	if p := r.Site; p != nil {
		out.Site = &siteJSON{p.ID, p.Road, p.Position, degrees(p.Latitude), degrees(p.Longitude), p.Heading, p.Lane}
	}
	if r.Measurement != nil {
		out.Measurement = describeMeasurement(r.Measurement)
	}
	for _, p := range r.Frames {
		out.Frames = append(out.Frames, frameJSON{p.Role, p.MediaType, p.SHA256, p.Length, p.Number, p.Mono, p.Exposure.Microseconds(), p.Cut, p.Strobe})
	}
	if r.Trace != nil {
		t := traceJSON(*r.Trace)
		out.Trace = &t
	}
	if c := r.Calibration; c != nil {
		out.Calibration = &calibrationJSON{statementJSON(c.Statement), c.NotAfter.Format(time.RFC3339), c.Approval, c.Decree}
	}
	if r.Body != nil {
		out.Body = map[string]any{}
	}
	for _, b := range evidence.BodyFields(r.Kind) {
		if value, present := r.Body[b.Key]; present {
			out.Body[b.Name] = describeBody(b, value)
		}
	}
	return out
}

func describeMeasurement(m *evidence.Measurement) *measurementJSON {
	out := &measurementJSON{
		Speed: m.Speed.String(), Indicated: m.Indicated.String(), Reduction: m.Reduction.String(),
		Assessed: m.Assessed.String(), Limit: m.Limit.String(), Rule: m.Rule, Direction: m.Direction.String(),
		Class: m.Class, Uncertainty: m.Uncertainty.String(), Targets: m.Targets, Flags: m.Flags,
		Start: m.Start, End: m.End, Photo: m.Photo,
		Budget: budgetJSON{m.Budget.Noise.String(), m.Budget.Angle.String(), m.Budget.Carrier.String(),
			m.Budget.Clock.String(), m.Budget.Acceleration.String()},
	}
	if s := m.Second; s != nil {
		out.Second = &secondJSON{Method: evidence.Method(s.Method), Speed: s.Speed.String(), Tolerance: s.Tolerance.String()}
		if c := s.Contacts; c != nil {
			out.Second.Contacts = &contactsJSON{c.Positions, c.Marks}
		}
	}
	return out
}

// degrees prints 1e-7 degrees without the rounding of a float.
func degrees(e7 int32) string {
	sign, v := "", int64(e7)
	if v < 0 {
		sign, v = "-", -v
	}
	return fmt.Sprintf("%s%d.%07d", sign, v/1e7, v%1e7)
}

type actJSON struct {
	Actor   string         `json:"actor"`
	Role    string         `json:"role"`
	Act     string         `json:"act"`
	Subject string         `json:"subject,omitempty"`
	Old     string         `json:"old,omitempty"`
	New     string         `json:"new,omitempty"`
	OldHash *evidence.Hash `json:"old_hash,omitempty"`
	NewHash *evidence.Hash `json:"new_hash,omitempty"`
	Outcome string         `json:"outcome"`
	Signer  *evidence.Hash `json:"signer,omitempty"`
	Number  uint64         `json:"number,omitempty"`
	Answer  string         `json:"answer,omitempty"`
	Media   string         `json:"media,omitempty"`
}

// describeBody returns a value of a body as JSON shows it best: a truth value,
// a statement as its text where it is one, other bytes in hexadecimal.
func describeBody(field evidence.BodyField, value any) any {
	switch v := value.(type) {
	case uint64:
		if field.Type == evidence.BodyFlag {
			return v == 1
		}
	case []byte:
		if field.Type == evidence.BodyBytes && utf8.Valid(v) {
			return string(v)
		}
		return hex.EncodeToString(v)
	case *evidence.Act:
		return describeAct(v)
	}
	return value
}

// describeAct returns an act with its answer as text where it is one, else in
// hexadecimal.
func describeAct(a *evidence.Act) actJSON {
	answer := string(a.Answer)
	if !utf8.Valid(a.Answer) {
		answer = hex.EncodeToString(a.Answer)
	}
	return actJSON{a.Actor, a.Role, a.Code, a.Subject, a.Old, a.New, a.OldHash, a.NewHash, a.Outcome, a.Signer, a.Number, answer, a.Media}
}
