package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/agent/journal"
	"ciglio/capture/evidence"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// journalled is an outbox with one record of each sort, an hour apart, that stays
// open as that of a running service.
func journalled(t *testing.T) (dir string, all []*evidence.Sealed) {
	t.Helper()
	sign := signerOf(t, "device")
	dir = filepath.Join(t.TempDir(), "outbox")
	device := evidence.DeviceID{1: 7}
	o, err := outbox.Open(dir, outbox.Options{Device: device, SegmentSize: 1 << 20, Reserve: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	now := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	kid := sign.KeyID()
	for _, row := range []struct {
		kind evidence.Kind
		body evidence.Body
	}{
		{evidence.KindBoot, evidence.Body{1: "start of the program", 2: uint64(1), 3: "nothing to recover"}},
		{evidence.KindHeartbeat, evidence.Body{1: uint64(1), 2: uint64(0), 3: uint64(0), 4: uint64(0)}},
		{evidence.KindClockStep, evidence.Body{1: int64(time.Second), 2: "chrony"}},
		{evidence.KindOperator, evidence.Body{1: "a stick was applied"}.WithAct(&evidence.Act{Actor: "stick 7", Role: "operator", Code: "provision", Subject: "site", Old: "version 1", New: "version 2", Outcome: "done"})},
		{evidence.KindOperator, evidence.Body{1: "order 5: pause"}.WithAct(&evidence.Act{Actor: "centre 00", Role: "centre", Code: "pause", Outcome: "refused", New: "expired", Signer: &kid, Number: 5})},
		{evidence.KindSelfTest, evidence.Body{1: uint64(0), 2: "camera: unplugged"}},
		{evidence.KindOperator, evidence.Body{1: "made before there were acts"}},
		{evidence.KindShutdown, evidence.Body{1: "stopped"}},
	} {
		now = now.Add(time.Hour)
		s, err := o.Append(func(h outbox.Head) (*evidence.Sealed, error) {
			return evidence.Seal(nextRecord(h, device, now, row.kind, row.body), sign)
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return dir, all
}

func TestJournalCommand(t *testing.T) {
	dir, all := journalled(t)
	exported := t.TempDir()
	for i, s := range all {
		if err := os.WriteFile(filepath.Join(exported, string(rune('h'-i))+".cose"), s.Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		args []string
		want []string // codes, in order
	}{
		{"all but heartbeats", nil, []string{"boot", "clock_step", "provision", "pause", "self_test", "operator", "shutdown"}},
		{"one code of an act", []string{"--kind", "pause"}, []string{"pause"}},
		{"every act of people", []string{"--kind", "operator"}, []string{"provision", "pause", "operator"}},
		{"two codes", []string{"--kind", "boot,shutdown"}, []string{"boot", "shutdown"}},
		{"from an hour on", []string{"--since", "2026-05-04T06:00:00Z"}, []string{"self_test", "operator", "shutdown"}},
		{"up to an hour of another zone", []string{"--until", "2026-05-04T05:00:00+02:00"}, []string{"boot", "clock_step"}},
		{"the day", []string{"--since", "2026-05-04", "--until", "2026-05-04"}, []string{"boot", "clock_step", "provision", "pause", "self_test", "operator", "shutdown"}},
		{"the day before", []string{"--until", "2026-05-03"}, nil},
		{"the last two", []string{"--last", "2"}, []string{"operator", "shutdown"}},
		{"the last of some", []string{"--last", "1", "--kind", "operator"}, []string{"operator"}},
	} {
		for _, from := range []struct {
			name string
			args []string
		}{{"outbox", []string{"--dir", dir}}, {"exported", []string{exported}}} {
			args := append([]string{"journal", "--json"}, append(test.args, from.args...)...)
			code, out, errs := runCommand(args...)
			var got []string
			for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
				var e struct{ Code, What, UTC string }
				if err := d.Decode(&e); err != nil {
					t.Fatal(err)
				}
				if e.What == "" || e.UTC == "" {
					t.Errorf("%s: %+v", test.name, e)
				}
				got = append(got, e.Code)
			}
			if code != exitGood || strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("%s, %s: exit %d %v, want %v\n%s", test.name, from.name, code, got, test.want, errs)
			}
		}
	}
	_, out, _ := runCommand("journal", "--dir", dir)
	for _, want := range []string{"pause of enforcement", "centre 00", "refused", "by 1s, source chrony", "failed: camera: unplugged", "stick 7"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
}

func TestJournalCommandRefuses(t *testing.T) {
	dir, all := journalled(t)
	for _, test := range []struct {
		name string
		args []string
		exit int
		says string
	}{
		{"a code that is none", []string{"--kind", "speed"}, exitUsage, "there is accept, acknowledge, aim,"},
		{"a time that is none", []string{"--since", "yesterday"}, exitUsage, "want a day such as"},
		{"fewer than none", []string{"--last", "-1"}, exitUsage, "0 or more"},
		{"no outbox", []string{"--dir", "nowhere"}, exitFailed, "hint: --dir"},
	} {
		if code, out, errs := runCommand(append([]string{"journal", "--dir", dir}, test.args...)...); code != test.exit || out != "" || !strings.Contains(errs, test.says) {
			t.Errorf("%s: exit %d, %q, %q", test.name, code, out, errs)
		}
	}
	// What can be read of a folder is told, and what cannot is named.
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.cose"), all[0].Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "b.cose"), all[2].Bytes[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runCommand("journal", folder); code != exitFailed || !strings.Contains(out, "start of the program") || !strings.Contains(errs, "b.cose") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
}

// TestEveryCodeHasWords holds the table of words to what the code can write.
func TestEveryCodeHasWords(t *testing.T) {
	codes := []string{"parameter", "order"}
	for _, k := range journal.Kinds() {
		codes = append(codes, journal.KindCode(k))
	}
	for _, k := range wire.OrderKinds() {
		codes = append(codes, string(k))
	}
	for _, code := range codes {
		if !slices.Contains(journal.Known(), code) {
			t.Errorf("%s has no words", code)
		}
	}
}
