package simcam

import (
	"math"

	"ciglio/cross/simulate"
)

// A shape is the body of a vehicle as curves over the distance from its front:
// how high its top and its sill are, and how far it reaches to each side.
type shape struct {
	top, sill, half curve
	belt            float64 // m: windows are above
	tumble          float64 // m inwards for each metre above the belt
	stations        []float64
}

// A curve is a list of places and values, smooth between them.
type curve [][2]float64

// at returns the value at x by monotone cubic interpolation.
func (c curve) at(x float64) float64 {
	last := len(c) - 1
	if x <= c[0][0] {
		return c[0][1]
	}
	if x >= c[last][0] {
		return c[last][1]
	}
	i := 0
	for x > c[i+1][0] {
		i++
	}
	slope := func(k int) float64 { return (c[k+1][1] - c[k][1]) / (c[k+1][0] - c[k][0]) }
	tangent := func(k int) float64 {
		if k == 0 {
			return slope(0)
		}
		if k == last {
			return slope(last - 1)
		}
		a, b := slope(k-1), slope(k)
		if a*b <= 0 {
			return 0
		}
		return 2 * a * b / (a + b)
	}
	w := c[i+1][0] - c[i][0]
	f := (x - c[i][0]) / w
	f2, f3 := f*f, f*f*f
	return (2*f3-3*f2+1)*c[i][1] + (f3-2*f2+f)*w*tangent(i) + (3*f2-2*f3)*c[i+1][1] + (f3-f2)*w*tangent(i+1)
}

var carShape = shape{
	top: curve{{0, 0.60}, {0.03, 0.67}, {0.10, 0.745}, {0.25, 0.80}, {0.6, 0.875}, {1.0, 0.935}, {1.22, 0.965}, {1.30, 0.99},
		{1.60, 1.185}, {1.95, 1.385}, {2.15, 1.445}, {2.6, 1.48}, {3.1, 1.47}, {3.5, 1.42}, {3.7, 1.365}, {3.95, 1.17}, {4.10, 1.03}, {4.2, 0.95}, {4.26, 0.86}, {4.30, 0.74}},
	sill: curve{{0, 0.34}, {0.04, 0.25}, {0.15, 0.20}, {0.5, 0.18}, {3.8, 0.19}, {4.15, 0.23}, {4.27, 0.29}, {4.30, 0.36}},
	half: curve{{0, 0.64}, {0.03, 0.73}, {0.08, 0.80}, {0.16, 0.845}, {0.32, 0.88}, {0.7, 0.895}, {1.4, 0.90}, {3.4, 0.90}, {3.9, 0.885},
		{4.12, 0.86}, {4.22, 0.83}, {4.28, 0.77}, {4.30, 0.69}},
	belt:   0.95,
	tumble: 0.36,
	stations: []float64{0, 0.015, 0.03, 0.055, 0.08, 0.12, 0.16, 0.23, 0.32, 0.45, 0.6, 0.8, 1.0, 1.15, 1.22, 1.28, 1.34, 1.45, 1.6, 1.78, 1.95, 2.05, 2.15, 2.35,
		2.6, 2.85, 3.1, 3.3, 3.5, 3.6, 3.7, 3.8, 3.95, 4.05, 4.1, 4.16, 4.2, 4.24, 4.27, 4.285, 4.30},
}

var vanShape = shape{
	top: curve{{0, 0.84}, {0.04, 0.96}, {0.15, 1.06}, {0.45, 1.16}, {0.85, 1.27}, {0.92, 1.32}, {1.25, 1.78}, {1.55, 2.14}, {1.75, 2.28}, {2.1, 2.36},
		{3, 2.40}, {5.3, 2.40}, {5.5, 2.37}, {5.57, 2.30}, {5.60, 2.16}},
	sill:   curve{{0, 0.42}, {0.05, 0.32}, {0.2, 0.26}, {0.6, 0.24}, {5.3, 0.26}, {5.6, 0.36}},
	half:   curve{{0, 0.66}, {0.04, 0.78}, {0.12, 0.88}, {0.3, 0.95}, {0.7, 0.985}, {1.2, 1.0}, {5.3, 1.0}, {5.52, 0.98}, {5.58, 0.93}, {5.60, 0.86}},
	belt:   1.28,
	tumble: 0.14,
	stations: []float64{0, 0.02, 0.04, 0.08, 0.12, 0.2, 0.3, 0.45, 0.65, 0.85, 0.92, 1.05, 1.25, 1.4, 1.55, 1.65, 1.75, 1.9, 2.1, 2.5, 3, 4, 5, 5.3, 5.42, 5.5, 5.54, 5.57, 5.585,
		5.60},
}

var cabShape = shape{
	top:      curve{{0, 2.30}, {0.05, 2.58}, {0.18, 2.80}, {0.4, 2.92}, {1.9, 2.96}, {2.0, 2.93}},
	sill:     curve{{0, 0.50}, {0.06, 0.42}, {2.0, 0.42}},
	half:     curve{{0, 1.02}, {0.04, 1.12}, {0.12, 1.19}, {0.3, 1.23}, {2.0, 1.24}},
	belt:     1.62,
	tumble:   0.06,
	stations: []float64{0, 0.02, 0.05, 0.09, 0.14, 0.2, 0.3, 0.4, 0.8, 1.4, 1.9, 2.0},
}

var loadShape = shape{
	top:      curve{{2.15, 3.36}, {2.2, 3.40}, {9.45, 3.40}, {9.5, 3.36}},
	sill:     curve{{2.15, 1.02}, {9.5, 1.02}},
	half:     curve{{2.15, 1.23}, {2.2, 1.25}, {9.45, 1.25}, {9.5, 1.23}},
	belt:     3.3,
	stations: []float64{2.15, 2.2, 4, 6, 8, 9.45, 9.5},
}

// section returns one half of the body cut at x, from the middle of the top
// down to the middle below, as distances to the side and heights.
func (s *shape) section(x float64) [][2]float64 {
	top, sill, half := s.top.at(x), s.sill.at(x), s.half.at(x)
	belt := min(s.belt, top-0.03)
	above := top - belt
	roof := half - 0.09 - s.tumble*above
	low := func(f float64) float64 { return sill + (belt-sill)*f }
	edge := min(0.05, above*0.5)
	return [][2]float64{
		{0, top},
		{0.40 * roof, top - 0.004},
		{0.72 * roof, top - 0.012},
		{0.90 * roof, top - 0.4*edge},
		{roof, top - edge},
		{lerp(roof, half-0.035, 0.5), lerp(top-edge, belt, 0.5)},
		{half - 0.035, belt},
		{half - 0.012, low(0.90)},
		{half, low(0.72)},
		{half - 0.008, low(0.50)},
		{half - 0.012, low(0.36)},
		{half - 0.03, low(0.16)},
		{half - 0.055, low(0.03)},
		{half - 0.10, sill},
		{0, sill},
	}
}

// skins are the surfaces of a body: which of them a face has depends on where it
// looks.
type skins struct {
	front, rear, side, top *skin
	length, width, height  float64
}

// choose returns the skin of a face with the given normal.
func (k *skins) choose(normal point) *skin {
	switch {
	case normal.x < -0.34:
		return k.front
	case normal.x > 0.34:
		return k.rear
	case math.Abs(normal.r) > 0.55:
		return k.side
	}
	return k.top
}

// place returns where a point lies on a skin.
func (k *skins) place(at point, s *skin) (u, v float64) {
	v = 1 - at.z/k.height
	switch s {
	case k.front:
		return at.r/k.width + 0.5, v
	case k.rear:
		return 0.5 - at.r/k.width, v
	case k.side:
		return at.x / k.length, v
	}
	return 0.5, 0.5
}

// loft adds the surface of a shape to a mesh, closed at both ends.
func (m *mesh) loft(s *shape, k *skins) {
	var rings [][]point
	for _, x := range s.stations {
		half := s.section(x)
		var ring []point
		for i := len(half) - 1; i >= 0; i-- {
			ring = append(ring, point{x, -half[i][0], half[i][1]})
		}
		for _, p := range half[1:] {
			ring = append(ring, point{x, p[0], p[1]})
		}
		rings = append(rings, ring)
	}
	normals := make([][]point, len(rings))
	for i := range rings {
		normals[i] = make([]point, len(rings[i]))
	}
	type corner struct{ ring, index int }
	each := func(visit func(a, b, c corner, normal point)) {
		for i := 0; i+1 < len(rings); i++ {
			for j := 0; j+1 < len(rings[i]); j++ {
				a, b, c, d := corner{i, j}, corner{i, j + 1}, corner{i + 1, j + 1}, corner{i + 1, j}
				for _, t := range [2][3]corner{{a, b, c}, {a, c, d}} {
					p, q, r := rings[t[0].ring][t[0].index], rings[t[1].ring][t[1].index], rings[t[2].ring][t[2].index]
					visit(t[0], t[1], t[2], q.sub(p).cross(r.sub(p)))
				}
			}
		}
	}
	outward := 1.0
	each(func(a, b, c corner, n point) {
		// The first face that looks up tells which way the order turns.
		for _, k := range [3]corner{a, b, c} {
			normals[k.ring][k.index] = normals[k.ring][k.index].add(n)
		}
	})
	if normals[len(rings)/2][len(rings[0])/2].z < 0 {
		outward = -1
	}
	type key struct {
		corner
		skin *skin
	}
	known := map[key]int32{}
	vertexOf := func(c corner, s *skin) int32 {
		if i, ok := known[key{c, s}]; ok {
			return i
		}
		at := rings[c.ring][c.index]
		i := m.vertex(at, normals[c.ring][c.index].scale(outward).unit(), s, k)
		known[key{c, s}] = i
		return i
	}
	each(func(a, b, c corner, n point) {
		n = n.scale(outward).unit()
		s := k.choose(n)
		if outward < 0 {
			b, c = c, b
		}
		m.faces = append(m.faces, face{vertexOf(a, s), vertexOf(b, s), vertexOf(c, s), s})
	})
	m.cap(rings[0], point{-1, 0, 0}, k.front, k)
	m.cap(rings[len(rings)-1], point{1, 0, 0}, k.rear, k)
}

// cap closes the end of a loft: a ring is the same on both sides.
func (m *mesh) cap(ring []point, normal point, s *skin, k *skins) {
	n := len(ring)
	for j := 0; j+1 <= n/2; j++ {
		m.quad([4]point{ring[j], ring[j+1], ring[n-2-j], ring[n-1-j]}, normal, s, k)
	}
}

func (m *mesh) vertex(at, normal point, s *skin, k *skins) int32 {
	u, v := k.place(at, s)
	m.vertices = append(m.vertices, vertex{at, normal, u, v})
	return int32(len(m.vertices) - 1)
}

// quad adds a flat surface that looks along its normal.
func (m *mesh) quad(p [4]point, normal point, s *skin, k *skins) {
	var i [4]int32
	for n, at := range p {
		i[n] = m.vertex(at, normal, s, k)
	}
	m.orient(i[0], i[1], i[2], normal, s)
	m.orient(i[0], i[2], i[3], normal, s)
}

// orient adds a face so that it is seen from where its normal points.
func (m *mesh) orient(a, b, c int32, normal point, s *skin) {
	p, q, r := m.vertices[a].at, m.vertices[b].at, m.vertices[c].at
	if q.sub(p).cross(r.sub(p)).dot(normal) < 0 {
		b, c = c, b
	}
	m.faces = append(m.faces, face{a, b, c, s})
}

// box adds a box with rounded shading.
func (m *mesh) box(low, high point, s *skin, k *skins) {
	middle := low.mix(high, 0.5)
	at := func(i int) point {
		p := low
		if i&1 != 0 {
			p.x = high.x
		}
		if i&2 != 0 {
			p.r = high.r
		}
		if i&4 != 0 {
			p.z = high.z
		}
		return p
	}
	for _, side := range [6]struct {
		corners [4]int
		normal  point
	}{
		{[4]int{0, 2, 6, 4}, point{-1, 0, 0}}, {[4]int{1, 3, 7, 5}, point{1, 0, 0}},
		{[4]int{0, 1, 5, 4}, point{0, -1, 0}}, {[4]int{2, 3, 7, 6}, point{0, 1, 0}},
		{[4]int{4, 5, 7, 6}, point{0, 0, 1}}, {[4]int{0, 1, 3, 2}, point{0, 0, -1}},
	} {
		from := len(m.vertices)
		var p [4]point
		for n, c := range side.corners {
			p[n] = at(c)
		}
		m.quad(p, side.normal, s, k)
		for i := from; i < len(m.vertices); i++ {
			v := &m.vertices[i]
			v.normal = side.normal.mix(v.at.sub(middle).unit(), 0.5).unit()
		}
	}
}

// wheel adds a wheel with its outer side at r.
func (m *mesh) wheel(x, r, radius float64, tyre, disc *skin, k *skins) {
	const segments = 20
	out := 1.0
	if r < 0 {
		out = -1
	}
	inner := r - out*0.22
	middle := m.vertex(point{x, r, radius}, point{0, out, 0}, disc, k)
	m.vertices[middle].u, m.vertices[middle].v = 0.5, 0.5
	rim := func(i int) (point, point) {
		s, c := math.Sincos(2 * math.Pi * float64(i) / segments)
		return point{x + radius*c, r, radius + radius*s}, point{c, 0, s}
	}
	for i := range segments {
		p, np := rim(i)
		q, nq := rim(i + 1)
		a, b := m.vertex(p, point{0, out, 0}, disc, k), m.vertex(q, point{0, out, 0}, disc, k)
		m.vertices[a].u, m.vertices[a].v = 0.5+np.x/2, 0.5-np.z/2
		m.vertices[b].u, m.vertices[b].v = 0.5+nq.x/2, 0.5-nq.z/2
		m.orient(middle, a, b, point{0, out, 0}, disc)
		m.quad([4]point{p, q, {q.x, inner, q.z}, {p.x, inner, p.z}}, np.add(nq).unit(), tyre, k)
	}
}

// build returns the surface of a class of vehicle in its skins.
func build(class simulate.Class, l *livery) *mesh {
	m := &mesh{}
	k := &l.skins
	wheels := func(radius, r float64, places ...float64) {
		for _, x := range places {
			m.wheel(x, r, radius, l.tyre, l.disc, k)
			m.wheel(x, -r, radius, l.tyre, l.disc, k)
		}
	}
	mirrors := func(x, r, z, width, height float64, s *skin) {
		for _, side := range [2]float64{-1, 1} {
			a, b := side*r, side*(r+width)
			m.box(point{x, min(a, b), z}, point{x + 0.12, max(a, b), z + height}, s, k)
		}
	}
	switch class {
	case simulate.Van:
		m.loft(&vanShape, k)
		wheels(0.35, 1.0, 0.95, 4.45)
		mirrors(1.25, 1.0, 1.34, 0.20, 0.30, l.dark)
	case simulate.Truck:
		m.box(point{0.4, -0.9, 0.5}, point{9.3, 0.9, 1.0}, l.dark, k)
		m.loft(&cabShape, k)
		load := *k
		load.front, load.side, load.top = l.load, l.loadSide, l.load
		m.loft(&loadShape, &load)
		m.quad([4]point{{9.51, -1.2, 0.46}, {9.51, 1.2, 0.46}, {9.51, 1.2, 1.0}, {9.51, -1.2, 1.0}}, point{1, 0, 0}, k.rear, k)
		wheels(0.50, 1.24, 1.25, 7.3)
		mirrors(0.12, 1.28, 1.75, 0.22, 0.62, l.dark)
	case simulate.Lorry:
		buildLorry(m, l, k)
		wheels(0.50, 1.25, class.Axles()...)
		mirrors(0.12, 1.28, 1.75, 0.22, 0.62, l.dark)
	case simulate.Bus:
		m.loft(&busShape, k)
		wheels(0.48, 1.26, class.Axles()...)
		mirrors(0.05, 1.27, 2.0, 0.22, 0.5, l.dark)
	case simulate.Motorcycle, simulate.Bicycle:
		buildRider(m, l, k, class)
		for _, x := range class.Axles() {
			m.wheel(x, 0.06, 0.32, l.tyre, l.disc, k)
			m.wheel(x, -0.06, 0.32, l.tyre, l.disc, k)
		}
	default:
		m.loft(&carShape, k)
		wheels(0.32, 0.888, 0.86, 3.46)
		mirrors(1.42, 0.86, 0.97, 0.19, 0.13, k.top)
	}
	return m
}
