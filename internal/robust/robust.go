// Package robust estimates the middle of values of which some are wrong, and how
// far the others scatter about it.
//
// What it keeps true: one wild value moves no result by more than a bounded step;
// the same values give the same result on every processor, in any order they come
// in. Values are finite. Nothing here allocates that is given its memory.
package robust

import "slices"

const (
	// Bend is how many spreads from the middle a value may lie to count in full:
	// there Huber's mean has 95 % of the efficiency of the mean of normal values
	// (Huber, Robust Statistics, 1981, chapter 4).
	Bend = 1.345
	// PerSigma is the median of |x| of a normal distribution whose standard
	// deviation is 1, and so half the range between its quarters.
	PerSigma = 0.6745
)

// Middle returns the median of sorted values, one or more: of an even number the
// mean of the two in the middle.
func Middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Median is [Middle] of values in any order, which it sorts in scratch, whose
// memory is used again.
func Median(values []float64, scratch *[]float64) float64 {
	*scratch = append((*scratch)[:0], values...)
	slices.Sort(*scratch)
	return Middle(*scratch)
}

// Upper returns the upper median of values, one or more: one of them.
func Upper(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// Bent returns the distance of a value from the middle as Huber's function counts
// it: beyond [Bend] spreads with that limit only.
func Bent(off, spread float64) float64 {
	limit := Bend * spread
	return max(-limit, min(limit, off))
}

// Mean returns Huber's mean of sorted values, one or more, and their spread, one
// standard deviation by the range between the quarters.
func Mean(sorted []float64) (mean, spread float64) {
	n := len(sorted)
	mean = Middle(sorted)
	spread = (sorted[(n-1)*3/4] - sorted[n/4]) / 2 / PerSigma
	if n < 4 || spread <= 0 {
		return mean, max(spread, 0)
	}
	for range 10 {
		var off float64
		for _, v := range sorted {
			off += Bent(v-mean, spread)
		}
		mean += off / float64(n)
	}
	return mean, spread
}
