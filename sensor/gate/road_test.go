package gate

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// TestSimulatedTraffic drives dense random traffic of every class over contacts,
// both ways, with jitter. Every crossing with a speed must hold only vehicles of
// that speed; most vehicles with room about them must have one.
func TestSimulatedTraffic(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      Options
		length float64
		missed int // of a thousand pulses
	}{
		{"two cables", cables, 0, 0},
		{"three cables", three, 0, 0},
		{"two loops", loops, 2, 0},
		{"two cables that miss an axle in fifty", cables, 0, 20},
		{"three cables that miss an axle in fifty", three, 0, 20},
		{"two loops that miss a vehicle in fifty", loops, 2, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			var alone, found, valid, wrong, crowded int
			reasons := map[sensor.Reason]int{}
			worst := 0.0
			for seed := range uint64(10) {
				road := denseRoad(t, seed)
				contacts := simulate.Contacts{Lane: 1, Length: c.length, Jitter: 300 * time.Microsecond}
				for _, p := range c.o.Positions {
					contacts.At = append(contacts.At, float64(p)/1e3)
				}
				touches, err := road.Edges(contacts)
				if err != nil {
					t.Fatal(err)
				}
				touches = miss(touches, len(c.o.Positions), c.missed, rand.New(rand.NewPCG(seed, 4)))
				tracker, err := NewTracker(c.o)
				if err != nil {
					t.Fatal(err)
				}
				var all []Event
				for _, e := range touches {
					all = append(all, Event{0, e.Contact, e.Edge(start)})
				}
				crossings, _ := feed(tracker, all)
				truth := road.Truth()
				single := map[int]bool{} // vehicles that have a crossing of their own
				for _, k := range crossings {
					in := map[int]bool{}
					for _, e := range touches {
						if at := start.Add(e.At); at >= k.First && at <= k.Last {
							in[e.Vehicle] = true
						}
					}
					for _, r := range k.Reasons {
						reasons[r]++
					}
					if !k.Valid() {
						continue
					}
					valid++
					if len(in) > 1 {
						crowded++
					}
					for v := range in {
						single[v] = single[v] || len(in) == 1
						off := math.Abs(float64(k.Speed - truth[v].Speed))
						worst = max(worst, off/float64(k.U))
						if off > 3*float64(k.U) || k.Direction != truth[v].Direction {
							wrong++
							t.Errorf("seed %d: %+v of %+v", seed, k, truth[v].Vehicle)
						}
					}
				}
				for i, v := range truth {
					room := 20 / v.Speed.MPS()
					near := func(j int) bool {
						return j >= 0 && j < len(truth) && math.Abs((truth[j].Passing-v.Passing).Seconds()) < room+1
					}
					if !near(i-1) && !near(i+1) {
						alone++
						if single[i] {
							found++
						}
					}
				}
			}
			t.Logf("%d crossings with a speed, %d of them of several vehicles, %d wrong, worst error %.1f U; of %d vehicles with room %d measured; no speed: %v",
				valid, crowded, wrong, worst, alone, found, reasons)
			if least := 95 - c.missed; found*100 < alone*least {
				t.Errorf("only %d of %d vehicles with room were measured", found, alone)
			}
		})
	}
}

// miss takes a share of the pulses away, and nothing tells.
func miss(touches []simulate.Touch, contacts, missed int, rng *rand.Rand) []simulate.Touch {
	gone := make([]bool, contacts)
	kept := touches[:0]
	for _, e := range touches {
		if e.On {
			gone[e.Contact] = rng.IntN(1000) < missed
		}
		if !gone[e.Contact] {
			kept = append(kept, e)
		}
	}
	return kept
}

// denseRoad is ten minutes of vehicles that follow each other at 0.6 s to 7 s,
// slower ones closely behind, in platoons of one direction.
func denseRoad(t *testing.T, seed uint64) *simulate.Road {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	s := simulate.Scenario{Seed: seed, Duration: 10 * time.Minute}
	speed, d := 5000.0, sensor.Approaching
	for at := 10 * time.Second; at < s.Duration-20*time.Second; {
		if rng.IntN(4) == 0 {
			speed = 2500 + 13000*rng.Float64()
			at += 3 * time.Second
			if rng.IntN(3) == 0 {
				d = 3 - d
			}
		}
		v := simulate.Vehicle{Speed: sensor.Speed(speed * (0.96 + 0.08*rng.Float64())), Direction: d, Lane: 1, Passing: at}
		v.Class = simulate.Classes()[rng.IntN(int(simulate.Motorcycle)+1)]
		s.Vehicles = append(s.Vehicles, v)
		at += 600*time.Millisecond + time.Duration(rng.ExpFloat64()*2e9)
	}
	road, err := simulate.NewRoad(s)
	if err != nil {
		t.Fatal(err)
	}
	return road
}

// TestPassagesFindTheirCrossings joins the Doppler chain and contacts on one
// simulated road: every confirmed passage is confirmed by its own vehicle.
func TestPassagesFindTheirCrossings(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	var asked, confirmed int
	refused := map[string]int{}
	for seed := range uint64(2) {
		road, err := simulate.NewRoad(simulate.Traffic(seed, 70*sensor.KmH, 2*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		touches, err := road.Edges(simulate.Contacts{Lane: 1, At: []float64{10, 12}, Jitter: 300 * time.Microsecond})
		if err != nil {
			t.Fatal(err)
		}
		var events []Event
		for _, e := range touches {
			events = append(events, Event{0, e.Contact, e.Edge(0)})
		}
		g, err := Recorded(1, events, cables)
		if err != nil {
			t.Fatal(err)
		}
		source, err := doppler.NewSource(road.Unpaced(0), doppler.Options{Simulated: true})
		if err != nil {
			t.Fatal(err)
		}
		for p, err := source.Next(t.Context()); err == nil; p, err = source.Next(t.Context()) {
			if !p.Valid() || p.Targets > 0 || p.Direction != sensor.Approaching {
				continue
			}
			asked++
			c, err := g.Match(t.Context(), p)
			if err != nil {
				refused[err.Error()]++
				continue
			}
			confirmed++
			// The chain errs by far less than vehicles differ.
			if off := math.Abs(float64(c.Speed - p.Speed)); off > 3*float64(c.U)+50 {
				t.Errorf("seed %d: passage %v until %.2f s, crossing %+v", seed, p.Speed, p.End.Seconds(), c)
			}
		}
	}
	t.Logf("%d of %d passages confirmed, refused %v", confirmed, asked, refused)
	if asked < 20 || confirmed*10 < asked*9 {
		t.Errorf("%d of %d passages confirmed", confirmed, asked)
	}
}
