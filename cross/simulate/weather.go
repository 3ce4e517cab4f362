package simulate

import "math"

// cloud is noise in a band of frequencies: a smooth complex Gaussian process,
// which has a value of its own every so many samples and a cubic B-spline
// between, turned by a frequency. Rain is one, moving vegetation two.
type cloud struct {
	key    uint64
	every  float64 // cells a sample
	shift  float64 // turns a sample
	level  float64 // standard deviation of a channel against that of the spline
	cell   int64
	re, im [4]float64
}

// newCloud makes noise of a power in dB of full scale whose frequencies have
// the given mean and standard deviation, in turns a sample.
func newCloud(key uint64, level, mean, spread float64) cloud {
	// From the curvature of the spline's correlation at 0.
	const unit = 0.1876900739228294
	return cloud{
		key: mix(key), every: spread / unit, shift: mean,
		level: amplitude(level) * math.Sqrt(1/(2*splinePower)), cell: math.MinInt64,
	}
}

// addWeather prepares rain and vegetation.
func (g *generator) addWeather(s *Scenario, gain float64) {
	perSample := func(mps float64) float64 { return mps * g.turnsPerMetre / g.rate }
	over := float64(2 * decibels(gain))
	if r := s.Rain; r != nil {
		mean := perSample(r.Speed.MPS())
		if r.Away {
			mean = -mean
		}
		g.clouds = append(g.clouds, newCloud(s.Seed^0x7261696e, r.Level+over, mean, perSample(r.Spread.MPS())))
	}
	if p := s.Plants; p != nil {
		// Most of it moves little and some of it much, as branches and leaves
		// do: the spectrum falls slower than a bell.
		spread := perSample(p.Spread.MPS())
		g.clouds = append(g.clouds,
			newCloud(s.Seed^0x6272616e6368, p.Level+over+decibels(0.8), 0, spread/2),
			newCloud(s.Seed^0x6c656166, p.Level+over+decibels(0.2), 0, 2*spread))
	}
}

// add adds the noise to a chunk.
func (c *cloud) add(g *generator) {
	place := float64(float64(g.next) * c.every)
	cell := int64(math.Floor(place))
	u := place - float64(cell)
	c.seek(cell)
	s, k := sincos(float64(g.next) * c.shift)
	s, k = s*c.level, k*c.level
	ds, dk := sincos(c.shift)
	for n := range chunk {
		w := spline(u)
		var re, im float64
		for j := range w {
			re += float64(w[j] * c.re[j])
			im += float64(w[j] * c.im[j])
		}
		g.i[n] += float64(re*k) - float64(im*s)
		g.q[n] += float64(re*s) + float64(im*k)
		s, k = float64(s*dk)+float64(k*ds), float64(k*dk)-float64(s*ds)
		for u += c.every; u >= 1; u-- {
			c.seek(c.cell + 1)
		}
	}
}

// seek moves to a cell, which nearly always is the next one or the same.
func (c *cloud) seek(cell int64) {
	if cell == c.cell {
		return
	}
	from := 0
	if cell == c.cell+1 {
		copy(c.re[:], c.re[1:])
		copy(c.im[:], c.im[1:])
		from = 3
	}
	c.cell = cell
	for k := from; k < 4; k++ {
		c.re[k], c.im[k] = gaussians(c.key, cell+int64(k))
	}
}
