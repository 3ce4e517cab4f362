package doppler

import "math"

// A vehicle is rigid, and no longer than the law allows. Where its near end is
// known, so is the band of frequencies in which any other place of it can be. And
// its near end, which is nearest and faces the sensor, is its strongest: another
// place of one body reflects less than another vehicle does that passes as near.
const (
	bodyLength = 19.0 // m: road trains have 18.75
	bodyRigid  = 13.0 // m: what is longer bends
	bodyWeaker = 9.0  // dB, of what reflects beyond that, against the near end
	bodyPart   = 0.01 // of the frequency, within which the band is known
	bodyBins   = 2.5  // the same in bins

	fallNearCos, fallFarCos = 0.5, 0.95 // of the plateau, where a line alone tells how strong it is
	fallReadings            = 4
)

// strength returns the mean level of a line where it falls, in dB, without what
// else is near. It is not a number where the fall was hardly seen.
func (g *gauge) strength(readings []reading, p geometry) float64 {
	var sum, n float64
	for i := range g.x {
		if c := p.cosine(g.x[i]); c > fallNearCos && c < fallFarCos && math.Abs(g.v[i]/p.top-c) < 0.05 {
			sum, n = sum+float64(readings[g.source[i]].own), n+1
		}
	}
	if n < fallReadings {
		return math.NaN()
	}
	return sum / n
}

// within reports whether a line in a frame may be another place of the body whose
// line w is. Only where one geometry explains w, the speed of the body is known so
// well, and only I and Q tell on which way it is.
func (c *chain) within(frame int64, f float64, w *verdict) bool {
	if !c.complex || !w.fitted {
		return false
	}
	far := (float64(frame) - w.near) * w.back() * c.gauge.hop * w.speed // m before the closest point
	offset := w.tau * c.gauge.hop * w.speed
	cosine := func(x float64) float64 { return x / math.Hypot(x, offset) }
	plateau := w.speed / c.gauge.mps
	share, wide := f/plateau*float64(w.sign), bodyPart+bodyBins/plateau
	return share > cosine(far-bodyLength)-wide && share < cosine(far+bodyLength)+wide
}
