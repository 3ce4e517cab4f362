package agent

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"ciglio/agent/calibration"
	"ciglio/agent/config"
	"ciglio/agent/console"
	"ciglio/agent/device"
	"ciglio/agent/diag"
	"ciglio/agent/notify"
	"ciglio/capture"
	"ciglio/capture/evidence"
	"ciglio/capture/httpcam"
	"ciglio/capture/v4l2"
	"ciglio/internal/durable"
	"ciglio/internal/mtls"
	p "ciglio/internal/provisioning"
	"ciglio/sensor"
	"ciglio/sensor/clock"
	"ciglio/uplink/mqtt"
	"ciglio/uplink/outbox"
	"ciglio/uplink/wire"
)

// run is the service.
func run(f flags) action {
	path := f.String("config", config.DefaultPath, "configuration `file`")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		c, err := loadConfig(*path)
		if err != nil {
			return fail(stderr, err, "ciglio config print shows every key with its default")
		}
		tail := diag.NewTail(diagLog)
		logged := io.MultiWriter(stderr, tail)
		var handler slog.Handler = slog.NewTextHandler(logged, nil)
		if *f.json {
			handler = slog.NewJSONHandler(logged, nil)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := serve(ctx, c, slog.New(handler), tail); err != nil {
			hint := "docs/operation.md says what a device needs"
			if errors.Is(err, outbox.ErrLocked) || errors.Is(err, durable.ErrLocked) {
				hint = "another ciglio runs on this folder; one device is one process"
			}
			return fail(stderr, err, hint)
		}
		return exitGood
	}
}

// loadConfig reads a configuration with which the service can start, as far as
// that shows without opening anything. The error names every fault of the file; what
// could be read is returned with it.
func loadConfig(path string) (*config.Config, error) {
	c, err := config.Load(path, os.Environ())
	faults := &config.Faults{File: path}
	if err != nil && (!errors.As(err, &faults) || len(faults.All) == 1 && faults.All[0].Key == "") {
		return nil, err
	}
	missing := func(key string, needed bool, value, want string) {
		if needed && value == "" {
			faults.Add(key, "missing: want "+want)
		}
	}
	http := c.Camera.Driver == "http"
	missing("sensor.path", c.Sensor.Driver == "rawiq", c.Sensor.Path, "the device file or named pipe of the samples")
	missing("sensor.port", c.Sensor.Driver != "rawiq", c.Sensor.Port, "the serial port, such as /dev/serial/by-id/…")
	missing("camera.url", http, c.Camera.URL, "the address of the camera's stream, such as http://192.168.1.20/video.mjpeg")
	missing("camera.path", c.Camera.Driver == "v4l2", c.Camera.Path, "the camera's device, such as /dev/v4l/by-id/…")
	// What only the part itself can say is asked where nothing is wrong with its section.
	ask := func(key string, make func() error) {
		section, _, _ := strings.Cut(key, ".")
		if slices.ContainsFunc(faults.All, func(f config.Fault) bool { return strings.HasPrefix(f.Key, section+".") }) {
			return
		}
		if err := make(); err != nil {
			faults.Add(key, err.Error())
		}
	}
	system, silent := new(clock.System), slog.New(slog.DiscardHandler)
	ask("sensor", func() error { _, err := device.NewSource(c, system, silent); return err })
	ask("second", func() error { _, err := device.NewSecond(c, system, silent); return err })
	ask(cameraKey(c), func() error { _, err := newCamera(c, system, silent); return err })
	ask("uplink.broker", func() error { _, err := newDialer(c, nil); return err })
	if c.Uplink.Enrolment != "" {
		if _, err := client(c, evidence.DeviceID{}, nil); err != nil {
			faults.Add("uplink.enrolment", err.Error())
		}
	}
	if err := wire.CheckShard(c.Uplink.Shard); err != nil {
		faults.Add("uplink.shard", err.Error())
	}
	if len(faults.All) > 0 {
		return c, faults
	}
	return c, nil
}

// newClock returns the clock that c names.
func newClock(c *config.Config) sensor.Clock {
	if c.Clock.Source == "simulated" {
		return new(clock.Simulated)
	}
	return new(clock.System)
}

// A liveCamera is a camera that holds a connection or a device.
type liveCamera interface {
	capture.Camera
	io.Closer
}

// newCamera returns the camera that c names. It opens nothing yet.
func newCamera(c *config.Config, clock sensor.Clock, log *slog.Logger) (liveCamera, error) {
	o := c.Camera
	if o.Driver == "v4l2" {
		return v4l2.New(clock, v4l2.Options{
			Path: o.Path, Model: o.Model, Serial: o.Serial, Latency: o.Latency, Log: log,
			Format: v4l2.Format(o.Format), Width: o.Size.Width, Height: o.Size.Height, Interval: o.Interval,
		})
	}
	password, err := readPassword(o.Password)
	if err != nil {
		return nil, err
	}
	return httpcam.New(clock, httpcam.Options{
		URL: o.URL, User: o.User, Password: password, Basic: o.Login == "basic", Latency: o.Latency, Model: o.Model, Serial: o.Serial, MaxFrame: int(o.Slot),
	})
}

// redacted returns an address without the password that it may hold.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		return scheme + "://xxxxx@" + rest[strings.LastIndex(rest, "@")+1:]
	}
	return address
}

// readPassword returns the first line of a file that only its owner and group may
// read; "" for no file. No error holds what is in it.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("password_file: %s is open to everyone on this machine (%v): chmod o= %s", path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1025))
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	password, rest, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	if password == "" || rest != "" || len(b) > 1024 {
		return "", fmt.Errorf("password_file: %s: want one line with the password", path)
	}
	return password, nil
}

// cameraKey is the key that says where the camera is.
func cameraKey(c *config.Config) string {
	if c.Camera.Driver == "v4l2" {
		return "camera.path"
	}
	return "camera.url"
}

// newDialer returns the way to the broker that c names, on which the device proves
// itself with its TLS key. It opens nothing yet, nor looks at the key.
func newDialer(c *config.Config, own crypto.Signer) (*mqtt.Dialer, error) {
	o := mqtt.Options{Broker: c.Uplink.Broker}
	if c.Uplink.Encrypted() {
		o.TLS = func() (*tls.Config, error) { return newTLS(c.Uplink, own) }
	}
	return mqtt.New(o)
}

// newTLS reads whom the device believes and what it shows, as they are now.
func newTLS(u config.Uplink, own crypto.Signer) (*tls.Config, error) {
	files := mtls.Files{Authority: u.CA, Certificate: u.Certificate}
	authority, shown, err := files.Load(func(string) (crypto.Signer, error) { return own, nil })
	if err != nil {
		return nil, err
	}
	return authority.Client(shown), nil
}

// maxStatement bounds what is read of a statement or certificate, in bytes: what is
// longer is neither.
const maxStatement = 1 << 20

// serve runs the device, and takes sticks, until ctx ends. tail keeps what the program
// logs.
func serve(ctx context.Context, c *config.Config, log *slog.Logger, tail *diag.Tail) (err error) {
	id, err := evidence.ParseDeviceID(c.Device.ID)
	if err != nil {
		return err
	}
	keys, certificate, err := identity(ctx, c, id, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	state, err := openProvisioned(c, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	manager, err := notify.FromEnvironment(os.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	l := &lives{
		config: c, id: id, keys: keys, certificate: certificate, state: state, manager: manager, log: log, tail: tail,
		restart: make(chan chan error), visitors: console.NewAccess(time.Now), keeper: keeperDir,
	}
	if c.Provision.Helper != "" {
		l.sticks = l.station()
	}
	return runBeside(ctx, l.run, l.takeSticks)
}

// operate opens the parts that the configuration names and runs the device until
// ctx ends.
func (l *lives) operate(ctx context.Context, manager device.Supervisor) (err error) {
	c, id, keys, log := l.config, l.id, l.keys, l.log
	signer := keys.Evidence()
	if err := l.installCertificates(time.Now()); err != nil {
		return err
	}
	programFault, err := l.program(ctx)
	if err != nil {
		return err
	}
	c, placed, extract, err := installed(l.state, c)
	if err != nil {
		return err
	}
	law, lawFault, err := lawful(l.state)
	if err != nil {
		return err
	}
	calibrated, from, err := statement(l.state, p.Calibration, c.Device.Calibration, maxStatement)
	if err != nil {
		return fmt.Errorf("calibration: %w", err)
	}
	if _, err := calibration.Parse(calibrated); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := covered(l.state, c.Sensor.Maximum); err != nil {
		return err
	}
	trusted, from, err := statement(l.state, p.Trust, c.Uplink.Trust, evidence.MaxTrust+1)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	trust, err := evidence.ParseTrust(trusted)
	if err != nil {
		return fmt.Errorf("trust: %s: %w", from, err)
	}
	system := newClock(c)
	kept := outboxOptions(c, id, log)
	kept.Now = func() time.Time { _, utc := system.Pair(); return utc }
	store, err := outbox.Open(outboxDir(c), kept)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, l := range store.Report().Losses() {
		log.Error("outbox loss", "code", l.Code, "words", l.String())
	}
	if _, _, err := trust.DeviceKey(id, store.Head().Epoch, signer.KeyID(), time.Now()); err != nil {
		log.Warn("not enrolled as far as the trust file tells: records wait until the centre knows key and epoch",
			"device", c.Device.ID, "epoch", store.Head().Epoch, "error", err)
	}
	software, err := Software()
	if err != nil {
		return err
	}
	source, err := device.NewSource(c, system, log)
	if err != nil {
		return err
	}
	defer source.Close()
	second, err := device.NewSecond(c, system, log)
	if err != nil {
		return err
	}
	cabinet := device.NewTamper(c, system)
	if cabinet != nil {
		defer cabinet.Close()
	}
	camera, err := newCamera(c, system, log)
	if err != nil {
		return err
	}
	defer camera.Close()
	flash := device.NewStrobe(c, system, log)
	dialer, err := newDialer(c, keys.TLS())
	if err != nil {
		return err
	}
	d, err := device.New(device.Options{
		Config: c, Calibration: calibrated, Certificate: sha256.Sum256(l.certificate), Signer: signer, Software: software, Clock: system,
		Source: source, Live: source, Second: second, Camera: camera, Strobe: flash, Tamper: cabinet, Site: placed, Register: extract, Rules: law, RulesFault: lawFault, SoftwareFault: programFault, Outbox: store, Dialer: dialer, Trust: trust, Boot: bootID(), Log: log, Supervisor: manager,
		Deeds: append(acknowledgements(store, log), l.deeds()...), Diagnostics: diagnostics(c, store, l.tail), Export: l.export,
	})
	if err != nil {
		return err
	}
	if c.Uplink.Enrolment != "" {
		renewal, err := client(c, id, keys.TLS())
		if err != nil {
			return fmt.Errorf("uplink.enrolment: %w", err)
		}
		renewing, stop := context.WithCancel(ctx)
		renewed := make(chan struct{})
		go func() { renewal.Run(renewing, log); close(renewed) }()
		defer func() { stop(); <-renewed }()
	}
	log.Info("device starts", "device", c.Device.ID, "site", c.Site.ID, "version", Version)
	pages, err := l.newConsole(c, d)
	if err != nil {
		return err
	}
	l.set(d)
	defer l.set(nil)
	if err := runBeside(ctx, d.Run, pages.run); err != nil {
		return err
	}
	log.Info("device stopped")
	return nil
}

// bootID names the run of the kernel: instants of CLOCK_MONOTONIC compare within
// one. Without the kernel's own name, each start of the program is one.
func bootID() (id [16]byte) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		var b []byte
		if b, err = hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")); err == nil && len(b) == len(id) {
			return [16]byte(b)
		}
	}
	rand.Read(id[:])
	return id
}
