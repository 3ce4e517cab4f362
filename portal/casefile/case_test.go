package casefile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
)

func italy(t interface{ Fatal(...any) }) *law.Law {
	l, err := law.Italy()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A story is a case whose acts are made one after the other.
type story struct {
	t   *testing.T
	c   Case
	now time.Time
	n   int
}

// tell begins a case of a violation of Monday 2 March 2026, 10:00 in Italy.
func tell(t *testing.T) *story {
	s := &story{t: t, c: New(IDOf("latina", evidence.Hash{1})), now: day(3, 2)}
	s.do(&Opened{Institution: "latina", Source: "violation", About: evidence.Hash{1}, At: s.now})
	return s
}

func day(month time.Month, d int) time.Time { return time.Date(2026, month, d, 9, 0, 0, 0, time.UTC) }

func civil(month time.Month, d int) law.Day { return law.Date(2026, month, d) }

// silent is the case that silence about the driver opens.
func (s *story) silent() ID { return IDOf("latina", SilentOf(s.c.ID, 1)) }

func (s *story) by(person Ref) Actor { return Actor{person, "officer"} }

func (s *story) try(body Body) error {
	s.n++
	c, err := s.c.Apply(s.c.Next(KeyOf(fmt.Sprint(s.n)), s.now, s.by("u-1"), body))
	s.c = c
	return err
}

func (s *story) do(bodies ...Body) {
	s.t.Helper()
	for _, b := range bodies {
		if err := s.try(b); err != nil {
			s.t.Fatalf("%s: %v", b.Kind(), err)
		}
	}
}

func (s *story) refused(code string, body Body) {
	s.t.Helper()
	var r *Refusal
	if err := s.try(body); !errors.As(err, &r) || r.Code != code {
		s.t.Errorf("%s: %v, want %s", body.Kind(), err, code)
	} else if want := Codes()[code]; len(r.Args) != len(want) {
		s.t.Errorf("%s: %s has %d arguments, the list %d", body.Kind(), code, len(r.Args), len(want))
	}
}

var (
	read     = Seal(MarkPlate, "AB012CD").Commitment()
	someone  = Seal(MarkPerson, "").Commitment()
	accepted = &Reviewed{Outcome: "accepted", Plate: read, Country: "it", Vehicle: "car"}
	owner    = &OwnerFound{Register: "motorizzazione", Parties: []Party{{Title: "owner", Person: someone, Language: "it"}}}
)

func notice(n int64) Notice {
	return Notice{Of: Of{n}, Party: 1, Number: Ref(fmt.Sprintf("V/2026/%d", n)), Payment: []PayBy{{Ref(fmt.Sprintf("30200000000000000%d", n)), "any"}},
		Article: "142(8)", Minimum: 173_00, Maximum: 694_00, Costs: 16_00, Reducible: true, Points: 3, PIN: "pin-1", LastDay: civil(6, 1)}
}

// noticed tells until the first notice is issued.
func noticed(t *testing.T) *story {
	s := tell(t)
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted,
		&OwnerAsked{Register: "motorizzazione", Request: "q-1"}, owner, &NoticeIssued{notice(1)})
	return s
}

// served tells until the first notice is served on 10 March.
func served(t *testing.T) *story {
	s := noticed(t)
	s.do(&Sent{Of{1}, law.Post, law.At(s.now), "b-1"})
	s.now = day(3, 12)
	s.do(&Outcome{Of{1}, 1, law.Post, "delivered", law.Moment{Day: civil(3, 10)}, "o-1"},
		&Served{Of{1}, Service{1, law.Post, civil(3, 10), "post.delivered"}})
	return s
}

func (s *story) pay(position int64, cents law.Cents, at time.Time) {
	s.t.Helper()
	s.now = at
	parts, excess, err := s.c.Allocate(italy(s.t), position, cents, law.At(at), law.DayOf(at), false)
	if err != nil {
		s.t.Fatal(err)
	}
	s.do(&Paid{Receipt: Ref(fmt.Sprintf("r-%d", s.n)), Method: "pagopa", Received: cents, Ordered: law.At(at), Value: law.DayOf(at), Parts: parts, Excess: excess})
}

func (s *story) wants(state State, m Money) {
	s.t.Helper()
	if got := s.c.Positions[0].State; got != state || s.c.Money != m {
		s.t.Errorf("the position is %s, the money %+v, want %s, %+v", got, s.c.Money, state, m)
	}
}

func TestReviewAsksForTwoReadingsOfOnePlate(t *testing.T) {
	s := tell(t)
	s.refused("review.plate", accepted)
	s.do(&PlateProposed{Plate: read, Country: "it", Permille: 970, Reader: "reader-1"})
	s.refused("review.plate", accepted) // a proposal alone decides nothing
	s.do(&PlateProposed{Plate: read, Country: "it", Permille: 970, Reader: "reader-2"})
	s.refused("review.plate", accepted) // nor do two
	s.do(&PlateTyped{Plate: Seal(MarkPlate, "AB0I2CD").Commitment(), Country: "it"})
	s.refused("review.plate", accepted)
	s.do(&PlateTyped{Plate: read, Country: "it"}, accepted)
	s.refused("act.stage", accepted)
	s.refused("act.outcome", &Reviewed{Outcome: "perhaps"})
}

func TestDeskCannotReview(t *testing.T) {
	s := tell(t)
	_, err := s.c.Apply(s.c.Next(KeyOf("x"), s.now, Actor{"", "work"}, &Reviewed{Outcome: "discarded", Reason: "exempt"}))
	var r *Refusal
	if !errors.As(err, &r) || r.Code != "act.actor" {
		t.Error(err)
	}
}

func TestASecondLookIsAnotherOfficers(t *testing.T) {
	s := tell(t)
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, &Reviewed{Outcome: "second_look", Reason: "drawn"})
	s.refused("review.first_person", accepted)
	s.refused("review.first_person", &Reviewed{Outcome: "discarded", Reason: "exempt"})
	c, err := s.c.Apply(s.c.Next(KeyOf("x"), s.now, s.by("u-2"), accepted))
	if err != nil || c.Stage != StageAccepted {
		t.Error(c.Stage, err)
	}
}

func TestADiscardHasAReasonOfTheList(t *testing.T) {
	s := tell(t)
	s.refused("review.reason", &Reviewed{Outcome: "discarded", Reason: "because"})
	s.do(&Reviewed{Outcome: "discarded", Reason: "emergency"})
	terms, err := s.c.Terms(italy(t))
	if err != nil || len(terms) != 1 || terms[0].Name != "erase" || terms[0].End != civil(3, 5) {
		t.Errorf("terms %+v, %v", terms, err)
	}
	s.do(&HoldPlaced{Reason: "court", Ref: "p-1"}, &HoldPlaced{Reason: "prosecutor", Ref: "p-2"})
	s.refused("erase.hold", &Erased{What: []Erasure{{"pictures"}}, Rule: "discarded_72h"})
	s.do(&HoldLifted{Reason: "court", Ref: "p-1"})
	s.refused("erase.hold", &Erased{What: []Erasure{{"pictures"}}, Rule: "discarded_72h"}) // another one stands
	s.do(&HoldLifted{Reason: "prosecutor", Ref: "p-2"}, &Erased{What: []Erasure{{"pictures"}, {"plate"}}, Rule: "discarded_72h"})
	s.refused("hold.none", &HoldLifted{Reason: "court", Ref: "p-2"})
	s.do(&Closed{Reason: "discarded"})
	s.refused("act.stage", &Reopened{Reason: "mistake"})
}

func TestNotices(t *testing.T) {
	s := noticed(t)
	for name, test := range map[string]struct {
		code  string
		spoil func(*Notice)
	}{
		"a number that was used":           {"notice.number", func(n *Notice) { n.Number = "V/2026/1" }},
		"a payment number that was used":   {"notice.number", func(n *Notice) { n.Payment[0].Number = "302000000000000001" }},
		"not the next position":            {"notice.position", func(n *Notice) { n.Position = 5 }},
		"nobody":                           {"notice.party", func(n *Notice) { n.Party = 9 }},
		"maximum below minimum":            {"notice.amounts", func(n *Notice) { n.Maximum = 1 }},
		"a last day before the violation":  {"notice.too_late", func(n *Notice) { n.LastDay = civil(3, 1) }},
		"a last day that is over":          {"notice.too_late", func(n *Notice) { n.LastDay = civil(2, 28) }},
		"no minimum":                       {"notice.amounts", func(n *Notice) { n.Minimum = 0 }},
		"the number of one that is closed": {"notice.number", func(n *Notice) { n.Number = "V/2026/1"; n.Position = 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			n := notice(2)
			test.spoil(&n)
			s := *s
			s.t = t
			s.refused(test.code, &NoticeIssued{n})
		})
	}
	s.refused("notice.replaces", &NoticeReissued{notice(2), 1})
	s.do(&NoticeAnnulled{Of: Of{1}, Reason: "wrong_owner"}, &NoticeReissued{notice(2), 1})
	s.refused("notice.replaces", &NoticeReissued{notice(3), 1})
	s.refused("position.unknown", &NoticeAnnulled{Of: Of{7}, Reason: "x"})
	s.refused("position.state", &NoticeAnnulled{Of: Of{1}, Reason: "x"})
}

func TestWhatIsTooLateIsNotSent(t *testing.T) {
	s := noticed(t)
	s.refused("sent.before_violation", &Sent{Of{1}, law.Post, law.Moment{Day: civil(3, 1)}, "b"})
	s.refused("sent.future", &Sent{Of{1}, law.Post, law.Moment{Day: civil(3, 3)}, "b"})
	s.refused("outcome.channel", &Sent{Of{1}, "pigeon", law.Moment{Day: civil(3, 2)}, "b"})
	s.now = day(6, 2)
	s.refused("notice.too_late", &Sent{Of{1}, law.Post, law.Moment{Day: civil(6, 2)}, "b"})
	s.do(&Sent{Of{1}, law.Post, law.Moment{Day: civil(6, 1)}, "b"}) // handed over in time, told late
}

func TestServiceIsWhatTheOutcomesMake(t *testing.T) {
	s := noticed(t)
	s.refused("outcome.dispatch", &Outcome{Of{1}, 1, law.Post, "delivered", law.At(s.now), "o"})
	s.do(&Sent{Of{1}, law.Post, law.Moment{Day: civil(3, 2)}, "b"})
	s.refused("served.open", &Served{Of{1}, Service{1, law.Post, civil(3, 2), "post.delivered"}})
	s.refused("outcome.before_sent", &Outcome{Of{1}, 1, law.Post, "stored", law.Moment{Day: civil(3, 1)}, "o"})
	s.refused("outcome.future", &Outcome{Of{1}, 1, law.Post, "stored", law.Moment{Day: civil(3, 3)}, "o"})
	s.refused("outcome.channel", &Outcome{Of{1}, 1, law.PEC, "delivered", law.Moment{Day: civil(3, 2)}, "o"})
	s.now = day(3, 10)
	s.do(&Outcome{Of{1}, 1, law.Post, "stored", law.Moment{Day: civil(3, 6)}, "o"})
	made, err := s.c.ServiceOf(1)
	if err != nil || made.Day != civil(3, 16) || made.Rule != "post.storage_tenth_day" {
		t.Errorf("made %+v, %v", made, err)
	}
	s.refused("served.not_by_rule", &Served{Of{1}, Service{1, law.Post, civil(3, 10), "post.delivered"}})
	s.refused("served.future", &Served{Of{1}, made}) // it may still be collected
	s.now = day(3, 17)
	s.do(&Served{Of{1}, made})
	s.refused("position.state", &Served{Of{1}, made})

	// The post corrects itself: collected on the 12th. Both stay.
	s.do(&Outcome{Of{1}, 1, law.Post, "collected", law.Moment{Day: civil(3, 12)}, "o-2"})
	made, err = s.c.ServiceOf(1)
	if err != nil || made.Day != civil(3, 12) {
		t.Fatal(made, err)
	}
	s.refused("correction.old", &ServedCorrected{Of{1}, made, civil(3, 15), "post"})
	s.do(&ServedCorrected{Of{1}, made, civil(3, 16), "post"})
	p := s.c.Positions[0]
	if p.Served.Day != civil(3, 12) || len(p.Before) != 1 || p.Before[0].Day != civil(3, 16) {
		t.Errorf("served %+v, before %+v", p.Served, p.Before)
	}
}

// The law's own numbers: 173.00, reduced 121.10, half the maximum 347.00, costs 16.00.
func TestPayments(t *testing.T) {
	t.Run("reduced in five days", func(t *testing.T) {
		s := served(t)
		s.pay(1, 137_10, day(3, 16)) // the 15th is a Sunday
		s.wants(StatePaid, Money{Received: 137_10, Applied: 137_10})
		s.do(&Closed{Reason: "paid"})
	})
	t.Run("reduced, credited two days late", func(t *testing.T) {
		s := served(t)
		s.now = day(3, 18)
		parts, excess, err := s.c.Allocate(italy(t), 1, 137_10, law.At(day(3, 16)), civil(3, 18), false)
		if err != nil || excess != 0 || !slices.Equal(parts, []Part{{1, 137_10, "reduced"}}) {
			t.Errorf("%+v, %v, %v", parts, excess, err)
		}
		parts, _, _ = s.c.Allocate(italy(t), 1, 137_10, law.At(day(3, 16)), civil(3, 18), true)
		if !slices.Equal(parts, []Part{{1, 137_10, ""}}) {
			t.Errorf("cash has no grace: %+v", parts)
		}
		parts, _, _ = s.c.Allocate(italy(t), 1, 137_10, law.At(day(3, 17)), civil(3, 17), false)
		if !slices.Equal(parts, []Part{{1, 137_10, ""}}) {
			t.Errorf("grace is for the credit, not for the order: %+v", parts)
		}
	})
	t.Run("too little, then the rest", func(t *testing.T) {
		s := served(t)
		s.pay(1, 137_10, day(3, 20))
		s.wants(StateServed, Money{Received: 137_10, Applied: 137_10})
		d, err := s.c.Due(italy(t), 1, s.now)
		if err != nil || d.Rest != 51_90 || d.Settles != "minimum" {
			t.Errorf("due %+v, %v", d, err)
		}
		s.pay(1, 51_90, day(3, 30))
		s.wants(StatePaid, Money{Received: 189_00, Applied: 189_00})
	})
	t.Run("twice", func(t *testing.T) {
		s := served(t)
		s.pay(1, 137_10, day(3, 13))
		s.pay(1, 137_10, day(3, 13))
		s.wants(StatePaid, Money{Received: 274_20, Applied: 137_10, Excess: 137_10})
		s.refused("close.money_owed", &Closed{Reason: "paid"})
		s.refused("money.excess", &Refunded{137_11, civil(3, 13), "x"})
		s.do(&Refunded{137_10, civil(3, 13), "x"}, &Closed{Reason: "paid"})
		s.pay(1, 10_00, day(4, 1)) // also a closed case keeps what comes
		s.wants(StatePaid, Money{Received: 284_20, Applied: 137_10, Excess: 10_00, Refunded: 137_10})
		if tasks := s.c.Tasks(); len(tasks) != 1 || tasks[0].Code != "refund" {
			t.Errorf("tasks %+v", tasks)
		}
	})
	t.Run("before service, as on its day", func(t *testing.T) {
		s := noticed(t)
		s.pay(1, 137_10, day(3, 3))
		s.wants(StatePaid, Money{Received: 137_10, Applied: 137_10})
	})
	t.Run("half the maximum after sixty days", func(t *testing.T) {
		s := served(t)
		s.now = day(5, 20)
		if d, err := s.c.Due(italy(t), 1, s.now); err != nil || d.Rest != 363_00 || d.Band != law.TitleBand {
			t.Errorf("due %+v, %v", d, err)
		}
		s.do(&Title{Of{1}, 347_00, 16_00, civil(5, 12)})
		s.pay(1, 400_00, day(5, 20))
		s.wants(StatePaid, Money{Received: 400_00, Applied: 363_00, Excess: 37_00})
	})
	t.Run("an unexplained cent is refused", func(t *testing.T) {
		s := served(t)
		s.refused("money.unbalanced", &Paid{Receipt: "r", Method: "bank", Received: 10, Ordered: law.At(s.now), Value: civil(3, 12), Excess: 9})
		s.refused("money.unbalanced", &Paid{Receipt: "r", Method: "bank", Ordered: law.At(s.now), Value: civil(3, 12)})
		s.refused("money.part", &Paid{Receipt: "r", Method: "bank", Received: 10, Excess: 10, Ordered: law.At(s.now), Value: civil(3, 12), Parts: []Part{{1, 0, "reduced"}}})
		s.refused("money.part", &Paid{Receipt: "r", Method: "bank", Received: 20, Ordered: law.At(s.now), Value: civil(3, 12), Parts: []Part{{1, 10, ""}, {1, 10, ""}}})
	})
	t.Run("annulled afterwards", func(t *testing.T) {
		s := served(t)
		s.pay(1, 137_10, day(3, 13))
		s.do(&NoticeAnnulled{Of: Of{1}, Reason: "cloned"})
		s.wants(StateAnnulled, Money{Received: 137_10, Excess: 137_10})
	})
}

// TestACorrectionMakesAPaymentTimely: served later than was thought (C35).
func TestACorrectionMakesAPaymentTimely(t *testing.T) {
	s := served(t)
	s.refused("money.part", &Settled{Of{1}, "reduced", 0})
	s.pay(1, 140_00, day(3, 20))
	s.do(&Outcome{Of{1}, 1, law.Post, "delivered", law.Moment{Day: civil(3, 17)}, "o-2"},
		&ServedCorrected{Of{1}, Service{1, law.Post, civil(3, 17), "post.delivered"}, civil(3, 10), "post"})
	if d, err := s.c.Due(italy(t), 1, s.now); err != nil || d.Rest != 0 || d.Cents() != 137_10 {
		t.Errorf("due %+v, %v", d, err)
	}
	s.refused("money.excess", &Settled{Of{1}, "reduced", 140_00})
	s.do(&Settled{Of{1}, "reduced", 2_90})
	s.wants(StatePaid, Money{Received: 140_00, Applied: 137_10, Excess: 2_90})
}

func TestOnePaymentDischargesJointDebtors(t *testing.T) {
	s := tell(t)
	joint := &OwnerFound{Register: "r", Parties: []Party{{Title: "joint_owner", Person: someone, Language: "it"}, {Title: "joint_owner", Person: someone, Language: "it"}}}
	second := notice(2)
	second.Party = 2
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted, joint, &NoticeIssued{notice(1)}, &NoticeIssued{second})
	s.pay(2, 137_10, day(3, 3))
	if s.c.Positions[0].State != StatePaid || s.c.Positions[1].State != StatePaid || s.c.Money.Applied != 137_10 {
		t.Errorf("%+v, %+v", s.c.Positions, s.c.Money)
	}
}

func TestTheTwoWaysOfAppealExcludeEachOther(t *testing.T) {
	s := served(t)
	s.do(&Appealed{Of{1}, "prefect", civil(3, 12), true, "a-1", law.Day{}})
	s.refused("position.state", &Appealed{Of{1}, "judge", civil(3, 12), false, "a-2", law.Day{}})
	early := served(t)
	early.refused("act.day", &Appealed{Of{1}, "judge", civil(3, 13), false, "a", law.Day{}})
	early.refused("act.day", &PlanRequested{Of: Of{1}, Day: civil(3, 1), Ref: "p"})
	terms, err := s.c.Terms(italy(t))
	if err != nil || len(terms) != 1 || terms[0].Name != "prefect_order" || terms[0].End != civil(9, 8) {
		t.Errorf("180 days through the office, and the duty to say who drove waits: %+v, %v", terms, err)
	}
	s.refused("position.state", &DriverSilent{Of{1}, civil(3, 11), s.silent()})
	if _, err := s.c.Due(italy(t), 1, s.now); err == nil {
		t.Error("a sum is asked for while an appeal runs")
	}
	s.now = day(6, 1)
	s.do(&AppealDecided{Of{1}, "inadmissible", "decision", civil(6, 1), 0, 0, "d"})
	s.refused("appeal.exclusive", &Appealed{Of{1}, "judge", civil(6, 1), false, "a-3", law.Day{}})
	s.do(&Appealed{Of{1}, "prefect", civil(6, 1), false, "a-4", law.Day{}}, &AppealDecided{Of{1}, "rejected", "decision", civil(6, 1), 346_00, 16_00, "d"})
	s.refused("appeal.exclusive", &Appealed{Of{1}, "prefect", civil(6, 1), false, "a-5", law.Day{}})
	s.do(&OrderServed{Of{1}, civil(6, 1), "x"}, &DriverInvited{Of{1}, civil(6, 1), "x"})
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 3 || terms[0].Name != "judge" || terms[1].Name != "order" || terms[2].Name != "driver" || terms[2].End != civil(7, 31) {
		t.Errorf("terms %+v, %v", terms, err)
	}
	s.do(&Appealed{Of{1}, "judge", civil(6, 1), false, "a-6", law.Day{}}, &AppealDecided{Of{1}, "inadmissible", "decision", civil(6, 1), 0, 0, "d"})
	s.wants(StateOrdered, Money{}) // the prefect's order stands
	s.do(&Appealed{Of{1}, "judge", civil(6, 1), false, "a-7", law.Day{}}, &AppealDecided{Of{1}, "upheld", "decision", civil(6, 1), 0, 0, "d"})
	s.wants(StateUpheld, Money{})
}

func TestAnInadmissibleAppealLeavesATitle(t *testing.T) {
	s := served(t)
	s.now = day(5, 20)
	s.do(&Title{Of{1}, 347_00, 16_00, civil(5, 12)}, &Appealed{Of{1}, "judge", civil(5, 20), false, "a", law.Day{}})
	s.pay(1, 363_00, day(5, 21)) // while the appeal runs nothing is settled
	s.wants(StateAppealed, Money{Received: 363_00, Applied: 363_00})
	s.do(&AppealDecided{Of{1}, "inadmissible", "decision", civil(5, 21), 0, 0, "d"})
	s.wants(StateTitle, Money{Received: 363_00, Applied: 363_00})
	s.do(&Settled{Of{1}, "title", 0})
	s.wants(StatePaid, Money{Received: 363_00, Applied: 363_00})
}

// TestWhatWasPaidOnAnAnnulledNoticePaysTheNewOne: nobody pays twice and waits for a refund.
func TestWhatWasPaidOnAnAnnulledNoticePaysTheNewOne(t *testing.T) {
	s := served(t)
	s.pay(1, 137_10, day(3, 13))
	s.do(&NoticeAnnulled{Of: Of{1}, Reason: "wrong_place"}, &NoticeReissued{notice(2), 1})
	s.refused("money.excess", &Credited{Of{2}, 137_11, "reduced"})
	s.do(&Credited{Of{2}, 137_10, "reduced"})
	if s.c.Positions[1].State != StatePaid || s.c.Money != (Money{Received: 137_10, Applied: 137_10}) {
		t.Errorf("%s, %+v", s.c.Positions[1].State, s.c.Money)
	}
}

func TestPartiesKeepTheirNumbers(t *testing.T) {
	s := noticed(t)
	s.do(&NoticeAnnulled{Of: Of{1}, Reason: "wrong_vehicle"}, &ReviewReopened{Reason: "other_make"})
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted)
	s.refused("act.stage", &NoticeIssued{notice(2)})
	s.do(owner)
	s.refused("notice.party", &NoticeIssued{notice(2)}) // the first one is gone
	second := notice(2)
	second.Party = 2
	s.do(&NoticeIssued{second})
}

func TestPlan(t *testing.T) {
	s := served(t)
	s.pay(1, 9_00, day(3, 13)) // on account before it
	s.do(&PlanRequested{Of: Of{1}, Day: civil(3, 13), Ref: "p"})
	s.refused("position.state", &Appealed{Of{1}, "judge", civil(3, 13), false, "a", law.Day{}})
	s.refused("plan.instalments", &PlanDecided{Of: Of{1}, Outcome: "granted"})
	s.refused("plan.instalments", &PlanDecided{Of: Of{1}, Outcome: "granted", Instalments: []Instalment{{"i-1", civil(5, 1), 90_00}, {"i-2", civil(4, 1), 90_00}}})
	s.do(&PlanDecided{Of: Of{1}, Outcome: "granted", Instalments: []Instalment{{"i-1", civil(4, 1), 90_00}, {"i-2", civil(5, 1), 90_00}}})
	s.pay(1, 90_00, day(3, 31))
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 2 || terms[0].Name != "instalment" || terms[0].End != civil(5, 1) {
		t.Errorf("terms %+v, %v", terms, err)
	}
	refused := served(t)
	refused.do(&PlanRequested{Of: Of{1}, Day: civil(3, 12), Ref: "p"})
	refused.now = day(5, 20) // past the sixty days
	if d, err := refused.c.Due(italy(t), 1, refused.now); err != nil || d.Rest != 189_00 || law.DayOf(d.Until) != civil(7, 10) {
		t.Errorf("while it is asked for: %+v, %v", d, err)
	}
	refused.refused("plan.until", &PlanDecided{Of: Of{1}, Outcome: "refused"})
	refused.refused("plan.until", &PlanDecided{Of: Of{1}, Outcome: "refused", Until: civil(5, 19)})
	refused.do(&PlanDecided{Of: Of{1}, Outcome: "refused", Until: civil(6, 19)})
	if d, err := refused.c.Due(italy(t), 1, day(6, 19)); err != nil || d.Rest != 189_00 || d.Settles != "minimum" {
		t.Errorf("the minimum until the day that the refusal gives: %+v, %v", d, err)
	}
	if d, err := refused.c.Due(italy(t), 1, day(6, 20)); err != nil || d.Rest != 363_00 {
		t.Errorf("and no longer: %+v, %v", d, err)
	}
	refused.pay(1, 189_00, day(6, 19))
	refused.wants(StatePaid, Money{Received: 189_00, Applied: 189_00})

	lapsed := *s
	lapsed.refused("plan.instalments", &PlanLapsed{Of: Of{1}, Reason: "first"}) // the first is paid, the second not due
	lapsed.now = day(5, 2)
	lapsed.do(&PlanLapsed{Of: Of{1}, Reason: "first"})
	if d, err := lapsed.c.Due(italy(t), 1, day(4, 2)); err != nil || d.Rest != 189_00-99_00 {
		t.Errorf("without the reduction, less what was paid: %+v, %v", d, err)
	}
	s.pay(1, 95_00, day(4, 30))
	s.wants(StatePaid, Money{Received: 194_00, Applied: 189_00, Excess: 5_00})
}

func TestDoubtStopsACaseAndTakesMoneyAllTheSame(t *testing.T) {
	s := noticed(t)
	s.do(&Stopped{Reason: "record_disputed", About: evidence.Hash{9}})
	if tasks := s.c.Tasks(); tasks[0] != (Task{"stopped", 0, "record_disputed"}) {
		t.Errorf("tasks %+v", tasks)
	}
	s.refused("act.stopped", &Sent{Of{1}, law.Post, law.At(s.now), "b"})
	s.refused("act.stopped", &NoticeIssued{notice(2)})
	s.pay(1, 137_10, day(3, 3))
	s.do(&Stopped{Reason: "key_revoked", About: evidence.Hash{8}}, &Resumed{Reason: "cleared", About: evidence.Hash{9}})
	s.refused("act.stopped", &Sent{Of{1}, law.Post, law.At(s.now), "b"}) // the other doubt stands
	s.do(&Resumed{Reason: "cleared", About: evidence.Hash{8}})
	s.refused("act.stage", &Resumed{Reason: "cleared", About: evidence.Hash{9}})
}

func TestTheOfficesTerm(t *testing.T) {
	l := italy(t)
	s := tell(t)
	terms, err := s.c.Terms(l)
	want := Term{"notify", 0, civil(3, 2), civil(6, 1), "violation", "office", []law.Day{civil(4, 1), civil(5, 1), civil(5, 21)}} // 31 May is a Sunday
	if err != nil || len(terms) != 1 || fmt.Sprint(terms[0]) != fmt.Sprint(want) {
		t.Errorf("terms %+v, %v, want %+v", terms, err, want)
	}
	if issued, err := noticed(t).c.Terms(l); err != nil || len(issued) != 1 || fmt.Sprint(issued[0]) != fmt.Sprint(Term{"notify", 1, civil(3, 2), civil(6, 1), "issued", "office", want.Alarms}) {
		t.Errorf("terms of an issued notice %+v, %v", issued, err)
	}
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted)
	s.refused("owner.since", &OwnerLate{Since: civil(3, 1), Reason: "foreign_register"})
	s.refused("owner.since", &OwnerLate{Since: civil(3, 3), Reason: "foreign_register"})
	s.now = day(5, 20)
	s.do(&OwnerLate{Since: civil(5, 18), Reason: "foreign_register"})
	if terms, err := s.c.Terms(l); err != nil || terms[0].End != civil(8, 17) || terms[0].Reason != "owner_late" { // the 16th is a Sunday
		t.Errorf("terms %+v, %v", terms, err)
	}
	s.do(&OwnerFound{Register: "r", Parties: []Party{{Title: "owner", Person: someone, Language: "de", Abroad: true}}})
	if terms, err := s.c.Terms(l); err != nil || terms[0].Name != "notify_abroad" {
		t.Errorf("terms %+v, %v", terms, err)
	}
	if last, err := s.c.LastToServe(l, 1); err != nil || last != law.Date(2027, 5, 13) {
		t.Errorf("360 days: %v, %v", last, err)
	}
	if _, err := s.c.LastToServe(l, 2); err == nil {
		t.Error("a party that is not there has a term")
	}
	s.refused("owner.party", &OwnerFound{Register: "r", Parties: []Party{{Title: "neighbour", Person: someone, Language: "it"}}})
}

func TestDriver(t *testing.T) {
	s := served(t)
	s.refused("owner.party", &DriverNamed{Of: Of{1}, Day: civil(3, 12), Complete: true, Drivers: owner.Parties, Ref: "d"})
	s.refused("position.state", &DriverSilent{Of{1}, civil(3, 12), s.silent()}) // the day is not over
	named := s.c
	s.do(&DriverNamed{Of: Of{1}, Day: civil(3, 12), Complete: true, Drivers: []Party{{Title: "driver", Person: someone, Language: "it"}}, Ref: "d"})
	if terms, err := s.c.Terms(italy(t)); err != nil || !slices.ContainsFunc(terms, func(t Term) bool {
		return t.Name == "notify" && t.Reason == "named" && t.Begin == civil(3, 12) && t.End == civil(6, 10)
	}) {
		t.Errorf("the driver has a term of the own from the day of the data: %+v, %v", terms, err)
	}
	second := notice(2)
	second.Party = 2
	s.do(&NoticeIssued{second})
	s.c, s.now = named, day(5, 12)
	s.refused("open.id", &DriverSilent{Of{1}, civil(5, 11), ID{7}})
	s.do(&DriverSilent{Of{1}, civil(5, 11), s.silent()})
	s.refused("position.state", &DriverSilent{Of{1}, civil(5, 11), s.silent()})
	child := New(s.silent())
	if child, err := child.Apply(child.Next(KeyOf("c"), s.now, Actor{"", "driver"},
		&Opened{Institution: "latina", Source: "driver_silent", About: SilentOf(s.c.ID, 1), From: s.c.ID, At: s.now})); err != nil || child.Stage != StageAccepted {
		t.Error(child.Stage, err)
	}
}

func TestAKeyThatIsThereIsNoAct(t *testing.T) {
	s := tell(t)
	a := s.c.Next(KeyOf("double"), s.now, s.by("u"), &PlateTyped{Plate: read, Country: "it"})
	once, err := s.c.Apply(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []*Act{a, once.Next(a.Key, s.now.Add(time.Second), s.by("u"), accepted)} {
		if twice, err := once.Apply(again); err != nil || !twice.Equal(once) {
			t.Errorf("a second act: %+v, %v", twice, err)
		}
	}
	if s.c.Acts != 1 || len(s.c.Readings) != 0 {
		t.Error("Apply has changed the case before")
	}
}

func TestActsAreAChain(t *testing.T) {
	s := tell(t)
	a := s.c.Next(KeyOf("x"), s.now, s.by("u"), &PlateTyped{Plate: read, Country: "it"})
	for name, spoil := range map[string]func(*Act){
		"another case": func(a *Act) { a.Case = ID{1} }, "another number": func(a *Act) { a.Number++ }, "another past": func(a *Act) { a.Prev = evidence.Hash{} },
	} {
		other := *a
		spoil(&other)
		var broken *ChainError
		if _, err := s.c.Apply(&other); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	early := *a
	early.Day = civil(3, 3)
	var r *Refusal
	if _, err := s.c.Apply(&early); !errors.As(err, &r) || r.Code != "act.day" {
		t.Errorf("a day that has not come: %v", err)
	}
}

// TestBalance counts each case under one word.
func TestBalance(t *testing.T) {
	open, discarded, closed := tell(t), tell(t), tell(t)
	discarded.do(&Reviewed{Outcome: "discarded", Reason: "exempt"}, &Closed{Reason: "discarded"})
	closed.do(&Closed{Reason: "expired"})
	for want, c := range map[Code]Case{"waiting": open.c, "discarded": discarded.c, "closed": closed.c, "noticed": noticed(t).c} {
		if got := c.Share(); got != want {
			t.Errorf("counts as %s, want %s", got, want)
		}
	}
}

// anyCase returns a case after a random life of a seed, with the acts that Apply took, some
// of which came twice.
func anyCase(t rapid.TB, l *law.Law, seed uint64, acts int) (Case, []*Act) {
	// Numbers of rapid are small more often than not: lives would be short and alike.
	dice := rand.New(rand.NewPCG(seed, 1))
	c := New(IDOf("latina", evidence.Hash{1}))
	now := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC).Add(time.Duration(dice.IntN(200)) * 24 * time.Hour)
	var kept []*Act
	for i, body := range usual(now)[:one(dice, []int{10, 9, 7, 5, 4, 1, 0})] {
		a := c.Next(KeyOf("usual", fmt.Sprint(i)), now, Actor{"u-1", "officer"}, body)
		var err error
		if c, err = c.Apply(a); err != nil {
			t.Fatal(body.Kind(), err)
		}
		kept = append(kept, a)
	}
	for i := range acts {
		now = now.Add(time.Duration(one(dice, []int{0, 0, 0, 1, 2, 5, 20})) * 24 * time.Hour)
		body := anyBody(t, dice, &c, l, now)
		a := c.Next(KeyOf(fmt.Sprint(i)), now, Actor{one(dice, []Ref{"u-1", "u-2", "u-1", "u-2", ""}), "officer"}, body)
		after, err := c.Apply(a)
		var r *Refusal
		switch {
		case errors.As(err, &r):
			if want, ok := Codes()[r.Code]; !ok || len(want) != len(r.Args) {
				t.Fatalf("%s: %v is not as the list says", body.Kind(), r)
			}
			if !after.Equal(c) {
				t.Fatalf("%s was refused and changed the case", body.Kind())
			}
		case err != nil:
			t.Fatalf("%s: %v", body.Kind(), err)
		default:
			if again, err := after.Apply(a); err != nil || !again.Equal(after) {
				t.Fatalf("%s twice: %v", body.Kind(), err)
			}
			kept, c = append(kept, a), after
		}
	}
	return c, kept
}

// usual is how most lives begin.
func usual(now time.Time) []Body {
	today := law.DayOf(now)
	first, second := notice(1), notice(2)
	first.LastDay, second.LastDay, second.Party = today.Add(90), today.Add(90), 2
	return []Body{
		&Opened{Institution: "latina", Source: "violation", About: evidence.Hash{1}, At: now},
		&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted,
		&OwnerFound{Register: "r", Parties: []Party{{Title: "joint_owner", Person: someone, Language: "it"}, {Title: "joint_owner", Person: someone, Language: "it"}}},
		&NoticeIssued{first}, &NoticeIssued{second},
		&Sent{Of{1}, law.Hand, law.Moment{Day: today}, "b"},
		&Outcome{Of{1}, 1, law.Hand, "delivered", law.Moment{Day: today}, "o"},
		&Served{Of{1}, Service{1, law.Hand, today, "hand.delivered"}},
	}
}

// fits reports whether a rule is about what the case has.
func fits(r rule, c *Case) bool {
	return slices.Contains(r.stages, c.Stage) && (len(r.states) == 0 || slices.Contains(r.states, StateNone) ||
		slices.ContainsFunc(c.Positions, func(p Position) bool { return slices.Contains(r.states, p.State) }))
}

// one of a list.
func one[T any](dice *rand.Rand, of []T) T { return of[dice.IntN(len(of))] }

// fitting returns the positions that an act of a kind may be about.
func fitting(kind Kind, c *Case) (numbers []int64) {
	for _, p := range c.Positions {
		fits := slices.ContainsFunc(rules, func(r rule) bool { return r.kind == kind && slices.Contains(r.states, p.State) })
		if fits || kind == KindNoticeReissued && p.State == StateAnnulled {
			numbers = append(numbers, p.Number)
		}
	}
	return numbers
}

// anyBody returns an act that the stage of the case may take.
func anyBody(t rapid.TB, dice *rand.Rand, c *Case, l *law.Law, now time.Time) Body {
	var may []Kind
	for _, r := range rules {
		if fits(r, c) && !slices.Contains(may, r.kind) {
			may = append(may, r.kind)
		}
	}
	kind := one(dice, may)
	if slices.Contains([]Kind{KindStopped, KindNoticeAnnulled, KindReviewReopened}, kind) { // what ends much is rarer
		kind = one(dice, may)
	}
	today := law.DayOf(now)
	recent := today.Add(1 - dice.IntN(14))
	of := Of{1 + dice.Int64N(int64(len(c.Positions))+1)}
	if fit := fitting(kind, c); len(fit) > 0 && dice.IntN(10) > 0 {
		of.Position = one(dice, fit)
	}
	cents := law.Cents(one(dice, []int{1, 50_00, 137_10, 189_00, 363_00, 1000_00}))
	pick := func(of ...Code) Code { return one(dice, of) }
	channel := one(dice, []law.Channel{law.Hand, law.Post, law.PEC, law.SendPEC, law.SendPaper})
	n := notice(int64(len(c.Positions) + 1))
	n.Party, n.LastDay = int64(1+dice.IntN(2)), c.Day.Add(90)
	if c.Stage == StageNone || n.LastDay.Before(today) {
		n.LastDay = today
	}
	if dice.IntN(10) == 0 {
		n.Number = "V/2026/1"
	}
	switch kind {
	case KindOpened:
		return &Opened{Institution: "latina", Source: pick("violation", "violation", "driver_silent"), About: evidence.Hash{1}, At: now}
	case KindPlateProposed:
		return &PlateProposed{Plate: read, Country: "it", Reader: "r"}
	case KindPlateTyped:
		return &PlateTyped{Plate: read, Country: "it"}
	case KindReviewed:
		return &Reviewed{Outcome: pick("accepted", "accepted", "accepted", "second_look", "discarded"), Plate: read, Country: "it", Vehicle: "car", Reason: "exempt"}
	case KindReviewReopened:
		return &ReviewReopened{Reason: "vehicle"}
	case KindOwnerAsked:
		return &OwnerAsked{Register: "r", Request: "q"}
	case KindOwnerFound:
		return &OwnerFound{Register: "r", Parties: []Party{{Title: pick("owner", "lessee", "nobody"), Person: someone, Language: "it", Abroad: cents == 1}, {Title: "joint_owner", Person: someone, Language: "it"}}}
	case KindOwnerNotFound:
		return &OwnerNotFound{Register: "r", Reason: "unknown_plate"}
	case KindOwnerLate:
		return &OwnerLate{Since: recent, Reason: "foreign"}
	case KindNoticeIssued:
		return &NoticeIssued{n}
	case KindNoticeReissued:
		if p, err := c.Position(of.Position); err == nil {
			n.Party = p.Notice.Party
		}
		return &NoticeReissued{n, of.Position}
	case KindNoticeAnnulled:
		return &NoticeAnnulled{Of: of, Reason: "x"}
	case KindSent:
		return &Sent{of, channel, law.Moment{Day: recent}, "b"}
	case KindOutcome:
		o := &Outcome{of, int64(1 + dice.IntN(2)), channel, pick(Outcomes()...), law.Moment{Day: recent}, "o"}
		if p, err := c.Position(of.Position); err == nil && len(p.Sent) > 0 {
			o.Channel = p.Sent[0].Channel
		}
		return o
	case KindServed, KindServedCorrected:
		s, err := c.ServiceOf(of.Position)
		if err != nil {
			s = Service{1, channel, recent, "post.delivered"}
		}
		if p, err := c.Position(of.Position); kind == KindServedCorrected && err == nil && p.Served != nil {
			return &ServedCorrected{of, s, p.Served.Day, "x"}
		}
		return &Served{of, s}
	case KindServiceVoid, KindCostsCorrected:
		p, err := c.Position(of.Position)
		if kind == KindCostsCorrected {
			return &CostsCorrected{of, p.Costs, cents, "send"}
		}
		if err != nil || p.Served == nil {
			return &ServiceVoid{Of: of, Old: recent, Reason: "x"}
		}
		return &ServiceVoid{Of: of, Old: p.Served.Day, Reason: "x"}
	case KindPaid:
		b := &Paid{Receipt: Ref(fmt.Sprint("r-", c.Acts)), Method: "bank", Received: cents, Ordered: law.At(now), Value: today, Excess: cents}
		if parts, excess, err := c.Allocate(l, of.Position, cents, b.Ordered, today, false); err == nil {
			b.Parts, b.Excess = parts, excess
		}
		if pick("right", "right", "wrong") == "wrong" {
			b.Parts, b.Excess = []Part{{of.Position, cents, pick("", "reduced")}}, law.Cents(dice.IntN(2))
		}
		return b
	case KindPaymentRevoked:
		b := &PaymentRevoked{Receipt: "r", Method: "bank", Reason: "x"}
		if len(c.receipts) > 0 {
			r := one(dice, c.receipts)
			b.Receipt, b.Method = r.number, r.method
			if b.Excess = min(r.cents, c.Money.Excess); b.Excess < r.cents {
				b.Parts = []Part{{of.Position, r.cents - b.Excess, ""}}
			}
		}
		return b
	case KindSettled:
		return &Settled{of, pick("reduced", "minimum"), cents * law.Cents(dice.IntN(2))}
	case KindCredited:
		return &Credited{of, cents, pick("", "minimum")}
	case KindRefunded:
		return &Refunded{cents, today, "x"}
	case KindAppealed:
		return &Appealed{of, pick("prefect", "judge"), recent, true, "a", law.Day{}}
	case KindAppealHearing:
		return &AppealHearing{of, recent, recent.Add(dice.IntN(30)), "h"}
	case KindAppealDecided:
		return &AppealDecided{of, pick("upheld", "rejected", "inadmissible"), "decision", today, cents, 16_00, "d"}
	case KindOrderServed:
		return &OrderServed{of, today, "x"}
	case KindPlanRequested:
		return &PlanRequested{Of: of, Day: recent, Ref: "p"}
	case KindPlanDecided:
		b := &PlanDecided{Of: of, Outcome: pick("granted", "refused", "silence")}
		if b.Outcome == "granted" {
			b.Instalments = []Instalment{{"i-1", today.Add(10), 90_00}, {"i-2", today.Add(40), 99_00}}
		} else {
			b.Until = today.Add(30)
		}
		return b
	case KindPlanLapsed:
		return &PlanLapsed{Of: of, Reason: "x"}
	case KindDriverInvited:
		return &DriverInvited{of, recent, "x"}
	case KindDriverNamed:
		return &DriverNamed{Of: of, Day: today, Complete: cents != 1, Drivers: []Party{{Title: "driver", Person: someone, Language: "it"}}, Ref: "d"}
	case KindDriverSilent:
		return &DriverSilent{of, recent, IDOf("latina", SilentOf(c.ID, of.Position))}
	case KindTitle:
		return &Title{of, 347_00, 16_00, recent}
	case KindClosed:
		return &Closed{Reason: pick("paid", "discarded", "expired")}
	case KindReopened:
		return &Reopened{Reason: "x"}
	case KindHoldPlaced:
		return &HoldPlaced{Reason: "court", Ref: "x"}
	case KindHoldLifted:
		return &HoldLifted{Reason: "court", Ref: "x"}
	case KindStopped:
		return &Stopped{Reason: "record_disputed"}
	case KindResumed:
		return &Resumed{Reason: "x"}
	case KindErased:
		return &Erased{What: []Erasure{{"person"}}, Rule: "x"}
	}
	t.Fatalf("no body of kind %s", kind)
	return nil
}

func TestRandomLives(t *testing.T) {
	l := italy(t)
	rapid.Check(t, func(r *rapid.T) {
		c, kept := anyCase(r, l, rapid.Uint64().Draw(r, "seed"), 100-rapid.IntRange(0, 99).Draw(r, "acts less"))
		checkLife(r, l, c, kept)
	})
}

// TestRandomLivesReachEverything: seeds that are always the same come to each kind of act.
func TestRandomLivesReachEverything(t *testing.T) {
	l := italy(t)
	seen := make(map[Kind]bool)
	for seed := range uint64(150) {
		c, kept := anyCase(t, l, seed, 100)
		for _, a := range kept {
			seen[a.Body.Kind()] = true
		}
		checkLife(t, l, c, kept)
	}
	for _, b := range bodies() {
		if !seen[b.Kind()] {
			t.Errorf("no random life has a %s", b.Kind())
		}
	}
}

func checkLife(t rapid.TB, l *law.Law, c Case, kept []*Act) {
	t.Helper()
	read := make([]*Act, len(kept))
	for i, a := range kept { // as they are kept
		b, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if read[i], err = Decode(b); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Fold(c.ID, read); err != nil || !got.Equal(c) {
		t.Fatalf("rebuilt case = %+v, %v, want %+v", got, err, c)
	}
	checkMoney(t, c)
	checkNumbers(t, c)
	checkOneSum(t, c)
	terms, err := c.Terms(l)
	var no *law.Error
	if err != nil && !errors.As(err, &no) {
		t.Fatal(err)
	}
	for _, term := range terms {
		if term.End.Before(term.Begin) || term.Begin.Zero() || term.Who == "" || term.Reason == "" {
			t.Fatalf("a term ends before it begins, or nobody must act: %+v", term)
		}
	}
}

func checkMoney(t rapid.TB, c Case) {
	t.Helper()
	var applied law.Cents
	for _, p := range c.Positions {
		if applied += p.Paid; p.Paid < 0 {
			t.Fatalf("position %d has %v", p.Number, p.Paid)
		}
	}
	if m := c.Money; m.Received != m.Applied+m.Excess+m.Refunded || m.Applied != applied || m.Excess < 0 || m.Refunded < 0 {
		t.Fatalf("money is unexplained: %+v, %v on positions", m, applied)
	}
}

// checkOneSum: who answers for one violation owes one sum, once.
func checkOneSum(t rapid.TB, c Case) {
	t.Helper()
	charged := make(map[int64]bool)
	for _, p := range c.Positions {
		if slices.Contains(live, p.State) && c.settled() {
			t.Fatalf("position %d is %s, and another is paid", p.Number, p.State)
		}
		if p.State == StateServed && p.Served == nil || p.State == StatePaid && p.Settled == "" {
			t.Fatalf("position %d is %s: %+v", p.Number, p.State, p)
		}
		if p.State != StateAnnulled && charged[p.Notice.Party] {
			t.Fatalf("party %d has two notices", p.Notice.Party)
		}
		charged[p.Notice.Party] = charged[p.Notice.Party] || p.State != StateAnnulled
	}
}

func checkNumbers(t rapid.TB, c Case) {
	t.Helper()
	used := make(map[Ref]bool)
	for _, p := range c.Positions {
		if used[p.Notice.Number] {
			t.Fatalf("number %s is used twice", p.Notice.Number)
		}
		used[p.Notice.Number] = true
	}
}
