package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/cross/simulate"
	"ciglio/sensor"
	"ciglio/sensor/agd"
	"ciglio/sensor/csr"
	"ciglio/sensor/iqframe"
	"ciglio/sensor/isys4001"
	"ciglio/sensor/ops243"
	"ciglio/sensor/wav"
)

var updateGolden = flag.Bool("update", false, "rewrite testdata/simulate.golden")

// short is a scenario of 2.5 s with an edge of every kind.
const short = `
title = "short"
seed = 7
duration = "2500ms"
[readings]
speed_noise = "0.1km/h"
[[vehicle]]
class = "lorry"
speed = "90km/h"
passing = "1800ms"
[[vehicle]]
class = "motorcycle"
speed = "60km/h"
lane = 2
passing = "500ms"
[[contacts]]
lane = 1
at = ["10m", "14m"]
jitter = "30us"
`

// simulateIn runs the command and returns its exit code and output.
func simulateIn(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = run(t.Context(), append([]string{"simulate"}, args...), &out, &errs)
	return exit, out.String(), errs.String()
}

func scenarioFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "short.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// hashOf returns the hash of every file of a folder.
func hashOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSimulationIsTheSameEachTime(t *testing.T) {
	const golden = "testdata/simulate.golden"
	file := scenarioFile(t, short)
	var runs []map[string]string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "out")
		exit, stdout, stderr := simulateIn(t, "--json", "--out", dir, file)
		if exit != exitGood {
			t.Fatalf("exit %d: %s", exit, stderr)
		}
		var result simulation
		if err := json.Unmarshal([]byte(stdout), &result); err != nil {
			t.Fatal(err)
		}
		hashes := hashOf(t, dir)
		for _, f := range result.Files {
			if hashes[f.Name] != f.SHA256 {
				t.Errorf("%s: hash %s, told %s", f.Name, hashes[f.Name], f.SHA256)
			}
		}
		if result.Frames != 32 || result.Vehicles != 2 || result.Seconds != 2.5 || len(hashes) != len(result.Files)+32 {
			t.Errorf("%d files, told %+v", len(hashes), result)
		}
		runs = append(runs, hashes)
	}
	var text strings.Builder
	for name, hash := range runs[0] {
		if runs[1][name] != hash {
			t.Errorf("%s differs", name)
		}
	}
	// Pictures may differ between kinds of processors; all else may not.
	for _, name := range []string{"agd.txt", "csr.bin", "edges.csv", "frames.csv", "iqframe.bin", "isys4001.bin", "ops243.jsonl", "radar.wav", "truth.csv"} {
		fmt.Fprintln(&text, name, runs[0][name])
	}
	if *updateGolden {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
}

func TestAnotherSeedIsAnotherRoad(t *testing.T) {
	file := scenarioFile(t, short)
	var waves []string
	for _, seed := range []string{"7", "8"} {
		dir := filepath.Join(t.TempDir(), "out")
		if exit, _, stderr := simulateIn(t, "--out", dir, "--seed", seed, file); exit != exitGood {
			t.Fatalf("exit %d: %s", exit, stderr)
		}
		waves = append(waves, hashOf(t, dir)["radar.wav"])
	}
	if waves[0] == waves[1] {
		t.Error("two seeds, one signal")
	}
}

// TestSimulatedBytesAreRead reads every file of bytes with the package of its
// sensor and finds the lorry's speed, and nothing dropped.
func TestSimulatedBytesAreRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if exit, _, stderr := simulateIn(t, "--out", dir, scenarioFile(t, short)); exit != exitGood {
		t.Fatalf("exit %d: %s", exit, stderr)
	}
	open := func(name string) *os.File {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	ops, isys := ops243.NewPlayback(open("ops243.jsonl"), ops243.PlaybackOptions{}), isys4001.NewPlayback(open("isys4001.bin"), isys4001.PlaybackOptions{})
	for name, feed := range map[string]sensor.Feed{
		"ops243": ops, "isys4001": isys, "agd": agd.NewPlayback(open("agd.txt"), agd.CRC8), "csr": csr.NewPlayback(open("csr.bin")),
	} {
		seen := 0
		for {
			c, err := feed.Next(t.Context())
			if err != nil {
				break
			}
			if c.Lost {
				t.Errorf("%s: something is lost before %v", name, time.Duration(c.At))
			}
			for _, r := range c.Readings {
				if r.Direction == sensor.Approaching && r.Speed > 88*sensor.KmH && r.Speed < 92*sensor.KmH {
					seen++
				}
			}
		}
		if seen < 10 {
			t.Errorf("%s: the lorry is seen %d times", name, seen)
		}
	}
	signal, err := wav.NewReader(open("radar.wav"))
	if err != nil {
		t.Fatal(err)
	}
	frames, err := iqframe.NewPlayback(open("iqframe.bin"))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for {
		b, err := frames.Next(t.Context())
		if err != nil {
			break
		}
		i, q := make([]float32, len(b.I)), make([]float32, len(b.I))
		if n, err := signal.Read(i, q); n != len(i) || err != nil {
			t.Fatalf("%d samples, %v", n, err)
		}
		for n := range i {
			if i[n] != b.I[n] || q[n] != b.Q[n] {
				t.Fatalf("pair %d differs from the WAV file", total+n)
			}
		}
		total += len(i)
	}
	if total != 50_000 {
		t.Errorf("%d pairs, want 50000", total)
	}
	edges, err := csv.NewReader(open("edges.csv")).ReadAll()
	if err != nil || len(edges) != 1+5*2*2 {
		t.Errorf("%d edges, %v; want five axles over two cables", len(edges)-1, err)
	}
}

func TestSimulateRefuses(t *testing.T) {
	taken := t.TempDir()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	good := scenarioFile(t, short)
	for _, c := range []struct {
		name   string
		ctx    context.Context
		args   []string
		exit   int
		stderr string
	}{
		{"no scenario", t.Context(), nil, exitUsage, "0 scenarios given, want one"},
		{"two scenarios", t.Context(), []string{"single", "rain"}, exitUsage, "2 scenarios given, want one"},
		{"an unknown flag", t.Context(), []string{"--speed", "single"}, exitUsage, "flag provided but not defined: -speed"},
		{"a list of one", t.Context(), []string{"--list", "single"}, exitUsage, "--list takes no scenario"},
		{"no such scenario", t.Context(), []string{"singel"}, exitFailed, "singel: neither a scenario nor a file"},
		{"a folder", t.Context(), []string{taken}, exitFailed, "is a directory"},
		{"a wrong key", t.Context(), []string{scenarioFile(t, "speed = 3")}, exitFailed, "unknown key speed"},
		{"a folder that exists", t.Context(), []string{"--out", taken, good}, exitFailed, taken + ": exists already"},
		{"a folder within none", t.Context(), []string{"--out", filepath.Join(taken, "a", "b"), good}, exitFailed, "no such file or directory"},
		{"stopped in between", stopped, []string{"--out", filepath.Join(taken, "c"), good}, exitFailed, "stopped, nothing is written"},
	} {
		var stdout, stderr bytes.Buffer
		exit := run(c.ctx, append([]string{"simulate"}, c.args...), &stdout, &stderr)
		if exit != c.exit || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", c.name, exit, c.exit, c.stderr, &stderr)
		}
		if left, err := os.ReadDir(taken); err != nil || len(left) > 0 {
			t.Errorf("%s: leaves %v, %v", c.name, left, err)
		}
	}
}

func TestEveryScenarioIsListed(t *testing.T) {
	_, text, _ := simulateIn(t, "--list")
	_, asJSON, _ := simulateIn(t, "--list", "--json")
	for _, name := range simulate.Scenarios() {
		if !strings.Contains(text, name) || !strings.Contains(asJSON, `"`+name+`"`) {
			t.Errorf("%s is not listed", name)
		}
	}
}
