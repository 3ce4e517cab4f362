package casefile

import (
	"slices"

	"ciglio/portal/law"
)

// Appealed is an appeal: to the prefect (art. 203), to the judge of peace against the
// notice (art. 204-bis) or against the prefect's order (art. 205). One that is late is an
// appeal too; who decides says so.
type Appealed struct {
	Of
	To     Code    `mark:"plain"` // prefect, judge
	Filed  law.Day `mark:"plain"`
	Office bool    `mark:"plain"` // through the office: its file then goes to the prefect
	Ref    Ref     `mark:"plain"` // protocol number
	// Received is when it reached the office, or the prefect: their days run from it. Zero: as filed.
	Received law.Day `mark:"plain"`
}

func (*Appealed) Kind() Kind    { return KindAppealed }
func (*Appealed) variant() Code { return "" }

func (b *Appealed) fields(m *form) {
	b.Of.fields(m)
	m.code(2, "to", &b.To)
	m.day(3, "filed", &b.Filed)
	m.flag(4, "office", &b.Office)
	m.ref(5, "ref", &b.Ref)
	m.optionalDay(6, "received", &b.Received)
}

// check keeps the two ways apart: against one notice there is one, and after the prefect's
// order the judge alone.
func (b *Appealed) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	byPrefect := p.State == StateOrdered && p.Order.By == "prefect"
	if err := c.past(b.Filed, a); err != nil {
		return err
	}
	if !b.Received.Zero() && (b.Received.Before(b.Filed) || a.future(b.Received)) {
		return refuse("act.day", b.Received)
	}
	switch {
	case p.State == StatePaid && len(p.Appeals) > 0 && p.Appeals[len(p.Appeals)-1].Decision == nil:
		return refuse("position.state", KindAppealed, b.Position, StateAppealed)
	case b.To != "prefect" && b.To != "judge",
		p.State == StateOrdered && !(byPrefect && b.To == "judge"),
		p.State != StateOrdered && len(p.Appeals) > 0 && p.Appeals[len(p.Appeals)-1].To != b.To:
		return refuse("appeal.exclusive", b.Position, b.To)
	}
	return nil
}

func (b *Appealed) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Appeals = append(slices.Clip(p.Appeals), Appeal{Appealed: b})
	p.Invited = law.Day{} // whoever loses it is invited anew
}

// An Appeal is one with its decision; nil while it is pending.
type Appeal struct {
	*Appealed
	Hearing  *AppealHearing // nil: none was asked for
	Decision *AppealDecided
}

// AppealHearing is the prefect's invitation to a hearing that was asked for: his days stand
// still from its service to the day of the hearing (art. 204(1-ter)). Another one replaces it.
type AppealHearing struct {
	Of
	Invited law.Day `mark:"plain"` // service of the invitation
	Day     law.Day `mark:"plain"` // of the hearing: it may be to come
	Ref     Ref     `mark:"plain"`
}

func (*AppealHearing) Kind() Kind    { return KindAppealHearing }
func (*AppealHearing) variant() Code { return "" }

func (b *AppealHearing) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "invited", &b.Invited)
	m.day(3, "day", &b.Day)
	m.ref(4, "ref", &b.Ref)
}

func (b *AppealHearing) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case p.Appeals[len(p.Appeals)-1].To != "prefect":
		return refuse("appeal.exclusive", b.Position, "judge")
	case b.Invited.Before(p.Appeals[len(p.Appeals)-1].Filed) || a.future(b.Invited) || b.Day.Before(b.Invited):
		return refuse("act.day", b.Day)
	}
	return nil
}

func (b *AppealHearing) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Appeals = slices.Clone(p.Appeals)
	p.Appeals[len(p.Appeals)-1].Hearing = b
}

// AppealDecided is the end of an appeal: upheld (also by the prefect's silence, art.
// 204(1-bis)), rejected with the sum of the order, inadmissible.
type AppealDecided struct {
	Of
	Outcome Code      `mark:"plain"`
	Reason  Code      `mark:"plain"` // decision, silence
	Day     law.Day   `mark:"plain"`
	Sum     law.Cents `mark:"money"` // of a rejected one: what the order commands
	Costs   law.Cents `mark:"money"`
	Ref     Ref       `mark:"plain"`
}

func (*AppealDecided) Kind() Kind      { return KindAppealDecided }
func (b *AppealDecided) variant() Code { return b.Outcome }

func (b *AppealDecided) fields(m *form) {
	b.Of.fields(m)
	m.code(2, "outcome", &b.Outcome)
	m.code(3, "reason", &b.Reason)
	m.day(4, "day", &b.Day)
	m.cents(5, "sum", &b.Sum)
	m.cents(6, "costs", &b.Costs)
	m.optionalRef(7, "ref", &b.Ref)
}

func (b *AppealDecided) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case len(p.Appeals) == 0 || p.Appeals[len(p.Appeals)-1].Decision != nil:
		return refuse("position.state", KindAppealDecided, b.Position, p.State)
	case b.Reason == "silence" && (b.Outcome != "upheld" || p.Appeals[len(p.Appeals)-1].To != "prefect"): // nobody else's says anything
		return refuse("act.outcome", KindAppealDecided, b.Reason)
	case b.Outcome == "rejected" && b.Sum == 0:
		return refuse("notice.amounts", b.Position)
	case b.Day.Before(p.Appeals[len(p.Appeals)-1].Filed) || a.future(b.Day):
		return refuse("act.day", b.Day)
	}
	return nil
}

// apply gives back what was paid when the appeal was won, and knows the order when it was
// lost. An inadmissible one leaves the order, or the title, that it was against, and a notice
// whose service is not told yet as sent.
func (b *AppealDecided) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Appeals = slices.Clone(p.Appeals)
	p.Appeals[len(p.Appeals)-1].Decision = b
	switch b.Outcome {
	case "rejected":
		p.Title = nil
		p.Order = &Order{By: p.Appeals[len(p.Appeals)-1].To, Sum: b.Sum, Costs: b.Costs, Day: b.Day}
	case "upheld":
		c.release(b.Position)
	default:
		if p.State != StatePaid {
			p.State = p.unpaid()
		}
	}
}

// An Order is what the prefect or the judge commands to pay.
type Order struct {
	By         Code
	Sum, Costs law.Cents
	Day        law.Day
	Served     law.Day // zero while it is not
}

// OrderServed is when an order counts for its recipient.
type OrderServed struct {
	Of
	Day law.Day `mark:"plain"`
	Ref Ref     `mark:"plain"`
}

func (*OrderServed) Kind() Kind    { return KindOrderServed }
func (*OrderServed) variant() Code { return "" }

func (b *OrderServed) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "day", &b.Day)
	m.ref(3, "ref", &b.Ref)
}

func (b *OrderServed) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case p.Order == nil:
		return refuse("position.state", KindOrderServed, b.Position, p.State)
	case b.Day.Before(p.Order.Day) || a.future(b.Day):
		return refuse("act.day", b.Day)
	}
	return nil
}

func (b *OrderServed) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	order := *p.Order
	order.Served = b.Day
	p.Order = &order
}

// PlanRequested asks for instalments: art. 202-bis. It bars appeals and gives up the
// reduction.
type PlanRequested struct {
	Of
	Day law.Day `mark:"plain"`
	Ref Ref     `mark:"plain"`
}

func (*PlanRequested) Kind() Kind    { return KindPlanRequested }
func (*PlanRequested) variant() Code { return "" }

func (b *PlanRequested) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "day", &b.Day)
	m.ref(3, "ref", &b.Ref)
}

func (b *PlanRequested) check(c *Case, a *Act) error { return c.past(b.Day, a) }

func (b *PlanRequested) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Plan, p.NoReduction, p.Lapsed, p.Payable = &Plan{Requested: b.Day}, true, false, law.Day{}
}

// A Plan is instalments that were asked for, and, once granted, each with its last day.
type Plan struct {
	Requested   law.Day
	Instalments []Instalment
	Before      law.Cents // was on account when it was granted
}

// An Instalment is one part of a plan.
type Instalment struct {
	Number Ref       `mark:"plain"` // its own payment notice number
	Until  law.Day   `mark:"plain"`
	Cents  law.Cents `mark:"money"`
}

// PlanDecided is the answer: granted, refused, or silence of 90 days, which refuses.
type PlanDecided struct {
	Of
	Outcome     Code         `mark:"plain"`
	Reason      Code         `mark:"plain"`
	Instalments []Instalment `mark:"plain"`
	Until       law.Day      `mark:"plain"` // of one that is not granted: the last to pay the minimum
}

func (*PlanDecided) Kind() Kind      { return KindPlanDecided }
func (b *PlanDecided) variant() Code { return b.Outcome }

func (b *PlanDecided) fields(m *form) {
	b.Of.fields(m)
	m.code(2, "outcome", &b.Outcome)
	m.optionalCode(3, "reason", &b.Reason)
	list(m, 4, "instalments", &b.Instalments, 0, func(i *Instalment, m *form) {
		m.ref(1, "instalment number", &i.Number)
		m.day(2, "instalment until", &i.Until)
		m.cents(3, "instalment", &i.Cents)
	})
	m.optionalDay(5, "until", &b.Until)
}

// check asks for instalments in the order of their days, or for a day until which the
// minimum is due. That of silence follows from the request and may be over.
func (b *PlanDecided) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	granted := b.Outcome == "granted"
	if granted != (len(b.Instalments) > 1) {
		return refuse("plan.instalments", b.Position)
	}
	if granted != b.Until.Zero() || b.Outcome == "refused" && b.Until.Before(a.Day) || b.Outcome == "silence" && b.Until.Before(p.Plan.Requested) {
		return refuse("plan.until", b.Position)
	}
	last := a.Day
	for _, i := range b.Instalments {
		if i.Until.Before(last) || i.Cents == 0 {
			return refuse("plan.instalments", b.Position)
		}
		last = i.Until
	}
	return nil
}

func (b *PlanDecided) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Plan = &Plan{Requested: p.Plan.Requested, Instalments: b.Instalments}
	if b.Outcome == "granted" {
		p.Plan.Before = c.onAccount()
		return
	}
	p.Payable = b.Until
	p.State = p.unpaid()
}

// PlanLapsed ends a plan that was not kept: the whole is due, less what was paid.
type PlanLapsed struct {
	Of
	Reason Code `mark:"plain"`
}

func (*PlanLapsed) Kind() Kind    { return KindPlanLapsed }
func (*PlanLapsed) variant() Code { return "" }

func (b *PlanLapsed) fields(m *form) {
	b.Of.fields(m)
	m.code(2, "reason", &b.Reason)
}

// check asks that an instalment is overdue.
func (b *PlanLapsed) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	if next, _, ok := c.instalment(&p); !ok || !next.Until.Before(law.DayOf(a.At)) {
		return refuse("plan.instalments", b.Position)
	}
	return nil
}

func (b *PlanLapsed) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Lapsed = true
	p.State = p.unpaid()
}

// instalment returns the first one of a plan that is not paid, and the day of the one before.
func (c *Case) instalment(p *Position) (next Instalment, begin law.Day, ok bool) {
	paid, begin := max(0, c.onAccount()-p.Plan.Before), p.Plan.Requested
	for _, i := range p.Plan.Instalments {
		if paid -= i.Cents; paid < 0 {
			return i, begin, true
		}
		begin = i.Until
	}
	return next, begin, false
}

// Title makes a notice, or an order, an enforceable title: art. 203(3).
type Title struct {
	Of
	Sum   law.Cents `mark:"money"` // the whole: what is on account is taken off by [Case.Due]
	Costs law.Cents `mark:"money"`
	Day   law.Day   `mark:"plain"` // from which it can be enforced
}

func (*Title) Kind() Kind    { return KindTitle }
func (*Title) variant() Code { return "" }

func (b *Title) fields(m *form) {
	b.Of.fields(m)
	m.cents(2, "sum", &b.Sum)
	m.cents(3, "costs", &b.Costs)
	m.day(4, "day", &b.Day)
}

// check asks that what it is made of counted for its recipient before.
func (b *Title) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case b.Sum == 0:
		return refuse("notice.amounts", b.Position)
	}
	var begin law.Day
	switch {
	case p.Order != nil && p.Order.By == "prefect":
		begin = p.Order.Served
	case p.Order != nil:
		begin = p.Order.Day
	case p.Served != nil:
		begin = p.Served.Day
	}
	if begin.Zero() || !begin.Before(b.Day) {
		return refuse("act.day", b.Day)
	}
	return c.past(b.Day, a)
}

func (b *Title) apply(c *Case, a *Act) { c.at(b.Position).Title = b }
