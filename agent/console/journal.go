package console

import (
	"net/http"

	"ciglio/agent/device"
)

// mostEntries is how many a page shows.
const mostEntries = 100

type journalView struct {
	View
	Entries []entryView
}

type entryView struct {
	device.JournalEntry
	When, By string
}

func (c *Console) journal(w http.ResponseWriter, r *http.Request, who Caller) error {
	all, err := c.o.Device.Journal(mostEntries)
	if err != nil {
		return err
	}
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, all)
	}
	v := c.view(r, who)
	t := teller{c, v.words}
	page := journalView{View: v}
	for _, e := range all {
		by := e.Who
		if by == "" {
			by = t.text("journal.itself")
		}
		page.Entries = append(page.Entries, entryView{e, t.text("journal.at", "at", e.At), by})
	}
	return c.show(w, http.StatusOK, "journal", page)
}
