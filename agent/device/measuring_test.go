package device

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture"
	"ciglio/sensor"
)

// slowSecond takes its time.
type slowSecond struct{ fakeSecond }

func (s *slowSecond) Measure(ctx context.Context, p sensor.Passage, shots []capture.Shot) (SecondSpeed, error) {
	time.Sleep(5 * time.Second)
	return s.fakeSecond.Measure(ctx, p, shots)
}

// A driver stamps what it reads when it reads it. What waits in the meantime
// would be taken for later than it was, and its pictures with it.
func TestSensorIsHeardWhileAViolationIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withSecond(t, &slowSecond{fakeSecond{speed: 9250, u: 50}}))
		r.start(t)
		p := speeding()
		p.End = r.clock.Now().Add(-time.Second)
		p.Start = p.End.Add(-3 * time.Second)
		p.Trace.First, p.Trace.Last = p.Start, p.End
		for n := range 4 {
			select {
			case r.sensor.passages <- p:
			default:
				t.Errorf("nobody listens to passage %d", n+1)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		r.sensor.fail(io.EOF)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if len(r.outcomes) != 4 {
			t.Errorf("%d outcomes, want those of all that came before the end", len(r.outcomes))
		}
		if len(r.outcomes) > 0 && r.outcomes[0].Record == nil {
			t.Errorf("not recorded: %v", r.outcomes[0].Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// slowAlone says after a while whether the vehicle was alone, and does something
// in the meantime.
type slowAlone struct {
	fakeSecond
	wait      time.Duration
	meanwhile func()
}

func (s *slowAlone) Alone(ctx context.Context, _ sensor.Passage, _ SecondSpeed) error {
	if s.meanwhile != nil {
		s.meanwhile()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.wait):
		return s.company
	}
}

// What closes the gate while a violation waits for who comes behind discards it.
func TestGateIsAskedOnceMoreBeforeSealing(t *testing.T) {
	for _, c := range []struct {
		name      string
		meanwhile func(*rig)
		want      []sensor.Reason
	}{
		{"nothing", func(*rig) {}, nil},
		{"the clock leaves its bound", func(r *rig) { r.clock.drift(time.Second) }, []sensor.Reason{sensor.ReasonGate}},
		{"the clock steps", func(r *rig) { r.clock.step(-3 * time.Hour) }, []sensor.Reason{sensor.ReasonClock}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slowAlone{fakeSecond: fakeSecond{speed: 9250, u: 50}, wait: 9 * time.Second}
				r := newRig(t, withSecond(t, s, single))
				s.meanwhile = func() { c.meanwhile(r) }
				r.start(t)
				if o := r.pass(speeding()); !slices.Equal(o.Reasons, c.want) || (o.Record != nil) != (c.want == nil) {
					t.Errorf("reasons %v, want %v", o.Reasons, c.want)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The ring forgets within seconds: a violation's pictures are taken while another
// still waits for who comes behind.
func TestPicturesAreTakenWhileAnotherViolationWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowAlone{fakeSecond: fakeSecond{speed: 9250, u: 50}, wait: 12 * time.Second}
		r := newRig(t, withSecond(t, s, single))
		r.start(t)
		for range 3 {
			p := speeding()
			p.End = r.clock.Now().Add(-300 * time.Millisecond)
			p.Start = p.End.Add(-3 * time.Second)
			p.Trace.First, p.Trace.Last = p.Start, p.End
			r.sensor.passages <- p
			time.Sleep(2 * time.Second)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		for i, o := range r.outcomes {
			if o.Record == nil {
				t.Errorf("violation %d: %v", i+1, o.Reasons)
			}
		}
		if len(r.outcomes) != 3 {
			t.Errorf("%d outcomes", len(r.outcomes))
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A device that is told to end seals first what has passed, but does not wait for
// ever.
func TestViolationInHandIsFinished(t *testing.T) {
	for _, c := range []struct {
		name   string
		wait   time.Duration
		most   time.Duration
		sealed bool
	}{
		{"soon", 8 * time.Second, 9 * time.Second, true},
		{"too late", time.Minute, finishing + time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, withSecond(t, &slowAlone{fakeSecond: fakeSecond{speed: 9250, u: 50}, wait: c.wait}, single))
				r.start(t)
				p := speeding()
				p.End = r.clock.Now().Add(-300 * time.Millisecond)
				p.Start = p.End.Add(-3 * time.Second)
				p.Trace.First, p.Trace.Last = p.Start, p.End
				r.sensor.passages <- p
				time.Sleep(time.Second)
				began := time.Now()
				if err := r.stop(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("ended after %v", took)
				}
				if len(r.outcomes) != 1 || (r.outcomes[0].Record != nil) != c.sealed {
					t.Errorf("outcomes %+v", r.outcomes)
				}
			})
		})
	}
}

func TestPhotoIsOfThePhotoPosition(t *testing.T) {
	const way = 778 * time.Millisecond // for 20 m at 92.5 km/h
	for _, c := range []struct {
		name      string
		direction sensor.Direction
		told      time.Duration // before the end of the track; 0 for not
		want      time.Duration // before the end of the track, which lasts 3 s
	}{
		{"approaching: the track ends beside the device", sensor.Approaching, 0, way},
		{"leaving: it begins there", sensor.Receding, 0, 3*time.Second - way},
		{"approaching, and the sensor tells it", sensor.Approaching, 1300 * time.Millisecond, 1300 * time.Millisecond},
		{"leaving, and the sensor tells it", sensor.Receding, 1300 * time.Millisecond, 1300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(r *rig) { r.config.Site.Direction, r.config.Camera.Slots = sensor.DirectionUnknown, 96 })
				r.start(t)
				p := speeding()
				p.Direction = c.direction
				if c.told != 0 {
					p.Photo = r.clock.Now().Add(10*time.Second - 300*time.Millisecond - c.told) // as pass sets the end
				}
				o := r.pass(p)
				if o.Record == nil {
					t.Fatalf("not recorded: %v", o.Reasons)
				}
				record := o.Record.Record
				if off := o.Passage.End.Sub(record.Measurement.Photo) - c.want; off.Abs() > time.Millisecond {
					t.Errorf("photo position %v off", off)
				}
				if off := record.Frames[1].Mono.Sub(record.Measurement.Photo); off.Abs() > 41*time.Millisecond {
					t.Errorf("photo %v from the photo position", off)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
