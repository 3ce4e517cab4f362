package casefile

import (
	"slices"
	"time"

	"ciglio/portal/law"
)

// Money is all that a case received. Received is always Applied + Excess + Refunded: no cent
// is unexplained.
type Money struct {
	Received law.Cents
	Applied  law.Cents // to positions
	Excess   law.Cents // too much, twice, or for what was annulled: to be given back
	Refunded law.Cents
}

// A Part is what a payment is for. One without money is settled by another of the same
// payment: joint debtors owe one sum.
type Part struct {
	Position int64     `mark:"plain"`
	Cents    law.Cents `mark:"money"`
	Settles  Code      `mark:"plain"` // reduced, minimum, title, order, plan; empty: on account
}

func (p *Part) fields(m *form) {
	m.number(1, "part position", &p.Position, 1)
	m.cents(2, "part", &p.Cents)
	m.optionalCode(3, "part settles", &p.Settles)
}

// Paid is money that came, with what it is for. [Case.Allocate] computes the parts.
type Paid struct {
	Receipt  Ref        `mark:"plain"` // under which the other side knows it
	Method   Code       `mark:"plain"` // pagopa, post, bank, cash
	Received law.Cents  `mark:"money"`
	Ordered  law.Moment `mark:"plain"` // by the payer
	Value    law.Day    `mark:"plain"` // of the credit
	Parts    []Part     `mark:"plain"`
	Excess   law.Cents  `mark:"money"`
	Payer    Commitment `mark:"person"`
}

func (*Paid) Kind() Kind    { return KindPaid }
func (*Paid) variant() Code { return "" }

func (b *Paid) fields(m *form) {
	m.ref(1, "receipt", &b.Receipt)
	m.code(2, "method", &b.Method)
	m.cents(3, "received", &b.Received)
	m.moment(4, "ordered", &b.Ordered)
	m.day(6, "value", &b.Value)
	list(m, 7, "parts", &b.Parts, 0, (*Part).fields)
	m.cents(8, "excess", &b.Excess)
	m.commitment(9, "payer", &b.Payer)
}

func (b *Paid) check(c *Case, a *Act) error {
	if slices.ContainsFunc(c.receipts, receipt{b.Method, b.Receipt, 0}.same) {
		return refuse("money.receipt", b.Receipt)
	}
	sum, settles := b.Excess, false
	for i, p := range b.Parts {
		sum += p.Cents
		settles = settles || p.Cents > 0 && p.Settles != ""
		if p.Settles == "" && slices.ContainsFunc(b.Parts, func(o Part) bool { return o.Settles != "" }) { // nothing is on account of what is paid
			return refuse("money.part", p.Position)
		}
		if slices.ContainsFunc(b.Parts[:i], func(o Part) bool { return o.Position == p.Position }) {
			return refuse("money.part", p.Position)
		}
	}
	if sum != b.Received || b.Received == 0 {
		return refuse("money.unbalanced", b.Received)
	}
	for _, p := range b.Parts {
		on, err := c.Position(p.Position)
		if err != nil {
			return err
		}
		if _, err := c.ruleFor(KindPaid, p.variant(), p.Position, on.State); err != nil {
			return err
		}
		if p.Cents == 0 && (p.Settles == "" || !settles) {
			return refuse("money.part", p.Position)
		}
	}
	return nil
}

func (p Part) variant() Code {
	if p.Settles == "" {
		return "part"
	}
	return "settles"
}

// A receipt is one payment's: whoever tells of it again, under whatever key, tells of the same.
type receipt struct {
	method Code
	number Ref
	cents  law.Cents
}

func (r receipt) same(o receipt) bool { return r.method == o.method && r.number == o.number }

func (b *Paid) apply(c *Case, a *Act) {
	c.receipts = append(slices.Clip(c.receipts), receipt{b.Method, b.Receipt, b.Received})
	c.Money.Received += b.Received
	c.Money.Excess += b.Excess
	for _, part := range b.Parts {
		c.at(part.Position).Paid += part.Cents
		c.Money.Applied += part.Cents
		c.settle(part.Settles)
	}
}

// settle ends, with a sum that is enough, what is asked for: joint debtors owe one, so that
// no position is paid while another of the case is live. Empty: the sum is on account.
func (c *Case) settle(by Code) {
	for i := range c.Positions {
		if p := &c.Positions[i]; by != "" && (slices.Contains(live, p.State) || p.State == StatePaid && p.Settled == "") {
			p.State, p.Settled = StatePaid, by
		}
	}
}

// settled reports whether the sum of the case is paid.
func (c *Case) settled() bool {
	return slices.ContainsFunc(c.Positions, func(p Position) bool { return p.State == StatePaid })
}

// unpaid is the state of a position if it were not paid.
func (p *Position) unpaid() State {
	n := len(p.Appeals)
	switch {
	case n > 0 && p.Appeals[n-1].Decision == nil:
		return StateAppealed
	case p.Title != nil:
		return StateTitle
	case p.Order != nil:
		return StateOrdered
	case p.Plan != nil && p.Payable.Zero() && len(p.Plan.Instalments) == 0:
		return StateAsked
	case p.Plan != nil && len(p.Plan.Instalments) > 0 && !p.Lapsed:
		return StatePlan
	case p.Served != nil:
		return StateServed
	case len(p.Sent) > 0:
		return StateSent
	}
	return StateIssued
}

// PaymentRevoked takes a whole payment back that was none: it bounced, was revoked by who
// sent it, or was entered wrong. Its money goes from the positions and the excess that have
// it now; who was freed by it owes again.
type PaymentRevoked struct {
	Receipt Ref        `mark:"plain"` // as of [Paid]
	Method  Code       `mark:"plain"`
	Parts   []Part     `mark:"plain"` // that settle nothing
	Excess  law.Cents  `mark:"money"`
	Reason  Code       `mark:"plain"`
	Note    Commitment `mark:"person"`
}

func (*PaymentRevoked) Kind() Kind    { return KindPaymentRevoked }
func (*PaymentRevoked) variant() Code { return "" }

func (b *PaymentRevoked) fields(m *form) {
	m.ref(1, "receipt", &b.Receipt)
	m.code(2, "method", &b.Method)
	list(m, 3, "parts", &b.Parts, 0, (*Part).fields)
	m.cents(4, "excess", &b.Excess)
	m.code(5, "reason", &b.Reason)
	m.commitment(6, "note", &b.Note)
}

// check asks for a payment that came, all of it, where its money is.
func (b *PaymentRevoked) check(c *Case, a *Act) error {
	i := slices.IndexFunc(c.receipts, receipt{b.Method, b.Receipt, 0}.same)
	if i < 0 {
		return refuse("money.receipt", b.Receipt)
	}
	sum := b.Excess
	for i, part := range b.Parts {
		p, err := c.Position(part.Position)
		switch {
		case err != nil:
			return err
		case part.Settles != "" || part.Cents == 0 || part.Cents > p.Paid,
			slices.ContainsFunc(b.Parts[:i], func(o Part) bool { return o.Position == part.Position }):
			return refuse("money.part", part.Position)
		}
		sum += part.Cents
	}
	switch {
	case sum != c.receipts[i].cents:
		return refuse("money.unbalanced", c.receipts[i].cents)
	case b.Excess > c.Money.Excess:
		return refuse("money.excess", c.Money.Excess)
	}
	return nil
}

func (b *PaymentRevoked) apply(c *Case, a *Act) {
	c.receipts = slices.DeleteFunc(slices.Clone(c.receipts), receipt{b.Method, b.Receipt, 0}.same)
	c.Money.Excess -= b.Excess
	c.Money.Received -= b.Excess
	for _, part := range b.Parts {
		c.at(part.Position).Paid -= part.Cents
		c.Money.Applied -= part.Cents
		c.Money.Received -= part.Cents
	}
	if len(b.Parts) > 0 {
		c.unsettle()
	}
}

// Settled says that what is on account is enough after a correction: of the day of service,
// of costs. What is too much is to be given back.
type Settled struct {
	Of
	Settles Code      `mark:"plain"`
	Excess  law.Cents `mark:"money"`
}

func (*Settled) Kind() Kind    { return KindSettled }
func (*Settled) variant() Code { return "" }

func (b *Settled) fields(m *form) {
	b.Of.fields(m)
	m.code(2, "settles", &b.Settles)
	m.cents(3, "excess", &b.Excess)
}

// check asks that something was paid, here or by a joint debtor.
func (b *Settled) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case b.Excess > 0 && b.Excess >= p.Paid:
		return refuse("money.excess", p.Paid)
	case c.onAccount() == 0 && !slices.ContainsFunc(c.Positions, func(p Position) bool { return p.State == StatePaid }):
		return refuse("money.part", b.Position)
	}
	return nil
}

func (b *Settled) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	c.settle(b.Settles)
	p.Paid -= b.Excess
	c.Money.Applied -= b.Excess
	c.Money.Excess += b.Excess
}

// Credited applies money that is to be given back to a position: a notice was issued anew, a
// payment was meant for another.
type Credited struct {
	Of
	Cents   law.Cents `mark:"money"`
	Settles Code      `mark:"plain"` // empty: on account
}

func (*Credited) Kind() Kind    { return KindCredited }
func (*Credited) variant() Code { return "" }

func (b *Credited) fields(m *form) {
	b.Of.fields(m)
	m.cents(2, "cents", &b.Cents)
	m.optionalCode(3, "settles", &b.Settles)
}

func (b *Credited) check(c *Case, a *Act) error {
	if b.Cents == 0 || b.Cents > c.Money.Excess {
		return refuse("money.excess", c.Money.Excess)
	}
	return nil
}

func (b *Credited) apply(c *Case, a *Act) {
	c.settle(b.Settles)
	c.at(b.Position).Paid += b.Cents
	c.Money.Excess -= b.Cents
	c.Money.Applied += b.Cents
}

// release makes what was paid on a position money to give back. Joint debtors whom it had
// freed owe again.
func (c *Case) release(position int64) {
	p := c.at(position)
	if p.Paid == 0 {
		return
	}
	c.Money.Applied -= p.Paid
	c.Money.Excess += p.Paid
	p.Paid = 0
	c.unsettle()
}

// unsettle makes positions that were paid by money that is gone what they were without it.
func (c *Case) unsettle() {
	for i := range c.Positions {
		if other := &c.Positions[i]; other.State == StatePaid {
			other.State, other.Settled = other.unpaid(), ""
		}
	}
}

// Refunded is money that was given back.
type Refunded struct {
	Cents law.Cents `mark:"money"`
	Day   law.Day   `mark:"plain"`
	Ref   Ref       `mark:"plain"` // of the payment order
}

func (*Refunded) Kind() Kind    { return KindRefunded }
func (*Refunded) variant() Code { return "" }

func (b *Refunded) fields(m *form) {
	m.cents(1, "cents", &b.Cents)
	m.day(2, "day", &b.Day)
	m.ref(3, "ref", &b.Ref)
}

func (b *Refunded) check(c *Case, a *Act) error {
	if b.Cents == 0 || b.Cents > c.Money.Excess {
		return refuse("money.excess", c.Money.Excess)
	}
	return nil
}

func (b *Refunded) apply(c *Case, a *Act) {
	c.Money.Excess -= b.Cents
	c.Money.Refunded += b.Cents
}

// Facts returns what the law prices a position by.
func (p *Position) Facts() law.Facts {
	f := law.Facts{Minimum: p.Notice.Minimum, Maximum: p.Notice.Maximum, Costs: p.Costs, Reducible: p.Notice.Reducible}
	if p.Served != nil {
		f.Served = p.Served.Day
	}
	if p.NoReduction {
		f.Reducible = false
	}
	return f
}

// A Due is what a position asks for at an instant, and what of it is paid.
type Due struct {
	law.Due
	Settles Code      // what whoever pays the rest settles
	Paid    law.Cents // on account, by this liable person and those beside
	Rest    law.Cents
}

// Due returns what is to be paid for a position at an instant: the one sum that page, paper,
// pagoPA and mail show. Before service it is the sum of the day of service, until no day
// that is known. Nothing is due
// on a position that is paid, annulled, upheld or under appeal: a [*Refusal] position.state
// says so. Other errors are those of [law.Law.Due].
func (c *Case) Due(l *law.Law, position int64, at time.Time) (Due, error) {
	p, err := c.Position(position)
	if err != nil {
		return Due{}, err
	}
	d := Due{Paid: c.onAccount()}
	switch p.State {
	case StateIssued, StateSent, StateServed, StateAsked:
		f := p.Facts()
		if f.Served.Zero() {
			f.Served = law.DayOf(at)
		}
		if d.Due, err = l.Due(f, at); err != nil {
			return Due{}, err
		}
		if last := p.payable(l); d.Band == law.TitleBand && !last.Before(law.DayOf(at)) {
			d.Due = law.Due{Sanction: f.Minimum, Costs: f.Costs, Band: law.MinimumBand, Until: last.End()}
		}
		if p.Served == nil { // it moves with every day
			d.Until = time.Time{}
		}
		d.Settles = Code(d.Band)
	case StateOrdered:
		d.Due, d.Settles = law.Due{Sanction: p.Order.Sum, Costs: p.Order.Costs}, "order"
	case StatePlan:
		for _, i := range p.Plan.Instalments {
			d.Sanction += i.Cents
		}
		d.Settles, d.Paid = "plan", max(0, d.Paid-p.Plan.Before)
	case StateTitle:
		d.Due, d.Settles = law.Due{Sanction: p.Title.Sum, Costs: p.Title.Costs, Band: law.TitleBand}, "title"
	default:
		return Due{}, refuse("position.state", KindPaid, position, p.State)
	}
	d.Rest = max(0, d.Cents()-d.Paid)
	return d, nil
}

// payable is the last day of the minimum where a plan was asked for, and not granted: art.
// 202-bis. It is zero elsewhere.
func (p *Position) payable(l *law.Law) law.Day {
	if p.State == StateAsked {
		_, last := l.PlanSilence(p.Plan.Requested)
		return last
	}
	return p.Payable
}

// onAccount is what is paid on positions of which none is settled: they owe one sum.
func (c *Case) onAccount() (sum law.Cents) {
	for _, p := range c.Positions {
		if slices.Contains(live, p.State) {
			sum += p.Paid
		}
	}
	return sum
}

// Allocate says what a payment is for: as much as settles its position, by the band whose
// last day the credit keeps with its grace (DL 18/2016, art. 17-quinquies), or all of it on
// account, and what is too much. When it settles the position it settles those of the joint
// debtors. What cannot be paid any more, or is covered already, is all too much.
func (c *Case) Allocate(l *law.Law, position int64, received law.Cents, ordered law.Moment, value law.Day, cash bool) ([]Part, law.Cents, error) {
	p, err := c.Position(position)
	if err != nil {
		return nil, 0, err
	}
	if !slices.Contains(live, p.State) {
		return nil, received, nil
	}
	sum, paid, settles := law.Cents(0), c.onAccount(), Code("")
	switch p.State {
	case StateOrdered, StatePlan, StateTitle:
		d, err := c.Due(l, position, value.Begin())
		if err != nil {
			return nil, 0, err
		}
		sum, paid, settles = d.Cents(), d.Paid, d.Settles
	default:
		if sum, settles, err = c.band(l, p, paid+received, ordered, value, cash); err != nil {
			return nil, 0, err
		}
		if p.State == StateAppealed && (settles == Code(law.TitleBand) || p.Order != nil || p.Title != nil) {
			return []Part{{Position: position, Cents: received}}, 0, nil // the decision says the sum
		}
	}
	if paid+received < sum {
		return []Part{{Position: position, Cents: received}}, 0, nil
	}
	used := min(received, max(0, sum-paid))
	parts := []Part{{Position: position, Cents: used, Settles: settles}}
	if used == 0 {
		return nil, received, nil
	}
	for _, other := range c.Positions {
		if other.Number != position && slices.Contains(live, other.State) {
			parts = append(parts, Part{Position: other.Number, Settles: settles})
		}
	}
	return parts, received - used, nil
}

// band returns the least sum that a total which came on a day settles, or the one that it
// falls short of.
func (c *Case) band(l *law.Law, p Position, total law.Cents, ordered law.Moment, value law.Day, cash bool) (law.Cents, Code, error) {
	f := p.Facts()
	if f.Served.Zero() {
		f.Served = value // who pays before service pays as on its day
	}
	prices, err := l.Prices(f)
	if err != nil {
		return 0, "", err
	}
	inTime := func(last law.Day) bool { return !last.Before(ordered.Day) && l.Credited(last, value, cash) }
	if f.Reducible && total >= prices.Reduced && inTime(prices.ReducedDay) {
		return prices.Reduced, Code(law.ReducedBand), nil
	}
	if last := p.payable(l); inTime(prices.MinimumDay) || !last.Zero() && inTime(last) {
		return prices.Minimum, Code(law.MinimumBand), nil
	}
	return prices.After, Code(law.TitleBand), nil
}
