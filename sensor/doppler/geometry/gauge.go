package geometry

import (
	"math"
	"slices"

	"ciglio/internal/robust"
	"ciglio/sensor"
	"ciglio/sensor/doppler/lines"
)

const (
	MinTrack    = 0.6  // s
	minPiece    = 1.2  // s, of a track that was cut where it was steepest
	settleSlope = 0.25 // bins a frame: less is nearly level
	nearSlack   = 0.3  // of tau: so far beyond the closest point a track may reach
	minDensity  = 0.5  // readings a frame
	minZone     = 0.4  // s
	minZoneWay  = 2.5  // m
	MinZoneN    = 12   // readings
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

// A Measurement is what a track says of its vehicle.
type Measurement struct {
	First, Last int64         // frames
	Speed       float64       // m/s
	Noise       float64       // m/s, standard uncertainty of the mean
	Change      float64       // m/s, the same, by change of speed within the zone
	Deficit     float64       // mean of 1 - cos over the zone
	Near        float64       // frame of the closest point
	AtEnd       bool          // the vehicle approached
	Sign        int           // of the frequency
	Slant       bool          // the closest point was not seen
	Nearer      bool          // the same, and the cosine fell to where its sign says that it is near
	Farther     bool          // the same, and it fell to the other end
	Fitted      bool          // one geometry explains every reading
	Root        lines.Reading // first of the track
	From, To    int64         // frames of the zone
	Tau         float64       // frames
	tonal       bool          // a sound, not a vehicle
	Level       float64       // dB, mean over the zone
	Strength    float64       // dB of the line alone where it falls, not a number where that was not seen
	Image       float64       // share of strong readings whose mirror frequency is 10 dB weaker
	Readings    int
	Reasons     []sensor.Reason
}

// Back returns the sign of time from the closest point to the far end.
func (w *Measurement) Back() float64 {
	if w.AtEnd {
		return -1
	}
	return 1
}

// A Gauge turns the readings of a track into a measurement. Its slices are reused.
type Gauge struct {
	Hop          float64 // s
	MPS          float64 // m/s a bin
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

func NewGauge(hop, mps, stretch, angle float64, cplx bool) *Gauge {
	g := &Gauge{Hop: hop, MPS: mps, acceleration: maxAcceleration * stretch * stretch, stretch: stretch, angle: angle, complex: cplx, source: make([]int, 0, lines.MaxReadings)}
	for _, s := range []*[]float64{&g.x, &g.v, &g.m, &g.l, &g.good, &g.rough, &g.scratch} {
		*s = make([]float64, 0, lines.MaxReadings)
	}
	return g
}

// Judge reports whether a track is a vehicle's that passed the sensor, and what
// it says. A vehicle that passes shows what no tone, hum or piece of music
// does: at its near end, where it is strongest, the frequency falls with the
// cosine of the angle under which it is seen.
//
// One that leaves a narrow beam before that is judged by slanted.
//
// A real signal shows both ways of a vehicle as one line that touches zero at
// the closest point: it is judged as two, and the better one counts.
func (g *Gauge) Judge(readings []lines.Reading) (Measurement, bool) {
	w, ok := g.passed(readings)
	if !ok && g.complex {
		return g.slanted(readings)
	}
	return w, ok
}

// passed judges a track by its closest point.
func (g *Gauge) passed(readings []lines.Reading) (Measurement, bool) {
	k, ok := g.lowest(readings)
	if !ok {
		if w, ok := g.judgeWay(readings, readings); ok {
			return w, true
		}
		// Where lines cross, a track may change from one to the other: then it
		// is steepest there.
		if k = g.steepest(readings); k == 0 {
			return Measurement{}, false
		}
	}
	a, isA := g.judgeWay(readings[:k+1], readings)
	b, isB := g.judgeWay(readings[k:], readings)
	if !ok {
		isA = isA && float64(a.Last-a.First)*g.Hop > minPiece
		isB = isB && float64(b.Last-b.First)*g.Hop > minPiece
	}
	if isA && isB && better(b, a) || !isA {
		return b, isB
	}
	return a, isA
}

func better(a, b Measurement) bool {
	if len(a.Reasons) != len(b.Reasons) {
		return len(a.Reasons) < len(b.Reasons)
	}
	return a.Readings > b.Readings
}

// lowest returns where a track comes nearest to frequency 0, if it rises well
// above that on both sides.
func (g *Gauge) lowest(readings []lines.Reading) (int, bool) {
	g.v, g.m = g.v[:0], g.m[:0]
	for _, r := range readings {
		g.v = append(g.v, math.Abs(float64(r.F)))
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
func (g *Gauge) steepest(readings []lines.Reading) int {
	n := len(readings)
	if n < 4*MinZoneN {
		return 0
	}
	const reach = 4
	k, most := 0, settleSlope
	for i := MinZoneN; i < n-MinZoneN; i++ {
		a, b := &readings[i-reach], &readings[i+reach]
		if d := math.Abs(float64(b.F-a.F)) / float64(b.Frame-a.Frame); d > most {
			k, most = i, d
		}
	}
	return k
}

// judgeWay judges a track, or the way to or from the closest point, with which
// it began or ended.
func (g *Gauge) judgeWay(readings, whole []lines.Reading) (Measurement, bool) {
	if len(readings) < MinZoneN {
		return Measurement{}, false
	}
	first, last := readings[0].Frame, readings[len(readings)-1].Frame
	readings = dense(readings)
	n := len(readings)
	frames := float64(readings[n-1].Frame - readings[0].Frame + 1)
	if frames*g.Hop < MinTrack || float64(n) < minDensity*frames {
		return Measurement{}, false
	}
	g.single = g.complex && oneSign(readings)
	for _, atEnd := range []bool{true, false} {
		p, ok := g.approach(readings, atEnd)
		if !ok {
			continue
		}
		w := Measurement{First: first, Last: last, AtEnd: atEnd, Sign: 1, Root: whole[0]}
		if readings[n/2].F < 0 {
			w.Sign = -1
		}
		if atEnd {
			w.Near = float64(readings[g.source[0]].Frame) + p.x0/g.Hop
		} else {
			w.Near = float64(readings[g.source[0]].Frame) - p.x0/g.Hop
		}
		w.Image, w.Strength = rejection(readings), g.strength(readings, p)
		g.measure(readings, p, &w)
		if !g.complex && g.stretch != 1 && !w.Fitted {
			// Sounds, hum and tones that are switched reach all paces. Of a real
			// signal only a whole passage is believed at the unusual ones.
			return w, false
		}
		return w, w.Speed >= minSpeed && !w.tonal
	}
	return Measurement{}, false
}

// oneSign reports whether a line is 10 dB above its image, with the noise that weak
// lines have.
func oneSign(readings []lines.Reading) bool {
	var line, image float32
	for i := range readings {
		line, image = line+readings[i].Power, image+readings[i].Image
	}
	return line >= 10*image
}

// rejection returns the share of the strong readings whose mirror frequency is
// at least 10 dB weaker. Weak ones cannot tell.
func rejection(readings []lines.Reading) float64 {
	for _, snr := range []float32{300, 100, 30, 0} {
		var n, good float64
		for _, r := range readings {
			if r.SNR >= snr {
				n++
				if r.Power >= 10*r.Image {
					good++
				}
			}
		}
		if n >= MinZoneN {
			return good / n
		}
	}
	return 0
}

// dense cuts off both ends of a track in which the readings lie far apart:
// there the line is lost in the noise.
func dense(r []lines.Reading) []lines.Reading {
	const some = MinZoneN
	limit := int64(some / minDensity)
	for len(r) > some && r[some-1].Frame-r[0].Frame >= limit {
		r = r[1:]
	}
	for len(r) > some && r[len(r)-1].Frame-r[len(r)-some].Frame >= limit {
		r = r[:len(r)-1]
	}
	return r
}

// approach unfolds the readings and looks for the collapse. What lies beyond
// the closest point is cut off.
func (g *Gauge) approach(readings []lines.Reading, atEnd bool) (geometry, bool) {
	for range 4 {
		g.unfold(readings, atEnd)
		p, ok := g.pass()
		if !ok || p.x0 >= -nearSlack*p.tau {
			return p, ok
		}
		cut := g.until(-p.x0)
		if len(readings)-cut < MinZoneN {
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
func (g *Gauge) unfold(readings []lines.Reading, atEnd bool) {
	n := len(readings)
	g.x, g.v, g.m, g.l, g.source = g.x[:0], g.v[:0], g.m[:0], g.l[:0], g.source[:0]
	for i := range n {
		k, t := i, float64(readings[i].Frame-readings[0].Frame)
		if atEnd {
			k = n - 1 - i
			t = float64(readings[n-1].Frame - readings[k].Frame)
		}
		g.source = append(g.source, k)
		g.x = append(g.x, t*g.Hop)
		g.v = append(g.v, math.Abs(float64(readings[k].F))*g.MPS)
		g.m = append(g.m, float64(readings[k].Level))
	}
	g.l = g.smooth(g.l, g.m)
	g.m = g.smooth(g.m[:0], g.v)
}

// smooth appends the running median over up to nine values of from.
func (g *Gauge) smooth(to, from []float64) []float64 {
	for i := range from {
		reach := min(4, i, len(from)-1-i)
		to = append(to, g.median(from[i-reach:i+reach+1]))
	}
	return to
}

func (g *Gauge) median(values []float64) float64 { return robust.Median(values, &g.scratch) }

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
func (g *Gauge) pass() (geometry, bool) {
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
	if p.rise < minRise && (p.misfit > weakMisfit+g.MPS/2/p.top || least > weakDrop || !g.single && p.rise < soundRise) {
		return p, false
	}
	return p, offset >= minOffset && offset <= maxOffset && p.misfit < maxMisfit+g.MPS/2/p.top && least < p.drop()
}

// until returns the number of values up to time x.
func (g *Gauge) until(x float64) int {
	n := 1
	for n < len(g.x) && g.x[n] <= x {
		n++
	}
	return n
}

// Top returns the frequency in bins below which nine of ten readings lie: the
// plateau, whatever the closest point does to the rest.
func (g *Gauge) Top(readings []lines.Reading) float64 {
	g.scratch = g.scratch[:0]
	for i := range readings {
		g.scratch = append(g.scratch, math.Abs(float64(readings[i].F)))
	}
	slices.Sort(g.scratch)
	return g.scratch[len(g.scratch)*9/10]
}

// Cut is the measurement on an interrupted track.
func (g *Gauge) Cut(r []lines.Reading) Measurement {
	w := Measurement{First: r[0].Frame, Last: r[len(r)-1].Frame, Sign: 1, Readings: len(r)}
	if r[0].F < 0 {
		w.Sign = -1
	}
	g.unfold(r, true)
	slices.Sort(g.v)
	w.Speed, w.Noise = robust.Mean(g.v)
	return w
}
