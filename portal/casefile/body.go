package casefile

import "ciglio/portal/law"

// A Kind says what an act is.
type Kind string

// The kinds. Each has a body of its own.
const (
	KindOpened          Kind = "opened"
	KindPlateProposed   Kind = "plate_proposed"
	KindPlateTyped      Kind = "plate_typed"
	KindReviewed        Kind = "reviewed"
	KindReviewReopened  Kind = "review_reopened"
	KindOwnerAsked      Kind = "owner_asked"
	KindOwnerFound      Kind = "owner_found"
	KindOwnerNotFound   Kind = "owner_not_found"
	KindOwnerLate       Kind = "owner_late"
	KindNoticeIssued    Kind = "notice_issued"
	KindNoticeReissued  Kind = "notice_reissued"
	KindNoticeAnnulled  Kind = "notice_annulled"
	KindSent            Kind = "sent"
	KindOutcome         Kind = "outcome"
	KindServed          Kind = "served"
	KindServedCorrected Kind = "served_corrected"
	KindServiceVoid     Kind = "service_void"
	KindCostsCorrected  Kind = "costs_corrected"
	KindPaid            Kind = "paid"
	KindPaymentRevoked  Kind = "payment_revoked"
	KindSettled         Kind = "settled"
	KindCredited        Kind = "credited"
	KindRefunded        Kind = "refunded"
	KindAppealed        Kind = "appealed"
	KindAppealHearing   Kind = "appeal_hearing"
	KindAppealDecided   Kind = "appeal_decided"
	KindOrderServed     Kind = "order_served"
	KindPlanRequested   Kind = "plan_requested"
	KindPlanDecided     Kind = "plan_decided"
	KindPlanLapsed      Kind = "plan_lapsed"
	KindDriverInvited   Kind = "driver_invited"
	KindDriverNamed     Kind = "driver_named"
	KindDriverSilent    Kind = "driver_silent"
	KindTitle           Kind = "title"
	KindClosed          Kind = "closed"
	KindReopened        Kind = "reopened"
	KindHoldPlaced      Kind = "hold_placed"
	KindHoldLifted      Kind = "hold_lifted"
	KindStopped         Kind = "stopped"
	KindResumed         Kind = "resumed"
	KindErased          Kind = "erased"
)

// A Body is what an act says. Its types are those of this package, as pointers, and are not
// changed once they stand in an act. Every field is marked: see [Mark].
type Body interface {
	Kind() Kind
	// fields lists the keys, for both directions.
	fields(*form)
	// variant tells rules of one kind apart; empty where there is one.
	variant() Code
	// check says why the act is not allowed, after the rules did not.
	check(*Case, *Act) error
	// apply makes c the case after the act.
	apply(c *Case, a *Act)
}

// A positioned body names the position that its act is about.
type positioned interface{ position() int64 }

// Of is the position that an act is about, by its number in the case.
type Of struct {
	Position int64 `mark:"plain"`
}

func (o *Of) position() int64 { return o.Position }

func (o *Of) fields(m *form) { m.number(1, "position", &o.Position, 1) }

// simple is embedded by bodies that need no check of their own.
type simple struct{}

func (simple) variant() Code           { return "" }
func (simple) check(*Case, *Act) error { return nil }

// bodies returns an empty body of each kind, in the order of a life.
func bodies() []Body {
	return []Body{
		&Opened{}, &PlateProposed{}, &PlateTyped{}, &Reviewed{}, &ReviewReopened{},
		&OwnerAsked{}, &OwnerFound{}, &OwnerNotFound{}, &OwnerLate{},
		&NoticeIssued{}, &NoticeReissued{}, &NoticeAnnulled{}, &Sent{}, &Outcome{}, &Served{}, &ServedCorrected{}, &ServiceVoid{}, &CostsCorrected{},
		&Paid{}, &PaymentRevoked{}, &Settled{}, &Credited{}, &Refunded{}, &Appealed{}, &AppealHearing{}, &AppealDecided{}, &OrderServed{}, &PlanRequested{}, &PlanDecided{}, &PlanLapsed{},
		&DriverInvited{}, &DriverNamed{}, &DriverSilent{}, &Title{}, &Closed{}, &Reopened{},
		&HoldPlaced{}, &HoldLifted{}, &Stopped{}, &Resumed{}, &Erased{},
	}
}

// body returns an empty body of a kind; nil when there is none.
func (k Kind) body() Body {
	for _, b := range bodies() {
		if b.Kind() == k {
			return b
		}
	}
	return nil
}

// past refuses a day before the violation or after the act.
func (c *Case) past(d law.Day, a *Act) error {
	if d.Before(c.Day) || a.future(d) {
		return refuse("act.day", d)
	}
	return nil
}

// future reports whether a day has not come when an act is done.
func (a *Act) future(d law.Day) bool { return law.DayOf(a.At).Before(d) }
