package plot

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// A transform turns windowed samples into levels. It is the plain textbook form
// on purpose: the picture shows the signal by other means than the chain
// measures it.
type transform struct {
	window []float64
	turn   []complex128
	x      []complex128
}

func newTransform(n int) *transform {
	t := &transform{window: make([]float64, n), turn: make([]complex128, n/2), x: make([]complex128, n)}
	for k := range t.window {
		t.window[k] = (1 - math.Cos(2*math.Pi*float64(k)/float64(n))) / float64(n)
	}
	for k := range t.turn {
		t.turn[k] = cmplx.Rect(1, -2*math.Pi*float64(k)/float64(n))
	}
	return t
}

// spectrum returns the transform of i + jq under a Hann window; q may be nil. A
// sine of full scale I + jQ has the amplitude 1. The result is valid until the
// next call.
func (t *transform) spectrum(i, q []float32) []complex128 {
	n := len(t.x)
	shift := 64 - bits.TrailingZeros(uint(n))
	for k, w := range t.window {
		v := complex(w*float64(i[k]), 0)
		if q != nil {
			v = complex(w*float64(i[k]), w*float64(q[k]))
		}
		t.x[bits.Reverse64(uint64(k))>>shift] = v
	}
	for half := 1; half < n; half *= 2 {
		for from := 0; from < n; from += 2 * half {
			for k := range half {
				a, b := t.x[from+k], t.x[from+k+half]*t.turn[k*(n/2/half)]
				t.x[from+k], t.x[from+k+half] = a+b, a-b
			}
		}
	}
	return t.x
}
