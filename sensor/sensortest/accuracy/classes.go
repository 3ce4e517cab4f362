package accuracy

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/sensortest"
)

const (
	lead  = 4 * time.Second // of signal before the first vehicle and after the last
	space = 2 * time.Second // between groups of vehicles
	long  = 40 * time.Second
)

// A class draws roads of one kind.
type class struct {
	name, what string
	share      int // of the passages
	real       bool
	radar      func(*draw) sensortest.Radar
	group      func(*draw) []sensortest.Vehicle
}

// classes are the kinds of road, in the order of the report.
var classes = []class{
	{name: "alone", what: "one vehicle at a time, 5 to 350 km/h, both directions", share: 6, group: alone},
	{name: "alone, one channel", what: "the same, for a sensor without Q", share: 3, real: true, group: alone},
	{name: "far lane", what: "one at a time, 8 to 20 m aside", share: 2, radar: farLane, group: alone},
	{name: "narrow beam", what: "one at a time, beam of 12° to 30°", share: 2, radar: narrow, group: alone},
	{name: "near and loud", what: "one at a time, gain up to 20 dB too high: the converter clips", share: 2, radar: loud, group: alone},
	{name: "10 GHz", what: "one at a time, 10.525 GHz sensor, 8 to 48 kHz", share: 2, radar: tenGHz, group: alone},
	{name: "fast sampling", what: "one at a time, 24.125 GHz sensor, 40 to 200 kHz", share: 1, radar: fastSampling, group: alone},
	{name: "meeting", what: "two that meet in the beam", share: 3, group: meeting},
	{name: "meeting, one channel", what: "the same, for a sensor without Q", share: 2, real: true, group: meeting},
	{name: "closing up", what: "a faster one follows a slower one closely", share: 3, group: closing},
	{name: "side by side", what: "two in two lanes, one way, at nearly one place", share: 3, group: sideBySide},
	{name: "platoon", what: "three to six, one way, 0.8 to 3 s apart, speeds within 6 km/h", share: 4, group: platoon},
	{name: "platoon, one channel", what: "the same, for a sensor without Q", share: 2, real: true, group: platoon},
	{name: "one speed", what: "two, one way, within 0.5 km/h, 0.3 to 3 s apart", share: 2, group: oneSpeed},
}

// Roads returns roads with at least the given number of vehicles, shared out
// over all classes, or of the one class that is named.
func Roads(seed uint64, vehicles int, only string) []Road {
	var all []Road
	shares := 0
	for _, c := range classes {
		if only == "" || only == c.name {
			shares += c.share
		}
	}
	for _, c := range classes {
		if only != "" && only != c.name {
			continue
		}
		rng := rand.New(rand.NewPCG(seed, uint64(len(c.name))<<32|uint64(c.name[0])))
		for want := (vehicles*c.share + shares - 1) / shares; want > 0; {
			r := c.road(rng.Uint64())
			want -= len(r.Scenario.Vehicles)
			all = append(all, r)
		}
	}
	return all
}

// Replay returns the road of a class and its seed, as a [Fault] names it.
func Replay(name string, seed uint64) (Road, bool) {
	i := slices.IndexFunc(classes, func(c class) bool { return c.name == name })
	if i < 0 {
		return Road{}, false
	}
	return classes[i].road(seed), true
}

// road draws one road of about long.
func (c class) road(seed uint64) Road {
	d := &draw{rng: rand.New(rand.NewPCG(seed, 0x726f6164))}
	s := sensortest.Scenario{Seed: seed}
	if c.radar != nil {
		s.Radar = c.radar(d)
	}
	d.lanes = max(len(s.Radar.Lanes), 2)
	if s.Radar.Lanes != nil {
		d.lanes = len(s.Radar.Lanes)
	}
	at := lead
	for {
		group := c.group(d)
		from, to := seen(s.Radar, group)
		for i := range group {
			group[i].Passing += at - from
		}
		s.Vehicles = append(s.Vehicles, group...)
		at += to - from
		if at > long {
			break
		}
		at += space
	}
	s.Duration = at + lead
	return Road{Class: c.name, Seed: seed, Scenario: s, Real: c.real}
}

// seen returns from when to when the radar sees any vehicle of a group.
func seen(radar sensortest.Radar, group []sensortest.Vehicle) (from, to time.Duration) {
	road, err := sensortest.NewRoad(sensortest.Scenario{Duration: time.Second, Radar: radar, Vehicles: group})
	if err != nil {
		panic("accuracy: " + err.Error()) // our own drawing is wrong
	}
	for i, v := range road.Truth() {
		if i == 0 || v.Enter < from {
			from = v.Enter
		}
		if i == 0 || v.Leave > to {
			to = v.Leave
		}
	}
	return from, to
}

// draw draws what a road consists of.
type draw struct {
	rng   *rand.Rand
	lanes int
}

func (d *draw) between(low, high float64) float64 { return low + (high-low)*d.rng.Float64() }

func (d *draw) seconds(low, high float64) time.Duration {
	return time.Duration(d.between(low, high) * 1e9)
}

// speed draws evenly over the logarithm, in km/h.
func (d *draw) speed(low, high float64) sensor.Speed {
	return sensor.Speed(100 * math.Exp(d.between(math.Log(low), math.Log(high))))
}

func (d *draw) direction() sensor.Direction {
	if d.rng.IntN(2) == 0 {
		return sensor.Receding
	}
	return sensor.Approaching
}

func (d *draw) vehicle(speed sensor.Speed, direction sensor.Direction, lane int) sensortest.Vehicle {
	v := sensortest.Vehicle{Speed: speed, Direction: direction, Lane: lane}
	switch n := d.rng.IntN(10); {
	case n == 0 && speed < 140*sensor.KmH:
		v.Class = sensortest.Truck
	case n <= 2 && speed < 180*sensor.KmH:
		v.Class = sensortest.Van
	}
	return v
}

func alone(d *draw) []sensortest.Vehicle {
	// Half of them at the speeds of roads.
	speed := d.speed(5, 350)
	if d.rng.IntN(2) == 0 {
		speed = d.speed(25, 160)
	}
	return []sensortest.Vehicle{d.vehicle(speed, d.direction(), 1+d.rng.IntN(d.lanes))}
}

func meeting(d *draw) []sensortest.Vehicle {
	a := d.vehicle(d.speed(20, 200), sensor.Approaching, 1)
	b := d.vehicle(d.speed(20, 200), sensor.Receding, 2)
	b.Passing = d.seconds(-150, 50) * 36 / 10 / time.Duration(min(a.Speed, b.Speed)/100)
	return []sensortest.Vehicle{a, b}
}

// follow returns two in one lane, the second so long after the first, and fast
// enough to be closer at the sensor than before.
func closing(d *draw) []sensortest.Vehicle {
	direction := d.direction()
	a := d.vehicle(d.speed(25, 130), direction, 1+d.rng.IntN(d.lanes))
	b := a
	b.Class = sensortest.Car
	b.Speed += sensor.Speed(d.between(300, 2500))
	b.Passing = d.seconds(0.8, 2.5)
	return []sensortest.Vehicle{a, b}
}

func sideBySide(d *draw) []sensortest.Vehicle {
	direction := d.direction()
	a := d.vehicle(d.speed(25, 150), direction, 1)
	b := d.vehicle(a.Speed+sensor.Speed(d.between(-1500, 2500)), direction, 2)
	b.Passing = d.seconds(-20, 20) * 36 / 10 / time.Duration(a.Speed/100)
	return []sensortest.Vehicle{a, b}
}

func platoon(d *draw) []sensortest.Vehicle {
	direction, lane := d.direction(), 1+d.rng.IntN(d.lanes)
	speed := d.speed(30, 140)
	var all []sensortest.Vehicle
	at := time.Duration(0)
	for range 3 + d.rng.IntN(4) {
		v := d.vehicle(speed+sensor.Speed(d.between(-300, 300)), direction, lane)
		v.Passing = at
		all = append(all, v)
		at += d.seconds(0.8, 3)
	}
	return all
}

func oneSpeed(d *draw) []sensortest.Vehicle {
	direction, lane := d.direction(), 1+d.rng.IntN(d.lanes)
	a := d.vehicle(d.speed(30, 140), direction, lane)
	b := d.vehicle(a.Speed+sensor.Speed(d.between(-50, 50)), direction, lane)
	b.Passing = d.seconds(0.3, 3)
	return []sensortest.Vehicle{a, b}
}

func farLane(d *draw) sensortest.Radar {
	return sensortest.Radar{Lanes: []float64{d.between(8, 14), d.between(14, 20)}}
}

func narrow(d *draw) sensortest.Radar { return sensortest.Radar{Beamwidth: d.between(12, 30)} }

func loud(d *draw) sensortest.Radar { return sensortest.Radar{Gain: d.between(6, 20)} }

func tenGHz(d *draw) sensortest.Radar {
	rates := [...]int{8_000, 12_000, 16_000, 22_050, 44_100, 48_000}
	return sensortest.Radar{Carrier: 10_525_000_000, Rate: rates[d.rng.IntN(len(rates))]}
}

func fastSampling(d *draw) sensortest.Radar {
	rates := [...]int{40_000, 44_100, 96_000, 200_000}
	return sensortest.Radar{Rate: rates[d.rng.IntN(len(rates))]}
}
