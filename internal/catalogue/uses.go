package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"text/template/parse"
)

// Uses returns what is wrong with the calls of a method T in a template, such as
// {{.T "gate.ends" "days" .Days}}: a key that is no literal or not in the set,
// arguments whose names are others. The keys that are used are added to used. For
// tests: what it finds would be an error when the page is made.
func (s *Set) Uses(tree *parse.Tree, used map[string]bool) (faults []error) {
	walk(tree.Root, func(c *parse.CommandNode) {
		if !isT(c.Args[0]) {
			return
		}
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("%s: %s: %s", tree.Name, c, fmt.Sprintf(format, args...)))
		}
		if len(c.Args) < 2 {
			fault("no key")
			return
		}
		key, ok := c.Args[1].(*parse.StringNode)
		if !ok {
			fault("the key is no literal")
			return
		}
		used[key.Text] = true
		wanted, ok := s.Arguments(key.Text)
		if !ok {
			fault("no such text")
			return
		}
		given := map[string]Type{}
		for i := 2; i < len(c.Args); i += 2 {
			name, ok := c.Args[i].(*parse.StringNode)
			if !ok {
				fault("argument %s has no literal name", c.Args[i])
				return
			}
			given[name.Text] = wanted[name.Text]
		}
		if len(c.Args)%2 != 0 || !maps.Equal(given, wanted) {
			fault("want %s", list(wanted))
		}
	})
	return faults
}

// Unused returns the keys that are not in used, sorted.
func (s *Set) Unused(used map[string]bool) []string {
	return slices.DeleteFunc(s.Keys(), func(key string) bool { return used[key] })
}

// isT reports whether a node calls the method T of the view.
func isT(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.FieldNode:
		return n.Ident[len(n.Ident)-1] == "T"
	case *parse.VariableNode:
		return len(n.Ident) > 1 && n.Ident[len(n.Ident)-1] == "T"
	}
	return false
}

// walk calls f for every command below n.
func walk(n parse.Node, f func(*parse.CommandNode)) {
	branch := func(b *parse.BranchNode) {
		walk(b.Pipe, f)
		walk(b.List, f)
		if b.ElseList != nil {
			walk(b.ElseList, f)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			walk(child, f)
		}
	case *parse.ActionNode:
		walk(n.Pipe, f)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, f)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			walk(c, f)
		}
	case *parse.CommandNode:
		f(n)
		for _, a := range n.Args {
			if p, ok := a.(*parse.PipeNode); ok {
				walk(p, f)
			}
		}
	}
}
