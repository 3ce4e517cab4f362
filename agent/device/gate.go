package device

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"ciglio/agent/trust"
	"ciglio/sensor"
)

// A gatekeeper says whether the device may measure, by [trust.Check], and remembers
// when it was last found closed. Housekeeping looks at it all the while, for
// everybody who tells of it. A violation asks it at two moments: when it is
// judged, and in the transaction that seals it, with the clock that the record
// itself states. It is safe for concurrent use.
type gatekeeper struct {
	clock      sensor.Clock
	serial     func() string           // of the sensor
	still      trust.Facts             // what does not change while the device runs
	rules      func(time.Time) error   // why no rule of the law is known at a time
	selfTest   func() []sensor.Finding // what stands now
	tested     func() sensor.Mono      // instant at which the last self-test ended
	room       func() bool             // for a violation
	seals      func() []string         // that are open
	sealFaults func() []sensor.Finding // what keeps them from being watched
	service    func(sensor.Mono) bool  // a technician works at the device at an instant
	paused     func(time.Time) string  // by whom enforcement is paused at a time; "" when it is not
	changed    func()                  // called when other causes are found than before
	log        *slog.Logger

	mu     sync.Mutex
	causes []trust.Cause // that were found last
	codes  string        // of all that was found; "" before the first look
	last   sensor.Mono   // instant at which it was last found closed; 0 when it was not
}

// gateOpen says that nothing keeps the device from measuring.
const gateOpen = "gate open: the device measures"

// A moment is what the clock said when the gate was asked.
type moment struct {
	mono  sensor.Mono
	utc   time.Time
	clock sensor.ClockState
	err   error // the time source gave no answer
	room  bool  // for a violation
}

// now reads the clock and looks for room.
func (g *gatekeeper) now() moment {
	var m moment
	m.clock, m.err = g.clock.State()
	m.mono, m.utc = g.clock.Pair()
	m.room = g.room()
	return m
}

// check returns every cause for which the device may not measure now, and for
// which it may not have measured at an earlier instant, with the codes of all that
// was found now.
func (g *gatekeeper) check(m moment, earlier sensor.Mono) (now, then []trust.Cause, codes string) {
	facts := g.facts(m)
	now = trust.Check(facts)
	codes = "gate"
	for _, c := range now {
		codes += " " + c.Code
	}
	for _, f := range slices.Concat(facts.SelfTest, facts.SealFaults) {
		codes += " " + f.Code
	}
	facts.At, facts.Service = m.utc.Add(earlier.Sub(m.mono)), g.service(earlier)
	facts.Rules = g.rules(facts.At)
	return now, trust.Check(facts), codes
}

// facts gathers what is known at a moment.
func (g *gatekeeper) facts(m moment) trust.Facts {
	f := g.still
	f.At, f.Clock, f.ClockError, f.Room = m.utc, m.clock, m.err, m.room
	f.SensorSerial = g.serial()
	f.Rules = g.rules(m.utc)
	f.SelfTest = g.selfTest()
	f.Service, f.Paused = g.service(m.mono), g.paused(m.utc)
	f.OpenSeals, f.SealFaults = g.seals(), g.sealFaults()
	f.SelfTestAge = m.mono.Sub(g.tested())
	return f
}

// look asks the gate and tells what it found.
func (g *gatekeeper) look() []trust.Cause {
	m := g.now()
	causes, _, codes := g.check(m, m.mono)
	g.tell(m.mono, causes, codes)
	return causes
}

// passes reports whether what passed since the instant first may be recorded at
// the moment m: the gate is open, it was open then as far as the calendar tells,
// and nothing that closed it since is forgotten because it is over.
func (g *gatekeeper) passes(m moment, first sensor.Mono) bool {
	now, then, codes := g.check(m, first)
	if len(now) > 0 {
		g.tell(m.mono, now, codes)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(now) == 0 && len(then) == 0 && (g.last == 0 || g.last < first)
}

// tell keeps the causes that were found, and logs them once for as long as they are
// their codes, and those of the findings, are the same.
func (g *gatekeeper) tell(at sensor.Mono, causes []trust.Cause, codes string) {
	g.mu.Lock()
	changed := codes != g.codes
	g.causes, g.codes = causes, codes
	if len(causes) > 0 {
		g.last = at
	}
	g.mu.Unlock()
	switch {
	case !changed:
		return
	case len(causes) == 0:
		g.log.Info(gateOpen)
	default:
		g.log.Warn("gate closed: the device does not measure", "causes", causeWords(causes))
	}
	g.changed()
}

func causeWords(causes []trust.Cause) string {
	words := make([]string, len(causes))
	for i, c := range causes {
		words[i] = c.Code + " (" + c.Words + ")"
	}
	return strings.Join(words, "; ")
}

// found returns the causes that were found last.
func (g *gatekeeper) found() []trust.Cause {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.codes == "" {
		return []trust.Cause{{Code: trust.SelfTest, Words: "self-test: " + pending.Words()}}
	}
	return g.causes
}

// state says in words what was found last.
func (g *gatekeeper) state() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.codes == "":
		return "starting: self-test not done yet"
	case len(g.causes) == 0:
		return gateOpen
	}
	return "gate closed: " + causeWords(g.causes)
}
