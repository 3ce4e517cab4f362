// Package calibration reads the calibration statement of a device: one strict
// TOML file whose exact bytes are sealed into the chain, so that anyone can
// later read under which certificate, approval and decree a speed was measured.
package calibration

import (
	"fmt"

	"ciglio/agent/lawtime"
	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/internal/strict"
	"ciglio/sensor"
)

// MediaType is that of a statement in the chain.
const MediaType = "application/toml"

// MaxSize is the largest statement, in bytes: it travels inside a record.
const MaxSize = 12 << 10

// Parse reads a statement such as
//
//	id = "A-117"
//	version = 1
//	sensor_serial = "IPS-0042"
//	cores = ["3f0c…"]
//	not_before = 2026-01-10
//	not_after = 2027-01-09
//	uncertainty = "1km/h"
//	[approval]
//	words = "D.D. n. 1234 del 10/01/2026"
//	from = 2026-01-10
//	[decree]
//	words = "Decreto del Prefetto n. 56/2026"
//	from = 2026-01-01
//	[register]
//	words = "n. 789"
//	from = 2026-01-01
//	[functional_check]
//	words = "verbale n. 12"
//	on = 2026-01-10
//
// where uncertainty and the to of a permit may be left out. A day counts at the
// site, from its first instant to its last whole second ([evidence.SiteDay]); an
// instant with its time zone may stand in its place, but for functional_check.on.
// The decree and the functional check may be left out where the site statement has
// them, the register's entry where an extract of it is installed; cores are 64
// hexadecimal digits each, as "ciglio version" prints the running program's.
// Without them nothing is measured: that is judged by [trust.Check], not here.
//
// Unknown keys are errors, and so are instants without a time zone, which would be
// others on another machine, and what no record could hold.
func Parse(text []byte) (*trust.Calibration, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("calibration: %d bytes, at most %d", len(text), MaxSize)
	}
	type permit struct {
		Words string        `toml:"words"`
		From  lawtime.Begin `toml:"from"`
		To    lawtime.End   `toml:"to"`
	}
	var s struct {
		ID           string        `toml:"id"`
		Version      int64         `toml:"version"`
		SensorSerial string        `toml:"sensor_serial"`
		Cores        []string      `toml:"cores"`
		NotBefore    lawtime.Begin `toml:"not_before"`
		NotAfter     lawtime.End   `toml:"not_after"`
		Uncertainty  sensor.Speed  `toml:"uncertainty"`
		Approval     permit        `toml:"approval"`
		Decree       permit        `toml:"decree"`
		Register     permit        `toml:"register"`
		Functional   struct {
			Words string      `toml:"words"`
			On    lawtime.Day `toml:"on"`
		} `toml:"functional_check"`
	}
	keys, err := strict.Decode(string(text), &s)
	if err != nil {
		return nil, fmt.Errorf("calibration: %w", err)
	}
	for _, need := range []struct {
		key string
		ok  bool
		say string
	}{
		{"id", evidence.Printable(s.ID, evidence.MaxID), "want a text of 1 to 64 bytes"},
		{"version", s.Version >= 1, "want 1 or more"},
		{"uncertainty", s.Uncertainty > 0 || !keys.Has("uncertainty"), "want more than 0km/h; leave it out where there is no bound"},
		{"sensor_serial", s.SensorSerial != "", "missing"},
		{"not_before", !s.NotBefore.IsZero(), "missing"},
		{"not_after", !s.NotAfter.IsZero(), "missing"},
		{"not_after", s.NotAfter.Nanosecond() == 0, "want a whole second"},
		{"not_after", s.NotAfter.Unix() >= 0 && s.NotAfter.UTC().Year() <= 9999, "want 1970 to 9999"},
		{"not_after", !s.NotAfter.Before(s.NotBefore.Time), "lies before not_before"},
		{"functional_check.words", s.Functional.Words == "" || evidence.Printable(s.Functional.Words, evidence.MaxText), "want a text of at most 256 bytes"},
		{"functional_check", (s.Functional.Words == "") == s.Functional.On.IsZero(), "want words and on, or neither"},
	} {
		if !need.ok {
			return nil, fmt.Errorf("calibration: %s: %s", need.key, need.say)
		}
	}
	for _, named := range []struct {
		key string
		permit
	}{{"approval", s.Approval}, {"decree", s.Decree}, {"register", s.Register}} {
		key, p := named.key, named.permit
		switch {
		case p.Words != "" && !evidence.Printable(p.Words, evidence.MaxText):
			return nil, fmt.Errorf("calibration: %s.words: want a text of at most 256 bytes", key)
		case p.Words != "" && p.From.IsZero():
			return nil, fmt.Errorf("calibration: %s.from: missing", key)
		case !p.To.IsZero() && p.To.Before(p.From.Time):
			return nil, fmt.Errorf("calibration: %s.to: lies before %s.from", key, key)
		}
	}
	cores := make([][32]byte, len(s.Cores))
	for i, text := range s.Cores {
		core, err := evidence.ParseHash(text)
		if err != nil {
			return nil, fmt.Errorf("calibration: cores: %q: want 64 lower-case hexadecimal digits, as ciglio version prints them", text)
		}
		cores[i] = core
	}
	permitted := func(p permit) trust.Permit { return trust.Permit{Words: p.Words, From: p.From.Time, To: p.To.Time} }
	return &trust.Calibration{
		ID: s.ID, Version: uint64(s.Version), Serial: s.SensorSerial, Cores: cores,
		NotBefore: s.NotBefore.Time, NotAfter: s.NotAfter.Time, Uncertainty: s.Uncertainty,
		Approval: permitted(s.Approval), Decree: permitted(s.Decree), Register: permitted(s.Register),
		Functional: trust.Functional{Words: s.Functional.Words, On: s.Functional.On.Time},
	}, nil
}
