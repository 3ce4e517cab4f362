package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ciglio/agent/journal"
	"ciglio/agent/trust"
	"ciglio/internal/catalogue"
	"ciglio/internal/provisioning"
	"ciglio/sensor"
)

// where says to whoever adds a code what to do.
const where = "write its words into agent/console/words/it.toml, en.toml and de.toml"

// TestEveryCodeHasWords holds the catalogue against every code that the program can
// give: what has no words there would be told in English, or as a code.
func TestEveryCodeHasWords(t *testing.T) {
	b := newBench(t)
	want := func(section string, codes []string) {
		for _, code := range append(codes, "other") {
			if _, ok := b.words.Arguments(section + "." + code); !ok {
				t.Errorf("code %q has no words: %s, section [%s]", code, where, section)
			}
		}
		for _, key := range b.words.Keys() {
			if code, ours := strings.CutPrefix(key, section+"."); ours && code != "other" && !slices.Contains(codes, code) && section != "do" {
				t.Errorf("words of %s, and no code is so: take it out of agent/console/words", key)
			}
		}
	}
	want("cause", trust.Codes())
	want("do", trust.Codes())
	want("refused", texts(provisioning.Reasons()))
	var reasons []string
	for _, r := range sensor.Reasons() {
		reasons = append(reasons, r.Code())
	}
	want("reason", reasons)
	want("happened", journal.Known())
	if testing.Short() {
		return // it has no compiler
	}
	p := readProgram(t)
	findings, unknown := p.codes("ciglio/sensor", "Finding", "Code")
	want("finding", findings)
	if len(findings) < 25 || len(unknown) > 0 {
		t.Errorf("%d codes of findings were found, and not those at %q: make each a constant, in the literal or in the call of a function beside it", len(findings), unknown)
	}
	p.facts(t, b.words)
	outcomes, _ := p.codes("ciglio/capture/evidence", "Act", "Outcome")
	want("outcome", outcomes)
	acts, _ := p.codes("ciglio/capture/evidence", "Act", "Code")
	for _, code := range acts {
		if !slices.Contains(journal.Known(), code) {
			t.Errorf("act %q has no words in agent/journal", code)
		}
	}
}

func texts[T ~string](all []T) (s []string) {
	for _, one := range all {
		s = append(s, string(one))
	}
	return s
}

// A program is the sources of the device's, with the types of everything in them.
type program struct {
	set   *token.FileSet
	files []*ast.File
	info  *types.Info
}

// readProgram reads the packages of the device's program that are ours.
func readProgram(t *testing.T) *program {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "ciglio/agent/cmd/ciglio").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
	}
	exports, ours := map[string]string{}, []listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[l.ImportPath] = l.Export
		if strings.HasPrefix(l.ImportPath, "ciglio/") {
			ours = append(ours, l)
		}
	}
	p := &program{set: token.NewFileSet(), info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
	}}
	imports := types.Config{Importer: importer.ForCompiler(p.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	for _, l := range ours {
		var files []*ast.File
		for _, name := range l.GoFiles {
			f, err := parser.ParseFile(p.set, filepath.Join(l.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		if _, err := imports.Check(l.ImportPath, p.set, files, p.info); err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, files...)
	}
	return p
}

// codes returns every constant that a field of a type is set to, sorted: in literals, in
// assignments; in a literal
// where a function takes it as a parameter, those of its calls. The places where it is
// neither are returned as unknown.
func (p *program) codes(path, name, field string) (codes, unknown []string) {
	add := func(e ast.Expr) bool {
		v := p.info.Types[e].Value
		if v != nil && v.Kind() == constant.String && !slices.Contains(codes, constant.StringVal(v)) {
			codes = append(codes, constant.StringVal(v))
		}
		return v != nil
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
				for i, to := range a.Lhs {
					if s, ok := to.(*ast.SelectorExpr); ok && s.Sel.Name == field && isNamed(p.info.Types[s.X].Type, path, name) {
						add(a.Rhs[i])
					}
				}
			}
			l, ok := n.(*ast.CompositeLit)
			if !ok || !isNamed(p.info.Types[l].Type, path, name) {
				return true
			}
			for i, e := range l.Elts {
				value := e
				if kv, keyed := e.(*ast.KeyValueExpr); keyed {
					if kv.Key.(*ast.Ident).Name != field {
						continue
					}
					value = kv.Value
				} else if i > 0 { // the code stands first
					continue
				}
				if !add(value) && !p.calls(f, value, add) {
					unknown = append(unknown, fmt.Sprint(p.set.Position(value.Pos())))
				}
			}
			return true
		})
	}
	slices.Sort(codes)
	return codes, unknown
}

// facts holds every sentence that a finding tells against the catalogue: it is there
// under its key, and takes the arguments that the program gives, of their types, and
// no other; so does the English one. Sentences that no finding tells are an error too.
func (p *program) facts(t *testing.T, words *catalogue.Set) {
	given := map[string]map[string]catalogue.Type{}
	fail := func(at ast.Node, format string, args ...any) {
		t.Errorf("%s: %s", p.set.Position(at.Pos()), fmt.Sprintf(format, args...))
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			l, ok := n.(*ast.CompositeLit)
			if !ok || !isNamed(p.info.Types[l].Type, "ciglio/sensor", "Fact") || len(l.Elts) == 0 {
				return true
			}
			var key, english string
			var args map[string]catalogue.Type
			for _, e := range l.Elts {
				switch kv := e.(*ast.KeyValueExpr); kv.Key.(*ast.Ident).Name {
				case "Key":
					if v := p.info.Types[kv.Value].Value; v != nil {
						key = constant.StringVal(v)
					}
				case "Words":
					if v := p.info.Types[kv.Value].Value; v != nil {
						english = constant.StringVal(v)
					}
				case "Args":
					if args = p.arguments(f, kv.Value); args == nil {
						fail(kv, "arguments that this test cannot read: make them a literal")
					}
				}
			}
			if key == "" {
				if english != "" || args != nil {
					fail(l, "a fact without a key: %s", where)
				}
				return true // sensor.Told: what speaks for itself
			}
			want, known := words.Arguments("found." + key)
			switch {
			case !known:
				fail(l, "fact %q has no words: %s, section [found]", key, where)
			case !maps.Equal(want, args):
				fail(l, "fact %q gives %v, its words take %v", key, args, want)
			}
			for name := range args {
				if !strings.Contains(english, "{"+name+"}") && !strings.Contains(english, "{"+name+":bare}") {
					fail(l, "%q does not say {%s}", english, name)
				}
			}
			if english != "" && strings.Count(english, "{") != len(args) {
				fail(l, "%q takes other arguments than %v", english, args)
			}
			given[key] = args
			return true
		})
	}
	if len(given) < 40 {
		t.Errorf("%d facts were found", len(given))
	}
	for _, key := range words.Keys() {
		name, ours := strings.CutPrefix(key, "found.")
		if _, told := given[name]; ours && !told {
			t.Errorf("words of %s, and no finding tells it: take it out of agent/console/words", key)
		}
	}
}

// arguments returns the types under which the catalogue takes those of a literal, or of
// a local variable that is set to one; nil when it is neither.
func (p *program) arguments(f *ast.File, e ast.Expr) map[string]catalogue.Type {
	if id, ok := e.(*ast.Ident); ok {
		set := ast.Expr(nil)
		ast.Inspect(f, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 {
				if to, ok := a.Lhs[0].(*ast.Ident); ok && p.info.Defs[to] != nil && p.info.Defs[to] == p.info.Uses[id] {
					set = a.Rhs[0]
				}
			}
			return true
		})
		e = set
	}
	l, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	all := map[string]catalogue.Type{}
	for _, e := range l.Elts {
		kv := e.(*ast.KeyValueExpr)
		name := p.info.Types[kv.Key].Value
		if name == nil {
			return nil
		}
		all[constant.StringVal(name)] = map[string]catalogue.Type{
			"string": catalogue.Text, "int": catalogue.Count, "time.Duration": catalogue.Span,
			"ciglio/sensor.Term": catalogue.Text, "ciglio/sensor.Direction": catalogue.Text,
			"ciglio/sensor.Speed": catalogue.Measure, "ciglio/sensor.Figure": catalogue.Measure,
		}[types.Default(p.info.Types[kv.Value].Type).String()]
	}
	return all
}

// isNamed reports whether a type is the named one.
func isNamed(t types.Type, path, name string) bool {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := t.(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

// calls gives add the argument of every call of the local function whose parameter
// value is. It reports whether value is one and each argument was taken.
func (p *program) calls(f *ast.File, value ast.Expr, add func(ast.Expr) bool) bool {
	id, ok := value.(*ast.Ident)
	if !ok {
		return false
	}
	parameter := p.info.Uses[id]
	all, found := true, false
	ast.Inspect(f, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Rhs) != 1 {
			return true
		}
		function, ok := a.Rhs[0].(*ast.FuncLit)
		if !ok {
			return true
		}
		place := 0
		for _, field := range function.Type.Params.List {
			for _, name := range field.Names {
				if p.info.Defs[name] != parameter {
					place++
					continue
				}
				local := p.info.Defs[a.Lhs[0].(*ast.Ident)]
				ast.Inspect(f, func(n ast.Node) bool {
					if c, ok := n.(*ast.CallExpr); ok {
						if callee, ok := c.Fun.(*ast.Ident); ok && p.info.Uses[callee] == local {
							found = true
							all = add(c.Args[place]) && all
						}
					}
					return true
				})
				return false
			}
		}
		return true
	})
	return found && all
}
