package plot

import (
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
)

const levels = 200 // steps of the colour map, which come first in the palette

// The other colours of the palette.
const (
	ink      = levels + iota
	dim      // of what matters less
	paper    // behind a picture of a signal
	white    // behind a chart
	black    // on a chart
	grid     // of a chart
	good     // a passage that is valid
	bad      // one that is not
	blue     // points
	paleBlue // a band
	red
)

// ramp is the colour map, from the noise to the strongest line: dark to bright,
// so that it reads in grey as well.
var ramp = [...]color.RGBA{
	{8, 10, 24, 255}, {26, 30, 72, 255}, {32, 66, 120, 255}, {34, 108, 146, 255},
	{52, 150, 158, 255}, {112, 194, 168, 255}, {186, 226, 190, 255}, {246, 252, 232, 255},
}

func palette() color.Palette {
	p := make(color.Palette, 0, 256)
	for i := range levels {
		at := float64(i) / (levels - 1) * float64(len(ramp)-1)
		k := min(int(at), len(ramp)-2)
		mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (at-float64(k))*(float64(b)-float64(a)))) }
		a, b := ramp[k], ramp[k+1]
		p = append(p, color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255})
	}
	return append(p,
		color.RGBA{225, 228, 235, 255}, // ink
		color.RGBA{120, 126, 140, 255}, // dim
		color.RGBA{20, 22, 30, 255},    // paper
		color.RGBA{255, 255, 255, 255}, // white
		color.RGBA{20, 20, 24, 255},    // black
		color.RGBA{222, 224, 230, 255}, // grid
		color.RGBA{255, 214, 20, 255},  // good
		color.RGBA{255, 84, 96, 255},   // bad
		color.RGBA{30, 90, 170, 255},   // blue
		color.RGBA{190, 214, 240, 255}, // paleBlue
		color.RGBA{200, 40, 50, 255},   // red
	)
}

// A canvas is a picture in the making. What lies outside it is not drawn.
type canvas struct {
	*image.Paletted
	font font
}

func newCanvas(width, height int, background uint8) *canvas {
	c := &canvas{image.NewPaletted(image.Rect(0, 0, width, height), palette()), newFont()}
	c.fill(c.Rect, background)
	return c
}

func (c *canvas) fill(r image.Rectangle, colour uint8) {
	r = r.Intersect(c.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := c.Pix[c.PixOffset(r.Min.X, y):c.PixOffset(r.Max.X, y)]
		for x := range row {
			row[x] = colour
		}
	}
}

// frame draws the outline of r.
func (c *canvas) frame(r image.Rectangle, colour uint8) {
	c.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+1), colour)
	c.fill(image.Rect(r.Min.X, r.Max.Y-1, r.Max.X, r.Max.Y), colour)
	c.fill(image.Rect(r.Min.X, r.Min.Y, r.Min.X+1, r.Max.Y), colour)
	c.fill(image.Rect(r.Max.X-1, r.Min.Y, r.Max.X, r.Max.Y), colour)
}

// A stroke is how a line is drawn.
type stroke struct {
	colour uint8
	width  int
	dash   int // pixels drawn and left out in turn; 0 for a whole line
}

// line draws from one point to another within clip.
func (c *canvas) line(clip image.Rectangle, x0, y0, x1, y1 float64, s stroke) {
	n := int(math.Ceil(max(math.Abs(x1-x0), math.Abs(y1-y0))))
	if n > 1<<16 { // not within any picture
		return
	}
	for i := range n + 1 {
		part := float64(i) / float64(max(n, 1))
		x, y := int(math.Round(x0+part*(x1-x0))), int(math.Round(y0+part*(y1-y0)))
		if s.dash > 0 && (x/s.dash)%2 == 1 {
			continue
		}
		half := s.width / 2
		c.fill(image.Rect(x-half, y-half, x-half+s.width, y-half+s.width).Intersect(clip), s.colour)
	}
}

// textWidth returns the width of s in pixels at the given scale.
func textWidth(s string, scale int) int { return len([]rune(s)) * glyphStep * scale }

// text draws s with its upper left corner at x, y. Characters that the font
// does not have are shown as a question mark.
func (c *canvas) text(x, y int, s string, scale int, colour uint8) {
	for _, r := range s {
		g, ok := c.font[r]
		if !ok {
			g = c.font['?']
		}
		for row, bits := range g {
			for column := range glyphWidth {
				if bits>>(glyphWidth-1-column)&1 == 1 {
					at := image.Pt(x+column*scale, y+row*scale)
					c.fill(image.Rectangle{at, at.Add(image.Pt(scale, scale))}, colour)
				}
			}
		}
		x += glyphStep * scale
	}
}

func (c *canvas) write(w io.Writer) error {
	e := png.Encoder{CompressionLevel: png.BestCompression}
	return e.Encode(w, c)
}
