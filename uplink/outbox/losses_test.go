package outbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ciglio/capture/evidence"
)

// words returns what a report says is lost, a line each.
func words(r Report) string {
	var lines []string
	for _, l := range r.Losses() {
		lines = append(lines, l.Words)
	}
	return strings.Join(lines, "\n")
}

// viewed returns what a view of the store says is lost.
func (b *bed) viewed() (string, Report) {
	b.Helper()
	v, err := OpenView(b.dir, evidence.DeviceID{})
	if err != nil {
		b.Fatal(err)
	}
	if err := v.Examine(b.Context(), true); err != nil {
		b.Fatal(err)
	}
	return words(v.Report()), v.Report()
}

// lossCase is one way to hurt threeDays: records 1 and 2, 3 and 4, 5 and 6, of which the
// first is settled.
type lossCase struct {
	name    string
	damage  func(t *testing.T, dir string)
	missing string // before a restart and after it
	says    string // in the words
}

// shorten cuts a file; size is told how much of it is in use.
func shorten(name string, size func(used int64) int64) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, name)
		var used int64
		if err := readPages(path, func(f *pageFile) error { used = int64(f.meta.pages) * pageSize; return nil }); err != nil {
			t.Fatal(err)
		}
		truncate(t, path, size(used))
	}
}

func half(n int64) int64 { return n / 2 }

func bytesLeft(n int64) func(int64) int64 { return func(int64) int64 { return n } }

// run hurts the store, and asks a view of it before a restart, the store after
// it, a view then, and both after one more restart.
func (c lossCase) run(t *testing.T) {
	b, records := threeDays(t)
	c.damage(t, b.dir)
	seen, report := b.viewed()
	if got := fmt.Sprint(report.Missing); got != c.missing || !strings.Contains(seen, c.says) {
		t.Errorf("before the restart: missing %s, want %s; says\n%s\nwant %q", got, c.missing, seen, c.says)
	}
	given := map[Key]bool{}
	for _, s := range records {
		given[key(s)] = true
	}
	for round := range 3 {
		b.open()
		if got := fmt.Sprint(b.Report().Missing); got != c.missing || !strings.Contains(words(b.Report()), c.says) {
			t.Errorf("start %d: missing %s, want %s; says\n%s", round+1, got, c.missing, words(b.Report()))
		}
		if round == 0 && seen != words(b.Report()) {
			t.Errorf("the words change with the restart, from\n%s\nto\n%s", seen, words(b.Report()))
		}
		if s := b.beat(); given[key(s)] {
			t.Errorf("start %d: the place %v is given again", round+1, key(s))
		} else {
			given[key(s)] = true
		}
		b.honest(records)
		if round == 1 {
			b.shut()
		} else {
			b.crash()
		}
		if got, r := b.viewed(); fmt.Sprint(r.Missing) != c.missing || !strings.Contains(got, c.says) {
			t.Errorf("after start %d: missing %v, want %s; says\n%s", round+1, r.Missing, c.missing, got)
		}
	}
}

func TestD01_DamagedSegmentIsNamedBeforeAndAfterARestart(t *testing.T) {
	const first, middle, newest = "segments/00000001.db", "segments/00000002.db", "segments/00000003.db"
	const (
		noFirst  = "[epoch 1 numbers 1 to 2, 1 of them settled]"
		noMiddle = "[epoch 1 numbers 3 to 4]"
		noNewest = "[epoch 1 numbers 5 to 6 and perhaps more]"
	)
	both := func(name string) func(t *testing.T, dir string) { return all(zero(name, 0), zero(name, 1)) }
	for _, c := range []lossCase{
		{"the first, to half", shorten(first, half), noFirst, "segment 00000001.db: damaged"},
		{"the first, to nothing", shorten(first, bytesLeft(0)), noFirst, "segment 00000001.db: damaged"},
		{"the middle, to half", shorten(middle, half), noMiddle, "segment 00000002.db: damaged"},
		{"the middle, to a byte", shorten(middle, bytesLeft(1)), noMiddle, "segment 00000002.db: damaged"},
		{"the middle, to its meta pages", shorten(middle, bytesLeft(2*pageSize)), noMiddle, "segment 00000002.db: damaged"},
		{"the newest, to half", shorten(newest, half), noNewest, "segment 00000003.db: damaged"},
		{"the newest, to nothing", shorten(newest, bytesLeft(0)), noNewest, "segment 00000003.db: damaged"},
		{"both meta pages of the first", both(first), noFirst, "00000001.db"},
		{"both meta pages of the middle", both(middle), noMiddle, "00000002.db"},
		{"both meta pages of the newest", both(newest), noNewest, "00000003.db"},
		{"a named pipe instead of the middle", func(t *testing.T, dir string) {
			remove(middle)(t, dir)
			if err := syscall.Mkfifo(filepath.Join(dir, middle), 0o600); err != nil {
				t.Fatal(err)
			}
		}, noMiddle, "00000002.db"},
		{"a folder instead of the middle", func(t *testing.T, dir string) {
			remove(middle)(t, dir)
			if err := os.Mkdir(filepath.Join(dir, middle), 0o700); err != nil {
				t.Fatal(err)
			}
		}, noMiddle, "00000002.db"},
		{"text instead of the middle", func(t *testing.T, dir string) {
			patchWhole(t, dir, middle, []byte(strings.Repeat("no bbolt file\n", 3000)))
		}, noMiddle, "00000002.db"},
		{"the first and the newest", all(shorten(first, half), both(newest)),
			"[epoch 1 numbers 1 to 2, 1 of them settled epoch 1 numbers 5 to 6 and perhaps more]", "00000003.db"},
		{"all of them", all(shorten(first, half), shorten(middle, bytesLeft(9)), both(newest)),
			"[epoch 1 numbers 1 to 6 and perhaps more, 1 of them settled]", "00000002.db"},
		{"the middle and state.db", all(shorten(middle, half), shorten("state.db", half)), noMiddle, "state.db"},
		{"the first and state.db: nobody knows what was settled", all(shorten(first, half), remove("state.db")),
			"[epoch 1 numbers 1 to 2]", "00000001.db"},
		{"the newest, mark and tip", all(both(newest), remove("mark", "tip")), "[epoch 1 number 5 and perhaps more]", "00000003.db"},
		{"the middle, and the ledger", all(shorten(middle, half), remove("ledger")), noMiddle, "00000002.db"},
		{"the middle, and all that knows of it", all(shorten(middle, half), remove("ledger", "mark", "tip", "state.db")), noMiddle, "00000002.db"},
		{"the first, and all that knows of it", all(remove(first), remove("ledger", "mark", "tip", "state.db")),
			"[epoch 1 numbers 1 to 2]", "epoch 1 numbers 1 to 2 missing"},
	} {
		t.Run(c.name, c.run)
	}
}

func TestD02_MissingSegmentIsNamedBeforeAndAfterARestart(t *testing.T) {
	for _, c := range []lossCase{
		{"the first", remove("segments/00000001.db"), "[epoch 1 numbers 1 to 2, 1 of them settled]", "missing"},
		{"the middle", remove("segments/00000002.db"), "[epoch 1 numbers 3 to 4]", "epoch 1 numbers 3 to 4 missing"},
		{"the newest", remove("segments/00000003.db"), "[epoch 1 numbers 5 to 6 and perhaps more]", "missing"},
		{"two of them", remove("segments/00000002.db", "segments/00000003.db"), "[epoch 1 numbers 3 to 6 and perhaps more]", "missing"},
		{"the folder of them", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "segments")); err != nil {
				t.Fatal(err)
			}
		}, "[epoch 1 numbers 1 to 6 and perhaps more, 1 of them settled]", "missing"},
		{"all, and state.db", remove("segments/00000001.db", "segments/00000002.db", "segments/00000003.db", "state.db", "mark"),
			"[epoch 1 numbers 1 to 6 and perhaps more]", "missing"},
	} {
		t.Run(c.name, c.run)
	}
}

// The end of a store that was closed in good order is known.
func TestD02_EndOfAClosedStoreIsExact(t *testing.T) {
	b, _ := threeDays(t)
	b.open()
	b.shut()
	remove("segments/00000003.db")(t, b.dir)
	const want = "[epoch 1 numbers 5 to 6]"
	for round := range 2 {
		if _, r := b.viewed(); fmt.Sprint(r.Missing) != want {
			t.Errorf("before start %d: missing %v, want %s", round+1, r.Missing, want)
		}
		b.open()
		if got := fmt.Sprint(b.Report().Missing); got != want {
			t.Errorf("start %d: missing %s, want %s", round+1, got, want)
		}
		b.beat()
		b.crash()
	}
}

// A file that comes back, as from a folder of its own after a search, is no loss
// any more.
func TestD02_SegmentThatIsBackIsNotMissing(t *testing.T) {
	b, records := threeDays(t)
	path := segmentPath(b.dir, 2)
	if err := os.Rename(path, b.dir+".kept"); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.shut()
	if err := os.Rename(b.dir+".kept", path); err != nil {
		t.Fatal(err)
	}
	b.open()
	if got := words(b.Report()); got != "" || b.honest(records) != len(records) {
		t.Errorf("says %s", got)
	}
}

func TestD03_LostMetaPageNamesItsRecord(t *testing.T) {
	for _, n := range []int{1, 2, 7} { // records
		for _, without := range []string{"", "tip", "tip ledger mark", "state.db"} {
			t.Run(fmt.Sprintf("%d records, without %q", n, without), func(t *testing.T) {
				b := newBed(t)
				for range n {
					b.beat()
				}
				b.crash()
				path := segmentPath(b.dir, 1)
				zero("segments/00000001.db", newestMeta(t, path))(t, b.dir)
				remove(strings.Fields(without)...)(t, b.dir)
				want := fmt.Sprintf("[epoch 1 number %d]", n)
				for round := range 3 {
					if _, r := b.viewed(); fmt.Sprint(r.Missing) != want {
						t.Errorf("a view before start %d: missing %v, want %s", round+1, r.Missing, want)
					}
					b.open()
					if got := fmt.Sprint(b.Report().Missing); got != want {
						t.Errorf("start %d: missing %s, want %s", round+1, got, want)
					}
					if s := b.beat(); s.Record.Epoch != 2 || s.Record.Seq != uint64(round+1) {
						t.Errorf("next is %v", key(s))
					}
					b.crash()
				}
				// The file keeps the lost record, and stays.
				b.open()
				items, err := b.Unsettled(Key{}, 100)
				if err != nil {
					t.Fatal(err)
				}
				var r evidence.Receipt
				r.Device, r.UTC, r.LogRoot, r.LogSize = device, noon, evidence.Hash{1}, 100
				for i, it := range items {
					r.Entries = append(r.Entries, evidence.ReceiptEntry{Epoch: it.Epoch, Seq: it.Seq, ID: it.ID, Index: uint64(i)})
				}
				s, err := evidence.SealReceipt(&r, b.centre)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.Settle(s); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Expire(noon.AddDate(1, 0, 0)); err != nil || !exists(path) {
					t.Errorf("the file of the lost record is gone, error %v", err)
				}
			})
		}
	}
}

// The older meta page is lost: nothing is missing.
func TestD03_LostOlderMetaPageMissesNothing(t *testing.T) {
	b := newBed(t)
	b.beat()
	b.crash()
	zero("segments/00000001.db", 1-newestMeta(t, segmentPath(b.dir, 1)))(t, b.dir)
	if got, r := b.viewed(); len(r.Missing) > 0 {
		t.Errorf("a view: %s", got)
	}
	b.open()
	if r := b.Report(); len(r.Missing) > 0 || b.Stats().Records != 1 {
		t.Errorf("%+v", r)
	}
}

// A segment that goes while others look at the store does not end what they see.
func TestListGoesOnBehindASegmentThatWent(t *testing.T) {
	b, _ := threeDays(t)
	v, err := OpenView(b.dir, device)
	if err != nil {
		t.Fatal(err)
	}
	remove("segments/00000001.db")(t, b.dir)
	list, err := v.List(Key{}, 2)
	if err != nil || len(list) != 2 || list[0].Seq != 3 {
		t.Errorf("%+v, error %v", list, err)
	}
}

// What a segment holds that was set aside can still be read out of it.
func TestD04_RecordsBesideADamagedOneAreRead(t *testing.T) {
	b := newBed(t)
	var records []stored
	for i := range 15 {
		one := stored{blobs: [][]byte{noise(uint64(3*i), 70_000), noise(uint64(3*i+1), 3000), noise(uint64(3*i+2), 100)}}
		one.Sealed = b.violate(evidence.KindTest, one.blobs...)
		records = append(records, one)
	}
	b.now = noon.AddDate(0, 0, 1)
	b.beat()
	b.crash()
	path := segmentPath(b.dir, 1)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The page that begins with the 9th record's first frame, whole.
	at := strings.Index(string(file), string(records[8].blobs[0][:64]))
	zero("segments/00000001.db", int64(at/pageSize))(t, b.dir)
	for range 2 {
		v, err := OpenView(b.dir, device)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Examine(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		for i, s := range records {
			_, err := v.Record(key(s.Sealed))
			for j := 0; err == nil && j < len(s.blobs); j++ {
				_, err = v.Blob(key(s.Sealed), j)
			}
			if (err != nil) != (i == 8) {
				t.Errorf("record %d: %v", i+1, err)
			}
		}
		if got := words(v.Report()); !strings.Contains(got, "segment 00000001.db: damaged") || !strings.Contains(got, "epoch 1 numbers 1 to 15 missing") {
			t.Errorf("says\n%s", got)
		}
		b.open()
		b.crash()
	}
}

func TestLedgerHasOneSpelling(t *testing.T) {
	l := ledger{7, []account{{1, 1, 1, 5, false}, {2, 1, 5, 5, true}}}
	text := l.String()
	if got, err := parseLedger([]byte(text)); err != nil || fmt.Sprint(got) != fmt.Sprint(l) {
		t.Errorf("%v, error %v", got, err)
	}
	for i := range len(text) {
		hurt := []byte(text)
		hurt[i] ^= 0x10
		if got, err := parseLedger(hurt); err == nil {
			t.Errorf("byte %d changed: %v", i, got)
		}
		if got, err := parseLedger([]byte(text[:i])); err == nil {
			t.Errorf("%d bytes: %v", i, got)
		}
	}
}
