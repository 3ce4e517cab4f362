package provisioning_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	p "ciglio/internal/provisioning"
)

var update = flag.Bool("update", false, "rewrite the table of reasons in docs/provisioning.md")

// The page holds every reason in its words, and who must sign each kind.
func TestThePageSaysWhatIsTrue(t *testing.T) {
	const path, mark = "../../docs/provisioning.md", "| code | words |\n| --- | --- |\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table := ""
	for _, r := range p.Reasons() {
		table += fmt.Sprintf("| `%s` | %s |\n", r, r.Words())
	}
	before, rest, found := strings.Cut(string(text), mark)
	_, after, _ := strings.Cut(rest, "\n## ")
	want := before + mark + table + "\n## " + after
	if !found || want != string(text) {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Error("the table of reasons differs: go test -run ThePage -update")
		}
	}
	for kind, shape := range p.Kinds() {
		var row string
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, fmt.Sprintf("| `%s` |", kind)) {
				row = line
			}
		}
		if !strings.Contains(row, "| "+shape.SignerWords()+" |") {
			t.Errorf("%s: the row %q does not say %s", kind, row, shape.SignerWords())
		}
		for _, m := range shape.Members {
			if !strings.Contains(row, "`"+m.Name+"`") {
				t.Errorf("%s: the row %q does not name %s", kind, row, m.Name)
			}
		}
	}
}
