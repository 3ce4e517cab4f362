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

// check refuses it for who gave the data, was silent already, or appealed: while an appeal
// runs the duty waits.
func (b *DriverSilent) check(c *Case, a *Act) error {
	p, err := c.Position(b.Position)
	if err != nil {
		return err
	}
	if p.Notice.Points == 0 || p.Silent || p.State == StateAppealed || p.Driver != nil && p.Driver.Complete || !b.Day.Before(law.DayOf(a.At)) {
		return refuse("position.state", KindDriverSilent, b.Position, p.State)
	}
	if b.Opens != IDOf(c.Opened.Institution, SilentOf(c.ID, b.Position)) {
		return refuse("open.id", b.Opens)
	}
	return nil
}

func (b *DriverSilent) apply(c *Case, a *Act) { c.at(b.Position).Silent = true }
