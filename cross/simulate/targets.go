package simulate

import (
	"time"

	"ciglio/sensor"
)

// A Target is what an ideal radar with range and angle would report of a
// vehicle at an instant.
type Target struct {
	Vehicle int     // index in [Road.Truth]
	Range   float64 // m from the radar to the reflecting end
	Speed   float64 // m/s along the line of sight, positive when the distance shrinks
	Angle   float64 // degrees from the middle of the beam, positive to the right
	Level   float64 // mean level of the echo, dB of full scale
}

// Targets returns every vehicle that a radar could see at an instant from the
// start of the road, in order of passing. It appends to dst.
func (r *Road) Targets(dst []Target, at time.Duration) []Target {
	level := r.threshold(detectLevel)
	for i := range r.around(at, maxReach) {
		t := r.target(i, at)
		if t.Range <= maxReach && t.Level >= level {
			dst = append(dst, t)
		}
	}
	return dst
}

func (r *Road) target(i int, at time.Duration) Target {
	v, d := &r.vehicles[i], &r.drives[i]
	since := (at - v.Passing).Seconds()
	x, along := d.x(since), d.toward*d.speed(since)
	y, across := d.across(since)
	distance := hypot3(x, y, r.beam.height)
	return Target{
		Vehicle: i,
		Range:   distance,
		Speed:   -(float64(x*along) + float64(y*across)) / distance,
		Angle:   atan2(y, x) - r.scenario.Radar.Angle,
		Level:   r.beam.power(x, y) + v.reflection(),
	}
}

// direction returns which way a target moves along the line of sight.
func (t *Target) direction() sensor.Direction {
	if t.Speed < 0 {
		return sensor.Receding
	}
	return sensor.Approaching
}
