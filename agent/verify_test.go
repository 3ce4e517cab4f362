package agent

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vectors = "../capture/evidence/testdata/"

// TestVerifyExitCodes runs verify over vectors in every way of naming them.
func TestVerifyExitCodes(t *testing.T) {
	folder := unzip(t, vectors+"valid/violation.zip")
	damaged := unzip(t, vectors+"valid/violation.zip")
	if err := os.WriteFile(filepath.Join(damaged, "frames", "2-photo.jpg"), []byte("another picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	trust := []string{"--trust", vectors + "trust.pem"}
	with := func(args ...string) []string { return append(trust, args...) }
	for _, test := range []struct {
		name           string
		args           []string
		exit           int
		stdout, stderr string
	}{
		{"a bundle", with(vectors + "valid/violation.zip"), 0, "pass         signature", ""},
		{"flags behind the path", []string{vectors + "valid/violation.zip", "--trust", vectors + "trust.pem"}, 0, "pass         signature", ""},
		{"a folder", with(folder), 0, "pass         frames", ""},
		{"a folder with another picture", with(damaged), 1, "fail         frames", "failed: frames\nhint: "},
		{"a heartbeat alone", with(vectors + "valid/heartbeat.cose"), 0, "pass         kind", ""},
		{"a violation without its pictures", with(vectors + "valid/violation.cose"), 1, "not checked  frames", "hint: a record alone"},
		{"a test passes and says so", with(vectors + "valid/test.zip"), 0, "TEST, not evidence of a violation", ""},
		{"without trust", []string{vectors + "valid/violation.zip"}, 1, "not checked  signature", "hint: name the trust file"},
		{"one of two is bad", with(vectors+"valid/violation.zip", vectors+"invalid/trace-foreign.zip"), 1, "fail         trace", "trace-foreign.zip: failed: trace"},
		{"not a bundle", with(vectors + "vectors.json"), 1, "fail         format", "failed: format"},
		{"a deflated bundle", with(vectors + "invalid/zip-deflated.zip"), 1, "fail         bundle", "failed: bundle"},
		{"no such file", with("none.zip"), 1, "no such file", "none.zip"},
		{"no such trust file", []string{"--trust", "none.pem", vectors + "valid/violation.zip"}, 1, "", "none.pem"},
		{"a trust file that its root has not signed", []string{"--trust", vectors + "trust-changed.pem", vectors + "valid/violation.zip"}, 1, "", "signature does not match"},
		{"nothing to check", trust, 2, "", "hint: ciglio help verify"},
		{"an unknown flag", []string{"--truth", "x"}, 2, "", "hint: ciglio help verify"},
	} {
		var stdout, stderr bytes.Buffer
		exit := Main(append([]string{"verify"}, test.args...), &stdout, &stderr)
		if exit != test.exit || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("%s: exit %d, want %d\n%s%s", test.name, exit, test.exit, stdout.Bytes(), stderr.Bytes())
		}
		if exit == 0 && stderr.Len() > 0 {
			t.Errorf("%s: good, and complains: %s", test.name, stderr.Bytes())
		}
	}
}

// TestVerifyAgreesWithVectors runs the command as the other verifiers are run,
// over every vector.
func TestVerifyAgreesWithVectors(t *testing.T) {
	var all []struct {
		File, Trust string
		OK          bool
		Checks      [][2]string
	}
	if err := json.Unmarshal(read(t, vectors+"vectors.json"), &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		args := []string{"--json", vectors + v.File}
		if v.Trust != "" {
			args = append(args, "--trust", vectors+v.Trust)
		}
		var stdout, stderr bytes.Buffer
		exit := Main(append([]string{"verify"}, args...), &stdout, &stderr)
		if (exit == 0) != v.OK {
			t.Errorf("%s: exit %d, ok is %v", v.File, exit, v.OK)
		}
		if v.Checks[0][0] == "trust" {
			continue // reported as an error of the command
		}
		var results []struct {
			OK     bool
			Checks []struct{ Name, Status string }
		}
		if err := json.Unmarshal(stdout.Bytes(), &results); err != nil || len(results) != 1 || results[0].OK != v.OK || len(results[0].Checks) != len(v.Checks) {
			t.Errorf("%s: %v\n%s", v.File, err, stdout.Bytes())
			continue
		}
		for i, c := range results[0].Checks {
			if c.Name != v.Checks[i][0] || c.Status != v.Checks[i][1] {
				t.Errorf("%s: %s %s, want %v", v.File, c.Name, c.Status, v.Checks[i])
			}
		}
	}
}

func TestInspect(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if exit := Main([]string{"inspect", vectors + "valid/violation-second-speed.zip"}, &stdout, &stderr); exit != 0 {
		t.Fatalf("exit %d: %s", exit, stderr.Bytes())
	}
	for _, want := range []string{
		`"kind": "violation"`, `"speed": "63.05 km/h"`, `"assessed": "58.00 km/h"`, `"utc": "2026-03-01T14:05:09.123456Z"`,
		`"latitude": "46.0667000"`, `"position_m": 12340`, `"direction": "approaching"`, `"mono_ns": 30002140000000`,
		`"method": "contacts"`, `"exposure_us": 500`, `"not_after": "2026-09-30T21:59:59Z"`, `"class": "file"`,
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %s in\n%s", want, stdout.Bytes())
		}
	}
	for file, want := range map[string]string{
		"heartbeat": `"discards": 88`, "self-test": `"pass": true`, "clock-step": `"step_ns": -1250000000`,
		"calibration": `"statement": "calibration A-117, version 3`, "key-change": `"new_kid": "abab`,
	} {
		stdout.Reset()
		if exit := Main([]string{"inspect", vectors + "valid/" + file + ".cose"}, &stdout, &stderr); exit != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: exit %d, no %s in\n%s", file, exit, want, stdout.Bytes())
		}
	}
	for _, test := range []struct {
		args []string
		exit int
	}{
		{nil, 2}, {[]string{"a", "b"}, 2}, {[]string{"none"}, 1}, {[]string{vectors + "trust.pem"}, 1},
		{[]string{vectors + "invalid/null.cose"}, 1}, {[]string{vectors + "invalid/zip-deflated.zip"}, 1},
	} {
		if exit := Main(append([]string{"inspect"}, test.args...), &stdout, &stderr); exit != test.exit {
			t.Errorf("%v: exit %d, want %d", test.args, exit, test.exit)
		}
	}
}

func TestDegreesAreExact(t *testing.T) {
	for e7, want := range map[int32]string{0: "0.0000000", 460667001: "46.0667001", -1: "-0.0000001", -1_800_000_000: "-180.0000000"} {
		if got := degrees(e7); got != want {
			t.Errorf("%d: %s, want %s", e7, got, want)
		}
	}
}

// unzip lays the files of a bundle into a folder, as a citizen's computer does.
func unzip(t *testing.T, path string) string {
	t.Helper()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, r); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
