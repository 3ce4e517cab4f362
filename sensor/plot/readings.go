package plot

import (
	"errors"
	"image"
	"io"
	"math"

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

// WritePNG writes the picture. It is an error when there was no cycle.
func (r *Readings) WritePNG(w io.Writer) error {
	if !r.started {
		return errors.New("plot: the sensor reported nothing")
	}
	c := newCanvas(width, height, paper)
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
	zero := int(y.at(0))
	c.fill(image.Rect(left, zero, right, zero+1), dim)
	size := 2
	switch {
	case len(r.points) < 500:
		size = 6
	case len(r.points) < 5000:
		size = 4
	}
	for _, p := range r.points {
		px, py := int(math.Round(x.at(p.t))), int(math.Round(y.at(p.y)))
		box := image.Rect(px-size/2, py-size/2, px+size-size/2, py+size-size/2)
		c.fill(box.Intersect(field), levels*3/4)
	}
	r.marks.draw(c, x, y)
	surround(c, r.title, x, y, nil)
	legend(c, stroke{colour: levels * 3 / 4, width: 4, dash: 4}, "reading", stroke{colour: good, width: 3}, "valid",
		stroke{colour: bad, width: 3, dash: 6}, "discarded")
	return c.write(w)
}
