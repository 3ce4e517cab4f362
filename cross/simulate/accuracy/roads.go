package main

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

const (
	lead  = 4 * time.Second  // of signal before the first vehicle and after the last
	space = 2 * time.Second  // between groups of vehicles
	long  = 40 * time.Second // of a road, or what one group takes

	// The usual 20,000 samples a second show speeds up to 223 km/h. Where one
	// comes near that, the sensor is one that is made for it.
	usualMost = 190 * sensor.KmH
	fastRate  = 40_000
)

// A Road is one scenario of a class, drawn by its seed.
type Road struct {
	Class    string
	Seed     uint64 // below 2³²
	Scenario simulate.Scenario
}

// Roads returns roads with at least the given number of vehicles, shared out
// over all classes, or of the one class that is named.
func Roads(seed uint64, vehicles int, only string) []Road {
	shares := 0
	for _, c := range classes {
		if only == "" || only == c.name {
			shares += c.share
		}
	}
	var all []Road
	for _, c := range classes {
		if only != "" && only != c.name {
			continue
		}
		name := fnv.New64a()
		name.Write([]byte(c.name))
		rng := rand.New(rand.NewPCG(seed, name.Sum64()))
		for want := (vehicles*c.share + shares - 1) / shares; want > 0; {
			r := c.road(uint64(rng.Uint32()))
			want -= r.vehicles()
			all = append(all, r)
		}
	}
	if only == "" {
		all = append(all, files(seed, vehicles)...)
	}
	return all
}

const fileClass = "file "

// files returns the scenarios that come with the simulator, once for each 500
// vehicles, each time with another seed.
func files(seed uint64, vehicles int) []Road {
	var all []Road
	rng := rand.New(rand.NewPCG(seed, 0x66696c6573))
	for _, name := range simulate.Scenarios() {
		for range (vehicles + 499) / 500 {
			r, _ := Replay(fileClass+name, uint64(rng.Uint32()))
			all = append(all, r)
		}
	}
	return all
}

// Replay returns the road of a class and its seed, as a [Fault] names it.
func Replay(name string, seed uint64) (Road, bool) {
	if file, ok := strings.CutPrefix(name, fileClass); ok {
		s, err := simulate.ReadScenario(file)
		s.Seed = seed
		return Road{name, seed, s}, err == nil
	}
	i := slices.IndexFunc(classes, func(c class) bool { return c.name == name })
	if i < 0 {
		return Road{}, false
	}
	return classes[i].road(seed), true
}

// describeClass says what the roads of a class are.
func describeClass(name string) string {
	if r, ok := Replay(name, 0); ok {
		return r.Scenario.About
	}
	return ""
}

// road draws one road.
func (c class) road(seed uint64) Road {
	d := newDraw(seed)
	s := simulate.Scenario{Title: c.name, About: c.what, Seed: seed}
	if c.radar != nil {
		s.Radar = c.radar(d)
	}
	if s.Radar.Lanes != nil {
		d.lanes = len(s.Radar.Lanes)
	}
	if c.weather != nil {
		c.weather(d, &s)
	}
	if c.traffic != nil {
		s.Flows, s.Duration = c.traffic(d), long
		return Road{c.name, seed, s}
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
	if s.Radar.Rate == 0 && slices.ContainsFunc(s.Vehicles, func(v simulate.Vehicle) bool { return v.Speed > usualMost }) {
		s.Radar.Rate = fastRate
	}
	return Road{c.name, seed, s}
}

// vehicles returns how many of the vehicles count.
func (r Road) vehicles() int {
	if r.Scenario.Flows == nil {
		return len(r.Scenario.Vehicles)
	}
	n := 0
	for _, v := range newRoad(r.Scenario).Truth() {
		if r.whole(v) {
			n++
		}
	}
	return n
}

// whole reports whether a vehicle's time in the beam lies well within the
// recording.
func (r Road) whole(v simulate.Truth) bool {
	return v.Enter != v.Leave && v.Enter >= lead/2 && v.Leave <= r.Scenario.Duration-lead/4
}

// options says how the sensor of the road is set.
func (r Road) options() doppler.Options {
	return doppler.Options{Carrier: r.Scenario.Radar.Carrier, Angle: int(1000*r.Scenario.Radar.Angle + 0.5), Simulated: true}
}

// seen returns from when to when the radar sees any vehicle of a group, or
// would have to: a second about each closest point.
func seen(radar simulate.Radar, group []simulate.Vehicle) (from, to time.Duration) {
	from, to = group[0].Passing, group[0].Passing
	for _, v := range newRoad(simulate.Scenario{Duration: time.Second, Radar: radar, Vehicles: group}).Truth() {
		from, to = min(from, v.Passing-time.Second), max(to, v.Passing+time.Second)
		if v.Enter != v.Leave {
			from, to = min(from, v.Enter), max(to, v.Leave)
		}
	}
	return from.Truncate(time.Millisecond), to.Truncate(time.Millisecond)
}

// newRoad builds a road of our own drawing, which is always valid.
func newRoad(s simulate.Scenario) *simulate.Road {
	road, err := simulate.NewRoad(s)
	if err != nil {
		panic("accuracy: " + err.Error())
	}
	return road
}

// A stretch is what the true speed was over a stretch of road.
type stretch struct{ slowest, fastest sensor.Speed }

// off returns by how much a speed lies beyond every one that the vehicle had.
func (s stretch) off(speed sensor.Speed) sensor.Speed {
	return speed - min(max(speed, s.slowest), s.fastest)
}

// wrong reports whether a speed is off by more than 1 km/h and 1 %.
func (s stretch) wrong(speed sensor.Speed) bool {
	off := float64(s.off(speed))
	return math.Abs(off) > max(float64(mostOff), mostShare*float64(s.fastest))
}

// measuredOn returns the speed over the stretch in which a passage may be
// measured, as far as the track holds it: from twice the vehicle's offset before
// the closest point to 30 m beyond where the angle hardly matters. A vehicle that
// holds its speed has one speed.
func measuredOn(p sensor.Passage, v simulate.Truth) stretch {
	all := stretch{v.Speed, v.Speed}
	if len(v.Phases) == 0 {
		return all
	}
	const near, far, way, step = 2, 5.5, 30.0, 20 * time.Millisecond
	found := false
	for at := time.Duration(p.Start); at <= time.Duration(p.End); at += step {
		x, y := v.PlaceAt(at)
		if x, y = math.Abs(x), math.Abs(y); x < near*y || x > far*y+way {
			continue
		}
		speed := v.SpeedAt(at)
		if !found {
			found, all = true, stretch{speed, speed}
		}
		all.slowest, all.fastest = min(all.slowest, speed), max(all.fastest, speed)
	}
	return all
}
