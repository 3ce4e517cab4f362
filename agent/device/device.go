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
	"path/filepath"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // the calendar day at the site, on boards without zone files

	"golang.org/x/sync/errgroup"

	"ciglio/agent/calibration"
	"ciglio/agent/config"
	"ciglio/agent/enforce"
	"ciglio/agent/rules"
	"ciglio/agent/site"
	"ciglio/agent/trust"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/life"
	"ciglio/capture/strobe"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/sensor/tamper"
	"ciglio/sensor/track"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// Signer is an evidence key in operation.
type Signer interface {
	evidence.Signer
	Class() string // "file", "tpm2" or "se"
}

// Options is what a device is made of. Every field but Live, Second, Strobe, Tamper,
// Deeds, Export, Diagnostics, Supervisor and Observe is needed.
type Options struct {
	Config      *config.Config
	Calibration []byte // the calibration statement
	// Site is the installed site, which Config was given already; nil for that of the
	// configuration alone. Register is the installed extract; nil for none.
	Site *site.Statement
	// Rules are the installed rules of the law; nil for the program's own. RulesFault
	// says why those that are installed cannot be used: then nothing is measured.
	Rules      *rules.Document
	RulesFault error
	// SoftwareFault says why the running program is not the one that was installed by a
	// signed bundle; nil when it is, and where none was. While it says so nothing is
	// measured.
	SoftwareFault error
	Register      *trust.Register
	Certificate   evidence.Hash // of the evidence key's certificate, DER
	Signer        Signer
	Software      evidence.Software // the running program
	Clock         sensor.Clock
	Source        sensor.Source
	Live          Live   // what the source tells of itself; nil for nothing
	Second        Second // nil where the configuration wants none
	Camera        capture.Camera
	Strobe        *strobe.Strobe // nil where there is none
	Tamper        *tamper.Watch  // of the cabinet; nil where nothing is watched
	Outbox        *outbox.Outbox
	Dialer        uplink.Dialer
	Trust         *evidence.Trust // whose receipts count
	Boot          [16]byte        // names the run of the kernel that Clock counts from
	Log           *slog.Logger
	// Deeds are acts to record behind the start: what was done to the device before.
	Deeds []Deed
	// Export executes what only an officer orders, and says in words what came of it;
	// nil where that part is not there. Diagnostics gives an answer of at
	// most evidence.MaxAnswer bytes and its media type; nil for none.
	Export      func(*wire.Order, *evidence.Act) (string, error)
	Diagnostics func() (answer []byte, media string, err error)
	// Supervisor is told how the device does; nil for nobody.
	Supervisor Supervisor
	// Observe is called for each passage once its fate is known, on the
	// measuring goroutine; nil for nobody.
	Observe func(Outcome)
}

// Live is what a sensor in operation tells of itself. [LiveSource] is one. Its
// methods may be called at any time and do not wait.
type Live interface {
	// Fault says why the sensor does not measure now; nil when it does. Without it
	// the errors of Source.Next tell for some seconds each.
	Fault() error
	// Findings says what else is wrong with it.
	Findings(now sensor.Mono) []sensor.Finding
	// Ready reports whether enough is known of it for a first self-test.
	Ready() bool
	// Covered is the instant up to which its time base is known to be right. A
	// violation waits until that is behind it.
	Covered() sensor.Mono
	// Turned is when its driver last came back with something, or with an error.
	// Without it nobody notices that it hangs.
	Turned() sensor.Mono
	// Tally says what became of what came from it, and Tracks of its readings; the
	// latter is zero for a sensor that gives samples.
	Tally() sensor.Tally
	Tracks() track.Counters
	// Keep writes down what was learnt of the site. It may wait for flash.
	Keep() error
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
	o           Options
	id          evidence.DeviceID
	rules       enforce.Table
	zone        *time.Location
	calibration *trust.Calibration
	site        evidence.Site
	sender      *uplink.Sender
	ring        *capture.Ring
	life        *life.Watch
	sharpness   learnt // of the camera
	aim         *aimed
	steps       *clock.Watcher

	faults   *faults
	seals    *seals
	gate     *gatekeeper
	recorder *recorder
	orders   *orders
	progress progress
	tally    tally
	balance  *balance
	service  service
	seen     seen

	sensorFault, cameraFault failure // that they reported last

	telling sync.Mutex // Observe hears of one passage at a time
}

// New checks the parts of a device and joins them. It starts nothing.
func New(o Options) (*Device, error) {
	if err := checkSecond(o); err != nil {
		return nil, err
	}
	d := &Device{o: o}
	var err error
	if d.id, err = evidence.ParseDeviceID(o.Config.Device.ID); err != nil {
		return nil, err
	}
	switch {
	case o.RulesFault != nil: // there is no table
	case o.Rules != nil:
		d.rules = o.Rules.Table
	default:
		if d.rules, err = enforce.Italy(); err != nil {
			return nil, err
		}
	}
	if d.zone, err = time.LoadLocation(o.Config.Site.TimeZone); err != nil {
		return nil, err
	}
	if d.calibration, err = calibration.Parse(o.Calibration); err != nil {
		return nil, err
	}
	settings, err := d.settings()
	if err != nil {
		return nil, err
	}
	place := o.Config.Site
	d.site = evidence.Site{
		ID:        place.ID,
		Road:      place.Road,
		Position:  uint32(min(int64(place.Position/1000), math.MaxUint32)),
		Latitude:  int32(place.Latitude),
		Longitude: int32(place.Longitude),
		Heading:   uint16(place.Heading),
	}
	d.ring = capture.NewRing(o.Config.Camera.Slots, int(o.Config.Camera.Slot))
	d.sharpness = learnt{file: filepath.Join(o.Config.Device.Dir, "camera-normal"), log: o.Log}
	d.life = life.New(d.ring, life.Options{
		Normal: read(&d.sharpness, cameraName(o.Camera), life.ParseNormal),
		Model:  o.Camera.Info().Model, Fastest: o.Config.Sensor.Maximum, PhotoRange: place.PhotoRange.Metres(),
		North: float64(place.Latitude) / 1e7, East: float64(place.Longitude) / 1e7,
		Noiseless: func() bool { return o.Camera.Info().Test },
	})
	d.aim = d.newAimed()
	var interrupted []Deed
	d.orders, interrupted = newOrders(d)
	d.recorder = d.newRecorder(settings, interrupted)
	d.sensorFault.clock, d.cameraFault.clock, d.service.clock = o.Clock, o.Clock, o.Clock
	var watched []string
	if o.Tamper != nil {
		watched = o.Tamper.Names()
	}
	_, utc := o.Clock.Pair()
	d.balance = newBalance(o.Config.Device.Dir, d.zone, o.Outbox, utc, o.Log)
	d.seals = newSeals(o.Config.Device.Dir, watched, o.Outbox.Report().Fresh, o.Log)
	d.faults = &faults{clock: o.Clock, checks: d.checks()}
	d.gate = &gatekeeper{
		clock: o.Clock,
		still: trust.Facts{
			Zone: d.zone, Unplaced: !o.Config.Placed(), Road: place.Road, Position: d.site.Position, Calibration: d.calibration, Core: o.Software.Core,
			ClockBound: o.Config.Clock.Bound, Register: o.Register, Software: o.SoftwareFault,
		},
		serial: func() string { return o.Source.Identity().Serial },
		rules:  d.ruled, selfTest: d.faults.now, tested: d.faults.last, seals: d.seals.broken, sealFaults: d.sealFaults, room: d.recorder.room, service: d.service.closed, paused: d.orders.words, log: o.Log,
		changed: func() { d.sender.Refresh() },
	}
	if o.Site != nil {
		d.gate.still.Decree, d.gate.still.Functional = o.Site.Decree, o.Site.Functional
		if v := o.Site.Variable; v != nil {
			d.gate.still.Sign = fmt.Errorf("%w: nothing of this device reads %s", enforce.ErrSignUnknown, v.Source)
		}
	}
	d.sender, err = uplink.NewSender(uplink.SenderOptions{
		Store: o.Outbox, Dialer: o.Dialer, Device: d.id, Shard: o.Config.Uplink.Shard,
		CentreKey: CentreKeys(o.Trust), Boot: o.Boot, Sequence: uint64(o.Clock.Now()) / uint64(time.Second),
		Health: d.health, Profile: d.profile, Order: d.orders.receive, Log: o.Log,
	})
	return d, err
}

// settings returns what a measurement depends on, as it is sealed into the chain.
func (d *Device) settings() ([]byte, error) {
	statement, err := d.o.Site.Sealed(d.o.Config)
	return d.o.Rules.Sealed(statement), err
}

// ruled says why no rule of the law is known at a time; nil when one is.
func (d *Device) ruled(utc time.Time) error {
	if d.o.RulesFault != nil {
		return d.o.RulesFault
	}
	_, err := d.rules.On(utc.In(d.zone))
	return err
}

// decree returns the prefect's decree of the site.
func (d *Device) decree() trust.Permit {
	if d.o.Site != nil {
		return d.o.Site.Decree
	}
	return d.calibration.Decree
}

// errUnplaced says that nobody has said where the device stands.
var errUnplaced = errors.New("there is no site")

// limit returns the limit for a passage of a lane from one instant to another. It must
// be the same as far as the clock may be off: nobody is judged by the other side of a
// full hour.
func (d *Device) limit(from, to time.Time, lane int) (sensor.Speed, error) {
	switch {
	case !d.o.Config.Placed():
		return 0, errUnplaced
	case d.o.Site == nil:
		return d.o.Config.Site.Limit, nil
	}
	off := d.o.Config.Clock.Bound
	l, err := d.o.Site.Calendar.Constant(from.Add(-off), to.Add(off), lane, 0)
	return l.Speed, err
}

// newRecorder returns what makes the records under the given settings. interrupted
// are acts that ended with the last run.
func (d *Device) newRecorder(settings []byte, interrupted []Deed) *recorder {
	place := d.o.Config.Site
	common := evidence.Record{
		Device: d.id,
		Boot:   d.o.Boot,
		Calibration: &evidence.Calibration{
			Statement: evidence.Statement{
				ID: d.calibration.ID, Version: d.calibration.Version, SHA256: sha256.Sum256(d.o.Calibration),
			},
			NotAfter: d.calibration.NotAfter,
			Approval: d.calibration.Approval.Words,
			Decree:   d.decree().Words,
		},
		Configuration: evidence.Statement{ID: place.ID, Version: uint64(place.Version), SHA256: sha256.Sum256(settings)},
		Software:      d.o.Software,
		Key:           evidence.KeyInfo{Certificate: d.o.Certificate, Class: d.o.Signer.Class()},
	}
	if d.o.Config.Placed() {
		common.Site = &d.site
	}
	return &recorder{
		store: d.o.Outbox, clock: d.o.Clock, signer: d.o.Signer, log: d.o.Log, common: common,
		opening: beginning(d.o.Outbox.Report(), replaced(lastRecord(d.o.Outbox), common), slices.Concat(interrupted, d.o.Deeds), d.o.Calibration, settings),
	}
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
	if err := d.recorder.begin(); err != nil {
		return err
	}
	d.steps = clock.NewWatcher(d.o.Clock)
	g, ctx := errgroup.WithContext(ctx)
	// The rest lives until what has passed is judged and sealed.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	camera := d.o.Camera
	if d.o.Strobe != nil {
		camera = strobed{camera, d.o.Strobe}
		g.Go(func() error { return d.o.Strobe.Run(inner) })
	}
	g.Go(func() error { return d.ring.Run(inner, camera, d.cameraFault.reporter(d.tellCamera)) })
	g.Go(func() error { return d.life.Run(inner, d.o.Clock) })
	g.Go(func() error { return d.aim.camera.Run(inner, d.ring, d.o.Clock, d.InService) })
	g.Go(func() error { return d.watchCabinet(inner) })
	g.Go(func() error { return d.sender.Run(inner) })
	if d.o.Second != nil {
		g.Go(func() error { return d.o.Second.Run(inner) })
	}
	g.Go(func() error { return d.housekeeping(inner) })
	g.Go(func() error { return d.supervise(inner) })
	g.Go(func() error { return d.orders.run(inner) })
	g.Go(func() error { return d.steps.Run(inner, time.Second, d.clockStepped) })
	g.Go(func() error {
		defer stop() // a recording that ends, ends the device
		return d.measure(ctx)
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	d.keep()
	if failed := d.end(err); errors.Is(failed, outbox.ErrFull) {
		d.o.Log.Error("shutdown not recorded", "error", failed)
	} else {
		err = errors.Join(err, failed)
	}
	return err
}

func (d *Device) tellCamera(err error) { d.o.Log.Warn("camera fault", "error", err) }

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
	d.await(ctx)
	for next := time.Now(); ctx.Err() == nil; {
		d.progress.looking.Store(int64(d.o.Clock.Now()))
		if err := d.recorder.begin(); err != nil {
			return err
		}
		if err := d.recorder.tryAgain(d.heart); err != nil {
			return err
		}
		d.testSelf()
		d.tellAim()
		d.makeRoom()
		causes := d.gate.look()
		if !time.Now().Before(next) {
			next = next.Add(period)
			beat := d.heart()
			d.recorder.noteOrLog(beat.kind, beat.body)
			d.expire()
			d.keep()
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

// await waits until sensor and camera have shown what they do. What does not come
// within the patience is what the self-test finds; a sensor that has come may take
// as long as it takes to know its pace.
func (d *Device) await(ctx context.Context) {
	began := time.Now()
	first, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = d.ring.Wait(first, 0)
	for live := d.o.Live; live != nil && !live.Ready() && ctx.Err() == nil; {
		if took := time.Since(began); took >= coverPatience || took >= patience && live.Fault() != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// keep writes down what was learnt of the site.
func (d *Device) keep() {
	var err error
	if n := d.life.Normal(); n != (life.Normal{}) {
		err = d.sharpness.keep(n.Text(cameraName(d.o.Camera)))
	}
	err = errors.Join(err, d.aim.keep())
	if d.o.Live != nil {
		err = errors.Join(err, d.o.Live.Keep())
	}
	if err != nil {
		d.o.Log.Warn("what was learnt of the site is not kept", "error", err)
	}
}

// cameraName tells a camera from another one, whose pictures are no measure of its own.
func cameraName(c capture.Camera) string {
	info := c.Info()
	return fmt.Sprintf("%q %q", info.Model, info.Serial)
}

// expire lets retention drop what is settled, and records what it dropped.
func (d *Device) expire() {
	_, utc := d.o.Clock.Pair()
	dropped, err := d.o.Outbox.Expire(utc)
	if err != nil {
		d.o.Log.Error("retention failed", "error", err)
	}
	for _, r := range dropped {
		d.recorder.noteOrLog(evidence.KindEviction, evidence.Body{1: r.From, 2: r.To})
	}
}

// makeRoom drops settled records before their time when there is no room for a
// violation: they must not keep the gate closed until the hour is over.
func (d *Device) makeRoom() {
	if !d.o.Outbox.Room(true) {
		d.expire()
	}
}

// testSelf finds out whether the device is in order, and records and logs every
// finding when others stand than before.
func (d *Device) testSelf() {
	findings, changed := d.faults.test()
	if !changed {
		return
	}
	body := selfTestBody(findings)
	d.o.Log.Info("self-test", "pass", len(findings) == 0, "finding", body[2])
	d.recorder.noteOrLog(evidence.KindSelfTest, body)
}

// Gate returns every cause for which the device may not measure now; none when
// it may.
func (d *Device) Gate() []trust.Cause {
	m := d.gate.now()
	causes, _, _ := d.gate.check(m, m.mono)
	return causes
}

// end records the shutdown and why.
func (d *Device) end(cause error) error {
	reason := "stopped"
	if cause != nil {
		reason = evidence.CleanText(cause.Error())
	}
	return d.recorder.note(evidence.KindShutdown, evidence.Body{1: reason})
}

// heart returns the record that says that the device lives, and what it has seen.
func (d *Device) heart() note {
	counts := d.Counts()
	var discards uint64
	for _, n := range counts.Discarded {
		discards += n
	}
	return note{evidence.KindHeartbeat, evidence.Body{
		1: counts.Passages, 2: counts.Violations, 3: uint64(d.o.Outbox.Stats().Unsettled), 4: discards,
	}}
}

// clockStepped records that UTC jumped. Passages it fell into are discarded.
func (d *Device) clockStepped(s clock.Step) {
	d.o.Log.Warn("clock stepped", "by", s.Size)
	state, err := d.o.Clock.State()
	if err != nil {
		state.Source = noClock
	}
	d.recorder.noteOrLog(evidence.KindClockStep, evidence.Body{1: int64(s.Size), 2: state.Source})
}

// Counts returns a copy of the counters.
func (d *Device) Counts() Counts { return d.tally.counts() }
