package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"ciglio/sensor"
)

// A Vehicle drives by. Its speed is [Vehicle.Speed] at the closest point and,
// without phases, everywhere.
type Vehicle struct {
	Speed     sensor.Speed     // over ground along the road at Passing, 1 to 400 km/h
	Direction sensor.Direction // approaching or receding, as the radar sees it
	Lane      int              // from 1, as in Radar.Lanes, before the first change
	Class     Class
	Passing   time.Duration // from the start of the road to the closest point

	Phases     []Phase  // of acceleration; they must not overlap
	Changes    []Change // of the lane; they must not overlap
	Reflection float64  // added to that of the class, in dB, -30 to 30
}

// A Phase is a time of constant acceleration. Between phases the speed is
// constant.
type Phase struct {
	From, Until  time.Duration // from Passing; negative before it
	Acceleration float64       // m/s², negative when braking, -12 to 12
}

// A Change is one change of the lane on a smooth path, without a jerk at its
// ends.
type Change struct {
	From time.Duration // from Passing; negative before it
	Over time.Duration // how long it takes, 1 to 20 s
	Lane int           // the new lane
}

// drive is a vehicle in motion. Times are in seconds from Passing, lengths in
// metres.
type drive struct {
	toward float64 // 1 when x grows, -1 when it falls
	legs   []leg   // in order; the last has no end
	y      float64 // across the road before the first bend
	bends  []bend
}

// leg is a stretch of constant acceleration: s travelled since the closest
// point, and the speed, at the instant t, which lies at or near the leg.
type leg struct{ t, s, v, a, until float64 }

type bend struct{ from, over, by float64 }

// newDrive works out the motion of a vehicle whose values have been checked.
func newDrive(v Vehicle, lanes []float64) (drive, error) {
	d := drive{toward: 1, y: lanes[v.Lane-1]}
	if v.Direction == sensor.Approaching {
		d.toward = -1
	}
	if err := d.addLegs(v); err != nil {
		return drive{}, err
	}
	changes := slices.SortedFunc(slices.Values(v.Changes), func(a, b Change) int { return cmp.Compare(a.From, b.From) })
	y := d.y
	for i, c := range changes {
		if i > 0 && c.From < changes[i-1].From+changes[i-1].Over {
			return drive{}, fmt.Errorf("two changes of lane at %v", c.From)
		}
		to := lanes[c.Lane-1]
		d.bends = append(d.bends, bend{c.From.Seconds(), c.Over.Seconds(), to - y})
		y = to
	}
	return d, nil
}

func (d *drive) addLegs(v Vehicle) error {
	if len(v.Phases) == 0 {
		d.legs = []leg{{v: v.Speed.MPS(), until: math.Inf(1)}}
		return nil
	}
	phases := slices.SortedFunc(slices.Values(v.Phases), func(a, b Phase) int { return cmp.Compare(a.From, b.From) })
	last := math.Inf(-1)
	for _, p := range phases {
		from, until := p.From.Seconds(), p.Until.Seconds()
		if from < last {
			return fmt.Errorf("two phases of acceleration at %v", p.From)
		}
		d.legs = append(d.legs, leg{until: from}, leg{a: p.Acceleration, until: until})
		last = until
	}
	d.legs = append(d.legs, leg{until: math.Inf(1)})
	// The leg with the closest point is known; the others join it.
	here, _ := slices.BinarySearchFunc(d.legs, 0, func(l leg, t float64) int { return cmp.Compare(l.until, t) })
	d.legs[here].v = v.Speed.MPS()
	for i := here + 1; i < len(d.legs); i++ {
		d.join(i, i-1, d.legs[i-1].until)
	}
	for i := here - 1; i >= 0; i-- {
		d.join(i, i+1, d.legs[i].until)
	}
	for _, l := range d.legs {
		for _, t := range [2]float64{l.t, l.until} {
			if math.IsInf(t, 0) {
				continue
			}
			if speed := l.speed(t); !(speed >= slowest && speed <= fastest) {
				return fmt.Errorf("%.1f km/h at %.2f s from the closest point: want %v to %v throughout", speed*3.6, t, minSpeed, maxSpeed)
			}
		}
	}
	return nil
}

// The bounds of a speed in m/s, with room for what the last bit loses.
const slowest, fastest = 0.99999 / 3.6, 400.00001 / 3.6

// join lets leg i meet the leg other at t.
func (d *drive) join(i, other int, t float64) {
	o := &d.legs[other]
	d.legs[i].t, d.legs[i].s, d.legs[i].v = t, o.travelled(t), o.speed(t)
}

func (l *leg) speed(t float64) float64 { return l.v + float64(l.a*(t-l.t)) }

func (l *leg) travelled(t float64) float64 {
	t -= l.t
	return l.s + float64(t*(l.v+float64(l.a*t/2)))
}

// at returns the leg in force at t.
func (d *drive) at(t float64) *leg {
	i := 0
	for t > d.legs[i].until {
		i++
	}
	return &d.legs[i]
}

// speed returns the speed along the road at t.
func (d *drive) speed(t float64) float64 { return d.at(t).speed(t) }

// x returns the place of the reflecting end along the road at t.
func (d *drive) x(t float64) float64 { return d.toward * d.at(t).travelled(t) }

// when returns the instant at which the vehicle has travelled s metres since
// the closest point.
func (d *drive) when(s float64) float64 {
	i := 0
	for i < len(d.legs)-1 && d.legs[i].travelled(d.legs[i].until) < s {
		i++
	}
	l := &d.legs[i]
	way := s - l.s
	root := float64(l.v*l.v) + float64(2*l.a*way)
	return l.t + 2*way/(l.v+math.Sqrt(max(root, 0)))
}

// across returns y at t, and how fast it changes.
func (d *drive) across(t float64) (y, speed float64) {
	y = d.y
	for i := range d.bends {
		b := &d.bends[i]
		u := (t - b.from) / b.over
		if u <= 0 {
			break
		}
		if u >= 1 {
			y += b.by
			continue
		}
		// The polynomial of least degree without speed and acceleration at
		// its ends.
		shape := u * u * u * (float64(u*(float64(6*u)-15)) + 10)
		y += float64(b.by * shape)
		speed += float64(b.by / b.over * 30 * u * u * (1 - u) * (1 - u))
	}
	return y, speed
}
