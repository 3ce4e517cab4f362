package capture

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"ciglio/sensor"
)

// The errors of [Ring.Put]. The frame was dropped and counted.
var (
	ErrTooLarge = errors.New("frame is larger than a slot of the ring")
	ErrDamaged  = errors.New("frame is damaged")
	ErrOrder    = errors.New("frame is not newer than the newest one in the ring")
)

// RingStats counts what happened to the frames of a [Ring] since it was made.
type RingStats struct {
	Stored   uint64 // frames copied into the ring
	TooLarge uint64 // dropped: larger than a slot
	Damaged  uint64 // dropped: flagged by the camera, or not a whole JPEG
	Order    uint64 // dropped: taken at or before the newest frame
	Lost     uint64 // numbers missing between frames that arrived
	Repeated uint64 // stored, but byte for byte one of the last 8 frames
	Cut      uint64 // stored without the bytes that the camera gave behind their end
}

// A Ring holds the newest frames of a camera in slots of fixed size, so that
// memory stays flat whatever the camera sends. It holds whole frames only: one
// that is flagged as damaged or fails [CheckJPEG] never enters, and a reader
// gets copies of its own.
//
// A frame that is byte for byte one of the last 8 is a picture of that one's instant,
// given again: a sensor has noise. It is kept and counted, and is never a shot.
//
// One goroutine may call Put while any number call the other methods.
type Ring struct {
	mu      sync.RWMutex
	slots   []slot
	next    int // slot that the next frame goes to
	used    int // slots in use
	stats   RingStats
	numbers bool        // a frame has arrived, so number is known
	number  uint64      // of the frame that arrived last
	since   sensor.Mono // instant of the newest frame that is no repeat
	changed chan struct{}
}

// mostStale is among how many frames before it a frame may be found again: a camera
// that stands still gives its last buffers in turn, of which there are few.
const mostStale = 8

type slot struct {
	frame  Frame // Data is nil; the bytes are data[:n]
	data   []byte
	n      int
	repeat bool // the bytes are those of one of the last frames
}

// NewRing returns a ring of the given number of slots, each for a frame of up
// to slotBytes bytes. It takes all its memory now. It panics when either is
// less than 1.
func NewRing(slots, slotBytes int) *Ring {
	if slots < 1 || slotBytes < 1 {
		panic(fmt.Sprintf("capture: ring of %d slots of %d bytes", slots, slotBytes))
	}
	r := &Ring{slots: make([]slot, slots)}
	memory := make([]byte, slots*slotBytes)
	for i := range r.slots {
		r.slots[i].data = memory[i*slotBytes : (i+1)*slotBytes : (i+1)*slotBytes]
	}
	return r
}

// Put copies a frame into the ring, over the oldest one when the ring is full.
// It allocates nothing. Its errors wrap [ErrTooLarge], [ErrDamaged] and
// [ErrOrder]; the ring then stays as it was and the frame is counted.
func (r *Ring) Put(f Frame) error {
	damage := checkFrame(f)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.numbers && f.Number > r.number {
		r.stats.Lost += f.Number - r.number - 1
	}
	r.numbers, r.number = true, f.Number

	switch {
	case damage != nil:
		r.stats.Damaged++
		return damage
	case len(f.Data) > len(r.slots[0].data):
		r.stats.TooLarge++
		return fmt.Errorf("frame %d of %d bytes, slots of %d: %w", f.Number, len(f.Data), len(r.slots[0].data), ErrTooLarge)
	case r.used > 0 && f.At <= r.slot(r.used-1).frame.At:
		r.stats.Order++
		return fmt.Errorf("frame %d: %w", f.Number, ErrOrder)
	}
	repeat := false
	for k := r.used - 1; k >= max(0, r.used-mostStale) && !repeat; k-- {
		last := r.slot(k)
		repeat = bytes.Equal(last.data[:last.n], f.Data)
	}
	s := &r.slots[r.next]
	s.n = copy(s.data, f.Data)
	s.frame, s.repeat = f, repeat
	s.frame.Data = nil
	if repeat {
		r.stats.Repeated++
	} else {
		r.since = f.At
	}
	if f.Cut > 0 {
		r.stats.Cut++
	}
	r.next = (r.next + 1) % len(r.slots)
	r.used = min(r.used+1, len(r.slots))
	r.stats.Stored++
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return nil
}

func checkFrame(f Frame) error {
	if f.Damaged {
		return fmt.Errorf("frame %d, %s: %w", f.Number, cmp.Or(f.Flaw, "flagged by the camera"), ErrDamaged)
	}
	if media, _, _ := strings.Cut(f.MediaType, ";source="); media != "image/jpeg" {
		return fmt.Errorf("frame %d of type %q, want image/jpeg: %w", f.Number, f.MediaType, ErrDamaged)
	}
	if _, _, err := CheckJPEG(f.Data); err != nil {
		return fmt.Errorf("frame %d, %w: %w", f.Number, err, ErrDamaged)
	}
	return nil
}

// slot returns the i-th oldest frame's slot. The caller holds mu.
func (r *Ring) slot(i int) *slot {
	return &r.slots[(r.next-r.used+i+len(r.slots))%len(r.slots)]
}

// Stats returns the counters.
func (r *Ring) Stats() RingStats {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.stats
}

// Newest returns when the newest frame was taken, and false when there is none.
func (r *Ring) Newest() (sensor.Mono, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.used == 0 {
		return 0, false
	}
	return r.slot(r.used - 1).frame.At, true
}

// Look copies the newest frame into the memory of buffer, which grows as needed, and
// returns it, with the instant since when every frame was a repeat: that of the frame
// itself when it is none. It returns false when there is
// none.
func (r *Ring) Look(buffer []byte) (newest Frame, since sensor.Mono, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.used == 0 {
		return Frame{}, 0, false
	}
	s := r.slot(r.used - 1)
	newest = s.frame
	newest.Data = append(buffer[:0], s.data[:s.n]...)
	return newest, r.since, true
}

// Watch gives look the newest frame and the UTC now, every so often, until ctx ends, and
// returns ctx.Err(). Where looking costs more than one part in share of the time, it waits
// longer. The frame's bytes are valid until look returns.
func (r *Ring) Watch(ctx context.Context, clock sensor.Clock, every time.Duration, share time.Duration, look func(f Frame, utc time.Time)) error {
	var buffer []byte
	for {
		began := clock.Now()
		if f, _, ok := r.Look(buffer); ok {
			_, utc := clock.Pair()
			look(f, utc)
			buffer = f.Data
		}
		pause := max(every, share*clock.Now().Sub(began))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Still returns the instant since when every frame was byte for byte one of the last
// 8 before it, and that of the newest frame; false when there is none.
func (r *Ring) Still() (since, newest sensor.Mono, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.used == 0 {
		return 0, 0, false
	}
	return r.since, r.slot(r.used - 1).frame.At, true
}

// Pace returns how many pictures the ring holds that were taken after the instant
// from, and from the first to the last of them. Repeats count only when told.
func (r *Ring) Pace(from sensor.Mono, repeats bool) (pictures int, over time.Duration) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var first sensor.Mono
	for i := range r.used {
		s := r.slot(i)
		if s.repeat && !repeats || s.frame.At <= from {
			continue
		}
		if pictures == 0 {
			first = s.frame.At
		}
		pictures++
		over = s.frame.At.Sub(first)
	}
	return pictures, over
}

// Wait blocks until the ring holds a frame taken at t or later, so that the
// shots after the photo are there when they are asked for. It returns ctx.Err()
// when ctx ends first.
func (r *Ring) Wait(ctx context.Context, t sensor.Mono) error {
	for {
		r.mu.Lock()
		if r.used > 0 && r.slot(r.used-1).frame.At >= t {
			r.mu.Unlock()
			return nil
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// A GapError says that the ring has no frame where one is needed.
type GapError struct {
	Role   string        // of the missing shot
	At     sensor.Mono   // instant that was asked for
	Within time.Duration // largest distance allowed
	Empty  bool          // the ring has no frame at all
	Off    time.Duration // distance of the nearest usable frame; negative when it is earlier
}

// Error names the role, the instant and the gap.
func (e *GapError) Error() string {
	if e.Empty {
		return fmt.Sprintf("frame %q at %.3fs: the ring has none left to choose from", e.Role, e.At.Seconds())
	}
	side := "later"
	if e.Off < 0 {
		side = "earlier"
	}
	return fmt.Sprintf("frame %q at %.3fs: the nearest is %v %s, allowed is %v",
		e.Role, e.At.Seconds(), e.Off.Abs().Round(100*time.Microsecond), side, e.Within)
}

// Shots returns count frames (2 to 5) around the instant photo, oldest first,
// as copies. The shot with role "photo" is the frame nearest to that instant;
// the others are the frames nearest to one, two, … spacings before and after
// it: after for two shots, before and after for three, and so on in turn, the
// after side first. No frame is taken twice.
//
// Every frame lies within the given bound of the instant it stands for, else
// the error is a [*GapError]. A shot after the photo needs its time: see
// [Ring.Wait].
func (r *Ring) Shots(photo sensor.Mono, count int, spacing, within time.Duration) ([]Shot, error) {
	if count < 2 || count > 5 {
		return nil, fmt.Errorf("%d shots: want 2 to 5", count)
	}
	if spacing <= 0 || within < 0 {
		return nil, fmt.Errorf("shots %v apart within %v: want a positive spacing and a bound that is not negative", spacing, within)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()

	// lo and hi are the lowest and the highest frame chosen so far: a shot
	// before comes from below lo, one after from above hi.
	middle, err := r.nearest("photo", photo, within, 0, r.used)
	if err != nil {
		return nil, err
	}
	at := r.slot(middle).frame.At
	before := (count - 1) / 2
	chosen := make([]Shot, 0, count)
	indices := make([]int, count)
	indices[before] = middle
	for k, lo := 1, middle; k <= before; k++ {
		if lo, err = r.nearest("before", at.Add(-time.Duration(k)*spacing), within, 0, lo); err != nil {
			return nil, err
		}
		indices[before-k] = lo
	}
	for k, hi := 1, middle; k < count-before; k++ {
		if hi, err = r.nearest("after", at.Add(time.Duration(k)*spacing), within, hi+1, r.used); err != nil {
			return nil, err
		}
		indices[before+k] = hi
	}
	for i, index := range indices {
		role := "photo"
		if i < before {
			role = "before"
		} else if i > before {
			role = "after"
		}
		s := r.slot(index)
		shot := Shot{Role: role, Frame: s.frame}
		shot.Frame.Data = append([]byte(nil), s.data[:s.n]...)
		chosen = append(chosen, shot)
	}
	return chosen, nil
}

// nearest returns the index of the frame among [from, to) nearest to t, of those
// that are no repeats.
func (r *Ring) nearest(role string, t sensor.Mono, within time.Duration, from, to int) (int, error) {
	best, off := -1, time.Duration(0)
	for i := from; i < to; i++ {
		s := r.slot(i)
		if s.repeat {
			continue
		}
		if d := s.frame.At.Sub(t); best < 0 || d.Abs() < off.Abs() {
			best, off = i, d
		}
	}
	if best < 0 {
		return 0, &GapError{Role: role, At: t, Within: within, Empty: true}
	}
	if off.Abs() > within {
		return 0, &GapError{Role: role, At: t, Within: within, Off: off}
	}
	return best, nil
}

// Run moves frames from a camera into the ring until ctx ends, which gives
// ctx.Err(), or until a recording has ended, which gives nil. Other errors of
// the camera, and frames that the ring refuses, go to report and Run goes on:
// a camera that is unplugged may come back. After an error of the camera it
// waits for a moment, so that a dead one does not keep the processor busy.
//
// Next of the camera is called by nobody else meanwhile.
func (r *Ring) Run(ctx context.Context, c Camera, report func(error)) error {
	const pause = 100 * time.Millisecond
	for {
		f, err := c.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			report(fmt.Errorf("camera %s: %w", c.Info().Model, err))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			continue
		}
		if err := r.Put(f); err != nil {
			report(fmt.Errorf("camera %s: %w", c.Info().Model, err))
		}
	}
}
