package geometry

import "math"

const (
	fitNear    = 1.5   // distance over offset from which the line is one line
	fitFar     = 4.0   // and to which it must reach at least
	fitWay     = 100.0 // m of road
	fitMisfit  = 0.004 // of the speed, within which a vehicle held its speed
	fitChange  = 0.004 // the same for the change from the far to the near half
	fitSure    = 0.002 // of the speed, standard uncertainty
	shortN     = 24    // readings that tell the geometry of a vehicle without a zone
	shortStart = 0.5   // s: before, it was in the beam already when the signal began
	MostChange = 0.006 // of the speed, change within the zone of a vehicle that holds it
	// What the angle takes away falls with the square of the distance, and its change
	// with the cube: 16 m farther out, in the zones in which it matters, to 0.64 or less.
	stillChange = 0.002   // of the speed, change within the zone in which it matters no more
	angleChange = 0.7     // of the change before, that is left
	longest     = 16.0    // m from the near end of a vehicle to the last place that reflects
	angleMost   = 1.5     // times by which the speed may change more than the angle lets it
	angleGain   = 0.009   // of the speed, by which one is stated above all that was read
	angleLost   = 0.007   // of the speed, the most by which it is stated too low then
	mostHidden  = 0.01    // of the speed, and
	leastHidden = 1 / 3.6 // m/s, what the angle may hide where nothing fits: both, and the speed would be wrong
	unfitted    = 0.012   // of the speed, what the angle may hide where nothing fits
)

// A course is the way of a vehicle that held its speed.
type course struct {
	speed, u float64 // m/s and its standard uncertainty
	x0, tau  float64 // s
}

// fit finds the speed, the instant of the closest point and the offset that
// explain a track best as a vehicle that held its speed, and reports whether
// they explain it: then, and only then, the angle under which the vehicle was
// seen is known at every instant, and the speed corrected for it stands.
// Least squares by Gauss and Newton with limited residuals.
func (g *Gauge) fit(p geometry) (course, bool) {
	v, x0, tau := p.top, p.x0, p.tau
	limit := g.until(fitWay/p.top + g.x[p.bend])
	var u, rms float64
	for range 12 {
		var a [3][4]float64
		var n, square float64
		clip := 0.01 * v
		for i := range limit {
			y := (g.x[i] + x0) / tau
			if y < fitNear {
				continue
			}
			h := math.Sqrt(1 + y*y)
			c, dc := y/h, 1/(h*h*h)
			r := g.v[i] - v*c
			weight := 1.0
			if math.Abs(r) > clip {
				weight = clip / math.Abs(r)
			}
			d := [3]float64{c, v * dc / tau, -v * dc * y / tau}
			for j := range d {
				for k := range d {
					a[j][k] += weight * d[j] * d[k]
				}
				a[j][3] += weight * d[j] * r
			}
			n++
			square += weight * weight * r * r
		}
		if n < MinZoneN {
			return course{}, false
		}
		step, inverse, ok := solve(a)
		if !ok {
			return course{}, false
		}
		rms = math.Sqrt(square / n)
		u = rms * math.Sqrt(3*inverse) // one reading in three is independent
		v, x0, tau = v+step[0], x0+step[1], tau+step[2]
		if !(v > 0 && tau > 0 && tau*v < maxOffset && math.Abs(x0) < 10) {
			return course{}, false
		}
	}
	// Neither the near nor the far half may lie off: residuals that were limited
	// above hide a geometry that is none.
	half := (fitNear + min((g.x[limit-1]+x0)/tau, 12)) / 2
	near, far := g.rough[:0], g.good[:0]
	for i := range limit {
		y := (g.x[i] + x0) / tau
		switch r := g.v[i] - v*y/math.Sqrt(1+y*y); {
		case y >= half:
			far = append(far, r)
		case y >= fitNear:
			near = append(near, r)
		}
	}
	if len(near) == 0 || len(far) == 0 {
		return course{}, false
	}
	n, f := g.median(near), g.median(far)
	return course{speed: v, u: u, x0: x0, tau: tau},
		(g.x[limit-1]+x0)/tau >= fitFar && rms < fitMisfit*v && u < fitSure*v &&
			math.Abs(n-f) < fitChange*v && math.Abs(f) < fitChange*v
}

// solve returns the solution of three linear equations and the first element
// of the inverse of their matrix.
func solve(a [3][4]float64) (x [3]float64, inverse float64, ok bool) {
	minor := func(i, j, k, l int) float64 { return a[i][k]*a[j][l] - a[i][l]*a[j][k] }
	det := a[0][0]*minor(1, 2, 1, 2) - a[0][1]*minor(1, 2, 0, 2) + a[0][2]*minor(1, 2, 0, 1)
	if !(math.Abs(det) > 1e-18) {
		return x, 0, false
	}
	for c := range x { // Cramer's rule
		b := a
		for r := range b {
			b[r][c] = a[r][3]
		}
		d := b[0][0]*(b[1][1]*b[2][2]-b[1][2]*b[2][1]) - b[0][1]*(b[1][0]*b[2][2]-b[1][2]*b[2][0]) + b[0][2]*(b[1][0]*b[2][1]-b[1][1]*b[2][0])
		x[c] = d / det
	}
	return x, minor(1, 2, 1, 2) / det, true
}
