package evidence

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// grammar is docs/evidence.cddl: every rule by its name. It knows as much of
// CDDL as that file uses.
type grammar map[string]string

// member is one key of a map or group.
type member struct {
	key      uint64
	optional bool
	typ      string
	name     string // first word of the comment
}

func readGrammar(t testing.TB) grammar {
	g := grammar{}
	file := string(must(os.ReadFile("../../docs/evidence.cddl"))(t))
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+) = ((?:[({]\n[^}]*?\n[)}])|.+)$`).FindAllStringSubmatch(file, -1) {
		text := m[2]
		if !strings.Contains(text, "\n") {
			text, _, _ = strings.Cut(text, ";")
		}
		g[m[1]] = strings.TrimSpace(text)
	}
	return g
}

var memberLine = regexp.MustCompile(`^(\? )?(\d+) => (.*?),?\s*(?:; ([a-z0-9_ ]+).*)?$`)

// members lists the keys of a map or group, those of the groups it names in
// their place.
func (g grammar) members(t testing.TB, rule string) []member {
	t.Helper()
	body := strings.Trim(g[rule], "{}()")
	lines := strings.Split(body, "\n")
	if len(lines) == 1 {
		lines = strings.Split(body, ",")
	}
	var all []member
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if m := memberLine.FindStringSubmatch(line); m != nil {
			key := must(strconv.ParseUint(m[2], 10, 64))(t)
			all = append(all, member{key, m[1] != "", strings.TrimSpace(m[3]), strings.TrimSpace(m[4])})
		} else if g[line] != "" {
			all = append(all, g.members(t, line)...)
		} else if line != "" {
			t.Fatalf("evidence.cddl: rule %s: cannot read %q", rule, line)
		}
	}
	return all
}

var (
	sizeType  = regexp.MustCompile(`^([bt])str \.size (?:(\d+)|\((\d+)\.\.(\d+)\))$`)
	rangeType = regexp.MustCompile(`^(-?\d+)(?:\.\.(-?\d+))?$`)
	countType = regexp.MustCompile(`^\[(\d+)\*(\d+) ([a-z-]+)\]$`)
)

// match reports why an item is not of the given type.
func (g grammar) match(t testing.TB, v *node, typ string) error {
	bad := fmt.Errorf("not of type %s", typ)
	if m := sizeType.FindStringSubmatch(typ); m != nil {
		lo, hi := m[2], m[2]
		if lo == "" {
			lo, hi = m[3], m[4]
		}
		major := byte(majorBytes)
		if m[1] == "t" {
			major = majorText
		}
		if v.major != major || len(v.data) < must(strconv.Atoi(lo))(t) || len(v.data) > must(strconv.Atoi(hi))(t) {
			return bad
		}
		return nil
	}
	if m := rangeType.FindStringSubmatch(typ); m != nil {
		if m[2] == "" {
			m[2] = m[1]
		}
		n := int64(v.n)
		if v.major == majorNegative {
			n = -1 - n
		}
		if v.major > majorNegative || v.n >= beyond || n < must(strconv.ParseInt(m[1], 10, 64))(t) || n > must(strconv.ParseInt(m[2], 10, 64))(t) {
			return bad
		}
		return nil
	}
	if m := countType.FindStringSubmatch(typ); m != nil {
		if v.major != majorArray || len(v.kids) < must(strconv.Atoi(m[1]))(t) || len(v.kids) > must(strconv.Atoi(m[2]))(t) {
			return bad
		}
		for i, kid := range v.kids {
			if err := g.match(t, kid, m[3]); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	}
	switch {
	case strings.HasPrefix(typ, "["):
		items := strings.Split(strings.Trim(typ, "[]"), ", ")
		if v.major != majorArray || len(v.kids) != len(items) {
			return bad
		}
		for i, item := range items {
			if err := g.match(t, v.kids[i], item); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	case strings.HasPrefix(typ, `"`):
		for _, word := range strings.Split(typ, " / ") {
			if v.major == majorText && `"`+string(v.data)+`"` == word {
				return nil
			}
		}
		return bad
	case strings.Contains(typ, " / "):
		for _, rule := range strings.Split(typ, " / ") {
			if g.match(t, v, rule) == nil {
				return nil
			}
		}
		return bad
	case strings.HasPrefix(g[typ], "{"):
		return g.matchMap(t, v, typ)
	case g[typ] == "":
		t.Fatalf("evidence.cddl: no rule %q", typ)
	}
	return g.match(t, v, g[typ])
}

func (g grammar) matchMap(t testing.TB, v *node, rule string) error {
	if v.major != majorMap {
		return fmt.Errorf("%s: not a map", rule)
	}
	at := 0
	for _, m := range g.members(t, rule) {
		if at == len(v.kids) || v.kids[at].major != majorUint || v.kids[at].n != m.key {
			if m.optional {
				continue
			}
			return fmt.Errorf("%s: key %d is missing", rule, m.key)
		}
		if err := g.match(t, v.kids[at+1], m.typ); err != nil {
			return fmt.Errorf("%s %d: %w", rule, m.key, err)
		}
		at += 2
	}
	if at != len(v.kids) {
		return fmt.Errorf("%s: unknown key", rule)
	}
	return nil
}

// TestGrammarAgreesWithCode checks that the published grammar accepts every
// valid vector and refuses what lacks a key, has one too many or holds another
// type.
func TestGrammarAgreesWithCode(t *testing.T) {
	g := readGrammar(t)
	check := func(name, rule string, payload []byte) {
		t.Helper()
		if err := g.match(t, parseTree(t, payload), rule); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("violation", "record", must(violation(t).Marshal())(t))
	withSecond := violation(t)
	withSecond.Measurement.Second = confirmed(withSecond.Measurement)
	check("second speed of contacts", "record", must(withSecond.Marshal())(t))
	withSecond.Measurement.Second = &Second{Method: MethodDisplacement, Speed: 6400, Tolerance: 630}
	check("second speed by pictures", "record", must(withSecond.Marshal())(t))
	for k := range bodies() {
		check(k.String(), "record", must(ofKind(t, k).Marshal())(t))
		located := ofKind(t, k)
		located.Site, located.Calibration = violation(t).Site, violation(t).Calibration
		check(k.String()+" with site", "record", must(located.Marshal())(t))
	}
	for _, v := range acts() {
		r := ofKind(t, v.kind)
		r.Body = r.Body.WithAct(&v.act)
		check(v.name, "record", must(r.Marshal())(t))
	}
	b := bundleOf(t, violation(t), "device")
	check("receipt", "receipt", must(OpenReceipt(b.Receipt))(t).message.Payload)
	check("proof", "proof", b.Proof)
	trust := must(ParseTrust(trustFiles(t)["trust.pem"]))(t)
	check("register", "register", trust.Register().message.Payload)
	m := parseTree(t, b.Record[1:])
	check("protected header", "protected", m.kids[0].data)

	for _, v := range spoiledPayloads() {
		root := parseTree(t, must(ofKind(t, max(v.kind, 1)).Marshal())(t))
		if v.spoil(root); root.raw != nil || !readable(root) {
			continue // not even CBOR of our kind
		}
		shape := errors.Is(v.err, ErrMissingKey) || errors.Is(v.err, ErrUnknownKey) || errors.Is(v.err, ErrType) || errors.Is(v.err, ErrKind)
		if err := g.match(t, root, "record"); shape && err == nil {
			t.Errorf("%s: passes the grammar", v.name)
		}
	}
}

// readable reports whether no item was replaced by raw bytes.
func readable(v *node) bool {
	for _, kid := range v.kids {
		if !readable(kid) {
			return false
		}
	}
	return v.raw == nil
}
