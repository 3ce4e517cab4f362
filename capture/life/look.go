package life

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/jpeg"
	"slices"

	"ciglio/capture"
	"ciglio/capture/coarse"
)

// maxPixels bounds what is decoded whole: 12 MB of samples, and four times that while
// a progressive picture is decoded. Of larger pictures the blocks are looked at.
const maxPixels = 8 << 20

// The picture is looked at in cells.
const (
	columns = 32
	rows    = 18
)

// A look is what is kept of a picture: no more than numbers.
type look struct {
	width, height int // pixels
	cells         [rows * columns]cell
	// low and high are the brightness that 1 in 20 pixels is below, and above.
	low, high int
	mean      float64
	white     float64 // share of pixels at the upper end of the scale
	// detail is the energy of fine differences over that of all differences, without
	// noise.
	detail float64
}

// A cell is one part of the picture.
type cell struct {
	sum     uint32 // of its brightnesses
	texture bool   // it shows more than an even area, neither dark nor white
}

// saturated is the brightness from which a pixel shows nothing.
const saturated = 250

var errNarrow = errors.New("too narrow to be looked at")

// look decodes a picture that the ring holds.
func see(data []byte) (*look, error) {
	width, height, err := capture.CheckJPEG(data)
	if err != nil {
		return nil, err
	}
	if width*height > maxPixels {
		pix, across, down, err := coarse.Means(data)
		if err != nil {
			return nil, err
		}
		if across < columns || down < rows {
			return nil, fmt.Errorf("%d by %d pixels: %w", width, height, errNarrow)
		}
		l := measure(pix, across, across, down)
		l.width, l.height = width, height
		return l, nil
	}
	if width < columns || height < rows {
		return nil, fmt.Errorf("%d by %d pixels: %w", width, height, errNarrow)
	}
	picture, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	switch p := picture.(type) {
	case *image.YCbCr:
		return measure(p.Y, p.YStride, width, height), nil
	case *image.Gray:
		return measure(p.Pix, p.Stride, width, height), nil
	}
	return nil, fmt.Errorf("picture of colours %T: want YCbCr or grey", picture)
}

// measure looks at the brightness of a picture.
func measure(pix []uint8, stride, width, height int) *look {
	l := &look{width: width, height: height}
	var histogram, of [256]int // of the picture and of a cell; the second is zero between cells
	for i := range l.cells {
		x0, x1 := i%columns*width/columns, (i%columns+1)*width/columns
		y0, y1 := i/columns*height/rows, (i/columns+1)*height/rows
		sum := uint32(0)
		least, most := uint8(255), uint8(0) // the cell has no brightness outside of these
		for y := y0; y < y1; y++ {
			line := pix[y*stride+x0 : y*stride+x1]
			sum = crc32.Update(sum, crc32.IEEETable, line)
			for _, v := range line {
				of[v]++
				least, most = min(least, v), max(most, v)
			}
		}
		in := of[least : int(most)+1]
		low, high := twentieths(in)
		low, high = low+int(least), high+int(least)
		l.cells[i] = cell{sum: sum, texture: high-low >= 12 && high > 24 && low < saturated}
		for v, n := range in {
			histogram[int(least)+v] += n
		}
		clear(in)
	}
	l.low, l.high = twentieths(histogram[:])
	total, all := 0, 0
	for v, n := range histogram {
		total, all = total+n, all+v*n
		if v >= saturated {
			l.white += float64(n)
		}
	}
	l.mean, l.white = float64(all)/float64(total), l.white/float64(total)
	l.detail = detail(pix, stride, width, height)
	return l
}

// twentieths returns the brightness that 1 in 20 is below, and above. A histogram of
// a part of the scale gives them from where that begins.
func twentieths(histogram []int) (low, high int) {
	total := 0
	for _, n := range histogram {
		total += n
	}
	below := 0
	for v, n := range histogram {
		if below*20 < total {
			low = v
		}
		if below*20 < 19*total {
			high = v
		}
		below += n
	}
	return low, high
}

// detail returns the mean square of second differences along every fourth line
// over that of the differences 16 pixels apart, both without the noise of the
// sensor: a lens out of focus, or dirty, takes away the first and leaves the
// second, and a night's gain makes no detail. The noise is what the quarter of the
// cells that show least have. White noise is in the first with six times its
// variance, in the second with twice.
func detail(pix []uint8, stride, width, height int) float64 {
	const far = 16
	var energies [rows * columns]int
	var counts [rows * columns]int
	fine, coarse, count := 0, 0, 0
	for y := 2; y < height; y += 4 {
		line := pix[y*stride : y*stride+width]
		for column := range columns {
			sum, n := 0, 0
			for x := max(far, column*width/columns); x < min((column+1)*width/columns, width-1); x++ {
				a := 2*int(line[x]) - int(line[x-1]) - int(line[x+1])
				b := int(line[x]) - int(line[x-far])
				sum += a * a
				coarse += b * b
				n++
			}
			c := y*rows/height*columns + column
			energies[c], counts[c] = energies[c]+sum, counts[c]+n
			fine, count = fine+sum, count+n
		}
	}
	var cells []float64
	for c, n := range counts {
		if n > 0 {
			cells = append(cells, float64(energies[c])/float64(n))
		}
	}
	slices.Sort(cells)
	noise := cells[len(cells)/4]
	all := float64(max(count, 1))
	return max(0, float64(fine)/all-noise) / max(1/all, float64(coarse)/all-noise/3)
}

// same returns how many textured cells two looks have, and the share of them in
// which no pixel differs.
func (l *look) same(other *look) (textured int, share float64) {
	equal := 0
	for i, c := range l.cells {
		if !c.texture || !other.cells[i].texture {
			continue
		}
		textured++
		if c.sum == other.cells[i].sum {
			equal++
		}
	}
	if textured == 0 {
		return 0, 0
	}
	return textured, float64(equal) / float64(textured)
}
