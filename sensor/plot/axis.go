package plot

import (
	"math"
	"strconv"
)

// An axis maps values onto pixels.
type axis struct {
	low, high float64
	from, to  int // pixels of low and high
}

func (a axis) at(v float64) float64 {
	return float64(a.from) + (v-a.low)/(a.high-a.low)*float64(a.to-a.from)
}

// value is the inverse of at.
func (a axis) value(pixel float64) float64 {
	return a.low + (pixel-float64(a.from))/float64(a.to-a.from)*(a.high-a.low)
}

// ticks returns round values on the axis, about n of them, and how many
// decimals they need.
func (a axis) ticks(n int) (values []float64, decimals int) {
	rough := (a.high - a.low) / float64(n)
	size := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * size
	for _, s := range []float64{1, 2, 5} {
		if s*size >= rough {
			step = s * size
			break
		}
	}
	decimals = max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	for k := math.Ceil(a.low/step - 1e-9); k*step <= a.high+1e-9*step; k++ {
		values = append(values, k*step)
	}
	return values, decimals
}

func number(v float64, decimals int) string {
	if s := strconv.FormatFloat(v, 'f', decimals, 64); s != "-"+strconv.FormatFloat(0, 'f', decimals, 64) {
		return s
	}
	return strconv.FormatFloat(0, 'f', decimals, 64)
}
