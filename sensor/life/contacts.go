package life

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"ciglio/sensor"
)

// The codes of what [Contacts] find.
const (
	CodeClosed = "contact_closed" // a contact has been closed for too long
	CodeSilent = "contact_silent" // it has not moved for too long, for the traffic that the radar saw
)

const (
	// fewVehicles is for how many vehicles a contact may be silent before its share
	// of the traffic is known, for each lane that has contacts.
	fewVehicles = 50
	// knownFrom is from how many crossings on the share is known; until then a contact
	// that has moved may be silent for unsure times as long.
	knownFrom, unsure = 40, 10
	// surely makes the silence of a contact in order as rare as one time in 10⁹.
	surely = 20.7 // -ln 1e-9
)

// Contacts watches the contacts of a site beside its radar. A contact that stays
// closed is stuck, or something stands on it. One that has not moved while the
// radar saw n vehicles go its way is dead: n is 50 for each lane with contacts while
// it has never moved, ten times that after its first movements, and once it has
// moved with 40 vehicles, of which it saw the share s, 20.7/s but at least 50 a
// lane: one in order is silent for so long once in 10⁹ times. It is safe for
// concurrent use.
type Contacts struct {
	closed time.Duration // that is too long
	few    int           // vehicles

	mu    sync.Mutex
	lines [][]contact // of each lane
}

type contact struct {
	name    string
	closed  sensor.Mono // instant since which it is closed; 0 while it is open, or not known
	moved   bool        // since the last vehicle
	silent  int         // vehicles since it moved
	waited  int         // vehicles before, since one that it moved with
	crossed int         // vehicles with which it moved
	of      int         // vehicles up to its last movement
}

// NewContacts returns a watch of the contacts of each lane, by their names. One may
// be closed for as long as told. Both says that vehicles of both directions will be
// told, of which only one crosses the contacts.
func NewContacts(names [][]string, closed time.Duration, both bool) *Contacts {
	c := &Contacts{closed: closed, few: fewVehicles * max(1, len(names))}
	if both {
		c.few *= 2
	}
	for _, lane := range names {
		var lines []contact
		for _, name := range lane {
			lines = append(lines, contact{name: name})
		}
		c.lines = append(c.lines, lines)
	}
	return c
}

// Edge takes an edge of a contact, by its place in the names.
func (c *Contacts) Edge(lane, line int, e sensor.Edge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lines[lane][line]
	l.moved, l.waited, l.silent = true, l.waited+l.silent, 0
	switch {
	case !e.Rising:
		l.closed = 0
	case l.closed == 0:
		l.closed = e.At
	}
}

// Reset says that the lines were opened anew: what they show is not known.
func (c *Contacts) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, lane := range c.lines {
		for i := range lane {
			lane[i].closed = 0
		}
	}
}

// Vehicle says that the radar saw one go the way of the contacts.
func (c *Contacts) Vehicle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, lane := range c.lines {
		for i := range lane {
			l := &lane[i]
			l.silent++
			if l.moved {
				l.crossed++
				l.of += l.waited + l.silent
				l.moved, l.silent, l.waited = false, 0, 0
			}
		}
	}
}

// patience is how many vehicles a contact may be silent for.
func (c *Contacts) patience(l contact) int {
	switch {
	case l.crossed == 0:
		return c.few
	case l.crossed < knownFrom:
		return unsure * c.few
	}
	return max(c.few, int(math.Ceil(surely*float64(l.of)/float64(l.crossed))))
}

// Findings says which contacts are closed or silent for too long.
func (c *Contacts) Findings(now sensor.Mono) (all []sensor.Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var closed, silent []string
	for n, lane := range c.lines {
		for i, l := range lane {
			name := fmt.Sprintf("contact %d of lane %d (%s)", i+1, n+1, l.name)
			if since := now.Sub(l.closed); l.closed != 0 && since > c.closed {
				closed = append(closed, fmt.Sprintf("%s has been closed for %v", name, since.Truncate(time.Minute)))
			}
			if l.closed == 0 && l.silent >= c.patience(l) {
				silent = append(silent, fmt.Sprintf("%s has not moved for %d vehicles that the radar saw", name, l.silent))
			}
		}
	}
	if len(closed) > 0 {
		all = append(all, sensor.Finding{Code: CodeClosed, Words: strings.Join(closed, ", ")})
	}
	if len(silent) > 0 {
		all = append(all, sensor.Finding{Code: CodeSilent, Words: strings.Join(silent, ", ")})
	}
	return all
}
