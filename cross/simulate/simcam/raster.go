package simcam

import (
	"image"
	"math"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// A vertex of a vehicle's surface. Places and normals are in the vehicle's own
// frame: x from the front to the rear, r to the right when looked at from the
// front, z up.
type vertex struct {
	at, normal point
	u, v       float64 // place in the texture, 0 to 1
}

// A face is a triangle of one skin.
type face struct {
	a, b, c int32
	skin    *skin
}

type mesh struct {
	vertices []vertex
	faces    []face
}

// A skin is a texture in several sizes, each half of the one before. The fourth
// channel says how strongly the surface mirrors the sky: 0 not at all, 255 like
// a window.
type skin struct {
	levels   []*image.RGBA
	perMetre float64
}

func newSkin(m *image.RGBA, perMetre float64) *skin {
	s := &skin{levels: []*image.RGBA{m}, perMetre: perMetre}
	for m.Rect.Dx() > 24 && m.Rect.Dy() > 24 {
		half := image.NewRGBA(image.Rect(0, 0, m.Rect.Dx()/2, m.Rect.Dy()/2))
		for y := range half.Rect.Dy() {
			for x := range half.Rect.Dx() {
				i, o := m.PixOffset(2*x, 2*y), half.PixOffset(x, y)
				for k := range 4 {
					half.Pix[o+k] = byte((int(m.Pix[i+k]) + int(m.Pix[i+4+k]) + int(m.Pix[i+m.Stride+k]) + int(m.Pix[i+m.Stride+4+k]) + 2) / 4)
				}
			}
		}
		s.levels = append(s.levels, half)
		m = half
	}
	return s
}

// sunlight comes from behind the camera, from the left.
var sunlight = point{-0.55, -0.50, 0.67}

// shown is a vertex in the picture, in samples.
type shown struct {
	x, y, z float32 // z is 1/depth, larger is nearer
	light   float32
	mirror  [3]float32 // colour of what the surface mirrors
	u, v    float32
	usable  bool
}

// A raster draws meshes with a depth buffer, four samples a pixel, and lays the
// result over the picture. Its buffers are kept for the next vehicle.
type raster struct {
	shown  []shown
	colour []uint32 // samples, 0 where nothing was drawn
	depth  []float32
	left   int // of the buffer, in pixels of the picture
	top    int
	width  int // in samples
	height int
}

// samplesAcross is the number of samples across and down a pixel.
const samplesAcross = 2

// draw draws a vehicle at its place and returns the part of the picture that
// changed.
func (t *raster) draw(m *image.RGBA, l *lens, v *vehicle, p simulate.Position) image.Rectangle {
	length, _, _ := p.Class.Size()
	bounds := t.project(l, v, p, length)
	bounds = bounds.Intersect(m.Rect)
	if bounds.Empty() {
		return image.Rectangle{}
	}
	t.left, t.top = bounds.Min.X, bounds.Min.Y
	t.width, t.height = bounds.Dx()*samplesAcross, bounds.Dy()*samplesAcross
	n := t.width * t.height
	if cap(t.colour) < n {
		t.colour, t.depth = make([]uint32, n), make([]float32, n)
	}
	t.colour, t.depth = t.colour[:n], t.depth[:n]
	clear(t.colour)
	clear(t.depth)
	detail := l.focal / max(p.X, 2) * samplesAcross // samples a metre
	for _, f := range v.mesh.faces {
		t.triangle(&t.shown[f.a], &t.shown[f.b], &t.shown[f.c], f.skin.pick(detail))
	}
	t.blend(m, p.X)
	return bounds
}

// pick returns the size of the texture that fits the samples a metre.
func (s *skin) pick(detail float64) *image.RGBA {
	level := int(math.Floor(math.Log2(s.perMetre / detail)))
	return s.levels[min(max(level, 0), len(s.levels)-1)]
}

// place returns a point of the vehicle on the road. A vehicle that approaches
// has its front nearest, one that recedes its rear.
func place(at point, p simulate.Position, length float64) point {
	if p.Direction == sensor.Approaching {
		return point{p.X + at.x, p.Y + at.r, at.z}
	}
	return point{p.X + length - at.x, p.Y - at.r, at.z}
}

func turn(normal point, d sensor.Direction) point {
	if d == sensor.Approaching {
		return normal
	}
	return point{-normal.x, -normal.r, normal.z}
}

// project works out every vertex and returns the pixels that they cover.
func (t *raster) project(l *lens, v *vehicle, p simulate.Position, length float64) image.Rectangle {
	t.shown = t.shown[:0]
	left, top, right, bottom := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for i := range v.mesh.vertices {
		s := &v.mesh.vertices[i]
		at := place(s.at, p, length)
		normal := turn(s.normal, p.Direction)
		x, y, depth := l.project(at)
		if depth < nearest {
			t.shown = append(t.shown, shown{})
			continue
		}
		left, right = min(left, x), max(right, x)
		top, bottom = min(top, y), max(bottom, y)
		toEye := l.at.sub(at).unit()
		facing := normal.dot(toEye)
		mirrored := normal.scale(2 * facing).sub(toEye)
		fresnel := 0.05 + 0.95*math.Pow(1-clamp(facing), 5)
		c := surroundings(mirrored)
		glint := math.Pow(clamp(mirrored.dot(sunlight)), 60)
		c = c.scale(fresnel).add(colour{255, 250, 235}.scale(0.55 * glint))
		// Light from the sun, the sky and back from the road.
		light := 0.34 + 0.16*normal.z + 0.66*clamp(normal.dot(sunlight))
		// Little light reaches what is low.
		light *= 0.62 + 0.38*step(0.05, 0.75, s.at.z)
		t.shown = append(t.shown, shown{
			x: float32(x), y: float32(y), z: float32(1 / depth), light: float32(light),
			mirror: [3]float32{float32(c.r), float32(c.g), float32(c.b)},
			u:      float32(s.u), v: float32(s.v), usable: true,
		})
	}
	if left > right {
		return image.Rectangle{}
	}
	// Places far outside the picture would not fit an int; the picture's edge
	// is what matters.
	edge := func(v float64) int { return int(min(max(v, -1e6), 1e6)) }
	return image.Rect(edge(math.Floor(left)), edge(math.Floor(top)), edge(math.Ceil(right))+1, edge(math.Ceil(bottom))+1)
}

// surroundings is what a surface mirrors from a direction.
func surroundings(d point) colour {
	if d.z > 0 {
		low, high := colour{226, 234, 240}, colour{120, 164, 214}
		return low.mix(high, step(0, 0.7, d.z))
	}
	return colour{150, 150, 142}.mix(colour{70, 72, 70}, step(0, -0.35, d.z))
}

// triangle draws one triangle that faces the camera.
func (t *raster) triangle(a, b, c *shown, texture *image.RGBA) {
	if !a.usable || !b.usable || !c.usable {
		return
	}
	ax, ay := (a.x-float32(t.left))*samplesAcross, (a.y-float32(t.top))*samplesAcross
	bx, by := (b.x-float32(t.left))*samplesAcross, (b.y-float32(t.top))*samplesAcross
	cx, cy := (c.x-float32(t.left))*samplesAcross, (c.y-float32(t.top))*samplesAcross
	area := (bx-ax)*(cy-ay) - (by-ay)*(cx-ax)
	if area <= 1e-6 {
		return // seen from behind, or a line
	}
	x0 := max(0, int(math.Floor(float64(min(ax, bx, cx))-0.5)))
	x1 := min(t.width-1, int(math.Ceil(float64(max(ax, bx, cx)))))
	y0 := max(0, int(math.Floor(float64(min(ay, by, cy))-0.5)))
	y1 := min(t.height-1, int(math.Ceil(float64(max(ay, by, cy)))))
	tw, th := float32(texture.Rect.Dx()), float32(texture.Rect.Dy())
	// Weights of b and c, which grow evenly along a row.
	inverse := 1 / area
	stepB, stepC := -(ay-cy)*inverse, -(by-ay)*inverse
	for y := y0; y <= y1; y++ {
		py := float32(y) + 0.5
		px := float32(x0) + 0.5
		wb := ((cx-px)*(ay-py) - (cy-py)*(ax-px)) * inverse
		wc := ((ax-px)*(by-py) - (ay-py)*(bx-px)) * inverse
		row := y * t.width
		for x := x0; x <= x1; x, wb, wc = x+1, wb+stepB, wc+stepC {
			wa := 1 - wb - wc
			if wa < -1e-5 || wb < -1e-5 || wc < -1e-5 {
				continue
			}
			z := wa*a.z + wb*b.z + wc*c.z
			if z <= t.depth[row+x] {
				continue
			}
			u := int(min(max((wa*a.u+wb*b.u+wc*c.u)*tw, 0), tw-1))
			v := int(min(max((wa*a.v+wb*b.v+wc*c.v)*th, 0), th-1))
			texel := texture.Pix[v*texture.Stride+4*u:][:4]
			gloss := float32(texel[3]) * (1.0 / 110)
			light := wa*a.light + wb*b.light + wc*c.light
			if texel[3] == 1 {
				light, gloss = 1, 0 // a lamp that is on
			}
			t.depth[row+x] = z
			t.colour[row+x] = 0xFF000000 |
				tone(float32(texel[0])*light+gloss*(wa*a.mirror[0]+wb*b.mirror[0]+wc*c.mirror[0])) |
				tone(float32(texel[1])*light+gloss*(wa*a.mirror[1]+wb*b.mirror[1]+wc*c.mirror[1]))<<8 |
				tone(float32(texel[2])*light+gloss*(wa*a.mirror[2]+wb*b.mirror[2]+wc*c.mirror[2]))<<16
		}
	}
}

// tone bends the brightest values so that they do not burn out.
func tone(v float32) uint32 {
	if v > 190 {
		v = 190 + 65*(1-1/(1+(v-190)/65))
	}
	return uint32(min(max(v, 0), 255))
}

// blend averages the samples of each pixel over the picture. Distance adds haze,
// and at the end of the reach vehicles fade in.
func (t *raster) blend(m *image.RGBA, x float64) {
	const samples = samplesAcross * samplesAcross
	mist := float32(1 - math.Exp(-max(x, 0)/900))
	present := float32(step(reach, reach-50, x))
	for y := 0; y < t.height; y += samplesAcross {
		out := m.PixOffset(t.left, t.top+y/samplesAcross)
		for x := 0; x < t.width; x, out = x+samplesAcross, out+4 {
			var r, g, b, n uint32
			for dy := range samplesAcross {
				for _, c := range t.colour[(y+dy)*t.width+x:][:samplesAcross] {
					if c != 0 {
						r, g, b, n = r+c&0xFF, g+c>>8&0xFF, b+c>>16&0xFF, n+1
					}
				}
			}
			if n == 0 {
				continue
			}
			cover := float32(n) / samples * present
			for k, v := range [3]uint32{r, g, b} {
				value := float32(v) / float32(n)
				value += ([3]float32{196, 212, 222}[k] - value) * mist
				old := float32(m.Pix[out+k])
				m.Pix[out+k] = byte(old + (value-old)*cover + 0.5)
			}
		}
	}
}

// shadow darkens the road below and beside a vehicle and returns the part of
// the picture that changed.
func (l *lens) shadow(m *image.RGBA, v *vehicle, p simulate.Position) image.Rectangle {
	length, width, height := p.Class.Size()
	// The sun moves the top of the vehicle by this much on the road.
	dx, dr := -sunlight.x/sunlight.z*height*0.55, -sunlight.r/sunlight.z*height*0.55
	x0, x1 := p.X-0.5, p.X+length+dx+0.5
	r0, r1 := p.Y-width/2-0.5, p.Y+width/2+dr+0.5
	left, top, right, bottom := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, corner := range [4]point{{x0, r0, 0}, {x0, r1, 0}, {x1, r0, 0}, {x1, r1, 0}} {
		corner.x = max(corner.x, 1.5)
		x, y, depth := l.project(corner)
		if depth < 0.5 {
			return image.Rectangle{}
		}
		left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
	}
	box := image.Rect(int(max(left, -1)), int(max(top, -1)), int(min(right, Width))+1, int(min(bottom, Height))+1).Intersect(m.Rect)
	present := step(reach, reach-50, p.X)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			ray := l.forward.add(l.right.scale((float64(x) + 0.5 - l.centreX) / l.focal)).add(l.up.scale((l.centreY - float64(y) - 0.5) / l.focal))
			if ray.z >= 0 {
				continue
			}
			far := l.at.z / -ray.z
			gx, gr := ray.x*far-p.X, ray.r*far-p.Y
			dark := 0.80 * soft(gx, gr, 0.05, length-0.05, -width/2+0.05, width/2-0.05, 0.16)
			for k := range 4 { // the shadow of slices of the body, higher and farther
				f := (float64(k) + 0.5) / 4
				dark = max(dark, 0.50*soft(gx, gr, 0.15+dx*f, length-0.2+dx*f, -width/2+0.12+dr*f, width/2-0.1+dr*f, 0.10+0.10*f))
			}
			if dark <= 0.004 {
				continue
			}
			i, f := m.PixOffset(x, y), 1-dark*present
			m.Pix[i] = byte(float64(m.Pix[i]) * f)
			m.Pix[i+1] = byte(float64(m.Pix[i+1]) * f)
			m.Pix[i+2] = byte(float64(m.Pix[i+2]) * (f + (1-f)*0.06))
		}
	}
	return box
}

// soft is 1 inside of a rectangle and falls to 0 over a border of the given
// half width.
func soft(x, r, x0, x1, r0, r1, border float64) float64 {
	inside := min(x-x0, x1-x, r-r0, r1-r)
	if inside <= -border {
		return 0
	}
	return step(-border, border, inside)
}
