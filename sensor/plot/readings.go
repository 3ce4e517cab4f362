package plot

import (
	"errors"
	"image"
	"io"

	"ciglio/sensor"
)

// maxReadings is how many readings are kept: when there are more, every second
// one is left out, and so on.
const maxReadings = 1 << 17

// A Readings draws what a sensor that reports speeds said of its targets: a
// point for each reading, above 0 what approaches or has no direction, below
// what recedes.
type Readings struct {
	title       string
	points      []point
	every, seen int
	first, last sensor.Mono
	started     bool
	marks       marks
}

// NewReadings returns the empty picture.
func NewReadings(o Options) *Readings {
	return &Readings{title: o.Title, every: 1}
}

// Push adds a cycle. It is not kept.
func (r *Readings) Push(c sensor.Cycle) {
	if !r.started {
		r.started, r.first, r.last = true, c.At, c.At
	}
	r.first, r.last = min(r.first, c.At), max(r.last, c.At)
	for i := range c.Readings {
		x := &c.Readings[i]
		if r.seen++; r.seen%r.every != 0 {
			continue
		}
		if len(r.points) == maxReadings {
			for k := range maxReadings / 2 {
				r.points[k] = r.points[2*k]
			}
			r.points, r.every = r.points[:maxReadings/2], 2*r.every
		}
		r.first, r.last = min(r.first, x.At), max(r.last, x.At)
		r.points = append(r.points, point{x.At.Seconds(), signed(x.Speed, x.Direction)})
	}
}

// signed returns a speed in km/h, negative when it recedes.
func signed(s sensor.Speed, d sensor.Direction) float64 {
	v := float64(s) / float64(sensor.KmH)
	if d == sensor.Receding {
		return -v
	}
	return v
}

// Passage draws a passage in, as a line at its speed.
func (r *Readings) Passage(p sensor.Passage) {
	const parts = 32 // so that words can keep clear of it
	v := signed(p.Speed, p.Direction)
	var line []point
	for i := range parts + 1 {
		line = append(line, point{p.Start.Seconds() + p.End.Sub(p.Start).Seconds()*float64(i)/parts, v})
	}
	r.marks.add(p, line)
}

// WriteSVG writes the picture. It is an error when there was no cycle.
func (r *Readings) WriteSVG(w io.Writer) error {
	if !r.started {
		return errors.New("plot: the sensor reported nothing")
	}
	low, high := 0.0, 0.0
	for _, p := range r.points {
		low, high = min(low, p.y), max(high, p.y)
	}
	for _, k := range r.marks.all {
		for _, p := range k.points {
			low, high = min(low, p.y), max(high, p.y)
		}
	}
	if high-low < 10 {
		high = low + 10
	}
	begin, end := r.first.Seconds(), r.last.Seconds()
	edge := max(0.01*(end-begin), 0.5)
	x := axis{begin - edge, end + edge, left, right}
	room := 0.2 * (high - low) // for words
	y := axis{low - room, high + room, bottom, top}
	p := newPage(width, height, field, r.title, paper)
	p.add(`<path d="M%d %.1fH%d" stroke="%s"/>`, left, y.at(0), right, dim)
	size := 2
	switch {
	case len(r.points) < 500:
		size = 6
	case len(r.points) < 5000:
		size = 4
	}
	at := make([]image.Point, len(r.points))
	for i, k := range r.points {
		at[i] = pixel(x.at(k.t), y.at(k.y))
	}
	p.add(`<path stroke="%s" stroke-width="%d" stroke-linecap="round" clip-path="url(#field)" d="%s"/>`, reading, size, dots(at))
	r.marks.draw(p, x, y)
	surround(p, r.title, x, y, nil)
	p.add(`<path d="M%d %dh0m12 0h0m12 0h0" stroke="%s" stroke-width="6" stroke-linecap="round"/>`, left+6, legendAt, reading)
	p.text(left+46, legendAt, "start", ink, "reading")
	legend(p, left+150)
	return p.write(w)
}
