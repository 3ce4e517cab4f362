package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/capture/evidence"
)

// copyStore copies the files of a store.
func copyStore(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "outbox")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func segmentPath(dir string, n uint64) string {
	return filepath.Join(dir, "segments", segmentName(n))
}

// threeDays is a store of three segments of two heartbeats each, of which the
// first is settled, as a killed process leaves it.
func threeDays(t *testing.T) (*bed, []*evidence.Sealed) {
	b := newBed(t)
	var all []*evidence.Sealed
	for day := range 3 {
		b.now = noon.AddDate(0, 0, day)
		all = append(all, b.beat(), b.beat())
	}
	b.settle(all[0])
	b.crash()
	return b, all
}

func remove(names ...string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		for _, n := range names {
			if err := os.Remove(filepath.Join(dir, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// patch overwrites bytes of a file.
func patch(name string, at int64, b ...byte) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func all(steps ...func(t *testing.T, dir string)) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		for _, s := range steps {
			s(t, dir)
		}
	}
}

// newestMeta returns the page number of the newest meta page of a file.
func newestMeta(t *testing.T, path string) int64 {
	var n int64
	if err := readPages(path, func(f *pageFile) error { n = int64(f.meta.tx % 2); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRecovery(t *testing.T) {
	for _, row := range []struct {
		name    string
		damage  func(t *testing.T, dir string)
		epoch   uint64 // of the next record
		seq     uint64
		records uint64
		moved   string
		missing string
		rebuilt bool
	}{
		{"nothing is wrong", func(*testing.T, string) {}, 1, 7, 6, "[]", "[]", false},
		{"the mark is gone", remove("mark"), 1, 7, 6, "[]", "[]", false},
		{"the mark is garbage", patch("mark", 3, 'X'), 1, 7, 6, "[]", "[]", false},
		{"a segment half made is left", func(t *testing.T, dir string) {
			if err := os.WriteFile(segmentPath(dir, 4)+".new", []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 1, 7, 6, "[]", "[]", false},
		{"a file that is not ours", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "segments", "holiday.jpg"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, 1, 7, 6, "[]", "[]", false},

		{"state.db is gone: all is unsettled again", remove("state.db"), 1, 7, 6, "[]", "[]", true},
		{"state.db is empty", func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "state.db"), 0) }, 1, 7, 6, "[damaged/state.db]", "[]", true},
		{"state.db is of another device", patchState, 1, 7, 6, "[damaged/state.db]", "[]", true},

		{"an old segment is gone", remove("segments/00000002.db"), 1, 7, 4, "[]", "[epoch 1 numbers 3 to 4]", false},
		{"an old segment is empty", func(t *testing.T, dir string) { truncate(t, segmentPath(dir, 2), 0) }, 1, 7, 4, "[damaged/00000002.db]", "[epoch 1 numbers 3 to 4]", false},
		{"an old segment is cut", func(t *testing.T, dir string) { truncate(t, segmentPath(dir, 2), 3*pageSize+77) }, 1, 7, 4, "[damaged/00000002.db]", "[epoch 1 numbers 3 to 4]", false},
		{"an old segment has lost both metas", all(zero("segments/00000002.db", 0), zero("segments/00000002.db", 1)), 1, 7, 4, "[damaged/00000002.db]", "[epoch 1 numbers 3 to 4]", false},

		{"the newest segment is gone", remove("segments/00000003.db"), 2, 1, 4, "[]", "[epoch 1 numbers 5 to 6 and perhaps more]", false},
		{"and state.db too", remove("segments/00000003.db", "state.db"), 2, 1, 4, "[]", "[epoch 1 numbers 5 to 6 and perhaps more]", true},
		{"and the mark", remove("segments/00000003.db", "mark"), 2, 1, 4, "[]", "[epoch 1 numbers 5 to 6 and perhaps more]", false},
		{"the newest segment is cut to nothing", func(t *testing.T, dir string) { truncate(t, segmentPath(dir, 3), 0) }, 2, 1, 4, "[damaged/00000003.db]", "[epoch 1 numbers 5 to 6 and perhaps more]", false},
		{"and all that could tell its epoch is gone", func(t *testing.T, dir string) {
			truncate(t, segmentPath(dir, 3), 0)
			remove("mark", "state.db", "tip", "ledger")(t, dir)
		}, 3, 1, 4, "[damaged/00000003.db]", "[epoch 1 number 5 and perhaps more]", true},
		{"the newest segment has lost its last commit", func(t *testing.T, dir string) {
			zero("segments/00000003.db", newestMeta(t, segmentPath(dir, 3)))(t, dir)
		}, 2, 1, 5, "[]", "[epoch 1 number 6]", false},
		{"all segments are gone", remove("segments/00000001.db", "segments/00000002.db", "segments/00000003.db"), 2, 1, 0, "[]", "[epoch 1 numbers 1 to 6 and perhaps more, 1 of them settled]", false},
		{"all segments and the mark are gone", remove("segments/00000001.db", "segments/00000002.db", "segments/00000003.db", "mark"), 2, 1, 0, "[]", "[epoch 1 numbers 1 to 6 and perhaps more, 1 of them settled]", false},
		{"a segment put back from a copy", func(t *testing.T, dir string) {
			b, err := os.ReadFile(segmentPath(dir, 2))
			if err == nil {
				err = os.WriteFile(segmentPath(dir, 4), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, 2, 1, 6, "[damaged/00000004.db]", "[epoch 1 number 7 and perhaps more]", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			b, records := threeDays(t)
			row.damage(t, b.dir)
			for round := range 3 { // a second start must not find anything new
				b.open()
				r := b.Report()
				var moved []string
				for _, m := range r.Moved {
					moved = append(moved, m.Name)
				}
				if st := b.Stats(); round == 0 && st.Records != row.records {
					t.Errorf("%d records, want %d", st.Records, row.records)
				}
				if round == 0 {
					if fmt.Sprint(moved) != row.moved || r.Rebuilt != row.rebuilt || r.Fresh {
						t.Errorf("report: %+v", r)
					}
					if (r.Raised != "") != (row.epoch > 1) || r.Epoch != row.epoch {
						t.Errorf("raised to epoch %d: %q", r.Epoch, r.Raised)
					}
				} else if len(moved) > 0 || r.Raised != "" || r.Rebuilt {
					t.Errorf("report of start %d: %+v", round+1, r)
				}
				if got := fmt.Sprint(r.Missing); got != row.missing {
					t.Errorf("missing %s, want %s", got, row.missing)
				}
				if s := b.beat(); s.Record.Epoch != row.epoch || s.Record.Seq != row.seq+uint64(round) {
					t.Errorf("next record is epoch %d number %d, want %d and %d", s.Record.Epoch, s.Record.Seq, row.epoch, row.seq+uint64(round))
				}
				b.honest(records)
				b.crash()
			}
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func zero(name string, page int64) func(t *testing.T, dir string) {
	return patch(name, page*pageSize, make([]byte, pageSize)...)
}

// patchState makes state.db one of another device.
func patchState(t *testing.T, dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		i := strings.Index(string(b), string(device[:]))
		if i < 0 {
			break
		}
		b[i]++
		patch("state.db", int64(i), b[i])(t, dir)
	}
}

// honest checks that whatever the store gives back under the place of one of the
// records is that record.
func (b *bed) honest(records []*evidence.Sealed) (whole int) {
	b.Helper()
	for _, s := range records {
		got, err := b.Record(key(s))
		switch {
		case err == nil && string(got) != string(s.Bytes):
			b.Errorf("record %v is another one", key(s))
		case err == nil:
			whole++
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged):
			b.Errorf("record %v: %v", key(s), err)
		}
	}
	return whole
}

func TestEpochComesFromTheOptionsWhenHigher(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Epoch = 3 })
	b.beat()
	for _, row := range []struct {
		name       string
		option     uint64
		epoch, seq uint64
	}{
		{"the same", 3, 3, 2},
		{"an older provisioning bundle", 2, 3, 3},
		{"none", 0, 3, 4},
		{"a new key", 5, 5, 1},
		{"again", 5, 5, 2},
	} {
		b.shut()
		b.options.Epoch = row.option
		b.open()
		s := b.beat()
		if s.Record.Epoch != row.epoch || s.Record.Seq != row.seq || s.Record.Prev.IsZero() != (row.seq == 1) {
			t.Errorf("%s: epoch %d number %d", row.name, s.Record.Epoch, s.Record.Seq)
		}
		if r := b.Report(); r.Raised != "" || len(r.Missing) > 0 {
			t.Errorf("%s: %+v", row.name, r)
		}
	}
}

func TestSettledBeyondTheHeadRaisesTheEpoch(t *testing.T) {
	b := newBed(t)
	b.beat()
	b.crash()
	old := copyStore(t, b.dir)
	b.open()
	b.settle(b.beat(), b.beat())
	b.crash()
	// The disk has kept state.db and put the segment back.
	if err := os.Rename(segmentPath(old, 1), segmentPath(b.dir, 1)); err != nil {
		t.Fatal(err)
	}
	b.open()
	if s := b.beat(); s.Record.Epoch != 2 || s.Record.Seq != 1 || b.Report().Raised == "" {
		t.Errorf("epoch %d number %d after %+v", s.Record.Epoch, s.Record.Seq, b.Report())
	}
}

func TestMarkOfACleanShutdownRaisesTheEpoch(t *testing.T) {
	b := newBed(t)
	b.beat()
	b.shut()
	old := copyStore(t, b.dir)
	b.open()
	b.beat()
	b.shut()
	if err := os.Rename(segmentPath(old, 1), segmentPath(b.dir, 1)); err != nil {
		t.Fatal(err)
	}
	b.open()
	if h := b.Head(); h.Epoch != 2 || h.Next != 1 {
		t.Errorf("%+v", h)
	}
}

func TestDroppingIsFinishedAfterACut(t *testing.T) {
	b := newBed(t)
	b.settle(b.beat())
	b.now = noon.AddDate(0, 0, 1)
	b.beat()
	saved, err := os.ReadFile(segmentPath(b.dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Expire(b.now); len(got) != 1 || err != nil {
		t.Fatal(got, err)
	}
	b.crash()
	if err := os.WriteFile(segmentPath(b.dir, 1), saved, 0o600); err != nil { // cut before the file went
		t.Fatal(err)
	}
	b.open()
	if st := b.Stats(); st.Records != 1 || st.Unsettled != 1 {
		t.Errorf("%+v", st)
	}
	if exists(segmentPath(b.dir, 1)) {
		t.Error("the file is still there")
	}
}

// TestDroppingIsRememberedUntilTheFileIsGone drops a segment whose file cannot be
// removed, and then the next one.
func TestDroppingIsRememberedUntilTheFileIsGone(t *testing.T) {
	b := newBed(t)
	var records []*evidence.Sealed
	for day := range 4 {
		b.now = noon.AddDate(0, 0, day)
		records = append(records, b.beat())
	}
	drop := func(i int, fails bool) {
		t.Helper()
		b.settle(records[i])
		got, err := b.Expire(b.now)
		if want := fmt.Sprintf("[epoch 1 number %d]", i+1); fmt.Sprint(got) != want || (err != nil) != fails {
			t.Fatalf("dropped %v, error %v, want %s", got, err, want)
		}
	}
	b.holds(records[0]) // opens it for reading, before a folder that cannot be removed takes its name
	file := segmentPath(b.dir, 1)
	err := os.Rename(file, file+".kept")
	if err == nil {
		err = os.MkdirAll(filepath.Join(file, "in the way"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	drop(0, true)
	drop(1, false)
	if err := errors.Join(os.RemoveAll(file), os.Rename(file+".kept", file)); err != nil {
		t.Fatal(err)
	}
	b.crash()
	b.open()
	if st, r := b.Stats(), b.Report(); st.Records != 2 || st.Unsettled != 2 || len(r.Missing) > 0 {
		t.Errorf("%+v; %+v", st, r)
	}
	if exists(file) {
		t.Error("the file is still there")
	}
	drop(2, false)
	if got := fmt.Sprint(b.known.expired); got != "map[3:true]" {
		t.Errorf("%s is remembered of files that are gone", got)
	}
}

func TestAckSurvivesStateFile(t *testing.T) {
	b := newBed(t)
	b.settle(b.beat())
	ack := b.beat().Record.Ack
	b.shut()
	remove("state.db")(t, b.dir)
	b.open()
	if h := b.Head(); h.Ack != ack || ack.IsZero() {
		t.Errorf("%+v, want receipt %v", h, ack)
	}
	if st := b.Stats(); st.Unsettled != 2 {
		t.Errorf("%+v", st)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	b := newBed(t)
	if _, err := Open(b.dir, b.options); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v, want %v", err, ErrLocked)
	}
	b.beat()
}

func TestOtherDevicesStoreIsMovedAside(t *testing.T) {
	b := newBed(t)
	b.beat()
	b.shut()
	b.options.Device[0]++
	o, err := Open(b.dir, b.options)
	if err != nil {
		t.Fatal(err)
	}
	if r := o.Report(); len(r.Moved) != 2 || r.Raised == "" || o.Stats().Records != 0 {
		t.Errorf("%+v", r)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}
