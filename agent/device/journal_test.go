package device

import (
	"slices"
	"testing"
	"testing/synctest"

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
			{"one thing wrong", []sensor.Finding{{Code: "door", Words: "the door stands open"}}, 0, "failed"},
			{"asked again, with nothing new", []sensor.Finding{{Code: "door", Words: "the door stands open"}}, 0, "failed"},
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
		got, err := r.Journal(100)
		if err != nil || len(got) != len(want) || len(got) < 4 {
			t.Fatalf("%d entries, want %d; %v", len(got), len(want), err)
		}
		slices.Reverse(want)
		for i, e := range want {
			if g := got[i]; g.Seq != e.Seq || g.Kind != e.Kind.String() || g.Words != e.Words || !g.At.Equal(e.UTC) {
				t.Errorf("%+v, want %+v", g, e)
			}
		}
		if g := got[0]; g.Who != "technician 1" || g.Role != "technician" || g.Outcome != "begun" {
			t.Errorf("%+v", g)
		}
		if newest, err := r.Journal(1); err != nil || len(newest) != 1 || newest[0] != got[0] {
			t.Errorf("the newest: %+v, %v", newest, err)
		}
	})
}
