package track

import (
	"math"

	"ciglio/sensor"
)

// compare looks at which vehicles are near each other.
func (t *Tracker) compare() {
	for _, k := range t.live {
		k.beside, k.view = 0, t.geometry.view(&k.estimate)
	}
	for i, a := range t.live {
		for _, b := range t.live[:i] {
			if len(a.points) < 2 || len(b.points) < 2 || !a.confirmed && !b.confirmed {
				continue
			}
			if near(a, b, &t.o.Resolution) {
				a.crowd()
				b.crowd()
			}
			if beside(a, b) {
				a.beside++
				b.beside++
			}
		}
	}
	for _, k := range t.live {
		if off := math.Abs(math.Abs(k.pos) - t.geometry.photo); off <= k.nearest || !k.ranged {
			k.nearest, k.others = off, k.beside
		}
	}
}

func (k *track) crowd() {
	k.crowded, k.ever = true, true
	k.points[len(k.points)-1].marks |= markCrowded
}

// final takes the sensor's own verdict on a vehicle. It belongs to the track
// whose readings it lies among; one that fits none is another vehicle's.
func (t *Tracker) final(r *sensor.Reading) {
	var best *track
	least := sensor.Speed(math.MaxInt32)
	for _, list := range [2][]*track{t.live, t.waiting} {
		for _, k := range list {
			slack := max(t.o.Step, r.Speed/33)
			middle := (k.slowest + k.fastest) / 2
			turned := r.Direction == sensor.Approaching && k.away > k.toward || r.Direction == sensor.Receding && k.toward > k.away
			if off := max(r.Speed-middle, middle-r.Speed); k.confirmed && !turned && r.Speed >= k.slowest-slack && r.Speed <= k.fastest+slack && off < least {
				best, least = k, off
			}
		}
	}
	if best == nil {
		t.counters.lone.Add(1)
		t.leftBeam(span{r.At, r.At})
		return
	}
	best.simulated = best.simulated || r.Has(sensor.FlagSimulated)
	best.keep(r, max(best.last, r.At), 0)
}

// targets counts the other vehicles: where the sensor cannot separate them,
// all that were in the beam with it; else those that a picture could show in
// its place.
func (t *Tracker) targets(k *track) int {
	if t.o.Separates {
		return k.others
	}
	from, to := k.first.Add(-guardTime), k.last.Add(guardTime)
	n := 0
	for _, list := range [2][]*track{t.live, t.waiting} {
		for _, o := range list {
			if o != k && o.confirmed && o.first <= to && o.last >= from {
				n++
			}
		}
	}
	for _, s := range t.gone {
		if s.first <= to && s.last >= from {
			n++
		}
	}
	return n
}
