package enforce

import "ciglio/sensor"

// A Tolerance is how far a second speed may lie from the primary one: the larger
// of a flat part and a share of the primary speed. It is part of the signed
// configuration.
type Tolerance struct {
	Flat    sensor.Speed
	Percent int64 // of the primary speed
}

// Of returns the tolerance at a primary speed. The share is rounded down to a
// hundredth of a km/h, so that the remainder narrows it.
func (t Tolerance) Of(primary sensor.Speed) sensor.Speed {
	return max(t.Flat, sensor.Speed(int64(primary)*t.Percent/100))
}

// Agree reports whether a second speed confirms the primary one: they differ by
// no more than tolerance, as [Tolerance.Of] gives it. It only confirms: the
// measured speed is the primary one, whatever the second is, and the two are
// never averaged. A speed of 0 is none and agrees with nothing.
func Agree(primary, second, tolerance sensor.Speed) bool {
	if primary <= 0 || second <= 0 || tolerance < 0 {
		return false
	}
	off := int64(primary) - int64(second)
	return max(off, -off) <= int64(tolerance)
}
