package law

import "time"

// Facts are what the sum of a notice depends on.
type Facts struct {
	Minimum   Cents
	Maximum   Cents
	Costs     Cents // of ascertainment and service: never reduced
	Reducible bool
	Served    Day // zero while that is not known
}

type reduction struct {
	From    Day    `toml:"from"`
	Source  string `toml:"source"`
	Percent int64  `toml:"percent"`
}

// Prices are the sums of a notice by band, costs within, and their last days.
type Prices struct {
	Reduced    Cents // zero where art. 202 allows none
	ReducedDay Day
	Minimum    Cents
	MinimumDay Day
	After      Cents // half the maximum: art. 203(3)
}

// A Band is one of the three sums.
type Band string

// TitleBand is that of art. 203(3), when the notice is an enforceable title.
const (
	ReducedBand Band = "reduced"
	MinimumBand Band = "minimum"
	TitleBand   Band = "title"
)

// A Due is what is to be paid at an instant.
type Due struct {
	Sanction Cents
	Costs    Cents
	Band     Band
	Until    time.Time // last second of it; zero in the last band
}

// Cents returns the whole sum.
func (d Due) Cents() Cents { return d.Sanction + d.Costs }

// Prices returns the sums of a notice. Codes: amounts.range, term.no_row.
func (l *Law) Prices(f Facts) (Prices, error) {
	if f.Minimum <= 0 || f.Maximum < f.Minimum || f.Costs < 0 || f.Maximum > 1e12 || f.Costs > 1e12 {
		return Prices{}, no("amounts.range", "minimum %v, maximum %v, costs %v", f.Minimum, f.Maximum, f.Costs)
	}
	p := Prices{Minimum: f.Minimum + f.Costs, After: share(f.Maximum, 1, 2) + f.Costs}
	if f.Reducible {
		p.Reduced = share(f.Minimum, 100-l.reduction.Percent, 100) + f.Costs
	}
	if f.Served.Zero() {
		return p, nil
	}
	var err error
	if p.MinimumDay, err = l.LastDay(Minimum, f.Served); err != nil {
		return p, err
	}
	if f.Reducible {
		p.ReducedDay, err = l.LastDay(Reduced, f.Served)
	}
	return p, err
}

// Due returns what is to be paid at an instant. Whoever pays before service pays as on its
// day. Codes as those of Prices, and due.not_served while the day of service is unknown.
func (l *Law) Due(f Facts, at time.Time) (Due, error) {
	p, err := l.Prices(f)
	if err != nil {
		return Due{}, err
	}
	if f.Served.Zero() {
		return Due{}, no("due.not_served", "no term runs before service")
	}
	switch day := DayOf(at); {
	case f.Reducible && !p.ReducedDay.Before(day):
		return Due{p.Reduced - f.Costs, f.Costs, ReducedBand, p.ReducedDay.End()}, nil
	case !p.MinimumDay.Before(day):
		return Due{f.Minimum, f.Costs, MinimumBand, p.MinimumDay.End()}, nil
	}
	return Due{Sanction: p.After - f.Costs, Costs: f.Costs, Band: TitleBand}, nil
}

type lateRow struct {
	Percent int64  `toml:"percent"`
	Months  int    `toml:"months"`
	Source  string `toml:"source"`
}

// Surcharge returns what is added to a title for each half year from the day on which it
// could be enforced to that of its transmission to the collector: L. 689/1981, art. 27(6).
// It is computed on the title without costs.
func (l *Law) Surcharge(title Cents, enforceable, transmitted Day) Cents {
	halves := int64(0)
	for n := l.late.Months; !transmitted.Before(addMonths(enforceable, n)); n += l.late.Months {
		halves++
	}
	return share(title, l.late.Percent*halves, 100)
}

// addMonths returns the day of the same number n months later, or the last of that month.
func addMonths(d Day, n int) Day {
	last := Date(d.year, d.month+time.Month(n)+1, 0)
	return Date(last.year, last.month, min(d.day, last.day))
}

type expiryRow struct {
	Years  int    `toml:"years"`
	Source string `toml:"source"`
}

// Expiry returns the last day on which what is owed can be collected, from the violation or
// from the last act that its debtor was notified of.
func (l *Law) Expiry(from Day) Day { return addMonths(from, 12*l.expiry.Years) }

type sendRow struct {
	Source string `toml:"source"`
	Fee    Cents  `toml:"fee"`
}

// SendCosts returns what service by SEND costs: the office's part, the platform's fee, and
// its letters with VAT in percent on them.
func (l *Law) SendCosts(office Cents, letters []Cents, vat int64) Cents {
	var paper Cents
	for _, c := range letters {
		paper += c
	}
	return office + l.send.Fee + share(paper, 100+vat, 100)
}
