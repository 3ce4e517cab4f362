package simcam

import (
	"image"
	"math"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// pixelsPerMetre is the detail of a skin.
const pixelsPerMetre = 220

// How much of the sky a surface mirrors; lit marks a lamp that is on.
const (
	dull   = 12
	lit    = 1
	enamel = 90
	side   = 60 // windows seen at a low angle
	glass  = 190
)

// A livery is one class of vehicle in one colour, seen from the end that its
// direction shows.
type livery struct {
	skins
	tyre, disc, dark *skin
	load, loadSide   *skin // of a truck
}

// A vehicle is the surface of one vehicle with its own number plate.
type vehicle struct {
	mesh mesh
	used uint64
}

// A garage keeps what was built for a vehicle while it is in sight.
type garage struct {
	models   map[model]*mesh
	vehicles map[int]*vehicle
	clock    uint64
}

type model struct {
	class    simulate.Class
	paint    int
	approach bool
}

func newGarage() *garage {
	return &garage{models: map[model]*mesh{}, vehicles: map[int]*vehicle{}}
}

// paints are the colours of the road, in about their shares.
var paints = []colour{
	{196, 198, 200}, {228, 228, 226}, {86, 90, 96}, {40, 42, 46}, {52, 84, 140}, {162, 32, 36},
	{228, 228, 226}, {134, 140, 146}, {46, 70, 62}, {176, 158, 128}, {30, 48, 84}, {112, 28, 34},
}

// vehicle returns the surface of a vehicle; the same each time.
func (g *garage) vehicle(p simulate.Position) *vehicle {
	g.clock++
	v := g.vehicles[p.Index]
	if v == nil {
		for i, old := range g.vehicles {
			if old.used+2*maxInView < g.clock {
				delete(g.vehicles, i)
			}
		}
		key := uint32(p.Index)*2654435761 ^ uint32(p.Passing/time.Millisecond)
		md := model{p.Class, int(hash(1, 1, key) * float64(len(paints))), p.Direction == sensor.Approaching}
		switch {
		case p.Class == simulate.Van && md.paint > 4:
			md.paint = 1 // most vans are white
		case p.Class == simulate.Truck, p.Class == simulate.Lorry:
			md.paint = [...]int{1, 4, 5, 8}[md.paint%4]
		}
		base := g.models[md]
		if base == nil {
			base = build(p.Class, paintLivery(md))
			g.models[md] = base
		}
		v = &vehicle{mesh: mesh{append([]vertex(nil), base.vertices...), append([]face(nil), base.faces...)}}
		v.addPlate(p, Plate(p))
		g.vehicles[p.Index] = v
	}
	v.used = g.clock
	return v
}

// addPlate mounts the number plate at the end that the camera sees.
func (v *vehicle) addPlate(p simulate.Position, text string) {
	x, z, scale, ok := plateOf(p)
	if !ok {
		return
	}
	normal := point{-1, 0, 0}
	if p.Direction == sensor.Receding {
		normal.x = 1
	}
	w, h := 0.26*scale, 0.055*scale
	s := newSkin(paintPlate(text), plateScale)
	k := &skins{}
	side := -normal.x // the plate is read from where it looks
	corners := [4]point{{x, -w * side, z + h}, {x, w * side, z + h}, {x, w * side, z - h}, {x, -w * side, z - h}}
	from := len(v.mesh.vertices)
	v.mesh.quad(corners, normal, s, k)
	for i, uv := range [4][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}} {
		v.mesh.vertices[from+i].u, v.mesh.vertices[from+i].v = uv[0], uv[1]
	}
}

// A canvas paints a skin in metres: x to the right from the left edge, z up
// from the road.
type canvas struct {
	m      *image.RGBA
	scale  float64
	height float64
}

func newCanvas(width, height, scale float64, c colour, gloss byte) *canvas {
	m := image.NewRGBA(image.Rect(0, 0, int(math.Ceil(width*scale)), int(math.Ceil(height*scale))))
	k := &canvas{m, scale, height}
	for i := 0; i < len(m.Pix); i += 4 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = byteOf(c.r), byteOf(c.g), byteOf(c.b), gloss
	}
	return k
}

func (k *canvas) skin() *skin { return newSkin(k.m, k.scale) }

// poly fills a polygon given as x, z, x, z, …
func (k *canvas) poly(c colour, gloss byte, at ...float64) {
	var xs, ys []float64
	for i := 0; i+1 < len(at); i += 2 {
		xs, ys = append(xs, at[i]*k.scale), append(ys, (k.height-at[i+1])*k.scale)
	}
	fillGloss(k.m, xs, ys, c, gloss)
}

func (k *canvas) rect(c colour, gloss byte, x0, z0, x1, z1 float64) {
	k.poly(c, gloss, x0, z0, x1, z0, x1, z1, x0, z1)
}

// round is a rectangle with rounded corners.
func (k *canvas) round(c colour, gloss byte, x0, z0, x1, z1, radius float64) {
	var at []float64
	for q, corner := range [4][2]float64{{x1 - radius, z1 - radius}, {x0 + radius, z1 - radius}, {x0 + radius, z0 + radius}, {x1 - radius, z0 + radius}} {
		for i := range 6 {
			s, co := math.Sincos((float64(q) + float64(i)/5) * math.Pi / 2)
			at = append(at, corner[0]+radius*co, corner[1]+radius*s)
		}
	}
	k.poly(c, gloss, at...)
}

func (k *canvas) disc(c colour, gloss byte, x, z, radius float64) {
	k.round(c, gloss, x-radius, z-radius, x+radius, z+radius, radius)
}

func (k *canvas) line(c colour, gloss byte, width float64, at ...float64) {
	for i := 0; i+3 < len(at); i += 2 {
		x0, z0, x1, z1 := at[i], at[i+1], at[i+2], at[i+3]
		l := math.Hypot(x1-x0, z1-z0)
		if l == 0 {
			continue
		}
		dx, dz := -(z1-z0)/l*width/2, (x1-x0)/l*width/2
		k.poly(c, gloss, x0+dx, z0+dz, x1+dx, z1+dz, x1-dx, z1-dz, x0-dx, z0-dz)
		k.disc(c, gloss, x0, z0, width/2)
		k.disc(c, gloss, x1, z1, width/2)
	}
}

// both paints something on both sides of the middle: f gets a function that
// gives the place of a distance from the middle.
func both(middle float64, f func(at func(float64) float64)) {
	f(func(d float64) float64 { return middle + d })
	f(func(d float64) float64 { return middle - d })
}

func plain(c colour, gloss byte) *skin { return newCanvas(0.3, 0.3, pixelsPerMetre, c, gloss).skin() }

func paintLivery(md model) *livery {
	length, width, height := md.class.Size()
	c := paints[md.paint]
	l := &livery{
		skins: skins{length: length, width: width, height: height, top: plain(c, enamel)},
		tyre:  plain(colour{38, 38, 40}, dull),
		dark:  plain(colour{34, 35, 38}, 30),
	}
	l.disc = paintWheel()
	switch md.class {
	case simulate.Van:
		l.front, l.rear, l.side = vanFront(c), vanRear(c), vanSide(c)
	case simulate.Truck:
		canvas := colour{214, 216, 216}
		l.load, l.loadSide = plain(canvas, 20), truckLoad(canvas)
		l.front, l.rear, l.side = truckFront(c), truckRear(canvas), truckSide(c)
	case simulate.Lorry:
		canvas := colour{206, 210, 212}
		l.load, l.loadSide = plain(canvas, 20), trailerSide(canvas)
		l.front, l.rear, l.side = truckFront(c), plain(canvas, 20), truckSide(c)
	case simulate.Bus:
		l.front, l.rear, l.side = busFront(c), busRear(c), busSide(c)
	case simulate.Motorcycle, simulate.Bicycle:
		l.front, l.rear, l.side = plain(c, enamel), plain(c, enamel), plain(c, enamel)
	default:
		l.front, l.rear, l.side = carFront(c), carRear(c), carSide(c)
	}
	return l
}

func paintWheel() *skin {
	k := newCanvas(0.64, 0.64, pixelsPerMetre, colour{34, 34, 36}, dull)
	k.disc(colour{30, 30, 32}, dull, 0.32, 0.32, 0.32)
	k.disc(colour{168, 172, 178}, 60, 0.32, 0.32, 0.225)
	k.disc(colour{58, 60, 64}, 20, 0.32, 0.32, 0.20)
	for i := range 7 {
		s, c := math.Sincos(2 * math.Pi * float64(i) / 7)
		k.line(colour{176, 180, 186}, 60, 0.045, 0.32, 0.32, 0.32+0.2*c, 0.32+0.2*s)
	}
	k.disc(colour{150, 154, 160}, 60, 0.32, 0.32, 0.06)
	return k.skin()
}
