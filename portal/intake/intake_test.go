package intake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/log"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/portal/register"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// A bench is a running intake, and the sequencer that numbers what it takes.
type bench struct {
	*portaltest.Broker
	t         testing.TB
	centre    *portaltest.Centre
	intake    *intake.Intake
	sequencer *sequencer.Sequencer
	store     *record.Store
	stop      func()
}

func (b *bench) stats() intake.Stats { return b.intake.Stats().With(b.sequencer.Stats()) }

// start runs an intake and a sequencer on a centre's directory until the test ends or
// stop is called.
func start(t testing.TB, c *portaltest.Centre) *bench {
	t.Helper()
	return startWith(t, c, intake.Quota{})
}

func startWith(t testing.TB, c *portaltest.Centre, q intake.Quota) *bench {
	t.Helper()
	return startLogging(t, c, q, nil)
}

func startLogging(t testing.TB, c *portaltest.Centre, q intake.Quota, log *slog.Logger) *bench {
	t.Helper()
	b := &bench{Broker: portaltest.NewBroker(), t: t, centre: c}
	keys, err := register.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = portaltest.TryStore(t, c.Dir); err != nil {
		t.Fatal(err)
	}
	var numbered func()
	b.sequencer, numbered = portaltest.Number(sequencer.Options{Store: b.store, Register: keys, Signer: c.Signer, Log: log})
	b.intake, err = intake.New(t.Context(), intake.Options{
		Store: b.store, Lease: portaltest.Lease(t, b.store), Spool: filepath.Join(c.Dir, "partial"), Register: keys, Signer: c.Signer, Dialer: b.Broker, ClientID: "centre", Shard: portaltest.Shard, Quota: q, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.intake.Run(ctx) }()
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		numbered() // after all that the intake has taken
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(b.stop)
	return b
}

func (b *bench) next() portaltest.Answer {
	b.t.Helper()
	_, a := b.Next(b.t, b.centre)
	return a
}

// receipt waits for a receipt and drops what else is answered before.
func (b *bench) receipt() *evidence.Receipt {
	b.t.Helper()
	for {
		if a := b.next(); a.Receipt != nil {
			return a.Receipt.Receipt
		}
	}
}

// names reports whether a receipt names a record.
func names(r *evidence.Receipt, s *evidence.Sealed) bool {
	e, ok := r.Entry(s.Record.Epoch, s.Record.Seq)
	return ok && e.ID == s.ID
}

func (b *bench) stored(s *evidence.Sealed) *record.Record {
	b.t.Helper()
	r, err := b.store.Record(b.t.Context(), s.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// proven checks that the log proves a settled record against its receipt.
func (b *bench) proven(s *evidence.Sealed, r *evidence.Receipt) {
	b.t.Helper()
	e, _ := r.Entry(s.Record.Epoch, s.Record.Seq)
	proof, err := log.Prove(e.Index, r.LogSize, b.store.Hashes(b.t.Context()))
	if err == nil {
		err = evidence.CheckInclusion(proof.Index, proof.Size, evidence.LeafHash(s.ID), proof.Hashes, r.LogRoot)
	}
	if err != nil {
		b.t.Errorf("record %v: %v", s.ID, err)
	}
}

var (
	frames = [][]byte{portaltest.Bytes(1, 100_000), portaltest.Bytes(2, 150_000), portaltest.Bytes(3, 61_384)}
	trace  = portaltest.Bytes(4, 9_000)
)

func sealedMessage(d *portaltest.Device, s *evidence.Sealed) uplink.Message {
	return d.Message(wire.WhatRecord, s.Bytes)
}

// chunks are all chunk messages of the violation above.
func chunks(d *portaltest.Device) []uplink.Message {
	var all []uplink.Message
	for _, blob := range append(slices.Clone(frames), trace) {
		all = append(all, d.Chunks(blob)...)
	}
	return all
}

func TestHeartbeatIsReceipted(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	s := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, s))
	r := b.receipt()
	if !names(r, s) || r.Device != d.ID || r.LogSize != 1 {
		t.Fatalf("receipt = %+v", r)
	}
	b.proven(s, r)
	if got := b.stored(s); got.State != record.Complete || got.Chain != record.Linked || !bytes.Equal(got.Bytes, s.Bytes) {
		t.Errorf("stored = %+v", got)
	}
	dev, err := b.store.Device(t.Context(), d.ID)
	if err != nil || !dev.Heartbeat.Equal(s.Record.UTC) {
		t.Errorf("heartbeat = %v, %v, want %v", dev.Heartbeat, err, s.Record.UTC)
	}
}

// A clock that is ahead must not hide for a year that heartbeats have stopped.
func TestHeartbeatIsNotNewerThanItsArrival(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	s := d.Seal(t, func(r *evidence.Record) {
		r.UTC, r.Clock.Synchronised = r.UTC.AddDate(1, 0, 0), false
	})
	b.Deliver(sealedMessage(d, s))
	b.receipt()
	dev, err := b.store.Device(t.Context(), d.ID)
	if err != nil || dev.Heartbeat.IsZero() || dev.Heartbeat.After(time.Now()) {
		t.Errorf("heartbeat = %v, %v, want that of its arrival", dev.Heartbeat, err)
	}
}

func TestViolationIsReceiptedOnlyWithItsBlobs(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	s := d.Violation(t, frames, trace, nil)
	b.Deliver(sealedMessage(d, s))
	have := b.next().Have
	if have == nil || have.ID != s.ID || len(have.Blobs) != 4 {
		t.Fatalf("first answer = %+v, want a have with four blobs", have)
	}
	all := chunks(d)
	b.Deliver(all[1:]...)
	b.Deliver(sealedMessage(d, s))
	have = b.next().Have
	if len(have.Blobs) != 1 || have.Blobs[0].SHA256 != s.Record.Frames[0].SHA256 ||
		!slices.Equal(have.Blobs[0].Ranges, []wire.Range{{From: wire.ChunkData, To: 100_000}}) {
		t.Fatalf("have = %+v, want the first frame without its first chunk", have)
	}
	b.Deliver(all[0])
	r := b.receipt()
	if !names(r, s) {
		t.Fatalf("receipt = %+v", r)
	}
	for i, want := range frames {
		if got, err := b.store.Blob(t.Context(), s.Record.Frames[i].SHA256); err != nil || !bytes.Equal(got, want) {
			t.Errorf("frame %d: %d bytes, %v", i+1, len(got), err)
		}
	}
	left, err := os.ReadDir(filepath.Join(b.centre.Dir, "partial"))
	if err != nil || len(left) != 0 {
		t.Errorf("partial blobs left: %v, %v", left, err)
	}
}

func TestChunksInAnyOrderAndTwice(t *testing.T) {
	all := func(d *portaltest.Device) []uplink.Message { return chunks(d) }
	for _, row := range []struct {
		name  string
		order func([]uplink.Message) []uplink.Message
	}{
		{"as cut", func(m []uplink.Message) []uplink.Message { return m }},
		{"backwards", func(m []uplink.Message) []uplink.Message { slices.Reverse(m); return m }},
		{"each twice", func(m []uplink.Message) []uplink.Message { return slices.Concat(m, m) }},
		{"blobs interleaved", func(m []uplink.Message) []uplink.Message {
			return []uplink.Message{m[5], m[0], m[2], m[6], m[1], m[3], m[4]}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := portaltest.NewDevice(t, "one")
			b := start(t, portaltest.NewCentre(t, d))
			s := d.Violation(t, frames, trace, nil)
			b.Deliver(sealedMessage(d, s))
			b.Deliver(row.order(all(d))...)
			if r := b.receipt(); !names(r, s) {
				t.Errorf("receipt = %+v", r)
			}
			b.stop()
			if refused := b.stats().Refused; len(refused) > 0 {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

func TestAnswersAgain(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	s := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, s))
	first := b.next().Receipt
	for range 3 {
		b.Deliver(sealedMessage(d, s))
		if again := b.next().Receipt; !bytes.Equal(again.Bytes, first.Bytes) {
			t.Fatalf("the second receipt differs")
		}
	}
	b.stop()
	if st := b.stats(); st.All != (intake.Counts{Received: 4, Verified: 1, Settled: 1}) || st.Again != 3 {
		t.Errorf("stats = %+v", st)
	}
}

func TestRestartInMidBlobResumes(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	s := d.Violation(t, frames, trace, nil)
	all := chunks(d)
	for cut := range all {
		b := start(t, c)
		b.Deliver(sealedMessage(d, s))
		have := b.next().Have
		if have == nil {
			t.Fatalf("after %d chunks: no have", cut)
		}
		missing := 0
		for _, blob := range have.Blobs {
			length := blobLength(s, blob.SHA256)
			for i := range wire.ChunkCount(length) {
				if !blob.Holds(wire.ChunkRange(length, i)) {
					missing++
				}
			}
		}
		if missing != len(all)-cut {
			t.Errorf("after %d chunks %d are missing, want %d", cut, missing, len(all)-cut)
		}
		b.Deliver(all[cut])
		b.stop()
	}
	b := start(t, c)
	b.Deliver(sealedMessage(d, s))
	if r := b.next().Receipt; r == nil || !names(r.Receipt, s) {
		t.Error("all chunks have come and there is no receipt")
	}
}

func blobLength(s *evidence.Sealed, hash evidence.Hash) uint64 {
	for _, f := range s.Record.Frames {
		if f.SHA256 == hash {
			return uint64(f.Length)
		}
	}
	return uint64(s.Record.Trace.Length)
}

// A device that has moved to another shard is heard by both for a while. What one is
// about to commit the other waits for: neighbours do not miss each other.
func TestNeighboursOfTwoShardsAreLinked(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	first, second := d.Heartbeat(t), d.Heartbeat(t)
	other, err := b.store.Database().Acquire(t.Context(), "intake/other", "other", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	err = b.store.Under(t.Context(), other, func(tx *record.Tx) error {
		r := first.Record
		err := errors.Join(tx.Seen(d.ID, time.Now()), tx.Insert(&record.Record{
			ID: first.ID, Device: d.ID, Epoch: r.Epoch, Seq: r.Seq, Kind: r.Kind, UTC: r.UTC, Received: time.Now(), Prev: r.Prev,
			Link: first.Link, Shard: "other", Arrival: 1, Bytes: first.Bytes, Content: r}, true))
		if _, stateErr := tx.State(d.ID); err == nil { // which has all of it sent
			err = stateErr
		}
		b.Deliver(sealedMessage(d, second))
		time.Sleep(200 * time.Millisecond)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for !names(b.receipt(), second) {
	}
	if got := b.stored(second).Chain; got != record.Linked {
		t.Errorf("chain = %d, want %d", got, record.Linked)
	}
	if dev, err := b.store.Device(t.Context(), d.ID); err != nil || dev.Gaps != 0 || dev.Missing != 0 {
		t.Errorf("%+v, %v", dev, err)
	}
}

func TestChainShowsGapsUntilFilled(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	var all []*evidence.Sealed
	for range 6 {
		all = append(all, d.Heartbeat(t))
	}
	state := func() string {
		dev, err := b.store.Device(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("missing %d gaps %d broken %d", dev.Missing, dev.Gaps, dev.Broken)
	}
	for _, row := range []struct {
		name string
		seq  int
		want string
	}{
		{"the first one", 1, "missing 0 gaps 0 broken 0"},
		{"one leaves a gap", 3, "missing 1 gaps 1 broken 0"},
		{"a second gap", 6, "missing 3 gaps 2 broken 0"},
		{"the gap closes at one end", 4, "missing 2 gaps 2 broken 0"},
		{"the first gap is filled", 2, "missing 1 gaps 1 broken 0"},
		{"the last gap is filled", 5, "missing 0 gaps 0 broken 0"},
	} {
		b.Deliver(sealedMessage(d, all[row.seq-1]))
		b.receipt()
		if got := state(); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	wrong := d.Seal(t, func(r *evidence.Record) { r.Prev = sha256.Sum256([]byte("another")) })
	b.Deliver(sealedMessage(d, wrong))
	b.receipt()
	if got := state(); got != "missing 0 gaps 0 broken 1" {
		t.Errorf("a wrong link: %s", got)
	}
}

func TestEquivocationQuarantinesBoth(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	first := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, first))
	b.receipt()

	twin := *d
	waiting := d.Violation(t, frames, trace, nil)
	other := twin.Heartbeat(t) // the same number 2, another content
	third := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, waiting))
	if b.next().Have == nil {
		t.Fatal("no have")
	}
	b.Deliver(sealedMessage(d, other))
	b.Deliver(chunks(d)...)            // would complete the first
	b.Deliver(sealedMessage(d, other)) // asks again
	b.Deliver(sealedMessage(d, waiting))
	b.Deliver(sealedMessage(d, third))
	if r := b.receipt(); !names(r, third) || len(r.Entries) != 1 {
		t.Errorf("receipt = %+v, want number 3 only", r)
	}
	if got := b.stored(waiting); got.State != record.Quarantined || !got.Disputed {
		t.Errorf("first record: %+v", got)
	}
	list, err := b.store.Equivocations(t.Context(), d.ID, 10)
	if err != nil || len(list) != 1 || list[0].ID != other.ID || list[0].First != waiting.ID || !bytes.Equal(list[0].Bytes, other.Bytes) {
		t.Errorf("equivocations = %+v, %v", list, err)
	}
	dev, err := b.store.Device(t.Context(), d.ID)
	if err != nil || !dev.Alarm() {
		t.Errorf("no alarm: %+v, %v", dev, err)
	}
	b.stop()
	if st := b.stats(); st.Equivocations != 2 || st.All.Settled != 2 {
		t.Errorf("stats = %+v", st)
	}
}

// A record that was receipted before it was contradicted stays in the log, and
// is not confirmed again.
func TestEquivocationAfterTheReceipt(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	twin := *d
	first := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, first))
	b.receipt()
	other := twin.Seal(t, func(r *evidence.Record) { r.Body[1] = uint64(7) })
	second := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, other), sealedMessage(d, first), sealedMessage(d, second))
	if r := b.receipt(); !names(r, second) {
		t.Errorf("receipt = %+v, want number 2", r)
	}
	if got := b.stored(first); got.State != record.Complete || !got.Disputed {
		t.Errorf("first record: %+v", got)
	}
}

func TestStatementsAreKept(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	b.Deliver(sealedMessage(d, d.Statement(t, evidence.KindCalibration, portaltest.Calibration)))
	b.Deliver(sealedMessage(d, d.Statement(t, evidence.KindConfiguration, portaltest.Configuration)))
	last := d.Statement(t, evidence.KindConfiguration, portaltest.Configuration) // the same once more
	b.Deliver(sealedMessage(d, last))
	for !names(b.receipt(), last) {
	}
	for _, text := range []string{portaltest.Calibration, portaltest.Configuration} {
		got, err := b.store.Statement(t.Context(), sha256.Sum256([]byte(text)))
		if err != nil || string(got) != text {
			t.Errorf("statement = %q, %v", got, err)
		}
	}
}

func TestReportsAreKept(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	head := wire.Head{Device: wire.Device(d.ID), UTC: time.Now()}
	state, err := wire.State{Head: head, Boot: wire.BootID{1}, Sequence: 1, Online: true}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := wire.Profile{Head: head, Road: "SP 14", PositionM: 12_340}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b.Deliver(d.Message(wire.WhatState, state), d.Message(wire.WhatProfile, profile))
	b.stop()
	s, err := portaltest.TryStore(t, b.centre.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dev, err := s.Device(t.Context(), d.ID)
	if err != nil || !bytes.Equal(dev.State, state) || !bytes.Equal(dev.Profile, profile) || dev.StateAt.IsZero() {
		t.Errorf("device = %+v, %v", dev, err)
	}
}

// States come in any order, last wills above all: a broker may keep one back.
func TestStaleStateIsNotKept(t *testing.T) {
	type state struct {
		boot   byte
		seq    uint64
		reason string // empty: online
	}
	for _, row := range []struct {
		name string
		come []state
		want int // which of them is kept
	}{
		{"connected", []state{{1, 1, ""}}, 0},
		{"lost", []state{{1, 1, ""}, {1, 1, wire.ReasonLost}}, 1},
		{"the broker tells it again", []state{{1, 1, ""}, {1, 1, ""}}, 1},
		{"back before the last will came", []state{{1, 1, ""}, {1, 2, ""}, {1, 1, wire.ReasonLost}}, 1},
		{"the state comes after its last will", []state{{1, 2, wire.ReasonLost}, {1, 2, ""}}, 0},
		{"it left before the broker missed it", []state{{1, 2, ""}, {1, 2, wire.ReasonShutdown}, {1, 2, wire.ReasonLost}}, 1},
		{"back", []state{{1, 2, wire.ReasonLost}, {1, 3, ""}}, 1},
		{"an old session's state", []state{{1, 3, wire.ReasonLost}, {1, 2, ""}}, 0},
		{"another boot counts anew", []state{{1, 3600, wire.ReasonLost}, {2, 5, ""}}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := portaltest.NewDevice(t, "one")
			b := start(t, portaltest.NewCentre(t, d))
			var sent [][]byte
			for _, s := range row.come {
				text, err := wire.State{Head: wire.Head{Device: wire.Device(d.ID), UTC: time.Now()},
					Boot: wire.BootID{s.boot}, Sequence: s.seq, Online: s.reason == "", Reason: s.reason}.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				b.Deliver(d.Message(wire.WhatState, text))
				sent = append(sent, text)
			}
			b.stop()
			s, err := portaltest.TryStore(t, b.centre.Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if dev, err := s.Device(t.Context(), d.ID); err != nil || !bytes.Equal(dev.State, sent[row.want]) {
				t.Errorf("state = %s, %v, want %s", dev.State, err, sent[row.want])
			}
		})
	}
}

func TestDeviceEnrolledLaterIsTaken(t *testing.T) {
	d := portaltest.NewDevice(t, "late")
	c := portaltest.NewCentre(t)
	b := start(t, c)
	s := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, s))
	c.Enrol(t, d)
	b.Deliver(sealedMessage(d, s))
	if r := b.receipt(); !names(r, s) {
		t.Errorf("receipt = %+v", r)
	}
	if n := b.stats().Refused[intake.ReasonUnknownDevice]; n != 1 {
		t.Errorf("refused %d messages of an unknown device, want 1", n)
	}
}
