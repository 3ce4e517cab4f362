package intake_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/portal/intake"
	"ciglio/portal/keys"
	"ciglio/portal/portaltest"
	"ciglio/portal/register"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// changed returns a copy of b with one byte turned over.
func changed(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[(at+len(c))%len(c)] ^= 1
	return c
}

func TestHostileMessages(t *testing.T) {
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	stranger := portaltest.NewDevice(t, "stranger")
	heartbeat := d.Heartbeat(t)
	next := *d
	next.Epoch, next.Seq, next.Prev = 2, 0, evidence.Hash{}
	nextEpoch := next.Heartbeat(t)
	impostor := portaltest.NewDevice(t, "stranger")
	impostor.ID = d.ID
	early := *d
	before := early.Seal(t, func(r *evidence.Record) { r.UTC = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) })
	late := *d
	violation := late.Violation(t, frames, trace, nil)
	twice := late.Violation(t, frames[:2], frames[0], func(r *evidence.Record) { r.Frames[1].SHA256 = r.Frames[0].SHA256 })
	head := wire.Head{V: 1, Device: wire.Device(other.ID), UTC: time.Now()}
	foreignState, err := json.Marshal(wire.State{Head: head, Boot: wire.BootID{1}, Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	goodChunk := d.Chunks(frames[0])[0].Payload
	asRecord := func(b []byte) uplink.Message { return d.Message(wire.WhatRecord, b) }
	asBlob := func(b []byte) uplink.Message { return d.Message(wire.WhatBlob, b) }
	for _, row := range []struct {
		name    string
		message uplink.Message
		want    intake.Reason
	}{
		{"a topic of another system", uplink.Message{Topic: "home/door", Payload: heartbeat.Bytes}, intake.ReasonTopic},
		{"another shard", uplink.Message{Topic: wire.Topic("else", d.ID, wire.WhatRecord), Payload: heartbeat.Bytes}, intake.ReasonTopic},
		{"a topic of the centre's own", d.Message(wire.WhatReceipt, nil), intake.ReasonTopic},
		{"a device nobody enrolled", stranger.Message(wire.WhatRecord, heartbeat.Bytes), intake.ReasonUnknownDevice},
		{"nothing", asRecord(nil), intake.ReasonMalformed},
		{"one byte", asRecord([]byte{0xd2}), intake.ReasonMalformed},
		{"a length of 2^63", asRecord([]byte{0xd2, 0x84, 0x5b, 0x7f, 255, 255, 255, 255, 255, 255, 255}), intake.ReasonMalformed},
		{"larger than a record", asRecord(bytes.Repeat([]byte{0xd2}, evidence.MaxRecord+1)), intake.ReasonMalformed},
		{"cut short", asRecord(heartbeat.Bytes[:len(heartbeat.Bytes)-1]), intake.ReasonMalformed},
		{"a byte too many", asRecord(append(bytes.Clone(heartbeat.Bytes), 0)), intake.ReasonMalformed},
		{"a receipt in place of a record", asRecord(goodChunk), intake.ReasonMalformed},
		{"two lengths for one blob", asRecord(twice.Bytes), intake.ReasonMalformed},
		{"another device's topic", other.Message(wire.WhatRecord, heartbeat.Bytes), intake.ReasonOtherDevice},
		{"signature changed", asRecord(changed(heartbeat.Bytes, -40)), intake.ReasonSignature},
		{"key id changed", asRecord(changed(heartbeat.Bytes, 60)), intake.ReasonUnknownKey},
		{"a key of no register", asRecord(impostor.Heartbeat(t).Bytes), intake.ReasonUnknownKey},
		{"an epoch the key is not for", asRecord(nextEpoch.Bytes), intake.ReasonForeignKey},
		{"from before the key", asRecord(before.Bytes), intake.ReasonKeyNotValid},
		{"an empty chunk", asBlob(nil), intake.ReasonChunk},
		{"a chunk header alone", asBlob(goodChunk[:wire.ChunkHeader]), intake.ReasonChunk},
		{"chunk data changed", asBlob(changed(goodChunk, -1)), intake.ReasonChunk},
		{"a chunk before its record", d.Chunks([]byte("unannounced"))[0], intake.ReasonUnannounced},
		{"another device's blob", other.Message(wire.WhatBlob, goodChunk), intake.ReasonUnannounced},
		{"a chunk of another length", asBlob(wire.AppendChunk(nil, wire.Chunk{
			Blob: sha256.Sum256(frames[0]), Total: 100_001, Data: frames[0][:wire.ChunkData]})), intake.ReasonChunkLength},
		{"state that is no JSON", d.Message(wire.WhatState, []byte("{")), intake.ReasonReport},
		{"health of a later version", d.Message(wire.WhatHealth, []byte(`{"v":2}`)), intake.ReasonReport},
		{"a profile of 1 MB", d.Message(wire.WhatProfile, bytes.Repeat([]byte(" "), 1<<20)), intake.ReasonReport},
		{"state of another device", d.Message(wire.WhatState, foreignState), intake.ReasonOtherDevice},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, portaltest.NewCentre(t, d, other))
			b.Deliver(sealedMessage(d, violation)) // one is waiting for chunks
			if b.next().Have == nil {
				t.Fatal("no have")
			}
			b.Deliver(row.message)
			// What is good is taken all the same.
			b.Deliver(sealedMessage(d, heartbeat))
			if r := b.receipt(); !names(r, heartbeat) {
				t.Errorf("receipt = %+v", r)
			}
			b.stop()
			if got := b.stats().Refused; len(got) != 1 || got[row.want] != 1 {
				t.Errorf("refused %v, want one %s", got, row.want)
			}
			s, err := portaltest.TryStore(t, b.centre.Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			kept, err := s.Refused(t.Context(), nil, 10)
			if err != nil || len(kept) != 1 || kept[0].Reason != string(row.want) || !bytes.HasPrefix(row.message.Payload, kept[0].Bytes) {
				t.Errorf("kept %+v, %v", kept, err)
			}
		})
	}
}

// Chunks that are whole and do not make up the blob are thrown away, so that the
// right ones can come.
func TestWrongBlobIsSentAgain(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	s := d.Violation(t, frames[:2], trace, nil)
	b.Deliver(sealedMessage(d, s))
	b.next()
	b.Deliver(d.Chunks(trace)...)
	b.Deliver(d.Chunks(frames[1])...)
	bad := wire.CutChunk(sha256.Sum256(frames[0]), changed(frames[0], 5), 0)
	b.Deliver(d.Message(wire.WhatBlob, wire.AppendChunk(nil, bad)))
	b.Deliver(d.Chunks(frames[0])[1])
	b.Deliver(sealedMessage(d, s))
	if have := b.next().Have; have == nil || len(have.Blobs) != 1 || len(have.Blobs[0].Ranges) != 0 {
		t.Fatalf("have = %+v, want one blob of which nothing is there", have)
	}
	b.Deliver(d.Chunks(frames[0])...)
	if r := b.receipt(); !names(r, s) {
		t.Errorf("receipt = %+v", r)
	}
	b.stop()
	if n := b.stats().Refused[intake.ReasonBlobDamaged]; n != 1 {
		t.Errorf("%d damaged blobs, want 1", n)
	}
}

// Two records of a device give one picture two lengths: the one that came first
// holds, whether its pictures have come or not.
func TestSecondLengthOfABlobIsRefused(t *testing.T) {
	for _, row := range []struct {
		name  string
		order func(good, bad uplink.Message, chunks []uplink.Message) (before, after []uplink.Message) // the receipt
	}{
		{"while it comes", func(good, bad uplink.Message, chunks []uplink.Message) (before, after []uplink.Message) {
			return append([]uplink.Message{good, bad}, chunks...), nil
		}},
		{"when it is there", func(good, bad uplink.Message, chunks []uplink.Message) (before, after []uplink.Message) {
			return append([]uplink.Message{good}, chunks...), []uplink.Message{good, bad}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := portaltest.NewDevice(t, "one")
			c := portaltest.NewCentre(t, d)
			b := start(t, c)
			good := d.Violation(t, frames, trace, nil)
			bad := d.Violation(t, frames, trace, func(r *evidence.Record) { r.Frames[0].Length++ })
			before, after := row.order(sealedMessage(d, good), sealedMessage(d, bad), chunks(d))
			b.Deliver(before...)
			if r := b.receipt(); !names(r, good) || len(r.Entries) != 1 {
				t.Errorf("receipt = %+v", r)
			}
			b.Deliver(after...)
			b.stop()
			if st := b.stats(); st.All.Settled != 1 || st.Refused[intake.ReasonMalformed] != 1 {
				t.Errorf("stats = %+v, want one settled and one malformed", st)
			}
		})
	}
}

// changeEntry issues the register anew with another entry of a device.
func changeEntry(t *testing.T, c *portaltest.Centre, d *portaltest.Device, change func(*evidence.RegisterEntry)) {
	t.Helper()
	f, err := register.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	next := *f.Trust().Register().Register
	next.Entries = slices.Clone(next.Entries)
	for i := range next.Entries {
		if next.Entries[i].Device == d.ID {
			change(&next.Entries[i])
		}
	}
	next.Sequence++
	reissue(t, c, &next)
}

// expire has the key of a device expire so long ago.
func expire(t *testing.T, c *portaltest.Centre, d *portaltest.Device, ago time.Duration) {
	t.Helper()
	changeEntry(t, c, d, func(e *evidence.RegisterEntry) { e.NotAfter = time.Now().Add(-ago).UTC().Truncate(time.Second) })
}

func TestRevokedKeyIsRefusedWhateverTheDate(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	old := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.AddDate(-1, 0, 0) })
	now := time.Now().Add(-time.Second).UTC().Truncate(time.Second)
	changeEntry(t, c, d, func(e *evidence.RegisterEntry) { e.Revoked = &now })
	b := start(t, c)
	b.Deliver(sealedMessage(d, old))
	b.stop()
	if n := b.stats().Refused[intake.ReasonRevoked]; n != 1 {
		t.Errorf("refused %v, want one revoked", b.stats().Refused)
	}
}

// No verifier accepts a receipt from outside the validity of its key: the centre
// gives none, whether the key has expired or its own clock is wrong.
func TestNothingIsSettledOutsideTheKeysValidity(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	s := d.Violation(t, frames, trace, nil)
	c := portaltest.NewCentre(t, d)
	f, err := register.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	good := f.Trust().Register().Register
	until := func(end time.Time) {
		next := *good
		next.Entries = slices.Clone(good.Entries)
		for i := range next.Entries {
			if next.Entries[i].Role == evidence.RoleCentre {
				next.Entries[i].NotAfter = end
			}
		}
		reissue(t, c, &next)
	}
	until(time.Now().Add(-time.Hour).Truncate(time.Second))
	b := start(t, c)
	b.Deliver(sealedMessage(d, s))
	b.Deliver(chunks(d)...)
	for !b.stats().Failing {
		time.Sleep(time.Millisecond)
	}
	b.stop()
	if st := b.stats(); st.All.Settled != 0 || st.Receipts != 0 {
		t.Errorf("stats = %+v, want nothing settled", st)
	}
	until(time.Now().AddDate(1, 0, 0).Truncate(time.Second))
	b = start(t, c)
	b.Deliver(sealedMessage(d, s))
	if r := b.receipt(); !names(r, s) {
		t.Errorf("receipt = %+v", r)
	}
}

// A device that does not know the date yet must not break its chain.
func TestStartWithoutTheDateIsTaken(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	boot := d.Seal(t, func(r *evidence.Record) {
		r.Kind, r.Body = evidence.KindBoot, evidence.Body{1: "power on", 2: uint64(0), 3: ""}
		r.UTC, r.Clock.Synchronised = time.Unix(5, 0).UTC(), false
	})
	b.Deliver(sealedMessage(d, boot))
	if r := b.receipt(); !names(r, boot) {
		t.Errorf("receipt = %+v", r)
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	c := portaltest.NewCentre(t, d, other)
	for range 2 { // the bound holds over a restart
		b := start(t, c)
		for i := range 3 * intake.MaxQuarantined {
			b.Deliver(d.Message(wire.WhatRecord, fmt.Append(nil, i)))
		}
		b.Deliver(other.Message(wire.WhatRecord, nil))
		b.stop()
		if n := b.stats().Refused[intake.ReasonMalformed]; n != 3*intake.MaxQuarantined+1 {
			t.Errorf("counted %d, want %d", n, 3*intake.MaxQuarantined+1)
		}
	}
	s, err := portaltest.TryStore(t, c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, row := range []struct {
		device *portaltest.Device
		want   int
	}{{d, intake.MaxQuarantined}, {other, 2}} {
		if kept, err := s.Refused(t.Context(), &row.device.ID, 1000); err != nil || len(kept) != row.want {
			t.Errorf("kept %d, %v, want %d", len(kept), err, row.want)
		}
	}
}

// A client that causes a refusal with every message fills neither log nor store,
// and none of them is forgotten.
func TestH03_RefusalsAreCountedNotLogged(t *testing.T) {
	d, other := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "other")
	var out bytes.Buffer
	b := startLogging(t, portaltest.NewCentre(t, d, other), intake.Quota{}, slog.New(slog.NewTextHandler(&out, nil)))
	const flood = 20_000
	for i := range flood {
		b.Deliver(d.Message(wire.WhatRecord, fmt.Append(nil, i)))
	}
	b.Deliver(other.Message(wire.WhatBlob, nil))
	s := other.Heartbeat(t)
	b.Deliver(sealedMessage(other, s))
	if r := b.receipt(); !names(r, s) {
		t.Errorf("receipt = %+v", r)
	}
	for { // what is counted is written every few seconds
		counts, err := b.store.RefusalCounts(t.Context(), d.ID)
		if err == nil && len(counts) == 1 && counts[0].Reason == string(intake.ReasonMalformed) && counts[0].Messages == flood {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.stop()
	if lines := strings.Count(out.String(), "\n"); lines > 10 {
		t.Errorf("%d log lines for %d refusals", lines, flood)
	}
	for _, want := range []string{
		fmt.Sprintf("device=%v reason=malformed times_more=%d", d.ID, flood-1), fmt.Sprintf("device=%v reason=chunk", other.ID),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q:\n%.2000s", want, out.String())
		}
	}
}

func TestQuotaOfIncompleteRecords(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	const each = evidence.MaxFrame
	for n := 0; n*2*each < intake.MaxIncompleteBytes; n++ {
		s := d.Violation(t, [][]byte{{1}, {2}}, fmt.Append(nil, "trace", n), func(r *evidence.Record) {
			for i := range r.Frames {
				r.Frames[i].SHA256 = sha256.Sum256(fmt.Append(nil, n, i))
				r.Frames[i].Length = each
			}
		})
		b.Deliver(sealedMessage(d, s))
	}
	s := d.Heartbeat(t)
	b.Deliver(sealedMessage(d, s)) // has no blobs, needs no room
	if r := b.receipt(); !names(r, s) {
		t.Errorf("receipt = %+v", r)
	}
	b.stop()
	if n := b.stats().Refused[intake.ReasonQuota]; n != 1 {
		t.Errorf("refused %v, want the last for want of room", b.stats().Refused)
	}
}

func TestWorseRegisterIsRefused(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	root, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		root   *keys.Key // nil: the centre's
		change func(*evidence.Register)
		want   string
	}{
		{"another root", root, func(r *evidence.Register) { r.Sequence += 10 }, "root"},
		{"an older issue", nil, func(r *evidence.Register) { r.Sequence-- }, "older"},
	} {
		c := portaltest.NewCentre(t, d)
		f, err := register.Open(c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		next := *f.Trust().Register().Register
		next.Entries = nil
		row.change(&next)
		if row.root != nil {
			c.Root = row.root
		}
		reissue(t, c, &next)
		if err := f.Refresh(); err == nil || !strings.Contains(err.Error(), row.want) || !f.Known(d.ID) {
			t.Errorf("%s: %v, device known %v", row.name, err, f.Known(d.ID))
		}
	}
}

func reissue(t *testing.T, c *portaltest.Centre, r *evidence.Register) {
	t.Helper()
	sealed, err := evidence.SealRegister(r, c.Root)
	if err == nil {
		err = durable.WriteFile(c.Dir+"/trust.pem", evidence.EncodeTrust(c.Root.Public(), sealed.Bytes), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestReconnectsWithBackOff(t *testing.T) {
	portaltest.OnOneDisk(t, "the clock of the test is not that of the servers")
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	synctest.Test(t, func(t *testing.T) {
		b := start(t, c)
		synctest.Wait()
		b.Refuse(errors.New("no route to host"))
		b.Drop()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		// Once a minute, give or take a fifth, after the first few.
		if n := b.Dialled(); n < 1200 || n > 1800 {
			t.Errorf("dialled %d times in a day, want about 1440", n)
		}
		b.Refuse(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !b.stats().Connected {
			t.Error("not connected two minutes after the broker came back")
		}
		b.stop()
	})
}

// What comes behind a record that was not taken is counted as that and not kept: it is
// no fault of its own. A chunk of no record at all is.
func TestChunksBehindARefusedRecord(t *testing.T) {
	for _, row := range []struct {
		name string
		edit func(*evidence.Record)
		want intake.Reason
	}{
		{"dated ahead", func(r *evidence.Record) { r.UTC = r.UTC.Add(time.Hour) }, intake.ReasonAhead},
		{"of an epoch the key is not for", func(r *evidence.Record) { r.Epoch++ }, intake.ReasonForeignKey},
		{"in the place of another", func(r *evidence.Record) { r.Seq = 2 }, intake.ReasonEquivocation},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := portaltest.NewDevice(t, "one")
			b := start(t, portaltest.NewCentre(t, d))
			for range 2 {
				s := d.Heartbeat(t)
				b.Deliver(sealedMessage(d, s))
				if r := b.receipt(); !names(r, s) {
					t.Fatalf("receipt = %+v", r)
				}
			}
			b.Deliver(sealedMessage(d, d.Violation(t, frames, trace, row.edit)))
			b.Deliver(chunks(d)...)
			b.Deliver(d.Chunks([]byte("of no record"))...)
			b.stop()
			n := uint64(len(chunks(d)))
			if got := b.stats().Refused; got[row.want] != 1 || got[intake.ReasonBehind] != n || got[intake.ReasonUnannounced] != 1 {
				t.Errorf("refused %v, want one %s, %d chunks behind it and one of no record", got, row.want, n)
			}
			s, err := portaltest.TryStore(t, b.centre.Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			kept, err := s.Refused(t.Context(), nil, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range kept {
				if k.Reason != string(row.want) && k.Reason != string(intake.ReasonUnannounced) {
					t.Errorf("kept %s: %s", k.Reason, k.Detail)
				}
			}
		})
	}
}
