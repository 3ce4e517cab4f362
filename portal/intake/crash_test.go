package intake_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/portaltest"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// settledBlobs puts blobs where Finish puts them, without any transaction.
func settledBlobs(t *testing.T, c *portaltest.Centre, d *portaltest.Device, blobs ...[]byte) {
	t.Helper()
	s, err := portaltest.TryStore(t, c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	spool, err := intake.OpenSpool(t.TempDir(), s.Blobs())
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		var p *intake.Partial
		for _, m := range d.Chunks(blob) {
			chunk, err := wire.ParseChunk(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if p == nil {
				if p, err = spool.Open(d.ID, chunk.Blob, chunk.Total); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Put(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Power goes after a blob has its final name and before the transaction that
// names it.
func TestBlobWithoutItsTransactionIsTakenUp(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	s := d.Violation(t, frames, trace, nil)
	b := start(t, c)
	b.Deliver(sealedMessage(d, s))
	b.next()
	b.stop()
	settledBlobs(t, c, d, frames[0], frames[1])
	b = start(t, c)
	b.Deliver(sealedMessage(d, s))
	if have := b.next().Have; have == nil || len(have.Blobs) != 2 {
		t.Fatalf("have = %+v, want the two blobs that are not on disk", have)
	}
	b.Deliver(slices.Concat(d.Chunks(frames[2]), d.Chunks(trace))...)
	if r := b.receipt(); !names(r, s) {
		t.Errorf("receipt = %+v", r)
	}
}

// Power goes after the last blob and before the record is settled: the next
// start settles it, and tells the device when it asks.
func TestRecordIsSettledAtTheNextStart(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	s := d.Violation(t, frames, trace, nil)
	b := start(t, c)
	b.Deliver(sealedMessage(d, s))
	b.next()
	b.stop()
	settledBlobs(t, c, d, frames[0], frames[1], frames[2], trace)
	b = start(t, c)
	b.stop()
	if st := b.stats(); st.All.Settled != 1 {
		t.Fatalf("stats = %+v, want the record settled without a message", st)
	}
	b = start(t, c)
	b.Deliver(sealedMessage(d, s))
	if r := b.next().Receipt; r == nil || !names(r.Receipt, s) {
		t.Error("no receipt")
	}
}

// named checks that the store of a stopped centre has every blob of the
// violation above.
func named(t *testing.T, c *portaltest.Centre, s *evidence.Sealed) {
	t.Helper()
	st, err := portaltest.TryStore(t, c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for i, want := range frames {
		if got, err := st.Blob(t.Context(), s.Record.Frames[i].SHA256); err != nil || !bytes.Equal(got, want) {
			t.Errorf("receipted, and of frame %d the store has %d bytes: %v", i+1, len(got), err)
		}
	}
	if got, err := st.Blob(t.Context(), s.Record.Trace.SHA256); err != nil || !bytes.Equal(got, trace) {
		t.Errorf("receipted, and of the trace the store has %d bytes: %v", len(got), err)
	}
}

// A blob whose own transaction found no room is named by the one that settles
// its record.
func TestReceiptNamesBlobThatTheStoreRefused(t *testing.T) {
	portaltest.OnOneDisk(t, "the trigger is one of SQLite")
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	s := d.Violation(t, frames, trace, nil)
	b.Deliver(sealedMessage(d, s))
	b.next()
	portaltest.Execute(t, b.centre.Dir, `CREATE TRIGGER noroom BEFORE INSERT ON blobs BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`)
	b.Deliver(d.Chunks(frames[0])...)
	for b.stats().Failed == 0 {
		time.Sleep(time.Millisecond)
	}
	portaltest.Execute(t, b.centre.Dir, `DROP TRIGGER noroom`)
	b.Deliver(chunks(d)[len(d.Chunks(frames[0])):]...)
	if r := b.receipt(); !names(r, s) {
		t.Fatalf("receipt = %+v", r)
	}
	b.stop()
	named(t, b.centre, s)
}

// The process is killed after a blob has its final name and before the
// transaction that names it, and the broker keeps the device's session: the
// record does not come again.
func TestReceiptNamesBlobOfTheRunBefore(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	s := d.Violation(t, frames, trace, nil)
	b := start(t, c)
	b.Deliver(sealedMessage(d, s))
	b.next()
	b.Deliver(d.Chunks(frames[0])...)
	b.stop()
	portaltest.Execute(t, c.Dir, `DELETE FROM sent`)
	portaltest.Execute(t, c.Dir, `DELETE FROM blobs`)
	b = start(t, c)
	b.Deliver(chunks(d)[len(d.Chunks(frames[0])):]...)
	if r := b.receipt(); !names(r, s) {
		t.Fatalf("receipt = %+v", r)
	}
	b.stop()
	named(t, c, s)
}

// Reports may find room where records do not: they do not say that the store
// takes records again.
func TestFailingLastsUntilARecordIsTaken(t *testing.T) {
	portaltest.OnOneDisk(t, "the trigger is one of SQLite")
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	first := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, first))
	b.receipt()
	portaltest.Execute(t, b.centre.Dir, `CREATE TRIGGER noroom BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`)
	second := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, second))
	for !b.stats().Failing {
		time.Sleep(time.Millisecond)
	}
	if s := b.intake.Stats().Ended(); s.Failing || s.Failed == 0 {
		t.Errorf("an intake that does no more: %+v", s)
	}
	profile, err := wire.Profile{Head: wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}, Road: "SP 14"}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b.Deliver(d.Message(wire.WhatProfile, profile))
	for stored := false; !stored; time.Sleep(time.Millisecond) {
		dev, err := b.store.Device(t.Context(), d.ID)
		stored = err == nil && len(dev.Profile) > 0
	}
	if !b.stats().Failing {
		t.Error("a report is stored, and the store is said to take records")
	}
	portaltest.Execute(t, b.centre.Dir, `DROP TRIGGER noroom`)
	b.Deliver(sealedMessage(d, second))
	if r := b.receipt(); !names(r, second) {
		t.Errorf("receipt = %+v", r)
	}
	if b.stats().Failing {
		t.Error("a record is settled, and the store is said to take nothing")
	}
}

// A damaged row holds up its own record only, and only until that comes again.
func TestDamagedRowIsReplaced(t *testing.T) {
	d, e := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "two")
	s := d.Violation(t, frames, trace, nil)
	for name, damaged := range map[string][]byte{"no record": {0}, "another record": d.Heartbeat(t).Bytes} {
		t.Run(name, func(t *testing.T) {
			c := portaltest.NewCentre(t, d, e)
			b := start(t, c)
			b.Deliver(sealedMessage(d, s))
			b.next()
			b.stop()
			portaltest.Execute(t, c.Dir, `UPDATE records SET bytes = $1`, damaged)
			b = start(t, c)
			other := e.Heartbeat(t)
			b.Deliver(sealedMessage(e, other))
			if r := b.receipt(); !names(r, other) {
				t.Errorf("receipt = %+v", r)
			}
			b.Deliver(sealedMessage(d, s))
			b.Deliver(chunks(d)...)
			if r := b.receipt(); !names(r, s) {
				t.Errorf("receipt = %+v", r)
			}
			if got := b.stored(s); !bytes.Equal(got.Bytes, s.Bytes) {
				t.Error("receipted, and the stored bytes are still damaged")
			}
		})
	}
}

// The directory is copied after every message, as a power cut would leave it,
// and everything is sent to the copy once more. Whatever was receipted stays
// where it was in the log, and everything is receipted in the end.
func TestPowerCutAfterEveryMessage(t *testing.T) {
	portaltest.OnOneDisk(t, "a server keeps its own files")
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	others := [][]byte{portaltest.Bytes(11, 70_000), portaltest.Bytes(12, 9_000), portaltest.Bytes(13, 9_000)}
	records := []*evidence.Sealed{
		d.Heartbeat(t), d.Violation(t, frames, trace, nil), d.Statement(t, evidence.KindCalibration, portaltest.Calibration),
		d.Violation(t, others[:2], others[2], nil), d.Heartbeat(t),
	}
	var all []uplink.Message
	for i, s := range records {
		all = append(all, sealedMessage(d, s))
		switch i {
		case 1:
			all = append(all, chunks(d)...)
		case 3:
			all = append(all, slices.Concat(d.Chunks(others[0]), d.Chunks(others[1]), d.Chunks(others[2]))...)
		}
	}
	b := start(t, c)
	copies := []string{copyDir(t, c.Dir)}
	for i, m := range all {
		b.Deliver(m)
		if i > 0 {
			// An answer to the record of the blobs says that they are dealt with.
			b.Deliver(all[1])
		}
		b.next()
		copies = append(copies, copyDir(t, c.Dir))
	}
	for !names(b.receipt(), records[len(records)-1]) {
	}
	index := make(map[evidence.Hash]uint64)
	for _, s := range records {
		index[s.ID] = b.stored(s).LogIndex
	}
	b.stop()
	for cut, dir := range copies {
		b := start(t, &portaltest.Centre{Dir: dir, Root: c.Root, Signer: c.Signer})
		before, err := b.store.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Deliver(all...)
		settled := make(map[evidence.Hash]*evidence.Receipt)
		for len(settled) < len(records) {
			r := b.receipt()
			for _, e := range r.Entries {
				settled[e.ID] = r
			}
		}
		for _, s := range records {
			r := settled[s.ID]
			if r == nil {
				t.Fatalf("cut %d: record %d has no receipt", cut, s.Record.Seq)
			}
			b.proven(s, r)
			if e, _ := r.Entry(1, s.Record.Seq); e.Index < before.LogSize && e.Index != index[s.ID] {
				t.Errorf("cut %d: record %d moved in the log from %d to %d", cut, s.Record.Seq, index[s.ID], e.Index)
			}
		}
		b.stop()
	}
}

// copyDir copies a directory that is in use: first the journal of the database,
// which only grows here, then the rest.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root.key", "centre.key"} {
		if err := os.Chmod(filepath.Join(to, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
