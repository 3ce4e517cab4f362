// Package calibration reads the calibration statement of a device: one strict
// TOML file whose exact bytes are sealed into the chain, so that anyone can
// later read under which certificate, approval and decree a speed was measured.
package calibration

import (
	"fmt"
	"time"

	"github.com/BurntSushi/toml"

	"ciglio/agent/trust"
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
//	not_before = 2026-01-10T00:00:00Z
//	not_after = 2027-01-09T23:59:59Z
//	uncertainty = "1km/h"
//	[approval]
//	words = "D.D. n. 1234 del 10/01/2026"
//	from = 2026-01-10T00:00:00Z
//	[decree]
//	words = "Decreto del Prefetto n. 56/2026"
//	from = 2026-01-01T00:00:00Z
//	[register]
//	words = "n. 789"
//	from = 2026-01-01T00:00:00Z
//
// where uncertainty and the to of a permit may be left out. Unknown keys are
// errors. Whether the statement is in force is judged by [trust.Check], not
// here.
func Parse(text []byte) (*trust.Calibration, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("calibration: %d bytes, at most %d", len(text), MaxSize)
	}
	type permit struct {
		Words string    `toml:"words"`
		From  time.Time `toml:"from"`
		To    time.Time `toml:"to"`
	}
	var s struct {
		ID           string       `toml:"id"`
		Version      int64        `toml:"version"`
		SensorSerial string       `toml:"sensor_serial"`
		NotBefore    time.Time    `toml:"not_before"`
		NotAfter     time.Time    `toml:"not_after"`
		Uncertainty  sensor.Speed `toml:"uncertainty"`
		Approval     permit       `toml:"approval"`
		Decree       permit       `toml:"decree"`
		Register     permit       `toml:"register"`
	}
	meta, err := toml.Decode(string(text), &s)
	if err != nil {
		return nil, fmt.Errorf("calibration: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("calibration: unknown key %s", unknown[0])
	}
	for _, need := range []struct {
		key   string
		there bool
	}{
		{"id", s.ID != ""}, {"sensor_serial", s.SensorSerial != ""},
		{"not_before", !s.NotBefore.IsZero()}, {"not_after", !s.NotAfter.IsZero()},
	} {
		if !need.there {
			return nil, fmt.Errorf("calibration: %s is missing", need.key)
		}
	}
	if s.Version < 1 {
		return nil, fmt.Errorf("calibration %s: version %d, want 1 or more", s.ID, s.Version)
	}
	if s.NotAfter.Nanosecond() != 0 {
		return nil, fmt.Errorf("calibration %s: not_after is not a whole second", s.ID)
	}
	return &trust.Calibration{
		ID: s.ID, Version: uint64(s.Version), Serial: s.SensorSerial,
		NotBefore: s.NotBefore, NotAfter: s.NotAfter, Uncertainty: s.Uncertainty,
		Approval: trust.Permit(s.Approval), Decree: trust.Permit(s.Decree), Register: trust.Permit(s.Register),
	}, nil
}
