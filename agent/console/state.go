package console

import (
	"net/http"
	"strings"
	"time"

	"ciglio/agent/device"
	"ciglio/agent/trust"
	"ciglio/internal/catalogue"
	"ciglio/sensor"
	"ciglio/uplink/wire"
)

// How soon the page warns.
const (
	warnCalibration = 30 * 24 * time.Hour // before it ends: a laboratory needs its time
	warnUnsent      = 24 * time.Hour      // the oldest record that waits
	warnClockShare  = 2                   // of the bound: one part in so many
)

// A level says how a fact stands. It is the name of a style as well.
type level string

const (
	good level = "good"
	warn level = "warn"
	bad  level = "bad"
)

// A fact is one line of the state: how it stands, and what to do where that is not
// well.
type fact struct {
	Level  level
	Mark   string // the level in a word
	Name   string
	Words  string
	Do     string // "" when there is nothing to do
	Detail string // the device's own words, in English; "" for none

	Findings []fact // what the self-test has found, where this is about it
}

type stateView struct {
	View
	Headline  fact
	Device    string
	Site      string
	Test      string // why all that is recorded is a test; "" when it is not
	At        string
	Causes    []fact
	Facts     []fact
	InService bool
}

func (c *Console) state(w http.ResponseWriter, r *http.Request, who Caller) error {
	s := c.o.Device.Status()
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, s)
	}
	v := c.view(r, who)
	v.Script = true
	return c.show(w, http.StatusOK, "state", c.stateOf(v, s))
}

// calibration tells under which the device measures.
func (c *Console) calibration(w http.ResponseWriter, _ *http.Request, _ Caller) error {
	return writeJSON(w, http.StatusOK, c.o.Device.Status().Calibration)
}

// stateOf puts what a device tells into the reader's words.
func (c *Console) stateOf(v View, s device.Status) stateView {
	t := teller{c, v.words}
	page := stateView{View: v, Device: s.Device, At: t.text("state.at", "at", s.At), Test: s.Test,
		Site: t.text("state.site", "site", s.Site.ID, "road", s.Site.Road, "limit", number(int64(s.Site.Limit)/100, 0))}
	if s.Site.ID == "" {
		page.Site = t.text("state.no_site")
	}
	if s.Health.Measuring {
		page.Headline = t.fact(good, "state.name", t.text("state.open"), "")
	} else {
		page.Headline = t.fact(bad, "state.name", t.text("state.closed", "n", len(s.Health.Reasons)), "")
	}
	for _, cause := range s.Health.Reasons {
		page.Causes = append(page.Causes, t.cause(cause, s))
		page.InService = page.InService || cause.Code == device.CauseService
	}
	page.Facts = []fact{
		t.calibration(s), t.clock(s), t.selfTest(s), t.unsent(s), t.room(s), t.uplink(s),
		t.fact(good, "fact.counts", t.text("fact.counted", "passages", s.Health.Counts.Passages, "violations", s.Health.Counts.Violations), ""),
	}
	return page
}

// A teller puts facts into words of one language.
type teller struct {
	c     *Console
	words catalogue.Words
}

func (t teller) text(key string, pairs ...any) string { return t.c.text(t.words, key, pairs...) }

// fact makes a line; do is the key of what to do, "" for nothing.
func (t teller) fact(l level, name, words, do string) fact {
	f := fact{Level: l, Mark: t.text("level." + string(l)), Name: t.text(name), Words: words}
	if do != "" {
		f.Do = t.text(do)
	}
	return f
}

// findings puts what was found into the reader's words; what a part or a program said of
// itself stands below, as it said it.
func (t teller) findings(all []sensor.Finding) (facts []fact) {
	for _, found := range all {
		var words, told []string
		for _, f := range found.Facts {
			if f.Key == "" {
				told = append(told, f.String())
			} else {
				words = append(words, t.text("found."+f.Key, t.arguments(f.Args)...))
			}
		}
		facts = append(facts, fact{Level: bad, Name: t.coded("finding", found.Code), Words: strings.Join(words, " "), Detail: strings.Join(told, ", ")})
	}
	return facts
}

// arguments are those of a fact as the catalogue takes them, in pairs.
func (t teller) arguments(args sensor.Args) (pairs []any) {
	for name, value := range args {
		switch v := value.(type) {
		case sensor.Term:
			key := "term." + string(v)
			value = string(v)
			if _, known := t.c.words.Arguments(key); known {
				value = t.text(key)
			}
		case sensor.Direction:
			value = t.text(directionKey(v))
		case sensor.Speed:
			value = catalogue.Quantity{Number: number(int64(v), 2), Sign: " km/h"}
		case sensor.Figure:
			value = catalogue.Quantity{Number: number(v.Value, v.Decimals), Plus: v.Plus, Sign: v.Unit.Sign()}
		}
		pairs = append(pairs, name, value)
	}
	return pairs
}

// coded is the text of a code that the device gives, such as a finding's; that of
// "other" where this program has no words for it. Which codes there are is held against
// the sources by a test.
func (t teller) coded(section, code string) string {
	key := section + "." + code
	if _, known := t.c.words.Arguments(key); !known {
		key = section + ".other"
	}
	return t.text(key)
}

func number(value int64, decimals int) catalogue.Number {
	return catalogue.Number{Value: value, Decimals: decimals}
}

// cause puts a cause of the gate into the reader's words: what the self-test has found
// of a part, or how calibration or clock stand. Where the page has no such words, the
// device's own stand below. One that the catalogue does not know has the latter alone.
func (t teller) cause(cause wire.Reason, s device.Status) fact {
	key := "cause." + cause.Code
	if _, known := t.c.words.Arguments(key); !known {
		key = "cause.other"
	}
	f := t.fact(bad, key, "", "do"+key[len("cause"):])
	for _, found := range s.Findings {
		if trust.Part(found.Code) == cause.Code {
			f.Findings = append(f.Findings, t.findings([]sensor.Finding{found})...)
		}
	}
	switch cause.Code {
	case trust.CalibrationExpired, trust.CalibrationEarly:
		if now := t.calibration(s); now.Level == bad { // it may have changed since the gate looked
			f.Words = s.Calibration.ID + ": " + now.Words
		}
	case trust.ClockBound, trust.ClockUnsynchronised:
		if now := t.clock(s); now.Level == bad {
			f.Words = now.Words
		}
	case trust.SealFault:
		f.Findings = t.findings(s.SealFaults)
	case trust.Service: // its name says all
		return f
	}
	if f.Words == "" && f.Findings == nil {
		f.Detail = cause.Words
	}
	return f
}

func (t teller) calibration(s device.Status) fact {
	const day = 24 * time.Hour
	switch left := s.Calibration.NotAfter.Sub(s.At); {
	case s.At.Before(s.Calibration.NotBefore):
		return t.fact(bad, "fact.calibration", t.text("fact.calibration_early", "from", s.Calibration.NotBefore), "do.calibration_early")
	case left < 0:
		return t.fact(bad, "fact.calibration", t.text("fact.calibration_ended", "on", s.Calibration.NotAfter), "do.calibration_expired")
	case left < day:
		return t.fact(warn, "fact.calibration", t.text("fact.calibration_today", "left", left.Truncate(time.Minute)), "do.calibration_soon")
	case left < warnCalibration:
		return t.fact(warn, "fact.calibration", t.text("fact.calibration_ends", "days", int(left/day)), "do.calibration_soon")
	default:
		return t.fact(good, "fact.calibration", t.text("fact.calibration_ends", "days", int(left/day)), "")
	}
}

func (t teller) clock(s device.Status) fact {
	clock := s.Health.Clock
	words := t.text("fact.clock_off", "off", s.ClockOff, "bound", s.ClockBound, "source", clock.Source)
	switch {
	case clock.Source == "" || !clock.Synchronised && clock.LockAgeS == 0:
		return t.fact(bad, "fact.clock", t.text("fact.clock_never"), "do.clock_unsynchronised")
	case s.ClockOff > s.ClockBound:
		return t.fact(bad, "fact.clock", words, "do.clock_bound")
	case s.ClockOff > s.ClockBound/warnClockShare:
		return t.fact(warn, "fact.clock", words, "do.clock_bound")
	}
	return t.fact(good, "fact.clock", words, "")
}

func (t teller) selfTest(s device.Status) fact {
	if n := len(s.Findings); n > 0 {
		f := t.fact(bad, "fact.self_test", t.text("fact.self_test_failed", "n", n), "do.self_test")
		f.Findings = t.findings(s.Findings)
		return f
	}
	for _, cause := range s.Health.Reasons {
		if cause.Code == "self_test" {
			return t.fact(warn, "fact.self_test", t.text("fact.self_test_pending"), "")
		}
	}
	return t.fact(good, "fact.self_test", t.text("fact.self_test_passed"), "")
}

func (t teller) unsent(s device.Status) fact {
	o := s.Health.Outbox
	if o.Unsettled == 0 || o.Oldest == nil {
		return t.fact(good, "fact.unsent", t.text("fact.unsent_none"), "")
	}
	age := max(s.At.Sub(*o.Oldest), 0)
	words := t.text("fact.unsent_oldest", "n", o.Unsettled, "age", age.Truncate(time.Second))
	if days := int(age / (24 * time.Hour)); days >= 2 {
		words = t.text("fact.unsent_days", "n", o.Unsettled, "age", t.text("age.days", "days", days))
	}
	if age > warnUnsent {
		return t.fact(warn, "fact.unsent", words, "do.unsent")
	}
	return t.fact(good, "fact.unsent", words, "")
}

func (t teller) room(s device.Status) fact {
	o := s.Health.Outbox
	const most = 10 // per cent that must be left
	words := t.text("fact.room_left", "mb", number(int64(o.RoomBytes/1e6), 0))
	switch {
	case o.RoomBytes == 0:
		return t.fact(bad, "fact.room", words, "do.store_full")
	case o.RoomBytes < (o.Bytes+o.RoomBytes)/most:
		return t.fact(warn, "fact.room", words, "do.store_full")
	}
	return t.fact(good, "fact.room", words, "")
}

func (t teller) uplink(s device.Status) fact {
	since := max(s.At.Sub(s.Uplink.Since), 0).Truncate(time.Second)
	switch {
	case s.Uplink.Since.IsZero():
		return t.fact(warn, "fact.uplink", t.text("fact.uplink_not_yet"), "")
	case s.Uplink.Connected:
		return t.fact(good, "fact.uplink", t.text("fact.uplink_connected", "since", since), "")
	}
	f := t.fact(warn, "fact.uplink", t.text("fact.uplink_away", "since", since), "do.uplink")
	f.Detail = s.Uplink.Trouble
	return f
}
