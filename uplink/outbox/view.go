package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ciglio/capture/evidence"
)

// A View is a store seen from another process, as it was when [OpenView] was
// called. It changes nothing and takes no lock, so that it works while the
// service runs, and on a medium that cannot be written. Its methods are safe for
// concurrent use.
type View struct {
	library
	device evidence.DeviceID
	found  *scanned
	head   Head
}

// OpenView opens the store in dir for reading. The device is the owner's; the
// zero one means whichever owner state.db names.
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
	v := &View{device: device}
	v.library = library{dir: dir, source: v, index: index{damaged: map[Key]string{}, aside: map[Key]string{}}}
	found, err := scan(dir, device)
	if err != nil {
		return nil, err
	}
	v.found, v.segments = found, found.segments
	if found.state != nil {
		found.state.apply(&v.index)
		v.head.Ack = found.state.ack
	}
	if n := len(v.segments); n > 0 {
		s := v.segments[n-1]
		v.head = Head{Epoch: s.epoch, Next: s.next, Prev: s.head, Ack: v.head.Ack}
	}
	return v, nil
}

// owner returns the device that state.db names.
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
	if err != nil {
		return d, fmt.Errorf("outbox %s: %s: %w", dir, stateName, err)
	}
	return d, nil
}

// Stats counts what the store holds. Quota and Room are not known.
func (v *View) Stats() Stats {
	st := v.stats()
	st.Head = v.head
	return st
}

// Report says what is wrong with the store, without putting it in order.
func (v *View) Report() Report {
	r := Report{Clean: v.found.clean, Foreign: v.found.foreign, Epoch: v.head.Epoch}
	for _, b := range v.found.bad {
		r.Moved = append(r.Moved, Trouble{b.name, b.cause.Error()})
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	for k, why := range v.damaged {
		r.Records = append(r.Records, Trouble{fmt.Sprintf("epoch %d number %d", k.Epoch, k.Seq), why})
	}
	r.Missing = v.missing(func(n uint64) bool { return v.found.state != nil && v.found.state.expired[n] })
	return r
}

// Close ends the view. It holds nothing open between calls.
func (v *View) Close() error { return nil }

func (v *View) view(s *segment, fn func(t tree) error) error {
	err := readPages(filepath.Join(v.dir, "segments", segmentName(s.number)), func(f *pageFile) error { return fn(f) })
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("segment %s: %w", segmentName(s.number), ErrNotFound)
	}
	return err
}

func (v *View) viewState(fn func(t tree) error) error {
	return readPages(filepath.Join(v.dir, stateName), func(f *pageFile) error { return fn(f) })
}
