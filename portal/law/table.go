package law

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ciglio/capture/evidence"
	"ciglio/internal/strict"
)

// A Law is the rows of a table, and the rule that reduces an indicated speed, which is
// that of the verifiers.
type Law struct {
	Sanctions   []Sanctions
	bands       []band
	night       night
	reduction   reduction
	several     several
	terms       []term
	suspensions []suspension
	holidays    []holiday
	plan        planRow
	prefect     prefectRow
	credit      creditRow
	late        lateRow
	expiry      expiryRow
	send        sendRow
	points      int
	speed       evidence.Law
}

// A Sanctions is one row: least and most by article.
type Sanctions struct {
	span
	ID     string              `toml:"id"`
	Source string              `toml:"source"`
	Rate   *Rate               `toml:"rate"`
	Euro   map[string][2]int64 `toml:"euro"`
}

// A Rate is a change in ten-thousandths: -0.2% is -20.
type Rate int64

// UnmarshalText reads +5.4% or -0.25%.
func (r *Rate) UnmarshalText(text []byte) error {
	s, percent := strings.CutSuffix(string(text), "%")
	whole, part, _ := strings.Cut(s, ".")
	if !percent || len(part) > 2 {
		return fmt.Errorf("%q: want a rate as -0.2%%, of at most two places", text)
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", 2-len(part)), 10, 32)
	if err != nil || n <= -10000 || n > 100000 {
		return fmt.Errorf("%q: want a rate as -0.2%%", text)
	}
	*r = Rate(n)
	return nil
}

// String prints r as it is read.
func (r Rate) String() string {
	s := strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%+.2f", float64(r)/100), "0"), ".")
	return s + "%"
}

// Update returns an amount in whole euro after a change: to the whole euro, from 50 cents
// upward (circular of the Interior of 30 December 2016).
func (r Rate) Update(euro int64) int64 { return (euro*(10000+int64(r)) + 5000) / 10000 }

// Parse reads a table written as italy.toml. Unknown keys, rows without a source, rows of
// one name that overlap, and limits of which the least exceeds the most are errors.
func Parse(text string) (*Law, error) {
	var file struct {
		Sanctions   []Sanctions  `toml:"sanctions"`
		Bands       []band       `toml:"bands"`
		Night       night        `toml:"night"`
		Reduction   reduction    `toml:"reduction"`
		Several     several      `toml:"several"`
		Terms       []term       `toml:"terms"`
		Suspensions []suspension `toml:"suspensions"`
		Holidays    []holiday    `toml:"holidays"`
		Plan        planRow      `toml:"plan"`
		Prefect     prefectRow   `toml:"prefect"`
		Credit      creditRow    `toml:"credit"`
		Late        lateRow      `toml:"late"`
		Expiry      expiryRow    `toml:"expiry"`
		Send        sendRow      `toml:"send"`
		Points      struct {
			MostTogether int `toml:"most_together"`
		} `toml:"points"`
	}
	if _, err := strict.Decode(text, &file); err != nil {
		return nil, fmt.Errorf("law: %w", err)
	}
	speed, err := evidence.PresentLaw()
	if err != nil {
		return nil, err
	}
	l := &Law{
		Sanctions: file.Sanctions, bands: file.Bands, night: file.Night, reduction: file.Reduction, several: file.Several,
		terms: file.Terms, suspensions: file.Suspensions, holidays: file.Holidays, plan: file.Plan, prefect: file.Prefect,
		credit: file.Credit, late: file.Late, expiry: file.Expiry, send: file.Send, points: file.Points.MostTogether, speed: speed,
	}
	return l, l.check()
}

func (l *Law) check() error {
	spans := map[string][]span{}
	for _, s := range l.Sanctions {
		if s.ID == "" || s.Source == "" || len(s.Euro) == 0 {
			return fmt.Errorf("law: a row of sanctions from %v lacks id, source or euro", s.From)
		}
		for article, limits := range s.Euro {
			if limits[0] <= 0 || limits[0] > limits[1] {
				return fmt.Errorf("law: %s: %s: %d to %d euro", s.ID, article, limits[0], limits[1])
			}
			spans[article] = append(spans[article], s.span)
		}
	}
	for _, t := range l.terms {
		if t.Days <= 0 || t.Source == "" {
			return fmt.Errorf("law: term %q from %v lacks days or source", t.Name, t.From)
		}
		spans["term "+t.Name] = append(spans["term "+t.Name], t.span)
	}
	for name, rows := range spans {
		slices.SortFunc(rows, func(a, b span) int { return a.From.Since(b.From) })
		for i, s := range rows {
			switch {
			case s.From.Zero() || !s.Until.Zero() && s.Until.Before(s.From):
				return fmt.Errorf("law: %s: a row from %v until %v", name, s.From, s.Until)
			case i > 0 && (rows[i-1].Until.Zero() || !rows[i-1].Until.Before(s.From)):
				return fmt.Errorf("law: %s: two rows on %v", name, s.From)
			}
		}
	}
	if !slices.IsSortedFunc(l.bands, func(a, b band) int { return a.Over - b.Over }) || len(l.bands) == 0 || l.bands[0].Over != 0 {
		return fmt.Errorf("law: bands are not in order of their excess, from 0")
	}
	if l.reduction.Percent < 0 || l.reduction.Percent > 100 {
		return fmt.Errorf("law: a reduction of %d %%", l.reduction.Percent)
	}
	if l.night.Rounding != "half up" && l.night.Rounding != "down" {
		return fmt.Errorf("law: night rounding %q", l.night.Rounding)
	}
	if l.expiry.Years <= 0 || l.expiry.Source == "" {
		return fmt.Errorf("law: expiry of %d years", l.expiry.Years)
	}
	if l.several.Rule != askOffice && l.several.Rule != leastOfBoth {
		return fmt.Errorf("law: several: rule %q", l.several.Rule)
	}
	return nil
}

// A Difference is a limit of a new row that the announced rate does not give.
type Difference struct {
	Article        string
	Limit          string // "least" or "most"
	Printed, Wants int64  // euro
}

// CheckUpdate recomputes the rows of a new table, which is a list of [[sanctions]] with
// their rate, from the last row here that names the article. It returns what differs and
// how many limits it computed. A new row that overlaps one in force is an error.
func (l *Law) CheckUpdate(text string) (differences []Difference, computed int, err error) {
	var file struct {
		Sanctions []Sanctions `toml:"sanctions"`
	}
	if _, err := strict.Decode(text, &file); err != nil {
		return nil, 0, err
	}
	if len(file.Sanctions) == 0 {
		return nil, 0, fmt.Errorf("no [[sanctions]] in it")
	}
	with := *l
	with.Sanctions = slices.Concat(l.Sanctions, file.Sanctions)
	if err := with.check(); err != nil {
		return nil, 0, err
	}
	for _, row := range file.Sanctions {
		if row.Rate == nil {
			return nil, 0, fmt.Errorf("%s: the announced rate is missing: rate = \"+1.5%%\"", row.ID)
		}
		for article, printed := range row.Euro {
			before, ok := with.before(row.From, article)
			if !ok {
				return nil, 0, fmt.Errorf("%s: %s has no row before %v to compute from", row.ID, article, row.From)
			}
			for i, limit := range []string{"least", "most"} {
				computed++
				if wants := row.Rate.Update(before[i]); wants != printed[i] {
					differences = append(differences, Difference{article, limit, printed[i], wants})
				}
			}
		}
	}
	slices.SortFunc(differences, func(a, b Difference) int { return strings.Compare(a.Article+a.Limit, b.Article+b.Limit) })
	return differences, computed, nil
}

// before returns the limits of an article in the last row before a day.
func (l *Law) before(day Day, article string) (limits [2]int64, ok bool) {
	var last Day
	for _, s := range l.Sanctions {
		if v, there := s.Euro[article]; there && s.From.Before(day) && last.Before(s.From) {
			limits, ok, last = v, true, s.From
		}
	}
	return limits, ok
}
