package acts_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/portal/acts"
	"ciglio/portal/casefile"
	"ciglio/portal/database"
	"ciglio/portal/database/databasetest"
	"ciglio/portal/law"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

// A room is a store on one engine.
type room struct {
	*testing.T
	*acts.Store
	db      *database.DB
	address string
}

func each(t *testing.T, test func(room)) {
	databasetest.Each(t, func(t *testing.T, e databasetest.Engine) {
		l, err := law.Italy()
		if err != nil {
			t.Fatal(err)
		}
		address := e.Address(t)
		db := databasetest.Open(t, address, database.Options{})
		s, err := acts.Open(t.Context(), db, l)
		if err != nil {
			t.Fatal(err)
		}
		test(room{t, s, db, address})
	})
}

var (
	begin  = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	device = evidence.DeviceID{7}
	plate  = casefile.Seal(casefile.MarkPlate, "AB012CD")
)

func caseOf(n int) (casefile.ID, evidence.Hash) {
	about := evidence.Hash{1, byte(n), byte(n >> 8)}
	return casefile.IDOf("latina", about), about
}

// add adds an act of an officer, with its key.
func (r room) add(id casefile.ID, key string, body casefile.Body, private ...casefile.Private) (casefile.Case, error) {
	return r.addAll(id, acts.New{Key: casefile.KeyOf(key), At: begin, By: casefile.Actor{Person: "u-1", Office: "officer"}, Body: body, Private: private})
}

func (r room) addAll(id casefile.ID, n acts.New) (c casefile.Case, err error) {
	err = r.db.Update(r.Context(), func(tx *database.Tx) error {
		c, err = r.Add(r.Context(), tx, id, n)
		return err
	})
	return c, err
}

type step struct {
	body    casefile.Body
	private []casefile.Private
}

// life is the usual beginning of a case, and what of it is private.
func life(r room, n int) []step {
	_, about := caseOf(n)
	owner, err := casefile.Person{Name: "Łukasz D’Angiò", TaxCode: "RCCMNL83S18D96VW"}.Seal()
	if err != nil {
		r.Fatal(err)
	}
	one := []casefile.Private{plate}
	of := casefile.Of{Position: 1}
	day := law.DayOf(begin)
	return []step{
		{&casefile.Opened{Institution: "latina", Source: "violation", About: about, Device: device, At: begin}, nil},
		{&casefile.PlateTyped{Plate: plate.Commitment(), Country: "it"}, one},
		{&casefile.PlateTyped{Plate: plate.Commitment(), Country: "it"}, one},
		{&casefile.Reviewed{Outcome: "accepted", Plate: plate.Commitment(), Country: "it", Vehicle: "car"}, nil},
		{&casefile.OwnerFound{Register: "r", Parties: []casefile.Party{{Title: "owner", Person: owner.Commitment(), Language: "it"}}}, []casefile.Private{owner}},
		{&casefile.NoticeIssued{Notice: casefile.Notice{Of: of, Party: 1, Number: casefile.Ref(fmt.Sprintf("V/2026/%d", n)), Article: "142(8)",
			Minimum: 173_00, Maximum: 694_00, Costs: 16_00, Reducible: true, PIN: "p", LastDay: day.Add(91)}}, nil},
		{&casefile.Sent{Of: of, Channel: law.Hand, At: law.Moment{Day: day}, Ref: "b"}, nil},
		{&casefile.Outcome{Of: of, Dispatch: 1, Channel: law.Hand, What: "delivered", At: law.Moment{Day: day}, Ref: "o"}, nil},
		{&casefile.Served{Of: of, Service: casefile.Service{Dispatch: 1, Channel: law.Hand, Day: day, Rule: "hand.delivered"}}, nil},
		{&casefile.Paid{Receipt: "x", Method: "pagopa", Received: 137_10, Ordered: law.At(begin), Value: day, Parts: []casefile.Part{{Position: 1, Cents: 137_10, Settles: "reduced"}}}, nil},
		{&casefile.Closed{Reason: "paid"}, nil},
		{&casefile.Erased{What: []casefile.Erasure{{What: "person"}, {What: "plate"}}, Rule: "closed"}, nil},
	}
}

// live makes the first acts of a case.
func (r room) live(n, upTo int) casefile.ID {
	r.Helper()
	id, _ := caseOf(n)
	for i, s := range life(r, n)[:upTo] {
		if _, err := r.add(id, fmt.Sprint(i), s.body, s.private...); err != nil {
			r.Fatalf("%s: %v", s.body.Kind(), err)
		}
	}
	return id
}

func (r room) count(table string) (n int64) {
	r.Helper()
	if err := r.db.Row(r.Context(), `SELECT COUNT(*) FROM `+table, nil, &n); err != nil {
		r.Fatal(err)
	}
	return n
}

func (r room) checked(want int) acts.Report {
	r.Helper()
	report, err := r.Rebuild(r.Context(), true)
	if err != nil || len(report.Different) != want {
		r.Errorf("%+v, %v; want %d different", report, err, want)
	}
	return report
}

func TestACaseIsWhatItsActsMake(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 11)
		c, err := r.Case(r.Context(), r.db, id)
		if err != nil || c.Stage != casefile.StageClosed || c.Money.Applied != 137_10 || c.Acts != 11 {
			r.Errorf("%s, %+v, %v", c.Stage, c.Money, err)
		}
		values, err := r.Values(r.Context(), r.db, id)
		if err != nil || values[c.Review.Plate].Value != "AB012CD" {
			r.Errorf("%v, %v", values, err)
		}
		owner, err := casefile.ParsePerson(values[c.Parties[0].Person].Value)
		if err != nil || owner.Name != "Łukasz D’Angiò" {
			r.Error(err)
		}
		none, _ := caseOf(99)
		if _, err := r.Case(r.Context(), r.db, none); !errors.Is(err, database.ErrAbsent) {
			r.Errorf("a case without acts: %v", err)
		}
	})
}

// C55: fourteen clicks in two seconds are one act.
func TestFourteenClicksAreOneAct(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 1)
		typed := life(r, 1)[1]
		var all sync.WaitGroup
		for range 14 {
			all.Go(func() {
				if c, err := r.add(id, "form", typed.body, typed.private...); err != nil || c.Acts != 2 {
					r.Errorf("%d acts, %v", c.Acts, err)
				}
			})
		}
		all.Wait()
		if n := r.count("acts"); n != 2 {
			r.Errorf("%d acts", n)
		}
	})
}

func TestActsOfManyAtOneCaseAllCount(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 1)
		typed := life(r, 1)[1]
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for { // who meets others too often is told to come again
					_, err := r.add(id, fmt.Sprint("own ", i), typed.body, typed.private...)
					if !errors.Is(err, database.ErrAgain) {
						if err != nil {
							r.Error(err)
						}
						return
					}
				}
			})
		}
		all.Wait()
		if c, err := r.Case(r.Context(), r.db, id); err != nil || c.Acts != 9 {
			r.Errorf("%d acts, %v", c.Acts, err)
		}
		r.checked(0)
	})
}

func TestActsCannotBeChanged(t *testing.T) {
	each(t, func(r room) {
		r.live(1, 3)
		r.place()
		for _, text := range []string{`UPDATE acts SET kind = 'closed'`, `DELETE FROM acts`, `UPDATE act_places SET position = position + 7`, `DELETE FROM act_places`} {
			err := r.db.Update(r.Context(), func(tx *database.Tx) error {
				_, err := tx.Exec(r.Context(), text)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "kept") {
				r.Errorf("%s: %v", text, err)
			}
		}
		if n := r.count("acts"); n != 3 {
			r.Errorf("%d acts", n)
		}
	})
}

func TestWhatIsRefusedLeavesNothing(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 3)
		tables := []string{"acts", "act_waiting", "act_values", "act_messages", "case_rows", "term_rows"}
		var before []int64
		for _, table := range tables {
			before = append(before, r.count(table))
		}
		note := casefile.Seal(casefile.MarkPerson, "the driver told me")
		for name, n := range map[string]acts.New{
			"not allowed":                   {Body: &casefile.Title{Of: casefile.Of{Position: 1}, Sum: 1}},
			"a commitment without a value":  {Body: &casefile.Reviewed{Outcome: "discarded", Reason: "exempt", Note: note.Commitment()}},
			"a value that is committed not": {Body: &casefile.Reviewed{Outcome: "discarded", Reason: "exempt"}, Private: []casefile.Private{note}},
			"a value of another mark": {Body: &casefile.Reviewed{Outcome: "discarded", Reason: "exempt", Note: plate.Commitment()},
				Private: []casefile.Private{plate}},
			"a message that is there": {Body: &casefile.Reviewed{Outcome: "discarded", Reason: "exempt"},
				Messages: []acts.Message{{Key: casefile.KeyOf("m"), To: "x"}, {Key: casefile.KeyOf("m"), To: "x"}}},
		} {
			n.Key, n.At, n.By = casefile.KeyOf(name), begin, casefile.Actor{Person: "u-1", Office: "officer"}
			if _, err := r.addAll(id, n); err == nil {
				r.Errorf("%s: done", name)
			} else if strings.Contains(err.Error(), "driver told") {
				r.Errorf("%s: the value stands in the error", name)
			}
		}
		for i, table := range tables {
			if n := r.count(table); n != before[i] {
				r.Errorf("%s has %d rows, %d before", table, n, before[i])
			}
		}
	})
}

func TestANumberIsOneNotices(t *testing.T) {
	each(t, func(r room) {
		r.live(1, 6)
		id := r.live(2, 5)
		issued := life(r, 1)[5].body
		var no *casefile.Refusal
		if _, err := r.add(id, "n", issued); !errors.As(err, &no) || no.Code != "notice.number" {
			r.Error(err)
		}
	})
}

func TestErasureLeavesTheCase(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 12)
		c, err := r.Case(r.Context(), r.db, id)
		if err != nil || !slices.Equal(c.Erased, []casefile.Code{"person", "plate"}) || c.Money.Applied != 137_10 {
			r.Errorf("%+v, %v", c, err)
		}
		if values, err := r.Values(r.Context(), r.db, id); err != nil || len(values) != 0 {
			r.Errorf("%d values, %v", len(values), err)
		}
		r.checked(0)
		// What was hashed never held them.
		history, err := r.History(r.Context(), r.db, id)
		if err != nil {
			r.Fatal(err)
		}
		for _, a := range history {
			b, err := a.Encode()
			if err != nil || bytes.Contains(b, []byte("AB012CD")) || bytes.Contains(b, []byte("Angi")) || bytes.Contains(b, []byte("RCCMNL")) {
				r.Errorf("%s holds a personal value, %v", a.Body.Kind(), err)
			}
		}
	})
}

func (r room) lease(name, holder string) database.Lease {
	r.Helper()
	l, err := r.db.Acquire(r.Context(), name, holder, time.Minute)
	if err != nil {
		r.Fatal(err)
	}
	return l
}

func (r room) place() {
	r.Helper()
	l := r.lease("acts", "one")
	for {
		n, err := r.Place(r.Context(), l, 4)
		if err != nil {
			r.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func TestWhoFollowsSeesEachActOnceAndInOrder(t *testing.T) {
	each(t, func(r room) {
		a, b := r.live(1, 11), r.live(2, 5)
		r.place()
		l := r.lease("desk", "one")
		last := map[casefile.ID]int64{}
		fail := errors.New("on the way")
		tries := 0
		work := func(_ *database.Tx, p acts.Placed) error {
			if tries++; tries == 6 {
				return fail
			}
			if p.Number != last[p.Case]+1 {
				r.Errorf("act %d of %s after %d", p.Number, p.Case, last[p.Case])
			}
			last[p.Case] = p.Number
			return nil
		}
		// A page that fails moves nothing: what it did is done again.
		if n, err := r.Follow(r.Context(), "desk", l, 5, work); n != 5 || err != nil {
			r.Fatal(n, err)
		}
		if n, err := r.Follow(r.Context(), "desk", l, 5, work); n != 0 || !errors.Is(err, fail) {
			r.Fatal(n, err)
		}
		total := 5
		for {
			n, err := r.Follow(r.Context(), "desk", l, 5, work)
			if err != nil {
				r.Fatal(err)
			}
			if total += n; n == 0 {
				break
			}
		}
		if total != 16 || last[a] != 11 || last[b] != 5 {
			r.Errorf("%d acts, %d and %d", total, last[a], last[b])
		}
		if err := r.db.Release(r.Context(), l); err != nil {
			r.Fatal(err)
		}
		r.lease("desk", "two")
		if _, err := r.Follow(r.Context(), "desk", l, 5, work); !errors.Is(err, database.ErrLost) {
			r.Errorf("a node that has lost its lease: %v", err)
		}
		if _, err := r.Place(r.Context(), l, 5); !errors.Is(err, database.ErrLost) {
			r.Errorf("a node that has lost its lease: %v", err)
		}
	})
}

// TestAnActDoneByASlowerClockWaitsItsTurn: the order of places is the order of the case.
func TestAnActDoneByASlowerClockWaitsItsTurn(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 2)
		typed := life(r, 1)[1]
		c, err := r.addAll(id, acts.New{Key: casefile.KeyOf("late"), At: begin.Add(-time.Hour), By: casefile.Actor{Person: "u-2", Office: "officer"}, Body: typed.body})
		if err != nil || !c.At.Equal(begin) {
			r.Fatal(c.At, err)
		}
		waiting, err := r.Waiting(r.Context(), r.db, 10)
		if err != nil || len(waiting) != 3 || waiting[2].Number != 3 || waiting[2].Hash != c.Head {
			r.Errorf("%+v, %v", waiting, err)
		}
	})
}

func TestMessagesAreSentUntilSettledOrGivenUp(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 4)
		key := casefile.KeyOf("ask")
		ask := acts.New{Key: key, At: begin, By: casefile.Actor{Office: "notice"}, Body: &casefile.OwnerAsked{Register: "r", Request: "q"},
			Messages: []acts.Message{{Key: key, To: "register", Body: []byte("q")}}}
		for range 2 { // the second is no act, and no message
			if _, err := r.addAll(id, ask); err != nil {
				r.Fatal(err)
			}
		}
		due := func(at time.Time) []acts.Stored {
			all, err := r.Due(r.Context(), r.db, "register", at, 10)
			if err != nil {
				r.Fatal(err)
			}
			return all
		}
		in := func(fn func(*database.Tx) error) {
			if err := r.db.Update(r.Context(), fn); err != nil {
				r.Fatal(err)
			}
		}
		if got := due(begin.Add(-time.Second)); len(got) != 0 {
			r.Errorf("%+v before its time", got)
		}
		got := due(begin)
		if len(got) != 1 || got[0].Case != id || got[0].Number != 5 || string(got[0].Body) != "q" {
			r.Fatalf("%+v", got)
		}
		in(func(tx *database.Tx) error {
			return r.Failed(r.Context(), tx, got[0], "no_answer", begin.Add(time.Minute))
		})
		if got := due(begin.Add(59 * time.Second)); len(got) != 0 {
			r.Errorf("%+v before its time", got)
		}
		got = due(begin.Add(time.Minute))
		if len(got) != 1 || got[0].Tries != 1 || got[0].Reason != "no_answer" {
			r.Fatalf("%+v", got)
		}
		in(func(tx *database.Tx) error { return r.Failed(r.Context(), tx, got[0], "refused", time.Time{}) })
		given, err := r.GivenUp(r.Context(), r.db, "register", nil, 10)
		if err != nil || len(given) != 1 || len(due(begin.Add(time.Hour))) != 0 {
			r.Fatalf("%+v, %v", given, err)
		}
		if next, err := r.GivenUp(r.Context(), r.db, "register", &given[0], 10); err != nil || len(next) != 0 {
			r.Errorf("%+v, %v", next, err)
		}
		in(func(tx *database.Tx) error { return r.Retry(r.Context(), tx, key, begin) })
		if len(due(begin)) != 1 {
			r.Error("it is not sent again")
		}
		for _, want := range []bool{true, false} {
			in(func(tx *database.Tx) error {
				if was, err := r.Settle(r.Context(), tx, key); was != want || err != nil {
					return fmt.Errorf("settled: %v, %w", was, err)
				}
				return nil
			})
		}
	})
}

func TestProjectionsAreWhatTheActsMake(t *testing.T) {
	each(t, func(r room) {
		dice := rand.New(rand.NewPCG(1, 2))
		total := int64(0)
		for n := range 104 { // more than a page
			upTo := 1 + dice.IntN(len(life(r, n)))
			if n > 8 {
				upTo = 1
			}
			r.live(n, upTo)
			total += int64(upTo)
		}
		if report := r.checked(0); report.Cases != 104 || report.Acts != total {
			r.Errorf("%+v, want %d acts", report, total)
		}
		ghost, _ := caseOf(999)
		if err := r.db.Update(r.Context(), func(tx *database.Tx) error {
			_, err1 := tx.Exec(r.Context(), `UPDATE case_rows SET stage = 'closed' WHERE stage = 'review'`)
			_, err2 := tx.Exec(r.Context(), `DELETE FROM term_rows`)
			_, err3 := tx.Exec(r.Context(), `INSERT INTO notice_rows (case_id, position, institution, number, state) VALUES ($1, 1, 'latina', 'ghost', 'issued')`, ghost[:])
			return errors.Join(err1, err2, err3)
		}); err != nil {
			r.Fatal(err)
		}
		report, err := r.Rebuild(r.Context(), true)
		if err != nil || len(report.Different) < 100 || report.Different[len(report.Different)-1] != (acts.Difference{Case: ghost, Table: "notice_rows"}) {
			r.Errorf("%d different, %v", len(report.Different), err)
		}
		if mended, err := r.Rebuild(r.Context(), false); err != nil || len(mended.Different) != len(report.Different) {
			r.Errorf("%d mended, %v", len(mended.Different), err)
		}
		r.checked(0)
	})
}

func TestDamagedActsAreNamed(t *testing.T) {
	each(t, func(r room) {
		id := r.live(1, 5)
		r.live(2, 5)
		r.unseal()
		if err := r.db.Update(r.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(r.Context(), `DELETE FROM acts WHERE case_id = $1 AND number = 3`, id[:])
			return err
		}); err != nil {
			r.Fatal(err)
		}
		report := r.checked(1)
		if d := report.Different[0]; d.Case != id || !errors.Is(d.Err, acts.ErrDamaged) {
			r.Errorf("%+v", d)
		}
	})
}

// unseal takes the triggers away, as whoever owns the database can.
func (r room) unseal() {
	r.Helper()
	texts := []string{`DROP TRIGGER acts_kept_UPDATE`, `DROP TRIGGER acts_kept_DELETE`}
	if database.IsURL(r.address) {
		texts = []string{`DROP TRIGGER acts_kept ON acts`}
	}
	for _, text := range texts {
		if err := r.db.Update(r.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(r.Context(), text)
			return err
		}); err != nil {
			r.Fatal(err)
		}
	}
}

func TestTheBalanceOfADayIsWhole(t *testing.T) {
	each(t, func(r room) {
		for n, upTo := range []int{1, 1, 4, 6, 11, 12} {
			r.live(n, upTo)
		}
		id, _ := caseOf(0)
		if _, err := r.add(id, "d", &casefile.Reviewed{Outcome: "discarded", Reason: "emergency"}); err != nil {
			r.Fatal(err)
		}
		id, _ = caseOf(1)
		if _, err := r.add(id, "c", &casefile.Closed{Reason: "expired"}); err != nil {
			r.Fatal(err)
		}
		day := law.DayOf(begin)
		got, err := r.Balance(r.Context(), r.db, "latina", device, day, day)
		want := casefile.Balance{Captured: 6, Noticed: 3, Discarded: 1, Closed: 1, Waiting: 1}
		if err != nil || got != want || got.Noticed+got.Discarded+got.Closed+got.Waiting != got.Captured {
			r.Errorf("%+v, %v, want %+v", got, err, want)
		}
		if got, err := r.Balance(r.Context(), r.db, "latina", device, day.Add(1), day.Add(9)); err != nil || got != (casefile.Balance{}) {
			r.Errorf("%+v, %v", got, err)
		}
	})
}
