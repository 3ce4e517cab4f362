package device

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"ciglio/agent/enforce"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/uplink/outbox"
)

// How the shots of a violation lie around the photo position.
const (
	shotSpacing = 240 * time.Millisecond
	// shotWithin is how far a frame may be from the instant it stands for: one
	// and a half intervals of the slowest camera, 10 frames a second.
	shotWithin = 150 * time.Millisecond
	// shotPatience is how long after its instant the last frame may come: it
	// travels, and a raw picture is compressed first.
	shotPatience = time.Second
)

const (
	// waiting is how many passages may wait for their judgement, and how many
	// violations for their second speed: more than vehicles can pass in a second.
	// Beyond that the sensor has to wait.
	waiting = 32
	// coverPatience is how long a violation waits until the pace of the samples that it
	// was measured from is known: half as long again as that takes.
	coverPatience = 15 * time.Second
	// finishing is how long what has passed may still be judged and sealed when the
	// device is to end.
	finishing = 30 * time.Second
)

// What may still keep a violation from being sealed while the store is waited for.
var (
	errClosed  = errors.New("the gate has closed")
	errStepped = errors.New("UTC has jumped")
	errDoubt   = errors.New("the record would contradict itself")
)

// A violation is a passage that exceeds the limit, with its pictures. What it
// still waits for is the second speed.
type violation struct {
	outcome Outcome
	day     string // of the balance
	photo   sensor.Mono
	shots   []capture.Shot
}

// measure turns passages into records until ctx ends or the sensor does, and then
// finishes what has passed. A judgement may take seconds, for pictures, a second
// speed or slow flash. The sensor is read all the while: what its driver reads late
// it would also stamp late. Pictures are taken before the second speed is waited
// for, since the ring soon has others.
func (d *Device) measure(ctx context.Context) error {
	end, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-end.Done():
		case <-time.After(finishing):
			cancel()
		}
	})()
	listening, stop := context.WithCancel(ctx)
	defer stop()
	defer d.balance.save()
	passages, violations := make(chan arrival, waiting), make(chan violation, waiting)
	go func() {
		defer close(passages)
		d.listen(listening, passages)
		d.progress.deaf.Store(true)
	}()
	go func() {
		defer close(violations)
		for p := range passages {
			d.progress.judging.Store(int64(d.o.Clock.Now()))
			v, open := d.judge(end, p.Passage)
			v.day = p.day
			d.progress.judging.Store(0)
			if open {
				violations <- v
			} else {
				d.balance.settle(v.day, v.outcome)
				d.tell(v.outcome)
			}
		}
	}()
	var failed error
	for v := range violations { // to its end: then both goroutines have ended
		if failed != nil {
			continue // nothing can be stored any longer: what waits is dropped
		}
		d.progress.sealing.Store(int64(d.o.Clock.Now()))
		d.balance.save() // as pending: what becomes of it now, the chain says after a power cut
		failed = d.prove(end, &v)
		d.progress.sealing.Store(0)
		if failed != nil {
			stop()
			cancel()
			continue
		}
		d.balance.settle(v.day, v.outcome)
		d.tell(v.outcome)
	}
	return cmp.Or(failed, ctx.Err())
}

// An arrival is a passage with the civil day of the site on which it ended.
type arrival struct {
	sensor.Passage
	day string
}

// tell counts what became of a passage.
func (d *Device) tell(o Outcome) {
	d.telling.Lock()
	defer d.telling.Unlock()
	if way := d.o.Config.Site.Direction; d.o.Second != nil && o.Passage.Valid() && (way == sensor.DirectionUnknown || way == o.Passage.Direction) {
		d.o.Second.Saw()
	}
	d.tally.count(o)
	if !d.InService() {
		d.aim.radar.Passed(o.Passage)
	}
	if since, ok := d.service.since(); ok && o.Passage.End >= since {
		now, utc := d.o.Clock.Pair()
		d.seen.add(o.Passage, utc.Add(o.Passage.End.Sub(now)))
	}
	if d.o.Observe != nil {
		d.o.Observe(o)
	}
}

// listen hands on the passages of the sensor until ctx ends or the sensor does.
// After an error of the sensor it waits and asks again: a sensor that is
// unplugged may come back.
func (d *Device) listen(ctx context.Context, passages chan<- arrival) {
	var last string
	for {
		p, err := d.o.Source.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, io.EOF):
			d.o.Log.Info("sensor recording ended")
			return
		case err != nil:
			d.sensorFault.keep(err)
			if err.Error() != last {
				last = err.Error()
				d.o.Log.Error("sensor fault", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		last = ""
		d.sensorFault.keep(nil)
		now, utc := d.o.Clock.Pair()
		day := d.balance.capture(utc.Add(p.End.Sub(now)))
		select {
		case <-ctx.Done():
			d.balance.interrupt(day)
			return
		case passages <- arrival{p, day}:
		}
	}
}

// judge decides what becomes of one passage, and takes the pictures of one that is
// a violation: then open is true, and prove decides.
func (d *Device) judge(ctx context.Context, p sensor.Passage) (v violation, open bool) {
	o := &v.outcome
	o.Passage = p
	if !p.Valid() {
		o.Reasons = p.Reasons
		return v, false
	}
	v.photo = d.photoInstant(p)
	now, utc := d.o.Clock.Pair()
	rule, err := d.rules.On(utc.Add(v.photo.Sub(now)).In(d.zone))
	if err != nil { // UTC is not set yet: a battery, or the network, is missing
		o.Reasons = []sensor.Reason{sensor.ReasonClock}
		return v, false
	}
	limit, err := d.limit(utc.Add(d.first(p).Sub(now)), utc.Add(max(p.End, v.photo).Sub(now)), p.Lane)
	if err != nil {
		o.Reasons = []sensor.Reason{sensor.ReasonLimit}
		return v, false
	}
	o.Assessment = enforce.Assess(p.Speed, limit, rule)
	if !o.Assessment.Violation() {
		return v, false
	}
	if o.Reasons = d.objections(p); len(o.Reasons) > 0 {
		return v, false
	}
	v.shots, err = d.shots(ctx, v.photo)
	if err != nil {
		d.o.Log.Warn("violation without pictures", "error", err)
		o.Reasons = []sensor.Reason{sensor.ReasonFrameMissing}
		return v, false
	}
	if err = d.expose(ctx, v.shots); err != nil {
		d.o.Log.Warn("violation without the strobe's return", "error", err)
		o.Reasons = []sensor.Reason{sensor.ReasonStrobeMissing}
		return v, false
	}
	return v, true
}

// prove waits for the second speed of a violation and puts its record on flash.
// Only an error that no later violation can escape is returned.
func (d *Device) prove(ctx context.Context, v *violation) error {
	o := &v.outcome
	second, reason := d.confirm(ctx, o.Passage, v.shots)
	if reason != 0 {
		o.Reasons = []sensor.Reason{reason}
		return nil
	}
	if !d.covered(ctx, o.Passage.End) {
		d.o.Log.Warn("violation whose time base is not known")
		o.Reasons = []sensor.Reason{sensor.ReasonGate}
		return nil
	}
	var err error
	d.makeRoom()
	o.Record, err = d.record(o.Passage, o.Assessment, v.photo, v.shots, second)
	switch {
	case errors.Is(err, errClosed):
		o.Reasons = []sensor.Reason{sensor.ReasonGate}
	case errors.Is(err, errStepped):
		o.Reasons = []sensor.Reason{sensor.ReasonClock}
	case errors.Is(err, errDoubt):
		d.o.Log.Error("violation not sealed", "error", err)
		o.Reasons = []sensor.Reason{sensor.ReasonContradiction}
	case errors.Is(err, outbox.ErrClosed), errors.Is(err, outbox.ErrDamaged): // recovery at the next start
		return err
	case errors.Is(err, outbox.ErrFull):
		o.Reasons = []sensor.Reason{sensor.ReasonStoreFull}
	case err != nil:
		d.o.Log.Error("violation not stored", "error", err)
		o.Reasons = []sensor.Reason{sensor.ReasonStoreFault}
	}
	return nil
}

// covered waits until the sensor's time base is known to have been right up to an
// instant, and reports whether it was.
func (d *Device) covered(ctx context.Context, at sensor.Mono) bool {
	if d.o.Live == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, coverPatience)
	defer cancel()
	for d.o.Live.Covered() < at {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
	return true
}

// objections returns why a passage that exceeds the limit is no evidence.
func (d *Device) objections(p sensor.Passage) []sensor.Reason {
	var reasons []sensor.Reason
	object := func(r sensor.Reason, when bool) {
		if when {
			reasons = append(reasons, r)
		}
	}
	site := d.o.Config.Site
	// The direction tells when it was at the photo position, where no range does, and
	// which vehicle of the picture it is.
	object(sensor.ReasonDirectionUndecided, p.Direction == sensor.DirectionUnknown)
	object(sensor.ReasonWrongDirection, site.Direction != sensor.DirectionUnknown && p.Direction != sensor.DirectionUnknown && p.Direction != site.Direction)
	object(sensor.ReasonTwoTargets, p.Targets > 0 && !d.o.Source.Identity().Separates)
	object(sensor.ReasonSecondMissing, d.needsSecond() != nil)
	object(sensor.ReasonOutOfRange, p.Speed > d.o.Config.Sensor.Maximum)
	object(sensor.ReasonUncertain, d.calibration.Uncertainty > 0 && p.Budget.Total() > d.calibration.Uncertainty)
	if step, jumped := d.steps.Look(); jumped {
		d.clockStepped(step)
	}
	d.makeRoom()
	now := d.gate.now()
	object(sensor.ReasonClock, d.steps.Jumped(d.first(p), now.mono, now.utc))
	object(sensor.ReasonGate, !d.gate.passes(now, d.first(p)))
	return reasons
}

// first is the earliest instant that a record of a passage speaks of. The photo
// position may lie before the track.
func (d *Device) first(p sensor.Passage) sensor.Mono { return min(p.Start, d.photoInstant(p)) }

// photoInstant is when the vehicle was at the photo position, as the sensor tells
// it. Otherwise the track of one that approaches ends beside the device, and that
// of one that recedes begins there.
func (d *Device) photoInstant(p sensor.Passage) sensor.Mono {
	if p.Photo != 0 {
		return p.Photo
	}
	const standing = 3600 // s
	seconds := min(d.o.Config.Site.PhotoRange.Metres()/p.Speed.MPS(), standing)
	away := time.Duration(math.Round(seconds * 1e9))
	if p.Direction == sensor.Receding {
		return p.Start.Add(away)
	}
	return p.End.Add(-away)
}

// shots takes the pictures of a violation out of the ring, once the last of
// them is there.
func (d *Device) shots(ctx context.Context, photo sensor.Mono) ([]capture.Shot, error) {
	n := d.o.Config.Site.Frames
	last := photo.Add(time.Duration(n/2) * shotSpacing)
	wait, cancel := context.WithTimeout(ctx, last.Sub(d.o.Clock.Now())+shotPatience)
	defer cancel()
	if err := d.ring.Wait(wait, last); err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return d.ring.Shots(photo, n, shotSpacing, shotWithin)
}

// record seals a violation and puts it on flash with its pictures and trace.
// second is nil at a site without a second sensor. It returns [errClosed] or
// [errStepped] when the gate has closed, or UTC has jumped, since it was judged.
func (d *Device) record(p sensor.Passage, a enforce.Assessment, photo sensor.Mono, shots []capture.Shot, second *confirmation) (*evidence.Sealed, error) {
	identity := d.o.Source.Identity()
	blobs := make([][]byte, 0, len(shots)+1)
	for _, s := range shots {
		blobs = append(blobs, s.Frame.Data)
	}
	blobs = append(blobs, p.Trace.Data)
	kind, body := evidence.KindViolation, evidence.Body(nil)
	if why := d.whyTest(); why != "" {
		kind, body = evidence.KindTest, evidence.Body{1: why}
	}
	return d.recorder.add(kind, body, blobs, func(r *evidence.Record, hashes []evidence.Hash) error {
		// It may have waited for the second speed and the store since it was judged: what
		// the record itself says of the clock must be as good.
		first := d.first(p)
		if d.steps.Jumped(first, r.Mono, r.UTC) {
			return errStepped
		}
		// There is room: the store has let it in.
		at := moment{mono: r.Mono, utc: r.UTC, clock: r.Clock, room: true}
		if !d.gate.passes(at, first) {
			return errClosed
		}
		// UTC is that of the photo position: the pair just read, carried back
		// along the monotonic clock.
		r.Mono, r.UTC = photo, r.UTC.Add(photo.Sub(r.Mono)).Truncate(time.Microsecond)
		for i, s := range shots {
			r.Frames = append(r.Frames, evidence.Frame{
				Role:      s.Role,
				MediaType: s.Frame.MediaType,
				SHA256:    hashes[i],
				Length:    uint32(len(s.Frame.Data)),
				Number:    s.Frame.Number,
				Mono:      s.Frame.At,
				Exposure:  s.Frame.Exposure.Truncate(time.Microsecond),
				Cut:       uint32(min(int64(s.Frame.Cut), math.MaxUint32)),
				Strobe:    s.Strobe,
			})
		}
		r.Trace = &evidence.Trace{
			SHA256:   hashes[len(shots)],
			Length:   uint32(len(p.Trace.Data)),
			Format:   p.Trace.Format,
			Model:    identity.Model,
			Serial:   identity.Serial,
			Settings: sha256.Sum256(identity.Settings),
			Samples:  uint64(p.Trace.Samples),
			First:    p.Trace.First,
			Last:     p.Trace.Last,
		}
		r.Measurement = &evidence.Measurement{
			Speed:       a.Measured,
			Indicated:   a.Indicated,
			Reduction:   a.Reduction,
			Assessed:    a.Assessed,
			Limit:       a.Limit,
			Rule:        a.Rule,
			Direction:   p.Direction,
			Uncertainty: p.Budget.Total(),
			Budget:      p.Budget,
			Targets:     uint16(min(p.Targets, math.MaxUint16)),
			Start:       p.Start,
			End:         p.End,
			Photo:       photo,
		}
		lane := p.Lane
		if second != nil {
			r.Measurement.Second = &second.second
			lane = cmp.Or(second.lane, lane)
		}
		site := d.site
		site.Lane = uint8(min(max(lane, 0), math.MaxUint8))
		r.Site = &site
		statement, err := d.settings()
		if err == nil {
			err = r.Doubt(statement, d.o.Calibration)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errDoubt, err)
		}
		return nil
	})
}

// whyTest says why what this device records accuses nobody; empty when it does.
func (d *Device) whyTest() string {
	var parts []string
	add := func(name string, simulated bool) {
		if simulated {
			parts = append(parts, name)
		}
	}
	state, _ := d.o.Clock.State()
	add("radar", d.o.Source.Identity().Simulated)
	add("camera", d.o.Camera.Info().Test)
	add("clock", state.Source == clock.SimulatedSource)
	switch n := len(parts) - 1; {
	case n < 0:
		return ""
	case n == 0 && parts[0] == "camera":
		return "pictures not taken by a camera on the road"
	case n == 0:
		return "simulated " + parts[0]
	default:
		return "simulated " + strings.Join(parts[:n], ", ") + " and " + parts[n]
	}
}
