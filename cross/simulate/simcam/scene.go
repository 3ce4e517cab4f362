package simcam

import (
	"image"
	"math"
	"slices"
)

// A scene is the road without vehicles.
type scene struct {
	lens    lens
	picture *image.RGBA
	road    carriageway
}

// carriageway says where the markings lie, in metres to the right.
type carriageway struct {
	left, right float64   // middle of the edge lines
	between     []float64 // middle of the lines between lanes
}

func layOut(lanes []float64) carriageway {
	lanes = slices.Sorted(slices.Values(lanes))
	width := 3.4
	if len(lanes) > 1 {
		width = lanes[1] - lanes[0]
	}
	c := carriageway{left: lanes[0] - width/2, right: lanes[len(lanes)-1] + width/2}
	for i := 1; i < len(lanes); i++ {
		c.between = append(c.between, (lanes[i-1]+lanes[i])/2)
	}
	return c
}

func paintScene(lanes []float64, l lens) *scene {
	s := &scene{lens: l, picture: image.NewRGBA(image.Rect(0, 0, Width, Height)), road: layOut(lanes)}
	for y := range Height {
		for x := range Width {
			set(s.picture, x, y, s.seen(float64(x)+0.5, float64(y)+0.5))
		}
	}
	s.paintObjects()
	s.develop()
	return s
}

// seen returns the colour of sky, hills or ground at a place of the picture.
func (s *scene) seen(px, py float64) colour {
	ray := s.lens.ray(px, py)
	up := s.lens.horizonY - py // pixels above the horizon
	if up < -0.5 {
		far := s.lens.at.z / -ray.z
		return s.haze(s.ground(ray.x*far, ray.r*far, far), far)
	}
	c := sky(ray)
	bearing := math.Atan2(ray.r, ray.x)
	for _, h := range ridges {
		top := h.base + h.swing*cloudy(bearing*h.detail+h.shift, 0.3, 6, h.key)
		cover := clamp(top - up + 0.5)
		if cover > 0 {
			tone := h.tone.lighten(h.relief * (cloudy(bearing*h.detail*9, up/6, 3, h.key+50) - 0.5))
			c = c.mix(tone, cover)
		}
	}
	return c
}

// ridges are the hills, from the farthest, with heights in pixels.
var ridges = []struct {
	base, swing, detail, shift, relief float64
	tone                               colour
	key                                uint32
}{
	{34, 74, 9, 3.1, 6, colour{164, 186, 208}, 100},
	{14, 66, 14, 8.4, 9, colour{133, 160, 175}, 110},
	{6, 40, 23, 1.7, 16, colour{108, 136, 122}, 120},
	{3, 15, 150, 5.2, 26, colour{84, 108, 74}, 130},
}

func sky(ray point) colour {
	zenith, middle, low := colour{74, 124, 190}, colour{140, 182, 222}, colour{214, 228, 236}
	c := low.mix(middle, step(0, 0.10, ray.z)).mix(zenith, step(0.06, 0.34, ray.z))
	if ray.z <= 0.003 {
		return c
	}
	// Clouds lie in a plane, so they gather towards the horizon.
	u, v := ray.r/(ray.z+0.05), ray.x/(ray.z+0.05)
	shape := cloudy(u*0.62+3.3, v*0.42, 6, 7)
	cover := step(0.50, 0.72, shape) * step(0.0, 0.05, ray.z)
	lit := cloudy(u*0.62+3.3-0.10, v*0.42-0.06, 5, 7)
	white := colour{250, 250, 250}.mix(colour{196, 206, 220}, clamp(0.5+(lit-shape)*-3.2+(shape-0.6)*1.6))
	return c.mix(white, 0.86*cover)
}

// haze is the air between: things lose their colour with distance.
func (s *scene) haze(c colour, far float64) colour {
	return c.mix(colour{196, 212, 222}, min(0.62, 1-math.Exp(-far/1500)))
}

// ground returns the colour of the road and the fields. Patterns finer than
// what a pixel covers fade out, since they would flicker from row to row.
func (s *scene) ground(x, r, far float64) colour {
	across := far / s.lens.focal                    // m a pixel, to the right
	along := far * far / s.lens.focal / s.lens.at.z // m a pixel, ahead
	fine := func(scale float64) float64 { return clamp(1.6-1.6*along/scale/6) * clamp(2-across/scale*2) }

	left, right := s.road.left, s.road.right
	wobble := 0.12 * (noise(x*1.3, 1, 31) - 0.5) * fine(0.4)
	switch {
	case r > left-0.42+wobble && r < right+0.42+wobble:
		return s.asphalt(x, r, across, along, fine)
	case r > left-0.85+wobble*3 && r < right+0.85+wobble*3:
		grit := colour{148, 140, 122}.lighten(46 * (noise(x*22, r*22, 40) - 0.5) * fine(0.06))
		grass := s.grass(x, r, fine)
		edge := 0.35 + 0.5*cloudy(x*0.8, r*2, 3, 43)
		return grit.mix(grass, step(edge-0.3, edge+0.3, noise(x*2.1, r*5, 44)))
	case r > left-5.2 && r < right+5.6:
		return s.grass(x, r, fine)
	case r <= left-5.2:
		return s.crop(x, r, across, fine)
	}
	return s.wheat(x, r, across, fine)
}

func (s *scene) asphalt(x, r, across, along float64, fine func(float64) float64) colour {
	tone := 116.0
	tone += 16 * (cloudy(x*0.05, r*0.35, 4, 50) - 0.5)
	tone += 10 * (cloudy(x*0.6, r*0.9, 3, 54) - 0.5) * fine(0.8)
	tone += 17 * (noise(x*34, r*34, 58) - 0.5) * fine(0.03)
	tone += 11 * (noise(x*13, r*15, 59) - 0.5) * fine(0.08)
	// Tyres polish two tracks in each lane; oil darkens the middle.
	for _, lane := range s.laneMiddles() {
		d := math.Abs(math.Abs(r-lane) - 0.78)
		tone += 7 * math.Exp(-d*d/0.05)
		d = r - lane
		tone -= 5 * math.Exp(-d*d/0.07)
	}
	// A mended strip and a few sealed cracks.
	if r > 4.9 && r < 7.4 && x > 36 && x < 58 {
		tone -= 13
	}
	crack := math.Abs(r - 3.5 - 0.9*(cloudy(x*0.16, 0, 4, 61)-0.5) - 0.1*(noise(x*2.7, 0, 62)-0.5))
	if x > 9 && x < 27 {
		tone -= 26 * clamp(1.2-crack/max(0.018, across)) * clamp(0.03/across)
	}
	c := colour{tone, tone * 0.995, tone * 0.975}
	paint := s.marking(x, r, across, along)
	worn := 0.80 + 0.2*noise(x*5, r*9, 66) - 0.30*step(0.62, 0.9, cloudy(x*1.4, r*5, 3, 67))*fine(0.3)
	return c.mix(colour{226, 226, 220}, paint*clamp(worn))
}

func (s *scene) laneMiddles() []float64 {
	c := s.road
	middles := make([]float64, 0, 4)
	from := c.left
	for _, line := range c.between {
		middles = append(middles, (from+line)/2)
		from = line
	}
	return append(middles, (from+c.right)/2)
}

// marking returns how much of a pixel is painted: lines 15 cm wide at the
// edges, and dashes of 3 m every 7.5 m between lanes.
func (s *scene) marking(x, r, across, along float64) float64 {
	line := func(middle, half float64) float64 {
		return clamp((half-math.Abs(r-middle))/max(across, 0.004)+0.5) * min(1, 2*half/across)
	}
	paint := max(line(s.road.left, 0.075), line(s.road.right, 0.075))
	for _, middle := range s.road.between {
		place := math.Mod(x+1.0, 7.5)
		dash := clamp((1.5-math.Abs(place-1.5))/max(along, 0.01) + 0.5)
		dash = lerp(dash, 0.4, step(2, 7, along))
		paint = max(paint, line(middle, 0.075)*dash)
	}
	return paint
}

func (s *scene) grass(x, r float64, fine func(float64) float64) colour {
	c := colour{98, 122, 58}.mix(colour{146, 148, 84}, step(0.35, 0.75, cloudy(x*0.22, r*0.5, 4, 70)))
	c = c.mix(colour{74, 98, 44}, 0.7*step(0.5, 0.8, cloudy(x*0.9+5, r*1.4, 3, 74)))
	c = c.lighten(30 * (noise(x*9, r*26, 77) - 0.5) * fine(0.10))
	c = c.lighten(26 * (noise(x*20, r*44, 78) - 0.5) * fine(0.04))
	return c
}

// crop is a young field in rows along the road.
func (s *scene) crop(x, r, across float64, fine func(float64) float64) colour {
	soil, green := colour{132, 112, 82}, colour{92, 130, 56}
	rows := 0.5 + 0.5*math.Cos(2*math.Pi*r/0.9)
	rows = lerp(0.55, rows, clamp(1.4-across/0.22))
	c := soil.mix(green, clamp(0.30+0.75*rows+0.5*(cloudy(x*0.05, r*0.08, 4, 84)-0.5)))
	c = c.lighten(20 * (cloudy(x*0.02, r*0.05, 3, 88) - 0.5))
	return c.lighten(40 * (noise(x*5, r*6, 90) - 0.5) * fine(0.16))
}

func (s *scene) wheat(x, r, across float64, fine func(float64) float64) colour {
	c := colour{198, 174, 104}.mix(colour{168, 158, 84}, step(0.35, 0.7, cloudy(x*0.03, r*0.06, 4, 94)))
	c = c.lighten(26 * (cloudy(x*0.35, r*0.6, 3, 97) - 0.5))
	// The tracks of the tractor.
	track := math.Abs(math.Mod(r, 18) - 9)
	if track > 0.7 && track < 1.15 {
		c = c.mix(colour{142, 128, 70}, 0.55*clamp(0.6/across/4))
	}
	return c.lighten(34 * (noise(x*7, r*7, 98) - 0.5) * fine(0.12))
}

// develop gives the picture what a lens and a sensor add: darker corners and
// grain.
func (s *scene) develop() {
	for y := range Height {
		for x := range Width {
			u, v := float64(x)/Width-0.5, float64(y)/Height-0.5
			shade := 1 - 0.26*(u*u+v*v)
			grain := 2.2 * (hash(int32(x), int32(y), 900) + hash(int32(x), int32(y), 901) - 1)
			c := get(s.picture, x, y).scale(shade).lighten(grain)
			set(s.picture, x, y, c)
		}
	}
}
