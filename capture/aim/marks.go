package aim

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"math/cmplx"
	"slices"

	"ciglio/capture"
	"ciglio/capture/coarse"
)

// How marks are chosen and found, in pixels of the reduced picture.
const (
	leastAcross = 160 // its width, and less than twice that
	columns     = 10  // parts of the picture, with one mark each
	rows        = 6
	half        = 5 // a mark is 11 by 11 pixels
	side        = 2*half + 1
	edge        = 0.08 // of the picture, above and below, that has no marks: cameras write there

	learning   = 24 // looks
	leastMarks = 12
	flat       = 10 // steps between bright and dark that show anything
	corner     = 30.0

	near       = 4    // how far a mark is searched first
	farShare   = 0.12 // of the width: then
	alike      = 0.6  // correlation of a mark that is found
	agree      = 0.75 // how far it may be from where the others say
	leastAgree = 8
	agreeShare = 0.35 // of the marks
	nearShare  = 0.6  // that need no search farther away
)

// A small is a reduced picture.
type small struct {
	width, height int // of the camera's picture
	w, h          int
	pix           []uint8
}

var errSmall = errors.New("too narrow to hold marks")

// scaleOf returns how many pixels of a picture of a width make one of the reduced one:
// whole blocks of 8 where it is large.
func scaleOf(width int) int {
	if width < 8*leastAcross {
		return max(1, width/leastAcross)
	}
	return width / (8 * leastAcross) * 8
}

// maxWhole bounds what is decoded whole: pictures less than 1280 pixels wide. Of others
// the means of blocks are read.
const maxWhole = 4 << 20 // pixels

// reduce decodes a picture of the ring to few pixels.
func reduce(data []byte) (*small, error) {
	width, height, err := capture.CheckJPEG(data)
	if err != nil {
		return nil, err
	}
	if width < leastAcross || height < leastAcross/4 || width < 8*leastAcross && width*height > maxWhole {
		return nil, fmt.Errorf("%d by %d pixels: %w", width, height, errSmall)
	}
	scale := scaleOf(width)
	if scale >= 8 {
		pix, across, _, err := coarse.Means(data)
		if err != nil {
			return nil, err
		}
		return shrink(pix, across, width/8, height/8, width, height, scale/8), nil
	}
	picture, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	switch p := picture.(type) {
	case *image.YCbCr:
		return shrink(p.Y, p.YStride, width, height, width, height, scale), nil
	case *image.Gray:
		return shrink(p.Pix, p.Stride, width, height, width, height, scale), nil
	}
	return nil, fmt.Errorf("picture of colours %T: want YCbCr or grey", picture)
}

// shrink takes means over squares of by by pixels.
func shrink(pix []uint8, stride, across, down, width, height, by int) *small {
	s := &small{width: width, height: height, w: across / by, h: down / by}
	s.pix = make([]uint8, s.w*s.h)
	for i := range s.pix {
		sum := 0
		for line := range by {
			for _, v := range pix[(i/s.w*by+line)*stride+i%s.w*by:][:by] {
				sum += int(v)
			}
		}
		s.pix[i] = uint8((sum + by*by/2) / (by * by))
	}
	return s
}

// contrast returns the steps between the brightness that 1 in 20 pixels is below, and
// above.
func (s *small) contrast() int {
	var histogram [256]int
	for _, v := range s.pix {
		histogram[v]++
	}
	low, high, below := 0, 0, 0
	for v, n := range histogram {
		if below*20 < len(s.pix) {
			low = v
		}
		if below*20 < 19*len(s.pix) {
			high = v
		}
		below += n
	}
	return high - low
}

// A Mark is a part of the picture in which nothing moves.
type Mark struct {
	Cell  int // the part of the picture, line by line
	X, Y  int // of its middle in the reduced picture
	Seen  int // looks that saw it, of the first ones
	Patch [side * side]uint8
}

// A place is where a picture lies against another: now = a·was + b, as in [match].
type place struct{ a, b complex128 }

// learned returns the marks in pictures of one size, at most one in each part: of the
// median of all, once each is laid where the middle one of them lies, since masts
// sway; and only those that three of four of the pictures show. The pictures must lie
// within the sway of a mast. There are none when
// the pictures do not agree.
func learned(pictures []*small) []Mark {
	first := choose(pictures[:1])
	var laid []*small
	var places []place
	var of [4][]float64
	for _, s := range pictures {
		if at, _, ok := locate(s, first); ok {
			laid, places = append(laid, s), append(places, at)
			for i, v := range []float64{real(at.a), imag(at.a), real(at.b), imag(at.b)} {
				of[i] = append(of[i], v)
			}
		}
	}
	if len(laid) < learning*3/4 {
		return nil
	}
	middle := place{complex(median(of[0]), median(of[1])), complex(median(of[2]), median(of[3]))}
	var near []*small // what moves along, as drops on the lens do, is not learnt by following it
	for i, s := range laid {
		if cmplx.Abs(places[i].b-middle.b) <= sway {
			near = append(near, s.moved(middle, places[i]))
		}
	}
	if len(near) < learning*3/4 {
		return nil
	}
	laid = near
	marks := choose(laid)
	seen := make([]int, len(marks))
	for _, s := range laid {
		_, which, _ := locate(s, marks)
		for i, one := range which {
			if one {
				seen[i]++
			}
		}
	}
	var still []Mark
	for i, m := range marks {
		if seen[i] >= learning*3/4 {
			still = append(still, m)
		}
	}
	return still
}

// moved returns what lies at from in a picture as it is when that lies at to.
func (s *small) moved(to, from place) *small {
	m := &small{width: s.width, height: s.height, w: s.w, h: s.h, pix: make([]uint8, len(s.pix))}
	half := complex(float64(s.w)/2, float64(s.h)/2)
	for i := range m.pix {
		z := complex(float64(i%s.w), float64(i/s.w)) - half
		z = from.a*(z-to.b)/to.a + from.b + half
		x, y := min(max(real(z), 0), float64(s.w)-1.001), min(max(imag(z), 0), float64(s.h)-1.001)
		u, v := x-math.Floor(x), y-math.Floor(y)
		p := s.pix[int(y)*s.w+int(x):]
		m.pix[i] = uint8((float64(p[0])*(1-u)+float64(p[1])*u)*(1-v) + (float64(p[s.w])*(1-u)+float64(p[s.w+1])*u)*v + 0.5)
	}
	return m
}

func median(all []float64) float64 {
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// choose returns the marks of the median of pictures that lie alike.
func choose(pictures []*small) []Mark {
	w, h := pictures[0].w, pictures[0].h
	middle := make([]float64, w*h)
	values := make([]uint8, len(pictures))
	for i := range middle {
		for k, p := range pictures {
			values[k] = p.pix[i]
		}
		slices.Sort(values)
		middle[i] = float64(values[len(values)/2])
	}
	var marks []Mark
	for cell := range columns * rows {
		column, row := cell%columns, cell/columns
		top := int(edge * float64(h))
		x0, x1 := max(column*w/columns, half+1), min((column+1)*w/columns, w-half-1)
		y0, y1 := max(row*h/rows, half+1, top), min((row+1)*h/rows, h-half-1, h-top)
		best, m := corner, Mark{}
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				if v := cornered(middle, w, x, y); v > best {
					best, m = v, Mark{Cell: cell, X: x, Y: y}
				}
			}
		}
		if best == corner {
			continue
		}
		for i := range m.Patch {
			m.Patch[i] = uint8(middle[(m.Y+i/side-half)*w+m.X+i%side-half])
		}
		marks = append(marks, m)
	}
	return marks
}

// cornered returns the smaller eigenvalue of the mean products of the gradients around
// a place, in squared grey levels a pixel.
func cornered(pix []float64, w, x, y int) float64 {
	var xx, xy, yy float64
	for dy := -half; dy <= half; dy++ {
		for dx := -half; dx <= half; dx++ {
			i := (y+dy)*w + x + dx
			gx, gy := (pix[i+1]-pix[i-1])/2, (pix[i+w]-pix[i-w])/2
			xx, xy, yy = xx+gx*gx, xy+gx*gy, yy+gy*gy
		}
	}
	const n = side * side
	xx, xy, yy = xx/n, xy/n, yy/n
	return (xx+yy)/2 - math.Sqrt((xx-yy)*(xx-yy)/4+xy*xy)
}

// A pose is how the picture lies against its marks, in pixels of the reduced one.
type pose struct {
	right, down float64 // that its middle has moved
	turn        float64 // radians clockwise
	size        float64
}

// A match is where a mark was found: both places against the middle of the picture,
// down as the imaginary part.
type match struct {
	mark     int
	was, now complex128
}

func (p place) pose() pose {
	return pose{right: real(p.b), down: imag(p.b), turn: cmplx.Phase(p.a), size: cmplx.Abs(p.a)}
}

// locate finds the marks in a picture: the place that most of them agree on, and which
// of them do. ok is false when too few do.
func locate(s *small, marks []Mark) (at place, seen []bool, ok bool) {
	if len(marks) < leastMarks {
		return at, nil, false
	}
	best := consensus(s, find(s, marks, near))
	if float64(len(best)) < nearShare*float64(len(marks)) {
		if wide := consensus(s, find(s, marks, int(farShare*float64(s.w)))); len(wide) > len(best) {
			best = wide
		}
	}
	if len(best) < leastAgree || float64(len(best)) < agreeShare*float64(len(marks)) {
		return at, nil, false
	}
	at.a, at.b = fit(best)
	seen = make([]bool, len(marks))
	for _, m := range best {
		seen[m.mark] = true
	}
	return at, seen, true
}

// find searches each mark as far as so many pixels from its place.
func find(s *small, marks []Mark, far int) []match {
	middle := complex(float64(s.w)/2, float64(s.h)/2)
	var all []match
	scores := make([]float64, (2*far+1)*(2*far+1))
	for k := range marks {
		m := &marks[k]
		var template [side * side]float64
		mean, norm := 0.0, 0.0
		for _, v := range m.Patch {
			mean += float64(v) / (side * side)
		}
		for i, v := range m.Patch {
			template[i] = float64(v) - mean
			norm += template[i] * template[i]
		}
		best := -1
		for i := range scores {
			x, y := m.X+i%(2*far+1)-far, m.Y+i/(2*far+1)-far
			scores[i] = s.correlation(&template, norm, x, y)
			if best < 0 || scores[i] > scores[best] {
				best = i
			}
		}
		i, j := best%(2*far+1), best/(2*far+1)
		if scores[best] < alike || i == 0 || j == 0 || i == 2*far || j == 2*far {
			continue
		}
		now := complex(
			float64(m.X+i-far)+vertex(scores[best-1], scores[best], scores[best+1]),
			float64(m.Y+j-far)+vertex(scores[best-2*far-1], scores[best], scores[best+2*far+1]),
		)
		all = append(all, match{mark: k, was: complex(float64(m.X), float64(m.Y)) - middle, now: now - middle})
	}
	return all
}

// correlation returns the normalised cross-correlation of a mark with a place, -1 to
// 1; -1 where the picture ends.
func (s *small) correlation(template *[side * side]float64, norm float64, x, y int) float64 {
	if x < half || y < half || x+half >= s.w || y+half >= s.h {
		return -1
	}
	sum, squares, product := 0, 0, 0.0
	for dy := range side {
		line := s.pix[(y+dy-half)*s.w+x-half:][:side]
		of := template[dy*side:][:side]
		for dx, v := range line {
			sum += int(v)
			squares += int(v) * int(v)
			product += of[dx] * float64(v)
		}
	}
	energy := float64(squares) - float64(sum)*float64(sum)/(side*side)
	if energy < 4*side*side || norm == 0 { // two grey levels: noise is about as much
		return -1
	}
	return product / math.Sqrt(energy*norm)
}

// vertex returns where between -0.5 and 0.5 the parabola through three values is highest.
func vertex(a, b, c float64) float64 {
	if bend := a - 2*b + c; bend < 0 {
		return min(max((a-c)/(2*bend), -0.5), 0.5)
	}
	return 0
}

// consensus returns the matches that agree on one shift, turn and size: of those that
// two of them give, the one that most agree with.
func consensus(s *small, all []match) []match {
	var best []match
	for i := range all {
		for j := range i {
			apart := all[i].was - all[j].was
			if cmplx.Abs(apart) < float64(s.w)/6 {
				continue
			}
			a := (all[i].now - all[j].now) / apart
			if math.Abs(cmplx.Abs(a)-1) > 0.1 || math.Abs(cmplx.Phase(a)) > 0.2 {
				continue
			}
			if with := agreeing(all, a, all[i].now-a*all[i].was); len(with) > len(best) {
				best = with
			}
		}
	}
	for range 2 { // by all of them it is better known who agrees
		if len(best) < 2 {
			break
		}
		a, b := fit(best)
		best = agreeing(all, a, b)
	}
	return best
}

func agreeing(all []match, a, b complex128) []match {
	var with []match
	for _, m := range all {
		if cmplx.Abs(m.now-a*m.was-b) <= agree {
			with = append(with, m)
		}
	}
	return with
}

// fit returns the a and b of now = a·was + b with the least squares.
func fit(all []match) (a, b complex128) {
	n := complex(float64(len(all)), 0)
	var was, now complex128
	for _, m := range all {
		was, now = was+m.was/n, now+m.now/n
	}
	var product complex128
	norm := 0.0
	for _, m := range all {
		d := m.was - was
		product += cmplx.Conj(d) * (m.now - now)
		norm += real(d)*real(d) + imag(d)*imag(d)
	}
	if norm == 0 {
		return 1, now - was
	}
	a = product / complex(norm, 0)
	return a, now - a*was
}

// largest returns the size of the largest group of parts that touch each other by a side.
func largest(parts *[columns * rows]bool) int {
	var size func(i int) int
	left := *parts
	size = func(i int) int {
		if !left[i] {
			return 0
		}
		left[i] = false
		n := 1
		if i%columns > 0 {
			n += size(i - 1)
		}
		if i%columns < columns-1 {
			n += size(i + 1)
		}
		if i >= columns {
			n += size(i - columns)
		}
		if i < columns*(rows-1) {
			n += size(i + columns)
		}
		return n
	}
	most := 0
	for i := range left {
		most = max(most, size(i))
	}
	return most
}
