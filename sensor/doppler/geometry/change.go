package geometry

import "math"

const (
	changeSure = 0.004 // of the speed, standard uncertainty where the speed may change
	changeSame = 0.005 // of the speed, by which the two geometries may differ
)

// A changing is the way of a vehicle whose speed changes evenly: the speed v at the
// time at, growing by a each second, on a path that passes d aside and is nearest at
// the time -x0.
type changing struct {
	v, a, x0, d float64
	at          float64
}

// radial returns the speed towards the sensor at a time.
func (c *changing) radial(x float64) float64 {
	t := x - c.at
	b := -c.x0 - c.at
	along := c.v*(x+c.x0) + c.a*(t*t-b*b)/2
	return c.speed(x) * along / math.Hypot(along, c.d)
}

func (c *changing) speed(x float64) float64 { return c.v + c.a*(x-c.at) }

// held reports whether the values say by themselves that the vehicle held the speed
// of a course in the zone from … to. What a change of speed does to the line looks
// much like what the angle does, so where the readings are few both explain them, and
// the course says nothing. Least squares, as in fit, with the change free.
func (g *Gauge) held(f course, p geometry, from, to int) bool {
	first, last := g.x[from], g.x[to-1]
	c := changing{v: f.speed, x0: f.x0, d: f.tau * f.speed, at: (first + last) / 2}
	limit := g.until(fitWay/p.top + g.x[p.bend])
	clip := 0.01 * f.speed
	var u float64
	for range 12 {
		var a [4][5]float64
		var n, square float64
		steps := [4]float64{1e-4 * f.speed, 1e-3, 1e-4, 1e-3}
		for i := range limit {
			if (g.x[i]+f.x0)/f.tau < fitNear {
				continue
			}
			here := c.radial(g.x[i])
			r := g.v[i] - here
			weight := 1.0
			if math.Abs(r) > clip {
				weight = clip / math.Abs(r)
			}
			var d [4]float64
			for k := range d {
				moved := c
				*[]*float64{&moved.v, &moved.a, &moved.x0, &moved.d}[k] += steps[k]
				d[k] = (moved.radial(g.x[i]) - here) / steps[k]
			}
			for j := range d {
				for k := range d {
					a[j][k] += weight * d[j] * d[k]
				}
				a[j][4] += weight * d[j] * r
			}
			n++
			square += weight * weight * r * r
		}
		step, inverse, ok := solve4(a)
		if n < MinZoneN || !ok {
			return false
		}
		u = math.Sqrt(square / n * 3 * inverse) // one reading in three is independent
		c.v, c.a, c.x0, c.d = c.v+step[0], c.a+step[1], c.x0+step[2], c.d+step[3]
		if !(c.v > 0 && c.d > 0 && c.d < maxOffset && math.Abs(c.x0) < 10 && math.Abs(c.a) < g.acceleration) {
			return false
		}
	}
	slow, fast := min(c.speed(first), c.speed(last)), max(c.speed(first), c.speed(last))
	return u < changeSure*f.speed && f.speed > slow*(1-changeSame) && f.speed < fast*(1+changeSame)
}

// solve4 returns the solution of four linear equations and the first element of the
// inverse of their matrix, by Gauss and Jordan.
func solve4(a [4][5]float64) (x [4]float64, inverse float64, ok bool) {
	unit := [4]float64{1}
	for k := range a {
		top := k
		for i := k; i < len(a); i++ {
			if math.Abs(a[i][k]) > math.Abs(a[top][k]) {
				top = i
			}
		}
		a[k], a[top], unit[k], unit[top] = a[top], a[k], unit[top], unit[k]
		if !(math.Abs(a[k][k]) > 1e-12) {
			return x, 0, false
		}
		for i := range a {
			if i == k {
				continue
			}
			share := a[i][k] / a[k][k]
			for j := k; j < len(a[i]); j++ {
				a[i][j] -= share * a[k][j]
			}
			unit[i] -= share * unit[k]
		}
	}
	for k := range x {
		x[k] = a[k][4] / a[k][k]
	}
	return x, unit[0] / a[0][0], true
}
