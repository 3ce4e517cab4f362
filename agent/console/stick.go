package console

import (
	"net/http"
	"strings"
	"time"

	"ciglio/agent/journal"
	"ciglio/agent/provision"
	p "ciglio/internal/provisioning"
)

// Sticks is what takes sticks, and what they have brought. Its methods are safe for
// concurrent use, and wait for no stick.
type Sticks interface {
	// Now returns what is done with a stick at this moment; false where none are taken.
	Now() (provision.Now, bool)
	// InForce returns what is installed, of every kind that can be.
	InForce() []provision.Force
}

type stickView struct {
	View
	Now     fact
	Last    *lastView // nil where there was none
	Force   []forceView
	History []entryView
	More    string // address of all of it
}

// A lastView is what came of the last stick.
type lastView struct {
	Fact  fact // the whole of it
	When  string
	Files []fact // of each that was refused, passed over or executed
	Words string // about the receipt
}

// A forceView is what is installed of a kind.
type forceView struct {
	Kind, Version, Hash string
	Valid, Signed       string
	Detail              string // the device's own words of what is wrong
}

// mostHistory is how many entries of the journal stand on the page of sticks.
const mostHistory = 10

// stickState is what a program gets.
type stickState struct {
	Taken     bool              `json:"taken"`
	Now       provision.Now     `json:"now"`
	Installed []provision.Force `json:"installed"`
}

func (c *Console) stick(w http.ResponseWriter, r *http.Request, who Caller) error {
	var s stickState
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.o.Sticks != nil {
		s.Now, s.Taken = c.o.Sticks.Now()
		s.Installed = c.o.Sticks.InForce()
	}
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, s)
	}
	v := c.view(r, who)
	v.Script = true
	t := teller{c, v.words}
	status := c.o.Device.Status()
	zone := status.At.Location()
	page := stickView{View: v, Now: t.station(s, c.o.Now()), More: "/journal?group=stick"}
	if s.Now.Last != nil {
		last := t.last(s.Now.Last, zone)
		page.Last = &last
	}
	for _, f := range s.Installed {
		one := t.force(f, zone)
		if f.Kind == p.Calibration && f.Version > 0 && f.Version == status.Calibration.Version {
			one.Valid = t.text("stick.valid", "from", status.Calibration.NotBefore, "to", status.Calibration.NotAfter)
		}
		page.Force = append(page.Force, one)
	}
	all, _, err := c.o.Device.Journal(journal.Filter{Codes: stickCodes()}, 0, mostHistory)
	if err != nil {
		return err
	}
	for _, e := range all {
		page.History = append(page.History, t.entry(e, zone))
	}
	return c.show(w, http.StatusOK, "stick", page)
}

// stickCodes are the codes of what a stick does.
func stickCodes() (codes []string) {
	for _, g := range journalGroups {
		if g.name == "stick" || g.name == "orders" {
			codes = append(codes, g.codes...)
		}
	}
	return codes
}

// station says what is done with a stick now, and what to do.
func (t teller) station(s stickState, now time.Time) fact {
	if !s.Taken {
		return t.fact(warn, "stick.title", t.text("stick.none_taken"), "")
	}
	l, words, do := warn, "stick."+string(s.Now.Phase), "stick.do_busy"
	switch s.Now.Phase {
	case provision.Away:
		l, do = bad, "stick.do_away"
	case provision.Waiting:
		l, do = good, "stick.do_waiting"
	case provision.Done:
		l, words, do = bad, "stick.done_bad", "stick.do_bad"
		if s.Now.Last != nil && s.Now.Last.Good() {
			l, words, do = good, "stick.done_good", "stick.do_good"
		}
	}
	f := t.fact(l, words, t.text("stick.since", "since", max(now.Sub(s.Now.Since), 0).Truncate(time.Second)), do)
	f.Detail = s.Now.Trouble
	return f
}

// last says what came of a stick: of the whole, and of each file.
func (t teller) last(r *provision.Receipt, zone *time.Location) lastView {
	l := good
	if !r.Good() {
		l = bad
	}
	v := lastView{Words: t.text("stick.receipt_none")}
	if r.Written {
		v.Words = t.text("stick.receipt")
	}
	if at, err := time.Parse(time.RFC3339, r.At); err == nil {
		v.When = t.text("journal.at", "at", at.In(zone))
	}
	v.Fact = fact{Level: l, Name: t.coded("brought", strings.ReplaceAll(r.Outcome, " ", "_"))}
	switch {
	case r.Reason != "" && len(r.Refused) == 0 && len(r.Unread) == 0:
		v.Fact.Words, v.Fact.Detail = t.coded("refused", string(r.Reason)), r.Words
	case r.Empty():
		v.Fact.Words = t.text("brought.empty")
	}
	for _, one := range r.Refused {
		f := fact{Level: bad, Name: t.text("stick.file", "name", one.Name), Words: t.coded("refused", string(one.Reason)), Detail: one.Fact}
		if _, known := t.c.words.Arguments("refusal." + string(one.Reason)); known && one.Why != nil && one.Why.Args != nil {
			f.Words, f.Detail = f.Words+" "+t.text("refusal."+string(one.Reason), one.Why.Args...), ""
		}
		v.Files = append(v.Files, f)
	}
	for _, one := range r.Unread {
		v.Files = append(v.Files, fact{Level: bad, Name: t.text("stick.file", "name", one.Name), Words: t.coded("refused", "unreadable"), Detail: one.Why})
	}
	for _, e := range r.Changes {
		v.Files = append(v.Files, fact{Level: good, Name: t.coded("kind", string(e.Kind)), Words: t.text("stick.version", "version", e.NewVersion)})
	}
	for _, one := range r.Passed {
		v.Files = append(v.Files, fact{Level: good, Name: t.text("stick.file", "name", one.Name), Words: t.coded("passed", string(one.Code))})
	}
	for _, o := range r.Orders {
		f := fact{Level: good, Name: t.text("stick.order", "name", o.Name), Words: t.coded("left", o.Outcome), Detail: o.Words}
		if o.Code != "" {
			f.Words = t.coded("happened", o.Code) + ": " + f.Words
		}
		if !o.Executed() {
			f.Level = bad
		}
		if _, known := t.c.words.Arguments("order." + o.Words); known && f.Level == bad {
			f.Words, f.Detail = f.Words+". "+t.coded("order", o.Words), ""
		}
		v.Files = append(v.Files, f)
	}
	return v
}

// force says what is installed of a kind.
func (t teller) force(f provision.Force, zone *time.Location) forceView {
	v := forceView{Kind: t.coded("kind", string(f.Kind)), Version: t.text("stick.nothing"), Detail: f.Trouble}
	if f.Version == 0 {
		return v
	}
	v.Version, v.Hash = t.text("stick.version", "version", f.Version), f.SHA256.String()
	if !f.NotAfter.IsZero() {
		v.Valid = t.text("stick.window", "from", f.NotBefore.In(zone), "to", f.NotAfter.In(zone))
	}
	var by []string
	for _, s := range f.Signers {
		words := t.coded("signer", string(s.Role))
		if s.Role != p.Root { // there is one, and its name is English
			words += " " + s.Name
		}
		by = append(by, words)
	}
	v.Signed = strings.Join(by, ", ")
	return v
}
