package casefile

import (
	"slices"

	"ciglio/portal/law"
)

// A Notice is what a position charges: facts and amounts as they stand on the paper.
type Notice struct {
	Of
	Party     int64      `mark:"plain"` // its number, from 1
	Number    Ref        `mark:"plain"` // of the register: gap-free by institution and year
	Payment   []PayBy    `mark:"plain"`
	Article   Ref        `mark:"plain"` // 142(8)
	Minimum   law.Cents  `mark:"money"`
	Maximum   law.Cents  `mark:"money"`
	Costs     law.Cents  `mark:"money"`
	Reducible bool       `mark:"plain"`
	Points    int64      `mark:"plain"` // 0: nobody is asked who drove
	PIN       Ref        `mark:"plain"` // names the row with its argon2id; never the PIN
	Document  [32]byte   `mark:"plain"` // SHA-256 of the PDF
	Protocol  Ref        `mark:"plain"`
	LastDay   law.Day    `mark:"plain"` // to hand it over
	Recipient Commitment `mark:"person"`
}

// A PayBy is one payment notice number of pagoPA, 18 digits, and what it is for.
type PayBy struct {
	Number Ref  `mark:"plain"`
	For    Code `mark:"plain"` // any, reduced, minimum
}

func (n *Notice) fields(m *form) {
	n.Of.fields(m)
	m.number(2, "party", &n.Party, 1)
	m.ref(3, "number", &n.Number)
	list(m, 4, "payment", &n.Payment, 0, func(p *PayBy, m *form) {
		m.ref(1, "payment number", &p.Number)
		m.code(2, "payment for", &p.For)
	})
	m.ref(5, "article", &n.Article)
	m.cents(6, "minimum", &n.Minimum)
	m.cents(7, "maximum", &n.Maximum)
	m.cents(8, "costs", &n.Costs)
	m.flag(9, "reducible", &n.Reducible)
	m.Integer(10, "points", &n.Points, 0, 30)
	m.ref(11, "pin", &n.PIN)
	m.Fixed(12, "document", n.Document[:])
	m.optionalRef(13, "protocol", &n.Protocol)
	m.day(14, "last day", &n.LastDay)
	m.commitment(15, "recipient", &n.Recipient)
}

func (n *Notice) check(c *Case, a *Act) error {
	switch next := int64(len(c.Positions)) + 1; {
	case n.Position != next:
		return refuse("notice.position", n.Position, next)
	case n.Party > int64(len(c.Parties)) || !c.charge(n.Party):
		return refuse("notice.party", n.Party)
	case n.Minimum <= 0 || n.Maximum < n.Minimum:
		return refuse("notice.amounts", n.Position)
	case n.LastDay.Before(c.Day) || n.LastDay.Before(a.Day):
		return refuse("notice.too_late", n.LastDay)
	}
	for _, p := range c.Positions {
		if p.Notice.Number == n.Number {
			return refuse("notice.number", n.Number)
		}
		for _, used := range p.Notice.Payment {
			if slices.ContainsFunc(n.Payment, func(p PayBy) bool { return p.Number == used.Number }) {
				return refuse("notice.number", used.Number)
			}
		}
	}
	if c.charged(n.Party) { // nobody is charged twice
		return refuse("notice.party", n.Party)
	}
	return nil
}

// NoticeIssued charges a liable person: it makes the next position.
type NoticeIssued struct{ Notice }

func (*NoticeIssued) Kind() Kind    { return KindNoticeIssued }
func (*NoticeIssued) variant() Code { return "" }

func (b *NoticeIssued) apply(c *Case, a *Act) {
	c.issue(Position{Number: b.Position, Notice: &b.Notice, Issued: a.Day})
}

// issue adds a position: paid from the beginning when a joint debtor has paid already.
func (c *Case) issue(p Position) {
	p.State, p.Costs = StateIssued, p.Notice.Costs
	for _, other := range c.Positions {
		if other.State == StatePaid {
			p.State, p.Settled = StatePaid, other.Settled
		}
	}
	c.Positions = append(c.Positions, p)
}

// NoticeReissued makes a position in the place of one that was annulled.
type NoticeReissued struct {
	Notice
	Replaces int64 `mark:"plain"`
}

func (*NoticeReissued) Kind() Kind    { return KindNoticeReissued }
func (*NoticeReissued) variant() Code { return "" }

func (b *NoticeReissued) fields(m *form) {
	b.Notice.fields(m)
	m.number(16, "replaces", &b.Replaces, 1)
}

func (b *NoticeReissued) check(c *Case, a *Act) error {
	old, err := c.Position(b.Replaces)
	if err != nil {
		return err
	}
	replaced := slices.ContainsFunc(c.Positions, func(p Position) bool { return p.Replaces == b.Replaces })
	if old.State != StateAnnulled || replaced {
		return refuse("notice.replaces", b.Replaces)
	}
	return b.Notice.check(c, a)
}

func (b *NoticeReissued) apply(c *Case, a *Act) {
	c.issue(Position{Number: b.Position, Notice: &b.Notice, Issued: a.Day, Replaces: b.Replaces})
}

// NoticeAnnulled is self-redress: the office takes its own act back. What was paid becomes
// money to give back.
type NoticeAnnulled struct {
	simple
	Of
	Reason Code       `mark:"plain"`
	Note   Commitment `mark:"person"`
}

func (*NoticeAnnulled) Kind() Kind { return KindNoticeAnnulled }

func (b *NoticeAnnulled) fields(m *form) {
	b.Of.fields(m)
	m.code(2, "reason", &b.Reason)
	m.commitment(3, "note", &b.Note)
}

func (b *NoticeAnnulled) apply(c *Case, a *Act) { c.release(b.Position) }

// Sent is the handing over of a notice to a channel: the sender's date, which the term of
// art. 201 is about.
type Sent struct {
	Of
	Channel law.Channel `mark:"plain"`
	At      law.Moment  `mark:"plain"` // to the post, acceptance of the PEC, deposit on SEND
	Ref     Ref         `mark:"plain"` // barcode, message, request: never an address
}

func (*Sent) Kind() Kind    { return KindSent }
func (*Sent) variant() Code { return "" }

func (b *Sent) fields(m *form) {
	b.Of.fields(m)
	m.channel(2, "channel", &b.Channel)
	m.moment(3, "at", &b.At)
	m.ref(5, "ref", &b.Ref)
}

// check refuses what cannot be handed over in time. Another attempt after one in time may be later.
func (b *Sent) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case !isChannel(b.Channel):
		return refuse("outcome.channel", b.Channel)
	case b.At.Day.Before(c.Day):
		return refuse("sent.before_violation", b.At.Day)
	case a.future(b.At.Day):
		return refuse("sent.future", b.At.Day)
	case len(p.Sent) == 0 && p.Notice.LastDay.Before(b.At.Day):
		return refuse("notice.too_late", p.Notice.LastDay)
	}
	return nil
}

func (b *Sent) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Sent = append(slices.Clip(p.Sent), b)
}

func isChannel(ch law.Channel) bool {
	return slices.Contains([]law.Channel{law.Hand, law.Post, law.PEC, law.SendPEC, law.SendPECFailed, law.SendPaper}, ch)
}

func send(ch law.Channel) bool {
	return slices.Contains([]law.Channel{law.SendPEC, law.SendPECFailed, law.SendPaper}, ch)
}

// Outcomes are what a channel may tell: delivered to a person or a box, stored at the
// office of the post, collected there, viewed, returned to the sender, lost (no outcome for
// so long that the office gives it up).
func Outcomes() []Code {
	return []Code{"delivered", "stored", "collected", "viewed", "returned", "lost"}
}

// Outcome is what a channel told. One that comes again for the same thing corrects the one
// before, which stays in its act.
type Outcome struct {
	Of
	Dispatch int64       `mark:"plain"` // how often it was sent until then, from 1
	Channel  law.Channel `mark:"plain"` // SEND goes from one to another by itself
	What     Code        `mark:"plain"`
	At       law.Moment  `mark:"plain"`
	Ref      Ref         `mark:"plain"`
}

func (*Outcome) Kind() Kind    { return KindOutcome }
func (*Outcome) variant() Code { return "" }

func (b *Outcome) fields(m *form) {
	b.Of.fields(m)
	m.number(2, "dispatch", &b.Dispatch, 1)
	m.channel(3, "channel", &b.Channel)
	m.code(4, "what", &b.What)
	m.moment(5, "at", &b.At)
	m.ref(7, "ref", &b.Ref)
}

func (b *Outcome) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	if b.Dispatch > int64(len(p.Sent)) {
		return refuse("outcome.dispatch", b.Dispatch)
	}
	sent := p.Sent[b.Dispatch-1]
	switch {
	case b.Channel != sent.Channel && !(send(b.Channel) && send(sent.Channel)), !slices.Contains(Outcomes(), b.What):
		return refuse("outcome.channel", b.Channel)
	case b.At.Before(sent.At):
		return refuse("outcome.before_sent", b.At.Day, sent.At.Day)
	case a.future(b.At.Day):
		return refuse("outcome.future", b.At.Day)
	}
	return nil
}

func (b *Outcome) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Outcomes = append(slices.Clip(p.Outcomes), b)
}

// service gathers what the channel of a dispatch told last.
func (p *Position) service(dispatch int64, channel law.Channel) law.Service {
	s := law.Service{Channel: channel}
	for _, o := range p.Outcomes {
		switch {
		case o.Dispatch != dispatch:
		case o.What == "viewed" && (o.Channel == channel || send(channel)):
			s.Viewed = o.At
		case o.Channel != channel:
		case o.What == "delivered": // and was not stored, as had been told
			s.Delivered, s.Stored, s.Collected = o.At, law.Moment{}, law.Moment{}
		case o.What == "stored":
			s.Stored, s.Delivered = o.At, law.Moment{}
		case o.What == "returned": // a letter that was stored is served all the same
			s.Delivered = law.Moment{}
		case o.What == "collected":
			s.Collected = o.At
		}
	}
	return s
}

// A Service is from which day a notice counts for its recipient, with the rule that made
// it, by the outcomes of one dispatch on one channel.
type Service struct {
	Dispatch int64       `mark:"plain"`
	Channel  law.Channel `mark:"plain"`
	Day      law.Day     `mark:"plain"`
	Rule     Ref         `mark:"plain"` // of [law.Served]
}

func (s *Service) fields(m *form) {
	m.number(2, "dispatch", &s.Dispatch, 1)
	m.channel(3, "channel", &s.Channel)
	m.day(4, "day", &s.Day)
	m.ref(5, "rule", &s.Rule)
}

// check asks the law what the outcomes make.
func (s *Service) check(c *Case, a *Act, position int64) error {
	p, err := c.Position(position)
	if err != nil {
		return err
	}
	made, err := p.service(s.Dispatch, s.Channel).Served()
	if no, ok := err.(*law.Error); ok {
		return refuse("served.open", no.Code)
	}
	switch {
	case err != nil:
		return err
	case made.Day != s.Day || made.Rule != string(s.Rule):
		return refuse("served.not_by_rule", made.Rule, made.Day)
	case a.future(s.Day):
		return refuse("served.future", s.Day)
	}
	return nil
}

// ServiceOf returns the service that the outcomes of the last dispatch of a position make.
// The error is a Refusal, or says by a code of the law what is missing.
func (c *Case) ServiceOf(position int64) (Service, error) {
	p, err := c.Position(position)
	if err != nil {
		return Service{}, err
	}
	n := len(p.Sent)
	if n == 0 {
		return Service{}, refuse("outcome.dispatch", 1)
	}
	s := Service{Dispatch: int64(n), Channel: p.Sent[n-1].Channel}
	for _, o := range p.Outcomes {
		if o.Dispatch == s.Dispatch && o.What != "viewed" {
			s.Channel = o.Channel
		}
	}
	made, err := p.service(s.Dispatch, s.Channel).Served()
	s.Day, s.Rule = made.Day, Ref(made.Rule)
	return s, err
}

// Served is when a notice counts for its recipient: all terms of the addressee run from it.
type Served struct {
	Of
	Service
}

func (*Served) Kind() Kind    { return KindServed }
func (*Served) variant() Code { return "" }

func (b *Served) fields(m *form) {
	b.Of.fields(m)
	b.Service.fields(m)
}

func (b *Served) check(c *Case, a *Act) error {
	if p, err := c.Position(b.Position); err != nil || p.Served != nil {
		return refuse("position.state", KindServed, b.Position, StateServed)
	}
	return b.Service.check(c, a, b.Position)
}

func (b *Served) apply(c *Case, a *Act) { c.at(b.Position).Served = &b.Service }

// ServedCorrected replaces a service after outcomes were corrected. The old one is kept.
type ServedCorrected struct {
	Of
	Service
	Old    law.Day `mark:"plain"` // which is corrected
	Reason Code    `mark:"plain"`
}

func (*ServedCorrected) Kind() Kind    { return KindServedCorrected }
func (*ServedCorrected) variant() Code { return "" }

func (b *ServedCorrected) fields(m *form) {
	b.Of.fields(m)
	b.Service.fields(m)
	m.day(6, "old", &b.Old)
	m.code(7, "reason", &b.Reason)
}

func (b *ServedCorrected) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	if p.Served == nil || p.Served.Day != b.Old {
		return refuse("correction.old", b.Position, b.Old)
	}
	return b.Service.check(c, a, b.Position)
}

func (b *ServedCorrected) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	if p.State == StateTitle && p.Order == nil && p.Served.Day.Before(b.Day) { // its sixty days were not over
		p.State, p.Title = StateServed, nil
	}
	p.Before = append(slices.Clip(p.Before), *p.Served)
	p.Served = &b.Service
}

// ServiceVoid takes a service back that was none: the letter went to somebody else, the post
// says now that it came back. No term runs, and the notice can be sent again.
type ServiceVoid struct {
	Of
	Old    law.Day    `mark:"plain"` // which is taken back
	Reason Code       `mark:"plain"`
	Note   Commitment `mark:"person"`
}

func (*ServiceVoid) Kind() Kind    { return KindServiceVoid }
func (*ServiceVoid) variant() Code { return "" }

func (b *ServiceVoid) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "old", &b.Old)
	m.code(3, "reason", &b.Reason)
	m.commitment(4, "note", &b.Note)
}

func (b *ServiceVoid) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case p.Served == nil || p.Served.Day != b.Old:
		return refuse("correction.old", b.Position, b.Old)
	}
	return nil
}

func (b *ServiceVoid) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Before = append(slices.Clip(p.Before), *p.Served)
	p.Served = nil
	if p.Order == nil {
		p.Title = nil
	}
	if p.State == StateServed || p.State == StateTitle {
		p.State = p.unpaid()
	}
}

// CostsCorrected says what the costs of a notice are: a second way of sending adds to them,
// the platform takes the letter back that was wrong (C35). What was paid stays paid.
type CostsCorrected struct {
	Of
	Old    law.Cents `mark:"money"`
	Costs  law.Cents `mark:"money"`
	Reason Code      `mark:"plain"`
}

func (*CostsCorrected) Kind() Kind    { return KindCostsCorrected }
func (*CostsCorrected) variant() Code { return "" }

func (b *CostsCorrected) fields(m *form) {
	b.Of.fields(m)
	m.cents(2, "old", &b.Old)
	m.cents(3, "costs", &b.Costs)
	m.code(4, "reason", &b.Reason)
}

func (b *CostsCorrected) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	switch {
	case err != nil:
		return err
	case p.Costs != b.Old:
		return refuse("correction.old", b.Position, b.Old)
	}
	return nil
}

func (b *CostsCorrected) apply(c *Case, a *Act) { c.at(b.Position).Costs = b.Costs }
