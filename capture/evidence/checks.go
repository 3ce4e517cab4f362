package evidence

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// checker collects the answers about one bundle.
type checker struct {
	b      *Bundle
	t      *Trust
	law    Law
	s      *Sealed
	r      *Record
	entry  RegisterEntry    // of the device's key, once it is trusted
	pub    *ecdsa.PublicKey // the device's key, once it is trusted
	proven *Receipt         // the receipt, once it is verified
	sealed *SealedReceipt   // the same
	checks []Check

	settings settings // of the configuration that the record names; nil when it is not here
}

func (c *checker) add(name string, mandatory bool, status Status, format string, args ...any) {
	c.checks = append(c.checks, check(name, mandatory, status, format, args...))
}

func check(name string, mandatory bool, status Status, format string, args ...any) Check {
	return Check{Name: name, Status: status, Mandatory: mandatory, Words: fmt.Sprintf(format, args...)}
}

// deviceKey asks the register whether the key that sealed the record is the
// device's, in force at the record's time.
func (c *checker) deviceKey(receipt Check) {
	const name = "device key"
	if c.t == nil {
		c.add(name, true, NotChecked, "Without a trust file nothing says whose key %v is.", c.s.KeyID)
		return
	}
	pub, entry, err := c.t.DeviceKey(c.r.Device, c.r.Epoch, c.s.KeyID, c.r.UTC)
	if err != nil && !c.t.knows(c.r.Device) && errors.Is(err, ErrUnknownSigner) {
		c.add(name, true, Fail, "The trust file is of another authority, or older than the device: its register of %s knows neither device %v nor its key: %v.",
			day(c.t.Register().Register.Issued), c.r.Device, ErrUnknownSigner)
		return
	}
	if err != nil {
		c.add(name, true, Fail, "The register does not vouch for the key: %v.", err)
		return
	}
	if words := c.late(entry, receipt); words != "" {
		c.add(name, true, Fail, "%s, and no receipt from before proves that the record is older.", words)
		return
	}
	c.pub, c.entry = pub, entry
	reg := c.t.Register().Register
	c.add(name, true, Pass, "The key belongs to this device, valid from %s to %s, says register number %d of %s, signed by the root %v.",
		day(entry.NotBefore), day(entry.NotAfter), reg.Sequence, day(reg.Issued), c.t.Root())
}

// late says why a record of the key needs a receipt that it does not have. The
// holder of a key that no longer counts could date a record back, so only a
// receipt from before proves it. Whether the key's time is over is judged by the
// receipt and by the register, not by the time of asking.
func (c *checker) late(e RegisterEntry, receipt Check) string {
	received := receipt.Status == Pass
	if e.Revoked != nil && !(received && c.proven.UTC.Before(*e.Revoked)) {
		return fmt.Sprintf("The key is revoked from %s on", day(*e.Revoked))
	}
	end := e.NotAfter.Add(time.Second) // the last second counts
	switch {
	case received && !c.proven.UTC.Before(end):
		return fmt.Sprintf("The key was valid to %s, the centre received the record on %s", day(e.NotAfter), day(c.proven.UTC))
	case !received && !c.t.Register().Register.Issued.Before(end):
		return fmt.Sprintf("The key was valid to %s, before the register was issued", day(e.NotAfter))
	}
	return ""
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
	m := c.r.Measurement
	than := "more than"
	if m.Assessed <= m.Limit {
		than = "not more than"
	}
	c.fits("measurement", true, "The figures contradict each other", "Measured %v, indicated %v. Less the reduction of %v this is %v, which is %s the limit of %v.",
		m.Speed, m.Indicated, m.Reduction, m.Assessed, than, m.Limit)
}

// times checks that what happened at one passage lies together, in order.
func (c *checker) times() {
	c.fits("times", true, "The times contradict each other",
		"It happened on %s. Track, pictures and raw data belong together, and calibration %s was in force until %s.",
		Moment(c.r.UTC), c.r.Calibration.ID, day(c.r.Calibration.NotAfter))
}

// conditions checks what must hold for a speed to be that of the vehicle.
func (c *checker) conditions() {
	r, m := c.r, c.r.Measurement
	c.fits("clock", true, "The clock was not good enough", "The clock (%s) was off by no more than %s.", r.Clock.Source, milliseconds(r.Clock.Bound()))
	c.fits("counter", true, "The camera's count of its pictures contradicts their times", "The camera counted its pictures as their times are: from %d to %d.",
		r.Frames[0].Number, r.Frames[len(r.Frames)-1].Number)
	c.fits("direction", true, "The direction is no evidence", "The vehicle was %v.", m.Direction)
	words := "No other vehicle was in the beam."
	if m.Targets > 0 {
		words = fmt.Sprintf("%d other vehicles were in the beam. Sensor %s tells vehicles apart.", m.Targets, r.Trace.Model)
	}
	c.fits("targets", true, "The speed may be another vehicle's", "%s", words)
	if _, known := c.law.rule(m.Rule); known {
		c.fits("rule", true, "The law was not applied", "Rule %s was in force and takes %v off %v.", m.Rule, m.Reduction, m.Speed.Truncate())
	} else {
		c.add("rule", true, NotChecked, "This program's table knows no rule %s.", m.Rule)
	}
	c.fits("uncertainty", true, "The uncertainty is not that of a measurement", "The standard uncertainty (k = 1) is %v, and follows from its parts.", m.Uncertainty)
	if c.b.Configuration == nil || sumOf(c.b.Configuration) != r.Configuration.SHA256 {
		c.add("settings", false, NotChecked, "The configuration that the record names is not here.")
	} else {
		c.settings = readSettings(c.b.Configuration)
		c.fits("settings", false, "The record is not as the configuration demands", "What the configuration states, the record fits.")
	}
}

// fits asks the rows of a check. what says what a broken one means.
func (c *checker) fits(name string, mandatory bool, what, format string, args ...any) {
	if err := doubts(name, claim{c.r, c.law, c.settings}); err != nil {
		c.add(name, mandatory, Fail, "%s: %v.", what, err)
		return
	}
	c.add(name, mandatory, Pass, format, args...)
}

// software says which program made the record. That it is the approved one, the
// approval says.
func (c *checker) software() {
	const name = "software"
	w := c.r.Software
	if err := doubts(name, claim{c.r, c.law, nil}); err != nil && c.r.Kind.Measured() {
		c.add(name, false, Fail, "Nobody can say which program measured: %v.", err)
		return
	}
	c.add(name, false, NotChecked, "The record names program %s with measuring core %v. Whether that is the approved one, the approval says.", w.Version, w.Core)
}

// reuse checks that no two files of a record are the same. Whether one is also
// another record's, only [Together] sees.
func (c *checker) reuse() {
	const name = "reuse"
	for i, f := range c.r.Frames {
		for j := range i {
			if c.r.Frames[j].SHA256 == f.SHA256 {
				c.add(name, true, Fail, "Picture %d is picture %d once more.", i+1, j+1)
				return
			}
		}
		if f.SHA256 == c.r.Trace.SHA256 {
			c.add(name, true, Fail, "Picture %d is the raw data.", i+1)
			return
		}
	}
	c.add(name, true, Pass, "No picture stands twice in the record. Other records with one of them show when they are checked together.")
}

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
	case sumOf(c.b.Calibration) != c.r.Calibration.SHA256:
		c.compare(name, c.b.Calibration, c.r.Calibration.Statement)
	default:
		if err := c.r.certified(readSettings(c.b.Calibration)); err != nil {
			c.add(name, false, Fail, "The record is not as the calibration statement demands: %v.", err)
			return
		}
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

// receiptSlack is how far a receipt may seem older than its record because two
// clocks differ.
const receiptSlack = time.Second

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
	if s.Receipt.UTC.Before(c.r.UTC.Add(-receiptSlack)) {
		return check(name, false, Fail, "The receipt is older than the record: it is of %s, the record of %s. One of the two times is not true.",
			day(s.Receipt.UTC), day(c.r.UTC))
	}
	c.proven, c.sealed = s.Receipt, s
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
		c.add(name, false, Fail, "The log does not hold this record at place %d: %v.", p.Index+1, err)
		return
	}
	c.add(name, false, Pass, "The record stands at place %d of the centre's log of %d records.",
		p.Index+1, p.Size)
}

// archive says what the files lay in. Nothing there is evidence, and so nothing
// there can fail.
func (c *checker) archive() {
	a := c.b.Archive
	if a == nil {
		return
	}
	words := "This is the archive as it was written."
	status := Pass
	if a.Changed != "" {
		status = NotChecked
		words = "Not the original archive: " + a.Changed + ". That is no sign of forgery. The evidence is judged by the files that the record names."
	}
	if len(a.Foreign) > 0 {
		status = NotChecked
		words += " Not part of it: " + quoted(a.Foreign) + "."
	}
	c.add("archive", false, status, "%s", words)
	switch {
	case a.Page == nil:
	case bytes.Equal(a.Page, page):
		c.add("page", false, NotChecked, "verify.html: this page is not part of what was checked. It is the one that this program puts into bundles.")
	default:
		c.add("page", false, NotChecked, "verify.html: this page is not part of what was checked. It is not the one that this program puts into bundles: take the page from the authority.")
	}
}

// quoted lists some names as every verifier does: what is not seen does not show.
func quoted(names []string) string {
	const most = 10
	var all []string
	for _, n := range names[:min(len(names), most)] {
		runes := []rune(n)
		runes = runes[:min(len(runes), 80)]
		for i, r := range runes {
			if hidden(r) {
				runes[i] = '?'
			}
		}
		all = append(all, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(runes))+`"`)
	}
	if len(names) > most {
		all = append(all, fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(all, ", ")
}
