package device

import (
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/journal"
	"ciglio/capture/evidence"
	"ciglio/sensor"
)

func TestNoteIsARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		hash := evidence.Hash{9}
		act := evidence.Act{Actor: "technician", Role: "technician", Code: "session", Outcome: "begun", NewHash: &hash}
		if err := r.Note("session begun\nfrom the screen", act); err != nil {
			t.Fatal(err)
		}
		if err := r.Note("nothing said", evidence.Act{}); err == nil {
			t.Error("an act of nobody is in the chain")
		}
		all := r.records(t)
		if len(all) != 1 {
			t.Fatalf("%d records, want 1", len(all))
		}
		got := all[0].Record
		if a := got.ActOf(); got.Kind != evidence.KindOperator || got.Body[1] != "session begun from the screen" || a == nil || a.Code != "session" || *a.NewHash != hash {
			t.Errorf("%v %v %+v", got.Kind, got.Body, a)
		}
	})
}

func TestSelfTestSaysWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		asked := evidence.Act{Actor: "centre", Role: "centre", Code: "selftest"}
		for _, test := range []struct {
			name    string
			found   []sensor.Finding
			pass    uint64
			outcome string
		}{
			{"all in order", nil, 1, "done"},
			{"one thing wrong", []sensor.Finding{{Code: "door", Facts: sensor.Told("the door stands open")}}, 0, "failed"},
			{"asked again, with nothing new", []sensor.Finding{{Code: "door", Facts: sensor.Told("the door stands open")}}, 0, "failed"},
		} {
			r.faults.checks = []check{func(sensor.Mono) []sensor.Finding { return test.found }}
			before := len(r.records(t))
			findings, err := r.SelfTest(asked)
			if err != nil || len(findings) != len(test.found) {
				t.Fatalf("%s: %v, %v", test.name, findings, err)
			}
			all := r.records(t)
			if len(all) != before+1 {
				t.Fatalf("%s: %d records more, want 1", test.name, len(all)-before)
			}
			got := all[before].Record
			if a := got.ActOf(); got.Kind != evidence.KindSelfTest || got.Body[1] != test.pass || a == nil || a.Actor != "centre" || a.Outcome != test.outcome {
				t.Errorf("%s: %v %+v", test.name, got.Body, a)
			}
		}
	})
}

// TestStartTellsWhatIsAnother changes settings, program and calibration between two
// runs, as somebody with a shell can.
func TestStartTellsWhatIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.recorder.begin(); err != nil {
			t.Fatal(err)
		}
		again := func(change func(*Options)) []*evidence.Sealed {
			t.Helper()
			before := len(r.records(t))
			o := r.o
			c := *o.Config
			o.Config = &c
			change(&o)
			d, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.recorder.begin(); err != nil {
				t.Fatal(err)
			}
			return r.records(t)[before:]
		}
		if got := again(func(*Options) {}); len(got) != 3 {
			t.Fatalf("nothing changed: %d records, want boot, calibration, configuration", len(got))
		}
		noted := 0
		got := again(func(o *Options) {
			o.Config.Site.Limit += 1000
			o.Config.Site.Version++
			o.Software.Version, o.Software.Binary = "1.2.4", evidence.Hash{4}
			o.Deeds = []Deed{{"a stick was applied", evidence.Act{Actor: "stick", Role: "operator", Code: "provision", Outcome: "done"}, func() { noted++ }}}
		})
		if len(got) != 6 || noted != 1 {
			t.Fatalf("%d records, noted %d times", len(got), noted)
		}
		if a := got[1].Record.ActOf(); a == nil || a.Code != "parameter" || a.Subject != "configuration" || a.Old == a.New ||
			*a.OldHash == *a.NewHash || *a.NewHash != got[1].Record.Configuration.SHA256 {
			t.Errorf("configuration: %+v", a)
		}
		if a := got[2].Record.ActOf(); a == nil || a.Subject != "program" || a.Old != "1.2.3" || a.New != "1.2.4" {
			t.Errorf("program: %+v", a)
		}
		if a := got[3].Record.ActOf(); a == nil || a.Code != "provision" {
			t.Errorf("deed: %+v", a)
		}
	})
}

// TestJournalIsThatOfTheCommand compares what is shown at the device with what
// agent/journal reads of the same chain.
func TestJournalIsThatOfTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.recorder.begin(); err != nil {
			t.Fatal(err)
		}
		if err := r.Note("session begun", evidence.Act{Actor: "technician 1", Role: "technician", Code: "session", Outcome: "begun"}); err != nil {
			t.Fatal(err)
		}
		want, err := journal.Read(r.outbox, journal.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(want)
		got, next, err := r.Journal(journal.Filter{}, 0, 100)
		if err != nil || next != 0 || !reflect.DeepEqual(got, want) || len(got) < 4 {
			t.Fatalf("%d entries, want %d; %v", len(got), len(want), err)
		}
		for i, before := 0, uint64(0); i < len(want); i += 2 { // page by page
			page, next, err := r.Journal(journal.Filter{}, before, 2)
			if err != nil || !reflect.DeepEqual(page, want[i:min(i+2, len(want))]) || (next == 0) != (i+2 >= len(want)) {
				t.Fatalf("from %d: %d entries, next %d; %v", before, len(page), next, err)
			}
			before = next
		}
		f := journal.Filter{Codes: []string{"session"}}
		if got, _, err := r.Journal(f, 0, 100); err != nil || len(got) != 1 || got[0].Act.Actor != "technician 1" {
			t.Errorf("sessions: %+v, %v", got, err)
		}
		f = journal.Filter{Since: want[0].UTC.Add(time.Second)}
		if got, _, err := r.Journal(f, 0, 100); err != nil || len(got) != 0 {
			t.Errorf("of later: %+v, %v", got, err)
		}
	})
}
