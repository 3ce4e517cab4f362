package agent

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/notify"
	"ciglio/agent/provision"
	"ciglio/agent/software"
	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	p "ciglio/internal/provisioning"
)

// This file is about the program itself, as a signed bundle brings it.

// keeperDir is the folder of the privileged side, which the service may read.
const keeperDir = "/var/lib/ciglio-software"

// handoverTime is how long the privileged side may take to begin, or to refuse.
const handoverTime = 2 * time.Minute

// own is the running program; it is a variable of the service's lives for tests.
func (l *lives) own() (evidence.Software, error) {
	if l.ownProgram != nil {
		return *l.ownProgram, nil
	}
	return Software()
}

// program makes sure that the running program is the one that is installed. While that
// is on trial and another one runs, it asks the privileged side to put the new one in
// its place, which ends this process; an error takes the bundle back. Otherwise fault
// says what is wrong, and the device does not measure.
func (l *lives) program(ctx context.Context) (fault, err error) {
	b, err := l.state.Current(p.Software)
	if errors.Is(err, provision.ErrNotInstalled) {
		return nil, software.Settled(l.config.Device.Dir) // of one that was taken back
	}
	if err != nil {
		return nil, err
	}
	m, err := software.Parse(b.Text())
	if err != nil {
		return nil, err
	}
	own, err := l.own()
	switch {
	case err != nil:
		return nil, err
	case own.Binary == m.Program:
		return nil, nil
	case !l.state.Trial():
		return fmt.Errorf("the installed program is %v, this one is %v", m.Program, own.Binary), nil
	}
	return nil, l.handOver(ctx, b)
}

// handOver asks for the program of a bundle and waits for what comes of it: the end of
// this process, or why not.
func (l *lives) handOver(ctx context.Context, b *p.Bundle) (err error) {
	trust, err := l.state.Current(p.Trust)
	if err != nil {
		return err
	}
	service := l.config.Device.Dir
	q, err := software.Ask(service, b.SHA256().String(), trust.SHA256().String())
	if err != nil {
		return err
	}
	l.log.Info("new program: handed over to be installed", "version", b.Version)
	defer func() {
		if ctx.Err() == nil { // the next process has to know what was asked for
			err = errors.Join(err, software.Settled(service))
		}
	}()
	every := time.Second
	if w := l.manager.Watchdog(); w > 0 {
		every = min(every, w/3)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for end := time.Now().Add(handoverTime); time.Now().Before(end); {
		a, err := software.Answered(l.keeper, q)
		switch {
		case err != nil:
			return err
		case a != nil && a.Outcome == software.Installed:
			return errors.New("the new program is in its place, and this one still runs")
		case a != nil:
			return fmt.Errorf("new program %s: %s", a.Outcome, a.Why)
		}
		if err := l.manager.Send(notify.Alive); err != nil {
			l.log.Warn("service manager does not hear", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return errors.New("nothing on this machine installs programs: is ciglio-software.path active?")
}

// sayProgram tells the privileged side that the device has started with the installed
// program.
func (l *lives) sayProgram() {
	b, err := l.state.Current(p.Software)
	if errors.Is(err, provision.ErrNotInstalled) {
		return
	}
	var m *software.Manifest
	if err == nil {
		m, err = software.Parse(b.Text())
	}
	var own evidence.Software
	if err == nil {
		own, err = l.own()
	}
	if err == nil && own.Binary == m.Program {
		err = errors.Join(software.Say(l.config.Device.Dir, b.SHA256().String(), own.Binary, own.Core), software.Settled(l.config.Device.Dir))
	}
	if err != nil {
		l.log.Error("not told that the program has started", "error", err)
	}
}

// systemd is the machine that the privileged side works on.
type systemd struct{}

// Identity runs a program to ask it who it is.
func (systemd) Identity(ctx context.Context, program string) (version, core string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	c := exec.CommandContext(ctx, program, "version", "--json")
	c.Stdout = &limitedWriter{&out, 4096}
	c.Env, c.Dir = []string{}, "/"
	if err := c.Run(); err != nil {
		return "", "", err
	}
	var v struct {
		Version string `json:"version"`
		Core    string `json:"core_id"`
	}
	err = json.Unmarshal(out.Bytes(), &v)
	return v.Version, v.Core, err
}

// Restart waits until the service says that it is ready.
func (systemd) Restart(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "systemctl", "restart", "ciglio.service").CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl restart ciglio.service: %w: %.200s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// limitedWriter takes so many bytes.
type limitedWriter struct {
	to   io.Writer
	left int
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		return 0, errors.New("too many words")
	}
	w.left -= len(b)
	return w.to.Write(b)
}

// keeper opens the privileged side by the machine's own configuration.
func keeper(path, dir, program string) (*software.Keeper, error) {
	c, err := config.Load(path, os.Environ())
	if err != nil {
		return nil, err
	}
	var root evidence.Hash // as long as it is zero every request is refused, in words
	if b, err := hex.DecodeString(c.Provision.Root); err == nil && len(b) == len(root) {
		root = evidence.Hash(b)
	}
	id, err := evidence.ParseDeviceID(c.Device.ID)
	if err != nil {
		return nil, err
	}
	return software.NewKeeper(software.Options{
		Dir: dir, Program: program, Service: c.Device.Dir, Device: id, Root: root,
		Architecture: software.Architecture(runtime.GOARCH), Machine: systemd{}, Patience: software.DefaultPatience,
	}), nil
}

// keeperCommand is what both commands of the privileged side have in common.
func keeperCommand(f flags, do func(ctx context.Context, k *software.Keeper, stdout io.Writer) error) action {
	path := f.String("config", config.DefaultPath, "configuration `file`")
	dir := f.String("dir", keeperDir, "`folder` of the privileged side")
	program := f.String("program", "/usr/bin/ciglio", "`file` of the program")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		k, err := keeper(*path, *dir, filepath.Clean(*program))
		if err == nil {
			err = do(ctx, k, stdout)
		}
		if err != nil {
			return fail(stderr, err, "docs/provisioning.md says how a program is installed")
		}
		return exitGood
	}
}

func softwareApply(f flags) action {
	return keeperCommand(f, func(ctx context.Context, k *software.Keeper, stdout io.Writer) error {
		a, err := k.Apply(ctx)
		if a != nil {
			if *f.json {
				printJSON(stdout, a)
			} else {
				fmt.Fprintf(stdout, "%s: old %s, new %s %s\n", a.Outcome, a.Old, a.New, a.Why)
			}
			if err == nil && a.Outcome != software.Installed {
				err = errors.New(a.Why)
			}
		}
		return err
	})
}

func softwareRecover(f flags) action {
	return keeperCommand(f, func(_ context.Context, k *software.Keeper, stdout io.Writer) error {
		back, err := k.Recover()
		if errors.Is(err, durable.ErrLocked) { // the trial is under way
			err = nil
		}
		if err != nil {
			return err
		}
		if *f.json {
			printJSON(stdout, map[string]bool{"put_back": back})
		} else if back {
			fmt.Fprintln(stdout, "the old program is back in its place")
		}
		return nil
	})
}
