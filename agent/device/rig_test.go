package device

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/rules"
	"ciglio/agent/site"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	"ciglio/capture/strobe"
	"ciglio/cross/simulate/simcam"
	"ciglio/cross/statement"
	"ciglio/sensor"
	"ciglio/sensor/tamper"
	"ciglio/sensor/track"
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

// calibrationText returns the statement of its sensor.
func calibrationText() []byte {
	return statement.Calibration{
		ID: "A-117", Serial: "S1", Core: evidence.Hash{2}, Uncertainty: "1km/h",
		From: time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2000, 6, 1, 0, 0, 0, 0, time.UTC),
		Checked: time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC),
	}.Text()
}

// A rig is a device whose sensor, camera and clock are played by a test. Time
// is that of a synctest bubble, which begins at midnight of 2000-01-01.
type rig struct {
	*Device
	config  *config.Config
	outbox  *outbox.Outbox
	dir     string // of the outbox
	clock   *fakeClock
	sensor  *fakeSensor
	live    *LiveSource // in place of sensor, when a test sets it
	camera  *fakeCamera
	wrapped capture.Camera // in place of camera, when a test sets it
	strobe  *strobe.Strobe
	second  Second
	tamper  *tamper.Watch
	site    *site.Statement

	rules      *rules.Document
	rulesFault error

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
	c.Device.Dir = t.TempDir()
	r := &rig{
		config: c,
		clock:  &fakeClock{start: time.Now()},
		sensor: &fakeSensor{passages: make(chan sensor.Passage), identity: sensor.Identity{Model: "fake", Serial: "S1", Separates: true}},
		camera: &fakeCamera{pictures: simcam.Noise(17, 32, 24)},
		log:    slog.New(slog.DiscardHandler),
	}
	r.camera.clock = r.clock
	if change != nil {
		change(r)
	}
	signer, err := key.CreateFile(t.TempDir() + "/evidence.key")
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
	var camera capture.Camera = r.camera
	if r.wrapped != nil {
		camera = r.wrapped
	}
	var live Live
	if r.live != nil {
		source, live = r.live, r.live
		t.Cleanup(r.live.Close)
	}
	r.Device, err = New(Options{
		Config: c, Calibration: calibrationText(), Certificate: evidence.Hash{1}, Software: evidence.Software{Version: "1.2.3", Core: evidence.Hash{2}, Binary: evidence.Hash{3}},
		Signer: signer, Clock: r.clock, Source: source, Live: live, Second: r.second, Tamper: r.tamper, Site: r.site, Rules: r.rules, RulesFault: r.rulesFault, Camera: camera, Strobe: r.strobe,
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

// fakeLive is a sensor in order that tells of itself what a test says.
type fakeLive struct {
	clock   sensor.Clock
	turned  func() sensor.Mono // nil for all the time
	covered func() sensor.Mono // the same

	mu    sync.Mutex
	fault error
}

func (l *fakeLive) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func (l *fakeLive) Fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *fakeLive) Findings(sensor.Mono) []sensor.Finding { return nil }
func (l *fakeLive) Ready() bool                           { return true }
func (l *fakeLive) Tally() sensor.Tally                   { return sensor.Tally{Broken: 3} }
func (l *fakeLive) Tracks() track.Counters                { return track.Counters{Ignored: 5} }
func (l *fakeLive) Keep() error                           { return nil }
func (l *fakeLive) Turned() sensor.Mono                   { return l.or(l.turned) }
func (l *fakeLive) Covered() sensor.Mono                  { return l.or(l.covered) }

func (l *fakeLive) or(told func() sensor.Mono) sensor.Mono {
	if told == nil {
		return l.clock.Now()
	}
	return told()
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
	p.Trace.First, p.Trace.Last = p.Start, p.End
	before := len(r.told())
	r.sensor.passages <- p
	for range 30 { // contacts may wait for who comes behind
		time.Sleep(2 * time.Second)
		if synctest.Wait(); len(r.told()) > before {
			break
		}
	}
	return r.told()[before]
}

// told returns what became of the passages so far.
func (r *rig) told() []Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes
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

// single makes the sensor one that cannot tell two vehicles apart.
func single(r *rig) { r.sensor.identity.Separates = false }

// A logText is a log that can be read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *logText) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *logText) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

type fakeClock struct {
	start  time.Time
	mu     sync.Mutex
	jump   time.Duration
	offset time.Duration
	source string // "adjtimex" when empty
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
	return sensor.ClockState{Source: cmp.Or(c.source, "adjtimex"), Synchronised: true, Offset: c.offset, Uncertainty: time.Millisecond}, nil
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

// fakeCamera gives pictures, 12.5 a second unless it is told otherwise, until stopAfter when it is not 0.
type fakeCamera struct {
	clock     *fakeClock
	pictures  [][]byte      // in turn
	every     time.Duration // from one to the next; 0 means 80 ms
	test      bool
	stopAfter time.Duration
	dead      atomic.Bool // gives nothing while it is set
	unplugged atomic.Bool // says so while it is set
	cut       int         // bytes behind each picture
	media     string      // of its pictures; "" for image/jpeg
	number    uint64
	odd       capture.Odd
}

func (c *fakeCamera) Odd() capture.Odd { return c.odd }

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
		case <-time.After(cmp.Or(c.every, 80*time.Millisecond)):
		}
	}
	if c.unplugged.Load() {
		return capture.Frame{}, errors.New("unplugged")
	}
	c.number++
	return capture.Frame{
		Number: c.number, At: c.clock.Now(), Exposure: time.Millisecond, MediaType: cmp.Or(c.media, "image/jpeg"),
		Data: c.pictures[c.number%uint64(len(c.pictures))], Cut: c.cut,
	}, nil
}

// noNetwork reaches no broker.
type noNetwork struct{}

func (noNetwork) Dial(context.Context, uplink.SessionOptions) (uplink.Session, error) {
	return nil, errors.New("no network")
}
