package track

import (
	"math"

	"ciglio/internal/robust"
)

const iterate = 12

// A series is values over time with their robust mean and slope.
type series struct {
	x, y   []float64 // seconds, anything
	rest   []float64 // y less the line
	sorted []float64

	mean   float64 // of y, at the middle of x
	slope  float64
	spread float64 // one standard deviation of y about the line
	mid    float64 // mean of x
	sxx    float64
}

func newSeries() series {
	s := series{}
	for _, f := range []*[]float64{&s.x, &s.y, &s.rest, &s.sorted} {
		*f = make([]float64, 0, maxPoints)
	}
	return s
}

func (s *series) reset() { s.x, s.y = s.x[:0], s.y[:0] }

func (s *series) add(x, y float64) { s.x, s.y = append(s.x, x), append(s.y, y) }

// fit finds the line that minimises Huber's function of the distances: values
// farther than 1.345 spreads from it count with that limit only. The spread is
// at least least.
func (s *series) fit(least float64) {
	n := float64(len(s.x))
	s.mean, s.slope, s.spread, s.mid, s.sxx = 0, 0, least, 0, 0
	if n == 0 {
		return
	}
	for _, x := range s.x {
		s.mid += x / n
	}
	for _, x := range s.x {
		s.sxx += square(x - s.mid)
	}
	s.mean = s.median(s.y)
	for range iterate {
		s.rest = s.rest[:0]
		for i, x := range s.x {
			s.rest = append(s.rest, math.Abs(s.y[i]-s.mean-s.slope*(x-s.mid)))
		}
		s.spread = max(s.median(s.rest)/robust.PerSigma, least)
		var sum, turn float64
		for i, x := range s.x {
			off := s.bent(s.y[i] - s.mean - s.slope*(x-s.mid))
			sum += off
			turn += off * (x - s.mid)
		}
		s.mean += sum / n
		if s.sxx > 1e-9 {
			s.slope += turn / s.sxx
		}
	}
	for i, x := range s.x {
		s.rest[i] = s.y[i] - s.mean - s.slope*(x-s.mid)
	}
}

func (s *series) bent(off float64) float64 { return robust.Bent(off, s.spread) }

func (s *series) median(values []float64) float64 { return robust.Median(values, &s.sorted) }

// deviation returns the standard uncertainty of the mean, and of the slope.
//
// The variance of Huber's mean is the mean square of the bent distances over
// the square of the share that is not bent (Huber, Robust Statistics, 1981,
// chapter 7). Readings that follow each other share frames and reflections:
// with the correlation r of neighbours, n readings are worth n(1-r)/(1+r), r
// with the bias of a short series taken out. A variance that n-2 distances tell
// is itself uncertain, which Student's distribution accounts for: times
// (n-2)/(n-4) (JCGM 101, 6.4.9.4).
func (s *series) deviation() (mean, slope float64) {
	n := float64(len(s.x))
	if n < 5 {
		return s.spread, math.Inf(1)
	}
	var sum, beside, inside float64
	for i, off := range s.rest {
		b := s.bent(off)
		if b == off {
			inside++
		}
		sum += b * b
		if i > 0 {
			beside += b * s.bent(s.rest[i-1])
		}
	}
	if sum == 0 {
		return 0, 0
	}
	r := beside / sum
	r = max(0, min(0.9, r+(2+4*r)/n))
	variance := sum / (n - 2) / square(max(inside/n, 0.5)) * (n - 2) / (n - 4) * (1 + r) / (1 - r)
	return math.Sqrt(variance / n), math.Sqrt(variance / max(s.sxx, 1e-9))
}
