package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Status is the outcome of one check.
type Status uint8

// The outcomes. The zero value is the one that proves nothing.
const (
	NotChecked Status = iota
	Pass
	Fail
)

// String returns "not checked", "pass" or "fail".
func (s Status) String() string {
	switch s {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	}
	return "not checked"
}

// MarshalText writes the form of [Status.String].
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the form of [Status.String] and no other.
func (s *Status) UnmarshalText(text []byte) error {
	for _, known := range []Status{NotChecked, Pass, Fail} {
		if string(text) == known.String() {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("status %q: want pass, fail or not checked", text)
}

// A Check is one question put to a bundle, and the answer.
type Check struct {
	Name      string `json:"name"`
	Status    Status `json:"status"`
	Mandatory bool   `json:"mandatory"`
	Words     string `json:"words"` // plain sentences, with the figures
}

// A Verdict is the outcome of every check, in a fixed order.
type Verdict struct {
	Checks []Check
	Record *Sealed // nil when it could not be read

	receipt *SealedReceipt // that names the record, verified; nil without one
}

// OK reports whether the bundle may be relied on: every mandatory check passed
// and no other failed.
func (v Verdict) OK() bool {
	for _, c := range v.Checks {
		if c.Status == Fail || c.Mandatory && c.Status != Pass {
			return false
		}
	}
	return len(v.Checks) > 0
}

// Word returns the verdict in one word: "good", "test" for a good one of a test,
// "bad" when a check failed, "open" when a mandatory one was not made.
func (v Verdict) Word() string {
	failed := slices.ContainsFunc(v.Checks, func(c Check) bool { return c.Status == Fail })
	switch {
	case failed:
		return "bad"
	case !v.OK():
		return "open"
	case v.Record != nil && v.Record.Record.Kind == KindTest:
		return "test"
	}
	return "good"
}

// Line returns the verdict in a sentence, with its likely cause: the first check
// that failed, or that is mandatory and was not made. The others follow from it as
// often as not.
func (v Verdict) Line() string {
	word := v.Word()
	line := map[string]string{
		"good": "This evidence is genuine and complete.",
		"test": "TEST, not evidence of a violation. The record is genuine.",
		"bad":  "Do not rely on this evidence.",
		"open": "Not everything could be checked.",
	}[word]
	for _, c := range v.Checks {
		if word == "bad" && c.Status == Fail || word == "open" && c.Mandatory && c.Status == NotChecked {
			return line + " " + c.Words
		}
	}
	return line
}

// Unreadable is the verdict on a bundle that [ReadBundle] or [ReadFolder]
// refuses.
func Unreadable(err error) Verdict {
	return Verdict{Checks: []Check{{"bundle", Fail, true, "The bundle cannot be read: " + err.Error() + "."}}}
}

// sumOf is SHA-256 as a Hash.
func sumOf(b []byte) Hash { return sha256.Sum256(b) }

// Verify puts every question to a bundle. Keys come from t only, never from the
// bundle; with a nil t, the device's key and the signature are not checked and
// the verdict is not OK. It is the same whenever it is asked: the time of asking
// plays no part.
//
// Mandatory for every record are format, device key, signature and kind; for a
// violation and a test also frames, trace, reuse, measurement, times, clock,
// counter, direction, targets, rule and uncertainty. The others fail when what they check is there and wrong, and are not checked when it is
// absent.
func Verify(b *Bundle, t *Trust) Verdict {
	c := &checker{b: b, t: t}
	s, err := Open(b.Record)
	if err != nil {
		if !bytes.HasPrefix(b.Record, []byte{0xd2, 0x84}) { // as every sealed message begins
			err = fmt.Errorf("it begins neither as a sealed record nor as a zip, so it is another file, or something stands before it: %w", err)
		}
		c.add("format", true, Fail, "This is not a record of profile 1: %v.", err)
		for _, name := range []string{"device key", "signature", "kind"} {
			c.add(name, true, NotChecked, "The record cannot be read.")
		}
		c.archive()
		return Verdict{Checks: c.checks}
	}
	c.s, c.r = s, s.Record
	c.add("format", true, Pass, "Record %d of device %v is complete and written as profile 1 demands. Its id is %v.",
		c.r.Seq, c.r.Device, s.ID)
	if c.law, err = PresentLaw(); err != nil {
		c.add("rule", true, Fail, "The table of rules cannot be read: %v.", err)
		return Verdict{Checks: c.checks}
	}
	receipt := c.receipt()
	c.deviceKey(receipt)
	c.signature()
	if c.r.Kind.Measured() || b.Frames != nil {
		c.frames()
	}
	if c.r.Kind.Measured() || b.Trace != nil {
		c.trace()
	}
	if c.r.Kind.Measured() {
		c.reuse()
		c.measurement()
		c.times()
		c.conditions()
	}
	c.kind()
	c.calibration()
	c.configuration()
	c.deviceCertificate()
	c.software()
	c.checks = append(c.checks, receipt)
	c.log(receipt)
	c.archive()
	return Verdict{Checks: c.checks, Record: s, receipt: c.sealed}
}
