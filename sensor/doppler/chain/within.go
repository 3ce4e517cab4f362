package chain

import (
	"math"

	"ciglio/sensor/doppler/geometry"
)

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
	bodyBefore = 4.0  // m before the near end, where nothing of it is: closest points that are known are surer
)

// within reports whether a line in a frame may be another place of the body whose
// line w is. Only where one geometry explains w, the speed of the body is known so
// well, and only I and Q tell on which way it is.
func (c *Chain) within(frame int64, f float64, w *geometry.Measurement) bool {
	if !c.Complex || !w.Fitted {
		return false
	}
	far := (float64(frame) - w.Near) * w.Back() * c.gauge.Hop * w.Speed // m before the closest point
	offset := w.Tau * c.gauge.Hop * w.Speed
	cosine := func(x float64) float64 { return x / math.Hypot(x, offset) }
	plateau := w.Speed / c.gauge.MPS
	share, wide := f/plateau*float64(w.Sign), bodyPart+bodyBins/plateau
	return share > cosine(far-bodyLength)-wide && share < cosine(far+bodyLength)+wide
}
