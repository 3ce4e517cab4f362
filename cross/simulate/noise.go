package simulate

import (
	"math"
	"sync"
)

// normal draws normal numbers by the ziggurat of Marsaglia and Tsang with 256
// layers, and whole numbers by SplitMix64.
type normal struct {
	state uint64
	table *ziggurat
}

// ziggurat covers the half bell exp(−x²/2) by layers of equal area. Layer n
// reaches from 0 to edge[n]; what lies within edge[n+1] is under the bell
// for sure. Layer 0 is the base with the tail.
type ziggurat struct {
	edge  [257]float64
	bell  [257]float64 // at the edges
	scale [256]float64 // of 53 random bits to a place in the layer
	sure  [256]uint64  // below it the place is under the bell
}

const (
	tailStart = 3.6541528853610088 // the edge of the base of 256 layers
	layerArea = 0.00492867323399
)

var newZiggurat = sync.OnceValue(func() *ziggurat {
	z := new(ziggurat)
	half := func(x float64) float64 { return exp(-x * x / 2) }
	z.edge[0], z.edge[1] = layerArea/half(tailStart), tailStart
	for n := 2; n < 256; n++ {
		above := layerArea/z.edge[n-1] + half(z.edge[n-1])
		z.edge[n] = math.Sqrt(-2 * log(above))
	}
	for n := range z.edge {
		z.bell[n] = half(z.edge[n])
	}
	for n := range z.scale {
		z.scale[n] = z.edge[n] / (1 << 53)
		z.sure[n] = uint64(z.edge[n+1] / z.edge[n] * (1 << 53))
	}
	return z
})

func newNormal(seed uint64) normal { return normal{seed, newZiggurat()} }

func (r *normal) bits() uint64 {
	r.state += golden
	return mix(r.state)
}

// next returns a normal number.
func (r *normal) next() float64 {
	b := r.bits()
	layer, place := b&255, b>>11
	x := float64(int64(place)) * r.table.scale[layer]
	if place >= r.table.sure[layer] {
		x = r.rare(layer, x)
	}
	// The sign bit, without a branch that nobody can foresee.
	return math.Float64frombits(math.Float64bits(x) ^ b<<55&(1<<63))
}

// rare finds a number where the layer alone does not tell: near the bell's
// edge, and in its tail.
func (r *normal) rare(layer uint64, x float64) float64 {
	for {
		if layer == 0 {
			return r.tail()
		}
		low, high := r.table.bell[layer], r.table.bell[layer+1]
		if low+float64((high-low)*r.uniform()) < exp(-x*x/2) {
			return x
		}
		b := r.bits()
		layer = b & 255
		place := b >> 11
		x = float64(int64(place)) * r.table.scale[layer]
		if place < r.table.sure[layer] {
			return x
		}
	}
}

func (r *normal) uniform() float64 { return (float64(int64(r.bits()>>11)) + 0.5) / (1 << 53) }

// tail draws from beyond tailStart, by Marsaglia's method.
func (r *normal) tail() float64 {
	for {
		x := -log(r.uniform()) / tailStart
		y := -log(r.uniform())
		if y+y >= x*x {
			return tailStart + x
		}
	}
}

// pink is noise with a power density of corner/f against white noise of unit
// density, made of four first-order low passes with corners a factor of 4
// apart. It has a value every pinkStep samples and straight lines between.
type pink struct {
	keep, drive  [4]float64
	state        [4]float64
	before, last float64
}

func newPink(corner, rate float64) pink {
	var p pink
	if corner <= 0 {
		return p
	}
	// The sum of Lorentz curves spaced by a ratio is π/(2·ln ratio) of a 1/f
	// law through their heights.
	const ratio, share = 4.0, 2 * (2 * math.Ln2) / math.Pi
	hz := corner / 64
	for k := range p.keep {
		p.keep[k] = exp(-2 * math.Pi * hz / (rate / pinkStep))
		// White noise of unit density at the full rate, seen at this rate.
		p.drive[k] = (1 - p.keep[k]) * math.Sqrt(share*corner/hz/pinkStep)
		hz *= ratio
	}
	return p
}

func (p *pink) step(r *normal) {
	if p.drive[0] == 0 {
		return
	}
	p.before, p.last = p.last, 0
	for k := range p.state {
		p.state[k] = float64(p.keep[k]*p.state[k]) + float64(p.drive[k]*r.next())
		p.last += p.state[k]
	}
}

// line returns the first value of the stretch and the step from sample to
// sample.
func (p *pink) line() (from, step float64) { return p.before, float64((p.last - p.before) / pinkStep) }
