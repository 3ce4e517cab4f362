package outbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

func TestAppendRefusesWhatDoesNotFit(t *testing.T) {
	frame, trace := noise(1, 100_000), noise(2, 1000)
	for _, row := range []struct {
		name   string
		change func(*evidence.Record)
		blobs  [][]byte
		want   error
	}{
		{"the record as it should be", func(r *evidence.Record) {}, [][]byte{frame, frame, trace}, nil},
		{"a number left out", func(r *evidence.Record) { r.Seq++ }, [][]byte{frame, frame, trace}, ErrMismatch},
		{"another epoch", func(r *evidence.Record) { r.Epoch++ }, [][]byte{frame, frame, trace}, ErrMismatch},
		{"another device", func(r *evidence.Record) { r.Device[0]++ }, [][]byte{frame, frame, trace}, ErrMismatch},
		{"follows another record", func(r *evidence.Record) { r.Prev[0]++ }, [][]byte{frame, frame, trace}, ErrMismatch},
		{"a receipt we do not have", func(r *evidence.Record) { r.Ack[0]++ }, [][]byte{frame, frame, trace}, ErrMismatch},
		{"a frame short", func(r *evidence.Record) {}, [][]byte{frame, trace}, ErrMismatch},
		{"a frame too many", func(r *evidence.Record) {}, [][]byte{frame, frame, frame, trace}, ErrMismatch},
		{"in another order", func(r *evidence.Record) {}, [][]byte{trace, frame, frame}, ErrMismatch},
		{"one byte short", func(r *evidence.Record) {}, [][]byte{frame, frame, trace[:999]}, ErrMismatch},
		{"an empty blob", func(r *evidence.Record) {}, [][]byte{frame, frame, {}}, ErrMismatch},
		{"larger than a segment", func(r *evidence.Record) {}, [][]byte{noise(3, 5<<20), frame, trace}, ErrTooLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t)
			first := b.beat()
			_, err := b.Append(func(h Head) (*evidence.Sealed, error) {
				r := violation(h, noon, evidence.KindViolation, describe(frame, frame, trace))
				row.change(r)
				return evidence.Seal(r, b.device)
			}, row.blobs...)
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Errorf("error %v, want %v", err, row.want)
			}
			if h := b.Head(); row.want != nil && (h.Next != 2 || h.Prev != first.Link) {
				t.Errorf("head after a refusal: %+v", h)
			}
		})
	}
}

// describe says of blobs what a record says of them.
func describe(blobs ...[]byte) (list []BlobInfo) {
	for _, b := range blobs {
		list = append(list, BlobInfo{SHA256: sha256.Sum256(b), Length: uint64(len(b))})
	}
	return list
}

func TestPreparedBlobsServeOnce(t *testing.T) {
	b := newBed(t)
	p, err := b.Prepare(noise(1, 100_000), noise(2, 10), noise(3, 10))
	if err != nil {
		t.Fatal(err)
	}
	seal := func(h Head) (*evidence.Sealed, error) {
		return evidence.Seal(violation(h, noon, evidence.KindTest, p.Blobs), b.device)
	}
	if _, err := b.AppendPrepared(seal, p); err != nil {
		t.Fatal(err)
	}
	if _, err := b.AppendPrepared(seal, p); !errors.Is(err, ErrMismatch) {
		t.Errorf("error %v", err)
	}
}

func TestSealErrorStoresNothing(t *testing.T) {
	b := newBed(t)
	broken := errors.New("the key is gone")
	if _, err := b.Append(func(Head) (*evidence.Sealed, error) { return nil, broken }); err != broken {
		t.Error(err)
	}
	if b.beat().Record.Seq != 1 {
		t.Error("a number was used up")
	}
}

func TestChunksAreTheMessagesThatAreSent(t *testing.T) {
	b := newBed(t)
	blobs := [][]byte{noise(1, 3*wire.ChunkData), noise(2, wire.ChunkData+1), noise(3, 1)}
	s := b.violate(evidence.KindTest, blobs...)
	items, err := b.Unsettled(Key{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for i, blob := range items[0].Blobs {
		var got []byte
		for c := range blob.Chunks {
			m, err := b.Chunk(key(s), i, c)
			if err != nil {
				t.Fatal(err)
			}
			p, err := wire.ParseChunk(m)
			if err != nil || p.Blob != blob.SHA256 {
				t.Fatalf("blob %d chunk %d: %v", i, c, err)
			}
			got, size = append(got, p.Data...), size+int64(len(m))
		}
		if string(got) != string(blobs[i]) {
			t.Errorf("blob %d differs", i)
		}
		if _, err := b.Chunk(key(s), i, blob.Chunks); !errors.Is(err, ErrNotFound) {
			t.Errorf("a chunk past the end: %v", err)
		}
	}
	if want := size + int64(len(s.Bytes)); items[0].Size != want {
		t.Errorf("size %d, want %d", items[0].Size, want)
	}
	for _, err := range []error{second(b.Blob(key(s), 3)), second(b.Blob(key(s), -1)), second(b.Record(at(1, 2))), second(b.Record(at(0, 0))), second(b.Receipt(key(s)))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("error %v, want %v", err, ErrNotFound)
		}
	}
}

func second(_ []byte, err error) error { return err }

func TestFullOutboxRefusesMeasurementsAndKeepsHeartbeats(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Quota, o.Reserve = 16<<20, 1<<20 })
	blobs := [][]byte{noise(1, 700_000), noise(2, 700_000), noise(3, 100_000)}
	var kept []*evidence.Sealed
	for {
		s, err := b.tryViolate(evidence.KindViolation, blobs...)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if kept = append(kept, s); len(kept) > 16 {
			t.Fatal("the quota is not kept")
		}
	}
	if len(kept) < 8 || b.Room(true) || !b.Room(false) {
		t.Errorf("full after %d records, room %v and %v", len(kept), b.Room(true), b.Room(false))
	}
	beats := []*evidence.Sealed{b.beat(), b.beat()}
	if got, err := b.Expire(noon.AddDate(10, 0, 0)); len(got) != 0 || err != nil {
		t.Errorf("unsettled evidence was dropped: %v, %v", got, err)
	}
	if st := b.Stats(); st.Bytes > 16<<20 || st.Room != 0 && st.Room > roomMeasured {
		t.Errorf("%+v", st)
	}
	for _, s := range kept {
		b.holds(s, blobs...)
	}
	// The oldest are answered: they go before their time, as far as needed.
	b.options.Retention = 0
	b.settle(kept[:4]...)
	got, err := b.Expire(noon)
	if err != nil || len(got) == 0 {
		t.Fatalf("dropped %v, error %v", got, err)
	}
	b.violate(evidence.KindViolation, blobs...)
	b.holds(beats[1])
}

func TestSettledRecordsGoBeforeTheirTimeWhenRoomIsShort(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Quota, o.Reserve, o.Retention = 16<<20, 1<<20, 1000*time.Hour })
	blobs := [][]byte{noise(1, 1_000_000), noise(2, 500_000), noise(3, 1000)}
	for range 40 {
		if !b.Room(true) {
			if got, err := b.Expire(noon); err != nil || len(got) == 0 {
				t.Fatalf("dropped %v, error %v", got, err)
			}
		}
		b.settle(b.violate(evidence.KindTest, blobs...))
	}
	if st := b.Stats(); st.Records < 3 {
		t.Errorf("more was dropped than needed: %+v", st)
	}
}

func TestNewestSegmentGoesWhenRoomIsShort(t *testing.T) {
	blobs := [][]byte{noise(1, 3_000_000), noise(2, 500_000), noise(3, 1000)}
	for _, row := range []struct {
		name   string
		change func(b *bed, last *evidence.Sealed) // before the last record is settled
		want   string                              // dropped
		next   uint64                              // epoch of the next record
		fails  bool
	}{
		{"all of it is settled", func(b *bed, last *evidence.Sealed) { b.settle(last) }, "[epoch 1 number 1 epoch 1 numbers 2 to 4]", 1, false},
		{"an unsettled record keeps its whole segment", func(*bed, *evidence.Sealed) {}, "[epoch 1 number 1]", 1, false},
		{"a record in doubt is not settled", func(b *bed, last *evidence.Sealed) {
			b.settle(last)
			fail := failing{after: 2}
			b.commit = fail.commit
			if _, err := b.tryBeat(); !errors.Is(err, ErrUncertain) {
				b.Fatal(err)
			}
		}, "[epoch 1 number 1]", 1, false},
		{"the next record ends it in any case", func(b *bed, last *evidence.Sealed) {
			b.settle(last)
			ahead := &evidence.Receipt{Device: device, LogSize: 10, UTC: noon, LogRoot: evidence.Hash{1}}
			ahead.Entries = []evidence.ReceiptEntry{{Epoch: 1, Seq: 9, ID: evidence.Hash{0xBA, 0xD0}}}
			r, err := evidence.SealReceipt(ahead, b.centre)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := b.Settle(r); !errors.Is(err, ErrEquivocation) {
				b.Fatal(err)
			}
		}, "[epoch 1 number 1]", 2, false},
		{"no other can be begun: the older ones go all the same", func(b *bed, last *evidence.Sealed) {
			b.settle(last)
			if err := os.MkdirAll(segmentPath(b.dir, 3)+".new/in the way", 0o700); err != nil {
				b.Fatal(err)
			}
		}, "[epoch 1 number 1]", 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t, func(o *Options) {
				o.Quota, o.Reserve, o.SegmentSize, o.Retention = 14<<20, 1<<20, 32<<20, 1000*time.Hour
			})
			b.settle(b.beat())
			b.now = b.now.AddDate(0, 0, 1)
			b.settle(b.violate(evidence.KindTest, blobs...), b.violate(evidence.KindTest, blobs...))
			if !b.Room(true) {
				t.Fatal("full too early")
			}
			row.change(b, b.violate(evidence.KindTest, blobs...))
			if b.Room(true) {
				t.Fatal("there is still room")
			}
			got, err := b.Expire(b.now)
			if fmt.Sprint(got) != row.want || (err != nil) != row.fails {
				t.Errorf("dropped %v, error %v, want %s", got, err, row.want)
			}
			if room := b.Room(true); room != (got != nil && got[len(got)-1].To == 4) {
				t.Errorf("room: %v", room)
			}
			if st := b.Stats(); st.Segments != 1 {
				t.Errorf("%d segments, want 1", st.Segments)
			}
			if again, err := b.Expire(b.now); len(again) > 0 || (err != nil) != row.fails {
				t.Errorf("again: dropped %v, error %v", again, err)
			}
			b.crash()
			if row.fails {
				remove("segments/00000003.db.new/in the way", "segments/00000003.db.new")(t, b.dir)
			}
			b.open()
			missing := "[]"
			if row.next > 1 { // by the receipt, all up to number 9 had been made
				missing = "[epoch 1 numbers 5 to 9]"
			}
			if s := b.beat(); s.Record.Epoch != row.next || fmt.Sprint(b.Report().Missing) != missing || len(b.Report().Moved) > 0 {
				t.Errorf("next record is epoch %d number %d, report %+v", s.Record.Epoch, s.Record.Seq, b.Report())
			}
		})
	}
}

func TestSegmentsFollowDayAndSize(t *testing.T) {
	b := newBed(t)
	var all []*evidence.Sealed
	for _, days := range []int{0, 0, 1, 1, 0, 1, 30} { // 1 to 0: the clock stepped back over midnight
		b.now = noon.AddDate(0, 0, days)
		all = append(all, b.beat())
	}
	if st := b.Stats(); st.Segments != 5 {
		t.Errorf("%d segments, want 5", st.Segments)
	}
	for range 12 {
		all = append(all, b.violate(evidence.KindTest, noise(9, 600_000), noise(8, 100_000), noise(7, 5000)))
	}
	if st := b.Stats(); st.Segments < 7 || st.Segments > 9 {
		t.Errorf("%d segments of 4 MiB for 8 MiB", st.Segments)
	}
	b.crash()
	b.open()
	items, err := b.Unsettled(Key{}, 100)
	if err != nil || len(items) != len(all) {
		t.Fatalf("%d items, error %v", len(items), err)
	}
	for i, s := range all {
		if items[i].ID != s.ID || items[i].Seq != uint64(i+1) {
			t.Errorf("item %d is %+v", i, items[i])
		}
		if i > 0 && s.Record.Prev != all[i-1].Link {
			t.Errorf("record %d does not follow the one before", i+1)
		}
	}
}

// failing makes commits fail: before anything is written, or after all is.
type failing struct {
	before, after int // so many times
}

func (f *failing) commit(tx committer) error {
	if f.before > 0 {
		f.before--
		if err := tx.(*bolt.Tx).Rollback(); err != nil {
			return err
		}
		return &os.PathError{Op: "write", Path: "segment", Err: syscall.EIO}
	}
	err := tx.Commit()
	if f.after > 0 {
		f.after--
		return &os.PathError{Op: "fdatasync", Path: "segment", Err: syscall.EIO}
	}
	return err
}

func TestFailedCommitIsEitherStoredOrNot(t *testing.T) {
	for _, row := range []struct {
		name      string
		fail      failing
		err, then error // of the Append, and of the next one
		stored    bool
	}{
		{"nothing was written", failing{before: 1}, syscall.EIO, nil, false},
		{"the last sync fails, the next does not: it is stored", failing{after: 1}, nil, nil, true},
		{"the last sync fails twice: not known, then it is stored", failing{after: 2}, ErrUncertain, nil, true},
		{"the disk stays broken: refused", failing{after: 1000}, ErrUncertain, ErrUncertain, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t)
			b.beat()
			fail := row.fail
			b.commit = fail.commit
			s, err := b.tryBeat()
			if !errors.Is(err, row.err) || (s != nil) != (err == nil) {
				t.Fatalf("record %v, error %v", s, err)
			}
			if items, _ := b.Unsettled(Key{}, 10); err != nil && len(items) != 1 {
				t.Errorf("%d items offered while it is not known", len(items))
			}
			_, err = b.tryBeat()
			if !errors.Is(err, row.then) || (err == nil) != (row.then == nil) {
				t.Fatalf("next: error %v, want %v", err, row.then)
			}
			b.crash()
			b.open()
			want := uint64(2) // the first and the one after
			if row.then != nil {
				want--
			}
			if row.stored {
				want++
			}
			if st := b.Stats(); st.Records != want {
				t.Errorf("%d records after reopening, want %d", st.Records, want)
			}
		})
	}
}

func TestClosedOutboxRefuses(t *testing.T) {
	b := newBed(t)
	s := b.beat()
	r := b.receipt(s)
	changed := b.Changed()
	b.shut()
	<-changed
	o := &bed{TB: t, now: noon, device: b.device}
	var err error
	if o.Outbox, err = Open(b.dir, b.options); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.Close(), o.Close()); err != nil {
		t.Error(err)
	}
	_, err1 := o.tryBeat()
	_, err2 := o.Settle(r)
	_, err3 := o.Record(key(s))
	_, err4 := o.Unsettled(Key{}, 1)
	err5 := o.SetAside(key(s), "")
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if got, err := o.Expire(noon.AddDate(1, 0, 0)); len(got) > 0 || err != nil {
		t.Error(got, err)
	}
}
