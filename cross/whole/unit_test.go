package whole

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/cross/statement"
	"ciglio/portal"
)

// A unit is the program ciglio as it is delivered, in a folder of its own, as a device
// whose clock and radar are simulated.
type unit struct {
	*testing.T
	ctx  context.Context
	dir  string
	said *output // what the service says
}

const (
	unitID     = "c1000000000000000000000000000013"
	unitSerial = "SIM-0001" // of its radar
)

// newUnit builds it.
func newUnit(ctx context.Context, t *testing.T) *unit {
	t.Helper()
	u := &unit{T: t, ctx: ctx, dir: t.TempDir(), said: new(output)}
	build := exec.CommandContext(ctx, "go", "build", "-o", u.dir+"/", "ciglio/agent/cmd/ciglio")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", u.said)
		}
	})
	return u
}

func (u *unit) must(err error) {
	u.Helper()
	if err != nil {
		u.Fatal(err)
	}
}

// try runs a command of the device to its end.
func (u *unit) try(args ...string) (string, error) {
	var errs bytes.Buffer
	c := exec.CommandContext(u.ctx, u.dir+"/ciglio", args...)
	c.Dir, c.Stderr = u.dir, &errs
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("ciglio %s: %w\n%s%s", strings.Join(args, " "), err, out, &errs)
	}
	return string(out), err
}

func (u *unit) run(args ...string) string {
	u.Helper()
	out, err := u.try(args...)
	u.must(err)
	return out
}

func (u *unit) until(what string, met func() bool) {
	u.Helper()
	for !met() {
		select {
		case <-u.ctx.Done():
			u.Fatalf("waited in vain: %s", what)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// beside runs a part until end is called, or the test's end.
func (u *unit) beside(part func(context.Context) error) (end func()) {
	inner, stop := context.WithCancel(context.WithoutCancel(u.ctx))
	var running sync.WaitGroup
	running.Go(func() { part(inner) })
	end = func() { stop(); running.Wait() }
	u.Cleanup(end)
	return end
}

// configure writes the configuration, with the sections of camera and uplink as they
// are given, and the calibration.
func (u *unit) configure(limit, maximum, camera, uplink string) {
	u.Helper()
	dir := u.dir
	core := regexp.MustCompile(`core_id ([0-9a-f]{64})`).FindStringSubmatch(u.run("version"))
	if core == nil {
		u.Fatal("ciglio version names no core")
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	text := statement.Calibration{ID: "DESK", Serial: unitSerial, Core: words(core[1]), From: day, To: day.AddDate(0, 1, 0), Checked: day}.Text()
	u.must(os.WriteFile(dir+"/calibration.toml", text, 0o600))
	u.must(os.WriteFile(dir+"/ciglio.toml", fmt.Appendf(nil, `[device]
id = %q
dir = %q
tpm = "none"
key = %q
certificate = %q
calibration = %q
[site]
id = "DESK-1"
road = "SP 14 (simulated)"
position = "12.4km"
latitude = "44.6949deg"
longitude = "11.2426deg"
heading = "90deg"
limit = %q
direction = "unknown"
[sensor]
driver = "iqframe"
port = %q
model = "simulated radar"
serial = %q
maximum = %q
[clock]
source = "simulated"
[camera]
%s[uplink]
trust = %q
%s`, unitID, dir, dir+"/evidence.key", dir+"/device.crt", dir+"/calibration.toml", limit, dir+"/radar", unitSerial, maximum,
		camera, dir+"/trust.pem", uplink), 0o600))
}

// enter makes the device's keys, and has the centre in a folder enter the one of
// evidence in its register.
func (u *unit) enter(centre string) {
	u.Helper()
	u.run("key", "show", "--config", "ciglio.toml") // makes the keys
	text, err := os.ReadFile(u.dir + "/device.crt")
	u.must(err)
	certificate, err := portal.ReadCertificate(text)
	u.must(err)
	id, err := evidence.ParseDeviceID(unitID)
	u.must(err)
	_, err = portal.Enrol(centre, id, 1, certificate)
	u.must(err)
	trust, err := os.ReadFile(portal.TrustFile(centre))
	u.must(err)
	u.must(os.WriteFile(u.dir+"/trust.pem", trust, 0o600))
}

// start starts the service once the radar is there. It ends with the test.
func (u *unit) start(environ ...string) *exec.Cmd {
	u.Helper()
	u.until("radar", func() bool { _, err := os.Lstat(u.dir + "/radar"); return err == nil })
	c := exec.CommandContext(u.ctx, u.dir+"/ciglio", "run", "--config", "ciglio.toml")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	c.Dir, c.Stderr, c.Env = u.dir, u.said, append(os.Environ(), environ...)
	u.must(c.Start())
	u.Cleanup(func() { c.Process.Signal(os.Interrupt); c.Wait() })
	return c
}

// A kept is a line of ciglio outbox list.
type kept struct {
	Seq             uint64
	Kind, State, ID string
}

func (k kept) settled() bool { return k.State == "settled" }

// list returns what is in the store; nil while it cannot be read.
func (u *unit) list() (all []kept) {
	out, err := u.try("outbox", "list", "--json", "--dir", "outbox")
	if err != nil { // the device is writing to it
		return nil
	}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var k kept
		if d.Decode(&k) != nil {
			return all
		}
		all = append(all, k)
	}
}

// vehicles are the records of vehicles that are receipted.
func (u *unit) vehicles() (settled []kept) {
	for _, k := range u.list() {
		if k.Kind == "test" && k.settled() {
			settled = append(settled, k)
		}
	}
	return settled
}
