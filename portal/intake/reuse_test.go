package intake_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/log/sequencer"
	"ciglio/portal/portaltest"
	"ciglio/portal/record"
	"ciglio/uplink"
	"ciglio/uplink/wire"
)

// until waits for a stored fact of a device.
func (b *bench) until(d *portaltest.Device, fact func(*record.Device) bool) *record.Device {
	b.t.Helper()
	for range 5000 {
		dev, err := b.store.Device(b.t.Context(), d.ID)
		if err == nil && fact(dev) {
			return dev
		}
		time.Sleep(2 * time.Millisecond)
	}
	b.t.Fatal("the store does not tell it")
	return nil
}

// settle delivers a violation with all its blobs and waits for its receipt.
func (b *bench) settle(d *portaltest.Device, s *evidence.Sealed, messages []uplink.Message) {
	b.t.Helper()
	b.Deliver(sealedMessage(d, s))
	b.Deliver(messages...)
	if r := b.receipt(); !names(r, s) {
		b.t.Fatalf("receipt = %+v", r)
	}
}

// A blob counts only for the record that it was sent for: what another record
// was sent with gives no receipt, whether it is sent again or not.
func TestH05_BlobsOfAnotherRecordGiveNoReceipt(t *testing.T) {
	own := [][]byte{portaltest.Bytes(21, 5000), portaltest.Bytes(22, 5000)}
	for _, row := range []struct {
		name string
		make func(thief, victim *portaltest.Device) (*portaltest.Device, *evidence.Sealed)
	}{
		{"all of another device", func(thief, _ *portaltest.Device) (*portaltest.Device, *evidence.Sealed) {
			return thief, thief.Violation(t, frames, trace, nil)
		}},
		{"the trace of another device", func(thief, _ *portaltest.Device) (*portaltest.Device, *evidence.Sealed) {
			return thief, thief.Violation(t, own, trace, nil)
		}},
		{"one frame of an earlier record", func(_, victim *portaltest.Device) (*portaltest.Device, *evidence.Sealed) {
			return victim, victim.Violation(t, [][]byte{own[0], frames[0]}, own[1], nil)
		}},
		{"the trace of an earlier record", func(_, victim *portaltest.Device) (*portaltest.Device, *evidence.Sealed) {
			return victim, victim.Violation(t, own, trace, nil)
		}},
		{"a test with what a violation was sent with", func(_, victim *portaltest.Device) (*portaltest.Device, *evidence.Sealed) {
			return victim, victim.Violation(t, frames, trace, func(r *evidence.Record) { r.Kind, r.Body = evidence.KindTest, body(evidence.KindTest) })
		}},
	} {
		for _, again := range []bool{false, true} {
			t.Run(row.name+map[bool]string{true: ", sent again"}[again], func(t *testing.T) {
				thief, victim := portaltest.NewDevice(t, "thief"), portaltest.NewDevice(t, "victim")
				b := start(t, portaltest.NewCentre(t, thief, victim))
				b.settle(victim, victim.Violation(t, frames, trace, nil), chunks(victim))
				d, s := row.make(thief, victim)
				b.Deliver(sealedMessage(d, s))
				if again {
					b.Deliver(slices.Concat(chunks(d), d.Chunks(own[0]), d.Chunks(own[1]))...)
					b.Deliver(sealedMessage(d, s))
				}
				if a := b.next(); a.Refused == nil || a.Refused.Code != string(intake.ReasonReuse) || a.Refused.ID != s.ID {
					t.Errorf("answer %+v, want that the record is refused", a)
				}
				dev := b.until(d, func(dev *record.Device) bool { return dev.Reused > 0 })
				if !dev.Alarm() {
					t.Error("no alarm")
				}
				refused, err := b.store.Refused(t.Context(), &d.ID, 10)
				if err != nil || len(refused) == 0 || !strings.Contains(refused[len(refused)-1].Detail, "was sent for another record") {
					t.Errorf("quarantined %+v, %v", refused, err)
				}
				b.stop()
				if st := b.stats(); st.All.Settled != 1 {
					t.Errorf("%d records are settled, want the first alone", st.All.Settled)
				}
			})
		}
	}
}

// Two records that name one frame come before either has sent it: one of them
// settles, and the other never does.
func TestH05_TwoRecordsThatWaitForOneFrame(t *testing.T) {
	one, two := portaltest.NewDevice(t, "one"), portaltest.NewDevice(t, "two")
	b := start(t, portaltest.NewCentre(t, one, two))
	s1, s2 := one.Violation(t, frames, trace, nil), two.Violation(t, frames, trace, nil)
	b.Deliver(sealedMessage(one, s1), sealedMessage(two, s2))
	for _, d := range []*portaltest.Device{one, two} { // or the later one is refused at once
		b.until(d, func(dev *record.Device) bool { return dev.Incomplete == 1 })
	}
	b.Deliver(chunks(one)...)
	if r := b.receipt(); !names(r, s1) {
		t.Fatalf("receipt = %+v", r)
	}
	b.Deliver(chunks(two)...)
	dev := b.until(two, func(dev *record.Device) bool { return dev.SetAside == 1 })
	if !dev.Alarm() {
		t.Error("no alarm")
	}
	b.Deliver(sealedMessage(two, s2)) // and not later either
	b.Deliver(sealedMessage(one, one.Heartbeat(t)))
	b.receipt()
	b.stop()
	if st := b.stats(); st.All.Settled != 2 {
		t.Errorf("%d records are settled, want the first and the heartbeat", st.All.Settled)
	}
}

// A record that comes again settles as ever; so do two events of one moment that
// have an exposure in common, and tests of a camera that repeats itself. Each of
// them has to send what it names.
func TestH05_LawfulRepetitionSettles(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	b := start(t, portaltest.NewCentre(t, d))
	first := d.Violation(t, frames, trace, nil)
	b.settle(d, first, chunks(d))
	b.Deliver(sealedMessage(d, first)) // its receipt was lost
	if r := b.receipt(); !names(r, first) {
		t.Fatalf("receipt = %+v", r)
	}
	other := portaltest.Bytes(31, 4000)
	second := d.Violation(t, frames, other, nil) // the same exposures: number and instant are the same
	b.Deliver(sealedMessage(d, second))
	if have := b.next().Have; have == nil || len(have.Blobs) != 4 {
		t.Fatalf("have = %+v, want all four blobs asked for", have)
	}
	b.Deliver(slices.Concat(chunks(d), d.Chunks(other))...)
	if r := b.receipt(); !names(r, second) {
		t.Errorf("receipt = %+v", r)
	}
	played := [][]byte{portaltest.Bytes(41, 3000), portaltest.Bytes(42, 3000)}
	for n := range 2 {
		test := d.Violation(t, played, other[:1000], func(r *evidence.Record) {
			r.Kind, r.Body = evidence.KindTest, body(evidence.KindTest)
			for i := range r.Frames {
				r.Frames[i].Number += uint64(n)
			}
		})
		b.Deliver(sealedMessage(d, test))
		if have := b.next().Have; have == nil || len(have.Blobs) != 3 {
			t.Fatalf("have = %+v, want three blobs asked for", have)
		}
		b.Deliver(slices.Concat(d.Chunks(played[0]), d.Chunks(played[1]), d.Chunks(other[:1000]))...)
		if r := b.receipt(); !names(r, test) {
			t.Errorf("receipt = %+v", r)
		}
	}
	b.stop()
	if refused := b.stats().Refused; len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
}

// Times at which a record cannot have been sealed.
func TestH06_TimesAgainstTheArrival(t *testing.T) {
	for _, row := range []struct {
		name  string
		utc   time.Duration // from now
		edit  func(*evidence.Record)
		want  intake.Reason // empty when it is taken
		early bool          // and answered at once
	}{
		{"now", 0, nil, "", true},
		{"a month ago", -30 * 24 * time.Hour, nil, "", true},
		{"a year ahead", 365 * 24 * time.Hour, nil, intake.ReasonAhead, true},
		{"three minutes ahead", 3 * time.Minute, nil, intake.ReasonAhead, true},
		{"a second ahead", time.Second, nil, "", false},
		{"a year ahead, of a clock that is not synchronised", 365 * 24 * time.Hour,
			func(r *evidence.Record) { r.Clock.Synchronised = false }, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := portaltest.NewDevice(t, "one")
			b := start(t, portaltest.NewCentre(t, d))
			s := d.Seal(t, func(r *evidence.Record) {
				r.UTC = r.UTC.Add(row.utc)
				if row.edit != nil {
					row.edit(r)
				}
			})
			b.Deliver(sealedMessage(d, s))
			a := b.next()
			switch {
			case row.want != "":
				if a.Refused == nil || a.Refused.Code != string(row.want) {
					t.Errorf("answer %+v, want %s", a, row.want)
				}
				if dev := b.until(d, func(dev *record.Device) bool { return dev.Misdated > 0 }); !dev.Alarm() {
					t.Error("no alarm")
				}
			case a.Receipt == nil:
				t.Errorf("answer %+v, want a receipt", a)
			case a.Receipt.Receipt.UTC.Before(s.Record.UTC) && s.Record.Clock.Synchronised:
				t.Errorf("receipt of %v for a record of %v", a.Receipt.Receipt.UTC, s.Record.UTC)
			}
		})
	}
}

// Between a record's arrival and its receipt the centre's clock may go back. No
// receipt is older than a record that says when it is.
func TestH06_ReceiptWaitsWhenTheCentreGoesBack(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	unsynchronised := func(r *evidence.Record) { r.Clock.Synchronised = false }
	for _, row := range []struct {
		name  string
		seal  func(*evidence.Record)
		ahead time.Duration // the sealedMessage, of the centre's clock
		held  bool
	}{
		{"of now", nil, 0, false},
		{"a microsecond ahead", nil, time.Microsecond, true},
		{"two minutes ahead", nil, intake.MaxAhead, true},
		{"a microsecond more", nil, intake.MaxAhead + time.Microsecond, true},
		{"a day ahead", nil, 24 * time.Hour, true},
		{"a day ahead, not synchronised", unsynchronised, 24 * time.Hour, false},
		{"two minutes ahead, not synchronised", unsynchronised, intake.MaxAhead, true},
		{"a year ago", nil, -365 * 24 * time.Hour, false},
	} {
		s := d.Seal(t, func(r *evidence.Record) {
			if row.seal != nil {
				row.seal(r)
			}
		})
		now := s.Record.UTC.Add(-row.ahead)
		at := sequencer.HeldUntil(&record.Record{ID: s.ID, UTC: s.Record.UTC, Bytes: s.Bytes}, now)
		if at.After(now) != row.held || row.held && !at.After(s.Record.UTC) {
			t.Errorf("%s: receipted %v after the centre's time, held is to be %v", row.name, at.Sub(now), row.held)
		}
	}
}

// The clock of a device jumps a year ahead and back without a record of it.
func TestH06_BackInTimeWithoutAStepIsFlagged(t *testing.T) {
	seal := func(d *portaltest.Device, from time.Duration, kind evidence.Kind) *evidence.Sealed {
		return d.Seal(t, func(r *evidence.Record) {
			r.UTC = r.UTC.Add(from)
			if kind == evidence.KindClockStep {
				r.Kind, r.Body = kind, body(kind)
			}
		})
	}
	for _, row := range []struct {
		name    string
		second  evidence.Kind
		reverse bool // the second comes first
		want    uint64
	}{
		{"no step record", evidence.KindHeartbeat, false, 1},
		{"no step sealedMessage, the later one first", evidence.KindHeartbeat, true, 1},
		{"a step record", evidence.KindClockStep, false, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := portaltest.NewDevice(t, "one")
			b := start(t, portaltest.NewCentre(t, d))
			messages := []uplink.Message{
				sealedMessage(d, seal(d, -time.Hour, evidence.KindHeartbeat)), sealedMessage(d, seal(d, -24*time.Hour, row.second)),
			}
			if row.reverse {
				slices.Reverse(messages)
			}
			for _, m := range messages {
				b.Deliver(m)
				b.receipt()
			}
			dev := b.until(d, func(dev *record.Device) bool { return dev.Records == 2 })
			if dev.Backdated != row.want || dev.Alarm() != (row.want > 0) {
				t.Errorf("%d backdated, alarm %v, want %d", dev.Backdated, dev.Alarm(), row.want)
			}
		})
	}
}

// body is some body of a kind.
func body(kind evidence.Kind) evidence.Body {
	b := evidence.Body{}
	for _, f := range evidence.BodyFields(kind) {
		switch f.Type {
		case evidence.BodyBytes:
			b[f.Key] = []byte("x")
		case evidence.BodyText:
			b[f.Key] = "x"
		case evidence.BodyInt:
			b[f.Key] = int64(1)
		default:
			b[f.Key] = uint64(1)
		}
	}
	return b
}

// A key has expired. What was sealed before and comes within a month is taken;
// what goes back in time to seem so is not.
func TestH06_ExpiredKeyAndDatedBack(t *testing.T) {
	d := portaltest.NewDevice(t, "one")
	c := portaltest.NewCentre(t, d)
	expire(t, c, d, 10*24*time.Hour)
	b := start(t, c)
	last := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.AddDate(0, 0, -11) })
	b.Deliver(sealedMessage(d, last)) // offline since
	if r := b.receipt(); !names(r, last) {
		t.Fatalf("receipt = %+v", r)
	}
	back := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.AddDate(0, 0, -20) })
	b.Deliver(sealedMessage(d, back))
	if a := b.next(); a.Refused == nil || a.Refused.Code != string(intake.ReasonBackdated) {
		t.Errorf("answer %+v, want %s", a, intake.ReasonBackdated)
	}
	b.until(d, func(dev *record.Device) bool { return dev.Misdated == 1 && dev.Alarm() })
	b.stop()
	expire(t, c, d, 40*24*time.Hour)
	b = start(t, c)
	late := d.Seal(t, func(r *evidence.Record) { r.UTC = r.UTC.AddDate(0, 0, -41) })
	b.Deliver(sealedMessage(d, late))
	b.stop()
	if n := b.stats().Refused[intake.ReasonKeyNotValid]; n != 1 {
		t.Errorf("refused %v, want the one of a key that expired 40 days ago", b.stats().Refused)
	}
}

// A device that stores too much is told to wait, keeps its records, and stands
// on its page; the one beside it notices nothing.
func TestH10_QuotaOnCompleteData(t *testing.T) {
	greedy, honest := portaltest.NewDevice(t, "greedy"), portaltest.NewDevice(t, "honest")
	for _, row := range []struct {
		name  string
		quota intake.Quota
		taken int
	}{
		{"records", intake.Quota{Records: 50, RecordsPerSecond: 1}, 50},
		{"bytes", intake.Quota{Bytes: 20_000, BytesPerSecond: 1}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := startWith(t, portaltest.NewCentre(t, greedy, honest), row.quota)
			g, h := *greedy, *honest
			var sent []*evidence.Sealed
			for range 300 {
				s := g.Heartbeat(t)
				sent = append(sent, s)
				b.Deliver(sealedMessage(&g, s))
			}
			beside := h.Heartbeat(t)
			b.Deliver(sealedMessage(&h, beside))
			receipted, told, besideSettled := 0, 0, false
			for receipted+told < len(sent) || !besideSettled {
				from, a := b.Next(t, b.centre)
				switch {
				case from == honest.ID:
					besideSettled = a.Receipt != nil
				case a.Receipt != nil:
					receipted += len(a.Receipt.Receipt.Entries)
				case a.Refused != nil && a.Refused.Code == wire.RefusedHeldBack && a.Refused.Wait > 0:
					told++
				default:
					t.Fatalf("answer %+v", a)
				}
			}
			if row.taken > 0 && (receipted < row.taken || receipted > row.taken+30) || told == 0 {
				t.Errorf("%d receipted and %d told to wait, want about %d receipted", receipted, told, row.taken)
			}
			b.Deliver(sealedMessage(&g, sent[0])) // known: answered, and costs nothing
			if _, a := b.Next(t, b.centre); a.Receipt == nil {
				t.Errorf("answer %+v to a record that is settled", a)
			}
			dev := b.until(greedy, func(dev *record.Device) bool { return dev.HeldBack == uint64(told) })
			if dev.Records != uint64(receipted) {
				t.Errorf("%d records are kept, %d are receipted", dev.Records, receipted)
			}
			b.stop()
		})
	}
}

// A device under its quota is not held back: 60,000 records at once are taken in
// time, and 150 MB a second are not.
func TestH10_DefaultQuota(t *testing.T) {
	records, held := intake.Simulate(intake.Quota{}, 60_000, 400, time.Microsecond*100)
	if records > 21_000 || held == 0 {
		t.Errorf("%d of 60,000 records at once are taken", records)
	}
	records, held = intake.Simulate(intake.Quota{}, 60*150, 1_000_000, time.Second/150)
	if bytes := records * 1_000_000; bytes > 1300<<20 || held == 0 {
		t.Errorf("%d MB of 9,000 in a minute are taken", bytes>>20)
	}
	// A busy road in a month: 15,000 violations of 1 MB over a line of 2 MB/s.
	if _, held = intake.Simulate(intake.Quota{}, 15_000, 1_000_000, time.Second/2); held != 0 {
		t.Errorf("an honest device that was offline for a month is held back %d times", held)
	}
}

// The quota keeps no honest device waiting: not one on a busy road, and not for
// long one that comes back with all it could keep.
func TestH10_HonestDeviceGetsEverythingThrough(t *testing.T) {
	const day = 24 * time.Hour
	if _, held := intake.Simulate(intake.Quota{}, 30*24*60*10, 1_500_000, 6*time.Second); held != 0 {
		t.Errorf("ten violations of 1.5 MB a minute for a month: held back %d times", held)
	}
	for _, row := range []struct {
		name           string
		records, bytes int
		within         time.Duration
	}{
		{"a month of heartbeats", 30 * 24 * 60, 600, time.Hour},
		{"a full outbox of the usual 20 GiB, of records of 1.5 MB", 20 << 30 / 1_500_000, 1_500_000, 6 * time.Hour},
		{"the same of the largest records", 20 << 30 / 144_000_000, 144_000_000, 6 * time.Hour},
		{"a month of ten violations of 1.5 MB a minute", 30 * 24 * 60 * 10, 1_500_000, 6 * day},
	} {
		if took := intake.Drain(intake.Quota{}, row.records, row.bytes); took > row.within {
			t.Errorf("%s: %v, want at most %v", row.name, took, row.within)
		} else {
			t.Logf("%s: %v", row.name, took.Round(time.Second))
		}
	}
}
