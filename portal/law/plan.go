package law

import (
	"fmt"
	"strconv"
	"strings"
)

type planRow struct {
	Source   string     `toml:"source"`
	Above    int64      `toml:"above"` // euro
	Least    int64      `toml:"least"` // euro, of each instalment
	Income   euro       `toml:"income"`
	Relative euro       `toml:"relative"`
	Bands    []planBand `toml:"bands"`
	Silence  int        `toml:"silence"`
	Payable  int        `toml:"payable"`
}

type planBand struct {
	Upto int64 `toml:"upto"` // euro; 0: no end
	Most int   `toml:"most"`
}

// euro is an amount written with two places.
type euro Cents

func (e *euro) UnmarshalText(text []byte) error {
	whole, part, ok := strings.Cut(string(text), ".")
	n, err := strconv.ParseInt(whole+part, 10, 64)
	if err != nil || !ok || len(part) != 2 || n < 0 {
		return fmt.Errorf("%q: want euro as 10628.16", text)
	}
	*e = euro(n)
	return nil
}

// Instalments returns the most instalments of a notice, without costs, for a person with a
// taxable income and so many relatives in the household: art. 202-bis. Codes: plan.amount
// (not above 200 euro), plan.income.
func (l *Law) Instalments(sanction, income Cents, relatives int) (int, error) {
	if sanction <= Cents(l.plan.Above)*100 {
		return 0, no("plan.amount", "%v is not above %d.00", sanction, l.plan.Above)
	}
	if limit := l.IncomeLimit(relatives); income > limit {
		return 0, no("plan.income", "%v is above %v", income, limit)
	}
	most := 0
	for _, b := range l.plan.Bands {
		if most = b.Most; b.Upto == 0 || sanction <= Cents(b.Upto)*100 {
			break
		}
	}
	return min(most, int(int64(sanction)/(l.plan.Least*100))), nil
}

// IncomeLimit returns the income up to which instalments may be had.
func (l *Law) IncomeLimit(relatives int) Cents {
	return Cents(l.plan.Income) + Cents(relatives)*Cents(l.plan.Relative)
}

// Split returns n instalments of a sum, equal to the cent, with what is left over on the
// first.
func Split(sum Cents, n int) []Cents {
	parts := make([]Cents, n)
	for i := range parts {
		parts[i] = sum / Cents(n)
	}
	parts[0] += sum % Cents(n)
	return parts
}

// PlanSilence returns the day after which a request without an answer counts as refused,
// and the last day to pay then, both from the day of the request.
func (l *Law) PlanSilence(requested Day) (refused, payable Day) {
	return requested.Add(l.plan.Silence), l.moved(requested.Add(l.plan.Payable))
}
