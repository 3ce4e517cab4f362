package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/agent/journal"
	"ciglio/agent/provision"
	"ciglio/capture/evidence"
	"ciglio/internal/provisioning"
)

// TestStickPageSaysWhatIsDone asks at each phase, in English.
func TestStickPageSaysWhatIsDone(t *testing.T) {
	good := &provision.Receipt{Outcome: "installed", At: noon.Format(time.RFC3339), Files: []provision.ReceiptFile{{Name: "c.ciglio"}},
		Changes: []provision.Event{{Kind: provisioning.Calibration, NewVersion: 8}}}
	for _, test := range []struct {
		name string
		now  provision.Now
		none bool
		want []string
	}{
		{"no sticks at all", provision.Now{}, true, []string{"takes no sticks"}},
		{"the helper is away", provision.Now{Phase: provision.Away, Since: noon, Trouble: "dial unix"}, false, []string{"No sticks are taken now", "dial unix", "ciglio doctor"}},
		{"none is in", provision.Now{Phase: provision.Waiting, Since: noon.Add(-90 * time.Second)}, false, []string{"No stick is in", "for 1 min 30 s", "None since the service started"}},
		{"reading", provision.Now{Phase: provision.Reading, Since: noon}, false, []string{"leave it in"}},
		{"applying", provision.Now{Phase: provision.Applying, Since: noon}, false, []string{"starts the device anew", "renews itself"}},
		{"done", provision.Now{Phase: provision.Done, Since: noon, Last: good}, false, []string{"may be pulled out", "Calibration", "version 8", "receipt is not on the stick"}},
		{"refused, with the reason of each", provision.Now{Phase: provision.Done, Since: noon, Last: refusedStick()}, false, []string{
			"Refused: the stick may be pulled out", "cut off: copy it to the stick again", "It is version 2; version 3 is installed",
			"Passed over: it is for other devices", "not signed by an officer whom this device knows", "receipt is on the stick"}},
		{"nothing on it", provision.Now{Phase: provision.Waiting, Since: noon, Last: &provision.Receipt{Outcome: "nothing new", At: noon.Format(time.RFC3339)}}, false, []string{"nothing for a device on the stick"}},
	} {
		b := newBench(t)
		b.sticks.now, b.sticks.none = test.now, test.none
		page := b.request(b.session(Technician), "GET", "/stick", nil, "Accept-Language", "en").Body.String()
		for _, want := range test.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", test.name, want)
			}
		}
	}
}

// TestEveryRefusalOfAStickIsSaid asks for every reason in every language, with the
// arguments that the program gives.
func TestEveryRefusalOfAStickIsSaid(t *testing.T) {
	b := newBench(t)
	args := map[provisioning.Reason][]any{
		provisioning.Older:    {"version", uint64(2), "installed", uint64(3)},
		provisioning.TooEarly: {"from", noon, "now", noon},
		provisioning.Expired:  {"until", noon, "now", noon},
	}
	for _, lang := range languages {
		w, _ := b.words.In(lang)
		said := map[string]provisioning.Reason{}
		for _, reason := range provisioning.Reasons() {
			why := provisioning.Refuse(reason, "the fact")
			why.Args = args[reason]
			v := teller{b.Console, w}.last(&provision.Receipt{Outcome: "refused", Refused: []provision.Rejected{{Name: "a", Reason: reason, Fact: why.Fact, Why: why}}}, time.UTC)
			words := v.Files[0].Words
			if other, twice := said[words]; twice || words == "" {
				t.Errorf("%s: %s and %s: %q", lang, reason, other, words)
			}
			said[words] = reason
			if (v.Files[0].Detail == "") != (why.Args != nil) {
				t.Errorf("%s: %s: the fact is lost, or told twice: %+v", lang, reason, v.Files[0])
			}
		}
	}
}

func TestSignersAreNamed(t *testing.T) {
	b := newBench(t)
	w, _ := b.words.In("it")
	f := provision.Force{Kind: provisioning.Rules, Version: 1, Signers: []provision.Signer{{Role: provisioning.Officer, Name: "Polizia locale"}, {Role: provisioning.Root, Name: "of the centre"}}}
	if v := (teller{b.Console, w}).force(f, time.UTC); v.Signed != "agente Polizia locale, radice del centro" {
		t.Errorf("%+v", v)
	}
}

func TestActorsAreNamed(t *testing.T) {
	b := newBench(t)
	w, _ := b.words.In("it")
	for actor, want := range map[string]string{
		"technician 3": "tecnico 3", "officer 0badcafe": "agente 0badcafe", "local user 1000": "utente locale 1000", "stick": "chiavetta",
		"stickler": "stickler", "Anna Rossi": "Anna Rossi",
	} {
		if got := (teller{b.Console, w}).who(actor); got != want {
			t.Errorf("%s: %q, want %q", actor, got, want)
		}
	}
}

func TestJournalIsFilteredAndPaged(t *testing.T) {
	b := newBench(t)
	for i := range 120 {
		e := journal.Entry{Epoch: 1, Seq: uint64(120 - i), UTC: noon.Add(-time.Duration(i) * time.Hour), Kind: evidence.KindBoot, Words: "start"}
		if i%2 == 0 {
			e.Kind, e.Act = evidence.KindOperator, &evidence.Act{Actor: "stick", Code: "provision", Outcome: "refused"}
		}
		b.device.entries = append(b.device.entries, e)
	}
	s := b.session(Technician)
	get := func(path string) string {
		return b.request(s, "GET", path, nil, "Accept-Language", "en").Body.String()
	}
	for _, test := range []struct {
		name, path string
		entries    int
		links      []string
	}{
		{"the newest", "/journal", 50, []string{"/journal?before=71"}},
		{"the last page", "/journal?before=21", 20, []string{`href="/journal"`}},
		{"of sticks", "/journal?group=stick", 50, []string{"/journal?before=22&amp;group=stick"}},
		{"of a day", "/journal?day=2026-11-30", 24, nil},
		{"of a day and of sticks", "/journal?day=2026-11-30&group=stick", 12, nil},
		{"of a day without any", "/journal?day=2020-01-01", 0, nil},
		{"empty fields, as a form sends them", "/journal?day=&group=", 50, nil},
	} {
		page := get(test.path)
		if n := strings.Count(page, "<h2>"); n != test.entries {
			t.Errorf("%s: %d entries, want %d", test.name, n, test.entries)
		}
		for _, link := range test.links {
			if !strings.Contains(page, link) {
				t.Errorf("%s: no link %s", test.name, link)
			}
		}
	}
	for _, bad := range []string{"day=1.12.2026", "group=all", "before=-1", "before=x", "day=2026-13-01"} {
		if got := b.request(s, "GET", "/journal?"+bad, nil); got.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, got.Code)
		}
	}
}

// TestEveryEntryIsInOneGroup holds the groups against the codes of the journal.
func TestEveryEntryIsInOneGroup(t *testing.T) {
	var grouped []string
	for _, g := range journalGroups {
		grouped = append(grouped, g.codes...)
	}
	slices.Sort(grouped)
	if want := journal.Known(); !slices.Equal(grouped, want) {
		t.Errorf("groups hold\n%q, want\n%q", grouped, want)
	}
}
