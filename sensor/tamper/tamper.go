// Package tamper watches what a cabinet's seals and gauges say: switches at the
// door or in the mounting (tilt), and sensors of supply and temperature.
//
// What it keeps true: a switch that shows open for 50 ms is told within a tenth of a
// second more, and one that is open at the start is told at once; shorter ones are
// bounces of the contact. A gauge outside of its range for three readings in turn,
// which is three seconds, is told once, and again when it has come back by a
// hundredth of the range's width. However a switch or gauge flaps, no more than
// [Burst] changes at once, and one in [Refill] after that, are worth a record; the
// others are told as quiet ones, and counted in the next that is not.
//
// A line or sensor that could not be opened, or gives no reading for five seconds, is
// a finding for as long as that lasts. A line is tried again after a second, then after
// twice as long each time, up to half a minute; when it comes, what it shows counts as
// at the start. Whether an opened seal stays open is not known
// here: that is for the device to remember.
package tamper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"ciglio/sensor"
)

// The codes of findings.
const (
	CodeLine  = "seal_line" // a switch or gauge is not there, or gives no reading
	CodeRange = "cabinet"   // a gauge is outside of its range
)

const (
	settle = 50 * time.Millisecond // a switch shows the same for so long, or it bounces
	turn   = 20 * time.Millisecond // in which a switch is looked at again without an edge
	sample = time.Second           // from one reading of a gauge to the next
	inTurn = 3                     // readings outside that count
	silent = 5 * time.Second       // without a reading that are a finding

	firstTry = time.Second      // before a line that could not be opened is tried again
	lastTry  = 30 * time.Second // at most, between two tries

	// Burst is how many changes of a switch or gauge are worth a record at once.
	Burst = 8
	// Refill is after how long one more is.
	Refill = 10 * time.Minute
)

// A Pin is an input line that is open.
type Pin = gpio.PinIn

// A Switch is an input line that shows whether a seal is open.
type Switch struct {
	Name string // of the seal: "door"
	High bool   // it shows high while the seal is open, and low while it is closed; false: the other way
	// Open returns its pin, set to watch both edges. One goroutine at a time calls it.
	Open func() (Pin, error)
}

// A Gauge is a measured quantity with its range.
type Gauge struct {
	Name string // "supply", "temperature"
	// Read returns the quantity in its base unit. It may take a tenth of a second.
	Read      func() (int64, error)
	Low, High int64       // ends of the range
	Unit      sensor.Unit // the base unit is a thousandth of it
}

// An Event is a change of a switch or gauge.
type Event struct {
	What   string // name of the switch or gauge
	Switch bool   // it is a switch, and so a seal
	Open   bool   // the seal is open, or the gauge outside of its range
	At     sensor.Mono
	Quiet  bool   // it is one of too many: not worth a record
	Words  string // "open", "closed", "9800mV, below 11V", and how many quiet ones came before
}

// A Watch watches switches and gauges. Run may be called once; the other methods at
// any time by any goroutine.
type Watch struct {
	clock    sensor.Clock
	switches []Switch
	gauges   []Gauge

	mu     sync.Mutex
	states map[string]*state
	pins   map[string]Pin // of the switches that are open, by name
}

// state is what is known of a switch or gauge.
type state struct {
	broken  string       // why there is no reading; "" while there is one
	heard   sensor.Mono  // instant of the last reading
	outside *sensor.Fact // of a gauge: what it reads outside of its range
	tokens  int
	refill  sensor.Mono // instant from which the next token counts
	untold  int
}

// New returns a watch and opens its lines. It starts nothing.
func New(clock sensor.Clock, switches []Switch, gauges []Gauge) *Watch {
	w := &Watch{clock: clock, switches: switches, gauges: gauges, states: map[string]*state{}, pins: map[string]Pin{}}
	now := clock.Now()
	for _, s := range switches {
		w.states[s.Name] = &state{heard: now, tokens: Burst, refill: now}
		w.open(s)
	}
	for _, g := range gauges {
		w.states[g.Name] = &state{heard: now, tokens: Burst, refill: now}
	}
	return w
}

// open opens a switch, and returns nil when that fails, which is a finding.
func (w *Watch) open(s Switch) Pin {
	pin, err := s.Open()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.states[s.Name].broken = err.Error()
		return nil
	}
	w.pins[s.Name] = pin
	return pin
}

// Names returns the names of the switches.
func (w *Watch) Names() []string {
	var names []string
	for _, s := range w.switches {
		names = append(names, s.Name)
	}
	return names
}

// Close gives the lines back. It must not be called while Run does.
func (w *Watch) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all error
	for _, pin := range w.pins {
		all = errors.Join(all, pin.Halt())
	}
	return all
}

// Findings returns which switches and gauges cannot be watched, and which gauges are
// outside of their range.
func (w *Watch) Findings(now sensor.Mono) (all []sensor.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var broken, outside []sensor.Fact
	look := func(name string, gauge bool) {
		part := sensor.Term(name)
		s := w.states[name]
		switch {
		case s.broken != "":
			broken = append(broken, sensor.Told(name+": "+s.broken)...)
		case now.Sub(s.heard) > silent:
			broken = append(broken, sensor.Fact{Key: "seal_line_silent", Words: "{part}: no reading for {since}",
				Args: sensor.Args{"part": part, "since": now.Sub(s.heard).Truncate(time.Second)}})
		case gauge && s.outside != nil:
			outside = append(outside, *s.outside)
		}
	}
	for _, s := range w.switches {
		look(s.Name, false)
	}
	for _, g := range w.gauges {
		look(g.Name, true)
	}
	if len(broken) > 0 {
		all = append(all, sensor.Finding{Code: CodeLine, Facts: broken})
	}
	if len(outside) > 0 {
		all = append(all, sensor.Finding{Code: CodeRange, Facts: outside})
	}
	return all
}

// Run watches until ctx ends and returns ctx.Err(). tell is called for each event by
// several goroutines, and may take a while: of a switch that changes meanwhile the
// last state is told.
func (w *Watch) Run(ctx context.Context, tell func(Event)) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, s := range w.switches {
		all.Go(func() {
			if pin := w.await(ctx, s); pin != nil {
				w.follow(ctx, s, pin, tell)
			}
		})
	}
	for _, g := range w.gauges {
		all.Go(func() { w.measure(ctx, g, tell) })
	}
	<-ctx.Done()
	return ctx.Err()
}

// await returns the pin of a switch, which it opens if that has failed before; nil when
// ctx ends.
func (w *Watch) await(ctx context.Context, s Switch) Pin {
	w.mu.Lock()
	pin := w.pins[s.Name]
	w.mu.Unlock()
	for wait := firstTry; pin == nil; wait = min(2*wait, lastTry) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		pin = w.open(s)
	}
	return pin
}

// follow watches a switch. It is closed until it has shown otherwise.
func (w *Watch) follow(ctx context.Context, s Switch, pin Pin, tell func(Event)) {
	var told, shown bool // open
	since := w.clock.Now()
	for first := true; ctx.Err() == nil; first = false {
		open := pin.Read() == gpio.Level(s.High)
		now := w.clock.Now()
		w.reading(s.Name, nil, nil)
		if open != shown {
			shown, since = open, now
		}
		if shown != told && (first || now.Sub(since) >= settle) {
			told = shown
			words := "closed"
			switch {
			case told && first:
				words = "open at the start"
			case told:
				words = "open"
			}
			w.event(Event{What: s.Name, Switch: true, Open: told, At: since, Words: words}, tell)
		}
		// An edge only wakes: the level counts. The wait is short, since drivers differ on
		// how they end.
		if !pin.WaitForEdge(turn) {
			continue
		}
		select { // a line that chatters must not take the processor
		case <-ctx.Done():
		case <-time.After(turn / 10):
		}
	}
}

// measure watches a gauge.
func (w *Watch) measure(ctx context.Context, g Gauge, tell func(Event)) {
	var outside bool  // as it was told
	var otherwise int // readings in turn that say so
	for ctx.Err() == nil {
		value, err := g.Read()
		var found *sensor.Fact
		if err == nil {
			if otherwise++; g.outside(value, outside) == outside {
				otherwise = 0
			}
			if otherwise >= inTurn {
				outside, otherwise = !outside, 0
				w.event(Event{What: g.Name, Open: outside, At: w.clock.Now(), Words: g.words(value)}, tell)
			}
			if outside {
				found = g.fact(value)
			}
		}
		w.reading(g.Name, found, err)
		select {
		case <-ctx.Done():
		case <-time.After(sample):
		}
	}
}

// outside reports whether a value lies outside of the range. One that was outside
// must come back by a hundredth of its width.
func (g Gauge) outside(value int64, was bool) bool {
	margin := int64(0)
	if was {
		margin = (g.High - g.Low) / 100
	}
	return value < g.Low+margin || value > g.High-margin
}

// words says how a value lies to the range.
func (g Gauge) words(value int64) string {
	return strings.TrimPrefix(g.fact(value).String(), g.Name+" ")
}

// fact says how a value lies to the range, and of which gauge.
func (g Gauge) fact(value int64) *sensor.Fact {
	gauge, now := sensor.Term(g.Name), g.Unit.Thousandths(value)
	switch {
	case value < g.Low:
		return &sensor.Fact{Key: "cabinet_below", Words: "{gauge} {now}, below {least}",
			Args: sensor.Args{"gauge": gauge, "now": now, "least": g.Unit.Thousandths(g.Low)}}
	case value > g.High:
		return &sensor.Fact{Key: "cabinet_above", Words: "{gauge} {now}, above {most}",
			Args: sensor.Args{"gauge": gauge, "now": now, "most": g.Unit.Thousandths(g.High)}}
	default:
		return &sensor.Fact{Key: "cabinet_again", Words: "{gauge} {now}, in its range again",
			Args: sensor.Args{"gauge": gauge, "now": now}}
	}
}

// reading keeps that there was one, or none because of err.
func (w *Watch) reading(name string, outside *sensor.Fact, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[name]
	if err != nil {
		s.broken = err.Error()
		return
	}
	s.broken, s.heard, s.outside = "", w.clock.Now(), outside
}

// event tells of a change, and counts it when it is one of too many.
func (w *Watch) event(e Event, tell func(Event)) {
	w.mu.Lock()
	s := w.states[e.What]
	now := w.clock.Now()
	if s.tokens == Burst {
		s.refill = now
	}
	n := int(now.Sub(s.refill) / Refill)
	s.tokens, s.refill = min(Burst, s.tokens+n), s.refill.Add(time.Duration(n)*Refill)
	if e.Quiet = s.tokens == 0; e.Quiet {
		s.untold++
	} else {
		s.tokens--
		if s.untold > 0 {
			e.Words += fmt.Sprintf(", %d changes before it are not recorded", s.untold)
			s.untold = 0
		}
	}
	w.mu.Unlock()
	tell(e)
}
