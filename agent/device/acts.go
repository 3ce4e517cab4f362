package device

import (
	"time"

	"ciglio/agent/journal"
	"ciglio/capture/evidence"
	"ciglio/uplink/outbox"
)

// A JournalEntry is one record of the chain that is no measurement.
type JournalEntry struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`   // local time of the site
	Kind    string    `json:"kind"` // as in the record
	Who     string    `json:"who"`  // "" for the device by itself
	Role    string    `json:"role,omitempty"`
	Words   string    `json:"words"`
	Outcome string    `json:"outcome,omitempty"`
}

// mostScanned bounds how many records a look into the journal reads.
const mostScanned = 400

// Journal returns the newest entries, the newest first: at most so many, of the
// newest 400 records. What is one, and what it says in words, is agent/journal's.
func (d *Device) Journal(most int) ([]JournalEntry, error) {
	head := d.o.Outbox.Head()
	var all []JournalEntry
	for seq, scanned := head.Next, 0; seq > 1 && scanned < mostScanned && len(all) < most; scanned++ {
		seq--
		b, err := d.o.Outbox.Record(outbox.Key{Epoch: head.Epoch, Seq: seq})
		if err != nil {
			break // retention has dropped it, and all before
		}
		sealed, err := evidence.Open(b)
		if err != nil {
			return all, err
		}
		of, ok := journal.Of(sealed)
		if !ok {
			continue
		}
		e := JournalEntry{Seq: seq, At: of.UTC.In(d.zone), Kind: of.Kind.String(), Words: of.Words}
		if a := of.Act; a != nil {
			e.Who, e.Role, e.Outcome = a.Actor, a.Role, a.Outcome
		}
		all = append(all, e)
	}
	return all, nil
}
