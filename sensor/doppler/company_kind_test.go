package doppler_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
)

// checkCompany holds passages against the truth: none says that its vehicle was
// alone while another could be seen for a second of its track, and none that does
// has a speed that no vehicle had which passed then. It returns how many passages
// say that their vehicle was alone.
func checkCompany(t *testing.T, s simulate.Scenario, all []sensor.Passage) (alone int) {
	t.Helper()
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if !p.Valid() || p.Targets > 0 {
			continue
		}
		alone++
		seen, explained := 0, false
		for _, v := range road.Truth() {
			from, to := max(v.Enter, time.Duration(p.Start)), min(v.Leave, time.Duration(p.End))
			if to-from > time.Second {
				seen++
			}
			off := math.Abs(float64(p.Speed - v.Speed))
			explained = explained || to > from && off <= max(100, 0.01*float64(v.Speed))
		}
		if seen > 1 || !explained {
			t.Errorf("seed %d: %d vehicles were seen, one had that speed: %t: %s", s.Seed, seen, explained, say(p))
		}
	}
	return alone
}

func both(t *testing.T, name string, seeds uint64, draw func(rng *rand.Rand) []simulate.Vehicle) {
	t.Helper()
	for _, radar := range []simulate.Radar{{}, {Real: true}} {
		channels := map[bool]string{false: "I and Q", true: "one channel"}[radar.Real]
		t.Run(name+", "+channels, func(t *testing.T) {
			for seed := range seeds {
				rng := rand.New(rand.NewPCG(seed+1, 9))
				s := simulate.Scenario{Seed: seed + 1, Radar: radar, Duration: 30 * time.Second, Vehicles: draw(rng)}
				all, _ := drive(t, s, asItIs)
				checkCompany(t, s, all)
			}
		})
	}
}

func eitherWay(rng *rand.Rand) sensor.Direction {
	return [...]sensor.Direction{sensor.Approaching, sensor.Receding}[rng.IntN(2)]
}

// TestD09_SecondVehicleOfOneSpeed lets two cars of one speed pass 13 to 22 m behind
// each other: far from the sensor they share a line.
func TestD09_SecondVehicleOfOneSpeed(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	both(t, "40 km/h, 1.5 s", 3, func(rng *rand.Rand) []simulate.Vehicle {
		a := simulate.Vehicle{Speed: 40_00, Direction: eitherWay(rng), Lane: 1 + rng.IntN(2), Passing: 12 * time.Second}
		b := a
		b.Passing += 1500 * time.Millisecond
		return []simulate.Vehicle{a, b}
	})
	both(t, "other speeds", 4, func(rng *rand.Rand) []simulate.Vehicle {
		a := simulate.Vehicle{Speed: sensor.Speed(3000 + rng.IntN(4000)), Direction: eitherWay(rng), Lane: 1, Passing: 12 * time.Second}
		b := a
		b.Passing += time.Duration((13 + 9*rng.Float64()) / a.Speed.MPS() * 1e9)
		return []simulate.Vehicle{a, b}
	})
}

// TestD09_LeavingOneAfterTheOther lets four cars leave in ten seconds, whose lines
// cross where the faster ones gain on those before them.
func TestD09_LeavingOneAfterTheOther(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	both(t, "33 to 52 km/h", 4, func(rng *rand.Rand) []simulate.Vehicle {
		var all []simulate.Vehicle
		for n := range 4 {
			all = append(all, simulate.Vehicle{Speed: sensor.Speed(3300 + rng.IntN(1900)), Direction: sensor.Receding, Lane: 1 + n%2,
				Passing: 6*time.Second + time.Duration(n)*2500*time.Millisecond + time.Duration(rng.IntN(800))*time.Millisecond})
		}
		return all
	})
}

// TestD09_LoneOnesBesideThem lets cars pass alone, before and after such a pair:
// they are found.
func TestD09_LoneOnesBesideThem(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	pair := func(d sensor.Direction, at time.Duration) []simulate.Vehicle {
		return []simulate.Vehicle{
			{Speed: 40_00, Direction: d, Lane: 1, Passing: at},
			{Speed: 40_00, Direction: d, Lane: 1, Passing: at + 1500*time.Millisecond},
		}
	}
	for _, radar := range []simulate.Radar{{}, {Real: true}} {
		s := simulate.Scenario{Seed: 4, Radar: radar, Duration: 85 * time.Second}
		for n, kmh := range []sensor.Speed{47_00, 0, 62_00, 0, 38_00} {
			at := time.Duration(8+17*n) * time.Second
			d := [...]sensor.Direction{sensor.Approaching, sensor.Receding}[n/2%2]
			if kmh == 0 {
				s.Vehicles = append(s.Vehicles, pair(d, at)...)
			} else {
				s.Vehicles = append(s.Vehicles, simulate.Vehicle{Speed: kmh, Direction: d, Lane: 1, Passing: at})
			}
		}
		all, _ := drive(t, s, asItIs)
		if alone := checkCompany(t, s, all); alone != 3 {
			t.Errorf("one channel %t: %d vehicles found alone, want 3", radar.Real, alone)
			for _, p := range all {
				t.Log(say(p))
			}
		}
	}
}

// TestD09_EightLanes drives a motorway of eight lanes, on which a car of 127 km/h was
// told as alone while one of 119 km/h was 9 m before it.
func TestD09_EightLanes(t *testing.T) {
	s, err := simulate.ReadScenario("eight-lanes")
	if err != nil {
		t.Fatal(err)
	}
	s.Seed = 3880790819
	told := 0
	for _, p := range passagesOf(t, s) {
		if p.Direction != sensor.Approaching || p.End < sensor.Mono(20*time.Second) || p.End > sensor.Mono(22*time.Second) {
			continue
		}
		told++
		if p.Valid() && p.Targets == 0 {
			t.Errorf("taken for alone: %s", say(p))
		}
	}
	if told == 0 {
		t.Error("none of the two was told")
	}
}

// TestD09_MotorcycleInTheBandOfABody lets a motorcycle pass about a second before or
// after a car, where its line lies at a frequency that another place of a body as
// long as a lorry would have.
func TestD09_MotorcycleInTheBandOfABody(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range []struct {
		car, motorcycle sensor.Speed
		after           time.Duration // of the motorcycle
	}{
		{50_06, 58_05, -910 * time.Millisecond},
		{30_01, 26_34, 1540 * time.Millisecond},
		{69_34, 77_38, -430 * time.Millisecond},
	} {
		for seed := range uint64(4) {
			at := 9 * time.Second
			s := simulate.Scenario{Seed: seed + 1, Duration: 16 * time.Second, Vehicles: []simulate.Vehicle{
				{Speed: c.car, Direction: sensor.Approaching, Lane: 2, Passing: at},
				{Class: simulate.Motorcycle, Speed: c.motorcycle, Direction: sensor.Approaching, Lane: 1, Passing: at + c.after},
			}}
			checkCompany(t, s, passagesOf(t, s))
		}
	}
}

// TestD09_MotorcycleThatLongFramesHear lets a motorcycle follow a lorry that is a tenth
// faster: frames of the usual length may tell the lorry before those twice as long, which
// alone hear the motorcycle, are done with it.
func TestD09_MotorcycleThatLongFramesHear(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, seed := range []uint64{1, 4, 6} {
		at := 12 * time.Second
		s := simulate.Scenario{Seed: seed, Duration: 20 * time.Second, Vehicles: []simulate.Vehicle{
			{Class: simulate.Lorry, Speed: 28_08, Direction: sensor.Approaching, Lane: 1, Passing: at},
			{Class: simulate.Motorcycle, Speed: 25_27, Direction: sensor.Approaching, Lane: 2, Passing: at + 1650*time.Millisecond},
		}}
		checkCompany(t, s, passagesOf(t, s))
	}
}

// TestD09_MeetingWithoutQ lets two meet of which the line of one was faint for the moment
// when the other was told, or lay where the wheels of the other turn. By geometry each
// has a speed of its own.
func TestD09_MeetingWithoutQ(t *testing.T) {
	if testing.Short() {
		t.Skip("short: minutes of signal")
	}
	for _, c := range []struct{ comes, goes simulate.Vehicle }{
		{
			simulate.Vehicle{Speed: 34_01, Direction: sensor.Approaching, Lane: 1, Passing: 10850 * time.Millisecond},
			simulate.Vehicle{Class: simulate.Van, Speed: 83_10, Direction: sensor.Receding, Lane: 2, Passing: 9 * time.Second},
		},
		{
			simulate.Vehicle{Class: simulate.Van, Speed: 67_52, Direction: sensor.Approaching, Lane: 1, Passing: 10860 * time.Millisecond},
			simulate.Vehicle{Class: simulate.Van, Speed: 44_95, Direction: sensor.Receding, Lane: 2, Passing: 9 * time.Second},
		},
	} {
		for seed := range uint64(5) {
			s := simulate.Scenario{Seed: seed + 1, Radar: simulate.Radar{Real: true}, Duration: 17 * time.Second, Vehicles: []simulate.Vehicle{c.goes, c.comes}}
			all, _ := drive(t, s, asItIs)
			checkCompany(t, s, all)
		}
	}
}
