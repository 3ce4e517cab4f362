package simulate

import "math"

const (
	ricianK     = 3.0  // steady power of an echo over its scattered power
	fadeStep    = 0.45 // m between independent values of the scattered part
	wheelLevel  = 27.0 // dB below the body's echo, all wheels together
	wheelReach  = 14.0 // m: wheels are heard nearer than this
	toneHz      = 7_900.0
	toneLevel   = -52.0 // dB of full scale
	chunk       = 256   // samples made at a time
	knot        = 16    // samples between exact values of an echo's phase
	knots       = chunk / knot
	pinkStep    = 8    // samples between values of 1/f noise
	filterFlat  = 0.44 // of the sampling rate: frequencies below pass the filter before the converter
	filterStops = 0.5  // of the sampling rate: what is above is gone
)

// generator makes the samples of a road in order. It works in chunks that start
// at multiples of their length, so that samples do not depend on how they are
// read.
type generator struct {
	road          *Road
	rate          float64
	turnsPerMetre float64
	next          uint64 // first sample of the next chunk
	upcoming      int    // in Road.byHeard: the first echo that has not begun
	echoes        []*echo
	idle          []*echo // of vehicles that have gone
	normal        normal
	white         float64 // standard deviation of one channel's white noise
	pink          [2]pink
	lines         []line
	clouds        []cloud
	ii, qi, qq    float64 // imbalance: I' = ii·I, Q' = qi·I + qq·Q
	steps         float64 // of the converter from 0 to full scale
	i, q          [chunk]float64
}

func newGenerator(r *Road) *generator {
	s := &r.scenario
	g := &generator{
		road:          r,
		rate:          float64(s.Radar.Rate),
		turnsPerMetre: 2 * float64(s.Radar.Carrier) / lightSpeed,
		normal:        newNormal(mix(s.Seed ^ 0x63_69_67_6c_69_6f)),
		steps:         float64(int(1) << (s.Radar.Bits - 1)),
	}
	gain := amplitude(s.Radar.Gain)
	noise := gain * amplitude(s.Radar.Noise)
	g.white = noise * noiseLevel / math.Sqrt2 * math.Sqrt(g.rate/usualRate)
	for i := range g.pink {
		g.pink[i] = newPink(s.Radar.Corner, g.rate)
	}
	g.addLines(s.Radar, gain)
	g.addWeather(s, gain)
	sin, cos := degrees(s.Radar.Imbalance.Phase)
	unequal := amplitude(s.Radar.Imbalance.Gain)
	g.ii, g.qi, g.qq = 1, unequal*sin, unequal*cos
	return g
}

// fill makes the next chunk, as floats on the steps of the converter.
func (g *generator) fill(i, q *[chunk]float32) {
	clear(g.i[:])
	clear(g.q[:])
	g.addEchoes()
	if !g.road.scenario.Ideal {
		g.addNoise()
		for l := range g.lines {
			g.lines[l].add(g)
		}
		for c := range g.clouds {
			g.clouds[c].add(g)
		}
		g.unbalance()
	}
	for n := range chunk {
		i[n], q[n] = quantise(g.i[n], g.steps), quantise(g.q[n], g.steps)
	}
	g.next += chunk
}

// quantise rounds to the steps of a converter and clips at its ends.
func quantise(x, steps float64) float32 {
	const whole = 3 << 51 // added to a small number, it leaves no room for a fraction
	x = float64(min(max(float64(x*steps), -steps), steps-1)+whole) - whole
	return float32(x / steps)
}

func (g *generator) addEchoes() {
	start := float64(g.next) / g.rate
	end := float64(g.next+chunk) / g.rate
	r := g.road
	for g.upcoming < len(r.byHeard) && r.heard[r.byHeard[g.upcoming]].from < end {
		i := r.byHeard[g.upcoming]
		g.upcoming++
		if r.heard[i].to <= r.heard[i].from || r.heard[i].to < start {
			continue
		}
		var e *echo
		if n := len(g.idle); n > 0 {
			e, g.idle = g.idle[n-1], g.idle[:n-1]
		} else {
			e = new(echo)
		}
		e.begin(r, i)
		g.echoes = append(g.echoes, e)
	}
	left := g.echoes[:0]
	for _, e := range g.echoes {
		e.add(g, start)
		if e.heard.to < end {
			g.idle = append(g.idle, e)
		} else {
			left = append(left, e)
		}
	}
	g.echoes = left
}

// addNoise adds white and 1/f noise.
func (g *generator) addNoise() {
	for n := 0; n < chunk; n += pinkStep {
		g.pink[0].step(&g.normal)
		g.pink[1].step(&g.normal)
		pi, di := g.pink[0].line()
		pq, dq := g.pink[1].line()
		i, q := g.i[n:n+pinkStep], g.q[n:n+pinkStep]
		for k := range i {
			i[k] += float64(g.white * (g.normal.next() + pi))
			q[k] += float64(g.white * (g.normal.next() + pq))
			pi, pq = pi+di, pq+dq
		}
	}
}

// unbalance makes the channels unequal.
func (g *generator) unbalance() {
	for n := range chunk {
		i, q := g.i[n], g.q[n]
		g.i[n], g.q[n] = g.ii*i, float64(g.qi*i)+float64(g.qq*q)
	}
}

// line is a constant sine in both channels.
type line struct {
	perSample    float64 // turns
	level        float64
	share, phase float64 // of Q: strength against I, turns ahead of I
	ds, dc       float64
}

// addLines prepares the tones, which enter I and Q with different strength and
// phase, and the mains, which are alike in both. What half the sampling rate
// cannot show does not pass the filter.
func (g *generator) addLines(r Radar, gain float64) {
	add := func(t Tone, share, phase float64) {
		if per := t.Hz / g.rate; math.Abs(per) < filterStops {
			s, c := sincos(per)
			g.lines = append(g.lines, line{per, gain * amplitude(t.Level), share, phase, s, c})
		}
	}
	for _, t := range r.Tones {
		add(t, 0.7, 0.4/(2*math.Pi))
	}
	for _, t := range r.Mains {
		add(t, 1, 0)
	}
}

// add turns a pointer for I from its exact place at the start of the chunk; Q is
// a fixed mixture of its two parts.
func (l *line) add(g *generator) {
	s, c := sincos(float64(g.next) * l.perSample)
	ps, pc := sincos(l.phase)
	s, c, ps, pc = s*l.level, c*l.level, ps*l.share, pc*l.share
	for n := range chunk {
		g.i[n] += s
		g.q[n] += float64(s*pc) + float64(c*ps)
		s, c = float64(s*l.dc)+float64(c*l.ds), float64(c*l.dc)-float64(s*l.ds)
	}
}
