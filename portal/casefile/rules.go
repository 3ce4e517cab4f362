package casefile

import "slices"

// A Stage is how far a case is as a whole.
type Stage string

// The stages.
const (
	StageNone      Stage = "none"      // not opened
	StageReview    Stage = "review"    // waits for an officer
	StageSecond    Stage = "second"    // waits for another officer
	StageDiscarded Stage = "discarded" // no notice will come of it; to be erased and closed
	StageAccepted  Stage = "accepted"  // the owner is not known
	StageAsked     Stage = "asked"     // a register was asked
	StageKnown     Stage = "known"     // the liable are known: notices live here
	StageClosed    Stage = "closed"
)

// A State is how far a position is.
type State string

// The states.
const (
	StateNone     State = "none"     // not issued
	StateIssued   State = "issued"   // made
	StateSent     State = "sent"     // handed over
	StateServed   State = "served"   // counts for the recipient
	StatePaid     State = "paid"     // settled, by its own money or another's
	StateAppealed State = "appealed" // to the prefect or the judge
	StateOrdered  State = "ordered"  // an appeal was lost: the order's sum is due
	StateAsked    State = "asked"    // for a plan
	StatePlan     State = "plan"     // is paid by instalments
	StateTitle    State = "title"    // is an enforceable title
	StateAnnulled State = "annulled" // the office took it back
	StateUpheld   State = "upheld"   // an appeal was won
)

// live are the states in which money is asked for, or will be.
var live = []State{StateIssued, StateSent, StateServed, StateAppealed, StateOrdered, StateAsked, StatePlan, StateTitle}

// A rule says in which stages and states an act is allowed, and what follows. The first one
// that fits counts. An empty to is as before.
type rule struct {
	kind    Kind
	variant Code // of the body; empty for all
	stages  []Stage
	to      Stage
	states  []State // of the position that the act, or this part of it, names
	state   State
	stops   bool // not while the case is stopped
	person  bool // by a person alone
}

var (
	opened   = []Stage{StageReview, StageSecond, StageDiscarded, StageAccepted, StageAsked, StageKnown, StageClosed}
	going    = []Stage{StageReview, StageSecond, StageDiscarded, StageAccepted, StageAsked, StageKnown}
	reviewed = []Stage{StageReview, StageSecond}
	known    = []Stage{StageKnown}
	after    = []Stage{StageKnown, StageClosed}
	issued   = append([]State{StatePaid, StateAnnulled, StateUpheld}, live...)
	running  = []State{StateServed, StatePaid, StateAppealed, StateOrdered, StateAsked, StatePlan, StateTitle}
)

// rules is the whole life of a case. docs/cases.md is made of it.
var rules = []rule{
	{kind: KindOpened, variant: "violation", stages: []Stage{StageNone}, to: StageReview},
	{kind: KindOpened, variant: "driver_silent", stages: []Stage{StageNone}, to: StageAccepted},

	{kind: KindPlateProposed, stages: reviewed},
	{kind: KindPlateTyped, stages: reviewed, person: true},
	{kind: KindReviewed, variant: "accepted", stages: reviewed, to: StageAccepted, stops: true, person: true},
	{kind: KindReviewed, variant: "second_look", stages: []Stage{StageReview}, to: StageSecond, person: true},
	{kind: KindReviewed, variant: "discarded", stages: reviewed, to: StageDiscarded, person: true},
	{kind: KindReviewReopened, stages: []Stage{StageAccepted, StageAsked, StageKnown}, to: StageReview, person: true},

	{kind: KindOwnerAsked, stages: []Stage{StageAccepted, StageAsked}, to: StageAsked, stops: true},
	{kind: KindOwnerAsked, stages: known, stops: true}, // of a hirer, a new address: notices go on
	{kind: KindOwnerFound, stages: []Stage{StageAccepted, StageAsked, StageKnown}, to: StageKnown},
	{kind: KindOwnerNotFound, stages: []Stage{StageAsked}, to: StageAccepted},
	{kind: KindOwnerNotFound, stages: known},
	{kind: KindOwnerLate, stages: []Stage{StageAccepted, StageAsked, StageKnown}, person: true},

	{kind: KindNoticeIssued, stages: known, states: []State{StateNone}, state: StateIssued, stops: true, person: true},
	{kind: KindNoticeReissued, stages: known, states: []State{StateNone}, state: StateIssued, stops: true, person: true},
	{kind: KindNoticeAnnulled, stages: known, states: append([]State{StatePaid}, live...), state: StateAnnulled, person: true},
	{kind: KindSent, stages: known, states: []State{StateIssued, StateSent}, state: StateSent, stops: true},
	{kind: KindSent, stages: known, states: []State{StatePaid}, stops: true},
	{kind: KindOutcome, stages: after, states: issued},
	{kind: KindServed, stages: after, states: []State{StateSent}, state: StateServed},
	{kind: KindServed, stages: after, states: []State{StatePaid, StateAppealed, StateOrdered, StateAsked, StatePlan, StateTitle}}, // told late
	{kind: KindServedCorrected, stages: after, states: running},
	{kind: KindServiceVoid, stages: after, states: running, person: true},
	{kind: KindCostsCorrected, stages: after, states: live},

	{kind: KindPaid, stages: opened},
	{kind: KindPaid, variant: "part", stages: after, states: live},
	{kind: KindPaid, variant: "settles", stages: after, states: live, state: StatePaid},
	{kind: KindPaymentRevoked, stages: opened, person: true},
	{kind: KindSettled, stages: after, states: live, state: StatePaid},
	{kind: KindCredited, stages: after, states: live}, // and paid, where it says so
	{kind: KindRefunded, stages: opened},

	{kind: KindAppealed, stages: known, states: []State{StateSent, StateServed, StateOrdered, StateTitle}, state: StateAppealed},
	{kind: KindAppealed, stages: after, states: []State{StatePaid}}, // who decides says whether it may be
	{kind: KindAppealHearing, stages: known, states: []State{StateAppealed}},
	{kind: KindAppealDecided, variant: "upheld", stages: known, states: []State{StateAppealed}, state: StateUpheld},
	{kind: KindAppealDecided, variant: "rejected", stages: known, states: []State{StateAppealed}, state: StateOrdered},
	{kind: KindAppealDecided, variant: "inadmissible", stages: known, states: []State{StateAppealed}, state: StateServed},
	{kind: KindAppealDecided, variant: "upheld", stages: after, states: []State{StatePaid}, state: StateUpheld},
	{kind: KindAppealDecided, variant: "rejected", stages: after, states: []State{StatePaid}}, // paid while it ran
	{kind: KindAppealDecided, variant: "inadmissible", stages: after, states: []State{StatePaid}},
	{kind: KindOrderServed, stages: known, states: []State{StateOrdered, StateAppealed}},

	{kind: KindPlanRequested, stages: known, states: []State{StateSent, StateServed}, state: StateAsked},
	{kind: KindPlanDecided, variant: "granted", stages: known, states: []State{StateAsked}, state: StatePlan, person: true},
	{kind: KindPlanDecided, variant: "refused", stages: known, states: []State{StateAsked}, state: StateServed, person: true},
	{kind: KindPlanDecided, variant: "silence", stages: known, states: []State{StateAsked}, state: StateServed},
	{kind: KindPlanLapsed, stages: known, states: []State{StatePlan}, state: StateServed},

	{kind: KindDriverInvited, stages: after, states: running},
	{kind: KindDriverNamed, stages: after, states: issued},
	{kind: KindDriverSilent, stages: after, states: running, stops: true},

	{kind: KindTitle, stages: known, states: []State{StateServed, StateOrdered}, state: StateTitle, stops: true},
	{kind: KindClosed, stages: going, to: StageClosed, stops: true},
	{kind: KindReopened, stages: []Stage{StageClosed}, to: StageKnown, person: true},

	{kind: KindHoldPlaced, stages: opened, person: true},
	{kind: KindHoldLifted, stages: opened, person: true},
	{kind: KindStopped, stages: opened},
	{kind: KindResumed, stages: opened, person: true},
	{kind: KindErased, stages: []Stage{StageDiscarded, StageClosed}, stops: true},
}

// covers reports whether a rule is about acts of a kind and variant, on a position or not.
func (r rule) covers(kind Kind, variant Code, positioned bool) bool {
	return r.kind == kind && (r.variant == variant || r.variant == "" && (len(r.states) > 0) == positioned)
}

// ruleFor returns the rule of an act, or of a part of one that names a position. The
// Refusal says whether the variant, the stage or the state does not fit.
func (c *Case) ruleFor(kind Kind, variant Code, number int64, state State) (rule, error) {
	known, staged := false, false
	for _, r := range rules {
		if !r.covers(kind, variant, state != "") {
			continue
		}
		known = true
		if !slices.Contains(r.stages, c.Stage) {
			continue
		}
		if staged = true; state == "" || slices.Contains(r.states, state) {
			return r, nil
		}
	}
	switch {
	case staged:
		return rule{}, refuse("position.state", kind, number, state)
	case known:
		return rule{}, refuse("act.stage", kind, c.Stage)
	}
	return rule{}, refuse("act.outcome", kind, variant)
}

// transition returns what follows from an act that is kept: by its rule, or by the first of
// its kind where the rules of today have none.
func (c *Case) transition(kind Kind, variant Code, state State) (first rule) {
	for _, r := range rules {
		if !r.covers(kind, variant, state != "") {
			continue
		}
		if slices.Contains(r.stages, c.Stage) && (state == "" || slices.Contains(r.states, state)) {
			return r
		}
		if first.kind == "" {
			first = r
		}
	}
	return first
}
