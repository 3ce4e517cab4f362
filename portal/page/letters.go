package page

import (
	"fmt"
	"strings"
	"text/template/parse"
	"unicode"
)

// spoken are the attributes whose values people read.
var spoken = []string{"alt", "title", "aria-label", "placeholder", "label", "aria-description"}

// letters returns what a template says by itself: text outside tags, and in attributes
// that are read to people. Names that no language translates stand in the catalogue too.
func letters(tree *parse.Tree) (faults []error) {
	var text strings.Builder
	flatten(tree.Root, &text)
	fault := func(what string) {
		faults = append(faults, fmt.Errorf("%s: %q is no text of the catalogue", tree.Name, strings.TrimSpace(what)))
	}
	for rest := text.String(); rest != ""; {
		said, tag, found := strings.Cut(rest, "<")
		if hasLetter(said) {
			fault(said)
		}
		if !found {
			break
		}
		inside, after := tag, ""
		if end := tagEnd(tag); end >= 0 {
			inside, after = tag[:end], tag[end+1:]
		}
		for _, name := range spoken {
			if _, value, ok := strings.Cut(inside, " "+name+`="`); ok {
				if value, _, _ = strings.Cut(value, `"`); hasLetter(value) {
					fault(name + "=" + value)
				}
			}
		}
		rest = after
	}
	return faults
}

// tagEnd is where a tag ends: at > outside quotes; -1 when it does not.
func tagEnd(tag string) int {
	quoted := false
	for i, c := range tag {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// hasLetter reports whether text has a letter, but for character references.
func hasLetter(text string) bool {
	for {
		before, entity, found := strings.Cut(text, "&")
		if strings.IndexFunc(before, unicode.IsLetter) >= 0 {
			return true
		}
		if !found {
			return false
		}
		if _, text, found = strings.Cut(entity, ";"); !found {
			return strings.IndexFunc(entity, unicode.IsLetter) >= 0
		}
	}
}

// flatten writes the text of a template, with all branches one after the other.
func flatten(n parse.Node, b *strings.Builder) {
	branch := func(n *parse.BranchNode) {
		flatten(n.List, b)
		if n.ElseList != nil {
			flatten(n.ElseList, b)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			flatten(child, b)
		}
	case *parse.TextNode:
		b.Write(n.Text)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}
