package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/console"
	"ciglio/agent/device"
	"ciglio/agent/diag"
	"ciglio/agent/notify"
	"ciglio/agent/provision"
	"ciglio/agent/register"
	"ciglio/agent/rules"
	"ciglio/agent/site"
	"ciglio/agent/software"
	"ciglio/agent/stick/helper"
	"ciglio/agent/trust"
	"ciglio/capture/evidence"
	"ciglio/capture/key"
	p "ciglio/internal/provisioning"
	"ciglio/sensor"
	"ciglio/sensor/port"
)

// lives are those of the device in one run of the service: with each state that a
// stick brings it ends in order and is built anew. A state with which it cannot be
// built is taken back, and it lives on with the one before.
type lives struct {
	config      *config.Config
	id          evidence.DeviceID
	keys        *key.Keys
	certificate []byte // of the evidence key, DER
	state       *provision.Store
	manager     *notify.Socket
	log         *slog.Logger
	tail        *diag.Tail // the end of the log

	// restart asks for a new life. It is answered once that has begun, or was taken
	// back.
	restart chan chan error

	errand   errand             // of the stick that is in
	sticks   *provision.Station // that takes them; nil where none are taken
	light    atomic.Pointer[provision.Light]
	visitors *console.Access // codes and sessions, which a new life does not end

	keeper     string             // folder of the side that installs programs
	ownProgram *evidence.Software // of tests; nil for that which runs

	mu      sync.Mutex
	running *device.Device // nil between two lives
}

// A missingError is that of a device that lacks what a stick could bring.
type missingError struct{ error }

func (e missingError) Unwrap() error { return e.error }

// errNewState ends a life for the next one.
var errNewState = errors.New("a new state was installed")

// provisionedDir is where what was installed lies.
func provisionedDir(c *config.Config) string { return filepath.Join(c.Device.Dir, "provisioned") }

// openProvisioned opens what is installed on the device.
func openProvisioned(c *config.Config, id evidence.DeviceID) (*provision.Store, error) {
	clock := newClock(c)
	o := provision.Options{
		Device: id, Checks: provision.Known(software.Architecture(runtime.GOARCH)),
		Now: func() time.Time { _, utc := clock.Pair(); return utc },
	}
	if c.Provision.Root != "" {
		root, err := evidence.ParseHash(strings.ToLower(c.Provision.Root))
		if err != nil {
			return nil, errors.New("provision.root: want 64 hexadecimal digits")
		}
		o.Root = root
	}
	trust, err := readPlain(c.Uplink.Trust, evidence.MaxTrust+1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("trust: %w", err)
	}
	o.Trust = trust
	return provision.Open(provisionedDir(c), o)
}

// statement returns what is installed of a kind, or what lies at path as long as
// nothing is.
func statement(state *provision.Store, kind p.Kind, path string, most int64) (text []byte, from string, err error) {
	b, err := state.Current(kind)
	if err == nil {
		return b.Text(), fmt.Sprintf("installed %s version %d", kind, b.Version), nil
	}
	if !errors.Is(err, provision.ErrNotInstalled) {
		return nil, "", err
	}
	if text, err = readPlain(path, most); errors.Is(err, fs.ErrNotExist) {
		err = missingError{err}
	}
	return text, path, err
}

// covered says whether the installed digital certificate, where there is one, holds
// up to a speed.
func covered(state *provision.Store, most sensor.Speed) error {
	b, err := state.Current(p.Calibration)
	if errors.Is(err, provision.ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := provision.Certificate(b)
	if c == nil || err != nil {
		return err
	}
	return c.Covers(most)
}

// run lives until ctx ends or the device fails for good.
func (l *lives) run(ctx context.Context) error {
	var asked chan error // who waits for this life to begin
	answer := func(err error) {
		if asked != nil {
			asked <- err
			asked = nil
		}
	}
	for {
		back, err := l.state.Start()
		if err != nil {
			return fmt.Errorf("provisioned state: %w", err)
		}
		if back {
			l.log.Error("the installed state was taken back: the device never started with it")
		}
		var next chan error
		started := func() {
			l.sayProgram() // whoever has installed it keeps it only then
			if err := l.state.Started(); err != nil {
				l.log.Error("trial of the installed state not ended", "error", err)
			}
			answer(nil)
		}
		next, err = l.live(ctx, started)
		switch {
		case ctx.Err() != nil:
			answer(ctx.Err())
			return err
		case next != nil:
			if err != nil {
				l.log.Error("device ended", "error", err)
			}
			answer(errNewState)
			asked = next
		case err == nil: // a recording that has ended
			answer(nil)
			return nil
		case l.state.Trial():
			l.log.Error("the device does not start with the installed state: it is taken back", "error", err)
			if failed := l.state.RollBack(err.Error()); failed != nil {
				return errors.Join(err, failed)
			}
			answer(err)
		case errors.As(err, new(missingError)) && l.takesSticks():
			answer(err)
			if asked = l.await(ctx, err); asked == nil {
				return nil // ctx ended
			}
		default:
			answer(err)
			return err
		}
	}
}

// live builds the device and runs it, until somebody asks for the next life.
func (l *lives) live(ctx context.Context, started func()) (next chan error, err error) {
	ctx, end := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case next = <-l.restart:
			end(errNewState)
		case <-ctx.Done():
		}
	}()
	err = l.operate(ctx, &starting{Socket: l.manager, started: started})
	end(nil)
	<-watched
	return next, err
}

// await waits for a stick that brings what is missing, and meanwhile shows the page that
// says so. It returns who waits for the next life; nil when ctx has ended.
func (l *lives) await(ctx context.Context, missing error) (asked chan error) {
	page, err := l.newWaiting()
	if err != nil {
		l.log.Error("no page", "error", err)
		return l.awaitStick(ctx, missing)
	}
	_ = runBeside(ctx, func(ctx context.Context) error { asked = l.awaitStick(ctx, missing); return nil }, page.run)
	return asked
}

// lacks returns what a stick must bring before the device begins to work.
func (l *lives) lacks() (all []p.Kind) {
	c, placed, _, err := installed(l.state, l.config)
	if err != nil {
		c = l.config
	}
	for _, one := range []struct {
		kind p.Kind
		path string
		most int64
	}{{p.Trust, c.Uplink.Trust, evidence.MaxTrust + 1}, {p.Calibration, c.Device.Calibration, maxStatement}} {
		if _, _, err := statement(l.state, one.kind, one.path, one.most); errors.As(err, new(missingError)) {
			all = append(all, one.kind)
		}
	}
	if placed == nil && !c.Placed() {
		all = append(all, p.Site)
	}
	return all
}

// awaitStick is await without the page.
func (l *lives) awaitStick(ctx context.Context, missing error) chan error {
	words := "waits for a stick: " + missing.Error()
	l.log.Warn("not provisioned", "error", missing)
	lines := []string{notify.Ready, notify.Status(words)}
	every := time.Minute
	if w := l.manager.Watchdog(); w > 0 {
		every = w / 3
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := l.manager.Send(append(lines, notify.Alive)...); err != nil && lines != nil {
			l.log.Warn("service manager does not hear", "error", err)
		}
		lines = nil
		select {
		case asked := <-l.restart:
			return asked
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// takesSticks reports whether a helper is there that mounts them.
func (l *lives) takesSticks() bool { return helperOf(l.config) == nil }

// helperOf says why no helper for sticks is there; nil when one is.
func helperOf(c *config.Config) error {
	_, err := os.Stat(c.Provision.Helper)
	return err
}

// starting tells once that the device has started.
type starting struct {
	*notify.Socket
	once    sync.Once
	started func()
}

func (s *starting) Send(lines ...string) error {
	if slices.Contains(lines, notify.Ready) {
		s.once.Do(s.started)
	}
	return s.Socket.Send(lines...)
}

// station returns what takes sticks.
func (l *lives) station() *provision.Station {
	return provision.NewStation(provision.StationOptions{
		Store: l.state, Device: l.id, Signer: l.keys.Evidence(), Log: l.log, Order: l.order, Leave: l.leave,
		Show: func(s provision.Signal) {
			if light := l.light.Load(); light != nil {
				light.Show(s)
			}
		},
		Connect: func(ctx context.Context) (provision.Sticks, error) {
			return helper.Dial(ctx, l.config.Provision.Helper)
		},
		Restart: func(ctx context.Context) error {
			answer := make(chan error, 1)
			select {
			case l.restart <- answer:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case err := <-answer:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		Note: func(words string, act evidence.Act) error {
			d, err := l.device()
			if err != nil {
				return err
			}
			return d.Note(words, act)
		},
	})
}

// takeSticks takes sticks until ctx ends, and shows by the lamp how it goes.
func (l *lives) takeSticks(ctx context.Context) {
	if l.sticks == nil {
		return
	}
	if l.config.Provision.Light != "" {
		lamp, err := port.OpenOutput(l.config.Provision.Light)
		if err == nil {
			defer lamp.Halt()
			light := provision.NewLight(lamp)
			l.light.Store(light)
			_ = runBeside(ctx, l.sticks.Run, func(ctx context.Context) {
				if err := light.Run(ctx); ctx.Err() == nil {
					l.log.Warn("lamp for sticks fails", "error", err)
				}
			})
			return
		}
		l.log.Warn("no lamp for sticks", "error", err)
	}
	_ = l.sticks.Run(ctx) // it ends with ctx
}

// sticksOf are what the console tells of sticks.
type sticksOf struct{ *lives }

// Now implements [console.Sticks].
func (s sticksOf) Now() (provision.Now, bool) {
	if s.sticks == nil {
		return provision.Now{}, false
	}
	return s.sticks.Now(), true
}

// InForce implements [console.Sticks].
func (s sticksOf) InForce() []provision.Force { return s.state.InForce() }

func (l *lives) set(d *device.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = d
}

// device returns the device that runs.
func (l *lives) device() (*device.Device, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		return nil, errors.New("the device does not run")
	}
	return l.running, nil
}

// deeds are the changes of the installed state that are not in the chain yet.
func (l *lives) deeds() (deeds []device.Deed) {
	for _, e := range l.state.Pending() {
		words, act := e.Act()
		deeds = append(deeds, device.Deed{What: words, Act: act, Noted: func() {
			if err := l.state.Recorded(1); err != nil {
				l.log.Error("a recorded change is kept to be told again", "error", err)
			}
		}})
	}
	return deeds
}

// lawful returns the rules of the law that are installed, nil where none are. fault
// says why they cannot be used, as by a program that is older than they are; on trial
// they are taken back then.
func lawful(state *provision.Store) (law *rules.Document, fault, err error) {
	b, err := state.Current(p.Rules)
	switch {
	case errors.Is(err, provision.ErrNotInstalled):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	law, fault = rules.Parse(b.Text())
	if fault != nil && state.Trial() {
		return nil, nil, fault
	}
	return law, fault, nil
}

// installed returns the configuration with the site that is installed in the place of
// its own, that site, and the extract of the register; nil for what is not installed.
func installed(state *provision.Store, own *config.Config) (c *config.Config, placed *site.Statement, extract *trust.Register, err error) {
	c = own
	b, err := state.Current(p.Site)
	if err == nil {
		if placed, err = site.Parse(b.Text()); err == nil {
			with := *own
			c, err = &with, placed.Apply(&with)
		}
	}
	if err != nil && !errors.Is(err, provision.ErrNotInstalled) {
		return nil, nil, nil, err
	}
	b, err = state.Current(p.Register)
	if err == nil {
		extract, err = register.Parse(b.Text())
	}
	if err != nil && !errors.Is(err, provision.ErrNotInstalled) {
		return nil, nil, nil, err
	}
	return c, placed, extract, nil
}
