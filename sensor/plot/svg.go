package plot

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"strings"
)

// The colours of a picture.
const (
	ink      = "#e1e4eb"
	dim      = "#787e8c" // of what matters less
	paper    = "#14161e" // behind a picture of a signal
	good     = "#ffd614" // a passage that is valid
	bad      = "#ff5460" // one that is not
	reading  = "#7ccbab"
	black    = "#141418" // on a chart
	grid     = "#dee0e6"
	blue     = "#1e5aaa" // points
	paleBlue = "#bed6f0" // a band
	red      = "#c82832"
)

// Text is set in the viewer's font. Its width is not known here, and is taken to
// be what few fonts exceed.
const (
	fontSize = 17
	advance  = 10 // of one character
	spacing  = 21 // of two lines
)

// A page is an SVG picture in the making.
type page struct{ bytes.Buffer }

// newPage begins a picture. What is drawn with clip-path="url(#field)" ends at
// the edge of the field.
func newPage(width, height int, field image.Rectangle, title, background string) *page {
	p := &page{}
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="%[3]d" xml:space="preserve">`, width, height, fontSize)
	p.add(`<title>%s</title>`, escape(title))
	p.add(`<clipPath id="field"><rect %s/></clipPath>`, place(field))
	p.add(`<rect width="%d" height="%d" fill="%s"/>`, width, height, background)
	return p
}

func (p *page) add(format string, values ...any) {
	fmt.Fprintf(p, format+"\n", values...)
}

// text writes one line of text about the height y, from x on (anchor "start"),
// up to it ("end") or about it ("middle").
func (p *page) text(x, y int, anchor, colour, s string) {
	p.add(`<text x="%d" y="%d" text-anchor="%s" fill="%s">%s</text>`, x, y+fontSize*7/20, anchor, colour, escape(s))
}

// image embeds a picture as PNG.
func (p *page) image(at image.Rectangle, m image.Image) error {
	fmt.Fprintf(p, `<image %s preserveAspectRatio="none" href="data:image/png;base64,`, place(at))
	e := base64.NewEncoder(base64.StdEncoding, p)
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(e, m); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	p.add(`"/>`)
	return nil
}

func (p *page) write(w io.Writer) error {
	p.add(`</svg>`)
	_, err := p.WriteTo(w)
	return err
}

// escape makes XML of any bytes. What XML cannot hold becomes U+FFFD.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes all
	return b.String()
}

// place returns the attributes of a rectangle.
func place(r image.Rectangle) string {
	return fmt.Sprintf(`x="%d" y="%d" width="%d" height="%d"`, r.Min.X, r.Min.Y, r.Dx(), r.Dy())
}

// polyline returns the path through the points. Those less than a pixel from the
// one before it are left out, so that no line has more points than it has
// pixels. A line that has no length is a dot.
func polyline(points []point, x, y axis) string {
	var b strings.Builder
	var px, py float64
	for i, k := range points {
		nx, ny := x.at(k.t), y.at(k.y)
		if i > 0 && i < len(points)-1 && max(abs(nx-px), abs(ny-py)) < 1 {
			continue
		}
		px, py = nx, ny
		c := byte('L')
		if i == 0 {
			c = 'M'
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", c, px, py)
	}
	if len(points) == 1 {
		b.WriteString("h0")
	}
	return b.String()
}

// dots returns the path of dots at whole pixels, each pixel once.
func dots(at []image.Point) string {
	var b strings.Builder
	seen := make(map[image.Point]bool, len(at))
	for _, p := range at {
		if !seen[p] {
			seen[p] = true
			fmt.Fprintf(&b, "M%d %dh0", p.X, p.Y)
		}
	}
	return b.String()
}

// pixel returns the pixel of a place, and one far outside any picture for a
// place that is farther out.
func pixel(x, y float64) image.Point {
	const far = 1 << 14
	return image.Pt(int(math.Round(min(max(x, -far), far))), int(math.Round(min(max(y, -far), far))))
}
