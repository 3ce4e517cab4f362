package record

import (
	"ciglio/capture/evidence"
	"ciglio/portal/database"
)

// A Seat is a place in the chain of a device.
type Seat struct {
	Device     evidence.DeviceID
	Epoch, Seq uint64
}

// beside is the seat so many numbers further on.
func (s Seat) beside(n int) Seat {
	s.Seq += uint64(n)
	return s
}

// A Slot is what the store has in a seat.
type Slot struct {
	ID       evidence.Hash
	State    State
	Disputed bool
	Receipt  evidence.Hash // zero unless Complete
}

// A sitting is what a transaction knows of a seat: what the store had, and what the
// transaction has changed of it.
type sitting struct {
	Slot
	there      bool
	prev, link evidence.Hash
	chain      Chain
	kind       evidence.Kind
	utc        int64
}

const selectSeat = `SELECT id, state, disputed, receipt, prev, link, chain, kind, utc FROM records WHERE device = $1 AND epoch = $2 AND seq = $3`

// Foresee reads in one journey what [Tx.At], [Tx.GoesBack] and [Tx.Insert] are going to
// ask for about seats and those beside them. It need not be called.
func (t *Tx) Foresee(seats ...Seat) error {
	for _, s := range seats {
		for _, near := range []Seat{s.beside(-1), s, s.beside(1)} {
			t.ask(near)
		}
	}
	return t.flush()
}

// ask has the next journey bring what is in a seat.
func (t *Tx) ask(s Seat) *sitting {
	if known := t.seats[s]; known != nil {
		return known
	}
	found := &sitting{}
	t.seats[s] = found
	if s.Seq == 0 {
		return found // nobody's
	}
	t.pending.Query(selectSeat, []any{s.Device[:], int64(s.Epoch), int64(s.Seq)}, func(r database.Row) error {
		var id, receipt, prev, link []byte
		var state, disputed, chain, kind int64
		if err := r.Scan(&id, &state, &disputed, &receipt, &prev, &link, &chain, &kind, &found.utc); err != nil {
			return err
		}
		found.there = true
		copy(found.ID[:], id)
		copy(found.Receipt[:], receipt)
		copy(found.prev[:], prev)
		copy(found.link[:], link)
		found.State, found.Disputed = State(state), disputed != 0
		found.chain, found.kind = Chain(chain), evidence.Kind(kind)
		return nil
	})
	return found
}

// seat returns what is in a seat.
func (t *Tx) seat(s Seat) (*sitting, error) {
	known := t.seats[s] != nil
	found := t.ask(s)
	if known {
		return found, nil
	}
	return found, t.flush()
}

// forget drops what is known of the seat of a record.
func (t *Tx) forget(id evidence.Hash) {
	for s, known := range t.seats {
		if known.ID == id {
			delete(t.seats, s)
		}
	}
}

// At returns what is stored in a seat; the error wraps [ErrNotFound] when nothing is.
func (t *Tx) At(s Seat) (Slot, error) {
	found, err := t.seat(s)
	if err == nil && !found.there {
		err = ErrNotFound
	}
	return found.Slot, err
}
