package geometry

import (
	"math"
	"slices"

	"ciglio/sensor/doppler/lines"
)

const (
	jumpStep   = 4     // readings from one place that is looked at to the next
	jumpBefore = 0.5   // s from a steady stretch to the middle of a jump
	jumpAfter  = 1.0   // s from there to the end of the next
	jumpWidth  = 0.4   // s of each stretch
	jumpSteady = 0.015 // of the frequency, within which a stretch is steady
	jumpLeast  = 0.025 // of the frequency, by which the two differ
	jumpBins   = 4.0   // the same in bins
	jumpHard   = 2.0   // m/s², more than drivers change their speed by at once
	jumpLouder = 4.0   // dB by which what goes away grew, or what comes faded
)

// Jumps reports whether a track went over from the line of one vehicle to that
// of another: from one steady frequency to another, faster than a vehicle can,
// or while its strength changed as no vehicle's does that goes on its way. In a
// real signal, where the lines of both ways cross, it would say little.
func (g *Gauge) Jumps(readings []lines.Reading) bool {
	if len(readings) < 2*MinZoneN {
		return false
	}
	g.unfold(readings, false)
	n := len(g.x)
	for i := 0; i < n; i += jumpStep {
		t := g.x[i]
		a, b := g.index(t-jumpBefore), g.index(t-jumpBefore+jumpWidth)
		c, d := g.index(t+jumpAfter-jumpWidth), g.index(t+jumpAfter)
		if b-a < MinZoneN || d-c < MinZoneN {
			continue
		}
		before, isSteady := g.stretchOf(a, b)
		after, isSteadyToo := g.stretchOf(c, d)
		if !isSteady || !isSteadyToo || math.Abs(after-before) < max(jumpLeast*before, jumpBins*g.MPS) {
			continue
		}
		hard := math.Abs(after-before)/(jumpBefore+jumpAfter-jumpWidth) > jumpHard*g.stretch*g.stretch
		louder := g.median(g.l[c:d]) - g.median(g.l[a:b])
		if readings[0].F > 0 {
			louder = -louder
		}
		if hard || louder > jumpLouder {
			return true
		}
	}
	return false
}

// index returns the first value at or after time x.
func (g *Gauge) index(x float64) int {
	i, _ := slices.BinarySearch(g.x, x)
	return i
}

// stretchOf returns the median speed of a stretch and whether it is steady.
func (g *Gauge) stretchOf(from, to int) (float64, bool) {
	m := g.m[from:to]
	low, high := slices.Min(m), slices.Max(m)
	return g.median(m), high-low < max(jumpSteady*high, g.MPS)
}
