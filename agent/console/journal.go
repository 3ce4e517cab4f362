package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ciglio/agent/journal"
	"ciglio/capture/evidence"
)

// mostEntries is how many a page shows.
const mostEntries = 50

// journalGroups are what a reader may ask for, by the codes of [journal.Known]. Their
// names are the ends of keys.
var journalGroups = []struct {
	name  string
	codes []string
}{
	{"stick", []string{"provision"}},
	{"work", []string{"session", "command", "aim", "accept", "operator"}},
	{"orders", []string{"selftest", "status", "diagnostics", "resend", "pause", "resume", "reopen", "export", "console", "order"}},
	{"self_test", []string{"self_test"}},
	{"starts", []string{"boot", "shutdown", "start", "stop"}},
	{"seals", []string{"tamper", "sealed"}},
	{"clock", []string{"clock_step"}},
	{"force", []string{"calibration", "configuration", "parameter", "key_change", "key"}},
	{"look", []string{"look"}},
	{"lost", []string{"eviction", "acknowledge"}},
}

type journalView struct {
	View
	Entries []entryView
	Groups  []link // Path is the name of one
	Day     string // that is asked for, as 2026-12-01; "" for all
	Older   string // address of the page that follows; "" for none
	Newest  string // address of the newest, where this is not their page
}

// An entryView says what `ciglio journal` says of an entry.
type entryView struct {
	Name, Outcome string
	Refused       bool // it was, or has failed
	When, By      string
	Number        string
	Words         string // the device's own
}

// entry puts an entry into the reader's words, with the device's own below.
func (t teller) entry(e journal.Entry, zone *time.Location) entryView {
	v := entryView{Name: t.coded("happened", e.Code()), When: t.text("journal.at", "at", e.UTC.In(zone)), By: t.text("journal.itself"),
		Number: fmt.Sprintf("%d·%d", e.Epoch, e.Seq), Words: e.Words}
	if a := e.Act; a != nil {
		if a.Actor != "device" {
			v.By = t.who(a.Actor)
		}
		v.Outcome, v.Refused = t.coded("outcome", a.Outcome), a.Outcome == "refused" || a.Outcome == "failed"
	}
	return v
}

// who puts an actor of the journal into the reader's words: a technician, an officer or an
// operator with the number or key behind it; a name as it is.
func (t teller) who(actor string) string {
	for _, known := range []struct{ word, key string }{
		{"technician", "who.technician"}, {"officer", "who.officer"}, {"operator", "who.operator"},
		{"local user", "who.local_user"}, {"stick", "who.stick"}, {"unknown", "who.unknown"},
	} {
		if rest, ok := strings.CutPrefix(actor, known.word); ok && (rest == "" || rest[0] == ' ') {
			return t.text(known.key) + rest
		}
	}
	return actor
}

// An Entry is one of the journal for a program.
type Entry struct {
	Epoch   uint64        `json:"epoch"`
	Seq     uint64        `json:"seq"`
	ID      evidence.Hash `json:"id"`
	At      time.Time     `json:"at"`   // local time of the site
	Kind    string        `json:"kind"` // code
	Code    string        `json:"code"`
	Who     string        `json:"who,omitempty"` // "" for the device by itself
	Role    string        `json:"role,omitempty"`
	Outcome string        `json:"outcome,omitempty"`
	Words   string        `json:"words"`
}

func (c *Console) journal(w http.ResponseWriter, r *http.Request, who Caller) error {
	zone := c.o.Device.Status().At.Location()
	q := r.URL.Query()
	f, before, err := readFilter(q, zone)
	if err != nil {
		return err
	}
	c.reading.Lock()
	all, next, err := c.o.Device.Journal(f, before, mostEntries)
	c.reading.Unlock()
	if err != nil {
		return err
	}
	if wantsJSON(r) {
		entries := []Entry{}
		for _, e := range all {
			one := Entry{Epoch: e.Epoch, Seq: e.Seq, ID: e.ID, At: e.UTC.In(zone), Kind: journal.KindCode(e.Kind), Code: e.Code(), Words: e.Words}
			if a := e.Act; a != nil {
				one.Who, one.Role, one.Outcome = a.Actor, a.Role, a.Outcome
			}
			entries = append(entries, one)
		}
		return writeJSON(w, http.StatusOK, entries)
	}
	v := c.view(r, who)
	t := teller{c, v.words}
	page := journalView{View: v, Day: q.Get("day")}
	for _, g := range journalGroups {
		page.Groups = append(page.Groups, link{Path: g.name, Words: t.text("group." + g.name), Here: g.name == q.Get("group")})
	}
	for _, e := range all {
		page.Entries = append(page.Entries, t.entry(e, zone))
	}
	at := func(before uint64) string {
		kept := url.Values{}
		for _, key := range []string{"day", "group"} {
			if q.Get(key) != "" {
				kept.Set(key, q.Get(key))
			}
		}
		if before > 0 {
			kept.Set("before", strconv.FormatUint(before, 10))
		}
		return (&url.URL{Path: "/journal", RawQuery: kept.Encode()}).String()
	}
	if next > 0 {
		page.Older = at(next)
	}
	if before > 0 {
		page.Newest = at(0)
	}
	return c.show(w, http.StatusOK, "journal", page)
}

// readFilter reads what of the journal is asked for: a day at the site, a group, and the
// number before which the page begins, 0 for the newest.
func readFilter(q url.Values, zone *time.Location) (f journal.Filter, before uint64, err error) {
	wrong := refusal{http.StatusBadRequest, "filter"}
	if text := q.Get("day"); text != "" {
		day, err := time.ParseInLocation(time.DateOnly, text, zone)
		if err != nil {
			return f, 0, wrong
		}
		f.Since, f.Till = day, day.AddDate(0, 0, 1).Add(-1)
	}
	if name := q.Get("group"); name != "" {
		for _, g := range journalGroups {
			if g.name == name {
				f.Codes = slices.Clone(g.codes)
			}
		}
		if f.Codes == nil {
			return f, 0, wrong
		}
	}
	if text := q.Get("before"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 63); err != nil {
			return f, 0, wrong
		}
	}
	return f, before, nil
}
