package main

import (
	"math"
	"math/rand/v2"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// A class draws roads of one kind.
type class struct {
	name, what string
	share      int // of the vehicles
	radar      func(*draw) simulate.Radar
	weather    func(*draw, *simulate.Scenario)
	group      func(*draw) []simulate.Vehicle // that share the beam; nil for traffic
	traffic    func(*draw) []simulate.Flow
}

// classes are the kinds of road, in the order of the report.
var classes = []class{
	{name: "alone", what: "one vehicle at a time, 10 to 350 km/h, every class, both directions", share: 6, group: alone},
	{name: "alone, one channel", what: "the same, for a sensor without Q", share: 3, radar: oneChannel, group: alone},
	{name: "walking pace", what: "one at a time, 1 to 10 km/h", share: 1, group: slow},
	{name: "changing speed", what: "one at a time, braking or gaining speed by 0.3 to 3 m/s²", share: 3, group: changing},
	{name: "far lane", what: "one at a time, 8 to 14 m aside", share: 1, radar: farLane, group: alone},
	{name: "narrow beam", what: "one at a time, beam of 12° to 30°", share: 2, radar: narrow, group: alone},
	{name: "turned beam", what: "one at a time, beam turned to the road by 5° to 25°", share: 2, radar: turned, group: alone},
	{name: "near and loud", what: "one at a time, gain 6 to 20 dB too high: the converter clips", share: 2, radar: loud, group: alone},
	{name: "noisy", what: "one at a time, 4 to 12 dB more noise", share: 2, radar: noisy, group: alone},
	{name: "rain and grass", what: "one at a time, heavy rain and plants in the wind", share: 2, weather: storm, group: alone},
	{name: "tones", what: "one at a time, eight constant lines and loud mains", share: 2, radar: tones, group: alone},
	{name: "poor balance", what: "one at a time, mirror images only 15 to 20 dB down", share: 2, radar: unbalanced, group: alone},
	{name: "10 GHz", what: "one at a time, 10.525 GHz sensor, 8 to 48 kHz", share: 2, radar: tenGHz, group: alone},
	{name: "other rates", what: "one at a time, 24.125 GHz sensor, 33 to 200 kHz", share: 1, radar: rates, group: alone},
	{name: "meeting", what: "two that meet in the beam", share: 3, group: meeting},
	{name: "meeting, one channel", what: "the same, for a sensor without Q", share: 2, radar: oneChannel, group: meeting},
	{name: "closing up", what: "a faster one follows a slower one closely", share: 3, group: closingUp},
	{name: "overtaking", what: "a faster one changes the lane and passes a slower one near the sensor", share: 2, group: overtaking},
	{name: "side by side", what: "two in two lanes, one way, at nearly one place", share: 3, group: sideBySide},
	{name: "motorcycle and lorry", what: "a motorcycle beside or behind a lorry", share: 2, group: motorcycle},
	{name: "platoon", what: "three to six, one way, 0.8 to 3 s apart, speeds within 6 km/h", share: 3, group: platoon},
	{name: "platoon, one channel", what: "the same, for a sensor without Q", share: 2, radar: oneChannel, group: platoon},
	{name: "one speed", what: "two, one way, speeds within 1 km/h, 0.3 to 3 s apart", share: 2, group: oneSpeed},
	{name: "four lanes", what: "random traffic, two lanes each way, 400 to 1,200 vehicles an hour each", share: 4, radar: fourLanes, traffic: everyLane},
}

// draw draws what a road consists of, from one seed. Values are rounded, so that
// a scenario file says them exactly.
type draw struct {
	rng   *rand.Rand
	lanes int
}

func newDraw(seed uint64) *draw { return &draw{rand.New(rand.NewPCG(seed, 0x726f6164)), 2} }

// between draws evenly, in tenths.
func (d *draw) between(low, high float64) float64 {
	return math.Round(10*(low+(high-low)*d.rng.Float64())) / 10
}

// seconds draws evenly, in milliseconds.
func (d *draw) seconds(low, high float64) time.Duration {
	return time.Duration(1000*(low+(high-low)*d.rng.Float64())) * time.Millisecond
}

// speed draws evenly over the logarithm, in km/h.
func (d *draw) speed(low, high float64) sensor.Speed {
	return sensor.Speed(100 * low * math.Pow(high/low, d.rng.Float64()))
}

// more draws a difference of speeds, in km/h.
func (d *draw) more(low, high float64) sensor.Speed {
	return sensor.Speed(100 * (low + (high-low)*d.rng.Float64()))
}

func (d *draw) direction() sensor.Direction {
	if d.rng.IntN(2) == 0 {
		return sensor.Receding
	}
	return sensor.Approaching
}

func (d *draw) lane() int { return 1 + d.rng.IntN(d.lanes) }

// vehicle draws one that may well have that speed.
func (d *draw) vehicle(speed sensor.Speed, direction sensor.Direction, lane int) simulate.Vehicle {
	v := simulate.Vehicle{Speed: speed, Direction: direction, Lane: lane}
	switch n := d.rng.IntN(20); {
	case n < 3 && speed < 200*sensor.KmH:
		v.Class = simulate.Van
	case n < 5 && speed < 140*sensor.KmH:
		v.Class = simulate.Truck
	case n < 7 && speed < 120*sensor.KmH:
		v.Class = simulate.Lorry
	case n < 8 && speed < 120*sensor.KmH:
		v.Class = simulate.Bus
	case n < 10:
		v.Class = simulate.Motorcycle
	case n < 12 && speed < 40*sensor.KmH:
		v.Class = simulate.Bicycle
	}
	return v
}

func alone(d *draw) []simulate.Vehicle {
	speed := d.speed(10, 350)
	if d.rng.IntN(2) == 0 { // half of them at the speeds of roads
		speed = d.speed(25, 160)
	}
	return []simulate.Vehicle{d.vehicle(speed, d.direction(), d.lane())}
}

func slow(d *draw) []simulate.Vehicle {
	return []simulate.Vehicle{d.vehicle(d.speed(1, 10), d.direction(), d.lane())}
}

// changing changes the speed throughout the beam, or in a part of it.
func changing(d *draw) []simulate.Vehicle {
	v := d.vehicle(d.speed(40, 150), d.direction(), d.lane())
	a := d.between(0.3, 3)
	if d.rng.IntN(2) == 0 {
		a = -a
	}
	// Nowhere slower than 10 km/h or faster than 220.
	most := min(float64(v.Speed-10*sensor.KmH), float64(220*sensor.KmH-v.Speed)) / 360 / math.Abs(a)
	p := simulate.Phase{From: -d.seconds(0.3, min(6, most)), Until: d.seconds(0.3, min(6, most)), Acceleration: a}
	v.Phases = []simulate.Phase{p}
	return []simulate.Vehicle{v}
}

// after is how long a way of so many metres takes.
func after(metres float64, s sensor.Speed) time.Duration {
	return time.Duration(1000*metres/s.MPS()) * time.Millisecond
}

// beside moves b to the other lane where it would stand inside of a, or closer
// to it than 2 m.
func beside(a simulate.Vehicle, b *simulate.Vehicle) {
	first, _, _ := a.Class.Size()
	second, _, _ := b.Class.Size()
	if b.Lane == a.Lane && (b.Passing-a.Passing).Abs() < after(max(first, second)+2, min(a.Speed, b.Speed)) {
		b.Lane = 3 - b.Lane
	}
}

func meeting(d *draw) []simulate.Vehicle {
	a := d.vehicle(d.speed(20, 200), sensor.Approaching, 1)
	b := d.vehicle(d.speed(20, 200), sensor.Receding, 2)
	b.Passing = after(d.between(-120, 40), max(a.Speed, b.Speed))
	return []simulate.Vehicle{a, b}
}

func closingUp(d *draw) []simulate.Vehicle {
	a := d.vehicle(d.speed(25, 130), d.direction(), d.lane())
	b := d.vehicle(a.Speed+d.more(3, 25), a.Direction, a.Lane)
	b.Passing = d.seconds(0.8, 2.5)
	beside(a, &b)
	return []simulate.Vehicle{a, b}
}

func overtaking(d *draw) []simulate.Vehicle {
	a := d.vehicle(d.speed(30, 110), d.direction(), 1)
	b := d.vehicle(a.Speed+d.more(10, 40), a.Direction, 1)
	b.Passing = after(d.between(-25, 25), a.Speed)
	over := d.seconds(2, 5)
	b.Changes = []simulate.Change{{From: -over - d.seconds(0, 2), Over: over, Lane: 2}}
	if d.rng.IntN(2) == 0 { // and back
		b.Changes = append(b.Changes, simulate.Change{From: d.seconds(0.2, 2), Over: over, Lane: 1})
	}
	return []simulate.Vehicle{a, b}
}

func sideBySide(d *draw) []simulate.Vehicle {
	a := d.vehicle(d.speed(25, 150), d.direction(), 1)
	b := d.vehicle(max(a.Speed+d.more(-15, 25), 20*sensor.KmH), a.Direction, 2)
	b.Passing = after(d.between(-20, 20), a.Speed)
	return []simulate.Vehicle{a, b}
}

func motorcycle(d *draw) []simulate.Vehicle {
	a := simulate.Vehicle{Class: simulate.Lorry, Speed: d.speed(25, 95), Direction: d.direction(), Lane: d.lane()}
	b := a
	b.Class, b.Lane = simulate.Motorcycle, d.lane()
	b.Speed += d.more(-5, 40)
	b.Passing = after(d.between(-15, 30), a.Speed)
	beside(a, &b)
	return []simulate.Vehicle{a, b}
}

func platoon(d *draw) []simulate.Vehicle {
	direction, lane, speed := d.direction(), d.lane(), d.speed(30, 140)
	var all []simulate.Vehicle
	at := time.Duration(0)
	for range 3 + d.rng.IntN(4) {
		v := d.vehicle(speed+d.more(-3, 3), direction, lane)
		v.Passing = at
		if len(all) > 0 {
			beside(all[len(all)-1], &v)
		}
		all = append(all, v)
		at += d.seconds(0.8, 3)
	}
	return all
}

func oneSpeed(d *draw) []simulate.Vehicle {
	a := d.vehicle(d.speed(30, 140), d.direction(), d.lane())
	b := d.vehicle(a.Speed+d.more(-0.5, 0.5), a.Direction, a.Lane)
	b.Passing = d.seconds(0.3, 3)
	beside(a, &b)
	return []simulate.Vehicle{a, b}
}

func everyLane(d *draw) []simulate.Flow {
	speed := 10 * sensor.KmH * sensor.Speed(4+d.rng.IntN(9))
	var all []simulate.Flow
	for lane := range 4 {
		f := simulate.Flow{
			Lane: lane + 1, Direction: sensor.Approaching, PerHour: 10 * math.Round(d.between(40, 120)),
			Speed: speed + 10*sensor.KmH*sensor.Speed(lane%2), Spread: speed / 10, Least: 15 * sensor.KmH,
			Shares: []simulate.Share{{Class: simulate.Car, Parts: 14}, {Class: simulate.Van, Parts: 3},
				{Class: simulate.Truck, Parts: 1}, {Class: simulate.Lorry, Parts: 1}, {Class: simulate.Motorcycle, Parts: 1}},
		}
		if lane >= 2 {
			f.Direction = sensor.Receding
		}
		all = append(all, f)
	}
	return all
}

func oneChannel(*draw) simulate.Radar { return simulate.Radar{Real: true} }

func farLane(d *draw) simulate.Radar {
	return simulate.Radar{Lanes: []float64{d.between(8, 11), d.between(11, 14)}}
}

func fourLanes(d *draw) simulate.Radar {
	return simulate.Radar{Lanes: []float64{3, 6.5, 10, 13.5}}
}

func narrow(d *draw) simulate.Radar { return simulate.Radar{Beamwidth: d.between(12, 30)} }

func turned(d *draw) simulate.Radar {
	return simulate.Radar{Angle: d.between(5, 25), Beamwidth: d.between(30, 50)}
}

func loud(d *draw) simulate.Radar { return simulate.Radar{Gain: d.between(6, 20)} }

func noisy(d *draw) simulate.Radar { return simulate.Radar{Noise: d.between(4, 12)} }

func tones(d *draw) simulate.Radar {
	var r simulate.Radar
	for range 8 {
		r.Tones = append(r.Tones, simulate.Tone{Hz: math.Round(d.between(-9000, 9000)), Level: d.between(-60, -35)})
	}
	for hz := 50.0; hz <= 600; hz += 50 {
		r.Mains = append(r.Mains, simulate.Tone{Hz: hz, Level: d.between(-60, -40)})
	}
	return r
}

func unbalanced(d *draw) simulate.Radar {
	return simulate.Radar{Imbalance: &simulate.Imbalance{Gain: d.between(-1.8, 1.8), Phase: 10 + d.between(0, 6)}}
}

func tenGHz(d *draw) simulate.Radar {
	rates := [...]int{8_000, 12_000, 16_000, 22_050, 44_100, 48_000}
	return simulate.Radar{Carrier: 10_525_000_000, Rate: rates[d.rng.IntN(len(rates))]}
}

func rates(d *draw) simulate.Radar {
	rates := [...]int{33_000, 44_100, 48_000, 96_000, 200_000}
	return simulate.Radar{Rate: rates[d.rng.IntN(len(rates))]}
}

func storm(d *draw, s *simulate.Scenario) {
	s.Rain = &simulate.Rain{Level: d.between(-50, -36), Speed: d.speed(5, 20), Away: d.rng.IntN(2) == 0, Spread: d.more(1, 4)}
	s.Plants = &simulate.Vegetation{Level: d.between(-40, -26), Spread: d.more(0.3, 1.5)}
}
