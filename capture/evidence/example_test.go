package evidence

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestWorkedExample compares the example of docs/evidence.md with the vector
// valid/heartbeat.cose, byte by byte. With -update the example is written.
func TestWorkedExample(t *testing.T) {
	const path, begin, end = "../../docs/evidence.md", "<!-- example: written by go test -run TestWorkedExample -update -->\n```text\n", "```\n"
	s := must(Seal(ofKind(t, KindHeartbeat), testSigner(t, "device")))(t)
	var b strings.Builder
	e := exampleWriter{t: t, g: readGrammar(t), out: &b}
	e.message(s)
	fmt.Fprintf(&b, "\nlength      %d bytes\nrecord id   %v\nchain link  %v\n", len(s.Bytes), s.ID, s.Link)

	doc := string(must(os.ReadFile(path))(t))
	head, rest, found := strings.Cut(doc, begin)
	old, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s: no example between %q and %q", path, begin, end)
	}
	if *update {
		must(0, os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o644))(t)
		old = b.String()
	}
	if old != b.String() {
		t.Errorf("%s: the example is not what the code makes; run with -update. Now:\n%s", path, b.String())
	}
}

// exampleWriter prints a message, one item on a line.
type exampleWriter struct {
	t   testing.TB
	g   grammar
	out *strings.Builder
	at  int
}

// line prints bytes with their offset and what they mean, 16 bytes on a line.
func (e *exampleWriter) line(depth int, b []byte, format string, args ...any) {
	words := fmt.Sprintf(format, args...)
	for first := true; first || len(b) > 0; first = false {
		part := b[:min(16, len(b))]
		text := fmt.Sprintf("%5d  %-48s %s%s", e.at, fmt.Sprintf("% x", part), strings.Repeat("  ", depth), words)
		fmt.Fprintln(e.out, strings.TrimRight(text, " "))
		e.at, b, words = e.at+len(part), b[len(part):], ""
	}
}

func (e *exampleWriter) message(s *Sealed) {
	m := parseTree(e.t, s.Bytes[1:])
	header, payload := m.kids[0], m.kids[2]
	e.line(0, s.Bytes[:1], "tag 18: COSE_Sign1")
	e.line(0, s.Bytes[1:2], "array of 4")
	e.line(0, header.bytes()[:2], "protected header, %d bytes", len(header.data))
	e.item(1, nil, parseTree(e.t, header.data), "protected")
	e.line(0, m.kids[1].bytes(), "unprotected header, empty")
	e.line(0, payload.bytes()[:len(payload.bytes())-len(payload.data)], "payload, %d bytes", len(payload.data))
	e.item(1, nil, parseTree(e.t, payload.data), "heartbeat")
	e.line(0, m.kids[3].bytes()[:2], "signature, 64 bytes")
	e.line(1, m.kids[3].data[:32], "r")
	e.line(1, m.kids[3].data[32:], "s, in the lower half")
	if e.at != len(s.Bytes) {
		e.t.Errorf("the example has %d of %d bytes", e.at, len(s.Bytes))
	}
}

// item prints a value, of the given rule when it is a map, after its key's
// bytes and name.
func (e *exampleWriter) item(depth int, key []byte, v *node, rule string, name ...string) {
	label := strings.Join(name, "")
	switch v.major {
	case majorMap:
		e.line(depth, append(key, v.bytes()[0]), "%smap of %d", label, len(v.kids)/2)
		for i := 0; i < len(v.kids); i += 2 {
			for _, m := range e.g.members(e.t, rule) {
				if m.key == v.kids[i].n {
					kind := m.typ
					field := m.name
					if field == "" {
						field = map[uint64]string{1: "v", 2: "kind", 21: "body"}[m.key]
					}
					e.item(depth+1, v.kids[i].bytes(), v.kids[i+1], kind, fmt.Sprintf("%d %s: ", m.key, field))
				}
			}
		}
	case majorArray:
		e.line(depth, append(key, v.bytes()[0]), "%sarray of %d", label, len(v.kids))
		for _, kid := range v.kids {
			e.item(depth+1, nil, kid, "")
		}
	case majorText:
		e.line(depth, append(key, v.bytes()...), "%s%q", label, v.data)
	case majorBytes:
		words := fmt.Sprintf("%d bytes", len(v.data))
		if len(bytes.Trim(v.data, "\x00")) == 0 {
			words += ", all zero"
		}
		e.line(depth, append(key, v.bytes()...), "%s%s", label, words)
	case majorNegative:
		e.line(depth, append(key, v.bytes()...), "%s%d", label, -1-int64(v.n))
	default:
		e.line(depth, append(key, v.bytes()...), "%s%d", label, v.n)
	}
}
