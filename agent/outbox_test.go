package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/agent/doctor"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
)

// A keptStore is an outbox on disk, of five heartbeats a day.
type keptStore struct {
	dir     string
	options outbox.Options
	sign    evidence.Signer
	now     time.Time
}

const perDay = 5

// newKeptStore fills a store with the heartbeats of some days and closes it.
func newKeptStore(t *testing.T, days int) *keptStore {
	t.Helper()
	k, err := key.CreateFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	s := &keptStore{dir: filepath.Join(t.TempDir(), "outbox"), sign: k, now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}
	s.options = outbox.Options{Device: evidence.DeviceID{1: 7}, Now: func() time.Time { return s.now }, SegmentSize: 1 << 20, Reserve: 1 << 16}
	s.restart(t, days)
	return s
}

// nextRecord is the record that follows the head of a store.
func nextRecord(h outbox.Head, device evidence.DeviceID, at time.Time, kind evidence.Kind, body evidence.Body) *evidence.Record {
	return &evidence.Record{
		Kind: kind, Device: device, Epoch: h.Epoch, Seq: h.Next, Prev: h.Prev, Ack: h.Ack, Boot: [16]byte{1}, Mono: 1, UTC: at,
		Clock: sensor.ClockState{Source: "adjtimex"}, Software: evidence.Software{Version: "test"},
		Key: evidence.KeyInfo{Class: "file"}, Configuration: evidence.Statement{ID: "cfg", Version: 1}, Body: body,
	}
}

// restart opens the store, adds the heartbeats of so many days, and closes it.
func (s *keptStore) restart(t *testing.T, days int) outbox.Report {
	t.Helper()
	o, err := outbox.Open(s.dir, s.options)
	if err != nil {
		t.Fatal(err)
	}
	for day := range days {
		s.now = time.Date(2026, 5, 4+day, 12, 0, 0, 0, time.UTC)
		for range perDay {
			if _, err := o.Append(func(h outbox.Head) (*evidence.Sealed, error) {
				body := evidence.Body{1: uint64(1), 2: uint64(0), 3: uint64(0), 4: uint64(0)}
				return evidence.Seal(nextRecord(h, s.options.Device, s.now, evidence.KindHeartbeat, body), s.sign)
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := o.Report()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *keptStore) segment(n int) string {
	return filepath.Join(s.dir, "segments", fmt.Sprintf("%08d.db", n))
}

// patch changes bytes of a file of the store.
func (s *keptStore) patch(t *testing.T, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func runCommand(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestD01_OutboxCommandsTellLoss(t *testing.T) {
	for _, c := range []struct {
		name    string
		hurt    func(t *testing.T, s *keptStore)
		missing string
		count   string
	}{
		{"the middle cut", func(t *testing.T, s *keptStore) {
			s.patch(t, s.segment(2), func(b []byte) []byte { return b[:9000] })
		}, "epoch 1 numbers 6 to 10", "5 numbers are unaccounted for"},
		{"the newest without its first pages", func(t *testing.T, s *keptStore) {
			s.patch(t, s.segment(3), func(b []byte) []byte { clear(b[:8192]); return b })
		}, "epoch 1 numbers 11 to 15", "5 numbers are unaccounted for"},
		{"the first not there", func(t *testing.T, s *keptStore) {
			if err := os.Remove(s.segment(1)); err != nil {
				t.Fatal(err)
			}
		}, "epoch 1 numbers 1 to 5", "5 numbers are unaccounted for"},
		{"none left", func(t *testing.T, s *keptStore) {
			if err := os.RemoveAll(filepath.Join(s.dir, "segments")); err != nil {
				t.Fatal(err)
			}
		}, "epoch 1 numbers 1 to 15", "15 numbers are unaccounted for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newKeptStore(t, 3)
			if code, out, _ := runCommand("outbox", "stats", "--dir", s.dir); code != 0 || !strings.Contains(out, "15 wait") {
				t.Fatalf("before: exit %d, %s", code, out)
			}
			c.hurt(t, s)
			for _, when := range []string{"before a restart", "after it", "and after another"} {
				for _, command := range []string{"stats", "list"} {
					code, out, errs := runCommand("outbox", command, "--dir", s.dir)
					if code != 1 || !strings.Contains(out, c.missing) || !strings.Contains(out, c.count) || !strings.Contains(errs, "hint: ") {
						t.Errorf("%s, %s: exit %d\n%s%s", when, command, code, out, errs)
					}
					if zero := regexp.MustCompile(`(?m)^0 wait`); zero.MatchString(out) {
						t.Errorf("%s: says that nothing waits:\n%s", when, out)
					}
				}
				code, out, _ := runCommand("outbox", "stats", "--json", "--dir", s.dir)
				var v struct {
					Good        bool
					Unaccounted uint64
					Missing     []outbox.Range
					Losses      []outbox.Loss
				}
				if err := json.Unmarshal([]byte(out), &v); err != nil || code != 1 || v.Good || v.Unaccounted == 0 ||
					len(v.Missing) != 1 || v.Missing[0].String() != c.missing || len(v.Losses) == 0 {
					t.Errorf("%s: exit %d, %v\n%s", when, code, err, out)
				}
				var facts []string
				for _, l := range examineRecords(t.Context(), s.dir) {
					if l.Verdict != doctor.Fail {
						t.Errorf("%s: the doctor passes %s", when, l.Fact)
					}
					facts = append(facts, l.Fact)
				}
				for _, l := range v.Losses {
					if !slices.Contains(facts, l.Words) {
						t.Errorf("%s: the doctor does not say %q but %q", when, l.Words, facts)
					}
				}
				s.restart(t, 0)
			}
		})
	}
}

// Who knows of a loss and says why it may stand has it listed, and the commands no
// longer fail; the service records the act once. Another loss fails them again.
func TestAcknowledgedLossIsNoFailure(t *testing.T) {
	s := newKeptStore(t, 3)
	if err := os.Remove(s.segment(2)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--by", "ops"}, {"--why", "w"}, {"--by", "a\nb", "--why", "w"}} {
		if code, _, errs := runCommand(append([]string{"outbox", "acknowledge", "--dir", s.dir}, args...)...); code == 0 || errs == "" {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
	if code, out, _ := runCommand("outbox", "stats", "--dir", s.dir); code != 1 {
		t.Fatalf("nothing was acknowledged: exit %d\n%s", code, out)
	}
	code, out, errs := runCommand("outbox", "acknowledge", "--dir", s.dir, "--by", "ops", "--why", "the card was dropped")
	if code != 0 || errs != "" || !strings.Contains(out, "KNOWN epoch 1 numbers 6 to 10 missing (acknowledged ") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	for _, when := range []string{"at once", "after a restart"} {
		for _, command := range []string{"stats", "list"} {
			code, out, errs := runCommand("outbox", command, "--dir", s.dir)
			if code != 0 || errs != "" || !strings.Contains(out, "by ops: the card was dropped)") || !strings.Contains(out, "5 numbers are unaccounted for") {
				t.Errorf("%s, %s: exit %d\n%s%s", when, command, code, out, errs)
			}
		}
		if code, out, _ := runCommand("outbox", "stats", "--json", "--dir", s.dir); code != 0 || !strings.Contains(out, `"good": true`) || !strings.Contains(out, `"by": "ops"`) {
			t.Errorf("%s: exit %d\n%s", when, code, out)
		}
		for _, l := range examineRecords(t.Context(), s.dir) {
			if l.Verdict != doctor.Warn {
				t.Errorf("%s: the doctor says %v of %s", when, l.Verdict, l.Fact)
			}
		}
		s.restart(t, 0)
	}

	store, err := outbox.Open(s.dir, s.options)
	if err != nil {
		t.Fatal(err)
	}
	deeds := acknowledgements(store, slog.New(slog.DiscardHandler))
	if len(deeds) != 1 || deeds[0].Act.Actor != "ops" || deeds[0].Act.Old != "epoch 1 numbers 6 to 10 missing" {
		t.Fatalf("acts to be recorded: %+v", deeds)
	}
	deeds[0].Noted()
	if again := acknowledgements(store, slog.New(slog.DiscardHandler)); len(again) > 0 {
		t.Errorf("to be recorded again: %+v", again)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.segment(1)); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := runCommand("outbox", "stats", "--dir", s.dir); code != 1 || !strings.Contains(out, "LOSS  epoch 1 numbers 1 to 10 missing") {
		t.Errorf("another loss: exit %d\n%s", code, out)
	}
}

// A bit in what waits is found by reading it, in what is set aside by its words.
func TestD01_DamagedRecordIsNamed(t *testing.T) {
	s := newKeptStore(t, 2)
	spoil(t, s, 1, 3)
	for range 2 {
		code, out, _ := runCommand("outbox", "stats", "--dir", s.dir)
		if code != 1 || !strings.Contains(out, "LOSS  epoch 1 number 3 damaged") || !strings.Contains(out, "10 wait for a receipt, 0 of them set aside, 1 damaged") {
			t.Errorf("exit %d\n%s", code, out)
		}
		s.restart(t, 0)
	}
}

// spoil changes a bit in every copy of a record's text in a segment.
func spoil(t *testing.T, s *keptStore, segment int, seq uint64) {
	t.Helper()
	v, err := outbox.OpenView(s.dir, s.options.Device)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := v.Record(outbox.Key{Epoch: 1, Seq: seq})
	if err != nil {
		t.Fatal(err)
	}
	s.patch(t, s.segment(segment), func(b []byte) []byte {
		for from := 0; ; {
			i := bytes.Index(b[from:], raw)
			if i < 0 {
				return b
			}
			b[from+i+len(raw)/2] ^= 4
			from += i + 1
		}
	})
}

func TestD04_ExportGoesOnBesideADamagedRecord(t *testing.T) {
	s := newKeptStore(t, 3)
	spoil(t, s, 2, 9)
	args := []string{"outbox", "export", "--dir", s.dir, "--out", filepath.Join(t.TempDir(), "bundles")}
	for seq := range 15 {
		args = append(args, fmt.Sprint(seq+1))
	}
	for _, asJSON := range []bool{false, true} {
		given := args
		if asJSON {
			given = append(args[:len(args):len(args)], "--json")
		}
		code, out, errs := runCommand(given...)
		if code != 1 || !strings.Contains(errs, "epoch 1 number 9: damaged") || !strings.Contains(errs, "1 of 15 records") || strings.Count(out, ".zip") != 14 {
			t.Errorf("exit %d\n%s%s", code, out, errs)
		}
		if asJSON && strings.Count(out, `"error"`) != 1 {
			t.Error(out)
		}
	}
	files, err := filepath.Glob(filepath.Join(args[5], "*.zip"))
	if err != nil || len(files) != 14 {
		t.Errorf("%d bundles, %v", len(files), err)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
		if code, _, errs := runCommand("inspect", f); code != 0 {
			t.Errorf("%s: %s", f, errs)
		}
	}
}

// What a damaged newest segment holds is of an earlier epoch after a restart, and
// lies in damaged/: it is exported all the same.
func TestD04_ExportReadsWhatIsSetAside(t *testing.T) {
	s := newKeptStore(t, 2)
	// A free list that is zero: nothing of the records is hurt, and bbolt would fail.
	s.patch(t, s.segment(2), func(b []byte) []byte {
		for at := 0; at+4096 <= len(b); at += 4096 {
			if b[at+8] == 0x10 { // pages of a free list
				clear(b[at+16 : at+4096])
				b[at+10] = 9
			}
		}
		return b
	})
	s.restart(t, 1)
	out := t.TempDir()
	if code, said, errs := runCommand("outbox", "export", "--dir", s.dir, "--out", out, "8"); code != 0 || !strings.Contains(said, "1-8.zip") {
		t.Errorf("exit %d\n%s%s", code, said, errs)
	}
	if code, said, _ := runCommand("outbox", "stats", "--dir", s.dir); code != 1 || !strings.Contains(said, "epoch 1 numbers 6 to 10") {
		t.Errorf("exit %d\n%s", code, said)
	}
}
