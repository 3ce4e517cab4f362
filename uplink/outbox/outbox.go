package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// Sentinels that callers branch on.
var (
	// ErrLocked: another process, or another Open, has the store.
	ErrLocked = errors.New("outbox is in use")
	// ErrFull: the quota, or the disk, has no room for this kind of record.
	// Nothing was stored; a later Append may succeed.
	ErrFull = errors.New("outbox is full")
	// ErrTooLarge: a record with its blobs is larger than a segment.
	ErrTooLarge = errors.New("larger than a segment")
	// ErrReadOnly: the file system does not take writes. Reading goes on.
	ErrReadOnly = errors.New("outbox is read-only")
	// ErrNotFound: the store has no such record, blob, chunk or receipt.
	ErrNotFound = errors.New("not in the outbox")
	// ErrDamaged: what is stored is not what was written. The record is
	// quarantined, the others are not concerned.
	ErrDamaged = errors.New("damaged")
	// ErrMismatch: what the caller gave does not fit together: a record that
	// does not continue the chain, or blobs other than the record names.
	ErrMismatch = errors.New("record and store disagree")
	// ErrUncertain: the disk failed at the very moment of committing, and
	// whether the record is stored is not known yet. It may turn up later, so
	// the same event must not be sealed again. Appends are refused with it
	// until the disk works again.
	ErrUncertain = errors.New("not known whether the record was stored")
	// ErrEquivocation: a receipt names another record, or one not made yet,
	// under a place in our chain. See [EquivocationError].
	ErrEquivocation = errors.New("receipt contradicts the chain")
	// ErrBusy: a [View] found no moment in which the store was not written.
	ErrBusy = errors.New("outbox is being written")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("outbox is closed")
)

// The shared words of the store and the sender.
type (
	Key      = uplink.Key
	Item     = uplink.Item
	BlobInfo = uplink.BlobInfo
)

// Limits and defaults.
const (
	DefaultSegmentSize = 256 << 20
	MinSegmentSize     = 1 << 20
	DefaultReserve     = 16 << 20

	roomMeasured = 4 << 20  // a violation as large as they come
	roomOther    = 64 << 10 // any other record with its pages
	roomState    = 1 << 20  // left on the disk for state.db, so that receipts can be stored
)

// Options tunes an outbox. The zero value works but for Device.
type Options struct {
	// Device is the owner; a store of another device is refused.
	Device evidence.DeviceID
	// Epoch is the one a fresh store starts with, 0 meaning 1. When it is
	// above the store's own, the store goes over to it, at number 1, with the
	// next record; when it is below, the store's own stays.
	Epoch uint64
	// Quota is how many bytes the store may take on disk, settled records
	// included. 0: as many as the disk has.
	Quota int64
	// Reserve is how many bytes of the quota, and of the disk, only records
	// without a measurement may use. 0: DefaultReserve.
	Reserve int64
	// SegmentSize is how large a segment file may grow, in bytes, at least
	// MinSegmentSize. 0: DefaultSegmentSize. It bounds the address space the
	// store takes to twice as much, and the size of one record with its blobs.
	SegmentSize int
	// Retention is how long settled records stay after the last one of their
	// segment was sealed. 0: [Outbox.Expire] drops a segment as soon as it is
	// no longer the newest and all its records are settled.
	Retention time.Duration
	// Now is the clock that says which UTC day it is. nil: time.Now.
	Now func() time.Time
	// Log takes what an operator should know. nil: nothing is logged.
	Log *slog.Logger
}

func (o Options) defaults() (Options, error) {
	if o.Device == (evidence.DeviceID{}) {
		return o, errors.New("outbox options: no device id")
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.SegmentSize < MinSegmentSize {
		return o, fmt.Errorf("outbox options: segments of %d bytes, want at least %d", o.SegmentSize, MinSegmentSize)
	}
	if o.Quota < 0 || o.Reserve < 0 || o.Retention < 0 {
		return o, errors.New("outbox options: a negative quota, reserve or retention")
	}
	if o.Epoch == 0 {
		o.Epoch = 1
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Head is what the next record must carry.
type Head struct {
	Epoch, Next uint64        // its epoch and number
	Prev        evidence.Hash // link of the record before; zero for the first of an epoch
	Ack         evidence.Hash // hash of the newest receipt; zero when there is none
}

// State says what becomes of a record.
type State uint8

// The states of a record.
const (
	Waiting  State = iota // to be sent, or sent and not answered
	Settled               // answered by a receipt
	SetAside              // not sent, until Retry
	Damaged               // unreadable in part: quarantined, not sent
)

func (s State) String() string {
	return [...]string{"waiting", "settled", "set aside", "damaged"}[s&3]
}

// A Listed is a record as [Outbox.List] shows it.
type Listed struct {
	Item
	Time  time.Time // of the record, UTC
	State State
	Note  string // why it is set aside or damaged
}

// A Range is a run of record numbers of one epoch.
type Range = wire.Numbers

// A Trouble is a file or a record that was found damaged.
type Trouble struct {
	Name string // where a file was moved to, below the store's folder; or the record
	Fact string
}

// Report says what recovery found when the store was opened, and what was found
// damaged since.
type Report struct {
	Fresh   bool // the folder held no store: it starts at Options.Epoch
	Clean   bool // the store had been closed in good order
	Rebuilt bool // state.db was lost: every record counts as unsettled again
	// Raised says why the head of the chain was not to be trusted, so that the
	// store has gone over to a new epoch: "" when it has not.
	Raised string
	Epoch  uint64 // the epoch records are now added to
	// Moved are the files moved to damaged/; of a [View], those that cannot be
	// used where they are, and that the next start moves there.
	Moved    []Trouble
	Aside    []Trouble // files that an earlier start has moved to damaged/
	Records  []Trouble // records quarantined
	SetAside []Trouble // records not sent until Retry
	Foreign  []string  // files that are not the store's; they were left alone
	Missing  []Range   // record numbers that the store should have and has not
	// Acknowledged is what somebody has said of losses, of this start or of others.
	Acknowledged []Acknowledgement

	unread error // why that is not known
}

// Stats counts what the store holds. Sizes are in bytes.
type Stats struct {
	Records   uint64
	Unsettled uint64 // those set aside and damaged included
	SetAside  int
	Damaged   int // quarantined records
	Segments  int
	Bytes     int64     // on disk
	Quota     int64     // 0: none
	Room      int64     // left for records with a measurement
	Oldest    time.Time // of the oldest unsettled record; zero when there is none
	Head      Head
}

// Outbox is the store of one device. It is safe for concurrent use.
type Outbox struct {
	library
	options Options
	lock    *os.File
	buffers buffers

	// writing serialises Append, and whatever replaces the active segment.
	writing sync.Mutex
	// settling serialises what writes state.db.
	settling sync.Mutex
	// marking serialises what writes the file mark.
	marking sync.Mutex

	// handles guards active: readers hold it while they use the active
	// segment, and whoever replaces it holds it alone.
	handles sync.RWMutex
	active  *active
	drain   drain
	state   *stateFile
	tip     *os.File

	// mu guards the library's index and what follows.
	report  Report
	ack     evidence.Hash
	changed chan struct{}
	closed  bool
	raise   string // why the next record must be the first of a new epoch
	known   known
	ledger  ledger
	doubt   *evidence.Sealed // committed or not: not known

	// commit is tx.Commit, except in tests that make it fail.
	commit func(committer) error
}

// Report says what recovery found and what has been found damaged since.
func (o *Outbox) Report() Report {
	o.mu.RLock()
	r := o.report
	r.Moved, r.Records = slices.Clone(r.Moved), slices.Clone(r.Records)
	r.Foreign, r.Missing = slices.Clone(r.Foreign), slices.Clone(r.Missing)
	r.SetAside = troubles(o.aside)
	o.mu.RUnlock()
	r.Acknowledged, r.unread = readAcknowledged(o.dir) // the lock waits for no disk
	return r
}

// Head returns what the next record will carry.
func (o *Outbox) Head() Head {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.headLocked()
}

func (o *Outbox) headLocked() Head {
	s := o.segments[len(o.segments)-1]
	return Head{Epoch: s.epoch, Next: s.next, Prev: s.head, Ack: o.ack}
}

// Changed returns a channel that is closed when a record is next appended,
// settled or released by Retry.
func (o *Outbox) Changed() <-chan struct{} {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.changed
}

// notify wakes those who wait on Changed. o.mu is held.
func (o *Outbox) notify() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// Stats counts what the store holds.
func (o *Outbox) Stats() Stats {
	st := o.library.stats()
	o.mu.RLock()
	st.Head = o.headLocked()
	o.mu.RUnlock()
	st.Quota = o.options.Quota
	st.Room = max(0, o.room(true))
	return st
}

// Room reports whether there is room for one more record, in the quota and on
// the disk: measured ones, 4 MiB with their frames, must leave the reserve.
func (o *Outbox) Room(measured bool) bool {
	if measured {
		return o.room(true) >= roomMeasured
	}
	return o.room(false) >= roomOther
}

// room returns how many bytes records of this kind may still take.
func (o *Outbox) room(measured bool) int64 {
	o.mu.RLock()
	used := o.bytes()
	o.mu.RUnlock()
	room := freeDisk(o.dir) - roomState
	if o.options.Quota > 0 {
		room = min(room, o.options.Quota-used)
	}
	if measured {
		room -= o.options.Reserve
	}
	return room
}
