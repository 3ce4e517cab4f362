// Package diag puts what a technician or the maker needs to see of a device into
// one archive, without what nobody else may know.
//
// It keeps true that every text passes [Redact] before it is in the archive, that
// the archive is never larger than asked for, and that what was left out is said.
// Keys, pictures and traces are never read for it.
package diag

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Part is one file of the archive.
type Part struct {
	Name string
	Text []byte
	// Newest says that the end of the text is worth most: of one that does not fit,
	// the beginning is left out. Of any other the end is.
	Newest bool
}

// Failed is the part that stands for one that could not be collected.
func Failed(name string, err error) Part {
	return Part{Name: name, Text: []byte("not collected: " + err.Error() + "\n")}
}

// Archive redacts the parts and returns them as a zip file of at most limit bytes.
// Where they do not fit, the longest is halved until they do. secrets are texts that
// must not stand in it wherever they come from: see [Redact]. The same parts give the
// same bytes.
func Archive(parts []Part, limit int, secrets ...string) ([]byte, error) {
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i].Text = Redact(parts[i].Text, secrets...)
	}
	for {
		b, err := pack(parts)
		if err != nil || len(b) <= limit {
			return b, err
		}
		i, longest := 0, 0
		for k, p := range parts {
			if len(p.Text) > longest {
				i, longest = k, len(p.Text)
			}
		}
		if longest < 200 {
			return nil, fmt.Errorf("an archive of %d files does not fit in %d bytes", len(parts), limit)
		}
		parts[i].Text = halved(parts[i])
	}
}

// leftOut marks where a text was cut.
const leftOut = "[… left out: does not fit]\n"

// halved returns half of the text of a part, cut at a line.
func halved(p Part) []byte {
	text := bytes.TrimSuffix(bytes.TrimPrefix(p.Text, []byte(leftOut)), []byte(leftOut))
	half := len(text) / 2
	if p.Newest {
		if i := bytes.IndexByte(text[half:], '\n'); i >= 0 {
			half += i + 1
		}
		return append([]byte(leftOut), text[half:]...)
	}
	if i := bytes.LastIndexByte(text[:half], '\n'); i >= 0 {
		half = i + 1
	}
	return append(bytes.Clone(text[:half]), leftOut...)
}

func pack(parts []Part) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range parts {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.Name, Method: zip.Deflate})
		if err == nil {
			_, err = w.Write(p.Text)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// redacted stands in the place of what was taken out.
const redacted = "[redacted]"

// promise is a name that promises a secret.
const promise = `["']?\b[a-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|authorization|cookie|credential|api[_-]?key|private[_-]?key|auth|pin|otp|one[_-]?time[_-]?code)["']?`

// patterns are what is taken out of every text. Where one has a group, only the last
// group is.
var patterns = []*regexp.Regexp{
	// Private keys in PEM and of age, with all that is in them.
	regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*(?:PRIVATE|SECRET)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\z)`),
	regexp.MustCompile(`(?i)AGE-SECRET-KEY-[0-9A-Z-]+`),
	// Tokens that say themselves what they are.
	regexp.MustCompile(`\bey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?`),
	regexp.MustCompile(`(?i)\b(?:bearer|basic|digest)[ \t]+([A-Za-z0-9+/=_.~-]{6,})`),
	// The user and password of an address.
	regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://([^\s/@"'<>]+)@`),
	// What follows a name that promises a secret: key = "value", key: value, "key": "value".
	regexp.MustCompile("(?i)" + promise + `[ \t]*[:=][ \t]*"((?:[^"\\\n]|\\.)*)"`),
	regexp.MustCompile("(?i)" + promise + `[ \t]*[:=][ \t]*'([^'\n]*)'`),
	regexp.MustCompile("(?i)" + promise + `[ \t]*=[ \t]*([^\s,;}&"']+)`),
	regexp.MustCompile("(?i)" + promise + `[ \t]*:[ \t]*([^\s,;}&"'][^\n,;}&"']*)`),
	// Plates of vehicles (Italy since 1994; mopeds and motorcycles), tax codes, mail addresses.
	regexp.MustCompile(`\b[A-HJ-NPR-TV-Z]{2}[ -]?[0-9]{3}[ -]?[A-HJ-NPR-TV-Z]{2}\b`),
	regexp.MustCompile(`\b[a-hj-npr-tv-z]{2}[0-9]{3}[a-hj-npr-tv-z]{2}\b`),
	regexp.MustCompile(`\b[A-HJ-NPR-TV-Z]{2}[ -]?[0-9]{5}\b`),
	regexp.MustCompile(`(?i)\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b`),
	regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`),
}

// Redact takes out of a text what a diagnosis does not need and others must not
// know: private keys, passwords, tokens, the user part of addresses, plates, tax
// codes and mail addresses, and each of the given secrets, which are the words in the
// password files of this device. Hashes and names of files stay.
func Redact(text []byte, secrets ...string) []byte {
	for _, secret := range secrets {
		if len(secret) >= 3 { // shorter ones stand everywhere
			text = bytes.ReplaceAll(text, []byte(secret), []byte(redacted))
		}
	}
	for _, p := range patterns {
		text = replace(p, text)
	}
	return text
}

// replace takes out what a pattern matches: the last of its groups that matched, or
// all when it has none.
func replace(p *regexp.Regexp, text []byte) []byte {
	var out []byte
	at := 0
	for _, m := range p.FindAllSubmatchIndex(text, -1) {
		from, to := m[0], m[1]
		for g := 2; g+1 < len(m); g += 2 {
			if m[g] >= 0 {
				from, to = m[g], m[g+1]
			}
		}
		if from == to || string(text[from:to]) == redacted {
			continue
		}
		out = append(append(out, text[at:from]...), redacted...)
		at = to
	}
	if at == 0 {
		return text
	}
	return append(out, text[at:]...)
}

// A Tail keeps the end of what is written to it: the lines that a program logged
// last. It is safe for concurrent use.
type Tail struct {
	mu   sync.Mutex
	most int
	text []byte
}

// NewTail returns one that keeps up to so many bytes.
func NewTail(most int) *Tail { return &Tail{most: most} }

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[max(0, len(p)-t.most):]...)
	if len(t.text) > 2*t.most {
		t.text = append(t.text[:0], t.text[len(t.text)-t.most:]...)
	}
	return len(p), nil
}

// Text returns what is kept, from the beginning of a line.
func (t *Tail) Text() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.text[max(0, len(t.text)-t.most):]
	if len(text) < len(t.text) {
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return bytes.Clone(text)
}

// Read returns up to most bytes of a text, with a word at its end when there was more.
func Read(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if int64(len(b)) > most {
		b = append(b[:most], "\n"+leftOut...)
	}
	return b, err
}

// Open lists the files of an archive with their texts, for whoever reads one.
func Open(b []byte) ([]Part, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	var parts []Part
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		text, err := Read(r, 16<<20)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		parts = append(parts, Part{Name: f.Name, Text: text})
	}
	return parts, nil
}

// Names joins the names of the parts, for people.
func Names(parts []Part) string {
	var names []string
	for _, p := range parts {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}
