package device

import (
	"fmt"

	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// This file is the door through which an act enters the chain. What the device
// does by itself has records of its own kinds; what somebody did to it comes in
// here, with who, what, old and new.

// The device's own word for who acts when nobody else does.
const itself = "device"

// A Deed is an act that was done while no device ran, such as the provisioning
// that a start follows.
type Deed struct {
	What string // in words
	Act  evidence.Act
	// Noted is called once the record is on flash, on the goroutine of Run; nil for
	// nobody. Whoever keeps a deed until it is recorded may forget it then.
	Noted func()
}

// Note records an act: what in words, for people, and the act for whoever counts.
// It returns when the record is on flash, or an error when it is not; one that wraps
// [outbox.ErrFull] when there is no room. Who must not act unrecorded asks first.
func (d *Device) Note(what string, a evidence.Act) error {
	return d.recorder.note(evidence.KindOperator, operatorBody(what, a))
}

func operatorBody(what string, a evidence.Act) evidence.Body {
	return evidence.Body{1: evidence.CleanText(what)}.WithAct(&a)
}

// SelfTest looks at every part now and records what stands against the device,
// with who asked for it. The outcome of the act is filled in.
func (d *Device) SelfTest(a evidence.Act) ([]sensor.Finding, error) {
	findings := d.faults.retest()
	a.Outcome = outcomeOf(findings)
	return findings, d.recorder.note(evidence.KindSelfTest, selfTestBody(findings).WithAct(&a))
}

// Outcomes of acts.
const (
	outcomeDone    = "done"
	outcomeFailed  = "failed"
	outcomeRefused = "refused"
)

func outcomeOf(findings []sensor.Finding) string {
	if len(findings) > 0 {
		return outcomeFailed
	}
	return outcomeDone
}

func selfTestBody(findings []sensor.Finding) evidence.Body {
	if len(findings) == 0 {
		return evidence.Body{1: uint64(1), 2: "sensor and camera work"}
	}
	return evidence.Body{1: uint64(0), 2: evidence.CleanText(trust.Words(findings))}
}

// replaced returns the notes that say that the device starts under another
// calibration, configuration, program or key than the last record in the store was
// made under: whoever changed a file by hand is in the journal all the same. There
// are none in a store without a record that can be read.
func replaced(last *evidence.Record, now evidence.Record) []note {
	if last == nil {
		return nil
	}
	var all []note
	changed := func(subject, old, new string, before, after evidence.Hash) {
		if before == after {
			return
		}
		all = append(all, note{evidence.KindOperator, operatorBody(
			fmt.Sprintf("found at the start: another %s than before, %s instead of %s", subject, new, old),
			evidence.Act{Actor: itself, Role: "unknown", Code: "parameter", Subject: subject, Old: old, New: new,
				OldHash: &before, NewHash: &after, Outcome: outcomeDone},
		)})
	}
	if c := last.Calibration; c != nil {
		changed("calibration", statementWords(c.Statement), statementWords(now.Calibration.Statement), c.SHA256, now.Calibration.SHA256)
	}
	changed("configuration", statementWords(last.Configuration), statementWords(now.Configuration), last.Configuration.SHA256, now.Configuration.SHA256)
	changed("program", last.Software.Version, now.Software.Version, last.Software.Binary, now.Software.Binary)
	changed("certificate of the evidence key", "the one before", "another", last.Key.Certificate, now.Key.Certificate)
	return all
}

func statementWords(s evidence.Statement) string {
	return fmt.Sprintf("%s version %d", orUnnamed(s.ID), s.Version)
}

func orUnnamed(id string) string {
	if id == "" {
		return "unnamed"
	}
	return id
}

// lastRecord returns the newest record of the store; nil when there is none that
// can be read.
func lastRecord(store *outbox.Outbox) *evidence.Record {
	head := store.Head()
	if head.Next <= 1 {
		return nil
	}
	sealed, err := opened(store, outbox.Key{Epoch: head.Epoch, Seq: head.Next - 1})
	if err != nil {
		return nil
	}
	return sealed.Record
}

// opened returns a record of the store. The error wraps [outbox.ErrNotFound] when
// there is none under the key.
func opened(store *outbox.Outbox, k uplink.Key) (*evidence.Sealed, error) {
	b, err := store.Record(k)
	if err != nil {
		return nil, err
	}
	return evidence.Open(b)
}
