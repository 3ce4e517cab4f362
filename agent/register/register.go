// Package register reads an extract of the national register of speed devices: one
// strict TOML file with the rows of the body that runs the device, as the decree of
// 18 August 2025 (n. 305, art. 3) lists their data.
//
//	version = 7                       # counts the extracts, from 1
//	taken = 2026-11-30T08:00:00+01:00 # when the register was read
//	[[device]]
//	entity_name = "Provincia di Latina"
//	entity_code = "p_lt"
//	cadastral_code = "E472"           # where it applies
//	approval = "D.D. n. 1234 del 10/01/2026"
//	type = "fisso"
//	brand = "Ciglio"
//	model = "C1"
//	version = "1"                     # if any
//	serial = "IPS-0042"
//	road = "SP 46"                    # of fixed devices, with position and direction
//	position = "7.7km"
//	direction = "Sabaudia"
//	from = 2026-01-10                 # first day or instant of the entry
//	to = 2027-01-09                   # last one; left out while it stands
//	notes = ""
//
// A device that moved has several rows. Unknown keys are errors. Whether a row is in
// force is judged by package trust, not here.
package register

import (
	"fmt"

	"ciglio/agent/config"
	"ciglio/agent/lawtime"
	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/internal/strict"
)

// Bounds of an extract.
const (
	MaxSize = 1 << 20 // bytes
	MaxRows = 10_000
)

// Parse reads an extract.
func Parse(text []byte) (*trust.Register, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("register: %d bytes, at most %d", len(text), MaxSize)
	}
	var file struct {
		Version int64         `toml:"version"`
		Taken   lawtime.Begin `toml:"taken"`
		Device  []struct {
			EntityName    string        `toml:"entity_name"`
			EntityCode    string        `toml:"entity_code"`
			CadastralCode string        `toml:"cadastral_code"`
			Approval      string        `toml:"approval"`
			Type          string        `toml:"type"`
			Brand         string        `toml:"brand"`
			Model         string        `toml:"model"`
			Version       string        `toml:"version"`
			Serial        string        `toml:"serial"`
			Road          string        `toml:"road"`
			Position      config.Length `toml:"position"`
			Direction     string        `toml:"direction"`
			From          lawtime.Begin `toml:"from"`
			To            lawtime.End   `toml:"to"`
			Notes         string        `toml:"notes"`
		} `toml:"device"`
	}
	if _, err := strict.Decode(string(text), &file); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	switch {
	case file.Version < 1:
		return nil, fmt.Errorf("register: version: want 1 or more")
	case file.Taken.IsZero():
		return nil, fmt.Errorf("register: taken: missing")
	case len(file.Device) > MaxRows:
		return nil, fmt.Errorf("register: %d devices, at most %d", len(file.Device), MaxRows)
	}
	r := &trust.Register{Version: uint64(file.Version), Taken: file.Taken.Time}
	for i, d := range file.Device {
		for _, need := range []struct {
			key, text string
			optional  bool
		}{
			{"entity_name", d.EntityName, false}, {"entity_code", d.EntityCode, false}, {"cadastral_code", d.CadastralCode, true},
			{"approval", d.Approval, false}, {"type", d.Type, false}, {"brand", d.Brand, false}, {"model", d.Model, false},
			{"version", d.Version, true}, {"serial", d.Serial, false}, {"road", d.Road, true}, {"direction", d.Direction, true}, {"notes", d.Notes, true},
		} {
			if (need.text != "" || !need.optional) && !evidence.Printable(need.text, evidence.MaxText) {
				return nil, fmt.Errorf("register: device %d: %s: want a text of 1 to 256 bytes", i+1, need.key)
			}
		}
		switch {
		case d.From.IsZero():
			return nil, fmt.Errorf("register: device %d: from: missing", i+1)
		case !d.To.IsZero() && d.To.Before(d.From.Time):
			return nil, fmt.Errorf("register: device %d: to: lies before from", i+1)
		case d.Road == "" && d.Position != 0:
			return nil, fmt.Errorf("register: device %d: position: without a road", i+1)
		}
		r.Rows = append(r.Rows, trust.Row{
			Serial: d.Serial, Road: d.Road, Position: uint32(d.Position / 1000),
			Permit: trust.Permit{Words: d.EntityCode + " " + d.Serial, From: d.From.Time, To: d.To.Time},
		})
	}
	return r, nil
}
