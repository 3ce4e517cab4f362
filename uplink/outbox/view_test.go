package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ciglio/capture/evidence"
)

func TestViewShowsWhatTheStoreHolds(t *testing.T) {
	b, all := filled(t)
	b.open()
	if err := b.SetAside(key(all[5].Sealed), "poison"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // while the service runs, and after it has ended
		for _, owner := range []evidence.DeviceID{device, {}} {
			v, err := OpenView(b.dir, owner)
			if err != nil {
				t.Fatal(err)
			}
			if n := (&bed{TB: t, Outbox: &Outbox{}}).verifyView(v, all); n != len(all) {
				t.Errorf("%d of %d records whole", n, len(all))
			}
			if b.Outbox != nil {
				if got, want := fmt.Sprint(v.Stats().Head), fmt.Sprint(b.Stats().Head); got != want {
					t.Errorf("head %s, want %s", got, want)
				}
			}
			st := v.Stats()
			if st.Records != 120 || st.Unsettled != 118 || st.SetAside != 1 || !st.Oldest.Equal(noon) {
				t.Errorf("%+v", st)
			}
			if _, err := v.Receipt(key(all[59].Sealed)); err != nil {
				t.Error(err)
			}
			list, err := v.List(at(1, 5), 1)
			if err != nil || len(list) != 1 || list[0].State != SetAside || list[0].Note != "poison" {
				t.Errorf("%+v, error %v", list, err)
			}
			if r := v.Report(); len(r.Moved)+len(r.Missing)+len(r.Records) > 0 || r.Clean != (b.Outbox == nil) {
				t.Errorf("%+v", r)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		}
		if b.Outbox != nil {
			b.shut()
		}
	}
}

// verifyView is verify for a view.
func (b *bed) verifyView(v *View, all []stored) (whole int) {
	b.Helper()
	for _, s := range all {
		got, err := v.Record(key(s.Sealed))
		ok := err == nil && string(got) == string(s.Bytes)
		for i, want := range s.blobs {
			got, err := v.Blob(key(s.Sealed), i)
			ok = ok && err == nil && string(got) == string(want)
		}
		if ok {
			whole++
		} else {
			b.Errorf("record %v: %v", key(s.Sealed), err)
		}
	}
	return whole
}

func TestViewOfNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenView(dir, device); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := OpenView(filepath.Join(dir, "none"), evidence.DeviceID{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// TestAnotherProcess reads a store that a child process is writing, and is
// refused when it wants to write as well.
func TestAnotherProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	cmd, lines := child(t, dir)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	c := &confirmed{ids: map[Key]string{}, settled: map[uint64]bool{}, dropped: map[uint64]bool{}}
	for n := 0; n < 120 && lines.Scan(); n++ {
		c.hear(t, lines.Text())
		if n%12 != 11 {
			continue
		}
		if _, err := Open(dir, Options{Device: device}); !errors.Is(err, ErrLocked) {
			t.Fatalf("error %v, want %v", err, ErrLocked)
		}
		v, err := OpenView(dir, device)
		if err != nil {
			t.Fatal(err)
		}
		list, err := v.List(Key{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[Key]string{}
		for _, it := range list {
			seen[it.Key] = it.ID.String()
			raw, err := v.Record(it.Key)
			if errors.Is(err, ErrNotFound) { // dropped meanwhile
				continue
			}
			s, err2 := evidence.Open(raw)
			if err != nil || err2 != nil || s.ID != it.ID {
				t.Fatalf("%v: %v, %v", it.Key, err, err2)
			}
			for i := range it.Blobs {
				if got, err := v.Blob(it.Key, i); !errors.Is(err, ErrNotFound) && (err != nil || string(got) != string(childBlobs(it.Seq)[i])) {
					t.Fatalf("%v blob %d: %v", it.Key, i, err)
				}
			}
		}
		for k, id := range c.ids {
			if seen[k] != id && len(list) > 0 && !k.Less(list[0].Key) {
				t.Errorf("%v is confirmed and not seen", k)
			}
		}
	}
}

// TestEverythingAtOnce appends, settles, reads, drops and looks from outside, all
// at the same time.
func TestEverythingAtOnce(t *testing.T) {
	b := newBed(t, func(o *Options) { o.SegmentSize = MinSegmentSize })
	const writers, each = 2, 60
	done := make(chan struct{})
	var wg, readers sync.WaitGroup
	var mu sync.Mutex
	sealed := map[Key]*evidence.Sealed{}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				var s *evidence.Sealed
				var err error
				if i%3 == 0 {
					s, err = b.tryViolate(evidence.KindTest, childBlobs(uint64(w*each+i))...)
				} else {
					s, err = b.tryBeat()
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				sealed[key(s)] = s
				mu.Unlock()
			}
		})
	}
	read := func(after Key) (last Key) {
		items, err := b.Unsettled(after, 10)
		if err != nil {
			t.Error(err)
		}
		for _, it := range items {
			last = it.Key
			if _, err := b.Record(it.Key); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			for i := range it.Blobs {
				if _, err := b.Blob(it.Key, i); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
		}
		return last
	}
	for range 2 {
		readers.Go(func() {
			var after Key
			for {
				select {
				case <-done:
					return
				case <-b.Changed():
				}
				after = read(after)
				b.Stats()
				b.Report()
			}
		})
	}
	readers.Go(func() { // the centre
		for {
			select {
			case <-done:
				return
			case <-b.Changed():
			}
			items, err := b.Unsettled(Key{}, 5)
			if err != nil {
				t.Error(err)
			}
			var answer []*evidence.Sealed
			mu.Lock()
			for _, it := range items {
				if s := sealed[it.Key]; s != nil {
					answer = append(answer, s)
				}
			}
			mu.Unlock()
			if len(answer) == 0 {
				continue
			}
			if n, err := b.Settle(b.receipt(answer...)); n != len(answer) || err != nil {
				t.Errorf("settled %d of %d: %v", n, len(answer), err)
			}
			if _, err := b.Expire(noon.AddDate(1, 0, 0)); err != nil {
				t.Error(err)
			}
		}
	})
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-b.Changed():
			}
			v, err := OpenView(b.dir, device)
			if err == nil {
				_, err = v.List(Key{}, 20)
			}
			if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	close(done)
	readers.Wait()
	for after := (Key{}); ; {
		if after = read(after); after == (Key{}) {
			break
		}
	}
	if r := b.Report(); len(r.Moved)+len(r.Missing)+len(r.Records) > 0 || r.Raised != "" {
		t.Errorf("%+v", r)
	}
	if h := b.Head(); h.Next != writers*each+1 {
		t.Errorf("%+v", h)
	}
}

// counting counts what is read.
type counting struct {
	source
	reads int
}

func (c *counting) view(s *segment, fn func(t tree) error) error {
	return c.source.view(s, func(t tree) error { return fn(countingTree{t, c}) })
}

type countingTree struct {
	tree
	c *counting
}

func (t countingTree) value(key []byte, path ...[]byte) ([]byte, error) {
	t.c.reads++
	return t.tree.value(key, path...)
}

func TestUnsettledReadsOnlyWhatItReturns(t *testing.T) {
	b := newBed(t)
	var all []*evidence.Sealed
	for day := range 4 {
		b.now = noon.AddDate(0, 0, day)
		for range 25 {
			all = append(all, b.beat())
		}
	}
	b.settle(all[:60]...)
	b.settle(all[70:99]...)
	c := &counting{source: b.library.source}
	b.library.source = c
	for _, row := range []struct {
		after Key
		max   int
		want  string
	}{
		{Key{}, 5, "61 62 63 64 65 "},
		{at(1, 65), 3, "66 67 68 "},
		{at(1, 68), 10, "69 70 100 "},
		{at(1, 100), 10, ""},
		{at(2, 0), 10, ""},
		{Key{}, 0, ""},
	} {
		c.reads = 0
		items, err := b.Unsettled(row.after, row.max)
		got := ""
		for _, it := range items {
			got += fmt.Sprint(it.Seq, " ")
		}
		if err != nil || got != row.want || c.reads != len(items) {
			t.Errorf("after %v: %s with %d reads, want %s; error %v", row.after, got, c.reads, row.want, err)
		}
	}
}
