package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/trust"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/sensor"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

const configText = `
[device]
id = "00112233445566778899aabbccddeeff"
[site]
id = "SP14-12"
road = "SP 14"
latitude = "44.4949deg"
limit = "70km/h"
direction = "approaching"
[sensor]
model = "M1"
serial = "S1"
maximum = "200km/h"
[camera]
slots = 32
slot = "16KiB"
`

const calibrationText = `
id = "A-117"
version = 1
sensor_serial = "S1"
not_before = 1999-06-01T00:00:00Z
not_after = 2000-06-01T00:00:00Z
uncertainty = "1km/h"
[approval]
words = "D.D. 1/1999"
from = 1999-01-01T00:00:00Z
[decree]
words = "Decreto 1/1999"
from = 1999-01-01T00:00:00Z
[register]
words = "n. 1"
from = 1999-01-01T00:00:00Z
`

// A rig is a device whose sensor, camera and clock are played by a test. Time
// is that of a synctest bubble, which begins at midnight of 2000-01-01.
type rig struct {
	*Device
	config   *config.Config
	outbox   *outbox.Outbox
	dir      string // of the outbox
	clock    *fakeClock
	sensor   *fakeSensor
	live     *liveSource // in place of sensor, when a test sets it
	camera   *fakeCamera
	second   Second
	log      *slog.Logger
	manager  Supervisor
	mu       sync.Mutex // guards outcomes while the device runs
	outcomes []Outcome
	stop     func() error
}

// newRig builds a device; change may alter its parts before. Run starts it.
func newRig(t *testing.T, change func(*rig)) *rig {
	t.Helper()
	c, err := config.Parse([]byte(configText), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		config: c,
		clock:  &fakeClock{start: time.Now()},
		sensor: &fakeSensor{passages: make(chan sensor.Passage), identity: sensor.Identity{Model: "fake", Serial: "S1", Separates: true}},
		camera: &fakeCamera{picture: picture(t)},
		log:    slog.New(slog.DiscardHandler),
	}
	r.camera.clock = r.clock
	if change != nil {
		change(r)
	}
	signer, err := key.Create(t.TempDir() + "/evidence.key")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := evidence.ParseDeviceID(c.Device.ID)
	r.dir = t.TempDir()
	r.outbox, err = outbox.Open(r.dir, outbox.Options{Device: id, Quota: int64(c.Outbox.Quota), Reserve: int64(c.Outbox.Reserve), Retention: c.Outbox.Retention})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.outbox.Close() })
	var source sensor.Source = r.sensor
	var fault func() error
	var turned func() sensor.Mono
	if r.live != nil {
		source, fault, turned = r.live, r.live.Fault, r.live.Turned
		t.Cleanup(r.live.Close)
	}
	r.Device, err = New(Options{
		Config: c, Calibration: []byte(calibrationText), Certificate: evidence.Hash{1}, Fault: fault, Turned: turned,
		Signer: signer, Clock: r.clock, Source: source, Second: r.second, Camera: r.camera,
		Outbox: r.outbox, Dialer: noNetwork{}, Boot: [16]byte{7}, Log: r.log, Supervisor: r.manager,
		Observe: func(o Outcome) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.outcomes = append(r.outcomes, o)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the device until its self-test is over.
func (r *rig) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() error { cancel(); return <-done }
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

// pass lets a vehicle pass and returns what became of it.
func (r *rig) pass(p sensor.Passage) Outcome {
	time.Sleep(10 * time.Second)
	p.End = r.clock.Now().Add(-300 * time.Millisecond)
	p.Start = p.End.Add(-3 * time.Second)
	told := func() []Outcome {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.outcomes
	}
	before := len(told())
	r.sensor.passages <- p
	for range 30 { // contacts may wait for who comes behind
		time.Sleep(2 * time.Second)
		if synctest.Wait(); len(told()) > before {
			break
		}
	}
	return told()[before]
}

func speeding() sensor.Passage {
	return sensor.Passage{
		Speed: 9250, Direction: sensor.Approaching, Readings: 50,
		Budget: sensor.Budget{Noise: 5, Carrier: 4},
		Trace:  sensor.Trace{Format: "audio/wav", Data: []byte("raw"), Samples: 1, First: 1, Last: 2},
	}
}

func (r *rig) records(t *testing.T) []*evidence.Sealed {
	t.Helper()
	items, err := r.outbox.List(uplink.Key{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var records []*evidence.Sealed
	for _, item := range items {
		b, err := r.outbox.Record(item.Key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := evidence.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, s)
	}
	return records
}

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

// single makes the sensor one that cannot tell two vehicles apart.
func single(r *rig) { r.sensor.identity.Separates = false }

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

func TestFullOutboxRefusesAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Outbox.Quota, r.config.Outbox.Reserve = 9<<20, 5<<20 })
		r.start(t)
		if o := r.pass(speeding()); !slices.Equal(o.Reasons, []sensor.Reason{sensor.ReasonGate}) {
			t.Fatalf("reasons %v, want the gate: no room", o.Reasons)
		}
		before := len(r.records(t))
		time.Sleep(3 * time.Hour)
		if after := len(r.records(t)); after != before+3 {
			t.Errorf("%d heartbeats in three hours, want 3", after-before)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A store that has no room even for the start must not keep the device from
// sending what is in it. The start is recorded when there is room again.
func TestStartWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.config.Outbox.Quota, r.config.Outbox.Reserve = 1, 0 })
		r.start(t)
		if causes := r.Gate(); len(causes) != 1 || causes[0].Code != "store_full" {
			t.Errorf("gate %v, want it closed: no room", causes)
		}
		if o := r.pass(speeding()); o.Record != nil {
			t.Error("recorded before the start was")
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if n := len(r.records(t)); n != 0 {
			t.Errorf("%d records in a store without room", n)
		}
	})
}

// What is settled keeps no violation out, although retention would keep it and the
// next look at what it lets go of is an hour away.
func TestSettledRecordsMakeRoomAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a day of pictures")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.config.Outbox.Quota, r.config.Outbox.Reserve, r.config.Outbox.Retention = 5<<20, 256<<10, 30*24*time.Hour
		})
		r.start(t)
		full := func() bool {
			return slices.ContainsFunc(r.Gate(), func(c trust.Cause) bool { return c.Code == "store_full" })
		}
		large := speeding()
		large.Trace.Data = bytes.Repeat([]byte("raw"), 30_000)
		for n := 0; !full() && n < 100; n++ {
			r.pass(large)
		}
		time.Sleep(24 * time.Hour) // the next day's heartbeats begin another segment
		if !full() {
			t.Error("the store is not full, or what is not settled has made room")
		}
		receipt := &evidence.Receipt{Device: r.id, UTC: time.Now(), LogRoot: evidence.Hash{1}}
		for i, s := range r.records(t) {
			receipt.Entries = append(receipt.Entries, evidence.ReceiptEntry{Epoch: s.Record.Epoch, Seq: s.Record.Seq, ID: s.ID, Index: uint64(i)})
			receipt.LogSize++
		}
		sealed, err := evidence.SealReceipt(receipt, r.o.Signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.outbox.Settle(sealed); err != nil {
			t.Fatal(err)
		}
		if o := r.pass(speeding()); o.Record == nil {
			t.Errorf("not recorded: %v", o.Reasons)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// What breaks closes the gate within seconds and is recorded; what comes back
// opens it again without waiting for the next hour.
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
				var log journal
				r := newRig(t, func(r *rig) { r.log = slog.New(slog.NewTextHandler(&log, nil)) })
				r.start(t)
				c.set(r, true)
				time.Sleep(2 * patience)
				if causes := r.Gate(); len(causes) != 1 || causes[0].Code != "self_test" {
					t.Errorf("gate %v, want it closed by the self-test", causes)
				}
				time.Sleep(time.Minute + 2*time.Second) // between two looks of a device in order
				c.set(r, false)
				time.Sleep(patience + 2*time.Second)
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

type fakeClock struct {
	start  time.Time
	mu     sync.Mutex
	jump   time.Duration
	offset time.Duration
}

func (c *fakeClock) Now() sensor.Mono { return sensor.Mono(time.Since(c.start)).Add(time.Hour) }

func (c *fakeClock) Pair() (sensor.Mono, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Now(), time.Now().Add(c.jump)
}

func (c *fakeClock) State() (sensor.ClockState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sensor.ClockState{Source: "simulated", Synchronised: true, Offset: c.offset, Uncertainty: time.Millisecond}, nil
}

func (c *fakeClock) drift(offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = offset
}

func (c *fakeClock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jump += by
}

type fakeSensor struct {
	identity sensor.Identity
	passages chan sensor.Passage
	mu       sync.Mutex
	err      error
}

func (s *fakeSensor) Identity() sensor.Identity { return s.identity }

func (s *fakeSensor) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeSensor) Next(ctx context.Context) (sensor.Passage, error) {
	for {
		s.mu.Lock()
		err := s.err
		s.mu.Unlock()
		if err != nil {
			return sensor.Passage{}, err
		}
		select {
		case <-ctx.Done():
			return sensor.Passage{}, ctx.Err()
		case p := <-s.passages:
			return p, nil
		case <-time.After(time.Second):
		}
	}
}

// fakeCamera gives 12.5 pictures a second, until stopAfter when it is not 0.
type fakeCamera struct {
	clock     *fakeClock
	picture   []byte
	test      bool
	stopAfter time.Duration
	dead      atomic.Bool // gives nothing while it is set
	unplugged atomic.Bool // says so while it is set
	media     string      // of its pictures; "" for image/jpeg
	number    uint64
}

func (c *fakeCamera) Info() capture.Info { return capture.Info{Model: "fake", Test: c.test} }

func (c *fakeCamera) Next(ctx context.Context) (capture.Frame, error) {
	if c.stopAfter != 0 && time.Since(c.clock.start) > c.stopAfter {
		<-ctx.Done()
		return capture.Frame{}, ctx.Err()
	}
	for wait := true; wait; wait = c.dead.Load() {
		select {
		case <-ctx.Done():
			return capture.Frame{}, ctx.Err()
		case <-time.After(80 * time.Millisecond):
		}
	}
	if c.unplugged.Load() {
		return capture.Frame{}, errors.New("unplugged")
	}
	c.number++
	return capture.Frame{
		Number: c.number, At: c.clock.Now(), Exposure: time.Millisecond, MediaType: cmp.Or(c.media, "image/jpeg"), Data: c.picture,
	}, nil
}

// noNetwork reaches no broker.
type noNetwork struct{}

func (noNetwork) Dial(context.Context, uplink.SessionOptions) (uplink.Session, error) {
	return nil, errors.New("no network")
}

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 32, 24)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestIdentityIsMadeOnce(t *testing.T) {
	c := config.Default()
	dir := t.TempDir()
	c.Device.Key, c.Device.Certificate = dir+"/new/evidence.key", dir+"/device.crt"
	log := slog.New(slog.DiscardHandler)
	first, certificate, err := identity(c, evidence.DeviceID{1}, log)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := identity(c, evidence.DeviceID{1}, log)
	if err != nil || again.KeyID() != first.KeyID() || !bytes.Equal(same, certificate) {
		t.Errorf("the second start has key %v, %v; want %v", again, err, first.KeyID())
	}
	if left, err := os.ReadDir(dir + "/new"); err != nil || len(left) != 1 {
		t.Errorf("beside the key: %v, %v", left, err)
	}
	c.Device.Key = dir + "/other.key"
	if _, _, err := identity(c, evidence.DeviceID{1}, log); err == nil || !strings.Contains(err.Error(), "not of the key") {
		t.Errorf("a certificate of another key: %v", err)
	}
	c.Device.Certificate = dir + "/absent/device.crt"
	if _, _, err := identity(c, evidence.DeviceID{1}, log); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestMainRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":      nil,
		"unknown command": {"mesure"},
		"half a command":  {"outbox"},
		"unknown flag":    {"version", "--verbose"},
	} {
		if code := Main(args, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%s: exit %d, want %d", name, code, exitUsage)
		}
	}
	var out bytes.Buffer
	if code := Main([]string{"help"}, &out, io.Discard); code != exitGood || !bytes.Contains(out.Bytes(), []byte("measure")) {
		t.Errorf("help: exit %d, prints %s", code, fmt.Sprintf("%.80s", out.String()))
	}
}
