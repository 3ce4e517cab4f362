package uplink

import (
	"math/rand/v2"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// A piece of a record is one message: the record itself, or a chunk of a blob.
type piece struct{ blob, chunk int32 }

// itself is the piece that is the record.
var itself = piece{-1, -1}

// A flight is a record that has been sent, or is being sent, and has no receipt.
type flight struct {
	item     Item
	todo     []piece       // not yet sent
	unacked  int           // sent and not acknowledged by the broker
	awaiting bool          // the record went alone: the centre will say what it lacks
	sends    int           // how often the record was sent
	asked    time.Time     // when it was first sent in this session; zero when it was not
	repeated bool          // it was sent again in this session
	hold     time.Time     // the centre refused it until then
	wait     time.Duration // for the receipt; doubles
	due      time.Time     // when to send it again; zero while something is on its way
	gone     bool          // settled, evicted or set aside
}

// A ledger says what is on its way and what comes next. It is bounded: it holds
// the flights and one page of the store's list.
type ledger struct {
	store   Store
	flights map[Key]*flight
	byID    map[evidence.Hash]*flight
	queue   []*flight // those with something to send, by key
	bytes   int64     // of all flights

	wanted  []Item // to be sent although the store may not offer them
	page    []Item // listed, not yet taken
	cursor  Key    // the last key taken in this look through the store
	highest Key    // the highest key ever taken: at or below it, a record was sent before
	changed <-chan struct{}
	atEnd   bool          // nothing comes behind cursor until changed is closed
	full    bool          // a record waits for a place
	again   time.Time     // when to look through the whole store again
	listAt  time.Time     // when to ask the store again that failed to list
	nextDue time.Time     // not after the due of any flight; zero for none
	pause   time.Time     // the centre takes nothing before
	silence time.Duration // of the centre, after which a session is taken to be deaf; zero for the first
}

func newLedger(store Store) ledger {
	return ledger{store: store, flights: map[Key]*flight{}, byID: map[evidence.Hash]*flight{}}
}

// rewind begins a new look through the whole store.
func (l *ledger) rewind(now time.Time) {
	l.cursor, l.page, l.atEnd, l.changed = Key{}, nil, false, nil
	l.again = now.Add(jitter(lastWait, 0.2))
}

// list fills the page when it is empty and there may be more, and says whether
// it asked the store.
func (l *ledger) list(now time.Time) (bool, error) {
	if len(l.page) > 0 || l.atEnd || now.Before(l.listAt) {
		return false, nil
	}
	changed := l.store.Changed() // before looking, so that nothing is missed
	page, err := l.store.Unsettled(l.cursor, pageSize)
	if err != nil {
		l.listAt = now.Add(storeRetry)
		return true, err
	}
	l.listAt = time.Time{}
	l.page, l.atEnd, l.changed = page, len(page) == 0, changed
	return true, nil
}

// admit takes the next record of the list into flight if there is a place for
// it, and reports whether it did.
func (l *ledger) admit() bool {
	for len(l.wanted) > 0 || len(l.page) > 0 {
		item, advance := l.upcoming()
		if l.flights[item.Key] != nil {
			advance()
			continue
		}
		if len(l.flights) >= MaxRecords || len(l.flights) > 0 && l.bytes+item.Size > MaxBytes {
			l.full = true
			return false
		}
		advance()
		f := &flight{item: item, wait: firstWait}
		l.flights[item.Key], l.byID[item.ID] = f, f
		l.bytes += item.Size
		f.todo = []piece{itself}
		if l.highest.Less(item.Key) {
			l.highest = item.Key
			for b, blob := range item.Blobs {
				for c := range blob.Chunks {
					f.todo = append(f.todo, piece{int32(b), int32(c)})
				}
			}
		} else {
			f.awaiting = true
		}
		l.enqueue(f)
		l.full = false
		return true
	}
	l.full = false
	return false
}

// upcoming returns the record that comes next, and what takes it off its list.
// What is wanted comes first.
func (l *ledger) upcoming() (Item, func()) {
	if len(l.wanted) > 0 {
		return l.wanted[0], func() { l.wanted = l.wanted[1:] }
	}
	return l.page[0], l.advance
}

func (l *ledger) advance() {
	l.cursor = l.page[0].Key
	l.page = l.page[1:]
}

func (l *ledger) find(f *flight) (int, bool) {
	return slices.BinarySearchFunc(l.queue, f, func(a, b *flight) int {
		switch {
		case a.item.Key.Less(b.item.Key):
			return -1
		case b.item.Key.Less(a.item.Key):
			return 1
		}
		return 0
	})
}

func (l *ledger) enqueue(f *flight) {
	if i, found := l.find(f); !found {
		l.queue = slices.Insert(l.queue, i, f)
	}
	f.due = time.Time{}
}

func (l *ledger) dequeue(f *flight) {
	if i, found := l.find(f); found {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
}

// drop takes a flight off the ledger.
func (l *ledger) drop(f *flight) {
	if f.gone {
		return
	}
	f.gone = true
	l.dequeue(f)
	l.bytes -= f.item.Size
	delete(l.flights, f.item.Key)
	delete(l.byID, f.item.ID)
	l.full = false
}

// sent takes the first piece off a flight's list: it was published.
func (l *ledger) sent(f *flight) {
	if f.todo[0] == itself {
		f.sends++
		if f.repeated = !f.asked.IsZero(); !f.repeated {
			f.asked = time.Now()
		}
	}
	f.todo = f.todo[1:]
	f.unacked++
	if len(f.todo) == 0 {
		f.todo = nil
		l.dequeue(f)
	}
}

// acked counts an acknowledgement. With the last one begins the wait for the
// receipt.
func (l *ledger) acked(f *flight, now time.Time) {
	f.unacked--
	if f.gone || f.unacked > 0 || len(f.todo) > 0 {
		return
	}
	f.due = now.Add(jitter(f.wait, 0.2))
	if f.due.Before(f.hold) {
		f.due = f.hold
	}
	l.dueAt(f)
}

// dueAt notes when a flight is due.
func (l *ledger) dueAt(f *flight) {
	if l.nextDue.IsZero() || f.due.Before(l.nextDue) {
		l.nextDue = f.due
	}
}

// probe sends the record of a flight alone, so that the centre says what it
// lacks.
func (l *ledger) probe(f *flight) {
	f.todo = []piece{itself}
	f.awaiting = true
	l.enqueue(f)
}

// deaf reports whether a record is due that was sent more than once in this
// session although the centre has answered nothing since the first time: then it
// is the session that does not carry its answers. The waits grow as if the records
// had been sent again, which is what a new session does.
func (l *ledger) deaf(now, answered time.Time) bool {
	if l.nextDue.IsZero() || now.Before(l.nextDue) {
		return false
	}
	deaf := false
	for _, f := range l.flights {
		deaf = deaf || f.isDue(now) && f.repeated && f.asked.After(answered) && now.Sub(f.asked) >= l.silence
	}
	if deaf { // perhaps it is the centre that is away
		l.silence = min(max(2*l.silence, firstSilence), lastWait)
	}
	for _, f := range l.flights {
		if deaf && f.isDue(now) {
			f.wait = min(2*f.wait, lastWait)
		}
	}
	return deaf
}

func (f *flight) isDue(now time.Time) bool { return !f.due.IsZero() && !f.due.After(now) }

// refused keeps a record back that the centre does not take, and everything when
// the centre takes no more at present.
func (l *ledger) refused(r *wire.Refused, now time.Time) (Key, bool) {
	f := l.byID[r.ID]
	if f == nil {
		return Key{}, false
	}
	until := now.Add(r.Wait + time.Duration(0.2*rand.Float64()*float64(r.Wait)))
	if r.Code == wire.RefusedHeldBack && l.pause.Before(until) {
		l.pause = until
	}
	f.hold, f.awaiting, f.todo = until, false, nil
	l.dequeue(f)
	if f.unacked == 0 {
		f.due = until
		l.dueAt(f)
	}
	return f.item.Key, true
}

// overdue sends again what has waited long enough for its receipt. One that has
// been sent patience times makes room, if another waits for it.
func (l *ledger) overdue(now time.Time) {
	if l.nextDue.IsZero() || now.Before(l.nextDue) {
		return
	}
	l.nextDue = time.Time{}
	var expired []*flight
	for _, f := range l.flights {
		switch {
		case f.due.IsZero():
		case f.due.After(now):
			if l.nextDue.IsZero() || f.due.Before(l.nextDue) {
				l.nextDue = f.due
			}
		default:
			expired = append(expired, f)
		}
	}
	for _, f := range expired {
		if l.full && f.sends >= patience {
			l.drop(f)
			l.admit()
			continue
		}
		f.wait = min(2*f.wait, lastWait)
		l.probe(f)
	}
}

// resume is what a new session does with every flight of an earlier one: the
// record goes again, alone, unless the centre has refused it for now.
func (l *ledger) resume() {
	l.queue, l.nextDue = l.queue[:0], time.Time{}
	now := time.Now()
	for _, f := range l.flights {
		f.unacked, f.asked, f.repeated = 0, time.Time{}, false
		if f.hold.After(now) {
			f.todo, f.awaiting, f.due = nil, false, f.hold
			l.dueAt(f)
			continue
		}
		l.probe(f)
	}
}

// lacks is the centre's word on what it has of a record. It is asked for by
// sending the record alone and heard once: the answer to a first sending, which
// says that nothing is there, comes while everything is under way.
func (l *ledger) lacks(h *wire.Have) {
	f := l.byID[h.ID]
	if f == nil || !f.awaiting {
		return
	}
	f.awaiting = false
	for b, blob := range f.item.Blobs {
		i := slices.IndexFunc(h.Blobs, func(hb wire.HaveBlob) bool { return hb.SHA256 == blob.SHA256 })
		if i < 0 {
			continue
		}
		for c := range blob.Chunks {
			if from, to := wire.ChunkRange(blob.Length, c); !h.Blobs[i].Holds(from, to) {
				f.todo = append(f.todo, piece{int32(b), int32(c)})
			}
		}
	}
	if len(f.todo) > 0 {
		l.enqueue(f)
	}
}
