package simcam

import (
	"image"
	"math"
)

// fill paints a polygon with antialiased edges: 4 lines a pixel, exact to the
// side.
func fill(m *image.RGBA, xs, ys []float64, c colour) { fillGloss(m, xs, ys, c, math.MaxUint8) }

// fillGloss is fill with a value for the fourth channel.
func fillGloss(m *image.RGBA, xs, ys []float64, c colour, gloss byte) {
	const lines = 4
	top, bottom := math.Inf(1), math.Inf(-1)
	left, right := math.Inf(1), math.Inf(-1)
	for i := range xs {
		top, bottom = min(top, ys[i]), max(bottom, ys[i])
		left, right = min(left, xs[i]), max(right, xs[i])
	}
	b := m.Rect
	x0, x1 := max(b.Min.X, int(math.Floor(left))), min(b.Max.X, int(math.Ceil(right))+1)
	if x0 >= x1 {
		return
	}
	cover := make([]float64, x1-x0)
	var cuts []float64
	for y := max(b.Min.Y, int(math.Floor(top))); y < min(b.Max.Y, int(math.Ceil(bottom))); y++ {
		clear(cover)
		for k := range lines {
			at := float64(y) + (float64(k)+0.5)/lines
			cuts = cuts[:0]
			for i := range xs {
				j := (i + 1) % len(xs)
				if (ys[i] <= at) != (ys[j] <= at) {
					cuts = append(cuts, xs[i]+(at-ys[i])/(ys[j]-ys[i])*(xs[j]-xs[i]))
				}
			}
			sortFloats(cuts)
			for i := 0; i+1 < len(cuts); i += 2 {
				span(cover, cuts[i]-float64(x0), cuts[i+1]-float64(x0), 1.0/lines)
			}
		}
		for i, v := range cover {
			if v > 0 {
				before := m.Pix[m.PixOffset(x0+i, y)+3]
				set(m, x0+i, y, get(m, x0+i, y).mix(c, min(v, 1)))
				if p := m.PixOffset(x0+i, y) + 3; v > 0.5 {
					m.Pix[p] = gloss
				} else {
					m.Pix[p] = before
				}
			}
		}
	}
}

// span adds weight to what lies between two places on a row.
func span(cover []float64, from, to, weight float64) {
	from, to = max(from, 0), min(to, float64(len(cover)))
	for i := int(from); i < len(cover) && float64(i) < to; i++ {
		cover[i] += weight * (min(to, float64(i+1)) - max(from, float64(i)))
	}
}

func sortFloats(v []float64) {
	for i := 1; i < len(v); i++ {
		for j := i; j > 0 && v[j] < v[j-1]; j-- {
			v[j], v[j-1] = v[j-1], v[j]
		}
	}
}
