// Package journal reads what was done to a device from its chain: starts and stops,
// self-tests, statements, clock steps, seals, keys, and every act of a person or a
// centre. It is the one place that knows which records are the journal's and what
// the codes in them mean in words; the command and the console share it.
//
// It changes nothing, and works beside the running service.
package journal

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink"
	"ciglio/uplink/outbox"
)

// A Store is an outbox, open or seen from another process. [*outbox.Outbox] and
// [*outbox.View] are ones.
type Store interface {
	All(after uplink.Key) iter.Seq2[outbox.Listed, error]
	List(after uplink.Key, max int) ([]outbox.Listed, error)
	Record(k uplink.Key) ([]byte, error)
}

// An Entry is one record of the journal.
type Entry struct {
	Device     evidence.DeviceID
	Epoch, Seq uint64
	ID         evidence.Hash
	UTC        time.Time
	Kind       evidence.Kind
	Words      string        // what the record says in words, in English; may be empty
	Act        *evidence.Act // who did what; nil where the device tells of itself
}

// Code is the code of what happened: that of the act, or else of the kind. [Words]
// has it in words.
func (e Entry) Code() string {
	if e.Act != nil {
		return e.Act.Code
	}
	return KindCode(e.Kind)
}

// KindCode is the code of a kind in filters and catalogues, such as "clock_step".
func KindCode(k evidence.Kind) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(k.String())
}

// Kinds returns the kinds that make the journal. Violations, tests and heartbeats are
// none of it.
func Kinds() []evidence.Kind {
	return []evidence.Kind{
		evidence.KindBoot, evidence.KindShutdown, evidence.KindClockStep, evidence.KindCalibration, evidence.KindConfiguration,
		evidence.KindKeyChange, evidence.KindTamper, evidence.KindOperator, evidence.KindSelfTest, evidence.KindEviction,
	}
}

// A Filter says which entries are wanted. The zero value wants all.
type Filter struct {
	Codes       []string  // of acts or kinds; nil for all
	Since, Till time.Time // of the records, both included; zero for no bound
	Last        int       // only so many, the newest; 0 for all
}

// Wants reports whether an entry passes, but for Last.
func (f Filter) Wants(e Entry) bool {
	switch {
	case f.Codes != nil && !slices.Contains(f.Codes, e.Code()) && !slices.Contains(f.Codes, KindCode(e.Kind)):
		return false
	}
	return f.within(e.UTC)
}

// Known returns every code that a filter may name, in alphabetical order: of kinds
// and of acts.
func Known() []string {
	var codes []string
	for code := range words() {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// Words says in English what a code of [Entry.Code] means; the code itself for one
// that is not known here. A catalogue in another language has the same codes.
func Words(code string) string {
	if w, known := words()[code]; known {
		return w
	}
	return code
}

// words is the table of codes.
func words() map[string]string {
	return map[string]string{
		// kinds
		"boot":          "start",
		"shutdown":      "stop",
		"clock_step":    "clock step",
		"calibration":   "calibration in force",
		"configuration": "configuration in force",
		"key_change":    "key change",
		"tamper":        "seal",
		"operator":      "act",
		"self_test":     "self-test",
		"eviction":      "old records dropped",
		// acts
		"provision":   "provisioning",
		"session":     "session",
		"command":     "command",
		"parameter":   "parameter change",
		"aim":         "aiming",
		"accept":      "acceptance",
		"look":        "look at violations",
		"sealed":      "seal",
		"key":         "key",
		"start":       "start",
		"acknowledge": "loss acknowledged",
		"stop":        "stop",
		// orders
		"selftest":    "self-test ordered",
		"status":      "status ordered",
		"diagnostics": "diagnostics ordered",
		"resend":      "records sent again",
		"pause":       "pause of enforcement",
		"resume":      "enforcement resumed",
		"reopen":      "gate opened again",
		"export":      "records exported",
		"console":     "officer let in at the console",
		"order":       "order",
	}
}

// Of returns the journal's entry of a record; ok is false for a record that is none
// of it.
func Of(s *evidence.Sealed) (e Entry, ok bool) {
	r := s.Record
	if !slices.Contains(Kinds(), r.Kind) {
		return e, false
	}
	return Entry{r.Device, r.Epoch, r.Seq, s.ID, r.UTC, r.Kind, said(r), r.ActOf()}, true
}

// said is what a record says in words.
func said(r *evidence.Record) string {
	switch b := r.Body; r.Kind {
	case evidence.KindBoot:
		clean := "after a clean stop"
		if b[2] == uint64(0) {
			clean = "after no clean stop"
		}
		return fmt.Sprintf("%v, %s: %v", b[1], clean, b[3])
	case evidence.KindClockStep:
		step, _ := b[1].(int64)
		return fmt.Sprintf("by %v, source %v", time.Duration(step), b[2])
	case evidence.KindCalibration:
		if c := r.Calibration; c != nil {
			return fmt.Sprintf("%s version %d, until %s", c.ID, c.Version, c.NotAfter.Format(time.RFC3339))
		}
	case evidence.KindConfiguration:
		return fmt.Sprintf("%s version %d", r.Configuration.ID, r.Configuration.Version)
	case evidence.KindKeyChange:
		kid, _ := b[1].([]byte)
		return fmt.Sprintf("new key %x", kid)
	case evidence.KindEviction:
		return fmt.Sprintf("numbers %v to %v", b[1], b[2])
	case evidence.KindTamper:
		return fmt.Sprintf("%v: %v", b[1], b[2])
	case evidence.KindOperator, evidence.KindShutdown:
		return fmt.Sprint(b[1])
	case evidence.KindSelfTest:
		if b[1] == uint64(1) {
			return fmt.Sprintf("passed: %v", b[2])
		}
		return fmt.Sprintf("failed: %v", b[2])
	}
	return ""
}

// Read returns the entries of a store that the filter wants, in the order of the
// chain. Records that cannot be read are an error beside the others.
func Read(store Store, f Filter) ([]Entry, error) {
	var all []Entry
	var unread []error
	for i, err := range store.All(uplink.Key{}) {
		if err != nil {
			return all, err
		}
		if !slices.Contains(Kinds(), i.Kind) {
			if i.Kind == 0 {
				unread = append(unread, fmt.Errorf("record %d of epoch %d: %s", i.Seq, i.Epoch, i.Note))
			}
			continue
		}
		b, err := store.Record(i.Key)
		if err == nil {
			var s *evidence.Sealed
			if s, err = evidence.Open(b); err == nil {
				if e, ok := Of(s); ok && f.Wants(e) {
					all = f.keep(all, e)
				}
			}
		}
		if err != nil && !errors.Is(err, outbox.ErrNotFound) { // retention may have dropped it meanwhile
			unread = append(unread, fmt.Errorf("record %d of epoch %d: %w", i.Seq, i.Epoch, err))
		}
	}
	return f.Limit(all), join(unread)
}

// How [Newest] looks: so many numbers at once, and so many for one answer.
const (
	atOnce      = 200
	mostScanned = 10_000
)

// Newest returns the entries of an epoch that the filter wants, the newest first: at most
// so many, with numbers below before. next is where the following ones begin, 0 when
// there are none: it may come with fewer entries than asked for, or none, because an
// answer looks at 10,000 numbers at most. Records that cannot be read are passed over.
func Newest(store Store, f Filter, epoch, before uint64, most int) (all []Entry, next uint64, err error) {
	for scanned := 0; before > 1 && scanned < mostScanned; scanned += atOnce {
		first := max(before, atOnce+1) - atOnce // of the numbers that are looked at now
		items, err := store.List(uplink.Key{Epoch: epoch, Seq: first - 1}, int(before-first))
		if err != nil {
			return all, 0, err
		}
		for _, i := range slices.Backward(items) {
			if i.Epoch != epoch || i.Seq >= before || !slices.Contains(Kinds(), i.Kind) || !f.within(i.Time) {
				continue
			}
			if len(all) == most {
				return all, all[most-1].Seq, nil
			}
			b, err := store.Record(i.Key)
			if err != nil {
				continue
			}
			if s, err := evidence.Open(b); err == nil {
				if e, ok := Of(s); ok && f.Wants(e) {
					all = append(all, e)
				}
			}
		}
		if before = first; len(items) == 0 {
			return all, 0, nil // retention has dropped what was before
		}
	}
	if before <= 1 {
		before = 0
	}
	return all, before, nil
}

// within reports whether an instant is one of those that are wanted.
func (f Filter) within(at time.Time) bool {
	return (f.Since.IsZero() || !at.Before(f.Since)) && (f.Till.IsZero() || !at.After(f.Till))
}

// keep adds an entry and forgets the oldest when only the last are wanted.
func (f Filter) keep(all []Entry, e Entry) []Entry {
	if all = append(all, e); f.Last > 0 && len(all) > 2*f.Last {
		all = append(all[:0], all[len(all)-f.Last:]...)
	}
	return all
}

// Limit returns the last entries that the filter wants.
func (f Filter) Limit(all []Entry) []Entry {
	if f.Last > 0 && len(all) > f.Last {
		return all[len(all)-f.Last:]
	}
	return all
}

// join makes one error of many, without naming all of them.
func join(errs []error) error {
	if len(errs) > 10 {
		errs = append(errs[:10:10], fmt.Errorf("and %d more", len(errs)-10))
	}
	return errors.Join(errs...)
}
