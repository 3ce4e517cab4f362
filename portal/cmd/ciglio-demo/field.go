package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ciglio/agent/stick/helper"
	"ciglio/capture/evidence"
	"ciglio/cross/simulate"
	"ciglio/cross/simulate/live"
	"ciglio/cross/statement"
	"ciglio/internal/provisioning"
	"ciglio/portal"
	"ciglio/portal/keys"
	"ciglio/sensor"
)

const fieldUsage = `usage: ciglio-demo field [flags]

A device from the box, a stick and the office behind it, for who wants to set one
up without hardware: docs/technician.md is followed beside it. Radar, camera and
clock of the device are simulated, and all that it seals is a test. The programs
ciglio and ciglio-portal, beside this one or in the path, are the real ones.

`

// fieldLimit is the limit of the simulated road, and fieldSerial the serial number of
// its radar.
const (
	fieldLimit  = 50 * sensor.KmH
	fieldSerial = "SIM-0001"
)

// fieldCommand runs a field until ctx ends.
func fieldCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("ciglio-demo field", flag.ContinueOnError)
	f.SetOutput(io.Discard) // what is wrong is printed below, once
	d := &field{out: stdout}
	f.StringVar(&d.dir, "dir", "", "new `folder` for all of it, which stays; a temporary one otherwise")
	f.StringVar(&d.pages, "pages", "127.0.0.1:0", "`address` of the centre's pages")
	f.StringVar(&d.console, "console", "", "`address` of the device's console, 127.0.0.1 and a port; a free port otherwise")
	seed := f.Uint64("seed", 1, "which road: the same seed gives the same traffic")
	wrong := func(format string, args ...any) int {
		fmt.Fprintf(stderr, "ciglio-demo field: "+format+"\nhint: ciglio-demo field --help\n", args...)
		return exitUsage
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, fieldUsage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		return exitGood
	case err != nil:
		return wrong("%v", err)
	case f.NArg() > 0:
		return wrong("no argument %q", f.Arg(0))
	}
	if err := d.play(ctx, *seed); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "ciglio-demo field: %v\n", err)
		return exitFailed
	}
	return exitGood
}

// A field is a device in its box, and what stands around it. Below its folder are
// box, the device's own folder; centre; desk, the keys of laboratory and operator;
// stick; and slot, the device's socket for sticks.
type field struct {
	dir, pages, console string
	out                 io.Writer

	ciglio, portal string // programs
	device         evidence.DeviceID
	root           evidence.Hash // the centre's
	broker, enrol  string        // URLs for the device
}

func (d *field) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}
func (d *field) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// play builds all of it and keeps it running until ctx ends, or a part does.
func (d *field) play(ctx context.Context, seed uint64) (err error) {
	if _, err := os.Lstat(d.dir); d.dir != "" && err == nil {
		return fmt.Errorf("%s is there already: the folder must be a new one", d.dir)
	}
	if d.ciglio, err = program("ciglio"); err != nil {
		return err
	}
	if d.portal, err = program("ciglio-portal"); err != nil {
		return err
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "ciglio-field-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
	} else if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	} else if err := os.Mkdir(d.dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"box", "desk", "stick", "slot"} {
		if err := os.Mkdir(d.path(name), 0o700); err != nil {
			return err
		}
	}
	rand.Read(d.device[:])
	if d.root, err = portal.Init(d.path("centre")); err != nil {
		return err
	}
	if err := d.fillStick(ctx); err != nil {
		return err
	}

	// The parts end in the order of their defers: the device before what it needs.
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	road, err := simulate.NewRoad(simulate.Traffic(seed, fieldLimit, forever))
	if err != nil {
		return err
	}
	side, err := live.Open(road, d.path("box", "radar"), "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer d.beside(ctx, end, "road", side.Run)()
	listen, err := net.Listen("unix", d.path("box", "sticks.sock"))
	if err != nil {
		return err
	}
	defer d.beside(ctx, end, "slot", func(ctx context.Context) error {
		return helper.Serve(ctx, listen, &slot{dir: d.path("slot", "stick")}, slog.New(slog.DiscardHandler))
	})()
	centre, err := d.serve()
	if err != nil {
		return err
	}
	defer d.beside(ctx, end, "centre", centre.wait)()
	if err := d.configure(side.CameraURL()); err != nil {
		return err
	}
	box, err := start(d.path("box", "log"), d.ciglio, "run", "--config", d.path("box", "ciglio.toml"))
	if err != nil {
		return err
	}
	defer d.beside(ctx, end, "device", box.wait)()

	d.say("A field: a device in its box, a stick, and the office behind it.")
	d.say("Nothing here is real, and all that the device seals is a test. Ctrl-C ends it.")
	d.say("device    %v, folder %s, log %s", d.device, d.path("box"), d.path("box", "log"))
	d.say("centre    http://%s/, folder %s", d.pages, d.path("centre"))
	d.say("broker    %s, enrolment %s", d.broker, d.enrol)
	d.say("stick     %s: in while it lies in %s", d.path("stick"), d.path("slot"))
	d.say("")
	return d.guide(ctx)
}

// beside runs a part, whose end ends all. What it returns waits for it.
func (d *field) beside(ctx context.Context, end context.CancelCauseFunc, name string, run func(context.Context) error) (stop func()) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := run(inner)
		if inner.Err() == nil {
			end(fmt.Errorf("%s ended early: %w", name, early(err)))
		}
	}()
	return func() { cancel(); <-ended }
}

// early is the error of a part that ended before it should.
func early(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// program finds one of those that come with this one.
func program(name string) (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: neither beside this program nor in the path; make programs makes it", err)
	}
	return path, nil
}

// fillStick writes what the office gives the technician: whom to believe, and the
// calibration, signed by keys that are made here.
func (d *field) fillStick(ctx context.Context) error {
	version, err := exec.CommandContext(ctx, d.ciglio, "version", "--json").Output()
	if err != nil {
		return fmt.Errorf("ciglio version: %w", err)
	}
	var is struct {
		Core text `json:"core_id"`
	}
	if err := json.Unmarshal(version, &is); err != nil {
		return fmt.Errorf("ciglio version: %w", err)
	}
	root, err := keys.Load(d.path("centre", "root.key"))
	if err != nil {
		return err
	}
	trust, err := os.ReadFile(portal.TrustFile(d.path("centre")))
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	roles := []byte("institution = \"field\"\n")
	var both []evidence.Signer
	for _, role := range []provisioning.Role{provisioning.Laboratory, provisioning.Operator} {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		signer, err := evidence.NewSigner(private)
		if err != nil {
			return err
		}
		spki, err := evidence.EncodeKey(&private.PublicKey)
		if err != nil {
			return err
		}
		both = append(both, signer)
		roles = fmt.Appendf(roles, "[[key]]\nrole = %q\nname = \"%[1]s of the field\"\nkey = %q\nnot_before = %q\nnot_after = %q\n", role,
			base64.StdEncoding.EncodeToString(spki), now.AddDate(0, 0, -1).Format(time.RFC3339), now.AddDate(1, 0, 0).Format(time.RFC3339))
	}
	day := now.Truncate(24*time.Hour).AddDate(0, 0, -1)
	calibration := statement.Calibration{
		ID: "FIELD", Serial: fieldSerial, Core: is.Core, From: day, To: day.AddDate(0, 1, 0), Checked: day, Uncertainty: "1.5km/h",
	}.Text()
	for _, b := range []struct {
		kind  provisioning.Kind
		by    []evidence.Signer
		files []provisioning.File
	}{
		{provisioning.Trust, []evidence.Signer{root}, []provisioning.File{{Name: "trust.pem", Content: trust}, {Name: "roles.toml", Content: roles}}},
		{provisioning.Calibration, both, []provisioning.File{{Name: "calibration.toml", Content: calibration}, {Name: "certificate.pdf", Content: noCertificate()}}},
	} {
		made, err := provisioning.Make(provisioning.Statement{Kind: b.kind, Version: 1, Institution: "field",
			Devices: []evidence.DeviceID{d.device}, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, 7)}, b.files)
		for _, signer := range b.by {
			if err == nil {
				made, err = made.Sign(signer)
			}
		}
		if err != nil {
			return fmt.Errorf("bundle %s: %w", b.kind, err)
		}
		if err := os.WriteFile(d.path("stick", string(b.kind)+".ciglio"), made.Bytes, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// text is a value that is written as it was read.
type text string

func (t text) String() string { return string(t) }

// noCertificate is the PDF in the place of a laboratory's certificate: one empty page.
func noCertificate() []byte {
	return []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
		"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")
}

// serve starts the centre, and learns where it listens.
func (d *field) serve() (*child, error) {
	c := newChild(d.portal, "serve", "--json", "--dir", d.path("centre"), "--listen", d.pages,
		"--mqtt", "tls://127.0.0.1:0", "--est", "127.0.0.1:0", "--name", "localhost")
	log, err := os.Create(d.path("centre.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	var serving struct{ Pages, MQTT, EST string }
	err = json.NewDecoder(out).Decode(&serving)
	var broker, enrol string
	if err == nil {
		_, broker, err = net.SplitHostPort(serving.MQTT)
	}
	if err == nil {
		_, enrol, err = net.SplitHostPort(serving.EST)
	}
	if err != nil {
		c.Process.Kill()
		err := early(c.Wait())
		told, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("the centre does not start: %w: %s", err, bytes.TrimSpace(told))
	}
	go io.Copy(io.Discard, out)
	d.pages, d.broker, d.enrol = serving.Pages, "tls://localhost:"+broker, "https://localhost:"+enrol
	return c, nil
}

// configure writes what the factory and the office write into a device before it is
// brought to the road.
func (d *field) configure(camera string) error {
	if d.console == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		d.console = l.Addr().String()
		l.Close()
	}
	if err := os.WriteFile(d.path("box", "id"), []byte(d.device.String()+"\n"), 0o600); err != nil {
		return err
	}
	box := d.path("box")
	return os.WriteFile(filepath.Join(box, "ciglio.toml"), fmt.Appendf(nil, `[device]
id = "%v"
dir = %q
tpm = "none"
key = %q
certificate = %q
calibration = %q
[provision]
root = "%v"
helper = %q
[console]
listen = %q
[site]
id = "FIELD-1"
road = "SP 14 (simulated)"
position = "12.4km"
latitude = "44.6949deg"
longitude = "11.2426deg"
heading = "90deg"
limit = "50km/h"
direction = "unknown"
[sensor]
driver = "iqframe"
port = %q
model = "simulated radar"
serial = %q
maximum = "90km/h"
[camera]
driver = "http"
url = %q
model = "simulated camera"
serial = "SIM-1"
view = "36deg"
latency = "%v"
slot = "512KiB"
[clock]
source = "simulated"
[uplink]
broker = %q
enrolment = %q
trust = %q
ca = %q
certificate = %q
tls_key = %q
`, d.device, box, box+"/evidence.key", box+"/device.crt", box+"/none", d.root, box+"/sticks.sock", d.console,
		box+"/radar", fieldSerial, camera, live.Latency, d.broker, d.enrol, box+"/none", box+"/ca.pem", box+"/uplink.crt", box+"/uplink.key"), 0o600)
}

// A child is a program that is ended by Ctrl-C, of ours alone.
type child struct{ *exec.Cmd }

func newChild(name string, args ...string) *child {
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &child{c}
}

// start starts one that writes into a file.
func start(log, name string, args ...string) (*child, error) {
	c := newChild(name, args...)
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c.Stdout, c.Stderr = f, f
	return c, c.Start()
}

// wait waits for its end, which ctx asks for.
func (c *child) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.Process.Signal(os.Interrupt) })
	defer stop()
	return c.Wait()
}

// A fieldStep is one of docs/technician.md, and how it shows that it was done.
type fieldStep struct {
	do   []string
	done func(ctx context.Context) bool
}

// guide says what to do next, until ctx ends.
func (d *field) guide(ctx context.Context) error {
	config := d.path("box", "ciglio.toml")
	before, err := os.ReadFile(portal.TrustFile(d.path("centre")))
	if err != nil {
		return err
	}
	var code string
	steps := []fieldStep{
		{[]string{"plug the stick in:", "  mv " + d.path("stick") + " " + d.path("slot")}, func(ctx context.Context) bool {
			out, err := exec.CommandContext(ctx, d.ciglio, "console", "code", "--config", config).Output()
			code, _, _ = strings.Cut(string(out), "\n")
			return err == nil
		}},
		{[]string{"look at the device:", "  open http://" + d.console + "/ and log in with the code", "then give it its certificate; the office says the code and the authority's SHA-256:",
			"  ciglio-portal enrol --dir " + d.path("centre") + " --device " + d.device.String() + " --code",
			"  ciglio-portal authority --dir " + d.path("centre"),
			"  ciglio key enrol --config " + config + " --code CODE --authority SHA-256"}, func(context.Context) bool {
			_, err := os.Stat(d.path("box", "uplink.crt"))
			return err == nil
		}},
		{[]string{"the office compares the eight groups of digits with you, and enters the device's evidence key: docs/technician.md, step 4"}, func(context.Context) bool {
			now, err := os.ReadFile(portal.TrustFile(d.path("centre")))
			return err == nil && !bytes.Equal(now, before)
		}},
		{[]string{"wait for the first vehicle that is too fast, or ask why there is none:", "  ciglio status --config " + config}, func(ctx context.Context) bool {
			out, err := exec.CommandContext(ctx, d.ciglio, "outbox", "list", "--dir", d.path("box", "outbox")).Output()
			for line := range strings.Lines(string(out)) {
				if f := strings.Fields(line); err == nil && len(f) > 4 && f[3] == "test" && f[4] == "settled" {
					return true
				}
			}
			return false
		}},
	}
	for n, s := range steps {
		d.say("%d. Now %s", n+1, strings.Join(s.do, "\n"))
		for !s.done(ctx) {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Second):
			}
		}
		if n == 0 {
			d.say("\nThe device has started with what the stick brought; its receipt is on the stick. Code of the console: %s", code)
		}
		d.say("")
	}
	d.say("The first record is with the centre, and receipted: http://%s/. That was all; it goes on until Ctrl-C.", d.pages)
	<-ctx.Done()
	return context.Cause(ctx)
}
