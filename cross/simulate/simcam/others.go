package simcam

import (
	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// What is long and what has two wheels is simpler than cars: seldom seen, and
// never read for more than its kind and its plate.

var trailerShape = shape{
	top:      curve{{2.6, 3.96}, {2.65, 4.0}, {16.45, 4.0}, {16.5, 3.96}},
	sill:     curve{{2.6, 1.12}, {16.5, 1.12}},
	half:     curve{{2.6, 1.25}, {2.65, 1.275}, {16.45, 1.275}, {16.5, 1.25}},
	belt:     3.9,
	stations: []float64{2.6, 2.65, 5, 8, 11, 14, 16.45, 16.5},
}

var busShape = shape{
	top:      curve{{0, 2.9}, {0.08, 3.08}, {0.3, 3.18}, {11.8, 3.2}, {12, 3.1}},
	sill:     curve{{0, 0.36}, {12, 0.36}},
	half:     curve{{0, 1.14}, {0.1, 1.22}, {0.3, 1.275}, {11.9, 1.275}, {12, 1.22}},
	belt:     1.4,
	tumble:   0.03,
	stations: []float64{0, 0.04, 0.1, 0.2, 0.3, 1, 3, 6, 9, 11, 11.8, 11.9, 12},
}

// buildLorry joins the truck's cab and a long trailer.
func buildLorry(m *mesh, l *livery, k *skins) {
	cab := *k
	cab.length, cab.height = 9.5, 3.4 // what the cab's skins were painted for
	m.box(point{0.4, -0.9, 0.5}, point{6, 0.9, 1.0}, l.dark, k)
	m.box(point{10, -1.1, 0.6}, point{16.2, 1.1, 1.12}, l.dark, k)
	m.loft(&cabShape, &cab)
	load := *k
	load.front, load.side, load.top, load.rear = l.load, l.loadSide, l.load, l.load
	m.loft(&trailerShape, &load)
	m.quad([4]point{{16.51, -1.2, 0.5}, {16.51, 1.2, 0.5}, {16.51, 1.2, 1.1}, {16.51, -1.2, 1.1}}, point{1, 0, 0}, l.dark, k)
}

// buildRider builds a motorcycle or a bicycle with who rides it.
func buildRider(m *mesh, l *livery, k *skins, class simulate.Class) {
	length, _, height := class.Size()
	axles := class.Axles()
	thin, bar := 0.05, 0.3
	if class == simulate.Motorcycle {
		thin, bar = 0.16, 0.38
		m.box(point{0.1, -thin, 0.75}, point{0.4, thin, 1.2}, k.top, k) // fairing and lamp
	}
	m.box(point{axles[0], -thin, 0.45}, point{length - 0.15, thin, 0.85}, k.top, k)
	m.box(point{axles[0] + 0.15, -bar, 0.98}, point{axles[0] + 0.22, bar, 1.03}, l.dark, k)
	// The rider sits a little behind the middle.
	seat := 0.58 * length
	m.box(point{seat - 0.28, -0.22, 0.85}, point{seat + 0.12, 0.22, height - 0.3}, l.dark, k)
	m.box(point{seat - 0.34, -0.12, height - 0.29}, point{seat - 0.08, 0.12, height}, k.top, k)
	m.box(point{seat - 0.45, -0.26, 0.35}, point{seat - 0.2, -0.12, 0.9}, l.dark, k)
	m.box(point{seat - 0.45, 0.12, 0.35}, point{seat - 0.2, 0.26, 0.9}, l.dark, k)
}

// plateOf returns where the number plate is mounted: the place along the
// vehicle, its height and its scale; ok is false where there is none.
func plateOf(p simulate.Position) (x, z, scale float64, ok bool) {
	length, _, _ := p.Class.Size()
	away := p.Direction == sensor.Receding
	x, z, scale = -0.012, 0.44, 1
	if away {
		x, z = length+0.016, 0.66
	}
	switch {
	case p.Class == simulate.Truck, p.Class == simulate.Lorry, p.Class == simulate.Bus:
		z = 0.62
	case p.Class == simulate.Van && away:
		z = 0.74
	case p.Class == simulate.Van:
		z = 0.56
	case p.Class == simulate.Motorcycle:
		return length - 0.1, 0.6, 0.5, away // in front a motorcycle has none
	case p.Class == simulate.Bicycle:
		return 0, 0, 0, false
	}
	return x, z, scale, true
}

func busFront(c colour) *skin {
	k := newCanvas(2.55, 3.2, pixelsPerMetre/2, c, enamel)
	k.round(window, glass, 0.12, 1.05, 2.43, 2.6, 0.12)
	k.rect(colour{30, 30, 34}, 30, 0.3, 2.68, 2.25, 2.98)
	both(1.275, func(at func(float64) float64) {
		k.disc(colour{236, 238, 232}, lit, at(0.95), 0.68, 0.13)
	})
	return k.skin()
}

func busRear(c colour) *skin {
	k := newCanvas(2.55, 3.2, pixelsPerMetre/2, c, enamel)
	k.round(window, glass, 0.3, 1.7, 2.25, 2.7, 0.1)
	both(1.275, func(at func(float64) float64) {
		k.round(colour{176, 28, 30}, 40, min(at(1.0), at(1.15)), 0.7, max(at(1.0), at(1.15)), 1.15, 0.04)
	})
	return k.skin()
}

func busSide(c colour) *skin {
	k := newCanvas(12, 3.2, pixelsPerMetre/4, c, enamel)
	for x := 0.5; x < 11.4; x += 1.4 {
		k.round(window, side, x, 1.4, x+1.28, 2.65, 0.08)
	}
	for _, x := range simulate.Bus.Axles() {
		k.disc(black, dull, x, 0.5, 0.6)
	}
	return k.skin()
}

// trailerSide is the canvas of a semi-trailer.
func trailerSide(c colour) *skin {
	k := newCanvas(16.5, 4, pixelsPerMetre/4, c, 20)
	for x := 2.8; x < 16.4; x += 0.7 {
		k.line(c.scale(0.86), dull, 0.03, x, 1.2, x, 3.9)
	}
	k.rect(colour{150, 60, 40}, 30, 2.7, 1.8, 16.5, 2.2)
	return k.skin()
}
