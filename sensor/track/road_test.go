package track_test

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/track"
)

// lanes returns the middles of n lanes that are 3.5 m wide, and their bounds.
// The first begins first millimetres to the right of the sensor.
func lanes(n, first int) (middles []float64, bounds []track.Lane) {
	for i := range n {
		left := first + 3500*i
		middles = append(middles, float64(left+1750)/1000)
		bounds = append(bounds, track.Lane{Left: int32(left), Right: int32(left + 3500)})
	}
	return
}

func road(t testing.TB, s simulate.Scenario) *simulate.Road {
	t.Helper()
	r, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// follow runs a tracker over the readings of a radar, after spoil has changed
// each cycle.
func follow(t testing.TB, cycles sensor.Feed, o track.Options, spoil func(*sensor.Cycle)) []sensor.Passage {
	t.Helper()
	o.Separates = o.Separates || cycles.Identity().Separates
	tracker, err := track.NewTracker(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []sensor.Passage
	fetch := func() {
		for p, ok := tracker.Pop(); ok; p, ok = tracker.Pop() {
			all = append(all, p)
		}
	}
	for {
		c, err := cycles.Next(t.Context())
		if errors.Is(err, io.EOF) {
			tracker.Flush()
			fetch()
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if spoil != nil {
			spoil(&c)
		}
		tracker.Push(c)
		fetch()
	}
}

// swap gives targets the numbers that a sensor in trouble does: they change
// hands and are used again.
func swap(r *rand.Rand) func(*sensor.Cycle) {
	return func(c *sensor.Cycle) {
		for i := range c.Readings {
			c.Readings[i].Target = 1 + r.IntN(3)
		}
	}
}

// result says how passages agree with a road.
type result struct {
	vehicles, found, wrong, twice int
	honest                        int // of those found, |error| ≤ 2u
	lane                          int // of those found, in the lane of the truth
	sum, squares                  float64
	reasons                       map[sensor.Reason]int
}

// compare gives each vehicle the valid passages of its time, direction and
// speed. The truth is the mean over the stretch that the speed rests on.
func compare(t testing.TB, r *simulate.Road, all []sensor.Passage, photo float64, bounds []track.Lane) result {
	t.Helper()
	res := result{reasons: map[sensor.Reason]int{}}
	truth := r.Truth()
	taken := make([]int, len(truth))
	for _, p := range all {
		for _, reason := range p.Reasons {
			res.reasons[reason]++
		}
		if !p.Valid() {
			continue
		}
		rows := zoned(t, p)
		from, to := time.Duration(rows[0].At), time.Duration(rows[len(rows)-1].At)
		best, least := -1, math.Inf(1)
		px, py := place(rows, r)
		for i, v := range truth {
			if v.Direction != p.Direction || time.Duration(from) > v.Leave || time.Duration(to) < v.Enter {
				continue
			}
			x, y := v.PlaceAt((from + to) / 2)
			if off := math.Hypot(x-px, 3*(y-py)); off < least {
				best, least = i, off
			}
		}
		if best < 0 || least > 12 {
			res.wrong++
			t.Logf("a passage of no vehicle: %v, %v, %v to %v, off %.1f", p.Speed, p.Direction, p.Start, p.End, least)
			continue
		}
		v := truth[best]
		off := float64(p.Speed - v.MeanSpeed(from, to))
		u := float64(p.Budget.Total())
		if math.Abs(off) > 5*u+100 {
			res.wrong++
			t.Logf("%v lane %d, want %v lane %d: wrong by %.0f, u %.0f, %+v", p.Speed, p.Lane, v.Speed, v.Lane, off, u, p.Budget)
			continue
		}
		taken[best]++
		res.sum, res.squares = res.sum+off, res.squares+off*off
		if math.Abs(off) <= 2*u {
			res.honest++
		}
		if p.Lane == laneAt(v, photo, bounds) {
			res.lane++
		}
	}
	for i, n := range taken {
		if truth[i].Enter == truth[i].Leave {
			continue
		}
		res.vehicles++
		res.found += min(n, 1)
		res.twice += max(n-1, 0)
	}
	return res
}

func laneAt(v simulate.Truth, photo float64, bounds []track.Lane) int {
	if bounds == nil {
		return 0
	}
	best, least := 0.0, math.Inf(1)
	for at := v.Enter; at <= v.Leave; at += 10 * time.Millisecond {
		if x, y := v.PlaceAt(at); math.Abs(x-photo) < least {
			best, least = y, math.Abs(x-photo)
		}
	}
	return 1 + slices.IndexFunc(bounds, func(l track.Lane) bool { return best*1000 >= float64(l.Left) && best*1000 < float64(l.Right) })
}

// place returns where the readings of the zone place the vehicle on average.
func place(rows []sensor.Reading, r *simulate.Road) (x, y float64) {
	for _, row := range rows {
		angle := (float64(row.Angle)/100 + r.Radar().Angle) * math.Pi / 180
		x += float64(row.Range) / 1000 * math.Cos(angle) / float64(len(rows))
		y += float64(row.Range) / 1000 * math.Sin(angle) / float64(len(rows))
	}
	return
}

// BenchmarkCycle measures one cycle with 128 vehicles.
func BenchmarkCycle(b *testing.B) {
	tracker, err := track.NewTracker(track.Options{Separates: true})
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	readings := make([]sensor.Reading, 0, 160)
	n := 0
	cycle := func() {
		at := sensor.Mono(n) * 50e6
		n++
		readings = readings[:0]
		for v := range 128 {
			if r.IntN(10) == 0 {
				continue
			}
			x, y := 20+float64(v/8)*12+3*r.NormFloat64()/10, 2+3.5*float64(v%8)
			rng := math.Hypot(x, y)
			readings = append(readings, sensor.Reading{
				At: at, Speed: sensor.Speed(10 + r.IntN(20)), Direction: sensor.Approaching,
				Range: int32(1000 * rng), Angle: int32(100 * 180 / math.Pi * math.Asin(y/rng)), Flags: sensor.FlagRange | sensor.FlagAngle,
			})
		}
		tracker.Push(sensor.Cycle{At: at, Readings: readings})
	}
	for range 1000 {
		cycle()
	}
	b.ReportAllocs()
	for b.Loop() {
		cycle()
	}
}

// TestEightLanesTwentyOffenders is the acceptance of the tracker: eight lanes,
// twenty vehicles whose closest points lie within one second.
func TestEightLanesTwentyOffenders(t *testing.T) {
	middles, bounds := lanes(8, -14_000)
	for _, c := range []struct {
		name   string
		cycles simulate.CycleOptions
	}{
		{"an ideal radar", simulate.CycleOptions{}},
		{"noise", simulate.CycleOptions{SpeedNoise: 30, RangeNoise: 0.4, AngleNoise: 0.5}},
		{"missed and false detections", simulate.CycleOptions{SpeedNoise: 30, RangeNoise: 0.4, AngleNoise: 0.5, Missed: 0.1, Ghosts: 10}},
		{"a resolution", simulate.CycleOptions{SpeedNoise: 30, RangeNoise: 0.4, AngleNoise: 0.5, Missed: 0.1, Ghosts: 10,
			SpeedResolution: 100, RangeResolution: 1, AngleResolution: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range roads(1) {
				r := rand.New(rand.NewPCG(seed, 1))
				s := simulate.Scenario{Seed: seed, Duration: 14 * time.Second, Radar: simulate.Radar{Lanes: middles, Height: 7}}
				next := make([]time.Duration, 8)
				for i := range 20 {
					lane := i % 8
					gap := time.Duration(330+r.IntN(20)) * time.Millisecond
					s.Vehicles = append(s.Vehicles, simulate.Vehicle{
						Speed: sensor.Speed(11000 + 500*lane + r.IntN(200)), Direction: sensor.Approaching, Lane: 1 + lane,
						Passing: 8*time.Second + next[lane] + time.Duration(r.IntN(20))*time.Millisecond,
					})
					next[lane] += gap
				}
				rd := road(t, s)
				c.cycles.Targets = 200
				all := follow(t, rd.Cycles(c.cycles), track.Options{Lanes: bounds, Height: 7000, KeepTrace: true, Step: 1, Resolution: track.Resolution{Speed: 100, Range: 1000, Angle: 200}}, swap(r))
				res := compare(t, rd, all, 20, bounds)
				t.Logf("seed %d: %+v", seed, res)
				if res.found != 20 || res.wrong != 0 || res.twice != 0 {
					t.Errorf("seed %d: %d of 20 found, %d wrong, %d twice, refused %v", seed, res.found, res.wrong, res.twice, res.reasons)
				}
			}
		})
	}
}

// roads returns how many roads a test follows: five times n, or CIGLIO_SEEDS
// times n, or in short one.
func roads(n uint64) uint64 {
	if seeds, err := strconv.ParseUint(os.Getenv("CIGLIO_SEEDS"), 10, 16); err == nil {
		return n * seeds
	}
	if testing.Short() {
		return 1
	}
	return 5 * n
}

// TestHundredAndTwentyEightVehiclesAtOnce follows a column of sixteen rows on
// eight lanes, all in the beam together.
func TestHundredAndTwentyEightVehiclesAtOnce(t *testing.T) {
	middles, bounds := lanes(8, -14_000)
	for seed := range roads(1) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := simulate.Scenario{Seed: seed, Duration: 18 * time.Second, Radar: simulate.Radar{Lanes: middles, Height: 7, Noise: -40}}
		for i := range 128 {
			s.Vehicles = append(s.Vehicles, simulate.Vehicle{
				Speed: sensor.Speed(8600 + 60*(i%8) + r.IntN(20)), Direction: sensor.Approaching, Lane: 1 + i%8,
				Passing: 4*time.Second + time.Duration(i/8)*800*time.Millisecond + time.Duration(r.IntN(60))*time.Millisecond,
			})
		}
		rd := road(t, s)
		if n := len(rd.Targets(nil, 4*time.Second)); n < 120 {
			t.Fatalf("%d vehicles in the beam together", n)
		}
		cycles := rd.Cycles(simulate.CycleOptions{SpeedNoise: 20, RangeNoise: 0.3, AngleNoise: 0.2, Missed: 0.05, Ghosts: 5, Targets: 200})
		all := follow(t, cycles, track.Options{
			Lanes: bounds, Height: 7000, KeepTrace: true, Step: 1, Resolution: track.Resolution{Speed: 60, Range: 800, Angle: 80},
		}, swap(r))
		res := compare(t, rd, all, 20, bounds)
		t.Logf("seed %d: %+v", seed, res)
		if res.found != res.vehicles || res.wrong != 0 || res.twice != 0 {
			t.Errorf("seed %d: %+v", seed, res)
		}
	}
}

// TestDenseTrafficIsNeverMixed drives vehicles of many speeds through each
// other. Many passages are refused; none that stands is another vehicle's.
func TestDenseTrafficIsNeverMixed(t *testing.T) {
	middles, bounds := lanes(3, 1250)
	for _, c := range []struct {
		name   string
		cycles simulate.CycleOptions
		o      track.Options
	}{
		{"range and angle", simulate.CycleOptions{}, track.Options{}},
		{"range only", simulate.CycleOptions{NoAngle: true}, track.Options{}},
		{"speed only", simulate.CycleOptions{NoAngle: true, NoRange: true}, track.Options{Beam: 2400}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var valid, refused int
			for seed := range roads(4) {
				r := rand.New(rand.NewPCG(seed, 3))
				s := simulate.Scenario{Seed: seed, Duration: 64 * time.Second, Radar: simulate.Radar{Lanes: middles, Beamwidth: 20}}
				for i := range 60 {
					s.Vehicles = append(s.Vehicles, simulate.Vehicle{
						Speed: sensor.Speed(5000 + r.IntN(10_000)), Direction: sensor.Direction(1 + r.IntN(2)), Lane: 1 + r.IntN(3),
						Passing: 2*time.Second + time.Duration(i)*time.Second + time.Duration(r.IntN(1500))*time.Millisecond,
					})
				}
				rd := road(t, s)
				cycles := c.cycles
				cycles.SpeedNoise, cycles.RangeNoise, cycles.AngleNoise = 20, 0.4, 0.6
				cycles.Missed, cycles.Ghosts = 0.05, 3
				cycles.SpeedResolution, cycles.RangeResolution, cycles.AngleResolution = 200, 2.5, 3
				o := c.o
				o.Lanes, o.Height, o.Step, o.KeepTrace = bounds, 1200, 10, true
				for _, p := range follow(t, rd.Cycles(cycles), o, swap(r)) {
					if !p.Valid() || c.cycles.NoRange && p.Targets > 0 {
						refused++
						continue
					}
					valid++
					if off, u := nearest(t, rd, p), float64(p.Budget.Total()); off > 4*u {
						t.Errorf("seed %d: %v %v from %.2f to %.2f s: off by %.2f km/h, u %.2f", seed, p.Speed, p.Direction, p.Start.Seconds(), p.End.Seconds(), off/100, u/100)
					}
				}
			}
			t.Logf("%d passages stand, %d were refused", valid, refused)
			if valid == 0 {
				t.Error("no passage stands")
			}
		})
	}
}

// TestScenarios follows every road of the simulator as two kinds of radar see
// it: what stands lies within four times its uncertainty of a vehicle there.
func TestScenarios(t *testing.T) {
	for _, name := range simulate.Scenarios() {
		for _, c := range []struct {
			name   string
			cycles simulate.CycleOptions
		}{
			{"range and angle", simulate.CycleOptions{}},
			{"speed only", simulate.CycleOptions{NoRange: true, NoAngle: true}},
		} {
			t.Run(name+", "+c.name, func(t *testing.T) {
				s, err := simulate.ReadScenario(name)
				if err != nil {
					t.Fatal(err)
				}
				rd := road(t, s)
				radar := rd.Radar()
				o := track.Options{Step: 10, Height: int32(1000 * radar.Height), Angle: int(100 * radar.Angle), KeepTrace: true}
				for _, y := range radar.Lanes {
					o.Lanes = append(o.Lanes, track.Lane{Left: int32(1000*y) - 1700, Right: int32(1000*y) + 1700})
				}
				cycles := c.cycles
				cycles.SpeedNoise, cycles.RangeNoise, cycles.AngleNoise, cycles.Missed = 20, 0.3, 0.4, 0.02
				cycles.SpeedResolution, cycles.RangeResolution, cycles.AngleResolution = 200, 2.5, 3
				reasons := map[string]int{}
				valid := 0
				for _, p := range follow(t, rd.Cycles(cycles), o, nil) {
					for _, r := range p.Reasons {
						reasons[r.Code()]++
					}
					if !p.Valid() || cycles.NoRange && p.Targets > 0 {
						continue
					}
					valid++
					if off, u := nearest(t, rd, p), float64(p.Budget.Total()); off > 4*u {
						t.Errorf("%v %v lane %d from %.2f to %.2f s: off by %.2f km/h, u %.2f %+v", p.Speed, p.Direction, p.Lane, p.Start.Seconds(), p.End.Seconds(), off/100, u/100, p.Budget)
					}
				}
				t.Logf("%d vehicles, %d passages stand, refused %v", len(rd.Truth()), valid, reasons)
			})
		}
	}
}

// nearest returns by how much the speed of a passage differs from that of the
// vehicle in its beam and lane that it differs from least.
func nearest(t *testing.T, r *simulate.Road, p sensor.Passage) float64 {
	rows := zoned(t, p)
	from, to := time.Duration(rows[0].At), time.Duration(rows[len(rows)-1].At)
	least := math.Inf(1)
	for _, v := range r.Truth() {
		if v.Direction == p.Direction && v.Enter < to && v.Leave > from && (p.Lane == 0 || p.Lane == v.Lane || len(v.Changes) > 0) {
			least = min(least, math.Abs(float64(p.Speed-v.MeanSpeed(from, to))))
		}
	}
	return least
}
