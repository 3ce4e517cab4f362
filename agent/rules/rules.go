// Package rules reads the law's rules that come by a signed bundle: what is taken off
// an indicated speed, as dated data. It is one strict TOML file, signed by the officer
// and by the centre's root:
//
//	schema = 1
//	version = 3
//	[[rule]]
//	id = "it-345-2"
//	valid_from = 1993-01-01
//	valid_to = 2026-12-31
//	source = "D.P.R. 495/1992, art. 345, comma 2"
//	flat = "5km/h"
//	percent = 5
//	[[rule]]
//	id = "it-2027-1"
//	valid_from = 2027-01-01
//	source = "…"
//	flat = "5km/h"
//	percent = 5
//
// Schema 1 is the larger of a flat part and a share in per cent of the indicated
// speed, by the calendar day at the site; a program that does not know a schema
// refuses it.
//
// What it keeps true: a rule means one thing for ever. A rule that the program itself
// knows stands in every document as the program has it, but for its last day; what is
// new has a new id. No verifier takes a number from a document: it knows a rule by its
// id from its own table, and calls a record whose rule it does not know not checked.
package rules

import (
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"ciglio/agent/enforce"
	"ciglio/agent/lawtime"
	"ciglio/capture/evidence"
	"ciglio/internal/strict"
	"ciglio/sensor"
)

// MaxSize is the largest document, in bytes.
const MaxSize = 64 << 10

// schema is the one that this program computes by.
const schema = 1

// maxRules is how many rules a document may have.
const maxRules = 100

// A Document is what was read.
type Document struct {
	Version uint64
	SHA256  evidence.Hash
	Table   enforce.Table
}

// Parse reads a document.
func Parse(text []byte) (*Document, error) {
	d, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return d, nil
}

func parse(text []byte) (*Document, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d", len(text), MaxSize)
	}
	// The schema first: what another one has beside is not for this program to judge.
	var head struct {
		Schema int64 `toml:"schema"`
	}
	if err := strict.Known(string(text), &head); err != nil {
		return nil, err
	}
	if head.Schema != schema {
		return nil, fmt.Errorf("schema %d: this program computes by schema %d alone: it needs newer software first", head.Schema, schema)
	}
	var file struct {
		Schema  int64 `toml:"schema"`
		Version int64 `toml:"version"`
		Rule    []struct {
			ID      string       `toml:"id"`
			From    lawtime.Day  `toml:"valid_from"`
			To      lawtime.Day  `toml:"valid_to"`
			Source  string       `toml:"source"`
			Flat    sensor.Speed `toml:"flat"`
			Percent int64        `toml:"percent"`
		} `toml:"rule"`
	}
	if _, err := strict.Decode(string(text), &file); err != nil {
		return nil, err
	}
	switch {
	case file.Version < 1:
		return nil, fmt.Errorf("version: want 1 or more")
	case len(file.Rule) == 0 || len(file.Rule) > maxRules:
		return nil, fmt.Errorf("%d rules: want 1 to %d", len(file.Rule), maxRules)
	}
	d := &Document{Version: uint64(file.Version), SHA256: sha256.Sum256(text)}
	seen := map[string]bool{}
	for i, r := range file.Rule {
		switch {
		case !evidence.Printable(r.ID, evidence.MaxID) || seen[r.ID]:
			return nil, fmt.Errorf("rule %d: id: want a text of 1 to 64 bytes that no other has", i+1)
		case !evidence.Printable(r.Source, math.MaxUint16):
			return nil, fmt.Errorf("rule %s: source: want the law", r.ID)
		case r.From.IsZero():
			return nil, fmt.Errorf("rule %s: valid_from: missing", r.ID)
		case !r.To.IsZero() && r.To.Before(r.From.Time):
			return nil, fmt.Errorf("rule %s: valid_to: lies before valid_from", r.ID)
		case r.Flat < 0 || r.Flat > 50*sensor.KmH || r.Flat%sensor.KmH != 0:
			return nil, fmt.Errorf("rule %s: flat: want 0km/h to 50km/h in whole km/h", r.ID)
		case r.Percent < 0 || r.Percent > 50:
			return nil, fmt.Errorf("rule %s: percent: want 0 to 50", r.ID)
		case r.Flat == 0 && r.Percent == 0:
			return nil, fmt.Errorf("rule %s: takes nothing off", r.ID)
		}
		seen[r.ID] = true
		if i > 0 {
			if last := d.Table[i-1]; last.To.IsZero() || !r.From.After(last.To) {
				return nil, fmt.Errorf("rule %s: begins before rule %s has ended", r.ID, last.ID)
			}
		}
		d.Table = append(d.Table, enforce.Rule{ID: r.ID, From: r.From.Time, To: r.To.Time, Source: r.Source, Flat: r.Flat, Percent: r.Percent})
	}
	return d, d.keeps()
}

// keeps says whether each rule that the program knows stands in the document as it is.
func (d *Document) keeps() error {
	own, err := enforce.Italy()
	if err != nil {
		return err
	}
	for _, known := range own {
		r, there := d.find(known.ID)
		switch {
		case !there:
			return fmt.Errorf("rule %s is missing: a rule ends by its last day, and stays", known.ID)
		case !r.From.Equal(known.From) || r.Flat != known.Flat || r.Percent != known.Percent:
			return fmt.Errorf("rule %s is another one than this program knows by that id: a new rule needs a new id", known.ID)
		case !known.To.IsZero() && !r.To.Equal(known.To):
			return fmt.Errorf("rule %s ends on %s", known.ID, known.To.Format(time.DateOnly))
		}
	}
	return nil
}

func (d *Document) find(id string) (enforce.Rule, bool) {
	for _, r := range d.Table {
		if r.ID == id {
			return r, true
		}
	}
	return enforce.Rule{}, false
}

// Sealed adds to the statement of a configuration by which rules is judged, so that
// every record names them by their hash. Of a nil document, which stands for the
// program's own rules, it adds nothing.
func (d *Document) Sealed(statement []byte) []byte {
	if d == nil {
		return statement
	}
	return fmt.Appendf(statement, "\n# The law's rules, as they were installed.\n[rules]\nversion = %d\nsha256 = \"%v\"\n", d.Version, d.SHA256)
}
