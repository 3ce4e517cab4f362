// Package plot draws what a sensor saw, for people, who look before they read:
// the spectrogram of a Doppler signal or the readings of a sensor that reports
// speeds, with the passages drawn in; and the charts of a report. Pictures are
// PNG.
//
// A picture is bounded in size, and so is the memory it is made in, however
// long the recording: neighbours in time are joined, of which the strongest
// counts, so that a short line stays visible. Nothing here measures, and no
// speed on a record comes from here.
//
// # Reading a spectrogram
//
// Time runs to the right, in seconds of the signal's own clock. Frequency runs
// upwards, on the right in Hz and on the left as the speed that it means. With
// I and Q a vehicle that approaches lies above 0 and one that leaves below.
// Brightness is the level over the noise of its frequency, in dB, by the bar at
// the foot; black is what was not recorded. The line of a valid passage is
// yellow, that of a discarded one red and dashed, each with the speed found, the
// number of other targets and the reason.
//
// A [Spectrogram] and a [Readings] have one user at a time.
package plot

import (
	"cmp"
	"fmt"
	"image"
	"slices"

	"ciglio/sensor"
)

const (
	width, height = 1600, 900

	// The field in the middle of a picture, where the signal is.
	left, right, top, bottom = 112, 1480, 56, 800

	maxMarks  = 1000 // passages drawn in
	maxPoints = 512  // of the line of one of them
)

// field is where the signal is drawn.
var field = image.Rect(left, top, right, bottom)

// Options says what stands beside the picture.
type Options struct {
	Title string
	// Carrier is the transmit frequency in Hz; zero means 24.125 GHz.
	Carrier int64
	// Angle lies between the beam and the direction of travel, in thousandths
	// of a degree.
	Angle int
}

// A mark is a passage in a picture.
type mark struct {
	passage sensor.Passage
	points  []point
}

// A point is an instant in seconds and a height on the picture's own scale.
type point struct{ t, y float64 }

// marks are the passages of a picture.
type marks struct {
	all  []mark
	more int // that were not kept
}

// add keeps a passage without its trace. Of a long line every second point is
// left out until it is short enough.
func (m *marks) add(p sensor.Passage, line []point) {
	if len(m.all) == maxMarks {
		m.more++
		return
	}
	p.Trace = sensor.Trace{}
	for len(line) > maxPoints {
		for i := range len(line) / 2 {
			line[i] = line[2*i]
		}
		line = line[:len(line)/2]
	}
	m.all = append(m.all, mark{p, line})
}

// draw draws the lines, and beside each its words where there is room for them.
func (m *marks) draw(c *canvas, x, y axis) {
	for _, k := range m.all {
		s := stroke{colour: good, width: 2}
		if !k.passage.Valid() {
			s = stroke{colour: bad, width: 2, dash: 6}
		}
		for i := range k.points {
			a, b := k.points[max(i-1, 0)], k.points[i]
			c.line(field, x.at(a.t), y.at(a.y), x.at(b.t), y.at(b.y), s)
		}
	}
	var taken []image.Rectangle
	for _, k := range m.all {
		if len(k.points) > 0 {
			taken = m.label(c, x, y, k, taken)
		}
	}
	if m.more > 0 {
		c.text(left, bottom-3*glyphLine, fmt.Sprintf("and %d passages more", m.more), 2, bad)
	}
}

// words says what a passage is.
func (k mark) words() []string {
	lines := []string{k.passage.Speed.String()}
	if k.passage.Targets > 0 {
		lines = append(lines, fmt.Sprintf("others: %d", k.passage.Targets))
	}
	for _, r := range k.passage.Reasons {
		lines = append(lines, r.Code())
	}
	return lines
}

// label writes the words of k near its line, where they hide no other words
// and, if there is such a place, no line.
func (m *marks) label(c *canvas, x, y axis, k mark, taken []image.Rectangle) []image.Rectangle {
	const scale, pad = 2, 4
	words, wide := k.words(), 0
	for _, w := range words {
		wide = max(wide, textWidth(w, scale))
	}
	tall := len(words) * glyphLine * scale
	colour := uint8(good)
	if !k.passage.Valid() {
		colour = bad
	}
	var places []image.Rectangle
	extreme := slices.MaxFunc(k.points, func(a, b point) int { return cmp.Compare(abs(a.y), abs(b.y)) })
	for _, p := range []point{k.points[len(k.points)/2], extreme, k.points[0], k.points[len(k.points)-1]} {
		px, py := min(max(int(x.at(p.t))-wide/2, left+2*pad), right-wide-2*pad), int(y.at(p.y))
		for _, far := range []int{16, 60, 110} {
			outer, inner := py-tall-far, py+far
			if p.y < 0 {
				outer, inner = inner, outer
			}
			for _, at := range []int{outer, inner} {
				box := image.Rect(px-pad, at-pad, px+wide+pad/2, at+tall)
				if box.In(field) && !slices.ContainsFunc(taken, box.Overlaps) {
					places = append(places, box)
				}
			}
		}
	}
	if len(places) == 0 {
		return taken
	}
	free := slices.IndexFunc(places, func(box image.Rectangle) bool { return !m.hides(box, x, y) })
	box := places[max(free, 0)]
	c.fill(box, paper)
	c.frame(box, colour)
	for i, w := range words {
		c.text(box.Min.X+pad, box.Min.Y+pad+i*glyphLine*scale, w, scale, colour)
	}
	return append(taken, box)
}

// hides reports whether a line runs through the box.
func (m *marks) hides(box image.Rectangle, x, y axis) bool {
	for _, k := range m.all {
		for _, p := range k.points {
			if (image.Point{int(x.at(p.t)), int(y.at(p.y))}).In(box) {
				return true
			}
		}
	}
	return false
}

func abs(v float64) float64 { return max(v, -v) }

// surround draws the title, the axes and their numbers around the field. hz is
// the axis on the right; a nil one is left out.
func surround(c *canvas, title string, x, y axis, hz *axis) {
	const scale = 2
	c.text(left, 10, shorten(title, (right-left)/(glyphStep*scale)), scale, ink)
	half := capHeight * scale / 2
	values, decimals := x.ticks(12)
	for _, v := range values {
		at := int(x.at(v))
		c.fill(image.Rect(at, bottom, at+1, bottom+6), ink)
		s := number(v, decimals)
		c.text(at-textWidth(s, scale)/2, bottom+12, s, scale, ink)
	}
	c.text(right+12, bottom+12, "s", scale, ink)
	values, decimals = y.ticks(12)
	for _, v := range values {
		at := int(y.at(v))
		c.fill(image.Rect(left-6, at, left, at+1), ink)
		s := number(v, decimals)
		c.text(left-10-textWidth(s, scale), at-half, s, scale, ink)
	}
	c.text(left-10-textWidth("km/h", scale), top-3*half, "km/h", scale, ink)
	if hz != nil {
		values, decimals = hz.ticks(12)
		for _, v := range values {
			at := int(hz.at(v))
			c.fill(image.Rect(right, at, right+6, at+1), ink)
			c.text(right+12, at-half, number(v, decimals), scale, ink)
		}
		c.text(right+12, top-3*half, "Hz", scale, ink)
	}
	c.frame(field.Inset(-1), dim)
}

// shorten leaves out the start of s when it is longer than n characters: the
// end of a path says more.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return ".." + string(r[len(r)-n+2:])
}

// legend explains the colours of the lines at the foot of the picture.
func legend(c *canvas, items ...any) {
	x := left
	for i := 0; i < len(items); i += 2 {
		s := items[i].(stroke)
		y := bottom + 58
		c.line(c.Rect, float64(x), float64(y), float64(x+36), float64(y), s)
		word := items[i+1].(string)
		c.text(x+46, y-7, word, 2, ink)
		x += 46 + textWidth(word, 2) + 30
	}
}
