package casefile

import (
	"slices"

	"ciglio/portal/law"
)

// DriverInvited is a new invitation to say who drove, after an appeal was lost: its own 60
// days (Cass. 26553/2024).
type DriverInvited struct {
	Of
	Served law.Day `mark:"plain"`
	Ref    Ref     `mark:"plain"`
}

func (*DriverInvited) Kind() Kind    { return KindDriverInvited }
func (*DriverInvited) variant() Code { return "" }

func (b *DriverInvited) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "served", &b.Served)
	m.ref(3, "ref", &b.Ref)
}

func (b *DriverInvited) check(c *Case, a *Act) error {
	return c.past(b.Served, a)
}

func (b *DriverInvited) apply(c *Case, a *Act) { c.at(b.Position).Invited = b.Served }

// DriverNamed is what the owner said of who drove: art. 126-bis(2). Complete data make the
// driver a party; a notice may follow.
type DriverNamed struct {
	Of
	Day      law.Day `mark:"plain"` // of submission
	Complete bool    `mark:"plain"`
	Drivers  []Party `mark:"plain"` // one
	Ref      Ref     `mark:"plain"`
}

func (*DriverNamed) Kind() Kind    { return KindDriverNamed }
func (*DriverNamed) variant() Code { return "" }

func (b *DriverNamed) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "day", &b.Day)
	m.flag(3, "complete", &b.Complete)
	list(m, 4, "drivers", &b.Drivers, 1, (*Party).fields)
	m.ref(5, "ref", &b.Ref)
}

func (b *DriverNamed) check(c *Case, a *Act) error {
	if d := b.Drivers[0]; len(b.Drivers) != 1 || d.Title != "driver" || d.Person.Zero() {
		return refuse("owner.party", d.Title)
	}
	return c.past(b.Day, a)
}

func (b *DriverNamed) apply(c *Case, a *Act) {
	p := c.at(b.Position)
	p.Driver = b
	if b.Complete {
		c.Parties = append(slices.Clip(c.Parties), Known{Party: b.Drivers[0], Since: b.Day})
	}
}

// DriverSilent is the end of the 60 days without data: it opens a case of its own.
type DriverSilent struct {
	Of
	Day   law.Day `mark:"plain"` // the last that was missed
	Opens ID      `mark:"plain"`
}

func (*DriverSilent) Kind() Kind    { return KindDriverSilent }
func (*DriverSilent) variant() Code { return "" }

func (b *DriverSilent) fields(m *form) {
	b.Of.fields(m)
	m.day(2, "day", &b.Day)
	m.Fixed(3, "opens", b.Opens[:])
}

// mustName reports whether a position, once it is served, obliges to say who drove: not the
// driver, not who was silent already, and nobody once the data are complete, of whichever
// joint debtor they came. What was said on a notice to somebody else does not count.
func (c *Case) mustName(p *Position) bool {
	if p.Notice.Points == 0 || p.Silent || c.Parties[p.Notice.Party-1].Title == "driver" {
		return false
	}
	return !slices.ContainsFunc(c.Positions, func(o Position) bool {
		return o.Driver != nil && o.Driver.Complete && !c.Parties[o.Notice.Party-1].Gone
	})
}

// asked returns the day from which the duty runs: of service, or, after an appeal that was
// not won, of the new invitation. Zero: it does not run, or not yet.
func (p *Position) asked() law.Day {
	if n := len(p.Appeals); p.Served != nil && n > 0 {
		if d := p.Appeals[n-1].Decision; d == nil || d.Outcome == "upheld" {
			return law.Day{}
		}
		return p.Invited
	}
	if p.Served != nil {
		return p.Served.Day
	}
	return law.Day{}
}

// check refuses it for who need not say who drove, or was not asked yet: before service,
// while an appeal runs and until a new invitation after it.
func (b *DriverSilent) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	if asked := p.asked(); !c.mustName(&p) || asked.Zero() || !asked.Before(b.Day) || !b.Day.Before(law.DayOf(a.At)) {
		return refuse("position.state", KindDriverSilent, b.Position, p.State)
	}
	if b.Opens != IDOf(c.Opened.Institution, SilentOf(c.ID, b.Position)) {
		return refuse("open.id", b.Opens)
	}
	return nil
}

func (b *DriverSilent) apply(c *Case, a *Act) { c.at(b.Position).Silent = true }
