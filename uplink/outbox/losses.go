package outbox

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Loss is one thing that the store cannot read, misses or has set aside, by a
// code for programs and in the words that every command, report and page uses.
type Loss struct {
	Code    string `json:"code"`
	Words   string `json:"words"`
	Numbers *Range `json:"numbers,omitempty"` // of records that are missing
	// Acknowledged says who knows of it; nil for nobody.
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
}

// String returns the words, and who knows of it.
func (l Loss) String() string {
	if a := l.Acknowledged; a != nil {
		return fmt.Sprintf("%s (acknowledged %s by %s: %s)", l.Words, a.Time.Format(time.DateOnly), a.By, a.Why)
	}
	return l.Words
}

// Unknown returns those of the losses that nobody has acknowledged.
func Unknown(all []Loss) []Loss {
	return slices.DeleteFunc(slices.Clone(all), func(l Loss) bool { return l.Acknowledged != nil })
}

// The codes of losses.
const (
	RecordsMissing = "records_missing"  // numbers that were taken and are not in the store
	StoreDamaged   = "store_damaged"    // a file of the store, in its place or in damaged/
	RecordDamaged  = "record_damaged"   // a record that cannot be read whole
	RecordSetAside = "record_set_aside" // a record that is not sent
	ReceiptsLost   = "receipts_lost"    // state.db is gone: all records wait again
	EpochRaised    = "epoch_raised"     // the end of the chain is not known
)

// Losses tells all that is wrong with the store, in a fixed order; none when all
// is well.
func (r Report) Losses() []Loss {
	var all []Loss
	add := func(code, format string, args ...any) {
		all = append(all, Loss{Code: code, Words: fmt.Sprintf(format, args...)})
	}
	for _, m := range r.Missing {
		add(RecordsMissing, "%v missing", m)
		all[len(all)-1].Numbers = &m
	}
	for _, t := range slices.Concat(r.Moved, r.Aside) {
		add(StoreDamaged, "%s", t.Fact)
	}
	for _, t := range r.Records {
		add(RecordDamaged, "%s damaged: %s", t.Name, t.Fact)
	}
	for _, t := range r.SetAside {
		add(RecordSetAside, "%s set aside: %s", t.Name, t.Fact)
	}
	if r.Rebuilt {
		add(ReceiptsLost, "state.db lost: every record waits again")
	}
	if r.Raised != "" {
		add(EpochRaised, "a new epoch begins: %s", r.Raised)
	}
	if r.unread != nil {
		add(StoreDamaged, "%v: what was acknowledged is not known", r.unread)
	}
	return r.acknowledge(all)
}

// Unaccounted returns how many record numbers are missing that were not settled;
// with atLeast there may be more.
func (r Report) Unaccounted() (n uint64, atLeast bool) {
	for _, m := range r.Missing {
		n += m.Count() - m.Settled
		atLeast = atLeast || m.Open
	}
	return n, atLeast
}

// troubles lists records in the order of the chain, each with its reason.
func troubles(of map[Key]string) []Trouble {
	var all []Trouble
	for _, k := range slices.SortedFunc(maps.Keys(of), func(a, b Key) int {
		switch {
		case a.Less(b):
			return -1
		case b.Less(a):
			return 1
		}
		return 0
	}) {
		all = append(all, Trouble{fmt.Sprintf("epoch %d number %d", k.Epoch, k.Seq), of[k]})
	}
	return all
}
