package simcam

import (
	"image"
	"math"
)

// A point of the road: x metres ahead of the camera along the road, r metres to
// the right of it, z metres above the road. Radar and camera share x and r.
type point struct{ x, r, z float64 }

func (a point) add(b point) point            { return point{a.x + b.x, a.r + b.r, a.z + b.z} }
func (a point) sub(b point) point            { return point{a.x - b.x, a.r - b.r, a.z - b.z} }
func (a point) scale(f float64) point        { return point{a.x * f, a.r * f, a.z * f} }
func (a point) dot(b point) float64          { return a.x*b.x + a.r*b.r + a.z*b.z }
func (a point) length() float64              { return math.Sqrt(a.dot(a)) }
func (a point) unit() point                  { return a.scale(1 / max(a.length(), 1e-12)) }
func (a point) mix(b point, f float64) point { return a.scale(1 - f).add(b.scale(f)) }
func (a point) cross(b point) point {
	return point{a.r*b.z - a.z*b.r, a.z*b.x - a.x*b.z, a.x*b.r - a.r*b.x}
}

// A lens projects the road onto the picture.
type lens struct {
	at                 point
	focal              float64 // pixels
	forward, right, up point
	centreX, centreY   float64
	horizonY, vanishX  float64
}

// newLens returns a camera 2.6 m above the verge, turned 9.5° to the road and
// 4.4° down, with 36° across the picture, and then turned by so many degrees more.
func newLens(right, down float64) lens {
	const across = View * math.Pi / 180
	yaw, pitch := (9.5+right)*math.Pi/180, (4.4+down)*math.Pi/180
	l := lens{at: point{0, 0, 2.6}, focal: Width / 2 / math.Tan(across/2), centreX: Width / 2, centreY: Height / 2}
	sy, cy := math.Sincos(yaw)
	sp, cp := math.Sincos(pitch)
	l.forward = point{cp * cy, cp * sy, -sp}
	l.right = point{-sy, cy, 0}
	l.up = point{sp * cy, sp * sy, cp}
	l.vanishX, l.horizonY, _ = l.project(point{1e9, 0, 2.6})
	return l
}

// project returns the place of p in the picture and its depth in metres along
// the optical axis, which is not positive behind the camera.
func (l *lens) project(p point) (x, y, depth float64) {
	d := p.sub(l.at)
	depth = d.dot(l.forward)
	if depth <= 0 {
		return 0, 0, depth
	}
	return l.centreX + l.focal*d.dot(l.right)/depth, l.centreY - l.focal*d.dot(l.up)/depth, depth
}

// ray returns the direction seen at a place of the picture.
func (l *lens) ray(x, y float64) point {
	return l.forward.add(l.right.scale((x - l.centreX) / l.focal)).add(l.up.scale((l.centreY - y) / l.focal)).unit()
}

// colour is linear in what the eye takes for brightness: values are those of
// the picture, 0 to 255, not of light.
type colour struct{ r, g, b float64 }

func (a colour) scale(f float64) colour { return colour{a.r * f, a.g * f, a.b * f} }
func (a colour) add(b colour) colour    { return colour{a.r + b.r, a.g + b.g, a.b + b.b} }
func (a colour) mix(b colour, f float64) colour {
	return colour{a.r + (b.r-a.r)*f, a.g + (b.g-a.g)*f, a.b + (b.b-a.b)*f}
}
func (a colour) lighten(v float64) colour { return colour{a.r + v, a.g + v, a.b + v} }

func byteOf(v float64) byte { return byte(min(max(v+0.5, 0), 255)) }

func set(m *image.RGBA, x, y int, c colour) {
	i := m.PixOffset(x, y)
	m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = byteOf(c.r), byteOf(c.g), byteOf(c.b), 255
}

func get(m *image.RGBA, x, y int) colour {
	i := m.PixOffset(x, y)
	return colour{float64(m.Pix[i]), float64(m.Pix[i+1]), float64(m.Pix[i+2])}
}

func clamp(v float64) float64 { return min(max(v, 0), 1) }

// step rises smoothly from 0 at a to 1 at b.
func step(a, b, v float64) float64 {
	f := clamp((v - a) / (b - a))
	return f * f * (3 - 2*f)
}

func lerp(a, b, f float64) float64 { return a + (b-a)*f }
