package law

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxQuestion is the longest question, in bytes.
const maxQuestion = 64 << 10

// UnmarshalJSON reads a day, or an instant with its offset.
func (m *Moment) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return no("day.malformed", "%s: want a day as \"2026-12-07\", or an instant with offset", text)
	}
	if len(s) == len(time.DateOnly) {
		day, err := ParseDay(s)
		*m = Moment{Day: day}
		return err
	}
	at, err := parseInstant(s)
	*m = At(at)
	return err
}

func parseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, no("instant.malformed", "%q: want an instant with its offset, as 2026-12-07T22:30:00+01:00", s)
	}
	if year := siteTime(t).Year(); year < 1990 || year > 9000 {
		return t, no("instant.malformed", "%q: a year that cannot be", s)
	}
	return t, nil
}

// An instant is one with its offset.
type instant struct{ time.Time }

func (i *instant) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return no("instant.malformed", "%s: want an instant with its offset", text)
	}
	t, err := parseInstant(s)
	i.Time = t
	return err
}

type violationQuestion struct {
	Limit    *int     `json:"limit"`
	Speed    *int     `json:"speed"`
	Class    Class    `json:"class"`
	Instant  *instant `json:"instant"`
	Repeated bool     `json:"repeated"`
}

// A question is one line for [Law.Answers].
type question struct {
	Minimum   *Cents             `json:"minimum_cents"`
	Maximum   *Cents             `json:"maximum_cents"`
	Costs     Cents              `json:"costs_cents"`
	Reducible *bool              `json:"reducible"`
	Violation *violationQuestion `json:"violation"`
	violationQuestion
	Service *struct {
		Channel   Channel `json:"channel"`
		Delivered *Moment `json:"delivered"`
		Stored    *Moment `json:"stored"`
		Collected *Moment `json:"collected"`
		Viewed    *Moment `json:"viewed"`
	} `json:"service"`
	At *instant `json:"at"`
}

type dated struct {
	LastDay *Day   `json:"last_day,omitempty"`
	Cents   *Cents `json:"cents,omitempty"`
}

type dueAnswer struct {
	Cents Cents  `json:"cents"`
	Band  Band   `json:"band"`
	Until string `json:"until,omitempty"`
}

// An answer is one line of [Law.Answers]. What does not exist is left out; what cannot be
// said is named by error, the rest is said all the same.
type answer struct {
	Article string     `json:"article,omitempty"`
	Points  *int       `json:"points,omitempty"`
	Served  *Day       `json:"served,omitempty"`
	Rule    string     `json:"rule,omitempty"`
	Reduced *dated     `json:"reduced,omitempty"`
	Minimum *dated     `json:"minimum,omitempty"`
	After   *dated     `json:"after,omitempty"`
	Prefect *dated     `json:"prefect,omitempty"`
	Judge   *dated     `json:"judge,omitempty"`
	Plan    *dated     `json:"plan,omitempty"`
	Driver  *dated     `json:"driver,omitempty"`
	Due     *dueAnswer `json:"due,omitempty"`
	Error   string     `json:"error,omitempty"`
	About   string     `json:"about,omitempty"`
}

// fail keeps the first thing that cannot be said.
func (a *answer) fail(err error) {
	if a.Error != "" {
		return
	}
	var e *Error
	if errors.As(err, &e) {
		a.Error, a.About = e.Code, e.About
		return
	}
	a.Error, a.About = "question.malformed", err.Error()
}

// Answers reads one question a line as JSON and writes one answer a line, in the same
// order: see docs/law.md. A line that is no question is answered with an error. What it
// returns is an error of reading or writing.
func (l *Law) Answers(r io.Reader, w io.Writer) error {
	lines := bufio.NewReaderSize(r, maxQuestion)
	out := json.NewEncoder(w)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
			if werr := out.Encode(answer{Error: "question.malformed", About: fmt.Sprintf("longer than %d bytes", maxQuestion)}); werr != nil {
				return werr
			}
		} else if line = bytes.TrimSpace(line); len(line) > 0 {
			if werr := out.Encode(l.answer(line)); werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (l *Law) answer(line []byte) (a answer) {
	var q question
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	err := dec.Decode(&q)
	if err == nil && dec.More() {
		err = errors.New("more than one value in the line")
	}
	if err != nil {
		a.fail(err)
		return a
	}
	f, driver := l.amountsOf(&q, &a)
	served, ok := servedOf(&q, &a)
	if !ok {
		l.sums(&a, f)
		return a
	}
	f.Served = served
	if q.Reducible == nil && a.Article == "" && served.Before(l.reduction.From) {
		f.Reducible = false
	}
	l.sums(&a, f)
	for _, t := range []struct {
		name Term
		into **dated
		has  bool
	}{{Prefect, &a.Prefect, true}, {Judge, &a.Judge, true}, {Plan, &a.Plan, true}, {Driver, &a.Driver, driver}} {
		day, err := l.LastDay(t.name, served)
		if !t.has || err != nil && t.name != Prefect { // plan and driver are younger than the table
			continue
		}
		if err != nil {
			a.fail(err)
			continue
		}
		*t.into = &dated{LastDay: &day}
	}
	if q.At != nil && f.Minimum > 0 {
		due, err := l.Due(f, q.At.Time)
		if err != nil {
			a.fail(err)
			return a
		}
		a.Due = &dueAnswer{Cents: due.Cents(), Band: due.Band}
		if !due.Until.IsZero() {
			a.Due.Until = due.Until.Format(time.RFC3339)
		}
	}
	return a
}

// amountsOf returns the sums of a question, and whether somebody has to say who drove.
func (l *Law) amountsOf(q *question, a *answer) (f Facts, driver bool) {
	f.Costs, driver = q.Costs, true
	v := q.Violation
	if own := q.violationQuestion; own != (violationQuestion{}) {
		if v != nil {
			a.fail(no("question.malformed", "two violations"))
			return f, driver
		}
		v = &own
	}
	if v != nil {
		s, err := l.violation(v)
		if err != nil {
			a.fail(err)
			return f, driver
		}
		a.Article, a.Points, driver = s.Article, &s.Points, s.Points > 0
		f.Minimum, f.Maximum, f.Reducible = s.Minimum, s.Maximum, s.Reducible
	}
	if q.Minimum != nil || q.Maximum != nil {
		switch {
		case q.Minimum == nil || q.Maximum == nil:
			a.fail(no("amounts.range", "minimum_cents and maximum_cents go together"))
		case v != nil && (*q.Minimum != f.Minimum || *q.Maximum != f.Maximum):
			a.fail(no("amounts.contradictory", "the violation costs %v to %v", f.Minimum, f.Maximum))
		case v == nil:
			f.Minimum, f.Maximum, f.Reducible = *q.Minimum, *q.Maximum, true
		}
	}
	if q.Reducible != nil {
		if v != nil && *q.Reducible != f.Reducible {
			a.fail(no("amounts.contradictory", "whether art. %s is reducible", a.Article))
		}
		f.Reducible = *q.Reducible
	}
	if v == nil && q.Minimum == nil && q.Maximum == nil {
		a.fail(no("amounts.missing", "neither amounts nor a violation"))
		f.Reducible = q.Reducible == nil || *q.Reducible
	}
	return f, driver
}

func (l *Law) violation(v *violationQuestion) (Sanction, error) {
	if v.Limit == nil || v.Speed == nil || v.Class == "" || v.Instant == nil {
		return Sanction{}, no("violation.missing", "want limit, speed, class and instant")
	}
	return l.Sanction(Violation{Limit: *v.Limit, Indicated: *v.Speed, Class: v.Class, Instant: v.Instant.Time, Repeated: v.Repeated})
}

func servedOf(q *question, a *answer) (Day, bool) {
	if q.Service == nil {
		a.fail(no("service.missing", "no term runs before service"))
		return Day{}, false
	}
	moment := func(m *Moment) Moment {
		if m == nil {
			return Moment{}
		}
		return *m
	}
	served, err := Service{
		Channel: q.Service.Channel, Delivered: moment(q.Service.Delivered), Stored: moment(q.Service.Stored),
		Collected: moment(q.Service.Collected), Viewed: moment(q.Service.Viewed),
	}.Served()
	if err != nil {
		a.fail(err)
		return Day{}, false
	}
	a.Served, a.Rule = &served.Day, served.Rule
	return served.Day, true
}

// sums fills in the three sums with their last days.
func (l *Law) sums(a *answer, f Facts) {
	last := func(name Term) *Day {
		if f.Served.Zero() {
			return nil
		}
		day, err := l.LastDay(name, f.Served)
		if err != nil {
			return nil
		}
		return &day
	}
	priced := f
	priced.Served = Day{} // the days are looked up one by one
	p, err := l.Prices(priced)
	if err != nil {
		if f.Minimum != 0 || f.Maximum != 0 {
			a.fail(err)
		}
		if f.Served.Zero() {
			return
		}
		if f.Reducible {
			a.Reduced = &dated{LastDay: last(Reduced)}
		}
		a.Minimum = &dated{LastDay: last(Minimum)}
		return
	}
	if f.Reducible {
		a.Reduced = &dated{LastDay: last(Reduced), Cents: &p.Reduced}
	}
	a.Minimum = &dated{LastDay: last(Minimum), Cents: &p.Minimum}
	a.After = &dated{Cents: &p.After}
}
