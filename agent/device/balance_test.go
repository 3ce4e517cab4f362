package device

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink/wire"
)

// told returns the newest day of the device's report and the alarms of its balance.
func toldDay(t *testing.T, r *rig) (wire.HealthDay, []string) {
	t.Helper()
	h := r.health()
	var alarms []string
	for _, a := range h.Alarms {
		if a.Code == codeBalance {
			alarms = append(alarms, a.Words)
		}
	}
	if len(h.Days) == 0 {
		return wire.HealthDay{}, alarms
	}
	return h.Days[0], alarms
}

// issuedOn counts the records of violations and tests in the chain.
func (r *rig) issued(t *testing.T) (n uint64) {
	for _, s := range r.records(t) {
		if k := s.Record.Kind; k == evidence.KindViolation || k == evidence.KindTest {
			n++
		}
	}
	return n
}

// rewrite changes what the file says, as a power cut leaves it.
func (r *rig) rewrite(t *testing.T, change func(*balanceState)) {
	t.Helper()
	path := filepath.Join(r.config.Device.Dir, balanceFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseBalance(text)
	if err != nil {
		t.Fatal(err)
	}
	change(&s)
	if text, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsCapturedIsAccountedFor lives a day without a centre, with all that a
// passage can become, a store that is full, stops, power cuts between each two
// writings, and a device whose store comes back from a backup.
func TestWhatIsCapturedIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		key := &moodySigner{Signer: r.recorder.signer}
		r.o.Signer = key
		r.remake(t)
		r.start(t)
		want := wire.HealthDay{Day: r.clock.start.In(r.zone).Format(time.DateOnly)}
		check := func(moment string, alarms int) {
			t.Helper()
			got, told := toldDay(t, r)
			if got != want || len(told) != alarms {
				t.Errorf("%s: %v (%d interrupted), want %v (%d interrupted); alarms %q", moment, got, got.Interrupted, want, want.Interrupted, told)
			}
		}
		slow, unsure := speeding(), speeding()
		slow.Speed = 4000
		unsure.Direction = sensor.DirectionUnknown
		for range 3 {
			r.pass(slow)
		}
		r.pass(unsure)
		r.pass(speeding())
		want.Captured, want.Compliant, want.Discarded, want.Issued = 5, 3, 1, 1
		check("a road", 0)
		key.failing.Store(true)
		r.pass(speeding())
		key.failing.Store(false)
		want.Captured, want.Discarded = 6, 2
		check("a store that fails", 0)
		again := func() {
			t.Helper()
			r.end(t)
			r.remake(t)
			r.start(t)
			time.Sleep(inOrder)
		}
		again()
		check("after a stop", 0)
		r.pass(speeding())
		want.Captured, want.Issued = 7, 2
		if n := r.issued(t); n != want.Issued {
			t.Errorf("%d records in the chain, %d issued", n, want.Issued)
		}
		// The power goes when the record is on flash, and the count is not.
		r.end(t)
		var before uint64
		for _, s := range r.records(t) {
			if s.Record.Kind == evidence.KindHeartbeat {
				before = s.Record.Seq // of the second start, before the violation
			}
		}
		r.rewrite(t, func(s *balanceState) { s.Days[0].Issued--; s.Days[0].Pending++; s.Number = before })
		r.remake(t)
		check("sealed before the power cut", 0)
		// It goes when it is not.
		r.rewrite(t, func(s *balanceState) { s.Days[0].Captured++; s.Days[0].Pending++ })
		r.remake(t)
		want.Captured, want.Discarded, want.Interrupted = 8, 3, 1
		check("not sealed before the power cut", 0)
		r.remake(t)
		check("once more", 0)
		// A record of which nothing was pending is named, and stays named.
		r.rewrite(t, func(s *balanceState) { s.Days[0].Issued--; s.Number = before })
		r.remake(t)
		check("a count that was changed is put right by the chain", 0)
		r.rewrite(t, func(s *balanceState) { s.Number = before })
		r.remake(t)
		want.Issued++
		if _, alarms := toldDay(t, r); len(alarms) != 1 || !strings.Contains(alarms[0], "differ by -1") {
			t.Errorf("a record that nobody captured: %q", alarms)
		}
		// The store is older than what was counted.
		r.rewrite(t, func(s *balanceState) { s.Number += 100 })
		r.remake(t)
		if _, alarms := toldDay(t, r); len(alarms) != 2 || !strings.Contains(alarms[1], "is not in the store") {
			t.Errorf("a store that came back from a backup: %q", alarms)
		}
		// What was counted is lost, or half of it.
		path := filepath.Join(r.config.Device.Dir, balanceFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, half := range [][]byte{text[:len(text)/2], nil} {
			if err := os.WriteFile(path, half, 0o600); err != nil {
				t.Fatal(err)
			}
			r.remake(t)
			if _, alarms := toldDay(t, r); len(alarms) != 1 || !strings.Contains(alarms[0], "lost") {
				t.Errorf("%d bytes of the file: %q", len(half), alarms)
			}
			r.remake(t)
			if _, alarms := toldDay(t, r); len(alarms) != 1 {
				t.Errorf("%d bytes of the file, after another start: %q", len(half), alarms)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		r.remake(t)
		if _, alarms := toldDay(t, r); len(alarms) != 1 {
			t.Errorf("without the file: %q", alarms)
		}
	})
}

// TestAFullStoreIsAccountedFor has violations and no room for them.
func TestAFullStoreIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Outbox.Quota, r.config.Outbox.Reserve = 9<<20, 5<<20 })
		r.start(t)
		for range 3 {
			r.pass(speeding())
		}
		if got, alarms := toldDay(t, r); got.Captured != 3 || got.Discarded != 3 || got.Difference() != 0 || len(alarms) != 0 {
			t.Errorf("%v, alarms %q", got, alarms)
		}
		r.end(t)
	})
}

// TestADayIsTheSites counts by the civil day of the site, which has 23, 24 or 25 hours.
func TestADayIsTheSites(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	b := &balance{file: filepath.Join(t.TempDir(), balanceFile), zone: zone, log: slog.New(slog.DiscardHandler)}
	for _, row := range []struct{ at, day string }{
		{"2026-03-28T22:59:59.999Z", "2026-03-28"},
		{"2026-03-28T23:00:00Z", "2026-03-29"}, // midnight before the clocks go forward
		{"2026-03-29T01:00:00Z", "2026-03-29"},
		{"2026-03-29T21:59:59Z", "2026-03-29"}, // 23 hours later
		{"2026-03-29T22:00:00Z", "2026-03-30"},
		{"2026-10-24T22:00:00Z", "2026-10-25"}, // midnight before they go back
		{"2026-10-25T00:30:00Z", "2026-10-25"}, // half past two, and an hour later again
		{"2026-10-25T01:30:00Z", "2026-10-25"},
		{"2026-10-25T22:59:59Z", "2026-10-25"}, // 25 hours later
		{"2026-10-25T23:00:00Z", "2026-10-26"},
		{"2026-12-31T23:00:00Z", "2027-01-01"},
		{"2026-06-01T12:00:00Z", "2026-06-01"}, // a clock that was set back
	} {
		at, err := time.Parse(time.RFC3339Nano, row.at)
		if err != nil {
			t.Fatal(err)
		}
		got := b.capture(at)
		if got != row.day {
			t.Errorf("%s: %s, want %s", row.at, got, row.day)
		}
		b.settle(got, Outcome{})
	}
	b.save()
	text, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := parseBalance(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range kept.Days {
		if want := map[string]uint64{"2026-03-29": 3, "2026-10-25": 4}[d.Day]; d.Difference() != 0 || want != 0 && d.Captured != want {
			t.Errorf("%v, want %d", d, want)
		}
	}
}

// TestEveryReportBalances asks for reports while passages come and go on two days, and
// reads the file as a power cut would leave it.
func TestEveryReportBalances(t *testing.T) {
	b := &balance{file: filepath.Join(t.TempDir(), balanceFile), zone: time.UTC, log: slog.New(slog.DiscardHandler)}
	var work sync.WaitGroup
	start := time.Date(2026, 5, 4, 23, 59, 0, 0, time.UTC)
	for n := range 4 {
		work.Go(func() {
			for i := range 200 {
				day := b.capture(start.Add(time.Duration(i) * time.Second))
				switch (i + n) % 3 {
				case 0:
					b.settle(day, Outcome{})
				case 1:
					b.settle(day, Outcome{Reasons: []sensor.Reason{sensor.ReasonGate, sensor.ReasonClock}})
				case 2:
					b.interrupt(day)
				}
			}
		})
	}
	work.Go(func() {
		for range 20 {
			var h wire.Health
			b.tell(&h)
			if len(h.Alarms) > 0 {
				t.Errorf("alarms %v", h.Alarms)
			}
			text, err := os.ReadFile(b.file)
			if err != nil {
				continue // nothing has come yet
			}
			kept, err := parseBalance(text)
			if err != nil {
				t.Error(err)
			}
			for _, d := range kept.Days {
				if d.Difference() != 0 {
					t.Errorf("on flash: %v", d)
				}
			}
		}
	})
	work.Wait()
	if len(b.days) != 2 || b.days[0].Day != "2026-05-05" || b.days[0].Captured+b.days[1].Captured != 800 || b.days[0].Pending+b.days[1].Pending != 0 {
		t.Errorf("%v", b.days)
	}
}

func FuzzParseBalance(f *testing.F) {
	f.Add([]byte(`{"version":1,"days":[{"day":"2026-05-05","captured":2,"issued":1,"compliant":1}],"epoch":1,"number":7}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, err := parseBalance(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(kept)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseBalance(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := json.Marshal(back); err != nil || !bytes.Equal(again, third) {
			t.Errorf("%s reads back as %s, %v", again, third, err)
		}
	})
}
