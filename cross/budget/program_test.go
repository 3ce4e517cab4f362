package budget_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ciglio/cross/board/boardtest"
	"ciglio/cross/budget"
)

// hold checks a measured value against the budget, and keeps it as a figure.
func hold(t *testing.T, name, what string, value int64, details ...string) {
	t.Helper()
	b, err := budget.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(name, value); err != nil {
		t.Error(err)
	}
	figure := b.Say(name, value) + " of " + b.Say(name, b[name].Most)
	boardtest.Figure(t, *update, what, strings.Join(append([]string{figure}, details...), "; "))
}

// TestPrograms builds the program of each target as it is delivered.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("builds four programs")
	}
	var largest int64
	for _, target := range [][]string{
		{"GOARCH=arm", "GOARM=6"}, {"GOARCH=arm", "GOARM=7"}, {"GOARCH=arm64"}, {"GOARCH=amd64"},
	} {
		file := filepath.Join(t.TempDir(), "ciglio")
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file, "ciglio/agent/cmd/ciglio")
		build.Env = append(append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0"), target...)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", target, err, out)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %d bytes", target, info.Size())
		largest = max(largest, info.Size())
	}
	hold(t, "binary", "program, the largest of four targets", largest)
}
