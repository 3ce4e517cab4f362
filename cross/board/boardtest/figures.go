package boardtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// document holds the figures: a row of its table for each.
const document = "docs/board.md"

// Figure logs a measured figure and, when update says so, writes it into the
// row of that name in the table of docs/board.md, which is made if need be. The
// last column says which test measured it.
func Figure(t testing.TB, update bool, name, figure string) {
	t.Helper()
	t.Logf("%s: %s", name, figure)
	if !update {
		return
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, document)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	text, err = setRow(text, name, fmt.Sprintf("| %s | %s | `%s` |", name, figure, test))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// setRow replaces the row of that name in the table after the line "| figure |",
// or adds it at the table's end.
func setRow(text []byte, name, row string) ([]byte, error) {
	lines := strings.Split(string(text), "\n")
	inside := false
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "| figure |"):
			inside = true
		case inside && strings.HasPrefix(line, "| "+name+" |"):
			lines[i] = row
			return []byte(strings.Join(lines, "\n")), nil
		case inside && !strings.HasPrefix(line, "|"):
			lines = append(lines[:i], append([]string{row}, lines[i:]...)...)
			return []byte(strings.Join(lines, "\n")), nil
		}
	}
	return nil, errors.New(document + ": no table of figures, which ends before the document does")
}

// moduleRoot returns the folder of go.mod above the test's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(mod, []byte("module ciglio\n")) {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
