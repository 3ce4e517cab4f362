package device

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/enforce"
	"ciglio/sensor"
)

// This file is about what forbids a violation for a moment only: before the
// vehicle came, while it passed, or while its record waits.

// send hands over a passage that took so long and ended so long ago, and returns what
// became of it.
func (r *rig) send(p sensor.Passage, took, ago time.Duration) Outcome {
	p.End = r.clock.Now().Add(-ago)
	p.Start = p.End.Add(-took)
	p.Trace.First, p.Trace.Last = p.Start, p.End
	n := len(r.told())
	r.sensor.passages <- p
	for range 60 {
		time.Sleep(time.Second)
		if synctest.Wait(); len(r.told()) > n {
			break
		}
	}
	return r.told()[n]
}

func (r *rig) end(t *testing.T) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// forget makes the gate forget that it was ever closed.
func (r *rig) forget() {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	r.gate.last = 0
}

// A vehicle that was measured before the calibration was in force is not accused
// after it, however soon.
func TestGateWasOpenAllTheWhile(t *testing.T) {
	for early, want := range map[time.Duration]bool{
		0: true, time.Nanosecond: false, 2 * time.Second: false,
		2999 * time.Millisecond: false, // in force when the track ends
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			force := time.Now().Add(time.Hour)
			r.gate.still.Calibration.NotBefore = force
			r.start(t)
			// Closed it was until then, and a look may have found that a second ago.
			r.forget()
			time.Sleep(time.Until(force) - early + 3300*time.Millisecond)
			r.forget()
			if o := r.send(speeding(), 3*time.Second, 300*time.Millisecond); (o.Record != nil) != want {
				t.Errorf("%v before: recorded %t, reasons %v", early, o.Record != nil, o.Reasons)
			}
			r.end(t)
		})
	}
}

// The photo position, of which the record's UTC is, may lie before the track.
func TestGateWasOpenAtThePhoto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Site.PhotoRange, r.config.Camera.Slots = 60e3, 96 })
		force := time.Now().Add(18 * time.Second)
		r.gate.still.Calibration.NotBefore = force
		r.start(t)
		time.Sleep(10 * time.Second) // now is 20 s: photo at 17.4 s, track from 18.7 s
		r.forget()
		if o := r.send(speeding(), time.Second, 300*time.Millisecond); o.Record != nil {
			t.Errorf("sealed as of %v, in force from %v", o.Record.Record.UTC, force)
		}
		r.end(t)
	})
}

// What closed the gate, and was told, keeps also those from being sealed that
// passed just before it opened.
func TestGateThatWasClosedForAnythingElse(t *testing.T) {
	for after, want := range map[time.Duration]bool{10 * time.Millisecond: false, 5 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(t)
			r.clock.drift(time.Second)
			time.Sleep(29*time.Second + 900*time.Millisecond)
			r.clock.drift(0)
			time.Sleep(after)
			if o := r.send(speeding(), 3*time.Second, 300*time.Millisecond); (o.Record != nil) != want {
				t.Errorf("%v after the clock was good again: recorded %t, reasons %v", after, o.Record != nil, o.Reasons)
			}
			r.end(t)
		})
	}
}

// A step of UTC is found when a violation is judged, not only once a second.
func TestStepIsFoundBeforeTheSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(t)
		time.Sleep(10*time.Second + 200*time.Millisecond)
		r.clock.step(-3 * time.Hour) // the watch looks at every full second
		time.Sleep(100 * time.Millisecond)
		if o := r.send(speeding(), 3*time.Second, 300*time.Millisecond); o.Record != nil {
			t.Errorf("sealed as of %v", o.Record.Record.UTC)
		}
		r.end(t)
	})
}

// A turningClock changes when it has been asked for its state or time so often.
type turningClock struct {
	*fakeClock
	states atomic.Int64 // calls left until its offset is out of bounds; 0 for never
	pairs  atomic.Int64 // and until UTC jumps
}

func (c *turningClock) State() (sensor.ClockState, error) {
	if c.states.Load() > 0 && c.states.Add(-1) == 0 {
		c.drift(time.Second)
	}
	return c.fakeClock.State()
}

func (c *turningClock) Pair() (sensor.Mono, time.Time) {
	if c.pairs.Load() > 0 && c.pairs.Add(-1) == 0 {
		c.step(-3 * time.Hour)
	}
	return c.fakeClock.Pair()
}

// A hookSecond calls hook just before the last look at a violation.
type hookSecond struct {
	fakeSecond
	hook func()
}

func (s *hookSecond) Alone(context.Context, sensor.Passage, SecondSpeed) error {
	s.hook()
	return nil
}

// A record waits for the store after the last look at the clock: what it says of the
// clock itself must be as good.
func TestRecordsClockIsThatOfTheGate(t *testing.T) {
	for name, turn := range map[string]func(*turningClock){
		"out of its bound": func(c *turningClock) { c.states.Store(1) }, // the record's own
		"a step":           func(c *turningClock) { c.pairs.Store(1) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &hookSecond{fakeSecond: fakeSecond{speed: 9250, u: 50}}
			r := newRig(t, withSecond(t, s, single))
			c := &turningClock{fakeClock: r.clock}
			r.o.Clock, r.gate.clock, r.recorder.clock = c, c, c
			s.hook = func() { turn(c) }
			r.start(t)
			if o := r.pass(speeding()); o.Record != nil {
				t.Errorf("%s: sealed with %+v as of %v", name, o.Record.Record.Clock, o.Record.Record.UTC)
			}
			if c.states.Load()+c.pairs.Load() != 0 {
				t.Errorf("%s: the clock never turned", name)
			}
			r.end(t)
		})
	}
}

// At midnight the rule is that of the record's instant.
func TestRuleOfThePhotosDay(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a day of pictures")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		day := func(d int) time.Time { return time.Date(2000, 1, d, 0, 0, 0, 0, time.UTC) }
		r.zone = time.UTC
		r.Device.rules = enforce.Table{
			{ID: "old", From: day(1), To: day(1), Flat: 10 * sensor.KmH, Percent: 5},
			{ID: "new", From: day(2), Flat: 5 * sensor.KmH, Percent: 5},
		}
		r.start(t)
		time.Sleep(time.Until(day(2)) + 500*time.Millisecond)
		o := r.send(speeding(), 3*time.Second, 300*time.Millisecond) // the photo is 0.8 s before the end
		if o.Record == nil || o.Record.Record.Measurement.Rule != "old" || o.Record.Record.UTC.Day() != 1 {
			t.Errorf("%+v, reasons %v", o.Assessment, o.Reasons)
		}
		r.end(t)
	})
}

// A device that ends in good order does not listen to its sensor any more, which is
// no hang.
func TestOrderlyEndIsNoHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logText
		s := &slowAlone{fakeSecond: fakeSecond{speed: 9250, u: 50}, wait: 29 * time.Second}
		r := newRig(t, withSecond(t, s, single, func(r *rig) {
			r.manager, r.log = new(fakeManager), slog.New(slog.NewTextHandler(&log, nil))
		}))
		turned := r.clock.Now()
		r.o.Live = &fakeLive{clock: r.clock, turned: func() sensor.Mono { return turned }}
		r.start(t)
		p := speeding()
		p.End = r.clock.Now().Add(-300 * time.Millisecond)
		p.Start = p.End.Add(-3 * time.Second)
		p.Trace.First, p.Trace.Last = p.Start, p.End
		turned = p.End.Add(-10 * time.Second)
		r.sensor.passages <- p
		time.Sleep(time.Second)
		r.end(t)
		if strings.Contains(log.String(), "device hangs") {
			t.Error(log.String())
		}
	})
}
