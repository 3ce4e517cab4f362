package sequencer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/log"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/portal/register"
)

func TestMain(m *testing.M) { portaltest.Main(m) }

// A bench is a store, and what a sequencer needs beside it.
type bench struct {
	t       *testing.T
	dir     string
	o       sequencer.Options
	devices []*portaltest.Device
	arrival uint64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, devices: []*portaltest.Device{portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "two")}}
	c := portaltest.NewCentre(t, b.devices...)
	keys, err := register.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	b.dir = c.Dir
	b.o = sequencer.Options{Store: portaltest.OpenStore(t, c.Dir), Register: keys, Signer: c.Signer}
	t.Cleanup(func() { b.o.Store.Close() })
	return b
}

// store stores records of both devices, each by a shard of its own, which are whole.
func (b *bench) store(n int, edit func(*evidence.Record)) {
	b.t.Helper()
	err := b.o.Store.Update(b.t.Context(), func(tx *record.Tx) error {
		for i := range n {
			d := b.devices[i%2]
			s := d.Seal(b.t, edit)
			b.arrival++
			err := errors.Join(tx.Seen(d.ID, time.Now()), tx.Insert(&record.Record{
				ID: s.ID, Device: d.ID, Epoch: 1, Seq: s.Record.Seq, Kind: s.Record.Kind, UTC: s.Record.UTC, Received: time.Now(), Prev: s.Record.Prev,
				Link: s.Link, Shard: fmt.Sprint("s", i%2), Arrival: b.arrival, Bytes: s.Bytes, Content: s.Record}, true))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) lease(holder string) database.Lease {
	b.t.Helper()
	l, err := b.o.Store.Database().Acquire(b.t.Context(), "log", holder, time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// check checks that so many records are numbered, each once, with a receipt that proves
// it and waits to be sent by its device's shard.
func (b *bench) check(want int) {
	b.t.Helper()
	s := b.o.Store
	rows, err := s.List(b.t.Context(), record.Query{Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	waiting := map[evidence.Hash]bool{}
	for i, d := range b.devices {
		all, err := s.Unsent(b.t.Context(), fmt.Sprint("s", i), nil, 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, u := range all {
			if waiting[u.Receipt] = true; u.Device != d.ID {
				b.t.Errorf("a receipt for device %v is to be sent by shard %d", u.Device, i)
			}
		}
	}
	var indexes []int
	for _, row := range rows {
		r, err := s.Record(b.t.Context(), row.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		if r.State != record.Complete {
			continue
		}
		indexes = append(indexes, int(r.LogIndex))
		text, err := s.Receipt(b.t.Context(), r.Receipt)
		if err != nil {
			b.t.Fatal(err)
		}
		sealed, err := evidence.OpenReceipt(text)
		if err != nil {
			b.t.Fatal(err)
		}
		e, ok := sealed.Receipt.Entry(r.Epoch, r.Seq)
		if !ok || e.ID != r.ID || e.Index != r.LogIndex || !waiting[r.Receipt] {
			b.t.Errorf("record %v: receipt %+v, waiting %v", r.ID, sealed.Receipt, waiting[r.Receipt])
		}
		proof, err := log.Prove(e.Index, sealed.Receipt.LogSize, s.Hashes(b.t.Context()))
		if err == nil {
			err = evidence.CheckInclusion(proof.Index, proof.Size, evidence.LeafHash(r.ID), proof.Hashes, sealed.Receipt.LogRoot)
		}
		if err != nil {
			b.t.Errorf("record %v: %v", r.ID, err)
		}
	}
	slices.Sort(indexes)
	for i, n := range indexes {
		if i != n {
			b.t.Fatalf("numbers %v", indexes)
		}
	}
	if len(indexes) != want {
		b.t.Errorf("%d records are numbered, want %d", len(indexes), want)
	}
}

// Each write of a batch fails in turn, as if the process had been killed there: nothing of
// the batch is there, and the next process numbers all of it once.
func TestBatchThatIsCutOffAnywhere(t *testing.T) {
	portaltest.OnOneDisk(t, "the triggers are of SQLite")
	b := newBench(t)
	for i, write := range []string{
		"INSERT ON log_hashes", "INSERT ON receipts", "INSERT ON sending", "UPDATE OF log_index ON records",
		"UPDATE OF log_index ON records WHEN NEW.log_index % 7 = 6", // when others are changed
	} {
		b.store(7, nil)
		portaltest.Execute(t, b.dir, `CREATE TRIGGER cut BEFORE `+write+` BEGIN SELECT RAISE(ABORT, 'killed'); END`)
		s := sequencer.New(b.o)
		if n, err := s.Batch(t.Context(), b.lease(fmt.Sprint("first", i))); err == nil {
			t.Errorf("%s: %d numbered", write, n)
		}
		b.check(7 * i)
		portaltest.Execute(t, b.dir, `DROP TRIGGER cut`)
		portaltest.Execute(t, b.dir, `UPDATE leases SET ends = 0`)
		if n, err := sequencer.New(b.o).Batch(t.Context(), b.lease(fmt.Sprint("second", i))); n != 7 || err != nil {
			t.Errorf("%s: %d numbered, %v", write, n, err)
		}
		b.check(7 * (i + 1))
		portaltest.Execute(t, b.dir, `UPDATE leases SET ends = 0`)
	}
}

// A process that had the lease before changes nothing, even if it does not know yet.
func TestLateLeaderChangesNothing(t *testing.T) {
	b := newBench(t)
	old := b.lease("old")
	s := sequencer.New(b.o)
	b.store(3, nil)
	if n, err := s.Batch(t.Context(), old); n != 3 || err != nil {
		t.Fatalf("%d numbered, %v", n, err)
	}
	portaltest.Execute(t, b.dir, `UPDATE leases SET ends = 1`)
	b.lease("new")
	b.store(2, nil)
	if n, err := s.Batch(t.Context(), old); !errors.Is(err, database.ErrLost) {
		t.Errorf("%d numbered, %v", n, err)
	}
	b.check(3)
}

// What a process could not number is no failure of it once another has the lease.
func TestWhoHasLostTheLeaseDoesNotFail(t *testing.T) {
	portaltest.OnOneDisk(t, "the triggers are of SQLite")
	b := newBench(t)
	b.store(1, nil)
	portaltest.Execute(t, b.dir, `CREATE TRIGGER cut BEFORE INSERT ON log_hashes BEGIN SELECT RAISE(ABORT, 'full'); END`)
	s := sequencer.New(b.o)
	l := b.lease("one")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Lead(t.Context(), l)
	}()
	for !s.Stats().Failing {
		time.Sleep(time.Millisecond)
	}
	portaltest.Execute(t, b.dir, `UPDATE leases SET term = term + 1`)
	<-ended
	if got := s.Stats(); got.Failing || got.Leading || got.Failed == 0 {
		t.Errorf("%+v", got)
	}
}

// A record that is disputed between the look and the number is not numbered, and the
// others are.
func TestDisputedRecordIsLeftOut(t *testing.T) {
	b := newBench(t)
	b.store(3, nil)
	l := b.lease("one")
	// What is read is as before the dispute, once.
	err := b.o.Store.Update(t.Context(), func(tx *record.Tx) error {
		records, err := tx.Unnumbered(time.Now(), 10)
		if err != nil || len(records) != 3 {
			return fmt.Errorf("%d records, %w", len(records), err)
		}
		return errors.Join(tx.SetAside(records[0].ID), tx.Settle([]record.Settled{{ID: records[0].ID}}))
	})
	if !errors.Is(err, database.ErrAgain) {
		t.Errorf("settled what was set aside: %v", err)
	}
	portaltest.Execute(t, b.dir, `UPDATE records SET state = 2 WHERE seq = 2`)
	if n, err := sequencer.New(b.o).Batch(t.Context(), l); n != 2 || err != nil {
		t.Errorf("%d numbered, %v", n, err)
	}
	b.check(2)
}

// A record that is dated ahead has its receipt when its instant has come, and others do
// not wait for it.
func TestRecordDatedAheadWaitsForItsInstant(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	b.o.Now = func() time.Time { return now }
	b.store(1, func(r *evidence.Record) { r.UTC = now.Add(time.Minute).UTC().Truncate(time.Microsecond) })
	b.store(1, func(r *evidence.Record) { r.UTC = now.UTC().Truncate(time.Microsecond) })
	l := b.lease("one")
	s := sequencer.New(b.o)
	for _, row := range []struct {
		after          time.Duration
		numbered, held int
	}{{0, 1, 1}, {30 * time.Second, 1, 1}, {61 * time.Second, 2, 0}} {
		now = now.Add(row.after)
		if _, err := s.Batch(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		b.check(row.numbered)
		held, first, err := b.o.Store.PutOff(t.Context())
		if err != nil || int(held) != row.held || (held > 0) == first.IsZero() {
			t.Errorf("after %v: %d held until %v, %v", row.after, held, first, err)
		}
	}
}

// Who waits takes over when the process that numbers ends, and is told of what is there.
func TestAnotherTakesOver(t *testing.T) {
	databasetest.Need(t)
	b := newBench(t)
	first, stop := portaltest.Number(b.o)
	for !first.Stats().Leading {
		time.Sleep(time.Millisecond)
	}
	waits := sequencer.New(b.o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		waits.Run(ctx)
	}()
	settled := func(want uint64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); first.Stats().Settled+waits.Stats().Settled < want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%+v and %+v", first.Stats(), waits.Stats())
			}
		}
	}
	b.store(20, nil)
	b.o.Store.Database().Tell(t.Context(), record.TellWhole)
	settled(20)
	stop()
	b.store(20, nil)
	settled(40)
	cancel()
	<-ended
	b.check(40)
}
