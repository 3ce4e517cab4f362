package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/edges"
	"ciglio/cross/simulate/simcam"
	"ciglio/sensor"
	"ciglio/sensor/gate"
)

const secondText = `
[second]
method = "contacts"
pins = "gpiochip0-17 gpiochip0-27"
positions = "10m 12m"
`

// fakeSecond says what a test wants of a second sensor.
type fakeSecond struct {
	speed, u sensor.Speed
	err      error
	fault    error
	company  error // what Alone says
	asked    int
	shots    int
	ran      bool
}

func (s *fakeSecond) Run(ctx context.Context) error         { s.ran = true; <-ctx.Done(); return nil }
func (s *fakeSecond) Fault() error                          { return s.fault }
func (s *fakeSecond) Findings(sensor.Mono) []sensor.Finding { return nil }
func (s *fakeSecond) Counters() gate.Counters               { return gate.Counters{} }
func (s *fakeSecond) Saw()                                  {}
func (s *fakeSecond) Measure(_ context.Context, p sensor.Passage, shots []capture.Shot) (SecondSpeed, error) {
	s.asked++
	s.shots = len(shots)
	return SecondSpeed{Speed: s.speed, U: s.u, Crossing: &gate.Crossing{Lane: 1, Marks: s.marks(p)}}, s.err
}

// marks are those of two axles over cables 2 m apart, which give the speed.
func (s *fakeSecond) marks(p sensor.Passage) [][]sensor.Mono {
	took := sensor.Mono(720e9 / int64(max(s.speed, 1)))
	near, far := []sensor.Mono{p.Start + took, p.Start + 2*took}, []sensor.Mono{p.Start, p.Start + took}
	return [][]sensor.Mono{near, far}
}

func (s *fakeSecond) Alone(context.Context, sensor.Passage, SecondSpeed) error { return s.company }

func withSecond(t *testing.T, s Second, more ...func(*rig)) func(*rig) {
	return func(r *rig) {
		for _, change := range more {
			change(r)
		}
		c, err := config.Parse([]byte(configText+secondText), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Device.Dir = r.config.Device.Dir
		*r.config, r.second = *c, s
	}
}

func TestSecondSpeedConfirmsOrDiscards(t *testing.T) {
	for _, c := range []struct {
		name   string
		second fakeSecond
		want   []sensor.Reason // nil: recorded
	}{
		{"agrees", fakeSecond{speed: 9300, u: 60}, nil},
		{"the last that agrees: 3 % of 92.50 is 2.77", fakeSecond{speed: 8973, u: 60}, nil},
		{"the first that does not", fakeSecond{speed: 8972, u: 60}, []sensor.Reason{sensor.ReasonSecondDisagrees}},
		{"far too high", fakeSecond{speed: 12000, u: 60}, []sensor.Reason{sensor.ReasonSecondDisagrees}},
		{"none", fakeSecond{err: gate.ErrNone}, []sensor.Reason{sensor.ReasonSecondMissing}},
		{"two crossings", fakeSecond{err: gate.ErrSeveral}, []sensor.Reason{sensor.ReasonSecondMissing}},
		{"a lost edge", fakeSecond{err: fmt.Errorf("line 17: %w", ErrLostEdge)}, []sensor.Reason{sensor.ReasonLostEdge}},
		{"agrees, and is less sure than the tolerance", fakeSecond{speed: 9250, u: 139}, []sensor.Reason{sensor.ReasonSecondMissing}},
		{"agrees, and is just sure enough", fakeSecond{speed: 9250, u: 138}, nil},
		{"a sensor that says nothing", fakeSecond{}, []sensor.Reason{sensor.ReasonSecondDisagrees}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := c.second
				r := newRig(t, withSecond(t, &s))
				r.start(t)
				o := r.pass(speeding())
				if !slices.Equal(o.Reasons, c.want) || (o.Record != nil) != (c.want == nil) {
					t.Fatalf("reasons %v, gate %v, want %v", o.Reasons, r.Gate(), c.want)
				}
				if s.asked != 1 || s.shots != 3 || !s.ran {
					t.Errorf("asked %d times with %d shots, ran: %t", s.asked, s.shots, s.ran)
				}
				if o.Record != nil {
					m := o.Record.Record.Measurement
					want := evidence.Second{Method: evidence.MethodContacts, Speed: s.speed, Tolerance: 277,
						Contacts: &evidence.Contacts{Positions: []int32{10_000, 12_000}, Marks: s.marks(o.Passage)}}
					if m.Speed != 9250 || !reflect.DeepEqual(m.Second, &want) {
						t.Errorf("measurement %+v, second %+v", m, m.Second)
					}
					checkStatus(t, o.Record, evidence.Pass)
				}
				if got := r.Counts().Discarded; len(c.want) == 1 && got[c.want[0]] != 1 {
					t.Errorf("discarded %v", got)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// check verifies the measurement of a record as anyone would.
func checkStatus(t *testing.T, s *evidence.Sealed, want evidence.Status) {
	t.Helper()
	for _, c := range evidence.Verify(&evidence.Bundle{Record: s.Bytes}, nil).Checks {
		if c.Name == "measurement" {
			if c.Status != want {
				t.Errorf("measurement: %v, %s", c.Status, c.Words())
			}
			return
		}
	}
	t.Error("no check of the measurement")
}

func TestSecondIsNotAskedAboutWhoComplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSecond{speed: 6000}
		r := newRig(t, withSecond(t, s))
		r.start(t)
		p := speeding()
		p.Speed = 6000
		if o := r.pass(p); s.asked != 0 || len(o.Reasons) != 0 || o.Record != nil {
			t.Errorf("asked %d times, outcome %+v", s.asked, o)
		}
		r.stop()
	})
}

func TestSecondSpeedOfUncheckedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSecond{speed: 9250, u: 50}
		r := newRig(t, withSecond(t, s))
		r.sensor.identity.Unchecked = true
		r.start(t)
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("confirmed and not recorded: %v", o.Reasons)
		}
		s.err = gate.ErrNone
		if o := r.pass(speeding()); !slices.Equal(o.Reasons, []sensor.Reason{sensor.ReasonSecondMissing}) {
			t.Errorf("reasons %v without second speed", o.Reasons)
		}
		r.stop()
	})
}

func TestFaultOfTheSecondSensorClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withSecond(t, &fakeSecond{fault: errors.New("pin gpiochip0-17: gone")}))
		r.start(t)
		causes := r.Gate()
		if len(causes) != 1 || !strings.Contains(causes[0].Words, "gpiochip0-17") {
			t.Errorf("causes %v", causes)
		}
		if o := r.pass(speeding()); !slices.Equal(o.Reasons, []sensor.Reason{sensor.ReasonGate}) {
			t.Errorf("reasons %v", o.Reasons)
		}
		r.stop()
	})
}

func TestSecondMustBeWhatTheConfigurationSays(t *testing.T) {
	c, err := config.Parse([]byte(configText+secondText), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkSecond(Options{Config: c}); err == nil {
		t.Error("no second sensor where one is configured")
	}
	c.Second.Method = "none"
	if err := checkSecond(Options{Config: c, Second: &fakeSecond{}}); err == nil {
		t.Error("a second sensor where none is configured")
	}
}

// fakeContact is a line whose edges a test plays.
type fakeContact struct{ *edges.Line }

func (fakeContact) Halt() error { return nil }

// withContacts gives a rig the contacts of a configuration. Each line that is opened
// gives the edges that a test sends to it by name.
func withContacts(t *testing.T, text string, in map[string]chan sensor.Edge, more ...func(*rig)) func(*rig) {
	return func(r *rig) {
		c, err := config.Parse([]byte(configText+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Device.Dir = r.config.Device.Dir
		*r.config = *c
		for _, change := range more {
			change(r)
		}
		s, err := newContacts(r.config, r.clock, r.log)
		if err != nil {
			t.Fatal(err)
		}
		s.open = func(name string) (contact, error) {
			in[name] = make(chan sensor.Edge, 64)
			return fakeContact{edges.Follow(in[name])}, nil
		}
		r.second = s
	}
}

// crossingAt returns the edges of a car with two axles that drives at v m/s: at the far
// contact at the instant at, at the near one 2 m later.
func crossingAt(at sensor.Mono, v float64) (near, far []sensor.Edge) {
	way := func(m float64) time.Duration { return time.Duration(m / v * 1e9) }
	for _, axle := range []float64{0, 2.6} {
		far = append(far, edges.Pulse(at.Add(way(axle)), 8*time.Millisecond)...)
		near = append(near, edges.Pulse(at.Add(way(axle+2)), 8*time.Millisecond)...)
	}
	return near, far
}

// TestContactsConfirm drives vehicles over real contacts, but for the kernel.
func TestContactsConfirm(t *testing.T) {
	v := sensor.Speed(9250).MPS()
	crossing := func(at sensor.Mono) (near, far []sensor.Edge) { return crossingAt(at, v) }
	join := func(a, b []sensor.Edge) []sensor.Edge { return append(a, b...) }
	for _, c := range []struct {
		name string
		play func(at sensor.Mono) (near, far []sensor.Edge)
		want []sensor.Reason
	}{
		{"one car", crossing, nil},
		{"nothing", func(sensor.Mono) ([]sensor.Edge, []sensor.Edge) { return nil, nil }, []sensor.Reason{sensor.ReasonSecondMissing}},
		{"a lost edge", func(at sensor.Mono) ([]sensor.Edge, []sensor.Edge) {
			near, far := crossing(at)
			return near, edges.Lose(far, 2)
		}, []sensor.Reason{sensor.ReasonLostEdge}},
		{"two crossings", func(at sensor.Mono) ([]sensor.Edge, []sensor.Edge) {
			near, far := crossing(at.Add(-300 * time.Millisecond))
			near2, far2 := crossing(at.Add(300 * time.Millisecond))
			return join(near, near2), join(far, far2)
		}, []sensor.Reason{sensor.ReasonSecondMissing}},
		{"a vehicle of another speed", func(at sensor.Mono) ([]sensor.Edge, []sensor.Edge) {
			near, far := crossing(at)
			for i := range near {
				near[i].At = near[i].At.Add(10 * time.Millisecond)
			}
			return near, far
		}, []sensor.Reason{sensor.ReasonSecondDisagrees}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := map[string]chan sensor.Edge{}
				r := newRig(t, withContacts(t, secondText, in))
				r.start(t)
				// The track ends 10 s from now less 0.3 s, 12 m after the far contact.
				end := r.clock.Now().Add(10*time.Second - 300*time.Millisecond)
				near, far := c.play(end.Add(-time.Duration(12 / v * 1e9)))
				for name, list := range map[string][]sensor.Edge{"gpiochip0-17": near, "gpiochip0-27": far} {
					for _, e := range list {
						time.AfterFunc(e.At.Sub(r.clock.Now()), func() { in[name] <- e })
					}
				}
				o := r.pass(speeding())
				if !slices.Equal(o.Reasons, c.want) || (o.Record != nil) != (c.want == nil) {
					t.Fatalf("reasons %v, want %v, gate %v", o.Reasons, c.want, r.Gate())
				}
				if o.Record != nil {
					if m := o.Record.Record.Measurement; m.Speed != 9250 || m.Second == nil || m.Second.Speed < 9249 || m.Second.Speed > 9250 {
						t.Errorf("second speed %+v of %v", m.Second, m.Speed)
					}
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestContactsTellTheLane drives a car over the loops of the second of two lanes,
// and in one case another behind it, which the radar does not hear.
func TestContactsTellTheLane(t *testing.T) {
	const text = `
[second]
method = "contacts"
kind = "presence"
pins = "gpiochip0-17 gpiochip0-27; gpiochip0-22 gpiochip0-23"
positions = "10m 14m"
`
	v := sensor.Speed(9250).MPS()
	way := func(m float64) time.Duration { return time.Duration(m / v * 1e9) }
	for _, c := range []struct {
		name   string
		behind float64 // m; 0: nobody
		want   []sensor.Reason
	}{
		{"alone", 0, nil},
		{"another 40 m behind in the other lane", 40, []sensor.Reason{sensor.ReasonTwoTargets}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := map[string]chan sensor.Edge{}
				r := newRig(t, withContacts(t, text, in, single))
				r.start(t)
				end := r.clock.Now().Add(10*time.Second - 300*time.Millisecond) // of the track
				// cross plays a body 4.5 m long over the loops of a lane, each 2 m long.
				cross := func(near, far string, behind float64) (marks [][]sensor.Mono) {
					for i, name := range []string{near, far} {
						on := end.Add(way(behind - float64(10+4*i)))
						pulse := edges.Pulse(on, way(6.5))
						for _, e := range pulse {
							time.AfterFunc(e.At.Sub(r.clock.Now()), func() { in[name] <- e })
						}
						marks = append(marks, []sensor.Mono{pulse[0].At, pulse[1].At})
					}
					return marks
				}
				marks := cross("gpiochip0-22", "gpiochip0-23", 0)
				if c.behind > 0 {
					cross("gpiochip0-17", "gpiochip0-27", c.behind)
				}
				o := r.pass(speeding())
				if !slices.Equal(o.Reasons, c.want) || (o.Record != nil) != (c.want == nil) {
					t.Fatalf("reasons %v, want %v, gate %v", o.Reasons, c.want, r.Gate())
				}
				if o.Record != nil {
					got := o.Record.Record
					want := evidence.Contacts{Positions: []int32{10_000, 14_000}, Marks: marks}
					if got.Site.Lane != 2 || !reflect.DeepEqual(*got.Measurement.Second.Contacts, want) {
						t.Errorf("lane %d, contacts %+v, want lane 2, %+v", got.Site.Lane, got.Measurement.Second.Contacts, want)
					}
					checkStatus(t, o.Record, evidence.Pass)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestContactsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		opened := 0
		in := make(chan sensor.Edge)
		r = newRig(t, func(r *rig) {
			withSecond(t, nil)(r)
			s, err := newContacts(r.config, r.clock, r.log)
			if err != nil {
				t.Fatal(err)
			}
			s.open = func(name string) (contact, error) {
				if opened++; opened < 4 {
					return nil, fmt.Errorf("pin %s: held by another program", name)
				}
				return fakeContact{edges.Follow(in)}, nil
			}
			r.second = s
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if err := r.second.Fault(); err == nil || !strings.Contains(err.Error(), "held by another program") {
			t.Errorf("fault %v", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := r.second.Fault(); err != nil {
			t.Errorf("fault %v after they were opened", err)
		}
		cancel()
		<-done
	})
}

func TestPicturesNeedTheirMarks(t *testing.T) {
	const framesText = `
[second]
method = "frames"
picture = "1600x900"
camera_height = "2.6m"
marks = "535,860=10m,1.2m; 1200,812=10m,4.5m; 402,301=40m,1.2m; 812,300=40m,8m"
`
	c, err := config.Parse([]byte(configText+framesText), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSecond(c, &fakeClock{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Measure(t.Context(), speeding(), []capture.Shot{{}, {}, {}}); err == nil {
		t.Error("three frames of nothing gave a speed")
	}
	for i := range c.Second.Marks {
		c.Second.Marks[i].Across = 0
	}
	if _, err := NewSecond(c, &fakeClock{}, nil); err == nil {
		t.Error("marks in a line were accepted")
	}
}

// TestPicturesConfirm measures a car in three pictures of the rendered road by
// marks in the words of the configuration.
func TestPicturesConfirm(t *testing.T) {
	if testing.Short() {
		t.Skip("renders pictures")
	}
	// Where the lens of simcam sees 10 m, 20 m and 40 m of road, to a pixel.
	const framesText = `
[second]
method = "frames"
picture = "1600x900"
camera_height = "2.6m"
marks = "%s"
`
	v := simulate.Vehicle{Speed: 9250, Direction: sensor.Approaching, Lane: 1, Passing: 20 * time.Second}
	road, err := simulate.NewRoad(simulate.Scenario{Seed: 1, Duration: 30 * time.Second, Vehicles: []simulate.Vehicle{v}})
	if err != nil {
		t.Fatal(err)
	}
	camera := simcam.New(road, nil, 0)
	var marks []string
	for _, p := range [][2]float64{{10, 1.2}, {10, 4.5}, {40, 1.2}, {40, 8}} {
		x, y := lensOf(p[0], p[1])
		marks = append(marks, fmt.Sprintf("%.0f,%.0f=%gm,%gm", x, y, p[0], p[1]))
	}
	c, err := config.Parse([]byte(configText+fmt.Sprintf(framesText, strings.Join(marks, "; "))), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSecond(c, &fakeClock{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var shots []capture.Shot
	first := uint64((v.Passing - 1250*time.Millisecond) / simcam.Interval) // 32 m away
	for len(shots) < 3 {
		f, err := camera.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.Number >= first && (f.Number-first)%3 == 0 {
			f.Data = bytes.Clone(f.Data)
			shots = append(shots, capture.Shot{Frame: f})
		}
	}
	got, err := s.Measure(t.Context(), sensor.Passage{Speed: 9250, Direction: sensor.Approaching}, shots)
	if err != nil || got.Speed < 8800 || got.Speed > 9700 || 2*got.U > 925 || got.Crossing != nil {
		t.Errorf("%+v, %v, want 92.50 km/h within 5 %%", got, err)
	}
}

// lensOf projects a place on the road as the rendered camera does.
func lensOf(along, across float64) (x, y float64) {
	sy, cy := math.Sincos(9.5 * math.Pi / 180)
	sp, cp := math.Sincos(4.4 * math.Pi / 180)
	focal := 800 / math.Tan(18*math.Pi/180)
	depth := along*cp*cy + across*cp*sy + 2.6*sp
	return 800 + focal*(across*cy-along*sy)/depth, 450 - focal*(along*sp*cy+across*sp*sy-2.6*cp)/depth
}
