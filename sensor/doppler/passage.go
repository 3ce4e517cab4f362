package doppler

import (
	"math"
	"slices"

	"ciglio/internal/robust"
	"ciglio/sensor"
)

const (
	speedOfLight = sensor.SpeedOfLight

	minTrack    = 0.6  // s
	minPiece    = 1.2  // s, of a track that was cut where it was steepest
	settleSlope = 0.25 // bins a frame: less is nearly level
	nearSlack   = 0.3  // of tau: so far beyond the closest point a track may reach
	minDensity  = 0.5  // readings a frame
	minZone     = 0.4  // s
	minZoneWay  = 2.5  // m
	minZoneN    = 12   // readings
	zoneFill    = 0.35 // readings a frame of the zone
	maxZoneWay  = 30.0 // m of road
	maxZone     = 10.0 // s: the trace holds it

	collapse   = 0.95 // of the plateau: the line must fall below it at the near end
	slowDrop   = 0.90 // the same, where the fall takes longer than
	slowTau    = 0.17 // s in this measure
	bend       = 0.97 // of the plateau: where it begins to fall
	nearLevel  = 3.0  // dB by which a vehicle is stronger near than far
	nearCosine = 5.5  // distance over offset from which the cosine is above 0.984
	zoneBand   = 0.035
	zoneDip    = 0.6 // s outside the band that do not end the zone
	topBand    = 0.99
	maxNoise   = 0.015 // of the speed, standard uncertainty of the mean
	maxChange  = 0.03  // of the speed, the same, by change within the zone
	maxDeficit = 0.035 // mean of 1 - cos in the zone: more is too near
	maxScatter = 0.005 // of the speed, plus a bin, from one reading to the next

	dip       = 1.3  // times by which both sides of the closest point are higher
	maxMisfit = 0.07 // of the plateau, and half a bin
	minRise   = 4.5  // dB

	weakRise   = 1.5  // dB, of a line that follows the cosine
	soundRise  = 3.0  // dB, the same, of one that may be a sound: both signs, or a real signal
	weakMisfit = 0.01 // of the plateau, and half a bin
	weakDrop   = 0.85 // of the plateau, to which it must fall

	minOffset, maxOffset = 0.8, 30 // m between the sensor and the vehicle's path

	minSpeed        = 5 / 3.6 // m/s, below which a line is no vehicle's
	maxAcceleration = 6.0     // m/s² within the zone
)

// A verdict is what a track says of its vehicle.
type verdict struct {
	first, last int64   // frames
	speed       float64 // m/s
	noise       float64 // m/s, standard uncertainty of the mean
	change      float64 // m/s, the same, by change of speed within the zone
	deficit     float64 // mean of 1 - cos over the zone
	near        float64 // frame of the closest point
	atEnd       bool    // the vehicle approached
	sign        int     // of the frequency
	slant       bool    // the closest point was not seen
	nearer      bool    // the same, and the cosine fell to where its sign says that it is near
	farther     bool    // the same, and it fell to the other end
	fitted      bool    // one geometry explains every reading
	root        reading // first of the track
	from, to    int64   // frames of the zone
	tau         float64 // frames
	tonal       bool    // a sound, not a vehicle
	level       float64 // dB, mean over the zone
	strength    float64 // dB of the line alone where it falls, not a number where that was not seen
	image       float64 // share of strong readings whose mirror frequency is 10 dB weaker
	readings    int
	reasons     []sensor.Reason
}

// back returns the sign of time from the closest point to the far end.
func (w *verdict) back() float64 {
	if w.atEnd {
		return -1
	}
	return 1
}

// A gauge turns the readings of a track into a verdict. Its slices are reused.
type gauge struct {
	hop          float64 // s
	mps          float64 // m/s a bin
	acceleration float64 // m/s², the most
	stretch      float64 // of the chain's pace
	complex      bool
	angle        float64 // between the beam and the road
	single       bool    // the track at hand has one sign only, so is no sound
	// The track from its near end to its far end: time, speed, running median
	// of the speed, running median of the level.
	x, v, m, l []float64
	source     []int // index of the reading
	good       []float64
	rough      []float64
	scratch    []float64
}

func newGauge(hop, mps, stretch, angle float64, cplx bool) *gauge {
	g := &gauge{hop: hop, mps: mps, acceleration: maxAcceleration * stretch * stretch, stretch: stretch, angle: angle, complex: cplx, source: make([]int, 0, maxReadings)}
	for _, s := range []*[]float64{&g.x, &g.v, &g.m, &g.l, &g.good, &g.rough, &g.scratch} {
		*s = make([]float64, 0, maxReadings)
	}
	return g
}

// judge reports whether a track is a vehicle's that passed the sensor, and what
// it says. A vehicle that passes shows what no tone, hum or piece of music
// does: at its near end, where it is strongest, the frequency falls with the
// cosine of the angle under which it is seen.
//
// One that leaves a narrow beam before that is judged by slanted.
//
// A real signal shows both ways of a vehicle as one line that touches zero at
// the closest point: it is judged as two, and the better one counts.
func (g *gauge) judge(readings []reading) (verdict, bool) {
	w, ok := g.passed(readings)
	if !ok && g.complex {
		return g.slanted(readings)
	}
	return w, ok
}

// passed judges a track by its closest point.
func (g *gauge) passed(readings []reading) (verdict, bool) {
	k, ok := g.lowest(readings)
	if !ok {
		if w, ok := g.judgeWay(readings, readings); ok {
			return w, true
		}
		// Where lines cross, a track may change from one to the other: then it
		// is steepest there.
		if k = g.steepest(readings); k == 0 {
			return verdict{}, false
		}
	}
	a, isA := g.judgeWay(readings[:k+1], readings)
	b, isB := g.judgeWay(readings[k:], readings)
	if !ok {
		isA = isA && float64(a.last-a.first)*g.hop > minPiece
		isB = isB && float64(b.last-b.first)*g.hop > minPiece
	}
	if isA && isB && better(b, a) || !isA {
		return b, isB
	}
	return a, isA
}

func better(a, b verdict) bool {
	if len(a.reasons) != len(b.reasons) {
		return len(a.reasons) < len(b.reasons)
	}
	return a.readings > b.readings
}

// lowest returns where a track comes nearest to frequency 0, if it rises well
// above that on both sides.
func (g *gauge) lowest(readings []reading) (int, bool) {
	g.v, g.m = g.v[:0], g.m[:0]
	for _, r := range readings {
		g.v = append(g.v, math.Abs(float64(r.f)))
	}
	g.m = g.smooth(g.m, g.v)
	k := 0
	for i, f := range g.m {
		if f < g.m[k] {
			k = i
		}
	}
	if len(g.m) == 0 {
		return 0, false
	}
	return k, dip*g.m[k] < slices.Max(g.m[:k+1]) && dip*g.m[k] < slices.Max(g.m[k:])
}

// steepest returns where a track changes fastest, or 0 when it is nearly level
// or too short to be cut.
func (g *gauge) steepest(readings []reading) int {
	n := len(readings)
	if n < 4*minZoneN {
		return 0
	}
	const reach = 4
	k, most := 0, settleSlope
	for i := minZoneN; i < n-minZoneN; i++ {
		a, b := &readings[i-reach], &readings[i+reach]
		if d := math.Abs(float64(b.f-a.f)) / float64(b.frame-a.frame); d > most {
			k, most = i, d
		}
	}
	return k
}

// judgeWay judges a track, or the way to or from the closest point, with which
// it began or ended.
func (g *gauge) judgeWay(readings, whole []reading) (verdict, bool) {
	if len(readings) < minZoneN {
		return verdict{}, false
	}
	first, last := readings[0].frame, readings[len(readings)-1].frame
	readings = dense(readings)
	n := len(readings)
	frames := float64(readings[n-1].frame - readings[0].frame + 1)
	if frames*g.hop < minTrack || float64(n) < minDensity*frames {
		return verdict{}, false
	}
	g.single = g.complex && oneSign(readings)
	for _, atEnd := range []bool{true, false} {
		p, ok := g.approach(readings, atEnd)
		if !ok {
			continue
		}
		w := verdict{first: first, last: last, atEnd: atEnd, sign: 1, root: whole[0]}
		if readings[n/2].f < 0 {
			w.sign = -1
		}
		if atEnd {
			w.near = float64(readings[g.source[0]].frame) + p.x0/g.hop
		} else {
			w.near = float64(readings[g.source[0]].frame) - p.x0/g.hop
		}
		w.image, w.strength = rejection(readings), g.strength(readings, p)
		g.measure(readings, p, &w)
		if !g.complex && g.stretch != 1 && !w.fitted {
			// Sounds, hum and tones that are switched reach all paces. Of a real
			// signal only a whole passage is believed at the unusual ones.
			return w, false
		}
		return w, w.speed >= minSpeed && !w.tonal
	}
	return verdict{}, false
}

// oneSign reports whether a line is 10 dB above its image, with the noise that weak
// lines have.
func oneSign(readings []reading) bool {
	var line, image float32
	for i := range readings {
		line, image = line+readings[i].power, image+readings[i].image
	}
	return line >= 10*image
}

// rejection returns the share of the strong readings whose mirror frequency is
// at least 10 dB weaker. Weak ones cannot tell.
func rejection(readings []reading) float64 {
	for _, snr := range []float32{300, 100, 30, 0} {
		var n, good float64
		for _, r := range readings {
			if r.snr >= snr {
				n++
				if r.power >= 10*r.image {
					good++
				}
			}
		}
		if n >= minZoneN {
			return good / n
		}
	}
	return 0
}

// dense cuts off both ends of a track in which the readings lie far apart:
// there the line is lost in the noise.
func dense(r []reading) []reading {
	const some = minZoneN
	limit := int64(some / minDensity)
	for len(r) > some && r[some-1].frame-r[0].frame >= limit {
		r = r[1:]
	}
	for len(r) > some && r[len(r)-1].frame-r[len(r)-some].frame >= limit {
		r = r[:len(r)-1]
	}
	return r
}

// approach unfolds the readings and looks for the collapse. What lies beyond
// the closest point is cut off.
func (g *gauge) approach(readings []reading, atEnd bool) (geometry, bool) {
	for range 4 {
		g.unfold(readings, atEnd)
		p, ok := g.pass()
		if !ok || p.x0 >= -nearSlack*p.tau {
			return p, ok
		}
		cut := g.until(-p.x0)
		if len(readings)-cut < minZoneN {
			return p, false
		}
		if atEnd {
			readings = readings[:len(readings)-cut]
		} else {
			readings = readings[cut:]
		}
	}
	return geometry{}, false
}

// unfold fills x, v, m and l from the near end on.
func (g *gauge) unfold(readings []reading, atEnd bool) {
	n := len(readings)
	g.x, g.v, g.m, g.l, g.source = g.x[:0], g.v[:0], g.m[:0], g.l[:0], g.source[:0]
	for i := range n {
		k, t := i, float64(readings[i].frame-readings[0].frame)
		if atEnd {
			k = n - 1 - i
			t = float64(readings[n-1].frame - readings[k].frame)
		}
		g.source = append(g.source, k)
		g.x = append(g.x, t*g.hop)
		g.v = append(g.v, math.Abs(float64(readings[k].f))*g.mps)
		g.m = append(g.m, float64(readings[k].level))
	}
	g.l = g.smooth(g.l, g.m)
	g.m = g.smooth(g.m[:0], g.v)
}

// smooth appends the running median over up to nine values of from.
func (g *gauge) smooth(to, from []float64) []float64 {
	for i := range from {
		reach := min(4, i, len(from)-1-i)
		to = append(to, g.median(from[i-reach:i+reach+1]))
	}
	return to
}

func (g *gauge) median(values []float64) float64 { return robust.Median(values, &g.scratch) }

// A geometry is the way a vehicle passed: after x0 + x seconds from the closest
// point it is (x0 + x)/tau times as far along the road as its path is aside.
type geometry struct {
	x0, tau float64 // s
	bend    int     // index of the first value near the plateau
	top     float64 // m/s, the plateau as first estimated
	rise    float64 // dB by which the near end is stronger than the far end
	misfit  float64 // median distance of the speeds from the geometry, share of top
}

func (p geometry) cosine(x float64) float64 {
	y := max((x+p.x0)/p.tau, 0)
	return y / math.Sqrt(1+y*y)
}

// drop returns how far the line must fall. A slow fall can be followed far down.
func (p geometry) drop() float64 {
	if p.tau > slowTau {
		return slowDrop
	}
	return collapse
}

// pass looks for the cosine collapse at the near end. With c = v/plateau the
// cosine, c/sqrt(1-c²) is distance over offset, and so rises in proportion to
// the time from the closest point: a straight line through these values gives
// instant and offset.
func (g *gauge) pass() (geometry, bool) {
	n := len(g.x)
	p := geometry{top: slices.Max(g.m)}
	reach := g.until(max(1, 30/p.top))
	p.top = slices.Max(g.m[:reach])
	start := g.median(g.v[:3])
	if start > collapse*p.top {
		return p, false
	}
	for p.bend < n-1 && g.m[p.bend] < bend*p.top {
		p.bend++
	}
	// The vehicle is strongest where it is near, and weaker where it is far.
	strongest := slices.Max(g.l[:g.until(g.x[p.bend]+1)])
	far := g.median(g.l[n-n/4-1:])
	if strongest < slices.Max(g.l)-nearLevel || strongest < far+weakRise {
		return p, false
	}
	p.rise = strongest - far
	var w, sx, sy, sxx, sxy float64
	for i := 0; i < n && g.x[i] <= g.x[p.bend]+0.3; i++ {
		c := g.v[i] / p.top
		if c < 0.3 || c > 0.985 {
			continue
		}
		y := c / math.Sqrt(1-c*c)
		w, sx, sy, sxx, sxy = w+1, sx+g.x[i], sy+y, sxx+g.x[i]*g.x[i], sxy+g.x[i]*y
	}
	d := w*sxx - sx*sx
	if w < 4 || d <= 0 {
		return p, false
	}
	slope := (w*sxy - sx*sy) / d
	if slope <= 0 {
		return p, false
	}
	p.tau = 1 / slope
	p.x0 = (sy - slope*sx) / w * p.tau
	off := g.rough[:0]
	for i := 0; i < n && (g.x[i]+p.x0)/p.tau < 6; i++ {
		off = append(off, math.Abs(g.v[i]-p.top*p.cosine(g.x[i])))
	}
	if len(off) > 0 {
		p.misfit = g.median(off) / p.top
	}
	offset := p.tau * p.top
	least := p.cosine(max(-p.x0, 0))
	// Of what is too weak to be followed far, the way of the frequency alone has to
	// tell that it passed.
	if p.rise < minRise && (p.misfit > weakMisfit+g.mps/2/p.top || least > weakDrop || !g.single && p.rise < soundRise) {
		return p, false
	}
	return p, offset >= minOffset && offset <= maxOffset && p.misfit < maxMisfit+g.mps/2/p.top && least < p.drop()
}

// until returns the number of values up to time x.
func (g *gauge) until(x float64) int {
	n := 1
	for n < len(g.x) && g.x[n] <= x {
		n++
	}
	return n
}
