package agent

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestMainRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":      nil,
		"unknown command": {"mesure"},
		"half a command":  {"outbox"},
		"unknown flag":    {"version", "--verbose"},
	} {
		if code := Main(args, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%s: exit %d, want %d", name, code, exitUsage)
		}
	}
	var out bytes.Buffer
	if code := Main([]string{"help"}, &out, io.Discard); code != exitGood || !bytes.Contains(out.Bytes(), []byte("measure")) {
		t.Errorf("help: exit %d, prints %s", code, fmt.Sprintf("%.80s", out.String()))
	}
}

// A command that lacks what it needs, or gets what it cannot use, is used wrongly:
// it says so before it opens anything, with the exit code for that.
func TestWrongUseIsToldApart(t *testing.T) {
	wrong := map[string][]string{
		"run":                {"x"},
		"measure":            {""},
		"verify":             {""},
		"inspect":            {"", "a b"},
		"journal":            {"--last -1", "--kind nonsense", "--since yesterday", "--until never"},
		"outbox stats":       {"x"},
		"outbox list":        {"x"},
		"outbox acknowledge": {"", "--by me", "--why so", "x"},
		"outbox export":      {"", "x", "-- -1"},
		"key show":           {"x"},
		"key request":        {"x", "--out="},
		"key enrol":          {"", "--code=", "--code A --authority 12", "--code A x"},
		"key install":        {"", "--in=", "x"},
		"key change":         {"x"},
		"provision key":      {"", "--out k", "--passphrase p"},
		"provision make": {"", "--kind site --version 1 --institution x --to 2030-01-01T00:00:00Z --out o f", "--kind site --version 1 --institution x --all-devices --devices c1000000000000000000000000000009 --to 2030-01-01T00:00:00Z --out o f",
			"--kind site --institution x --all-devices --to 2030-01-01T00:00:00Z --out o f", "--kind sites --version 1 --institution x --all-devices --to 2030-01-01T00:00:00Z --out o f",
			"--kind site --version 1 --institution x --all-devices --to tomorrow --out o f", "--kind site --version 1 --institution x --all-devices --to 2020-01-01T00:00:00Z --out o f",
			"--kind site --version 1 --institution x --devices 12 --to 2030-01-01T00:00:00Z --out o f"},
		"provision sign":    {"", "b", "--key k b", "--key k --passphrase p"},
		"provision inspect": {"", "a b"},
		"provision apply":   {""},
		"software apply":    {"x"},
		"software recover":  {"x"},
		"stick helper":      {"x"},
		"doctor":            {"x"},
		"status":            {"x"},
		"selftest":          {"x"},
		"aim":               {"x", "--begin --done"},
		"accept":            {"x", "--plan p --end", "--run 1", "--run 1 --true fast", "--run -1 --true 50km/h"},
		"calibration show":  {"x"},
		"console code":      {"x"},
		"diag collect":      {"x"},
		"config check":      {"x"},
		"config print":      {"x"},
		"version":           {"x"},
		"help":              {"nonsense"},
		"completion":        {"", "ksh"},
	}
	for _, c := range commands() {
		if len(wrong[c.name]) == 0 {
			t.Errorf("%s: no wrong use of it is tried", c.name)
		}
		for _, args := range append(slices.Clone(wrong[c.name]), "--nonsense") {
			var out, errs bytes.Buffer
			all := slices.Concat(strings.Fields(c.name), strings.Fields(args))
			if exit := Main(all, &out, &errs); exit != exitUsage || errs.Len() == 0 || out.Len() != 0 {
				t.Errorf("%v: exit %d, want %d with words; %s%s", all, exit, exitUsage, &out, &errs)
			}
		}
	}
}
