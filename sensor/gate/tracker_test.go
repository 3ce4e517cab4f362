package gate

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ciglio/cross/simulate/edges"
	"ciglio/sensor"
)

var (
	cables = Options{Kind: Axles, Positions: []int64{10e3, 12e3}}
	three  = Options{Kind: Axles, Positions: []int64{10e3, 11e3, 12e3}}
	loops  = Options{Kind: Presence, Positions: []int64{10e3, 14e3}}
)

const (
	ms    = time.Millisecond
	start = sensor.Mono(1e9)
)

// A vehicle drives over the contacts: its first mark is over the first contact
// that it meets at the instant at.
type vehicle struct {
	speed  float64 // m/s
	back   bool    // recedes: meets the nearest contact first
	axles  []float64
	length float64 // of the body over a loop
	accel  float64
	at     sensor.Mono
}

func car(speed float64) vehicle {
	return vehicle{speed: speed, axles: []float64{0, 2.6}, length: 5.5, at: start}
}

// when is the instant at which the vehicle has come s metres.
func (v vehicle) when(s float64) sensor.Mono {
	t := s / v.speed
	if v.accel != 0 {
		t = (math.Sqrt(v.speed*v.speed+2*v.accel*s) - v.speed) / v.accel
	}
	return v.at.Add(time.Duration(math.Round(t * 1e9)))
}

// lines returns what each contact gives of the vehicle.
func (v vehicle) lines(o Options) [][]sensor.Edge {
	all := make([][]sensor.Edge, len(o.Positions))
	for i, p := range o.Positions {
		way := float64(o.Positions[len(o.Positions)-1]-p) / 1e3
		if v.back {
			way = float64(p-o.Positions[0]) / 1e3
		}
		if o.Kind == Presence {
			all[i] = edges.Pulse(v.when(way), v.when(way+v.length).Sub(v.when(way)))
			continue
		}
		for _, a := range v.axles {
			all[i] = append(all[i], edges.Pulse(v.when(way+a), v.when(way+a+0.2).Sub(v.when(way+a)))...)
		}
	}
	return all
}

// run gives a tracker the edges of all lines in order and returns every crossing.
func run(t *testing.T, o Options, lines ...[][]sensor.Edge) ([]Crossing, Counters) {
	t.Helper()
	tracker, err := NewTracker(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []Event
	for _, l := range lines {
		for i := range l {
			for _, e := range l[i] {
				all = append(all, Event{0, i, e})
			}
		}
	}
	inOrder(all)
	return feed(tracker, all)
}

func inOrder(all []Event) {
	slices.SortStableFunc(all, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}

func feed(t *Tracker, all []Event) ([]Crossing, Counters) {
	for _, e := range all {
		t.Push(e.Contact, e.Edge)
	}
	t.Advance(t.now.Add(time.Minute))
	t.Flush()
	var found []Crossing
	for c, ok := t.Pop(); ok; c, ok = t.Pop() {
		found = append(found, c)
	}
	return found, t.Counters()
}

func TestSpeedOfOneVehicle(t *testing.T) {
	receding, lorry, motorcycle := car(20), car(22.5), car(45)
	receding.back = true
	lorry.axles, lorry.length = []float64{0, 3.7, 9.2, 10.5, 11.8}, 16.5
	motorcycle.axles, motorcycle.length = []float64{0, 1.4}, 2.2
	fastest, slow := car(96), car(2)
	for _, c := range []struct {
		name      string
		o         Options
		v         vehicle
		direction sensor.Direction
		axles     int
	}{
		{"the worked example", cables, car(20), sensor.Approaching, 2},
		{"the other way", cables, receding, sensor.Receding, 2},
		{"three cables", three, car(20), sensor.Approaching, 2},
		{"three cables the other way", three, receding, sensor.Receding, 2},
		{"five axles, three of them over the cables at once", cables, lorry, sensor.Approaching, 5},
		{"motorcycle", cables, motorcycle, sensor.Approaching, 2},
		{"at the end of the range", cables, fastest, sensor.Approaching, 2},
		{"walking pace", cables, slow, sensor.Approaching, 2},
		{"loops", loops, car(20), sensor.Approaching, 1},
		{"loops the other way", loops, receding, sensor.Receding, 1},
		{"a lorry on both loops at once", loops, lorry, sensor.Approaching, 1},
		{"motorcycle over loops", loops, motorcycle, sensor.Approaching, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, _ := run(t, c.o, c.v.lines(c.o))
			if len(found) != 1 || !found[0].Valid() {
				t.Fatalf("crossings %+v, want one with a speed", found)
			}
			got := found[0]
			// A nanosecond of rounding may cost the last hundredth.
			if want := sensor.SpeedFromMPS(c.v.speed); got.Speed > want || got.Speed < want-1 {
				t.Errorf("speed %v, want %v", got.Speed, want)
			}
			if got.Direction != c.direction || got.Axles != c.axles || got.First != start {
				t.Errorf("crossing %+v, want %v with %d axles from %d", got, c.direction, c.axles, start)
			}
			if got.U == 0 || got.U != got.Budget.Total() {
				t.Errorf("uncertainty %v of budget %+v", got.U, got.Budget)
			}
		})
	}
}

func TestBudgetOfTheWorkedExample(t *testing.T) {
	found, _ := run(t, cables, car(20).lines(cables))
	want := Budget{Distance: 18, Timing: 36, Clock: 3, Acceleration: 74}
	if got := found[0]; got.Budget != want || got.U != 85 {
		t.Errorf("budget %+v, U %v, want %+v and 0.85 km/h", got.Budget, got.U, want)
	}
}

func TestWhatGivesNoSpeed(t *testing.T) {
	change := func(l [][]sensor.Edge, contact int, f func([]sensor.Edge) []sensor.Edge) [][]sensor.Edge {
		l = slices.Clone(l)
		l[contact] = f(l[contact])
		return l
	}
	lose := func(i int) func([]sensor.Edge) []sensor.Edge {
		return func(l []sensor.Edge) []sensor.Edge { return edges.Lose(l, i) }
	}
	hide := func(i, n int) func([]sensor.Edge) []sensor.Edge {
		return func(l []sensor.Edge) []sensor.Edge { return slices.Delete(slices.Clone(l), i, i+n) }
	}
	at := func(v vehicle, d time.Duration) vehicle { v.at = v.at.Add(d); return v }
	oncoming := car(21)
	oncoming.back = true
	braking, queue := car(20), car(20)
	braking.accel = -35
	queue.length = 60
	together := car(20)
	together.axles = nil
	for i := range 20 {
		together.axles = append(together.axles, float64(i))
	}
	for _, c := range []struct {
		name  string
		o     Options
		lines [][][]sensor.Edge
		want  []sensor.Reason // of the only crossing
	}{
		{"an edge lost", cables, [][][]sensor.Edge{change(car(20).lines(cables), 0, lose(1))}, []sensor.Reason{sensor.ReasonLostEdge}},
		{"an edge lost without notice", cables, [][][]sensor.Edge{change(car(20).lines(cables), 1, hide(1, 1))}, []sensor.Reason{sensor.ReasonLostEdge}},
		{"an axle lost with notice", cables, [][][]sensor.Edge{change(car(20).lines(cables), 1, func(l []sensor.Edge) []sensor.Edge {
			return edges.Lose(edges.Lose(l, 0), 0)
		})}, []sensor.Reason{sensor.ReasonLostEdge}},
		{"a loop's end lost: it stays closed", loops, [][][]sensor.Edge{change(car(20).lines(loops), 1, hide(1, 1))}, []sensor.Reason{sensor.ReasonLostEdge}},
		{"an axle that one cable missed", cables, [][][]sensor.Edge{change(car(20).lines(cables), 0, hide(2, 2))}, []sensor.Reason{sensor.ReasonTooFewReadings}},
		{"one cable only", cables, [][][]sensor.Edge{change(car(20).lines(cables), 0, hide(0, 4))}, []sensor.Reason{sensor.ReasonTooFewReadings}},
		{"the middle of three missed all", three, [][][]sensor.Edge{change(car(20).lines(three), 1, hide(0, 4))}, []sensor.Reason{sensor.ReasonTooFewReadings}},
		{"one axle is no vehicle", cables, [][][]sensor.Edge{vehicle{speed: 20, axles: []float64{0}, at: start}.lines(cables)}, []sensor.Reason{sensor.ReasonTooFewReadings}},
		{"different axles missed by the two cables", cables, [][][]sensor.Edge{change(change(vehicle{speed: 20, axles: []float64{0, 2.6, 6.1}, at: start}.lines(cables), 0, hide(0, 2)), 1, hide(4, 2))},
			[]sensor.Reason{sensor.ReasonAcceleration}},
		{"two vehicles meet on the cables", cables, [][][]sensor.Edge{car(20).lines(cables), at(oncoming, 70*ms).lines(cables)}, []sensor.Reason{sensor.ReasonMixedDirection}},
		{"two vehicles meet on the loops", loops, [][][]sensor.Edge{car(20).lines(loops), at(oncoming, 500*ms).lines(loops)}, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"a second vehicle between the loops", loops, [][][]sensor.Edge{car(20).lines(loops), at(car(20), 350*ms).lines(loops)}, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"a faster one close behind", cables, [][][]sensor.Edge{car(20).lines(cables), at(car(30), 400*ms).lines(cables)}, []sensor.Reason{sensor.ReasonAcceleration}},
		{"axles nearer to each other than any vehicle's", cables, [][][]sensor.Edge{vehicle{speed: 20, axles: []float64{0, 0.6}, at: start}.lines(cables)}, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"more axles than a vehicle has", cables, [][][]sensor.Edge{together.lines(cables)}, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"both cables at once: crosstalk", cables, [][][]sensor.Edge{{edges.Pulse(start, 10*ms), edges.Pulse(start, 10*ms)}, {edges.Pulse(start.Add(100*ms), 10*ms), edges.Pulse(start.Add(100*ms), 10*ms)}},
			[]sensor.Reason{sensor.ReasonDirectionUndecided}},
		{"faster than the range", cables, [][][]sensor.Edge{car(98).lines(cables)}, []sensor.Reason{sensor.ReasonOutOfRange}},
		{"a change of speed that no brake makes", three, [][][]sensor.Edge{braking.lines(three)}, []sensor.Reason{sensor.ReasonAcceleration}},
		{"the middle of three tells another speed", three, [][][]sensor.Edge{change(car(20).lines(three), 1, func(l []sensor.Edge) []sensor.Edge {
			l = slices.Clone(l)
			for i := range l {
				l[i].At = l[i].At.Add(20 * ms)
			}
			return l
		})}, []sensor.Reason{sensor.ReasonAcceleration}},
		{"one on-time twice as long", cables, [][][]sensor.Edge{change(car(20).lines(cables), 1, func(l []sensor.Edge) []sensor.Edge {
			l = slices.Clone(l)
			l[1].At = l[1].At.Add(15 * ms)
			return l
		})}, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"a loop that lets go late", loops, [][][]sensor.Edge{change(car(20).lines(loops), 1, func(l []sensor.Edge) []sensor.Edge {
			l = slices.Clone(l)
			l[1].At = l[1].At.Add(120 * ms)
			return l
		})}, []sensor.Reason{sensor.ReasonAcceleration}},
		{"longer than any vehicle", loops, [][][]sensor.Edge{queue.lines(loops)}, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"a vehicle stood there when we came", loops, [][][]sensor.Edge{change(car(20).lines(loops), 1, hide(0, 1))}, []sensor.Reason{sensor.ReasonLostEdge}},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, _ := run(t, c.o, c.lines...)
			if len(found) != 1 || !slices.Equal(found[0].Reasons, c.want) || found[0].Speed != 0 || found[0].U != 0 {
				t.Errorf("crossings %+v, want one with reasons %v and no speed", found, c.want)
			}
		})
	}
}

func TestBounceAndSpikesSpoilNothing(t *testing.T) {
	clean, _ := run(t, cables, car(20).lines(cables))
	bounce := car(20).lines(cables)
	// The contact lets go for 100 µs within the first axle, and a spike of 50 µs
	// comes while nothing else does.
	first := bounce[1][0].At
	bounce[1] = append(append(edges.Pulse(first, 400*time.Microsecond), edges.Pulse(first.Add(500*time.Microsecond), 9*ms)...), bounce[1][2:]...)
	bounce[0] = append(edges.Pulse(start.Add(50*ms), 50*time.Microsecond), bounce[0]...)
	found, counts := run(t, cables, bounce)
	if len(found) != 1 || found[0].Speed != clean[0].Speed || found[0].U != clean[0].U {
		t.Errorf("crossings %+v, want %+v", found, clean)
	}
	if counts.Bounced != 1 || counts.Spikes != 1 {
		t.Errorf("counters %+v, want one bounce and one spike", counts)
	}
	if found, _ := run(t, cables, [][]sensor.Edge{edges.Pulse(start, 50*time.Microsecond), nil}); len(found) != 0 {
		t.Errorf("a spike alone made %+v", found)
	}
}

func TestBackwardInstantSpoils(t *testing.T) {
	for _, contact := range []int{0, 1} {
		tracker, err := NewTracker(cables)
		if err != nil {
			t.Fatal(err)
		}
		all := []Event{
			{0, 1, sensor.Edge{At: start, Rising: true}}, {0, 1, sensor.Edge{At: start.Add(10 * ms)}},
			{0, contact, sensor.Edge{At: start.Add(9 * ms), Rising: true}}, {0, contact, sensor.Edge{At: start.Add(110 * ms)}},
		}
		found, counts := feed(tracker, all)
		if len(found) != 1 || !slices.Equal(found[0].Reasons, []sensor.Reason{sensor.ReasonClock}) || counts.Late != 1 {
			t.Errorf("contact %d: crossings %+v, %+v, want one spoilt by the clock", contact, found, counts)
		}
	}
}

func TestTwoVehiclesFarEnoughApartAreTwo(t *testing.T) {
	behind := car(25)
	behind.at = start.Add(900 * ms) // 15 m behind the last axle
	for _, o := range []Options{cables, three, loops} {
		found, _ := run(t, o, car(20).lines(o), behind.lines(o))
		if len(found) != 2 || !found[0].Valid() || !found[1].Valid() {
			t.Errorf("%v: crossings %+v, want two with speeds", o.Kind, found)
		}
	}
}

// TestErrorLiesWithinItsUncertainty drives vehicles over contacts with jitter,
// with a distance that is not quite the calibrated one, and with braking.
func TestErrorLiesWithinItsUncertainty(t *testing.T) {
	for _, o := range []Options{cables, three, loops} {
		rng := rand.New(rand.NewPCG(1, uint64(len(o.Positions))))
		n, within, sum := 4000, 0, 0.0
		for range n {
			real := o
			real.Positions = slices.Clone(o.Positions)
			real.Positions[len(real.Positions)-1] += int64(math.Round(rng.NormFloat64() * 5))
			v := vehicle{speed: 4 + 80*rng.Float64(), axles: []float64{0, 2.6}, length: 5.5, back: rng.IntN(2) == 0, at: start}
			v.accel = 6*rng.Float64() - 3
			lines := v.lines(real)
			for _, l := range lines {
				for i := range l {
					l[i].At = l[i].At.Add(time.Duration(rng.NormFloat64() * float64(500*time.Microsecond)))
				}
			}
			found, _ := run(t, o, lines)
			if len(found) != 1 || !found[0].Valid() {
				n-- // jitter beyond what physics allows: refused, which is right
				continue
			}
			// The true speed is that over the first contact.
			e := math.Abs(float64(found[0].Speed)/360 - v.speed)
			sum += e
			if e <= 2*float64(found[0].U)/360 {
				within++
			}
		}
		share := float64(within) / float64(n)
		t.Logf("%v, %d contacts: %d of 4000 with a speed, mean error %.2f km/h, within 2·U %.3f", o.Kind, len(o.Positions), n, sum/float64(n)*3.6, share)
		if n < 3850 || share < 0.94 {
			t.Errorf("%v: %d speeds, %.3f of them within twice their uncertainty", o.Kind, n, share)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"one contact", Options{Positions: []int64{1000}}},
		{"four contacts", Options{Positions: []int64{0, 1000, 2000, 3000}}},
		{"out of order", Options{Positions: []int64{2000, 1000}}},
		{"two at one place", Options{Positions: []int64{1000, 1000}}},
		{"too close to measure", Options{Positions: []int64{1000, 1400}}},
		{"too far apart for one vehicle", Options{Positions: []int64{0, 51e3}}},
		{"a position that overflows", Options{Positions: []int64{math.MinInt64, math.MaxInt64}}},
		{"negative jitter", Options{Positions: []int64{0, 1000}, Jitter: -1}},
		{"unknown kind", Options{Positions: []int64{0, 1000}, Kind: 2}},
		{"no range", Options{Positions: []int64{0, 1000}, Maximum: 1}},
	} {
		if _, err := NewTracker(c.o); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

// FuzzTracker pushes edges of any order: memory stays bounded, nothing panics,
// and a crossing has either a speed in range or a reason.
func FuzzTracker(f *testing.F) {
	f.Add(byte(0), []byte{0x81, 0, 0, 1, 10, 0, 0x80, 100, 0, 0, 10, 0})
	f.Add(byte(1), []byte{0x82, 1, 0, 0x40, 0, 1, 0x80, 0xFF, 0xFF, 2, 3, 4})
	f.Add(byte(2), []byte{0x81, 0, 0, 0x80, 200, 0, 1, 200, 0, 0, 200, 0})
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		o := []Options{cables, three, loops}[which%3]
		tracker, err := NewTracker(o)
		if err != nil {
			t.Fatal(err)
		}
		at := start
		for ; len(b) >= 3; b = b[3:] {
			// level, lost, back in time, contact; then a step in units of 50 µs
			step := time.Duration(binary.LittleEndian.Uint16(b[1:])) * 50 * time.Microsecond
			if b[0]&0x20 != 0 {
				step = -step
			}
			at = at.Add(step)
			tracker.Push(int(b[0]&0x0F)%len(o.Positions), sensor.Edge{At: at, Rising: b[0]&0x80 != 0, Lost: uint32(b[0]>>6) & 1})
		}
		found, _ := feed(tracker, nil)
		last := sensor.Mono(math.MinInt64)
		for _, c := range found {
			inRange := c.Speed > 0 && c.Speed <= 350*sensor.KmH && c.U > 0 && c.Direction != sensor.DirectionUnknown
			if c.Valid() != inRange || c.First > c.Last || c.First < last {
				t.Fatalf("crossing %+v after %d", c, last)
			}
			last = c.Last
		}
	})
}
