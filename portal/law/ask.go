package law

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
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
	if strings.Contains(s, "T") {
		at, err := parseInstant(s)
		*m = At(at)
		return err
	}
	day, err := ParseDay(s)
	if err == nil && !possible(day) {
		err = no("day.malformed", "%q: a year that cannot be", s)
	}
	*m = Moment{Day: day}
	return err
}

func parseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || s[13] != ':' || strings.Contains(s, ",") { // it takes an hour of one digit and a decimal comma, too
		return t, no("instant.malformed", "%q: want an instant with its offset, as 2026-12-07T22:30:00+01:00", s)
	}
	if !possible(DayOf(t)) {
		return t, no("instant.malformed", "%q: a year that cannot be", s)
	}
	return t, nil
}

// possible reports whether a notice can have to do with a day.
func possible(d Day) bool { return d.Year() >= 1990 && d.Year() <= 9000 }

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

// read reads a question. What encoding/json lets pass is an error: a key that stands twice
// or in capitals, and something after the object.
func (q *question) read(line []byte) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("want a JSON object")
	}
	if err := keys(dec); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	dec = json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	return dec.Decode(q)
}

// keys reads an object from behind its brace, and the objects in it.
func keys(dec *json.Decoder) error {
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		switch {
		case strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "":
			return fmt.Errorf("unknown key %q", key)
		case seen[key]:
			return fmt.Errorf("key %q stands twice", key)
		}
		seen[key] = true
		switch t, err = dec.Token(); {
		case err != nil:
			return err
		case t == json.Delim('['):
			return fmt.Errorf("key %q: a list", key)
		case t == json.Delim('{'):
			if err := keys(dec); err != nil {
				return err
			}
		}
	}
	_, err := dec.Token()
	return err
}

func (l *Law) answer(line []byte) (a answer) {
	var q question
	if err := q.read(line); err != nil {
		a.fail(err)
		return a
	}
	f, driver := l.amountsOf(&q, &a)
	served, ok := servedOf(&q, &a)
	if !ok {
		l.sums(&a, f)
		return a
	}
	if v := q.violation(); v != nil && v.Instant != nil && served.Before(DayOf(v.Instant.Time)) {
		a.fail(no("service.contradictory", "served on %v, before the violation", served))
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

// violation returns the violation of a question, nil where there is none.
func (q *question) violation() *violationQuestion {
	if own := q.violationQuestion; own != (violationQuestion{}) {
		return &own
	}
	return q.Violation
}

// amountsOf returns the sums of a question, and whether somebody has to say who drove.
// Sums that cannot be are zero.
func (l *Law) amountsOf(q *question, a *answer) (f Facts, driver bool) {
	driver = true
	v := q.violation()
	given := q.Minimum != nil && q.Maximum != nil
	if v == nil {
		f.Reducible = q.Reducible == nil || *q.Reducible
		switch {
		case given:
			f.Minimum, f.Maximum = *q.Minimum, *q.Maximum
		case q.Minimum == nil && q.Maximum == nil:
			a.fail(no("amounts.missing", "neither amounts nor a violation"))
			return f, driver
		}
	} else {
		if q.Violation != nil && v != q.Violation {
			a.fail(no("question.malformed", "two violations"))
			return f, driver
		}
		s, err := l.violation(v)
		var e *Error
		switch {
		case err == nil:
		case given && errors.As(err, &e) && e.Code == "sanction.no_table":
			// Given amounts are answered for any date.
			a.fail(err)
			f.Minimum, f.Maximum, f.Costs, f.Reducible = *q.Minimum, *q.Maximum, q.Costs, q.Reducible == nil || *q.Reducible
			if _, err := l.Prices(f); err != nil {
				f.Minimum, f.Maximum = 0, 0
			}
			return f, driver
		default:
			a.fail(err)
			return f, driver
		}
		a.Article, a.Points, driver = s.Article, &s.Points, s.Points > 0
		f.Minimum, f.Maximum, f.Reducible = s.Minimum, s.Maximum, s.Reducible
	}
	f.Costs = q.Costs
	_, err := l.Prices(f)
	switch {
	case given != (q.Minimum != nil || q.Maximum != nil):
		a.fail(no("amounts.range", "minimum_cents and maximum_cents go together"))
	case err != nil:
		a.fail(err)
		f.Minimum, f.Maximum = 0, 0
	case given && (*q.Minimum != f.Minimum || *q.Maximum != f.Maximum):
		a.fail(no("amounts.contradictory", "the violation costs %v to %v", f.Minimum, f.Maximum))
	case q.Reducible != nil && *q.Reducible != f.Reducible:
		a.fail(no("amounts.contradictory", "whether art. %s is reducible", a.Article))
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

// sums fills in the three sums with their last days, as far as they are known.
func (l *Law) sums(a *answer, f Facts) {
	unserved := f
	unserved.Served = Day{} // the days are looked up one by one
	p, err := l.Prices(unserved)
	known := func(name Term, cents *Cents) *dated {
		var d dated
		if err == nil {
			d.Cents = cents
		}
		if day, none := l.LastDay(name, f.Served); none == nil {
			d.LastDay = &day
		}
		if d == (dated{}) {
			return nil
		}
		return &d
	}
	if f.Reducible {
		a.Reduced = known(Reduced, &p.Reduced)
	}
	a.Minimum = known(Minimum, &p.Minimum)
	if err == nil {
		a.After = &dated{Cents: &p.After}
	}
}
