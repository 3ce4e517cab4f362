package simulate

import (
	"math"
	"strings"
	"testing"
	"time"

	"ciglio/sensor"
)

func TestMotionIsPiecewise(t *testing.T) {
	v := Vehicle{Speed: 7200, Direction: sensor.Receding, Lane: 1, Passing: 10 * time.Second, Phases: []Phase{
		{From: time.Second, Until: 3 * time.Second, Acceleration: -4},
		{From: -4 * time.Second, Until: -2 * time.Second, Acceleration: 2},
	}}
	truth := mustRoad(t, Scenario{Duration: time.Minute, Vehicles: []Vehicle{v}}).Truth()[0]
	tests := []struct {
		name  string
		at    float64 // s from passing
		speed float64 // m/s
		x     float64 // m
	}{
		{"closest point", 0, 20, 0},
		{"constant until the first phase", 1, 20, 20},
		{"braking", 2, 16, 38},
		{"end of braking", 3, 12, 52},
		{"constant again", 5, 12, 76},
		{"before, constant", -1, 20, -20},
		{"end of the phase before", -2, 20, -40},
		{"in it", -3, 18, -59},
		{"its start", -4, 16, -76},
		{"long before", -14, 16, -236},
	}
	for _, test := range tests {
		at := v.Passing + time.Duration(test.at*1e9)
		x, y := truth.PlaceAt(at)
		if got := truth.SpeedAt(at).MPS(); math.Abs(got-test.speed) > 1e-9 || math.Abs(x-test.x) > 1e-9 || y != 3 {
			t.Errorf("%s: %.3f m/s at %.3f, %.3f m; want %.3f at %.3f", test.name, got, x, y, test.speed, test.x)
		}
		if got := truth.drive.when(test.x); math.Abs(got-test.at) > 1e-9 {
			t.Errorf("%s: travelled at %.6f s, want %.6f", test.name, got, test.at)
		}
	}
	if got := truth.MeanSpeed(v.Passing, v.Passing+3*time.Second); got != 6240 {
		t.Errorf("mean of 20 m/s for 1 s and 16 m/s for 2 s: %v", got)
	}
}

func TestSpeedWithoutPhasesIsExact(t *testing.T) {
	for speed := minSpeed; speed <= maxSpeed; speed++ {
		v := Vehicle{Speed: speed, Direction: sensor.Approaching, Lane: 1}
		d, err := newDrive(v, usualLanes)
		if err != nil {
			t.Fatal(err)
		}
		truth := Truth{Vehicle: v, drive: &d}
		if at, mean := truth.SpeedAt(time.Second), truth.MeanSpeed(0, time.Second); at != speed || mean != speed {
			t.Fatalf("%v at an instant, %v in the mean, want %v", at, mean, speed)
		}
	}
}

func TestLaneChangeIsSmooth(t *testing.T) {
	v := Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 10 * time.Second, Changes: []Change{
		{From: -4 * time.Second, Over: 3 * time.Second, Lane: 2}, {From: time.Second, Over: 2 * time.Second, Lane: 1},
	}}
	d, err := newDrive(v, []float64{3, 6.4})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[float64]float64{-5: 3, -4: 3, -2.5: 4.7, -1: 6.4, 0.5: 6.4, 2: 4.7, 3: 3, 9: 3} {
		if y, _ := d.across(at); math.Abs(y-want) > 1e-12 {
			t.Errorf("at %g s: y = %g m, want %g", at, y, want)
		}
	}
	const step = 1e-4
	lastSpeed := 0.0
	for at := -4.5; at < 3.5; at += step {
		a, speed := d.across(at)
		b, _ := d.across(at + step)
		if math.Abs((b-a)/step-speed) > 2e-3 {
			t.Fatalf("at %.4f s: the path moves by %.5f m/s, told %.5f", at, (b-a)/step, speed)
		}
		if math.Abs(speed-lastSpeed)/step > 6 {
			t.Fatalf("at %.4f s: the sideways acceleration is %.1f m/s²", at, (speed-lastSpeed)/step)
		}
		lastSpeed = speed
	}
}

// TestTargetsFollowTheGeometry compares what targets say of themselves with how
// their places change.
func TestTargetsFollowTheGeometry(t *testing.T) {
	s, err := ReadScenario("overtaking")
	if err != nil {
		t.Fatal(err)
	}
	s.Radar.Angle, s.Radar.Height = 4, 2.5
	r := mustRoad(t, s)
	seen := map[int]int{}
	for at := time.Duration(0); at < s.Duration; at += 20 * time.Millisecond {
		const step = 100 * time.Microsecond
		for _, now := range r.Targets(nil, at) {
			later := r.target(now.Vehicle, at+step)
			if got := (now.Range - later.Range) / step.Seconds(); math.Abs(got-now.Speed) > 0.01 {
				t.Fatalf("at %v: the range falls by %.3f m/s, told %.3f", at, got, now.Speed)
			}
			x, y := r.truth[now.Vehicle].PlaceAt(at)
			if want := math.Atan2(y, x)*180/math.Pi - 4; math.Abs(now.Angle-want) > 1e-9 {
				t.Fatalf("at %v: angle %.4f°, want %.4f", at, now.Angle, want)
			}
			seen[now.Vehicle]++
		}
	}
	if seen[0] < 50 || seen[1] < 50 {
		t.Errorf("targets seen %v times, want many of both", seen)
	}
}

func TestTargetsAreThoseInTheBeam(t *testing.T) {
	r := mustRoad(t, Traffic(4, 70*sensor.KmH, 20*time.Second))
	for at := time.Duration(0); at < 20*time.Second; at += 37 * time.Millisecond {
		in := map[int]bool{}
		for _, target := range r.Targets(nil, at) {
			in[target.Vehicle] = true
		}
		for i, v := range r.Truth() {
			const edge = 60 * time.Millisecond // of the steps in which the zone is found
			if inside := at > v.Enter+edge && at < v.Leave-edge; inside && !in[i] {
				t.Errorf("at %v: vehicle %d is in the beam and no target", at, i)
			}
			if outside := at < v.Enter-edge || at > v.Leave+edge; outside && in[i] {
				t.Errorf("at %v: vehicle %d is a target and not in the beam", at, i)
			}
		}
	}
}

func TestCyclesAreAsGoodAsTold(t *testing.T) {
	s := Scenario{Seed: 3, Duration: 5 * time.Minute, Vehicles: nil}
	for at := 5 * time.Second; at < s.Duration; at += 10 * time.Second {
		s.Vehicles = append(s.Vehicles, Vehicle{Speed: 3600, Direction: sensor.Approaching, Lane: 1, Passing: at})
	}
	r := mustRoad(t, s)
	o := CycleOptions{SpeedNoise: 50, RangeNoise: 0.4, AngleNoise: 0.7, Missed: 0.2, Ghosts: 1, Numbered: true, Origin: 1e12}
	var speed, distance, angle float64
	read, ghosts, all := 0, 0, 0
	cycles := r.Cycles(o)
	for {
		c, err := cycles.Next(t.Context())
		if err != nil {
			break
		}
		at := c.At.Sub(1e12)
		truth := r.Targets(nil, at)
		all += len(truth)
		for _, reading := range c.Readings {
			if !reading.Has(sensor.FlagRange | sensor.FlagAngle) {
				t.Fatalf("reading without range or angle: %+v", reading)
			}
			if reading.Target == 0 {
				ghosts++
				continue
			}
			want := r.target(reading.Target-1, at)
			signed := reading.Speed.MPS()
			if reading.Direction == sensor.Receding {
				signed = -signed
			}
			read++
			speed += math.Pow(signed-want.Speed, 2)
			distance += math.Pow(float64(reading.Range)/1000-want.Range, 2)
			angle += math.Pow(float64(reading.Angle)/100-want.Angle, 2)
		}
	}
	n := float64(read)
	for _, test := range []struct {
		name      string
		got, want float64
	}{
		{"speed", math.Sqrt(speed/n) * 3.6, 0.5},
		{"range", math.Sqrt(distance / n), 0.4},
		{"angle", math.Sqrt(angle / n), 0.7},
		{"share that is there", n / float64(all), 0.8},
		{"ghosts a second", float64(ghosts) / s.Duration.Seconds(), 1},
	} {
		if math.Abs(test.got/test.want-1) > 0.12 {
			t.Errorf("%s: %.3f, want %.3f", test.name, test.got, test.want)
		}
	}
}

func TestTwoNearVehiclesAreOneReading(t *testing.T) {
	count := func(o CycleOptions, second Vehicle) (most int) {
		first := Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 1, Passing: 4 * time.Second, Class: Lorry}
		r := mustRoad(t, Scenario{Duration: 6 * time.Second, Vehicles: []Vehicle{first, second}})
		cycles := r.Cycles(o)
		for {
			c, err := cycles.Next(t.Context())
			if err != nil {
				return most
			}
			if c.At < 2e9 {
				most = max(most, len(c.Readings))
			}
		}
	}
	beside := Vehicle{Speed: 7200, Direction: sensor.Approaching, Lane: 2, Passing: 4 * time.Second}
	behind := beside
	behind.Passing += time.Second
	for _, test := range []struct {
		name   string
		o      CycleOptions
		second Vehicle
		want   int
	}{
		{"an ideal radar", CycleOptions{}, beside, 2},
		{"speed alone", CycleOptions{SpeedResolution: 100}, behind, 1},
		{"range tells them apart", CycleOptions{SpeedResolution: 100, RangeResolution: 2}, behind, 2},
		{"range does not", CycleOptions{SpeedResolution: 100, RangeResolution: 2}, beside, 1},
		{"one target a cycle", CycleOptions{Targets: 1}, behind, 1},
	} {
		if got := count(test.o, test.second); got != test.want {
			t.Errorf("%s: %d readings, want %d", test.name, got, test.want)
		}
	}
}

func TestEdgesTellTheSpeed(t *testing.T) {
	braking := []Phase{{From: -3 * time.Second, Until: 0, Acceleration: -2}}
	for _, test := range []struct {
		name    string
		vehicle Vehicle
		loop    float64
		want    int // edges at each contact
	}{
		{"car, cables", Vehicle{Class: Car, Direction: sensor.Approaching}, 0, 4},
		{"lorry, cables", Vehicle{Class: Lorry, Direction: sensor.Receding}, 0, 10},
		{"bus, loops", Vehicle{Class: Bus, Direction: sensor.Receding}, 2, 2},
		{"motorcycle, loops", Vehicle{Class: Motorcycle, Direction: sensor.Approaching}, 2, 2},
		{"car that brakes", Vehicle{Class: Car, Direction: sensor.Approaching, Phases: braking}, 0, 4},
		{"car in the other lane", Vehicle{Class: Car, Direction: sensor.Approaching, Lane: 2}, 0, 0},
	} {
		v := test.vehicle
		v.Speed, v.Passing, v.Lane = 9000, 10*time.Second, max(v.Lane, 1)
		r := mustRoad(t, Scenario{Duration: 20 * time.Second, Vehicles: []Vehicle{v}})
		places := []float64{12, 8, 10}
		edges, err := r.Edges(Contacts{Lane: 1, At: places, Length: test.loop})
		if err != nil {
			t.Fatal(err)
		}
		lines := make([][]Touch, 3)
		for _, e := range edges {
			lines[e.Contact] = append(lines[e.Contact], e)
		}
		for k, line := range lines {
			if len(line) != test.want {
				t.Fatalf("%s: %d edges at contact %d, want %d", test.name, len(line), k, test.want)
			}
			for n := range line {
				if line[n].On != (n%2 == 0) || line[n].Number != uint32(n+1) {
					t.Errorf("%s: edge %d: %+v", test.name, n, line[n])
				}
				// The same edge at the contact 2 m on.
				other := lines[2][n]
				speed := math.Abs(places[k]-places[2]) / math.Abs((line[n].At - other.At).Seconds())
				truth := r.truth[0]
				if want := truth.MeanSpeed(min(line[n].At, other.At), max(line[n].At, other.At)).MPS(); k != 2 && math.Abs(speed-want) > 0.01 {
					t.Errorf("%s: edge %d: %.3f m/s, want %.3f", test.name, n, speed, want)
				}
			}
		}
	}
	if _, err := mustRoad(t, Scenario{Duration: time.Second}).Edges(Contacts{Lane: 1, At: []float64{math.NaN()}}); err == nil {
		t.Error("a contact at no place is accepted")
	}
}

func TestFlowIsAsAsked(t *testing.T) {
	s := Scenario{Seed: 5, Duration: 8 * time.Hour, Flows: []Flow{{
		Lane: 1, Direction: sensor.Approaching, PerHour: 300, Speed: 8000, Spread: 900, Shares: []Share{{Car, 8}, {Lorry, 2}},
	}}}
	truth := mustRoad(t, s).Truth()
	if n := len(truth); n < 2250 || n > 2550 {
		t.Errorf("%d vehicles in 8 h, want about 2400", n)
	}
	lorries, mean := 0, 0.0
	for i, v := range truth {
		mean += v.Speed.MPS() / float64(len(truth))
		if v.Class == Lorry {
			lorries++
		}
		if v.Speed < 5300 || v.Speed > 10700 {
			t.Errorf("%v lies beyond three standard deviations", v.Speed)
		}
		if i > 0 && v.Passing-truth[i-1].Passing < usualGap {
			t.Errorf("%v between two passings", v.Passing-truth[i-1].Passing)
		}
		// Nobody drives through the one before.
		for x := 180.0; i > 0 && x > -180; x -= 20 {
			at := v.Passing + instant(-x/v.Speed.MPS())
			before, _ := truth[i-1].PlaceAt(at)
			if length, _, _ := truth[i-1].Class.Size(); before+length > x {
				t.Fatalf("vehicle %d at %g m, the one before ends at %.1f m", i, x, before+length)
			}
		}
	}
	if share := float64(lorries) / float64(len(truth)); math.Abs(share-0.2) > 0.03 {
		t.Errorf("%.2f of them are lorries, want 0.2", share)
	}
	if math.Abs(mean*3.6-78) > 3 {
		t.Errorf("%.1f km/h in the mean, want somewhat less than 80", mean*3.6)
	}
}

func TestRoadRefusesWhatCannotBe(t *testing.T) {
	good := Vehicle{Speed: 5000, Direction: sensor.Approaching, Lane: 1}
	for _, test := range []struct {
		name string
		make func(*Scenario)
		want string
	}{
		{"reverses", func(s *Scenario) { s.Vehicles[0].Phases = []Phase{{0, 10 * time.Second, -3}} }, "km/h at 10.00 s"},
		{"acceleration of a rocket", func(s *Scenario) { s.Vehicles[0].Phases = []Phase{{0, time.Second, 30}} }, "acceleration 30 m/s²"},
		{"two changes at once", func(s *Scenario) {
			s.Vehicles[0].Changes = []Change{{0, 3 * time.Second, 2}, {time.Second, 3 * time.Second, 1}}
		}, "two changes of lane"},
		{"nine lanes", func(s *Scenario) { s.Radar.Lanes = make([]float64, 9) }, "9 lanes"},
		{"more traffic than a lane takes", func(s *Scenario) {
			s.Flows = []Flow{{Lane: 1, Direction: sensor.Approaching, Speed: 5000, PerHour: 5000}}
		}, "traffic 1: 5000 vehicles an hour"},
		{"rain from below", func(s *Scenario) { s.Rain = &Rain{Level: 3, Spread: 100} }, "rain: level 3 dB"},
		{"ghosts of another world", func(s *Scenario) { s.Readings.Ghosts = math.NaN() }, "ghosts"},
	} {
		s := Scenario{Duration: time.Second, Vehicles: []Vehicle{good}}
		test.make(&s)
		if _, err := NewRoad(s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := NewRoad(Scenario{Duration: time.Second, Radar: Radar{Lanes: []float64{0, -4}, Height: 6}}); err != nil {
		t.Errorf("a radar over its lane: %v", err)
	}
}
