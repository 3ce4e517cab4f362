package strict

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Unit is a suffix of letters and the number of base units that it stands for.
type Unit struct {
	Suffix string
	Scale  int64
}

// Quantity reads a decimal number with one of the units, the largest of which
// comes first, exactly: a value that is not a whole number of base units is an
// error, never rounded. What names it in errors.
func Quantity(what, text string, units []Unit) (int64, error) {
	text = strings.TrimSpace(text)
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for _, u := range units {
		if text[len(number):] == u.Suffix {
			n, err := decimal(strings.TrimSpace(number), u.Scale)
			if err != nil {
				return 0, fmt.Errorf("%s %q: %w", what, text, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s %q: want a number with unit %s", what, text, units[0].Suffix)
}

// Bounded is [Quantity] of a value from low to high.
func Bounded(what, text string, units []Unit, low, high int64) (int64, error) {
	n, err := Quantity(what, text, units)
	if err != nil {
		return 0, err
	}
	if n < low || n > high {
		return 0, fmt.Errorf("%s %q: want %s to %s", what, text, Format(low, units), Format(high, units))
	}
	return n, nil
}

func decimal(number string, scale int64) (int64, error) {
	digits, negative := strings.CutPrefix(number, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if whole == "" || dotted && fraction == "" || len(fraction) > 9 {
		return 0, errors.New("not a decimal number")
	}
	w, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || w > uint64(math.MaxInt64/scale)-1 {
		return 0, errors.New("not a number in range")
	}
	var parts int64
	if fraction != "" {
		f, err := strconv.ParseUint(fraction, 10, 63)
		if err != nil {
			return 0, errors.New("not a decimal number")
		}
		power := int64(1)
		for range fraction {
			power *= 10
		}
		// f < 1e9 and scale ≤ 2^30: the product fits.
		if int64(f)*scale%power != 0 {
			return 0, errors.New("finer than can be kept")
		}
		parts = int64(f) * scale / power
	}
	n := int64(w)*scale + parts
	if negative {
		n = -n
	}
	return n, nil
}

// Format writes n in the largest unit in which it is a whole number, with
// decimals where there is but one unit. [Quantity] reads it back.
func Format(n int64, units []Unit) string {
	for _, u := range units {
		if n%u.Scale == 0 {
			return strconv.FormatInt(n/u.Scale, 10) + u.Suffix
		}
	}
	u := units[len(units)-1]
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	width := len(strconv.FormatInt(u.Scale, 10)) - 1
	text := fmt.Sprintf("%s%d.%0*d", sign, n/u.Scale, width, n%u.Scale)
	return strings.TrimRight(text, "0") + u.Suffix
}
