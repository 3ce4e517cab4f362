package outbox

import (
	"bytes"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ciglio/capture/evidence"
)

// A power cut leaves, of what was written since the last sync, any part. bbolt
// writes the pages of a transaction, syncs, writes one meta page, and syncs. So
// the files before and after a transaction tell every state that a cut can
// leave between: some of the changed pages, whole or in sectors, with the old
// meta pages; or all of them, with the new meta page or without. This test makes
// such states of every transaction on the segment and on state.db, and checks
// that what had been confirmed before is there, and that nothing is there twice
// or by half.
//
// It takes from bbolt's source that it syncs where it says. It does not cover
// disks that say so and have not, nor a file system that loses a rename after
// the folder was synced.

const sector = 512

// cutFile returns the file as a cut leaves it: of the pages that differ some are new,
// some old, some mixed in sectors. With whole, all are new but for the meta
// pages; with meta, these as well.
func cutFile(r *mathrand.Rand, before, after []byte, whole, meta bool) []byte {
	state := bytes.Clone(before)
	if len(after) > len(state) { // the file grows, and is synced, before pages are written
		state = append(state, make([]byte, len(after)-len(state))...)
	}
	for at := 0; at+pageSize <= len(after); at += pageSize {
		next := after[at : at+pageSize]
		switch {
		case at < 2*pageSize && meta && whole, at >= 2*pageSize && whole:
			copy(state[at:], next)
		case at < 2*pageSize:
		case r.IntN(3) == 0:
			copy(state[at:], next)
		case r.IntN(2) == 0:
			for s := 0; s < pageSize; s += sector {
				if r.IntN(2) == 0 {
					copy(state[at+s:at+s+sector], next[s:])
				}
			}
		}
	}
	return state
}

func TestPowerCutInATransaction(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(3, 3))
	b := newBed(t, func(o *Options) { o.SegmentSize = MinSegmentSize })
	var all []stored
	settled := map[Key]bool{}
	read := func(dir, name string) []byte {
		f, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for i := range 14 {
		name := filepath.Join("segments", segmentName(b.active.seg.number))
		segment, state, tip := read(b.dir, name), read(b.dir, stateName), read(b.dir, "tip")
		one := stored{}
		if i%3 == 1 {
			one.blobs = [][]byte{noise(uint64(i), 90_000), noise(uint64(i+1), 3000), noise(uint64(i+2), 100)}
			one.Sealed = b.violate(evidence.KindTest, one.blobs...)
		} else {
			one.Sealed = b.beat()
		}
		rolled := name != filepath.Join("segments", segmentName(b.active.seg.number))
		crashed := copyStore(t, b.dir)
		if !rolled {
			after := read(b.dir, name)
			for _, c := range []struct{ whole, meta bool }{{false, false}, {false, false}, {false, false}, {true, false}, {true, true}} {
				patchWhole(t, crashed, name, cutFile(r, segment, after, c.whole, c.meta))
				patchWhole(t, crashed, stateName, state)
				patchWhole(t, crashed, "tip", tip) // written once the commit has been synced
				want := all
				if c.whole && c.meta {
					want = append(want[:len(want):len(want)], one)
				}
				b.reopened(crashed, want, settled)
			}
		}
		all = append(all, one)
		if i%2 == 0 {
			state = read(b.dir, stateName)
			b.settle(one.Sealed)
			after := read(b.dir, stateName)
			for _, c := range []struct{ whole, meta bool }{{false, false}, {false, false}, {true, false}, {true, true}} {
				crashed := copyStore(t, b.dir)
				patchWhole(t, crashed, stateName, cutFile(r, state, after, c.whole, c.meta))
				want := settled
				if c.meta {
					want = map[Key]bool{key(one.Sealed): true}
					for k := range settled {
						want[k] = true
					}
				}
				b.reopened(crashed, all, want)
			}
			settled[key(one.Sealed)] = true
		}
	}
}

func patchWhole(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// reopened opens a store as a cut left it, and compares.
func (b *bed) reopened(dir string, all []stored, settled map[Key]bool) {
	b.Helper()
	dir = copyStore(b, dir)
	c := &bed{TB: b.TB, dir: dir, options: b.options, now: b.now, device: b.device, centre: b.centre}
	c.open()
	defer c.shut()
	if r := c.Report(); r.Raised != "" || r.Rebuilt || len(r.Moved)+len(r.Missing) > 0 {
		b.Errorf("report: %+v", r)
	}
	if st := c.Stats(); st.Records != uint64(len(all)) || st.Unsettled != uint64(len(all)-len(settled)) {
		b.Errorf("%d records and %d unsettled, want %d and %d", st.Records, st.Unsettled, len(all), len(all)-len(settled))
	}
	if n := c.verify(all); n != len(all) {
		b.Errorf("%d of %d records whole", n, len(all))
	}
	if s := c.beat(); s.Record.Seq != uint64(len(all)+1) || s.Record.Epoch != 1 {
		b.Errorf("next is epoch %d number %d after %d records", s.Record.Epoch, s.Record.Seq, len(all))
	}
}

// TestPowerCutBetweenSteps leaves the folder as a cut does between the steps of
// what takes several files.
func TestPowerCutBetweenSteps(t *testing.T) {
	b := newBed(t)
	first := b.beat()
	b.settle(first)
	before := copyStore(t, b.dir)
	b.now = noon.AddDate(0, 0, 1)
	second := b.beat() // begins a segment: file, mark, state.db, then the record
	b.crash()
	after := b.dir
	for _, row := range []struct {
		name    string
		from    func(t *testing.T) string
		records uint64
		clean   bool
	}{
		{"the new segment has its temporary name", func(t *testing.T) string {
			d := copyStore(t, before)
			copyFile(t, segmentPath(after, 2), segmentPath(d, 2)+".new")
			return d
		}, 1, false},
		{"the new segment is there, nothing else knows", func(t *testing.T) string {
			d := copyStore(t, before)
			copyFile(t, segmentPath(after, 2), segmentPath(d, 2))
			return d
		}, 2, false},
		{"the mark too, half written", func(t *testing.T) string {
			d := copyStore(t, before)
			copyFile(t, segmentPath(after, 2), segmentPath(d, 2))
			copyFile(t, filepath.Join(after, "mark"), filepath.Join(d, "mark.new"))
			return d
		}, 2, false},
		{"the mark too", func(t *testing.T) string {
			d := copyStore(t, before)
			copyFile(t, segmentPath(after, 2), segmentPath(d, 2))
			copyFile(t, filepath.Join(after, "mark"), filepath.Join(d, "mark"))
			return d
		}, 2, false},
		{"closed, but for the mark of it", func(t *testing.T) string { return copyStore(t, after) }, 2, false},
		{"a fresh store before its first segment", func(t *testing.T) string {
			d := copyStore(t, before)
			remove("mark", "ledger", "tip", "segments/00000001.db")(t, d)
			if err := createState(d, device); err != nil {
				t.Fatal(err)
			}
			return d
		}, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := &bed{TB: t, dir: row.from(t), options: b.options, now: b.now, device: b.device, centre: b.centre}
			c.open()
			defer c.shut()
			if r := c.Report(); r.Raised != "" || r.Rebuilt || len(r.Moved)+len(r.Missing)+len(r.Foreign) > 0 {
				t.Errorf("report: %+v", r)
			}
			st := c.Stats()
			if st.Records != row.records {
				t.Errorf("%d records, want %d", st.Records, row.records)
			}
			next := c.beat()
			if next.Record.Seq != row.records+1 {
				t.Errorf("next is number %d", next.Record.Seq)
			}
			if row.records == 2 {
				c.holds(second)
			}
		})
	}
}

// copyFile copies a file over another.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
