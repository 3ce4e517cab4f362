package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// certificate is a calibration statement that fits the record of violation.
const certificate = `id = "A-117"
version = 3
sensor_serial = "0042"
not_before = 2026-01-10T00:00:00Z
not_after = 2026-09-30T23:59:59+02:00
uncertainty = "1km/h"
[approval]
words = "D.D. MIT n. 1234 del 12/05/2025"
from = 2025-05-12T00:00:00+02:00
[decree]
words = "Decreto del Prefetto di Trento n. 56789 del 03/02/2025"
from = 2025-02-03T00:00:00+01:00
to = 2026-03-01T15:05:10+01:00
[register]
words = "n. 789"
from = 2026-01-01T00:00:00Z
`

// TestH07_StatementsContradictTheRecord seals records whose statements say another
// thing than they do, and asks all three verifiers and the device.
func TestH07_StatementsContradictTheRecord(t *testing.T) {
	trust := must(ParseTrust(must(os.ReadFile("testdata/trust.pem"))(t)))(t)
	dir := t.TempDir()
	type test struct {
		name, old, new string
		fails          string // the check; empty for none
	}
	tests := []test{
		{"as it is", "", "", ""},
		{"another sensor", `"0042"`, `"0043"`, "calibration"},
		{"another sensor behind a byte order mark", `id = "A-117"`, "\ufeffsensor_serial = \"0043\"", "calibration"},
		{"another id", `"A-117"`, `"A-118"`, "calibration"},
		{"in force later", "2026-01-10", "2026-03-02", "calibration"},
		{"in force later by its zone", "2026-01-10T00:00:00Z", "2026-03-01T14:05:10-00:00", "calibration"},
		{"in force just before", "2026-01-10T00:00:00Z", "2026-03-01T16:05:09+02:00", ""},
		{"in force until another day", "2026-09-30T", "2026-09-29T", "calibration"},
		{"another uncertainty", `"1km/h"`, `"0.20km/h"`, "calibration"},
		{"another approval", "n. 1234", "n. 1235", "calibration"},
		{"another decree", "n. 56789", "n. 56780", "calibration"},
		{"approved later", "2025-05-12", "2026-05-12", "calibration"},
		{"decree over", "15:05:10", "15:05:09", "calibration"},
		{"registered later", "2026-01-01T00:00:00Z", "2026-03-01T14:05:10Z", "calibration"},
		{"what is no instant", "2026-01-10T00:00:00Z", "2026-02-31T00:00:00Z", ""},
		{"lines that say nothing", "version = 3", "version = 4\r\nnot_before = soon\n\n= ", ""},
	}
	configurations := map[string]string{
		"[site]\nlimit = \"50km/h\"\n":                                     "",
		"\ufeff[site]\nlimit = \"90km/h\"\n":                               "settings",
		"[second]\nmethod = \"constructor\"\n":                             "",
		"[clock]\r\nbound = \"10us\" # too little\r\n":                     "settings",
		"[site]\nlimit = \"\"\nlimit = \"50km/h\"\nlimit = \"90km/h\"\n\n": "",
	}
	var files, fails []string
	add := func(name, fail string, r *Record, change func(*Bundle)) {
		b := bundleOf(t, r, "device")
		change(b)
		files, fails = append(files, filepath.Join(dir, fmt.Sprintf("%02d.zip", len(files)))), append(fails, fail)
		must(0, os.WriteFile(files[len(files)-1], zipOf(t, b), 0o600))(t)
	}
	for _, test := range tests {
		statement := strings.Replace(certificate, test.old, test.new, 1)
		r := violation(t)
		r.Calibration.SHA256 = sumOf([]byte(statement))
		add(test.name, test.fails, r, func(b *Bundle) { b.Calibration = []byte(statement) })
		if err := r.Doubt(nil, []byte(statement)); (err != nil) != (test.fails != "") {
			t.Errorf("%s: a device would doubt: %v", test.name, err)
		}
	}
	for statement, fail := range configurations {
		r := violation(t)
		r.Configuration.SHA256 = sumOf([]byte(statement))
		add(statement, fail, r, func(b *Bundle) { b.Configuration = []byte(statement) })
	}
	r := violation(t)
	r.Trace.Format = "constructor" // a name that every object of the page has
	add("format", "", r, func(*Bundle) {})

	for i, file := range files {
		data := must(os.ReadFile(file))(t)
		v := Verify(must(ReadBundle(bytes.NewReader(data), int64(len(data))))(t), trust)
		for _, c := range v.Checks {
			if (c.Status == Fail) != (c.Name == fails[i]) {
				t.Errorf("%s: want %q to fail: %+v", file, fails[i], c)
			}
		}
	}
	for _, other := range others(t) {
		for i, r := range other.run("each", "testdata/trust.pem", files...) {
			for _, c := range r.Checks {
				if (c.Status == "fail") != (c.Name == fails[i]) {
					t.Errorf("%s: %s: want %q to fail: %+v", other.name, files[i], fails[i], c)
				}
			}
		}
	}
}

// TestH08_PythonGoesOnWhereTheTerminalCannotShow runs verify.py where a text of the
// first record cannot be printed.
func TestH08_PythonGoesOnWhereTheTerminalCannotShow(t *testing.T) {
	cmd := exec.Command(interpreter(t, "python3"), "verify.py", "--trust", "testdata/trust.pem", "testdata/valid/violation.zip", "testdata/valid/heartbeat.cose")
	cmd.Env = append(os.Environ(), "PYTHONIOENCODING=ascii")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "2 of 2 are good") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestD23_RuleInTheSameWords gives a record whose indicated speed is not the
// measured one: what the rule takes off is said of the measured one everywhere.
func TestD23_RuleInTheSameWords(t *testing.T) {
	r := violation(t)
	r.Measurement.Indicated, r.Measurement.Assessed = 99999, 99499
	file := filepath.Join(t.TempDir(), "a.cose")
	must(0, os.WriteFile(file, must(Seal(r, testSigner(t, "device")))(t).Bytes, 0o600))(t)
	const want = "Rule it-345-2 was in force and takes 5.00 km/h off 63.00 km/h."
	check := Verify(&Bundle{Record: must(os.ReadFile(file))(t)}, nil).Checks
	if i := slices.IndexFunc(check, func(c Check) bool { return c.Name == "rule" }); check[i].Words() != want {
		t.Error(check[i].Words())
	}
	for _, other := range others(t) {
		if all := must(json.Marshal(other.run("each", "testdata/trust.pem", file)))(t); !strings.Contains(string(all), want) {
			t.Errorf("%s: %s", other.name, all)
		}
	}
}

// TestH08_WhatIsNoRecordIsCalledSo gives files that are neither a record nor a
// bundle: no verifier may call them a record that is too large.
func TestH08_WhatIsNoRecordIsCalledSo(t *testing.T) {
	dir := t.TempDir()
	bundle := must(os.ReadFile("testdata/valid/violation.zip"))(t)
	var files []string
	for name, data := range map[string][]byte{"page.zip": page, "before.zip": append([]byte("#!/bin/sh\n"), bundle...), "picture.cose": testFrames(t)[0]} {
		files = append(files, filepath.Join(dir, name))
		must(0, os.WriteFile(files[len(files)-1], data, 0o600))(t)
	}
	const want = "it begins neither as a sealed record nor as a zip"
	for _, file := range files {
		if v := Verify(&Bundle{Record: must(os.ReadFile(file))(t)}, nil); !strings.Contains(v.Line(), want) {
			t.Errorf("%s: %s", file, v.Line())
		}
	}
	for _, other := range others(t) {
		for _, r := range other.run("each", "testdata/trust.pem", files...) {
			if r.Checks[0].Name != "format" || !strings.Contains(r.Checks[0].Words, want) {
				t.Errorf("%s: %s: %+v", other.name, r.Path, r.Checks[0])
			}
		}
	}
}
