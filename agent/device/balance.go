package device

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// balanceFile is where the device keeps what became of the passages of each day, in
// its folder.
const balanceFile = "balance.json"

const (
	maxBalanceFile = 64 << 10
	balanceDays    = 40          // that are kept
	balanceEvery   = time.Minute // between two writings of what needs no record
)

// codeBalance is the alarm that what was captured is not accounted for.
const codeBalance = "balance"

// A balance knows of each civil day of the site what became of the passages that ended
// on it: captured are as many as issued, compliant, discarded and pending together.
//
// It is on flash before a violation is sealed, and again when it is: after a power cut
// the chain says which of those that were pending were issued, and the others were
// interrupted, which is a way to be discarded. Of passages without a record up to a
// minute is forgotten by a power cut, as captured and as what became of them alike;
// what has been reported is on flash. It is safe for concurrent use.
type balance struct {
	file  string
	zone  *time.Location
	today string // of the start
	log   *slog.Logger

	mu      sync.Mutex
	days    []wire.HealthDay // the newest first
	counted outbox.Key       // the last record of a violation that is counted
	doubt   []balanceDoubt   // why the figures may be wrong
	fault   error            // why the last change is not on flash
	changed bool
	written time.Time
}

// balanceState is what the file holds.
type balanceState struct {
	Version int              `json:"version"`
	Days    []wire.HealthDay `json:"days"` // the newest first
	Epoch   uint64           `json:"epoch"`
	Number  uint64           `json:"number"` // of the last record that is counted
	Doubt   []balanceDoubt   `json:"doubt,omitempty"`
}

// A balanceDoubt is why the figures of a day and those before it may be wrong. It is
// told for as long as such a day is.
type balanceDoubt struct {
	Day   string `json:"day"`
	Words string `json:"words"`
}

// newBalance reads what was counted, and asks the store which of the violations that
// were pending became records.
func newBalance(dir string, zone *time.Location, store *outbox.Outbox, now time.Time, log *slog.Logger) *balance {
	b := &balance{file: filepath.Join(dir, balanceFile), zone: zone, today: now.In(zone).Format(time.DateOnly), log: log}
	text, err := durable.ReadAtMost(b.file, maxBalanceFile)
	var kept balanceState
	if err == nil {
		kept, err = parseBalance(text)
	}
	head := store.Head()
	switch {
	case err == nil:
		b.days, b.counted, b.doubt = kept.Days, outbox.Key{Epoch: kept.Epoch, Seq: kept.Number}, kept.Doubt
		b.follow(store, head)
	default:
		if !errors.Is(err, fs.ErrNotExist) || head.Next > 1 || head.Epoch > 1 { // or it is a new device
			b.doubtful(fmt.Sprintf("what was counted before this start is lost: %v", err))
		}
		b.counted = outbox.Key{Epoch: head.Epoch, Seq: head.Next - 1}
	}
	b.changed = true
	return b
}

func parseBalance(text []byte) (kept balanceState, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&kept); err != nil {
		return kept, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return kept, errors.New("more behind it")
	}
	if kept.Version != 1 || len(kept.Days) > balanceDays || len(kept.Doubt) > balanceDays {
		return kept, fmt.Errorf("version %d with %d days", kept.Version, len(kept.Days))
	}
	for i, day := range kept.Days {
		if _, err := time.Parse(time.DateOnly, day.Day); err != nil || i > 0 && day.Day >= kept.Days[i-1].Day {
			return kept, fmt.Errorf("day %q", day.Day)
		}
	}
	return kept, nil
}

// follow counts the records of violations that the file does not know of, and ends
// what was pending.
func (b *balance) follow(store *outbox.Outbox, head outbox.Head) {
	next := outbox.Key{Epoch: head.Epoch, Seq: 1}
	switch {
	case head.Epoch == b.counted.Epoch && head.Next <= b.counted.Seq || head.Epoch < b.counted.Epoch:
		b.doubtful(fmt.Sprintf("epoch %d number %d was counted and is not in the store, whose chain goes on with epoch %d number %d",
			b.counted.Epoch, b.counted.Seq, head.Epoch, head.Next))
	case head.Epoch == b.counted.Epoch:
		next.Seq = b.counted.Seq + 1
	}
	for ; next.Seq < head.Next; next.Seq++ {
		bytes, err := store.Record(next)
		var sealed *evidence.Sealed
		if err == nil {
			sealed, err = evidence.Open(bytes)
		}
		if err != nil {
			b.doubtful(fmt.Sprintf("epoch %d number %d cannot be read: whether it was a violation is not known", next.Epoch, next.Seq))
			continue
		}
		if k := sealed.Record.Kind; k == evidence.KindViolation || k == evidence.KindTest {
			b.found(sealed.Record.UTC.In(b.zone).Format(time.DateOnly))
		}
	}
	b.counted = outbox.Key{Epoch: head.Epoch, Seq: head.Next - 1}
	for i := range b.days {
		day := &b.days[i]
		day.Discarded += day.Pending
		day.Interrupted += day.Pending
		day.Pending = 0
	}
}

// found counts a record, sealed on a day, of a passage that was pending: of that day
// or, about midnight, of the one before. One of which nothing was pending is counted
// all the same, and then the figures differ, which is told.
func (b *balance) found(sealedOn string) {
	for i := range b.days {
		if day := &b.days[i]; day.Day <= sealedOn && day.Pending > 0 {
			day.Pending--
			day.Issued++
			return
		}
	}
	b.day(sealedOn).Issued++
}

// doubtful notes at the start why the figures may be wrong.
func (b *balance) doubtful(words string) {
	b.log.Error("balance of passages not known", "cause", words)
	if d := (balanceDoubt{b.today, words}); len(b.doubt) < balanceDays && !slices.Contains(b.doubt, d) {
		b.doubt = append(b.doubt, d)
	}
}

// day returns the row of a day, and makes it. The caller holds mu, or is alone.
func (b *balance) day(name string) *wire.HealthDay {
	i, there := slices.BinarySearchFunc(b.days, name, func(d wire.HealthDay, name string) int { return cmp.Compare(name, d.Day) })
	if !there {
		b.days = slices.Insert(b.days, i, wire.HealthDay{Day: name})
		if len(b.days) > balanceDays {
			b.days = b.days[:balanceDays]
			i = min(i, balanceDays-1)
		}
	}
	return &b.days[i]
}

// capture counts a passage that ended at an instant, and returns its day.
func (b *balance) capture(at time.Time) string {
	name := at.In(b.zone).Format(time.DateOnly)
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.day(name)
	d.Captured++
	d.Pending++
	b.changed = true
	return name
}

// settle counts what became of a captured passage.
func (b *balance) settle(name string, o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.day(name)
	if d.Pending > 0 {
		d.Pending--
	}
	b.changed = true
	switch {
	case o.Record != nil:
		d.Issued++
		b.counted = outbox.Key{Epoch: o.Record.Record.Epoch, Seq: o.Record.Record.Seq}
		b.keep()
	case len(o.Reasons) > 0:
		d.Discarded++
	default:
		d.Compliant++
	}
	if time.Since(b.written) >= balanceEvery {
		b.keep()
	}
}

// interrupt counts a captured passage that nobody judges any more.
func (b *balance) interrupt(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.day(name)
	d.Pending--
	d.Discarded++
	d.Interrupted++
	b.changed = true
}

// save puts what is counted on flash.
func (b *balance) save() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep()
}

// keep is save. The caller holds mu.
func (b *balance) keep() {
	if !b.changed && b.fault == nil {
		return
	}
	text, err := json.Marshal(balanceState{1, b.days, b.counted.Epoch, b.counted.Seq, b.doubt})
	if err == nil {
		err = durable.WriteFile(b.file, text, 0o600)
	}
	if err != nil && b.fault == nil {
		b.log.Error("balance of passages not on flash", "error", err)
	}
	b.fault, b.changed, b.written = err, err != nil, time.Now()
}

// tell puts the days into a report, which are on flash then, and names what differs.
func (b *balance) tell(h *wire.Health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep()
	alarm := func(format string, a ...any) {
		h.Alarms = append(h.Alarms, wire.Reason{Code: codeBalance, Words: fmt.Sprintf("%.300s", fmt.Sprintf(format, a...))})
	}
	h.Days = slices.Clone(b.days[:min(len(b.days), wire.MaxDays)])
	for _, d := range h.Days {
		if n := d.Difference(); n != 0 {
			alarm("%v: differ by %d", d, n)
		}
	}
	if n := len(b.days); n >= wire.MaxDays {
		b.doubt = slices.DeleteFunc(b.doubt, func(d balanceDoubt) bool { return d.Day < b.days[wire.MaxDays-1].Day })
	}
	for _, d := range b.doubt[:min(len(b.doubt), 3)] {
		alarm("balance of passages, %s: %s", d.Day, d.Words)
	}
	if b.fault != nil {
		alarm("balance of passages not on flash: %v", b.fault)
	}
}
