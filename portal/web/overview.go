package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/intake"
	"ciglio/portal/page"
	"ciglio/portal/record"
	"ciglio/uplink/wire"
)

// silentAfter is when a device without a new heartbeat is shown as silent: they
// come every hour.
const silentAfter = 2 * time.Hour

// A told is a device as it says it is and as its records show it.
type told struct {
	*record.Device
	now     time.Time
	session time.Time // when that with the broker began
	state   *wire.State
	health  *wire.Health
	profile *wire.Profile
}

func (d *Desk) told(device *record.Device, now time.Time) told {
	t := told{Device: device, now: now, session: d.o.Session()}
	// What is stored was parsed when it came; what no longer parses is not shown.
	if s, err := wire.ParseState(device.State); err == nil {
		t.state = &s
	}
	if h, err := wire.ParseHealth(device.Health); err == nil {
		t.health = &h
	}
	if p, err := wire.ParseProfile(device.Profile); err == nil {
		t.profile = &p
	}
	return t
}

// online reports whether the device said to the present broker that it is
// connected, and nobody since that it is not.
func (t told) online() bool { return t.state != nil && t.state.Online && !t.stale() }

// stale reports whether the state is from before the session with the broker.
// The broker retains the state of each device that it holds: it would have come
// again.
func (t told) stale() bool { return t.StateAt.Before(t.session) }

// silent reports whether heartbeats have stopped coming.
func (t told) silent() bool { return !t.Heartbeat.IsZero() && t.now.Sub(t.Heartbeat) > silentAfter }

// place is where the device says it stands.
func (t told) place() string {
	if t.profile == nil {
		return ""
	}
	return evidence.Place(t.profile.Road, t.profile.PositionM)
}

// needs says why the device needs a person: what the centre found in its records, what
// it says itself, that it cannot measure, that it does not report.
func (t told) needs(v page.View) (why []phrase) {
	say := func(key string, pairs ...any) { why = append(why, phrase{Words: v.Say(key, pairs...)}) }
	if t.Equivocations > 0 {
		say("web.why.contradicting", "n", t.Equivocations)
	}
	if t.Broken > 0 {
		say("web.why.broken", "n", t.Broken)
	}
	if t.Reused > 0 {
		say("web.why.reused", "n", t.Reused)
	}
	if t.SetAside > 0 {
		say("web.why.set_aside", "n", t.SetAside)
	}
	if t.Backdated > 0 {
		say("web.why.backdated", "n", t.Backdated)
	}
	if t.Misdated > 0 {
		say("web.why.misdated", "n", t.Misdated)
	}
	if t.health != nil {
		for _, a := range t.health.Alarms {
			why = append(why, reason(v, a).under(v.Say("web.why.reports")))
		}
	}
	switch {
	case t.state != nil && !t.online():
		say("web.why.unreached")
	case t.silent():
		say("web.why.silent")
	}
	if t.health != nil && t.online() && !t.health.Measuring {
		say("web.why.no_measuring")
		for _, r := range t.health.Reasons {
			why = append(why, reason(v, r).under(v.Say("web.why.because")))
		}
	}
	return why
}

// A phrase is a text, its language where that is not the page's, and what the page says
// before it.
type phrase struct{ Words, Lang, Before, Class string }

// reason is what a device says: in the page's language by its code, where that is known,
// and with its own words, which are English and name things.
func reason(v page.View, r wire.Reason) phrase {
	own := phrase{Words: r.Words, Lang: foreign(v)}
	if key := "web.cause." + r.Code; own.Lang != "" && v.Knows(key) {
		own.Before = v.Say(key) + ":"
	}
	return own
}

// under puts what a page says before a phrase.
func (p phrase) under(words string) phrase {
	p.Before = strings.TrimSpace(words + " " + p.Before)
	return p
}

// A mark is a short state with its class.
type mark struct{ Class, Words string }

// A when is an instant for people and programs.
type when struct{ ISO, Words string }

func at(v page.View, t time.Time) when { return when{v.ISO(t), v.Short(t)} }

// A deviceRow is a device as the overview shows it.
type deviceRow struct {
	ID, Short, Place string
	Alarm            bool
	Link, Measuring  mark
	Why              []phrase
	Heartbeat        when
	Ago              string
	Silent           bool
	Chain            []mark
	Waiting          []mark
}

func (t told) row(v page.View) deviceRow {
	r := deviceRow{ID: t.ID.String(), Short: t.ID.String()[:8], Place: t.place(), Silent: t.silent(), Chain: t.chain(v)}
	r.Link, r.Measuring = t.link(v), t.measuring(v)
	if t.health != nil && t.online() {
		for _, one := range t.health.Reasons {
			r.Why = append(r.Why, reason(v, one))
		}
	}
	r.Alarm = len(t.needs(v)) > 0
	if !t.Heartbeat.IsZero() {
		r.Heartbeat, r.Ago = at(v, t.Heartbeat), ago(v, t.now.Sub(t.Heartbeat))
	}
	if t.health == nil {
		r.Waiting = []mark{{"none", v.Say("web.device.untold")}}
	} else {
		o := t.health.Outbox
		if o.Unsettled > 0 || o.Unaccounted == 0 && !o.AtLeast {
			r.Waiting = append(r.Waiting, mark{"", v.Say("web.device.waiting", "n", o.Unsettled)})
		}
		if o.Unaccounted > 0 || o.AtLeast {
			r.Waiting = append(r.Waiting, mark{"bad", unaccounted(v, o)})
		}
	}
	if t.Incomplete > 0 {
		r.Waiting = append(r.Waiting, mark{"", v.Say("web.device.incomplete", "n", t.Incomplete)})
	}
	return r
}

// unaccounted says how many numbers are neither in a device's store nor settled.
func unaccounted(v page.View, o wire.HealthOutbox) string {
	if o.AtLeast {
		return v.Say("web.device.unaccounted_least", "n", o.Unaccounted)
	}
	return v.Say("web.device.unaccounted", "n", o.Unaccounted)
}

func (t told) link(v page.View) mark {
	switch {
	case t.state == nil:
		return mark{"none", v.Say("web.device.untold")}
	case t.online():
		return mark{"state good", v.Say("web.device.connected")}
	}
	return mark{"state bad", v.Say("web.device.disconnected")}
}

func (t told) measuring(v page.View) mark {
	switch {
	case t.health == nil:
		return mark{"none", v.Say("web.device.untold")}
	case !t.online() && t.health.Measuring:
		return mark{"none", v.Say("web.device.measured_last")}
	case !t.online():
		return mark{"none", v.Say("web.device.not_measured_last")}
	case t.health.Measuring:
		return mark{"state good", v.Say("web.device.yes")}
	}
	return mark{"state bad", v.Say("web.device.no")}
}

func (t told) chain(v page.View) (all []mark) {
	for _, one := range []struct {
		n          uint64
		class, key string
	}{
		{t.Equivocations, "state bad", "web.chain.contradicting"}, {t.Broken, "state bad", "web.chain.broken"},
		{t.Backdated, "state bad", "web.chain.backdated"}, {t.SetAside, "state bad", "web.chain.set_aside"},
	} {
		if one.n > 0 {
			all = append(all, mark{one.class, v.Say(one.key, "n", one.n)})
		}
	}
	if t.Reused > 0 || t.Misdated > 0 {
		all = append(all, mark{"state bad", v.Say("web.chain.refused")})
	}
	if t.HeldBack > 0 {
		all = append(all, mark{"state warn", v.Say("web.chain.held_back")})
	}
	switch {
	case t.Missing > 0:
		all = append(all, mark{"state warn", v.Say("web.chain.missing", "n", t.Missing)})
	case !t.Device.Alarm():
		all = append(all, mark{"state good", v.Say("web.chain.whole")})
	}
	return all
}

// ago says an age coarsely.
func ago(v page.View, d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return v.Say("web.ago.now")
	case d < 2*time.Minute:
		return v.Say("web.ago.seconds", "n", int(d.Seconds()))
	case d < 2*time.Hour:
		return v.Say("web.ago.minutes", "n", int(d.Minutes()))
	case d < 48*time.Hour:
		return v.Say("web.ago.hours", "n", int(d.Hours()))
	}
	return v.Say("web.ago.days", "n", int(d.Hours()/24))
}

// A figure is a number of the overview.
type figure struct {
	Name, Value, Small string
	Bad, Text          bool
}

// A need is a device that needs a person, and why.
type need struct {
	ID, Short, Place string
	Why              []phrase
}

// maxNeeds is how many devices are named before the list; all stand in it, first.
const maxNeeds = 10

type overviewView struct {
	page.View
	Renews  bool // while nobody leafs through it or searches
	Figures []figure
	Waiting string
	Centre  []phrase // what at the centre needs a person
	Needs   []need
	More    string // how many devices more
	Devices []deviceRow
	Records recordList
}

func (d *Desk) overview(w http.ResponseWriter, r *http.Request) error {
	ctx, now, stats := r.Context(), time.Now(), d.o.Stats()
	v := page.NewView(r)
	devices, err := d.o.Store.Devices(ctx)
	if err != nil {
		return err
	}
	settled, err := d.o.Store.Settled(ctx)
	if err != nil {
		return err
	}
	view := overviewView{View: v, Waiting: waiting(v, stats)}
	if view.Records, err = d.list(r, v, nil); err != nil {
		return err
	}
	view.Renews = view.Records.Pager.First == "" && !view.Records.Filtered // a search costs more
	for _, words := range d.warnings(now) {
		view.Centre = append(view.Centre, phrase{Words: words, Lang: foreign(v)})
	}
	online := 0
	for _, device := range devices {
		t := d.told(device, now)
		row := t.row(v)
		view.Devices = append(view.Devices, row)
		if t.online() {
			online++
		}
		if row.Alarm {
			view.Needs = append(view.Needs, need{row.ID, row.Short, row.Place, t.needs(v)})
		}
	}
	// Those that need a person come first, then by place.
	slices.SortStableFunc(view.Devices, func(a, b deviceRow) int {
		switch {
		case a.Alarm == b.Alarm:
			return cmp.Compare(a.Place, b.Place)
		case a.Alarm:
			return -1
		}
		return 1
	})
	slices.SortStableFunc(view.Needs, func(a, b need) int { return cmp.Compare(a.Place, b.Place) })
	view.Figures = []figure{
		{Name: v.Say("web.overview.connected"), Value: v.Count(online), Small: v.Say("web.overview.of", "n", len(devices))},
		{Name: v.Say("web.overview.settled"), Value: v.Count(int(settled))},
		{Name: v.Say("web.overview.alarms"), Value: v.Count(len(view.Needs)), Bad: len(view.Needs) > 0},
		{Name: v.Say("web.overview.intake"), Value: intakeWords(v, stats), Text: true, Bad: stats.Failing || !stats.Connected},
	}
	if n := len(view.Needs) - maxNeeds; n > 0 {
		view.Needs, view.More = view.Needs[:maxNeeds], v.Say("web.overview.more", "n", n)
	}
	return d.o.Pages.Render(w, r, "overview", view)
}

func (d *Desk) warnings(now time.Time) []string {
	if d.o.Warnings == nil {
		return nil
	}
	return d.o.Warnings(now)
}

func intakeWords(v page.View, s intake.Stats) string {
	switch {
	case s.Failing:
		return v.Say("web.overview.failing")
	case s.Connected:
		return v.Say("web.overview.receiving")
	}
	return v.Say("web.overview.no_broker")
}

// waiting says what has not been answered yet; "" when that is nothing.
func waiting(v page.View, s intake.Stats) string {
	if s.Answering == 0 && s.Waiting == 0 && s.Held == 0 && s.Unanswered == 0 {
		return ""
	}
	return v.Say("web.overview.waiting", "store", uint64(s.Waiting), "broker", uint64(s.Answering), "held", uint64(s.Held), "unsaid", s.Unanswered)
}

// A fact is a name and what is said of it.
type fact struct {
	Name  string
	Words []phrase
	Bad   bool
	Class string
}

type deviceView struct {
	page.View
	ID, Short, Place, Model string
	Needs                   []phrase
	Now, Kept               []fact
	Contradictions          []contradiction
	Orders                  []orderRow
	OrdersDamaged           bool
	TakesOrders             bool
	Records                 recordList
	Counts                  []refusalCount
	Refused                 []refusal
}

type contradiction struct {
	Received                    when
	Number, First, Short, Other string
}

type refusalCount struct {
	Words       string
	Messages    string
	First, Last when
}

type refusal struct {
	Received      when
	Words, Detail string
}

// An orderRow is an order and what became of it.
type orderRow struct {
	Signed, Until            when
	What, Reason, Key, State string
	Answer, AnswerWords      string
	Answered                 when
}

const (
	maxOrders = 20 // the newest
	maxSpans  = 20 // gaps of a chain that a page names
)

func (d *Desk) orders(ctx context.Context, v page.View, id evidence.DeviceID, now time.Time) (rows []orderRow, damaged bool, err error) {
	if d.o.Orders == nil {
		return nil, false, nil
	}
	list, unread := d.o.Orders.List(id)
	if unread != nil {
		d.o.Log.Error("orders cannot be read", "device", id.String(), "error", unread)
	}
	if len(list) == 0 {
		return nil, unread != nil, nil
	}
	acts, err := intake.Acts(ctx, d.o.Store, id)
	for _, e := range list[:min(len(list), maxOrders)] {
		state, answer := e.State(now, intake.Answers(e, acts))
		row := orderRow{Signed: at(v, e.NotBefore), Until: at(v, e.NotAfter), What: coded(v, "web.order", string(e.Kind)), Reason: e.Reason,
			Key: e.KeyID.String()[:8], State: coded(v, "web.order_state", string(state))}
		if answer != nil {
			row.Answer, row.AnswerWords, row.Answered = answer.Record.String(), answer.Words, at(v, answer.UTC)
		}
		rows = append(rows, row)
	}
	return rows, unread != nil, err
}

func (d *Desk) device(w http.ResponseWriter, r *http.Request) error {
	id, err := evidence.ParseDeviceID(r.PathValue("device"))
	if err != nil {
		return page.ErrAbsent
	}
	ctx, v, now := r.Context(), page.NewView(r), time.Now()
	device, err := d.o.Store.Device(ctx, id)
	if err != nil {
		return err
	}
	t := d.told(device, now)
	view := deviceView{View: v, ID: id.String(), Short: id.String()[:8], Place: t.place(), Needs: t.needs(v), Now: t.facts(v), TakesOrders: t.profile != nil && t.profile.Orders > 0}
	if p := t.profile; p != nil {
		view.Model = p.Model
		if p.Serial != "" {
			view.Model += " · " + v.Say("web.device.serial", "serial", p.Serial)
		}
	}
	if view.Records, err = d.list(r, v, &id); err != nil {
		return err
	}
	spans, err := d.o.Store.MissingSpans(ctx, id, maxSpans+1)
	if err != nil {
		return err
	}
	view.Kept = t.kept(v, spans)
	equivocations, err := d.o.Store.Equivocations(ctx, id, 20)
	if err != nil {
		return err
	}
	for _, e := range equivocations {
		view.Contradictions = append(view.Contradictions, contradiction{at(v, e.Received), numbered(e.Epoch, e.Seq), e.First.String(), e.First.String()[:8], e.ID.String()[:8]})
	}
	refused, err := d.o.Store.Refused(ctx, &id, 20)
	if err != nil {
		return err
	}
	for _, one := range refused {
		view.Refused = append(view.Refused, refusal{at(v, one.Received), coded(v, "web.refused", one.Reason), one.Detail})
	}
	counts, err := d.o.Store.RefusalCounts(ctx, id)
	if err != nil {
		return err
	}
	for _, c := range counts {
		view.Counts = append(view.Counts, refusalCount{coded(v, "web.refused", c.Reason), v.Count(int(c.Messages)), at(v, c.First), at(v, c.Last)})
	}
	if view.Orders, view.OrdersDamaged, err = d.orders(ctx, v, id, now); err != nil {
		return err
	}
	return d.o.Pages.Render(w, r, "device", view)
}
