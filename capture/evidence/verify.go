package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
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

// A Check is one question put to a bundle, and the answer. All verifiers agree on
// name, status, whether it is mandatory, code and arguments.
type Check struct {
	Name      string // the question, such as "device key"
	Status    Status
	Mandatory bool
	Said             // what was found
	Further   []Said // of the check chain: what else was found
}

// In returns the answer in plain sentences of a language, with the figures.
func (c Check) In(l Language) string {
	sentences := make([]string, 1+len(c.Further))
	sentences[0] = c.Said.In(l)
	for i, s := range c.Further {
		sentences[1+i] = s.In(l)
	}
	return strings.Join(sentences, " ")
}

// Words is the answer in English.
func (c Check) Words() string { return c.In(English) }

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

// Line is [Verdict.LineIn] in English.
func (v Verdict) Line() string { return v.LineIn(English) }

// LineIn returns the verdict in a sentence of a language, with its likely cause:
// the first check that failed, or that is mandatory and was not made. The others
// follow from it as often as not.
func (v Verdict) LineIn(l Language) string {
	word := v.Word()
	line := l.Word("verdict." + word)
	for _, c := range v.Checks {
		if word == "bad" && c.Status == Fail || word == "open" && c.Mandatory && c.Status == NotChecked {
			return line + " " + c.In(l)
		}
	}
	return line
}

// Untrusted is the verdict where the trust file cannot be used.
func Untrusted(err error) Verdict {
	return Verdict{Checks: []Check{check("trust", true, Fail, "trust.unusable", "detail", Detail(err.Error()))}}
}

// Unopened is the verdict where there is nothing to read, or nobody may: that
// accuses no evidence.
func Unopened(err error) Verdict {
	return Verdict{Checks: []Check{check("bundle", true, NotChecked, "bundle.unopened", "detail", Detail(err.Error()))}}
}

// Unreadable is the verdict on a bundle that [ReadBundle] or [ReadFolder]
// refuses.
func Unreadable(err error) Verdict {
	return Verdict{Checks: []Check{check("bundle", true, Fail, "bundle.unreadable", "detail", Detail(err.Error()))}}
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
		code := "format.wrong"
		if !bytes.HasPrefix(b.Record, []byte{0xd2, 0x84}) { // as every sealed message begins
			code = "format.foreign"
		}
		c.add("format", true, Fail, code, "detail", Detail(err.Error()))
		for _, name := range []string{"device key", "signature", "kind"} {
			c.add(name, true, NotChecked, "format.unread")
		}
		c.archive()
		return Verdict{Checks: c.checks}
	}
	c.s, c.r = s, s.Record
	c.add("format", true, Pass, "format.whole", "seq", Number(c.r.Seq), "device", c.r.Device, "id", s.ID)
	if c.law, err = PresentLaw(); err != nil {
		c.add("rule", true, Fail, "rule.table", "detail", Detail(err.Error()))
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
