package life

import (
	"math"
	"sync"
	"time"

	"ciglio/sensor"
)

// The codes of what [Contacts] find.
const (
	CodeClosed = "contact_closed" // a contact has been closed for too long
	CodeSilent = "contact_silent" // it has not moved for too long, for the traffic that the radar saw
	CodeDeaf   = "sensor_deaf"    // the radar has seen nothing for too long, for the traffic that crossed the contacts
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

// Contacts watches the contacts of a site and its radar, each by the other. A contact that stays
// closed is stuck, or something stands on it. One that has not moved while the
// radar saw n vehicles go its way is dead: n is 50 for each lane with contacts while
// it has never moved, ten times that after its first movements, and once it has
// moved with 40 vehicles, of which it saw the share s, 20.7/s but at least 50 a
// lane: one in order is silent for so long once in 10⁹ times. The same share, of the
// vehicles that cross the contacts in order, says after how many of them a radar is
// deaf that saw none: 500 while it is not known. It is safe for concurrent use.
type Contacts struct {
	closed time.Duration // that is too long
	few    int           // vehicles

	mu    sync.Mutex
	lines [][]contact // of each lane
	radar share       // what it saw of those that crossed
}

type contact struct {
	share
	name   string
	closed sensor.Mono // instant since which it is closed; 0 while it is open, or not known
}

// A share is what a witness has told of the vehicles that another one saw.
type share struct {
	moved   bool // it has, since the last vehicle
	silent  int  // vehicles since it did
	waited  int  // vehicles before, since one that it moved with
	crossed int  // vehicles with which it moved
	of      int  // vehicles up to its last movement
}

// tells says that the witness moved.
func (s *share) tells() { s.moved, s.waited, s.silent = true, s.waited+s.silent, 0 }

// vehicle says that the other one saw a vehicle.
func (s *share) vehicle() {
	s.silent++
	if s.moved {
		s.crossed++
		s.of += s.waited + s.silent
		s.moved, s.silent, s.waited = false, 0, 0
	}
}

// patience is for how many vehicles the witness may be silent; few while nothing is
// known of it.
func (s *share) patience(few int) int {
	switch {
	case s.crossed == 0:
		return few
	case s.crossed < knownFrom:
		return unsure * few
	}
	return max(few, int(math.Ceil(surely*float64(s.of)/float64(s.crossed))))
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
	l.tells()
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
	c.radar.tells()
	for _, lane := range c.lines {
		for i := range lane {
			lane[i].vehicle()
		}
	}
}

// Crossed says that one crossed the contacts in order, the way that the radar measures
// and no slower than it does.
func (c *Contacts) Crossed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.radar.vehicle()
}

// Findings says which contacts are closed or silent for too long, and whether the radar
// is deaf.
func (c *Contacts) Findings(now sensor.Mono) (all []sensor.Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var closed, silent []sensor.Fact
	for n, lane := range c.lines {
		for i, l := range lane {
			if since := now.Sub(l.closed); l.closed != 0 && since > c.closed {
				closed = append(closed, sensor.Fact{Key: "contact_closed", Words: "contact {contact} of lane {lane} ({line}) has been closed for {since}",
					Args: sensor.Args{"contact": i + 1, "lane": n + 1, "line": l.name, "since": since.Truncate(time.Minute)}})
			}
			if l.closed == 0 && l.silent >= l.patience(c.few) {
				silent = append(silent, sensor.Fact{Key: "contact_silent", Words: "contact {contact} of lane {lane} ({line}) has not moved for {vehicles} vehicles that the radar saw",
					Args: sensor.Args{"contact": i + 1, "lane": n + 1, "line": l.name, "vehicles": l.silent}})
			}
		}
	}
	if len(closed) > 0 {
		all = append(all, sensor.Finding{Code: CodeClosed, Facts: closed})
	}
	if len(silent) > 0 {
		all = append(all, sensor.Finding{Code: CodeSilent, Facts: silent})
	}
	patience := unsure * fewVehicles // while it may be that most passages are in company
	if c.radar.crossed >= knownFrom {
		patience = c.radar.patience(fewVehicles)
	}
	if c.radar.silent >= patience {
		all = append(all, sensor.Finding{Code: CodeDeaf, Facts: []sensor.Fact{{Key: "sensor_deaf", Words: "{vehicles} vehicles crossed the contacts since the radar last saw one",
			Args: sensor.Args{"vehicles": c.radar.silent}}}})
	}
	return all
}
