package simcam

import "math"

// hash returns a value of 0 to 1 for a place on a grid.
func hash(x, y int32, key uint32) float64 {
	h := uint32(x)*0x8da6b343 ^ uint32(y)*0xd8163841 ^ key*0xcb1ab31f
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	h ^= h >> 15
	return float64(h) / (1 << 32)
}

// noise is smooth noise of 0 to 1 with one value a unit.
func noise(x, y float64, key uint32) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	u, v := x-fx, y-fy
	u, v = u*u*(3-2*u), v*v*(3-2*v)
	ix, iy := int32(fx), int32(fy)
	a := lerp(hash(ix, iy, key), hash(ix+1, iy, key), u)
	b := lerp(hash(ix, iy+1, key), hash(ix+1, iy+1, key), u)
	return lerp(a, b, v)
}

// cloudy is noise of several scales, 0 to 1.
func cloudy(x, y float64, octaves int, key uint32) float64 {
	sum, weight, total := 0.0, 0.5, 0.0
	for k := range octaves {
		sum += weight * noise(x, y, key+uint32(k))
		total += weight
		weight /= 2
		x, y = x*2.03+17.1, y*2.03-9.7
	}
	return sum / total
}
