package evidence

import (
	"crypto/ecdsa"
	"errors"
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

// add adds a check. pairs are names and values of the arguments of its code.
func (c *checker) add(name string, mandatory bool, status Status, code string, pairs ...any) {
	c.checks = append(c.checks, check(name, mandatory, status, code, pairs...))
}

func check(name string, mandatory bool, status Status, code string, pairs ...any) Check {
	return Check{Name: name, Status: status, Mandatory: mandatory, Said: said(code, pairs...)}
}

// deviceKey asks the register whether the key that sealed the record is the
// device's, in force at the record's time.
func (c *checker) deviceKey(receipt Check) {
	const name = "device key"
	if c.t == nil {
		c.add(name, true, NotChecked, "key.unasked", "key", c.s.KeyID)
		return
	}
	register := c.t.Register().Register
	pub, entry, err := c.t.DeviceKey(c.r.Device, c.r.Epoch, c.s.KeyID, c.r.UTC)
	switch {
	case err != nil && !c.t.knows(c.r.Device) && errors.Is(err, ErrUnknownSigner):
		c.add(name, true, Fail, "key.stranger", "issued", register.Issued, "device", c.r.Device, "key", c.s.KeyID)
		return
	case errors.Is(err, ErrUnknownSigner):
		c.add(name, true, Fail, "key.unknown", "key", c.s.KeyID)
		return
	case errors.Is(err, ErrForeignKey):
		c.add(name, true, Fail, "key.foreign", "key", c.s.KeyID)
		return
	case errors.Is(err, ErrNotValid):
		c.add(name, true, Fail, "key.not_valid", "from", entry.NotBefore, "to", entry.NotAfter, "at", c.r.UTC)
		return
	case errors.Is(err, ErrRevoked):
		c.add(name, true, Fail, "key.revoked", "from", *entry.Revoked)
		return
	case err != nil:
		c.add(name, true, Fail, "key.unusable", "detail", Detail(err.Error()))
		return
	}
	if late := c.late(entry, receipt); late != nil {
		c.checks = append(c.checks, Check{Name: name, Status: Fail, Mandatory: true, Said: *late})
		return
	}
	c.pub, c.entry = pub, entry
	c.add(name, true, Pass, "key.vouched", "from", entry.NotBefore, "to", entry.NotAfter, "register", Number(register.Sequence),
		"issued", register.Issued, "root", c.t.Root())
}

// late says why a record of the key needs a receipt that it does not have; nil when it needs none. The
// holder of a key that no longer counts could date a record back, so only a
// receipt from before proves it. Whether the key's time is over is judged by the
// receipt and by the register, not by the time of asking.
func (c *checker) late(e RegisterEntry, receipt Check) *Said {
	received := receipt.Status == Pass
	if e.Revoked != nil && !(received && c.proven.UTC.Before(*e.Revoked)) {
		return doubt(true, "key.revoked_later", "from", *e.Revoked)
	}
	end := e.NotAfter.Add(time.Second) // the last second counts
	switch {
	case received && !c.proven.UTC.Before(end):
		return doubt(true, "key.over_received", "to", e.NotAfter, "received", c.proven.UTC)
	case !received && !c.t.Register().Register.Issued.Before(end):
		return doubt(true, "key.over", "to", e.NotAfter)
	}
	return nil
}

func (c *checker) signature() {
	const name = "signature"
	if c.pub == nil {
		c.add(name, true, NotChecked, "signature.unasked")
	} else if err := c.s.Verify(c.pub); err != nil {
		c.add(name, true, Fail, "signature.wrong")
	} else {
		c.add(name, true, Pass, "signature.good")
	}
}

func (c *checker) frames() {
	const name = "frames"
	if c.b.Frames == nil {
		c.add(name, true, NotChecked, "frames.absent", "n", Count(len(c.r.Frames)))
		return
	}
	if len(c.b.Frames) > len(c.r.Frames) {
		c.add(name, true, Fail, "frames.too_many", "there", Number(len(c.b.Frames)), "named", Number(len(c.r.Frames)))
		return
	}
	for i, f := range c.r.Frames {
		var data []byte
		if i < len(c.b.Frames) {
			data = c.b.Frames[i]
		}
		n, role := Number(i+1), Term(f.Role)
		switch {
		case data == nil:
			c.add(name, true, Fail, "frames.missing", "n", n, "role", role)
			return
		case uint64(len(data)) != uint64(f.Length):
			c.add(name, true, Fail, "frames.length", "n", n, "role", role, "there", Number(len(data)), "named", Number(f.Length))
			return
		case sumOf(data) != f.SHA256:
			c.add(name, true, Fail, "frames.changed", "n", n, "role", role)
			return
		}
	}
	code := "frames.same"
	if slices.ContainsFunc(c.r.Frames, func(f Frame) bool { return f.Source() != "" }) {
		code = "frames.same_raw"
	}
	c.add(name, true, Pass, code, "n", Count(len(c.r.Frames)))
}

func (c *checker) trace() {
	const name = "trace"
	data, t := c.b.Trace, c.r.Trace
	switch {
	case data == nil:
		c.add(name, true, NotChecked, "trace.absent")
	case t == nil:
		c.add(name, true, Fail, "trace.unnamed")
	case uint64(len(data)) != uint64(t.Length):
		c.add(name, true, Fail, "trace.length", "there", Number(len(data)), "named", Number(t.Length))
	case sumOf(data) != t.SHA256:
		c.add(name, true, Fail, "trace.changed")
	default:
		c.add(name, true, Pass, "trace.same", "format", t.Format, "length", Count(t.Length))
	}
}

// measurement checks the arithmetic of the measurement.
func (c *checker) measurement() {
	m, code := c.r.Measurement, "measurement.more"
	if m.Assessed <= m.Limit {
		code = "measurement.not_more"
	}
	c.fits("measurement", true, code, "speed", m.Speed, "indicated", m.Indicated, "reduction", m.Reduction, "assessed", m.Assessed, "limit", m.Limit)
}

// times checks that what happened at one passage lies together, in order.
func (c *checker) times() {
	c.fits("times", true, "times.fit", "at", c.r.UTC, "calibration", c.r.Calibration.ID, "until", c.r.Calibration.NotAfter)
}

// conditions checks what must hold for a speed to be that of the vehicle.
func (c *checker) conditions() {
	r, m := c.r, c.r.Measurement
	c.fits("clock", true, "clock.good", "source", r.Clock.Source, "bound", r.Clock.Bound())
	c.fits("counter", true, "counter.even", "first", Number(r.Frames[0].Number), "last", Number(r.Frames[len(r.Frames)-1].Number))
	c.fits("direction", true, "direction.known", "direction", Term(m.Direction.String()))
	if m.Targets > 0 {
		c.fits("targets", true, "targets.apart", "n", Count(m.Targets), "model", r.Trace.Model)
	} else {
		c.fits("targets", true, "targets.alone")
	}
	if _, known := c.law.rule(m.Rule); known {
		c.fits("rule", true, "rule.applied", "rule", m.Rule, "takes", m.Reduction, "off", m.Speed.Truncate())
	} else {
		c.add("rule", true, NotChecked, "rule.unknown", "rule", m.Rule)
	}
	c.fits("uncertainty", true, "uncertainty.good", "u", m.Uncertainty)
	if c.b.Configuration == nil || sumOf(c.b.Configuration) != r.Configuration.SHA256 {
		c.add("settings", false, NotChecked, "settings.absent")
	} else {
		c.settings = readSettings(c.b.Configuration)
		c.fits("settings", false, "settings.fit")
	}
}

// fits asks the rows of a check. The code is that of what fits.
func (c *checker) fits(name string, mandatory bool, code string, pairs ...any) {
	if broken := doubts(name, claim{c.r, c.law, c.settings}); broken != nil {
		c.checks = append(c.checks, Check{Name: name, Status: Fail, Mandatory: mandatory, Said: *broken})
		return
	}
	c.add(name, mandatory, Pass, code, pairs...)
}

// software says which program made the record. That it is the approved one, the
// approval says.
func (c *checker) software() {
	const name = "software"
	if c.r.Kind.Measured() && doubts(name, claim{c.r, c.law, nil}) != nil {
		c.add(name, false, Fail, "software.named")
		return
	}
	c.add(name, false, NotChecked, "software.approval", "version", c.r.Software.Version, "core", c.r.Software.Core)
}

// reuse checks that no two files of a record are the same. Whether one is also
// another record's, only [Together] sees.
func (c *checker) reuse() {
	const name = "reuse"
	for i, f := range c.r.Frames {
		for j := range i {
			if c.r.Frames[j].SHA256 == f.SHA256 {
				c.add(name, true, Fail, "reuse.twice", "n", Number(i+1), "other", Number(j+1))
				return
			}
		}
		if f.SHA256 == c.r.Trace.SHA256 {
			c.add(name, true, Fail, "reuse.raw", "n", Number(i+1))
			return
		}
	}
	c.add(name, true, Pass, "reuse.none")
}

// kind says what the record claims to be.
func (c *checker) kind() {
	const name = "kind"
	switch c.r.Kind {
	case KindViolation:
		c.add(name, true, Pass, "kind.violation")
	case KindTest:
		c.add(name, true, Pass, "kind.test", "why", strings.TrimSuffix(c.r.Body[1].(string), "."))
	default:
		c.add(name, true, Pass, "kind.other", "kind", Term(c.r.Kind.String()))
	}
}

func (c *checker) calibration() {
	const name = "calibration"
	switch {
	case c.b.Calibration == nil:
		c.add(name, false, NotChecked, "calibration.absent")
	case c.r.Calibration == nil:
		c.add(name, false, Fail, "calibration.unnamed")
	case sumOf(c.b.Calibration) != c.r.Calibration.SHA256:
		c.add(name, false, Fail, "calibration.changed")
	default:
		if broken := c.r.certified(readSettings(c.b.Calibration)); broken != nil {
			c.checks = append(c.checks, Check{Name: name, Status: Fail, Said: *broken})
			return
		}
		c.add(name, false, Pass, "calibration.same", "id", c.r.Calibration.ID, "version", Number(c.r.Calibration.Version))
	}
}

func (c *checker) configuration() {
	const name = "configuration"
	switch named := c.r.Configuration; {
	case c.b.Configuration == nil:
		c.add(name, false, NotChecked, "configuration.absent")
	case sumOf(c.b.Configuration) != named.SHA256:
		c.add(name, false, Fail, "configuration.changed")
	default:
		c.add(name, false, Pass, "configuration.same", "id", named.ID, "version", Number(named.Version))
	}
}

// deviceCertificate checks that the certificate is the one that the record and
// the register name.
func (c *checker) deviceCertificate() {
	const name = "device certificate"
	data := c.b.DeviceCertificate
	switch {
	case data == nil:
		c.add(name, false, NotChecked, "certificate.absent")
	case sumOf(data) != c.r.Key.Certificate:
		c.add(name, false, Fail, "certificate.changed")
	case c.pub == nil:
		c.add(name, false, NotChecked, "certificate.untrusted")
	case !c.entry.Certificate.IsZero() && c.entry.Certificate != c.r.Key.Certificate:
		c.add(name, false, Fail, "certificate.unregistered")
	default:
		c.add(name, false, Pass, "certificate.same")
	}
}

// receiptSlack is how far a receipt may seem older than its record because two
// clocks differ.
const receiptSlack = time.Second

// receipt checks the centre's receipt.
func (c *checker) receipt() Check {
	const name = "receipt"
	if c.b.Receipt == nil {
		return check(name, false, NotChecked, "receipt.absent")
	}
	s, err := OpenReceipt(c.b.Receipt)
	if err != nil {
		return check(name, false, Fail, "receipt.unreadable", "detail", Detail(err.Error()))
	}
	entry, found := s.Receipt.Entry(c.r.Epoch, c.r.Seq)
	if s.Receipt.Device != c.r.Device || !found || entry.ID != c.s.ID {
		return check(name, false, Fail, "receipt.foreign")
	}
	if c.t == nil {
		return check(name, false, NotChecked, "receipt.unasked")
	}
	pub, key, err := c.t.CentreKey(s.KeyID, s.Receipt.UTC)
	switch {
	case errors.Is(err, ErrUnknownSigner):
		return check(name, false, Fail, "receipt.key_unknown", "key", s.KeyID)
	case errors.Is(err, ErrForeignKey):
		return check(name, false, Fail, "receipt.key_foreign", "key", s.KeyID)
	case errors.Is(err, ErrNotValid):
		return check(name, false, Fail, "receipt.key_not_valid", "from", key.NotBefore, "to", key.NotAfter, "at", s.Receipt.UTC)
	case errors.Is(err, ErrRevoked):
		return check(name, false, Fail, "receipt.key_revoked", "from", *key.Revoked)
	case err != nil:
		return check(name, false, Fail, "receipt.unreadable", "detail", Detail(err.Error()))
	}
	if err := s.Verify(pub); err != nil {
		return check(name, false, Fail, "receipt.changed")
	}
	if s.Receipt.UTC.Before(c.r.UTC.Add(-receiptSlack)) {
		return check(name, false, Fail, "receipt.older", "received", s.Receipt.UTC, "made", c.r.UTC)
	}
	c.proven, c.sealed = s.Receipt, s
	return check(name, false, Pass, "receipt.good", "received", s.Receipt.UTC)
}

// log checks the proof that the record stands in the centre's log.
func (c *checker) log(receipt Check) {
	const name = "log"
	if c.b.Proof == nil {
		c.add(name, false, NotChecked, "log.absent")
		return
	}
	p, err := UnmarshalProof(c.b.Proof)
	if err != nil {
		c.add(name, false, Fail, "log.unreadable", "detail", Detail(err.Error()))
		return
	}
	if receipt.Status != Pass {
		c.add(name, false, NotChecked, "log.unproven")
		return
	}
	entry, _ := c.proven.Entry(c.r.Epoch, c.r.Seq)
	if p.Index != entry.Index || p.Size != c.proven.LogSize {
		c.add(name, false, Fail, "log.elsewhere")
		return
	}
	if err := CheckInclusion(p.Index, p.Size, LeafHash(c.s.ID), p.Hashes, c.proven.LogRoot); err != nil {
		c.add(name, false, Fail, "log.missing", "place", Number(p.Index+1))
		return
	}
	c.add(name, false, Pass, "log.stands", "place", Number(p.Index+1), "size", Number(p.Size))
}

// mostNames is how many of the names that lie beside the evidence are told.
const mostNames = 10

// archive says what the files lay in. Nothing there is evidence, and so nothing
// there can fail.
func (c *checker) archive() {
	const name = "archive"
	a := c.b.Archive
	if a == nil {
		return
	}
	how, names := Term(a.Changed), Names(a.Foreign)
	switch {
	case a.Changed == "":
		c.add(name, false, Pass, "archive.original")
	case len(names) == 0:
		c.add(name, false, NotChecked, "archive.changed", "how", how)
	case len(names) <= mostNames:
		c.add(name, false, NotChecked, "archive.foreign", "how", how, "names", names)
	default:
		c.add(name, false, NotChecked, "archive.foreign_more", "how", how, "names", names[:mostNames], "more", Number(len(names)-mostNames))
	}
	if a.Page != nil {
		c.add("page", false, NotChecked, "page.apart")
	}
}
