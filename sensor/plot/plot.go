// Package plot draws what a sensor saw, for people, who look before they read:
// the spectrogram of a Doppler signal or the readings of a sensor that reports
// speeds, with the passages drawn in; and the charts of a report. Pictures are
// SVG, with text in the font of who looks; the levels of a spectrogram are one
// PNG inside. One recording gives the same bytes each time.
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
// number of other targets and the reason. Where there is no room for these words
// beside the line, a viewer shows them when the pointer rests on it.
//
// A [Spectrogram] and a [Readings] have one user at a time.
package plot

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"ciglio/sensor"
)

const (
	width, height = 1600, 900

	// The field in the middle of a picture, where the signal is.
	left, right, top, bottom = 112, 1480, 56, 800
	legendAt                 = bottom + 58

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
// left out until it is short enough. A point that is no number is left out, too.
func (m *marks) add(p sensor.Passage, line []point) {
	if len(m.all) == maxMarks {
		m.more++
		return
	}
	p.Trace = sensor.Trace{}
	line = slices.DeleteFunc(line, func(p point) bool { return math.IsNaN(p.y) || math.IsInf(p.y, 0) })
	for len(line) > maxPoints {
		for i := range len(line) / 2 {
			line[i] = line[2*i]
		}
		line = line[:len(line)/2]
	}
	m.all = append(m.all, mark{p, line})
}

// draw draws the lines, and beside each its words where there is room for them.
func (m *marks) draw(p *page, x, y axis) {
	p.add(`<g fill="none" stroke-width="2" stroke-linejoin="round" stroke-linecap="round" clip-path="url(#field)">`)
	for _, k := range m.all {
		if len(k.points) > 0 {
			p.add(`<path %s d="%s"><title>%s</title></path>`, k.stroke(), polyline(k.points, x, y), escape(strings.Join(k.words(), "\n")))
		}
	}
	p.add(`</g>`)
	var taken []image.Rectangle
	for _, k := range m.all {
		if len(k.points) > 0 {
			taken = m.label(p, x, y, k, taken)
		}
	}
	if m.more > 0 {
		p.text(left+8, bottom-spacing, "start", bad, fmt.Sprintf("and %d passages more", m.more))
	}
}

func (k mark) colour() string {
	if k.passage.Valid() {
		return good
	}
	return bad
}

// stroke returns how the line of k is drawn.
func (k mark) stroke() string {
	if k.passage.Valid() {
		return `stroke="` + good + `"`
	}
	return `stroke="` + bad + `" stroke-dasharray="6"`
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
func (m *marks) label(p *page, x, y axis, k mark, taken []image.Rectangle) []image.Rectangle {
	const pad = 4
	words, wide := k.words(), 0
	for _, w := range words {
		wide = max(wide, len(w)*advance+2*pad)
	}
	tall := len(words)*spacing + 2*pad
	var places []image.Rectangle
	extreme := slices.MaxFunc(k.points, func(a, b point) int { return cmp.Compare(abs(a.y), abs(b.y)) })
	for _, of := range []point{k.points[len(k.points)/2], extreme, k.points[0], k.points[len(k.points)-1]} {
		at := pixel(x.at(of.t), y.at(of.y))
		begin := min(max(at.X-wide/2, left+pad), right-wide-pad)
		for _, far := range []int{12, 56, 106} {
			outer, inner := at.Y-tall-far, at.Y+far
			if of.y < 0 {
				outer, inner = inner, outer
			}
			for _, from := range []int{outer, inner} {
				box := image.Rect(begin, from, begin+wide, from+tall)
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
	p.add(`<rect %s fill="%s" stroke="%s"/>`, place(box), paper, k.colour())
	for i, w := range words {
		p.text((box.Min.X+box.Max.X)/2, box.Min.Y+pad+spacing/2+i*spacing, "middle", k.colour(), w)
	}
	return append(taken, box)
}

// hides reports whether a line runs through the box.
func (m *marks) hides(box image.Rectangle, x, y axis) bool {
	for _, k := range m.all {
		for _, p := range k.points {
			if pixel(x.at(p.t), y.at(p.y)).In(box) {
				return true
			}
		}
	}
	return false
}

func abs(v float64) float64 { return max(v, -v) }

// surround draws the title, the axes and their numbers around the field. hz is
// the axis on the right; a nil one is left out.
func surround(p *page, title string, x, y axis, hz *axis) {
	p.add(`<rect %s fill="none" stroke="%s"/>`, place(field), dim)
	p.text(left, 22, "start", ink, shorten(title, (right-left)/advance))
	var d strings.Builder // the marks of the numbers
	values, decimals := x.ticks(12)
	for _, v := range values {
		fmt.Fprintf(&d, "M%.1f %dv6", x.at(v), bottom)
		p.text(int(math.Round(x.at(v))), bottom+20, "middle", ink, number(v, decimals))
	}
	p.text(right+12, bottom+20, "start", ink, "s")
	values, decimals = y.ticks(12)
	for _, v := range values {
		fmt.Fprintf(&d, "M%d %.1fh-6", left, y.at(v))
		p.text(left-10, int(math.Round(y.at(v))), "end", ink, number(v, decimals))
	}
	p.text(left-10, top-22, "end", ink, "km/h")
	if hz != nil {
		values, decimals = hz.ticks(12)
		for _, v := range values {
			fmt.Fprintf(&d, "M%d %.1fh6", right, hz.at(v))
			p.text(right+12, int(math.Round(hz.at(v))), "start", ink, number(v, decimals))
		}
		p.text(right+12, top-22, "start", ink, "Hz")
	}
	p.add(`<path d="%s" stroke="%s"/>`, d.String(), ink)
}

// shorten leaves out the start of s when it is longer than n characters: the
// end of a path says more.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}

// legend explains the lines at the foot of the picture, from x on.
func legend(p *page, x int) {
	for _, k := range []mark{{}, {passage: sensor.Passage{Reasons: []sensor.Reason{sensor.ReasonUncertain}}}} {
		word := "valid"
		if !k.passage.Valid() {
			word = "discarded"
		}
		p.add(`<path d="M%d %dh36" stroke-width="2" %s/>`, x, legendAt, k.stroke())
		p.text(x+46, legendAt, "start", ink, word)
		x += 46 + len(word)*advance + 20
	}
}
