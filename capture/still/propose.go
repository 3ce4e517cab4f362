package still

import (
	"errors"
	"fmt"
	"image"
	"math"
	"slices"

	"ciglio/capture/evidence"
	"ciglio/sensor"
)

// ErrNoProposal says that nothing is known from which an outline could be proposed:
// the officer draws it.
var ErrNoProposal = errors.New("no outline can be proposed")

// A Ground maps places on the road to the picture: a *displacement.View. along is
// metres ahead of the foot of the camera, across metres to its right; x and y are
// pixels; ok is false for what lies behind the camera.
type Ground interface {
	Pixel(along, across float64) (x, y float64, ok bool)
}

// A Site is what of a site an outline is proposed from.
type Site struct {
	Ground Ground
	Lanes  []Lane // lane 1 first
}

// A Lane is a strip of road between two distances from the camera across the road, to
// the right positive, in millimetres.
type Lane struct{ Left, Right int32 }

// A Place is where the vehicle was in a picture, in millimetres: its end that is
// nearer to the camera, ahead along the road, and how long and high it may be. 0 means
// a passenger car, 5 m and 1.9 m.
type Place struct{ Along, Length, Height int32 }

// PlaceOf returns where the vehicle was when the record's frame was exposed: at
// photoRange, in millimetres, at the photo position, and before and after as far away
// as its speed takes it. It is false when the direction is not known.
func PlaceOf(r *evidence.Record, frame int, photoRange int32) (Place, bool) {
	m := r.Measurement
	if m == nil || frame < 0 || frame >= len(r.Frames) || m.Direction == sensor.DirectionUnknown {
		return Place{}, false
	}
	way := float64(r.Frames[frame].Mono.Sub(m.Photo).Seconds()) * m.Speed.MPS() * 1000
	if m.Direction == sensor.Approaching {
		way = -way
	}
	along := float64(photoRange) + way
	if along < 0 || along > 1e6 {
		return Place{}, false
	}
	return Place{Along: int32(along)}, true
}

// What an outline allows for: that a sensor tells where the vehicle is, not where its
// bumper is, and that vehicles do not drive in the middle of a lane.
const (
	nearer   = 1.0 // m
	farther  = 1.5 // m
	beside   = 0.2 // m
	sill     = 0.95
	carLong  = 5000
	carHigh  = 1900
	farthest = 400_000 // mm
)

// Propose returns the outline of the vehicle in a picture of that size, for an officer
// to confirm or to draw anew: the box of road that it stood on, as wide as its lane
// and as high as a car. Of a frontal picture what lies above the bonnet, 0.95 m, is hidden.
// A larger vehicle is cut: a proposal hides too much rather than too little.
//
// lane is that of the record; 0 will do where the site has one. The error wraps
// [ErrNoProposal].
//
// Proposals are computed in floats and may differ in a pixel between processors. What
// is rendered is what the recipe then says, in whole pixels.
func Propose(site Site, lane uint8, at Place, facing Facing, size image.Point) (*Redaction, error) {
	fail := func(words string, args ...any) (*Redaction, error) {
		return nil, fmt.Errorf("%w: %s", ErrNoProposal, fmt.Sprintf(words, args...))
	}
	if lane == 0 && len(site.Lanes) == 1 {
		lane = 1
	}
	switch {
	case site.Ground == nil:
		return fail("the site has no marks that tell where the road lies in the picture")
	case lane == 0:
		return fail("which of %d lanes it was is not known", len(site.Lanes))
	case int(lane) > len(site.Lanes):
		return fail("lane %d of %d", lane, len(site.Lanes))
	case at.Along < 0 || at.Along > farthest:
		return fail("%d mm away, want up to %d", at.Along, farthest)
	}
	if at.Length == 0 {
		at.Length = carLong
	}
	if at.Height == 0 {
		at.Height = carHigh
	}
	strip := site.Lanes[lane-1]
	box := box{
		ground: site.Ground, left: float64(strip.Left)/1000 - beside, right: float64(strip.Right)/1000 + beside,
		near: float64(at.Along)/1000 - nearer, far: float64(at.Along+at.Length)/1000 + farther,
	}
	keep := box.outline(0, float64(at.Height)/1000, size)
	if keep == nil {
		return fail("the place lies outside of the picture")
	}
	d := &Redaction{Keep: []Polygon{keep}}
	if facing.Frontal() {
		hide := box.outline(sill, float64(at.Height)/1000+1, size)
		if hide == nil {
			return fail("where the windscreen is cannot be told")
		}
		d.Hide = []Polygon{hide}
	}
	return d, nil
}

// A box stands on the road; metres.
type box struct {
	ground                 Ground
	left, right, near, far float64
}

// A spot is a place in the picture.
type spot struct{ x, y float64 }

// outline is the box from one height to another, as it is seen: the hull of its
// corners, cut at the picture's edges. It is nil where nothing of it is seen.
//
// The marks give the plane of the road alone. How high a metre is follows from how
// wide it is at the same distance, which holds for cameras that look along the road.
func (b box) outline(from, to float64, size image.Point) Polygon {
	var all []spot
	for _, along := range []float64{max(b.near, 0.5), b.far} {
		lx, ly, ok := b.ground.Pixel(along, b.left)
		rx, ry, also := b.ground.Pixel(along, b.right)
		if !ok || !also {
			return nil
		}
		metre := math.Hypot(rx-lx, ry-ly) / (b.right - b.left)
		for _, z := range []float64{from, to} {
			all = append(all, spot{lx, ly - z*metre}, spot{rx, ry - z*metre})
		}
	}
	for _, s := range all {
		if math.IsNaN(s.x+s.y) || math.Abs(s.x) > 1e6 || math.Abs(s.y) > 1e6 {
			return nil
		}
	}
	shape := clip(hull(all), size)
	var line Polygon
	for _, s := range shape {
		p := Point{uint16(min(math.Round(s.x), float64(size.X))), uint16(min(math.Round(s.y), float64(size.Y)))}
		if len(line) == 0 || line[len(line)-1] != p && line[0] != p {
			line = append(line, p)
		}
	}
	if len(line) < 3 {
		return nil
	}
	return line
}

// hull is the convex hull (A. M. Andrew, 1979).
func hull(all []spot) []spot {
	slices.SortFunc(all, func(a, b spot) int {
		switch {
		case a.x < b.x || a.x == b.x && a.y < b.y:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	side := func(a, b, c spot) float64 { return (b.x-a.x)*(c.y-a.y) - (b.y-a.y)*(c.x-a.x) }
	half := func(of []spot) (h []spot) {
		for _, s := range of {
			for len(h) > 1 && side(h[len(h)-2], h[len(h)-1], s) <= 0 {
				h = h[:len(h)-1]
			}
			h = append(h, s)
		}
		return h[:len(h)-1]
	}
	lower := half(all)
	slices.Reverse(all)
	return append(lower, half(all)...)
}

// clip cuts a convex shape at the edges of a picture (I. Sutherland, G. Hodgman,
// 1974).
func clip(shape []spot, size image.Point) []spot {
	for _, inside := range []func(spot) float64{
		func(s spot) float64 { return s.x },
		func(s spot) float64 { return s.y },
		func(s spot) float64 { return float64(size.X) - s.x },
		func(s spot) float64 { return float64(size.Y) - s.y },
	} {
		var cut []spot
		for i, b := range shape {
			a := shape[(i+len(shape)-1)%len(shape)]
			da, db := inside(a), inside(b)
			if da < 0 != (db < 0) {
				t := da / (da - db)
				cut = append(cut, spot{a.x + t*(b.x-a.x), a.y + t*(b.y-a.y)})
			}
			if db >= 0 {
				cut = append(cut, b)
			}
		}
		shape = cut
	}
	for i := range shape {
		shape[i].x, shape[i].y = max(shape[i].x, 0), max(shape[i].y, 0)
	}
	return shape
}
