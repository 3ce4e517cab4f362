// Package easter knows when Easter is: the one holiday that moves.
package easter

import "time"

// Sunday returns Easter Sunday of a Gregorian year, as midnight UTC, by the
// anonymous algorithm of 1876 (J. Meeus, Astronomical Algorithms, chapter 8).
func Sunday(year int) time.Time {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	f := (b + 8) / 25
	g := (b - f + 1) / 3
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return time.Date(year, time.Month(n/31), n%31+1, 0, 0, 0, 0, time.UTC)
}
