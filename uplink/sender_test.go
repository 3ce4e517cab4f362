package uplink

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

func TestOptionsOfASender(t *testing.T) {
	l := newLab(t, nil)
	for _, c := range []struct {
		name   string
		change func(*SenderOptions)
	}{
		{"no shard", func(o *SenderOptions) { o.Shard = "" }},
		{"a wildcard as shard", func(o *SenderOptions) { o.Shard = "+" }},
		{"no store", func(o *SenderOptions) { o.Store = nil }},
		{"no dialer", func(o *SenderOptions) { o.Dialer = nil }},
		{"no keys to check receipts with", func(o *SenderOptions) { o.CentreKey = nil }},
		{"no device", func(o *SenderOptions) { o.Device = evidence.DeviceID{} }},
		{"no boot", func(o *SenderOptions) { o.Boot = wire.BootID{} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := l.sender.o
			c.change(&o)
			if _, err := NewSender(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestRecordGoesBeforeItsChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.store.add()
		l.store.add(blob(1, 2*wire.ChunkData), blob(2, 10))
		l.store.add()
		l.run()
		synctest.Wait()
		if n := l.store.unsettled(); n != 0 {
			t.Errorf("%d records without receipt", n)
		}
		want := []string{"state", "record", "record", "blob", "blob", "blob", "record"}
		if !slices.Equal(l.centre.log, want) {
			t.Errorf("messages %v, want %v", l.centre.log, want)
		}
		l.store.add()
		synctest.Wait()
		if n := l.store.unsettled(); n != 0 {
			t.Error("a record appended later was not sent")
		}
		l.stop()
		s := l.sender.Snapshot()
		if s.Settled != 4 || s.Resent != 0 || s.Records != 0 || s.Bytes != 0 || s.Connected {
			t.Errorf("snapshot %+v", s)
		}
	})
}

// TestOnlyAReceiptSettles has a broker that acknowledges everything and a centre
// that never answers. The record goes again, without its chunks, ever more
// rarely.
func TestOnlyAReceiptSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.centre.mute = true
		var times []time.Time
		l.net.publish = func(_ *fakeSession, _ int, m Message) error {
			if strings.HasSuffix(m.Topic, "/record") {
				times = append(times, time.Now())
			}
			return nil
		}
		l.store.add(blob(1, 100))
		l.run()
		rest(48 * time.Hour)
		l.stop()
		if l.store.unsettled() != 1 {
			t.Fatal("settled without a receipt")
		}
		if l.centre.arrived != 1 {
			t.Errorf("chunk sent %d times", l.centre.arrived)
		}
		want := 10 * time.Minute
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d < want*8/10 || d > want*12/10 {
				t.Errorf("repetition %d after %v, want %v more or less 20 %%", i, d, want)
			}
			want = min(2*want, 6*time.Hour)
		}
		if len(times) < 9 {
			t.Errorf("sent %d times in two days", len(times))
		}
	})
}

// TestSessionDiesAtEveryStep ends the first session after each number of
// messages, before or after the broker has taken the last.
func TestSessionDiesAtEveryStep(t *testing.T) {
	const records, perRecord = 4, 4 // a record and three chunks
	for step := 1; step <= 1+records*perRecord; step++ {
		for _, taken := range []bool{false, true} {
			for _, delay := range []time.Duration{0, 10 * time.Millisecond} {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t, nil)
					l.net.delay = delay
					l.net.publish = func(s *fakeSession, n int, m Message) error {
						if s != l.net.sessions[0] || n != step {
							return nil
						}
						if taken {
							l.centre.take(s, m)
						}
						return errHangUp
					}
					for i := range records {
						l.store.add(blob(uint64(i), 2*wire.ChunkData+1))
					}
					l.run()
					rest(time.Minute)
					l.stop()
					if n := l.store.unsettled(); n != 0 {
						t.Errorf("step %d, taken %v, delay %v: %d records without receipt", step, taken, delay, n)
					}
					if l.centre.twice != 0 {
						t.Errorf("step %d, taken %v, delay %v: %d chunks sent twice", step, taken, delay, l.centre.twice)
					}
					if len(l.net.sessions) != 2 {
						t.Errorf("step %d: %d sessions", step, len(l.net.sessions))
					}
				})
			}
		}
	}
}

// TestLostChunkIsFound is a broker that acknowledges a chunk and loses it.
func TestLostChunkIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.store.add(blob(1, 5*wire.ChunkData))
		lost := false
		centre := l.centre
		l.net.publish = func(s *fakeSession, n int, m Message) error {
			l.net.centre = centre
			if n == 4 && !lost {
				lost = true
				l.net.centre = nil
			}
			return nil
		}
		l.run()
		rest(5 * time.Minute)
		if l.store.unsettled() != 1 {
			t.Fatal("settled without all chunks")
		}
		rest(10 * time.Minute)
		if l.store.unsettled() != 0 {
			t.Error("the chunk was not sent again")
		}
		if l.centre.twice != 0 || l.centre.arrived != 5 {
			t.Errorf("%d chunks arrived, %d of them twice", l.centre.arrived, l.centre.twice)
		}
		l.stop()
	})
}

func TestReceiptBeforeTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.net.delay = time.Second
		for range 100 {
			l.store.add()
		}
		l.run()
		rest(time.Minute)
		l.stop()
		if l.store.unsettled() != 0 || l.sender.Snapshot().Resent != 0 {
			t.Errorf("%d unsettled, snapshot %+v", l.store.unsettled(), l.sender.Snapshot())
		}
	})
}

// TestReceiptsAgainAndLate delivers receipts twice, in the wrong order, and for
// records of an earlier session.
func TestReceiptsAgainAndLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.centre.mute = true
		for range 3 {
			l.store.add()
		}
		l.run()
		synctest.Wait()
		l.net.cut(errors.New("no carrier"))
		rest(time.Second)
		l.net.cut(nil)
		rest(time.Minute)
		topic := wire.Topic(testShard, testDevice, wire.WhatReceipt)
		item := func(i int) Item { return l.store.records[i].item }
		for _, receipt := range [][]byte{
			l.centre.receipt(item(2)), l.centre.receipt(item(0)), l.centre.receipt(item(0)), l.centre.receipt(item(0), item(1), item(2)),
		} {
			l.net.last().inbox <- Message{Topic: topic, Payload: receipt}
		}
		synctest.Wait()
		s := l.sender.Snapshot()
		if l.store.unsettled() != 0 || s.Settled != 3 || s.Receipts != 4 || s.Refused != 0 || s.Records != 0 {
			t.Errorf("%d unsettled, snapshot %+v", l.store.unsettled(), s)
		}
		l.stop()
	})
}

// TestReceiptForAnotherRecord names ours with the id of another: it stays where
// it is and goes again.
func TestReceiptForAnotherRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.centre.mute = true
		l.store.add()
		l.run()
		synctest.Wait()
		other := l.store.records[0].item
		other.ID = evidence.Hash{1}
		l.net.last().inbox <- Message{Topic: wire.Topic(testShard, testDevice, wire.WhatReceipt), Payload: l.centre.receipt(other)}
		synctest.Wait()
		if s := l.sender.Snapshot(); s.Records != 1 || s.Settled != 0 {
			t.Errorf("snapshot %+v", s)
		}
		rest(13 * time.Minute)
		if s := l.sender.Snapshot(); s.Resent != 1 {
			t.Errorf("sent again %d times", s.Resent)
		}
		l.stop()
	})
}

func TestForgedMessagesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.centre.mute = true
		l.store.add()
		l.run()
		synctest.Wait()
		item := l.store.records[0].item
		good := l.centre.receipt(item)
		forged := bytes.Clone(good)
		forged[len(forged)-1] ^= 1
		mallory := newCentre(t, l.store)
		foreign, err := evidence.SealReceipt(&evidence.Receipt{
			Device: evidence.DeviceID{9}, LogSize: 9, UTC: time.Now(),
			Entries: []evidence.ReceiptEntry{{Epoch: 1, Seq: 1, ID: item.ID}},
		}, l.centre.signer)
		if err != nil {
			t.Fatal(err)
		}
		have := func(d evidence.DeviceID, s evidence.Signer) []byte {
			b, err := wire.SealHave(&wire.Have{Device: d, ID: item.ID, Blobs: []wire.HaveBlob{{}}}, s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		receipts, commands := wire.Topic(testShard, testDevice, wire.WhatReceipt), wire.Topic(testShard, testDevice, wire.WhatCommand)
		bad := []Message{
			{Topic: receipts},
			{Topic: receipts, Payload: []byte("garbage")},
			{Topic: receipts, Payload: forged},
			{Topic: receipts, Payload: mallory.receipt(item)},
			{Topic: receipts, Payload: foreign.Bytes},
			{Topic: receipts, Payload: have(testDevice, l.centre.signer)},
			{Topic: commands, Payload: good},
			{Topic: commands, Payload: have(testDevice, mallory.signer)},
			{Topic: commands, Payload: have(evidence.DeviceID{9}, l.centre.signer)},
			{Topic: "somewhere/else", Payload: good},
			{Topic: wire.Topic(testShard, evidence.DeviceID{9}, wire.WhatReceipt), Payload: good},
		}
		for _, m := range bad {
			l.net.last().inbox <- m
		}
		synctest.Wait()
		if s := l.sender.Snapshot(); l.store.unsettled() != 1 || s.Refused != uint64(len(bad)) || len(s.Alarms) != 1 || s.Alarms[0].Code != "message_refused" {
			t.Errorf("%d unsettled, snapshot %+v", l.store.unsettled(), s)
		}
		rest(2 * time.Minute)
		l.net.last().inbox <- Message{Topic: receipts, Payload: good}
		synctest.Wait()
		if s := l.sender.Snapshot(); l.store.unsettled() != 0 || len(s.Alarms) != 0 {
			t.Errorf("after a good receipt: %d unsettled, snapshot %+v", l.store.unsettled(), s)
		}
		l.stop()
		if n := strings.Count(l.log.String(), "uplink message refused"); n != 2 { // and "no more"
			t.Errorf("%d log lines, want 2:\n%s", n, l.log)
		}
	})
}

// TestRevokedCentreSettlesNothing asks the register each time.
func TestRevokedCentreSettlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(o *SenderOptions) {
			o.CentreKey = func(kid evidence.Hash, at time.Time) (*ecdsa.PublicKey, error) {
				if !at.Equal(time.Now()) {
					t.Errorf("the key was looked up for %v", at)
				}
				return nil, errors.New("revoked")
			}
		})
		l.store.add()
		l.run()
		rest(time.Hour)
		l.stop()
		if l.store.unsettled() != 1 {
			t.Error("settled by a revoked key")
		}
	})
}

// TestReceiptOutsideItsKeysValidity comes from a centre whose clock was three
// years behind. The key is in force now, but no verifier would accept it.
func TestReceiptOutsideItsKeysValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Now().AddDate(-1, 0, 0)
		l := newLab(t, nil)
		l.sender.o.CentreKey = func(kid evidence.Hash, at time.Time) (*ecdsa.PublicKey, error) {
			if at.Before(from) {
				return nil, evidence.ErrNotValid
			}
			return l.centre.lookUp(kid, at)
		}
		l.centre.mute = true
		l.store.add()
		l.run()
		synctest.Wait()
		item := l.store.records[0].item
		old, err := evidence.SealReceipt(&evidence.Receipt{
			Device: testDevice, LogSize: 9, UTC: time.Now().AddDate(-3, 0, 0),
			Entries: []evidence.ReceiptEntry{{Epoch: item.Epoch, Seq: item.Seq, ID: item.ID}},
		}, l.centre.signer)
		if err != nil {
			t.Fatal(err)
		}
		receipts := wire.Topic(testShard, testDevice, wire.WhatReceipt)
		l.net.last().inbox <- Message{Topic: receipts, Payload: old.Bytes}
		synctest.Wait()
		if s := l.sender.Snapshot(); l.store.unsettled() != 1 || s.Refused != 1 {
			t.Errorf("%d unsettled, snapshot %+v", l.store.unsettled(), s)
		}
		l.net.last().inbox <- Message{Topic: receipts, Payload: l.centre.receipt(item)}
		synctest.Wait()
		if l.store.unsettled() != 0 {
			t.Error("a good receipt does not settle")
		}
		l.stop()
	})
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		name            string
		records, size   int
		inFlight, bytes int
	}{
		{"small records: a thousand", 3000, 0, MaxRecords, MaxBytes},
		{"large records: 8 MiB", 30, 1 << 20, 8, MaxBytes},
		{"one larger than 8 MiB goes alone", 2, 9 << 20, 1, 10 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				l.centre.mute = true
				l.net.delay = time.Millisecond
				for i := range c.records {
					if c.size == 0 {
						l.store.add()
					} else {
						l.store.add(blob(uint64(i), c.size-100))
					}
				}
				l.run()
				rest(5 * time.Minute)
				s := l.sender.Snapshot()
				if s.Records > c.inFlight || s.Records < c.inFlight-1 || s.Bytes > int64(c.bytes) {
					t.Errorf("%d records of %d bytes without receipt, want %d", s.Records, s.Bytes, c.inFlight)
				}
				if most := l.net.last().most; most != Window {
					t.Errorf("%d messages in flight, want %d", most, Window)
				}
				l.stop()
			})
		})
	}
}
