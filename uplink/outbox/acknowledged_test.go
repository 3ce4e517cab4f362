package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// unknown returns the words of the losses that nobody has acknowledged.
func unknown(r Report) string {
	var all []string
	for _, l := range Unknown(r.Losses()) {
		all = append(all, l.Words)
	}
	return strings.Join(all, "\n")
}

// A loss stays named when somebody knows of it, and what is more than that is not known.
func TestAcknowledgedLossStaysNamed(t *testing.T) {
	b, _ := threeDays(t)
	remove("segments/00000002.db")(t, b.dir)
	before, report := b.viewed()
	if err := Acknowledge(b.dir, report.Losses(), "ops", "card was dropped", noon); err != nil {
		t.Fatal(err)
	}
	for _, moment := range []string{"before a start", "after one", "after another"} {
		now, report := b.viewed()
		if now != before || unknown(report) != "" {
			t.Errorf("%s: named\n%s\nwant\n%s\nnobody knows of %q", moment, now, before, unknown(report))
		}
		if text := fmt.Sprint(report.Losses()); !strings.Contains(text, "epoch 1 numbers 3 to 4 missing (acknowledged 2") || !strings.Contains(text, "by ops: card was dropped)") {
			t.Errorf("%s: %s", moment, text)
		}
		b.open()
		if len(b.Report().Foreign) > 0 {
			t.Errorf("%s: foreign %v", moment, b.Report().Foreign)
		}
		b.crash()
	}
	remove("segments/00000001.db")(t, b.dir)
	if _, report := b.viewed(); !strings.Contains(unknown(report), "epoch 1 numbers 1 to 4") {
		t.Errorf("a loss that has grown is not named: %q", unknown(report))
	}
}

func TestAcknowledgementIsRecordedOnce(t *testing.T) {
	b, _ := threeDays(t)
	remove("segments/00000002.db")(t, b.dir)
	_, report := b.viewed()
	if err := Acknowledge(b.dir, report.Losses(), "ops", "known", noon); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, ".new-1"), nil, 0o600); err != nil { // the power went
		t.Fatal(err)
	}
	b.open()
	if left, err := filepath.Glob(filepath.Join(b.dir, ".new-*")); len(left) > 0 || err != nil || len(b.Report().Foreign) > 0 {
		t.Errorf("left %v, %v, foreign %v", left, err, b.Report().Foreign)
	}
	for _, a := range b.Report().Acknowledged {
		if a.Recorded {
			t.Error("recorded before it was")
		}
		if err := b.NoteRecorded(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range b.Report().Acknowledged {
		if !a.Recorded {
			t.Error("not recorded")
		}
	}
}

// A file that is damaged acknowledges nothing, and is a loss of its own; the next
// acknowledgement sets it aside.
func TestDamagedAcknowledgementIsNamed(t *testing.T) {
	b, _ := threeDays(t)
	remove("segments/00000002.db")(t, b.dir)
	_, report := b.viewed()
	if err := Acknowledge(b.dir, report.Losses(), "ops", "known", noon); err != nil {
		t.Fatal(err)
	}
	patch(acknowledgedName, 40, 'x')(t, b.dir)
	_, report = b.viewed()
	if got := unknown(report); !strings.Contains(got, "numbers 3 to 4 missing") || !strings.Contains(got, "what was acknowledged is not known") {
		t.Errorf("damaged: nobody knows of %q", got)
	}
	if err := Acknowledge(b.dir, Unknown(report.Losses()), "ops", "again", noon); err != nil {
		t.Fatal(err)
	}
	if _, report = b.viewed(); strings.Contains(unknown(report), "missing") || !strings.Contains(unknown(report), acknowledgedName) {
		t.Errorf("said again: nobody knows of %q, want the file in damaged/ alone", unknown(report))
	}
}

// TestAcknowledgementsAtOnceAreAllKept has several people acknowledge losses while the
// service notes that others are recorded, and a start cleans up meanwhile.
func TestAcknowledgementsAtOnceAreAllKept(t *testing.T) {
	b, _ := threeDays(t)
	b.open()
	const people, each = 3, 5
	loss := func(p, i int) Loss { return Loss{Code: RecordDamaged, Words: fmt.Sprintf("record %d of %d", i, p)} }
	for i := range each {
		if err := Acknowledge(b.dir, []Loss{loss(0, i)}, "ops", "known", noon); err != nil {
			t.Fatal(err)
		}
	}
	var work sync.WaitGroup
	for p := 1; p <= people; p++ {
		work.Go(func() {
			for i := range each {
				// Of the first person's, all say the same of one loss.
				for _, l := range []Loss{loss(p, i), loss(0, i)} {
					if err := Acknowledge(b.dir, []Loss{l}, "ops", "known", noon); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	work.Go(func() {
		for i := range each {
			a := Acknowledgement{Time: noon.UTC().Truncate(time.Second), By: "ops", Why: "known", Code: RecordDamaged, Words: loss(0, i).Words}
			if err := b.NoteRecorded(a); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for range each {
			left, err := filepath.Glob(filepath.Join(b.dir, ".new-*"))
			for i := range left {
				left[i] = filepath.Base(left[i])
			}
			if err := errors.Join(err, removeTemporary(b.dir, left)); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
	all, err := readAcknowledged(b.dir)
	if err != nil || len(all) != (people+1)*each {
		t.Errorf("%d acknowledgements, want %d, %v", len(all), (people+1)*each, err)
	}
	recorded := 0
	for _, a := range all {
		if a.Recorded {
			recorded++
		}
	}
	if recorded != each {
		t.Errorf("%d recorded, want %d", recorded, each)
	}
}

func TestAcknowledgementWantsWhoAndWhy(t *testing.T) {
	for _, c := range []struct{ name, by, why string }{
		{"nobody", "", "why"},
		{"no reason", "ops", ""},
		{"two lines", "ops", "one\ntwo"},
		{"too long", strings.Repeat("o", 65), "why"},
		{"no text", "ops", "\xff"},
		{"blanks about it", " ops", "why"},
	} {
		dir := t.TempDir()
		if err := Acknowledge(dir, []Loss{{Code: StoreDamaged, Words: "x"}}, c.by, c.why, noon); err == nil {
			t.Errorf("%s: taken", c.name)
		}
		if _, err := os.Stat(filepath.Join(dir, acknowledgedName)); err == nil {
			t.Errorf("%s: written", c.name)
		}
	}
}

// A receipt that comes when its record is lost makes the loss smaller, also after
// restarts, and one that comes again changes nothing.
func TestLateReceiptShrinksALoss(t *testing.T) {
	b, records := threeDays(t)
	remove("segments/00000002.db")(t, b.dir)
	b.open()
	_, report := b.viewed()
	if err := Acknowledge(b.dir, report.Losses(), "ops", "known", noon); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Settle(b.receipt(records[2], records[4])); n != 2 || err != nil {
		t.Fatalf("settled %d, %v; want the missing one and the one that is there", n, err)
	}
	if n, err := b.Settle(b.receipt(records[2])); n != 0 || err != nil {
		t.Errorf("the same again settled %d, %v", n, err)
	}
	const want = "[epoch 1 numbers 3 to 4, 1 of them settled]"
	for _, moment := range []string{"at once", "after a start", "after another"} {
		if got := fmt.Sprint(b.Report().Missing); got != want {
			t.Errorf("%s: missing %s, want %s", moment, got, want)
		}
		if n, _ := b.Report().Unaccounted(); n != 1 || unknown(b.Report()) != "" {
			t.Errorf("%s: %d unaccounted, nobody knows of %q", moment, n, unknown(b.Report()))
		}
		b.crash()
		b.open()
	}
	if n, err := b.Settle(b.receipt(records[3])); n != 1 || err != nil {
		t.Fatalf("settled %d, %v", n, err)
	}
	if n, _ := b.Report().Unaccounted(); n != 0 {
		t.Errorf("%d unaccounted", n)
	}
}

func FuzzAcknowledged(f *testing.F) {
	f.Add(acknowledgedText(nil))
	f.Add(acknowledgedText([]Acknowledgement{
		{time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), "ops", "why", RecordsMissing, "words", &Range{Epoch: 1, From: 3, To: 4}, true},
		{By: "o", Why: "<w>", Code: StoreDamaged},
	}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, err := parseAcknowledged(text); err == nil && !bytes.Equal(acknowledgedText(all), text) {
			t.Errorf("a second spelling: %q", text)
		}
	})
}
