package evidence

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ciglio/sensor"
)

// checker collects the answers about one bundle.
type checker struct {
	b      *Bundle
	t      *Trust
	s      *Sealed
	r      *Record
	entry  RegisterEntry    // of the device's key, once it is trusted
	pub    *ecdsa.PublicKey // the device's key, once it is trusted
	proven *Receipt         // the receipt, once it is verified
	checks []Check
}

func (c *checker) add(name string, mandatory bool, status Status, format string, args ...any) {
	c.checks = append(c.checks, check(name, mandatory, status, format, args...))
}

func check(name string, mandatory bool, status Status, format string, args ...any) Check {
	return Check{Name: name, Status: status, Mandatory: mandatory, Words: fmt.Sprintf(format, args...)}
}

// near is how far frames may lie from the photo position, and the photo
// position and what crossed the contacts from the track.
const near = 10 * time.Second

// pairNear is how far the pair of clocks may lie from the measurement.
const pairNear = time.Minute

// deviceKey asks the register whether the key that sealed the record is the
// device's, in force at the record's time.
func (c *checker) deviceKey(receipt Check) {
	const name = "device key"
	if c.t == nil {
		c.add(name, true, NotChecked, "Without a trust file nothing says whose key %v is.", c.s.KeyID)
		return
	}
	pub, entry, err := c.t.DeviceKey(c.r.Device, c.r.Epoch, c.s.KeyID, c.r.UTC)
	if err != nil {
		c.add(name, true, Fail, "The register does not vouch for the key: %v.", err)
		return
	}
	if entry.Revoked != nil && (receipt.Status != Pass || !c.proven.UTC.Before(*entry.Revoked)) {
		c.add(name, true, Fail, "The key is revoked from %s on, and no receipt from before proves that the record is older.",
			day(*entry.Revoked))
		return
	}
	c.pub, c.entry = pub, entry
	reg := c.t.Register().Register
	c.add(name, true, Pass, "The key belongs to this device, valid from %s to %s, says register number %d of %s, signed by the root %v.",
		day(entry.NotBefore), day(entry.NotAfter), reg.Sequence, day(reg.Issued), c.t.Root())
}

func (c *checker) signature() {
	const name = "signature"
	if c.pub == nil {
		c.add(name, true, NotChecked, "There is no trusted key to check it with.")
	} else if err := c.s.Verify(c.pub); err != nil {
		c.add(name, true, Fail, "The record was changed after it was sealed, or another key sealed it: %v.", err)
	} else {
		c.add(name, true, Pass, "The record is unchanged since the device sealed it.")
	}
}

// blob compares a file with the hash and the length that the record names.
func blob(data []byte, hash Hash, length uint32) error {
	switch {
	case data == nil:
		return errors.New("is missing")
	case uint64(len(data)) != uint64(length):
		return fmt.Errorf("has %d bytes, the record names %d", len(data), length)
	case sumOf(data) != hash:
		return errors.New("is not the file that the record names: its hash differs")
	}
	return nil
}

func (c *checker) frames() {
	const name = "frames"
	if c.b.Frames == nil {
		c.add(name, true, NotChecked, "The %d pictures are not here.", len(c.r.Frames))
		return
	}
	if len(c.b.Frames) > len(c.r.Frames) {
		c.add(name, true, Fail, "There are %d pictures, the record names %d.", len(c.b.Frames), len(c.r.Frames))
		return
	}
	for i, f := range c.r.Frames {
		var data []byte
		if i < len(c.b.Frames) {
			data = c.b.Frames[i]
		}
		if err := blob(data, f.SHA256, f.Length); err != nil {
			c.add(name, true, Fail, "Picture %d (%s) %v.", i+1, f.Role, err)
			return
		}
	}
	words := "All %d pictures are, byte for byte, those that were sealed."
	if slices.ContainsFunc(c.r.Frames, func(f Frame) bool { return f.Source() != "" }) {
		words += " The device compressed raw pictures of the camera: the record says which."
	}
	c.add(name, true, Pass, words, len(c.r.Frames))
}

func (c *checker) trace() {
	const name = "trace"
	if c.b.Trace == nil {
		c.add(name, true, NotChecked, "The sensor's raw data is not here.")
		return
	}
	if c.r.Trace == nil {
		c.add(name, true, Fail, "There is raw data of a sensor, and the record names none.")
		return
	}
	if err := blob(c.b.Trace, c.r.Trace.SHA256, c.r.Trace.Length); err != nil {
		c.add(name, true, Fail, "The sensor's raw data %v.", err)
		return
	}
	c.add(name, true, Pass, "The sensor's raw data (%s, %d bytes) is, byte for byte, what was sealed. It holds no certified values.",
		c.r.Trace.Format, c.r.Trace.Length)
}

// measurement checks the arithmetic of the measurement.
func (c *checker) measurement() {
	const name = "measurement"
	m := c.r.Measurement
	if err := m.arithmetic(c.r.Kind == KindViolation); err != nil {
		c.add(name, true, Fail, "The figures contradict each other: %v.", err)
		return
	}
	than := "more than"
	if m.Assessed <= m.Limit {
		than = "not more than"
	}
	c.add(name, true, Pass, "Measured %v, indicated %v. Less the reduction of %v this is %v, which is %s the limit of %v.",
		m.Speed, m.Indicated, m.Reduction, m.Assessed, than, m.Limit)
}

// arithmetic checks each figure that follows from others.
func (m *Measurement) arithmetic(violation bool) error {
	b := m.Budget
	var squares int64
	for _, part := range []sensor.Speed{b.Noise, b.Angle, b.Carrier, b.Clock, b.Acceleration} {
		squares += int64(part) * int64(part)
	}
	switch {
	case m.Indicated != m.Speed.Truncate():
		return fmt.Errorf("%v truncated to whole km/h is not %v", m.Speed, m.Indicated)
	case m.Assessed != max(m.Indicated-m.Reduction, 0):
		return fmt.Errorf("%v less %v is not %v", m.Indicated, m.Reduction, m.Assessed)
	case violation && m.Assessed <= m.Limit:
		return fmt.Errorf("%v is not more than the limit of %v, so this is no violation", m.Assessed, m.Limit)
	case strings.HasPrefix(m.Rule, "it-") && (m.Reduction < 5*sensor.KmH || int64(m.Reduction)*20 < int64(m.Indicated)):
		return fmt.Errorf("the reduction of %v is less than 5 km/h or 5 %% of %v", m.Reduction, m.Indicated)
	case int64(m.Uncertainty)*int64(m.Uncertainty) < squares:
		return fmt.Errorf("the uncertainty of %v is less than its parts give", m.Uncertainty)
	}
	return m.second()
}

// second checks that a second speed, if there is one, confirms the first and
// follows from what the contacts saw.
func (m *Measurement) second() error {
	s := m.Second
	if s == nil {
		return nil
	}
	if max(s.Speed-m.Speed, m.Speed-s.Speed) > s.Tolerance {
		return fmt.Errorf("the second speed of %v differs from %v by more than %v", s.Speed, m.Speed, s.Tolerance)
	}
	if s.Contacts == nil {
		return nil
	}
	speed, direction, err := s.Contacts.Speed()
	switch {
	case err != nil:
		return err
	case direction != m.Direction:
		return fmt.Errorf("what crossed the contacts was %v, the vehicle %v", direction, m.Direction)
	case speed != s.Speed:
		return fmt.Errorf("what the contacts saw gives %v, not %v", speed, s.Speed)
	}
	return nil
}

// times checks that what happened at one passage lies together, in order.
func (c *checker) times() {
	const name = "times"
	if err := c.r.order(); err != nil {
		c.add(name, true, Fail, "The times contradict each other: %v.", err)
		return
	}
	c.add(name, true, Pass, "It happened on %s. Track, pictures and raw data belong together, and calibration %s was in force until %s.",
		c.r.UTC.Format("2006-01-02 at 15:04:05.000000 UTC"), c.r.Calibration.ID, day(c.r.Calibration.NotAfter))
}

func (r *Record) order() error {
	m, t := r.Measurement, r.Trace
	switch {
	case m.Start > m.End:
		return errors.New("the track ends before it begins")
	case t.First > t.Last:
		return errors.New("the raw data ends before it begins")
	case t.First > m.End || t.Last < m.Start:
		return errors.New("the raw data is of another time than the track")
	case before(m.Photo, m.Start, near) || before(m.End, m.Photo, near):
		return fmt.Errorf("the photo position lies more than %v from the track", near)
	case before(r.Mono, m.End, pairNear) || before(m.End, r.Mono, pairNear):
		return fmt.Errorf("the clocks were read more than %v from the track", pairNear)
	case r.UTC.After(r.Calibration.NotAfter):
		return fmt.Errorf("calibration %s was in force until %s", r.Calibration.ID, day(r.Calibration.NotAfter))
	}
	if m.Second != nil && m.Second.Contacts != nil {
		for _, mark := range slices.Concat(m.Second.Contacts.Marks...) {
			if before(mark, m.Start, near) || before(m.End, mark, near) {
				return fmt.Errorf("what crossed the contacts did so more than %v from the track", near)
			}
		}
	}
	for i, f := range r.Frames {
		switch {
		case i > 0 && f.Mono <= r.Frames[i-1].Mono:
			return fmt.Errorf("picture %d was not taken after picture %d", i+1, i)
		case before(f.Mono, m.Photo, near) || before(m.Photo, f.Mono, near):
			return fmt.Errorf("picture %d was taken more than %v from the photo position", i+1, near)
		}
	}
	return nil
}

// before reports whether a lies more than margin before b. Instants are never
// negative, so the difference cannot overflow.
func before(a, b sensor.Mono, margin time.Duration) bool { return b.Sub(a) > margin }

// kind says what the record claims to be.
func (c *checker) kind() {
	words := "This record is of kind " + c.r.Kind.String() + ": it measures no vehicle and accuses nobody."
	switch c.r.Kind {
	case KindViolation:
		words = "This record states a violation of the speed limit."
	case KindTest:
		words = "TEST, not evidence of a violation: " + strings.TrimSuffix(c.r.Body[1].(string), ".") + "."
	}
	c.add("kind", true, Pass, "%s", words)
}

func (c *checker) calibration() {
	const name = "calibration"
	switch {
	case c.b.Calibration == nil:
		c.add(name, false, NotChecked, "The calibration statement is not here.")
	case c.r.Calibration == nil:
		c.add(name, false, Fail, "There is a calibration statement, and the record names none.")
	default:
		c.compare(name, c.b.Calibration, c.r.Calibration.Statement)
	}
}

func (c *checker) configuration() {
	const name = "configuration"
	if c.b.Configuration == nil {
		c.add(name, false, NotChecked, "The configuration statement is not here.")
		return
	}
	c.compare(name, c.b.Configuration, c.r.Configuration)
}

// compare checks a statement against the hash that the record names.
func (c *checker) compare(name string, data []byte, named Statement) {
	if sumOf(data) != named.SHA256 {
		c.add(name, false, Fail, "The %s statement is not the one that the record names: its hash differs.", name)
		return
	}
	c.add(name, false, Pass, "The %s statement is %s, version %d, as the record names it.", name, named.ID, named.Version)
}

// deviceCertificate checks that the certificate is the one that the record and
// the register name.
func (c *checker) deviceCertificate() {
	const name = "device certificate"
	data := c.b.DeviceCertificate
	switch {
	case data == nil:
		c.add(name, false, NotChecked, "The device's certificate is not here.")
	case sumOf(data) != c.r.Key.Certificate:
		c.add(name, false, Fail, "The certificate is not the one that the record names: its hash differs.")
	case c.pub == nil:
		c.add(name, false, NotChecked, "The certificate is the one that the record names, but the device's key is not trusted.")
	case !c.entry.Certificate.IsZero() && c.entry.Certificate != c.r.Key.Certificate:
		c.add(name, false, Fail, "The certificate is not the one that the register names.")
	default:
		c.add(name, false, Pass, "The certificate is the one that the record and the register name.")
	}
}

// receipt checks the centre's receipt.
func (c *checker) receipt() Check {
	const name = "receipt"
	if c.b.Receipt == nil {
		return check(name, false, NotChecked, "There is no receipt of the centre.")
	}
	s, err := OpenReceipt(c.b.Receipt)
	if err != nil {
		return check(name, false, Fail, "This is not a receipt of profile 1: %v.", err)
	}
	entry, found := s.Receipt.Entry(c.r.Epoch, c.r.Seq)
	if s.Receipt.Device != c.r.Device || !found || entry.ID != c.s.ID {
		return check(name, false, Fail, "The receipt does not name this record.")
	}
	if c.t == nil {
		return check(name, false, NotChecked, "The receipt names this record, but without a trust file nothing says whose receipt it is.")
	}
	pub, _, err := c.t.CentreKey(s.KeyID, s.Receipt.UTC)
	if err != nil {
		return check(name, false, Fail, "The register does not vouch for the receipt's key: %v.", err)
	}
	if err := s.Verify(pub); err != nil {
		return check(name, false, Fail, "The receipt was changed after it was sealed: %v.", err)
	}
	c.proven = s.Receipt
	return check(name, false, Pass, "The centre received the record with all its files, and said so on %s.", day(s.Receipt.UTC))
}

// log checks the proof that the record stands in the centre's log.
func (c *checker) log(receipt Check) {
	const name = "log"
	if c.b.Proof == nil {
		c.add(name, false, NotChecked, "There is no proof that the record stands in the centre's log.")
		return
	}
	p, err := UnmarshalProof(c.b.Proof)
	if err != nil {
		c.add(name, false, Fail, "This is not a log proof of profile 1: %v.", err)
		return
	}
	if receipt.Status != Pass {
		c.add(name, false, NotChecked, "Without a verified receipt there is no log root to check the proof against.")
		return
	}
	entry, _ := c.proven.Entry(c.r.Epoch, c.r.Seq)
	if p.Index != entry.Index || p.Size != c.proven.LogSize {
		c.add(name, false, Fail, "The proof is of another place in the log than the receipt names.")
		return
	}
	if err := CheckInclusion(p.Index, p.Size, LeafHash(c.s.ID), p.Hashes, c.proven.LogRoot); err != nil {
		c.add(name, false, Fail, "The log does not hold this record at place %d: %v.", p.Index, err)
		return
	}
	c.add(name, false, Pass, "The record stands at place %d of the centre's log of %d records.",
		p.Index, p.Size)
}
