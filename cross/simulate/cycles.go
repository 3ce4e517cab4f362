package simulate

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"ciglio/sensor"
)

// CycleOptions says how good a radar with range and angle is. The zero value is
// an ideal one with 20 cycles a second. Standard deviations are of normal
// noise.
type CycleOptions struct {
	Every  time.Duration // between cycles; 0 means 50 ms
	Origin sensor.Mono   // instant of the first cycle, the start of the road

	SpeedNoise sensor.Speed // standard deviation
	RangeNoise float64      // standard deviation, m
	AngleNoise float64      // standard deviation, degrees
	NoRange    bool         // the radar tells no range
	NoAngle    bool         // the radar tells no angle
	Fading     bool         // levels fade as those of the signal do

	// Two vehicles that are nearer to each other than by one of these in
	// speed, range and angle all together give one reading, the stronger one's.
	// A value of 0 tells none apart; all 0 tells every vehicle apart.
	SpeedResolution sensor.Speed
	RangeResolution float64 // m
	AngleResolution float64 // degrees

	Missed  float64 // share of readings that are missing, 0 to 1
	Ghosts  float64 // readings a second that no vehicle made, at most one a cycle
	Targets int     // the strongest that a cycle holds at most; 0 means 32
	// Numbered sets Reading.Target to the vehicle's index in Truth plus 1, and
	// leaves 0 for a ghost. Without it the radar does not number its targets.
	Numbered bool
}

// Cycles are the readings of a radar on a road, a [sensor.Feed] that is not
// paced. Its end is that of the road.
type Cycles struct {
	road     *Road
	o        CycleOptions
	n        int64 // of the next cycle
	targets  []Target
	readings []sensor.Reading
	fades    map[int]*fading
}

var _ sensor.Feed = (*Cycles)(nil)

// Cycles returns the readings of a radar that looks at the road.
func (r *Road) Cycles(o CycleOptions) *Cycles {
	if o.Every <= 0 {
		o.Every = 50 * time.Millisecond
	}
	if o.Targets <= 0 {
		o.Targets = 32
	}
	return &Cycles{road: r, o: o, fades: map[int]*fading{}}
}

func (o *CycleOptions) check() error {
	switch {
	case o.Every != 0 && (o.Every < time.Millisecond || o.Every > time.Minute):
		return fmt.Errorf("one every %v: want 1ms to 1m", o.Every)
	case o.SpeedNoise < 0 || o.SpeedNoise > 50*sensor.KmH || o.SpeedResolution < 0 || o.SpeedResolution > 50*sensor.KmH:
		return fmt.Errorf("speed noise %v, resolution %v: want up to 50 km/h", o.SpeedNoise, o.SpeedResolution)
	case !within(o.RangeNoise, 0, 50) || !within(o.RangeResolution, 0, 50):
		return fmt.Errorf("range noise %g m, resolution %g m: want up to 50", o.RangeNoise, o.RangeResolution)
	case !within(o.AngleNoise, 0, 45) || !within(o.AngleResolution, 0, 45):
		return fmt.Errorf("angle noise %g°, resolution %g°: want up to 45", o.AngleNoise, o.AngleResolution)
	case !within(o.Missed, 0, 1):
		return fmt.Errorf("missed %g: want a share, 0 to 1", o.Missed)
	case !within(o.Ghosts, 0, 1000):
		return fmt.Errorf("%g ghosts a second: want up to 1000", o.Ghosts)
	}
	return nil
}

// Identity implements [sensor.Feed].
func (c *Cycles) Identity() sensor.Identity {
	return sensor.Identity{Model: "simulated targets", Serial: "SIM-1", Separates: !c.o.NoRange || !c.o.NoAngle, Simulated: true}
}

// Next implements [sensor.Feed].
func (c *Cycles) Next(ctx context.Context) (sensor.Cycle, error) {
	if err := ctx.Err(); err != nil {
		return sensor.Cycle{}, err
	}
	at := time.Duration(c.n) * c.o.Every
	if at >= c.road.scenario.Duration {
		return sensor.Cycle{}, io.EOF
	}
	c.targets = c.resolve(c.road.Targets(c.targets[:0], at), at)
	c.readings = c.readings[:0]
	for i := range c.targets {
		key := c.key(uint64(c.targets[i].Vehicle) + 1)
		if uniform(mix(key)) >= c.o.Missed {
			c.readings = append(c.readings, c.reading(&c.targets[i], c.o.Origin.Add(at), key))
		}
	}
	if key := c.key(0); uniform(key) < c.o.Ghosts*c.o.Every.Seconds() {
		c.readings = append(c.readings, c.ghost(c.o.Origin.Add(at), mix(key)))
	}
	c.n++
	return sensor.Cycle{At: c.o.Origin.Add(at), Readings: c.readings}, nil
}

// key returns a number of its own for each cycle and user.
func (c *Cycles) key(user uint64) uint64 {
	return mix(mix(c.road.scenario.Seed^0x6379636c6573) + mix(user) + uint64(c.n)*golden)
}

// uniform returns a number from 0 up to 1, without 1.
func uniform(key uint64) float64 { return float64(int64(key>>11)) / (1 << 53) }

// resolve leaves out what another, stronger target covers, and what a cycle has
// no room for. The strongest comes first.
func (c *Cycles) resolve(all []Target, at time.Duration) []Target {
	if c.o.Fading {
		for i := range all {
			all[i].Level += c.fade(all[i].Vehicle, at)
		}
	}
	// Few, and nearly always in order: insertion.
	for i := 1; i < len(all); i++ {
		for j := i; j > 0 && all[j].Level > all[j-1].Level; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	kept := all[:0]
	for _, t := range all {
		covered := false
		for i := range kept {
			covered = covered || c.together(&kept[i], &t)
		}
		if !covered && len(kept) < c.o.Targets {
			kept = append(kept, t)
		}
	}
	return kept
}

func (c *Cycles) together(a, b *Target) bool {
	o := &c.o
	if o.SpeedResolution == 0 && o.RangeResolution == 0 && o.AngleResolution == 0 {
		return false
	}
	near := func(x, y, resolution float64) bool { return resolution == 0 || math.Abs(x-y) < resolution }
	return near(a.Speed, b.Speed, o.SpeedResolution.MPS()) &&
		near(a.Range, b.Range, o.RangeResolution) && near(a.Angle, b.Angle, o.AngleResolution)
}

// fade returns the fading of a vehicle in dB.
func (c *Cycles) fade(vehicle int, at time.Duration) float64 {
	f := c.fades[vehicle]
	if f == nil {
		for i := range c.fades {
			if c.road.truth[i].Leave < at {
				delete(c.fades, i)
			}
		}
		f = newFading(c.road.scenario.Seed, vehicle, 0)
		c.fades[vehicle] = f
	}
	v := &c.road.vehicles[vehicle]
	re, im := f.at(c.road.drives[vehicle].x((at - v.Passing).Seconds()))
	return decibels(float64(re*re) + float64(im*im) + 1e-6)
}

func (c *Cycles) reading(t *Target, at sensor.Mono, key uint64) sensor.Reading {
	a, b := gaussians(key, 1)
	noisy := *t
	noisy.Speed += float64(c.o.SpeedNoise.MPS() * a)
	noisy.Range += float64(c.o.RangeNoise * b)
	a, _ = gaussians(key, 2)
	noisy.Angle += float64(c.o.AngleNoise * a)
	r := c.report(&noisy, at)
	if c.o.Numbered {
		r.Target = t.Vehicle + 1
	}
	return r
}

// ghost returns a reading of nothing, anywhere in the beam.
func (c *Cycles) ghost(at sensor.Mono, key uint64) sensor.Reading {
	draw := func(n uint64, low, high float64) float64 {
		return low + float64((high-low)*uniform(mix(key+n*golden)))
	}
	half := float64(c.road.scenario.Radar.Beamwidth / 2)
	return c.report(&Target{
		Range: draw(1, 5, 120), Speed: draw(2, -40, 40), Angle: draw(3, -half, half),
		Level: c.road.threshold(detectLevel) + draw(4, 0, 6),
	}, at)
}

// report puts a target into the units of a reading.
func (c *Cycles) report(t *Target, at sensor.Mono) sensor.Reading {
	r := sensor.Reading{
		At: at, Speed: nearest(math.Abs(t.Speed)), Direction: t.direction(),
		Level: int16(math.RoundToEven(t.Level * 10)),
	}
	if !c.o.NoRange {
		r.Range, r.Flags = int32(math.RoundToEven(max(t.Range, 0)*1000)), r.Flags|sensor.FlagRange
	}
	if !c.o.NoAngle {
		r.Angle, r.Flags = int32(math.RoundToEven(t.Angle*100)), r.Flags|sensor.FlagAngle
	}
	return r
}
