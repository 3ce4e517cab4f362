package simulate

import (
	"math"
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

	drive *drive
}

// SpeedAt returns the speed along the road at an instant from the start of the
// road, to the nearest hundredth of a km/h.
func (t Truth) SpeedAt(at time.Duration) sensor.Speed {
	if t.drive == nil {
		return t.Speed
	}
	return nearest(t.drive.speed((at - t.Passing).Seconds()))
}

// MeanSpeed returns the mean speed over an interval from the start of the road,
// to the nearest hundredth of a km/h: what a sensor that measures over it should
// report.
func (t Truth) MeanSpeed(from, until time.Duration) sensor.Speed {
	if t.drive == nil || until <= from {
		return t.SpeedAt(from)
	}
	a, b := (from - t.Passing).Seconds(), (until - t.Passing).Seconds()
	return nearest((t.drive.at(b).travelled(b) - t.drive.at(a).travelled(a)) / (b - a))
}

// PlaceAt returns where the reflecting end is at an instant from the start of
// the road, in metres along the road and across it.
func (t Truth) PlaceAt(at time.Duration) (x, y float64) {
	since := (at - t.Passing).Seconds()
	y, _ = t.drive.across(since)
	return t.drive.x(since), y
}

func nearest(mps float64) sensor.Speed { return sensor.Speed(math.RoundToEven(mps * 360)) }

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
		truth[i] = Truth{Vehicle: v, drive: &r.drives[i]}
		seen, ok := r.above(v, &r.drives[i], detectLevel)
		if !ok {
			continue
		}
		t := &truth[i]
		t.Alone = true
		t.Enter, t.Leave = time.Duration(seen.from*1e9), time.Duration(seen.to*1e9)
		longest = max(longest, (t.Enter - v.Passing).Abs(), (t.Leave - v.Passing).Abs())
	}
	// The intervals of two vehicles touch only when their passings are less
	// than two of them apart.
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
