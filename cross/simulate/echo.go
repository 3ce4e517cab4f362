package simulate

import "math"

// maxCentres is the number of scattering centres that a body may have.
const maxCentres = 6

// echo makes what the radar hears of one vehicle.
type echo struct {
	vehicle *Vehicle
	kind    *kind
	drive   *drive
	passing float64 // s
	heard   window
	centres [maxCentres]scatterer
	count   int // of centres

	// The path of the reflecting end during a chunk, twice a knot.
	x, y, turned [2*knots + 1]float64
}

// scatterer is one reflecting place of a body.
type scatterer struct {
	beyond float64 // m behind the reflecting end, seen from the radar
	level  float64 // dB against a car
	fade   fading
	re, im float64 // amplitude at the end of the last chunk
	passes float64 // share that passed the filter in the last stretch
	warm   bool
}

// begin prepares an echo for a vehicle.
func (e *echo) begin(r *Road, index int) {
	v := &r.vehicles[index]
	*e = echo{vehicle: v, kind: &kinds[v.Class], drive: &r.drives[index], passing: v.Passing.Seconds(), heard: r.heard[index]}
	e.centres[0] = scatterer{level: v.reflection()}
	for i, c := range e.kind.body {
		e.centres[i+1] = scatterer{beyond: c.place * e.kind.length, level: v.reflection() + c.level}
	}
	e.count = 1 + len(e.kind.body)
	for i := range e.centres[:e.count] {
		e.centres[i].fade.begin(r.scenario.Seed, index, i)
	}
}

// add adds the echo to the chunk that begins at start.
func (e *echo) add(g *generator, start float64) {
	for k := range e.x {
		since := start + float64(float64(k)*(knot/2)/g.rate) - e.passing
		l := e.drive.at(since)
		e.turned[k] = l.travelled(since)
		e.x[k] = e.drive.toward * e.turned[k]
		e.y[k], _ = e.drive.across(since)
	}
	for i := range e.centres[:e.count] {
		e.centres[i].add(g, e, start)
	}
	if !g.road.scenario.Ideal {
		e.addWheels(g)
	}
}

// add adds one scattering centre: its amplitude is exact every knot and linear
// between, its phase is exact every half knot and a parabola between.
func (s *scatterer) add(g *generator, e *echo, start float64) {
	const every = 4 // knots between values of the range law and the beam
	var level [knots + every]float64
	for k := 0; k <= knots; k += every {
		x := e.x[2*k] + s.beyond
		level[k] = amplitude(g.road.beam.power(x, e.y[2*k]) + s.level)
		if at := start + float64(float64(k)*knot/g.rate); at < e.heard.from || at > e.heard.to {
			level[k] = 0
		}
		for j := 1; j < every && k > 0; j++ {
			level[k-j] = level[k] + float64((level[k-every]-level[k])*(float64(j)/every))
		}
	}
	re, im := s.re, s.im
	if !s.warm {
		re, im = s.gain(g, level[0], e.x[0])
		s.warm, s.passes = true, 1
	}
	t0 := s.turns(g, e, 0)
	for k := range knots {
		t1, t2 := s.turns(g, e, 2*k+1), s.turns(g, e, 2*k+2)
		re1, im1 := s.gain(g, level[k+1], e.x[2*k+2])
		passes := filter((t2 - t0) / knot)
		if (re != 0 || im != 0 || re1 != 0 || im1 != 0) && (passes > 0 || s.passes > 0) {
			a := span{t0: t0, t1: t1, t2: t2, re: s.passes * re, im: s.passes * im}
			a.dre, a.dim = (float64(passes*re1)-a.re)/knot, (float64(passes*im1)-a.im)/knot
			a.add(g.i[knot*k:], g.q[knot*k:])
		}
		t0, re, im, s.passes = t2, re1, im1, passes
	}
	s.re, s.im = re, im
}

// turns returns the length of the way to the centre and back in wavelengths.
func (s *scatterer) turns(g *generator, e *echo, k int) float64 {
	return float64(g.turnsPerMetre * hypot3(e.x[k]+s.beyond, e.y[k], g.road.beam.height))
}

// gain returns the complex amplitude at a place: the mean level and its fading.
func (s *scatterer) gain(g *generator, level, x float64) (re, im float64) {
	if level == 0 {
		return 0, 0
	}
	if g.road.scenario.Ideal {
		return level, 0
	}
	re, im = s.fade.at(x)
	return level * re, level * im
}

// filter is the low pass before the converter: which share of an amplitude
// remains at a frequency in turns a sample.
func filter(perSample float64) float64 {
	return min(max((filterStops-math.Abs(perSample))/(filterStops-filterFlat), 0), 1)
}

// span is an echo over one knot: the turns of its phase at the beginning, the
// middle and the end, and its amplitude, which grows by a step each sample.
type span struct {
	t0, t1, t2       float64
	re, im, dre, dim float64
}

// add turns a pointer along the parabola through the three phases: its turn
// from sample to sample itself turns by a constant.
func (a *span) add(i, q []float64) {
	bend := float64(2 * (a.t0 - float64(2*a.t1) + a.t2) / (knot * knot))
	step := float64((float64(4*(a.t1-a.t0))-(a.t2-a.t0))/knot) + bend
	s, c := sincos(-a.t0)
	ds, dc := sincos(-step)
	bs, bc := little(-2 * bend)
	re, im := a.re, a.im
	i, q = i[:knot], q[:knot]
	for n := range i {
		i[n] += float64(re*c) - float64(im*s)
		q[n] += float64(re*s) + float64(im*c)
		s, c = float64(s*dc)+float64(c*ds), float64(c*dc)-float64(s*ds)
		ds, dc = float64(ds*bc)+float64(dc*bs), float64(dc*bc)-float64(ds*bs)
		re, im = re+a.dre, im+a.dim
	}
}

// little returns the sine and cosine of an angle in turns, within 1e-9 up to
// 1/60 of a turn.
func little(turns float64) (s, c float64) {
	x := 2 * math.Pi * turns
	z := x * x
	s = x * (1 - float64(z/6*(1-z/20)))
	c = 1 - float64(z/2*(1-float64(z/12*(1-z/30))))
	return s, c
}

// addWheels adds four points on the rim of each wheel of the near side. A rim's
// speed lies between 0 at the road and twice the vehicle's at the top.
func (e *echo) addWheels(g *generator) {
	k := e.kind
	points := float64(4 * len(k.axles))
	for n, place := range k.axles {
		behind := place
		if e.drive.toward > 0 { // the rear is the near end
			behind = k.length - place
		}
		middle := e.x[knots] + behind
		near := 1 - math.Abs(middle)/wheelReach
		if near <= 0 {
			continue
		}
		power := g.road.beam.power(middle, e.y[knots]) + e.vehicle.reflection() - wheelLevel - decibels(points)
		e.addWheel(g, behind, float64(n), amplitude(power)*min(1, 3*near))
	}
}

// addWheel adds the points of one wheel, a quarter of a turn apart. The strength
// changes by chunk, little enough not to be heard.
func (e *echo) addWheel(g *generator, behind, turn, level float64) {
	radius := e.kind.wheel
	hub := g.road.beam.height + 0.3 // below the radar
	var way [4][2*knots + 1]float64
	for k := range e.x {
		s, c := sincos(turn + e.turned[k]/(2*math.Pi*radius))
		s, c = float64(s*radius*e.drive.toward), float64(c*radius)
		x := e.x[k] + behind
		side := math.Abs(e.y[k]) - float64(e.kind.width/2)
		rim := [4][2]float64{{s, c}, {c, -s}, {-s, -c}, {-c, s}}
		for p := range rim {
			way[p][k] = float64(g.turnsPerMetre * hypot3(x+rim[p][0], side, hub-rim[p][1]))
		}
	}
	for p := range way {
		for k := range knots {
			a := span{t0: way[p][2*k], t1: way[p][2*k+1], t2: way[p][2*k+2]}
			if a.re = level * filter((a.t2-a.t0)/knot); a.re > 0 {
				a.add(g.i[knot*k:], g.q[knot*k:])
			}
		}
	}
}

// fading is the Rician fading of one scattering centre as a function of its
// place: a steady part, and a scattered part that is a smooth complex Gaussian
// process with a value of its own every fadeStep.
type fading struct {
	key  uint64
	cell int64
	re   [4]float64
	im   [4]float64
}

func newFading(seed uint64, vehicle, centre int) *fading {
	f := new(fading)
	f.begin(seed, vehicle, centre)
	return f
}

func (f *fading) begin(seed uint64, vehicle, centre int) {
	f.key = mix(mix(seed^mix(uint64(vehicle)+1)) + uint64(centre))
	f.cell = math.MinInt64
}

// at returns the complex factor at a place; its mean power is 1.
func (f *fading) at(x float64) (re, im float64) {
	place := x / fadeStep
	cell := int64(math.Floor(place))
	if cell != f.cell {
		f.cell = cell
		for k := range f.re {
			f.re[k], f.im[k] = gaussians(f.key, cell+int64(k))
		}
	}
	w := spline(place - float64(cell))
	for k := range w {
		re += float64(w[k] * f.re[k])
		im += float64(w[k] * f.im[k])
	}
	const steady = 0.8660254037844386 // √(K/(K+1))
	return steady + float64(scattered*re), scattered * im
}

// splinePower is the mean of the summed squares of the weights of [spline].
const splinePower = 151.0 / 315

// scattered is the strength of the scattered part: √(1/(K+1)/2/splinePower).
const scattered = 0.510648205131452

// spline returns the weights of a cubic B-spline at a place u of its cell.
func spline(u float64) [4]float64 {
	v := 1 - u
	return [4]float64{
		v * v * v / 6,
		(float64(u*u*(float64(3*u)-6)) + 4) / 6,
		(float64(v*v*(float64(3*v)-6)) + 4) / 6,
		u * u * u / 6,
	}
}
