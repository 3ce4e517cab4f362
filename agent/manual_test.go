package agent

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main(args, &out, &errs); code != exitGood {
		t.Fatalf("ciglio %s: exit %d: %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// needs skips a test that runs a program which this machine lacks. In CI it is
// installed.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestManualNamesEveryCommandAndFlag(t *testing.T) {
	page := printed(t, "help", "--man")
	flags := 0
	for _, c := range describeCommands() {
		if !strings.Contains(page, "\n.SS "+roff(c.Name)) {
			t.Errorf("no section on %q", c.Name)
		}
		for _, f := range c.Flags {
			flags++
			if !strings.Contains(page, `\fB`+roff("--"+f.Name)+`\fR`) || !strings.Contains(page, roff(f.Does)) {
				t.Errorf("nothing of --%s of %q", f.Name, c.Name)
			}
		}
	}
	if commands := len(commands()); flags < 2*commands {
		t.Errorf("%d flags of %d commands: each has --json, and most have more", flags, commands)
	}
}

// What help says of a command is what its manual says.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range describeCommands() {
		out := printed(t, append(strings.Fields(c.Name), "--help")...)
		if !strings.HasPrefix(out, "usage: ciglio "+c.Name) {
			t.Errorf("%s --help prints %q", c.Name, out)
		}
		for _, f := range c.Flags {
			if !strings.Contains(out, "--"+f.Name) {
				t.Errorf("%s --help says nothing of --%s", c.Name, f.Name)
			}
		}
	}
}

func TestManualIsGoodRoff(t *testing.T) {
	needs(t, "man")
	cmd := exec.Command("man", "--warnings", "-l", "-")
	cmd.Stdin = strings.NewReader(printed(t, "help", "--man"))
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=100", "MAN_KEEP_FORMATTING=")
	var warnings bytes.Buffer
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil || warnings.Len() > 0 {
		t.Fatalf("%v: %s", err, warnings.String())
	}
	for _, want := range []string{"ciglio - " + purpose, "--carrier", "ciglio outbox export --dir DIR [--out DIR] SEQ…", "CIGLIO_SITE_LIMIT"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

// completed is what a shell offers for a line that stops in mid-word.
var completed = []struct {
	line string
	want []string
}{
	{"ciglio out", []string{"outbox"}},
	{"ciglio outbox ", []string{"acknowledge", "export", "list", "stats"}},
	{"ciglio outbox ex", []string{"export"}},
	{"ciglio outbox export --o", []string{"--out"}},
	{"ciglio config print --", []string{"--config", "--json"}},
	{"ciglio run --config good", []string{"good.toml"}},
	{"ciglio verify re", []string{"record.zip"}},
	{"ciglio outbox list --dir st", []string{"state"}},
	{"ciglio completion b", []string{"bash"}},
	{"ciglio version ", nil},
}

// folder makes files to be completed and the script of a shell beside them.
func folder(t *testing.T, shell string) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"good.toml": "", "record.zip": "", "ciglio." + shell: printed(t, "completion", shell)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func offered(t *testing.T, dir, shell string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(shell, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", shell, err, out)
	}
	var words []string
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		words = append(words, strings.TrimSuffix(word, "/"))
	}
	slices.Sort(words)
	return words
}

func TestCompletionOfBash(t *testing.T) {
	needs(t, "bash")
	dir := folder(t, "bash")
	for _, c := range completed {
		got := offered(t, dir, "bash", "-euc", `. ./ciglio.bash
read -ra COMP_WORDS <<<"$1"
case "$1" in *" ") COMP_WORDS+=("") ;; esac
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
set +u
_ciglio
[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"`, "bash", c.line)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: bash offers %q, want %q", c.line, got, c.want)
		}
	}
}
