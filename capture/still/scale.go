package still

import (
	"fmt"
	"image"
	"math/big"
	"sync"

	"ciglio/capture"
)

// fits returns the size that a picture has before its data bar, and an error where
// the recipe does not fit the source.
func (r *Recipe) fits(size image.Point) (image.Point, error) {
	fail := func(format string, args ...any) (image.Point, error) {
		return image.Point{}, fmt.Errorf("%w: "+format, append([]any{ErrRecipe}, args...)...)
	}
	if d := r.Redact; d != nil {
		for _, lines := range [][]Polygon{d.Keep, d.Hide} {
			for _, line := range lines {
				for _, p := range line {
					if int(p.X) > size.X || int(p.Y) > size.Y {
						return fail("a point at %d, %d of a picture of %d by %d", p.X, p.Y, size.X, size.Y)
					}
				}
			}
		}
	}
	if c := r.Crop; c != nil {
		if int(c.Left)+int(c.Width) > size.X || int(c.Top)+int(c.Height) > size.Y {
			return fail("crop of %d by %d at %d, %d of a picture of %d by %d", c.Width, c.Height, c.Left, c.Top, size.X, size.Y)
		}
		size = image.Pt(int(c.Width), int(c.Height))
	}
	switch {
	case r.Zoom != nil:
		if size = r.Zoom.size(size); size.X < 1 || size.Y < 1 || max(size.X, size.Y) > capture.MaxDimension || size.X*size.Y > maxZoomed {
			return fail("zoom to %d by %d pixels, want at most %d each way and %d in all", size.X, size.Y, capture.MaxDimension, maxZoomed)
		}
	case r.Fit != nil:
		size = r.Fit.size(size)
	}
	if r.Bar != nil {
		if size.X < minBar {
			return fail("data bar below a picture %d pixels wide, want %d or more", size.X, minBar)
		}
		if high := size.Y + 15 + r.Bar.height(size.X); high > capture.MaxDimension {
			return fail("%d pixels high with its data bar, want at most %d", high, capture.MaxDimension)
		}
	}
	return size, nil
}

// apply copies the rectangle, with chroma for each pixel.
func (c *Crop) apply(m *image.YCbCr) *image.YCbCr {
	out := image.NewYCbCr(image.Rect(0, 0, int(c.Width), int(c.Height)), image.YCbCrSubsampleRatio444)
	for y := range int(c.Height) {
		at := out.YOffset(0, y)
		for x := range int(c.Width) {
			from := m.COffset(int(c.Left)+x, int(c.Top)+y)
			out.Y[at+x] = m.Y[m.YOffset(int(c.Left)+x, int(c.Top)+y)]
			out.Cb[at+x], out.Cr[at+x] = m.Cb[from], m.Cr[from]
		}
	}
	return out
}

func (z *Zoom) size(p image.Point) image.Point {
	return image.Pt(p.X*int(z.Num)/int(z.Den), p.Y*int(z.Num)/int(z.Den))
}

func (z *Zoom) apply(m *image.YCbCr) *image.YCbCr {
	size := m.Rect.Size()
	to := z.size(size)
	if z.Num < z.Den {
		return resample(m, shrink(size.X, to.X), shrink(size.Y, to.Y))
	}
	return resample(m, z.enlarge(size.X, to.X), z.enlarge(size.Y, to.Y))
}

func (f *Fit) size(p image.Point) image.Point {
	width, height := int(f.Width), int(f.Height)
	switch {
	case p.X <= width && p.Y <= height:
		return p
	case p.X*height > p.Y*width:
		return image.Pt(width, max(1, (p.Y*width+p.X/2)/p.X))
	}
	return image.Pt(max(1, (p.X*height+p.Y/2)/p.Y), height)
}

func (f *Fit) apply(m *image.YCbCr) *image.YCbCr {
	size := m.Rect.Size()
	to := f.size(size)
	return resample(m, shrink(size.X, to.X), shrink(size.Y, to.Y))
}

// An axis says of which samples each sample of the result is a mean.
type axis struct {
	taps  []tap
	total int // the sum of the weights of each
}

type tap struct {
	first   int
	weights []int32
}

// shrink is the mean over the area that a sample covers: both rows are cut at each
// 1/(from·to) of their length, and the weights are the parts in common.
func shrink(from, to int) axis {
	a := axis{make([]tap, to), from}
	for i := range a.taps {
		first, last := i*from/to, ((i+1)*from-1)/to
		t := tap{first, make([]int32, last-first+1)}
		for k := range t.weights {
			left, right := max(i*from, (first+k)*to), min((i+1)*from, (first+k+1)*to)
			t.weights[k] = int32(right - left)
		}
		a.taps[i] = t
	}
	return a
}

// enlarge is the cubic through four samples (R. Keys, Cubic convolution
// interpolation for digital image processing, 1981, with a = -1/2), its weights times
// 2·(2·Num)³, by which they are whole. What lies beyond the edge is as the edge.
func (z *Zoom) enlarge(from, to int) axis {
	num, den := int(z.Num), int(z.Den)
	n := 2 * num
	a := axis{make([]tap, to), 2 * n * n * n}
	for i := range a.taps {
		at := (2*i+1)*den - num // in 1/n of a sample, from the middle of the first
		q := at / n
		if at < 0 {
			q--
		}
		r := at - q*n
		w := [4]int{
			-r*r*r + 2*r*r*n - r*n*n,
			3*r*r*r - 5*r*r*n + 2*n*n*n,
			-3*r*r*r + 4*r*r*n + r*n*n,
			r*r*r - r*r*n,
		}
		first := min(max(q-1, 0), from-1)
		t := tap{first, make([]int32, min(max(q+2, 0), from-1)-first+1)}
		for k := range w {
			t.weights[min(max(q-1+k, 0), from-1)-first] += int32(w[k])
		}
		a.taps[i] = t
	}
	return a
}

// resample scales all planes, first across and then down, rounding after each. The
// result has chroma for each pixel.
func resample(m *image.YCbCr, across, down axis) *image.YCbCr {
	out := image.NewYCbCr(image.Rect(0, 0, len(across.taps), len(down.taps)), image.YCbCrSubsampleRatio444)
	wide, high := m.Rect.Dx(), m.Rect.Dy()
	narrow := make([]byte, len(across.taps)*high)
	line := make([]byte, wide)
	cellAcross, _ := cell(m)
	for plane, to := range [][]byte{out.Y, out.Cb, out.Cr} {
		for y := range high {
			row := line
			switch plane {
			case 0:
				row = m.Y[m.YOffset(0, y):][:wide]
			default:
				from := [][]byte{m.Cb, m.Cr}[plane-1][m.COffset(0, y):]
				for x := range line {
					line[x] = from[x/cellAcross]
				}
			}
			across.scale(narrow[y*len(across.taps):], 1, row, 1)
		}
		for x := range across.taps {
			down.scale(to[x:], out.YStride, narrow[x:], len(across.taps))
		}
	}
	return out
}

// scale writes the samples of one row or column.
func (a *axis) scale(to []byte, toStep int, from []byte, step int) {
	for i := range a.taps {
		t := &a.taps[i]
		sum, at := int64(a.total/2), t.first*step
		for _, w := range t.weights {
			sum += int64(w) * int64(from[at])
			at += step
		}
		to[i*toStep] = byte(min(max(sum, 0)/int64(a.total), 255))
	}
}

// apply looks each pixel's luminance up, in place.
func (t *Tone) apply(m *image.YCbCr) {
	table := t.table()
	for y := range m.Rect.Dy() {
		row := m.Y[m.YOffset(0, y):][:m.Rect.Dx()]
		for x, v := range row {
			row[x] = table[v]
		}
	}
}

// table computes the table exactly: rounded is what is nearest, halves up. The power
// is compared in whole numbers, since math.Pow may differ in its last bit between
// processors: y is the largest with ((2y-1)/510)^Gamma ≤ (w/255)^100.
func (t *Tone) table() (table [256]byte) {
	gamma := gammaOf(t.Gamma)
	for v := range table {
		w := 128 + floor((v-128)*int(t.Contrast), 100)
		table[v] = gamma[min(max(w, 0), 255)]
	}
	return table
}

// gammas are the tables that were made, by gamma: there are 481.
var gammas sync.Map

func gammaOf(gamma uint16) [256]byte {
	if known, ok := gammas.Load(gamma); ok {
		return known.([256]byte)
	}
	var table [256]byte
	g, hundred := big.NewInt(int64(gamma)), big.NewInt(100)
	power := func(base int, exponent *big.Int) *big.Int {
		return new(big.Int).Exp(big.NewInt(int64(base)), exponent, nil)
	}
	left, right := power(255, hundred), power(510, g)
	y := 0
	for v := range table {
		want := new(big.Int).Mul(power(v, hundred), right)
		for y < 255 && new(big.Int).Mul(power(2*y+1, g), left).Cmp(want) <= 0 {
			y++
		}
		table[v] = byte(y)
	}
	gammas.Store(gamma, table)
	return table
}

// floor is n/d rounded down, for d > 0.
func floor(n, d int) int {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}
