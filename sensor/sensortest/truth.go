package sensortest

import (
	"slices"
	"time"

	"ciglio/sensor"
)

// Truth is what is known of one vehicle of a road.
type Truth struct {
	Vehicle
	// Enter and Leave are the ends of the stretch in which a radar could see
	// the vehicle, from the start of the road. Both are 0 when it never could.
	Enter, Leave time.Duration
	// Overlap is the longest time that another vehicle could be seen together
	// with this one.
	Overlap time.Duration
	// Alone says that no other vehicle could be seen from shortly before Enter
	// to shortly after Leave. A vehicle that is not alone and has little
	// Overlap may be taken for alone by a sensor that is in order.
	Alone bool
}

// Violation says whether the vehicle must end as a violation of the limit: it
// was alone, and its assessed speed by the Italian rule exceeds the limit.
func (t Truth) Violation(limit sensor.Speed) bool {
	return t.Alone && assessed(t.Speed) > limit
}

// assessed returns the speed that the Italian rule compares with the limit:
// truncated to whole km/h, less the larger of 5 km/h and 5 %
// (D.P.R. 495/1992, art. 345). It is written down here once more, apart from
// the device's own, so that the two check each other.
func assessed(s sensor.Speed) sensor.Speed {
	whole := s - s%100
	return whole - max(500, whole/20)
}

// Truth returns what is known of every vehicle, in order of passing.
func (r *Road) Truth() []Truth { return slices.Clone(r.truth) }

func (r *Road) findTruth() []Truth {
	truth := make([]Truth, len(r.vehicles))
	longest := time.Duration(0)
	for i, v := range r.vehicles {
		truth[i] = Truth{Vehicle: v}
		seen, ok := r.above(v, detectLevel)
		if !ok {
			continue
		}
		truth[i].Alone = true
		truth[i].Enter = time.Duration(seen.from * 1e9)
		truth[i].Leave = time.Duration(seen.to * 1e9)
		longest = max(longest, truth[i].Leave-truth[i].Enter)
	}
	// The intervals of two vehicles touch only when their passings are less
	// than two intervals apart.
	for i := range truth {
		a := &truth[i]
		for j := i + 1; j < len(truth) && truth[j].Passing-a.Passing <= 2*longest+beamGuard; j++ {
			b := &truth[j]
			if a.Enter == a.Leave || b.Enter == b.Leave {
				continue
			}
			overlap := min(a.Leave, b.Leave) - max(a.Enter, b.Enter)
			if overlap > -beamGuard {
				a.Alone, b.Alone = false, false
			}
			a.Overlap, b.Overlap = max(a.Overlap, overlap), max(b.Overlap, overlap)
		}
	}
	return truth
}
