package evidence

import (
	"fmt"
	"strings"
)

// A Named is a verdict and what it is of, as the caller names it: a path.
type Named struct {
	Name    string
	Verdict *Verdict
}

// Together looks at verdicts that were reached one by one for what only shows
// side by side. A file counts for the record that sent it alone: where two records
// name the same picture or raw data, of one device or of two, the check reuse of
// both fails, in their verdicts. It returns one check, "chain", of all records: see
// [VerifyChain]. Records that are missing between two others fail it when whole is
// true or any record measures nothing, since then somebody wants to know; and those
// before the first, or that a receipt names, when any record measures nothing.
// Violations alone hardly ever follow each other: what lies around them is told as
// not checked.
//
// Where a trust file was there, only records whose signature passed count: a forged
// record must not spoil a good one.
func Together(all []Named, whole bool) Check {
	const name = "chain"
	trusted, audit := false, false
	for _, n := range all {
		trusted = trusted || n.Verdict.status("signature") == Pass
	}
	var records []*Sealed
	var receipts []*SealedReceipt
	seen := map[Hash]bool{}
	for _, n := range all {
		s := n.Verdict.Record
		if s == nil || trusted && n.Verdict.status("signature") != Pass {
			continue
		}
		if r := n.Verdict.receipt; r != nil {
			receipts = append(receipts, r)
		}
		if seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		records = append(records, s)
		audit = audit || !s.Record.Kind.Measured()
	}
	reuse(all, seen)
	if len(records) == 0 {
		return check(name, false, NotChecked, "No record can be placed in a chain.")
	}
	sortChains(records)
	breaks := VerifyChain(records, receipts...)
	var missing, wrong []string
	for _, b := range breaks {
		words := fmt.Sprintf("device %v, epoch %d: %s", b.Device, b.Epoch, b.Words)
		if audit || b.Fault != FaultCut && (whole || b.Fault != FaultGap) {
			wrong = append(wrong, words)
		} else {
			missing = append(missing, words)
		}
	}
	switch told := sentences(append(wrong, missing...)); {
	case len(wrong) > 0:
		return check(name, true, Fail, "%s", told)
	case len(missing) > 0:
		return check(name, false, NotChecked, "Other records belong to the chain that are not here. %s", told)
	case !trusted:
		return check(name, false, NotChecked, "%d records follow each other without a gap, but no trusted key says who sealed them.", len(records))
	}
	return check(name, false, Pass, "%d records follow each other without a gap, each bound to the one before.", len(records))
}

// sentences joins what was found, of which there may be very much.
func sentences(all []string) string {
	const most = 100
	var b strings.Builder
	for i, s := range all[:min(len(all), most)] {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToUpper(s[:1]) + s[1:] + ".")
	}
	if len(all) > most {
		fmt.Fprintf(&b, " And %d more.", len(all)-most)
	}
	return b.String()
}

func (v *Verdict) status(name string) Status {
	for _, c := range v.Checks {
		if c.Name == name {
			return c.Status
		}
	}
	return NotChecked
}

// A use is one place where a file is named.
type use struct {
	what string // "picture 2"
	by   Named
}

// reuse fails the check of every record, among those that count, that names a file
// of another one.
func reuse(all []Named, count map[Hash]bool) {
	uses := map[Hash]map[Hash]use{} // by file and record
	var files, order []Hash
	add := func(file Hash, what string, n Named) {
		id := n.Verdict.Record.ID
		if uses[file] == nil {
			uses[file], files = map[Hash]use{}, append(files, file)
		}
		if _, known := uses[file][id]; !known {
			uses[file][id] = use{what, n}
		}
	}
	for _, n := range all {
		s := n.Verdict.Record
		if s == nil || !count[s.ID] {
			continue
		}
		order = append(order, s.ID)
		for i, f := range s.Record.Frames {
			add(f.SHA256, fmt.Sprintf("picture %d", i+1), n)
		}
		if t := s.Record.Trace; t != nil {
			add(t.SHA256, "the raw data", n)
		}
	}
	for _, file := range files {
		if len(uses[file]) < 2 {
			continue
		}
		for id, u := range uses[file] {
			for _, other := range order {
				o, there := uses[file][other]
				if !there || other == id {
					continue
				}
				r := o.by.Verdict.Record.Record
				words := fmt.Sprintf("%s%s is also %s of record %d, epoch %d, of device %v (%q).",
					strings.ToUpper(u.what[:1]), u.what[1:], o.what, r.Seq, r.Epoch, r.Device, o.by.Name)
				for _, n := range all { // the same record may have been given twice
					if n.Verdict.Record != nil && n.Verdict.Record.ID == id {
						n.Verdict.fail("reuse", words)
					}
				}
				break
			}
		}
	}
}

// fail fails a check that has not failed yet.
func (v *Verdict) fail(name, words string) {
	for i, c := range v.Checks {
		if c.Name == name && c.Status != Fail {
			v.Checks[i].Status, v.Checks[i].Words = Fail, words
		}
	}
}
