package console

import (
	"net/http"
	"strings"

	"ciglio/agent/provision"
	p "ciglio/internal/provisioning"
)

// This file is what a device shows that has not begun: it lacks what a stick brings. There
// is no device behind the page, no one to be and nothing to do, and so it is for anyone:
// it says what is missing, and how it goes with a stick. It names neither the device nor
// anything that is on it or on a stick.

// waitingRoutes are all that may be asked of such a device.
func (c *Console) waitingRoutes() []route {
	return []route{
		{"GET /{$}", anyone, c.waiting, true},
		{"POST /language", anyone, c.language, false},
		{"GET /assets/{name}", anyone, c.asset, true},
	}
}

type waitingView struct {
	View
	Lacks []fact
	Now   fact
	Last  *fact // what came of the last stick; nil where there was none
}

// waitingState is what a program gets.
type waitingState struct {
	Lacks []p.Kind        `json:"lacks"`
	Phase provision.Phase `json:"phase"`
}

// waiting is the page.
func (c *Console) waiting(w http.ResponseWriter, r *http.Request, _ Caller) error {
	lacks := c.o.Lacks()
	var s stickState
	if c.o.Sticks != nil {
		s.Now, s.Taken = c.o.Sticks.Now()
	}
	if wantsJSON(r) {
		return writeJSON(w, http.StatusServiceUnavailable, waitingState{lacks, s.Now.Phase})
	}
	v := c.view(r, Caller{})
	v.Script = true
	t := teller{c, v.words}
	page := waitingView{View: v, Now: t.station(s, c.o.Now())}
	page.Now.Detail = "" // it may name what is on the device
	for _, kind := range lacks {
		page.Lacks = append(page.Lacks, fact{Level: bad, Name: t.coded("kind", string(kind)), Words: t.coded("lacks", string(kind))})
	}
	if last := s.Now.Last; last != nil {
		page.Last = &fact{Level: bad, Name: t.coded("brought", strings.ReplaceAll(last.Outcome, " ", "_"))}
		if last.Good() {
			page.Last.Level = good
		}
		if last.Reason != "" {
			page.Last.Words = t.coded("refused", string(last.Reason))
		}
	}
	return c.show(w, http.StatusOK, "waiting", page)
}

// toWaiting leads to the page from every other, whose address somebody may have kept.
func (c *Console) toWaiting(w http.ResponseWriter, r *http.Request, _ Caller) error {
	if r.Method != http.MethodGet {
		return errAbsent
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
