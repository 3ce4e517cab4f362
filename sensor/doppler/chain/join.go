package chain

import (
	"math"
	"slices"

	"ciglio/sensor/doppler/geometry"
	"ciglio/sensor/doppler/lines"
)

// A fast vehicle is followed by frames of several lengths, each over a part of its way:
// by short ones where its frequency falls, by long ones where it is far away and weak.
// No part may be enough to tell the geometry, but all of them together are.
const (
	joinLow     = 80 / 3.6 // m/s, from which on pieces are kept
	joinSpeed   = 0.12     // share, within which the plateaus of pieces of one line lie
	joinGap     = 0.1      // s between two pieces of one line, at most
	joinQuiet   = 0.4      // s after the last piece, until nothing of it can be under way
	joinKeep    = 3.0      // s for which pieces are kept
	joinMost    = 16       // pieces of a chain
	joinStretch = 0.5      // the pace whose bounds hold for what was joined
	joinBins    = 1.5      // bins of the longer frames, and
	joinPart    = 0.01     // of the frequency, by which two pieces of one line may differ at an instant, in the middle
	joinAgree   = 0.5      // bins, and
	joinNear    = 0.003    // of the frequency, within which the longer frames, which are quieter, are believed
)

// A piece is what frames of one length followed of a line.
type piece struct {
	chain    *Chain
	from, to int64   // samples
	top      float64 // m/s, its plateau
	forwards bool    // the frequency is positive
	readings []lines.Reading
}

// keep keeps a track that has ended, to be joined.
func (c *Chain) keep(r []lines.Reading) {
	top := c.gauge.Top(r) * c.gauge.MPS / c.Stretch
	if c.Stretch > 1 || top < joinLow {
		return
	}
	if len(c.pieces) == joinMost {
		c.pieces = slices.Delete(c.pieces, 0, 1)
	}
	c.pieces = append(c.pieces, piece{c, c.At(r[0].Frame), c.At(r[len(r)-1].Frame), top, r[0].F > 0, slices.Clone(r)})
}

// Join returns a vehicle of which no chain alone may have found the speed, if one has
// left by the given sample: one line that this chain, of the usual pace, and those of
// shorter frames have followed in pieces, and that one geometry explains as a whole.
// When the signal has ended nothing is waited for.
func (c *Chain) Join(chains []*Chain, now int64, ended bool) (Vehicle, bool) {
	for {
		group := c.group(chains, now, ended)
		if group == nil {
			return Vehicle{}, false
		}
		if v, ok := c.join(group); ok {
			return v, true
		}
	}
}

// group takes the pieces of one line out of the chains, those of the shortest frames
// first, or nil while none is complete.
func (c *Chain) group(chains []*Chain, now int64, ended bool) []piece {
	rate := float64(c.rate)
	var first *piece
	for _, k := range chains {
		k.pieces = slices.DeleteFunc(k.pieces, func(p piece) bool { return float64(now-p.to) > joinKeep*rate })
		for i := range k.pieces {
			if p := &k.pieces[i]; first == nil || p.to < first.to {
				first = p
			}
		}
	}
	if first == nil {
		return nil
	}
	from, to, top, forwards, gap := first.from, first.to, first.top, first.forwards, int64(joinGap*rate)
	one := func(a, b int64, speed float64, way bool) bool {
		return way == forwards && math.Abs(speed-top) < joinSpeed*top && a <= to+gap && b >= from-gap
	}
	for more := true; more; {
		more = false
		for _, k := range chains {
			for _, p := range k.pieces {
				if one(p.from, p.to, p.top, p.forwards) && (p.from < from || p.to > to) {
					from, to, more = min(from, p.from), max(to, p.to), true
				}
			}
		}
	}
	if !ended && float64(now-to) < joinQuiet*rate {
		return nil
	}
	for _, k := range chains {
		if k.Stretch <= 1 && slices.ContainsFunc(k.follower.Tracks, func(t *lines.Track) bool {
			return t.Confirmed && one(k.At(t.First()), k.At(t.Last()), k.gauge.Top(t.Readings)*k.gauge.MPS/k.Stretch, t.F > 0)
		}) {
			return nil
		}
	}
	var group []piece
	for _, k := range chains {
		k.pieces = slices.DeleteFunc(k.pieces, func(p piece) bool {
			mine := one(p.from, p.to, p.top, p.forwards)
			if mine {
				group = append(group, p)
			}
			return mine
		})
	}
	slices.SortStableFunc(group, func(a, b piece) int { return a.chain.Size - b.chain.Size })
	return group
}

// join measures the pieces of a line, those of the shortest frames first.
func (c *Chain) join(group []piece) (Vehicle, bool) {
	if group[0].chain.Size == group[len(group)-1].chain.Size { // one length of frames has told what it knows
		return Vehicle{}, false
	}
	from, to := group[0].from, group[0].to
	for _, p := range group {
		from, to = min(from, p.from), max(to, p.to)
	}
	var all []lines.Reading
	next := make([]int, len(group))
	apart := make([][]float64, len(group))
	for frame := (from - c.Middle) / c.Step; c.At(frame) <= to; frame++ {
		begin, end := c.At(frame)-c.Step/2, c.At(frame)+c.Step-c.Step/2
		var best lines.Reading
		known := false
		for i, p := range group {
			var sum, n float64
			r := lines.Reading{}
			for ; next[i] < len(p.readings) && p.chain.At(p.readings[next[i]].Frame) < end; next[i]++ {
				if r = p.readings[next[i]]; p.chain.At(r.Frame) >= begin {
					sum, n = sum+float64(r.F), n+1
				}
			}
			if n == 0 {
				continue
			}
			bins := p.chain.binHz / c.binHz
			r.F, r.Frame = float32(sum/n*bins), frame
			off, f := math.Abs(float64(r.F-best.F)), math.Abs(float64(best.F))
			if known {
				apart[i] = append(apart[i], off/max(joinBins*bins, joinPart*f))
			}
			if !known || off < max(joinAgree, joinNear*f) {
				best, known = r, true
			}
		}
		if known {
			all = append(all, best)
		}
	}
	for _, a := range apart {
		if slices.Sort(a); len(a) > 0 && a[len(a)/2] > 1 { // two lines
			return Vehicle{}, false
		}
	}
	if len(all) < lines.ConfirmHits {
		return Vehicle{}, false
	}
	w, ok := c.joint.Judge(all)
	if !ok || len(w.Reasons) > 0 || w.Slant || !w.Fitted {
		return Vehicle{}, false
	}
	w.Speed, w.Noise, w.Change = w.Speed/joinStretch, w.Noise/joinStretch, w.Change/joinStretch
	return c.joined(all, w, group)
}

// joined returns the vehicle of a line that was joined, unless it was told before or
// belongs to another.
func (c *Chain) joined(all []lines.Reading, w geometry.Measurement, group []piece) (Vehicle, bool) {
	last := all[len(all)-1]
	t := lines.Track{Confirmed: true, F: float64(last.F), Level: float64(last.Level), Own: float64(last.Own), Readings: all}
	v := Vehicle{
		first: t.First(), last: t.Last(), audible: true, heard: [2]int64{t.First(), t.Last()}, root: all[0], real: c.real(all), top: c.gauge.Top(all), trail: trail(all),
		judged: true, Measured: w, f: t.F, level: t.Level,
	}
	for _, p := range group {
		if p.chain == c {
			v.pieces = append(v.pieces, p.readings[0])
		}
	}
	if c.part(w) || c.wheels(&t, v.trail, w) || slices.ContainsFunc(c.held, func(h Vehicle) bool { return c.together(h.Measured, w) }) {
		return Vehicle{}, false
	}
	v.Targets = c.others(&t, w)
	if c.Complex && c.joint.Jumps(all) || c.undecided(v) {
		v.Targets++
	}
	v.Targets = max(v.Targets, c.beyond(v)) + c.before(&v)
	if v.Targets == 0 && c.company(&v) {
		v.Targets = 1
	}
	if c.observed {
		v.Line = c.points(all)
	}
	c.remember(v)
	return v, true
}

// madeOf reports whether a vehicle was joined from pieces of which one begins with a
// reading.
func (v *Vehicle) madeOf(root lines.Reading) bool {
	return slices.ContainsFunc(v.pieces, func(r lines.Reading) bool { return r.Frame == root.Frame && r.F == root.F })
}
