// Package simcam has a camera that sees the simulated road of package
// simulate: it renders what a real one would take of it, with every vehicle
// where it is at the instant of exposure.
//
// The camera stands at the verge beside the radar and looks along the road,
// slightly towards it. A vehicle that approaches shows its front, one that
// recedes its rear. Number plates are of letters that no Italian plate has, and
// each picture says that it is simulated. Nothing is read from outside, so the
// same road gives the same pictures.
package simcam

import (
	"context"
	"fmt"
	"image"
	"io"
	"time"

	"ciglio/capture"
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// What the pictures are like.
const (
	Width     = 1600 // pixels
	Height    = 900  // pixels
	View      = 36   // degrees across the picture
	Interval  = 80 * time.Millisecond
	Exposure  = 500 * time.Microsecond
	reach     = 340.0 // m: vehicles farther ahead are not drawn
	nearest   = 1.0   // m ahead of the lens: nearer surfaces are not drawn
	maxInView = 64

	remembered = 5 // frames that the camera keeps for a late caller
)

// A Camera renders a simulated road, a [capture.Camera] with 12.5 pictures a
// second. Use [New].
type Camera struct {
	road   *simulate.Road
	clock  sensor.Clock
	origin sensor.Mono
	next   uint64 // number of the next frame

	scene    *scene
	picture  *image.RGBA // the scene with the vehicles of the last picture
	dirty    []image.Rectangle
	garage   *garage
	raster   raster
	encoder  *encoder
	position []simulate.Position
}

var _ capture.Camera = (*Camera)(nil)

// New returns a camera on a road that starts when the clock reads origin. With
// a nil clock pictures come as fast as they are asked for. It paints the
// landscape now, which takes about a second.
func New(road *simulate.Road, clock sensor.Clock, origin sensor.Mono) *Camera {
	return NewTurned(road, clock, origin, 0, 0)
}

// NewTurned is [New] of a camera that is turned by so many degrees to the right, and
// down, against the one of New: as after a blow.
func NewTurned(road *simulate.Road, clock sensor.Clock, origin sensor.Mono, right, down float64) *Camera {
	return newCamera(paintScene(road.Radar().Lanes, newLens(right, down)), road, clock, origin)
}

func newCamera(s *scene, road *simulate.Road, clock sensor.Clock, origin sensor.Mono) *Camera {
	c := &Camera{road: road, clock: clock, origin: origin, scene: s, garage: newGarage()}
	c.picture = image.NewRGBA(s.picture.Rect)
	copy(c.picture.Pix, s.picture.Pix)
	c.encoder = newEncoder(s.picture)
	return c
}

// Info implements [capture.Camera].
func (*Camera) Info() capture.Info {
	return capture.Info{Model: "simulated road camera", Serial: "SIM-1", Test: true}
}

// Next implements [capture.Camera]. Frames start at the origin and are 80 ms
// apart. The camera remembers a few: a caller that is late by more loses those
// between, as with a real one. The end of the road is io.EOF.
func (c *Camera) Next(ctx context.Context) (capture.Frame, error) {
	if err := ctx.Err(); err != nil {
		return capture.Frame{}, err
	}
	if c.clock != nil {
		// A picture is there when its exposure is over.
		if late := c.clock.Now().Sub(c.at(c.next).Add(Exposure)); late > remembered*Interval {
			c.next += uint64(late / Interval)
		}
		if err := simulate.Until(ctx, c.clock, c.at(c.next).Add(Exposure)); err != nil {
			return capture.Frame{}, err
		}
	}
	at := c.at(c.next)
	if at.Sub(c.origin) >= c.road.Duration() {
		return capture.Frame{}, io.EOF
	}
	frame := capture.Frame{
		Number:    c.next,
		At:        at,
		Exposure:  Exposure,
		MediaType: "image/jpeg",
		Data:      c.render(at.Sub(c.origin)),
	}
	c.next++
	return frame, nil
}

func (c *Camera) at(number uint64) sensor.Mono {
	return c.origin.Add(time.Duration(number) * Interval)
}

// render returns the JPEG picture of the road at t after its start. The bytes
// are valid until the next call.
func (c *Camera) render(t time.Duration) []byte {
	for _, r := range c.dirty {
		restore(c.picture, c.scene.picture, r)
	}
	c.dirty = c.dirty[:0]
	c.position = c.road.Near(c.position[:0], t, reach)
	for i, p := range c.position {
		if i >= maxInView {
			break
		}
		if r := c.draw(p); !r.Empty() {
			c.dirty = append(c.dirty, r)
		}
	}
	c.dirty = append(c.dirty, caption(c.picture, fmt.Sprintf("SIMULATED %02d:%02d:%06.3f",
		int(t.Hours()), int(t.Minutes())%60, float64(t%time.Minute)/1e9)))
	return c.encoder.encode(c.picture, c.dirty)
}

// draw draws one vehicle and returns the part of the picture that it changed.
func (c *Camera) draw(p simulate.Position) image.Rectangle {
	v := c.garage.vehicle(p)
	shade := c.scene.lens.shadow(c.picture, v, p)
	body := c.raster.draw(c.picture, &c.scene.lens, v, p)
	return shade.Union(body)
}

func restore(dst, src *image.RGBA, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		from, to := src.PixOffset(r.Min.X, y), src.PixOffset(r.Max.X, y)
		copy(dst.Pix[from:to], src.Pix[from:to])
	}
}
