package catalogue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Number is Value of units of ten to the power of -Decimals, such as a speed in
// hundredths of a kilometre per hour with two. All its decimals are printed:
// nothing is rounded here.
type Number struct {
	Value    int64
	Decimals int // 0 to 18
}

// Cents are an amount of euro in hundredths.
type Cents int64

// A Quantity is a number with its unit, which it brings along: a text cannot give it
// another.
type Quantity struct {
	Number
	Plus bool   // what is not negative is printed with a plus
	Sign string // of the unit, with the blank before it
}

// A spelling is how a language writes numbers and dates.
type spelling struct {
	thousands, point string
	months           [12]string
	money            string // the amount is at %s
	day              func(day int, month string, year int) string
}

// spellings are of the languages there may be files for.
var spellings = map[string]spelling{
	"it": {".", ",", [12]string{"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"}, "%s €",
		func(day int, month string, year int) string {
			if day == 1 {
				return fmt.Sprintf("1º %s %d", month, year)
			}
			return fmt.Sprintf("%d %s %d", day, month, year)
		}},
	"en": {",", ".", [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}, "€%s",
		func(day int, month string, year int) string { return fmt.Sprintf("%d %s %d", day, month, year) }},
	"de": {".", ",", [12]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}, "%s €",
		func(day int, month string, year int) string { return fmt.Sprintf("%d. %s %d", day, month, year) }},
}

// spell writes a value of a type, and says whether it is a count of one.
func (w Words) spell(kind Type, value any) (text string, one bool, err error) {
	s := spellings[w.language]
	switch v := value.(type) {
	case string:
		if kind == Text {
			return v, false, nil
		}
	case int:
		if kind == Count {
			return s.count(int64(v)), v == 1, nil
		}
	case uint64:
		if kind == Count {
			return s.group(strconv.FormatUint(v, 10)), v == 1, nil
		}
	case Number:
		if kind == Decimal && v.Decimals >= 0 && v.Decimals <= 18 {
			return s.number(v), false, nil
		}
	case Cents:
		if kind == Money {
			return s.amount(v), false, nil
		}
	case Quantity:
		if kind == Measure && v.Decimals >= 0 && v.Decimals <= 18 {
			text = s.number(v.Number) + v.Sign
			if v.Plus && v.Value >= 0 {
				text = "+" + text
			}
			return text, false, nil
		}
	case time.Duration:
		if kind == Span {
			return span(v), false, nil
		}
	case time.Time:
		day := s.day(v.Day(), s.months[v.Month()-1], v.Year())
		switch kind {
		case Day:
			return day, false, nil
		case Instant:
			return day + ", " + v.Format(time.TimeOnly), false, nil
		}
	}
	return "", false, fmt.Errorf("%T is no %s", value, kind)
}

// minus is the sign, not the hyphen.
const minus = "−"

func (s spelling) count(v int64) string {
	if v < 0 {
		return minus + s.group(strconv.FormatInt(v, 10)[1:])
	}
	return s.group(strconv.FormatInt(v, 10))
}

// group sets thousands apart from five digits on, as typographers do.
func (s spelling) group(digits string) string {
	if len(digits) < 5 {
		return digits
	}
	var b strings.Builder
	for i, d := range []byte(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(s.thousands)
		}
		b.WriteByte(d)
	}
	return b.String()
}

func (s spelling) number(n Number) string {
	digits, sign := strconv.FormatInt(n.Value, 10), ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		digits, sign = rest, minus
	}
	if n.Decimals == 0 {
		return sign + s.group(digits)
	}
	if missing := n.Decimals + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	at := len(digits) - n.Decimals
	return sign + s.group(digits[:at]) + s.point + digits[at:]
}

// amount writes the sign before that of the currency.
func (s spelling) amount(c Cents) string {
	digits, negative := strings.CutPrefix(s.number(Number{int64(c), 2}), minus)
	text := fmt.Sprintf(s.money, digits)
	if negative {
		return minus + text
	}
	return text
}

// span writes a duration in its two largest units of h, min, s, or in ms or µs
// below a second: the same signs in all languages. What is smaller is cut off.
func span(d time.Duration) string {
	if d < 0 {
		if d == -1<<63 {
			d++
		}
		return minus + span(-d)
	}
	two := func(n time.Duration, unit string, rest time.Duration, small string) string {
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		return fmt.Sprintf("%d %s %d %s", n, unit, rest, small)
	}
	switch {
	case d >= time.Hour:
		return two(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	case d >= time.Minute:
		return two(d/time.Minute, "min", d%time.Minute/time.Second, "s")
	case d >= time.Second:
		return fmt.Sprintf("%d s", d/time.Second)
	case d >= time.Millisecond:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%d µs", d/time.Microsecond)
}
