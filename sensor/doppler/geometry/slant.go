package geometry

import (
	"math"
	"slices"

	"ciglio/sensor"
	"ciglio/sensor/doppler/lines"
)

const (
	slantWay   = 15.0  // m that a vehicle must be followed
	slantSpeed = 10.0  // km/h, below which grass and rain look alike
	slantRise  = 2.0   // dB by which its level must change on the way
	slantLeast = 0.015 // share of the speed that the angle may hide at least
	slantFall  = 0.008 // share by which the cosine lets the near quarter of it lie below the far one, at least
	slantSide  = 3.0   // dB by which the near quarter is stronger where the vehicle gained speed instead
	slantNear  = 45.0  // m, the farthest at which a beam loses a vehicle that passes
	slantMost  = 0.008 // share of the speed that the angle may hide there
	SlantWait  = 25.0  // m beyond the track's end in which a closest point may follow
)

// slanted judges a track without a closest point: that of a vehicle which a
// narrow beam lost before its frequency fell. A line of one sign that comes
// nearer is no tone, hum or sound: those show in both channels alike, and so
// with both signs. It takes I and Q to know.
//
// The angle is not known, so it is not corrected for. Along the road it is next
// to none, and what the frequency loses on the way says how little; a beam that
// is turned aside hides as much as the cosine of its angle. That counts as
// uncertainty, and the speed is never too high.
func (g *Gauge) slanted(readings []lines.Reading) (Measurement, bool) {
	w := Measurement{Slant: true, Sign: 1, First: readings[0].Frame, Last: readings[len(readings)-1].Frame, Root: readings[0]}
	readings = dense(readings)
	n := len(readings)
	frames := float64(readings[n-1].Frame - readings[0].Frame + 1)
	if n < 2*MinZoneN || frames*g.Hop < MinTrack || float64(n) < minDensity*frames {
		return w, false
	}
	if !oneSign(readings) {
		return w, false
	}
	w.Image = 1
	if readings[n/2].F < 0 {
		w.Sign = -1
	}
	w.AtEnd = w.Sign > 0
	g.unfold(readings, w.AtEnd)
	top := slices.Max(g.m)
	strongest := 0
	for i, l := range g.l {
		if l > g.l[strongest] {
			strongest = i
		}
	}
	weakest := min(g.median(g.l[n-n/4-1:]), g.median(g.l[:n/4+1]))
	if top*frames*g.Hop < slantWay || g.l[strongest] < weakest+slantRise {
		return w, false
	}
	fall := 1 - g.median(g.v[:n/4+1])/g.median(g.v[n-n/4-1:])
	side := g.median(g.l[:n/4+1]) - g.median(g.l[n-n/4-1:])
	w.Nearer, w.Farther = fall > slantFall, fall < -slantFall && side < slantSide
	from := 0
	for from < n-1 && g.m[from] < topBand*top {
		from++
	}
	to := g.grow(from, top)
	near, steep := g.x[from], g.median(g.m[from:min(from+MinZoneN, to)])
	p := geometry{x0: 1e3, tau: 1e-3, top: top} // as good as along the road
	g.mean(readings, from, to, p, &w)
	w.Deficit = max(slantLeast, 1-math.Cos(g.angle), math.Abs(1-steep/w.Speed), math.Abs(1-g.m[to-1]/w.Speed))
	// The angle took fall of the speed on the way from the far to the near end. How
	// much it took before, only the way tells.
	if way := top * frames * g.Hop / slantNear; len(w.Reasons) == 0 && fall > slantMost*(way*(2+way)) {
		w.Reasons = append(w.Reasons, sensor.ReasonUncertain)
	}
	w.Tau = 4 / w.Speed / g.Hop
	w.Near = float64(readings[g.source[0]].Frame) - w.Back()*(10/w.Speed+near)/g.Hop
	return w, w.Speed*3.6 >= slantSpeed*g.stretch && !w.tonal
}
