package outbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"ciglio/capture/evidence"
)

// An account says which numbers a segment has taken, whether or not its file is
// still there.
type account struct {
	segment, epoch uint64
	first          uint64 // number of its first record
	next           uint64 // number after its last record; with open, at least that
	open           bool   // records may have followed that nobody has told of
}

// A ledger has the account of each segment that was begun and not dropped in
// good order, in ascending order. Generation grows with each writing, so that of
// two copies the newer is known; it is 0 when there is none.
type ledger struct {
	generation uint64
	accounts   []account
}

const (
	ledgerFormat  = "ciglio outbox ledger 1 generation %d"
	accountFormat = "segment %d epoch %d first %d %s %d"
)

func (l ledger) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, ledgerFormat+"\n", l.generation)
	for _, a := range l.accounts {
		end := "next"
		if a.open {
			end = "least"
		}
		fmt.Fprintf(&b, accountFormat+"\n", a.segment, a.epoch, a.first, end, a.next)
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum([]byte(b.String()), castagnoli))
	return b.String()
}

// parseLedger reads a ledger in its one spelling.
func parseLedger(b []byte) (ledger, error) {
	var l ledger
	head, rest, _ := strings.Cut(string(b), "\n")
	if _, err := fmt.Sscanf(head, ledgerFormat, &l.generation); err != nil {
		return ledger{}, fmt.Errorf("ledger: %w", err)
	}
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "crc ") {
			break
		}
		var a account
		var end string
		if _, err := fmt.Sscanf(line, accountFormat, &a.segment, &a.epoch, &a.first, &end, &a.next); err != nil {
			return ledger{}, fmt.Errorf("ledger: %w", err)
		}
		a.open = end == "least"
		l.accounts = append(l.accounts, a)
	}
	if l.generation == 0 || l.String() != string(b) {
		return ledger{}, errors.New("ledger: fails its checksum, or a second spelling")
	}
	return l, nil
}

// find returns the account of a segment, or nil.
func (l *ledger) find(segment uint64) *account {
	i, ok := slices.BinarySearchFunc(l.accounts, segment, func(a account, n uint64) int { return cmp.Compare(a.segment, n) })
	if !ok {
		return nil
	}
	return &l.accounts[i]
}

// put adds an account of a segment that has none.
func (l *ledger) put(a account) {
	i, _ := slices.BinarySearchFunc(l.accounts, a.segment, func(a account, n uint64) int { return cmp.Compare(a.segment, n) })
	l.accounts = slices.Insert(l.accounts, i, a)
}

func (l *ledger) drop(segment uint64) {
	l.accounts = slices.DeleteFunc(l.accounts, func(a account) bool { return a.segment == segment })
}

// took notes that the last segment of an epoch has taken the numbers before next,
// as a witness says.
func (l *ledger) took(epoch, next uint64) {
	for i := range slices.Backward(l.accounts) {
		if a := &l.accounts[i]; a.epoch == epoch {
			a.next = max(a.next, next)
			return
		}
	}
}

// begin notes a new segment; the one before it takes no more.
func (l *ledger) begin(old *segment, a account) {
	if old != nil {
		if o := l.find(old.number); o != nil {
			o.next, o.open = max(o.next, old.next), false
		}
	}
	l.put(a)
}

// reconcile brings the ledger up to what everything in the folder tells: the
// segments, the marks, the settled numbers, the names of what was set aside.
func (f *scanned) reconcile() {
	l := &f.ledger
	l.accounts = slices.Clone(l.accounts)
	if f.unledgered = l.generation == 0; f.unledgered {
		f.deduce()
	}
	for i, s := range f.segments {
		a := l.find(s.number)
		if a == nil {
			l.put(account{segment: s.number})
			a = l.find(s.number)
		}
		newest := i == len(f.segments)-1
		if a.epoch != s.epoch { // another file in its place
			a.next = 0
		}
		*a = account{s.number, s.epoch, s.firstSeq, max(s.next, a.next), false}
		if newest && s.orphan {
			a.next = max(a.next, s.next+1)
		}
	}
	numbers := slices.Clone(f.numbers)
	if f.state != nil {
		for n := range f.state.settled {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range append(numbers, f.mark.segment, f.tip.segment) {
		f.supply(n)
	}
	for _, m := range []mark{f.mark, f.tip} {
		l.took(m.epoch, m.next)
	}
	if a := l.find(f.mark.segment); a != nil && f.clean && a.epoch == f.mark.epoch {
		a.open = false // the mark of a store that was closed in good order is exact
	}
	if f.state != nil {
		for n, m := range f.state.settled {
			if a := l.find(n); a != nil && len(m.seqs) > 0 {
				a.next = max(a.next, m.last+1)
			}
		}
		for n := range f.state.expired {
			l.drop(n)
		}
	}
	for i := 1; i < len(l.accounts); i++ { // where one begins, the one before has ended
		if a, b := &l.accounts[i-1], l.accounts[i]; a.epoch == b.epoch && a.segment+1 == b.segment {
			a.next, a.open = b.first, false
		}
	}
}

// supply opens an account for a segment of which no more is known than that it
// was begun after all others.
func (f *scanned) supply(n uint64) {
	last := account{epoch: 1, next: 1}
	if k := len(f.ledger.accounts); k > 0 {
		last = f.ledger.accounts[k-1]
	}
	if n <= last.segment {
		return
	}
	a := account{segment: n, epoch: last.epoch, first: last.next, next: last.next, open: true}
	for _, m := range []mark{f.mark, f.tip} {
		if m.segment == n && m.epoch > a.epoch {
			a.epoch, a.first, a.next = m.epoch, 1, 1
		}
	}
	f.ledger.put(a)
}

// deduce opens the accounts that gaps between the segments tell of, where there
// is no ledger: one for each gap.
func (f *scanned) deduce() {
	expired := func(n uint64) bool { return f.state != nil && f.state.expired[n] }
	for i, b := range f.segments {
		if i == 0 {
			// What came before has been dropped in good order, as far as state.db
			// tells; when that is gone as well, nobody knows.
			if f.state == nil && b.firstSeq > 1 {
				f.ledger.put(account{b.number - 1, b.epoch, 1, b.firstSeq, false})
			} else if f.state == nil && b.number > 1 && b.epoch > 1 {
				f.ledger.put(account{b.number - 1, b.epoch - 1, 1, 1, true})
			}
			continue
		}
		a := f.segments[i-1]
		for n := a.number + 1; n < b.number; n++ {
			if expired(n) {
				continue
			}
			lost := account{n, a.epoch, a.next, a.next, true}
			if a.epoch == b.epoch {
				lost.next, lost.open = b.firstSeq, false
			}
			f.ledger.put(lost)
			break
		}
	}
}

// missing lists the numbers that were taken and are not in the store, in order,
// neighbours as one.
func (x *index) missing(l ledger) []Range {
	var holes []Range
	segments := map[uint64]*segment{}
	for _, s := range x.segments {
		segments[s.number] = s
	}
	for _, a := range l.accounts {
		from := a.first
		if s := segments[a.segment]; s != nil {
			if from = s.next; a.next <= from {
				continue
			}
			a.open = false
		} else if a.next == a.first && !a.open {
			continue
		}
		r := Range{Epoch: a.epoch, From: from, Open: a.open}
		if a.next > from {
			r.To = a.next - 1
		}
		if m := x.lost[a.segment]; m != nil {
			for _, seq := range m.seqs {
				if from <= seq && seq <= r.To {
					r.Settled++
				}
			}
		}
		if n := len(holes); n > 0 && holes[n-1].Epoch == r.Epoch && !holes[n-1].Open && holes[n-1].To+1 == r.From {
			holes[n-1].To, holes[n-1].Open = max(r.To, holes[n-1].To), r.Open
			holes[n-1].Settled += r.Settled
			continue
		}
		holes = append(holes, r)
	}
	return holes
}

// incomplete reports whether a segment has lost the commit of its last record,
// which may still lie in its file. mu is held.
func (o *Outbox) incomplete(s *segment) bool {
	a := o.ledger.find(s.number)
	return s.torn && a != nil && a.next > s.next
}

// keepLedger writes the ledger to its two places.
func (o *Outbox) keepLedger() error {
	o.marking.Lock()
	defer o.marking.Unlock()
	text := o.nextLedger()
	return errors.Join(
		writeFile(filepath.Join(o.dir, "ledger"), text),
		o.state.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketState).Put(keyLedger, text) }),
	)
}

// nextLedger returns the ledger as it is to be written next. marking is held.
func (o *Outbox) nextLedger() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ledger.generation++
	return []byte(o.ledger.String())
}

// readLedger reads the file; one that is missing or damaged is an empty ledger.
func readLedger(dir string) ledger {
	b, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		return ledger{}
	}
	l, err := parseLedger(b)
	if err != nil {
		return ledger{}
	}
	return l
}

// tipSize is the size of the file tip: a mark, a newline, blanks.
const tipSize = 128

// readTip reads the file; one that is missing or damaged is a zero mark.
func readTip(dir string) mark {
	b, err := os.ReadFile(filepath.Join(dir, "tip"))
	if err != nil {
		return mark{}
	}
	line, blank, _ := bytes.Cut(b, []byte("\n"))
	m, err := parseMark(append(line[:len(line):len(line)], '\n'))
	if err != nil || len(bytes.TrimSpace(blank)) > 0 {
		return mark{}
	}
	return m
}

// openTip opens the file for writing in place. Without it less is known of a
// segment that is lost.
func (o *Outbox) openTip() {
	f, err := os.OpenFile(filepath.Join(o.dir, "tip"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		o.options.Log.Warn("outbox tip not opened", "error", err)
		return
	}
	o.tip = f
}

// writeTip notes the number after that of the record just stored. It is not
// synced: what it loses in a power cut makes the account of a lost segment less
// exact, and no record.
func (o *Outbox) writeTip(m mark) {
	if o.tip == nil {
		return
	}
	b := bytes.Repeat([]byte(" "), tipSize)
	copy(b, m.String())
	if _, err := o.tip.WriteAt(b, 0); err != nil {
		o.options.Log.Warn("outbox tip not written", "error", err)
	}
}

// hasOrphan looks in all bytes of a segment's file for the entry of the record
// after its last one: there it lies when a commit was lost with its meta page.
func hasOrphan(path string, device evidence.DeviceID, s *segment) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	const window, overlap = 1 << 20, 8
	key, b := number(s.next), make([]byte, window+overlap)
	for at := int64(0); ; at += window {
		n, err := f.ReadAt(b, at)
		for from := 0; ; {
			i := bytes.Index(b[from:n], key)
			if i < 0 {
				break
			}
			if isEntry(f, at+int64(from+i+len(key)), device, s) {
				return true, nil
			}
			from += i + 1
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// isEntry reports whether the entry of the record after the last one of s is at
// off.
func isEntry(r io.ReaderAt, off int64, device evidence.DeviceID, s *segment) bool {
	head := make([]byte, entryHead)
	if _, err := r.ReadAt(head, off); err != nil || head[0] != version {
		return false
	}
	size := int64(entryHead+crcSize) + int64(head[2])<<8*blobSize + int64(head[3])*blobSize +
		int64(head[4])<<24 + int64(head[5])<<16 + int64(head[6])<<8 + int64(head[7])
	if size > entryHead+crcSize+math.MaxUint8*blobSize+evidence.MaxRecord {
		return false
	}
	b, err := io.ReadAll(io.NewSectionReader(r, off, size))
	if err != nil || int64(len(b)) != size {
		return false
	}
	e, err := parseEntry(b)
	if err != nil {
		return false
	}
	sealed, err := evidence.Open(e.sealed)
	return err == nil && sealed.Record.Device == device && sealed.Record.Epoch == s.epoch && sealed.Record.Seq == s.next
}
