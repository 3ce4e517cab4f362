package gate

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/cross/simulate"
	"ciglio/cross/simulate/edges"
	"ciglio/sensor"
	"ciglio/sensor/doppler"
)

// A bench is a Gate whose contacts are played in fake time.
type bench struct {
	*Gate
	clock *simulate.Clock
	in    [][]chan sensor.Edge // of each contact of each lane
	stop  func() error
}

func newBench(t *testing.T, o Options, lanes int) *bench {
	t.Helper()
	b := &bench{clock: simulate.NewClock(0), in: make([][]chan sensor.Edge, lanes)}
	all := make([][]sensor.Edges, lanes)
	for lane := range lanes {
		for range o.Positions {
			in := make(chan sensor.Edge, 64)
			b.in[lane], all[lane] = append(b.in[lane], in), append(all[lane], edges.Follow(in))
		}
	}
	var err error
	if b.Gate, err = New(all, b.clock, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.stop = func() error { cancel(); return <-done }
	return b
}

// drive plays the edges of vehicles in lane 1, each at its instant.
func (b *bench) drive(lines ...[][]sensor.Edge) { b.driveIn(0, lines...) }

func (b *bench) driveIn(lane int, lines ...[][]sensor.Edge) {
	for _, l := range lines {
		for i := range l {
			for _, e := range l[i] {
				time.AfterFunc(e.At.Sub(b.clock.Now()), func() { b.in[lane][i] <- e })
			}
		}
	}
}

// passage returns what the sensor says of a vehicle that approaches: its track
// ends beside the sensor, 12 m after the far cable.
func passage(v vehicle) sensor.Passage {
	end := v.when(12)
	return sensor.Passage{
		Start: end.Add(-3 * time.Second), End: end,
		Speed: sensor.SpeedFromMPS(v.speed), Direction: sensor.Approaching,
	}
}

func TestMatch(t *testing.T) {
	at := func(v vehicle, d time.Duration) vehicle { v.at = v.at.Add(d); return v }
	own := at(car(20), 4*time.Second)
	oncoming := own
	oncoming.back = true
	lorry := own
	lorry.axles = []float64{0, 3.7, 9.2, 10.5, 11.8}
	lost := own.lines(cables)
	lost[0] = edges.Lose(lost[0], 1)
	stays := own.lines(cables)
	stays[1] = edges.Hide(stays[1], 3)
	for _, c := range []struct {
		name  string
		lines [][][]sensor.Edge
		want  error
		lost  bool
		off   time.Duration // of the track's end
	}{
		{"its own crossing", [][][]sensor.Edge{own.lines(cables)}, nil, false, 0},
		{"its own crossing, the track 8 m too long", [][][]sensor.Edge{own.lines(cables)}, nil, false, 400 * ms},
		{"its own crossing, the track 8 m too short", [][][]sensor.Edge{own.lines(cables)}, nil, false, -400 * ms},
		{"others well before and after", [][][]sensor.Edge{at(own, -2*time.Second).lines(cables), own.lines(cables), at(own, 2*time.Second).lines(cables)}, nil, false, 0},
		{"nothing on the contacts", nil, ErrNone, false, 0},
		{"another vehicle long before", [][][]sensor.Edge{at(own, -2*time.Second).lines(cables)}, ErrNone, false, 0},
		{"another vehicle long after", [][][]sensor.Edge{at(own, 2*time.Second).lines(cables)}, ErrNone, false, 0},
		{"another 12 m behind, outside of the window", [][][]sensor.Edge{own.lines(cables), at(own, 750*ms).lines(cables)}, nil, false, 0},
		{"a lorry 20 m ahead, whose last axles lie in the window", [][][]sensor.Edge{at(lorry, -time.Second).lines(cables)}, ErrNone, false, 0},
		{"two vehicles in the window", [][][]sensor.Edge{own.lines(cables), at(own, 750*ms).lines(cables)}, ErrSeveral, false, 400 * ms},
		{"the other direction", [][][]sensor.Edge{oncoming.lines(cables)}, ErrDirection, false, 0},
		{"a lost edge", [][][]sensor.Edge{lost}, ErrNoSpeed, true, 0},
		{"one axle missed", [][][]sensor.Edge{{own.lines(cables)[0][:2], own.lines(cables)[1]}}, ErrNoSpeed, false, 0},
		{"a contact that stays closed", [][][]sensor.Edge{stays}, ErrStanding, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, cables, 1)
				b.drive(c.lines...)
				p := passage(own)
				p.End = p.End.Add(c.off)
				time.Sleep(p.End.Sub(b.clock.Now()))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got, err := b.Match(ctx, p)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("crossing %+v, error %v, want %v", got, err, c.want)
				}
				if c.want == nil && (got.Speed < 7199 || got.Speed > 7200 || got.Direction != sensor.Approaching) {
					t.Errorf("crossing %+v, want 72 km/h", got)
				}
				if isLost := len(got.Reasons) == 1 && got.Reasons[0] == sensor.ReasonLostEdge; isLost != c.lost {
					t.Errorf("reasons %v", got.Reasons)
				}
				if err := b.stop(); !errors.Is(err, context.Canceled) {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

func TestMatchAnswersAsSoonAsTheWindowIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cables, 1)
		own := car(20)
		b.drive(own.lines(cables))
		p := passage(own)
		time.Sleep(p.End.Sub(b.clock.Now()))
		if _, err := b.Match(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		// The window is over with the track; the crossing is over when another
		// axle can no longer come, 10 m behind the last edge: 140 ms later.
		if late := b.clock.Now().Sub(p.End); late > 140*ms+3*window {
			t.Errorf("answered %v after the end of the track", late)
		}
		b.stop()
	})
}

func TestEdgesOfOtherContactsArePutInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cables, 1)
		own := car(20)
		lines := own.lines(cables)
		b.drive([][]sensor.Edge{nil, lines[1]})
		// The near cable's edges come 15 ms late, after later ones of the far cable.
		for _, e := range lines[0] {
			time.AfterFunc(e.At.Add(15*ms).Sub(b.clock.Now()), func() { b.in[0][0] <- e })
		}
		time.Sleep(4 * time.Second)
		if c, err := b.Match(t.Context(), passage(own)); err != nil || c.Speed < 7199 {
			t.Errorf("crossing %+v, error %v", c, err)
		}
		if n := b.Counters(); n.Late != 0 || n.Edges != 8 {
			t.Errorf("counters %+v", n)
		}
		b.stop()
	})
}

func TestContactThatIsGoneEndsTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("line 17: gone")
		g, err := New([][]sensor.Edges{{edges.Follow(nil), failing{broken}}}, simulate.NewClock(0), cables)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
		if _, err := g.Match(t.Context(), passage(car(20))); !errors.Is(err, broken) {
			t.Errorf("Match: %v", err)
		}
	})
}

type failing struct{ error }

func (f failing) Next(context.Context) (sensor.Edge, error) { return sensor.Edge{}, f.error }

func TestRecordedEdgesAreReadToTheirEnd(t *testing.T) {
	lines := car(20).lines(cables)
	g, err := New([][]sensor.Edges{{edges.Play(lines[0]...), edges.Play(lines[1]...)}}, simulate.NewClock(0), cables)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Run: %v", err)
	}
	if kept := g.lanes[0].kept; len(kept) != 1 || !kept[0].Valid() {
		t.Errorf("crossings %+v", kept)
	}
}

// TestEndOfTheTrackLiesWithinTheSlack asks the Doppler chain where the tracks of
// vehicles end, by which crossings are found.
func TestEndOfTheTrackLiesWithinTheSlack(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	s, err := cables.settings()
	if err != nil {
		t.Fatal(err)
	}
	worst, n := 0.0, 0
	for i, speed := range []sensor.Speed{3000, 7000, 18000} {
		for _, d := range []sensor.Direction{sensor.Approaching, sensor.Receding} {
			for lane := 1; lane <= 2; lane++ {
				v := simulate.Vehicle{Speed: speed, Direction: d, Lane: lane, Class: simulate.Class(i % 3), Passing: 18 * time.Second}
				road, err := simulate.NewRoad(simulate.Scenario{Seed: uint64(i), Duration: 36 * time.Second, Vehicles: []simulate.Vehicle{v}})
				if err != nil {
					t.Fatal(err)
				}
				source, err := doppler.NewSource(road.Unpaced(0), doppler.Options{Simulated: true})
				if err != nil {
					t.Fatal(err)
				}
				for p, err := source.Next(t.Context()); err == nil; p, err = source.Next(t.Context()) {
					if !p.Valid() {
						continue
					}
					at := p.End
					if d == sensor.Receding {
						at = p.Start
					}
					off := at.Sub(sensor.Mono(v.Passing)).Seconds() * speed.MPS()
					t.Logf("%v %v lane %d: %.1f m from the closest point", speed, d, lane, off)
					worst, n = max(worst, math.Abs(off)), n+1
				}
			}
		}
	}
	if n < 10 || worst > s.slack {
		t.Errorf("%d passages, ends up to %.1f m off, slack %.1f m", n, worst, s.slack)
	}
}
