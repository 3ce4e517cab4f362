package gate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/sensor"
)

// later returns a vehicle that comes so much later.
func later(v vehicle, d time.Duration) vehicle { v.at = v.at.Add(d); return v }

// recorded returns a Gate over which vehicles have driven, in their lanes.
func recorded(t *testing.T, o Options, lanes ...[]vehicle) *Gate {
	t.Helper()
	var events []Event
	for lane, vehicles := range lanes {
		for _, v := range vehicles {
			for i, line := range v.lines(o) {
				for _, e := range line {
					events = append(events, Event{lane, i, e})
				}
			}
		}
	}
	inOrder(events)
	g, err := Recorded(len(lanes), events, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMatchAmongLanes(t *testing.T) {
	own := later(car(20), 4*time.Second)
	oncoming := own
	oncoming.back = true
	for _, c := range []struct {
		name  string
		lanes [2][]vehicle
		lane  int // that the radar tells
		want  error
		found int // lane
	}{
		{"in the first lane", [2][]vehicle{{own}, nil}, 0, nil, 1},
		{"in the second lane", [2][]vehicle{nil, {own}}, 0, nil, 2},
		{"two abreast", [2][]vehicle{{own}, {later(own, 100*ms)}}, 0, ErrSeveral, 0},
		{"two abreast, and the radar knows the lane", [2][]vehicle{{own}, {later(own, 100*ms)}}, 2, nil, 2},
		{"the radar knows another lane", [2][]vehicle{{own}, nil}, 2, ErrNone, 0},
		{"one meets it", [2][]vehicle{{own}, {oncoming}}, 0, nil, 1},
		{"only the one that meets it", [2][]vehicle{nil, {oncoming}}, 0, ErrDirection, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := recorded(t, loops, c.lanes[0], c.lanes[1])
			p := passage(own)
			p.Lane = c.lane
			got, err := g.Match(t.Context(), p)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || got.Lane != c.found {
				t.Errorf("crossing %+v, error %v, want lane %d, %v", got, err, c.found, c.want)
			}
		})
	}
}

func TestMatchWithoutContactsInTheLane(t *testing.T) {
	own := later(car(20), 4*time.Second)
	p := passage(own)
	p.Lane = 2
	if _, err := recorded(t, loops, []vehicle{own}).Match(t.Context(), p); !errors.Is(err, ErrNone) {
		t.Errorf("loops in lane 1, a passage in lane 2: %v", err)
	}
	if c, err := recorded(t, cables, []vehicle{own}).Match(t.Context(), p); err != nil || c.Lane != 1 {
		t.Errorf("cables across the road, a passage in lane 2: %+v, %v", c, err)
	}
}

// TestStanding has somebody stand on a loop of lane 2.
func TestStanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, loops, 2)
		own := later(car(20), 10*time.Second)
		b.drive(own.lines(loops))
		b.driveIn(1, [][]sensor.Edge{{{At: start, Rising: true}}, nil})
		p := passage(own)
		p.Lane = 1
		time.Sleep(p.End.Sub(b.clock.Now()))
		began := b.clock.Now()
		crossing, err := b.Match(t.Context(), p)
		if took := b.clock.Now().Sub(began); err != nil || took > time.Second {
			t.Errorf("its own lane is free: %v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := b.Alone(ctx, p, crossing); !errors.Is(err, ErrStanding) {
			t.Errorf("%v, want %v", err, ErrStanding)
		}
		p.Lane = 0
		if _, err := b.Match(ctx, p); !errors.Is(err, ErrStanding) {
			t.Errorf("%v, want %v", err, ErrStanding)
		}
		b.stop()
	})
}

// TestAloneForgets lets so many cars cross lane 2 that the one that was beside the
// first is no longer known.
func TestAloneForgets(t *testing.T) {
	own := later(car(20), 20*time.Second)
	var column []vehicle
	for i := range maxKept + 1 {
		column = append(column, later(own, time.Duration(i)*2*time.Second))
	}
	g := recorded(t, loops, []vehicle{own}, nil)
	p := passage(own)
	crossing, err := g.Match(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	l := g.lanes[1]
	l.room = maxKept
	tracker, err := NewTracker(loops)
	if err != nil {
		t.Fatal(err)
	}
	l.tracker = tracker
	for _, v := range column {
		var events []Event
		for i, line := range v.lines(loops) {
			for _, e := range line {
				events = append(events, Event{1, i, e})
			}
		}
		inOrder(events)
		for _, e := range events {
			l.tracker.Push(e.Contact, e.Edge)
		}
		l.keep()
	}
	l.tracker.Flush()
	l.keep()
	if err := g.Alone(t.Context(), p, crossing); !errors.Is(err, ErrUnheard) {
		t.Errorf("%v, want %v", err, ErrUnheard)
	}
}

func TestCrossingBelongsToOnePassage(t *testing.T) {
	own := later(car(20), 4*time.Second)
	g := recorded(t, loops, []vehicle{own})
	if _, err := g.Match(t.Context(), passage(own)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Match(t.Context(), passage(own)); !errors.Is(err, ErrTaken) {
		t.Errorf("a second passage of the same vehicle: %v", err)
	}
}

// TestAlone drives a car with 20 m/s over loops at 10 and 14 m. Its track of 3 s
// begins 60 m away, so the beam is taken to reach 90 m.
func TestAlone(t *testing.T) {
	own := later(car(20), 20*time.Second)
	back := own
	back.back = true
	with := func(v vehicle, speed float64) vehicle { v.speed = speed; return v }
	for _, c := range []struct {
		name   string
		others [2][]vehicle
		want   error
	}{
		{"nobody", [2][]vehicle{}, nil},
		{"one of the same speed 30 m ahead", [2][]vehicle{{later(own, -1500*ms)}, nil}, ErrCompany},
		{"one of the same speed 30 m behind", [2][]vehicle{{later(own, 1500*ms)}, nil}, ErrCompany},
		{"one in the other lane, 14 m behind", [2][]vehicle{nil, {later(own, 700*ms)}}, ErrCompany},
		{"one that was gone when the track began", [2][]vehicle{{later(own, -4*time.Second)}, nil}, nil},
		{"one that came when the track ended", [2][]vehicle{{later(own, 5*time.Second)}, nil}, nil},
		{"the last moment of one", [2][]vehicle{{later(own, -3400*ms)}, nil}, nil},
		{"a slow one, long ahead", [2][]vehicle{nil, {with(later(own, -4*time.Second), 5)}}, ErrCompany},
		{"a fast one that overtakes from far behind", [2][]vehicle{nil, {with(later(own, 1*time.Second), 60)}}, ErrCompany},
		{"one that meets it", [2][]vehicle{nil, {back}}, ErrCompany},
		{"one that has met it when the track began", [2][]vehicle{nil, {later(back, -7*time.Second)}}, nil},
		{"something that gave no speed", [2][]vehicle{nil, {with(later(own, -1*time.Second), 200)}}, ErrNoSpeed},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := recorded(t, loops, append(c.others[0], own), c.others[1])
			p := passage(own)
			crossing, err := g.Match(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Alone(t.Context(), p, crossing); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestAloneWaits asks at the end of a track who comes 30 m behind.
func TestAloneWaits(t *testing.T) {
	own := later(car(20), 10*time.Second)
	for _, c := range []struct {
		name   string
		behind time.Duration // 0: nobody
		want   error
		within time.Duration
	}{
		{"nobody", 0, nil, 4500 * ms},
		{"one that comes", 1500 * ms, ErrCompany, 2500 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, loops, 1)
				b.drive(own.lines(loops))
				if c.behind > 0 {
					b.drive(later(own, c.behind).lines(loops))
				}
				p := passage(own)
				time.Sleep(p.End.Sub(b.clock.Now()))
				crossing, err := b.Match(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Alone(t.Context(), p, crossing); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if took := b.clock.Now().Sub(p.End); took > c.within {
					t.Errorf("answered after %v", took)
				}
				short, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				p.Start, p.End = b.clock.Now().Add(-3*time.Second), b.clock.Now()
				if err := b.Alone(short, p, crossing); c.want == nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, before the contacts have said all", err)
				}
				b.stop()
			})
		})
	}
}

// TestAloneKnowsWhenItBeganToHear starts contacts while a vehicle is in the beam.
func TestAloneKnowsWhenItBeganToHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, loops, 1)
		own := later(car(20), 4*time.Second)
		b.drive(own.lines(loops))
		p := passage(own)
		time.Sleep(p.End.Sub(b.clock.Now()))
		crossing, err := b.Match(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		// A track of 3 s that began 1.5 × 3 s after the contacts, and a moment earlier.
		p.Start, p.End = 4.5e9, 7.5e9
		if err := b.Alone(t.Context(), p, crossing); err != nil {
			t.Error(err)
		}
		p.Start, p.End = p.Start-1, p.End-1
		if err := b.Alone(t.Context(), p, crossing); !errors.Is(err, ErrUnheard) {
			t.Errorf("%v, want %v", err, ErrUnheard)
		}
		b.stop()
	})
}

// TestSpeedFollowsFromTheMarks computes the speed anew from the stamps that a
// crossing names, which are those of the edges.
func TestSpeedFollowsFromTheMarks(t *testing.T) {
	lorry := car(22.5)
	lorry.axles = []float64{0, 3.7, 9.2, 10.5, 11.8}
	for _, o := range []Options{cables, three, loops} {
		for _, back := range []bool{false, true} {
			lorry.back = back
			lines := lorry.lines(o)
			got, _ := run(t, o, lines)
			if len(got) != 1 || !got[0].Valid() || len(got[0].Marks) != len(o.Positions) {
				t.Fatalf("crossings %+v", got)
			}
			var sum time.Duration
			for m := range got[0].Marks[0] {
				for i, at := range got[0].Marks {
					edge := m // front and rear
					if o.Kind == Axles {
						edge = 2 * m // every second one rises
					}
					if want := lines[i][edge].At; at[m] != want {
						t.Errorf("mark %d of contact %d at %v, the edge at %v", m, i, at[m], want)
					}
				}
				sum += got[0].Marks[len(o.Positions)-1][m].Sub(got[0].Marks[0][m]).Abs()
			}
			way := time.Duration(o.Positions[len(o.Positions)-1] - o.Positions[0])
			if want := sensor.Speed(way * time.Duration(len(got[0].Marks[0])) * 360e6 / sum); got[0].Speed != want || want < 8090 || want > 8100 {
				t.Errorf("%v, the marks give %v", got[0].Speed, want)
			}
		}
	}
}

// Contacts that were opened between a vehicle and the one 16 m behind it know only
// the second, which must not be taken for the first.
func TestWhatWasNotHeardIsNotMatched(t *testing.T) {
	for _, heard := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, cables, 1)
			own := car(20)
			own.at = own.at.Add(4 * time.Second)
			behind := own
			behind.at = own.at.Add(800 * time.Millisecond)
			p := passage(own)
			p.End = p.End.Add(300 * time.Millisecond) // 6 m farther on
			want := ErrSeveral
			if heard {
				b.drive(own.lines(cables))
			} else {
				want = ErrUnheard
				b.mu.Lock()
				b.lanes[0].since = own.when(5)
				b.mu.Unlock()
			}
			b.drive(behind.lines(cables))
			time.Sleep(p.End.Sub(b.clock.Now()))
			if c, err := b.Match(t.Context(), p); !errors.Is(err, want) {
				t.Errorf("own heard %t: crossing of %v, %v; want %v", heard, c.First, err, want)
			}
			b.stop()
		})
	}
}
