package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ciglio/internal/durable"
)

// An Acknowledgement says that somebody knows of a loss. It makes nothing good: the
// loss stays named, with who knows of it and why it may stand.
type Acknowledgement struct {
	Time     time.Time `json:"time"` // UTC, in whole seconds
	By       string    `json:"by"`   // who, as the device knows them: 1 to 64 bytes, no name of a person
	Why      string    `json:"why"`  // 1 to 400 bytes
	Code     string    `json:"code"` // of the loss
	Words    string    `json:"words"`
	Numbers  *Range    `json:"numbers,omitempty"` // of records that are missing
	Recorded bool      `json:"recorded"`          // the act is in the chain
}

// covers reports whether a was said of this loss, or of one that has shrunk to it.
func (a Acknowledgement) covers(l Loss) bool {
	if a.Code != l.Code {
		return false
	}
	if a.Numbers == nil || l.Numbers == nil {
		return a.Numbers == nil && l.Numbers == nil && a.Words == l.Words
	}
	was, is := a.Numbers, l.Numbers
	return was.Epoch == is.Epoch && was.From <= is.From && is.To <= was.To && (was.Open || !is.Open)
}

const (
	acknowledgedName = "acknowledged"
	acknowledgedHead = "ciglio outbox acknowledged 1"
	maxAcknowledged  = 1 << 20 // bytes of the file
)

// acknowledgedText spells the file: a head, a line of JSON for each, in their order,
// and a line with the CRC-32C of all before it.
func acknowledgedText(all []Acknowledgement) []byte {
	b := []byte(acknowledgedHead + "\n")
	for _, a := range all {
		line, err := json.Marshal(a)
		if err != nil {
			panic(err) // a time beyond the year 9999, which check refuses
		}
		b = append(append(b, line...), '\n')
	}
	return fmt.Appendf(b, "crc %08x\n", crc32.Checksum(b, castagnoli))
}

// parseAcknowledged reads the file in its one spelling.
func parseAcknowledged(text []byte) ([]Acknowledgement, error) {
	head, rest, _ := strings.Cut(string(text), "\n")
	if head != acknowledgedHead {
		return nil, fmt.Errorf("acknowledged: the first line is not %q", acknowledgedHead)
	}
	var all []Acknowledgement
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "crc ") {
			break
		}
		var a Acknowledgement
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("acknowledged: %w", err)
		}
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("acknowledged: %w", err)
		}
		all = append(all, a)
	}
	if !bytes.Equal(acknowledgedText(all), text) {
		return nil, errors.New("acknowledged: fails its checksum, or a second spelling")
	}
	return all, nil
}

func (a Acknowledgement) check() error {
	bad := func(s string, most int) bool {
		return s == "" || len(s) > most || !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unicode.IsControl)
	}
	switch {
	case bad(a.By, 64):
		return fmt.Errorf("%q: who wants 1 to 64 bytes of text in one line", a.By)
	case bad(a.Why, 400):
		return fmt.Errorf("%q: why wants 1 to 400 bytes of text in one line", a.Why)
	case a.Time.Year() < 1 || a.Time.Year() > 9999:
		return fmt.Errorf("year %d", a.Time.Year())
	}
	return nil
}

// readAcknowledged reads the file; one that does not exist has none.
func readAcknowledged(dir string) ([]Acknowledgement, error) {
	text, err := os.ReadFile(filepath.Join(dir, acknowledgedName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case len(text) > maxAcknowledged:
		return nil, fmt.Errorf("acknowledged: %d bytes, want at most %d", len(text), maxAcknowledged)
	}
	return parseAcknowledged(text)
}

// Acknowledge notes in the store's folder that by knows of the losses, and why they
// may stand. It works while the service runs: the two wait for each other, with the
// folder for the lock. A loss that somebody knows of already, as one who acknowledges
// at the same moment, is not said twice. A file that is damaged is set aside, with all
// that it said: those losses are named again.
func Acknowledge(dir string, losses []Loss, by, why string, now time.Time) error {
	lock, err := durable.WaitFolder(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	all, err := readAcknowledged(dir)
	if err != nil {
		if _, err := moveAside(dir, acknowledgedName, err); err != nil {
			return err
		}
		all = nil
	}
	for _, l := range losses {
		a := Acknowledgement{now.UTC().Truncate(time.Second), by, why, l.Code, l.Words, l.Numbers, false}
		if err := a.check(); err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(a Acknowledgement) bool { return a.covers(l) }) {
			all = append(all, a)
		}
	}
	return writeAcknowledged(dir, all)
}

// NoteRecorded says that the chain has the record of an acknowledgement.
func (o *Outbox) NoteRecorded(of Acknowledgement) error {
	lock, err := durable.WaitFolder(o.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	all, err := readAcknowledged(o.dir)
	if err != nil {
		return err
	}
	for i, a := range all {
		if of.Numbers = a.Numbers; a == of {
			all[i].Recorded = true
		}
	}
	return writeAcknowledged(o.dir, all)
}

// writeAcknowledged writes the file such that the service can read what root wrote.
func writeAcknowledged(dir string, all []Acknowledgement) error {
	text := acknowledgedText(all)
	if len(text) > maxAcknowledged {
		return fmt.Errorf("acknowledged: %d bytes, want at most %d", len(text), maxAcknowledged)
	}
	return durable.WriteFile(filepath.Join(dir, acknowledgedName), text, 0o644)
}

// acknowledge marks the losses that somebody knows of.
func (r Report) acknowledge(all []Loss) []Loss {
	for i, l := range all {
		k := slices.IndexFunc(r.Acknowledged, func(a Acknowledgement) bool { return a.covers(l) })
		if k >= 0 {
			all[i].Acknowledged = &r.Acknowledged[k]
		}
	}
	return all
}
