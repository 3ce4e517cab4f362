package casefile

import (
	"errors"
	"slices"
	"time"

	"ciglio/portal/law"
)

// A Term is a span that runs and ends something.
type Term struct {
	Name     Code
	Position int64 // 0: of the case
	Begin    law.Day
	End      law.Day // the last day
	Reason   Code    // why it runs: what began it, by code
	Who      Code    // must act: office, owner, prefect, judge
	// Alarms are the days on which somebody is told, none after End.
	Alarms []law.Day
}

// erasure is how long discarded evidence is kept.
const erasure = 72 * time.Hour

// notifyAlarms are days of the 90 of art. 201 on which the office is told.
var notifyAlarms = []int{30, 60, 80}

// Terms returns every term that runs, the one that ends first before the others. None is
// stored: a correction moves them all. The error says by a code of the law which row is
// missing.
func (c *Case) Terms(l *law.Law) ([]Term, error) {
	t := terms{l: l, c: c}
	switch {
	case c.Stage == StageNone, c.Stage == StageClosed:
	case c.Stage == StageDiscarded:
		t.all = append(t.all, Term{Name: "erase", Begin: law.DayOf(c.Ended), End: law.DayOf(c.Ended.Add(erasure)), Reason: "discarded", Who: "office"})
	default:
		t.notify()
	}
	for i := range c.Positions {
		if c.Stage != StageClosed {
			t.position(&c.Positions[i])
		}
	}
	slices.SortStableFunc(t.all, func(a, b Term) int {
		switch {
		case a.End.Before(b.End):
			return -1
		case b.End.Before(a.End):
			return 1
		}
		return 0
	})
	return t.all, t.err
}

// LastToServe returns the last day to hand a notice to a party over, by its number: art.
// 201(1), from the violation or from when the office could know whom to charge. A driver who
// was named and a hirer are known from the day on which they were named. The error is a
// [*Refusal], or a code of the law.
func (c *Case) LastToServe(l *law.Law, party int64) (law.Day, error) {
	if party < 1 || party > int64(len(c.Parties)) {
		return law.Day{}, refuse("notice.party", party)
	}
	t := c.toServe(c.Parties[party-1])
	return l.LastDay(t.name, t.from)
}

// A serving is the office's term for one party.
type serving struct {
	name   law.Term
	from   law.Day
	reason Code
}

func (c *Case) toServe(p Known) serving {
	s := serving{law.Notify, c.Day, "violation"}
	if p.Abroad {
		s.name = law.NotifyAbroad
	}
	switch {
	case p.Title == "driver" || p.Title == "hirer":
		s.from, s.reason = p.Since, "named"
	case !c.Since.Zero():
		s.from, s.reason = c.Since, "owner_late"
	}
	return s
}

// terms gathers those of one case.
type terms struct {
	l   *law.Law
	c   *Case
	all []Term
	err error
}

func (t *terms) add(name law.Term, position int64, begin law.Day, reason, who Code) {
	end, err := t.l.LastDay(name, begin)
	if t.err = errors.Join(t.err, err); err == nil {
		t.all = append(t.all, Term{Name: codeOf(string(name)), Position: position, Begin: begin, End: end, Reason: reason, Who: who})
	}
}

// codeOf writes a name of the law as a code.
func codeOf(name string) Code {
	b := []byte(name)
	for i, c := range b {
		if c == ' ' {
			b[i] = '_'
		}
	}
	return Code(b)
}

// notify adds the office's own term while somebody who is to be charged has no notice: the
// one that ends first.
func (t *terms) notify() {
	var waiting []serving
	known := false
	for i, p := range t.c.Parties {
		charge := t.c.charge(int64(i + 1))
		known = known || charge
		if charge && !t.c.charged(int64(i+1)) {
			waiting = append(waiting, t.c.toServe(p))
		}
	}
	if !known { // whoever it will be
		waiting = append(waiting, t.c.toServe(Known{}))
	}
	var first Term
	for _, s := range waiting {
		end, err := t.l.LastDay(s.name, s.from)
		if t.err = errors.Join(t.err, err); err == nil && (first.Name == "" || end.Before(first.End)) {
			first = Term{Name: codeOf(string(s.name)), Begin: s.from, End: end, Reason: s.reason, Who: "office", Alarms: alarms(s.from, end)}
		}
	}
	if first.Name != "" {
		t.all = append(t.all, first)
	}
}

// alarms are the days on which the office is told of a term that began on a day.
func alarms(from, end law.Day) (days []law.Day) {
	for _, n := range notifyAlarms {
		if day := from.Add(n); !end.Before(day) {
			days = append(days, day)
		}
	}
	return days
}

func (t *terms) position(p *Position) {
	switch p.State {
	case StateIssued:
		t.all = append(t.all, Term{Name: "notify", Position: p.Number, Begin: p.Issued, End: p.Notice.LastDay, Reason: "issued", Who: "office", Alarms: alarms(t.c.toServe(t.c.Parties[p.Notice.Party-1]).from, p.Notice.LastDay)})
	case StateServed:
		t.served202(p)
	case StateAsked:
		refused, _ := t.l.PlanSilence(p.Plan.Requested)
		t.all = append(t.all, Term{Name: "plan_silence", Position: p.Number, Begin: p.Plan.Requested, End: refused, Reason: "plan_requested", Who: "office"})
	case StatePlan:
		t.instalment(p)
	case StateAppealed:
		t.appeal(p)
	case StateOrdered:
		switch {
		case p.Order.By != "prefect":
		case p.Order.Served.Zero():
			end := t.l.PrefectNotice(p.Order.Day)
			t.all = append(t.all, Term{Name: "order_notice", Position: p.Number, Begin: p.Order.Day, End: end, Reason: "rejected", Who: "prefect"})
		default:
			t.add(law.Judge, p.Number, p.Order.Served, "order_served", "owner")
			t.add(law.Order, p.Number, p.Order.Served, "order_served", "owner")
		}
	case StateTitle:
		begin := p.Title.Day
		if p.Served != nil {
			begin = p.Served.Day
		}
		if p.Order != nil && begin.Before(p.Order.Served) {
			begin = p.Order.Served
		}
		t.all = append(t.all, Term{Name: "expiry", Position: p.Number, Begin: begin, End: t.l.Expiry(begin), Reason: "title", Who: "office"})
	}
	t.driver(p)
}

// served202 adds what runs from service: payment, appeals, plan.
func (t *terms) served202(p *Position) {
	if p.Served == nil {
		return
	}
	day, rule := p.Served.Day, Code("served")
	if p.Facts().Reducible {
		t.add(law.Reduced, p.Number, day, rule, "owner")
	}
	if p.Payable.Zero() {
		t.add(law.Minimum, p.Number, day, rule, "owner")
	} else {
		t.all = append(t.all, Term{Name: "minimum", Position: p.Number, Begin: p.Plan.Requested, End: p.Payable, Reason: "plan_refused", Who: "owner"})
	}
	if !p.NoReduction { // a plan that was asked for bars appeals
		t.add(law.Prefect, p.Number, day, rule, "owner")
		t.add(law.Judge, p.Number, day, rule, "owner")
		t.add(law.Plan, p.Number, day, rule, "owner")
	}
}

// instalment adds the last day of the first instalment that is not paid.
func (t *terms) instalment(p *Position) {
	if next, begin, ok := t.c.instalment(p); ok {
		t.all = append(t.all, Term{Name: "instalment", Position: p.Number, Begin: begin, End: next.Until, Reason: "plan_granted", Who: "owner"})
	}
}

// appeal adds the prefect's days: after them silence accepts the appeal. The judge has none.
func (t *terms) appeal(p *Position) {
	if a := p.Appeals[len(p.Appeals)-1]; a.To == "prefect" {
		begin := a.Received
		if begin.Zero() {
			begin = a.Filed
		}
		hearing := 0
		if a.Hearing != nil {
			hearing = a.Hearing.Day.Since(a.Hearing.Invited)
		}
		end := t.l.PrefectOrder(begin, a.Office, hearing)
		t.all = append(t.all, Term{Name: "prefect_order", Position: p.Number, Begin: begin, End: end, Reason: "appealed", Who: "prefect"})
	}
}

// driver adds the duty to say who drove, by the reading of the Cassation: while an appeal
// runs it waits.
func (t *terms) driver(p *Position) {
	if p.Served == nil || !t.c.mustName(p) || p.State == StateAnnulled || p.State == StateUpheld {
		return
	}
	var appeal *law.Appeal
	if n := len(p.Appeals); n > 0 {
		last := p.Appeals[n-1]
		appeal = &law.Appeal{Filed: last.Filed, Invited: p.Invited}
		if last.Decision != nil {
			appeal.Decided, appeal.Upheld = last.Decision.Day, last.Decision.Outcome == "upheld"
		}
	}
	duty, end, err := t.l.DriverDuty(p.Served.Day, appeal, false)
	if t.err = errors.Join(t.err, err); err != nil || duty != law.DutyRuns {
		return
	}
	begin, reason := p.Served.Day, Code("served")
	if appeal != nil {
		begin, reason = p.Invited, "driver_invited"
	}
	t.all = append(t.all, Term{Name: codeOf(string(law.Driver)), Position: p.Number, Begin: begin, End: end, Reason: reason, Who: "owner"})
}

// A Task is what somebody has to do, by code. It goes when the case says it is done.
type Task struct {
	Code     Code
	Position int64 // 0: of the case
	Reason   Code
}

// Tasks returns what waits for a person.
func (c *Case) Tasks() (all []Task) {
	add := func(code Code, position int64, reason Code) { all = append(all, Task{code, position, reason}) }
	if c.Stopped != "" {
		add("stopped", 0, c.Stopped)
	}
	if c.Money.Excess > 0 {
		add("refund", 0, "excess")
	}
	switch c.Stage {
	case StageReview, StageSecond:
		add("review", 0, Code(c.Stage))
	case StageDiscarded:
		add("close", 0, "discarded")
	case StageClosed:
		if c.Closed == "paid" && slices.ContainsFunc(c.Positions, func(p Position) bool { return slices.Contains(live, p.State) }) {
			add("reopen", 0, "unsettled")
		}
	case StageAccepted:
		if c.NotFound != "" {
			add("owner", 0, c.NotFound)
		} else {
			add("ask_owner", 0, "accepted")
		}
	case StageKnown:
		if len(c.Positions) == 0 {
			add("issue", 0, "known")
		}
	}
	for _, p := range c.Positions {
		c.positionTasks(&p, add)
	}
	return all
}

func (c *Case) positionTasks(p *Position, add func(Code, int64, Code)) {
	switch p.State {
	case StateIssued:
		add("send", p.Number, "issued")
	case StateSent:
		if n := len(p.Outcomes); n > 0 {
			if what := p.Outcomes[n-1].What; what == "returned" || what == "lost" {
				add("send_again", p.Number, what)
			}
		}
	case StateAsked:
		add("plan", p.Number, "plan_requested")
	case StateAnnulled, StateUpheld:
		return
	}
	if n := len(p.Appeals); n > 0 && p.Served != nil && p.Appeals[n-1].Decision != nil && p.asked().Zero() && c.mustName(p) {
		add("invite_driver", p.Number, "appeal_lost")
	}
	if p.Driver != nil && !p.Driver.Complete {
		add("driver", p.Number, "incomplete")
	}
}

// A Balance counts what became of the records of one device and day that were captured as
// violations. Noticed + Discarded + Closed + Waiting is Captured.
type Balance struct {
	Captured  int64
	Noticed   int64 // at least one notice was issued
	Discarded int64 // by an officer
	Closed    int64 // without a notice
	Waiting   int64
}

// Share says under which word of the [Balance] a case counts: noticed, discarded, closed,
// waiting.
func (c *Case) Share() Code {
	switch {
	case len(c.Positions) > 0:
		return "noticed"
	case c.Review != nil && c.Review.Outcome == "discarded":
		return "discarded"
	case c.Stage == StageClosed:
		return "closed"
	}
	return "waiting"
}
