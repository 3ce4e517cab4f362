package evidence

import (
	"bytes"
	"cmp"
	"slices"
	"time"
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
	FaultClock        Fault = "clock"        // UTC went back, or jumped without a record of it
	FaultCounter      Fault = "counter"      // the hardware counter did not go up
)

// A Break is one fault of a device's chain, at the record with the given place.
type Break struct {
	Device     DeviceID
	Epoch, Seq uint64
	Fault      Fault
	Said       // names the device and the epoch, too
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
	slices.SortStableFunc(keys, func(a, b chain) int {
		return cmp.Or(bytes.Compare(a.device[:], b.device[:]), cmp.Compare(a.epoch, b.epoch))
	})
	for i, k := range keys {
		if i > 0 && keys[i-1].device == k.device && k.epoch > keys[i-1].epoch+1 {
			breaks = append(breaks, Break{k.device, k.epoch, 1, FaultGap,
				said("chain.epochs", "device", k.device, "from", Number(keys[i-1].epoch+1), "to", Number(k.epoch-1))})
		}
		report := func(seq uint64, fault Fault, code string, pairs ...any) {
			pairs = append(pairs, "device", k.device, "epoch", Number(k.epoch), "seq", Number(seq))
			breaks = append(breaks, Break{k.device, k.epoch, seq, fault, said(code, pairs...)})
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
			report(seq, FaultOrder, "chain.behind", "before", Number(before))
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
			report(seq, FaultCut, "chain.starts")
		case seq == last:
			report(seq, FaultEquivocation, "chain.two", "one", ids[seq], "other", s.ID)
		case seq > last+1:
			report(seq, FaultGap, "chain.gap", "from", Number(last+1), "to", Number(seq-1))
		}
		if !linked(records[:i], s) {
			report(seq, FaultLink, "chain.link", "before", Number(seq-1))
		}
		if i > 0 && seq == last+1 {
			follows(records[i-1].Record, s.Record, report)
		}
		ids[seq] = s.ID
	}
	for _, e := range receipted {
		id, known := ids[e.Seq]
		switch {
		case known && id != e.ID:
			report(e.Seq, FaultEquivocation, "chain.other", "received", e.ID, "here", id)
		case !known && (len(records) == 0 || e.Seq > records[len(records)-1].Record.Seq):
			report(e.Seq, FaultCut, "chain.receipted")
		}
	}
}

// Bounds of two records that follow each other.
const (
	// stepNear is how far UTC may move against the monotonic clock without a record
	// of it: devices notice 0.5 s, and a daemon moves it by 1/12 of the time at most
	// (chrony, maxslewrate 83 333 ppm).
	stepNear, slew = 500 * time.Millisecond, 12
	// sealedLate is how long after its instant a violation may be sealed, behind
	// others.
	sealedLate = 2 * time.Minute
)

// follows checks what the clocks and the counter of two records say that stand one
// behind the other. A year ahead and back again, or a record made elsewhere, shows
// here though each record alone is good.
func follows(a, b *Record, report func(uint64, Fault, string, ...any)) {
	if a.CounterClass != 0 && a.CounterClass == b.CounterClass && b.CounterValue <= a.CounterValue {
		report(b.Seq, FaultCounter, "chain.counter", "before", Number(a.Seq))
	}
	if a.Boot != b.Boot {
		if a.Clock.Synchronised && b.Clock.Synchronised && b.UTC.Before(a.UTC.Add(-stepNear)) {
			report(b.Seq, FaultClock, "chain.dated_back", "at", b.UTC, "before", Number(a.Seq), "of", a.UTC)
		}
		return
	}
	passed := b.Mono.Sub(a.Mono)
	if passed < -sealedLate {
		report(b.Seq, FaultOrder, "chain.made_before", "before", Number(a.Seq))
	}
	moved := b.UTC.Sub(a.UTC) - passed // as far as a Duration holds, which is 292 years
	if b.Kind == KindClockStep {
		if step, ok := b.Body[1].(int64); ok {
			moved -= time.Duration(step)
		}
	}
	if moved.Abs() > stepNear+passed.Abs()/slew {
		report(b.Seq, FaultClock, "chain.jump", "before", Number(a.Seq), "of", a.UTC, "at", b.UTC, "by", moved.Round(time.Millisecond))
	}
}

// sortChains orders records as their chains do.
func sortChains(records []*Sealed) {
	slices.SortStableFunc(records, func(a, b *Sealed) int {
		return cmp.Or(bytes.Compare(a.Record.Device[:], b.Record.Device[:]), cmp.Compare(a.Record.Epoch, b.Record.Epoch),
			cmp.Compare(a.Record.Seq, b.Record.Seq))
	})
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
