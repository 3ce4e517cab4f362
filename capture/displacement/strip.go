package displacement

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"slices"

	"ciglio/capture"
)

// The road is looked at from above, in cells of this size.
const (
	rowSize = 0.05 // m along the road
	colSize = 0.10 // m across
	maxRows = 1600 // 80 m
	maxCols = 200  // 20 m
)

// maxPixels bounds what is decoded: 24 MB of samples, and four times that while
// a progressive picture is decoded.
const maxPixels = 8 << 20

// A strip is the brightness of the measured road as seen from above, row by row
// from near to far; unseen where the picture does not reach.
type strip struct {
	rows, cols int
	luma       []int16
}

const unseen = -1

var errSize = errors.New("not of the size that the marks were found in")

// decode returns the brightness of a whole JPEG picture.
func decode(data []byte, width, height int) (pix []uint8, stride int, err error) {
	w, h, err := capture.CheckJPEG(data)
	if err != nil {
		return nil, 0, err
	}
	if w != width || h != height {
		return nil, 0, fmt.Errorf("%d by %d pixels: %w", w, h, errSize)
	}
	picture, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, 0, err
	}
	switch p := picture.(type) {
	case *image.YCbCr:
		return p.Y, p.YStride, nil
	case *image.Gray:
		return p.Pix, p.Stride, nil
	}
	return nil, 0, fmt.Errorf("picture of colours %T: want YCbCr or grey", picture)
}

// look returns the strip of a picture.
func (g *ground) look(pix []uint8, stride, width, height int) *strip {
	s := &strip{
		rows: min(int((g.far-g.near)/rowSize), maxRows),
		cols: min(int((g.right-g.left)/colSize), maxCols),
	}
	s.luma = make([]int16, 0, s.rows*s.cols)
	for row := range s.rows {
		for col := range s.cols {
			x, y := g.place(float64(row), float64(col))
			s.luma = append(s.luma, g.cell(x, y, pix, stride, width, height))
		}
	}
	return s
}

// place returns the middle of a cell in metres.
func (g *ground) place(row, col float64) (x, y float64) {
	return g.near + (row+0.5)*rowSize, g.left + (col+0.5)*colSize
}

// cell returns the mean brightness of six places in a cell.
func (g *ground) cell(x, y float64, pix []uint8, stride, width, height int) int16 {
	sum := 0.0
	for _, dx := range [2]float64{-rowSize / 4, rowSize / 4} {
		for _, dy := range [3]float64{-colSize / 3, 0, colSize / 3} {
			px, py, ok := g.toPicture.pixel(x+dx, y+dy)
			px, py = px-0.5, py-0.5 // a pixel's value is that of its middle
			if !ok || !(px >= 0 && py >= 0 && px < float64(width-1) && py < float64(height-1)) {
				return unseen
			}
			i := int(py)*stride + int(px)
			fx, fy := px-math.Floor(px), py-math.Floor(py)
			upper := float64(pix[i])*(1-fx) + float64(pix[i+1])*fx
			lower := float64(pix[i+stride])*(1-fx) + float64(pix[i+stride+1])*fx
			sum += upper*(1-fy) + lower*fy
		}
	}
	return int16(sum/6 + 0.5)
}

// A contour is where a vehicle begins in each column of a strip, seen from the
// camera: in rows from near and fractions of them, NaN where none is clear, and
// cut where it may begin before the road is seen.
type contour []float64

const cut = -1

// What counts as a change against the empty road.
const (
	minChange = 12.0 // levels of brightness
	sustained = 0.40 // m along the road that a change must go on for
	clear     = 0.40 // m of unchanged road that must be seen before it
	share     = 0.8  // of the cells in either length
)

// contour compares a strip with one of the same road that shows it empty there.
func (s *strip) contour(empty *strip) contour {
	change := s.changes(empty)
	c := make(contour, s.cols)
	for col := range c {
		c[col] = onset(change[col*s.rows : (col+1)*s.rows])
	}
	return c
}

// changes returns by how much each cell differs beyond the threshold, column by
// column; NaN where it is unseen. A difference that the whole road has, as by
// another exposure, is none.
func (s *strip) changes(empty *strip) []float64 {
	diff := make([]int, 0, len(s.luma))
	for i, v := range s.luma {
		if v != unseen && empty.luma[i] != unseen {
			diff = append(diff, int(v)-int(empty.luma[i]))
		}
	}
	usual, spread := usual(diff)
	threshold := max(minChange, 5*spread)
	change := make([]float64, len(s.luma))
	for row := range s.rows {
		for col := range s.cols {
			i := row*s.cols + col
			change[col*s.rows+row] = math.Abs(float64(s.luma[i])-float64(empty.luma[i])-usual) - threshold
			if s.luma[i] == unseen || empty.luma[i] == unseen {
				change[col*s.rows+row] = math.NaN()
			}
		}
	}
	return change
}

// onset returns where a column begins to differ and goes on to, after road that
// does not.
func onset(change []float64) float64 {
	need, before := int(sustained/rowSize), int(clear/rowSize)
	count := func(from, n int, is func(float64) bool) float64 {
		k := 0
		for _, v := range change[from : from+n] {
			if is(v) {
				k++
			}
		}
		return float64(k) / float64(n)
	}
	differs := func(v float64) bool { return v > 0 }
	for row := 0; row+need <= len(change); row++ {
		if !differs(change[row]) || count(row, need, differs) < share {
			continue
		}
		if row < before || math.IsNaN(change[row-before]) {
			return cut
		}
		if count(row-before, before, func(v float64) bool { return v <= 0 }) < share {
			return math.NaN()
		}
		below, above := change[row-1], change[row]
		if !(below < 0) {
			return float64(row)
		}
		return float64(row) - above/(above-below)
	}
	return math.NaN()
}

// usual returns the most frequent value, and the standard deviation of what lies
// about it, by the fifth of the values that lies closest: a vehicle may cover
// most of the road.
func usual(values []int) (mode, spread float64) {
	var count [2*255 + 5]int
	for _, v := range values {
		for k := range 5 {
			count[v+255+k]++
		}
	}
	best := 0
	for i, n := range count {
		if n > count[best] {
			best = i
		}
	}
	mode = float64(best - 255 - 2)
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = math.Abs(float64(v) - mode)
	}
	slices.Sort(off)
	if len(off) == 0 {
		return 0, 0
	}
	return mode, off[len(off)/5] / 0.253
}
