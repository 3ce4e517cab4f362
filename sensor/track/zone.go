package track

import (
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

const (
	zoneWay   = 30.0 // m of road
	zoneTime  = 1.0  // s, where the vehicle drives farther in it
	zoneMost  = 10.0 // s
	shortest  = 0.1  // s
	shortWay  = 2.5  // m
	zoneBand  = 0.07 // share by which the speed may change within the zone
	steepest  = 0.7  // sine of the angle to the road up to which a known place corrects it
	farEnough = 4.5  // times the distance across the road: the cosine is above 0.976

	fewest          = 6  // readings
	fewestUnchecked = 10 // where a wrong byte cannot be told from a right one
	oddShare        = 10 // one in so many may be odd there
	clippedShare    = 5  // one in so many may be clipped

	// Cars must reach 6.43 m/s² in the braking test (UN Regulation 13-H, annex
	// 3, 2.1.1), and few gain speed half as fast. Harder braking exists, and
	// then a mean says too little of the instant of a picture.
	maxAcceleration = 6.5   // m/s²
	maxNoise        = 0.015 // of the speed, standard uncertainty
	maxChange       = 0.03  // of the speed, the same

	farthest = 400.0 // m that a vehicle can drive within sight of a sensor: what goes on is a tone

	lowestSpeed = 1 * sensor.KmH // what the chain is made for
	mostSpeed   = 350 * sensor.KmH
)

// A kind says how the angle of a track is known.
type kind uint8

const (
	along    kind = iota // from the way driven until the track ends beside the sensor
	crossing             // the beam's
	ranged               // from range and the distances of the lanes
	angled               // from range and angle
)

// A verdict is what the readings of a track say of its vehicle, in m/s.
type verdict struct {
	kind                  kind
	speed                 float64
	noise, angle, change  float64 // standard uncertainties
	readings              int
	from, to              int // of the zone in the points; to is the last
	lane                  int
	few, clipped, lost    bool
	accelerates, scatters bool
	crowded               bool
	torn                  bool        // range and speed tell of different vehicles
	photo                 sensor.Mono // when it was at the photo position; 0 when nothing tells
}

// A gauge measures tracks. Its slices are reused.
type gauge struct {
	o        Options
	geometry geometry
	points   []point
	index    []int     // of the readings that can be used
	time     []float64 // s from the first of them
	reach    []float64 // m along the road, where it is known; else a bound
	side     []float64 // m across the road
	known    []bool
	values   series
	sides    series
}

func newGauge(o Options) *gauge {
	g := &gauge{o: o, geometry: o.geometry(), index: make([]int, 0, maxPoints), known: make([]bool, 0, maxPoints), values: newSeries(), sides: newSeries()}
	for _, f := range []*[]float64{&g.time, &g.reach, &g.side} {
		*f = make([]float64, 0, maxPoints)
	}
	return g
}

// measure judges the readings of a vehicle that moves in a direction.
func (g *gauge) measure(points []point, d sensor.Direction) verdict {
	g.points = points
	w := verdict{kind: g.kind()}
	rough := g.rough()
	d = g.place(w.kind, rough, d)
	from, to := g.zone(w.kind, rough, d)
	g.speed(&w, from, to, d)
	if steep := math.Abs(g.values.slope); steep > 0 && !w.few && w.kind != crossing {
		// A shorter zone where the speed changes.
		if width := zoneBand * w.speed / steep; width < g.time[to]-g.time[from] {
			from, to = g.shorten(from, to, width, d)
			g.speed(&w, from, to, d)
		}
	}
	if w.few {
		w.speed = rough
	} else {
		w.from, w.to = g.index[from], g.index[to]
	}
	g.mark(&w)
	w.lane = g.lane(w.kind)
	w.photo = g.photo(&w, d)
	return w
}

// kind fills index and tells how the angle is known.
func (g *gauge) kind() kind {
	g.index = g.index[:0]
	var n, ranges, angles int
	for i, p := range g.points {
		if p.flags&sensor.FlagFinal != 0 {
			continue
		}
		g.index = append(g.index, i)
		n++
		if p.flags&sensor.FlagRange != 0 && p.rng > 0 {
			ranges++
			if p.flags&sensor.FlagAngle != 0 {
				angles++
			}
		}
	}
	k := along
	switch {
	case 5*angles >= 4*n:
		k = angled
	case 5*ranges >= 4*n:
		k = ranged
	case g.geometry.crossing:
		return crossing
	default:
		return along
	}
	g.index = slices.DeleteFunc(g.index, func(i int) bool {
		f := g.points[i].flags
		return g.points[i].rng <= 0 || f&sensor.FlagRange == 0 || k == angled && f&sensor.FlagAngle == 0
	})
	return k
}

// rough returns the median speed along the line of sight.
func (g *gauge) rough() float64 {
	g.values.reset()
	for _, i := range g.index {
		g.values.add(0, g.points[i].speed.MPS())
	}
	if len(g.index) == 0 {
		return 0
	}
	return g.values.median(g.values.y)
}

// place fills time, reach, side and known. It returns the direction, from the
// ranges where the sensor did not tell it.
func (g *gauge) place(k kind, rough float64, d sensor.Direction) sensor.Direction {
	g.time, g.reach, g.side, g.known = g.time[:0], g.reach[:0], g.side[:0], g.known[:0]
	if len(g.index) == 0 {
		return d
	}
	first, last := &g.points[g.index[0]], &g.points[g.index[len(g.index)-1]]
	if d == sensor.DirectionUnknown && k >= ranged {
		if d = sensor.Receding; last.rng < first.rng {
			d = sensor.Approaching
		}
	}
	length := last.at.Sub(first.at).Seconds()
	across := math.Hypot(g.geometry.farthest, g.geometry.height)
	for _, i := range g.index {
		p := &g.points[i]
		x := p.at.Sub(first.at).Seconds()
		var reach, side float64
		var known bool
		switch k {
		case angled, ranged:
			rng := float64(p.rng) / 1000
			reach, known = rng, rng >= farEnough*across
			if k == angled {
				side = g.geometry.ground(rng) * math.Sin(radians(p.angle)+g.geometry.angle)
				off := math.Hypot(side, g.geometry.height) / rng
				reach, known = rng*math.Sqrt(max(1-off*off, 0)), off <= steepest
			}
		default:
			reach = max(rough*g.toNear(x, length, d), across/math.Tan(g.geometry.edge()))
			known = reach >= farEnough*across
			if k == crossing {
				known = rough*g.toNear(x, length, d) <= across/math.Tan(math.Abs(g.geometry.angle)-g.geometry.half-g.geometry.tolerance)
			}
		}
		g.time, g.reach = append(g.time, x), append(g.reach, reach)
		g.side, g.known = append(g.side, side), append(g.known, known)
	}
	return d
}

// toNear returns the time between a reading and the end of the track that is
// nearer to the sensor.
func (g *gauge) toNear(x, length float64, d sensor.Direction) float64 {
	switch d {
	case sensor.Approaching:
		return length - x
	case sensor.Receding:
		return x
	}
	return min(x, length-x)
}

// zone returns the first and the last index of the measuring zone: the known
// stretch nearest to the photo position.
func (g *gauge) zone(k kind, rough float64, d sensor.Direction) (from, to int) {
	at := -1
	for i, known := range g.known {
		if !known {
			continue
		}
		before := k >= ranged && g.reach[i] < g.geometry.photo
		if at < 0 || d == sensor.Receding && k >= ranged && g.reach[at] < g.geometry.photo ||
			d != sensor.Receding && (!before || g.reach[at] < g.geometry.photo) {
			at = i
		}
	}
	if at < 0 {
		return 0, -1
	}
	width := min(max(zoneWay/max(rough, 0.1), zoneTime), zoneMost)
	from, to = at, at
	for from > 0 && g.known[from-1] && d != sensor.Receding && g.time[at]-g.time[from-1] <= width {
		from--
	}
	for to < len(g.known)-1 && g.known[to+1] && d == sensor.Receding && g.time[to+1]-g.time[at] <= width {
		to++
	}
	return from, to
}

// shorten keeps the part of a zone that is nearer to the sensor.
func (g *gauge) shorten(from, to int, width float64, d sensor.Direction) (int, int) {
	width = max(width, shortest)
	enough := fewest + 2
	if g.o.Unchecked {
		enough = fewestUnchecked + 2
	}
	for d == sensor.Receding && to-from >= enough && g.time[to]-g.time[from] > width {
		to--
	}
	for d != sensor.Receding && to-from >= enough && g.time[to]-g.time[from] > width {
		from++
	}
	return from, to
}

// mark marks the readings of the zone, and says what happened in it.
func (g *gauge) mark(w *verdict) {
	for i := range g.points {
		g.points[i].marks &^= markZone
	}
	first, last := w.from, w.to
	if w.few {
		first, last = 0, len(g.points)-1
	}
	for i := first; i <= last && i < len(g.points); i++ {
		p := &g.points[i]
		if !w.few && p.flags&(sensor.FlagFinal|sensor.FlagClipped) == 0 {
			p.marks |= markZone
		}
		w.lost = w.lost || i > first && p.marks&markLost != 0
	}
	// From the zone to the photo position the vehicle must stay the same.
	if at := g.nearestPhoto(w.kind); at >= 0 {
		first, last = min(first, at), max(last, at)
	}
	for i := first; i <= last && i < len(g.points); i++ {
		w.crowded = w.crowded || g.points[i].marks&markCrowded != 0
	}
}

// nearestPhoto returns the point nearest to the photo position, or -1.
func (g *gauge) nearestPhoto(k kind) int {
	best, least := -1, math.Inf(1)
	for i := range g.index {
		if off := math.Abs(g.reach[i] - g.geometry.photo); k >= ranged && off < least {
			best, least = g.index[i], off
		}
	}
	return best
}

// photo returns when the vehicle was at the photo position: from the reading
// nearest to it, at the measured speed.
func (g *gauge) photo(w *verdict, d sensor.Direction) sensor.Mono {
	const most = 3.0 // s before or after that reading
	near := g.nearestPhoto(w.kind)
	if near < 0 || w.few {
		return 0
	}
	p := &g.points[near]
	away := g.reach[slices.Index(g.index, near)] - g.geometry.photo
	if d == sensor.Receding {
		away = -away
	}
	if math.Abs(away) > most*w.speed {
		return 0
	}
	return p.at.Add(time.Duration(away / w.speed * 1e9))
}

// lane returns the lane of the vehicle at the photo position.
func (g *gauge) lane(k kind) int {
	const about = 8.0 // m
	if k != angled || len(g.o.Lanes) == 0 {
		return 0
	}
	nearest := math.Inf(1)
	for _, reach := range g.reach {
		nearest = min(nearest, math.Abs(reach-g.geometry.photo))
	}
	g.sides.reset()
	for i, side := range g.side {
		if math.Abs(g.reach[i]-g.geometry.photo) <= nearest+about {
			g.sides.add(0, side)
		}
	}
	side := int32(1000 * g.sides.median(g.sides.y))
	return 1 + slices.IndexFunc(g.o.Lanes, func(l Lane) bool { return side >= l.Left && side < l.Right })
}
