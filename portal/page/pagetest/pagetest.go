// Package pagetest tries the pages of a room against their views, for the tests of
// whoever makes pages.
package pagetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jba/templatecheck"

	"ciglio/portal/page"
)

// Views fails the test with what [Check] finds.
func Views(t *testing.T, pages *page.Pages, views map[string]any) {
	t.Helper()
	for _, fault := range Check(pages, views) {
		t.Error(fault)
	}
}

// Check returns in what the pages of a room do not fit their views, by the names of the
// pages: a field or method that a template names and that is not there, a page without a
// view, a view that brings a template a map or a type of another room of the centre, such
// as a record or a row.
func Check(pages *page.Pages, views map[string]any) (faults []error) {
	for _, name := range pages.Names() {
		view, ok := views[name]
		if !ok {
			faults = append(faults, fmt.Errorf("page %s has no view", name))
			continue
		}
		if err := templatecheck.CheckHTML(pages.Template(name), view); err != nil {
			faults = append(faults, fmt.Errorf("page %s: %w", name, err))
		}
		home := reflect.TypeOf(view).PkgPath()
		for _, fault := range foreign(reflect.TypeOf(view), home, nil) {
			faults = append(faults, fmt.Errorf("page %s: %s", name, fault))
		}
	}
	for name := range views {
		if !slices.Contains(pages.Names(), name) {
			faults = append(faults, fmt.Errorf("view %s has no page", name))
		}
	}
	return faults
}

// foreign names the types in a view that are not for templates.
func foreign(v reflect.Type, home string, seen []reflect.Type) (faults []string) {
	if slices.Contains(seen, v) {
		return nil
	}
	seen = append(seen, v)
	path := v.PkgPath()
	if strings.HasPrefix(path, "ciglio/") && path != home && path != "ciglio/portal/page" {
		return []string{v.String() + " reaches a template"}
	}
	switch v.Kind() {
	case reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
		return []string{v.String() + " reaches a template"}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return foreign(v.Elem(), home, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); (f.IsExported() || f.Anonymous) && path == home {
				faults = append(faults, foreign(f.Type, home, seen)...)
			}
		}
	}
	return faults
}

// Says fails the test with what [Calls] finds.
func Says(t *testing.T, host *page.Host, folder string, open ...string) {
	t.Helper()
	for _, fault := range Calls(host, folder, open...) {
		t.Error(fault)
	}
}

// Calls returns what is wrong with the calls of the method Say of a view in the Go files
// of a folder: a key that is not there, other arguments than its text takes. And the
// keys that no call names, among those of the sections that its calls name: but for those
// that begin with one of open, which others give.
func Calls(host *page.Host, folder string, open ...string) (faults []error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return []error{err}
	}
	named, sections := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			return []error{err}
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if key, err := strconv.Unquote(literal.Value); err == nil {
					named[key] = true
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Say" {
				return true
			}
			key, ok := text(call.Args[0])
			if !ok {
				return true
			}
			sections[key[:strings.LastIndex(key, ".")+1]] = true
			wanted, there := host.Words().Arguments(key)
			given := map[string]bool{}
			for i := 1; i < len(call.Args); i += 2 {
				name, _ := text(call.Args[i])
				given[name] = true
			}
			for name := range wanted {
				there = there && given[name]
			}
			if !there || len(given) != len(wanted) || len(call.Args)%2 == 0 {
				faults = append(faults, fmt.Errorf("%s: Say(%q): the text takes %v", set.Position(call.Pos()), key, wanted))
			}
			return true
		})
	}
	used := map[string]bool{}
	for _, key := range host.Keys() {
		used[key] = true
	}
	for _, key := range host.Words().Keys() {
		isOpen := slices.ContainsFunc(open, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if sections[key[:strings.LastIndex(key, ".")+1]] && !named[key] && !used[key] && !isOpen {
			faults = append(faults, fmt.Errorf("words: nobody says %s", key))
		}
	}
	return faults
}

func text(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(literal.Value)
	return s, err == nil
}
