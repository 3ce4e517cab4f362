package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestApprovalNamesTests finds each test that approval.md names in the package that it
// names, and an answer for each item.
func TestApprovalNamesTests(t *testing.T) {
	text, err := os.ReadFile("approval.md")
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]map[string]bool{}
	test := regexp.MustCompile(`^(?:Test|Fuzz)[A-Za-z0-9_]+$`)
	var items, named int
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && !strings.Contains(line, "---") && !strings.HasPrefix(line, "| item ") {
			items++
			if strings.TrimSpace(cells[2]) == "" && strings.TrimSpace(cells[3]) == "" {
				t.Errorf("neither shown nor said not to be: %s", cells[1])
			}
		}
		dir := ""
		for _, word := range regexp.MustCompile("`[^`]+`|\\b(?:Test|Fuzz)[A-Z0-9][A-Za-z0-9_]+").FindAllString(line, -1) {
			if quoted := strings.Trim(word, "`"); quoted != word {
				if info, err := os.Stat(filepath.Join("..", quoted)); err == nil && info.IsDir() {
					dir = quoted
				}
				continue
			}
			if !test.MatchString(word) {
				continue
			}
			named++
			if packages[dir] == nil {
				packages[dir] = testsOf(t, filepath.Join("..", dir))
			}
			if !packages[dir][word] {
				t.Errorf("no %s in %q", word, dir)
			}
		}
	}
	if items < 30 || named < 60 {
		t.Errorf("%d items and %d tests were found in the page", items, named)
	}
}

// testsOf returns the names of the tests in a folder.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil {
				names[d.Name.Name] = true
			}
		}
	}
	return names
}
