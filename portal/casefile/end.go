package casefile

import (
	"slices"

	"ciglio/capture/evidence"
)

// Closed ends a case, with why: paid, discarded, annulled, upheld, not_served, theft,
// deceased, diplomatic, cloned, untraceable, expired, collected, plan_refused and what a desk adds.
type Closed struct {
	Reason Code       `mark:"plain"`
	Note   Commitment `mark:"person"`
}

func (*Closed) Kind() Kind    { return KindClosed }
func (*Closed) variant() Code { return "" }

func (b *Closed) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.commitment(2, "note", &b.Note)
}

// nobody are the reasons by which nobody owes anything: notices are annulled before.
var nobody = []Code{"annulled", "upheld", "theft", "deceased", "diplomatic", "cloned"}

// check holds a case open while money is to be given back, calls none paid that is not, and
// leaves no sum asked for of whom nothing is owed by.
func (b *Closed) check(c *Case, a *Act) error {
	if c.Money.Excess > 0 {
		return refuse("close.money_owed", c.Money.Excess)
	}
	if b.Reason == "discarded" && c.Stage != StageDiscarded {
		return refuse("act.stage", KindClosed, c.Stage)
	}
	if b.Reason != "paid" && !slices.Contains(nobody, b.Reason) {
		return nil
	}
	for _, p := range c.Positions {
		if slices.Contains(live, p.State) {
			return refuse("close.unsettled", p.Number)
		}
	}
	if b.Reason == "paid" && !c.settled() {
		return refuse("close.unsettled", len(c.Positions))
	}
	return nil
}

func (b *Closed) apply(c *Case, a *Act) { c.Closed, c.Ended = b.Reason, a.At }

// Reopened takes a closed case up again.
type Reopened struct {
	Reason Code       `mark:"plain"`
	Note   Commitment `mark:"person"`
}

func (*Reopened) Kind() Kind    { return KindReopened }
func (*Reopened) variant() Code { return "" }

func (b *Reopened) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.commitment(2, "note", &b.Note)
}

// check refuses a case that was discarded or erased: nothing is left to work on.
func (b *Reopened) check(c *Case, a *Act) error {
	if c.Review != nil && c.Review.Outcome == "discarded" || len(c.Erased) > 0 {
		return refuse("act.stage", KindReopened, c.Stage)
	}
	return nil
}

func (b *Reopened) apply(c *Case, a *Act) {
	switch c.Closed = ""; {
	case slices.ContainsFunc(c.Parties, func(p Known) bool { return !p.Gone }):
	case c.Opened.Source != "violation":
		c.Stage = StageAccepted
	case c.Review == nil:
		c.Stage = StageReview
	case c.Review.Outcome == "accepted":
		c.Stage = StageAccepted
	default:
		c.Stage = StageSecond
	}
}

// HoldPlaced forbids every erasure: a court or an authority wants what is kept.
type HoldPlaced struct {
	simple
	Reason Code `mark:"plain"`
	Ref    Ref  `mark:"plain"`
}

func (*HoldPlaced) Kind() Kind { return KindHoldPlaced }

func (b *HoldPlaced) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.ref(2, "ref", &b.Ref)
}

func (b *HoldPlaced) apply(c *Case, a *Act) { c.Holds = append(slices.Clip(c.Holds), *b) }

// HoldLifted ends the one of its reference; others stay.
type HoldLifted struct {
	Reason Code `mark:"plain"`
	Ref    Ref  `mark:"plain"`
}

func (*HoldLifted) Kind() Kind    { return KindHoldLifted }
func (*HoldLifted) variant() Code { return "" }

func (b *HoldLifted) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.ref(2, "ref", &b.Ref)
}

func (b *HoldLifted) check(c *Case, a *Act) error {
	if !slices.ContainsFunc(c.Holds, b.ends) {
		return refuse("hold.none", b.Ref)
	}
	return nil
}

func (b *HoldLifted) apply(c *Case, a *Act) {
	c.Holds = slices.DeleteFunc(slices.Clone(c.Holds), b.ends)
}

func (b *HoldLifted) ends(h HoldPlaced) bool { return h.Ref == b.Ref }

// Stopped halts a case whose evidence is in doubt: record_disputed, key_revoked. Nothing is
// accepted, issued, sent or enforced until a person resumes it; money and outcomes are taken
// all the same.
type Stopped struct {
	simple
	Reason Code          `mark:"plain"`
	About  evidence.Hash `mark:"plain"` // the record or key
}

func (*Stopped) Kind() Kind { return KindStopped }

func (b *Stopped) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.Fixed(2, "about", b.About[:])
}

func (b *Stopped) apply(c *Case, a *Act) { c.stop(append(slices.Clip(c.Stops), *b)) }

func (c *Case) stop(by []Stopped) {
	c.Stops, c.Stopped = by, ""
	if n := len(by); n > 0 {
		c.Stopped = by[n-1].Reason
	}
}

// Resumed ends the doubt about one record or key, by who answers for it. The case goes on
// when there is no other.
type Resumed struct {
	Reason Code          `mark:"plain"`
	Note   Commitment    `mark:"person"`
	About  evidence.Hash `mark:"plain"` // as of the stop
}

func (*Resumed) Kind() Kind    { return KindResumed }
func (*Resumed) variant() Code { return "" }

func (b *Resumed) fields(m *form) {
	m.code(1, "reason", &b.Reason)
	m.commitment(2, "note", &b.Note)
	m.Fixed(3, "about", b.About[:])
}

func (b *Resumed) check(c *Case, a *Act) error {
	if !slices.ContainsFunc(c.Stops, b.ends) {
		return refuse("act.stage", KindResumed, c.Stage)
	}
	return nil
}

func (b *Resumed) apply(c *Case, a *Act) { c.stop(slices.DeleteFunc(slices.Clone(c.Stops), b.ends)) }

func (b *Resumed) ends(s Stopped) bool { return s.About == b.About }

// Erased says that values of some marks, or the pictures, are gone: lawfully, by a
// retention row.
type Erased struct {
	What []Erasure `mark:"plain"`
	Rule Ref       `mark:"plain"`
}

// An Erasure is one of person, plate, pictures.
type Erasure struct {
	What Code `mark:"plain"`
}

func (*Erased) Kind() Kind    { return KindErased }
func (*Erased) variant() Code { return "" }

func (b *Erased) fields(m *form) {
	list(m, 1, "what", &b.What, 1, func(e *Erasure, m *form) { m.code(1, "what", &e.What) })
	m.ref(2, "rule", &b.Rule)
}

// check erases nothing under a hold, nor persons while one of them is owed money.
func (b *Erased) check(c *Case, a *Act) error {
	if len(c.Holds) > 0 {
		return refuse("erase.hold", c.Holds[0].Reason)
	}
	for _, e := range b.What {
		switch {
		case !slices.Contains([]Code{"person", "plate", "pictures"}, e.What):
			return refuse("act.outcome", KindErased, e.What)
		case e.What == "person" && c.Money.Excess > 0:
			return refuse("close.money_owed", c.Money.Excess)
		}
	}
	return nil
}

func (b *Erased) apply(c *Case, a *Act) {
	c.Erased = slices.Clone(c.Erased)
	for _, e := range b.What {
		if !slices.Contains(c.Erased, e.What) {
			c.Erased = append(c.Erased, e.What)
		}
	}
}
