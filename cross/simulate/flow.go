package simulate

import (
	"fmt"
	"time"

	"ciglio/sensor"
)

// A Flow is random traffic in one lane, drawn by the seed of the scenario.
//
// The time between two passings is Gap and an exponential rest; speeds are
// normal within their bounds. A vehicle that would run into the one before it
// within 200 m of the radar keeps to that one's speed, so that dense traffic
// makes platoons as a road does.
type Flow struct {
	Lane        int
	Direction   sensor.Direction
	From, Until time.Duration // of the passings; Until 0 means the end of the road
	PerHour     float64       // vehicles an hour
	Gap         time.Duration // least time between two passings; 0 means 1.2 s
	Speed       sensor.Speed  // mean
	Spread      sensor.Speed  // standard deviation
	Least, Most sensor.Speed  // 0 means three standard deviations from the mean
	Shares      []Share       // of the classes; none means cars only
}

// A Share is how many of the vehicles of a flow are of a class, against the
// parts of the others.
type Share struct {
	Class Class
	Parts int
}

const usualGap = 1200 * time.Millisecond

func (f *Flow) fill(duration time.Duration) {
	if f.Until == 0 {
		f.Until = duration
	}
	if f.Gap == 0 {
		f.Gap = usualGap
	}
	if f.Least == 0 {
		f.Least = max(f.Speed-3*f.Spread, minSpeed)
	}
	if f.Most == 0 {
		f.Most = min(f.Speed+3*f.Spread, maxSpeed)
	}
	if len(f.Shares) == 0 {
		f.Shares = []Share{{Car, 1}}
	}
}

func (f *Flow) check(lanes int) error {
	mean := Vehicle{Speed: f.Speed, Direction: f.Direction, Lane: f.Lane}
	if err := mean.check(lanes); err != nil {
		return err
	}
	parts := 0
	for _, s := range f.Shares {
		if int(s.Class) >= len(kinds) || s.Parts < 0 || s.Parts > 1_000_000 {
			return fmt.Errorf("share of %v: %d: want a known class and up to 1000000 parts", s.Class, s.Parts)
		}
		parts += s.Parts
	}
	switch {
	case parts == 0:
		return fmt.Errorf("shares: want one that is not 0")
	case f.From < 0 || f.Until <= f.From:
		return fmt.Errorf("from %v until %v: want an interval of the road", f.From, f.Until)
	case f.Gap < 100*time.Millisecond || f.Gap > time.Hour:
		return fmt.Errorf("gap %v: want 100ms to 1h", f.Gap)
	case !(f.PerHour > 0 && f.PerHour*f.Gap.Seconds() <= 3600):
		return fmt.Errorf("%g vehicles an hour with a gap of %v: want more than none, and that the gaps leave room for them", f.PerHour, f.Gap)
	case f.Spread < 0 || f.Spread > 100*sensor.KmH:
		return fmt.Errorf("spread %v: want up to 100 km/h", f.Spread)
	case f.Least < minSpeed || f.Least > f.Speed || f.Most < f.Speed || f.Most > maxSpeed:
		return fmt.Errorf("speeds from %v to %v: want them on both sides of %v, within %v to %v", f.Least, f.Most, f.Speed, minSpeed, maxSpeed)
	}
	return nil
}

// expand returns the vehicles of a scenario with those of its flows.
func (s *Scenario) expand() ([]Vehicle, error) {
	all := s.Vehicles
	for i, f := range s.Flows {
		f.fill(s.Duration)
		if err := f.check(len(s.Radar.Lanes)); err != nil {
			return nil, fmt.Errorf("traffic %d: %w", i+1, err)
		}
		n := newNormal(mix(s.Seed^0x666c6f77) + uint64(i)*golden)
		var last Vehicle
		for at := f.From; ; {
			at += f.headway(&n)
			if at >= f.Until {
				break
			}
			if len(all) >= maxVehicles {
				return nil, fmt.Errorf("traffic %d: more than %d vehicles", i+1, maxVehicles)
			}
			v := f.draw(&n)
			v.Passing = at
			if last.Speed != 0 && f.runsInto(&v, &last) {
				v.Speed = last.Speed
			}
			all = append(all, v)
			last = v
		}
	}
	return all, nil
}

func (f *Flow) headway(n *normal) time.Duration {
	rest := 3600/f.PerHour - f.Gap.Seconds()
	return f.Gap + instant(-rest*log(n.uniform()))
}

func (f *Flow) draw(n *normal) Vehicle {
	speed := f.Speed + sensor.Speed(float64(f.Spread)*n.next())
	v := Vehicle{Speed: min(max(speed, f.Least), f.Most), Direction: f.Direction, Lane: f.Lane}
	parts := 0
	for _, s := range f.Shares {
		parts += s.Parts
	}
	pick := int(n.uniform() * float64(parts))
	for _, s := range f.Shares {
		if pick < s.Parts {
			v.Class = s.Class
			break
		}
		pick -= s.Parts
	}
	return v
}

// runsInto reports whether less than half a gap would be left between two
// vehicles 200 m before or after the radar.
func (f *Flow) runsInto(v, before *Vehicle) bool {
	const along = 200.0
	length := kinds[before.Class].length
	if f.Direction == sensor.Receding {
		length = kinds[v.Class].length // the rears are compared
	}
	apart := (v.Passing - before.Passing).Seconds()
	difference := along/v.Speed.MPS() - along/before.Speed.MPS()
	left := min(apart+difference, apart-difference) - length/v.Speed.MPS()
	return left < f.Gap.Seconds()/2
}
