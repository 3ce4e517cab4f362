package simcam

import (
	"image"
	"math"
)

// paintObjects adds what stands beside the road, from the farthest. Everything
// on the left stands left of the camera, and everything on the right stands
// beyond the road, so that no vehicle is ever behind any of it.
func (s *scene) paintObjects() {
	s.farm(250, -24)
	for k := range 26 {
		x := 330 - 6*float64(k)
		s.tree(x, s.road.right+26+30*hash(int32(k), 1, 200), 5+4*hash(int32(k), 2, 200), 0.62, uint32(300+k))
	}
	for k := range 7 {
		s.cypress(214-9*float64(k), s.road.right+16.5, 8.5+2.5*hash(int32(k), 3, 200), uint32(400+k))
	}
	for k := range 5 {
		s.tree(300-9*float64(k), -20-4*hash(int32(k), 4, 200), 6+3*hash(int32(k), 5, 200), 0.6, uint32(450+k))
	}
	s.tree(92, s.road.right+14, 8.2, 0.66, 501)
	s.tree(64, s.road.right+17, 6.2, 0.7, 502)
	s.rail()
	for x := 188.0; x > 20; x -= 25 {
		s.delineator(x, -0.35)
		s.delineator(x-4, s.road.right+1.75)
	}
	s.delineator(13.2, -0.35)
}

// blob blends an antialiased ellipse.
func blob(m *image.RGBA, x, y, rx, ry float64, c colour, strength float64) {
	for py := max(0, int(y-ry-1)); py <= min(Height-1, int(y+ry+1)); py++ {
		for px := max(0, int(x-rx-1)); px <= min(Width-1, int(x+rx+1)); px++ {
			dx, dy := (float64(px)+0.5-x)/rx, (float64(py)+0.5-y)/ry
			d := math.Sqrt(dx*dx + dy*dy)
			if cover := clamp((1-d)*min(rx, ry) + 0.5); cover > 0 {
				set(m, px, py, get(m, px, py).mix(c, cover*strength))
			}
		}
	}
}

// tree paints a round tree as a cloud of leaves, lit from the upper left, with
// its shadow on the field.
func (s *scene) tree(x, r, height, round float64, key uint32) {
	px, foot, depth := s.lens.project(point{x, r, 0})
	if depth <= 0 {
		return
	}
	scale := s.lens.focal / depth
	h, w := height*scale, height*round*scale/2
	blob(s.picture, px+w*0.7, foot, w*1.3, max(1, h*0.045), s.haze(colour{58, 70, 40}, x), 0.6)
	trunk := s.haze(colour{72, 60, 48}, x)
	for y := foot - h*0.4; y < foot; y++ {
		blob(s.picture, px, y, max(0.6, h*0.02), 1, trunk, 0.9)
	}
	leaf := colour{70 + 20*hash(1, 1, key), 96 + 18*hash(2, 1, key), 46}
	// Leaves come in a few lumps, darker below and inside, lighter on top.
	n := int(min(2600, 80+h*h/14))
	for k := range n {
		lump := int32(k % 9)
		cx := 0.62 * (2*hash(lump, 20, key) - 1)
		cy := 0.62*(2*hash(lump, 21, key)-1) + 0.12
		a, b := hash(int32(k), 7, key)*2*math.Pi, math.Sqrt(hash(int32(k), 8, key))
		reach := 0.46 + 0.14*hash(lump, 22, key)
		dx, dy := cx+math.Cos(a)*b*reach, cy+math.Sin(a)*b*reach
		rest := float64(k) / float64(n)
		light := clamp(0.36 - 0.16*dx - 0.26*dy - 0.34*math.Sin(a)*b - 0.22*math.Cos(a)*b + 0.42*(hash(int32(k), 9, key)-0.5) + 0.25*(rest-0.5))
		c := leaf.scale(0.42).mix(leaf.scale(1.40).add(colour{20, 16, 0}), light)
		size := max(0.7, w*(0.045+0.05*hash(int32(k), 10, key))*(1.25-0.5*rest))
		blob(s.picture, px+dx*w, foot-h*0.60+dy*h*0.40, size, max(0.7, size*0.8), s.haze(c, x), 0.9)
	}
}

func (s *scene) cypress(x, r, height float64, key uint32) {
	px, foot, depth := s.lens.project(point{x, r, 0})
	if depth <= 0 {
		return
	}
	scale := s.lens.focal / depth
	h, w := height*scale, height*0.085*scale
	blob(s.picture, px+w, foot, w*2.4, max(1, h*0.02), s.haze(colour{58, 70, 40}, x), 0.6)
	for k := range 150 {
		up := float64(k) / 150
		half := w * math.Pow(math.Sin(math.Pi*min(1, 0.12+up*0.88)), 0.7)
		dx := 2*hash(int32(k), 5, key) - 1
		c := colour{34, 52, 34}.mix(colour{84, 108, 58}, clamp(0.42-0.5*dx+0.4*(hash(int32(k), 6, key)-0.5)))
		blob(s.picture, px+dx*half*0.7, foot-up*h*0.97, max(0.7, half*0.5), max(0.9, h*0.035), s.haze(c, x), 0.9)
	}
}

// farm paints a farmhouse with a tiled roof.
func (s *scene) farm(x, r float64) {
	px, foot, depth := s.lens.project(point{x, r, 0})
	u := s.lens.focal / depth
	box := func(x0, x1, z0, z1 float64, c colour) {
		fill(s.picture, []float64{px + x0*u, px + x1*u, px + x1*u, px + x0*u},
			[]float64{foot - z0*u, foot - z0*u, foot - z1*u, foot - z1*u}, s.haze(c, x))
	}
	roof := func(x0, x1, z0, z1, inset float64, c colour) {
		fill(s.picture, []float64{px + (x0-0.5)*u, px + (x1+0.5)*u, px + (x1-inset)*u, px + (x0+inset)*u},
			[]float64{foot - z0*u, foot - z0*u, foot - z1*u, foot - z1*u}, s.haze(c, x))
	}
	box(-7, 5, 0, 6, colour{222, 202, 164})
	box(3.2, 5, 0, 6, colour{178, 158, 126})
	roof(-7, 5, 6, 8.2, 2.2, colour{176, 102, 72})
	roof(-7, 5, 6, 6.25, 0, colour{128, 74, 54})
	box(5, 11, 0, 3.6, colour{208, 186, 148})
	roof(5, 11, 3.6, 5, 1, colour{168, 98, 70})
	for _, wx := range []float64{-5.6, -3, -0.4, 1.8} {
		box(wx, wx+0.9, 3.7, 5.1, colour{86, 92, 84})
		box(wx, wx+0.9, 0.9, 2.3, colour{86, 92, 84})
	}
	box(-1.8, -0.8, 0, 2.3, colour{96, 70, 50})
	box(-2.2, -1.6, 8, 9, colour{150, 96, 76})
	box(6.4, 8.6, 0, 2.6, colour{88, 76, 62})
}

// rail paints the guard rail beyond the road: a beam of two waves on posts.
func (s *scene) rail() {
	side := s.road.right + 1.15
	for x := 180.0; x > 8; x -= 3.8 {
		s.upright(x, side+0.1, 0, 0.72, 0.10, colour{118, 122, 124}, colour{92, 96, 98})
	}
	for px := range Width {
		for py := range Height {
			ray := s.lens.ray(float64(px)+0.5, float64(py)+0.5)
			if ray.r <= 0.01 {
				continue
			}
			far := side / ray.r
			x, z := ray.x*far, s.lens.at.z+ray.z*far
			if x > 176 || z < 0.2 || z > 1 {
				continue
			}
			pixel := far / s.lens.focal
			cover := clamp((0.155-math.Abs(z-0.60))/pixel + 0.5)
			if cover <= 0 {
				continue
			}
			wave := math.Cos((z - 0.60) / 0.155 * 2 * math.Pi)
			tone := 160 + 34*wave*clamp(0.05/pixel) + 10*(cloudy(x*0.4, z*3, 3, 210)-0.5)
			seam := math.Abs(math.Mod(x, 3.8) - 1.9)
			tone -= 30 * clamp(1-seam/0.02) * clamp(0.05/pixel)
			c := s.haze(colour{tone, tone * 1.01, tone * 1.02}, far)
			set(s.picture, px, py, get(s.picture, px, py).mix(c, cover))
		}
	}
}

// upright paints a post, lit on its left.
func (s *scene) upright(x, r, low, high, width float64, lit, dark colour) {
	px, y0, depth := s.lens.project(point{x, r, low})
	_, y1, _ := s.lens.project(point{x, r, high})
	if depth <= 0 {
		return
	}
	half := width * s.lens.focal / depth / 2
	fill(s.picture, []float64{px - half, px, px, px - half}, []float64{y0, y0, y1, y1}, s.haze(lit, x))
	fill(s.picture, []float64{px, px + half, px + half, px}, []float64{y0, y0, y1, y1}, s.haze(dark, x))
}

// delineator paints a white post with a black band and a reflector.
func (s *scene) delineator(x, r float64) {
	px, foot, depth := s.lens.project(point{x, r, 0})
	if depth <= 0 {
		return
	}
	scale := s.lens.focal / depth
	blob(s.picture, px+0.2*scale, foot, 0.3*scale, max(0.6, 0.025*scale), colour{52, 64, 34}, 0.55)
	s.upright(x, r, 0, 0.95, 0.12, colour{232, 232, 228}, colour{190, 192, 194})
	s.upright(x, r, 0.62, 0.86, 0.12, colour{42, 42, 44}, colour{30, 30, 32})
	s.upright(x, r, 0.66, 0.82, 0.05, colour{226, 120, 40}, colour{206, 100, 36})
}
