package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
)

// A DamageError names everything that a store or a copy of it lacks, or holds damaged.
// It wraps [ErrDamaged].
type DamageError struct{ Things []string }

// Error counts the things and names each on a line of its own, below the ranges of
// numbers that they are of.
func (e *DamageError) Error() string {
	lines := append([]string{fmt.Sprintf("missing or damaged in the copy: %d", len(e.Things))}, e.Ranges()...)
	return strings.Join(append(lines, e.Things...), "\n")
}

// Ranges are the numbers of devices that the things are of, those that follow each other
// together: "device D epoch 1 numbers 4 to 6". It is empty when there is one number only.
func (e *DamageError) Ranges() []string {
	type chain struct {
		device string
		epoch  uint64
	}
	var order []chain
	numbers := map[chain][]uint64{}
	count := 0
	for _, t := range e.Things {
		var c chain
		var n uint64
		if _, err := fmt.Sscanf(t, "device %s epoch %d number %d:", &c.device, &c.epoch, &n); err != nil {
			continue
		}
		have := numbers[c]
		if have == nil {
			order = append(order, c)
		}
		if !slices.Contains(have[max(0, len(have)-1):], n) {
			numbers[c] = append(have, n)
			count++
		}
	}
	if count < 2 {
		return nil
	}
	var ranges []string
	for _, c := range order {
		all := numbers[c]
		slices.Sort(all)
		for from := 0; from < len(all); {
			to := from
			for to+1 < len(all) && all[to+1] <= all[to]+1 {
				to++
			}
			words := fmt.Sprintf("number %d", all[from])
			if all[to] > all[from] {
				words = fmt.Sprintf("numbers %d to %d", all[from], all[to])
			}
			ranges = append(ranges, fmt.Sprintf("device %s epoch %d %s", c.device, c.epoch, words))
			from = to + 1
		}
	}
	return ranges
}

// Unwrap returns [ErrDamaged].
func (e *DamageError) Unwrap() error { return ErrDamaged }

const selectToExamine = `SELECT id, device, epoch, seq, state, bytes FROM records ORDER BY device, epoch, seq`

// Examine looks at every record, and names what is wrong with its bytes, which blobs
// it names that are not there, and which are bad, with why.
func Examine(ctx context.Context, db *database.DB, bad map[evidence.Hash]error) (things []string, err error) {
	rows, err := db.Query(ctx, selectToExamine)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	named := map[evidence.Hash]bool{}
	for rows.Next() {
		var id, device, raw []byte
		var epoch, seq uint64
		var state State
		if err := rows.Scan(&id, &device, &epoch, &seq, &state, &raw); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("device %x epoch %d number %d", device, epoch, seq)
		s, err := evidence.Open(raw)
		if err == nil && s.ID != evidence.Hash(id) {
			err = fmt.Errorf("it is record %v", s.ID)
		}
		if err != nil {
			things = append(things, fmt.Sprintf("%s: record %x damaged: %v", name, id, err))
			continue
		}
		for what, hash := range blobsOf(s.Record) {
			if err := bad[hash]; err != nil {
				named[hash] = true
				things = append(things, fmt.Sprintf("%s: %s: %v", name, what, err))
				continue
			}
			if state != Complete {
				continue
			}
			var length int64
			switch err := db.Row(ctx, selectBlobLength, []any{hash[:]}, &length); {
			case errors.Is(err, ErrNotFound):
				things = append(things, fmt.Sprintf("%s: %s: blob %v missing", name, what, hash))
			case err != nil:
				return nil, err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var others []string
	for hash, err := range bad {
		if !named[hash] {
			others = append(others, fmt.Sprintf("no record: %v", err))
		}
	}
	slices.Sort(others)
	return append(things, others...), nil
}

// blobsOf yields what each blob of a record is, and its hash.
func blobsOf(r *evidence.Record) func(yield func(what string, hash evidence.Hash) bool) {
	return func(yield func(string, evidence.Hash) bool) {
		for i, f := range r.Frames {
			if !yield(fmt.Sprintf("frame %d", i+1), f.SHA256) {
				return
			}
		}
		if r.Trace != nil {
			yield("trace", r.Trace.SHA256)
		}
	}
}

// CheckDatabase asks the database alone whether it answers.
func (s *Store) CheckDatabase(ctx context.Context) error { return s.db.Check(ctx) }

// Leases lists who works on the database by leases.
func (s *Store) Leases(ctx context.Context) ([]database.Leased, error) { return s.db.Leases(ctx) }
