package evidence

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// A Fault says how a chain is broken.
type Fault string

// The faults.
const (
	FaultOrder        Fault = "order"        // records stand in another order than they were made
	FaultGap          Fault = "gap"          // records are missing between two others
	FaultLink         Fault = "link"         // a record does not name the one before it
	FaultCut          Fault = "cut"          // records are missing at the start, or at the end that a receipt names
	FaultEquivocation Fault = "equivocation" // one place in the chain holds two records
)

// A Break is one fault of a device's chain, at the record with the given place.
type Break struct {
	Device     DeviceID
	Epoch, Seq uint64
	Fault      Fault
	Words      string
}

// VerifyChain looks for faults in the chains of any number of devices and
// epochs; none means that each chain is whole from its first record to the last
// one given. The records of one chain must be given in the order in which they
// were stored. The same record twice is no fault.
//
// The signatures must have been checked before. A tail that was cut off shows
// only against something outside the chain: receipts given here that name a
// record which is not there, and for the newest ones the hourly heartbeat that
// is missing.
func VerifyChain(records []*Sealed, receipts ...*SealedReceipt) []Break {
	type chain struct {
		device DeviceID
		epoch  uint64
	}
	chains := map[chain][]*Sealed{}
	var keys []chain
	add := func(k chain, s ...*Sealed) {
		if _, known := chains[k]; !known {
			keys = append(keys, k)
		}
		chains[k] = append(chains[k], s...)
	}
	for _, s := range records {
		add(chain{s.Record.Device, s.Record.Epoch}, s)
	}
	receipted := map[chain][]ReceiptEntry{}
	for _, r := range receipts {
		for _, e := range r.Receipt.Entries {
			k := chain{r.Receipt.Device, e.Epoch}
			add(k)
			receipted[k] = append(receipted[k], e)
		}
	}
	var breaks []Break
	for _, k := range keys {
		report := func(seq uint64, fault Fault, format string, args ...any) {
			breaks = append(breaks, Break{k.device, k.epoch, seq, fault, fmt.Sprintf(format, args...)})
		}
		checkChain(chains[k], receipted[k], report)
	}
	return breaks
}

// checkChain checks one chain.
func checkChain(records []*Sealed, receipted []ReceiptEntry, report func(uint64, Fault, string, ...any)) {
	seen := map[Hash]bool{}
	records = slices.DeleteFunc(slices.Clone(records), func(s *Sealed) bool {
		again := seen[s.ID]
		seen[s.ID] = true
		return again
	})
	for i := 1; i < len(records); i++ {
		if before, seq := records[i-1].Record.Seq, records[i].Record.Seq; seq < before {
			report(seq, FaultOrder, "record %d stands behind record %d", seq, before)
		}
	}
	slices.SortFunc(records, func(a, b *Sealed) int {
		return cmp.Or(cmp.Compare(a.Record.Seq, b.Record.Seq), bytes.Compare(a.ID[:], b.ID[:]))
	})

	ids := map[uint64]Hash{}
	for i, s := range records {
		seq, last := s.Record.Seq, uint64(0)
		if i > 0 {
			last = records[i-1].Record.Seq
		}
		switch {
		case i == 0 && seq > 1:
			report(seq, FaultCut, "the chain starts with record %d: what came before is missing", seq)
		case seq == last:
			report(seq, FaultEquivocation, "two records have number %d: %v and %v", seq, ids[seq], s.ID)
		case seq > last+1:
			report(seq, FaultGap, "records %d to %d are missing", last+1, seq-1)
		}
		if !linked(records[:i], s) {
			report(seq, FaultLink, "record %d names another record before it than number %d", seq, seq-1)
		}
		ids[seq] = s.ID
	}
	for _, e := range receipted {
		id, known := ids[e.Seq]
		switch {
		case known && id != e.ID:
			report(e.Seq, FaultEquivocation, "the centre has another record %d: %v, not %v", e.Seq, e.ID, id)
		case !known && (len(records) == 0 || e.Seq > records[len(records)-1].Record.Seq):
			report(e.Seq, FaultCut, "record %d has a receipt and is missing", e.Seq)
		}
	}
}

// linked reports whether s names one of the records with the number before its
// own. Where there is none, a gap or a cut is reported already.
func linked(before []*Sealed, s *Sealed) bool {
	none := true
	for _, b := range slices.Backward(before) {
		switch b.Record.Seq {
		case s.Record.Seq:
		case s.Record.Seq - 1:
			if b.Link == s.Record.Prev {
				return true
			}
			none = false
		default:
			return none
		}
	}
	return none
}
