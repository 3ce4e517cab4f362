package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ciglio/capture/evidence"
)

// A View is a store seen from another process, as it was when [OpenView] was
// called. It changes nothing and takes no lock, so that it works while the
// service runs, and on a medium that cannot be written. Its methods are safe for
// concurrent use, but for Examine.
type View struct {
	library
	device evidence.DeviceID
	found  *scanned
	head   Head
	raised string
	// spare are segments that are not in use, but of which records may be read:
	// those in damaged/, and those that Examine has found damaged.
	spare []*segment
}

// OpenView opens the store in dir for reading. The device is the owner's; the
// zero one means whichever owner state.db or, without it, a segment names; nobody
// when no file of a store is left that can be read.
//
// It reads the files page by page and without their locks. A page that the
// writer has since used for something else shows in the number of the
// transaction, and what was being read is read again: ErrBusy, after many
// attempts, means that the service writes faster than this.
func OpenView(dir string, device evidence.DeviceID) (*View, error) {
	if device == (evidence.DeviceID{}) {
		var err error
		if device, err = owner(dir); err != nil {
			return nil, err
		}
	}
	found, err := scanStill(dir, device)
	if err != nil {
		return nil, err
	}
	v := &View{device: device, found: found}
	v.library = library{dir: dir, source: v, index: index{damaged: map[Key]string{}, aside: map[Key]string{}, lost: map[uint64]*marks{}}}
	v.segments = found.segments
	if found.state != nil {
		found.state.apply(&v.index)
		v.head.Ack = found.state.ack
	}
	for _, t := range found.aside {
		path := filepath.Join(dir, t.Name)
		if s, err := inspectSegment(path, device); err == nil {
			s.path = path
			v.spare = append(v.spare, s)
		}
	}
	v.findHead()
	return v, nil
}

// scanStill is scan of a store that no segment is begun in or dropped from
// meanwhile.
func scanStill(dir string, device evidence.DeviceID) (*scanned, error) {
	for range attempts {
		found, err := scan(dir, device)
		if err != nil {
			return nil, err
		}
		if now := readLedger(dir).generation; now <= found.ledger.generation {
			return found, nil
		}
	}
	return nil, fmt.Errorf("outbox %s: %w", dir, ErrBusy)
}

// findHead finds out what the next record will carry.
func (v *View) findHead() {
	ack := v.head.Ack
	v.head, v.raised = Head{Ack: ack}, v.found.headLost(v.segments)
	if v.raised != "" {
		_, epoch := v.found.furthest()
		v.head.Epoch, v.head.Next = epoch+1, 1
		return
	}
	s := v.segments[len(v.segments)-1]
	v.head = Head{Epoch: s.epoch, Next: s.next, Prev: s.head, Ack: ack}
}

// owner returns the device that state.db names, or the first segment that can be
// read.
func owner(dir string) (d evidence.DeviceID, err error) {
	err = readPages(filepath.Join(dir, stateName), func(f *pageFile) error {
		b, err := f.value(keyAbout, bucketState)
		if err == nil && len(b) != 24 {
			err = fmt.Errorf("description of %d bytes", len(b))
		}
		if err == nil {
			d = evidence.DeviceID(b[8:])
		}
		return err
	})
	if err == nil {
		return d, nil
	}
	for _, folder := range []string{"segments", "damaged"} {
		entries, _ := os.ReadDir(filepath.Join(dir, folder)) // the error above tells
		for _, e := range entries {
			bad := readPages(filepath.Join(dir, folder, e.Name()), func(f *pageFile) error {
				b, err := f.value(keyAbout, bucketSegment)
				if err != nil {
					return err
				}
				a, err := parseAbout(b)
				d = a.device
				return err
			})
			if bad == nil {
				return d, nil
			}
		}
	}
	if exists(filepath.Join(dir, "ledger")) || exists(filepath.Join(dir, "mark")) {
		return evidence.DeviceID{}, nil // nothing is left that could be another's
	}
	return evidence.DeviceID{}, fmt.Errorf("outbox %s: %s: %w", dir, stateName, err)
}

// Examine looks for damage that OpenView has no need to see: it walks the
// structure of every segment and reads the entry of every record; with whole,
// also all bytes of each record that is not settled. [View.Report] tells what it
// has found. The error is that of ctx, or of a disk that cannot be read.
func (v *View) Examine(ctx context.Context, whole bool) error {
	for _, s := range slices.Clone(v.segments) {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Join("segments", segmentName(s.number))
		err := checkFile(filepath.Join(v.dir, name))
		if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrBusy) {
			continue
		}
		v.mu.Lock()
		v.found.bad = append(v.found.bad, badFile{name, fmt.Errorf("segment %s: %w: %w", segmentName(s.number), ErrDamaged, err)})
		v.markLost(s)
		v.spare = append(v.spare, s)
		v.findHead()
		v.mu.Unlock()
	}
	for it, err := range v.All(Key{}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if !whole || it.State == Settled || it.State == Damaged {
			continue
		}
		_, err = v.Record(it.Key)
		for i := 0; err == nil && i < len(it.Blobs); i++ {
			_, err = v.Blob(it.Key, i)
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// Stats counts what the store holds. Quota and Room are not known.
func (v *View) Stats() Stats {
	st := v.stats()
	st.Head = v.head
	return st
}

// Report says what is wrong with the store, without putting it in order. Raised
// says why the next start begins a new epoch, Epoch is the one of the next record,
// and Rebuilt says that it has to make state.db anew.
func (v *View) Report() Report {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r := Report{Clean: v.found.clean, Foreign: v.found.foreign, Aside: v.found.aside, Epoch: v.head.Epoch, Raised: v.raised, Rebuilt: v.found.state == nil}
	for _, b := range v.found.bad {
		r.Moved = append(r.Moved, Trouble{b.name, b.cause.Error()})
	}
	r.Records, r.SetAside = troubles(v.damaged), troubles(v.aside)
	r.Missing = v.missing(v.found.ledger)
	r.Acknowledged, r.unread = readAcknowledged(v.dir)
	return r
}

// EpochOf returns the newest epoch that has, or had, a record of this number; the
// present one when there is none.
func (v *View) EpochOf(seq uint64) uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, a := range slices.Backward(v.found.ledger.accounts) {
		if a.first <= seq && seq < a.next {
			return a.epoch
		}
	}
	return v.head.Epoch
}

// Close ends the view. It holds nothing open between calls.
func (v *View) Close() error { return nil }

// elsewhere implements source: it finds a record in a segment not in use.
func (v *View) elsewhere(k Key) *segment {
	for _, s := range v.spare {
		if s.epoch == k.Epoch && s.firstSeq <= k.Seq && k.Seq < s.next {
			return s
		}
	}
	return nil
}

func (v *View) view(s *segment, fn func(t tree) error) error {
	path := s.path
	if path == "" {
		path = filepath.Join(v.dir, "segments", segmentName(s.number))
	}
	err := readPages(path, func(f *pageFile) error { return fn(f) })
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("segment %s: %w", segmentName(s.number), ErrNotFound)
	}
	return err
}

func (v *View) viewState(fn func(t tree) error) error {
	if v.found.state == nil {
		return ErrNotFound
	}
	return readPages(filepath.Join(v.dir, stateName), func(f *pageFile) error { return fn(f) })
}
