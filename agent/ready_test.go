package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ciglio/agent/doctor"
)

const readyConfig = `[device]
id = "00112233445566778899aabbccddeeff"
dir = "state"
calibration = "CALIBRATION"
[site]
id = "SP14-12"
road = "SP 14"
latitude = "44.4949deg"
longitude = "11.3426deg"
limit = "70km/h"
[sensor]
driver = "agd"
port = "/dev/ttyUSB0"
model = "M1"
serial = "S1"
[camera]
url = "http://camera/"
`

const readyCalibration = `id = "A-117"
version = 1
sensor_serial = "S1"
cores = ["@CORE@"]
not_before = 2026-01-10T00:00:00Z
not_after = 2199-01-09T23:59:59Z
[approval]
words = "D.D. n. 1234"
from = 2026-01-10T00:00:00Z
[decree]
words = "n. 56/2026"
from = 2026-01-01T00:00:00Z
[register]
words = "n. 789"
from = 2026-01-01T00:00:00Z
[functional_check]
words = "verbale n. 1"
on = @TODAY@
`

// checked writes the two files and checks the configuration. Each replacement is
// old and new.
func checked(t *testing.T, inConfig, inCalibration []string) (code int, stdout, stderr, file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "ciglio.toml")
	statement := filepath.Join(dir, "calibration.toml")
	text := strings.NewReplacer(inConfig...).Replace(strings.Replace(readyConfig, "CALIBRATION", statement, 1))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if inCalibration != nil {
		if err := os.WriteFile(statement, []byte(strings.NewReplacer(inCalibration...).Replace(current(readyCalibration))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr = runCommand("config", "check", "--config", file)
	return code, stdout, stderr, file
}

func TestD21_SettingsThatNeverMeasureAreNamed(t *testing.T) {
	same := []string{}
	for _, c := range []struct {
		name                    string
		inConfig, inCalibration []string
		says                    string // "" where it measures
	}{
		{"all is there", same, same, ""},
		{"no calibration", same, nil, "device.calibration: .*no such file: write the calibration statement of sensor S1 there"},
		{"of another sensor", same, []string{`"S1"`, `"S2"`}, "issued for sensor S2, this sensor is S1"},
		{"expired", same, []string{"2199-01-09", "2026-02-09"}, "expired 2026-02-10"},
		{"not yet in force", same, []string{"not_before = 2026-01-10", "not_before = 2198-01-10"}, "in force from 2198-01-10"},
		{"a decree that is not in force", same, []string{"from = 2026-01-01T00:00:00Z\n[register]", "from = 2026-01-01T00:00:00Z\nto = 2026-02-01T00:00:00Z\n[register]"}, "prefect's decree n. 56/2026: ended 2026-02-01"},
		{"no calibration statement", same, []string{"version", "versoin"}, "device.calibration: "},
		{"a radar that tells no range, alone", []string{"driver = \"agd\"\nport = \"/dev/ttyUSB0\"", "path = \"/dev/radar\""}, same, `second.method: none, and sensor.driver is rawiq: it cannot tell two vehicles of one speed apart, and proves nothing alone. Write "contacts" or "frames"`},
		{"bytes without check sum, alone", []string{`"agd"`, `"csr"`}, same, "its bytes have no check sum"},
		{"an OPS243 at an adapter, alone", []string{`"agd"`, `"ops243"`}, same, "its bytes have no check sum"},
		{"alone, but all of it a test", []string{"driver = \"agd\"\nport = \"/dev/ttyUSB0\"", "path = \"/dev/radar\"", "[camera]", "[clock]\nsource = \"simulated\"\n[camera]"}, same, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs, file := checked(t, c.inConfig, c.inCalibration)
			if c.says == "" {
				if code != 0 || !strings.Contains(out, file+": good") || !strings.Contains(out, "note: uplink.trust: ") {
					t.Errorf("exit %d\n%s%s", code, out, errs)
				}
				return
			}
			says := strings.Split(c.says, ".*")
			if code != 1 || strings.Contains(out, "good") || !strings.Contains(errs, "never measures: ") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			for _, s := range says {
				if !strings.Contains(errs, s) {
					t.Errorf("no %q in\n%s", s, errs)
				}
			}
			// The service starts with it all the same, and the doctor says the same.
			if code, _, errs := runCommand("config", "check", "--starts", "--config", file); code != 0 {
				t.Errorf("--starts: exit %d\n%s", code, errs)
			}
			config, err := loadConfig(file)
			var facts []string
			for _, l := range examineConfig(file, config, err) {
				if l.Verdict == doctor.Fail {
					facts = append(facts, l.Fact)
				}
			}
			for _, n := range ready(config, time.Now()).Never {
				if !strings.Contains(errs, n.String()) || !strings.Contains(strings.Join(facts, "\n"), n.String()) {
					t.Errorf("doctor says %q, config check\n%s", facts, errs)
				}
			}
		})
	}
}

func TestD21_AllFaultsOfAFileAreNamedAtOnce(t *testing.T) {
	faulty := []string{
		`id = "00112233445566778899aabbccddeeff"`, "",
		`limit = "70km/h"`, `limit = "70mph"`,
		`road = "SP 14"`, `raod = "SP 14"`,
		`"agd"`, `"agd2"`,
		`url = "http://camera/"`, "slots = 2\nlatency = 40",
		`[camera]`, "[clock]\nbound = \"300ms\"\n[camera]",
	}
	code, out, errs, file := checked(t, faulty, nil)
	for _, want := range []string{
		"device.id: missing: want 32 hexadecimal digits, its own for life: make them with  od -An -N16 -tx1 /dev/urandom",
		"site.limit: ", "km/h", ": unknown key site.raod: is it site.road?", "site.road: want a text of 1 to 256 bytes",
		"sensor.driver: want one of rawiq, iqframe, ops243", "camera.url: missing: want the address", "camera.slots: want 8 to 1024",
		"never measures: device.calibration: ", "camera.latency: 40: want a duration with its unit", "clock.bound: want more than 0s and at most 100ms",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in\n%s", want, errs)
		}
	}
	if lines := strings.Count(errs, "ciglio: "+file+": "); code != 1 || out != "" || lines != 10 {
		t.Errorf("exit %d, %d lines\n%s%s", code, lines, out, errs)
	}
	var v struct {
		Good   bool
		Faults []struct{ Key, Words string }
	}
	_, out, _ = runCommand("config", "check", "--json", "--config", file)
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Good || len(v.Faults) != 9 || v.Faults[0].Key == "" {
		t.Errorf("%v, %s", err, out)
	}
	config, err := loadConfig(file)
	if lines := examineConfig(file, config, err); len(lines) != 11 || lines[0].Verdict != doctor.Fail {
		t.Errorf("the doctor has %d lines: %s", len(lines), fmt.Sprint(lines))
	}
}

func TestD21_AFileThatIsNoTOMLIsNamed(t *testing.T) {
	for name, text := range map[string]string{
		"every line twice": readyConfig + readyConfig,
		"half of a line":   readyConfig[:len(readyConfig)/2] + "\n\"",
		"YAML":             "device:\n  id: 3\n",
		"JSON":             `{"device": {"id": "x"}}`,
		"UTF-16":           "\xff\xfe[\x00d\x00e\x00v\x00",
		"zeros":            strings.Repeat("\x00", 500),
		"carriage returns": strings.ReplaceAll(readyConfig, "\n", "\r"),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ciglio.toml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := runCommand("config", "check", "--config", file)
			if code != 1 || out != "" || !strings.HasPrefix(errs, "ciglio: "+file+": ") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			code, out, _ = runCommand("config", "check", "--json", "--config", file)
			if code != 1 || !strings.Contains(out, `"never": []`) || strings.Contains(out, `"good": true`) {
				t.Errorf("exit %d\n%s", code, out)
			}
			config, err := loadConfig(file)
			lines := examineConfig(file, config, err)
			if len(lines) != 1 || lines[0].Verdict != doctor.Fail || lines[0].Thing != file {
				t.Errorf("the doctor says %v", lines)
			}
		})
	}
}

func TestD21_APipeIsNoConfiguration(t *testing.T) {
	for name, path := range map[string]func(dir string) string{
		"pipe": func(dir string) string {
			pipe := filepath.Join(dir, "ciglio.toml")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			return pipe
		},
		"folder": func(dir string) string { return dir },
	} {
		t.Run(name, func(t *testing.T) {
			file := path(t.TempDir())
			code, _, errs := runCommand("config", "check", "--config", file)
			if code != 1 || !strings.Contains(errs, file) || !strings.Contains(errs, "not a plain file") {
				t.Errorf("exit %d: %s", code, errs)
			}
		})
	}
}

func TestD21_APipeIsNoCalibration(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "calibration.toml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPlain(pipe, maxStatement); err == nil || !strings.Contains(err.Error(), pipe) {
		t.Errorf("error = %v, want one that names the pipe", err)
	}
}

// TestCheckSaysWhatADeviceOfSticksDoes: one whose calibration is installed measures
// without the file; one that lacks it waits, as long as a helper is there that brings it.
func TestCheckSaysWhatADeviceOfSticksDoes(t *testing.T) {
	dir := t.TempDir()
	file, helper := filepath.Join(dir, "ciglio.toml"), filepath.Join(dir, "socket")
	state, calibration := filepath.Join(dir, "state"), filepath.Join(dir, "calibration.toml")
	text := strings.NewReplacer("CALIBRATION", calibration, `"state"`, strconv.Quote(state), "[site]", "[provision]\nhelper = "+strconv.Quote(helper)+"\n[site]").Replace(readyConfig)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(when string, good bool, says ...string) {
		t.Helper()
		code, out, errs := runCommand("config", "check", "--config", file)
		if (code == 0) != good {
			t.Errorf("%s: exit %d\n%s%s", when, code, out, errs)
		}
		for _, s := range says {
			if !strings.Contains(out+errs, s) {
				t.Errorf("%s: no %q in\n%s%s", when, s, out, errs)
			}
		}
	}
	check("no helper", false, "device.calibration: "+calibration+": no such file", "or start the helper for sticks")
	if err := os.WriteFile(helper, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("a helper", true, "the device waits for the stick that brings the calibration", "the device waits for the stick that brings the centre's trust file")
	if err := os.MkdirAll(filepath.Join(state, "provisioned"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "provisioned", "state.json"), []byte(`{"format":1,"installed":[{"kind":"calibration","version":1,"sha256":"00","text":"00"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	check("an installed one that is lost", false, "never measures: device.calibration: installed calibration: ")
}
