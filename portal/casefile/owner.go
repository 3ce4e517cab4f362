package casefile

import (
	"slices"

	"ciglio/portal/law"
)

// titles are those of [law.Title], by code, and driver, who is liable by the own act.
var titles = map[Code]law.Title{
	"owner": law.Owner, "joint_owner": law.JointOwner, "usufructuary": law.Usufructuary, "buyer": law.Buyer,
	"lessee": law.Lessee, "hirer": law.Hirer, "holder": law.Holder, "resident": law.Resident, "trailer_owner": law.TrailerOwner,
	"driver": "",
}

// OwnerAsked is a question to a register.
type OwnerAsked struct {
	simple
	Register Ref `mark:"plain"`
	Request  Ref `mark:"plain"` // under which the answer comes
}

func (*OwnerAsked) Kind() Kind { return KindOwnerAsked }

func (b *OwnerAsked) fields(m *form) {
	m.ref(1, "register", &b.Register)
	m.ref(2, "request", &b.Request)
}

func (b *OwnerAsked) apply(c *Case, a *Act) {}

// A Party is one whom a notice may charge: art. 196.
type Party struct {
	Title    Code       `mark:"plain"`  // as [law.Title], with _ for a space; or driver
	Person   Commitment `mark:"person"` // of a [Person]
	Language Code       `mark:"plain"`  // in which the law has the notice written
	Abroad   bool       `mark:"plain"`  // 360 days: art. 201(1)
	Firm     bool       `mark:"plain"`
	Minor    bool       `mark:"plain"` // the guardian answers
	Deceased bool       `mark:"plain"` // nobody does: L. 689/1981, art. 7
}

func (p *Party) fields(m *form) {
	m.code(1, "title", &p.Title)
	m.commitment(2, "person", &p.Person)
	m.code(3, "language", &p.Language)
	m.flag(4, "abroad", &p.Abroad)
	m.flag(5, "firm", &p.Firm)
	m.flag(6, "minor", &p.Minor)
	m.flag(7, "deceased", &p.Deceased)
}

// OwnerFound is a register's answer, or a hire firm's: who held the vehicle on the day of
// the violation. A later one replaces what was known, but for those who have a notice.
type OwnerFound struct {
	Register Ref     `mark:"plain"`
	Request  Ref     `mark:"plain"` // empty for an entry by hand
	Make     Ref     `mark:"plain"` // as registered
	Parties  []Party `mark:"plain"`
}

func (*OwnerFound) Kind() Kind    { return KindOwnerFound }
func (*OwnerFound) variant() Code { return "" }

func (b *OwnerFound) fields(m *form) {
	m.ref(1, "register", &b.Register)
	m.optionalRef(2, "request", &b.Request)
	m.optionalRef(3, "make", &b.Make)
	list(m, 4, "parties", &b.Parties, 1, (*Party).fields)
}

func (b *OwnerFound) check(c *Case, a *Act) error {
	for _, p := range b.Parties {
		if _, ok := titles[p.Title]; !ok || p.Person.Zero() {
			return refuse("owner.party", p.Title)
		}
	}
	return nil
}

// apply keeps the numbers of parties: notices name them.
func (b *OwnerFound) apply(c *Case, a *Act) {
	c.Parties = slices.Clone(c.Parties)
	for i := range c.Parties {
		if !c.charged(int64(i + 1)) {
			c.Parties[i].Gone = true
		}
	}
	for _, p := range b.Parties {
		c.Parties = append(c.Parties, Known{Party: p, Since: a.Day})
	}
}

// charged reports whether a party has a notice that is not annulled.
func (c *Case) charged(party int64) bool {
	return slices.ContainsFunc(c.Positions, func(p Position) bool { return p.Notice.Party == party && p.State != StateAnnulled })
}

// charge reports whether a party may be charged, by its number: not who is gone or dead, nor
// an owner in whose place another answers (art. 196).
func (c *Case) charge(party int64) bool {
	p := c.Parties[party-1]
	if p.Gone || p.Deceased || p.Title == "driver" {
		return !p.Gone && !p.Deceased
	}
	var known []law.Party
	for _, o := range c.Parties {
		if title := titles[o.Title]; !o.Gone && title != "" {
			known = append(known, law.Party{Title: title, Deceased: o.Deceased, Minor: o.Minor})
		}
	}
	charged := law.Liable(known, law.Circumstances{}).Parties
	return slices.ContainsFunc(charged, func(l law.Party) bool { return l.Title == titles[p.Title] })
}

// OwnerNotFound is an answer that names nobody.
type OwnerNotFound struct {
	simple
	Register Ref  `mark:"plain"`
	Request  Ref  `mark:"plain"`
	Reason   Code `mark:"plain"`
}

func (*OwnerNotFound) Kind() Kind { return KindOwnerNotFound }

func (b *OwnerNotFound) fields(m *form) {
	m.ref(1, "register", &b.Register)
	m.optionalRef(2, "request", &b.Request)
	m.code(3, "reason", &b.Reason)
}

func (b *OwnerNotFound) apply(c *Case, a *Act) { c.NotFound = b.Reason }

// OwnerLate records from which day the office could know whom to charge, and why: the term
// to notify runs anew from it (art. 201(1)). An officer answers for it.
type OwnerLate struct {
	Since  law.Day    `mark:"plain"`
	Reason Code       `mark:"plain"`
	Note   Commitment `mark:"person"`
}

func (*OwnerLate) Kind() Kind    { return KindOwnerLate }
func (*OwnerLate) variant() Code { return "" }

func (b *OwnerLate) fields(m *form) {
	m.day(1, "since", &b.Since)
	m.code(2, "reason", &b.Reason)
	m.commitment(3, "note", &b.Note)
}

func (b *OwnerLate) check(c *Case, a *Act) error {
	if b.Since.Before(c.Day) || a.future(b.Since) {
		return refuse("owner.since", b.Since)
	}
	return nil
}

func (b *OwnerLate) apply(c *Case, a *Act) { c.Since = b.Since }
