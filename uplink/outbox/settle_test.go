package outbox

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"ciglio/capture/evidence"
)

func TestReceiptSettlesOnlyWhatItNames(t *testing.T) {
	other := evidence.Hash{0xBA, 0xD0}
	for _, row := range []struct {
		name    string
		entries func(a, b *evidence.Sealed) []evidence.ReceiptEntry
		settled int
		err     error
		raised  bool
	}{
		{"both records", func(a, b *evidence.Sealed) []evidence.ReceiptEntry {
			return []evidence.ReceiptEntry{{Epoch: 1, Seq: 1, ID: a.ID}, {Epoch: 1, Seq: 2, ID: b.ID}}
		}, 2, nil, false},
		{"another id under one place: the other entry stands", func(a, b *evidence.Sealed) []evidence.ReceiptEntry {
			return []evidence.ReceiptEntry{{Epoch: 1, Seq: 1, ID: other}, {Epoch: 1, Seq: 2, ID: b.ID}}
		}, 1, ErrEquivocation, false},
		{"a record not made yet: somebody had our place before", func(a, b *evidence.Sealed) []evidence.ReceiptEntry {
			return []evidence.ReceiptEntry{{Epoch: 1, Seq: 1, ID: a.ID}, {Epoch: 1, Seq: 4, ID: other}}
		}, 1, ErrEquivocation, true},
		{"a record of a later epoch", func(a, b *evidence.Sealed) []evidence.ReceiptEntry {
			return []evidence.ReceiptEntry{{Epoch: 7, Seq: 1, ID: other}}
		}, 0, ErrEquivocation, true},
	} {
		for when, restart := range map[string]func(*bed){
			"at once":           func(*bed) {},
			"after a restart":   func(b *bed) { b.shut(); b.open() },
			"after a power cut": func(b *bed) { b.crash(); b.open() },
		} {
			t.Run(row.name+"/"+when, func(t *testing.T) {
				b := newBed(t)
				r := &evidence.Receipt{Device: device, LogSize: 10, UTC: noon, LogRoot: evidence.Hash{1}}
				r.Entries = row.entries(b.beat(), b.beat())
				sealed, err := evidence.SealReceipt(r, b.centre)
				if err != nil {
					t.Fatal(err)
				}
				n, err := b.Settle(sealed)
				if n != row.settled || !errors.Is(err, row.err) {
					t.Errorf("settled %d, error %v, want %d and %v", n, err, row.settled, row.err)
				}
				if got := b.Head().Ack == sealed.Hash; got != (row.settled > 0) {
					t.Errorf("receipt is the newest: %v", got)
				}
				if st := b.Stats(); st.Unsettled != uint64(2-row.settled) {
					t.Errorf("%d unsettled", st.Unsettled)
				}
				restart(b)
				next := b.beat().Record
				if raised := next.Epoch > r.Entries[len(r.Entries)-1].Epoch; raised != row.raised {
					t.Errorf("next record is epoch %d", next.Epoch)
				}
				if (b.Report().Raised != "") != row.raised {
					t.Errorf("report: %+v", b.Report())
				}
			})
		}
	}
}

// TestReceiptAheadIsObeyedAlsoWhenASegmentBegins stores, in the middle of the
// beginning of a segment, a receipt for a record that was not made yet.
func TestReceiptAheadIsObeyedAlsoWhenASegmentBegins(t *testing.T) {
	for when, restart := range map[string]func(*bed){
		"at once":           func(*bed) {},
		"after a restart":   func(b *bed) { b.shut(); b.open() },
		"after a power cut": func(b *bed) { b.crash(); b.open() },
	} {
		t.Run(when, func(t *testing.T) {
			b := newBed(t)
			b.beat()
			ahead := &evidence.Receipt{Device: device, LogSize: 10, UTC: noon, LogRoot: evidence.Hash{1}}
			ahead.Entries = []evidence.ReceiptEntry{{Epoch: 7, Seq: 9, ID: evidence.Hash{0xBA, 0xD0}}}
			r, err := evidence.SealReceipt(ahead, b.centre)
			if err != nil {
				t.Fatal(err)
			}
			b.now = noon.AddDate(0, 0, 1)
			asked := 0
			b.Outbox.options.Now = func() time.Time {
				if asked++; asked == 2 { // whether the day is another one, and then when the segment begins
					if _, err := b.Settle(r); !errors.Is(err, ErrEquivocation) {
						t.Errorf("error %v, want %v", err, ErrEquivocation)
					}
				}
				return b.now
			}
			if s := b.beat(); s.Record.Epoch != 1 || s.Record.Seq != 2 || asked < 2 {
				t.Fatalf("epoch %d number %d, after the time was asked for %d times", s.Record.Epoch, s.Record.Seq, asked)
			}
			restart(b)
			if s := b.beat(); s.Record.Epoch != 8 || s.Record.Seq != 1 || b.Report().Raised == "" {
				t.Errorf("next record is epoch %d number %d, report %+v", s.Record.Epoch, s.Record.Seq, b.Report())
			}
		})
	}
}

func TestReceiptOfAnotherDeviceIsRefused(t *testing.T) {
	b := newBed(t)
	r := b.receipt(b.beat())
	r.Receipt.Device[3]++
	if n, err := b.Settle(r); n != 0 || !errors.Is(err, ErrMismatch) {
		t.Errorf("settled %d, error %v", n, err)
	}
}

func TestReceiptAgainSettlesNothing(t *testing.T) {
	b := newBed(t)
	a := b.beat()
	r := b.receipt(a)
	for i, want := range []int{1, 0, 0} {
		if n, err := b.Settle(r); n != want || err != nil {
			t.Errorf("time %d: settled %d, error %v", i+1, n, err)
		}
	}
	again := b.receipt(a) // a new receipt for the same record
	if n, err := b.Settle(again); n != 0 || err != nil {
		t.Errorf("settled %d, error %v", n, err)
	}
	got, err := b.Receipt(key(a))
	if err != nil || string(got) != string(r.Bytes) {
		t.Errorf("the record's receipt is another one, error %v", err)
	}
}

func TestReceiptIsStoredOnceAndGoesWithItsLastRecord(t *testing.T) {
	b := newBed(t)
	var all []*evidence.Sealed
	for day := range 3 {
		b.now = noon.AddDate(0, 0, day)
		all = append(all, b.beat(), b.beat())
	}
	b.settle(all[1:5]...) // reaches over three segments
	b.settle(all[0], all[5])
	stored := func() (n int) {
		found, err := scan(b.dir, device)
		if err != nil {
			t.Fatal(err)
		}
		if err := readPages(b.dir+"/state.db", func(f *pageFile) error {
			n = 0
			return f.each(func(*page, element, []byte) error { n++; return nil }, bucketReceipts)
		}); err != nil {
			t.Fatal(err)
		}
		_ = found
		return n
	}
	if n := stored(); n != 2 {
		t.Errorf("%d receipts stored, want 2", n)
	}
	b.now = b.now.AddDate(0, 0, 1)
	b.beat() // a fourth segment, so that the third can go
	for i, want := range []string{"[epoch 1 numbers 1 to 2 epoch 1 numbers 3 to 4 epoch 1 numbers 5 to 6]", "[]"} {
		dropped, err := b.Expire(b.now)
		if got := fmt.Sprint(dropped); err != nil || got != want {
			t.Errorf("time %d: dropped %s, error %v", i+1, got, err)
		}
	}
	if n := stored(); n != 0 {
		t.Errorf("%d receipts stored after their records went, want 0", n)
	}
	if b.Head().Ack.IsZero() {
		t.Error("the newest receipt is forgotten with its bytes")
	}
	b.shut()
	b.open()
	if r := b.Report(); len(r.Missing) > 0 || r.Raised != "" {
		t.Errorf("what was dropped in good order is reported: %+v", r)
	}
}

func TestRetentionCountsFromTheLastRecord(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Retention = 48 * time.Hour })
	b.settle(b.beat())
	b.now = noon.AddDate(0, 0, 1)
	b.settle(b.beat())
	for _, row := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"the clock is back", noon.AddDate(0, 0, -30), 0},
		{"a moment before", noon.Add(48*time.Hour - time.Second), 0},
		{"due", noon.Add(48 * time.Hour), 1},
		{"the newest segment stays", noon.AddDate(1, 0, 0), 0},
	} {
		if got, err := b.Expire(row.at); err != nil || len(got) != row.want {
			t.Errorf("%s: dropped %v, error %v", row.name, got, err)
		}
	}
}

func TestUnsettledRecordKeepsItsSegment(t *testing.T) {
	b := newBed(t)
	a, poison := b.beat(), b.beat()
	b.now = noon.AddDate(0, 0, 1)
	c := b.beat()
	b.now = noon.AddDate(0, 0, 2)
	b.beat()
	if err := b.SetAside(key(poison), "the broker hangs up on it"); err != nil {
		t.Fatal(err)
	}
	b.settle(a, c)
	if got, err := b.Expire(b.now); err != nil || fmt.Sprint(got) != "[epoch 1 number 3]" {
		t.Errorf("dropped %v, error %v", got, err)
	}
	b.holds(poison)
	b.shut()
	b.open()
	if r := b.Report(); len(r.Missing) > 0 {
		t.Errorf("the segment dropped between two others is reported missing: %+v", r.Missing)
	}
}

func TestSetAsideIsNotOfferedUntilRetry(t *testing.T) {
	b := newBed(t)
	a, c := b.beat(), b.beat()
	if err := b.SetAside(key(a), "why"); err != nil {
		t.Fatal(err)
	}
	if err := b.SetAside(at(1, 3), "no such record"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	offered := func() (seqs []uint64) {
		items, err := b.Unsettled(Key{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			seqs = append(seqs, it.Seq)
		}
		return seqs
	}
	for range 2 {
		if got := fmt.Sprint(offered()); got != "[2]" {
			t.Errorf("offered %s", got)
		}
		list, err := b.List(Key{}, 10)
		if err != nil || len(list) != 2 || list[0].State != SetAside || list[0].Note != "why" || list[1].State != Waiting {
			t.Errorf("listed %+v, error %v", list, err)
		}
		b.crash()
		b.open()
	}
	changed := b.Changed()
	if n, err := b.Retry(); n != 1 || err != nil {
		t.Error(n, err)
	}
	<-changed
	if got := fmt.Sprint(offered()); got != "[1 2]" {
		t.Errorf("offered %s", got)
	}
	if err := b.SetAside(key(a), "why"); err != nil {
		t.Fatal(err)
	}
	b.settle(a, c) // a receipt is a receipt, however the record got there
	b.shut()
	b.open()
	if st := b.Stats(); st.SetAside != 0 || st.Unsettled != 0 {
		t.Errorf("%+v", st)
	}
	if err := b.SetAside(key(a), "settled"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
