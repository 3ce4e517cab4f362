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
)

// scanned is what lies in the folder of a store.
type scanned struct {
	clean     bool
	mark      mark       // zero when there is none, or it is not readable
	segments  []*segment // those that can be used, ascending
	numbers   []uint64   // of all segments, the damaged ones included
	bad       []badFile
	state     *savedState // nil when there is none
	stateBad  bool
	temporary []string
	foreign   []string
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
	if err := f.scanSegments(dir, device); err != nil {
		return nil, err
	}
	state, err := loadState(dir, device)
	if err != nil {
		f.stateBad = true
		f.bad = append(f.bad, badFile{stateName, fmt.Errorf("%s: %w: %w", stateName, ErrDamaged, err)})
	}
	if f.state = state; state != nil {
		f.mark = f.mark.newer(state.mark)
	}
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
		case "segments", "damaged", "lock", "mark", "clean", stateName:
		case "mark.new", "clean.new", stateName + ".new":
			f.temporary = append(f.temporary, name)
		default:
			f.foreign = append(f.foreign, name)
		}
	}
	moved, err := os.ReadDir(filepath.Join(dir, "damaged"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return diskError("outbox "+dir, err)
	}
	for _, e := range moved {
		name, _, _ := strings.Cut(e.Name(), ".db")
		if n, ok := parseSegmentName(name + ".db"); ok {
			f.numbers = append(f.numbers, n)
		}
	}
	return nil
}

// scanSegments looks at every segment file.
func (f *scanned) scanSegments(dir string, device evidence.DeviceID) error {
	entries, err := os.ReadDir(filepath.Join(dir, "segments"))
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
