package trust

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestDocsNameEveryCode compares the table of docs/gate.md with the list of codes.
func TestDocsNameEveryCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/gate.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]{10,} \\| [^|]{10,} \\|$").FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, m[1])
	}
	if want := Codes(); !slices.Equal(rows, want) {
		t.Errorf("docs/gate.md has rows for\n%q, want\n%q", rows, want)
	}
}
