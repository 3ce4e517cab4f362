package evidence

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
		return check(name, false, NotChecked, "chain.none")
	}
	sortChains(records)
	breaks := VerifyChain(records, receipts...)
	var missing, wrong []Said
	for _, b := range breaks {
		if audit || b.Fault != FaultCut && (whole || b.Fault != FaultGap) {
			wrong = append(wrong, b.Said)
		} else {
			missing = append(missing, b.Said)
		}
	}
	switch n := Count(len(records)); {
	case len(wrong) > 0:
		told := told(append(wrong, missing...))
		return Check{Name: name, Status: Fail, Mandatory: true, Said: told[0], Further: told[1:]}
	case len(missing) > 0:
		return Check{Name: name, Status: NotChecked, Said: said("chain.missing"), Further: told(missing)}
	case !trusted:
		return check(name, false, NotChecked, "chain.unsigned", "n", n)
	default:
		return check(name, false, Pass, "chain.whole", "n", n)
	}
}

// told cuts what was found, of which there may be very much.
func told(all []Said) []Said {
	const most = 100
	if len(all) <= most {
		return all
	}
	return append(all[:most:most], said("chain.more", "more", Number(len(all)-most)))
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
	picture int // counts from one; 0 for the raw data
	by      Named
}

// reuse fails the check of every record, among those that count, that names a file
// of another one.
func reuse(all []Named, count map[Hash]bool) {
	uses := map[Hash]map[Hash]use{} // by file and record
	var files, order []Hash
	add := func(file Hash, picture int, n Named) {
		id := n.Verdict.Record.ID
		if uses[file] == nil {
			uses[file], files = map[Hash]use{}, append(files, file)
		}
		if _, known := uses[file][id]; !known {
			uses[file][id] = use{picture, n}
		}
	}
	for _, n := range all {
		s := n.Verdict.Record
		if s == nil || !count[s.ID] {
			continue
		}
		order = append(order, s.ID)
		for i, f := range s.Record.Frames {
			add(f.SHA256, i+1, n)
		}
		if t := s.Record.Trace; t != nil {
			add(t.SHA256, 0, n)
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
				found := u.also(o)
				for _, n := range all { // the same record may have been given twice
					if n.Verdict.Record != nil && n.Verdict.Record.ID == id {
						n.Verdict.fail("reuse", found)
					}
				}
				break
			}
		}
	}
}

// also says that a file is named in another place, too.
func (u use) also(other use) Said {
	r := other.by.Verdict.Record.Record
	s := said("reuse.raw_also_raw", "seq", Number(r.Seq), "epoch", Number(r.Epoch), "device", r.Device, "where", Names{other.by.Name})
	switch {
	case u.picture > 0 && other.picture > 0:
		s.Code = "reuse.picture_also_picture"
	case u.picture > 0:
		s.Code = "reuse.picture_also_raw"
	case other.picture > 0:
		s.Code = "reuse.raw_also_picture"
	}
	if u.picture > 0 {
		s.Args["n"] = Number(u.picture)
	}
	if other.picture > 0 {
		s.Args["other"] = Number(other.picture)
	}
	return s
}

// fail fails a check that has not failed yet.
func (v *Verdict) fail(name string, found Said) {
	for i, c := range v.Checks {
		if c.Name == name && c.Status != Fail {
			v.Checks[i].Status, v.Checks[i].Said = Fail, found
		}
	}
}
