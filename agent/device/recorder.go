package device

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/agent/calibration"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink/outbox"
)

// noClock stands in a record for the source of UTC when the clock did not tell.
const noClock = "none"

// A recorder makes the records of the device, of every kind, and puts them on
// flash. A record gets its place in the chain, its instant and its seal within
// the transaction of the outbox. It is safe for concurrent use.
type recorder struct {
	store  *outbox.Outbox
	clock  sensor.Clock
	signer Signer
	log    *slog.Logger
	common evidence.Record // what every record says

	opening []opening   // records of the start that are still to be made
	begun   atomic.Bool // none of them is left

	mu    sync.Mutex
	fault error // of the last record; nil when it is on flash
}

// A note is a record without measurement, before it has a place in the chain.
type note struct {
	kind evidence.Kind
	body evidence.Body
}

// An opening is a note of the start. noted is called once it is on flash; nil for
// nobody.
type opening struct {
	note
	noted func()
}

// add makes a record and puts it on flash with its blobs. fill completes it, by
// the hashes of the blobs in their order, within the transaction; its error is
// returned as it is, and nothing is stored then. It is nil for a record that is
// complete. It must not wait, nor ask the store.
func (c *recorder) add(kind evidence.Kind, body evidence.Body, blobs [][]byte, fill func(*evidence.Record, []evidence.Hash) error) (*evidence.Sealed, error) {
	var refused error
	prepared, err := c.store.Prepare(blobs...)
	if err != nil {
		return nil, c.stored(err)
	}
	hashes := make([]evidence.Hash, len(blobs))
	for i := range blobs {
		hashes[i] = prepared.Blobs[i].SHA256
	}
	sealed, err := c.store.AppendPrepared(func(h outbox.Head) (*evidence.Sealed, error) {
		r := c.base(h)
		r.Kind, r.Body = kind, body
		if fill != nil {
			if refused = fill(r, hashes); refused != nil {
				return nil, refused
			}
		}
		return evidence.Seal(r, c.signer)
	}, prepared)
	if refused != nil {
		return nil, refused
	}
	return sealed, c.stored(err)
}

// base returns a record with all that every record says: where in the chain,
// when, by which program, key, calibration and settings.
func (c *recorder) base(h outbox.Head) *evidence.Record {
	r := c.common
	r.Epoch, r.Seq, r.Prev, r.Ack = h.Epoch, h.Next, h.Prev, h.Ack
	var err error
	if r.Clock, err = c.clock.State(); err != nil {
		r.Clock = sensor.ClockState{Source: noClock}
	}
	r.Mono, r.UTC = c.clock.Pair()
	r.UTC = r.UTC.UTC().Truncate(time.Microsecond)
	return &r
}

// note puts a record without measurement on flash.
func (c *recorder) note(kind evidence.Kind, body evidence.Body) error {
	_, err := c.add(kind, body, nil, nil)
	return err
}

// noteOrLog is note for what a device can live without having recorded: a full
// or failing store closes the gate, which says so, and does not end the device.
func (c *recorder) noteOrLog(kind evidence.Kind, body evidence.Body) {
	if err := c.note(kind, body); err != nil {
		c.log.Error("not recorded", "kind", kind.String(), "error", err)
	}
}

// stored keeps what the store said to the last record. One that is full or closed
// says so itself. It returns err.
func (c *recorder) stored(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = nil
	if err != nil && !errors.Is(err, outbox.ErrFull) && !errors.Is(err, outbox.ErrClosed) {
		c.fault = err
	}
	return err
}

// failed returns why the last record is not on flash; nil when it is.
func (c *recorder) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// tryAgain tries a store that failed with n. It returns an error when only the
// recovery of another start can help.
func (c *recorder) tryAgain(n func() note) error {
	if c.failed() == nil {
		return nil
	}
	again := n()
	if err := c.note(again.kind, again.body); errors.Is(err, outbox.ErrDamaged) {
		return err
	}
	return nil
}

// begin records the start, as far as it is not recorded and there is room. Only
// one goroutine may call it at a time.
func (c *recorder) begin() error {
	for len(c.opening) > 0 {
		next := c.opening[0]
		err := c.note(next.kind, next.body)
		if errors.Is(err, outbox.ErrFull) {
			return nil // the gate stays closed and says so
		}
		if err != nil {
			return err
		}
		c.opening = c.opening[1:]
		if next.noted != nil {
			next.noted()
		}
	}
	c.begun.Store(true)
	return nil
}

// room reports whether a violation may be recorded now.
func (c *recorder) room() bool { return c.begun.Load() && c.store.Room(true) }

// beginning returns the records of a start: what recovery found, what is another
// than before, what was done meanwhile, and the statements in force, so that every
// later record can be understood from the chain alone.
func beginning(report outbox.Report, changed []note, deeds []Deed, calibrated, configured []byte) []opening {
	clean := uint64(0)
	if report.Clean {
		clean = 1
	}
	all := []opening{{note: note{evidence.KindBoot, evidence.Body{1: "start of the program", 2: clean, 3: recoveryWords(report)}}}}
	for _, n := range changed {
		all = append(all, opening{note: n})
	}
	for _, d := range deeds {
		all = append(all, opening{note{evidence.KindOperator, operatorBody(d.What, d.Act)}, d.Noted})
	}
	return append(all,
		opening{note: note{evidence.KindCalibration, evidence.Body{1: calibrated, 2: calibration.MediaType}}},
		opening{note: note{evidence.KindConfiguration, evidence.Body{1: configured, 2: "application/toml"}}},
	)
}

// recoveryWords says what the outbox found when it was opened; the whole is
// in its log.
func recoveryWords(r outbox.Report) string {
	var words []string
	if r.Fresh {
		words = append(words, "new store")
	}
	for _, l := range r.Losses() {
		words = append(words, l.Words)
	}
	if len(words) == 0 {
		return "nothing to recover"
	}
	return evidence.CleanText(strings.Join(words, "; "))
}
