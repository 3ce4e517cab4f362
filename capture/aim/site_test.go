package aim

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
)

// The place of the tests, and noon there on a day of spring.
const north, east = 44.4949, 11.3426

var noon = time.Date(2026, 4, 10, 11, 15, 0, 0, time.UTC)

// A luma is the brightness of a picture in half of its size, which is enough for what is
// reduced to an eighth.
type luma struct {
	w, h int
	pix  []uint8
}

func halved(data []byte) *luma {
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		panic(err)
	}
	y := m.(*image.YCbCr)
	l := &luma{w: m.Bounds().Dx() / 2, h: m.Bounds().Dy() / 2}
	l.pix = make([]uint8, l.w*l.h)
	for i := range l.pix {
		at := i/l.w*2*y.YStride + i%l.w*2
		l.pix[i] = uint8((int(y.Y[at]) + int(y.Y[at+1]) + int(y.Y[at+y.YStride]) + int(y.Y[at+y.YStride+1]) + 2) / 4)
	}
	return l
}

// A jumping clock reads what the test says.
type jumping struct {
	sensor.Clock
	now sensor.Mono
}

func (c *jumping) Now() sensor.Mono { return c.now }

// filmed returns pictures of the simulated road with its traffic, one in 7 s, by a
// camera that is turned by so many degrees.
func filmed(count int, right, down float64) (all [][]byte) {
	const every = 7 * time.Second
	road, err := simulate.NewRoad(simulate.Traffic(5, 70*sensor.KmH, time.Duration(count+1)*every))
	if err != nil {
		panic(err)
	}
	clock := &jumping{}
	camera := simcam.NewTurned(road, clock, 0, right, down)
	for range count {
		clock.now = clock.now.Add(every)
		f, err := camera.Next(context.Background())
		if err != nil {
			panic(err)
		}
		all = append(all, bytes.Clone(f.Data))
	}
	return all
}

// roads are pictures of the road, each with other vehicles.
var roads = sync.OnceValue(func() (all []*luma) {
	for _, data := range filmed(60, 0, 0) {
		all = append(all, halved(data))
	}
	return all
})

// A site is the simulated road over days, as a camera sees it: the traffic of package simcam, with
// what light, weather and wind do to its pictures.
type site struct {
	roads  []*luma
	random *rand.Rand

	sunny   bool    // shadows are seen
	gain    float64 // of the exposure
	rain    float64 // 0 to 1
	fog     float64 // the same
	drops   []drop  // on the lens
	queue   *luma   // vehicles that stand; nil for none
	waits   int     // looks that they still do
	casters []caster

	// What somebody does to the camera: degrees, and the columns that are covered, of 1.
	right, down, turn float64
	covered           float64
}

type drop struct{ x, y, r float64 }

// A caster is something whose shadow falls into the picture: from its foot, in pixels
// of the reduced picture.
type caster struct{ x, y, length, width float64 }

func newSite(roads []*luma, seed uint64) *site {
	s := &site{roads: roads, random: rand.New(rand.NewPCG(seed, 3)), gain: 1, sunny: true}
	for range 14 {
		s.casters = append(s.casters, caster{200 * s.random.Float64(), 30 + 80*s.random.Float64(), 6 + 14*s.random.Float64(), 2 + 5*s.random.Float64()})
	}
	return s
}

// The picture of the site is that of simcam.
const (
	siteWidth, siteHeight = 200, 112
	perDegree             = 5.371 // reduced pixels
)

// change lets 5 s pass. Rain comes once in 30 hours and stays for 2, fog once in 100
// for 3, a queue of vehicles once in 20 for half an hour; clouds come and go.
func (s *site) change() {
	r := s.random
	chance := func(hours float64) bool { return r.Float64() < 5/(3600*hours) }
	if chance(0.25) {
		s.sunny = !s.sunny
	}
	switch {
	case s.rain == 0 && chance(30):
		s.rain = 0.2 + 0.8*r.Float64()
	case s.rain > 0 && chance(2):
		s.rain = 0
	}
	switch {
	case s.fog == 0 && chance(100):
		s.fog = 0.5 * r.Float64()
	case s.fog > 0 && chance(3):
		s.fog = 0
	case s.fog > 0:
		s.fog = min(max(s.fog+0.01*r.NormFloat64(), 0.02), 0.9)
	}
	if s.waits--; s.waits <= 0 {
		s.queue = nil
		if chance(20) {
			s.queue, s.waits = s.roads[r.IntN(len(s.roads))], 360
		}
	}
	s.gain = min(max(s.gain*math.Exp(0.05*r.NormFloat64()), 0.6), 1.5)
	for i := range s.drops {
		s.drops[i].y += 0.3 * r.Float64()
	}
	if s.rain > 0 && r.Float64() < 0.3*s.rain {
		s.drops = append(s.drops, drop{siteWidth * r.Float64(), siteHeight * r.Float64(), 2 + 5*r.Float64()})
	}
	if len(s.drops) > 25 || s.rain == 0 && len(s.drops) > 0 && r.Float64() < 0.01 {
		s.drops = s.drops[1:]
	}
}

// look returns what a look sees about utc, at a height of the sun in degrees.
func (s *site) look(utc time.Time, sun float64) *small {
	r := s.random
	road := s.queue
	if road == nil {
		road = s.roads[r.IntN(len(s.roads))]
	}
	// The mast sways, and bends with the sun.
	hour := float64(utc.Unix()%86400) / 3600
	right := (s.right + 0.12*r.NormFloat64() + 0.05*math.Sin(hour*math.Pi/12)) * perDegree
	down := (s.down + 0.08*r.NormFloat64() + 0.05*math.Cos(hour*math.Pi/12)) * perDegree
	turn := (s.turn + 0.08*r.NormFloat64()) * math.Pi / 180
	light := make([]float64, siteWidth*siteHeight)
	sin, cos := math.Sincos(-turn)
	for i := range light {
		sum := 0.0
		for k := range 4 { // each of a quarter of the pixel
			x, y := float64(i%siteWidth)+0.25+0.5*float64(k%2)-siteWidth/2, float64(i/siteWidth)+0.25+0.5*float64(k/2)-siteHeight/2
			x, y = x*cos-y*sin+siteWidth/2+right, x*sin+y*cos+siteHeight/2-down
			sum += road.at(4*x, 4*y)
		}
		light[i] = sum / 4
	}
	if sun > dayFrom && s.sunny && s.rain == 0 {
		s.shade(light, hour, sun, right, -down)
	}
	noise := 1.0
	if sun < nightFrom {
		noise = 3 // the lamp of the street lights its middle; vehicles dazzle
		for i := range light {
			x, y := float64(i%siteWidth)-90, float64(i/siteWidth)-70
			light[i] *= 0.06 + 0.5*math.Exp(-(x*x+2*y*y)/2500)
		}
		for range r.IntN(3) {
			x, y, size := siteWidth*r.Float64(), 40+60*r.Float64(), 3+12*r.Float64()
			for i := range light {
				dx, dy := float64(i%siteWidth)-x, float64(i/siteWidth)-y
				light[i] += 200 * math.Exp(-(dx*dx+dy*dy)/(size*size))
			}
		}
	} else if sun < dayFrom {
		noise = 2
		for i := range light {
			light[i] *= 0.3 + 0.7*(sun-nightFrom)/(dayFrom-nightFrom)
		}
	}
	veil := 1 - (1-s.fog)*(1-0.5*s.rain)
	noise += 2 * s.rain
	p := &small{width: 1600, height: 900, w: siteWidth, h: siteHeight, pix: make([]uint8, siteWidth*siteHeight)}
	for i, v := range light {
		v += (150 - v) * veil * (1 - 0.5*float64(i/siteWidth)/siteHeight)
		for _, d := range s.drops {
			dx, dy := float64(i%siteWidth)-d.x, float64(i/siteWidth)-d.y
			if dx*dx+dy*dy < d.r*d.r {
				v = 0.3*v + 0.7*light[(siteHeight-1-i/siteWidth)*siteWidth+i%siteWidth]*0.2 + 80
			}
		}
		if float64(i%siteWidth) < s.covered*siteWidth {
			v = 40
		}
		p.pix[i] = uint8(min(max(s.gain*v+noise*r.NormFloat64()+0.5, 0), 255))
	}
	return p
}

// shade darkens what lies in the shadow of the casters, which turns and grows with the sun.
func (s *site) shade(light []float64, hour, sun, right, down float64) {
	sin, cos := math.Sincos((hour - 11.25) * math.Pi / 12)
	long := min(1/math.Tan(sun*math.Pi/180), 6)
	for _, c := range s.casters {
		dx, dy := sin*long, 0.25*cos*long
		length := math.Hypot(dx, dy)
		dx, dy = dx/length, dy/length
		for i := range light {
			x, y := float64(i%siteWidth)-c.x+right, float64(i/siteWidth)-c.y+down
			along, across := x*dx+y*dy, -x*dy+y*dx
			if along > 0 && along < c.length*length && math.Abs(across) < c.width/2 {
				light[i] *= 0.55
			}
		}
	}
}

func (l *luma) at(x, y float64) float64 {
	x, y = min(max(x-0.5, 0), float64(l.w)-1.001), min(max(y-0.5, 0), float64(l.h)-1.001)
	i, j := int(x), int(y)
	u, v := x-float64(i), y-float64(j)
	p := l.pix[j*l.w+i:]
	return (float64(p[0])*(1-u)+float64(p[1])*u)*(1-v) + (float64(p[l.w])*(1-u)+float64(p[l.w+1])*u)*v
}

// grey returns the JPEG picture of l.
func grey(l *luma) []byte {
	var b bytes.Buffer
	m := &image.Gray{Pix: l.pix, Stride: l.w, Rect: image.Rect(0, 0, l.w, l.h)}
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err) // into memory
	}
	return b.Bytes()
}
