package agent

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/agent/console"
	"ciglio/agent/device"
	"ciglio/agent/journal"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/sensor"
	"ciglio/uplink/wire"
)

// standIn is a device that says what a test has it say.
type standIn struct {
	console.Device // what no command asks
	service        bool
	found          []sensor.Finding
	acts           []string
}

func (d *standIn) Status() device.Status {
	return device.Status{
		At: time.Now(), Site: device.StatusSite{ID: "SP14-12", Road: "SP 14", Limit: 70 * sensor.KmH},
		Calibration: device.StatusValidity{ID: "A-117", Version: 2, NotAfter: time.Now().Add(41*24*time.Hour + time.Minute), Approval: device.StatusPermit{Words: "D.D. 1/1999"}},
		Health:      wire.Health{Measuring: len(d.found) == 0},
	}
}

func (d *standIn) Note(_ string, a evidence.Act) error {
	d.acts = append(d.acts, a.Actor+" "+a.Code+" "+a.Outcome)
	return nil
}

func (d *standIn) SelfTest(evidence.Act) ([]sensor.Finding, error) { return d.found, nil }
func (d *standIn) Journal(journal.Filter, uint64, int) ([]journal.Entry, uint64, error) {
	return nil, 0, nil
}
func (d *standIn) BeginService(time.Duration) { d.service = true }
func (d *standIn) EndService()                { d.service = false }
func (d *standIn) InService() bool            { return d.service }
func (d *standIn) ServicePicture(b []byte) (capture.Frame, bool) {
	return capture.Frame{Data: b}, false
}
func (d *standIn) Sight() device.Sight         { return device.Sight{} }
func (d *standIn) WriteSignal(io.Writer) error { return device.ErrNoSignal }
func (d *standIn) Seen() []device.Seen {
	return []device.Seen{{Number: 4, At: time.Unix(1800000000, 0), Speed: 7105, Direction: sensor.Approaching, Reasons: nil}}
}

// TestCommandsAskTheRunningService runs each command against the pages of a device.
func TestCommandsAskTheRunningService(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(file, []byte(`[device]
id = "00112233445566778899aabbccddeeff"
dir = "`+dir+`"
[site]
id = "SP14-12"
road = "SP 14"
latitude = "44.4949deg"
limit = "70km/h"
[sensor]
model = "M1"
serial = "S1"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &standIn{}
	c, err := console.New(console.Options{Device: d, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	p := &pages{console: c, socket: filepath.Join(dir, "console.sock"), log: slog.New(slog.DiscardHandler)}
	l, err := p.listenSocket()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(p.socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket = %v, %v", info, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- c.ServeLocal(ctx, l) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	for _, test := range []struct {
		name, command string
		exit          int
		want          string
	}{
		{"the state", "status", exitGood, "measures\n"},
		{"the state for a program", "status --json", exitGood, `"measuring": true`},
		{"days left", "status", exitGood, ": 41 days"},
		{"the calibration", "calibration show", exitGood, "approval     D.D. 1/1999"},
		{"a self-test", "selftest", exitGood, "passed"},
		{"aiming has not begun", "aim", exitFailed, "ciglio aim --begin"},
		{"it begins", "aim --begin", exitGood, "vehicles  1 of 1"},
		{"too few vehicles", "aim --done", exitFailed, "vehicles  1 of 1"},
		{"no acceptance", "accept", exitFailed, "accept_none"},
		{"a plan", "accept --plan GPS-12 --speeds 70 --repeat 2", exitGood, "open"},
		{"a plan beside it", "accept --plan GPS-12", exitFailed, "accept_runs"},
		{"who has passed", "accept --vehicles", exitGood, "71.05 km/h"},
		{"a run", "accept --run 1 --true 70.5km/h --vehicle 4", exitGood, "0.55 km/h"},
		{"the same vehicle", "accept --run 2 --true 70.5km/h --vehicle 4", exitFailed, "attempt_twice"},
		{"one that was not measured", "accept --run 2 --true 70km/h", exitGood, "not_measured"},
		{"its end", "accept --end --csv " + filepath.Join(dir, "a.csv"), exitFailed, "not passed"},
		{"a code", "console code", exitGood, "opens one session"},
		{"two acts at once", "accept --end --run 1", exitUsage, "one at a time"},
	} {
		var out bytes.Buffer
		exit := Main(append(strings.Fields(test.command), "--config", file), &out, &out)
		if exit != test.exit || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s: exit %d, want %d with %q:\n%s", test.name, exit, test.exit, test.want, out.String())
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "a.csv"))
	if err != nil || strings.Count(string(text), "\n") != 3 {
		t.Errorf("csv = %q, %v", text, err)
	}
	for _, a := range d.acts {
		if !strings.HasPrefix(a, "local user ") {
			t.Errorf("act = %q: want the user that the kernel names", a)
		}
	}

	d.found = []sensor.Finding{{Code: "camera", Facts: sensor.Told("camera C1 gives no pictures")}}
	for command, want := range map[string]string{"selftest": "camera C1 gives no pictures", "status": "does not measure"} {
		var out bytes.Buffer
		if exit := Main([]string{command, "--config", file}, &out, &out); exit != exitFailed || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d: %s", command, exit, out.String())
		}
	}
}

// TestCodeOpensTheConsole takes the code from the socket to the pages.
func TestCodeOpensTheConsole(t *testing.T) {
	c, err := console.New(console.Options{Device: &standIn{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &pages{console: c, listen: "127.0.0.1:0", socket: filepath.Join(dir, "console.sock"), log: slog.New(slog.DiscardHandler)}
	l, err := p.listenSocket()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- c.ServeLocal(ctx, l) }()
	defer func() { stop(); <-served }()
	var code console.Code
	if err := ask(p.socket, request{"/code", url.Values{}}, &code); err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequest("POST", "http://127.0.0.1/login", strings.NewReader(url.Values{"code": {code.Code}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the code opens nothing: %d %s", w.Code, w.Body)
	}
}
