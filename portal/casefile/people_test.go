package casefile

import (
	"testing"

	"ciglio/capture/evidence"
	"ciglio/portal/law"
)

// Sequences of acts that happen to people.

func (s *story) state(position int64, want State) {
	s.t.Helper()
	if p, err := s.c.Position(position); err != nil || p.State != want {
		s.t.Errorf("position %d is %s, %v, want %s", position, p.State, err, want)
	}
}

func second() *NoticeIssued {
	n := notice(2)
	n.Party = 2
	return &NoticeIssued{n}
}

func driver(d law.Day) *DriverNamed {
	return &DriverNamed{Of: Of{1}, Day: d, Complete: true, Drivers: []Party{{Title: "driver", Person: someone, Language: "it"}}, Ref: "d"}
}

// joint tells until two joint owners have each a notice of one sum.
func joint(t *testing.T) *story {
	s := tell(t)
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted,
		&OwnerFound{Register: "r", Parties: []Party{{Title: "joint_owner", Person: someone, Language: "it"}, {Title: "joint_owner", Person: someone, Language: "it"}}},
		&NoticeIssued{notice(1)}, second())
	return s
}

func TestOneSumIsOwedOnce(t *testing.T) {
	l := italy(t)
	t.Run("the owner pays, then names the driver", func(t *testing.T) {
		s := served(t)
		s.pay(1, 137_10, day(3, 13))
		s.do(driver(civil(3, 13)), second(), &Sent{Of{2}, law.Post, law.At(s.now), "b-2"})
		s.state(2, StatePaid)
		if _, err := s.c.Due(l, 2, s.now); err == nil {
			t.Error("the driver is asked for what the owner has paid")
		}
		s.pay(2, 137_10, day(3, 14))
		s.wants(StatePaid, Money{Received: 274_20, Applied: 137_10, Excess: 137_10})
	})
	t.Run("what is enough after a correction is enough for both", func(t *testing.T) {
		s := joint(t)
		s.pay(1, 100_00, day(3, 3))
		s.do(&Settled{Of{1}, "reduced", 0})
		s.state(2, StatePaid)
	})
	t.Run("the money of an annulled notice frees nobody any more", func(t *testing.T) {
		s := joint(t)
		s.do(&Sent{Of{2}, law.Post, law.At(s.now), "b"})
		s.pay(1, 137_10, day(3, 3))
		s.state(2, StatePaid)
		s.do(&NoticeAnnulled{Of: Of{1}, Reason: "wrong_person"})
		s.state(2, StateSent)
		s.wants(StateAnnulled, Money{Received: 137_10, Excess: 137_10})
		s.do(&Credited{Of{2}, 137_10, "reduced"})
		s.state(2, StatePaid)
		s.wants(StateAnnulled, Money{Received: 137_10, Applied: 137_10})
	})
	t.Run("a receipt that is told twice, under two keys", func(t *testing.T) {
		s := served(t)
		paid := &Paid{Receipt: "r", Method: "pagopa", Received: 1_00, Ordered: law.At(s.now), Value: civil(3, 12), Parts: []Part{{1, 1_00, ""}}}
		s.do(paid)
		s.refused("money.receipt", paid)
	})
	t.Run("the minimum does not buy off an order", func(t *testing.T) {
		s := served(t)
		s.do(&Appealed{Of{1}, "prefect", civil(3, 12), true, "a", law.Day{}}, &AppealDecided{Of{1}, "rejected", "decision", civil(3, 12), 346_00, 16_00, "d"},
			&Appealed{Of{1}, "judge", civil(3, 12), false, "a-2", law.Day{}})
		s.pay(1, 189_00, day(3, 20))
		s.wants(StateAppealed, Money{Received: 189_00, Applied: 189_00})
	})
	t.Run("nobody has two notices", func(t *testing.T) {
		s := noticed(t)
		s.refused("notice.party", &NoticeIssued{notice(2)})
		s.do(&NoticeAnnulled{Of: Of{1}, Reason: "wrong_place"}, &NoticeReissued{notice(2), 1})
	})
}

// TestAnAppealComesBeforeTheReturnReceipt: people write on the day of the letter, the post
// tells weeks later.
func TestAnAppealComesBeforeTheReturnReceipt(t *testing.T) {
	sent := func() *story {
		s := noticed(t)
		s.do(&Sent{Of{1}, law.Post, law.At(s.now), "b"})
		s.now = day(3, 12)
		return s
	}
	told := []Body{&Outcome{Of{1}, 1, law.Post, "delivered", law.Moment{Day: civil(3, 10)}, "o"}, &Served{Of{1}, Service{1, law.Post, civil(3, 10), "post.delivered"}}}
	s := sent()
	s.do(&Appealed{Of{1}, "prefect", civil(3, 12), true, "a", law.Day{}})
	s.do(told...)
	s.state(1, StateAppealed)
	s.do(&AppealDecided{Of{1}, "inadmissible", "decision", civil(3, 12), 0, 0, "d"})
	s.state(1, StateServed)

	s = sent()
	s.do(&Appealed{Of{1}, "judge", civil(3, 12), false, "a", law.Day{}}, &AppealDecided{Of{1}, "inadmissible", "decision", civil(3, 12), 0, 0, "d"})
	s.state(1, StateSent)
	s.do(told...)
	s.state(1, StateServed)

	s = sent()
	s.do(&PlanRequested{Of: Of{1}, Day: civil(3, 12), Ref: "p"})
	s.do(told...)
	s.state(1, StateAsked)
	s.now = day(8, 1) // silence of 90 days that is found late: payable until 10 July
	s.do(&PlanDecided{Of: Of{1}, Outcome: "silence", Until: civil(7, 10)})
	s.state(1, StateServed)

	s = sent() // an appeal of who has paid is one: who decides says whether it may be
	s.pay(1, 137_10, day(3, 13))
	s.do(&Appealed{Of{1}, "judge", civil(3, 13), false, "a", law.Day{}})
	s.state(1, StatePaid)
	s.refused("position.state", &Appealed{Of{1}, "judge", civil(3, 13), false, "a-2", law.Day{}})
	s.do(&AppealDecided{Of{1}, "upheld", "decision", civil(3, 13), 0, 0, "d"})
	s.wants(StateUpheld, Money{Received: 137_10, Excess: 137_10})
}

func TestWhoMustSayWhoDrove(t *testing.T) {
	l := italy(t)
	silent := func(s *story, n int64, d law.Day) *DriverSilent {
		return &DriverSilent{Of{n}, d, IDOf("latina", SilentOf(s.c.ID, n))}
	}
	t.Run("nobody before service", func(t *testing.T) {
		s := noticed(t)
		s.pay(1, 137_10, day(3, 3))
		s.now = day(6, 1)
		s.refused("position.state", silent(s, 1, civil(5, 30)))
	})
	t.Run("not while an appeal runs, also of who has paid, and after it who was invited", func(t *testing.T) { // V38
		s := served(t)
		s.do(&Appealed{Of{1}, "prefect", civil(3, 12), true, "a", law.Day{}})
		s.pay(1, 137_10, day(3, 13))
		s.now = day(5, 20)
		s.refused("position.state", silent(s, 1, civil(5, 11)))
		s.do(&AppealDecided{Of{1}, "rejected", "decision", civil(5, 20), 346_00, 16_00, "d"})
		s.now = day(6, 1)
		s.refused("position.state", silent(s, 1, civil(5, 30)))
		s.do(&DriverInvited{Of{1}, civil(6, 1), "i"})
		s.now = day(8, 3)
		s.refused("position.state", silent(s, 1, civil(5, 30))) // of before the invitation
		s.do(silent(s, 1, civil(7, 31)))
	})
	t.Run("an invitation is over with the next appeal", func(t *testing.T) {
		s := served(t)
		s.do(&Appealed{Of{1}, "prefect", civil(3, 12), true, "a", law.Day{}}, &AppealDecided{Of{1}, "rejected", "decision", civil(3, 12), 346_00, 16_00, "d"},
			&DriverInvited{Of{1}, civil(3, 12), "i"}, &Appealed{Of{1}, "judge", civil(3, 12), false, "a", law.Day{}})
		s.now = day(6, 1)
		s.do(&AppealDecided{Of{1}, "rejected", "decision", civil(6, 1), 346_00, 16_00, "d"})
		s.refused("position.state", silent(s, 1, civil(5, 30)))
		if terms, err := s.c.Terms(l); err != nil || len(terms) != 0 {
			t.Errorf("%+v, %v", terms, err)
		}
	})
	t.Run("not the driver, nor one joint owner when the other said it", func(t *testing.T) {
		s := joint(t)
		for n := range int64(2) {
			s.do(&Sent{Of{n + 1}, law.Hand, law.Moment{Day: civil(3, 2)}, "b"}, &Outcome{Of{n + 1}, 1, law.Hand, "delivered", law.Moment{Day: civil(3, 2)}, "o"},
				&Served{Of{n + 1}, Service{1, law.Hand, civil(3, 2), "hand.delivered"}})
		}
		third := notice(3)
		third.Party = 3
		s.do(driver(civil(3, 2)), &NoticeIssued{third}, &Sent{Of{3}, law.Hand, law.Moment{Day: civil(3, 2)}, "b"},
			&Outcome{Of{3}, 1, law.Hand, "delivered", law.Moment{Day: civil(3, 2)}, "o"}, &Served{Of{3}, Service{1, law.Hand, civil(3, 2), "hand.delivered"}})
		terms, err := s.c.Terms(l)
		for _, term := range terms {
			if term.Name == "driver" {
				t.Errorf("%+v, %v", term, err)
			}
		}
		s.now = day(6, 1)
		for n := range int64(3) {
			s.refused("position.state", silent(s, n+1, civil(5, 30)))
		}
	})
}

// TestWhatTheChannelTookBackFreezesNothing: a clerk or the post told one thing, and then the other.
func TestWhatTheChannelTookBackFreezesNothing(t *testing.T) {
	s := noticed(t)
	s.do(&Sent{Of{1}, law.Post, law.At(s.now), "b"})
	s.now = day(3, 30)
	tell := func(what Code, d int) { s.do(&Outcome{Of{1}, 1, law.Post, what, law.Moment{Day: civil(3, d)}, "o"}) }
	wants := func(d int, rule string) {
		t.Helper()
		if made, err := s.c.ServiceOf(1); d > 0 && (err != nil || made.Day != civil(3, d) || string(made.Rule) != rule) || d == 0 && err == nil {
			t.Errorf("made %+v, %v", made, err)
		}
	}
	tell("delivered", 10)
	wants(10, "post.delivered")
	tell("stored", 6)
	wants(16, "post.storage_tenth_day")
	tell("collected", 12)
	wants(12, "post.collected")
	tell("returned", 20)
	wants(12, "post.collected")
	tell("delivered", 9)
	wants(9, "post.delivered")
	tell("returned", 20)
	wants(0, "")
}

func TestATitleOnAServiceThatWasLaterIsNone(t *testing.T) {
	s := served(t)
	s.now = day(5, 12)
	s.do(&Title{Of{1}, 347_00, 16_00, civil(5, 12)}, &Outcome{Of{1}, 1, law.Post, "delivered", law.Moment{Day: civil(4, 10)}, "o-2"},
		&ServedCorrected{Of{1}, Service{1, law.Post, civil(4, 10), "post.delivered"}, civil(3, 10), "post"})
	s.state(1, StateServed)
	if d, err := s.c.Due(italy(t), 1, s.now); err != nil || d.Rest != 189_00 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestNoDateIsShownBeforeService(t *testing.T) { // C37
	s := noticed(t)
	if d, err := s.c.Due(italy(t), 1, s.now); err != nil || d.Rest != 137_10 || !d.Until.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestNobodyIsAskedForMoneyInACaseOfATheft(t *testing.T) {
	s := served(t)
	s.refused("close.unsettled", &Closed{Reason: "theft"})
	s.do(&NoticeAnnulled{Of: Of{1}, Reason: "theft"}, &Closed{Reason: "theft"})
}

// TestASecondLookThatWasClosedIsNoAcceptance: no register is asked about evidence that
// nobody has accepted.
func TestASecondLookThatWasClosedIsNoAcceptance(t *testing.T) {
	s := tell(t)
	s.do(&Reviewed{Outcome: "second_look", Reason: "drawn"}, &Closed{Reason: "expired"}, &Reopened{Reason: "mistake"})
	if s.c.Stage != StageSecond {
		t.Errorf("the case is %s", s.c.Stage)
	}
	s.refused("act.stage", &OwnerAsked{Register: "r", Request: "q"})
}

func TestAnotherPlateHasTheTermOfTheViolation(t *testing.T) {
	s := tell(t)
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted)
	s.now = day(5, 20)
	s.do(&OwnerLate{Since: civil(5, 18), Reason: "foreign_register"}, &ReviewReopened{Reason: "other_vehicle"})
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 1 || terms[0].End != civil(6, 1) {
		t.Errorf("%+v, %v", terms, err)
	}
}

func TestErasureIsOfWhatThereIsAndOwesNothing(t *testing.T) {
	s := served(t)
	s.pay(1, 137_10, day(3, 13))
	s.do(&Closed{Reason: "paid"})
	s.pay(1, 137_10, day(3, 14)) // twice, after the end
	s.refused("act.outcome", &Erased{What: []Erasure{{"persons"}}, Rule: "r"})
	s.refused("close.money_owed", &Erased{What: []Erasure{{"person"}}, Rule: "r"})
	s.do(&Erased{What: []Erasure{{"pictures"}}, Rule: "r"}, &Refunded{137_10, civil(3, 14), "x"}, &Erased{What: []Erasure{{"person"}}, Rule: "r"})
}

func TestNothingCountsAsOfBeforeTheViolation(t *testing.T) {
	s := tell(t)
	a := s.c.Next(KeyOf("x"), s.now, s.by("u"), &Stopped{Reason: "x", About: evidence.Hash{1}})
	a.Day = civil(3, 1)
	if _, err := s.c.Apply(a); err == nil {
		t.Error("an act of before the violation")
	}
}

func TestAServiceThatWasNoneIsTakenBack(t *testing.T) {
	s := served(t)
	s.now = day(6, 20) // past the 90 days, in which it was handed over
	s.do(&Title{Of{1}, 347_00, 16_00, civil(5, 12)}, &Outcome{Of{1}, 1, law.Post, "returned", law.Moment{Day: civil(3, 20)}, "o"})
	s.refused("correction.old", &ServiceVoid{Of: Of{1}, Old: civil(3, 9), Reason: "post"})
	s.do(&ServiceVoid{Of: Of{1}, Old: civil(3, 10), Reason: "post"})
	s.state(1, StateSent)
	if d, err := s.c.Due(italy(t), 1, s.now); err != nil || d.Rest != 137_10 {
		t.Errorf("%+v, %v", d, err)
	}
	s.do(&Sent{Of{1}, law.Post, law.At(s.now), "b-2"}, &Outcome{Of{1}, 2, law.Post, "delivered", law.At(s.now), "o-2"},
		&Served{Of{1}, Service{2, law.Post, civil(6, 20), "post.delivered"}})
	s.state(1, StateServed)
}

func TestCostsThatFellAreDueNoMore(t *testing.T) { // C35
	s := served(t)
	s.refused("correction.old", &CostsCorrected{Of{1}, 15_00, 2_00, "rework"})
	s.do(&CostsCorrected{Of{1}, 16_00, 2_00, "rework"})
	if d, err := s.c.Due(italy(t), 1, s.now); err != nil || d.Rest != 123_10 || d.Costs != 2_00 {
		t.Errorf("%+v, %v", d, err)
	}
	s.pay(1, 123_10, s.now)
	s.wants(StatePaid, Money{Received: 123_10, Applied: 123_10})
	s.refused("position.state", &CostsCorrected{Of{1}, 2_00, 1_00, "rework"})
}

// TestThePrefectsDays run from when the appeal came, not from when it was posted; an order
// is notified within 150 (V09).
func TestThePrefectsDays(t *testing.T) {
	s := served(t)
	s.now = day(3, 20)
	s.refused("act.day", &Appealed{Of{1}, "prefect", civil(3, 12), true, "a", civil(3, 11)})
	s.do(&Appealed{Of{1}, "prefect", civil(3, 12), true, "a", civil(3, 19)})
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 1 || terms[0].Begin != civil(3, 19) || terms[0].End != civil(9, 15) {
		t.Errorf("%+v, %v", terms, err)
	}
	s.refused("act.day", &AppealHearing{Of{1}, civil(3, 11), civil(5, 1), "h"})
	s.do(&AppealHearing{Of{1}, civil(3, 20), civil(4, 19), "h"})
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 1 || terms[0].End != civil(10, 15) {
		t.Errorf("30 days stand still: %+v, %v", terms, err)
	}
	s.now = day(6, 1)
	s.do(&AppealDecided{Of{1}, "rejected", "decision", civil(6, 1), 346_00, 16_00, "d"})
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 1 || terms[0].Name != "order_notice" || terms[0].End != civil(10, 29) {
		t.Errorf("%+v, %v", terms, err)
	}
}

func TestALesseeAnswersInPlaceOfTheOwner(t *testing.T) {
	s := tell(t)
	s.do(&PlateTyped{Plate: read, Country: "it"}, &PlateTyped{Plate: read, Country: "it"}, accepted,
		&OwnerFound{Register: "r", Parties: []Party{{Title: "owner", Person: someone, Language: "it", Firm: true}, {Title: "lessee", Person: someone, Language: "it"}}})
	s.refused("notice.party", &NoticeIssued{notice(1)})
	n := notice(1)
	n.Party = 2
	s.do(&NoticeIssued{n}, &Sent{Of{1}, law.Post, law.At(s.now), "b"})
	if terms, err := s.c.Terms(italy(t)); err != nil || len(terms) != 0 {
		t.Errorf("the owner waits for a notice: %+v, %v", terms, err)
	}
}

func TestATitleAndSilenceHaveTheirGrounds(t *testing.T) {
	s := served(t)
	s.refused("act.day", &Title{Of{1}, 347_00, 16_00, civil(3, 10)}) // on the day of service
	s.do(&Appealed{Of{1}, "judge", civil(3, 12), false, "a", law.Day{}})
	s.refused("act.outcome", &AppealDecided{Of{1}, "upheld", "silence", civil(3, 12), 0, 0, "d"})
	s.do(&AppealDecided{Of{1}, "inadmissible", "decision", civil(3, 12), 0, 0, "d"})
	s.do(&Appealed{Of{1}, "judge", civil(3, 12), false, "a", law.Day{}}, &AppealDecided{Of{1}, "rejected", "decision", civil(3, 12), 346_00, 16_00, "d"})
	if tasks := s.c.Tasks(); len(tasks) != 1 || tasks[0].Code != "invite_driver" {
		t.Errorf("tasks %+v", tasks)
	}
	prefect := served(t)
	prefect.do(&Appealed{Of{1}, "prefect", civil(3, 12), false, "a", law.Day{}}, &AppealDecided{Of{1}, "rejected", "decision", civil(3, 12), 346_00, 16_00, "d"})
	prefect.now = day(6, 1)
	prefect.refused("act.day", &Title{Of{1}, 346_00, 16_00, civil(6, 1)}) // an order that nobody has
	prefect.do(&OrderServed{Of{1}, civil(3, 20), "x"}, &Title{Of{1}, 346_00, 16_00, civil(6, 1)})
	terms, err := prefect.c.Terms(italy(t))
	if err != nil || len(terms) != 1 || terms[0].Name != "expiry" || terms[0].End != law.Date(2031, 3, 20) {
		t.Errorf("five years from the order: %+v, %v", terms, err)
	}
}

func TestIncompleteDataOfWhoHasPaidWaitForAPerson(t *testing.T) {
	s := served(t)
	s.pay(1, 137_10, day(3, 13))
	d := driver(civil(3, 13))
	d.Complete = false
	s.do(d)
	if tasks := s.c.Tasks(); len(tasks) != 1 || tasks[0] != (Task{"driver", 1, "incomplete"}) {
		t.Errorf("tasks %+v", tasks)
	}
}

func TestAPaymentThatWasNoneFreesNobody(t *testing.T) {
	s := served(t)
	paid := &Paid{Receipt: "r", Method: "post", Received: 140_00, Ordered: law.At(s.now), Value: civil(3, 12), Parts: []Part{{1, 137_10, "reduced"}}, Excess: 2_90}
	s.do(paid)
	revoked := PaymentRevoked{Receipt: "r", Method: "post", Parts: []Part{{1, 137_10, ""}}, Excess: 2_90, Reason: "bounced"}
	part := revoked
	part.Excess = 0
	s.refused("money.unbalanced", &part)
	other := revoked
	other.Receipt = "r-2"
	s.refused("money.receipt", &other)
	closed := *s
	closed.do(&Refunded{2_90, civil(3, 12), "x"}, &Closed{Reason: "paid"})
	closed.refused("money.excess", &revoked) // a part of it was given back
	s.do(&revoked)
	s.wants(StateServed, Money{})
	s.refused("money.receipt", &revoked)
	s.do(paid) // it came after all
	s.wants(StatePaid, Money{Received: 140_00, Applied: 137_10, Excess: 2_90})

	late := served(t)
	late.do(&Paid{Receipt: "r", Method: "post", Received: 137_10, Ordered: law.At(s.now), Value: civil(3, 12), Parts: []Part{{1, 137_10, "reduced"}}}, &Closed{Reason: "paid"},
		&PaymentRevoked{Receipt: "r", Method: "post", Parts: []Part{{1, 137_10, ""}}, Reason: "bounced"})
	if tasks := late.c.Tasks(); len(tasks) == 0 || tasks[0] != (Task{"reopen", 0, "unsettled"}) {
		t.Errorf("tasks %+v", tasks)
	}
}
