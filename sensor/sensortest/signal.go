package sensortest

import (
	"math"
	"math/rand/v2"

	"ciglio/sensor"
)

const (
	ricianK     = 3.0  // steady power of an echo over its scattered power
	fadeStep    = 0.45 // m between independent values of the scattered part
	wheelLevel  = 27.0 // dB below the body's echo, all wheels together
	wheelRadius = 0.32 // m
	wheelReach  = 14.0 // m: wheels are heard nearer than this
	imageLevel  = 25.0 // dB: rejection of the mirror frequency
	toneHz      = 7_900.0
	toneLevel   = -52.0 // dB of full scale
	cornerHz    = 250.0 // below it 1/f noise exceeds white noise
	chunk       = 256   // samples made at a time
	knot        = 16    // samples between values of an echo's amplitude
	pinkStep    = 8     // samples between values of 1/f noise
)

// mains are the lines of the power supply, alike in I and Q.
var mains = [...]struct{ hz, level float64 }{{50, -58}, {100, -52}, {150, -58}, {300, -55}}

// generator makes the samples of a road in order. It works in chunks that start
// at multiples of their length, so that samples do not depend on how they are
// read.
type generator struct {
	road   *Road
	rng    *rand.Rand
	next   uint64 // first sample of the next chunk
	lambda float64
	oldest int // vehicles before it are out of reach for good
	echoes map[int]*echo
	pink   [2]pink
	i, q   [chunk]float64
}

func newGenerator(r *Road) *generator {
	g := &generator{
		road:   r,
		rng:    rand.New(rand.NewPCG(r.scenario.Seed, 0x63_69_67_6c_69_6f)),
		lambda: lightSpeed / float64(r.scenario.Radar.Carrier),
		echoes: map[int]*echo{},
	}
	return g
}

// fill makes the next chunk, as floats on the steps of a 16-bit converter.
func (g *generator) fill(i, q *[chunk]float32) {
	rate := float64(g.road.scenario.Radar.Rate)
	start := float64(g.next) / rate
	clear(g.i[:])
	clear(g.q[:])
	g.addEchoes(start, rate)
	if !g.road.scenario.Ideal {
		g.addNoise(start, rate)
		g.unbalance()
	}
	for n := range chunk {
		i[n], q[n] = quantise(g.i[n]), quantise(g.q[n])
	}
	g.next += chunk
}

// quantise rounds to the steps of a 16-bit converter and clips at its ends.
func quantise(x float64) float32 {
	return float32(min(max(math.RoundToEven(x*32768), -32768), 32767) / 32768)
}

func (g *generator) addEchoes(start, rate float64) {
	end := start + chunk/rate
	vehicles, windows := g.road.vehicles, g.road.signal
	// The reach is the same length of road for all, so a slow vehicle that
	// passes later may be heard earlier: look as far ahead as the slowest needs.
	ahead := end + 2*maxReach/g.road.slowest
	for k := g.oldest; k < len(vehicles) && vehicles[k].Passing.Seconds() <= ahead; k++ {
		if windows[k].to < start {
			delete(g.echoes, k)
			if k == g.oldest {
				g.oldest++
			}
			continue
		}
		if windows[k].from >= end || windows[k].from == windows[k].to {
			continue
		}
		e := g.echoes[k]
		if e == nil {
			e = newEcho(g.road, k)
			g.echoes[k] = e
		}
		e.add(g, start, rate)
	}
}

// addNoise adds white and 1/f noise, the constant tone and the mains.
func (g *generator) addNoise(start, rate float64) {
	gain := math.Pow(10, g.road.scenario.Radar.Gain/20)
	sigma := gain * noiseLevel / math.Sqrt2 * math.Sqrt(rate/20_000)
	for n := range chunk {
		if n%pinkStep == 0 {
			g.pink[0].step(g.rng, rate/pinkStep)
			g.pink[1].step(g.rng, rate/pinkStep)
		}
		part := float64(n%pinkStep) / pinkStep
		g.i[n] += sigma * (g.rng.NormFloat64() + g.pink[0].between(part))
		g.q[n] += sigma * (g.rng.NormFloat64() + g.pink[1].between(part))
	}
	// The tone enters I and Q with different strength and phase.
	tone := gain * math.Pow(10, toneLevel/20)
	addLine(&g.i, toneHz, tone, 0, start, rate)
	addLine(&g.q, toneHz, 0.7*tone, 0.4, start, rate)
	for _, m := range mains {
		level := gain * math.Pow(10, m.level/20)
		addLine(&g.i, m.hz, level, 0, start, rate)
		addLine(&g.q, m.hz, level, 0, start, rate)
	}
}

// addLine adds a sine whose phase is exact at the start of the chunk.
func addLine(x *[chunk]float64, hz, level, phase, start, rate float64) {
	turns := hz * start
	s, c := math.Sincos(2*math.Pi*(turns-math.Floor(turns)) + phase)
	ds, dc := math.Sincos(2 * math.Pi * hz / rate)
	for n := range x {
		x[n] += level * s
		s, c = s*dc+c*ds, c*dc-s*ds
	}
}

// unbalance adds the mirror image that unequal I and Q channels make: z becomes
// z + κ·z*, with |κ| the image level.
func (g *generator) unbalance() {
	s, c := math.Sincos(0.8)
	kappa := math.Pow(10, -imageLevel/20)
	s, c = s*kappa, c*kappa
	for n := range chunk {
		i, q := g.i[n], g.q[n]
		g.i[n], g.q[n] = i+c*i+s*q, q+s*i-c*q
	}
}

// pink is noise with a power density of cornerHz/f against white noise of unit
// density, made of four first-order low passes with corners a factor of 4
// apart.
type pink struct {
	state    [4]float64
	from, to float64
}

func (p *pink) step(rng *rand.Rand, rate float64) {
	const ratio = 4.0
	// The sum of Lorentz curves spaced by a ratio is π/(2·ln ratio) of a 1/f
	// law through their heights.
	share := 2 * math.Log(ratio) / math.Pi
	p.from, p.to = p.to, 0
	for k, corner := 0, cornerHz/64; k < len(p.state); k, corner = k+1, corner*ratio {
		a := math.Exp(-2 * math.Pi * corner / rate)
		// White noise of unit density at the full rate, seen at this rate.
		drive := math.Sqrt(share * cornerHz / corner / pinkStep)
		p.state[k] = a*p.state[k] + (1-a)*drive*rng.NormFloat64()
		p.to += p.state[k]
	}
}

func (p *pink) between(part float64) float64 { return p.from + (p.to-p.from)*part }

// echo makes what the radar hears of one vehicle.
type echo struct {
	v     Vehicle
	heard window
	key   uint64
	side  float64 // m from the radar at the closest point
	fade  fading
}

func newEcho(r *Road, index int) *echo {
	v := r.vehicles[index]
	return &echo{v: v, heard: r.signal[index], side: r.side(v),
		key: mix(r.scenario.Seed ^ mix(uint64(index)+1)), fade: fading{cell: math.MinInt}}
}

// add adds the echo to the chunk that begins at start. The amplitude is exact
// every few samples and linear between; the phase is exact at every sample.
func (e *echo) add(g *generator, start, rate float64) {
	speed, passing := e.v.Speed.MPS(), e.v.Passing.Seconds()
	sign := 1.0
	if e.v.Direction == sensor.Approaching {
		sign = -1
	}
	turnsPerMetre := 2 / g.lambda
	re0, im0 := e.gain(g.road, start)
	for from := 0; from < chunk; from += knot {
		re1, im1 := e.gain(g.road, start+float64(from+knot)/rate)
		dre, dim := (re1-re0)/knot, (im1-im0)/knot
		if re0 == 0 && im0 == 0 && re1 == 0 && im1 == 0 {
			continue
		}
		re, im := re0, im0
		for n := from; n < from+knot; n++ {
			x := sign * speed * (start + float64(n)/rate - passing)
			turns := turnsPerMetre * math.Sqrt(x*x+e.side*e.side)
			s, c := math.Sincos(2 * math.Pi * (math.Floor(turns) - turns))
			g.i[n] += re*c - im*s
			g.q[n] += re*s + im*c
			re, im = re+dre, im+dim
		}
		re0, im0 = re1, im1
	}
	if !g.road.scenario.Ideal {
		e.addWheels(g, start, rate, sign*speed)
	}
}

// gain returns the complex amplitude at t: range law, beam and fading.
func (e *echo) gain(r *Road, t float64) (re, im float64) {
	if t < e.heard.from || t > e.heard.to {
		return 0, 0
	}
	x := e.v.at(t)
	amplitude := math.Pow(10, r.power(e.v, x, math.Hypot(x, e.side))/20)
	if r.scenario.Ideal {
		return amplitude, 0
	}
	re, im = e.fade.at(e.key, x)
	return amplitude * re, amplitude * im
}

// addWheels adds eight points on the rims of the front and the rear wheel of
// the near side. A rim's speed lies between 0 at the road and twice the
// vehicle's at the top.
func (e *echo) addWheels(g *generator, start, rate, velocity float64) {
	length, width, _ := e.v.Class.Size()
	lateral := math.Sqrt(e.side*e.side-g.road.scenario.Radar.Height*g.road.scenario.Radar.Height) - width/2
	hub := g.road.scenario.Radar.Height + 0.3 // below the radar
	turnsPerMetre := 2 / g.lambda
	speed, passing := math.Abs(velocity), e.v.Passing.Seconds()
	// Seen from the radar the body lies beyond its reflecting end, whichever
	// way the vehicle goes.
	amplitude := e.wheelAmplitude(g.road, e.v.at(start))
	if amplitude == 0 {
		return
	}
	for wheel, behind := range [...]float64{0.2 * length, 0.8 * length} {
		for n := range chunk {
			t := start + float64(n)/rate - passing
			x := velocity*t + behind
			turn := speed*t/wheelRadius + float64(wheel)
			rs, rc := math.Sincos(turn)
			rs, rc = rs*wheelRadius, rc*wheelRadius
			if velocity < 0 {
				rs = -rs
			}
			var si, sq float64
			for _, rim := range [4][2]float64{{rs, rc}, {rc, -rs}, {-rs, -rc}, {-rc, rs}} {
				dx, dz := x+rim[0], hub-rim[1]
				turns := turnsPerMetre * math.Sqrt(dx*dx+lateral*lateral+dz*dz)
				s, c := math.Sincos(2 * math.Pi * (math.Floor(turns) - turns))
				si, sq = si+c, sq+s
			}
			g.i[n] += amplitude * si
			g.q[n] += amplitude * sq
		}
	}
}

// wheelAmplitude returns the amplitude of one rim point. It changes by chunk,
// little enough not to be heard.
func (e *echo) wheelAmplitude(r *Road, x float64) float64 {
	near := 1 - math.Abs(x)/wheelReach
	if near <= 0 {
		return 0
	}
	level := r.power(e.v, x, math.Hypot(x, e.side)) - wheelLevel
	return math.Pow(10, level/20) / math.Sqrt(8) * min(1, 3*near)
}

// fading is the Rician fading of one vehicle as a function of its place: a
// steady part, and a scattered part that is a smooth complex Gaussian process
// with a value of its own every fadeStep.
type fading struct {
	cell int
	re   [4]float64
	im   [4]float64
}

func (f *fading) at(key uint64, x float64) (re, im float64) {
	place := x / fadeStep
	cell := int(math.Floor(place))
	if cell != f.cell {
		f.cell = cell
		for k := range f.re {
			f.re[k], f.im[k] = gaussians(key, int64(cell+k))
		}
	}
	// Cubic B-spline weights; the sum of their squares is near 0.48.
	u := place - float64(cell)
	w := [4]float64{
		(1 - u) * (1 - u) * (1 - u) / 6,
		(3*u*u*u - 6*u*u + 4) / 6,
		(-3*u*u*u + 3*u*u + 3*u + 1) / 6,
		u * u * u / 6,
	}
	for k := range w {
		re += w[k] * f.re[k]
		im += w[k] * f.im[k]
	}
	scattered := math.Sqrt(1 / (ricianK + 1) / 2 / 0.479)
	return math.Sqrt(ricianK/(ricianK+1)) + scattered*re, scattered * im
}

// gaussians returns two independent normal values that depend on key and n
// alone.
func gaussians(key uint64, n int64) (a, b float64) {
	h := mix(key + uint64(n)*0x9e3779b97f4a7c15)
	u := (float64(h>>11) + 0.5) / (1 << 53)
	v := float64(mix(h)>>11) / (1 << 53)
	s, c := math.Sincos(2 * math.Pi * v)
	r := math.Sqrt(-2 * math.Log(u))
	return r * c, r * s
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
