package simulate

import (
	"math/rand/v2"
	"time"

	"ciglio/sensor"
)

// Traffic returns a road for demonstrations: about one vehicle every 4 to 5 s,
// approaching in lane 1 and receding in lane 2, on a road with the given limit,
// 50 to 130 km/h.
//
// Most vehicles are alone in the beam, with at least 1.5 s before the next.
// Some of them speed and some clearly do not: no speed is nearer than 1 km/h to
// the one from which the Italian rule sees a violation, so that an error of
// half of that does not change a verdict. One vehicle in a few is closely
// followed or met by another in the beam; their speeds differ by at least
// 8 km/h or their directions do, and a sensor without range must attribute
// neither.
//
// The first vehicle is a violation and is gone within 8 s. The last is gone 2 s
// before the end. In 30 s there are at least three violations, one vehicle that
// complies, and one pair. A demonstration without end asks for a long duration:
// a week is 130,000 vehicles.
func Traffic(seed uint64, limit sensor.Speed, duration time.Duration) Scenario {
	const start, end = 900 * time.Millisecond, 2 * time.Second
	t := traffic{rng: rand.New(rand.NewPCG(seed, 0x7261666669636f)), limit: limit, edge: firstViolation(limit)}
	s := Scenario{Seed: seed, Duration: duration}
	// A road without vehicles answers when each could be seen.
	road, err := NewRoad(s)
	if err != nil {
		return s // without a duration there is no traffic, and NewRoad says so
	}
	// What comes first is fixed, the rest is drawn.
	opening := []func() []Vehicle{
		func() []Vehicle { return []Vehicle{car(t.speeding(), sensor.Approaching)} },
		func() []Vehicle { return t.pair(road) },
		func() []Vehicle { return []Vehicle{car(t.speeding(), sensor.Receding)} },
		func() []Vehicle { return []Vehicle{car(t.obeying(), sensor.Approaching)} },
		func() []Vehicle { return []Vehicle{car(t.speeding(), sensor.Approaching)} },
	}
	for n, at := 0, start; ; n++ {
		var group []Vehicle
		if n < len(opening) {
			group = opening[n]()
		} else {
			group = t.draw(road)
		}
		first, last := road.seen(group)
		for i := range group {
			group[i].Passing += at - first
		}
		at += last - first
		if at > duration-end {
			return s
		}
		s.Vehicles = append(s.Vehicles, group...)
		at += 1500*time.Millisecond + t.upTo(500*time.Millisecond)
	}
}

// seen returns when the first of the vehicles enters the beam and the last one
// leaves it.
func (r *Road) seen(group []Vehicle) (enter, leave time.Duration) {
	for i, v := range group {
		d, err := newDrive(v, r.scenario.Radar.Lanes)
		if err != nil {
			continue // constant speed: never
		}
		w, _ := r.above(v, &d, detectLevel)
		from, to := time.Duration(w.from*1e9), time.Duration(w.to*1e9)
		if i == 0 || from < enter {
			enter = from
		}
		if i == 0 || to > leave {
			leave = to
		}
	}
	return enter, leave
}

// firstViolation returns the lowest speed that the Italian rule counts.
func firstViolation(limit sensor.Speed) sensor.Speed {
	s := limit.Truncate()
	for assessed(s) <= limit {
		s += sensor.KmH
	}
	return s
}

// traffic draws vehicles.
type traffic struct {
	rng   *rand.Rand
	limit sensor.Speed
	edge  sensor.Speed // the lowest violation
}

func (t *traffic) upTo(d time.Duration) time.Duration { return time.Duration(t.rng.Int64N(int64(d))) }

func (t *traffic) between(low, high sensor.Speed) sensor.Speed {
	return low + sensor.Speed(t.rng.Int32N(int32(high-low)))
}

// speeding returns a speed well beyond the limit, at least 68 km/h so that
// 30 s suffice for what they must hold, and below 170 km/h, which no constant
// tone of the simulation resembles.
func (t *traffic) speeding() sensor.Speed {
	low := max(t.edge+sensor.KmH, t.limit*6/5, 68*sensor.KmH)
	return t.between(low, min(low+t.limit*2/5, 170*sensor.KmH))
}

func (t *traffic) obeying() sensor.Speed {
	return t.between(t.limit*9/10, min(t.limit, t.edge-2*sensor.KmH))
}

func car(speed sensor.Speed, d sensor.Direction) Vehicle {
	v := Vehicle{Speed: speed, Direction: d, Lane: 1}
	if d == sensor.Receding {
		v.Lane = 2
	}
	return v
}

// pair is two vehicles that are in the beam together for a good part of their
// way.
func (t *traffic) pair(road *Road) []Vehicle {
	a := car(t.speeding(), sensor.Approaching)
	enter, leave := road.seen([]Vehicle{a})
	// A share of the time in the beam, 24 to 31 %.
	headway := (leave - enter) * time.Duration(240+t.rng.Int64N(70)) / 1000
	if t.rng.IntN(2) == 0 {
		// They meet: one comes while the other goes.
		b := car(t.obeying(), sensor.Receding)
		b.Passing = a.Passing - 3*headway
		return []Vehicle{b, a}
	}
	// A faster one closes up.
	slow := a
	slow.Speed -= 8*sensor.KmH + sensor.Speed(t.rng.Int32N(400))
	if slow.Speed > t.edge-sensor.KmH && slow.Speed < t.edge+sensor.KmH {
		slow.Speed = t.edge - sensor.KmH
	}
	a.Passing = slow.Passing + headway
	return []Vehicle{slow, a}
}

// draw returns what comes next: a pair, or one vehicle.
func (t *traffic) draw(road *Road) []Vehicle {
	n := t.rng.IntN(10)
	if n < 2 {
		return t.pair(road)
	}
	direction := sensor.Approaching
	if t.rng.IntN(3) == 0 {
		direction = sensor.Receding
	}
	var v Vehicle
	if n < 6 {
		v = car(t.speeding(), direction)
	} else {
		v = car(t.obeying(), direction)
	}
	switch n := t.rng.IntN(10); {
	case n == 0 && v.Speed < 100*sensor.KmH:
		v.Class = Truck
	case n <= 2:
		v.Class = Van
	}
	return []Vehicle{v}
}
