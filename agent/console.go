package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/console"
	"ciglio/agent/device"
)

// consoleSocket is where the commands reach the running service: in the device's
// folder, which only the service's user may enter.
func consoleSocket(c *config.Config) string { return filepath.Join(c.Device.Dir, "console.sock") }

// pages are the technician's, at their address and at the socket for commands.
type pages struct {
	console *console.Console
	listen  string
	socket  string // "" for none
	log     *slog.Logger
}

func (l *lives) newConsole(c *config.Config, d *device.Device) (*pages, error) {
	p, err := console.New(console.Options{
		Device: d, Sticks: sticksOf{l}, Access: l.visitors, Now: time.Now, Acceptance: filepath.Join(c.Device.Dir, "acceptance.json"), Log: l.log,
	})
	if err != nil {
		return nil, err
	}
	return &pages{p, c.Console.Listen, consoleSocket(c), l.log}, nil
}

// newWaiting returns the page of a device that has not begun. It has no socket: the
// commands find no device there.
func (l *lives) newWaiting() (*pages, error) {
	p, err := console.New(console.Options{Sticks: sticksOf{l}, Lacks: l.lacks, Now: time.Now, Log: l.log})
	if err != nil {
		return nil, err
	}
	return &pages{console: p, listen: l.config.Console.Listen, log: l.log}, nil
}

// listenAgain is how long the pages wait for their address: the service port may
// have none until a notebook is plugged in.
const listenAgain = 5 * time.Second

// run serves the pages until ctx ends. Nothing that happens to them ends the
// device.
func (p *pages) run(ctx context.Context) {
	var all sync.WaitGroup
	if p.socket != "" {
		all.Go(func() {
			p.keep(ctx, "socket", p.listenSocket, p.console.ServeLocal)
		})
	}
	if p.listen != "" {
		all.Go(func() {
			p.keep(ctx, p.listen, func() (net.Listener, error) { return net.Listen("tcp", p.listen) }, p.console.Serve)
		})
	}
	all.Wait()
}

// keep listens and serves, again and again.
func (p *pages) keep(ctx context.Context, where string, listen func() (net.Listener, error), serve func(context.Context, net.Listener) error) {
	var last string
	for ctx.Err() == nil {
		l, err := listen()
		if err == nil {
			p.log.Info("console listens", "at", where)
			err = serve(ctx, l)
		}
		if err != nil && ctx.Err() == nil && err.Error() != last {
			last = err.Error()
			p.log.Warn("console not reached", "at", where, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// listenSocket opens the socket for commands. What an earlier run has left there is
// removed: the store's lock says that there is no other.
func (p *pages) listenSocket() (net.Listener, error) {
	if err := os.Remove(p.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(p.socket, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// runBeside runs the device with something that lives as long as it does.
func runBeside(ctx context.Context, device func(context.Context) error, beside func(context.Context)) error {
	ctx, stop := context.WithCancel(ctx)
	var other sync.WaitGroup
	other.Go(func() { beside(ctx) })
	err := device(ctx)
	stop()
	other.Wait()
	return err
}

// errNotRunning says that no service answers at the socket.
var errNotRunning = errors.New("the service does not run")

// A request is what is asked of the running service.
type request struct {
	path string
	form url.Values // of a POST; nil for a GET
}

// ask makes a request of the service at a socket and reads its answer into v.
func ask(socket string, q request, v any) error {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	method, body := http.MethodGet, io.Reader(nil)
	if q.form != nil {
		method, body = http.MethodPost, strings.NewReader(q.form.Encode())
	}
	r, err := http.NewRequest(method, "http://localhost"+q.path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(r)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens at %s", errNotRunning, socket)
	case err != nil:
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		var refused struct {
			Error string `json:"error"`
			Words string `json:"words"`
		}
		if json.Unmarshal(text, &refused) == nil && refused.Words != "" {
			return fmt.Errorf("the service refuses: %s", refused.Words)
		}
		return fmt.Errorf("the service answers %s", answer.Status)
	}
	return json.Unmarshal(text, v)
}

// askHint says what to do when the service was not reached.
func askHint(err error) string {
	switch {
	case errors.Is(err, errNotRunning):
		return "start it with systemctl start ciglio; journalctl -u ciglio says why it ended"
	case errors.Is(err, os.ErrPermission):
		return "run this as the service's user, sudo -u ciglio, or as root"
	}
	return ""
}

// act makes a request of the running service of a configuration and says what came
// of it.
func act[T any](file string, q request, stderr io.Writer, say func(T) int) int {
	c, err := config.Load(file, os.Environ())
	if err != nil {
		return fail(stderr, err, printHint)
	}
	var v T
	if err := ask(consoleSocket(c), q, &v); err != nil {
		return fail(stderr, err, askHint(err))
	}
	return say(v)
}

// asking is a command that makes one request. say prints what was answered, and
// returns the exit code.
func asking[T any](f flags, q request, say func(T, io.Writer) int) action {
	file := f.String("config", config.DefaultPath, "configuration `file`")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		return act(*file, q, stderr, func(v T) int {
			if *f.json {
				printJSON(stdout, v)
				stdout = io.Discard
			}
			return say(v, stdout)
		})
	}
}

// consoleCode is the command `ciglio console code`.
func consoleCode(f flags) action {
	return asking(f, request{"/code", url.Values{}}, func(v console.Code, w io.Writer) int {
		fmt.Fprintf(w, "%s %s\nopens one session at the console until %s\n", v.Code[:4], v.Code[4:], v.Until.Local().Format(time.TimeOnly))
		return exitGood
	})
}

// status is the command `ciglio status`.
func status(f flags) action {
	return asking(f, request{"/", nil}, func(s device.Status, w io.Writer) int {
		sayStatus(s, w)
		if !s.Health.Measuring {
			return exitFailed
		}
		return exitGood
	})
}

func sayStatus(s device.Status, w io.Writer) {
	h := s.Health
	if h.Measuring {
		fmt.Fprintln(w, "measures")
	} else {
		fmt.Fprintln(w, "does not measure")
	}
	for _, cause := range h.Reasons {
		fmt.Fprintf(w, "  %s: %s\n", cause.Code, cause.Words)
	}
	if s.Test != "" {
		fmt.Fprintf(w, "test        all that is recorded is a test: %s\n", s.Test)
	}
	if s.Site.ID == "" {
		fmt.Fprintln(w, "place       none yet: a stick brings it")
	} else {
		fmt.Fprintf(w, "place       %s, %s, limit %v\n", s.Site.ID, s.Site.Road, s.Site.Limit)
	}
	fmt.Fprintf(w, "sensor      %s, serial %s\n", s.Sensor.Model, s.Sensor.Serial)
	fmt.Fprintf(w, "camera      %s\n", s.Camera.Model)
	fmt.Fprintf(w, "calibration %s version %d, until %s: %s\n", s.Calibration.ID, s.Calibration.Version,
		s.Calibration.NotAfter.Format(time.DateOnly), until(s.Calibration.NotAfter.Sub(s.At)))
	fmt.Fprintf(w, "clock       ±%v, allowed ±%v, source %s\n", s.ClockOff.Round(time.Microsecond), s.ClockBound, h.Clock.Source)
	self := "passed"
	if len(h.Findings) > 0 {
		self = "not passed"
	}
	fmt.Fprintf(w, "self-test   %s\n", self)
	for _, found := range h.Findings {
		fmt.Fprintf(w, "  %s: %s\n", found.Code, found.Words)
	}
	unsent := "all settled"
	if h.Outbox.Oldest != nil {
		unsent = fmt.Sprintf("%d wait, the oldest for %v", h.Outbox.Unsettled, s.At.Sub(*h.Outbox.Oldest).Round(time.Second))
	}
	fmt.Fprintf(w, "records     %s; room %d MB\n", unsent, h.Outbox.RoomBytes/1e6)
	for i, day := range h.Days[:min(len(h.Days), 2)] {
		fmt.Fprintf(w, "%-12s%v\n", map[bool]string{true: "passages"}[i == 0], day)
	}
	for _, alarm := range h.Alarms {
		if alarm.Code == "balance" {
			fmt.Fprintf(w, "  %s: %s\n", alarm.Code, alarm.Words)
		}
	}
	centre := "connected"
	if !s.Uplink.Connected {
		centre = "not connected: " + s.Uplink.Trouble
	}
	fmt.Fprintf(w, "centre      %s, %s\n", s.Uplink.Broker, centre)
	fmt.Fprintf(w, "counted     %d vehicles, %d violations since the start\n", h.Counts.Passages, h.Counts.Violations)
}

// until says how far an end is away.
func until(left time.Duration) string {
	if left < 0 {
		return "ended"
	}
	return fmt.Sprintf("%d days", int(left.Hours()/24))
}

// calibrationShow is the command `ciglio calibration show`.
func calibrationShow(f flags) action {
	return asking(f, request{"/calibration", nil}, func(v device.StatusValidity, w io.Writer) int {
		fmt.Fprintf(w, "calibration  %s version %d\nsensor       %s\nin force     %s to %s\n", v.ID, v.Version, v.Serial,
			v.NotBefore.Format(time.DateOnly), v.NotAfter.Format(time.DateOnly))
		if v.Uncertainty > 0 {
			fmt.Fprintf(w, "uncertainty  at most %v (k = 1)\n", v.Uncertainty)
		}
		for _, p := range []struct {
			name string
			device.StatusPermit
		}{{"approval    ", v.Approval}, {"decree      ", v.Decree}, {"register    ", v.Register}} {
			if p.Words == "" {
				fmt.Fprintf(w, "%s missing\n", p.name)
				continue
			}
			end := "without end"
			if p.To != nil {
				end = "to " + p.To.Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%s %s, from %s %s\n", p.name, p.Words, p.From.Format(time.DateOnly), end)
		}
		return exitGood
	})
}
