package track_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"ciglio/sensor"
	"ciglio/sensor/track"
)

// judge pushes cycles and returns the passages.
func judge(t testing.TB, o track.Options, cycles []sensor.Cycle) []sensor.Passage {
	t.Helper()
	tracker, err := track.NewTracker(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cycles {
		tracker.Push(c)
	}
	tracker.Flush()
	var all []sensor.Passage
	for p, ok := tracker.Pop(); ok; p, ok = tracker.Pop() {
		all = append(all, p)
	}
	return all
}

var oneLane = []track.Lane{{Left: 1000, Right: 4500}}

// fine are the options of a sensor of small steps beside one lane.
var fine = track.Options{Step: 1, Lanes: oneLane, KeepTrace: true}

func TestWhyAPassageIsRefused(t *testing.T) {
	usual := car{kmh: 72, side: 3, from: 80, to: 6}
	full := car{kmh: 72, side: 3, from: 80, to: 6, ranged: true, angled: true}
	separates := fine
	separates.Separates = true
	unchecked := fine
	unchecked.Unchecked = true
	with := func(c car, change func(r *sensor.Reading, x float64)) car {
		c.change = change
		return c
	}
	always := func(f sensor.Flag) func(*sensor.Reading, float64) {
		return func(r *sensor.Reading, _ float64) { r.Flags |= f }
	}
	within := func(low, high float64, f func(*sensor.Reading)) func(*sensor.Reading, float64) {
		return func(r *sensor.Reading, x float64) {
			if x >= low && x < high {
				f(r)
			}
		}
	}
	odd := func() func(*sensor.Reading, float64) {
		k := 0
		return func(r *sensor.Reading, _ float64) {
			if k++; k%5 == 0 {
				r.Speed += 3 * sensor.KmH
			}
		}
	}
	n := 0
	for _, c := range []struct {
		name   string
		o      track.Options
		cars   []car
		change func([]sensor.Cycle) []sensor.Cycle
		want   []sensor.Reason // of every passage
		count  int
	}{
		{name: "a lone car", o: fine, cars: []car{usual}, count: 1},
		{name: "a lone car with range and angle", o: separates, cars: []car{full}, count: 1},
		{name: "a leaving car", o: fine, cars: []car{{kmh: 72, side: 3, from: 6, to: 80}}, count: 1},
		{name: "a sensor without directions", o: fine, cars: []car{with(usual, func(r *sensor.Reading, _ float64) { r.Direction = 0 })}, count: 1},
		{name: "seen too near only", o: fine, cars: []car{{kmh: 72, side: 3, from: 15, to: 3}}, count: 1,
			want: []sensor.Reason{sensor.ReasonTooFewReadings}},
		{name: "seen for a moment only", o: separates, cars: []car{{kmh: 72, side: 3, from: 40, to: 36, ranged: true, angled: true}}, count: 1,
			want: []sensor.Reason{sensor.ReasonTooFewReadings}},
		{name: "two readings are no track", o: fine, cars: []car{{kmh: 72, side: 3, from: 40, to: 39}}, count: 0},
		{name: "every third reading goes the other way", o: fine, cars: []car{with(usual, func(r *sensor.Reading, _ float64) {
			if n++; n%3 == 0 {
				r.Direction = sensor.Receding
			}
		})}, count: 1, want: []sensor.Reason{sensor.ReasonMixedDirection}},
		{name: "a bound on braking", o: separates, cars: []car{{kmh: 100, gains: -9, side: 3, from: 60, to: 25, ranged: true, angled: true}}, count: 1,
			want: []sensor.Reason{sensor.ReasonAcceleration}},
		{name: "clipped in the zone", o: separates, cars: []car{with(full, within(20, 60, func(r *sensor.Reading) { r.Flags |= sensor.FlagClipped }))}, count: 1,
			want: []sensor.Reason{sensor.ReasonTooFewReadings, sensor.ReasonClipped}},
		{name: "clipped before the zone", o: separates, cars: []car{with(full, within(60, 90, func(r *sensor.Reading) { r.Flags |= sensor.FlagClipped }))}, count: 1},
		{name: "simulated throughout", o: fine, cars: []car{with(usual, always(sensor.FlagSimulated))}, count: 1,
			want: []sensor.Reason{sensor.ReasonSimulated}},
		{name: "one simulated reading, far from the zone", o: separates, cars: []car{with(full, within(78, 79.5, func(r *sensor.Reading) { r.Flags |= sensor.FlagSimulated }))}, count: 1,
			want: []sensor.Reason{sensor.ReasonSimulated}},
		{name: "reports lost in the zone", o: separates, cars: []car{full}, change: lose(2 * time.Second), count: 1,
			want: []sensor.Reason{sensor.ReasonLostSamples}},
		{name: "reports lost before the zone", o: separates, cars: []car{full}, change: lose(500 * time.Millisecond), count: 1},
		{name: "ranges that another speed would give", o: separates, cars: []car{with(full, func(r *sensor.Reading, _ float64) { r.Speed = r.Speed * 9 / 10 })}, count: 1,
			want: []sensor.Reason{sensor.ReasonTwoTargets}},
		{name: "a tone that is taken for a vehicle", o: fine, cars: []car{{kmh: 180, from: 9000, to: 8550}}, count: 1,
			want: []sensor.Reason{sensor.ReasonInterference}},
		{name: "beyond the range of the chain", o: separates, cars: []car{{kmh: 380, side: 3, from: 150, to: 20, ranged: true, angled: true}}, count: 1,
			want: []sensor.Reason{sensor.ReasonOutOfRange}},
		{name: "no check sum, a consistent run", o: unchecked, cars: []car{usual}, count: 1},
		{name: "no check sum, too short a run", o: unchecked, cars: []car{{kmh: 72, side: 3, from: 31, to: 6}}, count: 1,
			want: []sensor.Reason{sensor.ReasonTooFewReadings}},
		{name: "no check sum, one reading in five does not fit", o: unchecked, cars: []car{with(usual, odd())}, count: 1,
			want: []sensor.Reason{sensor.ReasonTooFewReadings}},
		{name: "the same with a check sum", o: fine, cars: []car{with(usual, odd())}, count: 1},
		{name: "two of one speed, the sensor cannot tell them apart", o: fine, cars: []car{usual, {kmh: 72.5, side: 3, from: 80, to: 6, start: 300 * time.Millisecond}}, count: 2,
			want: []sensor.Reason{sensor.ReasonTwoTargets}},
		{name: "two of one speed and range, side by side", o: separates, cars: []car{full, {kmh: 72.5, side: 4, from: 80, to: 6, ranged: true, angled: true}}, count: 2,
			want: []sensor.Reason{sensor.ReasonTwoTargets}},
		{name: "side by side, far apart in angle", o: separates, cars: []car{full, {kmh: 72.5, side: -9, from: 60, to: 6, start: time.Second, ranged: true, angled: true}}, count: 2},
		{name: "the sensor's own verdict alone", o: fine, cars: []car{with(usual, always(sensor.FlagFinal))}, count: 0},
		{name: "a sensor that reports only what it sees", o: separates, cars: []car{full}, change: func(c []sensor.Cycle) []sensor.Cycle {
			return slices.DeleteFunc(c, func(c sensor.Cycle) bool { return len(c.Readings) == 0 && c.At < sensor.Mono(9*time.Second) })
		}, count: 1},
		{name: "silence in mid-passage", o: separates, cars: []car{{kmh: 72, side: 3, from: 80, to: 6, start: cycleTime, ranged: true, angled: true}}, change: drop(time.Second, 1800*time.Millisecond), count: 1,
			want: []sensor.Reason{sensor.ReasonLostSamples}},
		{name: "leaving, and in the beam already when the sensor reports again", o: fine, cars: []car{{kmh: 72, side: 3, from: 6, to: 150, start: cycleTime}},
			change: miss(cycleTime, 1500*time.Millisecond), count: 1, want: []sensor.Reason{sensor.ReasonLostSamples}},
		{name: "the same, and its ranges tell how far it has come", o: separates, cars: []car{{kmh: 72, side: 3, from: 6, to: 150, start: cycleTime, ranged: true, angled: true}},
			change: miss(cycleTime, 1500*time.Millisecond), count: 1},
		{name: "approaching: the end of its track tells where it was", o: fine, cars: []car{{kmh: 72, side: 3, from: 110, to: 6, start: cycleTime}},
			change: miss(cycleTime, 1500*time.Millisecond), count: 1},
		{name: "later than that", o: fine, cars: []car{{kmh: 72, side: 3, from: 6, to: 150, start: 2200 * time.Millisecond}},
			change: miss(cycleTime, 1500*time.Millisecond), count: 1},
		{name: "the clock goes back in mid-passage", o: separates, cars: []car{full}, change: back(3 * time.Second), count: 1,
			want: []sensor.Reason{sensor.ReasonClock}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cycles := drive(9*time.Second, c.cars...)
			if c.change != nil {
				cycles = c.change(cycles)
			}
			all := judge(t, c.o, cycles)
			if len(all) != c.count {
				t.Errorf("%d passages, want %d", len(all), c.count)
			}
			for _, p := range all {
				if !slices.Equal(p.Reasons, c.want) {
					t.Errorf("%v, %v to %v: %v, want %v\n%s", p.Speed, p.Start.Seconds(), p.End.Seconds(), p.Reasons, c.want, p.Trace.Data)
				}
			}
		})
	}
}

// lose marks the cycle at an instant: reports before it are missing.
func lose(at time.Duration) func([]sensor.Cycle) []sensor.Cycle {
	return func(c []sensor.Cycle) []sensor.Cycle {
		c[at/cycleTime].Lost = true
		return c
	}
}

// drop takes the cycles out of a stretch of time, and those after it for a
// second have no readings.
func drop(from, to time.Duration) func([]sensor.Cycle) []sensor.Cycle {
	return func(c []sensor.Cycle) []sensor.Cycle {
		for i := range c[to/cycleTime:] {
			c[int(to/cycleTime)+i].Readings = nil
		}
		return slices.Delete(c, int(from/cycleTime), int(to/cycleTime))
	}
}

// miss takes the cycles out of a stretch of time.
func miss(from, to time.Duration) func([]sensor.Cycle) []sensor.Cycle {
	return func(c []sensor.Cycle) []sensor.Cycle { return slices.Delete(c, int(from/cycleTime), int(to/cycleTime)) }
}

// back sets the clock back by a second at an instant, when readings end.
func back(at time.Duration) func([]sensor.Cycle) []sensor.Cycle {
	return func(c []sensor.Cycle) []sensor.Cycle {
		for i := int(at / cycleTime); i < len(c); i++ {
			c[i].At -= sensor.Mono(time.Second)
			c[i].Readings = nil
		}
		return c
	}
}

func TestSpeedIsThatOfTheRoad(t *testing.T) {
	for _, c := range []struct {
		name string
		o    track.Options
		car  car
		low  float64 // km/h, at least this
		high float64
	}{
		{"range and angle: the angle is corrected", fine, car{kmh: 90, side: 12, from: 60, to: 15, ranged: true, angled: true}, 89.95, 90.02},
		{"range only: never more than the truth", fine, car{kmh: 90, side: 4, from: 60, to: 15, ranged: true}, 89.2, 90.01},
		{"speed only: never more than the truth", fine, car{kmh: 90, side: 4, from: 60, to: 8}, 89, 90.01},
		{"the fall near the sensor is not in it", fine, car{kmh: 90, side: 4, from: 60, to: 0.5}, 89, 90.01},
		{"fractions of the last digit are dropped", fine, car{kmh: 90.009, side: 1.5, from: 90, to: 30, ranged: true, angled: true}, 89.98, 90.01},
	} {
		all := judge(t, c.o, drive(9*time.Second, c.car))
		if len(all) != 1 || !all[0].Valid() {
			t.Errorf("%s: %+v", c.name, all)
			continue
		}
		if v := float64(all[0].Speed) / 100; v < c.low || v > c.high {
			t.Errorf("%s: %v, want %v to %v", c.name, all[0].Speed, c.low, c.high)
		}
	}
}

// TestOneHighReadingIsNotTheSpeed gives a tenth of the readings 30 km/h more.
func TestOneHighReadingIsNotTheSpeed(t *testing.T) {
	n := 0
	all := judge(t, fine, drive(9*time.Second, car{kmh: 60, side: 3, from: 60, to: 6, ranged: true, angled: true, change: func(r *sensor.Reading, _ float64) {
		if n++; n%10 == 0 {
			r.Speed += 300
		}
	}}))
	if len(all) != 1 || !all[0].Valid() || all[0].Speed > 6020 {
		t.Errorf("%+v", all)
	}
}

func TestTargetsAreCounted(t *testing.T) {
	apart := car{kmh: 72, side: 3, from: 80, to: 6}
	for _, c := range []struct {
		name string
		o    track.Options
		cars []car
		want []int
	}{
		{"alone", fine, []car{apart}, []int{0}},
		{"another speed in the beam", fine, []car{apart, {kmh: 100, side: 4, from: 80, to: 6, start: time.Second}}, []int{1, 1}},
		{"the other way", fine, []car{apart, {kmh: 72, side: 4, from: 6, to: 80, start: time.Second}}, []int{1, 1}},
		{"one that comes within the guard time", fine, []car{apart, {kmh: 100, side: 4, from: 80, to: 6, start: 3900 * time.Millisecond}}, []int{1, 1}},
		{"one that comes after it", fine, []car{apart, {kmh: 100, side: 4, from: 80, to: 6, start: 4200 * time.Millisecond}}, []int{0, 0}},
		{"the sensor's verdict on one that it did not show", fine, []car{apart, {kmh: 120, side: 4, from: 40, to: 39.5, start: 2 * time.Second,
			change: func(r *sensor.Reading, _ float64) { r.Flags |= sensor.FlagFinal }}}, []int{1}},
		{"the sensor's verdict on itself", fine, []car{apart, {kmh: 71.5, side: 3, from: 8, to: 7.9, start: 3500 * time.Millisecond,
			change: func(r *sensor.Reading, _ float64) { r.Flags |= sensor.FlagFinal; r.Speed = 7150 }}}, []int{0}},
		{"told apart at the photo position", track.Options{Step: 1, Lanes: oneLane, Separates: true},
			[]car{{kmh: 72, side: 3, from: 80, to: 6, ranged: true, angled: true}, {kmh: 100, side: -3, from: 80, to: 6, start: 500 * time.Millisecond, ranged: true, angled: true}}, []int{0, 0}},
		{"bumper to bumper at the photo position", track.Options{Step: 1, Lanes: oneLane, Separates: true},
			[]car{{kmh: 72, side: 3, from: 80, to: 6, ranged: true, angled: true}, {kmh: 72, side: 3, from: 80, to: 6, start: 300 * time.Millisecond, ranged: true, angled: true}}, []int{1, 1}},
	} {
		var got []int
		for _, p := range judge(t, c.o, drive(9*time.Second, c.cars...)) {
			got = append(got, p.Targets)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: targets %v, want %v", c.name, got, c.want)
		}
	}
}

// TestLaneIsThatOfThePhotoPosition lets a car change from the second lane to
// the first, far before the photo position and after it.
func TestLaneIsThatOfThePhotoPosition(t *testing.T) {
	o := track.Options{Step: 1, Separates: true, KeepTrace: true, Lanes: []track.Lane{{Left: 1000, Right: 4500}, {Left: 4500, Right: 8000}}}
	for _, c := range []struct {
		name     string
		from, to float64 // m along the road, of the change
		photo    int32   // mm
		want     int
	}{
		{"before", 90, 50, 20_000, 1},
		{"in the zone", 60, 25, 20_000, 1},
		{"after", 55, 10, 70_000, 2},
	} {
		o.PhotoRange = c.photo
		var cycles []sensor.Cycle
		x, y, dt := 120.0, 6.25, cycleTime.Seconds()
		for at := time.Duration(0); x > 5; at += cycleTime {
			share := math.Pi * min(max((c.from-x)/(c.from-c.to), 0), 1)
			next := 6.25 - 3.5*(1-math.Cos(share))/2
			vx, vy := -25.0, (next-y)/dt
			y = next
			rng := math.Hypot(x, y)
			cycles = append(cycles, sensor.Cycle{At: sensor.Mono(at), Readings: []sensor.Reading{{
				At: sensor.Mono(at), Direction: sensor.Approaching, Range: int32(1000 * rng), Angle: int32(math.Round(18000 / math.Pi * math.Asin(y/rng))),
				Speed: sensor.Speed(-360 * (vx*x + vy*y) / rng), Flags: sensor.FlagRange | sensor.FlagAngle,
			}}})
			x += vx * dt
		}
		all := judge(t, o, cycles)
		if len(all) != 1 || !all[0].Valid() || all[0].Lane != c.want {
			t.Errorf("%s: want lane %d, have %+v", c.name, c.want, all)
			continue
		}
		if off := math.Abs(float64(all[0].Speed) - 9000); off > 2*float64(all[0].Budget.Total()) {
			t.Errorf("%s: %v ± %v, want 90 km/h", c.name, all[0].Speed, all[0].Budget)
		}
	}
}

func TestPhotoPosition(t *testing.T) {
	for _, c := range []struct {
		name string
		car  car
		want time.Duration
	}{
		{"on the way to the sensor", car{kmh: 72, side: 3, from: 80, to: 6, ranged: true, angled: true}, 3 * time.Second},
		{"on the way from the sensor", car{kmh: 72, side: 3, from: 8, to: 80, ranged: true, angled: true}, 600 * time.Millisecond},
		{"last seen before it", car{kmh: 72, side: 3, from: 80, to: 30, ranged: true, angled: true}, 3 * time.Second},
		{"first seen behind it", car{kmh: 72, side: 3, from: 30, to: 90, start: time.Second, ranged: true, angled: true}, 500 * time.Millisecond},
		{"seen far away only", car{kmh: 72, side: 3, from: 180, to: 120, ranged: true, angled: true}, 0},
		{"without range", car{kmh: 72, side: 3, from: 80, to: 6}, 0},
	} {
		all := judge(t, fine, drive(9*time.Second, c.car))
		if len(all) != 1 || !all[0].Valid() {
			t.Errorf("%s: %+v", c.name, all)
			continue
		}
		if off := time.Duration(all[0].Photo) - c.want; off > 20*time.Millisecond || off < -20*time.Millisecond {
			t.Errorf("%s: at %v, want %v", c.name, time.Duration(all[0].Photo), c.want)
		}
	}
}

func TestTraceGivesThePassageAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		o    track.Options
		car  car
	}{
		{"speed only", fine, car{kmh: 83.21, side: 3, from: 80, to: 6}},
		{"leaving", fine, car{kmh: 83.21, side: 3, from: 6, to: 80}},
		{"range and angle", fine, car{kmh: 61.7, side: 2.1, from: 70, to: 9, ranged: true, angled: true}},
		{"no direction", fine, car{kmh: 61.7, side: 2.1, from: 70, to: 9, ranged: true, mute: true}},
		{"simulated, with negative angle and level", fine, car{kmh: 61.7, side: -2.1, from: 70, to: 9, ranged: true, angled: true,
			change: func(r *sensor.Reading, _ float64) { r.Level, r.Flags = -5, r.Flags|sensor.FlagSimulated }}},
		{"reports lost in the zone", fine, car{kmh: 83.21, side: 3, from: 80, to: 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cycles := drive(9*time.Second, c.car)
			if c.name == "reports lost in the zone" {
				cycles = lose(1500 * time.Millisecond)(cycles)
			}
			first := judge(t, c.o, cycles)
			if len(first) != 1 {
				t.Fatalf("%d passages", len(first))
			}
			again, err := track.ReadTrace(bytes.NewReader(first[0].Trace.Data))
			if err != nil {
				t.Fatal(err)
			}
			second := judge(t, c.o, again)
			if len(second) != 1 || fmt.Sprintf("%+v", second[0]) != fmt.Sprintf("%+v", first[0]) {
				t.Errorf("measured again:\n%+v\nfirst:\n%+v", second, first)
			}
			if tr := first[0].Trace; tr.Samples != int64(len(again)) || tr.First != first[0].Start || tr.Last != first[0].End {
				t.Errorf("trace of %d readings from %v to %v, passage from %v to %v", tr.Samples, tr.First, tr.Last, first[0].Start, first[0].End)
			}
		})
	}
}
