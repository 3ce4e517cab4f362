package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunRefusesAndStops(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		name, args string
		ctx        context.Context
		exit       int
		stderr     string
	}{
		{"an argument", "more", t.Context(), exitUsage, "no argument"},
		{"no duration", "--for banana", t.Context(), exitUsage, "hint: ciglio-demo --help"},
		{"too short for a vehicle", "--for 14s", t.Context(), exitUsage, "at least 15s"},
		{"more vehicles than memory", "--for 169h", t.Context(), exitUsage, "at most 168h"},
		{"JSON without an end", "--json", t.Context(), exitUsage, "want a duration"},
		{"a roadside without a radar", "roadside --camera 127.0.0.1:0", t.Context(), exitUsage, "--radar or --camera is missing"},
		{"a roadside whose vehicles could not be told apart by the law", "roadside --radar " + file + " --camera 127.0.0.1:0 --limit 30km/h", t.Context(), exitUsage, "want 50km/h to 130km/h"},
		{"a roadside in the place of a file", "roadside --radar " + file + " --camera 127.0.0.1:0", t.Context(), exitFailed, "is no link"},
		{"a field with an argument", "field more", t.Context(), exitUsage, "no argument"},
		{"a field where a folder is already", "field --dir " + filepath.Dir(file), t.Context(), exitFailed, "must be a new one"},
		{"a folder that cannot be made is told before the run", "--for 15s --keep " + file, t.Context(), exitFailed, "not a directory"},
		{"no such address", "--for 15s --listen 192.0.2.1:1", t.Context(), exitFailed, "192.0.2.1:1"},
		{"stopped before the end", "--for 15s --json", stopped, exitFailed, "stopped before the road was over"},
		{"stopped, as it should be without --for", "", stopped, exitGood, ""},
	} {
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		var stdout, stderr bytes.Buffer
		if exit := run(c.ctx, strings.Fields(c.args), &stdout, &stderr); exit != c.exit || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", c.name, exit, c.exit, c.stderr, &stderr)
		}
		if strings.Contains(stdout.String(), "passages") {
			t.Errorf("%s: a result is printed:\n%s", c.name, &stdout)
		}
		if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
			t.Errorf("%s: leaves %v, %v", c.name, left, err)
		}
	}
}
