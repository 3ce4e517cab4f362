package still

import (
	"fmt"
	"image"
	"slices"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// A face draws one of the Go fonts, in grey on the luminance of a picture. Outlines
// come from package sfnt, which scales them in whole numbers; they are filled here,
// since package vector computes in floats that may differ between processors.
type face struct{ font *sfnt.Font }

var (
	regular = sync.OnceValue(func() face { return newFace(goregular.TTF) })
	bold    = sync.OnceValue(func() face { return newFace(gobold.TTF) })
)

func newFace(ttf []byte) face {
	f, err := sfnt.Parse(ttf)
	if err != nil {
		panic(fmt.Sprintf("still: the Go font: %v", err)) // it is a constant
	}
	return face{f}
}

// A character the font lacks is drawn as its empty box.
func (f face) each(text string, size int, do func(b *sfnt.Buffer, g sfnt.GlyphIndex, advance fixed.Int26_6)) {
	var b sfnt.Buffer
	for _, r := range text {
		g, err := f.font.GlyphIndex(&b, r)
		if err != nil {
			g = 0
		}
		advance, err := f.font.GlyphAdvance(&b, g, fixed.I(size), font.HintingNone)
		if err != nil {
			continue // a constant font has the advance of each of its glyphs
		}
		do(&b, g, advance)
	}
}

// width is how many pixels a text takes, rounded up.
func (f face) width(text string, size int) int {
	wide := fixed.Int26_6(0)
	f.each(text, size, func(_ *sfnt.Buffer, _ sfnt.GlyphIndex, advance fixed.Int26_6) { wide += advance })
	return wide.Ceil()
}

// cut returns the pieces of a text that are no wider than that, of one character at
// least.
func (f face) cut(text string, size, most int) (lines []string) {
	from, at, wide := 0, 0, fixed.Int26_6(0)
	runes := []rune(text)
	f.each(text, size, func(_ *sfnt.Buffer, _ sfnt.GlyphIndex, advance fixed.Int26_6) {
		if wide += advance; wide.Ceil() > most && at > from {
			lines, from, wide = append(lines, string(runes[from:at])), at, advance
		}
		at++
	})
	return append(lines, string(runes[from:]))
}

// draw writes a text with its left end at x and its baseline at y.
func (f face) draw(m *image.YCbCr, x, y, size int, text string, ink byte) {
	pen := fixed.I(x)
	var fill filler
	f.each(text, size, func(b *sfnt.Buffer, g sfnt.GlyphIndex, advance fixed.Int26_6) {
		segments, err := f.font.LoadGlyph(b, g, fixed.I(size), nil)
		if err == nil {
			fill.outline(segments, pen, fixed.I(y))
			fill.onto(m, ink)
		}
		pen += advance
	})
}

// A filler fills outlines by the non-zero rule. Its numbers are 1/64 of a pixel.
type filler struct {
	edges   []edge
	crosses []cross
	cover   []int
}

// An edge goes down, from y0 to y1; turn says which way the outline does.
type edge struct{ x0, y0, x1, y1, turn int }

type cross struct{ x, turn int }

// curve is how many straight pieces a curve is drawn with.
const curve = 8

func (f *filler) outline(segments sfnt.Segments, x, y fixed.Int26_6) {
	f.edges = f.edges[:0]
	var start, pen image.Point
	at := func(p fixed.Point26_6) image.Point { return image.Pt(int(p.X+x), int(p.Y+y)) }
	to := func(p image.Point) {
		switch {
		case pen.Y < p.Y:
			f.edges = append(f.edges, edge{pen.X, pen.Y, p.X, p.Y, 1})
		case pen.Y > p.Y:
			f.edges = append(f.edges, edge{p.X, p.Y, pen.X, pen.Y, -1})
		}
		pen = p
	}
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			to(start)
			start = at(s.Args[0])
			pen = start
		case sfnt.SegmentOpLineTo:
			to(at(s.Args[0]))
		case sfnt.SegmentOpQuadTo: // TrueType has no others
			a, b, c := pen, at(s.Args[0]), at(s.Args[1])
			for k := 1; k <= curve; k++ {
				i, j, l := (curve-k)*(curve-k), 2*k*(curve-k), k*k
				to(image.Pt(floor(i*a.X+j*b.X+l*c.X+curve*curve/2, curve*curve), floor(i*a.Y+j*b.Y+l*c.Y+curve*curve/2, curve*curve)))
			}
		}
	}
	to(start)
}

// Each row of pixels is cut in 8; within one the cover of a pixel is exact.
const (
	cuts = 8
	full = cuts * 64
)

func (f *filler) onto(m *image.YCbCr, ink byte) {
	if len(f.edges) == 0 {
		return
	}
	top, bottom := f.edges[0].y0, f.edges[0].y1
	for _, e := range f.edges {
		top, bottom = min(top, e.y0), max(bottom, e.y1)
	}
	wide := m.Rect.Dx()
	f.cover = slices.Grow(f.cover[:0], wide)[:wide]
	for y := max(floor(top, 64), 0); y < min(ceil(bottom, 64), m.Rect.Dy()); y++ {
		clear(f.cover)
		for k := range cuts {
			f.slice(64*y + 64/cuts*k + 32/cuts)
		}
		row := m.Y[m.YOffset(0, y):][:wide]
		for x, c := range f.cover {
			if c > 0 {
				row[x] = byte((int(row[x])*(full-c) + int(ink)*c + full/2) / full)
			}
		}
	}
}

// slice adds the cover of one row of points.
func (f *filler) slice(y int) {
	f.crosses = f.crosses[:0]
	for _, e := range f.edges {
		if e.y0 <= y && y < e.y1 {
			f.crosses = append(f.crosses, cross{e.x0 + floor((y-e.y0)*(e.x1-e.x0), e.y1-e.y0), e.turn})
		}
	}
	slices.SortFunc(f.crosses, func(a, b cross) int { return a.x - b.x })
	turns := 0
	for i, c := range f.crosses {
		if turns != 0 {
			f.span(f.crosses[i-1].x, c.x)
		}
		turns += c.turn
	}
}

func (f *filler) span(from, to int) {
	from, to = max(from, 0), min(to, 64*len(f.cover))
	for x := from / 64; 64*x < to; x++ {
		f.cover[x] += min(to, 64*x+64) - max(from, 64*x)
	}
}
