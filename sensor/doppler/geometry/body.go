package geometry

import (
	"math"

	"ciglio/sensor/doppler/lines"
)

const (
	fallNearCos, fallFarCos = 0.5, 0.95 // of the plateau, where a line alone tells how strong it is
	FallReadings            = 4
)

// strength returns the mean level of a line where it falls, in dB, without what
// else is near. It is not a number where the fall was hardly seen.
func (g *Gauge) strength(readings []lines.Reading, p geometry) float64 {
	var sum, n float64
	for i := range g.x {
		if c := p.cosine(g.x[i]); c > fallNearCos && c < fallFarCos && math.Abs(g.v[i]/p.top-c) < 0.05 {
			sum, n = sum+float64(readings[g.source[i]].Own), n+1
		}
	}
	if n < FallReadings {
		return math.NaN()
	}
	return sum / n
}
