package casefile

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/cases.md")

// TestDocs keeps docs/cases.md what the code says.
func TestDocs(t *testing.T) {
	const path = "../../docs/cases.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/cases.md is not what the code says: go test ./portal/casefile -run TestDocs -update")
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("# The life of a case\n\n" +
		"Made from portal/casefile by `go test ./portal/casefile -run TestDocs -update`; change the code, not this page.\n\n" +
		"A case has a stage, and each of its notices, a position, a state. An act is allowed where a row below says so; what else it\n" +
		"needs stands above its `check` in the code. A loop in the pictures is an act that changes neither.\n\n## Stages of a case\n\n")
	diagram(&b, func(r rule) (from []string, to string) {
		if len(r.states) > 0 {
			return nil, ""
		}
		return names(r.stages), string(r.to)
	})
	b.WriteString("\nA reopened case goes back to `review`, `second` or `accepted` when nothing came after.\n\n## States of a position\n\n")
	diagram(&b, func(r rule) (from []string, to string) { return names(r.states), string(r.state) })
	b.WriteString("\nJoint debtors owe one sum: what makes a position `paid` makes all of the case that are live, a notice that is issued afterwards is `paid` from the beginning, and money that\n" +
		"is taken away from one (annulled, upheld) leaves the others as they were. What ends an appeal or a request without a new sum leaves a position `ordered` or `title`\n" +
		"that was so before, and `sent` while its service is not told. `credited` makes it `paid` where it settles it, `served_corrected` to a later day makes a `title` `served`,\n" +
		"`service_void` makes both `sent`.\n\n## Acts\n\n" +
		"*by a person*: no desk may do it. *not while stopped*: a case whose record is disputed or whose key was revoked waits for a person.\n\n" +
		"| act | outcome | case is | becomes | position is | becomes | |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rules {
		var notes []string
		if r.person {
			notes = append(notes, "by a person")
		}
		if r.stops {
			notes = append(notes, "not while stopped")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", r.kind, r.variant, strings.Join(names(r.stages), ", "), r.to,
			strings.Join(names(r.states), ", "), r.state, strings.Join(notes, "; "))
	}
	b.WriteString("\n## Bodies\n\n" +
		"Fields in the order of their keys, from 1; a moment has two, the second of them its instant, absent when only the day is known.\n" +
		"A person or a plate is a commitment: SHA-256 of `ciglio private v1`, 0, the mark, 0, a salt of 32 bytes, and the value. 32 zero bytes are none.\n" +
		"Texts without a value, and days that are not there, are absent.\n\n| act | field | holds | mark |\n| --- | --- | --- | --- |\n")
	for _, body := range bodies() {
		kind := fmt.Sprintf("`%s`", body.Kind())
		fieldRows(&b, kind, "", reflect.TypeOf(body).Elem())
	}
	b.WriteString("\n## Refusals\n\n| code | arguments |\n| --- | --- |\n")
	codes := Codes()
	for _, code := range slices.Sorted(mapKeys(codes)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", code, strings.Join(codes[code], ", "))
	}
	return b.String()
}

func mapKeys(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func names[T ~string](of []T) (all []string) {
	for _, n := range of {
		all = append(all, string(n))
	}
	return all
}

// diagram draws each change once, with all acts that make it.
func diagram(b *strings.Builder, change func(rule) (from []string, to string)) {
	type edge struct{ from, to string }
	var order []edge
	acts := make(map[edge][]string)
	for _, r := range rules {
		from, to := change(r)
		for _, f := range from {
			if to == "" || to == f {
				continue
			}
			e := edge{f, to}
			if acts[e] == nil {
				order = append(order, e)
			}
			name := string(r.kind)
			if r.variant != "" {
				name += " " + string(r.variant)
			}
			if !slices.Contains(acts[e], name) {
				acts[e] = append(acts[e], name)
			}
		}
	}
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, e := range order {
		from := e.from
		if from == "none" {
			from = "[*]"
		}
		fmt.Fprintf(b, "    %s --> %s: %s\n", from, e.to, strings.Join(acts[e], ", "))
	}
	b.WriteString("```\n")
}

func fieldRows(b *strings.Builder, kind, prefix string, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Name == "simple":
		case f.Anonymous:
			fieldRows(b, kind, prefix, f.Type)
		default:
			name := prefix + strings.ToLower(f.Name)
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", kind, name, holds(f.Type), f.Tag.Get("mark"))
			if f.Type.Kind() == reflect.Slice {
				fieldRows(b, kind, name+"[].", f.Type.Elem())
			}
		}
	}
}

func holds(t reflect.Type) string {
	switch t.Name() {
	case "Ref", "Code", "Commitment", "Day", "Moment", "Cents":
		return strings.ToLower(t.Name())
	case "Channel":
		return "code"
	case "Time":
		return "instant"
	case "int64":
		return "number"
	case "bool":
		return "flag"
	}
	if t.Kind() == reflect.Slice {
		return "list"
	}
	return fmt.Sprintf("%d bytes", t.Len())
}
