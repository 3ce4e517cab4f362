package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
)

// scanned is what lies in the folder of a store.
type scanned struct {
	clean      bool
	mark       mark       // zero when there is none, or it is not readable
	tip        mark       // the same
	ledger     ledger     // reconciled with everything else that is here
	unledgered bool       // none was found
	segments   []*segment // those that can be used, ascending
	numbers    []uint64   // of all segments, the damaged ones included
	bad        []badFile
	state      *savedState // nil when there is none
	stateBad   bool
	aside      []Trouble // what lies in damaged/
	temporary  []string
	foreign    []string
}

type badFile struct {
	name  string
	cause error
}

// parseSegmentName reads the form of segmentName and no other.
func parseSegmentName(name string) (uint64, bool) {
	var n uint64
	if _, err := fmt.Sscanf(name, "%d.db", &n); err != nil || n == 0 || segmentName(n) != name {
		return 0, false
	}
	return n, true
}

// exists reports whether a file is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// scan reads the folder of a store, and changes nothing.
func scan(dir string, device evidence.DeviceID) (*scanned, error) {
	f := &scanned{clean: exists(filepath.Join(dir, "clean"))}
	// A store that is being written must not be behind what tells of it: so the
	// segments come last.
	f.tip, f.ledger = readTip(dir), readLedger(dir)
	if b, err := os.ReadFile(filepath.Join(dir, "mark")); err == nil {
		if m, err := parseMark(b); err == nil {
			f.mark = m
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, diskError("outbox "+dir, err)
	}
	if err := f.scanTop(dir); err != nil {
		return nil, err
	}
	state, err := loadState(dir, device)
	if err != nil {
		f.stateBad = true
		f.bad = append(f.bad, badFile{stateName, fmt.Errorf("%s: %w: %w", stateName, ErrDamaged, err)})
	}
	if f.state = state; state != nil {
		f.mark = f.mark.newer(state.mark)
		if state.ledger.generation > f.ledger.generation {
			f.ledger = state.ledger
		}
	}
	if err := f.scanSegments(dir, device); err != nil {
		return nil, err
	}
	f.reconcile()
	return f, nil
}

// scanTop looks at the names in the folder itself and in damaged/.
func (f *scanned) scanTop(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return diskError("outbox "+dir, err)
	}
	for _, e := range entries {
		switch name := e.Name(); name {
		case "segments", "damaged", "lock", "mark", "tip", "ledger", "clean", acknowledgedName, stateName:
		case "mark.new", "ledger.new", "clean.new", stateName + ".new":
			f.temporary = append(f.temporary, name)
		default:
			if durable.Unfinished(name) { // of a file that was to become acknowledged
				f.temporary = append(f.temporary, name)
				continue
			}
			f.foreign = append(f.foreign, name)
		}
	}
	moved, err := os.ReadDir(filepath.Join(dir, "damaged"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return diskError("outbox "+dir, err)
	}
	for _, e := range moved {
		f.setAside(dir, e.Name())
		name, _, _ := strings.Cut(e.Name(), ".db")
		if n, ok := parseSegmentName(name + ".db"); ok {
			f.numbers = append(f.numbers, n)
		}
	}
	return nil
}

// setAside notes a file of damaged/, with the reason that lies beside it.
func (f *scanned) setAside(dir, name string) {
	if strings.HasSuffix(name, ".txt") {
		return
	}
	path := filepath.Join("damaged", name)
	fact := name + ": set aside, why is not known"
	if b, err := os.ReadFile(filepath.Join(dir, path+".txt")); err == nil && len(b) < 4096 {
		fact = strings.TrimSpace(string(b))
	}
	f.aside = append(f.aside, Trouble{path, fact})
}

// scanSegments looks at every segment file.
func (f *scanned) scanSegments(dir string, device evidence.DeviceID) error {
	entries, err := os.ReadDir(filepath.Join(dir, "segments"))
	if errors.Is(err, os.ErrNotExist) && (f.ledger.generation > 0 || f.state != nil || f.mark != (mark{})) {
		err = nil // there has been a store
	}
	if err != nil {
		return diskError("outbox "+dir, err)
	}
	for _, e := range entries {
		name := filepath.Join("segments", e.Name())
		n, ok := parseSegmentName(e.Name())
		if base, temp := strings.CutSuffix(e.Name(), ".new"); temp {
			if _, ok := parseSegmentName(base); ok {
				f.temporary = append(f.temporary, name)
				continue
			}
		}
		if !ok {
			f.foreign = append(f.foreign, name)
			continue
		}
		f.numbers = append(f.numbers, n)
		s, err := inspectSegment(filepath.Join(dir, name), device)
		if err == nil && s.number != n {
			err = fmt.Errorf("it says it is segment %d", s.number)
		}
		if err != nil {
			f.bad = append(f.bad, badFile{name, fmt.Errorf("segment %s: %w: %w", e.Name(), ErrDamaged, err)})
			continue
		}
		f.segments = append(f.segments, s)
	}
	slices.SortFunc(f.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	f.refuseOverlaps()
	if n := len(f.segments); n > 0 && f.segments[n-1].torn {
		s := f.segments[n-1]
		if s.orphan, err = hasOrphan(filepath.Join(dir, "segments", segmentName(s.number)), device, s); err != nil {
			return diskError("segment "+segmentName(s.number), err)
		}
	}
	return nil
}

// refuseOverlaps takes out segments that do not continue the ones before, as
// when a file has been put back from a copy: the number of a record must lead to
// one record.
func (f *scanned) refuseOverlaps() {
	var before Key
	f.segments = slices.DeleteFunc(f.segments, func(s *segment) bool {
		if start := at(s.epoch, s.firstSeq); start.Less(before) {
			name := segmentName(s.number)
			f.bad = append(f.bad, badFile{filepath.Join("segments", name), fmt.Errorf(
				"segment %s: %w: it begins with epoch %d number %d, the one before it ends later", name, ErrDamaged, s.epoch, s.firstSeq)})
			return true
		}
		before = at(s.epoch, s.next)
		return false
	})
}

// furthest returns the highest number of a segment and the highest epoch that
// anything in the folder tells of.
func (f *scanned) furthest() (segment, epoch uint64) {
	segment, epoch = max(f.mark.segment, f.tip.segment), max(f.mark.epoch, f.tip.epoch)
	for _, n := range f.numbers {
		segment = max(segment, n)
	}
	for _, a := range f.ledger.accounts {
		segment, epoch = max(segment, a.segment), max(epoch, a.epoch)
	}
	if f.state != nil {
		for n := range f.state.settled {
			segment = max(segment, n)
		}
		for n := range f.state.expired {
			segment = max(segment, n)
		}
	}
	return segment, epoch
}

// headLost says why the last record that is there may not be the last one there
// was; "" when it is.
func (f *scanned) headLost(segments []*segment) string {
	if len(segments) == 0 {
		return "no segment is left"
	}
	s := segments[len(segments)-1]
	last := s.number
	newest, _ := f.furthest()
	switch {
	case newest > last:
		return fmt.Sprintf("segment %s is the newest that is left, there was %s", segmentName(last), segmentName(newest))
	case s.headless != nil:
		return fmt.Sprintf("segment %s: %v", segmentName(last), s.headless)
	case s.torn:
		return fmt.Sprintf("segment %s has lost a meta page, perhaps with the last record", segmentName(last))
	}
	for _, m := range []mark{f.mark, f.tip} {
		if at(s.epoch, s.next).Less(at(m.epoch, m.next)) {
			return fmt.Sprintf("the next record would be epoch %d number %d, it has been epoch %d number %d", s.epoch, s.next, m.epoch, m.next)
		}
	}
	if f.state != nil {
		if m := f.state.settled[last]; m != nil && m.last >= s.next {
			return fmt.Sprintf("the next record would be epoch %d number %d, number %d has been settled", s.epoch, s.next, m.last)
		}
	}
	return ""
}
