package device

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/clock"
)

func TestViolationIsSealedWithItsPictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(t)
		o := r.pass(speeding())
		if o.Record == nil {
			t.Fatalf("not recorded: %v, gate %v", o.Reasons, r.Gate())
		}
		m := o.Record.Record.Measurement
		if m.Speed != 9250 || m.Indicated != 9200 || m.Reduction != 500 || m.Assessed != 8700 || m.Limit != 7000 || m.Rule != "it-345-2" {
			t.Errorf("measurement %+v", m)
		}
		if o.Record.Record.Kind != evidence.KindViolation {
			t.Errorf("kind %v", o.Record.Record.Kind)
		}
		// The clock began at midnight with an hour on it.
		if r := o.Record.Record; r.Mono != m.Photo || r.UTC.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) != time.Duration(m.Photo).Truncate(time.Microsecond)-time.Hour {
			t.Errorf("pair %v, %v, want the instant of the photo position %v", r.Mono, r.UTC, m.Photo)
		}
		frames := o.Record.Record.Frames
		if len(frames) != 3 || frames[0].Role != "before" || frames[1].Role != "photo" || frames[2].Role != "after" {
			t.Fatalf("frames %+v", frames)
		}
		// 92.5 km/h over 20 m: 0.778 s before the end of the track.
		if want := o.Passage.End.Add(-778 * time.Millisecond); frames[1].Mono.Sub(want).Abs() > 41*time.Millisecond {
			t.Errorf("photo %v from the photo position", frames[1].Mono.Sub(want))
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestChainHoldsTheWholeLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(t)
		r.pass(speeding())
		time.Sleep(2 * time.Hour)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		records := r.records(t)
		var kinds []evidence.Kind
		for _, s := range records {
			kinds = append(kinds, s.Record.Kind)
		}
		want := []evidence.Kind{
			evidence.KindBoot, evidence.KindCalibration, evidence.KindConfiguration, evidence.KindSelfTest,
			evidence.KindHeartbeat, evidence.KindViolation, evidence.KindHeartbeat, evidence.KindHeartbeat, evidence.KindShutdown,
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("kinds %v, want %v", kinds, want)
		}
		if breaks := evidence.VerifyChain(records); len(breaks) > 0 {
			t.Errorf("chain: %v", breaks)
		}
	})
}

func TestDiscards(t *testing.T) {
	for _, c := range []struct {
		name   string
		rig    func(*rig)
		change func(*sensor.Passage)
		want   []sensor.Reason
	}{
		{"compliant: counted only", nil, func(p *sensor.Passage) { p.Speed = 7599 }, nil},
		{"another vehicle that the contacts saw", withSecond(t, &fakeSecond{speed: 9250, u: 50, company: ErrCompany}, single), nil, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"contacts that do not tell in time", withSecond(t, &fakeSecond{speed: 9250, u: 50, company: context.DeadlineExceeded}, single), nil, []sensor.Reason{sensor.ReasonSecondMissing}},
		{"another vehicle in the beam", withSecond(t, &fakeSecond{speed: 9250, u: 50}, single), func(p *sensor.Passage) { p.Targets = 1 }, []sensor.Reason{sensor.ReasonTwoTargets}},
		{"compliant pair: nothing to attribute", nil, func(p *sensor.Passage) { p.Targets, p.Speed = 1, 6000 }, nil},
		{"the other direction", nil, func(p *sensor.Passage) { p.Direction = sensor.Receding }, []sensor.Reason{sensor.ReasonWrongDirection}},
		{"no direction", nil, func(p *sensor.Passage) { p.Direction = sensor.DirectionUnknown }, []sensor.Reason{sensor.ReasonDirectionUndecided}},
		{"no direction, where both count: nothing says when to look", func(r *rig) { r.config.Site.Direction = sensor.DirectionUnknown },
			func(p *sensor.Passage) { p.Direction = sensor.DirectionUnknown }, []sensor.Reason{sensor.ReasonDirectionUndecided}},
		{"what no verifier would pass: raw data without a sample", nil, func(p *sensor.Passage) { p.Trace.Samples = 0 }, []sensor.Reason{sensor.ReasonContradiction}},
		{"beyond the certified range", nil, func(p *sensor.Passage) { p.Speed = 20001 }, []sensor.Reason{sensor.ReasonOutOfRange}},
		{"too uncertain", nil, func(p *sensor.Passage) { p.Budget.Noise = 101 }, []sensor.Reason{sensor.ReasonUncertain}},
		{"invalid track", nil, func(p *sensor.Passage) { p.Reasons = []sensor.Reason{sensor.ReasonClipped} }, []sensor.Reason{sensor.ReasonClipped}},
		{"two objections are both told", withSecond(t, &fakeSecond{speed: 9250, u: 50}, single),
			func(p *sensor.Passage) { p.Targets, p.Direction = 2, sensor.Receding }, []sensor.Reason{sensor.ReasonWrongDirection, sensor.ReasonTwoTargets}},
		{"clock beyond its bound", func(r *rig) { r.clock.offset = time.Second }, nil, []sensor.Reason{sensor.ReasonGate}},
		{"calibration of another sensor", func(r *rig) { r.sensor.identity.Serial = "S2" }, nil, []sensor.Reason{sensor.ReasonGate}},
		{"bytes without a check sum", func(r *rig) { r.sensor.identity.Unchecked = true }, nil, []sensor.Reason{sensor.ReasonSecondMissing, sensor.ReasonGate}},
		{"a sensor that does not separate two vehicles, and no second speed", single, nil, []sensor.Reason{sensor.ReasonSecondMissing, sensor.ReasonGate}},
		{"no picture", func(r *rig) { r.camera.stopAfter = 17 * time.Second }, nil, []sensor.Reason{sensor.ReasonFrameMissing}},
		{"camera gone since the self-test", func(r *rig) { r.camera.stopAfter = 11 * time.Second }, nil, []sensor.Reason{sensor.ReasonGate}},
		{"camera never worked", func(r *rig) { r.camera.stopAfter = -1 }, nil, []sensor.Reason{sensor.ReasonGate}},
		{"sensor that separates two vehicles", func(r *rig) { r.sensor.identity.Separates = true; r.config.Site.Limit = 100 * sensor.KmH },
			func(p *sensor.Passage) { p.Targets = 1 }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.rig)
				r.start(t)
				p := speeding()
				if c.change != nil {
					c.change(&p)
				}
				o := r.pass(p)
				if o.Record != nil || !slices.Equal(o.Reasons, c.want) {
					t.Errorf("recorded %v, reasons %v, want %v", o.Record != nil, o.Reasons, c.want)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
				for _, s := range r.records(t) {
					if s.Record.Kind.Measured() {
						t.Errorf("a record of kind %v is in the outbox", s.Record.Kind)
					}
				}
				for _, reason := range c.want {
					if r.Counts().Discarded[reason] != 1 {
						t.Errorf("discards %v, want one %v", r.Counts().Discarded, reason.Code())
					}
				}
			})
		})
	}
}

func TestSimulatedPartsAccuseNobody(t *testing.T) {
	for name, change := range map[string]func(*rig){
		"simulated radar": func(r *rig) { r.sensor.identity.Simulated = true },
		"test camera":     func(r *rig) { r.camera.test = true },
		"simulated clock": func(r *rig) { r.clock.source = clock.SimulatedSource },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, change)
				r.start(t)
				o := r.pass(speeding())
				if o.Record == nil || o.Record.Record.Kind != evidence.KindTest {
					t.Errorf("outcome %+v, want a record of kind test", o)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestClockStepDiscardsThePassageItFallsInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.start(t)
		time.Sleep(9 * time.Second)
		r.clock.step(2 * time.Second) // pass waits for 10 s, its track takes 3 s
		time.Sleep(2 * time.Second)
		p := speeding()
		p.End = r.clock.Now()
		p.Start = p.End.Add(-3 * time.Second)
		p.Trace.First, p.Trace.Last = p.Start, p.End
		r.sensor.passages <- p
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if o := r.outcomes[0]; !slices.Contains(o.Reasons, sensor.ReasonClock) {
			t.Errorf("reasons %v, want clock", o.Reasons)
		}
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("the next one is discarded too: %v", o.Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if !slices.ContainsFunc(r.records(t), func(s *evidence.Sealed) bool { return s.Record.Kind == evidence.KindClockStep }) {
			t.Error("no record of the step")
		}
	})
}

// What breaks closes the gate within seconds and is recorded; what comes back
// opens it again once it was in order for a minute.
func TestPartsThatComeBackMeasureAgain(t *testing.T) {
	for _, c := range []struct {
		name, finding string
		set           func(*rig, bool)
	}{
		{"sensor", "sensor fake: unplugged", func(r *rig, broken bool) {
			r.sensor.fail(map[bool]error{true: errors.New("unplugged")}[broken])
		}},
		{"camera", "camera fake gives no pictures", func(r *rig, broken bool) { r.camera.dead.Store(broken) }},
		{"camera that is unplugged", "camera fake: unplugged", func(r *rig, broken bool) { r.camera.unplugged.Store(broken) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logText
				r := newRig(t, func(r *rig) { r.log = slog.New(slog.NewTextHandler(&log, nil)) })
				r.start(t)
				c.set(r, true)
				time.Sleep(2 * patience)
				if causes := r.Gate(); len(causes) != 1 || causes[0].Code != strings.Fields(c.name)[0] {
					t.Errorf("gate %v, want it closed by the %s", causes, c.name)
				}
				time.Sleep(time.Minute + 2*time.Second) // between two looks of a device in order
				c.set(r, false)
				time.Sleep(inOrder - 2*time.Second)
				if len(r.Gate()) == 0 {
					t.Error("open before it was in order for long enough")
				}
				time.Sleep(patience + 4*time.Second)
				synctest.Wait()
				if strings.Count(log.String(), "gate open") != 2 {
					t.Errorf("not told soon that the gate is open:\n%s", &log)
				}
				if o := r.pass(speeding()); o.Record == nil {
					t.Errorf("not recorded: %v", o.Reasons)
				}
				time.Sleep(time.Minute)
				if err := r.stop(); err != nil {
					t.Error(err)
				}
				var findings []any
				for _, s := range r.records(t) {
					if s.Record.Kind == evidence.KindSelfTest {
						findings = append(findings, s.Record.Body[1], s.Record.Body[2])
					}
				}
				good := "sensor and camera work"
				if want := []any{uint64(1), good, uint64(0), c.finding, uint64(1), good}; !slices.Equal(findings, want) {
					t.Errorf("findings %q, want %q", findings, want)
				}
				for line, want := range map[string]int{"gate open": 2, "gate closed": 1} {
					if n := strings.Count(log.String(), line); n != want {
						t.Errorf("%q is logged %d times, want %d:\n%s", line, n, want, &log)
					}
				}
			})
		})
	}
}

// A camera that starts later than the device is waited for.
func TestCameraThatStartsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.camera.dead.Store(true) })
		r.start(t)
		if len(r.Gate()) == 0 {
			t.Error("gate open without a camera")
		}
		r.camera.dead.Store(false)
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("not recorded: %v", o.Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What was compressed here is sealed as such.
func TestRawPicturesAreSealedAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.camera.media = "image/jpeg;source=yuyv" })
		r.start(t)
		o := r.pass(speeding())
		if o.Record == nil {
			t.Fatalf("not recorded: %v", o.Reasons)
		}
		for _, f := range o.Record.Record.Frames {
			if f.Source() != "yuyv" {
				t.Errorf("frame %d is of type %q", f.Number, f.MediaType)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
