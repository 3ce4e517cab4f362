package casefile

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
)

// A Case is what its acts say. The zero Case with an ID is one without acts. Whoever reads
// it changes nothing that it points to.
type Case struct {
	ID     ID
	Acts   int64         // how many
	Head   evidence.Hash // of the last
	At     time.Time     // of the last
	Stage  Stage         // never empty but in the zero Case
	Opened *Opened
	Day    law.Day // of the violation

	Readings []Reading
	Review   *Reviewed // the last decision
	Reviewer Ref       // whose

	NotFound  Code    // why the last register named nobody
	Since     law.Day // from which the office could know whom to charge; zero: from the violation
	Parties   []Known // by number, from 1
	Positions []Position
	Money     Money

	Stopped Code         // why, by the last of Stops; empty: it goes on
	Stops   []Stopped    // that are not resumed
	Holds   []HoldPlaced // that are not lifted: nothing is erased
	Closed  Code         // why
	Ended   time.Time    // discarded or closed
	Erased  []Code

	keys     []Key
	receipts []receipt // of what was paid
}

// A Known is a party with the day from which it was known.
type Known struct {
	Party
	Since law.Day
	Gone  bool // a later answer names others
}

// A Position is one notice to one liable person.
type Position struct {
	Number   int64
	State    State
	Notice   *Notice
	Replaces int64 // the annulled one in whose place it is; 0: none
	Issued   law.Day
	Sent     []*Sent
	Outcomes []*Outcome
	Served   *Service
	Before   []Service // that were corrected

	Costs       law.Cents // of the notice, as corrected
	Paid        law.Cents
	Settled     Code // as [Part.Settles]
	NoReduction bool // given up: art. 202-bis

	Appeals []Appeal
	Order   *Order
	Plan    *Plan
	Payable law.Day // until then the minimum is due: a plan was refused
	Lapsed  bool    // a plan was not kept
	Title   *Title

	Invited law.Day // anew, to say who drove
	Driver  *DriverNamed
	Silent  bool
}

// New returns a case without acts.
func New(id ID) Case { return Case{ID: id, Stage: StageNone} }

// Position returns a position by its number; otherwise the error is a [*Refusal].
func (c *Case) Position(number int64) (Position, error) {
	if number < 1 || number > int64(len(c.Positions)) {
		return Position{}, refuse("position.unknown", number)
	}
	return c.Positions[number-1], nil
}

// at is the position to change, of a case that is the own copy.
func (c *Case) at(number int64) *Position { return &c.Positions[number-1] }

// Has reports whether an act with this key is one of the case.
func (c *Case) Has(key Key) bool { return slices.Contains(c.keys, key) }

// Equal reports whether two cases are the same in everything.
func (c Case) Equal(o Case) bool { return reflect.DeepEqual(c, o) }

// Next returns the act that comes after those of the case: it counts as of the day on which
// it is done.
func (c *Case) Next(key Key, at time.Time, by Actor, body Body) *Act {
	at = at.UTC().Truncate(time.Microsecond)
	return &Act{Case: c.ID, Number: c.Acts + 1, At: at, Day: law.DayOf(at), By: by, Key: key, Prev: c.Head, Body: body}
}

// Apply returns the case after an act. The error is a [*Refusal] when the act is not
// allowed, and an [*ChainError] when it is not the next one of this case. An act whose key
// is there already changes nothing and is no error.
func (c Case) Apply(a *Act) (Case, error) {
	if c.Has(a.Key) {
		return c, nil
	}
	if err := c.allowed(a); err != nil {
		return c, err
	}
	return c.next(a)
}

// Fold makes a case of the acts that are kept, in their order. It asks whether they are a
// chain, and not whether they are allowed by the rules of today.
func Fold(id ID, kept []*Act) (Case, error) {
	c := New(id)
	var err error
	for _, a := range kept {
		if c, err = c.next(a); err != nil {
			return c, err
		}
	}
	return c, nil
}

// allowed says why an act is none.
func (c *Case) allowed(a *Act) error {
	kind := a.Body.Kind()
	number, state, unknown := c.about(a.Body)
	r, err := c.ruleFor(kind, a.Body.variant(), number, state)
	switch {
	case err != nil && unknown != nil && err.(*Refusal).Code == "position.state":
		return unknown
	case err != nil:
		return err
	case r.stops && c.Stopped != "":
		return refuse("act.stopped", kind, c.Stopped)
	case a.By.Office == "" || r.person && a.By.Person == "":
		return refuse("act.actor", kind)
	case a.future(a.Day) || a.Day.Before(c.Day):
		return refuse("act.day", a.Day)
	}
	return a.Body.check(c, a)
}

// about returns the position that a body names and its state: empty for a body that names
// none, [StateNone] for one that does not exist, with why.
func (c *Case) about(b Body) (number int64, state State, unknown error) {
	p, ok := b.(positioned)
	if !ok {
		return 0, "", nil
	}
	if isIssue(b) {
		return p.position(), StateNone, nil
	}
	on, err := c.Position(p.position())
	if err != nil {
		return p.position(), StateNone, err
	}
	return p.position(), on.State, nil
}

func isIssue(b Body) bool { return noticeOf(b) != nil }

// noticeOf returns the notice that a body makes; nil when it makes none.
func noticeOf(b Body) *Notice {
	switch b := b.(type) {
	case *NoticeIssued:
		return &b.Notice
	case *NoticeReissued:
		return &b.Notice
	}
	return nil
}

// A ChainError says that an act does not follow the one before.
type ChainError struct {
	Case   ID
	Number int64 // of the act
	Want   int64
}

func (e *ChainError) Error() string {
	if e.Number == e.Want {
		return fmt.Sprintf("case %s: act %d does not name the one before", e.Case, e.Number)
	}
	return fmt.Sprintf("case %s: act %d where %d comes", e.Case, e.Number, e.Want)
}

// next applies an act that is allowed, or was when it was made.
func (c Case) next(a *Act) (Case, error) {
	if a.Case != c.ID || a.Number != c.Acts+1 || a.Prev != c.Head {
		return c, &ChainError{a.Case, a.Number, c.Acts + 1}
	}
	hash, err := a.Hash()
	if err != nil {
		return c, err
	}
	number, state, _ := c.about(a.Body)
	if !c.fits(a.Body) {
		return c, refuse("position.state", a.Body.Kind(), number, state)
	}
	c.Acts, c.Head, c.At = a.Number, hash, a.At
	c.keys = append(slices.Clip(c.keys), a.Key)
	c.Positions = slices.Clone(c.Positions)
	r := c.transition(a.Body.Kind(), a.Body.variant(), state)
	if r.to != "" {
		c.Stage = r.to
	}
	if r.state != "" && !isIssue(a.Body) {
		c.at(number).State = r.state
	}
	a.Body.apply(&c, a)
	return c, nil
}

// fits reports whether there is what an act changes. Every act that was allowed fits; one
// that was tampered with may not.
func (c *Case) fits(b Body) bool {
	if (c.Opened == nil) != (b.Kind() == KindOpened) {
		return false
	}
	has := func(n int64) bool { return n >= 1 && n <= int64(len(c.Positions)) }
	var p Position
	if named, ok := b.(positioned); ok && isIssue(b) {
		party := noticeOf(b).Party
		return named.position() == int64(len(c.Positions))+1 && party >= 1 && party <= int64(len(c.Parties))
	} else if ok {
		if !has(named.position()) {
			return false
		}
		p = *c.at(named.position())
	}
	switch b := b.(type) {
	case *Paid:
		return !slices.ContainsFunc(b.Parts, func(part Part) bool { return !has(part.Position) })
	case *PaymentRevoked:
		return !slices.ContainsFunc(b.Parts, func(part Part) bool { return !has(part.Position) })
	case *AppealDecided, *AppealHearing:
		return len(p.Appeals) > 0
	case *OrderServed:
		return p.Order != nil
	case *PlanDecided:
		return p.Plan != nil
	case *ServedCorrected, *ServiceVoid:
		return p.Served != nil
	}
	return true
}
