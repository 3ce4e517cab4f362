package track_test

import (
	"math"
	"time"

	"ciglio/sensor"
)

// A car drives towards the sensor or away from it, seen 20 times a second by a
// radar without error.
type car struct {
	kmh   float64
	side  float64       // m across the road, to the right
	from  float64       // m along the road, where it is first seen
	to    float64       // the same, last
	start time.Duration // when it is first seen
	gains float64       // m/s²
	ranged, angled,
	mute bool // no direction
	change func(r *sensor.Reading, x float64)
}

const cycleTime = 50 * time.Millisecond

// readings returns the car's reading at an instant, if it is seen then.
func (c car) reading(at time.Duration) (sensor.Reading, bool) {
	t := (at - c.start).Seconds()
	way := c.kmh/3.6*t + c.gains*t*t/2
	x, direction := c.from-way, sensor.Approaching
	if c.to > c.from {
		x, direction = c.from+way, sensor.Receding
	}
	if at < c.start || way > math.Abs(c.to-c.from) {
		return sensor.Reading{}, false
	}
	rng := math.Hypot(x, c.side)
	r := sensor.Reading{
		At: sensor.Mono(at), Direction: direction, Target: 1, Level: 200,
		Speed: sensor.Speed(math.Round(100 * (c.kmh + 3.6*c.gains*t) * x / rng)),
	}
	if c.mute {
		r.Direction = sensor.DirectionUnknown
	}
	if c.ranged {
		r.Range, r.Flags = int32(1000*rng), sensor.FlagRange
	}
	if c.angled {
		r.Angle, r.Flags = int32(math.Round(100*180/math.Pi*math.Asin(c.side/rng))), r.Flags|sensor.FlagAngle
	}
	if c.change != nil {
		c.change(&r, x)
	}
	return r, r.Speed != 0
}

// drive returns the cycles of a while in which cars drive by.
func drive(until time.Duration, cars ...car) []sensor.Cycle {
	var all []sensor.Cycle
	for at := time.Duration(0); at <= until; at += cycleTime {
		c := sensor.Cycle{At: sensor.Mono(at)}
		for _, car := range cars {
			if r, ok := car.reading(at); ok {
				c.Readings = append(c.Readings, r)
			}
		}
		all = append(all, c)
	}
	return all
}
