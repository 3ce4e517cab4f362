package simulate

import "math"

// The arithmetic of the simulator. A sample must be the same number on every
// processor, so nothing here or in the rest of the package depends on how a
// compiler or a library rounds:
//
//   - A product that is added to something stands in a conversion, which the
//     language forbids to fuse into one multiply-add.
//   - Of package math only functions are used whose results are exact or
//     correctly rounded everywhere (Sqrt, Floor, RoundToEven, Abs, Frexp, Ldexp
//     and the like). Its sine, exponential, logarithm, power and hypotenuse are
//     written in assembly for some processors, or compiled with fused
//     operations for others, and differ in their last bits. Their substitutes
//     are below, within 4e-16 of the true value.

// sincos returns the sine and the cosine of an angle in turns.
func sincos(turns float64) (s, c float64) {
	quarter := math.RoundToEven(4 * turns)
	x := float64(2 * math.Pi * (turns - float64(quarter/4))) // within an eighth of a turn
	z := x * x
	s = -1.0 / 1307674368000
	s = float64(s*z) + 1.0/6227020800
	s = float64(s*z) - 1.0/39916800
	s = float64(s*z) + 1.0/362880
	s = float64(s*z) - 1.0/5040
	s = float64(s*z) + 1.0/120
	s = float64(s*z) - 1.0/6
	s = float64(float64(s*z)*x) + x
	c = 1.0 / 20922789888000
	c = float64(c*z) - 1.0/87178291200
	c = float64(c*z) + 1.0/479001600
	c = float64(c*z) - 1.0/3628800
	c = float64(c*z) + 1.0/40320
	c = float64(c*z) - 1.0/720
	c = float64(c*z) + 1.0/24
	c = float64(c*z) - 0.5
	c = float64(c*z) + 1
	switch int64(quarter) & 3 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}

// exp returns e to the power x, for results that are normal numbers.
func exp(x float64) float64 {
	n := math.RoundToEven(x * math.Log2E)
	x = x - float64(n*math.Ln2)
	y := 1.0 / 6227020800
	y = float64(y*x) + 1.0/479001600
	y = float64(y*x) + 1.0/39916800
	y = float64(y*x) + 1.0/3628800
	y = float64(y*x) + 1.0/362880
	y = float64(y*x) + 1.0/40320
	y = float64(y*x) + 1.0/5040
	y = float64(y*x) + 1.0/720
	y = float64(y*x) + 1.0/120
	y = float64(y*x) + 1.0/24
	y = float64(y*x) + 1.0/6
	y = float64(y*x) + 0.5
	y = float64(y*x) + 1
	y = float64(y*x) + 1
	return math.Ldexp(y, int(n))
}

// log returns the natural logarithm of a positive number.
func log(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1)
	z := s * s
	y := 1.0 / 21
	for n := 19.0; n >= 1; n -= 2 {
		y = float64(y*z) + 1/n
	}
	return float64(2*s*y) + float64(float64(e)*math.Ln2)
}

// decibels returns a ratio of powers in dB.
func decibels(power float64) float64 { return float64(log(power) * (10 / math.Ln10)) }

// amplitude returns the ratio of amplitudes that is the given number of dB.
func amplitude(db float64) float64 { return exp(db * (math.Ln10 / 20)) }

func hypot(a, b float64) float64 { return math.Sqrt(float64(a*a) + float64(b*b)) }

func hypot3(a, b, c float64) float64 {
	return math.Sqrt(float64(a*a) + float64(b*b) + float64(c*c))
}

// atan2 returns the angle of (x, y) in degrees, −180 to 180.
func atan2(y, x float64) float64 {
	r := hypot(x, y)
	if r == 0 {
		return 0
	}
	// The tangent of an eighth of the angle, by halving it three times.
	x, y = x/r, y/r
	if x < 0 {
		// From the other side, where the halves are exact enough.
		a := atan2(y, -x)
		if a < 0 {
			return -180 - a
		}
		return 180 - a
	}
	u := y / (1 + x)
	for range 2 {
		u = u / (1 + math.Sqrt(1+float64(u*u)))
	}
	z := u * u
	a := 1.0 / 25
	for n := 23.0; n >= 1; n -= 2 {
		a = 1/n - float64(a*z)
	}
	return float64(8 * 180 / math.Pi * u * a)
}

// degrees returns sine and cosine of an angle in degrees.
func degrees(a float64) (s, c float64) { return sincos(a / 360) }

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// golden is the increment of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// gaussians returns two independent normal values that depend on key and n
// alone.
func gaussians(key uint64, n int64) (a, b float64) {
	h := mix(key + uint64(n)*golden)
	u := (float64(int64(h>>11)) + 0.5) / (1 << 53)
	v := float64(int64(mix(h)>>11)) / (1 << 53)
	s, c := sincos(v)
	r := math.Sqrt(-2 * log(u))
	return float64(r * c), float64(r * s)
}
