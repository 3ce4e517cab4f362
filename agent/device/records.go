package device

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ciglio/agent/calibration"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/uplink/outbox"
)

// noClock stands in a record for the source of UTC when the clock did not tell.
const noClock = "none"

// base returns a record of the given kind with all that every record says:
// where in the chain, when, by which program, key, calibration and settings.
func (d *Device) base(h outbox.Head, kind evidence.Kind) *evidence.Record {
	state, err := d.o.Clock.State()
	if err != nil {
		state = sensor.ClockState{Source: noClock}
	}
	mono, utc := d.o.Clock.Pair()
	return &evidence.Record{
		Kind:          kind,
		Device:        d.id,
		Epoch:         h.Epoch,
		Seq:           h.Next,
		Prev:          h.Prev,
		Ack:           h.Ack,
		Boot:          d.o.Boot,
		Mono:          mono,
		UTC:           utc.UTC().Truncate(time.Microsecond),
		Clock:         state,
		Site:          &d.site,
		Calibration:   &d.certificate,
		Configuration: d.configuration,
		Software:      d.o.Software,
		Key:           evidence.KeyInfo{Certificate: d.o.Certificate, Class: d.o.Signer.Class()},
	}
}

// note puts a record without measurement on flash.
func (d *Device) note(kind evidence.Kind, body evidence.Body) error {
	_, err := d.o.Outbox.Append(func(h outbox.Head) (*evidence.Sealed, error) {
		r := d.base(h, kind)
		r.Body = body
		return evidence.Seal(r, d.o.Signer)
	})
	return d.stored(err)
}

// stored keeps what the store said to the last record, for look. One that is full
// or closed says so itself. It returns err.
func (d *Device) stored(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.storeFault = nil
	if err != nil && !errors.Is(err, outbox.ErrFull) && !errors.Is(err, outbox.ErrClosed) {
		d.storeFault = err
	}
	return err
}

// tryStore tries a store that failed, with a heartbeat. It returns an error when
// only the recovery of another start can help.
func (d *Device) tryStore() error {
	d.mu.Lock()
	fault := d.storeFault
	d.mu.Unlock()
	if fault == nil {
		return nil
	}
	if err := d.note(evidence.KindHeartbeat, d.heart()); errors.Is(err, outbox.ErrDamaged) {
		return err
	}
	return nil
}

// noteOrLog is note for what a device can live without having recorded: a full
// or failing store closes the gate, which says so, and does not end the device.
func (d *Device) noteOrLog(kind evidence.Kind, body evidence.Body) {
	if err := d.note(kind, body); err != nil {
		d.o.Log.Error("not recorded", "kind", kind.String(), "error", err)
	}
}

// A note is a record without measurement, before it has a place in the chain.
type note struct {
	kind evidence.Kind
	body evidence.Body
}

// beginning returns the records of a start: what recovery found, and the
// statements in force, so that every later record can be understood from the
// chain alone.
func (d *Device) beginning() []note {
	report := d.o.Outbox.Report()
	clean := uint64(0)
	if report.Clean {
		clean = 1
	}
	return []note{
		{evidence.KindBoot, evidence.Body{1: "start of the program", 2: clean, 3: recoveryWords(report)}},
		{evidence.KindCalibration, evidence.Body{1: d.statements.calibration, 2: calibration.MediaType}},
		{evidence.KindConfiguration, evidence.Body{1: d.statements.configuration, 2: "application/toml"}},
	}
}

// begin records the start, as far as it is not recorded and there is room.
func (d *Device) begin() error {
	for len(d.opening) > 0 {
		err := d.note(d.opening[0].kind, d.opening[0].body)
		if errors.Is(err, outbox.ErrFull) {
			return nil // the gate stays closed and says so
		}
		if err != nil {
			return err
		}
		d.opening = d.opening[1:]
	}
	d.begun.Store(true)
	return nil
}

// recoveryWords says what the outbox found when it was opened; the whole is
// in its log.
func recoveryWords(r outbox.Report) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if r.Fresh {
		add("new store")
	}
	if r.Rebuilt {
		add("receipts lost, every record is sent again")
	}
	if r.Raised != "" {
		add("new epoch: %s", r.Raised)
	}
	for _, m := range r.Missing {
		add("missing %v", m)
	}
	for _, t := range r.Moved {
		add("moved aside %s: %s", t.Name, t.Fact)
	}
	for _, t := range r.Records {
		add("quarantined %s: %s", t.Name, t.Fact)
	}
	if len(words) == 0 {
		return "nothing to recover"
	}
	return evidence.CleanText(strings.Join(words, "; "))
}

// end records the shutdown and why.
func (d *Device) end(cause error) error {
	reason := "stopped"
	if cause != nil {
		reason = evidence.CleanText(cause.Error())
	}
	return d.note(evidence.KindShutdown, evidence.Body{1: reason})
}

// heartbeat says that the device lives, and what it has seen.
func (d *Device) heartbeat() { d.noteOrLog(evidence.KindHeartbeat, d.heart()) }

// heart returns what a heartbeat tells.
func (d *Device) heart() evidence.Body {
	counts := d.Counts()
	var discards uint64
	for _, n := range counts.Discarded {
		discards += n
	}
	return evidence.Body{
		1: counts.Passages, 2: counts.Violations, 3: uint64(d.o.Outbox.Stats().Unsettled), 4: discards,
	}
}

// clockStepped records that UTC jumped. Passages it fell into are discarded.
func (d *Device) clockStepped(s clock.Step) {
	d.o.Log.Warn("clock stepped", "by", s.Size)
	state, err := d.o.Clock.State()
	if err != nil {
		state.Source = noClock
	}
	d.noteOrLog(evidence.KindClockStep, evidence.Body{1: int64(s.Size), 2: state.Source})
}
