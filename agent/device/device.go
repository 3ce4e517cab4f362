// Package device joins the sensor, the camera, the gate, the evidence and the
// outbox into one life of a record.
//
// [Device.Run] keeps these promises. A record exists only when it is on flash. A
// violation is recorded only while the gate is open, only when it can be
// attributed to one vehicle, and only with its pictures and its raw trace.
// Passages that did not violate are counted and leave nothing behind. What is
// discarded is counted by its reason.
package device

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // the calendar day at the site, on boards without zone files

	"golang.org/x/sync/errgroup"

	"ciglio/agent/calibration"
	"ciglio/agent/config"
	"ciglio/agent/enforce"
	"ciglio/agent/trust"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// Signer is an evidence key in operation.
type Signer interface {
	evidence.Signer
	Class() string // "file", "tpm2" or "se"
}

// Options is what a device is made of. Every field but Fault, Turned, Second,
// Supervisor and Observe is needed.
type Options struct {
	Config      *config.Config
	Calibration []byte        // the calibration statement
	Certificate evidence.Hash // of the evidence key's certificate, DER
	Signer      Signer
	Software    evidence.Software // the running program
	Clock       sensor.Clock
	Source      sensor.Source
	// Fault says in what state the sensor does not measure, nil when it does, and
	// may be called at any time. Without it the errors of Source.Next tell for
	// some seconds each.
	Fault func() error
	// Turned is when the sensor's driver last came back with something, or with an
	// error. Without it nobody notices that it hangs.
	Turned func() sensor.Mono
	Second Second // nil where the configuration wants none
	Camera capture.Camera
	Outbox *outbox.Outbox
	Dialer uplink.Dialer
	Trust  *evidence.Trust // whose receipts count
	Boot   [16]byte        // names the run of the kernel that Clock counts from
	Log    *slog.Logger
	// Supervisor is told how the device does; nil for nobody.
	Supervisor Supervisor
	// Observe is called for each passage once its fate is known, on the
	// measuring goroutine; nil for nobody.
	Observe func(Outcome)
}

// An Outcome is what became of one passage.
type Outcome struct {
	Passage    sensor.Passage
	Assessment enforce.Assessment
	Reasons    []sensor.Reason  // why a violation was not recorded
	Record     *evidence.Sealed // the record; nil when there is none
}

// A Device runs one measuring place. Its methods are safe for concurrent use.
type Device struct {
	o             Options
	id            evidence.DeviceID
	rules         enforce.Table
	zone          *time.Location
	calibration   *trust.Calibration
	statements    struct{ calibration, configuration []byte }
	site          evidence.Site
	certificate   evidence.Calibration // what records say of the calibration
	configuration evidence.Statement   // and of the settings
	sender        *uplink.Sender
	ring          *capture.Ring
	steps         *clock.Watcher
	lastClosed    atomic.Int64 // instant at which the gate was last found closed; 0 when it was not
	opening       []note       // records of the start that are still to be made
	begun         atomic.Bool  // none of them is left
	judging       atomic.Int64 // instant at which the passage in hand was taken; 0 when there is none
	sealing       atomic.Int64 // the same of the violation in hand
	telling       sync.Mutex   // Observe hears of one passage at a time
	deaf          atomic.Bool  // the sensor is not listened to any more
	looking       atomic.Int64 // instant at which the device last began to look at itself; 0 before

	mu             sync.Mutex // guards what follows
	storeFault     error      // of the last record; nil when it is on flash
	selfTest       error      // what was found and recorded last
	sensorFault    error      // what the sensor failed with last
	faultAt        sensor.Mono
	pictureFault   error // of the camera or one of its pictures, the last one
	pictureFaultAt sensor.Mono
	gate           string // codes of the causes that were logged last
	gateWords      string // what they mean; "" before the first look
	counts         Counts
}

// Counts is what the device has seen since it was started.
type Counts struct {
	Passages   uint64                   `json:"passages"`   // vehicles with a speed
	Violations uint64                   `json:"violations"` // records of violations, or of tests that stand for one
	Discarded  map[sensor.Reason]uint64 `json:"discarded"`  // tracks that gave no evidence, by reason
}

// errSelfTestPending closes the gate until the first self-test has passed.
var errSelfTestPending = errors.New("not done yet")

// New checks the parts of a device and joins them. It starts nothing.
func New(o Options) (*Device, error) {
	if err := checkSecond(o); err != nil {
		return nil, err
	}
	d := &Device{o: o, selfTest: errSelfTestPending}
	d.counts.Discarded = map[sensor.Reason]uint64{}
	var err error
	if d.id, err = evidence.ParseDeviceID(o.Config.Device.ID); err != nil {
		return nil, err
	}
	if d.rules, err = enforce.Italy(); err != nil {
		return nil, err
	}
	if d.zone, err = time.LoadLocation(o.Config.Site.TimeZone); err != nil {
		return nil, err
	}
	if d.calibration, err = calibration.Parse(o.Calibration); err != nil {
		return nil, err
	}
	d.statements.calibration = o.Calibration
	if d.statements.configuration, err = o.Config.Statement(); err != nil {
		return nil, err
	}
	site := o.Config.Site
	d.site = evidence.Site{
		ID:        site.ID,
		Road:      site.Road,
		Position:  uint32(min(int64(site.Position/1000), math.MaxUint32)),
		Latitude:  int32(site.Latitude),
		Longitude: int32(site.Longitude),
		Heading:   uint16(site.Heading),
	}
	d.certificate = evidence.Calibration{
		Statement: evidence.Statement{
			ID: d.calibration.ID, Version: d.calibration.Version, SHA256: sha256.Sum256(d.statements.calibration),
		},
		NotAfter: d.calibration.NotAfter,
		Approval: d.calibration.Approval.Words,
		Decree:   d.calibration.Decree.Words,
	}
	d.configuration = evidence.Statement{
		ID: site.ID, Version: uint64(site.Version), SHA256: sha256.Sum256(d.statements.configuration),
	}
	d.sender, err = uplink.NewSender(uplink.SenderOptions{
		Store: o.Outbox, Dialer: o.Dialer, Device: d.id, Shard: o.Config.Uplink.Shard,
		CentreKey: CentreKeys(o.Trust), Boot: o.Boot, Sequence: uint64(o.Clock.Now()) / uint64(time.Second),
		Health: d.health, Profile: d.profile, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	d.ring = capture.NewRing(o.Config.Camera.Slots, int(o.Config.Camera.Slot))
	return d, nil
}

// CentreKeys returns what a sender asks whether a centre's key is to be trusted.
func CentreKeys(t *evidence.Trust) func(evidence.Hash, time.Time) (*ecdsa.PublicKey, error) {
	return func(kid evidence.Hash, at time.Time) (*ecdsa.PublicKey, error) {
		public, _, err := t.CentreKey(kid, at)
		return public, err
	}
}

// Run measures until ctx ends or a part fails for good. When it returns, every
// goroutine it started has ended and a record of the shutdown is on flash, if
// there was room. It returns nil when ctx ended, and when the sensor's recording
// ended.
//
// A device whose store is full runs all the same, with its gate closed: what it
// sends makes room. The record of its start follows then.
func (d *Device) Run(ctx context.Context) error {
	d.opening = d.beginning()
	if err := d.begin(); err != nil {
		return err
	}
	d.steps = clock.NewWatcher(d.o.Clock)
	g, ctx := errgroup.WithContext(ctx)
	// The rest lives until what has passed is judged and sealed.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g.Go(func() error { return d.ring.Run(inner, d.o.Camera, d.cameraFault()) })
	g.Go(func() error { return d.sender.Run(inner) })
	if d.o.Second != nil {
		g.Go(func() error { return d.o.Second.Run(inner) })
	}
	g.Go(func() error { return d.housekeeping(inner) })
	g.Go(func() error { return d.supervise(inner) })
	g.Go(func() error { return d.steps.Run(inner, time.Second, d.clockStepped) })
	g.Go(func() error {
		defer stop() // a recording that ends, ends the device
		return d.measure(ctx)
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if failed := d.end(err); errors.Is(failed, outbox.ErrFull) {
		d.o.Log.Error("shutdown not recorded", "error", failed)
	} else {
		err = errors.Join(err, failed)
	}
	return err
}

// cameraFault returns a reporter that logs a fault once for as long as it stays
// the same, whatever the number of the frame, and again after an hour.
func (d *Device) cameraFault() func(error) {
	var last string
	var at sensor.Mono
	return func(err error) {
		d.cameraFailed(err)
		what := err.Error()
		for _, bad := range []error{capture.ErrDamaged, capture.ErrTooLarge, capture.ErrOrder} {
			if errors.Is(err, bad) {
				what = bad.Error()
			}
		}
		if now := d.o.Clock.Now(); what != last || now.Sub(at) >= time.Hour {
			last, at = what, now
			d.o.Log.Warn("camera fault", "error", err)
		}
	}
}

// How often the device looks at itself, and how long a sensor or camera may be
// without a sign of life. One that works gives many in that time.
const (
	lookEvery = 10 * time.Second
	lookAgain = time.Second // while the gate is closed: it is told soon that it opens
	patience  = 5 * time.Second
)

// housekeeping tests the device and tells when the gate opens or closes. Every
// hour it also says that the device lives, and lets retention drop what is
// settled.
func (d *Device) housekeeping(ctx context.Context) error {
	const period = time.Hour
	first, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = d.ring.Wait(first, 0) // none within that time is what the self-test finds
	for next := time.Now(); ctx.Err() == nil; {
		d.looking.Store(int64(d.o.Clock.Now()))
		if err := d.begin(); err != nil {
			return err
		}
		if err := d.tryStore(); err != nil {
			return err
		}
		d.testSelf()
		d.makeRoom()
		causes := d.Gate()
		d.tellGate(causes)
		if !time.Now().Before(next) {
			next = next.Add(period)
			d.heartbeat()
			d.expire()
		}
		pause := lookEvery
		if len(causes) > 0 {
			pause = lookAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return ctx.Err()
}

// expire lets retention drop what is settled, and records what it dropped.
func (d *Device) expire() {
	_, utc := d.o.Clock.Pair()
	dropped, err := d.o.Outbox.Expire(utc)
	if err != nil {
		d.o.Log.Error("retention failed", "error", err)
	}
	for _, r := range dropped {
		d.noteOrLog(evidence.KindEviction, evidence.Body{1: r.From, 2: r.To})
	}
}

// makeRoom drops settled records before their time when there is no room for a
// violation: they must not keep the gate closed until the hour is over.
func (d *Device) makeRoom() {
	if !d.o.Outbox.Room(true) {
		d.expire()
	}
}

// testSelf finds out whether the device is in order, and records and logs the
// finding when it has changed.
func (d *Device) testSelf() {
	finding := d.look()
	d.mu.Lock()
	changed := (finding == nil) != (d.selfTest == nil) || errors.Is(d.selfTest, errSelfTestPending)
	d.selfTest = finding
	d.mu.Unlock()
	if !changed {
		return
	}
	pass, words := uint64(1), "sensor and camera work"
	if finding != nil {
		pass, words = 0, evidence.CleanText(finding.Error())
	}
	d.o.Log.Info("self-test", "pass", finding == nil, "finding", words)
	d.noteOrLog(evidence.KindSelfTest, evidence.Body{1: pass, 2: words})
}

// look returns what is wrong with the store, the sensors or the camera at this
// moment.
func (d *Device) look() error {
	now := d.o.Clock.Now()
	d.mu.Lock()
	failed := d.storeFault
	fault, at, noPicture, noPictureAt := d.sensorFault, d.faultAt, d.pictureFault, d.pictureFaultAt
	d.mu.Unlock()
	if failed != nil {
		return fmt.Errorf("records cannot be stored: %w", failed)
	}
	if d.o.Fault != nil {
		if err := d.o.Fault(); err != nil {
			return err
		}
	}
	if err := d.needsSecond(); err != nil {
		return fmt.Errorf("sensor %s: %w", d.o.Source.Identity().Model, err)
	}
	if fault != nil && now.Sub(at) <= patience {
		return fmt.Errorf("sensor %s: %w", d.o.Source.Identity().Model, fault)
	}
	if d.o.Second != nil {
		if err := d.o.Second.Fault(); err != nil {
			return fmt.Errorf("second sensor: %w", err)
		}
	}
	if newest, ok := d.ring.Newest(); !ok || now.Sub(newest) > patience {
		if noPicture != nil && noPictureAt >= newest {
			return noPicture
		}
		return fmt.Errorf("camera %s gives no pictures", d.o.Camera.Info().Model)
	}
	return nil
}

// cameraFailed keeps the camera's last fault for look.
func (d *Device) cameraFailed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pictureFault, d.pictureFaultAt = err, d.o.Clock.Now()
}

// sensorFailed keeps the sensor's fault for look; nil when it has none.
func (d *Device) sensorFailed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sensorFault, d.faultAt = err, d.o.Clock.Now()
}

// gateOpen says that nothing keeps the device from measuring.
const gateOpen = "gate open: the device measures"

// tellGate logs the causes for which the gate is closed, once for as long as
// they are the same, and has the centre told.
func (d *Device) tellGate(causes []trust.Cause) {
	codes, words := "gate", make([]string, len(causes))
	for i, c := range causes {
		codes += " " + c.Code
		words[i] = c.Code + " (" + c.Words + ")"
	}
	state := gateOpen
	if len(causes) > 0 {
		d.lastClosed.Store(int64(d.o.Clock.Now()))
		state = "gate closed: " + strings.Join(words, "; ")
	}
	d.mu.Lock()
	changed := codes != d.gate
	d.gate, d.gateWords = codes, state
	d.mu.Unlock()
	switch {
	case !changed:
		return
	case len(causes) == 0:
		d.o.Log.Info(gateOpen)
	default:
		d.o.Log.Warn("gate closed: the device does not measure", "causes", strings.Join(words, "; "))
	}
	d.sender.Refresh()
}

// Gate returns every cause for which the device may not measure now; none when
// it may.
func (d *Device) Gate() []trust.Cause {
	_, utc := d.o.Clock.Pair()
	return trust.Check(d.facts(utc))
}

// facts gathers what the gate is judged by at the instant utc.
func (d *Device) facts(utc time.Time) trust.Facts {
	state, err := d.o.Clock.State()
	d.mu.Lock()
	selfTest := d.selfTest
	d.mu.Unlock()
	if !errors.Is(selfTest, errSelfTestPending) {
		selfTest = d.look() // it may have changed since
	}
	return trust.Facts{
		At:           utc,
		Calibration:  d.calibration,
		SensorSerial: d.o.Source.Identity().Serial,
		Clock:        state,
		ClockError:   err,
		ClockBound:   d.o.Config.Clock.Bound,
		SelfTest:     selfTest,
		Room:         d.begun.Load() && d.o.Outbox.Room(true),
	}
}

// Counts returns a copy of the counters.
func (d *Device) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.counts
	c.Discarded = make(map[sensor.Reason]uint64, len(d.counts.Discarded))
	for r, n := range d.counts.Discarded {
		c.Discarded[r] = n
	}
	return c
}
