package outbox

import (
	"bytes"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ciglio/capture/evidence"
)

// pageClass says what lies in a page of a bbolt file.
func pageClass(b []byte, id int) string {
	p := b[id*pageSize:]
	if native.Uint64(p) != uint64(id) {
		return "value" // in the middle of a long one, or never used
	}
	switch native.Uint16(p[8:]) {
	case 0x04:
		return "meta"
	case freelistPage:
		return "free list"
	case branchPage:
		return "branch"
	case leafPage:
		return "leaf"
	}
	return "value"
}

// stored is a record that was confirmed, and its blobs.
type stored struct {
	*evidence.Sealed
	blobs [][]byte
}

// filled is a store of two segments, the second in use, as a killed process
// leaves it.
func filled(t testing.TB) (*bed, []stored) {
	b := newBed(t)
	var all []stored
	for day := range 2 {
		b.now = noon.AddDate(0, 0, day)
		for i := range 60 {
			var s stored
			if i%10 != 0 {
				s.Sealed = b.beat()
			} else {
				s.blobs = [][]byte{noise(uint64(i), 100_000), noise(uint64(i+1), 30_000), noise(uint64(i+2), 500)}
				s.Sealed = b.violate(evidence.KindTest, s.blobs...)
			}
			all = append(all, s)
		}
	}
	b.settle(all[0].Sealed, all[59].Sealed)
	b.crash()
	return b, all
}

// verify checks that the store gives back what was stored or says that it
// cannot, and returns how many records are whole.
func (b *bed) verify(all []stored) (whole int) {
	b.Helper()
	fine := func(err error, same bool) bool {
		switch {
		case err == nil && !same:
			b.Error("other bytes than were stored")
		case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound):
			b.Errorf("unnamed error: %v", err)
		}
		return err == nil
	}
	for _, s := range all {
		got, err := b.Record(key(s.Sealed))
		ok := fine(err, bytes.Equal(got, s.Bytes))
		for i, want := range s.blobs {
			got, err := b.Blob(key(s.Sealed), i)
			ok = fine(err, bytes.Equal(got, want)) && ok
		}
		if ok {
			whole++
		}
	}
	return whole
}

func TestDamagedPagesNeverGiveOtherBytes(t *testing.T) {
	b, all := filled(t)
	origin := b.dir
	for _, row := range []struct {
		name string
		hurt func(r *mathrand.Rand, page []byte)
	}{
		{"one bit", func(r *mathrand.Rand, p []byte) { p[r.IntN(len(p))] ^= 1 << r.IntN(8) }},
		{"one bit of the head", func(r *mathrand.Rand, p []byte) { p[r.IntN(80)] ^= 1 << r.IntN(8) }},
		{"zeroed", func(_ *mathrand.Rand, p []byte) { clear(p) }},
		{"garbage", func(r *mathrand.Rand, p []byte) {
			for i := range p {
				p[i] = byte(r.Uint32())
			}
		}},
		{"elements garbage, head whole", func(r *mathrand.Rand, p []byte) {
			for i := pageHead; i < 200; i++ {
				p[i] = byte(r.Uint32())
			}
		}},
	} {
		for _, class := range []string{"meta", "free list", "branch", "leaf", "value"} {
			for _, name := range []string{"segments/00000001.db", "segments/00000002.db", "state.db"} {
				t.Run(fmt.Sprintf("%s/%s/%s", class, row.name, name), func(t *testing.T) {
					r := mathrand.New(mathrand.NewPCG(1, uint64(len(row.name)+len(class))))
					file, err := os.ReadFile(filepath.Join(origin, name))
					if err != nil {
						t.Fatal(err)
					}
					var pages []int
					for id := range len(file) / pageSize {
						if pageClass(file, id) == class {
							pages = append(pages, id)
						}
					}
					for range min(2, len(pages)) {
						b := &bed{TB: t, dir: copyStore(t, origin), options: b.options, now: b.now, device: b.device, centre: b.centre}
						id := pages[r.IntN(len(pages))]
						page := bytes.Clone(file[id*pageSize : (id+1)*pageSize])
						row.hurt(r, page)
						patch(name, int64(id)*pageSize, page...)(t, b.dir)
						b.open()
						whole := b.verify(all)
						if least := map[bool]int{true: 120, false: 60}[name == "state.db"]; whole < least {
							t.Errorf("page %d: %d of 120 records whole, want at least %d; %+v", id, whole, least, b.Report())
						}
						next := key(b.beat())
						for _, s := range all {
							if key(s.Sealed) == next {
								t.Errorf("page %d: the place %v is given again", id, next)
							}
						}
						if _, err := b.Unsettled(Key{}, 1000); err != nil {
							t.Error(err)
						}
						b.shut()
						os.RemoveAll(b.dir)
					}
				})
			}
		}
	}
}

func TestDamagedRecordIsQuarantinedAndTheOthersGoOn(t *testing.T) {
	b := newBed(t)
	blobs := [][]byte{noise(1, 200_000), noise(2, 100_000), noise(3, 1000)}
	first, second, third := b.violate(evidence.KindTest, blobs...), b.beat(), b.beat()
	b.now = noon.AddDate(0, 0, 1)
	b.beat()
	b.shut()
	path := segmentPath(b.dir, 1)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(what []byte) { // every copy that the file has of it
		for off := 0; ; {
			i := bytes.Index(file[off:], what)
			if i < 0 {
				return
			}
			file[off+i+len(what)/2] ^= 0x10
			off += i + 1
		}
	}
	spoil(blobs[0][70_000:70_064])
	spoil(second.Bytes)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	b.open()
	if b.Report().Raised != "" {
		t.Error("an old segment's damage has raised the epoch")
	}
	if _, err := b.Chunk(key(first), 0, 0); err != nil {
		t.Errorf("a chunk that is whole: %v", err)
	}
	if _, err := b.Chunk(key(first), 0, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("a chunk that is not: %v", err)
	}
	items, err := b.Unsettled(Key{}, 10)
	if err != nil || len(items) != 2 || items[0].ID != third.ID {
		t.Errorf("offered %+v, error %v", items, err)
	}
	if st := b.Stats(); st.Damaged != 2 || st.Unsettled != 4 {
		t.Errorf("%+v", st)
	}
	if r := b.Report(); len(r.Records) != 2 {
		t.Errorf("%+v", r)
	}
	list, err := b.List(Key{}, 10)
	if err != nil || len(list) != 4 || list[0].State != Damaged || list[0].ID != first.ID || list[1].State != Damaged || list[2].State != Waiting {
		t.Errorf("listed %+v, error %v", list, err)
	}
	// The centre has had the first one before it broke. The second cannot be
	// compared any more, and stays.
	if n, err := b.Settle(b.receipt(first, second, third)); n != 2 || err != nil {
		t.Errorf("settled %d, error %v", n, err)
	}
	b.beat()
}

// A lost file keeps a receipt from settling what was in it, and nothing else.
func TestReceiptSettlesBesidesALostSegment(t *testing.T) {
	b := newBed(t)
	one := b.beat()
	b.now = noon.AddDate(0, 0, 1)
	two := b.beat()
	b.now = noon.AddDate(0, 0, 2)
	b.beat()
	if err := os.Remove(filepath.Join(b.dir, "segments/00000001.db")); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Settle(b.receipt(one, two)); n != 1 || err != nil {
		t.Errorf("settled %d, error %v", n, err)
	}
}

func TestSegmentThatBreaksWhileOpenIsMovedAside(t *testing.T) {
	b := newBed(t)
	lost := b.beat()
	b.now = noon.AddDate(0, 0, 1)
	kept := b.beat()
	zero("segments/00000001.db", 0)(t, b.dir)
	zero("segments/00000001.db", 1)(t, b.dir)
	if _, err := b.Record(key(lost)); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v", err)
	}
	items, err := b.Unsettled(Key{}, 10)
	if err != nil || len(items) != 1 || items[0].ID != kept.ID {
		t.Errorf("offered %+v, error %v", items, err)
	}
	if r := b.Report(); len(r.Moved) != 1 || r.Moved[0].Name != "damaged/00000001.db" || r.Raised != "" {
		t.Errorf("%+v", r)
	}
	b.beat()
}
